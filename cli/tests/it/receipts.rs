//! Receipts of a real chain, checked without its node; and conversations, which are asked the same way as questions.

use crate::common::{parse, text, wait_for, Node};
use std::{
    fs,
    process::{Command, Output},
};

/// `poq` without any node.
fn offline(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poq"));
    command.env_remove("POQ_SURI").env("POQ_URL", "ws://127.0.0.1:1").args(args).output().expect("poq runs")
}

#[tokio::test]
async fn a_receipt_is_checked_without_a_node() {
    let node = Node::start();
    let conversation = ["--system", "Answer in one sentence.", "What is the capital of Peru?"];
    let asked = node.json(&[&["ask"], &conversation[..]].concat());
    assert_eq!(asked["state"], "settled");
    assert_eq!(asked["messages"][0]["content"], "Answer in one sentence.");
    assert_eq!(asked["messages"][1]["role"], "user");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("receipt.json");
    let receipt = wait_for("the end of the request to be final", || {
        let made = node.poq(&["receipt", "0"]);
        (made.status.code() == Some(0)).then_some(made.stdout)
    });
    assert!(receipt.len() < 64 * 1024, "{} bytes", receipt.len());
    fs::write(&file, &receipt).unwrap();
    let file = file.to_str().unwrap();
    let genesis = format!("0x{}", hex::encode(node.client().await.genesis()));
    let unknown = node.poq(&["receipt", "7"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("no request 7"), "{}", text(&unknown.stderr));
    drop(node);

    let checked = offline(&["verify", file, "--anchor", &genesis, "--json"]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    let proven = parse(&checked.stdout);
    assert_eq!(proven["state"], "settled");
    for (proven, asked) in
        proven["answers"].as_array().unwrap().iter().zip(asked["responses"].as_array().unwrap())
    {
        assert_eq!((&proven["operator"], &proven["paid"]), (&asked["operator"], &asked["paid"]));
        assert_eq!(proven["quality"], asked["quality"]);
    }
    assert_eq!(proven["best"], asked["best"]);
    assert_eq!(proven["committees"][0].as_array().unwrap().len(), 5);

    let answer = asked["answer"].as_str().unwrap();
    let people = offline(&["verify", file, "--anchor", &genesis, "--answer", answer]);
    assert_eq!(people.status.code(), Some(0), "{}", text(&people.stderr));
    let shown = text(&people.stdout);
    assert!(
        shown.contains("Proven: request 0 was settled") && shown.contains("The text is answer"),
        "{shown}"
    );
    let other = offline(&["verify", file, "--anchor", &genesis, "--answer", "Paris"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("no answer of request 0 is this text"));

    let elsewhere = offline(&["verify", file, "--anchor", &format!("0x{}", "11".repeat(32))]);
    assert_eq!(elsewhere.status.code(), Some(1));
    assert!(text(&elsewhere.stderr).contains("not at the one that you trust"), "{}", text(&elsewhere.stderr));

    // A score of somebody's liking.
    let mut forged = parse(&receipt);
    let node_of_the_trie = forged["state"][0].as_str().unwrap().to_owned();
    let flipped = if node_of_the_trie.ends_with('0') { "1" } else { "0" };
    forged["state"][0] = format!("{}{flipped}", &node_of_the_trie[..node_of_the_trie.len() - 1]).into();
    fs::write(file, forged.to_string()).unwrap();
    assert_eq!(offline(&["verify", file, "--anchor", &genesis]).status.code(), Some(1));
}
