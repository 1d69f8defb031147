//! Settings that an operator makes itself: worker key, models, chilled or not, capacity.

use super::{
    places::{enlist, stake_weight},
    Operator,
};
use crate::{
    duties::{self, Workload},
    models::{self, is_proper_list, ModelId},
    money::share_of,
    rosters, Config, EconomicParameters, Error, Event, Operators, Pallet, Workers,
};
use frame_support::{ensure, BoundedVec};
use poq_primitives::commitment::worker_consent;
use sp_runtime::{traits::Verify, DispatchResult};

/// Names the worker key and the models of an operator.
pub(crate) fn register<T: Config>(
    who: &T::AccountId,
    worker: T::AccountId,
    models: BoundedVec<ModelId, T::MaxModelsPerOperator>,
) -> DispatchResult {
    let mut operator = Operators::<T>::get(who).ok_or(Error::<T>::NotAnOperator)?;
    ensure!(is_proper_list(&models), Error::<T>::InvalidModelList);
    let parameters = EconomicParameters::<T>::get();
    let stake_per_model = share_of(operator.stake, models.len() as u32);
    ensure!(stake_per_model >= parameters.min_stake, Error::<T>::StakeTooSmall);
    // The same stake behind fewer models is more behind each.
    let weight = |stake| stake_weight::<T>(stake, &parameters);
    let grown = weight(stake_per_model) > weight(operator.stake_per_model());
    for id in models.iter().filter(|id| !operator.models.contains(id)) {
        models::live::<T>(id)?;
    }
    set_worker::<T>(who, &mut operator, &worker)?;
    for id in operator.models.iter().filter(|id| !models.contains(id)) {
        rosters::leave::<T>(id, who);
    }
    operator.models = models.clone();
    operator.chilled = false;
    enlist::<T>(who, &operator, grown)?;
    Operators::<T>::insert(who, operator);
    Pallet::<T>::deposit_event(Event::Registered { operator: who.clone(), worker, models });
    Ok(())
}

/// Whether `worker` itself has agreed to work for `who`: with a key that is somebody else's one could keep that account from
/// bonding, and have its node do one's work.
pub(crate) fn check_consent<T: Config>(
    who: &T::AccountId,
    worker: &T::AccountId,
    consent: Option<T::Signature>,
) -> DispatchResult {
    if Workers::<T>::get(worker).as_ref() == Some(who) {
        return Ok(());
    }
    let agreed = worker_consent(&duties::genesis_hash::<T>(), who);
    let is_given = consent.is_some_and(|consent| consent.verify(agreed.as_slice(), worker));
    ensure!(is_given, Error::<T>::InvalidConsent);
    Ok(())
}

/// Makes `worker` the operator's key and keeps its account alive, so that it has a nonce without a balance.
fn set_worker<T: Config>(
    who: &T::AccountId,
    operator: &mut Operator<T>,
    worker: &T::AccountId,
) -> DispatchResult {
    if operator.worker.as_ref() == Some(worker) {
        return Ok(());
    }
    ensure!(!Workers::<T>::contains_key(worker), Error::<T>::WorkerInUse);
    ensure!(!Operators::<T>::contains_key(worker), Error::<T>::WorkerIsOperator);
    unset_worker::<T>(operator);
    frame_system::Pallet::<T>::inc_sufficients(worker);
    Workers::<T>::insert(worker, who);
    operator.worker = Some(worker.clone());
    Ok(())
}

/// Releases the worker key of an operator.
pub(super) fn unset_worker<T: Config>(operator: &mut Operator<T>) {
    if let Some(worker) = operator.worker.take() {
        Workers::<T>::remove(&worker);
        frame_system::Pallet::<T>::dec_sufficients(&worker);
    }
}

/// Keeps an operator out of draws.
pub(crate) fn chill<T: Config>(who: &T::AccountId) -> DispatchResult {
    Operators::<T>::try_mutate(who, |operator| {
        let operator = operator.as_mut().ok_or(Error::<T>::NotAnOperator)?;
        ensure!(!operator.chilled, Error::<T>::AlreadyChilled);
        operator.chilled = true;
        operator.models.iter().for_each(|id| rosters::keep_place::<T>(id, who));
        Pallet::<T>::deposit_event(Event::Chilled { operator: who.clone() });
        Ok(())
    })
}

/// Lets an operator be drawn again.
pub(crate) fn resume<T: Config>(who: &T::AccountId) -> DispatchResult {
    Operators::<T>::try_mutate(who, |operator| {
        let operator = operator.as_mut().ok_or(Error::<T>::NotAnOperator)?;
        ensure!(operator.chilled, Error::<T>::NotChilled);
        ensure!(operator.worker.is_some(), Error::<T>::NotRegistered);
        let least = EconomicParameters::<T>::get().min_stake;
        ensure!(operator.stake_per_model() >= least, Error::<T>::StakeTooSmall);
        operator.chilled = false;
        enlist::<T>(who, operator, false)?;
        Pallet::<T>::deposit_event(Event::Resumed { operator: who.clone() });
        Ok(())
    })
}

/// Sets how much open work an operator takes at a time.
pub(crate) fn set_capacity<T: Config>(who: &T::AccountId, capacity: Workload) -> DispatchResult {
    Operators::<T>::try_mutate(who, |operator| {
        let operator = operator.as_mut().ok_or(Error::<T>::NotAnOperator)?;
        ensure!(capacity != Workload::default(), Error::<T>::InvalidCapacity);
        operator.capacity = Some(capacity);
        Pallet::<T>::deposit_event(Event::CapacitySet { operator: who.clone(), capacity });
        Ok(())
    })
}
