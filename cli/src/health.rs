//! Whether a node is well: for health checks of containers and services, which want an exit code.

use crate::{
    args::Health,
    failure::{Failure, Outcome},
    render,
};
use poq_client::{Client, Pulse};
use serde_json::json;
use std::time::{Duration, SystemTime};
use subxt::rpcs::methods::legacy::SystemHealth;

/// A node that says nothing for so long is not well.
const PATIENCE: Duration = Duration::from_secs(10);

/// `poq health`.
pub async fn run(client: &Client, limits: &Health, as_json: bool) -> Result<Outcome, Failure> {
    let asked = async { Ok::<_, Failure>((client.health().await?, client.pulse().await?)) };
    let (network, pulse) = tokio::time::timeout(PATIENCE, asked).await.map_err(|_| {
        Failure::Unreachable(format!("the node does not answer within {} s", PATIENCE.as_secs()))
    })??;
    let faults = faults(&network, &pulse, SystemTime::now(), limits);
    if as_json {
        render::json(&json!({
            "healthy": faults.is_empty(),
            "faults": faults,
            "peers": network.peers,
            "syncing": network.is_syncing,
            "best_block": pulse.best,
            "finalized_block": pulse.finalized,
            "block_age_seconds": pulse.age(SystemTime::now()).as_secs(),
        }))?;
    } else if faults.is_empty() {
        let Pulse { best, finalized, .. } = pulse;
        render::line(format!("healthy: best block {best}, finalized {finalized}, {} peers", network.peers))?;
    }
    if faults.is_empty() {
        Ok(Outcome::Done)
    } else {
        Err(Failure::refused("Unhealthy", format!("{}.", faults.join("; "))))
    }
}

/// What is wrong with the node, if anything.
fn faults(network: &SystemHealth, pulse: &Pulse, now: SystemTime, limits: &Health) -> Vec<String> {
    let age = pulse.age(now).as_secs();
    let lag = pulse.best.saturating_sub(pulse.finalized);
    let found = [
        (network.is_syncing, "the node catches up with the chain".to_owned()),
        (network.should_have_peers && network.peers == 0, "the node has no peers".to_owned()),
        (age > limits.block_age, format!("the newest block, {}, is {age} seconds old", pulse.best)),
        (
            lag > limits.finality_lag,
            format!("finality is {lag} blocks behind: best {}, finalized {}", pulse.best, pulse.finalized),
        ),
    ];
    found.into_iter().filter_map(|(wrong, fault)| wrong.then_some(fault)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Health = Health { block_age: 60, finality_lag: 50 };

    fn network(peers: usize) -> SystemHealth {
        SystemHealth { peers, is_syncing: false, should_have_peers: true }
    }

    fn found(network: &SystemHealth, age: u64, best: u64, finalized: u64) -> Vec<String> {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        faults(network, &Pulse { best, finalized, time }, time + Duration::from_secs(age), &LIMITS)
    }

    #[test]
    fn limits_are_inclusive() {
        assert!(found(&network(1), 60, 150, 100).is_empty());
        assert_eq!(found(&network(1), 61, 150, 100), ["the newest block, 150, is 61 seconds old"]);
        assert_eq!(
            found(&network(1), 0, 151, 100),
            ["finality is 51 blocks behind: best 151, finalized 100"]
        );
    }

    #[test]
    fn all_faults_are_said() {
        let alone = SystemHealth { is_syncing: true, ..network(0) };
        assert_eq!(found(&alone, 61, 151, 100).len(), 4);
        assert!(found(&SystemHealth { should_have_peers: false, ..network(0) }, 0, 1, 0).is_empty());
    }

    #[test]
    fn a_block_from_a_clock_ahead_of_ours_is_new() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        assert_eq!(Pulse { best: 1, finalized: 0, time }.age(SystemTime::UNIX_EPOCH), Duration::ZERO);
    }
}
