//! An operator's process, put together: machine, server, connections, engine, settler, disk and chain.

use crate::{
    chain::{Chain, State},
    disk::{Disk, DiskError},
    driver::{certified, wait_for_chain, Driver, DriverError},
    engine::Engine,
    metrics::Metrics,
    operator::{answer_challenges, show_outputs, OperatorHands, OperatorParty},
    settle::{self, Settle, Settler},
    transport::{
        peers::Peers,
        server::{self, Server},
        tls::{Identity, TlsError},
        Limits as TransportLimits,
    },
};
use poq_express::{
    crypto::Crypto,
    limits::Limits,
    operator::Operator,
    step::{Action, Record},
};
use poq_primitives::express::OrderName;
use std::{future::Future, sync::Arc, time::Instant};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

/// Results of jobs that wait for the machine. Jobs wait while they are not taken.
const WAITING_RESULTS: usize = 256;

/// What an operator's process needs.
pub struct Setup<C> {
    /// Its express key.
    pub crypto: C,
    /// Its certificate.
    pub identity: Identity,
    /// Takes connections.
    pub listener: TcpListener,
    /// Timeouts of orders.
    pub limits: Limits,
    /// Limits of connections.
    pub transport: TransportLimits,
    /// Settings of its settler.
    pub settle: settle::Settings,
    /// Its engine.
    pub engine: Engine,
    /// The chain.
    pub chain: Arc<dyn Chain>,
    /// Its disk.
    pub disk: Arc<dyn Disk>,
    /// Counters.
    pub metrics: Metrics,
    /// Ends the process.
    pub closing: CancellationToken,
}

/// An operator's process that had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The machine's driver had to stop.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The disk cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Runs an operator until `closing` is cancelled. Waits first until the chain's view is not older than the records on disk.
///
/// # Errors
/// [`ServeError`]. Connections are closed then, and nothing is signed any more; after a restart all orders go on from the disk.
pub async fn operate<C: Crypto + Send + Sync + 'static>(setup: Setup<C>) -> Result<(), ServeError> {
    let closing = setup.closing.clone();
    // An error before the parts run, too, ends what was started.
    let _end = closing.clone().drop_guard();
    let mut states = setup.chain.states();
    let state = tokio::select! {
        () = closing.cancelled() => return Ok(()),
        state = wait_for_chain(&mut states, &setup.disk) => state?,
    };
    let records = setup.disk.records()?;
    let (key, chain, disk) = (setup.crypto.key(), setup.chain.clone(), setup.disk.clone());
    let (mut settler, settle) =
        Settler::new(chain.clone(), disk.clone(), key, setup.settle, setup.metrics.clone())?;
    certified(&records).for_each(|certificate| settler.take_back(&state, certificate));
    let proofs = answer_challenges(setup.crypto.clone(), chain.clone(), disk.clone(), closing.clone());
    let names: Vec<_> = records.iter().map(|(name, _)| *name).collect();
    let (driver, actions) = driver(setup, &state, records, settle)?;
    let (driver, settler, shows, proofs) = tokio::join!(
        ending(&closing, driver.run(actions, names)),
        ending(&closing, settler.run(closing.clone())),
        ending(&closing, show_outputs(key, chain, disk, closing.clone())),
        ending(&closing, proofs),
    );
    driver?;
    settler?;
    shows?;
    Ok(proofs?)
}

/// The driver of an operator.
type OperatorDriver<C> = Driver<OperatorParty<C>, OperatorHands>;

/// Restores the machine and opens its server. Returns the driver, and the actions with which the machine was restored.
fn driver<C: Crypto + Send + Sync + 'static>(
    setup: Setup<C>,
    state: &State,
    records: Vec<(OrderName, Record)>,
    settle: Settle,
) -> Result<(OperatorDriver<C>, Vec<Action>), ServeError> {
    let Setup { crypto, transport, chain, metrics, closing, .. } = setup;
    let (states, clock, key) = (chain.states(), Instant::now(), crypto.key());
    let (machine, actions) =
        Operator::restore(crypto.clone(), setup.limits, &state.view, clock.elapsed(), records);
    let (inbox_in, inbox) = mpsc::channel(transport.waiting.max(1));
    let (results_in, results) = mpsc::channel(WAITING_RESULTS);
    let (_, begins) = mpsc::channel(1);
    let server = server::Setup {
        identity: setup.identity,
        key,
        verify: crypto.clone(),
        limits: transport.clone(),
        states: states.clone(),
        inbox: inbox_in.clone(),
        metrics: metrics.clone(),
        closing: closing.clone(),
    };
    let hands = OperatorHands {
        key,
        server: Server::start(setup.listener, server)?,
        peers: Peers::new(crypto.clone(), None, transport, states.clone(), inbox_in.clone(), metrics.clone()),
        engine: setup.engine,
        results: results_in,
        inbox: inbox_in,
        settle,
        chain,
        metrics: metrics.clone(),
        closing: closing.clone(),
    };
    let (party, disk) = (OperatorParty::new(crypto, machine), setup.disk);
    let driver = Driver { party, hands, disk, states, inbox, results, begins, metrics, closing, clock };
    Ok((driver, actions))
}

/// Runs a part of the process; its end, an error among others, ends the others.
async fn ending<T>(closing: &CancellationToken, part: impl Future<Output = T>) -> T {
    let ended = part.await;
    closing.cancel();
    ended
}
