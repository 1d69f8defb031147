//! The worker key type, and the records that driver, node and operator share in the node's off-chain database.

use crate::commitment::Hash32;
use alloc::{string::String, vec::Vec};
use codec::{Decode, DecodeWithMemTracking, Encode};
use core::fmt;

/// The four bytes under which worker keys (sr25519) stand in a node's keystore: `poq!`.
pub const WORKER_KEY_TYPE: [u8; 4] = *b"poq!";

/// Key of the off-chain database (persistent) under which a node writes the SCALE-encoded [`EngineEndpoint`].
///
/// `poq-node` writes it when its engine is up; an operator of a stock node writes it with the RPC `offchain_localStorageSet`.
pub const ENGINE_ENDPOINT_KEY: &[u8] = b"poq/engine";

/// Key of the off-chain database (persistent) under which an operator may write a SCALE-encoded `u32`: how many blocks old
/// a duty must be before the driver starts its job. Deeper wastes less work on re-orgs and costs latency.
pub const DEPTH_KEY: &[u8] = b"poq/depth";

/// Key of the off-chain database (persistent) that holds the node's 32-byte salt secret. Never leaves the node.
pub const SALT_SECRET_KEY: &[u8] = b"poq/salt-secret";

/// Key of the off-chain database (persistent) under which the driver keeps the SCALE-encoded [`InFlight`] of a worker key.
pub fn in_flight_key(worker: &impl Encode) -> Vec<u8> {
    let mut key = b"poq/in-flight/".to_vec();
    worker.encode_to(&mut key);
    key
}

/// The latest report of a worker key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking)]
pub struct InFlight<Nonce, BlockNumber> {
    /// Nonce of its transaction.
    pub nonce: Nonce,
    /// The best block when it was sent.
    pub sent: BlockNumber,
    /// Hash of its reports.
    pub digest: Hash32,
}

/// The engine's address, and its token for `Authorization: Bearer …`.
#[derive(Clone, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking)]
pub struct EngineEndpoint {
    /// Base address without a trailing slash, for example `http://127.0.0.1:9955`.
    pub url: String,
    /// Bearer token. Never logged.
    pub token: String,
}

impl fmt::Debug for EngineEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineEndpoint").field("url", &self.url).field("token", &"<hidden>").finish()
    }
}
