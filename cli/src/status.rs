//! Showing the chain: version, blocks, peers, open requests, invariants.

use crate::{
    chain::{self, Chain, PALLET},
    failure::{Failure, Outcome},
    render,
};
use serde_json::json;

/// `poq status`.
pub async fn run(chain: &Chain, as_json: bool) -> Result<Outcome, Failure> {
    let best = chain.best().await?;
    let finalized = chain.finalized().await?.block_number();
    let health = chain.health().await?;
    let made: u64 = chain::value(&best, PALLET, "NextRequest").await?;
    let open: u32 = chain::value(&best, PALLET, "OpenRequests").await?;
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
