//! Which policy runs, under which label, with which settings.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use serde::Deserialize;

use crate::{
    learn::Model,
    locality::Place,
    policy::{self, POLICY_NAMES, Policy},
    rng::Rng,
};

/// One policy to simulate.
///
/// Beside the policies of this crate it may name one of the simulator's own, for comparison only.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicyChoice {
    /// The policy's name.
    pub name: String,
    /// What tables call it; the name if left out. Two choices of one name need it.
    pub label: Option<String>,
    /// A model file for `q_table`, as seen from the scenario's folder.
    pub model: Option<PathBuf>,
    /// Its settings.
    #[serde(default)]
    pub options: BTreeMap<String, f64>,
}

/// An all-knowing router that sends each request where it will be answered first.
pub(crate) const ORACLE: &str = "oracle";

impl PolicyChoice {
    /// The policy of that name with default settings.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// What tables call it.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.name)
    }

    /// Whether it is the all-knowing router.
    pub(crate) fn is_oracle(&self) -> bool {
        self.name == ORACLE
    }

    /// Checks the name and the settings.
    ///
    /// # Errors
    /// In words, naming what is known.
    pub fn check(&self) -> Result<(), String> {
        if self.is_oracle() {
            return if self.options.is_empty() {
                Ok(())
            } else {
                Err("oracle takes no options".to_owned())
            };
        }
        self.build(None, &Place::default(), &mut Rng::seeded(0)).map(drop)
    }

    /// Makes the policy for one client.
    pub(crate) fn build(
        &self,
        model: Option<Arc<Model>>,
        here: &Place,
        rng: &mut Rng,
    ) -> Result<Box<dyn Policy>, String> {
        if !self.options.is_empty() {
            return self.with_options();
        }
        policy::by_name(&self.name, model, here, rng).map_err(|error| match error {
            crate::ConfigError::UnknownPolicy { name, .. } => {
                let known = [POLICY_NAMES, &[ORACLE]].concat().join(", ");
                format!("names no policy: `{name}`; known are {known}")
            }
            error => error.to_string(),
        })
    }

    fn with_options(&self) -> Result<Box<dyn Policy>, String> {
        let mut options = self.options.clone();
        let mut take = |name: &str| options.remove(name);
        let policy: Box<dyn Policy> = match self.name.as_str() {
            "least_request" => {
                let choices = take("choices").unwrap_or(2.0);
                let policy = policy::LeastRequest::with_choices(choices.clamp(0.0, 255.0) as u8);
                Box::new(policy.map_err(|error| error.to_string())?)
            }
            name => return Err(format!("{name} takes no options")),
        };
        match options.keys().next() {
            Some(unknown) => Err(format!("{} knows no option `{unknown}`", self.name)),
            None => Ok(policy),
        }
    }
}
