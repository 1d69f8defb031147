//! `--dev`: one node with the worker keys of all seven operators of the demo.

use poq_primitives::keys::WORKER_KEY_TYPE;
use poq_runtime::demo::{Operator, OPERATORS};
use sc_service::error::Error as ServiceError;
use sp_core::crypto::KeyTypeId;
use sp_keystore::KeystorePtr;
use std::net::SocketAddr;

/// RPC port that `poq` takes by default.
const USUAL_PORT: u16 = 9_944;

/// Puts the worker keys of the demo's operators into the keystore, for as long as the node runs.
pub fn insert_worker_keys(keystore: &KeystorePtr) -> Result<(), ServiceError> {
    for index in 0..OPERATORS.len() {
        keystore
            .sr25519_generate_new(KeyTypeId(WORKER_KEY_TYPE), Some(&Operator::worker_uri(index)))
            .map_err(|error| ServiceError::Other(format!("cannot insert worker key {index}: {error}")))?;
    }
    Ok(())
}

/// Logs the command to try next. `address` is that of the RPC port.
pub fn greet(address: Option<&SocketAddr>) {
    log::info!(
        target: "poq",
        "A whole network in one process: an author, {} operators and their engine. Now, in another terminal: {}",
        OPERATORS.len(),
        command(address),
    );
}

/// A command that asks this node a question.
fn command(address: Option<&SocketAddr>) -> String {
    let url = address
        .filter(|address| address.port() != USUAL_PORT)
        .map(|address| format!("--url ws://{address} "));
    format!("poq {}ask \"What is the capital of Peru?\"", url.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_finds_the_node() {
        let command_at = |address: &str| command(Some(&address.parse().unwrap()));
        assert_eq!(command_at("127.0.0.1:9944"), "poq ask \"What is the capital of Peru?\"");
        let other = "poq --url ws://127.0.0.1:40123 ask \"What is the capital of Peru?\"";
        assert_eq!(command_at("127.0.0.1:40123"), other);
    }
}
