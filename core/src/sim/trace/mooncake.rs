//! The Mooncake traces of FAST'25: one JSON object a line, with the prompt's blocks by hash.
//!
//! Source: `FAST25-release/traces/*.jsonl` of kvcache-ai/Mooncake (Apache-2.0): `timestamp` in
//! milliseconds, `input_length`, `output_length`, `hash_ids` with one id for each 512 tokens of the
//! prompt, the last of which may stand for fewer. Equal ids mean equal text up to the block's end.
//!
//! The server model knows full blocks only ([`Request::blocks`](crate::sim::Request)), so the id of
//! a last, partial block is left out: nothing could be found by it. The others are chained into
//! hashes of all that stands before, so that a file whose ids are not chained cannot give the server
//! a tail without its head. The conversation trace tells times in steps of 3 s:
//! [`Trace::spread`](super::Trace::spread) takes those out.

use std::io::BufRead;

use serde::Deserialize;
use xxhash_rust::xxh64::xxh64;

use super::{
    Trace, TraceError, TraceRequest,
    collect::{Collect, MAX_SPAN},
    lines::{Line, Lines},
};

/// Tokens in a block of these traces.
const BLOCK_TOKENS: u32 = 512;

pub(super) fn parse(reader: &mut dyn BufRead, name: &str) -> Result<Trace, TraceError> {
    let mut lines = Lines::new(reader, name);
    let mut collect = Collect::default();
    while let Some(line) = lines.next()? {
        let row: Row = serde_json::from_str(line.text).map_err(|error| not_a_row(&line, &error))?;
        let millis =
            u64::try_from(row.timestamp).ok().filter(|millis| *millis <= MAX_SPAN / 1_000_000);
        let Some(millis) = millis else {
            let expected = "milliseconds from 0 to a hundred years";
            return Err(line.wrong("timestamp", &row.timestamp.to_string(), expected));
        };
        let prompt_tokens = line.tokens("input_length", &row.input_length.to_string())?;
        let full = (prompt_tokens / BLOCK_TOKENS) as usize;
        let all = prompt_tokens.div_ceil(BLOCK_TOKENS) as usize;
        if ![full, all].contains(&row.hash_ids.len()) {
            let found = format!("{} ids", row.hash_ids.len());
            let expected = format!("{all}, one for each {BLOCK_TOKENS} of {prompt_tokens} tokens");
            return Err(line.wrong("hash_ids", &found, expected));
        }
        let request = TraceRequest {
            prompt_tokens,
            output_tokens: line.tokens("output_length", &row.output_length.to_string())?,
            blocks: chained(&row.hash_ids[..full]),
            ..TraceRequest::default()
        };
        collect.push(&line, u128::from(millis) * 1_000_000, request)?;
    }
    let mut trace = collect.finish(name)?;
    trace.block_tokens = Some(BLOCK_TOKENS);
    Ok(trace)
}

/// Numbers wider than they may be, so that the wrong ones are named with what is allowed.
#[derive(Deserialize)]
struct Row {
    timestamp: i64,
    input_length: i64,
    output_length: i64,
    hash_ids: Vec<u64>,
}

/// Each id mixed with all before it.
fn chained(ids: &[u64]) -> Vec<u64> {
    let link = |before: &mut u64, id: &u64| {
        *before = xxh64(&id.to_le_bytes(), *before);
        Some(*before)
    };
    ids.iter().scan(0, link).collect()
}

fn not_a_row(line: &Line<'_>, error: &serde_json::Error) -> TraceError {
    let words = error.to_string();
    let what = words.split(" at line ").next().unwrap_or(&words);
    TraceError::Malformed {
        file: line.file.to_owned(),
        line: line.number,
        reason: format!(
            "column {}: {what}; expected an object with timestamp, input_length, output_length \
             and hash_ids",
            error.column()
        ),
    }
}
