//! Requests that are made up, for benches and tests: a chain would take hours to settle as many.

use crate::{
    block::Seen,
    store::{Named, Names},
};
use poq_client::{
    json::Rest,
    types::{
        Budget, MemberView, ModelId, Parts, Phase, RefundReason, RequestView, ResponseView, Sampling, Work,
    },
};
use rand::{rngs::StdRng, Rng as _};
use subxt::utils::AccountId32;

/// Answers of a settled request.
pub const ANSWERS: u8 = 3;

/// Members of its committee.
pub const SCORES: u8 = 7;

/// Number of operators.
pub const OPERATORS: u64 = 200;

/// Number of requesters.
pub const REQUESTERS: u64 = 1_000;

/// Number of generators.
pub const GENERATORS: u8 = 20;

/// One of so many requests is refunded, because no inference node could be drawn.
pub const REFUNDED: u64 = 21;

const EVALUATOR: ModelId = [250; 32];

/// Budget of each request: three answers at most, the committee, and the fee.
const BUDGET: Budget = Budget { inference: 300_000_000_000, scoring: 40_000_000_000, fee: 1_000_000_000 };

/// Pay of an answer, in units.
const ANSWER: u128 = 95_000_000_000;

/// Pay of a member, in units.
const MEMBER: u128 = 5_000_000_000;

/// Account of operator `n`, which is less than [`OPERATORS`].
pub fn operator(n: u64) -> AccountId32 {
    account(n)
}

/// Account of requester `n`, which is less than [`REQUESTERS`]. Request `n` is its, and every thousandth one after that.
pub fn requester(n: u64) -> AccountId32 {
    account(OPERATORS.saturating_add(n))
}

/// Id of generator `n`, which is less than [`GENERATORS`].
pub fn generator(n: u8) -> ModelId {
    [n; 32]
}

fn account(n: u64) -> AccountId32 {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(n.to_le_bytes()).for_each(|(byte, of_number)| *byte = of_number);
    AccountId32(bytes)
}

/// The registry of the made-up models.
pub fn names() -> Names {
    let named = |id: ModelId, name: String, kind: &str| (hex::encode(id), Named { name, kind: kind.into() });
    (0..GENERATORS)
        .map(|n| named(generator(n), format!("generator {n}"), "generator"))
        .chain([named(EVALUATOR, "evaluator".into(), "evaluator")])
        .collect()
}

/// Request `id` as the block `at` leaves it, in which it ended.
pub fn ended(id: u64, at: u32, dice: &mut StdRng) -> Seen {
    let is_settled = id % REFUNDED != REFUNDED - 1;
    let first = dice.random_range(0..OPERATORS);
    let worker = |place: u8| operator((first + u64::from(place)) % OPERATORS);
    let answers = if is_settled { ANSWERS } else { 0 };
    let responses: Vec<_> = (0..answers).map(|place| response(id, place, worker(place), dice)).collect();
    let scores: Vec<Parts> = responses.iter().filter_map(|response| response.quality).collect();
    let best = (0..).zip(&scores).max_by_key(|(_, score)| **score).map_or(0, |(place, _)| place);
    let members = (0..if is_settled { SCORES } else { 0 }).map(|place| MemberView {
        operator: worker(ANSWERS + place),
        weight: 1_000_000,
        work: Work::Revealed,
        scores: scores.clone(),
        latency: 100_000,
        agreement: Some(990_000),
        paid: MEMBER,
    });
    let members: Vec<_> = members.collect();
    let paid = responses.len() as u128 * ANSWER + members.len() as u128 * MEMBER;
    let view = RequestView {
        id,
        requester: requester(id % REQUESTERS),
        prompt: format!("Question {id}: what is it that people ask?").into_bytes(),
        generators: (0..ANSWERS)
            .map(|place| generator((id as u8).wrapping_add(place) % GENERATORS))
            .collect(),
        evaluator: EVALUATOR,
        sampling: Sampling { max_tokens: 256, temperature_milli: 0, seed: 0 },
        responders: ANSWERS.into(),
        committee_size: SCORES.into(),
        min_quality: 0,
        budget: BUDGET,
        bonus: 0,
        tries: 0,
        created: at.saturating_sub(3),
        phase: if is_settled {
            Phase::Settled { at, best }
        } else {
            Phase::Refunded { at, reason: RefundReason::NoInferenceNode }
        },
        since: at,
        round: 0,
        audited: false,
        committees: vec![members],
        responses,
    };
    let refund = BUDGET.total() - BUDGET.fee - paid;
    Seen { view, end: Some(Rest { fee: BUDGET.fee, refund }) }
}

fn response(id: u64, place: u8, operator: AccountId32, dice: &mut StdRng) -> ResponseView {
    ResponseView {
        operator,
        model: generator(dice.random_range(0..GENERATORS)),
        work: Work::Revealed,
        output: format!("An answer of some sentences to question {id}, by place {place}. ")
            .repeat(5)
            .into_bytes(),
        latency: 100_000,
        quality: Some(dice.random_range(0..1_000_000)),
        paid: ANSWER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    #[test]
    fn the_budget_of_each_request_is_used_up() {
        let mut dice = StdRng::seed_from_u64(1);
        for id in 0..2 * REFUNDED {
            let Seen { view, end } = ended(id, 9, &mut dice);
            let Rest { fee, refund } = end.unwrap();
            assert_eq!(view.paid() + fee + refund, view.budget.total());
            let is_refunded = matches!(view.phase, Phase::Refunded { .. });
            assert_eq!(is_refunded, id % REFUNDED == REFUNDED - 1);
            let most = view.responses.iter().filter_map(|response| response.quality).max();
            assert_eq!(view.quality(), most);
        }
    }
}
