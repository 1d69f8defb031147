//! One real node that authors alone.

use super::{cast::Cast, spec};
use anyhow::{Context as _, Result};
use harness::process;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A node. It ends with this value, and its data are removed.
pub struct Node {
    node: harness::Node,
    process: u32,
}

impl Node {
    /// Starts `program` on a fresh chain `dev` with `cast` for operators, and waits until it answers. It does no operator's work
    /// itself.
    pub fn start(program: &Path, cast: &Cast) -> Result<Self> {
        let options = ["--alice", "--force-authoring", "--engine", "off", "--offchain-worker", "never"];
        let mut node = harness::Node::temporary(program, options)?;
        let spec = node.setup.folder.join("chain.json");
        spec::write(program, "dev", cast, &spec)?;
        node.setup.add(["--chain".as_ref(), spec.as_os_str()]);
        // Names of the runtime's functions for a profiler, in /tmp/perf-PID.map; costs nothing otherwise.
        node.setup.environment.push(("WASMTIME_PROFILING_STRATEGY".into(), "perfmap".into()));
        node.start()?;
        node.wait_for_rpc()?;
        let process = node.process().context("the node is gone")?;
        Ok(Self { node, process })
    }

    /// URL of its RPC.
    pub fn url(&self) -> String {
        self.node.url()
    }

    /// Id of its process.
    pub fn id(&self) -> u32 {
        self.process
    }

    /// Processor time that it has used, in seconds.
    pub fn cpu_seconds(&self) -> Option<f64> {
        process::cpu_seconds(self.process)
    }

    /// Milliseconds that each block took to make, by its number, from the node's log.
    pub fn proposals(&self) -> Result<Vec<(u32, f64)>> {
        let proposal = |line: &str| {
            let (number, rest) = line.split_once("Prepared block for proposing at ")?.1.split_once(" (")?;
            Some((number.parse().ok()?, rest.split_once(" ms)")?.0.parse().ok()?))
        };
        Ok(self.node.log()?.lines().filter_map(proposal).collect())
    }

    /// The last 5 lines of its log, for an error's text.
    pub fn last_words(&self) -> String {
        self.node.log_tail(5)
    }

    /// Size of its database on disk, in bytes.
    pub fn disk(&self) -> u64 {
        fn size(path: PathBuf) -> u64 {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries
                .map(|entry| match entry.metadata() {
                    Ok(data) if data.is_dir() => size(entry.path()),
                    Ok(data) => data.len(),
                    Err(_) => 0,
                })
                .sum()
        }
        size(self.node.base())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _gone = self.node.kill();
        let _not_there = fs::remove_file(format!("/tmp/perf-{}.map", self.process));
    }
}
