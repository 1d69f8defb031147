//! Five operators' processes, a real node, a real engine with the demo's models: an order is answered, scored, agreed upon and settled, and its
//! parties are paid.

use harness::{ports, process, programs, wait_for, Engine, Node, Signal};
use poq_client::{
    keypair,
    types::chain::{express::events::ChannelOpened, storage, tx},
    Client,
};
use poq_express::crypto::{Crypto as _, Sr25519};
use poq_express_process::{
    ask::{Answer, Asker, Fallback, Setup, Terms},
    chain::{node::NodeChain, Chain, States},
    disk::Redb,
    metrics::Metrics,
};
use sp_arithmetic::Permill;
use sp_core::{sr25519, Pair as _};
use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use subxt_signer::DEV_PHRASE;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const POQ: u128 = 1_000_000_000_000;
const TOKEN: &str = "a-token-for-this-test-alone-0123456789";

/// Blocks of an epoch: room for snapshots, a seed, and orders.
const EPOCH: u32 = 12;

/// The operators of the demo that serve the strong generator and the evaluator, by their numbers.
const OPERATORS: [usize; 5] = [0, 2, 3, 4, 5];

/// An operator's process.
struct Operator {
    number: usize,
    folder: TempDir,
    address: String,
    child: Option<Child>,
}

impl Operator {
    fn new(number: usize) -> Self {
        let address = format!("127.0.0.1:{}", ports::free_one().unwrap());
        Self { number, folder: tempfile::tempdir().unwrap(), address, child: None }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn start(&mut self, node: &Node, engine: &Engine) {
        let secret = format!("{DEV_PHRASE}//PoQ//operator//{}", self.number);
        programs::write_secret(&self.path("account"), &secret).unwrap();
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_poq-express"));
        command.args(["serve", "--register", "--listen", &self.address, "--address", &self.address]);
        command.args(["--node", &node.url(), "--engine", engine.url(), "--batch-age", "1"]);
        command.arg("--engine-token-file").arg(engine.token_file());
        command.arg("--key-file").arg(self.path("key")).arg("--account-file").arg(self.path("account"));
        command.arg("--folder").arg(self.path("data"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn kill(&mut self) {
        let mut child = self.child.take().expect("runs");
        process::send(child.id(), Signal::KILL);
        child.wait().unwrap();
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            process::send(child.id(), Signal::TERM);
            let _ended = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("operator {}:\n{}", self.number, self.log());
        }
    }
}

/// A node of the development chain with short epochs of the lane.
fn start_node(folder: &Path) -> Node {
    let program = programs::find("poq-node").unwrap();
    let spec = programs::chain_spec(&program, "dev", false).unwrap();
    let mut spec: serde_json::Value = serde_json::from_slice(&spec).unwrap();
    spec["genesis"]["runtimeGenesis"]["patch"]["express"]["epochBlocks"] = EPOCH.into();
    let file = folder.join("chain.json");
    fs::write(&file, spec.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let options = ["--chain", file, "--alice", "--force-authoring", "--engine", "off", "--reserved-only"];
    let node = Node::temporary(program, options).unwrap();
    node.start().unwrap();
    node.wait_for_rpc().unwrap();
    node
}

/// The models of the demo, by name.
async fn model(client: &Client, name: &str) -> [u8; 32] {
    let models = client.best().await.unwrap().models().await.unwrap();
    models.iter().find(|model| model.name == name.as_bytes()).expect("is a model of the demo").id
}

/// What is earned and not claimed.
async fn earned(client: &Client, number: usize) -> u128 {
    let account = keypair(&format!("//PoQ//operator//{number}")).unwrap().public_key().to_account_id();
    let at = client.finalized().await.unwrap();
    at.entry(storage().express().earnings(), (account,)).await.unwrap().unwrap_or_default()
}

async fn balance(client: &Client) -> u128 {
    let at = client.finalized().await.unwrap();
    at.entry(storage().express().channels(), (0,)).await.unwrap().expect("is open").balance
}

/// Waits until an epoch has a lane for both models with so many quality validators.
async fn lane(states: &mut States, terms: &Terms, validators: usize) {
    let has_lane = |state: &Arc<poq_express_process::chain::State>| {
        let seats = |model| {
            let epoch = state.view.epochs.get(&state.view.epoch)?;
            epoch.snapshots.get(model).map(|seats| seats.len())
        };
        let is_open = state.view.channels.contains_key(&0);
        is_open && seats(&terms.generator) == Some(1) && seats(&terms.evaluator) == Some(validators)
    };
    let waited = tokio::time::timeout(Duration::from_secs(300), states.wait_for(has_lane)).await;
    waited.expect("an epoch with a lane within five minutes").unwrap();
}

async fn ask<C>(asker: &Asker<C>, terms: &Terms, question: &str) -> Answer
where
    C: poq_express::crypto::Crypto + Send + Sync + 'static,
{
    let asked = tokio::time::timeout(Duration::from_secs(300), asker.ask(terms, question.into())).await;
    let asked: Result<Answer, Fallback> = asked.expect("an answer within five minutes");
    asked.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn real_models_answer_and_score_and_the_chain_pays_them() {
    let folder = tempfile::tempdir().unwrap();
    let (node, engine) = (start_node(folder.path()), Engine::start(TOKEN).unwrap());
    let mut operators = OPERATORS.map(Operator::new);
    for operator in &mut operators {
        operator.start(&node, &engine);
    }
    for operator in &operators {
        wait_for("an operator that takes orders", || operator.log().contains("taking orders").then_some(()));
    }

    let client = Client::connect(&node.url()).await.unwrap();
    let crypto = Sr25519::new(sr25519::Pair::from_seed(&[7; 32]), [7; 32]);
    let bob = keypair("//Bob").unwrap();
    let call = tx().express().open_channel(crypto.key(), 20 * POQ, 2 * POQ, 5);
    let opened = client.submit(call, &bob).await.unwrap().event::<ChannelOpened>().unwrap();
    assert_eq!(opened.channel, 0);

    let closing = CancellationToken::new();
    let chain = NodeChain::start(&node.url(), None, closing.clone()).await.unwrap();
    let mut states = chain.states();
    let terms = Terms {
        generator: model(&client, "poq-demo-strong").await,
        evaluator: model(&client, "poq-demo-evaluator").await,
        responders: 1,
        committee: 3,
        max_tokens: 16,
        temperature_milli: 0,
        seed: 0,
        min_quality: Permill::zero(),
        budget: 2 * POQ,
        audit: None,
    };
    lane(&mut states, &terms, 4).await;
    let setup = Setup {
        crypto,
        channel: 0,
        chain: Arc::new(chain),
        disk: Arc::new(Redb::open(&folder.path().join("asker")).unwrap()),
        limits: Default::default(),
        transport: Default::default(),
        metrics: Metrics::new().unwrap(),
    };
    let asker = Asker::start(setup).await.unwrap();
    let answer = ask(&asker, &terms, "What is the capital of Peru?").await;
    let best = answer.best().unwrap();
    let text = String::from_utf8_lossy(best.text.as_deref().unwrap()).into_owned();
    assert!(text.contains("Lima"), "{text}");
    assert!(best.median() > Some(Permill::from_percent(50)), "{:?}", best.scores);

    // Settled by the operators, without the requester: money goes from the channel to who worked, and to the chain.
    let is_used = |state: &Arc<poq_express_process::chain::State>| state.is_used(&answer.name);
    let settled = tokio::time::timeout(Duration::from_secs(300), states.wait_for(is_used)).await;
    settled.expect("settled within five minutes").unwrap();
    let spent = 20 * POQ - balance(&client).await;
    let mut paid = Vec::new();
    for number in OPERATORS {
        paid.push(earned(&client, number).await);
    }
    assert!(paid[0] > 0, "who answered is paid: {paid:?}");
    assert_eq!(paid.iter().filter(|pay| **pay > 0).count(), 4, "one answered, three scored: {paid:?}");
    let all: u128 = paid.iter().sum();
    assert!(all < spent && spent <= 2 * POQ, "{all} of {spent}: the rest is the chain's");

    // An operator that was killed goes on with what is on its disk, with the same key and the same place.
    operators[0].kill();
    operators[0].start(&node, &engine);
    let again = ask(&asker, &terms, "What is the capital of France?").await;
    assert_eq!(again.name.index, answer.name.index + u32::from(again.name.epoch == answer.name.epoch));
    assert!(again.best().is_some());
    closing.cancel();
}
