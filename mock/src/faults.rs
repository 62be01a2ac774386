//! Faults that a server shows, switchable while it runs.
//!
//! A change names only the keys it changes. An unknown key or a value out of range is refused by
//! name and changes nothing, since a typo that silently injects no fault makes a test pass that
//! should not.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::watch;

/// What a server does wrong. The default is nothing.
///
/// | key over HTTP | value | effect |
/// |---|---|---|
/// | `error_rate` | 0 to 1 | this share of inference requests gets 500, or `UNAVAILABLE` |
/// | `fail_fast` | boolean | every inference request gets 503, or `UNAVAILABLE`, at once; health fails too |
/// | `unhealthy` | boolean | only health fails |
/// | `stall` | boolean | inference and health requests are read and never answered |
/// | `slow_down` | above 0, to 1000 | iterations of the model take this many times as long |
/// | `reset_rate` | 0 to 1 | the connection closes in the middle of this share of answers |
/// | `exit_after_s` | 0 or more, or null | the server stops, dropping everything, after that many seconds |
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Faults {
    /// Share of inference requests answered with an error, 0 to 1.
    pub error_rate: f64,
    /// Refuse every inference request at once, and fail health.
    pub fail_fast: bool,
    /// Fail health only.
    pub unhealthy: bool,
    /// Read requests and never answer.
    pub stall: bool,
    /// Factor on the time of the model's iterations.
    pub slow_down: f64,
    /// Share of answers in whose middle the connection closes, 0 to 1.
    pub reset_rate: f64,
    /// Stop, dropping everything, this long after the fault was set.
    pub exit_after: Option<Duration>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            error_rate: 0.0,
            fail_fast: false,
            unhealthy: false,
            stall: false,
            slow_down: 1.0,
            reset_rate: 0.0,
            exit_after: None,
        }
    }
}

impl Faults {
    /// The keys that [`Faults::apply`] knows.
    pub const KEYS: [&str; 7] = [
        "error_rate",
        "fail_fast",
        "unhealthy",
        "stall",
        "slow_down",
        "reset_rate",
        "exit_after_s",
    ];

    /// These faults with the keys of a JSON object changed.
    ///
    /// # Errors
    /// [`FaultsError`], which names the key.
    pub fn apply(&self, changes: &Value) -> Result<Self, FaultsError> {
        let changes: &Map<String, Value> = changes.as_object().ok_or(FaultsError::NotAnObject)?;
        let mut faults = self.clone();
        for (key, value) in changes {
            match key.as_str() {
                "error_rate" => faults.error_rate = share("error_rate", value)?,
                "fail_fast" => faults.fail_fast = boolean("fail_fast", value)?,
                "unhealthy" => faults.unhealthy = boolean("unhealthy", value)?,
                "stall" => faults.stall = boolean("stall", value)?,
                "slow_down" => {
                    faults.slow_down =
                        number("slow_down", value, "a number above 0, at most 1000", |factor| {
                            factor > 0.0 && factor <= 1e3
                        })?;
                }
                "reset_rate" => faults.reset_rate = share("reset_rate", value)?,
                "exit_after_s" if value.is_null() => faults.exit_after = None,
                "exit_after_s" => {
                    let rule = "a number of seconds from 0 to 1e9, or null";
                    let seconds =
                        number("exit_after_s", value, rule, |s| (0.0..=1e9).contains(&s))?;
                    faults.exit_after = Some(Duration::from_secs_f64(seconds));
                }
                _ => return Err(FaultsError::UnknownKey { key: key.clone() }),
            }
        }
        Ok(faults)
    }

    /// Checks values that did not come through [`Faults::apply`].
    ///
    /// # Errors
    /// [`FaultsError::BadValue`], which names the key.
    pub fn validate(&self) -> Result<(), FaultsError> {
        Self::default().apply(&self.to_json()).map(drop)
    }

    /// All keys with their values.
    pub fn to_json(&self) -> Value {
        json!({
            "error_rate": self.error_rate,
            "fail_fast": self.fail_fast,
            "unhealthy": self.unhealthy,
            "stall": self.stall,
            "slow_down": self.slow_down,
            "reset_rate": self.reset_rate,
            "exit_after_s": self.exit_after.map(|after| after.as_secs_f64()),
        })
    }

    /// Whether health checks fail.
    pub(crate) fn fails_health(&self) -> bool {
        self.fail_fast || self.unhealthy
    }
}

fn boolean(key: &'static str, value: &Value) -> Result<bool, FaultsError> {
    value.as_bool().ok_or_else(|| bad(key, "true or false", value))
}

fn share(key: &'static str, value: &Value) -> Result<f64, FaultsError> {
    number(key, value, "a number from 0 to 1", |share| (0.0..=1.0).contains(&share))
}

fn number(
    key: &'static str,
    value: &Value,
    rule: &'static str,
    holds: impl Fn(f64) -> bool,
) -> Result<f64, FaultsError> {
    value.as_f64().filter(|&number| holds(number)).ok_or_else(|| bad(key, rule, value))
}

fn bad(key: &'static str, rule: &'static str, value: &Value) -> FaultsError {
    FaultsError::BadValue { key, rule, value: value.to_string() }
}

/// Why a change of faults was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultsError {
    /// The change is not a JSON object.
    #[error("faults must be a JSON object such as {{\"error_rate\": 0.5}}")]
    NotAnObject,
    /// No fault has that name.
    #[error("unknown fault `{key}`; known are {}", Faults::KEYS.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// The value is of the wrong type or out of range.
    #[error("fault `{key}` must be {rule}, got {value}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// What its value must be.
        rule: &'static str,
        /// What it was.
        value: String,
    },
}

/// A handle on the faults of a running server. Clones share them.
#[derive(Clone, Debug)]
pub struct FaultsHandle(watch::Sender<Faults>);

impl FaultsHandle {
    pub(crate) fn new(faults: Faults) -> Self {
        Self(watch::Sender::new(faults))
    }

    /// The faults now.
    pub fn get(&self) -> Faults {
        self.0.borrow().clone()
    }

    /// Replaces all faults; requests that come later see them.
    ///
    /// # Errors
    /// [`FaultsError::BadValue`] for a value out of range; nothing changes then.
    pub fn set(&self, faults: Faults) -> Result<(), FaultsError> {
        faults.validate()?;
        self.0.send_replace(faults);
        Ok(())
    }

    /// Changes the keys of a JSON object and returns all faults.
    ///
    /// # Errors
    /// [`FaultsError`], which names the key; nothing changes then.
    pub fn apply(&self, changes: &Value) -> Result<Faults, FaultsError> {
        let mut result = Err(FaultsError::NotAnObject);
        self.0.send_if_modified(|faults| {
            result = faults.apply(changes);
            if let Ok(changed) = &result {
                faults.clone_from(changed);
            }
            result.is_ok()
        });
        result
    }

    /// No faults.
    pub fn clear(&self) {
        self.0.send_replace(Faults::default());
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Faults> {
        self.0.subscribe()
    }
}
