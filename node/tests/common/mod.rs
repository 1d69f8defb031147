//! A real node for a test: started as a user would, spoken to over RPC, its log read line by line.

#![allow(dead_code, reason = "each test program uses its part")]
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
use sp_core::{sr25519, Pair as _};
use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};
use tempfile::TempDir;
use tungstenite::{client::IntoClientRequest as _, HandshakeError, Message, WebSocket};

/// How long to wait for anything: far more than it takes, because test machines are busy.
const PATIENCE: Duration = Duration::from_secs(240);

/// A node, which ends with the test.
pub struct Node {
    process: Child,
    rpc: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    folder: TempDir,
}

impl Node {
    /// A whole network in one process tree.
    pub fn dev(options: &[&str]) -> Self {
        Self::start(&[&["--dev"], options].concat())
    }

    /// A node with these options besides those that keep it to itself.
    pub fn start(options: &[&str]) -> Self {
        Self::with_rpc(&["--rpc-port", "0"], options)
    }

    /// A node that answers RPC at these endpoints; the first is where it is spoken to.
    pub fn with_doors(options: &[&str], endpoints: &[&str]) -> Self {
        let rpc = endpoints.iter().flat_map(|endpoint| ["--experimental-rpc-endpoint", endpoint]);
        Self::with_rpc(&rpc.collect::<Vec<_>>(), options)
    }

    /// A node on the data of one that has ended.
    pub fn again(mut before: Self, options: &[&str]) -> Self {
        let folder = std::mem::replace(&mut before.folder, TempDir::new().unwrap());
        Self::on(folder, &["--rpc-port", "0"], options)
    }

    fn with_rpc(rpc: &[&str], options: &[&str]) -> Self {
        Self::on(TempDir::new().unwrap(), rpc, options)
    }

    fn on(folder: TempDir, rpc: &[&str], options: &[&str]) -> Self {
        let mut command = program();
        command.args(rpc).args(["--port", "0", "--no-mdns", "--no-telemetry", "--base-path"]);
        if !options.contains(&"--prometheus-port") {
            command.arg(folder.path()).arg("--no-prometheus");
        } else {
            command.arg(folder.path());
        }
        let mut process = command.args(options).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::default();
        let reader = Some(read(process.stderr.take().unwrap(), Arc::clone(&log)));
        let address = wait_for("the node's RPC", || {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "the node ended: {ended:?}");
            let lines = log.lock().unwrap();
            let (_, rest) =
                lines.iter().find_map(|line: &String| line.split_once("Running JSON-RPC server: addr="))?;
            let end = rest.find([',', ' ']).unwrap_or(rest.len());
            Some(rest[..end].parse().unwrap())
        });
        Self { process, rpc: address, log, reader, folder }
    }

    /// The folder of its data.
    pub fn base(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of its chain.
    pub fn chain(&self) -> PathBuf {
        let mut chains = std::fs::read_dir(self.base().join("chains")).unwrap();
        chains.next().unwrap().unwrap().path()
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it answers RPC.
    pub fn rpc(&self) -> SocketAddr {
        self.rpc
    }

    /// The result of an RPC.
    pub fn call(&self, method: &str, params: Value) -> Value {
        let (head, mut reply) = self.post(&[], method, params);
        assert_eq!(reply.get("error"), None, "{method}: {head}");
        reply["result"].take()
    }

    /// Its control socket.
    pub fn control(&self) -> PathBuf {
        self.chain().join("control.sock")
    }

    /// The result of an RPC that is for the operator's own tools.
    pub fn command(&self, method: &str, params: Value) -> Value {
        let mut reply = command(&self.control(), method, params);
        assert_eq!(reply.get("error"), None, "{method}");
        reply["result"].take()
    }

    /// The head and the body of the answer to an RPC by HTTP with these headers.
    pub fn post(&self, headers: &[(&str, &str)], method: &str, params: Value) -> (String, Value) {
        let (head, answer) = post(self.rpc, headers, &call(method, params).to_string());
        let reply = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("no JSON: {head} {answer}"));
        (head, reply)
    }

    /// A WebSocket whose handshake has these headers, or the HTTP status that refused it.
    pub fn websocket(&self, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
        let mut request = format!("ws://{}/", self.rpc).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(self.rpc).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(HandshakeError::Failure(tungstenite::Error::Http(answer))) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Number of the newest finalized block.
    pub fn finalized(&self) -> u64 {
        let hash = self.call("chain_getFinalizedHead", json!([]));
        let header = self.call("chain_getHeader", json!([hash]));
        u64::from_str_radix(header["number"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }

    /// Where the driver is told to find the engine, and its token.
    pub fn engine(&self) -> Option<(SocketAddr, String)> {
        let key = format!("0x{}", hex(ENGINE_ENDPOINT_KEY));
        let value = self.command("offchain_localStorageGet", json!(["PERSISTENT", key]));
        let bytes = sp_core::bytes::from_hex(value.as_str()?).unwrap();
        let endpoint = EngineEndpoint::decode(&mut &bytes[..]).unwrap();
        let address = endpoint.url.strip_prefix("http://").unwrap().parse().unwrap();
        Some((address, endpoint.token))
    }

    /// Inserts the sr25519 key of a secret URI.
    pub fn insert_key(&self, kind: &str, uri: &str) {
        let pair = sr25519::Pair::from_string(uri, None).unwrap();
        self.command("author_insertKey", json!([kind, uri, format!("0x{}", hex(&pair.public().0))]));
    }

    /// All that was logged.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The first line of the log with all these words, once it is there.
    pub fn wait_for_line(&self, words: &[&str]) -> String {
        wait_for(&format!("a line with {words:?}"), || {
            self.log().into_iter().find(|line| words.iter().all(|word| line.contains(word)))
        })
    }

    /// How many lines have all these words.
    pub fn count_lines(&self, words: &[&str]) -> usize {
        self.log().iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// Ends the node as SIGTERM or SIGKILL would, and waits for its end.
    pub fn end(&mut self, signal: &str) -> ExitStatus {
        let killed = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(killed.success());
        self.process.wait().unwrap()
    }

    /// All that was logged, to the end. The node and its engine have been told to stop.
    pub fn whole_log(mut self) -> Vec<String> {
        self.reader.take().unwrap().join().unwrap();
        self.log()
    }
}

/// A WebSocket to a node.
pub struct Socket(WebSocket<TcpStream>);

impl Socket {
    /// The answer to an RPC.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(call(method, params));
        loop {
            let message = self.next();
            if message.get("id").is_some() {
                return message;
            }
        }
    }

    /// Sends a call, or something else.
    pub fn send(&mut self, call: Value) {
        self.0.send(Message::text(call.to_string())).unwrap();
    }

    /// The next message, as JSON.
    pub fn next(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.0.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }
}

/// An RPC as JSON.
pub fn call(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

impl Drop for Node {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _already_waited = self.process.wait();
    }
}

/// The program, without what the environment says of engines.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poq-node"));
    for name in ["POQ_ENGINE", "POQ_ENGINE_TOKEN_FILE", "POQ_MODELS", "POQ_CONFIG"] {
        command.env_remove(name);
    }
    command
}

/// Keeps the log, and passes it on to the test's own.
fn read(stream: ChildStderr, log: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            eprintln!("{line}");
            log.lock().unwrap().push(line);
        }
    })
}

/// Sends a request that begins with `head`; returns the status line and the body of the answer.
pub fn http(address: SocketAddr, head: &str, body: &str) -> (String, String) {
    let stream = TcpStream::connect(address).unwrap();
    let (head, body) = exchange(stream, &address.to_string(), head, body);
    (head.lines().next().unwrap().to_owned(), body)
}

/// Sends JSON with these headers; returns the head and the body of the answer.
pub fn post(address: SocketAddr, headers: &[(&str, &str)], body: &str) -> (String, String) {
    post_to(TcpStream::connect(address).unwrap(), &address.to_string(), headers, body)
}

/// Sends JSON with these headers over a stream; returns the head and the body of the answer.
pub fn post_to(
    stream: impl Read + Write,
    host: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (String, String) {
    let mut head = "POST / HTTP/1.1\r\nContent-Type: application/json\r\n".to_owned();
    head += &format!("Content-Length: {}\r\n", body.len());
    head.extend(headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
    exchange(stream, host, &head, body)
}

/// The answer to an RPC at a control socket.
pub fn command(socket: &Path, method: &str, params: Value) -> Value {
    let stream = UnixStream::connect(socket).unwrap();
    let (head, answer) = post_to(stream, "localhost", &[], &call(method, params).to_string());
    serde_json::from_str(&answer).unwrap_or_else(|_| panic!("no JSON: {head} {answer}"))
}

/// Sends a request that begins with `head` over a stream; returns the head and the body of the answer.
fn exchange(mut stream: impl Read + Write, host: &str, head: &str, body: &str) -> (String, String) {
    let host = match head.to_lowercase().contains("\r\nhost:") {
        true => String::new(),
        false => format!("Host: {host}\r\n"),
    };
    write!(stream, "{head}{host}Connection: close\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), unchunked(head, body))
}

/// The body, if it came in one or a few chunks.
fn unchunked(head: &str, body: &str) -> String {
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let (mut rest, mut whole) = (body, String::new());
    while let Some((length, tail)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap();
        whole.push_str(&tail[..length]);
        rest = tail[length..].trim_start_matches("\r\n");
    }
    whole
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Bytes in hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until `poll` returns something.
pub fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let begun = std::time::Instant::now();
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(200));
    }
}
