//! What people see.

use crate::{mock::*, *};
use sp_runtime::Permill;

#[test]
fn a_request_from_beginning_to_end() {
    build_and_execute(|| {
        assert_eq!(Poq::request_info(0), None);
        let id = ask_and_draw(terms());
        let view = Poq::request_info(id).unwrap();
        assert_eq!(view.prompt, b"capital of Peru?");
        assert_eq!(view.responses.len(), 2);
        assert!(view.responses.iter().all(|r| r.work == Work::Pending && r.output.is_empty()));
        answer_all(id);
        score_all(id, &[90, 20]);
        let view = Poq::request_info(id).unwrap();
        assert!(matches!(view.phase, Phase::Settled { best: 0, .. }));
        assert!(view.responses[0].output.starts_with(b"answer of"));
        assert_eq!(view.responses[0].quality, Some(Permill::from_percent(90)));
        assert_eq!(view.committees.len(), 1);
        assert_eq!(view.committees[0][0].scores, percents(&[90, 20]));
        let paid: Balance =
            view.responses.iter().map(|r| r.paid).chain(view.committees[0].iter().map(|m| m.paid)).sum();
        assert_eq!(paid, settled(id).2);
    });
}

#[test]
fn an_operator_with_open_and_closed_duties() {
    build_and_execute(|| {
        assert_eq!(Poq::operator_info(account(99)), None);
        let id = ask_and_draw(terms());
        let n = responders(id)[0];
        let view = Poq::operator_info(account(n)).unwrap();
        assert_eq!(
            view.duties,
            vec![crate::views::DutyView { request: id, role: Role::InferenceNode, work: Work::Pending }]
        );
        assert!(view.drawable);
        answer_all(id);
        score_all(id, &[90, 20]);
        let view = Poq::operator_info(account(n)).unwrap();
        assert!(view.duties.is_empty());
        assert_eq!(view.recent.len(), 1);
        assert_eq!(view.recent[0].outcome, Outcome::Paid(Permill::from_percent(90)));
        assert_eq!(view.earned, view.recent[0].paid);
        Poq::chill(RuntimeOrigin::signed(account(n))).unwrap();
        assert!(!Poq::operator_info(account(n)).unwrap().drawable);
    });
}

#[test]
fn only_the_latest_duties_are_kept() {
    build_and_execute(|| {
        for _ in 0..5 {
            let id = ask_and_draw(Terms { responders: 3, ..terms() });
            answer_all(id);
            score_all(id, &[90, 90, 90]);
        }
        let view = Poq::operator_info(account(1)).unwrap();
        assert_eq!(view.completed, 5);
        assert_eq!(view.recent.iter().map(|d| d.request).collect::<Vec<_>>(), vec![2, 3, 4]);
    });
}

#[test]
fn models_and_their_rosters() {
    build_and_execute(|| {
        let models = Poq::models(None, 64);
        assert_eq!(models.len(), 3);
        let strong = models.iter().find(|m| m.id == STRONG).unwrap();
        assert_eq!(
            (strong.name.as_slice(), strong.kind, strong.roster.len()),
            (&b"strong"[..], ModelKind::Generator, 2)
        );
        assert_eq!(Poq::operators(None, 64).len(), 13);
    });
}

#[test]
fn operators_and_models_come_in_pages() {
    build_and_execute(|| {
        let mut all = vec![];
        loop {
            let page = Poq::operators(all.last().copied(), 5);
            let is_last = page.len() < 5;
            all.extend(page);
            if is_last {
                break;
            }
        }
        assert_eq!(all, Operators::<Test>::iter_keys().collect::<Vec<_>>());
        assert_eq!(all.len(), 13);
        let models = |after, count| Poq::models(after, count).iter().map(|m| m.id).collect::<Vec<_>>();
        let first = models(None, 2);
        let rest = models(first.last().copied(), 2);
        assert_eq!((first.len(), rest.len()), (2, 1));
        assert!(rest.iter().all(|id| !first.contains(id)));
        assert!(models(rest.last().copied(), 2).is_empty());
        // Nobody asks for more than a page.
        for n in 0..100u8 {
            let model = Models::<Test>::get(STRONG).unwrap();
            Models::<Test>::insert([100 + n % 100; 32], model);
        }
        assert_eq!(models(None, u32::MAX).len(), 64);
    });
}

#[test]
fn the_invariants_of_much_state_are_not_checked_at_anyones_call() {
    build_and_execute(|| {
        let model = Models::<Test>::get(STRONG).unwrap();
        for n in 0..4_096u32 {
            let mut id = [7; 32];
            id[..4].copy_from_slice(&n.to_le_bytes());
            Models::<Test>::insert(id, model.clone());
        }
        assert!(Poq::check_invariants().unwrap_err().contains("try-runtime"));
        invariants::check::<Test>().unwrap();
    });
}

#[test]
fn the_check_of_invariants_can_fail() {
    build_and_execute(|| {
        assert_eq!(Poq::check_invariants(), Ok(()));
        let original = Operators::<Test>::get(account(1)).unwrap();
        Operators::<Test>::mutate(account(1), |o| o.as_mut().unwrap().stake += 1);
        assert!(Poq::check_invariants().unwrap_err().contains("stake"));
        Operators::<Test>::insert(account(1), original);
        let id = ask(terms());
        let due = Requests::<Test>::get(id).unwrap().due;
        Agenda::<Test>::remove(due, id);
        assert!(Poq::check_invariants().unwrap_err().contains("agenda"));
        Agenda::<Test>::insert(due, id, ());
    });
}

#[test]
fn the_configuration_holds_together() {
    build_and_execute(|| {
        invariants::check_config::<Test>().unwrap();
        AgendaWeightOf::set(frame_support::weights::Weight::from_parts(10, 0));
        assert!(invariants::check_config::<Test>().is_err());
    });
}
