//! The code of the consensus bench, compiled both natively and as Wasm.
//!
//! `scripts/bench.sh` compiles it for `wasm32v1-none` as runtimes are compiled; `cargo build` makes no Wasm of it.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod task;
pub mod yuma;

pub use task::{Case, Rule, Task};

// Entry point in Wasm.
#[allow(missing_docs, reason = "the macro takes no documentation")]
mod exports {
    #[cfg(not(feature = "std"))]
    use crate::{Case, Task};
    #[cfg(not(feature = "std"))]
    use alloc::vec::Vec;

    sp_core::wasm_export_functions! {
        fn run(task: Task, case: Case, rounds: u32) -> Vec<u64> {
            case.prepared().run(task, rounds)
        }
    }
}
