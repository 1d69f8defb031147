//! The HTTP API.
//!
//! | call | answer |
//! |---|---|
//! | `POST /v1/chat/completions`, `POST /v1/completions` | an answer of the network, at once or as a stream; see [`complete`] |
//! | `GET /v1/models`, `GET /v1/models/{id}` | the registry; see [`models`] |
//! | `GET /v1/requests`, `GET /v1/requests/{id}` | the key's orders, with answers; see [`requests`] |
//! | `GET /v1/receipts/{number}` | proof of a request's outcome |
//! | `GET /metrics` | counters for Prometheus; wants a key for metrics |
//! | `GET /` | the page for browsers, if it is served |
//! | `GET /health` | `200` while the node answers and blocks come; wants no key |
//!
//! Every error is `{"error":{"message":"…","type":"…","code":"…","param":…}}`. One that has `poq` in it is about a request that was taken.

mod complete;
mod error;
mod features;
mod forms;
mod health;
mod models;
mod receipts;
mod requests;
mod say;

use crate::{
    desk::{unauthorized, Desk},
    keys::Key,
    metrics::Metrics,
    refusal::{Kind, Refusal},
};
use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, FromRequestParts, MatchedPath, Request, State},
    http::{header, request::Parts, HeaderMap, Method},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
    Router,
};
use error::Told;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// Largest body, in bytes. The chain takes far shorter conversations.
const LARGEST_BODY: usize = 1 << 20;

/// Longest time for a body to arrive.
const READING: Duration = Duration::from_secs(30);

/// Receipts that are made at a time.
const RECEIPTS: usize = 4;

/// Longest time that a browser remembers the answer to its preflight request.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// The state that all routes share.
#[derive(Clone)]
pub struct App {
    /// The desk.
    pub desk: Arc<Desk>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Longest wait for an answer if the caller names none.
    pub patience: Duration,
    /// Whether prompts and answers go to the log.
    pub log_prompts: bool,
    receipts: Arc<Semaphore>,
}

impl App {
    /// The state of a gateway.
    pub fn new(desk: Arc<Desk>, metrics: Arc<Metrics>, patience: Duration, log_prompts: bool) -> Self {
        Self { desk, metrics, patience, log_prompts, receipts: Arc::new(Semaphore::new(RECEIPTS)) }
    }
}

/// The API, and the page that asks the node at `page`.
pub fn router(app: App, cors_origins: &[String], page: Option<&str>) -> Router {
    let routes = Router::new()
        .route("/v1/chat/completions", post(complete::chat))
        .route("/v1/completions", post(complete::text))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route("/v1/requests", get(requests::list))
        .route("/v1/requests/{id}", get(requests::one))
        .route("/v1/receipts/{number}", get(receipts::one))
        .route("/metrics", get(health::metrics))
        .route("/health", get(health::health));
    let routes = match page {
        Some(endpoint) => routes.fallback_service(
            poq_web::router(endpoint, None).layer(middleware::map_response(file_or_nothing)),
        ),
        None => routes.fallback(nothing),
    };
    let router = routes
        .method_not_allowed_fallback(|| async {
            Refusal::new(Kind::Method, "method_not_allowed", "not with this method")
        })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(app.clone(), observe))
        .with_state(app);
    if cors_origins.is_empty() {
        return router;
    }
    let allowed = match cors_origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(cors_origins.iter().filter_map(|origin| origin.parse().ok())),
    };
    // Before everything else: a browser asks whether it may without showing a key.
    router.layer(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST])
            // Clients' libraries send headers of their own.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([header::RETRY_AFTER, complete::ORDER])
            .max_age(MAX_AGE),
    )
}

async fn nothing() -> Refusal {
    Refusal::new(Kind::NotFound, "not_found", "there is nothing here")
}

/// A file of the page. What it has not is answered as the API does: a client may have left out a part of the path.
async fn file_or_nothing(response: Response) -> Response {
    if response.status().is_client_error() {
        nothing().await.into_response()
    } else {
        response
    }
}

/// Counts requests and errors.
async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    // Callers can make up methods; labels are not theirs to make up.
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        _ => "other",
    };
    let response = next.run(request).await;
    app.metrics.http.with_label_values(&[method, &route, response.status().as_str()]).inc();
    app.metrics.http_seconds.with_label_values(&[&route]).observe(begun.elapsed().as_secs_f64());
    if let Some(Told(code)) = response.extensions().get() {
        app.metrics.errors.with_label_values(&[code]).inc();
    }
    response
}

/// The key that the caller shows, which may ask.
pub struct Caller(pub Key);

impl FromRequestParts<App> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let key = key_of(&parts.headers, app).await?;
        if key.limits.metrics {
            return Err(Refusal::new(
                Kind::Forbidden,
                "key_for_metrics",
                "this key is for /metrics alone; use another one",
            ));
        }
        Ok(Self(key))
    }
}

/// The key that the caller shows.
async fn key_of(headers: &HeaderMap, app: &App) -> Result<Key, Refusal> {
    let offered = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = offered
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim().to_owned());
    let key = bearer.ok_or_else(unauthorized)?;
    app.desk.stored(move |store| store.find_key(&key)).await?.ok_or_else(unauthorized)
}

/// A body that says that it is JSON.
pub struct JsonBody(pub Bytes);

impl FromRequest<App> for JsonBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &App) -> Result<Self, Refusal> {
        let kind = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Refusal::new(Kind::NotJson, "not_json", "send Content-Type: application/json"));
        }
        let bytes = tokio::time::timeout(READING, Bytes::from_request(request, &()))
            .await
            .map_err(|_| Refusal::new(Kind::Slow, "too_slow", "the body took too long to arrive"))??;
        Ok(Self(bytes))
    }
}
