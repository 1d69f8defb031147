//! The stake of an operator: bonded, unbonded, withdrawn.

use super::{
    forgone,
    places::{delist, enlist, stake_weight},
    registration::unset_worker,
    Operator, Unbonding,
};
use crate::{money, BalanceOf, Config, EconomicParameters, Error, Event, Operators, Pallet, Workers};
use frame_support::ensure;
use sp_runtime::{
    traits::{CheckedAdd, Saturating, Zero},
    DispatchResult,
};

/// Puts stake on hold; the first time, makes the account an operator.
pub(crate) fn bond<T: Config>(who: &T::AccountId, amount: BalanceOf<T>) -> DispatchResult {
    ensure!(!amount.is_zero(), Error::<T>::ZeroAmount);
    ensure!(!Workers::<T>::contains_key(who), Error::<T>::WorkerInUse);
    let parameters = EconomicParameters::<T>::get();
    let mut operator = Operators::<T>::get(who)
        .unwrap_or_else(|| Operator { standing: parameters.floor, ..Default::default() });
    let before = stake_weight::<T>(operator.stake_per_model(), &parameters);
    operator.stake = operator.stake.checked_add(&amount).ok_or(Error::<T>::Overflow)?;
    ensure!(operator.stake >= parameters.min_stake, Error::<T>::StakeTooSmall);
    money::hold_stake::<T>(who, amount)?;
    let grown = stake_weight::<T>(operator.stake_per_model(), &parameters) > before;
    enlist::<T>(who, &operator, grown)?;
    Operators::<T>::insert(who, operator);
    Pallet::<T>::deposit_event(Event::Bonded { operator: who.clone(), amount });
    Ok(())
}

/// Takes stake out of draws, to be withdrawn later.
pub(crate) fn unbond<T: Config>(who: &T::AccountId, amount: BalanceOf<T>) -> DispatchResult {
    ensure!(!amount.is_zero(), Error::<T>::ZeroAmount);
    let parameters = EconomicParameters::<T>::get();
    Operators::<T>::try_mutate(who, |operator| {
        let operator = operator.as_mut().ok_or(Error::<T>::NotAnOperator)?;
        ensure!(amount <= operator.stake, Error::<T>::NotEnoughStake);
        operator.stake = operator.stake.saturating_sub(amount);
        ensure!(
            operator.stake.is_zero() || operator.stake_per_model() >= parameters.min_stake,
            Error::<T>::RemainderTooSmall
        );
        let now = frame_system::Pallet::<T>::block_number();
        // The period may have been shortened since the latest scores.
        let at = now.saturating_add(parameters.unbonding_period).max(operator.answerable_until);
        let waiting = operator.unbonding.map_or(Zero::zero(), |unbonding| unbonding.amount);
        operator.unbonding = Some(Unbonding { amount: waiting.saturating_add(amount), at });
        enlist::<T>(who, operator, false)?;
        Pallet::<T>::deposit_event(Event::Unbonding { operator: who.clone(), amount, at });
        Ok(())
    })
}

/// Releases unbonded stake; an operator without any is forgotten.
pub(crate) fn withdraw<T: Config>(who: &T::AccountId) -> DispatchResult {
    let mut operator = Operators::<T>::get(who).ok_or(Error::<T>::NotAnOperator)?;
    let amount = match operator.unbonding.take() {
        Some(unbonding) => {
            ensure!(unbonding.at <= frame_system::Pallet::<T>::block_number(), Error::<T>::NothingToWithdraw);
            unbonding.amount
        }
        // All was slashed: nothing to release, but a record to forget.
        None if operator.stake.is_zero() => Zero::zero(),
        None => return Err(Error::<T>::NothingToWithdraw.into()),
    };
    ensure!(operator.duties.count() == 0, Error::<T>::OpenDuties);
    money::release_stake::<T>(who, amount)?;
    if operator.stake.is_zero() {
        unset_worker::<T>(&mut operator);
        delist::<T>(who, &operator);
        Operators::<T>::remove(who);
        forgone::forget::<T>(who);
    } else {
        Operators::<T>::insert(who, operator);
    }
    Pallet::<T>::deposit_event(Event::Withdrawn { operator: who.clone(), amount });
    Ok(())
}
