//! The world of a run: parties, network, time, and the checks.

use super::{
    chain::{Call, Chain, End, Settled},
    faults::Bad,
    Fault, Kind, Plan, Report, Settler,
};
use crate::{
    crypto::Crypto,
    merge::merge,
    operator::Operator,
    requester::{offer, Requester},
    scene::{answered, Scene},
    step::{Action, Event, Peer, Record},
    view::{AccountId, Channel, EpochView, Snapshot, View},
    wire::{decode, Certificate, Message, Offer, Order, Part},
};
use codec::{DecodeAll, Encode};
use core::time::Duration;
use poq_primitives::express::{Commitment, Digest, Key, OrderName, Seat, Signature};
use rand::{seq::SliceRandom, Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sp_arithmetic::Permill;
use std::collections::{BTreeMap, BTreeSet};

const EPOCH: u32 = 7;
const BLOCK: Duration = Duration::from_secs(2);
/// Until then, the chain settles only certificates with the scores of all of their set.
const HALF_EPOCH: Duration = Duration::from_secs(60);
const BUDGET: u128 = 1_000;
const MOST_BYTES: usize = 1 << 20;

type Result<T> = core::result::Result<T, String>;

enum Side<C> {
    Requester(BTreeMap<Digest, Requester<C>>),
    Operator(Box<Operator<C>>),
}

struct Node<C> {
    crypto: C,
    bad: Option<Bad>,
    side: Side<C>,
    is_up: bool,
    /// Counts its restarts.
    life: u32,
    /// Its clock is ahead of the world's by this.
    ahead: Duration,
    actions: u32,
    wake: Option<Duration>,
    /// When it sees the new epoch.
    sees_epoch: Duration,
    records: Vec<(OrderName, Digest, Record)>,
    /// Orders that a requester begins.
    wishes: Vec<Offer>,
    certificates: BTreeMap<OrderName, Certificate>,
    escalated: BTreeSet<OrderName>,
}

enum What {
    Begin { offer: Box<Offer> },
    Deliver { to: usize, from: usize, bytes: Vec<u8> },
    Wake { node: usize, at: Duration },
    Job { node: usize, life: u32, event: Event },
    Up { node: usize },
    Call(Call),
    Certificate { settler: usize, certificate: Box<Certificate> },
    Bring { node: usize, name: OrderName },
    Block,
    Ended { node: usize, name: OrderName },
}

/// Kinds of statements that a key makes once about an order or a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Statement {
    Order(OrderName),
    Answer(Digest),
    Show(Digest),
    Commit(Digest),
    Proposal(Digest),
    Reveal(Digest),
    Busy(Digest),
}

pub(super) struct World<C> {
    plan: Plan,
    rng: ChaCha8Rng,
    now: Duration,
    count: u64,
    queue: BTreeMap<(Duration, u64), What>,
    nodes: Vec<Node<C>>,
    by_key: BTreeMap<Key, usize>,
    links: BTreeMap<(usize, usize), Duration>,
    view: View,
    later: View,
    chain: Chain,
    deposit: u128,
    calls: Vec<Call>,
    /// What settlers hold, with when it came first.
    held: Vec<BTreeMap<OrderName, (Duration, Certificate)>>,
    tells_statements_apart: bool,
    statements: BTreeMap<(usize, Statement), Signature>,
    // Who knew what when, by the number of the event.
    saw_reveal: BTreeMap<(usize, Digest), u64>,
    commits: BTreeMap<(usize, Digest, Commitment), u64>,
    answered_at: BTreeMap<(usize, Digest), u64>,
    second_draw_at: BTreeMap<Digest, u64>,
    last_score: BTreeMap<OrderName, Duration>,
    report: Report,
}

impl<C: Crypto> World<C> {
    pub fn new(plan: Plan, key: impl Fn(u64) -> C, tells_statements_apart: bool) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed ^ 0x5eed);
        let crypto: Vec<C> = (0..=plan.operators as u64).map(key).collect();
        let seats = |rng: &mut ChaCha8Rng| -> Snapshot {
            let mut until = 0u64;
            let seats = crypto.iter().skip(1).map(|crypto| {
                until = until.saturating_add(rng.random_range(50..=100));
                let operator: AccountId = crypto.key();
                Seat { operator, key: crypto.key(), until, vote: 1 }
            });
            seats.collect()
        };
        let snapshots = BTreeMap::from([([1; 32], seats(&mut rng)), ([2; 32], seats(&mut rng))]);
        let epoch = EpochView { seed: rng.random(), snapshots };
        let deposit = BUDGET.saturating_mul(64);
        let requester_key = crypto.first().map(|crypto| crypto.key()).unwrap_or_default();
        let channel = Channel {
            owner: [9; 32],
            key: requester_key,
            balance: deposit,
            most_per_order: BUDGET,
            orders_per_epoch: 16,
            from: 0,
            used: BTreeMap::new(),
            closing: false,
        };
        let view = View {
            genesis: [3; 32],
            epoch: EPOCH,
            epochs: BTreeMap::from([(EPOCH, epoch)]),
            channels: BTreeMap::from([(1, channel)]),
        };
        let mut later = view.clone();
        later.epoch = EPOCH.saturating_add(1);
        let by_key = crypto.iter().enumerate().map(|(node, crypto)| (crypto.key(), node)).collect();
        let mut limits = plan.limits.clone();
        limits.open_orders = plan.room;
        let nodes = crypto.into_iter().enumerate().map(|(node, crypto)| {
            let fault = match node.checked_sub(1) {
                None => plan.requester,
                Some(operator) => plan.faults.get(operator).copied().flatten(),
            };
            let side = match node {
                0 => Side::Requester(BTreeMap::new()),
                _ => Side::Operator(Box::new(Operator::new(crypto.clone(), limits.clone()))),
            };
            let skew = plan.skew.as_millis() as u64;
            Node {
                crypto,
                bad: fault.map(Bad::new),
                side,
                is_up: true,
                life: 0,
                ahead: Duration::from_millis(rng.random_range(0..=skew)),
                actions: 0,
                wake: None,
                sees_epoch: match plan.epoch_ends {
                    true => Duration::from_millis(rng.random_range(0..4_000)),
                    false => Duration::MAX,
                },
                records: Vec::new(),
                wishes: Vec::new(),
                certificates: BTreeMap::new(),
                escalated: BTreeSet::new(),
            }
        });
        let nodes: Vec<_> = nodes.collect();
        let mut plan = plan;
        plan.limits = limits;
        Self {
            plan,
            rng,
            now: Duration::ZERO,
            count: 0,
            queue: BTreeMap::new(),
            nodes,
            by_key,
            links: BTreeMap::new(),
            view,
            later,
            chain: Chain { deposit, ..Chain::default() },
            deposit,
            calls: Vec::new(),
            held: vec![BTreeMap::new(); 2],
            tells_statements_apart,
            statements: BTreeMap::new(),
            saw_reveal: BTreeMap::new(),
            commits: BTreeMap::new(),
            answered_at: BTreeMap::new(),
            second_draw_at: BTreeMap::new(),
            last_score: BTreeMap::new(),
            report: Report::default(),
        }
    }

    pub fn run(&mut self) -> Result<Report> {
        self.plan_orders()?;
        self.at(BLOCK, What::Block);
        while let Some(((at, _), what)) = self.queue.pop_first() {
            if at > self.plan.until {
                break;
            }
            self.now = at;
            self.count = self.count.saturating_add(1);
            self.happen(what)?;
        }
        self.check_end()?;
        Ok(self.report.clone())
    }

    /// A settled certificate.
    pub fn certificate(&self) -> Option<(Scene, Certificate)> {
        let settled = self.chain.ended.values().find_map(|end| match end {
            End::Settled(settled) => Some(settled.certificate.clone()),
            End::Escalated => None,
        })?;
        Some((self.scene(&settled.order.digest(&self.view.genesis))?, settled))
    }

    fn plan_orders(&mut self) -> Result<()> {
        let crypto = self.node(0)?.crypto.clone();
        let genesis = self.view.genesis;
        for index in 0..self.plan.orders {
            let twice = self.plan.requester == Some(Fault::TwoOrders);
            for second in 0..=u8::from(twice) {
                let order = Order {
                    name: OrderName { channel: 1, epoch: EPOCH, index },
                    generator: [1; 32],
                    evaluator: [2; 32],
                    responders: self.plan.responders,
                    committee: self.plan.committee,
                    max_tokens: 100,
                    temperature_milli: 0,
                    seed: 1,
                    min_quality: Permill::from_percent(50),
                    budget: BUDGET,
                    prompt: [0; 32],
                    first_draw: [0; 32],
                    second_draw: [0; 32],
                    audit: [0; 32],
                };
                let offer = offer(&crypto, &genesis, order, vec![b'?', second], self.rng.random());
                self.node_mut(0)?.wishes.push(offer.clone());
                let at = Duration::from_millis(self.rng.random_range(0..1_000));
                self.at(at, What::Begin { offer: Box::new(offer) });
            }
        }
        Ok(())
    }

    fn node(&self, node: usize) -> Result<&Node<C>> {
        self.nodes.get(node).ok_or_else(|| format!("there is no party {node}"))
    }

    fn node_mut(&mut self, node: usize) -> Result<&mut Node<C>> {
        self.nodes.get_mut(node).ok_or_else(|| format!("there is no party {node}"))
    }

    fn is_honest(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|node| node.bad.is_none())
    }

    fn honest_key(&self, key: &Key) -> bool {
        self.by_key.get(key).is_some_and(|node| self.is_honest(*node))
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.plan.is_verbose {
            println!("{:>10} us  {}", self.now.as_micros(), what());
        }
    }

    fn at(&mut self, at: Duration, what: What) {
        self.count = self.count.saturating_add(1);
        self.queue.insert((at, self.count), what);
    }

    fn after(&mut self, shortest: u64, longest: u64, what: What) {
        let wait = Duration::from_millis(self.rng.random_range(shortest..=longest));
        self.at(self.now.saturating_add(wait), what);
    }

    fn view_of(&self, node: usize) -> View {
        let sees = self.nodes.get(node).is_some_and(|node| node.sees_epoch <= self.now);
        if sees {
            self.later.clone()
        } else {
            self.view.clone()
        }
    }

    fn happen(&mut self, what: What) -> Result<()> {
        match what {
            What::Begin { offer } => self.begin(*offer),
            What::Deliver { to, from, bytes } => self.deliver(to, from, &bytes),
            What::Wake { node, at } => match self.node(node)?.wake == Some(at) {
                true => self.give(node, Event::Wake),
                false => Ok(()),
            },
            What::Job { node, life, event } => {
                if self.node(node)?.life != life || !self.node(node)?.is_up {
                    return Ok(());
                }
                if let Event::Scored { name, .. } = &event {
                    self.last_score.insert(*name, self.now);
                }
                self.give(node, event)
            }
            What::Up { node } => self.restart(node),
            What::Call(call) => {
                self.calls.push(call);
                Ok(())
            }
            What::Certificate { settler, certificate } => self.hold(settler, *certificate),
            What::Bring { node, name } => {
                let mine = self.node(node)?.certificates.get(&name).cloned();
                if let (Some(certificate), false) = (mine, self.chain.ended.contains_key(&name)) {
                    self.calls.push(Call::Settle(Box::new(certificate)));
                }
                Ok(())
            }
            What::Block => self.block(),
            What::Ended { node, name } => self.give(node, Event::Ended { name }),
        }
    }

    fn begin(&mut self, offer: Offer) -> Result<()> {
        let (now, view) = (self.now, self.view_of(0));
        let limits = self.plan.limits.clone();
        let node = self.node_mut(0)?;
        let digest = offer.order.digest(&view.genesis);
        if !node.is_up || node.records.iter().any(|(_, of, _)| *of == digest) {
            return Ok(());
        }
        let local = now.saturating_add(node.ahead);
        let begun = Requester::begin(node.crypto.clone(), limits, &view, local, offer);
        let (requester, actions) = begun.map_err(|refusal| format!("an order is refused: {refusal}"))?;
        if let Side::Requester(orders) = &mut node.side {
            orders.insert(digest, requester);
        }
        self.carry_out(0, digest, actions)
    }

    fn deliver(&mut self, to: usize, from: usize, bytes: &[u8]) -> Result<()> {
        if !self.node(to)?.is_up {
            return Ok(());
        }
        let message = decode(bytes, MOST_BYTES).map_err(|refusal| format!("own message: {refusal}"))?;
        self.report.messages = self.report.messages.saturating_add(1);
        self.say(|| format!("{from} -> {to}: {}", short(&message)));
        if let Message::Reveal { order, .. } = &message {
            // Honest parties send their own only.
            if self.is_honest(from) && from != to {
                let seen = self.count;
                self.saw_reveal.entry((to, *order)).or_insert(seen);
            }
        }
        let from_peer = self.peer(from)?;
        let genesis = self.view.genesis;
        let crypto = self.node(to)?.crypto.clone();
        let more = self.node_mut(to)?.bad.as_mut().map(|bad| bad.see(&crypto, &genesis, &message));
        for (receiver, message) in more.unwrap_or_default() {
            self.transmit(to, receiver, message)?;
        }
        self.give(to, Event::Message { from: from_peer, message: Box::new(message) })
    }

    fn peer(&self, node: usize) -> Result<Peer> {
        Ok(match node {
            0 => Peer::Requester(1),
            _ => Peer::Operator(self.node(node)?.crypto.key()),
        })
    }

    /// Gives an event to a party and carries out what it wants.
    fn give(&mut self, to: usize, event: Event) -> Result<()> {
        let (now, view) = (self.now, self.view_of(to));
        let node = self.node_mut(to)?;
        if !node.is_up {
            return Ok(());
        }
        let local = now.saturating_add(node.ahead);
        match &mut node.side {
            Side::Operator(operator) => {
                let actions = operator.handle(local, &view, event);
                self.carry_out(to, Digest([0; 32]), actions)
            }
            Side::Requester(orders) => {
                let all: Vec<_> = orders
                    .iter_mut()
                    .map(|(digest, order)| (*digest, order.handle(local, event.clone())))
                    .collect();
                for (digest, actions) in all {
                    self.carry_out(to, digest, actions)?;
                }
                Ok(())
            }
        }
    }

    /// Carries out actions in their order; a crash takes those that are left.
    fn carry_out(&mut self, node: usize, digest: Digest, actions: Vec<Action>) -> Result<()> {
        for action in actions {
            if self.crashes(node)? {
                return Ok(());
            }
            if !self.node(node)?.is_up {
                return Ok(());
            }
            self.act(node, digest, action)?;
        }
        Ok(())
    }

    fn crashes(&mut self, node: usize) -> Result<bool> {
        let (chance, at) = (self.plan.crashes, self.plan.crash_at);
        let draw = self.rng.random_bool(chance);
        let party = self.node_mut(node)?;
        party.actions = party.actions.saturating_add(1);
        let dies = at == Some((node, party.actions)) || draw && party.life < 3;
        if !dies || party.bad.is_some() || !party.is_up {
            return Ok(false);
        }
        party.is_up = false;
        party.life = party.life.saturating_add(1);
        self.report.restarts = self.report.restarts.saturating_add(1);
        self.say(|| format!("{node} dies"));
        self.after(1, 3_000, What::Up { node });
        Ok(true)
    }

    fn restart(&mut self, node: usize) -> Result<()> {
        self.say(|| format!("{node} is back"));
        let (now, view, limits) = (self.now, self.view_of(node), self.plan.limits.clone());
        let ahead = Duration::from_millis(self.rng.random_range(0..=self.plan.skew.as_millis() as u64));
        let party = self.node_mut(node)?;
        party.is_up = true;
        party.wake = None;
        party.ahead = ahead;
        let (local, crypto) = (now.saturating_add(ahead), party.crypto.clone());
        if node > 0 {
            let records = party.records.iter().map(|(name, _, record)| (*name, record.clone())).collect();
            let (operator, actions) = Operator::restore(crypto, limits, &view, local, records);
            party.side = Side::Operator(Box::new(operator));
            self.carry_out(node, Digest([0; 32]), actions)?;
        } else {
            party.side = Side::Requester(BTreeMap::new());
            let mut by_order: BTreeMap<Digest, Vec<Record>> = BTreeMap::new();
            for (_, digest, record) in &party.records {
                by_order.entry(*digest).or_default().push(record.clone());
            }
            for (digest, records) in by_order {
                let (crypto, limits) = (crypto.clone(), limits.clone());
                let restored = Requester::restore(crypto, limits, &view, local, records);
                let restored = restored.map_err(|refusal| format!("own records: {refusal}"))?;
                let Some((requester, actions)) = restored else { continue };
                if let Side::Requester(orders) = &mut self.node_mut(node)?.side {
                    orders.insert(digest, requester);
                }
                self.carry_out(node, digest, actions)?;
            }
            for offer in self.node(0)?.wishes.clone() {
                self.after(0, 10, What::Begin { offer: Box::new(offer) });
            }
        }
        let ended: Vec<_> = self.chain.ended.keys().copied().collect();
        for name in ended {
            self.after(0, 100, What::Ended { node, name });
        }
        Ok(())
    }

    fn act(&mut self, node: usize, digest: Digest, action: Action) -> Result<()> {
        let life = self.node(node)?.life;
        match action {
            Action::Persist { name, record } => {
                if let (Record::Answered { .. }, true) = (&record, self.is_honest(node)) {
                    let of = self.digest_of(node, &name);
                    let count = self.count;
                    self.answered_at.extend(of.map(|of| ((node, of), count)));
                }
                self.node_mut(node)?.records.push((name, digest, record));
                Ok(())
            }
            Action::Send { to: Peer::Settlers, message: Message::Certificate(certificate) } => {
                self.bring(node, *certificate)
            }
            Action::Send { to, message } => {
                self.check_statement(node, &message)?;
                self.send(node, to, message)
            }
            Action::Wake { at } => {
                let now = self.now;
                let at = at.saturating_sub(self.node(node)?.ahead).max(now);
                // The last one counts; of a requester's orders, the first.
                let party = self.node_mut(node)?;
                let wake = match (node, party.wake) {
                    (0, Some(before)) if before > now => before.min(at),
                    _ => at,
                };
                if party.wake.replace(wake) != Some(wake) {
                    self.at(wake, What::Wake { node, at: wake });
                }
                Ok(())
            }
            Action::Generate { order, prompt } => {
                let output = (prompt, node as u64, order.name).encode();
                let name = order.name;
                self.job(node, life, name, Event::Generated { name, output });
                Ok(())
            }
            Action::Score { order, outputs, .. } => {
                let scores = outputs.iter().map(|_| Permill::from_percent(self.rng.random_range(40..60)));
                let (scores, name) = (scores.collect(), order.name);
                self.job(node, life, name, Event::Scored { name, scores });
                Ok(())
            }
            Action::Certified { certificate, .. } => {
                let name = certificate.order.name;
                let scene = self.scene(&certificate.order.digest(&self.view.genesis));
                let crypto = self.node(node)?.crypto.clone();
                let holds = scene.is_some_and(|scene| certificate.check(&scene.context(), &crypto).is_ok());
                if self.is_honest(node) && !holds {
                    return Err(format!("7: {node} certifies what does not hold"));
                }
                if let (0, Some(last)) = (node, self.last_score.get(&name)) {
                    self.report.delays.push(self.now.saturating_sub(*last));
                }
                let is_racer = self.nodes.get(node).and_then(|node| node.bad.as_ref()).map(|bad| bad.fault);
                if is_racer == Some(Fault::Racer) {
                    self.calls.push(Call::Settle(certificate));
                }
                Ok(())
            }
            Action::Escalate(escalation) => {
                self.say(|| format!("{node} escalates"));
                self.node_mut(node)?.escalated.insert(escalation.offer.order.name);
                self.after(0, 2_000, What::Call(Call::Escalate(escalation)));
                Ok(())
            }
            Action::Report { key, proof } => {
                if self.is_honest(node) && self.honest_key(&key) {
                    return Err(format!("7: there is a proof against an honest party: {proof:?}"));
                }
                let crypto = self.node(node)?.crypto.clone();
                if self.is_honest(node) && !proof.is_proof(&self.view.genesis, &key, &crypto) {
                    return Err("7: an honest party reports what is no proof".into());
                }
                if self.is_honest(node) {
                    self.calls.push(Call::Report(key, proof));
                }
                Ok(())
            }
            Action::Forget { .. } => Ok(()),
        }
    }

    fn digest_of(&self, node: usize, name: &OrderName) -> Option<Digest> {
        let records = self.nodes.get(node)?.records.iter().filter(|(of, _, _)| of == name);
        records
            .filter_map(|(_, _, record)| match record {
                Record::Accepted(offer) => Some(offer.order.digest(&self.view.genesis)),
                _ => None,
            })
            .next()
    }

    fn job(&mut self, node: usize, life: u32, name: OrderName, done: Event) {
        let longest = self.plan.job.as_micros() as u64;
        let wait = Duration::from_micros(self.rng.random_range(1..=longest.max(1)));
        let event = match self.rng.random_bool(self.plan.failures) {
            true => Event::Failed { name },
            false => done,
        };
        self.at(self.now.saturating_add(wait), What::Job { node, life, event });
    }

    /// An honest party makes each statement once, and only when it is on its disk.
    fn check_statement(&mut self, node: usize, message: &Message) -> Result<()> {
        if !self.is_honest(node) {
            return Ok(());
        }
        let records = &self.node(node)?.records;
        let has = |is: &dyn Fn(&Record) -> bool| records.iter().any(|(_, _, record)| is(record));
        let (statement, signature, is_kept) = match message {
            Message::Offer { offer, .. } => (
                Statement::Order(offer.order.name),
                offer.signature,
                has(&|record| matches!(record, Record::Ordered(kept) if kept == &**offer)),
            ),
            Message::Answer { order, answer, .. } => (
                Statement::Answer(*order),
                answer.signature,
                has(&|record| matches!(record, Record::Answered { answer: kept, .. } if kept == answer)),
            ),
            Message::Show { order, show, .. } => (
                Statement::Show(*order),
                show.signature,
                has(&|record| matches!(record, Record::Shown { .. })),
            ),
            Message::Commit { order, set } => (
                Statement::Commit(*order),
                set.commits.first().map(|commit| commit.signature).ok_or("an empty commitment")?,
                has(&|record| matches!(record, Record::Committed { set: kept, .. } if kept == set)),
            ),
            Message::Proposal { order, signature, .. } => (
                Statement::Proposal(*order),
                *signature,
                has(&|record| matches!(record, Record::Voted { signature: kept, .. } if kept == signature)),
            ),
            Message::Reveal { order, reveal } => (
                Statement::Reveal(*order),
                reveal.signature,
                has(&|record| matches!(record, Record::Revealed(kept) if kept == &**reveal)),
            ),
            Message::ResponderBusy { order, busy } | Message::MemberBusy { order, busy } => (
                Statement::Busy(*order),
                busy.signature,
                has(&|record| matches!(record, Record::Busy(kept) if *kept == busy.signature)),
            ),
            // A member tells of them what it was told.
            Message::Answers { parts, .. } if node == 0 => {
                return match has(&|record| matches!(record, Record::Closed(kept) if kept == parts)) {
                    true => Ok(()),
                    false => Err("7: a requester tells of answers before they are kept".into()),
                };
            }
            _ => return Ok(()),
        };
        if !is_kept {
            return Err(format!("7: party {node} says {statement:?} before it is kept"));
        }
        if !self.tells_statements_apart {
            return Ok(());
        }
        let excludes = |one: Statement, order: &Digest| match one {
            Statement::Answer(of) | Statement::Commit(of) => of == *order,
            _ => false,
        };
        if let Statement::Busy(order) = statement {
            let said = self
                .statements
                .range((node, Statement::Order(OrderName { channel: 0, epoch: 0, index: 0 }))..);
            let mut said = said.take_while(|((of, _), _)| *of == node);
            if said.any(|((_, said), _)| excludes(*said, &order)) {
                return Err(format!("7: party {node} works and is busy"));
            }
        }
        match self.statements.insert((node, statement), signature) {
            Some(before) if before != signature => {
                Err(format!("7: party {node} signs two statements {statement:?}"))
            }
            _ => Ok(()),
        }
    }

    fn scene(&self, order: &Digest) -> Option<Scene> {
        let requester = self.nodes.first()?;
        let offer = requester.wishes.iter().find(|offer| offer.order.digest(&self.view.genesis) == *order)?;
        Scene::open(&requester.crypto, &self.view, &self.plan.limits, offer).ok()
    }

    /// Sends what a party wants to send, or what a bad one makes of it.
    fn send(&mut self, from: usize, to: Peer, message: Message) -> Result<()> {
        let genesis = self.view.genesis;
        let order = message.order(&genesis);
        let scene = match self.is_honest(from) {
            true => None,
            false => self.scene(&order),
        };
        let crypto = self.node(from)?.crypto.clone();
        let mut rng = ChaCha8Rng::seed_from_u64(self.rng.random());
        let bad = self.node_mut(from)?.bad.as_mut();
        let messages = match bad {
            Some(bad) => bad.corrupt(&crypto, &genesis, scene.as_ref(), &mut rng, to, message),
            None => vec![(to, message)],
        };
        for (to, message) in messages {
            self.transmit(from, to, message)?;
        }
        Ok(())
    }

    fn transmit(&mut self, from: usize, to: Peer, message: Message) -> Result<()> {
        let count = self.count;
        let set = match &message {
            Message::Commit { set, .. } | Message::Proposal { set, .. } => Some(set),
            Message::Reveal { reveal, .. } => Some(&reveal.set),
            _ => None,
        };
        let order = message.order(&self.view.genesis);
        for commit in set.iter().flat_map(|set| &set.commits) {
            self.commits.entry((from, order, commit.commitment)).or_insert(count);
        }
        match &message {
            Message::Answers { order, .. } if from == 0 => {
                self.second_draw_at.entry(*order).or_insert(count);
            }
            _ => {}
        }
        let to = match to {
            Peer::Requester(_) => 0,
            Peer::Operator(key) => match self.by_key.get(&key) {
                Some(node) => *node,
                None => return Ok(()),
            },
            Peer::Settlers => return Ok(()),
        };
        let splits = |partition: &super::Partition| {
            let side = |node: usize| partition.side.get(node).copied().unwrap_or(false);
            (partition.from..partition.until).contains(&self.now) && side(from) != side(to)
        };
        if self.plan.partition.as_ref().is_some_and(splits) {
            return Ok(());
        }
        let copies = match self.rng.random_bool(self.plan.loss) {
            true => 0,
            false => 1u8.saturating_add(self.rng.random_bool(self.plan.duplicates).into()),
        };
        let bytes = message.encode();
        for _ in 0..copies {
            let delay = self.delay(from, to);
            self.at(self.now.saturating_add(delay), What::Deliver { to, from, bytes: bytes.clone() });
        }
        Ok(())
    }

    fn delay(&mut self, from: usize, to: usize) -> Duration {
        let (shortest, longest) = self.plan.delay;
        let range = shortest.as_micros() as u64..=longest.as_micros() as u64;
        let own = self.rng.random_range(range);
        let link = *self.links.entry((from, to)).or_insert(Duration::from_micros(own));
        let jitter = self.rng.random_range(0..=self.plan.jitter.as_micros() as u64);
        link.saturating_add(Duration::from_micros(jitter))
    }

    /// A party has a certificate: settlers get it, and if they do nothing, the party brings it itself.
    fn bring(&mut self, node: usize, certificate: Certificate) -> Result<()> {
        let name = certificate.order.name;
        let silent = |bad: &Bad| matches!(bad.fault, Fault::Silent(Kind::Certificate) | Fault::SilentFrom(_));
        if self.node(node)?.bad.as_ref().is_some_and(silent) {
            return Ok(());
        }
        let scene = self.scene(&certificate.order.digest(&self.view.genesis));
        let crypto = self.node(node)?.crypto.clone();
        let certificates = &mut self.node_mut(node)?.certificates;
        let best = match (certificates.get(&name), scene) {
            (Some(before), Some(scene)) => merge(&crypto, &scene, before, &certificate),
            _ => certificate,
        };
        certificates.insert(name, best.clone());
        for settler in 0..2 {
            let certificate = Box::new(best.clone());
            if !self.rng.random_bool(self.plan.loss) {
                self.after(1, 300, What::Certificate { settler, certificate });
            }
        }
        self.after(10_000, 12_000, What::Bring { node, name });
        self.at(HALF_EPOCH.saturating_add(Duration::from_secs(1)), What::Bring { node, name });
        Ok(())
    }

    fn hold(&mut self, settler: usize, certificate: Certificate) -> Result<()> {
        let name = certificate.order.name;
        let scene = self.scene(&certificate.order.digest(&self.view.genesis));
        let crypto = self.node(0)?.crypto.clone();
        let (now, Some(held)) = (self.now, self.held.get_mut(settler)) else { return Ok(()) };
        let Some(scene) = scene else { return Ok(()) };
        if certificate.check(&scene.context(), &crypto).is_err() {
            return Ok(());
        }
        match held.get_mut(&name) {
            Some((_, before)) => *before = merge(&crypto, &scene, before, &certificate),
            None => {
                held.insert(name, (now, certificate));
            }
        }
        Ok(())
    }

    fn block(&mut self) -> Result<()> {
        self.at(self.now.saturating_add(BLOCK), What::Block);
        let mut calls = core::mem::take(&mut self.calls);
        for (settler, held) in self.held.iter_mut().enumerate() {
            let fault = self.plan.settlers.get(settler).copied().unwrap_or(Settler::Honest);
            // Late reveals may still come.
            let ripe = |since: &Duration| self.now.saturating_sub(*since) >= Duration::from_secs(3);
            let names: Vec<_> =
                held.iter().filter(|(_, (since, _))| ripe(since)).map(|(name, _)| *name).collect();
            for (_, certificate) in names.iter().filter_map(|name| held.remove(name)) {
                let call = Call::Settle(Box::new(certificate.clone()));
                match fault {
                    Settler::Honest => calls.push(call),
                    Settler::Drops => {}
                    Settler::Doubles => calls.extend([call.clone(), call]),
                    Settler::Corrupts => {
                        let mut bytes = certificate.encode();
                        let at = self.rng.random_range(0..bytes.len());
                        if let Some(byte) = bytes.get_mut(at) {
                            *byte ^= 1 << self.rng.random_range(0..8);
                        }
                        let corrupted = Certificate::decode_all(&mut &bytes[..]).map(Box::new);
                        calls.extend(corrupted.map(Call::Settle));
                    }
                }
            }
        }
        calls.shuffle(&mut self.rng);
        let before: BTreeSet<_> = self.chain.ended.keys().copied().collect();
        let crypto = self.node(0)?.crypto.clone();
        for call in calls {
            match call {
                Call::Settle(certificate) => {
                    let is_late = self.now >= HALF_EPOCH;
                    self.chain.settle(&crypto, &self.view, &certificate, is_late)?;
                }
                Call::Escalate(escalation) => self.chain.escalate(&crypto, &self.view, &escalation)?,
                Call::Report(key, proof) => self.chain.report(&crypto, &self.view, &key, &proof)?,
            }
            if self.chain.total() != self.deposit {
                return Err(format!("1: {} of {} are left", self.chain.total(), self.deposit));
            }
        }
        let new: Vec<_> = self.chain.ended.keys().filter(|name| !before.contains(name)).copied().collect();
        for name in new {
            self.say(|| format!("{name:?} has ended"));
            for node in 0..self.nodes.len() {
                self.after(2_000, 4_000, What::Ended { node, name });
            }
        }
        Ok(())
    }

    fn check_end(&mut self) -> Result<()> {
        let ended = self.chain.ended.clone();
        for (name, end) in &ended {
            match end {
                End::Settled(settled) => {
                    self.report.settled = self.report.settled.saturating_add(1);
                    self.check_settled(name, settled)?;
                }
                End::Escalated => self.report.escalated = self.report.escalated.saturating_add(1),
            }
        }
        self.report.punished = self.chain.punished.len() as u32;
        if self.is_honest(0) {
            for offer in &self.node(0)?.wishes {
                if !ended.contains_key(&offer.order.name) {
                    return Err(format!("6: {:?} has not ended", offer.order.name));
                }
            }
        }
        for (number, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.bad.is_none()) {
            for (name, _, record) in &node.records {
                let has_signed = matches!(record, Record::Answered { .. } | Record::Committed { .. });
                if has_signed && !ended.contains_key(name) {
                    return Err(format!("6: {name:?}, in which {number} has worked, has not ended"));
                }
            }
        }
        Ok(())
    }

    fn check_settled(&mut self, name: &OrderName, settled: &Settled) -> Result<()> {
        let certificate = &settled.certificate;
        let order = certificate.order.digest(&self.view.genesis);
        let nodes = |key: &Key| self.by_key.get(key).copied().ok_or("a stranger is paid");
        let bad = settled.members.iter().filter(|(key, _)| !self.honest_key(key)).count();
        let is_sound = bad.saturating_mul(3) < settled.members.len();

        for (key, did) in &settled.responders {
            let node = nodes(key)?;
            if !self.is_honest(node) || did.is_none() {
                continue;
            }
            let answered = self.answered_at.get(&(node, order));
            let drawn = self.second_draw_at.get(&order);
            if let (Some(answered), Some(drawn)) = (answered, drawn) {
                if answered >= drawn {
                    return Err(format!("3: {name:?}: the second draw is shown before {node} has answered"));
                }
            }
        }
        for (key, commitment) in &settled.members {
            let (node, Some(commitment)) = (nodes(key)?, commitment) else { continue };
            let committed = self.commits.get(&(node, order, *commitment)).copied().unwrap_or(u64::MAX);
            let saw = self.saw_reveal.get(&(node, order)).copied().unwrap_or(u64::MAX);
            let is_punished = self.chain.punished.contains(key);
            if committed >= saw && saw != u64::MAX && is_sound && !is_punished {
                return Err(format!("4: {name:?}: {node} commits to what it has seen"));
            }
        }
        self.check_paid(name, order, settled, is_sound)
    }

    fn check_paid(
        &mut self,
        name: &OrderName,
        order: Digest,
        settled: &Settled,
        is_sound: bool,
    ) -> Result<()> {
        let is_strict = self.plan.is_strict() && is_sound;
        let requester_key = self.node(0)?.crypto.key();
        let is_excused = self.chain.punished.contains(&requester_key);
        let mut outrun = 0u32;
        for (number, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.bad.is_none()) {
            let key = node.crypto.key();
            let records = || node.records.iter().filter(|(of, _, _)| of == name).map(|(_, _, record)| record);
            let mine = records().any(|record| match record {
                Record::Accepted(offer) => offer.order.digest(&self.view.genesis) == order,
                _ => false,
            });
            if !mine && records().next().is_some() && number > 0 && !is_excused && is_strict {
                let worked =
                    records().any(|record| matches!(record, Record::Shown { .. } | Record::Revealed(_)));
                if worked {
                    return Err(format!("5: {name:?}: {number} worked for another order of that name"));
                }
            }
            if !mine {
                continue;
            }
            let shown = records().find_map(|record| match record {
                Record::Shown { parts, .. } => Some(parts),
                _ => None,
            });
            if let Some(parts) = shown {
                let place = settled.responders.iter().find(|(of, _)| *of == key).and_then(|(_, did)| *did);
                let same = self.same_answers(parts, settled);
                // Where messages are lost, a requester may learn of an answer when some have shown their output without it.
                let is_fair = matches!(self.plan.requester, None | Some(Fault::SecondCommittee));
                if !same && is_fair && is_strict {
                    return Err(format!("3: {name:?}: {number} has shown its output for other answers"));
                }
                if place != Some(true) && is_strict && same {
                    return Err(format!("5: {name:?}: {number} has shown its output and is not paid"));
                }
            }
            let revealed = records().find_map(|record| match record {
                Record::Revealed(reveal) => Some(reveal),
                _ => None,
            });
            let Some(reveal) = revealed else { continue };
            let paid = settled.members.iter().any(|(of, commitment)| *of == key && commitment.is_some());
            let in_set = settled.certificate.members.get(usize::from(reveal.place));
            let is_left = matches!(in_set, Some(poq_primitives::express::ScorerPart::Committed(_)));
            if !paid && is_left {
                outrun = outrun.saturating_add(1);
                if is_strict {
                    return Err(format!("5: {name:?}: {number} has revealed and is not paid"));
                }
            }
        }
        self.report.outrun = self.report.outrun.saturating_add(outrun);
        Ok(())
    }

    fn same_answers(&self, parts: &[Part], settled: &Settled) -> bool {
        use poq_primitives::express::ResponderPart;
        let settled = (0u8..).zip(&settled.certificate.responders).filter_map(|(place, part)| match part {
            ResponderPart::Answered(answer) => Some((place, answer.output, answer.vrf)),
            _ => None,
        });
        settled.eq(answered(parts))
    }
}

fn short(message: &Message) -> String {
    match message {
        Message::Refusal { reason, .. } => format!("Refusal: {reason}"),
        Message::Commit { set, .. } => format!("Commit {:?}", set.commits.first().map(|commit| commit.place)),
        Message::Proposal { place, set, .. } => format!("Proposal by {place} of {}", set.commits.len()),
        Message::Reveal { reveal, .. } => {
            format!("Reveal by {} of {}", reveal.place, reveal.set.commits.len())
        }
        Message::Ask { material, .. } => {
            format!("Ask with {:?}", material.shows.iter().map(Option::is_some).collect::<Vec<_>>())
        }
        other => format!("{:?}", Kind::of(other)),
    }
}
