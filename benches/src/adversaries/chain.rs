//! A runtime with the pallet in it, and the calls with which the players drive it.

// What the macros of FRAME expand to is not ours.
#![allow(clippy::expect_used, unexpected_cfgs)]

use anyhow::{ensure, Context, Result};
use codec::Encode;
use frame_support::{
    derive_impl, parameter_types,
    traits::{ConstU128, ConstU32, ConstU64, Hooks, Imbalance, OnUnbalanced, Randomness},
    weights::{Weight, WeightMeter},
    BoundedVec,
};
use frame_system::{
    offchain::{AppCrypto, CreateSignedTransaction, CreateTransactionBase, SigningTypes},
    EnsureRoot,
};
use pallet_proof_of_quality::{
    consensus::Weighted, driver, Aggregation, AnswerKey, AnswerKeyOf, Config, CreditOf, Event, GenesisConfig,
    GenesisModel, GenesisOperator, ModelId, ModelKind, Operator, Parameters, Price, Report, ReportKindOf,
    RequestId, Reward, Sampling, Terms, Windows,
};
pub use poq_bench_consensus::Rule;
use poq_primitives::commitment::{self, Binding, Hash32, Salt};
use sp_core::{sr25519, H256};
use sp_io::hashing::blake2_256;
use sp_runtime::{
    generic,
    testing::TestXt,
    traits::{BlakeTwo256, IdentityLookup, Verify},
    BuildStorage, FixedU64, Permill,
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

/// What perfect work earns: one duty of an inference node or of a quality validator.
pub const SHARE: Balance = 1_000_000;

/// 100 perfect duties. The development chain asks for tens of thousands, so a slash weighs far more there.
const MIN_STAKE: Balance = 100 * SHARE;

/// What an operator has at stake.
pub const STAKE: Balance = 2 * MIN_STAKE;

/// A hundredth of the least stake, as on the development chain.
const ABSENCE_SLASH: Balance = MIN_STAKE / 100;

/// Blocks from settlement in which an audit can be opened.
pub const AUDIT_WINDOW: u64 = 25;

/// The recommended economic parameters: what is measured here.
pub const PARAMETERS: Parameters<Balance, u64> =
    Parameters::recommended(MIN_STAKE, ABSENCE_SLASH, AUDIT_WINDOW + 1, AUDIT_WINDOW);

/// Operators of each kind.
pub const OPERATORS: usize = 20;
/// Inference nodes of a request.
pub const RESPONDERS: u32 = 2;
/// Quality validators of a request.
pub const COMMITTEE: u32 = 5;

parameter_types! {
    /// Of this thread's chain: the rule in force.
    pub static RuleInForce: Rule = Rule::WeightedMedian;
    /// Of this thread's chain: what its draws come from.
    pub static Seed: u64 = 0;
    /// Of this thread's chain: fees and slashes that left it.
    pub static Handled: Balance = 0;
    pub const MaxAlpha: FixedU64 = FixedU64::from_u32(2);
    pub const MaxBeta: FixedU64 = FixedU64::from_u32(1);
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

/// Counts what leaves the chain.
pub struct Count;

impl OnUnbalanced<CreditOf<Chain>> for Count {
    fn on_nonzero_unbalanced(credit: CreditOf<Chain>) {
        Handled::mutate(|sum| *sum = sum.saturating_add(credit.peek()));
    }
}

impl Config for Chain {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type ModelOrigin = EnsureRoot<AccountId>;
    type ParameterOrigin = EnsureRoot<AccountId>;
    type AuditOrigin = EnsureRoot<AccountId>;
    type DefaultParameters = DefaultParameters;
    type Randomness = SeedOfBlock;
    type Aggregation = Switched;
    type WorkerCrypto = driver::crypto::WorkerCrypto;
    type FeeHandler = Count;
    type SlashHandler = Count;
    type MaxPromptLength = ConstU32<64>;
    type MaxOutputLength = ConstU32<64>;
    type MaxTokens = ConstU32<100>;
    type MaxNameLength = ConstU32<16>;
    type MaxResponders = ConstU32<RESPONDERS>;
    type MaxCommittee = ConstU32<COMMITTEE>;
    type MaxModelsPerRequest = ConstU32<1>;
    type MaxModelsPerOperator = ConstU32<1>;
    type MaxOperatorsPerModel = ConstU32<{ OPERATORS as u32 }>;
    type MaxDuties = ConstU32<1>;
    type DefaultCapacity = ConstU32<1>;
    type MaxReports = ConstU32<1>;
    type RecentDuties = ConstU32<1>;
    type MaxReferenceLength = ConstU32<16>;
    type MaxAlpha = MaxAlpha;
    type MaxBeta = MaxBeta;
    type SeedPatience = ConstU64<10>;
    type Retention = ConstU64<{ AUDIT_WINDOW + 1 }>;
    type MaxWindow = ConstU64<10>;
    type AgendaWeight = NoLimit;
    type DriverDepth = ConstU64<0>;
    type WeightInfo = pallet_proof_of_quality::weights::SubstrateWeight<Chain>;
}

const GENERATOR: ModelId = [1; 32];
const EVALUATOR: ModelId = [2; 32];

/// Who plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Player {
    Node(usize),
    Validator(usize),
}

const NODES_FROM: u64 = 100;
const VALIDATORS_FROM: u64 = 200;
const WORKERS_FROM: u64 = 1_000;

fn account(number: u64) -> AccountId {
    let mut bytes = [0u8; 32];
    for (to, from) in bytes.iter_mut().zip(number.to_le_bytes()) {
        *to = from;
    }
    sr25519::Public::from_raw(bytes)
}

impl Player {
    fn number(self) -> u64 {
        match self {
            Self::Node(place) => NODES_FROM + place as u64,
            Self::Validator(place) => VALIDATORS_FROM + place as u64,
        }
    }

    pub fn account(self) -> AccountId {
        account(self.number())
    }

    fn worker(self) -> AccountId {
        account(WORKERS_FROM + self.number())
    }

    /// The player with this account; `None` for the requester.
    pub fn of(account: &AccountId) -> Option<Self> {
        let number = account.0.iter().take(8).rev().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
        match number {
            NODES_FROM..VALIDATORS_FROM => Some(Self::Node((number - NODES_FROM) as usize)),
            VALIDATORS_FROM..WORKERS_FROM => Some(Self::Validator((number - VALIDATORS_FROM) as usize)),
            _ => None,
        }
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (0..OPERATORS).flat_map(|place| [Self::Node(place), Self::Validator(place)])
    }

    /// What the chain knows of the player; `None` when all its stake is gone.
    pub fn record(self) -> Option<Operator<Chain>> {
        pallet_proof_of_quality::Operators::<Chain>::get(self.account())
    }

    /// All it has, stake included.
    pub fn wealth(self) -> Balance {
        use frame_support::traits::fungible::Inspect;
        Balances::total_balance(&self.account())
    }
}

fn requester() -> AccountId {
    account(1)
}

/// A chain with all players on it, and nothing asked yet.
pub fn genesis() -> Result<sp_state_machine::BasicExternalities> {
    let mut storage =
        frame_system::GenesisConfig::<Chain>::default().build_storage().map_err(anyhow::Error::msg)?;
    let riches = Player::all().map(|player| (player.account(), 2 * STAKE));
    pallet_balances::GenesisConfig::<Chain> {
        balances: riches.chain([(requester(), Balance::MAX / 4)]).collect(),
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
    };
    GenesisConfig::<Chain> {
        models: vec![
            model(GENERATOR, ModelKind::Generator, "generator"),
            model(EVALUATOR, ModelKind::Evaluator, "evaluator"),
        ],
        operators: Player::all()
            .map(|player| GenesisOperator {
                operator: player.account(),
                stake: STAKE,
                worker: player.worker(),
                models: vec![match player {
                    Player::Node(_) => GENERATOR,
                    Player::Validator(_) => EVALUATOR,
                }],
                capacity: None,
            })
            .collect(),
    }
    .assimilate_storage(&mut storage)
    .map_err(anyhow::Error::msg)?;
    // Without a trie: nobody asks for a state root here.
    Ok(sp_state_machine::BasicExternalities::new(storage))
}

/// Begins a block.
pub fn begin(block: u64) {
    System::set_block_number(block);
    System::reset_events();
    Poq::on_poll(block, &mut WeightMeter::new());
}

/// Ends it; returns what the pallet said in it.
pub fn end(block: u64) -> Vec<Event<Chain>> {
    Poq::on_idle(block, Weight::MAX);
    System::read_events_no_consensus()
        .filter_map(|record| match record.event {
            RuntimeEvent::Poq(event) => Some(event),
            _ => None,
        })
        .collect()
}

/// All money on the chain and all that left it: never changes.
pub fn money() -> Balance {
    pallet_balances::TotalIssuance::<Chain>::get().saturating_add(Handled::get())
}

fn genesis_hash() -> Hash32 {
    System::block_hash(0).0
}

/// The answer key of every audit: right is what says yes.
fn key() -> AnswerKeyOf<Chain> {
    AnswerKey {
        reference: BoundedVec::truncate_from(b"yes".to_vec()),
        right: Permill::from_percent(90),
        wrong: Permill::from_percent(10),
    }
}

fn prompt(request: RequestId) -> Vec<u8> {
    format!("question {request}?").into_bytes()
}

/// Asks; `secret` is random, and in an audit the salt of the commitment to the answer key.
pub fn ask(secret: [u8; 32], is_audit: bool) -> Result<RequestId> {
    let id = pallet_proof_of_quality::NextRequest::<Chain>::get();
    let prompt = prompt(id);
    let audit = if is_audit {
        commitment::answer_key(&genesis_hash(), &requester(), &prompt, &key(), &secret)
    } else {
        secret
    };
    let budget = Poq::estimate_budget(vec![GENERATOR], EVALUATOR, 1, RESPONDERS, COMMITTEE)
        .map_err(|error| anyhow::anyhow!("no budget: {error:?}"))?
        .total();
    let terms = Terms {
        generators: BoundedVec::truncate_from(vec![GENERATOR]),
        evaluator: EVALUATOR,
        sampling: Sampling { max_tokens: 1, temperature_milli: 0, seed: 0 },
        responders: RESPONDERS,
        committee: COMMITTEE,
        min_quality: Permill::zero(),
        budget,
        audit,
    };
    Poq::request_inference(RuntimeOrigin::signed(requester()), prompt, terms)
        .map_err(|error| anyhow::anyhow!("request {id} was refused: {error:?}"))?;
    Ok(id)
}

/// Opens the audit that [`ask`] made with this `secret`.
pub fn open_audit(request: RequestId, secret: Salt) -> Result<()> {
    Poq::open_audit(RuntimeOrigin::root(), request, key(), secret)
        .map_err(|error| anyhow::anyhow!("the audit of request {request} was refused: {error:?}"))
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
        .map_err(|error| anyhow::anyhow!("{player:?} in request {request}: {error:?}"))
}

/// What must hold at the end, whatever was played.
pub fn check(money_at_start: Balance) -> Result<()> {
    Poq::check_invariants().map_err(anyhow::Error::msg).context("an invariant of the pallet is broken")?;
    ensure!(money() == money_at_start, "money came or went: {} is not {money_at_start}", money());
    Ok(())
}
