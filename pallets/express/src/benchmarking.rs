//! Benchmarks of every call and of every step of the hook, each at its worst and each with a look at what came of it.
//!
//! At its worst means: rosters and snapshots are full, every record of an operator is as long as it gets, texts are the longest, and of
//! several ways through a call the dearest is taken. A batch is measured in two parts, its orders and what it costs beside them.
//!
//! Operators and models come from the benchmarks of `pallet-proof-of-quality`; epochs, snapshots, channels, requests and challenges from this
//! pallet's own functions. Keys are the keystore's, which signs by a host function. No host function makes a VRF's proof, so one is kept here
//! ([`PROOF`]), and a test says how to make it anew.
//!
//! Deleting a prefix and iterating read no values, and the benchmarks' database does not count them.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has to stop"
)]

use crate::{
    challenges::{Doubt, Draw, Use},
    earnings::{Count, Tally},
    orders::OpenBatch,
    steps::FORGOTTEN_AT_ONCE,
    *,
};
use alloc::{format, string::String, vec, vec::Vec};
use codec::{Compact, Decode, Encode};
use frame_benchmarking::{account, v2::*};
use frame_support::{
    traits::{ConstU32, EnsureOrigin, Get},
    weights::WeightMeter,
    BoundedBTreeSet, BoundedVec,
};
use frame_system::{pallet_prelude::BlockNumberFor, Pallet as System, RawOrigin};
use pallet_proof_of_quality::{
    lane::{
        self,
        setup::{full_roster, fund, model_id, store_busy_operator, store_model, store_operator},
    },
    AnswerKey, AnswerKeyOf, EconomicParameters, ModelId, ModelKind, MOST_NOISE,
};
use poq_primitives::{
    commitment::{self, Salt},
    express::{
        certificate::{LEAST_COMMITTEE, MOST_COMMITTEE},
        committee_seed,
        equivocation::SignedSet,
        messages, pick, prompt_hash, responder_seed, second_draw_hash, Answer, ChannelId, Epoch,
        Equivocation, Order, OrderName, ResponderPart, ScorerPart, Scores, Seat,
    },
};
use sp_core::{crypto::KeyTypeId, Blake2Hasher};
use sp_runtime::{
    traits::{Bounded, One, Saturating, Zero},
    Permill,
};
use sp_trie::{generate_trie_proof, LayoutV1, MemoryDB, TrieDBMutBuilder, TrieMut};

/// Type of the keys in the keystore.
const KEYS: KeyTypeId = KeyTypeId(*b"expr");
const NOW: u32 = 1_000;
const SEED: Hash32 = [7; 32];
const SALT: Salt = [8; 32];
const V1: Hash32 = [4; 32];
const NODE: &str = "node";
const SCORER: &str = "scorer";
const REQUESTER: &str = "requester";
/// The one channel.
const CHANNEL: ChannelId = 0;
/// The first epoch.
const EPOCH: Epoch = 1;

/// Hash of the genesis block for which [`PROOF`] was made.
const GENESIS: Hash32 = [69; 32];
/// Output of the VRF of the first node's key for the first order, in the responders' domain.
const VRF: Hash32 = [
    242, 139, 17, 187, 105, 179, 105, 220, 107, 170, 3, 53, 254, 142, 134, 247, 119, 151, 125, 128, 133, 71,
    211, 227, 251, 246, 186, 194, 3, 87, 46, 49,
];
/// Its proof.
const PROOF: [u8; 64] = [
    165, 148, 243, 131, 117, 164, 218, 209, 110, 28, 194, 253, 65, 255, 58, 216, 186, 195, 232, 225, 225,
    198, 151, 49, 222, 140, 182, 46, 169, 108, 38, 9, 154, 121, 54, 197, 159, 244, 120, 143, 188, 137, 26,
    209, 114, 121, 164, 102, 88, 15, 144, 245, 197, 223, 87, 136, 25, 2, 253, 103, 193, 142, 189, 1,
];

// ---------------------------------------------------------------- keys and accounts

/// Secret seed of the key of this role and number.
fn secret(role: &str, n: u32) -> Hash32 {
    (role, n).using_encoded(sp_io::hashing::blake2_256)
}

/// The key of this role and number, which the keystore has from then on.
fn key(role: &str, n: u32) -> Key {
    let hex: String = secret(role, n).iter().map(|byte| format!("{byte:02x}")).collect();
    sp_io::crypto::sr25519_generate(KEYS, Some(format!("0x{hex}").into_bytes())).0
}

fn sign(key: &Key, digest: &Digest) -> Signature {
    sp_io::crypto::sr25519_sign(KEYS, &sr25519::Public::from_raw(*key), &digest.0).unwrap().0
}

fn somebody<T: Config>() -> T::AccountId {
    account("somebody", 0, 0)
}

fn signed<T: Config>(who: &T::AccountId) -> RawOrigin<T::AccountId> {
    RawOrigin::Signed(who.clone())
}

/// As many bytes as fit.
fn full<Most: Get<u32>>(byte: u8) -> BoundedVec<u8, Most> {
    BoundedVec::truncate_from(vec![byte; Most::get() as usize])
}

fn happened<T: Config>(event: Event<T>) {
    System::<T>::assert_has_event(<T as frame_system::Config>::RuntimeEvent::from(event));
}

/// Budget of an order: enough for the largest.
fn budget<T: Config>() -> BalanceOf<T> {
    EconomicParameters::<T>::get().absence_slash.max(40u32.into()).saturating_mul(1_000u32.into())
}

fn deposit<T: Config>() -> BalanceOf<T> {
    T::MinDeposit::get().max(budget::<T>()).saturating_mul(1_000u32.into())
}

// ---------------------------------------------------------------- the lane

fn generator() -> ModelId {
    model_id(ModelKind::Generator, 0)
}

fn evaluator() -> ModelId {
    model_id(ModelKind::Evaluator, 0)
}

/// An endpoint with the longest address and a former key.
fn store_endpoint<T: Config>(who: &T::AccountId, key: Key, former: Key) {
    let former = Some((former, epochs::current::<T>()));
    let endpoint = Endpoint::<T> { address: full(b'a'), tls: [7; 32], key, former, leaves: None };
    for (key, _) in [Some((key, 0)), former].into_iter().flatten() {
        ExpressKeys::<T>::insert(key, who);
    }
    Endpoints::<T>::insert(who, endpoint);
}

/// A full roster of operators, all of them on the lane.
fn store_roster<T: Config>(model: ModelId, kind: ModelKind, role: &'static str) {
    store_model::<T>(model, kind);
    let operators: Vec<_> =
        (0..T::MaxOperatorsPerModel::get()).map(|n| store_operator::<T>(role, n, &[model])).collect();
    for (n, who) in (0..).zip(&operators) {
        store_endpoint::<T>(who, key(role, n), secret(role, n));
    }
    full_roster::<T>(model, &operators);
}

/// Puts `count` other models on the lane.
fn store_lane_models<T: Config>(count: u32) {
    let mut models = BoundedBTreeSet::<ModelId, T::MaxLaneModels>::new();
    for n in 1..=count {
        models.try_insert(model_id(ModelKind::Generator, n)).unwrap();
    }
    LaneModels::<T>::put(models);
}

fn store_channel<T: Config>(owner: &T::AccountId, key: Key) {
    fund::<T>(owner, deposit::<T>().saturating_mul(2u32.into()));
    let most = T::MaxOrdersPerEpoch::get();
    channels::open::<T>(owner.clone(), key, deposit::<T>(), budget::<T>(), most).unwrap();
}

/// Begins the next epoch and makes its snapshots and its seed.
fn next_epoch<T: Config>() {
    let now = System::<T>::block_number() + epochs::length::<T>();
    System::<T>::set_block_number(now);
    assert!(epochs::begin_if_due::<T>(now));
    while epochs::freeze_next::<T>(now) {}
    let epoch = epochs::current::<T>();
    epochs::put_seed::<T>(epoch, Epochs::<T>::get(epoch).unwrap(), SEED);
}

/// Both models, full rosters, a channel, and the first epoch.
fn open_lane<T: Config>() {
    System::<T>::set_block_number(NOW.into());
    store_roster::<T>(generator(), ModelKind::Generator, NODE);
    store_roster::<T>(evaluator(), ModelKind::Evaluator, SCORER);
    for model in [generator(), evaluator()] {
        epochs::open_model::<T>(model).unwrap();
    }
    store_channel::<T>(&account(REQUESTER, 0, 0), key(REQUESTER, 0));
    next_epoch::<T>();
    assert_eq!(epochs::current::<T>(), EPOCH);
}

// ---------------------------------------------------------------- orders

fn name(index: u32) -> OrderName {
    OrderName { channel: CHANNEL, epoch: EPOCH, index }
}

fn order<T: Config>(n: u32, k: u32) -> Order<BalanceOf<T>> {
    let (name, genesis) = (name(0), genesis_hash::<T>());
    Order {
        name,
        generator: generator(),
        evaluator: evaluator(),
        responders: n as u8,
        committee: k as u8,
        max_tokens: 1,
        temperature_milli: 0,
        seed: 0,
        min_quality: Permill::zero(),
        budget: budget::<T>(),
        prompt: [1; 32],
        first_draw: [2; 32],
        second_draw: second_draw_hash(&genesis, &name, &V1),
        audit: [3; 32],
    }
}

fn sign_order<T: Config>(order: &Order<BalanceOf<T>>) -> Signature {
    sign(&key(REQUESTER, 0), &order.digest(&genesis_hash::<T>()))
}

type Seats<T> = Vec<Seat<<T as frame_system::Config>::AccountId>>;

fn picked<T: Config>(
    seed: &Hash32,
    model: ModelId,
    most: u8,
    excluded: impl Fn(&T::AccountId) -> bool,
) -> Seats<T> {
    let seats = Snapshots::<T>::get(EPOCH, model).unwrap();
    pick(seed, &seats, most.into(), excluded).into_iter().map(|index| seats[index].clone()).collect()
}

/// The responders of an order, all of whom answer with this output and show it.
fn answers<T: Config>(order: &Order<BalanceOf<T>>, output: &[u8]) -> (Seats<T>, Vec<ResponderPart>) {
    let genesis = genesis_hash::<T>();
    let digest = order.digest(&genesis);
    let seed = responder_seed(&SEED, &order.name, &order.first_draw);
    let seats = picked::<T>(&seed, order.generator, order.responders, |_| false);
    let answer = |seat: &Seat<T::AccountId>| {
        let output = messages::output_commitment(&genesis, &order.name, &seat.key, output, &SALT);
        let signature = sign(&seat.key, &messages::answer(&genesis, &digest, &seat.key, &output, &VRF));
        ResponderPart::Answered(Answer { output, vrf: VRF, shown: true, signature })
    };
    let parts = seats.iter().map(answer).collect();
    (seats, parts)
}

/// The certificate of an order in which all did their work, with the scores of the member at each place.
fn certify<T: Config>(
    order: Order<BalanceOf<T>>,
    output: &[u8],
    score: impl Fn(u32) -> Permill,
) -> CertificateOf<T> {
    let genesis = genesis_hash::<T>();
    let digest = order.digest(&genesis);
    let (nodes, responders) = answers::<T>(&order, output);
    let committed = |part: &ResponderPart| match part {
        ResponderPart::Answered(answer) => Some((answer.output, answer.shown)),
        _ => None,
    };
    let seen: Vec<_> = responders.iter().map(committed).collect();
    let seen = messages::answers(&genesis, &digest, &seen);
    let first = responder_seed(&SEED, &order.name, &order.first_draw);
    let second = committee_seed(&first, &V1, &vec![VRF; nodes.len()]);
    let is_node = |who: &T::AccountId| nodes.iter().any(|node| node.operator == *who);
    let scorers = picked::<T>(&second, order.evaluator, order.committee, is_node);
    let scores = |place: usize| vec![score(place as u32); nodes.len()];
    let commit = |(place, seat): (usize, &Seat<T::AccountId>)| {
        let scores = scores(place);
        (place as u8, messages::score_commitment(&genesis, &seen, &seat.key, &scores, &SALT))
    };
    let set: Vec<_> = scorers.iter().enumerate().map(commit).collect();
    let set = messages::set(&genesis, &seen, &set);
    let reveal = |(place, seat): (usize, &Seat<T::AccountId>)| {
        let scores = scores(place);
        let signature = sign(&seat.key, &messages::reveal(&genesis, &set, &seat.key, &scores, &SALT));
        ScorerPart::Revealed(Scores { scores, salt: SALT, signature })
    };
    let members = scorers.iter().enumerate().map(reveal).collect();
    let signature = sign_order::<T>(&order);
    CertificateOf::<T> { order, signature, v1: V1, responders, members }
}

/// An order with this prompt and `n` responders who have committed to this output.
fn before_escalation<T: Config>(
    prompt: &[u8],
    output: &[u8],
    n: u32,
) -> (Order<BalanceOf<T>>, Seats<T>, BoundedVec<ResponderPart, ConstU32<64>>) {
    open_lane::<T>();
    let mut order = order::<T>(n, T::MaxCommittee::get().min(MOST_COMMITTEE.into()));
    order.prompt = prompt_hash(&genesis_hash::<T>(), &order.name, prompt, &SALT);
    let (seats, parts) = answers::<T>(&order, output);
    (order, seats, BoundedVec::truncate_from(parts))
}

/// The place of the certificate in the largest batch, as the last.
fn store_batch<T: Config>(certificate: &CertificateOf<T>) -> Place {
    let last = T::MaxBatch::get() - 1;
    let leaf = |index: u32| match index == last {
        true => orders::leaf::<T>(certificate),
        false => index.using_encoded(sp_io::hashing::blake2_256),
    };
    let (mut db, mut root) = (MemoryDB::<Blake2Hasher>::default(), Default::default());
    {
        let mut trie = TrieDBMutBuilder::<LayoutV1<Blake2Hasher>>::new(&mut db, &mut root).build();
        for index in 0..=last {
            trie.insert(&Compact(index).encode(), &leaf(index)).unwrap();
        }
    }
    let key = Compact(last).encode();
    let proof = generate_trie_proof::<LayoutV1<Blake2Hasher>, _, _, _>(&db, root, [&key]).unwrap();
    let batch = Batch { settler: somebody::<T>(), root: root.0, count: T::MaxBatch::get() };
    Batches::<T>::insert(EPOCH, 0, batch);
    Place { epoch: EPOCH, batch: 0, index: last, proof }
}

/// The longest answer key, which takes long not to be found in an output.
fn answer_key<T: Config>() -> AnswerKeyOf<T> {
    let mut reference = full::<T::MaxReferenceLength>(b'a');
    *reference.last_mut().unwrap() = b'b';
    let decoys = BoundedVec::truncate_from(vec![reference.clone(); T::MaxDecoys::get() as usize]);
    AnswerKey { reference, decoys, right: Permill::one(), wrong: Permill::one() }
}

/// Reveals of two sets, as long as a proof may be.
fn two_reveals<T: Config>(key: &Key) -> Equivocation<BalanceOf<T>> {
    let (order, genesis) = (order::<T>(1, LEAST_COMMITTEE.into()), genesis_hash::<T>());
    let digest = order.digest(&genesis);
    let reveal = |entries: usize, byte: u8| {
        let answers = vec![Some(([byte; 32], true)); entries];
        let seen = messages::answers(&genesis, &digest, &answers);
        let set = vec![(0, [byte; 32])];
        let scores = vec![Permill::one()];
        let name = messages::set(&genesis, &seen, &set);
        let signature = sign(key, &messages::reveal(&genesis, &name, key, &scores, &SALT));
        (SignedSet { answers, set, signature }, scores, SALT)
    };
    let proof = |entries| Equivocation::Reveals {
        order: order.clone(),
        reveals: [reveal(entries, 1), reveal(entries, 2)],
    };
    // An entry has 34 bytes in each of the two; what is left over is for longer lengths of the lists.
    let room = offences::MOST_PROOF - proof(0).encoded_size() - 4;
    proof(room / (2 * 34))
}

// ---------------------------------------------------------------- challenges

/// An operator whose VRF output in the first order is doubted.
fn store_challenge<T: Config>() -> (T::AccountId, Doubt) {
    let (order, usage) = before_a_challenge::<T>();
    let key = key(NODE, 0);
    let who = store_operator::<T>(NODE, 0, &[generator()]);
    store_endpoint::<T>(&who, key, secret(NODE, 0));
    challenges::challenge::<T>(somebody::<T>(), key, &order, &usage).unwrap();
    (who, (key, order.name, Draw::Responder))
}

/// The first order, and the use of [`VRF`] in it; somebody has what a challenge costs.
fn before_a_challenge<T: Config>() -> (Order<BalanceOf<T>>, Use) {
    // As the test chain that the proof was made for.
    let hash = T::Hash::decode(&mut &GENESIS[..]).unwrap();
    frame_system::BlockHash::<T>::insert(BlockNumberFor::<T>::zero(), hash);
    CurrentEpoch::<T>::put(EPOCH);
    fund::<T>(&somebody::<T>(), T::ChallengeBond::get().saturating_mul(2u32.into()));
    let (order, output, key) = (order::<T>(1, LEAST_COMMITTEE.into()), [6; 32], key(NODE, 0));
    let digest = messages::answer(&GENESIS, &order.digest(&GENESIS), &key, &output, &VRF);
    let signature = sign(&key, &digest);
    (order, Use::Responder { output, vrf: VRF, signature })
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn open_model() -> Result<(), BenchmarkError> {
        let origin = T::LaneOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
        store_lane_models::<T>(T::MaxLaneModels::get() - 1);
        store_model::<T>(generator(), ModelKind::Generator);
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, generator());
        assert_eq!(LaneModels::<T>::get().len() as u32, T::MaxLaneModels::get());
        assert!(LaneModels::<T>::get().contains(&generator()));
        Ok(())
    }

    #[benchmark]
    fn close_model() -> Result<(), BenchmarkError> {
        let origin = T::LaneOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
        store_lane_models::<T>(T::MaxLaneModels::get());
        let model = model_id(ModelKind::Generator, 1);
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, model);
        assert!(!LaneModels::<T>::get().contains(&model));
        Ok(())
    }

    /// The key changes, and the former one goes.
    #[benchmark]
    fn set_endpoint() {
        let who = store_operator::<T>(NODE, 0, &[generator()]);
        store_endpoint::<T>(&who, key(NODE, 0), secret(NODE, 0));
        CurrentEpoch::<T>::put(epochs::KEPT);
        let key = key(NODE, 1);
        let address = full::<T::MaxAddress>(b'b');
        let consent = sign(&key, &messages::endpoint_consent(&genesis_hash::<T>(), &who));
        #[extrinsic_call]
        _(signed::<T>(&who), address, [8; 32], key, consent);
        assert!(!ExpressKeys::<T>::contains_key(secret(NODE, 0)));
        assert_eq!(Endpoints::<T>::get(&who).unwrap().key, key);
    }

    /// It is forgotten, with both keys.
    #[benchmark]
    fn remove_endpoint() {
        let who = store_operator::<T>(NODE, 0, &[generator()]);
        store_endpoint::<T>(&who, key(NODE, 0), secret(NODE, 0));
        endpoints::remove::<T>(who.clone(), who.clone()).unwrap();
        CurrentEpoch::<T>::put(epochs::KEPT + 1);
        #[extrinsic_call]
        _(signed::<T>(&somebody::<T>()), who.clone());
        assert!(!Endpoints::<T>::contains_key(&who));
        assert_eq!(ExpressKeys::<T>::iter().count(), 0);
    }

    /// The first: it also pays the existential deposit of the pot.
    #[benchmark]
    fn open_channel() {
        let owner = somebody::<T>();
        fund::<T>(&owner, deposit::<T>().saturating_mul(2u32.into()));
        let most = T::MaxOrdersPerEpoch::get();
        #[extrinsic_call]
        _(signed::<T>(&owner), [1; 32], deposit::<T>(), budget::<T>(), most);
        assert_eq!(Channels::<T>::get(CHANNEL).unwrap().owner, owner);
    }

    #[benchmark]
    fn top_up() {
        let owner = somebody::<T>();
        store_channel::<T>(&owner, [1; 32]);
        let amount = budget::<T>();
        #[extrinsic_call]
        _(signed::<T>(&owner), CHANNEL, amount);
        assert_eq!(Channels::<T>::get(CHANNEL).unwrap().balance, deposit::<T>() + amount);
    }

    #[benchmark]
    fn close_channel() {
        let owner = somebody::<T>();
        store_channel::<T>(&owner, [1; 32]);
        #[extrinsic_call]
        _(signed::<T>(&owner), CHANNEL);
        assert_eq!(Channels::<T>::get(CHANNEL).unwrap().last, Some(0));
    }

    /// A part was forfeited, and the rest goes back to an account that is gone.
    #[benchmark]
    fn release_channel() {
        let owner: T::AccountId = account(REQUESTER, 0, 0);
        store_channel::<T>(&owner, [1; 32]);
        channels::forfeit::<T>(CHANNEL);
        CurrentEpoch::<T>::put(2);
        #[extrinsic_call]
        _(signed::<T>(&somebody::<T>()), CHANNEL);
        assert!(!Channels::<T>::contains_key(CHANNEL));
        let (refund, forfeited) = (deposit::<T>() - budget::<T>(), budget::<T>());
        happened::<T>(Event::ChannelReleased { channel: CHANNEL, owner, refund, forfeited });
    }

    /// What a batch of `c` settled orders costs beside the orders: the check of its chain, the pay of the chain, its root.
    #[benchmark]
    fn close_batch(c: Linear<1, { T::MaxBatch::get() }>) {
        store_channel::<T>(&account(REQUESTER, 0, 0), [1; 32]);
        let leaves = (0..c).map(|n| n.using_encoded(sp_io::hashing::blake2_256).to_vec()).collect();
        let settler = somebody::<T>();
        #[block]
        {
            let mut batch = OpenBatch::<T>::new();
            batch.leaves = leaves;
            batch.fee = budget::<T>();
            batch.withheld = budget::<T>();
            batch.close(settler).unwrap();
        }
        assert_eq!(Batches::<T>::get(0, 0).unwrap().count, c);
    }

    /// One order of a batch, in which pay leans on the responders' earlier answers.
    #[benchmark]
    fn settle_order(
        n: Linear<1, { T::MaxResponders::get() }>,
        k: Linear<{ u32::from(LEAST_COMMITTEE) }, { T::MaxCommittee::get().min(u32::from(MOST_COMMITTEE)) }>,
    ) {
        open_lane::<T>();
        pallet_proof_of_quality::Noises::<T>::insert(evaluator(), MOST_NOISE);
        let score = |place| Permill::from_parts(900_000 - place);
        let certificate = certify::<T>(order::<T>(n, k), b"a", score);
        let mut batch = OpenBatch::<T>::new();
        #[block]
        {
            batch.settle(&certificate).unwrap();
        }
        assert_eq!(batch.leaves.len(), 1, "the order was refused");
        assert_eq!(Tallies::<T>::iter_prefix(EPOCH).count() as u32, n + k);
        assert_eq!(Earnings::<T>::iter().count() as u32, n + k);
        assert_eq!(pallet_proof_of_quality::Forgone::<T>::iter().count() as u32, n);
    }

    #[benchmark]
    fn claim() {
        store_channel::<T>(&account(REQUESTER, 0, 0), [1; 32]);
        let who = somebody::<T>();
        let amount = deposit::<T>() / 2u32.into();
        earnings::credit::<T>(&who, amount);
        #[extrinsic_call]
        _(signed::<T>(&who));
        happened::<T>(Event::Claimed { operator: who, amount });
    }

    /// By two reveals, of an operator.
    #[benchmark]
    fn report_equivocation() {
        let key = key(NODE, 0);
        let who = store_operator::<T>(NODE, 0, &[generator()]);
        store_endpoint::<T>(&who, key, secret(NODE, 0));
        CurrentEpoch::<T>::put(EPOCH);
        let proof = two_reveals::<T>(&key);
        #[extrinsic_call]
        _(signed::<T>(&somebody::<T>()), key, proof);
        assert!(offences::is_punished::<T>(&key, &name(0)));
        assert!(!pallet_proof_of_quality::Operators::<T>::get(&who).unwrap().slashed.is_zero());
    }

    /// All responders have committed.
    #[benchmark]
    fn escalate(b: Linear<1, { T::MaxPromptLength::get() }>, n: Linear<1, { T::MaxResponders::get() }>) {
        let prompt = vec![b'p'; b as usize];
        let (order, _, parts) = before_escalation::<T>(&prompt, b"a", n);
        let signature = sign_order::<T>(&order);
        let prompt = BoundedVec::truncate_from(prompt);
        #[extrinsic_call]
        _(signed::<T>(&somebody::<T>()), order.clone(), signature, prompt, SALT, parts);
        happened::<T>(Event::Escalated { name: order.name, request: 0 });
        assert_eq!(pallet_proof_of_quality::Responses::<T>::get(0).len() as u32, n);
    }

    /// By the last of the responders, so that the phase ends.
    #[benchmark]
    fn show_output(b: Linear<1, { T::MaxOutputLength::get() }>) {
        let n = T::MaxResponders::get();
        let output: BoundedVec<u8, T::MaxOutputLength> = BoundedVec::truncate_from(vec![b'a'; b as usize]);
        let (order, seats, parts) = before_escalation::<T>(b"p", &output, n);
        let signature = sign_order::<T>(&order);
        escalation::escalate::<T>(&order, &signature, b"p".to_vec(), &SALT, &parts).unwrap();
        let (last, others) = seats.split_last().unwrap();
        for seat in others {
            escalation::show::<T>(0, &order.name, &seat.key, output.clone(), &SALT).unwrap();
        }
        #[extrinsic_call]
        _(signed::<T>(&somebody::<T>()), 0, order.name, last.key, output, SALT);
        let request = pallet_proof_of_quality::Requests::<T>::get(0).unwrap();
        assert_eq!(request.phase, pallet_proof_of_quality::Phase::Selecting);
    }

    /// Of a responder.
    #[benchmark]
    fn challenge_vrf() {
        let (order, usage) = before_a_challenge::<T>();
        let key = key(NODE, 0);
        let who = store_operator::<T>(NODE, 0, &[generator()]);
        store_endpoint::<T>(&who, key, secret(NODE, 0));
        let name = order.name;
        #[extrinsic_call]
        _(signed::<T>(&somebody::<T>()), key, order, usage);
        assert!(Challenges::<T>::contains_key((key, name, Draw::Responder)));
    }

    /// The operator is gone, so that the bond is the chain's: that moves money.
    #[benchmark]
    fn answer_challenge() {
        let (_, (key, name, draw)) = store_challenge::<T>();
        ExpressKeys::<T>::remove(key);
        #[extrinsic_call]
        _(signed::<T>(&somebody::<T>()), key, name, draw, PROOF);
        assert_eq!(Challenges::<T>::iter().count(), 0);
    }

    /// Of a responder, who loses stake.
    #[benchmark]
    fn punish_unproven() {
        let (who, (key, name, draw)) = store_challenge::<T>();
        let until = Challenges::<T>::get((key, name, draw)).unwrap().until;
        System::<T>::set_block_number(until + One::one());
        #[extrinsic_call]
        _(signed::<T>(&somebody::<T>()), key, name, draw);
        assert!(!pallet_proof_of_quality::Operators::<T>::get(&who).unwrap().slashed.is_zero());
        assert!(offences::is_punished::<T>(&key, &name));
    }

    /// All members were grossly wrong.
    #[benchmark]
    fn audit_order(
        n: Linear<1, { T::MaxResponders::get() }>,
        k: Linear<{ u32::from(LEAST_COMMITTEE) }, { T::MaxCommittee::get().min(u32::from(MOST_COMMITTEE)) }>,
    ) -> Result<(), BenchmarkError> {
        let origin = T::AuditOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
        EconomicParameters::<T>::mutate(|parameters| parameters.audit_allowance = Bounded::max_value());
        open_lane::<T>();
        let prompt = full::<T::MaxPromptLength>(b'p').into_inner();
        let output = full::<T::MaxOutputLength>(b'a').into_inner();
        let (key, genesis) = (answer_key::<T>(), genesis_hash::<T>());
        let mut order = order::<T>(n, k);
        order.prompt = prompt_hash(&genesis, &order.name, &prompt, &SALT);
        let owner: T::AccountId = account(REQUESTER, 0, 0);
        order.audit = commitment::answer_key(&genesis, &owner, &prompt, &key, &SALT);
        let certificate = certify::<T>(order, &output, |_| Permill::zero());
        let place = store_batch::<T>(&certificate);
        let texts = Texts { prompt: (prompt, SALT), outputs: vec![(output, SALT); n as usize] };
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, certificate, place, texts, key, SALT);
        assert!(AuditedOrders::<T>::contains_key(EPOCH, name(0)));
        let operators = pallet_proof_of_quality::Operators::<T>::iter_values();
        assert_eq!(operators.filter(|operator| !operator.slashed.is_zero()).count() as u32, k);
        Ok(())
    }

    #[benchmark]
    fn look_and_begin() {
        store_lane_models::<T>(T::MaxLaneModels::get());
        System::<T>::set_block_number(NOW.into());
        next_epoch::<T>();
        let now = System::<T>::block_number() + epochs::length::<T>();
        let mut meter = WeightMeter::with_limit(charges::look::<T>());
        #[block]
        {
            steps::service::<T>(now, &mut meter);
        }
        assert_eq!(epochs::current::<T>(), EPOCH + 1);
        assert_eq!(Freezing::<T>::get().len() as u32, T::MaxLaneModels::get());
        assert!(meter.remaining().is_zero());
    }

    /// Where the chain has no randomness yet, a seed is stored as if it had.
    #[benchmark]
    fn look_and_seed() {
        store_lane_models::<T>(T::MaxLaneModels::get());
        System::<T>::set_block_number(NOW.into());
        next_epoch::<T>();
        Epochs::<T>::mutate(EPOCH, |info| {
            let info = info.as_mut().unwrap();
            (info.frozen, info.seed) = (Some(Zero::zero()), None);
        });
        let now = System::<T>::block_number();
        let mut meter = WeightMeter::with_limit(charges::look::<T>());
        #[block]
        {
            steps::service::<T>(now, &mut meter);
            let info = Epochs::<T>::get(EPOCH).unwrap();
            if info.seed.is_none() {
                epochs::put_seed::<T>(EPOCH, info, SEED);
            }
        }
        assert!(Epochs::<T>::get(EPOCH).unwrap().seed.is_some());
    }

    /// A full roster, all of it on the lane, and as many models left as there can be.
    #[benchmark]
    fn freeze() {
        System::<T>::set_block_number(NOW.into());
        store_roster::<T>(generator(), ModelKind::Generator, NODE);
        store_lane_models::<T>(T::MaxLaneModels::get());
        let now = NOW.into();
        assert!(epochs::begin_if_due::<T>(now));
        Freezing::<T>::mutate(|left| *left.last_mut().unwrap() = generator());
        #[block]
        {
            epochs::freeze_next::<T>(now);
        }
        let seats = Snapshots::<T>::get(EPOCH, generator()).unwrap();
        assert_eq!(seats.len() as u32, T::MaxOperatorsPerModel::get());
        assert_eq!(Freezing::<T>::get().len() as u32, T::MaxLaneModels::get() - 1);
    }

    /// Of an operator of as many models as it can have, in both roles and in all steps.
    #[benchmark]
    fn learn() {
        store_lane_models::<T>(T::MaxLaneModels::get());
        next_epoch::<T>();
        let who = store_busy_operator::<T>(true);
        let many = 10 * lane::MOST_STEPS;
        let count = Count {
            done: many,
            missed: many,
            measured: many,
            worth: u64::from(many) * 900_000,
            earned: budget::<T>(),
        };
        Tallies::<T>::insert(EPOCH, &who, Tally { answers: count, scores: count });
        let before = pallet_proof_of_quality::Operators::<T>::get(&who).unwrap();
        #[block]
        {
            earnings::learn_next::<T>(EPOCH);
        }
        let after = pallet_proof_of_quality::Operators::<T>::get(&who).unwrap();
        assert_ne!(after.standing, before.standing);
        assert_eq!(after.completed - before.completed, 2 * many);
        assert_eq!(Tallies::<T>::iter_prefix(EPOCH).count(), 0);
    }

    /// As much of each kind as one step forgets.
    #[benchmark]
    fn forget() {
        let seat = |n: u32| Seat {
            operator: account::<T::AccountId>(NODE, n, 0),
            key: secret(NODE, n),
            until: u64::from(n) + 1,
            vote: 1,
        };
        let seats = (0..T::MaxOperatorsPerModel::get()).map(seat).collect::<Vec<_>>();
        let seats: SnapshotOf<T> = BoundedVec::truncate_from(seats);
        let (start, parameters) = (Zero::zero(), lane::parameters::<T>());
        let info = EpochInfo::<T> { start, frozen: None, seed: None, parameters };
        Epochs::<T>::insert(EPOCH, info);
        for n in 0..FORGOTTEN_AT_ONCE {
            let model = model_id(ModelKind::Generator, n);
            Snapshots::<T>::insert(EPOCH, model, seats.clone());
            UsedNames::<T>::insert(EPOCH, ChannelId::from(n), full::<T::MaxOrdersPerEpoch>(255));
            let batch = Batch { settler: somebody::<T>(), root: SEED, count: 1 };
            Batches::<T>::insert(EPOCH, u64::from(n), batch);
            Offences::<T>::insert(EPOCH, (secret(NODE, n), name(n)), ());
            AuditedOrders::<T>::insert(EPOCH, name(n), ());
        }
        CurrentEpoch::<T>::put(EPOCH + epochs::KEPT);
        NextToLearn::<T>::put(EPOCH + 2);
        NextToForget::<T>::put(EPOCH);
        let mut meter = WeightMeter::with_limit(<T as Config>::WeightInfo::forget());
        #[block]
        {
            steps::forget::<T>(&mut meter);
        }
        assert_eq!(NextToForget::<T>::get(), EPOCH + 1, "all is gone in one step");
        assert_eq!(Snapshots::<T>::iter().count() + AuditedOrders::<T>::iter().count(), 0);
    }

    impl_benchmark_test_suite!(Pallet, crate::mock::storage_with_keys(), crate::mock::Test);
}

#[cfg(test)]
mod vectors {
    use super::*;
    use poq_primitives::express::draw::{vrf_input, RESPONDER_VRF, VRF_LABEL};
    use sp_core::{
        crypto::{VrfPublic, VrfSecret},
        sr25519::vrf::{VrfSignature, VrfTranscript},
        Pair,
    };

    #[test]
    fn the_proof_is_the_one_of_the_key_and_the_order() {
        let pair = sr25519::Pair::from_seed(&secret(NODE, 0));
        let input = vrf_input(RESPONDER_VRF, &GENESIS, &name(0));
        let transcript = VrfTranscript::new(VRF_LABEL, &[(b"input", &input)]).into_sign_data();
        let made = pair.vrf_sign(&transcript).encode();
        let kept = VrfSignature::decode(&mut &(VRF, PROOF).encode()[..]);
        let holds = kept.is_ok_and(|kept| pair.public().vrf_verify(&transcript, &kept));
        assert!(holds, "make VRF {:?} and PROOF {:?}", &made[..32], &made[32..]);
    }
}
