//! The driver's records in the node's off-chain storage. They survive a restart and are not part of the chain.

use super::{LOG_TARGET, RESEND_AFTER};
use crate::Config;
use frame_system::pallet_prelude::BlockNumberFor;
use poq_primitives::{
    commitment::Hash32,
    keys::{in_flight_key, EngineEndpoint, InFlight, DEPTH_KEY, ENGINE_ENDPOINT_KEY, SALT_SECRET_KEY},
};
use sp_runtime::{
    offchain::storage::{MutateStorageError, StorageRetrievalError, StorageValueRef},
    traits::Saturating,
};

/// Key of the lock that keeps runs from overlapping.
pub const LOCK_KEY: &[u8] = b"poq/lock";

/// The engine's address and token; `None` if none was set.
pub fn endpoint() -> Option<EngineEndpoint> {
    match StorageValueRef::persistent(ENGINE_ENDPOINT_KEY).get() {
        Ok(endpoint) => endpoint,
        Err(StorageRetrievalError::Undecodable) => {
            log::warn!(target: LOG_TARGET, "the engine's endpoint in the off-chain storage is not readable");
            None
        }
    }
}

/// Age in blocks that a duty must have before its job is started, if the operator has set one.
pub fn depth() -> Option<u32> {
    StorageValueRef::persistent(DEPTH_KEY).get().ok().flatten()
}

/// The secret from which this node's salts are made; made up the first time.
pub fn salt_secret() -> Option<[u8; 32]> {
    let made = StorageValueRef::persistent(SALT_SECRET_KEY).mutate(
        |secret: Result<Option<[u8; 32]>, StorageRetrievalError>| match secret {
            Ok(Some(secret)) => Ok(secret),
            Ok(None) => Ok(sp_io::offchain::random_seed()),
            // Never overwrite what cannot be read: commitments may depend on it.
            Err(error) => Err(error),
        },
    );
    match made {
        Ok(secret) => Some(secret),
        Err(MutateStorageError::ConcurrentModification(_)) => None,
        Err(MutateStorageError::ValueFunctionFailed(_)) => {
            log::error!(target: LOG_TARGET, "the salt secret in the off-chain storage is not readable: no work is reported");
            None
        }
    }
}

/// Whether reports of this worker key are on their way: sent less than [`RESEND_AFTER`] blocks ago and their nonce not used
/// yet. What was sent for another block of the same height counts only if it was the same, of which `digest` is the hash.
pub fn is_in_flight<T: Config>(worker: &T::AccountId, now: BlockNumberFor<T>, digest: &Hash32) -> bool {
    let key = in_flight_key(worker);
    match StorageValueRef::persistent(&key).get::<InFlight<T::Nonce, BlockNumberFor<T>>>() {
        Ok(Some(report)) => {
            let unused = frame_system::Pallet::<T>::account_nonce(worker) == report.nonce;
            // A re-org may take the chain to before the report was sent: then nothing is known of it.
            let recent = report.sent <= now && now.saturating_sub(report.sent) < RESEND_AFTER.into();
            unused && recent && (report.sent < now || report.digest == *digest)
        }
        _ => false,
    }
}

/// Remembers that reports with this hash were sent with this nonce in block `now`.
pub fn set_in_flight<T: Config>(
    worker: &T::AccountId,
    nonce: T::Nonce,
    now: BlockNumberFor<T>,
    digest: &Hash32,
) {
    let key = in_flight_key(worker);
    StorageValueRef::persistent(&key).set(&InFlight { nonce, sent: now, digest: *digest });
}
