//! How large a pool is, how often an answer in it may be used, and how many are removed with a pick.
//!
//! Source: the paper's
//!
//! ```text
//! b_reuse = max(1, (1 + delta) / ((1 - m / n) r_probe - r_remove))
//! ```
//!
//! The denominator is what the pool gains with a pick: the probes that go to endpoints not in it, less
//! what is removed. With the paper's values it is zero or negative for n <= 24, and 25 uses come out at
//! n = 25: then a few answers are all that is known, and a herd follows each. So in small fleets
//!
//! - the pool holds at most max(2, n / 2) answers, and no more probes are counted than there are
//!   endpoints;
//! - what a pool with a greater share of the fleet than the paper's (16 of 100) loses of its probes, it
//!   does not lose in removals: `r_remove - (m / n - m / 100) r_probe`, at least 0;
//! - an answer is used 15 times at most.
//!
//! With the default settings that makes 1.32 or 1.33 uses from 4 endpoints to 100, as in the paper's fleet,
//! without removals up to 32; from 100 up all is as in the paper (1.02 at 1000). A fraction is rounded at
//! random, so that it holds on average.

use super::PrequalConfig;
use crate::{rng::Rng, signal::probe::MAX_USES};

/// Endpoints in the fleet that the paper's values were measured on.
const PAPERS_FLEET: f64 = 100.0;

/// The limits of one group's pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::policy) struct Limits {
    /// Answers in the pool.
    pub(in crate::policy) size: usize,
    /// Uses of an answer, on average.
    pub(in crate::policy) uses: f64,
    /// Answers removed with each pick, on average.
    pub(in crate::policy) removals: f64,
}

impl Limits {
    /// Those of a group of `endpoints`.
    pub(super) fn new(config: &PrequalConfig, endpoints: usize) -> Self {
        let most = f64::from(MAX_USES);
        let size = config.pool_size.min((endpoints / 2).max(2)).min(endpoints);
        let share = size as f64 / endpoints.max(1) as f64;
        let probes = config.probes_per_pick.min(endpoints as f64);
        let gained = (1.0 - share) * probes;
        let lost = (share - config.pool_size as f64 / PAPERS_FLEET).max(0.0) * probes;
        let removals = (config.removals_per_pick - lost).max(0.0);
        let left = gained - removals;
        // Where the pool gains nothing, an answer is used as often as it may.
        let uses = if left > 0.0 { (1.0 + config.reuse_delta) / left } else { most };
        let uses = uses.clamp(1.0, most);
        Self { size, uses, removals }
    }

    /// Whether an answer that has been used `uses` times stays for another use.
    #[inline]
    pub(super) fn stays(&self, uses: u32, rng: &mut Rng) -> bool {
        let left = self.uses - f64::from(uses);
        left >= 1.0 || (left > 0.0 && rng.unit() < left)
    }

    /// How many answers to remove with this pick.
    #[inline]
    pub(super) fn removals(&self, rng: &mut Rng) -> u32 {
        randomly_rounded(self.removals, rng)
    }
}

/// `value` rounded down or up at random, so that it holds on average.
#[inline]
pub(super) fn randomly_rounded(value: f64, rng: &mut Rng) -> u32 {
    let (whole, part) = (value.floor(), value.fract());
    whole as u32 + u32::from(part > 0.0 && rng.unit() < part)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::{prop_assert, proptest};

    use super::*;

    fn at(endpoints: usize) -> Limits {
        Limits::new(&PrequalConfig::default(), endpoints)
    }

    #[test]
    fn large_fleets_have_the_papers() {
        for (endpoints, uses) in [(100, 1.316), (200, 1.136), (1000, 1.02)] {
            let limits = at(endpoints);
            assert_eq!((limits.size, limits.removals), (16, 1.0));
            assert!((limits.uses - uses).abs() < 0.005, "{endpoints}: {limits:?}");
        }
        // One probe for two picks, a removal in four: the paper's lowest rate.
        let config =
            PrequalConfig::default().with_probes_per_pick(0.5).with_removals_per_pick(0.25);
        assert!((Limits::new(&config, 100).uses - 11.76).abs() < 0.01);
    }

    /// The trap: by the formula alone the denominator is not positive up to 24, and tiny at 25.
    #[test]
    fn small_fleets_have_sane_ones() {
        for (endpoints, size, removals, uses) in [
            (2, 2, 0.0, 15.0),
            (3, 2, 0.0, 2.0),
            (4, 2, 0.0, 2.0 / 1.5),
            (5, 2, 0.28, 2.0 / 1.52),
            (24, 12, 0.0, 2.0 / 1.5),
            (25, 12, 0.04, 2.0 / 1.52),
            (32, 16, 0.0, 2.0 / 1.5),
            (50, 16, 0.52, 2.0 / 1.52),
        ] {
            let limits = at(endpoints);
            let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
            let as_wanted = near(limits.removals, removals) && near(limits.uses, uses);
            assert!(limits.size == size && as_wanted, "{endpoints}: {limits:?}");
        }
        assert_eq!((at(0).size, at(1).size), (0, 1));
    }

    #[test]
    fn uses_hold_on_average() {
        let (limits, mut rng) = (Limits { size: 16, uses: 2.3, removals: 0.7 }, Rng::seeded(1));
        let mut uses = 0;
        for _ in 0..100_000 {
            let mut answer = 1;
            while limits.stays(answer, &mut rng) {
                answer += 1;
            }
            assert!((2..=3).contains(&answer));
            uses += answer;
        }
        // The standard deviation of the mean is 0.0015.
        assert!((f64::from(uses) / 1e5 - 2.3).abs() < 0.01, "{uses}");
        let removals: u32 = (0..100_000).map(|_| limits.removals(&mut rng)).sum();
        assert!((f64::from(removals) / 1e5 - 0.7).abs() < 0.01, "{removals}");
    }

    proptest! {
        #[test]
        fn always_within_what_can_be_counted(
            endpoints in 0_usize..200, probes in 0.0..16.0, removals in 0.0..16.0,
            size in 2_usize..64, delta in 0.0..16.0,
        ) {
            let config = PrequalConfig::default()
                .with_probes_per_pick(probes)
                .with_removals_per_pick(removals)
                .with_pool_size(size)
                .with_reuse_delta(delta);
            let limits = Limits::new(&config, endpoints);
            prop_assert!((1.0..=15.0).contains(&limits.uses), "{limits:?}");
            prop_assert!((0.0..=removals).contains(&limits.removals), "{limits:?}");
            prop_assert!(limits.size <= endpoints && limits.size <= size, "{limits:?}");
        }
    }
}
