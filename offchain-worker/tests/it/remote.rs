//! Servers elsewhere, against a server in this process that does everything that servers do wrong.

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{header, HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    Json, Router,
};
use futures::{stream, StreamExt as _};
use poq_primitives::job::FailureReason;
use poq_worker::{
    limits::Unfinished,
    models::manifest::Calibration,
    remote::{Health, Remote, RemoteConfig, RemoteKind, RerankDialect, Scale, MAX_BODY_BYTES},
    work::{Extras, Finish, Generated, Generation, Message, Role, Scoring},
};
use serde_json::{json, Value};
use std::{
    convert::Infallible,
    os::unix::fs::PermissionsExt as _,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc, Mutex,
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// A request as the server saw it.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    headers: HeaderMap,
    body: Value,
}

type Step = Box<dyn Fn(&Asked) -> Response + Send + Sync>;

/// A server that answers its n-th request with its n-th step; the last step is repeated.
#[derive(Clone)]
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    async fn start(steps: Vec<Step>) -> Self {
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Script { asked: Arc::clone(&asked), steps: Arc::new(steps) };
        let router = Router::new().fallback(answer).with_state(script);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked }
    }

    async fn always(step: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Self {
        Self::start(vec![Box::new(step)]).await
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn config(&self, kind: RemoteKind) -> RemoteConfig {
        let url = match kind {
            RemoteKind::Openai => format!("{}/v1", self.url),
            RemoteKind::Rerank => self.url.clone(),
        };
        let mut config = RemoteConfig::new("there", kind, &url, &"a".repeat(64));
        config.remote_model = (kind == RemoteKind::Openai).then(|| "small".to_owned());
        config
    }

    fn generator(&self) -> Remote {
        Remote::new(self.config(RemoteKind::Openai)).unwrap()
    }

    fn evaluator(&self, change: impl FnOnce(&mut RemoteConfig)) -> Remote {
        let mut config = self.config(RemoteKind::Rerank);
        change(&mut config);
        Remote::new(config).unwrap()
    }
}

#[derive(Clone)]
struct Script {
    asked: Arc<Mutex<Vec<Asked>>>,
    steps: Arc<Vec<Step>>,
}

async fn answer(State(Script { asked, steps }): State<Script>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let now = Asked { path: parts.uri.path().to_owned(), headers: parts.headers, body };
    let number = {
        let mut asked = asked.lock().unwrap();
        asked.push(now.clone());
        asked.len() - 1
    };
    steps[number.min(steps.len() - 1)](&now)
}

fn step(make: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Step {
    Box::new(make)
}

fn says(value: Value) -> Step {
    step(move |_| Json(value.clone()).into_response())
}

fn status(code: u16, body: &'static str) -> Step {
    step(move |_| (StatusCode::from_u16(code).unwrap(), body).into_response())
}

fn chat(text: &str, finish: &str) -> Value {
    json!({
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    })
}

/// An event of a stream.
fn part(text: &str, finish: Option<&str>) -> String {
    let value = json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]});
    format!("data: {value}\n\n")
}

/// A stream of these chunks; then it goes on as `rest` says.
fn events(chunks: Vec<Vec<u8>>, rest: Rest) -> Response {
    let chunks = stream::iter(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk))));
    let body = match rest {
        Rest::Ends => Body::from_stream(chunks),
        Rest::Breaks => Body::from_stream(chunks.chain(stream::once(async {
            // Lets what was sent arrive first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(std::io::Error::other("cut"))
        }))),
        Rest::Hangs => Body::from_stream(chunks.chain(
            stream::pending::<Result<Bytes, Infallible>>().map(|never| never.map_err(std::io::Error::other)),
        )),
        Rest::Tells(told) => Body::from_stream(chunks.chain(stream::once(async move {
            // Dropped with the body when the client goes away.
            let _told = told;
            std::future::pending().await
        }))),
    };
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// Continuation of a stream.
enum Rest {
    Ends,
    Breaks,
    Hangs,
    /// Hangs, and lets the sender go when nobody reads any more.
    Tells(oneshot::Sender<()>),
}

fn question() -> Generation {
    Generation {
        model: "a".repeat(64),
        messages: vec![
            Message::new(Role::System, "Be short."),
            Message::new(Role::User, "What is the capital of Peru?"),
        ],
        max_tokens: 64,
        max_bytes: 4096,
        temperature: 0.0,
        top_p: 1.0,
        seed: 5,
        stop: vec![],
        extras: Extras::default(),
    }
}

fn scoring(answers: &[&str], alone: bool) -> Scoring {
    let answers = answers.iter().map(|answer| (*answer).to_owned()).collect();
    Scoring { model: "a".repeat(64), question: "Q?".into(), answers, alone }
}

fn failure<T: std::fmt::Debug>(outcome: Result<T, Unfinished>) -> (FailureReason, String) {
    match outcome.unwrap_err() {
        Unfinished::Failed(error) => (error.code, error.message),
        other => panic!("{other:?}"),
    }
}

/// Generates with pieces; the outcome and the pieces.
async fn shown(remote: &Remote, work: &Generation) -> (Result<Generated, Unfinished>, Vec<String>) {
    let (sender, mut receiver) = mpsc::channel(1);
    let listen = async {
        let mut pieces = Vec::new();
        while let Some(piece) = receiver.recv().await {
            pieces.push(piece);
        }
        pieces
    };
    tokio::join!(remote.generate(work, Some(sender)), listen)
}

#[tokio::test]
async fn a_request_says_what_is_wanted() {
    let server = Server::start(vec![says(chat(" Lima. \n", "stop"))]).await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret-word\n").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut config = server.config(RemoteKind::Openai);
    config.token_file = Some(token);
    let remote = Remote::new(config).unwrap();
    assert_eq!(remote.health(), Health::Unknown);

    let work = Generation { stop: vec!["\n\n".into()], top_p: 0.9, ..question() };
    let generated = remote.generate(&work, None).await.unwrap();
    assert_eq!(
        generated,
        Generated {
            text: "Lima.".into(),
            prompt_tokens: 7,
            tokens: 3,
            finish: Finish::Stop,
            logprobs: vec![]
        }
    );
    assert_eq!(remote.health(), Health::Up);
    let asked = server.asked().remove(0);
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(asked.headers[header::AUTHORIZATION], "Bearer secret-word");
    // Floats as they are meant, not as their binary neighbours.
    let expected = json!({
        "model": "small",
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "What is the capital of Peru?"},
        ],
        "max_tokens": 64, "temperature": 0.0, "top_p": 0.9, "seed": 5, "stop": ["\n\n"], "stream": false,
    });
    assert_eq!(asked.body, expected);
    assert!(!format!("{remote:?}").contains("secret-word"));
}

#[tokio::test]
async fn the_servers_first_model_is_taken_if_none_is_named() {
    let models = json!({"object": "list", "data": [{"id": "first"}, {"id": "second"}]});
    let server = Server::start(vec![
        says(models.clone()),
        says(chat("a", "stop")),
        says(chat("b", "length")),
        status(404, r#"{"error": {"message": "no model first"}}"#),
        says(json!({"data": [{"id": "third"}]})),
        says(chat("c", "stop")),
    ])
    .await;
    let mut config = server.config(RemoteKind::Openai);
    config.remote_model = None;
    let remote = Remote::new(config).unwrap();
    remote.generate(&question(), None).await.unwrap();
    assert_eq!(remote.generate(&question(), None).await.unwrap().finish, Finish::Length);
    let (code, message) = failure(remote.generate(&question(), None).await);
    assert_eq!(code, FailureReason::ModelUnavailable);
    assert!(message.contains("no model first"), "{message}");
    remote.generate(&question(), None).await.unwrap();
    let asked = server.asked();
    let models: Vec<_> = asked.iter().map(|asked| asked.body["model"].as_str().unwrap_or("-")).collect();
    assert_eq!(models, ["-", "first", "first", "first", "-", "third"]);

    let empty = Server::start(vec![says(json!({"data": []}))]).await;
    let mut config = empty.config(RemoteKind::Openai);
    config.remote_model = None;
    let (_, message) = failure(Remote::new(config).unwrap().generate(&question(), None).await);
    assert!(message.contains("set remote_model"), "{message}");
}

#[tokio::test]
async fn a_status_means_a_failure_and_perhaps_another_try() {
    use FailureReason::{InvalidJob, ModelUnavailable};
    let words = r#"{"error": {"message": "these\nwords"}}"#;
    let cases: [(u16, FailureReason, &str, usize); 20] = [
        (400, InvalidJob, "these words", 1),
        (413, InvalidJob, "these words", 1),
        (422, InvalidJob, "these words", 1),
        (401, ModelUnavailable, "refuses the token", 1),
        (403, ModelUnavailable, "refuses the token", 1),
        (404, ModelUnavailable, "these words", 1),
        (405, ModelUnavailable, "these words", 1),
        (409, ModelUnavailable, "these words", 1),
        (418, ModelUnavailable, "these words", 1),
        (501, ModelUnavailable, "these words", 1),
        (301, ModelUnavailable, "points elsewhere", 1),
        (307, ModelUnavailable, "points elsewhere", 1),
        (408, ModelUnavailable, "these words", 2),
        (424, ModelUnavailable, "these words", 2),
        (425, ModelUnavailable, "these words", 2),
        (429, ModelUnavailable, "busy", 2),
        (500, ModelUnavailable, "these words", 2),
        (502, ModelUnavailable, "these words", 2),
        (503, ModelUnavailable, "these words", 2),
        (529, ModelUnavailable, "these words", 2),
    ];
    for (code, reason, said, tries) in cases {
        let server = Server::start(vec![status(code, words)]).await;
        let mut config = server.config(RemoteKind::Openai);
        config.retries = 1;
        let remote = Remote::new(config).unwrap();
        let (failed, message) = failure(remote.generate(&question(), None).await);
        assert_eq!((failed, server.asked().len()), (reason, tries), "{code}");
        assert!(message.contains(said) && message.contains("there") && !message.contains('\n'), "{message}");
        let up = matches!(remote.health(), Health::Up);
        assert_eq!(up, matches!(code, 400 | 413 | 422 | 429), "{code}");
    }
}

#[tokio::test]
async fn a_server_that_comes_back_is_asked_again() {
    let server = Server::start(vec![
        status(503, "loading"),
        step(|_| (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "0")], "").into_response()),
        // The date of a Retry-After is passed over.
        step(|_| {
            let date = [(header::RETRY_AFTER, "Fri, 31 Dec 2999 23:59:59 GMT")];
            (StatusCode::TOO_MANY_REQUESTS, date, "").into_response()
        }),
        says(chat("Lima.", "stop")),
    ])
    .await;
    let remote = server.generator();
    assert_eq!(remote.generate(&question(), None).await.unwrap().text, "Lima.");
    assert_eq!(server.asked().len(), 4);
    assert_eq!(remote.health(), Health::Up);
}

#[tokio::test]
async fn nobody_waits_longer_than_the_call_may_take() {
    let busy = Server::always(|_| {
        (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "3600")], "").into_response()
    })
    .await;
    let mut config = busy.config(RemoteKind::Openai);
    config.timeout_ms = 30_000;
    let (code, _) = failure(Remote::new(config).unwrap().generate(&question(), None).await);
    assert_eq!((code, busy.asked().len()), (FailureReason::ModelUnavailable, 1));

    // Headers come, then nothing.
    let slow = Server::always(|_| events(vec![part("Li", None).into()], Rest::Hangs)).await;
    let mut config = slow.config(RemoteKind::Openai);
    // Time enough for the headers and the first piece on a busy machine.
    config.timeout_ms = 3_000;
    let remote = Remote::new(config).unwrap();
    let (code, message) = failure(remote.generate(&question(), None).await);
    assert_eq!(code, FailureReason::DeadlineExceeded);
    assert!(message.contains("3000 ms"), "{message}");
    let (outcome, pieces) = shown(&remote, &question()).await;
    assert_eq!((failure(outcome).0, pieces), (FailureReason::DeadlineExceeded, vec!["Li".to_owned()]));
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_made_again() {
    let half = || events(vec![br#"{"choices": [{"message""#.to_vec()], Rest::Breaks);
    let server = Server::start(vec![step(move |_| half()), says(chat("Lima.", "stop"))]).await;
    assert_eq!(server.generator().generate(&question(), None).await.unwrap().text, "Lima.");
    assert_eq!(server.asked().len(), 2);

    let nobody = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/v1", nobody.local_addr().unwrap());
    drop(nobody);
    for (url, said) in [(url.clone(), "no connection"), (url.replace("http:", "https:"), "no connection")] {
        let mut config = server.config(RemoteKind::Openai);
        (config.url, config.retries) = (url, 1);
        let remote = Remote::new(config).unwrap();
        let (code, message) = failure(remote.generate(&question(), None).await);
        assert_eq!(code, FailureReason::ModelUnavailable);
        assert!(message.contains(said), "{message}");
        let Health::Down { why, .. } = remote.health() else { panic!("it is down") };
        assert!(why.contains(said), "{why}");
    }

    // TLS to a server that does not speak it.
    let mut config = server.config(RemoteKind::Openai);
    (config.url, config.retries) = (config.url.replace("http:", "https:"), 0);
    let (code, message) = failure(Remote::new(config).unwrap().generate(&question(), None).await);
    assert_eq!(code, FailureReason::ModelUnavailable);
    assert!(message.contains("no connection"), "{message}");
}

#[tokio::test]
async fn an_answer_without_sense_is_asked_for_once_more() {
    let cases: [(Step, &str); 8] = [
        (status(200, "<html>"), "not what the API says"),
        (status(200, ""), "not what the API says"),
        (says(json!([1, 2])), "not what the API says"),
        (says(json!({"choices": [{"message": {"content": 5}}]})), "not what the API says"),
        (says(json!({"choices": []})), "why it ended"),
        (says(json!({"choices": [{"message": {"content": "a"}, "finish_reason": null}]})), "why it ended"),
        (step(|_| vec![b' '; MAX_BODY_BYTES + 1].into_response()), "more than 16777216 bytes"),
        (
            // Without a length that could be looked at first.
            step(|_| events(vec![vec![b' '; 1 << 20]; 17], Rest::Ends)),
            "more than 16777216 bytes",
        ),
    ];
    for (step, said) in cases {
        let server = Server::start(vec![step]).await;
        let (code, message) = failure(server.generator().generate(&question(), None).await);
        assert_eq!((code, server.asked().len()), (FailureReason::Internal, 2), "{message}");
        assert!(message.contains(said), "{message}");
    }
    let mut most = serde_json::to_vec(&chat("Lima.", "stop")).unwrap();
    most.resize(MAX_BODY_BYTES, b' ');
    let server = Server::always(move |_| most.clone().into_response()).await;
    assert_eq!(server.generator().generate(&question(), None).await.unwrap().text, "Lima.");
}

#[tokio::test]
async fn the_token_goes_nowhere_else() {
    let other = Server::start(vec![says(chat("stolen", "stop"))]).await;
    let place = format!("{}/v1/chat/completions", other.url);
    let server = Server::start(vec![
        step(move |_| (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, place.clone())]).into_response()),
        step(|asked| {
            let told = asked.headers[header::AUTHORIZATION].to_str().unwrap().to_owned();
            (StatusCode::BAD_REQUEST, told).into_response()
        }),
    ])
    .await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret-word").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut config = server.config(RemoteKind::Openai);
    config.token_file = Some(token);
    let remote = Remote::new(config).unwrap();
    let (_, message) = failure(remote.generate(&question(), None).await);
    assert!(message.contains("points elsewhere"), "{message}");
    assert!(other.asked().is_empty());
    // Not even when the server repeats it.
    let (_, message) = failure(remote.generate(&question(), None).await);
    assert!(message.contains("***") && !message.contains("secret-word"), "{message}");
}

#[tokio::test]
async fn a_stream_is_shown_as_it_comes() {
    let usage =
        "data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 4}}\r\n\r\n";
    let text = [
        ": comment\r\n\r\n",
        "data: {\"choices\": [{\"delta\": {\"role\": \"assistant\", \"content\": null}, \"finish_reason\": null}]}\n\n",
        &part(" \nLa ", None),
        &part("capi", None),
        &part("tal: 東京 ", None),
        &part("🦀 \n", None),
        &part("", Some("length")),
        usage,
        "data: [DONE]\n\n",
        &part("not any more", None),
    ]
    .concat();
    // Cut everywhere, in the middle of characters too.
    for size in [1, 7, 100_000] {
        let chunks: Vec<Vec<u8>> = text.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
        let server = Server::always(move |_| events(chunks.clone(), Rest::Ends)).await;
        let (generated, pieces) = shown(&server.generator(), &question()).await;
        let generated = generated.unwrap();
        assert_eq!(generated.text, "La capital: 東京 🦀");
        assert_eq!((generated.prompt_tokens, generated.tokens), (7, 4));
        assert_eq!(generated.finish, Finish::Length);
        assert_eq!(pieces.concat(), generated.text);
        assert_eq!(pieces, ["La", " capi", "tal: 東京", " 🦀"]);
        let body = &server.asked()[0].body;
        assert_eq!((&body["stream"], &body["stream_options"]["include_usage"]), (&json!(true), &json!(true)));
    }
}

#[tokio::test]
async fn a_stream_needs_no_done_and_may_be_no_stream() {
    let rests: [fn() -> Rest; 3] = [|| Rest::Ends, || Rest::Breaks, || Rest::Hangs];
    for rest in rests {
        let chunks = vec![part("Lima.", Some("stop")).into_bytes()];
        let server = Server::always(move |_| events(chunks.clone(), rest())).await;
        let (generated, pieces) = shown(&server.generator(), &question()).await;
        assert_eq!(generated.unwrap().text, "Lima.");
        assert_eq!((pieces.concat(), server.asked().len()), ("Lima.".to_owned(), 1));
    }
    let server = Server::start(vec![says(chat(" Lima. ", "stop"))]).await;
    let (generated, pieces) = shown(&server.generator(), &question()).await;
    assert_eq!((generated.unwrap().tokens, pieces), (3, vec!["Lima.".to_owned()]));
}

#[tokio::test]
async fn our_limits_hold_and_end_the_servers_work() {
    let long = Generation { max_bytes: 5, ..question() };
    let stopped = Generation { stop: vec!["END".into()], ..question() };
    for (work, text, finish) in [(long, "one t", Finish::Length), (stopped, "one two", Finish::Stop)] {
        let (told, gone) = oneshot::channel();
        let told = Mutex::new(Some(told));
        let chunks: Vec<Vec<u8>> =
            ["one ", "two E", "ND three"].iter().map(|text| part(text, None).into_bytes()).collect();
        let server = Server::always(move |_| {
            events(chunks.clone(), Rest::Tells(told.lock().unwrap().take().unwrap()))
        })
        .await;
        let remote = server.generator();
        let (generated, pieces) = shown(&remote, &work).await;
        let generated = generated.unwrap();
        assert_eq!((generated.text.as_str(), generated.finish), (text, finish));
        assert_eq!(pieces.concat(), text);
        // The sender goes with the body of the response.
        gone.await.unwrap_err();

        let server = Server::start(vec![says(chat("one two END three", "stop"))]).await;
        let generated = server.generator().generate(&work, None).await.unwrap();
        assert_eq!((generated.text.as_str(), generated.finish), (text, finish));
    }
}

#[tokio::test]
async fn what_was_shown_is_not_shown_again() {
    // Nothing shown yet: the stream is asked for again.
    let server = Server::start(vec![
        step(|_| events(vec![part("  ", None).into()], Rest::Breaks)),
        step(|_| events(vec![part("Lima.", Some("stop")).into()], Rest::Ends)),
    ])
    .await;
    let (generated, pieces) = shown(&server.generator(), &question()).await;
    assert_eq!((generated.unwrap().text.as_str(), pieces.concat().as_str()), ("Lima.", "Lima."));
    assert_eq!(server.asked().len(), 2);

    type Way = fn() -> Response;
    let cases: [(Way, FailureReason, &str); 6] = [
        (
            || events(vec![part("Li", None).into()], Rest::Breaks),
            FailureReason::ModelUnavailable,
            "broke off",
        ),
        (|| events(vec![part("Li", None).into()], Rest::Ends), FailureReason::Internal, "why it ended"),
        (
            || events(vec![part("Li", None).into(), b"data: {\"choices\"\n\n".to_vec()], Rest::Hangs),
            FailureReason::Internal,
            "not what the API says",
        ),
        (
            || events(vec![part("Li", None).into(), vec![b'x'; 2 << 20]], Rest::Hangs),
            FailureReason::Internal,
            "longer than",
        ),
        (
            || {
                let error = "data: {\"error\": {\"message\": \"out of memory\", \"code\": 500}}\n\n";
                events(vec![part("Li", None).into(), error.into()], Rest::Hangs)
            },
            FailureReason::ModelUnavailable,
            "out of memory",
        ),
        (
            || {
                let error = "event: error\ndata: {\"message\": \"too long\", \"code\": 400}\n\n";
                events(vec![part("Li", None).into(), error.into()], Rest::Hangs)
            },
            FailureReason::InvalidJob,
            "too long",
        ),
    ];
    for (way, reason, said) in cases {
        let server = Server::always(move |_| way()).await;
        let (outcome, pieces) = shown(&server.generator(), &question()).await;
        let (code, message) = failure(outcome);
        assert_eq!((code, server.asked().len()), (reason, 1), "{message}");
        assert!(message.contains(said), "{message}");
        assert_eq!(pieces, ["Li"]);
    }
}

#[tokio::test]
async fn work_that_nobody_wants_is_ended() {
    // The future is dropped.
    let (told, gone) = oneshot::channel();
    let told = Mutex::new(Some(told));
    let server = Server::always(move |_| {
        events(vec![part("Li", None).into()], Rest::Tells(told.lock().unwrap().take().unwrap()))
    })
    .await;
    let remote = server.generator();
    let (sender, mut pieces) = mpsc::channel(1);
    let working = tokio::spawn(async move { remote.generate(&question(), Some(sender)).await });
    assert_eq!(pieces.recv().await.unwrap(), "Li");
    working.abort();
    gone.await.unwrap_err();

    // Nobody receives the pieces.
    let server = Server::always(|_| events(vec![part("Li", None).into()], Rest::Hangs)).await;
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    assert_eq!(server.generator().generate(&question(), Some(sender)).await, Err(Unfinished::Cancelled));
}

#[tokio::test]
async fn wrong_work_is_not_sent() {
    type Change = fn(&mut Generation);
    let cases: [(Change, &str); 9] = [
        (|w| w.messages.clear(), "no message"),
        (|w| w.max_tokens = 0, "at least 1"),
        (|w| w.max_bytes = 0, "at least 1"),
        (|w| w.temperature = -0.1, "temperature"),
        (|w| w.temperature = f32::NAN, "temperature"),
        (|w| w.temperature = f32::INFINITY, "temperature"),
        (|w| w.top_p = 0.0, "top_p"),
        (|w| w.top_p = 1.1, "top_p"),
        (|w| w.stop.push(String::new()), "stop sequence"),
    ];
    let server = Server::start(vec![says(chat("a", "stop"))]).await;
    let generator = server.generator();
    for (change, said) in cases {
        let mut work = question();
        change(&mut work);
        let (code, message) = failure(generator.generate(&work, None).await);
        assert_eq!(code, FailureReason::InvalidJob);
        assert!(message.contains(said), "{message}");
    }
    let evaluator = server.evaluator(|_| {});
    assert_eq!(failure(evaluator.score(&scoring(&[], false)).await).0, FailureReason::InvalidJob);
    assert_eq!(failure(evaluator.generate(&question(), None).await).0, FailureReason::InvalidJob);
    assert_eq!(failure(generator.score(&scoring(&["a"], false)).await).0, FailureReason::InvalidJob);
    assert!(server.asked().is_empty());
    let edge = Generation { max_tokens: 1, max_bytes: 1, temperature: 2.0, top_p: 1.0, ..question() };
    assert_eq!(generator.generate(&edge, None).await.unwrap().text, "a");
}

/// A rerank server that gives the text `n` the number `n / 10`, the last text first.
fn reranker(asked: &Asked) -> Response {
    let tei = asked.body.get("texts").is_some();
    let texts = asked.body[if tei { "texts" } else { "documents" }].as_array().unwrap().clone();
    let number = |text: &Value| text.as_str().unwrap().parse::<f64>().unwrap() / 10.0;
    let field = if tei { "score" } else { "relevance_score" };
    let rows: Vec<Value> = texts
        .iter()
        .enumerate()
        .rev()
        .map(|(index, text)| json!({"index": index, field: number(text)}))
        .collect();
    if tei {
        let tokens = (axum::http::HeaderName::from_static("x-compute-tokens"), "11");
        ([tokens], Json(rows)).into_response()
    } else {
        Json(json!({"results": rows, "usage": {"total_tokens": 13}})).into_response()
    }
}

#[tokio::test]
async fn answers_are_scored_in_batches_or_alone() {
    let server = Server::always(reranker).await;
    let remote = server.evaluator(|config| config.batch = 2);
    let answers = ["3", "0", "10", "7", "5"];
    let scored = remote.score(&scoring(&answers, false)).await.unwrap();
    assert_eq!(scored.raw, [0.3, 0.0, 1.0, 0.7, 0.5]);
    assert_eq!(scored.scores, [300_000, 0, 1_000_000, 700_000, 500_000]);
    assert_eq!(scored.tokens, 39);
    assert_eq!(server.asked().len(), 3);
    assert!(server.asked().iter().all(|asked| asked.path == "/v1/rerank"));
    let asked = server.asked();
    let first = asked.iter().find(|asked| asked.body["documents"][0] == "3").unwrap();
    assert_eq!(
        first.body,
        json!({"query": "Q?", "documents": ["3", "0"], "top_n": 2, "return_documents": false})
    );
    let alone = remote.score(&scoring(&answers, true)).await.unwrap();
    assert_eq!(alone.scores, scored.scores);
    assert_eq!(server.asked().len(), 8);
}

#[tokio::test]
async fn every_dialect_is_spoken() {
    let server = Server::always(reranker).await;
    let calibration = Calibration { a: 2.0, b: -1.0 };
    let tei = server.evaluator(|config| {
        (config.dialect, config.raw_scores) = (Some(RerankDialect::Tei), true);
        config.calibration = calibration;
    });
    let scored = tei.score(&scoring(&["5", "-30"], false)).await.unwrap();
    assert_eq!((scored.raw.as_slice(), scored.tokens), (&[0.5, -3.0][..], 11));
    assert_eq!(scored.scores, [500_000, 911]);
    let asked = server.asked().remove(0);
    let body = json!({
        "query": "Q?", "texts": ["5", "-30"], "raw_scores": true, "return_text": false, "truncate": true,
    });
    assert_eq!((asked.path.as_str(), asked.body), ("/rerank", body));

    let named = server.evaluator(|config| {
        (config.raw_scores, config.remote_model) = (true, Some("big".into()));
        (config.path, config.url) = (Some("/v2/sort".into()), format!("{}/api/", config.url));
    });
    named.score(&scoring(&["5"], false)).await.unwrap();
    let asked = server.asked().remove(1);
    assert_eq!(asked.path, "/api/v2/sort");
    assert_eq!(asked.body["model"], "big");
    assert_eq!((&asked.body["raw_scores"], &asked.body["use_activation"]), (&json!(true), &json!(false)));

    // SGLang: asked as Jina is, answers with a bare list.
    let list = Server::start(vec![says(json!([
        {"index": 1, "score": 0.5, "document": null, "meta_info": {}}, {"index": 0, "score": 0.25},
    ]))])
    .await;
    let scored = list.evaluator(|_| {}).score(&scoring(&["a", "b"], false)).await.unwrap();
    assert_eq!((scored.scores, scored.tokens), (vec![250_000, 500_000], 0));

    let versioned = server.evaluator(|config| config.url += "/v1");
    versioned.score(&scoring(&["5"], false)).await.unwrap();
    assert_eq!(server.asked().remove(2).path, "/v1/rerank");
}

#[tokio::test]
async fn scores_without_sense_are_refused() {
    let row = |index: i64, score: f64| json!({"index": index, "relevance_score": score});
    let cases: [(Value, &str); 10] = [
        (json!({"results": [row(0, 0.5)]}), "1 scores for 2 texts"),
        (json!({"results": [row(0, 0.5), row(1, 0.5), row(1, 0.5)]}), "3 scores for 2 texts"),
        (json!({"results": [row(0, 0.5), row(0, 0.5)]}), "two scores for text 0"),
        (json!({"results": [row(0, 0.5), row(2, 0.5)]}), "text 2 of 2"),
        (json!({"results": [row(0, 0.5), row(-1, 0.5)]}), "not what the API says"),
        (json!({"results": [row(0, 0.5), {"index": 1, "relevance_score": null}]}), "not what the API says"),
        (json!({"results": [row(0, 0.5), {"index": 1}]}), "not what the API says"),
        (json!({"results": [row(0, 0.5), row(1, 1.5)]}), "scores = \"logit\""),
        (json!({"results": [row(0, 0.5), row(1, -0.1)]}), "scores = \"logit\""),
        (json!({"scores": [0.5, 0.5]}), "not what the API says"),
    ];
    for (body, said) in cases {
        let server = Server::start(vec![says(body)]).await;
        let remote = server.evaluator(|_| {});
        let (code, message) = failure(remote.score(&scoring(&["a", "b"], false)).await);
        assert_eq!((code, server.asked().len()), (FailureReason::Internal, 2), "{message}");
        assert!(message.contains(said), "{message}");
    }
    // Python writes such JSON.
    let nan = r#"{"results": [{"index": 0, "relevance_score": NaN}]}"#;
    let server = Server::start(vec![status(200, nan)]).await;
    let remote = server.evaluator(|config| config.scores = Some(Scale::Logit));
    assert_eq!(failure(remote.score(&scoring(&["a"], false)).await).0, FailureReason::Internal);
}

#[tokio::test]
async fn a_batch_that_fails_fails_the_job() {
    let server = Server::always(|asked| match asked.body["documents"][0].as_str() {
        Some("bad") => (StatusCode::UNPROCESSABLE_ENTITY, r#"{"error": "too long"}"#).into_response(),
        _ => reranker(asked),
    })
    .await;
    let remote = server.evaluator(|_| {});
    let (code, message) = failure(remote.score(&scoring(&["1", "bad", "2"], true)).await);
    assert_eq!(code, FailureReason::InvalidJob);
    assert!(message.contains("too long"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_requests_at_once_than_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&now), Arc::clone(&most));
    let router = Router::new().fallback(move |Json(body): Json<Value>| {
        let (now, most) = counters.clone();
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            reranker(&Asked { path: String::new(), headers: HeaderMap::new(), body })
        }
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let mut config = RemoteConfig::new("there", RemoteKind::Rerank, &url, &"a".repeat(64));
    config.max_concurrent = 2;
    let remote = Arc::new(Remote::new(config).unwrap());
    // Two jobs share the places.
    let jobs = [(); 2].map(|()| {
        let remote = Arc::clone(&remote);
        tokio::spawn(async move { remote.score(&scoring(&["1"; 8], true)).await.unwrap() })
    });
    for job in jobs {
        assert_eq!(job.await.unwrap().scores, [100_000; 8]);
    }
    assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
}

#[tokio::test]
async fn a_probe_tells_what_is_wrong() {
    let list = json!({"data": [{"id": "small"}, {"id": "big"}]});
    let server = Server::start(vec![
        says(list.clone()),
        says(json!({"data": [{"id": "big"}]})),
        says(json!({"data": []})),
        status(401, "no"),
        status(503, "loading"),
        status(200, "<html>"),
        says(list),
    ])
    .await;
    let remote = server.generator();
    remote.probe().await.unwrap();
    assert_eq!(remote.health(), Health::Up);
    for said in ["its models: big", "its models: none", "refuses the token", "loading", "API"] {
        let error = remote.probe().await.unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("\"there\""), "{error}");
        assert!(matches!(remote.health(), Health::Down { .. }));
    }
    remote.probe().await.unwrap();
    assert_eq!(remote.health(), Health::Up);
    assert!(server.asked().iter().all(|asked| asked.path == "/v1/models"));

    let server =
        Server::start(vec![status(200, ""), status(404, ""), status(405, ""), status(503, "")]).await;
    let remote = server.evaluator(|config| config.url += "/v1");
    for works in [true, true, true, false] {
        assert_eq!(remote.probe().await.is_ok(), works);
    }
    assert!(server.asked().iter().all(|asked| asked.path == "/health"));
}

#[tokio::test]
async fn a_watched_server_is_down_and_up_again() {
    let works = Arc::new(AtomicUsize::new(1));
    let answers = Arc::clone(&works);
    let server = Server::always(move |_| {
        let code = if answers.load(Ordering::SeqCst) == 1 { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
        code.into_response()
    })
    .await;
    let remote = Arc::new(server.evaluator(|config| config.health_interval_ms = 100));
    let stop = CancellationToken::new();
    let watching = remote.watch(stop.clone());
    let becomes = async |up: bool| {
        while matches!(remote.health(), Health::Up) != up || remote.health() == Health::Unknown {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    becomes(true).await;
    works.store(0, Ordering::SeqCst);
    becomes(false).await;
    works.store(1, Ordering::SeqCst);
    becomes(true).await;
    stop.cancel();
    watching.await.unwrap();
}
