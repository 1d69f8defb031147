//! A `--dev` node as a user starts it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails a test"
)]

use codec::Decode as _;
use poq_primitives::keys::{EngineEndpoint, ENGINE_ENDPOINT_KEY};
use serde_json::{json, Value};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc,
    time::Duration,
};
use tempfile::TempDir;

/// How long to wait for anything: far more than it takes, because test machines are busy.
const PATIENCE: Duration = Duration::from_secs(180);

struct Node {
    process: Child,
    rpc: SocketAddr,
    _folder: TempDir,
}

impl Node {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_poq-node"))
            .args([
                "--dev",
                "--rpc-port",
                "0",
                "--port",
                "0",
                "--no-prometheus",
                "--no-telemetry",
                "--base-path",
            ])
            .arg(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let rpc = rpc_address(process.stderr.take().unwrap());
        Self { process, rpc, _folder: folder }
    }

    /// The result of an RPC.
    fn call(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let mut stream = TcpStream::connect(self.rpc).unwrap();
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len(),
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut reply: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}"));
        assert_eq!(reply.get("error"), None, "{method}");
        reply["result"].take()
    }

    fn finalized(&self) -> u64 {
        let hash = self.call("chain_getFinalizedHead", json!([]));
        let header = self.call("chain_getHeader", json!([hash]));
        u64::from_str_radix(header["number"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }

    /// Where the driver is told to find the engine.
    fn engine(&self) -> Option<SocketAddr> {
        let key = format!("0x{}", hex(ENGINE_ENDPOINT_KEY));
        let value = self.call("offchain_localStorageGet", json!(["PERSISTENT", key]));
        let bytes = sp_core::bytes::from_hex(value.as_str()?).unwrap();
        let endpoint = EngineEndpoint::decode(&mut &bytes[..]).unwrap();
        Some(endpoint.url.strip_prefix("http://").unwrap().parse().unwrap())
    }

    /// Ends the node as SIGTERM or SIGKILL would, and waits for its end.
    fn end(&mut self, signal: &str) {
        let killed = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(killed.success());
        self.process.wait().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _already_waited = self.process.wait();
    }
}

/// Reads the log on until it says where the node answers; the rest goes to the test's own.
fn rpc_address(log: ChildStderr) -> SocketAddr {
    let (found, address) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            eprintln!("{line}");
            if let Some((_, rest)) = line.split_once("Running JSON-RPC server: addr=") {
                let end = rest.find([',', ' ']).unwrap_or(rest.len());
                let _already_found = found.send(rest[..end].parse().unwrap());
            }
        }
    });
    address.recv_timeout(PATIENCE).expect("the node starts")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let begun = std::time::Instant::now();
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn it_finalizes_blocks_and_its_engine_ends_with_it() {
    for signal in ["-TERM", "-KILL"] {
        let mut node = Node::start();
        let engine = wait_for("the engine", || node.engine());
        wait_for("its answer", || TcpStream::connect(engine).ok());
        wait_for("a finalized block", || (node.finalized() >= 2).then_some(()));
        node.end(signal);
        wait_for("the engine's end", || TcpStream::connect(engine).is_err().then_some(()));
    }
}
