//! What facts about an operator mean: what stops it from earning, what costs it, and what mends that. The most pressing
//! comes first.

use crate::{
    amount::{percent, Amount},
    own_node::Condition,
    types::{ModelId, ModelKind, OperatorView, Outcome, Parameters, Parts},
};
use subxt::utils::AccountId32;

/// What is known.
pub struct Facts<'a> {
    /// The account.
    pub account: AccountId32,
    /// Its record, if it is an operator.
    pub operator: Option<&'a OperatorView>,
    /// The chain's parameters.
    pub parameters: &'a Parameters,
    /// Its models.
    pub draws: &'a [Draws],
    /// Its own node, if it was asked.
    pub node: Option<&'a Condition>,
}

/// How an operator stands in the draws for one of its models.
pub struct Draws {
    /// The model's name.
    pub model: String,
    /// The model's id.
    pub id: ModelId,
    /// What it does.
    pub kind: ModelKind,
    /// Takes no new work.
    pub retired: bool,
    /// The operator's weight; `None` if it cannot be drawn.
    pub weight: Option<u64>,
    /// The weight of all who can be drawn.
    pub all_weight: u128,
    /// How many can be drawn.
    pub operators: usize,
    /// Requests that were looked at.
    pub looked_at: usize,
    /// Of these, requests for this model.
    pub asked: usize,
    /// Of these, requests in which the operator has a part.
    pub drawn: usize,
    /// Of these, known-answer audits.
    pub audited: usize,
}

impl Draws {
    /// The operator's part of the weight.
    pub fn share(&self) -> Option<Parts> {
        let weight = u128::from(self.weight?).saturating_mul(1_000_000);
        weight.checked_div(self.all_weight).and_then(|parts| Parts::try_from(parts).ok())
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As long as it is so, nothing is earned.
    Stops,
    /// It costs pay or stake.
    Costs,
    /// Good to know.
    Note,
}

impl Severity {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stops => "stops",
            Self::Costs => "costs",
            Self::Note => "note",
        }
    }
}

/// One thing that is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A word for scripts.
    pub kind: String,
    /// How bad it is.
    pub severity: Severity,
    /// In words.
    pub text: String,
    /// What mends it.
    pub first_step: Option<String>,
}

fn finding(kind: &str, severity: Severity, text: impl Into<String>, step: &str) -> Finding {
    let first_step = (!step.is_empty()).then(|| step.to_owned());
    Finding { kind: kind.to_owned(), severity, text: text.into(), first_step }
}

/// What the facts mean, the most pressing first.
pub fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let Some(operator) = facts.operator else {
        let least = Amount(facts.parameters.min_stake);
        let step = format!("`poq --suri-file FILE operator bond {least}`, then `poq --suri-file FILE operator register --worker KEY --model NAME`.");
        let text = "the account is no operator, nor the worker key of one: it has no stake.";
        return vec![finding("not_an_operator", Severity::Stops, text, &step)];
    };
    let mut found: Vec<Finding> = registration(operator, facts.parameters).into_iter().collect();
    found.extend(facts.node.into_iter().flat_map(|node| of_node(node, operator)));
    found.extend(recent(operator));
    found.extend(standing(operator, facts));
    if found.iter().all(|finding| finding.severity != Severity::Stops) {
        found.extend(competition(operator, facts.draws));
    }
    // Stable: within one severity the order is that of the checks.
    found.sort_by_key(|finding| finding.severity);
    found
}

/// Why it cannot be drawn.
fn registration(operator: &OperatorView, parameters: &Parameters) -> Option<Finding> {
    let stops = |kind, text: String, step: &str| Some(finding(kind, Severity::Stops, text, step));
    if operator.drawable {
        return None;
    }
    if operator.stake < parameters.min_stake {
        let missing = Amount(parameters.min_stake.saturating_sub(operator.stake));
        return stops(
            "stake_too_small",
            format!("it cannot be drawn: its stake is below the minimum by {missing}."),
            &format!("`poq --suri-file FILE operator bond {missing}`."),
        );
    }
    if operator.worker.is_none() {
        return stops(
            "not_registered",
            "it cannot be drawn: it has named no worker key and no models.".into(),
            "`poq --suri-file FILE operator register --worker KEY --model NAME`; `poq models` lists models.",
        );
    }
    if operator.chilled {
        return stops(
            "chilled",
            "it cannot be drawn: it is chilled.".into(),
            "`poq --suri-file FILE operator resume`.",
        );
    }
    stops(
        "not_on_a_roster",
        "it cannot be drawn: it stands on the roster of none of its models (they are retired, or it was struck out when its stake fell).".into(),
        "`poq --suri-file FILE operator register --worker KEY --model NAME` again, with models that `poq models` does not call retired.",
    )
}

/// What its own node says.
fn of_node(node: &Condition, operator: &OperatorView) -> Vec<Finding> {
    let mut found = Vec::new();
    for (kind, line) in node.problems.iter().flatten() {
        // What the chain says of the operator was found already.
        if matches!(kind.as_str(), "stake_too_small" | "chilled" | "not_on_a_roster" | "no_models") {
            continue;
        }
        let severity = match kind.as_str() {
            "open_file" | "old_node" | "engine_version" | "no_session_key" | "not_an_author" => {
                Severity::Note
            }
            "two_processes" => Severity::Costs,
            _ => Severity::Stops,
        };
        let text = format!("its node says: {line}.");
        found.push(finding(kind, severity, text, &format!("what its node says: {line}.")));
    }
    if node.health.is_syncing {
        let text = "its node is still catching up with the chain, and reports nothing until then.";
        found.push(finding(
            "syncing",
            Severity::Stops,
            text,
            "wait until `poq status --url NODE` says `up to date`.",
        ));
    }
    if node.health.should_have_peers && node.health.peers == 0 {
        let step = "let the network reach the node (port 30333), or give it a peer: --bootnodes ADDRESS.";
        found.push(finding(
            "no_peers",
            Severity::Stops,
            "its node has no peers: nothing it sends arrives.",
            step,
        ));
    }
    match (node.has_key, operator.worker) {
        (Some(false), Some(worker)) => found.push(finding(
            "no_key_in_keystore",
            Severity::Stops,
            format!("its node's keystore does not hold its worker key {worker}."),
            "`poq-node key insert --key-type 'poq!' --scheme sr25519 --suri FILE` with the node's --chain and --base-path; or `poq operator register` with the key that the node has.",
        )),
        (None, Some(_)) => found.push(finding(
            "node_does_not_say",
            Severity::Note,
            "the node does not say which keys it has: ask it on its own machine (--node ws://127.0.0.1:9944).",
            "",
        )),
        _ => {}
    }
    found
}

/// What came of its latest duties.
fn recent(operator: &OperatorView) -> Vec<Finding> {
    let count = |is: fn(&Outcome) -> bool| operator.recent.iter().filter(|duty| is(&duty.outcome)).count();
    let of = operator.recent.len();
    let cases: [(&str, usize, &str, &str); 6] = [
        (
            "absent",
            count(|outcome| matches!(outcome, Outcome::NotCommitted)),
            "nothing came in time, and that was slashed: node or engine was down, or too slow for the model's windows",
            "on its machine: `poq why OPERATOR --node ws://127.0.0.1:9944`; and until it is mended, `poq --suri-file FILE operator chill`, so that no more stake is lost.",
        ),
        (
            "not_revealed",
            count(|outcome| matches!(outcome, Outcome::NotRevealed)),
            "a commitment was not followed by what matches it, and that was slashed: two nodes with one worker key, a lost off-chain database, or a node that stopped in between",
            "see that one process alone has the worker key, and that its data folder is kept.",
        ),
        (
            "failed",
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            "the engine could not do the work and said so",
            "`poq-worker check --models DIR`, and the engine's log, say why.",
        ),
        (
            "disagreed",
            count(|outcome| matches!(outcome, Outcome::Disagreed)),
            "the scores were too far from those of the others",
            "`poq-worker check --models DIR` verifies the evaluator's files; the engine must run the registered one, unchanged.",
        ),
        (
            "below_min_quality",
            count(|outcome| matches!(outcome, Outcome::BelowMinQuality(_))),
            "the answers were worse than the requesters asked for",
            "serve a better generator: `poq models` lists what is registered.",
        ),
        (
            "too_slow",
            count(|outcome| matches!(outcome, Outcome::TooSlow(_))),
            "the work came so late that latency took all of the pay",
            "give the engine more threads or a GPU (`poq-worker check` measures it), or serve a smaller model.",
        ),
    ];
    let happened = cases.into_iter().filter(|(_, times, _, _)| *times > 0);
    happened
        .map(|(kind, times, text, step)| {
            finding(kind, Severity::Costs, format!("in {times} of its latest {of} duties {text}."), step)
        })
        .collect()
}

/// What its standing costs it.
fn standing(operator: &OperatorView, facts: &Facts<'_>) -> Vec<Finding> {
    let newcomer = &facts.parameters.newcomer;
    let serves = |kind| facts.draws.iter().any(|draws| draws.kind == kind);
    let mut found = Vec::new();
    if serves(ModelKind::Evaluator) && operator.standing.veracity < newcomer.veracity {
        let text = format!(
            "audits found its scores far from the truth: its veracity is {}, a newcomer's {}. That counts twice in draws.",
            percent(operator.standing.veracity),
            percent(newcomer.veracity)
        );
        let step = "`poq-worker check --models DIR` verifies the evaluator; veracity rises again with each audit that it passes.";
        found.push(finding("low_veracity", Severity::Costs, text, step));
    }
    if serves(ModelKind::Generator) && operator.standing.reliability < newcomer.reliability {
        let text = format!(
            "it missed duties: its reliability is {}, a newcomer's {}, so it is drawn less.",
            percent(operator.standing.reliability),
            percent(newcomer.reliability)
        );
        found.push(finding(
            "low_reliability",
            Severity::Costs,
            text,
            "keep node and engine up; reliability rises with each duty that is done.",
        ));
    }
    found
}

/// What remains if nothing is wrong: nobody asks, or others are drawn.
fn competition(operator: &OperatorView, draws: &[Draws]) -> Vec<Finding> {
    let mut found = Vec::new();
    let asked: usize = draws.iter().map(|draws| draws.asked).sum();
    let drawn: usize = draws.iter().map(|draws| draws.drawn).sum();
    if asked == 0 {
        let text = "nobody asked for its models lately: there was no work to be paid for.";
        let step = "nothing is wrong; `poq watch` shows requests as they come, `poq models` which models others serve.";
        found.push(finding("no_demand", Severity::Note, text, step));
    } else if drawn == 0 && operator.recent.is_empty() {
        let share = draws.iter().filter_map(Draws::share).max().unwrap_or_default();
        let text = format!(
            "others were drawn: its part of the draws is at most {}. Chance per place is that part.",
            percent(share)
        );
        let step = "wait for more draws, or bond more: a stake counts up to a cap (`poq parameters`).";
        found.push(finding("not_drawn_yet", Severity::Note, text, step));
    }
    found
}
