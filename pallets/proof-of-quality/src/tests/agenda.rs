//! The agenda: metered, fair, and open to anyone's help.

use crate::{mock::*, *};
use frame_support::{
    assert_noop, assert_ok,
    dispatch::Pays,
    traits::Hooks,
    weights::{Weight, WeightMeter},
};

#[test]
fn never_takes_more_than_its_share() {
    build_and_execute(|| {
        let ids: Vec<_> = (0..20).map(|_| ask(terms())).collect();
        AgendaWeightOf::set(Weight::from_parts(350, 0));
        let done = || ids.iter().filter(|id| phase(**id) != Phase::Requested).count();
        System::set_block_number(3);
        let mut meter = WeightMeter::with_limit(Weight::from_parts(1_000, 0));
        Poq::on_poll(3, &mut meter);
        assert!(meter.consumed().ref_time() <= 350, "{meter:?}");
        assert!(done() > 0 && done() < 20);
        // A block without room leaves everything as it is.
        let before = done();
        System::set_block_number(4);
        Poq::on_poll(4, &mut WeightMeter::with_limit(Weight::zero()));
        assert_eq!(done(), before);
        // What was left waits its turn.
        for block in 5..30 {
            System::set_block_number(block);
            Poq::on_poll(block, &mut WeightMeter::new());
        }
        assert_eq!(done(), 20);
    });
}

#[test]
fn on_idle_uses_what_is_left_and_no_more() {
    build_and_execute(|| {
        ask(terms());
        System::set_block_number(3);
        assert_eq!(Poq::on_idle(3, Weight::zero()), Weight::zero());
        let used = Poq::on_idle(3, Weight::from_parts(1_000, 0));
        assert!(used.ref_time() > 0 && used.ref_time() <= 1_000);
        assert!(matches!(phase(0), Phase::Answering { .. }));
    });
}

#[test]
fn anyone_can_do_the_step() {
    build_and_execute(|| {
        AgendaWeightOf::set(Weight::zero());
        let id = ask(terms());
        let advance = |id| Poq::advance(RuntimeOrigin::signed(account(52)), id);
        assert_noop!(advance(77), Error::<Test>::UnknownRequest);
        assert_noop!(advance(id), Error::<Test>::NotDue);
        run_to(2);
        assert_noop!(advance(id), Error::<Test>::NotDue);
        run_to(3);
        let post = advance(id).unwrap();
        assert_eq!(post.pays_fee, Pays::No);
        assert!(matches!(phase(id), Phase::Answering { .. }));
        assert_noop!(advance(id), Error::<Test>::NotDue);
        for n in responders(id) {
            commit_output(n, id, b"Lima").unwrap();
        }
        assert_ok!(advance(id));
        for n in responders(id) {
            reveal_output(n, id, b"Lima").unwrap();
        }
        assert_ok!(advance(id));
        run_to(5);
        assert_ok!(advance(id));
        for n in committee(id) {
            commit_scores(n, id, &[70, 70]).unwrap();
        }
        assert_ok!(advance(id));
        for n in committee(id) {
            reveal_scores(n, id, &[70, 70]).unwrap();
        }
        assert_ok!(advance(id));
        settled(id);
        assert_noop!(advance(id), Error::<Test>::NotDue);
        run_to(60);
        assert_ok!(advance(id));
        assert_noop!(advance(id), Error::<Test>::UnknownRequest);
    });
}

#[test]
fn catches_up_after_a_gap() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        // Blocks in which no hook had room at all.
        System::set_block_number(100);
        Poq::on_poll(100, &mut WeightMeter::new());
        assert!(phase(id).is_closed());
        assert_eq!(AgendaCursor::<Test>::get(), Some(100));
    });
}

#[test]
fn a_chain_that_takes_the_pallet_in_late_does_not_walk_through_its_past() {
    build_and_execute(|| {
        System::set_block_number(1_000_000);
        Poq::on_poll(1_000_000, &mut WeightMeter::new());
        let id = ask(terms());
        assert_eq!(AgendaCursor::<Test>::get(), Some(1_000_000));
        run_to(1_000_002);
        assert!(matches!(phase(id), Phase::Answering { .. }));
    });
}
