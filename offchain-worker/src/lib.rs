//! The engine of Proof of Quality: it generates answers with llama.cpp and scores them with ONNX Runtime.
//!
//! The engine knows no chain. It takes jobs over HTTP (the contract is [`poq_primitives::job`]), keeps them
//! on disk, does each of them once and keeps the result until it is asked to forget it.
//!
//! ```text
//!   api ──> queue ──> worker ──> catalogue ──> generator (llama.cpp)
//!             │                          └───> evaluator (ONNX Runtime)
//!             └──> store (one file per job)
//! ```
//!
//! Two front ends share it: `poq-worker serve` is a service of its own, and [`child`] makes it a supervised
//! child process of a node. A child and not a library call, because a failed assertion inside llama.cpp
//! aborts its whole process.

pub mod api;
pub mod catalogue;
pub mod child;
pub mod config;
pub mod demo;
pub mod evaluator;
pub mod files;
pub mod generator;
pub mod job_id;
pub mod limits;
pub mod logging;
pub mod models;
pub mod onnx;
pub mod queue;
pub mod remote;
pub mod server;
pub mod store;
pub mod token;
pub mod work;
pub mod worker;
