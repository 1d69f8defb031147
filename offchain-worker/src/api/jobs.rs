//! `/v1/jobs`: the contract of [`poq_primitives::job`].

use super::{
    blocking,
    error::{ApiError, ErrorBody},
    read_json,
    schemas::{JobErrors, TokenErrors},
    ApiState,
};
use crate::{job_id::JobId, queue::Ticket, store::now_ms};
use axum::{
    extract::{
        rejection::{PathRejection, QueryRejection},
        Path, Query, Request, State,
    },
    http::StatusCode,
    response::{IntoResponse as _, Response},
    Json,
};
use poq_primitives::job::{Job, JobStatus, MAX_DEADLINE_MS, MAX_WAIT_MS};
use serde::Deserialize;
use std::{num::NonZeroU64, sync::Arc, time::Duration};

/// Query of the call that asks where a job stands.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wait {
    /// Milliseconds that the answer may be held until the job is finished; counts as 1000 at most.
    #[serde(default)]
    #[param(maximum = 18446744073709551615u64, format = "uint64")]
    wait_ms: u64,
}

/// Query of the call that brings a job.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Ask {
    /// Milliseconds that the answer may be held until the job is finished; counts as 1000 at most.
    #[serde(default)]
    #[param(maximum = 18446744073709551615u64, format = "uint64")]
    wait_ms: u64,
    /// Milliseconds from now after which the result is of no use; counts as 86400000 (24 hours) at most. A job that
    /// waits or runs then fails with `deadline_exceeded`. Jobs with the earliest deadline go first. The same job again
    /// with a deadline gets that one; without one it keeps its own. A job that missed its deadline is queued anew.
    #[serde(default)]
    #[param(minimum = 1, maximum = 18446744073709551615u64, format = "uint64", value_type = u64)]
    deadline_ms: Option<NonZeroU64>,
}

/// Takes a job. The same id with the same job again does the work once.
#[utoipa::path(
    put,
    path = "/v1/jobs/{id}",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "The job's id", pattern = "^[0-9a-f]{64}$",
         example = "00000000000000000000000000000000000000000000000000000000000000a1"),
        Ask
    ),
    request_body = Job,
    responses(
        (status = 200, description = "The job is finished.", body = JobStatus),
        (status = 202, description = "The job is taken.", body = JobStatus),
        JobErrors,
    ),
)]
pub async fn put_job(
    State(engine): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
    ask: Result<Query<Ask>, QueryRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let (id, (wait, deadline_ms)) = (parse_id(id)?, parse_ask(ask)?);
    let job = parse_job(&read_json(request, &engine).await?)?;
    let queue = Arc::clone(&engine.queue);
    let ticket = blocking(move || queue.submit(id, job, deadline_ms)).await??;
    let ticket = hold(&engine, id, ticket, wait).await?;
    let status = if ticket.unfinished.is_none() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(ticket.status)).into_response())
}

/// State of a job.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "The job's id", pattern = "^[0-9a-f]{64}$",
         example = "00000000000000000000000000000000000000000000000000000000000000a1"),
        Wait
    ),
    responses(
        (status = 200, description = "Where the job stands.", body = JobStatus),
        (status = 400, description = "The id or the query is malformed.", body = ErrorBody),
        (status = 404, description = "The id is unknown.", body = ErrorBody),
        TokenErrors,
    ),
)]
pub async fn get_job(
    State(engine): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Response, ApiError> {
    let (id, wait) = (parse_id(id)?, parse_wait(wait)?);
    let ticket = look_up(&engine, id).await?;
    let ticket = hold(&engine, id, ticket, wait).await?;
    Ok(Json(ticket.status).into_response())
}

/// Cancels a job and forgets it; an unknown one is fine.
#[utoipa::path(
    delete,
    path = "/v1/jobs/{id}",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "The job's id", pattern = "^[0-9a-f]{64}$",
         example = "00000000000000000000000000000000000000000000000000000000000000a1"),
    ),
    responses(
        (status = 204, description = "The job is cancelled and forgotten."),
        (status = 400, description = "The id is malformed.", body = ErrorBody),
        TokenErrors,
    ),
)]
pub async fn delete_job(
    State(engine): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let id = parse_id(id)?;
    blocking(move || engine.queue.delete(id)).await??;
    Ok(StatusCode::NO_CONTENT)
}

fn parse_wait(wait: Result<Query<Wait>, QueryRejection>) -> Result<Duration, ApiError> {
    let Query(Wait { wait_ms }) = wait.map_err(|_| {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", "wait_ms is a number of milliseconds")
    })?;
    Ok(longest_wait(wait_ms))
}

/// Longest time that the answer is held, and the job's deadline in milliseconds since 1970.
fn parse_ask(ask: Result<Query<Ask>, QueryRejection>) -> Result<(Duration, Option<u64>), ApiError> {
    let Query(Ask { wait_ms, deadline_ms }) = ask.map_err(|rejection| {
        let refused = rejection.body_text();
        let message =
            format!("{refused}; send wait_ms and deadline_ms as whole milliseconds, deadline_ms at least 1");
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", message)
    })?;
    let deadline = |ms: NonZeroU64| now_ms().saturating_add(ms.get().min(MAX_DEADLINE_MS));
    Ok((longest_wait(wait_ms), deadline_ms.map(deadline)))
}

fn longest_wait(wait_ms: u64) -> Duration {
    Duration::from_millis(wait_ms.min(MAX_WAIT_MS))
}

fn parse_id(id: Result<Path<String>, PathRejection>) -> Result<JobId, ApiError> {
    let Path(id) = id?;
    id.parse().map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, "invalid_id", error))
}

fn parse_job(body: &[u8]) -> Result<Job, ApiError> {
    serde_json::from_slice(body).map_err(|error| match error.is_data() {
        true => ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_job", error),
        false => ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", error),
    })
}

/// Holds the answer until the job is finished or the time is over; the ticket as it is then.
async fn hold(engine: &ApiState, id: JobId, ticket: Ticket, wait: Duration) -> Result<Ticket, ApiError> {
    let Some(mut unfinished) = ticket.unfinished.clone().filter(|_| !wait.is_zero()) else {
        return Ok(ticket);
    };
    let _finished_or_late = tokio::time::timeout(wait, unfinished.changed()).await;
    look_up(engine, id).await
}

async fn look_up(engine: &ApiState, id: JobId) -> Result<Ticket, ApiError> {
    let queue = Arc::clone(&engine.queue);
    let ticket = blocking(move || queue.ticket(id)).await??;
    ticket.ok_or_else(|| {
        ApiError::new(StatusCode::NOT_FOUND, "unknown_job", "this engine does not know the job")
    })
}
