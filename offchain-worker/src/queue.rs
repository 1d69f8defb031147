//! The queue of jobs: their order, and the callers that wait for them.
//!
//! [`Queue`] is the only owner of the job store. Its invariants:
//! - a job that was accepted is on disk before the caller hears of it;
//! - a job is in memory exactly while it is unfinished, and on disk until it is deleted or swept;
//! - of the waiting jobs of one model, the one with the earliest deadline goes first; jobs without a deadline go after
//!   those with one, in the order they came;
//! - no more jobs of a model are handed out than it can work on at a time; one model's jobs never wait for another model;
//! - a job whose deadline has passed is never handed out. [`Queue::end_late`] fails it, whether it waits or runs, and what
//!   comes of a running one is dropped.

use crate::{
    job_id::JobId,
    limits::{Cancel, Unfinished},
    store::{now_ms, Record, Store},
};
use poq_primitives::job::{FailureReason, Job, JobError, JobResult, JobState, JobStatus};
use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// Deaths of a model's process under a job after which the job is given up.
pub const MAX_DEATHS: u32 = 2;

/// Longest sleep until a deadline: deadlines go by the wall clock, which may be set while the engine sleeps.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Jobs of one model that are handed out at a time.
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
    /// Number of jobs handed out, by model.
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
    /// State of the job.
    pub status: JobStatus,
    /// Closed when the job is finished or deleted; `None` if nothing more will happen.
    pub unfinished: Option<watch::Receiver<()>>,
}

/// Work that was handed out. It has to come back through [`Queue::finish`].
#[derive(Debug)]
pub struct Work {
    /// The job's id.
    pub id: JobId,
    /// The job.
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
    /// Takes up the jobs in `store` that are not finished, in the order they came, and fails those whose deadline has
    /// passed. At most `limit` are unfinished at a time.
    pub fn open(store: Store, limit: usize, width: Width) -> io::Result<Self> {
        let mut state = State::default();
        for record in store.unfinished()? {
            state.add(record.queued());
        }
        let (changed, _) = watch::channel(());
        let queue = Self { store, limit, width, state: Mutex::new(state), changed };
        queue.end_late();
        Ok(queue)
    }

    /// Takes a job, once: the same id with the same job again gives the first one's status. `deadline_ms`, in
    /// milliseconds since 1970, replaces the deadline of an unfinished job and queues a job anew that missed its own.
    pub fn submit(&self, id: JobId, job: Job, deadline_ms: Option<u64>) -> Result<Ticket, SubmitError> {
        let mut state = self.lock();
        let known = match state.active.get(&id) {
            Some(active) => Some(active.record.clone()),
            None => self.store.get(id)?,
        };
        let mut record = Record::new(id, job);
        record.deadline_ms = deadline_ms;
        if let Some(known) = known {
            if known.job != record.job {
                return Err(SubmitError::Conflict);
            }
            let now = now_ms();
            if !known.missed_deadline(now) || deadline_ms.is_none_or(|deadline_ms| deadline_ms <= now) {
                self.move_deadline(&mut state, id, deadline_ms);
                return Ok(state.ticket(known));
            }
            record.deaths = known.deaths;
        }
        if state.closed {
            return Err(SubmitError::Closed);
        }
        if state.active.len() >= self.limit {
            return Err(SubmitError::Full);
        }
        self.store.put(&record)?;
        state.add(record.clone());
        self.changed.send_replace(());
        Ok(state.ticket(record))
    }

    /// Gives an unfinished job another deadline, if there is one. Where the disk does not take it, it holds until the
    /// engine ends.
    fn move_deadline(&self, state: &mut State, id: JobId, deadline_ms: Option<u64>) {
        let moves = |active: &&mut Active| {
            deadline_ms.is_some() && deadline_ms != active.record.deadline_ms && !active.record.is_finished()
        };
        if let Some(active) = state.active.get_mut(&id).filter(moves) {
            active.record.deadline_ms = deadline_ms;
            self.settle(state, id);
            self.changed.send_replace(());
        }
    }

    /// State of the job; `None` if it is not known.
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

    /// Waits until an unfinished job's deadline has passed. `false` once the queue is closed.
    pub async fn deadline_passes(&self) -> bool {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let sleep = {
                let state = self.lock();
                if state.closed {
                    return false;
                }
                let left = |deadline_ms: u64| Duration::from_millis(deadline_ms.saturating_sub(now_ms()));
                state.next_deadline().map_or(Duration::MAX, |next| left(next).min(LONGEST_SLEEP))
            };
            if sleep.is_zero() {
                return true;
            }
            let _news_or_time = tokio::time::timeout(sleep, changed.changed()).await;
        }
    }

    /// Fails the unfinished jobs whose deadline has passed, and asks for those that run to be given back. Returns the
    /// number of jobs failed.
    pub fn end_late(&self) -> usize {
        let mut state = self.lock();
        let late = state.fail_late();
        for id in &late {
            self.settle(&mut state, *id);
        }
        late.len()
    }

    /// Writes down what came of `work`. If the job was deleted or missed its deadline meanwhile, the outcome is dropped.
    pub fn finish(&self, work: &Work, outcome: Result<JobResult, Unfinished>) {
        let mut state = self.lock();
        state.give_back(work.job.model());
        self.changed.send_replace(());
        let closed = state.closed;
        let wanted =
            |active: &&mut Active| active.cancel.is_same(&work.cancel) && !active.record.is_finished();
        let Some(active) = state.active.get_mut(&work.id).filter(wanted) else { return };
        active.record.state = match outcome {
            Ok(result) => JobState::Done { result },
            Err(Unfinished::Failed(error)) => JobState::Failed { error },
            Err(Unfinished::TooLong(long)) => JobState::Failed { error: long.into() },
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
            tracing::error!(%id, %error, "the job store fails; the job is kept in memory");
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

    /// Number of jobs that wait, and of those handed out.
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

    /// The job with the earliest deadline, and of those the first, whose model has room for it; marked as running.
    fn begin_next(&mut self, width: &Width) -> Option<Work> {
        let now = now_ms();
        let deadline = |id: &JobId| {
            let record = &self.active.get(id)?.record;
            let running = self.running.get(record.job.model()).copied().unwrap_or(0);
            let may_begin = running < width.of(&record.job) && !record.is_late(now);
            may_begin.then_some(record.deadline_ms.unwrap_or(u64::MAX))
        };
        let places = self.waiting.iter().enumerate();
        let (_, place) = places.filter_map(|(place, id)| Some((deadline(id)?, place))).min()?;
        let id = self.waiting.remove(place)?;
        let active = self.active.get_mut(&id)?;
        active.record.state = JobState::Running;
        let running = self.running.entry(active.record.job.model().to_owned()).or_default();
        *running = running.saturating_add(1);
        Some(Work { id, job: active.record.job.clone(), cancel: active.cancel.clone() })
    }

    fn next_deadline(&self) -> Option<u64> {
        let unfinished = self.active.values().filter(|active| !active.record.is_finished());
        unfinished.filter_map(|active| active.record.deadline_ms).min()
    }

    /// Marks the jobs whose deadline has passed as failed, cancels them and takes them out of those who wait.
    fn fail_late(&mut self) -> Vec<JobId> {
        let (now, mut late) = (now_ms(), Vec::new());
        for (id, active) in self.active.iter_mut().filter(|(_, active)| active.record.is_late(now)) {
            let message = match active.record.state {
                JobState::Running => "the deadline passed while the job was running",
                _ => "the deadline passed while the job was queued",
            };
            tracing::warn!(%id, "{message}");
            active.record.state = failed(FailureReason::DeadlineExceeded, message.to_owned());
            active.cancel.set();
            late.push(*id);
        }
        let unfinished = |id: &JobId| self.active.get(id).is_some_and(|active| !active.record.is_finished());
        self.waiting.retain(unfinished);
        late
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
        queue.submit(id(1), score("a"), None).unwrap();
        queue.submit(id(1), score("a"), None).unwrap();
        assert!(matches!(queue.submit(id(1), score("b"), None), Err(SubmitError::Conflict)));
        let work = take(&queue).unwrap();
        assert_eq!(state(&queue, 1), Some(JobState::Running));
        queue.submit(id(1), score("a"), None).unwrap();
        queue.finish(&work, Ok(result()));
        let ticket = queue.submit(id(1), score("a"), None).unwrap();
        assert_eq!(ticket.status.state, JobState::Done { result: result() });
        assert!(ticket.unfinished.is_none());
        assert!(matches!(queue.submit(id(1), score("b"), None), Err(SubmitError::Conflict)));
        queue.submit(id(2), score("next"), None).unwrap();
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
            queue.submit(id(byte), generate("a"), None).unwrap();
        }
        let Job::Score(other) = score("c") else { unreachable!() };
        for byte in 4..=5 {
            queue
                .submit(id(byte), Job::Score(ScoreJob { model: "n".into(), ..other.clone() }), None)
                .unwrap();
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

    /// A deadline that no test reaches.
    const FAR: u64 = u64::MAX - 100;

    /// A deadline that has passed.
    const PAST: u64 = 1;

    fn is_late(queue: &Queue, byte: u8) -> bool {
        let late = |error: &JobError| error.code == FailureReason::DeadlineExceeded;
        matches!(state(queue, byte), Some(JobState::Failed { error }) if late(&error))
    }

    /// Takes and finishes all jobs, one after another.
    fn drain(queue: &Queue) -> Vec<JobId> {
        let mut ids = Vec::new();
        while let Some(work) = take(queue) {
            queue.finish(&work, Ok(result()));
            ids.push(work.id);
        }
        ids
    }

    #[test]
    fn the_earliest_deadline_goes_first_and_jobs_without_one_last() {
        for restart in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let width = Width { generate: 1, score: 1, of_model: HashMap::new() };
            let open =
                || Queue::open(Store::open(folder.path().to_owned()).unwrap(), 9, width.clone()).unwrap();
            let mut queue = open();
            let deadlines = [None, Some(FAR + 2), None, Some(FAR), Some(FAR + 2), Some(FAR + 1)];
            for (byte, deadline) in (1..).zip(deadlines) {
                queue.submit(id(byte), score("a"), deadline).unwrap();
            }
            if restart {
                queue = open();
            }
            assert_eq!(drain(&queue), [4, 6, 2, 5, 1, 3].map(id), "restart: {restart}");
        }
    }

    #[test]
    fn asking_again_moves_the_deadline_and_without_one_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a"), Some(FAR)).unwrap();
        queue.submit(id(2), score("b"), Some(FAR + 1)).unwrap();
        queue.submit(id(1), score("a"), None).unwrap();
        assert_eq!(queue.lock().next_deadline(), Some(FAR), "kept");
        queue.submit(id(1), score("a"), Some(FAR + 2)).unwrap();
        assert_eq!(queue.lock().next_deadline(), Some(FAR + 1), "extended");
        let queue = open(folder.path());
        assert_eq!(queue.lock().next_deadline(), Some(FAR + 1), "also on disk");
        let second = take(&queue).unwrap();
        assert_eq!(second.id, id(2));
        queue.submit(id(1), score("a"), Some(PAST)).unwrap();
        queue.submit(id(2), score("b"), Some(PAST)).unwrap();
        queue.submit(id(2), score("b"), Some(FAR)).unwrap();
        assert_eq!(queue.end_late(), 1, "extended in time, the second is not late");
        assert!(is_late(&queue, 1) && !second.cancel.is_set());
        assert!(matches!(queue.submit(id(2), score("other"), Some(FAR)), Err(SubmitError::Conflict)));
    }

    #[test]
    fn late_jobs_fail_and_leave_whether_they_wait_or_run() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a"), None).unwrap();
        let running = take(&queue).unwrap();
        let told = queue.submit(id(1), score("a"), Some(PAST)).unwrap().unfinished.unwrap();
        queue.submit(id(2), score("b"), Some(PAST)).unwrap();
        queue.submit(id(3), score("c"), None).unwrap();
        assert_eq!((queue.depth(), running.cancel.is_set()), ((2, 1), false));

        assert_eq!((queue.end_late(), queue.end_late()), (2, 0));
        assert!(running.cancel.is_set() && told.has_changed().is_err(), "who waits is woken");
        assert!(is_late(&queue, 1) && is_late(&queue, 2));
        assert_eq!(queue.depth(), (1, 1));
        assert!(take(&queue).is_none(), "the model is not free before its runner gave the job back");
        queue.submit(id(4), score("d"), None).unwrap();
        queue.submit(id(5), score("e"), None).unwrap();

        queue.finish(&running, Err(Unfinished::Cancelled));
        assert!(is_late(&queue, 1), "it is not queued again");
        assert_eq!(drain(&queue), [3, 4, 5].map(id));
        let queue = open(folder.path());
        assert!(is_late(&queue, 1) && is_late(&queue, 2));
        assert!(take(&queue).is_none());
    }

    #[test]
    fn a_late_job_is_not_handed_out_even_if_nobody_has_failed_it_yet() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a"), Some(PAST)).unwrap();
        queue.submit(id(2), score("b"), Some(FAR)).unwrap();
        assert_eq!(drain(&queue), [id(2)]);
        assert_eq!(state(&queue, 1), Some(JobState::Queued));
    }

    #[test]
    fn a_deadline_that_passes_while_the_engine_is_down_fails_the_job_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a"), Some(PAST)).unwrap();
        queue.submit(id(2), score("b"), Some(FAR)).unwrap();
        let queue = open(folder.path());
        assert!(is_late(&queue, 1));
        assert_eq!(drain(&queue), [id(2)]);
    }

    #[test]
    fn a_missed_job_is_queued_anew_for_a_new_deadline_and_other_failures_are_final() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a"), None).unwrap();
        let first = take(&queue).unwrap();
        queue.finish(&first, Err(Unfinished::Died("signal 6".into())));
        let first = take(&queue).unwrap();
        queue.submit(id(1), score("a"), Some(PAST)).unwrap();
        queue.end_late();
        for deadline in [None, Some(PAST), Some(PAST + 1)] {
            queue.submit(id(1), score("a"), deadline).unwrap();
            assert!(is_late(&queue, 1), "no use in doing it: {deadline:?}");
        }
        assert!(matches!(queue.submit(id(1), score("other"), Some(FAR)), Err(SubmitError::Conflict)));

        let ticket = queue.submit(id(1), score("a"), Some(FAR)).unwrap();
        assert!(ticket.status.state == JobState::Queued && ticket.unfinished.is_some());
        queue.finish(&first, Ok(result()));
        assert_eq!(state(&queue, 1), Some(JobState::Queued), "what comes of the first try is dropped");
        let again = take(&queue).unwrap();
        assert!(again.id == id(1) && !again.cancel.is_set());
        queue.finish(&again, Err(Unfinished::Died("signal 6".into())));
        let died_twice = state(&queue, 1);
        let code = FailureReason::EngineAborted;
        assert!(
            matches!(&died_twice, Some(JobState::Failed { error }) if error.code == code),
            "deaths count on"
        );
        queue.submit(id(1), score("a"), Some(FAR)).unwrap();
        assert_eq!(state(&queue, 1), died_twice, "final");

        // It ran for longer than a job may, with its deadline still to come.
        queue.submit(id(2), score("b"), Some(FAR)).unwrap();
        queue.finish(&take(&queue).unwrap(), Err(Unfinished::late()));
        queue.submit(id(2), score("b"), Some(FAR + 1)).unwrap();
        assert!(is_late(&queue, 2) && take(&queue).is_none(), "final");
    }

    #[test]
    fn a_stop_leaves_jobs_with_a_deadline_queued() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a"), Some(FAR)).unwrap();
        let work = take(&queue).unwrap();
        queue.close();
        assert_eq!(queue.deadline_passes().now_or_never(), Some(false));
        queue.finish(&work, Err(Unfinished::Cancelled));
        assert_eq!(state(&open(folder.path()), 1), Some(JobState::Queued));
    }

    #[tokio::test]
    async fn deadlines_are_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        assert_eq!(queue.deadline_passes().now_or_never(), None, "there is none");
        queue.submit(id(1), score("a"), Some(FAR)).unwrap();
        assert_eq!(queue.deadline_passes().now_or_never(), None, "it is far off");
        let soon = Some(now_ms() + 20);
        let (passed, _) = tokio::join!(queue.deadline_passes(), async {
            queue.submit(id(2), score("b"), soon).unwrap();
        });
        assert!(passed && queue.end_late() == 1 && is_late(&queue, 2));
        assert_eq!(queue.deadline_passes().now_or_never(), None, "the failed one counts no more");
    }

    #[test]
    fn a_late_job_stays_failed_on_a_disk_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = folder.path().join("jobs");
        let queue = open(&jobs);
        queue.submit(id(1), score("a"), None).unwrap();
        let work = take(&queue).unwrap();
        std::fs::remove_dir_all(&jobs).unwrap();
        queue.submit(id(1), score("a"), Some(PAST)).unwrap();
        assert_eq!(queue.end_late(), 1);
        queue.finish(&work, Ok(result()));
        assert!(is_late(&queue, 1));
        assert!(matches!(queue.submit(id(1), score("a"), Some(FAR)), Err(SubmitError::Store(_))));
        assert!(is_late(&queue, 1));
        std::fs::create_dir(&jobs).unwrap();
        queue.submit(id(1), score("a"), Some(FAR)).unwrap();
        assert_eq!(drain(&queue), [id(1)]);
        assert_eq!(state(&open(&jobs), 1), Some(JobState::Done { result: result() }));
    }

    #[test]
    fn a_full_queue_turns_away_new_jobs_only() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        for byte in 1..=3 {
            queue.submit(id(byte), score("a"), None).unwrap();
        }
        assert!(matches!(queue.submit(id(4), score("a"), None), Err(SubmitError::Full)));
        queue.submit(id(1), score("a"), None).unwrap();
        let work = take(&queue).unwrap();
        queue.finish(&work, Ok(result()));
        queue.submit(id(4), score("a"), None).unwrap();
    }

    #[test]
    fn a_restart_takes_up_what_was_unfinished() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        for byte in 1..=3 {
            queue.submit(id(byte), score("a"), None).unwrap();
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
        open(folder.path()).submit(id(1), score("a"), None).unwrap();
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
        queue.submit(id(1), score("a"), None).unwrap();
        queue.submit(id(2), score("b"), None).unwrap();
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
        open(folder.path()).submit(id(1), score("a"), None).unwrap();
        for _ in 0..10 {
            assert_eq!(take(&open(folder.path())).unwrap().id, id(1));
        }
    }

    #[test]
    fn stopping_gives_work_back() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a"), None).unwrap();
        let work = take(&queue).unwrap();
        queue.close();
        assert!(work.cancel.is_set());
        assert!(take(&queue).is_none());
        assert!(matches!(queue.submit(id(2), score("b"), None), Err(SubmitError::Closed)));
        queue.finish(&work, Err(Unfinished::Cancelled));
        assert_eq!(state(&open(folder.path()), 1), Some(JobState::Queued));
    }

    #[test]
    fn deleting_cancels_and_a_late_result_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a"), None).unwrap();
        let work = take(&queue).unwrap();
        queue.delete(id(1)).unwrap();
        queue.delete(id(1)).unwrap();
        assert!(work.cancel.is_set());
        assert_eq!(state(&queue, 1), None);
        // The same id again is a new job; the old one's result is not its result.
        queue.submit(id(1), score("other"), None).unwrap();
        assert!(take(&queue).is_none(), "the model still works on the first");
        queue.finish(&work, Ok(result()));
        assert_eq!(state(&queue, 1), Some(JobState::Queued));
        assert_eq!(take(&queue).unwrap().job, score("other"));
    }

    #[test]
    fn deleting_a_waiting_job_takes_it_out_of_the_queue() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a"), None).unwrap();
        queue.submit(id(2), score("b"), None).unwrap();
        queue.delete(id(1)).unwrap();
        assert_eq!(take(&queue).unwrap().id, id(2));
        assert_eq!(state(&open(folder.path()), 1), None);
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        let mut done = queue.submit(id(1), score("a"), None).unwrap().unfinished.unwrap();
        let mut deleted = queue.submit(id(2), score("b"), None).unwrap().unfinished.unwrap();
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
        queue.submit(id(1), score("a"), None).unwrap();
        let work = take(&queue).unwrap();
        std::fs::remove_dir_all(&jobs).unwrap();
        queue.finish(&work, Ok(result()));
        assert_eq!(state(&queue, 1), Some(JobState::Done { result: result() }));
        assert!(matches!(queue.submit(id(2), score("b"), None), Err(SubmitError::Store(_))));
        std::fs::create_dir(&jobs).unwrap();
        queue.write_down();
        assert_eq!(state(&open(&jobs), 1), Some(JobState::Done { result: result() }));
    }

    #[test]
    fn sweeping_spares_what_is_unfinished() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        queue.submit(id(1), score("a"), None).unwrap();
        queue.submit(id(2), score("b"), None).unwrap();
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
