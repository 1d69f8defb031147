//! An order that was checked against the chain, and the checks of everything before the committee's work.

use crate::{
    crypto::{Crypto, Vrf},
    limits::Limits,
    view::{AccountId, Snapshot, View},
    wire::{Answers, Busy, Offer, Order, Part, Refusal, Show, SignedAnswer},
};
use poq_primitives::{
    commitment::Hash32,
    express::{
        certificate::{LEAST_COMMITTEE, MOST_COMMITTEE},
        committee_seed,
        draw::{ANSWER_VRF, RESPONDER_VRF, SCORE_VRF},
        messages, pick, prompt_hash, responder_seed, second_draw_hash, Commitment, Context, Digest, Key,
        Seat, Signature, VrfOutput, SPARE_PICKS,
    },
};
use std::collections::BTreeMap;

/// An order whose signature, first draw, prompt and sizes are right, with what the chain says about it.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Hash of the genesis block.
    pub genesis: Hash32,
    /// The order.
    pub offer: Offer,
    /// Its digest.
    pub digest: Digest,
    epoch_seed: Hash32,
    channel_key: Key,
    owner: AccountId,
    generators: Snapshot,
    evaluators: Snapshot,
    picks: Vec<usize>,
}

/// The first `wanted` of `places` that are not busy.
pub(crate) fn first_free(places: usize, wanted: u8, busy: &BTreeMap<u8, Signature>) -> Vec<u8> {
    let places = (0..places).filter_map(|place| u8::try_from(place).ok());
    places.filter(|place| !busy.contains_key(place)).take(usize::from(wanted)).collect()
}

/// Busy statements as they are sent.
pub(crate) fn statements(busy: &BTreeMap<u8, Signature>) -> Vec<Busy> {
    busy.iter().map(|(place, signature)| Busy { place: *place, signature: *signature }).collect()
}

/// An error with this reason unless the condition holds.
pub(crate) fn ensure(holds: bool, refusal: Refusal) -> Result<(), Refusal> {
    if holds {
        Ok(())
    } else {
        Err(refusal)
    }
}

/// All who answered.
pub fn answered(parts: &[Part]) -> Vec<(u8, Commitment, VrfOutput)> {
    let answered = (0u8..).zip(parts).filter_map(|(place, part)| match part {
        Part::Answered(answer) => Some((place, answer.output, answer.vrf.output)),
        Part::Busy(_) | Part::Absent => None,
    });
    answered.collect()
}

/// The answers as a committee names them, by whether each who answered showed its output.
pub fn answers(parts: &[Part], shown: &[bool]) -> Answers {
    let mut shown = shown.iter();
    let responders = parts.iter().filter_map(|part| match part {
        Part::Busy(_) => None,
        Part::Absent => Some(None),
        Part::Answered(answer) => Some(Some((answer.output, shown.next().copied().unwrap_or(false)))),
    });
    responders.collect()
}

impl Scene {
    /// Checks an order, but for its deposit.
    pub fn open(crypto: &impl Crypto, view: &View, limits: &Limits, offer: &Offer) -> Result<Self, Refusal> {
        let (order, genesis) = (&offer.order, view.genesis);
        ensure(offer.prompt.len() <= limits.text, Refusal::TooLong)?;
        let channel = view.channels.get(&order.name.channel).ok_or(Refusal::Channel)?;
        let epoch = view.epochs.get(&order.name.epoch).ok_or(Refusal::NoLane)?;
        let snapshot = |model| epoch.snapshots.get(model).cloned().ok_or(Refusal::NoLane);
        let (generators, evaluators) = (snapshot(&order.generator)?, snapshot(&order.evaluator)?);
        let sizes = LEAST_COMMITTEE..=MOST_COMMITTEE;
        ensure(order.responders > 0 && sizes.contains(&order.committee), Refusal::Size)?;
        let digest = order.digest(&genesis);
        ensure(crypto.verify(&channel.key, &digest, &offer.signature), Refusal::OrderSignature)?;
        let first_draw = Vrf { output: order.first_draw, proof: offer.proof };
        let is_right = crypto.verify_vrf(&channel.key, ANSWER_VRF, &genesis, &order.name, &first_draw);
        ensure(is_right, Refusal::Vrf)?;
        let prompt = prompt_hash(&genesis, &order.name, &offer.prompt, &offer.salt);
        ensure(prompt == order.prompt, Refusal::Prompt)?;
        let seed = responder_seed(&epoch.seed, &order.name, &order.first_draw);
        let most = usize::from(order.responders).saturating_add(SPARE_PICKS);
        let picks = pick(&seed, &generators, most, |operator| *operator == channel.owner);
        ensure(picks.len() >= usize::from(order.responders), Refusal::NoLane)?;
        Ok(Self {
            genesis,
            offer: offer.clone(),
            digest,
            epoch_seed: epoch.seed,
            channel_key: channel.key,
            owner: channel.owner,
            generators,
            evaluators,
            picks,
        })
    }

    /// The order.
    pub fn order(&self) -> &Order {
        &self.offer.order
    }

    /// Context for the check of a certificate of this order.
    pub fn context(&self) -> Context<'_, AccountId> {
        Context {
            genesis: &self.genesis,
            epoch_seed: &self.epoch_seed,
            channel_key: &self.channel_key,
            owner: &self.owner,
            generators: &self.generators,
            evaluators: &self.evaluators,
        }
    }

    /// The channel's key.
    pub fn channel_key(&self) -> &Key {
        &self.channel_key
    }

    /// Inference nodes that are picked, with the spare ones.
    pub fn picked(&self) -> usize {
        self.picks.len()
    }

    /// The inference node at a place of the draw.
    pub fn responder(&self, place: u8) -> Option<&Seat<AccountId>> {
        self.picks.get(usize::from(place)).and_then(|index| self.generators.get(*index))
    }

    /// The place of the inference node with this key.
    pub fn place_of(&self, key: &Key) -> Option<u8> {
        let place = (0..self.picks.len()).filter_map(|place| u8::try_from(place).ok());
        place.into_iter().find(|place| self.responder(*place).is_some_and(|seat| seat.key == *key))
    }

    /// The quality validator at a place of this committee's draw.
    pub fn member(&self, committee: &[usize], place: u8) -> Option<&Seat<AccountId>> {
        committee.get(usize::from(place)).and_then(|index| self.evaluators.get(*index))
    }

    /// Checks that an inference node is busy.
    pub fn check_busy(&self, crypto: &impl Crypto, place: u8, signature: &Signature) -> Result<(), Refusal> {
        let seat = self.responder(place).ok_or(Refusal::Responders)?;
        let digest = messages::busy(&self.genesis, &self.digest, &seat.key);
        ensure(crypto.verify(&seat.key, &digest, signature), Refusal::Responders)
    }

    /// Checks a responder's commitment and VRF.
    pub fn check_answer(
        &self,
        crypto: &impl Crypto,
        place: u8,
        answer: &SignedAnswer,
    ) -> Result<(), Refusal> {
        let (genesis, name) = (&self.genesis, &self.order().name);
        let seat = self.responder(place).ok_or(Refusal::Responders)?;
        let digest = messages::answer(genesis, &self.digest, &seat.key, &answer.output, &answer.vrf.output);
        ensure(crypto.verify(&seat.key, &digest, &answer.signature), Refusal::Responders)?;
        let is_right = crypto.verify_vrf(&seat.key, RESPONDER_VRF, genesis, name, &answer.vrf);
        ensure(is_right, Refusal::Vrf)
    }

    /// Checks what inference nodes did: that there are as many responders as the order wants, the last of them at the end, and that each
    /// signed what it is said to have done. `known` are parts that are checked already.
    pub fn check_parts(
        &self,
        crypto: &impl Crypto,
        parts: &[Part],
        known: &BTreeMap<u8, SignedAnswer>,
    ) -> Result<(), Refusal> {
        let is_responder = |part: &&Part| !matches!(part, Part::Busy(_));
        let responders = parts.iter().filter(is_responder).count();
        ensure(responders == usize::from(self.order().responders), Refusal::Responders)?;
        ensure(parts.last().as_ref().is_some_and(is_responder), Refusal::Responders)?;
        ensure(parts.len() <= self.picks.len(), Refusal::Responders)?;
        ensure(parts.iter().any(|part| matches!(part, Part::Answered(_))), Refusal::Responders)?;
        for (place, part) in (0u8..).zip(parts) {
            match part {
                Part::Absent => {}
                Part::Busy(signature) => self.check_busy(crypto, place, signature)?,
                Part::Answered(answer) if known.get(&place) == Some(answer) => {}
                Part::Answered(answer) => self.check_answer(crypto, place, answer)?,
            }
        }
        Ok(())
    }

    /// Checks the second draw: by its proof, and by the order that has fixed it.
    pub fn check_second_draw(&self, crypto: &impl Crypto, v1: &Vrf) -> Result<(), Refusal> {
        let name = &self.order().name;
        let is_fixed = second_draw_hash(&self.genesis, name, &v1.output) == self.order().second_draw;
        let is_right = crypto.verify_vrf(&self.channel_key, SCORE_VRF, &self.genesis, name, v1);
        ensure(is_fixed && is_right, Refusal::Vrf)
    }

    /// Checks a responder's output.
    pub fn check_show(
        &self,
        crypto: &impl Crypto,
        limits: &Limits,
        answered: &[(u8, Commitment, VrfOutput)],
        place: u8,
        show: &Show,
    ) -> Result<(), Refusal> {
        ensure(show.output.len() <= limits.text, Refusal::TooLong)?;
        let seat = self.responder(place).ok_or(Refusal::Output)?;
        let answer = answered.iter().find(|(other, _, _)| *other == place).ok_or(Refusal::Output)?;
        let (genesis, name) = (&self.genesis, &self.order().name);
        let output = messages::output_commitment(genesis, name, &seat.key, &show.output, &show.salt);
        ensure(output == answer.1, Refusal::Output)?;
        let digest = messages::show(genesis, &self.digest, &seat.key, answered);
        ensure(crypto.verify(&seat.key, &digest, &show.signature), Refusal::Output)
    }

    /// The committee's draw, with the spare picks: indices of the evaluator's snapshot.
    pub fn committee(&self, v1: &VrfOutput, parts: &[Part]) -> Vec<usize> {
        let order = self.order();
        let seed = responder_seed(&self.epoch_seed, &order.name, &order.first_draw);
        let vrfs: Vec<_> = answered(parts).iter().map(|(_, _, vrf)| *vrf).collect();
        let seed = committee_seed(&seed, v1, &vrfs);
        let responders = (0u8..).zip(parts).filter(|(_, part)| !matches!(part, Part::Busy(_)));
        let responders: Vec<_> =
            responders.filter_map(|(place, _)| self.responder(place)).map(|seat| seat.operator).collect();
        let most = usize::from(order.committee).saturating_add(SPARE_PICKS);
        pick(&seed, &self.evaluators, most, |operator| {
            *operator == self.owner || responders.contains(operator)
        })
    }
}
