//! `GET /v1/requests` and `GET /v1/requests/{id}`.

use super::{error::ErrorBody, operators::Happening, App, Refusal};
use crate::store::{Page, Which};
use axum::{
    extract::{
        rejection::{PathRejection, QueryRejection},
        Path, Query, State,
    },
    Json,
};
use poq_client::types::Phase;
use serde::{Deserialize, Serialize};
use serde_json::{value::RawValue, Value};

/// Requests of a page if nothing is said.
const USUAL: u32 = 20;

/// Most requests of a page.
const MOST: u32 = 100;

/// Which requests.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// `settled`, `refunded`, or `requested`: a request that has not ended stays as it was made.
    state: Option<String>,
    /// Of this account.
    requester: Option<String>,
    /// That this operator has worked for, and that have ended.
    operator: Option<String>,
    /// That this model has worked for, and that have ended: SHA-256 of its file in hex.
    model: Option<String>,
    /// With a smaller number than this: the `next` of the page before.
    before: Option<u64>,
    /// At most so many; 1 to 100.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// A page of requests, the newest first.
#[derive(Serialize, utoipa::ToSchema)]
pub struct List {
    /// Each as an object of `poq requests --json`, and `times`: `created` and `closed` in milliseconds since 1970.
    #[schema(value_type = Vec<Object>)]
    data: Vec<Box<RawValue>>,
    /// `before` of the next page; null on the last.
    next: Option<u64>,
}

/// Requests, the newest first.
#[utoipa::path(get, path = "/v1/requests", tag = "history", params(Wanted), responses(
    (status = 200, body = List),
    (status = 400, description = "A filter that cannot be meant.", body = ErrorBody),
))]
pub async fn list(
    State(app): State<App>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<List>, Refusal> {
    let Query(wanted) = wanted?;
    let limit = wanted.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Refusal::invalid(format!("'limit' must be 1 to {MOST}")));
    }
    if let Some(state) = wanted.state.as_deref().filter(|state| !is_state(state)) {
        return Err(Refusal::invalid(format!("no request is '{state}': settled, refunded or requested")));
    }
    let which = Which {
        state: wanted.state,
        requester: wanted.requester,
        operator: wanted.operator,
        model: wanted.model.map(|model| model.trim_start_matches("0x").to_ascii_lowercase()),
    };
    // One more tells whether there is a next page.
    let page = Page { before: wanted.before, limit: limit.saturating_add(1) };
    let mut found = app.store.requests(&which, page).await?;
    let is_last = found.len() <= limit as usize;
    found.truncate(limit as usize);
    let next = if is_last { None } else { found.last().map(|(id, _)| *id) };
    Ok(Json(List { data: found.into_iter().map(|(_, summary)| summary).collect(), next }))
}

fn is_state(name: &str) -> bool {
    let reason = poq_client::types::RefundReason::Busy;
    let states = [Phase::Settled { at: 0, best: 0 }, Phase::Refunded { at: 0, reason }, Phase::Requested];
    states.iter().any(|state| state.name() == name)
}

/// One request with all that was ever known of it.
#[utoipa::path(get, path = "/v1/requests/{id}", tag = "history",
    params(("id" = u64, Path, description = "Its number.")),
    responses(
        (status = 200, body = Object, description = "The object of `poq request --json`, and `times`: `created` and `closed` in \
            milliseconds since 1970, and `happenings`: what happened after its end, as in an operator's answer."),
        (status = 404, description = "There is none.", body = ErrorBody),
    ))]
pub async fn one(
    State(app): State<App>,
    id: Result<Path<u64>, PathRejection>,
) -> Result<Json<Value>, Refusal> {
    let Path(id) = id?;
    let none = || Refusal::not_found(format!("there is no request {id} in this history"));
    let detail = app.store.request(id).await?.ok_or_else(none)?;
    let mut detail: Value = serde_json::from_str(&detail).map_err(Refusal::internal)?;
    let happened: Vec<Happening> =
        app.store.happened_in(id).await?.into_iter().map(Happening::from).collect();
    if let Some(fields) = detail.as_object_mut() {
        fields.insert("happenings".into(), serde_json::to_value(happened).map_err(Refusal::internal)?);
    }
    Ok(Json(detail))
}
