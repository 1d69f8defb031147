//! What goes into a party, and what comes out of it.
//!
//! The driver carries out actions *in their order*. A [`Action::Persist`] is on disk before the driver goes on: what comes after it may
//! say to others what a restart must not contradict.

use crate::{
    crypto::Vrf,
    wire::{
        Certificate, Equivocation, Material, Message, Offer, Order, Part, Reveal, Show, SignedAnswer,
        SignedSet,
    },
};
use codec::{Decode, Encode};
use core::time::Duration;
use poq_primitives::{
    commitment::Salt,
    express::{ChannelId, Key, OrderName, Signature},
};
use sp_arithmetic::Permill;

/// Time since any origin of the party's own: monotonic, and nobody else's.
pub type Now = Duration;

/// Somebody that messages go to and come from. The transport vouches for an operator's key; for everybody else, signatures do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// The requester of a channel, on the connection that it holds open.
    Requester(ChannelId),
    /// An operator, by its express key.
    Operator(Key),
    /// The settlers of the order's epoch.
    Settlers,
}

/// What happens to a party.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message came.
    Message {
        /// From whom.
        from: Peer,
        /// The message.
        message: Box<Message>,
    },
    /// The engine has answered.
    Generated {
        /// The order.
        name: OrderName,
        /// The output.
        output: Vec<u8>,
    },
    /// The engine has scored.
    Scored {
        /// The order.
        name: OrderName,
        /// One score for each output of the job.
        scores: Vec<Permill>,
    },
    /// The engine cannot do a job of this order.
    Failed {
        /// The order.
        name: OrderName,
    },
    /// Time has passed.
    Wake,
    /// A finalized block has settled or escalated the order, or its epoch is no longer kept.
    Ended {
        /// The order.
        name: OrderName,
    },
}

/// What a party wants done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Keep this on disk, before anything that comes after.
    Persist {
        /// The order.
        name: OrderName,
        /// To be given back to `restore`, with those before it in their order.
        record: Record,
    },
    /// Send a message.
    Send {
        /// To whom.
        to: Peer,
        /// The message.
        message: Message,
    },
    /// Call again then, if nothing happens before. The last one counts.
    Wake {
        /// By the party's clock.
        at: Now,
    },
    /// Answer a prompt.
    Generate {
        /// The order.
        order: Box<Order>,
        /// The prompt.
        prompt: Vec<u8>,
    },
    /// Score outputs.
    Score {
        /// The order.
        order: Box<Order>,
        /// The prompt.
        prompt: Vec<u8>,
        /// The outputs that were shown, in the order of the draw.
        outputs: Vec<Vec<u8>>,
    },
    /// The order is decided. For the requester: its outputs and scores.
    Certified {
        /// The certificate, checked.
        certificate: Box<Certificate>,
        /// The outputs that this party has, in the order of the draw.
        outputs: Vec<Option<Vec<u8>>>,
    },
    /// Bring this order to the chain path.
    Escalate(Box<Escalation>),
    /// Somebody signed two statements of which it may sign one: for the chain to punish.
    Report {
        /// Whose key.
        key: Key,
        /// The proof, checked.
        proof: Box<Equivocation>,
    },
    /// This party's records of an order may be dropped.
    Forget {
        /// The order.
        name: OrderName,
    },
}

/// What was signed of a stalled order, for the chain path to go on from.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Escalation {
    /// The order.
    pub offer: Offer,
    /// The second draw, if it is known.
    pub v1: Option<Vrf>,
    /// What inference nodes did. Of a responder before the second draw, its own answer and those it knows of.
    pub parts: Vec<Part>,
    /// Outputs that the party has, of those who answered.
    pub shows: Vec<Option<Show>>,
    /// Commitments that the party has seen.
    pub commits: Vec<SignedSet>,
    /// Reveals that the party has seen.
    pub reveals: Vec<Reveal>,
}

/// What a party has said or is bound to. All of an order, in their order, bring the party back after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Record {
    /// Requester: its order. Before the first message.
    Ordered(Offer),
    /// Requester: who answered. Before anybody is told.
    Closed(Vec<Part>),
    /// Operator: the only order of this name. Before anything is signed for it.
    Accepted(Offer),
    /// Operator: it has no room. Before it says so.
    Busy(Signature),
    /// Responder: its answer. Before it is sent.
    Answered {
        /// Its place in the draw.
        place: u8,
        /// The output.
        output: Vec<u8>,
        /// Its salt.
        salt: Salt,
        /// The statement.
        answer: SignedAnswer,
    },
    /// Responder: for which answers it shows its output. Before it does.
    Shown {
        /// The second draw.
        v1: Vrf,
        /// Who answered.
        parts: Vec<Part>,
    },
    /// Member: its commitment. Before it is sent.
    Committed {
        /// Its place in the draw.
        place: u8,
        /// What it has scored.
        material: Box<Material>,
        /// The scores.
        scores: Vec<Permill>,
        /// Their salt.
        salt: Salt,
        /// The statement, as a set of one.
        set: SignedSet,
    },
    /// Member: the only set that it proposes or consents to. Before it says so.
    Voted {
        /// The set.
        set: SignedSet,
        /// Its signature.
        signature: Signature,
    },
    /// Member: its only reveal. Before it is sent.
    Revealed(Reveal),
    /// Any: the certificate, with what it can prove to others.
    Certified(Certificate),
}
