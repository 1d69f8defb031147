//! `poq-bench chain`: requests settled per second, latency, time of blocks and of the driver, size of the state, cost of the
//! database, and weights.
//!
//! | figure | what runs |
//! |---|---|
//! | `load` | a real node, under real transactions of many operators with simulated work |
//! | `latency` | a real network: nodes, drivers, engines with the demo models |
//! | `blocks` | the chain's own Wasm on a state in memory |
//! | `driver` | the same, with an engine that answers at once |
//! | `state` | the runtime, native, on a state in memory |
//! | `storage` | a node's database with a large state, on disk |
//! | `weights` | nothing: sums of the weights in force |
//!
//! `scripts/bench.sh` calls it.

mod blocks;
mod cast;
mod driver;
mod flame;
mod latency;
mod load;
mod node;
mod players;
mod rpc;
mod sign;
mod spec;
mod state;
mod storage;
mod weights;
mod world;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use poq_benches::report::Report;
use std::{path::PathBuf, time::Duration};

/// Options of `poq-bench chain`.
#[derive(clap::Args)]
pub struct Args {
    /// Figures to measure; others in the results stay (may be repeated) [default: all]
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Vec<What>,

    /// Path of `poq-node` [default: beside this program]
    #[arg(long, value_name = "FILE")]
    node: Option<PathBuf>,

    /// Length of each measurement under load after warming up, in seconds
    #[arg(long, default_value_t = 65, value_parser = clap::value_parser!(u64).range(11..))]
    seconds: u64,

    /// Most open requests under load [default: by their size, more than fill blocks]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(10..))]
    open: Option<u64>,

    /// Committee of the requests under load: 3, 5 or 7 (may be repeated) [default: all]
    #[arg(long, value_name = "K")]
    sizes: Vec<u32>,

    /// File for a flame graph of the node under load; needs `perf`
    #[arg(long, value_name = "FILE")]
    flame: Option<PathBuf>,

    /// New folder for the network that latency is measured on; it stays, with the nodes' logs [default: a temporary one]
    #[arg(long, value_name = "FOLDER")]
    network: Option<PathBuf>,

    /// File for the results
    #[arg(long, value_name = "FILE", default_value = "benches/results.json")]
    out: PathBuf,
}

/// A group of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Requests settled per second by one node
    Load,
    /// Latency from the last revealed output to the settlement
    Latency,
    /// Time to execute blocks
    Blocks,
    /// Time of a run of the driver
    Driver,
    /// Keys and bytes that a request takes in the state
    State,
    /// Time to read and write a large state
    Storage,
    /// Weight of a whole request
    Weights,
}

impl Args {
    /// The node's program.
    fn node(&self) -> Result<PathBuf> {
        self.node.clone().map_or_else(|| harness::programs::find("poq-node"), Ok)
    }

    /// Length of a measurement under load.
    fn seconds(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The warm-up: `usual`, or less in a short run.
    fn warm_up(&self, usual: Duration) -> Duration {
        usual.min(self.seconds())
    }

    /// A progress line, on a terminal only.
    fn bar(&self, what: &'static str) -> ProgressBar {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{prefix:>8} {spinner} {elapsed} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(what);
        bar
    }

    fn wants(&self, what: What) -> bool {
        self.only.is_empty() || self.only.contains(&what)
    }
}

/// Measures, prints a table and writes the results.
pub fn run(args: &Args) -> Result<()> {
    let mut report = Report::default();
    tokio::runtime::Runtime::new()?.block_on(measure(args, &mut report))?;
    report.print();
    let written = if args.only.is_empty() { report.write(&args.out) } else { report.write_part(&args.out) };
    written.with_context(|| args.out.display().to_string())
}

async fn measure(args: &Args, report: &mut Report) -> Result<()> {
    if args.wants(What::Weights) {
        weights::measure(report).context("weights")?;
    }
    if args.wants(What::State) {
        state::measure(args, report).context("state")?;
    }
    if args.wants(What::Storage) {
        storage::measure(args, report).context("storage")?;
    }
    if args.wants(What::Driver) {
        driver::measure(args, report).context("driver")?;
    }
    if args.wants(What::Blocks) {
        blocks::measure(args, report).context("blocks")?;
    }
    if args.wants(What::Load) {
        load::measure(args, report).await.context("load")?;
    }
    if args.wants(What::Latency) {
        latency::measure(args, report).await.context("latency")?;
    }
    Ok(())
}
