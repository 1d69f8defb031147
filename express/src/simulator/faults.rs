//! What bad parties do. Each runs the machine of an honest one; its messages are changed on their way out.

use crate::{
    crypto::Crypto,
    scene::{answered, Scene},
    step::Peer,
    tally::Tally,
    wire::{Answers, Message, Part, Reveal, SignedCommit, SignedSet},
};
use codec::{DecodeAll, Encode};
use poq_primitives::{
    commitment::Hash32,
    express::{messages, quorum, Commitment, Digest, Key},
};
use rand::Rng;
use std::collections::BTreeMap;

/// Kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An order.
    Offer,
    /// A responder's commitment.
    Answer,
    /// All commitments.
    Answers,
    /// A responder's output.
    Show,
    /// What a member is asked.
    Ask,
    /// What a member has.
    Have,
    /// Somebody is busy.
    Busy,
    /// A member's commitment.
    Commit,
    /// A proposal.
    Proposal,
    /// A member's scores.
    Reveal,
    /// A certificate.
    Certificate,
    /// All else.
    Other,
}

impl Kind {
    /// Kinds, in the order of an order's life.
    pub const ALL: [Self; 12] = [
        Self::Offer,
        Self::Answer,
        Self::Answers,
        Self::Show,
        Self::Ask,
        Self::Have,
        Self::Busy,
        Self::Commit,
        Self::Proposal,
        Self::Reveal,
        Self::Certificate,
        Self::Other,
    ];

    /// The kind of a message.
    pub fn of(message: &Message) -> Self {
        match message {
            Message::Offer { .. } => Self::Offer,
            Message::Answer { .. } => Self::Answer,
            Message::Answers { .. } => Self::Answers,
            Message::Show { .. } => Self::Show,
            Message::Ask { .. } => Self::Ask,
            Message::Have { .. } => Self::Have,
            Message::ResponderBusy { .. } | Message::MemberBusy { .. } => Self::Busy,
            Message::Commit { .. } => Self::Commit,
            Message::Proposal { .. } => Self::Proposal,
            Message::Reveal { .. } => Self::Reveal,
            Message::Certificate(_) => Self::Certificate,
            Message::Again { .. } | Message::Refusal { .. } => Self::Other,
        }
    }
}

/// What is wrong with a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It never sends messages of this kind.
    Silent(Kind),
    /// It sends nothing from the first message of this kind on.
    SilentFrom(Kind),
    /// It flips bytes of some messages.
    Garbage,
    /// It signs wrongly.
    BadSignature,
    /// A requester: two orders of one name.
    TwoOrders,
    /// A requester: it leaves out an answer towards every second receiver.
    DifferentAnswers,
    /// A requester: it leaves out an output towards every second receiver.
    DifferentAsks,
    /// A requester: besides the right committee it asks another, drawn without the last answer.
    SecondCommittee,
    /// A requester or a member: it brings its certificate to the chain as soon as there is one.
    Racer,
    /// A responder: it shows something else than it has committed to.
    WrongOutput,
    /// A responder: its VRF is false.
    FalseVrf,
    /// A responder: it commits to two outputs.
    TwoAnswers,
    /// A member: it commits to two vectors of scores.
    TwoCommits,
    /// A member: it reveals under two sets, and consents to two.
    TwoReveals,
    /// A member: it commits to what another has committed to.
    Copy,
    /// A member: it reveals a score too many.
    WrongCount,
    /// A member: it commits once it has seen somebody reveal.
    Late,
    /// A member: it proposes a set to one other as soon as there is a quorum.
    Early,
}

impl Fault {
    /// What a requester may do.
    pub fn of_requester(rng: &mut impl Rng) -> Self {
        let kinds = [Kind::Offer, Kind::Answers, Kind::Ask, Kind::Certificate, Kind::Other];
        let kind = kinds.get(rng.random_range(0..kinds.len())).copied().unwrap_or(Kind::Ask);
        let all = [
            Self::Silent(kind),
            Self::SilentFrom(kind),
            Self::Garbage,
            Self::BadSignature,
            Self::TwoOrders,
            Self::DifferentAnswers,
            Self::DifferentAsks,
            Self::SecondCommittee,
            Self::Racer,
        ];
        all.get(rng.random_range(0..all.len())).copied().unwrap_or(Self::Garbage)
    }

    /// What an operator may do.
    pub fn of_operator(rng: &mut impl Rng) -> Self {
        let kind = Kind::ALL.get(rng.random_range(0..Kind::ALL.len())).copied().unwrap_or(Kind::Reveal);
        let all = [
            Self::Silent(kind),
            Self::SilentFrom(kind),
            Self::Garbage,
            Self::BadSignature,
            Self::Racer,
            Self::WrongOutput,
            Self::FalseVrf,
            Self::TwoAnswers,
            Self::TwoCommits,
            Self::TwoReveals,
            Self::Copy,
            Self::WrongCount,
            Self::Late,
            Self::Early,
        ];
        all.get(rng.random_range(0..all.len())).copied().unwrap_or(Self::Garbage)
    }
}

/// A bad party's mind.
#[derive(Clone, Debug)]
pub(crate) struct Bad {
    pub fault: Fault,
    is_silent: bool,
    /// Commitments that it has seen, by order and place.
    commits: BTreeMap<Digest, BTreeMap<u8, SignedCommit>>,
    /// Commitments that it holds back.
    held: Vec<(Peer, Message)>,
    is_late: bool,
    has_proposed: bool,
}

fn is_odd(peer: &Peer) -> bool {
    match peer {
        Peer::Operator(key) => key.first().is_some_and(|byte| byte % 2 == 1),
        Peer::Requester(_) | Peer::Settlers => false,
    }
}

fn set_digest(genesis: &Hash32, order: &Digest, set: &SignedSet) -> Digest {
    let members: Vec<_> = set.commits.iter().map(|commit| (commit.place, commit.commitment)).collect();
    messages::set(genesis, &messages::answers(genesis, order, &set.answers), &members)
}

/// The set without one that is not `place`, if it still is a quorum.
fn smaller(set: &SignedSet, place: u8) -> SignedSet {
    let mut smaller = set.clone();
    if let Some(index) = smaller.commits.iter().rposition(|commit| commit.place != place) {
        smaller.commits.remove(index);
    }
    smaller
}

impl Bad {
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            is_silent: false,
            commits: BTreeMap::new(),
            held: Vec::new(),
            is_late: false,
            has_proposed: false,
        }
    }

    /// What it learns from a message, and sends because of it.
    pub fn see<C: Crypto>(
        &mut self,
        crypto: &C,
        genesis: &Hash32,
        message: &Message,
    ) -> Vec<(Peer, Message)> {
        match message {
            Message::Commit { order, set } => {
                let commits = self.commits.entry(*order).or_default();
                for commit in &set.commits {
                    commits.insert(commit.place, commit.clone());
                }
                self.propose(crypto, genesis, order, &set.answers)
            }
            Message::Reveal { .. } if self.fault == Fault::Late => {
                self.is_late = true;
                core::mem::take(&mut self.held)
            }
            _ => Vec::new(),
        }
    }

    /// Proposes early, and to one victim only.
    fn propose<C: Crypto>(
        &mut self,
        crypto: &C,
        genesis: &Hash32,
        order: &Digest,
        answers: &Answers,
    ) -> Vec<(Peer, Message)> {
        let Some(Message::Commit { set: own, .. }) = self.held.iter().map(|(_, message)| message).next()
        else {
            return Vec::new();
        };
        let commits: Vec<_> =
            self.commits.get(order).into_iter().flat_map(|all| all.values().cloned()).collect();
        let place = own.commits.first().map_or(0, |commit| commit.place);
        if self.fault != Fault::Early || self.has_proposed || commits.len() < quorum(7) {
            return Vec::new();
        }
        self.has_proposed = true;
        let set = SignedSet { answers: answers.clone(), commits, busy: own.busy.clone() };
        let statement = messages::proposal(genesis, &set_digest(genesis, order, &set), &crypto.key());
        let message = Message::Proposal { order: *order, place, set, signature: crypto.sign(&statement) };
        let victim = self.held.iter().map(|(to, _)| *to).find(|to| matches!(to, Peer::Operator(_)));
        let mut out = core::mem::take(&mut self.held);
        out.extend(victim.map(|to| (to, message)));
        out
    }

    /// What it sends instead of `message`.
    pub fn corrupt<C: Crypto>(
        &mut self,
        crypto: &C,
        genesis: &Hash32,
        scene: Option<&Scene>,
        rng: &mut impl Rng,
        to: Peer,
        mut message: Message,
    ) -> Vec<(Peer, Message)> {
        let kind = Kind::of(&message);
        let key = crypto.key();
        match self.fault {
            Fault::Silent(silent) if silent == kind => return Vec::new(),
            Fault::SilentFrom(silent) => {
                self.is_silent |= silent == kind;
                if self.is_silent {
                    return Vec::new();
                }
            }
            Fault::Garbage if rng.random_bool(0.2) => {
                let mut bytes = message.encode();
                let at = rng.random_range(0..bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
                return Message::decode_all(&mut &bytes[..])
                    .map(|message| vec![(to, message)])
                    .unwrap_or_default();
            }
            Fault::BadSignature => spoil(&mut message),
            Fault::DifferentAnswers if is_odd(&to) => {
                if let (Message::Answers { parts, .. }, Some(scene), Peer::Operator(receiver)) =
                    (&mut message, scene, to)
                {
                    leave_out(parts, scene.place_of(&receiver));
                }
            }
            Fault::DifferentAsks if is_odd(&to) => {
                if let Message::Ask { material, .. } = &mut message {
                    if let Some(show) = material.shows.first_mut() {
                        *show = None;
                    }
                }
            }
            Fault::SecondCommittee => {
                if let (Message::Ask { material, busy }, Some(scene)) = (&message, scene) {
                    return second_committee(scene, to, material, busy);
                }
            }
            Fault::WrongOutput => match &mut message {
                Message::Show { show, .. } => show.output.push(b'!'),
                Message::Ask { material, .. } => {
                    for show in material.shows.iter_mut().flatten() {
                        show.output.push(b'!');
                    }
                }
                _ => {}
            },
            Fault::FalseVrf | Fault::TwoAnswers => {
                if let Message::Answer { order, answer, .. } = &mut message {
                    if self.fault == Fault::FalseVrf {
                        answer.vrf.output = [7; 32];
                    } else if is_odd(&to) {
                        answer.output = [7; 32];
                    }
                    let statement =
                        messages::answer(genesis, order, &key, &answer.output, &answer.vrf.output);
                    answer.signature = crypto.sign(&statement);
                }
            }
            Fault::TwoCommits | Fault::Copy => {
                if let Message::Commit { order, set } = &mut message {
                    let copied = self.commits.get(order).and_then(|commits| commits.values().next());
                    let other: Option<Commitment> = match self.fault {
                        Fault::Copy => copied.map(|commit| commit.commitment),
                        _ => is_odd(&to).then_some([7; 32]),
                    };
                    let answers = messages::answers(genesis, order, &set.answers);
                    if let (Some(commitment), Some(commit)) = (other, set.commits.first_mut()) {
                        commit.commitment = commitment;
                        let statement = messages::commit(genesis, &answers, &key, &commitment);
                        commit.signature = crypto.sign(&statement);
                    }
                }
            }
            Fault::TwoReveals => return two(crypto, genesis, to, message),
            Fault::WrongCount => {
                if let Message::Reveal { order, reveal } = &mut message {
                    reveal.scores.push(Default::default());
                    sign_reveal(crypto, genesis, order, reveal);
                }
            }
            Fault::Late | Fault::Early if kind == Kind::Commit && !self.is_late && !self.has_proposed => {
                if let Message::Commit { order, set } = &message {
                    let commits = self.commits.entry(*order).or_default();
                    commits.extend(set.commits.iter().map(|commit| (commit.place, commit.clone())));
                    self.held.push((to, message.clone()));
                    let (order, answers) = (*order, set.answers.clone());
                    return self.propose(crypto, genesis, &order, &answers);
                }
            }
            _ => {}
        }
        vec![(to, message)]
    }
}

fn spoil(message: &mut Message) {
    let signature = match message {
        Message::Offer { offer, .. } => &mut offer.signature,
        Message::Answer { answer, .. } => &mut answer.signature,
        Message::ResponderBusy { busy, .. } | Message::MemberBusy { busy, .. } => &mut busy.signature,
        Message::Show { show, .. } => &mut show.signature,
        Message::Commit { set, .. } => match set.commits.first_mut() {
            Some(commit) => &mut commit.signature,
            None => return,
        },
        Message::Proposal { signature, .. } => signature,
        Message::Reveal { reveal, .. } => &mut reveal.signature,
        Message::Certificate(certificate) => &mut certificate.signature,
        _ => return,
    };
    if let Some(byte) = signature.first_mut() {
        *byte ^= 1;
    }
}

fn leave_out(parts: &mut [Part], own: Option<u8>) {
    let others = (0u8..).zip(parts.iter_mut()).filter(|(place, _)| Some(*place) != own);
    let mut others = others.filter(|(_, part)| matches!(part, Part::Answered(_)));
    if let Some((_, part)) = others.next() {
        *part = Part::Absent;
    }
}

/// The right committee is asked, and that which is drawn without the last answer.
fn second_committee(
    scene: &Scene,
    to: Peer,
    material: &crate::wire::Material,
    busy: &[crate::wire::Busy],
) -> Vec<(Peer, Message)> {
    let mut other = material.clone();
    if let Some(part) = other.parts.iter_mut().rev().find(|part| matches!(part, Part::Answered(_))) {
        *part = Part::Absent;
    }
    other.shows.pop();
    let message = Message::Ask { material: Box::new(material.clone()), busy: busy.to_vec() };
    let mut out = vec![(to, message)];
    if !answered(&other.parts).is_empty() {
        let tally = Tally::new(scene.clone(), other.v1.clone(), other.parts.clone());
        let keys: Vec<Key> = tally.places().into_iter().filter_map(|place| tally.key(place)).collect();
        let message = Message::Ask { material: Box::new(other), busy: Vec::new() };
        out.extend(keys.into_iter().map(|key| (Peer::Operator(key), message.clone())));
    }
    out
}

fn sign_reveal(crypto: &impl Crypto, genesis: &Hash32, order: &Digest, reveal: &mut Reveal) {
    let set = set_digest(genesis, order, &reveal.set);
    let statement = messages::reveal(genesis, &set, &crypto.key(), &reveal.scores, &reveal.salt);
    reveal.signature = crypto.sign(&statement);
}

/// A second statement under a smaller set, besides the first.
fn two(crypto: &impl Crypto, genesis: &Hash32, to: Peer, message: Message) -> Vec<(Peer, Message)> {
    let second = match &message {
        Message::Reveal { order, reveal } => {
            let mut second = reveal.clone();
            second.set = smaller(&reveal.set, reveal.place);
            sign_reveal(crypto, genesis, order, &mut second);
            Some(Message::Reveal { order: *order, reveal: second })
        }
        Message::Proposal { order, place, set, .. } => {
            let set = smaller(set, *place);
            let statement = messages::proposal(genesis, &set_digest(genesis, order, &set), &crypto.key());
            let signature = crypto.sign(&statement);
            Some(Message::Proposal { order: *order, place: *place, set, signature })
        }
        _ => None,
    };
    let second = second.filter(|_| is_odd(&to)).map(|second| (to, second));
    core::iter::once((to, message)).chain(second).collect()
}
