//! MiniLM, the real thing, held to what sentence-transformers makes of the same pairs (tests/data/README.md).

use crate::common;
use poq_worker::{
    config::Settings,
    evaluator::{
        precision::{has_bf16, Arithmetic, Measured, Precision, Why, MOST_DIFFERENCE_PPM},
        Evaluator, EvaluatorOptions,
    },
    limits::Limits,
    models::{manifest::Manifest, shelf::ModelKind},
    onnx,
    pool::Pool,
    runner::{protocol::Facts, Program},
    work::{Scored, Scoring},
};
use serde::Deserialize;
use std::{env, fs, os::unix::fs::symlink, path::Path, path::PathBuf, sync::Arc};
use tempfile::TempDir;

#[derive(Deserialize)]
struct Reference {
    max_tokens: usize,
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    question: String,
    answer: String,
    cosine: f64,
}

#[derive(Deserialize)]
struct Tokens {
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    tokens: u32,
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn folder_of(name: &str) -> PathBuf {
    let cache = env::var_os("POQ_CACHE").map(PathBuf::from);
    let cache =
        cache.unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap()).join(".cache/proof-of-quality"));
    let folder = cache.join("minilm/models").join(name);
    assert!(folder.is_dir(), "{} is not there; run scripts/setup-minilm.sh", folder.display());
    folder
}

fn load(name: &str) -> Evaluator {
    let options = EvaluatorOptions { threads: 2, ..EvaluatorOptions::default() };
    Evaluator::load(&folder_of(name), &options).unwrap()
}

fn score(evaluator: &Evaluator, question: &str, answers: &[&str], alone: bool) -> Scored {
    let answers = answers.iter().map(|answer| (*answer).to_owned()).collect();
    let work = Scoring { model: String::new(), question: question.into(), answers, alone };
    evaluator.score(&work, &Limits::none()).unwrap()
}

/// The number of each pair; not alone, all answers to one question go together.
fn numbers(evaluator: &Evaluator, pairs: &[Pair], alone: bool) -> Vec<f64> {
    pairs
        .chunk_by(|a, b| a.question == b.question)
        .flat_map(|pairs| {
            let answers: Vec<&str> = pairs.iter().map(|pair| pair.answer.as_str()).collect();
            pairs
                .first()
                .map(|pair| score(evaluator, &pair.question, &answers, alone).raw)
                .unwrap_or_default()
        })
        .collect()
}

#[test]
fn cosines_are_those_of_sentence_transformers() {
    let reference: Reference = read("minilm-similarities.json");
    for (name, tolerance) in [("minilm-bi-fp32", 1e-4), ("minilm-bi-int8", 0.1)] {
        let evaluator = load(name);
        assert_eq!(evaluator.manifest().max_tokens, reference.max_tokens);
        for alone in [true, false] {
            let numbers = numbers(&evaluator, &reference.pairs, alone);
            assert_eq!(numbers.len(), reference.pairs.len());
            for (pair, number) in reference.pairs.iter().zip(numbers) {
                let near = (number - pair.cosine).abs() <= tolerance;
                assert!(
                    near,
                    "{name}: {number} and not {} for {:?}, {:?}",
                    pair.cosine, pair.question, pair.answer
                );
            }
        }
    }
}

#[test]
fn texts_have_as_many_tokens_as_for_sentence_transformers() {
    let evaluator = load("minilm-bi-fp32");
    let Tokens { texts } = read("minilm-tokens.json");
    let nothing = score(&evaluator, "", &[""], true).tokens / 2;
    for Text { text, tokens } in texts {
        let most = u32::try_from(evaluator.manifest().max_tokens).unwrap();
        let found = score(&evaluator, "", &[&text], true).tokens - nothing;
        // There, "[SEP]" in a text is a separator; here it is text.
        if ["[SEP]", "[CLS]", "[PAD]", "[MASK]", "[UNK]"].iter().any(|special| text.contains(special)) {
            assert!(found >= tokens.min(most), "{text:?}");
        } else {
            assert_eq!(found, tokens.min(most), "{text:?}");
        }
    }
}

#[test]
fn a_cross_encoder_of_real_size_gives_alone_what_it_gives_in_a_batch() {
    let reference: Reference = read("minilm-similarities.json");
    let answers: Vec<&str> = reference.pairs.iter().map(|pair| pair.answer.as_str()).collect();
    for (name, tolerance) in [("minilm-cross-fp32", 1e-4), ("minilm-cross-int8", 0.5)] {
        let evaluator = load(name);
        for pair in reference.pairs.iter().take(3) {
            let alone = score(&evaluator, &pair.question, &answers, true);
            let batch = score(&evaluator, &pair.question, &answers, false);
            assert_eq!(alone.tokens, batch.tokens);
            for (alone, batch) in alone.raw.iter().zip(&batch.raw) {
                assert!((alone - batch).abs() <= tolerance, "{name}: {alone} {batch}");
            }
        }
    }
}

/// A folder with the cross-encoder in `models/`, its manifest changed.
fn folder_with_cross_encoder(change: impl FnOnce(&mut Manifest)) -> TempDir {
    let (from, folder) = (folder_of("minilm-cross-fp32"), tempfile::tempdir().unwrap());
    let own = folder.path().join("models/minilm");
    fs::create_dir_all(&own).unwrap();
    for file in ["model.onnx", "tokenizer.json"] {
        symlink(from.join(file), own.join(file)).unwrap();
    }
    let mut manifest = Manifest::parse(&fs::read(from.join("poq.json")).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(own.join("poq.json"), manifest.to_json()).unwrap();
    folder
}

/// The arithmetic that the evaluator in `folder` is loaded with, in a process of its own, as the engine does.
async fn arithmetic(pool: &Arc<Pool>, folder: &Path) -> Arithmetic {
    let entry = common::shelf(folder).list().into_iter().find(|entry| entry.kind == ModelKind::Evaluator);
    match pool.load(&entry.unwrap()).await.unwrap() {
        Facts::Evaluator { arithmetic, .. } => arithmetic,
        other @ Facts::Generator { .. } => panic!("{other:?}"),
    }
}

fn settings(score_precision: Precision) -> Settings {
    Settings { score_precision, score_threads: 2, ..Settings::default() }
}

/// Whether this machine can run bf16. If it cannot, the tests see that the reference is used, and say so.
fn can_run_bf16() -> bool {
    let can = has_bf16() && onnx::find_openvino().is_some();
    if !can {
        println!("SKIPPED IN PART: no bf16 on this processor, or no OpenVINO (scripts/setup.sh fetches it)");
    }
    can
}

#[tokio::test]
async fn bf16_is_taken_where_it_is_measured_to_be_faster_and_scores_stay() {
    let folder = folder_with_cross_encoder(|_| {});
    let reference: Reference = read("minilm-similarities.json");
    let mut works: Vec<Scoring> = Vec::new();
    let model = common::id_of(&common::shelf(folder.path()), ModelKind::Evaluator);
    for pairs in reference.pairs.chunk_by(|a, b| a.question == b.question) {
        let mut answers: Vec<String> = pairs.iter().map(|pair| pair.answer.clone()).collect();
        answers.push(answers.concat().repeat(20));
        let question = pairs.first().unwrap().question.clone();
        works.push(Scoring { model: model.clone(), question, answers, alone: true });
    }
    let plain = common::pool(folder.path(), settings(Precision::Fp32));
    assert_eq!(arithmetic(&plain, folder.path()).await, Arithmetic::Reference(Why::Set));
    // On a busy machine the clock may speak against it; then it is measured anew.
    let mut auto = common::pool(folder.path(), settings(Precision::Auto));
    let mut chosen = arithmetic(&auto, folder.path()).await;
    for _ in 0..4 {
        if !matches!(chosen, Arithmetic::Reference(Why::NotFaster(_))) {
            break;
        }
        auto = common::pool(folder.path(), settings(Precision::Auto));
        chosen = arithmetic(&auto, folder.path()).await;
    }
    println!("{}", chosen.in_words());
    match &chosen {
        Arithmetic::Bf16(measured) | Arithmetic::Reference(Why::NotFaster(measured)) if can_run_bf16() => {
            let Measured { difference_ppm, .. } = measured;
            assert!((1..=MOST_DIFFERENCE_PPM).contains(difference_ppm), "{measured:?}");
        }
        Arithmetic::Reference(Why::Processor | Why::NoOpenVino) => assert!(!can_run_bf16()),
        other => panic!("{other:?}"),
    }
    let mut compared = 0;
    for mut work in works {
        for alone in [true, false] {
            work.alone = alone;
            let (a, b) = (plain.score(&work).await.unwrap(), auto.score(&work).await.unwrap());
            assert_eq!(a.tokens, b.tokens, "padding does not count");
            for (a, b) in a.scores.iter().zip(&b.scores) {
                assert!(a.abs_diff(*b) <= MOST_DIFFERENCE_PPM, "{a} {b}: {work:?}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 20, "{compared}");
}

#[tokio::test]
async fn scores_that_bf16_would_move_are_made_by_the_reference() {
    // So steep that the last bits of a logit decide.
    let folder = folder_with_cross_encoder(|manifest| manifest.calibration.a = 10_000.0);
    let pool = common::pool(folder.path(), settings(Precision::Auto));
    let chosen = arithmetic(&pool, folder.path()).await;
    match &chosen {
        Arithmetic::Reference(Why::Differs(measured)) if can_run_bf16() => {
            assert!(measured.difference_ppm > MOST_DIFFERENCE_PPM);
            assert!(chosen.in_words().contains("differs too much"), "{}", chosen.in_words());
        }
        Arithmetic::Reference(Why::Processor | Why::NoOpenVino) => assert!(!can_run_bf16()),
        other => panic!("{other:?}"),
    }
    assert_eq!(pool.score(&some_work(&folder)).await.unwrap().scores.len(), 2);
}

#[tokio::test]
async fn without_the_library_the_reference_is_used_and_that_is_said() {
    let folder = folder_with_cross_encoder(|_| {});
    let (real, plain) = (common::program(), onnx::find_library().unwrap());
    let mut arguments = vec![format!("ORT_DYLIB_PATH={}", plain.display()).into(), real.path.into()];
    arguments.extend(real.arguments);
    let program = Program { path: "/usr/bin/env".into(), arguments };
    let pool = common::pool_of(folder.path(), settings(Precision::Auto), program);
    let chosen = arithmetic(&pool, folder.path()).await;
    let why = if has_bf16() { Why::NoOpenVino } else { Why::Processor };
    assert_eq!(chosen, Arithmetic::Reference(why));
    assert_eq!(pool.score(&some_work(&folder)).await.unwrap().scores.len(), 2);
}

#[tokio::test]
async fn a_process_that_dies_over_bf16_is_started_without() {
    let folder = folder_with_cross_encoder(|_| {});
    let real = common::program();
    let script = format!(
        r#"read -r load; case "$load" in *'"precision":"auto"'*) kill -SEGV $$;; esac
        {{ printf '%s\n' "$load"; exec cat; }} | "{}" model-runner"#,
        real.path.display()
    );
    let program = Program { path: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] };
    let pool = common::pool_of(folder.path(), settings(Precision::Auto), program);
    assert_eq!(arithmetic(&pool, folder.path()).await, Arithmetic::Reference(Why::Set));
    assert_eq!(pool.score(&some_work(&folder)).await.unwrap().scores.len(), 2);
}

fn some_work(folder: &TempDir) -> Scoring {
    let model = common::id_of(&common::shelf(folder.path()), ModelKind::Evaluator);
    Scoring { model, ..common::scoring("Why does iron rust?", &["Because of water.", "On Tuesday."]) }
}
