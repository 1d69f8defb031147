//! A node, a history, and questions to both.

use harness::{wait_for, Node, Turn};
use poq_client::{
    types::{ModelKind, RequestView, Sampling, Terms},
    Client,
};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStdout, Command, Output, Stdio},
};

/// A node that keeps the state of all blocks, and the turn of this test.
pub fn node() -> (Node, Turn) {
    let turn = Turn::take(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = harness::programs::find("poq-node").unwrap();
    let node = Node::temporary(program, ["--dev", "--reserved-only", "--state-pruning", "archive"]).unwrap();
    node.start().unwrap();
    node.wait_for_rpc().unwrap();
    node.wait_for_engine(None).unwrap();
    (node, turn)
}

/// Asks a question of two generators as Alice, and waits for its end.
pub async fn ask(node: &Node, question: &str) -> RequestView {
    let mut client = Client::connect(&node.url()).await.unwrap();
    let at = client.best().await.unwrap();
    let models = at.models().await.unwrap();
    let of = |kind: ModelKind| {
        models
            .iter()
            .filter(move |model| model.kind == kind && !model.roster.is_empty())
            .map(|model| model.id)
    };
    let mut terms = Terms {
        generators: of(ModelKind::Generator).collect(),
        evaluator: of(ModelKind::Evaluator).next().unwrap(),
        sampling: Sampling { max_tokens: 32, temperature_milli: 0, seed: 0 },
        responders: 2,
        committee: 3,
        min_quality: 0,
        budget: 0,
        audit: [7; 32],
    };
    terms.budget = at.estimate_budget(&terms).await.unwrap().total();
    let alice = poq_client::keypair("//Alice").unwrap();
    let asked = client.ask(question, terms, &alice).await.unwrap();
    client.follow(&asked, |_| ()).await.unwrap()
}

/// The program, with `arguments` and without a caller's environment.
fn command(database: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poq-history"));
    for name in ["POQ_URL", "POQ_HISTORY_DATABASE", "POQ_HISTORY_LISTEN"] {
        command.env_remove(name);
    }
    command.args(arguments).args(["--database", database]).stdin(Stdio::null());
    command
}

/// Runs a command of the program to its end.
pub fn run(database: &str, arguments: &[&str]) -> Output {
    command(database, arguments).output().expect("poq-history runs")
}

/// What `poq-history digest` prints.
pub fn digest(database: &str) -> String {
    let output = run(database, &["digest"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A running history.
pub struct History {
    child: Child,
    // Open as long as the history.
    _output: BufReader<ChildStdout>,
    url: String,
    http: reqwest::Client,
}

impl Drop for History {
    fn drop(&mut self) {
        // It may be dead already.
        let _dead = self.child.kill();
        let _dead = self.child.wait();
    }
}

impl History {
    /// Starts a history of the node at `url`, and waits until it says where it is.
    pub fn start(url: &str, database: &str) -> Self {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let mut child = command(database, &["--url", url, "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("poq-history runs");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let place =
            line.trim_end().strip_prefix("poq-history: ").unwrap_or_else(|| panic!("it says {line:?}"));
        let url = place.strip_suffix("/v1").unwrap().to_owned();
        Self { child, _output: output, url, http: reqwest::Client::new() }
    }

    /// What `poq-history health` says of it: code and text.
    pub fn health(&self) -> (Option<i32>, String) {
        let address = self.url.strip_prefix("http://").unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_poq-history"))
            .args(["--listen", address, "health"])
            .output()
            .expect("poq-history runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end, and returns what it said of it.
    pub fn last_words(mut self) -> String {
        wait_for("the end of poq-history", || self.child.try_wait().unwrap());
        let mut words = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        words
    }

    /// The response to a question.
    pub async fn response(&self, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.url)).send().await.expect("it answers")
    }

    /// The response to a question with a header.
    pub async fn response_with(&self, path: &str, name: &'static str, value: &str) -> Response {
        self.http.get(format!("{}{path}", self.url)).header(name, value).send().await.expect("it answers")
    }

    /// The answer to a question.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = self.response(path).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Waits until it has read a request's end.
    pub async fn ended(&self, id: u64) -> Value {
        self.until(&format!("the end of request {id}"), async || {
            let (status, request) = self.get(&format!("/v1/requests/{id}")).await;
            (status == 200 && request["state"] != "requested").then_some(request)
        })
        .await
    }

    /// Waits for something.
    pub async fn until<T>(&self, what: &str, check: impl AsyncFn() -> Option<T>) -> T {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(300);
        loop {
            if let Some(found) = check().await {
                return found;
            }
            assert!(std::time::Instant::now() < end, "no {what}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}
