//! Whoever has waited longest is next, every step has a limit, and nobody waits for what another one asks for.

use crate::common::{self, ask, folder_with_models, long_story, pool, shelf, Client, Engine};
use futures::future::join_all;
use poq_worker::{
    aborts::Aborts,
    config::Settings,
    limits::{LengthUnit, Unfinished},
    metrics::Metrics,
    pool::{Pool, Presence},
    runner::Program,
    work::{Caller, Generation, Scoring},
};
use reqwest::StatusCode;
use serde_json::{json, Value};
use std::{
    fs,
    sync::{
        atomic::{AtomicBool, AtomicU32, Ordering},
        Arc,
    },
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle};

fn ids(folder: &std::path::Path) -> [String; 2] {
    let shelf = shelf(folder);
    ["poq-demo-strong", "poq-demo-weak"].map(|name| shelf.named(name).unwrap().id.clone().unwrap())
}

/// Memory of the model.
async fn bytes_of(folder: &std::path::Path, model: &str) -> u64 {
    let pool = pool(folder, Settings::default());
    pool.generate(&ask(model, "Hello"), None).await.unwrap();
    let Presence::Loaded { bytes, .. } = pool.presence(model) else { panic!("loaded") };
    bytes
}

#[tokio::test]
async fn a_model_that_is_always_in_use_does_not_keep_another_out() {
    let folder = folder_with_models();
    let [strong, weak] = ids(folder.path());
    let bytes = bytes_of(folder.path(), &weak).await;
    // Room for one and a half of them.
    let pool = pool(folder.path(), Settings { memory: bytes * 3 / 2, ..Settings::default() });
    // What each takes is known once it was loaded.
    pool.generate(&ask(&strong, "Hello"), None).await.unwrap();
    let (enough, seeds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let users: Vec<_> = (0..3)
        .map(|_| {
            let (pool, weak, enough, seeds) =
                (Arc::clone(&pool), weak.clone(), Arc::clone(&enough), Arc::clone(&seeds));
            tokio::spawn(async move {
                while !enough.load(Ordering::Relaxed) {
                    let seed = seeds.fetch_add(1, Ordering::Relaxed);
                    pool.generate(&long_story(&weak, seed), None).await.unwrap();
                }
            })
        })
        .collect();
    while pool.users(&weak) < 3 {
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        pool.generate(&ask(&strong, "Hello"), None).await.unwrap();
        // And the others get their turn again.
        let before = seeds.load(Ordering::Relaxed);
        while seeds.load(Ordering::Relaxed) < before + 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    enough.store(true, Ordering::Relaxed);
    for user in users {
        user.await.unwrap();
    }
}

/// Tasks that put one job after the other, each to one of the models, until `enough`.
fn rows_of_jobs(
    pool: &Arc<Pool>,
    models: &[&str],
    enough: &Arc<AtomicBool>,
    begun: &Arc<AtomicU32>,
) -> Vec<JoinHandle<()>> {
    let row = |model: &&str| {
        let (pool, model, enough, begun) =
            (Arc::clone(pool), (*model).to_owned(), Arc::clone(enough), Arc::clone(begun));
        tokio::spawn(async move {
            while !enough.load(Ordering::Relaxed) {
                let seed = begun.fetch_add(1, Ordering::Relaxed);
                let job = Generation { max_tokens: 100, ..long_story(&model, seed) };
                pool.generate_for(Caller::Job, &job, None).await.unwrap();
            }
        })
    };
    models.iter().map(row).collect()
}

#[tokio::test]
async fn an_unbroken_row_of_jobs_does_not_keep_direct_requests_out() {
    let folder = folder_with_models();
    let [strong, weak] = ids(folder.path());
    let bytes = bytes_of(folder.path(), &weak).await;
    // Once for a turn at one model, and once for memory that the models of the jobs want in turns.
    for (models, memory) in [
        (vec![strong.as_str(); 3], Settings::default().memory),
        (vec![strong.as_str(), weak.as_str(), strong.as_str(), weak.as_str()], bytes * 3 / 2),
    ] {
        let pool = pool(folder.path(), Settings { memory, parallel: 1, ..Settings::default() });
        // What each takes is known once it was loaded.
        for model in [&strong, &weak] {
            pool.generate(&ask(model, "Hello"), None).await.unwrap();
        }
        let (enough, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let rows = rows_of_jobs(&pool, &models, &enough, &begun);
        while begun.load(Ordering::Relaxed) < 8 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for _ in 0..3 {
            let before = begun.load(Ordering::Relaxed);
            pool.generate(&ask(&strong, "Hello"), None).await.unwrap();
            // And jobs go on.
            while begun.load(Ordering::Relaxed) < before + 4 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        assert!(rows.iter().all(|row| !row.is_finished()), "the rows were not broken");
        enough.store(true, Ordering::Relaxed);
        for row in rows {
            row.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_load_that_hangs_is_given_up_and_its_memory_is_free() {
    let folder = folder_with_models();
    let [strong, _] = ids(folder.path());
    // A process that says nothing, as one does whose driver or disk hangs.
    let program = Program { path: "sleep".into(), arguments: vec!["600".into()] };
    let settings = Settings { load_time: Duration::from_secs(1), ..Settings::default() };
    let (aborts, metrics) = (Aborts::open(folder.path()), Metrics::new().unwrap());
    let hangs = Pool::new(shelf(folder.path()), settings, program, aborts, metrics);
    for _ in 0..2 {
        let Err(Unfinished::Failed(error)) = hangs.generate(&ask(&strong, "Hello"), None).await else {
            panic!("it cannot have been loaded")
        };
        assert!(error.message.contains("--load-seconds"), "{}", error.message);
        assert_eq!(hangs.used(), (0, 0));
    }
    let Presence::Broken(why) = hangs.presence(&strong) else { panic!("known to be broken") };
    assert!(why.contains("within 1 s"), "{why}");
}

#[tokio::test]
async fn a_model_that_does_not_load_is_not_loaded_by_each_request() {
    let folder = folder_with_models();
    let models = folder.path().join("models");
    let whole = fs::read(models.join("poq-demo-strong.gguf")).unwrap();
    fs::write(models.join("cut.gguf"), &whole[..whole.len() / 2]).unwrap();
    let cut = shelf(folder.path()).named("cut").unwrap().id.clone().unwrap();
    let pool = pool(folder.path(), Settings::default());
    let mut said = Vec::new();
    for _ in 0..3 {
        let Err(Unfinished::Failed(error)) = pool.generate(&ask(&cut, "Hello"), None).await else {
            panic!("it is cut")
        };
        said.push(error.message);
    }
    assert!(!said[0].contains("tried again in"), "{said:?}");
    assert!(said[1..].iter().all(|said| said.contains("tried again in")), "{said:?}");
}

async fn get(client: &Client, path: &str) -> (StatusCode, Value) {
    let request = client.http.get(format!("{}{path}", client.base)).bearer_auth(client.token.expose());
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

#[tokio::test]
async fn nobody_waits_for_a_large_file_that_another_one_may_want() {
    let folder = folder_with_models();
    let engine = Engine::start(folder.path(), Settings::default()).await;
    let client = &engine.client;
    while get(client, "/v1/models/poq-demo-strong").await.0 != StatusCode::OK {}
    // A file of which hashing takes minutes.
    let large = fs::File::create(folder.path().join("models/large.gguf")).unwrap();
    large.set_len(1 << 38).unwrap();
    let being_read = || async {
        let (status, answer) = get(client, "/v1/models/large").await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("models_being_read"))
        );
    };
    being_read().await;
    let unknown: Vec<String> = (0..600).map(|number| format!("/v1/models/x{number}")).collect();
    for (status, answer) in join_all(unknown.iter().map(|path| get(client, path))).await {
        assert_eq!((status, &answer["error"]["code"]), (StatusCode::NOT_FOUND, &json!("model_not_found")));
    }
    let (status, list) = get(client, "/v1/models").await;
    assert_eq!((status, list["data"].as_array().unwrap().len()), (StatusCode::OK, 3), "{list}");
    let body = json!({ "model": "poq-demo-strong", "messages": [{ "role": "user", "content": "Hi" }], "max_tokens": 1 });
    let chat =
        client.http.post(format!("{}/v1/chat/completions", client.base)).bearer_auth(client.token.expose());
    assert_eq!(chat.json(&body).send().await.unwrap().status(), StatusCode::OK);
    being_read().await;
    // Whoever hashes it comes to its end.
    large.set_len(0).unwrap();
    engine.stop().await;
}

#[tokio::test]
async fn prompts_that_are_refused_anyway_stop_nobodys_answer() {
    let folder = folder_with_models();
    let [strong, _] = ids(folder.path());
    let pool = pool(folder.path(), Settings { context: 512, parallel: 2, ..Settings::default() });
    let (pieces, mut shown) = mpsc::channel(100_000);
    let answering = tokio::spawn({
        let (pool, work) = (Arc::clone(&pool), long_story(&strong, 1));
        async move { pool.generate(&work, Some(pieces)).await }
    });
    shown.recv().await.unwrap();
    // The first ones are seen to be too long by their bytes alone, the others once enough of them is counted.
    let long = |bytes: usize| ask(&strong, &"word ".repeat(bytes / 5));
    for (bytes, unit) in [(1 << 20, LengthUnit::Bytes), (12_000, LengthUnit::Tokens)] {
        let work = long(bytes);
        for outcome in join_all((0..8).map(|_| pool.generate(&work, None))).await {
            let Err(Unfinished::TooLong(long)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(long.unit, unit);
            assert!(long.length > long.most, "{long}");
        }
    }
    answering.await.unwrap().unwrap();
}

/// A request, and the status that it gets.
fn some_request(number: usize) -> (&'static str, Value, u16) {
    let chat = |more: Value| {
        let mut body = json!({ "model": "poq-demo-strong", "temperature": 0, "max_tokens": 4,
                               "messages": [{ "role": "user", "content": format!("What is {number}?") }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    match number % 9 {
        0 => ("/v1/chat/completions", chat(json!({})), 200),
        1 => ("/v1/chat/completions", chat(json!({ "stream": true })), 200),
        2 => ("/v1/rerank", json!({ "query": "q", "documents": ["a", number.to_string()] }), 200),
        3 => ("/v2/rerank", json!({ "query": "q", "documents": [number.to_string()] }), 200),
        4 => ("/v1/score", json!({ "text_1": "q", "text_2": number.to_string() }), 200),
        5 => ("/v1/chat/completions", chat(json!({ "model": "poq-demo-weak" })), 200),
        6 => ("/v1/chat/completions", chat(json!({ "model": format!("nobody-{number}") })), 404),
        7 => (
            "/v1/chat/completions",
            chat(json!({ "messages": [{ "role": "user", "content": number }] })),
            400,
        ),
        _ => ("/v1/score", json!({ "text_1": [], "text_2": number }), 400),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_of_all_kinds_are_each_answered() {
    let folder = folder_with_models();
    let engine = Engine::start(folder.path(), Settings::default()).await;
    let callers = (0..50).map(|caller| {
        let client = engine.client.clone();
        tokio::spawn(async move {
            for number in (caller..1000).step_by(50) {
                let (path, body, wanted) = some_request(number);
                let request =
                    client.http.post(format!("{}{path}", client.base)).bearer_auth(client.token.expose());
                let response = request.json(&body).send().await.unwrap();
                let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
                assert_eq!(status, wanted, "{path} {body}: {text}");
                assert!(!body["stream"].is_boolean() || text.trim_end().ends_with("data: [DONE]"), "{text}");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let (status, list) = get(&engine.client, "/v1/models").await;
    assert_eq!(status, StatusCode::OK);
    assert!(list["data"].as_array().unwrap().iter().all(|model| model["state"] == "loaded"), "{list}");
    engine.stop().await;
}

#[tokio::test]
async fn many_documents_let_others_in_between() {
    let folder = folder_with_models();
    let evaluator = common::id_of(&shelf(folder.path()), poq_worker::models::shelf::ModelKind::Evaluator);
    let pool = pool(folder.path(), Settings::default());
    let scoring = |answers: Vec<String>| Scoring {
        model: evaluator.clone(),
        question: "What is the capital of France?".to_owned(),
        answers,
        alone: false,
    };
    let answers: Vec<String> = (0..3000).map(|number| format!("Answer number {number}.")).collect();
    let many = scoring(answers.clone());
    let running = tokio::spawn({
        let (pool, many) = (Arc::clone(&pool), many.clone());
        async move { pool.score(&many).await }
    });
    while pool.users(&evaluator) == 0 {
        tokio::task::yield_now().await;
    }
    let few = pool.score(&scoring(answers[2990..].to_vec())).await.unwrap();
    assert!(!running.is_finished(), "who came later and wanted little did not wait for it all");
    let all = running.await.unwrap().unwrap();
    assert_eq!((all.scores.len(), all.raw.len()), (3000, 3000));
    for (alone, among_many) in few.raw.iter().zip(&all.raw[2990..]) {
        assert!((alone - among_many).abs() < 0.05, "each answer has its own score: {alone} {among_many}");
    }
}
