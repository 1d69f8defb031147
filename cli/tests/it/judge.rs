//! The judge that comes with the repository, at work on a chain: operators take it up, a question is judged by it.

use crate::common::Node;
use std::{fs, path::Path};

const JUDGE: &str = "poq-judge";

#[test]
fn operators_take_up_the_judge_and_a_question_is_scored_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fs::create_dir_all(models.join(JUDGE)).unwrap();
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(JUDGE);
    for file in ["model.onnx", "tokenizer.json", "poq.json"] {
        fs::copy(bundled.join(file), models.join(JUDGE).join(file)).unwrap();
    }
    let node = Node::start_with(&["--models", models.to_str().unwrap()]);
    node.wait_for_engine(None).unwrap();

    // The chain knows it from its first block, and nobody serves it.
    let listed = |name: &str| {
        let models = node.json(&["models"]);
        models.as_array().unwrap().iter().find(|model| model["name"] == name).expect("it is listed").clone()
    };
    let judge = listed(JUDGE);
    assert_eq!(judge["kind"], "evaluator");
    assert!(judge["noise"].as_f64().unwrap() > 0.0, "{judge}");
    assert_eq!(listed("poq-demo-evaluator")["noise"], 0.0);
    for number in 2..7 {
        let name = format!("operator-{number}");
        let both = ["--model", "poq-demo-evaluator", "--model", JUDGE];
        node.json(&[&["--from", &name, "operator", "register"][..], &both].concat());
    }

    let asked = node.json(&["ask", "What is the capital of Peru?", "--evaluator", JUDGE]);
    assert_eq!((&asked["state"], &asked["evaluator"]["name"]), (&"settled".into(), &JUDGE.into()));
    let quality = asked["quality"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&quality), "{asked}");
    for response in asked["responses"].as_array().unwrap() {
        let scores: Vec<f64> = response["scores"]
            .as_array()
            .unwrap()
            .iter()
            .map(|score| score["score"].as_f64().unwrap())
            .collect();
        // One engine, one judge: all five say the same, to the last digit that consensus looks at.
        assert!(scores.iter().all(|score| (score - scores[0]).abs() < 0.002), "{scores:?}");
    }
    node.assert_invariants();
}
