//! Slashing: for what, how much, and to whom it goes.

use crate::{mock::*, *};
use sp_runtime::Permill;

fn set(parameters: ParametersOf<Test>) {
    Poq::set_parameters(RuntimeOrigin::root(), parameters).unwrap();
}

fn operator(n: u64) -> Operator<Test> {
    Operators::<Test>::get(account(n)).unwrap()
}

fn slashes() -> Vec<(u64, RequestId, Balance, SlashReason)> {
    events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Slashed { operator, request, amount, reason } => {
                Some((operator_number(&operator), request, amount, reason))
            }
            _ => None,
        })
        .collect()
}

fn compensations() -> Vec<(u64, RequestId, Balance)> {
    events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Compensated { who, request, amount } => Some((account_index(&who), request, amount)),
            _ => None,
        })
        .collect()
}

fn is_listed(model: ModelId, n: u64) -> bool {
    rosters::is_enlisted::<Test>(&model, &account(n))
}

/// Takes all but `left` of a stake at work without touching the roster, as a slash does.
fn slash_to(n: u64, left: Balance) {
    let amount = operator(n).stake - left;
    let credit = operators::slash::<Test>(&account(n), 0, amount, SlashReason::NotCommitted);
    money::pay_slash_handler::<Test>(credit);
}

#[test]
fn every_silence_has_its_event_with_its_reason() {
    build_and_execute(|| {
        let id = ask_and_draw(Terms { responders: 3, ..terms() });
        let nodes = responders(id);
        // The first never commits, the second never reveals.
        commit_output(nodes[1], id, b"Lima").unwrap();
        commit_output(nodes[2], id, b"Lima").unwrap();
        run_until(|| matches!(phase(id), Phase::RevealingAnswers { .. }));
        reveal_output(nodes[2], id, b"Lima").unwrap();
        run_until(|| !committee(id).is_empty());
        let members = committee(id);
        for n in &members[1..] {
            commit_scores(*n, id, &[90]).unwrap();
        }
        run_until(|| matches!(phase(id), Phase::RevealingScores { .. }));
        for n in &members[2..] {
            reveal_scores(*n, id, &[90]).unwrap();
        }
        run_until(|| phase(id).is_closed());
        settled(id);
        let expected = [
            (nodes[0], id, 100, SlashReason::NotCommitted),
            (nodes[1], id, 100, SlashReason::NotRevealed),
            (members[0], id, 100, SlashReason::NotCommitted),
            (members[1], id, 100, SlashReason::NotRevealed),
        ];
        assert_eq!(slashes(), expected);
        for (n, ..) in expected {
            assert_eq!((operator(n).stake, operator(n).slashed, operator(n).missed), (1_900, 100, 1));
        }
        assert_eq!(compensations(), vec![], "nobody gains by another's silence");
        assert_eq!(Slashed::get(), 400);
    });
}

#[test]
fn silence_in_a_request_that_comes_to_nothing_pays_nobody_either() {
    build_and_execute(|| {
        set(Parameters { absence_slash: 2_000, ..PARAMETERS });
        let id = ask_and_draw(Terms { committee: 3, ..terms() });
        answer_all(id);
        let members = committee(id);
        for n in &members {
            commit_scores(*n, id, &[90, 90]).unwrap();
        }
        next_block();
        reveal_scores(members[0], id, &[90, 90]).unwrap();
        run_until(|| phase(id).is_closed());
        assert!(matches!(phase(id), Phase::Refunded { reason: RefundReason::NoQuorum, .. }));
        assert_eq!(slashes().len(), 2);
        assert_eq!(compensations(), vec![]);
        assert_eq!(Slashed::get(), 4_000);
        assert_eq!((operator(members[1]).stake, operator(members[1]).slashed), (0, 2_000));
    });
}

#[test]
fn a_slash_takes_no_more_than_there_is() {
    build_and_execute(|| {
        set(Parameters { absence_slash: 1_000_000, ..PARAMETERS });
        let id = ask_and_draw(Terms { responders: 1, ..terms() });
        let n = responders(id)[0];
        run_until(|| phase(id).is_closed());
        assert_eq!(slashes(), vec![(n, id, 2_000, SlashReason::NotCommitted)]);
        assert_eq!((operator(n).stake, held(n)), (0, 0));
        // Nothing is left to withdraw but a record to forget.
        Poq::withdraw(RuntimeOrigin::signed(account(n))).unwrap();
        assert!(!Operators::<Test>::contains_key(account(n)));
    });
}

#[test]
fn stake_on_its_way_out_is_slashed_after_stake_at_work() {
    build_and_execute(|| {
        set(Parameters { absence_slash: 1_600, ..PARAMETERS });
        let id = ask_and_draw(Terms { responders: 1, ..terms() });
        let n = responders(id)[0];
        Poq::unbond(RuntimeOrigin::signed(account(n)), 800).unwrap();
        Poq::unbond(RuntimeOrigin::signed(account(n)), 1_200).unwrap();
        assert_eq!(operator(n).stake, 0);
        Poq::bond(RuntimeOrigin::signed(account(n)), 1_000).unwrap();
        run_until(|| phase(id).is_closed());
        assert_eq!(operator(n).stake, 0);
        assert_eq!(operator(n).unbonding.unwrap().amount, 1_400);
        assert_eq!(held(n), 1_400);
        assert_eq!(slashes(), vec![(n, id, 1_600, SlashReason::NotCommitted)]);
    });
}

#[test]
fn who_falls_below_the_minimum_stays_listed_elsewhere_until_a_draw_comes_upon_it() {
    build_and_execute(|| {
        // Operator 3 serves both generators and is slashed for a duty with the first.
        register(3, worker(3), &[WEAK, STRONG]).unwrap();
        let weak = || Terms { generators: vec![WEAK].try_into().unwrap(), responders: 1, ..terms() };
        let strong = || Terms { generators: vec![STRONG].try_into().unwrap(), responders: 3, ..terms() };
        let id = ask_and_draw(weak());
        assert_eq!(responders(id), vec![3]);
        run_until(|| phase(id).is_closed());
        assert_eq!(operator(3).stake, 1_900);
        assert!(!is_listed(WEAK, 3), "struck out where it was slashed");
        assert!(is_listed(STRONG, 3), "a slash touches no other roster");

        let id = ask_and_draw(strong());
        assert_eq!(responders(id).len(), 2, "passed over");
        assert!(!is_listed(STRONG, 3), "and struck out");
        // Back when it is whole.
        Poq::bond(RuntimeOrigin::signed(account(3)), 100).unwrap();
        assert!(is_listed(WEAK, 3) && is_listed(STRONG, 3));
    });
}

#[test]
fn a_draw_that_comes_upon_too_many_of_them_is_done_again_in_the_next_block() {
    build_and_execute(|| {
        let id = ask(Terms { responders: 2, ..terms() });
        for n in 1..=3 {
            slash_to(n, 999);
        }
        run_to(3);
        assert_eq!(phase(id), Phase::Requested, "two unfit: cut short");
        assert_eq!((1..=3).filter(|n| is_listed(STRONG, *n) || is_listed(WEAK, *n)).count(), 1);
        assert_eq!(Requests::<Test>::get(id).unwrap().due, 4);
        next_block();
        assert!(matches!(phase(id), Phase::Refunded { reason: RefundReason::NoInferenceNode, .. }));
        assert!(Rosters::<Test>::get(STRONG).is_empty() && Rosters::<Test>::get(WEAK).is_empty());
        assert_eq!(balance(50), RICH);
    });
}

#[test]
fn a_committee_is_drawn_again_too_when_too_many_are_unfit() {
    build_and_execute(|| {
        let id = ask_and_draw(Terms { committee: 3, ..terms() });
        // Seven of ten cannot be drawn any more: sooner or later a draw comes upon three of them first.
        for n in 11..=17 {
            slash_to(n, 999);
        }
        for n in responders(id) {
            commit_output(n, id, b"Lima").unwrap();
        }
        next_block();
        for n in responders(id) {
            reveal_output(n, id, b"Lima").unwrap();
        }
        let mut cut_short = 0;
        let mut listed = 10;
        while committee(id).is_empty() {
            next_block();
            let left = Rosters::<Test>::get(JUDGE).len();
            assert!(left + 3 >= listed, "no more than were wanted are struck out at a time");
            if phase(id) == Phase::Selecting && left < listed {
                cut_short += 1;
                assert_eq!(listed - left, 3);
            }
            listed = left;
        }
        assert!(cut_short >= 1);
        let mut members = committee(id);
        members.sort_unstable();
        assert_eq!(members, vec![18, 19, 20]);
    });
}

/// The roster keeps whom the parameters in force allow; the request keeps its own. A draw must not wait for ever between
/// the two.
#[test]
fn a_minimum_that_was_lowered_strands_no_request() {
    build_and_execute(|| {
        let id = ask(Terms { responders: 1, ..terms() });
        set(Parameters { min_stake: 500, ..PARAMETERS });
        for n in 1..=3 {
            Poq::unbond(RuntimeOrigin::signed(account(n)), 1_400).unwrap();
        }
        run_to(10);
        assert_eq!(phase(id), Phase::Requested, "drawn again and again");
        run_to(11);
        assert!(matches!(phase(id), Phase::Refunded { reason: RefundReason::NoInferenceNode, at: 11 }));
        // For requests under the new minimum they serve.
        let id = ask_and_draw(Terms { responders: 3, ..terms() });
        assert_eq!(responders(id).len(), 3);
    });
}

#[test]
fn disagreement_and_reported_failures_are_not_slashed() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        let nodes = responders(id);
        let fail = || ReportKind::Fail { reason: poq_primitives::job::FailureReason::Internal };
        report(nodes[0], id, fail()).unwrap();
        commit_output(nodes[1], id, b"Lima").unwrap();
        next_block();
        reveal_output(nodes[1], id, b"Lima").unwrap();
        run_until(|| !committee(id).is_empty());
        let members = committee(id);
        report(members[0], id, fail()).unwrap();
        commit_scores(members[1], id, &[0]).unwrap();
        for n in &members[2..] {
            commit_scores(*n, id, &[100]).unwrap();
        }
        next_block();
        reveal_scores(members[1], id, &[0]).unwrap();
        for n in &members[2..] {
            reveal_scores(*n, id, &[100]).unwrap();
        }
        next_block();
        settled(id);
        assert_eq!(slashes(), vec![]);
        assert_eq!(operator(members[1]).recent[0].outcome, Outcome::Disagreed);
    });
}

#[test]
fn a_part_is_taken_of_all_that_is_on_hold_and_rounded_up() {
    build_and_execute(|| {
        Poq::unbond(RuntimeOrigin::signed(account(11)), 999).unwrap();
        let reason = SlashReason::GrossError { error: Permill::one() };
        let credit =
            operators::slash_part::<Test>(&account(11), 0, Permill::from_parts(1), Balance::MAX, reason);
        money::pay_slash_handler::<Test>(credit);
        assert_eq!(Slashed::get(), 1);
        let credit = operators::slash_part::<Test>(&account(11), 0, Permill::one(), 99, reason);
        money::pay_slash_handler::<Test>(credit);
        assert_eq!(Slashed::get(), 100, "no more than may be");
        let credit = operators::slash_part::<Test>(&account(11), 0, Permill::one(), Balance::MAX, reason);
        money::pay_slash_handler::<Test>(credit);
        assert_eq!((Slashed::get(), held(11)), (2_000, 0));
        assert_eq!(slashes().iter().map(|(.., amount, _)| *amount).collect::<Vec<_>>(), vec![1, 99, 1_900]);
    });
}
