//! What those try who have read the code, and what it comes to. Each test plays a move that once paid.
//!
//! Other moves are tested where their rules are: rosters, stake and chills in `operators.rs`, contexts and small committees in
//! `requests.rs`, seats that nobody else moves in `draw.rs`, the order of work in `driver.rs`.

use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok, traits::Hooks, weights::Weight};
use poq_primitives::{
    commitment::{self, worker_consent},
    job::FailureReason,
};
use sp_core::Pair;
use sp_runtime::{Permill, Saturating};

fn set(parameters: ParametersOf<Test>) {
    Poq::set_parameters(RuntimeOrigin::root(), parameters).unwrap();
}

fn operator(n: u64) -> Operator<Test> {
    Operators::<Test>::get(account(n)).unwrap()
}

fn fail(n: u64, id: RequestId, reason: FailureReason) -> sp_runtime::DispatchResult {
    report(n, id, ReportKind::Fail { reason })
}

fn percent(percent: u32) -> Permill {
    Permill::from_percent(percent)
}

const SECRET: [u8; 32] = [77; 32];

/// A right answer names Lima; Quito and Bogota are decoys.
fn key() -> AnswerKeyOf<Test> {
    let bounded = |text: &str| text.as_bytes().to_vec().try_into().unwrap();
    AnswerKey {
        reference: bounded("Lima"),
        decoys: vec![bounded("Quito"), bounded("Bogota")].try_into().unwrap(),
        right: Permill::one(),
        wrong: Permill::zero(),
    }
}

/// Terms of a request that is an audit.
fn audited() -> Terms<Balance, <Test as Config>::MaxModelsPerRequest> {
    let prompt = b"capital of Peru?";
    let audit =
        commitment::answer_key(&duties::genesis_hash::<Test>(), &requester(), prompt, &key(), &SECRET);
    Terms { audit, ..terms() }
}

fn reveal_audit(id: RequestId) -> sp_runtime::DispatchResult {
    Poq::reveal_audit(as_auditor(), id, key(), SECRET)
}

/// Brings a request to its committee, with this output of every inference node.
fn answer(id: RequestId, output: &[u8]) {
    for n in responders(id) {
        commit_output(n, id, output).unwrap();
    }
    for n in responders(id) {
        reveal_output(n, id, output).unwrap();
    }
    run_until(|| !committee(id).is_empty());
}

// ---------------------------------------------------------------- folding

#[test]
fn nobody_folds_after_a_commitment() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        let nodes = responders(id);
        for n in &nodes {
            commit_output(*n, id, b"Lima").unwrap();
        }
        reveal_output(nodes[0], id, b"Lima").unwrap();
        assert_noop!(fail(nodes[1], id, FailureReason::Internal), Error::<Test>::AlreadyCommitted);
        run_until(|| !committee(id).is_empty());
        let members = committee(id);
        commit_scores(members[0], id, &[10]).unwrap();
        assert_noop!(fail(members[0], id, FailureReason::Internal), Error::<Test>::AlreadyCommitted);
        for n in &members[1..] {
            commit_scores(*n, id, &[90]).unwrap();
        }
        for n in &members[1..] {
            reveal_scores(*n, id, &[90]).unwrap();
        }
        // It has seen the others' scores and would rather not show its own.
        assert_noop!(fail(members[0], id, FailureReason::Internal), Error::<Test>::AlreadyCommitted);
        run_until(|| phase(id).is_closed());
        for n in [nodes[1], members[0]] {
            assert_eq!((operator(n).slashed, operator(n).recent[0].outcome), (100, Outcome::NotRevealed));
        }
    });
}

/// Whoever lies about the answer that it is paid for, and is honest about the others, was once measured by the mean.
#[test]
fn a_lie_about_one_answer_of_many_is_gross() {
    build_and_execute(|| {
        let id = ask_and_draw(Terms { responders: 3, ..audited() });
        answer(id, b"Lima");
        let members = committee(id);
        let scores = |n| if n == members[0] { [30, 100, 100] } else { [100; 3] };
        for n in &members {
            commit_scores(*n, id, &scores(*n)).unwrap();
        }
        for n in &members {
            reveal_scores(*n, id, &scores(*n)).unwrap();
        }
        run_until(|| phase(id).is_closed());
        assert_ok!(reveal_audit(id));
        assert!(operator(members[0]).slashed > 0, "0.7 off on one, 0.23 in the mean");
        assert!(members[1..].iter().all(|n| operator(*n).slashed == 0));
    });
}

#[test]
fn an_audit_takes_what_was_committed_to_and_not_revealed_for_a_gross_error() {
    build_and_execute(|| {
        let id = ask_and_draw(audited());
        answer(id, b"Lima");
        let members = committee(id);
        for n in &members {
            commit_scores(*n, id, &[100, 100]).unwrap();
        }
        for n in &members[1..] {
            reveal_scores(*n, id, &[100, 100]).unwrap();
        }
        run_until(|| phase(id).is_closed());
        assert_eq!(operator(members[0]).slashed, 100, "for the silence");
        assert_ok!(reveal_audit(id));
        // A tenth of the 1,900 that are left.
        assert_eq!(operator(members[0]).slashed, 290);
        assert_eq!(operator(members[0]).standing.veracity, percent(50));
        assert!(members[1..].iter().all(|n| operator(*n).slashed == 0));
    });
}

#[test]
fn an_audit_looks_at_requests_and_committees_that_came_to_nothing() {
    build_and_execute(|| {
        // The first committee commits and shows nothing, of the second too few show what they have.
        let id = ask_and_draw(audited());
        answer(id, b"Lima");
        let first = committee(id);
        for n in &first {
            commit_scores(*n, id, &[0, 0]).unwrap();
        }
        run_until(|| Requests::<Test>::get(id).unwrap().round == 1 && !committee(id).is_empty());
        let second = committee(id);
        for n in &second {
            commit_scores(*n, id, &[0, 0]).unwrap();
        }
        reveal_scores(second[0], id, &[0, 0]).unwrap();
        run_until(|| phase(id).is_closed());
        assert!(matches!(phase(id), Phase::Refunded { reason: RefundReason::NoQuorum, .. }));
        assert_ok!(reveal_audit(id));
        for n in first.iter().chain(&second) {
            let silent = if *n == second[0] { 0 } else { 100 };
            assert_eq!(operator(*n).slashed, silent + (2_000 - silent) / 10, "{n}");
            assert_eq!(operator(*n).standing.veracity, percent(50));
        }
        assert_noop!(reveal_audit(id), Error::<Test>::AlreadyAudited);
    });
}

// ---------------------------------------------------------------- gaining by others' faults, and answers for nothing

/// Whatever operators do or leave undone, the requester has less than before, and the more it was revealed the less.
#[test]
fn a_requester_never_ends_richer_than_it_began() {
    for absence_slash in [100, 2_000] {
        build_and_execute(|| {
            set(Parameters { absence_slash, base_pay: percent(20), ..PARAMETERS });
            // A budget that is mostly refundable, as one would take to inflate a share.
            let big = || Terms { budget: 100_000, responders: 3, ..terms() };
            let cost = |play: &dyn Fn(RequestId)| {
                let before = balance(50);
                let id = ask_and_draw(big());
                play(id);
                run_until(|| phase(id).is_closed());
                for n in NODES.into_iter().map(|(n, _)| n).chain(SCORERS) {
                    let missing = 2_000 - operator(n).stake;
                    if missing > 0 {
                        Poq::bond(RuntimeOrigin::signed(account(n)), missing).unwrap();
                    }
                }
                before.checked_sub(balance(50)).expect("not richer")
            };
            let nobody_answers = cost(&|_| ());
            let one_answers = cost(&|id| {
                let nodes = responders(id);
                commit_output(nodes[0], id, b"Lima").unwrap();
                run_until(|| matches!(phase(id), Phase::RevealingAnswers { .. }));
                reveal_output(nodes[0], id, b"Lima").unwrap();
            });
            let nobody_scores = cost(&|id| answer(id, b"Lima"));
            assert_eq!(nobody_answers, 2_000, "the fee");
            assert!(one_answers > nobody_answers && nobody_scores > one_answers);
        });
    }
}

#[test]
fn a_bar_that_nobody_can_reach_makes_answers_no_cheaper() {
    let cost = |min_quality| {
        let mut cost = (0, 0, (0, 0));
        build_and_execute(|| {
            set(Parameters { base_pay: percent(20), ..PARAMETERS });
            let id = ask_and_draw(Terms { min_quality, ..terms() });
            answer_all(id);
            score_all(id, &[90, 60]);
            let paid = responders(id).iter().map(|n| operator(*n).earned).sum::<Balance>();
            cost = (RICH - balance(50), paid, (Fees::get(), Slashed::get()));
        });
        cost
    };
    let (honest, paid, fee) = cost(Permill::zero());
    assert_eq!((honest, paid, fee), (200 + 510 + 4_180 + 2_787, 4_180 + 2_787, (200, 0)));
    // Worse than usual by more than the tolerance is the second only. A fifth of the price of 1,010 is owed for it; the rest of
    // what it was worth goes to nobody: a receiver of fees, such as a block author, may be who set the bar.
    assert_eq!(cost(Permill::one()), (honest, 4_180 + 202, (200, 2_787 - 202)));
}

#[test]
fn a_bar_that_nobody_can_reach_takes_no_pay_from_honest_work() {
    let paid = |min_quality| {
        let mut paid = vec![];
        build_and_execute(|| {
            for n in 1..=3 {
                Operators::<Test>::mutate(account(n), |o| o.as_mut().unwrap().standing.quality = percent(60));
            }
            let id = ask_and_draw(Terms { min_quality, ..terms() });
            answer_all(id);
            // As good as usual, and worse by just the tolerance of a quarter.
            score_all(id, &[60, 35]);
            paid = responders(id).iter().map(|n| operator(*n).earned).collect();
        });
        paid
    };
    assert_eq!(paid(Permill::one()), paid(Permill::zero()));
}

#[test]
fn the_base_is_owed_whatever_the_scores_say() {
    build_and_execute(|| {
        set(Parameters { base_pay: percent(20), ..PARAMETERS });
        let id = ask_and_draw(terms());
        answer_all(id);
        score_all(id, &[0, 1]);
        assert!(responders(id).iter().all(|n| operator(*n).earned == 202));
        let (.., paid, fee, refund) = settled(id);
        assert_eq!((paid, paid + fee + refund), (2 * 202 + 510, 10_000));
    });
}

#[test]
fn a_committee_that_cannot_be_drawn_later_makes_answers_no_cheaper() {
    build_and_execute(|| {
        set(Parameters { base_pay: percent(20), ..PARAMETERS });
        for n in 1..=3 {
            Operators::<Test>::mutate(account(n), |o| o.as_mut().unwrap().standing.quality = percent(60));
        }
        // Seven of ten are the requester's own, and leave when the answers are public.
        let id = ask_and_draw(Terms { committee: 7, budget: 10_000, ..terms() });
        for n in 11..=17 {
            Poq::chill(RuntimeOrigin::signed(account(n))).unwrap();
        }
        for n in responders(id) {
            commit_output(n, id, b"Lima").unwrap();
        }
        for n in responders(id) {
            reveal_output(n, id, b"Lima").unwrap();
        }
        run_until(|| phase(id).is_closed());
        assert!(matches!(phase(id), Phase::Refunded { reason: RefundReason::NoCommittee, .. }));
        // 60% of what each could earn, as its answers are usually worth: (10,000 - 200 - 714) / 2.
        for n in responders(id) {
            assert_eq!(operator(n).earned, 4_543 * 6 / 10);
            assert_eq!(operator(n).recent[0].outcome, Outcome::Refunded(RefundReason::NoCommittee));
            assert_eq!(operator(n).standing.quality, percent(60), "nothing was learnt");
        }
        assert_eq!(RICH - balance(50), 200 + 2 * (4_543 * 6 / 10));
        let last = events().into_iter().rev().find_map(|event| match event {
            Event::Refunded { paid, fee, refund, .. } => Some((paid, fee, refund)),
            _ => None,
        });
        assert_eq!(last, Some((2 * 2_725, 200, 10_000 - 200 - 2 * 2_725)));
    });
}

#[test]
fn each_model_is_paid_its_own_price_however_dear_the_others_are() {
    build_and_execute(|| {
        Models::<Test>::mutate(STRONG, |model| model.as_mut().unwrap().price.base = 9_000);
        Models::<Test>::mutate(WEAK, |model| model.as_mut().unwrap().price.base = 100);
        let estimate = Poq::estimate_budget(vec![STRONG, WEAK], JUDGE, 10, 3, 5).unwrap();
        let id = ask_and_draw(Terms { responders: 3, budget: estimate.total() + 300, ..terms() });
        answer_all(id);
        score_all(id, &[100, 100, 100]);
        let bonus = Requests::<Test>::get(id).unwrap().bonus;
        assert!((90..=100).contains(&bonus), "what is above the estimate, less the fee of it: {bonus}");
        for n in responders(id) {
            let price = if n == 3 { 110 } else { 9_010 };
            assert_eq!(operator(n).earned, price + bonus);
        }
        let (.., paid, fee, refund) = settled(id);
        assert!(refund >= 9_010 - 110 && paid + fee + refund == estimate.total() + 300);
    });
}

// ---------------------------------------------------------------- bad names

#[test]
fn what_most_refuse_alike_teaches_nothing_and_is_paid_for() {
    for reason in [FailureReason::InvalidJob, FailureReason::EmptyOutput, FailureReason::EngineAborted] {
        build_and_execute(|| {
            let before: Vec<_> = (1..=3).map(|n| operator(n).standing).collect();
            for _ in 0..10 {
                let id = ask_and_draw(Terms { responders: 3, ..terms() });
                let spent = balance(50);
                for n in responders(id) {
                    fail(n, id, reason).unwrap();
                }
                run_until(|| phase(id).is_closed());
                assert_eq!(balance(50), spent + 9_800, "the fee is owed");
            }
            assert_eq!((1..=3).map(|n| operator(n).standing).collect::<Vec<_>>(), before);
            assert!((1..=3).all(|n| (operator(n).missed, operator(n).completed) == (0, 0)));
        });
    }
}

#[test]
fn who_refuses_what_others_do_or_fails_by_itself_is_known_for_it() {
    build_and_execute(|| {
        let id = ask_and_draw(Terms { responders: 3, ..terms() });
        let nodes = responders(id);
        fail(nodes[0], id, FailureReason::InvalidJob).unwrap();
        for n in &nodes[1..] {
            commit_output(*n, id, b"Lima").unwrap();
        }
        for n in &nodes[1..] {
            reveal_output(*n, id, b"Lima").unwrap();
        }
        run_until(|| !committee(id).is_empty());
        score_all(id, &[80, 80]);
        assert_eq!(operator(nodes[0]).standing.reliability, percent(75));
        // All alike, but each by its own fault.
        let id = ask_and_draw(Terms { responders: 3, ..terms() });
        for n in responders(id) {
            fail(n, id, FailureReason::ModelUnavailable).unwrap();
        }
        run_until(|| phase(id).is_closed());
        assert!((1..=3).all(|n| operator(n).standing.reliability < Permill::one()));
    });
}

#[test]
fn a_committee_that_refuses_alike_learns_nothing_either() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        answer_all(id);
        let members = committee(id);
        for n in &members[..3] {
            fail(*n, id, FailureReason::EngineAborted).unwrap();
        }
        for n in &members[3..] {
            commit_scores(*n, id, &[80, 80]).unwrap();
        }
        run_until(|| Requests::<Test>::get(id).unwrap().round == 1);
        assert!(members.iter().all(|n| operator(*n).standing == FULL_STANDING));
    });
}

#[test]
fn a_fresh_account_is_worth_no_more_than_the_worst_name() {
    build_and_execute(|| {
        set(Parameters::recommended(1_000, 100, 10, 1_000_000, 20, 10));
        let weight = |n: u64, model| {
            let roster = Rosters::<Test>::get(model);
            roster.iter().find(|c| c.operator == account(n)).unwrap().weight
        };
        for (n, model, kind) in [(11, JUDGE, ModelKind::Evaluator), (3, WEAK, ModelKind::Generator)] {
            Operators::<Test>::mutate(account(n), |o| o.as_mut().unwrap().standing = Standing::default());
            rosters::refresh::<Test>(&model, &[operators::place_of::<Test>(&account(n), model, kind)]);
            Poq::bond(RuntimeOrigin::signed(account(51)), if n == 11 { 2_000 } else { 1 }).unwrap();
            register(51, worker(51), &[model]).unwrap();
            let fresh = weight(51, model) * 2_000 / u64::try_from(operator(51).stake).unwrap();
            assert_eq!(fresh, weight(n, model), "worse than the worst is nobody");
        }
    });
}

// ---------------------------------------------------------------- draws

#[test]
fn draws_are_made_before_transactions_only() {
    build_and_execute(|| {
        let id = ask(terms());
        run_to(2);
        System::set_block_number(3);
        // Too late in the block: who has seen the seed could have acted on it.
        Poq::on_idle(3, Weight::MAX);
        let advance = || Poq::advance(RuntimeOrigin::signed(account(51)), id).map_err(|e| e.error);
        assert_noop!(advance(), Error::<Test>::NotDue);
        assert_eq!(phase(id), Phase::Requested);
        next_block();
        assert!(matches!(phase(id), Phase::Answering { .. }));
        for n in responders(id) {
            commit_output(n, id, b"Lima").unwrap();
        }
        for n in responders(id) {
            reveal_output(n, id, b"Lima").unwrap();
        }
        let now = System::block_number() + 2;
        System::set_block_number(now);
        Poq::on_idle(now, Weight::MAX);
        assert_noop!(advance(), Error::<Test>::NotDue);
        assert_eq!(phase(id), Phase::Selecting);
        next_block();
        assert!(matches!(phase(id), Phase::Scoring { .. }));
    });
}

/// The author of the block that brings the seed knows it before all others. Whatever one operator does then, all other seats stay.
#[test]
fn one_operators_change_after_the_request_moves_no_seat_but_its_own() {
    let moves: [fn(u64); 4] = [
        |n| Poq::unbond(RuntimeOrigin::signed(account(n)), 1).unwrap(),
        |n| Poq::bond(RuntimeOrigin::signed(account(n)), 1).unwrap(),
        |n| Poq::chill(RuntimeOrigin::signed(account(n))).unwrap(),
        |n| Poq::set_capacity(RuntimeOrigin::signed(account(n)), Workload { tokens: 1, pairs: 1 }).unwrap(),
    ];
    let drawn = |change: &dyn Fn()| {
        let mut seats = vec![];
        build_and_execute(|| {
            let id = ask_and_draw(Terms { committee: 4, ..terms() });
            for n in responders(id) {
                commit_output(n, id, b"Lima").unwrap();
            }
            for n in responders(id) {
                reveal_output(n, id, b"Lima").unwrap();
            }
            FreshSeeds::set(false);
            next_block();
            Seed::set(Some((9, System::block_number())));
            change();
            run_until(|| !committee(id).is_empty());
            seats = committee(id);
        });
        seats
    };
    let before = drawn(&|| ());
    for n in SCORERS {
        for change in moves {
            let after = drawn(&|| change(n));
            let moved: Vec<_> = before.iter().filter(|seat| !after.contains(seat)).collect();
            assert!(moved.is_empty() || moved == [&n], "{n} has moved {moved:?}");
            let rest = |seats: &[u64]| {
                seats.iter().copied().filter(|seat| before.contains(seat) && *seat != n).collect::<Vec<_>>()
            };
            assert_eq!(rest(&after), rest(&before), "in the same order");
        }
    }
}

// ---------------------------------------------------------------- when there is more work than room

/// Whoever asks much to see who would be drawn, or to fill the queue, pays for each request that it takes back.
#[test]
fn cancelling_costs_what_waiting_has_cost_and_the_fee() {
    build_and_execute(|| {
        set(Parameters { waiting_fee: 7, ..PARAMETERS });
        for n in 1..=3 {
            Poq::set_capacity(RuntimeOrigin::signed(account(n)), Workload { tokens: 10, pairs: 0 }).unwrap();
        }
        ask_and_draw(Terms { responders: 3, ..terms() });
        let waits = ask(Terms { responders: 3, ..terms() });
        run_until(|| Requests::<Test>::get(waits).unwrap().tries >= 2);
        Poq::cancel_request(RuntimeOrigin::signed(requester()), waits).unwrap();
        let request = Requests::<Test>::get(waits).unwrap();
        let owed = request.budget.fee + 7 * Balance::from(request.tries);
        let reason = RefundReason::Cancelled;
        let refund = request.budget.total() - owed;
        System::assert_last_event(
            Event::Refunded { request: waits, reason, paid: 0, fee: owed, refund }.into(),
        );
    });
}

#[test]
fn the_better_budget_goes_first_and_waiting_costs() {
    build_and_execute(|| {
        set(Parameters { waiting_fee: 7, ..PARAMETERS });
        for n in 1..=3 {
            Poq::set_capacity(RuntimeOrigin::signed(account(n)), Workload { tokens: 10, pairs: 0 }).unwrap();
        }
        let taken = ask_and_draw(Terms { responders: 3, ..terms() });
        let estimate = Poq::estimate_budget(vec![STRONG, WEAK], JUDGE, 10, 3, 5).unwrap().total();
        // Cheap ones that wait already, and one that offers more and comes last.
        let cheap: Vec<_> =
            (0..5).map(|_| ask(Terms { responders: 3, budget: estimate, ..terms() })).collect();
        next_block();
        let better = ask(Terms { responders: 3, budget: estimate + 500, ..terms() });
        run_until(|| phase(taken).is_closed());
        run_until(|| !responders(better).is_empty());
        assert!(cheap.iter().all(|id| responders(*id).is_empty()), "they were there before");
        let tries = Requests::<Test>::get(better).unwrap().tries;
        assert!(tries > 0);
        answer_all(better);
        score_all(better, &[100, 100, 100]);
        let (.., paid, fee, refund) = settled(better);
        let part = PARAMETERS.fee.mul_floor(estimate + 500);
        // Perfect work leaves little to take it from.
        assert!(fee > part || refund == 0, "{paid} {fee} {refund}");
        run_until(|| cheap.iter().all(|id| phase(*id).is_closed()));
        for id in cheap {
            let tries = Requests::<Test>::get(id).unwrap().tries;
            let fee = events().into_iter().find_map(|event| match event {
                Event::Refunded { request, reason: RefundReason::Busy, paid: 0, fee, refund }
                    if request == id =>
                {
                    assert_eq!(fee + refund, estimate);
                    Some(fee)
                }
                _ => None,
            });
            if let Some(fee) = fee {
                assert!(
                    tries > 1 && fee == 7 * Balance::from(tries),
                    "nobody was drawn: no fee but for waiting"
                );
            }
        }
    });
}

fn estimate() -> Balance {
    Poq::estimate_budget(vec![STRONG, WEAK], JUDGE, 10, 3, 5).unwrap().inference
}

fn surcharge(id: ModelId) -> Permill {
    Poq::models(None, 10).into_iter().find(|model| model.id == id).unwrap().surcharge
}

/// Leaves the three inference nodes room for one answer each, and takes it.
fn take_all_room() -> RequestId {
    for n in 1..=3 {
        Poq::set_capacity(RuntimeOrigin::signed(account(n)), Workload { tokens: 10, pairs: 0 }).unwrap();
    }
    ask_and_draw(Terms { responders: 3, ..terms() })
}

#[test]
fn the_estimate_rises_while_requests_wait_and_falls_again() {
    build_and_execute(|| {
        let idle = estimate();
        let ask_for = |budget: Balance| ask(Terms { responders: 3, budget, ..terms() });
        let whole = || Poq::estimate_budget(vec![STRONG, WEAK], JUDGE, 10, 3, 5).unwrap().total();
        let taken = take_all_room();
        assert_eq!((estimate(), surcharge(STRONG)), (idle, Permill::zero()));

        // Who offers the price raises it by a step and no further, however many they are.
        let least = whole();
        let cheap: Vec<_> = (0..5).map(|_| ask_for(least)).collect();
        run_until(|| Requests::<Test>::get(cheap[0]).unwrap().tries > 0);
        assert_eq!(surcharge(STRONG), Permill::from_parts(125_000));
        assert_eq!(surcharge(WEAK), surcharge(STRONG));
        assert_eq!(surcharge(JUDGE), Permill::zero(), "who scores has room");
        assert_eq!(estimate(), idle + Permill::from_parts(125_000).mul_ceil(idle));
        next_block();
        assert!(surcharge(STRONG) <= Permill::from_parts(125_000));

        // Who pays the estimate raises it further, by a step in a block.
        let paying = ask_for(whole());
        assert!(Requests::<Test>::get(paying).unwrap().bonus > 0);
        let mut before = surcharge(STRONG);
        let mut most = before;
        while !phase(taken).is_closed() {
            next_block();
            assert!(surcharge(STRONG) <= before.saturating_add(Permill::from_parts(125_000)));
            before = surcharge(STRONG);
            most = most.max(before);
        }
        assert!(most > Permill::from_parts(125_000), "{most:?}");
        run_until(|| !responders(paying).is_empty());
        assert!(cheap.iter().all(|id| responders(*id).is_empty()), "who pays goes first");

        // It is never a reason to refuse, and goes as it came.
        run_until(|| cheap.iter().all(|id| phase(*id).is_closed()));
        run_to(System::block_number() + 5);
        let half = surcharge(STRONG);
        run_to(System::block_number() + 5);
        assert!(surcharge(STRONG) < half);
        run_to(System::block_number() + 120);
        assert_eq!((estimate(), surcharge(STRONG)), (idle, Permill::zero()));
    });
}

/// However much is offered, the price at most doubles: it falls by an eighth where it rises by a step.
#[test]
fn the_estimate_never_passes_the_double_price() {
    build_and_execute(|| {
        let idle = estimate();
        let _taken = take_all_room();
        let dear = ask(Terms { responders: 3, budget: 9_000, ..terms() });
        let mut most = 0;
        while !phase(dear).is_closed() {
            next_block();
            most = most.max(estimate());
        }
        assert!(most > idle + idle / 4 && most <= 2 * idle, "{most} of {idle}");
    });
}

/// An operator earns by a high estimate. One that only says that it has no room moves it not at all.
#[test]
fn who_keeps_itself_without_room_does_not_raise_the_estimate() {
    build_and_execute(|| {
        let idle = estimate();
        Poq::set_capacity(RuntimeOrigin::signed(account(3)), Workload { tokens: 1, pairs: 0 }).unwrap();
        let id = ask(Terms { responders: 3, budget: 9_000, ..terms() });
        run_until(|| Requests::<Test>::get(id).unwrap().tries > 2);
        assert_eq!((estimate(), Surcharges::<Test>::iter().count()), (idle, 0));
    });
}

#[test]
fn capacity_counts_tokens_and_pairs() {
    build_and_execute(|| {
        for n in 1..=3 {
            Poq::set_capacity(RuntimeOrigin::signed(account(n)), Workload { tokens: 100, pairs: 0 }).unwrap();
        }
        let with = |max_tokens| Terms {
            responders: 3,
            sampling: Sampling { max_tokens, temperature_milli: 0, seed: 0 },
            ..terms()
        };
        let (large, small) = (ask_and_draw(with(91)), ask_and_draw(with(9)));
        assert_eq!(operator(1).load, Workload { tokens: 100, pairs: 0 });
        let one_more = ask(with(1));
        next_block();
        next_block();
        assert_eq!(phase(one_more), Phase::Requested, "not a token more");
        // Who answers nothing of pairs scores nothing, and the other way round.
        for n in SCORERS {
            let pairs = if n <= 16 { 3 } else { 2 };
            Poq::set_capacity(RuntimeOrigin::signed(account(n)), Workload { tokens: 0, pairs }).unwrap();
        }
        answer_all(small);
        assert!(committee(small).iter().all(|n| *n <= 16), "three pairs each");
        score_all(small, &[80, 80, 80]);
        assert!(SCORERS.into_iter().all(|n| operator(n).load == Workload::default()));
        run_until(|| phase(large).is_closed());
        assert!(operator(1).load.tokens <= 9);
    });
}

// ---------------------------------------------------------------- keys, auditors, those who leave

#[test]
fn a_worker_key_agrees_to_work_for_its_operator() {
    build_and_execute(|| {
        let pair = sp_core::sr25519::Pair::from_seed(&[5; 32]);
        let key = pair.public();
        let models = || vec![STRONG].try_into().unwrap();
        let register =
            |n: u64, consent| Poq::register(RuntimeOrigin::signed(account(n)), key, models(), consent);
        let agreed = |n: u64, genesis| pair.sign(&worker_consent(&genesis, &account(n)));
        let genesis = duties::genesis_hash::<Test>();
        assert_noop!(register(1, None), Error::<Test>::InvalidConsent);
        assert_noop!(register(1, Some(agreed(2, genesis))), Error::<Test>::InvalidConsent);
        assert_noop!(register(1, Some(agreed(1, [9; 32]))), Error::<Test>::InvalidConsent);
        let other = sp_core::sr25519::Pair::from_seed(&[6; 32]);
        let forged = other.sign(&worker_consent(&genesis, &account(1)));
        assert_noop!(register(1, Some(forged)), Error::<Test>::InvalidConsent);
        assert_ok!(register(1, Some(agreed(1, genesis))));
        assert_ok!(register(1, None));
        // Released, it is nobody's for the taking.
        assert_ok!(register_own(1));
        assert_noop!(register(2, None), Error::<Test>::InvalidConsent);
        assert_noop!(register(2, Some(agreed(1, genesis))), Error::<Test>::InvalidConsent);
        assert_ok!(register(2, Some(agreed(2, genesis))));
    });
}

/// Back to the key of the genesis block.
fn register_own(n: u64) -> sp_runtime::DispatchResult {
    register(n, worker(n), &[STRONG])
}

#[test]
fn auditors_are_a_set_of_their_own() {
    build_and_execute(|| {
        let id = ask_and_draw(audited());
        answer(id, b"Lima");
        score_all(id, &[100, 100]);
        let open = |origin| Poq::reveal_audit(origin, id, key(), SECRET);
        let others = [RuntimeOrigin::root(), RuntimeOrigin::signed(requester()), RuntimeOrigin::none()];
        for origin in others {
            assert_noop!(open(origin), sp_runtime::DispatchError::BadOrigin);
        }
        let signed = |n| RuntimeOrigin::signed(account(n));
        let list = |list: &[u64]| list.iter().map(|n| account(*n)).collect::<Vec<_>>().try_into().unwrap();
        assert_noop!(Poq::set_auditors(as_auditor(), list(&[1])), sp_runtime::DispatchError::BadOrigin);
        assert_ok!(Poq::set_auditors(RuntimeOrigin::root(), list(&[51, 52])));
        System::assert_last_event(Event::AuditorsSet { auditors: list(&[51, 52]) }.into());
        assert_noop!(open(as_auditor()), sp_runtime::DispatchError::BadOrigin);
        assert_ok!(open(signed(52)));
    });
}

#[test]
fn what_audits_take_in_a_span_of_time_is_bounded() {
    build_and_execute(|| {
        let parameters = Parameters { audit_window: 25, unbonding_period: 30, ..PARAMETERS };
        set(Parameters { audit_allowance: 500, ..parameters });
        let lie = || {
            let id = ask_and_draw(audited());
            answer(id, b"Lima");
            score_all(id, &[0, 0]);
            reveal_audit(id).unwrap();
            id
        };
        lie();
        assert_eq!(Slashed::get() + compensated(), 500, "two and a half of five");
        let veracity = |n| operator(n).standing.veracity;
        assert_eq!(SCORERS.filter(|n| veracity(*n) < Permill::one()).count(), 5, "names suffer all the same");
        lie();
        let (since, now) = (LatestAuditSlashes::<Test>::get().since, System::block_number());
        assert!(now < since + 25, "within the same span");
        assert_eq!(Slashed::get() + compensated(), 500);
        run_to(since + 25);
        lie();
        assert_eq!(Slashed::get() + compensated(), 1_000);
    });
}

/// What operators got out of slashes.
fn compensated() -> Balance {
    let amounts = events().into_iter().map(|event| match event {
        Event::Compensated { amount, .. } => amount,
        _ => 0,
    });
    amounts.sum()
}

#[test]
fn an_answer_that_lists_many_names_is_not_the_right_one() {
    let truth = |output: &str| {
        let mut truth = None;
        build_and_execute(|| {
            let id = ask_and_draw(audited());
            answer(id, output.as_bytes());
            score_all(id, &[50, 50]);
            reveal_audit(id).unwrap();
            truth = events().into_iter().find_map(|event| match event {
                Event::AuditRevealed { truth, .. } => truth.first().copied(),
                _ => None,
            });
        });
        truth.unwrap()
    };
    assert_eq!(truth("It is Lima."), Permill::one());
    assert_eq!(truth("Lima, Quito, Bogota, La Paz"), Permill::zero());
    assert_eq!(truth("lima or BOGOTA"), Permill::zero());
    assert_eq!(truth("Limassol"), Permill::zero());
}

#[test]
fn who_scored_stays_until_the_audit_whatever_becomes_of_the_period() {
    build_and_execute(|| {
        let id = ask_and_draw(audited());
        answer(id, b"Lima");
        let n = committee(id)[0];
        score_all(id, &[0, 0]);
        let Phase::Settled { at, .. } = phase(id) else { panic!() };
        set(Parameters { audit_window: 1, unbonding_period: 2, ..PARAMETERS });
        Poq::unbond(RuntimeOrigin::signed(account(n)), 2_000).unwrap();
        assert_eq!(operator(n).unbonding.unwrap().at, at + 11);
        run_to(at + 10);
        assert_noop!(Poq::withdraw(RuntimeOrigin::signed(account(n))), Error::<Test>::NothingToWithdraw);
        assert_ok!(reveal_audit(id));
        assert_eq!(operator(n).slashed, 200);
        next_block();
        assert_ok!(Poq::withdraw(RuntimeOrigin::signed(account(n))));
    });
}
