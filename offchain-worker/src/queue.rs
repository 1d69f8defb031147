//! The queue: which jobs there are, which is next, who waits for which.
//!
//! [`Queue`] is the only owner of the job store. Its invariants:
//! - a job that was accepted is on disk before the caller hears of it;
//! - a job is in memory exactly while it is unfinished, and on disk until it is deleted or swept;
//! - of the jobs of one model, the one that came first goes first, and no more than the model can work on at a time
//!   are handed out; one model's jobs never wait for another model.

use crate::{
    job_id::JobId,
    limits::{Cancel, Unfinished},
    store::{Record, Store},
};
use poq_primitives::job::{FailureReason, Job, JobError, JobResult, JobState, JobStatus};
use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// How often a model's process may die under a job before the job is given up.
pub const MAX_DEATHS: u32 = 2;

/// How many jobs of one model are handed out at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Width {
    /// Of a generator.
    pub generate: usize,
    /// Of an evaluator.
    pub score: usize,
    /// Of these models, by id, whatever they are.
    pub of_model: HashMap<String, usize>,
}

impl Width {
    fn of(&self, job: &Job) -> usize {
        if let Some(width) = self.of_model.get(job.model()) {
            return *width;
        }
        match job {
            Job::Generate(_) => self.generate,
            Job::Score(_) => self.score,
        }
    }
}

/// Jobs, waiting, running and done.
#[derive(Debug)]
pub struct Queue {
    store: Store,
    limit: usize,
    width: Width,
    state: Mutex<State>,
    /// Told when there may be something to hand out, and when the queue closes.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Unfinished jobs; and finished ones that the disk would not take, until it does.
    active: HashMap<JobId, Active>,
    waiting: VecDeque<JobId>,
    /// How many jobs of a model are handed out.
    running: HashMap<String, usize>,
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

/// Work that was handed out. It has to come back through [`Queue::finish`].
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
    /// Takes up the jobs in `store` that are not finished, in the order they came. At most `limit` are unfinished at
    /// a time.
    pub fn open(store: Store, limit: usize, width: Width) -> io::Result<Self> {
        let mut state = State::default();
        for record in store.unfinished()? {
            state.add(record.queued());
        }
        let (changed, _) = watch::channel(());
        Ok(Self { store, limit, width, state: Mutex::new(state), changed })
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
        self.changed.send_replace(());
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

    /// The next job, once there is one whose model can work on it. `None` once the queue is closed.
    pub async fn take(&self) -> Option<Work> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            {
                let mut state = self.lock();
                if state.closed {
                    return None;
                }
                if let Some(work) = state.begin_next(&self.width) {
                    return Some(work);
                }
            }
            // The sender lives in `self`, so this ends only with news.
            let _news = changed.changed().await;
        }
    }

    /// Writes down what came of `work`. If the job was deleted meanwhile, the outcome is dropped.
    pub fn finish(&self, work: &Work, outcome: Result<JobResult, Unfinished>) {
        let mut state = self.lock();
        state.give_back(work.job.model());
        self.changed.send_replace(());
        let closed = state.closed;
        let Some(active) =
            state.active.get_mut(&work.id).filter(|active| active.cancel.is_same(&work.cancel))
        else {
            return;
        };
        active.record.state = match outcome {
            Ok(result) => JobState::Done { result },
            Err(Unfinished::Failed(error)) => JobState::Failed { error },
            // The engine is stopping. That is no fault of the job.
            Err(Unfinished::Cancelled) => JobState::Queued,
            Err(Unfinished::Died(how)) => {
                active.record.deaths = active.record.deaths.saturating_add(1);
                match active.record.deaths >= MAX_DEATHS {
                    true => failed(
                        FailureReason::EngineAborted,
                        format!("the model's process died under the job: {how}"),
                    ),
                    false => JobState::Queued,
                }
            }
        };
        let again = active.record.state == JobState::Queued && !closed;
        self.settle(&mut state, work.id);
        if again {
            // Behind those who wait: what it did once, it may do again.
            state.waiting.push_back(work.id);
        }
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

    /// Tries again to write down the results that the disk would not take, until it refuses one.
    pub fn write_down(&self) {
        let mut state = self.lock();
        let finished = |active: &&Active| active.record.is_finished();
        let unwritten: Vec<JobId> =
            state.active.values().filter(finished).map(|active| active.record.id).collect();
        for id in unwritten {
            self.settle(&mut state, id);
            if state.active.contains_key(&id) {
                return;
            }
        }
    }

    /// Forgets finished jobs older than `age`.
    pub fn sweep(&self, age: Duration) -> io::Result<usize> {
        let keep = self.lock().active.keys().copied().collect();
        self.store.sweep(age, &keep)
    }

    /// Hands out no more work and asks for what is running to be given back. Jobs stay on disk for the next
    /// start.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.active.values().for_each(|active| active.cancel.set());
        self.changed.send_replace(());
    }

    /// How many jobs wait, and how many are handed out.
    pub fn depth(&self) -> (usize, usize) {
        let state = self.lock();
        (state.waiting.len(), state.running.values().sum())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, record: Record) {
        let (finished, waiters) = watch::channel(());
        self.waiting.push_back(record.id);
        let active = Active { cancel: Cancel::default(), _finished: Some(finished), waiters, record };
        self.active.insert(active.record.id, active);
    }

    fn remove(&mut self, id: JobId) -> Option<Active> {
        let active = self.active.remove(&id)?;
        self.waiting.retain(|waiting| *waiting != id);
        Some(active)
    }

    /// The first job whose model has room for it, marked as running.
    fn begin_next(&mut self, width: &Width) -> Option<Work> {
        let has_room = |id: &JobId| {
            let job = &self.active.get(id)?.record.job;
            let running = self.running.get(job.model()).copied().unwrap_or(0);
            (running < width.of(job)).then_some(())
        };
        let place = self.waiting.iter().position(|id| has_room(id).is_some())?;
        let id = self.waiting.remove(place)?;
        let active = self.active.get_mut(&id)?;
        active.record.state = JobState::Running;
        let running = self.running.entry(active.record.job.model().to_owned()).or_default();
        *running = running.saturating_add(1);
        Some(Work { id, job: active.record.job.clone(), cancel: active.cancel.clone() })
    }

    fn give_back(&mut self, model: &str) {
        if let Some(running) = self.running.get_mut(model) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(model);
            }
        }
    }

    fn ticket(&self, record: Record) -> Ticket {
        let waiters = self.active.get(&record.id).map(|active| active.waiters.clone());
        let unfinished = waiters.filter(|_| !record.is_finished());
        Ticket { status: JobStatus { id: record.id.to_string(), state: record.state }, unfinished }
    }
}

fn failed(code: FailureReason, message: String) -> JobState {
    JobState::Failed { error: JobError { code, message } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use poq_primitives::job::{GenerateJob, ScoreJob};
    use std::path::Path;

    fn open(folder: &Path) -> Queue {
        let width = Width { generate: 2, score: 1, of_model: HashMap::new() };
        Queue::open(Store::open(folder.to_owned()).unwrap(), 3, width).unwrap()
    }

    fn take(queue: &Queue) -> Option<Work> {
        queue.take().now_or_never().flatten()
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
        let work = take(&queue).unwrap();
        assert_eq!(state(&queue, 1), Some(JobState::Running));
        queue.submit(id(1), score("a")).unwrap();
        queue.finish(&work, Ok(result()));
        let ticket = queue.submit(id(1), score("a")).unwrap();
        assert_eq!(ticket.status.state, JobState::Done { result: result() });
        assert!(ticket.unfinished.is_none());
        assert!(matches!(queue.submit(id(1), score("b")), Err(SubmitError::Conflict)));
        queue.submit(id(2), score("next")).unwrap();
        assert_eq!(take(&queue).unwrap().id, id(2), "the first one is not handed out again");
    }

    #[test]
    fn models_do_not_wait_for_each_other_and_first_come_is_first_served() {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::open(
            Store::open(folder.path().to_owned()).unwrap(),
            9,
            Width { generate: 2, score: 1, of_model: HashMap::new() },
        )
        .unwrap();
        for byte in 1..=3 {
            queue.submit(id(byte), generate("a")).unwrap();
        }
        let Job::Score(other) = score("c") else { unreachable!() };
        for byte in 4..=5 {
            queue.submit(id(byte), Job::Score(ScoreJob { model: "n".into(), ..other.clone() })).unwrap();
        }
        let first = take(&queue).unwrap();
        assert_eq!(first.id, id(1));
        assert_eq!(take(&queue).unwrap().id, id(2), "a generator works on two");
        assert_eq!(take(&queue).unwrap().id, id(4), "and the other model need not wait");
        assert!(take(&queue).is_none());
        assert_eq!(queue.depth(), (2, 3));
        queue.finish(&first, Ok(result()));
        assert_eq!(take(&queue).unwrap().id, id(3));
        assert!(take(&queue).is_none());
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
        let work = take(&queue).unwrap();
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
        let done = take(&queue).unwrap();
        queue.finish(&done, Ok(result()));
        let _running_at_the_crash = take(&queue).unwrap();
        let queue = open(folder.path());
        assert_eq!(state(&queue, 1), Some(JobState::Done { result: result() }));
        let second = take(&queue).unwrap();
        assert_eq!(second.id, id(2));
        queue.finish(&second, Ok(result()));
        assert_eq!(take(&queue).unwrap().id, id(3));
    }

    #[test]
    fn a_job_that_kills_models_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).submit(id(1), score("a")).unwrap();
        for _ in 0..MAX_DEATHS {
            // The count outlives the engine.
            let queue = open(folder.path());
            assert_eq!(state(&queue, 1), Some(JobState::Queued));
            let work = take(&queue).unwrap();
            queue.finish(&work, Err(Unfinished::Died("signal 6".into())));
        }
        let queue = open(folder.path());
        let Some(JobState::Failed { error }) = state(&queue, 1) else { panic!("given up") };
        assert_eq!(error.code, FailureReason::EngineAborted);
        assert!(error.message.contains("signal 6"));
    }

    #[test]
    fn a_job_whose_model_died_goes_behind_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a")).unwrap();
        queue.submit(id(2), score("b")).unwrap();
        let work = take(&queue).unwrap();
        queue.finish(&work, Err(Unfinished::Died("signal 11".into())));
        let next = take(&queue).unwrap();
        assert_eq!(next.id, id(2));
        queue.finish(&next, Ok(result()));
        assert_eq!(take(&queue).unwrap().id, id(1));
    }

    #[test]
    fn a_killed_engine_is_no_fault_of_the_job() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).submit(id(1), score("a")).unwrap();
        for _ in 0..10 {
            assert_eq!(take(&open(folder.path())).unwrap().id, id(1));
        }
    }

    #[test]
    fn stopping_gives_work_back() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a")).unwrap();
        let work = take(&queue).unwrap();
        queue.close();
        assert!(work.cancel.is_set());
        assert!(take(&queue).is_none());
        assert!(matches!(queue.submit(id(2), score("b")), Err(SubmitError::Closed)));
        queue.finish(&work, Err(Unfinished::Cancelled));
        assert_eq!(state(&open(folder.path()), 1), Some(JobState::Queued));
    }

    #[test]
    fn deleting_cancels_and_a_late_result_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a")).unwrap();
        let work = take(&queue).unwrap();
        queue.delete(id(1)).unwrap();
        queue.delete(id(1)).unwrap();
        assert!(work.cancel.is_set());
        assert_eq!(state(&queue, 1), None);
        // The same id again is a new job; the old one's result is not its result.
        queue.submit(id(1), score("other")).unwrap();
        assert!(take(&queue).is_none(), "the model still works on the first");
        queue.finish(&work, Ok(result()));
        assert_eq!(state(&queue, 1), Some(JobState::Queued));
        assert_eq!(take(&queue).unwrap().job, score("other"));
    }

    #[test]
    fn deleting_a_waiting_job_takes_it_out_of_the_queue() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a")).unwrap();
        queue.submit(id(2), score("b")).unwrap();
        queue.delete(id(1)).unwrap();
        assert_eq!(take(&queue).unwrap().id, id(2));
        assert_eq!(state(&open(folder.path()), 1), None);
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        let mut done = queue.submit(id(1), score("a")).unwrap().unfinished.unwrap();
        let mut deleted = queue.submit(id(2), score("b")).unwrap().unfinished.unwrap();
        let work = take(&queue).unwrap();
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
        let work = take(&queue).unwrap();
        std::fs::remove_dir_all(&jobs).unwrap();
        queue.finish(&work, Ok(result()));
        assert_eq!(state(&queue, 1), Some(JobState::Done { result: result() }));
        assert!(matches!(queue.submit(id(2), score("b")), Err(SubmitError::Store(_))));
        std::fs::create_dir(&jobs).unwrap();
        queue.write_down();
        assert_eq!(state(&open(&jobs), 1), Some(JobState::Done { result: result() }));
    }

    #[test]
    fn sweeping_spares_what_is_unfinished() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a")).unwrap();
        queue.submit(id(2), score("b")).unwrap();
        let work = take(&queue).unwrap();
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
