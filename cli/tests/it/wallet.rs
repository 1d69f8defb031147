//! Keys in files, balances, transfers, and the list of requests, as a newcomer needs them.

use crate::common::{amount, parse, text, wait_for, Node};
use harness::{process, Signal};
use std::{fs, os::unix::fs::PermissionsExt as _};

const POQ: u128 = 1_000_000_000_000;

#[test]
fn a_new_account_is_made_funded_asked_with_and_found_again() {
    let node = Node::start_with(&["--engine", "off"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("account");
    let file = file.to_str().unwrap();

    let made = node.json(&["key", "new", file]);
    let address = made["address"].as_str().unwrap();
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let phrase = fs::read_to_string(file).unwrap();
    assert_eq!(phrase.split_whitespace().count(), 12);
    assert_eq!(node.json(&["key", "address", file])["address"], address);
    let again = node.poq(&["key", "new", file]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("it is left as it is"), "{}", text(&again.stderr));
    assert_eq!(fs::read_to_string(file).unwrap(), phrase, "a key is never overwritten");

    let empty = node.json(&["balance", address]);
    assert_eq!((amount(&empty["total"]), amount(&empty["spendable"])), (0, 0));
    let poor = node.poq(&["--suri-file", file, "send", "bob", "1"]);
    assert_eq!(poor.status.code(), Some(1));
    let said = text(&poor.stderr);
    assert!(said.contains(address) && said.contains("1 POQ is missing"), "{said}");

    let sent = node.json(&["--from", "bob", "send", address, "3"]);
    assert_eq!(amount(&sent["amount"]), 3 * POQ);
    let held = node.json(&["--suri-file", file, "balance"]);
    assert_eq!(held["account"], address);
    assert_eq!(amount(&held["total"]), 3 * POQ);
    assert!(amount(&held["spendable"]) < 3 * POQ, "what keeps the account alive cannot be spent");

    let dear = node.poq(&["--suri-file", file, "ask", "What is the capital of Peru?", "--budget", "50"]);
    assert_eq!(dear.status.code(), Some(1));
    let said = text(&dear.stderr);
    assert!(
        said.contains("InsufficientBalance: ") && said.contains(address) && said.contains("50 POQ"),
        "{said}"
    );
    assert_eq!(amount(&node.json(&["balance", address])["total"]), 3 * POQ, "it cost nothing");

    interrupted(&node, file, address);
    node.assert_invariants();
}

/// An interrupted `poq ask` prints the number of its request, which the list shows too.
fn interrupted(node: &Node, file: &str, address: &str) {
    // No engine answers.
    let other = node.poq(&["ask", "Of another account", "--timeout", "5"]);
    assert_eq!(other.status.code(), Some(5), "{}", text(&other.stderr));
    wait_for("the other's request", || (!node.json(&["requests"]).as_array()?.is_empty()).then_some(()));
    let asking =
        node.poq_in_background(&["--suri-file", file, "ask", "What is the capital of Peru?", "--json"]);
    let listed = wait_for("the request in the list", || {
        node.json(&["requests", address]).as_array()?.first().cloned()
    });
    assert_eq!(listed["prompt"], "What is the capital of Peru?");
    assert_eq!(listed["requester"], address);
    process::send(asking.id(), Signal::INT);
    let output = asking.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert_eq!(parse(&output.stdout)["request"], listed["request"]);
    assert!(text(&output.stderr).contains("goes on without you"), "{}", text(&output.stderr));

    let all = node.json(&["requests"]);
    let numbers: Vec<_> =
        all.as_array().unwrap().iter().map(|request| request["request"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 0], "the newest first");
    assert_eq!(node.json(&["requests", "--count", "1"]).as_array().unwrap().len(), 1);
    let table = text(&node.poq(&["requests"]).stdout);
    assert!(table.contains("What is the capital of Peru?"), "{table}");
    let budget = amount(&node.json(&["balance", address])["held"]["budgets"]);
    assert_eq!(budget, amount(&listed["budget"]));
}
