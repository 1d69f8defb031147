//! The engine with real models, and its program. One test program with a module for each subject: linking a program takes a while.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails a test"
)]

mod api;
mod calibrate;
mod child;
mod common;
mod dialects;
mod evaluators;
mod fairness;
mod features;
mod fuzz_smoke;
mod generators;
mod judge;
mod long_words;
mod lying_hub;
mod minilm;
mod models_store;
mod openai;
mod pool;
mod program;
mod rank;
mod remote;
mod remote_compat;
mod robust;
mod score;
mod shapes;
