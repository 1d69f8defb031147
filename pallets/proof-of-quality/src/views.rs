//! Results of the view functions.

use crate::{
    congestion,
    duties::{ClosedDuty, RequestId, Role, Work, Workload},
    models::{ModelId, ModelKind, Price, Reward, Windows},
    operators::{self, is_drawable, Unbonding},
    requests::{self, Audit, Budget, Phase, Sampling},
    rosters,
    standing::Standing,
    BalanceOf, Committees, Config, EconomicParameters, Models, Noises, Operators, Outputs, Prompts, Requests,
    Responses, Rosters, Spreads,
};
use alloc::vec::Vec;
use codec::{Decode, Encode};
use frame_support::{CloneNoBound, DebugNoBound, PartialEqNoBound};
use frame_system::pallet_prelude::BlockNumberFor;
use scale_info::TypeInfo;
use sp_runtime::Permill;

/// Most operators or models on a page of a view.
pub const MOST_ON_A_PAGE: u32 = 64;

/// A request with all that belongs to it.
#[derive(CloneNoBound, DebugNoBound, PartialEqNoBound, Encode, Decode, TypeInfo)]
#[scale_info(skip_type_params(T))]
pub struct RequestView<T: Config> {
    /// Its id.
    pub id: RequestId,
    /// The account that asked and pays.
    pub requester: T::AccountId,
    /// The question, UTF-8.
    pub prompt: Vec<u8>,
    /// Any of these generators may answer.
    pub generators: Vec<ModelId>,
    /// The evaluator that scores the answers.
    pub evaluator: ModelId,
    /// Settings of an answer's generation.
    pub sampling: Sampling,
    /// Inference nodes wanted.
    pub responders: u32,
    /// Quality validators wanted.
    pub committee_size: u32,
    /// A response with a lower consensus score earns the base part of its price only, see [`Terms`].
    pub min_quality: Permill,
    /// Parts of the budget.
    pub budget: Budget<BalanceOf<T>>,
    /// Most that each response can earn above the price of its model.
    pub bonus: BalanceOf<T>,
    /// Draws that were put off because operators had no room, each for `waiting_fee`.
    pub tries: u32,
    /// Block of the request.
    pub created: BlockNumberFor<T>,
    /// The phase.
    pub phase: Phase<BlockNumberFor<T>>,
    /// Block in which it entered that phase.
    pub since: BlockNumberFor<T>,
    /// Which committee is at work: 0, or 1 after a redraw.
    pub round: u8,
    /// Whether it turned out to be a known-answer audit.
    pub audited: bool,
    /// The responses, in the order of the draw.
    pub responses: Vec<ResponseView<T>>,
    /// The committees, one for each round, in the order of the draw.
    pub committees: Vec<Vec<MemberView<T>>>,
}

/// A response with its output.
#[derive(CloneNoBound, DebugNoBound, PartialEqNoBound, Encode, Decode, TypeInfo)]
#[scale_info(skip_type_params(T))]
pub struct ResponseView<T: Config> {
    /// The inference node.
    pub operator: T::AccountId,
    /// With which generator, by its own word.
    pub model: ModelId,
    /// State of the work.
    pub work: Work,
    /// The answer, UTF-8; empty until revealed.
    pub output: Vec<u8>,
    /// Part of the time there was that went by before the work was fixed.
    pub latency: Permill,
    /// Consensus score, once settled.
    pub quality: Option<Permill>,
    /// Sum paid to the operator from the budget.
    pub paid: BalanceOf<T>,
}

/// A member of a committee with its scores.
#[derive(CloneNoBound, DebugNoBound, PartialEqNoBound, Encode, Decode, TypeInfo)]
#[scale_info(skip_type_params(T))]
pub struct MemberView<T: Config> {
    /// The quality validator.
    pub operator: T::AccountId,
    /// Weight in the consensus: trust in millionths, as at the draw.
    pub weight: u64,
    /// State of the work.
    pub work: Work,
    /// One score for each revealed response, in their order; empty until revealed.
    pub scores: Vec<Permill>,
    /// Part of the time there was that went by before the scores were fixed.
    pub latency: Permill,
    /// Closeness to the consensus of the others, once settled.
    pub agreement: Option<Permill>,
    /// Sum paid to the operator from the budget.
    pub paid: BalanceOf<T>,
}

/// An operator with its duties and its earnings.
#[derive(CloneNoBound, DebugNoBound, PartialEqNoBound, Encode, Decode, TypeInfo)]
#[scale_info(skip_type_params(T))]
pub struct OperatorView<T: Config> {
    /// Its account.
    pub operator: T::AccountId,
    /// Stake at work.
    pub stake: BalanceOf<T>,
    /// Stake on its way out.
    pub unbonding: Option<Unbonding<BalanceOf<T>, BlockNumberFor<T>>>,
    /// The hot key that signs work.
    pub worker: Option<T::AccountId>,
    /// The models it serves.
    pub models: Vec<ModelId>,
    /// Whether it keeps itself out of draws.
    pub chilled: bool,
    /// Whether it can be drawn now: registered, not chilled, stake of at least the minimum.
    pub drawable: bool,
    /// Most open work that it takes at a time.
    pub capacity: Workload,
    /// The work of its open duties.
    pub load: Workload,
    /// Its open duties.
    pub duties: Vec<DutyView>,
    /// Duties done and over.
    pub completed: u32,
    /// Duties over and not done.
    pub missed: u32,
    /// All it was ever paid.
    pub earned: BalanceOf<T>,
    /// What leaning on its name has taken from its pay for answers and has not given back.
    pub forgone: BalanceOf<T>,
    /// All it was ever slashed.
    pub slashed: BalanceOf<T>,
    /// Standing: how well it worked.
    pub standing: Standing,
    /// Trust in it as a quality validator: its weight in the consensus and, times its stake, in draws.
    pub trust: Permill,
    /// The latest duties that are over, oldest first, each with what was paid and why.
    pub recent: Vec<ClosedDuty<BalanceOf<T>>>,
}

/// An open duty of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct DutyView {
    /// Of which request.
    pub request: RequestId,
    /// Which part.
    pub role: Role,
    /// State of the work.
    pub work: Work,
}

/// A model with those who serve it.
#[derive(CloneNoBound, DebugNoBound, PartialEqNoBound, Encode, Decode, TypeInfo)]
#[scale_info(skip_type_params(T))]
pub struct ModelView<T: Config> {
    /// SHA-256 of its file.
    pub id: ModelId,
    /// Generator or evaluator.
    pub kind: ModelKind,
    /// A name for people, UTF-8.
    pub name: Vec<u8>,
    /// Price of its work.
    pub price: Price<BalanceOf<T>>,
    /// By what part of its price the estimate is higher now, because there is more work than room ([`Surcharge`]).
    pub surcharge: Permill,
    /// Windows in which its operators must commit and reveal.
    pub windows: Windows<BlockNumberFor<T>>,
    /// Factors of quality and latency in its operators' pay.
    pub reward: Reward,
    /// Of a generator: tokens that prompt and answer may take together.
    pub context: u32,
    /// Of an evaluator: how far apart those who score with it usually are, once that is known.
    pub spread: Option<Permill>,
    /// Of an evaluator: standard deviation of its single scores, as far as pay allows for it; 0 if nothing was said.
    pub noise: Permill,
    /// Whether it takes no new work.
    pub retired: bool,
    /// Operators that can be drawn for it.
    pub roster: Vec<CandidateView<T>>,
}

/// An operator that can be drawn for a model.
#[derive(CloneNoBound, DebugNoBound, PartialEqNoBound, Encode, Decode, TypeInfo)]
#[scale_info(skip_type_params(T))]
pub struct CandidateView<T: Config> {
    /// Its account.
    pub operator: T::AccountId,
    /// Its weight in draws.
    pub weight: u64,
}

/// Entries on a page of `count`.
fn page(count: u32) -> usize {
    count.min(MOST_ON_A_PAGE) as usize
}

pub(crate) fn request<T: Config>(id: RequestId) -> Option<RequestView<T>> {
    let request = Requests::<T>::get(id)?;
    let responses = Responses::<T>::get(id)
        .into_iter()
        .zip(0u32..)
        .map(|(response, index)| ResponseView {
            operator: response.operator,
            model: response.model,
            work: response.work,
            latency: response.latency,
            output: Outputs::<T>::get(id, index).into_inner(),
            quality: response.quality,
            paid: response.paid,
        })
        .collect();
    let committees = (0..=request.round)
        .map(|round| {
            Committees::<T>::get(id, round)
                .into_iter()
                .map(|member| MemberView {
                    operator: member.operator,
                    weight: member.weight,
                    work: member.work,
                    scores: member.scores.into_inner(),
                    latency: member.latency,
                    agreement: member.agreement,
                    paid: member.paid,
                })
                .collect()
        })
        .collect();
    Some(RequestView {
        id,
        requester: request.requester,
        prompt: Prompts::<T>::get(id).into_inner(),
        generators: request.generators.into_inner(),
        evaluator: request.evaluator,
        sampling: request.sampling,
        responders: request.responders,
        committee_size: request.committee,
        min_quality: request.min_quality,
        budget: request.budget,
        bonus: request.bonus,
        tries: request.tries,
        created: request.created,
        phase: request.phase,
        since: request.since,
        round: request.round,
        audited: request.audit == Audit::Revealed,
        responses,
        committees,
    })
}

pub(crate) fn operator<T: Config>(who: &T::AccountId) -> Option<OperatorView<T>> {
    let operator = Operators::<T>::get(who)?;
    let drawable = is_drawable(&operator, EconomicParameters::<T>::get().min_stake)
        && operator.models.iter().any(|id| rosters::is_enlisted::<T>(id, who));
    let mut duties: Vec<_> = operator.duties.iter().collect();
    duties.sort_unstable_by_key(|(request, _)| *request);
    let duties = duties.into_iter().filter_map(|(request, role)| {
        Some(DutyView { request, role, work: requests::work_of::<T>(who, request, role)? })
    });
    let capacity = operator.capacity();
    Some(OperatorView {
        operator: who.clone(),
        stake: operator.stake,
        unbonding: operator.unbonding,
        worker: operator.worker,
        drawable,
        models: operator.models.into_inner(),
        chilled: operator.chilled,
        capacity,
        load: operator.load,
        duties: duties.collect(),
        completed: operator.completed,
        missed: operator.missed,
        earned: operator.earned,
        forgone: operators::forgone::<T>(who),
        slashed: operator.slashed,
        standing: operator.standing,
        trust: operator.standing.trust(&EconomicParameters::<T>::get().floor),
        recent: operator.recent.into_inner(),
    })
}

pub(crate) fn operators<T: Config>(after: Option<T::AccountId>, count: u32) -> Vec<T::AccountId> {
    let keys = match after {
        Some(after) => Operators::<T>::iter_keys_from(Operators::<T>::hashed_key_for(after)),
        None => Operators::<T>::iter_keys(),
    };
    keys.take(page(count)).collect()
}

pub(crate) fn models<T: Config>(after: Option<ModelId>, count: u32) -> Vec<ModelView<T>> {
    let models = match after {
        Some(after) => Models::<T>::iter_from(Models::<T>::hashed_key_for(after)),
        None => Models::<T>::iter(),
    };
    models
        .take(page(count))
        .map(|(id, model)| ModelView {
            id,
            kind: model.kind,
            name: model.name.into_inner(),
            price: model.price,
            surcharge: congestion::surcharge::<T>(&id),
            windows: model.windows,
            reward: model.reward,
            context: model.context,
            spread: Spreads::<T>::get(id),
            noise: Noises::<T>::get(id),
            retired: model.retired,
            roster: Rosters::<T>::get(id)
                .into_iter()
                .filter(|candidate| candidate.away.is_none())
                .map(|candidate| CandidateView { operator: candidate.operator, weight: candidate.weight })
                .collect(),
        })
        .collect()
}
