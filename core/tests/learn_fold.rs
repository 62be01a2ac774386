//! The fold: any sharding in any order gives the identical model, and what is wrong is counted.

#![cfg(feature = "train")]

use proptest::prelude::*;
use trimtab_core::learn::train::{
    Coded, Columns, Config, End, Fit, Lines, Observation, Raw, RowError, Sample, Sketch, Stats,
    TrainError,
};

#[derive(Clone, Debug)]
struct Row {
    class: usize,
    endpoint: usize,
    labelled: bool,
    end: usize,
    ts: f64,
    raw: Raw,
}

const ENDS: [(&str, Option<&str>); 7] = [
    ("ok", None),
    ("ok", None),
    ("ignored", None),
    ("timeout", Some("timeout")),
    ("cancelled", Some("cancelled")),
    ("status", None),
    ("connect", None),
];

impl Row {
    fn class(&self) -> String {
        format!("class-{}", self.class)
    }

    fn chosen(&self) -> String {
        format!("e{}", self.endpoint)
    }

    fn archetype(&self) -> Option<String> {
        self.labelled.then(|| format!("gpu={}", self.endpoint % 2))
    }

    fn end(&self) -> End {
        let (status, censored) = ENDS[self.end];
        End::from_columns(status, censored.is_some()).unwrap()
    }

    fn fold(&self, stats: &mut Stats) {
        let (class, chosen, archetype) = (self.class(), self.chosen(), self.archetype());
        let sample = Sample::new(self.end(), &self.raw).unwrap();
        stats.saw(self.ts);
        stats
            .observe(&Observation {
                class: &class,
                chosen: &chosen,
                archetype: archetype.as_deref(),
                sample,
            })
            .unwrap();
    }
}

prop_compose! {
    fn rows()(
        class in 0_usize..3,
        endpoint in 0_usize..6,
        labelled in prop::bool::weighted(0.7),
        end in 0..ENDS.len(),
        latency in 0.001_f64..1e5,
        server in prop::option::of(0.001_f64..1e3),
        in_flight in prop::option::of(0_i64..50),
        weight in prop::option::of(0.1_f64..100.0),
        ts in 0.0_f64..2e9,
    ) -> Row {
        let raw = Raw {
            latency_ms: Some(latency),
            server_ms: server,
            in_flight,
            sample_weight: weight,
        };
        Row { class, endpoint, labelled, end, ts, raw }
    }
}

fn stats_of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Stats {
    let mut stats = Stats::new();
    rows.into_iter().for_each(|row| row.fold(&mut stats));
    stats
}

fn fit(stats: &Stats) -> Result<Fit, TrainError> {
    stats.finalize(&Config::default().with_min_rows(3))
}

proptest! {
    /// Associative and commutative: however the rows are sharded, shuffled and merged, the bytes of the
    /// model and the report are the same.
    #[test]
    fn any_sharding_in_any_order_gives_the_identical_model(
        rows in prop::collection::vec(rows(), 1..150),
        shards in prop::collection::vec(any::<u8>(), 150),
        order in Just(()).prop_perturb(|(), mut rng| {
            let mut keys = [0_u64; 150];
            for key in &mut keys {
                *key = rng.next_u64();
            }
            keys
        }),
        right in any::<bool>(),
    ) {
        let whole = fit(&stats_of(&rows));
        let mut shuffled: Vec<(usize, &Row)> = rows.iter().enumerate().collect();
        shuffled.sort_by_key(|(index, _)| order[*index]);
        let parts: Vec<Stats> = (0..4)
            .map(|shard| {
                let mine = shuffled.iter().filter(|(index, _)| shards[*index] % 4 == shard);
                stats_of(mine.map(|(_, row)| *row))
            })
            .collect();
        let mut merged = Stats::new();
        if right {
            // a + (b + (c + d))
            for part in parts.iter().rev() {
                let mut sum = part.clone();
                sum.merge(&merged).unwrap();
                merged = sum;
            }
        } else {
            // ((a + b) + c) + d
            for part in &parts {
                merged.merge(part).unwrap();
            }
        }
        let merged = fit(&merged);
        match (whole, merged) {
            (Ok(whole), Ok(merged)) => {
                prop_assert_eq!(whole.model.to_bytes(), merged.model.to_bytes());
                prop_assert_eq!(whole.report, merged.report);
            }
            (whole, merged) => prop_assert_eq!(whole, merged),
        }
    }

    /// A batch of columns and the rows one by one are the same fold.
    #[test]
    fn columns_and_rows_fold_alike(rows in prop::collection::vec(rows(), 1..100)) {
        let by_row = stats_of(&rows);
        let mut by_column = Stats::new();
        let batch = Batch::of(&rows);
        by_column
            .fold_columns(&batch.columns(), |row, error| panic!("row {row}: {error}"))
            .unwrap();
        prop_assert_eq!(fit(&by_row), fit(&by_column));
    }

    /// Whatever is in a file and however it is cut, nothing panics, every line counts once, and the cut
    /// does not matter.
    #[test]
    fn how_a_file_is_cut_does_not_matter(
        lines in prop::collection::vec(
            prop_oneof![
                Just(GOOD.as_bytes().to_vec()),
                Just(b"{}".to_vec()),
                prop::collection::vec(any::<u8>(), 0..40),
            ],
            0..12,
        ),
        size in 1_usize..60,
    ) {
        let bytes = lines.join(&b'\n');
        let fold = |size: usize| {
            let (mut stats, mut lines) = (Stats::new(), Lines::new("a"));
            let read = bytes
                .chunks(size)
                .try_for_each(|chunk| lines.push(chunk, |line| stats.fold_json(line)))
                .and_then(|()| lines.finish(|line| stats.fold_json(line)));
            (read, stats.rows(), stats.wrong(), lines.wrong(), lines.shown().to_vec())
        };
        let whole = fold(usize::MAX);
        prop_assert_eq!(&fold(size), &whole);
        let not_empty = |line: &&[u8]| !line.trim_ascii().is_empty();
        let count = bytes.split(|byte| *byte == b'\n').filter(not_empty).count() as u64;
        prop_assert_eq!(whole.1, count);
        prop_assert_eq!(whole.2, whole.3);
    }

    /// The sketch answers within one percent of the exact quantile, merged or not.
    #[test]
    fn the_sketch_is_within_one_percent(
        values in prop::collection::vec(1_u64..1 << 45, 1..300),
        q in 0.0..=1.0_f64,
        cut in any::<prop::sample::Index>(),
    ) {
        let (left, right) = values.split_at(cut.index(values.len()));
        let of = |values: &[u64]| {
            let mut sketch = Sketch::default();
            for value in values {
                sketch.add(*value);
            }
            sketch
        };
        let mut merged = of(right);
        merged.merge(&of(left));
        prop_assert_eq!(&merged, &of(&values));
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let rank = ((q * sorted.len() as f64 - 1e-9).ceil() as usize).clamp(1, sorted.len());
        let exact = sorted[rank - 1] as f64;
        let found = merged.quantile(q).unwrap() as f64;
        prop_assert!((found - exact).abs() <= 0.01 * exact + 0.5, "{found} for {exact}");
    }
}

/// Rows as columns with dictionaries.
struct Batch {
    text: [(Vec<i32>, Vec<String>); 5],
    numbers: [Vec<f64>; 4],
    in_flight: Vec<i64>,
}

impl Batch {
    fn of(rows: &[Row]) -> Self {
        let coded = |values: Vec<Option<String>>| {
            let mut dictionary: Vec<String> = Vec::new();
            let codes = values
                .into_iter()
                .map(|value| {
                    let Some(value) = value else { return -1 };
                    let known = dictionary.iter().position(|v| *v == value);
                    let code = known.unwrap_or_else(|| {
                        dictionary.push(value);
                        dictionary.len() - 1
                    });
                    i32::try_from(code).unwrap()
                })
                .collect();
            (codes, dictionary)
        };
        let end = |row: &Row| ENDS[row.end];
        let number = |of: fn(&Raw) -> Option<f64>| {
            rows.iter().map(|row| of(&row.raw).unwrap_or(f64::NAN)).collect()
        };
        Self {
            text: [
                coded(rows.iter().map(|row| Some(row.class())).collect()),
                coded(rows.iter().map(|row| Some(row.chosen())).collect()),
                coded(rows.iter().map(Row::archetype).collect()),
                coded(rows.iter().map(|row| Some(end(row).0.to_owned())).collect()),
                coded(rows.iter().map(|row| end(row).1.map(str::to_owned)).collect()),
            ],
            numbers: [
                rows.iter().map(|row| row.ts).collect(),
                number(|raw| raw.latency_ms),
                number(|raw| raw.server_ms),
                number(|raw| raw.sample_weight),
            ],
            in_flight: rows.iter().map(|row| row.raw.in_flight.unwrap_or(-1)).collect(),
        }
    }

    fn columns(&self) -> Columns<'_> {
        let coded =
            |index: usize| Coded { codes: &self.text[index].0, values: &self.text[index].1 };
        Columns {
            class: coded(0),
            chosen: coded(1),
            archetype: Some(coded(2)),
            status: coded(3),
            censored: Some(coded(4)),
            ts: Some(&self.numbers[0]),
            latency_ms: Some(&self.numbers[1]),
            server_ms: Some(&self.numbers[2]),
            in_flight: Some(&self.in_flight),
            sample_weight: Some(&self.numbers[3]),
        }
    }
}

#[test]
fn columns_of_different_lengths_are_refused() {
    let (a, b) = (vec!["a".to_owned()], vec!["ok".to_owned()]);
    let long = Coded { codes: &[0, 0], values: &a };
    let short = Coded { codes: &[0], values: &b };
    let columns = Columns {
        class: long,
        chosen: long,
        archetype: None,
        status: short,
        censored: None,
        ts: None,
        latency_ms: None,
        server_ms: None,
        in_flight: None,
        sample_weight: None,
    };
    assert_eq!(Stats::new().fold_columns(&columns, |_, _| {}), Err(TrainError::Uneven));
}

fn read(log: &str) -> (Stats, Lines, Result<(), TrainError>) {
    let (mut stats, mut lines) = (Stats::new(), Lines::new("a.jsonl"));
    let read = log
        .as_bytes()
        .chunks(7)
        .try_for_each(|chunk| lines.push(chunk, |line| stats.fold_json(line)))
        .and_then(|()| lines.finish(|line| stats.fold_json(line)));
    (stats, lines, read)
}

const GOOD: &str = r#"{"class":"a","chosen":"e","latency_ms":5.0,"status":"ok"}"#;

#[test]
fn wrong_rows_are_counted_and_shown_with_their_line() {
    let bad = [
        "not json",
        r#"{"class":"a","chosen":"e","latency_ms":-1,"status":"ok"}"#,
        r#"{"class":"a","chosen":"e","latency_ms":null,"status":"ok"}"#,
        r#"{"class":"a","chosen":null,"latency_ms":1,"status":"ok"}"#,
        r#"{"class":"a","chosen":"e","latency_ms":1,"status":"fine"}"#,
        r#"{"class":"a","chosen":"e","latency_ms":1}"#,
        r#"{"class":7,"chosen":"e","latency_ms":1,"status":"ok"}"#,
    ];
    let log = format!("{GOOD}\n\n{}\n{GOOD}", bad.join("\n"));
    let (stats, lines, read) = read(&log);
    read.unwrap();
    assert_eq!((stats.rows(), stats.wrong(), lines.wrong()), (9, 7, 7));
    let shown: Vec<String> = lines.shown().iter().map(ToString::to_string).collect();
    assert!(shown[0].starts_with("a.jsonl:3: malformed: expected"), "{shown:?}");
    assert_eq!(shown[1], "a.jsonl:4: latency_ms = -1 must lie in [0, 1 day]");
    assert_eq!(shown[2], "a.jsonl:5: latency_ms is null");
    assert_eq!(shown[3], "a.jsonl:6: chosen is null");
    assert!(shown[4].starts_with("a.jsonl:7: status \"fine\" is not one of ok,"), "{shown:?}");
    assert_eq!(shown.len(), 5, "only the first few are kept");
}

#[test]
fn a_log_without_the_needed_columns_is_refused_with_their_names() {
    let log = "{\"time\":1,\"upstream\":\"e\"}\n".repeat(3);
    let (_, _, read) = read(&log);
    let error = read.unwrap_err();
    let columns = ["chosen", "class", "latency_ms", "status"].map(str::to_owned).to_vec();
    assert_eq!(error, TrainError::MissingColumns { file: "a.jsonl".into(), columns });
    assert!(error.to_string().contains("chosen, class, latency_ms, status"), "{error}");
}

/// It is refused early, not at the end of a long file.
#[test]
fn a_hopeless_log_is_given_up_after_a_hundred_rows() {
    let (mut stats, mut lines) = (Stats::new(), Lines::new("a.jsonl"));
    let log = "{\"a\":1}\n".repeat(1000);
    let error = lines.push(log.as_bytes(), |line| stats.fold_json(line)).unwrap_err();
    assert!(matches!(error, TrainError::MissingColumns { .. }));
    assert_eq!(stats.rows(), 100);
}

#[test]
fn rows_without_a_class_are_told_apart_from_wrong_ones() {
    let log = GOOD.replace("\"a\"", "null");
    let (stats, lines, read) = read(&log);
    read.unwrap();
    assert_eq!((stats.rows(), stats.unclassified(), lines.wrong()), (1, 1, 0));
    let nothing = stats.finalize(&Config::default()).unwrap_err();
    assert_eq!(nothing, TrainError::NoRows { rows: 1, wrong: 0, unclassified: 1 });
}

#[test]
fn an_endless_line_is_dropped_without_being_held() {
    let (mut stats, mut lines) = (Stats::new(), Lines::new("a.jsonl"));
    for _ in 0..6 {
        lines.push(&vec![b' '; 1 << 20], |line| stats.fold_json(line)).unwrap();
        lines.push(&vec![b'x'; 1 << 20], |line| stats.fold_json(line)).unwrap();
    }
    lines.push(format!("\n{GOOD}\n").as_bytes(), |line| stats.fold_json(line)).unwrap();
    lines.finish(|line| stats.fold_json(line)).unwrap();
    assert_eq!((stats.rows(), stats.wrong()), (2, 1));
    assert!(matches!(lines.shown()[0].reason, RowError::TooLong { .. }));
}

#[test]
fn a_class_that_is_an_id_is_refused() {
    let mut stats = Stats::new();
    let error = (0..2000)
        .find_map(|n| stats.fold_json(GOOD.replace("\"a\"", &format!("\"{n}\"")).as_bytes()).err())
        .unwrap();
    assert_eq!(error, TrainError::TooMany { column: "class", limit: 1024 });
}
