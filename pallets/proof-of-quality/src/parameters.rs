//! The economic parameters: one record, set by one origin, checked as a whole. Owns [`EconomicParameters`].

use crate::{standing::Standing, BalanceOf, Config, EconomicParameters, Error, Event, Pallet, LOG_TARGET};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::ensure;
use frame_system::pallet_prelude::BlockNumberFor;
use scale_info::TypeInfo;
use sp_runtime::{
    traits::{Get, Zero},
    DispatchResult, PerThing, Permill,
};

/// The highest part of a budget that the chain may keep.
const MOST_FEE: Permill = Permill::from_percent(50);

/// The highest stake cap, in minimum stakes: keeps weights far from the end of their type.
const MOST_STAKE_CAP: u32 = 1_000_000;

/// Pay, slashes and the speed of standing. A request keeps the parameters under which it was made:
/// a change never reaches a request that is open.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Parameters<Balance, BlockNumber> {
    /// Least stake behind each model that an operator serves, to be drawn for it. Not zero.
    pub min_stake: Balance,
    /// A stake counts in draws up to this many times `min_stake` for each model, so that a whale cannot own a committee. 1 to
    /// 1,000,000.
    pub stake_cap: u32,
    /// Blocks from unbonding to withdrawal. More than `audit_window`, so that nobody is gone before an audit opens.
    pub unbonding_period: BlockNumber,
    /// The chain's part of a budget, at most a half. Owed once anybody was drawn.
    pub fee: Permill,
    /// The part of its model's price that an inference node earns for an answer that it shows, and of its share that a quality
    /// validator earns for scores that it reveals without a settlement, whatever becomes of the request. At most 1.
    pub base_pay: Permill,
    /// Price for the requester of each draw that is put off because operators have no room. More than the fee for the weight of a draw.
    pub waiting_fee: Balance,
    /// Fewest quality validators that a request may ask for. At least 1; below 3 there is no majority to disagree with.
    pub min_committee: u32,
    /// Stake slashed for an absence, at most the operator's stake.
    pub absence_slash: Balance,
    /// The part of its stake that a gross error in an audit costs a quality validator.
    pub audit_slash: Permill,
    /// Most that all audits together may slash in a span of `audit_window` blocks: bounds what an auditor who lies can break.
    pub audit_allowance: Balance,
    /// Distance of a score from the truth at which an error is gross: a half says that a right answer is wrong, or the other way
    /// round. Of several scores the worst counts. Not zero.
    pub gross_error: Permill,
    /// Blocks from settlement in which an audit can be revealed, the last one included. 1 to `Retention`.
    pub audit_window: BlockNumber,
    /// Distance from the consensus of the others at which a score is worth nothing, in spreads of the evaluator's
    /// population. At least 1.
    pub tolerance_spreads: u32,
    /// Lower bound of that distance. Not zero.
    pub tolerance_least: Permill,
    /// Upper bound of that distance.
    pub tolerance_most: Permill,
    /// Initial standing of an operator, and the lower bound at which each part of it counts, so that nobody is locked out for ever.
    /// One value for both, so that nobody gains by leaving a bad name behind. No part zero.
    pub floor: Standing,
    /// The part of the way that agreement and reliability go up for one duty. Not zero, not above `fall`.
    pub rise: Permill,
    /// The part of the way that they go down for one duty.
    pub fall: Permill,
    /// The part of the way that veracity goes up for one audit. Not zero, not above `audit_fall`.
    pub audit_rise: Permill,
    /// The part of the way that veracity goes down for one audit.
    pub audit_fall: Permill,
}

/// [`Parameters`] in the runtime's types.
pub type ParametersOf<T> = Parameters<BalanceOf<T>, BlockNumberFor<T>>;

impl<Balance, BlockNumber> Parameters<Balance, BlockNumber> {
    /// The values with which the adversaries of this project's benches were played, for a chain that knows no better. See
    /// there what they hold against before changing one. They were played with a `min_stake` of what 1,000 perfect duties earn,
    /// an `absence_slash` of a hundredth of it, and an `audit_allowance` of fifty times it: a smaller stake makes lies cheap that
    /// audits seldom see.
    pub const fn recommended(
        min_stake: Balance,
        absence_slash: Balance,
        waiting_fee: Balance,
        audit_allowance: Balance,
        unbonding_period: BlockNumber,
        audit_window: BlockNumber,
    ) -> Self {
        Self {
            min_stake,
            stake_cap: 10,
            unbonding_period,
            fee: Permill::from_percent(2),
            base_pay: Permill::from_percent(20),
            waiting_fee,
            min_committee: 3,
            absence_slash,
            audit_slash: Permill::from_percent(30),
            audit_allowance,
            gross_error: Permill::from_percent(50),
            audit_window,
            tolerance_spreads: 6,
            tolerance_least: Permill::from_percent(5),
            tolerance_most: Permill::from_percent(20),
            floor: Standing {
                agreement: Permill::from_percent(50),
                veracity: Permill::from_percent(60),
                reliability: Permill::from_percent(20),
                quality: Permill::from_percent(15),
            },
            rise: Permill::from_parts(31_250),
            fall: Permill::from_percent(25),
            audit_rise: Permill::from_percent(25),
            audit_fall: Permill::from_percent(50),
        }
    }
}

impl<Balance: Zero, BlockNumber: Zero + PartialOrd + Copy> Parameters<Balance, BlockNumber> {
    /// Whether the record holds together; if not, what to change. `retention` is for how long closed requests are kept.
    pub fn check(&self, retention: BlockNumber) -> Result<(), &'static str> {
        ensure!(!self.min_stake.is_zero(), "min_stake must not be zero: draws divide by it");
        ensure!((1..=MOST_STAKE_CAP).contains(&self.stake_cap), "stake_cap must be 1 to 1,000,000");
        ensure!(self.fee <= MOST_FEE, "fee must be at most a half");
        ensure!(self.min_committee >= 1, "min_committee must be at least 1");
        ensure!(!self.gross_error.is_zero(), "gross_error must not be zero: every score would be one");
        ensure!(
            !self.audit_window.is_zero() && self.audit_window <= retention,
            "audit_window must be at least 1 and at most Retention: later the request is forgotten"
        );
        ensure!(
            self.unbonding_period > self.audit_window,
            "unbonding_period must be more than audit_window, or stake is gone before an audit opens"
        );
        ensure!(self.tolerance_spreads >= 1, "tolerance_spreads must be at least 1");
        ensure!(!self.tolerance_least.is_zero(), "tolerance_least must not be zero: agreement divides by it");
        ensure!(
            self.tolerance_least <= self.tolerance_most,
            "tolerance_least must not be above tolerance_most"
        );
        ensure!(
            self.floor.parts().into_iter().all(|part| !part.is_zero()),
            "no part of floor must be zero: nobody could come back"
        );
        ensure!(!self.rise.is_zero() && self.rise <= self.fall, "rise must be above zero and at most fall");
        ensure!(
            !self.audit_rise.is_zero() && self.audit_rise <= self.audit_fall,
            "audit_rise must be above zero and at most audit_fall"
        );
        Ok(())
    }

    /// Distance from the consensus of the others at which a score is worth nothing, where quality validators usually are
    /// `spread` apart.
    pub fn tolerance(&self, spread: Permill) -> Permill {
        let spreads = u64::from(spread.deconstruct()).saturating_mul(self.tolerance_spreads.into());
        let parts = u32::try_from(spreads).unwrap_or(u32::MAX).min(Permill::ACCURACY);
        Permill::from_parts(parts).max(self.tolerance_least).min(self.tolerance_most)
    }
}

pub(crate) fn set<T: Config>(parameters: ParametersOf<T>) -> DispatchResult {
    parameters.check(T::Retention::get()).map_err(|reason| {
        log::info!(target: LOG_TARGET, "parameters refused: {reason}");
        Error::<T>::InvalidParameters
    })?;
    EconomicParameters::<T>::put(parameters);
    Pallet::<T>::deposit_event(Event::ParametersSet { parameters });
    Ok(())
}
