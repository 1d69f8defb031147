//! What leaning has taken from operators' pay for answers and has not given back. Owns [`Forgone`].
//!
//! Invariant: only operators have forgone anything, and no value is 0.

use crate::{BalanceOf, Config, Forgone, Operators};
use frame_support::ensure;
use sp_runtime::traits::{Saturating, Zero};

/// Pay that an operator has forgone and not regained.
pub(crate) fn forgone<T: Config>(who: &T::AccountId) -> BalanceOf<T> {
    Forgone::<T>::get(who)
}

/// Counts what leaning takes from an operator that is not gone.
pub(crate) fn forgo<T: Config>(who: &T::AccountId, amount: BalanceOf<T>) {
    if !amount.is_zero() && Operators::<T>::contains_key(who) {
        Forgone::<T>::mutate(who, |forgone| *forgone = forgone.saturating_add(amount));
    }
}

/// Counts what leaning gives back.
pub(crate) fn regain<T: Config>(who: &T::AccountId, amount: BalanceOf<T>) {
    if !amount.is_zero() {
        Forgone::<T>::mutate_exists(who, |forgone| {
            let left = forgone.unwrap_or_default().saturating_sub(amount);
            *forgone = (!left.is_zero()).then_some(left);
        });
    }
}

/// Forgets it with its operator.
pub(super) fn forget<T: Config>(who: &T::AccountId) {
    Forgone::<T>::remove(who);
}

/// The invariant.
pub(super) fn check<T: Config>() -> Result<(), &'static str> {
    for (who, forgone) in Forgone::<T>::iter() {
        ensure!(!forgone.is_zero(), "nothing forgone is stored");
        ensure!(Operators::<T>::contains_key(&who), "who is no operator has forgone pay");
    }
    Ok(())
}
