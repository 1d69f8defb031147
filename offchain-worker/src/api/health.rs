//! How the engine is.

use super::{
    error::{ApiError, ErrorBody},
    schemas::TokenErrors,
    ApiState,
};
use axum::{
    extract::State,
    http::{header, StatusCode},
    response::{IntoResponse as _, Response},
    Json,
};
use serde::{Deserialize, Serialize};

/// Prometheus's text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answer of `GET /health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// Version of the engine.
    pub version: String,
}

/// Whether the engine takes requests.
#[utoipa::path(get, path = "/health", tag = "engine", security(()), responses(
    (status = 200, description = "The engine takes requests.", body = Health),
    (status = 503, description = "The engine is stopping.", body = ErrorBody),
))]
pub async fn health(State(engine): State<ApiState>) -> Result<Json<Health>, ApiError> {
    if engine.closing.is_set() {
        return Err(ApiError::stopping());
    }
    Ok(Json(Health { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }))
}

/// Counters in Prometheus's text format.
#[utoipa::path(get, path = "/metrics", tag = "engine", responses(
    (status = 200, description = "The counters.", body = String, content_type = "text/plain"),
    TokenErrors,
))]
pub async fn metrics(State(engine): State<ApiState>) -> Result<Response, ApiError> {
    let metrics = engine.backends.metrics();
    metrics.set_jobs(engine.queue.depth());
    metrics.set_models(engine.backends.pool().used());
    let text = metrics.text().map_err(|error| {
        tracing::error!(%error, "the metrics cannot be written");
        ApiError::internal()
    })?;
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response())
}
