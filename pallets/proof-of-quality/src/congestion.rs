//! Congestion: a surcharge on the price of a model while its operators have less room than there is work. (Construction: ours; the
//! step of an eighth with each block is EIP-1559's.)
//!
//! The surcharge is optional. [`Pallet::estimate_budget`] adds it to the price, so that a request with the estimated budget goes
//! before those that wait. It is a bonus like any other, and goes to the inference nodes.
//!
//! Operators gain by a high estimate, so it must be dear to make one up: it rises only when a draw found more operators without
//! room than with room, which takes most of the weight of a model; only if the request in question offered as much itself, and that
//! one is then drawn before all others; and by one step in a block. Since it falls by an eighth with each block, it never reaches
//! more than the double price. Owns [`Surcharges`].

use crate::{models::ModelId, Config, Models, Surcharges};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::weights::Weight;
use frame_system::pallet_prelude::BlockNumberFor;
use scale_info::TypeInfo;
use sp_runtime::{
    traits::{Get, Saturating},
    PerThing, Permill, SaturatedConversion,
};

/// Rise of a surcharge in a block, as a part of the price; and its fall, as a part of itself.
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

/// By how much the price of a model's work is up now.
pub(crate) fn surcharge<T: Config>(model: &ModelId) -> Permill {
    let now = frame_system::Pallet::<T>::block_number();
    Surcharges::<T>::get(model).map_or(Permill::zero(), |last| {
        let blocks = now.saturating_sub(last.at).saturated_into::<u32>();
        last.part.saturating_mul(STEP.left_from_one().saturating_pow(blocks as usize))
    })
}

/// Takes in that a draw found most operators of these models without room, for a request that offers this part of the price on top.
pub(crate) fn raise<T: Config>(models: &[ModelId], offered: Permill) {
    let now = frame_system::Pallet::<T>::block_number();
    let wanted = offered.saturating_add(STEP);
    for model in models {
        let is_raised = Surcharges::<T>::get(model).is_some_and(|last| last.at == now);
        let part = surcharge::<T>(model);
        if !is_raised && wanted > part {
            let part = wanted.min(part.saturating_add(STEP));
            Surcharges::<T>::insert(model, Surcharge { part, at: now });
        }
    }
}

/// Weight of [`raise`] for so many models.
pub(crate) fn raise_weight<T: Config>(models: u32) -> Weight {
    T::DbWeight::get().reads_writes(models.into(), models.into())
}

/// The invariants of all surcharges.
pub(crate) fn check<T: Config>() -> Result<(), &'static str> {
    let now: BlockNumberFor<T> = frame_system::Pallet::<T>::block_number();
    for (model, surcharge) in Surcharges::<T>::iter() {
        frame_support::ensure!(Models::<T>::contains_key(model), "a surcharge is of no model");
        frame_support::ensure!(surcharge.at <= now, "a surcharge is from the future");
    }
    Ok(())
}
