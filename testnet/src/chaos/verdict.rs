//! Checks at the end of a run.

use super::{
    plan::{Fault, ARCHIVE},
    world::{Happened, World},
};
use crate::{
    asking::{check_invariants, wait, wait_until_all_closed, wait_until_finalized, Heights},
    ledger::{issuance, End, Ledger},
};
use anyhow::{Context as _, Result};
use poq_client::Client;
use poq_runtime::currency::POQ;
use serde::Serialize;
use serde_json::json;
use std::{fmt, fs, path::Path, time::Duration};

/// Time that requests have to become final after the last fault.
const PATIENCE: Duration = Duration::from_secs(600);

/// Blocks that each node has to finalize after the last fault.
const FINALITY: u64 = 5;

/// Most lines quoted from one log.
const LINES: usize = 3;

/// Result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Number of requests signed.
    pub requests: usize,
    /// Number settled.
    pub settled: usize,
    /// Number refunded.
    pub refunded: usize,
    /// Number that is not on the chain.
    pub lost: usize,
    /// Number that neither settled nor was refunded.
    pub stuck: usize,
    /// Number of faults caused.
    pub faults: usize,
    /// Everything else that is wrong.
    pub problems: Vec<String>,
    /// The books, from all finalized blocks.
    pub ledger: Ledger,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.stuck == 0 && self.problems.is_empty()
    }

    /// One line on the operators' duties and slashes.
    pub fn toll(&self) -> String {
        let Ledger { blocks, duties, slashed, compensated, .. } = &self.ledger;
        let duties = duties.iter().map(|(outcome, times)| format!("{outcome} {times}")).collect::<Vec<_>>();
        format!(
            "{blocks} blocks; duties: {}; slashed {:.1} POQ, of which {:.1} went to those who were harmed",
            duties.join(", "),
            *slashed as f64 / POQ as f64,
            *compensated as f64 / POQ as f64,
        )
    }

    /// Writes the report.
    pub(super) fn write(&self, path: &Path, seed: u64, plan: &[Fault], events: &[Happened]) -> Result<()> {
        let plan: Vec<_> = plan
            .iter()
            .map(|fault| {
                let (at, hold) = (fault.at.as_secs(), fault.hold.as_secs());
                let nodes: Vec<_> = fault.nodes.iter().map(|node| super::plan::name(*node)).collect();
                json!({"number": fault.number, "at": at, "hold": hold, "kind": fault.kind, "nodes": nodes, "seconds": fault.seconds})
            })
            .collect();
        let report = json!({"seed": seed, "verdict": self, "plan": plan, "events": events});
        fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, settled, refunded, lost, stuck, faults, .. } = self;
        write!(f, "requests {requests} settled {settled} refunded {refunded} lost {lost} stuck {stuck} faults {faults}")
    }
}

/// Time that requests have to become final, from the first on.
pub fn patience(faults: &[Fault]) -> Duration {
    faults.last().map_or(Duration::ZERO, |fault| fault.at.saturating_add(fault.hold)).saturating_add(PATIENCE)
}

/// Waits until the network is idle, and checks it.
pub async fn reach(world: &World, requests: usize, faults: usize) -> Result<Verdict> {
    let mut problems = Vec::new();
    if let Err(error) = quiet(world).await {
        problems.push(format!("{error:#}"));
    }
    let archive = wait("the archive", || async { world.client(ARCHIVE).await.map(Some) }).await?;
    let last = archive.finalized().await?;
    let number = last.number();
    world.happened(None, format!("reading all {number} finalized blocks"));
    let ledger = Ledger::read(&archive, number).await?;
    problems.extend(ledger.faults.iter().cloned());
    if let Err(error) = check_invariants(&last).await {
        problems.push(format!("{error:#}"));
    }
    let (first, now) = (issuance(&archive.at_number(0).await?).await?, issuance(&last).await?);
    if first.checked_sub(ledger.burnt()) != Some(now) {
        problems
            .push(format!("money: there were {first} units, {} were burnt, there are {now}", ledger.burnt()));
    }
    if ledger.requests.len() > requests {
        problems.push(format!("{requests} requests were asked, and {} made", ledger.requests.len()));
    }
    problems.extend(forks(world, &archive, number).await);
    problems.extend(panics(world));
    Ok(Verdict {
        requests,
        settled: ledger.ended(|end| *end == End::Settled),
        refunded: ledger.ended(|end| matches!(end, End::Refunded(_))),
        lost: requests.saturating_sub(ledger.requests.len()),
        stuck: ledger.open().len(),
        faults,
        problems,
        ledger,
    })
}

/// Waits until every node runs and finalizes, and no request is open.
async fn quiet(world: &World) -> Result<()> {
    let archive = wait("the archive", || async { world.client(ARCHIVE).await.map(Some) }).await?;
    let goal = archive.best().await?.number().saturating_add(FINALITY);
    for node in world.network.nodes() {
        let reached = || async {
            let heights = Heights::of(&node.url()).await?;
            Ok((heights.finalized >= goal).then_some(()))
        };
        wait(&format!("finality at {} (block {goal})", node.name()), reached).await?;
    }
    world.happened(None, format!("every node has finalized block {goal}"));
    // The ledger lists requests that do not end.
    let _some_are_stuck = wait_until_all_closed(&archive).await;
    Ok(())
}

/// Nodes that have finalized another block with this number.
async fn forks(world: &World, archive: &Client, number: u64) -> Vec<String> {
    let hash = |client: Client| async move { client.rpc().chain_get_block_hash(Some(number.into())).await };
    let Ok(ours) = hash(archive.clone()).await else { return vec!["the archive does not answer".into()] };
    let mut problems = Vec::new();
    for (index, node) in world.network.nodes().iter().enumerate() {
        let what = format!("block {number} at {}", node.name());
        let same = wait(&what, || async {
            let client = world.client(index).await?;
            wait_until_finalized(&client, number).await?;
            Ok(Some(hash(client).await? == ours))
        });
        match same.await {
            Ok(true) => {}
            Ok(false) => problems.push(format!("{} has finalized another block {number}", node.name())),
            Err(error) => problems.push(format!("{}: {error:#}", node.name())),
        }
    }
    problems
}

/// Panics and broken files that the logs tell of.
fn panics(world: &World) -> Vec<String> {
    let mut problems = Vec::new();
    for node in world.network.nodes() {
        let log = node.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("panicked")).collect();
        if let Some(first) = lines.first() {
            problems.push(format!("{} panicked {} times, first: {}", node.name(), lines.len(), first.trim()));
        }
        let broken = log.lines().filter(|line| line.contains("overwritten") || line.contains("corrupt"));
        problems.extend(broken.take(LINES).map(|line| format!("{}: {}", node.name(), line.trim())));
    }
    problems
}
