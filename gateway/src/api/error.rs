//! Refusals as HTTP responses, in the form of OpenAI's API.

use crate::refusal::{Kind, Refusal};
use axum::{
    extract::rejection::{BytesRejection, PathRejection, QueryRejection},
    http::{header, HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    Json,
};
use serde_json::{json, Value};

/// Tells OpenAI's clients not to send a request again by themselves: the next one would be paid for again.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Most characters of a message: it may repeat something of the request.
const LONGEST: usize = 400;

impl Kind {
    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Payment => StatusCode::PAYMENT_REQUIRED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Gone => StatusCode::GONE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Mismatch => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Rate => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoAnswer => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The name that OpenAI's API has for errors like this.
    fn name(self) -> &'static str {
        match self {
            Self::Unauthorized => "authentication_error",
            Self::Forbidden => "permission_error",
            Self::Payment => "insufficient_quota",
            Self::Rate => "rate_limit_error",
            kind if kind.status().is_client_error() => "invalid_request_error",
            _ => "server_error",
        }
    }
}

impl Refusal {
    /// The body of the response.
    pub fn body(&self) -> Value {
        let plain = |character: char| if character.is_control() { ' ' } else { character };
        let message: String = self.message.chars().map(plain).take(LONGEST).collect();
        let mut error =
            json!({ "message": message, "type": self.kind.name(), "code": self.code, "param": self.param });
        if let (Some(poq), Some(fields)) = (&self.poq, error.as_object_mut()) {
            fields.insert("poq".into(), Value::clone(poq));
        }
        json!({ "error": error })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.kind.status(), Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == Kind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.poq.is_some() {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        // For those who count.
        response.extensions_mut().insert(Told(self.code));
        response
    }
}

/// Code of the error that a response is.
#[derive(Clone, Copy, Debug)]
pub struct Told(pub &'static str);

impl From<BytesRejection> for Refusal {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(Kind::TooLarge, "too_large", "the body is too large"),
            _ => Self::new(Kind::Invalid, "unreadable_body", rejection.body_text()),
        }
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

/// A body that is no JSON, or JSON of another shape than the API's.
impl From<serde_path_to_error::Error<serde_json::Error>> for Refusal {
    fn from(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if !inner.is_data() {
            return Self::new(Kind::Invalid, "invalid_json", format!("the body is not JSON: {inner}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_openais_form() {
        let refusal = Refusal::new(Kind::Rate, "rate_limit_exceeded", "too\nmany").about("x").after(7);
        assert_eq!(
            refusal.body(),
            json!({"error": {"message": "too many", "type": "rate_limit_error", "code": "rate_limit_exceeded", "param": "x"}})
        );
        let response = refusal.into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "7");
        let paid = Refusal::new(Kind::NoAnswer, "refunded", "x").with(json!({"request": 7}));
        assert_eq!(paid.body()["error"]["poq"]["request"], 7);
        assert_eq!(paid.into_response().headers()["x-should-retry"], "false");
    }

    #[test]
    fn whatever_is_repeated_is_shortened() {
        let message =
            Refusal::invalid("é".repeat(9000)).body()["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!(message.chars().count(), LONGEST);
    }
}
