//! From additive statistics to a model: who is alike, what a request costs there, what waits in front.
//!
//! - **Service cost `m`.** The mean of the server's own processing times where the class's cells have
//!   them; it contains no queue. Else a low quantile (10 %) of the latency of requests that found none
//!   of the client's own there. Low, because other clients' requests queue too: a mean or a median of
//!   latency is confounded by the logging policy, which sends the faster type more, so that its queues
//!   are longer and it looks slower. The lowest tenth mostly met no queue as long as one server in ten
//!   is idle. Censored rows enter as lower bounds, so an endpoint that times out cannot look quick.
//! - **Slope.** Latency regressed on the client's own requests there, over the mean work of one of them,
//!   plus one standard error; at least the floor, at most 1 (a server that does one thing at a time), so
//!   that extrapolation is monotone and pessimistic. Where in-flight never varied it is 1.
//! - **Support.** A cell with fewer rows than `min_rows` has no cost, and the policy leaves what falls
//!   there to its baseline (SPIBB, Laroche and others, 2019).

use std::time::Duration;

use super::{
    Basis, Report, Stats, TrainError,
    cell_stats::CellStats,
    cluster::{Costs, cluster},
    stats::Place,
    table::{Group, Table, service},
};
use crate::learn::{Archetype, Model, Parts, Window, feature_hash};

/// How to fit.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Rows below which a cell is unsupported. Default 30.
    pub min_rows: u64,
    /// The labels that make an archetype; `None` takes those that the rows have. They must be the
    /// balancer's own.
    pub archetype_labels: Option<Vec<String>>,
    /// How much the costs of clustered endpoints may differ, as a ratio. Default 0.25.
    pub tolerance: f64,
    /// The quantile of latency that stands for the service where servers report none. Default 0.1.
    pub low_quantile: f64,
    /// The least slope. Default 0.05.
    pub slope_floor: f64,
    /// The gain from which enabling is advised. Default 1.05.
    pub min_gain: f64,
    /// The coverage from which enabling is advised. Default 0.9.
    pub min_coverage: f64,
    /// Where the model comes from, for people.
    pub note: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min_rows: 30,
            archetype_labels: None,
            tolerance: 0.25,
            low_quantile: 0.1,
            slope_floor: 0.05,
            min_gain: 1.05,
            min_coverage: 0.9,
            note: String::new(),
        }
    }
}

impl Config {
    /// Rows below which a cell is unsupported.
    pub fn with_min_rows(mut self, rows: u64) -> Self {
        self.min_rows = rows;
        self
    }

    /// The labels that make an archetype.
    pub fn with_archetype_labels(
        mut self,
        labels: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.archetype_labels = Some(labels.into_iter().map(Into::into).collect());
        self
    }

    /// How much the costs of clustered endpoints may differ, as a ratio.
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Where the model comes from.
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn check(&self) -> Result<(), TrainError> {
        let in_range = |name, value: f64, allowed, holds: bool| {
            if holds { Ok(()) } else { Err(TrainError::Setting { name, value, allowed }) }
        };
        let (t, q, s) = (self.tolerance, self.low_quantile, self.slope_floor);
        in_range("min_rows", self.min_rows as f64, "[1, inf)", self.min_rows >= 1)?;
        in_range("tolerance", t, "[0, inf)", t >= 0.0 && t.is_finite())?;
        in_range("low_quantile", q, "(0, 1)", q > 0.0 && q < 1.0)?;
        in_range("slope_floor", s, "[0, 1]", (0.0..=1.0).contains(&s))
    }
}

/// A model and what there is to say of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Fit {
    /// The model.
    pub model: Model,
    /// What a person should see before enabling it.
    pub report: Report,
}

impl Stats {
    /// Fits a model.
    ///
    /// # Errors
    /// [`TrainError`] if there is nothing to fit or the settings cannot be used.
    pub fn finalize(&self, config: &Config) -> Result<Fit, TrainError> {
        config.check()?;
        let names = self.classes();
        if names.is_empty() {
            let (rows, wrong) = (self.rows(), self.wrong());
            return Err(TrainError::NoRows { rows, wrong, unclassified: self.unclassified() });
        }
        let labels = self.labels(config)?;
        let bases: Vec<Basis> = names.iter().map(|class| self.basis(class, config)).collect();
        let (groups, left_out) = self.groups(&names, &bases, config);
        let mut table = Table::new(self, &names, &bases, &groups, config);
        table.order_classes();
        let supported = table.classes.iter().take_while(|class| class.is_supported()).count();
        if supported == 0 {
            let rows = table.classes.iter().flat_map(|class| &class.cells);
            let fullest = rows.map(|cell| cell.stats.informative()).max().unwrap_or(0);
            return Err(TrainError::NoSupport { needed: config.min_rows, fullest });
        }
        let window = self.window().unwrap_or_default();
        let model = Model::new(Parts {
            classes: table.classes[..supported].iter().map(|c| c.name.to_owned()).collect(),
            archetypes: groups.iter().map(|group| group.archetype.clone()).collect(),
            cells: table.classes[..supported]
                .iter()
                .flat_map(|class| class.cells.iter().map(|cell| cell.cost))
                .collect(),
            feature_hash: feature_hash(&labels),
            window: Window {
                start: Duration::from_micros(window.0),
                end: Duration::from_micros(window.1),
            },
            rows: self.rows() - self.wrong() - self.unclassified(),
            note: config.note.clone(),
        })?;
        let report = table.report(self, labels, left_out, config);
        Ok(Fit { model, report })
    }

    /// The label keys of the rows, which must be those asked for.
    fn labels(&self, config: &Config) -> Result<Vec<String>, TrainError> {
        let mut found: Option<Vec<String>> = None;
        for place in self.places() {
            let Place::Labelled(label) = place else { continue };
            let keys = keys(label);
            let known = found.get_or_insert_with(|| keys.clone());
            let asked = config.archetype_labels.as_ref().unwrap_or(known);
            if *asked != keys {
                return Err(TrainError::Labels { asked: asked.clone(), found: keys });
            }
        }
        let default = || vec!["archetype".to_owned()];
        Ok(config.archetype_labels.clone().or(found).unwrap_or_else(default))
    }

    /// Server times serve a class if every place with rows enough reports them.
    fn basis(&self, class: &str, config: &Config) -> Basis {
        let mut cells = self
            .places()
            .filter_map(|place| self.get(class, place))
            .filter(|(cell, _)| cell.answered >= config.min_rows)
            .peekable();
        let any = cells.peek().is_some();
        let reported =
            |cell: &CellStats| cell.server.total() >= config.min_rows.max(cell.answered / 2);
        if any && cells.all(|(cell, _)| reported(cell)) { Basis::Server } else { Basis::Latency }
    }

    /// The archetypes by label, then the clusters of endpoints without labels, and the endpoints that
    /// had too few rows to be clustered.
    fn groups(
        &self,
        classes: &[&str],
        bases: &[Basis],
        config: &Config,
    ) -> (Vec<Group>, Vec<String>) {
        let (mut groups, mut ids, mut costs, mut left_out) = (vec![], vec![], vec![], vec![]);
        for place in self.places() {
            match place {
                Place::Labelled(label) => groups.push(Group {
                    archetype: Archetype { name: label.clone(), members: Vec::new() },
                    places: vec![place.clone()],
                    endpoints: self.endpoints(label),
                }),
                Place::Endpoint(id) => {
                    let costs_there = self.costs(place, classes, bases, config);
                    if costs_there.by_class.iter().any(Option::is_some) {
                        ids.push(id);
                        costs.push(costs_there);
                    } else {
                        left_out.push(id.clone());
                    }
                }
            }
        }
        for (number, members) in cluster(&costs, config.tolerance).into_iter().enumerate() {
            let members = || members.iter().map(|index| ids[*index]);
            groups.push(Group {
                archetype: Archetype {
                    name: format!("cluster-{}", number + 1),
                    members: members().map(Into::into).collect(),
                },
                places: members().map(|id| Place::Endpoint(id.clone())).collect(),
                endpoints: members().count(),
            });
        }
        (groups, left_out)
    }

    fn costs(&self, place: &Place, classes: &[&str], bases: &[Basis], config: &Config) -> Costs {
        let mut rows = 0;
        let by_class = classes
            .iter()
            .zip(bases)
            .map(|(class, basis)| {
                let (cell, _) = self.get(class, place)?;
                rows += cell.informative();
                service(cell, *basis, config)
            })
            .collect();
        Costs { by_class, rows }
    }
}

/// The keys of `key=value,...`; a part without `=` belongs to the value before it.
fn keys(label: &str) -> Vec<String> {
    label.split(',').filter_map(|part| Some(part.split_once('=')?.0.to_owned())).collect()
}
