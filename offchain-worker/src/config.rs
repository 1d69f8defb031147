//! What the engine can be told, in one place for both front ends.

use crate::token::Token;
use std::{
    ffi::{OsStr, OsString},
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

/// Port on which `poq-worker serve` listens unless told otherwise.
pub const DEFAULT_PORT: u16 = 9955;

/// Everything the engine needs to run.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where to listen. Port 0 takes any free port; [`crate::server::serve`] says which.
    pub listen: SocketAddr,
    /// Whether `listen` may be an address that other machines can reach.
    pub allow_remote: bool,
    /// What a caller must show.
    pub token: Token,
    /// Folder with the models: `*.gguf` files and folders with `model.onnx` and `tokenizer.json`.
    pub models: PathBuf,
    /// Folder with the engine's own state: the job store and the cache of model ids.
    pub data: PathBuf,
    /// How jobs are done.
    pub settings: Settings,
}

/// How jobs are done.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads of one generation, and of one scoring.
    pub threads: usize,
    /// Most tokens of prompt and answer together; a model trained on fewer keeps its own limit.
    pub context: u32,
    /// How long one job may run before it fails with `deadline_exceeded`.
    pub job_time: Duration,
    /// Most jobs waiting or running at once; further ones are turned away with 429.
    pub queue_limit: usize,
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// How long a finished job is kept when nobody deletes it.
    pub retention: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: default_threads(),
            context: 4096,
            job_time: Duration::from_secs(600),
            queue_limit: 1024,
            max_body_bytes: 1024 * 1024,
            retention: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// Why the engine cannot run as configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The address is reachable from other machines and nobody said that this is meant.
    #[error(
        "{0} can be reached from other machines and traffic is not encrypted; \
         listen on 127.0.0.1, or add --allow-remote if the network is private"
    )]
    NotLoopback(SocketAddr),
    /// A folder cannot be used.
    #[error("{what} folder {}: {error}", path.display())]
    Folder {
        /// What the folder is for.
        what: &'static str,
        /// The folder.
        path: PathBuf,
        /// What went wrong.
        error: std::io::Error,
    },
}

impl EngineConfig {
    /// Checks the address and makes the folders where they are missing.
    pub fn prepare(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() && !self.allow_remote {
            return Err(ConfigError::NotLoopback(self.listen));
        }
        for (what, path) in [("models", &self.models), ("data", &self.data)] {
            make_folder(what, path)?;
        }
        Ok(())
    }
}

fn make_folder(what: &'static str, path: &Path) -> Result<(), ConfigError> {
    std::fs::create_dir_all(path).map_err(|error| ConfigError::Folder { what, path: path.to_owned(), error })
}

/// The loopback address with `port`.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The command-line options that both front ends share.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct EngineArgs {
    /// Folder with the models: *.gguf files (generators) and folders that hold model.onnx and tokenizer.json
    /// (evaluators)
    #[arg(long, value_name = "DIR", env = "POQ_MODELS", default_value_os_t = default_folder("models"))]
    pub models: PathBuf,

    /// Folder for jobs and caches
    #[arg(long, value_name = "DIR", env = "POQ_ENGINE_DATA", default_value_os_t = default_folder("engine"))]
    pub data: PathBuf,

    /// Write the bundled demo models into the models folder first
    #[arg(long)]
    pub demo_models: bool,

    /// Threads of one generation, and of one scoring [default: half of the processor's threads]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,

    /// Most tokens of prompt and answer together; a model trained on fewer keeps its own limit
    #[arg(
        long,
        value_name = "TOKENS",
        default_value_t = Settings::default().context,
        value_parser = clap::value_parser!(u32).range(64..=1_048_576),
    )]
    pub context: u32,

    /// Seconds that one job may run
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = Settings::default().job_time.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=604_800),
    )]
    pub job_seconds: u64,

    /// Most jobs waiting or running at once; further ones are told to come back later
    #[arg(long, value_name = "N", default_value_t = Settings::default().queue_limit)]
    pub queue_limit: usize,

    /// Largest request body in bytes
    #[arg(long, value_name = "BYTES", default_value_t = Settings::default().max_body_bytes)]
    pub max_body_bytes: usize,

    /// Hours that the result of a finished job is kept when nobody deletes it
    #[arg(
        long,
        value_name = "HOURS",
        default_value_t = hours(Settings::default().retention),
        value_parser = clap::value_parser!(u64).range(1..=87_600),
    )]
    pub keep_hours: u64,
}

impl EngineArgs {
    /// The options' defaults, with these folders.
    pub fn new(models: PathBuf, data: PathBuf) -> Self {
        let Settings { context, job_time, queue_limit, max_body_bytes, retention, .. } = Settings::default();
        Self {
            models,
            data,
            demo_models: false,
            threads: None,
            context,
            job_seconds: job_time.as_secs(),
            queue_limit,
            max_body_bytes,
            keep_hours: hours(retention),
        }
    }

    /// The options as an argument list that reads back as the same options.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |name: &str, value: &OsStr| arguments.extend([name.into(), value.to_owned()]);
        add("--models", self.models.as_os_str());
        add("--data", self.data.as_os_str());
        if let Some(threads) = self.threads {
            add("--threads", threads.to_string().as_ref());
        }
        add("--context", self.context.to_string().as_ref());
        add("--job-seconds", self.job_seconds.to_string().as_ref());
        add("--queue-limit", self.queue_limit.to_string().as_ref());
        add("--max-body-bytes", self.max_body_bytes.to_string().as_ref());
        add("--keep-hours", self.keep_hours.to_string().as_ref());
        arguments.extend(self.demo_models.then(|| "--demo-models".into()));
        arguments
    }

    /// The configuration that these options stand for.
    pub fn into_config(self, listen: SocketAddr, allow_remote: bool, token: Token) -> EngineConfig {
        let settings = self.settings();
        EngineConfig { listen, allow_remote, token, models: self.models, data: self.data, settings }
    }

    /// The part of the options that says how jobs are done.
    pub fn settings(&self) -> Settings {
        Settings {
            threads: self.threads.map_or_else(default_threads, NonZeroUsize::get),
            context: self.context,
            job_time: Duration::from_secs(self.job_seconds),
            queue_limit: self.queue_limit,
            max_body_bytes: self.max_body_bytes,
            retention: Duration::from_secs(self.keep_hours.saturating_mul(3600)),
        }
    }
}

/// Half of the hardware's threads, at least one: llama.cpp's threads spin while they wait for each other, and
/// two of them on one core are slower than one.
fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |threads| (threads.get() / 2).max(1))
}

fn hours(time: Duration) -> u64 {
    time.as_secs() / 3600
}

/// `$XDG_DATA_HOME/proof-of-quality/NAME`, or the same under `~/.local/share`, or under the working folder.
pub fn default_folder(name: &str) -> PathBuf {
    let base = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share")))
        .unwrap_or_default();
    base.join("proof-of-quality").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &Path, listen: SocketAddr, allow_remote: bool) -> EngineConfig {
        EngineConfig {
            listen,
            allow_remote,
            token: Token::random(),
            models: folder.join("models"),
            data: folder.join("data"),
            settings: Settings::default(),
        }
    }

    #[test]
    fn other_machines_reach_it_only_when_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        assert!(config(folder.path(), loopback(0), false).prepare().is_ok());
        assert!(config(folder.path(), everywhere, true).prepare().is_ok());
        let error = config(folder.path(), everywhere, false).prepare().unwrap_err();
        assert!(error.to_string().contains("--allow-remote"));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("models"), "a file").unwrap();
        let error = config(folder.path(), loopback(0), false).prepare().unwrap_err();
        assert!(error.to_string().starts_with("models folder"), "{error}");
    }
}
