//! One node: its keys, its options, its processes.

use crate::{
    members::{Key, Member},
    process,
};
use anyhow::{bail, ensure, Context as _, Result};
use rustix::process::Signal;
use std::{
    ffi::OsString,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    net::SocketAddr,
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// What keeps a node light: eleven share a machine. Its caches are made for chains with millions of accounts.
const LIGHT: [&str; 10] = [
    "--db-cache",
    "16",
    "--trie-cache-size",
    "16777216",
    "--max-runtime-instances",
    "4",
    "--pool-limit",
    "2048",
    "--pool-kbytes",
    "20480",
];

/// How long a node has to end when it is asked to.
const FAREWELL: Duration = Duration::from_secs(30);

/// What stands in a node's log when its engine answers.
const ENGINE_ANSWERS: &str = "The engine answers at";

/// Where a node can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where it answers RPC.
    pub rpc: SocketAddr,
    /// Where other nodes find it.
    pub p2p: SocketAddr,
    /// The network namespace that it lives in, if it is not this one.
    pub namespace: Option<String>,
}

/// How a node is run, besides by whom.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `poq-node`.
    pub program: PathBuf,
    /// The chain's specification.
    pub spec: PathBuf,
    /// The folder of the models.
    pub models: PathBuf,
    /// The folder of the node's data, keys and log.
    pub folder: PathBuf,
    /// Where it can be reached.
    pub address: Address,
    /// Whom it asks for other nodes, as multiaddresses.
    pub bootnodes: Vec<String>,
    /// Options of `poq-node` besides the usual ones.
    pub options: Vec<String>,
    /// Environment variables.
    pub environment: Vec<(String, OsString)>,
}

/// A node of a network.
#[derive(Debug)]
pub struct Node {
    /// Whose it is.
    pub member: Member,
    /// How it is run.
    pub setup: Setup,
    running: Mutex<Running>,
}

/// What this program knows of the process that it started.
#[derive(Debug, Default)]
struct Running {
    /// To be waited for when it is over.
    child: Option<Child>,
    /// Where its part of the log begins, in bytes.
    log_begins: u64,
}

impl Node {
    /// A node that is not running yet, or one that another program started.
    pub fn new(member: Member, setup: Setup) -> Self {
        Self { member, setup, running: Mutex::default() }
    }

    /// What the node is called.
    pub fn name(&self) -> &str {
        &self.member.name
    }

    /// Where it answers, as `poq --url` takes it.
    pub fn url(&self) -> String {
        format!("ws://{}", self.setup.address.rpc)
    }

    /// The folder of its data: `--base-path`.
    pub fn base(&self) -> PathBuf {
        self.setup.folder.join("data")
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.setup.folder.join("node.log")
    }

    fn node_key(&self) -> PathBuf {
        self.setup.folder.join("node-key")
    }

    /// Makes its folder and its network key, once, and says by what name other nodes know it.
    ///
    /// # Errors
    /// If files cannot be written or the program does not run.
    pub fn make_network_key(&self) -> Result<String> {
        fs::create_dir_all(self.base()).with_context(|| format!("cannot make {}", self.base().display()))?;
        let file = self.node_key();
        if !file.exists() {
            let key: [u8; 32] = rand::random();
            write_secret(&file, &hex::encode(key))?;
        }
        self.run(&["key", "inspect-node-key", "--file"], &[file.as_os_str()])
    }

    /// Inserts its keys as an operator would, from files that only the owner reads and that are removed afterwards.
    ///
    /// # Errors
    /// If files cannot be written or the program refuses.
    pub fn insert_keys(&self) -> Result<()> {
        self.member.keys().into_iter().try_for_each(|key| self.insert_key(key))
    }

    fn insert_key(&self, key: Key<'_>) -> Result<()> {
        let file = self.setup.folder.join("secret");
        // Written out: a path alone would be refused, as it is where a phrase was forgotten.
        write_secret(&file, &format!("{}{}", subxt_signer::DEV_PHRASE, key.uri))?;
        let words = ["key", "insert", "--scheme", key.scheme, "--key-type", key.kind];
        let base = self.base();
        let paths = [
            "--chain".as_ref(),
            self.setup.spec.as_os_str(),
            "--base-path".as_ref(),
            base.as_os_str(),
            "--suri".as_ref(),
            file.as_os_str(),
        ];
        let inserted = self.run(&words, &paths);
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        inserted.map(|_| ())
    }

    /// Runs the program to its end; returns what it wrote.
    fn run(&self, words: &[&str], paths: &[&std::ffi::OsStr]) -> Result<String> {
        let program = &self.setup.program;
        let output = Command::new(program).args(words).args(paths).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot run {}", program.display()))?;
        let error = String::from_utf8_lossy(&output.stderr);
        let shown = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        ensure!(output.status.success(), "`poq-node {shown}` failed: {}", error.trim());
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Where other nodes find it, as a multiaddress. `peer` is what [`Node::make_network_key`] says.
    pub fn multiaddress(&self, peer: &str) -> String {
        format!("{}/p2p/{peer}", self.listens())
    }

    fn listens(&self) -> String {
        let p2p = self.setup.address.p2p;
        format!("/ip4/{}/tcp/{}", p2p.ip(), p2p.port())
    }

    /// Starts it, if it does not run.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(&self) -> Result<()> {
        self.start_with(&[])
    }

    /// Starts it with more options, if it does not run.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start_with(&self, options: &[&str]) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        let path = self.log();
        let log = File::options().create(true).append(true).open(&path);
        let log = log.with_context(|| format!("cannot write {}", path.display()))?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.log_begins = log.metadata()?.len();
        if let Some(mut gone) = running.child.take() {
            let _over = gone.try_wait();
        }
        let child = self
            .command()
            .args(options)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in a terminal is for the program that started the nodes, not for them.
            .process_group(0)
            .spawn();
        let program = self.setup.program.display();
        running.child = Some(child.with_context(|| format!("cannot start {program}"))?);
        Ok(())
    }

    fn command(&self) -> Command {
        let Setup { program, address, .. } = &self.setup;
        let mut command = match &address.namespace {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/run/netns/{namespace}")).arg("--").arg(program);
                command
            }
        };
        // Nothing of the caller's own engine or chain.
        for name in ["POQ_ENGINE", "POQ_ENGINE_TOKEN_FILE", "POQ_MODELS", "POQ_CONFIG"] {
            command.env_remove(name);
        }
        command.arg("--chain").arg(&self.setup.spec).arg("--base-path").arg(self.base());
        command.arg("--node-key-file").arg(self.node_key());
        command.args(["--name", self.name(), "--listen-addr", &self.listens()]);
        command.args(["--rpc-port", &address.rpc.port().to_string(), "--rpc-methods", "unsafe"]);
        command.args(["--no-prometheus", "--no-telemetry", "--no-mdns", "--disable-log-color"]).args(LIGHT);
        if address.namespace.is_some() {
            // The namespace's own loopback cannot be reached from here; its other links can from nowhere else.
            command.args(["--unsafe-rpc-external", "--rpc-cors", "all"]);
        }
        if !self.setup.bootnodes.is_empty() {
            command.arg("--bootnodes").args(&self.setup.bootnodes);
        }
        if self.member.is_author() {
            command.args(["--validator", "--engine", "off"]);
        } else {
            command.arg("--models").arg(&self.setup.models);
        }
        command.args(&self.setup.options);
        command.envs(self.setup.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The id of its process, if it runs, whoever started it.
    pub fn process(&self) -> Option<u32> {
        let mine = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.child.as_ref().map(Child::id)
        };
        match mine {
            Some(id) => process::runs(id).then_some(id),
            None => process::node_of(&self.base()),
        }
    }

    /// Whether its process is there, stopped or not.
    pub fn is_running(&self) -> bool {
        self.process().is_some()
    }

    /// The id of its engine's process, if it runs.
    pub fn engine(&self) -> Option<u32> {
        let children = process::children(self.process()?);
        let engine = children.iter().find(|child| child.arguments.get(1).is_some_and(|a| a == "engine"))?;
        Some(engine.id)
    }

    /// The ids of the processes of its models, one for each model that is loaded.
    pub fn runners(&self) -> Vec<u32> {
        let engine = self.engine().map(process::children).unwrap_or_default();
        engine.into_iter().map(|process| process.id).collect()
    }

    /// Whether its engine has answered since it was started.
    pub fn engine_answers(&self) -> bool {
        self.log_since_start().is_ok_and(|log| log.contains(ENGINE_ANSWERS))
    }

    /// What it has logged since it was started (or ever, if another program started it).
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn log_since_start(&self) -> Result<String> {
        let begins = self.running.lock().unwrap_or_else(PoisonError::into_inner).log_begins;
        let mut log = File::open(self.log())?;
        log.seek(SeekFrom::Start(begins))?;
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The last line of its log that says what went wrong, or just the last.
    pub fn last_words(&self) -> String {
        let log = self.log_since_start().unwrap_or_default();
        // Lines of a backtrace are indented and name errors of all kinds.
        let wrong = |line: &&str| {
            !line.starts_with(' ') && ["rror: ", "panicked"].iter().any(|mark| line.contains(mark))
        };
        let line = log.lines().rev().find(wrong).or_else(|| log.lines().last());
        line.unwrap_or("nothing").trim().to_owned()
    }

    /// Sends it a signal, and nobody else.
    pub fn signal(&self, signal: Signal) {
        if let Some(id) = self.process() {
            process::send(id, signal);
        }
    }

    /// Ends it without a chance to clean up, and waits for its end and that of its engine.
    ///
    /// # Errors
    /// If it does not end.
    pub fn kill(&self) -> Result<()> {
        let Some(id) = self.process() else { return Ok(()) };
        let engine = self.engine();
        process::send(id, Signal::KILL);
        process::wait_for_end(id, FAREWELL)?;
        engine
            .map_or(Ok(()), |engine| process::wait_for_end(engine, FAREWELL))
            .context("its engine outlives it")
    }

    /// Asks it to end and waits for it; ends it if it does not.
    ///
    /// # Errors
    /// If it cannot be ended either.
    pub fn stop(&self) -> Result<()> {
        let Some(id) = self.process() else { return Ok(()) };
        process::send(id, Signal::TERM);
        // One that was stopped does not hear anything else.
        process::send(id, Signal::CONT);
        match process::wait_for_end(id, FAREWELL) {
            Ok(()) => Ok(()),
            Err(_) => self.kill(),
        }
    }

    /// Removes the chain's database; keys, the network's identity and the engine's jobs stay.
    ///
    /// # Errors
    /// If it runs, or files cannot be removed.
    pub fn wipe_database(&self) -> Result<()> {
        if self.is_running() {
            bail!("{} runs", self.name());
        }
        let chains = self.base().join("chains");
        for chain in fs::read_dir(&chains).with_context(|| format!("cannot read {}", chains.display()))? {
            let database = chain?.path().join("paritydb");
            if database.exists() {
                fs::remove_dir_all(&database)
                    .with_context(|| format!("cannot remove {}", database.display()))?;
            }
        }
        Ok(())
    }
}

/// Writes a file that only its owner can read.
/// Writes a file that only its owner reads.
///
/// # Errors
/// If it cannot be written.
pub fn write_secret(path: &Path, secret: &str) -> Result<()> {
    let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(secret.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}
