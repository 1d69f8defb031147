//! Showing the chain: version, blocks, peers, open requests, invariants.

use crate::{
    chain::{self, At, Chain, PALLET},
    failure::{Failure, Outcome},
    render,
    types::Phase,
};
use serde_json::json;
use subxt::{dynamic, ext::scale_decode::DecodeAsType};

/// What counts of a stored request.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Stored {
    phase: Phase,
}

/// `poq status`.
pub async fn run(chain: &Chain, as_json: bool) -> Result<Outcome, Failure> {
    let best = chain.best().await?;
    let finalized = chain.finalized().await?.block_number();
    let health = chain.health().await?;
    let made: u64 = made(&best).await?;
    let open = open(&best).await?;
    let models = chain::models(&best).await?.len();
    let operators: Vec<subxt::utils::AccountId32> = chain::view(&best, "operators", ()).await?;
    let invariants: Result<(), String> = chain::view(&best, "check_invariants", ()).await?;
    let sync = if health.is_syncing { "catching up" } else { "up to date" };
    if as_json {
        render::json(&json!({
            "chain": chain.name().await?,
            "chain_type": chain.kind().await?,
            "node": chain.node().await?,
            "spec_version": best.spec_version(),
            "best_block": best.block_number(),
            "finalized_block": finalized,
            "peers": health.peers,
            "syncing": health.is_syncing,
            "requests": { "made": made, "open": open },
            "models": models,
            "operators": operators.len(),
            "invariants": { "ok": invariants.is_ok(), "broken": invariants.as_ref().err() },
        }))?;
    } else {
        let facts = [
            (
                "Chain",
                format!(
                    "{} ({}), runtime version {}",
                    chain.name().await?,
                    chain.kind().await?,
                    best.spec_version()
                ),
            ),
            ("Node", chain.node().await?),
            ("Blocks", format!("best {}, finalized {finalized}", best.block_number())),
            ("Network", format!("{} peers, {sync}", health.peers)),
            ("Requests", format!("{open} open, {made} ever made")),
            ("Registry", format!("{models} models, {} operators", operators.len())),
            (
                "Invariants",
                invariants.as_ref().map_or_else(|broken| format!("BROKEN: {broken}"), |()| "hold".into()),
            ),
        ];
        for (name, value) in facts {
            render::line(format!("{name:11} {value}"))?;
        }
    }
    invariants
        .map(|()| Outcome::Done)
        .map_err(|broken| Failure::refused("InvariantBroken", format!("{broken}. Please report it.")))
}

async fn made(at: &At) -> Result<u64, Failure> {
    let next = dynamic::storage::<(), u64>(PALLET, "NextRequest");
    at.storage().fetch(next, ()).await.map_err(chain::failure)?.decode().map_err(chain::failure)
}

async fn open(at: &At) -> Result<usize, Failure> {
    let requests = dynamic::storage::<(u64,), Stored>(PALLET, "Requests");
    let mut entries = at.storage().iter(requests, ()).await.map_err(chain::failure)?;
    let mut open = 0usize;
    while let Some(entry) = entries.next().await {
        let stored = entry.map_err(chain::failure)?.value().decode().map_err(chain::failure)?;
        open = open.saturating_add(usize::from(stored.phase.closed_at().is_none()));
    }
    Ok(open)
}
