//! Block authors on a real node: keys that it makes, joining and leaving.

use crate::common::{amount, Node};
use serde_json::{json, Value};

/// `poq` must refuse these arguments with the error of this name.
fn refused(node: &Node, args: &[&str], error: &str) {
    let output = node.poq(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "poq {args:?}: {said}");
    assert!(said.contains(error), "poq {args:?}: {said}");
}

#[test]
fn an_author_joins_and_leaves() {
    let node = Node::start_with(&["--engine", "off"]);
    let names = |list: &Value, field: &str| -> Vec<String> {
        let authors = list["authors"].as_array().unwrap().iter();
        authors
            .filter(|author| author[field] == true)
            .map(|author| author["name"].as_str().unwrap().into())
            .collect()
    };
    let list = node.json(&["author"]);
    assert_eq!(
        (names(&list, "listed"), names(&list, "authors_now")),
        (vec!["alice".to_owned()], vec!["alice".to_owned()])
    );

    refused(&node, &["author", "add", "bob"], "NoSessionKeys");
    refused(&node, &["author", "remove", "alice"], "LastAuthor");
    refused(&node, &["author", "add", "nobody"], "neither an address");
    refused(&node, &["--from", "bob", "author", "add", "bob"], "RequireSudo");

    refused(
        &node,
        &["--from", "bob", "author", "keys"],
        "takes no unsafe calls there: give its control socket",
    );
    let set = node.json(&["--from", "bob", "author", "keys", "--node", &node.socket()]);
    assert_eq!(set["keys"].as_str().unwrap().len(), 2 + 2 * 64, "two keys of 32 bytes");
    node.json(&["author", "add", "bob"]);
    refused(&node, &["author", "add", "bob"], "AlreadyAuthor");
    let list = node.json(&["author"]);
    assert_eq!(names(&list, "listed"), ["alice", "bob"]);
    assert_eq!(names(&list, "authors_now"), ["alice"], "not in this session");

    node.json(&["author", "remove", "bob"]);
    refused(&node, &["author", "remove", "bob"], "NotAuthor");
    assert_eq!(names(&node.json(&["author"]), "listed"), ["alice"]);
    assert_eq!(list["session"], json!(0));

    // The author of all blocks is Alice.
    assert_eq!(list["fee_share"], json!(0.0));
    refused(&node, &["author", "share", "0.500001"], "ShareTooLarge");
    refused(&node, &["--from", "bob", "author", "share", "0.3"], "RequireSudo");
    node.json(&["author", "share", "0.3"]);
    assert_eq!(node.json(&["author"])["fee_share"], json!(0.3));
    let has = || amount(&node.json(&["balance", "alice"])["total"]);
    let before = has();
    let fee = amount(&node.json(&["--from", "bob", "send", "charlie", "1"])["transaction_fee"]);
    assert_eq!(has() - before, fee * 3 / 10);
    node.assert_invariants();
}
