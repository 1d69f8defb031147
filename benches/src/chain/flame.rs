//! A flame graph of a node under load, from `perf` at 199 samples a second.

use super::{node::Node, players::Size, Args};
use anyhow::{ensure, Context as _, Result};
use inferno::{
    collapse::{
        perf::{Folder, Options as FolderOptions},
        Collapse as _,
    },
    flamegraph::{self, Options},
};
use std::{
    fs::File,
    io::BufReader,
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// Length of the profile, in seconds.
const SECONDS: &str = "20";

/// Committee of the load that is profiled.
const COMMITTEE: u32 = 7;

/// A running profile, if one was asked for.
pub struct Profile(Option<Running>);

struct Running {
    perf: Child,
    folder: TempDir,
    title: String,
}

impl Profile {
    /// Starts a profile, if the caller wants a flame graph and this is the load for it.
    pub fn start(args: &Args, node: &Node, size: Size) -> Result<Self> {
        if args.flame.is_none() || size.committee != COMMITTEE {
            return Ok(Self(None));
        }
        let folder = tempfile::tempdir()?;
        let perf = Command::new("perf")
            .args(["record", "--event", "cpu-clock", "--freq", "199", "--call-graph", "dwarf,16384"])
            .args(["--pid", &node.id().to_string(), "--output"])
            .arg(data(&folder))
            .args(["--", "sleep", SECONDS])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start perf: install linux-perf, or leave --flame out")?;
        let Size { responders, committee } = size;
        let title = format!(
            "poq-node under load: requests with {responders} answers and {committee} quality validators"
        );
        Ok(Self(Some(Running { perf, folder, title })))
    }

    /// Draws the flame graph. The node must still run, because perf reads the names of the runtime's functions from its map.
    pub fn finish(self, args: &Args) -> Result<()> {
        let (Some(mut running), Some(svg)) = (self.0, &args.flame) else { return Ok(()) };
        ensure!(
            running.perf.wait()?.success(),
            "perf failed: may this user look at processes? (kernel.perf_event_paranoid)"
        );
        let script = running.folder.path().join("script");
        let status = Command::new("perf")
            .args(["script", "--no-inline", "--input"])
            .arg(data(&running.folder))
            .stdout(File::create(&script)?)
            .stderr(Stdio::null())
            .status()
            .context("cannot run perf")?;
        ensure!(status.success(), "perf cannot read what it wrote");
        let mut folded = Vec::new();
        Folder::from(FolderOptions::default())
            .collapse(BufReader::new(File::open(script)?), &mut folded)
            .context("perf's stacks are not understood")?;
        let mut options = Options::default();
        options.title = running.title;
        options.min_width = 0.2;
        let lines = std::str::from_utf8(&folded)?.lines();
        flamegraph::from_lines(&mut options, lines, File::create(svg)?)
            .with_context(|| format!("cannot write {}", svg.display()))
    }
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("perf.data")
}
