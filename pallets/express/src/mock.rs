//! A runtime with both pallets in it, and hands that do what the parties of an order do.

use crate::{self as pallet_proof_of_quality_express, *};
use codec::Encode;
use frame_support::{
    assert_ok, derive_impl, parameter_types,
    traits::{fungible::Inspect, ConstU128, ConstU32, ConstU64, Hooks, Imbalance, OnUnbalanced, Randomness},
    weights::WeightMeter,
    BoundedVec, PalletId,
};
use frame_system::{offchain::*, EnsureRoot};
use pallet_proof_of_quality::{
    CreditOf, GenesisModel, GenesisOperator, ModelId, ModelKind, Parameters, Price, RequestId, Reward,
    Standing, Windows,
};
use poq_primitives::express::{
    committee_seed, messages, pick, responder_seed, second_draw_hash, Answer, Certificate, Epoch, Order,
    OrderName, ResponderPart, ScorerPart, Scores, Seat, SPARE_PICKS,
};
use sp_core::{Pair, H256};
use sp_runtime::{
    generic,
    testing::TestXt,
    traits::{BlakeTwo256, IdentityLookup, Verify as VerifySignature},
    BuildStorage, Permill,
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
    #[runtime::pallet_index(3)]
    pub type Express = pallet_proof_of_quality_express;
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
    type ExistentialDeposit = ConstU128<10>;
    type AccountStore = System;
    type RuntimeHoldReason = RuntimeHoldReason;
}

impl SigningTypes for Test {
    type Public = <sr25519::Signature as VerifySignature>::Signer;
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
        _: Self::Public,
        _: AccountId,
        _: u32,
    ) -> Option<Extrinsic> {
        Some(Extrinsic::new_signed(call, 0, (), ()))
    }
}

parameter_types! {
    pub static Slashed: Balance = 0;
    pub static Fees: Balance = 0;
    /// How many blocks old the seed of a block is.
    pub static SeedAge: u64 = 1;
    pub const Lane: PalletId = PalletId(*b"poq/expr");
    pub const EquivocationSlash: Permill = Permill::from_percent(40);
    pub const Economics: Parameters<Balance, u64> = PARAMETERS;
}

pub const PARAMETERS: Parameters<Balance, u64> = Parameters::recommended(1_000, 100, 1, 1_000_000, 200, 50);

pub struct TestRandomness;
impl Randomness<Option<H256>, u64> for TestRandomness {
    fn random(subject: &[u8]) -> (Option<H256>, u64) {
        let known = System::block_number().saturating_sub(SeedAge::get());
        (Some((subject, known).using_encoded(sp_io::hashing::blake2_256).into()), known)
    }
}

pub struct CountSlash;
impl OnUnbalanced<CreditOf<Test>> for CountSlash {
    fn on_nonzero_unbalanced(credit: CreditOf<Test>) {
        Slashed::mutate(|sum| *sum += credit.peek());
    }
}

pub struct CountFees;
impl OnUnbalanced<CreditOf<Test>> for CountFees {
    fn on_nonzero_unbalanced(credit: CreditOf<Test>) {
        Fees::mutate(|sum| *sum += credit.peek());
    }
}

#[derive_impl(pallet_proof_of_quality::config_preludes::SolochainDefaultConfig)]
impl pallet_proof_of_quality::Config for Test {
    type Currency = Balances;
    type ModelOrigin = EnsureRoot<AccountId>;
    type ParameterOrigin = EnsureRoot<AccountId>;
    type AuditOrigin = EnsureRoot<AccountId>;
    type DefaultParameters = Economics;
    type Randomness = TestRandomness;
    type FeeHandler = CountFees;
    type SlashHandler = CountSlash;
    type Retention = ConstU64<100>;
    // Benchmarks fill rosters with operators, each with a key.
    type MaxOperatorsPerModel = ConstU32<64>;
}

impl Config for Test {
    type PalletId = Lane;
    type LaneOrigin = EnsureRoot<AccountId>;
    type EpochBlocks = ConstU64<10>;
    type MaxLaneModels = ConstU32<3>;
    type MinEndpoints = ConstU32<3>;
    type MaxOrdersPerEpoch = ConstU32<20>;
    type MaxBatch = ConstU32<16>;
    type MaxAddress = ConstU32<32>;
    type MinDeposit = ConstU128<1_000>;
    type EquivocationSlash = EquivocationSlash;
    type ChallengeBlocks = ConstU64<5>;
    type ChallengeBond = ConstU128<300>;
    type WeightInfo = weights::SubstrateWeight<Test>;
}

pub const GENERATOR: ModelId = [1; 32];
pub const JUDGE: ModelId = [2; 32];
/// Operators that answer.
pub const NODES: std::ops::RangeInclusive<u64> = 1..=6;
/// Operators that score.
pub const SCORERS: std::ops::RangeInclusive<u64> = 11..=30;
/// A requester.
pub const ASKER: u64 = 50;
pub const RICH: Balance = 10_000_000;
pub const DEPOSIT: Balance = 200_000;
pub const MOST: Balance = 5_000;

/// The genesis hash of the mock.
pub const GENESIS: Hash32 = [69; 32];

/// An account by number.
pub fn account(n: u64) -> AccountId {
    let mut bytes = [0u8; 32];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    sr25519::Public::from_raw(bytes)
}

/// The number of an account.
pub fn number(account: &AccountId) -> u64 {
    u64::from_le_bytes(account.0[..8].try_into().unwrap())
}

/// The express key of an operator, or the channel key of a requester.
pub fn pair(n: u64) -> sr25519::Pair {
    sr25519::Pair::from_seed(&sp_io::hashing::blake2_256(&n.encode()))
}

pub fn public(n: u64) -> Key {
    pair(n).public().0
}

pub fn sign(n: u64, digest: &Digest) -> Signature {
    pair(n).sign(&digest.0).0
}

pub fn signed(n: u64) -> RuntimeOrigin {
    RuntimeOrigin::signed(account(n))
}

/// Runs a test on a chain with operators, and checks the invariants after it.
pub fn run(test: impl FnOnce()) {
    let mut storage = frame_system::GenesisConfig::<Test>::default().build_storage().unwrap();
    let all = NODES.chain(SCORERS).chain(ASKER..=ASKER + 3);
    let balances = all.map(|n| (account(n), RICH)).collect();
    pallet_balances::GenesisConfig::<Test> { balances, ..Default::default() }
        .assimilate_storage(&mut storage)
        .unwrap();
    let model = |id, kind, base, context| GenesisModel::<Test> {
        id,
        kind,
        name: "model".into(),
        price: Price { base, per_unit: 0 },
        windows: Windows { commit: 5, reveal: 5 },
        reward: Reward::default(),
        context,
        noise: Permill::zero(),
    };
    let operator = |n: u64, model| GenesisOperator::<Test> {
        operator: account(n),
        stake: 2_000,
        worker: account(1_000 + n),
        models: vec![model],
        capacity: None,
    };
    let nodes = NODES.map(|n| operator(n, GENERATOR));
    pallet_proof_of_quality::GenesisConfig::<Test> {
        models: vec![
            model(GENERATOR, ModelKind::Generator, 100, 4_096),
            model(JUDGE, ModelKind::Evaluator, 10, 0),
        ],
        operators: nodes.chain(SCORERS.map(|n| operator(n, JUDGE))).collect(),
        auditors: vec![],
    }
    .assimilate_storage(&mut storage)
    .unwrap();
    sp_io::TestExternalities::new(storage).execute_with(|| {
        System::set_block_number(1);
        assert_eq!(genesis_hash::<Test>(), GENESIS);
        Slashed::set(0);
        Fees::set(0);
        SeedAge::set(1);
        let before = Balances::total_issuance();
        test();
        Express::do_check().unwrap();
        Poq::check_invariants().unwrap();
        assert_eq!(Balances::total_issuance() + Slashed::get() + Fees::get(), before, "money is conserved");
    });
}

/// A chain without operators and with a keystore, for benchmarks.
#[cfg(feature = "runtime-benchmarks")]
pub fn storage_with_keys() -> sp_io::TestExternalities {
    let storage = frame_system::GenesisConfig::<Test>::default().build_storage().unwrap();
    let mut externalities = sp_io::TestExternalities::new(storage);
    let keystore = sp_keystore::testing::MemoryKeystore::new();
    externalities.register_extension(sp_keystore::KeystoreExt::new(keystore));
    externalities.execute_with(|| System::set_block_number(1));
    externalities
}

pub fn next_block() {
    let now = System::block_number() + 1;
    System::set_block_number(now);
    Poq::on_poll(now, &mut WeightMeter::new());
    Express::on_poll(now, &mut WeightMeter::new());
}

/// Goes on to the first block of the next epoch whose draws can be made.
pub fn next_epoch() -> Epoch {
    let before = CurrentEpoch::<Test>::get();
    while CurrentEpoch::<Test>::get() == before || !is_seeded() {
        next_block();
    }
    CurrentEpoch::<Test>::get()
}

/// Goes on to the block in which certificates settle that leave somebody out.
pub fn go_late(epoch: Epoch) {
    while CurrentEpoch::<Test>::get() == epoch {
        next_block();
    }
    let start = Epochs::<Test>::get(epoch + 1).unwrap().start;
    while System::block_number() < start + 5 {
        next_block();
    }
}

fn is_seeded() -> bool {
    Epochs::<Test>::get(CurrentEpoch::<Test>::get()).is_some_and(|info| info.seed.is_some())
}

pub fn set_endpoint(n: u64, key: u64) -> sp_runtime::DispatchResult {
    let address = BoundedVec::truncate_from(b"node.example:8443".to_vec());
    let consent = sign(key, &messages::endpoint_consent(&GENESIS, &account(n)));
    Express::set_endpoint(signed(n), address, [7; 32], public(key), consent)
}

/// Opens the lane with all operators, a channel of [`ASKER`], and goes on to the first epoch in which that has orders.
pub fn open_lane() -> Epoch {
    for model in [GENERATOR, JUDGE] {
        assert_ok!(Express::open_model(RuntimeOrigin::root(), model));
    }
    for n in NODES.chain(SCORERS) {
        assert_ok!(set_endpoint(n, n));
    }
    assert_ok!(Express::open_channel(signed(ASKER), public(ASKER), DEPOSIT, MOST, 20));
    next_epoch()
}

pub fn name(epoch: Epoch, index: u32) -> OrderName {
    OrderName { channel: 0, epoch, index }
}

/// An order for so many answers and scores by [`ASKER`].
pub fn order(name: OrderName, responders: u8, committee: u8) -> Order<Balance> {
    Order {
        name,
        generator: GENERATOR,
        evaluator: JUDGE,
        responders,
        committee,
        max_tokens: 100,
        temperature_milli: 0,
        seed: 0,
        min_quality: Permill::zero(),
        budget: 2_000,
        prompt: [1; 32],
        first_draw: [2; 32],
        second_draw: second_draw_hash(&GENESIS, &name, &SECOND_DRAW),
        audit: [3; 32],
    }
}

pub const SECOND_DRAW: [u8; 32] = [4; 32];

/// The responders that an order's first draw picks, by their numbers.
pub fn responders_of(order: &Order<Balance>) -> Vec<u64> {
    let seed = Epochs::<Test>::get(order.name.epoch).unwrap().seed.expect("the epoch has a seed");
    let owner = Channels::<Test>::get(order.name.channel).unwrap().owner;
    let generators = snapshot(order.name.epoch, order.generator);
    let first = responder_seed(&seed, &order.name, &order.first_draw);
    let picks = pick(&first, &generators, order.responders.into(), |who| *who == owner);
    picks.iter().map(|index| number(&generators[*index].operator)).collect()
}

/// Has the chain draw a committee for a request, which gives each answer this score in per cent.
pub fn score_on_chain(id: RequestId, percent: u32) {
    use pallet_proof_of_quality::{Committees, Phase, Report, ReportKind, Requests, Responses, Work};
    use poq_primitives::commitment::Binding;
    let phase = || Requests::<Test>::get(id).unwrap().phase;
    let shown = || Responses::<Test>::get(id).iter().filter(|part| part.work == Work::Revealed).count();
    while !matches!(phase(), Phase::Scoring { .. }) {
        next_block();
    }
    let report = |n: u64, kind| {
        let reports = BoundedVec::truncate_from(vec![Report { request: id, kind }]);
        assert_ok!(Poq::report_work(signed(1_000 + n), reports));
    };
    let scores = vec![Permill::from_percent(percent); shown()];
    let committee: Vec<_> =
        Committees::<Test>::get(id, 0).iter().map(|member| number(&member.operator)).collect();
    for n in &committee {
        let binding = Binding { genesis: &GENESIS, request: id, operator: &account(*n) };
        report(*n, ReportKind::CommitScores { commitment: binding.scores(&scores, &[1; 32]) });
    }
    for n in &committee {
        let scores = BoundedVec::truncate_from(scores.clone());
        report(*n, ReportKind::RevealScores { scores, salt: [1; 32] });
    }
    while !phase().is_closed() {
        next_block();
    }
}

/// What the parties of an order do.
pub struct Play {
    /// Whether the responder at this place of the draw shows its output; `None`: it does not answer.
    pub answers: Vec<Option<bool>>,
    /// The scores of the member at this place of the draw: in per cent, the same for each answer.
    pub scores: Vec<Option<u32>>,
}

impl Play {
    /// All do their work.
    pub fn all(responders: usize, scores: &[u32]) -> Self {
        Self {
            answers: vec![Some(true); responders],
            scores: scores.iter().map(|score| Some(*score)).collect(),
        }
    }
}

fn snapshot(epoch: Epoch, model: ModelId) -> Vec<Seat<AccountId>> {
    Snapshots::<Test>::get(epoch, model).expect("the model has a lane").into_inner()
}

/// What operator `n` answers.
pub fn text(n: u64) -> Vec<u8> {
    if n.is_multiple_of(2) {
        b"Lima.".to_vec()
    } else {
        b"Quito.".to_vec()
    }
}

/// Its salt of everything.
pub fn salt(n: u64) -> [u8; 32] {
    [n as u8; 32]
}

/// Its commitment to its answer.
pub fn commitment(name: &OrderName, n: u64) -> [u8; 32] {
    messages::output_commitment(&GENESIS, name, &public(n), &text(n), &salt(n))
}

/// The certificate of an order that was played so. Operators sign with the keys of their numbers.
pub fn certify(order: Order<Balance>, play: &Play) -> CertificateOf<Test> {
    let name = order.name;
    let digest = order.digest(&GENESIS);
    let seed = Epochs::<Test>::get(name.epoch).unwrap().seed.expect("the epoch has a seed");
    let owner = Channels::<Test>::get(name.channel).unwrap().owner;
    let generators = snapshot(name.epoch, order.generator);
    let first = responder_seed(&seed, &name, &order.first_draw);
    let picks = pick(&first, &generators, play.answers.len() + SPARE_PICKS, |who| *who == owner);
    let nodes: Vec<_> = picks.iter().map(|index| generators[*index].operator).collect();
    let (mut responders, mut answers, mut vrfs) = (vec![], vec![], vec![]);
    for (node, answer) in nodes.iter().zip(&play.answers) {
        let Some(shown) = *answer else {
            responders.push(ResponderPart::Absent);
            answers.push(None);
            continue;
        };
        let n = number(node);
        let (output, vrf) = (commitment(&name, n), [n as u8 + 100; 32]);
        let signature = sign(n, &messages::answer(&GENESIS, &digest, &public(n), &output, &vrf));
        responders.push(ResponderPart::Answered(Answer { output, vrf, shown, signature }));
        answers.push(Some((output, shown)));
        vrfs.push(vrf);
    }
    let shown = answers.iter().flatten().filter(|(_, shown)| *shown).count();
    let answers = messages::answers(&GENESIS, &digest, &answers);
    let evaluators = snapshot(name.epoch, order.evaluator);
    let second = committee_seed(&first, &SECOND_DRAW, &vrfs);
    let drawn = &nodes[..play.answers.len()];
    let excluded = |who: &AccountId| *who == owner || drawn.contains(who);
    let picks = pick(&second, &evaluators, play.scores.len() + SPARE_PICKS, excluded);
    let scorers: Vec<_> = picks.iter().map(|index| number(&evaluators[*index].operator)).collect();
    let scores = |percent: u32| vec![Permill::from_percent(percent); shown];
    let mut set = vec![];
    for (place, (n, percent)) in scorers.iter().zip(&play.scores).enumerate() {
        if let Some(percent) = percent {
            let commitment =
                messages::score_commitment(&GENESIS, &answers, &public(*n), &scores(*percent), &salt(*n));
            set.push((place as u8, commitment));
        }
    }
    let set = messages::set(&GENESIS, &answers, &set);
    let member = |(n, percent): (&u64, &Option<u32>)| match percent {
        None => ScorerPart::Absent,
        Some(percent) => {
            let (scores, salt) = (scores(*percent), salt(*n));
            let signature = sign(*n, &messages::reveal(&GENESIS, &set, &public(*n), &scores, &salt));
            ScorerPart::Revealed(Scores { scores, salt, signature })
        }
    };
    let members = scorers.iter().zip(&play.scores).map(member).collect();
    // The channel of number `c` belongs to `ASKER + c`, which signs with the key of its number.
    let signature = sign(ASKER + name.channel, &digest);
    Certificate { order, signature, v1: SECOND_DRAW, responders, members }
}

pub fn settle(certificates: Vec<CertificateOf<Test>>) -> sp_runtime::DispatchResult {
    Express::settle_batch(signed(ASKER + 1), BoundedVec::try_from(certificates).unwrap())
}

/// Sends one certificate and says why it was refused, if it was.
pub fn refusal(certificate: CertificateOf<Test>) -> Option<Refusal> {
    System::reset_events();
    assert_ok!(settle(vec![certificate]));
    events().into_iter().find_map(|event| match event {
        Event::OrderRefused { refusal, .. } => Some(refusal),
        _ => None,
    })
}

/// The lane's events since the last reset.
pub fn events() -> Vec<Event<Test>> {
    let records = System::events().into_iter();
    records
        .filter_map(|record| match record.event {
            RuntimeEvent::Express(event) => Some(event),
            _ => None,
        })
        .collect()
}

pub fn channel_balance() -> Balance {
    Channels::<Test>::get(0).unwrap().balance
}

pub fn earned(n: u64) -> Balance {
    Earnings::<Test>::get(account(n))
}

/// What all operators have earned and not claimed.
pub fn all_earned() -> Balance {
    Earnings::<Test>::iter_values().sum()
}

pub fn free(n: u64) -> Balance {
    Balances::balance(&account(n))
}

pub fn standing(n: u64) -> Standing {
    pallet_proof_of_quality::Operators::<Test>::get(account(n)).unwrap().standing
}
