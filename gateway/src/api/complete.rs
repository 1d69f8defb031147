//! `POST /v1/chat/completions` and `POST /v1/completions`.
//!
//! An order goes on whatever becomes of its caller. With `stream`, comments go out while the network works, then the best answer in pieces,
//! then an event with usage and `poq`, then `[DONE]`. What is wrong with the request is an HTTP error, before the stream's head; what goes
//! wrong later is an event `{"error":…}`, and no `[DONE]` follows.

use super::{
    features,
    forms::{self, ChatRequest, Common, TextRequest},
    say::{self, Chunks},
    App, Caller, JsonBody,
};
use crate::{
    desk::{Question, Step, Ticket},
    keys::Key,
    order::{Form, Outcome, Record},
    plan::Wish,
    refusal::{Kind, Refusal},
};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{
        sse::{Event, KeepAlive, Sse},
        IntoResponse as _, Response,
    },
    Json,
};
use poq_primitives::conversation;
use serde_json::{json, Value};
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{timeout_at, Instant},
};
use tokio_stream::wrappers::ReceiverStream;

/// Header with the id of the order.
pub const ORDER: HeaderName = HeaderName::from_static("x-request-id");

/// Header by which a caller says that it asks again.
const IDEMPOTENCY: &str = "idempotency-key";

/// Longest idempotency key.
const LONGEST_IDEMPOTENCY: usize = 255;

/// Time between two comments on a stream on which nothing else is sent.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Events that wait for a slow reader.
const AHEAD: usize = 64;

/// `POST /v1/chat/completions`.
pub async fn chat(
    State(app): State<App>,
    Caller(key): Caller,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, Refusal> {
    let request: ChatRequest = forms::parse(&body)?;
    complete(app, key, &headers, &body, Form::Chat, |options| forms::prompt_of(&request.messages, options))
        .await
}

/// `POST /v1/completions`.
pub async fn text(
    State(app): State<App>,
    Caller(key): Caller,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, Refusal> {
    let request: TextRequest = forms::parse(&body)?;
    complete(app, key, &headers, &body, Form::Text, |options| forms::single_prompt(&request.prompt, options))
        .await
}

async fn complete(
    app: App,
    key: Key,
    headers: &HeaderMap,
    body: &[u8],
    form: Form,
    prompt: impl FnOnce(&conversation::Options) -> Result<String, Refusal>,
) -> Result<Response, Refusal> {
    let common: Common = forms::parse(body)?;
    features::check(&forms::parse::<BTreeMap<String, Value>>(body)?)?;
    let options = common.poq.clone().unwrap_or_default();
    let patience = options.wait()?.map_or(app.patience, Duration::from_secs);
    let prompt = prompt(&common.options()?)?;
    let models = common.model.models();
    let question = Question {
        form,
        wish: Wish {
            evaluator: options.evaluator.clone(),
            prompt: prompt.len(),
            max_tokens: common.max_completion_tokens.or(common.max_tokens),
            temperature_milli: common.temperature_milli()?,
            seed: common.seed(),
            responders: options.responders,
            committee: options.committee,
            min_quality: options.min_quality()?,
            models: models.clone(),
        },
        prompt,
        model: models.join(","),
        cap: options.cap()?,
        idempotency: idempotency(headers)?,
        digest: digest(form, body),
    };
    let ticket = app.desk.order(&key, question).await?;
    let record = ticket.record.clone();
    let prompt = app.log_prompts.then_some(record.order.prompt.as_str());
    tracing::info!(
        order = record.id,
        key = key.id,
        model = record.order.model,
        bytes = record.order.prompt.len(),
        prompt,
        "an order is taken"
    );
    let order = HeaderValue::from_str(&record.id).ok();
    let mut response = if common.stream.unwrap_or(false) {
        let usage_alone = common.stream_options.and_then(|options| options.include_usage).unwrap_or(false);
        stream(app, ticket, patience, usage_alone)
    } else {
        let outcome = app.desk.wait(ticket, patience).await?;
        let outcome = outcome.ok_or_else(|| late(&record, patience))?;
        log(&app, &record, &outcome);
        Json(say::completion(&record, &outcome)?).into_response()
    };
    if let Some(order) = order {
        response.headers_mut().insert(ORDER, order);
    }
    Ok(response)
}

/// The caller's idempotency key.
fn idempotency(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(IDEMPOTENCY) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= LONGEST_IDEMPOTENCY);
    key.map(|key| Some(key.to_owned())).ok_or_else(|| {
        Refusal::invalid(format!("Idempotency-Key has 1 to {LONGEST_IDEMPOTENCY} visible ASCII characters"))
    })
}

/// SHA-256 of what was asked.
fn digest(form: Form, body: &[u8]) -> [u8; 32] {
    let form: &[u8] = match form {
        Form::Chat => b"chat",
        Form::Text => b"text",
    };
    Sha256::new().chain_update(form).chain_update(body).finalize().into()
}

/// The answer did not come in time.
pub fn late(record: &Record, patience: Duration) -> Refusal {
    Refusal::new(
        Kind::Late,
        "timeout",
        format!(
            "no answer within {} s; the request goes on, and GET /v1/requests/{} has its answer later",
            patience.as_secs(),
            record.id
        ),
    )
    .with(json!({ "id": record.id, "state": "open" }))
}

fn log(app: &App, record: &Record, outcome: &Outcome) {
    if let (true, Outcome::Settled { answer, .. }) = (app.log_prompts, outcome) {
        tracing::info!(order = record.id, answer, "an answer is delivered");
    }
}

/// The answer as a stream.
fn stream(app: App, ticket: Ticket, patience: Duration, usage_alone: bool) -> Response {
    let (events, stream) = mpsc::channel::<Result<Event, Infallible>>(AHEAD);
    tokio::spawn(async move {
        // Whoever does not read any more is told nothing; the order goes on.
        let _gone = tell(&app, ticket, patience, usage_alone, &events).await;
    });
    let alive = KeepAlive::new().interval(HEARTBEAT).text("the network works");
    Sse::new(ReceiverStream::new(stream)).keep_alive(alive).into_response()
}

/// The reader of a stream is gone.
struct Gone;

type Events = mpsc::Sender<Result<Event, Infallible>>;

async fn send(events: &Events, event: Event) -> Result<(), Gone> {
    events.send(Ok(event)).await.map_err(|_| Gone)
}

async fn send_json(events: &Events, value: &Value) -> Result<(), Gone> {
    send(events, Event::default().data(value.to_string())).await
}

async fn tell(
    app: &App,
    ticket: Ticket,
    patience: Duration,
    usage_alone: bool,
    events: &Events,
) -> Result<(), Gone> {
    let record = ticket.record.clone();
    if let Some(role) = Chunks::before(&record).role() {
        send_json(events, &role).await?;
    }
    send(events, Event::default().comment("the network works")).await?;
    let deadline = Instant::now() + patience;
    let mut ticket = ticket;
    let outcome: Result<Arc<Outcome>, Refusal> = loop {
        match timeout_at(deadline, app.desk.next(&mut ticket)).await {
            Ok(Ok(Step::Phase(phase))) => send(events, Event::default().comment(phase)).await?,
            Ok(Ok(Step::Over(outcome))) => break Ok(outcome),
            Ok(Err(refusal)) => break Err(refusal),
            Err(_) => break Err(late(&record, patience)),
        }
    };
    let said = outcome.and_then(|outcome| say::text(&record, &outcome).map(|text| (outcome, text)));
    let (outcome, text) = match said {
        Ok(said) => said,
        Err(refusal) => {
            app.metrics.errors.with_label_values(&[refusal.code]).inc();
            return send_json(events, &refusal.body()).await;
        }
    };
    log(app, &record, &outcome);
    let chunks = Chunks::of(&record, &outcome);
    for piece in say::pieces(&text) {
        send_json(events, &chunks.piece(piece)).await?;
    }
    for last in chunks.last(&outcome, &text, usage_alone) {
        send_json(events, &last).await?;
    }
    send(events, Event::default().data("[DONE]")).await
}
