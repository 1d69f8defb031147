//! Evaluators of shapes that the demo model does not have, made by hand: small graphs over `input_ids`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::{catalogue, folder_with_models, score};
use poq_primitives::job::FailureReason;
use poq_worker::{
    catalogue::{ModelKind, ModelState},
    evaluator::Evaluator,
    limits::{Limits, Unfinished},
};
use std::{fs, path::Path};

/// Just enough of ONNX's protobuf to write a graph.
mod onnx {
    fn varint(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push((value as u8) | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    fn number(field: u64, value: u64) -> Vec<u8> {
        [varint(field << 3), varint(value)].concat()
    }

    fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
        [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
    }

    fn int_attribute(name: &str, value: u64) -> Vec<u8> {
        [bytes(1, name.as_bytes()), number(3, value), number(20, 2)].concat()
    }

    fn ints_attribute(name: &str, value: u64) -> Vec<u8> {
        [bytes(1, name.as_bytes()), number(8, value), number(20, 7)].concat()
    }

    fn node(operation: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut node: Vec<u8> = inputs.iter().flat_map(|input| bytes(1, input.as_bytes())).collect();
        node.extend([bytes(2, output.as_bytes()), bytes(4, operation.as_bytes())].concat());
        node.extend(attributes.iter().flat_map(|attribute| bytes(5, attribute)));
        bytes(1, &node)
    }

    fn value(name: &str, kind: u64) -> Vec<u8> {
        let dimension = |name: &str| bytes(1, &bytes(2, name.as_bytes()));
        let shape = [dimension(&format!("{name}-rows")), dimension(&format!("{name}-columns"))].concat();
        let tensor = [number(1, kind), bytes(2, &shape)].concat();
        [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
    }

    pub const INT32: u64 = 6;
    pub const INT64: u64 = 7;

    /// A model whose outputs are made from `mean`, the mean of the token ids, by one operation each, joined
    /// side by side.
    pub fn model(inputs: &[(&str, u64)], outputs: &[&str]) -> Vec<u8> {
        let mut graph = node("Cast", &[inputs[0].0], "floats", &[int_attribute("to", 1)]);
        let axes = [ints_attribute("axes", 1), int_attribute("keepdims", 1)];
        graph.extend(node("ReduceMean", &["floats"], "mean", &axes));
        let names: Vec<String> = (0..outputs.len()).map(|n| format!("part{n}")).collect();
        for (operation, name) in outputs.iter().zip(&names) {
            match *operation {
                "NaN" => {
                    graph.extend(node("Neg", &["mean"], "negative", &[]));
                    graph.extend(node("Log", &["negative"], name, &[]));
                }
                operation => graph.extend(node(operation, &["mean"], name, &[])),
            }
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        graph.extend(node("Concat", &names, "logits", &[int_attribute("axis", 1)]));
        graph.extend(bytes(2, b"graph"));
        graph.extend(inputs.iter().flat_map(|(name, kind)| bytes(11, &value(name, *kind))));
        graph.extend(bytes(12, &value("logits", 1)));
        [number(1, 8), bytes(8, &number(2, 13)), bytes(7, &graph)].concat()
    }
}

const IDS: (&str, u64) = ("input_ids", onnx::INT64);

/// Puts an evaluator with the demo tokenizer into `folder/models/hand-made`.
fn make(folder: &Path, model: &[u8], settings: &str) -> Result<Evaluator, String> {
    let models = folder.join("models");
    let own = models.join("hand-made");
    fs::create_dir_all(&own).unwrap();
    fs::copy(models.join("poq-demo-evaluator/tokenizer.json"), own.join("tokenizer.json")).unwrap();
    fs::write(own.join("model.onnx"), model).unwrap();
    fs::write(own.join("poq.json"), settings).unwrap();
    Evaluator::load(&own, &own.join("model.onnx"), 1)
}

fn scores(evaluator: &Evaluator) -> Result<Vec<u32>, Unfinished> {
    let job = score("", "What is the capital of France?", &["Paris.", "I do not know that at all."]);
    evaluator.score(&job, &Limits::none())
}

#[test]
fn one_logit_and_two_classes_are_understood() {
    let folder = folder_with_models();
    let one = onnx::model(&[IDS], &["Identity"]);
    let two = onnx::model(&[IDS], &["Neg", "Identity"]);
    // Two classes at -x and x are apart by 2x.
    let one = make(folder.path(), &one, r#"{"calibration":{"a":0.002,"b":-0.5}}"#).unwrap();
    let two = make(folder.path(), &two, r#"{"calibration":{"a":0.001,"b":-0.5}}"#).unwrap();
    let (one, two) = (scores(&one).unwrap(), scores(&two).unwrap());
    assert_eq!(one, two);
    assert_ne!(one[0], one[1], "the text takes part");
}

#[test]
fn settings_are_optional_and_checked() {
    let folder = folder_with_models();
    let model = onnx::model(&[IDS], &["Identity"]);
    assert_eq!(make(folder.path(), &model, "{}").unwrap().max_tokens(), 512);
    assert_eq!(make(folder.path(), &model, r#"{"max_tokens":64}"#).unwrap().max_tokens(), 64);
    for bad in ["", "[", r#"{"max_tokens":3}"#, r#"{"max_tokens":-1}"#, r#"{"calibration":{"a":"x"}}"#] {
        let error = make(folder.path(), &model, bad).unwrap_err();
        assert!(error.starts_with("poq.json"), "{bad}: {error}");
    }
}

#[test]
fn models_that_are_no_evaluators_are_refused_with_their_reason() {
    let folder = folder_with_models();
    let cases = [
        (onnx::model(&[IDS, ("pixel_values", onnx::INT64)], &["Identity"]), "pixel_values"),
        (onnx::model(&[("input_ids", onnx::INT32)], &["Identity"]), "64-bit"),
        (onnx::model(&[("attention_mask", onnx::INT64)], &["Identity"]), "has no input 'input_ids'"),
        (b"no model at all".to_vec(), "ONNX Runtime does not load it"),
        (Vec::new(), "ONNX Runtime does not load it"),
    ];
    for (model, reason) in cases {
        let error = make(folder.path(), &model, "{}").unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn outputs_that_are_no_score_fail_the_job() {
    let folder = folder_with_models();
    for outputs in [&["NaN"][..], &["NaN", "Identity"], &["Neg", "Identity", "Neg"]] {
        let evaluator = make(folder.path(), &onnx::model(&[IDS], outputs), "{}").unwrap();
        let Unfinished::Failed(error) = scores(&evaluator).unwrap_err() else { panic!("{outputs:?}") };
        assert_eq!(error.code, FailureReason::Internal, "{outputs:?}");
    }
}

#[test]
fn the_layout_of_model_hubs_is_known() {
    let folder = folder_with_models();
    make(folder.path(), &onnx::model(&[IDS], &["Identity"]), "{}").unwrap();
    let own = folder.path().join("models/hand-made");
    fs::create_dir(own.join("onnx")).unwrap();
    fs::rename(own.join("model.onnx"), own.join("onnx/model.onnx")).unwrap();
    let catalogue = catalogue(folder.path());
    let model = catalogue.list().into_iter().find(|model| model.name == "hand-made").unwrap();
    assert_eq!((model.kind, model.state), (ModelKind::Evaluator, ModelState::Available));
    scores(&catalogue.evaluator(&model.id.unwrap()).unwrap()).unwrap();
}

#[test]
fn a_model_without_its_tokenizer_is_unavailable() {
    let folder = folder_with_models();
    make(folder.path(), &onnx::model(&[IDS], &["Identity"]), "{}").unwrap();
    fs::remove_file(folder.path().join("models/hand-made/tokenizer.json")).unwrap();
    let catalogue = catalogue(folder.path());
    let broken = catalogue.list().into_iter().find(|model| model.name == "hand-made").unwrap();
    let Unfinished::Failed(error) = catalogue.evaluator(&broken.id.unwrap()).unwrap_err() else { panic!() };
    assert_eq!(error.code, FailureReason::ModelUnavailable);
    assert!(error.message.contains("tokenizer.json"), "{}", error.message);
    assert!(catalogue.list().iter().any(|model| model.state == ModelState::Broken), "and the list says so");
}
