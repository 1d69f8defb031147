//! What responders and members sign.

use super::{Key, OrderName, Signature, VrfOutput};
use crate::commitment::{Hash32, Salt};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_arithmetic::Permill;
use sp_crypto_hashing::blake2_256;

const ENDPOINT_TAG: &[u8] = b"poq/express/endpoint/1";
const OUTPUT_TAG: &[u8] = b"poq/express/output/1";
const ANSWER_TAG: &[u8] = b"poq/express/answer/1";
const BUSY_TAG: &[u8] = b"poq/express/busy/1";
const SHOW_TAG: &[u8] = b"poq/express/show/1";
const ANSWERS_TAG: &[u8] = b"poq/express/answers/1";
const SCORES_TAG: &[u8] = b"poq/express/scores/1";
const COMMIT_TAG: &[u8] = b"poq/express/commit/1";
const SET_TAG: &[u8] = b"poq/express/set/1";
const PROPOSAL_TAG: &[u8] = b"poq/express/proposal/1";
const REVEAL_TAG: &[u8] = b"poq/express/reveal/1";

/// A hash that binds a statement to its kind, to a chain and to all that the statement is about.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub struct Digest(pub Hash32);

/// A hash that fixes an output or scores before they are shown.
pub type Commitment = Hash32;

/// The answers of an order as its committee saw them: of each responder, in the order of the draw, its commitment and whether it showed
/// an output that matches; `None` of a responder that did not commit. Members score those that were shown, in this order.
pub type Answers = [Option<(Commitment, bool)>];

/// The members whose scores count, by their places in the committee's draw, each with its commitment.
pub type MemberSet = [(u8, Commitment)];

/// Checks signatures: the pallet by the host's function, a process by a library.
pub trait Verify {
    /// Whether this is a signature of `digest` by `key`.
    fn verify(&self, key: &Key, digest: &Digest, signature: &Signature) -> bool;
}

pub(crate) fn digest(tag: &[u8], genesis: &Hash32, body: &impl Encode) -> Digest {
    Digest((tag, genesis, body).using_encoded(blake2_256))
}

/// What an express key signs to agree to act for `operator` on the chain with this `genesis`.
pub fn endpoint_consent(genesis: &Hash32, operator: &impl Encode) -> Digest {
    digest(ENDPOINT_TAG, genesis, operator)
}

/// The commitment of the operator with this express key to its output.
pub fn output_commitment(
    genesis: &Hash32,
    name: &OrderName,
    key: &Key,
    output: &[u8],
    salt: &Salt,
) -> Commitment {
    digest(OUTPUT_TAG, genesis, &(name, key, output, salt)).0
}

/// What a responder signs: it has answered this order with this output, and its VRF gave this.
pub fn answer(genesis: &Hash32, order: &Digest, key: &Key, output: &Commitment, vrf: &VrfOutput) -> Digest {
    digest(ANSWER_TAG, genesis, &(order, key, output, vrf))
}

/// What a picked operator signs that has no room: the next pick takes its place.
pub fn busy(genesis: &Hash32, order: &Digest, key: &Key) -> Digest {
    digest(BUSY_TAG, genesis, &(order, key))
}

/// All who answered an order, in the order of the draw: of each its place there, its commitment and its VRF's output.
pub type Answered = [(u8, Commitment, VrfOutput)];

/// What a responder signs when it shows its output: these are all who answered. It signs this once in an order. A member scores only
/// outputs that were shown for the very answers that drew it, so that nobody gets several committees out of one set of answers, by
/// leaving out some of them.
pub fn show(genesis: &Hash32, order: &Digest, key: &Key, answered: &Answered) -> Digest {
    digest(SHOW_TAG, genesis, &(order, key, answered))
}

/// The name of these answers, which all that members sign contains.
pub fn answers(genesis: &Hash32, order: &Digest, answers: &Answers) -> Digest {
    digest(ANSWERS_TAG, genesis, &(order, answers))
}

/// The commitment of the member with this express key to its scores, one for each answer that was shown.
pub fn score_commitment(
    genesis: &Hash32,
    answers: &Digest,
    key: &Key,
    scores: &[Permill],
    salt: &Salt,
) -> Commitment {
    digest(SCORES_TAG, genesis, &(answers, key, scores, salt)).0
}

/// What a member signs first: it is committed to its scores.
pub fn commit(genesis: &Hash32, answers: &Digest, key: &Key, commitment: &Commitment) -> Digest {
    digest(COMMIT_TAG, genesis, &(answers, key, commitment))
}

/// The name of a set of members. A reveal is made under one set.
pub fn set(genesis: &Hash32, answers: &Digest, set: &MemberSet) -> Digest {
    digest(SET_TAG, genesis, &(answers, set))
}

/// What a member signs that proposes a set because some commitments are missing.
pub fn proposal(genesis: &Hash32, set: &Digest, key: &Key) -> Digest {
    digest(PROPOSAL_TAG, genesis, &(set, key))
}

/// What a member signs last: its scores, under this set.
pub fn reveal(genesis: &Hash32, set: &Digest, key: &Key, scores: &[Permill], salt: &Salt) -> Digest {
    digest(REVEAL_TAG, genesis, &(set, key, scores, salt))
}
