//! `poq status`: version, blocks, peers, whether the node is up to date, open requests, invariants.

use crate::{
    failure::{Failure, Outcome},
    own_node::OwnNode,
    render,
    sync::{Limits, Verdict},
};
use poq_client::{types::chain::storage, Client};
use serde_json::json;

/// `poq status`.
pub async fn run(client: &Client, as_json: bool) -> Result<Outcome, Failure> {
    let sync = Verdict::of(client, &Limits::default()).await?;
    let best = client.best().await?;
    let finalized = client.finalized().await?.number();
    let made: u64 = best.value(storage().proof_of_quality().next_request()).await?;
    let open = best.open_requests().await?;
    let models = best.models().await?.len();
    let operators = best.operators().await?.len();
    let invariants = Invariants::of(best.check_invariants().await?);
    let problems = OwnNode::problems_of(client.raw()).await;
    let (chain, kind, node) = tokio::try_join!(client.name(), client.kind(), client.node())?;
    let (version, number, peers) = (best.spec_version(), best.number(), sync.network.peers);
    if as_json {
        render::json(&json!({
            "chain": chain,
            "chain_type": kind,
            "node": node,
            "spec_version": version,
            "best_block": number,
            "finalized_block": finalized,
            "peers": peers,
            "syncing": sync.network.is_syncing,
            "up_to_date": sync.is_up_to_date(),
            "faults": sync.faults_json(),
            "block_age_seconds": sync.age,
            "requests": { "made": made, "open": open },
            "models": models,
            "operators": operators,
            "problems": problems,
            "invariants": { "ok": invariants.ok(), "broken": invariants.broken() },
        }))?;
    } else {
        let age = sync.age.map_or_else(String::new, |age| format!(" ({age} s old)"));
        render::facts(&[
            ("Chain", format!("{chain} ({kind}), runtime version {version}")),
            ("Node", node),
            ("Blocks", format!("best {number}{age}, finalized {finalized}")),
            ("Network", format!("{peers} peers, {}", sync.in_words())),
            ("Requests", format!("{open} open, {made} ever made")),
            ("Registry", format!("{models} models, {operators} operators")),
            ("Invariants", invariants.meaning()),
        ])?;
        for problem in problems.iter().flatten() {
            render::facts(&[("Problem", render::printable(&problem.to_string()))])?;
        }
        if let Some(wait) = sync.wait() {
            render::prose(&format!("{} {}; {wait}.", render::bold("Not up to date:"), sync.fault()))?;
        }
    }
    match invariants.broken() {
        None => Ok(Outcome::Done),
        Some(broken) => Err(Failure::refused("InvariantBroken", format!("{broken}. Please report it."))),
    }
}

/// First words of the refusal to check a chain with more state than a node reads in one call.
const TOO_MUCH: &str = "too much state";

/// The chain's word on its invariants.
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

    /// `None` if they were not checked.
    fn ok(&self) -> Option<bool> {
        (!matches!(self, Self::NotChecked(_))).then_some(*self == Self::Hold)
    }

    /// For people.
    fn meaning(&self) -> String {
        match self {
            Self::Hold => "hold".into(),
            Self::Broken(broken) => format!("BROKEN: {broken}"),
            Self::NotChecked(why) => format!("not checked: {why}"),
        }
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
