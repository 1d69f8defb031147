//! A node that cannot do its part says in one line what is missing and how to mend it, once, and says when it is mended.

use crate::common::{self, program, Node};
use sp_core::crypto::DEV_PHRASE;
use std::{fs, os::unix::fs::PermissionsExt as _};

/// A node that is to author the local chain.
const AUTHOR: [&str; 3] = ["--chain", "local", "--validator"];

/// A block author and operator that has nothing: no keys, no engine. What is missing is said bit by bit as it is given.
#[test]
fn a_node_without_keys_and_engine_says_what_is_missing() {
    let secrets = tempfile::tempdir().unwrap();
    let token = secrets.path().join("token");
    fs::write(&token, "0123456789abcdef0123456789abcdef\n").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let token = token.to_str().unwrap();
    let nobody = format!("http://127.0.0.1:{}", common::free_port());
    let node = Node::start(&[&AUTHOR[..], &["--engine", &nobody, "--engine-token-file", token]].concat());
    let base = node.base().to_str().unwrap().to_owned();

    for (key, options) in
        [("BABE", "--key-type babe --scheme sr25519"), ("GRANDPA", "--key-type gran --scheme ed25519")]
    {
        let line = node.wait_for_line(&["Mend this (no_session_key)", key]);
        let command = format!("`poq-node key insert --chain local --base-path {base} {options} --suri FILE`");
        assert!(line.contains(&command), "{line}");
        let keys = format!("`poq --suri-file FILE author keys --node {}`", node.control().display());
        assert!(line.contains(&keys), "{line}");
    }
    let line = node.wait_for_line(&["no_worker_key"]);
    assert!(line.contains(&format!("--base-path {base} --key-type 'poq!' --scheme sr25519")), "{line}");
    let line = node.wait_for_line(&["open_file", token]);
    assert!(line.contains("chmod -R go= "), "{line}");
    fs::set_permissions(token, fs::Permissions::from_mode(0o600)).unwrap();
    node.wait_for_line(&["Mended (open_file)"]);

    // The command of the line, as it stands there.
    let suri = secrets.path().join("suri");
    fs::write(&suri, format!("{DEV_PHRASE}//Somebody//worker")).unwrap();
    let insert = program()
        .args(["key", "insert", "--chain", "local", "--base-path", &base])
        .args(["--key-type", "poq!", "--scheme", "sr25519", "--suri", suri.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(insert.status.success(), "{insert:?}");
    node.wait_for_line(&["Mended (no_worker_key)"]);
    let line = node.wait_for_line(&["unknown_worker"]);
    assert!(line.contains("operator register --worker 5"), "{line}");
    let line = node.wait_for_line(&["engine_down", &nobody]);
    assert!(line.contains("refused") && line.contains("poq-worker serve"), "{line}");

    // Each was said once, however often the watch has looked since.
    for kind in ["(no_session_key)", "(no_worker_key)", "(unknown_worker)", "(engine_down)"] {
        let expected = if kind == "(no_session_key)" { 2 } else { 1 };
        assert_eq!(node.count_lines(&["Mend this", kind]), expected, "{kind}");
    }
}

/// An operator of the local chain whose engine has no models, on a node that is told to author with the wrong key.
#[test]
fn an_operator_whose_engine_lacks_its_model_is_told() {
    let models = tempfile::tempdir().unwrap();
    let node = Node::start(&[&AUTHOR[..], &["--models", models.path().to_str().unwrap()]].concat());
    node.wait_for_line(&["no_worker_key"]);
    node.insert_key_by_rpc("poq!", "//PoQ//worker//0");
    node.insert_key_by_rpc("babe", "//Stranger");
    let line = node.wait_for_line(&["not_an_author", "BABE"]);
    assert!(line.contains("knows none of this node's BABE keys"), "{line}");
    let line = node.wait_for_line(&["model_missing", "poq-demo-strong"]);
    assert!(
        line.contains(&format!("poq-worker models add SOURCE --models {}", models.path().display())),
        "{line}"
    );
    assert_eq!(node.count_lines(&["Mend this", "(unknown_worker)"]), 0);

    // Found as soon as it is there.
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/poq-demo-strong.gguf");
    fs::copy(demo, models.path().join("poq-demo-strong.gguf")).unwrap();
    node.wait_for_line(&["Mended (model_missing)"]);

    // A key that others can read.
    let key = fs::read_dir(node.chain().join("keystore")).unwrap().next().unwrap().unwrap().path();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    node.wait_for_line(&["Mend this", "(open_file)", "keystore"]);
}

#[test]
fn off_chain_workers_that_are_off_are_said() {
    let node = Node::start(&["--chain", "local", "--offchain-worker", "never"]);
    node.insert_key_by_rpc("poq!", "//PoQ//worker//1");
    let line = node.wait_for_line(&["no_offchain_workers"]);
    assert!(line.contains("without --offchain-worker"), "{line}");
}
