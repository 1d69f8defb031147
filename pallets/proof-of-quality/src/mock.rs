//! A runtime with the pallet in it, and hands to drive it.

use crate as pallet_proof_of_quality;
use crate::{driver::crypto, *};
use codec::Encode;
use frame_support::{
    derive_impl, parameter_types,
    traits::{ConstU128, ConstU32, ConstU64, Hooks, Randomness},
    weights::Weight,
};
use frame_system::{offchain::*, EnsureRoot};
use poq_primitives::commitment::{Binding, Salt};
use sp_core::{sr25519, H256};
use sp_runtime::{
    generic,
    testing::TestXt,
    traits::{BlakeTwo256, IdentityLookup, Verify},
    BuildStorage, FixedU64, Permill,
};

pub type AccountId = sr25519::Public;
pub type Extrinsic = TestXt<RuntimeCall, ()>;
pub type Block = generic::Block<generic::Header<u64, BlakeTwo256>, Extrinsic>;
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
    pub struct Test;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;
    #[runtime::pallet_index(1)]
    pub type Balances = pallet_balances;
    #[runtime::pallet_index(2)]
    pub type Poq = pallet_proof_of_quality;
}

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type AccountId = AccountId;
    type Lookup = IdentityLookup<AccountId>;
    type Block = Block;
    type AccountData = pallet_balances::AccountData<Balance>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
    type Balance = Balance;
    type ExistentialDeposit = ConstU128<1>;
    type AccountStore = System;
    type RuntimeHoldReason = RuntimeHoldReason;
}

impl SigningTypes for Test {
    type Public = <sr25519::Signature as Verify>::Signer;
    type Signature = sr25519::Signature;
}

impl<C> CreateTransactionBase<C> for Test
where
    RuntimeCall: From<C>,
{
    type RuntimeCall = RuntimeCall;
    type Extrinsic = Extrinsic;
}

impl<C> CreateSignedTransaction<C> for Test
where
    RuntimeCall: From<C>,
{
    fn create_signed_transaction<Crypto: AppCrypto<Self::Public, Self::Signature>>(
        call: RuntimeCall,
        _public: Self::Public,
        account: AccountId,
        _nonce: u32,
    ) -> Option<Extrinsic> {
        Some(Extrinsic::new_signed(call, account_index(&account), (), ()))
    }
}

/// `TestXt` names its signer by a number.
pub fn account_index(account: &AccountId) -> u64 {
    u64::from_le_bytes(account.0[..8].try_into().unwrap())
}

parameter_types! {
    /// The seed that the mock gives out, and the block since which it says it is known. `None`: not yet.
    pub static Seed: Option<(u64, u64)> = None;
    /// Whether a fresh seed comes with each block, known since the block before.
    pub static FreshSeeds: bool = true;
    pub static Slashed: Balance = 0;
    pub static Fees: Balance = 0;
    pub static AgendaWeightOf: Weight = Weight::MAX;
    pub static DriverDepthOf: u64 = 0;
    /// Room for two more than serve the evaluator.
    pub static RosterSize: u32 = 12;
    pub static MaxAlpha: FixedU64 = FixedU64::from_u32(2);
    pub static MaxBeta: FixedU64 = FixedU64::from_u32(1);
    pub static DefaultParameters: Parameters<Balance, u64> = PARAMETERS;
    pub const DefaultCapacity: Workload = Workload { tokens: 100_000, pairs: 100_000 };
    pub static ListenerWeight: Weight = Weight::zero();
    pub static ListenerHears: bool = true;
    pub static Heard: Vec<(RequestId, AccountId, Ending<AccountId>)> = Vec::new();
    pub const CallbackPrice: Balance = 7;
    /// Whether weights are the measured ones instead of round numbers.
    pub static MeasuredWeights: bool = false;
}

/// A tolerance that does not move, no pay but by quality and committees of any size, so that tests can count with round numbers;
/// the tests of those set others.
pub const PARAMETERS: Parameters<Balance, u64> = Parameters {
    min_stake: 1_000,
    stake_cap: 5,
    unbonding_period: 20,
    fee: Permill::from_percent(2),
    base_pay: Permill::from_percent(0),
    waiting_fee: 0,
    min_committee: 1,
    absence_slash: 100,
    audit_slash: Permill::from_percent(10),
    audit_allowance: 1_000_000,
    gross_error: Permill::from_percent(50),
    audit_window: 10,
    tolerance_spreads: 6,
    tolerance_least: Permill::from_percent(25),
    tolerance_most: Permill::from_percent(25),
    floor: Standing {
        agreement: Permill::from_percent(20),
        veracity: Permill::from_percent(1),
        reliability: Permill::from_percent(5),
        quality: Permill::from_percent(10),
    },
    rise: Permill::from_percent(3),
    fall: Permill::from_percent(25),
    audit_rise: Permill::from_percent(10),
    audit_fall: Permill::from_percent(50),
};

/// The standing of the operators of the genesis block: full, so that it does not come into what is counted.
pub const FULL_STANDING: Standing = Standing {
    agreement: Permill::one(),
    veracity: Permill::one(),
    reliability: Permill::one(),
    quality: Permill::one(),
};

pub struct TestRandomness;
impl Randomness<Option<H256>, u64> for TestRandomness {
    fn random(subject: &[u8]) -> (Option<H256>, u64) {
        let now = System::block_number();
        match (FreshSeeds::get(), Seed::get()) {
            (true, _) => (Some((subject, now).using_encoded(sp_io::hashing::blake2_256).into()), now - 1),
            (false, Some((seed, since))) => {
                (Some((subject, seed).using_encoded(sp_io::hashing::blake2_256).into()), since)
            }
            (false, None) => (None, now),
        }
    }
}

pub struct CountSlash;
impl frame_support::traits::OnUnbalanced<CreditOf<Test>> for CountSlash {
    fn on_nonzero_unbalanced(credit: CreditOf<Test>) {
        Slashed::mutate(|sum| *sum += frame_support::traits::Imbalance::peek(&credit));
    }
}

pub struct CountFees;
impl frame_support::traits::OnUnbalanced<CreditOf<Test>> for CountFees {
    fn on_nonzero_unbalanced(credit: CreditOf<Test>) {
        Fees::mutate(|sum| *sum += frame_support::traits::Imbalance::peek(&credit));
    }
}

/// A pallet that asks. It need not hear unless a test says what that weighs.
pub struct Listener;
impl OnSettled<AccountId> for Listener {
    fn weight() -> Option<Weight> {
        Some(ListenerWeight::get()).filter(|weight| *weight != Weight::zero())
    }

    fn on_settled(
        request: RequestId,
        requester: &AccountId,
        ending: &Ending<AccountId>,
    ) -> sp_runtime::DispatchResult {
        // Undone if it fails.
        frame_support::storage::unhashed::put(b"heard", &request);
        frame_support::ensure!(ListenerHears::get(), "the listener does not hear");
        Heard::mutate(|heard| heard.push((request, *requester, ending.clone())));
        Ok(())
    }
}

impl Config for Test {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type ModelOrigin = EnsureRoot<AccountId>;
    type ParameterOrigin = EnsureRoot<AccountId>;
    type AuditOrigin = EnsureAuditor<Test>;
    type DefaultParameters = DefaultParameters;
    type Randomness = TestRandomness;
    type Aggregation = WeightedMedian;
    type WorkerCrypto = crypto::WorkerCrypto;
    type FeeHandler = CountFees;
    type SlashHandler = CountSlash;
    type OnSettled = (Listener, ());
    type CallbackPrice = CallbackPrice;
    type MaxPromptLength = ConstU32<64>;
    type MaxOutputLength = ConstU32<64>;
    type MaxTokens = ConstU32<100>;
    type MaxNameLength = ConstU32<16>;
    type MaxResponders = ConstU32<4>;
    type MaxCommittee = ConstU32<7>;
    type MaxModelsPerRequest = ConstU32<3>;
    type MaxModelsPerOperator = ConstU32<3>;
    type MaxOperatorsPerModel = RosterSize;
    type MaxDuties = ConstU32<1_000>;
    type DefaultCapacity = DefaultCapacity;
    type MaxAuditors = ConstU32<3>;
    type MaxDecoys = ConstU32<2>;
    type ChillPatience = ConstU64<10>;
    type BlockMillis = ConstU64<6_000>;
    type MaxReports = ConstU32<4>;
    type RecentDuties = ConstU32<3>;
    type MaxReferenceLength = ConstU32<16>;
    type MaxAlpha = MaxAlpha;
    type MaxBeta = MaxBeta;
    type SeedPatience = ConstU64<10>;
    type Retention = ConstU64<30>;
    type MaxWindow = ConstU64<100>;
    type AgendaWeight = AgendaWeightOf;
    type DriverDepth = DriverDepthOf;
    type WeightInfo = RoundWeights;
}

/// Round numbers, so that a test can say how many steps fit.
pub struct RoundWeights;

macro_rules! arg {
    ($arg:ident) => {
        u32
    };
}

macro_rules! weigh {
    ($($name:ident($($arg:ident),*) => $weight:literal;)*) => {
        impl WeightInfo for RoundWeights {
            $(fn $name($($arg: arg!($arg)),*) -> Weight {
                if MeasuredWeights::get() {
                    <() as WeightInfo>::$name($($arg),*)
                } else {
                    Weight::from_parts($weight, 0)
                }
            })*
        }
    };
}

weigh! {
    register_model() => 1;
    retire_model() => 1;
    bond() => 1;
    register() => 1;
    chill() => 1;
    resume() => 1;
    set_capacity() => 1;
    unbond() => 1;
    withdraw() => 1;
    request_inference(b, g) => 1;
    report_output_commitment() => 1;
    report_output(b) => 1;
    report_scores_commitment(k) => 1;
    report_scores(k) => 1;
    report_failure() => 1;
    set_parameters() => 1;
    reveal_audit(n, k) => 1;
    agenda_block() => 10;
    agenda_item() => 10;
    draw_inference_nodes(c, n, l) => 90;
    draw_inference_nodes_of_one_model(c, n, l) => 90;
    close_answering(n) => 90;
    close_revealing_answers(n) => 90;
    draw_committee(c, k, l) => 90;
    draw_committee_again(c, k, l) => 90;
    close_scoring(k) => 90;
    settle(n, k) => 90;
    settle_of_one_model(n, k) => 90;
    settle_with_absentees(n, k) => 90;
    dismiss_committee(k) => 90;
    refund(n, k) => 90;
    prune(n) => 90;
}

pub const STRONG: ModelId = [1; 32];
pub const WEAK: ModelId = [2; 32];
pub const JUDGE: ModelId = [3; 32];
pub const UNKNOWN: ModelId = [9; 32];

pub const RICH: Balance = 1_000_000;

/// An account by number; its bytes are the number, so that order and tests are plain.
pub fn account(n: u64) -> AccountId {
    let mut bytes = [0u8; 32];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    sr25519::Public::from_raw(bytes)
}

/// The worker key of operator `n`.
pub fn worker(n: u64) -> AccountId {
    account(1_000 + n)
}

/// The operator that a worker key of [`worker`] belongs to.
pub fn operator_number(operator: &AccountId) -> u64 {
    account_index(operator)
}

/// The account that reveals audits.
pub fn auditor() -> AccountId {
    account(60)
}

pub fn as_auditor() -> RuntimeOrigin {
    RuntimeOrigin::signed(auditor())
}

/// Registers operator `n` with a key, as one who has that key's consent can: the tests of consent go through the call.
pub fn register(n: u64, worker: AccountId, models: &[ModelId]) -> sp_runtime::DispatchResult {
    frame_support::storage::with_storage_layer(|| {
        operators::register::<Test>(&account(n), worker, models.to_vec().try_into().unwrap())
    })
}

/// The requester.
pub fn requester() -> AccountId {
    account(50)
}

/// Inference nodes 1, 2 (strong), 3 (weak); quality validators 11 to 20.
pub const NODES: [(u64, ModelId); 3] = [(1, STRONG), (2, STRONG), (3, WEAK)];
pub const SCORERS: core::ops::RangeInclusive<u64> = 11..=20;

pub fn storage() -> sp_io::TestExternalities {
    let mut storage = frame_system::GenesisConfig::<Test>::default().build_storage().unwrap();
    let accounts = NODES.iter().map(|(n, _)| *n).chain(SCORERS).chain([50, 51, 52]);
    pallet_balances::GenesisConfig::<Test> {
        balances: accounts.map(|n| (account(n), RICH)).collect(),
        ..Default::default()
    }
    .assimilate_storage(&mut storage)
    .unwrap();
    let windows = Windows { commit: 5, reveal: 3 };
    let model = |id, kind, name: &str, base| GenesisModel {
        id,
        kind,
        name: name.into(),
        price: Price { base, per_unit: 1 },
        windows,
        reward: Reward::default(),
        context: if kind == ModelKind::Generator { 160 } else { 0 },
        noise: Permill::zero(),
    };
    let operator = |n: u64, models| GenesisOperator {
        operator: account(n),
        stake: 2_000,
        worker: worker(n),
        models,
        capacity: None,
    };
    GenesisConfig::<Test> {
        models: vec![
            model(STRONG, ModelKind::Generator, "strong", 1_000),
            model(WEAK, ModelKind::Generator, "weak", 1_000),
            model(JUDGE, ModelKind::Evaluator, "judge", 100),
        ],
        operators: NODES
            .iter()
            .map(|(n, model)| operator(*n, vec![*model]))
            .chain(SCORERS.map(|n| operator(n, vec![JUDGE])))
            .collect(),
        auditors: vec![auditor()],
    }
    .assimilate_storage(&mut storage)
    .unwrap();
    let mut externalities = sp_io::TestExternalities::new(storage);
    externalities.execute_with(|| {
        System::set_block_number(1);
        for (n, model, kind) in everybody() {
            Operators::<Test>::mutate(account(n), |o| o.as_mut().unwrap().standing = FULL_STANDING);
            rosters::refresh::<Test>(&model, &[operators::place_of::<Test>(&account(n), model, kind)]);
        }
    });
    externalities
}

/// The operators of the genesis block, each with its model.
fn everybody() -> impl Iterator<Item = (u64, ModelId, ModelKind)> {
    let nodes = NODES.into_iter().map(|(n, model)| (n, model, ModelKind::Generator));
    nodes.chain(SCORERS.map(|n| (n, JUDGE, ModelKind::Evaluator)))
}

/// The same with a keystore, and rosters with room for a committee and all candidates that a draw examines without drawing them.
#[cfg(feature = "runtime-benchmarks")]
pub fn storage_with_keys() -> sp_io::TestExternalities {
    RosterSize::set(16);
    let mut externalities = storage();
    let keystore = sp_keystore::testing::MemoryKeystore::new();
    externalities.register_extension(sp_keystore::KeystoreExt::new(keystore));
    externalities
}

/// Runs a test and then checks the pallet's invariants and that no money came or went.
pub fn build_and_execute(test: impl FnOnce()) {
    reset_knobs();
    storage().execute_with(|| {
        let issued = pallet_balances::TotalIssuance::<Test>::get();
        test();
        invariants::check::<Test>().unwrap();
        let handled = Slashed::get() + Fees::get();
        assert_eq!(issued, pallet_balances::TotalIssuance::<Test>::get() + handled, "money came or went");
        no_unexpected();
    });
}

pub fn reset_knobs() {
    Seed::set(None);
    FreshSeeds::set(true);
    Slashed::set(0);
    Fees::set(0);
    AgendaWeightOf::set(Weight::MAX);
    DriverDepthOf::set(0);
    RosterSize::set(12);
    MaxAlpha::set(FixedU64::from_u32(2));
    MaxBeta::set(FixedU64::from_u32(1));
    DefaultParameters::set(PARAMETERS);
    MeasuredWeights::set(false);
}

pub fn no_unexpected() {
    for record in System::events() {
        assert!(!matches!(record.event, RuntimeEvent::Poq(Event::Unexpected { .. })), "{record:?}");
    }
}

/// Ends the block (as `on_idle` with room would) and begins the next.
pub fn next_block() {
    let now = System::block_number();
    Poq::on_idle(now, Weight::MAX);
    System::set_block_number(now + 1);
    Poq::on_poll(now + 1, &mut frame_support::weights::WeightMeter::new());
}

pub fn run_to(block: u64) {
    while System::block_number() < block {
        next_block();
    }
}

/// Runs on until `done`, at most 200 blocks.
pub fn run_until(done: impl Fn() -> bool) {
    for _ in 0..200 {
        if done() {
            return;
        }
        next_block();
    }
    panic!("it never came to pass");
}

/// The terms of most tests: 2 of the 3 inference nodes, a committee of 5, any quality.
pub fn terms() -> Terms<Balance, <Test as Config>::MaxModelsPerRequest> {
    Terms {
        generators: vec![STRONG, WEAK].try_into().unwrap(),
        evaluator: JUDGE,
        sampling: Sampling { max_tokens: 10, temperature_milli: 0, seed: 1 },
        responders: 2,
        committee: 5,
        min_quality: Permill::zero(),
        budget: 10_000,
        audit: [0; 32],
    }
}

/// Makes a request; returns its id.
pub fn ask(terms: Terms<Balance, <Test as Config>::MaxModelsPerRequest>) -> RequestId {
    let id = NextRequest::<Test>::get();
    Poq::request_inference(RuntimeOrigin::signed(requester()), b"capital of Peru?".to_vec(), terms).unwrap();
    id
}

pub fn phase(id: RequestId) -> Phase<u64> {
    Requests::<Test>::get(id).expect("stored").phase
}

/// The open duties of operator `n`.
pub fn duties_of(n: u64) -> Vec<(RequestId, Role)> {
    Operators::<Test>::get(account(n)).map_or_else(Vec::new, |operator| operator.duties.iter().collect())
}

pub fn responders(id: RequestId) -> Vec<u64> {
    Responses::<Test>::get(id).iter().map(|r| operator_number(&r.operator)).collect()
}

pub fn committee(id: RequestId) -> Vec<u64> {
    let round = Requests::<Test>::get(id).expect("stored").round;
    Committees::<Test>::get(id, round).iter().map(|m| operator_number(&m.operator)).collect()
}

/// The salt of operator `n`: any secret will do.
pub fn salt(n: u64) -> Salt {
    [n as u8; 32]
}

pub fn commitment_to_output(id: RequestId, n: u64, output: &[u8]) -> Commitment {
    let genesis = duties::genesis_hash::<Test>();
    Binding { genesis: &genesis, request: id, operator: &account(n) }.output(output, &salt(n))
}

pub fn commitment_to_scores(id: RequestId, n: u64, scores: &[Permill]) -> Commitment {
    let genesis = duties::genesis_hash::<Test>();
    Binding { genesis: &genesis, request: id, operator: &account(n) }.scores(scores, &salt(n))
}

pub fn report(n: u64, id: RequestId, kind: ReportKindOf<Test>) -> sp_runtime::DispatchResult {
    let reports = vec![Report { request: id, kind }].try_into().unwrap();
    // As a transaction would: all or nothing.
    frame_support::storage::with_storage_layer(|| {
        let reported = Poq::report_work(RuntimeOrigin::signed(worker(n)), reports);
        reported.map(|_| ()).map_err(|refused| refused.error)
    })
}

pub fn commit_output(n: u64, id: RequestId, output: &[u8]) -> sp_runtime::DispatchResult {
    report(n, id, ReportKind::CommitOutput { commitment: commitment_to_output(id, n, output) })
}

pub fn reveal_output(n: u64, id: RequestId, output: &[u8]) -> sp_runtime::DispatchResult {
    report(n, id, ReportKind::RevealOutput { output: output.to_vec().try_into().unwrap(), salt: salt(n) })
}

pub fn percents(scores: &[u32]) -> Vec<Permill> {
    scores.iter().map(|s| Permill::from_percent(*s)).collect()
}

pub fn commit_scores(n: u64, id: RequestId, scores: &[u32]) -> sp_runtime::DispatchResult {
    report(n, id, ReportKind::CommitScores { commitment: commitment_to_scores(id, n, &percents(scores)) })
}

pub fn reveal_scores(n: u64, id: RequestId, scores: &[u32]) -> sp_runtime::DispatchResult {
    report(n, id, ReportKind::RevealScores { scores: percents(scores).try_into().unwrap(), salt: salt(n) })
}

/// Makes a request and brings it to where its inference nodes are drawn.
pub fn ask_and_draw(terms: Terms<Balance, <Test as Config>::MaxModelsPerRequest>) -> RequestId {
    let id = ask(terms);
    run_until(|| !responders(id).is_empty());
    id
}

/// Lets all inference nodes commit and reveal, and brings the request to where its committee is drawn.
pub fn answer_all(id: RequestId) {
    for n in responders(id) {
        commit_output(n, id, format!("answer of {n}").as_bytes()).unwrap();
    }
    next_block();
    for n in responders(id) {
        reveal_output(n, id, format!("answer of {n}").as_bytes()).unwrap();
    }
    run_until(|| !committee(id).is_empty());
}

/// Lets the whole committee commit to and reveal `scores`.
pub fn score_all(id: RequestId, scores: &[u32]) {
    for n in committee(id) {
        commit_scores(n, id, scores).unwrap();
    }
    next_block();
    for n in committee(id) {
        reveal_scores(n, id, scores).unwrap();
    }
    next_block();
}

pub fn balance(n: u64) -> Balance {
    Balances::free_balance(account(n))
}

pub fn held(n: u64) -> Balance {
    use frame_support::traits::fungible::InspectHold;
    <Balances as InspectHold<AccountId>>::total_balance_on_hold(&account(n))
}

/// The pallet's events of this block, or of all since the last reset.
pub fn events() -> Vec<Event<Test>> {
    let records = System::events().into_iter();
    records
        .filter_map(|record| match record.event {
            RuntimeEvent::Poq(event) => Some(event),
            _ => None,
        })
        .collect()
}

/// The `Settled` event of a request.
pub fn settled(id: RequestId) -> (u32, Permill, Balance, Balance, Balance) {
    System::events()
        .into_iter()
        .find_map(|record| match record.event {
            RuntimeEvent::Poq(Event::Settled { request, best, quality, paid, fee, refund })
                if request == id =>
            {
                Some((best, quality, paid, fee, refund))
            }
            _ => None,
        })
        .expect("the request is settled")
}
