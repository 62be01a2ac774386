//! Servers in virtual time: the same model drives the simulator (a virtual clock) and the mock
//! server (a real one), because it takes time and randomness as arguments.

pub mod draw;
mod kv_blocks;
mod llm_server;
mod preset;
mod request;
pub mod trace;

pub use llm_server::LlmServer;
pub use preset::{Preset, PresetError};
pub use request::{Event, Occupancy, Request, RequestId, SubmitError, Timing};
