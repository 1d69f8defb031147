//! What `--dev` adds: this node plays all seven operators of the demo at once.

use poq_primitives::keys::WORKER_KEY_TYPE;
use poq_runtime::demo::{Operator, OPERATORS};
use sc_service::error::Error as ServiceError;
use sp_core::crypto::KeyTypeId;
use sp_keystore::KeystorePtr;

/// Puts the worker keys of the demo's operators into the keystore, for as long as the node runs.
pub fn insert_worker_keys(keystore: &KeystorePtr) -> Result<(), ServiceError> {
    for index in 0..OPERATORS.len() {
        keystore
            .sr25519_generate_new(KeyTypeId(WORKER_KEY_TYPE), Some(&Operator::worker_uri(index)))
            .map_err(|error| ServiceError::Other(format!("cannot insert worker key {index}: {error}")))?;
    }
    Ok(())
}

/// Says what to do next.
pub fn greet() {
    log::info!(
        target: "poq",
        "A whole network in one process: an author, {} operators and their engine. Now, in another terminal: poq ask \"What is the capital of Peru?\"",
        OPERATORS.len(),
    );
}
