//! Requests of clients of OpenAI's API and of rerank servers, with the real models behind it.

use crate::common::{self, folder_with_models, job_id, ramble, Client, Engine};
use futures::StreamExt as _;
use poq_primitives::job::{GenerateJob, Job};
use poq_worker::config::Settings;
use reqwest::{header, StatusCode};
use serde_json::{json, Value};
use std::time::Duration;

const STRONG: &str = "poq-demo-strong";
const EVALUATOR: &str = "poq-demo-evaluator";
const FRANCE: &str = "What is the capital of France?";

async fn post(client: &Client, path: &str, body: &Value) -> reqwest::Response {
    let request = client.http.post(format!("{}{path}", client.base)).bearer_auth(client.token.expose());
    request.json(body).send().await.unwrap()
}

async fn get(client: &Client, path: &str) -> reqwest::Response {
    let request = client.http.get(format!("{}{path}", client.base)).bearer_auth(client.token.expose());
    request.send().await.unwrap()
}

async fn good(client: &Client, path: &str, body: &Value) -> Value {
    let response = post(client, path, body).await;
    let (status, body) = (response.status(), response.json().await.unwrap());
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

/// Status and code of the error that `body` gets; it has OpenAI's shape.
async fn refused(client: &Client, path: &str, body: &Value) -> (u16, String) {
    let response = post(client, path, body).await;
    let (status, answer) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
    let error = &answer["error"];
    assert!(error["message"].is_string() && error["type"].is_string(), "{body} {answer}");
    assert!(error.as_object().unwrap().contains_key("param"), "{answer}");
    (status, error["code"].as_str().unwrap().to_owned())
}

fn chat(question: &str) -> Value {
    json!({ "model": STRONG, "messages": [{ "role": "user", "content": question }], "temperature": 0, "max_tokens": 64 })
}

/// `body` with the fields of `more`.
fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// An answer that goes on for long.
fn long_chat() -> Value {
    with(
        chat("Tell me a story."),
        json!({ "temperature": 100, "top_p": 1, "max_tokens": 3000, "stream": true }),
    )
}

/// The data of all events of a stream.
async fn events(client: &Client, body: &Value) -> Vec<String> {
    let response = post(client, "/v1/chat/completions", body).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let text = response.text().await.unwrap();
    text.split("\n\n").filter_map(|event| event.strip_prefix("data: ").map(str::to_owned)).collect()
}

fn text_of(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

/// The metric with exactly this name and these labels; 0 before it is first counted.
async fn metric(client: &Client, name: &str) -> u64 {
    let text = get(client, "/metrics").await.text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |number| number.parse::<f64>().unwrap() as u64)
}

/// Waits, as long as it takes, until the metric has this value.
async fn until(client: &Client, name: &str, value: u64) {
    while metric(client, name).await != value {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn start(settings: Settings) -> (tempfile::TempDir, Engine) {
    let folder = folder_with_models();
    let engine = Engine::start(folder.path(), settings).await;
    (folder, engine)
}

#[tokio::test]
async fn a_chat_is_answered_at_once_and_as_a_stream_alike() {
    let (_folder, engine) = start(Settings::default()).await;
    let client = &engine.client;
    let whole = good(client, "/v1/chat/completions", &chat(FRANCE)).await;
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(whole["model"], STRONG);
    assert!(whole["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(whole["choices"][0]["message"]["role"], "assistant");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    assert!(text_of(&whole).contains("Paris"), "{whole}");
    let usage = &whole["usage"];
    let sum = usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap();
    assert_eq!(usage["total_tokens"], sum);

    let body = with(chat(FRANCE), json!({ "stream": true, "stream_options": { "include_usage": true } }));
    let mut events = events(client, &body).await;
    assert_eq!(events.pop().unwrap(), "[DONE]");
    let chunks: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"] && chunk["model"] == STRONG));
    assert!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk"));
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, text_of(&whole));
    let [.., last, counted] = chunks.as_slice() else { panic!("{chunks:?}") };
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!((counted["choices"].as_array().unwrap().len(), &counted["usage"]), (0, usage));
    engine.stop().await;
}

#[tokio::test]
async fn what_a_request_says_is_done() {
    let (_folder, engine) = start(Settings::default()).await;
    let client = &engine.client;
    let ask = |more| async move { good(client, "/v1/chat/completions", &with(chat(FRANCE), more)).await };
    let whole = ask(json!({})).await;
    let short = ask(json!({ "max_tokens": 2 })).await;
    assert_eq!(
        (&short["choices"][0]["finish_reason"], &short["usage"]["completion_tokens"]),
        (&json!("length"), &json!(2))
    );
    assert_eq!(
        ask(json!({ "max_tokens": 64, "max_completion_tokens": 2 })).await["choices"],
        short["choices"]
    );

    let word = text_of(&whole).split_whitespace().last().unwrap();
    for stop in [json!(word), json!(["never said", word])] {
        let stopped = ask(json!({ "stop": stop })).await;
        let before = text_of(&whole).split(word).next().unwrap().trim_end();
        assert_eq!(text_of(&stopped), before, "{stopped}");
        assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    }

    let parts = json!([{ "role": "user", "content": [{ "type": "text", "text": FRANCE }] }]);
    assert_eq!(ask(json!({ "messages": parts })).await["choices"], whole["choices"]);
    let sha256 =
        get(client, &format!("/v1/models/{STRONG}")).await.json::<Value>().await.unwrap()["sha256"].clone();
    assert_eq!(ask(json!({ "model": sha256 })).await["choices"], whole["choices"], "by its id");
    assert_eq!(
        ask(json!({ "tools": [], "user": "me", "logit_bias": {} })).await["choices"],
        whole["choices"]
    );

    for role in ["system", "developer"] {
        let talk = json!([
            { "role": role, "content": "Answer in one sentence." },
            { "role": "user", "content": "Hello." },
            { "role": "assistant", "content": "Hello!" },
            { "role": "user", "content": FRANCE },
        ]);
        let answer = ask(json!({ "messages": talk })).await;
        assert!(
            answer["usage"]["prompt_tokens"].as_u64() > whole["usage"]["prompt_tokens"].as_u64(),
            "{answer}"
        );
    }
    let seeded = json!({ "temperature": 1.5, "seed": 42, "max_tokens": 40 });
    assert_eq!(ask(seeded.clone()).await["choices"], ask(seeded).await["choices"]);
    engine.stop().await;
}

#[tokio::test]
async fn bad_chats_are_refused_with_their_reason() {
    let (_folder, engine) = start(Settings { max_body_bytes: 600_000, ..Settings::default() }).await;
    let client = &engine.client;
    let path = "/v1/chat/completions";
    let long = "word ".repeat(50_000);
    let cases = [
        (json!({ "model": "gpt-4o" }), 404, "model_not_found"),
        (json!({ "model": "../../etc/passwd" }), 404, "model_not_found"),
        (json!({ "model": EVALUATOR }), 404, "wrong_model_kind"),
        (json!({ "n": 2 }), 400, "invalid_request"),
        (json!({ "messages": [] }), 400, "invalid_request"),
        (json!({ "max_tokens": 0 }), 400, "invalid_request"),
        (json!({ "temperature": -1 }), 400, "invalid_request"),
        (json!({ "top_p": 0 }), 400, "invalid_request"),
        (json!({ "stop": vec!["x"; 17] }), 400, "invalid_request"),
        (json!({ "messages": [{ "role": "wizard", "content": "x" }] }), 400, "invalid_request"),
        (json!({ "messages": [{ "role": "tool", "content": "x" }] }), 400, "invalid_request"),
        (json!({ "messages": [{ "role": "user" }] }), 400, "invalid_request"),
        (json!({ "messages": "Hi" }), 400, "invalid_request"),
        (json!({ "messages": [{ "role": "user", "content": long }] }), 400, "context_length_exceeded"),
        (
            json!({ "messages": [{ "role": "user", "content": long }], "stream": true }),
            400,
            "context_length_exceeded",
        ),
        (json!({ "user": "x".repeat(600_000) }), 413, "too_large"),
    ];
    for (more, status, code) in cases {
        let body = with(chat(FRANCE), more);
        let told = refused(client, path, &body).await;
        assert_eq!(told, (status, code.to_owned()), "{:.200}", body.to_string());
    }
    let request = client.http.post(format!("{}{path}", client.base)).bearer_auth(client.token.expose());
    let plain = request.body(chat(FRANCE).to_string()).send().await.unwrap();
    assert_eq!(plain.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    engine.stop().await;
}

#[tokio::test]
async fn documents_are_put_in_order_in_both_shapes() {
    let (_folder, engine) = start(Settings::default()).await;
    let client = &engine.client;
    let texts = json!(["I like rain.", "The capital of France is Paris.", "Seven."]);
    let documents = json!(["I like rain.", { "text": "The capital of France is Paris." }, "Seven."]);
    let body = json!({ "model": EVALUATOR, "query": FRANCE, "documents": documents });

    let ranked = good(client, "/v1/rerank", &body).await;
    let results = ranked["results"].as_array().unwrap();
    assert_eq!((results.len(), &results[0]["index"], &ranked["model"]), (3, &json!(1), &json!(EVALUATOR)));
    let scores: Vec<f64> = results.iter().map(|result| result["relevance_score"].as_f64().unwrap()).collect();
    assert!(
        scores.is_sorted_by(|a, b| a >= b) && scores.iter().all(|score| (0.0..=1.0).contains(score)),
        "{scores:?}"
    );
    assert!(results.iter().all(|result| result.get("document").is_none()));
    assert!(ranked["usage"]["total_tokens"].as_u64().unwrap() > 0);

    let top = with(body.clone(), json!({ "top_n": 1, "return_documents": true }));
    let top = good(client, "/rerank", &top).await;
    assert_eq!(top["results"].as_array().unwrap().len(), 1);
    assert_eq!(top["results"][0]["document"]["text"], texts[1]);
    assert_eq!(top["results"][0]["relevance_score"], results[0]["relevance_score"]);
    let all = good(client, "/v1/rerank", &with(body.clone(), json!({ "top_n": 9 }))).await;
    assert_eq!(all["results"], ranked["results"]);

    let tei = json!({ "query": FRANCE, "texts": texts, "return_text": true, "truncate": true });
    let tei = good(client, "/rerank", &tei).await;
    let tei = tei.as_array().unwrap();
    let indices = |results: &[Value]| results.iter().map(|one| one["index"].clone()).collect::<Vec<_>>();
    assert_eq!(indices(tei), indices(results));
    assert_eq!((&tei[0]["text"], &tei[0]["score"]), (&texts[1], &results[0]["relevance_score"]));

    let bad = [
        (json!({ "documents": [] }), 400, "invalid_request"),
        (json!({ "top_n": 0 }), 400, "invalid_request"),
        (json!({ "documents": [7] }), 400, "invalid_request"),
        (json!({ "model": STRONG }), 404, "wrong_model_kind"),
        (json!({ "model": "nobody" }), 404, "model_not_found"),
    ];
    for (more, status, code) in bad {
        let told = refused(client, "/v1/rerank", &with(body.clone(), more.clone())).await;
        assert_eq!(told, (status, code.to_owned()), "{more}");
    }
    assert_eq!(refused(client, "/rerank", &json!({ "query": "q", "texts": [] })).await.0, 400);
    assert_eq!(refused(client, "/rerank", &json!({ "texts": ["a"] })).await.0, 400);
    assert_eq!(refused(client, "/rerank", &json!([])).await.0, 400);
    engine.stop().await;
}

#[tokio::test]
async fn scores_are_what_the_evaluator_and_a_job_say() {
    let (_folder, engine) = start(Settings::default()).await;
    let client = &engine.client;
    let answers = ["The capital of France is Paris.", "Seven."];
    let body = json!({ "model": EVALUATOR, "question": FRANCE, "answers": answers, "alone": true });
    let alone = good(client, "/v1/score", &body).await;
    let scores = alone["scores"].as_array().unwrap();
    assert!(scores[0]["raw"].as_f64() > scores[1]["raw"].as_f64(), "{alone}");
    assert!(scores[0]["score"].as_f64() > scores[1]["score"].as_f64(), "{alone}");
    assert_eq!((&scores[0]["index"], &scores[1]["index"]), (&json!(0), &json!(1)));

    let evaluator = get(client, &format!("/v1/models/{EVALUATOR}")).await.json::<Value>().await.unwrap();
    let job = Job::Score(common::score(evaluator["sha256"].as_str().unwrap(), FRANCE, &answers));
    client.put(&job_id(1), &job, 0).await;
    let state = serde_json::to_value(client.finished(&job_id(1)).await).unwrap();
    let millionths = |score: &Value| (score["score"].as_f64().unwrap() * 1e6).round() as u64;
    let said: Vec<u64> = scores.iter().map(millionths).collect();
    assert_eq!(state["result"]["scores"], json!(said));

    let batch = good(client, "/v1/score", &with(body.clone(), json!({ "alone": false }))).await;
    for (alone, batch) in scores.iter().zip(batch["scores"].as_array().unwrap()) {
        let apart = alone["score"].as_f64().unwrap() - batch["score"].as_f64().unwrap();
        assert!(apart.abs() < 0.01, "{alone} {batch}");
    }
    let raw = json!({ "query": FRANCE, "documents": answers, "raw_scores": true });
    let raw = good(client, "/v1/rerank", &raw).await;
    assert_eq!(
        raw["results"][0]["relevance_score"], batch["scores"][0]["raw"],
        "without a model, the only one"
    );
    assert_eq!(refused(client, "/v1/score", &with(body, json!({ "answers": [] }))).await.0, 400);
    engine.stop().await;
}

#[tokio::test]
async fn models_are_listed_as_clients_expect() {
    let (_folder, engine) = start(Settings::default()).await;
    let client = &engine.client;
    good(client, "/v1/chat/completions", &chat(FRANCE)).await;
    let list = get(client, "/v1/models").await.json::<Value>().await.unwrap();
    assert_eq!(list["object"], "list");
    let data = list["data"].as_array().unwrap();
    let strong = data.iter().find(|model| model["id"] == STRONG).unwrap();
    assert_eq!(
        (&strong["object"], &strong["kind"], &strong["state"]),
        (&json!("model"), &json!("generator"), &json!("loaded"))
    );
    assert!(strong["created"].as_u64().unwrap() > 0 && strong["bytes"].as_u64().unwrap() > 0);
    assert_eq!(get(client, &format!("/v1/models/{STRONG}")).await.json::<Value>().await.unwrap(), *strong);
    for unknown in ["nobody", "%2F..%2F", "abc"] {
        assert_eq!(get(client, &format!("/v1/models/{unknown}")).await.status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(get(client, "/v1/models/%FF").await.status(), StatusCode::BAD_REQUEST);
    engine.stop().await;
}

#[tokio::test]
async fn who_finds_no_place_is_told_to_come_back() {
    let (_folder, engine) = start(Settings { queue_limit: 0, ..Settings::default() }).await;
    for (path, body) in [
        ("/v1/chat/completions", chat(FRANCE)),
        ("/v1/rerank", json!({ "query": "q", "documents": ["a"] })),
        ("/rerank", json!({ "query": "q", "texts": ["a"] })),
        ("/v1/score", json!({ "question": "q", "answers": ["a"] })),
        ("/v1/embeddings", json!({ "input": "a" })),
    ] {
        let response = post(&engine.client, path, &body).await;
        assert!(response.headers().contains_key(header::RETRY_AFTER), "{path}");
        assert_eq!(refused(&engine.client, path, &body).await, (429, "queue_full".to_owned()), "{path}");
    }
    assert_eq!(metric(&engine.client, r#"poq_errors_total{code="queue_full"}"#).await, 10);
    engine.stop().await;

    // One place: taken while a stream goes on, and free again when its reader goes away.
    let (_folder, engine) = start(Settings { queue_limit: 1, ..Settings::default() }).await;
    let client = &engine.client;
    let full = r#"poq_errors_total{code="queue_full"}"#;
    while metric(client, full).await == 0 {
        // The demo model may be at its context's end before the next request comes: then once more.
        let mut stream = post(client, "/v1/chat/completions", &long_chat()).await.bytes_stream();
        stream.next().await.unwrap().unwrap();
        post(client, "/v1/chat/completions", &chat(FRANCE)).await;
        drop(stream);
        until(client, "poq_http_requests_in_flight", 1).await;
    }
    while post(client, "/v1/chat/completions", &chat(FRANCE)).await.status() != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    engine.stop().await;
}

#[tokio::test]
async fn who_goes_away_ends_the_work() {
    let (_folder, engine) = start(Settings::default()).await;
    let client = &engine.client;
    let cancelled = r#"poq_work_total{kind="generate",outcome="cancelled"}"#;
    // The demo model may be at its context's end before the engine hears that its reader left: then once more.
    while metric(client, cancelled).await == 0 {
        let mut stream = post(client, "/v1/chat/completions", &long_chat()).await.bytes_stream();
        stream.next().await.unwrap().unwrap();
        drop(stream);
        until(client, "poq_http_requests_in_flight", 1).await;
    }
    // And one that waits for the whole answer.
    let body = with(long_chat(), json!({ "stream": false }));
    let gone = r#"poq_http_requests_total{method="POST",route="/v1/chat/completions",status="499"}"#;
    let before = metric(client, cancelled).await;
    while metric(client, gone).await == 0 {
        let request = post(client, "/v1/chat/completions", &body);
        let _given_up = tokio::time::timeout(Duration::from_millis(50), request).await;
        // This request for the metrics is the one.
        until(client, "poq_http_requests_in_flight", 1).await;
    }
    until(client, cancelled, before + metric(client, gone).await).await;
    good(client, "/v1/chat/completions", &chat(FRANCE)).await;
    engine.stop().await;
}

#[tokio::test]
async fn metrics_count_exactly_the_work_done() {
    let (_folder, engine) = start(Settings::default()).await;
    let client = &engine.client;
    let (mut prompt, mut generated) = (0, 0);
    for question in [FRANCE, "What is the capital of Spain?"] {
        let usage = good(client, "/v1/chat/completions", &chat(question)).await["usage"].clone();
        prompt += usage["prompt_tokens"].as_u64().unwrap();
        generated += usage["completion_tokens"].as_u64().unwrap();
    }
    events(client, &with(chat(FRANCE), json!({ "stream": true, "max_tokens": 3 }))).await;
    let scored = good(client, "/v1/rerank", &json!({ "query": "q", "documents": ["a", "b", "c"] })).await;
    refused(client, "/v1/chat/completions", &json!({})).await;
    let strong = get(client, &format!("/v1/models/{STRONG}")).await.json::<Value>().await.unwrap();
    let job = Job::Generate(GenerateJob { max_tokens: 2, ..ramble(strong["sha256"].as_str().unwrap(), 1) });
    client.put(&job_id(1), &job, 0).await;
    let done = serde_json::to_value(client.finished(&job_id(1)).await).unwrap();
    let of_job = done["result"]["tokens"].as_u64().unwrap();

    assert_eq!(metric(client, "poq_generated_tokens_total").await, generated + 3 + of_job);
    assert!(metric(client, "poq_prompt_tokens_total").await > prompt);
    assert_eq!(metric(client, "poq_scored_pairs_total").await, 3);
    assert_eq!(
        metric(client, "poq_scored_tokens_total").await,
        scored["usage"]["total_tokens"].as_u64().unwrap()
    );
    for (name, value) in [
        (r#"poq_work_total{kind="generate",outcome="done"}"#, 4),
        (r#"poq_work_seconds_count{kind="generate"}"#, 4),
        (r#"poq_work_total{kind="score",outcome="done"}"#, 1),
        (r#"poq_jobs_finished_total{kind="generate",outcome="done"}"#, 1),
        (r#"poq_jobs{state="waiting"}"#, 0),
        (r#"poq_models_in_memory"#, 2),
        (r#"poq_model_loads_total{model="poq-demo-strong"}"#, 1),
        (r#"poq_model_loads_total{model="poq-demo-evaluator"}"#, 1),
        (r#"poq_model_deaths_total{model="poq-demo-strong"}"#, 0),
        (r#"poq_errors_total{code="invalid_request"}"#, 1),
        (r#"poq_http_requests_in_flight"#, 1),
    ] {
        until(client, name, value).await;
    }
    let chats = r#"poq_http_requests_total{method="POST",route="/v1/chat/completions""#;
    until(client, &format!(r#"{chats},status="200"}}"#), 3).await;
    until(client, &format!(r#"{chats},status="400"}}"#), 1).await;
    until(client, r#"poq_http_request_seconds_count{route="/v1/chat/completions"}"#, 4).await;
    engine.stop().await;
}

#[tokio::test]
async fn the_document_says_which_methods_there_are() {
    let (_folder, engine) = start(Settings::default()).await;
    let client = &engine.client;
    let document = client.http.get(format!("{}/openapi.json", client.base)).send().await.unwrap();
    assert_eq!(document.status(), StatusCode::OK, "without a token");
    let document: Value = document.json().await.unwrap();
    for (path, described) in document["paths"].as_object().unwrap() {
        let url = format!("{}{}", client.base, path.replace("{id}", &job_id(1)));
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let request =
                client.http.request(method.parse().unwrap(), &url).bearer_auth(client.token.expose());
            let response = request.send().await.unwrap();
            let there = response.status() != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(there, described.get(method.to_lowercase()).is_some(), "{method} {path}");
            assert!(there || response.headers().contains_key(header::ALLOW), "{method} {path}");
            let open = described[method.to_lowercase()]["security"] == json!([{}]);
            let bare = client.http.request(method.parse().unwrap(), &url).send().await.unwrap().status();
            assert!(!there || (bare == StatusCode::UNAUTHORIZED) != open, "{method} {path} {bare}");
        }
    }
    engine.stop().await;
}

#[tokio::test]
async fn a_stream_is_told_that_the_engine_stops() {
    let (_folder, engine) = start(Settings { context: 1 << 20, ..Settings::default() }).await;
    let client = engine.client.clone();
    let body = with(long_chat(), json!({ "max_tokens": 4_000_000 }));
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = post(&client, "/v1/chat/completions", &body).await.bytes_stream();
        stream.next().await.unwrap().unwrap();
        streams.push(stream);
    }
    engine.stop().await;
    for mut stream in streams {
        let mut text = Vec::new();
        while let Some(Ok(piece)) = stream.next().await {
            text.extend(piece);
        }
        let text = String::from_utf8(text).unwrap();
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        // Whoever was at the end already is not cut off.
        assert!(last == "data: [DONE]" || last.contains(r#""code":"stopping""#), "{last}");
    }
}
