//! Duties: what an operator owes a request, how that work stands, and how it ended.
//!
//! No storage: the vocabulary that operators and requests share.

use crate::{models::ModelKind, Config};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, CloneNoBound, DebugNoBound, DefaultNoBound, EqNoBound, PartialEqNoBound};
use poq_primitives::{commitment::Hash32, job::FailureReason};
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};
use sp_runtime::{
    traits::{Get, Zero},
    Permill,
};

/// Number of a request: counts up from 0.
pub type RequestId = u64;

/// A commitment, see [`poq_primitives::commitment`].
pub type Commitment = [u8; 32];

/// Hash of the genesis block: binds commitments and jobs to this chain.
pub(crate) fn genesis_hash<T: Config>() -> Hash32 {
    let hash =
        frame_system::Pallet::<T>::block_hash(frame_system::pallet_prelude::BlockNumberFor::<T>::zero());
    let mut genesis = Hash32::default();
    for (to, from) in genesis.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    genesis
}

/// Role of an operator in a request.
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

    /// The difference, not below zero.
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

/// State of a piece of work.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Work {
    /// Nothing came yet.
    Pending,
    /// The result is fixed but not revealed.
    Committed(Commitment),
    /// The result was revealed and matches.
    Revealed,
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
            Work::Pending | Work::Committed(_) | Work::Revealed | Work::Failed(_) => None,
        }
    }

    /// The outcome of work that was not done; `None` for work that was, or still may be.
    pub(crate) fn fault(&self) -> Option<Outcome> {
        match self {
            Work::Failed(reason) => Some(Outcome::Failed(*reason)),
            Work::NotCommitted => Some(Outcome::NotCommitted),
            Work::NotRevealed => Some(Outcome::NotRevealed),
            Work::Pending | Work::Committed(_) | Work::Revealed => None,
        }
    }

    /// Whether nothing more can come of this work in a phase of commitments or, with `revealing`, of reveals.
    pub(crate) fn has_acted(&self, revealing: bool) -> bool {
        match self {
            Work::Pending => false,
            Work::Committed(_) => !revealing,
            Work::Revealed | Work::Failed(_) | Work::NotCommitted | Work::NotRevealed => true,
        }
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
    /// Their number.
    pub fn count(&self) -> u32 {
        self.answers.len().saturating_add(self.scores.len()) as u32
    }

    /// Role in a request; `None` without a duty in it.
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

/// A duty that is over, and what came of it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct ClosedDuty<Balance> {
    /// The request.
    pub request: RequestId,
    /// The part.
    pub role: Role,
    /// Sum paid.
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
    /// The request came to nothing. An answer that was revealed is paid by the quality its operator is known for, scores that were
    /// revealed by the base part.
    Refunded(RefundReason),
    /// The committee had no quorum, nobody revealed anything, and another was drawn.
    Dismissed,
    /// The payment could not be credited to the account, so it went back to the requester.
    NotPayable,
    /// This quality or agreement is outweighed by its latency.
    TooSlow(Permill),
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
    /// The requester cancelled it before inference nodes were drawn.
    Cancelled,
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
    /// An audit was revealed, and the worst of the scores was this far from the truth. Scores that were committed to and not revealed
    /// are as far from it as can be.
    GrossError {
        /// The distance.
        error: Permill,
    },
}
