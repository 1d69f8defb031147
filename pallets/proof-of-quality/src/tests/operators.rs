//! Operators: stake, worker keys, rosters.

use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok};

fn signed(n: u64) -> RuntimeOrigin {
    RuntimeOrigin::signed(account(n))
}

/// A capacity of so many of the usual answers, of 10 tokens each.
fn answers(count: u32) -> Workload {
    Workload { tokens: 10 * count, pairs: 100 }
}

#[test]
fn bond_register_unbond_withdraw() {
    build_and_execute(|| {
        assert_noop!(Poq::bond(signed(51), 0), Error::<Test>::ZeroAmount);
        assert_noop!(Poq::bond(signed(51), 999), Error::<Test>::StakeTooSmall);
        assert!(Poq::bond(signed(51), RICH + 1).is_err());
        assert_noop!(register(51, worker(51), &[STRONG]), Error::<Test>::NotAnOperator);
        assert_ok!(Poq::bond(signed(51), 1_000));
        assert_eq!(held(51), 1_000);
        assert!(!rosters::is_enlisted::<Test>(&STRONG, &account(51)));
        assert_ok!(register(51, worker(51), &[STRONG]));
        assert!(rosters::is_enlisted::<Test>(&STRONG, &account(51)));
        assert_noop!(Poq::withdraw(signed(51)), Error::<Test>::NothingToWithdraw);
        assert_noop!(Poq::unbond(signed(51), 1_001), Error::<Test>::NotEnoughStake);
        assert_noop!(Poq::unbond(signed(51), 1), Error::<Test>::RemainderTooSmall);
        assert_ok!(Poq::unbond(signed(51), 1_000));
        assert!(!rosters::is_enlisted::<Test>(&STRONG, &account(51)));
        run_to(20);
        assert_noop!(Poq::withdraw(signed(51)), Error::<Test>::NothingToWithdraw);
        run_to(21);
        assert_ok!(Poq::withdraw(signed(51)));
        assert_eq!((balance(51), held(51)), (RICH, 0));
        assert!(!Operators::<Test>::contains_key(account(51)));
        assert!(!Workers::<Test>::contains_key(worker(51)));
        assert_eq!(frame_system::Pallet::<Test>::sufficients(&worker(51)), 0);
        assert_noop!(Poq::withdraw(signed(51)), Error::<Test>::NotAnOperator);
    });
}

#[test]
fn unbonding_in_part_and_again() {
    build_and_execute(|| {
        assert_ok!(Poq::unbond(signed(1), 500));
        run_to(11);
        assert_ok!(Poq::unbond(signed(1), 500));
        let unbonding = Operators::<Test>::get(account(1)).unwrap().unbonding.unwrap();
        assert_eq!((unbonding.amount, unbonding.at), (1_000, 31));
        assert!(rosters::is_enlisted::<Test>(&STRONG, &account(1)));
        run_to(31);
        assert_ok!(Poq::withdraw(signed(1)));
        assert_eq!(held(1), 1_000);
        assert!(Operators::<Test>::contains_key(account(1)));
    });
}

#[test]
fn worker_keys_belong_to_one_operator() {
    build_and_execute(|| {
        assert_noop!(register(1, worker(2), &[STRONG]), Error::<Test>::WorkerInUse);
        assert_noop!(register(1, account(2), &[STRONG]), Error::<Test>::WorkerIsOperator);
        let key = sp_core::sr25519::Public::from_raw(worker(2).0);
        assert_noop!(Poq::bond(RuntimeOrigin::signed(key), 1_000), Error::<Test>::WorkerInUse);
        // Naming the same key again is no change.
        assert_ok!(register(1, worker(1), &[STRONG, WEAK]));
        assert_eq!(frame_system::Pallet::<Test>::sufficients(&worker(1)), 1);
    });
}

#[test]
fn lists_of_models() {
    build_and_execute(|| {
        assert_noop!(register(1, worker(1), &[]), Error::<Test>::InvalidModelList);
        assert_noop!(register(1, worker(1), &[WEAK, WEAK]), Error::<Test>::InvalidModelList);
        assert_noop!(register(1, worker(1), &[UNKNOWN]), Error::<Test>::UnknownModel);
        assert_ok!(register(1, worker(1), &[WEAK]));
        assert!(!rosters::is_enlisted::<Test>(&STRONG, &account(1)));
        assert!(rosters::is_enlisted::<Test>(&WEAK, &account(1)));
        Poq::retire_model(RuntimeOrigin::root(), STRONG).unwrap();
        assert_noop!(register(1, worker(1), &[STRONG]), Error::<Test>::ModelRetired);
    });
}

#[test]
fn chill_and_resume() {
    build_and_execute(|| {
        assert_noop!(Poq::chill(signed(51)), Error::<Test>::NotAnOperator);
        assert_noop!(Poq::resume(signed(1)), Error::<Test>::NotChilled);
        assert_ok!(Poq::chill(signed(1)));
        assert_noop!(Poq::chill(signed(1)), Error::<Test>::AlreadyChilled);
        assert!(!rosters::is_enlisted::<Test>(&STRONG, &account(1)));
        // More stake does not wake who is chilled.
        assert_ok!(Poq::bond(signed(1), 1));
        assert!(!rosters::is_enlisted::<Test>(&STRONG, &account(1)));
        assert_ok!(Poq::resume(signed(1)));
        assert!(rosters::is_enlisted::<Test>(&STRONG, &account(1)));
        assert_ok!(Poq::bond(signed(51), 1_000));
        assert_ok!(Poq::chill(signed(51)));
        assert_noop!(Poq::resume(signed(51)), Error::<Test>::NotRegistered);
    });
}

#[test]
fn in_a_full_roster_more_weight_takes_the_place_of_the_least() {
    build_and_execute(|| {
        let stand = |n: u64, percent| {
            let part = sp_runtime::Permill::from_percent(percent);
            Operators::<Test>::mutate(account(n), |operator| {
                let operator = operator.as_mut().unwrap();
                operator.standing = Standing { agreement: part, veracity: part, ..FULL_STANDING };
            });
        };
        for n in [51, 52] {
            assert_ok!(Poq::bond(signed(n), 1_000));
            assert_ok!(register(n, worker(n), &[JUDGE]));
        }
        assert!(Rosters::<Test>::get(JUDGE).is_full());
        // A newcomer like them with as much stake gets no place, one with more takes that of the first of them.
        stand(1, 0);
        assert_ok!(Poq::unbond(signed(1), 1_000));
        assert_noop!(register(1, worker(1), &[JUDGE]), Error::<Test>::RosterFull);
        assert_ok!(Poq::bond(signed(1), 1));
        System::reset_events();
        // A unit more is a millionth of the weight: not even that is seen.
        assert_noop!(register(1, worker(1), &[JUDGE]), Error::<Test>::RosterFull);
        assert_ok!(Poq::bond(signed(1), 999));
        assert_ok!(register(1, worker(1), &[JUDGE]));
        assert!(events().contains(&Event::Displaced { operator: account(51), model: JUDGE }));
        assert!(
            rosters::is_enlisted::<Test>(&JUDGE, &account(1))
                && !rosters::is_enlisted::<Test>(&JUDGE, &account(51))
        );
        assert_eq!(Operators::<Test>::get(account(51)).unwrap().models, vec![JUDGE], "it may come back");
        assert_ok!(Poq::bond(signed(51), 1_500));
        assert!(
            rosters::is_enlisted::<Test>(&JUDGE, &account(51))
                && !rosters::is_enlisted::<Test>(&JUDGE, &account(52))
        );
        // An established operator is not pushed out by any stake of a newcomer.
        assert_ok!(Poq::bond(signed(52), 500_000));
        assert!(SCORERS.into_iter().all(|n| rosters::is_enlisted::<Test>(&JUDGE, &account(n))));
    });
}

#[test]
fn stake_is_divided_among_the_models_it_is_offered_for() {
    build_and_execute(|| {
        assert_noop!(register(1, worker(1), &[STRONG, WEAK, JUDGE]), Error::<Test>::StakeTooSmall);
        assert_ok!(register(1, worker(1), &[STRONG, WEAK]));
        let weight = |model| {
            let roster = Rosters::<Test>::get(model);
            roster.iter().find(|c| c.operator == account(1)).map(|c| (c.weight, c.since))
        };
        assert_eq!((weight(STRONG), weight(WEAK)), (Some((1_000_000, 0)), Some((1_000_000, 1))));
        assert_noop!(Poq::unbond(signed(1), 1), Error::<Test>::RemainderTooSmall);
        run_to(5);
        assert_ok!(register(1, worker(1), &[STRONG]));
        assert_eq!(weight(STRONG), Some((2_000_000, 5)), "grown, so no open request sees it");
        assert_eq!(weight(WEAK), None);
    });
}

#[test]
fn a_chilled_operator_finds_its_place_again_for_a_while() {
    build_and_execute(|| {
        let weaken = |n: u64| {
            Operators::<Test>::mutate(account(n), |o| o.as_mut().unwrap().standing = PARAMETERS.floor);
            rosters::refresh::<Test>(
                &JUDGE,
                &[operators::place_of::<Test>(&account(n), JUDGE, ModelKind::Evaluator)],
            );
        };
        for n in [51, 52] {
            assert_ok!(Poq::bond(signed(n), 2_000));
            assert_ok!(register(n, worker(n), &[JUDGE]));
        }
        for n in [3, 11] {
            weaken(n);
        }
        assert_ok!(Poq::chill(signed(11)));
        let drawable = |n| Poq::operator_info(account(n)).unwrap().drawable;
        assert!(!drawable(11));
        // The place is kept against who weighs as much …
        assert_noop!(register(3, worker(3), &[JUDGE]), Error::<Test>::RosterFull);
        run_to(11);
        assert_noop!(register(3, worker(3), &[JUDGE]), Error::<Test>::RosterFull);
        assert_ok!(Poq::resume(signed(11)));
        assert!(drawable(11));
        let since = |n| Rosters::<Test>::get(JUDGE).iter().find(|c| c.operator == account(n)).unwrap().since;
        assert_eq!(since(11), 11, "who comes back joins anew");
        // … for so many blocks,
        assert_ok!(Poq::chill(signed(11)));
        run_to(22);
        assert_ok!(register(3, worker(3), &[JUDGE]));
        assert_noop!(Poq::resume(signed(11)), Error::<Test>::RosterFull);
        // and against who weighs more not at all.
        assert_ok!(Poq::chill(signed(3)));
        assert_ok!(Poq::bond(signed(1), 2_000));
        assert_ok!(register(1, worker(1), &[JUDGE]));
        assert!(!rosters::is_enlisted::<Test>(&JUDGE, &account(3)));
    });
}

#[test]
fn stake_counts_up_to_a_cap() {
    build_and_execute(|| {
        let weight = |stake| operators::stake_weight::<Test>(stake, &PARAMETERS);
        assert_eq!(weight(1_000), 1_000_000);
        assert_eq!(weight(1_999), 1_999_000);
        assert_eq!(weight(5_000), 5_000_000);
        assert_eq!(weight(5_001), 5_000_000);
        assert_eq!(weight(u128::MAX), 5_000_000);
        assert_ok!(Poq::bond(signed(1), 500_000));
        let roster = Rosters::<Test>::get(STRONG);
        assert_eq!(roster.iter().find(|c| c.operator == account(1)).unwrap().weight, 5_000_000);
    });
}

#[test]
fn stake_stays_while_duties_are_open() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        let n = responders(id)[0];
        assert_ok!(Poq::unbond(signed(n), 2_000));
        let at = Operators::<Test>::get(account(n)).unwrap().unbonding.unwrap().at;
        // The agenda stands still, so that the duty is still open when the stake is free to go.
        AgendaWeightOf::set(frame_support::weights::Weight::zero());
        run_to(at);
        assert_noop!(Poq::withdraw(signed(n)), Error::<Test>::OpenDuties);
        AgendaWeightOf::set(frame_support::weights::Weight::MAX);
        run_until(|| phase(id).is_closed());
        // The absence was paid for out of the stake on its way out.
        assert_ok!(Poq::withdraw(signed(n)));
        assert_eq!(balance(n), RICH - 100);
    });
}

#[test]
fn an_operator_says_how_much_it_takes() {
    build_and_execute(|| {
        assert_noop!(Poq::set_capacity(signed(51), answers(3)), Error::<Test>::NotAnOperator);
        assert_noop!(Poq::set_capacity(signed(1), Workload::default()), Error::<Test>::InvalidCapacity);
        assert_ok!(Poq::set_capacity(signed(2), Workload { tokens: 1, pairs: 0 }));
        assert_ok!(Poq::set_capacity(signed(2), Workload { tokens: 0, pairs: u32::MAX }));
        let capacity = |n| Poq::operator_info(account(n)).unwrap().capacity;
        assert_eq!(capacity(1), DefaultCapacity::get());
        assert_ok!(Poq::set_capacity(signed(1), answers(1)));
        System::assert_last_event(Event::CapacitySet { operator: account(1), capacity: answers(1) }.into());
        assert_eq!(capacity(1), answers(1));
        // Forgotten with the operator.
        assert_ok!(Poq::unbond(signed(1), 2_000));
        run_to(30);
        assert_ok!(Poq::withdraw(signed(1)));
        assert_ok!(Poq::bond(signed(1), 2_000));
        assert_eq!(capacity(1), DefaultCapacity::get());
    });
}

#[test]
fn who_has_as_much_to_do_as_it_takes_is_passed_over() {
    build_and_execute(|| {
        for n in 1..=3 {
            assert_ok!(Poq::set_capacity(signed(n), answers(1)));
        }
        // Three operators, two of whom have a duty: one is left.
        let first = ask_and_draw(terms());
        let busy = responders(first);
        let second = ask_and_draw(Terms { responders: 1, ..terms() });
        assert_eq!(responders(second).len(), 1);
        assert!(!busy.contains(&responders(second)[0]));
        for n in 1..=3 {
            assert_eq!(Operators::<Test>::get(account(n)).unwrap().duties.count(), 1);
        }
        let listed = Rosters::<Test>::get(STRONG).len() + Rosters::<Test>::get(WEAK).len();
        assert_eq!(listed, 3, "busy is no reason to be struck out");
    });
}

#[test]
fn a_request_waits_until_somebody_has_room() {
    build_and_execute(|| {
        for n in 1..=3 {
            assert_ok!(Poq::set_capacity(signed(n), answers(1)));
        }
        let first = ask_and_draw(Terms { responders: 3, ..terms() });
        let second = ask(terms());
        let begun = System::block_number();
        run_to(begun + 5);
        assert_eq!(phase(second), Phase::Requested);
        let due = Requests::<Test>::get(second).unwrap().due;
        assert!(due > System::block_number() && due <= begun + 10, "tried again within its patience");
        // Nobody answers the first: it is refunded, and its operators have room.
        run_until(|| phase(first).is_closed());
        run_until(|| phase(second) != Phase::Requested);
        assert_eq!(responders(second).len(), 2);
    });
}

#[test]
fn a_request_for_which_nobody_has_room_is_refunded_in_the_end() {
    build_and_execute(|| {
        for n in 1..=3 {
            assert_ok!(Poq::set_capacity(signed(n), answers(1)));
        }
        // All three have answered the first, and are not free until it is settled. Nobody scores it, twice.
        let first = ask_and_draw(Terms { responders: 3, ..terms() });
        for n in responders(first) {
            commit_output(n, first, b"Lima").unwrap();
        }
        next_block();
        for n in responders(first) {
            reveal_output(n, first, b"Lima").unwrap();
        }
        run_until(|| !committee(first).is_empty());
        let second = ask(terms());
        run_until(|| phase(second).is_closed());
        assert!(matches!(phase(second), Phase::Refunded { reason: RefundReason::Busy, .. }));
        assert!(!phase(first).is_closed(), "they were busy to the end");
        assert_eq!(held(50), terms().budget, "that of the first");
    });
}
