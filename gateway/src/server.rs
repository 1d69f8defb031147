//! The server: from the command line to the answers, and to the end.

use crate::{
    amount,
    api::{self, App},
    chain::{now, Chain},
    config::{LogFormat, Place, Serve},
    desk::Desk,
    keys::Limits,
    lane::{Board, Lane},
    lock::Lock,
    metrics::Metrics,
    store::{Caps, Store},
};
use poq_client::Client;
use std::{
    env, fs,
    future::{Future, IntoFuture as _},
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use subxt_signer::sr25519::Keypair;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    signal::unix::{signal, SignalKind},
    time::{interval, sleep, timeout},
};
use tracing_subscriber::EnvFilter;

/// The type of chains on which everybody's key pays.
const DEVELOPMENT: &str = "Development";

/// Everybody's key.
const ALICE: &str = "//Alice";

/// Time that requests under way have to end when the gateway is told to.
const FAREWELL: Duration = Duration::from_secs(10);

/// Pause before the node is looked for again at the start.
const PAUSE: Duration = Duration::from_secs(1);

/// Time between two looks for old answers to remove.
const TIDY: Duration = Duration::from_secs(3600);

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Folder of the database.
pub fn folder(place: &Place) -> Result<PathBuf, String> {
    if let Some(folder) = &place.data {
        return Ok(folder.clone());
    }
    let data = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::home_dir().filter(|path| path.is_absolute()).map(|home| home.join(".local/share"));
    let data = data.or_else(home).ok_or("there is no home folder: say with --data where the database is")?;
    Ok(data.join("proof-of-quality/gateway"))
}

/// Serves until a signal says to stop.
pub fn run(place: Place, serve: Serve) -> Result<(), String> {
    log(serve.log_format);
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("cannot start: {error}"))?;
    let outcome = runtime.block_on(serving(place, serve));
    // Orders that wait must not keep the process: they are found again.
    runtime.shutdown_background();
    outcome
}

fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_env("POQ_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let _already_set = match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}

/// The folder of the data, and the temporary one that it is in.
fn data(place: &Place, serve: &Serve) -> Result<(PathBuf, Option<TempDir>), String> {
    if serve.dev && place.data.is_none() {
        let folder = tempfile::Builder::new().prefix("poq-gateway-").tempdir();
        let folder = folder.map_err(|error| format!("cannot make a temporary folder: {error}"))?;
        return Ok((folder.path().to_owned(), Some(folder)));
    }
    Ok((folder(place)?, None))
}

async fn serving(place: Place, serve: Serve) -> Result<(), String> {
    if !serve.dev && serve.cap.is_none() && serve.cap_a_day.is_none() {
        return Err("say how much the gateway may spend: --cap-a-day POQ, --cap POQ, or both".into());
    }
    let (key, _key_lock) = match &serve.suri_file {
        Some(file) => (Some(key_in(file)?), Some(Lock::take_existing(file, "this key")?)),
        None if serve.dev => (None, None),
        None => {
            return Err("no account pays: name its key with --suri-file FILE (`poq key new FILE` makes one), or use --dev on a \
                        development chain"
                .into())
        }
    };
    let (folder, _temporary) = data(&place, &serve)?;
    let store = Arc::new(Store::open(&folder).map_err(|error| error.to_string())?);
    let _lock = Lock::take(&folder.join("gateway.lock"), "this folder")?;
    let listener = TcpListener::bind(serve.listen).await;
    let listener = listener.map_err(|error| format!("cannot listen at {}: {error}", serve.listen))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;

    let stop = stop()?;
    tokio::pin!(stop);
    let client = tokio::select! {
        client = connect(&serve) => client?,
        () = &mut stop => return Ok(()),
    };
    let key = match key {
        Some(key) => key,
        None => {
            let kind = client.kind().await.map_err(|error| error.to_string())?;
            if kind != DEVELOPMENT {
                return Err(format!(
                    "--dev pays with Alice's key, which everybody has: that is for chains of type {DEVELOPMENT} only, and the one at {} is of \
                     type {kind}. Name a key of your own with --suri-file",
                    serve.url
                ));
            }
            poq_client::keypair(ALICE).map_err(|error| error.to_string())?
        }
    };
    let account = key.public_key().to_account_id();
    let genesis = format!("0x{}", hex::encode(client.genesis()));
    store.bind(&genesis, &account.to_string()).map_err(|error| error.to_string())?;

    let metrics = Arc::new(Metrics::new().map_err(|error| error.to_string())?);
    let board = Arc::new(Board::default());
    let chain = Chain::start(client, key, Arc::clone(&store), Arc::clone(&board), Arc::clone(&metrics))
        .map_err(|error| error.to_string())?;
    tokio::select! {
        () = chain.wait_for_catalogue() => {}
        () = &mut stop => return Ok(()),
    }
    announce(&serve, &chain, &store, address)?;
    tokio::spawn(tidy(Arc::clone(&store), serve.keep_days));

    let caps = Caps { a_day: serve.cap_a_day, ever: serve.cap, open: serve.max_open };
    let lane: Arc<dyn Lane> = Arc::clone(&chain) as Arc<dyn Lane>;
    let desk = Arc::new(Desk { chain, lane, store, board, caps });
    let app = App::new(desk, metrics, Duration::from_secs(serve.timeout), serve.log_prompts);
    let (said, heard) = tokio::sync::oneshot::channel::<()>();
    let service = axum::serve(listener, api::router(app, &serve.cors_origins, serve.page()))
        .with_graceful_shutdown(async move {
            // An error says that the sender is gone, which is a reason to stop as well.
            let _stop = heard.await;
        });
    let mut service = tokio::spawn(service.into_future());
    tokio::select! {
        ended = &mut service => {
            return ended.map_err(|error| error.to_string())?.map_err(|error| format!("the server ended: {error}"));
        }
        () = &mut stop => {}
    }
    tracing::info!("stopping; orders that are not over are taken up at the next start");
    drop(said);
    // Whoever still waits is cut off: its order goes on, and can be fetched.
    let _late = timeout(FAREWELL, service).await;
    Ok(())
}

/// Ends with the first signal to stop.
fn stop() -> Result<impl Future<Output = ()>, String> {
    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Connects to the node, and waits for it if it is not there yet.
async fn connect(serve: &Serve) -> Result<Client, String> {
    let mut told = false;
    loop {
        match Client::connect(&serve.url).await {
            Ok(client) => {
                let found = client.genesis();
                if let Some(wanted) = serve.genesis.filter(|wanted| *wanted != found) {
                    return Err(format!(
                        "the node at {} is of another chain: its genesis is 0x{}, and --genesis names 0x{}",
                        serve.url,
                        hex::encode(found),
                        hex::encode(wanted)
                    ));
                }
                return Ok(client);
            }
            Err(error @ poq_client::Error::Unreachable(_)) => {
                if !told {
                    tracing::warn!(%error, "waiting for the node");
                    told = true;
                }
                sleep(PAUSE).await;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// The key whose secret URI is in `file`, which nobody else may read. No error repeats the secret.
fn key_in(file: &Path) -> Result<Keypair, String> {
    let shown = file.display();
    let failed = |error: io::Error| format!("cannot read {shown}: {error}");
    let mode = fs::metadata(file).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("other users may read the secret in {shown}: `chmod 600 {shown}`"));
    }
    let text = fs::read_to_string(file).map_err(failed)?;
    let secret = text.trim();
    // Without a phrase or a seed it would be a development key.
    if secret.is_empty() || secret.starts_with('/') {
        return Err(format!("{shown} holds no phrase and no seed, so its key would be everybody's: `poq key new FILE` makes one"));
    }
    poq_client::keypair(secret)
        .map_err(|_| format!("{shown} holds no secret URI: 12 words or more, or 64 hex digits"))
}

/// Says on standard output where the gateway is, who pays, and, once, the first key.
fn announce(serve: &Serve, chain: &Chain, store: &Store, address: SocketAddr) -> Result<(), String> {
    let mut lines = vec![format!("poq-gateway: http://{address}/v1")];
    let balance = chain.catalogue().map_or(0, |catalogue| catalogue.spendable);
    let who = if serve.dev { " (Alice, whose key everybody has)" } else { "" };
    lines.push(format!("account: {}{who}, balance {}", chain.account(), amount::show(balance)));
    let keys = store.keys().map_err(|error| error.to_string())?;
    if serve.dev && keys.is_empty() {
        let secret =
            store.create_key("first", &Limits::default(), now()).map_err(|error| error.to_string())?;
        lines.push(format!("API key: {}", secret.text));
    } else if keys.is_empty() {
        lines.push("API keys: none yet; `poq-gateway keys create --name NAME` makes one".into());
    } else {
        lines.push(format!("API keys: {}", keys.iter().filter(|key| key.revoked.is_none()).count()));
    }
    if let Some(endpoint) = serve.page() {
        lines.push(format!("page: http://{address}/, which asks the node at {endpoint}"));
    }
    writeln!(io::stdout(), "{}", lines.join("\n")).map_err(|error| format!("cannot write: {error}"))
}

/// Removes old answers, for ever.
async fn tidy(store: Arc<Store>, days: u32) {
    let mut time = interval(TIDY);
    loop {
        time.tick().await;
        let (store, before) = (Arc::clone(&store), now().saturating_sub(DAY.saturating_mul(days.into())));
        match tokio::task::spawn_blocking(move || store.forget(before)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(orders)) => tracing::info!(orders, "old answers are removed"),
            Ok(Err(error)) => tracing::error!(%error, "old answers cannot be removed"),
            Err(error) => tracing::error!(%error, "old answers cannot be removed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_in_a_file_that_only_its_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("account");
        let write = |text: &str, mode| {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        };
        let secret = format!("0x{}", "07".repeat(32));
        write(&secret, 0o644);
        assert!(key_in(&file).err().unwrap().contains("chmod 600"));
        write(&secret, 0o600);
        assert!(key_in(&file).is_ok());
        for text in ["", "//Alice", "legal winner secret"] {
            write(text, 0o600);
            let error = key_in(&file).err().unwrap();
            assert!(!error.contains("legal"), "{error}");
        }
    }
}
