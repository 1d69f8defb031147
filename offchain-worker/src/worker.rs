//! The threads that do the jobs: one generates, one scores, so that a long answer does not hold up the
//! scores.

use crate::{
    catalogue::Catalogue,
    limits::{Limits, Unfinished},
    queue::{Lane, Queue, Work},
    work::Scoring,
};
use poq_primitives::job::{Job, JobResult};
use std::{
    io,
    panic::{catch_unwind, AssertUnwindSafe},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Starts the worker threads. They end when the queue is closed.
pub fn start(
    queue: &Arc<Queue>,
    catalogue: &Arc<Catalogue>,
    job_time: Duration,
) -> io::Result<Vec<JoinHandle<()>>> {
    [(Lane::Generate, "poq-generate"), (Lane::Score, "poq-score")]
        .into_iter()
        .map(|(lane, name)| {
            let (queue, catalogue) = (Arc::clone(queue), Arc::clone(catalogue));
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(lane, &queue, &catalogue, job_time))
        })
        .collect()
}

fn work(lane: Lane, queue: &Queue, catalogue: &Catalogue, job_time: Duration) {
    while let Some(work) = queue.take(lane) {
        let begun = Instant::now();
        let limits = Limits::new(job_time, work.cancel.clone());
        // A panic in a backend fails its job; the thread goes on.
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&work.job, catalogue, &limits)))
            .unwrap_or_else(|_| Err(Unfinished::internal("the job panicked")));
        report(&work, &outcome, begun.elapsed());
        queue.finish(&work, outcome);
    }
}

/// Does one job with the models of `catalogue`.
pub fn run(job: &Job, catalogue: &Catalogue, limits: &Limits) -> Result<JobResult, Unfinished> {
    match job {
        Job::Generate(job) => {
            let generated = catalogue.generator(&job.model)?.generate(job, limits)?;
            Ok(JobResult::Generate { text: generated.text, tokens: generated.tokens })
        }
        Job::Score(job) => {
            // On chain, a score has to depend on nothing but its pair.
            let work = Scoring {
                model: job.model.clone(),
                question: job.prompt.clone(),
                answers: job.responses.clone(),
                alone: true,
            };
            let scored = catalogue.evaluator(&job.model)?.score(&work, limits)?;
            Ok(JobResult::Score { scores: scored.scores })
        }
    }
}

fn report(work: &Work, outcome: &Result<JobResult, Unfinished>, took: Duration) {
    let (id, ms) = (work.id, took.as_millis());
    match outcome {
        Ok(JobResult::Generate { tokens, .. }) => tracing::info!(%id, ms, tokens, "generated"),
        Ok(JobResult::Score { scores }) => tracing::info!(%id, ms, responses = scores.len(), "scored"),
        Err(Unfinished::Failed(error)) => {
            tracing::warn!(%id, ms, code = ?error.code, error.message, "failed")
        }
        Err(Unfinished::Cancelled) => tracing::info!(%id, ms, "cancelled"),
    }
}
