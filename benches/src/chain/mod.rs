//! `poq-bench chain`: how many requests one node settles, where the time goes, what a request leaves behind, and what blocks,
//! weights, the driver and the way to a consensus cost.
//!
//! | figure | what runs |
//! |---|---|
//! | `load` | a real node, under real transactions of many operators; what they report is simulated |
//! | `latency` | a real network: nodes, drivers, engines with the demo models |
//! | `blocks` | the chain's own Wasm on a state in memory |
//! | `driver` | the same, with an engine that has every answer at once |
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
    /// Measure only this, and leave the other figures in the results as they are (may be repeated)
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Vec<What>,

    /// The real `poq-node` [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    node: Option<PathBuf>,

    /// How long each load is measured, in seconds, after it has warmed up
    #[arg(long, default_value_t = 65, value_parser = clap::value_parser!(u64).range(11..))]
    seconds: u64,

    /// Requests that are open at most under load [default: by their size, more than fill blocks]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(10..))]
    open: Option<u64>,

    /// Load with requests of this committee only: 3, 5 or 7 (may be repeated)
    #[arg(long, value_name = "K")]
    sizes: Vec<u32>,

    /// Where to write the flame graph of the node under load; needs `perf`
    #[arg(long, value_name = "FILE")]
    flame: Option<PathBuf>,

    /// A new folder for the network on which latency is measured; it stays, with the nodes' logs [default: a temporary one]
    #[arg(long, value_name = "FOLDER")]
    network: Option<PathBuf>,

    /// Where the results go
    #[arg(long, value_name = "FILE", default_value = "benches/results.json")]
    out: PathBuf,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Requests settled per second by one node
    Load,
    /// From the last output revealed to settled
    Latency,
    /// How long blocks take
    Blocks,
    /// How long a run of the driver takes
    Driver,
    /// What a request leaves in the state
    State,
    /// What reading and writing a large state costs
    Storage,
    /// What a whole request weighs
    Weights,
}

impl Args {
    /// The node's program.
    fn node(&self) -> Result<PathBuf> {
        self.node.clone().map_or_else(|| harness::programs::find("poq-node"), Ok)
    }

    /// How long a load is measured.
    fn seconds(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The time before: shorter in a short run.
    fn warm_up(&self, usual: Duration) -> Duration {
        usual.min(self.seconds())
    }

    /// A line that says what happens, on a terminal only.
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
