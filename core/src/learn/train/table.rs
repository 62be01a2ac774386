//! The fitted table: classes by archetypes, each cell priced and described.

use std::time::Duration;

use super::{
    Advice, ArchetypeReport, Basis, CellReport, ClassReport, Config, Gain, Report, Stats,
    advice::Findings,
    cell_stats::{CellStats, Centred},
    gain,
    stats::Place,
};
use crate::learn::{Archetype, CellCost};

/// An archetype and where its rows are.
pub(super) struct Group {
    pub(super) archetype: Archetype,
    pub(super) places: Vec<Place>,
    pub(super) endpoints: usize,
}

/// Classes by archetypes.
pub(super) struct Table<'a> {
    pub(super) classes: Vec<Class<'a>>,
    pub(super) groups: &'a [Group],
    /// Mean service cost of what each group was sent, in nanoseconds.
    pub(super) mean_work: Vec<Option<f64>>,
}

pub(super) struct Class<'a> {
    pub(super) name: &'a str,
    pub(super) basis: Basis,
    pub(super) weight: f64,
    pub(super) cells: Vec<Cell>,
}

pub(super) struct Cell {
    pub(super) stats: CellStats,
    pub(super) weight: f64,
    pub(super) service: Option<f64>,
    pub(super) cost: Option<CellCost>,
}

impl Class<'_> {
    pub(super) fn is_supported(&self) -> bool {
        self.cells.iter().any(|cell| cell.service.is_some())
    }

    fn is_full(&self) -> bool {
        self.cells.iter().all(|cell| cell.service.is_some())
    }
}

impl<'a> Table<'a> {
    pub(super) fn new(
        stats: &Stats,
        names: &[&'a str],
        bases: &[Basis],
        groups: &'a [Group],
        config: &Config,
    ) -> Self {
        let cell = |class: &str, group: &Group, basis| {
            let (mut merged, mut weight) = (CellStats::default(), 0);
            for (cell, w) in group.places.iter().filter_map(|place| stats.get(class, place)) {
                merged.merge(cell);
                weight += w;
            }
            let service = service(&merged, basis, config);
            Cell { stats: merged, weight: weight as f64, service, cost: None }
        };
        let classes = names.iter().zip(bases).map(|(name, basis)| {
            let cells: Vec<Cell> = groups.iter().map(|group| cell(name, group, *basis)).collect();
            let weight = cells.iter().map(|cell| cell.weight).sum();
            Class { name, basis: *basis, weight, cells }
        });
        let mut table = Self { classes: classes.collect(), groups, mean_work: Vec::new() };
        table.mean_work = (0..groups.len()).map(|a| table.mean_work(a)).collect();
        for a in 0..groups.len() {
            table.price(a, config);
        }
        table
    }

    /// Classes with a supported cell first, each part in order of name.
    pub(super) fn order_classes(&mut self) {
        self.classes.sort_by_key(|class| !class.is_supported());
    }

    fn column(&self, a: usize) -> impl Iterator<Item = &Cell> {
        self.classes.iter().map(move |class| &class.cells[a])
    }

    fn mean_work(&self, a: usize) -> Option<f64> {
        let known = || self.column(a).filter_map(|cell| Some((cell.service?, cell.weight)));
        let weight: f64 = known().map(|(_, w)| w).sum();
        (weight > 0.0).then(|| known().map(|(m, w)| m * w).sum::<f64>() / weight)
    }

    /// Gives each supported cell of an archetype its cost: its own slope where it has loaded rows
    /// enough, else that of all classes there together.
    fn price(&mut self, a: usize, config: &Config) {
        let Some(mean_work) = self.mean_work[a] else { return };
        let slope = |trend: Centred| trend.wait_for_each().map(|wait| wait / mean_work);
        let together = self
            .column(a)
            .map(|cell| cell.stats.trend.centred())
            .reduce(Centred::and)
            .and_then(slope);
        for class in &mut self.classes {
            let cell = &mut class.cells[a];
            let Some(service) = cell.service else { continue };
            let own = Some(&cell.stats.trend)
                .filter(|trend| trend.loaded >= config.min_rows)
                .and_then(|trend| slope(trend.centred()));
            let slope = own.or(together).unwrap_or(1.0).clamp(config.slope_floor, 1.0);
            let service = Duration::from_nanos((service as u64).max(1000));
            cell.cost = Some(CellCost::new(service, slope, cell.stats.informative()));
        }
    }

    pub(super) fn report(
        &self,
        stats: &Stats,
        archetype_labels: Vec<String>,
        left_out: Vec<String>,
        config: &Config,
    ) -> Report {
        let total: f64 = self.classes.iter().map(|class| class.weight).sum();
        let share = |weight: f64| if total > 0.0 { weight / total } else { 0.0 };
        let all_cells = || self.classes.iter().flat_map(|class| &class.cells);
        let covered = all_cells().filter(|c| c.service.is_some()).map(|c| c.weight).sum();
        let full = || self.classes.iter().filter(|class| class.is_full() && class.weight > 0.0);
        let gain = self.gain();
        let (coverage, comparable) = (share(covered), share(full().map(|c| c.weight).sum()));
        let rows = |count: fn(&CellStats) -> u64| all_cells().map(|c| count(&c.stats)).sum();
        let advice = Advice::on(
            &Findings {
                gain: gain.as_ref().map(|gain| gain.ratio),
                coverage,
                comparable,
                archetypes: self.groups.len(),
                rows: rows(CellStats::rows),
                censored: rows(|cell| cell.censored),
            },
            config,
        );
        let classes = self.classes.iter().map(|class| ClassReport {
            name: class.name.to_owned(),
            share: share(class.weight),
            basis: class.basis,
            full: class.is_full(),
        });
        let archetypes =
            self.groups.iter().zip(&self.mean_work).map(|(group, work)| ArchetypeReport {
                name: group.archetype.name.clone(),
                endpoints: group.endpoints,
                members: group.archetype.members.iter().map(ToString::to_string).collect(),
                mean_work_ms: work.map(|nanos| nanos / 1e6),
            });
        let cells = self.classes.iter().flat_map(|class| {
            let named = class.cells.iter().zip(self.groups);
            named.map(|(cell, group)| cell.report(class.name, &group.archetype.name))
        });
        Report {
            rows: stats.rows(),
            wrong: stats.wrong(),
            unclassified: stats.unclassified(),
            window: stats.window().map(|(start, end)| (start as f64 / 1e6, end as f64 / 1e6)),
            archetype_labels,
            min_rows: config.min_rows,
            classes: classes.collect(),
            archetypes: archetypes.collect(),
            cells: cells.collect(),
            coverage,
            comparable,
            left_out,
            gain,
            advice,
        }
    }

    /// Over the classes that are supported everywhere, at the rates of the log.
    fn gain(&self) -> Option<Gain> {
        let full = || self.classes.iter().filter(|class| class.is_full() && class.weight > 0.0);
        let costs: Vec<Vec<f64>> =
            full().map(|class| class.cells.iter().filter_map(|c| c.service).collect()).collect();
        let rates: Vec<f64> = full().map(|class| class.weight).collect();
        let servers: Vec<f64> = self.groups.iter().map(|group| group.endpoints as f64).collect();
        gain(&costs, &rates, &servers)
    }
}

impl Cell {
    fn report(&self, class: &str, archetype: &str) -> CellReport {
        let latency = self.stats.latency();
        let millis = |nanos: u64| nanos as f64 / 1e6;
        CellReport {
            class: class.to_owned(),
            archetype: archetype.to_owned(),
            rows: self.stats.rows(),
            answered: self.stats.answered,
            censored: self.stats.censored,
            failed: self.stats.failed,
            server_reported: self.stats.server.total(),
            idle: self.stats.idle.total(),
            supported: self.cost.is_some(),
            service_ms: self.cost.map(|cost| cost.service().as_secs_f64() * 1e3),
            slope: self.cost.map(|cost| cost.slope()),
            p50_ms: latency.quantile(0.5).map(millis),
            p99_ms: latency.quantile(0.99).map(millis),
        }
    }
}

/// Nanoseconds of service; `None` with too few rows.
pub(super) fn service(cell: &CellStats, basis: Basis, config: &Config) -> Option<f64> {
    if cell.informative() < config.min_rows {
        return None;
    }
    let reported = basis == Basis::Server && cell.server.total() >= config.min_rows;
    if reported {
        cell.mean_service()
    } else {
        cell.low_latency(config.low_quantile, config.min_rows)
    }
}
