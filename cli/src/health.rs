//! `poq health`: whether a node is well, for health checks of containers and services, which want an exit code.

use crate::{
    args::{Health, Shared},
    failure::{Failure, Outcome},
    pin, render,
    sync::{Limits, Verdict},
};
use poq_client::Pulse;
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

/// Longest wait for the node, from the first attempt to connect to the last answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// `poq health`. One deadline for all of it: a node may also let a client in and then say nothing.
pub async fn run(health: &Health, shared: &Shared) -> Result<Outcome, Failure> {
    let limits = Limits { block_age: health.block_age, finality_lag: health.finality_lag };
    let asked = async { Verdict::of(&pin::connect(shared).await?, &limits).await };
    let sync = tokio::select! {
        // The deadline first: a connection's own limit is as long and begins later, so on a busy machine both can be over by the next look.
        biased;
        () = sleep(PATIENCE) => {
            let (url, waited) = (&shared.url, PATIENCE.as_secs());
            return Err(Failure::Unreachable(format!("the node at {url} does not answer within {waited} s")));
        }
        sync = asked => sync?,
    };
    let Pulse { best, finalized, .. } = sync.pulse;
    let peers = sync.network.peers;
    if shared.json {
        render::json(&json!({
            "healthy": sync.is_up_to_date(),
            "faults": sync.faults.iter().map(|fault| fault.text.as_str()).collect::<Vec<_>>(),
            "peers": peers,
            "syncing": sync.network.is_syncing,
            "best_block": best,
            "finalized_block": finalized,
            "block_age_seconds": sync.age,
        }))?;
    } else if sync.is_up_to_date() {
        render::line(format!("healthy: best block {best}, finalized {finalized}, {peers} peers"))?;
    }
    match sync.wait() {
        None => Ok(Outcome::Done),
        Some(wait) => Err(Failure::refused("Unhealthy", format!("{}. What to do: {wait}.", sync.fault()))),
    }
}
