//! An endpoint as the balancer knows it: its description and everything measured of it.
//!
//! A node is born when an endpoint first appears and lives as long as the fleet or any lease holds
//! it, so its signals outlive every snapshot. Its id and address never change; its description may.
//! The fields that a pick reads come first, then what its end writes: they share two or three cache
//! lines, and large fleets are slow by their cache misses.

use std::{any::Any, sync::Arc, sync::OnceLock, time::Duration};

use crate::{
    cell::Cell,
    endpoint::{Endpoint, EndpointId},
    shared::Shared,
    signal::{
        LoadReport,
        failing::Failing,
        health::Health,
        latency::Latency,
        load_report::{LlmLoad, LoadSlot, Own},
        probe::ProbeSlot,
        reported_weight::ReportedWeight,
        residual::Residual,
        success::{Counts, Success},
        waits::Waits,
    },
    sync::{AtomicU32, AtomicU64, Ordering},
    time::Time,
};

/// One endpoint with its signals. Policies read it; only leases and the data plane write to it.
#[derive(Debug)]
#[repr(C)]
pub struct Node {
    pub(crate) in_flight: AtomicU32,
    /// This endpoint's share of the load, as `f32` bits: read by every weighted comparison.
    weight: AtomicU32,
    pub(crate) health: Health,
    pub(crate) latency: Latency,
    pub(crate) shared: Arc<Shared>,
    pub(crate) success: Success,
    /// Predicted service cost of what is in flight, in microseconds.
    pub(crate) work: AtomicU64,
    pub(crate) residual: Residual,
    pub(crate) cancelled: AtomicU64,
    pub(crate) load: LoadSlot,
    /// The last answer to a probe, while it is in a policy's pool.
    pub(crate) probe: ProbeSlot,
    /// Fed by the policies that charge a probe's answer with failures.
    pub(crate) failing: Failing,
    /// Fed where slow endpoints are looked for.
    pub(crate) waits: Waits,
    /// Fed by the policies that weigh endpoints by their load reports.
    pub(crate) reported_weight: ReportedWeight,
    /// 1 while it takes new requests: in the fleet and not draining.
    member: AtomicU32,
    id: EndpointId,
    address: Arc<str>,
    endpoint: Cell<Endpoint>,
    /// Smallest measured round trip in nanoseconds; `u64::MAX` before the first.
    round_trip: AtomicU64,
    attachment: Attachment,
}

impl Node {
    pub(crate) fn new(endpoint: Endpoint, shared: Arc<Shared>) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            weight: AtomicU32::new((endpoint.weight().get() as f32).to_bits()),
            health: Health::new(),
            latency: Latency::new(),
            work: AtomicU64::new(0),
            residual: Residual::new(),
            shared,
            success: Success::new(),
            cancelled: AtomicU64::new(0),
            load: LoadSlot::new(),
            probe: ProbeSlot::new(),
            failing: Failing::new(),
            waits: Waits::new(),
            reported_weight: ReportedWeight::new(),
            member: AtomicU32::new(1),
            id: endpoint.id().clone(),
            address: Arc::clone(endpoint.address()),
            endpoint: Cell::new(Arc::new(endpoint)),
            round_trip: AtomicU64::new(u64::MAX),
            attachment: Attachment::default(),
        }
    }

    /// The endpoint's stable id.
    pub fn id(&self) -> &EndpointId {
        &self.id
    }

    /// Where to connect to.
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// The operator's description as of now.
    pub fn endpoint(&self) -> Arc<Endpoint> {
        self.endpoint.load_full()
    }

    pub(crate) fn describe(&self, endpoint: Endpoint) {
        self.weight.store((endpoint.weight().get() as f32).to_bits(), Ordering::Relaxed);
        self.endpoint.store(Arc::new(endpoint));
    }

    pub(crate) fn is_member(&self) -> bool {
        self.member.load(Ordering::Relaxed) == 1
    }

    pub(crate) fn set_member(&self, member: bool) {
        let was = self.member.swap(u32::from(member), Ordering::Relaxed) == 1;
        if member && !was {
            self.reported_weight.restart();
        }
    }

    /// Its share of the load relative to the other endpoints.
    #[inline]
    pub fn weight(&self) -> f32 {
        f32::from_bits(self.weight.load(Ordering::Relaxed))
    }

    /// Requests of this process that are there now.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Predicted service cost of the requests that are there now; zero under policies that predict
    /// none.
    #[inline]
    pub fn work_in_flight(&self) -> Duration {
        Duration::from_micros(self.work.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn work_in_flight_nanos(&self) -> f64 {
        self.work.load(Ordering::Relaxed) as f64 * 1e3
    }

    /// Peak-EWMA latency (time to first byte) with failure penalties, in nanoseconds, as a request
    /// arriving now has to expect it. `None` before the first sample.
    #[inline]
    pub fn peak_latency(&self, now: Time) -> Option<f32> {
        self.latency.peak(now, self.in_flight(), self.shared.tau)
    }

    /// Moving average of the latency (time to first byte) of successes, in nanoseconds.
    #[inline]
    pub fn mean_latency(&self) -> Option<f32> {
        self.latency.mean()
    }

    /// The time that an answer takes in the end, in nanoseconds: the mean latency over the success rate
    /// of the last ten seconds, for with rate s it takes 1/s attempts to get one. With no answer in that
    /// time the past is not forgotten at once: it is no less than the decaying peak, which failures
    /// raise. `None` before the first sample.
    pub fn answer_time(&self, now: Time) -> Option<f32> {
        self.answer_time_at(self.recent(now).rate(), now)
    }

    /// The same with the success rate already known.
    pub(crate) fn answer_time_at(&self, rate: Option<f64>, now: Time) -> Option<f32> {
        match (rate, self.mean_latency()) {
            (Some(rate), Some(mean)) if rate > 0.0 => Some(mean / rate as f32),
            (Some(_), _) => Some(f32::INFINITY),
            (None, mean) => self.peak_latency(now).map(|peak| mean.unwrap_or(peak).max(peak)),
        }
    }

    /// What requests take beyond their predicted service cost, in nanoseconds, averaged over a
    /// second.
    #[inline]
    pub fn queue_delay(&self, now: Time) -> f64 {
        self.residual.get(now, self.in_flight())
    }

    /// Successes and failures of the last ten seconds.
    pub fn recent(&self, now: Time) -> Counts {
        self.success.window(now)
    }

    /// Successes and failures of all time.
    pub fn total(&self) -> Counts {
        self.success.total()
    }

    /// Requests that were given up, of all time.
    pub fn cancelled(&self) -> u64 {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The data plane received a load report beside the answers, such as from a stream or a scrape. It
    /// takes the place of the last one, and is kept with what this process has there at this moment.
    pub fn record_load_report(&self, now: Time, report: LoadReport) {
        let own = Own { in_flight: self.in_flight(), work: self.work_in_flight() };
        self.shared.policy.reported(self, now, &report);
        self.load.store(now, report, own);
    }

    /// What the last load report says of an LLM server's queue; `None` if it says nothing of it.
    pub fn llm_load(&self) -> Option<LlmLoad> {
        self.load.llm()
    }

    /// The last load report and when it came.
    pub fn load_report(&self) -> Option<(Time, LoadReport)> {
        self.load.load()
    }

    /// Whether it may be picked: not ejected for failures or for being unreachable.
    #[inline]
    pub fn is_up(&self, now: Time) -> bool {
        self.health.is_up(now)
    }

    /// Whether it is ejected, or was and has not answered since: the time of an ejection passes by
    /// itself, so being up again is not yet a sign of life.
    pub fn is_recovering(&self) -> bool {
        self.health.is_recovering()
    }

    /// The shortest network round trip that the data plane has measured to it.
    pub fn round_trip(&self) -> Option<Duration> {
        let nanos = self.round_trip.load(Ordering::Relaxed);
        (nanos != u64::MAX).then(|| Duration::from_nanos(nanos))
    }

    /// The data plane measured a network round trip, such as the time a connection took to open.
    /// The minimum is kept. Region order follows at the next change of the fleet or
    /// [`Fleet::refresh`](crate::Fleet::refresh).
    pub fn record_round_trip(&self, round_trip: Duration) {
        let nanos = u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX);
        if self.round_trip.fetch_min(nanos, Ordering::Relaxed) > nanos {
            self.shared.nearer.store(1, Ordering::Relaxed);
        }
    }

    /// The data plane could not connect to it: it is left alone for a jittered backoff.
    pub fn connect_failed(&self, now: Time) {
        self.shared.connect_failed(self, now);
    }

    /// The data plane reached it: if it was left alone for being unreachable, it may be picked again at
    /// once. One that is ejected because its requests fail stays out.
    pub fn connected(&self) {
        if self.health.connected() {
            self.shared.returned();
        }
    }

    /// A value that a data plane keeps with this endpoint, such as its connections. `owner` tells
    /// apart the users of one fleet ([`next_owner`](crate::next_owner)); `make` runs once for each.
    pub fn attached<T: Send + Sync + 'static>(&self, owner: u64, make: impl FnOnce() -> T) -> &T {
        self.attachment.get_or_attach(owner, make)
    }
}

/// A list that only grows, one value an owner; nearly always one entry long.
#[derive(Default)]
struct Attachment {
    slot: OnceLock<(u64, Box<dyn Any + Send + Sync>)>,
    next: OnceLock<Box<Attachment>>,
}

impl Attachment {
    fn get_or_attach<T: Send + Sync + 'static>(&self, owner: u64, make: impl FnOnce() -> T) -> &T {
        let mut make = Some(make);
        let mut here = self;
        loop {
            let (whose, value) = here.slot.get_or_init(|| {
                let make = make.take().expect("invariant: a slot is filled at most once a call");
                (owner, Box::new(make()))
            });
            if *whose == owner
                && let Some(value) = value.downcast_ref()
            {
                return value;
            }
            here = here.next.get_or_init(Box::default);
        }
    }
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Attachment")
    }
}

/// A number that no other owner of attachments in this process has.
pub fn next_owner() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// What a pick reads of an endpoint, and all that is measured of it.
    #[test]
    fn signals_are_small() {
        let read_by_a_pick = std::mem::offset_of!(Node, shared);
        let signals = std::mem::offset_of!(Node, member);
        let node = size_of::<Node>();
        assert!(read_by_a_pick <= 48, "with the count in front, a cache line: {read_by_a_pick}");
        assert!(signals <= 256 && node <= 512, "signals {signals}, node {node}");
    }
}
