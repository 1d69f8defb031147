//! Slashing: what a fault costs an operator.
//!
//! Only what the chain itself can prove is slashed: silence, and a gross error that an audit shows. What silence costs goes to
//! `SlashHandler`: whoever gained by it would have a reason to keep others from their work. What a gross error costs goes first to
//! those who would have earned more by the truth, each up to that; the rest goes to `SlashHandler`. (Construction: ours.)

use crate::{
    duties::{RequestId, SlashReason},
    money,
    unexpected::{unexpected, UnexpectedKind},
    BalanceOf, Config, CreditOf, Event, Operators, Pallet,
};
use sp_runtime::{
    traits::{Saturating, Zero},
    Permill,
};

/// Takes up to `amount` of an operator's stake: first what is at work, then what is on its way out.
///
/// Its places in rosters stay as they are: a slash must not cost more the more models an operator serves.
pub(crate) fn slash<T: Config>(
    who: &T::AccountId,
    request: RequestId,
    amount: BalanceOf<T>,
    reason: SlashReason,
) -> CreditOf<T> {
    let Some(mut operator) = Operators::<T>::get(who) else {
        unexpected::<T>(UnexpectedKind::OperatorMissing);
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
    Pallet::<T>::deposit_event(Event::Slashed { operator: who.clone(), request, amount: taken, reason });
    money::take_stake::<T>(who, taken)
}

/// Takes a part of all of an operator's stake, at work and on its way out, but not more than `most`.
pub(crate) fn slash_part<T: Config>(
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
    slash::<T>(who, request, part.mul_ceil(stake).min(most), reason)
}
