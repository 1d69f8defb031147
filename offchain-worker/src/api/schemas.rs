//! Schemas of errors and jobs in the OpenAPI document, named by the handlers.

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

/// The schema of [`poq_primitives::job::Job`]; that crate does not know OpenAPI, and a test compares.
#[derive(Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[schema(as = Job)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum JobSchema {
    /// Answer a prompt.
    Generate {
        /// Id of a generator.
        model: String,
        /// The question.
        prompt: String,
        /// Most tokens to generate, at least 1.
        #[schema(maximum = 4294967295u32, format = "uint32")]
        max_tokens: u32,
        /// Most bytes of the answer, at least 1.
        #[schema(maximum = 4294967295u32, format = "uint32")]
        max_bytes: u32,
        /// Sampling temperature in thousandths.
        #[schema(maximum = 4294967295u32, format = "uint32")]
        temperature_milli: u32,
        /// Seed of the sampling.
        #[schema(maximum = 4294967295u32, format = "uint32")]
        seed: u32,
    },
    /// Score responses to a prompt.
    Score {
        /// Id of an evaluator.
        model: String,
        /// The question.
        prompt: String,
        /// The answers, at least one.
        responses: Vec<String>,
    },
}

/// The schema of [`poq_primitives::job::JobStatus`].
#[derive(Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[schema(as = JobStatus)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobStatusSchema {
    /// Waiting for its turn.
    Queued {
        /// The job's id.
        id: String,
    },
    /// Being worked on.
    Running {
        /// The job's id.
        id: String,
    },
    /// Finished.
    Done {
        /// The job's id.
        id: String,
        /// What came out.
        result: JobResultSchema,
    },
    /// Failed. Final, unless the deadline was missed and the job is put again with a new one.
    Failed {
        /// The job's id.
        id: String,
        /// Why.
        error: JobErrorSchema,
    },
}

/// The schema of [`poq_primitives::job::JobResult`].
#[derive(Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[schema(as = JobResult)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobResultSchema {
    /// An answer.
    Generate {
        /// The text.
        text: String,
        /// Tokens generated.
        tokens: u32,
    },
    /// Scores.
    Score {
        /// In parts per million, one for each answer.
        scores: Vec<u32>,
    },
}

/// The schema of [`poq_primitives::job::JobError`].
#[derive(Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[schema(as = JobError)]
pub struct JobErrorSchema {
    /// `model_unavailable`, `invalid_job`, `engine_aborted`, `deadline_exceeded`, `internal`, or `empty_output`.
    code: String,
    /// One line for people.
    message: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use poq_primitives::job::{
        FailureReason, GenerateJob, Job, JobError, JobResult, JobState, JobStatus, ScoreJob,
    };
    use serde::{de::DeserializeOwned, Serialize};

    /// What is written as the contract's type is read and written as its schema's type without a change.
    fn same<Schema: Serialize + DeserializeOwned>(contract: &impl Serialize) {
        let json = serde_json::to_value(contract).unwrap();
        let read: Schema = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), json);
    }

    #[test]
    fn the_schemas_of_jobs_are_the_contract() {
        same::<JobSchema>(&Job::Generate(GenerateJob {
            model: "m".into(),
            prompt: "p".into(),
            max_tokens: 1,
            max_bytes: 2,
            temperature_milli: 3,
            seed: 4,
        }));
        same::<JobSchema>(&Job::Score(ScoreJob {
            model: "m".into(),
            prompt: "p".into(),
            responses: vec!["r".into()],
        }));
        let error = JobError { code: FailureReason::ModelUnavailable, message: "m".into() };
        for state in [
            JobState::Queued,
            JobState::Running,
            JobState::Done { result: JobResult::Generate { text: "t".into(), tokens: 1 } },
            JobState::Done { result: JobResult::Score { scores: vec![1] } },
            JobState::Failed { error },
        ] {
            same::<JobStatusSchema>(&JobStatus { id: "0".into(), state });
        }
    }
}
