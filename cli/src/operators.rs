//! `poq operators`: all of them, or one in detail with duties, earnings, and the reason for each payment.

use crate::{
    amount::{part, percent, Amount},
    failure::{Failure, Outcome},
    names::Names,
    render,
    table::{Column, Table},
};
use poq_client::{
    json::fraction,
    types::{
        ClosedDuty, DutyView, ModelKind, OperatorView, Outcome as DutyOutcome, Parts, Role, Standing,
        Workload,
    },
    Client,
};
use serde_json::{json, Value};

/// `poq operators`.
pub async fn list(client: &Client, as_json: bool) -> Result<Outcome, Failure> {
    let at = client.best().await?;
    let names = Names::load(client, &at).await?;
    let mut operators = Vec::new();
    for account in at.operators().await? {
        operators.extend(at.operator(account).await?);
    }
    operators.sort_by_key(|operator| {
        (names.account_name(&operator.operator).is_none(), names.account(&operator.operator))
    });
    let floor = at.parameters().await?.floor;
    if as_json {
        render::json(&operators.iter().map(|operator| to_json(operator, &floor, &names)).collect())?;
        return Ok(Outcome::Done);
    }
    let mut table = Table::new(&[
        Column::text("Operator"),
        Column::number("Stake"),
        Column::words("Models").optional(),
        Column::text("Drawable"),
        Column::words("Standing").optional(),
        Column::number("Earned"),
        Column::number("Slashed").optional(),
        Column::number("Open").optional(),
        Column::words("Load").optional(),
        Column::number("Done").optional(),
        Column::number("Missed").optional(),
        Column::id("Address").optional(),
    ]);
    for operator in &operators {
        table.row(row(operator, &floor, &names));
    }
    table.print()?;
    render::prose("Standing: the part of a stake that counts in draws. Trust of a quality validator = agreement x veracity x veracity.")?;
    render::prose(
        "Promise of an inference node = reliability x quality. `poq operators NAME` shows the parts.",
    )?;
    render::prose("Load: open work of what it takes at a time, in tokens to generate and pairs of question and answer to score.")?;
    Ok(Outcome::Done)
}

/// `poq operators NAME`.
pub async fn detail(client: &Client, who: &str, as_json: bool) -> Result<Outcome, Failure> {
    let at = client.best().await?;
    let names = Names::load(client, &at).await?;
    let account = names.find_account(who)?;
    let operator = at.operator(account).await?;
    let operator =
        operator.ok_or_else(|| at.refuse("NotAnOperator", &format!("{}:", names.account(&account))))?;
    let floor = at.parameters().await?.floor;
    if as_json {
        render::json(&to_json(&operator, &floor, &names))?;
    } else {
        show(&operator, &floor, &names)?;
    }
    Ok(Outcome::Done)
}

fn row(operator: &OperatorView, floor: &Standing, names: &Names) -> [String; 12] {
    [
        names.account(&operator.operator),
        Amount(operator.stake).to_string(),
        models(operator, names),
        drawable(operator).to_owned(),
        standing(operator, floor, names),
        Amount(operator.earned).to_string(),
        Amount(operator.slashed).to_string(),
        operator.duties.len().to_string(),
        load(operator, names),
        operator.completed.to_string(),
        operator.missed.to_string(),
        operator.operator.to_string(),
    ]
}

fn models(operator: &OperatorView, names: &Names) -> String {
    let models: Vec<_> = operator.models.iter().map(|id| render::printable(&names.model(id))).collect();
    models.join(", ")
}

fn serves(operator: &OperatorView, kind: ModelKind, names: &Names) -> bool {
    names.models.iter().any(|model| model.kind == kind && operator.models.contains(&model.id))
}

/// The open work of what it takes, for the kinds of models that it serves.
fn load(operator: &OperatorView, names: &Names) -> String {
    let kinds = [(ModelKind::Generator, "tokens"), (ModelKind::Evaluator, "pairs")];
    let served = kinds.into_iter().filter(|(kind, _)| serves(operator, *kind, names));
    let parts = served
        .map(|(kind, unit)| format!("{} of {} {unit}", operator.load.of(kind), operator.capacity.of(kind)));
    parts.collect::<Vec<_>>().join(", ")
}

/// The parts of its standing that count, for the kinds of models that it serves.
fn standing(operator: &OperatorView, floor: &Standing, names: &Names) -> String {
    let promise = serves(operator, ModelKind::Generator, names)
        .then(|| format!("promise {}", percent(operator.standing.promise(floor))));
    let trust =
        serves(operator, ModelKind::Evaluator, names).then(|| format!("trust {}", percent(operator.trust)));
    promise.into_iter().chain(trust).collect::<Vec<_>>().join(", ")
}

/// Whether it can be drawn, for people.
pub fn drawable(operator: &OperatorView) -> &'static str {
    match (operator.drawable, operator.chilled, operator.worker.is_some()) {
        (true, _, _) => "yes",
        (false, true, _) => "no: chilled",
        (false, false, false) => "no: not registered",
        (false, false, true) => "no: stake too small, or on no roster",
    }
}

fn show(operator: &OperatorView, floor: &Standing, names: &Names) -> Result<(), Failure> {
    let Standing { agreement, veracity, reliability, quality } = operator.standing;
    let mut facts = vec![
        ("Operator", render::bold(&names.account(&operator.operator))),
        ("Address", operator.operator.to_string()),
        ("Worker key", operator.worker.map_or_else(|| "none".into(), |worker| worker.to_string())),
        ("Models", models(operator, names)),
        ("Can be drawn", drawable(operator).to_owned()),
        ("Stake", Amount(operator.stake).to_string()),
        ("Earned", Amount(operator.earned).to_string()),
        ("Slashed", Amount(operator.slashed).to_string()),
        (
            "Trust",
            format!(
                "{} as a quality validator (agreement {}, veracity {})",
                percent(operator.trust),
                percent(agreement),
                percent(veracity)
            ),
        ),
        (
            "Promise",
            format!(
                "{} as an inference node (reliability {}, quality {})",
                percent(operator.standing.promise(floor)),
                percent(reliability),
                percent(quality)
            ),
        ),
        (
            "Duties",
            format!(
                "{} done, {} missed, {} open",
                operator.completed,
                operator.missed,
                operator.duties.len()
            ),
        ),
        ("Load", whole_load(&operator.load, &operator.capacity)),
    ];
    if let Some(unbonding) = operator.unbonding {
        facts.push(("Unbonding", format!("{} from block {}", Amount(unbonding.amount), unbonding.at)));
    }
    if operator.forgone > 0 {
        let forgone =
            format!("{}: low scores of noisy evaluators can give it back", Amount(operator.forgone));
        facts.push(("Forgone", forgone));
    }
    render::facts(&facts)?;
    if !operator.duties.is_empty() {
        let mut table =
            Table::new(&[Column::number("Request"), Column::text("Open duty"), Column::text("Work")]);
        for duty in &operator.duties {
            table.row([duty.request.to_string(), duty.role.meaning().to_owned(), duty.work.meaning()]);
        }
        table.print()?;
    }
    if !operator.recent.is_empty() {
        recent_table(operator).print()?;
    }
    Ok(())
}

/// The open work of what it takes, of both kinds.
pub fn whole_load(load: &Workload, capacity: &Workload) -> String {
    format!(
        "{} of {} tokens to generate, {} of {} pairs to score at a time",
        load.tokens, capacity.tokens, load.pairs, capacity.pairs
    )
}

/// The operator's latest duties, the newest first, each with its pay and the reason.
pub fn recent_table(operator: &OperatorView) -> Table {
    let mut table = Table::new(&[
        Column::number("Request"),
        Column::text("Duty"),
        Column::number("Paid"),
        Column::words("Why"),
    ]);
    for duty in operator.recent.iter().rev() {
        let role = duty.role.meaning().to_owned();
        table.row([duty.request.to_string(), role, Amount(duty.paid).to_string(), why(duty)]);
    }
    table
}

/// Reason for the pay of a duty, for people.
fn why(duty: &ClosedDuty) -> String {
    let is_answer = duty.role == Role::InferenceNode;
    match duty.outcome {
        DutyOutcome::Paid(parts) if is_answer => {
            format!("{} of price and bonus, by quality and latency", percent(parts))
        }
        DutyOutcome::Paid(parts) => format!("{} of its share, by agreement and latency", percent(parts)),
        DutyOutcome::TooSlow(parts) => {
            let base = if is_answer { "; only the base part of the price is paid" } else { "" };
            format!("too slow: latency outweighs the {} of {}{base}", merit(duty.role), part(parts))
        }
        DutyOutcome::BelowMinQuality(parts) => {
            format!(
                "quality {} is below what the requester asked for, and clearly worse than usual: only the base part of the price is paid",
                part(parts)
            )
        }
        DutyOutcome::Disagreed => "the scores are too far from those of the others".into(),
        DutyOutcome::Failed(reason) => format!("reported as failed: {reason:?}"),
        DutyOutcome::NotCommitted => "absent: no commitment came in time; slashed".into(),
        DutyOutcome::NotRevealed => "absent: no matching reveal came in time; slashed".into(),
        DutyOutcome::Refunded(reason) => {
            let paid = match (duty.paid, is_answer) {
                (0, _) => "",
                (_, true) => "; the answer is paid by the quality that the operator is known for",
                (_, false) => "; the base part of the share is paid",
            };
            format!("the request was refunded: {}{paid}", reason.meaning())
        }
        DutyOutcome::Dismissed => "nobody of the committee revealed scores, and another was drawn".into(),
        DutyOutcome::NotPayable => "the account could not take the payment".into(),
    }
}

/// Measure by which work is paid.
fn merit(role: Role) -> &'static str {
    match role {
        Role::InferenceNode => "quality",
        Role::QualityValidator => "agreement",
    }
}

/// The operator's whole record.
pub fn to_json(operator: &OperatorView, floor: &Standing, names: &Names) -> Value {
    let duty = |duty: &DutyView| json!({ "request": duty.request, "role": duty.role.name(), "work": duty.work.name() });
    let recent = |duty: &ClosedDuty| {
        let (outcome, value, reason) = outcome_parts(&duty.outcome);
        json!({
            "request": duty.request,
            "role": duty.role.name(),
            "paid": duty.paid.to_string(),
            "outcome": outcome,
            "value": value,
            "reason": reason,
            "why": why(duty),
        })
    };
    json!({
        "operator": operator.operator.to_string(),
        "operator_name": names.account_name(&operator.operator),
        "stake": operator.stake.to_string(),
        "unbonding": operator.unbonding.map(|unbonding| json!({ "amount": unbonding.amount.to_string(), "at": unbonding.at })),
        "worker": operator.worker.map(|worker| worker.to_string()),
        "models": operator.models.iter().map(|id| json!({ "id": hex::encode(id), "name": names.model_name(id) })).collect::<Vec<_>>(),
        "chilled": operator.chilled,
        "drawable": operator.drawable,
        "capacity": workload_json(&operator.capacity),
        "load": workload_json(&operator.load),
        "duties": operator.duties.iter().map(duty).collect::<Vec<_>>(),
        "completed": operator.completed,
        "missed": operator.missed,
        "earned": operator.earned.to_string(),
        "forgone": operator.forgone.to_string(),
        "slashed": operator.slashed.to_string(),
        "standing": {
            "agreement": fraction(operator.standing.agreement),
            "veracity": fraction(operator.standing.veracity),
            "reliability": fraction(operator.standing.reliability),
            "quality": fraction(operator.standing.quality),
        },
        "trust": fraction(operator.trust),
        "promise": fraction(operator.standing.promise(floor)),
        "recent": operator.recent.iter().map(recent).collect::<Vec<_>>(),
    })
}

fn workload_json(work: &Workload) -> Value {
    json!({ "tokens": work.tokens, "pairs": work.pairs })
}

/// Name, part of the share or quality or agreement, and reason, as far as there are any.
fn outcome_parts(outcome: &DutyOutcome) -> (&'static str, Option<f64>, Option<String>) {
    let value = |parts: Parts| Some(fraction(parts));
    match outcome {
        DutyOutcome::Paid(parts) => ("paid", value(*parts), None),
        DutyOutcome::BelowMinQuality(parts) => ("below_min_quality", value(*parts), None),
        DutyOutcome::Disagreed => ("disagreed", None, None),
        DutyOutcome::TooSlow(parts) => ("too_slow", value(*parts), None),
        DutyOutcome::Failed(reason) => ("failed", None, Some(format!("{reason:?}"))),
        DutyOutcome::NotCommitted => ("not_committed", None, None),
        DutyOutcome::NotRevealed => ("not_revealed", None, None),
        DutyOutcome::Refunded(reason) => ("refunded", None, Some(format!("{reason:?}"))),
        DutyOutcome::Dismissed => ("dismissed", None, None),
        DutyOutcome::NotPayable => ("not_payable", None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poq_client::types::RefundReason;

    #[test]
    fn what_is_paid_for_nothing_scored_is_said() {
        let duty = |role, paid, outcome| why(&ClosedDuty { request: 1, role, paid, outcome });
        let refunded = DutyOutcome::Refunded(RefundReason::NoQuorum);
        assert!(duty(Role::InferenceNode, 5, refunded).contains("known for"));
        assert!(duty(Role::QualityValidator, 5, refunded).ends_with("the base part of the share is paid"));
        assert!(duty(Role::QualityValidator, 0, refunded).ends_with(RefundReason::NoQuorum.meaning()));
        let below = DutyOutcome::BelowMinQuality(300_000);
        assert!(duty(Role::InferenceNode, 5, below).contains("only the base part"));
    }
}
