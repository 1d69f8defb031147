//! The HTTP contract, with the real models behind it.

use crate::common::{self, folder_with_models, generate, id_of, job_id, ramble, score, shelf, Engine};
use poq_primitives::job::{FailureReason, Job, JobResult, JobState, JobStatus, MAX_DEADLINE_MS};
use poq_worker::{
    api::models::ModelList,
    config::{EngineConfig, Settings},
    models::shelf::ModelKind,
    remote::{RemoteConfig, RemoteKind},
    server::{self, EngineError},
    token::Token,
};
use reqwest::{header, StatusCode};
use std::time::Duration;

async fn error_code(response: reqwest::Response) -> String {
    let body: serde_json::Value = response.json().await.unwrap();
    assert!(body["error"]["message"].is_string(), "{body}");
    body["error"]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn everything_but_health_wants_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(folder.path(), Settings::default()).await;
    let (http, base) = (&engine.client.http, &engine.client.base);
    assert_eq!(http.get(format!("{base}/health")).send().await.unwrap().status(), StatusCode::OK);
    let job = format!("/v1/jobs/{}", job_id(1));
    for path in
        ["/v1/models", "/v1/models/x", "/metrics", "/v1/chat/completions", "/rerank", &job, "/nowhere", "/"]
    {
        let bare = http.get(format!("{base}{path}"));
        let wrong = http.get(format!("{base}{path}")).bearer_auth("0123456789abcdef");
        let scheme = http.get(format!("{base}{path}")).basic_auth("x", Some(engine.client.token.expose()));
        for request in [bare, wrong, scheme] {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
            assert_eq!(error_code(response).await, "unauthorized");
        }
    }
    engine.stop().await;
}

#[tokio::test]
async fn bad_requests_are_refused_with_their_reason() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { max_body_bytes: 2_000, ..Settings::default() };
    let engine = Engine::start(folder.path(), settings).await;
    let client = &engine.client;
    let put = |id: &str, kind: Option<&str>, body: String| {
        let mut request =
            client.http.put(format!("{}/v1/jobs/{id}", client.base)).bearer_auth(client.token.expose());
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        request.body(body).send()
    };
    let json = Some("application/json");
    let good = serde_json::to_string(&Job::Generate(generate("m", "p"))).unwrap();
    let (id, upper) = (job_id(0xab), job_id(0xab).to_uppercase());
    let unknown_field = good.replace("\"seed\"", "\"sead\"");
    let extra_field = good.replace("\"seed\"", "\"more\":1,\"seed\"");
    let negative = good.replace("\"max_tokens\":64", "\"max_tokens\":-1");
    let cases = [
        (id.as_str(), json, "{".to_owned(), 400, "invalid_json"),
        (&id, json, String::new(), 400, "invalid_json"),
        (&id, json, "[".repeat(1_500), 422, "invalid_job"),
        (&id, json, format!("{{\"more\":{}", "[".repeat(1_500)), 400, "invalid_json"),
        (&id, json, "{}".to_owned(), 422, "invalid_job"),
        (&id, json, r#"{"kind":"dance"}"#.to_owned(), 422, "invalid_job"),
        (&id, json, unknown_field, 422, "invalid_job"),
        (&id, json, extra_field, 422, "invalid_job"),
        (&id, json, negative, 422, "invalid_job"),
        (&id, json, " ".repeat(2_001), 413, "too_large"),
        (&id, None, good.clone(), 415, "not_json"),
        (&id, Some("text/plain"), good.clone(), 415, "not_json"),
        ("12", json, good.clone(), 400, "invalid_id"),
        (&upper, json, good.clone(), 400, "invalid_id"),
        ("..%2F..%2Fetc", json, good.clone(), 400, "invalid_id"),
        (&format!("{id}?wait_ms=soon"), json, good.clone(), 400, "invalid_query"),
        (&format!("{id}?deadline_ms=0"), json, good.clone(), 400, "invalid_query"),
        (&format!("{id}?deadline_ms=-1"), json, good.clone(), 400, "invalid_query"),
        (&format!("{id}?deadline_ms=1.5"), json, good.clone(), 400, "invalid_query"),
        (&format!("{id}?wait_ms=1&deadline_ms=soon"), json, good.clone(), 400, "invalid_query"),
        (&format!("{id}?deadline_ms="), json, good.clone(), 400, "invalid_query"),
    ];
    for (id, kind, body, status, code) in cases {
        let response = put(id, kind, body.clone()).await.unwrap();
        assert_eq!(response.status(), status, "{id} {kind:?} {body}");
        assert_eq!(error_code(response).await, code, "{id} {kind:?} {body}");
    }
    let unknown = client.get(&job_id(0xab), 0).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND, "nothing of all that was taken");
    assert_eq!(error_code(unknown).await, "unknown_job");
    let post = client.http.post(format!("{}/v1/jobs/{id}", client.base)).bearer_auth(client.token.expose());
    let response = post.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(error_code(response).await, "method_not_allowed");
    engine.stop().await;
}

#[tokio::test]
async fn jobs_are_done_and_repeat() {
    let folder = folder_with_models();
    let (generator, evaluator) = {
        let shelf = shelf(folder.path());
        (id_of(&shelf, ModelKind::Generator), id_of(&shelf, ModelKind::Evaluator))
    };
    let engine = Engine::start(folder.path(), Settings::default()).await;
    let client = &engine.client;

    let job = Job::Generate(generate(&generator, "What is the capital of France?"));
    let response = client.put(&job_id(1), &job, 0).await;
    assert!([StatusCode::OK, StatusCode::ACCEPTED].contains(&response.status()));
    let first = client.finished(&job_id(1)).await;
    assert!(matches!(first, JobState::Done { result: JobResult::Generate { .. } }), "{first:?}");

    let response = client.put(&job_id(1), &job, 1_000).await;
    assert_eq!(response.status(), StatusCode::OK);
    let status: JobStatus = response.json().await.unwrap();
    assert_eq!(status, JobStatus { id: job_id(1), state: first.clone() });
    client.put(&job_id(2), &job, 0).await;
    assert_eq!(client.finished(&job_id(2)).await, first, "the same work under another id");

    let other = Job::Generate(generate(&generator, "Another question"));
    let response = client.put(&job_id(1), &other, 0).await;
    assert_eq!(response.status(), StatusCode::CONFLICT);
    assert_eq!(error_code(response).await, "other_job");

    let job = Job::Score(score(&evaluator, "What is the capital of France?", &["Paris.", "Rome."]));
    client.put(&job_id(3), &job, 0).await;
    let JobState::Done { result: JobResult::Score { scores } } = client.finished(&job_id(3)).await else {
        panic!("scored")
    };
    assert_eq!(scores.len(), 2);

    let list = client.http.get(format!("{}/v1/models", client.base)).bearer_auth(client.token.expose());
    let list: ModelList = list.send().await.unwrap().json().await.unwrap();
    assert!(list.data.iter().any(|model| model.sha256.as_ref() == Some(&evaluator)));
    engine.stop().await;

    let engine = Engine::start(folder.path(), Settings::default()).await;
    assert_eq!(engine.client.state(&job_id(1)).await, first, "results outlive a restart");
    assert_eq!(engine.client.delete(&job_id(1)).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(engine.client.delete(&job_id(1)).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(engine.client.get(&job_id(1), 0).await.status(), StatusCode::NOT_FOUND);
    engine.stop().await;
}

#[tokio::test]
async fn jobs_that_cannot_be_done_fail_with_their_reason() {
    let folder = folder_with_models();
    let (generator, evaluator) = {
        let shelf = shelf(folder.path());
        (id_of(&shelf, ModelKind::Generator), id_of(&shelf, ModelKind::Evaluator))
    };
    let engine = Engine::start(folder.path(), Settings::default()).await;
    let cases = [
        (Job::Generate(generate(&"0".repeat(64), "p")), FailureReason::ModelUnavailable),
        (Job::Generate(generate("../../etc/passwd", "p")), FailureReason::ModelUnavailable),
        (Job::Generate(generate(&evaluator, "p")), FailureReason::ModelUnavailable),
        (Job::Score(score(&generator, "p", &["r"])), FailureReason::ModelUnavailable),
        (Job::Score(score(&evaluator, "p", &[])), FailureReason::InvalidJob),
        (Job::Generate(generate(&generator, &"word ".repeat(50_000))), FailureReason::InvalidJob),
    ];
    for (n, (job, code)) in (0..).zip(cases) {
        engine.client.put(&job_id(n), &job, 0).await;
        let JobState::Failed { error } = engine.client.finished(&job_id(n)).await else { panic!("{job:?}") };
        assert_eq!(error.code, code, "{job:?}: {}", error.message);
    }
    engine.stop().await;
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back_and_deleting_makes_room() {
    let folder = folder_with_models();
    let generator = id_of(&shelf(folder.path()), ModelKind::Generator);
    let engine = Engine::start(folder.path(), Settings { queue_limit: 0, ..Settings::default() }).await;
    let response = engine.client.put(&job_id(1), &Job::Generate(ramble(&generator, 1)), 0).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(error_code(response).await, "queue_full");
    engine.stop().await;

    let engine = Engine::start(folder.path(), Settings::default()).await;
    for n in 0..20 {
        engine.client.put(&job_id(n), &Job::Generate(ramble(&generator, n)), 0).await;
    }
    for n in 0..20 {
        assert_eq!(engine.client.delete(&job_id(n)).await.status(), StatusCode::NO_CONTENT);
        assert_eq!(engine.client.get(&job_id(n), 0).await.status(), StatusCode::NOT_FOUND);
    }
    let job = Job::Generate(generate(&generator, "Is it my turn?"));
    engine.client.put(&job_id(99), &job, 0).await;
    assert!(matches!(engine.client.finished(&job_id(99)).await, JobState::Done { .. }));
    engine.stop().await;
}

#[tokio::test]
async fn a_job_fails_at_its_deadline_and_may_be_put_again() {
    let folder = tempfile::tempdir().unwrap();
    // A server that takes connections and answers nobody: its one job runs for as long as the test wants.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/v1", silent.local_addr().unwrap());
    let mut remote = RemoteConfig::new("silent", RemoteKind::Openai, &url, &"a".repeat(64));
    (remote.remote_model, remote.max_concurrent) = (Some("m".to_owned()), 1);
    let job = Job::Generate(generate(&remote.model, "p"));
    let engine = Engine::start_with(folder.path(), Settings::default(), vec![remote]).await;
    let client = &engine.client;
    client.put(&job_id(1), &job, 0).await.error_for_status().unwrap();
    while client.state(&job_id(1)).await != JobState::Running {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let failed = |state| match state {
        JobState::Failed { error } => (error.code, error.message),
        state => panic!("{state:?}"),
    };
    client.put_until(&job_id(2), &job, 1).await.error_for_status().unwrap();
    let (code, message) = failed(client.finished(&job_id(2)).await);
    assert_eq!(code, FailureReason::DeadlineExceeded);
    assert!(message.contains("queued"), "{message}");
    assert_eq!(client.state(&job_id(1)).await, JobState::Running);

    client.put_until(&job_id(1), &job, 1).await.error_for_status().unwrap();
    let (code, message) = failed(client.finished(&job_id(1)).await);
    assert_eq!(code, FailureReason::DeadlineExceeded);
    assert!(message.contains("running"), "{message}");
    let metrics = client.http.get(format!("{}/metrics", client.base)).bearer_auth(client.token.expose());
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("poq_jobs_late_total"), "{metrics}");

    let response = client.put(&job_id(2), &job, 0).await;
    assert_eq!(response.status(), StatusCode::OK, "without a new deadline it stays failed");
    for deadline_ms in [MAX_DEADLINE_MS, u64::MAX] {
        let response = client.put_until(&job_id(2), &job, deadline_ms).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED);
    }
    engine.stop().await;
}

#[tokio::test]
async fn many_callers_of_one_job_get_one_result() {
    let folder = folder_with_models();
    let generator = id_of(&shelf(folder.path()), ModelKind::Generator);
    let engine = Engine::start(folder.path(), Settings::default()).await;
    let callers = (0..16).map(|_| {
        let (client, job) = (engine.client.clone(), Job::Generate(ramble(&generator, 5)));
        tokio::spawn(async move {
            client.put(&job_id(5), &job, 1_000).await.error_for_status().unwrap();
            client.finished(&job_id(5)).await
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut results = Vec::new();
    for caller in callers {
        results.push(caller.await.unwrap());
    }
    assert!(results.iter().all(|result| matches!(result, JobState::Done { .. }) && *result == results[0]));
    engine.stop().await;
}

#[tokio::test]
async fn stopping_in_the_middle_leaves_the_job_for_the_next_start() {
    let folder = folder_with_models();
    let generator = id_of(&shelf(folder.path()), ModelKind::Generator);
    let engine = Engine::start(folder.path(), Settings::default()).await;
    for n in 0..30 {
        engine.client.put(&job_id(n), &Job::Generate(ramble(&generator, n)), 0).await;
    }
    engine.stop().await;
    let engine = Engine::start(folder.path(), Settings::default()).await;
    for n in 0..30 {
        assert!(matches!(engine.client.finished(&job_id(n)).await, JobState::Done { .. }));
    }
    engine.stop().await;
}

#[tokio::test]
async fn a_job_of_a_later_version_is_left_alone_and_named() {
    let folder = folder_with_models();
    let generator = id_of(&shelf(folder.path()), ModelKind::Generator);
    let jobs = folder.path().join("data/jobs");
    std::fs::create_dir_all(&jobs).unwrap();
    let file = jobs.join(format!("{}.json", job_id(1)));
    let later = format!(r#"{{"format":2,"id":"{}","anything":"else"}}"#, job_id(1));
    std::fs::write(&file, &later).unwrap();
    let engine = Engine::start(folder.path(), Settings::default()).await;
    let job = Job::Generate(generate(&generator, "Is it my turn?"));
    for response in [engine.client.get(&job_id(1), 0).await, engine.client.put(&job_id(1), &job, 0).await] {
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body: serde_json::Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], "newer_record");
        assert!(body["error"]["message"].as_str().unwrap().contains(&job_id(1)), "{body}");
    }
    engine.client.put(&job_id(2), &job, 0).await;
    assert!(matches!(engine.client.finished(&job_id(2)).await, JobState::Done { .. }));
    engine.stop().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), later);

    // Whoever does not want it kept may forget it.
    let engine = Engine::start(folder.path(), Settings::default()).await;
    assert_eq!(engine.client.delete(&job_id(1)).await.status(), StatusCode::NO_CONTENT);
    engine.client.put(&job_id(1), &job, 0).await;
    assert!(matches!(engine.client.finished(&job_id(1)).await, JobState::Done { .. }));
    engine.stop().await;
}

#[tokio::test]
async fn two_engines_do_not_share_a_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(folder.path(), Settings::default()).await;
    let config = EngineConfig {
        listen: poq_worker::config::loopback(0),
        allow_remote: false,
        token: Token::random(),
        models: folder.path().join("models"),
        data: folder.path().join("data"),
        program: common::program(),
        remotes: Vec::new(),
        settings: Settings::default(),
    };
    let (ready, _) = tokio::sync::oneshot::channel();
    let error = server::serve(config, std::future::pending(), ready).await.unwrap_err();
    assert!(matches!(error, EngineError::InUse(_)), "{error}");
    engine.stop().await;
}
