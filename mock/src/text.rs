//! The answer's text: token `i` is the same word in every answer, so that a client can check that
//! none is missing and a test knows what to expect.

const WORDS: [&str; 16] = [
    "trim", " the", " tab", " and", " the", " rudder", " turns", ",", " the", " rudder", " turns",
    " the", " ship", ",", " slowly", ".",
];

/// Token number `index` of an answer, from 0.
pub fn token(index: u32) -> &'static str {
    WORDS[index as usize % WORDS.len()]
}

/// Tokens `from..to` in one piece.
pub(crate) fn tokens(from: u32, to: u32) -> String {
    (from..to).map(token).collect()
}
