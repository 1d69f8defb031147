//! Showing the chain: version, blocks, peers, open requests, invariants.

use crate::{
    failure::{Failure, Outcome},
    own_node::OwnNode,
    render,
};
use poq_client::{types::chain::storage, Client};
use serde_json::json;

/// `poq status`.
pub async fn run(client: &Client, as_json: bool) -> Result<Outcome, Failure> {
    let best = client.best().await?;
    let finalized = client.finalized().await?.number();
    let health = client.health().await?;
    let made: u64 = best.value(storage().proof_of_quality().next_request()).await?;
    let open = best.open_requests().await?;
    let models = best.models().await?.len();
    let operators = best.operators().await?.len();
    let invariants = Invariants::of(best.check_invariants().await?);
    let problems = OwnNode::problems_of(client.raw()).await;
    let sync = if health.is_syncing { "catching up" } else { "up to date" };
    if as_json {
        render::json(&json!({
            "chain": client.name().await?,
            "chain_type": client.kind().await?,
            "node": client.node().await?,
            "spec_version": best.spec_version(),
            "best_block": best.number(),
            "finalized_block": finalized,
            "peers": health.peers,
            "syncing": health.is_syncing,
            "requests": { "made": made, "open": open },
            "models": models,
            "operators": operators,
            "problems": problems,
            "invariants": { "ok": invariants.ok(), "broken": invariants.broken() },
        }))?;
    } else {
        let facts = [
            (
                "Chain",
                format!(
                    "{} ({}), runtime version {}",
                    client.name().await?,
                    client.kind().await?,
                    best.spec_version()
                ),
            ),
            ("Node", client.node().await?),
            ("Blocks", format!("best {}, finalized {finalized}", best.number())),
            ("Network", format!("{} peers, {sync}", health.peers)),
            ("Requests", format!("{open} open, {made} ever made")),
            ("Registry", format!("{models} models, {operators} operators")),
            (
                "Invariants",
                match &invariants {
                    Invariants::Hold => "hold".into(),
                    Invariants::Broken(broken) => format!("BROKEN: {broken}"),
                    Invariants::NotChecked(why) => format!("not checked: {why}"),
                },
            ),
        ];
        let problems =
            problems.iter().flatten().map(|problem| ("Problem", render::printable(&problem.to_string())));
        for (name, value) in facts.into_iter().chain(problems) {
            render::line(format!("{name:11} {value}"))?;
        }
    }
    match invariants.broken() {
        None => Ok(Outcome::Done),
        Some(broken) => Err(Failure::refused("InvariantBroken", format!("{broken}. Please report it."))),
    }
}

/// How the refusal to check begins, of a chain with more state than a node reads at anyone's call.
const TOO_MUCH: &str = "too much state";

/// What the chain says of what must always hold.
#[derive(Debug, PartialEq, Eq)]
enum Invariants {
    Hold,
    Broken(String),
    NotChecked(String),
}

impl Invariants {
    fn of(checked: Result<(), String>) -> Self {
        match checked {
            Ok(()) => Self::Hold,
            Err(why) if why.starts_with(TOO_MUCH) => Self::NotChecked(why),
            Err(broken) => Self::Broken(broken),
        }
    }

    /// `None` if nobody has looked.
    fn ok(&self) -> Option<bool> {
        (!matches!(self, Self::NotChecked(_))).then_some(*self == Self::Hold)
    }

    fn broken(&self) -> Option<&str> {
        match self {
            Self::Broken(broken) => Some(broken),
            Self::Hold | Self::NotChecked(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_too_large_to_check_is_not_broken() {
        let of = |checked| {
            let invariants = Invariants::of(checked);
            (invariants.ok(), invariants.broken().map(str::to_owned))
        };
        assert_eq!(of(Ok(())), (Some(true), None));
        assert_eq!(of(Err("a stake is gone".into())), (Some(false), Some("a stake is gone".into())));
        assert_eq!(of(Err("too much state to check in one call: use try-runtime".into())), (None, None));
    }
}
