//! Parties that a test drives by hand: messages are delivered when it says so, and time stands still until it moves it.

use core::time::Duration;
use poq_express::{
    crypto::{Crypto, Sr25519},
    limits::Limits,
    operator::Operator,
    requester::{offer, Requester},
    simulator::Toy,
    step::{Action, Escalation, Event, Peer, Record},
    view::{Channel, EpochView, View},
    wire::{Certificate, Equivocation, Message, Offer, Order},
};
use poq_primitives::express::{Key, OrderName, Seat};
use sp_arithmetic::Permill;
use sp_core::{sr25519, Pair};
use std::collections::{BTreeMap, VecDeque};

pub const CHANNEL: Peer = Peer::Requester(1);

pub fn toy(number: u8) -> Toy {
    Toy::new(number.into())
}

pub fn real(number: u8) -> Sr25519 {
    Sr25519::new(sr25519::Pair::from_seed(&[number; 32]), [number; 32])
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[derive(Clone)]
pub struct Sent {
    pub from: Peer,
    pub to: Peer,
    pub message: Message,
}

pub struct Net<C> {
    pub view: View,
    pub limits: Limits,
    pub now: Duration,
    pub offer: Offer,
    pub owner: C,
    pub keys: Vec<C>,
    pub requester: Option<Requester<C>>,
    pub operators: BTreeMap<Key, Operator<C>>,
    /// Messages on their way.
    pub queue: VecDeque<Sent>,
    /// All that was ever sent.
    pub sent: Vec<Sent>,
    pub records: Vec<(Peer, OrderName, Record)>,
    pub certified: Vec<(Peer, Certificate)>,
    pub escalated: Vec<(Peer, Escalation)>,
    pub reports: Vec<(Peer, Key, Equivocation)>,
    /// Whether engines work.
    pub has_engines: bool,
}

pub fn order(responders: u8, committee: u8, index: u32) -> Order {
    Order {
        name: OrderName { channel: 1, epoch: 5, index },
        generator: [1; 32],
        evaluator: [2; 32],
        responders,
        committee,
        max_tokens: 10,
        temperature_milli: 0,
        seed: 0,
        min_quality: Permill::zero(),
        budget: 10,
        prompt: [0; 32],
        first_draw: [0; 32],
        second_draw: [0; 32],
        audit: [0; 32],
    }
}

impl<C: Crypto> Net<C> {
    /// An order that is made and not begun.
    pub fn new(key: impl Fn(u8) -> C, responders: u8, committee: u8) -> Self {
        let keys: Vec<C> = (1..=16).map(&key).collect();
        let owner = key(0);
        let mut until = 0;
        let seats = keys.iter().map(|key| {
            until += 10;
            Seat { operator: key.key(), key: key.key(), until, vote: 1 }
        });
        let snapshot: std::sync::Arc<[_]> = seats.collect();
        let snapshots = BTreeMap::from([([1; 32], snapshot.clone()), ([2; 32], snapshot)]);
        let channel = Channel {
            owner: [99; 32],
            key: owner.key(),
            balance: 1_000,
            most_per_order: 10,
            orders_per_epoch: 10,
            used: BTreeMap::new(),
            from: 0,
            closing: false,
        };
        let view = View {
            genesis: [3; 32],
            epoch: 5,
            epochs: BTreeMap::from([(5, EpochView { seed: [4; 32], snapshots })]),
            channels: BTreeMap::from([(1, channel)]),
        };
        let offer = offer(&owner, &view.genesis, order(responders, committee, 0), b"why?".to_vec(), [5; 32]);
        let limits = Limits { open_orders: 4, ..Limits::default() };
        let operators =
            keys.iter().map(|key| (key.key(), Operator::new(key.clone(), limits.clone()))).collect();
        Self {
            view,
            limits,
            now: Duration::ZERO,
            offer,
            owner,
            keys,
            requester: None,
            operators,
            queue: VecDeque::new(),
            sent: Vec::new(),
            records: Vec::new(),
            certified: Vec::new(),
            escalated: Vec::new(),
            reports: Vec::new(),
            has_engines: true,
        }
    }

    pub fn begin(&mut self) {
        let (owner, limits) = (self.owner.clone(), self.limits.clone());
        let begun = Requester::begin(owner, limits, &self.view, self.now, self.offer.clone());
        let (requester, actions) = begun.unwrap();
        self.requester = Some(requester);
        self.act(CHANNEL, actions);
    }

    pub fn give(&mut self, to: Peer, event: Event) {
        let actions = match to {
            Peer::Operator(key) => self.operators.get_mut(&key).unwrap().handle(self.now, &self.view, event),
            Peer::Requester(_) => {
                self.requester.as_mut().map(|party| party.handle(self.now, event)).unwrap_or_default()
            }
            Peer::Settlers => vec![],
        };
        self.act(to, actions);
    }

    pub fn tell(&mut self, from: Peer, to: Peer, message: Message) {
        self.give(to, Event::Message { from, message: Box::new(message) });
    }

    pub fn act(&mut self, by: Peer, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Persist { name, record } => self.records.push((by, name, record)),
                Action::Send { to, message } => {
                    let sent = Sent { from: by, to, message };
                    self.sent.push(sent.clone());
                    self.queue.push_back(sent);
                }
                Action::Generate { order, .. } if self.has_engines => {
                    self.give(
                        by,
                        Event::Generated { name: order.name, output: format!("{by:?}").into_bytes() },
                    );
                }
                Action::Score { order, outputs, .. } if self.has_engines => {
                    let scores = outputs.iter().map(|_| Permill::from_percent(50)).collect();
                    self.give(by, Event::Scored { name: order.name, scores });
                }
                Action::Certified { certificate, .. } => self.certified.push((by, *certificate)),
                Action::Escalate(escalation) => self.escalated.push((by, *escalation)),
                Action::Report { key, proof } => self.reports.push((by, key, *proof)),
                Action::Generate { .. }
                | Action::Score { .. }
                | Action::Wake { .. }
                | Action::Forget { .. } => {}
            }
        }
    }

    /// Delivers all that is on its way, and all that comes of it, but what is not `wanted`.
    pub fn deliver(&mut self, wanted: impl Fn(&Sent) -> bool) {
        while let Some(sent) = self.queue.pop_front() {
            if wanted(&sent) {
                self.tell(sent.from, sent.to, sent.message);
            }
        }
    }

    /// Moves time and wakes everybody.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.give(CHANNEL, Event::Wake);
        let keys: Vec<Key> = self.operators.keys().copied().collect();
        for key in keys {
            self.give(Peer::Operator(key), Event::Wake);
        }
    }

    /// Those who sent a message of this kind, in the order of their first.
    pub fn senders(&self, is: impl Fn(&Message) -> bool) -> Vec<Peer> {
        let mut senders = Vec::new();
        for sent in self.sent.iter().filter(|sent| is(&sent.message)) {
            if !senders.contains(&sent.from) {
                senders.push(sent.from);
            }
        }
        senders
    }

    pub fn crypto(&self, peer: Peer) -> C {
        match peer {
            Peer::Operator(key) => self.keys.iter().find(|crypto| crypto.key() == key).unwrap().clone(),
            _ => self.owner.clone(),
        }
    }

    /// Restarts an operator from its records.
    pub fn restart(&mut self, peer: Peer) {
        let Peer::Operator(key) = peer else { panic!("a requester") };
        let records = self.records.iter().filter(|(by, _, _)| *by == peer);
        let records = records.map(|(_, name, record)| (*name, record.clone())).collect();
        let (operator, actions) =
            Operator::restore(self.crypto(peer), self.limits.clone(), &self.view, self.now, records);
        self.operators.insert(key, operator);
        self.act(peer, actions);
    }
}

pub fn is_commit(message: &Message) -> bool {
    matches!(message, Message::Commit { .. })
}

pub fn is_answer(message: &Message) -> bool {
    matches!(message, Message::Answer { .. })
}

pub fn is_reveal(message: &Message) -> bool {
    matches!(message, Message::Reveal { .. })
}

pub fn is_proposal(message: &Message) -> bool {
    matches!(message, Message::Proposal { .. })
}
