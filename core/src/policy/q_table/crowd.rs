//! What a request waits behind the others that are known to be at a server.
//!
//! With `r` requests there, in units of what a request costs:
//!
//! ```text
//! delay(r) = (r / k)^2             up to k
//!          = 1 + 2 (r / k - 1)     beyond
//! k^2      = sum r^4 / (3 sum r^2 y)        y: what a request took beyond its cost, over its cost
//! ```
//!
//! Why not the expected wait: who sends where he himself waits least fills the faster servers until they
//! are no faster. A request makes those after it wait too. If waits grow as `b r^2`, one more request
//! costs all of them together `3 b r^2`, so three times the measured curve is what it is charged with.
//! Why not that curve everywhere: far out it is too steep, a small error in `r` outweighs what classes
//! differ by, and a fleet that was overloaded once stays so, sending all to the wrong servers. There
//! waits grow by a straight line, and the fit of the curve to it makes `k` grow with the queues, so that
//! the charge comes down to the wait itself. Why a square: a server that works on several requests at once makes the first few
//! wait for nothing, and nobody tells us how many; a straight line moves requests away too early.
//!
//! One pair of sums for the whole fleet, over the last few thousand requests, begins with what the model
//! says of slopes: `k = 1 / slope`. Cost: a load and a store a request; updates that meet are lost.

use crate::sync::{AtomicU64, Ordering};

/// Requests after which the past weighs less by half, times ln 2.
const MEMORY: f32 = 4000.0;
/// What the model's own word weighs: a hundred requests that found one other. Little, for a slope that was
/// fitted to a client's own requests holds for what it sees of many clients' too.
const PRIOR: f64 = 100.0;
/// A request that took hundred times its cost says no more than one that took so long.
const LONGEST: f64 = 100.0;
/// Bounds of `k`.
const WIDTHS: (f64, f64) = (1.0, 64.0);

/// Learns `k`.
#[derive(Debug)]
pub(super) struct Crowd {
    /// The two sums as `f32` bits: `r^2 y` in the high half, `r^4` in the low.
    sums: AtomicU64,
}

impl Crowd {
    pub(super) fn new() -> Self {
        Self { sums: AtomicU64::new(0) }
    }

    /// A request that was thought to find `ahead` others took `excess` times its cost beyond its cost.
    pub(super) fn record(&self, ahead: f64, excess: f64) {
        if !ahead.is_finite() || !excess.is_finite() || ahead <= 0.0 {
            return;
        }
        let square = ahead.min(LONGEST).powi(2);
        let (product, fourth) = self.load();
        let keep = 1.0 - 1.0 / MEMORY;
        let product = product * keep + (square * excess.min(LONGEST)) as f32;
        let fourth = fourth * keep + (square * square) as f32;
        let word = u64::from(product.to_bits()) << 32 | u64::from(fourth.to_bits());
        self.sums.store(word, Ordering::Relaxed);
    }

    /// `k`, where the model says `slope`.
    #[inline]
    pub(super) fn width(&self, slope: f64) -> f64 {
        let (product, fourth) = self.load();
        let prior = PRIOR * slope * slope;
        let steepness = (3.0 * f64::from(product) + prior).max(1e-9);
        ((f64::from(fourth) + PRIOR) / steepness).sqrt().clamp(WIDTHS.0, WIDTHS.1)
    }

    #[inline]
    fn load(&self) -> (f32, f32) {
        let word = self.sums.load(Ordering::Relaxed);
        (f32::from_bits((word >> 32) as u32), f32::from_bits(word as u32))
    }
}

/// What a request is charged with behind `ahead` others, in units of what one costs.
#[inline]
pub(super) fn delay(ahead: f64, width: f64) -> f64 {
    let full = ahead / width;
    if full <= 1.0 { full * full } else { 2.0 * full - 1.0 }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn learned(from: f64, to: f64, wait: impl Fn(f64) -> f64) -> f64 {
        let (crowd, mut rng) = (Crowd::new(), Rng::seeded(1));
        for _ in 0..20_000 {
            let ahead = from + (to - from) * rng.unit();
            let service = rng.exponential(1.0);
            crowd.record(ahead, wait(ahead) + service - 1.0);
        }
        crowd.width(0.5)
    }

    /// Four workers: nobody waits behind three, then each further one is a quarter of a cost. The
    /// estimate has a deviation of a few per cent.
    #[test]
    fn the_width_comes_near_the_number_of_workers() {
        let four = |ahead: f64| ((ahead - 3.0) / 4.0).max(0.0);
        let width = learned(0.0, 12.0, four);
        assert!((3.0..6.0).contains(&width), "{width}");
        let width = learned(0.0, 4.0, |ahead| ahead);
        assert!((1.0..1.3).contains(&width), "{width}");
    }

    /// In overload the charge is no steeper than the wait: otherwise errors in what is known of queues
    /// outweigh what classes differ by.
    #[test]
    fn far_out_the_charge_is_as_steep_as_the_wait() {
        let width = learned(60.0, 90.0, |ahead| (ahead - 3.0) / 4.0);
        let steepness = delay(81.0, width) - delay(80.0, width);
        assert!((0.15..0.3).contains(&steepness), "{steepness}");
    }

    #[test]
    fn without_requests_the_model_is_believed() {
        assert!((Crowd::new().width(0.25) - 4.0).abs() < 1e-9);
        assert_eq!(Crowd::new().width(0.0), WIDTHS.1);
    }

    #[test]
    fn what_is_no_number_is_ignored() {
        let crowd = Crowd::new();
        for (ahead, excess) in [(f64::NAN, 1.0), (1.0, f64::NAN), (f64::INFINITY, 1.0), (0.0, 9.0)]
        {
            crowd.record(ahead, excess);
        }
        assert_eq!(crowd.load(), (0.0, 0.0));
    }

    #[test]
    fn delays_rise_without_a_step() {
        let delays: Vec<f64> = (0..400).map(|n| delay(f64::from(n) / 20.0, 5.0)).collect();
        assert!(delays.windows(2).all(|pair| pair[1] > pair[0] && pair[1] - pair[0] < 0.03));
    }
}
