//! `GET /v1/requests`: what a key ordered, with answers. A caller that went away fetches its answer here.

use super::{say, App, Caller};
use crate::{
    order::{Outcome, Record},
    refusal::{Kind, Refusal},
};
use axum::{
    extract::{rejection::QueryRejection, Path, Query, State},
    Json,
};
use serde::Deserialize;
use serde_json::{json, Value};

/// Orders of a list if nothing is said.
const USUAL: u32 = 20;

/// Most orders of a list.
const MOST: u32 = 100;

/// Which orders.
#[derive(Debug, Deserialize)]
pub struct Which {
    /// The one with this idempotency key.
    idempotency_key: Option<String>,
    /// The newest, so many.
    limit: Option<u32>,
}

/// `GET /v1/requests`.
pub async fn list(
    State(app): State<App>,
    Caller(key): Caller,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let Query(which) = which?;
    let limit = which.limit.unwrap_or(USUAL).clamp(1, MOST);
    let records = app
        .desk
        .stored(move |store| match which.idempotency_key {
            Some(idempotency) => Ok(store.order_by_idempotency(&key.id, &idempotency)?.into_iter().collect()),
            None => store.orders_of(&key.id, limit),
        })
        .await?;
    let data: Vec<Value> = records.iter().map(|record| to_json(&app, record)).collect();
    Ok(Json(json!({ "object": "list", "data": data })))
}

/// `GET /v1/requests/{id}`.
pub async fn one(
    State(app): State<App>,
    Caller(key): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let wanted = id.clone();
    let record = app.desk.stored(move |store| store.order(&wanted)).await?;
    // Another key's order is no business of this one.
    let record = record.filter(|record| record.key == key.id);
    record.map(|record| Json(to_json(&app, &record))).ok_or_else(|| {
        Refusal::new(
            Kind::NotFound,
            "request_not_found",
            format!("this key has no request '{id}'; answers are kept for some days only"),
        )
    })
}

fn to_json(app: &App, record: &Record) -> Value {
    let (response, error) = match record.outcome.as_ref().map(|outcome| say::completion(record, outcome)) {
        Some(Ok(response)) => (Some(response), None),
        Some(Err(refusal)) => (None, refusal.body().get("error").cloned()),
        None => (None, None),
    };
    let phase = app.desk.board.follow(&record.id).and_then(|news| news.borrow().phase);
    json!({
        "id": record.id,
        "object": "poq.request",
        "created": record.accepted / 1000,
        "state": record.outcome.as_ref().map_or("open", Outcome::name),
        "phase": phase,
        "finalized": record.is_final,
        "request": record.place.map(|place| place.request),
        "response": response,
        "error": error,
    })
}
