//! What the rooms of `poq-bench` share: figures and their statistics.

pub mod report;
pub mod samples;
