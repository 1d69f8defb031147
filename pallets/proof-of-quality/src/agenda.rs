//! The agenda: which request takes its next step when, and the steps.
//!
//! Invariant: every stored request stands in [`Agenda`] exactly once, under its `due`, and `due` is not before
//! [`AgendaCursor`]. Only `list`, `schedule`, `prune` and `service_agenda` touch either.

use crate::{work::has_acted, *};
use alloc::vec::Vec;
use codec::Encode;
use frame_support::{ensure, traits::Randomness, weights::WeightMeter, BoundedVec};
use frame_system::pallet_prelude::BlockNumberFor;
use poq_primitives::commitment::Hash32;
use sp_runtime::{
    traits::{Get, One, Saturating, Zero},
    DispatchResult,
};

const INFERENCE_SUBJECT: &[u8] = b"poq/draw/inference";
const COMMITTEE_SUBJECT: &[u8] = b"poq/draw/committee";

/// Committees that a request may have: the first and one redraw.
const LAST_ROUND: u8 = 1;

impl<T: Config> Pallet<T> {
    /// Works through the agenda up to block `now`, as far as `meter` and `AgendaWeight` go. What does not fit keeps its
    /// place at the head.
    pub(crate) fn service_agenda(now: BlockNumberFor<T>, meter: &mut WeightMeter) {
        // No request was ever made.
        let Some(mut block) = AgendaCursor::<T>::get() else { return };
        let mut own = WeightMeter::with_limit(meter.remaining().min(T::AgendaWeight::get()));
        let step = T::WeightInfo::step();
        while own.try_consume(T::WeightInfo::agenda_block()).is_ok() {
            let mut due = Agenda::<T>::iter_key_prefix(block);
            // Collected before the steps, which write to the same map.
            let mut batch: Vec<RequestId> = Vec::new();
            let mut exhausted = false;
            loop {
                if own.try_consume(step).is_err() {
                    exhausted = true;
                    break;
                }
                match due.next() {
                    Some(id) => batch.push(id),
                    None => break,
                }
            }
            for id in batch {
                Self::step(id, block, now);
            }
            // More may be put on today's agenda until the block ends, so the cursor never passes it.
            if exhausted || block >= now {
                break;
            }
            block = block.saturating_add(One::one());
        }
        AgendaCursor::<T>::put(block);
        meter.consume(own.consumed());
    }

    /// The step of a request that its due block has come for, on anyone's call.
    pub(crate) fn do_advance(id: RequestId) -> DispatchResult {
        let now = frame_system::Pallet::<T>::block_number();
        let request = Requests::<T>::get(id).ok_or(Error::<T>::UnknownRequest)?;
        ensure!(request.due <= now, Error::<T>::NotDue);
        Self::step(id, request.due, now);
        // A request that only waits for a seed has been put off, which is no work worth paying for.
        let progressed = Requests::<T>::get(id).is_none_or(|after| after.phase != request.phase);
        ensure!(progressed, Error::<T>::NotDue);
        Ok(())
    }

    fn step(id: RequestId, listed: BlockNumberFor<T>, now: BlockNumberFor<T>) {
        let Some(mut request) = Requests::<T>::get(id) else {
            Agenda::<T>::remove(listed, id);
            return Self::unexpected(UnexpectedKind::AgendaWithoutRequest);
        };
        match request.phase {
            Phase::Requested => Self::draw_inference_nodes(id, &mut request, now),
            Phase::Answering { .. } => Self::close_answering(id, &mut request, now),
            Phase::Opening { .. } => Self::close_opening(id, &mut request, now),
            Phase::Selecting => Self::draw_committee(id, &mut request, now),
            Phase::Scoring { .. } => Self::close_scoring(id, &mut request, now),
            Phase::Revealing { .. } => Self::close_revealing(id, &mut request, now),
            Phase::Settled { .. } | Phase::Refunded { .. } => return Self::prune(id, &request),
        }
        Requests::<T>::insert(id, request);
    }

    /// Puts a new request on the agenda for block `due`.
    pub(crate) fn list(id: RequestId, due: BlockNumberFor<T>) {
        if !AgendaCursor::<T>::exists() {
            AgendaCursor::<T>::put(frame_system::Pallet::<T>::block_number());
        }
        Agenda::<T>::insert(due, id, ());
    }

    /// Moves a request in the agenda. Does not store the request.
    fn schedule(id: RequestId, request: &mut Request<T>, due: BlockNumberFor<T>) {
        Agenda::<T>::remove(request.due, id);
        Agenda::<T>::insert(due, id, ());
        request.due = due;
    }

    /// Puts a request on today's agenda: everyone in its phase has acted.
    pub(crate) fn schedule_now(id: RequestId, request: &mut Request<T>) {
        Self::schedule(id, request, frame_system::Pallet::<T>::block_number());
    }

    /// Enters `phase`, in which the next step is due in block `due`.
    pub(crate) fn enter(
        id: RequestId,
        request: &mut Request<T>,
        phase: Phase<BlockNumberFor<T>>,
        due: BlockNumberFor<T>,
    ) {
        request.phase = phase;
        request.since = frame_system::Pallet::<T>::block_number();
        Self::schedule(id, request, due);
        Self::deposit_event(Event::PhaseEntered { request: id, phase });
    }

    /// A seed for `subject` that was unknown in block `fixed`. If there is none yet, puts the request off by a block, or
    /// refunds it when it has waited long enough.
    fn seed_or_wait(
        id: RequestId,
        request: &mut Request<T>,
        subject: &[u8],
        fixed: BlockNumberFor<T>,
        now: BlockNumberFor<T>,
    ) -> Option<Hash32> {
        let subject = (subject, id, request.round).encode();
        match T::Randomness::random(&subject) {
            (Some(seed), known_since) if known_since > fixed => {
                Some((subject, seed).using_encoded(sp_io::hashing::blake2_256))
            }
            _ if now >= request.since.saturating_add(T::SeedPatience::get()) => {
                Self::refund(id, request, RefundReason::NoRandomness);
                None
            }
            _ => {
                Self::schedule(id, request, now.saturating_add(One::one()));
                None
            }
        }
    }

    fn draw_inference_nodes(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
        let created = request.created;
        let Some(seed) = Self::seed_or_wait(id, request, INFERENCE_SUBJECT, created, now) else { return };
        let mut pool: Vec<((T::AccountId, ModelId), u64)> = Vec::new();
        for model in &request.generators {
            for candidate in Rosters::<T>::get(model) {
                // An operator that serves several of the models answers with the first that the requester named.
                let known = pool.iter().any(|((operator, _), _)| *operator == candidate.operator);
                if !known && candidate.since <= created && candidate.operator != request.requester {
                    pool.push(((candidate.operator, *model), candidate.weight));
                }
            }
        }
        let drawn = draw::draw(&seed, request.responders, pool);
        if drawn.is_empty() {
            return Self::refund(id, request, RefundReason::NoInferenceNode);
        }
        let operators: Vec<_> = drawn.iter().map(|(operator, _)| operator.clone()).collect();
        let responses: Vec<_> = drawn
            .into_iter()
            .map(|(operator, model)| Response {
                operator,
                model,
                work: Work::Pending,
                quality: None,
                paid: Zero::zero(),
            })
            .collect();
        let sole = responses.len() == 1;
        for operator in &operators {
            Self::open_duty(operator, id, Role::InferenceNode);
        }
        Responses::<T>::insert(id, BoundedVec::truncate_from(responses));
        Self::deposit_event(Event::InferenceNodesDrawn {
            request: id,
            operators: BoundedVec::truncate_from(operators),
        });
        let windows = request.answer_windows;
        let (phase, until) = if sole {
            let until = now.saturating_add(windows.commit).saturating_add(windows.reveal);
            (Phase::Opening { until }, until)
        } else {
            let until = now.saturating_add(windows.commit);
            (Phase::Answering { until }, until)
        };
        Self::enter(id, request, phase, until.saturating_add(One::one()));
    }

    fn close_answering(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
        let committed = Responses::<T>::mutate(id, |responses| {
            close(responses.iter_mut().map(|r| &mut r.work), false);
            responses.iter().any(|r| matches!(r.work, Work::Committed(_)))
        });
        if !committed {
            return Self::refund(id, request, RefundReason::NoCommitment);
        }
        // From here on the outputs cannot change, only be withheld, which is slashed.
        request.fixed_at = now;
        let until = now.saturating_add(request.answer_windows.reveal);
        Self::enter(id, request, Phase::Opening { until }, until.saturating_add(One::one()));
    }

    fn close_opening(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
        let (shown, sole) = Responses::<T>::mutate(id, |responses| {
            close(responses.iter_mut().map(|r| &mut r.work), true);
            (responses.iter().any(|r| r.work == Work::Shown), responses.len() == 1)
        });
        if !shown {
            return Self::refund(id, request, RefundReason::NoOutput);
        }
        if sole {
            request.fixed_at = now;
        }
        Self::enter(id, request, Phase::Selecting, now.saturating_add(One::one()));
    }

    fn draw_committee(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
        let fixed = request.fixed_at;
        let Some(seed) = Self::seed_or_wait(id, request, COMMITTEE_SUBJECT, fixed, now) else { return };
        let responses = Responses::<T>::get(id);
        // Who was drawn before and stayed away is not drawn again.
        let absent: Vec<T::AccountId> = (0..request.round)
            .flat_map(|round| Committees::<T>::get(id, round))
            .filter(|member| member.work != Work::Shown)
            .map(|member| member.operator)
            .collect();
        let pool: Vec<((T::AccountId, u64), u64)> = Rosters::<T>::get(request.evaluator)
            .into_iter()
            .filter(|candidate| {
                candidate.since <= request.created
                    && candidate.operator != request.requester
                    && !responses.iter().any(|response| response.operator == candidate.operator)
                    && !absent.contains(&candidate.operator)
            })
            .map(|candidate| ((candidate.operator, candidate.weight), candidate.weight))
            .collect();
        let drawn = draw::draw(&seed, request.committee, pool);
        if drawn.len() < quorum(request.committee) {
            return Self::refund(id, request, RefundReason::NoCommittee);
        }
        let operators: Vec<_> = drawn.iter().map(|(operator, _)| operator.clone()).collect();
        let members: Vec<_> = drawn
            .into_iter()
            .map(|(operator, weight)| Member {
                operator,
                weight,
                work: Work::Pending,
                scores: Default::default(),
                agreement: None,
                paid: Zero::zero(),
            })
            .collect();
        for operator in &operators {
            Self::open_duty(operator, id, Role::QualityValidator);
        }
        Committees::<T>::insert(id, request.round, BoundedVec::truncate_from(members));
        Self::deposit_event(Event::CommitteeDrawn {
            request: id,
            round: request.round,
            operators: BoundedVec::truncate_from(operators),
        });
        let until = now.saturating_add(request.score_windows.commit);
        Self::enter(id, request, Phase::Scoring { until }, until.saturating_add(One::one()));
    }

    fn close_scoring(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
        let committed = Committees::<T>::mutate(id, request.round, |committee| {
            close(committee.iter_mut().map(|m| &mut m.work), false);
            committee.iter().filter(|m| matches!(m.work, Work::Committed(_))).count()
        });
        if committed < quorum(request.committee) {
            return Self::redraw_or_refund(id, request, now);
        }
        let until = now.saturating_add(request.score_windows.reveal);
        Self::enter(id, request, Phase::Revealing { until }, until.saturating_add(One::one()));
    }

    fn close_revealing(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
        let revealed = Committees::<T>::mutate(id, request.round, |committee| {
            close(committee.iter_mut().map(|m| &mut m.work), true);
            committee.iter().filter(|m| m.work == Work::Shown).count()
        });
        if revealed < quorum(request.committee) {
            return Self::redraw_or_refund(id, request, now);
        }
        Self::settle(id, request);
    }

    fn redraw_or_refund(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
        if request.round >= LAST_ROUND {
            return Self::refund(id, request, RefundReason::NoQuorum);
        }
        Self::dismiss_committee(id, request);
        request.round = request.round.saturating_add(1);
        // The new committee's seed must not have been known to those who decided to stay away.
        request.fixed_at = now;
        Self::enter(id, request, Phase::Selecting, now.saturating_add(One::one()));
    }

    /// Forgets a closed request.
    fn prune(id: RequestId, request: &Request<T>) {
        Agenda::<T>::remove(request.due, id);
        Requests::<T>::remove(id);
        Prompts::<T>::remove(id);
        let responses = Responses::<T>::take(id);
        for index in 0..responses.len() as u32 {
            Outputs::<T>::remove(id, index);
        }
        for round in 0..=LAST_ROUND {
            Committees::<T>::remove(id, round);
        }
        Self::deposit_event(Event::Pruned { request: id });
    }
}

/// Scores that a committee of `size` must reveal for a consensus: more than half.
pub(crate) fn quorum(size: u32) -> usize {
    (size as usize / 2).saturating_add(1)
}

/// Marks who was silent when a phase of commitments or, with `showing`, of reveals closes.
fn close<'a>(work: impl Iterator<Item = &'a mut Work>, showing: bool) {
    for work in work.filter(|work| !has_acted(work, showing)) {
        *work = match work {
            Work::Committed(_) => Work::NotRevealed,
            _ => Work::NotCommitted,
        };
    }
}
