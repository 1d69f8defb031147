//! Errors in the OpenAPI document, named by the handlers.

use std::collections::BTreeMap;
use utoipa::{
    openapi::{Content, Ref, RefOr, Response, ResponseBuilder},
    IntoResponses,
};

fn errors(kinds: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let content = || Content::new(Some(Ref::from_schema_name("ErrorBody")));
    let response = |description: &str| {
        ResponseBuilder::new().description(description).content("application/json", content()).build()
    };
    kinds.iter().map(|(status, text)| ((*status).to_owned(), RefOr::T(response(text)))).collect()
}

/// Errors of every call that wants the token.
pub struct TokenErrors;

impl IntoResponses for TokenErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        errors(&[
            ("401", "No token, or the wrong one."),
            ("500", "The engine or its disk fails; its log says more."),
        ])
    }
}

/// Errors of every call with a JSON body.
pub struct BodyErrors;

impl IntoResponses for BodyErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = TokenErrors::responses();
        all.extend(errors(&[
            ("400", "The request is malformed, or asks for what cannot be done."),
            ("408", "The body came too slowly."),
            ("413", "The body is too large."),
            ("415", "The body does not say that it is JSON."),
            ("429", "Too many requests at once; Retry-After says when to come back."),
            ("503", "The model cannot be used, or the engine is stopping."),
        ]));
        all
    }
}

/// Errors of `PUT /v1/jobs/{id}`.
pub struct JobErrors;

impl IntoResponses for JobErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = BodyErrors::responses();
        all.extend(errors(&[
            ("404", "The job was deleted while its answer was held."),
            ("409", "The id belongs to another job."),
            ("422", "The JSON is not a job."),
        ]));
        all
    }
}

/// Errors of work under `/v2/`, in the form of Cohere's API.
pub struct CohereErrors;

impl IntoResponses for CohereErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = WorkErrors::responses();
        all.extend(errors(&[("404", "This engine does not hold the model, or it is of another kind.")]));
        for response in all.values_mut() {
            if let RefOr::T(response) = response {
                let content = Content::new(Some(Ref::from_schema_name("CohereError")));
                response.content.insert("application/json".to_owned(), RefOr::T(content));
            }
        }
        all
    }
}

/// Errors of work that is done while the caller waits.
pub struct WorkErrors;

impl IntoResponses for WorkErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = BodyErrors::responses();
        all.extend(errors(&[
            ("502", "The model's process died."),
            ("504", "The work took longer than it may."),
        ]));
        all
    }
}
