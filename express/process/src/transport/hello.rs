//! The hello: how a caller proves its key for one connection.
//!
//! The caller signs `blake2_256(tag, genesis, body)` with its express key or its channel's key. The body names
//! - the certificate that the server has shown,
//! - a value that both sides export from the TLS session (RFC 8446, section 7.5), which no other connection has,
//! - the express key of the server that is meant,
//! - the caller.
//!
//! So a hello cannot be used on another connection, at another server, on another chain or for another caller. Who serves is proven the other
//! way round: the fingerprint of its certificate stands on chain beside its express key.

use codec::{Decode, Encode};
use poq_express::step::Peer;
use poq_primitives::{
    commitment::Hash32,
    express::{ChannelId, Digest, Key, Signature},
};
use rustls::ConnectionCommon;
use sp_crypto_hashing::blake2_256;

const TAG: &[u8] = b"poq/express/hello/1";

/// Label under which both sides export the session's value.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-poq-express-hello-1";

/// Most bytes of a hello.
pub const MOST_BYTES: usize = 256;

/// A party that opens a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Caller {
    /// The operator with this express key.
    Operator(Key),
    /// The requester of this channel.
    Requester(ChannelId),
}

impl From<Caller> for Peer {
    fn from(caller: Caller) -> Self {
        match caller {
            Caller::Operator(key) => Self::Operator(key),
            Caller::Requester(channel) => Self::Requester(channel),
        }
    }
}

/// The body of the first request on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// The caller.
    pub caller: Caller,
    /// Signature of [`Binding::digest`] by the caller's express key or its channel's key.
    pub signature: Signature,
}

/// What a hello is bound to. Both sides compute it by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Hash of the genesis block.
    pub genesis: Hash32,
    /// SHA-256 of the server's certificate.
    pub certificate: Hash32,
    /// The session's exported value.
    pub session: [u8; 32],
    /// The server's express key.
    pub server: Key,
}

impl Binding {
    /// The digest that the caller signs.
    pub fn digest(&self, caller: &Caller) -> Digest {
        let body = (self.certificate, self.session, self.server, caller);
        Digest(blake2_256(&(TAG, self.genesis, body).encode()))
    }
}

/// The value that only the two sides of this session know.
///
/// # Errors
/// The error of the TLS library: never, once the handshake is over.
pub fn session<Data>(connection: &ConnectionCommon<Data>) -> Result<[u8; 32], rustls::Error> {
    connection.export_keying_material([0; 32], EXPORTER_LABEL, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_binding_changes_the_digest() {
        let binding = Binding { genesis: [1; 32], certificate: [2; 32], session: [3; 32], server: [4; 32] };
        let caller = Caller::Operator([5; 32]);
        let digest = binding.digest(&caller);
        let others = [
            Binding { genesis: [0; 32], ..binding.clone() },
            Binding { certificate: [0; 32], ..binding.clone() },
            Binding { session: [0; 32], ..binding.clone() },
            Binding { server: [0; 32], ..binding.clone() },
        ];
        assert!(others.iter().all(|other| other.digest(&caller) != digest));
        assert_ne!(binding.digest(&Caller::Operator([6; 32])), digest);
        assert_ne!(binding.digest(&Caller::Requester(5)), digest);
    }
}
