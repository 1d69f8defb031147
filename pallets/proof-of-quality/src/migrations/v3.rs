//! Version 3: draws that nobody can bend, pay for what was revealed, work counted in tokens and pairs.
//!
//! Open requests go on: with the new rules of pay and the parameters that take the place of their own.

use crate::{
    duties::{ClosedDuty, OpenDuties, RequestId, Workload},
    models::{Model, ModelId, ModelKind, Price, Reward, Windows},
    money::share_of,
    operators::{self, Operator, Unbonding},
    parameters::{Parameters, ParametersOf},
    requests::{Audit, Budget, Phase, Request, Sampling},
    rosters::Candidate,
    standing::Standing,
    BalanceOf, Config, EconomicParameters, Models, Operators, Pallet, Requests, Rosters,
};
use core::marker::PhantomData;
use frame_support::{
    storage_alias,
    traits::{Get, UncheckedOnRuntimeUpgrade},
    weights::Weight,
    Blake2_128Concat, BoundedVec, Identity, Twox64Concat,
};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::{
    traits::{One, Saturating, Zero},
    Permill,
};

#[cfg(feature = "try-runtime")]
use {alloc::vec::Vec, codec::Encode as _, sp_runtime::TryRuntimeError};

/// The types and maps as they were.
pub(crate) mod old {
    use super::*;
    use codec::{Decode, Encode};

    #[derive(Clone, Copy, Encode, Decode)]
    pub struct Parameters<Balance, BlockNumber> {
        pub min_stake: Balance,
        pub stake_cap: u32,
        pub unbonding_period: BlockNumber,
        pub fee: Permill,
        pub absence_slash: Balance,
        pub audit_slash: Permill,
        pub gross_error: Permill,
        pub audit_window: BlockNumber,
        pub tolerance_spreads: u32,
        pub tolerance_least: Permill,
        pub tolerance_most: Permill,
        pub newcomer: Standing,
        pub floor: Standing,
        pub rise: Permill,
        pub fall: Permill,
        pub audit_rise: Permill,
        pub audit_fall: Permill,
    }

    #[derive(Encode, Decode)]
    pub struct Model<T: Config> {
        pub kind: ModelKind,
        pub name: BoundedVec<u8, T::MaxNameLength>,
        pub price: Price<BalanceOf<T>>,
        pub windows: Windows<BlockNumberFor<T>>,
        pub reward: Reward,
        pub retired: bool,
    }

    #[derive(Encode, Decode)]
    pub struct Request<T: Config> {
        pub requester: T::AccountId,
        pub generators: BoundedVec<ModelId, T::MaxModelsPerRequest>,
        pub evaluator: ModelId,
        pub sampling: Sampling,
        pub responders: u32,
        pub committee: u32,
        pub min_quality: Permill,
        pub budget: Budget<BalanceOf<T>>,
        pub answer_windows: Windows<BlockNumberFor<T>>,
        pub score_windows: Windows<BlockNumberFor<T>>,
        pub created: BlockNumberFor<T>,
        pub phase: Phase<BlockNumberFor<T>>,
        pub since: BlockNumberFor<T>,
        pub fixed_at: BlockNumberFor<T>,
        pub due: BlockNumberFor<T>,
        pub round: u8,
        pub audit: Audit,
        pub parameters: ParametersOf<T>,
    }

    #[derive(Encode, Decode)]
    pub struct Operator<T: Config> {
        pub stake: BalanceOf<T>,
        pub unbonding: Option<Unbonding<BalanceOf<T>, BlockNumberFor<T>>>,
        pub worker: Option<T::AccountId>,
        pub models: BoundedVec<ModelId, T::MaxModelsPerOperator>,
        pub chilled: bool,
        pub capacity: Option<u32>,
        pub duties: OpenDuties<T::MaxDuties>,
        pub completed: u32,
        pub missed: u32,
        pub earned: BalanceOf<T>,
        pub slashed: BalanceOf<T>,
        pub standing: Standing,
        pub recent: BoundedVec<ClosedDuty<BalanceOf<T>>, T::RecentDuties>,
    }

    #[derive(Encode, Decode)]
    pub struct Candidate<T: Config> {
        pub operator: T::AccountId,
        pub weight: u64,
        pub since: BlockNumberFor<T>,
    }

    type AccountIdOf<T> = <T as frame_system::Config>::AccountId;
    pub type ParametersOf<T> = Parameters<BalanceOf<T>, BlockNumberFor<T>>;
    pub type RosterOf<T> = BoundedVec<Candidate<T>, <T as Config>::MaxOperatorsPerModel>;

    #[storage_alias]
    pub type EconomicParameters<T: Config> = StorageValue<Pallet<T>, ParametersOf<T>>;

    #[storage_alias]
    pub type Models<T: Config> = StorageMap<Pallet<T>, Identity, ModelId, Model<T>>;

    #[storage_alias]
    pub type Rosters<T: Config> = StorageMap<Pallet<T>, Identity, ModelId, RosterOf<T>>;

    #[storage_alias]
    pub type Operators<T: Config> = StorageMap<Pallet<T>, Blake2_128Concat, AccountIdOf<T>, Operator<T>>;

    #[storage_alias]
    pub type Requests<T: Config> = StorageMap<Pallet<T>, Twox64Concat, RequestId, Request<T>>;

    /// The parameters in force, or those of version 2 that today's defaults come nearest to.
    pub fn parameters<T: Config>() -> ParametersOf<T> {
        EconomicParameters::<T>::get().unwrap_or_else(|| {
            let now = T::DefaultParameters::get();
            Parameters {
                min_stake: now.min_stake,
                stake_cap: now.stake_cap,
                unbonding_period: now.unbonding_period,
                fee: now.fee,
                absence_slash: now.absence_slash,
                audit_slash: now.audit_slash,
                gross_error: now.gross_error,
                audit_window: now.audit_window,
                tolerance_spreads: now.tolerance_spreads,
                tolerance_least: now.tolerance_least,
                tolerance_most: now.tolerance_most,
                newcomer: now.floor,
                floor: now.floor,
                rise: now.rise,
                fall: now.fall,
                audit_rise: now.audit_rise,
                audit_fall: now.audit_fall,
            }
        })
    }
}

/// Does not look at the stored version; [`super::MigrateV2ToV3`] does.
pub struct Unversioned<T>(PhantomData<T>);

impl<T: Config> UncheckedOnRuntimeUpgrade for Unversioned<T> {
    fn on_runtime_upgrade() -> Weight {
        let mut entries = 0u64;
        let mut count = |more: usize| entries = entries.saturating_add(more as u64);
        if let Some(parameters) = old::EconomicParameters::<T>::get() {
            count(1);
            EconomicParameters::<T>::put(parameters_of::<T>(parameters));
        }
        let parameters = EconomicParameters::<T>::get();
        let longest = T::MaxPromptLength::get().saturating_add(T::MaxTokens::get());
        Models::<T>::translate::<old::Model<T>, _>(|_, model| {
            count(1);
            let old::Model { kind, name, price, windows, reward, retired } = model;
            // Version 2 knew no context: every request that fitted before still fits.
            let context = if kind == ModelKind::Generator { longest } else { 0 };
            Some(Model { kind, name, price, windows, reward, context, retired })
        });
        Requests::<T>::translate::<old::Request<T>, _>(|_, request| {
            count(request.generators.len().saturating_add(1));
            Some(request_of(request))
        });
        let now = frame_system::Pallet::<T>::block_number();
        Operators::<T>::translate::<old::Operator<T>, _>(|_, operator| {
            count(1);
            let duties = operator.duties.iter();
            let load = duties.fold(Workload::default(), |load, (id, role)| {
                load.plus(Requests::<T>::get(id).map_or_else(Workload::default, |r| r.workload(role)))
            });
            count(operator.duties.count() as usize);
            Some(operator_of(operator, load, now.saturating_add(parameters.audit_window)))
        });
        Rosters::<T>::translate::<old::RosterOf<T>, _>(|id, roster| {
            count(roster.len());
            let kind = Models::<T>::get(id)?.kind;
            // A stake that was offered for many models counts for each in part only.
            let place = |candidate: old::Candidate<T>| {
                let weight = operators::place_of::<T>(&candidate.operator, id, kind).weight;
                Candidate { operator: candidate.operator, weight, since: candidate.since, away: None }
            };
            let places = roster.into_iter().map(place).filter(|candidate| candidate.weight > 0);
            let roster: alloc::vec::Vec<_> = places.collect();
            (!roster.is_empty()).then(|| BoundedVec::truncate_from(roster))
        });
        T::DbWeight::get().reads_writes(entries.saturating_add(2), entries.saturating_add(1))
    }

    #[cfg(feature = "try-runtime")]
    fn pre_upgrade() -> Result<Vec<u8>, TryRuntimeError> {
        Ok((old::Operators::<T>::iter_keys().count() as u32, old::Requests::<T>::iter_keys().count() as u32)
            .encode())
    }

    #[cfg(feature = "try-runtime")]
    fn post_upgrade(before: Vec<u8>) -> Result<(), TryRuntimeError> {
        let after = (Operators::<T>::iter().count() as u32, Requests::<T>::iter().count() as u32).encode();
        frame_support::ensure!(before == after, "operators or requests were lost");
        crate::invariants::check::<T>().map_err(TryRuntimeError::Other)
    }
}

/// Parameters that were set stay. Those that version 2 did not have, and the initial standing, are this runtime's defaults.
fn parameters_of<T: Config>(old: old::ParametersOf<T>) -> ParametersOf<T> {
    let new = T::DefaultParameters::get();
    Parameters {
        min_stake: old.min_stake,
        stake_cap: old.stake_cap,
        unbonding_period: old.unbonding_period,
        fee: old.fee,
        absence_slash: old.absence_slash,
        audit_slash: old.audit_slash,
        gross_error: old.gross_error,
        audit_window: old.audit_window,
        tolerance_spreads: old.tolerance_spreads,
        tolerance_least: old.tolerance_least,
        tolerance_most: old.tolerance_most,
        rise: old.rise,
        fall: old.fall,
        audit_rise: old.audit_rise,
        audit_fall: old.audit_fall,
        ..new
    }
}

fn request_of<T: Config>(old: old::Request<T>) -> Request<T> {
    let parameters = parameters_of::<T>(old.parameters);
    let mut request = Request {
        requester: old.requester,
        generators: old.generators,
        evaluator: old.evaluator,
        sampling: old.sampling,
        responders: old.responders,
        committee: old.committee,
        min_quality: old.min_quality,
        budget: old.budget,
        bonus: Zero::zero(),
        answer_windows: old.answer_windows,
        score_windows: old.score_windows,
        created: old.created,
        phase: old.phase,
        since: old.since,
        fixed_at: old.fixed_at,
        due: old.due,
        round: old.round,
        tries: 0,
        audit: old.audit,
        // A committee that could be asked for may still be drawn.
        parameters: Parameters { min_committee: parameters.min_committee.min(old.committee), ..parameters },
    };
    let prices = request.generators.iter().map(|id| request.price_of(id));
    let dearest = prices.fold(BalanceOf::<T>::zero(), |most, price| most.max(price));
    let share: BalanceOf<T> = share_of(request.budget.inference, request.responders);
    request.bonus = share.saturating_sub(dearest);
    request
}

/// Today's record of an operator of version 2.
fn operator_of<T: Config>(
    operator: old::Operator<T>,
    load: Workload,
    answerable_until: BlockNumberFor<T>,
) -> Operator<T> {
    Operator {
        stake: operator.stake,
        unbonding: operator.unbonding,
        worker: operator.worker,
        models: operator.models,
        chilled: operator.chilled,
        // Counted duties; what an operator does of tokens and pairs it has to say anew.
        capacity: None,
        duties: operator.duties,
        load,
        answerable_until: answerable_until.saturating_add(One::one()),
        completed: operator.completed,
        missed: operator.missed,
        earned: operator.earned,
        slashed: operator.slashed,
        standing: operator.standing,
        recent: operator.recent,
    }
}
