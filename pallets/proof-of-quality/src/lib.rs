//! # Proof of Quality
//!
//! A pallet with which anyone buys an answer from a language model and pays by how good it is.
//!
//! - [Overview](#overview) · [Terminology](#terminology) · [The life of a request](#the-life-of-a-request) ·
//!   [Example](#example)
//! - [Consensus](#consensus) · [Standing](#standing) · [Money](#money) · [Audits](#audits) · [Parameters](#parameters)
//! - [Design goals](#design-goals) · [Properties](#properties) · [What is not claimed](#what-is-not-claimed) ·
//!   [Embedding](#embedding)
//!
//! ## Overview
//!
//! The chain never runs a model. *Inference nodes* answer a request off chain; a random *committee* of *quality validators*
//! scores each answer with a small cross-encoder; the chain takes a robust consensus of the scores, and payment follows it.
//! The idea is PQML ("Proof of Quality: A Costless Paradigm for Trustless Generative AI Model Inference on Blockchains",
//! arXiv 2405.17934); messages, draws, formulas and life-cycle here are this project's own construction, except where a
//! source is named.
//!
//! ## Terminology
//!
//! | word | meaning |
//! |---|---|
//! | requester | the account that buys an inference |
//! | operator | an account with stake on hold that does work; it names one worker key |
//! | worker key | the hot sr25519 key (key type `poq!`) that signs work; it needs no balance |
//! | inference node | an operator that serves one or more generators |
//! | quality validator | an operator that serves one or more evaluators (never just "validator": that is a block author) |
//! | model | a registry entry: a generator or an evaluator, named by the SHA-256 of its file (GGUF, or the evaluator's manifest) |
//! | roster | the operators that serve a model, with their weights in draws |
//! | capacity | how much open work an operator takes at a time, in tokens and in pairs to score, by its own word |
//! | context | tokens that prompt and answer may take together, of a generator |
//! | committee | the quality validators drawn for one request |
//! | consensus score | what the chain makes of a response's scores |
//! | agreement | how close a quality validator's scores are to the consensus of the others |
//! | standing | what the chain remembers of how well an operator worked |
//! | trust | the part of a standing that counts for a quality validator |
//! | audit | a request whose right answer somebody committed to beforehand |
//! | auditor | an account that may reveal audits |
//! | settlement | paying, refunding, slashing and remembering, once per request |
//!
//! ## The life of a request
//!
//! ```text
//!  Requested ─> Answering ─> RevealingAnswers ─> Selecting ─> Scoring ─> RevealingScores ─> Settled ──────────────> pruned
//!      │  draw      │ commit       │ reveal          │ draw      │ commit      │ reveal         │ an audit may be    + Retention
//!      │ inference  │ to           │ the             │ the       │ to          │ the            │ revealed, up to
//!      │ nodes      │ outputs      │ outputs         │ committee │ scores      │ scores         │ and including
//!      │            │              │                 │ <─────────┴─── once ────┤                │ + audit_window
//!      └────────────┴──────────────┴─────────────────┴─────────────────────────┴> Refunded { reason } ─────────────> pruned
//! ```
//!
//! Each transition is documented on its [`Phase`]. A phase ends when everyone in it has acted or when its window closes;
//! windows are inclusive at both ends. With a single responder there is nobody to copy from, so its output needs no
//! commitment and `Answering` and `RevealingAnswers` are one. A committee of which less than a majority commits, or nobody reveals, is
//! dismissed and drawn anew once, without its members. Where some have revealed there is no second committee, because it would
//! know their scores.
//!
//! Both draws are made before the transactions of a block, in `on_poll`, from a seed that was unknown when the request was made or
//! its outputs were fixed. After a commitment an operator reveals or is slashed.
//!
//! ## Example
//!
//! From the tests of this pallet: a question, two answers, five quality validators, and who gets what.
#![doc = docify::embed!("src/tests/life.rs", from_question_to_settlement)]
//!
//! ## Consensus
//!
//! Scores are [`sp_runtime::Permill`]; nothing near consensus is a float. The rule is a type, [`Config::Aggregation`]; each
//! of the four that come with the pallet says at which share of liars it breaks ([`consensus`]).
//!
//! Nobody is measured against itself. The *deviation* of a quality validator is its distance from the consensus of the
//! others, and it is judged by the *spread* of those who score with the same evaluator: the moving average of committees'
//! median deviation ([`Spreads`]). A score is worth nothing at a distance of
//! `clamp(tolerance_spreads * spread, tolerance_least, tolerance_most)`, and in between in proportion
//! ([`consensus::agreement`]). So the same distance costs more where everybody agrees than where the evaluator is noisy.
//!
//! An evaluator may rank models well by many answers and a single answer badly. Of such a one [`Pallet::set_noise`] says how far its
//! single scores stray, and pay for an answer then leans on the quality that its operator is known for, without ever bringing more than it
//! has cost before ([`Forgone`]; formula: `settlement.rs`).
//!
//! ## Standing
//!
//! The chain's record of an operator's work, in four parts, each 0 to 1:
//!
//! | part | of | moves to | when |
//! |---|---|---|---|
//! | agreement | quality validator | its agreement; 0 for a duty not done | a duty closes; falls fast, rises slowly |
//! | veracity | quality validator | closeness of its scores to the truth | an audit is revealed; falls fast, rises slowly |
//! | reliability | inference node | 1 for a duty done, 0 for one that was not | a duty closes; falls fast, rises slowly |
//! | quality | inference node | the consensus score (in an audit, the truth) | a duty closes, an audit is revealed |
//!
//! A reported failure is a duty not done: an error is a miss, not an answer. A refusal changes no standing if more than half of the
//! operators refused, because anyone can ask for the impossible. Standing begins at `floor`, below which no part counts:
//! a bad name left behind is worth no less than a new one. With `trust = agreement * veracity^2`:
//!
//! | weight | is |
//! |---|---|
//! | of a quality validator in a draw | `stake * trust` |
//! | of its scores in the consensus | `trust`: the stake has counted in the draw |
//! | of an inference node in a draw | `stake * reliability * quality` |
//!
//! `stake` is an equal part of an operator's stake for each model that it serves, at least `min_stake`, and counts up to `stake_cap`
//! times that. Rosters hold the weights; a place is brought up to date when its operator registers, moves stake, or closes a
//! duty for that model. In a full roster an operator with more weight takes the place of the one with the least; a
//! chilled operator keeps its place against lighter ones for [`Config::ChillPatience`] blocks. (Ours.)
//!
//! A draw is a weighted rendezvous: each candidate has a key of its own, made of the seed, its account and its weight, and the
//! smallest keys are drawn. Whatever one operator does about its stake, its models or its capacity moves its own seat only.
//!
//! A draw passes over operators without room for the work: a flood of requests waits, and is refunded in the end, instead of
//! burying operators in work that they would be slashed for. While requests wait, those that offer most above the price are drawn
//! for first, and each try costs its requester `waiting_fee`. The estimate rises with the load and falls again ([`Surcharge`]).
//!
//! ## Money
//!
//! `budget = inference share + scoring share + fee`. Of it are paid, with `q` for the consensus score of a response or the agreement
//! of a quality validator, `l` for latency, and `earned = clamp(alpha * q - beta * l)` ([`Reward`], by model):
//!
//! | to | for | amount |
//! |---|---|---|
//! | inference node | an answer that was scored | `earned * (price + bonus)`, at least `base_pay * price` |
//! | inference node | an answer below `min_quality`, and below what the node is known for | `base_pay * price` |
//! | inference node | an answer that nobody has scored | as if `q` was the quality that it is known for |
//! | quality validator | scores | `earned` of an equal part of the scoring share |
//! | quality validator | scores of a committee without a quorum | `base_pay` of that part |
//! | chain | a request for which anybody was drawn | the fee |
//! | chain | such an answer | what it would have earned above the base |
//! | chain | a draw put off because operators had no room | `waiting_fee` |
//!
//! `price` is that of the model that answered; `bonus` is an equal part of what the budget has above the least. All else goes back.
//! So an answer that was revealed is paid for whatever becomes of its request, and neither a bar that nobody can reach nor a
//! committee that cannot be drawn makes it cheaper, or takes its pay. ("Below what it is known for" means by more than
//! `tolerance_most`.)
//!
//! Stake is taken only for what the chain can prove ([`SlashReason`]): no commitment, no matching reveal, and a gross error
//! that an audit shows. Disagreement only scales pay. Stake slashed for silence goes to [`Config::SlashHandler`], because
//! anyone who gained by it would have a reason to keep others from their work. Stake slashed for a gross error goes first to the
//! operators who would have earned more by the truth, each up to the difference. No requester is ever paid out of a slash.
//!
//! ## Audits
//!
//! Agreement is not truth, and a majority of lazy or colluding quality validators agree with each other. So every request
//! carries 32 bytes: random in an ordinary one, a commitment to an [`AnswerKey`] in an audit. Nobody can tell which, until
//! [`Config::AuditOrigin`] reveals it when the request is over ([`Pallet::reveal_audit`]), whatever became of it. Scores that were
//! committed to and not revealed are then as wrong as can be. The answer key names decoys besides the right answer, so that a list
//! of all names is not right.
//!
//! Auditors are trusted to tell the truth, the one trusted role of the protocol. They can only move standing, and stake up to
//! `audit_slash` of an operator's and `audit_allowance` of all together in a span of `audit_window` blocks. With
//! [`EnsureAuditor`] it is a set of keys that sign nothing else. Ask from several accounts: a revealed audit shows who asked it.
//!
//! ## Parameters
//!
//! All economic parameters are one record, [`Parameters`], set by [`Config::ParameterOrigin`] and checked as a whole. A
//! request keeps those under which it was made.
//!
//! ## Design goals
//!
//! 1. Lazy or dishonest work earns less than honest work, for any group with less than half of the trusted stake, and,
//!    with audits, in the long run also for one with more. The adversaries in this project's benches measure it.
//! 2. A requester never waits for ever and never pays more than its budget.
//! 3. A chain can take the pallet in with stock nodes: no host functions, no changes to the node.
//! 4. Nothing that one request costs the chain depends on how many others there are.
//!
//! ## Properties
//!
//! * **Liveness.** Every request that is not closed stands in the agenda under one block; when that block comes, or at the
//!   next one with room, its step is done, without any transaction. [`Pallet::advance`] does the same step for anyone.
//! * **Conservation.** `payments + fee + refund == budget`, to the unit. All money passes through one module; holds equal
//!   stakes plus open budgets ([`Pallet::check_invariants`]). A state machine of random operators, requesters and
//!   adversaries checks it after each of 100,000 transitions in the tests.
//! * **Unpredictability of draws.** A seed counts only for what was fixed before the block in which the seed became known:
//!   operators that joined or grew after the request are not drawn for it, and a committee is drawn only after the outputs
//!   are fixed. With a seed from the VRF of one block, its author knows it before all others, and can then give up seats of its own
//!   operators, one by one, or withhold the block at the price of its reward; it moves nobody else's seat.
//! * **No gain by another's loss.** A requester never ends richer than it began, and pays no less for answers whose scoring it
//!   spoils than for others. Nobody is paid for another's silence.
//! * **Separation.** No operator has two parts in a request, nor one in its own.
//! * **Bounded work.** Everything stored is bounded, the agenda is metered by measured weights, and a step weighs by the
//!   sizes of its request and of its rosters alone.
//!
//! ## What is not claimed
//!
//! * Which model ran is not proven. A small model tuned to please the evaluator can score close to a large honest one.
//! * Prompts and answers are public.
//! * Scores are only as good as the evaluator. Where quality varies less than quality validators differ, agreement carries
//!   no information and lazy scores earn almost as much as honest ones.
//! * Without audits a majority of trusted stake makes the consensus. With audits it does until enough of them are revealed.
//! * That two accounts are two people. Stake, low beginnings and the floor make many accounts no better than one.
//!
//! ## Embedding
//!
//! `docs/embed.md` goes through it step by step, with a runtime of under 80 lines. In short: take [`config_preludes`] for
//! what needs no thought and begin with [`Parameters::recommended`]; wrap the fee extension in
//! `pallet_skip_feeless_payment::SkipCheckIfFeeless`, so that [`Pallet::report_work`] is free exactly when every report in
//! it is due and valid (worker keys have no balance), and that in [`report_tags`], so that the pool keeps one report of a duty
//! and takes it before what is paid for; let the runtime sign with [`impl_create_signed_transaction`]; and run
//! nodes with off-chain workers on. A chain with an older version runs [`migrations`].

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

extern crate alloc;

// Floors, from below: nothing calls upwards.
//
// Formulas and words without storage.
pub mod consensus;
mod rendezvous;
mod standing;
mod unexpected;
pub mod weights;

// Owners: each is the only writer of its storage, `money` of the currency's holds; `duties` are types that they share.
mod agenda;
mod callbacks;
mod congestion;
mod duties;
mod models;
mod money;
mod operators;
mod parameters;
mod requests;
mod rosters;

// Modules that act on a request.
mod asking;
mod audits;
mod draws;
mod inference;
pub mod lane;
mod phases;
mod reports;
mod settlement;

// Modules that drive the protocol and show it.
#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
pub mod config_preludes;
pub mod driver;
mod invariants;
pub mod migrations;
pub mod report_tags;
mod steps;
mod views;

#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

pub use crate::pallet::*;
pub use audits::{AnswerKey, AnswerKeyOf, AuditSlashes, EnsureAuditor};
pub use callbacks::{Callback, Ending, OnSettled};
pub use congestion::Surcharge;
pub use consensus::{Aggregation, Mean, Median, TrimmedMean, WeightedMedian};
pub use duties::{
    ClosedDuty, Commitment, OpenDuties, Outcome, RefundReason, RequestId, Role, SlashReason, Work, Workload,
};
pub use inference::Inference;
pub use invariants::MOST_TO_CHECK;
pub use models::{Model, ModelId, ModelKind, Price, Reward, Windows, MOST_NOISE};
pub use operators::{Operator, Unbonding};
pub use parameters::{Parameters, ParametersOf};
pub use reports::{Report, ReportKind, ReportKindOf, ReportOf, ReportsOf};
pub use requests::{
    Audit, Budget, CommitteeOf, Member, Phase, Request, Response, ResponsesOf, Sampling, Terms,
};
pub use rosters::{Candidate, RosterOf};
pub use standing::{Experience, Standing};
pub use unexpected::UnexpectedKind;
pub use views::{
    CandidateView, DutyView, MemberView, ModelView, OperatorView, RequestView, ResponseView, MOST_ON_A_PAGE,
};
pub use weights::WeightInfo;

use frame_support::traits::fungible;

/// Balance of the pallet's currency.
pub type BalanceOf<T> =
    <<T as Config>::Currency as fungible::Inspect<<T as frame_system::Config>::AccountId>>::Balance;

/// Credit in the pallet's currency.
pub type CreditOf<T> = fungible::Credit<<T as frame_system::Config>::AccountId, <T as Config>::Currency>;

const LOG_TARGET: &str = "poq::pallet";

// The macros of FRAME expand to `expect`; this module only declares, the work stands in the others. A call has as many arguments as
// its transaction.
#[allow(clippy::expect_used, clippy::too_many_arguments)]
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use alloc::vec::Vec;
    use frame_support::{
        pallet_prelude::*,
        traits::{fungible, OnUnbalanced, Randomness},
        weights::WeightMeter,
        BoundedBTreeSet,
    };
    use frame_system::{
        offchain::{AppCrypto, CreateSignedTransaction},
        pallet_prelude::*,
    };
    use poq_primitives::commitment::Salt;
    use sp_runtime::{
        traits::{IdentifyAccount, Verify},
        FixedU64, Permill,
    };

    /// Types and limits chosen by the runtime. [`config_preludes`] has defaults.
    #[pallet::config(with_default)]
    pub trait Config:
        frame_system::Config<RuntimeEvent: From<Event<Self>>>
        + CreateSignedTransaction<
            Call<Self>,
            Signature: DecodeWithMemTracking + Verify<Signer: IdentifyAccount<AccountId = Self::AccountId>>,
        >
    {
        /// The currency of stakes and budgets.
        #[pallet::no_default]
        type Currency: fungible::hold::Mutate<Self::AccountId, Reason = Self::RuntimeHoldReason>
            + fungible::hold::Balanced<Self::AccountId, Reason = Self::RuntimeHoldReason>;

        /// The runtime's composite reason for holds.
        #[pallet::no_default_bounds]
        type RuntimeHoldReason: From<HoldReason>;

        /// The origin that registers and retires models.
        #[pallet::no_default]
        type ModelOrigin: EnsureOrigin<Self::RuntimeOrigin>;

        /// The origin that sets the economic parameters.
        #[pallet::no_default]
        type ParameterOrigin: EnsureOrigin<Self::RuntimeOrigin>;

        /// The origin that reveals known-answer audits. Recommended: [`EnsureAuditor`], a set of keys that sign nothing else. It is
        /// the only trusted party of the protocol; `audit_allowance` bounds the damage of one that lies.
        #[pallet::no_default]
        type AuditOrigin: EnsureOrigin<Self::RuntimeOrigin>;

        /// The economic parameters until others are set.
        #[pallet::no_default]
        type DefaultParameters: Get<ParametersOf<Self>>;

        /// Seeds of the draws. `None` means "not yet"; the block returned with a seed is the one since which anybody can
        /// know it.
        #[pallet::no_default]
        type Randomness: Randomness<Option<Self::Hash>, BlockNumberFor<Self>>;

        /// The rule that makes a consensus score of a committee's scores.
        type Aggregation: Aggregation;

        /// Signature scheme of worker keys, by which the driver also finds them in the keystore.
        #[pallet::no_default_bounds]
        type WorkerCrypto: AppCrypto<Self::Public, Self::Signature>;

        /// Receiver of the chain's fee.
        #[pallet::no_default_bounds]
        type FeeHandler: OnUnbalanced<CreditOf<Self>>;

        /// Receiver of what nobody may gain by: slashed stake that compensates nobody, and pay that `min_quality` withheld or that operators
        /// forwent ([`Forgone`]).
        #[pallet::no_default_bounds]
        type SlashHandler: OnUnbalanced<CreditOf<Self>>;

        /// Handler of the ends of requests that other pallets made through [`Inference`]; `()` if none do. Take a handler away only when no
        /// callback is left.
        #[pallet::no_default_bounds]
        type OnSettled: OnSettled<Self::AccountId>;

        /// Price of a callback to that handler, which the requester pays with the request; goes to `FeeHandler`. Recommended: the fee for
        /// the handler's weight, [`OnSettled::weight`].
        #[pallet::no_default_bounds]
        type CallbackPrice: Get<BalanceOf<Self>>;

        /// Longest prompt, in bytes.
        #[pallet::constant]
        type MaxPromptLength: Get<u32>;

        /// Longest output, in bytes.
        #[pallet::constant]
        type MaxOutputLength: Get<u32>;

        /// Most tokens that a request may ask for.
        #[pallet::constant]
        type MaxTokens: Get<u32>;

        /// Longest name of a model, in bytes.
        #[pallet::constant]
        type MaxNameLength: Get<u32>;

        /// Most inference nodes of a request.
        #[pallet::constant]
        type MaxResponders: Get<u32>;

        /// Most quality validators of a request.
        #[pallet::constant]
        type MaxCommittee: Get<u32>;

        /// Most generators that a request may name.
        #[pallet::constant]
        type MaxModelsPerRequest: Get<u32>;

        /// Most models that an operator serves.
        #[pallet::constant]
        type MaxModelsPerOperator: Get<u32>;

        /// Most operators that serve one model.
        #[pallet::constant]
        type MaxOperatorsPerModel: Get<u32>;

        /// Most duties that an operator has at a time, whatever its capacity: they stand in its record. Lower it only while nobody
        /// has more.
        #[pallet::constant]
        type MaxDuties: Get<u32>;

        /// Open work that an operator takes at a time, as long as it has not said otherwise: what a laptop does within the shortest
        /// windows. Neither number zero.
        #[pallet::constant]
        type DefaultCapacity: Get<Workload>;

        /// Most accounts that reveal audits.
        #[pallet::constant]
        type MaxAuditors: Get<u32>;

        /// Most decoys of an answer key.
        #[pallet::constant]
        type MaxDecoys: Get<u32>;

        /// Blocks for which a chilled operator keeps its places in full rosters against others who weigh less.
        #[pallet::no_default_bounds]
        #[pallet::constant]
        type ChillPatience: Get<BlockNumberFor<Self>>;

        /// Milliseconds from a block to the next: by them the driver tells the engine how long a job has. At least 1.
        #[pallet::constant]
        type BlockMillis: Get<u64>;

        /// Most reports in one call of [`Pallet::report_work`].
        #[pallet::constant]
        type MaxReports: Get<u32>;

        /// Number of ended duties that an operator's record keeps.
        #[pallet::constant]
        type RecentDuties: Get<u32>;

        /// Longest reference answer of an audit, in bytes.
        #[pallet::constant]
        type MaxReferenceLength: Get<u32>;

        /// Highest `alpha` of a model's [`Reward`], 1 to 10.
        #[pallet::constant]
        type MaxAlpha: Get<FixedU64>;

        /// Highest `beta` of a model's [`Reward`], at most `MaxAlpha`.
        #[pallet::constant]
        type MaxBeta: Get<FixedU64>;

        /// Blocks that a draw waits for a seed, or for operators with room, before a request is refunded.
        #[pallet::no_default_bounds]
        #[pallet::constant]
        type SeedPatience: Get<BlockNumberFor<Self>>;

        /// Blocks for which a closed request is kept, the last one included.
        #[pallet::no_default_bounds]
        #[pallet::constant]
        type Retention: Get<BlockNumberFor<Self>>;

        /// Longest window of a model, in blocks.
        #[pallet::no_default_bounds]
        #[pallet::constant]
        type MaxWindow: Get<BlockNumberFor<Self>>;

        /// Most weight that the agenda takes of a block, in `on_poll` and again in `on_idle`.
        #[pallet::constant]
        type AgendaWeight: Get<Weight>;

        /// Age in blocks that a duty must have before the driver starts expensive work for it: protects against re-orgs
        /// at the price of latency. An operator can say otherwise for its node, see
        /// [`poq_primitives::keys::DEPTH_KEY`].
        #[pallet::no_default_bounds]
        #[pallet::constant]
        type DriverDepth: Get<BlockNumberFor<Self>>;

        /// Weights of calls and of the agenda's steps.
        type WeightInfo: WeightInfo;
    }

    /// The version of the pallet's storage, see [`crate::migrations`].
    const STORAGE_VERSION: StorageVersion = StorageVersion::new(3);

    /// The pallet.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// Why the pallet holds balance.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// An operator's stake, at work or unbonding.
        Stake,
        /// The budget of an open request.
        Budget,
    }

    /// The economic parameters in force. A request keeps those under which it was made.
    #[pallet::storage]
    #[pallet::whitelist_storage]
    pub type EconomicParameters<T: Config> =
        StorageValue<_, ParametersOf<T>, ValueQuery, T::DefaultParameters>;

    /// The accounts that reveal audits.
    #[pallet::storage]
    pub type Auditors<T: Config> = StorageValue<_, BoundedBTreeSet<T::AccountId, T::MaxAuditors>, ValueQuery>;

    /// Stake slashed by audits in the latest span of `audit_window` blocks.
    #[pallet::storage]
    pub type LatestAuditSlashes<T: Config> =
        StorageValue<_, AuditSlashes<BalanceOf<T>, BlockNumberFor<T>>, ValueQuery>;

    /// For each evaluator, how far apart those who score with it usually are: the moving average of the median distance
    /// from the consensus of the others. `None` until the first settlement.
    #[pallet::storage]
    pub type Spreads<T: Config> = StorageMap<_, Identity, ModelId, Permill>;

    /// For each evaluator, the standard deviation of its scores of single answers around what the answers deserve, where it was said. Where
    /// it was, pay for an answer leans on the operator's answers before it.
    #[pallet::storage]
    pub type Noises<T: Config> = StorageMap<_, Identity, ModelId, Permill, ValueQuery>;

    /// For each operator, what leaning has taken from its pay for answers, less what it has added: it can add that much more. No value is 0.
    #[pallet::storage]
    pub type Forgone<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, BalanceOf<T>, ValueQuery>;

    /// Callbacks of requests that other pallets made, until they are made.
    #[pallet::storage]
    pub type Callbacks<T: Config> = StorageMap<_, Twox64Concat, RequestId, Callback>;

    /// Callbacks that wait for room in a block.
    #[pallet::storage]
    pub type DueCallbacks<T: Config> = StorageMap<_, Twox64Concat, RequestId, ()>;

    /// For each model, by how much the price of its work was up when that was last too much for its operators.
    #[pallet::storage]
    pub type Surcharges<T: Config> = StorageMap<_, Identity, ModelId, Surcharge<BlockNumberFor<T>>>;

    /// The model registry.
    #[pallet::storage]
    pub type Models<T: Config> = StorageMap<_, Identity, ModelId, Model<T>>;

    /// The operators that serve a model: registered, and with the minimum stake when they last registered, moved stake or finished a
    /// duty for this model. An operator slashed below the minimum since then is removed by the next draw that meets it. A chilled
    /// operator keeps its place for `ChillPatience` blocks and is not drawn. In a full roster an operator with more weight takes the
    /// place of the one with the least.
    #[pallet::storage]
    pub type Rosters<T: Config> = StorageMap<_, Identity, ModelId, RosterOf<T>, ValueQuery>;

    /// The operators, by account, with their open duties.
    #[pallet::storage]
    pub type Operators<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, Operator<T>>;

    /// The operator of each worker key.
    #[pallet::storage]
    pub type Workers<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, T::AccountId>;

    /// The id of the next request.
    #[pallet::storage]
    #[pallet::whitelist_storage]
    pub type NextRequest<T: Config> = StorageValue<_, RequestId, ValueQuery>;

    /// Number of open requests.
    #[pallet::storage]
    #[pallet::whitelist_storage]
    pub type OpenRequests<T: Config> = StorageValue<_, u32, ValueQuery>;

    /// The requests, open and retained.
    #[pallet::storage]
    pub type Requests<T: Config> = StorageMap<_, Twox64Concat, RequestId, Request<T>>;

    /// Their prompts, UTF-8.
    #[pallet::storage]
    pub type Prompts<T: Config> =
        StorageMap<_, Twox64Concat, RequestId, BoundedVec<u8, T::MaxPromptLength>, ValueQuery>;

    /// Their responses.
    #[pallet::storage]
    pub type Responses<T: Config> = StorageMap<_, Twox64Concat, RequestId, ResponsesOf<T>, ValueQuery>;

    /// The outputs that were revealed, by request and index of the response, UTF-8.
    #[pallet::storage]
    pub type Outputs<T: Config> = StorageDoubleMap<
        _,
        Twox64Concat,
        RequestId,
        Twox64Concat,
        u32,
        BoundedVec<u8, T::MaxOutputLength>,
        ValueQuery,
    >;

    /// Their committees, by request and round.
    #[pallet::storage]
    pub type Committees<T: Config> =
        StorageDoubleMap<_, Twox64Concat, RequestId, Twox64Concat, u8, CommitteeOf<T>, ValueQuery>;

    /// Which requests are due in which block. Every stored request stands here once, under its `due`.
    #[pallet::storage]
    pub type Agenda<T: Config> =
        StorageDoubleMap<_, Twox64Concat, BlockNumberFor<T>, Twox64Concat, RequestId, ()>;

    /// The first block whose agenda may not be done; `None` until the first request, so that a chain that takes the
    /// pallet in late does not walk through its whole past.
    #[pallet::storage]
    #[pallet::whitelist_storage]
    pub type AgendaCursor<T: Config> = StorageValue<_, BlockNumberFor<T>>;

    /// A model of the genesis block.
    #[derive(
        CloneNoBound, DebugNoBound, PartialEqNoBound, EqNoBound, serde::Serialize, serde::Deserialize,
    )]
    #[serde(bound = "")]
    pub struct GenesisModel<T: Config> {
        /// SHA-256 of the file.
        pub id: ModelId,
        /// The model's kind.
        pub kind: ModelKind,
        /// A name for people.
        pub name: alloc::string::String,
        /// The model's price.
        pub price: Price<BalanceOf<T>>,
        /// Windows in which its operators must commit and reveal.
        pub windows: Windows<BlockNumberFor<T>>,
        /// Weights of quality and latency in an answer's pay.
        #[serde(default)]
        pub reward: Reward,
        /// Tokens that prompt and answer may take together; of an evaluator 0, or left out.
        #[serde(default)]
        pub context: u32,
        /// Of an evaluator: standard deviation of its single scores, at most [`MOST_NOISE`]; 0 if left out.
        #[serde(default)]
        pub noise: Permill,
    }

    /// An operator of the genesis block.
    #[derive(
        CloneNoBound, DebugNoBound, PartialEqNoBound, EqNoBound, serde::Serialize, serde::Deserialize,
    )]
    #[serde(bound = "")]
    pub struct GenesisOperator<T: Config> {
        /// Its account, funded with more than `stake`.
        pub operator: T::AccountId,
        /// Its stake.
        pub stake: BalanceOf<T>,
        /// Its worker key.
        pub worker: T::AccountId,
        /// The models it serves.
        pub models: Vec<ModelId>,
        /// Open work that it takes at a time; `DefaultCapacity` if left out.
        #[serde(default)]
        pub capacity: Option<Workload>,
    }

    /// Models, operators and auditors of the genesis block.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// The models.
        pub models: Vec<GenesisModel<T>>,
        /// The operators.
        pub operators: Vec<GenesisOperator<T>>,
        /// The accounts that reveal audits.
        pub auditors: Vec<T::AccountId>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        /// Panics on a genesis that breaks a rule: a chain must not start from it.
        fn build(&self) {
            for model in &self.models {
                models::register::<T>(
                    model.id,
                    model.kind,
                    model.name.clone().into_bytes(),
                    model.price,
                    model.windows,
                    model.reward,
                    model.context,
                )
                .expect("genesis models are valid");
                if !model.noise.is_zero() {
                    models::set_noise::<T>(model.id, model.noise).expect("only evaluators have noise");
                }
            }
            for operator in &self.operators {
                operators::bond::<T>(&operator.operator, operator.stake)
                    .expect("genesis operators can pay their stake");
                operators::register::<T>(
                    &operator.operator,
                    operator.worker.clone(),
                    BoundedVec::try_from(operator.models.clone())
                        .expect("genesis operators serve few models"),
                )
                .expect("genesis operators serve registered models");
                if let Some(capacity) = operator.capacity {
                    operators::set_capacity::<T>(&operator.operator, capacity)
                        .expect("genesis operators take some work");
                }
            }
            let auditors = BoundedVec::try_from(self.auditors.clone()).expect("genesis auditors are few");
            audits::set_auditors::<T>(auditors).expect("auditors can be set");
        }
    }

    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A model can be asked for.
        ModelRegistered {
            /// SHA-256 of its file.
            model: ModelId,
            /// The model's kind.
            kind: ModelKind,
        },
        /// A model takes no new requests.
        ModelRetired {
            /// SHA-256 of its file.
            model: ModelId,
        },
        /// Stake was put on hold.
        Bonded {
            /// The operator whose stake grew.
            operator: T::AccountId,
            /// Stake added, in the smallest unit of the currency.
            amount: BalanceOf<T>,
        },
        /// An operator named its worker key and models.
        Registered {
            /// The operator that registered.
            operator: T::AccountId,
            /// Its worker key.
            worker: T::AccountId,
            /// The models it serves.
            models: BoundedVec<ModelId, T::MaxModelsPerOperator>,
        },
        /// An operator is not drawn any more.
        Chilled {
            /// The operator that chilled.
            operator: T::AccountId,
        },
        /// An operator can be drawn again.
        Resumed {
            /// The operator that resumed.
            operator: T::AccountId,
        },
        /// Stake is on its way out.
        Unbonding {
            /// The operator whose stake leaves.
            operator: T::AccountId,
            /// Stake added to what leaves.
            amount: BalanceOf<T>,
            /// First block in which it can be withdrawn.
            at: BlockNumberFor<T>,
        },
        /// Stake was released.
        Withdrawn {
            /// The operator whose stake was released.
            operator: T::AccountId,
            /// Stake released.
            amount: BalanceOf<T>,
        },
        /// A request was made and its budget is on hold.
        Requested {
            /// Number of the request.
            request: RequestId,
            /// The account that asked and pays.
            requester: T::AccountId,
            /// The budget that is on hold.
            budget: BalanceOf<T>,
        },
        /// Inference nodes were drawn.
        InferenceNodesDrawn {
            /// The request.
            request: RequestId,
            /// The inference nodes, in the order of the draw.
            operators: BoundedVec<T::AccountId, T::MaxResponders>,
        },
        /// A committee was drawn.
        CommitteeDrawn {
            /// The request.
            request: RequestId,
            /// 0, or 1 after a redraw.
            round: u8,
            /// The quality validators, in the order of the draw.
            operators: BoundedVec<T::AccountId, T::MaxCommittee>,
        },
        /// A request entered a phase.
        PhaseEntered {
            /// The request.
            request: RequestId,
            /// The phase.
            phase: Phase<BlockNumberFor<T>>,
        },
        /// An operator reported work.
        WorkReported {
            /// The request.
            request: RequestId,
            /// The operator that reported.
            operator: T::AccountId,
            /// State of its work after the report.
            work: Work,
        },
        /// A duty is over.
        DutyClosed {
            /// The operator whose duty is over.
            operator: T::AccountId,
            /// Request, role, pay and the reason for the pay.
            duty: ClosedDuty<BalanceOf<T>>,
        },
        /// Stake was taken.
        Slashed {
            /// The operator whose stake was taken.
            operator: T::AccountId,
            /// The request in which the fault was made.
            request: RequestId,
            /// Stake taken.
            amount: BalanceOf<T>,
            /// The fault.
            reason: SlashReason,
        },
        /// Stake slashed for a gross error went to an operator that the error had harmed.
        Compensated {
            /// The operator: one who worked in the request and was not paid what it deserved.
            who: T::AccountId,
            /// The request.
            request: RequestId,
            /// Stake moved to the harmed operator.
            amount: BalanceOf<T>,
        },
        /// A request turned out to be a known-answer audit.
        AuditRevealed {
            /// The request.
            request: RequestId,
            /// The reference answer.
            reference: BoundedVec<u8, T::MaxReferenceLength>,
            /// Quality that each revealed response deserved, in the order of the responses.
            truth: BoundedVec<Permill, T::MaxResponders>,
        },
        /// A quality validator's scores were held against the truth.
        Audited {
            /// The request.
            request: RequestId,
            /// The quality validator whose scores were compared.
            operator: T::AccountId,
            /// Distance of the worst of its scores from the truth.
            error: Permill,
        },
        /// There are new economic parameters. Open requests keep the old ones.
        ParametersSet {
            /// The new parameters.
            parameters: ParametersOf<T>,
        },
        /// A request was settled: `paid + fee + refund` is its budget.
        Settled {
            /// The request.
            request: RequestId,
            /// Index of the best response.
            best: u32,
            /// Its consensus score.
            quality: Permill,
            /// Sum paid to operators.
            paid: BalanceOf<T>,
            /// The chain's part: its fee, what waiting cost, and what answers below `min_quality` would have earned above the base.
            fee: BalanceOf<T>,
            /// Sum returned to the requester.
            refund: BalanceOf<T>,
        },
        /// A request came to nothing: `paid + fee + refund` is its budget.
        Refunded {
            /// The request.
            request: RequestId,
            /// Reason for the refund.
            reason: RefundReason,
            /// Sum paid to operators, for revealed answers and revealed scores.
            paid: BalanceOf<T>,
            /// The chain's part, as in [`Event::Settled`]; without its fee if nobody was drawn.
            fee: BalanceOf<T>,
            /// Sum returned to the requester.
            refund: BalanceOf<T>,
        },
        /// A closed request was forgotten.
        Pruned {
            /// The request.
            request: RequestId,
        },
        /// Something that cannot happen did; the chain went on. Please report it.
        Unexpected {
            /// The event that was thought impossible.
            kind: UnexpectedKind,
        },
        /// An operator said how much open work it takes at a time.
        CapacitySet {
            /// The operator.
            operator: T::AccountId,
            /// The new capacity.
            capacity: Workload,
        },
        /// An operator lost its place in a full roster to one that weighs more, or because it had chilled for too long.
        Displaced {
            /// The operator that lost its place.
            operator: T::AccountId,
            /// The model of the roster.
            model: ModelId,
        },
        /// There are new auditors.
        AuditorsSet {
            /// All auditors.
            auditors: BoundedVec<T::AccountId, T::MaxAuditors>,
        },
        /// How far an evaluator's single scores stray was said.
        NoiseSet {
            /// SHA-256 of its file.
            model: ModelId,
            /// Their standard deviation.
            noise: Permill,
        },
        /// The handler of requests of other pallets has heard of the end of a request.
        CalledBack {
            /// The request.
            request: RequestId,
        },
        /// That handler returned an error; it has changed nothing. [`Pallet::retry_callback`] tries again.
        CallbackFailed {
            /// The request.
            request: RequestId,
            /// The error.
            error: DispatchError,
        },
    }

    #[pallet::error]
    pub enum Error<T> {
        /// A model with this id exists.
        ModelExists,
        /// No such model.
        UnknownModel,
        /// The model is of the other kind: generators answer, evaluators score.
        WrongModelKind,
        /// The model is retired.
        ModelRetired,
        /// A model's name must be UTF-8 and not longer than `MaxNameLength`.
        InvalidName,
        /// Windows must be between 1 and `MaxWindow` blocks.
        InvalidWindows,
        /// `alpha` must be above zero and at most `MaxAlpha`, `beta` at most `MaxBeta` and at most `alpha`.
        InvalidReward,
        /// The parameters do not hold together; the view function `check_parameters` says why.
        InvalidParameters,
        /// Nothing to do with an amount of zero.
        ZeroAmount,
        /// The account has no stake; bond first.
        NotAnOperator,
        /// The stake is less than the minimum (`min_stake` of the parameters) for each model served.
        StakeTooSmall,
        /// The stake is less than the amount.
        NotEnoughStake,
        /// The stake left at work must be zero or at least the minimum for each model served.
        RemainderTooSmall,
        /// Another operator has this worker key.
        WorkerInUse,
        /// An account that is an operator cannot be a worker key.
        WorkerIsOperator,
        /// A list of models must not be empty nor name a model twice.
        InvalidModelList,
        /// The model has as many operators as it can, and all of them weigh as much or more.
        RosterFull,
        /// The operator is chilled already.
        AlreadyChilled,
        /// The operator is not chilled.
        NotChilled,
        /// Register a worker key and models first.
        NotRegistered,
        /// No stake can be withdrawn yet.
        NothingToWithdraw,
        /// The operator has open duties; its stake stays until they are over.
        OpenDuties,
        /// The prompt is empty.
        EmptyPrompt,
        /// The prompt is longer than `MaxPromptLength`.
        PromptTooLong,
        /// The text is not UTF-8.
        NotUtf8,
        /// `max_tokens` must be 1 to `MaxTokens`, `temperature_milli` at most 2,000.
        InvalidSampling,
        /// At least one responder, at most `MaxResponders`.
        InvalidResponders,
        /// A committee has at least `min_committee` members (of the parameters) and at most `MaxCommittee`.
        InvalidCommittee,
        /// Fewer inference nodes can be drawn than were asked for.
        NotEnoughInferenceNodes,
        /// Fewer quality validators can be drawn than were asked for.
        NotEnoughQualityValidators,
        /// The budget is less than the price of the work and the fee.
        BudgetTooSmall,
        /// A number does not fit.
        Overflow,
        /// The requester's free balance does not cover the budget.
        InsufficientBalance,
        /// No such request: never made, or pruned.
        UnknownRequest,
        /// The request is not due for a step.
        NotDue,
        /// The signer is no operator's worker key.
        UnknownWorker,
        /// A batch must not be empty.
        NoReports,
        /// A batch must be in ascending order of requests, one report for each.
        UnorderedReports,
        /// The operator has no part in this request (or none any more).
        NotYourDuty,
        /// The request is in an earlier phase; report again when it is in the right one.
        TooEarly,
        /// The request is past the phase for this report.
        TooLate,
        /// The work was committed to already.
        AlreadyCommitted,
        /// The work was revealed, or reported as failed, already.
        AlreadyDone,
        /// The operator has not committed to this work.
        NotCommitted,
        /// The revealed payload and salt do not match the commitment.
        RevealMismatch,
        /// An output must not be empty.
        EmptyOutput,
        /// One score for each revealed response, no more and no less.
        WrongNumberOfScores,
        /// Only a request that is over can turn out to be an audit.
        NotSettled,
        /// The audit was revealed already.
        AlreadyAudited,
        /// The time to reveal an audit of this request is over.
        AuditTooLate,
        /// The request carries no commitment to this answer key.
        AuditMismatch,
        /// A reference answer or decoy must not be empty: every response would be wrong.
        EmptyReference,
        /// A capacity of no tokens and no pairs; chill to take no work.
        InvalidCapacity,
        /// A generator's context is at least 1 token; an evaluator has none (0).
        InvalidContext,
        /// Prompt and answer may not fit into a generator's context: the prompt's bytes and `max_tokens` together must not be above it.
        /// Ask shorter, for fewer tokens, or another model.
        ContextTooSmall,
        /// The worker key has not agreed to work for the signer: the signature is missing or of something else.
        InvalidConsent,
        /// An evaluator's noise is at most [`MOST_NOISE`].
        InvalidNoise,
        /// The request has no callback that is due or has failed.
        NoCallback,
        /// Only who has asked can cancel the request.
        NotRequester,
        /// Only a request for which no inference nodes were drawn can be cancelled.
        NotWaiting,
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_poll(now: BlockNumberFor<T>, meter: &mut WeightMeter) {
            steps::service::<T>(now, steps::When::BeforeTransactions, meter);
        }

        fn on_idle(now: BlockNumberFor<T>, remaining: Weight) -> Weight {
            let mut meter = WeightMeter::with_limit(remaining);
            steps::service::<T>(now, steps::When::AfterTransactions, &mut meter);
            inference::service::<T>(&mut meter);
            meter.consumed()
        }

        fn offchain_worker(now: BlockNumberFor<T>) {
            driver::run::<T>(now);
        }

        #[cfg(feature = "std")]
        fn integrity_test() {
            invariants::check_config::<T>().expect("the configuration of the pallet holds together");
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            invariants::check::<T>().map_err(sp_runtime::TryRuntimeError::Other)
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Adds a model to the registry.
        ///
        /// Origin: `ModelOrigin`.
        /// Details: `id` is the SHA-256 of the model's file. Price, windows and reward of a model never change, and
        /// the same file cannot be registered anew under other terms: choose windows wide enough for the slowest operator.
        /// `context` is for generators the number of tokens that prompt and answer may take together, 0 for evaluators; a request
        /// whose prompt (a byte counts as a token) and `max_tokens` may not fit is refused.
        /// Errors: [`Error::ModelExists`], [`Error::InvalidName`], [`Error::InvalidWindows`], [`Error::InvalidReward`],
        /// [`Error::InvalidContext`].
        /// Events: [`Event::ModelRegistered`].
        #[pallet::call_index(0)]
        #[pallet::weight(T::WeightInfo::register_model())]
        pub fn register_model(
            origin: OriginFor<T>,
            id: ModelId,
            kind: ModelKind,
            name: Vec<u8>,
            price: Price<BalanceOf<T>>,
            windows: Windows<BlockNumberFor<T>>,
            reward: Reward,
            context: u32,
        ) -> DispatchResult {
            T::ModelOrigin::ensure_origin(origin)?;
            models::register::<T>(id, kind, name, price, windows, reward, context)
        }

        /// Retires a model: no new requests, no new operators. Open requests finish.
        ///
        /// Origin: `ModelOrigin`.
        /// Errors: [`Error::UnknownModel`], [`Error::ModelRetired`].
        /// Events: [`Event::ModelRetired`].
        #[pallet::call_index(1)]
        #[pallet::weight(T::WeightInfo::retire_model())]
        pub fn retire_model(origin: OriginFor<T>, id: ModelId) -> DispatchResult {
            T::ModelOrigin::ensure_origin(origin)?;
            models::retire::<T>(id)
        }

        /// Puts `amount` of the signer's balance on hold as stake; the first time, the signer becomes an operator.
        ///
        /// Origin: signed.
        /// Details: a draw of a request made before this block does not see the signer: who grows cannot do so for a seed
        /// that is known.
        /// Errors: [`Error::ZeroAmount`], [`Error::StakeTooSmall`] if all stake together is below the minimum,
        /// [`Error::WorkerInUse`] if the signer is a worker key, or what the currency says.
        /// Events: [`Event::Bonded`].
        #[pallet::call_index(2)]
        #[pallet::weight(T::WeightInfo::bond())]
        pub fn bond(origin: OriginFor<T>, #[pallet::compact] amount: BalanceOf<T>) -> DispatchResult {
            operators::bond::<T>(&ensure_signed(origin)?, amount)
        }

        /// Names the signer's worker key and the models it serves, in place of what it named before. Ends a chill.
        ///
        /// Origin: signed, an operator.
        /// Details: `consent` is the worker key's signature of [`poq_primitives::commitment::worker_consent`]; it may be left out if
        /// the signer has this worker key already. The key needs no balance; registration keeps its account alive. Open duties go
        /// on under the new key: commitments are bound to the operator, not to the key. The stake counts in equal parts for the
        /// models, each at least `min_stake`. In a full roster the signer takes the place of who weighs least, if that is less.
        /// Errors: [`Error::NotAnOperator`], [`Error::InvalidConsent`], [`Error::StakeTooSmall`], [`Error::WorkerInUse`],
        /// [`Error::WorkerIsOperator`], [`Error::InvalidModelList`], [`Error::UnknownModel`], [`Error::ModelRetired`],
        /// [`Error::RosterFull`].
        /// Events: [`Event::Registered`].
        #[pallet::call_index(3)]
        #[pallet::weight(T::WeightInfo::register())]
        pub fn register(
            origin: OriginFor<T>,
            worker: T::AccountId,
            models: BoundedVec<ModelId, T::MaxModelsPerOperator>,
            consent: Option<T::Signature>,
        ) -> DispatchResult {
            let who = ensure_signed(origin)?;
            operators::check_consent::<T>(&who, &worker, consent)?;
            operators::register::<T>(&who, worker, models)
        }

        /// Takes the signer out of all draws. Open duties go on.
        ///
        /// Origin: signed, an operator.
        /// Details: its places in rosters are kept for `ChillPatience` blocks against all who weigh less.
        /// Errors: [`Error::NotAnOperator`], [`Error::AlreadyChilled`].
        /// Events: [`Event::Chilled`].
        #[pallet::call_index(4)]
        #[pallet::weight(T::WeightInfo::chill())]
        pub fn chill(origin: OriginFor<T>) -> DispatchResult {
            operators::chill::<T>(&ensure_signed(origin)?)
        }

        /// Puts the signer back into the draws of its models.
        ///
        /// Origin: signed, an operator that is chilled.
        /// Errors: [`Error::NotAnOperator`], [`Error::NotChilled`], [`Error::NotRegistered`], [`Error::StakeTooSmall`],
        /// [`Error::RosterFull`].
        /// Events: [`Event::Resumed`].
        #[pallet::call_index(5)]
        #[pallet::weight(T::WeightInfo::resume())]
        pub fn resume(origin: OriginFor<T>) -> DispatchResult {
            operators::resume::<T>(&ensure_signed(origin)?)
        }

        /// Sends `amount` of stake on its way out; it can be withdrawn after `unbonding_period` blocks.
        ///
        /// Origin: signed, an operator.
        /// Details: the amount stops to count in draws at once and can be slashed until it is withdrawn. Unbonding again
        /// starts the period anew for the whole. Who has scored waits until the latest of those requests can be audited no more.
        /// Unbonding all stake takes the operator out of the draws.
        /// Errors: [`Error::NotAnOperator`], [`Error::ZeroAmount`], [`Error::NotEnoughStake`],
        /// [`Error::RemainderTooSmall`], [`Error::RosterFull`] if the signer had been struck out of a roster that has
        /// filled since (chill first).
        /// Events: [`Event::Unbonding`].
        #[pallet::call_index(6)]
        #[pallet::weight(T::WeightInfo::unbond())]
        pub fn unbond(origin: OriginFor<T>, #[pallet::compact] amount: BalanceOf<T>) -> DispatchResult {
            operators::unbond::<T>(&ensure_signed(origin)?, amount)
        }

        /// Releases the stake whose time has come. An operator without any stake left is forgotten, its worker key too.
        ///
        /// Origin: signed, an operator.
        /// Errors: [`Error::NotAnOperator`], [`Error::NothingToWithdraw`], [`Error::OpenDuties`].
        /// Events: [`Event::Withdrawn`].
        #[pallet::call_index(7)]
        #[pallet::weight(T::WeightInfo::withdraw())]
        pub fn withdraw(origin: OriginFor<T>) -> DispatchResult {
            operators::withdraw::<T>(&ensure_signed(origin)?)
        }

        /// Asks for an inference and puts its budget on hold.
        ///
        /// Origin: signed.
        /// Details: at least the price of the work and the fee, which is [`Pallet::estimate_budget`] where there is room; what a larger
        /// budget has more is for the inference nodes, and goes before others when operators are busy. What is not owed goes back: owed are the fee once anybody was drawn, `waiting_fee` for
        /// each draw put off for want of room, and for each answer that is revealed its price by quality, `base_pay` at least.
        /// Prompt and answers are public.
        /// Errors: [`Error::EmptyPrompt`], [`Error::PromptTooLong`], [`Error::NotUtf8`], [`Error::InvalidSampling`],
        /// [`Error::InvalidResponders`], [`Error::InvalidCommittee`],
        /// [`Error::InvalidModelList`], [`Error::UnknownModel`], [`Error::WrongModelKind`], [`Error::ModelRetired`],
        /// [`Error::ContextTooSmall`], [`Error::NotEnoughInferenceNodes`], [`Error::NotEnoughQualityValidators`],
        /// [`Error::BudgetTooSmall`],
        /// [`Error::InsufficientBalance`].
        /// Events: [`Event::Requested`].
        #[pallet::call_index(8)]
        #[pallet::weight(T::WeightInfo::request_inference(prompt.len() as u32, terms.generators.len() as u32))]
        pub fn request_inference(
            origin: OriginFor<T>,
            prompt: Vec<u8>,
            terms: Terms<BalanceOf<T>, T::MaxModelsPerRequest>,
        ) -> DispatchResult {
            asking::request::<T>(ensure_signed(origin)?, prompt, terms).map(|_| ())
        }

        /// Reports work: commitments, reveals and failures, all that is due for one worker key in one call.
        ///
        /// Origin: signed by a worker key.
        /// Details: all or nothing. Free exactly when every report is due and valid in the current state, so that a worker
        /// key needs no balance and cannot be used to spam. Operational: full blocks keep room for it. When the report is the
        /// last that a phase waits for, the phase ends: at once if the next phase only begins, with the agenda of this block if
        /// money moves. Weight is reserved as if each report was the last.
        /// Errors: [`Error::UnknownWorker`], [`Error::NoReports`], [`Error::UnorderedReports`], [`Error::UnknownRequest`],
        /// [`Error::NotYourDuty`], [`Error::TooEarly`], [`Error::TooLate`], [`Error::AlreadyCommitted`],
        /// [`Error::AlreadyDone`], [`Error::NotCommitted`], [`Error::RevealMismatch`], [`Error::EmptyOutput`],
        /// [`Error::NotUtf8`], [`Error::WrongNumberOfScores`].
        /// Events: [`Event::WorkReported`] for each report, [`Event::PhaseEntered`] when it ends a phase.
        #[pallet::call_index(9)]
        #[pallet::weight((reports::batch_weight::<T>(reports), DispatchClass::Operational))]
        #[pallet::feeless_if(|origin: &OriginFor<T>, reports: &ReportsOf<T>| -> bool {
            reports::is_due_and_valid::<T>(origin, reports)
        })]
        pub fn report_work(origin: OriginFor<T>, reports: ReportsOf<T>) -> DispatchResultWithPostInfo {
            Ok(Some(reports::report_work::<T>(&ensure_signed(origin)?, reports)?).into())
        }

        /// Does the step that a request is due for, as the agenda would.
        ///
        /// Origin: signed by anyone.
        /// Details: for chains whose blocks are so full that the agenda waits. The fee is not charged if a step was done. Draws are
        /// left to the agenda: they are made before transactions only.
        /// Errors: [`Error::UnknownRequest`], [`Error::NotDue`], also for a draw.
        /// Events: those of the step.
        #[pallet::call_index(10)]
        #[pallet::weight(steps::dearest_step::<T>())]
        pub fn advance(origin: OriginFor<T>, request: RequestId) -> DispatchResultWithPostInfo {
            ensure_signed(origin)?;
            let spent = steps::advance::<T>(request)?;
            Ok((Some(spent), Pays::No).into())
        }

        /// Sets the economic parameters for requests to come.
        ///
        /// Origin: `ParameterOrigin`.
        /// Details: requests that are open keep the parameters under which they were made. Operators below a new minimum
        /// stake stay where they are until a draw meets them, and are then passed over.
        /// Errors: [`Error::InvalidParameters`]; [`Pallet::check_parameters`] says why.
        /// Events: [`Event::ParametersSet`].
        #[pallet::call_index(11)]
        #[pallet::weight(T::WeightInfo::set_parameters())]
        pub fn set_parameters(origin: OriginFor<T>, parameters: ParametersOf<T>) -> DispatchResult {
            T::ParameterOrigin::ensure_origin(origin)?;
            parameters::set::<T>(parameters)
        }

        /// Opens a known-answer audit: shows the answer key to which a request was a commitment, whatever became of it.
        ///
        /// Origin: `AuditOrigin`.
        /// Details: up to `audit_window` blocks after the request was settled or refunded, once. Moves the veracity of the quality
        /// validators who scored, and the quality of the inference nodes who answered, to what the key says; slashes a part of
        /// the stake of those whose error was gross, as far as `audit_allowance` goes, and pays out of that what others would
        /// have earned by the truth. Scores that were committed to and not revealed are a gross error, in every committee of the
        /// request.
        /// Errors: [`Error::UnknownRequest`], [`Error::NotSettled`], [`Error::AlreadyAudited`], [`Error::AuditTooLate`],
        /// [`Error::AuditMismatch`], [`Error::EmptyReference`].
        /// Events: [`Event::AuditRevealed`], [`Event::Audited`] for each quality validator, [`Event::Slashed`],
        /// [`Event::Compensated`].
        #[pallet::call_index(12)]
        // What inference nodes have forgone came after the measurement.
        #[pallet::weight(
            T::WeightInfo::reveal_audit(T::MaxResponders::get(), T::MaxCommittee::get().saturating_mul(2))
                .saturating_add(T::DbWeight::get().reads_writes(T::MaxResponders::get().into(), T::MaxResponders::get().into()))
        )]
        pub fn reveal_audit(
            origin: OriginFor<T>,
            request: RequestId,
            key: AnswerKeyOf<T>,
            salt: Salt,
        ) -> DispatchResult {
            T::AuditOrigin::ensure_origin(origin)?;
            audits::reveal::<T>(request, key, salt)
        }

        /// Says how much open work the signer takes at a time, in place of what it said before or of `DefaultCapacity`.
        ///
        /// Origin: signed, an operator.
        /// Details: an answer counts by the `max_tokens` of its request, scores by its responders. Who would have more than it takes
        /// is passed over in draws until it has less, so that nobody can load more work on it than it can do within its
        /// windows. Open duties go on. All its models share the numbers; 0 of one kind takes no work of that kind.
        /// Errors: [`Error::NotAnOperator`], [`Error::InvalidCapacity`] if both numbers are zero.
        /// Events: [`Event::CapacitySet`].
        #[pallet::call_index(13)]
        #[pallet::weight(T::WeightInfo::set_capacity())]
        pub fn set_capacity(origin: OriginFor<T>, capacity: Workload) -> DispatchResult {
            operators::set_capacity::<T>(&ensure_signed(origin)?, capacity)
        }

        /// Sets the accounts that reveal audits, in place of those that were.
        ///
        /// Origin: `ParameterOrigin`.
        /// Details: counts at once, also for requests that are open. With [`EnsureAuditor`] as `AuditOrigin` an empty list means
        /// that no audits can be revealed.
        /// Errors: none.
        /// Events: [`Event::AuditorsSet`].
        #[pallet::call_index(14)]
        #[pallet::weight(T::WeightInfo::set_parameters())]
        pub fn set_auditors(
            origin: OriginFor<T>,
            auditors: BoundedVec<T::AccountId, T::MaxAuditors>,
        ) -> DispatchResult {
            T::ParameterOrigin::ensure_origin(origin)?;
            audits::set_auditors::<T>(auditors)
        }

        /// Says how far an evaluator's scores of single answers stray from what the answers deserve: their standard deviation, at most
        /// [`MOST_NOISE`]; 0 to pay by single scores.
        ///
        /// Origin: `ModelOrigin`.
        /// Details: counts for each settlement from now on, also of open requests. Pay for an answer leans on the quality that its operator
        /// is known for, upward by that much at most and never by more than leaning has cost this operator before ([`Forgone`]). What
        /// leaning takes goes to `SlashHandler`. No request costs more by it than its budget.
        /// Errors: [`Error::UnknownModel`], [`Error::WrongModelKind`], [`Error::InvalidNoise`].
        /// Events: [`Event::NoiseSet`].
        #[pallet::call_index(15)]
        // `retire_model` reads and writes as many values.
        #[pallet::weight(T::WeightInfo::retire_model())]
        pub fn set_noise(origin: OriginFor<T>, evaluator: ModelId, noise: Permill) -> DispatchResult {
            T::ModelOrigin::ensure_origin(origin)?;
            models::set_noise::<T>(evaluator, noise)
        }

        /// Makes the callback of a request again that failed, or one that waits for room in a block.
        ///
        /// Origin: signed.
        /// Details: the handler is the runtime's `OnSettled`; its weight is charged.
        /// Errors: [`Error::NoCallback`]; the handler's.
        /// Events: [`Event::CalledBack`], and those of the handler.
        #[pallet::call_index(16)]
        #[pallet::weight(inference::callback_weight::<T>())]
        pub fn retry_callback(origin: OriginFor<T>, request: RequestId) -> DispatchResult {
            ensure_signed(origin)?;
            inference::retry::<T>(request)
        }

        /// Cancels a request for which no inference nodes were drawn, and gives back its budget but for the chain's part.
        ///
        /// Origin: signed, by the requester.
        /// Details: the chain's part is the fee, and `waiting_fee` for each draw that was put off. The fee is owed although nobody was
        /// drawn: otherwise a block author who knows the next seed could ask again until it liked the draw. A callback is made as for
        /// every refund.
        /// Errors: [`Error::UnknownRequest`], [`Error::NotRequester`], [`Error::NotWaiting`].
        /// Events: [`Event::Refunded`].
        #[pallet::call_index(17)]
        // The end of a request that nobody was drawn for, beside its place on the agenda.
        #[pallet::weight(T::WeightInfo::agenda_item().saturating_add(T::WeightInfo::refund(0, 0)).saturating_add(callbacks::note_weight::<T>()))]
        pub fn cancel_request(origin: OriginFor<T>, request: RequestId) -> DispatchResult {
            let who = ensure_signed(origin)?;
            asking::cancel::<T>(&who, request)
        }
    }

    #[pallet::view_functions]
    impl<T: Config> Pallet<T> {
        /// Budget of a request with these terms that goes before those that wait, and how it divides: the price of the work and the
        /// fee, and on top of that for the inference nodes the surcharge of the dearest of the models ([`ModelView`]), which is zero
        /// where there is room. Less is taken, down to the price and the fee, and waits.
        ///
        /// Errors: as [`Pallet::request_inference`] would for the same models and numbers.
        pub fn estimate_budget(
            generators: Vec<ModelId>,
            evaluator: ModelId,
            max_tokens: u32,
            responders: u32,
            committee: u32,
        ) -> Result<Budget<BalanceOf<T>>, DispatchError> {
            asking::estimate::<T>(&generators, &evaluator, max_tokens, responders, committee)
        }

        /// A request with its prompt, responses, outputs and scores; `None` if it was never made or is pruned.
        pub fn request_info(request: RequestId) -> Option<RequestView<T>> {
            views::request::<T>(request)
        }

        /// An operator with its open duties, its earnings and why its latest duties were paid or not.
        pub fn operator_info(operator: T::AccountId) -> Option<OperatorView<T>> {
            views::operator::<T>(&operator)
        }

        /// Up to `count` operators, at most [`MOST_ON_A_PAGE`], that come after `after` in the order of the storage; the first ones
        /// if that is `None`. A page that is not full is the last.
        pub fn operators(after: Option<T::AccountId>, count: u32) -> Vec<T::AccountId> {
            views::operators::<T>(after, count)
        }

        /// Up to `count` models of the registry, at most [`MOST_ON_A_PAGE`], that come after `after` in the order of the storage;
        /// the first ones if that is `None`. A page that is not full is the last.
        pub fn models(after: Option<ModelId>, count: u32) -> Vec<ModelView<T>> {
            views::models::<T>(after, count)
        }

        /// State of a request's callback; `None` if it has none, or it is made.
        pub fn callback(request: RequestId) -> Option<Callback> {
            Callbacks::<T>::get(request)
        }

        /// Why [`Pallet::set_parameters`] would refuse these parameters, if it would.
        pub fn check_parameters(parameters: ParametersOf<T>) -> Result<(), alloc::string::String> {
            parameters.check(T::Retention::get()).map_err(Into::into)
        }

        /// Checks everything that must always hold: conservation of money, one operator for each worker key, agreement of
        /// agenda, duties and states. Reads all of the pallet's state, so it refuses where that is more than
        /// [`MOST_TO_CHECK`] operators, models and requests: there, `try-runtime` checks the same.
        pub fn check_invariants() -> Result<(), alloc::string::String> {
            invariants::check_if_small::<T>().map_err(Into::into)
        }
    }
}
