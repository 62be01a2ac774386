//! Why a server does not start.

use std::{io, net::SocketAddr};

use trimtab_core::sim::PresetError;

use crate::FaultsError;

/// Why a mock server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MockError {
    /// Another program listens there.
    #[error("{addr} is in use by another program; choose another port, or 0 for any that is free")]
    AddressInUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Listening failed for another reason.
    #[error("can't listen on {addr}: {source}")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The preset can't be used.
    #[error(transparent)]
    Preset(#[from] PresetError),
    /// The initial faults are out of range.
    #[error(transparent)]
    Faults(#[from] FaultsError),
    /// An option out of its range.
    #[error("mock server: `{option}` must {rule}")]
    Option {
        /// The option.
        option: &'static str,
        /// What it must do.
        rule: &'static str,
    },
    /// No async runtime could be started.
    #[error("can't start an async runtime: {0}")]
    Runtime(io::Error),
}
