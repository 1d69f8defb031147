//! Orders from the prompt to the settled certificate.

use crate::stub::{key, terms, until, within, World, CHANNEL, EPOCH, GENESIS};
use poq_express::{
    crypto::{Crypto as _, Vrf},
    wire::Refusal,
};
use poq_express_process::{
    ask::Fallback,
    chain::{Challenge, Draw, Endpoint},
};
use poq_primitives::express::{
    draw::{ANSWER_VRF, RESPONDER_VRF, SCORE_VRF},
    OrderName,
};
use std::sync::atomic::Ordering;

fn name(index: u32) -> OrderName {
    OrderName { channel: CHANNEL, epoch: EPOCH, index }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_through_and_is_settled_once() {
    let world = World::new(5).await;
    let asker = world.asker().await;
    let answer = within("an answer", asker.ask(&terms(1, 3), b"why?".to_vec())).await.unwrap();
    assert_eq!(answer.name, name(0));
    let best = answer.best().unwrap();
    assert_eq!(best.text.as_deref(), Some(&b"an answer to why?"[..]));
    assert_eq!(best.scores.len(), 3);
    until("it is settled", || world.chain.used().contains(&0)).await;
    let second = within("a second answer", asker.ask(&terms(2, 3), b"how?".to_vec())).await;
    assert_eq!(second.unwrap().outputs.len(), 2);
    until("it is settled", || world.chain.used().contains(&1)).await;
    let batches = world.chain.batches.lock().unwrap().concat();
    assert_eq!(batches.len(), 2, "each order is in one batch: {batches:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_goes_on_from_its_disk_after_a_restart() {
    let mut world = World::new(4).await;
    world.engine.holds_scores.store(true, Ordering::SeqCst);
    let asker = world.asker().await;
    let terms = terms(1, 3);
    let asking = asker.ask(&terms, b"why?".to_vec());
    tokio::pin!(asking);
    // With one responder and a committee of three of four operators, everybody is in it. The members have their jobs: one more than one answer.
    let engine = world.engine.clone();
    let all_work = until("everybody works", || engine.asked.lock().unwrap().len() == 4);
    tokio::select! {
        early = &mut asking => panic!("{early:?}"),
        () = all_work => {}
    }
    for index in 0..4 {
        world.restart(index).await;
    }
    world.engine.holds_scores.store(false, Ordering::SeqCst);
    let answer = within("an answer", asking).await.unwrap();
    assert_eq!(answer.best().unwrap().scores.len(), 3);
    assert_eq!(engine.asked.lock().unwrap().len(), 4, "the same jobs after the restart");
    until("it is settled", || world.chain.used().contains(&0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_kept_while_the_chain_is_away() {
    let mut world = World::new(5).await;
    world.chain.is_away.store(true, Ordering::SeqCst);
    let asker = world.asker().await;
    within("an answer", asker.ask(&terms(1, 3), b"why?".to_vec())).await.unwrap();
    let unsettled = |world: &World| {
        let gauges = world.operators.iter().flatten().map(|operator| operator.metrics.unsettled.get());
        gauges.sum::<i64>()
    };
    until("all who carry it have it", || unsettled(&world) >= 4).await;
    drop(asker);
    for index in 0..5 {
        world.restart(index).await;
    }
    assert!(world.chain.used().is_empty());
    world.chain.is_away.store(false, Ordering::SeqCst);
    until("it is settled", || world.chain.used().contains(&0)).await;
    until("nobody holds it any more", || unsettled(&world) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_certificate_gets_nothing() {
    let world = World::new(4).await;
    // The chain says another fingerprint for the one who would answer: as if somebody stood in between.
    for number in 1..=4 {
        let key = key(number).key();
        let endpoint = world.chain.state().endpoints[&key].clone();
        world.chain.set_endpoint_of(key, Endpoint { tls: [9; 32], ..endpoint });
    }
    let asker = world.asker().await;
    let terms = terms(1, 3);
    let asking = asker.ask(&terms, b"why?".to_vec());
    tokio::pin!(asking);
    let tried = || world.operators.iter().flatten().any(|all| all.metrics.refusals("handshake") > 1);
    let trying = until("it tries more than once", tried);
    tokio::select! {
        early = &mut asking => panic!("{early:?}"),
        () = trying => {}
    }
    let received: u64 = world.operators.iter().flatten().map(|all| all.metrics.received.get()).sum();
    assert_eq!(received, 0, "nobody sees a message");
    // With the right fingerprints the same order goes through: connections are tried again.
    for operator in world.operators.iter().flatten() {
        let endpoint = Endpoint { address: operator.address.to_string(), tls: operator.fingerprint };
        world.chain.set_endpoint_of(operator.key, endpoint);
    }
    assert!(within("an answer", asking).await.unwrap().best().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_lane_cannot_take_is_said_at_once() {
    let world = World::new(4).await;
    let asker = world.asker().await;
    let mut other = terms(1, 3);
    other.generator = [8; 32];
    let refused = within("a refusal", asker.ask(&other, b"why?".to_vec())).await;
    assert!(matches!(refused, Err(Fallback::Refused(Refusal::NoLane))), "{refused:?}");
    let mut dear = terms(1, 3);
    dear.budget = 11;
    let refused = within("a refusal", asker.ask(&dear, b"why?".to_vec())).await;
    assert!(matches!(refused, Err(Fallback::Refused(Refusal::Uncovered(_)))), "{refused:?}");
    assert!(asker.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_is_shown_in_the_request_that_an_order_became() {
    let world = World::new(4).await;
    world.engine.holds_scores.store(true, Ordering::SeqCst);
    let asker = world.asker().await;
    let terms = terms(1, 3);
    let asking = asker.ask(&terms, b"why?".to_vec());
    tokio::pin!(asking);
    let engine = world.engine.clone();
    let all_work = until("everybody works", || engine.asked.lock().unwrap().len() == 4);
    tokio::select! {
        early = &mut asking => panic!("{early:?}"),
        () = all_work => {}
    }
    // Somebody has escalated it.
    world.chain.change(|state| state.escalated.extend([(name(0), 77)]));
    until("the responder shows its output", || !world.chain.shown.lock().unwrap().is_empty()).await;
    let shown = world.chain.shown.lock().unwrap().clone();
    assert_eq!(shown.len(), 1);
    assert_eq!((shown[0].request, shown[0].name), (77, name(0)));
    assert_eq!(shown[0].output, b"an answer to why?");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_is_asked_for_is_shown() {
    let world = World::new(4).await;
    let challenge = Challenge { key: key(2).key(), name: name(3), draw: Draw::Responder };
    world.chain.change(|state| state.challenges.extend([challenge]));
    until("the proof is shown", || !world.chain.proofs.lock().unwrap().is_empty()).await;
    let proofs = world.chain.proofs.lock().unwrap().clone();
    assert_eq!(proofs.len(), 1, "by the one who is asked");
    assert_eq!(proofs[0].0, challenge);
    let output = key(2).vrf(RESPONDER_VRF, &GENESIS, &name(3)).output;
    let vrf = Vrf { output, proof: proofs[0].1 };
    assert!(key(0).verify_vrf(&key(2).key(), RESPONDER_VRF, &GENESIS, &name(3), &vrf));
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_show_the_proofs_of_a_channel_whose_owner_is_away() {
    let world = World::new(4).await;
    let asker = world.asker().await;
    within("an answer", asker.ask(&terms(1, 3), b"why?".to_vec())).await.unwrap();
    drop(asker);
    let challenge = |draw| Challenge { key: key(0).key(), name: name(0), draw };
    world.chain.change(|state| state.challenges.extend([Draw::First, Draw::Second].map(challenge)));
    for (draw, domain) in [(Draw::First, ANSWER_VRF), (Draw::Second, SCORE_VRF)] {
        let shown = || {
            let proofs = world.chain.proofs.lock().unwrap();
            proofs.iter().find(|(of, _)| *of == challenge(draw)).map(|(_, proof)| *proof)
        };
        until("the proof is shown", || shown().is_some()).await;
        let output = key(0).vrf(domain, &GENESIS, &name(0)).output;
        let vrf = Vrf { output, proof: shown().unwrap() };
        assert!(key(1).verify_vrf(&key(0).key(), domain, &GENESIS, &name(0), &vrf), "{draw:?}");
    }
}
