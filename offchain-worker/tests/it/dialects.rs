//! Requests of other servers' clients, and their refusals: in the form of their API, short, with the field's name.

use crate::common::{folder_with_models, Client, Engine};
use poq_worker::config::Settings;
use reqwest::{header, Method, StatusCode};
use serde_json::{json, Value};
use std::{fs, path::Path};

const STRONG: &str = "poq-demo-strong";
const EVALUATOR: &str = "poq-demo-evaluator";
const FRANCE: &str = "What is the capital of France?";

/// Most bytes of any error.
const SHORT: usize = 1000;

async fn post(client: &Client, path: &str, body: &Value) -> (u16, Value) {
    let request = client.http.post(format!("{}{path}", client.base)).bearer_auth(client.token.expose());
    let response = request.json(body).send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert!(status == 200 || text.len() < SHORT, "{:.2000}", text);
    (status, serde_json::from_str(&text).unwrap())
}

async fn good(client: &Client, path: &str, body: &Value) -> Value {
    let (status, answer) = post(client, path, body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

fn chat(messages: Value) -> Value {
    json!({ "model": STRONG, "messages": messages, "temperature": 0, "max_tokens": 8 })
}

fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn start(settings: Settings) -> (tempfile::TempDir, Engine) {
    let folder = folder_with_models();
    let engine = Engine::start(folder.path(), settings).await;
    (folder, engine)
}

/// Puts the bi-encoder of the shapes into the models folder.
fn add_bi_encoder(folder: &Path) {
    let shape = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/shapes/minilm-like-bi");
    let place = folder.join("models/bi");
    fs::create_dir_all(&place).unwrap();
    for file in ["model.onnx", "tokenizer.json", "poq.json"] {
        fs::copy(shape.join(file), place.join(file)).unwrap();
    }
}

#[tokio::test]
async fn a_bad_field_is_named_and_nothing_long_is_repeated() {
    let (_folder, engine) = start(Settings::default()).await;
    let long = "w".repeat(900_000);
    let user = |content: Value| chat(json!([{ "role": "user", "content": content }]));
    let image = json!([{ "type": "text", "text": "What is this?" },
                       { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } }]);
    for (body, field, words) in [
        (user(Value::Null), "messages[0].content", "send a text or a list of parts"),
        (user(json!(7)), "messages[0].content", "a text or a list of parts"),
        (user(image), "messages[0].content[1].type", "takes no images"),
        (user(json!([{ "type": "text", "text": 7 }])), "messages[0].content[0].text", "string"),
        (chat(json!([{ "role": "wizard", "content": "x" }])), "messages[0].role", "`wizard`"),
        (chat(json!([{ "role": long, "content": "x" }])), "messages[0].role", "`user`"),
        (chat(json!("Hi")), "messages", "sequence"),
        (with(user(json!("Hi")), json!({ "max_tokens": -2 })), "max_tokens", "1 to 4294967295, or -1"),
        (with(user(json!("Hi")), json!({ "max_tokens": 0 })), "max_tokens", "1 to 4294967295, or -1"),
        (with(user(json!("Hi")), json!({ "max_completion_tokens": "9" })), "max_completion_tokens", "or -1"),
        (with(user(json!("Hi")), json!({ "temperature": 101 })), "temperature", "0 to 100"),
        (with(user(json!("Hi")), json!({ "stop": { "a": long } })), "stop", "a text or a list of texts"),
        (with(user(json!("Hi")), json!({ "n": 2 })), "n", "has to be 1"),
    ] {
        let (status, answer) = post(&engine.client, "/v1/chat/completions", &body).await;
        let error = &answer["error"];
        assert_eq!((status, &error["type"]), (400, &json!("invalid_request_error")), "{answer}");
        assert_eq!((&error["code"], &error["param"]), (&json!("invalid_request"), &json!(field)), "{answer}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words) && message.contains(field), "{message}");
        assert!(!message.contains("variant of untagged") && !message.contains("column"), "{message}");
    }
    let (status, answer) = post(&engine.client, "/v1/chat/completions", &json!({ "messages": [] })).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("invalid_request")), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("`model`"), "{answer}");
    let (status, answer) =
        post(&engine.client, "/v1/chat/completions", &with(chat(json!([])), json!({ "model": long }))).await;
    assert_eq!((status, &answer["error"]["param"]), (404, &json!("model")), "{answer}");
    engine.stop().await;
}

#[tokio::test]
async fn what_other_servers_take_is_taken() {
    let (_folder, engine) = start(Settings::default()).await;
    let client = &engine.client;
    let parts =
        json!([{ "type": "text", "text": "What is the capital" }, { "text": "of France?", "type": "text" }]);
    let asked = |content: Value| json!([{ "role": "user", "content": content }]);
    let joined = good(client, "/v1/chat/completions", &chat(asked(parts))).await;
    let plain = chat(asked(json!("What is the capital\nof France?")));
    assert_eq!(joined["choices"], good(client, "/v1/chat/completions", &plain).await["choices"]);

    let calls = json!([{ "id": "1", "type": "function", "function": { "name": "f", "arguments": "{}" } }]);
    let talk = json!([
        { "role": "user", "content": "Hello." },
        { "role": "assistant", "content": null, "tool_calls": calls },
        { "role": "user", "content": FRANCE },
    ]);
    good(client, "/v1/chat/completions", &chat(talk)).await;

    // No limit is the model's: the answer ends where it ends.
    let free = with(chat(asked(json!(FRANCE))), json!({ "max_tokens": -1 }));
    let free = good(client, "/v1/chat/completions", &free).await;
    assert_eq!(free["choices"][0]["finish_reason"], "stop", "{free}");
    assert!(free["choices"][0]["message"]["content"].as_str().unwrap().contains("Paris"), "{free}");
    engine.stop().await;
}

#[tokio::test]
async fn a_prompt_beyond_the_context_has_the_code_that_clients_know() {
    let (_folder, engine) = start(Settings { context: 64, ..Settings::default() }).await;
    let client = &engine.client;
    let body = |words: usize, stream: bool| {
        let content = "word ".repeat(words);
        with(chat(json!([{ "role": "user", "content": content }])), json!({ "stream": stream }))
    };
    // The model is in memory then: what is too long is known before a stream begins.
    good(client, "/v1/chat/completions", &body(1, false)).await;
    for (words, unit) in [(150, "tokens"), (150_000, "bytes")] {
        for stream in [false, true] {
            let (status, answer) = post(client, "/v1/chat/completions", &body(words, stream)).await;
            let error = &answer["error"];
            assert_eq!((status, &error["code"]), (400, &json!("context_length_exceeded")), "{answer}");
            assert_eq!(error["type"], "invalid_request_error");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(unit) && message.contains("at most"), "{message}");
        }
    }
    engine.stop().await;
}

#[tokio::test]
async fn coheres_second_version_gets_its_own_shapes() {
    let (_folder, engine) = start(Settings::default()).await;
    let client = &engine.client;
    let body = json!({ "model": EVALUATOR, "query": FRANCE, "top_n": 1, "max_tokens_per_doc": 4096, "priority": 0,
                       "documents": ["I like rain.", "The capital of France is Paris."] });
    let ranked = good(client, "/v2/rerank", &body).await;
    assert_eq!(ranked["meta"]["api_version"]["version"], "2");
    assert!(ranked["id"].is_string());
    let results = ranked["results"].as_array().unwrap();
    assert_eq!((results.len(), &results[0]["index"]), (1, &json!(1)), "{ranked}");
    assert!((0.0..=1.0).contains(&results[0]["relevance_score"].as_f64().unwrap()));
    assert!(results[0].get("document").is_none());

    for (more, status, words) in [
        (json!({ "model": "nobody" }), 404, "nobody"),
        (json!({ "documents": [] }), 400, "at least one"),
        (json!({ "top_n": 0 }), 400, "top_n"),
        (json!({ "query": 7 }), 400, "query"),
    ] {
        let (found, answer) = post(client, "/v2/rerank", &with(body.clone(), more)).await;
        assert_eq!(found, status, "{answer}");
        assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["message"]);
        assert!(answer["message"].as_str().unwrap().contains(words), "{answer}");
    }
    let bare = client.http.post(format!("{}/v2/rerank", client.base)).json(&body).send().await.unwrap();
    assert_eq!(bare.status(), StatusCode::UNAUTHORIZED);
    assert!(bare.headers().contains_key(header::WWW_AUTHENTICATE));
    assert!(bare.json::<Value>().await.unwrap()["message"].is_string());
    engine.stop().await;
}

#[tokio::test]
async fn pairs_are_scored_as_vllm_has_it() {
    let (_folder, engine) = start(Settings::default()).await;
    let client = &engine.client;
    let answers = json!(["Paris.", "Lyon."]);
    let body =
        json!({ "model": EVALUATOR, "text_1": FRANCE, "text_2": answers, "truncate_prompt_tokens": -1 });
    let scored = good(client, "/v1/score", &body).await;
    assert_eq!((&scored["object"], &scored["model"]), (&json!("list"), &json!(EVALUATOR)), "{scored}");
    assert!(scored["id"].as_str().unwrap().starts_with("score-") && scored["created"].is_u64());
    let data = scored["data"].as_array().unwrap();
    let ours = json!({ "model": EVALUATOR, "question": FRANCE, "answers": answers });
    let ours = good(client, "/v1/score", &ours).await;
    for (place, pair) in data.iter().enumerate() {
        assert_eq!((&pair["index"], &pair["object"]), (&json!(place), &json!("score")));
        assert_eq!(pair["score"], ours["scores"][place]["score"]);
    }
    assert_eq!(scored["usage"]["total_tokens"], ours["usage"]["total_tokens"]);

    for names in [("queries", "documents"), ("data_1", "data_2")] {
        let renamed = json!({ "model": EVALUATOR, names.0: FRANCE, names.1: answers });
        assert_eq!(good(client, "/v1/score", &renamed).await["data"], scored["data"], "{names:?}");
    }
    let each =
        json!({ "text_1": [FRANCE, "What is the capital of Spain?"], "text_2": ["Paris.", "Madrid."] });
    assert_eq!(good(client, "/v1/score", &each).await["data"].as_array().unwrap().len(), 2);
    let raw = good(client, "/v1/score", &with(body.clone(), json!({ "raw_scores": true }))).await;
    assert_eq!(raw["data"][0]["score"], ours["scores"][0]["raw"]);

    for (more, field) in [
        (json!({ "text_1": ["a", "b", "c"] }), "text_1"),
        (json!({ "text_2": [] }), "text_2"),
        (json!({ "text_1": 7 }), "text_1"),
    ] {
        let (status, answer) = post(client, "/v1/score", &with(body.clone(), more)).await;
        assert_eq!((status, &answer["error"]["param"]), (400, &json!(field)), "{answer}");
    }
    assert_eq!(post(client, "/v1/score", &json!({})).await.0, 400);
    engine.stop().await;
}

#[tokio::test]
async fn a_bi_encoder_makes_vectors_as_openai_has_them() {
    let folder = folder_with_models();
    add_bi_encoder(folder.path());
    let engine = Engine::start(folder.path(), Settings::default()).await;
    let client = &engine.client;
    let texts = ["The capital of France is Paris.", "Seven."];
    let body = json!({ "model": "bi", "input": texts, "user": "me" });
    let made = good(client, "/v1/embeddings", &body).await;
    assert_eq!((&made["object"], &made["model"]), (&json!("list"), &json!("bi")), "{made}");
    let vector = |answer: &Value, place: usize| -> Vec<f32> {
        serde_json::from_value(answer["data"][place]["embedding"].clone()).unwrap()
    };
    for place in 0..2 {
        let item = &made["data"][place];
        assert_eq!((&item["object"], &item["index"]), (&json!("embedding"), &json!(place)));
        let length: f32 = vector(&made, place).iter().map(|number| number * number).sum();
        assert!((length - 1.0).abs() < 1e-4, "{length}");
    }
    assert!(made["usage"]["prompt_tokens"].as_u64().unwrap() > 0);
    assert_eq!(made["usage"]["prompt_tokens"], made["usage"]["total_tokens"]);

    // Their cosine is what the evaluator scores by.
    let cosine: f32 = vector(&made, 0).iter().zip(vector(&made, 1)).map(|(a, b)| a * b).sum();
    let scored = json!({ "model": "bi", "question": texts[0], "answers": [texts[1]], "alone": true });
    let raw = good(client, "/v1/score", &scored).await["scores"][0]["raw"].as_f64().unwrap();
    assert!((raw - f64::from(cosine)).abs() < 1e-3, "{raw} {cosine}");

    // OpenAI's own client asks for base64, and without a model there is only one.
    let written =
        good(client, "/v1/embeddings", &json!({ "input": texts[0], "encoding_format": "base64" })).await;
    let bytes = {
        use base64::Engine as _;
        let text = written["data"][0]["embedding"].as_str().unwrap();
        base64::engine::general_purpose::STANDARD.decode(text).unwrap()
    };
    let numbers: Vec<f32> =
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    for (one, other) in numbers.iter().zip(vector(&made, 0)) {
        assert!((one - other).abs() < 1e-3, "{one} {other}");
    }
    let size = numbers.len();
    good(client, "/v1/embeddings", &with(body.clone(), json!({ "dimensions": size }))).await;

    for (more, status, code, field) in [
        (json!({ "dimensions": size + 1 }), 400, "invalid_request", json!("dimensions")),
        (json!({ "input": [] }), 400, "invalid_request", json!("input")),
        (json!({ "input": vec!["x"; 2049] }), 400, "invalid_request", json!("input")),
        (json!({ "input": [1, 2] }), 400, "invalid_request", json!("input[0]")),
        (json!({ "encoding_format": "hex" }), 400, "invalid_request", json!("encoding_format")),
        (json!({ "input": "word ".repeat(2000) }), 400, "context_length_exceeded", Value::Null),
        (json!({ "model": EVALUATOR }), 404, "wrong_model_kind", json!("model")),
        (json!({ "model": STRONG }), 404, "wrong_model_kind", json!("model")),
    ] {
        let (found, answer) = post(client, "/v1/embeddings", &with(body.clone(), more)).await;
        let error = &answer["error"];
        assert_eq!((found, &error["code"], &error["param"]), (status, &json!(code), &field), "{answer}");
    }
    good(client, "/v1/embeddings", &with(body, json!({ "input": vec!["x"; 2048] }))).await;
    engine.stop().await;
}

/// The request that a browser sends before it lets a page of `origin` send its own.
async fn preflight(client: &Client, origin: &str) -> reqwest::Response {
    let request = client.http.request(Method::OPTIONS, format!("{}/v1/chat/completions", client.base));
    request
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type,x-stainless-os")
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn pages_of_listed_origins_may_use_the_api_and_by_default_none() {
    const OURS: &str = "https://chat.example.org";
    let allowed = |response: &reqwest::Response| {
        response
            .headers()
            .get(header::ACCESS_CONTROL_ALLOW_ORIGIN)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let (_folder, engine) = start(Settings::default()).await;
    assert_eq!(allowed(&preflight(&engine.client, OURS).await), None);
    engine.stop().await;

    for (origins, theirs, answered) in [
        (vec![OURS.to_owned()], "https://evil.example.org", [Some(OURS), None]),
        (vec!["*".to_owned()], "https://evil.example.org", [Some("*"), Some("*")]),
    ] {
        let (_folder, engine) = start(Settings { cors_origins: origins, ..Settings::default() }).await;
        let client = &engine.client;
        for (origin, wanted) in [OURS, theirs].into_iter().zip(answered) {
            let asked = preflight(client, origin).await;
            assert_eq!((asked.status(), allowed(&asked).as_deref()), (StatusCode::OK, wanted), "{origin}");
            if wanted.is_some() {
                let headers = asked.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
                assert!(headers.contains("authorization") && headers.contains("x-stainless-os"), "{headers}");
            }
            let models = client.http.get(format!("{}/v1/models", client.base)).header(header::ORIGIN, origin);
            let bare = models.try_clone().unwrap().send().await.unwrap();
            assert_eq!((bare.status(), allowed(&bare).as_deref()), (StatusCode::UNAUTHORIZED, wanted));
            let answer = models.bearer_auth(client.token.expose()).send().await.unwrap();
            assert_eq!((answer.status(), allowed(&answer).as_deref()), (StatusCode::OK, wanted));
        }
        engine.stop().await;
    }
}

async fn how(client: &Client, path: &str) -> (u16, Value) {
    let response = client.http.get(format!("{}{path}", client.base)).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// The models, as the engine lists them.
async fn listed(client: &Client) -> Value {
    let request = client.http.get(format!("{}/v1/models", client.base)).bearer_auth(client.token.expose());
    request.send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn a_model_whose_contexts_never_fit_is_not_ready_and_says_so() {
    let (demo, folder) = (folder_with_models(), tempfile::tempdir().unwrap());
    let (from, models) = (demo.path().join("models/poq-demo-strong.gguf"), folder.path().join("models"));
    fs::create_dir(&models).unwrap();
    // The file itself would fit.
    let memory = fs::copy(from, models.join("poq-demo-strong.gguf")).unwrap();
    let engine = Engine::start(folder.path(), Settings { memory, ..Settings::default() }).await;
    loop {
        let (status, ready) = how(&engine.client, "/readyz").await;
        assert_eq!(status, 503, "{ready}");
        if ready["status"] == "no_usable_model" {
            let why = ready["unusable"][0]["error"].as_str().unwrap();
            assert!(why.contains("--memory-mib") && why.contains("--context"), "{ready}");
            let list = listed(&engine.client).await;
            let model = &list["data"][0];
            assert_eq!((&model["state"], &model["error"]), (&json!("broken"), &json!(why)), "{list}");
            break;
        }
        assert_eq!(ready["status"], "no_model", "it is not even tried: {ready}");
    }
    engine.stop().await;
}

#[tokio::test]
async fn to_live_is_one_thing_and_to_be_ready_another() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fs::create_dir(&models).unwrap();
    let engine = Engine::start(folder.path(), Settings::default()).await;
    let client = &engine.client;
    let (status, ready) = how(client, "/readyz").await;
    assert_eq!((status, &ready["status"]), (503, &json!("no_model")), "{ready}");
    assert_eq!(how(client, "/healthz").await.0, 200);
    assert_eq!(how(client, "/health").await.0, 200, "models may be brought yet");
    engine.stop().await;

    fs::write(models.join("noise.gguf"), "noise").unwrap();
    let engine = Engine::start(folder.path(), Settings::default()).await;
    let client = &engine.client;
    loop {
        let (status, ready) = how(client, "/readyz").await;
        assert_eq!(status, 503, "{ready}");
        if ready["status"] == "no_usable_model" {
            assert_eq!(ready["unusable"][0]["id"], "noise", "{ready}");
            assert!(ready["unusable"][0]["error"].as_str().unwrap().contains("not a GGUF file"), "{ready}");
            break;
        }
    }
    let (status, health) = how(client, "/health").await;
    assert_eq!((status, &health["error"]["code"]), (503, &json!("no_usable_model")), "{health}");
    assert!(health["error"]["message"].as_str().unwrap().contains("noise"), "{health}");
    assert_eq!(how(client, "/healthz").await.0, 200);
    engine.stop().await;

    poq_worker::demo::install_demo_models(&models).unwrap();
    let engine = Engine::start(folder.path(), Settings::default()).await;
    let client = &engine.client;
    loop {
        let (status, ready) = how(client, "/readyz").await;
        if status == 200 {
            assert_eq!(ready["status"], "ready");
            assert!(ready["usable"].as_u64().unwrap() > 0, "{ready}");
            break;
        }
    }
    assert_eq!(how(client, "/health").await.0, 200);
    engine.stop().await;
}
