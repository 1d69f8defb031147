//! A node that has no blocks and no peers, of a chain that is not for development: what `poq` says of it, and what it does not sign.

use crate::common::{parse, text, wait_for, DEV_PHRASE};
use serde_json::Value;
use std::{
    fs::{self, File},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

/// A boot node that nobody runs: a node with boot nodes should have peers.
const NOBODY: &str = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";

/// A node of the chain `local` that finds nobody.
struct Lonely {
    process: Child,
    url: String,
    folder: tempfile::TempDir,
}

impl Lonely {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_poq")).with_file_name("poq-node");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = File::create(folder.path().join("log")).unwrap();
        let process = Command::new(program)
            .args(["--chain", "local", "--no-prometheus", "--no-telemetry", "--no-mdns"])
            .args(["--engine", "off", "--port", "0", "--rpc-port", &port.to_string(), "--bootnodes", NOBODY])
            .arg("--base-path")
            .arg(folder.path().join("data"))
            .env_remove("POQ_MODELS")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("`make build` has made poq-node");
        let node = Self { process, url: format!("ws://127.0.0.1:{port}"), folder };
        wait_for("the node", || (node.poq(&["health"]).status.code() == Some(1)).then_some(()));
        node
    }

    fn poq(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poq"));
        command.env_remove("POQ_SURI").env_remove("POQ_GENESIS").env("POQ_URL", &self.url);
        command.args(args).stdin(Stdio::null()).output().unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.poq(&[args, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        parse(&output.stdout)
    }
}

impl Drop for Lonely {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- log ---\n{}",
                fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
            );
        }
    }
}

/// The kinds of a list of faults or findings.
fn kinds(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_node_without_blocks_and_peers_is_said_to_be_that_and_signs_for_no_development_key() {
    let node = Lonely::start();
    it_is_not_up_to_date(&node);
    nobody_is_told_to_register(&node);
    development_keys_do_not_sign(&node);
}

fn it_is_not_up_to_date(node: &Lonely) {
    let status = node.json(&["status"]);
    assert_eq!((&status["best_block"], &status["peers"]), (&0.into(), &0.into()));
    assert_eq!((&status["up_to_date"], &status["block_age_seconds"]), (&false.into(), &Value::Null));
    assert_eq!(kinds(&status["faults"]), ["no_peers", "no_blocks"]);
    let people = text(&node.poq(&["status"]).stdout);
    assert!(people.contains("0 peers, not up to date"), "{people}");
    assert!(people.lines().last().unwrap().contains("wait until the node has a peer"), "{people}");

    let health = node.poq(&["health"]);
    let said = text(&health.stderr);
    assert_eq!(health.status.code(), Some(1), "{said}");
    assert!(said.contains("has no peers; the node has no block but the genesis block"), "{said}");
    assert!(said.contains("wait until") && !said.contains("seconds old"), "{said}");
    let health = parse(&node.poq(&["health", "--json"]).stdout);
    assert_eq!((&health["healthy"], &health["block_age_seconds"]), (&false.into(), &Value::Null));
}

fn nobody_is_told_to_register(node: &Lonely) {
    // One that is no operator, and one of the genesis block's operators.
    for who in ["bob", "operator-2"] {
        let answer = node.json(&["why", who, "--node", &node.url]);
        assert_eq!((kinds(&answer["findings"]), &answer["earns"]), (vec!["node_behind"], &Value::Null));
        let first = answer["first"].as_str().unwrap();
        assert!(first.starts_with("wait until the node has a peer"), "{first}");
        assert_eq!(answer["node"]["up_to_date"], false);
        let people = text(&node.poq(&["why", who, "--node", &node.url]).stdout);
        assert!(people.contains("0 peers, not up to date"), "{people}");
        assert!(!people.contains("operator bond") && !people.contains("operator register"), "{people}");
    }
}

fn development_keys_do_not_sign(node: &Lonely) {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    let own = own.to_str().unwrap();
    node.json(&["key", "new", own]);
    let worker = ["operator", "register", "--model", "poq-demo-weak", "--worker", "//Bob//worker"];
    let refused: &[(&[&str], &str)] = &[
        (&["--from", "alice", "ask", "?"], "--from alice is a development key"),
        (&["--from", "//Bob", "send", "alice", "1"], "--from //Bob is a development key"),
        (&["--from", "operator-0", "operator", "chill"], "--from operator-0 is a development key"),
        (&["--from", "alice", "balance"], "--from alice is a development key"),
        (&[&["--suri-file", own][..], &worker].concat(), "--worker //Bob//worker is a development key"),
        (&["ask", "?"], "no account is named to sign, and this chain is of type Local"),
    ];
    for (args, expected) in refused {
        let output = node.poq(args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.starts_with(&format!("error: {expected}")), "{args:?}: {said}");
        assert!(said.contains("--suri-file FILE") && said.contains("poq key new FILE"), "{said}");
    }
    // A phrase that is written out is somebody's word, also if it is the one that everybody has.
    let written = folder.path().join("written");
    fs::write(&written, format!("{DEV_PHRASE}//Alice")).unwrap();
    let balance = node.json(&["--suri-file", written.to_str().unwrap(), "balance"]);
    assert_eq!(balance["account"], "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
}
