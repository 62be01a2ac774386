//! Requests and attempts under way, each in a slot that is used again once it has ended.

use super::{arrivals::Arrival, job::Job};
use crate::{EndpointId, Lease, LoadReport, Time};

/// A request under way. It has ended when its generation has moved on.
#[derive(Debug, Default)]
pub(super) struct Flight {
    generation: u32,
    pub(super) arrival: Arrival,
    /// Attempts that the client waits for: one, and perhaps one beside it.
    pub(super) open: [Option<Job>; 2],
    pub(super) retries_left: u32,
    pub(super) tried: Vec<EndpointId>,
    /// Servers asked for their load for the next attempt that have answered, and those yet to answer.
    pub(super) asked: Vec<EndpointId>,
    pub(super) asking: usize,
    pub(super) first_byte: Option<Time>,
    pub(super) attempts: u32,
}

/// One request's stay at one server.
#[derive(Debug)]
pub(super) struct Attempt {
    generation: u32,
    pub(super) flight: FlightId,
    pub(super) client: u32,
    pub(super) server: u32,
    /// `None` once the client does not wait any more.
    pub(super) lease: Option<Lease>,
    /// Whether the server holds it.
    pub(super) at_server: bool,
    /// When it reached the server, and how many it found there.
    pub(super) reached: Time,
    pub(super) found: u32,
    /// Worker seconds spent on it.
    pub(super) seconds: f64,
    /// The load report that its answer carries.
    pub(super) load: Option<Box<LoadReport>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlightId {
    slot: u32,
    generation: u32,
}

#[derive(Debug, Default)]
pub(super) struct Flights {
    requests: Vec<Flight>,
    free_requests: Vec<u32>,
    attempts: Vec<Attempt>,
    free_attempts: Vec<u32>,
    /// Requests that have not ended.
    pub(super) under_way: usize,
}

impl Flights {
    #[inline]
    pub(super) fn start(&mut self, arrival: Arrival, retries: u32) -> FlightId {
        self.under_way += 1;
        let slot = self.free_requests.pop().unwrap_or_else(|| {
            self.requests.push(Flight::default());
            (self.requests.len() - 1) as u32
        });
        let flight = &mut self.requests[slot as usize];
        flight.arrival = arrival;
        flight.retries_left = retries;
        FlightId { slot, generation: flight.generation }
    }

    /// The request, unless it has ended.
    #[inline]
    pub(super) fn flight(&mut self, id: FlightId) -> Option<&mut Flight> {
        let flight = &mut self.requests[id.slot as usize];
        (flight.generation == id.generation).then_some(flight)
    }

    /// The same, to be looked at.
    #[inline]
    pub(super) fn look_at(&self, id: FlightId) -> Option<&Flight> {
        let flight = &self.requests[id.slot as usize];
        (flight.generation == id.generation).then_some(flight)
    }

    #[inline]
    pub(super) fn has_ended(&self, id: FlightId) -> bool {
        self.requests[id.slot as usize].generation != id.generation
    }

    #[inline]
    pub(super) fn end(&mut self, id: FlightId) {
        let flight = &mut self.requests[id.slot as usize];
        flight.generation = flight.generation.wrapping_add(1);
        flight.open = [None; 2];
        flight.tried.clear();
        flight.asked.clear();
        flight.asking = 0;
        flight.first_byte = None;
        flight.attempts = 0;
        self.free_requests.push(id.slot);
        self.under_way -= 1;
    }

    #[inline]
    pub(super) fn send(&mut self, flight: FlightId, client: u32, server: u32, lease: Lease) -> Job {
        let attempt = Attempt {
            generation: 0,
            flight,
            client,
            server,
            lease: Some(lease),
            at_server: false,
            reached: Time::ZERO,
            found: 0,
            seconds: 0.0,
            load: None,
        };
        let slot = if let Some(slot) = self.free_attempts.pop() {
            let old = &mut self.attempts[slot as usize];
            *old = Attempt { generation: old.generation, ..attempt };
            slot
        } else {
            self.attempts.push(attempt);
            (self.attempts.len() - 1) as u32
        };
        let job = Job { slot, generation: self.attempts[slot as usize].generation };
        if let Some(flight) = self.flight(flight) {
            let place = flight.open.iter_mut().find(|open| open.is_none());
            *place.expect("invariant: at most two attempts at once") = Some(job);
            flight.attempts += 1;
        }
        job
    }

    /// The attempt, unless it is over for client and server.
    #[inline]
    pub(super) fn attempt(&mut self, job: Job) -> Option<&mut Attempt> {
        let attempt = &mut self.attempts[job.slot as usize];
        (attempt.generation == job.generation).then_some(attempt)
    }

    /// Takes the lease if the client still waits: it does so no longer.
    #[inline]
    pub(super) fn take_lease(&mut self, job: Job) -> Option<Lease> {
        let attempt = self.attempt(job)?;
        let lease = attempt.lease.take()?;
        let flight = attempt.flight;
        if let Some(flight) = self.flight(flight)
            && let Some(open) = flight.open.iter_mut().find(|open| **open == Some(job))
        {
            *open = None;
        }
        Some(lease)
    }

    /// Frees the slot once neither client nor server holds the attempt.
    #[inline]
    pub(super) fn release(&mut self, job: Job) {
        let attempt = &mut self.attempts[job.slot as usize];
        if attempt.generation == job.generation && attempt.lease.is_none() && !attempt.at_server {
            attempt.generation = attempt.generation.wrapping_add(1);
            self.free_attempts.push(job.slot);
        }
    }

    /// All attempts that a server holds.
    pub(super) fn at_server(&self, server: u32) -> Vec<Job> {
        let here = |(slot, attempt): (usize, &Attempt)| {
            (attempt.at_server && attempt.server == server)
                .then_some(Job { slot: slot as u32, generation: attempt.generation })
        };
        self.attempts.iter().enumerate().filter_map(here).collect()
    }
}
