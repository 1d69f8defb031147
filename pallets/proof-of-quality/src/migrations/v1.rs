//! Version 1: models have rewards, requests carry their parameters and an audit's commitment, parts have latencies,
//! operators have a standing, and rosters weigh it.

use super::{v2::old as then, v3::old as later};
use crate::{
    duties::{ClosedDuty, Commitment, Work},
    models::{ModelId, ModelKind, Price, Reward, Windows},
    operators::Unbonding,
    requests::{Audit, Budget, Member, Phase, Response, Sampling},
    BalanceOf, Committees, Config, OpenRequests, Responses,
};
use core::marker::PhantomData;
use frame_support::{
    traits::{Get, UncheckedOnRuntimeUpgrade},
    weights::Weight,
    BoundedVec,
};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::Permill;

#[cfg(feature = "try-runtime")]
use {alloc::vec::Vec, codec::Encode as _, sp_runtime::TryRuntimeError};

/// The types as they were.
pub(crate) mod old {
    use super::*;
    use codec::{Decode, Encode};

    #[derive(Encode, Decode)]
    pub struct Model<T: Config> {
        pub kind: ModelKind,
        pub name: BoundedVec<u8, T::MaxNameLength>,
        pub price: Price<BalanceOf<T>>,
        pub windows: Windows<BlockNumberFor<T>>,
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
    }

    #[derive(Encode, Decode)]
    pub struct Response<T: Config> {
        pub operator: T::AccountId,
        pub model: ModelId,
        pub work: Work,
        pub quality: Option<Permill>,
        pub paid: BalanceOf<T>,
    }

    #[derive(Encode, Decode)]
    pub struct Member<T: Config> {
        pub operator: T::AccountId,
        pub weight: u64,
        pub work: Work,
        pub scores: BoundedVec<Permill, T::MaxResponders>,
        pub agreement: Option<Permill>,
        pub paid: BalanceOf<T>,
    }

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
        pub recent: BoundedVec<ClosedDuty<BalanceOf<T>>, T::RecentDuties>,
    }

    pub type Responses<T> = BoundedVec<Response<T>, <T as Config>::MaxResponders>;
    pub type Committee<T> = BoundedVec<Member<T>, <T as Config>::MaxCommittee>;
}

/// Does not look at the stored version; [`super::MigrateV0ToV1`] does.
pub struct Unversioned<T>(PhantomData<T>);

impl<T: Config> UncheckedOnRuntimeUpgrade for Unversioned<T> {
    fn on_runtime_upgrade() -> Weight {
        let mut entries = 0u64;
        let mut count = || entries = entries.saturating_add(1);
        let parameters = later::parameters::<T>();
        later::Models::<T>::translate::<old::Model<T>, _>(|_, model| {
            count();
            let old::Model { kind, name, price, windows, retired } = model;
            Some(later::Model { kind, name, price, windows, reward: Reward::default(), retired })
        });
        then::Operators::<T>::translate::<old::Operator<T>, _>(|_, operator| {
            count();
            Some(operator_of(operator, &parameters))
        });
        let mut open = 0u32;
        later::Requests::<T>::translate::<old::Request<T>, _>(|_, request| {
            count();
            if !request.phase.is_closed() {
                open = open.saturating_add(1);
            }
            Some(request_of(request, parameters))
        });
        OpenRequests::<T>::put(open);
        Responses::<T>::translate::<old::Responses<T>, _>(|_, responses| {
            count();
            Some(BoundedVec::truncate_from(responses.into_iter().map(response_of::<T>).collect()))
        });
        Committees::<T>::translate::<old::Committee<T>, _>(|_, _, committee| {
            count();
            Some(BoundedVec::truncate_from(committee.into_iter().map(member_of::<T>).collect()))
        });
        // Weights in rosters are another thing since: version 3 makes them anew.
        T::DbWeight::get()
            .reads_writes(entries.saturating_mul(2).saturating_add(1), entries.saturating_add(1))
    }

    #[cfg(feature = "try-runtime")]
    fn pre_upgrade() -> Result<Vec<u8>, TryRuntimeError> {
        Ok((
            then::Operators::<T>::iter_keys().count() as u32,
            later::Requests::<T>::iter_keys().count() as u32,
        )
            .encode())
    }

    #[cfg(feature = "try-runtime")]
    fn post_upgrade(before: Vec<u8>) -> Result<(), TryRuntimeError> {
        let after =
            (then::Operators::<T>::iter().count() as u32, later::Requests::<T>::iter().count() as u32)
                .encode();
        frame_support::ensure!(before == after, "operators or requests were lost");
        Ok(())
    }
}

fn operator_of<T: Config>(
    operator: old::Operator<T>,
    parameters: &later::ParametersOf<T>,
) -> then::Operator<T> {
    then::Operator {
        stake: operator.stake,
        unbonding: operator.unbonding,
        worker: operator.worker,
        models: operator.models,
        chilled: operator.chilled,
        open_duties: operator.open_duties,
        completed: operator.completed,
        missed: operator.missed,
        earned: operator.earned,
        slashed: operator.slashed,
        standing: parameters.newcomer,
        recent: operator.recent,
    }
}

fn request_of<T: Config>(request: old::Request<T>, parameters: later::ParametersOf<T>) -> later::Request<T> {
    later::Request {
        requester: request.requester,
        generators: request.generators,
        evaluator: request.evaluator,
        sampling: request.sampling,
        responders: request.responders,
        committee: request.committee,
        min_quality: request.min_quality,
        budget: request.budget,
        answer_windows: request.answer_windows,
        score_windows: request.score_windows,
        created: request.created,
        phase: request.phase,
        since: request.since,
        fixed_at: request.fixed_at,
        due: request.due,
        round: request.round,
        // A commitment that nobody can open.
        audit: Audit::Sealed(Commitment::default()),
        parameters,
    }
}

fn response_of<T: Config>(response: old::Response<T>) -> Response<T> {
    let old::Response { operator, model, work, quality, paid } = response;
    Response { operator, model, work, latency: Permill::zero(), quality, paid }
}

fn member_of<T: Config>(member: old::Member<T>) -> Member<T> {
    let old::Member { operator, weight, work, scores, agreement, paid } = member;
    Member { operator, weight, work, scores, latency: Permill::zero(), agreement, paid }
}
