//! The HTTP API. Everything is public on the chain, so nobody needs a key, and pages of any origin may read it.
//!
//! | call | answer |
//! |---|---|
//! | `GET /v1/status` | how far the history is |
//! | `GET /v1/requests`, `GET /v1/requests/{id}` | requests, also those that the chain has forgotten |
//! | `GET /v1/operators/{account}` | an operator's days, and what happened to it |
//! | `GET /v1/models`, `GET /v1/models.csv` | generators ranked by duels, by evaluator |
//! | `GET /v1/events` | ends of requests as they become final, as server-sent events |
//! | `GET /openapi.json` | this API as an OpenAPI 3.1 document |
//! | `GET /health`, `GET /metrics` | for operators |
//! | `GET /` | the page for browsers, if it is served |
//!
//! Every error is `{"error":{"message":"…","code":"…"}}`.

mod error;
mod events;
mod models;
mod openapi;
mod operators;
mod requests;
mod status;

use crate::{follow::Progress, metrics::Metrics, store::Store};
use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
    Router,
};
use error::Refusal;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{watch, Semaphore};
use tower_http::cors::{Any, CorsLayer};

/// Longest time that a browser remembers the answer to its preflight request.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// Streams of events at a time.
const STREAMS: usize = 1_000;

/// The state that all routes share.
#[derive(Clone)]
pub struct App {
    /// The database.
    pub store: Store,
    /// How far it is.
    pub progress: watch::Receiver<Progress>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    streams: Arc<Semaphore>,
    rankings: models::Cache,
}

impl App {
    /// The state of a history.
    pub fn new(store: Store, progress: watch::Receiver<Progress>, metrics: Arc<Metrics>) -> Self {
        Self {
            store,
            progress,
            metrics,
            streams: Arc::new(Semaphore::new(STREAMS)),
            rankings: models::Cache::default(),
        }
    }
}

/// Address of this API for a page on the same server.
const HISTORY: &str = "v1/";

/// The API, and the page that asks the node at `page`.
pub fn router(app: App, page: Option<&str>) -> Router {
    let routes = Router::new()
        .route("/v1/status", get(status::status))
        .route("/v1/requests", get(requests::list))
        .route("/v1/requests/{id}", get(requests::one))
        .route("/v1/operators/{account}", get(operators::one))
        .route("/v1/models", get(models::list))
        .route("/v1/models.csv", get(models::csv))
        .route("/v1/events", get(events::stream))
        .route("/openapi.json", get(openapi::document))
        .route("/health", get(status::health))
        .route("/metrics", get(status::metrics));
    let routes = match page {
        Some(endpoint) => routes.fallback_service(
            poq_web::router(endpoint, Some(HISTORY)).layer(middleware::map_response(file_or_nothing)),
        ),
        None => routes.fallback(nothing),
    };
    routes
        .method_not_allowed_fallback(|| async { Refusal::method() })
        .layer(CorsLayer::new().allow_origin(Any).allow_methods([Method::GET]).max_age(MAX_AGE))
        .layer(middleware::from_fn_with_state(app.clone(), count))
        .with_state(app)
}

async fn nothing() -> Refusal {
    Refusal::not_found("there is nothing here; /openapi.json lists what there is")
}

/// A file of the page. What it has not is answered as the API does.
async fn file_or_nothing(response: Response) -> Response {
    if response.status().is_client_error() {
        nothing().await.into_response()
    } else {
        response
    }
}

async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    // Callers can make up paths; labels are not theirs to make up.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    app.metrics.http.with_label_values(&[&*route, response.status().as_str()]).inc();
    app.metrics.http_seconds.with_label_values(&[&*route]).observe(begun.elapsed().as_secs_f64());
    response
}
