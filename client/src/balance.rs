//! Balances.

use crate::{
    types::chain::{
        constants,
        runtime_types::{
            pallet_proof_of_quality::pallet::HoldReason, poq_runtime::pallets::RuntimeHoldReason as Reason,
        },
        storage,
    },
    At, Error,
};
use subxt::utils::AccountId32;

/// Balance of an account, in units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Everything, on hold or not.
    pub total: u128,
    /// Amount that it can spend without being removed from the chain.
    pub spendable: u128,
    /// On hold as an operator's stake.
    pub stake: u128,
    /// On hold for the budgets of open requests.
    pub budgets: u128,
    /// On hold for anything else, such as the deposit for session keys.
    pub other_holds: u128,
}

impl At {
    /// Balance of an account; zero if the chain does not know it.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn balance(&self, account: AccountId32) -> Result<Balance, Error> {
        let info = self.entry(storage().system().account(), (account,)).await?;
        let Some(data) = info.map(|info| info.data) else { return Ok(Balance::default()) };
        let least = self.constant(constants().balances().existential_deposit())?;
        let mut balance = Balance {
            total: data.free.saturating_add(data.reserved),
            // As the pallet counts for a transfer that keeps the account alive.
            spendable: data.free.saturating_sub(data.frozen.saturating_sub(data.reserved).max(least)),
            ..Balance::default()
        };
        for hold in self.entry(storage().balances().holds(), (account,)).await?.unwrap_or_default() {
            let sum = match hold.id {
                Reason::ProofOfQuality(HoldReason::Stake) => &mut balance.stake,
                Reason::ProofOfQuality(HoldReason::Budget) => &mut balance.budgets,
                _ => &mut balance.other_holds,
            };
            *sum = sum.saturating_add(hold.amount);
        }
        Ok(balance)
    }
}
