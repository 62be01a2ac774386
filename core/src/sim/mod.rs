//! Servers in virtual time: the same model drives the simulator (a virtual clock) and the mock
//! server (a real one), because it takes time and randomness as arguments.

mod kv_blocks;
mod llm_server;
mod preset;

pub use llm_server::{Event, LlmServer, Occupancy, Request, RequestId, SubmitError, Timing};
pub use preset::{Preset, PresetError};
