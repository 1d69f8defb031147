//! Types of the chain, generated from the runtime's metadata (`metadata.scale`) with the pallet's docs, and names and sums of their values.
//!
//! Balances are in units (10^-12 POQ on the demo chain), parts in millionths ([`Parts`]), times in blocks.

use crate::Error;
use chain::{
    proof_of_quality::events::{Refunded, Settled},
    runtime_types::{
        pallet_block_authors, pallet_proof_of_quality as pallet, pallet_proof_of_quality_express as express,
        poq_primitives as primitives, poq_runtime, sp_consensus_babe::app::Public as BabeKey,
        sp_consensus_grandpa::app::Public as GrandpaKey, sp_runtime,
    },
};
use subxt::{events::Events, metadata::Metadata, SubstrateConfig};

pub use chain::Call as RootCall;
pub use pallet::{
    audits::AnswerKey,
    duties::{Outcome, RefundReason, Role, Work, Workload},
    models::{ModelKind, Reward},
    pallet::Call as PalletCall,
    requests::{
        Audit, Member as StoredMember, Request as StoredRequest, Response as StoredResponse, Sampling,
    },
    standing::Standing,
    views::{CandidateView, DutyView, MemberView, ModelView, OperatorView, RequestView, ResponseView},
};
pub use pallet_block_authors::pallet::Call as AuthorCall;
pub use poq_runtime::SessionKeys;
pub use primitives::job::FailureReason;
pub use sp_runtime::{DispatchError, MultiSignature as Signature};

/// Addresses of everything on the chain: [`tx`](chain::tx) for calls, [`view_functions`](chain::view_functions),
/// [`storage`](chain::storage), [`constants`](chain::constants), and a module for each pallet with its `events`.
///
/// Pallets kept: the three of this project, `Balances`, `Session`, `Sudo`, `System`, `TransactionPayment`.
#[allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "generated"
)]
#[subxt::subxt(
    runtime_metadata_path = "metadata.scale",
    generate_docs,
    derive_for_all_types = "Clone, PartialEq, Eq",
    derive_for_type(path = "pallet_proof_of_quality::models::ModelKind", derive = "Copy"),
    derive_for_type(path = "pallet_proof_of_quality::models::Reward", derive = "Copy"),
    derive_for_type(path = "pallet_proof_of_quality::requests::Audit", derive = "Copy"),
    derive_for_type(path = "pallet_proof_of_quality::requests::Budget", derive = "Copy"),
    derive_for_type(path = "pallet_proof_of_quality::requests::Phase", derive = "Copy", recursive),
    derive_for_type(path = "pallet_proof_of_quality::requests::Sampling", derive = "Copy"),
    derive_for_type(path = "pallet_proof_of_quality::parameters::Parameters", derive = "Copy", recursive),
    derive_for_type(path = "pallet_proof_of_quality::duties::ClosedDuty", derive = "Copy", recursive),
    derive_for_type(path = "pallet_proof_of_quality::duties::Work", derive = "Copy"),
    derive_for_type(path = "pallet_proof_of_quality::duties::Workload", derive = "Copy"),
    derive_for_type(path = "pallet_proof_of_quality::operators::Unbonding", derive = "Copy"),
    substitute_type(path = "bounded_collections::bounded_vec::BoundedVec", with = "::std::vec::Vec"),
    substitute_type(
        path = "bounded_collections::bounded_btree_set::BoundedBTreeSet",
        with = "::std::vec::Vec"
    ),
    substitute_type(path = "sp_arithmetic::per_things::Permill", with = "::core::primitive::u32"),
    substitute_type(path = "sp_arithmetic::fixed_point::FixedU64", with = "::core::primitive::u64")
)]
pub mod chain {}

// The macro reads the file at compile time, and this tells cargo so.
const METADATA: &[u8] = include_bytes!("../metadata.scale");

/// The metadata that these types were generated from: those of the runtime of this release.
///
/// # Errors
/// [`Error::Undecodable`]: never, as a test shows.
pub fn metadata() -> Result<Metadata, Error> {
    Metadata::decode_from(METADATA).map_err(Error::of)
}

/// Parts per million, 0 to 1,000,000.
pub type Parts = u32;

/// SHA-256 of a model's file.
pub type ModelId = [u8; 32];

/// Terms of a request: everything but the prompt.
pub type Terms = pallet::requests::Terms<u128>;

/// Parts of a budget.
pub type Budget = pallet::requests::Budget<u128>;

/// Phase of a request.
pub type Phase = pallet::requests::Phase<u32>;

/// The economic parameters.
pub type Parameters = pallet::parameters::Parameters<u128, u32>;

/// A duty that is over.
pub type ClosedDuty = pallet::duties::ClosedDuty<u128>;

/// Stake on its way out.
pub type Unbonding = pallet::operators::Unbonding<u128, u32>;

/// A requester's deposit on the express lane.
pub type Channel = express::channels::Channel;

/// Price of a model's work.
pub type Price = pallet::models::Price<u128>;

/// Time that a model's operators have, in blocks.
pub type Windows = pallet::models::Windows<u32>;

impl From<PalletCall> for RootCall {
    fn from(call: PalletCall) -> Self {
        Self::ProofOfQuality(call)
    }
}

impl From<AuthorCall> for RootCall {
    fn from(call: AuthorCall) -> Self {
        Self::BlockAuthors(call)
    }
}

impl SessionKeys {
    /// The keys of a block author as a node gives them: 32 bytes for BABE, then 32 for GRANDPA. `None` if they are of another kind.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (babe, grandpa) = bytes.split_at_checked(32)?;
        Some(Self { babe: BabeKey(babe.try_into().ok()?), grandpa: GrandpaKey(grandpa.try_into().ok()?) })
    }
}

impl Budget {
    /// The whole.
    pub fn total(&self) -> u128 {
        self.inference.saturating_add(self.scoring).saturating_add(self.fee)
    }
}

impl Phase {
    /// Name in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Answering { .. } => "answering",
            Self::RevealingAnswers { .. } => "revealing_answers",
            Self::Selecting => "selecting",
            Self::Scoring { .. } => "scoring",
            Self::RevealingScores { .. } => "revealing_scores",
            Self::Settled { .. } => "settled",
            Self::Refunded { .. } => "refunded",
        }
    }

    /// The block in which the request was settled or refunded.
    pub fn closed_at(&self) -> Option<u64> {
        match self {
            Self::Settled { at, .. } | Self::Refunded { at, .. } => Some((*at).into()),
            _ => None,
        }
    }
}

impl RefundReason {
    /// For people.
    pub fn meaning(&self) -> &'static str {
        match self {
            Self::NoRandomness => "no randomness came for a draw",
            Self::NoInferenceNode => "no inference node could be drawn",
            Self::NoCommitment => "no inference node committed to an answer",
            Self::NoOutput => "no inference node showed the answer that it had committed to",
            Self::NoCommittee => "too few quality validators could be drawn",
            Self::NoQuorum => "too few of the committee revealed their scores, or nobody of two committees",
            Self::Busy => "the operators had as much open work as they take at a time",
            Self::Cancelled => "its requester cancelled it before anybody was drawn",
        }
    }
}

impl Work {
    /// Name in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Committed(_) => "committed",
            Self::Revealed => "revealed",
            Self::Failed(_) => "failed",
            Self::NotCommitted => "not_committed",
            Self::NotRevealed => "not_revealed",
        }
    }

    /// For people.
    pub fn meaning(&self) -> String {
        match self {
            Self::Failed(reason) => format!("failed: {reason:?}"),
            Self::NotCommitted => "absent".into(),
            Self::NotRevealed => "not revealed".into(),
            other => other.name().into(),
        }
    }

    /// The latency of work in this state, where there is any: the chain counts none until work is fixed.
    pub fn latency(&self, latency: Parts) -> Option<Parts> {
        (self.is_committed() || *self == Self::NotRevealed).then_some(latency)
    }

    /// Whether it got as far as a commitment.
    pub fn is_committed(&self) -> bool {
        matches!(self, Self::Committed(_) | Self::Revealed)
    }
}

impl Role {
    /// Name in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InferenceNode => "inference_node",
            Self::QualityValidator => "quality_validator",
        }
    }

    /// For people.
    pub fn meaning(&self) -> &'static str {
        match self {
            Self::InferenceNode => "answer",
            Self::QualityValidator => "score",
        }
    }
}

impl RequestView {
    /// The best response of a settled request, and its place.
    pub fn best(&self) -> Option<(u32, &ResponseView)> {
        let Phase::Settled { best, .. } = self.phase else { return None };
        self.responses.get(best as usize).map(|response| (best, response))
    }

    /// Quality of the best response.
    pub fn quality(&self) -> Option<Parts> {
        self.best()?.1.quality
    }

    /// Sum of what operators were paid from the budget.
    pub fn paid(&self) -> u128 {
        let answers = self.responses.iter().map(|response| response.paid);
        let scores = self.committees.iter().flatten().map(|member| member.paid);
        answers.chain(scores).fold(0, u128::saturating_add)
    }

    /// The scores that the last committee gave to response `index`, by member.
    ///
    /// A member's scores are in the order of the responses that were revealed.
    pub fn scores_of(&self, index: usize) -> Vec<(&MemberView, Parts)> {
        let revealed = |response: &ResponseView| response.work == Work::Revealed;
        if !self.responses.get(index).is_some_and(revealed) {
            return Vec::new();
        }
        let place = self.responses.iter().take(index).filter(|response| revealed(response)).count();
        let members = self.committees.last().into_iter().flatten();
        members.filter_map(|member| Some((member, *member.scores.get(place)?))).collect()
    }
}

impl Workload {
    /// The part that a model of this kind does.
    pub fn of(&self, kind: ModelKind) -> u32 {
        match kind {
            ModelKind::Generator => self.tokens,
            ModelKind::Evaluator => self.pairs,
        }
    }
}

impl Standing {
    /// Weight in the draw of inference nodes: reliability times quality, each at least as in `floor`.
    pub fn promise(&self, floor: &Standing) -> Parts {
        let reliability = u64::from(self.reliability.max(floor.reliability));
        let product = reliability * u64::from(self.quality.max(floor.quality)) / 1_000_000;
        u32::try_from(product).unwrap_or(u32::MAX)
    }
}

/// Split of the budget of a closed request: `paid + fee + refund` is the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The request.
    pub request: u64,
    /// Pay of the operators.
    pub paid: u128,
    /// The chain's part: its fee, the cost of waiting, and the pay that `min_quality` withheld.
    pub fee: u128,
    /// Sum returned to the requester.
    pub refund: u128,
}

impl Closed {
    /// The ends of requests in a block.
    pub(crate) fn all(events: &Events<SubstrateConfig>) -> impl Iterator<Item = Self> + use<'_> {
        let settled = events.find::<Settled>().filter_map(Result::ok);
        let refunded = events.find::<Refunded>().filter_map(Result::ok);
        let settled =
            settled.map(|Settled { request, paid, fee, refund, .. }| Self { request, paid, fee, refund });
        settled.chain(refunded.map(|Refunded { request, paid, fee, refund, .. }| Self {
            request,
            paid,
            fee,
            refund,
        }))
    }
}
