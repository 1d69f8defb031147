//! Models ranked by the scores of their answers, and how far such a ranking agrees with a given one.
//!
//! A single answer is judged roughly; the mean over many tells models apart. How sure it is, is said by intervals, and what of it
//! is only the length of the answers, by a partial correlation.

pub mod bootstrap;
pub mod data;
pub mod figures;
