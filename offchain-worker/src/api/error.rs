//! Answers that are errors.

use crate::{limits::Unfinished, metrics, queue::SubmitError};
use axum::{
    extract::rejection::{BytesRejection, PathRejection},
    http::{header, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    Json,
};
use poq_primitives::job::FailureReason;
use serde::Serialize;

/// An answer that is an error.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

/// The code of an error, in the extensions of its response, for those who count.
#[derive(Clone, Copy, Debug)]
pub struct Code(pub &'static str);

/// The body of every error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ErrorDetail {
    /// One line for people.
    pub message: String,
    /// The kind of error as clients of OpenAI's API know it, for example `invalid_request_error`.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// The error, for programs, for example `queue_full`.
    #[schema(value_type = String)]
    pub code: &'static str,
    /// Always `null`; clients expect it.
    #[schema(value_type = Option<String>, required)]
    pub param: (),
}

impl ApiError {
    /// An error with its HTTP status, its code, and one line for people.
    pub fn new(status: StatusCode, code: &'static str, message: impl ToString) -> Self {
        Self { status, code, message: message.to_string() }
    }

    /// The request cannot be done as it is.
    pub fn invalid(message: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// A fault of the engine.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the engine failed; its log says more")
    }

    /// The engine takes no new work.
    pub fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the engine is stopping")
    }

    /// What a caller reads.
    pub fn body(&self) -> ErrorBody {
        let (message, code) = (self.message.clone(), self.code);
        ErrorBody { error: ErrorDetail { message, kind: kind_of(self.status), code, param: () } }
    }

    /// What a program reads.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

/// The name that OpenAI's API has for errors like this.
fn kind_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "server_error",
    }
}

impl From<Unfinished> for ApiError {
    fn from(unfinished: Unfinished) -> Self {
        let error = match unfinished {
            Unfinished::Failed(error) => error,
            // Who went away is told nothing, so this is for who stayed while the engine stopped.
            Unfinished::Cancelled => return Self::stopping(),
            Unfinished::Died(how) => {
                let message = format!("the model's process died: {how}");
                return Self::new(
                    StatusCode::BAD_GATEWAY,
                    metrics::reason(FailureReason::EngineAborted),
                    message,
                );
            }
        };
        let status = match error.code {
            // Engine aborted: this very request ended a process before. Clients send again what gets a 5xx.
            FailureReason::InvalidJob | FailureReason::EngineAborted => StatusCode::BAD_REQUEST,
            FailureReason::ModelUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            FailureReason::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            // The engine itself takes an empty text for a result, so no caller is told that it failed.
            FailureReason::EmptyOutput => StatusCode::BAD_GATEWAY,
            FailureReason::Internal => return Self::internal(),
        };
        Self::new(status, metrics::reason(error.code), error.message)
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        let code =
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE { "too_large" } else { "unreadable_body" };
        Self::new(rejection.status(), code, rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_id", rejection.body_text())
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let (status, code) = match error {
            SubmitError::Full => (StatusCode::TOO_MANY_REQUESTS, "queue_full"),
            SubmitError::Conflict => (StatusCode::CONFLICT, "other_job"),
            SubmitError::Closed => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            SubmitError::Store(error) => return error.into(),
        };
        Self::new(status, code, error)
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        tracing::error!(%error, "the job store fails");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "store",
            "the job store fails; the engine's log says more",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        response.extensions_mut().insert(Code(self.code));
        let extra = match self.status {
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer")),
            StatusCode::TOO_MANY_REQUESTS => Some((header::RETRY_AFTER, "5")),
            _ => None,
        };
        if let Some((name, value)) = extra {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
