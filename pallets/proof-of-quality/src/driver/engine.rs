//! The driver's side of the engine's HTTP API, see [`poq_primitives::job`].

use super::LOG_TARGET;
use alloc::{format, string::String, vec::Vec};
use poq_primitives::{
    job::{FailureReason, Job, JobResult, JobState, JobStatus},
    keys::EngineEndpoint,
};
use sp_runtime::offchain::{
    http::{Error, Method, PendingRequest, Request},
    Duration, Timestamp,
};

/// Longest time that the engine may hold its answer for a job that is nearly done.
const WAIT_MS: u64 = 300;

/// Longest wait of a run for all answers of the engine together.
const DEADLINE_MS: u64 = 900;

/// Longest answer that is read, in bytes. The longest output, escaped as JSON, is well below it.
const MAX_ANSWER: usize = 256 * 1024;

/// The engine's answer about a job.
pub enum Answer {
    /// Nothing to report: at work, or the engine is down, slow or talks nonsense. Ask again.
    NotYet,
    /// Finished.
    Done(JobResult),
    /// Failed for good.
    Failed(FailureReason),
}

/// A job that was asked for: the call on its way, and the id it must answer with.
pub struct Asked {
    id: String,
    call: Option<PendingRequest>,
}

/// A connection to the engine for one run.
pub struct EngineClient<'a> {
    endpoint: &'a EngineEndpoint,
    deadline: Timestamp,
}

impl<'a> EngineClient<'a> {
    /// Starts the run's clock.
    pub fn new(endpoint: &'a EngineEndpoint) -> Self {
        let deadline = sp_io::offchain::timestamp().add(Duration::from_millis(DEADLINE_MS));
        Self { endpoint, deadline }
    }

    /// Asks for a job, for the first time or again: the engine does it once, and drops it when `deadline_ms` milliseconds from now
    /// are over.
    pub fn ask(&self, id: &[u8; 32], job: &Job, deadline_ms: u64) -> Asked {
        let id = hex::encode(id);
        let call = self.put(&id, job, deadline_ms);
        if call.is_none() {
            log::warn!(target: LOG_TARGET, "the engine at {} cannot be reached", self.endpoint.url);
        }
        Asked { id, call }
    }

    fn put(&self, id: &str, job: &Job, deadline_ms: u64) -> Option<PendingRequest> {
        let body = serde_json::to_vec(job).ok()?;
        let url = format!("{}/v1/jobs/{id}?wait_ms={WAIT_MS}&deadline_ms={deadline_ms}", self.endpoint.url);
        Request::post(&url, [body])
            .method(Method::Put)
            .add_header("content-type", "application/json")
            .add_header("authorization", &format!("Bearer {}", self.endpoint.token))
            .deadline(self.deadline)
            .send()
            .ok()
    }

    /// Waits for the answers, in the order of `asked`.
    pub fn collect(&self, asked: Vec<Asked>) -> Vec<Answer> {
        asked
            .into_iter()
            .map(|Asked { id, call }| match call {
                Some(call) => self.answer(&id, call),
                None => Answer::NotYet,
            })
            .collect()
    }

    fn answer(&self, id: &str, call: PendingRequest) -> Answer {
        let response = match call.try_wait(self.deadline) {
            Ok(Ok(response)) => response,
            Ok(Err(Error::DeadlineReached)) | Err(_) => {
                log::debug!(target: LOG_TARGET, "the engine did not answer in time on job {id}");
                return Answer::NotYet;
            }
            Ok(Err(error)) => {
                log::warn!(target: LOG_TARGET, "the engine at {} failed: {error:?}", self.endpoint.url);
                return Answer::NotYet;
            }
        };
        let code = response.code;
        let mut body = response.body();
        body.deadline(self.deadline);
        let bytes: Vec<u8> = body.take(MAX_ANSWER.saturating_add(1)).collect();
        match code {
            200 | 202 if bytes.len() <= MAX_ANSWER => self.status(id, &bytes),
            // The engine will never take this job.
            400 | 413 | 422 => {
                log::warn!(target: LOG_TARGET, "the engine refused job {id} with HTTP {code}");
                Answer::Failed(FailureReason::InvalidJob)
            }
            429 | 503 => {
                log::debug!(target: LOG_TARGET, "the engine is busy, job {id} waits");
                Answer::NotYet
            }
            401 | 403 => {
                log::error!(
                    target: LOG_TARGET,
                    "the engine at {} refused the token: write the right one to `poq/engine`", self.endpoint.url,
                );
                Answer::NotYet
            }
            _ => {
                log::warn!(target: LOG_TARGET, "the engine answered job {id} with HTTP {code}");
                Answer::NotYet
            }
        }
    }

    fn status(&self, id: &str, body: &[u8]) -> Answer {
        match serde_json::from_slice::<JobStatus>(body) {
            Ok(status) if status.id == id => match status.state {
                JobState::Queued | JobState::Running => Answer::NotYet,
                JobState::Done { result } => Answer::Done(result),
                JobState::Failed { error } => {
                    log::warn!(target: LOG_TARGET, "job {id} failed: {}", error.message);
                    Answer::Failed(error.code)
                }
            },
            _ => {
                log::warn!(target: LOG_TARGET, "the engine's answer on job {id} makes no sense");
                Answer::NotYet
            }
        }
    }
}
