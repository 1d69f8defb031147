//! The agenda: metered, fair, and open to anyone's help.

use crate::{mock::*, *};
use frame_support::{
    assert_noop, assert_ok,
    dispatch::Pays,
    traits::Hooks,
    weights::{Weight, WeightMeter},
};

#[test]
fn never_takes_more_than_its_share() {
    build_and_execute(|| {
        let ids: Vec<_> = (0..20).map(|_| ask(terms())).collect();
        AgendaWeightOf::set(Weight::from_parts(350, 0));
        let done = || ids.iter().filter(|id| phase(**id) != Phase::Requested).count();
        System::set_block_number(3);
        let mut meter = WeightMeter::with_limit(Weight::from_parts(1_000, 0));
        Poq::on_poll(3, &mut meter);
        assert!(meter.consumed().ref_time() <= 350, "{meter:?}");
        assert!(done() > 0 && done() < 20);
        // A block without room leaves everything as it is.
        let before = done();
        System::set_block_number(4);
        Poq::on_poll(4, &mut WeightMeter::with_limit(Weight::zero()));
        assert_eq!(done(), before);
        // What was left waits its turn.
        for block in 5..30 {
            System::set_block_number(block);
            Poq::on_poll(block, &mut WeightMeter::new());
        }
        assert_eq!(done(), 20);
    });
}

#[test]
fn on_idle_uses_what_is_left_and_no_more() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        let block = phase(id).until().unwrap() + 1;
        System::set_block_number(block);
        assert_eq!(Poq::on_idle(block, Weight::zero()), Weight::zero());
        assert!(!phase(id).is_closed());
        let used = Poq::on_idle(block, Weight::from_parts(1_000, 0));
        assert!(used.ref_time() > 0 && used.ref_time() <= 1_000);
        assert!(phase(id).is_closed());
    });
}

#[test]
fn anyone_can_do_the_step() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        AgendaWeightOf::set(Weight::zero());
        let advance = |id| Poq::advance(RuntimeOrigin::signed(account(52)), id);
        assert_noop!(advance(77), Error::<Test>::UnknownRequest);
        assert_noop!(advance(id), Error::<Test>::NotDue);
        let nodes = responders(id);
        commit_output(nodes[0], id, b"Lima").unwrap();
        let until = phase(id).until().unwrap();
        run_to(until);
        assert_noop!(advance(id), Error::<Test>::NotDue);
        run_to(until + 1);
        let post = advance(id).unwrap();
        assert_eq!(post.pays_fee, Pays::No);
        assert!(matches!(phase(id), Phase::RevealingAnswers { .. }));
        assert_noop!(advance(id), Error::<Test>::NotDue);
        // Nobody has to: with the last report the next phase opens.
        reveal_output(nodes[0], id, b"Lima").unwrap();
        assert_eq!(phase(id), Phase::Selecting);
        // A draw is left to the agenda.
        run_to(until + 3);
        assert_noop!(advance(id), Error::<Test>::NotDue);
        AgendaWeightOf::set(Weight::MAX);
        run_until(|| !committee(id).is_empty());
        AgendaWeightOf::set(Weight::zero());
        for n in committee(id) {
            commit_scores(n, id, &[70]).unwrap();
        }
        for n in committee(id) {
            reveal_scores(n, id, &[70]).unwrap();
        }
        assert_ok!(advance(id));
        settled(id);
        assert_noop!(advance(id), Error::<Test>::NotDue);
        run_to(80);
        assert_ok!(advance(id));
        assert_noop!(advance(id), Error::<Test>::UnknownRequest);
    });
}

#[test]
fn catches_up_after_a_gap() {
    build_and_execute(|| {
        let id = ask_and_draw(terms());
        // Blocks in which no hook had room at all.
        System::set_block_number(100);
        Poq::on_poll(100, &mut WeightMeter::new());
        assert!(phase(id).is_closed());
        assert_eq!(AgendaCursor::<Test>::get(), Some(100));
    });
}

#[test]
fn a_chain_that_takes_the_pallet_in_late_does_not_walk_through_its_past() {
    build_and_execute(|| {
        System::set_block_number(1_000_000);
        Poq::on_poll(1_000_000, &mut WeightMeter::new());
        let id = ask(terms());
        assert_eq!(AgendaCursor::<Test>::get(), Some(1_000_000));
        run_to(1_000_002);
        assert!(matches!(phase(id), Phase::Answering { .. }));
    });
}

/// What the steps weigh that turned the requests of `before` into those of now.
fn work_since(before: &[(RequestId, Request<Test>)]) -> Weight {
    let spent = before.iter().map(|(id, request)| match Requests::<Test>::get(id) {
        Some(after) if (after.phase, after.due) == (request.phase, request.due) => Weight::zero(),
        Some(after) => steps::least_spent::<Test>(request, &after),
        None => steps::most_weight::<Test>(request),
    });
    spent.fold(Weight::zero(), |sum, spent| sum.saturating_add(spent))
}

/// Everybody whose duty it is does the next piece of work for `id`; who has done it already is refused.
fn work_on(id: RequestId) {
    let Some(request) = Requests::<Test>::get(id) else { return };
    for n in NODES.into_iter().map(|(n, _)| n).chain(SCORERS) {
        let role = operators::duty_in::<Test>(&account(n), id);
        let _ = match (role, request.phase) {
            (Some(Role::InferenceNode), Phase::Answering { .. }) => commit_output(n, id, b"Lima"),
            (Some(Role::InferenceNode), Phase::RevealingAnswers { .. }) => reveal_output(n, id, b"Lima"),
            (Some(Role::QualityValidator), Phase::Scoring { .. }) => commit_scores(n, id, &[70, 70]),
            (Some(Role::QualityValidator), Phase::RevealingScores { .. }) => reveal_scores(n, id, &[70, 70]),
            _ => Ok(()),
        };
    }
}

#[test]
fn a_full_agenda_takes_no_more_than_its_share_and_everything_is_done_in_the_end() {
    build_and_execute(|| {
        // Half of the requests find everybody silent; nobody shall lose all its stake by that.
        let parameters = Parameters { absence_slash: 0, ..PARAMETERS };
        Poq::set_parameters(RuntimeOrigin::root(), parameters).unwrap();
        let all = 200;
        let ids: Vec<_> = (0..all).map(|_| ask(Terms { budget: 3_000, ..terms() })).collect();
        assert_eq!(Agenda::<Test>::iter_prefix(3).count(), ids.len(), "all are due in one block");
        MeasuredWeights::set(true);
        let share = steps::dearest_step::<Test>().saturating_mul(5);
        assert!(share.all_gt(Weight::zero()));
        AgendaWeightOf::set(share);
        // What a block may have left, from nothing to more than the agenda may take, and too little of one kind.
        let rooms = [
            share.saturating_mul(2),
            Weight::zero(),
            share.saturating_div(3),
            Weight::from_parts(u64::MAX, share.proof_size() / 3),
            Weight::from_parts(share.ref_time() / 3, u64::MAX),
        ];
        let mut full_blocks = 0;
        for (block, room) in (2..).zip(rooms.into_iter().cycle()) {
            assert!(block < 300, "it comes to an end");
            let check = |room: Weight, spend: &dyn Fn() -> Weight| {
                let before: Vec<_> = Requests::<Test>::iter().collect();
                let consumed = spend();
                assert!(consumed.all_lte(share.min(room)), "{consumed:?} of {share:?}, {room:?} were left");
                let work = work_since(&before);
                assert!(work.all_lte(consumed), "{work:?} was done for {consumed:?}");
                consumed
            };
            System::set_block_number(block);
            let consumed = check(room, &|| {
                let mut meter = WeightMeter::with_limit(room);
                Poq::on_poll(block, &mut meter);
                meter.consumed()
            });
            full_blocks += u32::from(!consumed.saturating_add(steps::dearest_step::<Test>()).all_lte(share));
            ids.iter().filter(|id| *id % 2 == 0).for_each(|id| work_on(*id));
            check(room, &|| Poq::on_idle(block, room));
            if Requests::<Test>::iter_keys().next().is_none() {
                break;
            }
        }
        assert!(full_blocks > 5, "the agenda was full");
        let events = System::events();
        let count = |wanted: fn(&Event<Test>) -> bool| {
            events.iter().filter(|r| matches!(&r.event, RuntimeEvent::Poq(event) if wanted(event))).count()
        };
        assert_eq!(count(|event| matches!(event, Event::Settled { .. })), ids.len() / 2);
        assert_eq!(count(|event| matches!(event, Event::Refunded { .. })), ids.len() / 2);
        assert_eq!(count(|event| matches!(event, Event::Pruned { .. })), ids.len());
    });
}

/// Nodes of the state that a block reads and writes which settles one request among `others` open ones.
fn nodes_touched_by_a_settlement(others: u64) -> usize {
    reset_knobs();
    let mut storage = storage();
    storage.execute_with(|| {
        let id = ask_and_draw(terms());
        answer_all(id);
        for n in committee(id) {
            commit_scores(n, id, &[70, 70]).unwrap();
        }
        next_block();
        for n in committee(id) {
            reveal_scores(n, id, &[70, 70]).unwrap();
        }
        let now = System::block_number();
        let request = Requests::<Test>::get(id).unwrap();
        assert_eq!(request.due, now);
        for other in (1..=others).map(|n| id + n) {
            // Half of them in the next block, the others later and later.
            let due = now + if other % 2 == 0 { 1 } else { other };
            Requests::<Test>::insert(other, Request { due, ..request.clone() });
            Agenda::<Test>::insert(due, other, ());
        }
        OpenRequests::<Test>::put(others as u32 + 1);
    });
    storage.commit_all().unwrap();
    let (phase, proof) = storage.execute_and_prove(|| {
        let now = System::block_number();
        Poq::on_poll(now, &mut WeightMeter::new());
        phase(0)
    });
    assert!(matches!(phase, Phase::Settled { .. }));
    proof.iter_nodes().count()
}

#[test]
fn a_settlement_costs_the_same_however_many_requests_are_open() {
    let (few, many) = (nodes_touched_by_a_settlement(10), nodes_touched_by_a_settlement(1_000));
    // A trie of a hundred times as many entries is one or two levels deeper; a walk over them would be a hundredfold.
    assert!(many < 2 * few, "{few} nodes with 10 others, {many} with 1,000");
    let weight = |others| crate::weights::SubstrateWeight::<Test>::settle_among_open(others);
    assert!(weight(1_000).all_lte(weight(0).saturating_mul(5).saturating_div(4)), "nor was it measured so");
}
