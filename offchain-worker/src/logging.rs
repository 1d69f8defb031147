//! Where log lines go.

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Sends the engine's log to stderr. `POQ_LOG` filters it (the syntax of `RUST_LOG`; `info` by default, and of llama.cpp only
/// errors). Does nothing if the process logs elsewhere already.
pub fn init() {
    let filter = EnvFilter::try_from_env("POQ_LOG").unwrap_or_else(|_| EnvFilter::new("info,llama-cpp-2=error"));
    let _already_set = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}
