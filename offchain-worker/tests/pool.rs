//! Models in processes of their own: the real program, really killed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::{ask, folder_with_models, id_of, pool, shelf};
use poq_primitives::job::FailureReason;
use poq_worker::{
    aborts::MOST_DEATHS,
    config::Settings,
    limits::Unfinished,
    models::shelf::ModelKind,
    pool::{Pool, Presence},
    work::{Generation, Scoring},
};
use std::{fs, path::Path, sync::Arc};
use tokio::sync::mpsc;

fn ramble(model: &str, seed: u32) -> Generation {
    Generation {
        temperature: 100.0,
        seed,
        max_tokens: 3000,
        max_bytes: 1 << 20,
        ..ask(model, "Tell me a story.")
    }
}

fn score(model: &str) -> Scoring {
    let (question, answers) = ("What is the capital of France?".to_owned(), vec!["Paris.".to_owned()]);
    Scoring { model: model.to_owned(), question, answers, alone: true }
}

fn pid_of(pool: &Pool, model: &str) -> u32 {
    let Presence::Loaded { pid, .. } = pool.presence(model) else { panic!("not loaded") };
    pid
}

fn kill(signal: &str, pid: u32) {
    assert!(std::process::Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

fn failure<T: std::fmt::Debug>(outcome: Result<T, Unfinished>) -> (FailureReason, String) {
    let Unfinished::Failed(error) = outcome.unwrap_err() else { panic!("no failure") };
    (error.code, error.message)
}

/// Kills the model's process while it works; what the one who waits for it hears.
async fn abort_while_working(pool: &Arc<Pool>, model: &str) -> Unfinished {
    let (pieces, mut shown) = mpsc::channel(100_000);
    let working = tokio::spawn({
        let (pool, work) = (Arc::clone(pool), ramble(model, 1));
        async move { pool.generate(&work, Some(pieces)).await }
    });
    shown.recv().await.unwrap();
    kill("-ABRT", pid_of(pool, model));
    working.await.unwrap().unwrap_err()
}

#[tokio::test]
async fn an_abort_kills_one_model_and_three_set_it_aside() {
    let folder = folder_with_models();
    let shelf = shelf(folder.path());
    let model = shelf.named("poq-demo-strong").unwrap().id.clone().unwrap();
    let other = id_of(&shelf, ModelKind::Evaluator);
    let pool = pool(folder.path(), Settings::default());
    pool.score(&score(&other)).await.unwrap();
    let other_pid = pid_of(&pool, &other);

    for _ in 0..MOST_DEATHS - 1 {
        let Unfinished::Died(how) = abort_while_working(&pool, &model).await else { panic!("not dead") };
        assert!(how.contains("signal 6"), "{how}");
    }
    pool.generate(&ask(&model, "Are you there?"), None).await.unwrap();
    for _ in 0..MOST_DEATHS {
        assert!(
            matches!(abort_while_working(&pool, &model).await, Unfinished::Died(_)),
            "the count began anew"
        );
    }
    let (code, message) = failure(pool.generate(&ask(&model, "Are you there?"), None).await);
    assert_eq!(code, FailureReason::ModelUnavailable);
    assert!(message.contains("set aside") && message.contains("models retry poq-demo-strong"), "{message}");
    assert!(matches!(pool.presence(&model), Presence::SetAside(_)));

    pool.score(&score(&other)).await.unwrap();
    assert_eq!(pid_of(&pool, &other), other_pid, "the other model noticed nothing");

    poq_worker::aborts::Aborts::open(folder.path()).forgive(&model).unwrap();
    pool.generate(&ask(&model, "Are you there?"), None).await.unwrap();
}

#[tokio::test]
async fn all_who_wait_hear_of_a_death_and_it_counts_once() {
    let folder = folder_with_models();
    let model = shelf(folder.path()).named("poq-demo-strong").unwrap().id.clone().unwrap();
    let pool = pool(folder.path(), Settings::default());
    pool.generate(&ask(&model, "Hello"), None).await.unwrap();
    let pid = pid_of(&pool, &model);
    kill("-STOP", pid);
    let waiting: Vec<_> = (0..3)
        .map(|seed| {
            let (pool, work) = (Arc::clone(&pool), ramble(&model, seed));
            tokio::spawn(async move { pool.generate(&work, None).await })
        })
        .collect();
    while pool.users(&model) < 3 {
        tokio::task::yield_now().await;
    }
    kill("-KILL", pid);
    for waiting in waiting {
        assert!(matches!(waiting.await.unwrap(), Err(Unfinished::Died(_))));
    }
    // Three deaths would have set it aside.
    pool.generate(&ask(&model, "Are you there?"), None).await.unwrap();
}

/// Who waited for a model that died and has not heard of it yet is no user of the one that was loaded in its place.
#[tokio::test]
async fn a_late_mourner_takes_nothing_from_the_next_model() {
    let folder = folder_with_models();
    let model = shelf(folder.path()).named("poq-demo-strong").unwrap().id.clone().unwrap();
    let pool = pool(folder.path(), Settings::default());
    pool.generate(&ask(&model, "Hello"), None).await.unwrap();
    let first = pid_of(&pool, &model);
    kill("-STOP", first);
    let (early, late) = (ramble(&model, 1), ramble(&model, 2));
    let (mut early, mut late) = (Box::pin(pool.generate(&early, None)), Box::pin(pool.generate(&late, None)));
    while pool.users(&model) < 2 {
        assert!(futures::poll!(&mut early).is_pending() && futures::poll!(&mut late).is_pending());
        tokio::task::yield_now().await;
    }
    kill("-KILL", first);
    assert!(matches!(early.await, Err(Unfinished::Died(_))));

    let (pieces, mut shown) = mpsc::channel(100_000);
    let using = tokio::spawn({
        let (pool, work) = (Arc::clone(&pool), ramble(&model, 3));
        async move { pool.generate(&work, Some(pieces)).await }
    });
    shown.recv().await.unwrap();
    assert_ne!(pid_of(&pool, &model), first);
    assert_eq!(pool.users(&model), 1);
    drop(late);
    assert_eq!(pool.users(&model), 1, "the one that is at work");
    using.abort();
}

#[tokio::test]
async fn the_model_unused_for_longest_makes_room() {
    let folder = folder_with_models();
    let shelf = shelf(folder.path());
    let [strong, weak] =
        ["poq-demo-strong", "poq-demo-weak"].map(|name| shelf.named(name).unwrap().id.clone().unwrap());
    let all = pool(folder.path(), Settings::default());
    all.generate(&ask(&strong, "Hello"), None).await.unwrap();
    let Presence::Loaded { bytes, .. } = all.presence(&strong) else { panic!("loaded") };
    drop(all);

    // Room for one and a half of them.
    let pool = pool(folder.path(), Settings { memory: bytes * 3 / 2, ..Settings::default() });
    pool.generate(&ask(&strong, "Hello"), None).await.unwrap();
    let first = pid_of(&pool, &strong);
    pool.generate(&ask(&weak, "Hello"), None).await.unwrap();
    assert_eq!(pool.presence(&strong), Presence::Available);
    while Path::new(&format!("/proc/{first}/exe")).exists() {
        tokio::task::yield_now().await;
    }
    // One in use is not taken away: who wants the other one waits.
    let (pieces, mut shown) = mpsc::channel(100_000);
    let using = tokio::spawn({
        let (pool, work) = (Arc::clone(&pool), ramble(&weak, 5));
        async move { pool.generate(&work, Some(pieces)).await }
    });
    shown.recv().await.unwrap();
    pool.generate(&ask(&strong, "Hello"), None).await.unwrap();
    assert!(using.is_finished() && using.await.unwrap().is_ok());

    let tiny = common::pool(folder.path(), Settings { memory: 1000, ..Settings::default() });
    let (code, message) = failure(tiny.generate(&ask(&strong, "Hello"), None).await);
    assert_eq!(code, FailureReason::ModelUnavailable);
    assert!(message.contains("--memory-mib"), "{message}");
}

#[tokio::test]
async fn models_that_do_not_load_say_why_and_the_rest_goes_on() {
    let folder = folder_with_models();
    let models = folder.path().join("models");
    let whole = fs::read(models.join("poq-demo-strong.gguf")).unwrap();
    fs::write(models.join("cut.gguf"), &whole[..whole.len() / 2]).unwrap();
    fs::write(models.join("head.gguf"), &whole[..100]).unwrap();
    fs::write(models.join("noise.gguf"), "noise").unwrap();
    let shelf = shelf(folder.path());
    let pool = pool(folder.path(), Settings::default());
    for name in ["cut", "head", "noise"] {
        let id = shelf.named(name).unwrap().id.clone().unwrap();
        let (code, message) = failure(pool.generate(&ask(&id, "Hello"), None).await);
        assert_eq!(code, FailureReason::ModelUnavailable);
        assert!(message.starts_with(&format!("{name} does not load: ")), "{message}");
        assert!(matches!(pool.presence(&id), Presence::Broken(_)));
    }
    let strong = shelf.named("poq-demo-strong").unwrap().id.clone().unwrap();
    pool.generate(&ask(&strong, "Hello"), None).await.unwrap();
    let evaluator = id_of(&shelf, ModelKind::Evaluator);
    for (code, message) in [
        failure(pool.generate(&ask(&evaluator, "Hello"), None).await),
        failure(pool.generate(&ask(&"0".repeat(64), "Hello"), None).await),
    ] {
        assert_eq!(code, FailureReason::ModelUnavailable);
        assert!(message.contains("not a generator") || message.contains("does not hold"), "{message}");
    }
}

/// Whatever is wrong inside a GGUF, llama.cpp may refuse it, run it or abort; the engine lives and says which.
#[tokio::test]
async fn damaged_models_harm_nobody() {
    let folder = folder_with_models();
    let models = folder.path().join("models");
    let whole = fs::read(models.join("poq-demo-weak.gguf")).unwrap();
    let pool = pool(folder.path(), Settings { context: 256, ..Settings::default() });
    let strong = shelf(folder.path()).named("poq-demo-strong").unwrap().id.clone().unwrap();
    // Spread over the header, where sizes, types and offsets stand.
    for place in (4..4096).step_by(211) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0xff;
        fs::write(models.join("damaged.gguf"), &damaged).unwrap();
        let id = shelf(folder.path()).named("damaged").unwrap().id.clone().unwrap();
        let outcome = pool.generate(&Generation { max_tokens: 4, ..ask(&id, "Hello") }, None).await;
        if let Err(Unfinished::Failed(error)) = outcome {
            assert!(!error.message.is_empty() && !error.message.contains('\n'), "{}", error.message);
        }
    }
    pool.generate(&ask(&strong, "Are you there?"), None).await.unwrap();
}

#[tokio::test]
async fn a_file_that_changed_is_not_served_under_its_old_name() {
    let folder = folder_with_models();
    let models = folder.path().join("models");
    let (strong, weak) = (models.join("poq-demo-strong.gguf"), models.join("poq-demo-weak.gguf"));
    let pool = pool(folder.path(), Settings::default());
    let id = shelf(folder.path()).named("poq-demo-strong").unwrap().id.clone().unwrap();
    fs::copy(&weak, &strong).unwrap();
    let (code, message) = failure(pool.generate(&ask(&id, "Hello"), None).await);
    assert_eq!(code, FailureReason::ModelUnavailable, "{message}");
}

#[tokio::test]
async fn dropping_the_wait_ends_the_work() {
    let folder = folder_with_models();
    let model = shelf(folder.path()).named("poq-demo-strong").unwrap().id.clone().unwrap();
    let pool = pool(folder.path(), Settings { parallel: 1, ..Settings::default() });
    let mut dropped = 0;
    for seed in 0..20 {
        let (pieces, mut shown) = mpsc::channel(100_000);
        let work = ramble(&model, seed);
        tokio::select! {
            biased;
            piece = shown.recv() => dropped += usize::from(piece.is_some()),
            outcome = pool.generate(&work, Some(pieces)) => drop(outcome.unwrap()),
        }
    }
    assert!(dropped > 0, "some were under way");
    // The only place is free again.
    pool.generate(&ask(&model, "Are you there?"), None).await.unwrap();
    assert_eq!(pool.users(&model), 0);
}
