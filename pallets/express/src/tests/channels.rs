use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok};
use poq_primitives::express::OrderName;

#[test]
fn a_deposit_goes_in_and_what_is_left_comes_back() {
    run(|| {
        let before = free(ASKER);
        let first = open_lane();
        // The first channel of a chain pays the existential deposit of the pot, too.
        assert_eq!(before - free(ASKER), DEPOSIT + 10);
        assert_ok!(Express::top_up(signed(ASKER + 1), 0, 500));
        assert_eq!(channel_balance(), DEPOSIT + 500);
        assert_ok!(settle(vec![certify(order(name(first, 0), 1, 3), &Play::all(1, &[50; 3]))]));
        let left = channel_balance();
        assert_noop!(Express::release_channel(signed(ASKER), 0), Error::<Test>::ChannelOpen);
        assert_noop!(Express::close_channel(signed(ASKER + 1), 0), Error::<Test>::NotYours);
        assert_ok!(Express::close_channel(signed(ASKER), 0));
        assert_noop!(Express::close_channel(signed(ASKER), 0), Error::<Test>::ChannelClosing);
        assert_noop!(Express::top_up(signed(ASKER), 0, 500), Error::<Test>::ChannelClosing);
        next_epoch();
        assert_noop!(Express::release_channel(signed(ASKER), 0), Error::<Test>::ChannelOpen);
        next_epoch();
        assert_ok!(Express::release_channel(signed(7), 0));
        assert_eq!(before - free(ASKER), DEPOSIT + 10 - left);
        assert_noop!(Express::release_channel(signed(7), 0), Error::<Test>::UnknownChannel);
    });
}

#[test]
fn orders_made_before_the_close_settle_after_it_and_later_ones_do_not() {
    run(|| {
        let first = open_lane();
        let open = certify(order(name(first, 0), 1, 3), &Play::all(1, &[50; 3]));
        assert_ok!(Express::close_channel(signed(ASKER), 0));
        let next = next_epoch();
        assert_eq!(refusal(open), None);
        let late = certify(order(name(next, 0), 1, 3), &Play::all(1, &[50; 3]));
        assert_eq!(refusal(late), Some(Refusal::ChannelClosed));
    });
}

#[test]
fn a_key_is_chosen_before_the_seed_of_its_first_epoch_is_known() {
    run(|| {
        let first = open_lane();
        assert_ok!(Express::open_channel(signed(ASKER + 1), public(ASKER + 1), DEPOSIT, MOST, 1));
        let name = OrderName { channel: 1, epoch: first, index: 0 };
        assert_eq!(
            refusal(certify(order(name, 1, 3), &Play::all(1, &[50; 3]))),
            Some(Refusal::ChannelClosed)
        );
        let name = OrderName { channel: 1, epoch: next_epoch(), index: 0 };
        assert_eq!(refusal(certify(order(name, 1, 3), &Play::all(1, &[50; 3]))), None);
    });
}

#[test]
fn limits_hold_at_their_edges() {
    run(|| {
        let open = |deposit, most, orders| {
            frame_support::storage::with_storage_layer(|| {
                Express::open_channel(signed(ASKER), public(ASKER), deposit, most, orders)
            })
        };
        assert_noop!(open(DEPOSIT, MOST, 0), Error::<Test>::InvalidOrdersPerEpoch);
        assert_noop!(open(DEPOSIT, MOST, 21), Error::<Test>::InvalidOrdersPerEpoch);
        assert_noop!(open(DEPOSIT, 0, 20), Error::<Test>::InvalidMostPerOrder);
        assert_noop!(open(999, 1, 20), Error::<Test>::DepositTooSmall);
        assert_noop!(open(MOST - 1, MOST, 20), Error::<Test>::DepositTooSmall);
        assert!(open(RICH + 1, MOST, 20).is_err());
        assert_ok!(open(MOST, MOST, 20));
        assert_ok!(open(1_000, 1, 1));
        assert_noop!(Express::top_up(signed(ASKER), 0, 0), Error::<Test>::ZeroAmount);
        assert_noop!(Express::top_up(signed(ASKER), 9, 1), Error::<Test>::UnknownChannel);
    });
}

#[test]
fn the_last_index_of_an_epoch_is_one_below_the_limit() {
    run(|| {
        let first = open_lane();
        let certificate = |index| certify(order(name(first, index), 1, 3), &Play::all(1, &[50; 3]));
        assert_eq!(refusal(certificate(19)), None);
        assert_eq!(refusal(certificate(20)), Some(Refusal::IndexTooHigh));
        assert_eq!(refusal(certificate(u32::MAX)), Some(Refusal::IndexTooHigh));
        for index in 0..19 {
            assert_eq!(refusal(certificate(index)), None, "{index}");
        }
        for index in 0..20 {
            assert_eq!(refusal(certificate(index)), Some(Refusal::NameUsed), "{index}");
        }
    });
}

#[test]
fn a_gift_to_the_pot_breaks_nothing() {
    run(|| {
        open_lane();
        assert_ok!(Balances::transfer_allow_death(signed(ASKER + 2), crate::money::pot::<Test>(), 12_345));
        assert_ok!(Express::do_check());
        assert_ok!(Express::close_channel(signed(ASKER), 0));
        next_epoch();
        next_epoch();
        assert_ok!(Express::release_channel(signed(ASKER), 0));
    });
}

#[test]
fn a_deposit_of_a_lane_without_models_comes_back() {
    run(|| {
        let before = free(ASKER);
        assert_ok!(Express::open_channel(signed(ASKER), public(ASKER), DEPOSIT, MOST, 20));
        assert_ok!(Express::close_channel(signed(ASKER), 0));
        for _ in 0..30 {
            next_block();
        }
        assert_ok!(Express::release_channel(signed(ASKER), 0));
        // But for the existential deposit of the pot.
        assert_eq!(before - free(ASKER), 10);
    });
}
