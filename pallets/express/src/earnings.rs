//! Earnings: what operators have earned on the lane and not claimed, and what they did in each epoch. Owns [`Earnings`] and [`Tallies`].
//!
//! An operator's record is written once an epoch, not for each order: its standing learns from the means of its tally when no order of that
//! epoch can settle any more.
//!
//! Invariant: no earnings are zero.

use crate::{money, BalanceOf, Config, Earnings, Epochs, Error, Event, Pallet, Tallies};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::ensure;
use pallet_proof_of_quality::{lane, Role};
use poq_primitives::express::Epoch;
use scale_info::TypeInfo;
use sp_runtime::{
    traits::{Saturating, Zero},
    DispatchResult, Permill,
};

/// What an operator did in an epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Tally<Balance> {
    /// As an inference node.
    pub answers: Count<Balance>,
    /// As a quality validator.
    pub scores: Count<Balance>,
}

/// What an operator did in one role.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Count<Balance> {
    /// Duties done.
    pub done: u32,
    /// Duties that the others say it has missed.
    pub missed: u32,
    /// Those of the duties done whose worth was measured.
    pub measured: u32,
    /// Sum of that worth, in millionths.
    pub worth: u64,
    /// All pay.
    pub earned: Balance,
}

impl<Balance: Copy + Saturating> Count<Balance> {
    /// Mean worth of what was measured.
    pub fn mean(&self) -> Option<Permill> {
        let mean = self.worth.checked_div(self.measured.into())?;
        u32::try_from(mean).ok().map(Permill::from_parts)
    }
}

/// Counts the part of an operator in an order of this epoch, and its pay; `has_missed`, if that it did nothing is to be held against it.
pub(crate) fn count<T: Config>(
    epoch: Epoch,
    part: &lane::Part<T::AccountId, BalanceOf<T>>,
    has_missed: bool,
) {
    Tallies::<T>::mutate(epoch, &part.operator, |tally| {
        let count = match part.role {
            Role::InferenceNode => &mut tally.answers,
            Role::QualityValidator => &mut tally.scores,
        };
        if part.done {
            count.done = count.done.saturating_add(1);
        } else if has_missed {
            count.missed = count.missed.saturating_add(1);
        }
        if let Some(worth) = part.worth {
            count.measured = count.measured.saturating_add(1);
            count.worth = count.worth.saturating_add(worth.deconstruct().into());
        }
        count.earned = count.earned.saturating_add(part.paid);
    });
    credit::<T>(&part.operator, part.paid);
}

/// Adds to what an operator can claim.
pub(crate) fn credit<T: Config>(who: &T::AccountId, amount: BalanceOf<T>) {
    if !amount.is_zero() {
        Earnings::<T>::mutate(who, |earned| *earned = earned.saturating_add(amount));
    }
}

/// Pays an operator what it has earned.
pub(crate) fn claim<T: Config>(who: T::AccountId) -> DispatchResult {
    let amount = Earnings::<T>::take(&who);
    ensure!(!amount.is_zero(), Error::<T>::NothingEarned);
    money::pay_out::<T>(&who, amount)?;
    Pallet::<T>::deposit_event(Event::Claimed { operator: who, amount });
    Ok(())
}

/// Has the standing of one operator learn from its tally of this epoch; `false` if none is left.
pub(crate) fn learn_next<T: Config>(epoch: Epoch) -> bool {
    let Some((who, tally)) = Tallies::<T>::iter_prefix(epoch).next() else { return false };
    Tallies::<T>::remove(epoch, &who);
    let parameters = Epochs::<T>::get(epoch).map_or_else(lane::parameters::<T>, |info| info.parameters);
    for (role, count) in [(Role::InferenceNode, tally.answers), (Role::QualityValidator, tally.scores)] {
        if count.done > 0 || count.missed > 0 {
            let (done, missed) = (count.done, count.missed);
            let record = lane::Record { role, done, missed, worth: count.mean(), earned: count.earned };
            lane::learn::<T>(&who, &record, &parameters);
        }
    }
    true
}

/// What all operators have in the pot.
pub(crate) fn total<T: Config>() -> BalanceOf<T> {
    let earned = Earnings::<T>::iter_values();
    earned.fold(Zero::zero(), |sum: BalanceOf<T>, earned| sum.saturating_add(earned))
}

/// The invariant.
pub(crate) fn check<T: Config>() -> Result<(), &'static str> {
    ensure!(Earnings::<T>::iter_values().all(|earned| !earned.is_zero()), "earnings of nothing are stored");
    Ok(())
}
