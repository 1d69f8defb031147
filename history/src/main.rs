//! `poq-history`: the history as a program.

use clap::Parser as _;
use poq_history::config::Cli;
use std::{io::Write as _, process::ExitCode};

fn main() -> ExitCode {
    match poq_history::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody reads it, the exit code has to do.
            let _unread = writeln!(std::io::stderr(), "poq-history: {error}");
            ExitCode::FAILURE
        }
    }
}
