//! Requests whose engine or node dies, or never was: each settles or is refunded, and nothing is lost.

use crate::common::{amount, parse, register_hasty_generator, text, total, wait_for, Node};
use harness::{process, Signal};
use serde_json::Value;

/// A question, with more patience than any timeout on the chain.
const ASK: [&str; 6] =
    ["ask", "What is the capital of Peru?", "--max-tokens", "64", "--json", "--timeout=600"];

/// The request came to an end that is written down, and its budget adds up.
fn assert_over(request: &Value) {
    assert!(request["state"] == "settled" || request["state"] == "refunded", "{request}");
    let spent = amount(&request["paid"]) + amount(&request["fee"]);
    assert_eq!(spent + amount(&request["refund"]), amount(&request["budget"]));
}

#[test]
fn an_engine_killed_in_the_middle_does_not_strand_a_request() {
    let node = Node::start();
    let engine = node.wait_for_engine(None).unwrap();
    let people = ["alice", "bob", "charlie", "dave", "eve", "ferdie"];
    let asks = people.map(|person| node.poq_in_background(&[&ASK[..], &["--from", person]].concat()));
    wait_for("a draw", || node.request(0).filter(|request| request["state"] != "requested"));
    process::send(engine, Signal::KILL);
    node.wait_for_engine(Some(engine)).unwrap();

    for ask in asks {
        let output = ask.wait_with_output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 4)), "{}", text(&output.stderr));
        assert_over(&parse(&output.stdout));
    }
    node.assert_invariants();
    let again = node.json(&["ask", "What colour is the sky?"]);
    assert_eq!(again["state"], "settled", "the new engine works");
}

#[test]
fn a_node_killed_in_the_middle_does_not_strand_a_request() {
    let node = Node::start();
    let engine = node.wait_for_engine(None).unwrap();
    let ask = node.poq_in_background(&ASK);
    node.wait_until_in_work(0);
    node.kill().expect("the node ends, and its orphaned engine");
    assert!(!process::runs(engine));
    node.restart();

    assert_over(&node.wait_until_closed(0));
    let output = ask.wait_with_output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 4)), "poq waits for the node: {}", text(&output.stderr));
    node.assert_invariants();
    let again = node.json(&["ask", "What colour is the sky?"]);
    assert_eq!(again["state"], "settled");
}

/// Two operators after two requests that a node with these options does not answer.
async fn asked_in_vain(options: &[&str]) -> [Value; 2] {
    let node = Node::start_with(options);
    let client = node.client().await;
    // The windows of the demo's models are minutes long; these are blocks.
    register_hasty_generator(&client, "hasty").await;
    let names = ["operator-0", "operator-1"];
    for name in names {
        let worker = node.operator(name)["worker"].as_str().unwrap().to_owned();
        node.json(&["--from", name, "operator", "register", "--worker", &worker, "--model", "hasty"]);
    }
    let stakes = names.map(|name| amount(&node.operator(name)["stake"]));

    for (responders, reason) in [("1", "NoOutput"), ("2", "NoCommitment")] {
        let before = total(&client, "//Alice").await;
        let output = node.poq(&["ask", "?", "--generator", "hasty", "--responders", responders, "--json"]);
        assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
        let request = parse(&output.stdout);
        assert_over(&request);
        assert_eq!((&request["state"], &request["refund_reason"]), (&"refunded".into(), &reason.into()));
        // Somebody was drawn, so the fee is owed, and nothing else. The requester has no part in the slashes of the absent.
        assert_eq!((&request["paid"], &request["fee"]), (&"0".into(), &request["budget_parts"]["fee"]));
        let spent = amount(&request["fee"]) + amount(&request["transaction_fee"]);
        assert_eq!(before - total(&client, "//Alice").await, spent);
    }

    let operators = names.map(|name| node.operator(name));
    let missed: u64 = operators.iter().map(|operator| operator["missed"].as_u64().unwrap()).sum();
    assert_eq!(missed, 3, "one duty, then two");
    for (operator, stake) in operators.iter().zip(stakes) {
        assert_eq!(amount(&operator["stake"]) + amount(&operator["slashed"]), stake);
    }
    node.assert_invariants();
    operators
}

#[tokio::test]
async fn without_an_engine_a_request_is_refunded_and_the_failure_is_reported_in_time() {
    for operator in asked_in_vain(&["--engine", "off"]).await {
        assert_eq!(operator["slashed"], "0", "{operator}");
        let latest = operator["recent"].as_array().unwrap().last().unwrap();
        assert_eq!(latest["why"], "reported as failed: ModelUnavailable");
    }
}

#[tokio::test]
async fn without_a_word_a_request_is_refunded_and_silence_is_slashed() {
    for operator in asked_in_vain(&["--engine", "off", "--offchain-worker", "never"]).await {
        assert!(amount(&operator["slashed"]) > 0, "{operator}");
        let latest = operator["recent"].as_array().unwrap().last().unwrap();
        assert!(latest["why"].as_str().unwrap().starts_with("absent: "), "{latest}");
    }
}

#[test]
fn ctrl_c_stops_the_node_and_its_engine() {
    let node = Node::start();
    let engine = node.wait_for_engine(None).unwrap();
    // A terminal sends it to all processes.
    process::send(engine, Signal::INT);
    node.end(Signal::INT).expect("both end");
    assert!(!process::runs(engine));
}
