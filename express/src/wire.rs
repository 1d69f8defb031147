//! Messages between parties. SCALE on the wire.
//!
//! Every message about an order but the first names it by its digest. Statements are self-contained: whoever holds one can check it
//! without having seen those before.

use crate::{crypto::Vrf, deposit::Uncovered, view::Balance};
use codec::{Decode, DecodeAll, Encode};
use poq_primitives::{
    commitment::Salt,
    express::{Commitment, Digest, Signature},
};
use sp_arithmetic::Permill;

/// An order.
pub type Order = poq_primitives::express::Order<Balance>;

/// A certificate.
pub type Certificate = poq_primitives::express::Certificate<Balance>;

/// A proof of equivocation.
pub type Equivocation = poq_primitives::express::Equivocation<Balance>;

/// Answers as a committee names them, see [`poq_primitives::express::Answers`].
pub type Answers = Vec<Option<(Commitment, bool)>>;

/// An order with all that a responder needs to begin.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Offer {
    /// The order.
    pub order: Order,
    /// The channel key's signature of it.
    pub signature: Signature,
    /// Proof of the order's first draw.
    pub proof: [u8; 64],
    /// The prompt.
    pub prompt: Vec<u8>,
    /// Salt of the order's hash of the prompt.
    pub salt: Salt,
}

/// A picked operator that has no room.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Busy {
    /// Its place in the draw.
    pub place: u8,
    /// Its signature of [`poq_primitives::express::messages::busy`].
    pub signature: Signature,
}

/// A responder's commitment to its output.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedAnswer {
    /// The commitment.
    pub output: Commitment,
    /// Its VRF.
    pub vrf: Vrf,
    /// Its signature of [`poq_primitives::express::messages::answer`].
    pub signature: Signature,
}

/// What a picked inference node did.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Part {
    /// It has no room, and signed so.
    Busy(Signature),
    /// A responder of which nothing came.
    Absent,
    /// A responder that committed to an output.
    Answered(SignedAnswer),
}

/// A responder's output.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Show {
    /// The output.
    pub output: Vec<u8>,
    /// Salt of its commitment.
    pub salt: Salt,
    /// Its signature of [`poq_primitives::express::messages::show`], over all who answered.
    pub signature: Signature,
}

/// Everything that a member needs to score.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Material {
    /// The order.
    pub offer: Offer,
    /// The second draw.
    pub v1: Vrf,
    /// What inference nodes did, in the order of their draw, up to the last responder.
    pub parts: Vec<Part>,
    /// Of each who answered, its output; `None` if the sender does not have it.
    pub shows: Vec<Option<Show>>,
}

/// A member's commitment within a set.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedCommit {
    /// Its place in the draw.
    pub place: u8,
    /// The commitment.
    pub commitment: Commitment,
    /// Its signature of [`poq_primitives::express::messages::commit`].
    pub signature: Signature,
}

/// Members with their commitments to scores of the same answers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedSet {
    /// The answers, see [`poq_primitives::express::Answers`].
    pub answers: Answers,
    /// The commitments, in the order of the draw.
    pub commits: Vec<SignedCommit>,
    /// The busy whose places others have taken.
    pub busy: Vec<Busy>,
}

/// A member's reveal.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Reveal {
    /// The member's place in the draw.
    pub place: u8,
    /// The set under which it reveals.
    pub set: SignedSet,
    /// A quorum's proposals of the set; none if the set is the whole committee.
    pub votes: Vec<(u8, Signature)>,
    /// One score for each answer that was shown.
    pub scores: Vec<Permill>,
    /// Salt of its commitment.
    pub salt: Salt,
    /// Its signature of [`poq_primitives::express::messages::reveal`].
    pub signature: Signature,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// 1. Requester to responders.
    Offer {
        /// The order.
        offer: Box<Offer>,
        /// Those whose places others have taken.
        busy: Vec<Busy>,
    },
    /// Reply to 1, to the requester and to the other responders.
    Answer {
        /// The order.
        order: Digest,
        /// The responder's place in the draw.
        place: u8,
        /// Its commitment.
        answer: SignedAnswer,
        /// The order that it answers, so that a responder with another order of that name learns of it.
        of: Box<(Order, Signature)>,
    },
    /// Reply of an inference node that has no room, to the requester.
    ResponderBusy {
        /// The order.
        order: Digest,
        /// Place and signature.
        busy: Busy,
    },
    /// 2. Requester to responders; a member to a responder whose output it lacks.
    Answers {
        /// The order.
        order: Digest,
        /// The second draw.
        v1: Vrf,
        /// What inference nodes did.
        parts: Vec<Part>,
    },
    /// Reply to 2.
    Show {
        /// The order.
        order: Digest,
        /// The responder's place in the draw.
        place: u8,
        /// Its output.
        show: Show,
    },
    /// 3. Requester to members; a responder to a member that has not got its output.
    Ask {
        /// All so far.
        material: Box<Material>,
        /// Those whose places others have taken.
        busy: Vec<Busy>,
    },
    /// Reply to 3, to all who answered: which outputs the member has or needs no more. Not signed: who forges it does no more than withhold a message.
    Have {
        /// The order.
        order: Digest,
        /// Of each who answered, whether its output is there.
        shown: Vec<bool>,
    },
    /// Reply to 3 of a quality validator that has no room, to everybody.
    MemberBusy {
        /// The order.
        order: Digest,
        /// Place and signature.
        busy: Busy,
    },
    /// A member's commitment, to all members and the requester: a set of one.
    Commit {
        /// The order.
        order: Digest,
        /// The commitment, with the busy whose place the member has taken.
        set: SignedSet,
    },
    /// A member's proposal of a set, or its consent to another's, to all members and the requester.
    Proposal {
        /// The order.
        order: Digest,
        /// The member's place in the draw.
        place: u8,
        /// The set.
        set: SignedSet,
        /// Its signature of [`poq_primitives::express::messages::proposal`].
        signature: Signature,
    },
    /// A member's scores, to all members and the requester.
    Reveal {
        /// The order.
        order: Digest,
        /// The scores.
        reveal: Box<Reveal>,
    },
    /// The certificate: to settlers, to responders, and to whoever asks.
    Certificate(Box<Certificate>),
    /// Asks for all that the receiver has signed for this order.
    Again {
        /// The order.
        order: Digest,
    },
    /// A message is refused.
    Refusal {
        /// The order.
        order: Digest,
        /// Why.
        reason: Refusal,
    },
}

impl Message {
    /// The order's digest on this chain.
    pub fn order(&self, genesis: &poq_primitives::commitment::Hash32) -> Digest {
        match self {
            Self::Offer { offer, .. } => offer.order.digest(genesis),
            Self::Ask { material, .. } => material.offer.order.digest(genesis),
            Self::Certificate(certificate) => certificate.order.digest(genesis),
            Self::Answer { order, .. }
            | Self::ResponderBusy { order, .. }
            | Self::Answers { order, .. }
            | Self::Show { order, .. }
            | Self::Have { order, .. }
            | Self::MemberBusy { order, .. }
            | Self::Commit { order, .. }
            | Self::Proposal { order, .. }
            | Self::Reveal { order, .. }
            | Self::Again { order }
            | Self::Refusal { order, .. } => *order,
        }
    }
}

/// Why a party refuses a message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Refusal {
    /// The message is too long or is none.
    #[error("the bytes are no message, or too many")]
    Garbage,
    /// A text is too long.
    #[error("the prompt or an output is too long")]
    TooLong,
    /// There is no such channel.
    #[error("the channel is unknown or not finalized")]
    Channel,
    /// There is no lane for the model in that epoch.
    #[error("the order's epoch or one of its models has no lane")]
    NoLane,
    /// The deposit does not cover the order.
    #[error("the deposit does not cover the order: {0}")]
    Uncovered(Uncovered),
    /// The order wants too few or too many.
    #[error("the order wants no responder, or fewer or more members than a committee has")]
    Size,
    /// The channel's key did not sign.
    #[error("the channel's key did not sign the order")]
    OrderSignature,
    /// A VRF is false.
    #[error("a VRF does not fit its key or the order")]
    Vrf,
    /// The prompt is another.
    #[error("the prompt is not that of the order")]
    Prompt,
    /// The receiver is not drawn.
    #[error("the receiver has no place in this order")]
    NotDrawn,
    /// There is another order of this name.
    #[error("there is another order of this name")]
    SecondOrder(Box<(Order, Signature)>),
    /// The receiver has said that it is busy, or has ended its part in the order.
    #[error("the receiver takes no part in this order any more")]
    Over,
    /// An inference node did not sign what it is said to have done, or there are too many or too few.
    #[error("what the inference nodes did is not proven")]
    Responders,
    /// Answers are left out: by place.
    #[error("answers are left out")]
    LeftOut(Vec<(u8, SignedAnswer)>),
    /// The receiver has shown its output for other answers.
    #[error("the output is shown for other answers")]
    Bound,
    /// The receiver has not answered yet.
    #[error("the receiver has not answered yet")]
    NotYet,
    /// An output is not the one that was committed to, or shown for other answers.
    #[error("an output is not what was committed to")]
    Output,
    /// A quality validator did not sign what it is said to have done.
    #[error("what a quality validator did is not proven")]
    MemberSignature,
    /// The set cannot be that of this order.
    #[error("the set of members is too small, too large, or of other answers")]
    Set,
    /// The scores are not what was committed to.
    #[error("the scores are not what was committed to")]
    Scores,
    /// The certificate does not hold.
    #[error("the certificate does not hold")]
    Certificate,
    /// The receiver does not know the order.
    #[error("the order is unknown")]
    Unknown,
}

/// Reads a message of at most `most` bytes.
pub fn decode(bytes: &[u8], most: usize) -> Result<Message, Refusal> {
    if bytes.len() > most {
        return Err(Refusal::Garbage);
    }
    Message::decode_all(&mut &*bytes).map_err(|_| Refusal::Garbage)
}
