//! Showing a request: answers, scores, pay.

use crate::{
    amount::{part, percent, Amount},
    chain::{self, At, Chain},
    failure::{Failure, Outcome},
    names::Names,
    render,
    types::{text, MemberView, Parts, Phase, RequestView, ResponseView, Work},
};
use serde_json::{json, Value};

/// `poq request N`.
pub async fn run(chain: &Chain, id: u64, as_json: bool) -> Result<Outcome, Failure> {
    let at = chain.best().await?;
    let request =
        fetch(&at, id).await?.ok_or_else(|| chain::refuse_as(&at, "UnknownRequest", &format!("{id}.")))?;
    let names = Names::load(chain, &at).await?;
    if as_json {
        render::json(&to_json(&request, &names, None))?;
    } else {
        show(&request, &names, None)?;
    }
    Ok(Outcome::Done)
}

/// Request `id` as it stands in block `at`.
pub async fn fetch(at: &At, id: u64) -> Result<Option<RequestView>, Failure> {
    chain::view(at, "request_info", (id,)).await
}

/// Where the budget of a request went.
struct Bill {
    paid: u128,
    fee: u128,
    refund: u128,
}

/// `paid + fee + refund` is the budget; `None` while the request is open.
///
/// Members of a dismissed committee, and everybody in a refunded request, are paid out of slashed stake, not of the budget.
fn bill(request: &RequestView) -> Option<Bill> {
    let total = request.budget.total();
    match request.phase {
        Phase::Settled { .. } => {
            let answers = request.responses.iter().map(|response| response.paid);
            let scores = request.committees.last().into_iter().flatten().map(|member| member.paid);
            let paid = answers.chain(scores).fold(0, u128::saturating_add);
            let fee = request.budget.fee;
            Some(Bill { paid, fee, refund: total.saturating_sub(paid).saturating_sub(fee) })
        }
        Phase::Refunded { .. } => Some(Bill { paid: 0, fee: 0, refund: total }),
        _ => None,
    }
}

/// The best response of a settled request.
fn best(request: &RequestView) -> Option<(u32, &ResponseView)> {
    let Phase::Settled { best, .. } = request.phase else { return None };
    request.responses.get(best as usize).map(|response| (best, response))
}

/// The scores that the last committee gave to response `index`, by member.
///
/// A member's scores are in the order of the responses that were shown.
fn scores_of(request: &RequestView, index: usize) -> Vec<(&MemberView, Parts)> {
    let shown = |response: &ResponseView| response.work == Work::Shown;
    if !request.responses.get(index).is_some_and(shown) {
        return Vec::new();
    }
    let place = request.responses.iter().take(index).filter(|response| shown(response)).count();
    let members = request.committees.last().into_iter().flatten();
    members.filter_map(|member| Some((member, *member.scores.get(place)?))).collect()
}

/// The request as one JSON object; the shape is documented in `poq ask --help`.
pub fn to_json(request: &RequestView, names: &Names, transaction_fee: Option<u128>) -> Value {
    let bill = bill(request);
    let best = best(request);
    let amount = |amount: u128| Value::String(amount.to_string());
    let responses: Vec<_> =
        (0..).zip(&request.responses).map(|(index, r)| response_json(request, index, r, names)).collect();
    json!({
        "request": request.id,
        "state": request.phase.name(),
        "refund_reason": match request.phase {
            Phase::Refunded { reason, .. } => Value::String(format!("{reason:?}")),
            _ => Value::Null,
        },
        "requester": request.requester.to_string(),
        "prompt": text(&request.prompt),
        "answer": best.map(|(_, response)| text(&response.output)),
        "best": best.map(|(index, _)| index),
        "quality": best.and_then(|(_, response)| response.quality).map(fraction),
        "generators": request.generators.iter().map(|id| model_json(id, names)).collect::<Vec<_>>(),
        "evaluator": model_json(&request.evaluator, names),
        "sampling": {
            "max_tokens": request.sampling.max_tokens,
            "temperature": f64::from(request.sampling.temperature_milli) / 1e3,
            "seed": request.sampling.seed,
        },
        "responders": request.responders,
        "committee_size": request.committee_size,
        "min_quality": fraction(request.min_quality),
        "responses": responses,
        "committee": committee_json(request, names),
        "budget": amount(request.budget.total()),
        "budget_parts": {
            "inference": amount(request.budget.inference),
            "scoring": amount(request.budget.scoring),
            "fee": amount(request.budget.fee),
        },
        "paid": bill.as_ref().map(|bill| amount(bill.paid)),
        "fee": bill.as_ref().map(|bill| amount(bill.fee)),
        "refund": bill.as_ref().map(|bill| amount(bill.refund)),
        "transaction_fee": transaction_fee.map(amount),
        "audited": request.audited,
        "blocks": { "created": request.created, "since": request.since, "closed": request.phase.closed_at() },
    })
}

fn response_json(request: &RequestView, index: usize, response: &ResponseView, names: &Names) -> Value {
    let scores = scores_of(request, index);
    json!({
        "operator": response.operator.to_string(),
        "operator_name": names.account_name(&response.operator),
        "model": hex::encode(response.model),
        "model_name": names.model_name(&response.model),
        "work": response.work.name(),
        "output": (response.work == Work::Shown).then(|| text(&response.output)),
        "latency": latency(&response.work, response.latency).map(fraction),
        "quality": response.quality.map(fraction),
        "scores": scores
            .iter()
            .map(|(member, score)| json!({ "operator": member.operator.to_string(), "score": fraction(*score) }))
            .collect::<Vec<_>>(),
        "paid": response.paid.to_string(),
    })
}

fn committee_json(request: &RequestView, names: &Names) -> Vec<Value> {
    let rounds = (0u8..).zip(&request.committees);
    rounds
        .flat_map(|(round, members)| members.iter().map(move |member| (round, member)))
        .map(|(round, member)| {
            json!({
                "operator": member.operator.to_string(),
                "operator_name": names.account_name(&member.operator),
                "round": round,
                "weight": member.weight,
                "work": member.work.name(),
                "scores": member.scores.iter().map(|score| fraction(*score)).collect::<Vec<_>>(),
                "latency": latency(&member.work, member.latency).map(fraction),
                "agreement": member.agreement.map(fraction),
                "paid": member.paid.to_string(),
            })
        })
        .collect()
}

fn model_json(id: &[u8; 32], names: &Names) -> Value {
    json!({ "id": hex::encode(id), "name": names.model_name(id) })
}

/// Latency, where there is any: the chain counts none until work is fixed.
fn latency(work: &Work, latency: Parts) -> Option<Parts> {
    (work.is_committed() || *work == Work::NotRevealed).then_some(latency)
}

fn fraction(parts: Parts) -> f64 {
    f64::from(parts) / 1e6
}

/// The request for people: the answer first, then who did what and was paid what.
pub fn show(request: &RequestView, names: &Names, transaction_fee: Option<u128>) -> Result<(), Failure> {
    if let Some((_, response)) = best(request) {
        render::line(render::bold(&render::printable(&text(&response.output))))?;
        render::line("")?;
    }
    render::line(headline(request))?;
    if request.audited {
        render::line("It turned out to be a known-answer audit.")?;
    }
    if !request.responses.is_empty() {
        render::line(responses_table(request, names))?;
    }
    for (round, members) in request.committees.iter().enumerate().filter(|(_, members)| !members.is_empty()) {
        if round > 0 {
            render::line("The first committee had no quorum; the second:")?;
        }
        render::line(committee_table(members, names))?;
    }
    money(request, transaction_fee).iter().try_for_each(render::line)
}

fn headline(request: &RequestView) -> String {
    let id = request.id;
    let prompt = render::excerpt(&text(&request.prompt), 60);
    let blocks = |at: u64| match at.saturating_sub(request.created) {
        1 => "1 block".to_owned(),
        many => format!("{many} blocks"),
    };
    match request.phase {
        Phase::Settled { at, .. } => format!("Request {id} (\"{prompt}\") was settled after {}.", blocks(at)),
        Phase::Refunded { at, reason } => {
            format!("Request {id} (\"{prompt}\") was refunded after {}: {}.", blocks(at), reason.meaning())
        }
        open => {
            format!("Request {id} (\"{prompt}\") is open: {}, since block {}.", open.name(), request.since)
        }
    }
}

fn responses_table(request: &RequestView, names: &Names) -> String {
    let mut table =
        render::table(&["Answer", "By", "Model", ">Quality", ">Scores", ">Latency", "Work", ">Paid"]);
    for (index, response) in request.responses.iter().enumerate() {
        let mark = if best(request).is_some_and(|(best, _)| best as usize == index) { "* " } else { "" };
        let scores: Vec<_> = scores_of(request, index).iter().map(|(_, score)| part(*score)).collect();
        table.add_row([
            format!("{mark}{}", render::excerpt(&text(&response.output), 40)),
            names.account(&response.operator),
            render::printable(&names.model(&response.model)),
            response.quality.map(part).unwrap_or_default(),
            scores.join(" "),
            latency(&response.work, response.latency).map(percent).unwrap_or_default(),
            response.work.meaning(),
            Amount(response.paid).to_string(),
        ]);
    }
    table.to_string()
}

fn committee_table(members: &[MemberView], names: &Names) -> String {
    let mut table =
        render::table(&["Quality validator", ">Scores", ">Agreement", ">Latency", "Work", ">Paid"]);
    for member in members {
        let scores: Vec<_> = member.scores.iter().map(|score| part(*score)).collect();
        table.add_row([
            names.account(&member.operator),
            scores.join(" "),
            member.agreement.map(part).unwrap_or_default(),
            latency(&member.work, member.latency).map(percent).unwrap_or_default(),
            member.work.meaning(),
            Amount(member.paid).to_string(),
        ]);
    }
    table.to_string()
}

fn money(request: &RequestView, transaction_fee: Option<u128>) -> Vec<String> {
    let total = Amount(request.budget.total());
    let mut lines = vec![match bill(request) {
        Some(Bill { paid, fee, refund }) => format!(
            "Of the budget of {total}, {} went to the operators, {} to the chain, and {} back.",
            Amount(paid),
            Amount(fee),
            Amount(refund)
        ),
        None => format!("A budget of {total} is on hold."),
    }];
    lines.extend(transaction_fee.map(|fee| format!("The transaction itself cost {}.", Amount(fee))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Budget, RefundReason, Sampling};
    use subxt::utils::AccountId32;

    fn response(work: Work, paid: u128) -> ResponseView {
        ResponseView {
            operator: AccountId32([1; 32]),
            model: [2; 32],
            work,
            output: b"Lima.".to_vec(),
            latency: 100_000,
            quality: Some(900_000),
            paid,
        }
    }

    fn member(scores: &[Parts], paid: u128) -> MemberView {
        MemberView {
            operator: AccountId32([3; 32]),
            weight: 1,
            work: Work::Shown,
            scores: scores.to_vec(),
            latency: 100_000,
            agreement: Some(1_000_000),
            paid,
        }
    }

    fn request(phase: Phase) -> RequestView {
        RequestView {
            id: 7,
            requester: AccountId32([4; 32]),
            prompt: b"?".to_vec(),
            generators: vec![[2; 32]],
            evaluator: [5; 32],
            sampling: Sampling { max_tokens: 1, temperature_milli: 0, seed: 0 },
            responders: 2,
            committee_size: 1,
            min_quality: 0,
            budget: Budget { inference: 100, scoring: 50, fee: 3 },
            created: 1,
            phase,
            since: 9,
            audited: false,
            responses: vec![response(Work::NotRevealed, 0), response(Work::Shown, 40)],
            committees: vec![vec![member(&[], 11)], vec![member(&[900_000], 20)]],
        }
    }

    #[test]
    fn a_bill_adds_up_and_leaves_out_what_slashes_paid() {
        let settled = bill(&request(Phase::Settled { at: 9, best: 1 })).unwrap();
        assert_eq!((settled.paid, settled.fee, settled.refund), (60, 3, 90));
        let refunded = bill(&request(Phase::Refunded { at: 9, reason: RefundReason::NoQuorum })).unwrap();
        assert_eq!((refunded.paid, refunded.fee, refunded.refund), (0, 0, 153));
        assert!(bill(&request(Phase::Selecting)).is_none());
    }

    #[test]
    fn scores_belong_to_the_responses_that_were_shown() {
        let request = request(Phase::Settled { at: 9, best: 1 });
        assert!(scores_of(&request, 0).is_empty());
        let scores: Vec<_> = scores_of(&request, 1).into_iter().map(|(_, score)| score).collect();
        assert_eq!(scores, [900_000]);
    }
}
