//! Other pallets ask: what it costs, what they hear, and that nothing of theirs holds a settlement.

use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok, storage::unhashed, traits::Hooks, weights::Weight};
use sp_runtime::{DispatchError, Permill};

const WEIGHT: Weight = Weight::from_parts(1_000, 0);

/// Asks as another pallet does, for the mock's requester.
fn ask_by_pallet() -> RequestId {
    <Poq as Inference>::request(&requester(), b"capital of Peru?".to_vec(), terms()).unwrap()
}

/// Settles a request in blocks that have no room for a callback.
fn settle(id: RequestId) {
    ListenerWeight::set(Weight::MAX);
    run_until(|| !responders(id).is_empty());
    answer_all(id);
    score_all(id, &[70, 90]);
    settled(id);
    ListenerWeight::set(WEIGHT);
}

fn ending(id: RequestId) -> Ending<AccountId> {
    let responses = Responses::<Test>::get(id);
    let operator = responses[1].operator;
    let answer = format!("answer of {}", responders(id)[1]).into_bytes();
    Ending::Settled { answer, quality: Permill::from_percent(90), operator }
}

fn idle(weight: Weight) -> Weight {
    Poq::on_idle(System::block_number(), weight)
}

#[test]
fn who_asks_hears_how_it_ended_in_a_block_with_room() {
    build_and_execute(|| {
        ListenerWeight::set(WEIGHT);
        let id = ask_by_pallet();
        assert_eq!(Poq::callback(id), Some(Callback::Open));
        settle(id);
        assert_eq!(
            (Poq::callback(id), Heard::get().len()),
            (Some(Callback::Due), 0),
            "not in the settlement"
        );

        idle(Weight::from_parts(WEIGHT.ref_time() - 1, u64::MAX));
        assert_eq!(Heard::get().len(), 0, "there is no room");
        let spent = idle(Weight::MAX);
        assert!(spent.ref_time() >= WEIGHT.ref_time(), "{spent}");
        assert_eq!(Heard::get(), [(id, requester(), ending(id))]);
        assert_eq!(Poq::callback(id), None);
        System::assert_last_event(Event::CalledBack { request: id }.into());
        idle(Weight::MAX);
        assert_eq!(Heard::get().len(), 1, "once");
    });
}

#[test]
fn a_refund_is_heard_of_and_a_request_by_transaction_is_not() {
    build_and_execute(|| {
        ListenerWeight::set(WEIGHT);
        let by_transaction = ask(terms());
        let id = ask_by_pallet();
        run_until(|| phase(id).is_closed() && phase(by_transaction).is_closed());
        idle(Weight::MAX);
        let refunded = Ending::Refunded { reason: RefundReason::NoCommitment };
        assert_eq!(Heard::get(), [(id, requester(), refunded)]);
        assert_eq!(Poq::callback(by_transaction), None);
    });
}

#[test]
fn the_callback_is_paid_for_with_the_request_and_what_is_refused_costs_nothing() {
    build_and_execute(|| {
        ListenerWeight::set(WEIGHT);
        let before = Balances::free_balance(requester());
        ask_by_pallet();
        assert_eq!(Balances::free_balance(requester()), before - 10_000 - 7);
        assert_eq!((Fees::get(), <Poq as Inference>::callback_price()), (7, 7));

        let ask = |who, prompt: &[u8]| <Poq as Inference>::request(&who, prompt.to_vec(), terms());
        assert_noop!(ask(requester(), b" "), Error::<Test>::EmptyPrompt);
        assert_noop!(ask(account(999), b"capital of Peru?"), Error::<Test>::InsufficientBalance);
        let estimate = <Poq as Inference>::estimate(&[STRONG, WEAK], &JUDGE, 10, 2, 5).unwrap();
        assert_eq!(Ok(estimate), Poq::estimate_budget(vec![STRONG, WEAK], JUDGE, 10, 2, 5));
    });
}

#[test]
fn a_handler_that_fails_changes_nothing_is_shown_and_can_be_tried_again() {
    build_and_execute(|| {
        ListenerWeight::set(WEIGHT);
        ListenerHears::set(false);
        let id = ask_by_pallet();
        settle(id);
        idle(Weight::MAX);
        let error = DispatchError::Other("the listener does not hear");
        // The text of such an error is not stored.
        let stored = DispatchError::Other("");
        assert_eq!(Poq::callback(id), Some(Callback::Failed(stored)));
        System::assert_last_event(Event::CallbackFailed { request: id, error: stored }.into());
        assert!(!unhashed::exists(b"heard"), "its changes are undone");
        idle(Weight::MAX);
        assert_noop!(Poq::retry_callback(RuntimeOrigin::signed(account(1)), id), error);

        ListenerHears::set(true);
        idle(Weight::MAX);
        assert_eq!(Heard::get().len(), 0, "not by itself");
        assert_ok!(Poq::retry_callback(RuntimeOrigin::signed(account(1)), id));
        assert_eq!(Heard::get(), [(id, requester(), ending(id))]);
        assert!(unhashed::exists(b"heard"));
        let again = Poq::retry_callback(RuntimeOrigin::signed(account(1)), id);
        assert_noop!(again, Error::<Test>::NoCallback);
    });
}

#[test]
fn a_callback_that_waits_for_room_can_be_made_on_call_and_an_open_one_cannot() {
    build_and_execute(|| {
        ListenerWeight::set(WEIGHT);
        let id = ask_by_pallet();
        let retry = || Poq::retry_callback(RuntimeOrigin::signed(account(1)), id);
        assert_noop!(retry(), Error::<Test>::NoCallback);
        settle(id);
        assert_ok!(retry());
        assert_eq!(Heard::get().len(), 1);
        idle(Weight::MAX);
        assert_eq!(Heard::get().len(), 1, "once");
    });
}

#[test]
fn nothing_is_left_of_a_callback_that_failed_when_its_request_is_forgotten() {
    build_and_execute(|| {
        ListenerWeight::set(WEIGHT);
        ListenerHears::set(false);
        let failed = ask_by_pallet();
        settle(failed);
        idle(Weight::MAX);
        let due = ask_by_pallet();
        settle(due);
        ListenerWeight::set(Weight::MAX);
        run_until(|| Requests::<Test>::get(failed).is_none() && Requests::<Test>::get(due).is_none());
        assert_eq!((Callbacks::<Test>::iter().count(), DueCallbacks::<Test>::iter().count()), (0, 0));
    });
}

#[test]
fn tuples_hear_together_and_fail_together() {
    build_and_execute(|| {
        ListenerWeight::set(WEIGHT);
        assert_eq!(
            <(Listener, Listener, ()) as OnSettled<AccountId>>::weight(),
            Some(WEIGHT.saturating_mul(2))
        );
        let ending = Ending::Refunded { reason: RefundReason::Busy };
        assert_ok!(<(Listener, Listener)>::on_settled(7, &requester(), &ending));
        assert_eq!(Heard::get().len(), 2);
        ListenerHears::set(false);
        assert!(<((), Listener)>::on_settled(7, &requester(), &ending).is_err());
    });
}

#[test]
fn a_pallet_cancels_what_is_not_drawn_and_hears_of_it() {
    build_and_execute(|| {
        ListenerWeight::set(WEIGHT);
        let id = ask_by_pallet();
        let cancel = |who| <Poq as Inference>::cancel(&who, id);
        assert_noop!(cancel(account(1)), Error::<Test>::NotRequester);
        assert_ok!(cancel(requester()));
        assert_eq!(Poq::callback(id), Some(Callback::Due));
        idle(Weight::MAX);
        let ending = Ending::Refunded { reason: RefundReason::Cancelled };
        assert_eq!(Heard::get(), [(id, requester(), ending)]);
    });
}
