//! Findings about an operator: each with the harm that it does and the step that mends it. The most pressing comes first.

use crate::{
    amount::{percent, Amount},
    own_node::Condition,
    sync::{self, Limits, Verdict},
};
use poq_client::types::{
    FailureReason, ModelId, ModelKind, OperatorView, Outcome, Parameters, Parts, Standing,
};
use poq_primitives::problem::{Problem, Severity};
use std::time::SystemTime;
use subxt::utils::AccountId32;

/// Facts to judge an operator by.
pub struct Facts<'a> {
    /// The node whose view of the chain the other facts are.
    pub sync: &'a Verdict,
    /// The account.
    pub account: AccountId32,
    /// The operator's record, if it is an operator.
    pub operator: Option<&'a OperatorView>,
    /// The chain's parameters.
    pub parameters: &'a Parameters,
    /// The operator's models.
    pub draws: &'a [Draws],
    /// The operator's own node, if it was asked.
    pub node: Option<&'a Condition>,
}

/// Standing of an operator in the draws for one of its models.
pub struct Draws {
    /// The model's name.
    pub model: String,
    /// The model's id.
    pub id: ModelId,
    /// Kind of work.
    pub kind: ModelKind,
    /// Takes no new work.
    pub retired: bool,
    /// The operator's weight; `None` if it cannot be drawn.
    pub weight: Option<u64>,
    /// The weight of all operators that can be drawn.
    pub all_weight: u128,
    /// Number of operators that can be drawn.
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

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A word for scripts.
    pub kind: String,
    /// The harm that it does.
    pub severity: Severity,
    /// The finding, in words.
    pub text: String,
    /// The step that mends it.
    pub first_step: Option<String>,
}

fn finding(kind: &str, severity: Severity, text: impl Into<String>, step: &str) -> Finding {
    let first_step = (!step.is_empty()).then(|| step.to_owned());
    Finding { kind: kind.to_owned(), severity, text: text.into(), first_step }
}

/// The findings, the most pressing first.
///
/// A node that is not up to date knows a chain of long ago: whatever it says of the operator is no ground for a finding.
pub fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    if let Some(wait) = facts.sync.wait() {
        let text = format!(
            "the node that was asked is not up to date ({}): whether the account is an operator, and what it earns, is not known yet.",
            facts.sync.fault()
        );
        return vec![finding("node_behind", Severity::Note, text, &format!("{wait}; then ask again."))];
    }
    let Some(operator) = facts.operator else {
        let least = plain(facts.parameters.min_stake);
        let step = format!("`poq --suri-file FILE operator bond {least}`, then `poq --suri-file FILE operator register --worker-suri-file WORKER-FILE --model NAME`.");
        let text = "the account is no operator, nor the worker key of one: it has no stake.";
        return vec![finding("not_an_operator", Severity::Stops, text, &step)];
    };
    let mut found: Vec<Finding> = registration(operator, facts.parameters).into_iter().collect();
    found.extend(facts.node.into_iter().flat_map(|node| of_node(node, operator)));
    found.extend(full(operator, facts.draws));
    found.extend(recent(operator));
    found.extend(standing(operator, facts));
    if found.iter().all(|finding| finding.severity != Severity::Stops) {
        found.extend(competition(operator, facts.draws));
    }
    // Stable: within one severity the order is that of the checks.
    found.sort_by_key(|finding| finding.severity);
    found
}

/// An amount as an argument.
fn plain(amount: u128) -> String {
    Amount(amount).to_string().trim_end_matches(" POQ").to_owned()
}

/// The first reason for which it cannot be drawn.
fn registration(operator: &OperatorView, parameters: &Parameters) -> Option<Finding> {
    let stops = |kind, text: String, step: &str| Some(finding(kind, Severity::Stops, text, step));
    if operator.drawable {
        return None;
    }
    // The stake counts in equal parts for the models.
    let models = operator.models.len().max(1) as u128;
    let missing = parameters.min_stake.saturating_mul(models).saturating_sub(operator.stake);
    if missing > 0 {
        let each = if models == 1 { String::new() } else { format!(" for each of its {models} models") };
        return stops(
            "stake_too_small",
            format!(
                "it cannot be drawn: its stake is below the minimum of {}{each} by {}.",
                Amount(parameters.min_stake),
                Amount(missing)
            ),
            &format!("`poq --suri-file FILE operator bond {}`.", plain(missing)),
        );
    }
    if operator.worker.is_none() {
        return stops(
            "not_registered",
            "it cannot be drawn: it has named no worker key and no models.".into(),
            "`poq --suri-file FILE operator register --worker-suri-file WORKER-FILE --model NAME`; `poq models` lists models.",
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
        "it cannot be drawn: it stands on the roster of none of its models. They are retired; or its stake had fallen below the minimum; or the roster is full, and operators that weigh more took its place.".into(),
        "`poq --suri-file FILE operator register --model NAME` again, with models that `poq models` does not call retired. `RosterFull` means that it weighs too little: bond more, or serve another model.",
    )
}

/// Whether draws pass it over because it has as much open work as it takes, for each kind of models that it serves.
fn full(operator: &OperatorView, draws: &[Draws]) -> Vec<Finding> {
    let kinds = [
        (ModelKind::Generator, "tokens to generate", "--tokens"),
        (ModelKind::Evaluator, "pairs to score", "--pairs"),
    ];
    let served = kinds.into_iter().filter(|(kind, ..)| draws.iter().any(|draws| draws.kind == *kind));
    served
        .filter_map(|(kind, unit, option)| {
            let (load, capacity) = (operator.load.of(kind), operator.capacity.of(kind));
            let set = format!("`poq --suri-file FILE operator capacity {option} N`");
            if capacity == 0 {
                let text = format!("its capacity is 0 {unit}: it is never drawn for that.");
                return Some(finding("no_capacity", Severity::Costs, text, &format!("{set}.")));
            }
            let text = format!(
                "it has as much open work as it takes ({load} of {capacity} {unit}), and is passed over in draws until it has less."
            );
            let step = format!("{set}, if its machine does more within its models' windows.");
            (load >= capacity).then(|| finding("full", Severity::Note, text, &step))
        })
        .collect()
}

/// The verdict on the operator's own node.
pub fn own_sync(node: &Condition) -> Verdict {
    sync::judge(node.health.clone(), node.pulse, SystemTime::now(), &Limits::default())
}

/// Findings of its own node.
fn of_node(node: &Condition, operator: &OperatorView) -> Vec<Finding> {
    let mut found = Vec::new();
    for problem in node.problems.iter().flatten() {
        // These are found from the chain and the node's health, without the node's word.
        let known = ["stake_too_small", "chilled", "not_on_a_roster", "no_models", "no_peers"];
        if known.contains(&problem.kind.as_str()) {
            continue;
        }
        let severity = if is_about(problem, operator) { problem.severity } else { Severity::Note };
        let text = format!("its node says: {}.", problem.what);
        found.push(finding(&problem.kind, severity, text, &format!("{}.", problem.remedy)));
    }
    for fault in own_sync(node).faults {
        // Finality is the chain's matter: reports are made on best blocks.
        let severity = if fault.kind == "finality_behind" { Severity::Note } else { Severity::Stops };
        let text = match severity {
            Severity::Stops => {
                format!("its own node is not up to date, and reports no work until it is: {}.", fault.text)
            }
            _ => format!("its own node: {}.", fault.text),
        };
        found.push(finding(fault.kind, severity, text, &format!("{}.", fault.wait)));
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
            "the node does not say which keys it has: ask it at its control socket (--node DIR/chains/ID/control.sock).",
            "",
        )),
        _ => {}
    }
    found
}

/// Whether a problem of the node concerns this operator. A node may work for several.
fn is_about(problem: &Problem, operator: &OperatorView) -> bool {
    let accounts = [Some(operator.operator), operator.worker];
    let of_an_account = matches!(problem.kind.as_str(), "unknown_worker" | "model_missing" | "two_processes");
    !of_an_account || accounts.into_iter().flatten().any(|account| account.to_string() == problem.subject)
}

/// Ends of duties that earn nothing: a word for scripts, the fault, the first step. The worst comes first.
const FAULTS: [(&str, &str, &str); 7] = [
    (
        "absent",
        "nothing came in time, and that was slashed: node or engine was down, or too slow for the model's windows",
        "on its machine: `poq why OPERATOR --node ws://127.0.0.1:9944`; and until it is mended, `poq --suri-file FILE operator chill`, so that no more stake is lost.",
    ),
    (
        "not_revealed",
        "a commitment was not followed by what matches it, and that was slashed: two nodes with one worker key, a lost off-chain database, or a node that stopped in between",
        "see that one process alone has the worker key, and that its data folder is kept.",
    ),
    (
        "unfinished",
        "the engine did not finish the work within the model's windows",
        "take less at a time: `poq --suri-file FILE operator capacity --tokens N` (or --pairs N); or give the engine more threads or a GPU, or serve a smaller model.",
    ),
    (
        "failed",
        "the engine could not do the work and said so",
        "`poq-worker check --models DIR`, and the engine's log, say why.",
    ),
    (
        "disagreed",
        "the scores were too far from those of the others",
        "`poq-worker check --models DIR` verifies the evaluator's files; the engine must run the registered one, unchanged.",
    ),
    (
        "below_min_quality",
        "the answers were worse than the requesters asked for, and clearly worse than usual: they earned only the base part of their price",
        "serve a better generator: `poq models` lists what is registered.",
    ),
    (
        "too_slow",
        "the quality or agreement was so low, or the work so late, that latency took all of the pay, of an answer all but the base part of its price",
        "`poq operators OPERATOR` shows the quality: where it is low, serve a better generator; otherwise give the engine more threads or a GPU, or serve a smaller model.",
    ),
];

/// The fault that a duty ended in.
fn fault(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::NotCommitted => Some("absent"),
        Outcome::NotRevealed => Some("not_revealed"),
        Outcome::Failed(FailureReason::DeadlineExceeded) => Some("unfinished"),
        Outcome::Failed(_) => Some("failed"),
        Outcome::Disagreed => Some("disagreed"),
        Outcome::BelowMinQuality(_) => Some("below_min_quality"),
        Outcome::TooSlow(_) => Some("too_slow"),
        Outcome::Paid(_) | Outcome::Refunded(_) | Outcome::Dismissed | Outcome::NotPayable => None,
    }
}

/// Faults of its latest duties.
fn recent(operator: &OperatorView) -> Vec<Finding> {
    let duties: Vec<_> = operator.recent.iter().map(|duty| fault(&duty.outcome)).collect();
    FAULTS
        .iter()
        .filter_map(|(kind, text, step)| {
            let times = duties.iter().filter(|fault| **fault == Some(kind)).count();
            let since = duties.iter().rev().position(|fault| *fault == Some(kind))?;
            let since = if since > 0 { format!("; the newest {since} were not so") } else { String::new() };
            let text = format!("in {times} of its latest {} duties {text}{since}.", duties.len());
            Some(finding(kind, Severity::Costs, text, step))
        })
        .collect()
}

/// Loss by its standing. Standing begins at the floor and counts for that at least: below it, it has fallen.
fn standing(operator: &OperatorView, facts: &Facts<'_>) -> Vec<Finding> {
    let floor = &facts.parameters.floor;
    let serves = |kind| facts.draws.iter().any(|draws| draws.kind == kind);
    let mut found = Vec::new();
    let Standing { veracity, reliability, .. } = operator.standing;
    if serves(ModelKind::Evaluator) && veracity < floor.veracity {
        let text = format!(
            "audits found its scores far from the truth: its veracity is {}, and everybody begins with {1}. In draws it counts as {1}.",
            percent(veracity),
            percent(floor.veracity)
        );
        let step = "`poq-worker check --models DIR` verifies the evaluator; veracity rises again with each audit that it passes.";
        found.push(finding("low_veracity", Severity::Costs, text, step));
    }
    if serves(ModelKind::Generator) && reliability < floor.reliability {
        let text = format!(
            "it missed duties: its reliability is {}, and everybody begins with {1}. In draws it counts as {1}.",
            percent(reliability),
            percent(floor.reliability)
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

/// Reasons for no work where nothing is wrong: nobody asks, or others are drawn.
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

#[cfg(test)]
mod tests {
    use super::*;
    use poq_client::{
        types::{ClosedDuty, Role, Workload},
        Pulse,
    };
    use subxt::rpcs::methods::legacy::SystemHealth;

    const ACCOUNT: AccountId32 = AccountId32([1; 32]);
    const WORKER: AccountId32 = AccountId32([2; 32]);

    fn standing(part: Parts) -> Standing {
        Standing { agreement: part, veracity: part, reliability: part, quality: part }
    }

    fn parameters() -> Parameters {
        Parameters {
            min_stake: 1_000,
            stake_cap: 10,
            unbonding_period: 1,
            fee: 0,
            base_pay: 0,
            waiting_fee: 0,
            min_committee: 1,
            absence_slash: 1,
            audit_slash: 1,
            audit_allowance: 1,
            gross_error: 1,
            audit_window: 1,
            tolerance_spreads: 1,
            tolerance_least: 1,
            tolerance_most: 1,
            floor: standing(200_000),
            rise: 1,
            fall: 1,
            audit_rise: 1,
            audit_fall: 1,
        }
    }

    fn operator() -> OperatorView {
        OperatorView {
            operator: ACCOUNT,
            stake: 2_000,
            unbonding: None,
            worker: Some(WORKER),
            models: vec![[3; 32]],
            chilled: false,
            drawable: true,
            capacity: Workload { tokens: 4_096, pairs: 64 },
            load: Workload { tokens: 0, pairs: 0 },
            duties: Vec::new(),
            completed: 0,
            missed: 0,
            earned: 0,
            forgone: 0,
            slashed: 0,
            standing: standing(600_000),
            trust: 600_000,
            recent: Vec::new(),
        }
    }

    fn draws(asked: usize, drawn: usize) -> Draws {
        Draws {
            model: "m".into(),
            id: [3; 32],
            kind: ModelKind::Evaluator,
            retired: false,
            weight: Some(1),
            all_weight: 4,
            operators: 4,
            looked_at: 20,
            asked,
            drawn,
            audited: 0,
        }
    }

    fn problem(kind: &str, severity: Severity, subject: String) -> Problem {
        Problem { kind: kind.to_owned(), severity, subject, what: "w".to_owned(), remedy: "r".to_owned() }
    }

    fn node(problems: Vec<Problem>) -> Condition {
        Condition {
            health: SystemHealth { peers: 3, is_syncing: false, should_have_peers: true },
            pulse: pulse(9),
            has_key: Some(true),
            problems: Some(problems),
        }
    }

    fn pulse(best: u64) -> Pulse {
        Pulse { best, finalized: best, time: (best > 0).then(SystemTime::now) }
    }

    fn asked(best: u64) -> Verdict {
        let network = SystemHealth { peers: 3, is_syncing: false, should_have_peers: true };
        sync::judge(network, pulse(best), SystemTime::now(), &Limits::default())
    }

    fn kinds(
        operator: Option<&OperatorView>,
        draws: &[Draws],
        node: Option<&Condition>,
    ) -> Vec<(String, Severity)> {
        let facts =
            Facts { sync: &asked(9), account: ACCOUNT, operator, parameters: &parameters(), draws, node };
        findings(&facts).into_iter().map(|finding| (finding.kind, finding.severity)).collect()
    }

    fn recent_texts(operator: &OperatorView) -> Vec<String> {
        recent(operator).into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn the_first_reason_that_it_cannot_be_drawn_is_said() {
        let cannot = OperatorView { drawable: false, ..operator() };
        let cases = [
            (None, "not_an_operator"),
            (Some(OperatorView { stake: 999, chilled: true, ..cannot.clone() }), "stake_too_small"),
            (Some(OperatorView { worker: None, ..cannot.clone() }), "not_registered"),
            (Some(OperatorView { chilled: true, ..cannot.clone() }), "chilled"),
            (Some(cannot), "not_on_a_roster"),
        ];
        for (operator, kind) in cases {
            assert_eq!(kinds(operator.as_ref(), &[draws(5, 1)], None), [(kind.to_owned(), Severity::Stops)]);
        }
    }

    #[test]
    fn a_node_that_is_behind_is_no_ground_to_bond_or_register() {
        for operator in [None, Some(OperatorView { stake: 1, drawable: false, ..operator() })] {
            let facts = Facts {
                sync: &asked(0),
                account: ACCOUNT,
                operator: operator.as_ref(),
                parameters: &parameters(),
                draws: &[],
                node: None,
            };
            let found = findings(&facts);
            let [behind] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!(behind.kind, "node_behind");
            let step = behind.first_step.as_deref().unwrap();
            assert!(step.starts_with("wait ") && !step.contains("operator bond"), "{step}");
        }
    }

    #[test]
    fn where_nothing_is_wrong_it_says_whether_anybody_asked() {
        assert_eq!(kinds(Some(&operator()), &[draws(0, 0)], None), [("no_demand".into(), Severity::Note)]);
        assert_eq!(
            kinds(Some(&operator()), &[draws(9, 0)], None),
            [("not_drawn_yet".into(), Severity::Note)]
        );
        assert_eq!(kinds(Some(&operator()), &[draws(9, 2)], Some(&node(Vec::new()))), []);
    }

    #[test]
    fn an_operator_with_as_much_work_as_it_takes_is_passed_over() {
        let found = |load, capacity| {
            let operator = OperatorView { load, capacity, ..operator() };
            // It serves an evaluator alone: tokens do not matter.
            kinds(Some(&operator), &[draws(9, 2)], None)
        };
        let work = |tokens, pairs| Workload { tokens, pairs };
        assert_eq!(found(work(0, 2), work(0, 2)), [("full".into(), Severity::Note)]);
        assert_eq!(found(work(9, 2), work(9, 3)), []);
        assert_eq!(found(work(0, 0), work(9, 0)), [("no_capacity".into(), Severity::Costs)]);
        let both = [draws(9, 2), Draws { kind: ModelKind::Generator, ..draws(9, 2) }];
        let operator = OperatorView { load: work(9, 2), capacity: work(9, 2), ..operator() };
        assert_eq!(kinds(Some(&operator), &both, None).len(), 2);
    }

    #[test]
    fn stake_counts_in_equal_parts_for_the_models() {
        let two = OperatorView { models: vec![[3; 32], [4; 32]], drawable: false, ..operator() };
        let short = OperatorView { stake: 1_999, ..two.clone() };
        let found = registration(&short, &parameters()).unwrap();
        assert_eq!(found.kind, "stake_too_small");
        assert!(found.text.contains("for each of its 2 models by 0.000000000001 POQ"), "{}", found.text);
        assert_eq!(registration(&two, &parameters()).unwrap().kind, "not_on_a_roster");
    }

    #[test]
    fn a_bad_name_is_one_below_the_beginning() {
        let both = [draws(9, 2), Draws { kind: ModelKind::Generator, ..draws(9, 2) }];
        let with = |part| kinds(Some(&OperatorView { standing: standing(part), ..operator() }), &both, None);
        assert_eq!(with(200_000), []);
        let expected = ["low_veracity", "low_reliability"];
        assert_eq!(with(199_999), expected.map(|kind| (kind.to_owned(), Severity::Costs)));
    }

    #[test]
    fn what_its_node_says_comes_before_what_costs() {
        let duty = |outcome| ClosedDuty { request: 1, role: Role::QualityValidator, paid: 0, outcome };
        let latest = vec![
            duty(Outcome::Disagreed),
            duty(Outcome::Failed(FailureReason::Internal)),
            duty(Outcome::Failed(FailureReason::DeadlineExceeded)),
            duty(Outcome::Paid(1)),
        ];
        let operator = OperatorView { recent: latest, standing: standing(100_000), ..operator() };
        let node = node(vec![
            problem("open_file", Severity::Note, "f".to_owned()),
            problem("engine_down", Severity::Stops, String::new()),
        ]);
        let latest = recent_texts(&operator);
        assert!(
            latest.iter().any(|text| text.contains("in 1 of its latest 4 duties")
                && text.ends_with("; the newest 1 were not so.")),
            "{latest:?}"
        );
        let found = kinds(Some(&operator), &[draws(9, 2)], Some(&node));
        let expected = [
            ("engine_down", Severity::Stops),
            ("unfinished", Severity::Costs),
            ("failed", Severity::Costs),
            ("disagreed", Severity::Costs),
            ("low_veracity", Severity::Costs),
            ("open_file", Severity::Note),
        ];
        assert_eq!(found, expected.map(|(kind, severity)| (kind.to_owned(), severity)));
    }

    #[test]
    fn a_problem_of_another_operator_on_the_same_node_is_a_note() {
        for (subject, severity) in
            [(ACCOUNT.to_string(), Severity::Stops), ("5Other".to_owned(), Severity::Note)]
        {
            let missing = problem("model_missing", Severity::Stops, subject);
            let found = kinds(Some(&operator()), &[draws(9, 2)], Some(&node(vec![missing])));
            assert_eq!(found, [("model_missing".to_owned(), severity)]);
        }
    }

    #[test]
    fn a_node_that_is_cut_off_or_has_another_key_stops_everything() {
        let mut cut_off = node(Vec::new());
        cut_off.health = SystemHealth { peers: 0, is_syncing: true, should_have_peers: true };
        cut_off.has_key = Some(false);
        cut_off.pulse = pulse(0);
        let found = kinds(Some(&operator()), &[draws(9, 2)], Some(&cut_off));
        let expected = ["syncing", "no_peers", "no_blocks", "no_key_in_keystore"];
        assert_eq!(found, expected.map(|kind| (kind.to_owned(), Severity::Stops)));
    }

    #[test]
    fn a_share_is_a_part_of_all_weight() {
        assert_eq!(draws(0, 0).share(), Some(250_000));
        assert_eq!(Draws { weight: None, ..draws(0, 0) }.share(), None);
        assert_eq!(Draws { all_weight: 0, ..draws(0, 0) }.share(), None);
    }
}
