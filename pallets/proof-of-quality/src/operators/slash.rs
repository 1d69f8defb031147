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
    let Some(amount) = lower::<T>(who, amount) else {
        unexpected::<T>(UnexpectedKind::OperatorMissing);
        return CreditOf::<T>::default();
    };
    Pallet::<T>::deposit_event(Event::Slashed { operator: who.clone(), request, amount, reason });
    money::take_stake::<T>(who, amount)
}

/// Takes a part of all of an operator's stake, but not more than `most`, without an event: who calls says why. Nothing of who is gone.
pub(crate) fn take_part<T: Config>(who: &T::AccountId, part: Permill, most: BalanceOf<T>) -> CreditOf<T> {
    let amount = part.mul_ceil(stake_and_unbonding::<T>(who)).min(most);
    let amount = lower::<T>(who, amount).unwrap_or_default();
    money::take_stake::<T>(who, amount)
}

/// Lowers the stake in an operator's record by up to `amount`; returns by how much, `None` without a record.
fn lower<T: Config>(who: &T::AccountId, amount: BalanceOf<T>) -> Option<BalanceOf<T>> {
    let mut operator = Operators::<T>::get(who)?;
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
    Some(taken)
}

/// Takes a part of all of an operator's stake, at work and on its way out, but not more than `most`.
pub(crate) fn slash_part<T: Config>(
    who: &T::AccountId,
    request: RequestId,
    part: Permill,
    most: BalanceOf<T>,
    reason: SlashReason,
) -> CreditOf<T> {
    slash::<T>(who, request, part.mul_ceil(stake_and_unbonding::<T>(who)).min(most), reason)
}

/// All of an operator's stake.
fn stake_and_unbonding<T: Config>(who: &T::AccountId) -> BalanceOf<T> {
    Operators::<T>::get(who).map_or(Zero::zero(), |operator| {
        let unbonding = operator.unbonding.map_or(Zero::zero(), |unbonding| unbonding.amount);
        operator.stake.saturating_add(unbonding)
    })
}
