//! From text to what the model charges for: a number of tokens and the hashes of its blocks.
//!
//! Four characters count as one token, about what BPE tokenizers give for English. Blocks are
//! hashed with XXH64, each seeded with the hash before it, so that a hash stands for all the text
//! up to its end: two prompts share cache exactly as far as they begin alike.

use xxhash_rust::xxh64::xxh64;

/// Characters that count as one token.
pub(crate) const CHARS_PER_TOKEN: usize = 4;

/// A prompt as the model sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) tokens: u32,
    /// Hashes of full blocks.
    pub(crate) blocks: Vec<u64>,
}

impl Prompt {
    /// Counts and hashes text. `block_tokens` is the grain of the prefix cache, 0 for no hashes.
    pub(crate) fn from_text(text: &str, block_tokens: u32) -> Self {
        let chars = if text.is_ascii() { text.len() } else { text.chars().count() };
        let tokens = saturate(chars.div_ceil(CHARS_PER_TOKEN));
        let block_chars = block_tokens as usize * CHARS_PER_TOKEN;
        if block_chars == 0 || chars < block_chars {
            return Self { tokens, blocks: Vec::new() };
        }
        let blocks = if text.is_ascii() {
            chain(text.as_bytes().chunks_exact(block_chars))
        } else {
            let starts: Vec<usize> =
                text.char_indices().map(|(at, _)| at).step_by(block_chars).collect();
            let mut slices: Vec<&[u8]> =
                starts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            if chars % block_chars == 0 {
                slices.extend(starts.last().map(|&last| &text.as_bytes()[last..]));
            }
            chain(slices)
        };
        Self { tokens, blocks }
    }

    /// Token ids count exactly.
    pub(crate) fn from_tokens(ids: &[u64], block_tokens: u32) -> Self {
        let tokens = saturate(ids.len());
        if block_tokens == 0 {
            return Self { tokens, blocks: Vec::new() };
        }
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        Self { tokens, blocks: chain(bytes.chunks_exact(block_tokens as usize * 8)) }
    }
}

fn chain<'a>(blocks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u64> {
    let hashes = blocks.into_iter().scan(0, |hash, block| {
        *hash = xxh64(block, *hash);
        Some(*hash)
    });
    hashes.collect()
}

fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_characters_are_a_token_and_a_part_counts_whole() {
        assert_eq!(Prompt::from_text("", 1).tokens, 0);
        assert_eq!(Prompt::from_text("a", 1).tokens, 1);
        assert_eq!(Prompt::from_text("abcde", 1).tokens, 2);
        assert_eq!(Prompt::from_text("\u{e9}\u{e9}\u{e9}\u{e9}", 1).tokens, 1);
    }

    #[test]
    fn blocks_agree_as_far_as_the_texts_do() {
        for filler in ["a", "\u{e9}"] {
            let base = filler.repeat(16);
            let longer = Prompt::from_text(&format!("{base}{base}x"), 2);
            assert_eq!(longer.blocks.len(), 4);
            let shorter = Prompt::from_text(&base, 2);
            assert_eq!(shorter.blocks, longer.blocks[..2]);
            let other = Prompt::from_text(&format!("x{base}{base}"), 2);
            assert!(other.blocks.iter().all(|hash| !longer.blocks.contains(hash)));
        }
    }

    #[test]
    fn token_ids_count_exactly_and_share_their_beginning() {
        let long = Prompt::from_tokens(&[1, 2, 3, 4, 5], 2);
        assert_eq!((long.tokens, long.blocks.len()), (5, 2));
        assert_eq!(Prompt::from_tokens(&[1, 2], 2).blocks, long.blocks[..1]);
    }
}
