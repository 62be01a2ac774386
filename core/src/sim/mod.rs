//! The simulator: real balancers, modelled servers, one virtual clock.
//!
//! A [`Scenario`] says who sends what to whom and what goes wrong on the way; a [`Study`] runs it under
//! several policies and seeds and brings [`Results`]. The policies are this crate's own, through the
//! same [`Balancer`](crate::Balancer) as in production.
//!
//! The [LLM server](LlmServer) is the mock server's, too: it takes time and randomness as arguments, so
//! that one model serves both clocks.

pub mod draw;
mod engine;
#[cfg(feature = "train")]
pub mod from_logs;
mod interval;
mod kv_blocks;
mod llm_server;
mod preset;
mod request;
pub mod results;
pub mod rules;
pub mod scenario;
mod study;
pub mod trace;

pub use engine::{
    ArrivalsError, Environment, EnvironmentConfig, EnvironmentError, Feature, RewardWeights, Setup,
    SetupError, Simulation, Step,
};
pub use interval::{Interval, Ratio};
pub use llm_server::LlmServer;
pub use preset::{Preset, PresetError};
pub use request::{Event, Occupancy, Request, RequestId, SubmitError, Timing};
pub use results::Results;
pub use scenario::{PolicyChoice, Scenario, ScenarioError};
pub use study::{Study, StudyError};
