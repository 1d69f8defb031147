//! What a receipt proves, as JSON: for `poq verify --json` and for the packages in other languages.

use crate::{
    stored::{Member, Parts, Phase},
    Answer, Verified,
};
use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use serde_json::{json, Value};

/// What a receipt proves, as JSON. Amounts are texts of units, parts numbers from 0 to 1, hashes and digests `0x` and hex digits.
pub fn report(proven: &Verified) -> Value {
    let (state, best, reason) = match proven.request.phase {
        Phase::Settled { best, .. } => ("settled", Some(best), None),
        Phase::Refunded { reason, .. } => ("refunded", None, Some(format!("{reason:?}"))),
        // Such a receipt is refused.
        _ => ("open", None, None),
    };
    let answer = |Answer { response, output }: &Answer| {
        json!({
            "operator": response.operator.to_string(),
            "model": hash(response.model),
            "quality": response.quality.map(fraction),
            "paid": response.paid.to_string(),
            "digest": output.map(hash),
        })
    };
    let member = |member: &Member| {
        json!({
            "operator": member.operator.to_string(),
            "scores": member.scores.iter().copied().map(fraction).collect::<Vec<_>>(),
            "agreement": member.agreement.map(fraction),
            "paid": member.paid.to_string(),
        })
    };
    let committees = proven.committees.iter().map(|members| members.iter().map(member).collect::<Vec<_>>());
    json!({
        "request": proven.id,
        "state": state,
        "refund_reason": reason,
        "requester": proven.request.requester.to_string(),
        "block": proven.block,
        "block_hash": hash(proven.hash),
        "time": proven.time,
        "budget": proven.request.budget.total().to_string(),
        "prompt_digest": hash(proven.prompt),
        "best": best,
        "answers": proven.answers.iter().map(answer).collect::<Vec<_>>(),
        "committees": committees.collect::<Vec<_>>(),
    })
}

fn hash(bytes: [u8; 32]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn fraction(parts: Parts) -> f64 {
    f64::from(parts) / 1e6
}
