//! `poq health` tells a node that is well from one that is not by its exit code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "these are tests")]

mod common;

use common::{text, Node};

#[test]
fn health_is_an_exit_code_and_one_line() {
    let node = Node::start_with(&["--engine", "off"]);
    let health = node.json(&["health", "--block-age", "300"]);
    assert_eq!(health["healthy"], true, "{health}");
    assert!(
        health["best_block"].as_u64().unwrap() > 0 && health["block_age_seconds"].as_u64().unwrap() <= 300
    );

    // The newest block is not final at once.
    let output = common::wait_for("a best block that is not final", || {
        let output = node.poq(&["health", "--finality-lag", "0"]);
        (!output.status.success()).then_some(output)
    });
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: Unhealthy: finality is "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    node.kill().unwrap();
    let output = node.poq(&["health"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
}
