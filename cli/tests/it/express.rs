//! `poq ask --express`, on a node of the development chain with the demo's operators on the lane.

use crate::common::{amount, parse, text, wait_for, Node};
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt as _};

const POQ: u128 = 1_000_000_000_000;

/// Blocks of an epoch: room for snapshots, a seed, and orders.
const EPOCH: u32 = 12;

#[test]
fn a_question_is_answered_on_the_lane_and_otherwise_on_the_chain() {
    let node = Node::start_with_lane(EPOCH);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("channel.key");
    let file = file.to_str().unwrap();
    let ask = |question: &str, more: &[&str]| {
        node.poq(&[&["--from", "bob", "ask", "--express", file, "--committee", "3", question], more].concat())
    };
    let peru = || ask("What is the capital of Peru?", &["--json"]);

    let none = peru();
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("cannot read"), "{}", text(&none.stderr));
    node.json(&["key", "new", file]);
    let none = peru();
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("poq channel open"), "{}", text(&none.stderr));
    node.json(&["--from", "bob", "channel", "open", "40", "--most", "2", "--key", file]);

    // The channel's first epoch is the next one, and the lane's first is that after the operators registered: until then the chain answers.
    let mut on_chain = 0;
    let answer = wait_for("an answer on the lane", || {
        let asked = peru();
        let said = text(&asked.stderr);
        assert_eq!(asked.status.code(), Some(0), "{said}");
        let answer: Value = parse(&asked.stdout);
        assert_eq!(answer["lane"].is_null(), said.contains("; asking on the chain path"), "{said}");
        on_chain += u32::from(answer["state"] == "settled");
        (answer["lane"] == "express").then_some(answer)
    });
    assert!(on_chain > 0, "the channel was new");
    assert!(answer["answer"].as_str().unwrap().contains("Lima"), "{answer}");
    let scores = answer["answers"][0]["scores"].as_array().unwrap();
    assert!(scores.len() == 3 && answer["answers"][0]["median"].as_f64().unwrap() > 0.5, "{answer}");
    let kept = fs::metadata(format!("{file}.orders")).unwrap();
    assert_eq!(kept.permissions().mode() & 0o777, 0o700, "prompts are nobody else's");

    // The operators settle it, and the responder is paid.
    let settled = wait_for("the settlement", || {
        let shown = node.json(&["channel", "show", "0"]);
        (amount(&shown["balance"]) < 40 * POQ).then_some(shown)
    });
    let spent = 40 * POQ - amount(&settled["balance"]);
    assert!(spent <= amount(&answer["budget"]), "{spent} of {}", answer["budget"]);
    let responder = answer["answers"][0]["operator_name"].as_str().expect("is of the demo");
    let claimed = node.json(&["--from", responder, "operator", "claim"]);
    assert!(claimed["done"].as_str().unwrap().starts_with("claimed "), "{claimed}");

    // People read it, too.
    let shown = ask("What is the capital of France?", &[]);
    let said = text(&shown.stdout);
    assert!(
        said.contains("Paris") && said.contains("on the express lane in "),
        "{said}{}",
        text(&shown.stderr)
    );
    node.assert_invariants();
}
