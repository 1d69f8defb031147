//! The HTTP API: the contract of [`poq_primitives::job`], what clients of OpenAI's API and of rerank servers know,
//! and what people and supervisors want to see.
//!
//! | call | answer |
//! |---|---|
//! | `PUT`, `GET`, `DELETE /v1/jobs/{id}` | see [`poq_primitives::job`] |
//! | `POST /v1/chat/completions` | an answer, at once or as it grows; see [`chat`] |
//! | `POST /v1/rerank`, `POST /rerank` | documents in the order of their scores; see [`rerank`] |
//! | `POST /v1/score` | scores of answers, raw and calibrated; see [`rerank`] |
//! | `GET /v1/models`, `GET /v1/models/{id}` | the models; see [`models`] |
//! | `GET /metrics` | counters for Prometheus. They tell what the engine is used for, so they want the token |
//! | `GET /health` | `200` while the engine takes requests, `503` once it stops; wants no token |
//! | `GET /openapi.json` | this API as OpenAPI 3.1; wants no token |
//!
//! Every error is `{"error":{"message":"…","type":"…","code":"…","param":null}}`, which clients of OpenAI's API read
//! as theirs: `400` malformed or not to be done (or the model's process died under this very request before), `401` no or wrong token, `404`, `405`, `408` the body came too slowly,
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
pub mod direct;
pub mod error;
mod features;
pub mod health;
mod jobs;
pub mod models;
pub mod openapi;
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
use error::{ApiError, Code};
use serde::{
    de::{DeserializeOwned, Error as _},
    Deserialize, Deserializer,
};
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
    /// Who does the work.
    pub backends: Arc<Backends>,
    /// What callers must show.
    pub token: Token,
    /// Set when the engine begins to stop: no new work is taken.
    pub closing: Cancel,
    /// Set when requests under way have had their time to end: those left are cut off.
    pub drained: Cancel,
    /// Places for requests that are no jobs.
    places: Arc<Semaphore>,
    job_time: Duration,
    /// How long a body may take to arrive.
    reading_time: Duration,
    max_body_bytes: usize,
}

impl ApiState {
    /// What `settings` say of it is the time that work may take, how much is taken at once, and how large a body may
    /// be.
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
        }
    }
}

pub(crate) type Routes = Vec<(&'static str, MethodRouter<ApiState>)>;

/// What everybody may ask.
fn open_routes() -> Routes {
    vec![("/health", get(health::health)), ("/openapi.json", get(openapi::document))]
}

/// What is answered at once, or after a wait of a second.
fn quick_routes() -> Routes {
    vec![
        ("/v1/jobs/{id}", put(jobs::put_job).get(jobs::get_job).delete(jobs::delete_job)),
        ("/v1/models", get(models::list)),
        ("/v1/models/{id}", get(models::one)),
        ("/metrics", get(health::metrics)),
    ]
}

/// What is worked on while the caller waits.
fn direct_routes() -> Routes {
    vec![
        ("/v1/chat/completions", post(chat::complete)),
        ("/v1/rerank", post(rerank::rerank)),
        ("/rerank", post(rerank::rerank_either)),
        ("/v1/score", post(rerank::score)),
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
    router_of(open_routes())
        .method_not_allowed_fallback(wrong_method)
        .merge(guarded)
        .layer(middleware::from_fn_with_state(metrics, observe))
        .with_state(engine)
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
    if let Some(Code(code)) = response.extensions().get() {
        metrics.error(code);
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
        let bytes = read_json(request, engine).await?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", error))
    }
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

/// A whole number that a request may leave out. JSON knows no integers: to some clients 5.0 is one.
fn whole<'de, D: Deserializer<'de>, T: TryFrom<i64>>(field: D) -> Result<Option<T>, D::Error> {
    let refused = || D::Error::custom("expected a whole number in the range of this field");
    // Beyond this, numbers of this type are no longer exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let Some(number) = Option::<serde_json::Number>::deserialize(field).map_err(|_| refused())? else {
        return Ok(None);
    };
    let real = || number.as_f64().filter(|real| real.fract() == 0.0 && real.abs() <= EXACT);
    let number = number.as_i64().or_else(|| real().map(|real| real as i64)).ok_or_else(refused)?;
    T::try_from(number).map(Some).map_err(|_| refused())
}
