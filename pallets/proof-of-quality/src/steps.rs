//! Steps: the agenda worked through, what each due request does next, and what that weighs.
//!
//! Draws are made before the transactions of a block only, in `on_poll`: nobody who can see a seed may act between it and the
//! draw, but the author of the block that brought it, and that one moves its own seat at most (see [`crate::rendezvous`]). Of the draws
//! of a block, that of the request that offers each answer the most above its price comes first.

use crate::{
    agenda, congestion,
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
    let (from, most) = (request.phase, most_weight::<T>(&request));
    let mut missing = 0;
    match from {
        Phase::Requested => missing = draws::draw_inference_nodes::<T>(id, &mut request, now),
        Phase::Answering { .. } => close_answering::<T>(id, &mut request, now),
        Phase::RevealingAnswers { .. } => close_revealing_answers::<T>(id, &mut request, now),
        Phase::Selecting => missing = draws::draw_committee::<T>(id, &mut request, now),
        Phase::Scoring { .. } => close_scoring::<T>(id, &mut request, now),
        Phase::RevealingScores { .. } => missing = close_revealing_scores::<T>(id, &mut request, now),
        Phase::Settled { .. } | Phase::Refunded { .. } => {
            requests::forget::<T>(id, &request);
            return most;
        }
    }
    let spent = spent_weight::<T>(&from, &request, missing, most);
    requests::put::<T>(id, request);
    spent
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

/// The most that the next step of a request can weigh: what it usually comes to or a refund, whichever is more, and
/// for a draw, which may find too few only at its end, both. It depends on the sizes of the request and of the rosters
/// that it is drawn from, and on nothing else that is stored.
pub(crate) fn most_weight<T: Config>(request: &Request<T>) -> Weight {
    let (n, k) = (request.responders, request.committee);
    match request.phase {
        Phase::Requested => inference_draw_weight::<T>(request, most_looks(n))
            .saturating_add(T::WeightInfo::refund(0, 0))
            .saturating_add(congestion::raise_weight::<T>(request.generators.len())),
        Phase::Answering { .. } => T::WeightInfo::close_answering(n).max(T::WeightInfo::refund(n, 0)),
        Phase::RevealingAnswers { .. } => {
            T::WeightInfo::close_revealing_answers(n).max(T::WeightInfo::refund(n, 0))
        }
        Phase::Selecting => committee_draw_weight::<T>(request, most_looks(k))
            .saturating_add(T::WeightInfo::refund(n, 0))
            .saturating_add(congestion::raise_weight::<T>(1)),
        Phase::Scoring { .. } => T::WeightInfo::close_scoring(k)
            .max(T::WeightInfo::dismiss_committee(k))
            .max(T::WeightInfo::refund(n, k)),
        Phase::RevealingScores { .. } => settlement_weight::<T>(request)
            .max(T::WeightInfo::settle_with_absentees(n, k))
            .max(T::WeightInfo::dismiss_committee(k))
            .max(T::WeightInfo::refund(n, k)),
        Phase::Settled { .. } | Phase::Refunded { .. } => {
            let not_drawn = LAST_ROUND.saturating_sub(request.round);
            T::WeightInfo::prune(n).saturating_sub(T::DbWeight::get().writes(not_drawn.into()))
        }
    }
}

/// Weight of a step that began in the phase `from`: that of the path taken, if it was measured by itself, otherwise `most`.
/// `missing` counts candidates examined but not drawn, or members absent from a settlement.
pub(crate) fn spent_weight<T: Config>(
    from: &Phase<BlockNumberFor<T>>,
    request: &Request<T>,
    missing: u32,
    most: Weight,
) -> Weight {
    let (n, k) = (request.responders, request.committee);
    let spent = match (from, &request.phase) {
        (Phase::Requested, Phase::Requested) => inference_draw_weight::<T>(request, missing)
            .saturating_add(congestion::raise_weight::<T>(request.generators.len())),
        (Phase::Requested, Phase::Answering { .. } | Phase::RevealingAnswers { .. }) => {
            inference_draw_weight::<T>(request, missing)
        }
        (Phase::Answering { .. }, Phase::RevealingAnswers { .. }) => T::WeightInfo::close_answering(n),
        (Phase::RevealingAnswers { .. }, Phase::Selecting) => T::WeightInfo::close_revealing_answers(n),
        (Phase::Selecting, Phase::Selecting) => {
            committee_draw_weight::<T>(request, missing).saturating_add(congestion::raise_weight::<T>(1))
        }
        (Phase::Selecting, Phase::Scoring { .. }) => committee_draw_weight::<T>(request, missing),
        (Phase::Scoring { .. }, Phase::RevealingScores { .. }) => T::WeightInfo::close_scoring(k),
        (Phase::RevealingScores { .. }, Phase::Settled { .. }) if missing == 0 => {
            settlement_weight::<T>(request)
        }
        (Phase::RevealingScores { .. }, Phase::Settled { .. }) => {
            settlement_weight::<T>(request).max(T::WeightInfo::settle_with_absentees(n, k))
        }
        _ => most,
    };
    spent.min(most)
}

/// A settlement of this request from which nobody is absent.
fn settlement_weight<T: Config>(request: &Request<T>) -> Weight {
    let (n, k) = (request.responders, request.committee);
    match request.generators.len() {
        1 => T::WeightInfo::settle_of_one_model(n, k),
        _ => T::WeightInfo::settle(n, k),
    }
}

/// A draw of inference nodes for this request, from rosters as they are, that examines `looks` others without drawing them.
fn inference_draw_weight<T: Config>(request: &Request<T>, looks: u32) -> Weight {
    let sizes = request.generators.iter().map(rosters::size::<T>);
    let candidates = sizes.fold(0u32, |sum, size| sum.saturating_add(size));
    match request.generators.len() {
        1 => T::WeightInfo::draw_inference_nodes_of_one_model(candidates, request.responders, looks),
        _ => T::WeightInfo::draw_inference_nodes(candidates, request.responders, looks),
    }
}

/// A draw of a committee for this request, from the roster as it is, that examines `looks` others without drawing them.
fn committee_draw_weight<T: Config>(request: &Request<T>, looks: u32) -> Weight {
    let candidates = rosters::size::<T>(&request.evaluator);
    match request.round {
        0 => T::WeightInfo::draw_committee(candidates, request.committee, looks),
        _ => T::WeightInfo::draw_committee_again(candidates, request.committee, looks),
    }
}

/// The most that any step of any request can weigh.
pub(crate) fn dearest_step<T: Config>() -> Weight {
    let (n, k, roster) = (T::MaxResponders::get(), T::MaxCommittee::get(), T::MaxOperatorsPerModel::get());
    let candidates = roster.saturating_mul(T::MaxModelsPerRequest::get());
    [
        T::WeightInfo::draw_inference_nodes(candidates, n, most_looks(n))
            .max(T::WeightInfo::draw_inference_nodes_of_one_model(roster, n, most_looks(n)))
            .saturating_add(T::WeightInfo::refund(0, 0))
            .saturating_add(congestion::raise_weight::<T>(T::MaxModelsPerRequest::get() as usize)),
        T::WeightInfo::close_answering(n),
        T::WeightInfo::close_revealing_answers(n),
        T::WeightInfo::draw_committee(roster, k, most_looks(k))
            .max(T::WeightInfo::draw_committee_again(roster, k, most_looks(k)))
            .saturating_add(T::WeightInfo::refund(n, 0))
            .saturating_add(congestion::raise_weight::<T>(1)),
        T::WeightInfo::close_scoring(k),
        T::WeightInfo::settle(n, k),
        T::WeightInfo::settle_of_one_model(n, k),
        T::WeightInfo::settle_with_absentees(n, k),
        T::WeightInfo::dismiss_committee(k),
        T::WeightInfo::refund(n, k),
        T::WeightInfo::prune(n),
    ]
    .into_iter()
    .fold(Weight::zero(), |most, weight| most.max(weight))
    .saturating_add(T::WeightInfo::agenda_item())
}
