//! Whether to enable a model, said plainly.

use super::{Advice, Config};

/// What the advice rests on.
pub(super) struct Findings {
    pub(super) gain: Option<f64>,
    pub(super) coverage: f64,
    pub(super) comparable: f64,
    pub(super) archetypes: usize,
    pub(super) rows: u64,
    pub(super) censored: u64,
}

impl Advice {
    pub(super) fn on(findings: &Findings, config: &Config) -> Self {
        let against = against(findings, config);
        if !against.is_empty() {
            return Self { enable: false, reasons: against };
        }
        let reason = format!(
            "The fitted costs allow {:.2} times the load of class-blind routing, and {:.1} % of the \
             traffic falls into supported cells. Try it on a canary first: this is a forecast.",
            findings.gain.unwrap_or(1.0),
            100.0 * findings.coverage
        );
        Self { enable: true, reasons: vec![reason] }
    }
}

fn against(findings: &Findings, config: &Config) -> Vec<String> {
    let Findings { gain, coverage, comparable, archetypes, rows, censored } = *findings;
    let needed = 100.0 * config.min_coverage;
    let mut reasons = Vec::new();
    if coverage < config.min_coverage {
        reasons.push(format!(
            "Only {:.1} % of the traffic falls into supported cells; {needed:.0} % are needed. Log more, \
             with an exploration rate above 0.",
            100.0 * coverage
        ));
    } else if comparable < config.min_coverage {
        reasons.push(format!(
            "Only {:.1} % of the traffic is of classes that are known on every archetype; {needed:.0} % \
             are needed. Explore more while logging.",
            100.0 * comparable
        ));
    }
    if archetypes < 2 {
        reasons.push("All endpoints are of one archetype: there is nothing to choose.".to_owned());
    } else if let Some(gain) = gain
        && gain < config.min_gain
    {
        reasons.push(format!(
            "The fitted costs allow {gain:.3} times the load of class-blind routing, less than {}: at \
             best the table ties with peak_ewma.",
            config.min_gain
        ));
    }
    if gain.is_none() {
        reasons
            .push("No class is known on every archetype: the gain cannot be computed.".to_owned());
    }
    if censored * 10 > rows {
        reasons.push(format!(
            "{censored} of {rows} rows timed out or were given up: the costs are lower bounds."
        ));
    }
    reasons
}
