//! `poq` on real nodes, end to end. One test program with a module for each subject: linking a program takes a minute.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails a test"
)]

mod asking;
mod audits;
mod authors;
mod cancel;
mod channel;
mod client;
mod common;
mod dapp;
mod documents;
mod engine;
mod express;
mod faults;
mod health;
mod judge;
mod ledger;
mod pins;
mod receipts;
mod refusals;
mod sdk;
mod unsynced;
mod wallet;
mod web;
mod why;
mod width;
