//! Faults: caused, held, undone.

use super::{
    plan::{name, Fault, Kind},
    world::World,
};
use crate::{asking::wait, members::Part, node::Node};
use anyhow::{Context as _, Result};
use harness::{process, Signal};
use poq_client::types::{DutyView, Role};
use rand::{seq::SliceRandom as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeMap, time::Duration};
use subxt::utils::AccountId32;
use tokio::{
    task::block_in_place,
    time::{sleep, timeout},
};

/// Longest wait for a committee at work.
const COMMITTEE_PATIENCE: Duration = Duration::from_secs(40);

/// Longest wait for the engine of a node that is starting.
const START: Duration = Duration::from_secs(60);

/// Causes a fault, holds it, and undoes it.
pub async fn carry_out(world: &World, fault: &Fault) {
    if let Err(error) = harm(world, fault).await {
        world.happened(Some(fault.number), format!("could not be done as planned: {error:#}"));
    }
}

async fn harm(world: &World, fault: &Fault) -> Result<()> {
    match fault.kind {
        Kind::Partition => partition(world, fault).await,
        Kind::KillMajority => kill_majority(world, fault).await,
        _ => {
            let index = *fault.nodes.first().context("no node")?;
            let _mine = world.busy.get(index).context("no such node")?.lock().await;
            harm_one(world, fault, index).await
        }
    }
}

async fn harm_one(world: &World, fault: &Fault, index: usize) -> Result<()> {
    let node = world.node(index)?;
    world.happened(Some(fault.number), fault.to_string());
    match fault.kind {
        Kind::KillNode => {
            block_in_place(|| node.kill())?;
            sleep(fault.hold).await;
            block_in_place(|| world.start_node(index))
        }
        Kind::KillEngine => {
            let engine = engine_of(node).await?;
            process::send(engine, Signal::KILL);
            Ok(())
        }
        Kind::PauseNode => {
            node.signal(Signal::STOP);
            sleep(fault.hold).await;
            node.signal(Signal::CONT);
            Ok(())
        }
        Kind::PauseEngine => {
            let engine = engine_of(node).await?;
            let all: Vec<u32> = block_in_place(|| node.runners()).into_iter().chain([engine]).collect();
            all.iter().for_each(|id| process::send(*id, Signal::STOP));
            sleep(fault.hold).await;
            all.iter().for_each(|id| process::send(*id, Signal::CONT));
            Ok(())
        }
        Kind::FillDisk => fill_disk(world, fault, index).await,
        Kind::JumpClock => {
            let clock = world.clock(index).context("it has no clock of its own")?;
            clock.put(fault.seconds)?;
            sleep(fault.hold).await;
            clock.put(0)
        }
        Kind::RestartPruned => {
            start_anew(world, index, &["--state-pruning", "64", "--blocks-pruning", "256"]).await
        }
        Kind::RestartWarp => start_anew(world, index, &["--sync", "warp"]).await,
        Kind::Partition | Kind::KillMajority => Ok(()),
    }
}

/// The engine of a node that may still be starting.
async fn engine_of(node: &Node) -> Result<u32> {
    let asked = wait("an engine", || async { Ok(block_in_place(|| node.engine())) });
    timeout(START, asked).await.context("it has no engine")?
}

async fn partition(world: &World, fault: &Fault) -> Result<()> {
    let wires = world.network.wires().context("the network has no links of its own")?;
    let _mine = world.cut.lock().await;
    world.happened(Some(fault.number), fault.to_string());
    block_in_place(|| wires.cut(&fault.nodes))?;
    sleep(fault.hold).await;
    block_in_place(|| wires.heal())
}

async fn fill_disk(world: &World, fault: &Fault, index: usize) -> Result<()> {
    let (node, disk) = (world.node(index)?, world.disk(index)?);
    let taken = block_in_place(|| disk.fill())?;
    sleep(fault.hold).await;
    let alive = block_in_place(|| node.is_running());
    let became = if alive { "lives on".into() } else { format!("has ended: {}", node.last_words()) };
    world.happened(
        Some(fault.number),
        format!("{} {became}; {} MiB are free again", node.name(), taken >> 20),
    );
    block_in_place(|| disk.free())?;
    block_in_place(|| world.start_node(index))
}

/// Kills the nodes of the majority of a committee at work.
async fn kill_majority(world: &World, fault: &Fault) -> Result<()> {
    let (request, mut committee) = committee_at_work(world).await;
    committee.shuffle(&mut ChaCha8Rng::seed_from_u64(fault.number as u64));
    committee.truncate(committee.len() / 2 + 1);
    committee.sort_unstable();
    let mut held = Vec::new();
    for index in &committee {
        held.push(world.busy.get(*index).context("no such node")?.lock().await);
    }
    let names = committee.iter().map(|index| name(*index)).collect::<Vec<_>>().join(", ");
    let of = request.map_or("that has nothing to do".into(), |id| format!("of request {id}"));
    world.happened(Some(fault.number), format!("{fault}: {names}, most of the committee {of}"));
    for index in &committee {
        block_in_place(|| world.node(*index)?.kill())?;
    }
    sleep(fault.hold).await;
    committee.iter().try_for_each(|index| block_in_place(|| world.start_node(*index)))
}

/// A request that is being scored, and the nodes of its committee. After 40 seconds without one, the nodes of all quality validators.
async fn committee_at_work(world: &World) -> (Option<u64>, Vec<usize>) {
    let asking = async {
        loop {
            if let Ok(Some((request, committee))) = find_committee(world).await {
                return (Some(request), committee);
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    let all = || {
        let nodes = world.network.nodes().iter().enumerate();
        nodes.filter(|(_, node)| node.member.scores()).map(|(index, _)| index).collect()
    };
    timeout(COMMITTEE_PATIENCE, asking).await.unwrap_or_else(|_| (None, all()))
}

async fn find_committee(world: &World) -> Result<Option<(u64, Vec<usize>)>> {
    let client = world.anybody().await?;
    let at = client.best().await?;
    let mut committees: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (index, node) in world.network.nodes().iter().enumerate() {
        let Part::Operator { account, scores: true, .. } = node.member.part else { continue };
        let duties = at.operator(AccountId32(account)).await?.map(|operator| operator.duties);
        let scores = |duty: &DutyView| duty.role == Role::QualityValidator;
        for duty in duties.into_iter().flatten().filter(scores) {
            committees.entry(duty.request).or_default().push(index);
        }
    }
    Ok(committees.into_iter().max_by_key(|(_, committee)| committee.len()))
}

/// Starts a node without its database. Keys, identity, salt secret and the engine's jobs are files and stay.
async fn start_anew(world: &World, index: usize, options: &[&str]) -> Result<()> {
    let node = world.node(index)?;
    block_in_place(|| node.stop())?;
    block_in_place(|| node.wipe_database())?;
    world.set_options(index, options);
    block_in_place(|| world.start_node(index))
}
