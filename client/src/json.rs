//! Requests as JSON, in one form for all programs: `poq request --json`, the API of `poq-history`.
//!
//! Amounts are strings of units (they are larger than the numbers that JSON's readers keep), parts are numbers from 0 to 1, times are
//! blocks. `poq ask --help` describes each field.

use crate::types::{ModelId, Parts, Phase, RequestView, ResponseView, Work};
use poq_primitives::conversation;
use serde_json::{json, Value};
use subxt::utils::AccountId32;

/// Names that a program knows.
pub trait Names {
    /// A model's name.
    fn model(&self, id: &ModelId) -> Option<String>;

    /// An account's name, for people.
    fn account(&self, account: &AccountId32) -> Option<String>;
}

/// The part of a budget that operators did not earn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// To the chain.
    pub fee: u128,
    /// Back to the requester.
    pub refund: u128,
}

/// A request with all that the chain holds of it. `rest` is `None` while it is open, and where nobody knows any more.
pub fn request(request: &RequestView, rest: Option<Rest>, names: &dyn Names) -> Value {
    let best = request.best();
    let (messages, options) = conversation::decode_with(&text(&request.prompt));
    let responses: Vec<_> =
        (0..).zip(&request.responses).map(|(index, r)| response(request, index, r, names)).collect();
    json!({
        "request": request.id,
        "state": request.phase.name(),
        "refund_reason": match request.phase {
            Phase::Refunded { reason, .. } => Value::String(format!("{reason:?}")),
            _ => Value::Null,
        },
        "requester": request.requester.to_string(),
        "prompt": text(&request.prompt),
        "messages": messages,
        "answer": best.map(|(_, response)| text(&response.output)),
        "best": best.map(|(index, _)| index),
        "quality": request.quality().map(fraction),
        "generators": request.generators.iter().map(|id| model(id, names)).collect::<Vec<_>>(),
        "evaluator": model(&request.evaluator, names),
        "sampling": {
            "max_tokens": request.sampling.max_tokens,
            "temperature": f64::from(request.sampling.temperature_milli) / 1e3,
            "top_p": f64::from(options.top_p_milli.unwrap_or(1_000)) / 1e3,
            "stop": options.stop,
            "seed": request.sampling.seed,
        },
        "responders": request.responders,
        "committee_size": request.committee_size,
        "min_quality": fraction(request.min_quality),
        "responses": responses,
        "committee": committee(request, names),
        "budget": amount(request.budget.total()),
        "budget_parts": {
            "inference": amount(request.budget.inference),
            "scoring": amount(request.budget.scoring),
            "fee": amount(request.budget.fee),
        },
        "bonus": amount(request.bonus),
        "tries": request.tries,
        "paid": request.phase.closed_at().map(|_| amount(request.paid())),
        "fee": rest.map(|rest| amount(rest.fee)),
        "refund": rest.map(|rest| amount(rest.refund)),
        "audited": request.audited,
        "blocks": { "created": request.created, "since": request.since, "closed": request.phase.closed_at() },
    })
}

/// A request in a list.
pub fn summary(request: &RequestView) -> Value {
    json!({
        "request": request.id,
        "state": request.phase.name(),
        "requester": request.requester.to_string(),
        "prompt": text(&request.prompt),
        "quality": request.quality().map(fraction),
        "budget": amount(request.budget.total()),
        "created": request.created,
        "closed": request.phase.closed_at(),
    })
}

/// Parts as JSON has them.
pub fn fraction(parts: Parts) -> f64 {
    f64::from(parts) / 1e6
}

/// Units as JSON has them.
pub fn amount(units: u128) -> Value {
    units.to_string().into()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn model(id: &ModelId, names: &dyn Names) -> Value {
    json!({ "id": hex::encode(id), "name": names.model(id) })
}

fn response(request: &RequestView, index: usize, response: &ResponseView, names: &dyn Names) -> Value {
    let scores = request
        .scores_of(index)
        .into_iter()
        .map(|(member, score)| json!({ "operator": member.operator.to_string(), "score": fraction(score) }));
    json!({
        "operator": response.operator.to_string(),
        "operator_name": names.account(&response.operator),
        "model": hex::encode(response.model),
        "model_name": names.model(&response.model),
        "work": response.work.name(),
        "failure": match response.work {
            Work::Failed(reason) => Value::String(format!("{reason:?}")),
            _ => Value::Null,
        },
        "output": (response.work == Work::Revealed).then(|| text(&response.output)),
        "latency": response.work.latency(response.latency).map(fraction),
        "quality": response.quality.map(fraction),
        "scores": scores.collect::<Vec<_>>(),
        "paid": amount(response.paid),
    })
}

fn committee(request: &RequestView, names: &dyn Names) -> Vec<Value> {
    let rounds = (0u8..).zip(&request.committees);
    rounds
        .flat_map(|(round, members)| members.iter().map(move |member| (round, member)))
        .map(|(round, member)| {
            json!({
                "operator": member.operator.to_string(),
                "operator_name": names.account(&member.operator),
                "round": round,
                "weight": member.weight,
                "work": member.work.name(),
                "scores": member.scores.iter().map(|score| fraction(*score)).collect::<Vec<_>>(),
                "latency": member.work.latency(member.latency).map(fraction),
                "agreement": member.agreement.map(fraction),
                "paid": amount(member.paid),
            })
        })
        .collect()
}
