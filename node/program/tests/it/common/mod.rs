//! A real node for a test: started as a user starts it, asked over RPC, its log read line by line.

use codec::Decode as _;
use harness::Signal;
pub use harness::{programs, wait_for};
use poq_primitives::keys::{EngineEndpoint, ENGINE_ENDPOINT_KEY};
use serde_json::{json, Value};
use sp_core::{sr25519, Pair as _};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    ops::Deref,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};
use tungstenite::{client::IntoClientRequest as _, HandshakeError, Message, WebSocket};

/// Longest wait for a message on a WebSocket: far more than it takes, because test machines are busy.
const PATIENCE: Duration = Duration::from_secs(240);

/// A node that answers RPC, and ends with the test.
pub struct Node(harness::Node);

impl Deref for Node {
    type Target = harness::Node;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Node {
    /// A whole network in one process tree.
    pub fn dev(options: &[&str]) -> Self {
        Self::start(&[&["--dev"], options].concat())
    }

    /// A node with these options besides those that keep it to itself.
    pub fn start(options: &[&str]) -> Self {
        let node = harness::Node::temporary(PROGRAM, options).unwrap();
        node.start().unwrap();
        node.wait_for_rpc().unwrap();
        Self(node)
    }

    /// A node that answers RPC at these endpoints; the first is where it is spoken to.
    pub fn with_doors(options: &[&str], endpoints: &[&str]) -> Self {
        let rpc = endpoints.iter().flat_map(|endpoint| ["--experimental-rpc-endpoint", endpoint]);
        Self::start(&rpc.chain(options.iter().copied()).collect::<Vec<_>>())
    }

    /// Starts a node that has ended on the same data.
    pub fn again(&self) {
        self.0.start().unwrap();
        self.wait_for_rpc().unwrap();
    }

    /// Folder of its chain.
    pub fn chain(&self) -> PathBuf {
        self.chain_folder().unwrap()
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
        let (head, answer) = post(self.rpc(), headers, &call(method, params).to_string());
        let reply = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("no JSON: {head} {answer}"));
        (head, reply)
    }

    /// A WebSocket whose handshake has these headers, or the HTTP status that refused it.
    pub fn websocket(&self, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
        let mut request = self.url().into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(self.rpc()).unwrap();
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

    /// Address and token of the engine that the driver is told of.
    pub fn engine_endpoint(&self) -> Option<(SocketAddr, String)> {
        let key = format!("0x{}", hex(ENGINE_ENDPOINT_KEY));
        let value = self.command("offchain_localStorageGet", json!(["PERSISTENT", key]));
        let bytes = sp_core::bytes::from_hex(value.as_str()?).unwrap();
        let endpoint = EngineEndpoint::decode(&mut &bytes[..]).unwrap();
        let address = endpoint.url.strip_prefix("http://").unwrap().parse().unwrap();
        Some((address, endpoint.token))
    }

    /// Inserts the sr25519 key of a secret URI.
    pub fn insert_key_by_rpc(&self, kind: &str, uri: &str) {
        let pair = sr25519::Pair::from_string(uri, None).unwrap();
        self.command("author_insertKey", json!([kind, uri, format!("0x{}", hex(&pair.public().0))]));
    }

    /// Lines of its log that contain all these words.
    fn lines(&self, words: &[&str]) -> Vec<String> {
        let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
        self.log().unwrap().lines().filter(has_all).map(str::to_owned).collect()
    }

    /// Waits for a line of the log that contains all these words.
    pub fn wait_for_line(&self, words: &[&str]) -> String {
        wait_for(&format!("a line with {words:?}"), || self.lines(words).into_iter().next())
    }

    /// Number of lines that contain all these words.
    pub fn count_lines(&self, words: &[&str]) -> usize {
        self.lines(words).len()
    }

    /// Ends the node and its engine by this signal to the node.
    pub fn end_by(&self, signal: Signal) -> ExitStatus {
        self.end(signal).unwrap();
        self.exit_status().unwrap()
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

/// The program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_poq-node");

/// A command of the program, without the caller's engine and models.
pub fn program() -> Command {
    programs::command(PROGRAM)
}

/// The specification of the chain `local`, raw.
pub fn local_spec() -> Value {
    let spec = programs::chain_spec(PROGRAM.as_ref(), "local", true).unwrap();
    serde_json::from_slice(&spec).unwrap()
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
    // In one piece: a server that refuses the head closes the connection, and then the body could not be written any more.
    stream.write_all(format!("{head}{host}Connection: close\r\n\r\n{body}").as_bytes()).unwrap();
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
    harness::ports::free_one().unwrap()
}

/// Bytes in hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
