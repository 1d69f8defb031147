//! Forms, functions, probabilities and begun answers, over HTTP, by the real engine and the demo model.

use crate::common::{folder_with_models, Client, Engine};
use poq_worker::config::Settings;
use serde_json::{json, Value};

const FRANCE: &str = "What is the capital of France?";

async fn start() -> (tempfile::TempDir, Engine) {
    let folder = folder_with_models();
    let engine = Engine::start(folder.path(), Settings::default()).await;
    (folder, engine)
}

fn chat(more: Value) -> Value {
    let question = json!([{ "role": "user", "content": FRANCE }]);
    with(
        json!({ "model": "poq-demo-strong", "messages": question, "temperature": 0, "max_tokens": 64 }),
        more,
    )
}

/// Nearly every token is as likely as any other, so that only the form holds the model.
fn wild(seed: u32, more: Value) -> Value {
    with(chat(json!({ "temperature": 100, "top_p": 1, "seed": seed, "max_tokens": 400 })), more)
}

/// `body` with the fields of `more`.
fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn post(client: &Client, body: &Value) -> (u16, String) {
    let url = format!("{}/v1/chat/completions", client.base);
    let response = client.http.post(url).bearer_auth(client.token.expose()).json(body).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn good(client: &Client, body: &Value) -> Value {
    let (status, answer) = post(client, body).await;
    assert_eq!(status, 200, "{body} {answer}");
    serde_json::from_str(&answer).unwrap()
}

async fn refused(client: &Client, body: &Value) -> String {
    let (status, answer) = post(client, body).await;
    assert_eq!(status, 400, "{body} {answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let error = &answer["error"];
    assert_eq!(error["type"], "invalid_request_error");
    let message = error["message"].as_str().unwrap();
    if let Some(field) = error["param"].as_str() {
        assert!(message.starts_with(&format!("'{field}'")), "{error}");
    }
    message.to_owned()
}

/// The choices of a stream's events.
async fn streamed(client: &Client, body: &Value) -> Vec<Value> {
    let mut body = body.clone();
    body["stream"] = json!(true);
    let (status, events) = post(client, &body).await;
    assert_eq!(status, 200, "{events}");
    let mut data: Vec<&str> = events.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    assert_eq!(data.pop(), Some("[DONE]"), "{events}");
    data.into_iter().map(|data| serde_json::from_str::<Value>(data).unwrap()["choices"][0].clone()).collect()
}

fn text(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

fn finish(answer: &Value) -> &str {
    answer["choices"][0]["finish_reason"].as_str().unwrap()
}

fn schema(schema: Value) -> Value {
    json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "s", "strict": true, "schema": schema } } })
}

fn person() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "minLength": 1, "maxLength": 8 },
            "age": { "type": "integer", "minimum": 0, "maximum": 150 },
            "tags": { "type": "array", "items": { "enum": ["a", "b"] }, "maxItems": 3 },
            "mother": { "anyOf": [{ "$ref": "#/$defs/id" }, { "type": "null" }] },
        },
        "required": ["name", "age", "tags", "mother"],
        "additionalProperties": false,
        "$defs": { "id": { "type": "object", "properties": { "id": { "type": "boolean" } }, "required": ["id"] } },
    })
}

fn assert_person(person: &Value) {
    assert_eq!(person.as_object().unwrap().len(), 4, "{person}");
    assert!((1..=8).contains(&person["name"].as_str().unwrap().chars().count()), "{person}");
    assert!((0..=150).contains(&person["age"].as_i64().unwrap()), "{person}");
    let tags = person["tags"].as_array().unwrap();
    assert!(tags.len() <= 3 && tags.iter().all(|tag| tag == "a" || tag == "b"), "{person}");
    assert!(person["mother"].is_null() || person["mother"]["id"].is_boolean(), "{person}");
}

#[tokio::test]
async fn a_schema_holds_a_model_that_would_say_anything() {
    let (_folder, engine) = start().await;
    let client = &engine.client;
    for seed in 0..12 {
        let answer = good(client, &wild(seed, schema(person()))).await;
        assert_eq!(finish(&answer), "stop", "{answer}");
        assert_person(&serde_json::from_str(text(&answer)).unwrap());
    }
    let greedy = chat(schema(person()));
    let answer = good(client, &greedy).await;
    assert_person(&serde_json::from_str(text(&answer)).unwrap());
    let whole: String = streamed(client, &greedy)
        .await
        .iter()
        .filter_map(|choice| choice["delta"]["content"].as_str())
        .collect();
    assert_eq!(whole, text(&answer), "a stream is the same");
    // Where there is room for the shortest answer, there is a whole one.
    let number = json!({ "type": "object", "properties": { "x": { "type": "integer" } }, "required": ["x"] });
    for (seed, room) in [(0, 7), (1, 8), (2, 12), (3, 20)] {
        let body = with(wild(seed, json!({ "max_tokens": room })), schema(number.clone()));
        let answer = good(client, &body).await;
        assert!(serde_json::from_str::<Value>(text(&answer)).unwrap()["x"].is_i64(), "{answer}");
    }
    // Half an answer is said to be cut.
    let cut = good(client, &with(wild(1, json!({ "max_tokens": 3 })), schema(person()))).await;
    assert_eq!(finish(&cut), "length");
    assert!(text(&cut).starts_with('{'), "{cut}");
    for seed in 0..6 {
        let object = good(client, &wild(seed, json!({ "response_format": { "type": "json_object" } }))).await;
        if finish(&object) == "stop" {
            assert!(serde_json::from_str::<Value>(text(&object)).unwrap().is_object(), "{object}");
        }
    }
    engine.stop().await;
}

#[tokio::test]
async fn a_schema_made_to_hurt_hurts_nobody_else() {
    let (_folder, engine) = start().await;
    let client = &engine.client;
    // Each bracket can be read in twice as many ways as the one before.
    let list = |most: u32| json!({ "type": "array", "items": { "$ref": "#/$defs/a" }, "minItems": 1, "maxItems": most });
    let doubling =
        json!({ "$defs": { "a": { "anyOf": [list(1), list(2), { "type": "null" }] } }, "$ref": "#/$defs/a" });
    for seed in 0..4 {
        let (status, answer) = post(client, &wild(seed, schema(doubling.clone()))).await;
        assert!(status == 200 || status == 400, "{status} {answer}");
    }
    let deep = (0..100).fold(json!({}), |inner, _| json!({ "items": inner }));
    assert!(refused(client, &chat(schema(deep))).await.contains("nested"));
    let circle = json!({ "anyOf": [{ "$ref": "#" }] });
    assert!(refused(client, &chat(schema(circle))).await.contains("'$ref'"));
    let many: Vec<Value> = (0..5000).map(|number| json!(number)).collect();
    assert!(refused(client, &chat(schema(json!({ "enum": many })))).await.contains("too many readings"));
    let answer = good(client, &chat(json!({}))).await;
    assert!(text(&answer).contains("Paris"), "{answer}");
    engine.stop().await;
}

fn tools() -> Value {
    let city = json!({ "type": "object", "properties": { "city": { "type": "string", "maxLength": 6 } }, "required": ["city"] });
    json!([
        { "type": "function", "function": { "name": "weather", "description": "The weather.", "parameters": city } },
        { "type": "function", "function": { "name": "f" } },
    ])
}

#[tokio::test]
async fn a_call_that_is_demanded_is_made() {
    let (_folder, engine) = start().await;
    let client = &engine.client;
    let named = json!({ "type": "function", "function": { "name": "weather" } });
    for seed in 0..6 {
        let body = wild(seed, json!({ "tools": tools(), "tool_choice": named, "max_tokens": 200 }));
        let answer = good(client, &body).await;
        assert_eq!(finish(&answer), "tool_calls", "{answer}");
        let message = &answer["choices"][0]["message"];
        assert_eq!(message["content"], Value::Null);
        let call = &message["tool_calls"][0];
        assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("weather")));
        assert!(call["id"].as_str().unwrap().starts_with("call_"));
        let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
        assert!(arguments["city"].as_str().unwrap().chars().count() <= 6, "{arguments}");

        let choices = streamed(client, &body).await;
        let streamed: Vec<&Value> =
            choices.iter().filter_map(|choice| choice["delta"]["tool_calls"].as_array()).flatten().collect();
        assert_eq!((streamed.len(), &streamed[0]["index"]), (1, &json!(0)), "{choices:?}");
        assert_eq!(streamed[0]["function"], call["function"]);
        assert_eq!(choices.last().unwrap()["finish_reason"], "tool_calls");
    }
    let cut =
        good(client, &wild(0, json!({ "tools": tools(), "tool_choice": "required", "max_tokens": 4 }))).await;
    assert_eq!(finish(&cut), "length");
    let free = good(client, &chat(json!({ "tools": tools(), "tool_choice": "none" }))).await;
    assert!(text(&free).contains("Paris"), "{free}");
    let auto = good(client, &chat(json!({ "tools": tools() }))).await;
    assert!(["stop", "length", "tool_calls"].contains(&finish(&auto)), "{auto}");
    engine.stop().await;
}

#[tokio::test]
async fn a_conversation_may_hold_calls_and_what_they_gave() {
    let (_folder, engine) = start().await;
    let client = &engine.client;
    let call = json!({ "id": "1", "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let talk = json!([
        { "role": "user", "content": "Hi" },
        { "role": "assistant", "content": null, "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "1", "content": "Paris" },
    ]);
    good(client, &chat(json!({ "messages": talk, "tools": tools() }))).await;
    good(client, &chat(json!({ "messages": talk }))).await;
    let error = refused(client, &chat(json!({ "messages": [{ "role": "user", "content": null }] }))).await;
    assert!(error.contains("'messages[0].content'"), "{error}");
    let error = refused(
        client,
        &chat(json!({ "messages": [{ "role": "user", "content": "a", "tool_calls": [call] }] })),
    )
    .await;
    assert!(error.contains("'messages[0].tool_calls'"), "{error}");
    let error = refused(client, &chat(json!({ "messages": [{ "role": "tool", "content": "a" }] }))).await;
    assert!(error.contains("'messages[0].tool_call_id'"), "{error}");
    engine.stop().await;
}

#[tokio::test]
async fn probabilities_are_those_of_the_tokens() {
    let (_folder, engine) = start().await;
    let client = &engine.client;
    let body = chat(json!({ "logprobs": true, "top_logprobs": 3 }));
    let answer = good(client, &body).await;
    let choice = &answer["choices"][0];
    let tokens = choice["logprobs"]["content"].as_array().unwrap();
    assert_eq!(tokens.len() as u64, answer["usage"]["completion_tokens"].as_u64().unwrap());
    let mut bytes = Vec::new();
    for token in tokens {
        let logprob = token["logprob"].as_f64().unwrap();
        let top = token["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 3);
        assert_eq!((&top[0]["token"], &top[0]["logprob"]), (&token["token"], &token["logprob"]), "greedy");
        let sum: f64 = top.iter().map(|token| token["logprob"].as_f64().unwrap().exp()).sum();
        assert!(logprob <= 0.0 && sum <= 1.0 + 1e-6, "{token}");
        bytes.extend(token["bytes"].as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8));
    }
    assert_eq!(String::from_utf8(bytes).unwrap().trim(), text(&answer));
    let choices = streamed(client, &body).await;
    assert_eq!(choices.last().unwrap()["logprobs"], choice["logprobs"], "a stream tells the same");
    assert_eq!(good(client, &chat(json!({}))).await["choices"][0]["logprobs"], Value::Null);
    let none = good(client, &chat(json!({ "logprobs": true }))).await;
    assert_eq!(none["choices"][0]["logprobs"]["content"][0]["top_logprobs"], json!([]));
    engine.stop().await;
}

#[tokio::test]
async fn a_begun_answer_is_gone_on_with() {
    let (_folder, engine) = start().await;
    let client = &engine.client;
    let whole = text(&good(client, &chat(json!({}))).await).to_owned();
    let (first, rest) = whole.split_once(' ').unwrap();
    let talk = json!([{ "role": "user", "content": FRANCE }, { "role": "assistant", "content": first }]);
    let begun = json!({ "messages": talk, "continue_final_message": true, "add_generation_prompt": false });
    assert_eq!(text(&good(client, &chat(begun)).await), rest);
    let error = refused(client, &chat(json!({ "continue_final_message": true }))).await;
    assert!(error.contains("last message"), "{error}");
    engine.stop().await;
}

#[tokio::test]
async fn what_is_not_done_is_refused_by_name() {
    let (_folder, engine) = start().await;
    let client = &engine.client;
    for (name, value) in [
        ("logit_bias", json!({ "50256": -100 })),
        ("audio", json!({ "voice": "x", "format": "wav" })),
        ("presence_penalty", json!(1)),
        ("top_k", json!(40)),
        ("prediction", json!({ "type": "content", "content": "x" })),
        ("web_search_options", json!({})),
        ("no_such_field", json!(true)),
        ("n", json!(2)),
    ] {
        let (status, answer) = post(client, &chat(json!({ name: value }))).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((status, &answer["error"]["param"]), (400, &json!(name)), "{answer}");
    }
    good(
        client,
        &chat(json!({ "user": "u", "metadata": { "a": "b" }, "logit_bias": null, "presence_penalty": 0.0 })),
    )
    .await;
    engine.stop().await;
}
