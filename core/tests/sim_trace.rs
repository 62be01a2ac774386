//! Traces: the published samples, one's own arrivals, and one recording made into many runs.
#![cfg(feature = "sim")]

use std::{path::PathBuf, time::Duration};

use trimtab_core::{
    Rng, Time,
    sim::{
        Event, LlmServer, Preset,
        trace::{Format, Trace},
    },
};

fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/traces").join(name)
}

fn read(name: &str) -> Trace {
    Trace::read_detected(sample(name)).unwrap()
}

fn arrivals(csv: &str) -> Trace {
    Trace::parse(csv.as_bytes(), "mine.csv", Format::Arrivals).unwrap()
}

fn seconds(trace: &Trace) -> Vec<f64> {
    trace.requests().iter().map(|request| request.at.as_nanos() as f64 / 1e9).collect()
}

#[track_caller]
fn assert_near(found: f64, truth: f64) {
    assert!((found / truth - 1.0).abs() < 1e-5, "{found}, expected {truth}");
}

/// Figures counted apart from this code, from the raw files.
#[test]
fn the_samples_have_the_figures_of_their_raw_files() {
    for (name, format, requests, seconds, rate, cv, prompt, output, hits) in [
        (
            "azure_llm_2023_conv.csv",
            Format::AzureLlm2023,
            800,
            181.901_275,
            4.392_49,
            1.269_45,
            963.281_25,
            258.687_5,
            None,
        ),
        (
            "azure_llm_2023_code.csv",
            Format::AzureLlm2023,
            800,
            302.447_694,
            2.641_78,
            13.914_31,
            2_147.172_5,
            28.588_75,
            None,
        ),
        (
            "mooncake_conversation.jsonl",
            Format::Mooncake,
            200,
            72.0,
            2.763_89,
            2.700_31,
            13_910.895,
            356.895,
            Some(0.060_333_520_705),
        ),
        (
            "mooncake_synthetic.jsonl",
            Format::Mooncake,
            150,
            44.31,
            3.362_67,
            0.991_1,
            13_585.133_333,
            175.913_333,
            Some(0.079_001_019_368),
        ),
    ] {
        let trace = read(name);
        assert_eq!(trace, Trace::read(sample(name), format).unwrap(), "{name}");
        let summary = trace.summary();
        assert_eq!(summary.requests, requests, "{name}");
        assert_near(summary.duration.as_secs_f64(), seconds);
        assert_near(summary.rate, rate);
        assert!((summary.gap_cv.unwrap() - cv).abs() < 1e-5, "{name}: {summary:?}");
        assert_near(summary.prompt_tokens, prompt);
        assert_near(summary.output_tokens, output);
        assert_eq!(summary.block_hits.is_some(), hits.is_some());
        assert_near(summary.block_hits.unwrap_or(1.0), hits.unwrap_or(1.0));
    }
}

#[test]
fn azure_times_count_from_the_first_request() {
    let trace = read("azure_llm_2023_conv.csv");
    let [first, second, ..] = trace.requests() else { panic!("800 requests") };
    assert_eq!((first.at, first.prompt_tokens, first.output_tokens), (Time::ZERO, 374, 44));
    assert_eq!(second.at, Time::from_nanos(4_314_579_000));
    assert!(first.blocks.is_empty() && first.class.is_none() && trace.block_tokens().is_none());
}

fn mooncake(rows: &[(u64, u32, &[u64])]) -> Trace {
    let row = |(at, tokens, ids): &(u64, u32, &[u64])| {
        format!(
            "{{\"timestamp\": {at}, \"input_length\": {tokens}, \"output_length\": 2, \
             \"hash_ids\": {ids:?}}}"
        )
    };
    let text = rows.iter().map(row).collect::<Vec<_>>().join("\n");
    Trace::parse(text.as_bytes(), "m.jsonl", Format::Mooncake).unwrap()
}

#[test]
fn mooncake_blocks_stand_for_all_before_them() {
    let trace = mooncake(&[
        (0, 1_900, &[0, 1, 2, 3]),
        (5, 1_024, &[0, 1]),
        (5, 1_536, &[0, 7, 2]),
        (9, 511, &[0]),
        (9, 1_100, &[0, 1]),
    ]);
    let blocks: Vec<_> = trace.requests().iter().map(|request| &request.blocks[..]).collect();
    // The partial fourth block of the first is no block; the ids of full ones alone may be given.
    assert_eq!(blocks.iter().map(|blocks| blocks.len()).collect::<Vec<_>>(), [3, 2, 3, 0, 2]);
    assert_eq!(blocks[0][..2], *blocks[1]);
    assert_eq!(blocks[0][..2], *blocks[4]);
    assert_eq!(blocks[0][0], blocks[2][0]);
    assert_ne!(blocks[0][1], blocks[2][1]);
    // An id that comes again after another text stands for another text.
    assert!(blocks[2][1..].iter().all(|hash| !blocks[0].contains(hash)));
    assert_eq!(trace.block_tokens(), Some(512));
    assert_eq!(seconds(&trace), [0.0, 0.005, 0.005, 0.009, 0.009]);
}

#[test]
fn a_server_finds_the_blocks_that_two_prompts_share() {
    let trace = mooncake(&[(0, 1_300, &[0, 1, 2]), (60_000, 1_600, &[0, 1, 3, 4])]);
    let preset = Preset::by_name("mid").unwrap();
    assert_eq!(Some(preset.block_tokens), trace.block_tokens());
    let mut server = LlmServer::new(preset).unwrap();
    let (mut rng, mut events) = (Rng::seeded(1), Vec::new());
    for request in trace.requests() {
        server.submit(request.at, request.request()).unwrap();
        let mut now = request.at;
        while let Some(end) = server.next_step(now, &mut rng) {
            server.finish_step(&mut events);
            now = end;
        }
    }
    let cached = events.iter().filter_map(|event| match event {
        Event::Done { timing, .. } => Some(timing.cached_tokens),
        _ => None,
    });
    assert_eq!(cached.collect::<Vec<_>>(), [0, 1_024]);
}

#[test]
fn own_arrivals_with_and_without_classes_and_tokens() {
    let trace = arrivals("at_s\n1700000000.25\n1700000000.75\n1700000002.25\n");
    assert_eq!(seconds(&trace), [0.0, 0.5, 2.0]);
    assert_eq!(trace.span(), Duration::from_secs(3));
    assert_eq!(trace.rate(), 1.0);
    assert!(trace.classes().is_empty());
    assert!(trace.requests().iter().all(|request| request.prompt_tokens == 0));

    let trace = arrivals(
        "\u{feff}output_tokens,class, at_s ,prompt_tokens\r\n\r\n1,chat,0,2\r\n3,code,1,4\r\n\
         5,,1,6\r\n7,chat,2,8",
    );
    let names: Vec<_> = trace.classes().iter().map(AsRef::as_ref).collect();
    assert_eq!(names, ["chat", "code"]);
    let rows: Vec<_> = trace
        .requests()
        .iter()
        .map(|request| (request.class, request.prompt_tokens, request.output_tokens))
        .collect();
    assert_eq!(rows, [(Some(0), 2, 1), (Some(1), 4, 3), (None, 6, 5), (Some(0), 8, 7)]);
}

#[test]
fn scaling_keeps_order_and_rhythm() {
    let trace = read("azure_llm_2023_code.csv");
    let (before, old_rate) = (trace.summary(), trace.rate());
    let scaled = trace.clone().scaled_to_rate(40.0).unwrap();
    let after = scaled.summary();
    assert_near(after.rate, 40.0);
    assert_near(after.gap_cv.unwrap(), before.gap_cv.unwrap());
    assert_eq!(after.prompt_tokens, before.prompt_tokens);
    for (old, new) in seconds(&trace).iter().zip(seconds(&scaled)) {
        assert!((old * old_rate / 40.0 - new).abs() < 2e-9);
    }
    assert_eq!(arrivals("at_s\n0\n2\n").stretched(2.5).unwrap().span(), Duration::from_secs(10));
}

#[test]
fn a_window_counts_from_its_own_start() {
    let trace = arrivals("at_s\n0\n1\n2\n3\n4\n");
    let part = trace.clone().window(Duration::from_millis(500), Duration::from_secs(3)).unwrap();
    assert_eq!(seconds(&part), [0.5, 1.5, 2.5]);
    assert_eq!((part.span(), part.rate()), (Duration::from_secs(3), 1.0));
    // The end does not belong to it.
    let part = trace.clone().window(Duration::ZERO, Duration::from_secs(2)).unwrap();
    assert_eq!(seconds(&part), [0.0, 1.0]);
    let error = trace.window(Duration::from_secs(9), Duration::from_secs(1)).unwrap_err();
    assert_eq!(error.to_string(), "mine.csv, 1s from 9s on: no requests");
}

#[test]
fn a_rotation_starts_elsewhere_and_wraps_around() {
    let trace = arrivals("at_s,class\n0,a\n1,b\n4,c\n6,d\n"); // covers 8 s
    let turned = trace.clone().rotated(Duration::from_secs(3));
    assert_eq!(seconds(&turned), [1.0, 3.0, 5.0, 6.0]);
    let classes: Vec<_> = turned.requests().iter().map(|request| request.class.unwrap()).collect();
    assert_eq!(classes, [2, 3, 0, 1]);
    assert_eq!(turned.clone().rotated(Duration::from_secs(5)), trace);
    assert_eq!(trace.clone().rotated(Duration::from_secs(8)), trace);
    assert_eq!(trace.clone().rotated(Duration::from_secs(1)).requests()[0].at, Time::ZERO);

    let by_seed = |seed| read("mooncake_synthetic.jsonl").rotated_at_random(&mut Rng::seeded(seed));
    assert_eq!(by_seed(1), by_seed(1));
    assert_ne!(by_seed(1), by_seed(2));
    assert_eq!(by_seed(1).summary().block_hits, by_seed(2).summary().block_hits);
}

#[test]
fn copies_follow_each_other_and_share_no_blocks() {
    let once = read("mooncake_conversation.jsonl");
    let thrice = once.clone().repeated(3).unwrap();
    assert_eq!(thrice.span(), once.span() * 3);
    assert_near(thrice.rate(), once.rate());
    assert_eq!(thrice.summary().block_hits, once.summary().block_hits);
    assert_eq!(thrice.requests()[..200], *once.requests());
    let (first, again) = (&thrice.requests()[7], &thrice.requests()[207]);
    assert_eq!(again.at, first.at + once.span());
    assert_eq!(again.blocks.len(), first.blocks.len());
}

#[test]
fn spreading_takes_the_steps_out_of_the_clock() {
    let step = Duration::from_secs(3);
    let lumps = read("mooncake_conversation.jsonl");
    let spread = lumps.clone().spread(step, &mut Rng::seeded(4));
    assert_eq!(spread, lumps.clone().spread(step, &mut Rng::seeded(4)));
    // The first lump holds the first requests, which now lie anywhere in its step.
    let lump = lumps.requests().iter().filter(|request| request.at == Time::ZERO).count();
    let early = spread.requests().iter().filter(|request| request.at < Time::ZERO + step).count();
    assert!(lump > 5 && early >= lump, "{lump} {early}");
    // 200 gaps of a Poisson process: the CV strays by 0.07 (one standard deviation) from 1.
    assert!(lumps.summary().gap_cv.unwrap() > 2.5);
    assert!((0.72..1.28).contains(&spread.summary().gap_cv.unwrap()), "{:?}", spread.summary());
    assert!(spread.span() >= spread.summary().duration);
}
