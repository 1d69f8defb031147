//! Where log lines go.

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// What a server logs unless `POQ_LOG` says otherwise: its own doings, and of llama.cpp only errors.
pub const SERVER_FILTER: &str = "info,llama-cpp-2=error";

/// What a command for people logs unless `POQ_LOG` says otherwise: its output says the rest.
pub const COMMAND_FILTER: &str = "error,llama-cpp-2=off";

/// Sends the engine's log to stderr. `POQ_LOG` filters it (the syntax of `RUST_LOG`), `default_filter` if it is
/// not set. Does nothing if the process logs elsewhere already.
pub fn init(default_filter: &str) {
    let filter = EnvFilter::try_from_env("POQ_LOG").unwrap_or_else(|_| EnvFilter::new(default_filter));
    let _already_set = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}
