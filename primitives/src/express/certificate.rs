//! Certificates: the proof of a finished order, with which anybody can have it settled and prove its outcome to others.

use super::{
    draw::{committee_seed, pick, responder_seed, Seat, VrfOutput, SPARE_PICKS},
    messages::{self, Commitment, Digest, Verify},
    order::{second_draw_hash, Order},
    quorum, Key, Signature,
};
use crate::commitment::{Hash32, Salt};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_arithmetic::Permill;

/// Fewest members of a committee: below, there is no majority to disagree with.
pub const LEAST_COMMITTEE: u8 = 3;

/// Most members of a committee.
pub const MOST_COMMITTEE: u8 = 15;

/// An order with what its parties signed. Outputs are in it as commitments only.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Certificate<Balance> {
    /// The order.
    pub order: Order<Balance>,
    /// The channel key's signature of it.
    pub signature: Signature,
    /// Output of the channel's VRF that draws the committee; the order has its hash. Parties have checked its proof.
    pub v1: VrfOutput,
    /// What the picked inference nodes did, in the order of the draw, up to the last responder.
    pub responders: Vec<ResponderPart>,
    /// What the picked quality validators did, in the order of the draw, up to the last member.
    pub members: Vec<ScorerPart>,
}

/// The part of a picked inference node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum ResponderPart {
    /// It said, signed, that it has no room. The next pick takes its place.
    Busy(Signature),
    /// A responder of which nothing came.
    Absent,
    /// A responder that committed to an output.
    Answered(Answer),
}

/// A responder's commitment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Answer {
    /// Commitment to the output, see [`messages::output_commitment`].
    pub output: Commitment,
    /// Output of its VRF.
    pub vrf: VrfOutput,
    /// Whether it showed the committee an output that matches.
    pub shown: bool,
    /// Its signature of [`messages::answer`].
    pub signature: Signature,
}

/// The part of a picked quality validator.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum ScorerPart {
    /// It said, signed, that it has no room. The next pick takes its place.
    Busy(Signature),
    /// A member that is not in the set.
    Absent,
    /// A member of the set of which no reveal came.
    Committed(Commitment),
    /// A member of the set that revealed.
    Revealed(Scores),
    /// A member of the set that revealed under another one: the reveals of the quorum have this one, with its commitment. It is paid as if
    /// it had revealed, and is none of the quorum.
    Opened(Opening),
}

/// The scores of a commitment. Who signed the commitment need not sign them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Opening {
    /// One score for each answer that was shown, in their order.
    pub scores: Vec<Permill>,
    /// Salt of the commitment.
    pub salt: Salt,
}

/// A member's reveal.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Scores {
    /// One score for each answer that was shown, in their order.
    pub scores: Vec<Permill>,
    /// Salt of its commitment.
    pub salt: Salt,
    /// Its signature of [`messages::reveal`].
    pub signature: Signature,
}

/// What the chain knows and a certificate is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a, AccountId> {
    /// Hash of the chain's genesis block.
    pub genesis: &'a Hash32,
    /// Seed of the order's epoch.
    pub epoch_seed: &'a Hash32,
    /// The channel's key.
    pub channel_key: &'a Key,
    /// The channel's owner. It takes no part in its own orders.
    pub owner: &'a AccountId,
    /// The generator's snapshot in that epoch.
    pub generators: &'a [Seat<AccountId>],
    /// The evaluator's snapshot in that epoch.
    pub evaluators: &'a [Seat<AccountId>],
}

/// Who did what, of a certificate that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<'a, AccountId> {
    /// The responders, each with its commitment and whether it showed the output.
    pub responders: Vec<Responder<'a, AccountId>>,
    /// The members, each with its scores.
    pub members: Vec<(&'a Seat<AccountId>, Option<&'a [Permill]>)>,
}

/// Why a certificate does not hold.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Fault {
    /// The order wants no responder, or fewer or more members than a committee has.
    Size,
    /// The channel's key did not sign the order.
    OrderSignature,
    /// The second draw is not the one that the order has fixed.
    SecondDraw,
    /// There are more or fewer responders than the order wants, or than could be picked.
    Responders,
    /// An inference node did not sign what it is said to have done.
    ResponderSignature,
    /// No output was shown.
    NoAnswer,
    /// There are more or fewer members than the order wants, or than could be picked.
    Members,
    /// A quality validator did not sign what it is said to have done.
    MemberSignature,
    /// A member's scores are not one for each answer that was shown.
    ScoreCount,
    /// Too few revealed for a quorum.
    NoQuorum,
}

impl<Balance: Encode> Certificate<Balance> {
    /// Signatures that a check looks at.
    pub fn signatures(&self) -> usize {
        let absent = |part: &&ResponderPart| !matches!(part, ResponderPart::Absent);
        let unsigned = |part: &&ScorerPart| matches!(part, ScorerPart::Busy(_) | ScorerPart::Revealed(_));
        let responders = self.responders.iter().filter(absent).count();
        let members = self.members.iter().filter(unsigned).count();
        responders.saturating_add(members).saturating_add(1)
    }

    /// Whether this proves what became of the order, by the draws and signatures that it must have.
    ///
    /// Whether the order may be settled at all (its name, its deposit, its models) is for the chain to say, before.
    pub fn check<'a, AccountId: PartialEq>(
        &'a self,
        context: &Context<'a, AccountId>,
        verify: &impl Verify,
    ) -> Result<Outcome<'a, AccountId>, Fault> {
        let (order, genesis) = (&self.order, context.genesis);
        let name = check_order(order, &self.signature, context, verify)?;
        let second_draw = second_draw_hash(genesis, &order.name, &self.v1);
        ensure(second_draw == order.second_draw, Fault::SecondDraw)?;

        let responders = check_responders(order, &self.responders, context, &name, verify)?;
        let answers: Vec<_> = responders.iter().map(|(_, answer)| *answer).collect();
        let shown = answers.iter().flatten().filter(|(_, shown)| *shown).count();
        ensure(shown > 0, Fault::NoAnswer)?;
        let answers = messages::answers(genesis, &name, &answers);

        let is_excluded = |operator: &AccountId| {
            operator == context.owner || responders.iter().any(|(seat, _)| seat.operator == *operator)
        };
        let seed = self.seed_of_committee(context);
        let members = self.check_members(context, &name, &answers, &seed, is_excluded, shown, verify)?;
        Ok(Outcome { responders, members })
    }

    fn seed_of_committee<AccountId>(&self, context: &Context<'_, AccountId>) -> Hash32 {
        let seed = responder_seed(context.epoch_seed, &self.order.name, &self.order.first_draw);
        let vrf = |part: &ResponderPart| match part {
            ResponderPart::Answered(answer) => Some(answer.vrf),
            ResponderPart::Busy(_) | ResponderPart::Absent => None,
        };
        let answered: Vec<_> = self.responders.iter().filter_map(vrf).collect();
        committee_seed(&seed, &self.v1, &answered)
    }

    #[allow(clippy::too_many_arguments, clippy::type_complexity)]
    fn check_members<'a, AccountId: PartialEq>(
        &'a self,
        context: &Context<'a, AccountId>,
        name: &Digest,
        answers: &Digest,
        seed: &Hash32,
        is_excluded: impl Fn(&AccountId) -> bool,
        shown: usize,
        verify: &impl Verify,
    ) -> Result<Vec<(&'a Seat<AccountId>, Option<&'a [Permill]>)>, Fault> {
        let (genesis, wanted) = (context.genesis, usize::from(self.order.committee));
        let most = wanted.saturating_add(SPARE_PICKS);
        ensure(self.members.len() <= most, Fault::Members)?;
        let picks = pick(seed, context.evaluators, most, is_excluded);
        let (mut members, mut set, mut reveals) = (Vec::new(), Vec::new(), Vec::new());
        for (place, part) in self.members.iter().enumerate() {
            ensure(members.len() < wanted, Fault::Members)?;
            let seat = picks.get(place).and_then(|index| context.evaluators.get(*index));
            let seat = seat.ok_or(Fault::Members)?;
            match part {
                ScorerPart::Busy(signature) => {
                    let digest = messages::busy(genesis, name, &seat.key);
                    ensure(verify.verify(&seat.key, &digest, signature), Fault::MemberSignature)?;
                }
                ScorerPart::Absent => members.push((seat, None)),
                ScorerPart::Committed(commitment) => {
                    members.push((seat, None));
                    set.push((place as u8, *commitment));
                }
                ScorerPart::Revealed(Scores { scores, salt, .. })
                | ScorerPart::Opened(Opening { scores, salt }) => {
                    ensure(scores.len() == shown, Fault::ScoreCount)?;
                    members.push((seat, Some(&scores[..])));
                    let commitment = messages::score_commitment(genesis, answers, &seat.key, scores, salt);
                    set.push((place as u8, commitment));
                    if let ScorerPart::Revealed(reveal) = part {
                        reveals.push((seat, reveal));
                    }
                }
            }
        }
        ensure(members.len() == wanted, Fault::Members)?;
        ensure(reveals.len() >= quorum(wanted), Fault::NoQuorum)?;
        let set = messages::set(genesis, answers, &set);
        for (seat, reveal) in reveals {
            let digest = messages::reveal(genesis, &set, &seat.key, &reveal.scores, &reveal.salt);
            ensure(verify.verify(&seat.key, &digest, &reveal.signature), Fault::MemberSignature)?;
        }
        Ok(members)
    }
}

/// Whether the channel's key signed this order, and whether it has sizes that an order can have. Returns its digest.
pub fn check_order<Balance: Encode, AccountId>(
    order: &Order<Balance>,
    signature: &Signature,
    context: &Context<'_, AccountId>,
    verify: &impl Verify,
) -> Result<Digest, Fault> {
    let sizes = LEAST_COMMITTEE..=MOST_COMMITTEE;
    ensure(order.responders > 0 && sizes.contains(&order.committee), Fault::Size)?;
    let name = order.digest(context.genesis);
    ensure(verify.verify(context.channel_key, &name, signature), Fault::OrderSignature)?;
    Ok(name)
}

/// A responder of an order, with its commitment and whether it showed its output.
pub type Responder<'a, AccountId> = (&'a Seat<AccountId>, Option<(Commitment, bool)>);

/// Whether these are the responders that the order's first draw picks, and whether they signed what they are said to have done.
pub fn check_responders<'a, Balance, AccountId: PartialEq>(
    order: &Order<Balance>,
    parts: &[ResponderPart],
    context: &Context<'a, AccountId>,
    name: &Digest,
    verify: &impl Verify,
) -> Result<Vec<Responder<'a, AccountId>>, Fault> {
    let wanted = usize::from(order.responders);
    let most = wanted.saturating_add(SPARE_PICKS);
    ensure(parts.len() <= most, Fault::Responders)?;
    let seed = responder_seed(context.epoch_seed, &order.name, &order.first_draw);
    let picks = pick(&seed, context.generators, most, |operator| operator == context.owner);
    let mut responders = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        // The last part is the last responder: nobody is called busy behind it.
        ensure(responders.len() < wanted, Fault::Responders)?;
        let seat = picks.get(place).and_then(|index| context.generators.get(*index));
        let seat = seat.ok_or(Fault::Responders)?;
        let (digest, signature) = match part {
            ResponderPart::Absent => {
                responders.push((seat, None));
                continue;
            }
            ResponderPart::Busy(signature) => (messages::busy(context.genesis, name, &seat.key), signature),
            ResponderPart::Answered(answer) => {
                responders.push((seat, Some((answer.output, answer.shown))));
                let digest = messages::answer(context.genesis, name, &seat.key, &answer.output, &answer.vrf);
                (digest, &answer.signature)
            }
        };
        ensure(verify.verify(&seat.key, &digest, signature), Fault::ResponderSignature)?;
    }
    ensure(responders.len() == wanted, Fault::Responders)?;
    Ok(responders)
}

fn ensure(holds: bool, fault: Fault) -> Result<(), Fault> {
    if holds {
        Ok(())
    } else {
        Err(fault)
    }
}
