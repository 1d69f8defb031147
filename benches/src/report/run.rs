//! Date, commit and machine of a room's figures. Each room has its own, because rooms are measured on different days.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, process::Command};

/// A run of a bench.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// End of the run, UTC.
    pub date: String,
    /// Commit of this repository, followed by `+` if files differed from it.
    pub commit: String,
    /// Name of the processor.
    pub processor: String,
    /// Number of processors.
    pub cores: usize,
    /// Memory, in GiB.
    pub memory: u64,
    /// Version of the operating system.
    pub kernel: String,
    /// Versions of the compiler and other programs, by name.
    pub versions: BTreeMap<String, String>,
}

impl Run {
    /// This machine and commit, now. Unknown facts are "unknown", because a figure is worth keeping without them.
    pub fn now(versions: &BTreeMap<String, String>) -> Self {
        let mut versions = versions.clone();
        for (program, package) in CRATES {
            versions.extend(locked(package).map(|version| (program.to_owned(), version.to_owned())));
        }
        versions.insert("rustc".into(), said("rustc", &["--version"]).replacen("rustc ", "", 1));
        Self {
            date: said("date", &["-u", "+%Y-%m-%d %H:%M"]),
            commit: commit(),
            processor: proc("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: memory().unwrap_or(0),
            kernel: said("uname", &["-sr"]),
            versions,
        }
    }
}

/// Crates whose versions matter, with the names shown.
const CRATES: [(&str, &str); 5] = [
    ("polkadot-sdk's frame-support", "frame-support"),
    ("polkadot-sdk's sc-executor", "sc-executor"),
    ("wasmtime", "wasmtime"),
    ("llama-cpp-2 (llama.cpp in the engine)", "llama-cpp-2"),
    ("ort (ONNX Runtime's API in the engine)", "ort"),
];

/// The version with which this program was built.
fn locked(package: &str) -> Option<&'static str> {
    let lock = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));
    let (_, after) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    after.split('"').next()
}

/// The commit. Files of results do not count as differences.
fn commit() -> String {
    let commit = said("git", &["rev-parse", "--short=10", "HEAD"]);
    let differs = said(
        "git",
        &["status", "--porcelain", "--", ":/", ":!:/benches/*.json", ":!:/benches/*.md", ":!:/benches/*.svg"],
    );
    let mark = if differs.is_empty() || differs == unknown() { "" } else { "+" };
    format!("{commit}{mark}")
}

/// Memory in GiB, rounded because the kernel keeps a part.
fn memory() -> Option<u64> {
    let kib: u64 = proc("/proc/meminfo", "MemTotal")?.strip_suffix(" kB")?.parse().ok()?;
    Some(kib.saturating_add(1 << 19) >> 20)
}

/// The first value of a key in a file of lines `key: value`.
fn proc(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
}

fn said(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => unknown(),
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}
