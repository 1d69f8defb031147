//! `GET /v1/status`, `GET /health`, `GET /metrics`.

use super::{App, Refusal};
use crate::follow::Progress;
use axum::{
    extract::State,
    http::{header, StatusCode},
    response::{IntoResponse, Response},
    Json,
};
use serde::Serialize;

/// How far the history is.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Status {
    /// Hash of the chain's genesis block; null before the node has answered for the first time.
    genesis: Option<String>,
    /// First block that was read.
    first: Option<u64>,
    /// The newest block that was read.
    block: Option<u64>,
    /// Its time, in milliseconds since 1970.
    millis: Option<i64>,
    /// Newest finalized block of the node, as far as is known.
    finalized: u64,
    /// Finalized blocks that are not read yet.
    behind: u64,
    /// Whether the node answers.
    connected: bool,
}

impl Status {
    fn of(progress: &Progress) -> Self {
        let cursor = progress.cursor.as_ref();
        Self {
            genesis: cursor.map(|cursor| cursor.genesis.clone()),
            first: cursor.map(|cursor| cursor.first),
            block: cursor.map(|cursor| cursor.number),
            millis: cursor.map(|cursor| cursor.millis),
            finalized: progress.finalized,
            behind: progress.behind(),
            connected: progress.connected,
        }
    }
}

/// How far the history is.
#[utoipa::path(get, path = "/v1/status", tag = "history", responses((status = 200, body = Status)))]
pub async fn status(State(app): State<App>) -> Json<Status> {
    Json(Status::of(&app.progress.borrow()))
}

/// 200 while node and database answer.
#[utoipa::path(get, path = "/health", tag = "operation", responses(
    (status = 200, description = "Node and database answer.", body = Status),
    (status = 503, description = "One of them does not.", body = Status),
))]
pub async fn health(State(app): State<App>) -> Response {
    let disk = app.store.check().await;
    if let Err(error) = &disk {
        tracing::error!(%error, "the database does not answer");
    }
    let status = Status::of(&app.progress.borrow());
    let code =
        if status.connected && disk.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(status)).into_response()
}

/// Counters for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses((status = 200, content_type = "text/plain", body = String)))]
pub async fn metrics(State(app): State<App>) -> Result<Response, Refusal> {
    let text = app.metrics.text().map_err(Refusal::internal)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
