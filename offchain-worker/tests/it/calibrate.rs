//! `poq-worker calibrate` with the demo evaluator and the questions that it was tested on.

use crate::common::folder_with_models;
use poq_worker::models::manifest::Manifest;
use serde_json::{json, Value};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

fn calibrate(folder: &Path, arguments: &[&str]) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_poq-worker"))
        .arg("calibrate")
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

fn error(folder: &Path, arguments: &[&str]) -> String {
    let output = calibrate(folder, arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(output.stdout.is_empty() && error.lines().count() == 1, "{error}");
    error
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = calibrate(folder, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Each of some questions with its answer, and with the answer to another one; `field` says what they are worth.
fn data(folder: &Path, field: impl Fn(bool, usize) -> Value) -> PathBuf {
    let questions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/questions.json");
    let questions: Vec<Value> = serde_json::from_slice(&fs::read(questions).unwrap()).unwrap();
    let questions = &questions[..60.min(questions.len())];
    let mut lines = String::new();
    for (place, question) in questions.iter().enumerate() {
        let other = &questions[(place + 17) % questions.len()];
        for (answer, right) in [(&question["answer"], true), (&other["answer"], false)] {
            let mut line = json!({ "question": question["question"], "answer": answer, "source": "tests" });
            line.as_object_mut().unwrap().extend(field(right, place).as_object().unwrap().clone());
            lines += &format!("{line}\n");
        }
    }
    let path = folder.join("pairs.jsonl");
    fs::write(&path, lines).unwrap();
    path
}

fn labels(folder: &Path) -> PathBuf {
    data(folder, |right, _| json!({ "label": right }))
}

#[test]
fn the_demo_evaluator_tells_right_answers_from_those_to_other_questions() {
    let folder = folder_with_models();
    let pairs = labels(folder.path());
    let plot = folder.path().join("plot.svg");
    let arguments = ["--evaluator", "poq-demo-evaluator", "--data", pairs.to_str().unwrap()];
    let drawn = [&arguments[..], &["--plot", plot.to_str().unwrap()]].concat();
    let manifest = folder.path().join("models/poq-demo-evaluator/poq.json");
    let before = fs::read(&manifest).unwrap();

    let output = calibrate(folder.path(), &drawn);
    let table = text(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    for said in
        ["120 pairs of 60 questions, 60 of them good", "Spearman", "AUC", "Brier", "With --write", "would be"]
    {
        assert!(table.contains(said), "{table}");
    }
    assert!(!table.contains("worth nothing"), "{table}");
    assert!(fs::read_to_string(&plot).unwrap().contains("poq-demo-evaluator"));
    assert_eq!(fs::read(&manifest).unwrap(), before, "nothing is written unasked");

    let report = json(folder.path(), &arguments);
    let number = |pointer: &str| report.pointer(pointer).unwrap().as_f64().unwrap();
    assert!(number("/agreement/auc") > 0.9 && number("/agreement/spearman") > 0.6, "{report:#}");
    assert!(number("/agreement/auc") > number("/answer_length/auc"), "{report:#}");
    assert_eq!((&report["beats_answer_length"], &report["written"]), (&json!(true), &json!(false)));
    assert!(number("/brier/after") <= number("/brier/before") + 0.02, "{report:#}");
    assert_eq!(report["id"]["before"], hex::encode(Sha256::digest(&before)));
}

#[test]
fn a_calibration_is_written_and_changes_the_id() {
    let folder = folder_with_models();
    let pairs = labels(folder.path());
    let path = folder.path().join("models/poq-demo-evaluator/poq.json");
    let old = Manifest::parse(&fs::read(&path).unwrap()).unwrap();
    let arguments = ["--data", pairs.to_str().unwrap(), "--evaluator"];
    let preview = json(folder.path(), &[&arguments[..], &["poq-demo-evaluator"]].concat());
    let output = calibrate(folder.path(), &[&arguments[..], &["poq-demo-evaluator", "--write"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let written = fs::read(&path).unwrap();
    let id = hex::encode(Sha256::digest(&written));
    assert_eq!(preview["id"]["after"], json!(id), "what was announced is what was done");
    assert!(text(&output.stdout).contains(&format!("id is now {id}")));
    let mut new = Manifest::parse(&written).unwrap();
    assert_eq!(json!(new.calibration), preview["calibration"]["after"]);
    assert_ne!(new.calibration, old.calibration);
    new.calibration = old.calibration;
    assert_eq!(new, old, "and nothing else");

    // It is found by its new id and by its folder too, and a second time changes nothing.
    let folder_of_it = path.parent().unwrap().to_str().unwrap();
    for name in [&id[..12], &id, folder_of_it] {
        let again = json(folder.path(), &[&arguments[..], &[name, "--write", "--threads", "1"]].concat());
        assert_eq!((&again["id"]["before"], &again["id"]["after"]), (&json!(id), &json!(id)));
        assert_eq!(again["evaluator"], "poq-demo-evaluator");
    }
}

#[test]
fn grades_are_understood() {
    let folder = folder_with_models();
    // Right answers have 4 or 5 of 5, the others 1 or 2.
    let pairs = data(folder.path(), |right, n| json!({ "value": if right { 4 } else { 1 } + n % 2 }));
    let arguments = ["--evaluator", "poq-demo-evaluator", "--data", pairs.to_str().unwrap()];
    let plot = folder.path().join("plot.svg");
    let drawn = [&arguments[..], &["--range", "0..5", "--plot", plot.to_str().unwrap()]].concat();
    let report = json(folder.path(), &drawn);
    assert_eq!((&report["graded"], &report["good"]), (&json!(true), &json!(60)));
    assert!(fs::read_to_string(plot).unwrap().contains("by value"));
    let high = json(folder.path(), &[&arguments[..], &["--threshold", "4.5"]].concat());
    assert_eq!(high["good"], 30);
    let error = error(folder.path(), &[&arguments[..], &["--range", "0..4"]].concat());
    assert!(error.contains("outside of the range 0..4"), "{error}");
}

#[test]
fn numbers_that_go_against_the_data_are_refused() {
    let folder = folder_with_models();
    let turned = data(folder.path(), |right, _| json!({ "label": !right }));
    let arguments = ["--evaluator", "poq-demo-evaluator", "--write", "--data", turned.to_str().unwrap()];
    let manifest = folder.path().join("models/poq-demo-evaluator/poq.json");
    let before = fs::read(&manifest).unwrap();
    let error = error(folder.path(), &arguments);
    assert!(error.contains("go against the data"), "{error}");
    assert_eq!(fs::read(&manifest).unwrap(), before);
}

#[test]
fn an_evaluator_that_cannot_beat_answer_length_is_told_so() {
    let folder = folder_with_models();
    // The longer an answer, the better; that it is right counts for little.
    let lines = fs::read_to_string(labels(folder.path())).unwrap();
    let valued = lines.lines().map(|line| {
        let mut pair: Value = serde_json::from_str(line).unwrap();
        let right = pair.as_object_mut().unwrap().remove("label").unwrap().as_bool().unwrap();
        let length = pair["answer"].as_str().unwrap().len();
        pair["value"] = json!(length + 2 * usize::from(right));
        format!("{pair}\n")
    });
    let pairs = folder.path().join("valued.jsonl");
    fs::write(&pairs, valued.collect::<String>()).unwrap();
    let arguments = ["--evaluator", "poq-demo-evaluator", "--data", pairs.to_str().unwrap()];
    let output = calibrate(folder.path(), &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("worth nothing"), "{}", text(&output.stdout));
    assert_eq!(json(folder.path(), &arguments)["beats_answer_length"], false);
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let folder = folder_with_models();
    let pairs = labels(folder.path());
    let pairs = pairs.to_str().unwrap();
    let with =
        |evaluator: &str, data: &str| error(folder.path(), &["--evaluator", evaluator, "--data", data]);
    assert!(with("nobody", pairs).contains("poq-worker models list"));
    assert!(with("poq-demo-evaluator", "/nowhere.jsonl").contains("/nowhere.jsonl"));
    let few = folder.path().join("few.jsonl");
    fs::write(&few, "{\"question\":\"q\",\"answer\":\"a\",\"label\":1}\n").unwrap();
    assert!(with("poq-demo-evaluator", few.to_str().unwrap()).contains("at least 20"));
    fs::write(&few, "{\"question\":\"q\",\"answer\":\"a\",\"label\":1}\n\nnonsense\n").unwrap();
    assert!(with("poq-demo-evaluator", few.to_str().unwrap()).contains("line 3 "));
    let model = folder.path().join("models/poq-demo-evaluator/tokenizer.json");
    let tokenizer = fs::read_to_string(&model).unwrap();
    fs::write(&model, tokenizer + "\n").unwrap();
    assert!(with("poq-demo-evaluator", pairs).contains("is not the file that poq.json names"));
    fs::remove_file(&model).unwrap();
    assert!(with("poq-demo-evaluator", pairs).contains("tokenizer.json is not there"));
}
