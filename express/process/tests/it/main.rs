//! Tests of the process with real sockets, real TLS, real keys and a real database. In `real` the chain is that of a node and the engine has
//! models. In all others both are simulated: the engine (`stub::engine`: HTTP as in the job
//! contract, texts and scores made up) and the chain (`stub::TestChain`: checks certificates as the pallet does, and keeps no money).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod callers;
mod disks;
mod limits;
mod orders;
mod real;
mod stub;
