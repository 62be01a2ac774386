//! How load reports reach clients: beside the answers, or with them.
#![cfg(all(feature = "sim", not(loom)))]

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use trimtab_core::sim::{PolicyChoice, Scenario, Setup, Simulation, results::Run};

fn simulate(text: &str, policy: &str) -> (Run, Vec<f64>) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inline.toml");
    let scenario = Scenario::parse(text, &here).expect("a good scenario");
    let setup = Setup::new(PolicyChoice::named(policy), scenario.loads()[0], 1);
    let mut simulation = Simulation::new(&Arc::new(scenario), &setup).expect("a good setup");
    simulation.run(&AtomicBool::new(false));
    (simulation.figures(), simulation.endpoints().share)
}

/// One server twice as fast as the other; `weighted_round_robin` knows only what they report.
fn share_of_the_fast_one(reports: &str) -> f64 {
    let text = format!(
        r#"
        name = "two"
        duration = "120s"
        warm_up = "40s"
        [clients]
        count = 2
        [traffic]
        load = 0.5
        [[classes]]
        name = "all"
        work = {{ exponential = "10ms" }}
        [[servers]]
        name = "fast"
        speed = 2
        {reports}
        [[servers]]
        name = "slow"
        {reports}
        "#
    );
    simulate(&text, "weighted_round_robin").1[0]
}

#[test]
fn a_report_with_each_answer_tells_as_much_as_one_beside_them() {
    let none = share_of_the_fast_one("");
    let beside = share_of_the_fast_one("reports = { every = '1s' }");
    let with = share_of_the_fast_one("reports = { in_band = true }");
    assert!((none - 0.5).abs() < 0.02, "{none}");
    assert!(beside > 0.6 && (with - beside).abs() < 0.03, "{beside} beside, {with} with");
}

/// With one client an answer's report is as good as one of a second ago; with a hundred each hears too
/// little.
#[test]
fn a_report_with_an_answer_is_for_the_client_that_gets_it() {
    let first_byte = |clients: u32, reports: &str| {
        let text = format!(
            r#"
            name = "language models"
            duration = "300s"
            warm_up = "30s"
            [clients]
            count = {clients}
            [traffic]
            rate = 8
            [[classes]]
            name = "all"
            prompt_tokens = {{ lognormal = {{ mean = 6000, sigma = 1.0 }} }}
            output_tokens = {{ constant = 20 }}
            [[servers]]
            name = "r"
            count = 8
            model = {{ llm = {{ preset = "mid" }} }}
            {reports}
            "#
        );
        simulate(&text, "prefix_affinity").0.first_byte_p90_ms.expect("measured")
    };
    let (beside, with) = ("reports = { every = '1s' }", "reports = { in_band = true }");
    assert!(first_byte(100, with) > 1.2 * first_byte(100, beside));
    assert!(first_byte(1, with) < 1.1 * first_byte(1, beside));
}

/// A key from the prompt keeps conversations together under a policy that knows keys only.
#[test]
fn a_prompt_can_be_its_requests_key() {
    let hit = |classes: &str| {
        let text = format!(
            r#"
            name = "conversations"
            duration = "60s"
            [traffic]
            [traffic.arrivals.trace]
            path = "../../tests/traces/mooncake_synthetic.jsonl"
            {classes}
            [[servers]]
            name = "r"
            count = 8
            model = {{ llm = {{ preset = "mid" }} }}
            "#
        );
        simulate(&text, "rendezvous").0.cache_hit.expect("it has a cache")
    };
    let (keyed, not) = (hit("[[classes]]\nname = 'all'\nkey_block = 3"), hit(""));
    assert!(keyed > not + 0.1, "{keyed} keyed, {not} not");
}

#[test]
fn wrong_settings_are_named() {
    let refused = |classes: &str, reports: &str| {
        let text = format!(
            "name = 't'\nduration = '9s'\ntraffic.rate = 1\n[[classes]]\nname = 'all'\nwork = {{ constant = '1ms' }}\n{classes}\n[[servers]]\nname = 's'\n{reports}"
        );
        Scenario::parse(&text, "test.toml".as_ref()).expect_err("refused").to_string()
    };
    let both = refused("key_block = 3\nkeys = 4", "");
    assert!(both.contains("classes[0].key_block") && both.contains("`keys`"), "{both}");
    let no_trace = refused("key_block = 3", "");
    assert!(no_trace.contains("key_block") && no_trace.contains("trace"), "{no_trace}");
    let never = refused("", "reports = { delay = '1ms' }");
    assert!(never.contains("servers[0].reports.every") && never.contains("in_band"), "{never}");
}

/// Many clients, small requests: what a report of a second ago says is not so any more.
#[test]
fn asking_before_the_pick_beats_reports_of_a_second_ago() {
    let run = |clients: &str, reports: &str| {
        let text = format!(
            r#"
            name = "language models"
            duration = "300s"
            warm_up = "30s"
            [clients]
            count = 64
            {clients}
            [traffic]
            rate = 12
            [[classes]]
            name = "all"
            prompt_tokens = {{ lognormal = {{ mean = 1200, sigma = 0.7 }} }}
            output_tokens = {{ constant = 100 }}
            [[servers]]
            name = "r"
            count = 4
            model = {{ llm = {{ preset = "mid" }} }}
            {reports}
            [network]
            round_trip = "1ms"
            probes = {{ loss = 0.02 }}
            "#
        );
        simulate(&text, "prefix_affinity").0
    };
    let reported = run("", "reports = { every = '1s' }");
    let asked = run("ask_first = true", "");
    let p90 = |run: &Run| run.first_byte_p90_ms.expect("measured");
    assert!(p90(&asked) < 0.8 * p90(&reported), "{} against {}", p90(&asked), p90(&reported));
    assert_eq!((asked.requests, asked.failed, reported.probes), (reported.requests, 0, 0));
    // Three drawn of four; without blocks the prompt names none.
    assert_eq!(asked.probes, 3 * asked.requests);
}
