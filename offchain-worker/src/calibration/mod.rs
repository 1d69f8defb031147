//! Agreement of an evaluator's numbers with people's judgements of answers, and the map from number to score that fits
//! best.
//!
//! Whatever is said of a fit is measured on questions that had no part in it: see [`fit::held_out`].

pub mod data;
pub mod fit;
pub mod lines;
pub mod plot;
pub mod stats;
