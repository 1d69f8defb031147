//! Operators: stake, worker key, models, and their places in the rosters from which draws are made.

use crate::{models::is_proper_list, *};
use frame_support::{ensure, BoundedVec};
use sp_runtime::{
    traits::{CheckedAdd, Get, SaturatedConversion, Saturating, Zero},
    DispatchResult,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_bond(who: &T::AccountId, amount: BalanceOf<T>) -> DispatchResult {
        ensure!(!amount.is_zero(), Error::<T>::ZeroAmount);
        ensure!(!Workers::<T>::contains_key(who), Error::<T>::WorkerInUse);
        let mut operator = Operators::<T>::get(who).unwrap_or_default();
        operator.stake = operator.stake.checked_add(&amount).ok_or(Error::<T>::Overflow)?;
        ensure!(operator.stake >= T::MinStake::get(), Error::<T>::StakeTooSmall);
        Self::hold_stake(who, amount)?;
        Self::enlist(who, &operator)?;
        Operators::<T>::insert(who, operator);
        Self::deposit_event(Event::Bonded { operator: who.clone(), amount });
        Ok(())
    }

    pub(crate) fn do_register(
        who: &T::AccountId,
        worker: T::AccountId,
        models: BoundedVec<ModelId, T::MaxModelsPerOperator>,
    ) -> DispatchResult {
        let mut operator = Operators::<T>::get(who).ok_or(Error::<T>::NotAnOperator)?;
        ensure!(operator.stake >= T::MinStake::get(), Error::<T>::StakeTooSmall);
        ensure!(is_proper_list(&models), Error::<T>::InvalidModelList);
        for id in models.iter().filter(|id| !operator.models.contains(id)) {
            Self::live_model(id)?;
        }
        Self::set_worker(who, &mut operator, &worker)?;
        for id in operator.models.iter().filter(|id| !models.contains(id)) {
            Self::delist_from(id, who);
        }
        operator.models = models.clone();
        operator.chilled = false;
        Self::enlist(who, &operator)?;
        Operators::<T>::insert(who, operator);
        Self::deposit_event(Event::Registered { operator: who.clone(), worker, models });
        Ok(())
    }

    /// Makes `worker` the operator's key and keeps its account alive, so that it has a nonce without a balance.
    fn set_worker(who: &T::AccountId, operator: &mut Operator<T>, worker: &T::AccountId) -> DispatchResult {
        if operator.worker.as_ref() == Some(worker) {
            return Ok(());
        }
        ensure!(!Workers::<T>::contains_key(worker), Error::<T>::WorkerInUse);
        ensure!(!Operators::<T>::contains_key(worker), Error::<T>::WorkerIsOperator);
        Self::unset_worker(operator);
        frame_system::Pallet::<T>::inc_sufficients(worker);
        Workers::<T>::insert(worker, who);
        operator.worker = Some(worker.clone());
        Ok(())
    }

    fn unset_worker(operator: &mut Operator<T>) {
        if let Some(worker) = operator.worker.take() {
            Workers::<T>::remove(&worker);
            frame_system::Pallet::<T>::dec_sufficients(&worker);
        }
    }

    pub(crate) fn do_chill(who: &T::AccountId) -> DispatchResult {
        Operators::<T>::try_mutate(who, |operator| {
            let operator = operator.as_mut().ok_or(Error::<T>::NotAnOperator)?;
            ensure!(!operator.chilled, Error::<T>::AlreadyChilled);
            operator.chilled = true;
            Self::delist(who, operator);
            Self::deposit_event(Event::Chilled { operator: who.clone() });
            Ok(())
        })
    }

    pub(crate) fn do_resume(who: &T::AccountId) -> DispatchResult {
        Operators::<T>::try_mutate(who, |operator| {
            let operator = operator.as_mut().ok_or(Error::<T>::NotAnOperator)?;
            ensure!(operator.chilled, Error::<T>::NotChilled);
            ensure!(operator.worker.is_some(), Error::<T>::NotRegistered);
            ensure!(operator.stake >= T::MinStake::get(), Error::<T>::StakeTooSmall);
            operator.chilled = false;
            Self::enlist(who, operator)?;
            Self::deposit_event(Event::Resumed { operator: who.clone() });
            Ok(())
        })
    }

    pub(crate) fn do_unbond(who: &T::AccountId, amount: BalanceOf<T>) -> DispatchResult {
        ensure!(!amount.is_zero(), Error::<T>::ZeroAmount);
        Operators::<T>::try_mutate(who, |operator| {
            let operator = operator.as_mut().ok_or(Error::<T>::NotAnOperator)?;
            ensure!(amount <= operator.stake, Error::<T>::NotEnoughStake);
            operator.stake = operator.stake.saturating_sub(amount);
            ensure!(
                operator.stake.is_zero() || operator.stake >= T::MinStake::get(),
                Error::<T>::RemainderTooSmall
            );
            let at = frame_system::Pallet::<T>::block_number().saturating_add(T::UnbondingPeriod::get());
            let waiting = operator.unbonding.map_or(Zero::zero(), |unbonding| unbonding.amount);
            operator.unbonding = Some(Unbonding { amount: waiting.saturating_add(amount), at });
            Self::enlist(who, operator)?;
            Self::deposit_event(Event::Unbonding { operator: who.clone(), amount, at });
            Ok(())
        })
    }

    pub(crate) fn do_withdraw(who: &T::AccountId) -> DispatchResult {
        let mut operator = Operators::<T>::get(who).ok_or(Error::<T>::NotAnOperator)?;
        let amount = match operator.unbonding.take() {
            Some(unbonding) => {
                ensure!(
                    unbonding.at <= frame_system::Pallet::<T>::block_number(),
                    Error::<T>::NothingToWithdraw
                );
                unbonding.amount
            }
            // All was slashed: nothing to release, but a record to forget.
            None if operator.stake.is_zero() => Zero::zero(),
            None => return Err(Error::<T>::NothingToWithdraw.into()),
        };
        ensure!(operator.open_duties == 0, Error::<T>::OpenDuties);
        Self::release_stake(who, amount)?;
        if operator.stake.is_zero() {
            Self::unset_worker(&mut operator);
            Self::delist(who, &operator);
            Operators::<T>::remove(who);
        } else {
            Operators::<T>::insert(who, operator);
        }
        Self::deposit_event(Event::Withdrawn { operator: who.clone(), amount });
        Ok(())
    }

    /// Weight of a stake in draws and in the consensus: in thousandths of `MinStake`, up to `StakeCap` times that.
    pub(crate) fn draw_weight(stake: BalanceOf<T>) -> u64 {
        let unit = T::MinStake::get();
        let capped = stake.min(unit.saturating_mul(T::StakeCap::get().into()));
        let thousandths: u128 = capped.saturated_into::<u128>().saturating_mul(1_000);
        thousandths.checked_div(unit.saturated_into()).unwrap_or(0).saturated_into()
    }

    /// Brings the operator's places in the rosters of its models in line with its record.
    pub(crate) fn enlist(who: &T::AccountId, operator: &Operator<T>) -> DispatchResult {
        let drawable = operator.worker.is_some() && !operator.chilled && operator.stake >= T::MinStake::get();
        if !drawable {
            Self::delist(who, operator);
            return Ok(());
        }
        let weight = Self::draw_weight(operator.stake);
        let since = frame_system::Pallet::<T>::block_number();
        for id in &operator.models {
            Rosters::<T>::try_mutate(id, |roster| {
                match roster.iter_mut().find(|candidate| candidate.operator == *who) {
                    Some(candidate) => {
                        if weight > candidate.weight {
                            candidate.since = since;
                        }
                        candidate.weight = weight;
                        Ok(())
                    }
                    None => roster
                        .try_push(Candidate { operator: who.clone(), weight, since })
                        .map_err(|_| Error::<T>::RosterFull),
                }
            })?;
        }
        Ok(())
    }

    fn delist(who: &T::AccountId, operator: &Operator<T>) {
        for id in &operator.models {
            Self::delist_from(id, who);
        }
    }

    fn delist_from(id: &ModelId, who: &T::AccountId) {
        Rosters::<T>::mutate_exists(id, |slot| {
            if let Some(roster) = slot {
                roster.retain(|candidate| candidate.operator != *who);
                if roster.is_empty() {
                    *slot = None;
                }
            }
        });
    }

    pub(crate) fn open_duty(who: &T::AccountId, request: RequestId, role: Role) {
        Duties::<T>::insert(who, request, role);
        Operators::<T>::mutate(who, |operator| match operator {
            Some(operator) => operator.open_duties = operator.open_duties.saturating_add(1),
            None => Self::unexpected(UnexpectedKind::OperatorMissing),
        });
    }

    pub(crate) fn close_duty(who: &T::AccountId, duty: ClosedDuty<BalanceOf<T>>) {
        Duties::<T>::remove(who, duty.request);
        Operators::<T>::mutate(who, |operator| match operator {
            Some(operator) => {
                operator.open_duties = operator.open_duties.saturating_sub(1);
                operator.earned = operator.earned.saturating_add(duty.paid);
                let missed =
                    matches!(duty.outcome, Outcome::Failed(_) | Outcome::NotCommitted | Outcome::NotRevealed);
                let count = if missed { &mut operator.missed } else { &mut operator.completed };
                *count = count.saturating_add(1);
                if operator.recent.is_full() && !operator.recent.is_empty() {
                    operator.recent.remove(0);
                }
                // Room was just made; with `RecentDuties` of 0 nothing is kept.
                let _ = operator.recent.try_push(duty);
            }
            None => Self::unexpected(UnexpectedKind::OperatorMissing),
        });
        Self::deposit_event(Event::DutyClosed { operator: who.clone(), duty });
    }

    /// Takes `AbsenceSlash`, as far as there is stake: first stake at work, then stake on its way out.
    pub(crate) fn slash_absence(who: &T::AccountId, request: RequestId, fault: Work) -> CreditOf<T> {
        let Some(mut operator) = Operators::<T>::get(who) else {
            Self::unexpected(UnexpectedKind::OperatorMissing);
            return CreditOf::<T>::default();
        };
        let wanted = T::AbsenceSlash::get();
        let from_stake = wanted.min(operator.stake);
        operator.stake = operator.stake.saturating_sub(from_stake);
        let mut amount = from_stake;
        if let Some(unbonding) = operator.unbonding.as_mut() {
            let from_unbonding = wanted.saturating_sub(from_stake).min(unbonding.amount);
            unbonding.amount = unbonding.amount.saturating_sub(from_unbonding);
            amount = amount.saturating_add(from_unbonding);
        }
        operator.slashed = operator.slashed.saturating_add(amount);
        // Less stake never needs a new place in a roster.
        let _ = Self::enlist(who, &operator);
        Operators::<T>::insert(who, operator);
        Self::deposit_event(Event::Slashed { operator: who.clone(), request, amount, fault });
        Self::take_stake(who, amount)
    }
}

/// What a piece of work that was not done amounts to.
pub(crate) fn fault_outcome(work: &Work) -> Option<Outcome> {
    match work {
        Work::Failed(reason) => Some(Outcome::Failed(*reason)),
        Work::NotCommitted => Some(Outcome::NotCommitted),
        Work::NotRevealed => Some(Outcome::NotRevealed),
        Work::Pending | Work::Committed(_) | Work::Shown => None,
    }
}
