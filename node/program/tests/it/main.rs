//! The program `poq-node`, started as users start it. One test program with a module for each subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails a test"
)]

mod bad_days;
mod common;
mod control;
mod dev;
mod keys;
mod monitoring;
mod rpc;
mod watch;
