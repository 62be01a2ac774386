//! A learned table for tests that need one beside the other policies.

use std::{sync::Arc, time::Duration};

use trimtab_core::learn::{Archetype, CellCost, Model, Parts, feature_hash};

/// A table of one class, `chat`, on one archetype, the label `archetype=x`.
pub(crate) fn model(mean: Duration) -> Arc<Model> {
    let archetype = Archetype { name: "archetype=x".into(), members: Vec::new() };
    let parts = Parts {
        classes: vec!["chat".into()],
        archetypes: vec![archetype],
        cells: vec![Some(CellCost::new(mean, 0.1, 1000))],
        feature_hash: feature_hash(&["archetype".to_owned()]),
        rows: 1000,
        ..Parts::default()
    };
    Arc::new(Model::new(parts).unwrap())
}
