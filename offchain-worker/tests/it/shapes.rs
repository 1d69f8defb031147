//! Small evaluators of every shape, held to what `transformers` makes of the same pairs (tests/data/README.md).

use poq_worker::{
    evaluator::{precision::Arithmetic, Evaluator, EvaluatorOptions},
    limits::Limits,
    models::{
        add::{add, Options},
        manifest::{Classes, Cut, Ends, EvaluatorKind, Manifest, Pooling},
        shelf::Shelf,
        source::Source,
    },
    work::{Scored, Scoring},
};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Error of 32-bit floats whose sums are taken in another order.
const TOLERANCE: f64 = 1e-4;

/// Cross-encoders that ONNX Runtime runs.
const CROSS_ENCODERS: [&str; 9] = [
    "bert",
    "roberta",
    "deberta-v3",
    "xlm-roberta",
    "modernbert",
    "bert-two-classes",
    "bert-entailment",
    "bert-fp16",
    "qwen3-reward",
];

/// GGUF files with a classification head: of a reward model's kind with one output, and with two named ones.
const HEADS: [&str; 2] = ["bert-head", "qwen3-head"];

/// A causal model that llama.cpp runs.
const CAUSAL: &str = "qwen3-reranker";

#[derive(Deserialize)]
struct Reference {
    max_tokens: usize,
    /// Largest distance of a number, where the file has 16-bit floats or llama.cpp keeps some.
    #[serde(default = "tolerance")]
    tolerance: f64,
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

fn tolerance() -> f64 {
    TOLERANCE
}

impl Pair {
    /// The number that its logits make: one, (no, yes), or three of which the second is the entailment.
    fn number(&self) -> f64 {
        match self.logits.as_slice() {
            [logit] => *logit,
            [no, yes] => yes - no,
            [against, entailed, neutral] => entailed - (against.exp() + neutral.exp()).ln(),
            other => panic!("{other:?}"),
        }
    }
}

fn folder_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/shapes").join(name)
}

fn shape(name: &str) -> (PathBuf, Reference) {
    let folder = folder_of(name);
    let reference: Reference =
        serde_json::from_slice(&fs::read(folder.join("reference.json")).unwrap()).unwrap();
    assert!(reference.pairs.len() >= 10);
    (folder, reference)
}

fn options(batch_tokens: usize) -> EvaluatorOptions {
    EvaluatorOptions { threads: 1, causal_threads: 1, batch_tokens, ..EvaluatorOptions::default() }
}

fn load(folder: &Path, batch_tokens: usize) -> Evaluator {
    Evaluator::load(folder, &options(batch_tokens)).unwrap()
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

fn assert_near(name: &str, reference: &Reference, found: &[f64], expected: &[f64]) {
    for ((pair, found), expected) in reference.pairs.iter().zip(found).zip(expected) {
        let near = (found - expected).abs() <= reference.tolerance;
        assert!(near, "{name}: {found} and not {expected} for {:?}, {:?}", pair.question, pair.answer);
    }
}

#[test]
fn cross_encoders_give_the_logits_of_transformers() {
    for name in CROSS_ENCODERS {
        let (folder, reference) = shape(name);
        let expected = expected(name, &reference);
        for (alone, batch_tokens) in [(true, 0), (false, 4096), (false, 150)] {
            let evaluator = load(&folder, batch_tokens);
            assert_eq!(evaluator.manifest().max_tokens, reference.max_tokens);
            assert_near(name, &reference, &numbers(&evaluator, &reference.pairs, alone), &expected);
        }
    }
}

/// The numbers of the reference, which differ enough to tell the pairs apart.
fn expected(name: &str, reference: &Reference) -> Vec<f64> {
    let expected: Vec<f64> = reference.pairs.iter().map(Pair::number).collect();
    let spread = expected.iter().fold(0.0_f64, |most, number| most.max((number - expected[0]).abs()));
    assert!(spread > 20.0 * reference.tolerance, "{name}: {spread}");
    expected
}

#[test]
fn a_causal_model_gives_the_logits_of_transformers() {
    let (folder, reference) = shape(CAUSAL);
    let evaluator = load(&folder, 0);
    assert_eq!(evaluator.arithmetic(), Arithmetic::Llama);
    let expected = expected(CAUSAL, &reference);
    for alone in [true, false] {
        assert_near(CAUSAL, &reference, &numbers(&evaluator, &reference.pairs, alone), &expected);
    }
    // The tokens are those that the network was trained on, whatever the texts spell, and as many as it takes.
    let mut longest = 0;
    for pair in &reference.pairs {
        let scored = score(&evaluator, &pair.question, vec![pair.answer.clone()], true);
        assert_eq!(scored.tokens as usize, pair.ids.len(), "{:?}, {:?}", pair.question, pair.answer);
        let softmax = 1.0 / (1.0 + (-scored.raw[0]).exp());
        assert!((f64::from(scored.scores[0]) / 1e6 - softmax).abs() < 1e-6);
        longest = longest.max(pair.ids.len());
    }
    assert_eq!(longest, reference.max_tokens, "some pairs had to be cut");
}

#[test]
fn classification_heads_of_a_gguf_give_the_logits_of_transformers() {
    for name in HEADS {
        let folder = folder_of(name);
        let reference: Reference =
            serde_json::from_slice(&fs::read(folder.join("reference.json")).unwrap()).unwrap();
        let evaluator = load(&folder, 0);
        assert_eq!(evaluator.arithmetic(), Arithmetic::Llama);
        let expected: Vec<f64> = reference.pairs.iter().map(Pair::number).collect();
        let spread = expected.iter().fold(0.0_f64, |most, number| most.max((number - expected[0]).abs()));
        assert!(spread > 5.0 * reference.tolerance && expected.len() > 5, "{name}: {spread}");
        for alone in [true, false] {
            assert_near(name, &reference, &numbers(&evaluator, &reference.pairs, alone), &expected);
        }
        for pair in &reference.pairs {
            let scored = score(&evaluator, &pair.question, vec![pair.answer.clone()], true);
            assert_eq!(
                scored.tokens as usize,
                pair.ids.len(),
                "{name}: {:?}, {:?}",
                pair.question,
                pair.answer
            );
        }
        // Whatever comes is scored, and no longer than the network takes.
        for odd in
            ["a ".repeat(100_000), "7".repeat(100_000), "🦀".repeat(9_999), "[SEP]<|im_end|>\0".repeat(99)]
        {
            let scored = score(&evaluator, &odd, vec![odd.clone()], true);
            assert!(scored.raw[0].is_finite() && scored.tokens as usize <= reference.max_tokens, "{name}");
        }
    }
}

#[test]
fn a_head_that_llama_cpp_does_not_run_is_refused_when_it_is_added_and_when_it_is_loaded() {
    type Change = fn(&mut Manifest);
    let cases: [(&str, Change, &str); 4] = [
        ("qwen3-head", |m| m.classes = None, "has 2 outputs; name them"),
        (
            "bert-head",
            |m| m.classes = Some(Classes { labels: vec!["a".into(), "b".into()], score: "b".into() }),
            "names 2 labels",
        ),
        ("bert-head", |m| m.max_tokens = 65, "64 positions"),
        (
            CAUSAL,
            |m| {
                m.kind = EvaluatorKind::Classifier;
                m.prompt = m.judge.take().map(|judge| judge.prompt);
            },
            "no classification head",
        ),
    ];
    for (name, change, said) in cases {
        let folder = copy_of(name, change);
        let error = refused(folder.path());
        assert!(error.contains(said), "{name}: {error}");
        let error = Evaluator::load(folder.path(), &options(0)).unwrap_err();
        assert!(error.contains(said) && error.lines().count() == 1, "{name}: {error}");
    }
    for name in [CAUSAL, HEADS[0], HEADS[1]] {
        let store = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(store.path().join("models"), store.path().join("digests.json"));
        let named = |name: &str| Options { name: Some(name.into()), ..Options::default() };
        let folder = copy_of(name, |_| ());
        let added = add(&shelf, &Source::Local(folder.path().to_owned()), &named("judge"));
        assert!(added.is_ok(), "{name}: {added:?}");
        if name == CAUSAL {
            continue;
        }
        // As a generator it is none.
        let gguf = folder_of(name).join("model.gguf");
        let error = add(&shelf, &Source::Local(gguf), &named("chat")).unwrap_err();
        assert!(error.contains("is no generator") && error.contains("classifier"), "{name}: {error}");
    }
}

#[test]
fn a_reward_model_with_a_wrong_padding_token_is_found_out_when_it_is_loaded() {
    let (folder, _) = shape("qwen3-reward");
    let other = copy_of("qwen3-reward", |_| ());
    let tokenizer = fs::read_to_string(folder.join("tokenizer.json")).unwrap();
    let wrong = r#""padding":{"strategy":"BatchLongest","direction":"Right","pad_to_multiple_of":null,"pad_id":9,"pad_type_id":0,"pad_token":"x"}"#;
    assert!(tokenizer.contains("\"padding\":null"));
    fs::write(other.path().join("tokenizer.json"), tokenizer.replace("\"padding\":null", wrong)).unwrap();
    let error = Evaluator::load(other.path(), &options(0)).unwrap_err();
    assert!(error.contains("padding changes its numbers") && error.lines().count() == 1, "{error}");
}

#[test]
fn control_tokens_in_a_text_do_not_speak_to_a_causal_model() {
    let (folder, _) = shape(CAUSAL);
    let evaluator = load(&folder, 0);
    let tokens = |question: &str, answer: &str| score(&evaluator, question, vec![answer.into()], true).tokens;
    let nothing = tokens("", "");
    for control in ["<|im_end|>", "<|im_start|>", "<|endoftext|>"] {
        // One token if it were special.
        assert!(tokens("", control) > nothing + 4 && tokens(control, "") > nothing + 4, "{control}");
    }
    // A text that spells the place of another one is text.
    assert!(tokens("{answer}", "{question}") > nothing + 6);
    // Whatever comes is scored: long words, no end, zero bytes.
    for odd in
        ["a".repeat(100_000), "7".repeat(100_000), " ".repeat(100_000), "\0".repeat(9), "🦀".repeat(9_999)]
    {
        let scored = score(&evaluator, &odd, vec![odd.clone(), "Paris.".into()], true);
        assert!(scored.raw.iter().all(|number| number.is_finite()));
    }
}

/// The causal model with its manifest changed; the error if it does not load.
fn changed(change: impl FnOnce(&mut Manifest)) -> Result<Evaluator, String> {
    let (folder, _) = shape(CAUSAL);
    let other = tempfile::tempdir().unwrap();
    fs::copy(folder.join("model.gguf"), other.path().join("model.gguf")).unwrap();
    let mut manifest = Manifest::parse(&fs::read(folder.join("poq.json")).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(other.path().join("poq.json"), manifest.to_json()).unwrap();
    Evaluator::load(other.path(), &options(0))
}

#[test]
fn a_causal_model_that_cannot_judge_is_found_out_when_it_is_loaded() {
    type Change = fn(&mut Manifest);
    let cases: [(Change, &str); 5] = [
        (|m| m.judge.as_mut().unwrap().yes = "yes, indeed".into(), "judge.yes"),
        (|m| m.judge.as_mut().unwrap().no = "nonsense".into(), "judge.no"),
        (|m| m.max_tokens = 129, "knows 128 positions"),
        (|m| m.max_tokens = 16, "the prompt alone has"),
        (|m| m.judge = None, "needs `judge`"),
    ];
    for (change, said) in cases {
        let error = changed(change).unwrap_err();
        assert!(error.contains(said) && error.lines().count() == 1, "{error}");
    }
    // Tokens that are control tokens may be the answer, and the other way round the number is.
    let judge = |yes: &str, no: &str| {
        let (yes, no) = (yes.to_owned(), no.to_owned());
        let evaluator = changed(|m| {
            let judge = m.judge.as_mut().unwrap();
            (judge.yes, judge.no) = (yes, no);
        });
        score(&evaluator.unwrap(), "Why?", vec!["Because.".into()], true).raw[0]
    };
    assert!((judge("yes", "no") + judge("no", "yes")).abs() < 1e-6);
    judge("<|im_end|>", "no");
    let (folder, _) = shape("bert");
    let onnx = tempfile::tempdir().unwrap();
    for file in ["model.onnx", "tokenizer.json"] {
        fs::copy(folder.join(file), onnx.path().join(file)).unwrap();
    }
    let manifest = fs::read_to_string(shape(CAUSAL).0.join("poq.json")).unwrap();
    fs::write(onnx.path().join("poq.json"), manifest.replace("model.gguf", "model.onnx")).unwrap();
    assert_eq!(Evaluator::load(onnx.path(), &options(0)).unwrap_err(), "is not a GGUF file");
}

#[test]
fn labels_and_network_have_to_go_together() {
    for (name, labels) in [("bert", 3), ("bert-two-classes", 3), ("bert-entailment", 2)] {
        let (folder, _) = shape(name);
        let other = tempfile::tempdir().unwrap();
        for file in ["model.onnx", "tokenizer.json"] {
            fs::copy(folder.join(file), other.path().join(file)).unwrap();
        }
        let mut manifest = Manifest::parse(&fs::read(folder.join("poq.json")).unwrap()).unwrap();
        let names = ["contradiction", "entailment", "neutral"].iter().take(labels);
        let names = names.map(|name| (*name).to_owned()).collect();
        manifest.classes = Some(Classes { labels: names, score: "entailment".into() });
        fs::write(other.path().join("poq.json"), manifest.to_json()).unwrap();
        let error = Evaluator::load(other.path(), &options(0)).unwrap_err();
        assert!(error.contains(&format!("{labels} labels")) && error.lines().count() == 1, "{error}");
        if name == "bert-entailment" {
            manifest.classes = None;
            fs::write(other.path().join("poq.json"), manifest.to_json()).unwrap();
            let error = Evaluator::load(other.path(), &options(0)).unwrap_err();
            assert!(error.contains("\"classes\""), "{error}");
        }
    }
}

#[test]
fn labels_are_understood_or_refused_when_a_model_is_added() {
    let (folder, _) = shape("bert-entailment");
    let add_with = |labels: &str, score_label: Option<&str>| {
        let (from, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for file in ["model.onnx", "tokenizer.json"] {
            fs::copy(folder.join(file), from.path().join(file)).unwrap();
        }
        let architecture = r#""architectures": ["BertForSequenceClassification"]"#;
        let config = format!("{{{architecture}, \"max_position_embeddings\": 48, \"id2label\": {labels}}}");
        fs::write(from.path().join("config.json"), config).unwrap();
        let shelf = Shelf::new(store.path().join("models"), store.path().join("digests.json"));
        let options = Options {
            name: Some("judge".into()),
            score_label: score_label.map(str::to_owned),
            ..Options::default()
        };
        let added = add(&shelf, &Source::Local(from.path().to_owned()), &options)?;
        assert!(load(&added.entry.path, 0).manifest().classes.is_some());
        let manifest = added.entry.manifest.clone().unwrap();
        Ok::<_, String>((manifest, store))
    };
    let nli = r#"{"0": "CONTRADICTION", "1": "ENTAILMENT", "2": "NEUTRAL"}"#;
    let (manifest, _store) = add_with(nli, None).unwrap();
    assert_eq!(manifest.classes.unwrap().place(), Some(1));
    let stars = r#"{"0": "bad", "1": "so-so", "2": "good"}"#;
    let error = add_with(stars, None).unwrap_err();
    assert!(error.contains("bad, so-so, good") && error.contains("--score-label"), "{error}");
    assert!(add_with(stars, Some("best")).unwrap_err().contains("no label \"best\""));
    let (manifest, _store) = add_with(stars, Some("good")).unwrap();
    assert_eq!(manifest.classes.unwrap().place(), Some(2));
}

#[test]
fn cross_encoders_see_as_many_tokens_as_transformers() {
    for name in CROSS_ENCODERS {
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
            assert_near("minilm-like-bi", &reference, &found, &expected);
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

/// A copy of the shape with its manifest changed.
fn copy_of(name: &str, change: impl FnOnce(&mut Manifest)) -> tempfile::TempDir {
    let folder = folder_of(name);
    let other = tempfile::tempdir().unwrap();
    let mut manifest = Manifest::parse(&fs::read(folder.join("poq.json")).unwrap()).unwrap();
    for file in manifest.files.keys() {
        fs::copy(folder.join(file), other.path().join(file)).unwrap();
    }
    change(&mut manifest);
    fs::write(other.path().join("poq.json"), manifest.to_json()).unwrap();
    other
}

/// Keeps so many tokens of a question and of an answer.
fn keep(question: (usize, usize), answer: (usize, usize)) -> Option<Cut> {
    let [question, answer] = [question, answer].map(|(first, last)| Ends { first, last });
    Some(Cut { question, answer })
}

/// The error of adding the evaluator in this folder.
fn refused(folder: &Path) -> String {
    let store = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(store.path().join("models"), store.path().join("digests.json"));
    let options = Options { name: Some("judge".into()), ..Options::default() };
    let error = add(&shelf, &Source::Local(folder.to_owned()), &options).unwrap_err();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn both_ends_of_long_texts_are_read() {
    for name in ["bert", "roberta", "modernbert", "minilm-like-bi"] {
        let folder = copy_of(name, |m| m.cut = keep((6, 2), (10, 4)));
        let (evaluator, whole) = (load(folder.path(), 0), load(&shape(name).0, 0));
        let one = |evaluator: &Evaluator, question: &str, answer: &str| {
            score(evaluator, question, vec![answer.into()], true)
        };
        // Of a short text nothing is cut.
        let (question, answer) = ("What is it?", "A word.");
        assert_eq!(one(&evaluator, question, answer).raw, one(&whole, question, answer).raw, "{name}");
        // Of a long one the ends count and the middle does not, however long it is.
        let long = |middle: &str, end: &str| {
            format!("Lima is the capital of Peru and of nothing else. {middle} {end}")
        };
        let (end, other_end) = ("It lies near the sea, in the west.", "Nobody knows why that should be so.");
        for times in [30, 30_000] {
            let middle = |word: &str| word.repeat(times);
            let first = one(&evaluator, question, &long(&middle("no "), end));
            let same = one(&evaluator, question, &long(&middle("yes "), end));
            let other = one(&evaluator, question, &long(&middle("no "), other_end));
            assert_eq!(first.raw, same.raw, "{name}, {times}");
            assert_ne!(first.raw, other.raw, "{name}, {times}");
            assert_eq!(first.tokens, other.tokens, "{name}, {times}");
        }
        let longest = one(&evaluator, &"why ".repeat(999), &"so ".repeat(999)).tokens;
        let nothing = one(&evaluator, "", "").tokens;
        assert_eq!(longest - nothing, 6 + 2 + 10 + 4, "{name}");
        // In company as alone.
        let answers = vec![long("no ", end), answer.into(), long(&"yes ".repeat(99), other_end)];
        let together = score(&load(folder.path(), 4096), question, answers.clone(), false).raw;
        for (together, answer) in together.iter().zip(&answers) {
            assert!((together - one(&evaluator, question, answer).raw[0]).abs() < 1e-4, "{name}");
        }
    }
}

#[test]
fn a_cut_that_does_not_fit_is_refused_when_it_is_added_and_when_it_is_loaded() {
    // Of 64 tokens three are special.
    let fits = copy_of("bert", |m| m.cut = keep((10, 10), (21, 20)));
    load(fits.path(), 0);
    let folder = copy_of("bert", |m| m.cut = keep((10, 10), (22, 20)));
    let error = Evaluator::load(folder.path(), &options(0)).unwrap_err();
    assert!(error.contains("has room for 61") && error.lines().count() == 1, "{error}");
    assert!(refused(folder.path()).contains("has room for 61"));
    // A causal model's texts are not cut like this.
    let folder = copy_of(CAUSAL, |m| m.cut = keep((10, 10), (20, 20)));
    assert!(refused(folder.path()).contains("cross_encoder and bi_encoder only"));
    let error = Evaluator::load(folder.path(), &options(0)).unwrap_err();
    assert!(error.contains("cross_encoder and bi_encoder only"), "{error}");
}

#[test]
fn more_tokens_than_the_network_has_positions_are_refused_when_it_is_added() {
    for (name, positions) in [("bert", 64), ("roberta", 48), (CAUSAL, 128)] {
        let folder = copy_of(name, |m| m.max_tokens = positions + 1);
        let error = refused(folder.path());
        assert!(
            error.contains(&format!("{positions} positions")) && error.contains("lower max_tokens"),
            "{error}"
        );
    }
}
