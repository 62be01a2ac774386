//! Traffic generated from measured clients keeps what was measured: rates, bursts, lengths.
#![cfg(feature = "sim")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use proptest::prelude::*;
use trimtab_core::{
    Rng,
    sim::trace::{ServeGen, Trace, TraceRequest},
};

fn sample() -> ServeGen {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/traces/servegen");
    ServeGen::read(folder).unwrap()
}

/// A folder of one test, with these files.
fn folder(test: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("serve_gen_{test}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    folder
}

const LENGTHS: &str = r#"{"0": {"input_tokens": "{10: 0.25, 30: 0.75}", "output_tokens": "{7: 1.0}",
    "reason_ratio": "{0.5: 1.0}"}}"#;

/// One client with these windows.
fn client(test: &str, windows: &str) -> ServeGen {
    let files = [("chunk-3-trace.csv", windows), ("chunk-3-dataset.json", LENGTHS)];
    ServeGen::read(folder(test, &files)).unwrap()
}

fn seeded(service: &ServeGen, windows: std::ops::Range<usize>, scale: f64, seed: u64) -> Trace {
    service.generate(windows, scale, &mut Rng::seeded(seed)).unwrap()
}

#[test]
fn the_sample_sends_what_was_measured() {
    let service = sample();
    assert_eq!((service.clients(), service.windows()), (2, 144));
    assert_eq!(service.window_length(), Duration::from_secs(600));
    let rates = service.rates();
    assert!(rates[..107].iter().all(|rate| *rate == 0.0));
    let day = seeded(&service, 0..144, 1.0, 1);
    // Counted from the raw files, as are the means that the clients' distributions expect. The
    // standard error of the prompt's mean is about 1, the answer's 3: five of them are allowed.
    let summary = day.summary();
    assert_eq!(summary.requests, 8_805);
    assert!((summary.prompt_tokens - 137.294).abs() < 7.0, "{summary:?}");
    assert!((summary.output_tokens - 286.459).abs() < 15.0, "{summary:?}");
    assert_eq!(day.span(), Duration::from_secs(86_400));
    let names: Vec<_> = day.classes().iter().map(AsRef::as_ref).collect();
    assert_eq!(names, ["client-41", "client-46"]);
    for (window, rate) in rates.iter().enumerate() {
        let start = Duration::from_secs(600 * window as u64);
        let found = day.clone().window(start, service.window_length());
        let found = found.map_or(0, |window| window.requests().len()) as f64;
        // An arrival at the very end of a window may be rounded into the next.
        assert!((found - rate * 600.0).abs() < 1.5, "window {window}: {found}, {}", rate * 600.0);
    }
}

#[test]
fn a_seed_fixes_the_trace_and_a_scale_its_rate() {
    let service = sample();
    assert_eq!(seeded(&service, 132..140, 1.0, 5), seeded(&service, 132..140, 1.0, 5));
    assert_ne!(seeded(&service, 132..140, 1.0, 5), seeded(&service, 132..140, 1.0, 6));
    let whole = seeded(&service, 132..140, 1.0, 5).rate();
    let fifth = seeded(&service, 132..140, 0.2, 5).rate();
    // 16 counts, each rounded by less than one of about 200 x 0.2.
    assert!((fifth / whole / 0.2 - 1.0).abs() < 0.03, "{fifth} of {whole}");
}

#[test]
fn counts_below_one_are_rounded_by_chance() {
    let service = client("rare", "0,0.0005,1,Gamma,1,1\n"); // 0.3 requests in ten minutes
    let mut rng = Rng::seeded(2);
    let sent = (0..2_000).filter(|_| service.generate(0..1, 1.0, &mut rng).is_ok()).count();
    // 600 expected, standard deviation 20.
    assert!((500..700).contains(&sent), "{sent}");
}

#[test]
fn a_lone_arrival_lies_anywhere_in_its_window() {
    let service = client("lone", &format!("0,{},1,Gamma,0.05,1\n", 1.0 / 600.0));
    let mut quarters = [0; 4];
    for seed in 0..800 {
        let trace = seeded(&service, 0..1, 1.0, seed);
        assert_eq!(trace.requests().len(), 1);
        let second = trace.requests()[0].at.as_nanos() / 1_000_000_000;
        quarters[(second / 150) as usize] += 1;
    }
    // 200 expected in each, standard deviation 12.
    assert!(quarters.iter().all(|count| (140..260).contains(count)), "{quarters:?}");
}

#[test]
fn gaps_are_as_bursty_as_they_were() {
    // One window of 60,000 requests each: a Gamma of CV 4 and of CV 0.5, a Weibull of CV 2.236.
    for (test, family, cv, slack) in [
        ("bursts", "Gamma,0.0625,2", 4.0, 0.2),
        ("regular", "Gamma,4,9", 0.5, 0.01),
        ("weibull", "Weibull,0.5,0.1", 5.0_f64.sqrt(), 0.1),
    ] {
        let service = client(test, &format!("0,100,9,{family}\n"));
        let summary = seeded(&service, 0..1, 1.0, 3).summary();
        assert_eq!(summary.requests, 60_000);
        assert!((summary.gap_cv.unwrap() - cv).abs() < slack, "{test}: {summary:?}");
    }
}

#[test]
fn the_burstiest_that_can_be_read_still_makes_a_trace() {
    for family in ["Gamma,0.001,1e-100", "Weibull,0.01,1e100", "Gamma,1e6,1", "Weibull,1e6,1"] {
        let service = client("extreme", &format!("0,1,1,{family}\n600,0,0,,0,0\n"));
        assert_eq!(seeded(&service, 0..2, 1.0, 3).requests().len(), 600, "{family}");
        // Few gaps may all be smaller than any float.
        for seed in 0..20 {
            assert_eq!(seeded(&service, 0..1, 1.0 / 600.0, seed).requests().len(), 1, "{family}");
        }
    }
}

#[test]
fn lengths_follow_the_distribution_in_force() {
    let lengths = r#"{
        "0": {"input_tokens": "{10: 0.25, 30: 0.75}", "output_tokens": "{7: 1.0}"},
        "1200": {"input_tokens": "{}", "output_tokens": "{}"},
        "1800": {"input_tokens": "{5: 1.0}", "output_tokens": "{0: 0.5, 9: 0.5, 99: 0.0}"}}"#;
    let windows = "0,1,1,Gamma,1,1\n600,1,1,Gamma,1,1\n1200,1,1,Gamma,1,1\n1800,1,1,Gamma,1,1\n";
    let files = [("chunk-0-trace.csv", windows), ("chunk-0-dataset.json", lengths)];
    let service = ServeGen::read(folder("lengths", &files)).unwrap();
    let early = seeded(&service, 0..3, 1.0, 1);
    assert!(early.requests().iter().all(|request| [10, 30].contains(&request.prompt_tokens)));
    let short = early.requests().iter().filter(|request| request.prompt_tokens == 10).count();
    // 450 of 1,800 expected, standard deviation 18.
    assert!((360..540).contains(&short), "{short}");
    let late = seeded(&service, 3..4, 1.0, 1);
    assert!(late.requests().iter().all(|request| request.prompt_tokens == 5));
    // No request without an answer.
    assert!(late.requests().iter().all(|request| [1, 9].contains(&request.output_tokens)));
}

#[test]
fn a_long_prompt_does_not_mean_a_long_answer() {
    let halves = "{1: 0.5, 9: 0.5}";
    let lengths = serde_json::json!({"0": {"input_tokens": halves, "output_tokens": halves}});
    let lengths = lengths.to_string();
    let files = [("chunk-0-trace.csv", "0,1,1,Gamma,1,1\n"), ("chunk-0-dataset.json", &lengths)];
    let service = ServeGen::read(folder("independent", &files)).unwrap();
    let trace = seeded(&service, 0..1, 1.0, 1);
    let alike = |request: &&TraceRequest| request.prompt_tokens == request.output_tokens;
    // 300 of 600 expected, standard deviation 12.
    let alike = trace.requests().iter().filter(alike).count();
    assert!((240..360).contains(&alike), "{alike}");
}

#[test]
fn what_cannot_be_generated() {
    let service = client("settings", "0,0,0,,0,0\n600,1,1,Gamma,1,1\n");
    let words = |windows, scale| {
        service.generate(windows, scale, &mut Rng::seeded(1)).unwrap_err().to_string()
    };
    assert_eq!(words(2..3, 1.0), "first window = 2 must lie in [0, 1]");
    assert_eq!(words(0..3, 1.0), "end of the windows = 3 must lie in [1, 2]");
    assert_eq!(words(1..1, 1.0), "end of the windows = 1 must lie in [2, 2]");
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(words(0..2, scale), format!("rate scale = {scale} must lie in (0, inf)"));
    }
    assert!(words(0..1, 1.0).ends_with("windows 0..1 at 1 times the rate: no requests"));
    assert!(words(0..2, 1e300).contains("more than 20000000 requests"));
}

const RATES: &str = "0,1,1,Gamma,1,1\n600,1,1,Gamma,1,1\n";

/// What reading a folder with one client fails with.
fn error_of(test: &str, rates: &str, lengths: &str) -> String {
    let files = [("chunk-0-trace.csv", rates), ("chunk-0-dataset.json", lengths)];
    ServeGen::read(folder(&format!("bad_{test}"), &files)).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_with_rates_is_named() {
    for (test, rates, words) in [
        ("columns", "0,1,1,Gamma,1\n", "chunk-0-trace.csv:1: found 5 columns, expected 6"),
        (
            "family",
            "0,1,1,Pareto,1,1\n",
            "chunk-0-trace.csv:1: family: found \"Pareto\", expected Gamma, Weibull or nothing",
        ),
        (
            "shape",
            "0,1,1,Gamma,0,1\n",
            "chunk-0-trace.csv:1: Gamma shape: found \"0\", expected a number in [1e-3, 1e6]",
        ),
        (
            "rate",
            "0,-1,1,Gamma,1,1\n",
            "chunk-0-trace.csv:1: rate: found \"-1\", expected a finite number of at least 0",
        ),
        (
            "nan",
            "0,NaN,1,Gamma,1,1\n",
            "chunk-0-trace.csv:1: rate: found \"NaN\", expected a finite number of at least 0",
        ),
        (
            "no_family",
            "0,2,1,,1,1\n",
            "chunk-0-trace.csv:1: rate: found \"2\", expected 0 without a family",
        ),
        (
            "steps",
            "0,1,1,Gamma,1,1\n600,1,1,Gamma,1,1\n1300,1,1,Gamma,1,1\n",
            "chunk-0-trace.csv:3: start: found \"1300\", expected 1200: windows begin at 0 and are \
             equally long",
        ),
        ("empty", "\n", "chunk-0-trace.csv: no requests"),
    ] {
        let error = error_of(test, rates, LENGTHS);
        assert!(error.ends_with(words), "{test}: {error}");
    }
}

#[test]
fn what_is_wrong_with_lengths_is_named() {
    for (test, lengths, words) in [
        (
            "json",
            "[]",
            "chunk-0-dataset.json: not token lengths by window: invalid type: sequence, expected a \
             map at line 1 column 0",
        ),
        (
            "key",
            r#"{"x": {"input_tokens": "{1: 1.0}", "output_tokens": "{1: 1.0}"}}"#,
            "chunk-0-dataset.json: window \"x\": expected whole seconds",
        ),
        (
            "text",
            r#"{"0": {"text_tokens": "{1: 1.0}", "output_tokens": "{1: 1.0}"}}"#,
            "chunk-0-dataset.json: window \"0\", input_tokens: not there; prompts must be text alone",
        ),
        (
            "sum",
            r#"{"0": {"input_tokens": "{1: 0.5, 2: 0.25}", "output_tokens": "{1: 1.0}"}}"#,
            "chunk-0-dataset.json: window \"0\", input_tokens: probabilities sum to 0.75, expected 1",
        ),
        (
            "entry",
            r#"{"0": {"input_tokens": "{1: 1.0}", "output_tokens": "{-1: 1.0}"}}"#,
            "chunk-0-dataset.json: window \"0\", output_tokens: found \"-1: 1.0\", expected a whole \
             number, a colon and a probability",
        ),
        (
            "table",
            r#"{"0": {"input_tokens": "1", "output_tokens": "{-1: 1.0}"}}"#,
            "chunk-0-dataset.json: window \"0\", input_tokens: found \"1\", expected {length: \
             probability, ...}",
        ),
        (
            "late",
            r#"{"1200": {"input_tokens": "{1: 1.0}", "output_tokens": "{1: 1.0}"}}"#,
            "chunk-0-dataset.json: at its beginning: no token lengths up to second 0, when the \
             client sends",
        ),
    ] {
        let error = error_of(test, RATES, lengths);
        assert!(error.ends_with(words), "{test}: {error}");
    }
}

#[test]
fn what_is_wrong_with_a_folder_is_named() {
    let error = ServeGen::read(folder("none", &[])).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "chunk-0-trace.csv: not there; a ServeGen folder has one such file for each client"
        ),
        "{error}"
    );
    let error = ServeGen::read(folder("half", &[("chunk-0-trace.csv", RATES)])).unwrap_err();
    assert!(error.to_string().contains("chunk-0-dataset.json: not there; each client has"));
    let error = ServeGen::read("no/such/folder").unwrap_err().to_string();
    assert!(error.starts_with("no/such/folder: cannot be read: "), "{error}");
    let files = [
        ("chunk-0-trace.csv", RATES),
        ("chunk-0-dataset.json", LENGTHS),
        ("chunk-1-trace.csv", "0,1,1,Gamma,1,1\n"),
        ("chunk-1-dataset.json", LENGTHS),
    ];
    let error = ServeGen::read(folder("uneven", &files)).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "chunk-1-trace.csv:1: ends after 1 windows of 600s, where the other clients have 2 of \
             600s"
        ),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nonsense_is_an_error_or_a_sound_trace(
        rates in prop_oneof![
            "[0-9,.a-zA-Z\n-]{0,60}",
            "0,[0-9e.-]{1,4},1,(Gamma|Weibull|),[0-9e.-]{1,4},[0-9e.-]{1,4}\n",
        ],
        table in prop_oneof!["\\PC{0,30}", "\\{([0-9]{1,4}: [0-9.e-]{1,5}, )?1: 1.0\\}"],
        scale in any::<f64>(),
    ) {
        let lengths = serde_json::json!({ "0": { "input_tokens": table, "output_tokens": "{1: 1}" } });
        let lengths = lengths.to_string();
        let files = [("chunk-0-trace.csv", &rates[..]), ("chunk-0-dataset.json", &lengths[..])];
        if let Ok(service) = ServeGen::read(folder("nonsense", &files)) {
            for scale in [scale, 1e-3] {
                if let Ok(trace) = service.generate(0..1, scale, &mut Rng::seeded(1)) {
                    prop_assert!(trace.requests().is_sorted_by_key(|request| request.at));
                    prop_assert!(trace.requests().iter().all(|request| request.prompt_tokens > 0));
                }
            }
        }
    }
}
