//! `poq why`, for an operator that earns nothing: the findings of the chain and of its own node, and the first step.

use crate::{
    amount::{percent, Amount},
    args::Why,
    diagnosis::{self, Draws, Facts, Finding},
    failure::{Failure, Outcome},
    names::Names,
    operators,
    own_node::OwnNode,
    render::{self, text},
    sync::{Limits, Verdict},
    table::{Column, Table},
};
use poq_client::{
    types::{chain::storage, ModelKind, OperatorView, Parameters, RequestView},
    At, Client,
};
use poq_primitives::problem::Severity;
use serde_json::{json, Value};
use subxt::utils::AccountId32;

/// Number of the newest requests that are looked at.
const LATELY: u64 = 20;

/// `poq why`.
pub async fn run(client: &Client, why: Why, as_json: bool) -> Result<Outcome, Failure> {
    let sync = Verdict::of(client, &Limits::default()).await?;
    let at = client.best().await?;
    let names = Names::load(client, &at).await?;
    let account = operator_of(&at, names.find_account(&why.operator)?).await?;
    let parameters = at.parameters().await?;
    let operator = at.operator(account).await?;
    let draws = match &operator {
        Some(operator) => draws(&at, operator, &names).await?,
        None => Vec::new(),
    };
    let node = match &why.node {
        Some(place) => {
            let node = OwnNode::connect(place, client.genesis()).await?;
            let worker = operator.as_ref().and_then(|operator| operator.worker);
            Some(node.condition(worker.as_ref()).await?)
        }
        None => None,
    };
    let facts = Facts {
        sync: &sync,
        account,
        operator: operator.as_ref(),
        parameters: &parameters,
        draws: &draws,
        node: node.as_ref(),
    };
    let findings = diagnosis::findings(&facts);
    if as_json {
        render::json(&to_json(&facts, &findings, &names))?;
    } else {
        show(&facts, &findings, &names)?;
    }
    Ok(Outcome::Done)
}

/// The operator that has named this worker key, or the account itself.
async fn operator_of(at: &At, account: AccountId32) -> Result<AccountId32, Failure> {
    let operator = at.entry(storage().proof_of_quality().workers(), (account,)).await?;
    Ok(operator.unwrap_or(account))
}

/// Standing of the operator in the draws of its models, and the number of latest draws.
async fn draws(at: &At, operator: &OperatorView, names: &Names) -> Result<Vec<Draws>, Failure> {
    let newest = at.value(storage().proof_of_quality().next_request()).await?;
    let mut lately = Vec::new();
    for id in newest.saturating_sub(LATELY)..newest {
        lately.extend(at.request(id).await?);
    }
    let models = names.models.iter().filter(|model| operator.models.contains(&model.id));
    Ok(models
        .map(|model| {
            let asks = |request: &&RequestView| match model.kind {
                ModelKind::Generator => request.generators.contains(&model.id),
                ModelKind::Evaluator => request.evaluator == model.id,
            };
            let has_part = |request: &&RequestView| has_part(request, model.kind, &operator.operator);
            let own = model.roster.iter().find(|candidate| candidate.operator == operator.operator);
            Draws {
                model: render::printable(&text(&model.name)),
                id: model.id,
                kind: model.kind,
                retired: model.retired,
                weight: own.map(|candidate| candidate.weight),
                all_weight: model.roster.iter().map(|candidate| u128::from(candidate.weight)).sum(),
                operators: model.roster.len(),
                looked_at: lately.len(),
                asked: lately.iter().filter(asks).count(),
                drawn: lately.iter().filter(|request| asks(request) && has_part(request)).count(),
                audited: lately.iter().filter(|request| request.audited && has_part(request)).count(),
            }
        })
        .collect())
}

fn has_part(request: &RequestView, kind: ModelKind, operator: &AccountId32) -> bool {
    match kind {
        ModelKind::Generator => request.responses.iter().any(|response| response.operator == *operator),
        ModelKind::Evaluator => {
            request.committees.iter().flatten().any(|member| member.operator == *operator)
        }
    }
}

fn show(facts: &Facts<'_>, findings: &[Finding], names: &Names) -> Result<(), Failure> {
    let mut lines = vec![("Operator", names.account(&facts.account)), ("Address", facts.account.to_string())];
    lines.extend(facts.operator.into_iter().flat_map(|operator| summary(operator, facts.parameters)));
    if let Some(node) = facts.node {
        let sync = diagnosis::own_sync(node);
        lines.push(("Its node", format!("{} peers, {}", node.health.peers, sync.in_words())));
    }
    render::facts(&lines)?;
    if !facts.draws.is_empty() {
        let mut table = Table::new(&[
            Column::text("Model"),
            Column::text("Does"),
            Column::number("Part of draws"),
            Column::number("Operators").optional(),
            Column::number("Asked lately"),
            Column::number("Drawn").optional(),
            Column::number("Audits").optional(),
        ]);
        for draws in facts.draws {
            table.row(row(draws));
        }
        table.print()?;
        let looked_at = facts.draws.first().map_or(0, |draws| draws.looked_at);
        render::prose(&format!(
            "Part of draws: its weight among all operators of the model. Lately: of the newest {looked_at} requests."
        ))?;
    }
    if let Some(operator) = facts.operator.filter(|operator| !operator.recent.is_empty()) {
        operators::recent_table(operator).print()?;
    }
    for finding in findings {
        let mark = match finding.severity {
            Severity::Stops => "It earns nothing:",
            Severity::Costs => "It earns less:",
            Severity::Note => "Note:",
        };
        render::prose(&format!("{} {}", render::bold(mark), render::printable(&finding.text)))?;
    }
    let first = findings.iter().find_map(|finding| finding.first_step.as_deref());
    render::prose(&format!(
        "{} {}",
        render::bold("First thing to do:"),
        first.unwrap_or("nothing; all that the chain shows is in order.")
    ))
}

fn summary(operator: &OperatorView, parameters: &Parameters) -> Vec<(&'static str, String)> {
    let worker = operator.worker.map_or_else(|| "none".to_owned(), |worker| worker.to_string());
    vec![
        ("Worker key", worker),
        ("Stake", format!("{} (minimum {} a model)", Amount(operator.stake), Amount(parameters.min_stake))),
        ("Drawn", operators::drawable(operator).to_owned()),
        ("Earned", format!("{}, slashed {}", Amount(operator.earned), Amount(operator.slashed))),
        (
            "Duties",
            format!(
                "{} done, {} missed, {} open",
                operator.completed,
                operator.missed,
                operator.duties.len()
            ),
        ),
        ("Load", operators::whole_load(&operator.load, &operator.capacity)),
        (
            "Standing",
            format!(
                "trust {}, promise {}",
                percent(operator.trust),
                percent(operator.standing.promise(&parameters.floor))
            ),
        ),
    ]
}

fn row(draws: &Draws) -> [String; 7] {
    let does = match draws.kind {
        ModelKind::Generator => "answers",
        ModelKind::Evaluator => "scores",
    };
    [
        draws.model.clone(),
        does.to_owned(),
        draws.share().map_or_else(|| "none".to_owned(), percent),
        draws.operators.to_string(),
        draws.asked.to_string(),
        draws.drawn.to_string(),
        draws.audited.to_string(),
    ]
}

fn to_json(facts: &Facts<'_>, findings: &[Finding], names: &Names) -> Value {
    let draws = |draws: &Draws| {
        json!({
            "model": draws.model,
            "id": hex::encode(draws.id),
            "retired": draws.retired,
            "share": draws.share().map(|share| f64::from(share) / 1e6),
            "operators": draws.operators,
            "requests_looked_at": draws.looked_at,
            "requests_for_it": draws.asked,
            "requests_with_it": draws.drawn,
            "audits_with_it": draws.audited,
        })
    };
    let finding = |finding: &Finding| {
        json!({
            "kind": finding.kind,
            "severity": finding.severity,
            "text": finding.text,
            "first_step": finding.first_step,
        })
    };
    let floor = &facts.parameters.floor;
    json!({
        "account": facts.account.to_string(),
        "operator": facts.operator.map(|operator| operators::to_json(operator, floor, names)),
        "draws": facts.draws.iter().map(draws).collect::<Vec<_>>(),
        "node": facts.node.map(|node| json!({
            "peers": node.health.peers,
            "syncing": node.health.is_syncing,
            "up_to_date": diagnosis::own_sync(node).is_up_to_date(),
            "best_block": node.pulse.best,
            "block_age_seconds": diagnosis::own_sync(node).age,
            "has_worker_key": node.has_key,
            "problems": node.problems,
        })),
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
        "earns": facts.sync.is_up_to_date().then(|| !findings.iter().any(|finding| finding.severity == Severity::Stops)),
        "first": findings.iter().find_map(|finding| finding.first_step.as_deref()),
    })
}
