//! A runtime with the pallet in it, and the calls with which the players drive it.

// For code that FRAME's macros generate.
#![allow(clippy::expect_used, unexpected_cfgs)]

use crate::adversaries::{
    climb,
    lineup::Lineup,
    player::{account, Player},
};
use anyhow::{anyhow, ensure, Context, Result};
use codec::Encode;
use frame_support::{
    derive_impl, parameter_types,
    traits::{
        fungible::{Inspect, Mutate},
        tokens::Preservation,
        ConstU128, ConstU32, ConstU64, Hooks, Imbalance, OnUnbalanced, Randomness,
    },
    weights::{Weight, WeightMeter},
    BoundedVec,
};
use frame_system::{
    offchain::{AppCrypto, CreateSignedTransaction, CreateTransactionBase, SigningTypes},
    EnsureRoot,
};
use pallet_proof_of_quality::{
    consensus::Weighted, Aggregation, AnswerKey, AnswerKeyOf, Config, CreditOf, EnsureAuditor, Event,
    GenesisConfig, GenesisModel, GenesisOperator, ModelId, ModelKind, Parameters, Price, Report,
    ReportKindOf, RequestId, Reward, Sampling, Standing, Terms, Windows, Workload,
};
pub use poq_bench_consensus::Rule;
use poq_primitives::commitment::{self, Binding, Hash32, Salt};
use sp_core::{sr25519, Pair, H256};
use sp_io::hashing::blake2_256;
use sp_runtime::{
    generic,
    testing::TestXt,
    traits::{BlakeTwo256, IdentityLookup, Verify},
    BuildStorage, PerThing, Permill,
};

pub type AccountId = sr25519::Public;
type Extrinsic = TestXt<RuntimeCall, ()>;
type Block = generic::Block<generic::Header<u64, BlakeTwo256>, Extrinsic>;
pub type Balance = u128;

#[frame_support::runtime]
mod runtime {
    #[runtime::runtime]
    #[runtime::derive(
        RuntimeCall,
        RuntimeEvent,
        RuntimeError,
        RuntimeOrigin,
        RuntimeFreezeReason,
        RuntimeHoldReason,
        RuntimeSlashReason,
        RuntimeLockId,
        RuntimeTask,
        RuntimeViewFunction
    )]
    pub struct Chain;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;
    #[runtime::pallet_index(1)]
    pub type Balances = pallet_balances;
    #[runtime::pallet_index(2)]
    pub type Poq = pallet_proof_of_quality;
}

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Chain {
    type AccountId = AccountId;
    type Lookup = IdentityLookup<AccountId>;
    type Block = Block;
    type AccountData = pallet_balances::AccountData<Balance>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Chain {
    type Balance = Balance;
    type ExistentialDeposit = ConstU128<1>;
    type AccountStore = System;
    type RuntimeHoldReason = RuntimeHoldReason;
}

impl SigningTypes for Chain {
    type Public = <sr25519::Signature as Verify>::Signer;
    type Signature = sr25519::Signature;
}

impl<C> CreateTransactionBase<C> for Chain
where
    RuntimeCall: From<C>,
{
    type RuntimeCall = RuntimeCall;
    type Extrinsic = Extrinsic;
}

impl<C> CreateSignedTransaction<C> for Chain
where
    RuntimeCall: From<C>,
{
    /// The driver does not run here: the players sign for themselves.
    fn create_signed_transaction<Crypto: AppCrypto<Self::Public, Self::Signature>>(
        _call: RuntimeCall,
        _public: Self::Public,
        _account: AccountId,
        _nonce: u32,
    ) -> Option<Extrinsic> {
        None
    }
}

/// Pay of one perfect duty, of an inference node or of a quality validator.
pub const SHARE: Balance = 1_000_000;

/// 1,000 perfect duties: with less, a minority that lies only where it is a majority of a committee loses too little by the few audits
/// that catch it. The development chain asks for thousands (1,000 tokens, where an answer of 64 tokens costs 0.114), so a slash weighs
/// more there.
pub const MIN_STAKE: Balance = 1_000 * SHARE;

/// Stake of an operator where stakes are equal.
pub const STAKE: Balance = 2 * MIN_STAKE;

/// A hundredth of the least stake, as on the development chain.
const ABSENCE_SLASH: Balance = MIN_STAKE / 100;

/// Blocks from settlement in which an audit can be revealed.
pub const AUDIT_WINDOW: u64 = 25;

/// Fee of a delayed draw: about a tenth of an answer, as on the development chain.
const WAITING_FEE: Balance = SHARE / 10;

/// Most that audits may slash in [`AUDIT_WINDOW`] blocks: 50 least stakes, as on the development chain.
const AUDIT_ALLOWANCE: Balance = 50 * MIN_STAKE;

/// The recommended economic parameters, which are measured here.
pub const PARAMETERS: Parameters<Balance, u64> = Parameters::recommended(
    MIN_STAKE,
    ABSENCE_SLASH,
    WAITING_FEE,
    AUDIT_ALLOWANCE,
    AUDIT_WINDOW + 1,
    AUDIT_WINDOW,
);

/// Inference nodes of a request.
pub const RESPONDERS: u32 = 2;
/// Quality validators of a request.
pub const COMMITTEE: u32 = 5;

/// A capacity that no operator ever fills.
pub const AMPLE: Workload = Workload { tokens: 1_000, pairs: 1_000 };
/// Room for three duties at a time: one and a half in each of the two blocks of a window.
pub const SHORT: Workload = Workload { tokens: 3, pairs: 3 * RESPONDERS };
/// More operators than any game has for one model.
pub const MOST_PLACES: u32 = 256;

parameter_types! {
    /// Of this thread's chain: the rule in force.
    pub static RuleInForce: Rule = Rule::WeightedMedian;
    /// Of this thread's chain: the seed of its draws.
    pub static Seed: u64 = 0;
    /// Of this thread's chain: fees and slashes that left it.
    pub static Handled: Balance = 0;
    /// Of this thread's chain: open work that an operator takes at a time.
    pub static Capacity: Workload = AMPLE;
    /// Of this thread's chain: the most operators that serve a model.
    pub static Places: u32 = MOST_PLACES;
    pub const DefaultParameters: Parameters<Balance, u64> = PARAMETERS;
    pub const NoLimit: Weight = Weight::MAX;
}

/// The rule in force.
pub struct Switched;

impl Aggregation for Switched {
    const NAME: &'static str = "switched";

    fn consensus(scores: &[Weighted]) -> Option<Permill> {
        RuleInForce::get().consensus(scores)
    }

    fn leave_one_out(scores: &[Weighted]) -> Vec<Option<Permill>> {
        RuleInForce::get().leave_one_out(scores)
    }
}

/// A fresh seed with each block, known since the block before.
pub struct SeedOfBlock;

impl Randomness<Option<H256>, u64> for SeedOfBlock {
    fn random(subject: &[u8]) -> (Option<H256>, u64) {
        let now = System::block_number();
        let seed = (subject, Seed::get(), now).using_encoded(blake2_256);
        (Some(seed.into()), now.saturating_sub(1))
    }
}

/// Counts fees and slashes, which leave the chain.
pub struct Count;

impl OnUnbalanced<CreditOf<Chain>> for Count {
    fn on_nonzero_unbalanced(credit: CreditOf<Chain>) {
        Handled::mutate(|sum| *sum = sum.saturating_add(credit.peek()));
    }
}

#[derive_impl(pallet_proof_of_quality::config_preludes::SolochainDefaultConfig)]
impl Config for Chain {
    type Currency = Balances;
    type ModelOrigin = EnsureRoot<AccountId>;
    type ParameterOrigin = EnsureRoot<AccountId>;
    type AuditOrigin = EnsureAuditor<Chain>;
    type DefaultParameters = DefaultParameters;
    type Randomness = SeedOfBlock;
    type Aggregation = Switched;
    type FeeHandler = Count;
    type SlashHandler = Count;
    type MaxResponders = ConstU32<RESPONDERS>;
    type MaxCommittee = ConstU32<COMMITTEE>;
    type MaxModelsPerRequest = ConstU32<{ climb::GENERATORS.len() as u32 }>;
    type MaxModelsPerOperator = ConstU32<1>;
    type MaxOperatorsPerModel = Places;
    type MaxDuties = ConstU32<32>;
    type DefaultCapacity = Capacity;
    type MaxAuditors = ConstU32<1>;
    type ChillPatience = ConstU64<10>;
    type MaxReports = ConstU32<1>;
    type RecentDuties = ConstU32<1>;
    type SeedPatience = ConstU64<10>;
    type Retention = ConstU64<{ AUDIT_WINDOW + 1 }>;
    type AgendaWeight = NoLimit;
    type WeightInfo = pallet_proof_of_quality::weights::SubstrateWeight<Chain>;
}

pub const GENERATOR: ModelId = [1; 32];
pub const EVALUATOR: ModelId = [2; 32];
/// An evaluator that few serve.
pub const THIN_EVALUATOR: ModelId = [3; 32];

/// Tokens of an answer.
const TOKENS: u32 = 1;

/// A requester.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asker {
    Honest,
    Attacker,
}

impl Asker {
    fn account(self) -> AccountId {
        match self {
            Self::Honest => account(1),
            Self::Attacker => account(2),
        }
    }

    /// The balance of its account, budgets on hold included.
    pub fn wealth(self) -> Balance {
        Balances::total_balance(&self.account())
    }
}

fn auditor() -> AccountId {
    account(3)
}

/// The account that pays the stake of newcomers.
fn bank() -> AccountId {
    account(4)
}

/// A chain with these operators on it, and nothing asked yet.
pub fn genesis(lineup: &Lineup) -> Result<sp_state_machine::BasicExternalities> {
    let mut storage =
        frame_system::GenesisConfig::<Chain>::default().build_storage().map_err(anyhow::Error::msg)?;
    let riches = lineup.seats.iter().map(|seat| (seat.player.account(), 2 * seat.stake));
    let rich = [Asker::Honest.account(), Asker::Attacker.account(), bank()];
    pallet_balances::GenesisConfig::<Chain> {
        balances: riches.chain(rich.map(|account| (account, Balance::MAX / 8))).collect(),
        ..Default::default()
    }
    .assimilate_storage(&mut storage)
    .map_err(anyhow::Error::msg)?;
    let model = |id, kind, name: &str| GenesisModel {
        id,
        kind,
        name: name.into(),
        price: Price { base: SHARE, per_unit: 0 },
        windows: Windows { commit: 2, reveal: 2 },
        reward: Reward::default(),
        context: if kind == ModelKind::Generator { 1_000 } else { 0 },
        noise: Permill::zero(),
    };
    GenesisConfig::<Chain> {
        models: [
            model(EVALUATOR, ModelKind::Evaluator, "evaluator"),
            model(THIN_EVALUATOR, ModelKind::Evaluator, "thin evaluator"),
        ]
        .into_iter()
        .chain(climb::GENERATORS.map(|id| model(id, ModelKind::Generator, "generator")))
        .collect(),
        operators: lineup
            .seats
            .iter()
            .map(|seat| GenesisOperator {
                operator: seat.player.account(),
                stake: seat.stake,
                worker: seat.player.worker(),
                models: vec![seat.model],
                capacity: None,
            })
            .collect(),
        auditors: vec![auditor()],
    }
    .assimilate_storage(&mut storage)
    .map_err(anyhow::Error::msg)?;
    // Without a trie, because no state root is needed.
    Ok(sp_state_machine::BasicExternalities::new(storage))
}

/// Begins a block.
pub fn begin(block: u64) {
    System::set_block_number(block);
    System::reset_events();
    Poq::on_poll(block, &mut WeightMeter::new());
}

/// Ends a block; returns the pallet's events in it.
pub fn end(block: u64) -> Vec<Event<Chain>> {
    Poq::on_idle(block, Weight::MAX);
    System::read_events_no_consensus()
        .filter_map(|record| match record.event {
            RuntimeEvent::Poq(event) => Some(event),
            _ => None,
        })
        .collect()
}

/// Sum of all money on the chain and all that left it, which never changes.
pub fn money() -> Balance {
    pallet_balances::TotalIssuance::<Chain>::get().saturating_add(Handled::get())
}

fn genesis_hash() -> Hash32 {
    System::block_hash(0).0
}

/// The answer key of every audit: "yes" is right, "no" is wrong.
fn key() -> AnswerKeyOf<Chain> {
    AnswerKey {
        reference: BoundedVec::truncate_from(b"yes".to_vec()),
        decoys: BoundedVec::truncate_from(vec![BoundedVec::truncate_from(b"no".to_vec())]),
        right: Permill::from_percent(90),
        wrong: Permill::from_percent(10),
    }
}

fn prompt(request: RequestId) -> Vec<u8> {
    format!("question {request}?").into_bytes()
}

/// A request to be made.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub by: Asker,
    /// Random; in an audit, the salt of the commitment to the answer key.
    pub secret: [u8; 32],
    pub is_audit: bool,
    pub generators: &'static [ModelId],
    pub evaluator: ModelId,
    pub min_quality: Permill,
    /// Whether it offers no more than the price, however busy operators are.
    pub is_least: bool,
}

impl Order {
    /// An ordinary request with the estimated budget.
    pub fn new(by: Asker, secret: [u8; 32]) -> Self {
        let min_quality = Permill::zero();
        let generators = &[GENERATOR];
        Self { by, secret, is_audit: false, generators, evaluator: EVALUATOR, min_quality, is_least: false }
    }
}

/// Asks.
pub fn ask(order: Order) -> Result<RequestId> {
    let id = pallet_proof_of_quality::NextRequest::<Chain>::get();
    let requester = order.by.account();
    let prompt = prompt(id);
    let audit = if order.is_audit {
        commitment::answer_key(&genesis_hash(), &requester, &prompt, &key(), &order.secret)
    } else {
        order.secret
    };
    let generators = order.generators.to_vec();
    let estimate = Poq::estimate_budget(generators.clone(), order.evaluator, TOKENS, RESPONDERS, COMMITTEE)
        .map_err(|error| anyhow!("no budget: {error:?}"))?;
    // The fee is a part of the whole.
    let least = PARAMETERS
        .fee
        .left_from_one()
        .saturating_reciprocal_mul_ceil(SHARE * Balance::from(RESPONDERS) + estimate.scoring);
    let terms = Terms {
        generators: BoundedVec::truncate_from(generators),
        evaluator: order.evaluator,
        sampling: Sampling { max_tokens: TOKENS, temperature_milli: 0, seed: 0 },
        responders: RESPONDERS,
        committee: COMMITTEE,
        min_quality: order.min_quality,
        budget: if order.is_least { least } else { estimate.total() },
        audit,
    };
    Poq::request_inference(RuntimeOrigin::signed(requester), prompt, terms)
        .map_err(|error| anyhow!("request {id} was refused: {error:?}"))?;
    Ok(id)
}

/// Reveals the audit that was committed to with `secret`.
pub fn reveal_audit(request: RequestId, secret: Salt) -> Result<()> {
    Poq::reveal_audit(RuntimeOrigin::signed(auditor()), request, key(), secret)
        .map_err(|error| anyhow!("the audit of request {request} was refused: {error:?}"))
}

/// Gives a player a standing, as if it had worked for long. It stakes a unit more, which brings its place in the roster up to date.
pub fn make_known(player: Player, standing: Standing) -> Result<()> {
    pallet_proof_of_quality::Operators::<Chain>::mutate_extant(player.account(), |operator| {
        operator.standing = standing;
    });
    Poq::bond(RuntimeOrigin::signed(player.account()), 1)
        .map_err(|error| anyhow!("{player:?} does not become known: {error:?}"))
}

/// Takes a player out of all draws.
pub fn chill(player: Player) -> Result<()> {
    Poq::chill(RuntimeOrigin::signed(player.account()))
        .map_err(|error| anyhow!("{player:?} chills: {error:?}"))
}

/// Puts a player back into the draws.
pub fn resume(player: Player) -> Result<()> {
    Poq::resume(RuntimeOrigin::signed(player.account()))
        .map_err(|error| anyhow!("{player:?} resumes: {error:?}"))
}

/// Takes all stake of a player out of the game.
pub fn leave(player: Player) -> Result<()> {
    let stake = player.record().map_or(0, |record| record.stake);
    Poq::unbond(RuntimeOrigin::signed(player.account()), stake)
        .map_err(|error| anyhow!("{player:?} leaves: {error:?}"))
}

/// The quality validators that have a place in the roster.
pub fn scorers() -> Vec<Player> {
    let roster = pallet_proof_of_quality::Rosters::<Chain>::get(EVALUATOR);
    roster.iter().filter_map(|candidate| Player::of(&candidate.operator)).collect()
}

/// Gives a fresh player a stake and has it serve a model.
pub fn join(player: Player, stake: Balance, model: ModelId) -> Result<()> {
    let who = player.account();
    <Balances as Mutate<AccountId>>::transfer(&bank(), &who, 2 * stake, Preservation::Preserve)
        .map_err(|error| anyhow!("no stake for {player:?}: {error:?}"))?;
    Poq::bond(RuntimeOrigin::signed(who), stake).map_err(|error| anyhow!("{player:?} bonds: {error:?}"))?;
    let consent = player.key().sign(&commitment::worker_consent(&genesis_hash(), &who));
    let models = BoundedVec::truncate_from(vec![model]);
    Poq::register(RuntimeOrigin::signed(who), player.worker(), models, Some(consent))
        .map_err(|error| anyhow!("{player:?} registers: {error:?}"))
}

/// The salt of a player in a request: nobody here tries to guess it.
pub fn salt(player: Player, request: RequestId) -> Salt {
    (player.number(), request).using_encoded(blake2_256)
}

pub fn commitment_to_output(player: Player, request: RequestId, output: &[u8]) -> Hash32 {
    Binding { genesis: &genesis_hash(), request, operator: &player.account() }
        .output(output, &salt(player, request))
}

pub fn commitment_to_scores(player: Player, request: RequestId, scores: &[Permill]) -> Hash32 {
    Binding { genesis: &genesis_hash(), request, operator: &player.account() }
        .scores(scores, &salt(player, request))
}

/// Reports a player's work.
pub fn report(player: Player, request: RequestId, kind: ReportKindOf<Chain>) -> Result<()> {
    let reports = BoundedVec::truncate_from(vec![Report { request, kind }]);
    Poq::report_work(RuntimeOrigin::signed(player.worker()), reports)
        .map(|_| ())
        .map_err(|error| anyhow!("{player:?} in request {request}: {error:?}"))
}

/// Checks of every game: the pallet's invariants, and that no money came or went.
pub fn check(money_at_start: Balance) -> Result<()> {
    Poq::check_invariants().map_err(anyhow::Error::msg).context("an invariant of the pallet is broken")?;
    ensure!(money() == money_at_start, "money came or went: {} is not {money_at_start}", money());
    Ok(())
}
