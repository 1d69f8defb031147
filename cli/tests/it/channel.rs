//! `poq channel`: a deposit for the express lane is opened, topped up, closed and paid back.

use crate::common::{amount, text, wait_for, Node};
use std::{fs, os::unix::fs::PermissionsExt as _, process::Output};

const POQ: u128 = 1_000_000_000_000;

fn refused(output: Output, said: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    let last = error.lines().last().unwrap();
    assert!(said.iter().all(|part| last.contains(part)), "{last}");
}

#[test]
fn a_deposit_is_opened_topped_up_closed_and_paid_back() {
    // Epochs of three blocks: nobody waits ten minutes.
    let node = Node::start_from(|genesis| genesis["express"]["epochBlocks"] = 3.into());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("channel.key");
    let file = file.to_str().unwrap();
    let before = amount(&node.json(&["--from", "bob", "balance"])["total"]);

    refused(node.poq(&["channel", "open", "0.5", "--key", file]), &["DepositTooSmall", "0.5 POQ", "1 POQ"]);
    assert!(!fs::exists(file).unwrap(), "no key is made for nothing");
    refused(node.poq(&["channel", "open", "2", "--most", "0", "--key", file]), &["InvalidMostPerOrder"]);
    refused(node.poq(&["channel", "show", "0"]), &["UnknownChannel: 0."]);
    let none = node.poq(&["--from", "bob", "channel"]);
    assert!(text(&none.stdout).contains("has no channel"), "{}", text(&none.stderr));

    let opened = node.json(&["--from", "bob", "channel", "open", "20", "--most", "2", "--key", file]);
    assert_eq!((&opened["channel"], &opened["orders_per_epoch"]), (&0.into(), &5.into()), "{opened}");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let shown = node.json(&["channel", "show", "0"]);
    assert_eq!((amount(&shown["balance"]), amount(&shown["most_per_order"])), (20 * POQ, 2 * POQ));
    let again = node.poq(&["--from", "bob", "channel", "open", "1", "--key", file, "--orders", "5000"]);
    refused(again, &["InvalidOrdersPerEpoch", "5000 orders, and at most 4096", "--orders"]);

    // Anybody may add to it; the owner alone closes it.
    node.json(&["--from", "alice", "channel", "top-up", "0", "5"]);
    refused(node.poq(&["--from", "alice", "channel", "close", "0"]), &["NotYours: Channel 0."]);
    refused(node.poq(&["channel", "release", "0"]), &["ChannelOpen: Channel 0.", "poq channel close"]);
    wait_for("the first epoch with orders", || {
        let listed = node.json(&["channel", "list", "bob"]);
        assert_eq!((listed.as_array().unwrap().len(), amount(&listed[0]["balance"])), (1, 25 * POQ));
        (listed[0]["state"] == "open").then_some(())
    });

    let closed = node.json(&["--from", "bob", "channel", "close", "0"]);
    refused(node.poq(&["channel", "top-up", "0", "1"]), &["ChannelClosing: Channel 0."]);
    let until = closed["release_epoch"].as_u64().unwrap();
    wait_for("the end of its orders", || {
        let shown = node.json(&["channel", "show", "0"]);
        let is_over = shown["epoch"].as_u64().unwrap() >= until;
        assert_eq!(shown["state"] == "over", is_over, "{shown}");
        is_over.then_some(())
    });
    let released = node.json(&["--from", "alice", "channel", "release", "0"]);
    assert_eq!(amount(&released["refund"]), 25 * POQ);
    let after = amount(&node.json(&["--from", "bob", "balance"])["total"]);
    // The first channel of a chain also pays what keeps the pot alive.
    let fees: u128 = [&opened, &closed].map(|answer| amount(&answer["transaction_fee"])).iter().sum();
    assert_eq!(before + 5 * POQ - after, fees + POQ / 1_000);
    refused(node.poq(&["channel", "show", "0"]), &["UnknownChannel: 0.", "poq channel list"]);
    refused(node.poq(&["--from", "operator-0", "operator", "claim"]), &["NothingEarned"]);
    node.assert_invariants();
}
