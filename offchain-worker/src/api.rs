//! The HTTP API: the contract of [`poq_primitives::job`], and what people and supervisors want to know.
//!
//! | call | answer |
//! |---|---|
//! | `PUT`, `GET`, `DELETE /v1/jobs/{id}` | see [`poq_primitives::job`] |
//! | `GET /v1/models` | the models, as [`ModelList`] |
//! | `GET /health` | `200` while the engine takes requests; the only call that wants no token |
//!
//! Every error is `{"error":{"code":"…","message":"…"}}`: `400` malformed, `401` no or wrong token, `404`,
//! `405`, `408` too slow, `409` the id belongs to another job, `413` body too large, `415` not JSON, `422`
//! JSON that is not a job, `429` with `Retry-After` when the queue is full, `500` the disk fails, `503` the
//! engine is stopping.

use crate::{
    backends::Backends,
    job_id::JobId,
    models::shelf::{Entry, ModelKind, Shelf},
    pool::Presence,
    queue::{Queue, SubmitError, Ticket},
    token::Token,
};
use axum::{
    body::Bytes,
    extract::{
        rejection::BytesRejection, rejection::QueryRejection, DefaultBodyLimit, Path, Query, Request, State,
    },
    http::{header, HeaderMap, HeaderValue, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, put},
    Json, Router,
};
use poq_primitives::job::{Job, MAX_WAIT_MS};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tower::limit::GlobalConcurrencyLimitLayer;

/// Requests worked on at once; more wait.
const MAX_CONCURRENT_REQUESTS: usize = 256;

/// Longest time for one request, its body and `wait_ms` included.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// What the API needs of the engine.
#[derive(Clone, Debug)]
pub struct Engine {
    /// The jobs.
    pub queue: Arc<Queue>,
    /// The files of the models.
    pub shelf: Arc<Shelf>,
    /// Who does the work.
    pub backends: Arc<Backends>,
    /// What callers must show.
    pub token: Token,
}

/// What is known of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Its id, 64 lower-case hex digits; `None` if its files are not what they should be.
    pub id: Option<String>,
    /// File or folder name, without the extension.
    pub name: String,
    /// What it does.
    pub kind: ModelKind,
    /// Whether it is usable.
    pub state: ModelState,
    /// Why it is not, or `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Whether a model is usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// On disk; it is loaded when work wants it.
    Available,
    /// Being loaded.
    Loading,
    /// In memory.
    Loaded,
    /// Cannot be read or loaded.
    Broken,
    /// Its process died too often; it is not tried any more.
    SetAside,
}

impl ModelInfo {
    fn of(entry: &Entry, backends: &Backends) -> Self {
        let (state, error) = match entry.id.as_deref().map(|id| backends.pool().presence(id)) {
            Err(error) => (ModelState::Broken, Some(error.clone())),
            Ok(Presence::Available) => (ModelState::Available, None),
            Ok(Presence::Loading) => (ModelState::Loading, None),
            Ok(Presence::Loaded { .. }) => (ModelState::Loaded, None),
            Ok(Presence::Broken(error)) => (ModelState::Broken, Some(error)),
            Ok(Presence::SetAside(error)) => (ModelState::SetAside, Some(error)),
        };
        Self { id: entry.id.clone().ok(), name: entry.name.clone(), kind: entry.kind, state, error }
    }
}

/// Answer of `GET /v1/models`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelList {
    /// The models as of the last look at the models folder.
    pub models: Vec<ModelInfo>,
}

/// The API of `engine`, refusing bodies above `max_body_bytes`.
pub fn router(engine: Engine, max_body_bytes: usize) -> Router {
    let guarded = Router::new()
        .route("/v1/jobs/{id}", put(put_job).get(get_job).delete(delete_job))
        .route("/v1/models", get(list_models))
        .fallback(|| async { ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here") })
        .method_not_allowed_fallback(|| async {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not with this method")
        })
        .layer(DefaultBodyLimit::max(max_body_bytes))
        .layer(middleware::from_fn_with_state(engine.token.clone(), want_token))
        .with_state(engine);
    Router::new()
        .route("/health", get(health))
        .merge(guarded)
        .layer(middleware::from_fn(limit_time))
        .layer(GlobalConcurrencyLimitLayer::new(MAX_CONCURRENT_REQUESTS))
}

async fn put_job(
    State(engine): State<Engine>,
    Path(id): Path<String>,
    wait: Result<Query<Wait>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let (id, wait) = (parse_id(&id)?, parse_wait(wait)?);
    want_json(&headers)?;
    let job = parse_job(&body?)?;
    let queue = Arc::clone(&engine.queue);
    let ticket = blocking(move || queue.submit(id, job)).await??;
    let ticket = hold(&engine, id, ticket, wait).await?;
    let status = if ticket.unfinished.is_none() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(ticket.status)).into_response())
}

async fn get_job(
    State(engine): State<Engine>,
    Path(id): Path<String>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Response, ApiError> {
    let (id, wait) = (parse_id(&id)?, parse_wait(wait)?);
    let ticket = look_up(&engine, id).await?;
    let ticket = hold(&engine, id, ticket, wait).await?;
    Ok(Json(ticket.status).into_response())
}

async fn delete_job(State(engine): State<Engine>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let id = parse_id(&id)?;
    blocking(move || engine.queue.delete(id)).await??;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_models(State(engine): State<Engine>) -> Json<ModelList> {
    let models = engine.shelf.list();
    Json(ModelList { models: models.iter().map(|entry| ModelInfo::of(entry, &engine.backends)).collect() })
}

async fn health() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// Query of the calls that may hold their answer.
#[derive(Deserialize)]
struct Wait {
    #[serde(default)]
    wait_ms: u64,
}

fn parse_wait(wait: Result<Query<Wait>, QueryRejection>) -> Result<Duration, ApiError> {
    let Query(Wait { wait_ms }) = wait.map_err(|_| {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", "wait_ms is a number of milliseconds")
    })?;
    Ok(Duration::from_millis(wait_ms.min(MAX_WAIT_MS)))
}

fn parse_id(id: &str) -> Result<JobId, ApiError> {
    id.parse().map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, "invalid_id", error))
}

fn want_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", "send Content-Type: application/json"))
}

fn parse_job(body: &[u8]) -> Result<Job, ApiError> {
    serde_json::from_slice(body).map_err(|error| match error.is_data() {
        true => ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_job", error),
        false => ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", error),
    })
}

/// Holds the answer until the job is finished or the time is over; the ticket as it is then.
async fn hold(engine: &Engine, id: JobId, ticket: Ticket, wait: Duration) -> Result<Ticket, ApiError> {
    let Some(mut unfinished) = ticket.unfinished.clone().filter(|_| !wait.is_zero()) else {
        return Ok(ticket);
    };
    let _finished_or_late = tokio::time::timeout(wait, unfinished.changed()).await;
    look_up(engine, id).await
}

async fn look_up(engine: &Engine, id: JobId) -> Result<Ticket, ApiError> {
    let queue = Arc::clone(&engine.queue);
    let ticket = blocking(move || queue.ticket(id)).await??;
    ticket.ok_or_else(|| {
        ApiError::new(StatusCode::NOT_FOUND, "unknown_job", "this engine does not know the job")
    })
}

/// Runs what touches the disk away from the threads that serve requests.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a request failed inside the engine");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the engine failed; its log says more")
    })
}

async fn want_token(State(token): State<Token>, request: Request, next: Next) -> Response {
    let offered = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = offered
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match bearer {
        Some((_, offered)) if token.matches(offered.trim()) => next.run(request).await,
        _ => ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", "send Authorization: Bearer TOKEN")
            .into_response(),
    }
}

async fn limit_time(request: Request, next: Next) -> Response {
    let late = |_| {
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the request took too long").into_response()
    };
    tokio::time::timeout(REQUEST_TIME, next.run(request)).await.unwrap_or_else(late)
}

/// An answer that is an error.
#[derive(Debug)]
struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl ToString) -> Self {
        Self { status, code, message: message.to_string() }
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        let code =
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE { "too_large" } else { "unreadable_body" };
        Self::new(rejection.status(), code, rejection.body_text())
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let (status, code) = match error {
            SubmitError::Full => (StatusCode::TOO_MANY_REQUESTS, "queue_full"),
            SubmitError::Conflict => (StatusCode::CONFLICT, "other_job"),
            SubmitError::Closed => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            SubmitError::Store(error) => return error.into(),
        };
        Self::new(status, code, error)
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        tracing::error!(%error, "the job store fails");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "store",
            "the job store fails; the engine's log says more",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": { "code": self.code, "message": self.message } });
        let mut response = (self.status, Json(body)).into_response();
        let extra = match self.status {
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer")),
            StatusCode::TOO_MANY_REQUESTS => Some((header::RETRY_AFTER, "5")),
            _ => None,
        };
        if let Some((name, value)) = extra {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
