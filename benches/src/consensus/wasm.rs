//! The same code as Wasm, run by the executor that runs a node's runtime.

use crate::{consensus::timing::time, wasm::Wasm};
use anyhow::Context as _;
use codec::{Decode as _, Encode as _};
use poq_bench_consensus::{Case, Task};
use sp_core::traits::CallContext;
use sp_io::TestExternalities;
use std::{cell::RefCell, fs, path::Path, time::Duration};

/// The compiled module, ready to be called.
pub struct Module {
    wasm: Wasm,
    state: RefCell<TestExternalities>,
}

impl Module {
    /// Reads the file that `scripts/bench.sh` has compiled.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let code =
            fs::read(path).with_context(|| format!("{}; scripts/bench.sh makes it", path.display()))?;
        Ok(Self { wasm: Wasm::new(code), state: RefCell::default() })
    }

    /// Result of a number of rounds.
    pub fn run(&self, task: Task, case: &Case, rounds: u32) -> anyhow::Result<Vec<u64>> {
        self.call(&(task, case, rounds).encode())
    }

    /// Time of a number of rounds, with the call itself, its instance and the decoding. Each call gets a fresh instance,
    /// as on a chain.
    pub fn time(&self, task: Task, case: &Case, rounds: u32) -> anyhow::Result<Duration> {
        let input = (task, case, rounds).encode();
        let (took, done) = time(|| self.call(&input));
        done?;
        Ok(took)
    }

    /// Least time of a call without rounds, which is subtracted from other times.
    pub fn empty_call(&self, task: Task, case: &Case) -> anyhow::Result<Duration> {
        let times: Vec<Duration> = (0..8).map(|_| self.time(task, case, 0)).collect::<anyhow::Result<_>>()?;
        Ok(times.into_iter().min().unwrap_or_default())
    }

    fn call(&self, input: &[u8]) -> anyhow::Result<Vec<u64>> {
        let context = CallContext::Onchain { import: false };
        let output = self.wasm.call(&mut self.state.borrow_mut().ext(), "run", input, context)?;
        Ok(Vec::decode(&mut output.as_slice())?)
    }
}
