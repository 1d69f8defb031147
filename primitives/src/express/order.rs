//! Orders: what a requester wants, and what it pays at most.

use super::{
    draw::VrfOutput,
    messages::{digest, Digest},
};
use crate::commitment::{Hash32, Salt};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_arithmetic::Permill;

/// Number of a channel: counts up from 0.
pub type ChannelId = u64;

/// Number of a span of blocks that has one set of snapshots and one seed.
pub type Epoch = u32;

const ORDER_TAG: &[u8] = b"poq/express/order/1";
const PROMPT_TAG: &[u8] = b"poq/express/prompt/1";
const SECOND_DRAW_TAG: &[u8] = b"poq/express/second-draw/1";

/// Name of an order. The draws depend on nothing else of an order, so a second order of the same name meets the same parties.
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
pub struct OrderName {
    /// The channel that pays.
    pub channel: ChannelId,
    /// The epoch whose snapshots and seed the draws use.
    pub epoch: Epoch,
    /// Counts the orders of a channel in an epoch, from 0.
    pub index: u32,
}

/// A request for an inference on the express lane. Signed by the channel's key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Order<Balance> {
    /// Its name.
    pub name: OrderName,
    /// The generator that answers, by the SHA-256 of its file.
    pub generator: Hash32,
    /// The evaluator that scores, by the SHA-256 of its manifest.
    pub evaluator: Hash32,
    /// Inference nodes wanted, at least 1.
    pub responders: u8,
    /// Quality validators wanted, at least 3.
    pub committee: u8,
    /// Most tokens of an answer.
    pub max_tokens: u32,
    /// Temperature in thousandths, 0 (greedy) to 2,000.
    pub temperature_milli: u32,
    /// Seed of the sampler.
    pub seed: u32,
    /// An answer with a lower consensus score earns the base part of its price only.
    pub min_quality: Permill,
    /// The most that the requester pays in all, fee included.
    pub budget: Balance,
    /// The prompt, see [`prompt_hash`].
    pub prompt: Hash32,
    /// Output of the channel's VRF that draws the responders, `v0`. Parties check its proof.
    pub first_draw: VrfOutput,
    /// Hash of the output that draws the committee, `v1`, see [`second_draw_hash`]. It is shown once all responders have committed. Fixed
    /// here, so that nobody can look for a committee to its liking when the responders' VRFs are known.
    pub second_draw: Hash32,
    /// 32 random bytes; in a known-answer audit, a commitment to the answer key ([`crate::commitment::answer_key`]).
    pub audit: Hash32,
}

impl<Balance: Encode> Order<Balance> {
    /// What the channel's key signs, and what everything else that is signed for this order names.
    pub fn digest(&self, genesis: &Hash32) -> Digest {
        digest(ORDER_TAG, genesis, self)
    }
}

/// The hash by which an order names its prompt. The salt keeps who sees the certificate from trying texts.
pub fn prompt_hash(genesis: &Hash32, name: &OrderName, prompt: &[u8], salt: &Salt) -> Hash32 {
    digest(PROMPT_TAG, genesis, &(name, prompt, salt)).0
}

/// The hash by which an order fixes the output `v1` of its second draw.
pub fn second_draw_hash(genesis: &Hash32, name: &OrderName, v1: &VrfOutput) -> Hash32 {
    digest(SECOND_DRAW_TAG, genesis, &(name, v1)).0
}
