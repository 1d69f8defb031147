//! What must always hold, as code. Runs after every test of the pallet, in try-runtime, and for anyone who asks by
//! [`Pallet::check_invariants`].

use crate::*;
use alloc::collections::{BTreeMap, BTreeSet};
use frame_support::{ensure, traits::fungible::InspectHold};
use sp_runtime::traits::{Get, Saturating, Zero};
#[cfg(feature = "std")]
use sp_runtime::{traits::One, FixedU64};

/// Most operators, models and requests together that [`Pallet::check_invariants`] looks at.
pub const MOST_TO_CHECK: usize = 4_096;

impl<T: Config> Pallet<T> {
    /// What the constants of the configuration must satisfy.
    #[cfg(feature = "std")]
    pub(crate) fn check_config() -> Result<(), &'static str> {
        T::DefaultParameters::get().check(T::Retention::get())?;
        let alphas = FixedU64::from_u32(1)..=FixedU64::from_u32(10);
        ensure!(alphas.contains(&T::MaxAlpha::get()), "MaxAlpha must be 1 to 10");
        ensure!(T::MaxBeta::get() <= T::MaxAlpha::get(), "MaxBeta must not be above MaxAlpha");
        ensure!(T::MaxReferenceLength::get() >= 1, "MaxReferenceLength must be at least 1");
        ensure!(T::MaxWindow::get() >= One::one(), "MaxWindow must be at least 1");
        ensure!(T::Retention::get() >= One::one(), "Retention must be at least 1");
        ensure!(T::SeedPatience::get() >= 3u32.into(), "SeedPatience must leave a seed the time to come");
        ensure!(T::MaxReports::get() >= 1, "MaxReports must be at least 1");
        let capacity = T::DefaultCapacity::get();
        ensure!(capacity.tokens > 0 && capacity.pairs > 0, "DefaultCapacity must take work of both kinds");
        ensure!(T::MaxDuties::get() >= 1, "MaxDuties must be at least 1");
        ensure!(T::MaxAuditors::get() >= 1, "MaxAuditors must be at least 1");
        ensure!(T::BlockMillis::get() >= 1, "BlockMillis must be at least 1");
        let least = T::DefaultParameters::get().min_committee;
        ensure!(least <= T::MaxCommittee::get(), "min_committee must not be above MaxCommittee");
        ensure!(T::MaxResponders::get() >= 1 && T::MaxCommittee::get() >= 1, "a request needs both roles");
        ensure!(
            T::AgendaWeight::get().all_gte(Self::least_agenda_weight().saturating_add(Self::dearest_step())),
            "AgendaWeight must have room for a step, or nothing ever ends"
        );
        Ok(())
    }

    /// The same as [`Self::do_try_state`], for whoever asks: not more work than a node can do at anyone's call.
    pub(crate) fn check_if_small() -> Result<(), &'static str> {
        let entries = Operators::<T>::iter_keys().map(|_| ()).chain(Requests::<T>::iter_keys().map(|_| ()));
        let entries = entries.chain(Models::<T>::iter_keys().map(|_| ())).take(MOST_TO_CHECK + 1);
        ensure!(entries.count() <= MOST_TO_CHECK, "too much state to check in one call: use try-runtime");
        Self::do_try_state()
    }

    pub(crate) fn do_try_state() -> Result<(), &'static str> {
        let kept = EconomicParameters::<T>::get().check(T::Retention::get());
        ensure!(kept.is_ok(), "the economic parameters do not hold together");
        Self::check_operators()?;
        Self::check_rosters()?;
        Self::check_surcharges()?;
        Self::check_requests()?;
        Self::check_agenda()
    }

    fn check_operators() -> Result<(), &'static str> {
        for (who, operator) in Operators::<T>::iter() {
            let unbonding = operator.unbonding.map_or(Zero::zero(), |unbonding| unbonding.amount);
            let held = T::Currency::balance_on_hold(&HoldReason::Stake.into(), &who);
            ensure!(
                held == operator.stake.saturating_add(unbonding),
                "a stake on hold is not what is recorded"
            );
            if let Some(worker) = &operator.worker {
                ensure!(
                    Workers::<T>::get(worker).as_ref() == Some(&who),
                    "a worker key has another operator"
                );
            }
            ensure!(operator.capacity != Some(Workload::default()), "a capacity is of no work");
            let ids: BTreeSet<_> = operator.duties.iter().map(|(id, _)| id).collect();
            ensure!(operator.duties.count() == ids.len() as u32, "an operator has two duties in a request");
            let mut load = Workload::default();
            for (id, role) in operator.duties.iter() {
                let request = Requests::<T>::get(id).ok_or("a duty has no request")?;
                ensure!(!request.phase.is_closed(), "a closed request has an open duty");
                ensure!(Self::work_of(&who, id, role).is_some(), "a duty has no part in its request");
                load = load.plus(request.workload(role));
            }
            ensure!(operator.load == load, "the open work of an operator is not that of its duties");
        }
        for (worker, who) in Workers::<T>::iter() {
            let operator = Operators::<T>::get(&who).ok_or("a worker key has no operator")?;
            ensure!(operator.worker == Some(worker), "an operator has another worker key");
        }
        Ok(())
    }

    fn check_rosters() -> Result<(), &'static str> {
        for (id, roster) in Rosters::<T>::iter() {
            for candidate in roster.iter() {
                let operator =
                    Operators::<T>::get(&candidate.operator).ok_or("a roster names no operator")?;
                ensure!(operator.models.contains(&id), "a roster names an operator that does not serve");
                ensure!(operator.chilled == candidate.away.is_some(), "a roster and a chill do not agree");
                ensure!(operator.worker.is_some(), "a roster names an operator without a worker key");
                ensure!(candidate.weight >= 1, "a roster names an operator that cannot be drawn");
                let times = roster.iter().filter(|c| c.operator == candidate.operator).count();
                ensure!(times == 1, "a roster names an operator twice");
            }
        }
        Ok(())
    }

    fn check_requests() -> Result<(), &'static str> {
        let open = Requests::<T>::iter_values().filter(|request| !request.phase.is_closed()).count();
        ensure!(open == OpenRequests::<T>::get() as usize, "the count of open requests is wrong");
        let mut budgets: BTreeMap<T::AccountId, BalanceOf<T>> = BTreeMap::new();
        for (id, request) in Requests::<T>::iter() {
            ensure!(id < NextRequest::<T>::get(), "a request has an id from the future");
            // Of a closed request nothing may be left on hold.
            let sum = budgets.entry(request.requester.clone()).or_default();
            if !request.phase.is_closed() {
                *sum = sum.saturating_add(request.budget.total());
            }
            let responses = Responses::<T>::get(id);
            for (response, index) in responses.iter().zip(0u32..) {
                ensure!(
                    Outputs::<T>::contains_key(id, index) == (response.work == Work::Shown),
                    "an output and its response do not agree"
                );
                ensure!(
                    Self::has_duty(&response.operator, id, Role::InferenceNode) != request.phase.is_closed(),
                    "an inference node and its duty do not agree"
                );
            }
            for member in Committees::<T>::get(id, request.round) {
                ensure!(
                    Self::has_duty(&member.operator, id, Role::QualityValidator) != request.phase.is_closed(),
                    "a quality validator and its duty do not agree"
                );
                ensure!(
                    !responses.iter().any(|response| response.operator == member.operator),
                    "an operator scores its own response"
                );
            }
            if let Phase::Settled { best, .. } = request.phase {
                let best = responses.get(best as usize).and_then(|response| response.quality);
                ensure!(
                    best.is_some() && responses.iter().all(|response| response.quality <= best),
                    "the best response is not the best"
                );
            }
        }
        for (who, sum) in &budgets {
            let held = T::Currency::balance_on_hold(&HoldReason::Budget.into(), who);
            ensure!(held == *sum, "budgets on hold are not those of the open requests");
        }
        Ok(())
    }

    fn has_duty(who: &T::AccountId, id: RequestId, role: Role) -> bool {
        Self::duty_in(who, id) == Some(role)
    }

    fn check_agenda() -> Result<(), &'static str> {
        let mut listed = 0usize;
        for (due, id, ()) in Agenda::<T>::iter() {
            let request = Requests::<T>::get(id).ok_or("the agenda names no request")?;
            ensure!(request.due == due, "the agenda names another block than the request");
            if let Some(cursor) = AgendaCursor::<T>::get() {
                ensure!(due >= cursor, "the agenda has passed a request by");
            }
            listed = listed.saturating_add(1);
        }
        ensure!(listed == Requests::<T>::iter_keys().count(), "a request is not on the agenda once");
        Ok(())
    }
}
