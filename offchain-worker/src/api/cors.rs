//! Web pages that may use the API (CORS). A browser hides answers from pages of other origins unless the server names theirs;
//! the token is wanted all the same.

use crate::web::ANY_ORIGIN;
use axum::http::{header, HeaderValue, Method};
use std::time::Duration;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// Longest time that a browser remembers the answer to its preflight request.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// Lets pages of `origins` use the API; `None` if there are none.
pub fn layer(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = match origins.iter().any(|origin| origin == ANY_ORIGIN) {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())),
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        // Clients' libraries send headers of their own.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::RETRY_AFTER])
        .max_age(MAX_AGE);
    Some(layer)
}
