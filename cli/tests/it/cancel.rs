//! `poq cancel`: a question that waits for operators is taken back.

use crate::common::{amount, parse, text, Node};
use std::process::Output;

#[test]
fn a_request_that_waits_is_cancelled_by_who_asked_and_costs_the_chains_part() {
    let node = Node::start_with(&["--engine", "off"]);
    // Nobody has room for an answer, so the draw is put off.
    for operator in ["operator-0", "operator-1"] {
        let done = node.poq(&["--from", operator, "operator", "capacity", "--tokens", "1"]);
        assert!(done.status.success(), "{}", text(&done.stderr));
    }
    let asking = node.poq_in_background(&["ask", "What is the capital of Peru?", "--yes", "--json"]);
    crate::common::wait_for("the request", || node.request(0));

    let refused = |output: Output, name: &str| {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.lines().last().unwrap().starts_with(&format!("error: {name}: ")), "{said}");
    };
    refused(node.poq(&["cancel", "7"]), "UnknownRequest");
    refused(node.poq(&["--from", "bob", "cancel", "0"]), "NotRequester");

    let cancelled = node.json(&["cancel", "0"]);
    assert_eq!(
        (&cancelled["state"], &cancelled["refund_reason"]),
        (&"refunded".into(), &"Cancelled".into()),
        "{cancelled}"
    );
    let [budget, fee, refund] = ["budget", "fee", "refund"].map(|part| amount(&cancelled[part]));
    assert!(fee > 0 && refund > 0 && fee + refund == budget, "{cancelled}");
    refused(node.poq(&["cancel", "0"]), "NotWaiting");

    // The requester's `poq ask` ends, too.
    let asked = asking.wait_with_output().unwrap();
    assert_eq!(parse(&asked.stdout)["state"], "refunded", "{}", text(&asked.stderr));
    node.assert_invariants();
    let shown = text(&node.poq(&["request", "0"]).stdout);
    assert!(shown.contains("its requester cancelled it before anybody was drawn"), "{shown}");
}
