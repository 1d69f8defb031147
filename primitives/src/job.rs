//! Jobs: what the driver asks of the engine and what the engine answers.
//!
//! The contract, as HTTP with JSON bodies and `Authorization: Bearer TOKEN`:
//!
//! | call | body | answer |
//! |---|---|---|
//! | `PUT /v1/jobs/{id}?wait_ms=N&deadline_ms=N` | a [`Job`] | `200` or `202` with a [`JobStatus`]; the same id twice does the work once |
//! | `GET /v1/jobs/{id}?wait_ms=N` | | `200` with a [`JobStatus`]; `404` if the id is unknown |
//! | `DELETE /v1/jobs/{id}` | | `204`; the job is cancelled and forgotten |
//!
//! `id` is the 64 lower-case hex digits of [`Job::id`]. `wait_ms` (0 by default, at most [`MAX_WAIT_MS`]) lets the engine
//! hold its answer until the job is finished or the time is over: short jobs are then done within one run of the driver.
//!
//! `deadline_ms` (none by default, at least 1, larger values count as [`MAX_DEADLINE_MS`]) is the time from now, in
//! milliseconds, after which the result is of no use:
//! - a job that waits or runs when its deadline passes fails with [`FailureReason::DeadlineExceeded`] and leaves the queue;
//! - of a model's waiting jobs the one with the earliest deadline goes first; jobs without a deadline go last, in the order
//!   they came;
//! - the same job again with a deadline gets that deadline, later or earlier than the one it had; without one it keeps its
//!   own;
//! - a job that failed at its deadline is queued anew when it is put again with a deadline. Other failures are final.

use alloc::{string::String, vec::Vec};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};
use sp_crypto_hashing::blake2_256;

/// Longest time, in milliseconds, that the engine holds an answer for `wait_ms`.
pub const MAX_WAIT_MS: u64 = 1_000;

/// Longest time, in milliseconds, from a call to the deadline that it gives its job: 24 hours.
pub const MAX_DEADLINE_MS: u64 = 86_400_000;

const JOB_TAG: &[u8] = b"poq/job/1";

/// One piece of work for the engine.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Job {
    /// Answer a prompt with a generator.
    Generate(GenerateJob),
    /// Score responses to a prompt with an evaluator.
    Score(ScoreJob),
}

/// Answer `prompt` with the generator `model`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GenerateJob {
    /// SHA-256 of the model's GGUF file, 64 lower-case hex digits.
    pub model: String,
    /// The prompt, as the requester wrote it: a question, or a conversation in the encoding of the module `conversation`. The engine
    /// applies the model's chat template.
    pub prompt: String,
    /// Most tokens to generate, at least 1.
    #[cfg_attr(feature = "openapi", schema(maximum = 4294967295u32, format = "uint32"))]
    pub max_tokens: u32,
    /// Most bytes of UTF-8 text in the output; the engine cuts at a character boundary.
    #[cfg_attr(feature = "openapi", schema(maximum = 4294967295u32, format = "uint32"))]
    pub max_bytes: u32,
    /// Sampling temperature in thousandths; 0 is greedy.
    #[cfg_attr(feature = "openapi", schema(maximum = 4294967295u32, format = "uint32"))]
    pub temperature_milli: u32,
    /// Seed of the sampler.
    #[cfg_attr(feature = "openapi", schema(maximum = 4294967295u32, format = "uint32"))]
    pub seed: u32,
}

/// Score each of `responses` as an answer to `prompt` with the evaluator `model`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ScoreJob {
    /// The evaluator's id: SHA-256 of its manifest, 64 lower-case hex digits.
    pub model: String,
    /// The prompt. Answers are judged by the text that `conversation::question` makes of it.
    pub prompt: String,
    /// The answers, at least one.
    pub responses: Vec<String>,
}

impl Job {
    /// The job's id: `blake2_256` of a domain tag, the chain's genesis hash, the request, the worker key and the work
    /// itself. The work takes part because two forks may hold different requests under one id.
    pub fn id(&self, genesis: &[u8; 32], request: u64, worker: &[u8]) -> [u8; 32] {
        blake2_256(&(JOB_TAG, genesis, request, worker, self).encode())
    }

    /// The id of the model that the job needs, 64 lower-case hex digits.
    pub fn model(&self) -> &str {
        match self {
            Job::Generate(job) => &job.model,
            Job::Score(job) => &job.model,
        }
    }
}

/// The engine's answer about a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobStatus {
    /// The job's id, 64 lower-case hex digits.
    pub id: String,
    /// State of the job.
    #[serde(flatten)]
    pub state: JobState,
}

/// State of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobState {
    /// Waiting for its turn.
    Queued,
    /// Being worked on.
    Running,
    /// Finished.
    Done {
        /// The result.
        result: JobResult,
    },
    /// Failed. Asking again gives the same answer, unless the deadline was missed and the call brings a new one.
    Failed {
        /// Why.
        error: JobError,
    },
}

/// Result of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobResult {
    /// Of a [`GenerateJob`].
    Generate {
        /// The answer's text.
        text: String,
        /// Tokens generated.
        tokens: u32,
    },
    /// Of a [`ScoreJob`].
    Score {
        /// One score for each response, in their order, in parts per million (0 to 1,000,000): integers, so that no
        /// float comes near the chain.
        scores: Vec<u32>,
    },
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobError {
    /// The kind of failure.
    pub code: FailureReason,
    /// One line for people.
    pub message: String,
}

/// Why a duty could not be done. Reported on chain, at once, rather than left to time out.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The engine does not hold the model, or could not load it.
    ModelUnavailable,
    /// The engine refused the job: for example a prompt longer than the model's context.
    InvalidJob,
    /// The engine died under the job too often.
    EngineAborted,
    /// The job took longer than it may, or its deadline passed.
    DeadlineExceeded,
    /// Anything else; the engine's log says more.
    Internal,
    /// The model had nothing to say: the output is empty.
    EmptyOutput,
}

impl FailureReason {
    /// Whether the request may be at fault: what others would fail at too.
    pub fn is_refusal(self) -> bool {
        match self {
            Self::InvalidJob | Self::EngineAborted | Self::EmptyOutput => true,
            Self::ModelUnavailable | Self::DeadlineExceeded | Self::Internal => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::ToString, vec};

    #[test]
    fn the_json_is_what_the_contract_says() {
        let job =
            Job::Score(ScoreJob { model: "ab".into(), prompt: "q".into(), responses: vec!["a".into()] });
        let json = serde_json::to_string(&job).expect("serialises");
        assert_eq!(json, r#"{"kind":"score","model":"ab","prompt":"q","responses":["a"]}"#);
        assert_eq!(serde_json::from_str::<Job>(&json).expect("parses"), job);

        let status = JobStatus {
            id: "00".to_string(),
            state: JobState::Done { result: JobResult::Score { scores: vec![5] } },
        };
        let json = serde_json::to_string(&status).expect("serialises");
        assert_eq!(json, r#"{"id":"00","state":"done","result":{"kind":"score","scores":[5]}}"#);
        assert_eq!(serde_json::from_str::<JobStatus>(&json).expect("parses"), status);

        let status = JobStatus {
            id: "00".to_string(),
            state: JobState::Failed {
                error: JobError { code: FailureReason::ModelUnavailable, message: "no".into() },
            },
        };
        let json = serde_json::to_string(&status).expect("serialises");
        assert_eq!(
            json,
            r#"{"id":"00","state":"failed","error":{"code":"model_unavailable","message":"no"}}"#
        );
    }

    #[test]
    fn the_id_depends_on_request_worker_and_work() {
        let job =
            Job::Score(ScoreJob { model: "ab".into(), prompt: "q".into(), responses: vec!["a".into()] });
        let other =
            Job::Score(ScoreJob { model: "ab".into(), prompt: "r".into(), responses: vec!["a".into()] });
        let id = job.id(&[0; 32], 1, b"w");
        assert_eq!(id, job.id(&[0; 32], 1, b"w"));
        assert_ne!(id, job.id(&[0; 32], 2, b"w"));
        assert_ne!(id, job.id(&[0; 32], 1, b"v"));
        assert_ne!(id, other.id(&[0; 32], 1, b"w"));
    }
}
