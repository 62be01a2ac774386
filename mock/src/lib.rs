//! Mock inference servers whose timing follows a continuous-batching model in real time.
//!
//! One port speaks `OpenAI`'s HTTP API as vLLM serves it (`/v1/chat/completions`, `/v1/completions`,
//! `/v1/models`, `/health`, `/metrics`, load reports on request) and gRPC (`grpc.health.v1`, and
//! [`proto`] with one method for each kind of call, load reports in the trailer). Answers are made up; when
//! each token comes is what [`trimtab_core::sim::LlmServer`] says. [`Faults`] can be switched while
//! it runs, through a handle or `POST /faults`.
//!
//! **Times on an answer.** `server-timing: queue;dur=1.250, processing;dur=93.412` (W3C Server
//! Timing, milliseconds): a header on whole HTTP answers, a trailer on HTTP streams and on gRPC.
//! Besides, `timings` in the JSON of whole answers and of a stream's last chunk, and `Usage` over
//! gRPC. Processing is from admission to the last token, without the queue. Envoy's
//! `x-envoy-upstream-service-time` is the proxy's to set: it holds queue and network too.
//!
//! **What it does not imitate:** sampling, stop words, several choices, tools, the content of
//! answers. Prompts count four characters a token.

mod body;
mod builder;
mod connections;
mod engine;
mod error;
mod fault_effects;
mod faults;
mod grpc;
mod http;
mod load_report;
mod phase;
mod prompt;
mod replica;
mod run;
mod server;
mod server_timing;
mod stats;
mod text;

/// The gRPC service, its messages and its client.
pub mod proto {
    #![allow(missing_docs, clippy::pedantic, reason = "generated")]
    tonic::include_proto!("trimtab.mock.v1");
}

pub use builder::ServerBuilder;
pub use error::MockError;
pub use faults::{Faults, FaultsError, FaultsHandle};
pub use load_report::OrcaLoadReport;
pub use phase::StopReason;
pub use run::run;
pub use server::Server;
pub use text::token;
