//! The books: money and duties from the chain's events, and the measurements of a game.

use crate::adversaries::{
    attacks::{Attack, Role},
    cell::{Played, Side, WINDOWS},
    chain::{self, Asker, Chain, PARAMETERS, SHARE},
    game::{Flight, Game},
    moves::shown,
    player::Player,
    purse::{shares, Entry, Purse},
};
use anyhow::{bail, Result};
use pallet_proof_of_quality::{
    Committees, Event, Phase, Request, RequestId, Requests, Responses, Role as Part, SlashReason, Work,
};
use sp_runtime::{PerThing, Permill};

/// A running mean.
#[derive(Clone, Copy, Default)]
pub struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    pub fn or(self, nothing: f64) -> f64 {
        if self.count == 0 {
            nothing
        } else {
            self.sum / self.count as f64
        }
    }
}

impl Game {
    /// Records the public result of a settled request, and measures its error.
    pub fn look(&mut self, flight: &Flight) {
        let mut is_bribed = false;
        for response in Responses::<Chain>::get(flight.id) {
            let Some(Player::Node(place)) = Player::of(&response.operator) else { continue };
            is_bribed |= self.cell.attack.bribing(place).is_some();
            let Some(quality) = response.quality else { continue };
            let consensus = part(quality);
            self.prior.add(consensus);
            self.latest.insert(place, consensus);
            // Audits are left out: their truth is only right or wrong, another measure than that of an ordinary answer.
            if !flight.is_audit && flight.by == Asker::Honest {
                let error = (consensus - self.answer(flight, place).truth).abs();
                self.error.add(error);
                let window = flight.number * WINDOWS / self.rounds;
                if let Some(window) = self.errors.get_mut(window as usize) {
                    window.add(error);
                }
            }
        }
        if let Some(asked) = self.asked.get_mut(flight.id as usize) {
            asked.is_bribed = Some(is_bribed);
        }
    }

    /// Counts the answers and scores that a requester got, without those of its own operators.
    pub fn take_delivery(&mut self, flight: &Flight, request: &Request<Chain>) {
        let Some(bought) = self.bought.get_mut(flight.by as usize) else { return };
        let is_own = |account: &chain::AccountId| {
            let player = Player::of(account);
            flight.by == Asker::Attacker && player.is_some_and(|player| self.friends.contains(&player))
        };
        let responses = Responses::<Chain>::get(flight.id);
        if !responses.is_empty() {
            bought.fees += shares(request.budget.fee);
        }
        if matches!(request.phase, Phase::Settled { .. }) {
            bought.settled += 1;
        }
        for response in responses.iter().filter(|r| r.work == Work::Revealed && !is_own(&r.operator)) {
            bought.answers += shares(SHARE + request.bonus);
            bought.answers_paid += shares(response.paid);
        }
        for round in 0..=request.round {
            for member in Committees::<Chain>::get(flight.id, round) {
                if member.work == Work::Revealed && !is_own(&member.operator) {
                    bought.scores += shares(request.member_share());
                    bought.scores_paid += shares(member.paid);
                }
            }
        }
    }

    pub fn is_late(&self, number: u64) -> bool {
        number >= self.rounds / 2
    }

    /// Whether the attack is at work in a request.
    fn is_attacked(&self, request: RequestId) -> bool {
        let Some(asked) = self.asked.get(request as usize) else { return false };
        match self.cell.attack {
            Attack::Bribed => asked.is_bribed.unwrap_or_else(|| {
                shown(request).iter().any(|node| self.cell.attack.bribing(*node).is_some())
            }),
            Attack::Sleeper => self.is_late(asked.number),
            Attack::SelfDealing | Attack::Climber | Attack::ClimberWithShams => asked.by == Asker::Attacker,
            _ => true,
        }
    }

    pub fn purse(&self, player: Player) -> Purse {
        self.purses.get(&player).copied().unwrap_or_default()
    }

    /// Books an event of money or duties.
    pub fn book(&mut self, event: Event<Chain>) -> Result<()> {
        if let Event::Settled { request, fee, .. } | Event::Refunded { request, fee, .. } = event {
            self.close(request, fee);
        }
        let (who, request, entry) = match event {
            Event::DutyClosed { operator, duty } => {
                let request = Requests::<Chain>::get(duty.request);
                let offered = request.map_or(0, |request| match duty.role {
                    Part::InferenceNode => SHARE + request.bonus,
                    Part::QualityValidator => request.member_share(),
                });
                (operator, duty.request, Entry::duty(&duty, offered))
            }
            Event::Slashed { operator, request, amount, reason } => {
                let player = Player::of(&operator);
                let is_caught = matches!(reason, SlashReason::GrossError { .. });
                if let (Attack::Whitewash, true, Some(player)) = (self.cell.attack, is_caught, player) {
                    if self.is_attacker(player) && !self.caught.contains(&player) {
                        self.caught.push(player);
                    }
                }
                (operator, request, Entry { slashed: amount, ..Entry::default() })
            }
            Event::Compensated { who, request, amount } => {
                (who, request, Entry { paid: amount, ..Entry::default() })
            }
            Event::Unexpected { kind } => {
                bail!("the pallet says that something impossible happened: {kind:?}")
            }
            _ => return Ok(()),
        };
        let Some(player) = Player::of(&who) else { bail!("{who:?} is no operator") };
        let is_attacked = self.is_attacked(request);
        self.purses.entry(player).or_default().book(entry, is_attacked);
        Ok(())
    }

    pub fn measured(&self) -> Played {
        let places = 0..self.lineup.nodes();
        let won: Vec<f64> = places.clone().map(|place| self.purse(Player::Node(place)).all.net()).collect();
        let quality: Vec<f64> =
            places.filter_map(|place| self.skills.get(&place)).map(|skill| skill.mean).collect();
        let honest =
            self.lineup.seats.iter().map(|seat| seat.player).filter(|player| !self.friends.contains(player));
        Played {
            cell: self.cell,
            attackers: self.side(true),
            honest: self.side(false),
            honest_operators: honest.map(|player| (player, self.purse(player).all)).collect(),
            bought: self.bought,
            places: chain::scorers().into_iter().fold([0; 2], |[attackers, others], player| {
                let is_friend = self.friends.contains(&player);
                [attackers + u32::from(is_friend), others + u32::from(!is_friend)]
            }),
            error: self.error.or(f64::NAN),
            errors: self.errors.iter().map(|window| window.or(f64::NAN)).collect(),
            closed: self.closed.clone(),
            rank: rank_correlation(&quality, &won),
        }
    }

    /// The attackers or the honest operators of the role that attacks; of both roles, if that is a requester.
    fn side(&self, attacking: bool) -> Side {
        let mut side = Side::default();
        let mut count = 0u32;
        for seat in &self.lineup.seats {
            let is_of_role = match self.cell.role {
                Role::InferenceNode => matches!(seat.player, Player::Node(_)),
                Role::QualityValidator => matches!(seat.player, Player::Validator(_)),
                Role::Requester => true,
            };
            if !is_of_role || self.friends.contains(&seat.player) != attacking {
                continue;
            }
            let purse = self.purse(seat.player);
            count += 1;
            side.all.add(purse.all);
            side.attacked.add(purse.attacked);
            side.won += purse.all.net();
            if let Some(record) = seat.player.record() {
                side.trust += part(record.standing.trust(&PARAMETERS.floor));
                side.stake += record.stake as f64 / seat.stake as f64;
            }
        }
        let count = f64::from(count.max(1));
        side.won /= count;
        side.trust /= count;
        side.stake /= count;
        side
    }
}

/// A `Permill` as a number from 0 to 1.
pub fn part(part: Permill) -> f64 {
    f64::from(part.deconstruct()) / f64::from(Permill::ACCURACY)
}

/// Spearman's rank correlation of `a` and `b`.
fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    // Equal values get the mean of their ranks.
    let ranks = |values: &[f64]| -> Vec<f64> {
        let rank = |value: &f64| {
            let less = values.iter().filter(|other| *other < value).count() as f64;
            let equal = values.iter().filter(|other| *other == value).count() as f64;
            less + (equal - 1.0) / 2.0
        };
        values.iter().map(rank).collect()
    };
    let (a, b) = (ranks(a), ranks(b));
    let middle = (a.len() as f64 - 1.0) / 2.0;
    let product =
        |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| (x - middle) * (y - middle)).sum() };
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_correlate_fully_or_not_at_all() {
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[10.0, 20.0, 90.0]), 1.0);
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
    }
}
