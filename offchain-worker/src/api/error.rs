//! Answers that are errors: in the form of OpenAI's API, and under `/v2/` in that of Cohere's.
//!
//! An error names the field that it is about in `param`. Whatever it repeats of a request is shortened here.

use crate::{
    limits::Unfinished,
    metrics,
    queue::SubmitError,
    store::NewerRecord,
    text::{self, shortened},
};
use axum::{
    body::Body,
    extract::{
        rejection::{BytesRejection, PathRejection},
        Request,
    },
    http::{header, HeaderValue, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
    Json,
};
use poq_primitives::job::FailureReason;
use serde::Serialize;

/// Most characters of the name of a field.
const LONGEST_PARAM: usize = 100;

/// The code of a prompt that the model's context does not hold, as clients of OpenAI's API know it.
pub const CONTEXT_LENGTH_EXCEEDED: &str = "context_length_exceeded";

/// An answer that is an error.
#[derive(Clone, Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// The field of the request that it is about.
    param: Option<String>,
}

/// The body of every error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// An error in OpenAI's form.
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
    /// The field of the request that the error is about, for example `messages[0].role`; `null` if it is about no single one.
    #[schema(required)]
    pub param: Option<String>,
}

/// The body of every error under `/v2/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CohereError {
    /// One line for people.
    pub message: String,
}

impl ApiError {
    /// An error with its HTTP status, its code, and one line for people.
    pub fn new(status: StatusCode, code: &'static str, message: impl ToString) -> Self {
        let message = text::message(&message.to_string());
        Self { status, code, message, param: None }
    }

    /// This error, about the field `param`.
    pub fn about(self, param: &str) -> Self {
        Self { param: Some(shortened(param, LONGEST_PARAM, LONGEST_PARAM / 2)), ..self }
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

    /// The body of the response.
    pub fn body(&self) -> ErrorBody {
        let Self { status, code, message, param } = self.clone();
        ErrorBody { error: ErrorDetail { message, kind: kind_of(status), code, param } }
    }

    /// The error's code.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

/// Answers errors under `/v2/`, whichever part of the engine they come from, in the form of Cohere's API.
pub async fn in_the_form_of_its_api(request: Request, next: Next) -> Response {
    let is_cohere = request.uri().path().starts_with("/v2/");
    let response = next.run(request).await;
    let error = response.extensions().get::<ApiError>().filter(|_| is_cohere);
    let Some(message) = error.map(|error| error.message.clone()) else { return response };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    // A struct of one text always becomes JSON.
    let body = serde_json::to_vec(&CohereError { message }).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
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
            Unfinished::TooLong(long) => {
                return Self::new(StatusCode::BAD_REQUEST, CONTEXT_LENGTH_EXCEEDED, long)
            }
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

/// A body that is no JSON, or JSON of another shape than the API's.
impl From<serde_path_to_error::Error<serde_json::Error>> for ApiError {
    fn from(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if !inner.is_data() {
            return Self::new(
                StatusCode::BAD_REQUEST,
                "invalid_json",
                format!("the body is not JSON: {inner}"),
            );
        }
        // The field says where better than line and column do.
        let place = format!(" at line {} column {}", inner.line(), inner.column());
        let words = inner.to_string();
        let words = words.strip_suffix(&place).unwrap_or(&words);
        match path.as_str() {
            "." => Self::invalid(words),
            path => Self::invalid(format!("'{path}': {words}")).about(path),
        }
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        if let Some(newer) = error.get_ref().and_then(|inner| inner.downcast_ref::<NewerRecord>()) {
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "newer_record", newer);
        }
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
        let extra = match self.status {
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer")),
            StatusCode::TOO_MANY_REQUESTS => Some((header::RETRY_AFTER, "5")),
            StatusCode::SERVICE_UNAVAILABLE if self.code == "models_being_read" => {
                Some((header::RETRY_AFTER, "5"))
            }
            _ => None,
        };
        if let Some((name, value)) = extra {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        // For those who count, and for those who know another form.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::LONGEST_MESSAGE;

    #[test]
    fn whatever_is_repeated_is_shortened() {
        let role = "r".repeat(900_000);
        let error = ApiError::invalid(format!("'role' is '{role}'; send 'user'")).about(&role);
        let detail = error.body().error;
        assert_eq!(detail.message.chars().count(), LONGEST_MESSAGE);
        assert!(detail.message.starts_with("'role' is 'rrr") && detail.message.ends_with("'; send 'user'"));
        assert_eq!(detail.param.unwrap().chars().count(), LONGEST_PARAM);
        for length in [LONGEST_MESSAGE, LONGEST_MESSAGE + 1] {
            let text = "é".repeat(length);
            let message = ApiError::invalid(&text).body().error.message;
            assert_eq!(
                (message == text, message.chars().count()),
                (length == LONGEST_MESSAGE, LONGEST_MESSAGE)
            );
        }
        assert_eq!(ApiError::invalid("a\nb\u{1b}c").body().error.message, "a b c");
    }

    #[test]
    fn a_shape_that_is_wrong_is_named_by_its_field() {
        #[derive(Debug, serde::Deserialize)]
        struct Outer {
            #[allow(dead_code)] // Only its errors are wanted.
            list: Vec<u32>,
        }
        let read = |json: &str| {
            let mut json = serde_json::Deserializer::from_str(json);
            let error: ApiError = serde_path_to_error::deserialize::<_, Outer>(&mut json).unwrap_err().into();
            error.body().error
        };
        let error = read(r#"{"list": [1, "x"]}"#);
        assert_eq!((error.code, error.param.as_deref()), ("invalid_request", Some("list[1]")));
        assert!(
            error.message.starts_with("'list[1]': ") && !error.message.contains("column"),
            "{}",
            error.message
        );
        let error = read("{}");
        assert_eq!((error.code, error.param), ("invalid_request", None));
        assert!(error.message.contains("`list`"), "{}", error.message);
        assert_eq!(read("{").code, "invalid_json");
    }
}
