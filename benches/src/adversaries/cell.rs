//! One cell of the grid: one attack by one part of the operators under one rule, played and measured.

use crate::{
    attacks::{attacks, Attack, Role, Sight},
    chain::{self, Chain, Player, Rule, OPERATORS, PARAMETERS, SHARE},
    world::{Answer, Skill, World},
};
use anyhow::{bail, Result};
use frame_support::BoundedVec;
use pallet_proof_of_quality::{
    Committees, Event, Outcome, Phase, ReportKind, RequestId, Requests, Responses, Work,
};
use sp_runtime::{PerThing, Permill};
use sp_state_machine::BasicExternalities;
use std::collections::{HashMap, VecDeque};

/// Windows of the game in which the error is looked at on its own.
pub const WINDOWS: u64 = 20;

/// Blocks between a settlement and the opening of an audit.
const AUDIT_DELAY: u64 = 20;

/// Blocks between two clean-ups of the state.
const BLOCKS_AT_A_TIME: u64 = 100;

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cell {
    pub role: Role,
    pub attack: Attack,
    /// Percent of the operators of that role that attack; all have the same stake.
    pub share: u32,
    pub rule: Rule,
    /// Requests of a thousand that are known-answer audits.
    pub audits: u32,
}

impl Cell {
    /// The same without attackers.
    pub fn baseline(self) -> Self {
        // Those who bribe are there whether somebody takes the bribe or not.
        let attack = if self.attack == Attack::Bribed { Attack::Bribed } else { Attack::Honest };
        Self { attack, share: 0, ..self }
    }

    fn is_attacker(self, player: Player) -> bool {
        let (role, place) = match player {
            Player::Node(place) => (Role::InferenceNode, place),
            Player::Validator(place) => (Role::QualityValidator, place),
        };
        role == self.role && attacks(place, OPERATORS, self.share)
    }
}

/// What one side made of it. Money is in shares: 1 is what a perfect duty earns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// Duties that count for the income, see [`Game::counts`].
    pub duties: u64,
    /// What they were paid for those, compensation included.
    pub paid: f64,
    /// What they were slashed in those.
    pub slashed: f64,
    /// All that an operator won or lost in the whole game, on average.
    pub won: f64,
    /// Trust at the end, of a quality validator on average.
    pub trust: f64,
    /// The part of the stake that is left, on average.
    pub stake: f64,
}

impl Side {
    /// Income per duty.
    pub fn income(&self) -> f64 {
        (self.paid - self.slashed) / self.duties.max(1) as f64
    }

    /// The same before slashes.
    pub fn pay(&self) -> f64 {
        self.paid / self.duties.max(1) as f64
    }
}

/// What came of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    pub cell: Cell,
    pub attackers: Side,
    pub honest: Side,
    /// Mean distance of the consensus from the truth, over all responses of ordinary requests.
    pub error: f64,
    /// The same in each window of the game.
    pub errors: Vec<f64>,
    /// Rank correlation of the quality of inference nodes and of what they won.
    pub rank: f64,
}

/// Plays a cell.
pub fn play(cell: Cell, seed: u64, rounds: u64) -> Result<Played> {
    chain::RuleInForce::set(cell.rule);
    chain::Seed::set(seed);
    chain::Handled::set(0);
    let world = World { seed, audits: f64::from(cell.audits) / 1_000.0 };
    let mut state = chain::genesis()?;
    let mut game = state.execute_with(|| Game::new(cell, world, rounds));
    while !game.is_over() {
        state.execute_with(|| game.play(BLOCKS_AT_A_TIME))?;
        // Keys that are gone stay in the way of iteration until the state is made anew.
        state = BasicExternalities::new(state.into_storages());
    }
    state.execute_with(|| game.end())
}

/// A request that is not settled yet.
struct Flight {
    id: RequestId,
    secret: [u8; 32],
    is_audit: bool,
    /// What the quality validators committed to.
    scores: HashMap<usize, Vec<Permill>>,
}

/// What an operator made of it, in the smallest unit.
#[derive(Clone, Copy, Default)]
struct Purse {
    duties: u64,
    paid: u128,
    slashed: u128,
    all_paid: u128,
    all_slashed: u128,
}

/// A mean that grows.
#[derive(Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn or(self, nothing: f64) -> f64 {
        if self.count == 0 {
            nothing
        } else {
            self.sum / self.count as f64
        }
    }
}

struct Game {
    cell: Cell,
    world: World,
    rounds: u64,
    /// All money at the start, and what each player had of it.
    money: u128,
    wealth: Vec<u128>,
    asked: u64,
    block: u64,
    skills: Vec<Skill>,
    flights: Vec<Flight>,
    /// Audits to open: when, which, and with what salt.
    audits: VecDeque<(u64, RequestId, [u8; 32])>,
    purses: HashMap<Player, Purse>,
    /// Whether an inference node that pays for scores had a part in a request.
    bribes: HashMap<RequestId, bool>,
    prior: Mean,
    latest: HashMap<usize, f64>,
    error: Mean,
    errors: Vec<Mean>,
}

impl Game {
    fn new(cell: Cell, world: World, rounds: u64) -> Self {
        let skill = |place| {
            let attacked = if cell.is_attacker(Player::Node(place)) { cell.attack.skill() } else { None };
            let bribing = cell.attack.bribing(place);
            attacked.or(bribing).unwrap_or_else(|| Skill::honest(place, OPERATORS))
        };
        Self {
            cell,
            world,
            rounds,
            money: chain::money(),
            wealth: Player::all().map(Player::wealth).collect(),
            asked: 0,
            block: 0,
            skills: (0..OPERATORS).map(skill).collect(),
            flights: Vec::new(),
            audits: VecDeque::new(),
            purses: HashMap::new(),
            bribes: HashMap::new(),
            prior: Mean::default(),
            latest: HashMap::new(),
            error: Mean::default(),
            errors: vec![Mean::default(); WINDOWS as usize],
        }
    }

    fn is_over(&self) -> bool {
        self.asked == self.rounds && self.flights.is_empty() && self.audits.is_empty()
    }

    /// Plays some blocks, with a request in each, so that about six are in flight at a time, until all are settled and
    /// audited.
    fn play(&mut self, blocks: u64) -> Result<()> {
        for _ in 0..blocks {
            if self.is_over() {
                break;
            }
            self.block += 1;
            chain::begin(self.block);
            if self.asked < self.rounds {
                let (secret, is_audit) = self.world.request(self.asked);
                let id = chain::ask(secret, is_audit)?;
                self.flights.push(Flight { id, secret, is_audit, scores: HashMap::new() });
                self.asked += 1;
            }
            for mut flight in std::mem::take(&mut self.flights) {
                if self.act(&mut flight)? {
                    self.flights.push(flight);
                }
            }
            while let Some(&(due, id, secret)) = self.audits.front() {
                if due > self.block {
                    break;
                }
                chain::open_audit(id, secret)?;
                self.audits.pop_front();
            }
            for event in chain::end(self.block) {
                self.book(event)?;
            }
        }
        Ok(())
    }

    /// Checks the books and measures.
    fn end(self) -> Result<Played> {
        chain::check(self.money)?;
        for (player, before) in Player::all().zip(&self.wealth) {
            let purse = self.purse(player);
            if player.wealth() + purse.all_slashed != before + purse.all_paid {
                bail!("the books of {player:?} do not agree with its account");
            }
        }
        Ok(self.measured())
    }

    /// Does all that is due for a request in this block; `false` when the request is over.
    fn act(&mut self, flight: &mut Flight) -> Result<bool> {
        let id = flight.id;
        let Some(request) = Requests::<Chain>::get(id) else { bail!("request {id} is gone") };
        match request.phase {
            Phase::Requested | Phase::Selecting => {}
            Phase::Answering { .. } => {
                for (place, work) in responders(id) {
                    if work == Work::Pending {
                        let player = Player::Node(place);
                        let output = self.output(flight, place);
                        let commitment = chain::commitment_to_output(player, id, &output);
                        chain::report(player, id, ReportKind::CommitOutput { commitment })?;
                    }
                }
            }
            Phase::Opening { .. } => {
                for (place, work) in responders(id) {
                    let player = Player::Node(place);
                    let refuses = self.cell.attack == Attack::RefuseReveal && self.cell.is_attacker(player);
                    if matches!(work, Work::Committed(_)) && !refuses {
                        let output = BoundedVec::truncate_from(self.output(flight, place));
                        let salt = chain::salt(player, id);
                        chain::report(player, id, ReportKind::RevealOutput { output, salt })?;
                    }
                }
            }
            Phase::Scoring { .. } => {
                for (place, work) in members(id, request.round) {
                    if work == Work::Pending {
                        let player = Player::Validator(place);
                        let scores = self.scores(flight, place);
                        let commitment = chain::commitment_to_scores(player, id, &scores);
                        chain::report(player, id, ReportKind::CommitScores { commitment })?;
                        flight.scores.insert(place, scores);
                    }
                }
            }
            Phase::Revealing { .. } => {
                for (place, work) in members(id, request.round) {
                    if let (Work::Committed(_), Some(scores)) = (work, flight.scores.get(&place)) {
                        let player = Player::Validator(place);
                        let scores = BoundedVec::truncate_from(scores.clone());
                        let salt = chain::salt(player, id);
                        chain::report(player, id, ReportKind::RevealScores { scores, salt })?;
                    }
                }
            }
            Phase::Settled { at, .. } => {
                self.look(flight);
                if flight.is_audit {
                    self.audits.push_back((at + AUDIT_DELAY, id, flight.secret));
                }
                return Ok(false);
            }
            Phase::Refunded { .. } => return Ok(false),
        }
        Ok(true)
    }

    fn output(&self, flight: &Flight, place: usize) -> Vec<u8> {
        let words = match (flight.is_audit, self.answer(flight, place).is_right) {
            (false, _) => "an answer",
            (true, true) => "yes",
            (true, false) => "no",
        };
        words.as_bytes().to_vec()
    }

    fn answer(&self, flight: &Flight, place: usize) -> Answer {
        let skill = self.skills.get(place).copied().unwrap_or_else(|| Skill::honest(place, OPERATORS));
        self.world.answer(flight.id, place, skill, flight.is_audit)
    }

    /// What the quality validator at `place` says of the answers that are shown.
    fn scores(&self, flight: &Flight, place: usize) -> Vec<Permill> {
        let nodes = shown(flight.id);
        let answers: Vec<Answer> = nodes.iter().map(|node| self.answer(flight, *node)).collect();
        let honest = self.world.honest_scores(flight.id, place, &answers);
        if !self.cell.is_attacker(Player::Validator(place)) {
            return honest.into_iter().map(permill).collect();
        }
        let attack = self.cell.attack;
        let mut dice = self.world.dice(flight.id, place);
        let is_second = rand::Rng::random(&mut dice);
        let plot = self.world.plot(flight.id, nodes.len());
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
                    is_late: self.is_late(flight.id),
                };
                permill(attack.score(&sight, is_second, &mut dice))
            })
            .collect()
    }

    /// Takes in what anybody can see of a settled request, and measures its error.
    fn look(&mut self, flight: &Flight) {
        let mut paid_for = false;
        for response in Responses::<Chain>::get(flight.id) {
            let Some(Player::Node(place)) = Player::of(&response.operator) else { continue };
            paid_for |= self.cell.attack.bribing(place).is_some();
            let Some(quality) = response.quality else { continue };
            let consensus = f64::from(quality.deconstruct()) / f64::from(Permill::ACCURACY);
            self.prior.add(consensus);
            self.latest.insert(place, consensus);
            // What is true of an audit is only right or wrong: another measure than the truth of an ordinary answer.
            if !flight.is_audit {
                let error = (consensus - self.answer(flight, place).truth).abs();
                self.error.add(error);
                let window = flight.id * WINDOWS / self.rounds;
                if let Some(window) = self.errors.get_mut(window as usize) {
                    window.add(error);
                }
            }
        }
        self.bribes.insert(flight.id, paid_for);
    }

    fn is_late(&self, request: RequestId) -> bool {
        request >= self.rounds / 2
    }

    /// Whether income in this request counts: only while the attack is at work.
    fn counts(&self, request: RequestId) -> bool {
        match self.cell.attack {
            Attack::Bribed => {
                let seen = self.bribes.get(&request).copied();
                seen.unwrap_or_else(|| shown(request).iter().any(|n| self.cell.attack.bribing(*n).is_some()))
            }
            Attack::Sleeper => self.is_late(request),
            _ => true,
        }
    }

    fn purse(&self, player: Player) -> Purse {
        self.purses.get(&player).copied().unwrap_or_default()
    }

    /// Books what the chain says of money and duties.
    fn book(&mut self, event: Event<Chain>) -> Result<()> {
        let (who, request, paid, slashed, duties) = match event {
            Event::DutyClosed { operator, duty } => {
                // Pay for work that came to nothing is compensation, which has an event of its own.
                let compensated = matches!(duty.outcome, Outcome::Refunded(_) | Outcome::Dismissed);
                (operator, duty.request, if compensated { 0 } else { duty.paid }, 0, 1)
            }
            Event::Slashed { operator, request, amount, .. } => (operator, request, 0, amount, 0),
            Event::Compensated { who, request, amount } => (who, request, amount, 0, 0),
            Event::Unexpected { kind } => {
                bail!("the pallet says that something impossible happened: {kind:?}")
            }
            _ => return Ok(()),
        };
        // The requester is compensated too.
        let Some(player) = Player::of(&who) else { return Ok(()) };
        let counts = self.counts(request);
        let purse = self.purses.entry(player).or_default();
        purse.all_paid += paid;
        purse.all_slashed += slashed;
        if counts {
            purse.duties += duties;
            purse.paid += paid;
            purse.slashed += slashed;
        }
        Ok(())
    }

    fn measured(&self) -> Played {
        let won = |place| {
            let purse = self.purse(Player::Node(place));
            shares(purse.all_paid) - shares(purse.all_slashed)
        };
        let won: Vec<f64> = (0..OPERATORS).map(won).collect();
        let quality: Vec<f64> = self.skills.iter().map(|skill| skill.mean).collect();
        Played {
            cell: self.cell,
            attackers: self.side(true),
            honest: self.side(false),
            error: self.error.or(f64::NAN),
            errors: self.errors.iter().map(|window| window.or(f64::NAN)).collect(),
            rank: rank_correlation(&quality, &won),
        }
    }

    fn side(&self, attacking: bool) -> Side {
        let mut side = Side::default();
        let mut count = 0u32;
        for place in 0..OPERATORS {
            let player = match self.cell.role {
                Role::InferenceNode => Player::Node(place),
                Role::QualityValidator => Player::Validator(place),
            };
            if self.cell.is_attacker(player) != attacking {
                continue;
            }
            let purse = self.purse(player);
            count += 1;
            side.duties += purse.duties;
            side.paid += shares(purse.paid);
            side.slashed += shares(purse.slashed);
            side.won += shares(purse.all_paid) - shares(purse.all_slashed);
            if let Some(record) = player.record() {
                let trust = record.standing.trust(&PARAMETERS.floor);
                side.trust += f64::from(trust.deconstruct()) / f64::from(Permill::ACCURACY);
                side.stake += record.stake as f64 / chain::STAKE as f64;
            }
        }
        let count = f64::from(count.max(1));
        side.won /= count;
        side.trust /= count;
        side.stake /= count;
        side
    }
}

fn responders(id: RequestId) -> Vec<(usize, Work)> {
    let place = |player| if let Some(Player::Node(place)) = player { Some(place) } else { None };
    Responses::<Chain>::get(id)
        .iter()
        .filter_map(|response| Some((place(Player::of(&response.operator))?, response.work)))
        .collect()
}

fn members(id: RequestId, round: u8) -> Vec<(usize, Work)> {
    let place = |player| if let Some(Player::Validator(place)) = player { Some(place) } else { None };
    Committees::<Chain>::get(id, round)
        .iter()
        .filter_map(|member| Some((place(Player::of(&member.operator))?, member.work)))
        .collect()
}

/// The inference nodes whose answers are shown, in the order of the answers.
fn shown(id: RequestId) -> Vec<usize> {
    responders(id).into_iter().filter(|(_, work)| *work == Work::Shown).map(|(place, _)| place).collect()
}

fn permill(score: f64) -> Permill {
    Permill::from_parts((score * f64::from(Permill::ACCURACY)).round() as u32)
}

fn shares(amount: u128) -> f64 {
    amount as f64 / SHARE as f64
}

/// Spearman's: how much the order of `a` is the order of `b`.
fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    // The mean of the places that equal values take.
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

    fn cell(attack: Attack, share: u32) -> Cell {
        Cell { role: Role::QualityValidator, attack, share, rule: Rule::WeightedMedian, audits: 20 }
    }

    #[test]
    fn honest_quality_validators_are_paid_more_than_lazy_ones() {
        // `play` itself fails if money came or went, or if the pallet's invariants are broken.
        for attack in Attack::LAZY {
            let played = play(cell(attack, 30), 1, 300).unwrap();
            assert!(played.attackers.duties > 20, "{played:?}");
            assert!(played.attackers.pay() < 0.7 * played.honest.pay(), "{played:?}");
        }
    }

    #[test]
    fn the_same_seed_plays_the_same_game_and_another_does_not() {
        let first = play(cell(Attack::Collusion, 40), 7, 200).unwrap();
        let again = std::thread::spawn(|| play(cell(Attack::Collusion, 40), 7, 200).unwrap()).join().unwrap();
        assert_eq!(first, again);
        assert_ne!(first.error, play(cell(Attack::Collusion, 40), 8, 200).unwrap().error);
    }

    #[test]
    fn an_inference_node_that_shows_nothing_pays_for_it() {
        let refusing = Cell { role: Role::InferenceNode, ..cell(Attack::RefuseReveal, 30) };
        let played = play(refusing, 1, 200).unwrap();
        assert!(played.attackers.income() < 0.0 && played.honest.income() > 0.0, "{played:?}");
    }

    #[test]
    fn a_commitment_that_was_copied_cannot_be_revealed() {
        chain::genesis().unwrap().execute_with(|| {
            let world = World { seed: 1, audits: 0.0 };
            let mut game = Game::new(cell(Attack::Honest, 0), world, 1);
            let mut block = 1;
            chain::begin(block);
            let mut flight = Flight {
                id: chain::ask([1; 32], false).unwrap(),
                secret: [1; 32],
                is_audit: false,
                scores: HashMap::new(),
            };
            while members(flight.id, 0).is_empty() {
                game.act(&mut flight).unwrap();
                chain::end(block);
                block += 1;
                chain::begin(block);
            }
            let places: Vec<usize> = members(flight.id, 0).into_iter().map(|(place, _)| place).collect();
            let (thief, victim) = (Player::Validator(places[0]), Player::Validator(places[1]));
            let scores = game.scores(&flight, places[1]);
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

    #[test]
    fn ranks_correlate_fully_or_not_at_all() {
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[10.0, 20.0, 90.0]), 1.0);
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
    }
}
