//! Prequal's synchronous mode: a request waits for its own probes.
//!
//! Source: the same paper. The request asks `d` endpoints (3 to 5), waits for all but one of the answers, at
//! most 3 ms, and takes the best by the hot-cold rule. It costs a round trip a request, and is for
//! servers that hold state: such a server is told what is asked for, and may understate its load to draw a
//! request whose data it has at hand. What it says is therefore taken at its word here, but for the charge
//! on one whose requests fail (`aversion.rs`). Endpoints that have gone down meanwhile are passed over.
//!
//! Pure logic: the caller sends the probes, hands over what comes back, and asks [`SyncProbe::decision`]
//! after each answer and at the [`SyncProbe::deadline`].

use std::{sync::Arc, time::Duration};

use super::aversion::charged;
use crate::{node::Node, policy::ProbeAnswer, time::Time};

/// The longest wait, in the paper.
const AT_MOST: Duration = Duration::from_millis(3);

/// The probes of one request.
///
/// ```
/// use std::time::Duration;
/// use trimtab_core::{Balancer, Endpoint, ProbeAnswer, Time, policy::{SyncDecision, SyncProbe}};
/// let balancer = Balancer::builder().endpoints(["a", "b", "c"].map(Endpoint::new)).build()?;
/// let asked = balancer.fleet().snapshot().nodes().to_vec();
/// let mut probe = SyncProbe::new(Time::ZERO, asked.clone(), u32::MAX);
/// probe.answered(&asked[0], ProbeAnswer::new(2, Duration::from_millis(9)));
/// assert_eq!(probe.decision(Time::ZERO), SyncDecision::Wait);
/// probe.answered(&asked[2], ProbeAnswer::new(3, Duration::from_millis(5)));
/// assert_eq!(probe.decision(Time::ZERO), SyncDecision::Send(asked[2].clone()));
/// # Ok::<(), trimtab_core::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct SyncProbe {
    asked: Vec<Asked>,
    deadline: Time,
    hot_from: u32,
}

#[derive(Debug)]
struct Asked {
    node: Arc<Node>,
    heard: Heard,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Heard {
    Nothing,
    Answer(ProbeAnswer),
    Failure,
}

/// What to do with the request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SyncDecision {
    /// Wait for more answers, or for the deadline.
    Wait,
    /// Send it there.
    Send(Arc<Node>),
    /// Nobody that is up answered: pick as without probes.
    Unanswered,
}

impl PartialEq for SyncDecision {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Wait, Self::Wait) | (Self::Unanswered, Self::Unanswered) => true,
            (Self::Send(a), Self::Send(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl SyncProbe {
    /// The endpoints `asked` were probed at `now`. `hot_from` is the fewest requests in flight that are
    /// hot: 0 to choose by requests in flight alone, [`u32::MAX`] by latency alone.
    pub fn new(now: Time, asked: Vec<Arc<Node>>, hot_from: u32) -> Self {
        let asked = asked.into_iter().map(|node| Asked { node, heard: Heard::Nothing }).collect();
        Self { asked, deadline: now + AT_MOST, hot_from }
    }

    /// Waits until then at most; 3 ms if not told.
    pub fn with_deadline(mut self, deadline: Time) -> Self {
        self.deadline = deadline;
        self
    }

    /// When the decision falls at the latest.
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// `node` answered. The first answer counts; one from a node that was not asked does not.
    pub fn answered(&mut self, node: &Arc<Node>, answer: ProbeAnswer) {
        self.hear(node, Heard::Answer(answer));
    }

    /// The probe of `node` failed: no more is expected of it.
    pub fn failed(&mut self, node: &Arc<Node>) {
        self.hear(node, Heard::Failure);
    }

    /// What to do at `now`.
    pub fn decision(&self, now: Time) -> SyncDecision {
        let open = self.asked.iter().filter(|asked| asked.heard == Heard::Nothing).count();
        let wanted = self.asked.len().saturating_sub(1).max(1);
        let enough = self.answers().count() >= wanted || open == 0;
        if !enough && now < self.deadline {
            return SyncDecision::Wait;
        }
        let up = self.answers().filter(|(node, _)| node.is_up(now));
        let best = up.min_by_key(|(node, answer)| self.key(node, *answer, now));
        best.map_or(SyncDecision::Unanswered, |(node, _)| SyncDecision::Send(Arc::clone(node)))
    }

    fn answers(&self) -> impl Iterator<Item = (&Arc<Node>, ProbeAnswer)> {
        self.asked.iter().filter_map(|asked| match asked.heard {
            Heard::Answer(answer) => Some((&asked.node, answer)),
            Heard::Nothing | Heard::Failure => None,
        })
    }

    /// The lower, the better: cold before hot, cold by latency, hot by requests in flight.
    fn key(&self, node: &Node, answer: ProbeAnswer, now: Time) -> (bool, u64, u64) {
        let highest = || {
            self.answers()
                .map(|(_, answer)| figures(answer))
                .fold((0, 0.0), |most, said| (said.0.max(most.0), f32::max(said.1, most.1)))
        };
        let (in_flight, latency) = charged(figures(answer), node, now, highest);
        let (in_flight, hot) = (u64::from(in_flight), in_flight >= self.hot_from);
        // Not negative, so that its bits order as it does.
        let latency = u64::from(latency.to_bits());
        if hot { (hot, in_flight, latency) } else { (hot, latency, in_flight) }
    }

    fn hear(&mut self, node: &Arc<Node>, heard: Heard) {
        let asked = self.asked.iter_mut().find(|asked| Arc::ptr_eq(&asked.node, node));
        if let Some(asked) = asked
            && asked.heard == Heard::Nothing
        {
            asked.heard = heard;
        }
    }
}

fn figures(answer: ProbeAnswer) -> (u32, f32) {
    (answer.in_flight, answer.latency.as_nanos() as f32)
}
