//! Who is ejected for failures or as an outlier, and whether there is a place for one more.
//!
//! At most a share of the fleet is out at once, so an ejection has to count the others: a lock and a
//! walk through them. When a whole fleet fails the cap is full and every failure would pay that, all
//! threads waiting for each other. So a full cap is remembered, with the time at which the first of its
//! ejections ends, and until then or until a place is [freed](Ejected::freed) early a failure costs
//! three loads.

use std::sync::Weak;

use crate::{
    node::Node,
    sync::{AtomicU64, Mutex, Ordering, lock},
    time::Time,
};

#[derive(Debug)]
pub(crate) struct Ejected {
    list: Mutex<Vec<(Weak<Node>, Time)>>,
    /// Counts what may have freed a place before its time.
    freed: AtomicU64,
    /// That count, and the earliest end of an ejection, when the cap was last found full.
    full_at: AtomicU64,
    full_until: AtomicU64,
}

impl Ejected {
    pub(crate) fn new() -> Self {
        Self {
            list: Mutex::new(Vec::new()),
            freed: AtomicU64::new(0),
            full_at: AtomicU64::new(0),
            full_until: AtomicU64::new(0),
        }
    }

    /// An ejection ended early, an endpoint left, or the fleet grew: there may be a place.
    pub(crate) fn freed(&self) {
        self.freed.fetch_add(1, Ordering::Release);
    }

    /// As [`Ejected::add`] under a cap of its own, without what is remembered of the other cap.
    pub(crate) fn add_within(
        &self,
        node: Weak<Node>,
        now: Time,
        places: usize,
        eject: impl FnOnce() -> Option<Time>,
    ) -> Result<Time, Refused> {
        let mut list = lock(&self.list);
        keep_ejected(&mut list, now);
        if list.len() >= places {
            return Err(Refused::Full);
        }
        let until = eject().ok_or(Refused::Out)?;
        list.push((node, until));
        Ok(until)
    }

    /// Lets `eject` take one of `places`, if one is free at `now`. True if it did: it returns until when.
    pub(crate) fn add(
        &self,
        node: Weak<Node>,
        now: Time,
        places: usize,
        eject: impl FnOnce() -> Option<Time>,
    ) -> bool {
        if self.is_known_full(now) {
            return false;
        }
        let mut list = lock(&self.list);
        // Read before the places are counted: what is freed meanwhile makes the finding void.
        let freed = self.freed.load(Ordering::Acquire);
        keep_ejected(&mut list, now);
        if list.len() >= places {
            let first = list.iter().map(|(_, until)| until.as_nanos()).min();
            self.full_at.store(freed, Ordering::Relaxed);
            self.full_until.store(first.unwrap_or(0), Ordering::Relaxed);
            return false;
        }
        let until = eject();
        list.extend(until.map(|until| (node, until)));
        until.is_some()
    }

    fn is_known_full(&self, now: Time) -> bool {
        now.as_nanos() < self.full_until.load(Ordering::Relaxed)
            && self.full_at.load(Ordering::Relaxed) == self.freed.load(Ordering::Relaxed)
    }
}

/// Why nobody was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many are out as may be.
    Full,
    /// It is out already.
    Out,
}

fn keep_ejected(list: &mut Vec<(Weak<Node>, Time)>, now: Time) {
    list.retain(|(node, until)| {
        let node = node.upgrade();
        node.is_some_and(|node| node.is_member() && node.health.is_out_until(*until, now))
    });
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{
        sync::{Arc, mpsc},
        thread,
        time::Duration,
    };

    use super::*;
    use crate::{Balancer, Endpoint, Failure, HealthConfig, Outcome, Rng};

    /// One of two may be out, and is. The other one's failures pass while somebody holds the lock.
    #[test]
    fn a_full_cap_takes_no_lock() {
        let health = HealthConfig { consecutive_failures: 1, ..HealthConfig::default() };
        let endpoints = ["a", "b"].map(Endpoint::new);
        let balancer = Balancer::builder().health(health).endpoints(endpoints).build().unwrap();
        let fail = move |balancer: &Balancer| {
            let lease =
                balancer.pick(Time::ZERO, &crate::Context::new(), &mut Rng::seeded(1)).unwrap();
            lease.finish(Time::ZERO, Outcome::failure(Failure::Status));
        };
        // The second finds the cap full.
        (0..2).for_each(|_| fail(&balancer));
        assert_eq!(balancer.counters().ejections, 1);
        let shared = Arc::clone(&balancer.fleet().snapshot().nodes()[0].shared);
        let held = lock(&shared.ejected.list);
        let (done, passed) = mpsc::channel();
        let failing = balancer.clone();
        let thread = thread::spawn(move || {
            (0..100).for_each(|_| fail(&failing));
            done.send(()).unwrap();
        });
        let passed = passed.recv_timeout(Duration::from_secs(20));
        drop(held);
        thread.join().unwrap();
        assert!(passed.is_ok(), "they waited for the lock");
        assert_eq!(balancer.counters().ejections, 1);
    }
}
