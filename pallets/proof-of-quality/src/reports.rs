//! Reports of work: what is due and valid, and what it changes.

use crate::{
    duties::{self, Commitment, RequestId, Role, Work},
    operators, phases,
    requests::{self, Phase, Request},
    Committees, Config, Error, Event, Pallet, Requests, Responses, WeightInfo, Workers,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
    dispatch::RawOrigin, ensure, weights::Weight, BoundedVec, CloneNoBound, DebugNoBound, EqNoBound,
    PartialEqNoBound,
};
use frame_system::pallet_prelude::OriginFor;
use poq_primitives::{
    commitment::{Binding, Salt},
    job::FailureReason,
};
use scale_info::TypeInfo;
use sp_runtime::{
    traits::{Get, Saturating},
    DispatchError, DispatchResult, Permill,
};

/// One report of work. A batch of them is what a worker key signs.
#[derive(
    CloneNoBound,
    DebugNoBound,
    PartialEqNoBound,
    EqNoBound,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
#[scale_info(skip_type_params(MaxOutput, MaxScores))]
#[codec(mel_bound())]
pub struct Report<MaxOutput: Get<u32>, MaxScores: Get<u32>> {
    /// The request.
    pub request: RequestId,
    /// The report.
    pub kind: ReportKind<MaxOutput, MaxScores>,
}

/// Content of a [`Report`].
#[derive(
    CloneNoBound,
    DebugNoBound,
    PartialEqNoBound,
    EqNoBound,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
#[scale_info(skip_type_params(MaxOutput, MaxScores))]
#[codec(mel_bound())]
pub enum ReportKind<MaxOutput: Get<u32>, MaxScores: Get<u32>> {
    /// An inference node fixes its output.
    CommitOutput {
        /// See [`poq_primitives::commitment::Binding::output`].
        commitment: Commitment,
    },
    /// An inference node shows its output. With a single responder there was no commitment and the salt is not looked at.
    RevealOutput {
        /// The answer, UTF-8.
        output: BoundedVec<u8, MaxOutput>,
        /// The salt of the commitment.
        salt: Salt,
    },
    /// A quality validator fixes its scores.
    CommitScores {
        /// See [`poq_primitives::commitment::Binding::scores`].
        commitment: Commitment,
    },
    /// A quality validator shows its scores.
    RevealScores {
        /// One for each revealed response, in their order.
        scores: BoundedVec<Permill, MaxScores>,
        /// The salt of the commitment.
        salt: Salt,
    },
    /// The work cannot be done. Unpaid, but not slashed as silence is. Only before a commitment: who has committed reveals.
    Fail {
        /// Why.
        reason: FailureReason,
    },
}

/// [`Report`] with the pallet's bounds.
pub type ReportOf<T> = Report<<T as Config>::MaxOutputLength, <T as Config>::MaxResponders>;
/// [`ReportKind`] with the pallet's bounds.
pub type ReportKindOf<T> = ReportKind<<T as Config>::MaxOutputLength, <T as Config>::MaxResponders>;
/// A batch of reports, as a worker key signs it.
pub type ReportsOf<T> = BoundedVec<ReportOf<T>, <T as Config>::MaxReports>;
/// Writes of the last report of a phase besides the work itself: the request, and its old and new place in the agenda.
const LAST_REPORT_WRITES: u64 = 3;

/// The most that a batch of reports weighs, the check for a free ride included: each may be the last of its phase, and of
/// the largest committee.
pub(crate) fn batch_weight<T: Config>(reports: &ReportsOf<T>) -> Weight {
    let most = |report: &ReportOf<T>| weight::<T>(&report.kind, T::MaxCommittee::get());
    reports.iter().fold(Weight::zero(), |sum, report| sum.saturating_add(most(report)))
}

/// The weight of a report that is the last of its phase, in a request with a committee of `k`.
fn weight<T: Config>(kind: &ReportKindOf<T>, k: u32) -> Weight {
    match kind {
        ReportKind::CommitOutput { .. } => T::WeightInfo::report_output_commitment(),
        ReportKind::RevealOutput { output, .. } => T::WeightInfo::report_output(output.len() as u32),
        ReportKind::CommitScores { .. } => T::WeightInfo::report_scores_commitment(k),
        ReportKind::RevealScores { .. } => T::WeightInfo::report_scores(k),
        ReportKind::Fail { .. } => T::WeightInfo::report_failure(),
    }
}

/// Whether `reports` would be accepted now: then the call is free.
pub(crate) fn is_due_and_valid<T: Config>(origin: &OriginFor<T>, reports: &ReportsOf<T>) -> bool {
    match origin.clone().into() {
        Ok(RawOrigin::Signed(worker)) => check_batch::<T>(&worker, reports).is_ok(),
        _ => false,
    }
}

/// Returns what the reports weighed: most are not the last of their phase and do not move their request in the agenda, and
/// most committees are not as large as they may be.
pub(crate) fn report_work<T: Config>(
    worker: &T::AccountId,
    reports: ReportsOf<T>,
) -> Result<Weight, DispatchError> {
    let operator = check_batch::<T>(worker, &reports)?;
    let mut spent = Weight::zero();
    for report in reports {
        spent = spent.saturating_add(apply::<T>(&operator, report)?);
    }
    Ok(spent)
}

/// Checks a batch without changing anything; returns the operator.
pub(crate) fn check_batch<T: Config>(
    worker: &T::AccountId,
    reports: &ReportsOf<T>,
) -> Result<T::AccountId, Error<T>> {
    let operator = Workers::<T>::get(worker).ok_or(Error::<T>::UnknownWorker)?;
    ensure!(!reports.is_empty(), Error::<T>::NoReports);
    // One report for each request: so that each is valid on its own means that all are valid together.
    let ascending = reports.iter().zip(reports.iter().skip(1)).all(|(a, b)| a.request < b.request);
    ensure!(ascending, Error::<T>::UnorderedReports);
    for report in reports {
        check::<T>(&operator, report)?;
    }
    Ok(operator)
}

pub(crate) fn check<T: Config>(operator: &T::AccountId, report: &ReportOf<T>) -> Result<(), Error<T>> {
    let id = report.request;
    let request = Requests::<T>::get(id).ok_or(Error::<T>::UnknownRequest)?;
    ensure!(!request.phase.is_closed(), Error::<T>::TooLate);
    let now = frame_system::Pallet::<T>::block_number();
    let in_time = request.phase.until().is_some_and(|until| now <= until);
    // An operator found here has a duty by definition, so `Operators` is not read again.
    match request.phase {
        Phase::Answering { .. } | Phase::RevealingAnswers { .. } => {
            let responses = Responses::<T>::get(id);
            let part = responses.iter().find(|r| r.operator == *operator).ok_or(Error::<T>::NotYourDuty)?;
            let revealing = matches!(request.phase, Phase::RevealingAnswers { .. });
            let gate = Gate::new(part.work, in_time, revealing);
            match &report.kind {
                ReportKind::CommitOutput { .. } => gate.check_commit(),
                ReportKind::RevealOutput { output, salt } => {
                    let commitment = gate.check_reveal(responses.len() == 1)?;
                    check_output::<T>(output)?;
                    let genesis = duties::genesis_hash::<T>();
                    let binding = Binding { genesis: &genesis, request: id, operator };
                    let matches = commitment.is_none_or(|c| c == binding.output(output, salt));
                    ensure!(matches, Error::<T>::RevealMismatch);
                    Ok(())
                }
                ReportKind::Fail { .. } => gate.check_fail(),
                ReportKind::CommitScores { .. } | ReportKind::RevealScores { .. } => {
                    Err(Error::<T>::NotYourDuty)
                }
            }
        }
        Phase::Scoring { .. } | Phase::RevealingScores { .. } => {
            let committee = Committees::<T>::get(id, request.round);
            let Some(part) = committee.iter().find(|m| m.operator == *operator) else {
                return Err(out_of_phase::<T>(operator, report));
            };
            let revealing = matches!(request.phase, Phase::RevealingScores { .. });
            let gate = Gate::new(part.work, in_time, revealing);
            match &report.kind {
                ReportKind::CommitScores { .. } => gate.check_commit(),
                ReportKind::RevealScores { scores, salt } => {
                    let commitment = gate.check_reveal(false)?;
                    let revealed = Responses::<T>::get(id)
                        .iter()
                        .filter(|response| response.work == Work::Revealed)
                        .count();
                    ensure!(scores.len() == revealed, Error::<T>::WrongNumberOfScores);
                    let genesis = duties::genesis_hash::<T>();
                    let binding = Binding { genesis: &genesis, request: id, operator };
                    let matches = commitment == Some(binding.scores(scores, salt));
                    ensure!(matches, Error::<T>::RevealMismatch);
                    Ok(())
                }
                ReportKind::Fail { .. } => gate.check_fail(),
                ReportKind::CommitOutput { .. } | ReportKind::RevealOutput { .. } => {
                    Err(Error::<T>::NotYourDuty)
                }
            }
        }
        Phase::Requested | Phase::Selecting | Phase::Settled { .. } | Phase::Refunded { .. } => {
            Err(out_of_phase::<T>(operator, report))
        }
    }
}

/// Shows an output to which an operator committed otherwise than with [`Binding`]: `commitment` is what its output and salt come to.
/// Anybody may: the output proves itself.
pub(crate) fn show<T: Config>(
    id: RequestId,
    operator: &T::AccountId,
    output: BoundedVec<u8, T::MaxOutputLength>,
    commitment: Commitment,
) -> DispatchResult {
    let request = Requests::<T>::get(id).ok_or(Error::<T>::UnknownRequest)?;
    let Phase::RevealingAnswers { until } = request.phase else { return Err(Error::<T>::TooEarly.into()) };
    let responses = Responses::<T>::get(id);
    let part = responses.iter().find(|r| r.operator == *operator).ok_or(Error::<T>::NotYourDuty)?;
    let in_time = frame_system::Pallet::<T>::block_number() <= until;
    let committed = Gate::new(part.work, in_time, true).check_reveal::<T>(false)?;
    check_output::<T>(&output)?;
    ensure!(committed == Some(commitment), Error::<T>::RevealMismatch);
    let kind = ReportKind::RevealOutput { output, salt: Salt::default() };
    apply::<T>(operator, Report { request: id, kind }).map(|_| ())
}

fn check_output<T: Config>(output: &[u8]) -> Result<(), Error<T>> {
    ensure!(!output.is_empty(), Error::<T>::EmptyOutput);
    ensure!(core::str::from_utf8(output).is_ok(), Error::<T>::NotUtf8);
    Ok(())
}

/// Why a report is refused whose operator has no part in the phase: its own is over, or there was none.
fn out_of_phase<T: Config>(operator: &T::AccountId, report: &ReportOf<T>) -> Error<T> {
    let is_of = match &report.kind {
        ReportKind::CommitOutput { .. } | ReportKind::RevealOutput { .. } => Some(Role::InferenceNode),
        ReportKind::CommitScores { .. } | ReportKind::RevealScores { .. } => Some(Role::QualityValidator),
        ReportKind::Fail { .. } => None,
    };
    match operators::duty_in::<T>(operator, report.request) {
        Some(role) if is_of.is_none_or(|of| of == role) => Error::<T>::TooLate,
        _ => Error::<T>::NotYourDuty,
    }
}

/// Writes a report that [`check`] let through; returns what it weighed. If it is the last that the phase waits
/// for, the phase ends.
fn apply<T: Config>(operator: &T::AccountId, report: ReportOf<T>) -> Result<Weight, DispatchError> {
    let Report { request: id, kind } = report;
    let (work, acted) = match &kind {
        ReportKind::CommitOutput { commitment } => {
            let work = Work::Committed(*commitment);
            (work, set_response::<T>(id, operator, work)?)
        }
        ReportKind::RevealOutput { output, .. } => {
            let index = Responses::<T>::get(id).iter().position(|r| r.operator == *operator);
            let index = index.ok_or(Error::<T>::NotYourDuty)?;
            requests::put_output::<T>(id, index as u32, output.clone());
            (Work::Revealed, set_response::<T>(id, operator, Work::Revealed)?)
        }
        ReportKind::CommitScores { commitment } => {
            let work = Work::Committed(*commitment);
            (work, set_member::<T>(id, operator, work, Default::default())?)
        }
        ReportKind::RevealScores { scores, .. } => {
            (Work::Revealed, set_member::<T>(id, operator, Work::Revealed, scores.clone())?)
        }
        ReportKind::Fail { reason } => {
            let work = Work::Failed(*reason);
            let acted = match Requests::<T>::get(id).map(|request| request.phase) {
                Some(Phase::Scoring { .. }) => set_member::<T>(id, operator, work, Default::default())?,
                _ => set_response::<T>(id, operator, work)?,
            };
            (work, acted)
        }
    };
    Pallet::<T>::deposit_event(Event::WorkReported { request: id, operator: operator.clone(), work });
    // The weight of an inference node's report does not depend on the number of nodes.
    let weight = weight::<T>(&kind, acted.of);
    if acted.all {
        requests::mutate::<T>(id, |request| phases::end_phase::<T>(id, request, acted.done, acted.of));
        Ok(weight)
    } else {
        Ok(weight.saturating_sub(T::DbWeight::get().writes(LAST_REPORT_WRITES)))
    }
}

fn set_response<T: Config>(id: RequestId, operator: &T::AccountId, work: Work) -> Result<Acted, Error<T>> {
    let request = Requests::<T>::get(id).ok_or(Error::<T>::UnknownRequest)?;
    let revealing = matches!(request.phase, Phase::RevealingAnswers { .. });
    requests::mutate_responses::<T, _>(id, |responses| {
        let part = responses.iter_mut().find(|r| r.operator == *operator).ok_or(Error::<T>::NotYourDuty)?;
        if part.work == Work::Pending {
            part.latency = latency_now::<T>(&request);
        }
        part.work = work;
        Ok(Acted::of(responses.iter().map(|r| &r.work), revealing))
    })
}

fn set_member<T: Config>(
    id: RequestId,
    operator: &T::AccountId,
    work: Work,
    scores: BoundedVec<Permill, T::MaxResponders>,
) -> Result<Acted, Error<T>> {
    let request = Requests::<T>::get(id).ok_or(Error::<T>::UnknownRequest)?;
    let revealing = matches!(request.phase, Phase::RevealingScores { .. });
    requests::mutate_committee::<T, _>(id, request.round, |committee| {
        let part = committee.iter_mut().find(|m| m.operator == *operator).ok_or(Error::<T>::NotYourDuty)?;
        if part.work == Work::Pending {
            part.latency = latency_now::<T>(&request);
        }
        part.work = work;
        part.scores = scores;
        Ok(Acted::of(committee.iter().map(|m| &m.work), revealing))
    })
}

/// The part of the time that a phase has which is over in this block.
fn latency_now<T: Config>(request: &Request<T>) -> Permill {
    let Some(until) = request.phase.until() else { return Permill::zero() };
    let now = frame_system::Pallet::<T>::block_number();
    Permill::from_rational(now.saturating_sub(request.since), until.saturating_sub(request.since))
}

/// Counts of a phase after a report.
struct Acted {
    /// Whether everybody has.
    all: bool,
    /// Number of operators that have committed or, in a phase of reveals, revealed their work.
    done: usize,
    /// Number of operators in the phase.
    of: u32,
}

impl Acted {
    /// In a phase of commitments or, with `revealing`, of reveals.
    fn of<'a>(work: impl ExactSizeIterator<Item = &'a Work> + Clone, revealing: bool) -> Self {
        let is_done = |work: &&Work| match work {
            Work::Committed(_) => !revealing,
            Work::Revealed => revealing,
            _ => false,
        };
        Self {
            all: work.clone().all(|work| work.has_acted(revealing)),
            done: work.clone().filter(is_done).count(),
            of: work.len() as u32,
        }
    }
}

/// The reports that a request's phase allows an operator.
struct Gate {
    committing: bool,
    revealing: bool,
    past: bool,
    work: Work,
}

impl Gate {
    /// Of a phase of commitments or, with `revealing`, of reveals.
    fn new(work: Work, in_time: bool, revealing: bool) -> Self {
        Self { committing: in_time && !revealing, revealing: in_time && revealing, past: !in_time, work }
    }

    fn check_commit<T: Config>(&self) -> Result<(), Error<T>> {
        match self.work {
            _ if !self.committing => Err(Error::TooLate),
            Work::Pending => Ok(()),
            Work::Committed(_) => Err(Error::AlreadyCommitted),
            _ => Err(Error::AlreadyDone),
        }
    }

    /// The commitment to compare with; `None` for a sole responder, which needs none.
    fn check_reveal<T: Config>(&self, sole: bool) -> Result<Option<Commitment>, Error<T>> {
        match self.work {
            _ if self.past => Err(Error::TooLate),
            _ if !self.revealing => Err(Error::TooEarly),
            Work::Committed(commitment) => Ok(Some(commitment)),
            Work::Pending if sole => Ok(None),
            Work::Pending | Work::NotCommitted => Err(Error::NotCommitted),
            _ => Err(Error::AlreadyDone),
        }
    }

    fn check_fail<T: Config>(&self) -> Result<(), Error<T>> {
        match self.work {
            _ if self.past => Err(Error::TooLate),
            Work::Pending => Ok(()),
            // After its commitment an operator may have seen what others revealed: it reveals, or is slashed.
            Work::Committed(_) => Err(Error::AlreadyCommitted),
            _ => Err(Error::AlreadyDone),
        }
    }
}
