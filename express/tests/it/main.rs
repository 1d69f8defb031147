//! Tests of the lane's parties: one order step by step, certificates with real keys, and the simulator's seeds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod certificates;
mod net;
mod parties;
mod simulator;
