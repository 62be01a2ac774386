//! A client's token lengths: `chunk-N-dataset.json`.
//!
//! An object from the second at which lengths begin to hold to `input_tokens` and `output_tokens`
//! (other fields are left alone). Each of these is a string in Python's notation, `{length:
//! probability, ...}`; where one is empty nothing was measured, and the lengths before stay in
//! force. Answers count their reasoning.
//!
//! Guards against a file that is no such table: probabilities must sum to 1, within a millionth.
//! Cost: a draw is a binary search in some thousand lengths.

use std::{collections::BTreeMap, io::Read};

use serde_json::Value;

use super::super::{TraceError, error::beginning};
use crate::Rng;

/// Lengths by the second from which on they hold.
#[derive(Clone, Debug)]
pub(super) struct Lengths(BTreeMap<u64, Pair>);

#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) prompt: Tokens,
    pub(super) output: Tokens,
}

/// A distribution of whole numbers of tokens.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    values: Vec<u32>,
    /// The probability of each value or one before it.
    cumulative: Vec<f64>,
}

/// The longest file that is read; the published ones stay below 3 MB.
const MAX_FILE: u64 = 64 << 20;

pub(super) fn parse(reader: impl Read, name: &str) -> Result<Lengths, TraceError> {
    let wrong = |place: String, reason: String| TraceError::Lengths {
        file: name.to_owned(),
        place,
        reason,
    };
    let mut text = String::new();
    let read = reader.take(MAX_FILE).read_to_string(&mut text);
    read.map_err(|source| TraceError::Read { file: name.to_owned(), source })?;
    let windows: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_str(&text)
        .map_err(|error| wrong("not token lengths by window".to_owned(), error.to_string()))?;
    let mut lengths = BTreeMap::new();
    for (start, fields) in &windows {
        let tokens = |field: &str| {
            let place = format!("window {:?}, {field}", beginning(start));
            let table = match fields.get(field) {
                Some(Value::String(table)) => table,
                Some(_) => return Err(wrong(place, "expected a string".to_owned())),
                None => {
                    return Err(wrong(place, "not there; prompts must be text alone".to_owned()));
                }
            };
            Tokens::parse(table).map_err(|reason| wrong(place, reason))
        };
        let second = start.parse::<u64>().map_err(|_| {
            wrong(format!("window {:?}", beginning(start)), "expected whole seconds".to_owned())
        })?;
        if let (Some(prompt), Some(output)) = (tokens("input_tokens")?, tokens("output_tokens")?) {
            lengths.insert(second, Pair { prompt, output });
        }
    }
    Ok(Lengths(lengths))
}

impl Lengths {
    /// Those in force at a second; `None` before the first.
    pub(super) fn at(&self, second: u64) -> Option<&Pair> {
        self.0.range(..=second).next_back().map(|(_, pair)| pair)
    }
}

impl Tokens {
    pub(super) fn draw(&self, rng: &mut Rng) -> u32 {
        let unit = rng.unit();
        let index = self.cumulative.partition_point(|probability| *probability <= unit);
        // The sum may fall short of 1 by a millionth.
        self.values[index.min(self.values.len() - 1)]
    }

    /// `{9: 0.25, 22: 0.75}`; `None` if there is nothing in it.
    fn parse(table: &str) -> Result<Option<Self>, String> {
        let inner = table.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let Some(inner) = inner else {
            return Err(format!(
                "found {:?}, expected {{length: probability, ...}}",
                beginning(table)
            ));
        };
        let (mut values, mut cumulative, mut sum) = (Vec::new(), Vec::new(), 0.0);
        for entry in inner.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let pair = entry.split_once(':').and_then(|(length, probability)| {
                let length = length.trim().parse::<u32>().ok()?;
                let probability = probability.trim().parse::<f64>().ok()?;
                (0.0..=1.0).contains(&probability).then_some((length, probability))
            });
            let Some((length, probability)) = pair else {
                return Err(format!(
                    "found {:?}, expected a whole number, a colon and a probability",
                    beginning(entry)
                ));
            };
            if probability > 0.0 {
                sum += probability;
                // A prompt or an answer of nothing is no request.
                values.push(length.max(1));
                cumulative.push(sum);
            }
        }
        if values.is_empty() && inner.trim().is_empty() {
            return Ok(None);
        }
        if (sum - 1.0_f64).abs() > 1e-6 {
            return Err(format!("probabilities sum to {sum}, expected 1"));
        }
        Ok(Some(Self { values, cumulative }))
    }
}
