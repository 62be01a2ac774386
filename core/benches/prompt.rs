//! Block hashes of a prompt: what they cost a request, beside the standard library's hash chained alike.
//!
//! ```text
//! cargo bench -p trimtab-core --bench prompt                writes tests/bench/results/prompt.json
//! cargo bench -p trimtab-core --bench prompt -- --quick     short, writes nothing
//! ```
//!
//! A prompt of 100 KB as text, and the same as tokens of four bytes, in blocks of 2 KB (512 tokens): all of
//! it, and the 12 leading blocks that `prefix_affinity` looks at. Peers take turns within each round; the
//! median of the rounds is printed. What it does not show: a cold cache, and tokenising.

use std::{
    hash::{DefaultHasher, Hasher},
    hint::black_box,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use serde_json::json;
use trimtab_core::prompt::{blocks_of_text, blocks_of_tokens};

const BYTES: usize = 100_000;
const BLOCK: usize = 2048;
const LEADING: usize = 12;

type Peer<'a> = Box<dyn FnMut() + 'a>;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // Without `--bench` it is run as a test: only to see that it runs.
    let quick = !args.iter().any(|arg| arg == "--bench") || args.iter().any(|arg| arg == "--quick");
    let (rounds, round) =
        if quick { (3, Duration::from_millis(2)) } else { (15, Duration::from_millis(50)) };
    let text: Vec<u8> = (0..BYTES).map(|i| (i * i % 251) as u8).collect();
    let tokens: Vec<u32> = (0..BYTES as u32 / 4).map(|i| i.wrapping_mul(7919) % 128_000).collect();
    let block = NonZeroUsize::new(BLOCK).expect("2048 is not 0");
    let block_tokens = NonZeroUsize::new(BLOCK / 4).expect("512 is not 0");
    let mut out = Vec::with_capacity(64);
    let mut peers: Vec<(&str, Peer<'_>)> = Vec::new();
    let (text, tokens) = (&text[..], &tokens[..]);
    peers.push(("text, all", {
        let mut out = out.clone();
        Box::new(move || blocks_of_text(black_box(text), block, usize::MAX, black_box(&mut out)))
    }));
    peers.push(("text, 12 blocks", {
        let mut out = out.clone();
        Box::new(move || blocks_of_text(black_box(text), block, LEADING, black_box(&mut out)))
    }));
    peers.push(("tokens, all", {
        let mut out = out.clone();
        Box::new(move || {
            blocks_of_tokens(black_box(tokens), block_tokens, usize::MAX, black_box(&mut out));
        })
    }));
    peers.push(("tokens, 12 blocks", {
        let mut out = out.clone();
        Box::new(move || {
            blocks_of_tokens(black_box(tokens), block_tokens, LEADING, black_box(&mut out));
        })
    }));
    peers.push(("std's SipHash, text, all", {
        Box::new(move || chained_by_std(black_box(text), black_box(&mut out)))
    }));
    let mut measured: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
    for _ in 0..rounds {
        for ((_, peer), nanos) in peers.iter_mut().zip(&mut measured) {
            nanos.push(nanos_each(round, peer));
        }
    }
    for ((name, _), nanos) in peers.iter().zip(&measured) {
        println!("{name:<26} {:>8.2} us", median(nanos) / 1e3);
    }
    if !quick {
        write(&peers.iter().map(|(name, _)| *name).collect::<Vec<_>>(), &measured);
    }
}

/// The same chain by the standard library's hash.
fn chained_by_std(text: &[u8], out: &mut Vec<u64>) {
    out.clear();
    let mut hash = 0;
    for block in text.chunks_exact(BLOCK) {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(hash);
        hasher.write(block);
        hash = hasher.finish();
        out.push(hash);
    }
}

#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn nanos_each(round: Duration, peer: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    let mut calls = 0_u32;
    while start.elapsed() < round {
        for _ in 0..16 {
            peer();
        }
        calls += 16;
    }
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}

fn median(nanos: &[f64]) -> f64 {
    let mut sorted = nanos.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn write(names: &[&str], measured: &[Vec<f64>]) {
    let rows: Vec<_> = names
        .iter()
        .zip(measured)
        .map(
            |(peer, nanos)| json!({ "peer": peer, "median_ns": median(nanos), "rounds_ns": nanos }),
        )
        .collect();
    let whole = json!({
        "command": "cargo bench -p trimtab-core --bench prompt",
        "bytes": BYTES,
        "block_bytes": BLOCK,
        "results": rows,
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/bench/results/prompt.json");
    let text = serde_json::to_string_pretty(&whole).expect("numbers and text");
    std::fs::write(path, text + "\n").expect("the results' folder is there");
    println!("\nraw data: {path}");
}
