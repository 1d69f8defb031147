//! This API as an OpenAPI 3.1 document.

use super::{error::ErrorBody, events, models, operators, requests, status};
use axum::Json;
use std::sync::OnceLock;
use utoipa::{openapi::OpenApi, OpenApi as _};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Proof of Quality history",
        description = "What a Proof of Quality chain forgets: requests with answers, scores and pay, operators day by day, models ranked."
    ),
    paths(
        status::status,
        requests::list,
        requests::one,
        operators::one,
        models::list,
        models::csv,
        events::stream,
        status::health,
        status::metrics,
        document,
    ),
    components(schemas(ErrorBody)),
    tags(
        (name = "history", description = "What was."),
        (name = "operation", description = "How the history is."),
    ),
)]
struct Document;

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operation", responses((status = 200, body = Object)))]
pub async fn document() -> Json<&'static OpenApi> {
    static DOCUMENT: OnceLock<OpenApi> = OnceLock::new();
    Json(DOCUMENT.get_or_init(Document::openapi))
}
