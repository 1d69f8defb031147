//! The simulator's chain: settles a name once, keeps the money, punishes what is proven.

use crate::{
    crypto::Crypto,
    step::Escalation,
    view::{Balance, View},
    wire::{Certificate, Equivocation},
};
use poq_primitives::express::{
    messages, Commitment, Context, Key, Opening, OrderName, ResponderPart, ScorerPart, Scores,
};
use std::collections::{BTreeMap, BTreeSet};

/// Something that is to happen on the chain.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Settle(Box<Certificate>),
    Escalate(Box<Escalation>),
    Report(Key, Box<Equivocation>),
}

/// How an order ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Settled(Box<Settled>),
    Escalated,
}

/// A settled order.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub certificate: Certificate,
    /// Of each responder: its key, and whether it answered and showed its output.
    pub responders: Vec<(Key, Option<bool>)>,
    /// Of each member: its key, and the commitment of its reveal.
    pub members: Vec<(Key, Option<Commitment>)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    pub ended: BTreeMap<OrderName, End>,
    pub earnings: BTreeMap<Key, Balance>,
    pub punished: BTreeSet<Key>,
    /// Fees, and pay that absent seats did not earn.
    pub pot: Balance,
    /// Budgets of orders that went on as ordinary requests.
    pub escalated: Balance,
    /// What is left of the deposit.
    pub deposit: Balance,
    /// Certificates refused.
    pub refused: u32,
}

impl Chain {
    /// Settles an order, unless its name is used up or the certificate does not hold. One without a responder or a member's scores, which
    /// somebody may have left out, is settled only if it `may_be_incomplete`.
    pub fn settle(
        &mut self,
        crypto: &impl Crypto,
        view: &View,
        certificate: &Certificate,
        may_be_incomplete: bool,
    ) -> Result<(), String> {
        let order = &certificate.order;
        let is_incomplete = certificate.members.iter().any(|part| matches!(part, ScorerPart::Committed(_)))
            || certificate.responders.iter().any(|part| matches!(part, ResponderPart::Absent));
        if self.ended.contains_key(&order.name) || is_incomplete && !may_be_incomplete {
            return Ok(());
        }
        let parts = || {
            let channel = view.channels.get(&order.name.channel)?;
            let epoch = view.epochs.get(&order.name.epoch)?;
            let (generators, evaluators) =
                (epoch.snapshots.get(&order.generator)?, epoch.snapshots.get(&order.evaluator)?);
            Some((channel, epoch, generators, evaluators))
        };
        let Some((channel, epoch, generators, evaluators)) = parts() else {
            self.refused = self.refused.saturating_add(1);
            return Ok(());
        };
        let context = Context {
            genesis: &view.genesis,
            epoch_seed: &epoch.seed,
            channel_key: &channel.key,
            owner: &channel.owner,
            generators,
            evaluators,
        };
        let Ok(outcome) = certificate.check(&context, crypto) else {
            self.refused = self.refused.saturating_add(1);
            return Ok(());
        };
        let share = |part: usize| order.budget.saturating_mul(2) / 5 / (part.max(1) as Balance);
        let (answer, score) = (share(outcome.responders.len()), share(outcome.members.len()));
        let fee = order.budget / 10;
        let mut paid = fee;
        self.pot = self.pot.saturating_add(fee);
        let responders = outcome
            .responders
            .iter()
            .map(|(seat, did)| (seat.key, did.is_some_and(|(_, shown)| shown), answer));
        let members = outcome.members.iter().map(|(seat, did)| (seat.key, did.is_some(), score));
        for (key, worked, pay) in responders.chain(members) {
            let to = if worked { self.earnings.entry(key).or_default() } else { &mut self.pot };
            *to = to.saturating_add(pay);
            paid = paid.saturating_add(pay);
        }
        if paid > order.budget {
            return Err(format!("{paid} paid of a budget of {}", order.budget));
        }
        self.deposit = self.deposit.checked_sub(paid).ok_or("the deposit does not cover a settled order")?;

        let digest = order.digest(&view.genesis);
        let answers: Vec<_> = outcome.responders.iter().map(|(_, did)| *did).collect();
        let answers = messages::answers(&view.genesis, &digest, &answers);
        let of_members = certificate.members.iter().filter(|part| !matches!(part, ScorerPart::Busy(_)));
        let members = outcome.members.iter().zip(of_members).map(|((seat, _), part)| {
            let commitment = match part {
                ScorerPart::Revealed(Scores { scores, salt, .. })
                | ScorerPart::Opened(Opening { scores, salt }) => {
                    Some(messages::score_commitment(&view.genesis, &answers, &seat.key, scores, salt))
                }
                _ => None,
            };
            (seat.key, commitment)
        });
        let settled = Settled {
            members: members.collect(),
            responders: outcome
                .responders
                .iter()
                .map(|(seat, did)| (seat.key, did.map(|(_, shown)| shown)))
                .collect(),
            certificate: certificate.clone(),
        };
        self.ended.insert(order.name, End::Settled(Box::new(settled)));
        Ok(())
    }

    /// Makes an ordinary request of an order, unless its name is used up.
    pub fn escalate(
        &mut self,
        crypto: &impl Crypto,
        view: &View,
        escalation: &Escalation,
    ) -> Result<(), String> {
        let order = &escalation.offer.order;
        let Some(channel) = view.channels.get(&order.name.channel) else { return Ok(()) };
        let digest = order.digest(&view.genesis);
        let is_signed = crypto.verify(&channel.key, &digest, &escalation.offer.signature);
        if !is_signed || self.ended.contains_key(&order.name) {
            return Ok(());
        }
        self.deposit =
            self.deposit.checked_sub(order.budget).ok_or("the deposit does not cover an escalated order")?;
        self.escalated = self.escalated.saturating_add(order.budget);
        self.ended.insert(order.name, End::Escalated);
        Ok(())
    }

    /// Punishes a key, if the proof is one.
    pub fn report(
        &mut self,
        crypto: &impl Crypto,
        view: &View,
        key: &Key,
        proof: &Equivocation,
    ) -> Result<(), String> {
        if !proof.is_proof(&view.genesis, key, crypto) {
            return Err("a report is no proof".into());
        }
        self.punished.insert(*key);
        Ok(())
    }

    /// All money that there is.
    pub fn total(&self) -> Balance {
        let earned: Balance = self.earnings.values().sum();
        earned.saturating_add(self.pot).saturating_add(self.escalated).saturating_add(self.deposit)
    }
}
