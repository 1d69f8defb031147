//! Chaos: faults from a seed under a steady flow of requests, and the checks at the end.
//!
//! The seed decides which node each fault hits, when it begins and how long it lasts. The effect also depends on the machine, so a
//! second run causes the same faults but may find something else.

mod flow;
mod harm;
pub mod plan;
mod verdict;
mod world;

use crate::{
    clock::Clock,
    disk,
    ending::Ending,
    terminal::{bar, folder_or_cached, say},
    wires::Wires,
};
use anyhow::{ensure, Context as _, Result};
use flow::Flow;
use indicatif::ProgressBar;
use plan::{Fault, Kind};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::time::sleep;
pub use verdict::Verdict;
use world::World;

/// Receiver of progress messages.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// Time for which requests continue after the beginning of the last fault.
const AFTERMATH: Duration = Duration::from_secs(20);

/// Time between two updates of the bar.
const TICK: Duration = Duration::from_millis(500);

/// Options of `poq-testnet chaos`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Seed of everything random
    #[arg(long, value_name = "N", env = "SEED", default_value_t = 1)]
    pub seed: u64,
    /// Number of requests
    #[arg(long, value_name = "N", env = "REQUESTS", default_value_t = 200)]
    pub requests: usize,
    /// Number of faults
    #[arg(long, value_name = "N", env = "FAULTS", default_value_t = 50)]
    pub faults: usize,
    /// Kinds of faults to cause [default: all]
    #[arg(long, value_name = "KIND", value_delimiter = ',', env = "ONLY")]
    pub only: Vec<Kind>,
    /// Folder for data and logs, emptied first [default: chaos, in the project's cache]
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// File for a report in JSON [default: report.json, in that folder]
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Folder with the demo models
    #[arg(long, value_name = "DIR", env = "POQ_MODELS", default_value = "models")]
    pub models: PathBuf,
}

/// `poq-testnet chaos`.
///
/// # Errors
/// If the network cannot be made, or stops answering. A bad verdict is no error but an exit code.
pub async fn main(args: Args) -> Result<ExitCode> {
    let mut ending = Ending::listen()?;
    let verdict = tokio::select! {
        biased;
        () = ending.heard() => anyhow::bail!("interrupted; the network is gone"),
        verdict = run(args, Arc::new(|line: &str| drop(say(line)))) => verdict?,
    };
    for problem in &verdict.problems {
        say(&format!("PROBLEM: {problem}"))?;
    }
    say(&verdict.to_string())?;
    Ok(if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes a network, causes the faults, and returns the verdict; `tell` receives progress messages.
pub async fn run(args: Args, tell: Tell) -> Result<Verdict> {
    let folder = folder_or_cached(args.folder.as_deref(), "chaos")?;
    // First, because two runs at a time would disturb each other.
    let wires = Wires::lay(u8::try_from(crate::members::all().len())?)?;
    make_empty(&folder)?;
    let kinds = kinds(&args.only, &folder, &tell)?;
    let faults = plan::plan(args.seed, args.faults, crate::members::all().len(), &kinds);
    tell(&format!("the plan of seed {}:", args.seed));
    for fault in &faults {
        tell(&format!("{:5} s    #{:<4} {fault}", fault.at.as_secs(), fault.number));
    }

    tell("starting four block authors and seven operators, each in a network namespace and on a disk of its own");
    let bar = bar(faults.len(), "{bar:40} {pos} of {len} faults are over, {elapsed}");
    let shown = bar.clone();
    let said = tell.clone();
    let above_bar: Tell = Arc::new(move |line| shown.suspend(|| said(line)));
    let world = World::start(&folder, wires, args.models.clone(), &faults, above_bar).await?;
    let length = faults.last().map_or(Duration::ZERO, |fault| fault.at).saturating_add(AFTERMATH);
    let flow = Flow::sign(&world, args.seed, args.requests, length).await?;
    let verdict = storm(&world, flow, &faults, args.requests, &bar).await;
    bar.finish_and_clear();
    let verdict = verdict?;
    let report = args.report.unwrap_or_else(|| folder.join("report.json"));
    verdict.write(&report, args.seed, &faults, &world.events())?;
    tell(&verdict.toll());
    tell(&format!("what happened: {}; logs: {}", report.display(), folder.join("nodes").display()));
    Ok(verdict)
}

/// Causes all faults, sends all requests, and reaches the verdict.
async fn storm(
    world: &World,
    mut flow: Flow,
    faults: &[Fault],
    requests: usize,
    bar: &ProgressBar,
) -> Result<Verdict> {
    let hurt = async {
        let harms = faults.iter().map(|fault| async move {
            sleep(fault.at.saturating_sub(world.elapsed())).await;
            harm::carry_out(world, fault).await;
            bar.inc(1);
        });
        futures::future::join_all(harms).await;
        world.happened(None, "the last fault is over".into());
    };
    let ticking = async {
        loop {
            bar.tick();
            sleep(TICK).await;
        }
    };
    let work = async {
        // Requests that are not final some time after the last fault count as lost.
        let sending = async {
            flow.run(world).await;
        };
        let (_, delivered) = tokio::join!(hurt, tokio::time::timeout(verdict::patience(faults), sending));
        if delivered.is_err() {
            world.happened(None, format!("only {} of {requests} requests became final", flow.delivered()));
        }
        verdict::reach(world, requests, faults.len()).await
    };
    tokio::select! {
        verdict = work => verdict,
        () = world.supervise() => anyhow::bail!("the supervisor stopped"),
        () = ticking => anyhow::bail!("the clock stopped"),
    }
}

/// The kinds of faults that this machine can cause.
fn kinds(only: &[Kind], folder: &Path, tell: &Tell) -> Result<Vec<Kind>> {
    let mut kinds: Vec<Kind> = if only.is_empty() { Kind::ALL.to_vec() } else { only.to_vec() };
    if kinds.contains(&Kind::JumpClock) && Clock::new(&folder.join("clock"))?.is_none() {
        tell("left out: clocks that jump (libfaketime is not installed: Debian's package `faketime`)");
        kinds.retain(|kind| *kind != Kind::JumpClock);
    }
    ensure!(!kinds.is_empty(), "there is no fault left to cause");
    Ok(kinds)
}

/// Empties the folder of an earlier run, or makes it. A folder with other contents is refused.
fn make_empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        let ours = folder.join("chain.json").exists() || folder.read_dir()?.next().is_none();
        ensure!(ours, "{} holds something else: choose another --folder", folder.display());
        disk::unmount_below(folder)?;
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}
