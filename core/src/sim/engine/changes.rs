//! What the scenario's events do, one server and one moment at a time.

use std::time::Duration;

use super::super::{
    results::Happening,
    scenario::{Action, Scenario},
};
use crate::time::Time;

/// One change of one server.
#[derive(Clone, Debug)]
pub(super) enum Change {
    List(bool),
    Down(bool),
    Fails(Option<(f64, Duration)>),
    Slow(f64),
    Delay(Duration),
    /// Cuts the clients of a locality, or all, off.
    Cut(Option<String>, bool),
}

/// All changes of a run in the order of the file: when, to which server, what.
pub(super) fn plan(scenario: &Scenario) -> Vec<(Time, usize, Change)> {
    let mut changes = Vec::new();
    for event in &scenario.events {
        let at = event.at.time();
        for (nth, server) in event.select(scenario).into_iter().enumerate() {
            let mut plan = |at: Time, change: Change| changes.push((at, server, change));
            let mut both = |begin: Change, end: Change| {
                plan(at, begin);
                if let Some(until) = event.until {
                    plan(until.time(), end);
                }
            };
            match &event.action {
                Action::Crash => both(Change::Down(true), Change::Down(false)),
                Action::FailFast { share, after } => {
                    both(Change::Fails(Some((share.get(), after.get()))), Change::Fails(None));
                }
                Action::Slow { by } => both(Change::Slow(by.get()), Change::Slow(1.0)),
                Action::Delay { by } => {
                    both(Change::Delay(by.get()), Change::Delay(Duration::ZERO));
                }
                Action::Partition { clients } => {
                    both(Change::Cut(clients.clone(), true), Change::Cut(clients.clone(), false));
                }
                Action::Remove => both(Change::List(false), Change::List(true)),
                Action::Add => {
                    both(Change::Down(false), Change::List(false));
                    plan(at, Change::List(true));
                }
                Action::Deploy { every, drain, down } => {
                    let begin = at + every.get() * nth as u32;
                    let stop = begin + drain.get();
                    let back = stop + down.get();
                    plan(begin, Change::List(false));
                    plan(stop, Change::Down(true));
                    plan(back, Change::Down(false));
                    plan(back, Change::List(true));
                }
            }
        }
    }
    changes
}

/// The events as reports show them.
pub(super) fn happenings(scenario: &Scenario, ids: &[String]) -> Vec<Happening> {
    let describe = |event: &super::super::scenario::Event| {
        let servers: Vec<String> =
            event.select(scenario).into_iter().map(|server| ids[server].clone()).collect();
        let (kind, what) = match &event.action {
            Action::Crash => ("crash", "crash".to_owned()),
            Action::FailFast { share, .. } => {
                ("fail_fast", format!("{:.0} % of requests fail at once at", share.get() * 100.0))
            }
            Action::Slow { by } => ("slow", format!("{}x slower:", by.get())),
            Action::Delay { by } => ("delay", format!("+{:.0} ms at", by.secs() * 1e3)),
            Action::Partition { .. } => ("partition", "cut off:".to_owned()),
            Action::Remove => ("remove", "removed:".to_owned()),
            Action::Add => ("add", "added:".to_owned()),
            Action::Deploy { .. } => ("deploy", "deployed one by one:".to_owned()),
        };
        let whom = match servers.as_slice() {
            [one] => one.clone(),
            all if all.len() == ids.len() => "all servers".to_owned(),
            some => format!("{} servers", some.len()),
        };
        Happening {
            at_s: event.at.secs(),
            until_s: event.until.map(super::super::scenario::Span::secs),
            kind,
            text: format!("{what} {whom}"),
            servers,
        }
    };
    scenario.events.iter().map(describe).collect()
}
