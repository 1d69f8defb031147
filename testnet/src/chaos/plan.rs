//! Faults from a seed.

use crate::members;
use rand::{seq::SliceRandom as _, Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::{collections::BTreeSet, fmt, time::Duration};

/// Index of the node that keeps the state of every block for the checks at the end. Its disk is never filled or wiped.
pub const ARCHIVE: usize = 0;

/// Number of authors; their nodes come first.
const AUTHORS: usize = 4;

/// Longest pause between two faults, in seconds. The shortest is a third of it.
const LONGEST_PAUSE: u64 = 15;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `kill -9` of a node
    KillNode,
    /// `kill -9` of an engine
    KillEngine,
    /// `kill -9` of the nodes of the majority of a committee at work
    KillMajority,
    /// A node is stopped (SIGSTOP) for a while
    PauseNode,
    /// An engine is stopped (SIGSTOP) for a while
    PauseEngine,
    /// The network is cut in two parts for a while
    Partition,
    /// A node's disk is full for a while
    FillDisk,
    /// A node's clock is wrong for a while
    JumpClock,
    /// A node starts again without its database, and with pruning
    RestartPruned,
    /// A node starts again without its database, by warp sync
    RestartWarp,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::KillNode,
        Self::KillEngine,
        Self::KillMajority,
        Self::PauseNode,
        Self::PauseEngine,
        Self::Partition,
        Self::FillDisk,
        Self::JumpClock,
        Self::RestartPruned,
        Self::RestartWarp,
    ];
}

/// A fault that is planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Number, from 1.
    pub number: usize,
    /// Begin, from the first request on.
    pub at: Duration,
    /// Duration.
    pub hold: Duration,
    /// Kind.
    pub kind: Kind,
    /// Indices of the nodes it hits; empty for [`Kind::KillMajority`], which takes a committee at work then.
    pub nodes: Vec<usize>,
    /// Offset of the clock, in seconds; 0 for other kinds.
    pub seconds: i64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.nodes.iter().map(|node| name(*node)).collect::<Vec<_>>().join(", ");
        match self.kind {
            Kind::KillNode => write!(f, "kill the node {nodes}")?,
            Kind::KillEngine => write!(f, "kill the engine of {nodes}")?,
            Kind::KillMajority => write!(f, "kill the majority of a committee")?,
            Kind::PauseNode => write!(f, "stop the node {nodes}")?,
            Kind::PauseEngine => write!(f, "stop the engine of {nodes}")?,
            Kind::Partition => write!(f, "cut off {nodes}")?,
            Kind::FillDisk => write!(f, "fill the disk of {nodes}")?,
            Kind::JumpClock => write!(f, "put the clock of {nodes} {:+} s", self.seconds)?,
            Kind::RestartPruned => write!(f, "start {nodes} anew, pruned")?,
            Kind::RestartWarp => write!(f, "start {nodes} anew, by warp sync")?,
        }
        match self.kind {
            Kind::KillEngine | Kind::RestartPruned | Kind::RestartWarp => Ok(()),
            _ => write!(f, ", for {} s", self.hold.as_secs()),
        }
    }
}

/// Name of a node by its index.
pub fn name(node: usize) -> String {
    members::all().get(node).map_or_else(|| format!("node {node}"), |member| member.name.clone())
}

/// The faults of `seed` for a network of `nodes` nodes, by time. All kinds come once before any comes again.
pub fn plan(seed: u64, faults: usize, nodes: usize, kinds: &[Kind]) -> Vec<Fault> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bag: Vec<Kind> = Vec::new();
    let mut at = 0;
    let mut plan = Vec::new();
    for number in 1..=faults {
        at += rng.random_range(LONGEST_PAUSE / 3..=LONGEST_PAUSE);
        if bag.is_empty() {
            bag = kinds.to_vec();
            bag.shuffle(&mut rng);
        }
        let Some(kind) = bag.pop() else { break };
        let hold = Duration::from_secs(rng.random_range(2..=25));
        let nodes = targets(kind, nodes, &mut rng);
        let seconds = match kind {
            Kind::JumpClock => rng.random_range(2..=60) * if rng.random() { 1 } else { -1 },
            _ => 0,
        };
        plan.push(Fault { number, at: Duration::from_secs(at), hold, kind, nodes, seconds });
    }
    plan
}

fn targets(kind: Kind, nodes: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let any = 0..nodes;
    let operators = AUTHORS..nodes;
    match kind {
        Kind::KillMajority => Vec::new(),
        Kind::KillNode | Kind::PauseNode | Kind::JumpClock => vec![rng.random_range(any)],
        Kind::FillDisk => vec![rng.random_range(ARCHIVE + 1..nodes)],
        // Authors keep their databases, because an author that forgets its votes could vote twice.
        Kind::KillEngine | Kind::PauseEngine | Kind::RestartPruned | Kind::RestartWarp => {
            vec![rng.random_range(operators)]
        }
        Kind::Partition => {
            let wanted = rng.random_range(1..=nodes / 2);
            let mut away = BTreeSet::new();
            while away.len() < wanted {
                away.insert(rng.random_range(any.clone()));
            }
            away.into_iter().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_its_seed() {
        let plan_of = |seed| plan(seed, 50, 11, &Kind::ALL);
        assert_eq!(plan_of(7), plan_of(7));
        assert_ne!(plan_of(7), plan_of(8));
        assert_eq!(plan_of(7).len(), 50);
    }

    #[test]
    fn every_kind_comes_and_the_archive_keeps_its_disk() {
        for seed in 0..50 {
            let faults = plan(seed, 50, 11, &Kind::ALL);
            for kind in Kind::ALL {
                assert_eq!(faults.iter().filter(|fault| fault.kind == kind).count(), 5, "{kind:?}");
            }
            for fault in faults {
                let spares = matches!(fault.kind, Kind::FillDisk | Kind::RestartPruned | Kind::RestartWarp);
                assert!(!spares || !fault.nodes.contains(&ARCHIVE), "{fault}");
                assert!(fault.nodes.iter().all(|node| *node < 11), "{fault}");
            }
        }
    }
}
