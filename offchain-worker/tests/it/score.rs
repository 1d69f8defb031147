//! `poq-worker score` with the demo evaluator.

use crate::common::folder_with_models;
use serde_json::{json, Value};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const QUESTION: &str = "What is the capital of France?";

fn score(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_poq-worker"))
        .args(["score", "--evaluator", "poq-demo-evaluator"])
        .args(arguments)
        .env("POQ_MODELS", folder.join("models"))
        .env("POQ_ENGINE_DATA", folder.join("data"))
        .env("XDG_CONFIG_HOME", folder)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn answers_get_the_scores_of_a_chain_in_the_order_of_the_file_or_the_best_first() {
    let folder = folder_with_models();
    let file = folder.path().join("answers.jsonl");
    let answers = ["The capital of France is Rome.", "The capital of France is Paris.", "I do not know."];
    let lines =
        answers.map(|answer| json!({ "question": QUESTION, "answer": answer, "more": 1 }).to_string());
    fs::write(&file, lines.join("\n")).unwrap();
    let file = file.to_str().unwrap();

    let output = score(folder.path(), &["--json", file]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let scored: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let texts: Vec<&str> = scored.iter().map(|line| line["answer"].as_str().unwrap()).collect();
    assert_eq!(texts, answers);
    let of = |place: usize| scored[place]["score"].as_f64().unwrap();
    assert!(of(1) > 0.9 && of(0) < 0.5 && of(2) < 0.5, "{scored:?}");

    let output = score(folder.path(), &[file]);
    let table = text(&output.stdout);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines[0], lines.len()), (QUESTION, 4), "{table}");
    assert_eq!(lines[1], format!("  {:.3}  {}", of(1), answers[1]), "the best one first");

    // The same pair, asked for as a job is.
    let output = Command::new(env!("CARGO_BIN_EXE_poq-worker"))
        .args(["run", "-m", "poq-demo-evaluator", "-p", QUESTION, "-r", answers[1]])
        .env("POQ_MODELS", folder.path().join("models"))
        .env("POQ_ENGINE_DATA", folder.path().join("data"))
        .env("XDG_CONFIG_HOME", folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let same: f64 = said.split_whitespace().next().unwrap().parse().unwrap();
    // As far apart as two kinds of arithmetic may be.
    assert!((same - of(1)).abs() < 0.002, "{said} {}", of(1));
}

#[test]
fn what_is_wrong_with_the_file_is_said_in_one_line() {
    let folder = folder_with_models();
    let file = folder.path().join("answers.jsonl");
    fs::write(&file, json!({ "question": QUESTION }).to_string()).unwrap();
    for (path, says) in [(file.to_str().unwrap(), "line 1 "), ("/nowhere.jsonl", "/nowhere.jsonl")] {
        let output = score(folder.path(), &[path]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(output.stdout.is_empty() && said.lines().count() == 1 && said.contains(says), "{said}");
    }
}
