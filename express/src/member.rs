//! A committee member's part in one order: score, commit, reveal under one set, form the certificate.
//!
//! A member reveals when it has
//! - the commitments of the whole committee, or
//! - a quorum's consent to a set of at least a quorum. Seats propose one after the other; consent is signed as a proposal is, once in an
//!   order. It is needed because a reveal made on the word of one proposer could be read by a member that has not committed yet, and be
//!   copied into a set which others still form. After a quorum's consent no other set can get one, as long as fewer than a third are bad.

use crate::{
    crypto::Crypto,
    limits::Limits,
    merge::with_own,
    scene::{answered, answers, Scene},
    step::{Action, Escalation, Now, Peer, Record},
    tally::{Finding, Tally},
    timers::Timers,
    wire::{Answers, Busy, Certificate, Material, Message, Refusal, Reveal, Show, SignedCommit, SignedSet},
};
use codec::Encode;
use poq_primitives::{
    commitment::Salt,
    express::{messages, Key, Signature},
};
use sp_arithmetic::Permill;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    MissingOutputs,
    Turn,
    LateReveals,
    Nudge,
    Stalled,
}

/// Scores of a member, with its commitment to them.
#[derive(Clone, Debug)]
struct Own {
    set: SignedSet,
    scores: Vec<Permill>,
    salt: Salt,
}

/// A member's part in one order.
#[derive(Clone, Debug)]
pub struct Member<C> {
    crypto: C,
    limits: Limits,
    tally: Tally,
    place: u8,
    key: Key,
    shows: BTreeMap<u8, Show>,
    /// The answers that the engine scores.
    scoring: Option<Answers>,
    own: Option<Own>,
    /// Places that were told what it has said.
    told: BTreeSet<u8>,
    vote: Option<(SignedSet, Signature)>,
    reveal: Option<Reveal>,
    quorum_at: Option<Now>,
    certificate: Option<Certificate>,
    is_sent: bool,
    timers: Timers<Timer>,
    is_over: bool,
}

/// Checks what a member is asked, and draws the committee.
pub(crate) fn open(
    crypto: &impl Crypto,
    limits: &Limits,
    scene: Scene,
    material: &Material,
) -> Result<Tally, Refusal> {
    scene.check_second_draw(crypto, &material.v1)?;
    scene.check_parts(crypto, &material.parts, &BTreeMap::new())?;
    check_shows(crypto, limits, &scene, material)?;
    let tally = Tally::new(scene, material.v1.clone(), material.parts.clone());
    if tally.is_complete() {
        Ok(tally)
    } else {
        Err(Refusal::NoLane)
    }
}

fn check_shows(
    crypto: &impl Crypto,
    limits: &Limits,
    scene: &Scene,
    material: &Material,
) -> Result<(), Refusal> {
    let all = answered(&material.parts);
    if material.shows.len() != all.len() {
        return Err(Refusal::Output);
    }
    for ((place, _, _), show) in all.iter().zip(&material.shows) {
        if let Some(show) = show {
            scene.check_show(crypto, limits, &all, *place, show)?;
        }
    }
    Ok(())
}

impl<C: Crypto> Member<C> {
    /// Begins, of an order that [`open`] has checked. The operator has checked the place and has persisted the order.
    pub(crate) fn begin(
        crypto: C,
        limits: Limits,
        tally: Tally,
        place: u8,
        now: Now,
        from: Peer,
        material: &Material,
    ) -> (Self, Vec<Action>) {
        let mut this = Self::new(crypto, limits, tally, place);
        this.timers.set(Timer::MissingOutputs, now.saturating_add(this.limits.missing_outputs));
        let mut out = Vec::new();
        this.take_shows(from, material, &mut out);
        (this, out)
    }

    /// Is brought back after a restart, by its records; `None` if it had not committed, and so has said nothing.
    pub fn restore(
        crypto: C,
        limits: Limits,
        scene: Scene,
        now: Now,
        records: &[Record],
    ) -> Option<(Self, Vec<Action>)> {
        let committed = records.iter().find_map(|record| match record {
            Record::Committed { place, material, scores, salt, set } => {
                Some((*place, material, Own { set: set.clone(), scores: scores.clone(), salt: *salt }))
            }
            _ => None,
        });
        let (place, material, own) = committed?;
        let tally = Tally::new(scene, material.v1.clone(), material.parts.clone());
        let mut this = Self::new(crypto, limits, tally, place);
        let shows = answered(&material.parts).into_iter().zip(&material.shows);
        this.shows = shows.filter_map(|((place, _, _), show)| Some((place, show.clone()?))).collect();
        this.scoring = Some(own.set.answers.clone());
        // These were checked, or are its own.
        let _ = this.tally.learn(&this.crypto, &own.set);
        this.own = Some(own);
        for record in records {
            match record {
                Record::Voted { set, signature } => {
                    let _ = this.tally.learn_vote(&this.crypto, place, set, signature);
                    this.vote = Some((set.clone(), *signature));
                }
                Record::Revealed(reveal) => {
                    let _ = this.tally.learn_reveal(&this.crypto, reveal);
                    this.reveal = Some(reveal.clone());
                }
                Record::Certified(certificate) => this.certificate = Some(certificate.clone()),
                _ => {}
            }
        }
        let mut out = Vec::new();
        if let Some(certificate) = this.certificate.clone() {
            let message = Message::Certificate(Box::new(certificate));
            out.push(Action::Send { to: Peer::Settlers, message });
            this.end();
        } else {
            this.wait(now);
            this.say_again(this.requester(), &mut out);
            this.advance(now, &mut out);
            this.nudge(&mut out);
        }
        Some((this, out))
    }

    fn new(crypto: C, limits: Limits, tally: Tally, place: u8) -> Self {
        Self {
            key: crypto.key(),
            crypto,
            limits,
            tally,
            place,
            shows: BTreeMap::new(),
            scoring: None,
            own: None,
            told: BTreeSet::from([place]),
            vote: None,
            reveal: None,
            quorum_at: None,
            certificate: None,
            is_sent: false,
            timers: Timers::new(),
            is_over: false,
        }
    }

    fn persist(&self, record: Record) -> Action {
        Action::Persist { name: self.tally.scene.order().name, record }
    }

    fn requester(&self) -> Peer {
        Peer::Requester(self.tally.scene.order().name.channel)
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

    /// The order has ended on the chain, or the engine cannot score.
    pub fn end(&mut self) {
        self.is_over = true;
        self.timers.clear();
    }

    /// The engine has scored.
    pub fn scored(&mut self, now: Now, scores: Vec<Permill>) -> Vec<Action> {
        let mut out = Vec::new();
        let (Some(answers), None) = (self.scoring.clone(), &self.own) else { return out };
        let shown = answers.iter().flatten().filter(|(_, shown)| *shown).count();
        if self.is_over || scores.len() != shown {
            return out;
        }
        let (genesis, digest) = (self.tally.scene.genesis, self.tally.answers_digest(&answers));
        let salt = self.crypto.salt(&(digest, self.key, &scores).encode());
        let commitment = messages::score_commitment(&genesis, &digest, &self.key, &scores, &salt);
        let signature = self.crypto.sign(&messages::commit(&genesis, &digest, &self.key, &commitment));
        let busy = self.tally.busy().into_iter().filter(|busy| busy.place < self.place).collect();
        let commits = vec![SignedCommit { place: self.place, commitment, signature }];
        let set = SignedSet { answers, commits, busy };
        let material = Material {
            offer: self.tally.scene.offer.clone(),
            v1: self.tally.v1.clone(),
            parts: self.tally.parts.clone(),
            shows: answered(&self.tally.parts)
                .iter()
                .map(|(place, _, _)| self.shows.get(place).cloned())
                .collect(),
        };
        let own = Own { set, scores, salt };
        out.push(self.persist(Record::Committed {
            place: self.place,
            material: Box::new(material),
            scores: own.scores.clone(),
            salt,
            set: own.set.clone(),
        }));
        let learned = self.tally.learn(&self.crypto, &own.set);
        self.own = Some(own);
        self.report(learned.unwrap_or_default(), &mut out);
        self.tell_requester(&mut out);
        self.wait(now);
        self.advance(now, &mut out);
        out
    }

    fn tell_requester(&self, out: &mut Vec<Action>) {
        if let Some(own) = &self.own {
            let message = Message::Commit { order: self.tally.scene.digest, set: own.set.clone() };
            out.push(Action::Send { to: self.requester(), message });
        }
    }

    fn report(&self, found: Vec<Finding>, out: &mut Vec<Action>) {
        out.extend(found.into_iter().map(|(key, proof)| Action::Report { key, proof: Box::new(proof) }));
    }

    /// Takes a message about this order.
    pub fn message(&mut self, now: Now, from: Peer, message: &Message) -> Result<Vec<Action>, Refusal> {
        let mut out = Vec::new();
        let found = match message {
            Message::Ask { material, busy } => {
                self.take_material(from, material, busy, &mut out)?;
                Vec::new()
            }
            Message::MemberBusy { busy, .. } => {
                self.tally.learn_busy(&self.crypto, busy)?;
                Vec::new()
            }
            Message::Commit { set, .. } => self.tally.learn(&self.crypto, set)?,
            Message::Proposal { place, set, signature, .. } => {
                self.tally.learn_vote(&self.crypto, *place, set, signature)?
            }
            Message::Reveal { reveal, .. } => self.tally.learn_reveal(&self.crypto, reveal)?,
            Message::Certificate(certificate) => {
                self.take_certificate(certificate, &mut out)?;
                Vec::new()
            }
            Message::Again { .. } => {
                self.say_again(from, &mut out);
                Vec::new()
            }
            _ => Vec::new(),
        };
        self.report(found, &mut out);
        // Scores are known that were revealed under a set without this member: what it could commit to now must not count.
        if self.own.is_none() && self.tally.has_reveals() {
            self.end();
        }
        self.advance(now, &mut out);
        Ok(out)
    }

    fn take_material(
        &mut self,
        from: Peer,
        material: &Material,
        busy: &[Busy],
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        if answered(&material.parts) != answered(&self.tally.parts) {
            return Err(Refusal::Responders);
        }
        check_shows(&self.crypto, &self.limits, &self.tally.scene, material)?;
        for busy in busy {
            self.tally.learn_busy(&self.crypto, busy)?;
        }
        self.take_shows(from, material, out);
        Ok(())
    }

    fn take_shows(&mut self, from: Peer, material: &Material, out: &mut Vec<Action>) {
        let all = answered(&self.tally.parts);
        let before = self.shows.len();
        if self.scoring.is_none() {
            for ((place, _, _), show) in all.iter().zip(&material.shows) {
                if let Some(show) = show {
                    self.shows.entry(*place).or_insert_with(|| show.clone());
                }
            }
        }
        let is_late = self.scoring.is_some();
        let shown = all.iter().map(|(place, _, _)| is_late || self.shows.contains_key(place)).collect();
        let order = self.tally.scene.digest;
        let message = Message::Have { order, shown };
        out.push(Action::Send { to: from, message: message.clone() });
        if is_late || self.is_over {
            return;
        }
        if before < self.shows.len() || before == 0 {
            let others = self.tally.answered().into_iter().filter(|(_, key)| Peer::Operator(*key) != from);
            for (place, key) in others {
                // The requester may not have asked this responder for its output: then this member asks.
                let message = match self.shows.contains_key(&place) {
                    true => message.clone(),
                    false => {
                        let (v1, parts) = (self.tally.v1.clone(), self.tally.parts.clone());
                        Message::Answers { order, v1, parts }
                    }
                };
                out.push(Action::Send { to: Peer::Operator(key), message });
            }
        }
        if self.shows.len() == all.len() {
            self.score(out);
        }
    }

    /// Has the engine score what is there; what is not there by now counts as not shown.
    fn score(&mut self, out: &mut Vec<Action>) {
        if self.scoring.is_some() || self.shows.is_empty() {
            return;
        }
        self.timers.cancel(Timer::MissingOutputs);
        let all = answered(&self.tally.parts);
        let shown: Vec<_> = all.iter().map(|(place, _, _)| self.shows.contains_key(place)).collect();
        self.scoring = Some(answers(&self.tally.parts, &shown));
        let outputs = self.shows.values().map(|show| show.output.clone()).collect();
        let order = Box::new(self.tally.scene.order().clone());
        out.push(Action::Score { order, prompt: self.tally.scene.offer.prompt.clone(), outputs });
    }

    fn others(&self) -> Vec<Peer> {
        let places = self.tally.places().into_iter().filter(|place| *place != self.place);
        places.filter_map(|place| self.tally.key(place)).map(Peer::Operator).collect()
    }

    fn everybody(&self) -> Vec<Peer> {
        let mut everybody = self.others();
        everybody.push(self.requester());
        everybody
    }

    fn statements(&self) -> Vec<Message> {
        let order = self.tally.scene.digest;
        let commit = self.own.iter().map(|own| Message::Commit { order, set: own.set.clone() });
        let vote = self.vote.iter().map(|(set, signature)| Message::Proposal {
            order,
            place: self.place,
            set: set.clone(),
            signature: *signature,
        });
        let reveal =
            self.reveal.iter().map(|reveal| Message::Reveal { order, reveal: Box::new(reveal.clone()) });
        commit.chain(vote).chain(reveal).collect()
    }

    fn say_again(&self, to: Peer, out: &mut Vec<Action>) {
        out.extend(self.statements().into_iter().map(|message| Action::Send { to, message }));
        if let Some(certificate) = &self.certificate {
            out.push(Action::Send { to, message: Message::Certificate(Box::new(certificate.clone())) });
        }
    }

    fn nudge(&self, out: &mut Vec<Action>) {
        let message = Message::Again { order: self.tally.scene.digest };
        out.extend(self.others().into_iter().map(|to| Action::Send { to, message: message.clone() }));
    }

    /// Does all that what is known allows.
    fn advance(&mut self, now: Now, out: &mut Vec<Action>) {
        if !self.is_over && self.own.is_some() {
            self.tell(out);
            self.vote(now, out);
            self.reveal(out);
        }
        self.certify(now, out);
    }

    /// Tells those who are new in the committee what it has said.
    fn tell(&mut self, out: &mut Vec<Action>) {
        for place in self.tally.places() {
            if let (Some(key), true) = (self.tally.key(place), self.told.insert(place)) {
                let messages = self.statements().into_iter();
                out.extend(messages.map(|message| Action::Send { to: Peer::Operator(key), message }));
            }
        }
    }

    /// Proposes a set, or consents to one, once, if some commitments are late.
    fn vote(&mut self, now: Now, out: &mut Vec<Action>) {
        let Some(own) = &self.own else { return };
        if self.vote.is_some() || self.reveal.is_some() {
            return;
        }
        let known = self.tally.commits(&own.set.answers);
        if known.commits.len() < self.tally.quorum() || self.tally.whole(&own.set.answers).is_some() {
            return;
        }
        let since = *self.quorum_at.get_or_insert(now);
        let places = self.tally.places();
        let turn = |place: u8| {
            let seat = places.iter().position(|other| *other == place).unwrap_or(usize::MAX);
            let wait = u32::try_from(seat)
                .map_or(core::time::Duration::MAX, |seat| self.limits.next_seat.saturating_mul(seat));
            since.saturating_add(self.limits.propose).saturating_add(wait)
        };
        // A set that leaves out a commitment which is here would take somebody's pay.
        let contains_known = |set: &SignedSet| {
            set.answers == known.answers && known.commits.iter().all(|commit| set.commits.contains(commit))
        };
        let proposed = self.tally.proposed().filter(|(set, _)| contains_known(set));
        let proposed = proposed
            .filter_map(|(set, mut places)| places.any(|place| turn(place) <= now).then(|| set.clone()));
        let set = match proposed.last() {
            Some(set) => set,
            None if turn(self.place) <= now => known,
            None => {
                let turns = places.iter().map(|place| turn(*place)).filter(|at| *at > now);
                if let Some(next) = turns.min() {
                    self.timers.set(Timer::Turn, next);
                }
                return;
            }
        };
        let statement =
            messages::proposal(&self.tally.scene.genesis, &self.tally.set_digest(&set), &self.key);
        let signature = self.crypto.sign(&statement);
        out.push(self.persist(Record::Voted { set: set.clone(), signature }));
        let learned = self.tally.learn_vote(&self.crypto, self.place, &set, &signature);
        self.report(learned.unwrap_or_default(), out);
        let (order, place) = (self.tally.scene.digest, self.place);
        let message = Message::Proposal { order, place, set: set.clone(), signature };
        self.vote = Some((set, signature));
        out.extend(self.everybody().into_iter().map(|to| Action::Send { to, message: message.clone() }));
    }

    /// Reveals, once, under a set that is proven.
    fn reveal(&mut self, out: &mut Vec<Action>) {
        let (Some(own), None) = (&self.own, &self.reveal) else { return };
        let mine = own.set.commits.first().map(|commit| (commit.place, commit.commitment));
        let is_mine = |set: &SignedSet| {
            let mut commits = set.commits.iter().map(|commit| (commit.place, commit.commitment));
            set.answers == own.set.answers && commits.any(|commit| Some(commit) == mine)
        };
        // A member that has consented to a set is bound to it.
        let bound = self.vote.as_ref().map(|(set, _)| self.tally.set_digest(set));
        let whole = self.tally.whole(&own.set.answers).map(|set| (set, Vec::new()));
        let proven = self.tally.proven().into_iter().chain(whole);
        let mut allowed = proven
            .filter(|(set, _)| is_mine(set) && bound.is_none_or(|bound| bound == self.tally.set_digest(set)));
        let Some((set, votes)) = allowed.next() else { return };
        let digest = self.tally.set_digest(&set);
        let statement =
            messages::reveal(&self.tally.scene.genesis, &digest, &self.key, &own.scores, &own.salt);
        let signature = self.crypto.sign(&statement);
        let (scores, salt) = (own.scores.clone(), own.salt);
        let reveal = Reveal { place: self.place, set, votes, scores, salt, signature };
        out.push(self.persist(Record::Revealed(reveal.clone())));
        let learned = self.tally.learn_reveal(&self.crypto, &reveal);
        self.report(learned.unwrap_or_default(), out);
        self.timers.cancel(Timer::Turn);
        let message = Message::Reveal { order: self.tally.scene.digest, reveal: Box::new(reveal.clone()) };
        self.reveal = Some(reveal);
        out.extend(self.everybody().into_iter().map(|to| Action::Send { to, message: message.clone() }));
    }

    fn certify(&mut self, now: Now, out: &mut Vec<Action>) {
        if self.is_sent {
            return;
        }
        let Some((certificate, is_whole)) = self.tally.certificate(&self.crypto) else { return };
        if self.certificate.is_none() {
            self.timers.clear();
            self.timers.set(Timer::LateReveals, now.saturating_add(self.limits.late_reveals));
            let outputs = answered(&self.tally.parts).into_iter();
            let outputs =
                outputs.map(|(place, _, _)| self.shows.get(&place).map(|show| show.output.clone())).collect();
            out.push(self.persist(Record::Certified(certificate.clone())));
            out.push(Action::Certified { certificate: Box::new(certificate.clone()), outputs });
        }
        self.certificate = Some(certificate);
        if is_whole {
            self.settle(out);
        }
    }

    /// Brings the certificate to the settlers, with all reveals that there are by now.
    fn settle(&mut self, out: &mut Vec<Action>) {
        let Some(certificate) = &self.certificate else { return };
        out.push(self.persist(Record::Certified(certificate.clone())));
        let message = Message::Certificate(Box::new(certificate.clone()));
        out.push(Action::Send { to: Peer::Settlers, message });
        self.is_sent = true;
        self.end();
    }

    fn take_certificate(&mut self, certificate: &Certificate, out: &mut Vec<Action>) -> Result<(), Refusal> {
        if self.certificate.is_some() || certificate.order != *self.tally.scene.order() {
            return Ok(());
        }
        certificate.check(&self.tally.scene.context(), &self.crypto).map_err(|_| Refusal::Certificate)?;
        let certificate = match &self.reveal {
            Some(own) => with_own(&self.crypto, &self.tally.scene, certificate, own),
            None => certificate.clone(),
        };
        self.certificate = Some(certificate.clone());
        out.push(Action::Certified { certificate: Box::new(certificate), outputs: Vec::new() });
        self.settle(out);
        Ok(())
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Now) -> Vec<Action> {
        let mut out = Vec::new();
        for timer in self.timers.due(now) {
            match timer {
                Timer::MissingOutputs if self.shows.is_empty() => self.end(),
                Timer::MissingOutputs => self.score(&mut out),
                Timer::Turn => self.advance(now, &mut out),
                Timer::LateReveals => self.settle(&mut out),
                Timer::Nudge => self.nudge(&mut out),
                Timer::Stalled => {
                    out.push(Action::Escalate(Box::new(self.escalation())));
                    self.end();
                }
            }
        }
        out
    }

    fn escalation(&self) -> Escalation {
        let places = answered(&self.tally.parts).into_iter();
        Escalation {
            offer: self.tally.scene.offer.clone(),
            v1: Some(self.tally.v1.clone()),
            parts: self.tally.parts.clone(),
            shows: places.map(|(place, _, _)| self.shows.get(&place).cloned()).collect(),
            commits: self.tally.all_commits(),
            reveals: self.tally.all_reveals(),
        }
    }
}
