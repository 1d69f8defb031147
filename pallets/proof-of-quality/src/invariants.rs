//! The invariants of the pallet's state. Checked after every test of the pallet, in try-runtime, and by the view function
//! [`Pallet::check_invariants`].

use crate::{
    callbacks, congestion,
    duties::{RequestId, Role, Work, Workload},
    models, money, operators,
    requests::{self, Phase},
    rosters, Agenda, AgendaCursor, BalanceOf, Committees, Config, EconomicParameters, Models, NextRequest,
    OpenRequests, Operators, Outputs, Requests, Responses, Rosters,
};
use alloc::collections::BTreeMap;
use frame_support::ensure;
use sp_runtime::traits::{Get, Saturating};
#[cfg(feature = "std")]
use {
    crate::steps,
    sp_runtime::{traits::One, FixedU64},
};

/// Most operators, models and requests together that [`Pallet::check_invariants`] looks at.
pub const MOST_TO_CHECK: usize = 4_096;

/// Checks the constants of the configuration.
#[cfg(feature = "std")]
pub(crate) fn check_config<T: Config>() -> Result<(), &'static str> {
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
        T::AgendaWeight::get().all_gte(steps::least_weight::<T>().saturating_add(steps::dearest_step::<T>())),
        "AgendaWeight must have room for a step, or nothing ever ends"
    );
    Ok(())
}

/// The same as [`check::<T>`], for whoever asks: not more work than a node can do at anyone's call.
pub(crate) fn check_if_small<T: Config>() -> Result<(), &'static str> {
    let entries = Operators::<T>::iter_keys().map(|_| ()).chain(Requests::<T>::iter_keys().map(|_| ()));
    let entries = entries.chain(Models::<T>::iter_keys().map(|_| ())).take(MOST_TO_CHECK + 1);
    ensure!(entries.count() <= MOST_TO_CHECK, "too much state to check in one call: use try-runtime");
    check::<T>()
}

/// All.
pub(crate) fn check<T: Config>() -> Result<(), &'static str> {
    let kept = EconomicParameters::<T>::get().check(T::Retention::get());
    ensure!(kept.is_ok(), "the economic parameters do not hold together");
    operators::check::<T>()?;
    rosters::check::<T>()?;
    congestion::check::<T>()?;
    models::check::<T>()?;
    callbacks::check::<T>()?;
    check_duties::<T>()?;
    check_places::<T>()?;
    check_requests::<T>()?;
    check_agenda::<T>()
}

/// Checks that operators and the requests in which they have duties agree.
fn check_duties<T: Config>() -> Result<(), &'static str> {
    for (who, operator) in Operators::<T>::iter() {
        let mut load = Workload::default();
        for (id, role) in operator.duties.iter() {
            let request = Requests::<T>::get(id).ok_or("a duty has no request")?;
            ensure!(!request.phase.is_closed(), "a closed request has an open duty");
            ensure!(requests::work_of::<T>(&who, id, role).is_some(), "a duty has no part in its request");
            load = load.plus(request.workload(role));
        }
        ensure!(operator.load == load, "the open work of an operator is not that of its duties");
    }
    Ok(())
}

/// Checks that rosters and operators agree.
fn check_places<T: Config>() -> Result<(), &'static str> {
    for (id, roster) in Rosters::<T>::iter() {
        for candidate in roster.iter() {
            let operator = Operators::<T>::get(&candidate.operator).ok_or("a roster names no operator")?;
            ensure!(operator.models.contains(&id), "a roster names an operator that does not serve");
            ensure!(operator.chilled == candidate.away.is_some(), "a roster and a chill do not agree");
            ensure!(operator.worker.is_some(), "a roster names an operator without a worker key");
        }
    }
    Ok(())
}

/// Checks that requests agree with their prompts, responses, outputs and committees.
fn check_requests<T: Config>() -> Result<(), &'static str> {
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
                Outputs::<T>::contains_key(id, index) == (response.work == Work::Revealed),
                "an output and its response do not agree"
            );
            ensure!(
                has_duty::<T>(&response.operator, id, Role::InferenceNode) != request.phase.is_closed(),
                "an inference node and its duty do not agree"
            );
        }
        for member in Committees::<T>::get(id, request.round) {
            ensure!(
                has_duty::<T>(&member.operator, id, Role::QualityValidator) != request.phase.is_closed(),
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
        let held = money::budgets_of::<T>(who);
        ensure!(held == *sum, "budgets on hold are not those of the open requests");
    }
    Ok(())
}

fn has_duty<T: Config>(who: &T::AccountId, id: RequestId, role: Role) -> bool {
    operators::duty_in::<T>(who, id) == Some(role)
}

/// Checks that requests and the agenda agree.
fn check_agenda<T: Config>() -> Result<(), &'static str> {
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
