//! The one door for money: no other module touches the currency.
//!
//! Stakes and budgets are *held* in their owners' accounts. Paying takes from a hold into a credit and resolves the credit
//! into the payee's account, so that nothing is created or lost on the way.

use crate::{BalanceOf, Config, CreditOf, Event, HoldReason, Pallet, UnexpectedKind};
use frame_support::traits::{
    fungible::{
        hold::{Balanced as BalancedHold, Inspect as InspectHold, Mutate as MutateHold},
        Balanced,
    },
    tokens::Precision,
    Imbalance, OnUnbalanced,
};
use sp_runtime::{
    traits::{Saturating, Zero},
    DispatchResult,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn hold_stake(operator: &T::AccountId, amount: BalanceOf<T>) -> DispatchResult {
        T::Currency::hold(&HoldReason::Stake.into(), operator, amount)
    }

    pub(crate) fn release_stake(operator: &T::AccountId, amount: BalanceOf<T>) -> DispatchResult {
        T::Currency::release(&HoldReason::Stake.into(), operator, amount, Precision::Exact).map(|_| ())
    }

    /// Takes `amount` of held stake.
    pub(crate) fn take_stake(operator: &T::AccountId, amount: BalanceOf<T>) -> CreditOf<T> {
        Self::take(HoldReason::Stake, operator, amount)
    }

    pub(crate) fn hold_budget(requester: &T::AccountId, amount: BalanceOf<T>) -> DispatchResult {
        T::Currency::hold(&HoldReason::Budget.into(), requester, amount)
    }

    pub(crate) fn can_hold_budget(requester: &T::AccountId, amount: BalanceOf<T>) -> bool {
        T::Currency::can_hold(&HoldReason::Budget.into(), requester, amount)
    }

    /// Gives what is left of a budget back.
    pub(crate) fn release_budget(requester: &T::AccountId, amount: BalanceOf<T>) {
        let released =
            T::Currency::release(&HoldReason::Budget.into(), requester, amount, Precision::BestEffort);
        if released != Ok(amount) {
            Self::unexpected(UnexpectedKind::HoldNotMovable);
        }
    }

    /// Pays all of these, who can take it, from a held budget, and hands the chain's part to the fee handler. The hold is
    /// opened once: each time costs as much as a payment.
    pub(crate) fn pay_from_budget<'a>(
        requester: &T::AccountId,
        payments: impl Iterator<Item = (&'a T::AccountId, BalanceOf<T>)> + Clone,
        fee: BalanceOf<T>,
    ) where
        T::AccountId: 'a,
    {
        let total = payments.clone().fold(fee, |sum, (_, amount)| sum.saturating_add(amount));
        if total.is_zero() {
            return;
        }
        let mut credit = Self::take(HoldReason::Budget, requester, total);
        for (payee, amount) in payments.filter(|(_, amount)| !amount.is_zero()) {
            if !Self::pay(payee, credit.extract(amount)).is_zero() {
                Self::unexpected(UnexpectedKind::HoldNotMovable);
            }
        }
        if !credit.peek().is_zero() {
            T::FeeHandler::on_unbalanced(credit);
        }
    }

    /// Pays up to `amount` out of `pool`; returns what was paid.
    pub(crate) fn pay_from_pool(
        pool: &mut CreditOf<T>,
        payee: &T::AccountId,
        amount: BalanceOf<T>,
    ) -> BalanceOf<T> {
        let amount = amount.min(pool.peek());
        if amount.is_zero() || !Self::can_receive(payee, amount) {
            return Zero::zero();
        }
        let missing = Self::pay(payee, pool.extract(amount));
        amount.saturating_sub(missing)
    }

    /// Hands slashed stake that harmed nobody in particular to the slash handler.
    pub(crate) fn pay_slash_handler(credit: CreditOf<T>) {
        if !credit.peek().is_zero() {
            T::SlashHandler::on_unbalanced(credit);
        }
    }

    /// Whether an account can take this much more.
    pub(crate) fn can_receive(payee: &T::AccountId, amount: BalanceOf<T>) -> bool {
        use frame_support::traits::{fungible::Inspect, tokens::Provenance};
        T::Currency::can_deposit(payee, amount, Provenance::Extant).into_result().is_ok()
    }

    fn take(reason: HoldReason, from: &T::AccountId, amount: BalanceOf<T>) -> CreditOf<T> {
        let (credit, missing) =
            <T::Currency as BalancedHold<T::AccountId>>::slash(&reason.into(), from, amount);
        if !missing.is_zero() {
            Self::unexpected(UnexpectedKind::HoldNotMovable);
        }
        credit
    }

    /// Credits the payee; what it cannot take goes to the slash handler and is returned as an amount.
    fn pay(payee: &T::AccountId, credit: CreditOf<T>) -> BalanceOf<T> {
        match <T::Currency as Balanced<T::AccountId>>::resolve(payee, credit) {
            Ok(()) => Zero::zero(),
            Err(credit) => {
                let missing = credit.peek();
                T::SlashHandler::on_unbalanced(credit);
                missing
            }
        }
    }

    /// Says that something impossible happened; the chain goes on.
    pub(crate) fn unexpected(kind: UnexpectedKind) {
        log::error!(target: crate::LOG_TARGET, "unexpected: {kind:?}");
        debug_assert!(false, "unexpected: {kind:?}");
        Self::deposit_event(Event::Unexpected { kind });
    }
}
