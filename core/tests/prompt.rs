//! Block hashes of prompts: chained, of full blocks only, the same everywhere.

use std::num::NonZeroUsize;

use proptest::prelude::*;
use trimtab_core::prompt::{blocks_of_text, blocks_of_tokens};
use xxhash_rust::xxh64::xxh64;

fn of_tokens(tokens: &[u32], block: usize, limit: usize) -> Vec<u64> {
    let mut out = vec![7];
    blocks_of_tokens(tokens, NonZeroUsize::new(block).unwrap(), limit, &mut out);
    out
}

fn of_text(text: &str, block: usize, limit: usize) -> Vec<u64> {
    let mut out = vec![7];
    blocks_of_text(text, NonZeroUsize::new(block).unwrap(), limit, &mut out);
    out
}

/// The definition, written out: little-endian tokens, each block seeded with the hash before it.
#[test]
fn each_block_is_seeded_with_the_hash_before_it() {
    let first = xxh64(&[1, 0, 0, 0, 2, 0, 0, 0], 0);
    let second = xxh64(&[3, 0, 0, 0, 0, 1, 0, 0], first);
    assert_eq!(of_tokens(&[1, 2, 3, 256, 5], 2, 9), [first, second]);
    let first = xxh64(b"abc", 0);
    assert_eq!(of_text("abcdefgh", 3, 9), [first, xxh64(b"def", first)]);
}

/// Pinned, so that clients of different releases agree; reckoned by another implementation of XXH64.
#[test]
fn golden_vectors() {
    let tokens: Vec<u32> = (0..1024).collect();
    assert_eq!(of_tokens(&tokens, 512, 9), [0x638C_EFC2_11B2_8767, 0x6B63_9FAE_A8F7_2141]);
    assert_eq!(
        of_text("The quick brown fox jumps", 8, 2),
        [0xD07B_38A7_8A15_3B0B, 0x6D81_09D6_6CCC_5064]
    );
}

#[test]
fn only_full_blocks_count_and_no_more_than_the_limit() {
    let tokens = vec![9; 1000];
    assert_eq!(of_tokens(&tokens, 512, 9).len(), 1);
    assert!(of_tokens(&tokens, 1001, 9).is_empty());
    assert_eq!(of_tokens(&tokens, 100, 3).len(), 3);
    assert!(of_tokens(&tokens, 100, 0).is_empty());
    assert!(of_text("", 1, 9).is_empty());
}

proptest! {
    /// Two prompts share as many hashes as they share leading blocks, whatever they have in common
    /// further on.
    #[test]
    fn hashes_are_shared_as_far_as_the_text_is(
        head in prop::collection::vec(0_u32..4, 0..40),
        a in prop::collection::vec(0_u32..4, 0..40),
        b in prop::collection::vec(0_u32..4, 0..40),
        block in 1_usize..9,
    ) {
        let (one, other) = ([&head[..], &a].concat(), [&head[..], &b].concat());
        let same = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
        let (hashes, others) = (of_tokens(&one, block, 99), of_tokens(&other, block, 99));
        let shared = hashes.iter().zip(&others).take_while(|(a, b)| a == b).count();
        prop_assert_eq!(shared, same / block);
        prop_assert!(hashes[shared..].iter().all(|hash| !others.contains(hash)));
    }
}
