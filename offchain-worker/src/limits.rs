//! What may end a job before its work is done.

use poq_primitives::job::{FailureReason, JobError};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Says "stop" to whoever holds a copy. Once set it stays set.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<CancellationToken>);

impl Cancel {
    /// Asks every holder of a copy to stop.
    pub fn set(&self) {
        self.0.cancel();
    }

    /// Whether someone asked to stop.
    pub fn is_set(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until someone asks to stop.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    /// Whether `other` is a copy of this one.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// How long a job may run, and whether it is still wanted. Backends ask between steps that cannot be
/// interrupted.
#[derive(Clone, Debug)]
pub struct Limits {
    deadline: Option<Instant>,
    cancel: Cancel,
}

/// Why a job gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// It failed, for good.
    Failed(JobError),
    /// Nobody wants the result any more, or the engine is stopping.
    Cancelled,
    /// The process with the model died under it, in this way.
    Died(String),
}

impl Limits {
    /// The job may run for `time` from now on, unless `cancel` is set before.
    pub fn new(time: Duration, cancel: Cancel) -> Self {
        // A time beyond the clock's range is no limit.
        Self { deadline: Instant::now().checked_add(time), cancel }
    }

    /// The job may run until `cancel` is set.
    pub fn until(cancel: Cancel) -> Self {
        Self { deadline: None, cancel }
    }

    /// Nothing ends the job early.
    pub fn none() -> Self {
        Self { deadline: None, cancel: Cancel::default() }
    }

    /// `Ok` while the job may go on.
    pub fn check(&self) -> Result<(), Unfinished> {
        if self.cancel.is_set() {
            return Err(Unfinished::Cancelled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Unfinished::late()),
            _ => Ok(()),
        }
    }
}

impl Unfinished {
    /// A failure with its reason and one line for people.
    pub fn failed(code: FailureReason, message: impl Into<String>) -> Self {
        Self::Failed(JobError { code, message: message.into() })
    }

    /// The job asks for something that cannot be done.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::failed(FailureReason::InvalidJob, message)
    }

    /// The model is not here, or does not load.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::failed(FailureReason::ModelUnavailable, message)
    }

    /// Who asked for the text as it grows does not read it.
    pub fn slow_reader() -> Self {
        Self::failed(FailureReason::DeadlineExceeded, "the text was not read as fast as it came")
    }

    /// It took longer than it may.
    pub fn late() -> Self {
        Self::failed(FailureReason::DeadlineExceeded, "the job took longer than it may")
    }

    /// A fault of the engine itself. The cause goes to the log; the requester learns only that it happened.
    pub fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        tracing::error!(%message, "a job failed inside the engine");
        Self::failed(FailureReason::Internal, message)
    }
}
