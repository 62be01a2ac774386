//! The retry budget: attempts stay within 1.2 x requests + 10 a second.
//!
//! Source: Finagle's `RetryBudget`. Every request deposits a fifth of a retry and every second ten;
//! a retry withdraws one. Retries thus cannot multiply the load on a fleet that fails because of it.
//! The balance is capped at what ten quiet seconds earn, so that a quiet hour does not buy a storm, and
//! starts there, as Finagle's reserve does: the first requests of a process may meet dead endpoints
//! too. One word, one compare-and-swap.

use crate::{
    sync::{AtomicU64, Ordering},
    time::Time,
};

/// One retry, in the balance's unit.
const RETRY: u64 = 1000;
/// Milliseconds that two threads' readings of one clock can lie apart.
const AHEAD: u32 = 60_000;

/// How many attempts beyond the first may be sent: at most 1.2 x requests + 10 a second by default.
///
/// ```
/// use trimtab_core::{RetryBudget, Time};
/// let budget = RetryBudget::default();
/// budget.deposit(Time::ZERO); // a request is sent
/// assert!(budget.withdraw(Time::ZERO)); // it fails: may it be sent again?
/// ```
#[derive(Debug)]
pub struct RetryBudget {
    deposit: u64,
    per_second: u64,
    cap: u64,
    /// Milliseconds of the last change (32 bits, wrapping after 49 days), balance.
    state: AtomicU64,
}

impl Default for RetryBudget {
    /// 0.2 retries a request and 10 a second, at most 100 saved up.
    fn default() -> Self {
        Self::new(0.2, 10.0, 100.0)
    }
}

impl RetryBudget {
    /// Allows `ratio` retries a request and `per_second` beside, saving up at most `cap` and starting
    /// with that. Negative numbers and not-a-number count as 0.
    pub fn new(ratio: f64, per_second: f64, cap: f64) -> Self {
        let unit = |retries: f64| (retries.clamp(0.0, 1e6) * RETRY as f64) as u64;
        Self {
            deposit: unit(ratio),
            per_second: unit(per_second),
            cap: unit(cap),
            state: AtomicU64::new(unit(cap)),
        }
    }

    /// A request was sent for the first time.
    pub fn deposit(&self, now: Time) {
        self.update(now, |balance| Some((balance + self.deposit).min(self.cap)));
    }

    /// Asks to send one more attempt; if true it is paid for.
    #[must_use]
    pub fn withdraw(&self, now: Time) -> bool {
        self.update(now, |balance| balance.checked_sub(RETRY))
    }

    fn update(&self, now: Time, change: impl Fn(u64) -> Option<u64>) -> bool {
        let now = (now.as_nanos() / 1_000_000) as u32;
        let mut word = self.state.load(Ordering::Relaxed);
        loop {
            let (then, balance) = ((word >> 32) as u32, word & u64::from(u32::MAX));
            let elapsed = now.wrapping_sub(then);
            // Another thread's clock reading may be a little ahead of ours.
            let elapsed = if elapsed > u32::MAX - AHEAD { 0 } else { elapsed };
            let earned = u64::from(elapsed) * self.per_second / 1000;
            // Time too short to earn anything is not used up.
            let stamp = if earned == 0 { then } else { now };
            let Some(next) = change((balance + earned).min(self.cap)) else { return false };
            let new = u64::from(stamp) << 32 | next;
            match self.state.compare_exchange_weak(word, new, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(seen) => word = seen,
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn attempts_stay_within_the_bound_whatever_fails() {
        let budget = RetryBudget::default();
        let mut now = Time::ZERO;
        let (mut requests, mut retries) = (0_u32, 0_u32);
        for _ in 0..20_000 {
            now += Duration::from_millis(1);
            requests += 1;
            budget.deposit(now);
            while budget.withdraw(now) {
                retries += 1;
            }
        }
        // 20 s at 1000 requests/s: 4000 from requests, 200 from time, 100 at the start.
        assert!((4280..=4301).contains(&retries), "{retries} retries of {requests} requests");
    }

    #[test]
    fn a_quiet_hour_buys_no_storm() {
        let budget = RetryBudget::default();
        let now = Time::ZERO + Duration::from_secs(3600);
        assert_eq!((0..1000).filter(|_| budget.withdraw(now)).count(), 100);
    }

    #[test]
    fn a_quiet_month_does_not_stop_the_clock() {
        let budget = RetryBudget::default();
        let mut now = Time::ZERO;
        for days in [30, 30, 49, 1] {
            now += Duration::from_secs(days * 86_400);
            assert_eq!((0..1000).filter(|_| budget.withdraw(now)).count(), 100);
        }
    }
}
