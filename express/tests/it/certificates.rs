//! Certificates and proofs with sr25519: what the machines form holds, and nothing that differs from it does.

use crate::net::{is_commit, is_reveal, real, Net};
use codec::{Decode, DecodeAll, Encode};
use poq_express::{
    crypto::Crypto,
    limits::Limits,
    scene::Scene,
    step::{Escalation, Record},
    view::{AccountId, View},
    wire::{decode, Certificate, Equivocation, Message, Offer},
};
use poq_primitives::express::{
    equivocation::SignedSet, messages, Context, Fault, Opening, ResponderPart, ScorerPart,
};
use proptest::prelude::*;
use sp_arithmetic::Permill;
use std::sync::OnceLock;

struct Made {
    view: View,
    offer: Offer,
    certificate: Certificate,
    messages: Vec<Message>,
}

/// An order of 2 responders and 5 members, run once.
fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut net = Net::new(real, 2, 5);
        net.begin();
        net.deliver(|_| true);
        let certificate = net.certified[0].1.clone();
        let messages = net.sent.iter().map(|sent| sent.message.clone()).collect();
        Made { view: net.view, offer: net.offer, certificate, messages }
    })
}

fn scene() -> Scene {
    let made = made();
    Scene::open(&real(0), &made.view, &Limits::default(), &made.offer).unwrap()
}

fn check(
    certificate: &Certificate,
    change: impl FnOnce(&mut Context<'_, AccountId>),
) -> Result<usize, Fault> {
    let scene = scene();
    let mut context = scene.context();
    change(&mut context);
    certificate.check(&context, &real(0)).map(|outcome| outcome.members.len())
}

#[test]
fn everybody_forms_a_certificate_that_holds() {
    let mut net = Net::new(real, 2, 5);
    net.begin();
    net.deliver(|_| true);
    let members = net.senders(is_commit);
    assert_eq!(members.len(), 5);
    assert_eq!(net.senders(is_reveal).len(), 5);
    // Members, the requester, and both responders, who are sent it.
    assert_eq!(net.certified.len(), 8);
    for (_, certificate) in &net.certified {
        assert_eq!(check(certificate, |_| {}), Ok(5));
    }
    assert!(net.escalated.is_empty() && net.reports.is_empty());
}

type Change = fn(&mut Certificate);

fn revealed(certificate: &mut Certificate) -> &mut poq_primitives::express::Scores {
    let part = certificate.members.iter_mut().find_map(|part| match part {
        ScorerPart::Revealed(scores) => Some(scores),
        _ => None,
    });
    part.unwrap()
}

fn answer(certificate: &mut Certificate) -> &mut poq_primitives::express::Answer {
    match &mut certificate.responders[0] {
        ResponderPart::Answered(answer) => answer,
        _ => panic!("no answer"),
    }
}

#[test]
fn each_changed_field_is_refused_alone() {
    let changes: [(&str, Change, Fault); 27] = [
        ("channel", |c| c.order.name.channel ^= 1, Fault::OrderSignature),
        ("epoch", |c| c.order.name.epoch ^= 1, Fault::OrderSignature),
        ("index", |c| c.order.name.index ^= 1, Fault::OrderSignature),
        ("generator", |c| c.order.generator[0] ^= 1, Fault::OrderSignature),
        ("evaluator", |c| c.order.evaluator[0] ^= 1, Fault::OrderSignature),
        ("responders", |c| c.order.responders += 1, Fault::OrderSignature),
        ("no responders", |c| c.order.responders = 0, Fault::Size),
        ("committee", |c| c.order.committee += 1, Fault::OrderSignature),
        ("a small committee", |c| c.order.committee = 2, Fault::Size),
        ("a large committee", |c| c.order.committee = 16, Fault::Size),
        ("max_tokens", |c| c.order.max_tokens ^= 1, Fault::OrderSignature),
        ("min_quality", |c| c.order.min_quality = Permill::one(), Fault::OrderSignature),
        ("budget", |c| c.order.budget += 1, Fault::OrderSignature),
        ("prompt", |c| c.order.prompt[0] ^= 1, Fault::OrderSignature),
        ("first_draw", |c| c.order.first_draw[0] ^= 1, Fault::OrderSignature),
        ("audit", |c| c.order.audit[0] ^= 1, Fault::OrderSignature),
        ("signature", |c| c.signature[0] ^= 1, Fault::OrderSignature),
        ("v1", |c| c.v1[0] ^= 1, Fault::SecondDraw),
        ("output", |c| answer(c).output[0] ^= 1, Fault::ResponderSignature),
        ("w", |c| answer(c).vrf[0] ^= 1, Fault::ResponderSignature),
        ("answer's signature", |c| answer(c).signature[0] ^= 1, Fault::ResponderSignature),
        ("a responder too many", |c| c.responders.push(ResponderPart::Absent), Fault::Responders),
        ("a responder too few", |c| c.responders.truncate(1), Fault::Responders),
        ("a member too many", |c| c.members.push(ScorerPart::Absent), Fault::Members),
        ("a member too few", |c| c.members.truncate(4), Fault::Members),
        ("a score too many", |c| revealed(c).scores.push(Permill::zero()), Fault::ScoreCount),
        ("a reveal's signature", |c| revealed(c).signature[0] ^= 1, Fault::MemberSignature),
    ];
    for (name, change, fault) in changes {
        let mut certificate = made().certificate.clone();
        change(&mut certificate);
        assert_eq!(check(&certificate, |_| {}), Err(fault), "{name}");
    }
    // These change what all reveals are signatures of, or who should have signed: refused for one reason or another.
    let changes: [(&str, Change); 5] = [
        ("shown", |c| answer(c).shown = false),
        ("a score", |c| revealed(c).scores[0] = Permill::one()),
        ("a salt", |c| revealed(c).salt[0] ^= 1),
        ("order of members", |c| c.members.swap(0, 1)),
        ("order of responders", |c| c.responders.swap(0, 1)),
    ];
    for (name, change) in changes {
        let mut certificate = made().certificate.clone();
        change(&mut certificate);
        assert!(check(&certificate, |_| {}).is_err(), "{name}");
    }
}

#[test]
fn another_chain_epoch_or_channel_refuses() {
    let certificate = &made().certificate;
    let (hash, stranger): (&'static _, &'static _) = (&[7; 32], Box::leak(Box::new(real(9).key())));
    assert_eq!(check(certificate, |context| context.genesis = hash), Err(Fault::OrderSignature));
    assert_eq!(check(certificate, |context| context.channel_key = stranger), Err(Fault::OrderSignature));
    assert!(check(certificate, |context| context.epoch_seed = hash).is_err());
    assert!(check(certificate, |context| context.generators = &[]).is_err());
    assert!(check(certificate, |context| context.evaluators = &[]).is_err());
    let owner: &'static _ = Box::leak(Box::new(scene().responder(0).unwrap().operator));
    assert!(check(certificate, |context| context.owner = owner).is_err(), "an owner answers itself");
}

#[test]
fn fewer_reveals_than_a_quorum_are_refused_and_openings_do_not_count() {
    // Of 5 members, 4 are a quorum.
    let mut certificate = made().certificate.clone();
    let open = |part: &mut ScorerPart| {
        if let ScorerPart::Revealed(scores) = part.clone() {
            *part = ScorerPart::Opened(Opening { scores: scores.scores, salt: scores.salt });
        }
    };
    // The first certificate at a quorum may lack a reveal.
    let others = certificate.members.iter().filter(|part| !matches!(part, ScorerPart::Revealed(_))).count();
    let mut left = 5 - others;
    for place in 0..5 {
        if left == 4 {
            break;
        }
        open(&mut certificate.members[place]);
        left -= 1;
        assert_eq!(check(&certificate, |_| {}), Ok(5));
    }
    let place = certificate.members.iter().position(|part| matches!(part, ScorerPart::Revealed(_))).unwrap();
    open(&mut certificate.members[place]);
    assert_eq!(check(&certificate, |_| {}), Err(Fault::NoQuorum));
}

#[test]
fn one_signature_does_not_serve_two_seats() {
    let mut certificate = made().certificate.clone();
    let places: Vec<_> =
        (0..5).filter(|place| matches!(certificate.members[*place], ScorerPart::Revealed(_))).collect();
    certificate.members[places[0]] = certificate.members[places[1]].clone();
    assert!(check(&certificate, |_| {}).is_err());
    let mut certificate = made().certificate.clone();
    certificate.responders[0] = certificate.responders[1].clone();
    assert_eq!(check(&certificate, |_| {}), Err(Fault::ResponderSignature));
}

/// One proof of each kind, with real keys.
fn proofs() -> Vec<(poq_primitives::express::Key, Equivocation)> {
    let (owner, party) = (real(0), real(1));
    let (genesis, order) = (made().view.genesis, made().offer.order.clone());
    let key = party.key();
    let digest = order.digest(&genesis);
    let mut other = order.clone();
    other.budget -= 1;
    let by_owner = |order: &poq_express::wire::Order| owner.sign(&order.digest(&genesis));
    let orders = [(order.clone(), by_owner(&order)), (other.clone(), by_owner(&other))];
    let answer = |output| {
        let vrf = [8; 32];
        (output, vrf, party.sign(&messages::answer(&genesis, &digest, &key, &output, &vrf)))
    };
    let answers = vec![Some(([6; 32], true)), None];
    let answers_digest = messages::answers(&genesis, &digest, &answers);
    let commit = |commitment| {
        let by = party.sign(&messages::commit(&genesis, &answers_digest, &key, &commitment));
        (answers.clone(), commitment, by)
    };
    let set = |place: u8| vec![(place, [1; 32]), (9, [2; 32])];
    let set_digest = |place| messages::set(&genesis, &answers_digest, &set(place));
    let proposal = |place| SignedSet {
        answers: answers.clone(),
        set: set(place),
        signature: party.sign(&messages::proposal(&genesis, &set_digest(place), &key)),
    };
    let (scores, salt) = (vec![Permill::from_percent(5)], [3; 32]);
    let reveal = |place| {
        let by = party.sign(&messages::reveal(&genesis, &set_digest(place), &key, &scores, &salt));
        (SignedSet { answers: answers.clone(), set: set(place), signature: by }, scores.clone(), salt)
    };
    vec![
        (owner.key(), Equivocation::Orders(orders)),
        (key, Equivocation::Answers { order: order.clone(), answers: [answer([1; 32]), answer([2; 32])] }),
        (key, Equivocation::Commits { order: order.clone(), commits: [commit([1; 32]), commit([2; 32])] }),
        (key, Equivocation::Proposals { order: order.clone(), proposals: [proposal(1), proposal(2)] }),
        (key, Equivocation::Reveals { order, reveals: [reveal(1), reveal(2)] }),
    ]
}

#[test]
fn two_statements_are_a_proof_and_one_twice_is_none() {
    let genesis = made().view.genesis;
    for (key, proof) in proofs() {
        assert!(proof.is_proof(&genesis, &key, &real(0)), "{proof:?}");
        assert!(!proof.is_proof(&[0; 32], &key, &real(0)), "another chain");
        assert!(!proof.is_proof(&genesis, &real(5).key(), &real(0)), "another key");
        let same = match proof.clone() {
            Equivocation::Orders([first, _]) => Equivocation::Orders([first.clone(), first]),
            Equivocation::Answers { order, answers: [first, _] } => {
                Equivocation::Answers { order, answers: [first, first] }
            }
            Equivocation::Commits { order, commits: [first, _] } => {
                Equivocation::Commits { order, commits: [first.clone(), first] }
            }
            Equivocation::Proposals { order, proposals: [first, _] } => {
                Equivocation::Proposals { order, proposals: [first.clone(), first] }
            }
            Equivocation::Reveals { order, reveals: [first, _] } => {
                Equivocation::Reveals { order, reveals: [first.clone(), first] }
            }
        };
        assert!(!same.is_proof(&genesis, &key, &real(0)), "{same:?}");
    }
}

/// Flips a bit of an encoding; `None` if it decodes to the same or to nothing.
fn flipped<T: Encode + Decode + PartialEq>(value: &T, at: prop::sample::Index, bit: u8) -> Option<T> {
    let mut bytes = value.encode();
    let at = at.index(bytes.len());
    bytes[at] ^= 1 << bit;
    T::decode_all(&mut &bytes[..]).ok().filter(|changed| changed != value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever bit of a certificate changes, it does not hold.
    #[test]
    fn no_changed_bit_of_a_certificate_holds(at: prop::sample::Index, bit in 0u8..8) {
        if let Some(changed) = flipped(&made().certificate, at, bit) {
            prop_assert!(check(&changed, |_| {}).is_err(), "{changed:?}");
        }
    }

    /// Whatever bit of a proof changes, it is none.
    #[test]
    fn no_changed_bit_of_a_proof_is_one(kind in 0usize..5, at: prop::sample::Index, bit in 0u8..8) {
        let (key, proof) = proofs().swap_remove(kind);
        if let Some(changed) = flipped(&proof, at, bit) {
            prop_assert!(!changed.is_proof(&made().view.genesis, &key, &real(0)), "{changed:?}");
        }
    }

    /// Arbitrary bytes are refused without a panic.
    #[test]
    fn decoders_take_any_bytes(bytes: Vec<u8>) {
        let _ = decode(&bytes, 1 << 20);
        let _ = Certificate::decode_all(&mut &bytes[..]);
        let _ = Equivocation::decode_all(&mut &bytes[..]);
        let _ = Escalation::decode_all(&mut &bytes[..]);
        let _ = Record::decode_all(&mut &bytes[..]);
    }

    /// Messages with a changed bit make no party panic, at whatever step they come, and no honest party provable.
    #[test]
    fn parties_take_changed_messages(
        which: prop::sample::Index,
        at: prop::sample::Index,
        bit in 0u8..8,
        step in 0usize..60,
    ) {
        let message = which.get(&made().messages);
        let mut net = Net::new(crate::net::toy, 2, 5);
        net.begin();
        for _ in 0..step {
            if let Some(sent) = net.queue.pop_front() {
                net.tell(sent.from, sent.to, sent.message);
            }
        }
        // One of this very order, and one of the order with real keys.
        let own = net.sent[which.index(net.sent.len())].message.clone();
        for message in [message.clone(), own] {
            if let Some(changed) = flipped(&message, at, bit) {
                let parties: Vec<_> = net.keys.iter().map(|key| poq_express::step::Peer::Operator(key.key())).collect();
                for party in parties.into_iter().chain([crate::net::CHANNEL]) {
                    net.tell(crate::net::CHANNEL, party, changed.clone());
                }
            }
        }
        net.deliver(|_| true);
        for (by, key, proof) in &net.reports {
            prop_assert!(false, "{by:?} reports {key:?}: {proof:?}");
        }
        prop_assert!(!net.certified.is_empty());
    }
}

#[test]
fn a_message_that_is_too_long_is_refused() {
    let bytes = made().messages[0].encode();
    assert!(decode(&bytes, bytes.len()).is_ok());
    assert!(decode(&bytes, bytes.len() - 1).is_err());
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(decode(&longer, 1 << 20).is_err(), "bytes behind the message");
}
