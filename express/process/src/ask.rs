//! A requester: has prompts answered and scored on the lane, or says why the chain path has to do it.
//!
//! ```ignore
//! let asker = Asker::start(setup).await?;
//! match asker.ask(&terms, "What is the capital of Peru?".into()).await {
//!     Ok(answer) => println!("{:?}", answer.best()),
//!     Err(Fallback::Stalled(order)) => chain.escalate(&order).await?,
//!     Err(other) => println!("{other}; asking on the chain path"),
//! }
//! ```
//!
//! A channel's key belongs to one folder: a second process with the key and another folder would sign a second order under a used name, and
//! lose the deposit.

use crate::{
    chain::{Chain, Stalled, State, States},
    disk::{Disk, DiskError},
    driver::{wait_for_chain, Driver, DriverError, Hands, Party},
    files::{random, FileError},
    metrics::Metrics,
    operator::{answer_challenges, persist, Report},
    transport::{self, peers::Peers, Encoded},
};
use poq_express::{
    crypto::Crypto,
    deposit::covers,
    limits::Limits,
    requester::{offer, Requester},
    step::{Action, Event, Now, Peer, Record},
    wire::{Certificate, Message, Offer, Order, Refusal},
};
use poq_primitives::{
    commitment::Hash32,
    express::{ChannelId, Digest, Epoch, OrderName, ResponderPart, ScorerPart},
};
use sp_arithmetic::Permill;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Orders that wait to be begun.
const WAITING_ORDERS: usize = 64;

/// What is asked for: an order without its name, its prompt and its draws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The generator, by the SHA-256 of its file.
    pub generator: Hash32,
    /// The evaluator, by the SHA-256 of its manifest.
    pub evaluator: Hash32,
    /// Answers wanted, at least 1.
    pub responders: u8,
    /// Members of the committee, 3 to 15.
    pub committee: u8,
    /// Most tokens of an answer.
    pub max_tokens: u32,
    /// Temperature in thousandths, 0 (greedy) to 2,000.
    pub temperature_milli: u32,
    /// Seed of the sampler.
    pub seed: u32,
    /// An answer with a lower consensus score earns the base part of its price only.
    pub min_quality: Permill,
    /// The most that the order costs in all, fee included, in units.
    pub budget: u128,
    /// In a known-answer audit, the commitment to the answer key; `None`: random bytes.
    pub audit: Option<Hash32>,
}

/// An output with its scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The text; `None` if this requester has not got it, though the committee has.
    pub text: Option<Vec<u8>>,
    /// The members' scores, in the order of their draw; none if the committee has not seen the output.
    pub scores: Vec<Permill>,
}

impl Output {
    /// Median of the scores, the lower one of two. The chain's consensus weighs members by their votes and may differ.
    pub fn median(&self) -> Option<Permill> {
        let mut scores = self.scores.clone();
        scores.sort_unstable();
        scores.get(scores.len().saturating_sub(1) / 2).copied()
    }
}

/// The end of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The order's name.
    pub name: OrderName,
    /// The outputs, in the order of the draw.
    pub outputs: Vec<Output>,
    /// The proof. Scores that come later are in the certificate that is settled.
    pub certificate: Box<Certificate>,
}

impl Answer {
    /// The output with the highest median that this requester has.
    pub fn best(&self) -> Option<&Output> {
        self.outputs.iter().filter(|output| output.text.is_some()).max_by_key(|output| output.median())
    }

    fn new(certificate: Box<Certificate>, texts: Vec<Option<Vec<u8>>>) -> Self {
        let answered = certificate.responders.iter().filter_map(|part| match part {
            ResponderPart::Answered(answer) => Some(answer.shown),
            ResponderPart::Busy(_) | ResponderPart::Absent => None,
        });
        let mut column = 0usize;
        let mut outputs = Vec::new();
        for (shown, text) in answered.zip(texts.into_iter().chain(std::iter::repeat(None))) {
            let scores = if shown { scores_at(&certificate, column) } else { Vec::new() };
            column = column.saturating_add(usize::from(shown));
            outputs.push(Output { text, scores });
        }
        Self { name: certificate.order.name, outputs, certificate }
    }
}

fn scores_at(certificate: &Certificate, column: usize) -> Vec<Permill> {
    let of_member = certificate.members.iter().filter_map(|part| match part {
        ScorerPart::Revealed(scores) => scores.scores.get(column),
        ScorerPart::Opened(opening) => opening.scores.get(column),
        ScorerPart::Busy(_) | ScorerPart::Absent | ScorerPart::Committed(_) => None,
    });
    of_member.copied().collect()
}

/// Why an order has no answer on the lane. The chain path is there for all of them.
#[derive(Debug, thiserror::Error)]
pub enum Fallback {
    /// The lane cannot take the order. Nothing was sent: make a request on the chain path.
    #[error("the lane does not take the order: {0}")]
    Refused(#[from] Refusal),
    /// No responder has committed to an answer. Nothing is to be paid: make a request on the chain path.
    #[error("no responder has committed to an answer")]
    NothingCommitted(OrderName),
    /// Responders have committed, and no certificate came. [`Chain::escalate`] makes a request of the order, with their commitments.
    #[error("the order stalls; escalate it, so that it goes on as a request on the chain path")]
    Stalled(Box<Stalled>),
    /// Somebody has escalated the order: the answer comes on the chain path, in this request.
    #[error("the order was escalated and goes on as request {0}")]
    Escalated(u64),
    /// The order was settled, and this requester could not get its certificate. The answers that it was shown are paid for.
    #[error("the order was settled, and nobody brings the certificate")]
    Settled(OrderName),
    /// Records cannot be written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The system gives no random bytes.
    #[error(transparent)]
    NoRandomness(#[from] FileError),
    /// This requester has stopped.
    #[error("the requester has stopped, because of its disk or its node; the log says more")]
    Stopped,
}

/// What a requester needs.
pub struct Setup<C> {
    /// The channel's key.
    pub crypto: C,
    /// The channel.
    pub channel: ChannelId,
    /// Finalized state, and transactions for reports of equivocations.
    pub chain: Arc<dyn Chain>,
    /// Its disk, which belongs to the channel's key.
    pub disk: Arc<dyn Disk>,
    /// Timeouts of orders.
    pub limits: Limits,
    /// Limits of connections.
    pub transport: transport::Limits,
    /// Counters.
    pub metrics: Metrics,
}

type Reply = oneshot::Sender<Result<Answer, Fallback>>;

/// Callers that wait for their orders.
#[derive(Clone, Default)]
struct Waiting(Arc<Mutex<BTreeMap<OrderName, Reply>>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<OrderName, Reply>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, name: &OrderName) -> bool {
        self.lock().contains_key(name)
    }

    fn reply(&self, name: &OrderName, result: Result<Answer, Fallback>) {
        if let Some(reply) = self.lock().remove(name) {
            // Whoever has stopped waiting does not want to know.
            let _gone = reply.send(result);
        }
    }
}

/// An order to begin.
pub struct Begin {
    offer: Box<Offer>,
    reply: Reply,
}

/// A requester. Dropping it stops it; orders under way go on when it is started again.
pub struct Asker<C> {
    crypto: C,
    channel: ChannelId,
    states: States,
    disk: Arc<dyn Disk>,
    begins: mpsc::Sender<Begin>,
    closing: CancellationToken,
    running: JoinHandle<Result<(), DriverError>>,
}

impl<C> Drop for Asker<C> {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl<C: Crypto + Send + Sync + 'static> Asker<C> {
    /// Starts, and goes on with the orders on disk.
    ///
    /// # Errors
    /// [`DriverError`].
    pub async fn start(setup: Setup<C>) -> Result<Self, DriverError> {
        let Setup { crypto, channel, chain, disk, limits, transport, metrics } = setup;
        let mut states = chain.states();
        let state = wait_for_chain(&mut states, &disk).await?;
        let (closing, clock) = (CancellationToken::new(), Instant::now());
        let (inbox_in, inbox) = mpsc::channel(transport.waiting.max(1));
        let (begins_in, begins) = mpsc::channel(WAITING_ORDERS);
        let (_, results) = mpsc::channel(1);
        let peers =
            Peers::new(crypto.clone(), Some(channel), transport, states.clone(), inbox_in, metrics.clone());
        let waiting = Waiting::default();
        let records = disk.records()?;
        let mut party = Requesters::new(crypto.clone(), limits, waiting.clone());
        let actions = party.restore(clock.elapsed(), &state, &records);
        let names: Vec<OrderName> = records.into_iter().map(|(name, _)| name).collect();
        let hands = RequesterHands { peers, waiting, chain: chain.clone(), closing: closing.clone() };
        let driver = Driver {
            party,
            hands,
            disk: disk.clone(),
            states: states.clone(),
            inbox,
            results,
            begins,
            metrics,
            closing: closing.clone(),
            clock,
        };
        if chain.can_submit() {
            let answering = answer_challenges(crypto.clone(), chain, disk.clone(), closing.clone());
            tokio::spawn(async move {
                if let Err(error) = answering.await {
                    tracing::error!(%error, "proofs that are asked for are not shown any more");
                }
            });
        }
        let running = tokio::spawn(async move {
            let ended = driver.run(actions, names).await;
            if let Err(error) = &ended {
                tracing::error!(%error, "the requester stops");
            }
            ended
        });
        Ok(Self { crypto, channel, states, disk, begins: begins_in, closing, running })
    }

    /// Whether it still takes orders.
    pub fn is_running(&self) -> bool {
        !self.running.is_finished()
    }

    /// Has a prompt answered and scored. Returns as soon as a quorum has revealed its scores; bringing the certificate to the settlers goes on
    /// behind.
    ///
    /// Dropping the future does not end the order.
    ///
    /// # Errors
    /// [`Fallback`].
    pub async fn ask(&self, terms: &Terms, prompt: Vec<u8>) -> Result<Answer, Fallback> {
        let state = self.states.borrow().clone();
        let epoch = epoch_for(&state, terms)?;
        let (disk, channel) = (self.disk.clone(), self.channel);
        let index = tokio::task::spawn_blocking(move || disk.take_index(channel, epoch)).await;
        let index = index.map_err(|_| Fallback::Stopped)??;
        let name = OrderName { channel, epoch, index };
        let order = order(name, terms, random()?);
        let offer = offer(&self.crypto, &state.view.genesis, order, prompt, random()?);
        let (reply, answer) = oneshot::channel();
        let begin = Begin { offer: Box::new(offer), reply };
        self.begins.send(begin).await.map_err(|_| Fallback::Stopped)?;
        answer.await.unwrap_or(Err(Fallback::Stopped))
    }
}

/// The newest epoch with a lane for both models, of those whose orders are served.
fn epoch_for(state: &State, terms: &Terms) -> Result<Epoch, Refusal> {
    let now = state.view.epoch;
    let has_lane = |epoch: &Epoch| {
        let info = state.view.epochs.get(epoch);
        info.is_some_and(|info| {
            [&terms.generator, &terms.evaluator].iter().all(|model| info.snapshots.contains_key(*model))
        })
    };
    [now, now.saturating_sub(1)].into_iter().find(has_lane).ok_or(Refusal::NoLane)
}

fn order(name: OrderName, terms: &Terms, random: Hash32) -> Order {
    Order {
        name,
        generator: terms.generator,
        evaluator: terms.evaluator,
        responders: terms.responders,
        committee: terms.committee,
        max_tokens: terms.max_tokens,
        temperature_milli: terms.temperature_milli,
        seed: terms.seed,
        min_quality: terms.min_quality,
        budget: terms.budget,
        audit: terms.audit.unwrap_or(random),
        // Filled in with the prompt and the key.
        prompt: [0; 32],
        first_draw: [0; 32],
        second_draw: [0; 32],
    }
}

/// All orders of a requester that are not over.
struct Requesters<C> {
    crypto: C,
    limits: Limits,
    orders: BTreeMap<Digest, (OrderName, Requester<C>)>,
    /// When each order wants to be woken.
    wakes: BTreeMap<Digest, Now>,
    /// Orders that have ended on chain while their callers still wait for the certificate: members can be faster there than here.
    ended: BTreeSet<OrderName>,
    waiting: Waiting,
}

impl<C: Crypto> Requesters<C> {
    fn new(crypto: C, limits: Limits, waiting: Waiting) -> Self {
        Self {
            crypto,
            limits,
            orders: BTreeMap::new(),
            wakes: BTreeMap::new(),
            ended: BTreeSet::new(),
            waiting,
        }
    }

    fn restore(&mut self, now: Now, state: &State, records: &[(OrderName, Record)]) -> Vec<Action> {
        let mut by_name: BTreeMap<OrderName, Vec<Record>> = BTreeMap::new();
        for (name, record) in records {
            by_name.entry(*name).or_default().push(record.clone());
        }
        let mut out = Vec::new();
        for (name, records) in by_name {
            let digest = records.iter().find_map(|record| match record {
                Record::Ordered(offer) => Some(offer.order.digest(&state.view.genesis)),
                _ => None,
            });
            let (crypto, limits) = (self.crypto.clone(), self.limits.clone());
            match (digest, Requester::restore(crypto, limits, &state.view, now, records)) {
                (Some(digest), Ok(Some((machine, actions)))) => {
                    self.orders.insert(digest, (name, machine));
                    self.note(digest, actions, &mut out);
                }
                // Its epoch is over.
                _ => out.push(Action::Forget { name }),
            }
        }
        self.wake_later(&mut out);
        out
    }

    /// Passes an order's actions on, but for its wakes, of which there is one for all orders.
    fn note(&mut self, digest: Digest, actions: Vec<Action>, out: &mut Vec<Action>) {
        self.wakes.remove(&digest);
        for action in actions {
            match action {
                Action::Wake { at } => drop(self.wakes.insert(digest, at)),
                other => out.push(other),
            }
        }
        if self.orders.get(&digest).is_some_and(|(_, machine)| machine.is_over()) {
            self.orders.remove(&digest);
            self.wakes.remove(&digest);
        }
    }

    fn wake_later(&self, out: &mut Vec<Action>) {
        out.extend(self.wakes.values().min().map(|at| Action::Wake { at: *at }));
    }

    /// Whether an order that has ended on chain goes on here, until its caller has the certificate. It does once: the driver says it again
    /// when the order's epoch is forgotten.
    fn goes_on(&mut self, state: &State, name: &OrderName) -> bool {
        if let Some(request) = state.escalated.get(name) {
            self.waiting.reply(name, Err(Fallback::Escalated(*request)));
        }
        if self.waiting.has(name) && self.ended.insert(*name) {
            return true;
        }
        self.ended.remove(name);
        self.waiting.reply(name, Err(Fallback::Settled(*name)));
        false
    }

    /// Has an order that has ended on chain end here as well, if its caller has the certificate now or never.
    fn end_late(&mut self, now: Now, digest: &Digest, actions: &mut Vec<Action>) {
        let Some((name, machine)) = self.orders.get_mut(digest).filter(|(name, _)| self.ended.contains(name))
        else {
            return;
        };
        let name = *name;
        let is_certified = actions.iter().any(|action| matches!(action, Action::Certified { .. }));
        let is_stalled = actions.iter().any(|action| matches!(action, Action::Escalate(_)));
        if is_certified || is_stalled {
            // The chain would not take it.
            actions.retain(|action| !matches!(action, Action::Escalate(_)));
            actions.extend(machine.handle(now, Event::Ended { name }));
            self.ended.remove(&name);
        }
        if is_stalled {
            self.waiting.reply(&name, Err(Fallback::Settled(name)));
        }
    }

    /// The orders that an event is for.
    fn concerned(&self, now: Now, state: &State, event: &Event) -> Vec<Digest> {
        match event {
            Event::Message { message, .. } => vec![message.order(&state.view.genesis)],
            Event::Wake => self.wakes.iter().filter(|(_, at)| **at <= now).map(|(of, _)| *of).collect(),
            Event::Ended { name }
            | Event::Generated { name, .. }
            | Event::Scored { name, .. }
            | Event::Failed { name } => {
                let of_name = self.orders.iter().filter(|(_, (other, _))| other == name);
                of_name.map(|(digest, _)| *digest).collect()
            }
        }
    }
}

impl<C: Crypto + Send> Party for Requesters<C> {
    type Begin = Begin;

    fn handle(&mut self, now: Now, state: &State, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        if matches!(&event, Event::Ended { name } if self.goes_on(state, name)) {
            self.wake_later(&mut out);
            return out;
        }
        let concerned = self.concerned(now, state, &event);
        for digest in &concerned {
            let Some((_, machine)) = self.orders.get_mut(digest) else { continue };
            let mut actions = machine.handle(now, event.clone());
            self.end_late(now, digest, &mut actions);
            self.note(*digest, actions, &mut out);
        }
        if let (Event::Ended { name }, true) = (&event, concerned.is_empty()) {
            out.push(Action::Forget { name: *name });
        }
        self.wake_later(&mut out);
        out
    }

    fn begin(&mut self, now: Now, state: &State, begin: Begin) -> Vec<Action> {
        let Begin { offer, reply } = begin;
        let (name, budget) = (offer.order.name, offer.order.budget);
        let digest = offer.order.digest(&state.view.genesis);
        let channel = state.view.channels.get(&name.channel).ok_or(Refusal::Channel);
        let covered = channel
            .and_then(|channel| covers(channel, state.view.epoch, &name, budget).map_err(Refusal::Uncovered));
        let (crypto, limits) = (self.crypto.clone(), self.limits.clone());
        let begun = covered.and_then(|()| Requester::begin(crypto, limits, &state.view, now, *offer));
        let mut out = Vec::new();
        match begun {
            Ok((machine, actions)) => {
                self.waiting.lock().insert(name, reply);
                self.orders.insert(digest, (name, machine));
                self.note(digest, actions, &mut out);
            }
            Err(refusal) => drop(reply.send(Err(refusal.into()))),
        }
        self.wake_later(&mut out);
        out
    }
}

/// What a requester's actions need.
struct RequesterHands {
    peers: Peers,
    waiting: Waiting,
    chain: Arc<dyn Chain>,
    closing: CancellationToken,
}

impl Hands for RequesterHands {
    fn act(&mut self, state: &State, action: Action) {
        match action {
            Action::Send { to: Peer::Operator(key), message } => {
                self.peers.send(key, &Encoded::new(&message));
            }
            Action::Send { to: Peer::Settlers, message: Message::Certificate(certificate) } => {
                let settlers = state.settlers(certificate.order.name.epoch);
                let encoded = Encoded::new(&Message::Certificate(certificate));
                settlers.into_iter().for_each(|key| self.peers.send(key, &encoded));
            }
            Action::Certified { certificate, outputs } => {
                let name = certificate.order.name;
                self.waiting.reply(&name, Ok(Answer::new(certificate, outputs)));
            }
            Action::Escalate(escalation) => {
                let name = escalation.offer.order.name;
                let fallback = match Stalled::new(*escalation) {
                    Some(stalled) => Fallback::Stalled(Box::new(stalled)),
                    None => Fallback::NothingCommitted(name),
                };
                self.waiting.reply(&name, Err(fallback));
            }
            Action::Report { key, proof } if self.chain.can_submit() => {
                let (chain, closing) = (self.chain.clone(), self.closing.clone());
                let call = persist("a report of an equivocation", chain, Report(key, proof));
                tokio::spawn(async move { closing.run_until_cancelled(call).await });
            }
            Action::Report { key, .. } => {
                tracing::warn!(key = %hex::encode(key), "a key signed two statements; no account reports it");
            }
            _ => {}
        }
    }
}
