//! Commitments: hashes that fix an output or a vector of scores before it is shown. (Construction: ours.)
//!
//! Every commitment is `blake2_256` of the SCALE encoding of a domain tag, the genesis hash, the request, the operator's
//! account, the payload and a 32-byte salt. So it cannot be copied (the account differs), replayed on another chain or
//! request (genesis and id differ), nor guessed (the salt is secret until the reveal).

use alloc::vec::Vec;
use codec::Encode;
use sp_arithmetic::Permill;
use sp_crypto_hashing::blake2_256;

/// A 32-byte hash.
pub type Hash32 = [u8; 32];

/// A 32-byte salt.
pub type Salt = [u8; 32];

const OUTPUT_TAG: &[u8] = b"poq/output/1";
const SCORES_TAG: &[u8] = b"poq/scores/1";
const AUDIT_TAG: &[u8] = b"poq/audit/1";
const SALT_TAG: &[u8] = b"poq/salt/1";
const WORKER_TAG: &[u8] = b"poq/worker/1";

/// Context that a commitment is bound to besides its payload and salt.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a, AccountId> {
    /// Hash of the chain's genesis block.
    pub genesis: &'a Hash32,
    /// The request's id.
    pub request: u64,
    /// The operator's account (not its worker key, so that a worker key can be rotated between commit and reveal).
    pub operator: &'a AccountId,
}

impl<AccountId: Encode> Binding<'_, AccountId> {
    /// The commitment to an output: the bytes of the answer's text.
    pub fn output(&self, output: &[u8], salt: &Salt) -> Hash32 {
        self.hash(OUTPUT_TAG, output, salt)
    }

    /// The commitment to a vector of scores: one score for each opened response, in the order of the responses.
    pub fn scores(&self, scores: &[Permill], salt: &Salt) -> Hash32 {
        self.hash(SCORES_TAG, &scores.encode(), salt)
    }

    /// The salt that a node uses for `payload`, derived from its `secret` so that a reveal works after a restart.
    ///
    /// The payload takes part because two forks may hold different requests under one id: a salt that was revealed on one
    /// fork must not help to guess a commitment on the other.
    pub fn salt(&self, secret: &[u8; 32], payload: &[u8]) -> Salt {
        self.hash(SALT_TAG, payload, secret)
    }

    fn hash(&self, tag: &[u8], payload: &[u8], salt: &[u8; 32]) -> Hash32 {
        let mut bytes = Vec::with_capacity(payload.len().saturating_add(160));
        tag.encode_to(&mut bytes);
        self.genesis.encode_to(&mut bytes);
        self.request.encode_to(&mut bytes);
        self.operator.encode_to(&mut bytes);
        payload.encode_to(&mut bytes);
        salt.encode_to(&mut bytes);
        blake2_256(&bytes)
    }
}

/// The commitment of a known-answer audit to its answer key, which a request carries where an ordinary one carries random
/// bytes. Bound to the requester and the prompt, because the request has no id yet when it is made.
///
/// `key` is what the pallet calls `AnswerKey`: reference answer, and what right and wrong responses deserve.
pub fn answer_key<AccountId: Encode>(
    genesis: &Hash32,
    requester: &AccountId,
    prompt: &[u8],
    key: &impl Encode,
    salt: &Salt,
) -> Hash32 {
    blake2_256(&(AUDIT_TAG, genesis, requester, prompt, key, salt).encode())
}

/// The message that a worker key signs to agree to work for `operator` on the chain with this `genesis`.
pub fn worker_consent<AccountId: Encode>(genesis: &Hash32, operator: &AccountId) -> Hash32 {
    blake2_256(&(WORKER_TAG, genesis, operator).encode())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_commitment_counts() {
        let salt = [7u8; 32];
        let base = Binding { genesis: &[1; 32], request: 1, operator: &5u64 };
        let commitment = base.output(b"Lima.", &salt);
        assert_eq!(commitment, base.output(b"Lima.", &salt));
        assert_ne!(commitment, base.output(b"Lima", &salt));
        assert_ne!(commitment, base.output(b"Lima.", &[8; 32]));
        assert_ne!(commitment, Binding { genesis: &[2; 32], ..base }.output(b"Lima.", &salt));
        assert_ne!(commitment, Binding { request: 2, ..base }.output(b"Lima.", &salt));
        assert_ne!(commitment, Binding { operator: &6u64, ..base }.output(b"Lima.", &salt));
    }

    #[test]
    fn an_output_never_equals_scores() {
        let base = Binding { genesis: &[1; 32], request: 1, operator: &5u64 };
        let scores = [Permill::from_percent(50)];
        assert_ne!(base.output(&scores.encode(), &[0; 32]), base.scores(&scores, &[0; 32]));
    }

    #[test]
    fn every_part_of_an_answer_key_counts() {
        let base = answer_key(&[1; 32], &5u64, b"capital of Peru?", &b"Lima", &[7; 32]);
        assert_eq!(base, answer_key(&[1; 32], &5u64, b"capital of Peru?", &b"Lima", &[7; 32]));
        assert_ne!(base, answer_key(&[2; 32], &5u64, b"capital of Peru?", &b"Lima", &[7; 32]));
        assert_ne!(base, answer_key(&[1; 32], &6u64, b"capital of Peru?", &b"Lima", &[7; 32]));
        assert_ne!(base, answer_key(&[1; 32], &5u64, b"capital of Chile?", &b"Lima", &[7; 32]));
        assert_ne!(base, answer_key(&[1; 32], &5u64, b"capital of Peru?", &b"Quito", &[7; 32]));
        assert_ne!(base, answer_key(&[1; 32], &5u64, b"capital of Peru?", &b"Lima", &[8; 32]));
    }

    #[test]
    fn salts_differ_by_payload() {
        let base = Binding { genesis: &[1; 32], request: 1, operator: &5u64 };
        assert_ne!(base.salt(&[9; 32], b"a"), base.salt(&[9; 32], b"b"));
    }
}
