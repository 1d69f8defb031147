//! The shipped judge does what its card says of it.

use serde_json::{json, Value};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn judge() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/poq-judge")
}

/// The pairs of the suite, and the card's figures.
fn suite() -> (Vec<Value>, Value) {
    let lines = fs::read_to_string(judge().join("suite.jsonl")).unwrap();
    let figures = fs::read(judge().join("figures.json")).unwrap();
    (
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        serde_json::from_slice(&figures).unwrap(),
    )
}

/// Scores by `poq-worker score`, in the order of `answers`.
fn scores(answers: &[(&str, &str)], threads: &str) -> Vec<f64> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answers.jsonl");
    let lines = answers
        .iter()
        .map(|(question, answer)| format!("{}\n", json!({ "question": question, "answer": answer })));
    fs::write(&file, lines.collect::<String>()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_poq-worker"))
        .args(["score", "--json", "--threads", threads, "--evaluator"])
        .args([judge(), file])
        .env("XDG_CONFIG_HOME", folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let score = |line: &str| serde_json::from_str::<Value>(line).unwrap()["score"].as_f64().unwrap();
    said.lines().map(score).collect()
}

#[test]
fn it_tells_plain_good_answers_from_worse_ones_as_often_as_its_card_says() {
    let (pairs, figures) = suite();
    let text = |pair: &Value, field: &str| pair[field].as_str().unwrap().to_owned();
    let texts: Vec<(String, String)> = pairs
        .iter()
        .flat_map(|pair| ["good", "worse"].map(|side| (text(pair, "question"), text(pair, side))))
        .collect();
    let texts: Vec<(&str, &str)> =
        texts.iter().map(|(question, answer)| (question.as_str(), answer.as_str())).collect();
    let scores = scores(&texts, "2");
    assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
    let mut right: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (pair, scored) in pairs.iter().zip(scores.chunks(2)) {
        let won = if scored[0] == scored[1] { 0.5 } else { f64::from(u8::from(scored[0] > scored[1])) };
        right.entry(text(pair, "kind")).or_default().push(won);
    }
    for (kind, won) in right {
        let share = won.iter().sum::<f64>() / won.len() as f64;
        let said = figures["suite"][&kind]["right"].as_f64().unwrap();
        // A pair of nearly equal scores may fall either way with another processor's arithmetic.
        let pair = 1.001 / won.len() as f64;
        assert!((share - said).abs() <= pair, "{kind}: {share} and not {said}");
    }
}

/// A consensus needs it: whoever scores gets the same, however the work is cut.
#[test]
fn a_score_depends_neither_on_threads_nor_on_what_is_scored_beside_it() {
    let (pairs, _) = suite();
    let of = |pair: &Value, field: &str| pair[field].as_str().unwrap().to_owned();
    let some: Vec<(String, String)> =
        pairs.iter().step_by(20).map(|pair| (of(pair, "question"), of(pair, "good"))).collect();
    let some: Vec<(&str, &str)> =
        some.iter().map(|(question, answer)| (question.as_str(), answer.as_str())).collect();
    let together = scores(&some, "2");
    let by_one_thread = scores(&some, "1");
    for ((together, alone), pair) in together.iter().zip(by_one_thread).zip(&some) {
        assert!((together - alone).abs() < 1e-4, "{together} {alone} {pair:?}");
    }
    let first = scores(&some[..1], "2");
    assert!((first[0] - together[0]).abs() < 1e-4, "{} {}", first[0], together[0]);
}

#[test]
fn it_is_small_and_its_manifest_is_that_of_the_chain() {
    let bytes = |name: &str| fs::metadata(judge().join(name)).unwrap().len();
    assert!(bytes("model.onnx") + bytes("tokenizer.json") <= 24_000_000, "24 MB with its tokenizer");
    let manifest: Value = serde_json::from_slice(&fs::read(judge().join("poq.json")).unwrap()).unwrap();
    assert_eq!(manifest["cut"]["answer"], json!({ "first": 100, "last": 40 }));
    let models = fs::read(judge().join("../manifest.json")).unwrap();
    let models: Value = serde_json::from_slice(&models).unwrap();
    let listed = models["models"].as_array().unwrap().iter().find(|model| model["name"] == "poq-judge");
    let id = hex::encode(Sha256::digest(fs::read(judge().join("poq.json")).unwrap()));
    assert_eq!(listed.expect("the development chain knows it")["sha256"], json!(id));
}
