//! Congestion: by how much the price of a model's work is up while there is more of it than room. (Construction: ours; that a price
//! moves by an eighth with each block is EIP-1559's.)
//!
//! Nobody has to pay it: it is what [`Pallet::estimate_budget`] says on top of the price, so that who pays the estimate goes before
//! the requests that wait. It is a bonus like any other, and goes to the inference nodes.
//!
//! Operators gain by a high estimate, so it must be dear to make one up: it rises only when a draw found more operators without
//! room than with room, which takes most of the weight of a model; only if the request in question offered as much itself, and that
//! one is then drawn before all others; and by one step in a block. Since it falls by an eighth with each block, it never reaches
//! more than the double price.

use crate::*;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::weights::Weight;
use frame_system::pallet_prelude::BlockNumberFor;
use scale_info::TypeInfo;
use sp_runtime::{
    traits::{Get, SaturatedConversion, Saturating, Zero},
    PerThing, Permill,
};

/// How far a surcharge rises in a block, of the price; and what part of itself it falls by.
pub(crate) const STEP: Permill = Permill::from_parts(125_000);

/// By how much the price of a model's work was up when that was last too much.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Surcharge<BlockNumber> {
    /// Of the price.
    pub part: Permill,
    /// In which block.
    pub at: BlockNumber,
}

impl<T: Config> Pallet<T> {
    /// By how much the price of a model's work is up now.
    pub(crate) fn surcharge(model: &ModelId) -> Permill {
        let now = frame_system::Pallet::<T>::block_number();
        Surcharges::<T>::get(model).map_or(Permill::zero(), |last| {
            let blocks = now.saturating_sub(last.at).saturated_into::<u32>();
            last.part.saturating_mul(STEP.left_from_one().saturating_pow(blocks as usize))
        })
    }

    /// Takes in that the draw of a request found most operators of these models without room.
    pub(crate) fn raise_surcharges(models: &[ModelId], request: &Request<T>) {
        let now = frame_system::Pallet::<T>::block_number();
        let wanted = offered(request).saturating_add(STEP);
        for model in models {
            let is_raised = Surcharges::<T>::get(model).is_some_and(|last| last.at == now);
            let part = Self::surcharge(model);
            if !is_raised && wanted > part {
                let part = wanted.min(part.saturating_add(STEP));
                Surcharges::<T>::insert(model, Surcharge { part, at: now });
            }
        }
    }

    /// What [`Self::raise_surcharges`] weighs.
    pub(crate) fn surcharge_weight(models: usize) -> Weight {
        T::DbWeight::get().reads_writes(models as u64, models as u64)
    }

    pub(crate) fn check_surcharges() -> Result<(), &'static str> {
        let now: BlockNumberFor<T> = frame_system::Pallet::<T>::block_number();
        for (model, surcharge) in Surcharges::<T>::iter() {
            frame_support::ensure!(Models::<T>::contains_key(model), "a surcharge is of no model");
            frame_support::ensure!(surcharge.at <= now, "a surcharge is from the future");
        }
        Ok(())
    }
}

/// What a request offers each answer above its price, of that.
fn offered<T: Config>(request: &Request<T>) -> Permill {
    let share = share_of(request.budget.inference, request.responders);
    let price = share.saturating_sub(request.bonus);
    if price.is_zero() {
        return Permill::one();
    }
    Permill::from_rational(request.bonus.saturated_into::<u128>(), price.saturated_into())
}
