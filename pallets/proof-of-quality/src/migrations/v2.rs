//! Version 2: an operator's open duties and its capacity stand in its record, and not in maps of their own.

use super::v3::old as then;
use crate::{
    duties::{ClosedDuty, OpenDuties, RequestId, Role},
    models::ModelId,
    operators::Unbonding,
    standing::Standing,
    BalanceOf, Config, Pallet,
};
use core::marker::PhantomData;
use frame_support::{
    storage_alias,
    traits::{Get, UncheckedOnRuntimeUpgrade},
    weights::Weight,
    Blake2_128Concat, BoundedVec, Twox64Concat,
};
use frame_system::pallet_prelude::BlockNumberFor;

#[cfg(feature = "try-runtime")]
use {alloc::vec::Vec, codec::Encode as _, sp_runtime::TryRuntimeError};

/// The types and maps as they were.
pub(crate) mod old {
    use super::*;
    use codec::{Decode, Encode};

    #[derive(Encode, Decode)]
    pub struct Operator<T: Config> {
        pub stake: BalanceOf<T>,
        pub unbonding: Option<Unbonding<BalanceOf<T>, BlockNumberFor<T>>>,
        pub worker: Option<T::AccountId>,
        pub models: BoundedVec<ModelId, T::MaxModelsPerOperator>,
        pub chilled: bool,
        pub open_duties: u32,
        pub completed: u32,
        pub missed: u32,
        pub earned: BalanceOf<T>,
        pub slashed: BalanceOf<T>,
        pub standing: Standing,
        pub recent: BoundedVec<ClosedDuty<BalanceOf<T>>, T::RecentDuties>,
    }

    type AccountIdOf<T> = <T as frame_system::Config>::AccountId;

    #[storage_alias]
    pub type Operators<T: Config> = StorageMap<Pallet<T>, Blake2_128Concat, AccountIdOf<T>, Operator<T>>;

    #[storage_alias]
    pub type Duties<T: Config> =
        StorageDoubleMap<Pallet<T>, Blake2_128Concat, AccountIdOf<T>, Twox64Concat, RequestId, Role>;

    #[storage_alias]
    pub type Capacities<T: Config> = StorageMap<Pallet<T>, Blake2_128Concat, AccountIdOf<T>, u32>;
}

/// Does not look at the stored version; [`super::MigrateV1ToV2`] does.
pub struct Unversioned<T>(PhantomData<T>);

impl<T: Config> UncheckedOnRuntimeUpgrade for Unversioned<T> {
    fn on_runtime_upgrade() -> Weight {
        let (mut operators, mut duties) = (0u64, 0u64);
        then::Operators::<T>::translate::<old::Operator<T>, _>(|who, operator| {
            operators = operators.saturating_add(1);
            let mut open = OpenDuties::default();
            for (request, role) in old::Duties::<T>::drain_prefix(&who) {
                duties = duties.saturating_add(1);
                if !open.open(request, role) {
                    log::error!("MaxDuties is too low: a duty of {who:?} in request {request} is lost");
                }
            }
            let capacity = old::Capacities::<T>::take(&who).map(|duties| duties.min(T::MaxDuties::get()));
            Some(operator_of(operator, open, capacity))
        });
        // Of each operator the record and its capacity, of each duty its key and its value.
        T::DbWeight::get().reads_writes(
            operators.saturating_mul(4).saturating_add(duties.saturating_mul(2)),
            operators.saturating_mul(2).saturating_add(duties),
        )
    }

    #[cfg(feature = "try-runtime")]
    fn pre_upgrade() -> Result<Vec<u8>, TryRuntimeError> {
        let fits =
            old::Operators::<T>::iter_values().all(|operator| operator.open_duties <= T::MaxDuties::get());
        frame_support::ensure!(fits, "an operator has more open duties than MaxDuties");
        Ok((old::Operators::<T>::iter_keys().count() as u32, old::Duties::<T>::iter_keys().count() as u32)
            .encode())
    }

    #[cfg(feature = "try-runtime")]
    fn post_upgrade(before: Vec<u8>) -> Result<(), TryRuntimeError> {
        let duties = then::Operators::<T>::iter_values().map(|operator| operator.duties.count());
        let after = (then::Operators::<T>::iter_keys().count() as u32, duties.sum::<u32>()).encode();
        frame_support::ensure!(before == after, "operators or duties were lost");
        Ok(())
    }
}

/// The record in version 2 of an operator of version 1.
fn operator_of<T: Config>(
    operator: old::Operator<T>,
    duties: OpenDuties<T::MaxDuties>,
    capacity: Option<u32>,
) -> then::Operator<T> {
    then::Operator {
        stake: operator.stake,
        unbonding: operator.unbonding,
        worker: operator.worker,
        models: operator.models,
        chilled: operator.chilled,
        capacity,
        duties,
        completed: operator.completed,
        missed: operator.missed,
        earned: operator.earned,
        slashed: operator.slashed,
        standing: operator.standing,
        recent: operator.recent,
    }
}
