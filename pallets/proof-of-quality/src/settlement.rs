//! Settlement: paying, refunding, slashing and remembering, once per request.
//!
//! A response with consensus score `q` and latency `l` earns `clamp(alpha * q - beta * l)` of its share of the inference
//! budget ([`Reward`]), and nothing below the requester's `min_quality`. A quality validator earns the same of its share of
//! the scoring budget, with its [`agreement`] for `q`. What is not earned goes back: `payments + fee + refund == budget`,
//! to the unit. (Formulas: ours, after the form of Cost-aware PoQ, arXiv 2512.16317.)

use crate::{
    agenda::quorum,
    consensus::{agreement, deviation, lower_median},
    operators::{fault_outcome, Place},
    standing::followed,
    *,
};
use alloc::vec::Vec;
use frame_support::traits::Imbalance;
use sp_runtime::{
    traits::{Get, One, Saturating, Zero},
    Permill,
};

/// Fewest revealed scores that say something of how far apart quality validators usually are: with fewer, a requester could
/// make any spread look small by asking for small committees.
const LEAST_FOR_SPREAD: usize = 3;

/// What a committee makes of the responses.
struct Verdict {
    /// For each response the consensus score, `None` if it was not shown.
    qualities: Vec<Option<Permill>>,
    /// For each member its agreement with the others, `None` if it revealed nothing.
    agreements: Vec<Option<Permill>>,
    /// Index and consensus score of the best response.
    best: (usize, Permill),
    /// Median distance of a member from the consensus of the others; `None` if too few revealed to say.
    spread: Option<Permill>,
    /// Whether there was anybody to agree with.
    is_compared: bool,
}

impl<T: Config> Pallet<T> {
    /// Settles a request whose committee has a quorum. Returns how many inference nodes have shown nothing.
    pub(crate) fn settle(id: RequestId, request: &mut Request<T>) -> u32 {
        let mut responses = Responses::<T>::get(id);
        let mut committee = Committees::<T>::get(id, request.round);
        let tolerance = Self::tolerance(request);
        let Some(verdict) = Self::judge(&responses, &committee, tolerance) else {
            // A quorum has at least one score of positive weight for each response.
            Self::unexpected(UnexpectedKind::NoConsensus);
            Self::refund(id, request, RefundReason::NoQuorum);
            return 0;
        };
        if let Some(spread) = verdict.spread {
            Self::learn_spread(&request.evaluator, spread);
        }
        let budget = request.budget;
        let mut places = Vec::new();

        let share = request.response_share();
        for (response, quality) in responses.iter_mut().zip(&verdict.qualities) {
            response.quality = *quality;
            let reward = Self::reward_of(&response.model);
            let earned = match quality {
                Some(quality) if *quality < request.min_quality => Err(Outcome::BelowMinQuality(*quality)),
                Some(quality) => Self::earned(&reward, *quality, response.latency),
                None => Err(fault_outcome(&response.work).unwrap_or(Outcome::NotRevealed)),
            };
            let (amount, outcome) = Self::payable(&response.operator, share, earned);
            response.paid = amount;
            let duty = ClosedDuty { request: id, role: Role::InferenceNode, paid: amount, outcome };
            let operator = response.operator.clone();
            let weight = Self::finish(request, &operator, &response.work, share, duty, *quality);
            places.push(Place { model: response.model, operator, weight });
        }

        let share = request.member_share();
        let reward = Self::reward_of(&request.evaluator);
        for (member, agreed) in committee.iter_mut().zip(&verdict.agreements) {
            member.agreement = *agreed;
            let earned = match agreed {
                Some(agreed) if agreed.is_zero() => Err(Outcome::Disagreed),
                Some(agreed) => Self::earned(&reward, *agreed, member.latency),
                None => Err(fault_outcome(&member.work).unwrap_or(Outcome::NotRevealed)),
            };
            let (amount, outcome) = Self::payable(&member.operator, share, earned);
            member.paid = amount;
            let duty = ClosedDuty { request: id, role: Role::QualityValidator, paid: amount, outcome };
            // Who had nobody to agree with is paid, but no better known than before.
            let learned = agreed.filter(|_| verdict.is_compared);
            let operator = member.operator.clone();
            let weight = Self::finish(request, &operator, &member.work, share, duty, learned);
            places.push(Place { model: request.evaluator, operator, weight });
        }

        let payments = responses.iter().map(|response| (&response.operator, response.paid));
        let payments = payments.chain(committee.iter().map(|member| (&member.operator, member.paid)));
        let paid = payments.clone().fold(BalanceOf::<T>::zero(), |sum, (_, paid)| sum.saturating_add(paid));
        Self::pay_from_budget(&request.requester, payments, budget.fee);
        let refund = budget.total().saturating_sub(paid).saturating_sub(budget.fee);
        Self::release_budget(&request.requester, refund);
        Self::refresh_rosters(request, &places);

        let (best, quality) = (verdict.best.0 as u32, verdict.best.1);
        let silent = verdict.qualities.iter().filter(|quality| quality.is_none()).count();
        Responses::<T>::insert(id, responses);
        Committees::<T>::insert(id, request.round, committee);
        let at = frame_system::Pallet::<T>::block_number();
        Self::close(id, request, Phase::Settled { at, best });
        Self::deposit_event(Event::Settled { request: id, best, quality, paid, fee: budget.fee, refund });
        silent as u32
    }

    /// Gives the whole budget back. Who did its work is paid out of the slash of those who did not; what is left of that
    /// goes to the requester, up to what it had set aside for the work that was not done.
    pub(crate) fn refund(id: RequestId, request: &mut Request<T>, reason: RefundReason) {
        let mut responses = Responses::<T>::get(id);
        let mut committee = Committees::<T>::get(id, request.round);
        let (mut pool, mut lost) = Self::slash_absent(
            id,
            request,
            responses.iter().map(|r| (&r.operator, r.work)),
            request.response_share(),
        );
        let (slashed, missed) = Self::slash_absent(
            id,
            request,
            committee.iter().map(|m| (&m.operator, m.work)),
            request.member_share(),
        );
        pool.subsume(slashed);
        lost = lost.saturating_add(missed);

        let share = request.response_share();
        let mut places = Vec::new();
        for response in responses.iter_mut() {
            let duty = (id, Role::InferenceNode, Outcome::Refunded(reason));
            let operator = response.operator.clone();
            let (paid, weight) =
                Self::close_unsettled(request, &mut pool, &operator, &response.work, share, duty);
            response.paid = paid;
            places.push(Place { model: response.model, operator, weight });
        }
        let outcome = Outcome::Refunded(reason);
        Self::close_committee(id, request, &mut committee, &mut pool, outcome, &mut places);
        Self::compensate(&mut pool, id, &request.requester, lost);
        Self::pay_slash_handler(pool);
        let refund = request.budget.total();
        Self::release_budget(&request.requester, refund);
        Self::refresh_rosters(request, &places);

        Responses::<T>::insert(id, responses);
        if !committee.is_empty() {
            Committees::<T>::insert(id, request.round, committee);
        }
        let at = frame_system::Pallet::<T>::block_number();
        Self::close(id, request, Phase::Refunded { at, reason });
        Self::deposit_event(Event::Refunded { request: id, reason, refund });
    }

    /// Ends the duties of a committee without a quorum: absentees are slashed, those who revealed are paid out of that,
    /// and the requester is compensated for the wait out of the rest.
    pub(crate) fn dismiss_committee(id: RequestId, request: &Request<T>) {
        let mut committee = Committees::<T>::get(id, request.round);
        let parts = committee.iter().map(|member| (&member.operator, member.work));
        let (mut pool, lost) = Self::slash_absent(id, request, parts, request.member_share());
        let mut places = Vec::new();
        Self::close_committee(id, request, &mut committee, &mut pool, Outcome::Dismissed, &mut places);
        Self::compensate(&mut pool, id, &request.requester, lost);
        Self::pay_slash_handler(pool);
        Self::refresh(&request.evaluator, &places);
        Committees::<T>::insert(id, request.round, committee);
    }

    fn close(
        id: RequestId,
        request: &mut Request<T>,
        phase: Phase<frame_system::pallet_prelude::BlockNumberFor<T>>,
    ) {
        let now = frame_system::Pallet::<T>::block_number();
        // Windows are inclusive at both ends, this one too: an audit may be opened in its last block.
        let until = now.saturating_add(T::Retention::get());
        Self::enter(id, request, phase, until.saturating_add(One::one()));
        OpenRequests::<T>::mutate(|open| *open = open.saturating_sub(1));
    }

    /// Slashes those who were silent; returns what was taken and what their shares come to.
    fn slash_absent<'a>(
        id: RequestId,
        request: &Request<T>,
        parts: impl Iterator<Item = (&'a T::AccountId, Work)>,
        share: BalanceOf<T>,
    ) -> (CreditOf<T>, BalanceOf<T>)
    where
        T::AccountId: 'a,
    {
        let mut pool = CreditOf::<T>::default();
        let mut lost = BalanceOf::<T>::zero();
        for (operator, work) in parts {
            if let Some(reason) = work.absence() {
                pool.subsume(Self::slash(operator, id, request.parameters.absence_slash, reason));
                lost = lost.saturating_add(share);
            }
        }
        (pool, lost)
    }

    /// Closes the duties of a committee whose scores came to nothing; adds the places in the roster that its members have now.
    fn close_committee(
        id: RequestId,
        request: &Request<T>,
        committee: &mut CommitteeOf<T>,
        pool: &mut CreditOf<T>,
        otherwise: Outcome,
        places: &mut Vec<Place<T>>,
    ) {
        let share = request.member_share();
        for member in committee.iter_mut() {
            let duty = (id, Role::QualityValidator, otherwise);
            let operator = member.operator.clone();
            let (paid, weight) = Self::close_unsettled(request, pool, &operator, &member.work, share, duty);
            member.paid = paid;
            places.push(Place { model: request.evaluator, operator, weight });
        }
    }

    /// Distance from the consensus of the others at which a score for this request is worth nothing.
    fn tolerance(request: &Request<T>) -> Permill {
        let rules = &request.parameters;
        Spreads::<T>::get(request.evaluator).map_or(rules.tolerance_most, |spread| rules.tolerance(spread))
    }

    fn learn_spread(evaluator: &ModelId, spread: Permill) {
        Spreads::<T>::mutate(evaluator, |average| {
            *average = Some(average.map_or(spread, |average| followed(average, spread)));
        });
    }

    fn judge(responses: &ResponsesOf<T>, committee: &CommitteeOf<T>, tolerance: Permill) -> Option<Verdict> {
        let revealed: Vec<&Member<T>> = committee.iter().filter(|m| m.work == Work::Shown).collect();
        debug_assert!(revealed.len() >= quorum(committee.len() as u32));
        let mut shown = 0usize;
        let mut qualities = Vec::new();
        // For each revealed member, the consensus of the others on each shown response.
        let mut others: Vec<Vec<Option<Permill>>> = alloc::vec![Vec::new(); revealed.len()];
        for response in responses {
            if response.work != Work::Shown {
                qualities.push(None);
                continue;
            }
            let scores: Vec<_> =
                revealed.iter().filter_map(|m| m.scores.get(shown).map(|s| (*s, m.weight))).collect();
            qualities.push(Some(T::Aggregation::consensus(&scores)?));
            for (list, consensus) in others.iter_mut().zip(T::Aggregation::leave_one_out(&scores)) {
                list.push(consensus);
            }
            shown = shown.saturating_add(1);
        }
        let distances =
            revealed.iter().zip(&others).map(|(member, others)| deviation(&member.scores, others));
        let distances: Vec<Permill> = distances.collect();
        let (is_compared, is_telling) = (distances.len() > 1, distances.len() >= LEAST_FOR_SPREAD);
        let spread = if is_telling { lower_median(distances) } else { None };
        let mut others = others.into_iter();
        let agreements = committee
            .iter()
            .map(|member| match member.work {
                Work::Shown => others.next().map(|others| agreement(&member.scores, &others, tolerance)),
                _ => None,
            })
            .collect();
        // The first of equals, so that the result does not depend on how a maximum is searched.
        let best = qualities
            .iter()
            .enumerate()
            .filter_map(|(index, quality)| quality.map(|quality| (index, quality)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        Some(Verdict { qualities, agreements, best, spread, is_compared })
    }

    /// The part of its share that work earns, or why it earns nothing.
    fn earned(reward: &Reward, quality: Permill, latency: Permill) -> Result<Permill, Outcome> {
        let earned = reward.earned(quality, latency);
        if earned.is_zero() && !quality.is_zero() {
            Err(Outcome::TooSlow(quality))
        } else {
            Ok(earned)
        }
    }

    /// What of a share is to be paid.
    fn payable(
        operator: &T::AccountId,
        share: BalanceOf<T>,
        earned: Result<Permill, Outcome>,
    ) -> (BalanceOf<T>, Outcome) {
        match earned {
            Ok(part) => {
                let amount = part.mul_floor(share);
                if amount.is_zero() || Self::can_receive(operator, amount) {
                    (amount, Outcome::Paid(part))
                } else {
                    (Zero::zero(), Outcome::NotPayable)
                }
            }
            Err(outcome) => (Zero::zero(), outcome),
        }
    }

    /// Closes a duty of a request or committee that came to nothing; pays done work out of `pool`. Returns what was paid, and
    /// what the operator weighs in rosters from now on.
    fn close_unsettled(
        request: &Request<T>,
        pool: &mut CreditOf<T>,
        operator: &T::AccountId,
        work: &Work,
        share: BalanceOf<T>,
        (id, role, otherwise): (RequestId, Role, Outcome),
    ) -> (BalanceOf<T>, u64) {
        let paid = match work {
            Work::Shown => Self::compensate(pool, id, operator, share),
            _ => Zero::zero(),
        };
        let outcome = fault_outcome(work).unwrap_or(otherwise);
        let duty = ClosedDuty { request: id, role, paid, outcome };
        (paid, Self::close_duty(operator, duty, experience(role, work, None), &request.parameters))
    }

    /// Closes a duty of a settled request. Absence is slashed, and the requester, who got less than it asked for, is
    /// compensated up to the share of the work that was not done. Returns what the operator weighs in rosters from now on.
    fn finish(
        request: &Request<T>,
        operator: &T::AccountId,
        work: &Work,
        share: BalanceOf<T>,
        duty: ClosedDuty<BalanceOf<T>>,
        worth: Option<Permill>,
    ) -> u64 {
        if let Some(reason) = work.absence() {
            let mut pool = Self::slash(operator, duty.request, request.parameters.absence_slash, reason);
            Self::compensate(&mut pool, duty.request, &request.requester, share);
            Self::pay_slash_handler(pool);
        }
        Self::close_duty(operator, duty, experience(duty.role, work, worth), &request.parameters)
    }
}

/// What an operator's standing learns from a duty that is over; `worth` is its quality or agreement, if it came to that.
fn experience(role: Role, work: &Work, worth: Option<Permill>) -> Experience {
    match (role, fault_outcome(work).is_some()) {
        (Role::InferenceNode, false) => Experience::Answered(worth),
        (Role::InferenceNode, true) => Experience::NotAnswered,
        (Role::QualityValidator, false) => Experience::Scored(worth),
        (Role::QualityValidator, true) => Experience::NotScored,
    }
}
