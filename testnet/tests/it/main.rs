//! Networks of eleven nodes, and the program that starts them. One test program with a module for each subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails a test"
)]

mod abuse;
mod chaos;
mod equivocation;
mod hints;
mod reorganisation;
mod upgrade;
