//! State of the engine: whether its process lives (`/healthz`), whether it can do work (`/readyz`), and both in one answer
//! (`/health`), for those who ask only once.
//!
//! A model is known to be usable once it was loaded. As long as none is, and one was never tried, these calls load the smallest of
//! those, and wait a moment for what comes of it.

use super::{
    blocking,
    error::{ApiError, ErrorBody},
    models::{all, Usability},
    schemas::TokenErrors,
    ApiState,
};
use crate::{models::shelf::Entry, text};
use axum::{
    extract::State,
    http::{header, StatusCode},
    response::{IntoResponse as _, Response},
    Json,
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// Prometheus's text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Longest wait for a model that is loaded to see whether it can be.
const TRIAL_PATIENCE: Duration = Duration::from_secs(2);

/// Most unusable models that are named.
const MOST_NAMED: usize = 64;

/// Answer of `GET /health` and `GET /healthz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// Version of the engine.
    pub version: String,
}

/// Answer of `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Ready {
    /// Whether work can be done.
    pub status: Readiness,
    /// Number of models that were loaded, or whose server answers.
    #[schema(minimum = 0)]
    pub usable: usize,
    /// Number of models that were never tried.
    #[schema(minimum = 0)]
    pub untried: usize,
    /// Models that cannot be used, by name, at most 64.
    pub unusable: Vec<Unusable>,
}

/// Whether work can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// At least one model is usable.
    Ready,
    /// A model is being tried.
    Trying,
    /// There are models, and none can be used.
    NoUsableModel,
    /// There is no model.
    NoModel,
    /// The engine is stopping.
    Stopping,
}

/// A model that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Unusable {
    /// Its name.
    pub id: String,
    /// Why, in one line.
    pub error: String,
}

/// Whether the engine takes requests and may be able to do work.
#[utoipa::path(get, path = "/health", tag = "engine", security(()), responses(
    (status = 200, description = "The engine takes requests.", body = Health),
    (status = 503, description = "The engine is stopping, or there are models and none can be used.", body = ErrorBody),
))]
pub async fn health(State(engine): State<ApiState>) -> Result<Json<Health>, ApiError> {
    let ready = look(&engine).await?;
    match ready.status {
        Readiness::Ready | Readiness::Trying | Readiness::NoModel => Ok(Json(well())),
        Readiness::Stopping => Err(ApiError::stopping()),
        Readiness::NoUsableModel => {
            let names: Vec<_> = ready.unusable.iter().map(|model| model.id.as_str()).collect();
            let message = format!("no model can be used; GET /readyz says why: {}", names.join(", "));
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "no_usable_model", message))
        }
    }
}

/// Whether the process lives. Whoever gets no answer may start it anew.
#[utoipa::path(get, path = "/healthz", tag = "engine", security(()), responses(
    (status = 200, description = "The process lives.", body = Health),
))]
pub async fn alive() -> Json<Health> {
    Json(well())
}

/// Whether the engine can do work: at least one model is usable.
#[utoipa::path(get, path = "/readyz", tag = "engine", security(()), responses(
    (status = 200, description = "At least one model is usable.", body = Ready),
    (status = 503, description = "No model is usable, or the engine is stopping.", body = Ready),
))]
pub async fn ready(State(engine): State<ApiState>) -> Result<(StatusCode, Json<Ready>), ApiError> {
    let ready = look(&engine).await?;
    let status = match ready.status {
        Readiness::Ready => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok((status, Json(ready)))
}

fn well() -> Health {
    Health { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}

/// State of the models. Before any state is known, one model is tried.
async fn look(engine: &ApiState) -> Result<Ready, ApiError> {
    let (ready, untried) = known(engine).await?;
    let Some(smallest) = untried.into_iter().min_by_key(|entry| entry.bytes) else { return Ok(ready) };
    if ready.usable > 0 || ready.status == Readiness::Stopping {
        return Ok(ready);
    }
    if let Ok(permit) = Arc::clone(&engine.trial).try_acquire_owned() {
        let pool = Arc::clone(engine.backends.pool());
        let trial = tokio::spawn(async move {
            let _permit = permit;
            // The pool remembers the result.
            let _outcome = pool.load(&smallest).await;
        });
        let _ended_or_late = tokio::time::timeout(TRIAL_PATIENCE, trial).await;
    }
    Ok(known(engine).await?.0)
}

/// State of the models, and the models of this machine that were never tried.
async fn known(engine: &ApiState) -> Result<(Ready, Vec<Arc<Entry>>), ApiError> {
    let engine = engine.clone();
    blocking(move || known_of(&engine)).await
}

fn known_of(engine: &ApiState) -> (Ready, Vec<Arc<Entry>>) {
    let (mut usable, mut unknown): (usize, usize) = (0, 0);
    let (mut untried, mut unusable) = (Vec::new(), Vec::new());
    for model in all(engine) {
        match model.usability(&engine.backends) {
            Usability::Proven => usable = usable.saturating_add(1),
            Usability::Untried(entry) => {
                unknown = unknown.saturating_add(1);
                untried.extend(entry);
            }
            Usability::No(error) => {
                unusable.push(Unusable { id: model.name().to_owned(), error: text::message(&error) });
            }
        }
    }
    let status = match (usable, unknown, unusable.len()) {
        _ if engine.closing.is_set() => Readiness::Stopping,
        (0, 0, 0) => Readiness::NoModel,
        (0, 0, _) => Readiness::NoUsableModel,
        (0, _, _) => Readiness::Trying,
        _ => Readiness::Ready,
    };
    unusable.truncate(MOST_NAMED);
    (Ready { status, usable, untried: unknown, unusable }, untried)
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
