//! Moves: the work of operators for a request, honest or not.

use crate::adversaries::{
    attacks::{Attack, Sight},
    books::{part, Mean},
    chain::{self, Asker, Chain},
    game::{Flight, Game},
    lineup::OPERATORS,
    player::Player,
    world::{Answer, Skill},
};
use anyhow::{ensure, Result};
use frame_support::BoundedVec;
use pallet_proof_of_quality::{Committees, ReportKind, Request, RequestId, Responses, Work};
use poq_primitives::job::FailureReason;
use sp_runtime::{PerThing, Permill};

/// Distance from the mean of the others' scores up to which a folder reveals its own.
const FOLDS_AT: f64 = 0.1;

impl Game {
    /// Whether a player belongs to the attackers, and attacks.
    pub fn is_attacker(&self, player: Player) -> bool {
        !self.cell.is_idle && self.friends.contains(&player)
    }

    fn folds(&self, player: Player) -> bool {
        self.cell.attack == Attack::Folder && self.is_attacker(player)
    }

    /// Works on a duty as long as there is time in this block; `false` if work is left. An operator that will be late reports a failure
    /// in the last block but one.
    fn work(&mut self, player: Player, id: RequestId, until: u64) -> Result<bool> {
        let left = self.work.entry((player, id)).or_insert(2);
        let time = self.time.entry(player).or_insert(u32::MAX);
        let done = (*left).min(*time);
        *left -= done;
        *time -= done;
        let is_done = *left == 0;
        if !is_done && self.block + 1 >= until {
            chain::report(player, id, ReportKind::Fail { reason: FailureReason::DeadlineExceeded })?;
        }
        Ok(is_done)
    }

    /// Commits to an answer; a sole responder reveals it.
    pub fn answer_request(&mut self, flight: &Flight, place: usize, until: u64, is_sole: bool) -> Result<()> {
        let (id, player) = (flight.id, Player::Node(place));
        if !flight.is_answerable {
            return chain::report(player, id, ReportKind::Fail { reason: FailureReason::InvalidJob });
        }
        if !self.work(player, id, until)? {
            return Ok(());
        }
        let output = self.output(flight, place);
        let kind = if is_sole {
            let salt = chain::salt(player, id);
            ReportKind::RevealOutput { output: BoundedVec::truncate_from(output), salt }
        } else {
            ReportKind::CommitOutput { commitment: chain::commitment_to_output(player, id, &output) }
        };
        chain::report(player, id, kind)
    }

    /// Reveals an answer that was committed to, or refuses to.
    pub fn open_answer(&mut self, flight: &Flight, request: &Request<Chain>, place: usize) -> Result<()> {
        let (id, player) = (flight.id, Player::Node(place));
        if self.cell.attack == Attack::RefuseReveal && self.is_attacker(player) {
            return Ok(());
        }
        if self.folds(player) {
            // The player waits during the block in which the others reveal theirs.
            if request.since == self.block {
                return Ok(());
            }
            let own = self.answer(flight, place).truth;
            let others = shown(id).into_iter().map(|other| self.answer(flight, other).truth);
            if others.fold(0.0, f64::max) > own {
                return fold(player, id);
            }
        }
        let output = BoundedVec::truncate_from(self.output(flight, place));
        let salt = chain::salt(player, id);
        chain::report(player, id, ReportKind::RevealOutput { output, salt })
    }

    pub fn score_request(
        &mut self,
        flight: &mut Flight,
        request: &Request<Chain>,
        place: usize,
        until: u64,
    ) -> Result<()> {
        let (id, player) = (flight.id, Player::Validator(place));
        if self.cell.attack == Attack::Squatter && self.is_attacker(player) {
            return chain::report(player, id, ReportKind::Fail { reason: FailureReason::Internal });
        }
        if !self.work(player, id, until)? {
            return Ok(());
        }
        let scores = self.scores(flight, request.round, place);
        let commitment = chain::commitment_to_scores(player, id, &scores);
        flight.scores.insert(place, scores);
        chain::report(player, id, ReportKind::CommitScores { commitment })
    }

    /// Reveals scores that were committed to, or refuses to.
    pub fn reveal_scores(&mut self, flight: &Flight, request: &Request<Chain>, place: usize) -> Result<()> {
        let (id, player) = (flight.id, Player::Validator(place));
        let Some(scores) = flight.scores.get(&place) else { return Ok(()) };
        if self.folds(player) {
            if request.since == self.block {
                return Ok(());
            }
            if distance_from_others(id, request.round, scores).is_some_and(|far| far > FOLDS_AT) {
                return fold(player, id);
            }
        }
        let scores = BoundedVec::truncate_from(scores.clone());
        let salt = chain::salt(player, id);
        chain::report(player, id, ReportKind::RevealScores { scores, salt })
    }

    fn output(&self, flight: &Flight, place: usize) -> Vec<u8> {
        let words = match (flight.is_audit, self.answer(flight, place).is_right) {
            (false, _) => "an answer",
            (true, true) => "yes",
            (true, false) => "no",
        };
        words.as_bytes().to_vec()
    }

    pub fn answer(&self, flight: &Flight, place: usize) -> Answer {
        let usual = || self.skills.get(&place).copied().unwrap_or_else(|| Skill::honest(place, OPERATORS));
        let skill = self.climbs(flight, place).unwrap_or_else(usual);
        self.world.answer(flight.number, place, skill, flight.is_audit)
    }

    /// Scores of the quality validator at `place` for the revealed answers.
    pub fn scores(&self, flight: &Flight, round: u8, place: usize) -> Vec<Permill> {
        let nodes = shown(flight.id);
        let answers: Vec<Answer> = nodes.iter().map(|node| self.answer(flight, *node)).collect();
        let honest = self.world.honest_scores(flight.number, place, &answers);
        if !self.is_attacker(Player::Validator(place)) {
            return honest.into_iter().map(permill).collect();
        }
        let attack = self.cell.attack;
        let mut dice = self.world.dice(flight.number, place);
        let is_second = rand::Rng::random(&mut dice);
        let plot = self.world.plot(flight.number, nodes.len());
        let is_majority = self.has_majority(flight.id, round);
        nodes
            .iter()
            .zip(honest)
            .zip(plot)
            .map(|((node, honest), plotted)| {
                let sight = Sight {
                    honest,
                    prior: self.prior.or(0.5),
                    latest: self.latest.get(node).copied().unwrap_or(0.5),
                    plotted,
                    is_paid_for: attack.bribing(*node).is_some(),
                    is_friends: self.favours(*node),
                    is_majority,
                    is_own_request: flight.by == Asker::Attacker,
                    is_late: self.is_late(flight.number),
                };
                permill(attack.score(&sight, is_second, &mut dice))
            })
            .collect()
    }

    /// Whether the attackers have more than half of the weight of a committee.
    fn has_majority(&self, id: RequestId, round: u8) -> bool {
        let committee = Committees::<Chain>::get(id, round);
        let weight = |own: bool| -> u64 {
            let of = committee.iter().filter(|member| {
                let player = Player::of(&member.operator);
                !own || player.is_some_and(|player| self.friends.contains(&player))
            });
            of.map(|member| member.weight).sum()
        };
        weight(true) * 2 > weight(false)
    }
}

/// Tries to report that the work failed, which must be refused after a commitment.
fn fold(player: Player, id: RequestId) -> Result<()> {
    let failed = chain::report(player, id, ReportKind::Fail { reason: FailureReason::Internal });
    ensure!(failed.is_err(), "{player:?} folds for free in request {id}");
    Ok(())
}

pub fn responders(id: RequestId) -> Vec<(usize, Work)> {
    let place = |player| if let Some(Player::Node(place)) = player { Some(place) } else { None };
    Responses::<Chain>::get(id)
        .iter()
        .filter_map(|response| Some((place(Player::of(&response.operator))?, response.work)))
        .collect()
}

pub fn members(id: RequestId, round: u8) -> Vec<(usize, Work)> {
    let place = |player| if let Some(Player::Validator(place)) = player { Some(place) } else { None };
    Committees::<Chain>::get(id, round)
        .iter()
        .filter_map(|member| Some((place(Player::of(&member.operator))?, member.work)))
        .collect()
}

/// The inference nodes whose answers are revealed, in the order of the answers.
pub fn shown(id: RequestId) -> Vec<usize> {
    responders(id).into_iter().filter(|(_, work)| *work == Work::Revealed).map(|(place, _)| place).collect()
}

/// Mean distance of scores from the means of the revealed ones; `None` without revealed ones.
fn distance_from_others(id: RequestId, round: u8, scores: &[Permill]) -> Option<f64> {
    let mut means = vec![Mean::default(); scores.len()];
    for member in Committees::<Chain>::get(id, round).iter().filter(|member| member.work == Work::Revealed) {
        for (mean, score) in means.iter_mut().zip(&member.scores) {
            mean.add(part(*score));
        }
    }
    let far = means.iter().zip(scores).map(|(mean, score)| (mean.or(f64::NAN) - part(*score)).abs());
    let far = far.sum::<f64>() / scores.len().max(1) as f64;
    (!far.is_nan()).then_some(far)
}

fn permill(score: f64) -> Permill {
    Permill::from_parts((score * f64::from(Permill::ACCURACY)).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversaries::{attacks::Role, grid, lineup::Lineup, world::World};

    #[test]
    fn a_commitment_that_was_copied_cannot_be_revealed() {
        let cell = grid::cell(Role::QualityValidator, Attack::Honest, 0);
        let lineup = Lineup::of(cell);
        chain::genesis(&lineup).unwrap().execute_with(|| {
            let world = World { seed: 1, audits: 0.0 };
            let mut game = Game::new(cell, lineup, world, 1);
            let mut block = 1;
            chain::begin(block);
            game.ask(Asker::Honest, true, |order| order).unwrap();
            let mut flight = game.flights.pop().unwrap();
            while members(flight.id, 0).is_empty() {
                game.act(&mut flight).unwrap();
                chain::end(block);
                block += 1;
                chain::begin(block);
            }
            let places: Vec<usize> = members(flight.id, 0).into_iter().map(|(place, _)| place).collect();
            let (thief, victim) = (Player::Validator(places[0]), Player::Validator(places[1]));
            let scores = game.scores(&flight, 0, places[1]);
            let commitment = chain::commitment_to_scores(victim, flight.id, &scores);
            chain::report(thief, flight.id, ReportKind::CommitScores { commitment }).unwrap();
            game.act(&mut flight).unwrap();
            chain::end(block);
            chain::begin(block + 1);
            let reveal = |player, salt| {
                let scores = BoundedVec::truncate_from(scores.clone());
                chain::report(player, flight.id, ReportKind::RevealScores { scores, salt })
            };
            let salt = chain::salt(victim, flight.id);
            assert!(reveal(thief, salt).unwrap_err().to_string().contains("RevealMismatch"));
            reveal(victim, salt).unwrap();
        });
    }
}
