use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok};
use poq_primitives::express::{messages, Fault, Opening, ResponderPart, ScorerPart, Scores};
use proptest::prelude::*;
use sp_runtime::Permill;

/// An order like any other.
pub(super) fn plain(epoch: poq_primitives::express::Epoch) -> poq_primitives::express::Order<Balance> {
    order(name(epoch, 0), 1, 3)
}

#[test]
fn an_order_is_paid_for_by_quality() {
    run(|| {
        let epoch = open_lane();
        let before = channel_balance();
        assert_eq!(refusal(certify(order(name(epoch, 0), 2, 3), &Play::all(2, &[80; 3]))), None);
        // Of 2,000: the fee is 40; scores cost 3 times 10; each answer 100 and half of the 1,730 that are left on top.
        let answers = 2 * (80 * (100 + 865) / 100);
        assert_eq!(all_earned(), answers + 3 * 10);
        assert_eq!(Fees::get(), 40);
        assert_eq!(before - channel_balance(), answers + 30 + 40);
        assert_eq!(Slashed::get(), 0);
        let settled = events().into_iter().find_map(|event| match event {
            Event::OrderSettled { quality, paid, fee, .. } => Some((quality, paid, fee)),
            _ => None,
        });
        assert_eq!(settled, Some((Permill::from_percent(80), answers + 30, 40)));
        // Earned is what can be claimed, once.
        let total: Balance = NODES
            .chain(SCORERS)
            .map(|n| {
                let (before, owed) = (free(n), earned(n));
                assert_eq!(Express::claim(signed(n)).is_ok(), owed > 0);
                assert_eq!(free(n) - before, owed);
                assert_noop!(Express::claim(signed(n)), Error::<Test>::NothingEarned);
                owed
            })
            .sum();
        assert_eq!(total, answers + 30);
    });
}

#[test]
fn an_order_settles_once() {
    run(|| {
        let epoch = open_lane();
        let certificate = certify(order(name(epoch, 0), 1, 3), &Play::all(1, &[50; 3]));
        // Twice in one batch, and again in another.
        assert_ok!(settle(vec![certificate.clone(), certificate.clone()]));
        let earned = all_earned();
        assert_eq!(refusal(certificate), Some(Refusal::NameUsed));
        assert_eq!(all_earned(), earned);
        let batches: Vec<_> = Batches::<Test>::iter().map(|(_, _, batch)| batch.count).collect();
        assert_eq!(batches, [1]);
    });
}

#[test]
fn a_bad_order_is_refused_alone() {
    run(|| {
        let epoch = open_lane();
        let certificate = |index| certify(order(name(epoch, index), 1, 3), &Play::all(1, &[50; 3]));
        let mut bad = certificate(1);
        bad.order.budget = 1_999;
        assert_ok!(settle(vec![certificate(0), bad, certificate(2)]));
        let refused: Vec<_> = events()
            .into_iter()
            .filter_map(|event| match event {
                Event::OrderRefused { name, refusal } => Some((name.index, refusal)),
                _ => None,
            })
            .collect();
        assert_eq!(refused, [(1, Refusal::Certificate(Fault::OrderSignature))]);
        assert_eq!(
            Tallies::<Test>::iter_prefix_values(epoch).map(|tally| tally.answers.done).sum::<u32>(),
            2
        );
        assert_noop!(settle(vec![]), Error::<Test>::EmptyBatch);
    });
}

#[test]
fn a_batch_proves_its_orders() {
    run(|| {
        let epoch = open_lane();
        let certificates: Vec<_> =
            (0..3).map(|index| certify(order(name(epoch, index), 1, 3), &Play::all(1, &[50; 3]))).collect();
        assert_ok!(settle(certificates.clone()));
        let hashes =
            certificates.iter().map(|one| sp_io::hashing::blake2_256(&codec::Encode::encode(one)).to_vec());
        let root = sp_io::trie::blake2_256_ordered_root(hashes.collect(), sp_runtime::StateVersion::V1);
        let (_, _, batch) = Batches::<Test>::iter().next().unwrap();
        assert_eq!((batch.root, batch.count, batch.settler), (root.0, 3, account(ASKER + 1)));
    });
}

#[test]
fn nobody_saves_by_leaving_somebody_out() {
    run(|| {
        let epoch = open_lane();
        let cost = |index, play: &Play| {
            let before = channel_balance();
            let order = order(name(epoch, index), play.answers.len() as u8, play.scores.len() as u8);
            assert_eq!(refusal(certify(order, play)), None);
            before - channel_balance()
        };
        let whole = cost(0, &Play::all(2, &[100; 7]));
        let (slashed, absent) = (Slashed::get(), Some(true));
        let some = |answers, out: usize| Play {
            answers,
            scores: (0..7).map(|n| if n < 7 - out { Some(100) } else { None }).collect(),
        };
        assert_eq!(slashed, 0);
        go_late(epoch);
        assert_eq!(cost(1, &some(vec![absent, None], 0)), whole, "a responder");
        assert_eq!(cost(2, &some(vec![absent, Some(false)], 0)), whole, "an output");
        assert_eq!(cost(3, &some(vec![absent, absent], 2)), whole, "two members");
        assert!(Slashed::get() > slashed);
    });
}

#[test]
fn absent_members_miss_a_duty_and_absent_responders_do_not() {
    run(|| {
        let epoch = open_lane();
        let play = Play { answers: vec![Some(true), None], scores: vec![Some(50), Some(50), Some(50), None] };
        let certificate = certify(order(name(epoch, 0), 2, 4), &play);
        go_late(epoch);
        assert_eq!(refusal(certificate), None);
        let tallies: Vec<_> = Tallies::<Test>::iter_prefix_values(epoch).collect();
        assert_eq!(tallies.iter().map(|tally| tally.scores.missed).sum::<u32>(), 1);
        assert_eq!(tallies.iter().map(|tally| tally.answers.missed).sum::<u32>(), 0);
    });
}

#[test]
fn a_settler_that_hides_a_reveal_takes_no_good_name() {
    run(|| {
        let epoch = open_lane();
        let mut certificate = certify(order(name(epoch, 0), 1, 4), &Play::all(1, &[50; 4]));
        let digest = certificate.order.digest(&GENESIS);
        let ResponderPart::Answered(answer) = &certificate.responders[0] else { panic!() };
        let answers = messages::answers(&GENESIS, &digest, &[Some((answer.output, true))]);
        let place = certificate.members.len() - 1;
        let ScorerPart::Revealed(reveal) = certificate.members[place].clone() else { panic!() };
        let hidden = SCORERS
            .map(|n| messages::score_commitment(&GENESIS, &answers, &public(n), &reveal.scores, &reveal.salt))
            .zip(SCORERS)
            .find(|(_, n)| [*n as u8; 32] == reveal.salt)
            .unwrap();
        let whole = certificate.clone();
        certificate.members[place] = ScorerPart::Committed(hidden.0);
        // The set is the same, so it holds. But who was left out has the time to have the whole settled.
        assert_eq!(refusal(certificate.clone()), Some(Refusal::TooEarly));
        next_epoch();
        let start = Epochs::<Test>::get(epoch + 1).unwrap().start;
        while System::block_number() < start + 4 {
            next_block();
        }
        assert_eq!(refusal(certificate.clone()), Some(Refusal::TooEarly));
        frame_support::storage::with_transaction(|| {
            assert_eq!(refusal(whole), None);
            assert!(earned(hidden.1) > 0);
            frame_support::storage::TransactionOutcome::Rollback(Ok::<_, sp_runtime::DispatchError>(()))
        })
        .unwrap();
        Fees::set(0);
        Slashed::set(0);
        next_block();
        assert_eq!(refusal(certificate), None);
        assert_eq!(Tallies::<Test>::get(epoch, account(hidden.1)).scores.missed, 0);
        assert_eq!(earned(hidden.1), 0);
    });
}

#[test]
fn a_member_that_revealed_under_another_set_is_paid_at_once_and_makes_no_quorum() {
    run(|| {
        let epoch = open_lane();
        // Of 4, 3 are a quorum.
        let mut certificate = certify(order(name(epoch, 0), 1, 4), &Play::all(1, &[50; 4]));
        let open = |part: &mut ScorerPart| {
            let ScorerPart::Revealed(Scores { scores, salt, .. }) = part.clone() else { panic!() };
            *part = ScorerPart::Opened(Opening { scores, salt });
        };
        open(&mut certificate.members[0]);
        let mut few = certificate.clone();
        open(&mut few.members[1]);
        assert_eq!(refusal(few), Some(Refusal::Certificate(Fault::NoQuorum)));
        assert_eq!(refusal(certificate), None);
        let paid = SCORERS.filter(|n| earned(*n) == 10).count();
        assert_eq!(paid, 4);
        let done = Tallies::<Test>::iter_prefix_values(epoch).map(|tally| tally.scores.done).sum::<u32>();
        assert_eq!(done, 4);
    });
}

#[test]
fn each_reason_to_refuse_is_said() {
    run(|| {
        let epoch = open_lane();
        let play = Play::all(1, &[50; 3]);
        let one = || order(name(epoch, 0), 1, 3);
        let mut dear = one();
        dear.budget = MOST + 1;
        assert_eq!(refusal(certify(dear, &play)), Some(Refusal::DepositTooSmall));
        let mut cheap = one();
        cheap.budget = 100;
        assert_eq!(refusal(certify(cheap, &play)), Some(Refusal::Terms));
        let mut tokens = one();
        tokens.max_tokens = 0;
        assert_eq!(refusal(certify(tokens, &play)), Some(Refusal::Terms));
        let mut hot = one();
        hot.temperature_milli = 2_001;
        assert_eq!(refusal(certify(hot, &play)), Some(Refusal::Terms));
        let mut unknown = certify(one(), &play);
        unknown.order.name.channel = 9;
        assert_eq!(refusal(unknown), Some(Refusal::UnknownChannel));
        let mut swapped = certify(one(), &play);
        (swapped.order.generator, swapped.order.evaluator) = (JUDGE, GENERATOR);
        assert_eq!(refusal(swapped), Some(Refusal::Terms));
        let few = certify(one(), &Play { answers: vec![Some(true)], scores: vec![Some(50), Some(50), None] });
        assert_eq!(refusal(few), Some(Refusal::Certificate(Fault::NoQuorum)));
        assert_eq!(refusal(certify(one(), &play)), None);
    });
}

#[test]
fn a_deposit_covers_what_it_has() {
    run(|| {
        assert_ok!(Express::open_channel(signed(ASKER + 3), public(ASKER + 3), 10_000, MOST, 20));
        // `open_lane` opens another; take the first.
        for model in [GENERATOR, JUDGE] {
            assert_ok!(Express::open_model(RuntimeOrigin::root(), model));
        }
        for n in NODES.chain(SCORERS) {
            assert_ok!(set_endpoint(n, n));
        }
        let epoch = next_epoch();
        let certificate = |index| {
            let mut order = order(name(epoch, index), 1, 3);
            order.budget = MOST;
            let mut certificate = certify(order, &Play::all(1, &[100; 3]));
            certificate.signature = sign(ASKER + 3, &certificate.order.digest(&GENESIS));
            certificate
        };
        assert_eq!(refusal(certificate(0)), None);
        assert_eq!(refusal(certificate(1)), None);
        assert_eq!(refusal(certificate(2)), Some(Refusal::DepositTooSmall));
    });
}

#[test]
fn a_model_that_is_retired_settles_what_was_ordered() {
    run(|| {
        let epoch = open_lane();
        let certificate = certify(order(name(epoch, 0), 1, 3), &Play::all(1, &[50; 3]));
        assert_ok!(Poq::retire_model(RuntimeOrigin::root(), GENERATOR));
        assert_eq!(refusal(certificate), None);
    });
}

#[test]
fn an_order_is_settled_under_the_parameters_of_its_epoch() {
    run(|| {
        let epoch = open_lane();
        let certificate = |index| certify(order(name(epoch, index), 1, 3), &Play::all(1, &[50; 3]));
        assert_eq!(refusal(certificate(0)), None);
        let fee = Fees::get();
        let dearer = pallet_proof_of_quality::Parameters { fee: Permill::from_percent(10), ..PARAMETERS };
        assert_ok!(Poq::set_parameters(RuntimeOrigin::root(), dearer));
        assert_eq!(refusal(certificate(1)), None);
        assert_eq!(Fees::get(), 2 * fee);
        let epoch = next_epoch();
        assert_eq!(refusal(certify(order(name(epoch, 0), 1, 3), &Play::all(1, &[50; 3]))), None);
        assert_eq!(Fees::get(), 2 * fee + 200);
    });
}

#[test]
fn an_owner_takes_no_part_in_its_own_order() {
    run(|| {
        for model in [GENERATOR, JUDGE] {
            assert_ok!(Express::open_model(RuntimeOrigin::root(), model));
        }
        for n in NODES.chain(SCORERS) {
            assert_ok!(set_endpoint(n, n));
        }
        assert_ok!(Express::open_channel(signed(1), public(ASKER), DEPOSIT, MOST, 20));
        let epoch = next_epoch();
        for index in 0..20 {
            let certificate = certify(order(name(epoch, index), 3, 3), &Play::all(3, &[50; 3]));
            assert_eq!(refusal(certificate), None);
        }
        assert_eq!(earned(1), 0);
        assert!((2..=6).all(|n| earned(n) > 0));
    });
}

#[test]
fn what_batches_weigh_grows_with_their_signatures() {
    run(|| {
        let epoch = open_lane();
        let one = certify(order(name(epoch, 0), 1, 3), &Play::all(1, &[50; 3]));
        let large = certify(order(name(epoch, 1), 3, 7), &Play::all(3, &[50; 7]));
        let weight = |batch: &[_]| crate::charges::settle_batch::<Test>(batch);
        assert!(weight(std::slice::from_ref(&large)).all_gt(weight(std::slice::from_ref(&one))));
        assert!(weight(&[one.clone(), large.clone()]).all_gt(weight(&[large])));
        assert_eq!(one.signatures(), 1 + 1 + 3);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever is scored and whoever is absent: what leaves a channel is what operators and chain get, and never above the budget.
    #[test]
    fn money_is_conserved(
        shown in prop::collection::vec(prop_oneof![Just(Some(true)), Just(Some(false)), Just(None)], 0..3),
        scores in prop::collection::vec(0u32..=100, 7),
        out in 0usize..3,
        min_quality in 0u32..=100,
        budget in 300u128..=MOST,
    ) {
        run(|| {
            let epoch = open_lane();
            let mut answers = vec![Some(true)];
            answers.extend(shown);
            let mut scores: Vec<_> = scores.into_iter().map(Some).collect();
            scores[7 - out..].fill(None);
            let mut order = order(name(epoch, 0), answers.len() as u8, 7);
            order.min_quality = Permill::from_percent(min_quality);
            order.budget = budget;
            let before = channel_balance();
            let certificate = certify(order, &Play { answers, scores });
            // Whoever is absent may have been left out.
            go_late(epoch);
            let refused = refusal(certificate);
            let spent = before - channel_balance();
            match refused {
                None => assert!(spent <= budget),
                Some(refusal) => assert_eq!((refusal, spent), (Refusal::Terms, 0)),
            }
            assert_eq!(spent, all_earned() + Fees::get() + Slashed::get());
        });
    }
}
