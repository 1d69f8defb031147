//! MiniLM, the real thing, held to what sentence-transformers makes of the same pairs (tests/data/README.md).
#![allow(clippy::unwrap_used, clippy::panic)]

use poq_worker::{
    evaluator::{Evaluator, EvaluatorOptions},
    limits::Limits,
    work::{Scored, Scoring},
};
use serde::Deserialize;
use std::{env, fs, path::Path, path::PathBuf};

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

fn load(name: &str) -> Evaluator {
    let cache = env::var_os("POQ_CACHE").map(PathBuf::from);
    let cache =
        cache.unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap()).join(".cache/proof-of-quality"));
    let folder = cache.join("minilm/models").join(name);
    assert!(folder.is_dir(), "{} is not there; run scripts/setup-minilm.sh", folder.display());
    Evaluator::load(&folder, &EvaluatorOptions { threads: 2, ..Default::default() }).unwrap()
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
