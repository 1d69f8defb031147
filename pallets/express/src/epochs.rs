//! Epochs: spans of blocks in which all draws use one set of snapshots and one seed. Owns [`CurrentEpoch`], [`EpochLength`], [`Epochs`],
//! [`Freezing`], [`Snapshots`] and [`LaneModels`].
//!
//! An epoch begins [`EpochLength`] blocks after the one before. Then the rosters of the lane's models are frozen, one after the other, and when all
//! are, a seed is taken that nobody could know before. So what anybody does about stake, models or endpoints moves no seat of an epoch whose
//! seed is known. An epoch for which there was no time or no seed has no lane: its orders go the chain path.
//!
//! Invariants:
//! - a seed is there only when all snapshots of its epoch are;
//! - snapshots name nobody twice, and their weights grow from seat to seat;
//! - nothing is kept of an epoch before `current - KEPT + 1`, once it is cleared.

use crate::{
    endpoints, BalanceOf, Config, CurrentEpoch, EpochLength, Epochs, Error, Event, Freezing, LaneModels,
    NextChannel, Pallet, Snapshots,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
    ensure, traits::Randomness, BoundedVec, CloneNoBound, DebugNoBound, EqNoBound, PartialEqNoBound,
};
use frame_system::pallet_prelude::BlockNumberFor;
use pallet_proof_of_quality::{lane, ModelId, Parameters};
use poq_primitives::{
    commitment::Hash32,
    express::{Epoch, Seat},
};
use scale_info::TypeInfo;
use sp_runtime::{
    traits::{Get, Saturating},
    DispatchResult,
};

/// Epochs of which snapshots, seeds and names are kept: the current one and those before it. Orders of the last two settle; of the third
/// proofs are still heard.
pub const KEPT: Epoch = 3;

const SEED_SUBJECT: &[u8] = b"poq/express/epoch";

/// An epoch.
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
pub struct EpochInfo<T: Config> {
    /// Its first block.
    pub start: BlockNumberFor<T>,
    /// The block since which all its snapshots are frozen.
    pub frozen: Option<BlockNumberFor<T>>,
    /// The seed of its draws, younger than the snapshots.
    pub seed: Option<Hash32>,
    /// The economic parameters under which its orders are settled.
    pub parameters: Parameters<BalanceOf<T>, BlockNumberFor<T>>,
}

/// The operators that can be drawn for a model in an epoch, with the sums of their weights.
pub type SnapshotOf<T> = BoundedVec<
    Seat<<T as frame_system::Config>::AccountId>,
    <T as pallet_proof_of_quality::Config>::MaxOperatorsPerModel,
>;

/// Number of the current epoch; 0 before the first.
pub(crate) fn current<T: Config>() -> Epoch {
    CurrentEpoch::<T>::get()
}

/// Fewest blocks of an epoch: one for the snapshots, one for a seed, one for orders.
const LEAST_BLOCKS: u32 = 3;

/// The lane at genesis.
///
/// # Panics
///
/// On a model that is not known or one too many, and on an epoch that is too short or too long: of such a genesis there is no chain.
#[allow(clippy::expect_used, reason = "a genesis that does not hold must not become a chain")]
pub(crate) fn build<T: Config>(models: &[ModelId], blocks: Option<BlockNumberFor<T>>) {
    models.iter().for_each(|model| open_model::<T>(*model).expect("the models of the lane are known"));
    if let Some(blocks) = blocks {
        assert!(blocks >= LEAST_BLOCKS.into(), "an epoch of the lane has at least 3 blocks");
        assert!(blocks <= T::EpochBlocks::get(), "an epoch of the lane has at most EpochBlocks");
        EpochLength::<T>::put(blocks);
    }
}

/// Blocks of an epoch.
pub(crate) fn length<T: Config>() -> BlockNumberFor<T> {
    EpochLength::<T>::get()
}

/// Whether orders of this epoch still settle: of the current one and of the one before.
pub(crate) fn settles<T: Config>(epoch: Epoch) -> bool {
    let now = current::<T>();
    epoch <= now && now.saturating_sub(epoch) <= 1
}

/// Whether it is the second half of the epoch after this one.
pub(crate) fn is_late_for<T: Config>(epoch: Epoch) -> bool {
    let now = frame_system::Pallet::<T>::block_number();
    let next = Epochs::<T>::get(epoch.saturating_add(1));
    next.is_some_and(|next| {
        let since = now.saturating_sub(next.start);
        since.saturating_add(since) >= length::<T>()
    })
}

/// Whether proofs about orders of this epoch are still heard.
pub(crate) fn is_kept<T: Config>(epoch: Epoch) -> bool {
    let now = current::<T>();
    epoch <= now && now.saturating_sub(epoch) < KEPT
}

/// Opens the lane for a model.
pub(crate) fn open_model<T: Config>(model: ModelId) -> DispatchResult {
    ensure!(lane::kind_of::<T>(&model).is_some(), Error::<T>::UnknownModel);
    LaneModels::<T>::try_mutate(|models| {
        let is_new = models.try_insert(model).map_err(|_| Error::<T>::TooManyModels)?;
        ensure!(is_new, Error::<T>::ModelOnLane);
        Ok::<_, Error<T>>(())
    })?;
    Pallet::<T>::deposit_event(Event::ModelOpened { model });
    Ok(())
}

/// Closes it. Snapshots that are frozen stay.
pub(crate) fn close_model<T: Config>(model: ModelId) -> DispatchResult {
    let was_there = LaneModels::<T>::mutate(|models| models.remove(&model));
    ensure!(was_there, Error::<T>::ModelNotOnLane);
    Pallet::<T>::deposit_event(Event::ModelClosed { model });
    Ok(())
}

/// Begins the next epoch if it is time. The lane sleeps until it has a model, or a channel whose deposit has to come back some time.
pub(crate) fn begin_if_due<T: Config>(now: BlockNumberFor<T>) -> bool {
    let epoch = current::<T>();
    let is_due = Epochs::<T>::get(epoch).is_none_or(|info| now >= info.start.saturating_add(length::<T>()));
    let models = LaneModels::<T>::get();
    let is_asleep = epoch == 0 && models.is_empty() && NextChannel::<T>::get() == 0;
    if !is_due || is_asleep {
        return false;
    }
    // From 1 on, so that there is none before the first.
    let epoch = epoch.saturating_add(1);
    let parameters = lane::parameters::<T>();
    CurrentEpoch::<T>::put(epoch);
    Epochs::<T>::insert(epoch, EpochInfo { start: now, frozen: None, seed: None, parameters });
    let models: Vec<ModelId> = models.into_iter().collect();
    Freezing::<T>::put(BoundedVec::truncate_from(models));
    Pallet::<T>::deposit_event(Event::EpochBegan { epoch });
    true
}

/// Freezes the roster of the next model of the current epoch, if one is left.
pub(crate) fn freeze_next<T: Config>(now: BlockNumberFor<T>) -> bool {
    let mut left = Freezing::<T>::get();
    let epoch = current::<T>();
    let Some(model) = left.pop() else { return false };
    let seats = seats::<T>(&model);
    if seats.len() >= T::MinEndpoints::get() as usize {
        Snapshots::<T>::insert(epoch, model, seats);
    }
    if left.is_empty() {
        Freezing::<T>::kill();
        Epochs::<T>::mutate_extant(epoch, |info| info.frozen = Some(now));
    } else {
        Freezing::<T>::put(left);
    }
    true
}

/// Whether a roster waits to be frozen.
pub(crate) fn is_freezing<T: Config>() -> bool {
    Freezing::<T>::decode_len().is_some_and(|left| left > 0)
}

fn seats<T: Config>(model: &ModelId) -> SnapshotOf<T> {
    let mut until = 0u64;
    let mut seats = Vec::new();
    for drawable in lane::drawable::<T>(model) {
        let Some(key) = endpoints::key_of::<T>(&drawable.operator) else { continue };
        // Stake is capped, so the sum of a roster is far from the end of its type.
        until = until.saturating_add(drawable.weight.max(1));
        seats.push(Seat { operator: drawable.operator, key, until, vote: drawable.vote });
    }
    BoundedVec::truncate_from(seats)
}

/// Takes a seed for the current epoch, if its snapshots are frozen and there is one that was unknown then.
pub(crate) fn seed_if_there<T: Config>() -> bool {
    let epoch = current::<T>();
    let Some(info) = Epochs::<T>::get(epoch) else { return false };
    let (Some(frozen), None) = (info.frozen, info.seed) else { return false };
    let subject = (SEED_SUBJECT, epoch).encode();
    let (Some(seed), known_since) = T::Randomness::random(&subject) else { return false };
    if known_since <= frozen {
        return false;
    }
    put_seed::<T>(epoch, info, (SEED_SUBJECT, epoch, seed).using_encoded(sp_io::hashing::blake2_256));
    true
}

/// Stores the seed of an epoch whose snapshots are frozen.
pub(crate) fn put_seed<T: Config>(epoch: Epoch, mut info: EpochInfo<T>, seed: Hash32) {
    info.seed = Some(seed);
    Epochs::<T>::insert(epoch, info);
    Pallet::<T>::deposit_event(Event::EpochSeeded { epoch, seed });
}

/// Forgets an epoch; `false` if more of its snapshots are left than one step takes.
pub(crate) fn forget<T: Config>(epoch: Epoch, most: u32) -> bool {
    Epochs::<T>::remove(epoch);
    Snapshots::<T>::clear_prefix(epoch, most, None).maybe_cursor.is_none()
}

/// The invariants.
pub(crate) fn check<T: Config>() -> Result<(), &'static str> {
    let now = current::<T>();
    for (epoch, info) in Epochs::<T>::iter() {
        ensure!(epoch <= now, "an epoch is in the future");
        ensure!(info.seed.is_none() || info.frozen.is_some(), "an epoch has a seed before its snapshots");
        ensure!(info.frozen.is_none() || epoch < now || !is_freezing::<T>(), "a frozen epoch is freezing");
    }
    for (epoch, _, seats) in Snapshots::<T>::iter() {
        ensure!(epoch <= now, "a snapshot is of the future");
        let mut before = 0;
        for (place, seat) in seats.iter().enumerate() {
            ensure!(seat.until > before, "a snapshot does not grow from seat to seat");
            before = seat.until;
            let mut earlier = seats.iter().take(place);
            let is_new = earlier.all(|other| other.operator != seat.operator && other.key != seat.key);
            ensure!(is_new, "a snapshot names somebody twice");
        }
    }
    Ok(())
}
