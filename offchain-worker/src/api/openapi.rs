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
        schema::{AdditionalProperties, ObjectBuilder},
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
    modifiers(&Token, &ClosedJobs),
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

/// Makes each kind of job one closed object. The macro describes a kind as `allOf` of the job and its tag; there a job that allows no
/// other fields would forbid the tag.
struct ClosedJobs;

impl Modify for ClosedJobs {
    fn modify(&self, openapi: &mut OpenApi) {
        let Some(schemas) = openapi.components.as_mut().map(|components| &mut components.schemas) else {
            return;
        };
        let Some(RefOr::T(Schema::OneOf(mut job))) = schemas.remove("Job") else { return };
        for kind in &mut job.items {
            let RefOr::T(Schema::AllOf(parts)) = kind else { continue };
            let mut closed = ObjectBuilder::new()
                .description(parts.description.take())
                .additional_properties(Some(AdditionalProperties::FreeForm(false)))
                .build();
            for part in parts.items.drain(..) {
                let part = match part {
                    RefOr::Ref(part) => {
                        part.ref_location.rsplit('/').next().and_then(|name| schemas.remove(name))
                    }
                    object @ RefOr::T(_) => Some(object),
                };
                if let Some(RefOr::T(Schema::Object(part))) = part {
                    closed.properties.extend(part.properties);
                    closed.required.extend(part.required);
                }
            }
            *kind = RefOr::T(Schema::Object(closed));
        }
        schemas.insert("Job".to_owned(), RefOr::T(Schema::OneOf(job)));
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
    use poq_primitives::job::{GenerateJob, Job, ScoreJob};
    use serde_json::Value;
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
    fn a_job_has_the_fields_of_its_kind_and_no_other() {
        let json = serde_json::to_value(openapi()).unwrap();
        let kinds = json["components"]["schemas"]["Job"]["oneOf"].as_array().unwrap();
        let jobs = [
            Job::Generate(GenerateJob {
                model: "m".into(),
                prompt: "p".into(),
                max_tokens: 1,
                max_bytes: 2,
                temperature_milli: 3,
                seed: 4,
            }),
            Job::Score(ScoreJob { model: "m".into(), prompt: "p".into(), responses: vec!["r".into()] }),
        ];
        assert_eq!(kinds.len(), jobs.len());
        for (kind, job) in kinds.iter().zip(jobs) {
            let written = serde_json::to_value(job).unwrap();
            let fields =
                |object: &Value| object.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(fields(&kind["properties"]), fields(&written));
            let required =
                kind["required"].as_array().unwrap().iter().map(|field| field.as_str().unwrap().to_owned());
            assert_eq!(required.collect::<BTreeSet<_>>(), fields(&written));
            assert_eq!(kind["properties"]["kind"]["enum"], serde_json::json!([written["kind"]]));
            assert_eq!(kind["additionalProperties"], false);
        }
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
