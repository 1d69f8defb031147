//! The one door for money: no other module touches the currency.
//!
//! Stakes and budgets are *held* in their owners' accounts. Paying takes from a hold into a credit and resolves the credit
//! into the payee's account, so that nothing is created or lost on the way.

use crate::{
    unexpected::{unexpected, UnexpectedKind},
    BalanceOf, Config, CreditOf, HoldReason,
};
use frame_support::traits::{
    fungible::{
        hold::{Balanced as BalancedHold, Inspect as InspectHold, Mutate as MutateHold},
        Balanced, Inspect,
    },
    tokens::{Fortitude, Precision, Preservation, Provenance},
    Imbalance, OnUnbalanced,
};
use sp_runtime::{
    traits::{CheckedDiv, Saturating, Zero},
    DispatchResult,
};

pub(crate) fn hold_stake<T: Config>(operator: &T::AccountId, amount: BalanceOf<T>) -> DispatchResult {
    T::Currency::hold(&HoldReason::Stake.into(), operator, amount)
}

pub(crate) fn release_stake<T: Config>(operator: &T::AccountId, amount: BalanceOf<T>) -> DispatchResult {
    T::Currency::release(&HoldReason::Stake.into(), operator, amount, Precision::Exact).map(|_| ())
}

/// An operator's balance on hold as stake.
pub(crate) fn stake_of<T: Config>(operator: &T::AccountId) -> BalanceOf<T> {
    T::Currency::balance_on_hold(&HoldReason::Stake.into(), operator)
}

/// A requester's balance on hold for its budgets.
pub(crate) fn budgets_of<T: Config>(requester: &T::AccountId) -> BalanceOf<T> {
    T::Currency::balance_on_hold(&HoldReason::Budget.into(), requester)
}

/// Takes `amount` of held stake.
pub(crate) fn take_stake<T: Config>(operator: &T::AccountId, amount: BalanceOf<T>) -> CreditOf<T> {
    take::<T>(HoldReason::Stake, operator, amount)
}

pub(crate) fn hold_budget<T: Config>(requester: &T::AccountId, amount: BalanceOf<T>) -> DispatchResult {
    T::Currency::hold(&HoldReason::Budget.into(), requester, amount)
}

/// Takes `amount` of an account's free balance for the chain.
pub(crate) fn pay_chain<T: Config>(who: &T::AccountId, amount: BalanceOf<T>) -> DispatchResult {
    if !amount.is_zero() {
        let credit =
            T::Currency::withdraw(who, amount, Precision::Exact, Preservation::Protect, Fortitude::Polite)?;
        T::FeeHandler::on_unbalanced(credit);
    }
    Ok(())
}

pub(crate) fn can_hold_budget<T: Config>(requester: &T::AccountId, amount: BalanceOf<T>) -> bool {
    T::Currency::can_hold(&HoldReason::Budget.into(), requester, amount)
}

/// Gives what is left of a budget back.
pub(crate) fn release_budget<T: Config>(requester: &T::AccountId, amount: BalanceOf<T>) {
    let released = T::Currency::release(&HoldReason::Budget.into(), requester, amount, Precision::BestEffort);
    if released != Ok(amount) {
        unexpected::<T>(UnexpectedKind::HoldNotMovable);
    }
}

/// Pays all of these, who can take it, from a held budget, and hands the fee to the fee handler and what was withheld to the slash
/// handler. The hold is opened once: each time costs as much as a payment.
pub(crate) fn pay_from_budget<'a, T: Config>(
    requester: &T::AccountId,
    payments: impl Iterator<Item = (&'a T::AccountId, BalanceOf<T>)> + Clone,
    fee: BalanceOf<T>,
    withheld: BalanceOf<T>,
) where
    T::AccountId: 'a,
{
    let kept = fee.saturating_add(withheld);
    let total = payments.clone().fold(kept, |sum, (_, amount)| sum.saturating_add(amount));
    if total.is_zero() {
        return;
    }
    let mut credit = take::<T>(HoldReason::Budget, requester, total);
    for (payee, amount) in payments.filter(|(_, amount)| !amount.is_zero()) {
        if !pay::<T>(payee, credit.extract(amount)).is_zero() {
            unexpected::<T>(UnexpectedKind::HoldNotMovable);
        }
    }
    pay_slash_handler::<T>(credit.extract(withheld));
    if !credit.peek().is_zero() {
        T::FeeHandler::on_unbalanced(credit);
    }
}

/// Pays up to `amount` out of `pool`; returns what was paid.
pub(crate) fn pay_from_pool<T: Config>(
    pool: &mut CreditOf<T>,
    payee: &T::AccountId,
    amount: BalanceOf<T>,
) -> BalanceOf<T> {
    let amount = amount.min(pool.peek());
    if amount.is_zero() || !can_receive::<T>(payee, amount) {
        return Zero::zero();
    }
    let missing = pay::<T>(payee, pool.extract(amount));
    amount.saturating_sub(missing)
}

/// Hands slashed stake that harmed nobody in particular, or pay that nobody may gain by, to the slash handler.
pub(crate) fn pay_slash_handler<T: Config>(credit: CreditOf<T>) {
    if !credit.peek().is_zero() {
        T::SlashHandler::on_unbalanced(credit);
    }
}

/// Whether an account can take this much more.
pub(crate) fn can_receive<T: Config>(payee: &T::AccountId, amount: BalanceOf<T>) -> bool {
    T::Currency::can_deposit(payee, amount, Provenance::Extant).into_result().is_ok()
}

fn take<T: Config>(reason: HoldReason, from: &T::AccountId, amount: BalanceOf<T>) -> CreditOf<T> {
    let (credit, missing) = <T::Currency as BalancedHold<T::AccountId>>::slash(&reason.into(), from, amount);
    if !missing.is_zero() {
        unexpected::<T>(UnexpectedKind::HoldNotMovable);
    }
    credit
}

/// Credits the payee; what it cannot take goes to the slash handler and is returned as an amount.
fn pay<T: Config>(payee: &T::AccountId, credit: CreditOf<T>) -> BalanceOf<T> {
    match <T::Currency as Balanced<T::AccountId>>::resolve(payee, credit) {
        Ok(()) => Zero::zero(),
        Err(credit) => {
            let missing = credit.peek();
            T::SlashHandler::on_unbalanced(credit);
            missing
        }
    }
}

/// One of `count` equal shares, rounded down.
pub(crate) fn share_of<Balance: CheckedDiv + Zero + From<u32>>(whole: Balance, count: u32) -> Balance {
    whole.checked_div(&count.into()).unwrap_or_else(Zero::zero)
}
