//! `GET /v1/operators/{account}`.

use super::{error::ErrorBody, App, Refusal};
use crate::store::{DayOf, Happened};
use axum::{
    extract::{rejection::PathRejection, Path, State},
    Json,
};
use serde::Serialize;
use serde_json::value::RawValue;

/// Days that are told.
const DAYS: u32 = 366;

/// Happenings that are told.
const HAPPENINGS: u32 = 100;

/// An operator's work as the history has it.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Operator {
    /// Its account.
    operator: String,
    /// Days (UTC) on which it worked, the newest first; at most 366.
    days: Vec<Day>,
    /// The operator's slashes, compensations and audits, the newest first; at most 100.
    happenings: Vec<Happening>,
}

/// An operator's day.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Day {
    /// Its beginning, in milliseconds since 1970.
    millis: i64,
    /// Answers that it showed.
    answers: i64,
    /// Mean quality of those that were scored, 0 to 1.
    quality: Option<f64>,
    /// Requests whose answers it scored.
    scores: i64,
    /// Mean agreement with the scores of others, 0 to 1.
    agreement: Option<f64>,
    /// Duties that it missed.
    missed: i64,
    /// Units that it earned, compensation among them.
    earned: String,
    /// Units of stake that were taken.
    slashed: String,
}

/// Something that happened beside duties.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Happening {
    /// The block.
    block: u64,
    /// Its time, in milliseconds since 1970.
    millis: i64,
    /// `slashed`, `compensated`, `audited` or `audit_revealed`.
    kind: String,
    /// The operator; null where it happened to the request.
    operator: Option<String>,
    /// The request.
    request: Option<u64>,
    /// `amount` in units; `reason` of a slash; `error` (0 to 1) of an audited operator; `reference` and `truth` of an audit.
    #[schema(value_type = Object)]
    detail: Box<RawValue>,
}

impl From<Happened> for Happening {
    fn from(happened: Happened) -> Self {
        let Happened { block, millis, kind, operator, request, detail } = happened;
        Self { block, millis, kind, operator, request, detail }
    }
}

impl From<DayOf> for Day {
    fn from(day: DayOf) -> Self {
        let mean = |sum: i64, number: i64| (number > 0).then(|| sum as f64 / number as f64 / 1e6);
        Self {
            millis: day.day.saturating_mul(86_400_000),
            answers: day.answers,
            quality: mean(day.quality, day.scored),
            scores: day.scores,
            agreement: mean(day.agreement, day.agreed),
            missed: day.missed,
            earned: day.earned.to_string(),
            slashed: day.slashed.to_string(),
        }
    }
}

/// An operator, day by day.
#[utoipa::path(get, path = "/v1/operators/{account}", tag = "history",
    params(("account" = String, Path, description = "Its address.")),
    responses((status = 200, body = Operator), (status = 404, description = "It has never worked.", body = ErrorBody)))]
pub async fn one(
    State(app): State<App>,
    account: Result<Path<String>, PathRejection>,
) -> Result<Json<Operator>, Refusal> {
    let Path(operator) = account?;
    let days = app.store.days(&operator, DAYS).await?;
    let happenings = app.store.happened_to(&operator, HAPPENINGS).await?;
    if days.is_empty() && happenings.is_empty() {
        return Err(Refusal::not_found(format!("no operator {operator} has worked in this history")));
    }
    Ok(Json(Operator {
        operator,
        days: days.into_iter().map(Day::from).collect(),
        happenings: happenings.into_iter().map(Happening::from).collect(),
    }))
}
