//! What befalls servers, whatever the policy: the scenario's events, neighbours, pauses; and what
//! servers and discovery tell of themselves.

use std::{sync::Arc, time::Duration};

use super::{Answer, Event, Simulation, changes::Change, directed::server_of};
use crate::Failure;

impl Simulation {
    /// Something happens to a server.
    pub(super) fn change(&mut self, index: usize) {
        let (number, change) = self.changes[index].clone();
        let server = &mut self.servers[number];
        match change {
            Change::List(listed) => {
                if server.listed != listed {
                    server.listed = listed;
                    let delay = self.scenario.clients.discovery_delay.get();
                    self.calendar.after(
                        self.now,
                        delay,
                        Event::Discover { server: number, listed },
                    );
                }
            }
            Change::Down(down) => {
                server.down = down;
                if down {
                    self.crash(number);
                }
            }
            Change::Fails(fails) => server.fails = fails,
            Change::Slow(by) => server.slow(self.now, by),
            Change::Delay(by) => server.delay = by,
            Change::Cut(place, cut) => self.routes.set_cut(place.as_deref(), number as u32, cut),
        }
        let next = self.servers[number].next();
        self.clocks.set(number, next);
    }

    /// A server's process dies: what it holds is reset.
    pub(super) fn crash(&mut self, number: usize) {
        self.servers[number].clear();
        for job in self.flights.at_server(number as u32) {
            if let Some(attempt) = self.flights.attempt(job) {
                attempt.at_server = false;
            }
            self.answer_after(job, Duration::ZERO, Answer::Failed(Failure::Reset));
            self.flights.release(job);
        }
    }

    /// Clients hear that a server has come or gone.
    pub(super) fn discover(&mut self, number: usize, listed: bool) {
        let endpoint = &self.endpoints[number];
        for client in &mut self.clients {
            let fleet = client.balancer.fleet();
            if listed {
                fleet.add(endpoint.clone());
                client.meet(self.servers.len(), server_of);
            } else {
                // It may never have been heard of.
                let _ = fleet.remove(endpoint.id());
            }
        }
    }

    /// Other programs on the server's machine take another part of it.
    pub(super) fn steal(&mut self, number: usize) {
        let server = &mut self.servers[number];
        let Some(antagonist) = &self.scenario.servers[server.group as usize].antagonist else {
            return;
        };
        let (low, high) = antagonist.takes;
        let part = low.get() + (high.get() - low.get()) * self.world.unit();
        server.steal(self.now, part);
        let next = server.next();
        self.clocks.set(number, next);
        if let Some(every) = antagonist.every {
            let after = Duration::from_secs_f64(self.world.exponential(every.secs()));
            self.calendar.after(self.now, after, Event::Steal(number));
        }
    }

    pub(super) fn pause(&mut self, number: usize) {
        let server = &mut self.servers[number];
        let Some(pauses) = self.scenario.servers[server.group as usize].pauses else { return };
        server.pause(self.now, self.now + pauses.lasts.get());
        let next = server.next();
        self.clocks.set(number, next);
        let after = Duration::from_secs_f64(self.world.exponential(pauses.every.secs()));
        self.calendar.after(self.now, after, Event::Pause(number));
    }

    pub(super) fn report(&mut self, number: usize) {
        let server = &mut self.servers[number];
        let Some(reports) = self.scenario.servers[server.group as usize].reports else { return };
        let Some(every) = reports.every else { return };
        let report = Arc::new(server.report(self.now));
        let down = server.down;
        for client in 0..self.clients.len() as u32 {
            let lost = reports.loss.get() > 0.0 && self.luck.unit() < reports.loss.get();
            let locality = self.clients[client as usize].locality;
            if lost || down || self.routes.is_cut(locality, number as u32) {
                continue;
            }
            let report = Arc::clone(&report);
            let event = Event::Reported { server: number, client, report };
            self.calendar.after(self.now, reports.delay.get(), event);
        }
        self.calendar.after(self.now, every.get(), Event::Report(number));
    }
}
