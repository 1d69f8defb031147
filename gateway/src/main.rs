//! `poq-gateway`: the gateway as a program.

use clap::Parser as _;
use poq_gateway::config::Cli;
use std::{io::Write as _, process::ExitCode};

fn main() -> ExitCode {
    match poq_gateway::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody reads it, the exit code has to do.
            let _unread = writeln!(std::io::stderr(), "poq-gateway: {error}");
            ExitCode::FAILURE
        }
    }
}
