//! Settings of the engine, in one place for both front ends.
//!
//! Every setting can be given as a flag, as an environment variable, or in a TOML file; the first of these that has it
//! wins, and what none has gets its default. In the file, `[api]` and `[engine]` hold what the flags of the same names
//! say (with `_` for `-`), `[generator."NAME"]` what concerns one model, and each `[[remote]]` is a server that does
//! the work for one model. A key that nobody knows is an error.

use crate::{
    door::DoorLimits, evaluator::precision::Precision, remote::RemoteConfig, runner::Program, token::Token,
    web,
};
use clap::ValueEnum as _;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// Port on which `poq-worker serve` listens unless told otherwise.
pub const DEFAULT_PORT: u16 = 9955;

/// Largest configuration file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

const MIB: u64 = 1024 * 1024;

/// Everything the engine needs to run.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Address to listen at. Port 0 takes any free port; [`crate::server::serve`] says which.
    pub listen: SocketAddr,
    /// Whether `listen` may be an address that other machines can reach.
    pub allow_remote: bool,
    /// Token that a caller must send.
    pub token: Token,
    /// Folder with the models; see [`crate::models`].
    pub models: PathBuf,
    /// Folder with the engine's own state: the job store, the cache of model ids, what died.
    pub data: PathBuf,
    /// Program that becomes the process of a model.
    pub program: Program,
    /// Servers that do the work for some models.
    pub remotes: Vec<RemoteConfig>,
    /// Settings of jobs.
    pub settings: Settings,
}

/// Settings of jobs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads of one generator.
    pub threads: usize,
    /// Threads of one evaluator.
    pub score_threads: usize,
    /// Answers that one generator makes at the same time.
    pub parallel: u32,
    /// Layers of a generator that go to the GPU; `None`: all of them, if there is one.
    pub gpu_layers: Option<u32>,
    /// Most tokens of prompt and answer together; a model trained on fewer keeps its own limit.
    pub context: u32,
    /// Most tokens, padding included, that an evaluator takes at once.
    pub batch_tokens: usize,
    /// The arithmetic that an evaluator may use.
    pub score_precision: Precision,
    /// Bytes that all models in memory may take together.
    pub memory: u64,
    /// Longest run of one job, after which it fails with `deadline_exceeded`.
    pub job_time: Duration,
    /// Longest time to read and check the files of a model, and again for its process to load them.
    pub load_time: Duration,
    /// Most jobs waiting or running at once, and most other requests; further ones are turned away with 429.
    pub queue_limit: usize,
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Limits of connections: their number, and the time in which a request's head, and then its body, must arrive.
    pub door: DoorLimits,
    /// Time that a finished job is kept when nobody deletes it.
    pub retention: Duration,
    /// Web origins whose pages may use the API; `*` is every one.
    pub cors_origins: Vec<String>,
    /// Settings of single generators, by name.
    pub generators: BTreeMap<String, GeneratorSection>,
}

impl Default for Settings {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, |threads| threads.get());
        Self {
            // llama.cpp's threads spin while they wait for each other, and two of them on one core are slower than one.
            threads: (processors / 2).max(1),
            // ONNX Runtime's do not.
            score_threads: processors,
            parallel: 4,
            gpu_layers: None,
            context: 4096,
            // On a processor few rows at a time are fastest: what they need stays in its caches.
            batch_tokens: 512,
            score_precision: Precision::Auto,
            memory: machine_memory() / 5 * 4,
            job_time: Duration::from_secs(600),
            load_time: Duration::from_secs(600),
            queue_limit: 1024,
            max_body_bytes: 1024 * 1024,
            door: DoorLimits { connections: 4096, of_one_peer: 2048, patience: Duration::from_secs(30) },
            retention: Duration::from_secs(7 * 24 * 3600),
            cors_origins: Vec::new(),
            generators: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// The chat template that replaces the model's own, if one is set. Errors are one line for people.
    pub fn chat_template_of(&self, name: &str) -> Result<Option<String>, String> {
        let file = self.generators.get(name).and_then(|section| section.chat_template_file.as_ref());
        file.map(|file| {
            std::fs::read_to_string(file)
                .map_err(|error| format!("chat template {}: {error}", file.display()))
        })
        .transpose()
    }
}

/// Memory of this process, in bytes: the machine's, or less if a container or a service is limited.
fn machine_memory() -> u64 {
    let machine = rustix::system::sysinfo();
    #[allow(clippy::useless_conversion)] // The fields' width depends on the platform.
    let all = u64::from(machine.totalram).saturating_mul(u64::from(machine.mem_unit));
    let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    group_limit(Path::new("/sys/fs/cgroup"), &group).map_or(all, |limit| limit.min(all))
}

/// The least limit of a control group (version 2) and of those around it; `group` is what /proc/self/cgroup says. In a
/// container its own group is the root.
fn group_limit(root: &Path, group: &str) -> Option<u64> {
    let path = group.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limit = |folder: &Path| -> Option<u64> {
        std::fs::read_to_string(root.join(folder).join("memory.max")).ok()?.trim().parse().ok()
    };
    Path::new(path).ancestors().filter_map(limit).min()
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
        /// Purpose of the folder.
        what: &'static str,
        /// The folder.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// A value is outside its range.
    #[error("{name} is {value}, and has to be {low} to {high}")]
    Range {
        /// The setting, as its flag is called.
        name: &'static str,
        /// The value that was refused.
        value: u64,
        /// The least it may be.
        low: u64,
        /// The most it may be.
        high: u64,
    },
    /// A value that should be a web origin is none.
    #[error("--cors-origins: {0:?} is no web origin; give scheme, host and port as browsers send them, for example https://chat.example.org, or *")]
    Origin(String),
    /// The configuration file cannot be read.
    #[error("configuration file {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The configuration file is not what it should be.
    #[error("configuration file {}: {error}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The fault, and its place.
        error: String,
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

/// Address at which programs of this machine reach a server that listens at `address`: one that listens everywhere is reached at loopback.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Options of the engine, from flags, environment, or the file's `[engine]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineArgs {
    /// Folder with the models: *.gguf files (generators) and folders that hold a poq.json (evaluators)
    /// [default: ~/.local/share/proof-of-quality/models]
    #[arg(long, value_name = "DIR", env = "POQ_MODELS")]
    pub models: Option<PathBuf>,

    /// Folder for jobs and caches [default: ~/.local/share/proof-of-quality/engine]
    #[arg(long, value_name = "DIR", env = "POQ_ENGINE_DATA")]
    pub data: Option<PathBuf>,

    /// Write the bundled demo models into the models folder first
    #[arg(long, env = "POQ_DEMO_MODELS")]
    pub demo_models: bool,

    /// Threads of one generator [default: half of the processor's]
    #[arg(long, value_name = "N", env = "POQ_THREADS")]
    pub threads: Option<u32>,

    /// Threads of one evaluator [default: the processor's]
    #[arg(long, value_name = "N", env = "POQ_SCORE_THREADS")]
    pub score_threads: Option<u32>,

    /// Answers that one generator makes at the same time; each takes memory for a context of its own [default: 4]
    #[arg(long, value_name = "N", env = "POQ_PARALLEL")]
    pub parallel: Option<u32>,

    /// Layers of a generator that go to the GPU [default: all, if this build can use one]
    #[arg(long, value_name = "N", env = "POQ_GPU_LAYERS")]
    pub gpu_layers: Option<u32>,

    /// Most tokens of prompt and answer together; a model trained on fewer keeps its own limit [default: 4096]
    #[arg(long, value_name = "TOKENS", env = "POQ_CONTEXT")]
    pub context: Option<u32>,

    /// Most tokens, padding included, that an evaluator takes at once; one pair is always taken [default: 512]
    #[arg(long, value_name = "TOKENS", env = "POQ_BATCH_TOKENS")]
    pub batch_tokens: Option<u32>,

    /// Arithmetic of evaluators: auto takes bf16 (OpenVINO) where it is measured at load to be faster with scores that stay
    /// within 0.001; fp32 is what the file says, always [default: auto]
    #[arg(long, value_enum, value_name = "ARITHMETIC", env = "POQ_SCORE_PRECISION")]
    pub score_precision: Option<Precision>,

    /// Memory that all loaded models may take together; the one unused for longest leaves first [default: four fifths of
    /// what machine or container has]
    #[arg(long, value_name = "MIB", env = "POQ_MEMORY_MIB")]
    pub memory_mib: Option<u64>,

    /// Seconds that one job may run [default: 600]
    #[arg(long, value_name = "SECONDS", env = "POQ_JOB_SECONDS")]
    pub job_seconds: Option<u64>,

    /// Seconds that a model's files may take to be read and checked, and then as many for its process to load them; one that
    /// takes longer is ended [default: 600]
    #[arg(long, value_name = "SECONDS", env = "POQ_LOAD_SECONDS")]
    pub load_seconds: Option<u64>,

    /// Most jobs waiting or running at once, and most other requests; further ones are told to come back later
    /// [default: 1024]
    #[arg(long, value_name = "N", env = "POQ_QUEUE_LIMIT")]
    pub queue_limit: Option<u32>,

    /// Largest request body in bytes [default: 1048576]
    #[arg(long, value_name = "BYTES", env = "POQ_MAX_BODY_BYTES")]
    pub max_body_bytes: Option<u32>,

    /// Most connections at once, and at most half of the files that may be open (`ulimit -n`) [default: 4096]
    #[arg(long, value_name = "N", env = "POQ_MAX_CONNECTIONS")]
    pub max_connections: Option<u32>,

    /// Most connections of one peer (an IPv4 address, or the 64-bit prefix of an IPv6 address); callers behind a proxy
    /// are one peer [default: 2048]
    #[arg(long, value_name = "N", env = "POQ_MAX_CONNECTIONS_PER_PEER")]
    pub max_connections_per_peer: Option<u32>,

    /// Seconds that a request's head may take to come whole, and then its body; a connection on which nothing is asked,
    /// or nothing read, for so long is closed [default: 30]
    #[arg(long, value_name = "SECONDS", env = "POQ_REQUEST_SECONDS")]
    pub request_seconds: Option<u64>,

    /// Hours that the result of a finished job is kept when nobody deletes it [default: 168]
    #[arg(long, value_name = "HOURS", env = "POQ_KEEP_HOURS")]
    pub keep_hours: Option<u64>,

    /// Configuration file; flags and environment go before it [default: ~/.config/proof-of-quality/worker.toml, if it
    /// is there]
    #[arg(long, value_name = "FILE", env = "POQ_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

/// Options of the server, from flags, environment, or the file's `[api]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiArgs {
    /// Address to listen at [default: 127.0.0.1:9955]
    #[arg(long, value_name = "ADDRESS", env = "POQ_LISTEN")]
    pub listen: Option<SocketAddr>,

    /// Allow an address that other machines can reach; traffic is not encrypted, so only in a private network
    #[arg(long, env = "POQ_ALLOW_REMOTE")]
    pub allow_remote: bool,

    /// File with the bearer token that callers must show; made, with a random token, if it is not there. The
    /// environment variable POQ_ENGINE_TOKEN, if set, holds the token itself and wins
    /// [default: ~/.local/share/proof-of-quality/engine-token]
    #[arg(long, value_name = "FILE", env = "POQ_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,

    /// Web origins whose pages may use the API from a browser, with commas between them, for example https://chat.example.org; or
    /// * for every one [default: none]
    #[arg(long, value_name = "ORIGINS", env = "POQ_CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<String>,
}

/// Settings of one generator: the file's `[generator."NAME"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeneratorSection {
    /// File with a Jinja chat template that is used instead of the model's own.
    pub chat_template_file: Option<PathBuf>,
}

/// The configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfigFile {
    /// The server.
    pub api: ApiArgs,
    /// The engine.
    pub engine: EngineArgs,
    /// Single generators, by name.
    pub generator: BTreeMap<String, GeneratorSection>,
    /// Servers that do the work for some models.
    pub remote: Vec<RemoteConfig>,
}

impl ConfigFile {
    /// Reads `path`; without one, the usual place, where there need not be a file.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let usual = usual_file();
        let (path, may_lack) = path.map_or((usual.as_path(), true), |path| (path, false));
        let text = match read_bounded(path) {
            Ok(text) => text,
            Err(error) if may_lack && error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(ConfigError::File { path: path.to_owned(), error }),
        };
        Self::parse(&text).map_err(|error| ConfigError::Toml { path: path.to_owned(), error })
    }

    /// Reads the text of a file. Errors say where and what.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.len() > MAX_FILE_BYTES {
        return Err(io::Error::other("is too large to be a configuration file"));
    }
    std::fs::read_to_string(path)
}

impl ApiArgs {
    /// The web origins whose pages may use the API, checked.
    fn checked_origins(&self) -> Result<Vec<String>, ConfigError> {
        let wrong = |origin: &&String| *origin != web::ANY_ORIGIN && !web::is_origin(origin);
        match self.cors_origins.iter().find(wrong) {
            Some(origin) => Err(ConfigError::Origin(origin.clone())),
            None => Ok(self.cors_origins.clone()),
        }
    }

    /// These, and where they are silent, `file`.
    pub fn or(self, file: Self) -> Self {
        Self {
            listen: self.listen.or(file.listen),
            allow_remote: self.allow_remote || file.allow_remote,
            token_file: self.token_file.or(file.token_file),
            cors_origins: if self.cors_origins.is_empty() { file.cors_origins } else { self.cors_origins },
        }
    }
}

impl EngineArgs {
    /// Only these folders; the rest by default.
    pub fn new(models: PathBuf, data: PathBuf) -> Self {
        Self { models: Some(models), data: Some(data), ..Self::default() }
    }

    /// These, and where they are silent, `file`.
    pub fn or(self, file: Self) -> Self {
        Self {
            models: self.models.or(file.models),
            data: self.data.or(file.data),
            demo_models: self.demo_models || file.demo_models,
            threads: self.threads.or(file.threads),
            score_threads: self.score_threads.or(file.score_threads),
            parallel: self.parallel.or(file.parallel),
            gpu_layers: self.gpu_layers.or(file.gpu_layers),
            context: self.context.or(file.context),
            batch_tokens: self.batch_tokens.or(file.batch_tokens),
            score_precision: self.score_precision.or(file.score_precision),
            memory_mib: self.memory_mib.or(file.memory_mib),
            job_seconds: self.job_seconds.or(file.job_seconds),
            load_seconds: self.load_seconds.or(file.load_seconds),
            queue_limit: self.queue_limit.or(file.queue_limit),
            max_body_bytes: self.max_body_bytes.or(file.max_body_bytes),
            max_connections: self.max_connections.or(file.max_connections),
            max_connections_per_peer: self.max_connections_per_peer.or(file.max_connections_per_peer),
            request_seconds: self.request_seconds.or(file.request_seconds),
            keep_hours: self.keep_hours.or(file.keep_hours),
            config: self.config.or(file.config),
        }
    }

    /// The options as an argument list that reads back as the same options.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |name: &str, value: Option<&OsStr>| {
            if let Some(value) = value {
                arguments.extend([name.into(), value.to_owned()]);
            }
        };
        let paths = [("--models", &self.models), ("--data", &self.data), ("--config", &self.config)];
        for (name, path) in paths {
            add(name, path.as_deref().map(Path::as_os_str));
        }
        let numbers = [
            ("--threads", self.threads.map(u64::from)),
            ("--score-threads", self.score_threads.map(u64::from)),
            ("--parallel", self.parallel.map(u64::from)),
            ("--gpu-layers", self.gpu_layers.map(u64::from)),
            ("--context", self.context.map(u64::from)),
            ("--batch-tokens", self.batch_tokens.map(u64::from)),
            ("--memory-mib", self.memory_mib),
            ("--job-seconds", self.job_seconds),
            ("--load-seconds", self.load_seconds),
            ("--queue-limit", self.queue_limit.map(u64::from)),
            ("--max-body-bytes", self.max_body_bytes.map(u64::from)),
            ("--max-connections", self.max_connections.map(u64::from)),
            ("--max-connections-per-peer", self.max_connections_per_peer.map(u64::from)),
            ("--request-seconds", self.request_seconds),
            ("--keep-hours", self.keep_hours),
        ];
        for (name, number) in numbers {
            add(name, number.map(|number| number.to_string()).as_deref().map(OsStr::new));
        }
        let precision = self.score_precision.and_then(|precision| precision.to_possible_value());
        add("--score-precision", precision.as_ref().map(|value| OsStr::new(value.get_name())));
        arguments.extend(self.demo_models.then(|| "--demo-models".into()));
        arguments
    }

    /// The models folder.
    pub fn models(&self) -> PathBuf {
        self.models.clone().unwrap_or_else(|| default_folder("models"))
    }

    /// The folder for jobs and caches.
    pub fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| default_folder("engine"))
    }

    /// The part of the options that says how jobs are done; every value is checked.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        let defaults = Settings::default();
        Ok(Settings {
            threads: size("--threads", self.threads, 1, 1024, defaults.threads)?,
            score_threads: size("--score-threads", self.score_threads, 1, 1024, defaults.score_threads)?,
            parallel: small("--parallel", self.parallel, 1, 256, defaults.parallel)?,
            gpu_layers: self.gpu_layers,
            context: small("--context", self.context, 64, 1_048_576, defaults.context)?,
            batch_tokens: size("--batch-tokens", self.batch_tokens, 16, 1_048_576, defaults.batch_tokens)?,
            score_precision: self.score_precision.unwrap_or(defaults.score_precision),
            memory: number("--memory-mib", self.memory_mib, 1, 1 << 40, defaults.memory / MIB)?
                .saturating_mul(MIB),
            job_time: Duration::from_secs(number(
                "--job-seconds",
                self.job_seconds,
                1,
                604_800,
                defaults.job_time.as_secs(),
            )?),
            load_time: Duration::from_secs(number(
                "--load-seconds",
                self.load_seconds,
                1,
                604_800,
                defaults.load_time.as_secs(),
            )?),
            queue_limit: size("--queue-limit", self.queue_limit, 0, 1_000_000, defaults.queue_limit)?,
            max_body_bytes: size(
                "--max-body-bytes",
                self.max_body_bytes,
                1024,
                64 << 20,
                defaults.max_body_bytes,
            )?,
            door: self.door(defaults.door)?,
            retention: Duration::from_secs(
                number("--keep-hours", self.keep_hours, 1, 87_600, hours(defaults.retention))?
                    .saturating_mul(3600),
            ),
            cors_origins: Vec::new(),
            generators: BTreeMap::new(),
        })
    }

    fn door(&self, defaults: DoorLimits) -> Result<DoorLimits, ConfigError> {
        let (all, peer) = (self.max_connections, self.max_connections_per_peer);
        let seconds =
            number("--request-seconds", self.request_seconds, 1, 3600, defaults.patience.as_secs())?;
        Ok(DoorLimits {
            connections: size("--max-connections", all, 1, 65_536, defaults.connections)?,
            of_one_peer: size("--max-connections-per-peer", peer, 1, 65_536, defaults.of_one_peer)?,
            patience: Duration::from_secs(seconds),
        })
    }
}

/// `value`, which has to be in this range, or the default.
fn number(
    name: &'static str,
    value: Option<u64>,
    low: u64,
    high: u64,
    default: u64,
) -> Result<u64, ConfigError> {
    match value {
        Some(value) if !(low..=high).contains(&value) => Err(ConfigError::Range { name, value, low, high }),
        Some(value) => Ok(value),
        None => Ok(default),
    }
}

fn small(
    name: &'static str,
    value: Option<u32>,
    low: u32,
    high: u32,
    default: u32,
) -> Result<u32, ConfigError> {
    number(name, value.map(u64::from), low.into(), high.into(), default.into())
        .map(|value| u32::try_from(value).unwrap_or(u32::MAX))
}

fn size(
    name: &'static str,
    value: Option<u32>,
    low: u32,
    high: u32,
    default: usize,
) -> Result<usize, ConfigError> {
    let default = u32::try_from(default).unwrap_or(u32::MAX);
    small(name, value, low, high, default).map(|value| value as usize)
}

/// Flags and file together, checked: what a front end makes its [`EngineConfig`] of.
#[derive(Clone, Debug)]
pub struct Configured {
    /// The server's options.
    pub api: ApiArgs,
    /// The engine's options.
    pub engine: EngineArgs,
    /// Servers that do the work for some models.
    pub remotes: Vec<RemoteConfig>,
    /// Settings of jobs.
    pub settings: Settings,
}

impl Configured {
    /// Puts flags (and environment) before the file that they name, or the one in the usual place.
    pub fn load(api: ApiArgs, engine: EngineArgs) -> Result<Self, ConfigError> {
        let file = ConfigFile::load(engine.config.as_deref())?;
        let (api, engine) = (api.or(file.api), engine.or(file.engine));
        let cors_origins = api.checked_origins()?;
        let settings = Settings { generators: file.generator, cors_origins, ..engine.settings()? };
        Ok(Self { api, engine, remotes: file.remote, settings })
    }

    /// The configuration of an engine that listens there.
    pub fn into_config(self, listen: SocketAddr, token: Token, program: Program) -> EngineConfig {
        EngineConfig {
            listen,
            allow_remote: self.api.allow_remote,
            token,
            models: self.engine.models(),
            data: self.engine.data(),
            program,
            remotes: self.remotes,
            settings: self.settings,
        }
    }
}

fn hours(time: Duration) -> u64 {
    time.as_secs() / 3600
}

/// `$XDG_DATA_HOME/proof-of-quality/NAME`, or the same under `~/.local/share`, or under the working folder.
pub fn default_folder(name: &str) -> PathBuf {
    home("XDG_DATA_HOME", ".local/share").join("proof-of-quality").join(name)
}

fn usual_file() -> PathBuf {
    home("XDG_CONFIG_HOME", ".config").join("proof-of-quality").join("worker.toml")
}

fn home(variable: &str, otherwise: &str) -> PathBuf {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(otherwise)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config(folder: &Path, listen: SocketAddr, allow_remote: bool) -> EngineConfig {
        EngineConfig {
            listen,
            allow_remote,
            token: Token::random(),
            models: folder.join("models"),
            data: folder.join("data"),
            program: Program { path: "none".into(), arguments: Vec::new() },
            remotes: Vec::new(),
            settings: Settings::default(),
        }
    }

    #[test]
    fn who_listens_everywhere_is_here() {
        for (listen, reach) in
            [("0.0.0.0:9955", "127.0.0.1:9955"), ("[::]:9955", "[::1]:9955"), ("10.0.0.2:1", "10.0.0.2:1")]
        {
            let (listen, reach): (SocketAddr, SocketAddr) = (listen.parse().unwrap(), reach.parse().unwrap());
            assert_eq!(reachable(listen), reach);
        }
    }

    #[test]
    fn the_least_limit_of_the_control_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let limit = |group: &str, text: &str| {
            std::fs::create_dir_all(root.path().join(group)).unwrap();
            std::fs::write(root.path().join(group).join("memory.max"), text).unwrap();
        };
        limit("", "max\n");
        assert_eq!(group_limit(root.path(), "0::/\n"), None);
        limit("system.slice", "4096\n");
        limit("system.slice/engine.service", "8192\n");
        assert_eq!(group_limit(root.path(), "1:cpu:/x\n0::/system.slice/engine.service\n"), Some(4096));
        // A container sees its own group as the root.
        limit("", "1024\n");
        assert_eq!(group_limit(root.path(), "0::/\n"), Some(1024));
        assert_eq!(group_limit(root.path(), ""), None, "no control groups");
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

    #[test]
    fn flags_go_before_the_file_and_the_file_before_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.toml");
        let text = "[api]\nlisten = \"127.0.0.1:1\"\n[engine]\nthreads = 3\nparallel = 5\n\
            [generator.\"some model\"]\nchat_template_file = \"t.jinja\"\n";
        std::fs::write(&path, text).unwrap();
        let flags = EngineArgs { threads: Some(2), config: Some(path), ..EngineArgs::default() };
        let Configured { api, settings, .. } = Configured::load(ApiArgs::default(), flags).unwrap();
        assert_eq!((settings.threads, settings.parallel, settings.context), (2, 5, 4096));
        assert_eq!(api.listen, Some(loopback(1)));
        assert!(settings.chat_template_of("some model").unwrap_err().contains("t.jinja"));
        assert_eq!(settings.chat_template_of("another"), Ok(None));
    }

    #[test]
    fn web_origins_are_checked_and_flags_go_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.toml");
        std::fs::write(&path, "[api]\ncors_origins = [\"https://a.example.org\"]\n").unwrap();
        let load = |origins: &[&str]| {
            let cors_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
            let engine = EngineArgs { config: Some(path.clone()), ..EngineArgs::default() };
            let loaded = Configured::load(ApiArgs { cors_origins, ..ApiArgs::default() }, engine);
            loaded.map(|configured| configured.settings.cors_origins).map_err(|error| error.to_string())
        };
        assert_eq!(load(&[]).unwrap(), ["https://a.example.org"]);
        assert_eq!(load(&["*"]).unwrap(), ["*"]);
        let error = load(&["https://a.example.org/"]).unwrap_err();
        assert!(error.contains("https://a.example.org/") && error.contains("--cors-origins"), "{error}");
    }

    #[test]
    fn a_file_is_read_strictly() {
        let unknown =
            ["colour = 1", "[engine]\nthread = 1", "[api]\nport = 1", "[generator.a]\nb = 1", "[other]"];
        for text in unknown {
            let error = ConfigFile::parse(text).unwrap_err();
            assert!(error.contains("unknown field"), "{text}: {error}");
        }
        assert!(ConfigFile::parse("[engine]\nthreads = \"two\"").unwrap_err().contains("line 2"));
        assert!(ConfigFile::parse("").is_ok());
        let missing = ConfigFile::load(Some(Path::new("/nowhere/worker.toml"))).unwrap_err();
        assert!(missing.to_string().contains("/nowhere/worker.toml"));
    }

    #[test]
    fn the_example_is_what_happens_without_a_file() {
        let example = ConfigFile::parse(include_str!("../worker.example.toml")).unwrap();
        let (settings, defaults) = (example.engine.settings().unwrap(), Settings::default());
        assert_eq!(
            (settings.parallel, settings.context, settings.batch_tokens, settings.job_time),
            (defaults.parallel, defaults.context, defaults.batch_tokens, defaults.job_time)
        );
        assert_eq!(
            (settings.queue_limit, settings.max_body_bytes, settings.retention),
            (defaults.queue_limit, defaults.max_body_bytes, defaults.retention)
        );
        assert_eq!(settings.door, defaults.door);
        assert_eq!(settings.score_precision, defaults.score_precision);
        assert_eq!(settings.load_time, defaults.load_time);
        assert_eq!(example.api.cors_origins, defaults.cors_origins);
        assert_eq!(example.api.listen, Some(loopback(DEFAULT_PORT)));
        assert!(!example.api.allow_remote && example.remote.is_empty() && example.generator.is_empty());
    }

    #[test]
    fn limits_are_inclusive_and_named() {
        let with_context =
            |context| EngineArgs { context: Some(context), ..EngineArgs::default() }.settings();
        assert!(with_context(64).is_ok() && with_context(1_048_576).is_ok());
        for context in [63, 1_048_577] {
            assert!(with_context(context).unwrap_err().to_string().starts_with("--context is"), "{context}");
        }
        let with_load = |load_seconds| EngineArgs { load_seconds, ..EngineArgs::default() }.settings();
        for (seconds, good) in [(0, false), (1, true), (604_800, true), (604_801, false)] {
            let outcome = with_load(Some(seconds)).map(|settings| settings.load_time);
            assert_eq!(outcome.is_ok(), good, "{outcome:?}");
        }
        let zero = EngineArgs { parallel: Some(0), ..EngineArgs::default() };
        assert!(zero.settings().is_err());
        let door = |all, peer, seconds| {
            let (max_connections, max_connections_per_peer) = (Some(all), Some(peer));
            let request_seconds = Some(seconds);
            let args = EngineArgs {
                max_connections,
                max_connections_per_peer,
                request_seconds,
                ..EngineArgs::default()
            };
            args.settings().map(|settings| settings.door).map_err(|error| error.to_string())
        };
        for (all, peer, seconds) in [(1, 1, 1), (65_536, 65_536, 3600)] {
            let limits = door(all, peer, seconds).unwrap();
            assert_eq!((limits.connections, limits.of_one_peer), (all as usize, peer as usize));
            assert_eq!(limits.patience, Duration::from_secs(seconds));
        }
        assert!(door(0, 1, 1).unwrap_err().starts_with("--max-connections is 0"));
        assert!(door(65_537, 1, 1).unwrap_err().contains("1 to 65536"));
        assert!(door(1, 0, 1).unwrap_err().starts_with("--max-connections-per-peer is 0"));
        assert!(door(1, 65_537, 1).is_err());
        assert!(door(1, 1, 0).unwrap_err().starts_with("--request-seconds is 0"));
        assert!(door(1, 1, 3601).is_err());
    }

    proptest! {
        #[test]
        fn noise_in_a_file_never_panics(noise in ".*") {
            let _ = ConfigFile::parse(&noise);
        }
    }
}
