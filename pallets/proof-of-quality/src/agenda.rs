//! The agenda: which request takes its next step when, and the steps.
//!
//! Invariant: every stored request stands in [`Agenda`] exactly once, under its `due`, and `due` is not before
//! [`AgendaCursor`]. Only `list`, `schedule`, `prune` and `service_agenda` touch either.
//!
//! Draws are made before the transactions of a block only, in `on_poll`: nobody who can see a seed may act between it and the
//! draw, but the author of the block that brought it, and that one moves its own seat at most (see [`crate::draw`]). Of the draws
//! of a block, that of the request that offers each answer the most above its price comes first.

use crate::{draw::Draw, operators::is_drawable, work::has_acted, *};
use alloc::{collections::BTreeSet, vec::Vec};
use codec::Encode;
use core::cmp::Reverse;
use frame_support::{
    ensure,
    traits::Randomness,
    weights::{Weight, WeightMeter},
    BoundedVec,
};
use frame_system::pallet_prelude::BlockNumberFor;
use poq_primitives::commitment::Hash32;
use sp_runtime::{
    traits::{CheckedDiv, Get, One, Saturating, Zero},
    DispatchError, Permill,
};

const INFERENCE_SUBJECT: &[u8] = b"poq/draw/inference";
const COMMITTEE_SUBJECT: &[u8] = b"poq/draw/committee";

/// Committees that a request may have: the first and one redraw.
const LAST_ROUND: u8 = 1;

/// Blocks after which a seed can be there that was not known before: that of the parent of a block, known since that parent,
/// is younger than what happened two blocks before. A draw is not tried earlier, because to try costs as much as to draw.
const SEED_AFTER: u32 = 2;

/// Longest pause between two tries of a draw, in blocks: the oldest request should not also wait longest for its next try.
const MOST_PAUSE: u32 = 10;

/// How many more busy operators than were wanted a draw looks at before it is cut short.
pub(crate) const SPARE_LOOKS: u32 = 8;

impl<T: Config> Pallet<T> {
    /// Works through the agenda up to block `now`, as far as `meter` and `AgendaWeight` go. What does not fit keeps its
    /// place at the head.
    pub(crate) fn service_agenda(now: BlockNumberFor<T>, when: When, meter: &mut WeightMeter) {
        let mut own = WeightMeter::with_limit(meter.remaining().min(T::AgendaWeight::get()));
        if own.try_consume(Self::least_agenda_weight()).is_err() {
            return;
        }
        // `None`: no request was ever made.
        if let Some(mut block) = AgendaCursor::<T>::get() {
            // More may be put on today's agenda until the block ends, so the cursor never passes it.
            while Self::service_block(block, now, when, &mut own) && block < now {
                block = block.saturating_add(One::one());
                if own.try_consume(T::WeightInfo::agenda_block()).is_err() {
                    break;
                }
            }
            AgendaCursor::<T>::put(block);
        }
        meter.consume(own.consumed());
    }

    /// What the agenda takes of a block in which nothing is due. The values of which there is one, and which every request reads
    /// or writes, are charged here, once for all of a block, because it comes to the database with them once. (The benchmarks
    /// do not count them: they are marked as `whitelist_storage`.)
    pub(crate) fn least_agenda_weight() -> Weight {
        T::WeightInfo::agenda_block().saturating_add(T::DbWeight::get().reads_writes(4, 3))
    }

    /// Does the steps that are due under `block`; `false` if not all: there was no room, or there were draws and it is too late for
    /// them in this block. Room is reserved for the most that a step can come to, and what it did not need is there for the next.
    pub(crate) fn service_block(
        block: BlockNumberFor<T>,
        now: BlockNumberFor<T>,
        when: When,
        meter: &mut WeightMeter,
    ) -> bool {
        loop {
            let (mut batch, all) = Self::reserve(block, when, meter);
            batch.sort_by_key(|due| Reverse(due.bonus));
            let unspent = batch.into_iter().fold(Weight::zero(), |sum, due| {
                sum.saturating_add(due.reserved.saturating_sub(Self::step(due.id, block, now)))
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
    fn reserve(block: BlockNumberFor<T>, when: When, meter: &mut WeightMeter) -> (Vec<Due<T>>, bool) {
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
                Some(request) => (Self::step_weight(&request), request.bonus),
                None => (Weight::zero(), Zero::zero()),
            };
            if meter.try_consume(reserved).is_err() {
                return (batch, false);
            }
            batch.push(Due { id, reserved, bonus });
        }
    }

    /// The most that the next step of a request can weigh: what it usually comes to or a refund, whichever is more, and
    /// for a draw, which may find too few only at its end, both. It depends on the sizes of the request and of the rosters
    /// that it is drawn from, and on nothing else that is stored.
    pub(crate) fn step_weight(request: &Request<T>) -> Weight {
        let (n, k) = (request.responders, request.committee);
        match request.phase {
            Phase::Requested => Self::inference_draw_weight(request, most_looks(n))
                .saturating_add(T::WeightInfo::refund(0, 0))
                .saturating_add(Self::surcharge_weight(request.generators.len())),
            Phase::Answering { .. } => T::WeightInfo::close_answering(n).max(T::WeightInfo::refund(n, 0)),
            Phase::Opening { .. } => T::WeightInfo::close_opening(n).max(T::WeightInfo::refund(n, 0)),
            Phase::Selecting => Self::committee_draw_weight(request, most_looks(k))
                .saturating_add(T::WeightInfo::refund(n, 0))
                .saturating_add(Self::surcharge_weight(1)),
            Phase::Scoring { .. } => T::WeightInfo::close_scoring(k)
                .max(T::WeightInfo::dismiss_committee(k))
                .max(T::WeightInfo::refund(n, k)),
            Phase::Revealing { .. } => Self::settlement_weight(request)
                .max(T::WeightInfo::settle_with_absentees(n, k))
                .max(T::WeightInfo::dismiss_committee(k))
                .max(T::WeightInfo::refund(n, k)),
            Phase::Settled { .. } | Phase::Refunded { .. } => {
                let not_drawn = LAST_ROUND.saturating_sub(request.round);
                T::WeightInfo::prune(n).saturating_sub(T::DbWeight::get().writes(not_drawn.into()))
            }
        }
    }

    /// A settlement of this request from which nobody is absent.
    fn settlement_weight(request: &Request<T>) -> Weight {
        let (n, k) = (request.responders, request.committee);
        match request.generators.len() {
            1 => T::WeightInfo::settle_of_one_model(n, k),
            _ => T::WeightInfo::settle(n, k),
        }
    }

    /// How many stand on a model's roster, without reading who.
    fn roster_size(model: &ModelId) -> u32 {
        Rosters::<T>::decode_len(model).unwrap_or_default() as u32
    }

    /// A draw of inference nodes for this request, from rosters as they are, that looks at `looks` others in vain.
    fn inference_draw_weight(request: &Request<T>, looks: u32) -> Weight {
        let sizes = request.generators.iter().map(Self::roster_size);
        let candidates = sizes.fold(0u32, |sum, size| sum.saturating_add(size));
        match request.generators.len() {
            1 => T::WeightInfo::draw_inference_nodes_of_one_model(candidates, request.responders, looks),
            _ => T::WeightInfo::draw_inference_nodes(candidates, request.responders, looks),
        }
    }

    /// A draw of a committee for this request, from the roster as it is, that looks at `looks` others in vain.
    fn committee_draw_weight(request: &Request<T>, looks: u32) -> Weight {
        let candidates = Self::roster_size(&request.evaluator);
        match request.round {
            0 => T::WeightInfo::draw_committee(candidates, request.committee, looks),
            _ => T::WeightInfo::draw_committee_again(candidates, request.committee, looks),
        }
    }

    /// What a step came to that has led a request out of the phase `from`, or left it there: a way that was measured by
    /// itself, or the most. `missing` is how many a draw has looked at in vain, or how many were absent from a settlement.
    pub(crate) fn spent_weight(
        from: &Phase<BlockNumberFor<T>>,
        request: &Request<T>,
        missing: u32,
        most: Weight,
    ) -> Weight {
        let (n, k) = (request.responders, request.committee);
        let spent = match (from, &request.phase) {
            (Phase::Requested, Phase::Requested) => Self::inference_draw_weight(request, missing)
                .saturating_add(Self::surcharge_weight(request.generators.len())),
            (Phase::Requested, Phase::Answering { .. } | Phase::Opening { .. }) => {
                Self::inference_draw_weight(request, missing)
            }
            (Phase::Answering { .. }, Phase::Opening { .. }) => T::WeightInfo::close_answering(n),
            (Phase::Opening { .. }, Phase::Selecting) => T::WeightInfo::close_opening(n),
            (Phase::Selecting, Phase::Selecting) => {
                Self::committee_draw_weight(request, missing).saturating_add(Self::surcharge_weight(1))
            }
            (Phase::Selecting, Phase::Scoring { .. }) => Self::committee_draw_weight(request, missing),
            (Phase::Scoring { .. }, Phase::Revealing { .. }) => T::WeightInfo::close_scoring(k),
            (Phase::Revealing { .. }, Phase::Settled { .. }) if missing == 0 => {
                Self::settlement_weight(request)
            }
            (Phase::Revealing { .. }, Phase::Settled { .. }) => {
                Self::settlement_weight(request).max(T::WeightInfo::settle_with_absentees(n, k))
            }
            _ => most,
        };
        spent.min(most)
    }

    /// The most that any step of any request can weigh.
    pub(crate) fn dearest_step() -> Weight {
        let (n, k, roster) =
            (T::MaxResponders::get(), T::MaxCommittee::get(), T::MaxOperatorsPerModel::get());
        let candidates = roster.saturating_mul(T::MaxModelsPerRequest::get());
        [
            T::WeightInfo::draw_inference_nodes(candidates, n, most_looks(n))
                .max(T::WeightInfo::draw_inference_nodes_of_one_model(roster, n, most_looks(n)))
                .saturating_add(T::WeightInfo::refund(0, 0))
                .saturating_add(Self::surcharge_weight(T::MaxModelsPerRequest::get() as usize)),
            T::WeightInfo::close_answering(n),
            T::WeightInfo::close_opening(n),
            T::WeightInfo::draw_committee(roster, k, most_looks(k))
                .max(T::WeightInfo::draw_committee_again(roster, k, most_looks(k)))
                .saturating_add(T::WeightInfo::refund(n, 0))
                .saturating_add(Self::surcharge_weight(1)),
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

    /// The step of a request that its due block has come for, on anyone's call. Returns its weight.
    pub(crate) fn do_advance(id: RequestId) -> Result<Weight, DispatchError> {
        let now = frame_system::Pallet::<T>::block_number();
        let request = Requests::<T>::get(id).ok_or(Error::<T>::UnknownRequest)?;
        ensure!(request.due <= now && !request.is_to_draw(), Error::<T>::NotDue);
        let weight = T::WeightInfo::agenda_item().saturating_add(Self::step(id, request.due, now));
        Ok(weight)
    }

    /// Does the step of a request that stands under `listed`; returns its weight.
    pub(crate) fn step(id: RequestId, listed: BlockNumberFor<T>, now: BlockNumberFor<T>) -> Weight {
        let Some(mut request) = Requests::<T>::get(id) else {
            Agenda::<T>::remove(listed, id);
            Self::unexpected(UnexpectedKind::AgendaWithoutRequest);
            return Weight::zero();
        };
        let (from, most) = (request.phase, Self::step_weight(&request));
        let mut missing = 0;
        match from {
            Phase::Requested => missing = Self::draw_inference_nodes(id, &mut request, now),
            Phase::Answering { .. } => Self::close_answering(id, &mut request, now),
            Phase::Opening { .. } => Self::close_opening(id, &mut request, now),
            Phase::Selecting => missing = Self::draw_committee(id, &mut request, now),
            Phase::Scoring { .. } => Self::close_scoring(id, &mut request, now),
            Phase::Revealing { .. } => missing = Self::close_revealing(id, &mut request, now),
            Phase::Settled { .. } | Phase::Refunded { .. } => {
                Self::prune(id, &request);
                return most;
            }
        }
        let spent = Self::spent_weight(&from, &request, missing, most);
        Requests::<T>::insert(id, request);
        spent
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

    /// Ends a phase in which everyone has acted, and `done` of `of` as they should. Where that only opens the next it is done
    /// here and now; what moves money is left to the agenda of this block.
    pub(crate) fn end_phase(id: RequestId, request: &mut Request<T>, done: usize, of: u32) {
        let now = frame_system::Pallet::<T>::block_number();
        match request.phase {
            Phase::Answering { .. } if done > 0 => Self::enter_opening(id, request, now),
            Phase::Opening { .. } if done > 0 => Self::enter_selecting(id, request, of == 1, now),
            Phase::Scoring { .. } if done >= quorum(request.committee) => {
                Self::enter_revealing(id, request, now)
            }
            _ => Self::schedule(id, request, now),
        }
    }

    fn enter_opening(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
        // From here on the outputs cannot change, only be withheld, which is slashed.
        request.fixed_at = now;
        let until = now.saturating_add(request.answer_windows.reveal);
        Self::enter(id, request, Phase::Opening { until }, until.saturating_add(One::one()));
    }

    /// The output of a `sole` inference node is fixed only now: there was no commitment to it.
    fn enter_selecting(id: RequestId, request: &mut Request<T>, sole: bool, now: BlockNumberFor<T>) {
        if sole {
            request.fixed_at = now;
        }
        let due = Self::first_draw(request.fixed_at).max(now.saturating_add(One::one()));
        Self::enter(id, request, Phase::Selecting, due);
    }

    fn enter_revealing(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
        let until = now.saturating_add(request.score_windows.reveal);
        Self::enter(id, request, Phase::Revealing { until }, until.saturating_add(One::one()));
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
    pub(crate) fn seed_or_wait(
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
            _ if Self::may_wait(request, now) => {
                Self::schedule(id, request, now.saturating_add(One::one()));
                None
            }
            _ => {
                Self::refund(id, request, RefundReason::NoRandomness);
                None
            }
        }
    }

    /// The first block in which there can be a seed that was not known in block `fixed`.
    pub(crate) fn first_draw(fixed: BlockNumberFor<T>) -> BlockNumberFor<T> {
        fixed.saturating_add(SEED_AFTER.into())
    }

    /// Whether a request may be put off by another block. Ends, so that every request does.
    fn may_wait(request: &Request<T>, now: BlockNumberFor<T>) -> bool {
        now < request.since.saturating_add(T::SeedPatience::get())
    }

    /// Returns how many were looked at in vain.
    fn draw_inference_nodes(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) -> u32 {
        let created = request.created;
        match Self::seed_or_wait(id, request, INFERENCE_SUBJECT, created, now) {
            Some(seed) => Self::draw_inference_nodes_with(seed, id, request, now),
            None => 0,
        }
    }

    /// Returns how many were looked at in vain.
    pub(crate) fn draw_inference_nodes_with(
        seed: Hash32,
        id: RequestId,
        request: &mut Request<T>,
        now: BlockNumberFor<T>,
    ) -> u32 {
        let created = request.created;
        let mut pool: Vec<((T::AccountId, ModelId), u64)> = Vec::new();
        let (several, mut known) = (request.generators.len() > 1, BTreeSet::<T::AccountId>::new());
        for model in &request.generators {
            for candidate in Rosters::<T>::get(model) {
                // An operator that serves several of the models answers with the first that the requester named.
                let is_new = !several || known.insert(candidate.operator.clone());
                let may_serve = candidate.away.is_none() && candidate.since <= created;
                if is_new && may_serve && candidate.operator != request.requester {
                    pool.push(((candidate.operator, *model), candidate.weight));
                }
            }
        }
        let drawn = Self::draw_fit(seed, request, Role::InferenceNode, pool, |(operator, _)| operator);
        for (operator, model) in &drawn.unfit {
            Self::refresh(model, &[Self::place_of(operator, *model, ModelKind::Generator)]);
        }
        let looks = drawn.looks();
        if drawn.is_incomplete && Self::may_wait(request, now) {
            if drawn.is_congested() {
                Self::raise_surcharges(&request.generators, request);
            }
            Self::draw_later(id, request, drawn.busy > 0, now);
            return looks;
        }
        if drawn.fit.is_empty() {
            Self::refund(id, request, drawn.reason(RefundReason::NoInferenceNode));
            return looks;
        }
        let operators: Vec<_> = drawn.fit.iter().map(|((operator, _), _)| operator.clone()).collect();
        let responses: Vec<_> = drawn
            .fit
            .into_iter()
            .map(|((operator, model), record)| {
                Self::open_duty(&operator, record, id, request, Role::InferenceNode);
                Response {
                    operator,
                    model,
                    work: Work::Pending,
                    latency: Permill::zero(),
                    quality: None,
                    paid: Zero::zero(),
                }
            })
            .collect();
        let sole = responses.len() == 1;
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
        looks
    }

    /// Draws as many operators as the request wants for this role, of those whose record still says that they may be drawn and who
    /// have room for the work. Those who may not are returned too, for the roster to forget; after as many of them as were wanted,
    /// or [`SPARE_LOOKS`] more who are busy, the draw is cut short. Then, or when it finds too few because others are busy, it is
    /// incomplete and done again later. The roster does not forget them where the minimum stake has been lowered since the
    /// request, so that patience ends as it does for seeds.
    fn draw_fit<Item>(
        seed: Hash32,
        request: &Request<T>,
        role: Role,
        pool: Vec<(Item, u64)>,
        operator_of: impl Fn(&Item) -> &T::AccountId,
    ) -> Drawn<T, Item> {
        let wanted = match role {
            Role::InferenceNode => request.responders,
            Role::QualityValidator => request.committee,
        };
        let (min_stake, work) = (request.parameters.min_stake, request.workload(role));
        let most_busy = most_busy(wanted);
        let wanted = wanted as usize;
        let mut drawn = Drawn { fit: Vec::new(), unfit: Vec::new(), busy: 0, is_incomplete: false };
        for item in Draw::new(seed, pool, &operator_of) {
            let who = operator_of(&item);
            match Operators::<T>::get(who) {
                Some(operator) if is_drawable(&operator, min_stake) => {
                    if operator.has_room_for(work) {
                        drawn.fit.push((item, operator))
                    } else {
                        drawn.busy = drawn.busy.saturating_add(1)
                    }
                }
                _ => drawn.unfit.push(item),
            }
            if drawn.fit.len() >= wanted {
                return drawn;
            }
            if drawn.unfit.len() >= wanted || drawn.busy >= most_busy {
                drawn.is_incomplete = true;
                return drawn;
            }
        }
        drawn.is_incomplete = drawn.busy > 0;
        drawn
    }

    /// Puts a draw off, and charges for it if that was because operators are busy. At first by a block, later by half of what the
    /// request has waited, so that a crowd of waiting requests leaves the agenda to those that can go on. A request that offers more
    /// than the price comes again in the next block, so that no room goes to one that offers less.
    fn draw_later(id: RequestId, request: &mut Request<T>, is_busy: bool, now: BlockNumberFor<T>) {
        if is_busy {
            request.tries = request.tries.saturating_add(1);
        }
        let one = BlockNumberFor::<T>::one();
        let waited = now.saturating_sub(request.since);
        let half = waited.checked_div(&one.saturating_add(one)).unwrap_or(one);
        let last = request.since.saturating_add(T::SeedPatience::get());
        let pause = if request.bonus.is_zero() { half.clamp(one, MOST_PAUSE.into()) } else { one };
        let due = now.saturating_add(pause).min(last).max(now.saturating_add(one));
        Self::schedule(id, request, due);
    }

    fn close_answering(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
        let committed = Responses::<T>::mutate(id, |responses| {
            close(responses.iter_mut().map(|r| &mut r.work), false);
            responses.iter().any(|r| matches!(r.work, Work::Committed(_)))
        });
        if !committed {
            return Self::refund(id, request, RefundReason::NoCommitment);
        }
        Self::enter_opening(id, request, now);
    }

    fn close_opening(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
        let (shown, sole) = Responses::<T>::mutate(id, |responses| {
            close(responses.iter_mut().map(|r| &mut r.work), true);
            (responses.iter().any(|r| r.work == Work::Shown), responses.len() == 1)
        });
        if !shown {
            return Self::refund(id, request, RefundReason::NoOutput);
        }
        Self::enter_selecting(id, request, sole, now);
    }

    /// Returns how many were looked at in vain.
    fn draw_committee(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) -> u32 {
        let fixed = request.fixed_at;
        match Self::seed_or_wait(id, request, COMMITTEE_SUBJECT, fixed, now) {
            Some(seed) => Self::draw_committee_with(seed, id, request, now),
            None => 0,
        }
    }

    /// Returns how many were looked at in vain.
    pub(crate) fn draw_committee_with(
        seed: Hash32,
        id: RequestId,
        request: &mut Request<T>,
        now: BlockNumberFor<T>,
    ) -> u32 {
        let responses = Responses::<T>::get(id);
        // Who was drawn before and stayed away is not drawn again.
        let absent: Vec<T::AccountId> = (0..request.round)
            .flat_map(|round| Committees::<T>::get(id, round))
            .filter(|member| member.work != Work::Shown)
            .map(|member| member.operator)
            .collect();
        let pool: Vec<(T::AccountId, u64)> = Rosters::<T>::get(request.evaluator)
            .into_iter()
            .filter(|candidate| {
                candidate.away.is_none()
                    && candidate.since <= request.created
                    && candidate.operator != request.requester
                    && !responses.iter().any(|response| response.operator == candidate.operator)
                    && !absent.contains(&candidate.operator)
            })
            .map(|candidate| (candidate.operator, candidate.weight))
            .collect();
        let drawn = Self::draw_fit(seed, request, Role::QualityValidator, pool, |operator| operator);
        let place = |operator| Self::place_of(operator, request.evaluator, ModelKind::Evaluator);
        let places: Vec<_> = drawn.unfit.iter().map(place).collect();
        Self::refresh(&request.evaluator, &places);
        let looks = drawn.looks();
        if drawn.is_incomplete && Self::may_wait(request, now) {
            if drawn.is_congested() {
                Self::raise_surcharges(&[request.evaluator], request);
            }
            Self::draw_later(id, request, drawn.busy > 0, now);
            return looks;
        }
        let least = quorum(request.committee).max(request.parameters.min_committee as usize);
        if drawn.fit.len() < least {
            Self::refund(id, request, drawn.reason(RefundReason::NoCommittee));
            return looks;
        }
        let operators: Vec<_> = drawn.fit.iter().map(|(operator, _)| operator.clone()).collect();
        let members: Vec<_> = drawn
            .fit
            .into_iter()
            .map(|(operator, record)| {
                let weight = Self::vote_of(&record, &request.parameters);
                Self::open_duty(&operator, record, id, request, Role::QualityValidator);
                Member {
                    operator,
                    weight,
                    work: Work::Pending,
                    scores: Default::default(),
                    latency: Permill::zero(),
                    agreement: None,
                    paid: Zero::zero(),
                }
            })
            .collect();
        Committees::<T>::insert(id, request.round, BoundedVec::truncate_from(members));
        Self::deposit_event(Event::CommitteeDrawn {
            request: id,
            round: request.round,
            operators: BoundedVec::truncate_from(operators),
        });
        let until = now.saturating_add(request.score_windows.commit);
        Self::enter(id, request, Phase::Scoring { until }, until.saturating_add(One::one()));
        looks
    }

    fn close_scoring(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
        let committed = Committees::<T>::mutate(id, request.round, |committee| {
            close(committee.iter_mut().map(|m| &mut m.work), false);
            committee.iter().filter(|m| matches!(m.work, Work::Committed(_))).count()
        });
        if committed < quorum(request.committee) {
            return Self::redraw_or_refund(id, request, now);
        }
        Self::enter_revealing(id, request, now);
    }

    /// Returns how many have not done their part, of the committee or of those who answered.
    fn close_revealing(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) -> u32 {
        let (revealed, all) = Committees::<T>::mutate(id, request.round, |committee| {
            close(committee.iter_mut().map(|m| &mut m.work), true);
            (committee.iter().filter(|m| m.work == Work::Shown).count(), committee.len())
        });
        if revealed == 0 {
            Self::redraw_or_refund(id, request, now);
            return 0;
        }
        if revealed < quorum(request.committee) {
            // Another committee would know these scores.
            Self::refund(id, request, RefundReason::NoQuorum);
            return 0;
        }
        let silent = Self::settle(id, request);
        silent.saturating_add(all.saturating_sub(revealed) as u32)
    }

    fn redraw_or_refund(id: RequestId, request: &mut Request<T>, now: BlockNumberFor<T>) {
        if request.round >= LAST_ROUND {
            return Self::refund(id, request, RefundReason::NoQuorum);
        }
        Self::dismiss_committee(id, request);
        request.round = request.round.saturating_add(1);
        // The new committee's seed must not have been known to those who decided to stay away.
        request.fixed_at = now;
        Self::enter(id, request, Phase::Selecting, Self::first_draw(now));
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
        for round in 0..=request.round {
            Committees::<T>::remove(id, round);
        }
        Self::deposit_event(Event::Pruned { request: id });
    }
}

/// Where in a block the agenda is worked through.
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
    /// What it offers each answer above its price.
    bonus: BalanceOf<T>,
}

/// What came of a draw.
struct Drawn<T: Config, Item> {
    /// Who may do the work, with their records.
    fit: Vec<(Item, Operator<T>)>,
    /// Who may not any more.
    unfit: Vec<Item>,
    /// How many have no room for another duty.
    busy: u32,
    /// Whether the draw has to be done again: there may be others, or will be.
    is_incomplete: bool,
}

impl<T: Config, Item> Drawn<T, Item> {
    /// How many were looked at in vain.
    fn looks(&self) -> u32 {
        self.busy.saturating_add(self.unfit.len() as u32)
    }

    /// Whether there is more work than room, and not only somebody who has none.
    fn is_congested(&self) -> bool {
        self.busy as usize > self.fit.len()
    }

    /// Why a request is refunded of which this was the last draw; `otherwise`, if nobody was busy.
    fn reason(&self, otherwise: RefundReason) -> RefundReason {
        if self.busy > 0 {
            RefundReason::Busy
        } else {
            otherwise
        }
    }
}

/// Busy operators after which a draw of `wanted` is cut short.
fn most_busy(wanted: u32) -> u32 {
    wanted.saturating_add(SPARE_LOOKS)
}

/// Most operators that a draw of `wanted` looks at in vain.
fn most_looks(wanted: u32) -> u32 {
    wanted.saturating_add(most_busy(wanted))
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
