//! `poq why`: findings of a real chain and a real node about operators that earn nothing.

use crate::common::{program, text, wait_for, Node, DEV_PHRASE};
use serde_json::{json, Value};
use std::{
    fs,
    os::unix::{
        fs::symlink,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use subxt::rpcs::client::{rpc_params, RpcClient};

/// The kinds of the findings.
fn kinds(answer: &Value) -> Vec<&str> {
    answer["findings"].as_array().unwrap().iter().map(|finding| finding["kind"].as_str().unwrap()).collect()
}

#[test]
fn why_says_what_is_wrong_and_what_to_do_first() {
    let node = Node::start();
    let socket = node.socket();

    let answer = node.json(&["why", "operator-1"]);
    assert_eq!((kinds(&answer), &answer["earns"]), (vec!["no_demand"], &true.into()));
    assert_eq!(answer["draws"][0]["requests_for_it"], 0);

    // A healthy operator, about which its own node has nothing to say.
    node.json(&["ask", "What is the capital of Peru?"]);
    let answer = node.json(&["why", "operator-2", "--node", &socket]);
    assert_eq!((kinds(&answer), &answer["first"]), (vec![], &Value::Null), "{answer}");
    let draws = &answer["draws"][0];
    assert_eq!((&draws["requests_for_it"], &draws["requests_with_it"]), (&1.into(), &1.into()));
    assert_eq!(draws["operators"], 5);
    let share = draws["share"].as_f64().unwrap();
    assert!((0.15..0.25).contains(&share), "five equals: {share}");
    let own = &answer["node"];
    assert_eq!((&own["has_worker_key"], &own["syncing"]), (&true.into(), &false.into()));
    assert_eq!(own["problems"], json!([]));
    // The open port says neither keys nor problems.
    let answer = node.json(&["why", "operator-2", "--node", &node.url()]);
    assert_eq!(kinds(&answer), ["node_does_not_say"]);
    assert_eq!(
        (&answer["node"]["has_worker_key"], &answer["node"]["problems"]),
        (&Value::Null, &Value::Null)
    );

    // An account that is no operator: the way to become one.
    let answer = node.json(&["why", "bob"]);
    assert_eq!((kinds(&answer), &answer["earns"]), (vec!["not_an_operator"], &false.into()));
    assert!(answer["first"].as_str().unwrap().contains("operator bond 1000"), "{answer}");

    // Chilled; asked for by its worker key; and the node says it in its log, until it is mended.
    let worker = node.operator("operator-3")["worker"].as_str().unwrap().to_owned();
    node.json(&["--from", "operator-3", "operator", "chill"]);
    let answer = node.json(&["why", &worker]);
    assert_eq!(answer["operator"]["operator_name"], "operator-3");
    assert_eq!(kinds(&answer), ["chilled"]);
    assert!(answer["first"].as_str().unwrap().contains("operator resume"), "{answer}");
    let people = text(&node.poq(&["why", "operator-3", "--node", &socket]).stdout);
    assert!(people.contains("It earns nothing: it cannot be drawn: it is chilled."), "{people}");
    assert!(people.lines().last().unwrap().starts_with("First thing to do: `poq --suri-file"), "{people}");
    wait_for("the line of the log", || node.log().unwrap().contains("Mend this (chilled)").then_some(()));
    node.json(&["--from", "operator-3", "operator", "resume"]);
    wait_for("the line of the log", || node.log().unwrap().contains("Mended (chilled)").then_some(()));

    // A worker key that the node does not have.
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("worker");
    fs::write(&elsewhere, format!("{DEV_PHRASE}//Elsewhere")).unwrap();
    let register = ["--from", "operator-4", "operator", "register", "--model", "poq-demo-evaluator"];
    node.json(&[&register[..], &["--worker-suri-file", elsewhere.to_str().unwrap()]].concat());
    let answer = node.json(&["why", "operator-4", "--node", &socket]);
    assert!(kinds(&answer).contains(&"no_key_in_keystore"), "{answer}");
    assert!(answer["first"].as_str().unwrap().contains("poq-node key insert"), "{answer}");
    // The key that it had works for nobody now, and its node says so.
    let answer = wait_for("the node's line", || {
        let answer = node.json(&["why", "operator-4", "--node", &socket]);
        kinds(&answer).contains(&"unknown_worker").then_some(answer)
    });
    assert_eq!(answer["earns"], false);

    // All stake on its way out.
    node.json(&["--from", "operator-5", "operator", "unbond", "10000"]);
    assert_eq!(kinds(&node.json(&["why", "operator-5"])), ["stake_too_small"]);

    let wrong = node.poq(&["why", "nobody-at-all"]);
    assert_eq!(wrong.status.code(), Some(1), "{}", text(&wrong.stderr));
    for nowhere in ["ws://127.0.0.1:1", "/no/such/control.sock"] {
        let silent = node.poq(&["why", "operator-1", "--node", nowhere]);
        assert_eq!(silent.status.code(), Some(3), "{}", text(&silent.stderr));
        let said = text(&silent.stderr);
        assert!(said.contains(&format!("the operator's node does not answer at {nowhere}")), "{said}");
    }
}

/// A node that was started without `--base-path` is found by its address, and only by whom it belongs to.
#[test]
fn the_socket_of_a_node_in_the_usual_place_is_found() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(&["--engine", "off"]);
    let chains = home.path().join("poq-node/chains");
    fs::create_dir_all(&chains).unwrap();
    let ask = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poq"));
        command.env_remove("POQ_NODE").env("POQ_URL", node.url()).env("XDG_DATA_HOME", home.path());
        let output = command.args(["why", "operator-2", "--json", "--node", &node.url()]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        crate::common::parse(&output.stdout)["node"]["has_worker_key"].clone()
    };
    assert_eq!(ask(), Value::Null);
    // Of a node that is gone: nobody answers.
    let gone = chains.join("gone");
    fs::create_dir_all(&gone).unwrap();
    drop(UnixListener::bind(gone.join("control.sock")).unwrap());
    assert_eq!(ask(), Value::Null);
    // Of another node: its name among peers is another.
    let other = second(harness::ports::free_one().unwrap(), &address_of(&node.url()), "//PoQ//worker//2");
    let socket = wait_for("the other node's socket", || {
        other.control_socket().ok().filter(|socket| UnixStream::connect(socket).is_ok())
    });
    symlink(socket.parent().unwrap(), chains.join("other")).unwrap();
    assert_eq!(ask(), Value::Null);
    symlink(Path::new(&node.socket()).parent().unwrap(), chains.join("own")).unwrap();
    assert_eq!(ask(), true);
}

/// Peer id of the node key 0…01.
const PEER: &str = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";

/// A second node of the same chain, which does not author. It listens for peers on `port`, knows the node at `peer`, and works
/// with the worker key of `uri`.
fn second(port: u16, peer: &str, uri: &str) -> harness::Node {
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../models");
    let key = format!("{:064x}", 1);
    let options = ["--chain", "dev", "--models", models, "--node-key", &key, "--bootnodes", peer];
    let mut node = harness::Node::temporary(program(), options).unwrap();
    node.setup.name = "the second node".into();
    node.setup.address = harness::Address::loopback(0, port);
    node.insert_key("dev", "poq!", "sr25519", &format!("{DEV_PHRASE}{uri}")).unwrap();
    node.start().unwrap();
    node.wait_for_rpc().unwrap();
    node
}

/// Address at which a node listens for peers.
fn address_of(url: &str) -> String {
    let ask = async {
        let client = RpcClient::from_insecure_url(url).await.unwrap();
        let addresses: Vec<String> =
            client.request("system_localListenAddresses", rpc_params![]).await.unwrap();
        addresses.into_iter().find(|address| address.starts_with("/ip4/127.0.0.1/tcp/")).unwrap()
    };
    tokio::runtime::Runtime::new().unwrap().block_on(ask)
}

/// Longer than a node waits until it takes blocks for younger than itself.
const CERTAINTY: Duration = Duration::from_secs(45);

#[test]
fn two_processes_with_one_worker_key_are_told_and_a_restart_is_not_one() {
    const SAID: &str = "Mend this (two_processes)";
    let port = harness::ports::free_one().unwrap();
    let peer = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{PEER}");
    let node = Node::start_with(&["--reserved-nodes", &peer]);
    let engine = node.wait_for_engine(None).unwrap();

    // A node that is killed in the middle of work and started again finds reports in blocks that it does not remember.
    let ask = node.poq_in_background(&["ask", "What is the capital of Peru?", "--timeout", "600"]);
    node.wait_until_in_work(0);
    node.kill().unwrap();
    node.restart();
    node.wait_for_engine(Some(engine)).unwrap();
    ask.wait_with_output().unwrap();
    let restarted = Instant::now();
    while restarted.elapsed() < CERTAINTY {
        node.json(&["ask", "What colour is the sky?", "--timeout", "600"]);
    }
    assert!(!node.log().unwrap().contains(SAID), "a restart is no second process");

    // Both work for operator-2 now, who is in every committee.
    let second = second(port, &address_of(&node.url()), "//PoQ//worker//2");
    let questions = ["What is the capital of Peru?", "What colour is the sky?", "What is 2 plus 3?"];
    let mut questions = questions.iter().cycle();
    wait_for("the line about two processes", || {
        node.poq(&["ask", questions.next().unwrap(), "--timeout", "600", "--json"]);
        (second.log().unwrap().contains(SAID) || node.log().unwrap().contains(SAID)).then_some(())
    });
    let worker = node.operator("operator-2")["worker"].as_str().unwrap().to_owned();
    let said = if second.log().unwrap().contains(SAID) {
        (second.log().unwrap(), second.control_socket().unwrap().to_str().unwrap().to_owned())
    } else {
        (node.log().unwrap(), node.socket())
    };
    let line = said.0.lines().find(|line| line.contains(SAID)).unwrap().to_owned();
    assert!(line.contains(&worker) && line.contains("stop one"), "{line}");
    assert_eq!(said.0.matches(SAID).count(), 1);
    let answer = node.json(&["why", "operator-2", "--node", &said.1]);
    assert!(kinds(&answer).contains(&"two_processes"), "{answer}");
    node.assert_invariants();
}
