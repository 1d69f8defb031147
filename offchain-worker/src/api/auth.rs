//! Access to the API: a bearer token.

use super::error::ApiError;
use crate::token::Token;
use axum::{
    extract::{Request, State},
    http::{header, StatusCode},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

/// Lets requests through that show the token.
pub async fn want_token(State(token): State<Token>, request: Request, next: Next) -> Response {
    let offered = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = offered
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match bearer {
        Some((_, offered)) if token.matches(offered.trim()) => next.run(request).await,
        _ => ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", "send Authorization: Bearer TOKEN")
            .into_response(),
    }
}
