//! `poq-worker rank` with the demo evaluator and the example in `examples/rank`.

use crate::common::folder_with_models;
use serde_json::{json, Value};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

fn rank(folder: &Path, arguments: &[&str]) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_poq-worker"))
        .args(["rank", "--evaluator", "poq-demo-evaluator"])
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

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/rank")
}

/// The example's two paths.
fn paths() -> [String; 2] {
    ["outputs", "leaderboard.jsonl"].map(|name| example().join(name).to_str().unwrap().to_owned())
}

fn json_of(folder: &Path, arguments: &[&str]) -> Value {
    let output = rank(folder, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn error(folder: &Path, arguments: &[&str]) -> String {
    let output = rank(folder, arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(output.stdout.is_empty() && error.lines().count() == 1, "{error}");
    error
}

#[test]
fn models_are_ranked_as_far_as_they_know_the_facts() {
    let folder = folder_with_models();
    let [outputs, board] = paths();
    let arguments = ["--data", &outputs, "--leaderboard", &board];
    let report = json_of(folder.path(), &arguments);
    let names: Vec<&str> =
        report["models"].as_array().unwrap().iter().map(|model| model["model"].as_str().unwrap()).collect();
    assert_eq!((names[0], names[5]), ("knows-all", "knows-none"), "{report:#}");
    assert_eq!((&report["answers"], &report["questions_answered_by_all"]), (&json!(144), &json!(24)));
    let number = |pointer: &str| report.pointer(pointer).unwrap().as_f64().unwrap();
    assert!(number("/agreement/spearman/value") > 0.9, "{report:#}");
    assert!(number("/agreement/spearman/value") > number("/agreement/length/value"), "{report:#}");
    for (place, model) in report["models"].as_array().unwrap().iter().enumerate() {
        let number = |pointer: &str| model.pointer(pointer).unwrap().as_f64().unwrap();
        assert!(number("/interval/low") <= number("/score") && number("/score") <= number("/interval/high"));
        assert!(place == 0 || number("/score") <= report["models"][place - 1]["score"].as_f64().unwrap());
    }
    assert_eq!(json_of(folder.path(), &arguments), report, "the same seed, the same figures");
    let other = json_of(folder.path(), &[&arguments[..], &["--seed", "2"]].concat());
    assert_ne!(other["models"][3]["interval"], report["models"][3]["interval"]);
    assert_eq!(other["models"][3]["score"], report["models"][3]["score"]);
}

#[test]
fn people_read_a_table() {
    let folder = folder_with_models();
    let [outputs, board] = paths();
    let output = rank(folder.path(), &["--data", &outputs, "--leaderboard", &board]);
    let table = text(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    for said in
        ["144 answers of 6 models to 24 questions", "knows-half", "Spearman", "given length", "length alone"]
    {
        assert!(table.contains(said), "{table}");
    }
    // Columns are aligned: in the table of models, each line has its score at the same place.
    let ends: Vec<usize> =
        table.lines().filter(|line| line.contains("knows-")).map(|line| line.find("0.").unwrap()).collect();
    assert!(ends.len() == 6 && ends.iter().all(|end| *end == ends[0]), "{table}");
    let without = text(&rank(folder.path(), &["--data", &outputs]).stdout);
    assert!(without.contains("knows-half") && !without.contains("Spearman"), "{without}");
}

#[test]
fn what_cannot_be_compared_is_said() {
    let folder = folder_with_models();
    let [outputs, _] = paths();
    let other = folder.path().join("outputs");
    fs::create_dir(&other).unwrap();
    for name in ["all", "many", "half", "none"] {
        let name = format!("knows-{name}.jsonl");
        let lines = fs::read_to_string(Path::new(&outputs).join(&name)).unwrap();
        let kept = if name == "knows-half.jsonl" { 20 } else { 24 };
        let lines: String = lines.lines().take(kept).map(|line| format!("{line}\n")).collect();
        fs::write(other.join(name), lines).unwrap();
    }
    let board = folder.path().join("board");
    let of = |names: &[&str]| {
        let lines: Vec<String> = names
            .iter()
            .zip(1..)
            .map(|(name, value)| json!({ "model": name, "value": value }).to_string())
            .collect();
        fs::write(&board, lines.join("\n")).unwrap();
    };
    of(&["knows-none", "knows-half", "knows-all", "nobody"]);
    let arguments = ["--data", other.to_str().unwrap(), "--leaderboard", board.to_str().unwrap()];
    let table = text(&rank(folder.path(), &arguments).stdout);
    for said in [
        "Only 20 of the 24 questions",
        "Not in the leaderboard: knows-many.",
        "In the leaderboard only: nobody.",
    ] {
        assert!(table.contains(said), "{table}");
    }
    of(&["knows-none", "knows-all", "nobody"]);
    assert!(error(folder.path(), &arguments).contains("names 2 of the models that answered"));
    assert!(error(folder.path(), &["--data", "/nowhere"]).contains("/nowhere"));
    assert!(error(folder.path(), &["--data", folder.path().to_str().unwrap()]).contains("no .jsonl files"));
}
