//! The HTTP API: the contract of [`poq_primitives::job`], what clients of OpenAI's API and of rerank servers know,
//! and what people and supervisors want to see.
//!
//! | call | answer |
//! |---|---|
//! | `PUT`, `GET`, `DELETE /v1/jobs/{id}` | see [`poq_primitives::job`] |
//! | `POST /v1/chat/completions` | an answer, at once or as it grows; see [`chat`] |
//! | `POST /v1/rerank`, `POST /rerank` | documents in the order of their scores; see [`rerank`] |
//! | `POST /v2/rerank` | the same in the shape of Cohere's second version; see [`cohere`] |
//! | `POST /v1/score` | scores of answers, raw and calibrated, or as vLLM has them; see [`rerank`] and [`pairs`] |
//! | `POST /v1/embeddings` | vectors of texts; see [`embeddings`] |
//! | `GET /v1/models`, `GET /v1/models/{id}` | the models; see [`models`] |
//! | `GET /metrics` | counters for Prometheus. They tell what the engine is used for, so they want the token |
//! | `GET /health` | `200` while the engine takes requests and a model may be usable; wants no token, as the next two do not |
//! | `GET /healthz` | `200` while the process lives |
//! | `GET /readyz` | `200` once a model was loaded; which models are unusable, and why; see [`health`] |
//! | `GET /openapi.json` | this API as OpenAPI 3.1; wants no token |
//!
//! Every error is `{"error":{"message":"…","type":"…","code":"…","param":…}}`, which clients of OpenAI's API read
//! as theirs; under `/v2/` it is `{"message":"…"}`, which those of Cohere's API do. `param` names the field. The status is `400` malformed or not to be done (or the model's process died under this very request before), `401` no or wrong token, `404`, `405`, `408` the body came too slowly,
//! `409` the id belongs to another job, `413` body too large, `415` not JSON, `422` JSON that is not a job, `429` with
//! `Retry-After` when there are too many requests, `500` the engine or its disk fails, `502` the model's process died,
//! `503` the model cannot be used or the engine is stopping, `504` the work took longer than it may.
//!
//! Before a request comes here: [`crate::door`].
//!
//! Jobs are queued and outlive the engine; everything else is done while the caller waits, and no longer: who goes
//! away ends the work. As many such requests as the queue takes jobs are worked on, and the next is turned away.

mod auth;
pub mod chat;
pub mod cohere;
mod cors;
pub mod direct;
pub mod embeddings;
pub mod error;
mod features;
pub mod forms;
pub mod health;
mod jobs;
pub mod models;
pub mod openapi;
pub mod pairs;
pub mod rerank;
mod schemas;

use crate::{
    backends::Backends, config::Settings, limits::Cancel, metrics::Metrics, models::shelf::Shelf,
    queue::Queue, token::Token,
};
use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, MatchedPath, Request, State},
    http::{header, HeaderMap, Method, StatusCode},
    middleware::{self, Next},
    response::Response,
    routing::{get, post, put, MethodRouter},
    Router,
};
use error::ApiError;
use serde::de::DeserializeOwned;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tower::limit::GlobalConcurrencyLimitLayer;

/// Requests for jobs and models that are worked on at once; more wait.
const MAX_CONCURRENT_REQUESTS: usize = 256;

/// The state that all routes share.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// The jobs.
    pub queue: Arc<Queue>,
    /// The files of the models.
    pub shelf: Arc<Shelf>,
    /// The models, here and elsewhere.
    pub backends: Arc<Backends>,
    /// The token that callers show.
    pub token: Token,
    /// Set when the engine begins to stop: no new work is taken.
    pub closing: Cancel,
    /// Set when requests under way have had their time to end: those left are cut off.
    pub drained: Cancel,
    /// Places for requests that are no jobs.
    places: Arc<Semaphore>,
    job_time: Duration,
    /// Longest time for a body to arrive.
    reading_time: Duration,
    max_body_bytes: usize,
    /// Web origins whose pages may use the API.
    cors_origins: Vec<String>,
    /// Taken while a model is loaded only to see whether it can be.
    trial: Arc<Semaphore>,
}

impl ApiState {
    /// The state of an engine with these `settings`.
    pub fn new(
        queue: Arc<Queue>,
        shelf: Arc<Shelf>,
        backends: Arc<Backends>,
        token: Token,
        settings: &Settings,
    ) -> Self {
        Self {
            queue,
            shelf,
            backends,
            token,
            closing: Cancel::default(),
            drained: Cancel::default(),
            places: Arc::new(Semaphore::new(settings.queue_limit)),
            job_time: settings.job_time,
            reading_time: settings.door.patience,
            max_body_bytes: settings.max_body_bytes,
            cors_origins: settings.cors_origins.clone(),
            trial: Arc::new(Semaphore::new(1)),
        }
    }
}

pub(crate) type Routes = Vec<(&'static str, MethodRouter<ApiState>)>;

/// Routes that want no token.
fn open_routes() -> Routes {
    vec![
        ("/health", get(health::health)),
        ("/healthz", get(health::alive)),
        ("/readyz", get(health::ready)),
        ("/openapi.json", get(openapi::document)),
    ]
}

/// Routes that are answered at once, or after a wait of at most a second.
fn quick_routes() -> Routes {
    vec![
        ("/v1/jobs/{id}", put(jobs::put_job).get(jobs::get_job).delete(jobs::delete_job)),
        ("/v1/models", get(models::list)),
        ("/v1/models/{id}", get(models::one)),
        ("/metrics", get(health::metrics)),
    ]
}

/// Routes whose work is done while the caller waits.
fn direct_routes() -> Routes {
    vec![
        ("/v1/chat/completions", post(chat::complete)),
        ("/v1/rerank", post(rerank::rerank)),
        ("/rerank", post(rerank::rerank_either)),
        ("/v2/rerank", post(cohere::rerank_v2)),
        ("/v1/score", post(rerank::score)),
        ("/v1/embeddings", post(embeddings::embed)),
    ]
}

fn router_of(routes: Routes) -> Router<ApiState> {
    routes.into_iter().fold(Router::new(), |router, (path, method)| router.route(path, method))
}

/// The API of `engine`.
pub fn router(engine: ApiState) -> Router {
    let guarded = router_of(quick_routes())
        .layer(GlobalConcurrencyLimitLayer::new(MAX_CONCURRENT_REQUESTS))
        .merge(router_of(direct_routes()))
        .fallback(|| async { ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here") })
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(engine.max_body_bytes))
        .layer(middleware::from_fn_with_state(engine.token.clone(), auth::want_token));
    let metrics = Arc::clone(engine.backends.metrics());
    let cors = cors::layer(&engine.cors_origins);
    let router = router_of(open_routes())
        .method_not_allowed_fallback(wrong_method)
        .merge(guarded)
        .layer(middleware::from_fn(error::in_the_form_of_its_api))
        .layer(middleware::from_fn_with_state(metrics, observe))
        .with_state(engine);
    match cors {
        // Before everything else: a browser asks whether it may without showing the token.
        Some(cors) => router.layer(cors),
        None => router,
    }
}

async fn wrong_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not with this method")
}

/// Counts the request and how it ended. A handler whose answer is a stream keeps a copy of the request's
/// [`crate::metrics::Passage`] until the stream ends.
async fn observe(State(metrics): State<Arc<Metrics>>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str);
    let passage = metrics.request(method_name(request.method()), route);
    request.extensions_mut().insert(Arc::clone(&passage));
    let response = next.run(request).await;
    passage.answered(response.status().as_u16());
    if let Some(error) = response.extensions().get::<ApiError>() {
        metrics.error(error.code());
    }
    response
}

/// Callers can make up methods; labels are not theirs to make up.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// A JSON body that came in time and within the size limit.
pub struct Body<T>(T);

impl<T: DeserializeOwned> FromRequest<ApiState> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, engine: &ApiState) -> Result<Self, ApiError> {
        parse(&read_json(request, engine).await?).map(Self)
    }
}

/// Reads the body of a request. Errors name the field.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut json)?;
    json.end().map_err(|error| {
        let message = format!("the body is not JSON: {error}");
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", message)
    })?;
    Ok(parsed)
}

/// The body of a request that says that it is JSON.
async fn read_json(request: Request, engine: &ApiState) -> Result<Bytes, ApiError> {
    want_json(request.headers())?;
    let read = tokio::time::timeout(engine.reading_time, Bytes::from_request(request, &())).await;
    let late = |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body took too long to arrive");
    Ok(read.map_err(late)??)
}

fn want_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", "send Content-Type: application/json"))
}

/// Runs what touches the disk away from the threads that serve requests.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a request failed inside the engine");
        ApiError::internal()
    })
}
