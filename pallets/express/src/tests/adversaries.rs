//! Parties that would cheat, each as well as it can: a requester that chooses its committee, an owner that praises itself, a settler that
//! shortens pay, a requester whose deposit is too small for what it had served.

use super::escalation::{escalate_with, escalated, order_of, parts, show, PROMPT};
use crate::{mock::*, *};
use frame_support::assert_ok;
use pallet_proof_of_quality::{Experience, Phase, Standing};
use poq_primitives::express::{messages, Epoch, Fault, Order, OrderName, ResponderPart, ScorerPart};
use proptest::prelude::*;
use sp_runtime::Permill;
use std::collections::BTreeSet;

/// The quality validators that scored, by their numbers. Salts in the mock are made of them.
fn members(certificate: &CertificateOf<Test>) -> Vec<u64> {
    let number = |part: &ScorerPart| match part {
        ScorerPart::Revealed(scores) => Some(u64::from(scores.salt[0])),
        _ => None,
    };
    certificate.members.iter().filter_map(number).collect()
}

/// Settles a certificate and returns what it cost its channel.
fn cost(certificate: CertificateOf<Test>) -> Balance {
    let channel = certificate.order.name.channel;
    let balance = || Channels::<Test>::get(channel).unwrap().balance;
    let before = balance();
    assert_eq!(refusal(certificate), None);
    before - balance()
}

// ---------------------------------------------------------------- a requester that chooses its committee

/// The certificate of an order whose responder at `out` did its work and is called absent.
fn without(order: &Order<Balance>, out: Option<usize>) -> CertificateOf<Test> {
    let mut play = Play::all(order.responders.into(), &[100; 3]);
    if let Some(out) = out {
        play.answers[out] = None;
    }
    certify(order.clone(), &play)
}

#[test]
fn who_calls_a_responder_absent_has_another_committee_and_saves_nothing() {
    run(|| {
        let epoch = open_lane();
        let one = order(name(epoch, 0), 3, 3);
        let choice: BTreeSet<_> =
            [None, Some(0), Some(1), Some(2)].map(|out| members(&without(&one, out))).into();
        assert!(choice.len() > 1, "there is something to choose");
        let whole = cost(without(&one, None));
        go_late(epoch);
        for (index, out) in (1..).zip(0..3) {
            let slashed = Slashed::get();
            assert_eq!(cost(without(&order(name(epoch, index), 3, 3), Some(out))), whole);
            // A third of what answers can earn.
            assert!(Slashed::get() - slashed >= (whole - 40 - 30) / 3);
        }
    });
}

#[test]
fn a_responder_that_was_left_out_can_escalate_and_is_paid_by_quality() {
    run(|| {
        let epoch = open_lane();
        let order = order_of(name(epoch, 0), 2);
        let cheat = without(&order, Some(1));
        // It has its own commitment, and knows nothing of the other's.
        let (drawn, own) = parts(&order, &[1]);
        assert_ok!(escalate_with(&order, PROMPT, own));
        let id = escalated();
        assert_eq!(refusal(cheat), Some(Refusal::NameUsed), "the chosen committee does not count");
        let phase = || pallet_proof_of_quality::Requests::<Test>::get(id).unwrap().phase;
        while !matches!(phase(), Phase::RevealingAnswers { .. }) {
            next_block();
        }
        assert_ok!(show(id, &order.name, drawn[1], &text(drawn[1])));
        score_on_chain(id, 80);
        let responses = pallet_proof_of_quality::Responses::<Test>::get(id);
        let paid = responses.iter().find(|part| part.operator == account(drawn[1])).unwrap().paid;
        assert_eq!(paid, 80 * 965 / 100, "as on the lane");
    });
}

#[test]
fn a_certificate_without_a_responder_leaves_it_the_time_to_escalate() {
    run(|| {
        let epoch = open_lane();
        let order = order_of(name(epoch, 0), 2);
        let cheat = without(&order, Some(1));
        assert_eq!(refusal(cheat.clone()), Some(Refusal::TooEarly));
        while CurrentEpoch::<Test>::get() == epoch {
            next_block();
        }
        assert_eq!(refusal(cheat.clone()), Some(Refusal::TooEarly));
        let (_, own) = parts(&order, &[1]);
        assert_ok!(escalate_with(&order, PROMPT, own));
        go_late(epoch);
        assert_eq!(refusal(cheat), Some(Refusal::NameUsed));
    });
}

// ---------------------------------------------------------------- an owner that praises itself

/// The node and the quality validators of one owner: 15 of 20.
const OWN_NODE: u64 = 1;
const OWN_SCORERS: std::ops::RangeInclusive<u64> = 11..=25;

/// Certificates of as many orders as an epoch has, all parties of which belong to one owner and praise it. Among themselves they need no
/// proofs of VRFs, so they try outputs until the draw is theirs.
fn praise(epoch: Epoch) -> Vec<CertificateOf<Test>> {
    let all_own = |index| {
        let orders = (0u32..).map(|luck| {
            let first_draw = sp_io::hashing::blake2_256(&luck.to_le_bytes());
            Order { first_draw, ..order(name(epoch, index), 1, 3) }
        });
        let mut of_node = orders.filter(|order| responders_of(order) == [OWN_NODE]);
        let is_own = |one: &CertificateOf<Test>| members(one).iter().all(|n| OWN_SCORERS.contains(n));
        of_node.find_map(|order| Some(certify(order, &Play::all(1, &[100; 3]))).filter(is_own)).unwrap()
    };
    (0..20).map(all_own).collect()
}

/// Settles praise and lets standings learn from it. Returns what it cost the owner.
fn praise_oneself() -> Balance {
    let epoch = open_lane();
    let (balance, mut praise) = (channel_balance(), praise(epoch));
    let rest = praise.split_off(16);
    assert_ok!(settle(praise));
    assert_ok!(settle(rest));
    let names = Tallies::<Test>::get(epoch, account(OWN_NODE)).answers.done;
    assert_eq!(names, 20, "all were settled");
    next_epoch();
    next_epoch();
    // Whoever earned belongs to the owner.
    balance - channel_balance() - all_earned()
}

/// The floor, after so many steps of the best experiences.
fn best_after(steps: usize) -> Standing {
    let mut standing = PARAMETERS.floor;
    for _ in 0..steps {
        for best in [Experience::Answered(Some(Permill::one())), Experience::Scored(Some(Permill::one()))] {
            standing.learn(best, PARAMETERS.rise, PARAMETERS.fall);
        }
    }
    standing
}

#[test]
fn who_praises_itself_pays_the_fees_and_gains_sixteen_steps_an_epoch() {
    run(|| {
        let paid = praise_oneself();
        assert_eq!(paid, 20 * 40);
        assert_eq!(paid, Fees::get());
        let node = standing(OWN_NODE);
        assert_eq!(node.quality, best_after(16).quality, "20 orders are 16 steps");
        assert!(node.quality < Permill::from_percent(75));
        for n in OWN_SCORERS {
            let scorer = standing(n);
            assert_eq!(scorer.veracity, PARAMETERS.floor.veracity, "that needs audits");
            assert!(scorer.agreement <= best_after(16).agreement);
        }
    });
}

#[test]
fn who_praises_itself_is_trusted_at_most_twice_as_a_newcomer() {
    run(|| {
        praise_oneself();
        let trust = |standing: Standing| standing.trust(&PARAMETERS.floor).deconstruct();
        let newcomer = trust(PARAMETERS.floor);
        for n in OWN_SCORERS {
            let praised = trust(standing(n));
            assert!(praised <= 2 * newcomer, "{praised} of {newcomer}: veracity needs audits");
        }
    });
}

#[test]
fn whoever_sees_a_draw_without_a_proof_can_make_it_dear() {
    run(|| {
        let epoch = open_lane();
        let false_one = praise(epoch).remove(0);
        let (order, signature) = (false_one.order.clone(), false_one.signature);
        assert_eq!(refusal(false_one), None);
        let name = order.name;
        assert_ok!(Express::challenge_vrf(signed(ASKER + 2), public(ASKER), order, Use::First(signature)));
        for _ in 0..6 {
            next_block();
        }
        assert_ok!(Express::punish_unproven(signed(9), public(ASKER), name, Draw::First));
        // More than all the fees of an epoch.
        assert_eq!(Channels::<Test>::get(0).unwrap().forfeited, MOST);
        assert_eq!(free(ASKER + 2), RICH, "and it costs who doubts nothing");
    });
}

// ---------------------------------------------------------------- a settler that shortens pay

/// A certificate with four reveals, and the same with the last one left out and its commitment in the set. With the member's number.
fn hide_last(name: OrderName) -> (CertificateOf<Test>, CertificateOf<Test>, u64) {
    let whole = certify(order(name, 1, 4), &Play::all(1, &[50; 4]));
    let ResponderPart::Answered(answer) = &whole.responders[0] else { panic!("it has answered") };
    let digest = whole.order.digest(&GENESIS);
    let answers = messages::answers(&GENESIS, &digest, &[Some((answer.output, true))]);
    let ScorerPart::Revealed(reveal) = &whole.members[3] else { panic!("it has revealed") };
    let n = members(&whole)[3];
    let commitment = messages::score_commitment(&GENESIS, &answers, &public(n), &reveal.scores, &reveal.salt);
    let mut short = whole.clone();
    short.members[3] = ScorerPart::Committed(commitment);
    (whole, short, n)
}

#[test]
fn a_settler_cannot_call_a_member_of_the_set_anything_else() {
    run(|| {
        let (whole, _, _) = hide_last(name(open_lane(), 0));
        let ScorerPart::Revealed(reveal) = whole.members[3].clone() else { panic!("it has revealed") };
        let with = |part: Option<ScorerPart>| {
            let mut certificate = whole.clone();
            certificate.members.truncate(3);
            certificate.members.extend(part);
            refusal(certificate)
        };
        let is = |fault| Some(Refusal::Certificate(fault));
        assert_eq!(with(None), is(Fault::Members));
        // The others have revealed under a set that it is in.
        assert_eq!(with(Some(ScorerPart::Absent)), is(Fault::MemberSignature));
        assert_eq!(with(Some(ScorerPart::Busy(reveal.signature))), is(Fault::MemberSignature));
        let mut others = reveal.clone();
        others.scores[0] = Permill::zero();
        assert_eq!(with(Some(ScorerPart::Revealed(others))), is(Fault::MemberSignature));
        assert_eq!(with(Some(ScorerPart::Revealed(reveal))), None);
    });
}

#[test]
fn a_member_that_was_left_out_settles_the_whole_and_is_paid() {
    run(|| {
        let epoch = open_lane();
        let (whole, short, n) = hide_last(name(epoch, 0));
        assert_eq!(refusal(short.clone()), Some(Refusal::TooEarly));
        // By anybody, so by the member.
        assert_ok!(Express::settle_batch(signed(n), frame_support::BoundedVec::truncate_from(vec![whole])));
        assert_eq!(earned(n), 10);
        go_late(epoch);
        assert_eq!(refusal(short), Some(Refusal::NameUsed));
    });
}

#[test]
fn a_settler_that_leaves_a_reveal_out_saves_nobody_anything() {
    run(|| {
        let epoch = open_lane();
        let ((whole, ..), (_, short, n)) = (hide_last(name(epoch, 0)), hide_last(name(epoch, 1)));
        let dear = cost(whole);
        let (before, slashed) = (earned(n), Slashed::get());
        go_late(epoch);
        assert_eq!(cost(short), dear);
        assert_eq!((earned(n) - before, Slashed::get() - slashed), (0, 10), "nobody has what it lost");
    });
}

// ---------------------------------------------------------------- a deposit that is too small

/// The channel of the second requester, with a deposit for two orders, and an epoch in which it has orders.
fn open_small_channel() -> Epoch {
    open_lane();
    assert_ok!(Express::open_channel(signed(ASKER + 1), public(ASKER + 1), 2 * MOST, MOST, 20));
    next_epoch()
}

/// An order of that channel that costs all that one can.
fn dear(epoch: Epoch, index: u32) -> CertificateOf<Test> {
    let name = OrderName { channel: 1, epoch, index };
    certify(Order { budget: MOST, ..order(name, 1, 3) }, &Play::all(1, &[100; 3]))
}

fn left() -> Balance {
    Channels::<Test>::get(1).unwrap().balance
}

#[test]
fn a_small_deposit_pays_who_comes_first_and_the_rest_when_it_grows() {
    run(|| {
        let epoch = open_small_channel();
        let served: Vec<_> = (0..4).map(|index| dear(epoch, index)).collect();
        System::reset_events();
        assert_ok!(settle(served.clone()));
        let refused = events().into_iter().filter_map(|event| match event {
            Event::OrderRefused { name, refusal } => Some((name.index, refusal)),
            _ => None,
        });
        let too_small = Refusal::DepositTooSmall;
        assert_eq!(refused.collect::<Vec<_>>(), [(2, too_small), (3, too_small)]);
        assert_eq!(left() + all_earned() + Fees::get() + Slashed::get(), 2 * MOST);
        assert_ok!(Express::do_check());
        // A refused order has not used its name.
        assert_ok!(Express::top_up(signed(ASKER + 1), 1, 2 * MOST));
        assert_ok!(settle(served[2..].to_vec()));
        assert_eq!(left() + all_earned() + Fees::get() + Slashed::get(), 4 * MOST);
        assert!(left() < MOST);
    });
}

#[test]
fn a_closed_channel_pays_what_was_served_before_its_owner() {
    run(|| {
        let epoch = open_small_channel();
        assert_ok!(Express::close_channel(signed(ASKER + 1), 1));
        let before = free(ASKER + 1);
        next_epoch();
        assert!(Express::release_channel(signed(ASKER + 1), 1).is_err());
        let spent = cost(dear(epoch, 0));
        next_epoch();
        assert_ok!(Express::release_channel(signed(ASKER + 1), 1));
        assert_eq!(free(ASKER + 1) - before, 2 * MOST - spent);
    });
}

#[test]
fn orders_that_the_deposit_does_not_cover_take_nothing_from_those_that_it_does() {
    run(|| {
        let epoch = open_small_channel();
        // Served as the rule says: the balance covers indices 0 and 1.
        let honest = [0, 1].map(|index| dear(epoch, index));
        // Made by the requester's own operators, of indices that nobody else would serve.
        for index in [5, 6] {
            assert_eq!(refusal(dear(epoch, index)), Some(Refusal::DepositTooSmall));
        }
        for certificate in honest {
            assert_eq!(refusal(certificate), None);
        }
    });
}

/// What a channel's parties do: an operator serves an index, the requester's friends settle one, or the epoch ends.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Serve(u32),
    Settle { index: u32, is_late: bool },
    End,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let settle = (0..3u32, any::<bool>()).prop_map(|(index, is_late)| Deed::Settle { index, is_late });
    let deed = prop_oneof![3 => (0..3u32).prop_map(Deed::Serve), 3 => settle, 1 => Just(Deed::End)];
    proptest::collection::vec(deed, 1..40)
}

/// Settles a name at the highest price, if the deposit covers it; whether it did.
fn spends(name: &OrderName) -> bool {
    let covered = channels::of_order::<Test>(name).is_ok_and(|channel| channels::covers(&channel, name));
    if covered {
        channels::spend::<Test>(name, MOST);
        // As operators would claim it at once.
        assert_ok!(money::pay_out::<Test>(&account(ASKER + 2), MOST));
    }
    covered
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("POQ_QUICK").is_some() { 16 } else { 128 }))]

    /// Whoever serves what the deposit covers is paid as long as the order can settle, whatever else is settled before.
    #[test]
    fn what_was_covered_when_it_was_served_can_be_paid(deeds in deeds()) {
        run(|| {
            open_lane();
            assert_ok!(Express::open_channel(signed(ASKER + 1), public(ASKER + 1), 8 * MOST, MOST, 3));
            next_epoch();
            let name = |epoch, index| OrderName { channel: 1, epoch, index };
            let mut served: BTreeSet<OrderName> = BTreeSet::new();
            for deed in deeds.into_iter().chain([Deed::End, Deed::End]) {
                let now = CurrentEpoch::<Test>::get();
                match deed {
                    Deed::Serve(index) => {
                        let name = name(now, index);
                        let channel = channels::of_order::<Test>(&name);
                        if channel.is_ok_and(|channel| channels::covers(&channel, &name)) {
                            served.insert(name);
                        }
                    }
                    Deed::Settle { index, is_late } => {
                        let name = name(now - u32::from(is_late), index);
                        if spends(&name) {
                            served.remove(&name);
                        }
                    }
                    Deed::End => {
                        // The last blocks in which those of the epoch before can settle.
                        let due: Vec<_> = served.iter().filter(|name| name.epoch < now).copied().collect();
                        for name in due {
                            assert!(spends(&name), "{name:?} was served and is not paid");
                            served.remove(&name);
                        }
                        next_epoch();
                    }
                }
            }
            assert!(served.is_empty());
        });
    }
}
