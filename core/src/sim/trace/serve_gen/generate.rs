//! Requests out of measured clients.
//!
//! In each window a client that sent `rate` a second sends `rate x scale x length` requests, a
//! fraction rounded up or down by chance. Their gaps are drawn from the family fitted to it, scaled
//! to fill the window, and laid around it from a point drawn uniformly; thus rate and burstiness
//! hold in every window, however short of requests it is. `ServeGen`'s own generator differs in two
//! things: it begins every window with a gap, and it draws prompt and answer of a request with one
//! random number, so that the longest meets the longest; the data has no more than the two
//! distributions, so here they are independent. A client is a class of its own.
//!
//! Guards against a trace whose clients all begin a window together, and against windows that
//! stay empty because the first gap of a bursty client outlasts them. Cost: linear in requests; the
//! sort at the end leads.

use std::{ops::Range, sync::Arc};

use super::{
    super::{MAX_REQUESTS, Trace, TraceError, TraceRequest},
    ServeGen,
};
use crate::{Rng, Time};

impl ServeGen {
    /// The requests of some windows, at `rate_scale` times the measured rate.
    ///
    /// # Errors
    /// [`TraceError::Setting`] for windows that are not there or a scale that is not a finite number
    /// above 0, [`TraceError::Empty`] if nobody sends anything, [`TraceError::TooMany`].
    pub fn generate(
        &self,
        windows: Range<usize>,
        rate_scale: f64,
        rng: &mut Rng,
    ) -> Result<Trace, TraceError> {
        self.check(&windows, rate_scale)?;
        let what = || format!("{}, windows {windows:?} at {rate_scale} times the rate", self.name);
        let length = self.window_length.as_secs_f64();
        let expected: f64 = windows.clone().map(|window| self.rate(window)).sum();
        // The chance part of the rounding adds at most one for each client and window.
        let most = expected * length * rate_scale + (windows.len() * self.clients.len()) as f64;
        if most > MAX_REQUESTS as f64 {
            return Err(TraceError::TooMany { what: what(), limit: MAX_REQUESTS });
        }
        let mut requests = Vec::with_capacity(most as usize);
        let mut gaps = Vec::new();
        for (index, window) in windows.clone().enumerate() {
            let start = Time::ZERO + self.window_length * index as u32;
            let second = self.window_length.as_secs() * window as u64;
            for (class, client) in self.clients.iter().enumerate() {
                let Some(arrivals) = &client.windows[window] else { continue };
                let Some(lengths) = client.lengths.at(second) else { continue };
                let count = (arrivals.rate * rate_scale * length + rng.unit()) as usize;
                gaps.clear();
                gaps.extend((0..count).map(|_| arrivals.gaps.draw(rng)));
                for share in around(&gaps, rng.unit()) {
                    requests.push(TraceRequest {
                        at: start + self.window_length.mul_f64(share),
                        class: Some(class as u32),
                        prompt_tokens: lengths.prompt.draw(rng),
                        output_tokens: lengths.output.draw(rng),
                        blocks: Vec::new(),
                    });
                }
            }
        }
        if requests.is_empty() {
            return Err(TraceError::Empty { what: what() });
        }
        requests.sort_by_key(|request| request.at);
        Ok(Trace {
            name: self.name.clone(),
            requests,
            classes: self.clients.iter().map(|client| Arc::clone(&client.name)).collect(),
            block_tokens: None,
            span: self.window_length * windows.len() as u32,
        })
    }

    fn check(&self, windows: &Range<usize>, rate_scale: f64) -> Result<(), TraceError> {
        let setting = |name, value, allowed| Err(TraceError::Setting { name, value, allowed });
        if windows.start >= self.windows {
            let allowed = format!("[0, {}]", self.windows - 1);
            return setting("first window", windows.start as f64, allowed);
        }
        if windows.end <= windows.start || windows.end > self.windows {
            let allowed = format!("[{}, {}]", windows.start + 1, self.windows);
            return setting("end of the windows", windows.end as f64, allowed);
        }
        if !(rate_scale > 0.0 && rate_scale.is_finite()) {
            return setting("rate scale", rate_scale, "(0, inf)".to_owned());
        }
        Ok(())
    }
}

/// Where arrivals with these gaps stand in a window, as shares of it: the gaps, scaled to fill the
/// window, laid around it from `start`.
fn around(gaps: &[f64], start: f64) -> impl Iterator<Item = f64> {
    let total: f64 = gaps.iter().sum();
    let mut sum = 0.0;
    gaps.iter().map(move |gap| {
        sum += gap;
        // Gaps too small for a float are one burst.
        let share = if total > 0.0 { sum / total } else { 0.0 };
        (start + share).fract()
    })
}
