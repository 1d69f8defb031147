//! Steps: the agenda worked through, what each due request does next, and what that weighs.
//!
//! Draws are made before the transactions of a block only, in `on_poll`: nobody who can see a seed may act between it and the
//! draw, but the author of the block that brought it, and that one moves its own seat at most (see [`crate::rendezvous`]). Of the draws
//! of a block, that of the request that offers each answer the most above its price comes first.

use crate::{
    agenda, callbacks, congestion,
    draws::{self, most_looks},
    duties::{RefundReason, RequestId, Work},
    phases::{self, quorum},
    requests::{self, Phase, Request},
    rosters, settlement,
    unexpected::{unexpected, UnexpectedKind},
    Agenda, AgendaCursor, BalanceOf, Config, Error, Requests, WeightInfo,
};
use alloc::vec::Vec;
use core::cmp::Reverse;
use frame_support::{
    ensure,
    weights::{Weight, WeightMeter},
};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::{
    traits::{Get, One, Saturating, Zero},
    DispatchError,
};

/// Committees that a request may have: the first and one redraw.
const LAST_ROUND: u8 = 1;

/// Moment of a block at which the agenda is worked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// In `on_poll`.
    BeforeTransactions,
    /// In `on_idle`: too late for draws.
    AfterTransactions,
}

/// A request whose step is to be done.
struct Due<T: Config> {
    id: RequestId,
    /// Weight set aside for the step.
    reserved: Weight,
    /// Offer for each answer above its price.
    bonus: BalanceOf<T>,
}

/// Works through the agenda up to block `now`, as far as `meter` and `AgendaWeight` go. What does not fit keeps its
/// place at the head.
pub(crate) fn service<T: Config>(now: BlockNumberFor<T>, when: When, meter: &mut WeightMeter) {
    let mut own = WeightMeter::with_limit(meter.remaining().min(T::AgendaWeight::get()));
    if own.try_consume(least_weight::<T>()).is_err() {
        return;
    }
    // `None`: no request was ever made.
    if let Some(mut block) = AgendaCursor::<T>::get() {
        // More may be put on today's agenda until the block ends, so the cursor never passes it.
        while service_block::<T>(block, now, when, &mut own) && block < now {
            block = block.saturating_add(One::one());
            if own.try_consume(T::WeightInfo::agenda_block()).is_err() {
                break;
            }
        }
        agenda::pass_to::<T>(block);
    }
    meter.consume(own.consumed());
}

/// Weight of the agenda in a block in which nothing is due. Single values that every request reads or writes are charged here,
/// once for the whole block, because they reach the database once. (The benchmarks do not count them: they are marked as
/// `whitelist_storage`.)
pub(crate) fn least_weight<T: Config>() -> Weight {
    T::WeightInfo::agenda_block().saturating_add(T::DbWeight::get().reads_writes(4, 3))
}

/// Does the steps that are due under `block`; `false` if not all: there was no room, or there were draws and it is too late for
/// them in this block. Room is reserved for the most that a step can come to, and what it did not need is there for the next.
pub(crate) fn service_block<T: Config>(
    block: BlockNumberFor<T>,
    now: BlockNumberFor<T>,
    when: When,
    meter: &mut WeightMeter,
) -> bool {
    loop {
        let (mut batch, all) = reserve::<T>(block, when, meter);
        batch.sort_by_key(|due| Reverse(due.bonus));
        let unspent = batch.into_iter().fold(Weight::zero(), |sum, due| {
            sum.saturating_add(due.reserved.saturating_sub(step::<T>(due.id, block, now)))
        });
        *meter =
            WeightMeter::with_consumed_and_limit(meter.consumed().saturating_sub(unspent), meter.limit());
        if all || unspent.is_zero() {
            return all;
        }
    }
}

/// The requests that are due under `block` and have room, and whether those are all. Collected before any step is done: steps
/// write to the map that is walked.
fn reserve<T: Config>(block: BlockNumberFor<T>, when: When, meter: &mut WeightMeter) -> (Vec<Due<T>>, bool) {
    let mut due = Agenda::<T>::iter_key_prefix(block);
    let (mut batch, mut all) = (Vec::new(), true);
    // Measured with a single item, and so with two looks for the next: this goes round the loop for the last of them too.
    let item = T::WeightInfo::agenda_item().saturating_sub(T::DbWeight::get().reads(1));
    loop {
        if meter.try_consume(item).is_err() {
            return (batch, false);
        }
        let Some(id) = due.next() else { return (batch, all) };
        let (reserved, bonus) = match Requests::<T>::get(id) {
            Some(request) if when == When::AfterTransactions && request.is_to_draw() => {
                all = false;
                continue;
            }
            Some(request) => (most_weight::<T>(&request), request.bonus),
            None => (Weight::zero(), Zero::zero()),
        };
        if meter.try_consume(reserved).is_err() {
            return (batch, false);
        }
        batch.push(Due { id, reserved, bonus });
    }
}

/// The step of a request that its due block has come for, on anyone's call. Returns its weight.
pub(crate) fn advance<T: Config>(id: RequestId) -> Result<Weight, DispatchError> {
    let now = frame_system::Pallet::<T>::block_number();
    let request = Requests::<T>::get(id).ok_or(Error::<T>::UnknownRequest)?;
    ensure!(request.due <= now && !request.is_to_draw(), Error::<T>::NotDue);
    let weight = T::WeightInfo::agenda_item().saturating_add(step::<T>(id, request.due, now));
    Ok(weight)
}

/// Does the step of a request that stands under `listed`; returns its weight.
pub(crate) fn step<T: Config>(id: RequestId, listed: BlockNumberFor<T>, now: BlockNumberFor<T>) -> Weight {
    let Some(mut request) = Requests::<T>::get(id) else {
        agenda::unlist::<T>(id, listed);
        unexpected::<T>(UnexpectedKind::AgendaWithoutRequest);
        return Weight::zero();
    };
    let (from, step, sizes) = (request.phase, Step::of(&request.phase), Sizes::of::<T>(&request));
    let most = step.weight::<T>(&sizes, Path::Heaviest);
    let mut missing = 0;
    match step {
        Step::DrawInferenceNodes => missing = draws::draw_inference_nodes::<T>(id, &mut request, now),
        Step::CloseAnswering => close_answering::<T>(id, &mut request, now),
        Step::CloseRevealingAnswers => close_revealing_answers::<T>(id, &mut request, now),
        Step::DrawCommittee => missing = draws::draw_committee::<T>(id, &mut request, now),
        Step::CloseScoring => close_scoring::<T>(id, &mut request, now),
        Step::CloseRevealingScores => missing = close_revealing_scores::<T>(id, &mut request, now),
        Step::Prune => {
            requests::forget::<T>(id, &request);
            return most;
        }
    };
    let path = Path::between(&from, &request.phase, missing);
    requests::put::<T>(id, request);
    step.weight::<T>(&sizes, path).min(most)
}

/// The largest weight of the next step of a request. It depends on the sizes of the request and of the rosters that it is drawn
/// from, and on nothing else that is stored.
pub(crate) fn most_weight<T: Config>(request: &Request<T>) -> Weight {
    Step::of(&request.phase).weight::<T>(&Sizes::of::<T>(request), Path::Heaviest)
}

/// The least weight of the step that led a request from one state to another.
#[cfg(test)]
pub(crate) fn least_spent<T: Config>(before: &Request<T>, after: &Request<T>) -> Weight {
    let path = Path::between(&before.phase, &after.phase, 0);
    Step::of(&before.phase).weight::<T>(&Sizes::of::<T>(before), path).min(most_weight::<T>(before))
}

/// The largest weight of any step of any request, its place on the agenda included.
pub(crate) fn dearest_step<T: Config>() -> Weight {
    let mut most = Weight::zero();
    for step in Step::ALL {
        for models in [1, T::MaxModelsPerRequest::get()] {
            for round in [0, LAST_ROUND] {
                let rosters = if step == Step::DrawCommittee { 1 } else { models };
                let sizes = Sizes {
                    candidates: T::MaxOperatorsPerModel::get().saturating_mul(rosters),
                    models,
                    responders: T::MaxResponders::get(),
                    committee: T::MaxCommittee::get(),
                    round,
                };
                most = most.max(step.weight::<T>(&sizes, Path::Heaviest));
            }
        }
    }
    most.saturating_add(T::WeightInfo::agenda_item())
}

/// Sizes that the weight of a step depends on.
struct Sizes {
    /// Places in the rosters that are drawn from; 0 where nothing is drawn.
    candidates: u32,
    models: u32,
    responders: u32,
    committee: u32,
    /// Committees dismissed so far, `0..=LAST_ROUND`.
    round: u8,
}

impl Sizes {
    fn of<T: Config>(request: &Request<T>) -> Self {
        let candidates = match request.phase {
            Phase::Requested => {
                request.generators.iter().map(rosters::size::<T>).fold(0, u32::saturating_add)
            }
            Phase::Selecting => rosters::size::<T>(&request.evaluator),
            _ => 0,
        };
        Self {
            candidates,
            models: request.generators.len() as u32,
            responders: request.responders,
            committee: request.committee,
            round: request.round,
        }
    }
}

/// Ways through a step, by their weight. `missing` counts candidates examined but not drawn, or operators absent from a
/// settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// To the next phase.
    Onward { missing: u32 },
    /// A draw to be tried again in a later block.
    Again { missing: u32 },
    /// The way of the largest weight. Charged for every way that was not measured by itself, such as refunds.
    Heaviest,
}

impl Path {
    /// The way that led from one phase to another.
    fn between<B>(from: &Phase<B>, to: &Phase<B>, missing: u32) -> Self {
        match (from, to) {
            (Phase::Requested, Phase::Requested) | (Phase::Selecting, Phase::Selecting) => {
                Self::Again { missing }
            }
            (Phase::Requested, Phase::Answering { .. } | Phase::RevealingAnswers { .. })
            | (Phase::Answering { .. }, Phase::RevealingAnswers { .. })
            | (Phase::RevealingAnswers { .. }, Phase::Selecting)
            | (Phase::Selecting, Phase::Scoring { .. })
            | (Phase::Scoring { .. }, Phase::RevealingScores { .. })
            | (Phase::RevealingScores { .. }, Phase::Settled { .. }) => Self::Onward { missing },
            _ => Self::Heaviest,
        }
    }

    /// Weight of a step that weighs `onward` on the way to the next phase, and at most one of `others` besides.
    fn or_heaviest<const N: usize>(self, onward: Weight, others: [Weight; N]) -> Weight {
        match self {
            Self::Heaviest => others.into_iter().fold(onward, |most, other| most.max(other)),
            _ => onward,
        }
    }
}

/// Weight of a draw of `wanted` operators of `models`, where `draw` gives it for a number of candidates examined but not drawn.
fn draw_weight<T: Config>(
    path: Path,
    models: u32,
    wanted: u32,
    refund: Weight,
    draw: impl Fn(u32) -> Weight,
) -> Weight {
    let raise = congestion::raise_weight::<T>(models);
    match path {
        Path::Onward { missing } => draw(missing),
        Path::Again { missing } => draw(missing).saturating_add(raise),
        Path::Heaviest => draw(most_looks(wanted)).saturating_add(refund).saturating_add(raise),
    }
}

/// Steps of a request. One ends each phase.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    DrawInferenceNodes,
    CloseAnswering,
    CloseRevealingAnswers,
    DrawCommittee,
    CloseScoring,
    CloseRevealingScores,
    Prune,
}

impl Step {
    const ALL: [Self; 7] = [
        Self::DrawInferenceNodes,
        Self::CloseAnswering,
        Self::CloseRevealingAnswers,
        Self::DrawCommittee,
        Self::CloseScoring,
        Self::CloseRevealingScores,
        Self::Prune,
    ];

    /// The step that ends `phase`.
    fn of<B>(phase: &Phase<B>) -> Self {
        match phase {
            Phase::Requested => Self::DrawInferenceNodes,
            Phase::Answering { .. } => Self::CloseAnswering,
            Phase::RevealingAnswers { .. } => Self::CloseRevealingAnswers,
            Phase::Selecting => Self::DrawCommittee,
            Phase::Scoring { .. } => Self::CloseScoring,
            Phase::RevealingScores { .. } => Self::CloseRevealingScores,
            Phase::Settled { .. } | Phase::Refunded { .. } => Self::Prune,
        }
    }

    /// Weight of this step on `path`. A draw may find only at its end that it has to be tried again or that the request has to be
    /// refunded, so its heaviest way is the sum of all three.
    fn weight<T: Config>(self, sizes: &Sizes, path: Path) -> Weight {
        // The runtime's handler is not among what was measured.
        self.measured::<T>(sizes, path).saturating_add(callbacks::note_weight::<T>())
    }

    fn measured<T: Config>(self, sizes: &Sizes, path: Path) -> Weight {
        let Sizes { candidates, models, responders: n, committee: k, round } = *sizes;
        match self {
            Self::DrawInferenceNodes => {
                draw_weight::<T>(path, models, n, T::WeightInfo::refund(0, 0), |looks| match models {
                    1 => T::WeightInfo::draw_inference_nodes_of_one_model(candidates, n, looks),
                    _ => T::WeightInfo::draw_inference_nodes(candidates, n, looks),
                })
            }
            Self::CloseAnswering => {
                path.or_heaviest(T::WeightInfo::close_answering(n), [T::WeightInfo::refund(n, 0)])
            }
            Self::CloseRevealingAnswers => {
                path.or_heaviest(T::WeightInfo::close_revealing_answers(n), [T::WeightInfo::refund(n, 0)])
            }
            Self::DrawCommittee => {
                draw_weight::<T>(path, 1, k, T::WeightInfo::refund(n, 0), |looks| match round {
                    0 => T::WeightInfo::draw_committee(candidates, k, looks),
                    _ => T::WeightInfo::draw_committee_again(candidates, k, looks),
                })
            }
            Self::CloseScoring => path.or_heaviest(
                T::WeightInfo::close_scoring(k),
                [T::WeightInfo::dismiss_committee(k), T::WeightInfo::refund(n, k)],
            ),
            Self::CloseRevealingScores => {
                let settled = match models {
                    1 => T::WeightInfo::settle_of_one_model(n, k),
                    _ => T::WeightInfo::settle(n, k),
                };
                let with_absentees = settled.max(T::WeightInfo::settle_with_absentees(n, k));
                let usual = if path == (Path::Onward { missing: 0 }) { settled } else { with_absentees };
                // The noise of the evaluator and what operators have forgone, which came after the measurement.
                let answers = u64::from(n);
                let reads = answers.saturating_add(1);
                let usual = usual.saturating_add(T::DbWeight::get().reads_writes(reads, answers));
                path.or_heaviest(usual, [T::WeightInfo::dismiss_committee(k), T::WeightInfo::refund(n, k)])
            }
            // Committees that were not drawn need no removal.
            Self::Prune => T::WeightInfo::prune(n)
                .saturating_sub(T::DbWeight::get().writes(LAST_ROUND.saturating_sub(round).into())),
        }
    }
}

fn close_answering<T: Config>(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
    let committed = requests::mutate_responses::<T, _>(id, |responses| {
        phases::close(responses.iter_mut().map(|r| &mut r.work), false);
        responses.iter().any(|r| matches!(r.work, Work::Committed(_)))
    });
    if !committed {
        return settlement::refund::<T>(id, request, RefundReason::NoCommitment);
    }
    phases::enter_revealing_answers::<T>(id, request, now);
}

fn close_revealing_answers<T: Config>(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
    let (revealed, sole) = requests::mutate_responses::<T, _>(id, |responses| {
        phases::close(responses.iter_mut().map(|r| &mut r.work), true);
        (responses.iter().any(|r| r.work == Work::Revealed), responses.len() == 1)
    });
    if !revealed {
        return settlement::refund::<T>(id, request, RefundReason::NoOutput);
    }
    phases::enter_selecting::<T>(id, request, sole, now);
}

fn close_scoring<T: Config>(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
    let committed = requests::mutate_committee::<T, _>(id, request.round, |committee| {
        phases::close(committee.iter_mut().map(|m| &mut m.work), false);
        committee.iter().filter(|m| matches!(m.work, Work::Committed(_))).count()
    });
    if committed < quorum(request.committee) {
        return redraw_or_refund::<T>(id, request, now);
    }
    phases::enter_revealing_scores::<T>(id, request, now);
}

/// Returns the number of absent operators: of the committee, or of the inference nodes.
fn close_revealing_scores<T: Config>(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) -> u32 {
    let (revealed, all) = requests::mutate_committee::<T, _>(id, request.round, |committee| {
        phases::close(committee.iter_mut().map(|m| &mut m.work), true);
        (committee.iter().filter(|m| m.work == Work::Revealed).count(), committee.len())
    });
    if revealed == 0 {
        redraw_or_refund::<T>(id, request, now);
        return 0;
    }
    if revealed < quorum(request.committee) {
        // Another committee would know these scores.
        settlement::refund::<T>(id, request, RefundReason::NoQuorum);
        return 0;
    }
    let silent = settlement::settle::<T>(id, request);
    silent.saturating_add(all.saturating_sub(revealed) as u32)
}

fn redraw_or_refund<T: Config>(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
    if request.round >= LAST_ROUND {
        return settlement::refund::<T>(id, request, RefundReason::NoQuorum);
    }
    settlement::dismiss_committee::<T>(id, request);
    request.round = request.round.saturating_add(1);
    // The new committee's seed must not have been known to those who decided to stay away.
    request.fixed_at = now;
    requests::enter::<T>(id, request, Phase::Selecting, phases::first_draw::<T>(now));
}
