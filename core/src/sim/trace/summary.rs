//! A trace in a few numbers: what to compare with the figures that its source publishes.

use std::{collections::HashSet, time::Duration};

use super::Trace;

/// A trace in a few numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// How many requests there are.
    pub requests: usize,
    /// From the first arrival to the last.
    pub duration: Duration,
    /// Requests a second, over the trace's span.
    pub rate: f64,
    /// Standard deviation of the gaps between arrivals over their mean: 1 for a Poisson process,
    /// above it for bursts. `None` unless time passes.
    pub gap_cv: Option<f64>,
    /// Mean length of a prompt in tokens.
    pub prompt_tokens: f64,
    /// Mean number of tokens generated.
    pub output_tokens: f64,
    /// Share of the prompts' full blocks that came before in the trace: the hit ratio of a cache
    /// that forgets nothing. `None` without blocks.
    pub block_hits: Option<f64>,
}

impl Trace {
    /// The trace in a few numbers. Cost: linear in requests and blocks.
    pub fn summary(&self) -> Summary {
        let requests = self.requests();
        let mean = |of: fn(&super::TraceRequest) -> u32| {
            requests.iter().map(|request| u64::from(of(request))).sum::<u64>() as f64
                / requests.len() as f64
        };
        let gaps = requests.windows(2).map(|pair| pair[1].at.since(pair[0].at).as_secs_f64());
        let mut seen = HashSet::new();
        let mut hits = 0_u64;
        let mut blocks = 0_u64;
        for hash in requests.iter().flat_map(|request| &request.blocks) {
            blocks += 1;
            hits += u64::from(!seen.insert(*hash));
        }
        Summary {
            requests: requests.len(),
            duration: match (requests.first(), requests.last()) {
                (Some(first), Some(last)) => last.at.since(first.at),
                _ => Duration::ZERO,
            },
            rate: self.rate(),
            gap_cv: cv(gaps),
            prompt_tokens: mean(|request| request.prompt_tokens),
            output_tokens: mean(|request| request.output_tokens),
            block_hits: (blocks > 0).then(|| hits as f64 / blocks as f64),
        }
    }
}

/// The coefficient of variation; `None` if the mean is 0 or there is nothing.
fn cv(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean > 0.0).then(|| variance.sqrt() / mean)
}
