//! Prefix affinity: the same replicas for the same beginning at every client, few moves when the fleet
//! changes, and a way out when they are busy.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use trimtab_core::{
    Balancer, ConfigError, Context, Endpoint, EndpointId, Failure, Lease, LoadReport, Outcome,
    Prompt, Rng, Time, Weight,
    policy::{PrefixAffinity, PrefixAffinityConfig},
};

const START: Time = Time::from_nanos(1_000_000_000);

fn endpoint(index: usize) -> Endpoint {
    Endpoint::new(index.to_string())
}

fn with(config: PrefixAffinityConfig, endpoints: impl IntoIterator<Item = Endpoint>) -> Balancer {
    let policy = PrefixAffinity::new(config).unwrap();
    Balancer::builder().policy(policy).endpoints(endpoints).build().unwrap()
}

fn balancer(n: usize) -> Balancer {
    with(PrefixAffinityConfig::default(), (0..n).map(endpoint))
}

/// Hashes of the blocks of conversation `which`.
fn conversation(which: u64, blocks: u64) -> Vec<u64> {
    let mut rng = Rng::seeded(which);
    (0..blocks).map(|_| rng.bits()).collect()
}

fn pick(balancer: &Balancer, blocks: &[u64], rng: &mut Rng) -> Lease {
    let tokens = 512 * blocks.len() as u32 + 1;
    balancer.pick(START, &Context::new().with_prompt(Prompt::new(tokens, blocks)), rng).unwrap()
}

/// Where a conversation goes while nothing is anywhere.
fn home(balancer: &Balancer, which: u64) -> EndpointId {
    let lease = pick(balancer, &conversation(which, 5), &mut Rng::seeded(which));
    let id = lease.id().clone();
    lease.discard();
    id
}

fn report(balancer: &Balancer, id: &EndpointId, gauges: &[(&str, f64)]) {
    let named_metrics = gauges.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    let report = LoadReport { named_metrics, ..LoadReport::default() };
    let snapshot = balancer.fleet().snapshot();
    let node = snapshot.nodes().iter().find(|node| node.id() == id).unwrap();
    node.record_load_report(START, report);
}

#[test]
fn clients_agree_whatever_order_they_know_the_fleet_in() {
    let one = balancer(16);
    let other = with(PrefixAffinityConfig::default(), (0..16).rev().map(endpoint));
    for which in 0..200 {
        assert_eq!(home(&one, which), home(&other, which));
    }
}

/// All turns of a conversation start with the same blocks; the later ones have more of them.
#[test]
fn later_turns_go_where_the_first_went() {
    let balancer = balancer(16);
    for which in 0..200 {
        let ids: BTreeSet<EndpointId> = (3..40)
            .map(|turn| {
                let lease = pick(&balancer, &conversation(which, turn), &mut Rng::seeded(turn));
                let id = lease.id().clone();
                lease.discard();
                id
            })
            .collect();
        assert_eq!(ids.len(), 1, "conversation {which}");
    }
}

/// Chi-square with 15 degrees of freedom, in proportion to the weights: beyond 56.5 once in a million.
#[test]
fn conversations_spread_by_weight() {
    for unequal in [false, true] {
        let weight = |index: usize| if unequal { 1.0 + (index % 3) as f64 } else { 1.0 };
        let endpoints = (0..16).map(|i| endpoint(i).with_weight(Weight::new(weight(i)).unwrap()));
        let balancer = with(PrefixAffinityConfig::default(), endpoints);
        let mut counts = [0.0; 16];
        for which in 0..20_000 {
            counts[home(&balancer, which).as_str().parse::<usize>().unwrap()] += 1.0;
        }
        let sum: f64 = (0..16).map(weight).sum();
        let chi: f64 = (0..16)
            .map(|i| (20_000.0 * weight(i) / sum, counts[i]))
            .map(|(expected, count): (f64, f64)| (count - expected).powi(2) / expected)
            .sum();
        assert!(chi < 56.5, "{chi}: {counts:?}");
    }
}

/// Above the window too: a small one and one beyond it.
#[test]
fn only_the_conversations_of_what_left_move() {
    for n in [16, 3000] {
        let balancer = balancer(n);
        let before: Vec<EndpointId> = (0..1000).map(|which| home(&balancer, which)).collect();
        let gone = before[0].clone();
        balancer.fleet().remove(&gone).unwrap();
        let mut moved = 0;
        for (which, was) in before.iter().enumerate() {
            let now = home(&balancer, which as u64);
            if *was == gone {
                assert_ne!(now, gone);
            } else {
                moved += usize::from(now != *was);
            }
        }
        // Beyond the window another may enter it at its end: one in 1,024 of the keys it enters for.
        assert!(if n == 16 { moved == 0 } else { moved <= 5 }, "{n} endpoints: {moved} moved");
        balancer.fleet().add(Endpoint::new(gone.as_str()));
        let back = before.iter().enumerate().filter(|(i, was)| home(&balancer, *i as u64) == **was);
        assert_eq!(back.count(), 1000, "it gets its own back, and no others");
    }
}

/// The second candidate is the same everywhere too: it takes over, and nobody else.
#[test]
fn an_ejected_replica_hands_its_conversations_to_the_next_in_rank() {
    let (balancer, shrunk) = (balancer(16), balancer(16));
    let gone = home(&balancer, 1);
    shrunk.fleet().remove(&gone).unwrap();
    let snapshot = balancer.fleet().snapshot();
    snapshot.nodes().iter().find(|node| *node.id() == gone).unwrap().connect_failed(START);
    for which in 0..200 {
        assert_eq!(home(&balancer, which), home(&shrunk, which));
    }
}

/// One prefix, sent a thousand times over and never ended: it goes to its first candidate, then to the
/// second, and to all of them before any has more than a few times its share.
#[test]
fn a_hot_prefix_drowns_nobody() {
    let balancer = balancer(16);
    let (blocks, mut rng) = (conversation(1, 4), Rng::seeded(1));
    let leases: Vec<Lease> = (0..1000).map(|_| pick(&balancer, &blocks, &mut rng)).collect();
    let mut counts = BTreeMap::<&EndpointId, usize>::new();
    for lease in &leases {
        *counts.entry(lease.id()).or_default() += 1;
    }
    assert_eq!(counts.len(), 16);
    assert!(counts.values().all(|count| *count <= 130), "twice the mean is 125: {counts:?}");
}

/// The same where nothing costs anything but the bound stands.
#[test]
fn the_bound_holds_without_the_cost() {
    let mut config = PrefixAffinityConfig::default();
    (config.cached, config.falloff, config.decode_cost) = (1.0, 1.0, 0.0);
    let balancer = with(config, (0..16).map(endpoint));
    let (blocks, mut rng) = (conversation(1, 4), Rng::seeded(1));
    let mut leases = Vec::new();
    for sent in 0..500 {
        leases.push(pick(&balancer, &blocks, &mut rng));
        let snapshot = balancer.fleet().snapshot();
        let most = snapshot.nodes().iter().map(|node| node.in_flight()).max().unwrap();
        let mean = f64::from(sent + 1) / 16.0;
        assert!(f64::from(most) <= (2.0 * mean).max(8.0) + 2.0, "{most} after {sent}");
    }
}

/// What a server reports leads away from it: tokens, or requests where it tells no tokens, and nothing
/// once the report is old.
#[test]
fn reported_load_is_weighed_against_the_cache() {
    let cases: [(&[(&str, f64)], bool); 8] = [
        (&[("num_prompt_tokens_waiting", 100.0)], true),
        (&[("num_prompt_tokens_waiting", 100_000.0)], false),
        (&[("sglang:num_waiting_uncached_tokens", 100_000.0)], false),
        (&[("vllm:num_requests_waiting", 20.0)], false),
        (&[("num_requests_running", 1.0)], false),
        (&[("kv_cache_usage_perc", 0.2)], true),
        (&[("num_prompt_tokens_waiting", f64::NAN), ("num_requests_waiting", -5.0)], true),
        (&[("something_else", 1e9)], true),
    ];
    for (gauges, stays) in cases {
        let balancer = balancer(16);
        let first = home(&balancer, 1);
        report(&balancer, &first, gauges);
        assert_eq!(home(&balancer, 1) == first, stays, "{gauges:?}");
        let context = Context::new();
        let blocks = conversation(1, 5);
        let context = context.with_prompt(Prompt::new(2561, &blocks));
        let later = START + Duration::from_secs(11);
        let lease = balancer.pick(later, &context, &mut Rng::seeded(1)).unwrap();
        assert_eq!(*lease.id(), first, "{gauges:?} of eleven seconds ago");
    }
}

/// A queue goes down at the rate at which prompts are computed.
#[test]
fn a_reported_queue_is_worked_off_meanwhile() {
    let balancer = balancer(16);
    let (first, blocks) = (home(&balancer, 1), conversation(1, 5));
    report(&balancer, &first, &[("num_prompt_tokens_waiting", 16_000.0)]);
    assert_ne!(home(&balancer, 1), first);
    let context = Context::new().with_prompt(Prompt::new(2561, &blocks));
    let later = START + Duration::from_secs(2);
    let lease = balancer.pick(later, &context, &mut Rng::seeded(1)).unwrap();
    assert_eq!(*lease.id(), first);
}

/// Half of the fleet is busy and says so; the other half says nothing, and is not taken to be idle.
#[test]
fn silence_is_not_idleness() {
    let balancer = balancer(16);
    let mut stayed = 0;
    for index in 0..8 {
        let id = index.to_string().as_str().into();
        report(&balancer, &id, &[("num_prompt_tokens_waiting", 20_000.0)]);
    }
    for which in 0..400 {
        let blocks = conversation(which, 5);
        let lease = pick(&balancer, &blocks, &mut Rng::seeded(which));
        stayed += usize::from(lease.id().as_str().parse::<u32>().unwrap() < 8);
        lease.discard();
    }
    // 200 expected, plus or minus 48 once in a million.
    assert!((152..=248).contains(&stayed), "{stayed}");
}

/// A beginning of one block is often everybody's: it draws nothing to one replica.
#[test]
fn one_block_is_no_key() {
    let balancer = balancer(16);
    let mut rng = Rng::seeded(1);
    let ids: BTreeSet<EndpointId> =
        (0..200).map(|_| pick(&balancer, &[1], &mut rng).id().clone()).collect();
    assert_eq!(ids.len(), 16);
}

/// Requests sent since a report are added to it, so that not all of an interval's go to one.
#[test]
fn what_was_sent_since_a_report_counts() {
    let balancer = balancer(16);
    for index in 0..16 {
        report(
            &balancer,
            &index.to_string().as_str().into(),
            &[("num_prompt_tokens_waiting", 0.0)],
        );
    }
    let (blocks, mut rng) = (conversation(1, 20), Rng::seeded(1));
    let leases: Vec<Lease> = (0..8).map(|_| pick(&balancer, &blocks, &mut rng)).collect();
    let ids: BTreeSet<&EndpointId> = leases.iter().map(Lease::id).collect();
    assert!(ids.len() >= 4, "{ids:?}");
}

/// The prompt is computed when the first byte is here; what stays is a request that decodes.
#[test]
fn the_prefill_is_given_back_at_the_first_byte() {
    let balancer = balancer(1);
    let blocks = conversation(1, 5);
    let mut lease = pick(&balancer, &blocks, &mut Rng::seeded(1));
    let node = balancer.fleet().snapshot().nodes()[0].clone();
    // 2561 tokens of which 0.8 are taken to be cached, at 8,000 a second.
    assert_eq!(node.work_in_flight(), Duration::from_micros(64_025));
    lease.first_byte(START);
    assert_eq!((node.work_in_flight(), node.in_flight()), (Duration::ZERO, 1));
    lease.finish(START, Outcome::success());
    assert_eq!((node.work_in_flight(), node.in_flight()), (Duration::ZERO, 0));
    drop(pick(&balancer, &blocks, &mut Rng::seeded(1)));
    pick(&balancer, &blocks, &mut Rng::seeded(1)).cancel(START);
    assert_eq!((node.work_in_flight(), node.in_flight()), (Duration::ZERO, 0));
}

/// One that fails fast is idle, and yet no place to send prompts to.
#[test]
fn what_fails_fast_gets_less() {
    let balancer = balancer(16);
    let first = home(&balancer, 1);
    let (blocks, mut rng) = (conversation(1, 5), Rng::seeded(1));
    let mut sent = 0;
    while pick(&balancer, &blocks, &mut rng).id() == &first {
        let lease = pick(&balancer, &blocks, &mut rng);
        // Never often enough in a row to be ejected.
        let fails = sent % 4 != 0;
        lease.finish(
            START,
            if fails { Outcome::failure(Failure::Status) } else { Outcome::success() },
        );
        sent += 1;
        assert!(sent < 20);
    }
}

/// A long system prompt that all share names the same replicas for all; the deeper key tells the
/// conversations apart, so that they do not come to rest on these alone.
#[test]
fn a_shared_system_prompt_does_not_hide_the_conversations() {
    let balancer = balancer(16);
    let system = conversation(0, 8);
    let mut rng = Rng::seeded(1);
    let busy = pick(&balancer, &system, &mut rng);
    let first = busy.id().clone();
    report(&balancer, &first, &[("num_prompt_tokens_waiting", 50_000.0)]);
    let mut ids = BTreeMap::<EndpointId, usize>::new();
    for which in 1..=300 {
        let blocks = [&system[..], &conversation(which, 12)].concat();
        let picks: Vec<EndpointId> =
            (0..4).map(|_| pick(&balancer, &blocks, &mut rng).id().clone()).collect();
        assert!(picks.windows(2).all(|pair| pair[0] == pair[1]), "{picks:?}");
        *ids.entry(picks[0].clone()).or_default() += 1;
    }
    assert!(ids.len() >= 14, "{ids:?}");
}

#[test]
fn settings_outside_their_range() {
    type Case = (fn(&mut PrefixAffinityConfig), &'static str);
    let cases: [Case; 14] = [
        (|c| c.key_blocks = 0, "key_blocks = 0 must lie in [1, inf)"),
        (|c| c.candidates = 0, "candidates = 0 must lie in [1, 7]"),
        (|c| c.candidates = 8, "candidates = 8 must lie in [1, 7]"),
        (|c| c.cached = 1.1, "cached = 1.1 must lie in [0, 1]"),
        (|c| c.cached = f64::NAN, "cached = NaN must lie in [0, 1]"),
        (|c| c.falloff = -0.1, "falloff = -0.1 must lie in [0, 1]"),
        (|c| c.cached_deep = 2.0, "cached_deep = 2 must lie in [0, 1]"),
        (|c| c.prefill_rate = 0.0, "prefill_rate = 0 must lie in (0, inf)"),
        (|c| c.prefill_rate = f64::INFINITY, "prefill_rate = inf must lie in (0, inf)"),
        (|c| c.decode_cost = -1.0, "decode_cost = -1 must lie in [0, inf)"),
        (|c| c.bound = 1.0, "bound = 1 must lie in (1, inf]"),
        (|c| c.bound = f64::NAN, "bound = NaN must lie in (1, inf]"),
        (|c| c.bound_from = 0.0, "bound_from = 0 must lie in [1, inf]"),
        (|c| c.report_max_age = Duration::ZERO, "report_max_age = 0 must lie in (0, inf)"),
    ];
    for (spoil, words) in cases {
        let mut config = PrefixAffinityConfig::default();
        spoil(&mut config);
        let error = PrefixAffinity::new(config).unwrap_err();
        assert!(matches!(error, ConfigError::OutOfRange { .. }), "{error:?}");
        assert_eq!(error.to_string(), words);
    }
}

/// No full block, an empty prompt, a prompt of a length that cannot be: all are served.
#[test]
fn odd_prompts_are_served() {
    let balancer = balancer(16);
    let blocks = conversation(1, 5);
    for prompt in [Prompt::new(0, &[]), Prompt::new(u32::MAX, &[]), Prompt::new(0, &blocks)] {
        let prompt = prompt.with_output_tokens(u32::MAX);
        let context = Context::new().with_prompt(prompt);
        drop(balancer.pick(START, &context, &mut Rng::seeded(1)).unwrap());
    }
}

/// What is asked for: the replicas that the prompt names, and some drawn. The pick keeps to those that
/// answered and goes by what they said, however old news speaks of the others.
#[test]
fn who_has_just_been_asked_is_chosen_among() {
    for n in [16, 200] {
        let balancer = balancer(n);
        let mut rng = Rng::seeded(7);
        for which in 0..50 {
            let blocks = conversation(which, 20);
            let context = Context::new().with_prompt(Prompt::new(512 * 20 + 1, &blocks));
            let mut nodes = Vec::new();
            balancer.asks_before(START, &context, &mut rng, &mut nodes);
            let ids: BTreeSet<&EndpointId> = nodes.iter().map(|node| node.id()).collect();
            assert!((3..=6).contains(&nodes.len()) && ids.len() == nodes.len(), "{ids:?}");
            assert!(ids.contains(&home(&balancer, which)));
            // All have much to do but the last; nobody else was heard of.
            let idle = nodes[nodes.len() - 1].id().clone();
            for node in &nodes {
                let waiting = if *node.id() == idle { 0.0 } else { 200_000.0 };
                report(&balancer, node.id(), &[("num_prompt_tokens_waiting", waiting)]);
            }
            let asked: Vec<EndpointId> = nodes.iter().map(|node| node.id().clone()).collect();
            let lease = balancer.pick(START, &context.with_asked(&asked), &mut rng).unwrap();
            assert_eq!(*lease.id(), idle);
            lease.discard();
            // That one did not answer in time: it is not among them.
            let others = &asked[..asked.len() - 1];
            let lease = balancer.pick(START, &context.with_asked(others), &mut rng).unwrap();
            assert!(others.contains(lease.id()));
            lease.discard();
            for node in &nodes {
                report(&balancer, node.id(), &[("num_prompt_tokens_waiting", 0.0)]);
            }
        }
    }
}

#[test]
fn without_a_prompt_nobody_is_asked() {
    let mut nodes = Vec::new();
    let balancer = balancer(16);
    balancer.asks_before(START, &Context::new(), &mut Rng::seeded(1), &mut nodes);
    assert!(nodes.is_empty());
}
