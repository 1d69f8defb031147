//! A real node with its real engine and the demo models, for one test at a time.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what fails here fails a test")]

use poq_client::{
    keypair,
    types::{chain::storage, ModelKind, PalletCall, Price, Reward, Windows},
    Client,
};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// When to give up waiting for something. Generous: tests never measure time.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The phrase behind the development accounts: everybody's.
pub const DEV_PHRASE: &str = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";

const POLL: Duration = Duration::from_millis(250);

/// How much of the node's log a failed test prints.
const LOG_TAIL_BYTES: u64 = 40_000;

/// A node of a development chain of its own.
pub struct Node {
    process: Child,
    port: u16,
    options: Vec<String>,
    folder: TempDir,
    // One node at a time on this machine, whatever runs the tests.
    _turn: File,
}

impl Node {
    /// Starts a node with its engine, and waits until both answer.
    pub fn start() -> Self {
        let node = Self::start_with(&[]);
        node.wait_for_engine(None);
        node
    }

    /// Starts a node with these options besides the usual ones, and waits until it answers.
    pub fn start_with(options: &[&str]) -> Self {
        let turn = take_turn();
        let folder = tempfile::Builder::new().prefix("poq-test-").tempdir().expect("a folder");
        let port = free_port();
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        let process = spawn(folder.path(), port, &options);
        let mut node = Self { process, port, options, folder, _turn: turn };
        node.wait_until_it_answers();
        node
    }

    /// Starts the node again on its data, after [`Node::kill`].
    pub fn restart(&mut self) {
        self.process = spawn(self.folder.path(), self.port, &self.options);
        self.wait_until_it_answers();
    }

    /// Kills the node, and nothing else, without a chance to clean up.
    pub fn kill(&mut self) {
        self.process.kill().expect("the node runs");
        self.process.wait().expect("the node ends");
    }

    /// Sends what Ctrl-C in a terminal sends to a node and its engine, and waits for the node's end.
    pub fn ctrl_c(&mut self, engine: u32) {
        assert!(kill("INT", &[self.process.id(), engine]), "both run");
        wait_for("the node's end", || self.process.try_wait().expect("can be asked"));
    }

    /// The process of the engine, once it is another than `not`.
    pub fn wait_for_engine(&self, not: Option<u32>) -> u32 {
        let ready = |log: &str, engine: u32| log.contains(&format!("(process {engine})"));
        wait_for("an engine that answers", || {
            let engine = self.engine().filter(|engine| Some(*engine) != not)?;
            ready(&self.log(), engine).then_some(engine)
        })
    }

    fn engine(&self) -> Option<u32> {
        let processes = fs::read_dir("/proc").expect("Linux").filter_map(Result::ok);
        let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        ids.find(|id| parent_of(*id) == Some(self.process.id()))
    }

    /// Runs `poq` against this node.
    pub fn poq(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("poq runs")
    }

    /// Starts `poq` against this node.
    pub fn poq_in_background(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("poq runs")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poq"));
        command
            .env_remove("POQ_SURI")
            .env_remove("POQ_NODE")
            .env("POQ_URL", self.url())
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs `poq --json` against this node, which must succeed.
    pub fn json(&self, args: &[&str]) -> Value {
        let output = self.poq(&[args, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "poq {args:?}: {}", text(&output.stderr));
        parse(&output.stdout)
    }

    /// How request `id` stands, if the chain knows it.
    pub fn request(&self, id: u64) -> Option<Value> {
        let output = self.poq(&["request", &id.to_string(), "--json"]);
        (output.status.code() == Some(0)).then(|| parse(&output.stdout))
    }

    /// Waits until request `id` is over.
    pub fn wait_until_closed(&self, id: u64) -> Value {
        wait_for("the request's end", || {
            self.request(id).filter(|request| !request["blocks"]["closed"].is_null())
        })
    }

    /// Waits until request `id` is in work and its making is final.
    pub fn wait_until_in_work(&self, id: u64) {
        wait_for("the draw of inference nodes", || {
            let request = self.request(id)?;
            let finalized = self.json(&["status"])["finalized_block"].as_u64()?;
            let drawn = request["state"] != "requested";
            (drawn && request["blocks"]["created"].as_u64()? <= finalized).then_some(())
        });
    }

    /// One operator, by its name.
    pub fn operator(&self, name: &str) -> Value {
        self.json(&["operators", name])
    }

    /// Asserts that money is conserved and states agree.
    pub fn assert_invariants(&self) {
        assert_eq!(self.json(&["status"])["invariants"]["ok"], true);
    }

    /// A connection without `poq`: what tests check it against, and what it cannot do.
    pub async fn client(&self) -> Client {
        Client::connect(&self.url()).await.expect("the node answers")
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Its control socket.
    pub fn socket(&self) -> String {
        self.folder.path().join("data/chains/poq_dev/control.sock").to_str().expect("is UTF-8").to_owned()
    }

    fn wait_until_it_answers(&mut self) {
        let port = self.port;
        wait_for("the node", || {
            let ended = self.process.try_wait().expect("can be asked");
            assert!(ended.is_none(), "the node ended: {}", ended.expect("is some"));
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        wait_for("the first block", || {
            let output = self.poq(&["status", "--json"]);
            let status: Value = serde_json::from_slice(&output.stdout).ok()?;
            (status["best_block"].as_u64()? > 0).then_some(())
        });
    }

    /// All that it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(log_path(self.folder.path())).expect("there is a log")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The engine ends when its node does.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the end of the node's log ---\n{}", tail(&log_path(self.folder.path())));
        }
    }
}

/// All that an account has, on hold or not, in the best block.
pub async fn total(client: &Client, uri: &str) -> u128 {
    let account = keypair(uri).expect("is a secret URI").public_key().to_account_id();
    let at = client.best().await.expect("answers");
    let stored = at.entry(storage().system().account(), (account,)).await.expect("can be asked");
    stored.map_or(0, |stored| stored.data.free + stored.data.reserved)
}

/// Registers a generator whose operators have almost no time, as sudo.
pub async fn register_hasty_generator(client: &Client, name: &str) {
    let call = PalletCall::register_model {
        id: [7; 32],
        kind: ModelKind::Generator,
        name: name.into(),
        price: Price { base: 1, per_unit: 1 },
        windows: Windows { commit: 2, reveal: 2 },
        reward: Reward { alpha: 1_000_000_000, beta: 0 },
        context: 512,
    };
    let alice = keypair("//Alice").expect("is a secret URI");
    client.sudo(call, &alice).await.expect("sudo registers a model");
}

fn spawn(folder: &Path, port: u16, options: &[String]) -> Child {
    let program = Path::new(env!("CARGO_BIN_EXE_poq")).with_file_name("poq-node");
    assert!(program.exists(), "there is no {}: run `make build` first", program.display());
    let log = File::options().create(true).append(true).open(log_path(folder)).expect("a log");
    Command::new(program)
        .args(["--dev", "--no-prometheus", "--no-telemetry", "--no-mdns", "--reserved-only", "--port", "0"])
        .args(["--rpc-port", &port.to_string()])
        .arg("--base-path")
        .arg(folder.join("data"))
        .args(options)
        .env_remove("POQ_ENGINE")
        .env_remove("POQ_MODELS")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("the node starts")
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("node.log")
}

fn tail(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        file.read_to_end(&mut bytes)
    });
    read.map_or_else(|error| error.to_string(), |_| text(&bytes))
}

fn take_turn() -> File {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("poq-node.turn");
    let file = File::options().create(true).truncate(false).write(true).open(path).expect("a file to lock");
    file.lock().expect("can be locked");
    file
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// Sends a signal to processes. `false` if one of them is not there.
pub fn kill(signal: &str, processes: &[u32]) -> bool {
    let ids: Vec<_> = processes.iter().map(u32::to_string).collect();
    // The shell's own kill is there where no other is.
    let status = Command::new("sh").args(["-c", &format!("kill -{signal} {}", ids.join(" "))]).status();
    status.expect("a shell").success()
}

/// Whether a process runs.
pub fn runs(process: u32) -> bool {
    stat(process).is_some_and(|(state, _)| state != "Z")
}

fn parent_of(process: u32) -> Option<u32> {
    stat(process).map(|(_, parent)| parent)
}

/// State and parent of a process.
fn stat(process: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// Waits until `check` returns something.
pub fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        sleep(POLL);
    }
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Bytes as JSON.
pub fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", text(bytes)))
}

/// An amount in JSON: a string of units.
pub fn amount(value: &Value) -> u128 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no amount"))
}

/// The sum of what a list of responses or members was paid.
pub fn paid(list: &Value) -> u128 {
    list.as_array().expect("is a list").iter().map(|item| amount(&item["paid"])).sum()
}
