//! Showing the operators, and one of them in detail: duties, earnings, and why it was paid or not.

use crate::{
    amount::{part, Amount},
    chain::{self, At, Chain},
    failure::{Failure, Outcome},
    names::Names,
    render,
    types::{ClosedDuty, OperatorView, Outcome as DutyOutcome, Role, Work},
};
use serde_json::{json, Value};
use subxt::utils::AccountId32;

/// `poq operators`.
pub async fn list(chain: &Chain, as_json: bool) -> Result<Outcome, Failure> {
    let at = chain.best().await?;
    let names = Names::load(chain, &at).await?;
    let accounts: Vec<AccountId32> = chain::view(&at, "operators", ()).await?;
    let mut operators = Vec::new();
    for account in accounts {
        operators.extend(fetch(&at, &account).await?);
    }
    operators.sort_by_key(|operator| {
        (names.account_name(&operator.operator).is_none(), names.account(&operator.operator))
    });
    if as_json {
        render::json(&operators.iter().map(|operator| to_json(operator, &names)).collect())?;
        return Ok(Outcome::Done);
    }
    let mut table = render::table(&[
        "Operator", ">Stake", "Models", "Drawable", ">Open", ">Done", ">Missed", ">Earned", ">Slashed",
    ]);
    for operator in &operators {
        table.add_row(row(operator, &names));
    }
    render::line(table.to_string())?;
    Ok(Outcome::Done)
}

/// `poq operators WHO`.
pub async fn detail(chain: &Chain, who: &str, as_json: bool) -> Result<Outcome, Failure> {
    let at = chain.best().await?;
    let names = Names::load(chain, &at).await?;
    let account = names.find_account(who)?;
    let operator = fetch(&at, &account)
        .await?
        .ok_or_else(|| chain::refuse_as(&at, "NotAnOperator", &format!("{}:", names.account(&account))))?;
    if as_json {
        render::json(&to_json(&operator, &names))?;
    } else {
        show(&operator, &names)?;
    }
    Ok(Outcome::Done)
}

async fn fetch(at: &At, account: &AccountId32) -> Result<Option<OperatorView>, Failure> {
    chain::view(at, "operator_info", (*account,)).await
}

fn row(operator: &OperatorView, names: &Names) -> [String; 9] {
    [
        names.account(&operator.operator),
        Amount(operator.stake).to_string(),
        models(operator, names),
        drawable(operator).to_owned(),
        operator.duties.len().to_string(),
        operator.completed.to_string(),
        operator.missed.to_string(),
        Amount(operator.earned).to_string(),
        Amount(operator.slashed).to_string(),
    ]
}

fn models(operator: &OperatorView, names: &Names) -> String {
    let models: Vec<_> = operator.models.iter().map(|id| render::printable(&names.model(id))).collect();
    models.join(", ")
}

fn drawable(operator: &OperatorView) -> &'static str {
    match (operator.drawable, operator.chilled, operator.worker.is_some()) {
        (true, _, _) => "yes",
        (false, true, _) => "no: chilled",
        (false, false, false) => "no: not registered",
        (false, false, true) => "no: stake too small",
    }
}

fn show(operator: &OperatorView, names: &Names) -> Result<(), Failure> {
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
            "Duties",
            format!(
                "{} done, {} missed, {} open",
                operator.completed,
                operator.missed,
                operator.duties.len()
            ),
        ),
    ];
    if let Some(unbonding) = operator.unbonding {
        facts.push(("Unbonding", format!("{} from block {}", Amount(unbonding.amount), unbonding.at)));
    }
    for (name, value) in facts {
        render::line(format!("{name:13} {value}"))?;
    }
    if !operator.duties.is_empty() {
        let mut table = render::table(&[">Request", "Open duty", "Work"]);
        for (request, role, work) in &operator.duties {
            table.add_row([request.to_string(), role.meaning().to_owned(), work.meaning()]);
        }
        render::line(table.to_string())?;
    }
    if !operator.recent.is_empty() {
        let mut table = render::table(&[">Request", "Duty", ">Paid", "Why"]);
        for duty in operator.recent.iter().rev() {
            let role = duty.role.meaning().to_owned();
            table.add_row([duty.request.to_string(), role, Amount(duty.paid).to_string(), why(duty)]);
        }
        render::line(table.to_string())?;
    }
    Ok(())
}

/// Why a duty was paid or not, for people.
fn why(duty: &ClosedDuty) -> String {
    match duty.outcome {
        DutyOutcome::Paid(parts) => match duty.role {
            Role::InferenceNode => format!("quality {}", part(parts)),
            Role::QualityValidator => format!("agreement {}", part(parts)),
        },
        DutyOutcome::BelowMinQuality(parts) => {
            format!("quality {} is below what the requester asked for", part(parts))
        }
        DutyOutcome::Disagreed => "the scores are too far from those of the others".into(),
        DutyOutcome::Failed(reason) => format!("reported as failed: {reason:?}"),
        DutyOutcome::NotCommitted => "absent: no commitment came in time; slashed".into(),
        DutyOutcome::NotRevealed => "absent: no matching reveal came in time; slashed".into(),
        DutyOutcome::Refunded(reason) => format!("the request was refunded: {}", reason.meaning()),
        DutyOutcome::Dismissed => "the committee had no quorum".into(),
        DutyOutcome::NotPayable => "the account could not take the payment".into(),
    }
}

fn to_json(operator: &OperatorView, names: &Names) -> Value {
    let duty = |(request, role, work): &(u64, Role, Work)| json!({ "request": request, "role": role.name(), "work": work.name() });
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
        "duties": operator.duties.iter().map(duty).collect::<Vec<_>>(),
        "completed": operator.completed,
        "missed": operator.missed,
        "earned": operator.earned.to_string(),
        "slashed": operator.slashed.to_string(),
        "recent": operator.recent.iter().map(recent).collect::<Vec<_>>(),
    })
}

/// Name, quality or agreement, and reason, as far as there are any.
fn outcome_parts(outcome: &DutyOutcome) -> (&'static str, Option<f64>, Option<String>) {
    let value = |parts: u32| Some(f64::from(parts) / 1e6);
    match outcome {
        DutyOutcome::Paid(parts) => ("paid", value(*parts), None),
        DutyOutcome::BelowMinQuality(parts) => ("below_min_quality", value(*parts), None),
        DutyOutcome::Disagreed => ("disagreed", None, None),
        DutyOutcome::Failed(reason) => ("failed", None, Some(format!("{reason:?}"))),
        DutyOutcome::NotCommitted => ("not_committed", None, None),
        DutyOutcome::NotRevealed => ("not_revealed", None, None),
        DutyOutcome::Refunded(reason) => ("refunded", None, Some(format!("{reason:?}"))),
        DutyOutcome::Dismissed => ("dismissed", None, None),
        DutyOutcome::NotPayable => ("not_payable", None, None),
    }
}
