//! The engine as a running whole.

use crate::{
    aborts::Aborts,
    api::{self, ApiState},
    backends::{Backends, BackendsError},
    config::{ConfigError, EngineConfig},
    door,
    limits::Cancel,
    metrics::Metrics,
    models::shelf::{self, Shelf},
    pool::{Pool, SCORE_JOBS},
    queue::{Queue, Width},
    store::Store,
    worker,
};
use std::{
    fs::{File, TryLockError},
    future::Future,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, sync::oneshot, time::sleep};
use tokio_util::sync::CancellationToken;

/// Longest time for requests under way to end once the engine is told to stop.
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// Longest time for requests that were cut off to tell their callers.
const LAST_WORDS_TIME: Duration = Duration::from_secs(1);

/// Longest time for a running job to notice that the engine stops. It is done again at the next start.
const GIVE_BACK_TIME: Duration = Duration::from_secs(5);

/// Time between two looks for old jobs.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

/// Time between two tries to write down results that the disk would not take.
const WRITE_INTERVAL: Duration = Duration::from_secs(5);

/// Why the engine does not run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The configuration is impossible.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A server elsewhere cannot be used as configured.
    #[error(transparent)]
    Backends(#[from] BackendsError),
    /// Another engine works in the data folder.
    #[error("another engine uses {}; stop it, or give this one its own --data folder", .0.display())]
    InUse(PathBuf),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        error: io::Error,
    },
    /// The job store cannot be used.
    #[error("job store in {}: {error}", path.display())]
    Store {
        /// The store's folder.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The file that keeps a second engine out cannot be used.
    #[error("lock file {}: {error}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The counters cannot be made.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Runs the engine until `shutdown`. `ready` is told the address once requests are answered.
///
/// Stopping gives running jobs back to the store; the next start takes them up.
pub async fn serve(
    config: EngineConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
    ready: oneshot::Sender<SocketAddr>,
) -> Result<(), EngineError> {
    config.prepare()?;
    let _lock = lock_folder(&config)?;
    let settings = config.settings.clone();
    let limits = settings.door.within(door::raise_file_limit());
    let shelf = open_shelf(&config);
    let (program, aborts) = (config.program.clone(), Aborts::open(&config.data));
    let pool = Pool::new(Arc::clone(&shelf), settings.clone(), program, aborts, Metrics::new()?);
    let backends = Arc::new(Backends::new(Arc::clone(&pool), config.remotes.clone())?);
    let queue = Arc::new(open_queue(&config)?);
    let listen = |error| EngineError::Listen { address: config.listen, error };
    let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;

    let lookout = Arc::clone(pool.lookout());
    tokio::spawn(async move { lookout.look().await });
    let sweeping = tokio::spawn(sweep(Arc::clone(&queue), settings.retention));
    let writing = tokio::spawn(write_down(Arc::clone(&queue)));
    let ending = tokio::spawn(end_late(Arc::clone(&queue), Arc::clone(backends.metrics())));
    let looking_after = CancellationToken::new();
    backends.watch(&looking_after);
    let jobs = worker::start(Arc::clone(&queue), Arc::clone(&backends), settings.job_time);
    let engine = ApiState::new(Arc::clone(&queue), shelf, backends, config.token, &settings);
    let (closing, drained) = (engine.closing.clone(), engine.drained.clone());
    let app = api::router(engine);

    tracing::info!(%address, models = %config.models.display(), "the engine is up");
    // Nobody may want to know; that is fine.
    let _ = ready.send(address);

    let (stopping, stopped) = oneshot::channel();
    let jobs_closing = Arc::clone(&queue);
    let told = async move {
        shutdown.await;
        closing.set();
        jobs_closing.close();
        let _ = stopping.send(());
    };
    tokio::select! {
        () = door::serve(listener, app, limits, told) => {}
        () = cut_off(stopped, drained) => {}
    }
    sweeping.abort();
    writing.abort();
    ending.abort();
    queue.close();
    if tokio::time::timeout(GIVE_BACK_TIME, jobs).await.is_err() {
        tracing::warn!("a job does not stop; it is done again at the next start");
    }
    looking_after.cancel();
    // The last chance of a result that the disk would not take.
    let writing = tokio::task::spawn_blocking(move || queue.write_down());
    let _written_or_late = tokio::time::timeout(GIVE_BACK_TIME, writing).await;
    pool.clear();
    tracing::info!("the engine is down");
    Ok(())
}

/// The models folder, with its ids remembered in the data folder.
pub fn open_shelf(config: &EngineConfig) -> Arc<Shelf> {
    Arc::new(Shelf::new(config.models.clone(), config.data.join(shelf::CACHE)))
}

fn open_queue(config: &EngineConfig) -> Result<Queue, EngineError> {
    let of_model = config.remotes.iter().map(|remote| (remote.model.clone(), remote.max_concurrent));
    let width = Width {
        generate: config.settings.parallel as usize,
        score: SCORE_JOBS,
        of_model: of_model.collect(),
    };
    let folder = config.data.join("jobs");
    let open = || Queue::open(Store::open(folder.clone())?, config.settings.queue_limit, width);
    open().map_err(|error| EngineError::Store { path: folder.clone(), error })
}

/// Two engines on one job store would do each other's jobs. The lock goes with the process, however it ends.
fn lock_folder(config: &EngineConfig) -> Result<File, EngineError> {
    let path = config.data.join("lock");
    let failed = |error| EngineError::Lock { path: path.clone(), error };
    // For reading and writing: that waits for nobody, should it be a pipe.
    let file =
        File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(EngineError::InUse(config.data.clone())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

async fn sweep(queue: Arc<Queue>, age: Duration) {
    loop {
        let queue = Arc::clone(&queue);
        match tokio::task::spawn_blocking(move || queue.sweep(age)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(removed)) => tracing::info!(removed, "old jobs removed"),
            Ok(Err(error)) => tracing::warn!(%error, "old jobs cannot be removed"),
            Err(error) => tracing::error!(%error, "the sweep failed"),
        }
        sleep(SWEEP_INTERVAL).await;
    }
}

/// Fails jobs at their deadlines until the queue is closed.
async fn end_late(queue: Arc<Queue>, metrics: Arc<Metrics>) {
    while queue.deadline_passes().await {
        let queue = Arc::clone(&queue);
        match tokio::task::spawn_blocking(move || queue.end_late()).await {
            Ok(jobs) => metrics.jobs_late(jobs),
            Err(error) => return tracing::error!(%error, "jobs no longer end at their deadlines"),
        }
    }
}

async fn write_down(queue: Arc<Queue>) {
    loop {
        sleep(WRITE_INTERVAL).await;
        let queue = Arc::clone(&queue);
        if let Err(error) = tokio::task::spawn_blocking(move || queue.write_down()).await {
            tracing::error!(%error, "results cannot be written down");
        }
    }
}

/// After `stopped`: gives requests time to end, tells those that did not, and lets them say so. Never ends if the
/// engine cannot be stopped any more.
async fn cut_off(stopped: oneshot::Receiver<()>, drained: Cancel) {
    match stopped.await {
        Ok(()) => sleep(DRAIN_TIME).await,
        Err(_) => std::future::pending().await,
    }
    drained.set();
    sleep(LAST_WORDS_TIME).await;
}
