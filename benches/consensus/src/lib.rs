//! What the consensus bench runs, natively and in Wasm: the same code, compiled for both.
//!
//! `scripts/bench.sh` compiles it for `wasm32v1-none` as runtimes are compiled; `cargo build` makes no Wasm of it.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod task;
pub mod yuma;

pub use task::{Case, Rule, Task};

// What the bench calls; natively it is not there.
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
