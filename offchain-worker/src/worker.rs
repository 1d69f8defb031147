//! From the queue to the backends and back: every job that is handed out is a task of its own.

use crate::{
    backends::Backends,
    limits::{Cancel, Unfinished},
    metrics::WorkKind,
    queue::{Queue, Work},
    work::{Caller, Extras, Generation, Message, Scoring},
};
use poq_primitives::{
    conversation,
    job::{GenerateJob, Job, JobResult, ScoreJob},
};
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::{JoinHandle, JoinSet};

/// Hands out jobs until the queue is closed, then waits for those under way to be given back.
pub fn start(queue: Arc<Queue>, backends: Arc<Backends>, job_time: Duration) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut under_way = JoinSet::new();
        while let Some(work) = queue.take().await {
            under_way.spawn(do_and_finish(work, Arc::clone(&queue), Arc::clone(&backends), job_time));
            while under_way.try_join_next().is_some() {}
        }
        while under_way.join_next().await.is_some() {}
    })
}

async fn do_and_finish(work: Work, queue: Arc<Queue>, backends: Arc<Backends>, job_time: Duration) {
    let begun = Instant::now();
    // On a task of its own: a panic fails its job, and the queue hears of it.
    let (job, cancel, metrics) = (work.job.clone(), work.cancel.clone(), Arc::clone(backends.metrics()));
    let doing = tokio::spawn(async move { within(job_time, &cancel, run(&job, &backends)).await });
    let outcome = doing.await.unwrap_or_else(|_| Err(Unfinished::internal("the job panicked")));
    report(&work, &outcome, begun.elapsed());
    metrics.job_finished(kind_of(&work.job), &outcome);
    // Writing the result down waits for the disk.
    let _written = tokio::task::spawn_blocking(move || queue.finish(&work, outcome)).await;
}

/// `work`, unless it is cancelled or takes longer than `time`. What it had begun is dropped then.
pub async fn within<T>(
    time: Duration,
    cancel: &Cancel,
    work: impl Future<Output = Result<T, Unfinished>>,
) -> Result<T, Unfinished> {
    tokio::select! {
        outcome = work => outcome,
        () = cancel.cancelled() => Err(Unfinished::Cancelled),
        () = tokio::time::sleep(time) => Err(Unfinished::late()),
    }
}

/// Does one job.
pub async fn run(job: &Job, backends: &Backends) -> Result<JobResult, Unfinished> {
    match job {
        Job::Generate(job) => {
            let generated = backends.generate_for(Caller::Job, &generation_of(job), None).await?;
            Ok(JobResult::Generate { text: generated.text, tokens: generated.tokens })
        }
        Job::Score(job) => {
            let scored = backends.score_for(Caller::Job, &scoring_of(job)).await?;
            Ok(JobResult::Score { scores: scored.scores })
        }
    }
}

fn kind_of(job: &Job) -> WorkKind {
    match job {
        Job::Generate(_) => WorkKind::Generate,
        Job::Score(_) => WorkKind::Score,
    }
}

fn generation_of(job: &GenerateJob) -> Generation {
    let (messages, options) = conversation::decode_with(&job.prompt);
    Generation {
        model: job.model.clone(),
        messages: messages.into_iter().map(Message::from).collect(),
        max_tokens: job.max_tokens,
        max_bytes: job.max_bytes,
        temperature: job.temperature_milli as f32 / 1000.0,
        top_p: options.top_p_milli.map_or(1.0, |top_p| f32::from(top_p) / 1000.0),
        seed: job.seed,
        stop: options.stop,
        extras: Extras::default(),
    }
}

fn scoring_of(job: &ScoreJob) -> Scoring {
    Scoring {
        model: job.model.clone(),
        question: conversation::question(&job.prompt).into_owned(),
        answers: job.responses.clone(),
        alone: true,
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
        Err(Unfinished::TooLong(long)) => tracing::warn!(%id, ms, %long, "failed"),
        Err(Unfinished::Cancelled) => tracing::info!(%id, ms, "cancelled"),
        Err(Unfinished::Died(how)) => tracing::warn!(%id, ms, how, "the model's process died"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Role;

    #[test]
    fn a_prompt_that_is_a_conversation_keeps_its_roles() {
        let prompt = "\u{1e}sBe brief.\u{1e}uHi\u{1e}aYes?\u{1e}uWhy?";
        let job = GenerateJob {
            model: "m".into(),
            prompt: prompt.into(),
            max_tokens: 1,
            max_bytes: 1,
            temperature_milli: 0,
            seed: 0,
        };
        let roles: Vec<_> = generation_of(&job).messages.into_iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
        assert_eq!((generation_of(&job).top_p, generation_of(&job).stop.len()), (1.0, 0));
        let narrow = generation_of(&GenerateJob { prompt: format!("\u{1e}p250\u{1e}e.{prompt}"), ..job });
        assert_eq!((narrow.top_p, narrow.stop, narrow.messages.len()), (0.25, vec![".".to_owned()], 4));
        let job = ScoreJob { model: "m".into(), prompt: prompt.into(), responses: vec!["r".into()] };
        assert!(scoring_of(&job).question.starts_with("Why?\n\nSystem: Be brief."));
    }
}
