use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok, BoundedVec};
use pallet_proof_of_quality::{Phase, RequestId, Work};
use poq_primitives::express::{prompt_hash, Order, OrderName, ResponderPart};

pub(super) const PROMPT: &[u8] = b"What is the capital of Peru?";
const SALT: [u8; 32] = [8; 32];

/// An order for an answer to [`PROMPT`].
pub(super) fn order_of(name: OrderName, responders: u8) -> Order<Balance> {
    Order { prompt: prompt_hash(&GENESIS, &name, PROMPT, &SALT), ..order(name, responders, 3) }
}

/// The responders of an order in the order of the draw, of whom those at `committed` have committed.
pub(super) fn parts(order: &Order<Balance>, committed: &[usize]) -> (Vec<u64>, Vec<ResponderPart>) {
    let answers =
        (0..order.responders as usize).map(|place| Some(true).filter(|_| committed.contains(&place)));
    let play = Play { answers: answers.collect(), scores: vec![Some(50); 3] };
    (responders_of(order), certify(order.clone(), &play).responders)
}

pub(super) fn escalate_with(
    order: &Order<Balance>,
    prompt: &[u8],
    parts: Vec<ResponderPart>,
) -> sp_runtime::DispatchResult {
    let signature = sign(ASKER, &order.digest(&GENESIS));
    let (prompt, parts) = (BoundedVec::truncate_from(prompt.to_vec()), BoundedVec::truncate_from(parts));
    frame_support::storage::with_storage_layer(|| {
        Express::escalate(signed(7), order.clone(), signature, prompt, SALT, parts)
    })
}

pub(super) fn escalated() -> RequestId {
    let found = events().into_iter().find_map(|event| match event {
        Event::Escalated { request, .. } => Some(request),
        _ => None,
    });
    found.expect("an order has escalated")
}

pub(super) fn show(
    request: RequestId,
    name: &OrderName,
    n: u64,
    output: &[u8],
) -> sp_runtime::DispatchResult {
    let output = BoundedVec::truncate_from(output.to_vec());
    frame_support::storage::with_storage_layer(|| {
        Express::show_output(signed(ASKER + 2), request, *name, public(n), output, salt(n))
    })
}

fn request(id: RequestId) -> pallet_proof_of_quality::Request<Test> {
    pallet_proof_of_quality::Requests::<Test>::get(id).unwrap()
}

#[test]
fn a_responder_that_was_left_alone_is_paid_by_quality_all_the_same() {
    run(|| {
        let epoch = open_lane();
        let order = order_of(name(epoch, 0), 2);
        let (drawn, parts) = parts(&order, &[0, 1]);
        assert_ok!(escalate_with(&order, PROMPT, parts));
        let id = escalated();
        assert_eq!(channel_balance(), DEPOSIT - order.budget);
        assert!(matches!(request(id).phase, Phase::RevealingAnswers { .. }));
        assert_noop!(
            show(id, &order.name, drawn[0], b"Cusco."),
            pallet_proof_of_quality::Error::<Test>::RevealMismatch
        );
        for n in &drawn {
            assert_ok!(show(id, &order.name, *n, &text(*n)));
        }
        assert!(matches!(request(id).phase, Phase::Selecting));
        // The rest is the chain path: a committee is drawn, commits and reveals.
        score_on_chain(id, 80);
        assert!(matches!(request(id).phase, Phase::Settled { .. }));
        let responses = pallet_proof_of_quality::Responses::<Test>::get(id);
        assert!(responses.iter().all(|response| response.paid == 80 * 965 / 100), "as on the lane");
    });
}

#[test]
fn who_committed_and_shows_nothing_is_slashed() {
    run(|| {
        let epoch = open_lane();
        let order = order_of(name(epoch, 0), 2);
        let (drawn, parts) = parts(&order, &[0, 1]);
        assert_ok!(escalate_with(&order, PROMPT, parts));
        let id = escalated();
        assert_ok!(show(id, &order.name, drawn[0], &text(drawn[0])));
        for _ in 0..7 {
            next_block();
        }
        let work: Vec<_> = pallet_proof_of_quality::Responses::<Test>::get(id)
            .iter()
            .map(|response| response.work)
            .collect();
        assert_eq!(work, [Work::Revealed, Work::NotRevealed]);
        score_on_chain(id, 50);
        assert_eq!(Slashed::get(), 100);
    });
}

#[test]
fn a_sole_responder_goes_on_and_others_are_asked_as_for_any_request() {
    run(|| {
        let epoch = open_lane();
        let sole = order_of(name(epoch, 0), 1);
        let (_, sole_parts) = parts(&sole, &[0]);
        assert_ok!(escalate_with(&sole, PROMPT, sole_parts));
        assert!(matches!(request(escalated()).phase, Phase::RevealingAnswers { .. }));
        System::reset_events();
        let order = order_of(name(epoch, 1), 3);
        let (drawn, parts) = parts(&order, &[1]);
        assert_ok!(escalate_with(&order, PROMPT, parts));
        let id = escalated();
        assert!(matches!(request(id).phase, Phase::Answering { .. }));
        let work: Vec<_> = pallet_proof_of_quality::Responses::<Test>::get(id)
            .iter()
            .map(|response| (number(&response.operator), response.work))
            .collect();
        let committed = Work::Committed(commitment(&order.name, drawn[1]));
        assert_eq!(work, [(drawn[0], Work::Pending), (drawn[1], committed), (drawn[2], Work::Pending)]);
        assert_noop!(
            show(id, &order.name, drawn[1], &text(drawn[1])),
            pallet_proof_of_quality::Error::<Test>::TooEarly
        );
    });
}

#[test]
fn an_order_settles_or_escalates_and_never_both() {
    run(|| {
        let epoch = open_lane();
        let order = order_of(name(epoch, 0), 1);
        let (_, parts) = parts(&order, &[0]);
        let certificate = certify(order.clone(), &Play::all(1, &[50; 3]));
        assert_ok!(escalate_with(&order, PROMPT, parts.clone()));
        assert_eq!(refusal(certificate), Some(Refusal::NameUsed));
        assert_noop!(escalate_with(&order, PROMPT, parts), Error::<Test>::NameUsed);
        let order = order_of(name(epoch, 1), 1);
        let parts = super::escalation::parts(&order, &[0]).1;
        assert_eq!(refusal(certify(order.clone(), &Play::all(1, &[50; 3]))), None);
        assert_noop!(escalate_with(&order, PROMPT, parts), Error::<Test>::NameUsed);
    });
}

#[test]
fn only_what_was_ordered_and_committed_to_escalates() {
    run(|| {
        let epoch = open_lane();
        let order = order_of(name(epoch, 0), 2);
        let (_, good) = parts(&order, &[0, 1]);
        let (_, none) = parts(&order, &[]);
        assert_noop!(escalate_with(&order, PROMPT, none), Error::<Test>::NothingCommitted);
        assert_noop!(escalate_with(&order, b"Another?", good.clone()), Error::<Test>::AnotherPrompt);
        let mut forged = order.clone();
        forged.first_draw = [99; 32];
        assert_noop!(escalate_with(&forged, PROMPT, good.clone()), Error::<Test>::NotTheResponders);
        let mut swapped = good.clone();
        swapped.swap(0, 1);
        assert_noop!(escalate_with(&order, PROMPT, swapped), Error::<Test>::NotTheResponders);
        let mut dear = order.clone();
        dear.budget = MOST + 1;
        assert_noop!(escalate_with(&dear, PROMPT, good.clone()), Error::<Test>::DepositTooSmall);
        let signature = sign(1, &order.digest(&GENESIS));
        let (prompt, parts) =
            (BoundedVec::truncate_from(PROMPT.to_vec()), BoundedVec::truncate_from(good.clone()));
        let by_another = Express::escalate(signed(7), order.clone(), signature, prompt, SALT, parts);
        assert_noop!(by_another, Error::<Test>::NotOrdered);
        next_epoch();
        next_epoch();
        assert_noop!(escalate_with(&order, PROMPT, good), Error::<Test>::TooOld);
    });
}

#[test]
fn nobody_is_asked_for_what_does_not_fit_its_model() {
    run(|| {
        let epoch = open_lane();
        let prompt = vec![b'a'; 4_000];
        let mut order = order(name(epoch, 0), 2, 3);
        order.prompt = prompt_hash(&GENESIS, &order.name, &prompt, &SALT);
        // With 100 tokens of an answer above a context of 4,096.
        let (_, committed) = parts(&order, &[0]);
        let too_small = pallet_proof_of_quality::Error::<Test>::ContextTooSmall;
        assert_noop!(escalate_with(&order, &prompt, committed), too_small);
        order.max_tokens = 96;
        let (_, committed) = parts(&order, &[0]);
        assert_ok!(escalate_with(&order, &prompt, committed));
    });
}

#[test]
fn an_operator_that_is_full_or_gone_holds_up_nobody() {
    run(|| {
        let epoch = open_lane();
        let order = order_of(name(epoch, 0), 3);
        let (drawn, parts) = parts(&order, &[0]);
        // One serves no more, one has no room.
        assert_ok!(Poq::chill(signed(drawn[1])));
        let none = pallet_proof_of_quality::Workload { tokens: 1, pairs: 1 };
        assert_ok!(Poq::set_capacity(signed(drawn[2]), none));
        assert_ok!(escalate_with(&order, PROMPT, parts));
        let id = escalated();
        assert_eq!(pallet_proof_of_quality::Responses::<Test>::get(id).len(), 1);
        assert_ok!(show(id, &order.name, drawn[0], &text(drawn[0])));
    });
}
