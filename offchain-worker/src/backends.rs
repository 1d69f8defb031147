//! Who does the work for a model: this machine, or a server elsewhere.

use crate::{
    limits::Unfinished,
    metrics::{Metrics, WorkKind},
    pool::Pool,
    work::{Generated, Generation, Scored, Scoring},
};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Everything that work can be given to.
#[derive(Debug)]
pub struct Backends {
    pool: Arc<Pool>,
}

impl Backends {
    /// The models of this machine.
    pub fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }

    /// The models of this machine.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// What is counted: all work that is done here.
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.pool.metrics()
    }

    /// Makes an answer; `pieces` gets its text as it grows. Dropping the returned future ends the work.
    pub async fn generate(
        &self,
        work: &Generation,
        pieces: Option<mpsc::Sender<String>>,
    ) -> Result<Generated, Unfinished> {
        let under_way = self.metrics().begin(WorkKind::Generate);
        let outcome = self.pool.generate(work, pieces).await;
        under_way.generated(&outcome);
        outcome
    }

    /// Scores answers. Dropping the returned future ends the work.
    pub async fn score(&self, work: &Scoring) -> Result<Scored, Unfinished> {
        let under_way = self.metrics().begin(WorkKind::Score);
        let outcome = self.pool.score(work).await;
        under_way.scored(&outcome);
        outcome
    }
}
