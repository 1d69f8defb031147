//! The off-chain worker: from duties on the chain to jobs in the engine, and from finished jobs to signed reports.
//!
//! It runs at each new best block, for less than a second: it asks the engine for every job that its keys owe (the engine does
//! each job once, however often it is asked for) and reports what is finished. The engine may hold its answers for a fraction
//! of that time, so that short jobs are reported in the same block; a longer job is asked for again at the next. Rules it keeps:
//!
//! 1. It acts only for worker keys in the local keystore and leaves at once if they have no duties.
//! 2. A lock with a deadline keeps runs from overlapping; a run that was aborted frees it by time. A run waits for the one
//!    before: where a block has two successors, the run on the one that is given up must not be the only one.
//! 3. One transaction in flight for each key; all that is due goes out in one call. Whether it worked is read from the state,
//!    never from the pool; if nothing has happened after [`RESEND_AFTER`] blocks, it is sent again, and at once if another
//!    block of the same height has become the best, on which something else is due.
//! 4. Nothing is remembered by height, and costly work starts only for duties that are `DriverDepth` blocks old (or what the
//!    operator wrote to the off-chain storage under `poq/depth`).
//! 5. Every HTTP call has a deadline; an engine that is down, slow or talks nonsense costs a log line and another try.
//! 6. Salts come from a secret of this node, so that a reveal works after a restart.
//! 7. A job that failed for good is reported as failed, with its reason, at once; one that is not done in the last block but one of
//!    its window, in that block: silence is slashed.
//! 8. Keys take turns. Of a key's duties reveals go first, for they are slashed and cost next to nothing, then what is due first.
//!    The engine is told how long each job has.
//!
//! Only stock host functions are used: HTTP, off-chain storage, keystore, submission.

pub mod crypto;
mod engine;
mod local;
pub mod signing;

use crate::{
    duties::{self, OpenDuties, RequestId, Role, Work},
    reports::{self, Report, ReportKind, ReportOf, ReportsOf},
    requests::{self, Phase, Request},
    Call, Config, Operators, Outputs, Prompts, Requests, Responses, Workers,
};
use alloc::{string::String, vec::Vec};
use codec::Encode;
use engine::{Answer, EngineClient};
use frame_support::BoundedVec;
use frame_system::{
    offchain::{AppCrypto, SubmitTransaction},
    pallet_prelude::BlockNumberFor,
};
use poq_primitives::{
    commitment::Binding,
    job::{FailureReason, GenerateJob, Job, JobResult, ScoreJob},
};
use sp_runtime::{
    offchain::{
        storage_lock::{StorageLock, Time},
        Duration, Timestamp,
    },
    traits::{Get, IdentifyAccount, One, SaturatedConversion, Saturating},
    Permill, RuntimeAppPublic,
};

/// Log target of the driver.
pub const LOG_TARGET: &str = "poq::driver";

/// Blocks after which a report that had no effect is sent again.
pub const RESEND_AFTER: u32 = 2;

/// Milliseconds that a run waits before it sends, so that the block with which a phase began has come to those who author
/// the next: who does not know it yet finds the report too early, and will not hear of it again.
const HEAD_START_MS: u64 = 300;

/// Most jobs that one run asks the engine for.
pub const MAX_JOBS_PER_RUN: usize = 64;

/// A run that has not ended after this many milliseconds was aborted: its lock is void.
const LOCK_MS: u64 = 10_000;

/// Milliseconds that a run waits for the one before. After that there is a newer block soon, and a run on it.
const PATIENCE_MS: u64 = 1_000;

/// Milliseconds between two looks whether it is over.
const PAUSE_MS: u64 = 20;

/// A worker key in the local keystore that works for an operator.
struct LocalKey<T: Config> {
    public: T::Public,
    account: T::AccountId,
    operator: T::AccountId,
    duties: OpenDuties<T::MaxDuties>,
}

/// The next action of one duty.
struct Task {
    request: RequestId,
    step: Step,
    /// Blocks from this one to the last that takes the report, at least 1.
    blocks_left: u64,
    job: Job,
}

/// The report that a finished job becomes.
#[derive(Clone, Copy)]
enum Step {
    CommitOutput,
    RevealOutput,
    CommitScores,
    RevealScores,
}

impl Step {
    fn is_reveal(self) -> bool {
        matches!(self, Self::RevealOutput | Self::RevealScores)
    }
}

/// One run, on the state of the new best block `now`.
pub fn run<T: Config>(now: BlockNumberFor<T>) {
    let keys: Vec<LocalKey<T>> = local_keys::<T>().filter(|key| key.duties.count() > 0).collect();
    if keys.is_empty() {
        return;
    }
    let began = sp_io::offchain::timestamp();
    let patience = began.add(Duration::from_millis(PATIENCE_MS));
    let mut lock = StorageLock::<Time>::with_deadline(local::LOCK_KEY, Duration::from_millis(LOCK_MS));
    loop {
        if let Ok(_guard) = lock.try_lock() {
            return run_alone::<T>(&keys, now, began);
        }
        let time = sp_io::offchain::timestamp();
        if time >= patience {
            log::debug!(target: LOG_TARGET, "the run before is not over, skipping block {now:?}");
            return;
        }
        sp_io::offchain::sleep_until(time.add(Duration::from_millis(PAUSE_MS)));
    }
}

/// A run that began at `began` and that has the lock.
fn run_alone<T: Config>(keys: &[LocalKey<T>], now: BlockNumberFor<T>, began: Timestamp) {
    let endpoint = local::endpoint();
    if endpoint.is_none() {
        log::warn!(
            target: LOG_TARGET,
            "{} worker key(s) have duties but no engine is known: start one, and write its endpoint to the \
            off-chain storage under `poq/engine`",
            keys.len(),
        );
    }
    let Some(secret) = local::salt_secret() else { return };
    let depth = local::depth().map_or_else(T::DriverDepth::get, Into::into);
    let genesis = duties::genesis_hash::<T>();
    let tasks = in_turns(keys.iter().map(|key| tasks_of::<T>(key, now, depth)).collect(), MAX_JOBS_PER_RUN);
    if tasks.is_empty() {
        return;
    }

    let answers = match &endpoint {
        Some(endpoint) => {
            let engine = EngineClient::new(endpoint);
            let ask = |(index, task): &(usize, Task)| {
                let key = keys.get(*index)?;
                let id = task.job.id(&genesis, task.request, &key.account.encode());
                let deadline_ms = task.blocks_left.saturating_mul(T::BlockMillis::get());
                Some(engine.ask(&id, &task.job, deadline_ms))
            };
            engine.collect(tasks.iter().filter_map(ask).collect())
        }
        None => tasks.iter().map(|_| Answer::NotYet).collect(),
    };
    let why_late = match endpoint {
        Some(_) => FailureReason::DeadlineExceeded,
        None => FailureReason::ModelUnavailable,
    };

    let mut reports: Vec<Vec<ReportOf<T>>> = keys.iter().map(|_| Vec::new()).collect();
    for ((index, task), answer) in tasks.iter().zip(answers) {
        let (Some(key), Some(list)) = (keys.get(*index), reports.get_mut(*index)) else { continue };
        let binding = Binding { genesis: &genesis, request: task.request, operator: &key.operator };
        let answer = match answer {
            // A transaction sent now is included in the next block: the last that is in time.
            Answer::NotYet if task.blocks_left <= 1 => Answer::Failed(why_late),
            other => other,
        };
        if let Some(report) = report_of::<T>(task, answer, &binding, &secret) {
            match reports::check::<T>(&key.operator, &report) {
                Ok(()) => list.push(report),
                Err(error) => log::debug!(
                    target: LOG_TARGET,
                    "request {}: a report is not due any more: {error:?}", task.request,
                ),
            }
        }
    }
    if reports.iter().any(|list| !list.is_empty()) {
        sp_io::offchain::sleep_until(began.add(Duration::from_millis(HEAD_START_MS)));
    }
    for (key, list) in keys.iter().zip(reports) {
        submit::<T>(key, urgent_or_all::<T>(list, now), now);
    }
}

/// A report that only the very next block can take goes alone: if it is late, the others are not lost with it.
fn urgent_or_all<T: Config>(mut reports: Vec<ReportOf<T>>, now: BlockNumberFor<T>) -> Vec<ReportOf<T>> {
    let next = now.saturating_add(One::one());
    let is_urgent = |report: &ReportOf<T>| {
        Requests::<T>::get(report.request)
            .and_then(|request| request.phase.until())
            .is_some_and(|until| until <= next)
    };
    if reports.iter().any(is_urgent) {
        reports.retain(is_urgent);
    }
    reports
}

fn local_keys<T: Config>() -> impl Iterator<Item = LocalKey<T>> {
    <T::WorkerCrypto as AppCrypto<T::Public, T::Signature>>::RuntimeAppPublic::all().into_iter().filter_map(
        |key| {
            let generic: <T::WorkerCrypto as AppCrypto<T::Public, T::Signature>>::GenericPublic = key.into();
            let public: T::Public = generic.into();
            let account = public.clone().into_account();
            let operator = Workers::<T>::get(&account)?;
            let duties = Operators::<T>::get(&operator)?.duties;
            Some(LocalKey { public, account, operator, duties })
        },
    )
}

/// The first of each queue, then the second of each and so on, up to `most`; each with the number of its queue.
fn in_turns<Item>(mut queues: Vec<impl Iterator<Item = Item>>, most: usize) -> Vec<(usize, Item)> {
    let mut taken = Vec::new();
    loop {
        let before = taken.len();
        for (index, queue) in queues.iter_mut().enumerate() {
            if taken.len() >= most {
                return taken;
            }
            taken.extend(queue.next().map(|item| (index, item)));
        }
        if taken.len() == before {
            return taken;
        }
    }
}

/// The next actions of a key's duties, in the order in which they are done.
fn tasks_of<T: Config>(
    key: &LocalKey<T>,
    now: BlockNumberFor<T>,
    depth: BlockNumberFor<T>,
) -> impl Iterator<Item = Task> + '_ {
    let mut due: Vec<(RequestId, Request<T>, Role, Step)> = key
        .duties
        .iter()
        .filter_map(|(id, role)| {
            let request = Requests::<T>::get(id)?;
            let step = step_of(&key.operator, id, &request, role, now, depth)?;
            Some((id, request, role, step))
        })
        .collect();
    due.sort_unstable_by_key(|(id, request, _, step)| (!step.is_reveal(), request.phase.until(), *id));
    // Prompts and outputs are read for those only whose turn comes.
    due.into_iter().filter_map(move |(id, request, role, step)| {
        let blocks_left = request.phase.until()?.saturating_sub(now).saturated_into::<u64>();
        let job = match role {
            Role::InferenceNode => generate_job::<T>(key, id, &request)?,
            Role::QualityValidator => score_job::<T>(id, &request)?,
        };
        Some(Task { request: id, step, blocks_left, job })
    })
}

/// The next action of a duty; `None` if it has none.
fn step_of<T: Config>(
    operator: &T::AccountId,
    id: RequestId,
    request: &Request<T>,
    role: Role,
    now: BlockNumberFor<T>,
    depth: BlockNumberFor<T>,
) -> Option<Step> {
    let until = request.phase.until()?;
    if until <= now {
        // No block is left in which a report would be in time.
        return None;
    }
    // In the last block but one it is reported, whatever there is to say.
    let is_last = until <= now.saturating_add(One::one());
    let buried = is_last || now.saturating_sub(request.since) >= depth;
    match (request.phase, requests::work_in::<T>(operator, id, role, request.round)?) {
        (Phase::Answering { .. }, Work::Pending) if buried => Some(Step::CommitOutput),
        (Phase::RevealingAnswers { .. }, Work::Pending) if buried => Some(Step::RevealOutput),
        (Phase::RevealingAnswers { .. }, Work::Committed(_)) => Some(Step::RevealOutput),
        (Phase::Scoring { .. }, Work::Pending) if buried => Some(Step::CommitScores),
        (Phase::RevealingScores { .. }, Work::Committed(_)) => Some(Step::RevealScores),
        _ => None,
    }
}

fn generate_job<T: Config>(key: &LocalKey<T>, id: RequestId, request: &Request<T>) -> Option<Job> {
    let responses = Responses::<T>::get(id);
    let part = responses.iter().find(|response| response.operator == key.operator)?;
    Some(Job::Generate(GenerateJob {
        model: hex::encode(part.model),
        prompt: text(Prompts::<T>::get(id).into_inner())?,
        max_tokens: request.sampling.max_tokens,
        max_bytes: T::MaxOutputLength::get(),
        temperature_milli: request.sampling.temperature_milli,
        seed: request.sampling.seed,
    }))
}

fn score_job<T: Config>(id: RequestId, request: &Request<T>) -> Option<Job> {
    let responses = Responses::<T>::get(id)
        .iter()
        .zip(0u32..)
        .filter(|(response, _)| response.work == Work::Revealed)
        .map(|(_, index)| text(Outputs::<T>::get(id, index).into_inner()))
        .collect::<Option<Vec<_>>>()?;
    Some(Job::Score(ScoreJob {
        model: hex::encode(request.evaluator),
        prompt: text(Prompts::<T>::get(id).into_inner())?,
        responses,
    }))
}

/// The chain lets only UTF-8 in, so this is `None` never.
fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok()
}

/// The report that an answer of the engine becomes; `None` if there is nothing to report yet.
fn report_of<T: Config>(
    task: &Task,
    answer: Answer,
    binding: &Binding<'_, T::AccountId>,
    secret: &[u8; 32],
) -> Option<ReportOf<T>> {
    let request = task.request;
    let result = match answer {
        Answer::NotYet => return None,
        Answer::Failed(reason) => {
            log::warn!(target: LOG_TARGET, "request {request}: reporting failure: {reason:?}");
            return Some(Report { request, kind: ReportKind::Fail { reason } });
        }
        Answer::Done(result) => result,
    };
    let kind = match (task.step, &task.job, result) {
        (Step::CommitOutput | Step::RevealOutput, Job::Generate(_), JobResult::Generate { text, .. }) => {
            let Ok(output) = BoundedVec::<u8, T::MaxOutputLength>::try_from(text.into_bytes()) else {
                log::warn!(target: LOG_TARGET, "request {request}: the engine's output is longer than allowed");
                return Some(Report { request, kind: ReportKind::Fail { reason: FailureReason::Internal } });
            };
            if output.is_empty() {
                log::warn!(target: LOG_TARGET, "request {request}: the model had nothing to say");
                let reason = FailureReason::EmptyOutput;
                return Some(Report { request, kind: ReportKind::Fail { reason } });
            }
            let salt = binding.salt(secret, &output);
            match task.step {
                Step::CommitOutput => ReportKind::CommitOutput { commitment: binding.output(&output, &salt) },
                _ => ReportKind::RevealOutput { output, salt },
            }
        }
        (Step::CommitScores | Step::RevealScores, Job::Score(job), JobResult::Score { scores }) => {
            let in_range = scores.iter().all(|score| *score <= 1_000_000);
            if scores.len() != job.responses.len() || !in_range {
                log::warn!(target: LOG_TARGET, "request {request}: the engine's scores make no sense: {scores:?}");
                return None;
            }
            let scores: Vec<Permill> = scores.into_iter().map(Permill::from_parts).collect();
            let scores = BoundedVec::<Permill, T::MaxResponders>::try_from(scores).ok()?;
            let salt = binding.salt(secret, &scores.encode());
            match task.step {
                Step::CommitScores => ReportKind::CommitScores { commitment: binding.scores(&scores, &salt) },
                _ => ReportKind::RevealScores { scores, salt },
            }
        }
        _ => {
            log::warn!(target: LOG_TARGET, "request {request}: the engine answered a job of another kind");
            return None;
        }
    };
    Some(Report { request, kind })
}

/// Signs and submits all reports of a key in one call.
fn submit<T: Config>(key: &LocalKey<T>, reports: Vec<ReportOf<T>>, now: BlockNumberFor<T>) {
    // The rest is still due at the next block.
    let mut reports: ReportsOf<T> = BoundedVec::truncate_from(reports);
    let count = reports.len();
    // As the chain takes them.
    reports.sort_by_key(|report| report.request);
    let digest = reports.using_encoded(sp_io::hashing::blake2_256);
    if reports.is_empty() || local::is_in_flight::<T>(&key.account, now, &digest) {
        return;
    }
    let nonce = frame_system::Pallet::<T>::account_nonce(&key.account);
    let call = Call::<T>::report_work { reports };
    let Some(extrinsic) = T::create_signed_transaction::<T::WorkerCrypto>(
        call.into(),
        key.public.clone(),
        key.account.clone(),
        nonce,
    ) else {
        log::error!(target: LOG_TARGET, "a report could not be signed: is the worker key in the keystore?");
        return;
    };
    match SubmitTransaction::<T, Call<T>>::submit_transaction(extrinsic) {
        Ok(()) => {
            local::set_in_flight::<T>(&key.account, nonce, now, &digest);
            log::info!(target: LOG_TARGET, "sent {count} report(s) for operator {:?}", key.operator);
        }
        Err(()) => log::warn!(
            target: LOG_TARGET,
            "the pool refused {count} report(s) for operator {:?}; trying again at the next block",
            key.operator,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::in_turns;

    #[test]
    fn keys_take_turns_however_much_one_of_them_has_to_do() {
        let queues = || vec![0..100, 200..201, 300..303];
        let taken: Vec<_> = in_turns(queues(), 6).into_iter().map(|(_, item)| item).collect();
        assert_eq!(taken, [0, 200, 300, 1, 301, 2]);
        assert_eq!(in_turns(queues(), 2), [(0, 0), (1, 200)]);
        assert_eq!(in_turns(queues(), 1_000).len(), 104);
        assert!(in_turns(vec![0..0, 1..1], 5).is_empty());
    }
}
