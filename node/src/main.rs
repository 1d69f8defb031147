//! `poq-node`: a full node of the Proof of Quality chain; `--dev` is a whole network in one process tree.

#![allow(clippy::result_large_err, reason = "the errors of the SDK are what they are")]

mod chain_spec;
mod cli;
mod command;
mod dev;
mod disk;
mod engine;
mod equivocations;
mod key_secrets;
mod local_pool;
mod pool_tasks;
mod rpc;
mod salt;
mod service;
mod standard;
mod types;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    match command::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, with its causes. A panic has a backtrace; an error has an explanation.
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
