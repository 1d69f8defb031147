//! The chain: its finalized state as the parties of the lane need it, and the transactions that they send.
//!
//! [`Chain`] is a trait, so that tests need no node; [`node::NodeChain`] is the chain behind a node.

pub mod node;

use codec::Encode;
use futures::future::BoxFuture;
use poq_express::{
    step::Escalation,
    view::{AccountId, View},
    wire::{Certificate, Equivocation, Order, Part},
};
use poq_primitives::{
    commitment::{Hash32, Salt},
    express::{
        draw::{ANSWER_VRF, RESPONDER_VRF, SCORE_VRF},
        Answer, Context, Epoch, Key, OrderName, ResponderPart, Signature,
    },
};
use sp_crypto_hashing::blake2_256;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::watch;

/// Number of operators in an epoch that carry certificates to the chain before all others do.
pub const SETTLERS: usize = 3;

const SETTLER_TAG: &[u8] = b"poq/express/settler/1";

/// Address of an operator's server, and the certificate that it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host and port, such as `node.example:8443`.
    pub address: String,
    /// SHA-256 of the TLS certificate.
    pub tls: Hash32,
}

/// The chain in a finalized block.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// State that the machines use.
    pub view: View,
    /// Endpoints by express key. A key that was replaced is there until its epochs are over.
    pub endpoints: BTreeMap<Key, Endpoint>,
    /// Requests that orders of the kept epochs became.
    pub escalated: BTreeMap<OrderName, u64>,
    /// VRF outputs whose proof somebody asked for and that is not shown yet.
    pub challenges: BTreeSet<Challenge>,
}

/// A key that has to show the proof of a VRF output, or is punished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Challenge {
    /// The key: a channel's, or an operator's express key.
    pub key: Key,
    /// The order.
    pub name: OrderName,
    /// The draw.
    pub draw: Draw,
}

/// Draw of an order that a VRF output was used in. Encoded as the pallet's `Draw`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode)]
pub enum Draw {
    /// The channel's, of the responders.
    First,
    /// The channel's, of the committee.
    Second,
    /// A responder's, for the committee.
    Responder,
}

impl Draw {
    /// Domain of the draw's VRF.
    pub fn domain(self) -> &'static [u8] {
        match self {
            Self::First => ANSWER_VRF,
            Self::Second => SCORE_VRF,
            Self::Responder => RESPONDER_VRF,
        }
    }
}

/// A [`State`] that is replaced at each finalized block with news for the lane.
pub type States = watch::Receiver<Arc<State>>;

impl State {
    /// Whether the order of this name is settled or escalated.
    pub fn is_used(&self, name: &OrderName) -> bool {
        let used = self.view.channels.get(&name.channel).and_then(|channel| channel.used.get(&name.epoch));
        used.is_some_and(|used| used.contains(&name.index))
    }

    /// Whether orders of this epoch are still settled: those of the current epoch and of the one before.
    pub fn settles(&self, epoch: Epoch) -> bool {
        epoch <= self.view.epoch && self.view.epoch.saturating_sub(epoch) <= 1
    }

    /// The oldest epoch that is kept.
    pub fn oldest_epoch(&self) -> Option<Epoch> {
        self.view.epochs.keys().next().copied()
    }

    /// Whether the operator with this express key has a seat in an epoch that is kept, or an endpoint.
    pub fn knows(&self, key: &Key) -> bool {
        let mut snapshots = self.view.epochs.values().flat_map(|epoch| epoch.snapshots.values());
        self.endpoints.contains_key(key) || snapshots.any(|seats| seats.iter().any(|seat| seat.key == *key))
    }

    /// What a certificate of this order is checked against. `None` if the channel, the epoch or a model's seats are not known.
    pub fn context(&self, order: &Order) -> Option<Context<'_, AccountId>> {
        let view = &self.view;
        let (channel, epoch) = (view.channels.get(&order.name.channel)?, view.epochs.get(&order.name.epoch)?);
        Some(Context {
            genesis: &view.genesis,
            epoch_seed: &epoch.seed,
            channel_key: &channel.key,
            owner: &channel.owner,
            generators: epoch.snapshots.get(&order.generator)?,
            evaluators: epoch.snapshots.get(&order.evaluator)?,
        })
    }

    /// The operators that carry certificates of this epoch to the chain first, by express key, in the order of their turns.
    pub fn settlers(&self, epoch: Epoch) -> Vec<Key> {
        let Some(info) = self.view.epochs.get(&epoch) else { return Vec::new() };
        let seats = info.snapshots.values().flat_map(|seats| seats.iter());
        let keys: BTreeSet<Key> = seats.map(|seat| seat.key).collect();
        let luck = |key: &Key| blake2_256(&[SETTLER_TAG, &info.seed, key].concat());
        let mut keys: Vec<Key> = keys.into_iter().collect();
        keys.sort_by_cached_key(luck);
        keys.truncate(SETTLERS);
        keys
    }
}

/// What an operator registers to take orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Address and certificate.
    pub endpoint: Endpoint,
    /// Its express key.
    pub key: Key,
    /// That key's signature of [`poq_primitives::express::messages::endpoint_consent`].
    pub consent: Signature,
}

/// An order as [`Chain::escalate`] takes it: with its prompt and what its inference nodes did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// The escalation that the machine has put together.
    pub escalation: Escalation,
    /// What the drawn inference nodes did, in the order of the draw.
    pub responders: Vec<ResponderPart>,
}

impl Stalled {
    /// `None` if no responder has committed: then there is nothing to escalate.
    pub fn new(escalation: Escalation) -> Option<Self> {
        let mut shows = escalation.shows.iter();
        let responders = escalation.parts.iter().map(|part| match part {
            Part::Busy(signature) => ResponderPart::Busy(*signature),
            Part::Absent => ResponderPart::Absent,
            Part::Answered(answer) => ResponderPart::Answered(Answer {
                output: answer.output,
                vrf: answer.vrf.output,
                shown: shows.next().is_some_and(Option::is_some),
                signature: answer.signature,
            }),
        });
        let responders: Vec<_> = responders.collect();
        let has_answer = responders.iter().any(|part| matches!(part, ResponderPart::Answered(_)));
        has_answer.then_some(Self { escalation, responders })
    }
}

/// An output for a request that an order became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The request.
    pub request: u64,
    /// The order.
    pub name: OrderName,
    /// The responder's express key.
    pub key: Key,
    /// Its output.
    pub output: Vec<u8>,
    /// Salt of its commitment.
    pub salt: Salt,
}

/// The chain's answer about one certificate of a batch, in a best block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is settled, or was before. To be believed once a finalized block says so.
    Settled,
    /// It may be settled later: a reveal is missing, or the deposit is too small for now.
    Later(String),
    /// It will never be settled.
    Never(String),
}

/// A transaction that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Worth another try.
    #[error("{0}; it is tried again")]
    Try(String),
    /// The chain refuses.
    #[error("the chain refuses: {0}")]
    Refused(String),
    /// This process has no account to sign transactions with.
    #[error("there is no account to sign transactions with; give --account-file")]
    NoAccount,
}

/// The chain: transactions, and what was finalized.
pub trait Chain: Send + Sync + 'static {
    /// Finalized states, as they come.
    fn states(&self) -> States;

    /// Whether there is an account to sign transactions with.
    fn can_submit(&self) -> bool;

    /// Settles certificates in one transaction, and waits until it is in a best block. One verdict for each, in their order.
    fn settle_batch<'a>(
        &'a self,
        certificates: &'a [Certificate],
    ) -> BoxFuture<'a, Result<Vec<Verdict>, ChainError>>;

    /// Brings an order to the chain path.
    fn escalate<'a>(&'a self, stalled: &'a Stalled) -> BoxFuture<'a, Result<(), ChainError>>;

    /// Reports a key that signed two statements of which it may sign one.
    fn report_equivocation<'a>(
        &'a self,
        key: Key,
        proof: &'a Equivocation,
    ) -> BoxFuture<'a, Result<(), ChainError>>;

    /// Shows an output in the request that an order became.
    fn show_output<'a>(&'a self, shown: &'a Shown) -> BoxFuture<'a, Result<(), ChainError>>;

    /// Shows the proof that was asked for.
    fn answer_challenge<'a>(
        &'a self,
        challenge: &'a Challenge,
        proof: &'a [u8; 64],
    ) -> BoxFuture<'a, Result<(), ChainError>>;

    /// Registers the account's endpoint.
    fn set_endpoint<'a>(&'a self, registration: &'a Registration) -> BoxFuture<'a, Result<(), ChainError>>;
}
