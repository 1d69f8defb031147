//! The keys of a node: what is no secret is refused, and the network key is made where there is none.

use crate::common::{local_spec, program, text, Node};
use serde_json::json;
use sp_core::crypto::DEV_PHRASE;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Output, Stdio},
};

/// A secret of nobody.
const PHRASE: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

fn key(words: &[&str]) -> Output {
    program().arg("key").args(words).stdin(Stdio::null()).output().unwrap()
}

fn insert(chain: &str, base: &Path, suri: &str) -> Output {
    let place = ["insert", "--chain", chain, "--base-path", base.to_str().unwrap()];
    key(&[&place[..], &["--key-type", "poq!", "--scheme", "sr25519", "--suri", suri]].concat())
}

/// Asserts that it was refused, and with these words.
fn is_refused(output: &Output, words: &[&str]) {
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
}

#[test]
fn an_empty_secret_is_nobodys_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let file = file.to_str().unwrap();
    let base = folder.path().join("base");
    let words = ["holds no phrase and no seed", "key generate"];
    for empty in ["", " ", "\n", "//path\n", "//Alice", "///password"] {
        is_refused(&insert("dev", &base, empty), &words);
        is_refused(&key(&["inspect", empty]), &words);
        fs::write(file, empty).unwrap();
        is_refused(&insert("local", &base, file), &words);
        is_refused(&key(&["inspect", file]), &words);
    }
    assert!(!base.exists(), "nothing was written");

    fs::write(file, format!("{PHRASE}//path\n")).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o640)).unwrap();
    let inserted = insert("local", &base, file);
    let said = text(&inserted.stderr);
    assert!(inserted.status.success() && said.contains("chmod 600"), "{said}");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    let inspected = key(&["inspect", file]);
    assert!(inspected.status.success() && inspected.stderr.is_empty(), "{inspected:?}");
    let keystore = base.join("chains/poq_local/keystore");
    assert_eq!(fs::read_dir(keystore).unwrap().count(), 1);
}

#[test]
fn everybodys_keys_are_not_for_a_live_chain() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    let suri = format!("{DEV_PHRASE}//Alice");
    assert!(insert("local", &base, &suri).status.success());
    let mut spec = local_spec();
    for (name, value) in [("chainType", "Live"), ("id", "live")] {
        *spec.get_mut(name).unwrap() = json!(value);
    }
    let live = folder.path().join("live.json");
    fs::write(&live, spec.to_string()).unwrap();
    let live = live.to_str().unwrap();
    is_refused(&insert(live, &base, &suri), &["development phrase", "type Live"]);
    assert!(insert(live, &base, PHRASE).status.success());
}

#[test]
fn a_node_makes_its_network_key_and_keeps_it_to_itself() {
    for author in ["--alice", "--validator"] {
        let node = Node::start(&["--chain", "local", author]);
        let file = node.chain().join("network/secret_ed25519");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let peer = key(&["inspect-node-key", "--file", file.to_str().unwrap()]);
        node.wait_for_line(&["Local node identity", text(&peer.stdout).trim()]);
    }
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no-such-key");
    let named = ["--chain", "local", "--tmp", "--alice", "--node-key-file", missing.to_str().unwrap()];
    is_refused(&program().args(named).output().unwrap(), &["no-such-key"]);
    assert!(!missing.exists());
}
