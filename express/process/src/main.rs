//! `poq-express`: the express lane of an operator.

use anyhow::{bail, Context as _, Result};
use clap::Parser as _;
use poq_express::crypto::{Crypto as _, Sr25519};
use poq_express_process::{
    chain::{node::NodeChain, Chain, Endpoint as ChainEndpoint, Registration},
    config::{Cli, Command, Endpoint, Place, Serve},
    disk::Redb,
    engine::Engine,
    files,
    metrics::Metrics,
    serve::{operate, Setup},
    transport::tls::Identity,
};
use poq_primitives::{commitment::Hash32, express::messages::endpoint_consent};
use sp_core::{sr25519, Pair as _};
use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    sync::Arc,
};
use subxt_signer::sr25519::Keypair;
use tokio::{net::TcpListener, signal::unix};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Domain of the secret that salts are made from, derived from the express key's seed.
const SALTS: &[u8] = b"poq/express/salts/1";

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("POQ_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
    let ended = match cli.command {
        Command::Serve(args) => serve(*args).await,
        Command::Endpoint(args) => endpoint(args).await,
    };
    ended.map_or_else(
        |error| {
            // Where nobody reads it, the exit code has to do.
            let _unread = writeln!(std::io::stderr(), "poq-express: {error:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// The express key and the certificate.
fn identity(place: &Place) -> Result<(Sr25519, Identity)> {
    let seed = files::seed(&place.key_file)?;
    let pair = sr25519::Pair::from_seed(&seed);
    let salts = sp_crypto_hashing::blake2_256(&[SALTS, &seed].concat());
    files::make_folder(&place.folder)?;
    let identity = Identity::load_or_create(&place.folder.join("tls.pem"))?;
    Ok((Sr25519::new(pair, salts), identity))
}

fn registration(
    place: &Place,
    crypto: &Sr25519,
    identity: &Identity,
    genesis: &Hash32,
    operator: &[u8; 32],
) -> Registration {
    let endpoint = ChainEndpoint { address: place.address.clone(), tls: identity.fingerprint() };
    let consent = crypto.sign(&endpoint_consent(genesis, operator));
    Registration { endpoint, key: crypto.key(), consent }
}

async fn endpoint(args: Endpoint) -> Result<()> {
    let (crypto, identity) = identity(&args.place)?;
    let operator: subxt::utils::AccountId32 =
        args.operator.parse().ok().context("--operator is no account; give an SS58 address")?;
    let client = poq_client::Client::connect(&args.place.node).await?;
    let made = registration(&args.place, &crypto, &identity, &client.genesis(), &operator.0);
    let json = serde_json::json!({
        "address": made.endpoint.address,
        "tls": format!("0x{}", hex::encode(made.endpoint.tls)),
        "key": format!("0x{}", hex::encode(made.key)),
        "consent": format!("0x{}", hex::encode(made.consent)),
    });
    writeln!(std::io::stdout(), "{json:#}")?;
    Ok(())
}

fn account(args: &Serve) -> Result<Option<Keypair>> {
    let Some(path) = &args.account_file else { return Ok(None) };
    let uri = files::read_secret_line(path)?;
    let signer = poq_client::keypair(&uri).with_context(|| format!("{}", path.display()))?;
    Ok(Some(signer))
}

async fn serve(args: Serve) -> Result<()> {
    let (crypto, identity) = identity(&args.place)?;
    let token = files::read_secret_line(&args.engine_token_file)?;
    let (signer, metrics, closing) = (account(&args)?, Metrics::new()?, CancellationToken::new());
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("nothing can listen at {}; give another --listen", args.listen))?;
    let chain = NodeChain::start(&args.place.node, signer.clone(), closing.clone()).await?;
    let chain: Arc<dyn Chain> = Arc::new(chain);
    let genesis = chain.states().borrow().view.genesis;
    // A database for each chain: the records of one mean nothing on another. A folder in use or a full disk ends the start here.
    let disk = Arc::new(Redb::open(&args.place.folder.join(hex::encode(genesis)))?);
    let settings = args.limits.of_jobs();
    let engine = Engine::new(&args.engine, token, genesis, crypto.key(), settings, metrics.clone())?;
    check_endpoint(&args, &*chain, &crypto, &identity, signer.as_ref()).await?;
    if let Some(address) = args.metrics {
        let listener = TcpListener::bind(address).await.context("--metrics")?;
        tokio::spawn(metrics.clone().serve(listener, closing.clone()));
    }
    end_on_signal(closing.clone())?;
    tracing::info!(key = %hex::encode(crypto.key()), listen = %args.listen, "taking orders");
    let setup = Setup {
        crypto,
        identity,
        listener,
        limits: args.limits.of_orders(),
        transport: args.limits.of_transport(),
        settle: args.limits.of_settler(),
        engine,
        chain,
        disk,
        metrics,
        closing,
    };
    Ok(operate(setup).await?)
}

/// Sees to it that the chain knows this endpoint, or says what is wrong.
async fn check_endpoint(
    args: &Serve,
    chain: &dyn Chain,
    crypto: &Sr25519,
    identity: &Identity,
    signer: Option<&Keypair>,
) -> Result<()> {
    let state = chain.states().borrow().clone();
    let wanted = ChainEndpoint { address: args.place.address.clone(), tls: identity.fingerprint() };
    if state.endpoints.get(&crypto.key()) == Some(&wanted) {
        return Ok(());
    }
    match signer.filter(|_| args.register) {
        Some(signer) => {
            let operator = signer.public_key().to_account_id().0;
            let made = registration(&args.place, crypto, identity, &state.view.genesis, &operator);
            if let Err(error) = chain.set_endpoint(&made).await {
                bail!("the endpoint is not registered: {error}");
            }
            tracing::info!("the endpoint is registered: it takes orders from the next epoch on");
        }
        None => tracing::warn!(
            "the chain does not know this endpoint, so no orders will come; add --register, or register what `poq-express endpoint` prints"
        ),
    }
    Ok(())
}

fn end_on_signal(closing: CancellationToken) -> Result<()> {
    let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        closing.cancel();
    });
    Ok(())
}
