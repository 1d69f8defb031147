//! A model in a process of its own.
//!
//! llama.cpp and ONNX Runtime are native code: a failed assertion, a driver fault or the kernel's out-of-memory killer
//! ends a whole process. So every loaded model lives in a *runner*, a child process that holds this one model and
//! nothing else. When it dies, the engine knows which model it was, everything else goes on, and all of the model's
//! memory, on the GPU too, is given back for certain.
//!
//! Between engine and runner: one JSON value per line, [`protocol::Order`]s to the runner's stdin, [`protocol::Report`]s
//! from its stdout. The end of stdin means "stop", so a runner never outlives its engine. Its log goes to stderr.

pub mod child;
pub mod parent;
pub mod protocol;

pub use parent::{own_executable, Program, Runner, StartError, SUBCOMMAND};
