//! `POST /v1/chat/completions`, as clients of OpenAI's API use it.
//!
//! [`ChatRequest`] lists the fields. Others are ignored if they change no answer, and else refused with their name.
//! Defaults of the sampling are those of llama.cpp's server. With `stream`, the answer comes as server-sent events: first the role,
//! then the text in pieces, then why it ended, then `[DONE]`; while there is nothing to tell, a comment goes out every few
//! seconds, so that proxies keep the connection. Closing the connection ends the work.
//!
//! A stream's head is sent at once if the model is busy or cannot be had yet, and otherwise with the first piece of text, or
//! after [`HEAD_PATIENCE`]. What goes wrong before the head is an HTTP error: a bad request, an unknown model, a prompt that is
//! too long. What goes wrong later is an event `{"error":…}`, and no `[DONE]` follows.

use super::{
    direct::{Direct, Place},
    error::{ApiError, ErrorBody},
    features::{self, Logprobs},
    forms::{
        most_tokens, most_tokens_schema, response_format_schema, tool_choice_schema, whole, Content, Texts,
    },
    models::{choose, seconds, Chosen},
    schemas::WorkErrors,
    ApiState, Body,
};
use crate::{
    generator::tools,
    json,
    limits::Unfinished,
    metrics::{Metrics, Passage},
    models::shelf::ModelKind,
    work::{Finish, Generated, Generation, Message, Role, Tool, ToolCall},
};
use axum::{
    extract::State,
    response::{
        sse::{Event, KeepAlive, Sse},
        IntoResponse as _, Response,
    },
    Extension, Json,
};
use futures::{stream, Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Most tokens of an answer for which no number is given; the context may end it earlier.
pub const DEFAULT_TOKENS: u32 = 1024;

/// Sampling temperature if none is given.
pub const DEFAULT_TEMPERATURE: f64 = 0.8;

/// `top_p` if none is given.
pub const DEFAULT_TOP_P: f64 = 0.95;

/// Highest temperature. Beyond it, all tokens are about equally likely.
pub const MAX_TEMPERATURE: f64 = 100.0;

/// Most stop sequences.
pub const MAX_STOPS: usize = 16;

/// Pieces that wait for a slow reader before the answer is given up.
const PIECES_AHEAD: usize = 4096;

/// Longest wait for the first piece of text before the head of a stream is sent, if the model is free.
const HEAD_PATIENCE: Duration = Duration::from_secs(2);

/// Time between two comments on a stream on which nothing else is sent.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A conversation to go on with. Of fields that are not listed, those that change no answer are ignored and the others
/// refused.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
pub struct ChatRequest {
    /// A generator: its name, its id, or the first digits of its id.
    #[schema(example = "poq-demo-strong")]
    pub model: String,
    /// The conversation so far.
    #[schema(min_items = 1, example = json!([{"role": "user", "content": "What is the capital of France?"}]))]
    pub messages: Vec<ChatMessage>,
    /// Most tokens to generate (default: 1024), or -1 for as many as the model's context holds, which may end any answer earlier.
    #[serde(default, deserialize_with = "most_tokens")]
    #[schema(schema_with = most_tokens_schema)]
    pub max_completion_tokens: Option<u32>,
    /// The older name of `max_completion_tokens`, which wins if both are there.
    #[serde(default, deserialize_with = "most_tokens")]
    #[schema(schema_with = most_tokens_schema)]
    pub max_tokens: Option<u32>,
    /// Sampling temperature (default: 0.8); 0 always takes the likeliest token.
    #[schema(minimum = 0, maximum = 100)]
    pub temperature: Option<f64>,
    /// Only the likeliest tokens that together have this probability are drawn from (default: 0.95).
    #[schema(exclusive_minimum = 0, maximum = 1)]
    pub top_p: Option<f64>,
    /// Seed of the sampling, folded into 32 bits; random if absent. The same request with the same seed gets the same
    /// answer as long as the engine, its machine and its load are the same.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = -9223372036854775808i64, maximum = 9223372036854775807i64)]
    pub seed: Option<i64>,
    /// The text ends before the first of these that appears in it. Empty ones are ignored.
    pub stop: Option<Texts>,
    /// Whether the answer comes as server-sent events (default: false).
    pub stream: Option<bool>,
    /// Options of a stream.
    pub stream_options: Option<StreamOptions>,
    /// Number of answers: only 1.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 1)]
    pub n: Option<u32>,
    /// Form of the answer: `{"type":"text"}`, `{"type":"json_object"}`, or `{"type":"json_schema","json_schema":{"name":…,
    /// "schema":…}}`. An answer that is cut at its longest may be half of it: then `finish_reason` is `length`.
    #[schema(schema_with = response_format_schema)]
    pub response_format: Option<json::Json>,
    /// Functions that the model may call: `{"type":"function","function":{"name":…,"description":…,"parameters":…}}`.
    #[schema(value_type = Option<Vec<Tool>>)]
    pub tools: Option<json::Json>,
    /// `none`, `auto` (default), `required`, or `{"type":"function","function":{"name":…}}`.
    #[schema(schema_with = tool_choice_schema)]
    pub tool_choice: Option<json::Json>,
    /// Whether several functions may be called at once; a model that has to call one calls one.
    pub parallel_tool_calls: Option<bool>,
    /// Whether the answer says how likely each token was (default: false).
    pub logprobs: Option<bool>,
    /// With `logprobs`: how many of the likeliest tokens are told in each place (default: 0).
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 20)]
    pub top_logprobs: Option<u8>,
    /// Whether the answer goes on with the last message, the assistant's, and is only what comes after (default: false).
    pub continue_final_message: Option<bool>,
    /// The opposite of `continue_final_message`, as some clients send it.
    pub add_generation_prompt: Option<bool>,
    /// All other fields.
    #[serde(flatten)]
    #[schema(ignore)]
    pub others: BTreeMap<String, serde_json::Value>,
}

/// A message of the conversation.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
pub struct ChatMessage {
    /// Its author.
    pub role: ChatRole,
    /// Its content; may be `null` or left out where the assistant only calls functions.
    #[serde(default)]
    pub content: Option<Content>,
    /// Functions that the assistant calls.
    pub tool_calls: Option<Vec<ToolCall>>,
    /// Id of the call, in a tool's result.
    pub tool_call_id: Option<String>,
    /// All other fields.
    #[serde(flatten)]
    #[schema(ignore)]
    pub others: BTreeMap<String, serde_json::Value>,
}

/// Its author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChatRole {
    /// Instructions to the model.
    System,
    /// The newer name of `system`.
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// Result of a function that the assistant called.
    Tool,
}

/// Options of a stream.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
pub struct StreamOptions {
    /// Whether a last event says how many tokens there were.
    pub include_usage: Option<bool>,
}

/// A complete answer.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ChatCompletion {
    /// `chatcmpl-` and random digits.
    pub id: String,
    /// Always `chat.completion`.
    #[schema(value_type = String)]
    pub object: &'static str,
    /// Seconds since 1970 (UTC).
    #[schema(minimum = 0)]
    pub created: u64,
    /// The model's name.
    pub model: String,
    /// Always one.
    pub choices: Vec<Choice>,
    /// Numbers of tokens.
    pub usage: Usage,
}

/// An answer.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Choice {
    /// Always 0.
    pub index: u32,
    /// The answer.
    pub message: Answer,
    /// Probabilities of its tokens, if requested.
    #[schema(required)]
    pub logprobs: Option<Logprobs>,
    /// Reason of its end.
    pub finish_reason: FinishReason,
}

/// Reason of an answer's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its text, or a stop sequence came.
    Stop,
    /// A limit was reached: tokens, bytes, or the context.
    Length,
    /// The model calls functions.
    ToolCalls,
}

impl From<Finish> for FinishReason {
    fn from(finish: Finish) -> Self {
        match finish {
            Finish::Stop => Self::Stop,
            Finish::Length => Self::Length,
        }
    }
}

/// The model's message.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Answer {
    /// Always `assistant`.
    pub role: Role,
    /// The text, without white space at its ends; `null` where the assistant only calls functions.
    #[schema(required)]
    pub content: Option<String>,
    /// Functions that it calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// Always `null`; clients expect it.
    #[schema(value_type = Option<String>, required)]
    pub refusal: (),
}

/// Numbers of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Usage {
    /// Tokens of the conversation.
    #[schema(minimum = 0)]
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    #[schema(minimum = 0)]
    pub completion_tokens: u64,
    /// Tokens of both.
    #[schema(minimum = 0)]
    pub total_tokens: u64,
}

/// An event of a stream.
#[derive(Clone, Debug, utoipa::ToSchema)]
#[allow(dead_code)] // Only its schema is wanted.
pub(super) struct ChatEvent {
    /// A `ChatChunk` as JSON; at the end `[DONE]`, or an `ErrorBody` as JSON.
    data: String,
}

/// A part of an answer: the data of one event of a stream.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ChatChunk {
    /// The same in all events of a stream.
    pub id: String,
    /// Always `chat.completion.chunk`.
    #[schema(value_type = String)]
    pub object: &'static str,
    /// Seconds since 1970 (UTC).
    #[schema(minimum = 0)]
    pub created: u64,
    /// The model's name.
    pub model: String,
    /// One choice; none in the event with the usage.
    pub choices: Vec<ChunkChoice>,
    /// Numbers of tokens, in the last event, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub usage: Option<Usage>,
}

/// New part of an answer.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ChunkChoice {
    /// Always 0.
    pub index: u32,
    /// New part of the message.
    pub delta: Delta,
    /// Probabilities of all tokens of the answer, if requested; in the event with the reason of its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub logprobs: Option<Logprobs>,
    /// Reason of its end; `null` before.
    #[schema(required)]
    pub finish_reason: Option<FinishReason>,
}

/// New part of a message.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Delta {
    /// `assistant`, in the first event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub role: Option<Role>,
    /// More text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub content: Option<String>,
    /// Functions that the assistant calls, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tool_calls: Option<Vec<CallDelta>>,
}

/// A call of a function in a stream.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CallDelta {
    /// Number of the call within the answer, from 0.
    #[schema(minimum = 0)]
    pub index: usize,
    /// The call.
    #[serde(flatten)]
    pub call: ToolCall,
}

/// Goes on with a conversation.
///
/// Closing the connection ends the work. A stream's events are `data:` lines with a `ChatChunk` each, or with an
/// `ErrorBody` if something goes wrong in its middle; a complete one ends with `data: [DONE]`.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    tag = "chat",
    request_body = ChatRequest,
    responses(
        (status = 200, description = "The answer.", content(
            (ChatCompletion = "application/json"),
            (ChatEvent = "text/event-stream"),
        )),
        (status = 404, description = "This engine does not hold the model, or it is of another kind.", body = ErrorBody),
        WorkErrors,
    ),
)]
pub async fn complete(
    State(engine): State<ApiState>,
    Extension(passage): Extension<Arc<Passage>>,
    place: Place,
    Body(request): Body<ChatRequest>,
) -> Result<Response, ApiError> {
    let chosen = choose(&engine, Some(&request.model), ModelKind::Generator).await?;
    let work = generation_of(&request, &chosen)?;
    let head = Head::new(chosen, &work);
    let backends = Arc::clone(&engine.backends);
    if !request.stream.unwrap_or(false) {
        let work = Direct::start(&engine, place, async move { backends.generate(&work, None).await });
        return Ok(Json(head.completion(work.outcome().await?)).into_response());
    }
    let (sender, mut pieces) = mpsc::channel(PIECES_AHEAD);
    let patience = patience_with(&engine, &work)?;
    let work = Direct::start(&engine, place, async move { backends.generate(&work, Some(sender)).await });
    let start = match tokio::time::timeout(patience, pieces.recv()).await {
        Ok(Some(first)) => Start { first: Some(first), rest: Rest::UnderWay(work) },
        Ok(None) => Start { first: None, rest: Rest::Ended(work.outcome().await?) },
        Err(_) => Start { first: None, rest: Rest::UnderWay(work) },
    };
    let usage = request.stream_options.unwrap_or_default().include_usage.unwrap_or(false);
    let metrics = Arc::clone(engine.backends.metrics());
    let events = events(head, start, pieces, usage, metrics, passage);
    let heartbeats = KeepAlive::new().interval(HEARTBEAT).text("working");
    Ok(Sse::new(events).keep_alive(heartbeats).into_response())
}

/// Longest wait of the head of a stream for the first piece of text. The error is what is known of the work before it begins.
fn patience_with(engine: &ApiState, work: &Generation) -> Result<Duration, Unfinished> {
    let pool = engine.backends.pool();
    pool.check_prompt(work)?;
    Ok(if pool.is_busy(&work.model) { Duration::ZERO } else { HEAD_PATIENCE })
}

/// A stream at the time of its head.
struct Start {
    first: Option<String>,
    rest: Rest,
}

enum Rest {
    UnderWay(Direct<Generated>),
    Ended(Generated),
}

impl Rest {
    async fn outcome(self) -> Result<Generated, Unfinished> {
        match self {
            Self::UnderWay(work) => work.outcome().await,
            Self::Ended(generated) => Ok(generated),
        }
    }
}

/// The events of a stream. The work belongs to them: it ends when they are dropped.
fn events(
    head: Head,
    start: Start,
    pieces: mpsc::Receiver<String>,
    usage: bool,
    metrics: Arc<Metrics>,
    passage: Arc<Passage>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let role = Delta { role: Some(Role::Assistant), content: Some(String::new()), tool_calls: None };
    let begin = event_of(&head.chunk(role, None));
    let (text_head, Start { first, rest }) = (head.clone(), start);
    // Whether an answer is a text or calls functions is seen at its end.
    let shown = text_head.tools.is_empty();
    let text = stream::iter(first)
        .chain(ReceiverStream::new(pieces))
        .filter(move |_| futures::future::ready(shown))
        .map(move |piece| {
            let delta = Delta { content: Some(piece), ..Delta::default() };
            event_of(&text_head.chunk(delta, None))
        });
    let end = stream::once(async move {
        let outcome = rest.outcome().await;
        drop(passage);
        stream::iter(last_events(&head, outcome, usage, &metrics))
    });
    stream::once(async move { begin }).chain(text).chain(end.flatten()).map(Ok)
}

fn last_events(
    head: &Head,
    outcome: Result<Generated, Unfinished>,
    usage: bool,
    metrics: &Metrics,
) -> Vec<Event> {
    let generated = match outcome {
        Ok(generated) => generated,
        Err(unfinished) => {
            let error = ApiError::from(unfinished);
            metrics.error(error.code());
            return vec![event_of(&error.body())];
        }
    };
    let mut events = Vec::new();
    let said = head.said(&generated);
    if !head.tools.is_empty() {
        let calls = said.tool_calls.map(|calls| {
            calls.into_iter().enumerate().map(|(index, call)| CallDelta { index, call }).collect()
        });
        let delta = Delta { role: None, content: said.content, tool_calls: calls };
        events.push(event_of(&head.chunk(delta, None)));
    }
    let mut last = head.chunk(Delta::default(), Some(said.finish_reason));
    if let Some(choice) = last.choices.first_mut() {
        choice.logprobs = head.logprobs_of(&generated);
    }
    events.push(event_of(&last));
    events.extend(usage.then(|| event_of(&head.usage_chunk(&generated))));
    events.push(Event::default().data("[DONE]"));
    events
}

fn event_of(data: &impl Serialize) -> Event {
    // Plain structs of texts and numbers always become JSON.
    Event::default().json_data(data).unwrap_or_default()
}

/// Fields common to all parts of an answer.
#[derive(Clone)]
struct Head {
    id: String,
    created: u64,
    model: String,
    /// Functions that the model may call.
    tools: Arc<[Tool]>,
    logprobs: bool,
}

/// Content of an answer.
struct Said {
    content: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
    finish_reason: FinishReason,
}

impl Head {
    fn new(chosen: Chosen, work: &Generation) -> Self {
        Self {
            id: format!("chatcmpl-{:032x}", rand::random::<u128>()),
            created: seconds(SystemTime::now()),
            model: chosen.name,
            tools: work.extras.tools.as_slice().into(),
            logprobs: work.extras.logprobs.is_some(),
        }
    }

    /// The text or the calls of an answer.
    fn said(&self, generated: &Generated) -> Said {
        match tools::calls_in(&generated.text, &self.tools) {
            Some((said, calls)) => Said {
                content: Some(said).filter(|said| !said.is_empty()),
                tool_calls: Some(calls.into_iter().map(features::with_id).collect()),
                finish_reason: FinishReason::ToolCalls,
            },
            None => Said {
                content: Some(generated.text.clone()),
                tool_calls: None,
                finish_reason: generated.finish.into(),
            },
        }
    }

    fn logprobs_of(&self, generated: &Generated) -> Option<Logprobs> {
        self.logprobs.then(|| Logprobs::of(&generated.logprobs))
    }

    fn completion(self, generated: Generated) -> ChatCompletion {
        let usage = usage_of(&generated);
        let (said, logprobs) = (self.said(&generated), self.logprobs_of(&generated));
        let message =
            Answer { role: Role::Assistant, content: said.content, tool_calls: said.tool_calls, refusal: () };
        ChatCompletion {
            id: self.id,
            object: "chat.completion",
            created: self.created,
            model: self.model,
            choices: vec![Choice { index: 0, message, logprobs, finish_reason: said.finish_reason }],
            usage,
        }
    }

    fn chunk(&self, delta: Delta, finish_reason: Option<FinishReason>) -> ChatChunk {
        ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk",
            created: self.created,
            model: self.model.clone(),
            choices: vec![ChunkChoice { index: 0, delta, logprobs: None, finish_reason }],
            usage: None,
        }
    }

    fn usage_chunk(&self, generated: &Generated) -> ChatChunk {
        let chunk = self.chunk(Delta::default(), None);
        ChatChunk { choices: Vec::new(), usage: Some(usage_of(generated)), ..chunk }
    }
}

fn usage_of(generated: &Generated) -> Usage {
    let (prompt_tokens, completion_tokens) = (generated.prompt_tokens.into(), generated.tokens.into());
    let total_tokens = u64::saturating_add(prompt_tokens, completion_tokens);
    Usage { prompt_tokens, completion_tokens, total_tokens }
}

fn generation_of(request: &ChatRequest, chosen: &Chosen) -> Result<Generation, ApiError> {
    let max_tokens = request.max_completion_tokens.or(request.max_tokens).unwrap_or(DEFAULT_TOKENS);
    let temperature = request.temperature.unwrap_or(DEFAULT_TEMPERATURE);
    let top_p = request.top_p.unwrap_or(DEFAULT_TOP_P);
    let refusals = [
        (request.messages.is_empty(), "messages", "is empty: send at least one"),
        (request.n.is_some_and(|n| n != 1), "n", "has to be 1: ask several times for several answers"),
        (!(0.0..=MAX_TEMPERATURE).contains(&temperature), "temperature", "has to be 0 to 100"),
        (!(top_p > 0.0 && top_p <= 1.0), "top_p", "has to be above 0 and at most 1"),
    ];
    if let Some((_, field, refusal)) = refusals.into_iter().find(|(refused, ..)| *refused) {
        return Err(ApiError::invalid(format!("'{field}' {refusal}")).about(field));
    }
    features::refuse_unknown(request)?;
    let messages = request.messages.iter().enumerate().map(|(number, message)| message_of(number, message));
    Ok(Generation {
        model: chosen.id.clone(),
        messages: messages.collect::<Result<_, _>>()?,
        max_tokens,
        max_bytes: u32::MAX,
        temperature: temperature as f32,
        // What is too small for this type still means "only the likeliest".
        top_p: (top_p as f32).max(f32::MIN_POSITIVE),
        seed: request.seed.map_or_else(rand::random, folded),
        stop: stops_of(request.stop.clone())?,
        extras: features::extras_of(request)?,
    })
}

fn message_of(number: usize, message: &ChatMessage) -> Result<Message, ApiError> {
    let role = match message.role {
        ChatRole::System | ChatRole::Developer => Role::System,
        ChatRole::User => Role::User,
        ChatRole::Assistant => Role::Assistant,
        ChatRole::Tool => Role::Tool,
    };
    let tool_calls = message.tool_calls.clone().unwrap_or_default();
    let refused = |field: &str, what: &str| {
        let field = format!("messages[{number}].{field}");
        Err(ApiError::invalid(format!("'{field}' {what}")).about(&field))
    };
    if !tool_calls.is_empty() && role != Role::Assistant {
        return refused("tool_calls", "are the assistant's only");
    }
    if role == Role::Tool && message.tool_call_id.is_none() {
        return refused("tool_call_id", "is missing: name the call that this is the result of");
    }
    let content = match &message.content {
        Some(content) => content.text(),
        None if role == Role::Assistant => String::new(),
        None => return refused("content", "is missing: send a text or a list of parts"),
    };
    Ok(Message { role, content, tool_calls, tool_call_id: message.tool_call_id.clone() })
}

fn stops_of(stop: Option<Texts>) -> Result<Vec<String>, ApiError> {
    let stops = stop.map(Texts::into_vec).unwrap_or_default();
    if stops.len() > MAX_STOPS {
        let message = format!("'stop' has {} texts, and may have {MAX_STOPS}", stops.len());
        return Err(ApiError::invalid(message).about("stop"));
    }
    Ok(stops.into_iter().filter(|stop| !stop.is_empty()).collect())
}

/// The seed in the sampler's 32 bits; one that fits stays what it is.
fn folded(seed: i64) -> u32 {
    let bits = seed.cast_unsigned();
    // Both halves count, so that seeds which differ only in the upper one differ.
    ((bits >> 32) ^ (bits & u64::from(u32::MAX))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &str) -> Result<Generation, ApiError> {
        let json = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}]{more}}}"#);
        let request: ChatRequest = serde_json::from_str(&json).unwrap();
        generation_of(&request, &Chosen { id: "id".into(), name: "m".into() })
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let work = parse("").unwrap();
        assert_eq!((work.model.as_str(), work.max_tokens, work.max_bytes), ("id", DEFAULT_TOKENS, u32::MAX));
        assert_eq!((work.temperature, work.top_p, work.stop.len()), (0.8, 0.95, 0));
        let nulls =
            parse(r#","temperature":null,"stop":null,"n":null,"max_tokens":null,"stream_options":null"#);
        assert_eq!(nulls.unwrap().temperature, 0.8);
    }

    #[test]
    fn edges_of_every_limit() {
        for good in [
            r#","temperature":0"#,
            r#","temperature":100"#,
            r#","top_p":1"#,
            r#","top_p":1e-300"#,
            r#","max_tokens":1"#,
            r#","max_tokens":4294967295"#,
            r#","max_tokens":-1"#,
            r#","n":1"#,
            r#","n":1.0,"max_tokens":16.0,"seed":-1e3"#,
            r#","tools":[],"user":"x""#,
            r#","stop":["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p"]"#,
        ] {
            let work = parse(good).unwrap();
            assert!(work.top_p > 0.0, "{good}");
        }
        for bad in [
            r#","temperature":-0.1"#,
            r#","temperature":100.1"#,
            r#","top_p":0"#,
            r#","top_p":1.01"#,
            r#","n":2"#,
            r#","n":0"#,
            r#","stop":["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q"]"#,
        ] {
            assert_eq!(parse(bad).unwrap_err().code(), "invalid_request", "{bad}");
        }
    }

    #[test]
    fn the_newer_names_win() {
        assert_eq!(parse(r#","max_tokens":5,"max_completion_tokens":7"#).unwrap().max_tokens, 7);
        assert_eq!(parse(r#","stop":["","a"]"#).unwrap().stop, ["a"]);
        assert_eq!(parse(r#","stop":"a""#).unwrap().stop, ["a"]);
    }

    #[test]
    fn a_seed_that_fits_stays_what_it_is() {
        assert_eq!([folded(0), folded(7), folded(i64::from(u32::MAX))], [0, 7, u32::MAX]);
        assert_ne!(folded(1 << 32), folded(0));
        let _no_overflow = [folded(i64::MIN), folded(i64::MAX), folded(-1)];
    }

    #[test]
    fn only_an_answer_may_have_no_content() {
        let parts =
            r#"{"role":"developer","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#;
        let message = |json: &str| message_of(3, &serde_json::from_str(json).unwrap());
        assert_eq!(message(parts).unwrap(), Message::new(Role::System, "a\nb"));
        for answer in [r#"{"role":"assistant","content":null}"#, r#"{"role":"assistant"}"#] {
            assert_eq!(message(answer).unwrap(), Message::new(Role::Assistant, ""));
        }
        for question in [r#"{"role":"user","content":null}"#, r#"{"role":"system"}"#] {
            let error = message(question).unwrap_err().body().error;
            assert_eq!(error.param.as_deref(), Some("messages[3].content"), "{}", error.message);
        }
    }
}
