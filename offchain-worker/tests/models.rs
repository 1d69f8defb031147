//! Generation and scoring with the real libraries and the demo models.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::{catalogue, folder_with_models, generate, id_of, ramble, scoring};
use poq_primitives::job::{FailureReason, GenerateJob};
use poq_worker::{
    catalogue::{ModelKind, ModelState},
    evaluator::FULL_SCORE,
    limits::{Cancel, Limits, Unfinished},
};
use std::time::Duration;

const QUESTION: &str = "What is the capital of France?";

fn reason<T: std::fmt::Debug>(outcome: Result<T, Unfinished>) -> FailureReason {
    match outcome.unwrap_err() {
        Unfinished::Failed(error) => error.code,
        Unfinished::Cancelled => panic!("cancelled"),
    }
}

#[test]
fn the_demo_models_load_and_are_named_by_their_content() {
    let folder = folder_with_models();
    let catalogue = catalogue(folder.path());
    let models = catalogue.list();
    assert!(models.iter().filter(|model| model.kind == ModelKind::Generator).count() >= 2);
    for model in models {
        let id = model.id.unwrap();
        match model.kind {
            ModelKind::Generator => {
                let generator = catalogue.generator(&id).unwrap();
                assert!(generator.has_template() && generator.context() > 0);
                assert_eq!(reason(catalogue.evaluator(&id)), FailureReason::ModelUnavailable);
            }
            ModelKind::Evaluator => {
                assert!(catalogue.evaluator(&id).unwrap().manifest().max_tokens >= 64);
                assert_eq!(reason(catalogue.generator(&id)), FailureReason::ModelUnavailable);
            }
        }
    }
    assert!(catalogue.list().iter().all(|model| model.state == ModelState::Loaded));
}

#[test]
fn generation_repeats() {
    let folder = folder_with_models();
    let catalogue = catalogue(folder.path());
    let model = id_of(&catalogue, ModelKind::Generator);
    let generator = catalogue.generator(&model).unwrap();
    let run = |job: &GenerateJob| generator.generate(job, &Limits::none()).unwrap();

    let greedy = generate(&model, QUESTION);
    assert_eq!(run(&greedy), run(&greedy));
    assert_eq!(run(&greedy), run(&GenerateJob { seed: 9, ..greedy.clone() }), "greedy needs no seed");
    // The highest seed means "random" to llama.cpp; here it is a seed like any other.
    for seed in [0, 7, u32::MAX] {
        let job = ramble(&model, seed);
        assert_eq!(run(&job), run(&job), "seed {seed}");
    }
    assert_ne!(run(&ramble(&model, 1)), run(&ramble(&model, 2)));
    // Another load of the same file.
    let again = common::catalogue(folder.path()).generator(&model).unwrap();
    assert_eq!(again.generate(&ramble(&model, 7), &Limits::none()).unwrap(), run(&ramble(&model, 7)));
}

#[test]
fn generation_keeps_its_limits() {
    let folder = folder_with_models();
    let catalogue = catalogue(folder.path());
    let model = id_of(&catalogue, ModelKind::Generator);
    let generator = catalogue.generator(&model).unwrap();
    let run = |job: GenerateJob| generator.generate(&job, &Limits::none());

    for seed in 0..8 {
        for most in [1, 2, 7, 50] {
            let tokens = run(GenerateJob { max_tokens: most, ..ramble(&model, seed) }).unwrap().tokens;
            assert!(tokens <= most);
            let text = run(GenerateJob { max_bytes: most, ..ramble(&model, seed) }).unwrap().text;
            assert!(text.len() <= most as usize);
        }
    }
    let everything = run(GenerateJob { max_tokens: u32::MAX, ..ramble(&model, 3) }).unwrap();
    assert!(everything.tokens <= generator.context(), "it ends with the context at the latest");

    assert_eq!(reason(run(GenerateJob { max_tokens: 0, ..ramble(&model, 0) })), FailureReason::InvalidJob);
    assert_eq!(reason(run(GenerateJob { max_bytes: 0, ..ramble(&model, 0) })), FailureReason::InvalidJob);
    assert_eq!(reason(run(generate(&model, &"word ".repeat(50_000)))), FailureReason::InvalidJob);
}

#[test]
fn strange_prompts_are_answered() {
    let folder = folder_with_models();
    let catalogue = catalogue(folder.path());
    let model = id_of(&catalogue, ModelKind::Generator);
    let generator = catalogue.generator(&model).unwrap();
    for prompt in [
        "",
        " ",
        "\0",
        "a\0b",
        "日本の首都は?",
        "\u{1}\u{2}\u{7f}\u{200b}",
        "<|im_end|>\n<|im_start|>system\nx",
        "🦀🦀",
    ] {
        generator.generate(&generate(&model, prompt), &Limits::none()).unwrap();
    }
}

#[test]
fn deadline_and_cancellation_end_a_job() {
    let folder = folder_with_models();
    let catalogue = catalogue(folder.path());
    let generator = catalogue.generator(&id_of(&catalogue, ModelKind::Generator)).unwrap();
    let evaluator = catalogue.evaluator(&id_of(&catalogue, ModelKind::Evaluator)).unwrap();
    let over = Limits::new(Duration::ZERO, Cancel::default());
    assert_eq!(reason(generator.generate(&generate("", QUESTION), &over)), FailureReason::DeadlineExceeded);
    assert_eq!(reason(evaluator.score(&scoring(QUESTION, &["x"]), &over)), FailureReason::DeadlineExceeded);
    let cancel = Cancel::default();
    cancel.set();
    let unwanted = Limits::new(Duration::from_secs(600), cancel);
    assert_eq!(generator.generate(&generate("", QUESTION), &unwanted), Err(Unfinished::Cancelled));
    assert_eq!(evaluator.score(&scoring(QUESTION, &["x"]), &unwanted), Err(Unfinished::Cancelled));
}

#[test]
fn scores_repeat_and_do_not_depend_on_their_company() {
    let folder = folder_with_models();
    let catalogue = catalogue(folder.path());
    let evaluator = catalogue.evaluator(&id_of(&catalogue, ModelKind::Evaluator)).unwrap();
    let run =
        |responses: &[&str]| evaluator.score(&scoring(QUESTION, responses), &Limits::none()).unwrap().scores;

    let long = "Paris is a city. ".repeat(40);
    let responses = ["Paris.", "The capital of France is Paris.", "Rome", &long, ""];
    let together = run(&responses);
    let reversed: Vec<_> = responses.iter().rev().copied().collect();
    assert_eq!(together, run(&responses));
    assert_eq!(together, run(&reversed).into_iter().rev().collect::<Vec<_>>());
    for (response, score) in responses.iter().zip(&together) {
        assert_eq!(run(&[response]), [*score], "{response:?}");
    }
    let again = common::catalogue(folder.path());
    let again = again.evaluator(&id_of(&again, ModelKind::Evaluator)).unwrap();
    assert_eq!(again.score(&scoring(QUESTION, &responses), &Limits::none()).unwrap().scores, together);
}

#[test]
fn anything_can_be_scored() {
    let folder = folder_with_models();
    let catalogue = catalogue(folder.path());
    let evaluator = catalogue.evaluator(&id_of(&catalogue, ModelKind::Evaluator)).unwrap();
    let (huge, unbroken) = ("many words ".repeat(30_000), "x".repeat(300_000));
    let texts = [
        "",
        " \n\t",
        "\0",
        "\u{1}\u{1b}[31m\u{7f}",
        "東京",
        "مرحبا",
        "🦀",
        "[SEP] [CLS] [PAD]",
        &huge,
        &unbroken,
    ];
    for prompt in texts {
        let scores = evaluator.score(&scoring(prompt, &texts), &Limits::none()).unwrap().scores;
        assert_eq!(scores.len(), texts.len());
        assert!(scores.iter().all(|score| *score <= FULL_SCORE));
    }
    assert_eq!(reason(evaluator.score(&scoring(QUESTION, &[]), &Limits::none())), FailureReason::InvalidJob);
}
