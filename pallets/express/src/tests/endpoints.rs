use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok, BoundedVec};
use poq_primitives::express::messages;

#[test]
fn an_express_key_must_agree_and_has_one_operator() {
    run(|| {
        assert_noop!(set_endpoint(ASKER, ASKER), Error::<Test>::NotAnOperator);
        assert_ok!(set_endpoint(1, 1));
        assert_noop!(set_endpoint(2, 1), Error::<Test>::KeyInUse);
        let address = |text: &[u8]| BoundedVec::truncate_from(text.to_vec());
        let consent = sign(2, &messages::endpoint_consent(&GENESIS, &account(3)));
        let other = Express::set_endpoint(signed(2), address(b"a:1"), [0; 32], public(2), consent);
        assert_noop!(other, Error::<Test>::InvalidConsent);
        let consent = sign(2, &messages::endpoint_consent(&[1; 32], &account(2)));
        let elsewhere = Express::set_endpoint(signed(2), address(b"a:1"), [0; 32], public(2), consent);
        assert_noop!(elsewhere, Error::<Test>::InvalidConsent);
        let consent = sign(2, &messages::endpoint_consent(&GENESIS, &account(2)));
        for text in [b"".as_slice(), b"  ", b"\xff:1"] {
            let set = Express::set_endpoint(signed(2), address(text), [0; 32], public(2), consent);
            assert_noop!(set, Error::<Test>::InvalidAddress);
        }
        assert_ok!(Express::set_endpoint(signed(2), address(b"a:1"), [0; 32], public(2), consent));
        // Another address with the same key.
        assert_ok!(Express::set_endpoint(signed(2), address(b"b:1"), [0; 32], public(2), consent));
    });
}

#[test]
fn a_key_before_stays_until_no_proof_against_it_can_come() {
    run(|| {
        open_lane();
        assert_ok!(set_endpoint(1, 101));
        assert_noop!(set_endpoint(1, 102), Error::<Test>::KeyChangedTwice);
        assert_noop!(set_endpoint(1, 1), Error::<Test>::KeyChangedTwice);
        assert_noop!(set_endpoint(2, 1), Error::<Test>::KeyInUse);
        for _ in 0..3 {
            next_epoch();
            assert_noop!(set_endpoint(1, 102), Error::<Test>::KeyChangedTwice);
        }
        next_epoch();
        assert_ok!(set_endpoint(1, 102));
        assert_eq!(ExpressKeys::<Test>::get(public(1)), None);
        assert_eq!(ExpressKeys::<Test>::get(public(101)), Some(account(1)));
    });
}

#[test]
fn an_endpoint_that_leaves_is_forgotten_when_it_answers_for_nothing() {
    run(|| {
        open_lane();
        assert_noop!(Express::remove_endpoint(signed(2), account(1)), Error::<Test>::NotYours);
        assert_noop!(Express::remove_endpoint(signed(1), account(ASKER)), Error::<Test>::NoEndpoint);
        assert_ok!(Express::remove_endpoint(signed(1), account(1)));
        for _ in 0..4 {
            assert_noop!(Express::remove_endpoint(signed(1), account(1)), Error::<Test>::StillAnswerable);
            next_epoch();
        }
        // By anybody.
        assert_ok!(Express::remove_endpoint(signed(ASKER), account(1)));
        assert_eq!(Endpoints::<Test>::get(account(1)), None);
        assert_eq!(ExpressKeys::<Test>::get(public(1)), None);
        assert_ok!(set_endpoint(1, 1));
    });
}

#[test]
fn who_comes_back_takes_orders_again() {
    run(|| {
        open_lane();
        assert_ok!(Express::remove_endpoint(signed(1), account(1)));
        assert_ok!(set_endpoint(1, 1));
        let epoch = next_epoch();
        let seats = Snapshots::<Test>::get(epoch, GENERATOR).unwrap();
        assert!(seats.iter().any(|seat| seat.operator == account(1)));
    });
}
