//! Bad requests are refused with a typed error and nothing is lost.

use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok};
use sp_runtime::Permill;

type TestTerms = Terms<Balance, <Test as Config>::MaxModelsPerRequest>;

fn refused(prompt: &[u8], terms: TestTerms, error: Error<Test>) {
    assert_noop!(Poq::request_inference(RuntimeOrigin::signed(requester()), prompt.to_vec(), terms), error);
    assert_eq!(held(50), 0);
}

#[test]
fn prompts() {
    build_and_execute(|| {
        refused(b"", terms(), Error::EmptyPrompt);
        refused(b" \n\t", terms(), Error::EmptyPrompt);
        refused(&[b'a'; 65], terms(), Error::PromptTooLong);
        refused(&[0xff, 0xfe], terms(), Error::NotUtf8);
        assert_ok!(Poq::request_inference(RuntimeOrigin::signed(requester()), vec![b'a'; 64], terms()));
    });
}

#[test]
fn models() {
    build_and_execute(|| {
        let with = |generators: &[ModelId], evaluator| Terms {
            generators: generators.to_vec().try_into().unwrap(),
            evaluator,
            ..terms()
        };
        refused(b"q", with(&[UNKNOWN], JUDGE), Error::UnknownModel);
        refused(b"q", with(&[STRONG], UNKNOWN), Error::UnknownModel);
        refused(b"q", with(&[JUDGE], JUDGE), Error::WrongModelKind);
        refused(b"q", with(&[STRONG], WEAK), Error::WrongModelKind);
        refused(b"q", with(&[], JUDGE), Error::InvalidModelList);
        refused(b"q", with(&[STRONG, STRONG], JUDGE), Error::InvalidModelList);
        Poq::retire_model(RuntimeOrigin::root(), WEAK).unwrap();
        refused(b"q", terms(), Error::ModelRetired);
        assert_noop!(Poq::retire_model(RuntimeOrigin::root(), WEAK), Error::<Test>::ModelRetired);
        assert_noop!(Poq::retire_model(RuntimeOrigin::root(), UNKNOWN), Error::<Test>::UnknownModel);
    });
}

#[test]
fn sampling() {
    build_and_execute(|| {
        let with = |max_tokens, temperature_milli| Terms {
            sampling: Sampling { max_tokens, temperature_milli, seed: 0 },
            ..terms()
        };
        refused(b"q", with(0, 0), Error::InvalidSampling);
        refused(b"q", with(101, 0), Error::InvalidSampling);
        refused(b"q", with(u32::MAX, 0), Error::InvalidSampling);
        refused(b"q", with(10, 2_001), Error::InvalidSampling);
        ask(with(100, 2_000));
        ask(with(1, 0));
    });
}

#[test]
fn prompt_and_answer_fit_into_every_context() {
    build_and_execute(|| {
        Models::<Test>::mutate(WEAK, |model| model.as_mut().unwrap().context = 70);
        let with = |generators: &[ModelId], max_tokens| Terms {
            generators: generators.to_vec().try_into().unwrap(),
            responders: 1,
            sampling: Sampling { max_tokens, temperature_milli: 0, seed: 0 },
            ..terms()
        };
        // A byte counts as a token: 160 for the strong one.
        refused(&[b'a'; 61], with(&[STRONG], 100), Error::ContextTooSmall);
        refused(&[b'a'; 61], with(&[STRONG, WEAK], 10), Error::ContextTooSmall);
        assert_ok!(Poq::request_inference(
            RuntimeOrigin::signed(requester()),
            vec![b'a'; 60],
            with(&[STRONG], 100)
        ));
        assert_ok!(Poq::request_inference(
            RuntimeOrigin::signed(requester()),
            vec![b'a'; 60],
            with(&[STRONG, WEAK], 10)
        ));
    });
}

#[test]
fn committees_of_less_than_the_parameters_say_are_refused() {
    build_and_execute(|| {
        Poq::set_parameters(RuntimeOrigin::root(), Parameters { min_committee: 3, ..PARAMETERS }).unwrap();
        let with = |committee| Terms { committee, ..terms() };
        refused(b"q", with(1), Error::InvalidCommittee);
        refused(b"q", with(2), Error::InvalidCommittee);
        let estimate = |k| Poq::estimate_budget(vec![STRONG], JUDGE, 10, 2, k).map(|b| b.total());
        assert_eq!(estimate(2), Err(Error::<Test>::InvalidCommittee.into()));
        // Nor is a smaller one drawn where more have left meanwhile.
        let id = ask_and_draw(with(3));
        for n in 13..=20 {
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
    });
}

#[test]
fn numbers_of_operators() {
    build_and_execute(|| {
        let with = |responders, committee| Terms { responders, committee, ..terms() };
        refused(b"q", with(0, 5), Error::InvalidResponders);
        refused(b"q", with(5, 5), Error::InvalidResponders);
        refused(b"q", with(2, 0), Error::InvalidCommittee);
        refused(b"q", with(2, 8), Error::InvalidCommittee);
        // Four may be asked for, but three serve.
        refused(b"q", with(4, 5), Error::NotEnoughInferenceNodes);
        for n in 11..=16 {
            Poq::chill(RuntimeOrigin::signed(account(n))).unwrap();
        }
        refused(b"q", with(2, 5), Error::NotEnoughQualityValidators);
        ask(with(3, 4));
    });
}

#[test]
fn operators_of_both_kinds_count_once() {
    build_and_execute(|| {
        for n in 12..=20 {
            Poq::chill(RuntimeOrigin::signed(account(n))).unwrap();
        }
        register(11, worker(11), &[STRONG, JUDGE]).unwrap();
        // The only quality validator could be drawn as an inference node.
        let terms = Terms { responders: 1, committee: 1, ..terms() };
        refused(b"q", terms, Error::NotEnoughQualityValidators);
    });
}

#[test]
fn money() {
    build_and_execute(|| {
        let estimate =
            Poq::estimate_budget(vec![STRONG, WEAK], JUDGE, 10, 2, 5).expect("the terms are good").total();
        // 2 * (1000 + 10) + 5 * (100 + 2) = 2530, and 2% of the whole on top.
        assert_eq!(estimate, 2_582);
        refused(b"q", Terms { budget: estimate - 1, ..terms() }, Error::BudgetTooSmall);
        refused(b"q", Terms { budget: 0, ..terms() }, Error::BudgetTooSmall);
        refused(b"q", Terms { budget: RICH + 1, ..terms() }, Error::InsufficientBalance);
        refused(b"q", Terms { budget: Balance::MAX, ..terms() }, Error::InsufficientBalance);
        let min_quality = Permill::from_parts(0);
        ask(Terms { budget: estimate, min_quality, ..terms() });
        let divided = Requests::<Test>::get(0).unwrap().budget;
        assert!(divided.inference >= 2_020 && divided.scoring >= 510);
        assert_eq!(divided.total(), estimate);
    });
}

#[test]
fn estimates_refuse_what_requests_refuse() {
    build_and_execute(|| {
        let estimate = |generators: Vec<ModelId>, tokens, n, k| {
            Poq::estimate_budget(generators, JUDGE, tokens, n, k).map(|b| b.total())
        };
        assert_eq!(estimate(vec![STRONG], 10, 0, 5), Err(Error::<Test>::InvalidResponders.into()));
        assert_eq!(estimate(vec![STRONG], 0, 1, 5), Err(Error::<Test>::InvalidSampling.into()));
        assert_eq!(estimate(vec![UNKNOWN], 10, 1, 5), Err(Error::<Test>::UnknownModel.into()));
        assert_eq!(estimate(vec![STRONG], 10, 1, 8), Err(Error::<Test>::InvalidCommittee.into()));
        assert!(estimate(vec![STRONG], 10, 1, 7).is_ok());
    });
}

#[test]
fn a_price_that_does_not_fit_is_refused() {
    build_and_execute(|| {
        let windows = Windows { commit: 1, reveal: 1 };
        let price = Price { base: Balance::MAX, per_unit: 1 };
        Poq::register_model(
            RuntimeOrigin::root(),
            UNKNOWN,
            ModelKind::Generator,
            b"dear".to_vec(),
            price,
            windows,
            Reward::default(),
            100,
        )
        .unwrap();
        let generators = vec![UNKNOWN].try_into().unwrap();
        refused(b"q", Terms { generators, ..terms() }, Error::Overflow);
    });
}

#[test]
fn the_registry_takes_only_what_makes_sense() {
    build_and_execute(|| {
        let register = |id, name: &[u8], commit, reveal| {
            Poq::register_model(
                RuntimeOrigin::root(),
                id,
                ModelKind::Generator,
                name.to_vec(),
                Price::default(),
                Windows { commit, reveal },
                Reward::default(),
                1,
            )
        };
        assert_noop!(register(STRONG, b"x", 1, 1), Error::<Test>::ModelExists);
        assert_noop!(register(UNKNOWN, b"", 1, 1), Error::<Test>::InvalidName);
        assert_noop!(register(UNKNOWN, &[b'x'; 17], 1, 1), Error::<Test>::InvalidName);
        assert_noop!(register(UNKNOWN, &[0xff], 1, 1), Error::<Test>::InvalidName);
        assert_noop!(register(UNKNOWN, b"x", 0, 1), Error::<Test>::InvalidWindows);
        assert_noop!(register(UNKNOWN, b"x", 1, 0), Error::<Test>::InvalidWindows);
        assert_noop!(register(UNKNOWN, b"x", 101, 1), Error::<Test>::InvalidWindows);
        assert_ok!(register(UNKNOWN, &[b'x'; 16], 100, 1));
        assert_noop!(
            Poq::register_model(
                RuntimeOrigin::signed(account(1)),
                [10; 32],
                ModelKind::Generator,
                b"x".to_vec(),
                Price::default(),
                Windows { commit: 1, reveal: 1 },
                Reward::default(),
                1,
            ),
            sp_runtime::DispatchError::BadOrigin
        );
    });
}

#[test]
fn a_request_that_waits_for_its_draw_can_be_cancelled_by_who_asked() {
    build_and_execute(|| {
        let before = Balances::free_balance(requester());
        let id = ask(terms());
        let cancel = |who| Poq::cancel_request(RuntimeOrigin::signed(who), id);
        assert_noop!(cancel(account(1)), Error::<Test>::NotRequester);
        assert_noop!(
            Poq::cancel_request(RuntimeOrigin::signed(requester()), id + 1),
            Error::<Test>::UnknownRequest
        );
        assert_ok!(cancel(requester()));
        let reason = RefundReason::Cancelled;
        let fee = Requests::<Test>::get(id).unwrap().budget.fee;
        assert!(fee > 0, "asking again until one likes the draw costs something");
        System::assert_last_event(
            Event::Refunded { request: id, reason, paid: 0, fee, refund: 10_000 - fee }.into(),
        );
        assert_eq!(Balances::free_balance(requester()), before - fee);
        assert_eq!(OpenRequests::<Test>::get(), 0);
        assert_noop!(cancel(requester()), Error::<Test>::NotWaiting);
        // Nobody is drawn any more, and the request is forgotten as every other.
        run_until(|| !Requests::<Test>::contains_key(id));
        assert!(!events().iter().any(|event| matches!(event, Event::InferenceNodesDrawn { .. })));
    });
}

#[test]
fn a_request_that_somebody_was_drawn_for_cannot_be_cancelled() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        let cancel = || Poq::cancel_request(RuntimeOrigin::signed(requester()), id);
        assert_noop!(cancel(), Error::<Test>::NotWaiting);
        answer_all(id);
        assert_noop!(cancel(), Error::<Test>::NotWaiting);
        score_all(id, &[70, 90]);
        assert_noop!(cancel(), Error::<Test>::NotWaiting);
    });
}
