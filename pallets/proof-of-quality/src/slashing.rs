//! Slashing: what a fault costs, and to whom that goes.
//!
//! Only what the chain itself can prove is slashed: silence, and a gross error that an audit shows. What silence costs goes to
//! `SlashHandler`: whoever gained by it would have a reason to keep others from their work. What a gross error costs goes first to
//! those who would have earned more by the truth, each up to that; the rest goes to `SlashHandler`. (Construction: ours.)

use crate::*;
use frame_support::traits::Imbalance;
use sp_runtime::{
    traits::{Saturating, Zero},
    Permill,
};

impl<T: Config> Pallet<T> {
    /// Takes up to `amount` of an operator's stake: first what is at work, then what is on its way out.
    ///
    /// Its places in rosters stay as they are: a slash must not cost more the more models an operator serves.
    pub(crate) fn slash(
        who: &T::AccountId,
        request: RequestId,
        amount: BalanceOf<T>,
        reason: SlashReason,
    ) -> CreditOf<T> {
        let Some(mut operator) = Operators::<T>::get(who) else {
            Self::unexpected(UnexpectedKind::OperatorMissing);
            return CreditOf::<T>::default();
        };
        let from_stake = amount.min(operator.stake);
        operator.stake = operator.stake.saturating_sub(from_stake);
        let mut taken = from_stake;
        if let Some(unbonding) = operator.unbonding.as_mut() {
            let from_unbonding = amount.saturating_sub(from_stake).min(unbonding.amount);
            unbonding.amount = unbonding.amount.saturating_sub(from_unbonding);
            taken = taken.saturating_add(from_unbonding);
        }
        operator.slashed = operator.slashed.saturating_add(taken);
        Operators::<T>::insert(who, operator);
        Self::deposit_event(Event::Slashed { operator: who.clone(), request, amount: taken, reason });
        Self::take_stake(who, taken)
    }

    /// Takes a part of all of an operator's stake, at work and on its way out, but not more than `most`.
    pub(crate) fn slash_part(
        who: &T::AccountId,
        request: RequestId,
        part: Permill,
        most: BalanceOf<T>,
        reason: SlashReason,
    ) -> CreditOf<T> {
        let stake = Operators::<T>::get(who).map_or(Zero::zero(), |operator| {
            let unbonding = operator.unbonding.map_or(Zero::zero(), |unbonding| unbonding.amount);
            operator.stake.saturating_add(unbonding)
        });
        Self::slash(who, request, part.mul_ceil(stake).min(most), reason)
    }

    /// Pays up to `owed` out of slashed stake to somebody whom the fault harmed; returns what was paid.
    pub(crate) fn compensate(
        pool: &mut CreditOf<T>,
        request: RequestId,
        who: &T::AccountId,
        owed: BalanceOf<T>,
    ) -> BalanceOf<T> {
        if owed.is_zero() || pool.peek().is_zero() {
            return Zero::zero();
        }
        let amount = Self::pay_from_pool(pool, who, owed);
        if !amount.is_zero() {
            Self::deposit_event(Event::Compensated { who: who.clone(), request, amount });
        }
        amount
    }
}
