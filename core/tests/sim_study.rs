//! Scenario files, studies and their results: same bytes, paired comparisons, and what is refused.
#![cfg(all(feature = "sim", not(loom)))]

use std::num::NonZeroUsize;

use trimtab_core::sim::{PolicyChoice, Results, Scenario, Study, StudyError};

const PLAIN: &str = r#"
name = "plain"
duration = "20s"
warm_up = "2s"
[clients]
count = 8
retries = 1
[traffic]
loads = [0.5, 0.9]
[[classes]]
name = "small"
share = 3
work = { exponential = "4ms" }
[[classes]]
name = "large"
work = { lognormal = { mean = "20ms", sigma = 1.0 } }
[[servers]]
name = "quick"
count = 4
speed_by_class = { large = 2.0 }
[[servers]]
name = "plain"
count = 4
pauses = { every = "1s", lasts = "20ms" }
antagonist = { takes = [0.0, 0.4], share = 0.5, every = "3s" }
reports = { every = "500ms", delay = "10ms", loss = 0.1 }
[network]
round_trip = "1ms"
jitter = 0.3
"#;

fn study(text: &str, policies: &[&str], seeds: u64) -> Study {
    let scenario = Scenario::parse(text, "dir/test.toml".as_ref()).expect("a good scenario");
    let policies = policies.iter().copied().map(PolicyChoice::named).collect();
    Study::new(scenario, policies, (1..=seeds).collect()).expect("a good study")
}

fn run(study: &Study, threads: usize) -> Results {
    study.run(NonZeroUsize::new(threads), |_| true).expect("it runs")
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let study = study(PLAIN, &["random", "least_request", "peak_ewma", "prequal", "oracle"], 2);
    let bytes = |results: &Results| serde_json::to_vec(results).expect("it is JSON");
    let one = run(&study, 1);
    assert_eq!(bytes(&one), bytes(&run(&study, 2)));
    assert_eq!(one.runs.len(), 5 * 2 * 2);
}

#[test]
fn all_policies_meet_the_same_requests() {
    let results = run(&study(PLAIN, &["random", "peak_ewma", "oracle"], 2), 2);
    for run in &results.runs {
        let twin = results
            .runs
            .iter()
            .find(|r| r.policy == "random" && r.load == run.load && r.seed == run.seed);
        assert_eq!(Some(run.of.requests), twin.map(|twin| twin.of.requests));
    }
    let seeds: Vec<u64> = results.runs[..2].iter().map(|run| run.of.requests).collect();
    assert_ne!(seeds[0], seeds[1], "seeds differ");
}

#[test]
fn comparisons_are_paired_and_have_intervals() {
    let results = run(&study(PLAIN, &["random", "oracle"], 5), 2);
    let row = results.summary.iter().find(|row| row.policy == "oracle" && row.load == Some(0.9));
    let against = row.and_then(|row| row.against.as_ref()).expect("against the first policy");
    let mean = &against.metrics["mean_ms"];
    assert!(mean.ratio < 0.6 && mean.high.is_some_and(|high| high < 1.0), "{mean:?}");
    assert!(results.summary[0].against.is_none());
    assert!(results.summary[0].metrics["p99_ms"].low.is_some());
}

#[test]
fn a_study_stops_when_it_is_told() {
    let scenario = PLAIN.replace("20s", "100000s");
    let stopped = study(&scenario, &["random"], 4).run(None, |_| false);
    assert!(matches!(stopped, Err(StudyError::Stopped)));
}

#[test]
fn a_study_that_makes_no_sense_is_refused() {
    let scenario = || Scenario::parse(PLAIN, "test.toml".as_ref()).expect("a good scenario");
    let refused = |policies: Vec<PolicyChoice>, seeds: Vec<u64>| {
        Study::new(scenario(), policies, seeds).expect_err("refused").to_string()
    };
    assert!(refused(vec![], vec![1]).contains("no policy"));
    assert!(refused(vec![PolicyChoice::named("random")], vec![]).contains("no seed"));
    let twice = vec![PolicyChoice::named("random"), PolicyChoice::named("random")];
    assert!(refused(twice, vec![1]).contains("label `random`"));
    let unknown = refused(vec![PolicyChoice::named("rnadom")], vec![1]);
    assert!(
        unknown.contains("`rnadom`") && unknown.contains("peak_ewma") && unknown.contains("oracle")
    );
    let study = Study::new(scenario(), vec![PolicyChoice::named("random")], vec![1]).expect("good");
    assert!(matches!(study.with_loads(&[-1.0]), Err(StudyError::Load { .. })));
}

/// What is written in place of what, and what the error must name.
#[test]
fn a_wrong_scenario_names_file_and_key() {
    let cases = [
        ("count = 8", "cuont = 8", vec!["test.toml", "cuont", "line 6"]),
        ("loads = [0.5, 0.9]", "rate = -5.0", vec!["line 9", "-5", "above 0"]),
        ("loads = [0.5, 0.9]", "rate = 1e6", vec!["traffic.rate", "carries"]),
        ("loads = [0.5, 0.9]", "loads = [0.5, 20.0]", vec!["traffic.loads", "carries"]),
        ("loads = [0.5, 0.9]", "", vec!["`traffic` needs"]),
        ("loads = [0.5, 0.9]", "load = 0.5\nrate = 100", vec!["traffic.rate", "give one"]),
        ("duration = \"20s\"", "duration = \"20\"", vec!["line 3", "unit"]),
        ("duration = \"20s\"", "duration = \"1s\"", vec!["warm_up"]),
        ("share = 3", "share = 0", vec!["line 12", "above 0"]),
        ("name = \"large\"", "name = \"small\"", vec!["classes[1].name", "twice"]),
        ("sigma = 1.0", "sigma = -1.0", vec!["classes[1].work", "sigma"]),
        ("{ exponential = \"4ms\" }", "{ gaussian = \"4ms\" }", vec!["gaussian", "exponential"]),
        ("{ large = 2.0 }", "{ huge = 2.0 }", vec!["speed_by_class", "huge"]),
        ("takes = [0.0, 0.4]", "takes = [0.4, 0.0]", vec!["antagonist.takes"]),
        ("every = \"500ms\"", "every = \"0s\"", vec!["reports.every"]),
        (
            "[network]",
            "[[events]]\nat = \"1s\"\naction = \"explode\"\n[network]",
            vec!["explode", "crash"],
        ),
        (
            "[network]",
            "[[events]]\nat = \"1s\"\naction = \"crash\"\nservers = { group = \"x\" }\n[network]",
            vec!["events[0].servers.group", "`x`"],
        ),
        (
            "[network]",
            "[[events]]\nat = \"5s\"\nuntil = \"1s\"\naction = \"crash\"\n[network]",
            vec!["events[0].until"],
        ),
        (
            "[network]",
            "[[events]]\nat = \"5s\"\naction = \"add\"\n[network]",
            vec!["events[0].servers", "no server"],
        ),
        (
            "[network]",
            "[[policies]]\nname = \"fastest\"\n[network]",
            vec!["policies[0]", "fastest", "peak_ewma"],
        ),
        (
            "[network]",
            "[[policies]]\nname = \"least_request\"\noptions = { choces = 3 }\n[network]",
            vec!["policies[0]", "choces"],
        ),
        (
            "loads = [0.5, 0.9]",
            "arrivals = { trace = { path = \"none.csv\" } }",
            vec!["traffic.arrivals.trace.path", "dir/none.csv"],
        ),
        (
            "loads = [0.5, 0.9]",
            "arrivals = { trace = { path = \"none.csv\", format = \"xml\" } }",
            vec!["trace.format", "xml", "mooncake"],
        ),
        ("quick", "plain", vec!["servers[1].name", "twice"]),
    ];
    for (old, new, named) in cases {
        assert!(PLAIN.contains(old), "{old}");
        let text = PLAIN.replacen(old, new, 1);
        let error = Scenario::parse(&text, "dir/test.toml".as_ref()).expect_err(new).to_string();
        for name in named {
            assert!(error.contains(name), "`{new}`: {error}\nshould name {name}");
        }
    }
}

#[test]
fn a_wrong_language_model_is_named() {
    let text = "name = 't'\nduration = '9s'\n[traffic]\nrate = 1\n[[classes]]\nname = 'a'\nprompt_tokens = { constant = 9 }\noutput_tokens = { constant = 9 }\n[[servers]]\nname = 's'\nmodel = { llm = { preset = 'mid' } }\n";
    let error = |old: &str, new: &str| {
        let text = text.replacen(old, new, 1);
        Scenario::parse(&text, "x.toml".as_ref()).expect_err(new).to_string()
    };
    assert!(Scenario::parse(text, "x.toml".as_ref()).is_ok());
    let unknown = error("'mid'", "'gpt'");
    assert!(
        unknown.contains("servers[0].model.llm") && unknown.contains("llama2-70b-h100"),
        "{unknown}"
    );
    assert!(error("rate = 1", "load = 0.5").contains("traffic.full_load"));
    assert!(error("output_tokens = { constant = 9 }", "").contains("output_tokens"));
    assert!(error("'mid'", "'mid', chunk = 0").contains("line 11"));
}

#[test]
fn what_would_never_end_or_never_fit_is_refused() {
    let cases = [
        ("share = 0.5, every = \"3s\"", "share = 0.5, every = \"0s\"", "antagonist.every"),
        ("count = 4", "count = 4\nspare = 4294967295", "servers[0].spare"),
        ("[network]", "[[events]]\nat = \"20s\"\naction = \"crash\"\n[network]", "events[0].at"),
        (
            "[network]",
            "[[events]]\nat = \"1s\"\naction = \"crash\"\nservers = { count = 9 }\n[network]",
            "events[0].servers.count",
        ),
        ("count = 4", "count = 1000000\nspare = 1000000", "in all"),
    ];
    for (old, new, named) in cases {
        assert!(PLAIN.contains(old), "{old}");
        let text = PLAIN.replacen(old, new, 1);
        let error = Scenario::parse(&text, "x.toml".as_ref()).expect_err(new).to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Scenario::read("nowhere/x.toml".as_ref()).expect_err("missing").to_string();
    assert!(error.contains("nowhere/x.toml"), "{error}");
}

proptest::proptest! {
    #[test]
    fn nonsense_is_refused_without_a_panic(cut in 0..600_usize, junk in ".{0,20}") {
        let mut at = cut.min(PLAIN.len());
        while !PLAIN.is_char_boundary(at) { at -= 1; }
        let text = format!("{}{junk}{}", &PLAIN[..at], &PLAIN[(at + 3).min(PLAIN.len())..]);
        let _ = Scenario::parse(&text, "x.toml".as_ref());
    }
}
