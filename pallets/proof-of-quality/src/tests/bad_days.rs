//! Nobody comes, or too few: every state has an exit and no budget is stranded.

use crate::{mock::*, *};

fn refunded(id: RequestId) -> RefundReason {
    run_until(|| phase(id).is_closed());
    assert_eq!(held(50), 0);
    match phase(id) {
        Phase::Refunded { reason, .. } => reason,
        other => panic!("not refunded but {other:?}"),
    }
}

#[test]
fn no_seed_ever_comes() {
    build_and_execute(|| {
        FreshSeeds::set(false);
        let id = ask(terms());
        run_to(10);
        assert_eq!(phase(id), Phase::Requested);
        assert_eq!(refunded(id), RefundReason::NoRandomness);
        assert_eq!(balance(50), RICH);
    });
}

#[test]
fn no_seed_for_the_committee() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        for n in responders(id) {
            commit_output(n, id, b"Lima").unwrap();
        }
        FreshSeeds::set(false);
        next_block();
        for n in responders(id) {
            reveal_output(n, id, b"Lima").unwrap();
        }
        assert_eq!(refunded(id), RefundReason::NoRandomness);
        // What was revealed is paid, by the quality that its operators are known for: all of the share.
        assert_eq!(balance(50), RICH - 200 - 2 * 4_645);
    });
}

#[test]
fn all_inference_nodes_leave_before_the_draw() {
    build_and_execute(|| {
        let id = ask(terms());
        for n in 1..=3 {
            Poq::chill(RuntimeOrigin::signed(account(n))).unwrap();
        }
        assert_eq!(refunded(id), RefundReason::NoInferenceNode);
    });
}

#[test]
fn no_inference_node_commits() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        let drawn = responders(id);
        assert_eq!(refunded(id), RefundReason::NoCommitment);
        assert_eq!((balance(50), Fees::get()), (RICH - 200, 200), "the fee is owed once anybody was drawn");
        for n in drawn {
            let operator = Operators::<Test>::get(account(n)).unwrap();
            assert_eq!((operator.stake, operator.slashed, operator.missed), (1_900, 100, 1));
            assert_eq!(operator.recent[0].outcome, Outcome::NotCommitted);
        }
        assert_eq!(Slashed::get(), 200);
    });
}

#[test]
fn a_sole_responder_stays_away() {
    build_and_execute(|| {
        let id = ask_and_draw(Terms { responders: 1, ..terms() });
        assert_eq!(refunded(id), RefundReason::NoOutput);
    });
}

#[test]
fn nobody_shows_an_output() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        for n in responders(id) {
            commit_output(n, id, b"Lima").unwrap();
        }
        assert_eq!(refunded(id), RefundReason::NoOutput);
        assert_eq!((balance(50), Slashed::get()), (RICH - 200, 200));
    });
}

#[test]
fn one_of_two_stays_away_and_the_other_is_scored() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        let (a, b) = (responders(id)[0], responders(id)[1]);
        commit_output(b, id, b"Lima").unwrap();
        run_until(|| matches!(phase(id), Phase::RevealingAnswers { .. }));
        reveal_output(b, id, b"Lima").unwrap();
        run_until(|| !committee(id).is_empty());
        score_all(id, &[100]);
        let (best, _, paid, fee, refund) = settled(id);
        assert_eq!(best, 1);
        assert_eq!(paid + fee + refund, 10_000);
        // The share of the absent goes back to the requester, not to the other.
        assert_eq!(Operators::<Test>::get(account(b)).unwrap().earned, 9_290 / 2);
        assert_eq!(Operators::<Test>::get(account(a)).unwrap().slashed, 100);
    });
}

#[test]
fn the_committee_is_redrawn_once_without_the_absentees() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        answer_all(id);
        let first = committee(id);
        // Two of five commit and would reveal: no quorum.
        for n in &first[..2] {
            commit_scores(*n, id, &[90, 90]).unwrap();
        }
        run_until(|| Requests::<Test>::get(id).unwrap().round == 1);
        for n in &first[2..] {
            assert_eq!(Operators::<Test>::get(account(*n)).unwrap().slashed, 100);
        }
        run_until(|| !committee(id).is_empty());
        let second = committee(id);
        assert_eq!(second.len(), 5);
        // Who committed did not get to reveal: it is not drawn again either, but not slashed.
        assert!(first.iter().all(|n| !second.contains(n)), "{first:?} {second:?}");
        assert_eq!(Operators::<Test>::get(account(first[0])).unwrap().slashed, 0);
        assert_eq!(Operators::<Test>::get(account(first[0])).unwrap().recent[0].outcome, Outcome::Dismissed);
        score_all(id, &[90, 90]);
        settled(id);
    });
}

#[test]
fn no_second_committee_sees_the_scores_of_the_first() {
    build_and_execute(|| {
        let parameters = Parameters { base_pay: sp_runtime::Permill::from_percent(50), ..PARAMETERS };
        Poq::set_parameters(RuntimeOrigin::root(), parameters).unwrap();
        let id = ask_and_draw(terms());
        answer_all(id);
        let members = committee(id);
        for n in &members {
            commit_scores(*n, id, &[90, 90]).unwrap();
        }
        next_block();
        for n in &members[..2] {
            reveal_scores(*n, id, &[90, 90]).unwrap();
        }
        assert_eq!(refunded(id), RefundReason::NoQuorum);
        assert_eq!(Requests::<Test>::get(id).unwrap().round, 0);
        // Who revealed is paid the base of its share of 102, by the requester.
        let operator = |n| Operators::<Test>::get(account(n)).unwrap();
        assert_eq!((operator(members[0]).earned, operator(members[1]).earned), (51, 51));
        assert_eq!(operator(members[4]).recent[0].outcome, Outcome::NotRevealed);
        assert_eq!(balance(50), RICH - 200 - 2 * 4_645 - 102);
        assert_eq!(Slashed::get(), 300);
    });
}

#[test]
fn two_committees_stay_away() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        let drawn = responders(id);
        answer_all(id);
        assert_eq!(refunded(id), RefundReason::NoQuorum);
        // The inference nodes did their work and are paid for it; what silence costs goes to nobody.
        let earned: Balance = drawn.iter().map(|n| Operators::<Test>::get(account(*n)).unwrap().earned).sum();
        assert_eq!(earned, 9_290);
        assert_eq!(balance(50), RICH - 9_290 - 200);
        assert_eq!(Slashed::get(), 1_000);
    });
}

#[test]
fn too_few_are_left_for_a_second_committee() {
    build_and_execute(|| {
        for n in 16..=20 {
            Poq::chill(RuntimeOrigin::signed(account(n))).unwrap();
        }
        let id = ask_and_draw(terms());
        answer_all(id);
        assert_eq!(refunded(id), RefundReason::NoCommittee);
    });
}

#[test]
fn an_operator_slashed_below_the_minimum_is_drawn_no_more() {
    build_and_execute(|| {
        Poq::unbond(RuntimeOrigin::signed(account(3)), 1_000).unwrap();
        for n in 1..=2 {
            Poq::chill(RuntimeOrigin::signed(account(n))).unwrap();
        }
        let id = ask_and_draw(Terms { responders: 1, ..terms() });
        assert_eq!(refunded(id), RefundReason::NoOutput);
        assert_eq!(Operators::<Test>::get(account(3)).unwrap().stake, 900);
        assert!(Rosters::<Test>::get(WEAK).is_empty());
        Poq::bond(RuntimeOrigin::signed(account(3)), 100).unwrap();
        assert_eq!(Rosters::<Test>::get(WEAK).len(), 1, "and again once it is whole");
    });
}
