//! `poq-worker health`.

use super::print_line;
use anyhow::{bail, Context as _};
use poq_worker::{
    api::health::Health,
    config::{loopback, reachable, ConfigFile, DEFAULT_PORT},
};
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use ureq::Agent;

/// An engine that says nothing for so long is not well.
const PATIENCE: Duration = Duration::from_secs(10);

/// Options of `poq-worker health`.
#[derive(clap::Args)]
pub struct HealthArgs {
    /// Address of the engine [default: 127.0.0.1:9955]
    #[arg(long, value_name = "ADDRESS", env = "POQ_LISTEN")]
    listen: Option<SocketAddr>,

    /// The engine's configuration file [default: ~/.config/proof-of-quality/worker.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "POQ_CONFIG")]
    config: Option<PathBuf>,
}

/// Asks the engine whether it takes requests and may have a usable model. Fails if not.
pub fn run(args: HealthArgs) -> anyhow::Result<()> {
    let file = ConfigFile::load(args.config.as_deref())?;
    let listen = args.listen.or(file.api.listen).unwrap_or_else(|| loopback(DEFAULT_PORT));
    let url = format!("http://{}/health", reachable(listen));
    let Health { status, version } = ask(&url).with_context(|| format!("the engine at {url} is not well"))?;
    print_line(format_args!("{status}: version {version}"))
}

fn ask(url: &str) -> anyhow::Result<Health> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        // The engine is near; a proxy of the environment is for what is far.
        .proxy(None)
        .build()
        .into();
    let mut response = agent.get(url).call()?;
    let status = response.status();
    let body = response.body_mut().read_to_string()?;
    if !status.is_success() {
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let why = answer.pointer("/error/message").and_then(|message| message.as_str());
        bail!("it says {status}: {}", why.unwrap_or("without a reason"));
    }
    serde_json::from_str(&body).context("what answers there is no engine of this version")
}
