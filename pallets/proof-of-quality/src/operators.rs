//! Operators: stake, worker key, models, and their places in the rosters from which draws are made.

use crate::{models::is_proper_list, standing::stake_weight, *};
use alloc::vec::Vec;
use frame_support::{ensure, BoundedVec};
use frame_system::pallet_prelude::BlockNumberFor;
use poq_primitives::commitment::worker_consent;
use sp_runtime::{
    traits::{CheckedAdd, Get, One, Saturating, Verify, Zero},
    DispatchResult,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_bond(who: &T::AccountId, amount: BalanceOf<T>) -> DispatchResult {
        ensure!(!amount.is_zero(), Error::<T>::ZeroAmount);
        ensure!(!Workers::<T>::contains_key(who), Error::<T>::WorkerInUse);
        let parameters = EconomicParameters::<T>::get();
        let mut operator = Operators::<T>::get(who)
            .unwrap_or_else(|| Operator { standing: parameters.floor, ..Default::default() });
        let before = stake_weight::<T>(operator.stake_per_model(), &parameters);
        operator.stake = operator.stake.checked_add(&amount).ok_or(Error::<T>::Overflow)?;
        ensure!(operator.stake >= parameters.min_stake, Error::<T>::StakeTooSmall);
        Self::hold_stake(who, amount)?;
        let grown = stake_weight::<T>(operator.stake_per_model(), &parameters) > before;
        Self::enlist(who, &operator, grown)?;
        Operators::<T>::insert(who, operator);
        Self::deposit_event(Event::Bonded { operator: who.clone(), amount });
        Ok(())
    }

    pub(crate) fn do_register(
        who: &T::AccountId,
        worker: T::AccountId,
        models: BoundedVec<ModelId, T::MaxModelsPerOperator>,
    ) -> DispatchResult {
        let mut operator = Operators::<T>::get(who).ok_or(Error::<T>::NotAnOperator)?;
        ensure!(is_proper_list(&models), Error::<T>::InvalidModelList);
        let parameters = EconomicParameters::<T>::get();
        let stake_per_model = share_of(operator.stake, models.len() as u32);
        ensure!(stake_per_model >= parameters.min_stake, Error::<T>::StakeTooSmall);
        // The same stake behind fewer models is more behind each.
        let weight = |stake| stake_weight::<T>(stake, &parameters);
        let grown = weight(stake_per_model) > weight(operator.stake_per_model());
        for id in models.iter().filter(|id| !operator.models.contains(id)) {
            Self::live_model(id)?;
        }
        Self::set_worker(who, &mut operator, &worker)?;
        for id in operator.models.iter().filter(|id| !models.contains(id)) {
            Self::delist_from(id, who);
        }
        operator.models = models.clone();
        operator.chilled = false;
        Self::enlist(who, &operator, grown)?;
        Operators::<T>::insert(who, operator);
        Self::deposit_event(Event::Registered { operator: who.clone(), worker, models });
        Ok(())
    }

    /// Whether `worker` itself has agreed to work for `who`: with a key that is somebody else's one could keep that account from
    /// bonding, and have its node do one's work.
    pub(crate) fn check_consent(
        who: &T::AccountId,
        worker: &T::AccountId,
        consent: Option<T::Signature>,
    ) -> DispatchResult {
        if Workers::<T>::get(worker).as_ref() == Some(who) {
            return Ok(());
        }
        let agreed = worker_consent(&Self::genesis_hash(), who);
        let is_given = consent.is_some_and(|consent| consent.verify(agreed.as_slice(), worker));
        ensure!(is_given, Error::<T>::InvalidConsent);
        Ok(())
    }

    /// Makes `worker` the operator's key and keeps its account alive, so that it has a nonce without a balance.
    fn set_worker(who: &T::AccountId, operator: &mut Operator<T>, worker: &T::AccountId) -> DispatchResult {
        if operator.worker.as_ref() == Some(worker) {
            return Ok(());
        }
        ensure!(!Workers::<T>::contains_key(worker), Error::<T>::WorkerInUse);
        ensure!(!Operators::<T>::contains_key(worker), Error::<T>::WorkerIsOperator);
        Self::unset_worker(operator);
        frame_system::Pallet::<T>::inc_sufficients(worker);
        Workers::<T>::insert(worker, who);
        operator.worker = Some(worker.clone());
        Ok(())
    }

    fn unset_worker(operator: &mut Operator<T>) {
        if let Some(worker) = operator.worker.take() {
            Workers::<T>::remove(&worker);
            frame_system::Pallet::<T>::dec_sufficients(&worker);
        }
    }

    pub(crate) fn do_chill(who: &T::AccountId) -> DispatchResult {
        Operators::<T>::try_mutate(who, |operator| {
            let operator = operator.as_mut().ok_or(Error::<T>::NotAnOperator)?;
            ensure!(!operator.chilled, Error::<T>::AlreadyChilled);
            operator.chilled = true;
            Self::keep_places(who, operator);
            Self::deposit_event(Event::Chilled { operator: who.clone() });
            Ok(())
        })
    }

    pub(crate) fn do_resume(who: &T::AccountId) -> DispatchResult {
        Operators::<T>::try_mutate(who, |operator| {
            let operator = operator.as_mut().ok_or(Error::<T>::NotAnOperator)?;
            ensure!(operator.chilled, Error::<T>::NotChilled);
            ensure!(operator.worker.is_some(), Error::<T>::NotRegistered);
            let least = EconomicParameters::<T>::get().min_stake;
            ensure!(operator.stake_per_model() >= least, Error::<T>::StakeTooSmall);
            operator.chilled = false;
            Self::enlist(who, operator, false)?;
            Self::deposit_event(Event::Resumed { operator: who.clone() });
            Ok(())
        })
    }

    pub(crate) fn do_set_capacity(who: &T::AccountId, capacity: Workload) -> DispatchResult {
        Operators::<T>::try_mutate(who, |operator| {
            let operator = operator.as_mut().ok_or(Error::<T>::NotAnOperator)?;
            ensure!(capacity != Workload::default(), Error::<T>::InvalidCapacity);
            operator.capacity = Some(capacity);
            Self::deposit_event(Event::CapacitySet { operator: who.clone(), capacity });
            Ok(())
        })
    }

    pub(crate) fn do_unbond(who: &T::AccountId, amount: BalanceOf<T>) -> DispatchResult {
        ensure!(!amount.is_zero(), Error::<T>::ZeroAmount);
        let parameters = EconomicParameters::<T>::get();
        Operators::<T>::try_mutate(who, |operator| {
            let operator = operator.as_mut().ok_or(Error::<T>::NotAnOperator)?;
            ensure!(amount <= operator.stake, Error::<T>::NotEnoughStake);
            operator.stake = operator.stake.saturating_sub(amount);
            ensure!(
                operator.stake.is_zero() || operator.stake_per_model() >= parameters.min_stake,
                Error::<T>::RemainderTooSmall
            );
            let now = frame_system::Pallet::<T>::block_number();
            // The period may have been shortened since the latest scores.
            let at = now.saturating_add(parameters.unbonding_period).max(operator.answerable_until);
            let waiting = operator.unbonding.map_or(Zero::zero(), |unbonding| unbonding.amount);
            operator.unbonding = Some(Unbonding { amount: waiting.saturating_add(amount), at });
            Self::enlist(who, operator, false)?;
            Self::deposit_event(Event::Unbonding { operator: who.clone(), amount, at });
            Ok(())
        })
    }

    pub(crate) fn do_withdraw(who: &T::AccountId) -> DispatchResult {
        let mut operator = Operators::<T>::get(who).ok_or(Error::<T>::NotAnOperator)?;
        let amount = match operator.unbonding.take() {
            Some(unbonding) => {
                ensure!(
                    unbonding.at <= frame_system::Pallet::<T>::block_number(),
                    Error::<T>::NothingToWithdraw
                );
                unbonding.amount
            }
            // All was slashed: nothing to release, but a record to forget.
            None if operator.stake.is_zero() => Zero::zero(),
            None => return Err(Error::<T>::NothingToWithdraw.into()),
        };
        ensure!(operator.duties.count() == 0, Error::<T>::OpenDuties);
        Self::release_stake(who, amount)?;
        if operator.stake.is_zero() {
            Self::unset_worker(&mut operator);
            Self::delist(who, &operator);
            Operators::<T>::remove(who);
        } else {
            Operators::<T>::insert(who, operator);
        }
        Self::deposit_event(Event::Withdrawn { operator: who.clone(), amount });
        Ok(())
    }

    /// Brings the operator's places in the rosters of all its models in line with its record. With `grown`, its stake counts
    /// for more than before, and requests that are open do not see it any more.
    fn enlist(who: &T::AccountId, operator: &Operator<T>, grown: bool) -> DispatchResult {
        let parameters = EconomicParameters::<T>::get();
        if operator.stake_per_model() < parameters.min_stake || operator.worker.is_none() {
            Self::delist(who, operator);
            return Ok(());
        }
        let now = frame_system::Pallet::<T>::block_number();
        for id in &operator.models {
            let Some(model) = Models::<T>::get(id) else { continue };
            let weight = Self::weight_of(operator, model.kind, &parameters);
            Rosters::<T>::try_mutate(id, |roster| {
                if let Some(candidate) = roster.iter_mut().find(|candidate| candidate.operator == *who) {
                    // Who comes back joins anew.
                    if grown || (candidate.away.is_some() && !operator.chilled) {
                        candidate.since = now;
                    }
                    candidate.weight = weight;
                    candidate.away = candidate.away.filter(|_| operator.chilled);
                    return Ok(());
                }
                // A place that a chilled operator has lost it does not take from somebody else.
                if operator.chilled {
                    return Ok(());
                }
                Self::make_room(id, roster, weight, now)?;
                let candidate = Candidate { operator: who.clone(), weight, since: now, away: None };
                roster.try_push(candidate).map_err(|_| Error::<T>::RosterFull)
            })?;
        }
        Ok(())
    }

    /// Makes room in a full roster for somebody of this weight: in the place of who is away for too long or, if nobody is, of who
    /// weighs least and less.
    fn make_room(
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
        Self::deposit_event(Event::Displaced { operator: displaced.operator, model: *id });
        Ok(())
    }

    /// Keeps the places of an operator that chills, so that it finds them again after a pause. They weigh what they did: who has
    /// more takes them, and after [`Config::ChillPatience`] anybody does.
    fn keep_places(who: &T::AccountId, operator: &Operator<T>) {
        let until = frame_system::Pallet::<T>::block_number().saturating_add(T::ChillPatience::get());
        for id in &operator.models {
            Rosters::<T>::mutate(id, |roster| {
                if let Some(place) = roster.iter_mut().find(|candidate| candidate.operator == *who) {
                    place.away = Some(until);
                }
            });
        }
    }

    /// Gives these places their weights and takes out who has none any more.
    pub(crate) fn refresh(id: &ModelId, places: &[Place<T>]) {
        let places: Vec<_> = places.iter().filter(|place| place.model == *id).collect();
        if places.is_empty() {
            return;
        }
        Rosters::<T>::mutate_exists(id, |slot| {
            let Some(roster) = slot else { return };
            for candidate in roster.iter_mut() {
                if let Some(place) = places.iter().find(|place| place.operator == candidate.operator) {
                    candidate.weight = place.weight;
                }
            }
            roster.retain(|candidate| candidate.weight > 0);
            if roster.is_empty() {
                *slot = None;
            }
        });
    }

    /// [`Self::refresh`] in all rosters that a request was drawn from.
    pub(crate) fn refresh_rosters(request: &Request<T>, places: &[Place<T>]) {
        for id in request.generators.iter().chain(core::iter::once(&request.evaluator)) {
            Self::refresh(id, places);
        }
    }

    /// The place in a roster that an operator's record gives it.
    pub(crate) fn place_of(operator: &T::AccountId, model: ModelId, kind: ModelKind) -> Place<T> {
        let weight = Operators::<T>::get(operator).map_or(0, |record| Self::place_weight(&record, kind));
        Place { model, operator: operator.clone(), weight }
    }

    /// What an operator weighs in a roster; 0 if it may not be drawn.
    fn place_weight(operator: &Operator<T>, kind: ModelKind) -> u64 {
        let parameters = EconomicParameters::<T>::get();
        // A chilled operator keeps its place, in which it is not drawn.
        if operator.worker.is_some() && operator.stake_per_model() >= parameters.min_stake {
            Self::weight_of(operator, kind, &parameters)
        } else {
            0
        }
    }

    fn delist(who: &T::AccountId, operator: &Operator<T>) {
        for id in &operator.models {
            Self::delist_from(id, who);
        }
    }

    fn delist_from(id: &ModelId, who: &T::AccountId) {
        Rosters::<T>::mutate_exists(id, |slot| {
            if let Some(roster) = slot {
                roster.retain(|candidate| candidate.operator != *who);
                if roster.is_empty() {
                    *slot = None;
                }
            }
        });
    }

    /// Begins a duty of an operator whose record a draw has just read, and that has room.
    pub(crate) fn open_duty(
        who: &T::AccountId,
        mut record: Operator<T>,
        id: RequestId,
        request: &Request<T>,
        role: Role,
    ) {
        if !record.duties.open(id, role) {
            Self::unexpected(UnexpectedKind::DutyMismatch);
        }
        record.load = record.load.plus(request.workload(role));
        Operators::<T>::insert(who, record);
    }

    /// What an operator has to do in a request, if anything.
    pub(crate) fn duty_in(who: &T::AccountId, request: RequestId) -> Option<Role> {
        Operators::<T>::get(who)?.duties.role_in(request)
    }

    /// Ends a duty: counts it, remembers it, and lets the operator's standing learn from it. Returns what the operator weighs
    /// in rosters from now on.
    pub(crate) fn close_duty(
        who: &T::AccountId,
        request: &Request<T>,
        duty: ClosedDuty<BalanceOf<T>>,
        experience: Experience,
    ) -> u64 {
        let parameters = &request.parameters;
        let weight = Operators::<T>::mutate(who, |operator| match operator {
            Some(operator) => {
                if !operator.duties.close(duty.request, duty.role) {
                    Self::unexpected(UnexpectedKind::DutyMismatch);
                }
                operator.load = operator.load.minus(request.workload(duty.role));
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
                operator.standing.learn(experience, parameters);
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
                Self::place_weight(operator, duty.role.kind())
            }
            None => {
                Self::unexpected(UnexpectedKind::OperatorMissing);
                0
            }
        });
        Self::deposit_event(Event::DutyClosed { operator: who.clone(), duty });
        weight
    }
}

/// What an operator weighs in the roster of a model.
pub(crate) struct Place<T: Config> {
    pub(crate) model: ModelId,
    pub(crate) operator: T::AccountId,
    /// 0: it is to be taken out.
    pub(crate) weight: u64,
}

/// Whether a draw may take this operator.
pub(crate) fn is_drawable<T: Config>(operator: &Operator<T>, min_stake: BalanceOf<T>) -> bool {
    operator.worker.is_some() && !operator.chilled && operator.stake_per_model() >= min_stake
}

/// What a piece of work that was not done amounts to.
pub(crate) fn fault_outcome(work: &Work) -> Option<Outcome> {
    match work {
        Work::Failed(reason) => Some(Outcome::Failed(*reason)),
        Work::NotCommitted => Some(Outcome::NotCommitted),
        Work::NotRevealed => Some(Outcome::NotRevealed),
        Work::Pending | Work::Committed(_) | Work::Shown => None,
    }
}
