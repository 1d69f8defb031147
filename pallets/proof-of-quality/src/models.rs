//! The model registry.

use crate::*;
use alloc::vec::Vec;
use frame_support::{ensure, BoundedVec};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::{
    traits::{CheckedAdd, CheckedMul, Get, One, Zero},
    DispatchResult,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_register_model(
        id: ModelId,
        kind: ModelKind,
        name: Vec<u8>,
        price: Price<BalanceOf<T>>,
        windows: Windows<BlockNumberFor<T>>,
        reward: Reward,
        context: u32,
    ) -> DispatchResult {
        ensure!(!Models::<T>::contains_key(id), Error::<T>::ModelExists);
        ensure!(core::str::from_utf8(&name).is_ok_and(|name| !name.is_empty()), Error::<T>::InvalidName);
        let name = BoundedVec::try_from(name).map_err(|_| Error::<T>::InvalidName)?;
        let allowed = One::one()..=T::MaxWindow::get();
        ensure!(
            allowed.contains(&windows.commit) && allowed.contains(&windows.reveal),
            Error::<T>::InvalidWindows
        );
        ensure!(
            !reward.alpha.is_zero()
                && reward.alpha <= T::MaxAlpha::get()
                && reward.beta <= T::MaxBeta::get()
                && reward.beta <= reward.alpha,
            Error::<T>::InvalidReward
        );
        ensure!((kind == ModelKind::Generator) == (context > 0), Error::<T>::InvalidContext);
        Models::<T>::insert(id, Model { kind, name, price, windows, reward, context, retired: false });
        Self::deposit_event(Event::ModelRegistered { model: id, kind });
        Ok(())
    }

    pub(crate) fn do_retire_model(id: ModelId) -> DispatchResult {
        Models::<T>::try_mutate(id, |model| {
            let model = model.as_mut().ok_or(Error::<T>::UnknownModel)?;
            ensure!(!model.retired, Error::<T>::ModelRetired);
            model.retired = true;
            Self::deposit_event(Event::ModelRetired { model: id });
            Ok(())
        })
    }

    /// What one response by this model costs a request at most, whatever it is worth. Never changes.
    pub(crate) fn price_of(id: &ModelId, request: &Request<T>) -> BalanceOf<T> {
        let price = Models::<T>::get(id).map(|model| model.price);
        price.and_then(|price| cost(&price, request.sampling.max_tokens)).unwrap_or_default()
    }

    /// What quality and latency are worth in work with this model. Never changes.
    pub(crate) fn reward_of(id: &ModelId) -> Reward {
        Models::<T>::get(id).map(|model| model.reward).unwrap_or_default()
    }

    /// The model, if it takes new work.
    pub(crate) fn live_model(id: &ModelId) -> Result<Model<T>, Error<T>> {
        let model = Models::<T>::get(id).ok_or(Error::<T>::UnknownModel)?;
        ensure!(!model.retired, Error::<T>::ModelRetired);
        Ok(model)
    }

    /// The model, if it takes new work and is of this kind.
    pub(crate) fn live_model_of_kind(id: &ModelId, kind: ModelKind) -> Result<Model<T>, Error<T>> {
        let model = Self::live_model(id)?;
        ensure!(model.kind == kind, Error::<T>::WrongModelKind);
        Ok(model)
    }
}

/// The price of so many units; `None` if it does not fit.
pub(crate) fn cost<Balance: CheckedMul + CheckedAdd + From<u32>>(
    price: &Price<Balance>,
    units: u32,
) -> Option<Balance> {
    price.per_unit.checked_mul(&units.into())?.checked_add(&price.base)
}

/// Whether no model is named twice and there is at least one.
pub(crate) fn is_proper_list(models: &[ModelId]) -> bool {
    !models.is_empty()
        && models.iter().enumerate().all(|(place, id)| !models.iter().take(place).any(|m| m == id))
}
