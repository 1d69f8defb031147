//! Draws: who answers a request and who scores it, by a seed that nobody knew when it could still be bent.

use crate::{
    congestion,
    duties::{RefundReason, RequestId, Role, Work},
    models::{ModelId, ModelKind},
    operators::{self, is_drawable, Operator},
    phases::{self, quorum},
    rendezvous::Draw,
    requests::{self, Member, Phase, Request, Response},
    rosters, settlement, Committees, Config, Event, Operators, Pallet, Responses, Rosters,
};
use alloc::{collections::BTreeSet, vec::Vec};
use codec::Encode;
use frame_support::{traits::Randomness, BoundedVec};
use frame_system::pallet_prelude::BlockNumberFor;
use poq_primitives::commitment::Hash32;
use sp_runtime::{
    traits::{CheckedDiv, Get, One, Saturating, Zero},
    Permill,
};

const ANSWERS: Role = Role::InferenceNode;
const SCORES: Role = Role::QualityValidator;

const INFERENCE_SUBJECT: &[u8] = b"poq/draw/inference";
const COMMITTEE_SUBJECT: &[u8] = b"poq/draw/committee";

/// Longest pause between two tries of a draw, in blocks: the oldest request should not also wait longest for its next try.
const MOST_PAUSE: u32 = 10;

/// Busy operators that a draw examines beyond the number wanted, before it is cut short.
pub(crate) const SPARE_LOOKS: u32 = 8;

/// Result of a draw.
struct Drawn<T: Config, Item> {
    /// Candidates that may do the work, with their records.
    fit: Vec<(Item, Operator<T>)>,
    /// Candidates that may not any more.
    unfit: Vec<Item>,
    /// Number of operators without room for another duty.
    busy: u32,
    /// Whether the draw has to be done again: there may be others, or will be.
    is_incomplete: bool,
}

impl<T: Config, Item> Drawn<T, Item> {
    /// Number of candidates examined but not drawn.
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

/// Returns the number of candidates examined but not drawn.
pub(crate) fn draw_inference_nodes<T: Config>(
    id: RequestId,
    request: &mut Request<T>,
    now: BlockNumberFor<T>,
) -> u32 {
    let created = request.created;
    match seed_or_wait::<T>(id, request, INFERENCE_SUBJECT, created, now) {
        Some(seed) => draw_inference_nodes_with::<T>(seed, id, request, now),
        None => 0,
    }
}

/// Returns the number of candidates examined but not drawn.
pub(crate) fn draw_inference_nodes_with<T: Config>(
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
    let drawn = draw_fit::<T, _>(seed, request, Role::InferenceNode, pool, |(operator, _)| operator);
    for (operator, model) in &drawn.unfit {
        rosters::refresh::<T>(model, &[operators::place_of::<T>(operator, *model, ModelKind::Generator)]);
    }
    let looks = drawn.looks();
    if drawn.is_incomplete && may_wait::<T>(request, now) {
        if drawn.is_congested() {
            congestion::raise::<T>(&request.generators, request.offered());
        }
        draw_later::<T>(id, request, drawn.busy > 0, now);
        return looks;
    }
    if drawn.fit.is_empty() {
        settlement::refund::<T>(id, request, drawn.reason(RefundReason::NoInferenceNode));
        return looks;
    }
    let operators: Vec<_> = drawn.fit.iter().map(|((operator, _), _)| operator.clone()).collect();
    let responses: Vec<_> = drawn
        .fit
        .into_iter()
        .map(|((operator, model), record)| {
            operators::open_duty::<T>(&operator, record, id, ANSWERS, request.workload(ANSWERS));
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
    requests::put_responses::<T>(id, BoundedVec::truncate_from(responses));
    Pallet::<T>::deposit_event(Event::InferenceNodesDrawn {
        request: id,
        operators: BoundedVec::truncate_from(operators),
    });
    phases::enter_answering::<T>(id, request, sole, now);
    looks
}

/// Returns the number of candidates examined but not drawn.
pub(crate) fn draw_committee<T: Config>(
    id: RequestId,
    request: &mut Request<T>,
    now: BlockNumberFor<T>,
) -> u32 {
    let fixed = request.fixed_at;
    match seed_or_wait::<T>(id, request, COMMITTEE_SUBJECT, fixed, now) {
        Some(seed) => draw_committee_with::<T>(seed, id, request, now),
        None => 0,
    }
}

/// Returns the number of candidates examined but not drawn.
pub(crate) fn draw_committee_with<T: Config>(
    seed: Hash32,
    id: RequestId,
    request: &mut Request<T>,
    now: BlockNumberFor<T>,
) -> u32 {
    let responses = Responses::<T>::get(id);
    // Members of the first committee are not drawn again.
    let absent: Vec<T::AccountId> = (0..request.round)
        .flat_map(|round| Committees::<T>::get(id, round))
        .filter(|member| member.work != Work::Revealed)
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
    let drawn = draw_fit::<T, _>(seed, request, Role::QualityValidator, pool, |operator| operator);
    let place = |operator| operators::place_of::<T>(operator, request.evaluator, ModelKind::Evaluator);
    let places: Vec<_> = drawn.unfit.iter().map(place).collect();
    rosters::refresh::<T>(&request.evaluator, &places);
    let looks = drawn.looks();
    if drawn.is_incomplete && may_wait::<T>(request, now) {
        if drawn.is_congested() {
            congestion::raise::<T>(&[request.evaluator], request.offered());
        }
        draw_later::<T>(id, request, drawn.busy > 0, now);
        return looks;
    }
    let least = quorum(request.committee).max(request.parameters.min_committee as usize);
    if drawn.fit.len() < least {
        settlement::refund::<T>(id, request, drawn.reason(RefundReason::NoCommittee));
        return looks;
    }
    let operators: Vec<_> = drawn.fit.iter().map(|(operator, _)| operator.clone()).collect();
    let members: Vec<_> = drawn
        .fit
        .into_iter()
        .map(|(operator, record)| {
            let weight = operators::vote_of::<T>(&record, &request.parameters);
            operators::open_duty::<T>(&operator, record, id, SCORES, request.workload(SCORES));
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
    requests::put_committee::<T>(id, request.round, BoundedVec::truncate_from(members));
    Pallet::<T>::deposit_event(Event::CommitteeDrawn {
        request: id,
        round: request.round,
        operators: BoundedVec::truncate_from(operators),
    });
    let until = now.saturating_add(request.score_windows.commit);
    requests::enter::<T>(id, request, Phase::Scoring { until }, until.saturating_add(One::one()));
    looks
}

/// A seed for `subject` that was unknown in block `fixed`. If there is none yet, puts the request off by a block, or
/// refunds it when it has waited long enough.
pub(crate) fn seed_or_wait<T: Config>(
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
        _ if may_wait::<T>(request, now) => {
            requests::schedule::<T>(id, request, now.saturating_add(One::one()));
            None
        }
        _ => {
            settlement::refund::<T>(id, request, RefundReason::NoRandomness);
            None
        }
    }
}

/// Whether a request may be put off by another block. Ends, so that every request does.
fn may_wait<T: Config>(request: &Request<T>, now: BlockNumberFor<T>) -> bool {
    now < request.since.saturating_add(T::SeedPatience::get())
}

/// Draws as many operators as the request wants for this role, of those whose record still says that they may be drawn and who
/// have room for the work. Those who may not are returned too, for the roster to forget; after as many of them as were wanted,
/// or [`SPARE_LOOKS`] more who are busy, the draw is cut short. Then, or when it finds too few because others are busy, it is
/// incomplete and done again later. The roster does not forget them where the minimum stake has been lowered since the
/// request, so that patience ends as it does for seeds.
fn draw_fit<T: Config, Item>(
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
fn draw_later<T: Config>(id: RequestId, request: &mut Request<T>, is_busy: bool, now: BlockNumberFor<T>) {
    if is_busy {
        request.tries = request.tries.saturating_add(1);
    }
    let one = BlockNumberFor::<T>::one();
    let waited = now.saturating_sub(request.since);
    let half = waited.checked_div(&one.saturating_add(one)).unwrap_or(one);
    let last = request.since.saturating_add(T::SeedPatience::get());
    let pause = if request.bonus.is_zero() { half.clamp(one, MOST_PAUSE.into()) } else { one };
    let due = now.saturating_add(pause).min(last).max(now.saturating_add(one));
    requests::schedule::<T>(id, request, due);
}

/// Busy operators after which a draw of `wanted` is cut short.
fn most_busy(wanted: u32) -> u32 {
    wanted.saturating_add(SPARE_LOOKS)
}

/// Most candidates that a draw of `wanted` examines without drawing them.
pub(crate) fn most_looks(wanted: u32) -> u32 {
    wanted.saturating_add(most_busy(wanted))
}
