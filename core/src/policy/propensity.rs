//! The exact probability with which a sampling policy chooses each candidate.
//!
//! The decision log needs the true propensity, not an estimate. For "the best of d random ones" it
//! follows from the ranks alone: the best of a draw is of rank k or worse when every draw is. Equal
//! scores share. Off the request path: only logged picks pay the sort.

use super::{Candidates, candidates::SCAN_UP_TO};

/// The best of two distinct eligible candidates, all pairs alike.
pub(super) fn two_distinct(
    candidates: &Candidates<'_>,
    score: impl Fn(usize) -> f64,
    out: &mut [f64],
) {
    by_rank(candidates, score, out, |at_least, n| {
        if n == 1 { at_least as f64 } else { pairs(at_least) / pairs(n) }
    });
}

/// The best of `draws` eligible candidates drawn with replacement.
pub(super) fn with_replacement(
    candidates: &Candidates<'_>,
    draws: usize,
    score: impl Fn(usize) -> f64,
    out: &mut [f64],
) {
    by_rank(candidates, score, out, |at_least, n| {
        (at_least as f64 / n as f64).powi(i32::try_from(draws).unwrap_or(i32::MAX))
    });
}

/// The best of all eligible candidates, ties broken at random.
pub(super) fn least(candidates: &Candidates<'_>, score: impl Fn(usize) -> f64, out: &mut [f64]) {
    by_rank(candidates, score, out, |at_least, n| if at_least == n { 1.0 } else { 0.0 });
}

/// [`Candidates::least_or_of_two`].
pub(super) fn least_or_of_two(
    candidates: &Candidates<'_>,
    score: impl Fn(usize) -> f64,
    out: &mut [f64],
) {
    if candidates.len() <= SCAN_UP_TO {
        least(candidates, score, out);
    } else {
        two_distinct(candidates, score, out);
    }
}

/// In proportion to `weight`.
pub(super) fn proportional(
    candidates: &Candidates<'_>,
    weight: impl Fn(usize) -> f64,
    out: &mut [f64],
) {
    let total: f64 = candidates.eligible().map(&weight).sum();
    for index in candidates.eligible() {
        out[index] = weight(index) / total;
    }
}

fn pairs(n: usize) -> f64 {
    n as f64 * (n as f64 - 1.0) / 2.0
}

/// `tail(k, n)` is the probability that all draws fall among the k worst of n.
fn by_rank(
    candidates: &Candidates<'_>,
    score: impl Fn(usize) -> f64,
    out: &mut [f64],
    tail: impl Fn(usize, usize) -> f64,
) {
    let mut ranked: Vec<(f64, usize)> =
        candidates.eligible().map(|index| (score(index), index)).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n = ranked.len();
    let mut start = 0;
    while start < n {
        let ties = ranked[start..].iter().take_while(|(s, _)| *s == ranked[start].0).count().max(1);
        let share = (tail(n - start, n) - tail(n - start - ties, n)) / ties as f64;
        for (_, index) in &ranked[start..start + ties] {
            out[*index] = share;
        }
        start += ties;
    }
}
