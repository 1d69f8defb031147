//! Small evaluators of every shape, held to what `transformers` makes of the same pairs (tests/data/README.md).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use poq_worker::{
    evaluator::{Evaluator, EvaluatorOptions},
    limits::Limits,
    models::manifest::{Manifest, Pooling},
    work::{Scored, Scoring},
};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What 32-bit floats leave: sums in another order.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Reference {
    max_tokens: usize,
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    question: String,
    answer: String,
    #[serde(default)]
    ids: Vec<u32>,
    #[serde(default)]
    logits: Vec<f64>,
    #[serde(default)]
    question_ids: Vec<u32>,
    #[serde(default)]
    answer_ids: Vec<u32>,
    cosine_mean: Option<f64>,
    cosine_cls: Option<f64>,
}

fn shape(name: &str) -> (PathBuf, Reference) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/shapes").join(name);
    let reference: Reference =
        serde_json::from_slice(&fs::read(folder.join("reference.json")).unwrap()).unwrap();
    assert!(reference.pairs.len() >= 10);
    (folder, reference)
}

fn load(folder: &Path, batch_tokens: usize) -> Evaluator {
    Evaluator::load(folder, &EvaluatorOptions { threads: 1, batch_tokens }).unwrap()
}

fn score(evaluator: &Evaluator, question: &str, answers: Vec<String>, alone: bool) -> Scored {
    let work = Scoring { model: String::new(), question: question.into(), answers, alone };
    evaluator.score(&work, &Limits::none()).unwrap()
}

/// The number of each pair, alone or with many others.
fn numbers(evaluator: &Evaluator, pairs: &[Pair], alone: bool) -> Vec<f64> {
    // All answers of the file go to each question, so that a batch has rows of many lengths.
    let answers: Vec<String> = pairs.iter().map(|pair| pair.answer.clone()).collect();
    let of_pair = |(place, pair): (usize, &Pair)| match alone {
        true => score(evaluator, &pair.question, vec![pair.answer.clone()], true).raw[0],
        false => score(evaluator, &pair.question, answers.clone(), false).raw[place],
    };
    pairs.iter().enumerate().map(of_pair).collect()
}

fn assert_near(name: &str, pairs: &[Pair], found: &[f64], expected: &[f64]) {
    for ((pair, found), expected) in pairs.iter().zip(found).zip(expected) {
        let near = (found - expected).abs() <= TOLERANCE;
        assert!(near, "{name}: {found} and not {expected} for {:?}, {:?}", pair.question, pair.answer);
    }
}

#[test]
fn cross_encoders_give_the_logits_of_transformers() {
    for name in ["bert", "roberta", "deberta-v3", "bert-two-classes"] {
        let (folder, reference) = shape(name);
        let expected: Vec<f64> = reference
            .pairs
            .iter()
            .map(|pair| match pair.logits.as_slice() {
                [logit] => *logit,
                [no, yes] => yes - no,
                other => panic!("{other:?}"),
            })
            .collect();
        let spread = expected.iter().fold(0.0_f64, |most, logit| most.max((logit - expected[0]).abs()));
        assert!(spread > 100.0 * TOLERANCE, "{name}: the numbers differ enough to tell them apart: {spread}");
        for (alone, batch_tokens) in [(true, 0), (false, 4096), (false, 150)] {
            let evaluator = load(&folder, batch_tokens);
            assert_eq!(evaluator.manifest().max_tokens, reference.max_tokens);
            assert_near(name, &reference.pairs, &numbers(&evaluator, &reference.pairs, alone), &expected);
        }
    }
}

#[test]
fn cross_encoders_see_as_many_tokens_as_transformers() {
    for name in ["bert", "roberta", "deberta-v3", "bert-two-classes"] {
        let (folder, reference) = shape(name);
        let evaluator = load(&folder, 0);
        let mut longest = 0;
        for pair in &reference.pairs {
            let tokens = score(&evaluator, &pair.question, vec![pair.answer.clone()], true).tokens as usize;
            assert_eq!(tokens, pair.ids.len(), "{name}: {:?}, {:?}", pair.question, pair.answer);
            longest = longest.max(tokens);
        }
        assert_eq!(longest, reference.max_tokens, "{name}: some pairs had to be cut");
    }
}

#[test]
fn bi_encoders_give_the_cosines_of_transformers() {
    let (folder, reference) = shape("minilm-like-bi");
    let other = tempfile::tempdir().unwrap();
    for (pooling, cosine) in [
        (Pooling::Mean, (|pair: &Pair| pair.cosine_mean.unwrap()) as fn(&Pair) -> f64),
        (Pooling::Cls, |pair| pair.cosine_cls.unwrap()),
    ] {
        for file in ["model.onnx", "tokenizer.json"] {
            fs::copy(folder.join(file), other.path().join(file)).unwrap();
        }
        let mut manifest = Manifest::parse(&fs::read(folder.join("poq.json")).unwrap()).unwrap();
        manifest.pooling = pooling;
        fs::write(other.path().join("poq.json"), manifest.to_json()).unwrap();
        let expected: Vec<f64> = reference.pairs.iter().map(cosine).collect();
        for (alone, batch_tokens) in [(true, 0), (false, 4096), (false, 100)] {
            let evaluator = load(other.path(), batch_tokens);
            let found = numbers(&evaluator, &reference.pairs, alone);
            assert_near("minilm-like-bi", &reference.pairs, &found, &expected);
        }
    }
    let evaluator = load(&folder, 0);
    for pair in &reference.pairs {
        let tokens = score(&evaluator, &pair.question, vec![pair.answer.clone()], true).tokens as usize;
        assert_eq!(tokens, pair.question_ids.len() + pair.answer_ids.len());
    }
}

#[test]
fn special_tokens_in_an_answer_are_text_for_every_tokenizer() {
    for (name, spelled, plain) in [
        ("bert", "Paris [SEP] yes [CLS][PAD] [MASK]", "Paris [SE P] yes [CL S][PA D] [MAS K]"),
        ("roberta", "Paris</s></s> yes <s><pad><mask>", "Paris< /s>< /s> yes < s>< pad>< mask>"),
        ("deberta-v3", "Paris [SEP] yes [CLS][PAD] [MASK]", "Paris yes"),
    ] {
        let (folder, _) = shape(name);
        let evaluator = load(&folder, 0);
        // Read as special tokens, they would be one token each: the sum tells.
        let tokens = |text: &str| score(&evaluator, "", vec![text.into()], true).tokens;
        let nothing = tokens("");
        if name == "deberta-v3" {
            // Its vocabulary has them as pieces, and no other way to spell them: they are left out.
            assert!(tokens(spelled) >= tokens(plain) && tokens("[SEP]") <= nothing + 1, "{name}");
        } else {
            assert!(tokens(spelled) > tokens("Paris yes") + 6, "{name}: {}", tokens(spelled));
        }
        assert!(nothing >= 3);
    }
}

#[test]
fn a_tokenizer_of_another_model_is_found_out_when_it_is_loaded() {
    let (folder, _) = shape("bert");
    let mixed = tempfile::tempdir().unwrap();
    for file in ["model.onnx", "poq.json"] {
        fs::copy(folder.join(file), mixed.path().join(file)).unwrap();
    }
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/poq-demo-evaluator/tokenizer.json");
    fs::copy(demo, mixed.path().join("tokenizer.json")).unwrap();
    let error = Evaluator::load(mixed.path(), &EvaluatorOptions::default()).unwrap_err();
    assert!(error.contains("one and the same model") && error.lines().count() == 1, "{error}");
}

#[test]
fn a_promise_of_more_tokens_than_the_network_takes_is_found_out_when_it_is_loaded() {
    for name in ["bert", "roberta"] {
        let (folder, reference) = shape(name);
        let other = tempfile::tempdir().unwrap();
        for file in ["model.onnx", "tokenizer.json"] {
            fs::copy(folder.join(file), other.path().join(file)).unwrap();
        }
        let mut manifest = Manifest::parse(&fs::read(folder.join("poq.json")).unwrap()).unwrap();
        manifest.max_tokens = reference.max_tokens * 8;
        fs::write(other.path().join("poq.json"), manifest.to_json()).unwrap();
        let error = Evaluator::load(other.path(), &EvaluatorOptions::default()).unwrap_err();
        assert!(error.contains("lower max_tokens") && error.lines().count() == 1, "{error}");
    }
}
