//! What is wrong with a trace is named with file, line and field; nothing panics on nonsense.
#![cfg(feature = "sim")]

use std::{path::PathBuf, time::Duration};

use proptest::prelude::*;
use trimtab_core::{
    Rng, Time,
    sim::trace::{Format, Trace, TraceError},
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

fn error_of(text: &str, format: Format) -> String {
    Trace::parse(text.as_bytes(), "t", format).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_with_an_azure_trace() {
    const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00.5,1,1\n";
    for (text, words) in [
        (String::new(), "t: no requests"),
        (
            "a,b\n".to_owned(),
            "t:1: found \"a,b\", expected the header TIMESTAMP,ContextTokens,GeneratedTokens",
        ),
        (format!("{AZURE}2023-11-16 18:00:01,7\n"), "t:3: found 2 columns, expected 3"),
        (
            format!("{AZURE}16.11.2023 18:00,7,7\n"),
            "t:3: TIMESTAMP: found \"16.11.2023 18:00\", expected a time such as \
             2023-11-16 18:15:46.6805900",
        ),
        (
            format!("{AZURE}2023-11-16 18:00:01,7,-1\n"),
            "t:3: GeneratedTokens: found \"-1\", expected a whole number of tokens from 1 to \
             4294967295",
        ),
        (
            format!("{AZURE}2023-11-16 18:00:01,0,1\n"),
            "t:3: ContextTokens: found \"0\", expected a whole number of tokens from 1 to \
             4294967295",
        ),
        (
            format!("{AZURE}2023-11-16 18:00:00.4,7,7\n"),
            "t:3: earlier than the line above; a trace is sorted by time",
        ),
        (
            format!("{AZURE}2523-11-16 18:00:00.4,7,7\n"),
            "t:3: more than a hundred years after the first request",
        ),
    ] {
        assert_eq!(error_of(&text, Format::AzureLlm2023), words);
    }
}

#[test]
fn what_is_wrong_with_a_mooncake_trace() {
    const ROW: &str =
        r#"{"timestamp": 5, "input_length": 600, "output_length": 1, "hash_ids": [0, 1]}"#;
    for (text, words) in [
        (
            "{\"timestamp\": 5}".to_owned(),
            "t:1: column 16: missing field `input_length`; expected an object with timestamp, \
             input_length, output_length and hash_ids",
        ),
        (
            ROW.replace("600", "\"600\""),
            "t:1: column 38: invalid type: string \"600\", expected i64; expected an object with \
             timestamp, input_length, output_length and hash_ids",
        ),
        (
            ROW.replace("5,", "-5,"),
            "t:1: timestamp: found \"-5\", expected milliseconds from 0 to a hundred years",
        ),
        (
            format!("{ROW}\n{}", ROW.replace("600", "1537")),
            "t:2: hash_ids: found \"2 ids\", expected 4, one for each 512 of 1537 tokens",
        ),
        (
            ROW.replace("600", "5000000000"),
            "t:1: input_length: found \"5000000000\", expected a whole number of tokens from 1 to \
             4294967295",
        ),
    ] {
        assert_eq!(error_of(&text, Format::Mooncake), words);
    }
}

#[test]
fn what_is_wrong_with_own_arrivals() {
    for (text, words) in [
        (
            "at_s,klass\n1,x\n".to_owned(),
            "t:1: found \"at_s,klass\", expected the header \
             at_s[,class][,prompt_tokens,output_tokens]",
        ),
        (
            "at_s,prompt_tokens\n1,1\n".to_owned(),
            "t:1: found \"at_s,prompt_tokens\", expected the header \
             at_s[,class][,prompt_tokens,output_tokens]",
        ),
        (
            "at_s,at_s\n1,1\n".to_owned(),
            "t:1: found \"at_s,at_s\", expected the header \
             at_s[,class][,prompt_tokens,output_tokens]",
        ),
        ("at_s\n\n".to_owned(), "t: no requests"),
        (
            "at_s\n1\n\n-2\n".to_owned(),
            "t:4: at_s: found \"-2\", expected seconds from 0 to 1e11, such as 12.345",
        ),
        (
            "at_s\nNaN\n".to_owned(),
            "t:2: at_s: found \"NaN\", expected seconds from 0 to 1e11, such as 12.345",
        ),
        (
            "at_s,class\n1,\"a\"\n".to_owned(),
            "t:2: class: found \"\\\"a\\\"\", expected a name without quotes",
        ),
        ("at_s,class\n1,a,b\n".to_owned(), "t:2: found 3 columns, expected 2"),
        (format!("at_s\n{}", "1".repeat(2 << 20)), "t:2: longer than 1048576 bytes"),
    ] {
        assert_eq!(error_of(&text, Format::Arrivals), words);
    }
    let error = Trace::parse(&b"at_s\n1\xff\n"[..], "t", Format::Arrivals).unwrap_err();
    assert_eq!(error.to_string(), "t:2: byte 2 is not UTF-8 text");
}

#[test]
fn a_file_that_is_not_there_or_has_no_format() {
    let error = Trace::read("no/such.csv", Format::Arrivals).unwrap_err();
    assert!(matches!(error, TraceError::Read { .. }));
    assert!(error.to_string().starts_with("no/such.csv: cannot be read: "), "{error}");
    let error = Trace::read_detected(sample("README.md")).unwrap_err().to_string();
    assert!(error.ends_with(
        "README.md: found \"# Samples of published traces\", which begins no known trace: expected \
         TIMESTAMP,ContextTokens,GeneratedTokens (azure_llm_2023), a JSON object (mooncake) or a \
         header with at_s (arrivals)"
    ));
    for name in Format::NAMES {
        assert_eq!(Format::by_name(name).unwrap().to_string(), name);
    }
    assert_eq!(
        Format::by_name("csv").unwrap_err().to_string(),
        "unknown trace format `csv`; known are azure_llm_2023, mooncake, arrivals"
    );
}

#[test]
fn rates_and_factors_that_no_trace_can_have() {
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 1e300] {
        let error = read("azure_llm_2023_code.csv").scaled_to_rate(wrong).unwrap_err();
        assert!(matches!(error, TraceError::Setting { name: "rate", .. }), "{error}");
    }
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
        let error = arrivals("at_s\n0\n2\n").stretched(wrong).unwrap_err();
        assert_eq!(error.to_string(), format!("factor = {wrong} must lie in (0, 7.884e8]"));
    }
    let error = arrivals("at_s\n5\n5\n").scaled_to_rate(1.0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "mine.csv: all requests arrive at the same instant: there is no rate to scale"
    );
    assert!(arrivals("at_s\n5\n").rate().is_infinite());
    let error = arrivals("at_s\n0\n2\n").repeated(0).unwrap_err().to_string();
    assert!(error.starts_with("times = 0 must lie in [1, "), "{error}");
    let error = read("azure_llm_2023_code.csv").repeated(100_000).unwrap_err().to_string();
    assert!(error.ends_with("100000 times: more than 20000000 requests"), "{error}");
}

/// What every trace promises.
fn assert_sound(trace: &Trace) {
    let requests = trace.requests();
    assert!(!requests.is_empty());
    assert!(requests.is_sorted_by_key(|request| request.at));
    assert!(requests.iter().all(|request| request.at <= Time::ZERO + trace.span()));
    let classes = trace.classes().len();
    assert!(requests.iter().all(|request| request.class.is_none_or(|at| (at as usize) < classes)));
    let _ = trace.summary();
}

fn any_format() -> impl Strategy<Value = Format> {
    prop::sample::select(vec![Format::AzureLlm2023, Format::Mooncake, Format::Arrivals])
}

/// The beginning of a sample with some bytes in it overwritten.
fn damaged() -> impl Strategy<Value = (Format, Vec<u8>)> {
    let names = [
        (Format::AzureLlm2023, "azure_llm_2023_conv.csv"),
        (Format::Mooncake, "mooncake_conversation.jsonl"),
    ];
    let own = b"at_s,class,prompt_tokens,output_tokens\n0.5,a,3,4\n1e1,b,4,4\n11,,1,1\n".to_vec();
    let mut whole: Vec<_> = names
        .map(|(format, name)| (format, std::fs::read(sample(name)).unwrap()[..2_000].to_vec()))
        .into();
    whole.push((Format::Arrivals, own));
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop::sample::select(whole), damage).prop_map(|((format, mut bytes), damage)| {
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        (format, bytes)
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_an_error_or_a_sound_trace(
        format in any_format(),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        if let Ok(trace) = Trace::parse(&bytes[..], "t", format) {
            assert_sound(&trace);
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_or_a_sound_trace((format, bytes) in damaged()) {
        if let Ok(trace) = Trace::parse(&bytes[..], "t", format) {
            assert_sound(&trace);
        }
    }

    #[test]
    fn reshaping_keeps_a_trace_sound(
        times in prop::collection::vec(0_u64..=3_153_600_000, 1..20),
        (by, from, length) in any::<(Duration, Duration, Duration)>(),
        factor in prop_oneof![any::<f64>(), 1e-20..1e3],
        rate in prop_oneof![any::<f64>(), 1e-9..1e12],
        times_over in 0_u32..5,
        seed in any::<u64>(),
    ) {
        let mut times = times;
        times.sort_unstable();
        let csv: Vec<_> = times.iter().map(|time| format!("{time}.5\n")).collect();
        let trace = arrivals(&format!("at_s\n{}", csv.concat()));
        assert_sound(&trace);
        let count = trace.requests().len();
        let mut rng = Rng::seeded(seed);
        for turned in [trace.clone().rotated(by), trace.clone().rotated_at_random(&mut rng)] {
            assert_sound(&turned);
            prop_assert_eq!(turned.requests().len(), count);
            prop_assert_eq!(turned.span(), trace.span());
        }
        assert_sound(&trace.clone().spread(by, &mut rng));
        for made in [
            trace.clone().stretched(factor),
            trace.clone().scaled_to_rate(rate),
            trace.clone().window(from, length),
            trace.clone().repeated(times_over),
            trace.window(from, length).and_then(|part| part.repeated(times_over)),
        ].into_iter().flatten() {
            assert_sound(&made);
        }
    }
}
