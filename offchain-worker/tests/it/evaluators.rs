//! Evaluators of shapes that the demo model does not have, made by hand: small graphs over `input_ids`.

use crate::common::{folder_with_models, scoring};
use poq_primitives::job::FailureReason;
use poq_worker::{
    evaluator::{Evaluator, EvaluatorOptions},
    limits::{Cancel, Limits, Unfinished},
    models::manifest::{Calibration, EvaluatorKind, Manifest, Pooling},
    work::{Scored, Scoring},
};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use std::{fs, path::Path, time::Duration};

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

    /// An input or an output, its sizes by name or, where they are numbers, fixed.
    fn value(name: &str, kind: u64, sizes: &[&str]) -> Vec<u8> {
        let size = |size: &&str| match size.parse() {
            Ok(fixed) => bytes(1, &number(1, fixed)),
            Err(_) => bytes(1, &bytes(2, size.as_bytes())),
        };
        let shape: Vec<u8> = sizes.iter().flat_map(size).collect();
        let tensor = [number(1, kind), bytes(2, &shape)].concat();
        [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
    }

    /// A tensor of floats that belongs to the graph.
    fn constant(name: &str, sizes: &[u64], floats: &[f32]) -> Vec<u8> {
        let mut tensor: Vec<u8> = sizes.iter().flat_map(|size| number(1, *size)).collect();
        tensor.extend([number(2, 1), bytes(8, name.as_bytes())].concat());
        tensor.extend(bytes(9, &floats.iter().flat_map(|float| float.to_le_bytes()).collect::<Vec<_>>()));
        bytes(5, &tensor)
    }

    fn file(graph: &[u8]) -> Vec<u8> {
        let graph = [graph, &bytes(2, b"graph")].concat();
        [number(1, 8), bytes(8, &number(2, 13)), bytes(7, &graph)].concat()
    }

    pub const INT32: u64 = 6;
    pub const INT64: u64 = 7;
    const FLOAT: u64 = 1;

    /// A cross-encoder whose outputs are made from `mean`, the mean of the ids of its tokens, by one operation
    /// each, joined side by side. Where it has a mask, padding does not count.
    pub fn model(inputs: &[(&str, u64)], outputs: &[&str]) -> Vec<u8> {
        let sizes = ["rows", "columns"];
        shaped_model(inputs, outputs, &sizes, &["rows", &outputs.len().to_string()])
    }

    pub fn shaped_model(
        inputs: &[(&str, u64)],
        outputs: &[&str],
        sizes: &[&str],
        output_sizes: &[&str],
    ) -> Vec<u8> {
        let mut graph = node("Cast", &[inputs[0].0], "floats", &[int_attribute("to", FLOAT)]);
        let axes = [ints_attribute("axes", 1), int_attribute("keepdims", 1)];
        if inputs.iter().any(|(name, _)| *name == "attention_mask") {
            graph.extend(node("Cast", &["attention_mask"], "mask", &[int_attribute("to", FLOAT)]));
            graph.extend(node("Mul", &["floats", "mask"], "masked", &[]));
            graph.extend(node("ReduceMean", &["masked"], "part-of-floats", &axes));
            graph.extend(node("ReduceMean", &["mask"], "part-of-mask", &axes));
            graph.extend(node("Div", &["part-of-floats", "part-of-mask"], "mean", &[]));
        } else {
            graph.extend(node("ReduceMean", &["floats"], "mean", &axes));
        }
        let names: Vec<String> = (0..outputs.len()).map(|n| format!("part{n}")).collect();
        for (operation, name) in outputs.iter().zip(&names) {
            match *operation {
                "NaN" => {
                    graph.extend(node("Neg", &["mean"], "negative", &[]));
                    graph.extend(node("Log", &["negative"], name, &[]));
                }
                // Not a number for half of all means.
                "LogSin" => {
                    graph.extend(node("Sin", &["mean"], "sine", &[]));
                    graph.extend(node("Log", &["sine"], name, &[]));
                }
                operation => graph.extend(node(operation, &["mean"], name, &[])),
            }
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        graph.extend(node("Concat", &names, "joined", &[int_attribute("axis", 1)]));
        let last = if output_sizes.len() == 1 { "Flatten" } else { "Identity" };
        if last == "Flatten" {
            // A vector: one number for each row and no more axes.
            graph.extend(node(
                "ReduceMean",
                &["joined"],
                "logits",
                &[axes[0].clone(), int_attribute("keepdims", 0)],
            ));
        } else {
            graph.extend(node(last, &["joined"], "logits", &[]));
        }
        graph.extend(inputs.iter().flat_map(|(name, kind)| bytes(11, &value(name, *kind, sizes))));
        graph.extend(bytes(12, &value("logits", FLOAT, output_sizes)));
        file(&graph)
    }

    /// A bi-encoder: token `id` has the vector `table[id]`.
    pub fn embeddings(output: &str, table: &[[f32; 2]]) -> Vec<u8> {
        let mut graph = node("Gather", &["table", "input_ids"], output, &[int_attribute("axis", 0)]);
        graph.extend(constant("table", &[table.len() as u64, 2], &table.concat()));
        for name in ["input_ids", "attention_mask"] {
            graph.extend(bytes(11, &value(name, INT64, &["rows", "columns"])));
        }
        graph.extend(bytes(12, &value(output, FLOAT, &["rows", "columns", "2"])));
        file(&graph)
    }

    /// A bi-encoder that pools by itself: the vector of a text is (mean of its ids, -7).
    pub fn pooled() -> Vec<u8> {
        let mut graph = node("Cast", &["input_ids"], "floats", &[int_attribute("to", FLOAT)]);
        let axes = [ints_attribute("axes", 1), int_attribute("keepdims", 1)];
        graph.extend(node("ReduceMean", &["floats"], "mean", &axes));
        graph.extend(node("Sub", &["mean", "mean"], "zero", &[]));
        graph.extend(constant("seven", &[1], &[7.0]));
        graph.extend(node("Sub", &["zero", "seven"], "minus-seven", &[]));
        graph.extend(node(
            "Concat",
            &["mean", "minus-seven"],
            "sentence_embedding",
            &[int_attribute("axis", 1)],
        ));
        graph.extend(node("Identity", &["floats"], "token_embeddings", &[]));
        graph.extend(bytes(11, &value("input_ids", INT64, &["rows", "columns"])));
        graph.extend(bytes(12, &value("token_embeddings", FLOAT, &["rows", "columns"])));
        graph.extend(bytes(12, &value("sentence_embedding", FLOAT, &["rows", "2"])));
        file(&graph)
    }
}

const IDS: (&str, u64) = ("input_ids", onnx::INT64);
const MASK: (&str, u64) = ("attention_mask", onnx::INT64);
const TYPES: (&str, u64) = ("token_type_ids", onnx::INT64);

const QUESTION: &str = "What is the capital of France?";

/// Small numbers, so that scores differ where logits of many hundreds would all be 1.
const FLAT: Calibration = Calibration { a: 0.002, b: -0.5 };

fn options() -> EvaluatorOptions {
    EvaluatorOptions { threads: 1, ..Default::default() }
}

/// Puts an evaluator with the demo tokenizer into `folder/models/hand-made`, its manifest changed by `change`.
fn make_with(folder: &Path, model: &[u8], change: impl FnOnce(&mut Manifest)) -> Result<Evaluator, String> {
    let own = folder.join("models/hand-made");
    fs::create_dir_all(&own).unwrap();
    let tokenizer = fs::read(folder.join("models/poq-demo-evaluator/tokenizer.json")).unwrap();
    let files = [("model.onnx", model), ("tokenizer.json", tokenizer.as_slice())].map(|(name, content)| {
        fs::write(own.join(name), content).unwrap();
        (name.to_owned(), hex::encode(Sha256::digest(content)))
    });
    let mut manifest = Manifest::new(EvaluatorKind::CrossEncoder, "model.onnx".into(), files.into());
    manifest.calibration = FLAT;
    change(&mut manifest);
    fs::write(own.join("poq.json"), manifest.to_json()).unwrap();
    Evaluator::load(&own, &options())
}

fn make(folder: &Path, model: &[u8]) -> Result<Evaluator, String> {
    make_with(folder, model, |_| {})
}

fn run(evaluator: &Evaluator, work: &Scoring) -> Scored {
    evaluator.score(work, &Limits::none()).unwrap()
}

/// The same work in batches.
fn batched(work: &Scoring) -> Scoring {
    Scoring { alone: false, ..work.clone() }
}

fn near(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance * a.abs().max(1.0))
}

fn some_work() -> Scoring {
    let long = "Paris is a city. ".repeat(200);
    scoring(QUESTION, &["Paris.", "I do not know that at all.", &long, "", "x", "It is Paris."])
}

#[test]
fn one_logit_and_two_classes_are_understood() {
    let folder = folder_with_models();
    let one = make(folder.path(), &onnx::model(&[IDS, MASK], &["Identity"])).unwrap();
    let flat = onnx::shaped_model(&[IDS, MASK], &["Identity"], &["rows", "columns"], &["rows"]);
    let flat = make(folder.path(), &flat).unwrap();
    // Two classes at -x and x are apart by 2x.
    let half = |manifest: &mut Manifest| manifest.calibration.a = FLAT.a / 2.0;
    let two = make_with(folder.path(), &onnx::model(&[IDS, MASK], &["Neg", "Identity"]), half).unwrap();
    for work in [some_work(), batched(&some_work())] {
        let expected = run(&one, &work);
        assert_eq!(expected, run(&flat, &work));
        let classes = run(&two, &work);
        assert_eq!(classes.scores, expected.scores);
        assert_eq!(classes.raw, expected.raw.iter().map(|logit| logit * 2.0).collect::<Vec<_>>());
        assert_ne!(expected.scores[0], expected.scores[1], "the text takes part");
    }
}

#[test]
fn inputs_may_be_32_bits_wide_and_come_in_any_order() {
    let folder = folder_with_models();
    let wide = make(folder.path(), &onnx::model(&[IDS, MASK, TYPES], &["Identity"])).unwrap();
    let narrow =
        [("input_ids", onnx::INT32), ("token_type_ids", onnx::INT32), ("attention_mask", onnx::INT32)];
    let narrow = make(folder.path(), &onnx::model(&narrow, &["Identity"])).unwrap();
    assert_eq!(run(&wide, &batched(&some_work())), run(&narrow, &batched(&some_work())));
    // The mean of the types: 1 for each token of the answer.
    let types = make(folder.path(), &onnx::model(&[TYPES, IDS, MASK], &["Identity"])).unwrap();
    let raw = run(&types, &scoring("x", &["", "x"])).raw;
    assert!(near(&raw, &[1.0 / 4.0, 2.0 / 5.0], 1e-6), "{raw:?}");
}

#[test]
fn a_batch_gives_what_each_pair_gives_alone_in_their_order() {
    let folder = folder_with_models();
    let mut evaluator = make(folder.path(), &onnx::model(&[IDS, MASK], &["Identity"])).unwrap();
    let work = some_work();
    let alone = run(&evaluator, &work);
    for batch_tokens in [0, 1, 40, 127, 128, 256, 4096, usize::MAX] {
        let own = folder.path().join("models/hand-made");
        evaluator = Evaluator::load(&own, &EvaluatorOptions { batch_tokens, ..options() }).unwrap();
        let together = run(&evaluator, &batched(&work));
        assert!(near(&alone.raw, &together.raw, 1e-5), "{batch_tokens}: {alone:?} {together:?}");
        assert_eq!(alone.tokens, together.tokens, "padding does not count");
    }
    let reversed = Scoring { answers: work.answers.iter().rev().cloned().collect(), ..batched(&work) };
    let reversed: Vec<f64> = run(&evaluator, &reversed).raw.into_iter().rev().collect();
    assert!(near(&alone.raw, &reversed, 1e-5));
    for (answer, raw) in work.answers.iter().zip(&alone.raw) {
        assert_eq!(run(&evaluator, &scoring(QUESTION, &[answer])).raw, [*raw], "{answer:?}");
    }
}

#[test]
fn tokens_are_those_that_the_network_took() {
    let folder = folder_with_models();
    let with = |max_tokens| {
        let change = move |manifest: &mut Manifest| manifest.max_tokens = max_tokens;
        make_with(folder.path(), &onnx::model(&[IDS, MASK], &["Identity"]), change).unwrap()
    };
    // [CLS] x [SEP] [SEP], and one more.
    assert_eq!(run(&with(128), &scoring("x", &["", "x"])).tokens, 4 + 5);
    let long = "x ".repeat(5_000);
    assert_eq!(run(&with(64), &scoring("x", &[&long])).tokens, 64);
    assert_eq!(run(&with(16), &scoring(&long, &[&long, ""])).tokens, 32);
    assert_eq!(with(16).manifest().max_tokens, 16);
}

#[test]
fn special_tokens_in_a_text_are_text() {
    let folder = folder_with_models();
    // The demo tokenizer gives [PAD], [CLS] and [SEP] the ids 0, 2 and 3. As vectors: one where it is special.
    let table: Vec<[f32; 2]> =
        (0..5_000).map(|id| if [0, 2, 3, 4].contains(&id) { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
    let bi = |manifest: &mut Manifest| manifest.kind = EvaluatorKind::BiEncoder;
    let evaluator = make_with(folder.path(), &onnx::embeddings("last_hidden_state", &table), bi).unwrap();
    // The frame is two of the tokens of each text; were one more of them special, the vectors would turn.
    let tokens = |text: &str| f64::from(run(&evaluator, &scoring(text, &[""])).tokens - 2 - 2);
    for text in ["a [SEP] b", "[CLS]", "[PAD][PAD]", "[MASK]"] {
        let count = tokens(text);
        assert!(count >= 1.0, "{text}");
        let cosine = run(&evaluator, &scoring(text, &[""])).raw[0];
        let expected = 2.0 / (4.0 + count * count).sqrt();
        assert!((cosine - expected).abs() < 1e-6, "{text}: {cosine} and not {expected}");
    }
}

#[test]
fn bi_encoders_give_the_cosine() {
    let folder = folder_with_models();
    // All tokens point elsewhere, by their id.
    let table: Vec<[f32; 2]> =
        (0..5_000).map(|id| [(id as f32 * 0.37).sin(), (id as f32 * 0.37).cos()]).collect();
    for output in ["last_hidden_state", "token_embeddings", "of_another_name"] {
        for pooling in [Pooling::Mean, Pooling::Cls] {
            let change = |manifest: &mut Manifest| {
                (manifest.kind, manifest.pooling) = (EvaluatorKind::BiEncoder, pooling);
            };
            let evaluator = make_with(folder.path(), &onnx::embeddings(output, &table), change).unwrap();
            let mut work = some_work();
            work.answers.push(QUESTION.into());
            let (alone, together) = (run(&evaluator, &work), run(&evaluator, &batched(&work)));
            assert!(near(&alone.raw, &together.raw, 1e-6), "{alone:?} {together:?}");
            assert!(alone.raw.iter().all(|cosine| (-1.0..=1.0).contains(cosine)));
            assert!((alone.raw.last().unwrap() - 1.0).abs() < 1e-9, "the question is like itself");
            let alike = alone.raw.iter().all(|cosine| (cosine - 1.0).abs() < 1e-6);
            // The first token of each text is [CLS].
            assert_eq!(alike, pooling == Pooling::Cls, "{alone:?}");
        }
    }
    let zero = onnx::embeddings("last_hidden_state", &[[0.0, 0.0]; 5_000]);
    let bi = |manifest: &mut Manifest| manifest.kind = EvaluatorKind::BiEncoder;
    assert_eq!(run(&make_with(folder.path(), &zero, bi).unwrap(), &some_work()).raw, [0.0; 6]);
}

#[test]
fn a_vector_that_the_network_pooled_itself_is_taken_as_it_is() {
    let folder = folder_with_models();
    let bi = |manifest: &mut Manifest| manifest.kind = EvaluatorKind::BiEncoder;
    let evaluator = make_with(folder.path(), &onnx::pooled(), bi).unwrap();
    // No text: [CLS] [SEP], ids 2 and 3.
    let raw = run(&evaluator, &scoring("", &["", "x"])).raw;
    assert!((raw[0] - 1.0).abs() < 1e-9 && raw[1] < 1.0, "{raw:?}");
}

#[test]
fn manifests_and_files_that_do_not_work_are_refused_with_what_to_do() {
    let folder = folder_with_models();
    let model = onnx::model(&[IDS, MASK], &["Identity"]);
    let own = folder.path().join("models/hand-made");
    let load = || Evaluator::load(&own, &options()).unwrap_err();
    make(folder.path(), &model).unwrap();
    for bad in ["", "[", "{}", r#"{"max_tokens":64,"calibration":{"a":1,"b":0}}"#, "\0"] {
        fs::write(own.join("poq.json"), bad).unwrap();
        assert!(load().starts_with("poq.json") && load().contains("models add"), "{bad}: {}", load());
    }
    fs::write(own.join("poq.json"), " ".repeat(1024 * 1024 + 1)).unwrap();
    assert!(load().contains("larger than"), "{}", load());
    fs::remove_file(own.join("poq.json")).unwrap();
    assert!(load().contains("has no poq.json") && load().contains("models add"), "{}", load());
    for file in ["model.onnx", "tokenizer.json"] {
        make(folder.path(), &model).unwrap();
        fs::remove_file(own.join(file)).unwrap();
        assert!(load().starts_with(&format!("{file} is not there")), "{}", load());
    }
    make(folder.path(), &model).unwrap();
    fs::write(own.join("tokenizer.json"), "{}").unwrap();
    assert!(load().starts_with("tokenizer.json"), "{}", load());
}

#[test]
fn models_that_are_no_evaluators_are_refused_with_their_reason() {
    let folder = folder_with_models();
    let fixed = |sizes: &[&str]| onnx::shaped_model(&[IDS, MASK], &["Identity"], sizes, &["rows", "1"]);
    let cases = [
        (onnx::model(&[IDS, ("pixel_values", onnx::INT64)], &["Identity"]), "pixel_values"),
        (onnx::model(&[("input_ids", 1)], &["Identity"]), "64 or 32 bits"),
        (onnx::model(&[("attention_mask", onnx::INT64)], &["Identity"]), "has no input 'input_ids'"),
        (onnx::model(&[IDS, MASK], &["Identity"; 3]), "3 numbers"),
        (onnx::model(&[IDS, MASK], &["NaN"]), "not a number"),
        (onnx::model(&[IDS, MASK], &["NaN", "Identity"]), "not a number"),
        (fixed(&["1", "columns"]), "dynamic axes"),
        (fixed(&["rows", "128"]), "dynamic axes"),
        (onnx::embeddings("last_hidden_state", &[[0.0, 1.0]; 5_000]), "bi_encoder"),
        // More ids in the tokenizer than vectors in the network.
        (onnx::embeddings("unknown", &[[0.0, 1.0]; 20]), "bi_encoder"),
        (b"no model at all".to_vec(), "ONNX Runtime does not load it"),
        (Vec::new(), "ONNX Runtime does not load it"),
    ];
    for (model, reason) in cases {
        let error = make(folder.path(), &model).unwrap_err();
        assert!(error.contains(reason) && error.lines().count() == 1, "{error}");
    }
    // Classes that the graph does not tell before it runs.
    let open = onnx::shaped_model(&[IDS, MASK], &["Identity"; 3], &["rows", "columns"], &["rows", "classes"]);
    let error = make(folder.path(), &open).unwrap_err();
    assert!(error.contains("one logit or two classes"), "{error}");
    let bi = |manifest: &mut Manifest| manifest.kind = EvaluatorKind::BiEncoder;
    let few = onnx::embeddings("last_hidden_state", &[[0.0, 1.0]; 20]);
    let error = make_with(folder.path(), &few, bi).unwrap_err();
    assert!(error.contains("one and the same model") && error.lines().count() == 1, "{error}");
    let flat = onnx::shaped_model(&[IDS, MASK], &["Identity"], &["rows", "columns"], &["rows"]);
    let error = make_with(folder.path(), &flat, bi).unwrap_err();
    assert!(error.contains("bi-encoder"), "{error}");
}

#[test]
fn an_output_that_is_no_number_fails_the_job_and_names_the_model() {
    let folder = folder_with_models();
    let evaluator = make(folder.path(), &onnx::model(&[IDS, MASK], &["LogSin"])).unwrap();
    let mut seen = (0, 0);
    for n in 0..40 {
        let work = scoring(QUESTION, &[&"is ".repeat(n)]);
        match evaluator.score(&work, &Limits::none()) {
            Ok(scored) => {
                assert!(scored.raw[0].is_finite());
                seen.0 += 1;
            }
            Err(Unfinished::Failed(error)) => {
                assert_eq!(error.code, FailureReason::Internal);
                assert!(error.message.contains("hand-made") && error.message.contains("not a number"));
                seen.1 += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(seen.0 > 0 && seen.1 > 0, "{seen:?}");
}

#[test]
fn extreme_numbers_make_extreme_scores() {
    let folder = folder_with_models();
    // e to the mean of the ids is infinite as soon as that is above 88.
    let evaluator = make(folder.path(), &onnx::model(&[IDS, MASK], &["Exp"])).unwrap();
    let long = "city ".repeat(100);
    let scored = run(&evaluator, &scoring(QUESTION, &[&long]));
    assert_eq!((scored.scores[0], scored.raw[0]), (1_000_000, f64::from(f32::MAX)));
    let json = serde_json::to_string(&scored).unwrap();
    let passed_on: Scored = serde_json::from_str(&json).unwrap();
    assert!(near(&passed_on.raw, &scored.raw, 1e-9), "and they pass from process to process: {json}");
    let steep = |manifest: &mut Manifest| manifest.calibration = Calibration { a: f64::MAX, b: -f64::MAX };
    let evaluator = make_with(folder.path(), &onnx::model(&[IDS, MASK], &["Neg"]), steep).unwrap();
    assert_eq!(run(&evaluator, &scoring(QUESTION, &["x"])).scores, [0]);
}

#[test]
fn no_answers_and_an_ended_job_are_no_work() {
    let folder = folder_with_models();
    let evaluator = make(folder.path(), &onnx::model(&[IDS, MASK], &["Identity"])).unwrap();
    let outcome = evaluator.score(&scoring(QUESTION, &[]), &Limits::none());
    assert!(matches!(outcome, Err(Unfinished::Failed(error)) if error.code == FailureReason::InvalidJob));
    let over = Limits::new(Duration::ZERO, Cancel::default());
    let outcome = evaluator.score(&batched(&some_work()), &over);
    assert!(
        matches!(outcome, Err(Unfinished::Failed(error)) if error.code == FailureReason::DeadlineExceeded)
    );
}

#[test]
fn texts_of_many_megabytes_cost_no_more_than_long_ones() {
    let folder = folder_with_models();
    let evaluator = make(folder.path(), &onnx::model(&[IDS, MASK], &["Identity"])).unwrap();
    let (words, unbroken, spaces) =
        ("word ".repeat(4_000_000), "é".repeat(10_000_000), " ".repeat(20_000_000));
    let work = scoring(QUESTION, &[&words, &unbroken, &spaces]);
    let scored = run(&evaluator, &work);
    let beginnings: Vec<&str> = work.answers.iter().map(|answer| answer.get(..512 * 64).unwrap()).collect();
    assert_eq!(scored, run(&evaluator, &scoring(QUESTION, &beginnings)));
    run(&evaluator, &scoring(&words, &["x"]));
}

#[test]
fn the_layout_of_model_hubs_is_known() {
    let folder = folder_with_models();
    let own = folder.path().join("models/hand-made");
    make(folder.path(), &onnx::model(&[IDS, MASK], &["Identity"])).unwrap();
    fs::create_dir(own.join("onnx")).unwrap();
    fs::rename(own.join("model.onnx"), own.join("onnx/model.onnx")).unwrap();
    let manifest = fs::read_to_string(own.join("poq.json")).unwrap();
    fs::write(own.join("poq.json"), manifest.replace("model.onnx", "onnx/model.onnx")).unwrap();
    run(&Evaluator::load(&own, &EvaluatorOptions::default()).unwrap(), &some_work());
}

#[test]
fn a_model_without_its_tokenizer_is_refused() {
    let folder = folder_with_models();
    make(folder.path(), &onnx::model(&[IDS, MASK], &["Identity"])).unwrap();
    let own = folder.path().join("models/hand-made");
    fs::remove_file(own.join("tokenizer.json")).unwrap();
    let error = Evaluator::load(&own, &EvaluatorOptions::default()).unwrap_err();
    assert!(error.contains("tokenizer.json"), "{error}");
}

#[test]
fn batches_of_any_texts_equal_the_pairs_alone() {
    let folder = folder_with_models();
    make(folder.path(), &onnx::model(&[IDS, MASK], &["Identity"])).unwrap();
    let own = folder.path().join("models/hand-made");
    let texts = prop::collection::vec(any::<String>(), 1..20);
    let mut runner = proptest::test_runner::TestRunner::default();
    runner
        .run(&(any::<String>(), texts, 0_usize..600), |(question, answers, batch_tokens)| {
            let evaluator = Evaluator::load(&own, &EvaluatorOptions { batch_tokens, ..options() }).unwrap();
            let work = Scoring { model: String::new(), question, answers, alone: true };
            let (alone, together) = (run(&evaluator, &work), run(&evaluator, &batched(&work)));
            prop_assert!(near(&alone.raw, &together.raw, 1e-5));
            prop_assert_eq!(alone.scores.len(), work.answers.len());
            Ok(())
        })
        .unwrap();
}
