//! `GET /health` and `GET /metrics`.

use super::{key_of, App};
use crate::{
    chain::now,
    refusal::{Kind, Refusal},
    store::day_of,
};
use axum::{
    extract::State,
    http::{header, HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    Json,
};
use serde_json::json;

/// `GET /health`.
pub async fn health(State(app): State<App>) -> Response {
    let block = app.desk.chain.catalogue().map(|catalogue| catalogue.at.number());
    let disk = app.desk.stored(move |store| store.spent_by_all(day_of(now()))).await.is_ok();
    let is_fine = block.is_some() && disk;
    let body = json!({
        "status": if is_fine { "ok" } else { "unavailable" },
        "node": if block.is_some() { "ok" } else { "does not answer" },
        "database": if disk { "ok" } else { "fails" },
        "block": block,
    });
    let status = if is_fine { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// `GET /metrics`.
pub async fn metrics(State(app): State<App>, headers: HeaderMap) -> Result<Response, Refusal> {
    if !key_of(&headers, &app).await?.limits.metrics {
        return Err(Refusal::new(
            Kind::Forbidden,
            "no_key_for_metrics",
            "this key is for requests; make one with `poq-gateway keys create --metrics`",
        ));
    }
    let (today, _) = app.desk.stored(move |store| store.spent_by_all(day_of(now()))).await?;
    app.metrics.set_spent(today);
    let text = app.metrics.text().map_err(|error| {
        tracing::error!(%error, "metrics cannot be written");
        Refusal::internal()
    })?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
