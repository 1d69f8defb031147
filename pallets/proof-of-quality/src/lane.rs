//! What a pallet that settles orders made off chain takes from this one: who can be drawn, what work is worth, standing, slashes.
//!
//! For `pallet-proof-of-quality-express` alone. It has no money and no storage in here; what it settles is priced, judged and learned from
//! by the very functions that settle requests.

use crate::{
    asking,
    audits::{self, AnswerKeyOf},
    consensus::worst_error,
    duties::{self, Commitment, Outcome, RequestId, Role, Work},
    models::{ModelId, ModelKind},
    money,
    operators::{self, is_drawable},
    parameters::ParametersOf,
    phases, reports,
    requests::{self, Member, Request, Response, Terms},
    rosters, settlement,
    standing::Experience,
    BalanceOf, Config, EconomicParameters, Error, Event, Models, Operators, Pallet, Rosters,
};
use alloc::vec::Vec;
use frame_support::{ensure, traits::Imbalance, BoundedVec};
use poq_primitives::commitment::Hash32;
use sp_runtime::{
    traits::{Bounded, Get, Saturating, Zero},
    DispatchError, DispatchResult, Permill,
};

/// What benchmarks of the lane set up in this pallet, as its own benchmarks do.
#[cfg(feature = "runtime-benchmarks")]
pub mod setup {
    pub use crate::benchmarking::{
        full_roster, fund, model_id, store_busy_operator, store_model, store_operator,
    };
}

/// Most steps in which a standing learns from all that an operator did in an epoch: a good name must take months to make, however many
/// orders there are in a second.
pub const MOST_STEPS: u32 = 16;

/// An operator that can be drawn for a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawable<AccountId> {
    /// The operator.
    pub operator: AccountId,
    /// Weight in draws, above 0.
    pub weight: u64,
    /// Weight of its scores in a consensus, as a quality validator.
    pub vote: u64,
}

/// Work that one party of an order did, and what it comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<AccountId, Balance> {
    /// The operator.
    pub operator: AccountId,
    /// Its role.
    pub role: Role,
    /// Its pay.
    pub paid: Balance,
    /// The consensus score of its answer, or its agreement, if there is one to learn from.
    pub worth: Option<Permill>,
    /// Whether it did its work.
    pub done: bool,
    /// Why it is paid that much.
    pub outcome: Outcome,
}

/// What an order comes to: `paid + fee + withheld + refund == budget`, with `paid` the sum of the parts' pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill<AccountId, Balance> {
    /// Responders, then members, both in the order of the draw.
    pub parts: Vec<Part<AccountId, Balance>>,
    /// Index of the best response among the responders.
    pub best: u32,
    /// Its consensus score.
    pub quality: Permill,
    /// All pay.
    pub paid: Balance,
    /// For `FeeHandler`.
    pub fee: Balance,
    /// For `SlashHandler`: what `min_quality` or leaning withholds, and what those who were absent could have earned, so that nobody
    /// saves by leaving somebody out.
    pub withheld: Balance,
    /// Back to the requester.
    pub refund: Balance,
}

/// What an operator did in one role in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<Balance> {
    /// The role.
    pub role: Role,
    /// Duties done.
    pub done: u32,
    /// Duties not done.
    pub missed: u32,
    /// Mean worth of those done, if any was measured.
    pub worth: Option<Permill>,
    /// All pay for them.
    pub earned: Balance,
}

/// Hash of the genesis block: binds what is signed to this chain.
pub fn genesis_hash<T: Config>() -> Hash32 {
    duties::genesis_hash::<T>()
}

/// The economic parameters in force.
pub fn parameters<T: Config>() -> ParametersOf<T> {
    EconomicParameters::<T>::get()
}

/// The kind of a model that takes new requests; `None` otherwise.
pub fn kind_of<T: Config>(model: &ModelId) -> Option<ModelKind> {
    Models::<T>::get(model).filter(|model| !model.retired).map(|model| model.kind)
}

/// Whether this account is an operator with a worker key.
pub fn is_operator<T: Config>(who: &T::AccountId) -> bool {
    Operators::<T>::get(who).is_some_and(|operator| operator.worker.is_some())
}

/// The operators that can be drawn for a model now, in the order of its roster.
pub fn drawable<T: Config>(model: &ModelId) -> Vec<Drawable<T::AccountId>> {
    let parameters = EconomicParameters::<T>::get();
    let present = Rosters::<T>::get(model).into_iter().filter(|candidate| candidate.away.is_none());
    present
        .filter_map(|candidate| {
            let record = Operators::<T>::get(&candidate.operator)?;
            let vote = operators::vote_of::<T>(&record, &parameters);
            is_drawable(&record, parameters.min_stake).then_some(Drawable {
                operator: candidate.operator,
                weight: candidate.weight,
                vote,
            })
        })
        .collect()
}

/// The request that an order comes to: checks its terms and divides its budget, under the parameters of its epoch.
pub fn request<T: Config>(
    requester: T::AccountId,
    terms: Terms<BalanceOf<T>, T::MaxModelsPerRequest>,
    parameters: ParametersOf<T>,
) -> Result<Request<T>, Error<T>> {
    asking::off_chain::<T>(requester, terms, parameters)
}

/// Goes on with an order on the chain path, where it has come to: its responders are drawn, and some of them have committed to outputs.
/// Whoever has not is drawn for this request as for any other, if it has room. Returns the request's number.
///
/// The requester must have the budget free. An operator that is gone, or has as many duties as it can have, is left out.
pub fn escalate<T: Config>(
    mut request: Request<T>,
    prompt: Vec<u8>,
    responders: Vec<(T::AccountId, Option<Commitment>)>,
) -> Result<RequestId, DispatchError> {
    let prompt = asking::check_prompt::<T>(prompt)?;
    // Others of the draw must not be asked for what they cannot do.
    asking::check_context::<T>(&prompt, &request.generators, request.sampling.max_tokens)?;
    let (requester, budget) = (request.requester.clone(), request.budget.total());
    money::hold_budget::<T>(&requester, budget)?;
    let model = *request.generators.first().ok_or(Error::<T>::InvalidModelList)?;
    let work = request.workload(Role::InferenceNode);
    let id = requests::add::<T>(prompt, request.clone())?;
    Pallet::<T>::deposit_event(Event::Requested { request: id, requester, budget });

    let mut responses: Vec<Response<T>> = Vec::new();
    for (operator, commitment) in responders {
        let Some(record) = Operators::<T>::get(&operator) else { continue };
        let is_in = match commitment {
            // It works on this already.
            Some(_) => record.duties.count() < T::MaxDuties::get(),
            None => {
                let serves = record.models.contains(&model);
                serves && is_drawable(&record, request.parameters.min_stake) && record.has_room_for(work)
            }
        };
        if is_in {
            operators::open_duty::<T>(&operator, record, id, Role::InferenceNode, work);
            let work = commitment.map_or(Work::Pending, Work::Committed);
            let (latency, paid) = (Permill::zero(), Zero::zero());
            responses.push(Response { operator, model, work, latency, quality: None, paid });
        }
    }
    ensure!(!responses.is_empty(), Error::<T>::NotEnoughInferenceNodes);
    let operators: Vec<_> = responses.iter().map(|response| response.operator.clone()).collect();
    let all_committed = responses.iter().all(|response| response.work != Work::Pending);
    let sole = responses.len() == 1;
    let responses = BoundedVec::try_from(responses).map_err(|_| Error::<T>::InvalidResponders)?;
    requests::put_responses::<T>(id, responses);
    let operators = BoundedVec::truncate_from(operators);
    Pallet::<T>::deposit_event(Event::InferenceNodesDrawn { request: id, operators });
    let now = frame_system::Pallet::<T>::block_number();
    if all_committed {
        phases::enter_revealing_answers::<T>(id, &mut request, now);
    } else {
        phases::enter_answering::<T>(id, &mut request, sole, now);
    }
    requests::put::<T>(id, request);
    Ok(id)
}

/// Shows the output of a responder that committed to it as to an order; `commitment` is what the output and its salt come to.
pub fn show<T: Config>(
    request: RequestId,
    operator: &T::AccountId,
    output: BoundedVec<u8, T::MaxOutputLength>,
    commitment: Commitment,
) -> DispatchResult {
    reports::show::<T>(request, operator, output, commitment)
}

/// What is owed for an order of which a quorum of the committee has revealed scores: for each responder whether it showed an output, for
/// each member its vote and its scores, one for each output shown. Counts what operators forgo by leaning and how far apart the committee
/// is; moves no money. `None` if there is no consensus, or too many of either.
pub fn bill<T: Config>(
    request: &Request<T>,
    responders: Vec<(T::AccountId, bool)>,
    members: Vec<(T::AccountId, u64, Option<Vec<Permill>>)>,
) -> Option<Bill<T::AccountId, BalanceOf<T>>> {
    let model = *request.generators.first()?;
    let response = |(operator, is_shown): (T::AccountId, bool)| Response {
        operator,
        model,
        work: if is_shown { Work::Revealed } else { Work::NotRevealed },
        latency: Permill::zero(),
        quality: None,
        paid: Zero::zero(),
    };
    let member = |(operator, weight, scores): (T::AccountId, u64, Option<Vec<Permill>>)| {
        let work = if scores.is_some() { Work::Revealed } else { Work::NotRevealed };
        Some(Member {
            operator,
            weight,
            work,
            scores: BoundedVec::try_from(scores.unwrap_or_default()).ok()?,
            latency: Permill::zero(),
            agreement: None,
            paid: Zero::zero(),
        })
    };
    let responses: Vec<_> = responders.into_iter().map(response).collect();
    let committee: Vec<_> = members.into_iter().map(member).collect::<Option<_>>()?;
    let mut responses = BoundedVec::try_from(responses).ok()?;
    let mut committee = BoundedVec::try_from(committee).ok()?;
    let appraisal = settlement::appraise::<T>(request, &mut responses, &mut committee, &|_, _| true)?;
    if let Some(spread) = appraisal.spread {
        crate::models::learn_spread::<T>(&request.evaluator, spread);
    }

    let mut parts = Vec::new();
    let mut paid = BalanceOf::<T>::zero();
    let mut withheld = appraisal.withheld;
    for (response, outcome) in responses.into_iter().zip(appraisal.answers) {
        let done = response.work == Work::Revealed;
        if !done {
            withheld = withheld.saturating_add(settlement::whole_pay::<T>(request, &response));
        }
        paid = paid.saturating_add(response.paid);
        let (operator, worth, paid) = (response.operator, response.quality, response.paid);
        parts.push(Part { operator, role: Role::InferenceNode, paid, worth, done, outcome });
    }
    for (member, outcome) in committee.into_iter().zip(appraisal.scores) {
        let done = member.work == Work::Revealed;
        if !done {
            withheld = withheld.saturating_add(request.member_share());
        }
        paid = paid.saturating_add(member.paid);
        let worth = member.agreement.filter(|_| appraisal.is_compared);
        let (operator, paid) = (member.operator, member.paid);
        parts.push(Part { operator, role: Role::QualityValidator, paid, worth, done, outcome });
    }
    let rest = settlement::rest::<T>(request, paid, request.budget.fee, withheld);
    let (best, quality) = (appraisal.best.0 as u32, appraisal.best.1);
    let (fee, withheld, refund) = (rest.fee, rest.withheld, rest.refund);
    Some(Bill { parts, best, quality, paid, fee, withheld, refund })
}

/// Has the standing of an operator learn what it did in an epoch, in at most [`MOST_STEPS`] steps of the mean, and brings its places in
/// rosters in line. An operator that is gone learns nothing.
pub fn learn<T: Config>(who: &T::AccountId, record: &Record<BalanceOf<T>>, parameters: &ParametersOf<T>) {
    let (done, missed) = steps(record.done, record.missed);
    let (good, bad) = match record.role {
        Role::InferenceNode => (Experience::Answered(record.worth), Experience::NotAnswered),
        Role::QualityValidator => (Experience::Scored(record.worth), Experience::NotScored),
    };
    let experiences =
        core::iter::repeat_n(bad, missed as usize).chain(core::iter::repeat_n(good, done as usize));
    operators::learn_all::<T>(who, experiences, record.done, record.missed, record.earned, parameters);
    refresh::<T>(who, record.role.kind());
}

/// Brings the places of an operator in the rosters of its models of this kind in line with its standing.
fn refresh<T: Config>(who: &T::AccountId, kind: ModelKind) {
    let Some(operator) = Operators::<T>::get(who) else { return };
    for model in operator.models {
        if Models::<T>::get(model).is_some_and(|model| model.kind == kind) {
            rosters::refresh::<T>(&model, &[operators::place_of::<T>(who, model, kind)]);
        }
    }
}

/// Whether an answer key can say what is right.
pub fn check_key<T: Config>(key: &AnswerKeyOf<T>) -> Result<(), Error<T>> {
    audits::check_key::<T>(key)
}

/// Holds an inference node to what its answer deserves.
pub fn audit_answer<T: Config>(who: &T::AccountId, truth: Permill) {
    operators::learn_quality::<T>(who, truth);
    refresh::<T>(who, ModelKind::Generator);
}

/// Holds a quality validator to the truth: its standing learns how far off its scores were, and a gross error costs stake, which goes to
/// `SlashHandler`. Returns the error and the sum; `None` if the operator is gone.
pub fn audit_scores<T: Config>(
    who: &T::AccountId,
    scores: &[Permill],
    truth: &[Permill],
    rules: &ParametersOf<T>,
) -> Option<(Permill, BalanceOf<T>)> {
    let error = worst_error(scores, truth);
    if !audits::learn_error::<T>(who, error, rules) {
        return None;
    }
    refresh::<T>(who, ModelKind::Evaluator);
    let mut amount = Zero::zero();
    if error >= rules.gross_error {
        let part = rules.audit_slash;
        let slashed = audits::within_allowance::<T>(|most| operators::take_part::<T>(who, part, most));
        amount = slashed.peek();
        money::pay_slash_handler::<T>(slashed);
    }
    Some((error, amount))
}

/// So many duties as steps: at most [`MOST_STEPS`], in the same proportion, none of either left out.
fn steps(done: u32, missed: u32) -> (u32, u32) {
    let all = u64::from(done).saturating_add(missed.into());
    if all <= MOST_STEPS.into() {
        return (done, missed);
    }
    let scaled = u64::from(missed).saturating_mul(MOST_STEPS.into()).div_ceil(all.max(1)) as u32;
    let missed = scaled.min(MOST_STEPS.saturating_sub((done > 0).into()));
    (MOST_STEPS.saturating_sub(missed), missed)
}

/// Takes a part of all of an operator's stake for a fault that it signed itself, and hands it to `SlashHandler`. Returns the sum.
pub fn slash<T: Config>(who: &T::AccountId, part: Permill) -> BalanceOf<T> {
    let taken = operators::take_part::<T>(who, part, Bounded::max_value());
    let amount = taken.peek();
    money::pay_slash_handler::<T>(taken);
    amount
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_keep_the_proportion_and_leave_nothing_out() {
        assert_eq!(steps(0, 0), (0, 0));
        assert_eq!(steps(16, 0), (16, 0));
        assert_eq!(steps(3, 13), (3, 13));
        assert_eq!(steps(1_000, 1), (15, 1));
        assert_eq!(steps(1, 1_000), (1, 15));
        assert_eq!(steps(0, 1_000), (0, 16));
        assert_eq!(steps(500, 500), (8, 8));
        assert_eq!(steps(u32::MAX, u32::MAX), (8, 8));
    }
}
