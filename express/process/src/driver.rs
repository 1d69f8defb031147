//! The driver: one task that owns a state machine, gives it what happens, and carries out what it wants.
//!
//! Rules, from `poq_express::step`:
//! - Actions are carried out in their order. Records go to disk before anything that comes after them. The records of events that wait
//!   together share one write; the other actions of all of them follow.
//! - The last wake counts.
//! - Records of an order are kept until the machine forgets it.
//! - A write that fails ends the driver: the machine has decided what the disk does not know, so nothing of it may be said. After a restart it
//!   goes on from the disk.

use crate::{
    chain::{State, States},
    disk::{Change, Disk, DiskError},
    metrics::Metrics,
    transport::Inbound,
};
use poq_express::{
    step::{Action, Event, Now, Record},
    view::View,
};
use poq_primitives::express::{Epoch, OrderName};
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

/// Most events whose records share one write to disk.
const MOST_TOGETHER: usize = 64;

/// A state machine, or several that share a disk and a clock.
pub trait Party: Send {
    /// An order that this process begins by itself.
    type Begin: Send;

    /// Takes an event; returns the machine's actions.
    fn handle(&mut self, now: Now, state: &State, event: Event) -> Vec<Action>;

    /// Begins an order.
    fn begin(&mut self, now: Now, state: &State, begin: Self::Begin) -> Vec<Action>;
}

/// Carries out what is not for the disk. Never waits.
pub trait Hands: Send {
    /// Carries out an action.
    fn act(&mut self, state: &State, action: Action);
}

/// A driver that had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A record is not on disk.
    #[error("nothing is signed any more, because a record is not on disk: {0}")]
    Disk(#[from] DiskError),
    /// The chain is not followed any more.
    #[error("the chain is not followed any more; start again")]
    NoChain,
}

/// What a driver needs.
pub struct Driver<P: Party, H> {
    /// The machine.
    pub party: P,
    /// Carries out its actions.
    pub hands: H,
    /// Its disk.
    pub disk: Arc<dyn Disk>,
    /// Finalized states.
    pub states: States,
    /// Messages.
    pub inbox: mpsc::Receiver<Inbound>,
    /// Results of jobs.
    pub results: mpsc::Receiver<Event>,
    /// Orders that this process begins.
    pub begins: mpsc::Receiver<P::Begin>,
    /// Counters.
    pub metrics: Metrics,
    /// Ends the driver.
    pub closing: CancellationToken,
    /// Origin of the machine's clock.
    pub clock: Instant,
}

/// Names of orders with records on disk; whether the machine was told that the order has ended.
type Known = BTreeMap<OrderName, bool>;

/// Something for the machine. The message's place in its queue is free when the machine has handled it.
enum Input<B> {
    Event(Event),
    Message(Inbound),
    Begin(B),
}

impl<P: Party, H: Hands> Driver<P, H> {
    /// Runs until `closing` is cancelled. `actions` are those with which the machine was restored, `records` the names of the orders that it was
    /// restored from.
    ///
    /// # Errors
    /// [`DriverError`], after which nothing more is sent.
    pub async fn run(
        mut self,
        actions: Vec<Action>,
        records: impl IntoIterator<Item = OrderName>,
    ) -> Result<(), DriverError> {
        let mut known: Known = records.into_iter().map(|name| (name, false)).collect();
        let mut epoch = 0;
        let mut wake = None;
        let mut state = self.states.borrow_and_update().clone();
        self.carry_out(&state, actions, &mut known, &mut epoch, &mut wake).await?;
        let mut inputs: Vec<Input<P::Begin>> = ended(&state, &mut known);
        loop {
            let now = self.clock.elapsed();
            let mut actions = Vec::new();
            for input in inputs.drain(..) {
                actions.extend(self.handle(now, &state, input));
            }
            self.carry_out(&state, actions, &mut known, &mut epoch, &mut wake).await?;
            let due = wake.map(|at: Now| at.saturating_sub(self.clock.elapsed()));
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return Ok(()),
                changed = self.states.changed() => {
                    changed.map_err(|_| DriverError::NoChain)?;
                    state = self.states.borrow_and_update().clone();
                    inputs = ended(&state, &mut known);
                }
                Some(event) = self.results.recv() => inputs.push(Input::Event(event)),
                () = sleep(due.unwrap_or_default()), if due.is_some() => {
                    wake = None;
                    inputs.push(Input::Event(Event::Wake));
                }
                Some(begin) = self.begins.recv() => inputs.push(Input::Begin(begin)),
                Some(message) = self.inbox.recv() => inputs.push(Input::Message(message)),
            }
            self.take_more(&mut inputs);
        }
    }

    /// Takes what else is there already, so that it shares a write.
    fn take_more(&mut self, inputs: &mut Vec<Input<P::Begin>>) {
        while inputs.len() < MOST_TOGETHER {
            let event = self.results.try_recv().ok().map(Input::Event);
            let next = event.or_else(|| self.inbox.try_recv().ok().map(Input::Message));
            let Some(next) = next else { return };
            inputs.push(next);
        }
    }

    fn handle(&mut self, now: Now, state: &State, input: Input<P::Begin>) -> Vec<Action> {
        match input {
            Input::Event(event) => self.party.handle(now, state, event),
            Input::Begin(begin) => self.party.begin(now, state, begin),
            Input::Message(Inbound { from, message, _place }) => {
                self.metrics.received.inc();
                self.party.handle(now, state, Event::Message { from, message })
            }
        }
    }

    async fn carry_out(
        &mut self,
        state: &Arc<State>,
        actions: Vec<Action>,
        known: &mut Known,
        epoch: &mut Epoch,
        wake: &mut Option<Now>,
    ) -> Result<(), DriverError> {
        let (mut changes, mut rest) = (Vec::new(), Vec::new());
        for action in actions {
            self.metrics.acted(kind(&action));
            match action {
                Action::Persist { name, record } => {
                    known.entry(name).or_insert(false);
                    changes.push(Change::Persist { name, record: Box::new(record) });
                }
                Action::Forget { name } => {
                    known.remove(&name);
                    changes.push(Change::Forget { name });
                }
                Action::Wake { at } => *wake = Some(at),
                other => rest.push(other),
            }
        }
        if !changes.is_empty() {
            // Records are restored under an epoch that is not before theirs.
            if state.view.epoch > *epoch {
                *epoch = state.view.epoch;
                changes.push(Change::Epoch(*epoch));
            }
            write(&self.disk, &self.metrics, changes).await?;
            self.metrics.orders.set(i64::try_from(known.len()).unwrap_or(i64::MAX));
        }
        for action in rest {
            self.hands.act(state, action);
        }
        Ok(())
    }
}

/// Writes to disk on a thread that may wait for it.
pub(crate) async fn write(
    disk: &Arc<dyn Disk>,
    metrics: &Metrics,
    changes: Vec<Change>,
) -> Result<(), DiskError> {
    let (disk, began) = (disk.clone(), Instant::now());
    let written = tokio::task::spawn_blocking(move || disk.write(&changes)).await;
    metrics.disk.observe(began.elapsed().as_secs_f64());
    written.unwrap_or_else(|error| Err(DiskError::Database(error.to_string())))
}

/// The orders that have ended on chain and whose machine does not know, or that must be forgotten.
fn ended<B>(state: &State, known: &mut Known) -> Vec<Input<B>> {
    let oldest = state.oldest_epoch().unwrap_or(0);
    let mut inputs = Vec::new();
    for (name, is_told) in known.iter_mut() {
        let is_old = name.epoch < oldest;
        if is_old || !*is_told && state.is_used(name) {
            *is_told = true;
            inputs.push(Input::Event(Event::Ended { name: *name }));
        }
    }
    inputs
}

/// Waits until the chain's view is not older than the records on disk. Under an older one a machine would take its orders for forgotten, and might
/// sign something else for them.
///
/// # Errors
/// [`DriverError`].
pub async fn wait_for_chain(states: &mut States, disk: &Arc<dyn Disk>) -> Result<Arc<State>, DriverError> {
    let epoch = disk.epoch()?;
    let is_there = |view: &View| view.epoch >= epoch && view.genesis != [0; 32];
    if !is_there(&states.borrow().view) {
        tracing::info!(epoch, "waiting for the node to come to the epoch of the records on disk");
    }
    let state = states.wait_for(|state| is_there(&state.view)).await;
    Ok(state.map_err(|_| DriverError::NoChain)?.clone())
}

/// The certificates among records.
pub(crate) fn certified(
    records: &[(OrderName, Record)],
) -> impl Iterator<Item = &poq_express::wire::Certificate> {
    records.iter().filter_map(|(_, record)| match record {
        Record::Certified(certificate) => Some(certificate),
        _ => None,
    })
}

fn kind(action: &Action) -> &'static str {
    match action {
        Action::Persist { .. } => "persist",
        Action::Send { .. } => "send",
        Action::Wake { .. } => "wake",
        Action::Generate { .. } => "generate",
        Action::Score { .. } => "score",
        Action::Certified { .. } => "certified",
        Action::Escalate(_) => "escalate",
        Action::Report { .. } => "report",
        Action::Forget { .. } => "forget",
    }
}
