//! Work that is done while the caller waits: who gets a place, how long it may take, how it ends.

use super::{error::ApiError, ApiState};
use crate::{limits::Unfinished, worker::within};
use axum::{extract::FromRequestParts, http::request::Parts, http::StatusCode};
use std::{future::Future, sync::Arc};
use tokio::{sync::OwnedSemaphorePermit, task::JoinSet};

/// A place for direct work, taken before the body is read; dropping it frees it.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl FromRequestParts<ApiState> for Place {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, engine: &ApiState) -> Result<Self, ApiError> {
        if engine.closing.is_set() {
            return Err(ApiError::stopping());
        }
        Arc::clone(&engine.places).try_acquire_owned().map(|permit| Self { _permit: permit }).map_err(|_| {
            ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "queue_full",
                "too many requests at once; try again later",
            )
        })
    }
}

/// Direct work under way. It goes on whether or not its result is asked for, so that a caller who does not read holds
/// no model; dropping this ends it.
#[derive(Debug)]
pub struct Direct<T>(JoinSet<Result<T, Unfinished>>);

impl<T: Send + 'static> Direct<T> {
    /// Begins the work, within the time that a job may take.
    pub fn start(
        engine: &ApiState,
        place: Place,
        work: impl Future<Output = Result<T, Unfinished>> + Send + 'static,
    ) -> Self {
        let (time, drained) = (engine.job_time, engine.drained.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _place = place;
            within(time, &drained, work).await
        });
        Self(tasks)
    }

    /// The result of the work.
    pub async fn outcome(mut self) -> Result<T, Unfinished> {
        match self.0.join_next().await {
            Some(Ok(outcome)) => outcome,
            _ => Err(Unfinished::internal("direct work panicked")),
        }
    }
}
