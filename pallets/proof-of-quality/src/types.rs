//! What the pallet stores and what it says of it.
//!
//! Types that appear in calls and events are generic over plain parameters; types that are only stored are generic over
//! the pallet's [`Config`].

use crate::{Audit, BalanceOf, Config, ParametersOf, Standing};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
    pallet_prelude::*, CloneNoBound, DebugNoBound, DefaultNoBound, EqNoBound, PartialEqNoBound,
};
use frame_system::pallet_prelude::BlockNumberFor;
use poq_primitives::{commitment::Salt, job::FailureReason};
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};
use sp_runtime::{
    traits::{CheckedDiv, Zero},
    FixedPointNumber, FixedU64, PerThing, Permill, SaturatedConversion,
};

/// Number of a request: counts up from 0.
pub type RequestId = u64;

/// Name of a model: the SHA-256 of its file. For a generator that is its GGUF; for an evaluator its manifest, which names
/// network, tokenizer and calibration by their SHA-256 in turn, so that one name means one and the same score.
pub type ModelId = [u8; 32];

/// A commitment, see [`poq_primitives::commitment`].
pub type Commitment = [u8; 32];

/// What a model does.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
pub enum ModelKind {
    /// Answers prompts (GGUF, run by inference nodes).
    Generator,
    /// Scores answers (ONNX cross-encoder, run by quality validators).
    Evaluator,
}

/// What a model costs: `base + per_unit * units`.
///
/// For a generator it is the price of one response and a unit is a token that may be generated (`max_tokens`); for an
/// evaluator it is the price of one quality validator's scores and a unit is a response.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
pub struct Price<Balance> {
    /// Price of a piece of work whatever its size.
    pub base: Balance,
    /// Price of each unit.
    pub per_unit: Balance,
}

/// How long the model's operators have for each of their two steps, in blocks, both at least 1.
///
/// For a generator: to commit to an output, and to open it. For an evaluator: to commit to scores, and to reveal them.
/// Bounds are inclusive: a phase entered in block `b` with a window of `w` takes reports up to and including block `b + w`.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
pub struct Windows<BlockNumber> {
    /// Blocks to do the work and commit to its result.
    pub commit: BlockNumber,
    /// Blocks to show the result.
    pub reveal: BlockNumber,
}

/// What part of its share a piece of work earns: `alpha * q - beta * l`, not below 0 and not above 1.
///
/// `q` is the consensus score of a response, or the agreement of a quality validator's scores. `l` is the latency: blocks
/// from the duty to the commitment (of a sole responder: to its output), as a part of the blocks that there were.
///
/// The form is that of Cost-aware PoQ (arXiv 2512.16317), `reward = alpha * quality - beta * cost`; latency as the cost,
/// its measure and the clamp are ours.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
pub struct Reward {
    /// What quality is worth. Above zero and at most `MaxAlpha`; above 1, the share is earned in full by less than perfect
    /// work.
    pub alpha: FixedU64,
    /// What latency costs. At most `MaxBeta` and at most `alpha`.
    pub beta: FixedU64,
}

impl Default for Reward {
    /// The share times the quality, whatever the latency.
    fn default() -> Self {
        Self { alpha: FixedU64::from_u32(1), beta: FixedU64::from_u32(0) }
    }
}

impl Reward {
    /// The part of a share that work of this quality and latency earns.
    pub fn earned(&self, quality: Permill, latency: Permill) -> Permill {
        let term = |factor: FixedU64, part: Permill| {
            let scaled = u128::from(factor.into_inner()).saturating_mul(part.deconstruct().into());
            scaled.checked_div(FixedU64::DIV.into()).unwrap_or(0)
        };
        let parts = term(self.alpha, quality).saturating_sub(term(self.beta, latency));
        Permill::from_parts(parts.min(Permill::ACCURACY.into()).saturated_into())
    }
}

/// A registry entry.
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
pub struct Model<T: Config> {
    /// What it does.
    pub kind: ModelKind,
    /// A name for people, UTF-8. Not unique: the id is.
    pub name: BoundedVec<u8, T::MaxNameLength>,
    /// What it costs.
    pub price: Price<BalanceOf<T>>,
    /// How long its operators have.
    pub windows: Windows<BlockNumberFor<T>>,
    /// What quality and latency are worth.
    pub reward: Reward,
    /// Of a generator: tokens that prompt and answer may take together, without what its chat template adds. 0 of an evaluator.
    pub context: u32,
    /// A retired model takes no new requests and no new operators; open requests finish.
    pub retired: bool,
}

/// How an answer is to be generated.
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

/// An amount of open work: what an operator has to do, or takes at a time.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
pub struct Workload {
    /// As an inference node: tokens that may have to be generated, the sum of `max_tokens`.
    pub tokens: u32,
    /// As a quality validator: pairs of prompt and response to score, the sum of the responders wanted.
    pub pairs: u32,
}

impl Workload {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            pairs: self.pairs.saturating_add(other.pairs),
        }
    }

    /// What is left without `other`.
    pub fn minus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(other.tokens),
            pairs: self.pairs.saturating_sub(other.pairs),
        }
    }

    /// Whether both are within `most`.
    pub fn is_within(self, most: Self) -> bool {
        self.tokens <= most.tokens && self.pairs <= most.pairs
    }
}

/// What a requester asks for, besides the prompt.
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
    /// How an answer is to be generated.
    pub sampling: Sampling,
    /// Inference nodes wanted.
    pub responders: u32,
    /// Quality validators wanted.
    pub committee: u32,
    /// A response with a lower consensus score earns the base part of its price only, if it is also worse, by more than
    /// `tolerance_most`, than what its operator is known for. What it would have earned above that goes to the chain: a high bar makes
    /// nothing cheaper.
    pub min_quality: Permill,
    /// What the requester is ready to pay in all.
    pub budget: Balance,
    /// 32 random bytes; in a known-answer audit, a commitment to the answer key
    /// ([`poq_primitives::commitment::answer_key`]). Must never repeat, or an audit could be told apart.
    pub audit: Commitment,
}

/// How a budget divides. `inference + scoring + fee` is the whole.
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

/// The life of a request. Every phase but the last two has a timeout with a written outcome.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Phase<BlockNumber> {
    /// Waits for a seed that was unknown when the request was made.
    ///
    /// To [`Phase::Answering`] (to [`Phase::Opening`] if one inference node is drawn), to [`Phase::Refunded`] if nobody
    /// can be drawn or no seed comes.
    Requested,
    /// Inference nodes commit to their outputs, up to and including block `until`.
    ///
    /// To [`Phase::Opening`] when all have acted or the time is over; to [`Phase::Refunded`] if none committed.
    Answering {
        /// Last block that takes a commitment.
        until: BlockNumber,
    },
    /// Inference nodes show their outputs, up to and including block `until`.
    ///
    /// To [`Phase::Selecting`] when all have acted or the time is over; to [`Phase::Refunded`] if none is shown.
    Opening {
        /// Last block that takes an output.
        until: BlockNumber,
    },
    /// The outputs are fixed; waits for a seed that was unknown when they were.
    ///
    /// To [`Phase::Scoring`]; to [`Phase::Refunded`] if no committee can be drawn or no seed comes.
    Selecting,
    /// The committee commits to its scores, up to and including block `until`.
    ///
    /// To [`Phase::Revealing`] when all have acted or the time is over; if too few committed, once to
    /// [`Phase::Selecting`], then to [`Phase::Refunded`].
    Scoring {
        /// Last block that takes a commitment.
        until: BlockNumber,
    },
    /// The committee reveals its scores, up to and including block `until`.
    ///
    /// To [`Phase::Settled`] when all have acted or the time is over. If nobody revealed, once to [`Phase::Selecting`]; if some
    /// did, but too few, to [`Phase::Refunded`]: another committee would know their scores.
    Revealing {
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
            | Phase::Opening { until }
            | Phase::Scoring { until }
            | Phase::Revealing { until } => Some(*until),
            Phase::Requested | Phase::Selecting | Phase::Settled { .. } | Phase::Refunded { .. } => None,
        }
    }
}

/// Why a request was refunded.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum RefundReason {
    /// No seed came within `SeedPatience` blocks.
    NoRandomness,
    /// No inference node could be drawn.
    NoInferenceNode,
    /// No inference node committed to an output.
    NoCommitment,
    /// No inference node showed an output that matches its commitment.
    NoOutput,
    /// Too few quality validators could be drawn for a committee.
    NoCommittee,
    /// Too few of the committee revealed their scores, or nobody of two committees.
    NoQuorum,
    /// Operators there are, but they had no room for `SeedPatience` blocks: they have as much open work as they take.
    Busy,
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
    /// Who asked and pays.
    pub requester: T::AccountId,
    /// Any of these generators may answer.
    pub generators: BoundedVec<ModelId, T::MaxModelsPerRequest>,
    /// The evaluator that scores the answers.
    pub evaluator: ModelId,
    /// How an answer is to be generated.
    pub sampling: Sampling,
    /// Inference nodes wanted.
    pub responders: u32,
    /// Quality validators wanted.
    pub committee: u32,
    /// A response with a lower consensus score earns the base part of its price only, see [`Terms`].
    pub min_quality: Permill,
    /// What is on hold for it and how it divides.
    pub budget: Budget<BalanceOf<T>>,
    /// What each response can earn beyond the price of its model: an equal part of what the budget has above the least.
    pub bonus: BalanceOf<T>,
    /// Windows of the inference nodes: the widest of the generators'.
    pub answer_windows: Windows<BlockNumberFor<T>>,
    /// Windows of the committee.
    pub score_windows: Windows<BlockNumberFor<T>>,
    /// Block of the request.
    pub created: BlockNumberFor<T>,
    /// Where it stands.
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
    /// What a quality validator's perfect scores earn. What does not divide goes back to the requester.
    pub fn member_share(&self) -> BalanceOf<T> {
        share_of(self.budget.scoring, self.committee)
    }

    /// What a duty in this request adds to an operator's open work.
    pub fn workload(&self, role: Role) -> Workload {
        match role {
            Role::InferenceNode => Workload { tokens: self.sampling.max_tokens, pairs: 0 },
            Role::QualityValidator => Workload { tokens: 0, pairs: self.responders },
        }
    }

    /// Whether the next step is a draw.
    pub fn is_to_draw(&self) -> bool {
        matches!(self.phase, Phase::Requested | Phase::Selecting)
    }
}

/// One of `count` equal shares, rounded down.
pub(crate) fn share_of<Balance: CheckedDiv + Zero + From<u32>>(whole: Balance, count: u32) -> Balance {
    whole.checked_div(&count.into()).unwrap_or_else(Zero::zero)
}

/// How a piece of work stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Work {
    /// Nothing came yet.
    Pending,
    /// The result is fixed but not shown.
    Committed(Commitment),
    /// The result was shown and matches.
    Shown,
    /// The operator reported that it could not do the work.
    Failed(FailureReason),
    /// The window closed without a commitment.
    NotCommitted,
    /// The window closed without a reveal that matches the commitment.
    NotRevealed,
}

impl Work {
    /// The fault that is slashed: silence.
    pub fn absence(&self) -> Option<SlashReason> {
        match self {
            Work::NotCommitted => Some(SlashReason::NotCommitted),
            Work::NotRevealed => Some(SlashReason::NotRevealed),
            Work::Pending | Work::Committed(_) | Work::Shown | Work::Failed(_) => None,
        }
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
    /// Who answers.
    pub operator: T::AccountId,
    /// With which generator, by its own word.
    pub model: ModelId,
    /// How the work stands.
    pub work: Work,
    /// Part of the time there was that went by before the work was fixed; zero until then.
    pub latency: Permill,
    /// Consensus score, once settled.
    pub quality: Option<Permill>,
    /// What the operator was paid from the budget.
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
    /// Who scores.
    pub operator: T::AccountId,
    /// Weight in the consensus: trust in millionths, as at the draw. Stake counts in the draw and not again here.
    pub weight: u64,
    /// How the work stands.
    pub work: Work,
    /// One score for each shown response, in their order; empty until revealed.
    pub scores: BoundedVec<Permill, T::MaxResponders>,
    /// Part of the time there was that went by before the scores were fixed; zero until then.
    pub latency: Permill,
    /// Closeness to the consensus of the others, 0 to 1, once settled.
    pub agreement: Option<Permill>,
    /// What the operator was paid from the budget.
    pub paid: BalanceOf<T>,
}

/// An operator in the roster of a model.
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
pub struct Candidate<T: Config> {
    /// Who serves the model.
    pub operator: T::AccountId,
    /// Weight in draws, as its record said when it last registered, moved stake or finished a duty for this model: the
    /// stake up to the cap times its standing.
    pub weight: u64,
    /// Block since which it stands here with this much stake. Only requests made in or after that block may draw it, so
    /// that nobody joins or grows after a seed is known.
    pub since: BlockNumberFor<T>,
    /// For an operator that has chilled: the last block for which its place is kept. It is not drawn meanwhile.
    pub away: Option<BlockNumberFor<T>>,
}

/// Stake that waits to be withdrawn.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Unbonding<Balance, BlockNumber> {
    /// How much.
    pub amount: Balance,
    /// First block in which it can be withdrawn.
    pub at: BlockNumber,
}

/// An account with stake on hold.
#[derive(
    CloneNoBound,
    DebugNoBound,
    DefaultNoBound,
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
pub struct Operator<T: Config> {
    /// Stake at work: on hold, counts in draws, can be slashed.
    pub stake: BalanceOf<T>,
    /// Stake on its way out: on hold, does not count in draws, can be slashed until it is withdrawn.
    pub unbonding: Option<Unbonding<BalanceOf<T>, BlockNumberFor<T>>>,
    /// The hot key that signs work.
    pub worker: Option<T::AccountId>,
    /// The models it serves.
    pub models: BoundedVec<ModelId, T::MaxModelsPerOperator>,
    /// A chilled operator is not drawn.
    pub chilled: bool,
    /// How much open work it takes at a time, if it has said so; `DefaultCapacity` otherwise.
    pub capacity: Option<Workload>,
    /// Its duties that are not over.
    pub duties: OpenDuties<T::MaxDuties>,
    /// The work of those duties.
    pub load: Workload,
    /// Block from which on none of its scores can be audited any more: its stake stays until then.
    pub answerable_until: BlockNumberFor<T>,
    /// Duties done and over.
    pub completed: u32,
    /// Duties over and not done: reported failures and absences.
    pub missed: u32,
    /// All it was ever paid.
    pub earned: BalanceOf<T>,
    /// All it was ever slashed.
    pub slashed: BalanceOf<T>,
    /// How well it worked.
    pub standing: Standing,
    /// The latest duties that are over, oldest first.
    pub recent: BoundedVec<ClosedDuty<BalanceOf<T>>, T::RecentDuties>,
}

impl<T: Config> Operator<T> {
    /// How much open work it takes at a time.
    pub fn capacity(&self) -> Workload {
        self.capacity.unwrap_or_else(T::DefaultCapacity::get)
    }

    /// Whether it takes this much more work now.
    pub fn has_room_for(&self, more: Workload) -> bool {
        self.duties.count() < T::MaxDuties::get() && self.load.plus(more).is_within(self.capacity())
    }

    /// The stake that stands behind each of its models: an equal part of what is at work.
    pub fn stake_per_model(&self) -> BalanceOf<T> {
        share_of(self.stake, (self.models.len() as u32).max(1))
    }
}

/// The requests in which an operator has a part that is not over, by what it has to do and in no order. They stand in its
/// record because whatever begins or ends a duty writes that anyway.
#[derive(
    CloneNoBound,
    DebugNoBound,
    DefaultNoBound,
    PartialEqNoBound,
    EqNoBound,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
#[scale_info(skip_type_params(Max))]
#[codec(mel_bound())]
pub struct OpenDuties<Max: Get<u32>> {
    /// To answer.
    pub answers: BoundedVec<RequestId, Max>,
    /// To score.
    pub scores: BoundedVec<RequestId, Max>,
}

impl<Max: Get<u32>> OpenDuties<Max> {
    /// How many.
    pub fn count(&self) -> u32 {
        self.answers.len().saturating_add(self.scores.len()) as u32
    }

    /// What there is to do in a request, if anything.
    pub fn role_in(&self, request: RequestId) -> Option<Role> {
        match () {
            () if self.answers.contains(&request) => Some(Role::InferenceNode),
            () if self.scores.contains(&request) => Some(Role::QualityValidator),
            () => None,
        }
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = (RequestId, Role)> + '_ {
        let answers = self.answers.iter().map(|request| (*request, Role::InferenceNode));
        answers.chain(self.scores.iter().map(|request| (*request, Role::QualityValidator)))
    }

    /// One more; `false` if there is no room.
    pub(crate) fn open(&mut self, request: RequestId, role: Role) -> bool {
        self.list(role).try_push(request).is_ok()
    }

    /// One less; `false` if there was none.
    pub(crate) fn close(&mut self, request: RequestId, role: Role) -> bool {
        let list = self.list(role);
        let place = list.iter().position(|open| *open == request);
        place.map(|place| list.swap_remove(place)).is_some()
    }

    fn list(&mut self, role: Role) -> &mut BoundedVec<RequestId, Max> {
        match role {
            Role::InferenceNode => &mut self.answers,
            Role::QualityValidator => &mut self.scores,
        }
    }
}

/// What an operator does in a request.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Role {
    /// Answer.
    InferenceNode,
    /// Score, as a member of the committee.
    QualityValidator,
}

impl Role {
    /// The kind of model that it takes.
    pub fn kind(self) -> ModelKind {
        match self {
            Self::InferenceNode => ModelKind::Generator,
            Self::QualityValidator => ModelKind::Evaluator,
        }
    }
}

/// Why stake was taken. Each is a fault that the chain itself can prove; disagreement is none.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum SlashReason {
    /// The window closed without a commitment.
    NotCommitted,
    /// The window closed without a reveal that matches the commitment.
    NotRevealed,
    /// An audit was opened, and the scores were this far from the truth in the mean. Scores that were committed to and not revealed
    /// are as far from it as can be.
    GrossError {
        /// The distance.
        error: Permill,
    },
}

/// A duty that is over, and what came of it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct ClosedDuty<Balance> {
    /// The request.
    pub request: RequestId,
    /// The part.
    pub role: Role,
    /// What was paid.
    pub paid: Balance,
    /// Why it was that much.
    pub outcome: Outcome,
}

/// Why a duty was paid or not.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Outcome {
    /// Paid this part of its share: quality (of a response) or agreement (of scores), less latency.
    Paid(Permill),
    /// The response's consensus score is below what the requester asked for: the base part of its price is paid.
    BelowMinQuality(Permill),
    /// The scores are too far from those of the others.
    Disagreed,
    /// The work was reported as failed.
    Failed(FailureReason),
    /// No commitment came in time. Slashed.
    NotCommitted,
    /// No matching reveal came in time. Slashed.
    NotRevealed,
    /// The request came to nothing. An answer that was shown is paid by the quality its operator is known for, scores that were
    /// revealed by the base part.
    Refunded(RefundReason),
    /// The committee had no quorum, nobody revealed anything, and another was drawn.
    Dismissed,
    /// The payment could not be credited to the account, so it went back to the requester.
    NotPayable,
    /// This quality or agreement is outweighed by its latency.
    TooSlow(Permill),
}

/// One report of work. A batch of them is what a worker key signs.
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
#[scale_info(skip_type_params(MaxOutput, MaxScores))]
#[codec(mel_bound())]
pub struct Report<MaxOutput: Get<u32>, MaxScores: Get<u32>> {
    /// The request.
    pub request: RequestId,
    /// What is reported.
    pub kind: ReportKind<MaxOutput, MaxScores>,
}

/// What a [`Report`] says.
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
#[scale_info(skip_type_params(MaxOutput, MaxScores))]
#[codec(mel_bound())]
pub enum ReportKind<MaxOutput: Get<u32>, MaxScores: Get<u32>> {
    /// An inference node fixes its output.
    CommitOutput {
        /// See [`poq_primitives::commitment::Binding::output`].
        commitment: Commitment,
    },
    /// An inference node shows its output. With a single responder there was no commitment and the salt is not looked at.
    RevealOutput {
        /// The answer, UTF-8.
        output: BoundedVec<u8, MaxOutput>,
        /// The salt of the commitment.
        salt: Salt,
    },
    /// A quality validator fixes its scores.
    CommitScores {
        /// See [`poq_primitives::commitment::Binding::scores`].
        commitment: Commitment,
    },
    /// A quality validator shows its scores.
    RevealScores {
        /// One for each shown response, in their order.
        scores: BoundedVec<Permill, MaxScores>,
        /// The salt of the commitment.
        salt: Salt,
    },
    /// The work cannot be done. Unpaid, but not slashed as silence is. Only before a commitment: who has committed reveals.
    Fail {
        /// Why.
        reason: FailureReason,
    },
}

/// [`Report`] with the pallet's bounds.
pub type ReportOf<T> = Report<<T as Config>::MaxOutputLength, <T as Config>::MaxResponders>;
/// [`ReportKind`] with the pallet's bounds.
pub type ReportKindOf<T> = ReportKind<<T as Config>::MaxOutputLength, <T as Config>::MaxResponders>;
/// A batch of reports, as a worker key signs it.
pub type ReportsOf<T> = BoundedVec<ReportOf<T>, <T as Config>::MaxReports>;
/// The responses to a request, in the order of the draw.
pub type ResponsesOf<T> = BoundedVec<Response<T>, <T as Config>::MaxResponders>;
/// A committee, in the order of the draw.
pub type CommitteeOf<T> = BoundedVec<Member<T>, <T as Config>::MaxCommittee>;
/// The operators that serve a model.
pub type RosterOf<T> = BoundedVec<Candidate<T>, <T as Config>::MaxOperatorsPerModel>;
