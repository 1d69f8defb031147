//! The end of a job before its work is done: deadline, cancellation, failure.

use crate::text;
use poq_primitives::job::{FailureReason, JobError};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Cancellation flag, shared by all copies. Once set, it stays set.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<CancellationToken>);

impl Cancel {
    /// Sets the flag in all copies.
    pub fn set(&self) {
        self.0.cancel();
    }

    /// Whether the flag is set.
    pub fn is_set(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until the flag is set.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    /// Whether `other` is a copy of this one.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Deadline and cancellation of a job. Backends check both between steps that cannot be interrupted.
#[derive(Clone, Debug)]
pub struct Limits {
    deadline: Option<Instant>,
    cancel: Cancel,
}

/// Reason why a job gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// The job failed and is not tried again.
    Failed(JobError),
    /// The job failed and is not tried again: the prompt is longer than the model's context.
    TooLong(TooLong),
    /// The result is no longer wanted, or the engine is stopping.
    Cancelled,
    /// The model's process died during the job; the text says how.
    Died(String),
}

/// A prompt that the model's context does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TooLong {
    /// Length of the prompt, in `unit`.
    pub length: u64,
    /// Whether `length` is only the part that was counted before the rest was given up.
    pub and_more: bool,
    /// The most that the context holds, in `unit`.
    pub most: u64,
    /// Unit of the two lengths.
    pub unit: LengthUnit,
}

/// Unit of a prompt's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthUnit {
    /// Tokens of the model.
    Tokens,
    /// Bytes of UTF-8, where no text of so many bytes has few enough tokens.
    Bytes,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { length, and_more, most, unit } = self;
        let (than, unit) = (
            if *and_more { "more than " } else { "" },
            match unit {
                LengthUnit::Tokens => "tokens",
                LengthUnit::Bytes => "bytes",
            },
        );
        write!(
            f,
            "the prompt has {than}{length} {unit}, and the model's context holds at most {most}; shorten it"
        )
    }
}

impl From<TooLong> for JobError {
    fn from(long: TooLong) -> Self {
        Self { code: FailureReason::InvalidJob, message: long.to_string() }
    }
}

impl Limits {
    /// Limits with a deadline `time` from now, and `cancel`.
    pub fn new(time: Duration, cancel: Cancel) -> Self {
        // A time beyond the clock's range is no limit.
        Self { deadline: Instant::now().checked_add(time), cancel }
    }

    /// Limits without a deadline.
    pub fn until(cancel: Cancel) -> Self {
        Self { deadline: None, cancel }
    }

    /// No limits.
    pub fn none() -> Self {
        Self { deadline: None, cancel: Cancel::default() }
    }

    /// `Ok` while the deadline is ahead and the job is not cancelled.
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
    /// A failure with its reason and one line for people, which is shortened if it is long: it may repeat what a caller, a server or
    /// a model's file says, and it is kept with the job.
    pub fn failed(code: FailureReason, message: impl Into<String>) -> Self {
        Self::Failed(JobError { code, message: text::message(&message.into()) })
    }

    /// The job is not valid.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::failed(FailureReason::InvalidJob, message)
    }

    /// The model is not on this machine, or does not load.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::failed(FailureReason::ModelUnavailable, message)
    }

    /// The caller does not read the streamed text fast enough.
    pub fn slow_reader() -> Self {
        Self::failed(FailureReason::DeadlineExceeded, "the text was not read as fast as it came")
    }

    /// The deadline has passed.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failure_repeats_is_bounded() {
        let Unfinished::Failed(error) = Unfinished::invalid("x".repeat(1_000_000)) else {
            panic!("a failure")
        };
        assert_eq!(error.message.chars().count(), text::LONGEST_MESSAGE);
    }
}
