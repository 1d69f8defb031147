//! An operator: all its parts in all orders, who may ask it, and what it refuses.

use crate::{
    crypto::Crypto,
    deposit::covers,
    limits::Limits,
    member::{self, Member},
    responder::Responder,
    scene::{statements, Scene},
    step::{Action, Event, Now, Peer, Record},
    tally::Tally,
    view::View,
    wire::{Busy, Equivocation, Material, Message, Offer, Order, Refusal},
};
use poq_primitives::express::{messages, Digest, OrderName, Signature};
use std::collections::{BTreeMap, VecDeque};

/// An order that the operator knows.
#[derive(Clone, Debug)]
struct Open<C> {
    scene: Scene,
    busy: Option<Signature>,
    responder: Option<Responder<C>>,
    member: Option<Member<C>>,
    is_reported: bool,
}

impl<C: Crypto> Open<C> {
    fn new(scene: Scene) -> Self {
        Self { scene, busy: None, responder: None, member: None, is_reported: false }
    }

    /// Whether it has no part in the order yet: it was restarted before it had signed anything for it but the order's acceptance. It takes the part
    /// for which it is asked again.
    fn is_idle(&self) -> bool {
        self.responder.is_none() && self.member.is_none() && self.busy.is_none()
    }

    fn is_over(&self) -> bool {
        self.responder.as_ref().is_none_or(|part| part.is_over())
            && self.member.as_ref().is_none_or(|part| part.is_over())
    }

    /// Refuses a second order of this name, and reports it.
    fn second(&mut self, crypto: &C, order: &Order, signature: Signature, out: &mut Vec<Action>) -> Refusal {
        let first = (self.scene.offer.order.clone(), self.scene.offer.signature);
        let proof = Equivocation::Orders([first.clone(), (order.clone(), signature)]);
        let key = *self.scene.channel_key();
        if !proof.is_proof(&self.scene.genesis, &key, crypto) {
            return Refusal::OrderSignature;
        }
        if !self.is_reported {
            self.is_reported = true;
            out.push(Action::Report { key, proof: Box::new(proof) });
        }
        Refusal::SecondOrder(Box::new(first))
    }

    fn deadline(&self) -> Option<Now> {
        let responder = self.responder.as_ref().and_then(|part| part.deadline());
        let member = self.member.as_ref().and_then(|part| part.deadline());
        responder.into_iter().chain(member).min()
    }
}

/// An operator.
#[derive(Clone, Debug)]
pub struct Operator<C> {
    crypto: C,
    limits: Limits,
    orders: BTreeMap<OrderName, Open<C>>,
    names: BTreeMap<Digest, OrderName>,
    /// Messages about orders that it has not been asked about yet, the oldest first.
    early: VecDeque<(Digest, Peer, Message)>,
}

/// Whether this place is one of the first `wanted` that are not busy.
fn is_called(place: u8, wanted: u8, busy: &[Busy]) -> bool {
    let before = busy.iter().filter(|busy| busy.place < place).count();
    usize::from(place).saturating_sub(before) < usize::from(wanted)
}

impl<C: Crypto> Operator<C> {
    /// A new operator, or one without open orders.
    pub fn new(crypto: C, limits: Limits) -> Self {
        Self { crypto, limits, orders: BTreeMap::new(), names: BTreeMap::new(), early: VecDeque::new() }
    }

    /// An operator after a restart, by the records that it had persisted and not been told to forget, in their order.
    pub fn restore(
        crypto: C,
        limits: Limits,
        view: &View,
        now: Now,
        records: Vec<(OrderName, Record)>,
    ) -> (Self, Vec<Action>) {
        let mut this = Self::new(crypto.clone(), limits.clone());
        let mut out = Vec::new();
        let mut by_name: BTreeMap<OrderName, Vec<Record>> = BTreeMap::new();
        for (name, record) in records {
            by_name.entry(name).or_default().push(record);
        }
        for (name, records) in by_name {
            let offer = records.iter().find_map(|record| match record {
                Record::Accepted(offer) => Some(offer),
                _ => None,
            });
            // An order whose epoch is no longer kept cannot be settled or escalated any more.
            let scene = offer.and_then(|offer| Scene::open(&crypto, view, &limits, offer).ok());
            let Some(scene) = scene else {
                out.push(Action::Forget { name });
                continue;
            };
            let mut open = Open::new(scene.clone());
            open.busy = records.iter().find_map(|record| match record {
                Record::Busy(signature) => Some(*signature),
                _ => None,
            });
            if open.busy.is_none() {
                // Who has accepted the order and neither answered nor committed may have been asked as either: the spare inference nodes of an
                // order can be drawn for its committee.
                let has_answered = records.iter().any(|record| matches!(record, Record::Answered { .. }));
                if has_answered {
                    let (crypto, limits) = (crypto.clone(), limits.clone());
                    let (responder, actions) =
                        Responder::restore(crypto, limits, scene.clone(), now, &records);
                    open.responder = Some(responder);
                    out.extend(actions);
                }
                let member = Member::restore(crypto.clone(), limits.clone(), scene.clone(), now, &records);
                if let Some((member, actions)) = member {
                    open.member = Some(member);
                    out.extend(actions);
                }
            }
            this.names.insert(scene.digest, name);
            this.orders.insert(name, open);
        }
        this.wake_later(&mut out);
        (this, out)
    }

    /// Takes an event; returns the actions of this party.
    pub fn handle(&mut self, now: Now, view: &View, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        match event {
            Event::Message { from, message } => self.take(now, view, from, *message, &mut out),
            Event::Generated { name, output } => {
                let part = self.orders.get_mut(&name).and_then(|open| open.responder.as_mut());
                out.extend(part.map(|part| part.generated(now, output)).unwrap_or_default());
            }
            Event::Scored { name, scores } => {
                let part = self.orders.get_mut(&name).and_then(|open| open.member.as_mut());
                out.extend(part.map(|part| part.scored(now, scores)).unwrap_or_default());
            }
            Event::Failed { name } => {
                // A responder fails to answer, or a member to score: nobody has both parts in one order.
                if let Some(open) = self.orders.get_mut(&name) {
                    open.responder.iter_mut().for_each(Responder::end);
                    open.member.iter_mut().for_each(Member::end);
                }
            }
            Event::Wake => {
                for open in self.orders.values_mut() {
                    out.extend(open.responder.as_mut().map(|part| part.wake(now)).unwrap_or_default());
                    out.extend(open.member.as_mut().map(|part| part.wake(now)).unwrap_or_default());
                }
            }
            Event::Ended { name } => {
                if let Some(open) = self.orders.get_mut(&name) {
                    open.responder.iter_mut().for_each(Responder::end);
                    open.member.iter_mut().for_each(Member::end);
                }
                self.forget(view, &mut out);
            }
        }
        self.wake_later(&mut out);
        out
    }

    /// Forgets orders of epochs that the chain no longer keeps: nobody can settle a second order of their names.
    fn forget(&mut self, view: &View, out: &mut Vec<Action>) {
        let Some(oldest) = view.epochs.keys().next() else { return };
        let old: Vec<_> = self.orders.keys().filter(|name| name.epoch < *oldest).copied().collect();
        for name in old {
            if let Some(open) = self.orders.remove(&name) {
                self.names.remove(&open.scene.digest);
                out.push(Action::Forget { name });
            }
        }
    }

    fn wake_later(&self, out: &mut Vec<Action>) {
        let next = self.orders.values().filter_map(Open::deadline).min();
        out.extend(next.map(|at| Action::Wake { at }));
    }

    fn take(&mut self, now: Now, view: &View, from: Peer, message: Message, out: &mut Vec<Action>) {
        let order = message.order(&view.genesis);
        let is_refusal = matches!(message, Message::Refusal { .. });
        match self.route(now, view, from, message, order, out) {
            // A refusal is never answered, so that no two parties refuse each other for ever.
            Err(reason) if !is_refusal => {
                out.push(Action::Send { to: from, message: Message::Refusal { order, reason } });
            }
            _ => {}
        }
    }

    fn route(
        &mut self,
        now: Now,
        view: &View,
        from: Peer,
        message: Message,
        order: Digest,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        match &message {
            Message::Offer { offer, busy } => self.offered(now, view, from, offer, busy, &message, out),
            Message::Ask { material, busy } => self.asked(now, view, from, material, busy, &message, out),
            Message::Refusal { .. } => Ok(()),
            Message::Answer { of, .. } if !self.names.contains_key(&order) => {
                let (other, signature) = &**of;
                match self.orders.get_mut(&other.name) {
                    Some(open) => Err(open.second(&self.crypto, other, *signature, out)),
                    None => self.keep(from, order, message),
                }
            }
            _ => self.pass(now, from, order, message, out),
        }
    }

    /// Gives a message to the operator's part in the order, or keeps it for later.
    fn pass(
        &mut self,
        now: Now,
        from: Peer,
        order: Digest,
        message: Message,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let name = self.names.get(&order);
        let Some(open) = name.and_then(|name| self.orders.get_mut(name)) else {
            return self.keep(from, order, message);
        };
        if let (Some(_), Message::Again { .. }) = (open.busy, &message) {
            return Err(Refusal::Over);
        }
        if let Some(part) = &mut open.responder {
            out.extend(part.message(now, from, &message)?);
        } else if let Some(part) = &mut open.member {
            out.extend(part.message(now, from, &message)?);
        } else if open.busy.is_none() {
            return self.keep(from, order, message);
        }
        Ok(())
    }

    fn keep(&mut self, from: Peer, order: Digest, message: Message) -> Result<(), Refusal> {
        // Whoever asks for something must learn that it is not there.
        if matches!(message, Message::Again { .. } | Message::Answers { .. }) {
            return Err(Refusal::Unknown);
        }
        if self.early.len() >= self.limits.early_messages {
            self.early.pop_front();
        }
        self.early.push_back((order, from, message));
        Ok(())
    }

    fn catch_up(&mut self, now: Now, order: Digest, out: &mut Vec<Action>) {
        let early = core::mem::take(&mut self.early);
        for (of, from, message) in early {
            if of != order {
                self.early.push_back((of, from, message));
            } else {
                // Nobody waits for a reply to these.
                let _ = self.pass(now, from, order, message, out);
            }
        }
    }

    /// The order of this name, new or known. A second order of a name is refused, and both together are a proof.
    fn accept(
        &mut self,
        view: &View,
        offer: &Offer,
        out: &mut Vec<Action>,
    ) -> Result<Option<Scene>, Refusal> {
        let name = offer.order.name;
        let Some(open) = self.orders.get_mut(&name) else {
            let scene = Scene::open(&self.crypto, view, &self.limits, offer)?;
            let channel = view.channels.get(&name.channel).ok_or(Refusal::Channel)?;
            covers(channel, view.epoch, &name, offer.order.budget).map_err(Refusal::Uncovered)?;
            return Ok(Some(scene));
        };
        if open.scene.offer.order == offer.order {
            return Ok(None);
        }
        Err(open.second(&self.crypto, &offer.order, offer.signature, out))
    }

    /// The only order of its name, from now on.
    fn enter(&mut self, scene: Scene, out: &mut Vec<Action>) -> &mut Open<C> {
        let name = scene.order().name;
        out.push(Action::Persist { name, record: Record::Accepted(scene.offer.clone()) });
        self.names.insert(scene.digest, name);
        self.orders.entry(name).or_insert_with(|| Open::new(scene))
    }

    fn has_room(&self) -> bool {
        self.orders.values().filter(|open| !open.is_over()).count() < self.limits.open_orders
    }

    #[allow(clippy::too_many_arguments)]
    fn offered(
        &mut self,
        now: Now,
        view: &View,
        from: Peer,
        offer: &Offer,
        busy: &[Busy],
        message: &Message,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let name = offer.order.name;
        let new = self.accept(view, offer, out)?;
        let idle = self.orders.get(&name).filter(|open| open.is_idle()).map(|open| open.scene.clone());
        if idle.is_some() {
            // The order may have ended on chain meanwhile.
            let channel = view.channels.get(&name.channel).ok_or(Refusal::Channel)?;
            covers(channel, view.epoch, &name, offer.order.budget).map_err(Refusal::Uncovered)?;
        }
        let Some(scene) = new.or(idle) else {
            return self.offered_again(now, from, &name, message, out);
        };
        let place = scene.place_of(&self.crypto.key()).ok_or(Refusal::NotDrawn)?;
        let known: BTreeMap<u8, Signature> = busy.iter().map(|busy| (busy.place, busy.signature)).collect();
        if known.len() > scene.picked() || !is_called(place, scene.order().responders, &statements(&known)) {
            return Err(Refusal::NotDrawn);
        }
        for (place, signature) in &known {
            scene.check_busy(&self.crypto, *place, signature)?;
        }
        let (has_room, digest) = (self.has_room(), scene.digest);
        let (crypto, limits) = (self.crypto.clone(), self.limits.clone());
        let open = match self.orders.contains_key(&name) {
            true => self.orders.get_mut(&name).ok_or(Refusal::Unknown)?,
            false => self.enter(scene.clone(), out),
        };
        if has_room {
            let (part, actions) = Responder::begin(crypto, limits, scene, place);
            open.responder = Some(part);
            out.extend(actions);
            self.catch_up(now, digest, out);
        } else {
            let busy = busy_statement(&crypto, &scene, place);
            open.busy = Some(busy.signature);
            out.push(Action::Persist { name, record: Record::Busy(busy.signature) });
            out.push(Action::Send { to: from, message: Message::ResponderBusy { order: digest, busy } });
        }
        Ok(())
    }

    fn offered_again(
        &mut self,
        now: Now,
        from: Peer,
        name: &OrderName,
        message: &Message,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let open = self.orders.get_mut(name).ok_or(Refusal::Unknown)?;
        let place = open.scene.place_of(&self.crypto.key());
        match (&mut open.responder, open.busy, place) {
            (Some(part), _, _) => out.extend(part.message(now, from, message)?),
            (None, Some(signature), Some(place)) => {
                let busy = Busy { place, signature };
                let message = Message::ResponderBusy { order: open.scene.digest, busy };
                out.push(Action::Send { to: from, message });
            }
            _ => return Err(Refusal::NotDrawn),
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn asked(
        &mut self,
        now: Now,
        view: &View,
        from: Peer,
        material: &Material,
        busy: &[Busy],
        message: &Message,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let new = self.accept(view, &material.offer, out)?;
        let known = self.orders.get_mut(&material.offer.order.name);
        let scene = match (new, known) {
            (Some(scene), _) => scene,
            (None, Some(open)) => {
                if let Some(part) = &mut open.member {
                    out.extend(part.message(now, from, message)?);
                    return Ok(());
                }
                if open.responder.is_some() {
                    return Err(Refusal::NotDrawn);
                }
                open.scene.clone()
            }
            (None, None) => return Err(Refusal::Unknown),
        };
        let mut tally = member::open(&self.crypto, &self.limits, scene.clone(), material)?;
        let place = tally.place_of(&self.crypto.key()).ok_or(Refusal::NotDrawn)?;
        if busy.len() > usize::from(u8::MAX) {
            return Err(Refusal::NotDrawn);
        }
        for busy in busy {
            tally.learn_busy(&self.crypto, busy)?;
        }
        if !is_called(place, tally.wanted(), &tally.busy()) {
            return Err(Refusal::NotDrawn);
        }
        let has_room = self.has_room();
        let (crypto, limits, digest) = (self.crypto.clone(), self.limits.clone(), scene.digest);
        let name = scene.order().name;
        let open = match self.orders.contains_key(&name) {
            true => self.orders.get_mut(&name).ok_or(Refusal::Unknown)?,
            false => self.enter(scene, out),
        };
        // The statement is about the order: who was busy as a responder is busy as a member.
        if has_room && open.busy.is_none() {
            let (part, actions) = Member::begin(crypto, limits, tally, place, now, from, material);
            open.member = Some(part);
            out.extend(actions);
            self.catch_up(now, digest, out);
            return Ok(());
        }
        let busy = busy_statement(&crypto, &open.scene, place);
        if open.busy.is_none() {
            open.busy = Some(busy.signature);
            out.push(Action::Persist { name, record: Record::Busy(busy.signature) });
        }
        let message = Message::MemberBusy { order: digest, busy };
        out.extend(
            told_of_busy(&tally, place, from)
                .into_iter()
                .map(|to| Action::Send { to, message: message.clone() }),
        );
        Ok(())
    }
}

fn busy_statement(crypto: &impl Crypto, scene: &Scene, place: u8) -> Busy {
    let digest = messages::busy(&scene.genesis, &scene.digest, &crypto.key());
    Busy { place, signature: crypto.sign(&digest) }
}

/// Who has to know that a member is busy: who asked, the requester, all who answered and the rest of the committee.
fn told_of_busy(tally: &Tally, place: u8, from: Peer) -> Vec<Peer> {
    let members = tally.places().into_iter().filter(|other| *other != place);
    let members = members.filter_map(|place| tally.key(place)).map(Peer::Operator);
    let answered = tally.answered().into_iter().map(|(_, key)| Peer::Operator(key));
    let requester = Peer::Requester(tally.scene.order().name.channel);
    let mut all: Vec<_> = members.chain(answered).chain([requester, from]).collect();
    all.sort_unstable();
    all.dedup();
    all
}
