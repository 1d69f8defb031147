//! The express lane: what its parties sign, how they are drawn, and what a settlement has to hold. Shared by the pallet that
//! settles orders and the processes that carry them out.
//!
//! An *order* is a request that is answered and scored off chain, in milliseconds; the chain sees a [`Certificate`] of it
//! afterwards. Its parties:
//!
//! | party | key | signs |
//! |---|---|---|
//! | requester | channel key | the order |
//! | responder, an inference node | express key of its operator | its answer's commitment, or that it is busy |
//! | member, a quality validator | express key of its operator | its commitment, at most one proposal, and one reveal |
//!
//! Every signature is sr25519 over [`Digest`]s: `blake2_256(tag, genesis, body)`, where the body names the order. So none of them
//! can be used on another chain, for another order or in another place.
//!
//! | module | content |
//! |---|---|
//! | [`order`] | orders and their names |
//! | [`messages`] | what responders and members sign |
//! | [`draw`] | who takes part, by seeds that come without a block |
//! | [`certificate`] | the proof of a finished order, and its check |
//! | [`equivocation`] | the proof that a key signed two statements of which it may sign one |

pub mod certificate;
pub mod draw;
pub mod equivocation;
pub mod messages;
pub mod order;

pub use certificate::{
    Answer, Certificate, Context, Fault, Opening, Outcome, ResponderPart, ScorerPart, Scores,
};
pub use draw::{committee_seed, pick, responder_seed, Seat, VrfOutput, SPARE_PICKS};
pub use equivocation::Equivocation;
pub use messages::{Answers, Commitment, Digest, MemberSet, Verify};
pub use order::{prompt_hash, second_draw_hash, ChannelId, Epoch, Order, OrderName};

/// An sr25519 public key.
pub type Key = [u8; 32];

/// An sr25519 signature.
pub type Signature = [u8; 64];

/// Reveals that make a certificate of a committee of `size`: more than two thirds.
///
/// Two sets of so many members have more than a third of the committee in common, and a member that reveals under two sets can be
/// proven to have done so.
pub fn quorum(size: usize) -> usize {
    (size.saturating_mul(2) / 3).saturating_add(1)
}
