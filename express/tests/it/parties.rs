//! One order, message by message, and what each party does about faults.

use crate::net::{is_answer, is_commit, is_proposal, is_reveal, millis, order, toy, Net, Sent, CHANNEL};
use poq_express::{
    crypto::Crypto,
    deposit::Uncovered,
    requester::offer,
    simulator::Toy,
    step::{Event, Peer, Record},
    wire::{Equivocation, Message, Part, Refusal},
};
use poq_primitives::express::{messages, quorum, ResponderPart, ScorerPart};
use sp_arithmetic::Permill;

fn net(responders: u8, committee: u8) -> Net<Toy> {
    Net::new(toy, responders, committee)
}

/// An order that has got so far that all members have committed and nobody knows of another's commitment.
fn committed(committee: u8) -> (Net<Toy>, Vec<Sent>, Vec<Peer>) {
    let mut net = net(1, committee);
    net.begin();
    let mut held = Vec::new();
    while let Some(sent) = net.queue.pop_front() {
        if is_commit(&sent.message) {
            held.push(sent);
        } else {
            net.tell(sent.from, sent.to, sent.message);
        }
    }
    let members = net.senders(is_commit);
    assert_eq!(members.len(), usize::from(committee));
    (net, held, members)
}

fn place(net: &Net<Toy>, member: Peer) -> u8 {
    let sent = net.sent.iter().find(|sent| sent.from == member && is_commit(&sent.message)).unwrap();
    let Message::Commit { set, .. } = &sent.message else { panic!() };
    set.commits[0].place
}

fn refusals(net: &Net<Toy>) -> Vec<(Peer, Refusal)> {
    let refusals = net.sent.iter().filter_map(|sent| match &sent.message {
        Message::Refusal { reason, .. } => Some((sent.from, reason.clone())),
        _ => None,
    });
    refusals.collect()
}

fn responders(net: &Net<Toy>) -> Vec<Peer> {
    let offers = net.sent.iter().filter(|sent| matches!(sent.message, Message::Offer { .. }));
    let mut asked = Vec::new();
    for sent in offers {
        if !asked.contains(&sent.to) {
            asked.push(sent.to);
        }
    }
    asked
}

#[test]
fn an_order_goes_through_with_commitments_before_reveals() {
    for (responders, committee) in [(1, 3), (2, 5), (3, 7), (3, 9)] {
        let mut net = net(responders, committee);
        net.begin();
        net.deliver(|_| true);
        let at = |is: &dyn Fn(&Message) -> bool, first: bool| {
            let mut all = net.sent.iter().enumerate().filter(|(_, sent)| is(&sent.message)).map(|(at, _)| at);
            if first {
                all.next().unwrap()
            } else {
                all.next_back().unwrap()
            }
        };
        let first_answers = at(&|message| matches!(message, Message::Answers { .. }), true);
        assert!(at(&is_answer, false) < first_answers, "the second draw comes after all commitments");
        assert!(at(&is_commit, false) < at(&is_reveal, true), "a whole committee commits, then reveals");
        assert!(net.certified.iter().any(|(by, _)| *by == CHANNEL));
        assert!(
            !net.sent.iter().any(|sent| is_proposal(&sent.message)),
            "nobody is late, so nobody proposes"
        );
        let settled = |sent: &&Sent| sent.to == Peer::Settlers;
        let last = net.sent.iter().rev().find(settled).unwrap();
        let Message::Certificate(certificate) = &last.message else { panic!() };
        let all = certificate.members.iter().all(|part| matches!(part, ScorerPart::Revealed(_)));
        assert!(all, "the certificate that is settled has all reveals");
    }
}

#[test]
fn a_second_order_of_a_name_is_refused_with_a_proof_as_data() {
    let mut net = net(1, 3);
    net.begin();
    let responder = responders(&net)[0];
    net.deliver(|sent| matches!(sent.message, Message::Offer { .. }));
    let second = offer(&net.owner.clone(), &net.view.genesis, order(1, 3, 0), b"other".to_vec(), [6; 32]);
    net.tell(CHANNEL, responder, Message::Offer { offer: Box::new(second.clone()), busy: vec![] });
    let (by, key, proof) = net.reports.first().unwrap();
    assert_eq!((*by, *key), (responder, net.owner.key()));
    assert!(proof.is_proof(&net.view.genesis, key, &net.owner));
    let first = (net.offer.order.clone(), net.offer.signature);
    assert_eq!(refusals(&net), [(responder, Refusal::SecondOrder(Box::new(first)))]);
    // After a restart as well: the order is on its disk.
    net.restart(responder);
    net.tell(CHANNEL, responder, Message::Offer { offer: Box::new(second), busy: vec![] });
    assert_eq!(net.reports.len(), 2);
}

#[test]
fn responders_of_two_orders_of_a_name_find_out_by_each_others_answers() {
    let mut net = net(2, 3);
    net.begin();
    let both = responders(&net);
    let second = offer(&net.owner.clone(), &net.view.genesis, order(2, 3, 0), b"other".to_vec(), [6; 32]);
    net.queue.clear();
    net.tell(CHANNEL, both[0], Message::Offer { offer: Box::new(net.offer.clone()), busy: vec![] });
    net.tell(CHANNEL, both[1], Message::Offer { offer: Box::new(second), busy: vec![] });
    net.deliver(|sent| is_answer(&sent.message) && sent.to != CHANNEL);
    assert_eq!(net.reports.len(), 2);
    assert!(net.reports.iter().all(|(_, key, proof)| {
        matches!(proof, Equivocation::Orders(_)) && proof.is_proof(&net.view.genesis, key, &net.owner)
    }));
}

#[test]
fn an_offer_is_checked_before_anything_is_done() {
    let base = net(1, 3);
    let genesis = base.view.genesis;
    let make = |order, prompt: &[u8]| offer(&base.owner, &genesis, order, prompt.to_vec(), [5; 32]);
    let mut wrong = Vec::new();
    let mut offer = base.offer.clone();
    offer.signature[0] ^= 1;
    wrong.push((offer, Refusal::OrderSignature));
    let mut offer = base.offer.clone();
    offer.prompt.push(b'!');
    wrong.push((offer, Refusal::Prompt));
    let mut offer = base.offer.clone();
    offer.proof[0] ^= 1;
    wrong.push((offer, Refusal::Vrf));
    let mut unknown = order(1, 3, 0);
    unknown.generator = [8; 32];
    wrong.push((make(unknown, b""), Refusal::NoLane));
    let mut unknown = order(1, 3, 0);
    unknown.name.channel = 2;
    wrong.push((make(unknown, b""), Refusal::Channel));
    let mut old = order(1, 3, 0);
    old.name.epoch = 4;
    wrong.push((make(old, b""), Refusal::NoLane));
    wrong.push((make(order(0, 3, 0), b""), Refusal::Size));
    wrong.push((make(order(1, 2, 0), b""), Refusal::Size));
    wrong.push((make(order(1, 16, 0), b""), Refusal::Size));
    wrong.push((make(order(1, 3, 10), b""), Refusal::Uncovered(Uncovered::Index)));
    let mut dear = order(1, 3, 0);
    dear.budget = 11;
    wrong.push((make(dear, b""), Refusal::Uncovered(Uncovered::Budget)));
    wrong.push((make(order(1, 3, 0), &vec![b'x'; (1 << 20) + 1]), Refusal::TooLong));
    for (offer, refusal) in wrong {
        let mut net = net(1, 3);
        net.begin();
        let responder = responders(&net)[0];
        net.tell(CHANNEL, responder, Message::Offer { offer: Box::new(offer), busy: vec![] });
        assert_eq!(refusals(&net), [(responder, refusal)]);
        assert!(net.records.iter().all(|(by, _, _)| *by == CHANNEL), "nothing is kept of it");
    }
}

#[test]
fn who_is_not_drawn_refuses() {
    let mut net = net(1, 3);
    net.begin();
    let responder = responders(&net)[0];
    let stranger =
        net.keys.iter().map(|key| Peer::Operator(key.key())).find(|peer| *peer != responder).unwrap();
    net.tell(CHANNEL, stranger, Message::Offer { offer: Box::new(net.offer.clone()), busy: vec![] });
    assert_eq!(refusals(&net), [(stranger, Refusal::NotDrawn)]);
}

#[test]
fn the_next_pick_takes_the_place_of_the_busy() {
    let mut net = net(2, 3);
    net.limits.open_orders = 0;
    net.begin();
    // The first pick has no room; all others have.
    let first = responders(&net)[0];
    let Peer::Operator(key) = first else { panic!() };
    let busy = poq_express::operator::Operator::new(net.crypto(first), net.limits.clone());
    net.operators.insert(key, busy);
    net.deliver(|_| true);
    assert_eq!(responders(&net).len(), 3);
    let (_, certificate) = &net.certified[0];
    assert_eq!(certificate.responders.len(), 3);
    assert!(matches!(certificate.responders[0], ResponderPart::Busy(_)));
    // It stays busy for this order when it has room again.
    net.restart(first);
    net.tell(CHANNEL, first, Message::Offer { offer: Box::new(net.offer.clone()), busy: vec![] });
    assert!(matches!(net.sent.last().unwrap().message, Message::ResponderBusy { .. }));
    assert!(!net.senders(is_answer).contains(&first));
}

#[test]
fn a_busy_member_is_replaced_too() {
    let (probe, _, members) = committed(3);
    let busy = *members.iter().find(|member| place(&probe, **member) == 0).unwrap();
    let mut net = net(1, 3);
    let Peer::Operator(key) = busy else { panic!() };
    net.limits.open_orders = 0;
    let operator = poq_express::operator::Operator::new(net.crypto(busy), net.limits.clone());
    net.operators.insert(key, operator);
    net.begin();
    net.deliver(|_| true);
    let (_, certificate) = net.certified.iter().find(|(by, _)| *by == CHANNEL).unwrap();
    assert_eq!(certificate.members.len(), 4);
    assert!(matches!(certificate.members[0], ScorerPart::Busy(_)));
}

#[test]
fn a_false_vrf_and_a_forged_answer_are_ignored() {
    let mut net = net(2, 3);
    net.begin();
    net.deliver(|sent| !is_answer(&sent.message));
    let answers: Vec<_> = net.sent.iter().filter(|sent| is_answer(&sent.message)).cloned().collect();
    let to_requester = |sent: &&Sent| sent.to == CHANNEL;
    let honest = answers.iter().find(to_requester).unwrap().clone();
    let forger = net.crypto(honest.from);
    let Message::Answer { order, place, answer, of } = honest.message.clone() else { panic!() };
    let mut forged = answer.clone();
    forged.vrf.output = [9; 32];
    let key = forger.key();
    let statement = messages::answer(&net.view.genesis, &order, &key, &forged.output, &forged.vrf.output);
    forged.signature = forger.sign(&statement);
    net.tell(honest.from, CHANNEL, Message::Answer { order, place, answer: forged, of: of.clone() });
    let mut unsigned = answer;
    unsigned.output = [9; 32];
    net.tell(honest.from, CHANNEL, Message::Answer { order, place, answer: unsigned, of });
    for sent in answers.iter().filter(to_requester) {
        net.tell(sent.from, sent.to, sent.message.clone());
    }
    net.deliver(|sent| !is_answer(&sent.message));
    assert!(!net.certified.is_empty(), "the right answers count");
}

#[test]
fn two_answers_are_reported() {
    let mut net = net(2, 3);
    net.begin();
    net.deliver(|sent| sent.to != CHANNEL);
    let sent = net.sent.iter().find(|sent| is_answer(&sent.message) && sent.to != CHANNEL).unwrap().clone();
    let Message::Answer { order, place, mut answer, of } = sent.message else { panic!() };
    answer.output = [9; 32];
    let crypto = net.crypto(sent.from);
    let statement =
        messages::answer(&net.view.genesis, &order, &crypto.key(), &answer.output, &answer.vrf.output);
    answer.signature = crypto.sign(&statement);
    net.tell(sent.from, sent.to, Message::Answer { order, place, answer, of });
    let (by, key, proof) = &net.reports[0];
    assert_eq!((*by, *key), (sent.to, crypto.key()));
    assert!(matches!(proof, Equivocation::Answers { .. }));
    assert!(proof.is_proof(&net.view.genesis, key, &net.owner));
}

fn the_answers(net: &Net<Toy>) -> Message {
    let is = |sent: &&Sent| matches!(sent.message, Message::Answers { .. });
    net.sent.iter().find(is).unwrap().message.clone()
}

#[test]
fn a_responder_shows_nothing_if_an_answer_that_it_knows_is_left_out() {
    let mut net = net(2, 3);
    net.begin();
    net.deliver(|sent| !matches!(sent.message, Message::Answers { .. }));
    let Message::Answers { order, v1, mut parts } = the_answers(&net) else { panic!() };
    parts[0] = Part::Absent;
    let second = responders(&net)[1];
    net.tell(CHANNEL, second, Message::Answers { order, v1, parts });
    let (by, refusal) = refusals(&net).pop().unwrap();
    assert_eq!(by, second);
    assert!(matches!(refusal, Refusal::LeftOut(answers) if answers.len() == 1 && answers[0].0 == 0));
    assert!(!net.sent.iter().any(|sent| matches!(sent.message, Message::Show { .. })));
}

#[test]
fn a_responder_shows_its_output_for_one_set_of_answers_even_after_a_restart() {
    let mut net = net(2, 3);
    net.begin();
    // The second does not hear of the first.
    net.deliver(|sent| {
        !matches!(sent.message, Message::Answers { .. }) && (!is_answer(&sent.message) || sent.to == CHANNEL)
    });
    let Message::Answers { order, v1, parts } = the_answers(&net) else { panic!() };
    let second = responders(&net)[1];
    net.tell(CHANNEL, second, Message::Answers { order, v1: v1.clone(), parts: parts.clone() });
    let shows =
        |net: &Net<Toy>| net.sent.iter().filter(|sent| matches!(sent.message, Message::Show { .. })).count();
    assert_eq!(shows(&net), 1);
    let mut fewer = parts;
    fewer[0] = Part::Absent;
    for _ in 0..2 {
        net.tell(CHANNEL, second, Message::Answers { order, v1: v1.clone(), parts: fewer.clone() });
        assert_eq!(refusals(&net).pop(), Some((second, Refusal::Bound)));
        net.restart(second);
    }
}

#[test]
fn a_false_second_draw_is_refused() {
    let mut net = net(1, 3);
    net.begin();
    net.deliver(|sent| !matches!(sent.message, Message::Answers { .. }));
    let Message::Answers { order, mut v1, parts } = the_answers(&net) else { panic!() };
    v1.output[0] ^= 1;
    let responder = responders(&net)[0];
    net.tell(CHANNEL, responder, Message::Answers { order, v1, parts });
    assert_eq!(refusals(&net), [(responder, Refusal::Vrf)]);
}

#[test]
fn a_member_scores_only_outputs_that_fit_and_were_shown_for_these_answers() {
    let mut net = net(2, 3);
    net.begin();
    net.deliver(|sent| !matches!(sent.message, Message::Ask { .. }));
    let asks: Vec<_> =
        net.sent.iter().filter(|sent| matches!(sent.message, Message::Ask { .. })).cloned().collect();
    let Message::Ask { material, busy } = asks[0].message.clone() else { panic!() };
    let mut wrong = material.clone();
    wrong.shows[0].as_mut().unwrap().output.push(b'!');
    net.tell(CHANNEL, asks[0].to, Message::Ask { material: wrong, busy: busy.clone() });
    assert_eq!(refusals(&net).pop(), Some((asks[0].to, Refusal::Output)));
    // A committee drawn without the first answer: its members are asked in vain, for the second was shown for both.
    let mut fewer = material;
    fewer.parts[0] = Part::Absent;
    fewer.shows.remove(0);
    for key in net.keys.clone() {
        let member = Peer::Operator(key.key());
        net.tell(CHANNEL, member, Message::Ask { material: fewer.clone(), busy: busy.clone() });
    }
    assert!(net.senders(is_commit).is_empty());
    assert!(refusals(&net).iter().all(|(_, refusal)| matches!(refusal, Refusal::Output | Refusal::NotDrawn)));
}

#[test]
fn a_silent_requester_is_replaced_by_the_responders() {
    let mut net = net(2, 3);
    net.begin();
    net.deliver(|sent| !(sent.from == CHANNEL && matches!(sent.message, Message::Ask { .. })));
    assert!(net.senders(is_commit).is_empty());
    net.pass(net.limits.forward);
    net.deliver(|sent| sent.from != CHANNEL && sent.to != CHANNEL);
    assert_eq!(net.senders(is_commit).len(), 3);
    assert!(net.certified.iter().filter(|(by, _)| *by != CHANNEL).count() >= 3);
}

#[test]
fn an_output_that_the_requester_hides_comes_from_its_responder() {
    let mut net = net(2, 3);
    net.begin();
    net.deliver(|sent| !matches!(sent.message, Message::Ask { .. }));
    let asks: Vec<_> =
        net.sent.iter().filter(|sent| matches!(sent.message, Message::Ask { .. })).cloned().collect();
    for ask in asks {
        let Message::Ask { mut material, busy } = ask.message else { panic!() };
        material.shows[0] = None;
        net.tell(CHANNEL, ask.to, Message::Ask { material, busy });
    }
    net.deliver(|sent| sent.from != CHANNEL || !matches!(sent.message, Message::Ask { .. }));
    let (_, certificate) = &net.certified[0];
    assert!(certificate
        .responders
        .iter()
        .all(|part| matches!(part, ResponderPart::Answered(answer) if answer.shown)));
}

#[test]
fn what_is_never_shown_is_scored_without() {
    let mut net = net(2, 3);
    net.begin();
    let silent = responders(&net)[0];
    let hides = move |sent: &Sent| {
        sent.from == silent && matches!(sent.message, Message::Show { .. } | Message::Ask { .. })
    };
    net.deliver(|sent| !hides(sent));
    net.pass(net.limits.outputs);
    net.deliver(|sent| !hides(sent));
    net.pass(net.limits.missing_outputs);
    net.deliver(|sent| !hides(sent));
    let (_, certificate) = &net.certified[0];
    let shown = certificate
        .responders
        .iter()
        .map(|part| matches!(part, ResponderPart::Answered(answer) if answer.shown));
    assert_eq!(shown.collect::<Vec<_>>(), [false, true]);
}

#[test]
fn nobody_answers_and_the_order_escalates() {
    let mut net = net(2, 3);
    net.has_engines = false;
    net.begin();
    net.deliver(|_| true);
    net.pass(net.limits.answers);
    assert_eq!(net.escalated.len(), 1);
    assert_eq!(net.escalated[0].0, CHANNEL);
    assert!(net.escalated[0].1.parts.iter().all(|part| *part == Part::Absent));
}

#[test]
fn a_responder_escalates_with_its_answer_if_the_requester_goes_silent() {
    let mut net = net(1, 3);
    net.begin();
    net.deliver(|sent| !matches!(sent.message, Message::Answers { .. }));
    let responder = responders(&net)[0];
    net.requester = None;
    net.pass(net.limits.stalled);
    let (by, escalation) = &net.escalated[0];
    assert_eq!(*by, responder);
    assert!(matches!(escalation.parts[..], [Part::Answered(_)]));
    assert_eq!(escalation.v1, None);
}

#[test]
fn members_escalate_with_what_was_signed_if_there_is_no_quorum() {
    let (mut net, held, members) = committed(7);
    let few = &members[..quorum(7) - 1];
    for sent in held.into_iter().filter(|sent| few.contains(&sent.from)) {
        net.tell(sent.from, sent.to, sent.message);
    }
    net.queue.clear();
    net.pass(net.limits.stalled);
    assert!(net.certified.is_empty() && net.senders(is_reveal).is_empty());
    let (_, escalation) = net.escalated.iter().find(|(by, _)| few.contains(by)).unwrap();
    assert_eq!(escalation.commits[0].commits.len(), quorum(7) - 1);
}

#[test]
fn seat_0_proposes_30_ms_after_the_quorum_and_then_seat_1() {
    let (mut net, held, members) = committed(7);
    // One is late, and seat 0 dies.
    let late = *members.iter().find(|member| place(&net, **member) == 6).unwrap();
    let dead = *members.iter().find(|member| place(&net, **member) == 0).unwrap();
    for sent in held.into_iter().filter(|sent| sent.from != late && sent.to != late) {
        net.tell(sent.from, sent.to, sent.message);
    }
    let alive =
        move |sent: &Sent| sent.from != dead && sent.to != dead && sent.from != late && sent.to != late;
    net.deliver(alive);
    assert!(net.senders(is_proposal).is_empty());
    net.pass(millis(29));
    assert!(net.senders(is_proposal).is_empty());
    net.pass(millis(1));
    assert_eq!(net.senders(is_proposal), [dead], "seat 0, whom nobody hears");
    net.deliver(alive);
    assert!(net.senders(is_reveal).is_empty());
    net.pass(millis(99));
    net.deliver(alive);
    assert_eq!(net.senders(is_proposal).len(), 1);
    net.pass(millis(1));
    net.deliver(alive);
    // Seat 1 proposes, the others consent, and reveal under that set: 5 of 7 are a quorum.
    assert_eq!(net.senders(is_proposal).len(), 6);
    assert_eq!(net.senders(is_reveal).len(), 5);
    let (_, certificate) = &net.certified[0];
    assert!(matches!(certificate.members[6], ScorerPart::Absent));
    assert!(matches!(certificate.members[0], ScorerPart::Committed(_)));
}

#[test]
fn nobody_reveals_on_the_word_of_one_proposer() {
    let (mut net, held, members) = committed(7);
    let proposer = *members.iter().find(|member| place(&net, **member) == 0).unwrap();
    let late = *members.iter().find(|member| place(&net, **member) == 6).unwrap();
    for sent in held.into_iter().filter(|sent| sent.from != late && sent.to != late) {
        net.tell(sent.from, sent.to, sent.message);
    }
    net.pass(millis(30));
    let victim = *members.iter().find(|member| place(&net, **member) == 1).unwrap();
    net.deliver(|sent| sent.from == proposer && sent.to == victim && is_proposal(&sent.message));
    assert_eq!(net.senders(is_proposal), [proposer, victim], "the victim consents");
    assert!(net.senders(is_reveal).is_empty(), "and does not reveal before a quorum has consented");
}

#[test]
fn a_proposal_that_leaves_out_a_commitment_gets_no_consent() {
    let (mut net, held, members) = committed(7);
    let proposer = *members.iter().find(|member| place(&net, **member) == 0).unwrap();
    let late = *members.iter().find(|member| place(&net, **member) == 6).unwrap();
    let knows = *members.iter().find(|member| place(&net, **member) == 1).unwrap();
    // All have six commitments but one, who has another six; so nobody has all.
    let other = *members.iter().find(|member| place(&net, **member) == 5).unwrap();
    for sent in held {
        let is_held = if sent.to == knows { sent.from == other } else { sent.from == late };
        if !is_held {
            net.tell(sent.from, sent.to, sent.message);
        }
    }
    net.pass(millis(30));
    net.deliver(|sent| sent.from == proposer && sent.to == knows && is_proposal(&sent.message));
    // By the proposal it has come to know all seven, so it reveals under the whole committee.
    assert_eq!(net.senders(is_proposal), [proposer]);
    let reveal = net.sent.iter().find(|sent| sent.from == knows && is_reveal(&sent.message)).unwrap();
    let Message::Reveal { reveal, .. } = &reveal.message else { panic!() };
    assert_eq!(reveal.set.commits.len(), 7);
}

#[test]
fn a_member_never_says_anything_else_after_a_restart() {
    let (mut net, held, members) = committed(7);
    let member = members[0];
    let statements = |net: &Net<Toy>| {
        let own = net.sent.iter().filter(|sent| sent.from == member);
        let mut statements: Vec<_> = own
            .filter_map(|sent| match &sent.message {
                Message::Commit { set, .. } => Some(("commit", set.commits[0].signature)),
                Message::Proposal { signature, .. } => Some(("proposal", *signature)),
                Message::Reveal { reveal, .. } => Some(("reveal", reveal.signature)),
                _ => None,
            })
            .collect();
        statements.sort_unstable();
        statements.dedup();
        statements
    };
    net.restart(member);
    assert_eq!(statements(&net).len(), 1);
    let late =
        *members.iter().find(|other| place(&net, **other) == 6 && **other != member).unwrap_or(&members[1]);
    for sent in held.iter().filter(|sent| sent.from != late) {
        net.tell(sent.from, sent.to, sent.message.clone());
    }
    net.pass(millis(700));
    assert_eq!(statements(&net).len(), 2, "a proposal");
    net.restart(member);
    // Now the late commitment is here: the whole committee could reveal, and who has proposed does not.
    for sent in held.iter().filter(|sent| sent.to == member) {
        net.tell(sent.from, sent.to, sent.message.clone());
    }
    assert_eq!(statements(&net).len(), 2);
    net.restart(member);
    net.deliver(|_| true);
    assert!(statements(&net).len() <= 3);
    assert!(net.reports.is_empty());
}

#[test]
fn two_commitments_two_consents_and_two_reveals_are_reported() {
    let mut net = net(1, 7);
    net.begin();
    net.deliver(|_| true);
    let (mut net, sent) = (committed(7).0, net.sent);
    let member = net.senders(is_commit)[0];
    let crypto = net.crypto(member);
    let genesis = net.view.genesis;
    let victim = net.senders(is_commit)[1];
    let commit = sent.iter().find(|sent| sent.from == member && is_commit(&sent.message)).unwrap();
    let Message::Commit { order, set } = commit.message.clone() else { panic!() };
    let mut second = set.clone();
    second.commits[0].commitment = [7; 32];
    let answers = messages::answers(&genesis, &order, &set.answers);
    let statement = messages::commit(&genesis, &answers, &crypto.key(), &[7; 32]);
    second.commits[0].signature = crypto.sign(&statement);
    for set in [set, second] {
        net.tell(member, victim, Message::Commit { order, set });
    }
    assert!(
        matches!(net.reports.pop(), Some((by, key, Equivocation::Commits { .. })) if by == victim && key == crypto.key())
    );

    // Two reveals, under sets of which the second is not even proven.
    let (mut net, _, _) = committed(7);
    let reveal = sent.iter().find(|sent| sent.from == member && is_reveal(&sent.message)).unwrap();
    let Message::Reveal { reveal, .. } = reveal.message.clone() else { panic!() };
    let mut smaller = reveal.clone();
    let index = smaller.set.commits.iter().position(|commit| commit.place != reveal.place).unwrap();
    smaller.set.commits.remove(index);
    let digest = |set: &poq_express::wire::SignedSet| {
        let members: Vec<_> = set.commits.iter().map(|commit| (commit.place, commit.commitment)).collect();
        messages::set(&genesis, &answers, &members)
    };
    let statement =
        messages::reveal(&genesis, &digest(&smaller.set), &crypto.key(), &reveal.scores, &reveal.salt);
    smaller.signature = crypto.sign(&statement);
    for reveal in [reveal.clone(), smaller.clone()] {
        net.tell(member, victim, Message::Reveal { order, reveal });
    }
    assert!(matches!(net.reports.pop(), Some((_, _, Equivocation::Reveals { .. }))));

    let (mut net, _, _) = committed(7);
    for set in [reveal.set, smaller.set] {
        let signature = crypto.sign(&messages::proposal(&genesis, &digest(&set), &crypto.key()));
        net.tell(member, victim, Message::Proposal { order, place: reveal.place, set, signature });
    }
    assert!(matches!(net.reports.pop(), Some((_, _, Equivocation::Proposals { .. }))));
}

#[test]
fn a_reveal_that_does_not_fit_is_refused() {
    let (mut net, held, members) = committed(3);
    for sent in held {
        net.tell(sent.from, sent.to, sent.message);
    }
    let sent =
        net.sent.iter().find(|sent| is_reveal(&sent.message) && sent.to == members[1]).unwrap().clone();
    let Message::Reveal { order, reveal } = sent.message else { panic!() };
    let mut many = reveal.clone();
    many.scores.push(Permill::zero());
    let mut other = reveal.clone();
    other.scores[0] = Permill::one();
    let mut unsigned = reveal.clone();
    unsigned.signature[0] ^= 1;
    let mut stranger = reveal;
    stranger.place = 200;
    let wrong = [
        (many, Refusal::Scores),
        (other, Refusal::Scores),
        (unsigned, Refusal::MemberSignature),
        (stranger, Refusal::Set),
    ];
    for (reveal, refusal) in wrong {
        net.tell(sent.from, members[1], Message::Reveal { order, reveal });
        assert_eq!(refusals(&net).pop(), Some((members[1], refusal)));
    }
}

#[test]
fn wrong_counts_of_scores_are_not_committed_to() {
    let mut net = net(1, 3);
    net.has_engines = false;
    net.begin();
    net.deliver(|_| true);
    let responder = responders(&net)[0];
    let name = net.offer.order.name;
    net.give(responder, Event::Generated { name, output: b"because".to_vec() });
    net.deliver(|_| true);
    let asked = net.sent.iter().find(|sent| matches!(sent.message, Message::Ask { .. })).unwrap().to;
    net.give(asked, Event::Scored { name, scores: vec![Permill::zero(); 2] });
    assert!(net.senders(is_commit).is_empty());
    net.give(asked, Event::Scored { name, scores: vec![Permill::zero()] });
    assert_eq!(net.senders(is_commit), [asked]);
}

#[test]
fn everything_that_is_said_is_kept_first() {
    let mut net = net(2, 5);
    net.begin();
    net.deliver(|_| true);
    let kept = |is: &dyn Fn(&Record) -> bool| net.records.iter().filter(|(_, _, record)| is(record)).count();
    assert_eq!(kept(&|record| matches!(record, Record::Ordered(_))), 1);
    assert_eq!(kept(&|record| matches!(record, Record::Closed(_))), 1);
    assert_eq!(kept(&|record| matches!(record, Record::Accepted(_))), 7);
    assert_eq!(kept(&|record| matches!(record, Record::Answered { .. })), 2);
    assert_eq!(kept(&|record| matches!(record, Record::Shown { .. })), 2);
    assert_eq!(kept(&|record| matches!(record, Record::Committed { .. })), 5);
    assert_eq!(kept(&|record| matches!(record, Record::Revealed(_))), 5);
}

#[test]
fn an_order_that_has_ended_on_the_chain_escalates_no_more() {
    let (mut net, _, members) = committed(3);
    let name = net.offer.order.name;
    for peer in members.clone().into_iter().chain([CHANNEL, responders(&net)[0]]) {
        net.give(peer, Event::Ended { name });
    }
    net.pass(net.limits.stalled * 2);
    assert!(net.escalated.is_empty());
}

/// The spare inference nodes of an order can be members of its committee: what it was asked for first does not bind an operator that has signed
/// nothing.
#[test]
fn a_member_that_restarts_before_its_commitment_stays_a_member() {
    let mut net = net(1, 5);
    net.begin();
    let is_ask = |message: &Message| matches!(message, Message::Ask { .. });
    net.deliver(|sent| !is_ask(&sent.message));
    let asks: Vec<Sent> = net.sent.iter().filter(|sent| is_ask(&sent.message)).cloned().collect();
    net.has_engines = false;
    for sent in asks.iter().filter(|sent| sent.from == CHANNEL) {
        net.tell(sent.from, sent.to, sent.message.clone());
    }
    net.deliver(|_| true);
    assert!(net.senders(is_commit).is_empty());
    for sent in asks.iter().filter(|sent| sent.from == CHANNEL) {
        net.restart(sent.to);
    }
    net.has_engines = true;
    net.pass(net.limits.retry);
    net.deliver(|_| true);
    assert_eq!(net.senders(is_commit).len(), 5);
    assert!(net.certified.iter().any(|(by, _)| *by == CHANNEL));
}
