//! This API as an OpenAPI 3.1 document.

use super::{
    chat, cohere, embeddings,
    error::{CohereError, ErrorBody},
    health, jobs, models, rerank,
};
use axum::Json;
use std::sync::OnceLock;
use utoipa::{
    openapi::{
        schema::AdditionalProperties,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
        OpenApi, RefOr, Schema,
    },
    Modify, OpenApi as _,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Proof of Quality engine",
        description = "Runs language models and evaluators: durable jobs for a driver, chat as OpenAI's API has it, \
                       and scores as rerank servers have them."
    ),
    paths(
        jobs::put_job,
        jobs::get_job,
        jobs::delete_job,
        chat::complete,
        rerank::rerank,
        rerank::rerank_either,
        rerank::score,
        cohere::rerank_v2,
        embeddings::embed,
        models::list,
        models::one,
        health::metrics,
        health::health,
        health::alive,
        health::ready,
        document,
    ),
    components(schemas(ErrorBody, CohereError, chat::ChatChunk)),
    security(("token" = [])),
    modifiers(&Token, &NothingMore),
    tags(
        (name = "jobs", description = "Work that is queued and outlives the engine."),
        (name = "chat", description = "Answers while the caller waits."),
        (name = "scores", description = "Scores and vectors while the caller waits."),
        (name = "models", description = "What the engine holds."),
        (name = "engine", description = "How the engine is."),
    ),
)]
struct Document;

/// Describes the bearer token.
struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("What the engine's token file holds."))
            .build();
        openapi.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// A job with an unknown field is refused, which the macro for tagged enums does not say.
struct NothingMore;

impl Modify for NothingMore {
    fn modify(&self, openapi: &mut OpenApi) {
        let schemas = openapi.components.as_mut().map(|components| &mut components.schemas);
        let Some(RefOr::T(Schema::OneOf(kinds))) = schemas.and_then(|schemas| schemas.get_mut("Job")) else {
            return;
        };
        for kind in &mut kinds.items {
            if let RefOr::T(Schema::Object(kind)) = kind {
                kind.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
        }
    }
}

/// The document.
pub fn openapi() -> &'static OpenApi {
    static DOCUMENT: OnceLock<OpenApi> = OnceLock::new();
    DOCUMENT.get_or_init(Document::openapi)
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "engine", security(()), responses(
    (status = 200, description = "This document.", body = Object),
))]
pub async fn document() -> Json<&'static OpenApi> {
    Json(openapi())
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_in_the_document_and_no_other() {
        let routed: BTreeSet<_> = [open_routes(), quick_routes(), direct_routes()]
            .concat()
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        let described: BTreeSet<_> = openapi().paths.paths.keys().map(String::as_str).collect();
        assert_eq!(routed, described);
    }

    #[test]
    fn every_call_has_a_name_of_its_own() {
        let json = serde_json::to_value(openapi()).unwrap();
        let paths = json["paths"].as_object().unwrap().values();
        let calls = paths.flat_map(|path| path.as_object().unwrap().values());
        let mut names: Vec<_> = calls.filter_map(|call| call["operationId"].as_str()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{names:?}");
    }

    #[test]
    fn a_job_has_no_unknown_fields() {
        let json = serde_json::to_value(openapi()).unwrap();
        let kinds = json["components"]["schemas"]["Job"]["oneOf"].as_array().unwrap();
        assert_eq!(kinds.len(), 2);
        assert!(kinds.iter().all(|kind| kind["additionalProperties"] == false), "{kinds:?}");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let json = serde_json::to_value(openapi()).unwrap();
        let text = json.to_string();
        assert!(json["openapi"].as_str().unwrap().starts_with("3.1"));
        for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(json.pointer(reference).is_some(), "{reference}");
        }
    }
}
