//! `poq-worker serve`.

use super::install_demo_models_if_asked;
use anyhow::Context as _;
use poq_worker::{
    config::{default_folder, loopback, ApiArgs, Configured, EngineArgs, DEFAULT_PORT},
    logging,
    runner::Program,
    server,
    token::Token,
};
use tokio::signal::unix::{signal, SignalKind};

/// Options of `poq-worker serve`.
#[derive(clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    api: ApiArgs,

    #[command(flatten)]
    engine: EngineArgs,
}

/// Serves until a signal says to stop.
pub fn run(args: ServeArgs) -> anyhow::Result<()> {
    logging::init(logging::SERVER_FILTER);
    let configured = Configured::load(args.api, args.engine)?;
    let token = token(&configured)?;
    install_demo_models_if_asked(&configured)?;
    let listen = configured.api.listen.unwrap_or_else(|| loopback(DEFAULT_PORT));
    let config = configured.into_config(listen, token, Program::this()?);
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let shutdown = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        let (ready, _) = tokio::sync::oneshot::channel();
        anyhow::Ok(server::serve(config, shutdown, ready).await?)
    });
    // A job that does not stop must not keep the process.
    runtime.shutdown_background();
    outcome
}

fn token(configured: &Configured) -> anyhow::Result<Token> {
    if let Ok(token) = std::env::var("POQ_ENGINE_TOKEN") {
        return token.parse().context("POQ_ENGINE_TOKEN");
    }
    let file = configured.api.token_file.clone().unwrap_or_else(|| default_folder("engine-token"));
    tracing::info!(file = %file.display(), "callers need the token in this file");
    Ok(Token::load_or_create(&file)?)
}
