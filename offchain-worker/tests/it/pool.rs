//! Models in processes of their own: the real program, really killed.

use crate::common::{self, ask, folder_with_models, id_of, long_story, pool, shelf};
use poq_primitives::job::FailureReason;
use poq_worker::{
    aborts::MOST_DEATHS,
    config::Settings,
    limits::Unfinished,
    models::{
        needs::{estimate, Usage},
        shelf::ModelKind,
    },
    pool::{Pool, Presence},
    store::now_ms,
    work::{Caller, Generated, Generation, Scoring},
};
use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};
use tokio::{sync::mpsc, task::JoinHandle};

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

/// Work that has shown its first piece.
async fn under_way(pool: &Arc<Pool>, work: Generation) -> JoinHandle<Result<Generated, Unfinished>> {
    let (pieces, mut shown) = mpsc::channel(100_000);
    let pool = Arc::clone(pool);
    let working = tokio::spawn(async move { pool.generate(&work, Some(pieces)).await });
    shown.recv().await.unwrap();
    working
}

/// Kills the model's process while it works on request number `seed`; what the one who waits for it hears.
async fn abort_while_working(pool: &Arc<Pool>, model: &str, seed: u32) -> Unfinished {
    let working = under_way(pool, long_story(model, seed)).await;
    kill("-ABRT", pid_of(pool, model));
    working.await.unwrap().unwrap_err()
}

/// Deaths of the model in a row, from the engine's file.
fn deaths(folder: &Path, model: &str) -> u64 {
    let json = fs::read(folder.join("aborts.json")).unwrap_or_else(|_| b"{}".to_vec());
    serde_json::from_slice::<serde_json::Value>(&json).unwrap()[model]["count"].as_u64().unwrap_or(0)
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

    for seed in 1..MOST_DEATHS {
        let Unfinished::Died(how) = abort_while_working(&pool, &model, seed).await else {
            panic!("not dead")
        };
        assert!(how.contains("signal 6"), "{how}");
    }
    pool.generate(&ask(&model, "Are you there?"), None).await.unwrap();
    for seed in 10..10 + MOST_DEATHS {
        assert!(
            matches!(abort_while_working(&pool, &model, seed).await, Unfinished::Died(_)),
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
async fn a_request_that_killed_its_process_is_not_run_again_and_counts_once() {
    let folder = folder_with_models();
    let model = shelf(folder.path()).named("poq-demo-strong").unwrap().id.clone().unwrap();
    let pool = pool(folder.path(), Settings::default());
    assert!(matches!(abort_while_working(&pool, &model, 1).await, Unfinished::Died(_)));
    // As the libraries of clients do.
    for _ in 0..MOST_DEATHS {
        let (code, message) = failure(pool.generate(&long_story(&model, 1), None).await);
        assert_eq!(code, FailureReason::EngineAborted);
        assert!(message.contains("not run again"), "{message}");
    }
    assert_eq!(pool.presence(&model), Presence::Available, "it was not even loaded for that");
    assert_eq!(deaths(folder.path(), &model), 1);
    pool.generate(&ask(&model, "Are you there?"), None).await.unwrap();
    assert_eq!(deaths(folder.path(), &model), 0);
}

#[tokio::test]
async fn of_several_requests_each_is_tried_alone() {
    let folder = folder_with_models();
    let model = shelf(folder.path()).named("poq-demo-strong").unwrap().id.clone().unwrap();
    let pool = pool(folder.path(), Settings::default());
    let (innocent, killer) = (Generation { max_tokens: 400, ..long_story(&model, 1) }, long_story(&model, 2));
    let first = under_way(&pool, innocent.clone()).await;
    let second = under_way(&pool, killer.clone()).await;
    kill("-ABRT", pid_of(&pool, &model));
    for died in [first, second] {
        assert!(matches!(died.await.unwrap(), Err(Unfinished::Died(_))));
    }
    pool.generate(&innocent, None).await.unwrap();
    assert_eq!(deaths(folder.path(), &model), 0);

    // What is suspected has the process for itself.
    let again = under_way(&pool, killer.clone()).await;
    let other = tokio::spawn({
        let (pool, work) = (Arc::clone(&pool), ask(&model, "Are you there?"));
        async move { pool.generate(&work, None).await }
    });
    while pool.users(&model) < 2 {
        tokio::task::yield_now().await;
    }
    kill("-ABRT", pid_of(&pool, &model));
    assert!(matches!(again.await.unwrap(), Err(Unfinished::Died(_))));
    other.await.unwrap().unwrap();
    assert_eq!(failure(pool.generate(&killer, None).await).0, FailureReason::EngineAborted);
}

#[tokio::test]
async fn whoever_goes_away_from_a_dying_process_is_known_all_the_same() {
    let folder = folder_with_models();
    let model = shelf(folder.path()).named("poq-demo-strong").unwrap().id.clone().unwrap();
    let pool = pool(folder.path(), Settings::default());
    let working = under_way(&pool, long_story(&model, 1)).await;
    let pid = pid_of(&pool, &model);
    kill("-STOP", pid);
    working.abort();
    assert!(working.await.unwrap_err().is_cancelled());
    kill("-KILL", pid);
    while pool.presence(&model) != Presence::Available {
        tokio::task::yield_now().await;
    }
    assert_eq!(deaths(folder.path(), &model), 1);
}

#[tokio::test]
async fn a_model_that_is_set_aside_is_tried_again_and_jobs_wait_for_that() {
    let folder = folder_with_models();
    let model = shelf(folder.path()).named("poq-demo-strong").unwrap().id.clone().unwrap();
    let set_aside = |ms_ago: u64| {
        let deaths =
            serde_json::json!({ &model: { "count": 3, "last": "signal 6", "at_ms": now_ms() - ms_ago } });
        fs::write(folder.path().join("aborts.json"), deaths.to_string()).unwrap();
    };
    set_aside(0);
    let pool = common::pool(folder.path(), Settings::default());
    let work = ask(&model, "Are you there?");
    let (code, message) = failure(pool.generate(&work, None).await);
    assert_eq!(code, FailureReason::ModelUnavailable);
    assert!(message.contains("tried again in"), "{message}");
    let mut job = Box::pin(pool.generate_for(Caller::Job, &work, None));
    for _ in 0..10 {
        assert!(futures::poll!(&mut job).is_pending());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    set_aside(29_000);
    job.await.unwrap();
    assert_eq!(deaths(folder.path(), &model), 0, "it works again");

    // A pause beyond the time of a job is not waited for.
    let short = Settings { job_time: std::time::Duration::from_secs(20), ..Settings::default() };
    set_aside(0);
    let pool = common::pool(folder.path(), short);
    let (code, _) = failure(pool.generate_for(Caller::Job, &work, None).await);
    assert_eq!(code, FailureReason::ModelUnavailable);
    set_aside(30_000);
    pool.generate(&work, None).await.unwrap();
}

#[tokio::test]
async fn whoever_pays_comes_before_whoever_asks() {
    let folder = folder_with_models();
    let model = shelf(folder.path()).named("poq-demo-strong").unwrap().id.clone().unwrap();
    let pool = pool(folder.path(), Settings { parallel: 1, ..Settings::default() });
    let running = under_way(&pool, long_story(&model, 1)).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for (name, caller) in [("ask 1", Caller::Direct), ("ask 2", Caller::Direct), ("job", Caller::Job)] {
        let (served, order, work) = (Arc::clone(&pool), Arc::clone(&order), ask(&model, name));
        waiting.push(tokio::spawn(async move {
            served.generate_for(caller, &work, None).await.unwrap();
            order.lock().unwrap().push(name);
        }));
        while pool.users(&model) < 1 + waiting.len() {
            tokio::task::yield_now().await;
        }
    }
    running.await.unwrap().unwrap();
    for waiting in waiting {
        waiting.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), ["job", "ask 1", "ask 2"]);
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
            let (pool, work) = (Arc::clone(&pool), long_story(&model, seed));
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

/// A caller that waits for a model that died, and has not heard of it yet, does not use the one that was loaded in its place.
#[tokio::test]
async fn a_late_mourner_takes_nothing_from_the_next_model() {
    let folder = folder_with_models();
    let model = shelf(folder.path()).named("poq-demo-strong").unwrap().id.clone().unwrap();
    let pool = pool(folder.path(), Settings::default());
    pool.generate(&ask(&model, "Hello"), None).await.unwrap();
    let first = pid_of(&pool, &model);
    kill("-STOP", first);
    let (early, late) = (long_story(&model, 1), long_story(&model, 2));
    let (mut early, mut late) = (Box::pin(pool.generate(&early, None)), Box::pin(pool.generate(&late, None)));
    while pool.users(&model) < 2 {
        assert!(futures::poll!(&mut early).is_pending() && futures::poll!(&mut late).is_pending());
        tokio::task::yield_now().await;
    }
    kill("-KILL", first);
    assert!(matches!(early.await, Err(Unfinished::Died(_))));

    let (pieces, mut shown) = mpsc::channel(100_000);
    let using = tokio::spawn({
        let (pool, work) = (Arc::clone(&pool), long_story(&model, 3));
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
        let (pool, work) = (Arc::clone(&pool), long_story(&weak, 5));
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
async fn before_its_first_load_a_model_counts_with_its_contexts() {
    let folder = folder_with_models();
    let shelf = shelf(folder.path());
    for name in ["poq-demo-strong", "poq-demo-evaluator"] {
        let entry = shelf.named(name).unwrap();
        let need = estimate(&entry, &Usage::of(&Settings::default()));
        assert!(need >= entry.bytes);
        for (memory, begun) in [(need - 1, 0), (need, 1)] {
            let pool = pool(folder.path(), Settings { memory, ..Settings::default() });
            // One that fits by the estimate is loaded, and then its process turns out to be larger.
            let (code, message) = failure(pool.load(&entry).await);
            assert_eq!(code, FailureReason::ModelUnavailable);
            assert!(message.contains("--memory-mib"), "{message}");
            let loads = format!("poq_model_loads_total{{model=\"{name}\"}} {begun}\n");
            let metrics = pool.metrics().text().unwrap();
            assert_eq!(metrics.contains(&loads), begun > 0, "{metrics}");
        }
    }
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
        let work = long_story(&model, seed);
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
