//! Climbing: the price of a rank in the history's ranking, for an owner of the weakest of several generators.
//!
//! Duels are counted and ranked by the history's own code. A price is the fees that the chain keeps of bought requests, in parts of the fees of
//! all honest ones: what is lost whatever else the owner has a hand in.

use crate::{
    adversaries::{
        attacks::Attack,
        cell::{Cell, Played},
        chain::{self, Asker, Balance, Chain},
        game::{Flight, Game},
        grid,
        player::Player,
        purse::shares,
        report::Results,
        verdicts::Verdict,
        world::Skill,
    },
    results::chart::{self, Panel},
};
use anyhow::{Context as _, Result};
use comfy_table::{presets, Cell as TableCell, CellAlignment, Table};
use pallet_proof_of_quality::{ModelId, RequestId, Responses};
use poq_history::ranking::{self, Duels};
use std::path::Path;

/// The generators of games that are about the ranking, the best first. Every fourth inference node serves the same.
pub const GENERATORS: [ModelId; 4] = [chain::GENERATOR, [4; 32], [5; 32], [6; 32]];

/// Mean quality of each.
const QUALITY: [f64; GENERATORS.len()] = [0.75, 0.65, 0.55, 0.45];

/// Standard deviation of the quality of answers.
const SPREAD: f64 = 0.15;

/// Place of the climber's own generator.
const OWN: usize = GENERATORS.len() - 1;

/// The climber's generator with each of the others.
pub static PAIRS: [[ModelId; 2]; OWN] =
    [[GENERATORS[OWN], GENERATORS[0]], [GENERATORS[OWN], GENERATORS[1]], [GENERATORS[OWN], GENERATORS[2]]];

/// Operators of each other generator that a climber with shams owns, of five.
const SHAMS: usize = 2;

/// Skill of a sham in its owner's requests.
const SHAM: Skill = Skill { mean: 0.05, spread: 0.02 };

/// Amounts of bought requests at which the ranking is made.
const STEPS: usize = 50;

/// Least price of the first rank, as a part of all honest fees.
const LEAST_PRICE: f64 = 0.25;

/// Explains [`table`].
pub const LEGEND: &str =
    "What an owner of the weakest of four generators pays for a rank in the history's ranking: fees that the chain keeps of its own requests,\n\
     in parts of the fees of all honest requests. Then what left its hands for each unit of such fees: fees, and pay of others' operators.";

/// A request that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    by: Asker,
    /// The part that the chain kept, in shares.
    fee: f64,
    /// Its duels: two generators, and the part that the first won.
    duels: Vec<(usize, usize, f64)>,
}

fn generator(place: usize) -> usize {
    place % GENERATORS.len()
}

/// The generator that the inference node at `place` serves.
pub fn model(place: usize) -> ModelId {
    GENERATORS.get(generator(place)).copied().unwrap_or(chain::GENERATOR)
}

/// Its skill.
pub fn skill(place: usize) -> Skill {
    of_generator(generator(place))
}

fn of_generator(generator: usize) -> Skill {
    Skill { mean: QUALITY.get(generator).copied().unwrap_or_default(), spread: SPREAD }
}

/// Whether the climber owns it.
pub fn is_owned(attack: Attack, place: usize) -> bool {
    let is_sham = attack == Attack::ClimberWithShams && place / GENERATORS.len() < SHAMS;
    generator(place) == OWN || is_sham
}

impl Game {
    /// Skill with which a climber's inference node answers in the climber's own requests; `None` for all others.
    pub fn climbs(&self, flight: &Flight, place: usize) -> Option<Skill> {
        let is_own = flight.by == Asker::Attacker && self.friends.contains(&Player::Node(place));
        (is_own && self.cell.attack.is_climbing()).then(|| match generator(place) {
            OWN => of_generator(0),
            _ => SHAM,
        })
    }

    /// Whether the attackers want this inference node to be scored well.
    pub fn favours(&self, place: usize) -> bool {
        let is_friend = self.friends.contains(&Player::Node(place));
        is_friend && (!self.cell.attack.is_climbing() || generator(place) == OWN)
    }

    /// Notes the end of a request, of which the chain kept `fee`.
    pub fn close(&mut self, request: RequestId, fee: Balance) {
        let Some(asked) = self.asked.get(request as usize).filter(|_| self.cell.attack.is_climbing()) else {
            return;
        };
        let answers: Vec<_> = Responses::<Chain>::get(request)
            .iter()
            .filter_map(|response| {
                let place = GENERATORS.iter().position(|model| *model == response.model)?;
                Some((place, response.quality?))
            })
            .collect();
        let model = |place: usize| answers.get(place).map(|(model, _)| *model);
        let duels = ranking::fought(&answers)
            .filter_map(|(one, other, won)| Some((model(one)?, model(other)?, won)))
            .collect();
        self.closed.push(Closed { by: asked.by, fee: shares(fee), duels });
    }
}

/// The ranking after a number of bought requests.
struct Step {
    /// Fees of these, as a part of all honest fees.
    fees: f64,
    /// Rank of the climber's generator.
    rank: usize,
    /// Odds of its winning against the strongest other one.
    odds: f64,
}

/// The rankings of a game after more and more of the bought requests, and all honest ones.
fn steps(played: &Played) -> Vec<Step> {
    let of = |by: Asker| played.closed.iter().filter(move |closed| closed.by == by);
    let duels = |closed: &Closed| {
        let weight = closed.fee;
        closed
            .duels
            .iter()
            .map(move |(one, other, won)| Duels::once(*one, *other, *won, weight))
            .collect::<Vec<_>>()
    };
    let honest: Vec<Duels> = of(Asker::Honest).flat_map(duels).collect();
    let fees: f64 = of(Asker::Honest).map(|closed| closed.fee).sum();
    let bought: Vec<&Closed> = of(Asker::Attacker).collect();
    let step = |step: usize| {
        let some = bought.iter().take(bought.len() * step / STEPS);
        let all: Vec<Duels> =
            honest.iter().copied().chain(some.clone().flat_map(|closed| duels(closed))).collect();
        let mut values: Vec<f64> =
            ranking::rank(GENERATORS.len(), &all).into_iter().map(|strength| strength.value).collect();
        let own = values.pop().unwrap_or(f64::NAN);
        Step {
            fees: some.map(|closed| closed.fee).sum::<f64>() / fees,
            rank: 1 + values.iter().filter(|other| **other >= own).count(),
            odds: (own - values.into_iter().fold(f64::MIN, f64::max)).exp(),
        }
    };
    (0..=STEPS).map(step).collect()
}

/// The least fees from which on the climber stands at `rank` or better; `None` if what it buys in the game is not enough.
fn price(steps: &[Step], rank: usize) -> Option<f64> {
    let enough = steps.iter().rev().take_while(|step| step.rank <= rank);
    enough.last().map(|step| step.fees)
}

/// The climbers' games, with their steps.
fn climbs(results: &Results) -> Vec<(Cell, Vec<Step>)> {
    let played = |cell| results.played(cell).map(|played| (cell, steps(played)));
    grid::of_climbers().into_iter().filter_map(played).collect()
}

fn name(cell: Cell) -> String {
    format!("{}, {}% of validators", cell.attack.name(), cell.share)
}

/// Prices of ranks.
pub fn table(results: &Results) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(
        ["ranking", "third", "second", "first", "at most bought", "cost of a fee"].map(TableCell::new),
    );
    for (cell, steps) in climbs(results) {
        let mut line = vec![TableCell::new(name(cell))];
        let part =
            |price: Option<f64>| price.map_or_else(|| "not reached".to_owned(), |part| format!("{part:.2}"));
        let bought = steps.last().map(|step| step.fees);
        let prices = [3, 2, 1].map(|rank| price(&steps, rank)).into_iter().chain([bought]).map(part);
        let cost = results.row(cell).map_or(f64::NAN, |row| row.cost() / row.purchase().fees);
        let figures = prices.chain([format!("{cost:.2}")]);
        line.extend(figures.map(|text| TableCell::new(text).set_alignment(CellAlignment::Right)));
        table.add_row(line);
    }
    table.to_string()
}

/// Writes one row for each game and amount of bought requests.
pub fn write_csv(results: &Results, path: &Path) -> Result<()> {
    let mut csv = csv::Writer::from_path(path).with_context(|| format!("cannot write {}", path.display()))?;
    csv.write_record(["attack", "share_of_validators", "bought_fees", "rank", "odds_against_strongest"])?;
    for (cell, steps) in climbs(results) {
        for Step { fees, rank, odds } in steps {
            csv.write_record([
                cell.attack.name(),
                &(f64::from(cell.share) / 100.0).to_string(),
                &format!("{fees:.3}"),
                &rank.to_string(),
                &format!("{odds:.3}"),
            ])?;
        }
    }
    csv.flush().context("cannot write the results")
}

/// Draws the odds of the climber's generator by the fees that it bought.
pub fn draw(results: &Results, path: &Path) -> Result<()> {
    let climbs = climbs(results);
    let panels = Attack::OF_CLIMBERS.map(|attack| Panel {
        title: attack.name().to_owned(),
        lines: climbs
            .iter()
            .filter(|(cell, _)| cell.attack == attack)
            .map(|(cell, steps)| {
                let points = steps.iter().skip(1).map(|step| (step.fees, step.odds));
                (format!("owns {}% of validators", cell.share), points.collect())
            })
            .collect(),
    });
    let title = "The weakest of four generators buys duels; it leads the ranking above 1";
    chart::draw(path, title, ["bought fees, of all honest fees", "odds against the strongest other"], &panels)
}

/// Whether the first rank is dear for all.
pub fn verdict(results: &Results) -> Verdict {
    let climbs = climbs(results);
    let cheapest = climbs
        .iter()
        .filter_map(|(cell, steps)| Some((price(steps, 1)?, name(*cell))))
        .min_by(|one, other| one.0.total_cmp(&other.0));
    Verdict {
        claim: "the first rank costs an owner of the weakest of four generators at least a quarter of all fees, whatever else it owns",
        holds: !climbs.is_empty() && cheapest.as_ref().is_none_or(|(price, _)| *price >= LEAST_PRICE),
        figures: cheapest.map_or_else(
            || "nobody reached it".to_owned(),
            |(price, name)| format!("cheapest {price:.2} of all honest fees ({name})"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversaries::{attacks::Role, cell};

    #[test]
    fn who_owns_all_but_the_fee_climbs_by_fees_alone() {
        let cell = grid::cell(Role::Requester, Attack::ClimberWithShams, 100);
        let played = cell::play(cell, 1, 2_400).unwrap();
        let steps = steps(&played);
        assert!(steps.iter().all(|step| step.odds.is_finite()));
        let (first, last) = (steps.first().unwrap(), steps.last().unwrap());
        assert_eq!((first.rank, last.rank), (4, 1), "{} {}", first.odds, last.odds);
        let prices = [3, 2, 1].map(|rank| price(&steps, rank).unwrap());
        assert!(prices.is_sorted() && prices[2] > LEAST_PRICE, "{prices:?}");
    }

    #[test]
    fn who_buys_nothing_stays_the_last() {
        let cell = grid::cell(Role::Requester, Attack::Climber, 30);
        let steps = steps(&cell::play(cell.baseline(), 1, 1_200).unwrap());
        assert!(steps.iter().all(|step| step.fees == 0.0 && step.rank == 4));
        assert_eq!(price(&steps, 3), None);
        assert_eq!(price(&steps, 4), Some(0.0));
    }
}
