//! The queue: which jobs there are, which is next, who waits for which.
//!
//! [`Queue`] is the only owner of the job store. Its invariants:
//! - a job that was accepted is on disk before the caller hears of it;
//! - a job is in memory exactly while it is unfinished, and on disk until it is deleted or swept;
//! - work on a job is counted on disk before it begins, so that a job that kills the engine is given up.

use crate::{
    job_id::JobId,
    limits::{Cancel, Unfinished},
    store::{Record, Store},
};
use poq_primitives::job::{FailureReason, Job, JobError, JobResult, JobState, JobStatus};
use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// How often the engine may die under a job before the job is given up.
pub const MAX_ATTEMPTS: u32 = 3;

/// Jobs that share one worker thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Generation.
    Generate,
    /// Scoring.
    Score,
}

impl Lane {
    /// The lane of `job`.
    pub fn of(job: &Job) -> Self {
        match job {
            Job::Generate(_) => Self::Generate,
            Job::Score(_) => Self::Score,
        }
    }
}

/// Jobs, waiting, running and done.
#[derive(Debug)]
pub struct Queue {
    store: Store,
    limit: usize,
    state: Mutex<State>,
    /// Told when a job is added and when the queue closes.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Unfinished jobs; and finished ones that the disk would not take, until it does.
    active: HashMap<JobId, Active>,
    generate: VecDeque<JobId>,
    score: VecDeque<JobId>,
    closed: bool,
}

#[derive(Debug)]
struct Active {
    record: Record,
    cancel: Cancel,
    /// Dropped when the job is finished, which wakes all who wait for it.
    _finished: Option<watch::Sender<()>>,
    waiters: watch::Receiver<()>,
}

/// A job's status and, while it is unfinished, something to wait on.
#[derive(Debug)]
pub struct Ticket {
    /// Where the job stands.
    pub status: JobStatus,
    /// Closed when the job is finished or deleted; `None` if nothing more will happen.
    pub unfinished: Option<watch::Receiver<()>>,
}

/// Work handed to a worker.
#[derive(Debug)]
pub struct Work {
    /// Whose work it is.
    pub id: JobId,
    /// What to do.
    pub job: Job,
    /// Set when the result is no longer wanted.
    pub cancel: Cancel,
}

/// Why a job was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Too many jobs already.
    #[error("the queue is full")]
    Full,
    /// The id belongs to another job.
    #[error("this id belongs to a different job")]
    Conflict,
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Closed,
    /// The job could not be written down.
    #[error("the job store fails: {0}")]
    Store(#[from] io::Error),
}

impl Queue {
    /// Takes up the jobs in `store` that are not finished. Those whose work a crash cut short go behind those
    /// that were only waiting, and are given up after [`MAX_ATTEMPTS`].
    pub fn open(store: Store, limit: usize) -> io::Result<Self> {
        let mut records = store.unfinished()?;
        records.sort_by_key(|record| record.attempts);
        let mut state = State::default();
        for mut record in records {
            if record.state == JobState::Running && record.attempts >= MAX_ATTEMPTS {
                tracing::warn!(id = %record.id, "the engine died under this job too often; it is given up");
                record.state =
                    failed(FailureReason::EngineAborted, "the engine died under the job too often");
                store.put(&record)?;
                continue;
            }
            record.state = JobState::Queued;
            state.add(record);
        }
        Ok(Self { store, limit, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Takes a job, once: the same id with the same job again gives the first one's status.
    pub fn submit(&self, id: JobId, job: Job) -> Result<Ticket, SubmitError> {
        let mut state = self.lock();
        let known = match state.active.get(&id) {
            Some(active) => Some(active.record.clone()),
            None => self.store.get(id)?,
        };
        if let Some(record) = known {
            return if record.job == job { Ok(state.ticket(record)) } else { Err(SubmitError::Conflict) };
        }
        if state.closed {
            return Err(SubmitError::Closed);
        }
        if state.active.len() >= self.limit {
            return Err(SubmitError::Full);
        }
        let record = Record::new(id, job);
        self.store.put(&record)?;
        state.add(record.clone());
        self.changed.notify_all();
        Ok(state.ticket(record))
    }

    /// Where the job stands; `None` if it is not known.
    pub fn ticket(&self, id: JobId) -> io::Result<Option<Ticket>> {
        let state = self.lock();
        let record = match state.active.get(&id) {
            Some(active) => Some(active.record.clone()),
            None => self.store.get(id)?,
        };
        Ok(record.map(|record| state.ticket(record)))
    }

    /// Cancels the job and forgets it; an unknown id is fine.
    pub fn delete(&self, id: JobId) -> io::Result<()> {
        let mut state = self.lock();
        self.store.remove(id)?;
        if let Some(active) = state.remove(id) {
            active.cancel.set();
        }
        Ok(())
    }

    /// The next job of `lane`, marked as running; waits for one. `None` once the queue is closed.
    pub fn take(&self, lane: Lane) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(work) = self.begin_next(&mut state, lane) {
                return Some(work);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn begin_next(&self, state: &mut State, lane: Lane) -> Option<Work> {
        let id = state.lane(lane).pop_front()?;
        let active = state.active.get_mut(&id)?;
        active.record.state = JobState::Running;
        active.record.attempts = active.record.attempts.saturating_add(1);
        if let Err(error) = self.store.put(&active.record) {
            tracing::error!(%id, %error, "the job store fails; the job is done all the same");
        }
        Some(Work { id, job: active.record.job.clone(), cancel: active.cancel.clone() })
    }

    /// Writes down what came of `work`. If the job was deleted meanwhile, nothing happens.
    pub fn finish(&self, work: &Work, outcome: Result<JobResult, Unfinished>) {
        let mut state = self.lock();
        let Some(active) =
            state.active.get_mut(&work.id).filter(|active| active.cancel.is_same(&work.cancel))
        else {
            return;
        };
        match outcome {
            Ok(result) => active.record.state = JobState::Done { result },
            Err(Unfinished::Failed(error)) => active.record.state = JobState::Failed { error },
            Err(Unfinished::Cancelled) => {
                // The engine is stopping. That is no fault of the job, so the attempt does not count.
                active.record.state = JobState::Queued;
                active.record.attempts = active.record.attempts.saturating_sub(1);
            }
        }
        self.settle(&mut state, work.id);
    }

    /// Writes the record of an active job; a finished one then leaves the memory.
    fn settle(&self, state: &mut State, id: JobId) {
        let Some(active) = state.active.get_mut(&id) else { return };
        let written = self.store.put(&active.record);
        if let Err(error) = &written {
            tracing::error!(%id, %error, "the job store fails; the result is kept in memory");
        }
        if active.record.is_finished() {
            active._finished = None;
            if written.is_ok() {
                state.active.remove(&id);
            }
        }
    }

    /// Forgets finished jobs older than `age`, and tries again to write down those that the disk would not
    /// take.
    pub fn sweep(&self, age: Duration) -> io::Result<usize> {
        let mut state = self.lock();
        let finished = |active: &&Active| active.record.is_finished();
        let unwritten: Vec<JobId> =
            state.active.values().filter(finished).map(|active| active.record.id).collect();
        for id in unwritten {
            self.settle(&mut state, id);
        }
        let keep = state.active.keys().copied().collect();
        drop(state);
        self.store.sweep(age, &keep)
    }

    /// Hands out no more work and asks for what is running to be given back. Jobs stay on disk for the next
    /// start.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.active.values().for_each(|active| active.cancel.set());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, record: Record) {
        let (finished, waiters) = watch::channel(());
        self.lane(Lane::of(&record.job)).push_back(record.id);
        let active = Active { cancel: Cancel::default(), _finished: Some(finished), waiters, record };
        self.active.insert(active.record.id, active);
    }

    fn remove(&mut self, id: JobId) -> Option<Active> {
        let active = self.active.remove(&id)?;
        self.lane(Lane::of(&active.record.job)).retain(|waiting| *waiting != id);
        Some(active)
    }

    fn lane(&mut self, lane: Lane) -> &mut VecDeque<JobId> {
        match lane {
            Lane::Generate => &mut self.generate,
            Lane::Score => &mut self.score,
        }
    }

    fn ticket(&self, record: Record) -> Ticket {
        let waiters = self.active.get(&record.id).map(|active| active.waiters.clone());
        let unfinished = waiters.filter(|_| !record.is_finished());
        Ticket { status: JobStatus { id: record.id.to_string(), state: record.state }, unfinished }
    }
}

fn failed(code: FailureReason, message: &str) -> JobState {
    JobState::Failed { error: JobError { code, message: message.to_owned() } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poq_primitives::job::{GenerateJob, ScoreJob};
    use std::path::Path;

    fn open(folder: &Path) -> Queue {
        Queue::open(Store::open(folder.to_owned()).unwrap(), 3).unwrap()
    }

    fn score(text: &str) -> Job {
        Job::Score(ScoreJob { model: "m".into(), prompt: text.into(), responses: vec!["r".into()] })
    }

    fn generate(text: &str) -> Job {
        Job::Generate(GenerateJob {
            model: "m".into(),
            prompt: text.into(),
            max_tokens: 1,
            max_bytes: 1,
            temperature_milli: 0,
            seed: 0,
        })
    }

    fn id(byte: u8) -> JobId {
        [byte; 32].into()
    }

    fn state(queue: &Queue, byte: u8) -> Option<JobState> {
        queue.ticket(id(byte)).unwrap().map(|ticket| ticket.status.state)
    }

    fn result() -> JobResult {
        JobResult::Score { scores: vec![7] }
    }

    #[test]
    fn a_job_is_taken_once_and_an_id_has_one_job() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a")).unwrap();
        queue.submit(id(1), score("a")).unwrap();
        assert!(matches!(queue.submit(id(1), score("b")), Err(SubmitError::Conflict)));
        let work = queue.take(Lane::Score).unwrap();
        assert_eq!(state(&queue, 1), Some(JobState::Running));
        queue.submit(id(1), score("a")).unwrap();
        queue.finish(&work, Ok(result()));
        let ticket = queue.submit(id(1), score("a")).unwrap();
        assert_eq!(ticket.status.state, JobState::Done { result: result() });
        assert!(ticket.unfinished.is_none());
        assert!(matches!(queue.submit(id(1), score("b")), Err(SubmitError::Conflict)));
        queue.submit(id(2), score("next")).unwrap();
        assert_eq!(queue.take(Lane::Score).unwrap().id, id(2), "the first one is not handed out again");
    }

    #[test]
    fn lanes_are_apart_and_first_come_is_first_served() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), generate("a")).unwrap();
        queue.submit(id(2), generate("b")).unwrap();
        queue.submit(id(3), score("c")).unwrap();
        assert_eq!(queue.take(Lane::Score).unwrap().id, id(3));
        assert_eq!(queue.take(Lane::Generate).unwrap().id, id(1));
        assert_eq!(queue.take(Lane::Generate).unwrap().id, id(2));
    }

    #[test]
    fn a_full_queue_turns_away_new_jobs_only() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        for byte in 1..=3 {
            queue.submit(id(byte), score("a")).unwrap();
        }
        assert!(matches!(queue.submit(id(4), score("a")), Err(SubmitError::Full)));
        queue.submit(id(1), score("a")).unwrap();
        let work = queue.take(Lane::Score).unwrap();
        queue.finish(&work, Ok(result()));
        queue.submit(id(4), score("a")).unwrap();
    }

    #[test]
    fn a_restart_takes_up_what_was_unfinished() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        for byte in 1..=3 {
            queue.submit(id(byte), score("a")).unwrap();
        }
        let done = queue.take(Lane::Score).unwrap();
        queue.finish(&done, Ok(result()));
        let _running_at_the_crash = queue.take(Lane::Score).unwrap();
        let queue = open(folder.path());
        assert_eq!(state(&queue, 1), Some(JobState::Done { result: result() }));
        assert_eq!(queue.take(Lane::Score).unwrap().id, id(3), "what only waited comes first");
        assert_eq!(queue.take(Lane::Score).unwrap().id, id(2));
    }

    #[test]
    fn a_job_that_kills_the_engine_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).submit(id(1), score("a")).unwrap();
        for _ in 0..MAX_ATTEMPTS {
            let queue = open(folder.path());
            assert_eq!(state(&queue, 1), Some(JobState::Queued));
            queue.take(Lane::Score).unwrap();
        }
        let queue = open(folder.path());
        let Some(JobState::Failed { error }) = state(&queue, 1) else { panic!("given up") };
        assert_eq!(error.code, FailureReason::EngineAborted);
    }

    #[test]
    fn stopping_gives_work_back_and_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).submit(id(1), score("a")).unwrap();
        for _ in 0..MAX_ATTEMPTS + 1 {
            let queue = open(folder.path());
            let work = queue.take(Lane::Score).unwrap();
            queue.close();
            assert!(work.cancel.is_set());
            assert!(queue.take(Lane::Score).is_none());
            assert!(matches!(queue.submit(id(2), score("b")), Err(SubmitError::Closed)));
            queue.finish(&work, Err(Unfinished::Cancelled));
        }
        assert_eq!(state(&open(folder.path()), 1), Some(JobState::Queued));
    }

    #[test]
    fn deleting_cancels_and_a_late_result_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a")).unwrap();
        let work = queue.take(Lane::Score).unwrap();
        queue.delete(id(1)).unwrap();
        queue.delete(id(1)).unwrap();
        assert!(work.cancel.is_set());
        assert_eq!(state(&queue, 1), None);
        // The same id again is a new job; the old one's result is not its result.
        queue.submit(id(1), score("other")).unwrap();
        queue.finish(&work, Ok(result()));
        assert_eq!(state(&queue, 1), Some(JobState::Queued));
        assert_eq!(queue.take(Lane::Score).unwrap().job, score("other"));
    }

    #[test]
    fn deleting_a_waiting_job_takes_it_out_of_its_lane() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a")).unwrap();
        queue.submit(id(2), score("b")).unwrap();
        queue.delete(id(1)).unwrap();
        assert_eq!(queue.take(Lane::Score).unwrap().id, id(2));
        assert_eq!(state(&open(folder.path()), 1), None);
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        let mut done = queue.submit(id(1), score("a")).unwrap().unfinished.unwrap();
        let mut deleted = queue.submit(id(2), score("b")).unwrap().unfinished.unwrap();
        let work = queue.take(Lane::Score).unwrap();
        queue.finish(&work, Ok(result()));
        queue.delete(id(2)).unwrap();
        assert!(done.changed().await.is_err() && deleted.changed().await.is_err());
    }

    #[test]
    fn results_outlive_a_disk_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = folder.path().join("jobs");
        let queue = open(&jobs);
        queue.submit(id(1), score("a")).unwrap();
        let work = queue.take(Lane::Score).unwrap();
        std::fs::remove_dir_all(&jobs).unwrap();
        queue.finish(&work, Ok(result()));
        assert_eq!(state(&queue, 1), Some(JobState::Done { result: result() }));
        assert!(matches!(queue.submit(id(2), score("b")), Err(SubmitError::Store(_))));
        std::fs::create_dir(&jobs).unwrap();
        queue.sweep(Duration::from_secs(60)).unwrap();
        assert_eq!(state(&open(&jobs), 1), Some(JobState::Done { result: result() }));
    }

    #[test]
    fn sweeping_spares_what_is_unfinished() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a")).unwrap();
        queue.submit(id(2), score("b")).unwrap();
        let work = queue.take(Lane::Score).unwrap();
        queue.finish(&work, Ok(result()));
        let old = std::time::SystemTime::now() - Duration::from_secs(100);
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            std::fs::File::open(entry.unwrap().path()).unwrap().set_modified(old).unwrap();
        }
        assert_eq!(queue.sweep(Duration::from_secs(50)).unwrap(), 1);
        assert_eq!(state(&queue, 1), None);
        assert_eq!(state(&queue, 2), Some(JobState::Queued));
    }
}
