//! Settlement: paying, refunding, slashing and remembering, once per request.
//!
//! A response with consensus score `q` earns `q` of its share of the inference budget, and nothing below the requester's
//! `min_quality`. A quality validator earns its share of the scoring budget times its [`agreement`]. What is not earned
//! goes back: `payments + fee + refund == budget`, to the unit. (Formulas: ours; cost-aware terms come later.)

use crate::{agenda::quorum, consensus::agreement, operators::fault_outcome, *};
use alloc::vec::Vec;
use frame_support::traits::Imbalance;
use sp_runtime::{
    traits::{CheckedDiv, Get, Saturating, Zero},
    Permill,
};

/// What a committee makes of the responses.
struct Verdict {
    /// For each response the consensus score, `None` if it was not shown.
    qualities: Vec<Option<Permill>>,
    /// For each member its agreement with the others, `None` if it revealed nothing.
    agreements: Vec<Option<Permill>>,
    /// Index and consensus score of the best response.
    best: (usize, Permill),
}

impl<T: Config> Pallet<T> {
    /// Settles a request whose committee has a quorum.
    pub(crate) fn settle(id: RequestId, request: &mut Request<T>) {
        let mut responses = Responses::<T>::get(id);
        let mut committee = Committees::<T>::get(id, request.round);
        let Some(verdict) = Self::judge(&responses, &committee) else {
            // A quorum has at least one score of positive weight for each response.
            Self::unexpected(UnexpectedKind::NoConsensus);
            return Self::refund(id, request, RefundReason::NoQuorum);
        };
        let budget = request.budget;
        let requester = request.requester.clone();
        let mut paid = BalanceOf::<T>::zero();

        let share = share_of(budget.inference, request.responders);
        for (response, quality) in responses.iter_mut().zip(&verdict.qualities) {
            response.quality = *quality;
            let earned = match quality {
                Some(quality) if *quality >= request.min_quality => Ok(*quality),
                Some(quality) => Err(Outcome::BelowMinQuality(*quality)),
                None => Err(fault_outcome(&response.work).unwrap_or(Outcome::NotRevealed)),
            };
            let (amount, outcome) = Self::pay_earned(&requester, &response.operator, share, earned);
            response.paid = amount;
            paid = paid.saturating_add(amount);
            let duty = ClosedDuty { request: id, role: Role::InferenceNode, paid: amount, outcome };
            Self::finish(&response.operator, &response.work, duty);
        }

        let share = share_of(budget.scoring, request.committee);
        for (member, agreed) in committee.iter_mut().zip(&verdict.agreements) {
            member.agreement = *agreed;
            let earned = match agreed {
                Some(agreed) if !agreed.is_zero() => Ok(*agreed),
                Some(_) => Err(Outcome::Disagreed),
                None => Err(fault_outcome(&member.work).unwrap_or(Outcome::NotRevealed)),
            };
            let (amount, outcome) = Self::pay_earned(&requester, &member.operator, share, earned);
            member.paid = amount;
            paid = paid.saturating_add(amount);
            let duty = ClosedDuty { request: id, role: Role::QualityValidator, paid: amount, outcome };
            Self::finish(&member.operator, &member.work, duty);
        }

        Self::pay_fee(&requester, budget.fee);
        let refund = budget.total().saturating_sub(paid).saturating_sub(budget.fee);
        Self::release_budget(&requester, refund);

        let (best, quality) = (verdict.best.0 as u32, verdict.best.1);
        Responses::<T>::insert(id, responses);
        Committees::<T>::insert(id, request.round, committee);
        let at = frame_system::Pallet::<T>::block_number();
        Self::enter(id, request, Phase::Settled { at, best }, at.saturating_add(T::Retention::get()));
        Self::deposit_event(Event::Settled { request: id, best, quality, paid, fee: budget.fee, refund });
    }

    /// Gives the whole budget back. Who did its work is paid out of the slash of those who did not.
    pub(crate) fn refund(id: RequestId, request: &mut Request<T>, reason: RefundReason) {
        let mut responses = Responses::<T>::get(id);
        let mut committee = Committees::<T>::get(id, request.round);
        let parts = responses.iter().map(|response| (&response.operator, response.work));
        let parts = parts.chain(committee.iter().map(|member| (&member.operator, member.work)));
        let mut pool = Self::slash_absent(id, parts);
        let share = share_of(request.budget.inference, request.responders);
        for response in responses.iter_mut() {
            response.paid = Self::close_unsettled(
                &mut pool,
                &response.operator,
                &response.work,
                share,
                (id, Role::InferenceNode, Outcome::Refunded(reason)),
            );
        }
        Self::close_committee(id, request, &mut committee, &mut pool, Outcome::Refunded(reason));
        Self::pay_slash_handler(pool);
        let refund = request.budget.total();
        Self::release_budget(&request.requester, refund);

        Responses::<T>::insert(id, responses);
        if !committee.is_empty() {
            Committees::<T>::insert(id, request.round, committee);
        }
        let at = frame_system::Pallet::<T>::block_number();
        Self::enter(id, request, Phase::Refunded { at, reason }, at.saturating_add(T::Retention::get()));
        Self::deposit_event(Event::Refunded { request: id, reason, refund });
    }

    /// Ends the duties of a committee without a quorum: absentees are slashed and those who revealed are paid out of that.
    pub(crate) fn dismiss_committee(id: RequestId, request: &Request<T>) {
        let mut committee = Committees::<T>::get(id, request.round);
        let parts = committee.iter().map(|member| (&member.operator, member.work));
        let mut pool = Self::slash_absent(id, parts);
        Self::close_committee(id, request, &mut committee, &mut pool, Outcome::Dismissed);
        Self::pay_slash_handler(pool);
        Committees::<T>::insert(id, request.round, committee);
    }

    /// Slashes those who were silent; returns what was taken.
    fn slash_absent<'a>(id: RequestId, parts: impl Iterator<Item = (&'a T::AccountId, Work)>) -> CreditOf<T>
    where
        T::AccountId: 'a,
    {
        let mut pool = CreditOf::<T>::default();
        for (operator, fault) in parts.filter(|(_, work)| work.is_absent()) {
            pool.subsume(Self::slash_absence(operator, id, fault));
        }
        pool
    }

    /// Closes the duties of a committee whose scores came to nothing.
    fn close_committee(
        id: RequestId,
        request: &Request<T>,
        committee: &mut CommitteeOf<T>,
        pool: &mut CreditOf<T>,
        otherwise: Outcome,
    ) {
        let share = share_of(request.budget.scoring, request.committee);
        for member in committee.iter_mut() {
            let duty = (id, Role::QualityValidator, otherwise);
            member.paid = Self::close_unsettled(pool, &member.operator, &member.work, share, duty);
        }
    }

    fn judge(responses: &ResponsesOf<T>, committee: &CommitteeOf<T>) -> Option<Verdict> {
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
        let mut others = others.into_iter();
        let agreements = committee
            .iter()
            .map(|member| match member.work {
                Work::Shown => others
                    .next()
                    .map(|others| agreement(&member.scores, &others, T::AgreementTolerance::get())),
                _ => None,
            })
            .collect();
        // The first of equals, so that the result does not depend on how a maximum is searched.
        let best = qualities
            .iter()
            .enumerate()
            .filter_map(|(index, quality)| quality.map(|quality| (index, quality)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        Some(Verdict { qualities, agreements, best })
    }

    /// Pays the earned part of a share from the budget.
    fn pay_earned(
        requester: &T::AccountId,
        operator: &T::AccountId,
        share: BalanceOf<T>,
        earned: Result<Permill, Outcome>,
    ) -> (BalanceOf<T>, Outcome) {
        match earned {
            Ok(part) => {
                let amount = part.mul_floor(share);
                if Self::pay_from_budget(requester, operator, amount) {
                    (amount, Outcome::Paid(part))
                } else {
                    (Zero::zero(), Outcome::NotPayable)
                }
            }
            Err(outcome) => (Zero::zero(), outcome),
        }
    }

    /// Closes a duty of a request or committee that came to nothing; pays done work out of `pool`.
    fn close_unsettled(
        pool: &mut CreditOf<T>,
        operator: &T::AccountId,
        work: &Work,
        share: BalanceOf<T>,
        (request, role, otherwise): (RequestId, Role, Outcome),
    ) -> BalanceOf<T> {
        let paid = match work {
            Work::Shown => Self::pay_from_pool(pool, operator, share),
            _ => Zero::zero(),
        };
        let outcome = fault_outcome(work).unwrap_or(otherwise);
        Self::close_duty(operator, ClosedDuty { request, role, paid, outcome });
        paid
    }

    /// Closes a duty of a settled request and slashes absence.
    fn finish(operator: &T::AccountId, work: &Work, duty: ClosedDuty<BalanceOf<T>>) {
        if work.is_absent() {
            Self::pay_slash_handler(Self::slash_absence(operator, duty.request, *work));
        }
        Self::close_duty(operator, duty);
    }
}

/// One of `count` equal shares, rounded down; the rest goes back to the requester.
fn share_of<Balance: CheckedDiv + Zero + From<u32>>(whole: Balance, count: u32) -> Balance {
    whole.checked_div(&count.into()).unwrap_or_else(Zero::zero)
}
