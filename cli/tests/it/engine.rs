//! A node that starts no engine is told of one, as operators of other Substrate nodes do.

use crate::common::{parse, text, Node};
use harness::{programs::write_secret, Engine};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const TOKEN: &str = "the-token-of-this-test-only";

fn token_file(folder: &TempDir) -> PathBuf {
    let file = folder.path().join("token");
    write_secret(&file, &format!("{TOKEN}\n")).unwrap();
    file
}

#[test]
fn a_node_works_with_the_engine_it_was_told_of() {
    let engine = Engine::start(TOKEN).unwrap();
    let node = Node::start_with(&["--engine", "off"]);
    let token = engine.token_file();
    let (token, socket) = (token.to_str().unwrap(), node.socket());
    let told = node.json(&["operator", "engine", engine.url(), "--token-file", token, "--node", &socket]);
    assert_eq!((&told["engine"], &told["node"]), (&engine.url().into(), &socket.into()));
    let asked = node.json(&["ask", "What is the capital of Peru?"]);
    assert_eq!(asked["answer"], "The capital of Peru is Lima.");
    node.assert_invariants();
}

#[test]
fn what_cannot_be_told_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let token = token_file(&folder);
    let empty = folder.path().join("empty");
    fs::write(&empty, "").unwrap();
    let node = Node::start_with(&["--engine", "off"]);
    let told = |url: &str, file: &Path, more: &[&str]| {
        let output =
            node.poq(&[&["operator", "engine", url, "--token-file", file.to_str().unwrap()], more].concat());
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(!said.contains(TOKEN), "{said}");
        said
    };
    let url = "http://127.0.0.1:9955";
    assert!(told(url, &token, &[]).contains("takes no unsafe calls there: give its control socket"));
    assert!(told(url, &empty, &[]).contains("holds no token"));
    assert!(told(url, Path::new("no-such-file"), &[]).contains("no-such-file"));
    assert!(told("127.0.0.1:9955", &token, &[]).contains("is no address"));
    assert!(told(url, &token, &["--url", "ws://node.example:9944"]).contains("for all to read"));
}

#[test]
fn the_call_can_be_printed_and_made_by_other_means() {
    let folder = tempfile::tempdir().unwrap();
    let token = token_file(&folder);
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let node = Node::start_with(&["--engine", "off"]);
    let output =
        node.poq(&["operator", "engine", "http://a:1/", "--token-file", token.to_str().unwrap(), "--print"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("chmod 600"), "others can read that file");
    let call: Value = parse(&output.stdout);
    assert_eq!(
        (&call["method"], &call["params"][0]),
        (&"offchain_localStorageSet".into(), &"PERSISTENT".into())
    );
    let encoded = hex::decode(call["params"][2].as_str().unwrap().strip_prefix("0x").unwrap()).unwrap();
    let (url, token) = ("http://a:1", TOKEN);
    // SCALE: a length below 64 is one byte, four times the length.
    let expected =
        [&[4 * url.len() as u8], url.as_bytes(), &[4 * token.len() as u8], token.as_bytes()].concat();
    assert_eq!(encoded, expected);
}
