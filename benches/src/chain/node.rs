//! One real node that authors alone, for as long as a measurement takes.

use super::{cast::Cast, spec};
use anyhow::{Context as _, Result};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// Clock ticks in a second, on every Linux.
const TICKS: f64 = 100.0;

/// A node. It and its data are gone when this is dropped.
pub struct Node {
    child: Child,
    folder: TempDir,
    rpc: u16,
}

impl Node {
    /// Starts `program` on a fresh chain `dev` with `cast` for operators. It does no operator's work itself.
    pub fn start(program: &Path, cast: &Cast) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for the node")?;
        let spec = folder.path().join("chain.json");
        spec::write(program, "dev", cast, &spec)?;
        let [rpc, p2p] = free_ports()?;
        let log = File::create(folder.path().join("node.log"))?;
        let child = Command::new(program)
            .arg("--chain")
            .arg(&spec)
            .arg("--base-path")
            .arg(folder.path().join("data"))
            .args(["--alice", "--force-authoring", "--engine", "off", "--offchain-worker", "never"])
            .args(["--rpc-port", &rpc.to_string(), "--listen-addr", &format!("/ip4/127.0.0.1/tcp/{p2p}")])
            .args(["--no-prometheus", "--no-telemetry", "--no-mdns", "--disable-log-color"])
            .arg("--unsafe-force-node-key-generation")
            // Names of the runtime's functions for a profiler, in /tmp/perf-PID.map; costs nothing otherwise.
            .env("WASMTIME_PROFILING_STRATEGY", "perfmap")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, folder, rpc })
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.rpc)
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Seconds of a processor that it has used.
    pub fn cpu_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        // The name, in parentheses, may hold anything.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
        let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((user + system) / TICKS)
    }

    /// Milliseconds that each block took to make, by its number, as the node's log says.
    pub fn proposals(&self) -> Result<Vec<(u32, f64)>> {
        let log = fs::read_to_string(self.folder.path().join("node.log"))?;
        let proposal = |line: &str| {
            let (number, rest) = line.split_once("Prepared block for proposing at ")?.1.split_once(" (")?;
            Some((number.parse().ok()?, rest.split_once(" ms)")?.0.parse().ok()?))
        };
        Ok(log.lines().filter_map(proposal).collect())
    }

    /// The last lines of its log, for an error's text.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("node.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n")
    }

    /// Bytes of its database on disk.
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
        size(self.folder.path().join("data"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _over = self.child.wait();
        let _not_there = fs::remove_file(format!("/tmp/perf-{}.map", self.child.id()));
    }
}

/// Two ports that are free now.
fn free_ports() -> Result<[u16; 2]> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (one, two) = (bind()?, bind()?);
    Ok([one.local_addr()?.port(), two.local_addr()?.port()])
}
