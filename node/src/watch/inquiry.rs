//! Questions to the watch: which problems there are now.

use poq_primitives::problem::Problem;
use tokio::sync::{mpsc, oneshot};

/// Most questions that wait for an answer. Further ones wait for their place.
const WAITING: usize = 16;

/// A handle with which others ask the watch.
#[derive(Clone, Debug)]
pub struct Inquiry(mpsc::Sender<oneshot::Sender<Vec<Problem>>>);

/// The questions, for the watch to answer.
#[derive(Debug)]
pub struct Questions(mpsc::Receiver<oneshot::Sender<Vec<Problem>>>);

/// A handle and its questions.
pub fn inquiry() -> (Inquiry, Questions) {
    let (ask, asked) = mpsc::channel(WAITING);
    (Inquiry(ask), Questions(asked))
}

impl Inquiry {
    /// The problems that were logged and hold now. `None` if this node has no watch.
    pub async fn problems(&self) -> Option<Vec<Problem>> {
        let (answer, answered) = oneshot::channel();
        self.0.send(answer).await.ok()?;
        answered.await.ok()
    }
}

impl Questions {
    /// The next question, to be answered with the problems of now. `None` if nobody can ask any more.
    pub async fn next(&mut self) -> Option<oneshot::Sender<Vec<Problem>>> {
        self.0.recv().await
    }
}
