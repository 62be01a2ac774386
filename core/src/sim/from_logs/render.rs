//! The scenario file, with comments that say where each number comes from.

use std::fmt::{self, Write as _};

use super::{
    FromLogs,
    arrivals::Traffic,
    fleet::Fleet,
    service::{Basis, Fitted, KnownBy, Service, Timeout, Work},
};

/// The share of attempts given up from which the costs are worth a warning.
const MANY_GIVEN_UP: f64 = 0.01;

/// Policies that need nothing that a log does not have.
const COMPARED: [&str; 7] = [
    "random",
    "round_robin",
    "weighted_round_robin",
    "least_request",
    "least_response_time",
    "peak_ewma",
    "prequal",
];

/// The text of `scenario.toml`.
pub(super) fn scenario(
    logs: &FromLogs,
    traffic: &Traffic,
    fleet: &Fleet,
    service: &Service,
) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_scenario(&mut text, logs, traffic, fleet, service);
    text
}

fn write_scenario(
    text: &mut String,
    logs: &FromLogs,
    traffic: &Traffic,
    fleet: &Fleet,
    service: &Service,
) -> fmt::Result {
    write_head(text, logs, traffic, service)?;
    write_clients(text, logs, service.timeout)?;
    write_traffic(text, traffic)?;
    let names = logs.classes.plain();
    for (name, work) in names.iter().zip(&service.classes) {
        if work.is_known() {
            write_class(text, name, work, fleet)?;
        } else {
            writeln!(text, "\n# Class {}: too few answers to fit a cost to;", quoted(name))?;
            writeln!(text, "# its cost is taken to be the mean of the other classes'.")?;
            let known = || service.classes.iter().filter(|work| work.is_known());
            let share: f64 = known().map(|work| work.share).sum();
            let mean = known().map(|work| work.mean * work.share).sum::<f64>() / share.max(1.0);
            writeln!(text, "[[classes]]\nname = {}", quoted(name))?;
            writeln!(text, "share = {}", work.share.max(1e-6))?;
            writeln!(text, "work = {{ constant = {} }}", span(mean))?;
        }
    }
    if fleet.guessed > 0 {
        let guessed = fleet.guessed;
        writeln!(
            text,
            "\n# {guessed} endpoints had no label and too few rows to tell what they are:"
        )?;
        writeln!(text, "# they are counted with the largest archetype.")?;
    }
    for place in 0..fleet.groups.len() {
        write_group(text, place, &names, fleet, service)?;
    }
    write_network(text, service)?;
    write_policies(text, logs)
}

fn write_head(
    text: &mut String,
    logs: &FromLogs,
    traffic: &Traffic,
    service: &Service,
) -> fmt::Result {
    let counts = logs.counts;
    let rows = logs.attempts.len();
    writeln!(
        text,
        "# Made from decision logs: {rows} attempts, {} wrong rows left out.",
        logs.wrong
    )?;
    writeln!(text, "# Read it, doubt it, edit it: every number here is an estimate.")?;
    writeln!(text, "#")?;
    writeln!(
        text,
        "# Not rebuilt: what went wrong meanwhile. The log has {} failed attempts,",
        counts.failed
    )?;
    writeln!(
        text,
        "# {} timeouts, {} cancelled attempts, {} retries, {} hedges. Put outages",
        counts.timeouts, counts.cancelled, counts.retries, counts.hedges
    )?;
    writeln!(text, "# into [[events]]. Endpoints count as there all the time.")?;
    let given_up = (counts.timeouts + counts.cancelled) as f64 / rows.max(1) as f64;
    if given_up > MANY_GIVEN_UP {
        writeln!(text, "#")?;
        writeln!(
            text,
            "# {:.1} % of the attempts were given up. Costs are those of the answered ones:",
            given_up * 100.0
        )?;
        writeln!(text, "# where long requests time out, the true costs are higher.")?;
    }
    if !service.complete {
        writeln!(text, "#")?;
        writeln!(
            text,
            "# The log is a sample: a row stands for {:.4} attempts. How servers queue cannot",
            traffic.weight
        )?;
        writeln!(
            text,
            "# be seen in it; it is assumed below. Log all attempts for a while to know."
        )?;
    }
    writeln!(text, "name = \"from logs\"")?;
    writeln!(
        text,
        "description = {}",
        quoted(&format!(
            "{} requests logged from Unix time {:.3} on",
            traffic.logged, traffic.start
        ))
    )?;
    writeln!(text, "duration = {}", span(traffic.seconds))?;
    writeln!(text, "# The simulated servers begin empty, the logged ones did not.")?;
    writeln!(text, "warm_up = {}", span((traffic.seconds * 0.05).min(10.0)))
}

fn write_clients(text: &mut String, logs: &FromLogs, timeout: Timeout) -> fmt::Result {
    writeln!(text, "\n[clients]")?;
    writeln!(
        text,
        "# Distinct clients in the log. Each request goes to one of them at random, which evens"
    )?;
    writeln!(text, "# out clients that send more than others.")?;
    writeln!(text, "count = {}", logs.clients.len().clamp(1, 1_000_000))?;
    match timeout.known_by {
        KnownBy::Timeouts(rows) => {
            writeln!(text, "# The median latency of the {rows} first attempts that timed out.")?;
        }
        KnownBy::Deadlines => {
            writeln!(text, "# Nothing timed out; the median deadline that was left.")?;
        }
        KnownBy::Nothing => {
            writeln!(
                text,
                "# Not known: nothing timed out. Twice the longest latency, at least 5 s."
            )?;
        }
    }
    writeln!(text, "timeout = {}", span(timeout.seconds))?;
    if logs.counts.retries > 0 {
        writeln!(
            text,
            "# As many as some request had. Requests that timed out are not tried again here."
        )?;
        writeln!(text, "retries = {}", logs.counts.most_attempts.clamp(1, 10))?;
    }
    if logs.counts.hedges > 0 {
        writeln!(
            text,
            "# The log has hedges; when they are sent it does not tell.\n# hedge = {{ quantile = 0.95 }}"
        )?;
    }
    Ok(())
}

fn write_traffic(text: &mut String, traffic: &Traffic) -> fmt::Result {
    writeln!(text, "\n[traffic]")?;
    let added = traffic.requests.len() - traffic.logged;
    writeln!(
        text,
        "# {:.3} requests a second on average, at their own times; add `rate = ...` for",
        traffic.requests.len() as f64 / traffic.seconds
    )?;
    writeln!(text, "# another one, and `rotate = true` lets each seed begin elsewhere.")?;
    if added > 0 {
        writeln!(
            text,
            "# {added} of {} were put back between the logged ones.",
            traffic.requests.len()
        )?;
    }
    writeln!(text, "arrivals = {{ trace = {{ path = \"arrivals.csv\", format = \"arrivals\" }} }}")
}

fn write_class(text: &mut String, name: &str, work: &Work, fleet: &Fleet) -> fmt::Result {
    let reference = fleet.archetypes.name(work.reference);
    writeln!(text, "\n[[classes]]\nname = {}", quoted(name))?;
    writeln!(text, "share = {}", work.share.max(1e-6))?;
    if let Some(timeout) = work.timeout {
        writeln!(text, "timeout = {}", span(timeout))?;
    }
    writeln!(
        text,
        "# On {}: mean {:.4} ms over {} rows.",
        one_line(reference),
        work.mean * 1e3,
        work.rows
    )?;
    if let [only] = work.quantiles[..] {
        writeln!(text, "# Its spread is not known: a low quantile of latency stands for all.")?;
        return writeln!(text, "work = {{ constant = {} }}", span(only));
    }
    writeln!(text, "# Equally spaced quantiles, the last one set to give that mean.")?;
    writeln!(text, "work = {{ quantiles = [")?;
    for line in work.quantiles.chunks(8) {
        let values: Vec<String> = line.iter().map(|seconds| span(*seconds)).collect();
        writeln!(text, "  {},", values.join(", "))?;
    }
    writeln!(text, "] }}")
}

fn write_group(
    text: &mut String,
    place: usize,
    classes: &[String],
    fleet: &Fleet,
    service: &Service,
) -> fmt::Result {
    let group = &fleet.groups[place];
    let archetype = group.archetype as usize;
    let label = fleet.archetypes.name(group.archetype);
    let plain = label.strip_prefix("archetype=").filter(|rest| !rest.contains([',', '=']));
    let plain = plain.unwrap_or(label);
    let fitted = &service.queues[archetype];
    writeln!(text, "\n[[servers]]")?;
    let name = match &group.zone {
        Some(zone) => format!("{plain}-{zone}"),
        None => plain.to_owned(),
    };
    let twins = fleet.groups[..place]
        .iter()
        .filter(|g| g.archetype == group.archetype && g.zone == group.zone);
    let name = if twins.count() > 0 { format!("{name}-{place}") } else { name };
    writeln!(text, "name = {}", quoted(&name))?;
    if name != plain {
        writeln!(text, "archetype = {}", quoted(plain))?;
    }
    writeln!(text, "# Distinct endpoints.\ncount = {}", group.count.clamp(1, 1_000_000))?;
    if let Some(zone) = &group.zone {
        writeln!(text, "# The log tells zones and no regions.")?;
        writeln!(text, "locality = {}", quoted(&format!("region/{}", zone.replace('/', "_"))))?;
    }
    if (group.weight - 1.0).abs() > 1e-9 {
        writeln!(text, "weight = {}", group.weight)?;
    }
    write_queue(text, fitted)?;
    let usual = service.usual_speed(archetype);
    let (mut known, mut assumed) = (Vec::new(), Vec::new());
    for (class, work) in classes.iter().zip(&service.classes) {
        let speed = work.speeds[archetype];
        let entry = format!("{} = {:.5}", quoted(class), speed.unwrap_or(usual).clamp(1e-6, 1e9));
        match speed {
            Some(speed) if (speed - 1.0).abs() < 1e-9 => {}
            Some(_) => known.push(entry),
            None => assumed.push((entry, class)),
        }
    }
    for (entry, class) in assumed {
        writeln!(
            text,
            "# Too few rows of {} here: its speed is this archetype's mean.",
            quoted(class)
        )?;
        known.push(entry);
    }
    if !known.is_empty() {
        writeln!(text, "# Mean cost where `work` was measured, over mean cost here.")?;
        writeln!(text, "speed_by_class = {{ {} }}", known.join(", "))?;
    }
    Ok(())
}

fn write_queue(text: &mut String, fitted: &Fitted) -> fmt::Result {
    let Fitted { queue, basis, most, misfit } = *fitted;
    writeln!(
        text,
        "{}",
        match basis {
            Basis::Reported => "# Costs are the processing times that servers report.",
            Basis::Latency =>
                "# Servers report no times: costs are latencies with the queue below taken out,\n# the network's time included.",
            Basis::ReportedIsShared =>
                "# The times that servers report grow with the requests there, so they hold the sharing:\n# costs are latencies with the queue below taken out.",
            Basis::LowLatency =>
                "# Servers report no times: costs are the lowest tenth of latency.",
        }
    )?;
    if misfit.is_finite() {
        let by = if basis == Basis::Reported {
            "the reported times"
        } else {
            "no tie to what was found there"
        };
        writeln!(
            text,
            "# Of shared and first-come queues with 1 to 64 workers this fits best, by {by}"
        )?;
        writeln!(
            text,
            "# (misfit {misfit:.3}). At most {most} requests were at one endpoint at once: more workers"
        )?;
        writeln!(text, "# than that would not show.")?;
    } else {
        writeln!(text, "# Assumed: nothing in the log tells how requests share a server.")?;
    }
    if queue.shared {
        writeln!(text, "model = {{ ps = {{ cores = {} }} }}", queue.workers)
    } else {
        writeln!(text, "model = {{ fifo = {{ workers = {} }} }}", queue.workers)
    }
}

fn write_network(text: &mut String, service: &Service) -> fmt::Result {
    writeln!(text, "\n[network]")?;
    match service.round_trip {
        Some(trip) => {
            writeln!(
                text,
                "# The lowest tenth of latency beyond the server's own time, of requests that met nobody."
            )?;
            writeln!(text, "round_trip = {}", span(trip))
        }
        None => writeln!(
            text,
            "# Not known apart from the service, or too short to tell.\n# round_trip = \"1ms\""
        ),
    }
}

/// The log's own policy first, so that the others are compared with it.
fn write_policies(text: &mut String, logs: &FromLogs) -> fmt::Result {
    let own = logs.policies.iter().max_by_key(|(_, attempts)| **attempts).map(|(name, _)| name);
    let own = own.filter(|name| COMPARED.contains(&name.as_str()));
    writeln!(
        text,
        "\n# Compared where none are asked for: the log's own where it can be, and two more."
    )?;
    let others = ["least_request", "peak_ewma"].into_iter();
    let others = others.filter(|name| own.is_none_or(|own| own != name));
    for name in own.map(String::as_str).into_iter().chain(others) {
        writeln!(text, "[[policies]]\nname = {}", quoted(name))?;
    }
    Ok(())
}

impl Work {
    fn is_known(&self) -> bool {
        self.mean.is_finite() && self.mean > 0.0
    }
}

/// A length of time with its unit, to seven digits.
fn span(seconds: f64) -> String {
    let micros = seconds * 1e6;
    if micros >= 1e6 { format!("\"{seconds:.6}s\"") } else { format!("\"{micros:.3}us\"") }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", c as u32);
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// For a comment, which ends where its line does.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
