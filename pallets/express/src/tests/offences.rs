use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok};
use poq_primitives::express::{equivocation::SignedSet, messages, Equivocation, Order, OrderName};
use sp_runtime::Permill;

fn stake(n: u64) -> Balance {
    pallet_proof_of_quality::Operators::<Test>::get(account(n)).unwrap().stake
}

fn report(key: u64, proof: Equivocation<Balance>) -> sp_runtime::DispatchResult {
    Express::report_equivocation(signed(ASKER + 2), public(key), proof)
}

fn two_answers(order: &Order<Balance>, n: u64) -> Equivocation<Balance> {
    let digest = order.digest(&GENESIS);
    let answer = |output| {
        let signature = sign(n, &messages::answer(&GENESIS, &digest, &public(n), &output, &[1; 32]));
        (output, [1; 32], signature)
    };
    Equivocation::Answers { order: order.clone(), answers: [answer([1; 32]), answer([2; 32])] }
}

#[test]
fn two_orders_under_one_name_cost_the_channel_and_the_most_of_one() {
    run(|| {
        let epoch = open_lane();
        let (one, mut other) = (order(name(epoch, 0), 1, 3), order(name(epoch, 0), 1, 3));
        other.prompt = [9; 32];
        let with = |order: &Order<Balance>| (order.clone(), sign(ASKER, &order.digest(&GENESIS)));
        let same = Equivocation::Orders([with(&one), with(&one)]);
        assert_noop!(report(ASKER, same), Error::<Test>::NotAProof);
        let mut elsewhere = other.clone();
        elsewhere.name.index = 1;
        let apart = Equivocation::Orders([with(&one), with(&elsewhere)]);
        assert_noop!(report(ASKER, apart), Error::<Test>::NotAProof);
        let forged = Equivocation::Orders([with(&one), (other.clone(), sign(1, &other.digest(&GENESIS)))]);
        assert_noop!(report(ASKER, forged), Error::<Test>::NotAProof);
        // Anybody can sign two orders in another's name, with a key of its own.
        let own = |order: &Order<Balance>| (order.clone(), sign(1, &order.digest(&GENESIS)));
        let framed = Equivocation::Orders([own(&one), own(&other)]);
        assert_noop!(report(1, framed), Error::<Test>::UnknownKey);

        let proof = Equivocation::Orders([with(&one), with(&other)]);
        let served = certify(order(name(epoch, 1), 1, 3), &Play::all(1, &[50; 3]));
        assert_ok!(report(ASKER, proof.clone()));
        assert_noop!(report(ASKER, proof), Error::<Test>::Punished);
        // Who has served an order of the channel is paid all the same, also one of this name; and one only.
        assert_eq!(channel_balance(), DEPOSIT);
        assert_eq!(refusal(served), None);
        assert_eq!(refusal(certify(one, &Play::all(1, &[50; 3]))), None);
        assert_eq!(refusal(certify(other, &Play::all(1, &[50; 3]))), Some(Refusal::NameUsed));
        let left = channel_balance();
        next_epoch();
        next_epoch();
        let (before, slashed) = (free(ASKER), Slashed::get());
        assert_ok!(Express::release_channel(signed(ASKER), 0));
        assert_eq!((free(ASKER) - before, Slashed::get() - slashed), (left - MOST, MOST));
    });
}

#[test]
fn who_drains_its_channel_by_its_own_faults_cheats_nobody_of_pay() {
    run(|| {
        open_lane();
        let bad = ASKER + 1;
        assert_ok!(Express::open_channel(signed(bad), public(bad), 20 * MOST, MOST, 20));
        let epoch = next_epoch();
        let name = |index| OrderName { channel: 1, epoch, index };
        let certificate = |index| {
            let mut order = order(name(index), 1, 3);
            order.budget = MOST;
            certify(order, &Play::all(1, &[100; 3]))
        };
        // As many orders as the deposit covers, all served.
        let served: Vec<_> = (0..20).map(certificate).collect();
        for index in 0..20 {
            let (one, mut other) = (order(name(index), 1, 3), order(name(index), 1, 3));
            other.prompt = [9; 32];
            let with = |order: Order<Balance>| (order.clone(), sign(bad, &order.digest(&GENESIS)));
            assert_ok!(report(bad, Equivocation::Orders([with(one), with(other)])));
        }
        for certificate in served {
            assert_eq!(refusal(certificate), None);
        }
    });
}

#[test]
fn who_signs_twice_loses_stake_once() {
    run(|| {
        let epoch = open_lane();
        let order = order(name(epoch, 0), 1, 3);
        let digest = order.digest(&GENESIS);
        let answers = vec![Some(([1; 32], true))];
        let named = messages::answers(&GENESIS, &digest, &answers);
        let scores = |percent| vec![Permill::from_percent(percent)];
        let commit = |answers: &Vec<_>, commitment| {
            let named = messages::answers(&GENESIS, &digest, answers);
            (
                answers.clone(),
                commitment,
                sign(11, &messages::commit(&GENESIS, &named, &public(11), &commitment)),
            )
        };
        let sets = [vec![(0, [1; 32])], vec![(0, [1; 32]), (1, [2; 32])]];
        let proposal = |set: &Vec<_>| {
            let digest = messages::set(&GENESIS, &named, set);
            let signature = sign(12, &messages::proposal(&GENESIS, &digest, &public(12)));
            SignedSet { answers: answers.clone(), set: set.clone(), signature }
        };
        let reveal = |set: &Vec<_>| {
            let digest = messages::set(&GENESIS, &named, set);
            let signed = messages::reveal(&GENESIS, &digest, &public(13), &scores(50), &[5; 32]);
            let signature = sign(13, &signed);
            (SignedSet { answers: answers.clone(), set: set.clone(), signature }, scores(50), [5; 32])
        };
        let other_answers = vec![Some(([1; 32], false))];
        let proofs = [
            (1, two_answers(&order, 1)),
            (
                11,
                Equivocation::Commits {
                    order: order.clone(),
                    commits: [commit(&answers, [1; 32]), commit(&other_answers, [1; 32])],
                },
            ),
            (12, Equivocation::Proposals { order: order.clone(), proposals: sets.each_ref().map(proposal) }),
            (13, Equivocation::Reveals { order: order.clone(), reveals: sets.each_ref().map(reveal) }),
        ];
        let before = Slashed::get();
        for (n, proof) in proofs {
            assert_noop!(report(n + 1, proof.clone()), Error::<Test>::NotAProof);
            assert_ok!(report(n, proof.clone()));
            assert_eq!(stake(n), 1_200, "{n} loses 40% of 2,000");
            assert_noop!(report(n, proof), Error::<Test>::Punished);
        }
        assert_eq!(Slashed::get() - before, 4 * 800);
        // Another order is another offence.
        let mut other = order;
        other.name.index = 1;
        assert_ok!(report(1, two_answers(&other, 1)));
        assert_eq!(stake(1), 720);
    });
}

#[test]
fn a_proof_is_no_longer_than_one_can_be() {
    run(|| {
        let order = order(name(open_lane(), 0), 1, 3);
        let digest = order.digest(&GENESIS);
        let commit = |answers: usize| {
            let answers = vec![None; answers];
            let named = messages::answers(&GENESIS, &digest, &answers);
            let signature = sign(11, &messages::commit(&GENESIS, &named, &public(11), &[1; 32]));
            (answers, [1; 32], signature)
        };
        let long = Equivocation::Commits { order: order.clone(), commits: [commit(1), commit(8_192)] };
        assert_noop!(report(11, long), Error::<Test>::TooLong);
        assert_ok!(report(11, Equivocation::Commits { order, commits: [commit(1), commit(2)] }));
    });
}

#[test]
fn a_key_answers_after_a_change_and_not_for_ever() {
    run(|| {
        let epoch = open_lane();
        let order = order(name(epoch, 0), 1, 3);
        let proof = two_answers(&order, 1);
        assert_ok!(set_endpoint(1, 101));
        next_epoch();
        next_epoch();
        assert_ok!(report(1, proof.clone()));
        next_epoch();
        // The chain has forgotten that it was punished, and hears nothing of it any more.
        assert_eq!(Offences::<Test>::iter().count(), 0);
        assert_noop!(report(1, proof), Error::<Test>::TooOld);
        let mut early = order;
        early.name.epoch = CurrentEpoch::<Test>::get() + 1;
        assert_noop!(report(2, two_answers(&early, 2)), Error::<Test>::TooOld);
    });
}

#[test]
fn who_unbonds_after_signing_twice_is_still_slashed() {
    run(|| {
        let epoch = open_lane();
        let proof = two_answers(&order(name(epoch, 0), 1, 3), 1);
        assert_ok!(Poq::unbond(signed(1), 2_000));
        next_epoch();
        next_epoch();
        assert_noop!(Poq::withdraw(signed(1)), pallet_proof_of_quality::Error::<Test>::NothingToWithdraw);
        assert_ok!(report(1, proof));
        assert_eq!(Slashed::get(), 800);
    });
}
