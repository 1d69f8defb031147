//! The server: from the command line to the answers, and to the end.

use crate::{
    api::{self, App},
    config::{Database, Serve},
    follow::{Follower, Progress},
    metrics::Metrics,
    store::Store,
};
use std::{
    future::IntoFuture as _,
    io::{self, IsTerminal as _, Write as _},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{signal, SignalKind},
    sync::{oneshot, watch},
    time::timeout,
};
use tracing_subscriber::EnvFilter;

/// Time that requests under way have to end when the history is told to. Streams of events never end by themselves.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves until a signal says to stop.
pub async fn run(database: Database, serve: Serve) -> Result<(), String> {
    let filter = EnvFilter::try_from_env("POQ_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let _already_set = lines.with_ansi(io::stderr().is_terminal()).try_init();

    let store = Store::open(&database).await?;
    let listener = TcpListener::bind(serve.listen).await;
    let listener = listener.map_err(|error| format!("cannot listen at {}: {error}", serve.listen))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let metrics = Arc::new(Metrics::new().map_err(|error| error.to_string())?);
    let cursor = store.cursor().await?;
    let (progress, told) = watch::channel(Progress { cursor, ..Progress::default() });
    let app = App::new(store.clone(), told, Arc::clone(&metrics));
    let follower = Follower { url: serve.url.clone(), from: serve.from, store, progress, metrics };

    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let mut lines = vec![
        format!("poq-history: http://{address}/v1"),
        format!("database: {database}"),
        format!("node: {}", serve.url),
    ];
    if let Some(endpoint) = &serve.page {
        lines.push(format!("page: http://{address}/, which asks the node at {endpoint}"));
    }
    // At once: whoever reads the first line may close the pipe after it.
    let said = lines.join("\n") + "\n";
    io::stdout().write_all(said.as_bytes()).map_err(|error| format!("cannot write: {error}"))?;
    let (say, heard) = oneshot::channel::<()>();
    let service =
        axum::serve(listener, api::router(app, serve.page.as_deref())).with_graceful_shutdown(async move {
            // An error says that the sender is gone, which is a reason to stop as well.
            let _stop = heard.await;
        });
    let mut service = tokio::spawn(service.into_future());
    // A block is written whole or not at all, so the follower can be left at any point.
    let outcome = tokio::select! {
        error = follower.run() => Err(error.to_string()),
        ended = &mut service => {
            return ended.map_err(|error| error.to_string())?.map_err(|error| format!("the server ended: {error}"));
        }
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    drop(say);
    let _late = timeout(FAREWELL, service).await;
    outcome
}
