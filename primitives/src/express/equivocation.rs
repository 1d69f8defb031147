//! Equivocation: one key, two statements of which it may sign one. Anybody who holds both can prove it to the chain.

use super::{
    messages::{self, Commitment, Digest, Verify},
    order::{Order, OrderName},
    Key, Signature, VrfOutput,
};
use crate::commitment::{Hash32, Salt};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;
use sp_arithmetic::Permill;

/// Two statements that exclude each other, with their signatures. Both are about the same order, or the same name. The order itself is in it,
/// so that a proof says how old it is and cannot be used again when the chain has forgotten it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum Equivocation<Balance> {
    /// Two orders under one name, signed by a channel's key.
    Orders([(Order<Balance>, Signature); 2]),
    /// Two answers of a responder to one order.
    Answers {
        /// The order.
        order: Order<Balance>,
        /// Output, VRF and signature of each.
        answers: [(Commitment, VrfOutput, Signature); 2],
    },
    /// Two commitments of a member in one order, to scores of the same answers or of others.
    Commits {
        /// The order.
        order: Order<Balance>,
        /// Answers, commitment and signature of each.
        commits: [(AnswerList, Commitment, Signature); 2],
    },
    /// Proposals of two sets by a member in one order.
    Proposals {
        /// The order.
        order: Order<Balance>,
        /// Answers, set and signature of each.
        proposals: [SignedSet; 2],
    },
    /// Reveals of a member under two sets in one order.
    Reveals {
        /// The order.
        order: Order<Balance>,
        /// Answers, set and signature of each, with the scores and the salt.
        reveals: [(SignedSet, Vec<Permill>, Salt); 2],
    },
}

/// Owned [`messages::Answers`].
pub type AnswerList = Vec<Option<(Commitment, bool)>>;

/// A set that a member signed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct SignedSet {
    /// The answers that the set scores.
    pub answers: AnswerList,
    /// Its members.
    pub set: Vec<(u8, Commitment)>,
    /// The signature.
    pub signature: Signature,
}

impl SignedSet {
    fn digest(&self, genesis: &Hash32, order: &Digest) -> Digest {
        messages::set(genesis, &messages::answers(genesis, order, &self.answers), &self.set)
    }
}

impl<Balance: Encode + PartialEq> Equivocation<Balance> {
    /// Name of the order that this is about.
    pub fn name(&self) -> OrderName {
        match self {
            Self::Orders([(first, _), _]) => first.name,
            Self::Answers { order, .. }
            | Self::Commits { order, .. }
            | Self::Proposals { order, .. }
            | Self::Reveals { order, .. } => order.name,
        }
    }

    /// Whether this proves that `key` signed two statements of which it may sign one.
    pub fn is_proof(&self, genesis: &Hash32, key: &Key, verify: &impl Verify) -> bool {
        let signed = |statements: [(Digest, &Signature); 2]| {
            let [(first, _), (second, _)] = &statements;
            let differ = first != second;
            differ && statements.iter().all(|(digest, signature)| verify.verify(key, digest, signature))
        };
        let order = match self {
            Self::Orders([(order, _), _])
            | Self::Answers { order, .. }
            | Self::Commits { order, .. }
            | Self::Proposals { order, .. }
            | Self::Reveals { order, .. } => order.digest(genesis),
        };
        let order = &order;
        match self {
            Self::Orders(orders) => {
                let [(first, _), (second, _)] = orders;
                first.name == second.name
                    && signed(orders.each_ref().map(|(order, by)| (order.digest(genesis), by)))
            }
            Self::Answers { answers, .. } => signed(
                answers
                    .each_ref()
                    .map(|(output, vrf, by)| (messages::answer(genesis, order, key, output, vrf), by)),
            ),
            Self::Commits { commits, .. } => signed(commits.each_ref().map(|(answers, commitment, by)| {
                let answers = messages::answers(genesis, order, answers);
                (messages::commit(genesis, &answers, key, commitment), by)
            })),
            Self::Proposals { proposals, .. } => signed(proposals.each_ref().map(|proposal| {
                let set = proposal.digest(genesis, order);
                (messages::proposal(genesis, &set, key), &proposal.signature)
            })),
            Self::Reveals { reveals, .. } => signed(reveals.each_ref().map(|(set, scores, salt)| {
                let digest = set.digest(genesis, order);
                (messages::reveal(genesis, &digest, key, scores, salt), &set.signature)
            })),
        }
    }
}
