use crate::{mock::*, *};
use codec::{Compact, Encode};
use frame_support::{assert_noop, assert_ok};
use pallet_proof_of_quality::{AnswerKey, AnswerKeyOf};
use poq_primitives::{
    commitment,
    express::{prompt_hash, Epoch, Order},
};
use sp_core::Blake2Hasher;
use sp_runtime::Permill;
use sp_trie::{generate_trie_proof, LayoutV1, MemoryDB, TrieDBMutBuilder, TrieMut};

const PROMPT: &[u8] = b"What is the capital of Peru?";
const SALT: [u8; 32] = [8; 32];

fn key() -> AnswerKeyOf<Test> {
    AnswerKey {
        reference: b"Lima".to_vec().try_into().unwrap(),
        decoys: Default::default(),
        right: Permill::from_percent(90),
        wrong: Permill::from_percent(10),
    }
}

/// An order for one answer to [`PROMPT`] that is an audit.
fn audit_order(epoch: Epoch, index: u32) -> Order<Balance> {
    let name = name(epoch, index);
    Order {
        prompt: prompt_hash(&GENESIS, &name, PROMPT, &SALT),
        audit: commitment::answer_key(&GENESIS, &account(ASKER), PROMPT, &key(), &SALT),
        ..order(name, 1, 3)
    }
}

/// Settles these and returns the place of the one at `index`.
fn place_of(certificates: &[CertificateOf<Test>], index: u32) -> Place {
    assert_ok!(settle(certificates.to_vec()));
    let batch = NextBatch::<Test>::get() - 1;
    let (mut db, mut root) = (MemoryDB::<Blake2Hasher>::default(), Default::default());
    {
        let mut trie = TrieDBMutBuilder::<LayoutV1<Blake2Hasher>>::new(&mut db, &mut root).build();
        for (index, certificate) in (0u32..).zip(certificates) {
            trie.insert(&Compact(index).encode(), &sp_io::hashing::blake2_256(&certificate.encode()))
                .unwrap();
        }
    }
    let key = Compact(index).encode();
    let proof = generate_trie_proof::<LayoutV1<Blake2Hasher>, _, _, _>(&db, root, [&key]).unwrap();
    Place { epoch: CurrentEpoch::<Test>::get(), batch, index, proof }
}

fn texts(order: &Order<Balance>) -> Texts {
    let n = responders_of(order)[0];
    Texts { prompt: (PROMPT.to_vec(), SALT), outputs: vec![(text(n), salt(n))] }
}

fn audit(certificate: &CertificateOf<Test>, place: &Place, texts: &Texts) -> sp_runtime::DispatchResult {
    let (certificate, place, texts) = (certificate.clone(), place.clone(), texts.clone());
    Express::audit_order(RuntimeOrigin::root(), certificate, place, texts, key(), SALT)
}

#[test]
fn who_says_that_a_right_answer_is_wrong_loses_standing_and_stake() {
    run(|| {
        let epoch = open_lane();
        // Until one is answered with the right words.
        let order = (1..20)
            .map(|index| audit_order(epoch, index))
            .find(|order| responders_of(order)[0].is_multiple_of(2))
            .unwrap();
        let mut play = Play::all(1, &[90, 30, 90]);
        play.scores[1] = Some(30);
        let certificate = certify(order.clone(), &play);
        let place = place_of(
            &[certify(super::orders::plain(epoch), &Play::all(1, &[50; 3])), certificate.clone()],
            1,
        );
        let before = Slashed::get();
        System::reset_events();
        assert_ok!(audit(&certificate, &place, &texts(&order)));
        let found: Vec<_> = events()
            .into_iter()
            .filter_map(|event| match event {
                Event::ScoresAudited { operator, error, slashed, .. } => {
                    Some((number(&operator), error, slashed))
                }
                _ => None,
            })
            .collect();
        let errors: Vec<_> =
            found.iter().map(|(_, error, slashed)| (error.deconstruct() / 10_000, *slashed)).collect();
        // 30% of a stake of 2,000.
        assert_eq!(errors, [(0, 0), (60, 600), (0, 0)]);
        assert_eq!(Slashed::get() - before, 600);
        let floor = PARAMETERS.floor.veracity;
        assert!(standing(found[0].0).veracity > floor);
        assert!(standing(found[1].0).veracity < floor);
        assert!(standing(responders_of(&order)[0]).quality > PARAMETERS.floor.quality);
        assert_noop!(audit(&certificate, &place, &texts(&order)), Error::<Test>::AlreadyAudited);
    });
}

#[test]
fn an_audit_is_of_what_was_ordered_answered_and_settled() {
    run(|| {
        let epoch = open_lane();
        let order = audit_order(epoch, 1);
        let certificate = certify(order.clone(), &Play::all(1, &[50; 3]));
        let place = place_of(
            &[certify(super::orders::plain(epoch), &Play::all(1, &[50; 3])), certificate.clone()],
            1,
        );
        let good = texts(&order);
        let with = |change: &dyn Fn(&mut Texts)| {
            let mut texts = good.clone();
            change(&mut texts);
            audit(&certificate, &place, &texts)
        };
        assert_noop!(with(&|texts| texts.prompt.0.push(b'?')), Error::<Test>::AnotherPrompt);
        assert_noop!(with(&|texts| texts.outputs[0].0.push(b'?')), Error::<Test>::AnotherOutput);
        assert_noop!(with(&|texts| texts.outputs.clear()), Error::<Test>::AnotherOutput);
        assert_noop!(with(&|texts| texts.prompt.0 = vec![0; 1 << 20]), Error::<Test>::TooLong);
        let at = |change: &dyn Fn(&mut Place)| {
            let mut place = place.clone();
            change(&mut place);
            audit(&certificate, &place, &good)
        };
        assert_noop!(at(&|place| place.index = 0), Error::<Test>::NotInBatch);
        assert_noop!(at(&|place| place.proof.clear()), Error::<Test>::NotInBatch);
        assert_noop!(at(&|place| place.batch += 1), Error::<Test>::UnknownBatch);
        assert_noop!(at(&|place| place.proof = vec![vec![0; 64]; 100]), Error::<Test>::TooLong);
        // Another certificate of the same order, with other scores, was not settled.
        let other = certify(order.clone(), &Play::all(1, &[10; 3]));
        assert_noop!(audit(&other, &place, &good), Error::<Test>::NotInBatch);
        let mut another = key();
        another.right = Permill::from_percent(80);
        let call = |origin, key| {
            Express::audit_order(origin, certificate.clone(), place.clone(), good.clone(), key, SALT)
        };
        assert_noop!(call(RuntimeOrigin::root(), another), Error::<Test>::AnotherKey);
        assert_noop!(call(signed(ASKER), key()), sp_runtime::DispatchError::BadOrigin);
        assert_ok!(call(RuntimeOrigin::root(), key()));
    });
}

#[test]
fn an_order_can_be_audited_for_an_epoch_after_its_batch() {
    run(|| {
        let epoch = open_lane();
        let order = audit_order(epoch, 0);
        let certificate = certify(order.clone(), &Play::all(1, &[50; 3]));
        let texts = texts(&order);
        next_epoch();
        let place = place_of(std::slice::from_ref(&certificate), 0);
        next_epoch();
        frame_support::storage::with_transaction(|| {
            assert_ok!(audit(&certificate, &place, &texts));
            frame_support::storage::TransactionOutcome::Rollback(Ok::<_, sp_runtime::DispatchError>(()))
        })
        .unwrap();
        next_epoch();
        assert!(audit(&certificate, &place, &texts).is_err());
    });
}
