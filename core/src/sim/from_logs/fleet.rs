//! Who answers: the log's endpoints by archetype and zone.
//!
//! Endpoints with labels are grouped by these; those without by what they cost, as training does
//! ([`Stats::finalize`](crate::learn::train::Stats::finalize)). Endpoints that were candidates and never
//! chosen are servers all the same.

use std::collections::BTreeMap;

use super::{FromLogs, FromLogsError, names::Names};
use crate::learn::train::{Config, Report};

/// Archetypes and groups of servers.
pub(super) struct Fleet {
    /// Their names as the log has them: `archetype=h100`, `cluster-1`.
    pub(super) archetypes: Names,
    /// By endpoint.
    pub(super) of: Vec<u32>,
    pub(super) groups: Vec<Group>,
    /// Endpoints without a label and with too few rows to tell what they are.
    pub(super) guessed: usize,
    pub(super) report: Report,
}

/// Like servers at one place.
pub(super) struct Group {
    pub(super) archetype: u32,
    pub(super) zone: Option<String>,
    pub(super) count: usize,
    pub(super) weight: f64,
}

/// As training is set up by default.
pub(super) fn config() -> Config {
    Config::default()
}

impl Fleet {
    pub(super) fn of(logs: &FromLogs) -> Result<Self, FromLogsError> {
        if let [endpoint] = logs.endpoints.all() {
            return Err(FromLogsError::OneEndpoint { endpoint: endpoint.clone() });
        }
        let report = logs.stats.finalize(&config())?.report;
        let mut archetypes = Names::default();
        let mut clustered = BTreeMap::new();
        for archetype in &report.archetypes {
            let index = archetypes.index(&archetype.name);
            clustered.extend(archetype.members.iter().map(|id| (id.as_str(), index)));
        }
        let largest = report.archetypes.iter().max_by_key(|archetype| archetype.endpoints);
        let largest = largest.map_or(0, |archetype| archetypes.index(&archetype.name));
        let mut guessed = 0;
        let known = logs.endpoints.all().iter().zip(&logs.known);
        let of: Vec<u32> = known
            .map(|(id, known)| match &known.archetype {
                Some(label) => archetypes.index(label),
                None => clustered.get(id.as_str()).copied().unwrap_or_else(|| {
                    guessed += 1;
                    largest
                }),
            })
            .collect();
        let mut groups: BTreeMap<(u32, Option<&String>), (usize, f64)> = BTreeMap::new();
        for (archetype, known) in of.iter().zip(&logs.known) {
            let group = groups.entry((*archetype, known.zone.as_ref())).or_default();
            group.0 += 1;
            group.1 += known.weight.filter(|weight| *weight > 0.0).unwrap_or(1.0);
        }
        let groups = groups.into_iter().map(|((archetype, zone), (count, weights))| Group {
            archetype,
            zone: zone.cloned(),
            count,
            weight: weights / count as f64,
        });
        Ok(Self { groups: groups.collect(), archetypes, of, guessed, report })
    }
}
