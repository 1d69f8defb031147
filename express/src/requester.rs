//! A requester's order: ask the responders, draw the committee, ask it, form the certificate.

use crate::{
    crypto::{Crypto, Vrf},
    limits::Limits,
    responder::second_answer,
    scene::{answered, first_free, statements, Scene},
    step::{Action, Escalation, Event, Now, Peer, Record},
    tally::{Finding, Tally},
    timers::Timers,
    view::View,
    wire::{Busy, Certificate, Material, Message, Offer, Order, Part, Refusal, Show, SignedAnswer},
};
use poq_primitives::{
    commitment::{Hash32, Salt},
    express::{
        draw::{ANSWER_VRF, SCORE_VRF},
        prompt_hash, second_draw_hash, Key, Signature,
    },
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Answers,
    Outputs,
    LateReveals,
    Retry,
    Stalled,
}

/// State of an order whose committee is drawn.
#[derive(Clone, Debug)]
struct Closed {
    tally: Tally,
    shows: BTreeMap<u8, Show>,
    is_asked: bool,
    /// Places of the committee that were asked.
    asked: BTreeSet<u8>,
    /// Keys of those that have what they need.
    have: BTreeSet<Key>,
}

/// A requester's order.
#[derive(Clone, Debug)]
pub struct Requester<C> {
    crypto: C,
    limits: Limits,
    scene: Scene,
    busy: BTreeMap<u8, Signature>,
    answers: BTreeMap<u8, SignedAnswer>,
    asked: BTreeSet<u8>,
    closed: Option<Closed>,
    reported: BTreeSet<u8>,
    certificate: Option<Certificate>,
    timers: Timers<Timer>,
    is_over: bool,
}

/// An order with its draws and its signature. Of `order`, the prompt's hash and both draws are filled in.
pub fn offer(crypto: &impl Crypto, genesis: &Hash32, order: Order, prompt: Vec<u8>, salt: Salt) -> Offer {
    let v0 = crypto.vrf(ANSWER_VRF, genesis, &order.name);
    let v1 = crypto.vrf(SCORE_VRF, genesis, &order.name);
    let order = Order {
        prompt: prompt_hash(genesis, &order.name, &prompt, &salt),
        first_draw: v0.output,
        second_draw: second_draw_hash(genesis, &order.name, &v1.output),
        ..order
    };
    let signature = crypto.sign(&order.digest(genesis));
    Offer { order, signature, proof: v0.proof, prompt, salt }
}

impl<C: Crypto> Requester<C> {
    /// Begins an order, which [`offer`] has made. The caller gives no name twice.
    pub fn begin(
        crypto: C,
        limits: Limits,
        view: &View,
        now: Now,
        offer: Offer,
    ) -> Result<(Self, Vec<Action>), Refusal> {
        let mut this = Self::new(crypto, limits, view, offer)?;
        let mut out = vec![this.persist(Record::Ordered(this.scene.offer.clone()))];
        this.ask_responders(now, &mut out);
        this.wake_later(&mut out);
        Ok((this, out))
    }

    /// Goes on after a restart, by the records of one order in their order; `None` if they do not begin with the order.
    pub fn restore(
        crypto: C,
        limits: Limits,
        view: &View,
        now: Now,
        records: Vec<Record>,
    ) -> Result<Option<(Self, Vec<Action>)>, Refusal> {
        let mut records = records.into_iter();
        let Some(Record::Ordered(offer)) = records.next() else { return Ok(None) };
        let mut this = Self::new(crypto, limits, view, offer)?;
        let mut out = Vec::new();
        let mut parts = None;
        for record in records {
            match record {
                Record::Closed(who) => parts = Some(who),
                Record::Certified(certificate) => this.certificate = Some(certificate),
                _ => {}
            }
        }
        match (parts, this.certificate.clone()) {
            (_, Some(certificate)) => {
                this.bring(&certificate, &mut out);
                this.end();
            }
            (Some(parts), None) => this.draw(now, parts, &mut out),
            (None, None) => this.ask_responders(now, &mut out),
        }
        this.wake_later(&mut out);
        Ok(Some((this, out)))
    }

    fn new(crypto: C, limits: Limits, view: &View, offer: Offer) -> Result<Self, Refusal> {
        let scene = Scene::open(&crypto, view, &limits, &offer)?;
        Ok(Self {
            crypto,
            limits,
            scene,
            busy: BTreeMap::new(),
            answers: BTreeMap::new(),
            asked: BTreeSet::new(),
            closed: None,
            reported: BTreeSet::new(),
            certificate: None,
            timers: Timers::new(),
            is_over: false,
        })
    }

    /// Whether nothing more is to be done.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    fn end(&mut self) {
        self.is_over = true;
        self.timers.clear();
    }

    fn persist(&self, record: Record) -> Action {
        Action::Persist { name: self.scene.order().name, record }
    }

    fn wake_later(&self, out: &mut Vec<Action>) {
        out.extend(self.timers.next().map(|at| Action::Wake { at }));
    }

    /// Takes an event; returns the actions of this party.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        match event {
            Event::Message { from, message } if message.order(&self.scene.genesis) == self.scene.digest => {
                // Nobody waits for a reply of the requester's.
                let _ = self.take(now, from, *message, &mut out);
            }
            Event::Wake => self.wake(now, &mut out),
            Event::Ended { name } if name == self.scene.order().name => {
                self.end();
                out.push(Action::Forget { name });
            }
            _ => {}
        }
        self.wake_later(&mut out);
        out
    }

    fn take(&mut self, now: Now, from: Peer, message: Message, out: &mut Vec<Action>) -> Result<(), Refusal> {
        match message {
            Message::Answer { place, answer, .. } => self.take_answer(now, place, answer, out),
            Message::ResponderBusy { busy, .. } => self.take_busy(now, &busy, out),
            Message::Show { place, show, .. } => self.take_show(now, place, show, out),
            Message::Have { .. } => {
                if let (Some(closed), Peer::Operator(key)) = (&mut self.closed, from) {
                    closed.have.insert(key);
                }
                Ok(())
            }
            // Answers that came elsewhere are too late, even if a responder refuses to show its output without them: whoever made them may
            // have known the second draw.
            Message::Refusal { reason: Refusal::Unknown, .. } => {
                self.send_again(from, out);
                Ok(())
            }
            Message::MemberBusy { busy, .. } => {
                let Some(closed) = &mut self.closed else { return Ok(()) };
                closed.tally.learn_busy(&self.crypto, &busy)?;
                self.ask_members(out);
                Ok(())
            }
            Message::Commit { set, .. } => self.learn(now, out, |tally, crypto| tally.learn(crypto, &set)),
            Message::Proposal { place, set, signature, .. } => {
                self.learn(now, out, |tally, crypto| tally.learn_vote(crypto, place, &set, &signature))
            }
            Message::Reveal { reveal, .. } => {
                self.learn(now, out, |tally, crypto| tally.learn_reveal(crypto, &reveal))
            }
            Message::Certificate(certificate) => {
                if self.certificate.is_none() {
                    let holds = certificate.check(&self.scene.context(), &self.crypto);
                    holds.map_err(|_| Refusal::Certificate)?;
                    self.certified(now, *certificate, true, out);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn learn(
        &mut self,
        now: Now,
        out: &mut Vec<Action>,
        learn: impl FnOnce(&mut Tally, &C) -> Result<Vec<Finding>, Refusal>,
    ) -> Result<(), Refusal> {
        let Some(closed) = &mut self.closed else { return Ok(()) };
        let found = learn(&mut closed.tally, &self.crypto)?;
        let certificate = closed.tally.certificate(&self.crypto);
        out.extend(found.into_iter().map(|(key, proof)| Action::Report { key, proof: Box::new(proof) }));
        self.ask_members(out);
        if let Some((certificate, is_whole)) = certificate {
            self.certified(now, certificate, is_whole, out);
        }
        Ok(())
    }

    fn certified(&mut self, now: Now, certificate: Certificate, is_whole: bool, out: &mut Vec<Action>) {
        if self.is_over && self.certificate.is_some() {
            return;
        }
        if self.certificate.is_none() {
            out.push(self.persist(Record::Certified(certificate.clone())));
            let outputs = self.outputs();
            out.push(Action::Certified { certificate: Box::new(certificate.clone()), outputs });
            self.timers.clear();
            self.timers.set(Timer::LateReveals, now.saturating_add(self.limits.late_reveals));
        }
        self.certificate = Some(certificate);
        if is_whole {
            self.settle(out);
        }
    }

    fn settle(&mut self, out: &mut Vec<Action>) {
        let Some(certificate) = self.certificate.clone() else { return };
        out.push(self.persist(Record::Certified(certificate.clone())));
        self.bring(&certificate, out);
        self.end();
    }

    /// To the settlers, and to the responders, who cannot form it.
    fn bring(&self, certificate: &Certificate, out: &mut Vec<Action>) {
        let answered = self.closed.iter().flat_map(|closed| closed.tally.answered());
        let responders = answered.map(|(_, key)| Peer::Operator(key));
        let message = Message::Certificate(Box::new(certificate.clone()));
        let all = responders.chain([Peer::Settlers]);
        out.extend(all.map(|to| Action::Send { to, message: message.clone() }));
    }

    fn outputs(&self) -> Vec<Option<Vec<u8>>> {
        let Some(closed) = &self.closed else { return Vec::new() };
        let places = answered(&closed.tally.parts).into_iter();
        places.map(|(place, _, _)| closed.shows.get(&place).map(|show| show.output.clone())).collect()
    }

    fn offer(&self, place: u8) -> Option<Action> {
        let to = Peer::Operator(self.scene.responder(place)?.key);
        let offer = Box::new(self.scene.offer.clone());
        Some(Action::Send { to, message: Message::Offer { offer, busy: statements(&self.busy) } })
    }

    /// The places of responders, as far as is known who is busy.
    fn places(&self) -> Vec<u8> {
        first_free(self.scene.picked(), self.scene.order().responders, &self.busy)
    }

    fn ask_responders(&mut self, now: Now, out: &mut Vec<Action>) {
        if self.asked.is_empty() {
            self.timers.set(Timer::Answers, now.saturating_add(self.limits.answers));
            self.timers.set(Timer::Retry, now.saturating_add(self.limits.retry));
        }
        for place in self.places() {
            if self.asked.insert(place) {
                out.extend(self.offer(place));
            }
        }
    }

    fn take_answer(
        &mut self,
        now: Now,
        place: u8,
        answer: SignedAnswer,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        if let Some(known) = self.answers.get(&place) {
            let report = second_answer(&self.crypto, &self.scene, place, known, &answer);
            out.extend(report.filter(|_| self.reported.insert(place)));
            return Ok(());
        }
        if self.is_over || self.closed.is_some() || self.busy.contains_key(&place) {
            return Ok(());
        }
        self.scene.check_answer(&self.crypto, place, &answer)?;
        self.answers.insert(place, answer);
        self.close_if_all(now, out);
        Ok(())
    }

    fn take_busy(&mut self, now: Now, busy: &Busy, out: &mut Vec<Action>) -> Result<(), Refusal> {
        if self.is_over || self.closed.is_some() || self.answers.contains_key(&busy.place) {
            return Ok(());
        }
        self.scene.check_busy(&self.crypto, busy.place, &busy.signature)?;
        self.busy.insert(busy.place, busy.signature);
        self.ask_responders(now, out);
        self.close_if_all(now, out);
        Ok(())
    }

    fn close_if_all(&mut self, now: Now, out: &mut Vec<Action>) {
        if self.places().iter().all(|place| self.answers.contains_key(place)) {
            self.close(now, out);
        }
    }

    /// Fixes who answered.
    fn close(&mut self, now: Now, out: &mut Vec<Action>) {
        if self.is_over || self.closed.is_some() {
            return;
        }
        let wanted = self.scene.order().responders;
        // If the draw has too few others, the last who are busy count as absent.
        while self.places().len() < usize::from(wanted) && self.busy.pop_last().is_some() {}
        let last = self.places().last().copied().unwrap_or(0);
        let part = |place| match (self.busy.get(&place), self.answers.get(&place)) {
            (Some(signature), _) => Part::Busy(*signature),
            (None, Some(answer)) => Part::Answered(answer.clone()),
            (None, None) => Part::Absent,
        };
        let parts: Vec<Part> = (0..=last).map(part).collect();
        if answered(&parts).is_empty() {
            self.escalate(out);
            return;
        }
        out.push(self.persist(Record::Closed(parts.clone())));
        self.draw(now, parts, out);
    }

    /// Draws the committee and asks for the outputs.
    fn draw(&mut self, now: Now, parts: Vec<Part>, out: &mut Vec<Action>) {
        let v1 = self.crypto.vrf(SCORE_VRF, &self.scene.genesis, &self.scene.order().name);
        let tally = Tally::new(self.scene.clone(), v1, parts);
        let is_complete = tally.is_complete();
        self.closed = Some(Closed {
            tally,
            shows: BTreeMap::new(),
            is_asked: false,
            asked: BTreeSet::new(),
            have: BTreeSet::new(),
        });
        if !is_complete {
            self.escalate(out);
            return;
        }
        self.timers.cancel(Timer::Answers);
        self.timers.set(Timer::Outputs, now.saturating_add(self.limits.outputs));
        self.timers.set(Timer::Retry, now.saturating_add(self.limits.retry));
        self.timers.set(Timer::Stalled, now.saturating_add(self.limits.stalled));
        if let Some((message, keys)) = self.answers_message() {
            out.extend(
                keys.into_iter()
                    .map(|(_, key)| Action::Send { to: Peer::Operator(key), message: message.clone() }),
            );
        }
    }

    fn answers_message(&self) -> Option<(Message, Vec<(u8, Key)>)> {
        let tally = &self.closed.as_ref()?.tally;
        let (v1, parts): (Vrf, _) = (tally.v1.clone(), tally.parts.clone());
        Some((Message::Answers { order: self.scene.digest, v1, parts }, tally.answered()))
    }

    fn take_show(&mut self, now: Now, place: u8, show: Show, out: &mut Vec<Action>) -> Result<(), Refusal> {
        let Some(closed) = &mut self.closed else { return Ok(()) };
        if self.is_over || closed.shows.contains_key(&place) {
            return Ok(());
        }
        let all = answered(&closed.tally.parts);
        self.scene.check_show(&self.crypto, &self.limits, &all, place, &show)?;
        closed.shows.insert(place, show);
        if closed.shows.len() == all.len() {
            self.ask(now, out);
        }
        Ok(())
    }

    fn ask(&mut self, now: Now, out: &mut Vec<Action>) {
        let Some(closed) = &mut self.closed else { return };
        closed.is_asked = true;
        self.timers.cancel(Timer::Outputs);
        self.timers.set(Timer::Stalled, now.saturating_add(self.limits.stalled));
        self.ask_members(out);
    }

    fn material(&self) -> Option<Message> {
        let closed = self.closed.as_ref()?;
        let material = Material {
            offer: self.scene.offer.clone(),
            v1: closed.tally.v1.clone(),
            parts: closed.tally.parts.clone(),
            shows: answered(&closed.tally.parts)
                .iter()
                .map(|(place, _, _)| closed.shows.get(place).cloned())
                .collect(),
        };
        Some(Message::Ask { material: Box::new(material), busy: closed.tally.busy() })
    }

    /// Asks those of the committee who were not asked.
    fn ask_members(&mut self, out: &mut Vec<Action>) {
        let Some(message) = self.material() else { return };
        let Some(closed) = &mut self.closed else { return };
        if !closed.is_asked || self.is_over {
            return;
        }
        let new: Vec<u8> =
            closed.tally.places().into_iter().filter(|place| closed.asked.insert(*place)).collect();
        let keys = new.into_iter().filter_map(|place| closed.tally.key(place));
        out.extend(keys.map(|key| Action::Send { to: Peer::Operator(key), message: message.clone() }));
    }

    /// Tells somebody again who has forgotten, or has never got it.
    fn send_again(&self, to: Peer, out: &mut Vec<Action>) {
        let Peer::Operator(key) = to else { return };
        if self.is_over {
            return;
        }
        let Some(closed) = &self.closed else {
            let place = self.scene.place_of(&key).filter(|place| self.asked.contains(place));
            out.extend(place.and_then(|place| self.offer(place)));
            return;
        };
        let place = closed.tally.place_of(&key).filter(|place| closed.asked.contains(place));
        out.extend(place.and_then(|_| self.material()).map(|message| Action::Send { to, message }));
    }

    fn wake(&mut self, now: Now, out: &mut Vec<Action>) {
        for timer in self.timers.due(now) {
            match timer {
                Timer::Answers => self.close(now, out),
                Timer::Outputs => {
                    let is_none = self.closed.as_ref().is_none_or(|closed| closed.shows.is_empty());
                    if is_none {
                        self.escalate(out);
                    } else {
                        self.ask(now, out);
                    }
                }
                Timer::LateReveals => self.settle(out),
                Timer::Retry => self.retry(now, out),
                Timer::Stalled => self.escalate(out),
            }
        }
    }

    fn retry(&mut self, now: Now, out: &mut Vec<Action>) {
        self.timers.set(Timer::Retry, now.saturating_add(self.limits.retry));
        let again = Message::Again { order: self.scene.digest };
        let to =
            |key: Key, message: &Message| Action::Send { to: Peer::Operator(key), message: message.clone() };
        let Some(closed) = &self.closed else {
            let missing = self.places().into_iter().filter(|place| !self.answers.contains_key(place));
            let keys = missing.filter_map(|place| self.scene.responder(place)).map(|seat| seat.key);
            out.extend(keys.map(|key| to(key, &again)));
            return;
        };
        if !closed.is_asked {
            let Some((message, all)) = self.answers_message() else { return };
            let missing = all.into_iter().filter(|(place, _)| !closed.shows.contains_key(place));
            out.extend(missing.map(|(_, key)| to(key, &message)));
            return;
        }
        let keys = closed.tally.places().into_iter().filter_map(|place| closed.tally.key(place));
        let material = self.material();
        for key in keys {
            match &material {
                Some(message) if !closed.have.contains(&key) => out.push(to(key, message)),
                _ => out.push(to(key, &again)),
            }
        }
    }

    fn escalate(&mut self, out: &mut Vec<Action>) {
        let last = self.places().last().copied().unwrap_or(0);
        let part = |place| match (self.busy.get(&place), self.answers.get(&place)) {
            (Some(signature), _) => Part::Busy(*signature),
            (None, Some(answer)) => Part::Answered(answer.clone()),
            (None, None) => Part::Absent,
        };
        let offer = self.scene.offer.clone();
        let escalation = match &self.closed {
            None => Escalation {
                offer,
                v1: None,
                parts: (0..=last).map(part).collect(),
                shows: vec![],
                commits: vec![],
                reveals: vec![],
            },
            Some(closed) => Escalation {
                offer,
                v1: Some(closed.tally.v1.clone()),
                parts: closed.tally.parts.clone(),
                shows: answered(&closed.tally.parts)
                    .iter()
                    .map(|(place, _, _)| closed.shows.get(place).cloned())
                    .collect(),
                commits: closed.tally.all_commits(),
                reveals: closed.tally.all_reveals(),
            },
        };
        out.push(Action::Escalate(Box::new(escalation)));
        self.end();
    }
}
