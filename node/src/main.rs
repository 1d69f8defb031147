//! `poq-node`: a full node of the Proof of Quality chain; `--dev` is a whole network in one process tree.
//!
//! | file | holds |
//! |---|---|
//! | `cli.rs` | what can be said on the command line |
//! | `command.rs` | what is done then |
//! | `chain_spec.rs` | the chains that come with the node |
//! | `service.rs` | what a node is made of |
//! | `rpc.rs` | what it answers beyond what every Substrate node does |
//! | `engine.rs` | the engine beside it, and how the driver learns where that is |
//! | `local_pool.rs` | where the transactions of its off-chain worker go |
//! | `salt.rs` | the secret behind its commitments, kept in a file |
//! | `dev.rs` | what `--dev` adds |
//! | `watch/` | what keeps this node from its part, in words, and metrics of the protocol |

#![allow(clippy::result_large_err, reason = "the errors of the SDK are what they are")]

mod chain_spec;
mod cli;
mod command;
mod dev;
mod engine;
mod equivocations;
mod local_pool;
mod rpc;
mod salt;
mod service;
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
