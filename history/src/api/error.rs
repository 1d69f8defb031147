//! Refusals.

use crate::store;
use axum::{
    extract::rejection::{PathRejection, QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    Json,
};
use serde::Serialize;

/// Most characters of a message: it may repeat something of the request.
const LONGEST: usize = 400;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

/// Body of every error.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    error: ErrorText,
}

/// The error, for people and for programs.
#[derive(Serialize, utoipa::ToSchema)]
struct ErrorText {
    /// For people.
    message: String,
    /// For programs: `invalid_request`, `not_found`, `method_not_allowed`, `too_many_streams` or `internal`.
    code: &'static str,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// A refusal of a question that makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// A refusal of a question about something that the history does not have.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// Everything here is for GET.
    pub fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "only GET is understood here")
    }

    /// Too many listen already.
    pub fn too_many_streams() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_streams",
            "too many streams are open: ask again later, or ask /v1/requests now and then",
        )
    }

    /// A fault of this program or of its database, which the log has.
    pub fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "a question was not answered");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the history failed; its log says why")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let plain = |character: char| if character.is_control() { ' ' } else { character };
        let message = self.message.chars().map(plain).take(LONGEST).collect();
        (self.status, Json(ErrorBody { error: ErrorText { message, code: self.code } })).into_response()
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        Self::internal(error)
    }
}

impl From<PathRejection> for Refusal {
    fn from(rejection: PathRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}
