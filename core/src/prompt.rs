//! What is known of an LLM request's prompt, and the hashes that stand for its beginning.
//!
//! A prompt is cut into blocks of equal size from its start, and only full blocks count, as in the
//! prefix caches of inference servers. The hashes are chained: `h[i] = XXH64(block[i], seed = h[i-1])`,
//! `h[-1] = 0`. So a hash stands for all text up to its block's end, and two prompts that share the
//! hash of a block share everything before it. Tokens are hashed as little-endian bytes, so every
//! machine gets the same hashes. They need not be the server's own: they only have to be the same at
//! every client.
//!
//! Guards against two prompts being taken for one when they only share a block in the middle. Cost:
//! one pass over the bytes that are hashed, at several bytes a nanosecond (`cargo bench -p
//! trimtab-core --bench prompt`); `limit` ends it after as many blocks as anybody will look at.
//! Allocates in the caller's vector only.

use std::num::NonZeroUsize;

use xxhash_rust::xxh64::{Xxh64, xxh64};

/// A token is about this many bytes of English text: for a caller that knows only the text.
pub const BYTES_PER_TOKEN: usize = 4;

/// The prompt of a request to an LLM server.
///
/// ```
/// use std::num::NonZeroUsize;
/// use trimtab_core::{Context, Prompt, prompt::blocks_of_tokens};
/// let tokens: Vec<u32> = (0..2000).collect();
/// let mut blocks = Vec::new();
/// blocks_of_tokens(&tokens, NonZeroUsize::new(512).unwrap(), 16, &mut blocks);
/// assert_eq!(blocks.len(), 3);
/// let prompt = Prompt::new(2000, &blocks).with_output_tokens(300);
/// let context = Context::new().with_prompt(prompt);
/// # let _ = context;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prompt<'a> {
    /// Its length in tokens; an estimate will do.
    pub tokens: u32,
    /// Chained hashes of its leading full blocks: each stands for all text up to its end.
    pub blocks: &'a [u64],
    /// Tokens that the answer is expected to have.
    pub output_tokens: Option<u32>,
}

impl<'a> Prompt<'a> {
    /// A prompt of that many tokens, whose leading full blocks have these chained hashes.
    pub fn new(tokens: u32, blocks: &'a [u64]) -> Self {
        Self { tokens, blocks, output_tokens: None }
    }

    /// With the length that the answer is expected to have, such as the request's limit.
    pub fn with_output_tokens(mut self, tokens: u32) -> Self {
        self.output_tokens = Some(tokens);
        self
    }
}

/// Puts the hashes of the leading full blocks of `tokens`, `limit` at most, in the place of what is in
/// `out`.
pub fn blocks_of_tokens(
    tokens: &[u32],
    block_tokens: NonZeroUsize,
    limit: usize,
    out: &mut Vec<u64>,
) {
    const AT_ONCE: usize = 64;
    out.clear();
    let mut hash = 0;
    for block in tokens.chunks_exact(block_tokens.get()).take(limit) {
        let mut state = Xxh64::new(hash);
        let mut bytes = [0; AT_ONCE * 4];
        for part in block.chunks(AT_ONCE) {
            for (to, token) in bytes.chunks_exact_mut(4).zip(part) {
                to.copy_from_slice(&token.to_le_bytes());
            }
            state.update(&bytes[..part.len() * 4]);
        }
        hash = state.digest();
        out.push(hash);
    }
}

/// The same for text: blocks of `block_bytes` bytes, whatever characters they cut through.
pub fn blocks_of_text(
    text: impl AsRef<[u8]>,
    block_bytes: NonZeroUsize,
    limit: usize,
    out: &mut Vec<u64>,
) {
    out.clear();
    let mut hash = 0;
    for block in text.as_ref().chunks_exact(block_bytes.get()).take(limit) {
        hash = xxh64(block, hash);
        out.push(hash);
    }
}
