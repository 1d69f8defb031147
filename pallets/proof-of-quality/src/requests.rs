//! Requests: what is asked for, how it stands, and what belongs to it. Owns [`NextRequest`], [`OpenRequests`], [`Requests`],
//! [`Prompts`], [`Responses`], [`Outputs`] and [`Committees`].
//!
//! Invariants:
//! - a stored request stands in the agenda under its `due`;
//! - of an open request the whole budget is on hold, of a closed one nothing;
//! - the count of open requests is that of those stored and not closed;
//! - what belongs to a request goes with it.

use crate::{
    agenda, callbacks,
    duties::{Commitment, RefundReason, RequestId, Role, Work, Workload},
    models::{self, ModelId, Windows},
    money::share_of,
    parameters::ParametersOf,
    Agenda, BalanceOf, Committees, Config, Error, Event, NextRequest, OpenRequests, Outputs, Pallet, Prompts,
    Requests, Responses,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, CloneNoBound, DebugNoBound, EqNoBound, PartialEqNoBound};
use frame_system::pallet_prelude::BlockNumberFor;
use scale_info::TypeInfo;
use sp_runtime::{
    traits::{Get, One, Saturating, Zero},
    Permill, SaturatedConversion,
};

/// Settings of an answer's generation.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Sampling {
    /// Most tokens in the answer, 1 to `MaxTokens`.
    pub max_tokens: u32,
    /// Temperature in thousandths, 0 (greedy) to 2,000.
    pub temperature_milli: u32,
    /// Seed of the sampler.
    pub seed: u32,
}

/// Terms of a request: everything but the prompt.
#[derive(
    CloneNoBound,
    DebugNoBound,
    PartialEqNoBound,
    EqNoBound,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
#[scale_info(skip_type_params(MaxModels))]
#[codec(mel_bound(Balance: MaxEncodedLen))]
pub struct Terms<Balance, MaxModels>
where
    Balance: Clone + core::fmt::Debug + Eq,
    MaxModels: Get<u32>,
{
    /// Any of these generators may answer.
    pub generators: BoundedVec<ModelId, MaxModels>,
    /// The evaluator that scores the answers.
    pub evaluator: ModelId,
    /// Settings of an answer's generation.
    pub sampling: Sampling,
    /// Inference nodes wanted.
    pub responders: u32,
    /// Quality validators wanted.
    pub committee: u32,
    /// A response with a lower consensus score earns the base part of its price only, if it is also worse, by more than
    /// `tolerance_most`, than what its operator is known for. What it would have earned above that goes to the chain: a high bar makes
    /// nothing cheaper.
    pub min_quality: Permill,
    /// The most that the requester pays in all, fee included.
    pub budget: Balance,
    /// 32 random bytes; in a known-answer audit, a commitment to the answer key
    /// ([`poq_primitives::commitment::answer_key`]). Must never repeat, or an audit could be told apart.
    pub audit: Commitment,
}

/// Parts of a budget. `inference + scoring + fee` is the whole.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Budget<Balance> {
    /// For the inference nodes: for each the price of its model and an equal part of what is above the least, earned by quality.
    pub inference: Balance,
    /// For the quality validators, in equal shares, each earned by agreement.
    pub scoring: Balance,
    /// For the chain.
    pub fee: Balance,
}

impl<Balance: Saturating + Copy> Budget<Balance> {
    /// The whole.
    pub fn total(&self) -> Balance {
        self.inference.saturating_add(self.scoring).saturating_add(self.fee)
    }
}

/// The life of a request. Every phase but the last two has a timeout with a written outcome.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Phase<BlockNumber> {
    /// Waits for a seed that was unknown when the request was made.
    ///
    /// To [`Phase::Answering`] (to [`Phase::RevealingAnswers`] if one inference node is drawn), to [`Phase::Refunded`] if nobody
    /// can be drawn or no seed comes.
    Requested,
    /// Inference nodes commit to their outputs, up to and including block `until`.
    ///
    /// To [`Phase::RevealingAnswers`] when all have acted or the time is over; to [`Phase::Refunded`] if none committed.
    Answering {
        /// Last block that takes a commitment.
        until: BlockNumber,
    },
    /// Inference nodes show their outputs, up to and including block `until`.
    ///
    /// To [`Phase::Selecting`] when all have acted or the time is over; to [`Phase::Refunded`] if none is revealed.
    RevealingAnswers {
        /// Last block that takes an output.
        until: BlockNumber,
    },
    /// The outputs are fixed; waits for a seed that was unknown when they were.
    ///
    /// To [`Phase::Scoring`]; to [`Phase::Refunded`] if no committee can be drawn or no seed comes.
    Selecting,
    /// The committee commits to its scores, up to and including block `until`.
    ///
    /// To [`Phase::RevealingScores`] when all have acted or the time is over; if too few committed, once to
    /// [`Phase::Selecting`], then to [`Phase::Refunded`].
    Scoring {
        /// Last block that takes a commitment.
        until: BlockNumber,
    },
    /// The committee reveals its scores, up to and including block `until`.
    ///
    /// To [`Phase::Settled`] when all have acted or the time is over. If nobody revealed, once to [`Phase::Selecting`]; if some
    /// did, but too few, to [`Phase::Refunded`]: another committee would know their scores.
    RevealingScores {
        /// Last block that takes scores.
        until: BlockNumber,
    },
    /// Paid for by quality. Kept for `Retention` blocks, then pruned.
    Settled {
        /// Block of the settlement.
        at: BlockNumber,
        /// Index of the response with the highest consensus score.
        best: u32,
    },
    /// Came to nothing: what is not owed went back. Kept for `Retention` blocks, then pruned.
    Refunded {
        /// Block of the refund.
        at: BlockNumber,
        /// Why.
        reason: RefundReason,
    },
}

impl<BlockNumber> Phase<BlockNumber> {
    /// Whether the request is over.
    pub fn is_closed(&self) -> bool {
        matches!(self, Phase::Settled { .. } | Phase::Refunded { .. })
    }

    /// The last block in which work of this phase can be reported; `None` in phases without work.
    pub fn until(&self) -> Option<BlockNumber>
    where
        BlockNumber: Copy,
    {
        match self {
            Phase::Answering { until }
            | Phase::RevealingAnswers { until }
            | Phase::Scoring { until }
            | Phase::RevealingScores { until } => Some(*until),
            Phase::Requested | Phase::Selecting | Phase::Settled { .. } | Phase::Refunded { .. } => None,
        }
    }
}

/// Audit state of a request.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Audit {
    /// 32 bytes that may be a commitment to an [`AnswerKey`](crate::AnswerKey): see [`poq_primitives::commitment::answer_key`].
    Sealed(Commitment),
    /// The request was an audit, and its key was revealed.
    Revealed,
}

/// A request for an inference.
#[derive(
    CloneNoBound,
    DebugNoBound,
    PartialEqNoBound,
    EqNoBound,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
#[scale_info(skip_type_params(T))]
#[codec(mel_bound(T: Config))]
pub struct Request<T: Config> {
    /// The account that asked and pays.
    pub requester: T::AccountId,
    /// Any of these generators may answer.
    pub generators: BoundedVec<ModelId, T::MaxModelsPerRequest>,
    /// The evaluator that scores the answers.
    pub evaluator: ModelId,
    /// Settings of an answer's generation.
    pub sampling: Sampling,
    /// Inference nodes wanted.
    pub responders: u32,
    /// Quality validators wanted.
    pub committee: u32,
    /// A response with a lower consensus score earns the base part of its price only, see [`Terms`].
    pub min_quality: Permill,
    /// The budget on hold, in parts.
    pub budget: Budget<BalanceOf<T>>,
    /// Most that each response can earn above the price of its model: an equal part of the budget above the least.
    pub bonus: BalanceOf<T>,
    /// Windows of the inference nodes: the widest of the generators'.
    pub answer_windows: Windows<BlockNumberFor<T>>,
    /// Windows of the committee.
    pub score_windows: Windows<BlockNumberFor<T>>,
    /// Block of the request.
    pub created: BlockNumberFor<T>,
    /// The phase.
    pub phase: Phase<BlockNumberFor<T>>,
    /// Block in which it entered that phase.
    pub since: BlockNumberFor<T>,
    /// Block since which the outputs cannot change; a committee's seed must be younger.
    pub fixed_at: BlockNumberFor<T>,
    /// Block under which the request stands in the agenda.
    pub due: BlockNumberFor<T>,
    /// Which committee is at work: 0, or 1 after a redraw.
    pub round: u8,
    /// Draws that were put off because operators had no room. Each costs `waiting_fee`.
    pub tries: u32,
    /// Whether it was a known-answer audit, once that is known.
    pub audit: Audit,
    /// The economic parameters under which it was made.
    pub parameters: ParametersOf<T>,
}

impl<T: Config> Request<T> {
    /// Pay for a quality validator's perfect scores. The remainder of the division goes back to the requester.
    pub fn member_share(&self) -> BalanceOf<T> {
        share_of(self.budget.scoring, self.committee)
    }

    /// Work that a duty in this request adds to an operator's load.
    pub fn workload(&self, role: Role) -> Workload {
        match role {
            Role::InferenceNode => Workload { tokens: self.sampling.max_tokens, pairs: 0 },
            Role::QualityValidator => Workload { tokens: 0, pairs: self.responders },
        }
    }

    /// Price of one response by this model, before its quality is known.
    pub fn price_of(&self, model: &ModelId) -> BalanceOf<T> {
        models::price_of::<T>(model, self.sampling.max_tokens)
    }

    /// The part of the price that it offers each answer on top; 1 where the price is zero.
    pub fn offered(&self) -> Permill {
        let price = share_of(self.budget.inference, self.responders).saturating_sub(self.bonus);
        if price.is_zero() {
            return Permill::one();
        }
        Permill::from_rational(self.bonus.saturated_into::<u128>(), price.saturated_into())
    }

    /// The models that may be drawn for, in one list.
    pub fn models(&self) -> impl Iterator<Item = &ModelId> {
        self.generators.iter().chain(core::iter::once(&self.evaluator))
    }

    /// Whether the next step is a draw.
    pub fn is_to_draw(&self) -> bool {
        matches!(self.phase, Phase::Requested | Phase::Selecting)
    }
}

/// The part of an inference node in a request.
#[derive(
    CloneNoBound,
    DebugNoBound,
    PartialEqNoBound,
    EqNoBound,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
#[scale_info(skip_type_params(T))]
#[codec(mel_bound(T: Config))]
pub struct Response<T: Config> {
    /// The inference node.
    pub operator: T::AccountId,
    /// With which generator, by its own word.
    pub model: ModelId,
    /// State of the work.
    pub work: Work,
    /// Part of the time there was that went by before the work was fixed; zero until then.
    pub latency: Permill,
    /// Consensus score, once settled.
    pub quality: Option<Permill>,
    /// Sum paid to the operator from the budget.
    pub paid: BalanceOf<T>,
}

/// The part of a quality validator in a request.
#[derive(
    CloneNoBound,
    DebugNoBound,
    PartialEqNoBound,
    EqNoBound,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
#[scale_info(skip_type_params(T))]
#[codec(mel_bound(T: Config))]
pub struct Member<T: Config> {
    /// The quality validator.
    pub operator: T::AccountId,
    /// Weight in the consensus: trust in millionths, as at the draw. Stake counts in the draw and not again here.
    pub weight: u64,
    /// State of the work.
    pub work: Work,
    /// One score for each revealed response, in their order; empty until revealed.
    pub scores: BoundedVec<Permill, T::MaxResponders>,
    /// Part of the time there was that went by before the scores were fixed; zero until then.
    pub latency: Permill,
    /// Closeness to the consensus of the others, 0 to 1, once settled.
    pub agreement: Option<Permill>,
    /// Sum paid to the operator from the budget.
    pub paid: BalanceOf<T>,
}

/// The responses to a request, in the order of the draw.
pub type ResponsesOf<T> = BoundedVec<Response<T>, <T as Config>::MaxResponders>;

/// A committee, in the order of the draw.
pub type CommitteeOf<T> = BoundedVec<Member<T>, <T as Config>::MaxCommittee>;

/// Stores a new request and puts it on the agenda; returns its number.
pub(crate) fn add<T: Config>(
    prompt: BoundedVec<u8, T::MaxPromptLength>,
    request: Request<T>,
) -> Result<RequestId, Error<T>> {
    let id = NextRequest::<T>::get();
    NextRequest::<T>::put(id.checked_add(1).ok_or(Error::<T>::Overflow)?);
    agenda::list::<T>(id, request.due);
    Prompts::<T>::insert(id, prompt);
    Requests::<T>::insert(id, request);
    OpenRequests::<T>::mutate(|open| *open = open.saturating_add(1));
    Ok(id)
}

/// Stores a request that has changed.
pub(crate) fn put<T: Config>(id: RequestId, request: Request<T>) {
    debug_assert!(Agenda::<T>::contains_key(request.due, id), "request {id} is not on the agenda");
    Requests::<T>::insert(id, request);
}

/// Changes a stored request.
pub(crate) fn mutate<T: Config>(id: RequestId, change: impl FnOnce(&mut Request<T>)) {
    Requests::<T>::mutate_extant(id, change);
}

/// Stores the responses to a request.
pub(crate) fn put_responses<T: Config>(id: RequestId, responses: ResponsesOf<T>) {
    Responses::<T>::insert(id, responses);
}

/// Changes the responses to a request.
pub(crate) fn mutate_responses<T: Config, R>(
    id: RequestId,
    change: impl FnOnce(&mut ResponsesOf<T>) -> R,
) -> R {
    Responses::<T>::mutate(id, change)
}

/// Stores the answer that is the response `index`.
pub(crate) fn put_output<T: Config>(id: RequestId, index: u32, output: BoundedVec<u8, T::MaxOutputLength>) {
    Outputs::<T>::insert(id, index, output);
}

/// Stores a committee of a request.
pub(crate) fn put_committee<T: Config>(id: RequestId, round: u8, committee: CommitteeOf<T>) {
    Committees::<T>::insert(id, round, committee);
}

/// Changes a committee of a request.
pub(crate) fn mutate_committee<T: Config, R>(
    id: RequestId,
    round: u8,
    change: impl FnOnce(&mut CommitteeOf<T>) -> R,
) -> R {
    Committees::<T>::mutate(id, round, change)
}

/// Has a request take its next step in block `due`. Does not store the request.
pub(crate) fn schedule<T: Config>(id: RequestId, request: &mut Request<T>, due: BlockNumberFor<T>) {
    agenda::reschedule::<T>(id, request.due, due);
    request.due = due;
}

/// Enters `phase`, in which the next step is due in block `due`.
pub(crate) fn enter<T: Config>(
    id: RequestId,
    request: &mut Request<T>,
    phase: Phase<BlockNumberFor<T>>,
    due: BlockNumberFor<T>,
) {
    request.phase = phase;
    request.since = frame_system::Pallet::<T>::block_number();
    schedule::<T>(id, request, due);
    Pallet::<T>::deposit_event(Event::PhaseEntered { request: id, phase });
}

/// Ends a request as this `phase` says. It is kept until nobody can need it any more.
pub(crate) fn close<T: Config>(id: RequestId, request: &mut Request<T>, phase: Phase<BlockNumberFor<T>>) {
    let now = frame_system::Pallet::<T>::block_number();
    // Windows are inclusive at both ends, this one too: an audit may be revealed in its last block.
    let until = now.saturating_add(T::Retention::get());
    enter::<T>(id, request, phase, until.saturating_add(One::one()));
    OpenRequests::<T>::mutate(|open| *open = open.saturating_sub(1));
    callbacks::fall_due::<T>(id);
}

/// Forgets a closed request.
pub(crate) fn forget<T: Config>(id: RequestId, request: &Request<T>) {
    agenda::unlist::<T>(id, request.due);
    Requests::<T>::remove(id);
    Prompts::<T>::remove(id);
    let responses = Responses::<T>::take(id);
    for index in 0..responses.len() as u32 {
        Outputs::<T>::remove(id, index);
    }
    for round in 0..=request.round {
        Committees::<T>::remove(id, round);
    }
    callbacks::forget::<T>(id);
    Pallet::<T>::deposit_event(Event::Pruned { request: id });
}

/// State of an operator's open duty.
pub(crate) fn work_of<T: Config>(who: &T::AccountId, id: RequestId, role: Role) -> Option<Work> {
    let round = match role {
        Role::InferenceNode => 0,
        Role::QualityValidator => Requests::<T>::get(id)?.round,
    };
    work_in::<T>(who, id, role, round)
}

/// The same, for who knows in which round the request is.
pub(crate) fn work_in<T: Config>(who: &T::AccountId, id: RequestId, role: Role, round: u8) -> Option<Work> {
    match role {
        Role::InferenceNode => {
            Responses::<T>::get(id).iter().find(|part| part.operator == *who).map(|part| part.work)
        }
        Role::QualityValidator => {
            let committee = Committees::<T>::get(id, round);
            committee.iter().find(|part| part.operator == *who).map(|part| part.work)
        }
    }
}

//REQCHECK
