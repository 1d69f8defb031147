//! `poq-node`: a full node of the Proof of Quality chain; `--dev` is a whole network in one process tree.
//!
//! A library, so that it is not compiled anew for each commit: the program around it, `node/program/`, knows the commit.

#![allow(clippy::result_large_err, reason = "the errors of the SDK are what they are")]

mod chain_spec;
mod cli;
mod command;
mod dev;
mod disk;
mod engine;
mod equivocations;
mod express;
mod key_secrets;
mod local_pool;
mod pool_tasks;
mod rpc;
mod salt;
mod service;
mod standard;
mod types;
mod watch;

pub use command::run;
