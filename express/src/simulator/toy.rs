//! Keys without elliptic curves, for thousands of runs. Anybody could forge them; the simulator's bad parties do not.

use crate::crypto::{Crypto, Vrf};
use codec::Encode;
use poq_primitives::{
    commitment::{Hash32, Salt},
    express::{draw::vrf_input, Digest, Key, OrderName, Signature, Verify},
};
use sp_crypto_hashing::{blake2_256, blake2_512};

/// A key that signs by hashing. Two signatures of one statement are equal, so that they tell statements apart.
#[derive(Clone, Debug)]
pub struct Toy {
    key: Key,
}

impl Toy {
    /// The key of this number.
    pub fn new(number: u64) -> Self {
        Self { key: blake2_256(&(b"toy", number).encode()) }
    }
}

fn vrf(key: &Key, domain: &[u8], genesis: &Hash32, name: &OrderName) -> Vrf {
    let output = blake2_256(&(key, vrf_input(domain, genesis, name)).encode());
    Vrf { output, proof: blake2_512(&output) }
}

impl Verify for Toy {
    fn verify(&self, key: &Key, digest: &Digest, signature: &Signature) -> bool {
        blake2_512(&(key, digest).encode()) == *signature
    }
}

impl Crypto for Toy {
    fn key(&self) -> Key {
        self.key
    }

    fn sign(&self, digest: &Digest) -> Signature {
        blake2_512(&(self.key, digest).encode())
    }

    fn vrf(&self, domain: &[u8], genesis: &Hash32, name: &OrderName) -> Vrf {
        vrf(&self.key, domain, genesis, name)
    }

    fn verify_vrf(&self, key: &Key, domain: &[u8], genesis: &Hash32, name: &OrderName, claim: &Vrf) -> bool {
        vrf(key, domain, genesis, name) == *claim
    }

    fn salt(&self, payload: &[u8]) -> Salt {
        blake2_256(&(b"salt", self.key, payload).encode())
    }
}
