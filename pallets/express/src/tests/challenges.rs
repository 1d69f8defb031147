use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok};
use poq_primitives::express::{
    draw::{vrf_input, ANSWER_VRF, RESPONDER_VRF, SCORE_VRF, VRF_LABEL},
    messages, second_draw_hash, Order, OrderName,
};
use sp_core::{crypto::VrfSecret, sr25519::vrf::VrfTranscript};

/// Output and proof of the VRF of key `n`.
fn vrf(n: u64, domain: &[u8], name: &OrderName) -> ([u8; 32], [u8; 64]) {
    let input = vrf_input(domain, &GENESIS, name);
    let signature = pair(n).vrf_sign(&VrfTranscript::new(VRF_LABEL, &[(b"input", &input)]).into_sign_data());
    let bytes = codec::Encode::encode(&signature);
    (bytes[..32].try_into().unwrap(), bytes[32..].try_into().unwrap())
}

/// An order with the draws that its key must make.
fn honest(name: OrderName) -> Order<Balance> {
    let (first_draw, _) = vrf(ASKER, ANSWER_VRF, &name);
    let second_draw = second_draw_hash(&GENESIS, &name, &vrf(ASKER, SCORE_VRF, &name).0);
    Order { first_draw, second_draw, ..order(name, 1, 3) }
}

fn signature(order: &Order<Balance>) -> Signature {
    sign(ASKER, &order.digest(&GENESIS))
}

fn answered(order: &Order<Balance>, n: u64, vrf: [u8; 32]) -> Use {
    let output = [6; 32];
    let digest = messages::answer(&GENESIS, &order.digest(&GENESIS), &public(n), &output, &vrf);
    Use::Responder { output, vrf, signature: sign(n, &digest) }
}

const DOUBTER: u64 = ASKER + 2;

fn challenge(key: u64, order: &Order<Balance>, usage: Use) -> sp_runtime::DispatchResult {
    frame_support::storage::with_storage_layer(|| {
        Express::challenge_vrf(signed(DOUBTER), public(key), order.clone(), usage)
    })
}

#[test]
fn who_has_the_proof_keeps_its_stake_and_has_the_bond() {
    run(|| {
        let name = name(open_lane(), 0);
        let order = honest(name);
        let before = (free(DOUBTER), channel_balance());
        let second = vrf(ASKER, SCORE_VRF, &name).0;
        let own = vrf(3, RESPONDER_VRF, &name).0;
        let uses = [
            (ASKER, Use::First(signature(&order)), Draw::First, ANSWER_VRF),
            (ASKER, Use::Second(signature(&order), second), Draw::Second, SCORE_VRF),
            (3, answered(&order, 3, own), Draw::Responder, RESPONDER_VRF),
        ];
        for (key, usage, draw, domain) in uses {
            assert_ok!(challenge(key, &order, usage.clone()));
            assert_noop!(challenge(key, &order, usage), Error::<Test>::AlreadyChallenged);
            let answer = |proof| Express::answer_challenge(signed(9), public(key), name, draw, proof);
            let others = [ANSWER_VRF, SCORE_VRF, RESPONDER_VRF].into_iter().filter(|other| *other != domain);
            for other in others {
                assert_noop!(answer(vrf(key, other, &name).1), Error::<Test>::NotAProof);
            }
            assert_noop!(answer([255; 64]), Error::<Test>::NotAProof);
            assert_ok!(answer(vrf(key, domain, &name).1));
            assert_noop!(answer(vrf(key, domain, &name).1), Error::<Test>::NoChallenge);
        }
        assert_eq!(before.0 - free(DOUBTER), 3 * 300);
        assert_eq!(channel_balance() - before.1, 2 * 300);
        assert_eq!(earned(3), 300);
    });
}

#[test]
fn who_has_none_is_punished_and_the_bond_goes_back() {
    run(|| {
        let epoch = open_lane();
        let before = free(DOUBTER);
        let mut false_first = honest(name(epoch, 0));
        false_first.first_draw = [1; 32];
        let mut false_second = honest(name(epoch, 1));
        false_second.second_draw = second_draw_hash(&GENESIS, &false_second.name, &[1; 32]);
        let third = honest(name(epoch, 2));
        let cases = [
            (ASKER, &false_first, Use::First(signature(&false_first)), Draw::First),
            (ASKER, &false_second, Use::Second(signature(&false_second), [1; 32]), Draw::Second),
            (3, &third, answered(&third, 3, [1; 32]), Draw::Responder),
        ];
        for (key, order, usage, draw) in &cases {
            assert_ok!(challenge(*key, order, usage.clone()));
            let punish = || Express::punish_unproven(signed(9), public(*key), order.name, *draw);
            // In the last block of its time it can still answer.
            for _ in 0..5 {
                next_block();
            }
            assert_noop!(punish(), Error::<Test>::StillAnswerable);
            next_block();
            assert_ok!(punish());
            assert_noop!(punish(), Error::<Test>::NoChallenge);
            assert_noop!(challenge(*key, order, usage.clone()), Error::<Test>::Punished);
        }
        assert_eq!(free(DOUBTER), before);
        let channel = Channels::<Test>::get(0).unwrap();
        assert_eq!((channel.balance, channel.forfeited, channel.last), (DEPOSIT, 2 * MOST, Some(epoch)));
        assert_eq!(Slashed::get(), 800);
    });
}

#[test]
fn only_a_use_can_be_doubted() {
    run(|| {
        let epoch = open_lane();
        let order = honest(name(epoch, 0));
        let forged = Use::First(sign(1, &order.digest(&GENESIS)));
        assert_noop!(challenge(ASKER, &order, forged.clone()), Error::<Test>::NotAProof);
        assert_noop!(challenge(1, &order, forged), Error::<Test>::UnknownKey);
        let another = Use::Second(signature(&order), [1; 32]);
        assert_noop!(challenge(ASKER, &order, another), Error::<Test>::NotAProof);
        let unsigned = match answered(&order, 3, [1; 32]) {
            Use::Responder { output, signature, .. } => Use::Responder { output, vrf: [2; 32], signature },
            _ => unreachable!(),
        };
        assert_noop!(challenge(3, &order, unsigned), Error::<Test>::NotAProof);
        assert_noop!(challenge(90, &order, answered(&order, 90, [1; 32])), Error::<Test>::UnknownKey);
        for _ in 0..3 {
            next_epoch();
        }
        assert_noop!(challenge(ASKER, &order, Use::First(signature(&order))), Error::<Test>::TooOld);
    });
}

#[test]
fn a_challenge_that_outlives_its_epoch_and_its_channel_leaves_nothing() {
    run(|| {
        let epoch = open_lane();
        assert_ok!(Express::close_channel(signed(ASKER), 0));
        let mut order = honest(name(epoch, 0));
        order.first_draw = [1; 32];
        next_epoch();
        next_epoch();
        assert_ok!(challenge(ASKER, &order, Use::First(signature(&order))));
        assert_ok!(Express::release_channel(signed(ASKER), 0));
        for _ in 0..3 {
            next_epoch();
        }
        // Nobody is left to be punished, but the bond goes back.
        assert_ok!(Express::punish_unproven(signed(9), public(ASKER), order.name, Draw::First));
        assert_eq!(Challenges::<Test>::iter().count(), 0);
        assert_eq!(free(DOUBTER), RICH);
        assert_eq!(UsedNames::<Test>::iter().count() + Offences::<Test>::iter().count(), 0);
    });
}
