//! Whether a node is up to date with its chain, and what to wait for if not. `poq status`, `health`, `why`, `watch` and all that
//! sends a transaction judge by [`judge`].

use crate::{failure::Failure, render};
use poq_client::{Client, Pulse};
use serde_json::{json, Value};
use std::time::SystemTime;
use subxt::rpcs::methods::legacy::SystemHealth;

/// Highest age of the newest block, in seconds, if nothing else is said.
pub const BLOCK_AGE: u64 = 60;

/// Most blocks by which the finalized block is behind the best, if nothing else is said.
pub const FINALITY_LAG: u64 = 50;

/// Bounds of what counts as up to date, both inclusive.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Highest age of the newest block, in seconds.
    pub block_age: u64,
    /// Most blocks by which the finalized block is behind the best.
    pub finality_lag: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { block_age: BLOCK_AGE, finality_lag: FINALITY_LAG }
    }
}

/// One reason for which a node is not up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A word for scripts.
    pub kind: &'static str,
    /// The fault, in words.
    pub text: String,
    /// The event to wait for, and what brings it about.
    pub wait: &'static str,
}

/// Verdict on a node, with what it is based on.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Peers, and whether the node catches up.
    pub network: SystemHealth,
    /// The newest blocks.
    pub pulse: Pulse,
    /// Age of the best block, in seconds; `None` for the genesis block.
    pub age: Option<u64>,
    /// Faults; none if the node is up to date.
    pub faults: Vec<Fault>,
}

impl Verdict {
    /// Asks the node.
    pub async fn of(client: &Client, limits: &Limits) -> Result<Self, Failure> {
        let (network, pulse) = tokio::try_join!(client.health(), client.pulse())?;
        Ok(judge(network, pulse, SystemTime::now(), limits))
    }

    /// Whether nothing is wrong.
    pub fn is_up_to_date(&self) -> bool {
        self.faults.is_empty()
    }

    /// All faults in one sentence without a full stop.
    pub fn fault(&self) -> String {
        let texts: Vec<_> = self.faults.iter().map(|fault| fault.text.as_str()).collect();
        texts.join("; ")
    }

    /// The event to wait for first.
    pub fn wait(&self) -> Option<&'static str> {
        self.faults.first().map(|fault| fault.wait)
    }

    /// The verdict for people.
    pub fn in_words(&self) -> &'static str {
        match self.faults.first() {
            None => "up to date",
            Some(_) if self.network.is_syncing => "catching up",
            Some(_) => "not up to date",
        }
    }

    /// The faults, for scripts.
    pub fn faults_json(&self) -> Vec<Value> {
        let fault = |fault: &Fault| json!({ "kind": fault.kind, "text": fault.text, "wait_for": fault.wait });
        self.faults.iter().map(fault).collect()
    }
}

/// Judges a node by its peers and its newest blocks.
pub fn judge(network: SystemHealth, pulse: Pulse, now: SystemTime, limits: &Limits) -> Verdict {
    let age = pulse.age(now).map(|age| age.as_secs());
    let Pulse { best, finalized, .. } = pulse;
    let lag = best.saturating_sub(finalized);
    let found = [
        network.is_syncing.then(|| Fault {
            kind: "syncing",
            text: "the node catches up with the chain".into(),
            wait: "wait until the node has all blocks; how fast `best` grows in `poq status` shows how long that takes",
        }),
        (network.should_have_peers && network.peers == 0).then(|| Fault {
            kind: "no_peers",
            text: "the node has no peers".into(),
            wait: "wait until the node has a peer: let the network reach it (port 30333), or name a node of the chain with \
                   `poq-node --bootnodes ADDRESS`",
        }),
        (best == 0 || age.is_none()).then(|| Fault {
            kind: "no_blocks",
            text: "the node has no block but the genesis block".into(),
            wait: "wait for the first block, which comes from the chain's authors, or from peers",
        }),
        age.filter(|age| *age > limits.block_age).map(|age| Fault {
            kind: "old_block",
            text: format!("the newest block, {best}, is {age} seconds old"),
            wait: "wait for a new block; if none comes, see whether another node has newer ones, and whether this machine's clock is \
                   right",
        }),
        (lag > limits.finality_lag).then(|| Fault {
            kind: "finality_behind",
            text: format!("finality is {lag} blocks behind: best {best}, finalized {finalized}"),
            wait: "wait until the finalized block is near the best; if it stands still, too few of the chain's authors are up",
        }),
    ];
    Verdict { network, pulse, age, faults: found.into_iter().flatten().collect() }
}

/// Warns on standard error if the node is not up to date. A node that does not say is not judged.
pub async fn warn(client: &Client, consequence: &str) {
    if let Ok(sync) = Verdict::of(client, &Limits::default()).await {
        if let Some(wait) = sync.wait() {
            render::warning_line(&format!(
                "the node at {} is not up to date ({}): {consequence}. Better {wait}.",
                client.url(),
                sync.fault()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn network(peers: usize) -> SystemHealth {
        SystemHealth { peers, is_syncing: false, should_have_peers: true }
    }

    fn judged(network: SystemHealth, age: u64, best: u64, finalized: u64) -> Verdict {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_951_791);
        let pulse = Pulse { best, finalized, time: (best > 0).then_some(time) };
        judge(network, pulse, time + Duration::from_secs(age), &Limits::default())
    }

    fn kinds(sync: &Verdict) -> Vec<&str> {
        sync.faults.iter().map(|fault| fault.kind).collect()
    }

    #[test]
    fn limits_are_inclusive() {
        assert!(judged(network(1), 60, 150, 100).is_up_to_date());
        assert_eq!(judged(network(1), 61, 150, 100).fault(), "the newest block, 150, is 61 seconds old");
        let behind = judged(network(1), 0, 151, 100);
        assert_eq!(behind.fault(), "finality is 51 blocks behind: best 151, finalized 100");
    }

    #[test]
    fn all_faults_are_said_and_each_says_what_to_wait_for() {
        let alone = judged(SystemHealth { is_syncing: true, ..network(0) }, 61, 151, 100);
        assert_eq!(kinds(&alone), ["syncing", "no_peers", "old_block", "finality_behind"]);
        assert_eq!(alone.in_words(), "catching up");
        assert!(alone.faults.iter().all(|fault| fault.wait.starts_with("wait ")), "{alone:?}");
        let on_its_own = SystemHealth { should_have_peers: false, ..network(0) };
        assert!(judged(on_its_own, 0, 1, 0).is_up_to_date());
    }

    #[test]
    fn a_node_without_blocks_is_not_up_to_date_and_its_newest_block_has_no_age() {
        let fresh = judged(network(0), 0, 0, 0);
        assert_eq!((kinds(&fresh), fresh.age), (vec!["no_peers", "no_blocks"], None));
        assert_eq!(fresh.in_words(), "not up to date");
        assert_eq!(kinds(&judged(network(3), 0, 0, 0)), ["no_blocks"]);
        assert!(!fresh.fault().contains("seconds old"), "{}", fresh.fault());
    }

    #[test]
    fn a_block_from_a_clock_ahead_of_ours_is_new() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let pulse = Pulse { best: 1, finalized: 0, time: Some(time) };
        assert_eq!(pulse.age(SystemTime::UNIX_EPOCH), Some(Duration::ZERO));
    }
}
