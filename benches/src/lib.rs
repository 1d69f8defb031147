//! Figures and statistics, shared by the commands of `poq-bench`.

pub mod report;
pub mod samples;
