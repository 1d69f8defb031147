//! Access to a node's RPC over both transports, and the effect of each RPC option.

use crate::common::{call, free_port, hex, http, post, program, text, wait_for, Node};
use poq_primitives::keys::ENGINE_ENDPOINT_KEY;
use serde_json::{json, Value};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

/// A page of nobody that the operator knows.
const EVIL: &str = "https://evil.example";

/// Unsafe calls, one of each kind: read the engine's token, name another engine, insert and make keys, choose
/// peers, change the log, read where the node is weak.
fn commands() -> [(&'static str, Value); 7] {
    let engine = format!("0x{}", hex(ENGINE_ENDPOINT_KEY));
    [
        ("offchain_localStorageGet", json!(["PERSISTENT", engine])),
        ("offchain_localStorageSet", json!(["PERSISTENT", engine, "0x00"])),
        ("author_insertKey", json!(["poq!", "//Evil", format!("0x{}", "07".repeat(32))])),
        ("author_rotateKeys", json!([])),
        ("system_unstable_networkState", json!([])),
        ("system_addLogFilter", json!(["poq=trace"])),
        ("poq_problems", json!([])),
    ]
}

/// Whether an answer is that the method is not for this caller.
fn is_denied(answer: &Value) -> bool {
    answer["error"]["message"].as_str().is_some_and(|message| message.contains("unsafe"))
}

/// Asserts that a caller with these headers may ask and may not command.
fn may_only_ask(node: &Node, headers: &[(&'static str, &str)]) {
    let mut socket = node.websocket(headers).unwrap();
    assert!(node.post(headers, "system_chain", json!([])).1["result"].is_string(), "{headers:?}");
    assert!(socket.call("system_chain", json!([]))["result"].is_string(), "{headers:?}");
    for (method, params) in commands() {
        let by_post = node.post(headers, method, params.clone()).1;
        assert!(is_denied(&by_post), "{headers:?} {method}: {by_post}");
        let by_socket = socket.call(method, params);
        assert!(is_denied(&by_socket), "{headers:?} {method}: {by_socket}");
    }
}

/// Asserts that a caller with these headers does not come in.
fn is_turned_away(node: &Node, headers: &[(&'static str, &str)]) {
    let (head, body) = post(node.rpc(), headers, &call("system_chain", json!([])).to_string());
    assert!(head.starts_with("HTTP/1.1 403"), "{headers:?}: {head}");
    assert!(!body.contains("Proof of Quality"), "{body}");
    assert_eq!(node.websocket(headers).err(), Some(403), "{headers:?}");
}

/// Asserts that the operator's own programs, which send no origin, are served everything.
fn may_command(node: &Node, headers: &[(&'static str, &str)]) {
    let (method, params) = commands()[0].clone();
    let by_post = node.post(headers, method, params.clone()).1;
    assert!(by_post.get("result").is_some(), "{headers:?}: {by_post}");
    let by_socket = node.websocket(headers).unwrap().call(method, params);
    assert!(by_socket.get("result").is_some(), "{headers:?}: {by_socket}");
}

#[test]
fn a_page_comes_in_by_its_origin_and_never_commands() {
    let node = Node::start(&["--chain", "local"]);
    may_only_ask(&node, &[]);
    for origin in [EVIL, "null", "http://localhost.evil.example", "https://polkadot.js.org.evil.example"] {
        is_turned_away(&node, &[("origin", origin)]);
    }
    for origin in ["http://localhost:3000", "http://127.0.0.1", "https://polkadot.js.org"] {
        may_only_ask(&node, &[("origin", origin)]);
        let (head, _) = node.post(&[("origin", origin)], "system_chain", json!([]));
        assert!(head.to_lowercase().contains(&format!("access-control-allow-origin: {origin}")), "{head}");
    }
    // A page whose own name stands for 127.0.0.1, and what a proxy passed on.
    is_turned_away(&node, &[("host", "evil.example")]);
    may_only_ask(&node, &[("x-forwarded-for", "192.0.2.60")]);
}

#[test]
fn a_node_that_lets_every_page_in_takes_commands_of_none() {
    let node = Node::dev(&[]);
    may_only_ask(&node, &[]);
    may_only_ask(&node, &[("origin", EVIL)]);
    may_only_ask(&node, &[("origin", "null")]);
    may_only_ask(&node, &[("host", "evil.example")]);
}

#[test]
fn unsafe_methods_are_for_programs_even_if_chosen_and_safe_ones_for_all() {
    let chosen = ["--chain", "local", "--rpc-cors", "https://app.example.org"];
    let node = Node::start(&[&chosen[..], &["--rpc-methods", "unsafe"]].concat());
    may_command(&node, &[]);
    may_command(&node, &[("x-forwarded-for", "192.0.2.60")]);
    may_only_ask(&node, &[("origin", "https://app.example.org")]);
    is_turned_away(&node, &[("origin", "http://localhost:3000")]);
    drop(node);
    let node = Node::start(&[&chosen[..], &["--rpc-methods", "safe"]].concat());
    may_only_ask(&node, &[]);
}

#[test]
fn each_door_has_its_own_rules() {
    let port = free_port().to_string();
    let open = format!("listen-addr=127.0.0.1:{port},methods=safe,cors=https://app.example.org");
    // The first is where the node is spoken to below.
    let own = "listen-addr=127.0.0.1:0,methods=unsafe,cors=http://localhost:*";
    let node = Node::with_doors(&["--chain", "local"], &[own, &open]);
    may_command(&node, &[]);
    is_turned_away(&node, &[("origin", "https://app.example.org")]);
    let open: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    let (method, params) = commands()[0].clone();
    let (_, answer) = post(open, &[("origin", "https://app.example.org")], &call(method, params).to_string());
    assert!(is_denied(&serde_json::from_str(&answer).unwrap()), "{answer}");
    drop(node);
    // One that chooses no methods serves what `--rpc-port` does.
    let node = Node::with_doors(&["--chain", "local"], &["listen-addr=127.0.0.1:0"]);
    may_only_ask(&node, &[]);
}

#[test]
fn sizes_batches_subscriptions_and_connections_are_limited() {
    let options = [
        "--rpc-max-request-size=1",
        "--rpc-max-response-size=1",
        "--rpc-max-batch-request-len=2",
        "--rpc-max-subscriptions-per-connection=1",
        "--rpc-max-connections=2",
    ];
    let node = Node::dev(&options);
    let announced = "POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2097152\r\n";
    let (status, _) = http(node.rpc(), announced, "");
    assert!(status.contains("413"), "{status}");
    let code = node.post(&[], "state_getStorage", json!(["0x3a636f6465"])).1;
    assert_eq!(code["error"]["code"], -32008, "the runtime's code is larger: {}", code["error"]);

    let batch = |length: usize| json!(vec![call("system_chain", json!([])); length]).to_string();
    let answers =
        |length: usize| serde_json::from_str::<Value>(&post(node.rpc(), &[], &batch(length)).1).unwrap();
    assert_eq!(answers(2).as_array().map(Vec::len), Some(2));
    assert!(answers(3)["error"].is_object());

    let mut first = node.websocket(&[]).unwrap();
    assert!(first.call("chain_subscribeNewHeads", json!([]))["result"].is_string());
    assert!(first.call("chain_subscribeNewHeads", json!([]))["error"].is_object(), "one is the limit");
    let told = first.next();
    assert!(told["params"]["result"]["number"].is_string(), "{told}");

    let second = node.websocket(&[]).unwrap();
    assert_eq!(node.websocket(&[]).err(), Some(429), "two are the limit");
    drop(second);
    wait_for("room for a third", || node.websocket(&[]).ok());
}

/// Reads as much of an answer as is there at once.
fn some_of_answer(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 4_096];
    let length = stream.read(&mut buffer).unwrap();
    text(&buffer[..length])
}

#[test]
fn calls_are_counted_and_those_of_one_connection_are_limited() {
    let port = free_port().to_string();
    let node = Node::start(&[
        "--chain",
        "local",
        "--prometheus-port",
        &port,
        "--rpc-rate-limit",
        "1",
        "--rpc-disable-batch-requests",
    ]);
    let metrics: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    let counted = |name: &str, transport: &str| {
        let (_, shown) = http(metrics, "GET /metrics HTTP/1.1\r\n", "");
        let label = format!("protocol=\"{transport}\"");
        shown
            .lines()
            .any(|line| line.starts_with(name) && line.contains(&label) && line.contains("system_chain"))
    };
    let body = call("system_chain", json!([])).to_string();
    let batch = post(node.rpc(), &[], &json!([call("system_chain", json!([]))]).to_string()).1;
    assert!(batch.contains("error"), "{batch}");

    let mut stream = TcpStream::connect(node.rpc()).unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        node.rpc(),
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    assert!(some_of_answer(&mut stream).starts_with("HTTP/1.1 200"));
    assert!(!counted("substrate_rpc_calls_retried", "http"));
    stream.write_all(request.as_bytes()).unwrap();
    wait_for("the second call's wait", || counted("substrate_rpc_calls_retried", "http").then_some(()));

    let mut socket = node.websocket(&[]).unwrap();
    assert!(socket.call("system_chain", json!([]))["result"].is_string(), "another connection has its own");
    assert!(counted("substrate_rpc_calls_finished", "ws"));
    socket.send(call("system_chain", json!([])));
    wait_for("its second call's wait", || counted("substrate_rpc_calls_retried", "ws").then_some(()));
}

#[test]
fn a_node_tells_its_methods_and_its_health() {
    let node = Node::start(&["--chain", "local"]);
    let methods = node.call("rpc_methods", json!([]));
    let methods: Vec<_> = methods["methods"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(methods.is_sorted() && methods.contains(&"rpc_methods"), "{methods:?}");
    // One of each group.
    for method in [
        "author_submitExtrinsic",
        "babe_epochAuthorship",
        "bitswap_v1_get",
        "chainHead_v1_follow",
        "chainSpec_v1_genesisHash",
        "chain_getHeader",
        "childstate_getStorage",
        "grandpa_roundState",
        "offchain_localStorageGet",
        "payment_queryInfo",
        "poq_problems",
        "state_getMetadata",
        "system_accountNextIndex",
        "system_health",
        "transactionWatch_v1_submitAndWatch",
        "transaction_v1_broadcast",
    ] {
        assert!(methods.contains(&method), "{method} is not among {methods:?}");
    }
    assert!(!methods.iter().any(|method| method.starts_with("archive_")), "this node keeps few states");
    let (status, health) = http(node.rpc(), "GET /health HTTP/1.1\r\n", "");
    assert!(status.contains("200") && health.contains("\"peers\":0"), "{status} {health}");
    let archive =
        Node::start(&["--chain", "local", "--state-pruning", "archive", "--blocks-pruning", "archive"]);
    assert!(archive.call("rpc_methods", json!([])).to_string().contains("archive_v1_storage"));
}

/// The error of a node that does not start.
fn refused(options: &[&str]) -> String {
    let output = program().args(["--chain", "local", "--tmp", "--no-mdns"]).args(options).output().unwrap();
    assert!(!output.status.success(), "{options:?}");
    let said = text(&output.stderr);
    said.lines().find(|line| line.starts_with("Error: ")).unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[test]
fn a_taken_port_and_a_wrong_origin_are_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = refused(&["--rpc-port", &port]);
    assert!(said.contains(&format!("127.0.0.1:{port} is taken")) && said.contains("--rpc-port N"), "{said}");
    let said = refused(&["--rpc-port", "0", "--rpc-cors", "https://app.example.org/"]);
    assert!(said.contains("`https://app.example.org/` of --rpc-cors is no origin"), "{said}");
    let said = refused(&["--experimental-rpc-endpoint", "listen-addr=0.0.0.0:0,methods=unsafe"]);
    assert!(said.contains("insert keys") && said.contains("methods=safe"), "{said}");
}
