//! Logging.

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Filter of a server's log unless `POQ_LOG` is set: its own doings, and of llama.cpp only errors.
pub const SERVER_FILTER: &str = "info,llama-cpp-2=error";

/// Filter of the log of a command for people unless `POQ_LOG` is set: its output says the rest.
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
