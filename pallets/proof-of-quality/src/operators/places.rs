//! The places of an operator in the rosters of its models, and what it weighs there.

use super::Operator;
use crate::{
    models::{ModelId, ModelKind},
    parameters::ParametersOf,
    rosters::{self, Place},
    BalanceOf, Config, EconomicParameters, Models, Operators,
};
use sp_runtime::{DispatchResult, SaturatedConversion};

/// Brings the operator's places in the rosters of all its models in line with its record. With `grown`, its stake counts
/// for more than before, and requests that are open do not see it any more.
pub(super) fn enlist<T: Config>(who: &T::AccountId, operator: &Operator<T>, grown: bool) -> DispatchResult {
    let parameters = EconomicParameters::<T>::get();
    if operator.stake_per_model() < parameters.min_stake || operator.worker.is_none() {
        delist::<T>(who, operator);
        return Ok(());
    }
    for id in &operator.models {
        let Some(model) = Models::<T>::get(id) else { continue };
        let weight = weight_of::<T>(operator, model.kind, &parameters);
        rosters::join::<T>(id, who, weight, operator.chilled, grown)?;
    }
    Ok(())
}

/// Takes an operator out of the rosters of all its models.
pub(super) fn delist<T: Config>(who: &T::AccountId, operator: &Operator<T>) {
    for id in &operator.models {
        rosters::leave::<T>(id, who);
    }
}

/// The place in a roster that an operator's record gives it.
pub(crate) fn place_of<T: Config>(operator: &T::AccountId, model: ModelId, kind: ModelKind) -> Place<T> {
    let weight = Operators::<T>::get(operator).map_or(0, |record| place_weight::<T>(&record, kind));
    Place { model, operator: operator.clone(), weight }
}

/// An operator's weight in a roster; 0 if it may not be drawn.
pub(super) fn place_weight<T: Config>(operator: &Operator<T>, kind: ModelKind) -> u64 {
    let parameters = EconomicParameters::<T>::get();
    // A chilled operator keeps its place, in which it is not drawn.
    if operator.worker.is_some() && operator.stake_per_model() >= parameters.min_stake {
        weight_of::<T>(operator, kind, &parameters)
    } else {
        0
    }
}

/// Weight of an operator in draws for a model of this kind: the stake behind each of its models up to the cap, in millionths of
/// the minimum, times its standing. At least 1.
pub(crate) fn weight_of<T: Config>(
    operator: &Operator<T>,
    kind: ModelKind,
    parameters: &ParametersOf<T>,
) -> u64 {
    let stake = stake_weight::<T>(operator.stake_per_model(), parameters);
    let standing = match kind {
        ModelKind::Generator => operator.standing.promise(&parameters.floor),
        ModelKind::Evaluator => operator.standing.trust(&parameters.floor),
    };
    standing.mul_floor(stake).max(1)
}

/// Weight of a quality validator's scores in the consensus: its trust, in millionths. At least 1. The stake is not in it: it
/// has counted in the draw.
pub(crate) fn vote_of<T: Config>(operator: &Operator<T>, parameters: &ParametersOf<T>) -> u64 {
    u64::from(operator.standing.trust(&parameters.floor).deconstruct()).max(1)
}

/// A stake up to the cap, in millionths of the minimum stake.
pub(crate) fn stake_weight<T: Config>(stake: BalanceOf<T>, parameters: &ParametersOf<T>) -> u64 {
    let unit: u128 = parameters.min_stake.saturated_into();
    let cap = unit.saturating_mul(parameters.stake_cap.into());
    let stake = stake.saturated_into::<u128>().min(cap);
    // Whole minimum stakes and the rest apart, so that no product is too large for its type.
    let whole = stake.checked_div(unit).unwrap_or(0).saturating_mul(1_000_000);
    let rest = stake.checked_rem(unit).unwrap_or(0).saturating_mul(1_000_000).checked_div(unit).unwrap_or(0);
    whole.saturating_add(rest).saturated_into()
}

/// Whether a draw may take this operator.
pub(crate) fn is_drawable<T: Config>(operator: &Operator<T>, min_stake: BalanceOf<T>) -> bool {
    operator.worker.is_some() && !operator.chilled && operator.stake_per_model() >= min_stake
}
