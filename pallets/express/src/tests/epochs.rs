use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok, traits::BuildGenesisConfig};
use pallet_proof_of_quality::ModelId;
use poq_primitives::express::{Epoch, OrderName};

#[test]
fn snapshots_are_frozen_before_their_seed_is_known() {
    run(|| {
        // A seed that is known since before the freeze does not count.
        SeedAge::set(5);
        let epoch = open_lane();
        let info = Epochs::<Test>::get(epoch).unwrap();
        let frozen = info.frozen.unwrap();
        assert!(
            System::block_number() - SeedAge::get() > frozen,
            "the seed was known when the rosters were frozen"
        );
        assert_eq!(
            System::block_number() - SeedAge::get(),
            frozen + 1,
            "and is taken as soon as there is one"
        );
    });
}

#[test]
fn what_operators_do_after_the_freeze_moves_no_seat() {
    run(|| {
        let epoch = open_lane();
        let before = Snapshots::<Test>::get(epoch, GENERATOR).unwrap();
        assert_eq!(before.len(), 6);
        assert_ok!(Poq::bond(signed(1), 5_000));
        assert_ok!(Poq::chill(signed(2)));
        assert_ok!(set_endpoint(3, 103));
        assert_ok!(Express::remove_endpoint(signed(4), account(4)));
        next_block();
        assert_eq!(Snapshots::<Test>::get(epoch, GENERATOR).unwrap(), before);
        let after = Snapshots::<Test>::get(next_epoch(), GENERATOR).unwrap();
        let names: Vec<_> = after.iter().map(|seat| number(&seat.operator)).collect();
        assert_eq!(names, [1, 3, 5, 6]);
        assert_eq!(after[1].key, public(103));
        let weight = |n: usize| after[n].until - if n == 0 { 0 } else { after[n - 1].until };
        assert!(weight(0) > 3 * weight(1), "who has more stake has more weight");
    });
}

#[test]
fn a_test_chain_has_its_lane_and_shorter_epochs_at_genesis() {
    run(|| {
        GenesisConfig::<Test> { models: vec![GENERATOR, JUDGE], epoch_blocks: Some(3) }.build();
        let began: Vec<_> = (0..7)
            .map(|_| {
                next_block();
                CurrentEpoch::<Test>::get()
            })
            .collect();
        assert_eq!(began, [1, 1, 1, 2, 2, 2, 3]);
        assert_eq!(LaneModels::<Test>::get().len(), 2);
    });
}

#[test]
fn a_genesis_that_does_not_hold_makes_no_chain() {
    let of = |models: &[ModelId], blocks| {
        let genesis = GenesisConfig::<Test> { models: models.to_vec(), epoch_blocks: blocks };
        std::panic::catch_unwind(|| run(|| genesis.build()))
    };
    assert!(of(&[GENERATOR, JUDGE], None).is_ok());
    assert!(of(&[], Some(3)).is_ok() && of(&[], Some(10)).is_ok());
    assert!(of(&[], Some(2)).is_err() && of(&[], Some(11)).is_err());
    assert!(of(&[[9; 32]], None).is_err() && of(&[JUDGE, JUDGE], None).is_err());
}

#[test]
fn a_model_with_too_few_endpoints_has_no_lane() {
    run(|| {
        let epoch = open_lane();
        assert!(Snapshots::<Test>::contains_key(epoch, GENERATOR));
        for n in 1..=4 {
            assert_ok!(Express::remove_endpoint(signed(n), account(n)));
        }
        let epoch = next_epoch();
        assert!(!Snapshots::<Test>::contains_key(epoch, GENERATOR));
        assert!(Snapshots::<Test>::contains_key(epoch, JUDGE));
    });
}

#[test]
fn a_chain_without_models_on_the_lane_has_no_epochs() {
    run(|| {
        for _ in 0..30 {
            next_block();
        }
        assert_eq!(CurrentEpoch::<Test>::get(), 0);
        assert!(Epochs::<Test>::iter().next().is_none());
    });
}

#[test]
fn models_come_onto_the_lane_and_leave_it() {
    run(|| {
        let root = RuntimeOrigin::root;
        assert_noop!(Express::open_model(signed(1), GENERATOR), sp_runtime::DispatchError::BadOrigin);
        assert_noop!(Express::open_model(root(), [9; 32]), Error::<Test>::UnknownModel);
        assert_noop!(Express::close_model(root(), GENERATOR), Error::<Test>::ModelNotOnLane);
        let epoch = open_lane();
        assert_noop!(Express::open_model(root(), GENERATOR), Error::<Test>::ModelOnLane);
        assert_ok!(Express::close_model(root(), GENERATOR));
        assert!(Snapshots::<Test>::contains_key(epoch, GENERATOR), "orders of this epoch go on");
        let epoch = next_epoch();
        assert!(!Snapshots::<Test>::contains_key(epoch, GENERATOR));
    });
}

#[test]
fn what_is_over_is_forgotten_and_nothing_before() {
    run(|| {
        let first = open_lane();
        assert_ok!(settle(vec![certify(order(name(first, 0), 1, 3), &Play::all(1, &[50; 3]))]));
        let kept = |epoch: Epoch| {
            (Epochs::<Test>::contains_key(epoch), Snapshots::<Test>::contains_key(epoch, GENERATOR))
        };
        let names = |epoch| UsedNames::<Test>::iter_prefix(epoch).count();
        next_epoch();
        next_epoch();
        assert_eq!(
            (kept(first), names(first), Batches::<Test>::iter_prefix(first).count()),
            ((true, true), 1, 1)
        );
        next_epoch();
        assert_eq!(
            (kept(first), names(first), Batches::<Test>::iter_prefix(first).count()),
            ((false, false), 0, 0)
        );
        assert_eq!(Epochs::<Test>::iter().count(), KEPT as usize);
    });
}

#[test]
fn standings_learn_once_an_epoch_when_no_order_of_it_can_settle() {
    run(|| {
        let first = open_lane();
        let batch = |from: u32| -> Vec<_> {
            (from..from + 10)
                .map(|index| certify(order(name(first, index), 1, 3), &Play::all(1, &[90; 3])))
                .collect()
        };
        let before: Vec<_> = NODES.map(|n| standing(n).quality).collect();
        assert_ok!(settle(batch(0)));
        assert_ok!(settle(batch(10)));
        let did = |n: u64| Tallies::<Test>::get(first, account(n)).answers.done;
        let duties: Vec<_> = NODES.map(did).collect();
        assert_eq!(duties.iter().sum::<u32>(), 20);
        next_epoch();
        assert_eq!(
            NODES.map(|n| standing(n).quality).collect::<Vec<_>>(),
            before,
            "the epoch can still settle"
        );
        next_epoch();
        for ((n, before), duties) in NODES.zip(before).zip(duties) {
            let mut learned = before;
            for _ in 0..duties.min(16) {
                let way = 900_000 - learned.deconstruct();
                learned = sp_runtime::Permill::from_parts(learned.deconstruct() + way / 16);
            }
            let got = standing(n).quality.deconstruct();
            assert!(
                got.abs_diff(learned.deconstruct()) <= 16,
                "{n}: {got} is not {learned:?} after {duties}"
            );
            assert_eq!(did(n), 0);
        }
    });
}

#[test]
fn orders_settle_in_their_epoch_and_the_next() {
    run(|| {
        let first = open_lane();
        let certificate = |index| certify(order(name(first, index), 1, 3), &Play::all(1, &[50; 3]));
        let (now, later, late) = (certificate(0), certificate(1), certificate(2));
        assert_eq!(refusal(now), None);
        next_epoch();
        assert_eq!(refusal(later), None);
        next_epoch();
        assert_eq!(refusal(late), Some(Refusal::WrongEpoch));
        let mut early = order(OrderName { epoch: first + 3, ..name(first, 0) }, 1, 3);
        early.name.epoch = first + 3;
        let mut certificate = certify(order(name(first + 2, 0), 1, 3), &Play::all(1, &[50; 3]));
        certificate.order = early;
        assert_eq!(refusal(certificate), Some(Refusal::WrongEpoch));
    });
}
