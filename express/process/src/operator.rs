//! An operator: its state machine, and what its actions do.

use crate::{
    chain::{Chain, ChainError, Challenge, Draw, Shown, Stalled, State, States},
    disk::{Disk, DiskError},
    driver::{Hands, Party},
    engine::Engine,
    metrics::Metrics,
    settle::Settle,
    transport::{peers::Peers, server::Server, Encoded, Inbound},
};
use codec::Encode as _;
use poq_express::{
    crypto::Crypto,
    operator::Operator,
    step::{Action, Event, Now, Peer, Record},
    wire::{Certificate, Message},
};
use poq_primitives::express::{Key, OrderName};
use sp_crypto_hashing::blake2_256;
use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, Semaphore},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// Pause between two tries of a transaction.
const PAUSE: Duration = Duration::from_secs(3);

/// Time between two operators that may show a channel's proof: until a finalized block has the first one's.
const TURN: Duration = Duration::from_secs(12);

/// Such times, from which each operator of an order gets one.
const TURNS: u8 = 4;

/// Domain of the hash that says which.
const TURN_TAG: &[u8] = b"poq/express/turn/1";

/// Most tries of a transaction: about an hour of them, in which an order's windows are over.
const TRIES: u32 = 1_200;

/// The operator's machine as a [`Party`]. It also takes certificates of orders that are none of its own, if it is a settler.
pub struct OperatorParty<C> {
    crypto: C,
    machine: Operator<C>,
}

impl<C: Crypto> OperatorParty<C> {
    /// With a machine that was restored.
    pub fn new(crypto: C, machine: Operator<C>) -> Self {
        Self { crypto, machine }
    }

    /// A certificate for a settler of its epoch, if it holds and can be settled.
    fn carried(&self, state: &State, certificate: &Certificate) -> Option<Action> {
        let name = certificate.order.name;
        let is_settler = state.settlers(name.epoch).contains(&self.crypto.key());
        let is_open = state.settles(name.epoch) && !state.is_used(&name);
        let holds = is_settler && is_open && is_valid(&self.crypto, state, certificate);
        let certificate = Box::new(certificate.clone());
        holds.then_some(Action::Certified { certificate, outputs: Vec::new() })
    }
}

/// Whether a certificate proves what became of its order.
pub fn is_valid(crypto: &impl Crypto, state: &State, certificate: &Certificate) -> bool {
    state.context(&certificate.order).is_some_and(|context| certificate.check(&context, crypto).is_ok())
}

impl<C: Crypto + Send> Party for OperatorParty<C> {
    type Begin = Infallible;

    fn handle(&mut self, now: Now, state: &State, event: Event) -> Vec<Action> {
        let carried = match &event {
            Event::Message { message, .. } => match &**message {
                Message::Certificate(certificate) => self.carried(state, certificate),
                _ => None,
            },
            _ => None,
        };
        let mut actions = self.machine.handle(now, &state.view, event);
        actions.extend(carried);
        actions
    }

    fn begin(&mut self, _: Now, _: &State, never: Infallible) -> Vec<Action> {
        match never {}
    }
}

/// What an operator's actions need.
pub struct OperatorHands {
    /// Its express key.
    pub key: Key,
    /// Connections to other operators.
    pub peers: Peers,
    /// Connections of requesters.
    pub server: Server,
    /// The engine.
    pub engine: Engine,
    /// Takes results of jobs.
    pub results: mpsc::Sender<Event>,
    /// Takes messages of the operator to itself.
    pub inbox: mpsc::Sender<Inbound>,
    /// Takes certificates.
    pub settle: Settle,
    /// Transactions.
    pub chain: Arc<dyn Chain>,
    /// Counters.
    pub metrics: Metrics,
    /// Ends transactions that are tried again.
    pub closing: CancellationToken,
}

impl OperatorHands {
    fn send(&self, state: &State, to: Peer, message: &Message) {
        let encoded = Encoded::new(message);
        match to {
            Peer::Operator(key) if key == self.key => self.to_itself(message),
            Peer::Operator(key) => self.peers.send(key, &encoded),
            Peer::Requester(channel) => {
                if !self.server.send(channel, &encoded) {
                    self.metrics.dropped.inc();
                }
            }
            Peer::Settlers => {
                if let Message::Certificate(certificate) = message {
                    for key in state.settlers(certificate.order.name.epoch) {
                        self.send(state, Peer::Operator(key), message);
                    }
                }
            }
        }
    }

    fn to_itself(&self, message: &Message) {
        // A place of its own: the queue itself is bounded.
        let Ok(place) = Arc::new(Semaphore::new(1)).try_acquire_owned() else { return };
        let (from, message) = (Peer::Operator(self.key), Box::new(message.clone()));
        if self.inbox.try_send(Inbound { from, message, _place: place }).is_err() {
            self.metrics.dropped.inc();
        }
    }

    /// Sends a transaction, and again if that may help.
    fn submit(&self, what: &'static str, call: impl Call) {
        let (chain, closing) = (self.chain.clone(), self.closing.clone());
        tokio::spawn(async move { closing.run_until_cancelled(persist(what, chain, call)).await });
    }
}

/// A transaction that can be sent again.
pub(crate) trait Call: Send + Sync + 'static {
    fn send<'a>(&'a self, chain: &'a dyn Chain) -> futures::future::BoxFuture<'a, Result<(), ChainError>>;
}

pub(crate) struct Report(pub Key, pub Box<poq_express::wire::Equivocation>);

impl Call for Report {
    fn send<'a>(&'a self, chain: &'a dyn Chain) -> futures::future::BoxFuture<'a, Result<(), ChainError>> {
        chain.report_equivocation(self.0, &self.1)
    }
}

struct Proof {
    challenge: Challenge,
    proof: [u8; 64],
}

impl Call for Proof {
    fn send<'a>(&'a self, chain: &'a dyn Chain) -> futures::future::BoxFuture<'a, Result<(), ChainError>> {
        chain.answer_challenge(&self.challenge, &self.proof)
    }
}

impl Call for Stalled {
    fn send<'a>(&'a self, chain: &'a dyn Chain) -> futures::future::BoxFuture<'a, Result<(), ChainError>> {
        chain.escalate(self)
    }
}

impl Call for Shown {
    fn send<'a>(&'a self, chain: &'a dyn Chain) -> futures::future::BoxFuture<'a, Result<(), ChainError>> {
        chain.show_output(self)
    }
}

pub(crate) async fn persist(what: &'static str, chain: Arc<dyn Chain>, call: impl Call) {
    for _ in 0..TRIES {
        match call.send(&*chain).await {
            Ok(()) => return tracing::info!("{what}: done"),
            Err(ChainError::Try(reason)) => tracing::debug!(%reason, "{what}: tried again"),
            // Often somebody else was first.
            Err(error) => return tracing::info!(%error, "{what}: not done"),
        }
        sleep(PAUSE).await;
    }
    tracing::warn!("{what}: given up after {TRIES} tries");
}

impl Hands for OperatorHands {
    fn act(&mut self, state: &State, action: Action) {
        match action {
            Action::Send { to, message } => self.send(state, to, &message),
            Action::Generate { order, prompt } => self.engine.generate(order, prompt, self.results.clone()),
            Action::Score { order, prompt, outputs } => {
                self.engine.score(order, prompt, outputs, self.results.clone());
            }
            Action::Certified { certificate, .. } => {
                if !self.settle.hold(*certificate) {
                    tracing::warn!("a certificate is not held: there are too many");
                    self.metrics.dropped.inc();
                }
            }
            Action::Escalate(escalation) => match Stalled::new(*escalation) {
                Some(stalled) => self.submit("an order goes to the chain path", stalled),
                None => tracing::debug!("an order ends: no responder has committed"),
            },
            Action::Report { key, proof } => self.submit("a report of an equivocation", Report(key, proof)),
            // The driver's.
            Action::Persist { .. } | Action::Wake { .. } | Action::Forget { .. } => {}
        }
    }
}

/// Shows this operator's outputs in requests that its orders became, until `closing` is cancelled: who does not is slashed.
///
/// # Errors
/// [`DiskError`].
pub async fn show_outputs(
    key: Key,
    chain: Arc<dyn Chain>,
    disk: Arc<dyn Disk>,
    closing: CancellationToken,
) -> Result<(), DiskError> {
    let mut states: States = chain.states();
    let mut done: BTreeSet<OrderName> = BTreeSet::new();
    loop {
        let escalated = states.borrow_and_update().escalated.clone();
        done.retain(|name| escalated.contains_key(name));
        for (name, request) in escalated {
            if !done.insert(name) {
                continue;
            }
            if let Some((output, salt)) = output_of(&disk.records_of(&name)?) {
                let shown = Shown { request, name, key, output, salt };
                let call = persist("an output for the chain path", chain.clone(), shown);
                let closing = closing.clone();
                tokio::spawn(async move { closing.run_until_cancelled(call).await });
            }
        }
        tokio::select! {
            () = closing.cancelled() => return Ok(()),
            changed = states.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Shows the proofs of VRF outputs that somebody asks for, until `closing` is cancelled. Those of this key: who does not is slashed, or loses
/// its deposit. And those with which channels drew its orders: their owners may be away, and an order that was served must not cost them that.
///
/// # Errors
/// [`DiskError`].
pub async fn answer_challenges(
    crypto: impl Crypto,
    chain: Arc<dyn Chain>,
    disk: Arc<dyn Disk>,
    closing: CancellationToken,
) -> Result<(), DiskError> {
    let mut states: States = chain.states();
    let mut done: BTreeSet<Challenge> = BTreeSet::new();
    loop {
        let state = states.borrow_and_update().clone();
        done.retain(|challenge| state.challenges.contains(challenge));
        for challenge in &state.challenges {
            if !done.insert(*challenge) {
                continue;
            }
            let (proof, pause) = if challenge.key == crypto.key() {
                let vrf = crypto.vrf(challenge.draw.domain(), &state.view.genesis, &challenge.name);
                (vrf.proof, Duration::ZERO)
            } else {
                let Some(proof) = proof_of(challenge.draw, &disk.records_of(&challenge.name)?) else {
                    continue;
                };
                (proof, turn(&crypto.key(), &challenge.name))
            };
            let (call, chain, states) =
                (Proof { challenge: *challenge, proof }, chain.clone(), states.clone());
            let answer = async move {
                sleep(pause).await;
                if states.borrow().challenges.contains(&call.challenge) {
                    persist("a proof that was asked for", chain, call).await;
                }
            };
            let closing = closing.clone();
            tokio::spawn(async move { closing.run_until_cancelled(answer).await });
        }
        tokio::select! {
            () = closing.cancelled() => return Ok(()),
            changed = states.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// The proof of a channel's draw, of an order that this operator accepted; it checked it then.
fn proof_of(draw: Draw, records: &[Record]) -> Option<[u8; 64]> {
    records.iter().find_map(|record| match (draw, record) {
        (Draw::First, Record::Accepted(offer)) => Some(offer.proof),
        (Draw::Second, Record::Shown { v1, .. }) => Some(v1.proof),
        (Draw::Second, Record::Committed { material, .. }) => Some(material.v1.proof),
        _ => None,
    })
}

/// Time that an operator leaves to the channel's owner, and to other operators of the order: each answer after the first costs a fee.
fn turn(key: &Key, name: &OrderName) -> Duration {
    let luck = blake2_256(&(TURN_TAG, key, name).encode());
    let turn = luck.first().map_or(0, |byte| u32::from(byte % TURNS));
    TURN.saturating_mul(turn.saturating_add(1))
}

fn output_of(records: &[Record]) -> Option<(Vec<u8>, [u8; 32])> {
    records.iter().find_map(|record| match record {
        Record::Answered { output, salt, .. } => Some((output.clone(), *salt)),
        _ => None,
    })
}
