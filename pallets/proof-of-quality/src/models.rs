//! The model registry: what there is to be asked for, at what price, and how far apart its quality validators usually are. Owns
//! [`Models`], [`Noises`] and [`Spreads`].

use crate::{standing, BalanceOf, Config, Error, Event, Models, Noises, Pallet, Spreads};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{ensure, BoundedVec, CloneNoBound, DebugNoBound, EqNoBound, PartialEqNoBound};
use frame_system::pallet_prelude::BlockNumberFor;
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};
use sp_runtime::{
    traits::{CheckedAdd, CheckedMul, Get, One, Zero},
    DispatchResult, FixedPointNumber, FixedU64, PerThing, Permill, SaturatedConversion,
};

/// Name of a model: the SHA-256 of its file. For a generator that is its GGUF; for an evaluator its manifest, which names
/// network, tokenizer and calibration by their SHA-256 in turn, so that one name means one and the same score.
pub type ModelId = [u8; 32];

/// Kind of a model.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
pub enum ModelKind {
    /// Answers prompts (GGUF, run by inference nodes).
    Generator,
    /// Scores answers (ONNX cross-encoder, run by quality validators).
    Evaluator,
}

/// Price of a model's work: `base + per_unit * units`.
///
/// For a generator it is the price of one response and a unit is a token that may be generated (`max_tokens`); for an
/// evaluator it is the price of one quality validator's scores and a unit is a response.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
pub struct Price<Balance> {
    /// Price of a piece of work whatever its size.
    pub base: Balance,
    /// Price of each unit.
    pub per_unit: Balance,
}

/// Time of the model's operators for each of their two steps, in blocks, both at least 1.
///
/// For a generator: to commit to an output, and to reveal it. For an evaluator: to commit to scores, and to reveal them.
/// Bounds are inclusive: a phase entered in block `b` with a window of `w` takes reports up to and including block `b + w`.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
pub struct Windows<BlockNumber> {
    /// Blocks to do the work and commit to its result.
    pub commit: BlockNumber,
    /// Blocks to show the result.
    pub reveal: BlockNumber,
}

/// Part of its share that a piece of work earns: `alpha * q - beta * l`, clamped to 0..=1.
///
/// `q` is the consensus score of a response, or the agreement of a quality validator's scores. `l` is the latency: blocks
/// from the duty to the commitment (of a sole responder: to its output), as a part of the blocks that there were.
///
/// The form is that of Cost-aware PoQ (arXiv 2512.16317), `reward = alpha * quality - beta * cost`; latency as the cost,
/// its measure and the clamp are ours.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    Serialize,
    Deserialize,
)]
pub struct Reward {
    /// Factor of quality. Above zero and at most `MaxAlpha`; above 1, the share is earned in full by less than perfect
    /// work.
    pub alpha: FixedU64,
    /// Factor of latency. At most `MaxBeta` and at most `alpha`.
    pub beta: FixedU64,
}

impl Default for Reward {
    /// The share times the quality, whatever the latency.
    fn default() -> Self {
        Self { alpha: FixedU64::from_u32(1), beta: FixedU64::from_u32(0) }
    }
}

impl Reward {
    /// The part of a share that work of this quality and latency earns.
    pub fn earned(&self, quality: Permill, latency: Permill) -> Permill {
        let term = |factor: FixedU64, part: Permill| {
            let scaled = u128::from(factor.into_inner()).saturating_mul(part.deconstruct().into());
            scaled.checked_div(FixedU64::DIV.into()).unwrap_or(0)
        };
        let parts = term(self.alpha, quality).saturating_sub(term(self.beta, latency));
        Permill::from_parts(parts.min(Permill::ACCURACY.into()).saturated_into())
    }
}

/// A registry entry.
#[derive(
    CloneNoBound,
    DebugNoBound,
    PartialEqNoBound,
    EqNoBound,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
#[scale_info(skip_type_params(T))]
#[codec(mel_bound(T: Config))]
pub struct Model<T: Config> {
    /// Generator or evaluator.
    pub kind: ModelKind,
    /// A name for people, UTF-8. Not unique: the id is.
    pub name: BoundedVec<u8, T::MaxNameLength>,
    /// Price of its work.
    pub price: Price<BalanceOf<T>>,
    /// Windows in which its operators must commit and reveal.
    pub windows: Windows<BlockNumberFor<T>>,
    /// Factors of quality and latency in its operators' pay.
    pub reward: Reward,
    /// Of a generator: tokens that prompt and answer may take together, without what its chat template adds. 0 of an evaluator.
    pub context: u32,
    /// A retired model takes no new requests and no new operators; open requests finish.
    pub retired: bool,
}

/// Adds a model.
pub(crate) fn register<T: Config>(
    id: ModelId,
    kind: ModelKind,
    name: Vec<u8>,
    price: Price<BalanceOf<T>>,
    windows: Windows<BlockNumberFor<T>>,
    reward: Reward,
    context: u32,
) -> DispatchResult {
    ensure!(!Models::<T>::contains_key(id), Error::<T>::ModelExists);
    ensure!(core::str::from_utf8(&name).is_ok_and(|name| !name.is_empty()), Error::<T>::InvalidName);
    let name = BoundedVec::try_from(name).map_err(|_| Error::<T>::InvalidName)?;
    let allowed = One::one()..=T::MaxWindow::get();
    ensure!(
        allowed.contains(&windows.commit) && allowed.contains(&windows.reveal),
        Error::<T>::InvalidWindows
    );
    ensure!(
        !reward.alpha.is_zero()
            && reward.alpha <= T::MaxAlpha::get()
            && reward.beta <= T::MaxBeta::get()
            && reward.beta <= reward.alpha,
        Error::<T>::InvalidReward
    );
    ensure!((kind == ModelKind::Generator) == (context > 0), Error::<T>::InvalidContext);
    Models::<T>::insert(id, Model { kind, name, price, windows, reward, context, retired: false });
    Pallet::<T>::deposit_event(Event::ModelRegistered { model: id, kind });
    Ok(())
}

/// Retires a model.
pub(crate) fn retire<T: Config>(id: ModelId) -> DispatchResult {
    Models::<T>::try_mutate(id, |model| {
        let model = model.as_mut().ok_or(Error::<T>::UnknownModel)?;
        ensure!(!model.retired, Error::<T>::ModelRetired);
        model.retired = true;
        Pallet::<T>::deposit_event(Event::ModelRetired { model: id });
        Ok(())
    })
}

/// Price of one response by this model, before its quality is known. Never changes.
pub(crate) fn price_of<T: Config>(id: &ModelId, max_tokens: u32) -> BalanceOf<T> {
    let price = Models::<T>::get(id).map(|model| model.price);
    price.and_then(|price| cost(&price, max_tokens)).unwrap_or_default()
}

/// Factors of quality and latency in work with this model. Never changes.
pub(crate) fn reward_of<T: Config>(id: &ModelId) -> Reward {
    Models::<T>::get(id).map(|model| model.reward).unwrap_or_default()
}

/// The model, if it takes new work.
pub(crate) fn live<T: Config>(id: &ModelId) -> Result<Model<T>, Error<T>> {
    let model = Models::<T>::get(id).ok_or(Error::<T>::UnknownModel)?;
    ensure!(!model.retired, Error::<T>::ModelRetired);
    Ok(model)
}

/// The model, if it takes new work and is of this kind.
pub(crate) fn live_of_kind<T: Config>(id: &ModelId, kind: ModelKind) -> Result<Model<T>, Error<T>> {
    let model = live::<T>(id)?;
    ensure!(model.kind == kind, Error::<T>::WrongModelKind);
    Ok(model)
}

/// The model, if it is of this kind, retired or not.
pub(crate) fn of_kind<T: Config>(id: &ModelId, kind: ModelKind) -> Result<Model<T>, Error<T>> {
    let model = Models::<T>::get(id).ok_or(Error::<T>::UnknownModel)?;
    ensure!(model.kind == kind, Error::<T>::WrongModelKind);
    Ok(model)
}

/// The price of so many units; `None` if it does not fit.
pub(crate) fn cost<Balance: CheckedMul + CheckedAdd + From<u32>>(
    price: &Price<Balance>,
    units: u32,
) -> Option<Balance> {
    price.per_unit.checked_mul(&units.into())?.checked_add(&price.base)
}

/// Whether no model is named twice and there is at least one.
pub(crate) fn is_proper_list(models: &[ModelId]) -> bool {
    !models.is_empty()
        && models.iter().enumerate().all(|(place, id)| !models.iter().take(place).any(|m| m == id))
}

/// Most noise that an evaluator can be said to have. One whose scores stray further is no evaluator.
pub const MOST_NOISE: Permill = Permill::from_percent(25);

/// Sets how far an evaluator's single scores stray.
pub(crate) fn set_noise<T: Config>(id: ModelId, noise: Permill) -> DispatchResult {
    let model = Models::<T>::get(id).ok_or(Error::<T>::UnknownModel)?;
    ensure!(model.kind == ModelKind::Evaluator, Error::<T>::WrongModelKind);
    ensure!(noise <= MOST_NOISE, Error::<T>::InvalidNoise);
    if noise.is_zero() {
        Noises::<T>::remove(id);
    } else {
        Noises::<T>::insert(id, noise);
    }
    Pallet::<T>::deposit_event(Event::NoiseSet { model: id, noise });
    Ok(())
}

/// The invariants of what is kept beside the registry.
pub(crate) fn check<T: Config>() -> Result<(), &'static str> {
    for (id, noise) in Noises::<T>::iter() {
        let kind = Models::<T>::get(id).map(|model| model.kind);
        ensure!(kind == Some(ModelKind::Evaluator), "noise of what is no evaluator");
        ensure!(!noise.is_zero() && noise <= MOST_NOISE, "noise is none, or too much");
    }
    Ok(())
}

/// Takes in how far apart a committee with this evaluator was.
pub(crate) fn learn_spread<T: Config>(evaluator: &ModelId, spread: Permill) {
    Spreads::<T>::mutate(evaluator, |average| {
        *average = Some(average.map_or(spread, |average| standing::followed(average, spread)));
    });
}
