//! A request that goes well.

use crate::{mock::*, *};
use sp_runtime::Permill;

#[test]
#[docify::export]
fn from_question_to_settlement() {
    build_and_execute(|| {
        let id = ask(terms());
        assert_eq!(phase(id), Phase::Requested);
        assert_eq!(held(50), 10_000);

        next_block();
        // The seed of block 2 has been known since block 1, in which the request was made: it does not count.
        assert_eq!(phase(id), Phase::Requested);
        next_block();
        assert!(matches!(phase(id), Phase::Answering { .. }));
        let drawn = responders(id);
        assert_eq!(drawn.len(), 2);

        commit_output(drawn[0], id, b"Lima").unwrap();
        next_block();
        assert!(matches!(phase(id), Phase::Answering { .. }), "one is missing");
        commit_output(drawn[1], id, b"Quito").unwrap();
        next_block();
        assert!(matches!(phase(id), Phase::RevealingAnswers { .. }), "all have acted");
        reveal_output(drawn[0], id, b"Lima").unwrap();
        reveal_output(drawn[1], id, b"Quito").unwrap();
        run_until(|| matches!(phase(id), Phase::Scoring { .. }));

        let members = committee(id);
        assert_eq!(members.len(), 5);
        assert!(members.iter().all(|m| SCORERS.contains(m)));
        for n in &members {
            commit_scores(*n, id, &[90, 20]).unwrap();
        }
        next_block();
        assert!(matches!(phase(id), Phase::RevealingScores { .. }));
        for n in &members {
            reveal_scores(*n, id, &[90, 20]).unwrap();
        }
        next_block();

        assert!(matches!(phase(id), Phase::Settled { best: 0, .. }));
        let (best, quality, paid, fee, refund) = settled(id);
        assert_eq!((best, quality), (0, Permill::from_percent(90)));
        assert_eq!(paid + fee + refund, 10_000);
        assert_eq!(fee, 200);
        // Scoring: 5 * (100 + 2 * 1) = 510, all agree; inference: 10000 - 200 - 510 = 9290, half each.
        assert_eq!(balance(drawn[0]), RICH - 2_000 + 4_645 * 9 / 10);
        assert_eq!(balance(drawn[1]), RICH - 2_000 + 4_645 / 5);
        for n in &members {
            assert_eq!(balance(*n), RICH - 2_000 + 102);
        }
        assert_eq!(held(50), 0);
        assert_eq!(balance(50), RICH - paid - fee);
        assert_eq!(Fees::get(), fee);
    });
}

#[test]
fn a_sole_responder_needs_no_commitment() {
    build_and_execute(|| {
        let id = ask_and_draw(Terms { responders: 1, ..terms() });
        assert!(matches!(phase(id), Phase::RevealingAnswers { .. }));
        let n = responders(id)[0];
        assert_eq!(commit_output(n, id, b"Lima"), Err(Error::<Test>::TooLate.into()));
        reveal_output(n, id, b"Lima").unwrap();
        run_until(|| !committee(id).is_empty());
        score_all(id, &[80]);
        assert_eq!(settled(id).1, Permill::from_percent(80));
    });
}

#[test]
fn four_blocks_from_the_last_output_to_settled() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        for n in responders(id) {
            commit_output(n, id, b"Lima").unwrap();
        }
        next_block();
        for n in responders(id) {
            reveal_output(n, id, b"Lima").unwrap();
        }
        let revealed = System::block_number();
        run_until(|| !committee(id).is_empty());
        score_all(id, &[80, 80]);
        // `score_all` has begun one block after the one whose end settled.
        let Phase::Settled { at, .. } = phase(id) else { panic!("not settled") };
        assert!(at - revealed <= 4, "{}", at - revealed);
    });
}

#[test]
fn below_min_quality_nothing_is_paid() {
    build_and_execute(|| {
        let id = ask_and_draw(Terms { min_quality: Permill::from_percent(50), ..terms() });
        let drawn = responders(id);
        answer_all(id);
        score_all(id, &[50, 49]);
        let responses = Responses::<Test>::get(id);
        assert!(responses[0].paid > 0, "the bound is inclusive");
        assert_eq!(responses[1].paid, 0);
        let weak = Operators::<Test>::get(account(drawn[1])).unwrap();
        assert_eq!(weak.recent[0].outcome, Outcome::BelowMinQuality(Permill::from_percent(49)));
        assert_eq!(weak.completed, 1);
    });
}

#[test]
fn disagreement_scales_pay_and_is_not_slashed() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        answer_all(id);
        let members = committee(id);
        for (place, n) in members.iter().enumerate() {
            commit_scores(*n, id, if place == 0 { &[0, 0] } else { &[90, 90] }).unwrap();
        }
        next_block();
        for (place, n) in members.iter().enumerate() {
            reveal_scores(*n, id, if place == 0 { &[0, 0] } else { &[90, 90] }).unwrap();
        }
        next_block();
        assert_eq!(settled(id).1, Permill::from_percent(90));
        let odd = Operators::<Test>::get(account(members[0])).unwrap();
        assert_eq!((odd.earned, odd.stake, odd.slashed), (0, 2_000, 0));
        assert_eq!(odd.recent[0].outcome, Outcome::Disagreed);
        assert_eq!(Operators::<Test>::get(account(members[1])).unwrap().earned, 102);
    });
}

#[test]
fn a_larger_budget_goes_to_the_inference_nodes() {
    build_and_execute(|| {
        let id = ask(Terms { budget: 20_000, ..terms() });
        let budget = Requests::<Test>::get(id).unwrap().budget;
        assert_eq!(budget, Budget { inference: 19_090, scoring: 510, fee: 400 });
        assert_eq!(budget.total(), 20_000);
    });
}

#[test]
fn closed_requests_are_kept_and_then_pruned() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        answer_all(id);
        score_all(id, &[80, 80]);
        let Phase::Settled { at, .. } = phase(id) else { panic!("not settled") };
        run_to(at + 30);
        assert!(Requests::<Test>::contains_key(id));
        next_block();
        assert!(!Requests::<Test>::contains_key(id));
        assert_eq!(Prompts::<Test>::iter().count(), 0);
        assert_eq!(Responses::<Test>::iter().count(), 0);
        assert_eq!(Outputs::<Test>::iter().count(), 0);
        assert_eq!(Committees::<Test>::iter().count(), 0);
        assert_eq!(Agenda::<Test>::iter().count(), 0);
    });
}

#[test]
fn draws_wait_for_a_seed_that_is_young_enough() {
    build_and_execute(|| {
        FreshSeeds::set(false);
        let id = ask(terms());
        run_to(4);
        assert_eq!(phase(id), Phase::Requested, "not yet");
        Seed::set(Some((7, 1)));
        next_block();
        assert_eq!(phase(id), Phase::Requested, "known since the block of the request");
        Seed::set(Some((7, 2)));
        next_block();
        assert!(matches!(phase(id), Phase::Answering { .. }));
        for n in responders(id) {
            commit_output(n, id, b"Lima").unwrap();
        }
        next_block();
        for n in responders(id) {
            reveal_output(n, id, b"Lima").unwrap();
        }
        next_block();
        next_block();
        assert_eq!(phase(id), Phase::Selecting, "known before the outputs were fixed");
        Seed::set(Some((8, System::block_number())));
        next_block();
        assert!(matches!(phase(id), Phase::Scoring { .. }));
    });
}

#[test]
fn who_joins_or_grows_after_the_request_is_not_drawn_for_it() {
    build_and_execute(|| {
        for n in [1, 2] {
            Poq::chill(RuntimeOrigin::signed(account(n))).unwrap();
        }
        let id = ask(Terms { responders: 1, ..terms() });
        next_block();
        // Operator 1 comes back, operator 3 grows: both too late.
        Poq::resume(RuntimeOrigin::signed(account(1))).unwrap();
        Poq::bond(RuntimeOrigin::signed(account(3)), 1_000).unwrap();
        run_until(|| phase(id) != Phase::Requested);
        assert!(matches!(phase(id), Phase::Refunded { reason: RefundReason::NoInferenceNode, .. }));
    });
}

#[test]
fn an_operator_never_serves_its_own_request_nor_scores_its_own_response() {
    build_and_execute(|| {
        // Operator 1 asks itself; operator 11 serves all kinds.
        register(11, worker(11), &[STRONG, JUDGE]).unwrap();
        for seed in 0..20 {
            let id = NextRequest::<Test>::get();
            Poq::request_inference(
                RuntimeOrigin::signed(account(1)),
                format!("question {seed}").into_bytes(),
                Terms { responders: 3, ..terms() },
            )
            .unwrap();
            run_until(|| !responders(id).is_empty());
            assert_eq!(responders(id).len(), 3, "2, 3 and 11");
            assert!(!responders(id).contains(&1));
            answer_all(id);
            assert!(!committee(id).contains(&11));
            score_all(id, &[80, 80, 80]);
            settled(id);
        }
    });
}

#[test]
fn small_committees_are_paid_but_teach_little() {
    build_and_execute(|| {
        let half = Permill::from_percent(50);
        for n in SCORERS {
            Operators::<Test>::mutate(account(n), |o| o.as_mut().unwrap().standing.agreement = half);
        }
        for size in 1..=3 {
            let id = ask_and_draw(Terms { committee: size, ..terms() });
            answer_all(id);
            let fresh = |n: &u64| Operators::<Test>::get(account(*n)).unwrap().standing.agreement == half;
            let newcomers: Vec<_> = committee(id).into_iter().filter(fresh).collect();
            score_all(id, &[80, 20]);
            assert!(Committees::<Test>::get(id, 0).iter().all(|member| member.paid == 102));
            // Alone there is nobody to agree with; two do not say how far apart most are.
            assert!(newcomers.iter().all(|n| fresh(n) == (size == 1)), "{size}");
            assert_eq!(Spreads::<Test>::get(JUDGE).is_some(), size == 3, "{size}");
        }
    });
}
