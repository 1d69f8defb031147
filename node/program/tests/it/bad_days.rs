//! A node that must not start says why, in one line.

use crate::common::{self, local_spec, program, text, wait_for, Node};
use harness::Signal;
use serde_json::json;
use std::{fs, path::Path};

/// Runs a node that ends of itself; returns what it said.
fn refused(options: &[&str]) -> String {
    let output = program().args(options).output().unwrap();
    assert!(!output.status.success(), "{options:?}");
    text(&output.stderr)
}

#[test]
fn an_unsafe_rpc_for_others_is_refused() {
    let said = refused(&["--chain", "local", "--tmp", "--rpc-external", "--rpc-methods", "unsafe"]);
    let error = said.lines().find(|line| line.starts_with("Error: ")).unwrap();
    assert!(error.contains("insert keys") && error.contains("leave --rpc-methods out"), "{said}");
}

/// Writes the local chain's specification, and one of the same id whose sudo key is another.
fn specifications(folder: &Path) -> [String; 2] {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (right, wrong) = (path("right.json"), path("wrong.json"));
    let mut spec = local_spec();
    fs::write(&right, spec.to_string()).unwrap();
    let sudo = format!("0x{}", common::hex(&frame_support::storage::storage_prefix(b"Sudo", b"Key")));
    let key = &mut spec["genesis"]["raw"]["top"][&sudo];
    assert!(key.is_string(), "the sudo key is in the genesis");
    *key = json!(format!("0x{}", "07".repeat(32)));
    fs::write(&wrong, spec.to_string()).unwrap();
    [right, wrong]
}

#[test]
fn data_of_another_chain_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [right, wrong] = specifications(folder.path());
    let node = Node::start(&["--chain", &right]);
    wait_for("its genesis", || node.call("chain_getBlockHash", json!([0])).is_string().then_some(()));
    node.end_by(Signal::TERM);
    let base = node.base().to_str().unwrap().to_owned();
    let said = refused(&[
        "--chain",
        &wrong,
        "--base-path",
        &base,
        "--rpc-port",
        "0",
        "--port",
        "0",
        "--no-prometheus",
    ]);
    assert!(said.contains("the data are of another chain: their genesis is 0x"), "{said}");
    assert!(said.contains("Give another --base-path"), "{said}");
}

#[test]
fn the_command_of_other_nodes_is_named_as_it_is_here() {
    for options in
        [&["build-spec"][..], &["build-spec", "--chain", "local", "--raw"], &["build-spec", "--help"]]
    {
        let said = refused(options);
        assert!(said.contains("poq-node export-chain-spec --chain local --raw"), "{said}");
    }
}

#[test]
fn an_orderly_stop_is_no_failure() {
    for (signal, options) in [(Signal::TERM, &["--dev"][..]), (Signal::INT, &["--chain", "local"])] {
        let node = Node::start(options);
        wait_for("its genesis", || node.call("chain_getBlockHash", json!([0])).is_string().then_some(()));
        assert!(node.end_by(signal).success(), "{signal:?}");
        let failures = ["Essential task", "panicked"].map(|word| node.count_lines(&[word]));
        assert_eq!(failures, [0, 0]);
    }
}
