//! Rosters: who can be drawn for a model, and with what weight. Owns [`Rosters`].
//!
//! Invariants:
//! - a roster names an operator once, and only with a weight of 1 or more;
//! - an empty roster is not stored.

use crate::{models::ModelId, Config, Error, Event, Pallet, Rosters};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{ensure, BoundedVec, CloneNoBound, DebugNoBound, EqNoBound, PartialEqNoBound};
use frame_system::pallet_prelude::BlockNumberFor;
use scale_info::TypeInfo;
use sp_runtime::traits::{Get, Saturating};

/// An operator in the roster of a model.
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
pub struct Candidate<T: Config> {
    /// The operator.
    pub operator: T::AccountId,
    /// Weight in draws, as its record said when it last registered, moved stake or finished a duty for this model: the
    /// stake up to the cap times its standing.
    pub weight: u64,
    /// Block since which it stands here with this much stake. Only requests made in or after that block may draw it, so
    /// that nobody joins or grows after a seed is known.
    pub since: BlockNumberFor<T>,
    /// For an operator that has chilled: the last block for which its place is kept. It is not drawn meanwhile.
    pub away: Option<BlockNumberFor<T>>,
}

/// The operators that serve a model.
pub type RosterOf<T> = BoundedVec<Candidate<T>, <T as Config>::MaxOperatorsPerModel>;

/// An operator's weight in the roster of a model.
pub(crate) struct Place<T: Config> {
    pub(crate) model: ModelId,
    pub(crate) operator: T::AccountId,
    /// 0: it is to be taken out.
    pub(crate) weight: u64,
}

/// Gives an operator its place in the roster of a model, or brings the one that it has in line. With `grown`, its stake counts for
/// more than before, and requests that are open do not see it any more. A chilled operator takes no place from another.
pub(crate) fn join<T: Config>(
    id: &ModelId,
    who: &T::AccountId,
    weight: u64,
    chilled: bool,
    grown: bool,
) -> Result<(), Error<T>> {
    let now = frame_system::Pallet::<T>::block_number();
    edit::<T, _>(id, |roster| {
        if let Some(candidate) = roster.iter_mut().find(|candidate| candidate.operator == *who) {
            // An operator that comes back joins anew.
            if grown || (candidate.away.is_some() && !chilled) {
                candidate.since = now;
            }
            candidate.weight = weight;
            candidate.away = candidate.away.filter(|_| chilled);
            return Ok(());
        }
        if chilled {
            return Ok(());
        }
        make_room::<T>(id, roster, weight, now)?;
        let candidate = Candidate { operator: who.clone(), weight, since: now, away: None };
        roster.try_push(candidate).map_err(|_| Error::<T>::RosterFull)
    })
}

/// Makes room in a full roster for somebody of this weight: in the place of who is away for too long or, if nobody is, of who
/// weighs least and less.
fn make_room<T: Config>(
    id: &ModelId,
    roster: &mut RosterOf<T>,
    weight: u64,
    now: BlockNumberFor<T>,
) -> Result<(), Error<T>> {
    if !roster.is_full() {
        return Ok(());
    }
    let is_free = |candidate: &Candidate<T>| candidate.away.is_some_and(|until| until < now);
    let worth = |candidate: &Candidate<T>| if is_free(candidate) { 0 } else { candidate.weight };
    let least = roster.iter().enumerate().min_by_key(|(_, candidate)| worth(candidate));
    let place = least.filter(|(_, candidate)| worth(candidate) < weight).map(|(place, _)| place);
    let displaced = roster.remove(place.ok_or(Error::<T>::RosterFull)?);
    Pallet::<T>::deposit_event(Event::Displaced { operator: displaced.operator, model: *id });
    Ok(())
}

/// Keeps the place of an operator that chills, so that it finds it again after a pause. It weighs what it did: more weight takes it,
/// and after [`Config::ChillPatience`] any weight does.
pub(crate) fn keep_place<T: Config>(id: &ModelId, who: &T::AccountId) {
    let until = frame_system::Pallet::<T>::block_number().saturating_add(T::ChillPatience::get());
    edit::<T, _>(id, |roster| {
        if let Some(place) = roster.iter_mut().find(|candidate| candidate.operator == *who) {
            place.away = Some(until);
        }
    });
}

/// Gives these places their weights and takes out who has none any more.
pub(crate) fn refresh<T: Config>(id: &ModelId, places: &[Place<T>]) {
    let places: Vec<_> = places.iter().filter(|place| place.model == *id).collect();
    if places.is_empty() {
        return;
    }
    edit::<T, _>(id, |roster| {
        for candidate in roster.iter_mut() {
            if let Some(place) = places.iter().find(|place| place.operator == candidate.operator) {
                candidate.weight = place.weight;
            }
        }
        roster.retain(|candidate| candidate.weight > 0);
    });
}

/// [`refresh`] in the rosters of all these models.
pub(crate) fn refresh_all<'a, T: Config>(models: impl Iterator<Item = &'a ModelId>, places: &[Place<T>]) {
    models.for_each(|id| refresh::<T>(id, places));
}

/// Takes an operator out of the roster of a model.
pub(crate) fn leave<T: Config>(id: &ModelId, who: &T::AccountId) {
    edit::<T, _>(id, |roster| roster.retain(|candidate| candidate.operator != *who));
}

/// The only writer of a roster.
fn edit<T: Config, R>(id: &ModelId, change: impl FnOnce(&mut RosterOf<T>) -> R) -> R {
    Rosters::<T>::mutate_exists(id, |slot| {
        let mut roster = slot.take().unwrap_or_default();
        let result = change(&mut roster);
        debug_assert_eq!(check_roster::<T>(&roster), Ok(()));
        *slot = (!roster.is_empty()).then_some(roster);
        result
    })
}

/// Length of a model's roster, without reading its operators.
pub(crate) fn size<T: Config>(model: &ModelId) -> u32 {
    Rosters::<T>::decode_len(model).unwrap_or_default() as u32
}

/// Whether an operator can be drawn for a model.
pub(crate) fn is_enlisted<T: Config>(id: &ModelId, who: &T::AccountId) -> bool {
    Rosters::<T>::get(id).iter().any(|candidate| candidate.operator == *who && candidate.away.is_none())
}

/// The invariants of one roster.
fn check_roster<T: Config>(roster: &RosterOf<T>) -> Result<(), &'static str> {
    for candidate in roster {
        ensure!(candidate.weight >= 1, "a roster names an operator that cannot be drawn");
        let times = roster.iter().filter(|other| other.operator == candidate.operator).count();
        ensure!(times == 1, "a roster names an operator twice");
    }
    Ok(())
}

/// The invariants of all.
pub(crate) fn check<T: Config>() -> Result<(), &'static str> {
    for roster in Rosters::<T>::iter_values() {
        ensure!(!roster.is_empty(), "an empty roster is stored");
        check_roster::<T>(&roster)?;
    }
    Ok(())
}
