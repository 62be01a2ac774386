//! The full published traces, where they are at hand (`tests/traces/README.md` tells from where):
//! `TRIMTAB_TRACES=folder cargo test -p trimtab-core --features sim --test sim_trace_full -- --ignored`.
#![cfg(feature = "sim")]

use std::{collections::HashSet, fs, path::PathBuf, time::Duration};

use trimtab_core::{
    Rng,
    sim::trace::{Format, ServeGen, Summary, Trace},
};

fn file(name: &str) -> PathBuf {
    let folder = std::env::var_os("TRIMTAB_TRACES").expect("TRIMTAB_TRACES names the folder");
    PathBuf::from(folder).join(name)
}

fn show(name: &str, summary: &Summary) {
    println!(
        "{name}: {} requests, {:.3} s, {:.3}/s, CV {:.3}, {:.1} and {:.1} tokens, hits {:?}",
        summary.requests,
        summary.duration.as_secs_f64(),
        summary.rate,
        summary.gap_cv.unwrap_or(f64::NAN),
        summary.prompt_tokens,
        summary.output_tokens,
        summary.block_hits,
    );
}

#[track_caller]
fn assert_near(found: f64, truth: f64) {
    assert!((found / truth - 1.0).abs() < 1e-4, "{found}, expected {truth}");
}

#[test]
#[ignore = "needs the full traces"]
fn azure() {
    for (name, requests, millis, rate, cv, prompt, output) in [
        ("azure_llm_2023_conv.csv", 19_366, 3_501_722, 5.530_14, 1.094_17, 1_154.697, 211.126),
        ("azure_llm_2023_code.csv", 8_819, 3_435_948, 2.566_40, 13.151_29, 2_047.848, 27.882_5),
    ] {
        let trace = Trace::read_detected(file(name)).unwrap();
        assert_eq!(trace, Trace::read(file(name), Format::AzureLlm2023).unwrap());
        let summary = trace.summary();
        show(name, &summary);
        assert_eq!(summary.requests, requests);
        assert_eq!((summary.duration.as_nanos() + 500_000) / 1_000_000, millis);
        assert_near(summary.rate, rate);
        assert_near(summary.gap_cv.unwrap(), cv);
        assert_near(summary.prompt_tokens, prompt);
        assert_near(summary.output_tokens, output);
        assert_eq!(summary.block_hits, None);
    }
}

#[test]
#[ignore = "needs the full traces"]
fn mooncake() {
    for (name, requests, millis, rate, cv, hits, published_hits) in [
        (
            "mooncake_fast25_conversation.jsonl",
            12_031,
            3_536_999,
            3.401_19,
            3.033_74,
            0.381_900,
            0.366_412,
        ),
        (
            "mooncake_fast25_synthetic.jsonl",
            3_993,
            1_022_025,
            3.905_97,
            1.011_31,
            0.659_439,
            0.639_604,
        ),
    ] {
        let trace = Trace::read_detected(file(name)).unwrap();
        let summary = trace.summary();
        show(name, &summary);
        assert_eq!(summary.requests, requests);
        assert_eq!(summary.duration, Duration::from_millis(millis));
        assert_near(summary.rate, rate);
        assert_near(summary.gap_cv.unwrap(), cv);
        assert_near(summary.block_hits.unwrap(), hits);

        // Counted from the ids as they are published, partial blocks included.
        let (mut seen, mut known, mut all) = (HashSet::new(), 0, 0);
        for line in fs::read_to_string(file(name)).unwrap().lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            for id in row["hash_ids"].as_array().unwrap() {
                all += 1;
                known += u32::from(!seen.insert(id.as_u64().unwrap()));
            }
        }
        println!("  with partial blocks: {}", f64::from(known) / f64::from(all));
        assert_near(f64::from(known) / f64::from(all), published_hits);
    }
}

#[test]
#[ignore = "needs the full traces"]
fn mooncake_spread_over_its_steps_has_no_lumps() {
    let trace = Trace::read_detected(file("mooncake_fast25_conversation.jsonl")).unwrap();
    let spread = trace.spread(Duration::from_secs(3), &mut Rng::seeded(1)).summary();
    show("conversation, spread", &spread);
    // What is left beyond 1 is the load that changes over the hour.
    assert!((0.95..1.15).contains(&spread.gap_cv.unwrap()));
    assert_near(spread.rate, 12_031.0 / 3_539.999);
}

#[test]
#[ignore = "needs the full traces"]
fn servegen() {
    let service = ServeGen::read(file("data/reason/deepseek-r1")).unwrap();
    assert_eq!((service.clients(), service.windows()), (73, 144));
    assert_eq!(service.window_length(), Duration::from_secs(600));
    let rates = service.rates();
    let (least, most) = rates
        .iter()
        .fold((f64::MAX, 0.0_f64), |(least, most), rate| (least.min(*rate), most.max(*rate)));
    assert_near(least, 4.311_67);
    assert_near(most, 42.52);
    let day = service.generate(0..144, 1.0, &mut Rng::seeded(1)).unwrap();
    let summary = day.summary();
    show("servegen deepseek-r1, a day", &summary);
    // Every window's measured count, and the lengths that its clients' distributions expect.
    assert_eq!(summary.requests, 1_383_669);
    assert_near(summary.rate, 16.014_69);
    assert!((summary.prompt_tokens / 1_268.25 - 1.0).abs() < 0.01);
    assert!((summary.output_tokens / 1_527.42 - 1.0).abs() < 0.01);
    let part = service.generate(60..66, 0.1, &mut Rng::seeded(1)).unwrap().summary();
    show("servegen deepseek-r1, windows 60..66 at 0.1", &part);
}
