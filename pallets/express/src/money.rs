//! The one door for the lane's money: no other module touches the currency.
//!
//! Deposits and what operators have earned lie in one account, the *pot*, so that a settlement touches no other. The pot also holds the
//! existential deposit, which whoever opens the first channel pays, so that no withdrawal can end the account.

use crate::{BalanceOf, Config, Error};
use frame_support::{
    ensure,
    traits::{
        fungible::{Balanced, Inspect},
        tokens::{Fortitude, Precision, Preservation},
        Imbalance, OnUnbalanced,
    },
};
use pallet_proof_of_quality::CreditOf;
use sp_runtime::{
    traits::{AccountIdConversion, Get, Saturating, Zero},
    DispatchResult,
};

/// The pot.
pub(crate) fn pot<T: Config>() -> T::AccountId {
    T::PalletId::get().into_account_truncating()
}

/// Balance of the pot without its existential deposit.
pub(crate) fn in_pot<T: Config>() -> BalanceOf<T> {
    T::Currency::total_balance(&pot::<T>()).saturating_sub(T::Currency::minimum_balance())
}

/// Moves an amount of an account's balance into the pot.
pub(crate) fn pay_in<T: Config>(who: &T::AccountId, amount: BalanceOf<T>) -> DispatchResult {
    let is_first = T::Currency::total_balance(&pot::<T>()).is_zero();
    let own = if is_first { T::Currency::minimum_balance() } else { Zero::zero() };
    let amount = amount.saturating_add(own);
    let credit =
        T::Currency::withdraw(who, amount, Precision::Exact, Preservation::Preserve, Fortitude::Polite)?;
    // With an error the whole call is undone.
    T::Currency::resolve(&pot::<T>(), credit).map_err(|_| Error::<T>::PotNotPayable)?;
    Ok(())
}

/// Pays an amount out of the pot to an account.
pub(crate) fn pay_out<T: Config>(who: &T::AccountId, amount: BalanceOf<T>) -> DispatchResult {
    if amount.is_zero() {
        return Ok(());
    }
    let credit = take::<T>(amount)?;
    T::Currency::resolve(who, credit).map_err(|_| Error::<T>::NotPayable)?;
    Ok(())
}

/// Pays fees and what nobody may gain by out of the pot, to the receivers that the chain path has.
pub(crate) fn pay_chain<T: Config>(fee: BalanceOf<T>, withheld: BalanceOf<T>) -> DispatchResult {
    let mut credit = take::<T>(fee.saturating_add(withheld))?;
    let withheld = credit.extract(withheld);
    if !withheld.peek().is_zero() {
        T::SlashHandler::on_unbalanced(withheld);
    }
    if !credit.peek().is_zero() {
        T::FeeHandler::on_unbalanced(credit);
    }
    Ok(())
}

fn take<T: Config>(amount: BalanceOf<T>) -> Result<CreditOf<T>, sp_runtime::DispatchError> {
    let pot = pot::<T>();
    let credit =
        T::Currency::withdraw(&pot, amount, Precision::Exact, Preservation::Preserve, Fortitude::Polite)?;
    ensure!(credit.peek() == amount, Error::<T>::PotNotPayable);
    Ok(credit)
}
