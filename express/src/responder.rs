//! A responder's part in one order: answer, show the output, see to it that members get it, hold the certificate.

use crate::{
    crypto::{Crypto, Vrf},
    limits::Limits,
    scene::{answered, Scene},
    step::{Action, Escalation, Now, Peer, Record},
    tally::Tally,
    timers::Timers,
    wire::{Certificate, Equivocation, Material, Message, Part, Refusal, Show, SignedAnswer},
};
use poq_primitives::{
    commitment::Salt,
    express::{draw::RESPONDER_VRF, messages, Key},
};
use std::collections::{BTreeMap, BTreeSet};

/// Most times that a responder brings its output to a member that does not answer.
const FORWARDS: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Forward,
    Nudge,
    Stalled,
}

/// A responder's part in one order.
#[derive(Clone, Debug)]
pub struct Responder<C> {
    crypto: C,
    limits: Limits,
    scene: Scene,
    place: u8,
    key: Key,
    /// Answers by place, its own among them.
    known: BTreeMap<u8, SignedAnswer>,
    output: Option<(Vec<u8>, Salt)>,
    shown: Option<(Tally, Show)>,
    /// Places of the committee that have its output.
    delivered: BTreeSet<u8>,
    /// Times that its output was brought to each place.
    brought: BTreeMap<u8, u8>,
    reported: BTreeSet<u8>,
    certificate: Option<Certificate>,
    timers: Timers<Timer>,
    is_over: bool,
}

impl<C: Crypto> Responder<C> {
    /// Begins: the engine is to answer. The operator has checked the place and has persisted the order.
    pub fn begin(crypto: C, limits: Limits, scene: Scene, place: u8) -> (Self, Vec<Action>) {
        let responder = Self::new(crypto, limits, scene, place);
        let job = responder.job();
        (responder, vec![job])
    }

    /// Is brought back after a restart, by its records, if it had answered.
    pub fn restore(
        crypto: C,
        limits: Limits,
        scene: Scene,
        now: Now,
        records: &[Record],
    ) -> (Self, Vec<Action>) {
        let key = crypto.key();
        let place = scene.place_of(&key).unwrap_or(u8::MAX);
        let mut this = Self::new(crypto, limits, scene, place);
        for record in records {
            match record {
                Record::Answered { place, output, salt, answer } => {
                    this.place = *place;
                    this.output = Some((output.clone(), *salt));
                    this.known.insert(*place, answer.clone());
                }
                Record::Shown { v1, parts } => this.bind(v1.clone(), parts.clone()),
                Record::Certified(certificate) => this.certificate = Some(certificate.clone()),
                _ => {}
            }
        }
        this.is_over = this.certificate.is_some();
        let mut out = Vec::new();
        match (&this.output, this.is_over) {
            (_, true) => {}
            (None, _) => out.push(this.job()),
            (Some(_), _) => {
                this.say_again(this.requester(), &mut out);
                if this.shown.is_some() {
                    this.timers.set(Timer::Forward, now.saturating_add(this.limits.forward));
                }
                this.wait(now);
            }
        }
        (this, out)
    }

    fn new(crypto: C, limits: Limits, scene: Scene, place: u8) -> Self {
        Self {
            key: crypto.key(),
            crypto,
            limits,
            scene,
            place,
            known: BTreeMap::new(),
            output: None,
            shown: None,
            delivered: BTreeSet::new(),
            brought: BTreeMap::new(),
            reported: BTreeSet::new(),
            certificate: None,
            timers: Timers::new(),
            is_over: false,
        }
    }

    fn job(&self) -> Action {
        let order = Box::new(self.scene.order().clone());
        Action::Generate { order, prompt: self.scene.offer.prompt.clone() }
    }

    fn requester(&self) -> Peer {
        Peer::Requester(self.scene.order().name.channel)
    }

    fn persist(&self, record: Record) -> Action {
        Action::Persist { name: self.scene.order().name, record }
    }

    fn wait(&mut self, now: Now) {
        self.timers.set(Timer::Nudge, now.saturating_add(self.limits.stalled / 2));
        self.timers.set(Timer::Stalled, now.saturating_add(self.limits.stalled));
    }

    /// Whether nothing more is to be done.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// When it wants to be woken.
    pub fn deadline(&self) -> Option<Now> {
        self.timers.next()
    }

    /// The order has ended on the chain, or the engine cannot answer.
    pub fn end(&mut self) {
        self.is_over = true;
        self.timers.clear();
    }

    /// The engine has answered.
    pub fn generated(&mut self, now: Now, output: Vec<u8>) -> Vec<Action> {
        if self.is_over || self.output.is_some() || output.len() > self.limits.text {
            return Vec::new();
        }
        let (genesis, digest, name) = (&self.scene.genesis, &self.scene.digest, &self.scene.order().name);
        let salt = self.crypto.salt(&codec::Encode::encode(&(digest, self.key, &output)));
        let commitment = messages::output_commitment(genesis, name, &self.key, &output, &salt);
        let vrf = self.crypto.vrf(RESPONDER_VRF, genesis, name);
        let statement = messages::answer(genesis, digest, &self.key, &commitment, &vrf.output);
        let answer = SignedAnswer { output: commitment, vrf, signature: self.crypto.sign(&statement) };
        let record =
            Record::Answered { place: self.place, output: output.clone(), salt, answer: answer.clone() };
        let mut out = vec![self.persist(record)];
        self.output = Some((output, salt));
        self.known.insert(self.place, answer.clone());
        let of = Box::new((self.scene.order().clone(), self.scene.offer.signature));
        let message = Message::Answer { order: self.scene.digest, place: self.place, answer, of };
        out.push(Action::Send { to: self.requester(), message: message.clone() });
        let others = (0..self.scene.order().responders.max(self.place)).filter(|place| *place != self.place);
        for seat in others.filter_map(|place| self.scene.responder(place)) {
            out.push(Action::Send { to: Peer::Operator(seat.key), message: message.clone() });
        }
        self.wait(now);
        out
    }

    /// Takes a message about this order.
    pub fn message(&mut self, now: Now, from: Peer, message: &Message) -> Result<Vec<Action>, Refusal> {
        let mut out = Vec::new();
        match message {
            Message::Answer { place, answer, .. } => self.take_answer(*place, answer, &mut out)?,
            Message::Answers { v1, parts, .. } => self.take_answers(now, from, v1, parts, &mut out)?,
            Message::Have { shown, .. } => self.take_have(from, shown, &mut out),
            Message::MemberBusy { busy, .. } => {
                if let Some((tally, _)) = &mut self.shown {
                    tally.learn_busy(&self.crypto, busy)?;
                    let next = now.saturating_add(self.limits.forward);
                    if !self.is_over {
                        self.timers.set(Timer::Forward, next);
                    }
                }
            }
            Message::Certificate(certificate) => self.take_certificate(certificate, &mut out)?,
            Message::Offer { .. } | Message::Again { .. } => self.say_again(from, &mut out),
            _ => {}
        }
        Ok(out)
    }

    fn take_answer(
        &mut self,
        place: u8,
        answer: &SignedAnswer,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let Some(known) = self.known.get(&place) else {
            self.scene.check_answer(&self.crypto, place, answer)?;
            self.known.insert(place, answer.clone());
            return Ok(());
        };
        let report = second_answer(&self.crypto, &self.scene, place, known, answer);
        if let Some(report) = report.filter(|_| self.reported.insert(place)) {
            out.push(report);
        }
        Ok(())
    }

    fn take_answers(
        &mut self,
        now: Now,
        from: Peer,
        v1: &Vrf,
        parts: &[Part],
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        if let Some((tally, _)) = &self.shown {
            // Signatures do not matter: what they are signatures of does.
            if answered(&tally.parts) != answered(parts) {
                return Err(Refusal::Bound);
            }
            self.show(from, out);
            return Ok(());
        }
        if self.is_over {
            return Err(Refusal::Over);
        }
        let Some((output, salt)) = self.output.clone() else { return Err(Refusal::NotYet) };
        self.scene.check_second_draw(&self.crypto, v1)?;
        self.scene.check_parts(&self.crypto, parts, &self.known)?;
        let all = answered(parts);
        // Who has told the requester something else than this responder is reported. What the requester was told counts.
        for (place, part) in (0u8..).zip(parts) {
            let (Part::Answered(answer), Some(known)) = (part, self.known.get(&place)) else { continue };
            let report = second_answer(&self.crypto, &self.scene, place, known, answer);
            if let Some(report) = report.filter(|_| place != self.place) {
                self.known.insert(place, answer.clone());
                out.extend(Some(report).filter(|_| self.reported.insert(place)));
            }
        }
        let is_left_out = |place: &u8, answer: &SignedAnswer| {
            // A place behind the last responder's is a spare that was not needed, unless it is one's own.
            let is_within = usize::from(*place) < parts.len() || *place == self.place;
            is_within && !all.contains(&(*place, answer.output, answer.vrf.output))
        };
        let left_out = self.known.iter().filter(|(place, answer)| is_left_out(place, answer));
        let left_out: Vec<_> = left_out.map(|(place, answer)| (*place, answer.clone())).collect();
        if !left_out.is_empty() {
            return Err(Refusal::LeftOut(left_out));
        }
        out.push(self.persist(Record::Shown { v1: v1.clone(), parts: parts.to_vec() }));
        self.output = Some((output, salt));
        self.bind(v1.clone(), parts.to_vec());
        self.say_again(self.requester(), out);
        if from != self.requester() {
            self.show(from, out);
        }
        self.timers.set(Timer::Forward, now.saturating_add(self.limits.forward));
        self.wait(now);
        Ok(())
    }

    /// Shows its output to whoever told it of the answers: the requester, or a member that lacks it.
    fn show(&mut self, to: Peer, out: &mut Vec<Action>) {
        let place = match (to, &self.shown) {
            (Peer::Operator(key), Some((tally, _))) => tally.place_of(&key),
            _ => None,
        };
        match place {
            Some(place) => self.bring(place, out),
            None => self.say_again(self.requester(), out),
        }
    }

    /// From now on, the output is shown for these answers only.
    fn bind(&mut self, v1: Vrf, parts: Vec<Part>) {
        let Some((output, salt)) = self.output.clone() else { return };
        let statement = messages::show(&self.scene.genesis, &self.scene.digest, &self.key, &answered(&parts));
        let show = Show { output, salt, signature: self.crypto.sign(&statement) };
        self.shown = Some((Tally::new(self.scene.clone(), v1, parts), show));
    }

    fn take_have(&mut self, from: Peer, shown: &[bool], out: &mut Vec<Action>) {
        let (Some((tally, _)), Peer::Operator(key)) = (&self.shown, from) else { return };
        let index = answered(&tally.parts).iter().position(|(place, _, _)| *place == self.place);
        let is_there = index.and_then(|index| shown.get(index)).copied().unwrap_or(false);
        let Some(place) = tally.place_of(&key) else { return };
        if is_there {
            self.delivered.insert(place);
        } else if !self.delivered.contains(&place) {
            self.bring(place, out);
        }
    }

    /// Brings its output to a member, some times at most.
    fn bring(&mut self, place: u8, out: &mut Vec<Action>) {
        let key = self.shown.as_ref().and_then(|(tally, _)| tally.key(place));
        let brought = self.brought.entry(place).or_default();
        if self.is_over || *brought == FORWARDS {
            return;
        }
        *brought = brought.saturating_add(1);
        if let (Some(key), Some(message)) = (key, self.material()) {
            out.push(Action::Send { to: Peer::Operator(key), message });
        }
    }

    fn material(&self) -> Option<Message> {
        let (tally, show) = self.shown.as_ref()?;
        let own = |(place, _, _): (u8, _, _)| (place == self.place).then(|| show.clone());
        let material = Material {
            offer: self.scene.offer.clone(),
            v1: tally.v1.clone(),
            parts: tally.parts.clone(),
            shows: answered(&tally.parts).into_iter().map(own).collect(),
        };
        Some(Message::Ask { material: Box::new(material), busy: tally.busy() })
    }

    fn take_certificate(&mut self, certificate: &Certificate, out: &mut Vec<Action>) -> Result<(), Refusal> {
        if self.certificate.is_some() || certificate.order != *self.scene.order() {
            return Ok(());
        }
        certificate.check(&self.scene.context(), &self.crypto).map_err(|_| Refusal::Certificate)?;
        out.push(self.persist(Record::Certified(certificate.clone())));
        // Its pay does not depend on others bringing the certificate there.
        let message = Message::Certificate(Box::new(certificate.clone()));
        out.push(Action::Send { to: Peer::Settlers, message });
        let outputs = self.outputs();
        out.push(Action::Certified { certificate: Box::new(certificate.clone()), outputs });
        self.certificate = Some(certificate.clone());
        self.end();
        Ok(())
    }

    fn outputs(&self) -> Vec<Option<Vec<u8>>> {
        let Some((tally, show)) = &self.shown else { return Vec::new() };
        let places = answered(&tally.parts).into_iter();
        places.map(|(place, _, _)| (place == self.place).then(|| show.output.clone())).collect()
    }

    /// Says what it has said before.
    fn say_again(&self, to: Peer, out: &mut Vec<Action>) {
        let (order, place) = (self.scene.digest, self.place);
        let message = match (&self.certificate, &self.shown, self.known.get(&place)) {
            (Some(certificate), _, _) => Message::Certificate(Box::new(certificate.clone())),
            // The output is for the requester, and for members within what they are asked.
            (None, Some((_, show)), _) if to == self.requester() => {
                Message::Show { order, place, show: show.clone() }
            }
            (None, _, Some(answer)) => {
                let of = Box::new((self.scene.order().clone(), self.scene.offer.signature));
                Message::Answer { order, place, answer: answer.clone(), of }
            }
            (None, _, None) => return,
        };
        out.push(Action::Send { to, message });
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Now) -> Vec<Action> {
        let mut out = Vec::new();
        for timer in self.timers.due(now) {
            match timer {
                Timer::Forward => self.forward(now, &mut out),
                Timer::Nudge => {
                    let places = self.shown.as_ref().map(|(tally, _)| tally.places()).unwrap_or_default();
                    let keys = places.iter().filter_map(|place| self.shown.as_ref()?.0.key(*place));
                    let message = Message::Again { order: self.scene.digest };
                    out.extend(
                        keys.map(|key| Action::Send { to: Peer::Operator(key), message: message.clone() }),
                    );
                }
                Timer::Stalled => {
                    out.push(Action::Escalate(Box::new(self.escalation())));
                    self.end();
                }
            }
        }
        out
    }

    fn forward(&mut self, now: Now, out: &mut Vec<Action>) {
        let Some((tally, _)) = &self.shown else { return };
        let missing = tally.places().into_iter().filter(|place| {
            let is_given_up = self.brought.get(place).is_some_and(|brought| *brought == FORWARDS);
            !is_given_up && !self.delivered.contains(place)
        });
        let missing: Vec<u8> = missing.collect();
        if !missing.is_empty() {
            self.timers.set(Timer::Forward, now.saturating_add(self.limits.retry));
        }
        for place in missing {
            self.bring(place, out);
        }
    }

    fn escalation(&self) -> Escalation {
        let offer = self.scene.offer.clone();
        let Some((tally, show)) = &self.shown else {
            let last = self.known.keys().max().map_or(0, |place| place.saturating_add(1));
            let part =
                |place| self.known.get(&place).map_or(Part::Absent, |answer| Part::Answered(answer.clone()));
            let parts = (0..last).map(part).collect();
            return Escalation { offer, v1: None, parts, shows: vec![], commits: vec![], reveals: vec![] };
        };
        let own = |(place, _, _): (u8, _, _)| (place == self.place).then(|| show.clone());
        Escalation {
            offer,
            v1: Some(tally.v1.clone()),
            parts: tally.parts.clone(),
            shows: answered(&tally.parts).into_iter().map(own).collect(),
            commits: vec![],
            reveals: vec![],
        }
    }
}

/// The report of a responder that has committed twice, if `second` is signed and says something else than `first`.
pub(crate) fn second_answer(
    crypto: &impl Crypto,
    scene: &Scene,
    place: u8,
    first: &SignedAnswer,
    second: &SignedAnswer,
) -> Option<Action> {
    let key = scene.responder(place)?.key;
    let statement = |answer: &SignedAnswer| (answer.output, answer.vrf.output, answer.signature);
    let answers = [statement(first), statement(second)];
    let proof = Equivocation::Answers { order: scene.order().clone(), answers };
    let is_proof = proof.is_proof(&scene.genesis, &key, crypto);
    is_proof.then(|| Action::Report { key, proof: Box::new(proof) })
}
