//! The program's commands, for `poq-express` and for a node that runs an operator's lane as its child.

use crate::{
    chain::{node::NodeChain, Chain, Endpoint as ChainEndpoint, Registration},
    config::{Endpoint, Place, Serve},
    disk::Redb,
    engine::Engine,
    files, keys,
    metrics::Metrics,
    serve::{operate, Setup},
    transport::tls::Identity,
};
use anyhow::{bail, Context as _, Result};
use poq_express::crypto::{Crypto as _, Sr25519};
use poq_primitives::{commitment::Hash32, express::messages::endpoint_consent};
use std::{
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    sync::Arc,
};
use subxt_signer::sr25519::Keypair;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Logs to standard error, as the variable `POQ_LOG` says. Once.
pub fn init_log() {
    let filter = EnvFilter::try_from_env("POQ_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
}

/// The express key and the certificate.
fn identity(place: &Place) -> Result<(Sr25519, Identity)> {
    let crypto = keys::of_seed(&files::seed(&place.key_file)?);
    files::make_folder(&place.folder)?;
    let identity = Identity::load_or_create(&place.folder.join("tls.pem"))?;
    Ok((crypto, identity))
}

fn registration(
    endpoint: ChainEndpoint,
    crypto: &Sr25519,
    genesis: &Hash32,
    operator: &[u8; 32],
) -> Registration {
    let consent = crypto.sign(&endpoint_consent(genesis, operator));
    Registration { endpoint, key: crypto.key(), consent }
}

/// `poq-express endpoint`.
///
/// # Errors
/// Files, the node, or the account are not what they should be; the text says what to do.
pub async fn endpoint(args: Endpoint) -> Result<()> {
    let (crypto, identity) = identity(&args.place)?;
    let operator: subxt::utils::AccountId32 =
        args.operator.parse().ok().context("--operator is no account; give an SS58 address")?;
    let client = poq_client::Client::connect(&args.place.node).await?;
    let endpoint = ChainEndpoint { address: args.address, tls: identity.fingerprint() };
    let made = registration(endpoint, &crypto, &client.genesis(), &operator.0);
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

/// `poq-express serve`, until `closing` is cancelled. `listening` hears where it listens, as soon as it does and long before it takes orders.
///
/// # Errors
/// As of [`endpoint`]; and whatever ends an operator's process.
pub async fn serve(
    args: Serve,
    closing: CancellationToken,
    listening: impl FnOnce(SocketAddr),
) -> Result<()> {
    let (crypto, identity) = identity(&args.place)?;
    let token = files::read_secret_line(&args.engine_token_file)?;
    let (signer, metrics) = (account(&args)?, Metrics::new()?);
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("nothing can listen at {}; give another --listen", args.listen))?;
    let listens = listener.local_addr()?;
    listening(listens);
    let chain = NodeChain::start(&args.place.node, signer.clone(), closing.clone()).await?;
    let chain: Arc<dyn Chain> = Arc::new(chain);
    let genesis = chain.states().borrow().view.genesis;
    // A database for each chain: the records of one mean nothing on another. A folder in use or a full disk ends the start here.
    let disk = Arc::new(Redb::open(&args.place.folder.join(hex::encode(genesis)))?);
    let settings = args.limits.of_jobs();
    let engine = Engine::new(&args.engine, token, genesis, crypto.key(), settings, metrics.clone())?;
    let address = match &args.address {
        Some(address) => address.clone(),
        None if listens.ip().is_unspecified() => {
            bail!("nobody can be told to come to {listens}; give --address HOST:PORT")
        }
        None => listens.to_string(),
    };
    let endpoint = ChainEndpoint { address, tls: identity.fingerprint() };
    check_endpoint(endpoint, &*chain, &crypto, signer.as_ref().filter(|_| args.register)).await?;
    if let Some(address) = args.metrics {
        let listener = TcpListener::bind(address).await.context("--metrics")?;
        tokio::spawn(metrics.clone().serve(listener, closing.clone()));
    }
    tracing::info!(key = %hex::encode(crypto.key()), listen = %listens, "taking orders");
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

/// Sees to it that the chain knows this endpoint, or says what is wrong. `signer` registers it if need be.
async fn check_endpoint(
    wanted: ChainEndpoint,
    chain: &dyn Chain,
    crypto: &Sr25519,
    signer: Option<&Keypair>,
) -> Result<()> {
    let state = chain.states().borrow().clone();
    if state.endpoints.get(&crypto.key()) == Some(&wanted) {
        return Ok(());
    }
    match signer {
        Some(signer) => {
            let operator = signer.public_key().to_account_id().0;
            let made = registration(wanted, crypto, &state.view.genesis, &operator);
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
