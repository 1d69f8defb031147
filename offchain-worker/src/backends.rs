//! The backend of each model: this machine, or a remote server.

use crate::{
    limits::Unfinished,
    metrics::{Metrics, WorkKind},
    pool::Pool,
    remote::{Remote, RemoteConfig, RemoteError},
    work::{Caller, Embedded, Embedding, Generated, Generation, Scored, Scoring},
};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// All backends.
#[derive(Debug)]
pub struct Backends {
    pool: Arc<Pool>,
    /// Remote servers by model id. They take precedence over models of this machine.
    remotes: HashMap<String, Arc<Remote>>,
}

/// Error in the configuration of the remote servers.
#[derive(Debug, thiserror::Error)]
pub enum BackendsError {
    /// The configuration of one server is invalid.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// Two servers are configured for the same model.
    #[error("[[remote]]: two servers are to serve the model {0}; give it to one of them")]
    Twice(String),
}

impl Backends {
    /// Backends for the models of this machine and for those of `remotes`.
    pub fn new(pool: Arc<Pool>, remotes: Vec<RemoteConfig>) -> Result<Self, BackendsError> {
        let mut by_model = HashMap::new();
        for config in remotes {
            let remote = Arc::new(Remote::new(config)?);
            let model = remote.config().model.clone();
            if by_model.insert(model.clone(), remote).is_some() {
                return Err(BackendsError::Twice(model));
            }
        }
        Ok(Self { pool, remotes: by_model })
    }

    /// The models of this machine.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The counters of all work, local and remote.
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.pool.metrics()
    }

    /// The remote servers, in no particular order.
    pub fn remotes(&self) -> impl Iterator<Item = &Arc<Remote>> {
        self.remotes.values()
    }

    /// Checks the health of the remote servers at intervals, until `stop`.
    pub fn watch(&self, stop: &CancellationToken) {
        for remote in self.remotes() {
            remote.watch(stop.clone());
        }
    }

    /// Generates an answer for a direct caller; `pieces` gets its text as it grows. Dropping the returned future ends the
    /// work.
    pub async fn generate(
        &self,
        work: &Generation,
        pieces: Option<mpsc::Sender<String>>,
    ) -> Result<Generated, Unfinished> {
        self.generate_for(Caller::Direct, work, pieces).await
    }

    /// As [`Self::generate`], for `caller`.
    pub async fn generate_for(
        &self,
        caller: Caller,
        work: &Generation,
        pieces: Option<mpsc::Sender<String>>,
    ) -> Result<Generated, Unfinished> {
        let under_way = self.metrics().begin(WorkKind::Generate);
        let outcome = match self.remotes.get(&work.model) {
            Some(remote) => remote.generate_for(caller, work, pieces).await,
            None => self.pool.generate_for(caller, work, pieces).await,
        };
        under_way.generated(&outcome);
        outcome
    }

    /// Scores answers for a direct caller. Dropping the returned future ends the work.
    pub async fn score(&self, work: &Scoring) -> Result<Scored, Unfinished> {
        self.score_for(Caller::Direct, work).await
    }

    /// As [`Self::score`], for `caller`.
    pub async fn score_for(&self, caller: Caller, work: &Scoring) -> Result<Scored, Unfinished> {
        let under_way = self.metrics().begin(WorkKind::Score);
        let outcome = match self.remotes.get(&work.model) {
            Some(remote) => remote.score_for(caller, work).await,
            None => self.pool.score_for(caller, work).await,
        };
        under_way.scored(&outcome);
        outcome
    }

    /// Makes vectors of texts for whoever asks and waits; models elsewhere make none. Dropping the returned future ends the work.
    pub async fn embed(&self, work: &Embedding) -> Result<Embedded, Unfinished> {
        let under_way = self.metrics().begin(WorkKind::Embed);
        let outcome = self.pool.embed(work).await;
        under_way.embedded(&outcome);
        outcome
    }
}
