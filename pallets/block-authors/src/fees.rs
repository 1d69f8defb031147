//! The part of fees that the author of a block earns.

use crate::{Config, FeeShare};
use core::marker::PhantomData;
use frame_support::traits::{
    fungible::{Balanced, Credit},
    Imbalance, OnUnbalanced,
};
use sp_runtime::traits::Zero;

/// Gives the author of the block its part of a fee ([`FeeShare`]) and burns the rest. All is burnt where the block names no author, or
/// the author's account would not exist with its part.
pub struct ShareFees<T, Currency>(PhantomData<(T, Currency)>);

impl<T, Currency> OnUnbalanced<Credit<T::AccountId, Currency>> for ShareFees<T, Currency>
where
    T: Config + pallet_authorship::Config,
    Currency: Balanced<T::AccountId>,
{
    fn on_nonzero_unbalanced(fees: Credit<T::AccountId, Currency>) {
        let share = FeeShare::<T>::get().mul_floor(fees.peek());
        if share.is_zero() {
            return;
        }
        if let Some(author) = pallet_authorship::Pallet::<T>::author() {
            let (share, _burnt) = fees.split(share);
            // A share that the account cannot take is burnt, too.
            let _burnt = Currency::resolve(&author, share);
        }
    }
}
