//! Servers elsewhere that do the engine's work: the client side of the chat API of OpenAI ([`RemoteKind::Openai`])
//! and of rerank APIs ([`RemoteKind::Rerank`]).
//!
//! A server's answers are checked like any foreign input. Its faults become [`Unfinished`]:
//!
//! | fault | sent again | the job's failure |
//! |---|---|---|
//! | 400, 413, 422 | no | `invalid_job`, with the server's words |
//! | 401, 403 | no | `model_unavailable`: the server refuses the token |
//! | 404, 501, a redirect, any other 4xx | no | `model_unavailable` |
//! | 408, 424, 425, 429, other 5xx, no connection, a connection that breaks off | `retries` times | `model_unavailable` |
//! | an answer that makes no sense or has more than 16 MiB | once | `internal` |
//! | `timeout_ms` is over | no | `deadline_exceeded` |
//!
//! Between two tries there is a wait that doubles, with some chance in it; a longer `Retry-After` (in seconds) is
//! kept to up to a minute. If the wait would outlast `timeout_ms`, the job fails at once. A generation of which a
//! piece was shown is never sent again.

mod config;
pub mod health;
mod http;
mod openai;
mod rerank;
mod retry;
pub mod sse;

pub use config::{RemoteConfig, RemoteKind, RerankDialect, Scale};
pub use health::Health;
pub use http::MAX_BODY_BYTES;

use crate::{
    limits::Unfinished,
    work::{Caller, Generated, Generation, Scored, Scoring},
};
use health::Board;
use http::{Fault, Http};
use poq_primitives::job::{FailureReason, JobError};
use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::mpsc::Sender, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// Most time of a probe.
const PROBE_TIME: Duration = Duration::from_secs(10);

/// Why a server elsewhere cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// Its `[[remote]]` table is wrong.
    #[error("remote {name:?}: {problem}")]
    Value {
        /// The table's `name`.
        name: String,
        /// The fault and its remedy.
        problem: String,
    },
    /// It does not answer, or says that it cannot do the work.
    #[error("remote {name:?} does not work: {why}")]
    Down {
        /// The table's `name`.
        name: String,
        /// Why, in one line.
        why: String,
    },
}

/// A server elsewhere that does the work of one model.
#[derive(Debug)]
pub struct Remote {
    config: RemoteConfig,
    http: Http,
    board: Board,
    /// The server's name of the model, if it was asked for it.
    chosen: Mutex<Option<String>>,
}

impl Remote {
    /// Checks `config` and reads the token; sends nothing yet.
    pub fn new(config: RemoteConfig) -> Result<Self, RemoteError> {
        let http = Http::new(&config)?;
        Ok(Self { config, http, board: Board::default(), chosen: Mutex::default() })
    }

    /// Settings of the server.
    pub fn config(&self) -> &RemoteConfig {
        &self.config
    }

    /// Whether the server works, by the last probe or call that told. A server that is busy is up.
    pub fn health(&self) -> Health {
        self.board.read()
    }

    /// Lets the server go on with a conversation. With `pieces` the text is shown while it is written: the
    /// pieces, joined, are the final text; if nobody receives them any more, the work is cancelled. Dropping
    /// the future closes the connection, on which servers stop too.
    ///
    /// `max_bytes` and the stop sequences hold whatever the server does. The tokens are the server's count, 0 if it
    /// gives none: some give none, and none comes in a stream that our own limits end.
    pub async fn generate(
        &self,
        work: &Generation,
        pieces: Option<Sender<String>>,
    ) -> Result<Generated, Unfinished> {
        self.generate_for(Caller::Direct, work, pieces).await
    }

    /// As [`Self::generate`], for this caller: jobs get free places first.
    pub async fn generate_for(
        &self,
        caller: Caller,
        work: &Generation,
        pieces: Option<Sender<String>>,
    ) -> Result<Generated, Unfinished> {
        self.serves(RemoteKind::Openai)?;
        openai::check(work).map_err(|fault| self.unfinished(fault))?;
        self.call(|deadline| openai::generate(self, caller, deadline, work, pieces.as_ref())).await
    }

    /// Lets the server score answers: one request for each if they are scored alone, else in batches. The tokens
    /// are the server's count, 0 if it gives none.
    pub async fn score(&self, work: &Scoring) -> Result<Scored, Unfinished> {
        self.score_for(Caller::Direct, work).await
    }

    /// As [`Self::score`], for this caller: jobs get free places first.
    pub async fn score_for(&self, caller: Caller, work: &Scoring) -> Result<Scored, Unfinished> {
        self.serves(RemoteKind::Rerank)?;
        rerank::check(work).map_err(|fault| self.unfinished(fault))?;
        self.call(|deadline| rerank::score(self, caller, deadline, work)).await
    }

    /// Asks the server whether it works, once: a generator for its list of models, in which `remote_model` has to be;
    /// an evaluator for `/health`. One that has no `/health` but answers is taken for working.
    pub async fn probe(&self) -> Result<(), RemoteError> {
        let looked = timeout(PROBE_TIME.min(self.config.timeout()), self.look()).await;
        let why = match looked {
            Ok(Ok(())) => {
                self.board.up(&self.config.name);
                return Ok(());
            }
            Ok(Err(fault)) => fault.message(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.board.down(&self.config.name, why.clone());
        Err(RemoteError::Down { name: self.config.name.clone(), why })
    }

    /// Probes the server every `health_interval_ms` until told to stop.
    pub fn watch(self: &Arc<Self>, stop: CancellationToken) -> JoinHandle<()> {
        let remote = Arc::clone(self);
        let pause = Duration::from_millis(remote.config.health_interval_ms);
        let watching = async move {
            loop {
                // The board, and when it changes the log, say how it went.
                let _ = remote.probe().await;
                tokio::time::sleep(pause).await;
            }
        };
        tokio::spawn(async move {
            stop.run_until_cancelled(watching).await;
        })
    }

    async fn look(&self) -> Result<(), Fault> {
        match self.config.kind {
            RemoteKind::Openai => self.look_for_model().await,
            RemoteKind::Rerank => {
                let request = self.http.get(self.http.beside("/health"));
                self.http.reach(request).await
            }
        }
    }

    async fn look_for_model(&self) -> Result<(), Fault> {
        let models = openai::models(self).await?;
        let missing = match &self.config.remote_model {
            Some(name) => !models.contains(name),
            None => models.is_empty(),
        };
        if !missing {
            return Ok(());
        }
        let wanted = self.config.remote_model.as_deref().unwrap_or("any model");
        let has = if models.is_empty() { "none".to_owned() } else { models.join(", ") };
        Err(Fault::unavailable(self.http.redact(format!("it does not list {wanted}; its models: {has}"))))
    }

    fn serves(&self, kind: RemoteKind) -> Result<(), Unfinished> {
        if self.config.kind == kind {
            return Ok(());
        }
        let what = match self.config.kind {
            RemoteKind::Openai => "a generator and does not score",
            RemoteKind::Rerank => "an evaluator and does not generate",
        };
        Err(self.unfinished(Fault::invalid(format!("the model is {what}"))))
    }

    /// Does a call within its time and notes what it tells of the server's health.
    async fn call<'a, T, Work>(&'a self, work: impl FnOnce(Instant) -> Work) -> Result<T, Unfinished>
    where
        Work: Future<Output = Result<T, Fault>> + 'a,
    {
        let time = self.config.timeout();
        let now = Instant::now();
        let deadline = now.checked_add(time).unwrap_or(now);
        let Ok(outcome) = timeout(time, work(deadline)).await else {
            let message = self.named(&format!("no answer within {} ms", self.config.timeout_ms));
            return Err(Unfinished::failed(FailureReason::DeadlineExceeded, message));
        };
        match &outcome {
            Ok(_) | Err(Fault::Final { up: true, .. } | Fault::Passing { up: true, .. }) => {
                self.board.up(&self.config.name);
            }
            Err(fault) => self.board.down(&self.config.name, fault.message()),
        }
        outcome.map_err(|fault| self.unfinished(fault))
    }

    fn unfinished(&self, fault: Fault) -> Unfinished {
        match fault {
            Fault::Final { outcome: Unfinished::Failed(JobError { code, message }), .. } => {
                Unfinished::failed(code, self.named(&message))
            }
            Fault::Final { outcome, .. } => outcome,
            Fault::Passing { message, .. } => Unfinished::unavailable(self.named(&message)),
            Fault::Garbage(_) => Unfinished::internal(self.named(&fault.message())),
        }
    }

    fn named(&self, message: &str) -> String {
        format!("remote {:?}: {message}", self.config.name)
    }

    fn chosen(&self) -> Option<String> {
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn choose(&self, model: Option<String>) {
        *self.chosen.lock().unwrap_or_else(PoisonError::into_inner) = model;
    }
}
