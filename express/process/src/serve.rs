//! An operator's process, put together: machine, server, connections, engine, settler, disk and chain.

use crate::{
    chain::Chain,
    disk::{Disk, DiskError},
    driver::{certified, wait_for_chain, Driver, DriverError},
    engine::Engine,
    metrics::Metrics,
    operator::{answer_challenges, show_outputs, OperatorHands, OperatorParty},
    settle::{self, Settler},
    transport::{
        peers::Peers,
        server::{self, Server},
        tls::{Identity, TlsError},
        Limits as TransportLimits,
    },
};
use poq_express::{crypto::Crypto, limits::Limits, operator::Operator};
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
    let (key, clock) = (setup.crypto.key(), Instant::now());
    let records = setup.disk.records()?;
    let (mut settler, settle) =
        Settler::new(setup.chain.clone(), setup.disk.clone(), key, setup.settle, setup.metrics.clone())?;
    certified(&records).for_each(|certificate| settler.take_back(&state, certificate));
    let names: Vec<_> = records.iter().map(|(name, _)| *name).collect();
    let (crypto, limits) = (setup.crypto.clone(), setup.limits.clone());
    let (machine, actions) = Operator::restore(crypto, limits, &state.view, clock.elapsed(), records);

    let (inbox_in, inbox) = mpsc::channel(setup.transport.waiting.max(1));
    let (results_in, results) = mpsc::channel(WAITING_RESULTS);
    let (_, begins) = mpsc::channel(1);
    let server = server::Setup {
        identity: setup.identity,
        key,
        verify: setup.crypto.clone(),
        limits: setup.transport.clone(),
        states: states.clone(),
        inbox: inbox_in.clone(),
        metrics: setup.metrics.clone(),
        closing: closing.clone(),
    };
    let server = Server::start(setup.listener, server)?;
    let (crypto, challenged) = (setup.crypto.clone(), setup.crypto.clone());
    let of_peers = setup.metrics.clone();
    let peers = Peers::new(crypto, None, setup.transport, states.clone(), inbox_in.clone(), of_peers);
    let hands = OperatorHands {
        key,
        peers,
        server,
        engine: setup.engine,
        results: results_in,
        inbox: inbox_in,
        settle,
        chain: setup.chain.clone(),
        metrics: setup.metrics.clone(),
        closing: closing.clone(),
    };
    let driver = Driver {
        party: OperatorParty::new(setup.crypto, machine),
        hands,
        disk: setup.disk.clone(),
        states,
        inbox,
        results,
        begins,
        metrics: setup.metrics,
        closing: closing.clone(),
        clock,
    };
    let proofs = answer_challenges(challenged, setup.chain.clone(), closing.clone());
    let shows = show_outputs(key, setup.chain, setup.disk, closing.clone());
    let (driver, settler, shows, ()) = tokio::join!(
        ending(&closing, driver.run(actions, names)),
        ending(&closing, settler.run(closing.clone())),
        ending(&closing, shows),
        ending(&closing, proofs),
    );
    driver?;
    settler?;
    Ok(shows?)
}

/// Runs a part of the process; its end, an error among others, ends the others.
async fn ending<T>(closing: &CancellationToken, part: impl Future<Output = T>) -> T {
    let ended = part.await;
    closing.cancel();
    ended
}
