//! Operators: stake, worker keys, rosters.

use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok};

fn signed(n: u64) -> RuntimeOrigin {
    RuntimeOrigin::signed(account(n))
}

fn models(list: &[ModelId]) -> frame_support::BoundedVec<ModelId, <Test as Config>::MaxModelsPerOperator> {
    list.to_vec().try_into().unwrap()
}

#[test]
fn bond_register_unbond_withdraw() {
    build_and_execute(|| {
        assert_noop!(Poq::bond(signed(51), 0), Error::<Test>::ZeroAmount);
        assert_noop!(Poq::bond(signed(51), 999), Error::<Test>::StakeTooSmall);
        assert!(Poq::bond(signed(51), RICH + 1).is_err());
        assert_noop!(Poq::register(signed(51), worker(51), models(&[STRONG])), Error::<Test>::NotAnOperator);
        assert_ok!(Poq::bond(signed(51), 1_000));
        assert_eq!(held(51), 1_000);
        assert!(!Poq::is_enlisted(&STRONG, &account(51)));
        assert_ok!(Poq::register(signed(51), worker(51), models(&[STRONG])));
        assert!(Poq::is_enlisted(&STRONG, &account(51)));
        assert_noop!(Poq::withdraw(signed(51)), Error::<Test>::NothingToWithdraw);
        assert_noop!(Poq::unbond(signed(51), 1_001), Error::<Test>::NotEnoughStake);
        assert_noop!(Poq::unbond(signed(51), 1), Error::<Test>::RemainderTooSmall);
        assert_ok!(Poq::unbond(signed(51), 1_000));
        assert!(!Poq::is_enlisted(&STRONG, &account(51)));
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
        assert!(Poq::is_enlisted(&STRONG, &account(1)));
        run_to(31);
        assert_ok!(Poq::withdraw(signed(1)));
        assert_eq!(held(1), 1_000);
        assert!(Operators::<Test>::contains_key(account(1)));
    });
}

#[test]
fn worker_keys_belong_to_one_operator() {
    build_and_execute(|| {
        assert_noop!(Poq::register(signed(1), worker(2), models(&[STRONG])), Error::<Test>::WorkerInUse);
        assert_noop!(
            Poq::register(signed(1), account(2), models(&[STRONG])),
            Error::<Test>::WorkerIsOperator
        );
        let key = sp_core::sr25519::Public::from_raw(worker(2).0);
        assert_noop!(Poq::bond(RuntimeOrigin::signed(key), 1_000), Error::<Test>::WorkerInUse);
        // Naming the same key again is no change.
        assert_ok!(Poq::register(signed(1), worker(1), models(&[STRONG, WEAK])));
        assert_eq!(frame_system::Pallet::<Test>::sufficients(&worker(1)), 1);
    });
}

#[test]
fn lists_of_models() {
    build_and_execute(|| {
        assert_noop!(Poq::register(signed(1), worker(1), models(&[])), Error::<Test>::InvalidModelList);
        assert_noop!(
            Poq::register(signed(1), worker(1), models(&[WEAK, WEAK])),
            Error::<Test>::InvalidModelList
        );
        assert_noop!(Poq::register(signed(1), worker(1), models(&[UNKNOWN])), Error::<Test>::UnknownModel);
        assert_ok!(Poq::register(signed(1), worker(1), models(&[WEAK])));
        assert!(!Poq::is_enlisted(&STRONG, &account(1)));
        assert!(Poq::is_enlisted(&WEAK, &account(1)));
        Poq::retire_model(RuntimeOrigin::root(), STRONG).unwrap();
        assert_noop!(Poq::register(signed(1), worker(1), models(&[STRONG])), Error::<Test>::ModelRetired);
    });
}

#[test]
fn chill_and_resume() {
    build_and_execute(|| {
        assert_noop!(Poq::chill(signed(51)), Error::<Test>::NotAnOperator);
        assert_noop!(Poq::resume(signed(1)), Error::<Test>::NotChilled);
        assert_ok!(Poq::chill(signed(1)));
        assert_noop!(Poq::chill(signed(1)), Error::<Test>::AlreadyChilled);
        assert!(!Poq::is_enlisted(&STRONG, &account(1)));
        // More stake does not wake who is chilled.
        assert_ok!(Poq::bond(signed(1), 1));
        assert!(!Poq::is_enlisted(&STRONG, &account(1)));
        assert_ok!(Poq::resume(signed(1)));
        assert!(Poq::is_enlisted(&STRONG, &account(1)));
        assert_ok!(Poq::bond(signed(51), 1_000));
        assert_ok!(Poq::chill(signed(51)));
        assert_noop!(Poq::resume(signed(51)), Error::<Test>::NotRegistered);
    });
}

#[test]
fn a_full_roster_takes_no_more() {
    build_and_execute(|| {
        for n in [51, 52, 1, 2] {
            let _ = Poq::bond(signed(n), 1_000);
        }
        assert_ok!(Poq::register(signed(51), worker(51), models(&[JUDGE])));
        assert_ok!(Poq::register(signed(52), worker(52), models(&[JUDGE])));
        assert_noop!(Poq::register(signed(1), worker(1), models(&[JUDGE])), Error::<Test>::RosterFull);
    });
}

#[test]
fn stake_counts_up_to_a_cap() {
    build_and_execute(|| {
        let weight = |stake| crate::standing::stake_weight::<Test>(stake, &PARAMETERS);
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
        assert_noop!(Poq::set_capacity(signed(51), 3), Error::<Test>::NotAnOperator);
        assert_noop!(Poq::set_capacity(signed(1), 0), Error::<Test>::InvalidCapacity);
        assert_noop!(Poq::set_capacity(signed(1), 1_001), Error::<Test>::InvalidCapacity);
        assert_ok!(Poq::set_capacity(signed(2), 1_000));
        assert_eq!(Poq::operator_info(account(1)).unwrap().capacity, 1_000, "the default");
        assert_ok!(Poq::set_capacity(signed(1), 1));
        System::assert_last_event(Event::CapacitySet { operator: account(1), duties: 1 }.into());
        assert_eq!(Poq::operator_info(account(1)).unwrap().capacity, 1);
        // Forgotten with the operator.
        assert_ok!(Poq::unbond(signed(1), 2_000));
        run_to(30);
        assert_ok!(Poq::withdraw(signed(1)));
        assert_ok!(Poq::bond(signed(1), 2_000));
        assert_eq!(Poq::operator_info(account(1)).unwrap().capacity, 1_000);
    });
}

#[test]
fn who_has_as_much_to_do_as_it_takes_is_passed_over() {
    build_and_execute(|| {
        for n in 1..=3 {
            assert_ok!(Poq::set_capacity(signed(n), 1));
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
            assert_ok!(Poq::set_capacity(signed(n), 1));
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
            assert_ok!(Poq::set_capacity(signed(n), 1));
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
