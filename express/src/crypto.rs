//! Keys of the express lane: signatures and VRFs of sr25519, and salts.

use codec::{Decode, Encode};
use poq_primitives::{
    commitment::{Hash32, Salt},
    express::{
        draw::{vrf_input, VRF_LABEL},
        Digest, Key, OrderName, Signature, Verify, VrfOutput,
    },
};
use sp_core::{
    crypto::{VrfPublic, VrfSecret},
    sr25519::{
        self,
        vrf::{VrfSignData, VrfSignature, VrfTranscript},
    },
    Pair,
};

const SALT_TAG: &[u8] = b"poq/express/salt/1";

/// Output of a VRF, with the proof that it is the output of this key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Vrf {
    /// The output, of which there is one for each key and input.
    pub output: VrfOutput,
    /// Its proof. Two proofs of one output may differ.
    pub proof: [u8; 64],
}

/// One party's key, and the checks of everybody's statements.
///
/// A trait, so that the simulator can run thousands of orders without elliptic curves. Everything else uses [`Sr25519`].
pub trait Crypto: Verify + Clone {
    /// The public key.
    fn key(&self) -> Key;

    /// Signs a digest of `poq_primitives::express`.
    fn sign(&self, digest: &Digest) -> Signature;

    /// Evaluates the VRF of this key. `domain` is one of those in `poq_primitives::express::draw`.
    fn vrf(&self, domain: &[u8], genesis: &Hash32, name: &OrderName) -> Vrf;

    /// Whether `vrf` is the output of the VRF of `key`.
    fn verify_vrf(&self, key: &Key, domain: &[u8], genesis: &Hash32, name: &OrderName, vrf: &Vrf) -> bool;

    /// The salt of a commitment to `payload`. Derived from a secret, so that it is the same after a restart; from the payload as well,
    /// so that no salt serves two commitments.
    fn salt(&self, payload: &[u8]) -> Salt;
}

/// A pair of sr25519 keys with the secret that salts are derived from.
#[derive(Clone)]
pub struct Sr25519 {
    pair: sr25519::Pair,
    salts: [u8; 32],
}

impl Sr25519 {
    /// With a pair of keys, and a secret of its own for salts.
    pub fn new(pair: sr25519::Pair, salts: [u8; 32]) -> Self {
        Self { pair, salts }
    }
}

fn transcript(domain: &[u8], genesis: &Hash32, name: &OrderName) -> VrfSignData {
    VrfTranscript::new(VRF_LABEL, &[(b"input", &vrf_input(domain, genesis, name))]).into_sign_data()
}

impl Verify for Sr25519 {
    fn verify(&self, key: &Key, digest: &Digest, signature: &Signature) -> bool {
        let (key, signature) = (sr25519::Public::from(*key), sr25519::Signature::from(*signature));
        sr25519::Pair::verify(&signature, digest.0, &key)
    }
}

impl Crypto for Sr25519 {
    fn key(&self) -> Key {
        self.pair.public().0
    }

    fn sign(&self, digest: &Digest) -> Signature {
        self.pair.sign(&digest.0).0
    }

    fn vrf(&self, domain: &[u8], genesis: &Hash32, name: &OrderName) -> Vrf {
        let signature = self.pair.vrf_sign(&transcript(domain, genesis, name));
        Vrf { output: *signature.pre_output.0.as_bytes(), proof: signature.proof.0.to_bytes() }
    }

    fn verify_vrf(&self, key: &Key, domain: &[u8], genesis: &Hash32, name: &OrderName, vrf: &Vrf) -> bool {
        let Ok(signature) = VrfSignature::decode(&mut &vrf.encode()[..]) else { return false };
        sr25519::Public::from(*key).vrf_verify(&transcript(domain, genesis, name), &signature)
    }

    fn salt(&self, payload: &[u8]) -> Salt {
        sp_crypto_hashing::blake2_256(&(SALT_TAG, self.salts, payload).encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poq_primitives::express::draw::{ANSWER_VRF, SCORE_VRF};

    fn key(seed: u8) -> Sr25519 {
        Sr25519::new(sr25519::Pair::from_seed(&[seed; 32]), [seed; 32])
    }

    #[test]
    fn a_vrf_is_its_keys_inputs_and_chains() {
        let (genesis, name) = ([1; 32], OrderName { channel: 1, epoch: 2, index: 3 });
        let (mine, other) = (key(1), key(2));
        let vrf = mine.vrf(ANSWER_VRF, &genesis, &name);
        assert!(other.verify_vrf(&mine.key(), ANSWER_VRF, &genesis, &name, &vrf));
        assert_eq!(vrf.output, mine.vrf(ANSWER_VRF, &genesis, &name).output, "unique");
        assert!(!other.verify_vrf(&other.key(), ANSWER_VRF, &genesis, &name, &vrf));
        assert!(!other.verify_vrf(&mine.key(), SCORE_VRF, &genesis, &name, &vrf));
        assert!(!other.verify_vrf(&mine.key(), ANSWER_VRF, &[2; 32], &name, &vrf));
        assert!(!other.verify_vrf(&mine.key(), ANSWER_VRF, &genesis, &OrderName { index: 4, ..name }, &vrf));
        for byte in [0, 31] {
            let mut forged = vrf.clone();
            forged.output[byte] ^= 1;
            assert!(!other.verify_vrf(&mine.key(), ANSWER_VRF, &genesis, &name, &forged));
        }
        let garbage = Vrf { output: [255; 32], proof: [255; 64] };
        assert!(!other.verify_vrf(&mine.key(), ANSWER_VRF, &genesis, &name, &garbage));
    }

    #[test]
    fn a_signature_is_its_keys_and_digests() {
        let mine = key(1);
        let signature = mine.sign(&Digest([7; 32]));
        assert!(mine.verify(&mine.key(), &Digest([7; 32]), &signature));
        assert!(!mine.verify(&mine.key(), &Digest([8; 32]), &signature));
        assert!(!mine.verify(&key(2).key(), &Digest([7; 32]), &signature));
        assert!(!mine.verify(&[255; 32], &Digest([7; 32]), &[255; 64]));
    }

    #[test]
    fn salts_differ_by_payload_and_secret() {
        assert_eq!(key(1).salt(b"a"), key(1).salt(b"a"));
        assert_ne!(key(1).salt(b"a"), key(1).salt(b"b"));
        assert_ne!(key(1).salt(b"a"), key(2).salt(b"a"));
    }
}
