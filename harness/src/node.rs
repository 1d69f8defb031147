//! One real node with its engine.

use crate::{
    logs, ports, process, programs,
    wait::{wait_until, PATIENCE},
};
use anyhow::{bail, ensure, Context as _, Result};
use rustix::process::Signal;
use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tempfile::TempDir;

/// Time that a node has to end when it is asked to, and an engine at the end of its node's value.
const FAREWELL: Duration = Duration::from_secs(30);

/// Words before the RPC address in a node's log.
const RPC: &str = "Running JSON-RPC server: addr=";

/// Addresses of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Address of its RPC; with port 0 it takes a free one, and keeps it when it is started again.
    pub rpc: SocketAddr,
    /// Address for other nodes; with port 0 it takes a free one.
    pub p2p: SocketAddr,
    /// Network namespace that it lives in, if not this one.
    pub namespace: Option<String>,
}

impl Address {
    /// Ports of this machine's loopback; 0 for any free one.
    pub fn loopback(rpc: u16, p2p: u16) -> Self {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { rpc: at(rpc), p2p: at(p2p), namespace: None }
    }
}

/// Settings of a node.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Name in messages.
    pub name: String,
    /// The program `poq-node`.
    pub program: PathBuf,
    /// Folder of its data (`data`) and its log (`node.log`).
    pub folder: PathBuf,
    /// Its addresses.
    pub address: Address,
    /// Options of `poq-node`. Besides them it gets `--base-path`, ports, `--no-telemetry` and `--no-mdns`, and
    /// `--no-prometheus` unless `--prometheus-port` is among them, and with `--dev` `--express off` unless `--express` is: seven parties of
    /// the lane are work for this machine, and transactions at the start, that few tests are about.
    pub options: Vec<OsString>,
    /// Environment variables.
    pub environment: Vec<(String, OsString)>,
    /// Whether Ctrl-C in a terminal spares it, because the program that started it ends it.
    pub own_group: bool,
}

impl Setup {
    /// A node with free ports and no options.
    pub fn new(program: impl Into<PathBuf>, folder: impl Into<PathBuf>) -> Self {
        Self {
            name: "the node".into(),
            program: program.into(),
            folder: folder.into(),
            address: Address::loopback(0, 0),
            options: Vec::new(),
            environment: Vec::new(),
            own_group: false,
        }
    }

    /// Adds options.
    pub fn add<O: Into<OsString>>(&mut self, options: impl IntoIterator<Item = O>) -> &mut Self {
        self.options.extend(options.into_iter().map(Into::into));
        self
    }

    /// Address for other nodes, as a multiaddress without a peer id.
    pub fn listens(&self) -> String {
        format!("/ip4/{}/tcp/{}", self.address.p2p.ip(), self.address.p2p.port())
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|given| given == option)
    }

    fn command(&self, rpc_port: u16) -> Command {
        let mut command = match &self.address.namespace {
            None => programs::command(&self.program),
            Some(namespace) => {
                let mut command = programs::command("nsenter");
                command.arg(format!("--net=/run/netns/{namespace}")).arg("--").arg(&self.program);
                command
            }
        };
        command.arg("--base-path").arg(self.folder.join("data"));
        command.args(["--listen-addr", &self.listens()]);
        command.args(["--no-telemetry", "--no-mdns", "--disable-log-color"]);
        if !self.has("--experimental-rpc-endpoint") {
            command.args(["--rpc-port", &rpc_port.to_string()]);
        }
        if !self.has("--prometheus-port") {
            command.arg("--no-prometheus");
        }
        if self.has("--dev") && !self.has("--express") {
            command.args(["--express", "off"]);
        }
        if self.address.namespace.is_some() {
            // The namespace's own loopback cannot be reached from here; its other links can from nowhere else.
            command.args(["--unsafe-rpc-external", "--rpc-cors", "all"]);
        }
        command.args(&self.options).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A node. Its process ends with this value, unless it was detached.
#[derive(Debug)]
pub struct Node {
    /// Its settings, in force from the next start on.
    pub setup: Setup,
    running: Mutex<Running>,
    detached: bool,
    // Removed last, after the process has ended.
    folder: Option<TempDir>,
}

/// The process that this program started.
#[derive(Debug, Default)]
struct Running {
    child: Option<Child>,
    /// Offset in bytes of its part of the log.
    log_begins: u64,
    /// Address of its RPC, once it has said so.
    rpc: Option<SocketAddr>,
}

impl Node {
    /// A node that is not running yet, or that another program started.
    pub fn new(setup: Setup) -> Self {
        Self { setup, running: Mutex::default(), detached: false, folder: None }
    }

    /// A node that is not running yet, in a temporary folder that is removed with it.
    pub fn temporary<O: Into<OsString>>(
        program: impl Into<PathBuf>,
        options: impl IntoIterator<Item = O>,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("poq-node-").tempdir()?;
        let mut node = Self::new(Setup::new(program, folder.path()));
        // Not one that the system chooses: a connection could take it while the node is started again.
        node.setup.address.rpc.set_port(ports::free_one()?);
        node.setup.add(options);
        node.folder = Some(folder);
        Ok(node)
    }

    /// Lets the process run on when this value is gone.
    pub fn detach(&mut self) {
        self.detached = true;
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Name in messages.
    pub fn name(&self) -> &str {
        &self.setup.name
    }

    /// Address of its RPC.
    pub fn rpc(&self) -> SocketAddr {
        self.running().rpc.unwrap_or(self.setup.address.rpc)
    }

    /// URL of its RPC, as `poq --url` takes it.
    pub fn url(&self) -> String {
        format!("ws://{}", self.rpc())
    }

    /// Folder of its data: `--base-path`.
    pub fn base(&self) -> PathBuf {
        self.setup.folder.join("data")
    }

    /// Folder of its chain, in that of its data.
    pub fn chain_folder(&self) -> Result<PathBuf> {
        let chains = self.base().join("chains");
        let mut found = fs::read_dir(&chains).with_context(|| format!("cannot read {}", chains.display()))?;
        Ok(found.next().with_context(|| format!("{} is empty", chains.display()))??.path())
    }

    /// Path of its control socket.
    ///
    /// # Errors
    /// If it has no data yet.
    pub fn control_socket(&self) -> Result<PathBuf> {
        Ok(self.chain_folder()?.join("control.sock"))
    }

    /// File of its log.
    pub fn log_file(&self) -> PathBuf {
        self.setup.folder.join("node.log")
    }

    /// Inserts a key into its keystore, as an operator would: by `poq-node key insert`, from a file that only the owner reads
    /// and that is removed afterwards. `kind` has four letters; `scheme` is `sr25519` or `ed25519`; `uri` is a secret URI with its
    /// phrase.
    pub fn insert_key(&self, chain: impl AsRef<OsStr>, kind: &str, scheme: &str, uri: &str) -> Result<()> {
        let file = self.setup.folder.join("secret");
        programs::write_secret(&file, uri)?;
        let (base, words) = (self.base(), ["key", "insert", "--scheme", scheme, "--key-type", kind]);
        let mut arguments: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        arguments.extend(["--chain".as_ref(), chain.as_ref(), "--base-path".as_ref(), base.as_os_str()]);
        arguments.extend([OsStr::new("--suri"), file.as_os_str()]);
        let inserted = programs::run(&self.setup.program, &arguments);
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        inserted.map(|_| ())
    }

    /// Starts it, if it does not run.
    pub fn start(&self) -> Result<()> {
        self.start_with(&[])
    }

    /// Starts it with more options, if it does not run.
    pub fn start_with(&self, options: &[&str]) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        fs::create_dir_all(self.base()).with_context(|| format!("cannot make {}", self.base().display()))?;
        let log = logs::append(&self.log_file())?;
        let mut command = self.setup.command(self.rpc().port());
        command.args(options).stdin(Stdio::null()).stdout(log.try_clone()?);
        if self.setup.own_group {
            command.process_group(0);
        }
        let mut running = self.running();
        running.log_begins = log.metadata()?.len();
        let child = command.stderr(log).spawn();
        running.child =
            Some(child.with_context(|| format!("cannot start {}", self.setup.program.display()))?);
        Ok(())
    }

    /// Waits until it answers RPC; returns where.
    ///
    /// # Errors
    /// If it ends, or does not answer within 300 seconds.
    pub fn wait_for_rpc(&self) -> Result<SocketAddr> {
        let address = wait_until("the node's RPC", || {
            self.is_alive()?;
            Ok(rpc_in(&self.log_since_start()?))
        })?;
        self.running().rpc = Some(address);
        Ok(address)
    }

    /// Waits until an engine answers whose process is another than `not`; returns the id of the process.
    ///
    /// # Errors
    /// If the node ends, or no engine answers within 300 seconds.
    pub fn wait_for_engine(&self, not: Option<u32>) -> Result<u32> {
        wait_until("an engine that answers", || {
            self.is_alive()?;
            Ok(self.engine_that_answers().filter(|engine| Some(*engine) != not))
        })
    }

    fn is_alive(&self) -> Result<()> {
        ensure!(
            self.is_running(),
            "{} ended ({}); the end of its log:\n{}",
            self.name(),
            self.exit_status().map(|status| status.to_string()).unwrap_or_default(),
            self.log_tail(logs::SHOWN)
        );
        Ok(())
    }

    /// Id of its process, if it runs, whoever started it.
    pub fn process(&self) -> Option<u32> {
        match &mut self.running().child {
            Some(child) => matches!(child.try_wait(), Ok(None)).then_some(child.id()),
            None => process::node_of(&self.base()),
        }
    }

    /// Whether its process is there, stopped or not.
    pub fn is_running(&self) -> bool {
        self.process().is_some()
    }

    /// Exit status of the process that this program started last, if it has ended.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.running().child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// Id of its engine's process, if it runs.
    pub fn engine(&self) -> Option<u32> {
        let children = process::children(self.process()?);
        let engine = children.iter().find(|child| child.arguments.get(1).is_some_and(|a| a == "engine"))?;
        Some(engine.id)
    }

    /// Id of its engine's process, if that has said that it answers.
    pub fn engine_that_answers(&self) -> Option<u32> {
        let engine = self.engine()?;
        let log = self.log_since_start().ok()?;
        log.contains(&format!("(process {engine})")).then_some(engine)
    }

    /// Ids of the processes of its models, one for each model that is loaded.
    pub fn runners(&self) -> Vec<u32> {
        let engine = self.engine().map(process::children).unwrap_or_default();
        engine.into_iter().map(|process| process.id).collect()
    }

    /// Its whole log, over all starts.
    pub fn log(&self) -> Result<String> {
        self.log_from(0)
    }

    /// Its log since it was started last (or the whole log, if another program started it).
    pub fn log_since_start(&self) -> Result<String> {
        let begins = self.running().log_begins;
        self.log_from(begins)
    }

    fn log_from(&self, begins: u64) -> Result<String> {
        let path = self.log_file();
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|mut log| {
            log.seek(SeekFrom::Start(begins))?;
            log.read_to_end(&mut bytes)
        });
        read.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The last `lines` lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        logs::tail(&self.log_file(), lines)
    }

    /// The newest line of its log since the start that tells of an error, or just the newest.
    pub fn last_words(&self) -> String {
        let log = self.log_since_start().unwrap_or_default();
        // Lines of a backtrace are indented and name errors of all kinds.
        let wrong = |line: &&str| {
            !line.starts_with(' ') && ["rror: ", "panicked"].iter().any(|mark| line.contains(mark))
        };
        let line = log.lines().rev().find(wrong).or_else(|| log.lines().last());
        line.unwrap_or("nothing").trim().to_owned()
    }

    /// Sends a signal to the node's process, and to no other.
    pub fn signal(&self, signal: Signal) {
        if let Some(id) = self.process() {
            process::send(id, signal);
        }
    }

    /// Sends a signal that ends the node, and waits for its end and that of its engine.
    ///
    /// # Errors
    /// If the node does not end within 300 seconds, or its engine outlives it by so long.
    pub fn end(&self, signal: Signal) -> Result<()> {
        self.end_within(signal, PATIENCE)
    }

    fn end_within(&self, signal: Signal, patience: Duration) -> Result<()> {
        let Some(id) = self.process() else { return Ok(()) };
        let engine = self.engine();
        process::send(id, signal);
        process::wait_for_end(id, patience)?;
        engine
            .map_or(Ok(()), |engine| process::wait_for_end(engine, patience))
            .with_context(|| format!("the engine of {} outlives it", self.name()))
    }

    /// Ends the node without a chance to clean up, and waits for its end and that of its engine.
    pub fn kill(&self) -> Result<()> {
        self.end(Signal::KILL)
    }

    /// Asks the node to end and waits for it; kills it after 30 seconds.
    pub fn stop(&self) -> Result<()> {
        let Some(id) = self.process() else { return Ok(()) };
        process::send(id, Signal::TERM);
        // A stopped process does not act on anything else.
        process::send(id, Signal::CONT);
        process::wait_for_end(id, FAREWELL).or_else(|_| self.kill())
    }

    /// Removes the chain's database; keys, the network's identity and the engine's jobs stay.
    ///
    /// # Errors
    /// If the node runs, or files cannot be removed.
    pub fn wipe_database(&self) -> Result<()> {
        if self.is_running() {
            bail!("{} runs", self.name());
        }
        let database = self.chain_folder()?.join("paritydb");
        if database.exists() {
            fs::remove_dir_all(&database).with_context(|| format!("cannot remove {}", database.display()))?;
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.detached || self.running().child.is_none() {
            return;
        }
        let engine: Vec<u32> = self.runners().into_iter().chain(self.engine()).collect();
        if self.end_within(Signal::KILL, FAREWELL).is_err() {
            engine.into_iter().for_each(|id| process::send(id, Signal::KILL));
        }
        // Asks for the exit status, so that no zombie stays.
        let _ended = self.exit_status();
        logs::show_on_panic(self.name(), &self.log_file());
    }
}

/// The first address that a node's log names for its RPC.
fn rpc_in(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once(RPC)?;
    // Only a whole line: the node may be writing it.
    let (line, _) = rest.split_once('\n')?;
    line.split([',', ' ']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(setup: &Setup) -> Vec<String> {
        setup.command(7).get_args().map(|argument| argument.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn options_replace_what_a_node_gets_otherwise() {
        let mut setup = Setup::new("poq-node", "/folder");
        let usual = arguments(&setup);
        assert!(usual.windows(2).any(|pair| pair == ["--rpc-port", "7"]), "{usual:?}");
        assert!(usual.contains(&"--no-prometheus".into()), "{usual:?}");
        setup.add(["--prometheus-port", "9", "--experimental-rpc-endpoint", "listen-addr=127.0.0.1:0"]);
        let given = arguments(&setup);
        assert!(
            !given.iter().any(|option| option == "--rpc-port" || option == "--no-prometheus"),
            "{given:?}"
        );
    }

    #[test]
    fn the_rpc_address_is_read_from_a_whole_line() {
        let found = |log| rpc_in(log).map(|address| address.port());
        assert_eq!(found("Running JSON-RPC server: addr=127.0.0.1:9944,\n"), Some(9944));
        assert_eq!(found("x\nRunning JSON-RPC server: addr=127.0.0.1:5,[::1]:6\ny\n"), Some(5));
        assert_eq!(found("Running JSON-RPC server: addr=127.0.0.1:99"), None);
        assert_eq!(found("starting\n"), None);
    }

    #[test]
    fn a_process_that_ends_too_early_is_told_with_its_log() {
        let node = Node::temporary("/bin/sh", ["-c", "nothing"]).unwrap();
        node.start().unwrap();
        let error = node.wait_for_rpc().unwrap_err().to_string();
        assert!(error.starts_with("the node ended (exit status: "), "{error}");
        assert!(!node.is_running() && node.exit_status().is_some());
        let missing = Node::temporary("/no/such/poq-node", [""; 0]).unwrap();
        assert_eq!(missing.start().unwrap_err().to_string(), "cannot start /no/such/poq-node");
    }
}
