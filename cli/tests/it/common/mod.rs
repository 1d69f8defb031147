//! A real node with its real engine and the demo models.

pub mod examples;

pub use harness::wait_for;
use harness::Turn;
use poq_client::{
    keypair,
    types::{chain::storage, ModelKind, PalletCall, Price, Reward, Windows},
    Client,
};
use serde_json::Value;
use std::{
    ops::Deref,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};
pub use subxt_signer::DEV_PHRASE;

/// A node of a development chain of its own.
pub struct Node {
    node: harness::Node,
    _turn: Turn,
}

/// The specification of the development chain with another genesis.
fn development(change: impl FnOnce(&mut Value)) -> tempfile::NamedTempFile {
    let spec = harness::programs::chain_spec(&program(), "dev", false).unwrap();
    let mut spec = parse(&spec);
    change(&mut spec["genesis"]["runtimeGenesis"]["patch"]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    serde_json::to_writer(&mut file, &spec).unwrap();
    file
}

impl Deref for Node {
    type Target = harness::Node;

    fn deref(&self) -> &Self::Target {
        &self.node
    }
}

impl Node {
    /// Starts a node with its engine, and waits until both answer.
    pub fn start() -> Self {
        let node = Self::start_with(&[]);
        node.wait_for_engine(None).unwrap();
        node
    }

    /// Starts a node with these options besides the usual ones, and waits for its first block.
    pub fn start_with(options: &[&str]) -> Self {
        Self::start_as(&[&["--dev", "--reserved-only"], options].concat())
    }

    /// Starts a node that others may connect to, browsers too, with its engine, and waits until both answer.
    pub fn start_for_peers() -> Self {
        let node = Self::start_as(&["--dev", "--listen-addr", "/ip4/127.0.0.1/tcp/0/ws"]);
        node.wait_for_engine(None).unwrap();
        node
    }

    /// Starts a node of the development chain with another genesis, without an engine, and waits for its first block.
    pub fn start_from(change: impl FnOnce(&mut Value)) -> Self {
        let file = development(change);
        let file = file.path().to_str().expect("is UTF-8");
        Self::start_as(&[
            "--chain",
            file,
            "--alice",
            "--force-authoring",
            "--engine",
            "off",
            "--reserved-only",
        ])
    }

    /// Starts a node with its engine and the demo's operators on the express lane, whose epochs have so many blocks.
    pub fn start_with_lane(epoch_blocks: u32) -> Self {
        let file = development(|genesis| genesis["express"]["epochBlocks"] = epoch_blocks.into());
        let file = file.path().to_str().expect("is UTF-8");
        let node = Self::start_with(&["--chain", file, "--express", "auto"]);
        node.wait_for_engine(None).unwrap();
        node
    }

    fn start_as(options: &[&str]) -> Self {
        let turn = Turn::take(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let node =
            Self { node: harness::Node::temporary(program(), options.iter().copied()).unwrap(), _turn: turn };
        node.restart();
        node
    }

    /// Starts the node again on its data, if it does not run, and waits for its first block.
    pub fn restart(&self) {
        self.node.start().unwrap();
        self.wait_for_rpc().unwrap();
        wait_for("the first block", || {
            let output = self.poq(&["status", "--json"]);
            let status: Value = serde_json::from_slice(&output.stdout).ok()?;
            (status["best_block"].as_u64()? > 0).then_some(())
        });
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

    /// Request `id`, if the chain knows it.
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

    /// A connection of the client library, to check `poq` against and for calls that it does not have.
    pub async fn client(&self) -> Client {
        Client::connect(&self.url()).await.expect("the node answers")
    }

    /// Path of its control socket.
    pub fn socket(&self) -> String {
        self.control_socket().unwrap().to_str().expect("is UTF-8").to_owned()
    }
}

/// Balance of an account in the best block, holds included.
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

/// The program `poq-node`.
pub fn program() -> PathBuf {
    harness::programs::find("poq-node").unwrap()
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

/// Sum of the pay of a list of responses or members.
pub fn paid(list: &Value) -> u128 {
    list.as_array().expect("is a list").iter().map(|item| amount(&item["paid"])).sum()
}

/// Phases that a program told of while a request ran to its settlement, by the last word of each line; the end is the last of them.
///
/// Which there are besides depends on the machine: a program follows a request once its block is best or final, and meanwhile the
/// request goes on.
pub fn told_phases(progress: &str) -> Vec<&str> {
    const PHASES: [&str; 8] = [
        "requested",
        "answering",
        "revealinganswers",
        "selecting",
        "scoring",
        "revealingscores",
        "settled",
        "refunded",
    ];
    let is_phase = |word: &&str| PHASES.contains(&word.replace('_', "").to_lowercase().as_str());
    let told: Vec<_> = progress.lines().filter_map(|line| line.rsplit(' ').next()).filter(is_phase).collect();
    assert!(told.last().is_some_and(|last| last.eq_ignore_ascii_case("settled")), "{progress}");
    told
}
