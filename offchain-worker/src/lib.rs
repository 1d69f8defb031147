//! The engine of Proof of Quality: it generates answers with llama.cpp and scores them with ONNX Runtime.
//!
//! The engine knows no chain. It takes jobs over HTTP (the contract is [`poq_primitives::job`]), keeps them
//! on disk, does each of them once and keeps the result until it is asked to forget it.
//!
//! ```text
//!  door
//!    │
//!   api ──> queue ──> worker ──> backends ──> pool ──> runner: a process per model (llama.cpp, ONNX Runtime)
//!    │        └──> store (one file per job)      └──> shelf (the files)
//!    └── chat, rerank ────────────────┘
//! ```
//!
//! Two front ends share it: `poq-worker serve` is a service of its own, and [`child`] makes it a supervised
//! child process of a node.

pub mod aborts;
pub mod api;
pub mod backends;
pub mod calibration;
pub mod child;
pub mod config;
pub mod demo;
pub mod door;
pub mod evaluator;
pub mod files;
pub mod generator;
pub mod job_id;
pub mod json;
pub mod limits;
pub mod logging;
pub mod lookout;
pub mod metrics;
pub mod models;
pub mod onnx;
pub mod pool;
pub mod probe;
pub mod queue;
pub mod ranking;
pub mod remote;
pub mod room;
pub mod runner;
pub mod server;
pub mod store;
pub mod suspects;
pub mod text;
pub mod token;
pub mod turns;
pub mod web;
pub mod work;
pub mod worker;
