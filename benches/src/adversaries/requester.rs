//! Attacks by requesters.

use crate::adversaries::{
    attacks::{Attack, Role},
    chain::{self, Asker, Order, THIN_EVALUATOR},
    climb,
    game::Game,
    player::Player,
};
use anyhow::Result;
use sp_runtime::Permill;

/// Requests of the attacker in a block, where it asks for more than there is room for: forty inference nodes and quality validators,
/// each with room for three duties, take about four requests in a block.
const FLOOD: u32 = 6;

/// Requests of a climber in a block: with the honest one, fewer than there is room for.
const DUELS: usize = 2;

impl Game {
    /// Makes the attacker's requests of a block.
    pub fn attack_by_asking(&mut self) -> Result<()> {
        if self.cell.role != Role::Requester || self.cell.is_idle {
            return Ok(());
        }
        let mine = Asker::Attacker;
        match self.cell.attack {
            Attack::FreeAnswers => {
                self.ask(mine, true, |order| Order { min_quality: Permill::one(), ..order })
            }
            Attack::FreeCommittee => {
                let own: Vec<Player> = self.friends.iter().copied().collect();
                for player in &own {
                    if player.record().is_some_and(|record| record.chilled) {
                        chain::resume(*player)?;
                    }
                }
                self.ask(mine, true, |order| Order { evaluator: THIN_EVALUATOR, ..order })?;
                own.into_iter().try_for_each(chain::chill)
            }
            Attack::Overload => (0..FLOOD).try_for_each(|_| self.ask(mine, true, |order| order)),
            Attack::Unanswerable => self.ask(mine, false, |order| order),
            Attack::Busy => {
                (0..FLOOD).try_for_each(|_| self.ask(mine, true, |order| Order { is_least: true, ..order }))
            }
            Attack::SelfDealing => self.ask(mine, true, |order| order),
            Attack::Climber | Attack::ClimberWithShams => {
                let next = self.made(mine) as usize;
                let pairs = climb::PAIRS.iter().cycle().skip(next % climb::PAIRS.len()).take(DUELS);
                pairs
                    .into_iter()
                    .try_for_each(|pair| self.ask(mine, true, |order| Order { generators: pair, ..order }))
            }
            _ => Ok(()),
        }
    }
}
