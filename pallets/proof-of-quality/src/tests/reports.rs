//! Reports: only what is due and valid is taken, and only that is free.

use crate::{mock::*, *};
use codec::{Decode, Encode};
use frame_support::{assert_noop, assert_ok, dispatch::CheckIfFeeless};
use poq_primitives::job::FailureReason;

fn is_free(signer: AccountId, reports: Vec<ReportOf<Test>>) -> bool {
    let call = RuntimeCall::Poq(Call::report_work { reports: reports.try_into().unwrap() });
    call.is_feeless(&RuntimeOrigin::signed(signer))
}

fn commit(n: u64, id: RequestId) -> ReportOf<Test> {
    Report { request: id, kind: ReportKind::CommitOutput { commitment: commitment_to_output(id, n, b"x") } }
}

#[test]
fn strangers_and_the_undrawn() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        let drawn = responders(id);
        let stranger = 99;
        assert_noop!(commit_output(stranger, id, b"x"), Error::<Test>::UnknownWorker);
        // The operator's own account is not its worker key.
        let reports: ReportsOf<Test> = vec![commit(drawn[0], id)].try_into().unwrap();
        assert_noop!(
            Poq::report_work(RuntimeOrigin::signed(account(drawn[0])), reports),
            Error::<Test>::UnknownWorker
        );
        let undrawn = (1..=3).find(|n| !drawn.contains(n)).unwrap();
        assert_noop!(commit_output(undrawn, id, b"x"), Error::<Test>::NotYourDuty);
        assert_noop!(commit_scores(11, id, &[1, 1]), Error::<Test>::NotYourDuty);
        assert_noop!(commit_output(drawn[0], 77, b"x"), Error::<Test>::UnknownRequest);
        // A part in the request is no licence for another part.
        assert_noop!(commit_scores(drawn[0], id, &[1, 1]), Error::<Test>::NotYourDuty);
        assert_noop!(
            Poq::report_work(RuntimeOrigin::root(), Default::default()),
            sp_runtime::DispatchError::BadOrigin
        );
    });
}

#[test]
fn outputs() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        let (a, b) = (responders(id)[0], responders(id)[1]);
        assert_noop!(reveal_output(a, id, b"Lima"), Error::<Test>::TooEarly);
        assert_ok!(commit_output(a, id, b"Lima"));
        assert_noop!(commit_output(a, id, b"Lima"), Error::<Test>::AlreadyCommitted);
        assert_noop!(commit_output(a, id, b"Quito"), Error::<Test>::AlreadyCommitted);
        // B copies A's commitment, as it stands on the chain: it cannot open it.
        let copied = ReportKind::CommitOutput { commitment: commitment_to_output(id, a, b"Lima") };
        assert_ok!(report(b, id, copied));
        next_block();
        assert_noop!(commit_output(a, id, b"Lima"), Error::<Test>::TooLate);
        assert_noop!(reveal_output(a, id, b"Quito"), Error::<Test>::RevealMismatch);
        assert_noop!(reveal_output(a, id, b""), Error::<Test>::EmptyOutput);
        assert_noop!(reveal_output(a, id, &[0xff]), Error::<Test>::NotUtf8);
        let wrong_salt =
            ReportKind::RevealOutput { output: b"Lima".to_vec().try_into().unwrap(), salt: salt(b) };
        assert_noop!(report(a, id, wrong_salt), Error::<Test>::RevealMismatch);
        assert_ok!(reveal_output(a, id, b"Lima"));
        assert_noop!(reveal_output(a, id, b"Lima"), Error::<Test>::AlreadyDone);
        let stolen = ReportKind::RevealOutput { output: b"Lima".to_vec().try_into().unwrap(), salt: salt(a) };
        assert_noop!(report(b, id, stolen), Error::<Test>::RevealMismatch);
        // The failed reveal stays visible, in state and as an event.
        run_until(|| matches!(phase(id), Phase::Scoring { .. }));
        assert_eq!(Responses::<Test>::get(id)[1].work, Work::NotRevealed);
        assert_noop!(reveal_output(b, id, b"Lima"), Error::<Test>::TooLate);
    });
}

#[test]
fn scores() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        answer_all(id);
        let members = committee(id);
        let (a, b) = (members[0], members[1]);
        let outsider = SCORERS.into_iter().find(|n| !members.contains(n)).unwrap();
        assert_noop!(commit_scores(outsider, id, &[1, 1]), Error::<Test>::NotYourDuty);
        assert_noop!(reveal_scores(a, id, &[90, 20]), Error::<Test>::TooEarly);
        assert_noop!(commit_output(a, id, b"x"), Error::<Test>::NotYourDuty);
        assert_ok!(commit_scores(a, id, &[90, 20]));
        assert_noop!(commit_scores(a, id, &[90, 20]), Error::<Test>::AlreadyCommitted);
        assert_ok!(commit_scores(b, id, &[1]));
        for n in &members[2..] {
            commit_scores(*n, id, &[90, 20]).unwrap();
        }
        next_block();
        assert_noop!(commit_scores(a, id, &[90, 20]), Error::<Test>::TooLate);
        assert_noop!(reveal_scores(a, id, &[91, 20]), Error::<Test>::RevealMismatch);
        assert_noop!(reveal_scores(b, id, &[1]), Error::<Test>::WrongNumberOfScores);
        assert_noop!(reveal_scores(a, id, &[90, 20, 3]), Error::<Test>::WrongNumberOfScores);
        assert_ok!(reveal_scores(a, id, &[90, 20]));
        assert_noop!(reveal_scores(a, id, &[90, 20]), Error::<Test>::AlreadyDone);
        for n in &members[2..] {
            reveal_scores(*n, id, &[90, 20]).unwrap();
        }
        run_until(|| phase(id).is_closed());
        settled(id);
        assert_noop!(reveal_scores(b, id, &[1]), Error::<Test>::TooLate);
    });
}

#[test]
fn a_score_above_one_is_not_even_a_call() {
    let kind = ReportKind::RevealScores { scores: percents(&[100]).try_into().unwrap(), salt: [0; 32] };
    let reports: ReportsOf<Test> = vec![Report { request: 0, kind }].try_into().unwrap();
    let mut bytes = Call::<Test>::report_work { reports }.encode();
    assert!(Call::<Test>::decode(&mut &bytes[..]).is_ok());
    let one = 1_000_000u32.to_le_bytes();
    let at = bytes.windows(4).position(|window| window == one).unwrap();
    bytes[at..at + 4].copy_from_slice(&1_000_001u32.to_le_bytes());
    assert!(Call::<Test>::decode(&mut &bytes[..]).is_err());
}

#[test]
fn failures() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        let (a, b) = (responders(id)[0], responders(id)[1]);
        let fail = || ReportKind::Fail { reason: FailureReason::ModelUnavailable };
        assert_ok!(report(a, id, fail()));
        assert_noop!(report(a, id, fail()), Error::<Test>::AlreadyDone);
        assert_noop!(commit_output(a, id, b"x"), Error::<Test>::AlreadyDone);
        assert_ok!(commit_output(b, id, b"Lima"));
        next_block();
        assert!(
            matches!(phase(id), Phase::RevealingAnswers { .. }),
            "a failure is an act: the phase ends early"
        );
        assert_noop!(reveal_output(a, id, b"x"), Error::<Test>::AlreadyDone);
        reveal_output(b, id, b"Lima").unwrap();
        run_until(|| !committee(id).is_empty());
        for n in committee(id).into_iter().take(2) {
            report(n, id, fail()).unwrap();
        }
        for n in committee(id).into_iter().skip(2) {
            commit_scores(n, id, &[90]).unwrap();
        }
        next_block();
        for n in committee(id).into_iter().skip(2) {
            reveal_scores(n, id, &[90]).unwrap();
        }
        next_block();
        settled(id);
        let failed = Operators::<Test>::get(account(a)).unwrap();
        assert_eq!(failed.missed, 1, "an error is a miss, not an answer");
        assert_eq!((failed.slashed, failed.earned), (0, 0), "but it is not silence");
        assert_eq!(failed.recent[0].outcome, Outcome::Failed(FailureReason::ModelUnavailable));
    });
}

#[test]
fn batches_are_all_or_nothing() {
    build_and_execute(|| {
        let all = || Terms { responders: 3, ..terms() };
        let first = ask(all());
        let second = ask(all());
        run_until(|| !responders(second).is_empty());
        let batch = |reports: Vec<ReportOf<Test>>| {
            Poq::report_work(RuntimeOrigin::signed(worker(1)), reports.try_into().unwrap())
        };
        assert_noop!(batch(vec![]), Error::<Test>::NoReports);
        assert_noop!(batch(vec![commit(1, second), commit(1, first)]), Error::<Test>::UnorderedReports);
        assert_noop!(batch(vec![commit(1, first), commit(1, first)]), Error::<Test>::UnorderedReports);
        assert_noop!(batch(vec![commit(1, first), commit(1, 77)]), Error::<Test>::UnknownRequest);
        assert_ok!(batch(vec![commit(1, first), commit(1, second)]));
        assert_noop!(batch(vec![commit(1, first)]), Error::<Test>::AlreadyCommitted);
    });
}

#[test]
fn only_due_and_valid_reports_are_free() {
    build_and_execute(|| {
        let first = ask(Terms { responders: 3, ..terms() });
        let second = ask(Terms { responders: 3, ..terms() });
        assert!(!is_free(worker(1), vec![commit(1, first)]), "not drawn yet");
        run_until(|| !responders(second).is_empty());
        assert!(is_free(worker(1), vec![commit(1, first)]));
        assert!(is_free(worker(1), vec![commit(1, first), commit(1, second)]));
        assert!(!is_free(worker(1), vec![commit(1, first), commit(1, first)]));
        assert!(!is_free(worker(1), vec![commit(1, first), commit(1, 77)]));
        assert!(!is_free(worker(1), vec![]));
        assert!(!is_free(worker(77), vec![commit(1, first)]), "a stranger");
        assert!(!is_free(account(1), vec![commit(1, first)]), "the operator itself");
        commit_output(1, first, b"x").unwrap();
        assert!(!is_free(worker(1), vec![commit(1, first)]), "twice");
        assert!(
            !RuntimeCall::Poq(Call::advance { request: first }).is_feeless(&RuntimeOrigin::signed(worker(1)))
        );
    });
}

#[test]
fn a_worker_key_has_a_nonce_without_a_balance() {
    build_and_execute(|| {
        assert_eq!(Balances::free_balance(worker(1)), 0);
        assert_eq!(frame_system::Pallet::<Test>::sufficients(&worker(1)), 1);
    });
}

#[test]
fn a_worker_key_can_be_rotated_between_commit_and_reveal() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        let (a, b) = (responders(id)[0], responders(id)[1]);
        commit_output(a, id, b"Lima").unwrap();
        commit_output(b, id, b"Lima").unwrap();
        next_block();
        let models = Operators::<Test>::get(account(a)).unwrap().models;
        assert_ok!(register(a, account(777), &models));
        assert_noop!(reveal_output(a, id, b"Lima"), Error::<Test>::UnknownWorker);
        let kind = ReportKind::RevealOutput { output: b"Lima".to_vec().try_into().unwrap(), salt: salt(a) };
        let reports: ReportsOf<Test> = vec![Report { request: id, kind }].try_into().unwrap();
        assert_ok!(Poq::report_work(RuntimeOrigin::signed(account(777)), reports));
        assert_eq!(frame_system::Pallet::<Test>::sufficients(&worker(a)), 0);
    });
}
