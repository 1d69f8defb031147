//! Operators: accounts with stake that serve models, their worker keys and open duties. Owns [`Operators`], [`Workers`] and [`Forgone`](crate::Forgone).
//!
//! Invariants:
//! - the stake on hold of an account is its stake at work and on its way out;
//! - a worker key has one operator, and each names the other;
//! - `load` is the work of the open duties.

mod forgone;
mod places;
mod registration;
mod slash;
mod stake;

pub(crate) use forgone::{forgo, forgone, regain};
pub(crate) use places::{is_drawable, place_of, vote_of};
#[cfg(test)]
pub(crate) use places::{stake_weight, weight_of};
pub(crate) use registration::{check_consent, chill, register, resume, set_capacity};
pub(crate) use slash::{slash, slash_part, take_part};
pub(crate) use stake::{bond, unbond, withdraw};

use crate::{
    duties::{ClosedDuty, OpenDuties, RequestId, Role, Workload},
    models::ModelId,
    money::{self, share_of},
    parameters::ParametersOf,
    standing::{Experience, Standing},
    unexpected::{unexpected, UnexpectedKind},
    BalanceOf, Config, Event, Operators, Pallet, Workers,
};
use alloc::collections::BTreeSet;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
    ensure, BoundedVec, CloneNoBound, DebugNoBound, DefaultNoBound, EqNoBound, PartialEqNoBound,
};
use frame_system::pallet_prelude::BlockNumberFor;
use scale_info::TypeInfo;
use sp_runtime::{
    traits::{Get, One, Saturating, Zero},
    Permill,
};

/// Stake that waits to be withdrawn.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Unbonding<Balance, BlockNumber> {
    /// Amount.
    pub amount: Balance,
    /// First block in which it can be withdrawn.
    pub at: BlockNumber,
}

/// An account with stake on hold.
#[derive(
    CloneNoBound,
    DebugNoBound,
    DefaultNoBound,
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
pub struct Operator<T: Config> {
    /// Stake at work: on hold, counts in draws, can be slashed.
    pub stake: BalanceOf<T>,
    /// Stake on its way out: on hold, does not count in draws, can be slashed until it is withdrawn.
    pub unbonding: Option<Unbonding<BalanceOf<T>, BlockNumberFor<T>>>,
    /// The hot key that signs work.
    pub worker: Option<T::AccountId>,
    /// The models it serves.
    pub models: BoundedVec<ModelId, T::MaxModelsPerOperator>,
    /// A chilled operator is not drawn.
    pub chilled: bool,
    /// Most open work that it takes at a time, if it has set it; `DefaultCapacity` otherwise.
    pub capacity: Option<Workload>,
    /// Its duties that are not over.
    pub duties: OpenDuties<T::MaxDuties>,
    /// The work of those duties.
    pub load: Workload,
    /// Block from which on none of its scores can be audited any more: its stake stays until then.
    pub answerable_until: BlockNumberFor<T>,
    /// Duties done and over.
    pub completed: u32,
    /// Duties over and not done: reported failures and absences.
    pub missed: u32,
    /// All it was ever paid.
    pub earned: BalanceOf<T>,
    /// All it was ever slashed.
    pub slashed: BalanceOf<T>,
    /// Standing: how well it worked.
    pub standing: Standing,
    /// The latest duties that are over, oldest first.
    pub recent: BoundedVec<ClosedDuty<BalanceOf<T>>, T::RecentDuties>,
}

impl<T: Config> Operator<T> {
    /// Most open work that it takes at a time.
    pub fn capacity(&self) -> Workload {
        self.capacity.unwrap_or_else(T::DefaultCapacity::get)
    }

    /// Whether it takes this much more work now.
    pub fn has_room_for(&self, more: Workload) -> bool {
        self.duties.count() < T::MaxDuties::get() && self.load.plus(more).is_within(self.capacity())
    }

    /// The stake that stands behind each of its models: an equal part of what is at work.
    pub fn stake_per_model(&self) -> BalanceOf<T> {
        share_of(self.stake, (self.models.len() as u32).max(1))
    }
}

/// An operator's role in a request; `None` if it has none.
pub(crate) fn duty_in<T: Config>(who: &T::AccountId, request: RequestId) -> Option<Role> {
    Operators::<T>::get(who)?.duties.role_in(request)
}

/// Begins a duty of an operator whose record a draw has just read, and that has room.
pub(crate) fn open_duty<T: Config>(
    who: &T::AccountId,
    mut record: Operator<T>,
    id: RequestId,
    role: Role,
    work: Workload,
) {
    if !record.duties.open(id, role) {
        unexpected::<T>(UnexpectedKind::DutyMismatch);
    }
    record.load = record.load.plus(work);
    Operators::<T>::insert(who, record);
}

/// Ends a duty of this much work: counts it, remembers it, and lets the operator's standing learn from it. Returns what the operator
/// weighs in rosters from now on.
pub(crate) fn close_duty<T: Config>(
    who: &T::AccountId,
    parameters: &ParametersOf<T>,
    work: Workload,
    duty: ClosedDuty<BalanceOf<T>>,
    experience: Experience,
) -> u64 {
    let weight = Operators::<T>::mutate(who, |operator| match operator {
        Some(operator) => {
            if !operator.duties.close(duty.request, duty.role) {
                unexpected::<T>(UnexpectedKind::DutyMismatch);
            }
            operator.load = operator.load.minus(work);
            operator.earned = operator.earned.saturating_add(duty.paid);
            match experience {
                Experience::NotAnswered | Experience::NotScored => {
                    operator.missed = operator.missed.saturating_add(1);
                }
                Experience::Answered(_) | Experience::Scored(_) => {
                    operator.completed = operator.completed.saturating_add(1);
                }
                Experience::Refused => {}
            }
            operator.standing.learn(experience, parameters.rise, parameters.fall);
            if duty.role == Role::QualityValidator {
                // Must not be gone before the last block in which an audit can show how it scored.
                let now = frame_system::Pallet::<T>::block_number();
                let audited = now.saturating_add(parameters.audit_window).saturating_add(One::one());
                operator.answerable_until = operator.answerable_until.max(audited);
                if let Some(unbonding) = operator.unbonding.as_mut() {
                    unbonding.at = unbonding.at.max(audited);
                }
            }
            if operator.recent.is_full() && !operator.recent.is_empty() {
                operator.recent.remove(0);
            }
            // Room was just made; with `RecentDuties` of 0 nothing is kept.
            let _ = operator.recent.try_push(duty);
            places::place_weight::<T>(operator, duty.role.kind())
        }
        None => {
            unexpected::<T>(UnexpectedKind::OperatorMissing);
            0
        }
    });
    Pallet::<T>::deposit_event(Event::DutyClosed { operator: who.clone(), duty });
    weight
}

/// Counts duties that were done and missed elsewhere, with their pay, and has the operator's standing learn from these experiences, if it
/// is not gone.
pub(crate) fn learn_all<T: Config>(
    who: &T::AccountId,
    experiences: impl Iterator<Item = Experience>,
    done: u32,
    missed: u32,
    earned: BalanceOf<T>,
    parameters: &ParametersOf<T>,
) {
    Operators::<T>::mutate_extant(who, |operator| {
        operator.completed = operator.completed.saturating_add(done);
        operator.missed = operator.missed.saturating_add(missed);
        operator.earned = operator.earned.saturating_add(earned);
        for experience in experiences {
            operator.standing.learn(experience, parameters.rise, parameters.fall);
        }
    });
}

/// Has the standing of an operator learn how close its scores were to the truth; `false` if it is gone, as one may be all of whose
/// stake was slashed.
pub(crate) fn learn_truth<T: Config>(
    who: &T::AccountId,
    closeness: Permill,
    parameters: &ParametersOf<T>,
) -> bool {
    let (rise, fall) = (parameters.audit_rise, parameters.audit_fall);
    let learn = |operator: &mut Operator<T>| operator.standing.learn_truth(closeness, rise, fall);
    Operators::<T>::mutate_exists(who, |operator| operator.as_mut().map(learn)).is_some()
}

/// Has the standing of an operator learn what an answer was worth, if it is not gone.
pub(crate) fn learn_quality<T: Config>(who: &T::AccountId, quality: Permill) {
    Operators::<T>::mutate_extant(who, |operator| operator.standing.learn_quality(quality));
}

/// Counts what an operator was paid beside the pay of a duty.
pub(crate) fn add_earned<T: Config>(who: &T::AccountId, amount: BalanceOf<T>) {
    Operators::<T>::mutate_extant(who, |operator| operator.earned = operator.earned.saturating_add(amount));
}

/// The invariants of all operators and worker keys, as far as they are seen here.
pub(crate) fn check<T: Config>() -> Result<(), &'static str> {
    for (who, operator) in Operators::<T>::iter() {
        let unbonding = operator.unbonding.map_or(Zero::zero(), |unbonding| unbonding.amount);
        let held = money::stake_of::<T>(&who);
        ensure!(held == operator.stake.saturating_add(unbonding), "a stake on hold is not what is recorded");
        if let Some(worker) = &operator.worker {
            ensure!(Workers::<T>::get(worker).as_ref() == Some(&who), "a worker key has another operator");
        }
        ensure!(operator.capacity != Some(Workload::default()), "a capacity is of no work");
        let ids: BTreeSet<_> = operator.duties.iter().map(|(id, _)| id).collect();
        ensure!(operator.duties.count() == ids.len() as u32, "an operator has two duties in a request");
    }
    for (worker, who) in Workers::<T>::iter() {
        let operator = Operators::<T>::get(&who).ok_or("a worker key has no operator")?;
        ensure!(operator.worker == Some(worker), "an operator has another worker key");
    }
    forgone::check::<T>()
}
