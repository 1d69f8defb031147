//! Both edges of every window: its first block, its last, and one block beyond.
//!
//! A phase entered in block `b` with a window of `w` takes reports in blocks `b` to `b + w`. In the mock a generator's and an
//! evaluator's windows are 5 blocks to commit and 3 to reveal.

use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok, weights::Weight};
use poq_primitives::commitment;
use sp_runtime::Permill;

fn now() -> u64 {
    System::block_number()
}

/// Does `act` in the first and in the last block of a window of `length` blocks, and shows that one block later it is too
/// late, even while the agenda has no room to close the phase.
///
/// `reach` brings a request to the first block of the window and returns it with the two operators who act.
fn edges(
    length: u64,
    reach: impl Fn() -> (RequestId, u64, u64),
    until: impl Fn(Phase<u64>) -> u64,
    act: impl Fn(u64, RequestId) -> sp_runtime::DispatchResult,
) {
    build_and_execute(|| {
        let (id, first, last) = reach();
        assert_eq!(
            until(phase(id)),
            now() + length,
            "the window opens in the block in which the phase is entered"
        );
        assert_ok!(act(first, id));
        run_to(until(phase(id)));
        assert_ok!(act(last, id));
    });
    build_and_execute(|| {
        let (id, _, late) = reach();
        let entered = phase(id);
        run_to(until(entered) + 1);
        assert_ne!(phase(id), entered, "with room in the block the phase is over");
        assert!(act(late, id).is_err());
    });
    build_and_execute(|| {
        let (id, _, late) = reach();
        let entered = phase(id);
        AgendaWeightOf::set(Weight::zero());
        run_to(until(entered) + 1);
        assert_eq!(phase(id), entered, "without room it waits");
        assert_noop!(act(late, id), Error::<Test>::TooLate);
        let fail = ReportKind::Fail { reason: poq_primitives::job::FailureReason::Internal };
        assert_noop!(report(late, id, fail), Error::<Test>::TooLate);
        AgendaWeightOf::set(Weight::MAX);
    });
}

/// A request in the block in which its inference nodes are drawn.
fn drawn() -> (RequestId, u64, u64) {
    let id = ask_and_draw(terms());
    (id, responders(id)[0], responders(id)[1])
}

/// A request in the block in which the commitments are closed: that of the last of them.
fn opened() -> (RequestId, u64, u64) {
    let (id, first, last) = drawn();
    commit_output(first, id, b"Lima").unwrap();
    commit_output(last, id, b"Lima").unwrap();
    (id, first, last)
}

fn scoring() -> (RequestId, u64, u64) {
    let id = ask_and_draw(terms());
    answer_all(id);
    (id, committee(id)[0], committee(id)[4])
}

fn revealing() -> (RequestId, u64, u64) {
    let (id, first, last) = scoring();
    for n in committee(id) {
        commit_scores(n, id, &[80, 80]).unwrap();
    }
    (id, first, last)
}

/// What `on_idle` does at the end of a block.
fn end_block() {
    use frame_support::traits::Hooks;
    Poq::on_idle(now(), Weight::MAX);
}

#[test]
fn answering() {
    let until = |phase| match phase {
        Phase::Answering { until } => until,
        other => panic!("{other:?}"),
    };
    edges(5, drawn, until, |n, id| commit_output(n, id, b"Lima"));
}

#[test]
fn revealing_answers() {
    let until = |phase| match phase {
        Phase::RevealingAnswers { until } => until,
        other => panic!("{other:?}"),
    };
    edges(3, opened, until, |n, id| reveal_output(n, id, b"Lima"));
}

#[test]
fn scores_are_committed_in_time() {
    let until = |phase| match phase {
        Phase::Scoring { until } => until,
        other => panic!("{other:?}"),
    };
    edges(5, scoring, until, |n, id| commit_scores(n, id, &[80, 80]));
}

#[test]
fn scores_are_revealed_in_time() {
    let until = |phase| match phase {
        Phase::RevealingScores { until } => until,
        other => panic!("{other:?}"),
    };
    edges(3, revealing, until, |n, id| reveal_scores(n, id, &[80, 80]));
}

#[test]
fn before_a_window_opens_nothing_is_taken() {
    build_and_execute(|| {
        let id = ask(terms());
        for n in 1..=3 {
            assert_noop!(commit_output(n, id, b"Lima"), Error::<Test>::NotYourDuty);
        }
        run_until(|| !responders(id).is_empty());
        let nodes = responders(id);
        assert_ok!(commit_output(nodes[0], id, b"Lima"));
        assert_noop!(reveal_output(nodes[0], id, b"Lima"), Error::<Test>::TooEarly);
        // The window for outputs opens with the last commitment.
        assert_ok!(commit_output(nodes[1], id, b"Lima"));
        assert_ok!(reveal_output(nodes[0], id, b"Lima"));
        assert_ok!(reveal_output(nodes[1], id, b"Lima"));
        assert_eq!(phase(id), Phase::Selecting);
        for n in SCORERS {
            assert_noop!(commit_scores(n, id, &[80, 80]), Error::<Test>::NotYourDuty);
        }
        run_until(|| !committee(id).is_empty());
        let members = committee(id);
        let (last, others) = members.split_last().unwrap();
        others.iter().for_each(|n| commit_scores(*n, id, &[80, 80]).unwrap());
        assert_noop!(reveal_scores(members[0], id, &[80, 80]), Error::<Test>::TooEarly);
        assert_ok!(commit_scores(*last, id, &[80, 80]));
        assert_ok!(reveal_scores(members[0], id, &[80, 80]));
    });
}

#[test]
fn a_sole_responder_has_both_windows() {
    for (after, in_time) in [(0, true), (8, true), (9, false)] {
        build_and_execute(|| {
            let id = ask_and_draw(Terms { responders: 1, ..terms() });
            let n = responders(id)[0];
            assert_eq!(phase(id), Phase::RevealingAnswers { until: now() + 8 });
            let room = if in_time { Weight::MAX } else { Weight::zero() };
            AgendaWeightOf::set(room);
            run_to(now() + after);
            if in_time {
                assert_ok!(reveal_output(n, id, b"Lima"));
            } else {
                assert_noop!(reveal_output(n, id, b"Lima"), Error::<Test>::TooLate);
            }
            AgendaWeightOf::set(Weight::MAX);
        });
    }
}

#[test]
fn windows_of_one_block_have_two_edges() {
    build_and_execute(|| {
        for id in [STRONG, WEAK, JUDGE] {
            Models::<Test>::mutate(id, |m| m.as_mut().unwrap().windows = Windows { commit: 1, reveal: 1 });
        }
        let (id, first, last) = drawn();
        assert_ok!(commit_output(first, id, b"Lima"));
        next_block();
        assert_ok!(commit_output(last, id, b"Lima"));
        assert_eq!(phase(id), Phase::RevealingAnswers { until: now() + 1 });
        assert_ok!(reveal_output(first, id, b"Lima"));
        next_block();
        assert_ok!(reveal_output(last, id, b"Lima"));
    });
}

#[test]
fn all_windows_used_to_their_last_block_end_in_a_settlement() {
    build_and_execute(|| {
        let (id, first, last) = drawn();
        let asked = Requests::<Test>::get(id).unwrap().created;
        run_to(now() + 5);
        commit_output(first, id, b"Lima").unwrap();
        commit_output(last, id, b"Lima").unwrap();
        run_to(now() + 3);
        reveal_output(first, id, b"Lima").unwrap();
        reveal_output(last, id, b"Lima").unwrap();
        run_until(|| !committee(id).is_empty());
        run_to(now() + 5);
        for n in committee(id) {
            commit_scores(n, id, &[80, 80]).unwrap();
        }
        run_to(now() + 3);
        for n in committee(id) {
            reveal_scores(n, id, &[80, 80]).unwrap();
        }
        end_block();
        let Phase::Settled { at, .. } = phase(id) else { panic!("not settled") };
        // Outputs have been fixed since the commitments closed, so the very next seed may draw the committee.
        assert_eq!(at - asked, 2 + (5 + 3) + 1 + (5 + 3), "two draws and four windows");
    });
}

#[test]
fn patience_for_a_seed() {
    // Asked in block 1: a seed that comes in block 10 is waited for, and still taken in block 11, the last.
    for (comes, taken) in [(10, true), (11, true), (12, false)] {
        build_and_execute(|| {
            FreshSeeds::set(false);
            let id = ask(terms());
            run_to(comes - 1);
            // `next_block` ends a block before it begins the next: the seed must not be there for that end.
            end_block();
            Seed::set(Some((7, 5)));
            next_block();
            assert_eq!(now(), comes);
            assert_eq!(matches!(phase(id), Phase::Answering { .. }), taken, "{:?}", phase(id));
        });
    }
}

#[test]
fn patience_for_the_seed_of_a_committee() {
    for (waits, taken) in [(10, true), (11, false)] {
        build_and_execute(|| {
            let (id, first, last) = opened();
            FreshSeeds::set(false);
            reveal_output(first, id, b"Lima").unwrap();
            reveal_output(last, id, b"Lima").unwrap();
            assert_eq!(phase(id), Phase::Selecting);
            let selecting = now();
            run_to(selecting + waits - 1);
            end_block();
            Seed::set(Some((7, selecting + 1)));
            next_block();
            assert_eq!(now(), selecting + waits);
            assert_eq!(matches!(phase(id), Phase::Scoring { .. }), taken, "{:?}", phase(id));
        });
    }
}

#[test]
fn unbonding() {
    build_and_execute(|| {
        run_to(7);
        assert_ok!(Poq::unbond(RuntimeOrigin::signed(account(1)), 2_000));
        run_to(26);
        assert_noop!(Poq::withdraw(RuntimeOrigin::signed(account(1))), Error::<Test>::NothingToWithdraw);
        run_to(27);
        assert_ok!(Poq::withdraw(RuntimeOrigin::signed(account(1))));
        assert_eq!((balance(1), held(1)), (RICH, 0));
    });
}

#[test]
fn retention() {
    build_and_execute(|| {
        let (id, ..) = scoring();
        score_all(id, &[80, 80]);
        let Phase::Settled { at, .. } = phase(id) else { panic!("not settled") };
        run_to(at + 30);
        assert!(Requests::<Test>::contains_key(id));
        end_block();
        assert!(Requests::<Test>::contains_key(id), "the last block is included");
        next_block();
        assert!(!Requests::<Test>::contains_key(id));
    });
}

#[test]
fn audits() {
    // The second window is as long as the request is kept: its last block counts all the same.
    for window in [10, 30] {
        for (after, in_time) in [(0, true), (window, true), (window + 1, false)] {
            build_and_execute(|| {
                let unbonding_period = 40;
                let parameters = Parameters { audit_window: window, unbonding_period, ..PARAMETERS };
                Poq::set_parameters(RuntimeOrigin::root(), parameters).unwrap();
                let key = AnswerKey {
                    reference: b"Lima".to_vec().try_into().unwrap(),
                    decoys: Default::default(),
                    right: Permill::one(),
                    wrong: Permill::zero(),
                };
                let sealed = commitment::answer_key(
                    &duties::genesis_hash::<Test>(),
                    &requester(),
                    b"capital of Peru?",
                    &key,
                    &salt(1),
                );
                let id = ask_and_draw(Terms { audit: sealed, ..terms() });
                answer_all(id);
                for n in committee(id) {
                    commit_scores(n, id, &[0, 0]).unwrap();
                }
                for n in committee(id) {
                    reveal_scores(n, id, &[0, 0]).unwrap();
                }
                end_block();
                let Phase::Settled { at, .. } = phase(id) else { panic!("not settled") };
                assert_eq!(at, now());
                run_to(at + after);
                let open = || Poq::reveal_audit(as_auditor(), id, key.clone(), salt(1));
                if in_time {
                    assert_ok!(open());
                } else if window < 30 {
                    assert_noop!(open(), Error::<Test>::AuditTooLate);
                } else {
                    assert_noop!(open(), Error::<Test>::UnknownRequest);
                }
            });
        }
    }
}
