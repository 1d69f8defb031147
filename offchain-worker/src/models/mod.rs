//! The models on this machine: which there are, what names them, how they come here.
//!
//! A *generator* is one GGUF file; its id is the SHA-256 of that file. An *evaluator* is a folder with a
//! [`manifest`], `poq.json`, that names every file a score depends on by its SHA-256; the evaluator's id is
//! the SHA-256 of the manifest. Two operators with one id therefore score alike: the same network, the same
//! tokenizer, the same calibration.

pub mod add;
pub mod classifier;
mod client;
pub mod digest;
mod download;
pub mod faults;
pub mod gguf;
pub mod guess;
pub mod hub;
pub mod manifest;
pub mod needs;
mod progress;
pub mod shelf;
pub mod source;
pub mod weights;
