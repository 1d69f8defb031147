//! A node, a gateway, and a client of OpenAI's API.

use harness::{wait_for, Turn};
use poq_client::{types::RequestView, Client};
use reqwest::{header::HeaderMap, RequestBuilder, StatusCode};
use serde_json::{json, Value};
use std::{
    io::{BufRead as _, BufReader},
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
};
use tempfile::TempDir;

/// A node of a development chain of its own.
pub struct Node {
    node: harness::Node,
    _turn: Turn,
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
        let turn = Turn::take(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let program = harness::programs::find("poq-node").unwrap();
        let node = harness::Node::temporary(program, ["--dev", "--reserved-only"]).unwrap();
        let node = Self { node, _turn: turn };
        node.restart();
        node
    }

    /// Starts the node again on its data, if it does not run.
    pub fn restart(&self) {
        self.node.start().unwrap();
        self.wait_for_rpc().unwrap();
        self.wait_for_engine(None).unwrap();
    }

    /// A connection of the client library.
    pub async fn client(&self) -> Client {
        Client::connect(&self.url()).await.expect("the node answers")
    }

    /// All requests on the chain.
    pub async fn requests(&self) -> Vec<RequestView> {
        let at = self.client().await.best().await.unwrap();
        let mut all = Vec::new();
        while let Some(request) = at.request(all.len() as u64).await.unwrap() {
            all.push(request);
        }
        all
    }
}

/// A running gateway.
pub struct Gateway {
    child: Child,
    // Open as long as the gateway, which would not survive to write into a closed one.
    _output: BufReader<ChildStdout>,
    folder: PathBuf,
    url: String,
    /// The first API key.
    pub key: String,
    http: reqwest::Client,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A new folder.
pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The program, with `arguments` and without a caller's environment.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poq-gateway"));
    for name in [
        "POQ_URL",
        "POQ_GENESIS",
        "POQ_GATEWAY_DATA",
        "POQ_GATEWAY_LISTEN",
        "POQ_GATEWAY_SURI_FILE",
        "POQ_GATEWAY_CAP",
    ] {
        command.env_remove(name);
    }
    command.env_remove("POQ_GATEWAY_CAP_A_DAY").args(arguments).stdin(Stdio::null());
    command
}

impl Gateway {
    /// Starts a gateway that pays with Alice's key, and waits until it says where it is.
    pub fn start(node: &Node, folder: &Path, options: &[&str]) -> Self {
        Self::start_as(node, folder, &[&["--dev"], options].concat())
    }

    /// Starts a gateway with these options.
    pub fn start_as(node: &Node, folder: &Path, options: &[&str]) -> Self {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let mut child = command(options)
            .args(["--url", &node.url(), "--listen", "127.0.0.1:0", "--data"])
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("poq-gateway runs");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let (place, account, keys) = (line(), line(), line());
        let url =
            place.strip_prefix("poq-gateway: ").unwrap_or_else(|| panic!("it says {place:?}")).to_owned();
        assert!(account.starts_with("account: 5"), "{account}");
        let key = keys.strip_prefix("API key: ").unwrap_or_default().to_owned();
        let http = reqwest::Client::new();
        Self { child, _output: output, folder: folder.to_owned(), url, key, http }
    }

    /// Kills the gateway.
    pub fn kill(&mut self) {
        // It may be dead already.
        let _dead = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Kills the gateway and starts another one on its data, with the same key.
    pub fn restart(&mut self, node: &Node) {
        self.kill();
        let key = self.key.clone();
        let folder = self.folder.clone();
        *self = Self::start(node, &folder, &[]);
        self.key = key;
    }

    /// Runs `poq-gateway keys` on its folder.
    pub fn keys(&self, arguments: &[&str]) -> Output {
        command(&["keys"]).args(arguments).arg("--data").arg(&self.folder).output().expect("poq-gateway runs")
    }

    /// Runs `poq-gateway health` on it.
    pub fn health(&self) -> Output {
        let address = self.url.strip_prefix("http://").and_then(|rest| rest.split('/').next());
        let address = address.expect("it is HTTP");
        command(&["health", "--listen", address]).output().expect("poq-gateway runs")
    }

    /// Makes a key with these limits.
    pub fn new_key(&self, arguments: &[&str]) -> String {
        let made = self.keys(&[&["create"], arguments].concat());
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// A question to `path`.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.get_with(path, &self.key)
    }

    /// A question to `path` with this key.
    pub fn get_with(&self, path: &str, key: &str) -> RequestBuilder {
        self.http.get(self.url.replace("/v1", "") + path).bearer_auth(key)
    }

    /// A body for `path`.
    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        let request = self.http.post(self.url.replace("/v1", "") + path).bearer_auth(&self.key);
        request.header("content-type", "application/json").body(body.to_string())
    }

    /// Asks a chat question.
    pub async fn chat(&self, body: &Value) -> (StatusCode, Value) {
        answer(self.post("/v1/chat/completions", body)).await
    }

    /// The key's orders, the newest first.
    pub async fn orders(&self) -> Vec<Value> {
        let (status, list) = answer(self.get("/v1/requests")).await;
        assert_eq!(status, 200, "{list}");
        list["data"].as_array().unwrap().clone()
    }
}

/// Status and JSON of an answer.
pub async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let (status, _, body) = full_answer(request).await;
    (status, body)
}

/// Status, headers and JSON of an answer.
pub async fn full_answer(request: RequestBuilder) -> (StatusCode, HeaderMap, Value) {
    let response = request.send().await.expect("the gateway answers");
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (status, headers, body)
}

/// A question with the usual numbers.
pub fn question(text: &str) -> Value {
    json!({
        "model": "poq-demo-strong",
        "messages": [{ "role": "user", "content": text }],
        "max_tokens": 32,
        "temperature": 0,
        "poq": { "responders": 1, "committee": 3 },
    })
}

/// Waits until `check` says something.
pub async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    // The same patience as in all tests: 300 seconds.
    for _ in 0..3000 {
        if let Some(found) = check().await {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("waited 300 s in vain for {what}")
}

/// Waits for the end of a process.
pub fn wait_for_end(child: &mut Child) -> std::process::ExitStatus {
    wait_for("the end of a gateway", || child.try_wait().unwrap())
}

/// The `data` of the events of a stream, and its comments.
pub fn events(text: &str) -> (Vec<String>, Vec<String>) {
    let of = |prefix: &str| {
        text.lines()
            .filter_map(|line| line.strip_prefix(prefix))
            .map(|line| line.trim().to_owned())
            .collect::<Vec<_>>()
    };
    (of("data:"), of(":"))
}
