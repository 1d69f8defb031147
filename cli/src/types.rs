//! The chain's types as this program needs them. They are matched by name against the metadata of the node, so they go on
//! working when the chain adds fields.

use crate::amount::{parts, units};
use serde::{Deserialize, Serialize};
use subxt::{
    dynamic::Value,
    ext::{scale_decode::DecodeAsType, scale_encode::EncodeAsType},
    utils::AccountId32,
};

/// Parts per million.
pub type Parts = u32;

/// SHA-256 of a model's file.
pub type ModelId = [u8; 32];

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub enum ModelKind {
    /// Answers.
    Generator,
    /// Scores.
    Evaluator,
}

/// What a model costs.
#[derive(Clone, Copy, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Price {
    /// Whatever the size.
    pub base: u128,
    /// For each token, or each response.
    pub per_unit: u128,
}

/// How long its operators have, in blocks.
#[derive(Clone, Copy, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Windows {
    /// To do the work.
    pub commit: u64,
    /// To show it.
    pub reveal: u64,
}

/// What part of its share work earns: `alpha * quality - beta * latency`, both in units of 10^-9.
#[derive(Clone, Copy, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Reward {
    /// What quality (or agreement) is worth.
    pub alpha: u64,
    /// What latency costs.
    pub beta: u64,
}

/// A model with those who serve it.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct ModelView {
    /// SHA-256 of its file.
    pub id: ModelId,
    /// What it does.
    pub kind: ModelKind,
    /// UTF-8.
    pub name: Vec<u8>,
    /// What it costs.
    pub price: Price,
    /// How long its operators have.
    pub windows: Windows,
    /// By what part of its price the estimate is higher now, because there is more work than room.
    pub surcharge: Parts,
    /// What quality and latency are worth.
    pub reward: Reward,
    /// Of a generator: tokens that prompt and answer may take together. 0 of an evaluator.
    pub context: u32,
    /// Of an evaluator: how far apart its quality validators usually are.
    pub spread: Option<Parts>,
    /// Takes no new work.
    pub retired: bool,
    /// Who can be drawn.
    pub roster: Vec<CandidateView>,
}

/// An operator that can be drawn.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct CandidateView {
    /// Its account.
    pub operator: AccountId32,
    /// Its weight in draws.
    pub weight: u64,
}

/// How an answer is to be generated.
#[derive(Clone, Copy, Debug, DecodeAsType, EncodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
pub struct Sampling {
    /// Most tokens.
    pub max_tokens: u32,
    /// Temperature in thousandths.
    pub temperature_milli: u32,
    /// Seed.
    pub seed: u32,
}

/// What a requester asks for, besides the prompt.
#[derive(Clone, Debug, EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
pub struct Terms {
    /// Any of these may answer.
    pub generators: Vec<ModelId>,
    /// Scores.
    pub evaluator: ModelId,
    /// How an answer is to be generated.
    pub sampling: Sampling,
    /// Inference nodes wanted.
    pub responders: u32,
    /// Quality validators wanted.
    pub committee: u32,
    /// A response with a lower quality that is also clearly worse than usual earns only the base part of its price.
    pub min_quality: Parts,
    /// What is paid at most.
    pub budget: u128,
    /// Random, or the commitment to the answer key of an audit: nobody else can tell.
    pub audit: [u8; 32],
}

/// How a budget divides.
#[derive(Clone, Copy, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Budget {
    /// For the inference nodes.
    pub inference: u128,
    /// For the quality validators.
    pub scoring: u128,
    /// For the chain.
    pub fee: u128,
}

impl Budget {
    /// The whole.
    pub fn total(&self) -> u128 {
        self.inference.saturating_add(self.scoring).saturating_add(self.fee)
    }
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub enum Phase {
    /// Waits for the draw of inference nodes.
    Requested,
    /// Inference nodes work.
    Answering {
        /// Last block.
        until: u64,
    },
    /// Answers are revealed.
    RevealingAnswers {
        /// Last block.
        until: u64,
    },
    /// Waits for the draw of a committee.
    Selecting,
    /// The committee works.
    Scoring {
        /// Last block.
        until: u64,
    },
    /// Scores are revealed.
    RevealingScores {
        /// Last block.
        until: u64,
    },
    /// Paid for by quality.
    Settled {
        /// In this block.
        at: u64,
        /// Index of the best response.
        best: u32,
    },
    /// Came to nothing: what is not owed went back.
    Refunded {
        /// In this block.
        at: u64,
        /// Why.
        reason: RefundReason,
    },
}

impl Phase {
    /// Its name in JSON.
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

    /// The block in which it was over.
    pub fn closed_at(&self) -> Option<u64> {
        match self {
            Self::Settled { at, .. } | Self::Refunded { at, .. } => Some(*at),
            _ => None,
        }
    }
}

/// Why a request was refunded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
#[allow(clippy::enum_variant_names, reason = "the names are the chain's")]
pub enum RefundReason {
    /// No seed came.
    NoRandomness,
    /// Nobody could be drawn to answer.
    NoInferenceNode,
    /// Nobody committed to an answer.
    NoCommitment,
    /// Nobody showed an answer.
    NoOutput,
    /// Too few could be drawn to score.
    NoCommittee,
    /// Too few revealed their scores.
    NoQuorum,
    /// All had as much open work as they take.
    Busy,
}

impl RefundReason {
    /// For people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::NoRandomness => "no randomness came for a draw",
            Self::NoInferenceNode => "no inference node could be drawn",
            Self::NoCommitment => "no inference node committed to an answer",
            Self::NoOutput => "no inference node showed the answer that it had committed to",
            Self::NoCommittee => "too few quality validators could be drawn",
            Self::NoQuorum => "too few of the committee revealed their scores, or nobody of two committees",
            Self::Busy => "the operators had as much open work as they take at a time",
        }
    }
}

/// Why a duty could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub enum FailureReason {
    /// The engine does not have the model.
    ModelUnavailable,
    /// The engine refused.
    InvalidJob,
    /// The engine died of it.
    EngineAborted,
    /// It took too long.
    DeadlineExceeded,
    /// Anything else.
    Internal,
    /// The model had nothing to say.
    EmptyOutput,
}

/// How a piece of work stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub enum Work {
    /// Nothing came yet.
    Pending,
    /// Fixed, not revealed.
    Committed([u8; 32]),
    /// Revealed.
    Revealed,
    /// Reported as failed.
    Failed(FailureReason),
    /// Nothing came in time.
    NotCommitted,
    /// Not revealed in time.
    NotRevealed,
}

impl Work {
    /// Its name in JSON.
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

    /// Whether it got as far as a commitment.
    pub fn is_committed(&self) -> bool {
        matches!(self, Self::Committed(_) | Self::Revealed)
    }
}

/// A request with all that belongs to it.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct RequestView {
    /// Its number.
    pub id: u64,
    /// Who asked.
    pub requester: AccountId32,
    /// UTF-8.
    pub prompt: Vec<u8>,
    /// Any of these may answer.
    pub generators: Vec<ModelId>,
    /// Scores.
    pub evaluator: ModelId,
    /// How an answer is generated.
    pub sampling: Sampling,
    /// Inference nodes wanted.
    pub responders: u32,
    /// Quality validators wanted.
    pub committee_size: u32,
    /// A response with a lower quality that is also clearly worse than usual earns only the base part of its price.
    pub min_quality: Parts,
    /// How the budget divides.
    pub budget: Budget,
    /// What each response can earn beyond the price of its model.
    pub bonus: u128,
    /// Draws that were put off because operators were busy, each for `waiting_fee`.
    pub tries: u32,
    /// Block of the request.
    pub created: u64,
    /// Where it stands.
    pub phase: Phase,
    /// Since which block.
    pub since: u64,
    /// Turned out to be a known-answer audit.
    pub audited: bool,
    /// In the order of the draw.
    pub responses: Vec<ResponseView>,
    /// One for each round.
    pub committees: Vec<Vec<MemberView>>,
}

/// A response.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct ResponseView {
    /// Who answers.
    pub operator: AccountId32,
    /// With which generator.
    pub model: ModelId,
    /// How the work stands.
    pub work: Work,
    /// UTF-8.
    pub output: Vec<u8>,
    /// Part of the time there was that went by before the work was fixed.
    pub latency: Parts,
    /// Consensus score.
    pub quality: Option<Parts>,
    /// What was paid.
    pub paid: u128,
}

/// A member of a committee.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct MemberView {
    /// Who scores.
    pub operator: AccountId32,
    /// Weight in the consensus.
    pub weight: u64,
    /// How the work stands.
    pub work: Work,
    /// One for each revealed response.
    pub scores: Vec<Parts>,
    /// Part of the time there was that went by before the scores were fixed.
    pub latency: Parts,
    /// Closeness to the others.
    pub agreement: Option<Parts>,
    /// What was paid.
    pub paid: u128,
}

/// An open duty of an operator.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct OpenDuty {
    /// Of which request.
    pub request: u64,
    /// Which part.
    pub role: Role,
    /// How the work stands.
    pub work: Work,
}

/// An amount of open work. As JSON: `{"tokens": N, "pairs": N}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType, EncodeAsType, Serialize)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
pub struct Workload {
    /// To answer: tokens that may have to be generated, the sum of `max_tokens`.
    pub tokens: u32,
    /// To score: pairs of prompt and response.
    pub pairs: u32,
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

/// An operator.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct OperatorView {
    /// Its account.
    pub operator: AccountId32,
    /// Stake at work.
    pub stake: u128,
    /// Stake on its way out.
    pub unbonding: Option<Unbonding>,
    /// Its worker key.
    pub worker: Option<AccountId32>,
    /// What it serves.
    pub models: Vec<ModelId>,
    /// Keeps itself out of draws.
    pub chilled: bool,
    /// Can be drawn now.
    pub drawable: bool,
    /// How much open work it takes at a time.
    pub capacity: Workload,
    /// The work of its open duties.
    pub load: Workload,
    /// Its open duties.
    pub duties: Vec<OpenDuty>,
    /// Duties done and over.
    pub completed: u32,
    /// Duties over and not done.
    pub missed: u32,
    /// All it was ever paid.
    pub earned: u128,
    /// All it was ever slashed.
    pub slashed: u128,
    /// How well it worked.
    pub standing: Standing,
    /// What its standing counts for as a quality validator.
    pub trust: Parts,
    /// The latest duties that are over, oldest first.
    pub recent: Vec<ClosedDuty>,
}

/// How well an operator worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType, EncodeAsType, Serialize, Deserialize)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Closeness of its scores to those of the others.
    #[serde(with = "parts")]
    pub agreement: Parts,
    /// Closeness of its scores to the truth.
    #[serde(with = "parts")]
    pub veracity: Parts,
    /// Part of its duties to answer that it did.
    #[serde(with = "parts")]
    pub reliability: Parts,
    /// Consensus score of its answers.
    #[serde(with = "parts")]
    pub quality: Parts,
}

impl Standing {
    /// What its standing counts for as an inference node.
    pub fn promise(&self, floor: &Standing) -> Parts {
        let reliability = u64::from(self.reliability.max(floor.reliability));
        let product = reliability * u64::from(self.quality.max(floor.quality)) / 1_000_000;
        u32::try_from(product).unwrap_or(u32::MAX)
    }
}

/// The economic parameters. As JSON: amounts are strings in units of 10^-12 POQ, parts are numbers from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType, EncodeAsType, Serialize, Deserialize)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Least stake behind each model that an operator serves.
    #[serde(with = "units")]
    pub min_stake: u128,
    /// Up to how many times that a stake counts.
    pub stake_cap: u32,
    /// Blocks from unbonding to withdrawal.
    pub unbonding_period: u32,
    /// The chain's part of a budget.
    #[serde(with = "parts")]
    pub fee: Parts,
    /// The part of its price that an answer earns at least.
    #[serde(with = "parts")]
    pub base_pay: Parts,
    /// What each draw costs a requester that is put off because operators are busy.
    #[serde(with = "units")]
    pub waiting_fee: u128,
    /// Fewest quality validators of a request.
    pub min_committee: u32,
    /// What an absence costs.
    #[serde(with = "units")]
    pub absence_slash: u128,
    /// The part of its stake that a gross error costs.
    #[serde(with = "parts")]
    pub audit_slash: Parts,
    /// Most that all audits together may slash within `audit_window` blocks.
    #[serde(with = "units")]
    pub audit_allowance: u128,
    /// From which distance to the truth an error is gross; of several scores the worst counts.
    #[serde(with = "parts")]
    pub gross_error: Parts,
    /// Blocks after the end of a request in which an audit can be revealed.
    pub audit_window: u32,
    /// Distance at which a score is worth nothing, in spreads.
    pub tolerance_spreads: u32,
    /// It is never less.
    #[serde(with = "parts")]
    pub tolerance_least: Parts,
    /// Nor more.
    #[serde(with = "parts")]
    pub tolerance_most: Parts,
    /// Where standing begins, and what each part of it counts for at least.
    pub floor: Standing,
    /// How fast agreement and reliability go up.
    #[serde(with = "parts")]
    pub rise: Parts,
    /// How fast they go down.
    #[serde(with = "parts")]
    pub fall: Parts,
    /// How fast veracity goes up.
    #[serde(with = "parts")]
    pub audit_rise: Parts,
    /// How fast it goes down.
    #[serde(with = "parts")]
    pub audit_fall: Parts,
}

/// A request as it is stored, as far as audits go.
#[derive(Clone, Copy, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct StoredRequest {
    /// Where it stands.
    pub phase: Phase,
    /// What it carries for an audit.
    pub audit: Audit,
    /// The parameters under which it was made.
    pub parameters: Parameters,
}

/// What a request carries for an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub enum Audit {
    /// Random bytes, or a commitment to an answer key.
    Sealed([u8; 32]),
    /// A commitment that was revealed.
    Revealed,
}

/// A call that sudo makes as root, by the names of pallet and call.
#[derive(Clone, Debug, EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
pub enum RootCall {
    /// The pallet.
    ProofOfQuality(PalletCall),
    /// The list of block authors.
    BlockAuthors(AuthorCall),
}

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

/// See [`RootCall`].
#[derive(Clone, Debug, EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
#[allow(non_camel_case_types, reason = "the names are the chain's")]
pub enum AuthorCall {
    /// Adds one to the list.
    add_author {
        /// Its account.
        author: AccountId32,
    },
    /// Takes one off the list.
    remove_author {
        /// Its account.
        author: AccountId32,
    },
}

/// The public keys of a block author.
#[derive(Clone, Debug, EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
pub struct SessionKeys {
    /// Claims slots: sr25519.
    babe: [u8; 32],
    /// Votes on finality: ed25519.
    grandpa: [u8; 32],
}

impl SessionKeys {
    /// As a node gives them; `None` if they are of another kind.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (babe, grandpa) = bytes.split_at_checked(32)?;
        Some(Self { babe: babe.try_into().ok()?, grandpa: grandpa.try_into().ok()? })
    }
}

/// See [`RootCall`].
#[derive(Clone, Debug, EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
#[allow(non_camel_case_types, reason = "the names are the chain's")]
pub enum PalletCall {
    /// Sets the economic parameters.
    set_parameters {
        /// The new ones.
        parameters: Parameters,
    },
    /// Sets the accounts that reveal audits.
    set_auditors {
        /// All of them.
        auditors: Vec<AccountId32>,
    },
}

/// The arguments of the call that opens a known-answer audit.
#[derive(Clone, Debug, EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
pub struct RevealAudit {
    /// The request.
    pub request: u64,
    /// What it was a commitment to.
    pub key: AnswerKey,
    /// With this salt.
    pub salt: [u8; 32],
}

/// The answer key of an audit.
#[derive(Clone, Debug, EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
pub struct AnswerKey {
    /// A response with these words is right, if it has no decoy.
    pub reference: Vec<u8>,
    /// A response with one of these is wrong.
    pub decoys: Vec<Vec<u8>>,
    /// What a right response deserves.
    pub right: Parts,
    /// What a wrong one deserves.
    pub wrong: Parts,
}

/// Stake on its way out.
#[derive(Clone, Copy, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Unbonding {
    /// How much.
    pub amount: u128,
    /// First block in which it can be withdrawn.
    pub at: u64,
}

/// What an operator does in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub enum Role {
    /// Answers.
    InferenceNode,
    /// Scores.
    QualityValidator,
}

impl Role {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::InferenceNode => "inference_node",
            Self::QualityValidator => "quality_validator",
        }
    }

    /// For people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::InferenceNode => "answer",
            Self::QualityValidator => "score",
        }
    }
}

/// A duty that is over.
#[derive(Clone, Copy, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct ClosedDuty {
    /// The request.
    pub request: u64,
    /// The part.
    pub role: Role,
    /// What was paid.
    pub paid: u128,
    /// Why that much.
    pub outcome: Outcome,
}

/// Why a duty was paid or not.
#[derive(Clone, Copy, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub enum Outcome {
    /// This part of its share: quality or agreement, less latency.
    Paid(Parts),
    /// Below the requester's minimum and clearly worse than usual: the base part is paid.
    BelowMinQuality(Parts),
    /// Too far from the others.
    Disagreed,
    /// This quality or agreement is outweighed by its latency.
    TooSlow(Parts),
    /// Reported as failed.
    Failed(FailureReason),
    /// Nothing came in time.
    NotCommitted,
    /// Not revealed in time.
    NotRevealed,
    /// The request was refunded.
    Refunded(RefundReason),
    /// Nobody of the committee revealed anything, and another was drawn.
    Dismissed,
    /// The account could not take the money.
    NotPayable,
}

/// The event of a new request.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Requested {
    /// Its number.
    pub request: u64,
}

/// What the events of a request's end say: `paid + fee + refund` is its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Closed {
    /// The request.
    pub request: u64,
    /// What the operators were paid.
    pub paid: u128,
    /// What went to the chain: its fee, what waiting cost, and what `min_quality` withheld.
    pub fee: u128,
    /// What went back to the requester.
    pub refund: u128,
}

/// The event of a fee for a transaction.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct TransactionFeePaid {
    /// How much.
    pub actual_fee: u128,
}

/// The event of an audit that was revealed.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct AuditRevealed {
    /// Quality that each revealed response deserved, in the order of the responses.
    pub truth: Vec<Parts>,
}

/// The event of scores that were held against the truth.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Audited {
    /// Whose.
    pub operator: AccountId32,
    /// How far the worst of their scores was from the truth.
    pub error: Parts,
}

/// The event of stake that was taken.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Slashed {
    /// Whose.
    pub operator: AccountId32,
    /// How much.
    pub amount: u128,
}

/// The event of slashed stake that went to an operator whom a gross error had harmed.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Compensated {
    /// Whom.
    pub who: AccountId32,
    /// How much.
    pub amount: u128,
}

/// The event of new economic parameters.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct ParametersSet {
    /// The new ones.
    pub parameters: Parameters,
}

/// The event of a call that sudo made.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Sudid {
    /// What came of it.
    pub sudo_result: Result<(), Value>,
}

/// UTF-8 as the chain stores it, as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
