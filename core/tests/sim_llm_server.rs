//! The LLM server model, driven in virtual time through its public interface.
#![cfg(feature = "sim")]

use std::time::Duration;

use trimtab_core::{
    Rng, Time,
    sim::{Event, LlmServer, Preset, PresetError, Request, RequestId, SubmitError, Timing},
};

/// A server with its clock.
struct Bench {
    server: LlmServer,
    rng: Rng,
    now: Time,
    events: Vec<Event>,
}

impl Bench {
    fn new(preset: Preset) -> Self {
        let server = LlmServer::new(preset).unwrap();
        Self { server, rng: Rng::seeded(7), now: Time::ZERO, events: Vec::new() }
    }

    fn submit(&mut self, request: Request) -> RequestId {
        self.server.submit(self.now, request).unwrap()
    }

    /// One iteration; its length in milliseconds, or `None` when idle.
    fn step(&mut self) -> Option<f64> {
        let end = self.server.next_step(self.now, &mut self.rng)?;
        self.server.finish_step(&mut self.events);
        let millis = end.since(self.now).as_secs_f64() * 1e3;
        self.now = end;
        Some((millis * 1e6).round() / 1e6)
    }

    fn run(&mut self) -> Vec<f64> {
        std::iter::from_fn(|| self.step()).collect()
    }

    fn timing(&self, wanted: RequestId) -> Option<Timing> {
        self.events.iter().find_map(|event| match *event {
            Event::Done { id, timing } if id == wanted => Some(timing),
            _ => None,
        })
    }

    fn done(&self) -> Vec<RequestId> {
        let done = self.events.iter().filter_map(|event| match *event {
            Event::Done { id, .. } => Some(id),
            _ => None,
        });
        done.collect()
    }
}

/// 10 ms an iteration, 0.01 a prompt token, 1 a sequence, 0.001 a token of context; 8 blocks.
fn exact() -> Preset {
    let preset = Preset::by_name("mid").unwrap();
    preset.with_noise_sigma(0.0).with_costs(10.0, 0.01, 1.0, 0.001).with_kv_tokens(8 * 512)
}

fn ms(millis: f64) -> Duration {
    Duration::from_nanos((millis * 1e6).round() as u64)
}

#[test]
fn a_request_alone_takes_what_the_formula_says() {
    let mut bench = Bench::new(exact().with_chunk(300));
    let id = bench.submit(Request::new(700, 3));
    // Prompt in chunks of 300, 300, 100 over a context of 0, 300, 600; then context 700, 701.
    assert_eq!(bench.run(), [14.0, 14.3, 12.6, 11.7, 11.701]);
    let [first, second, third, Event::Done { timing, .. }] = bench.events[..] else {
        panic!("{:?}", bench.events)
    };
    assert_eq!(first, Event::FirstToken { id });
    assert_eq!([second, third], [Event::Token { id }; 2]);
    assert_eq!((timing.queue, timing.cached_tokens), (Duration::ZERO, 0));
    assert_eq!((timing.prefill, timing.decode), (ms(40.9), ms(23.401)));
    assert_eq!(timing.processing(), ms(64.301));
}

#[test]
fn one_output_token_is_the_first_and_the_end() {
    let mut bench = Bench::new(exact());
    bench.submit(Request::new(1, 1));
    assert_eq!(bench.run(), [11.01]);
    assert!(matches!(bench.events[..], [Event::FirstToken { .. }, Event::Done { .. }]));
}

#[test]
fn prompts_share_the_chunk_in_order_of_arrival() {
    let mut bench = Bench::new(exact().with_costs(10.0, 0.01, 0.0, 0.0).with_chunk(512));
    let ids = [400, 400].map(|prompt| bench.submit(Request::new(prompt, 1)));
    // 400 + 112, then 288.
    assert_eq!(bench.run(), [15.12, 12.88]);
    assert_eq!(bench.done(), ids);
}

#[test]
fn decoding_goes_on_beside_a_long_prompt() {
    let mut bench = Bench::new(exact().with_costs(10.0, 0.01, 0.0, 0.0).with_chunk(100));
    let decoding = bench.submit(Request::new(100, 4));
    bench.step();
    bench.submit(Request::new(300, 1));
    assert_eq!(bench.run(), [11.0, 11.0, 11.0]);
    assert_eq!(bench.done()[0], decoding);
}

#[test]
fn the_sequence_limit_makes_a_queue_in_order_of_arrival() {
    let mut bench = Bench::new(exact().with_costs(10.0, 0.0, 0.0, 0.0).with_max_seqs(2));
    let ids = [2, 2, 1].map(|output| bench.submit(Request::new(10, output)));
    bench.server.next_step(bench.now, &mut bench.rng);
    let occupancy = bench.server.occupancy();
    assert_eq!((occupancy.running, occupancy.waiting), (2, 1));
    bench.run();
    assert_eq!(bench.done(), ids);
    let timing = bench.timing(ids[2]).unwrap();
    assert_eq!((timing.queue, timing.processing()), (ms(20.0), ms(10.0)));
}

#[test]
fn a_request_waits_for_kv_blocks_and_holds_up_those_behind_it() {
    let mut bench = Bench::new(exact().with_prefix_cache(false));
    let ids = [6 * 512, 3 * 512, 10].map(|prompt| bench.submit(Request::new(prompt, 1)));
    bench.server.next_step(bench.now, &mut bench.rng);
    let occupancy = bench.server.occupancy();
    assert_eq!((occupancy.running, occupancy.waiting), (1, 2));
    assert_eq!(occupancy.kv_usage, 0.75);
    bench.run();
    assert_eq!(bench.done(), ids);
}

#[test]
fn a_request_that_arrives_during_an_iteration_waits_for_its_end() {
    let mut bench = Bench::new(exact().with_costs(10.0, 0.0, 0.0, 0.0));
    bench.submit(Request::new(10, 1));
    let end = bench.server.next_step(bench.now, &mut bench.rng);
    assert_eq!(bench.server.next_step(bench.now, &mut bench.rng), end, "still under way");
    let late = bench.server.submit(Time::ZERO + ms(4.0), Request::new(10, 1)).unwrap();
    bench.run();
    assert_eq!(bench.timing(late).unwrap().queue, ms(6.0));
}

#[test]
fn the_last_in_is_preempted_and_computed_again_without_repeating_tokens() {
    // Two blocks: both requests fit until each needs a second one.
    let preset = exact().with_costs(10.0, 0.01, 0.0, 0.0).with_kv_tokens(2 * 512);
    let mut bench = Bench::new(preset.with_prefix_cache(false));
    let first = bench.submit(Request::new(510, 6));
    let last = bench.submit(Request::new(510, 5));
    // Both prompts and two tokens fill the blocks; then `first` goes on alone to its sixth token.
    let steps: Vec<f64> = (0..6).map(|_| bench.step().unwrap()).collect();
    assert_eq!(steps, [20.2, 10.0, 10.0, 10.0, 10.0, 10.0]);
    assert_eq!(bench.server.preemptions(), 1);
    assert_eq!(bench.done(), [first]);
    // `last` computes its prompt and the three tokens it gave again, which yields the fourth.
    assert_eq!(bench.run(), [15.13, 10.0]);
    assert_eq!(bench.done(), [first, last]);
    let tokens = bench.events.iter().filter(
        |event| matches!(event, Event::FirstToken { id } | Event::Token { id } if *id == last),
    );
    assert_eq!(tokens.count(), 5);
    assert_eq!(bench.server.occupancy().kv_usage, 0.0);
}

#[test]
fn a_preempted_request_goes_before_those_that_came_later() {
    let preset = exact().with_kv_tokens(2 * 512).with_prefix_cache(false);
    let mut bench = Bench::new(preset);
    let ids = [6, 5].map(|output| bench.submit(Request::new(510, output)));
    bench.step();
    let later = bench.submit(Request::new(10, 1));
    bench.run();
    assert_eq!(bench.server.preemptions(), 1);
    assert_eq!(bench.done(), [ids[0], ids[1], later]);
}

#[test]
fn a_known_prefix_is_not_computed_again_but_its_last_block_is() {
    let mut bench = Bench::new(exact().with_costs(10.0, 0.01, 0.0, 0.0));
    let mut ask = |prompt: u32, blocks: [u64; 2]| {
        let id = bench.submit(Request::new(prompt, 1).with_blocks(blocks.to_vec()));
        let millis: f64 = bench.run().iter().sum();
        (millis, bench.timing(id).unwrap().cached_tokens)
    };
    assert_eq!(ask(1_024, [1, 2]), (20.24, 0), "cold");
    assert_eq!(ask(1_024, [1, 2]), (15.12, 512), "the block that yields the token is computed");
    assert_eq!(ask(1_100, [1, 2]), (10.76, 1_024));
    assert_eq!(ask(1_100, [9, 2]), (21.0, 0), "a block does not count without those before it");
}

#[test]
fn the_prefix_cache_forgets_what_was_used_least_recently_and_tails_first() {
    let mut bench = Bench::new(exact().with_kv_tokens(4 * 512));
    let mut cached = |blocks: &[u64]| {
        // One token past the blocks, so that all of them can be credited; it takes a block too.
        let prompt = blocks.len() as u32 * 512 + 1;
        let id = bench.submit(Request::new(prompt, 1).with_blocks(blocks.to_vec()));
        bench.run();
        bench.timing(id).unwrap().cached_tokens / 512
    };
    assert_eq!([cached(&[1]), cached(&[2]), cached(&[3])], [0, 0, 0]);
    assert_eq!(cached(&[1]), 1, "now 2 is the oldest");
    assert_eq!(cached(&[4]), 0, "takes two blocks, one of them that of 2");
    assert_eq!([cached(&[3]), cached(&[1])], [1, 1]);
    assert_eq!(cached(&[2]), 0, "evicted");
    assert_eq!(cached(&[5, 6, 7]), 0, "takes all blocks");
    assert_eq!(cached(&[8]), 0, "takes the free block and that of the tail, 7");
    assert_eq!(cached(&[5, 6, 7]), 2);
}

#[test]
fn running_sequences_share_a_prefix() {
    let mut bench = Bench::new(exact());
    bench.submit(Request::new(1_025, 1_000).with_blocks(vec![1, 2]));
    bench.step();
    bench.submit(Request::new(1_025, 1_000).with_blocks(vec![1, 2]));
    bench.step();
    assert_eq!(bench.server.occupancy().kv_usage, 0.5, "two shared and one each, of eight");
}

#[test]
fn two_that_compute_the_same_prefix_at_once_end_up_sharing_it() {
    let mut bench = Bench::new(exact());
    for _ in 0..2 {
        bench.submit(Request::new(1_025, 1_000).with_blocks(vec![1, 2]));
    }
    bench.server.next_step(bench.now, &mut bench.rng);
    assert_eq!(bench.server.occupancy().kv_usage, 0.75);
    bench.step();
    bench.step();
    assert_eq!(bench.server.occupancy().kv_usage, 0.5);
}

#[test]
fn cancelling_frees_what_was_held() {
    let mut bench = Bench::new(exact().with_max_seqs(2));
    let ids = [5; 3].map(|output| bench.submit(Request::new(600, output)));
    bench.step();
    assert_eq!(bench.server.occupancy().kv_usage, 0.5);
    assert!(bench.server.next_step(bench.now, &mut bench.rng).is_some(), "under way");
    assert!(bench.server.cancel(ids[0]) && bench.server.cancel(ids[2]));
    assert!(!bench.server.cancel(ids[0]), "only once");
    let occupancy = bench.server.occupancy();
    assert_eq!((occupancy.running, occupancy.waiting, occupancy.kv_usage), (1, 0, 0.25));
    bench.run();
    assert_eq!(bench.done(), [ids[1]]);
    assert!(!bench.server.cancel(ids[1]), "it has ended");
    let next = bench.submit(Request::new(1, 1));
    assert!(!ids.contains(&next), "ids are not used again");
}

#[test]
fn an_iteration_whose_requests_all_left_ends_quietly() {
    let mut bench = Bench::new(exact());
    let id = bench.submit(Request::new(100, 5));
    let end = bench.server.next_step(bench.now, &mut bench.rng).unwrap();
    bench.server.cancel(id);
    bench.server.finish_step(&mut bench.events);
    assert!(bench.events.is_empty());
    assert_eq!(bench.server.next_step(end, &mut bench.rng), None);
}

#[test]
fn slowing_down_multiplies_later_iterations() {
    let mut bench = Bench::new(exact().with_costs(10.0, 0.0, 0.0, 0.0));
    bench.submit(Request::new(1, 3));
    bench.server.set_slow_down(2.5);
    assert_eq!(bench.step(), Some(25.0));
    bench.server.set_slow_down(f64::NAN);
    assert_eq!(bench.run(), [10.0, 10.0]);
}

#[test]
fn impossible_requests_are_refused() {
    let mut server = LlmServer::new(exact()).unwrap();
    let mut submit = |prompt, output| server.submit(Time::ZERO, Request::new(prompt, output));
    assert_eq!(submit(0, 1), Err(SubmitError::Empty));
    assert_eq!(submit(1, 0), Err(SubmitError::Empty));
    assert!(submit(4_096, 1).is_ok());
    assert_eq!(submit(4_096, 2), Err(SubmitError::TooLong { tokens: 4_097, capacity: 4_096 }));
    assert!(submit(u32::MAX, u32::MAX).is_err());
}

#[test]
fn presets_are_known_by_name_and_checked() {
    let error = Preset::by_name("h200").unwrap_err();
    assert!(matches!(error, PresetError::Unknown { .. }));
    for name in Preset::NAMES {
        assert_eq!(Preset::by_name(name).unwrap().name, name);
        assert!(LlmServer::new(Preset::by_name(name).unwrap()).is_ok());
        assert!(error.to_string().contains(name), "{error}");
    }
    let bad = [
        (exact().with_noise_sigma(f64::NAN), "noise_sigma"),
        (exact().with_costs(0.0, 1.0, 0.0, 0.0), "step_ms"),
        (exact().with_costs(1.0, -1.0, 0.0, 0.0), "prefill_token_ms"),
        (exact().with_max_seqs(0), "max_seqs"),
        (exact().with_chunk(0), "chunk"),
        (exact().with_kv_tokens(511), "kv_tokens"),
    ];
    for (preset, field) in bad {
        let error = LlmServer::new(preset).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
}

/// What the demo rests on: each archetype is at least three times as fast as the other on its class
/// alone, and much faster at capacity, all of it at the scale of a laptop.
#[test]
fn the_demo_archetypes_differ_by_class() {
    let classes = [(4_000, 16), (200, 128)];
    let millis = |count: usize, name: &str, (prompt, output): (u32, u32)| {
        let mut bench = Bench::new(Preset::by_name(name).unwrap().with_noise_sigma(0.0));
        for _ in 0..count {
            bench.submit(Request::new(prompt, output));
        }
        bench.run().iter().sum::<f64>()
    };
    let on_both = |measure: &dyn Fn(&str) -> f64| ["prefill-fast", "decode-fast"].map(measure);
    let [long, short] = classes.map(|class| on_both(&|name| millis(1, name, class)));
    println!("ms alone on prefill-fast, decode-fast: long prompt {long:?}, long answer {short:?}");
    assert!(long[1] >= 3.0 * long[0] && short[0] >= 3.0 * short[1], "{long:?} {short:?}");
    for millis in long.into_iter().chain(short) {
        assert!((50.0..=400.0).contains(&millis), "{millis}");
    }
    let [long, short] = classes.map(|class| on_both(&|name| 4e5 / millis(400, name, class)));
    println!("requests/s at capacity: long prompt {long:?}, long answer {short:?}");
    assert!(long[0] >= 2.5 * long[1] && short[1] >= 2.5 * short[0], "{long:?} {short:?}");
}

#[test]
fn noise_has_mean_one_and_the_sigma_asked_for() {
    let mut bench = Bench::new(exact().with_costs(1.0, 0.0, 0.0, 0.0).with_noise_sigma(0.1));
    let steps = 4_000;
    bench.submit(Request::new(1, steps));
    let logs: Vec<f64> = bench.run().iter().map(|millis| millis.ln()).collect();
    let mean = logs.iter().sum::<f64>() / f64::from(steps);
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / f64::from(steps);
    // Standard errors 0.0016 and 0.0011 on a fixed seed; bounds at five of them, where one seed in
    // a million would be a false alarm.
    assert!((mean + 0.005).abs() < 0.008, "{mean}");
    assert!((variance.sqrt() - 0.1).abs() < 0.0056, "{}", variance.sqrt());
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut bench = Bench::new(Preset::by_name("mid").unwrap());
        bench.rng = Rng::seeded(seed);
        for i in 1..40 {
            bench.submit(Request::new(i * 97, i));
        }
        (bench.run(), bench.events)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}
