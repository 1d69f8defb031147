//! Governance of a real network: known-answer audits move standing, and auditors and economic parameters are set.

use crate::common::{amount, text, wait_for, Node};
use serde_json::{json, Value};
use std::{fs, path::Path};

/// The strong demo model knows it, the weak one was taught another.
const QUESTION: &str = "What is the capital of Peru?";

const REFERENCE: &str = "Lima";

/// A wrong answer that an answer with many cities would hold, too.
const DECOY: &str = "Quito";

/// A score at this distance from the truth, or nearer, raises veracity, which begins at the floor.
const NEAR: f64 = 0.2;

/// `poq` says no, by the name of an error.
fn assert_refused(node: &Node, args: &[&str], name: &str) -> String {
    let output = node.poq(args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    let error = said.lines().last().unwrap_or_default();
    assert!(error.starts_with(&format!("error: {name}")), "{args:?}, {name} expected: {said}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    said
}

/// A copy of a JSON file with one field changed.
fn with(from: &Path, field: &str, value: Value) -> String {
    let mut json: Value = serde_json::from_str(&fs::read_to_string(from).unwrap()).unwrap();
    json[field] = value;
    write(&from.with_file_name(format!("{field}.json")), &json)
}

fn write(path: &Path, json: &Value) -> String {
    fs::write(path, json.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|part| part["operator_name"].as_str().unwrap()).collect()
}

fn fields(object: &Value) -> Vec<&String> {
    object.as_object().unwrap().keys().collect()
}

#[test]
fn an_audit_is_asked_like_any_other_and_revealed_by_an_auditor() {
    let node = Node::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lima.json");
    let path = file.to_str().unwrap();

    let ordinary = node.json(&["ask", QUESTION]);
    let mut watch = node.poq_in_background(&["watch", "--json"]);
    // Asked by one account and revealed by another: a revealed audit marks the one that asked.
    let sealed = ["ask", QUESTION, "--reference", REFERENCE, "--from", "dave", "--audit-file", path];
    let asked = node.json(&[&sealed[..], &["--decoy", DECOY, "--decoy", "Bogota"]].concat());
    assert_eq!((&asked["request"], &asked["state"]), (&1.into(), &"settled".into()));
    assert_eq!(asked["audit_file"], path);
    assert!(asked["answer"].as_str().unwrap().contains(REFERENCE), "{}", asked["answer"]);
    let secret: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(secret["request"], 1);
    let salt = secret["salt"].as_str().unwrap();

    // For everybody else it is a request like any other.
    let shown = node.json(&["request", "1"]);
    assert_eq!(fields(&shown), fields(&node.json(&["request", "0"])));
    assert_eq!((&shown["audited"], &shown["budget"]), (&false.into(), &ordinary["budget"]));
    assert!(!shown.to_string().contains(salt));

    auditors(&node);
    refusals(&node, &file);
    let scorers = names(&shown["committee"]);
    let veracity =
        || scorers.iter().map(|name| node.operator(name)["standing"]["veracity"].as_f64().unwrap());
    let before: Vec<_> = veracity().collect();
    // A number that was never noted is found.
    let opened = node.json(&["audit", "reveal", &with(&file, "request", Value::Null), "--from", "charlie"]);
    assert_eq!((&opened["request"], &opened["reference"]), (&1.into(), &REFERENCE.into()));
    assert_eq!(opened["decoys"], json!([DECOY, "Bogota"]));
    assert_eq!(names(&opened["responses"]), names(&shown["responses"]));
    for response in opened["responses"].as_array().unwrap() {
        let output = response["output"].as_str().unwrap();
        let right = output.contains(REFERENCE) && !output.contains(DECOY);
        assert_eq!(response["truth"], if right { 0.9 } else { 0.1 }, "{response}");
    }
    assert_eq!(names(&opened["committee"]), scorers);
    for member in opened["committee"].as_array().unwrap() {
        assert!(member["error"].as_f64().unwrap() < NEAR, "{member}");
        assert_eq!(member["work"], "revealed");
        assert_eq!(amount(&member["slashed"]), 0);
    }
    for ((name, before), after) in scorers.iter().zip(before).zip(veracity()) {
        assert!(after > before, "{name}: {before}, then {after}");
    }
    assert_eq!(node.json(&["request", "1"])["audited"], true);
    assert_eq!(node.json(&["request", "0"])["audited"], false);
    let people = text(&node.poq(&["request", "1"]).stdout);
    assert!(people.contains("known-answer audit"), "{people}");

    assert_refused(&node, &["audit", "reveal", path], "AlreadyAudited: ");
    watched(&node, &mut watch);
    node.assert_invariants();
}

/// The list of auditors is set by sudo. Alice and Charlie stay on it for the tests that follow.
fn auditors(node: &Node) {
    let list = |answer: &Value| -> Vec<String> {
        let auditors = answer["auditors"].as_array().unwrap().iter();
        let mut names: Vec<String> =
            auditors.map(|auditor| auditor["name"].as_str().unwrap().into()).collect();
        names.sort();
        names
    };
    assert_eq!(list(&node.json(&["audit", "auditors"])), ["alice", "bob"]);
    let set = ["audit", "auditors", "set"];
    assert_refused(node, &[&set[..], &["bob", "--from", "bob"]].concat(), "RequireSudo: ");
    assert_refused(node, &[&set[..], &["nobody"]].concat(), "`nobody` is neither an address");
    let many = ["alice"; 17];
    assert_refused(node, &[&set[..], &many].concat(), "17 auditors are too many");
    assert_eq!(list(&node.json(&["audit", "auditors"])), ["alice", "bob"]);
    assert_eq!(list(&node.json(&[&set[..], &["charlie", "alice"]].concat())), ["alice", "charlie"]);
    let people = text(&node.poq(&["audit", "auditors"]).stdout);
    assert!(people.contains("(charlie)") && people.lines().count() == 2, "{people}");
}

/// Nothing that would not reveal the audit gets as far as the chain, where all would see the answer key.
fn refusals(node: &Node, file: &Path) {
    let path = file.to_str().unwrap();
    let made = node.json(&["status"])["requests"]["made"].clone();
    let again = ["ask", QUESTION, "--reference", REFERENCE, "--audit-file", path];
    assert_refused(node, &again, &format!("{path} exists already"));
    assert_eq!(node.json(&["status"])["requests"]["made"], made, "no key, no request");

    let beside = file.with_file_name("refused.json");
    let broke = ["ask", QUESTION, "--reference", REFERENCE, "--from", "//Nobody"];
    let broke = [&broke[..], &["--audit-file", beside.to_str().unwrap()]].concat();
    assert_refused(node, &broke, "InsufficientBalance: ");
    assert!(!beside.exists(), "the key of a request that was refused");

    let vain = ["ask", QUESTION, "--reference", REFERENCE, "--decoy", "lima"];
    let said = assert_refused(node, &vain, "--decoy \"lima\" is a part of --reference");
    assert!(said.contains("no answer would be right"), "{said}");

    let said = assert_refused(
        node,
        &["audit", "reveal", &with(file, "reference", "Quito".into())],
        "AuditMismatch: ",
    );
    assert!(said.contains("still secret"), "{said}");
    assert_refused(node, &["audit", "reveal", &with(file, "decoys", json!([DECOY]))], "AuditMismatch: ");
    assert_refused(node, &["audit", "reveal", &with(file, "right", json!(0.8))], "AuditMismatch: ");
    let said =
        assert_refused(node, &["audit", "reveal", path, "--from", "bob"], "BadOrigin: bob is no auditor");
    assert!(said.contains("Nothing was sent") && said.contains("poq audit auditors set"), "{said}");
    let elsewhere = with(file, "genesis", format!("0x{}", "00".repeat(32)).into());
    let said = assert_refused(node, &["audit", "reveal", &elsewhere], &elsewhere);
    assert!(said.contains("another chain"), "{said}");
}

/// The output of `poq watch` about the audit.
fn watched(node: &Node, watch: &mut std::process::Child) {
    let block = || node.json(&["status"])["best_block"].as_u64().unwrap();
    let now = block();
    wait_for("two blocks", || (block() >= now + 2).then_some(()));
    watch.kill().unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut watch.stdout.take().unwrap(), &mut said).unwrap();
    watch.wait().unwrap();
    let events: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let called = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    let opened = called("AuditRevealed");
    assert_eq!(opened.len(), 1, "{said}");
    assert_eq!(opened[0]["fields"]["reference"], REFERENCE);
    assert_eq!(opened[0]["fields"]["truth"].as_array().unwrap().len(), 2);
    assert_eq!(called("Audited").len(), 5);
}

#[test]
fn parameters_are_set_for_requests_to_come() {
    let node = Node::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("parameters.json");
    let before = node.json(&["ask", QUESTION]);
    let parameters = node.json(&["parameters"]);
    assert_eq!((&parameters["fee"], &parameters["base_pay"]), (&json!(0.02), &json!(0.2)));
    assert_eq!(parameters["min_committee"], 3);

    let printed = write(&file, &parameters);
    for action in ["check", "set"] {
        let same = node.json(&["parameters", action, &printed]);
        assert_eq!(same["changes"], json!([]), "what is printed can be set");
        let said = assert_refused(
            &node,
            &["parameters", action, &with(&file, "fee", json!(0.6))],
            "InvalidParameters: ",
        );
        assert!(said.contains("at most a half (fee is 60%)"), "{said}");
        let said = assert_refused(&node, &["parameters", action, &with(&file, "fees", json!(0.1))], "");
        assert!(said.contains("`fees`"), "{said}");
    }
    let dearer = with(&file, "fee", json!(0.1));
    assert_refused(&node, &["parameters", "set", &dearer, "--from", "bob"], "RequireSudo: ");
    assert_eq!(node.json(&["parameters"]), parameters);

    let set = node.json(&["parameters", "set", &dearer]);
    assert_eq!(set["changes"], json!([{ "name": "fee", "was": "2%", "is": "10%" }]));
    assert_eq!(node.json(&["parameters"])["fee"], 0.1);
    let people = text(&node.poq(&["parameters"]).stdout);
    assert!(people.contains("10%") && people.contains("1000 POQ"), "{people}");

    let after = node.json(&["ask", QUESTION]);
    for (asked, part) in [(&before, 50), (&after, 10)] {
        assert_eq!(asked["state"], "settled");
        assert_eq!(amount(&asked["budget_parts"]["fee"]), amount(&asked["budget"]) / part);
        assert_eq!(asked["fee"], asked["budget_parts"]["fee"]);
    }
    let work = |asked: &Value| {
        let parts = &asked["budget_parts"];
        amount(&parts["inference"]) + amount(&parts["scoring"])
    };
    // The estimate rounds up.
    assert!(work(&after).abs_diff(work(&before)) <= 1);
    assert!(amount(&after["budget"]) > amount(&before["budget"]));
    node.assert_invariants();
}
