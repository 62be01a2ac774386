//! How attempts and requests end: an answer, a failure and what follows it, a time that is up, a caller
//! that lost interest.

use std::time::Duration;

use super::super::scenario::Hedge;
use super::{Answer, Event, Simulation, flights::FlightId, job::Job, tally::End};
use crate::{Failure, Outcome};

impl Simulation {
    /// An answer reaches the client.
    #[inline]
    pub(super) fn answered(&mut self, job: Job, answer: Answer) {
        let now = self.now;
        let Some(attempt) = self.flights.attempt(job) else { return };
        let (flight, seconds) = (attempt.flight, attempt.seconds);
        match answer {
            Answer::FirstByte => {
                let Some(lease) = &mut attempt.lease else { return };
                lease.first_byte(now);
                if let Some(flying) = self.flights.flight(flight) {
                    flying.first_byte.get_or_insert(now);
                }
                self.drop_others(flight, job);
            }
            Answer::Done => {
                let load = attempt.load.take();
                let Some(lease) = self.flights.take_lease(job) else {
                    self.flights.release(job);
                    return;
                };
                if let Some(Hedge::Quantile(quantile)) = self.scenario.clients.hedge {
                    let took = now.since(lease.started());
                    let client = self.flights.flight(flight).map(|flying| flying.arrival.client);
                    if let Some(client) = client {
                        self.clients[client as usize].slow.record(took, quantile.get());
                    }
                }
                let mut outcome =
                    Outcome::success().with_server_processing(Duration::from_secs_f64(seconds));
                outcome.load = load.map(|load| *load);
                lease.finish(now, outcome);
                self.flights.release(job);
                self.drop_others(flight, job);
                self.finish(flight, End::Ok);
            }
            Answer::Failed(failure) => {
                if let Some(lease) = self.flights.take_lease(job) {
                    lease.finish(now, Outcome::failure(failure));
                    self.flights.release(job);
                    self.failed(flight);
                } else {
                    self.flights.release(job);
                }
            }
        }
    }

    /// An attempt failed: another one, or the end.
    pub(super) fn failed(&mut self, flight: FlightId) {
        let Some(flying) = self.flights.flight(flight) else { return };
        if flying.open != [None; 2] {
            return;
        }
        if flying.first_byte.is_some() {
            // Part of the answer is out: no second attempt can mend it.
            self.finish(flight, End::Failed);
            return;
        }
        if flying.asking > 0 {
            // Another attempt is about to be sent.
            return;
        }
        let budget = &self.clients[flying.arrival.client as usize].budget;
        let pays = self.scenario.clients.retry_budget;
        if flying.retries_left > 0 && (!pays || budget.withdraw(self.now)) {
            flying.retries_left -= 1;
            self.tally.retries += u64::from(self.tally.counts(flying.arrival.at));
            self.send(flight);
        } else {
            self.finish(flight, End::Failed);
        }
    }

    /// An attempt has had no answer for so long that it counts as failed.
    pub(super) fn attempt_timed_out(&mut self, job: Job) {
        let Some(attempt) = self.flights.attempt(job) else { return };
        let flight = attempt.flight;
        let answering =
            self.flights.flight(flight).is_none_or(|flying| flying.first_byte.is_some());
        if answering {
            return;
        }
        if let Some(lease) = self.flights.take_lease(job) {
            lease.finish(self.now, Outcome::failure(Failure::Timeout));
            self.tell_server(job);
            self.failed(flight);
        }
    }

    /// A request has had no answer for so long that a second attempt is sent beside the first.
    pub(super) fn hedge(&mut self, flight: FlightId) {
        let Some(flying) = self.flights.flight(flight) else { return };
        if flying.attempts != 1 || flying.first_byte.is_some() || flying.asking > 0 {
            return;
        }
        let budget = &self.clients[flying.arrival.client as usize].budget;
        if !self.scenario.clients.retry_budget || budget.withdraw(self.now) {
            self.tally.hedges += u64::from(self.tally.counts(flying.arrival.at));
            self.send(flight);
        }
    }

    /// Gives up the attempts of a request beside the one that won.
    pub(super) fn drop_others(&mut self, flight: FlightId, winner: Job) {
        let Some(flying) = self.flights.flight(flight) else { return };
        for job in flying.open.into_iter().flatten().filter(|job| *job != winner) {
            if let Some(lease) = self.flights.take_lease(job) {
                lease.cancel(self.now);
            }
            self.tell_server(job);
        }
    }

    /// A request ends with attempts open: by its timeout, or because its caller lost interest.
    pub(super) fn end_early(&mut self, flight: FlightId, end: End) {
        let Some(flying) = self.flights.flight(flight) else { return };
        for job in flying.open.into_iter().flatten() {
            if let Some(lease) = self.flights.take_lease(job) {
                match end {
                    End::TimedOut => lease.finish(self.now, Outcome::failure(Failure::Timeout)),
                    _ => lease.cancel(self.now),
                }
            }
            self.tell_server(job);
        }
        self.finish(flight, end);
    }

    pub(super) fn finish(&mut self, flight: FlightId, end: End) {
        if let Some(flying) = self.flights.flight(flight) {
            match &mut self.agent {
                // Nobody asks for the run's figures, and the histograms of many runs fill the caches.
                Some(agent) => {
                    let timeout = self.timeouts[flying.arrival.class as usize];
                    agent.ended(&flying.arrival, self.now, timeout, end);
                }
                None => self.tally.ended(flying.arrival.at, flying.first_byte, self.now, end),
            }
            self.flights.end(flight);
        }
    }

    /// Tells the server that nobody waits for an attempt any more.
    pub(super) fn tell_server(&mut self, job: Job) {
        let Some(attempt) = self.flights.attempt(job) else { return };
        let (client, server) = (attempt.client as usize, attempt.server as usize);
        if !attempt.at_server {
            // On its way there or back; whoever meets it finds nobody waiting.
            self.flights.release(job);
            return;
        }
        let locality = self.clients[client].locality;
        let there = &self.servers[server];
        if !self.scenario.servers[there.group as usize].drops_cancelled
            || self.routes.is_cut(locality, server as u32)
        {
            return;
        }
        let trip = self.routes.trip(locality, there.locality);
        if trip.is_zero() {
            self.drop_at_server(job);
        } else {
            self.calendar.after(self.now, trip, Event::Dropped(job));
        }
    }

    pub(super) fn drop_at_server(&mut self, job: Job) {
        let Some(attempt) = self.flights.attempt(job) else { return };
        if !std::mem::take(&mut attempt.at_server) {
            return;
        }
        let server = attempt.server as usize;
        self.flights.release(job);
        self.servers[server].cancel(self.now, job);
        let next = self.servers[server].next();
        self.clocks.set(server, next);
    }
}
