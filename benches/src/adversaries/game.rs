//! The game: blocks, requests, and the moves of each operator.

use crate::adversaries::{
    attacks::{Attack, Role},
    books::Mean,
    cell::{Cell, Played, Purchase, WINDOWS},
    chain::{self, Asker, Chain, Order, STAKE},
    climb::{self, Closed},
    lineup::Lineup,
    moves::{members, responders},
    player::{Player, FRESH_FROM},
    purse::{shares, Purse},
    world::{Skill, World},
};
use anyhow::{bail, ensure, Result};
use pallet_proof_of_quality::{Phase, RequestId, Requests, Standing, Work};
use sp_runtime::Permill;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// Blocks between a settlement and the reveal of an audit.
const AUDIT_DELAY: u64 = 20;

/// Block in which honest newcomers join beside squatters, and their number.
const NEWCOMERS_AT: u64 = 200;
const NEWCOMERS: usize = 12;

/// An open request.
pub struct Flight {
    pub id: RequestId,
    pub by: Asker,
    /// Its number in the world, from which random numbers derive.
    pub number: u64,
    pub secret: [u8; 32],
    pub is_audit: bool,
    pub is_answerable: bool,
    /// Scores that quality validators committed to, by place.
    pub scores: HashMap<usize, Vec<Permill>>,
}

/// Facts about a request from its making on.
pub struct Asked {
    pub by: Asker,
    pub number: u64,
    /// Whether an inference node that pays for scores was drawn; `None` before the draw.
    pub is_bribed: Option<bool>,
}

/// A game under way.
pub struct Game {
    pub cell: Cell,
    pub lineup: Lineup,
    pub world: World,
    pub rounds: u64,
    /// All money at the start.
    pub money: u128,
    /// Balance of each player when it joined.
    pub wealth: HashMap<Player, u128>,
    /// The balances of the honest and of the attacking requester at the start.
    pub wealth_of_askers: [u128; 2],
    /// The attackers' operators.
    pub friends: BTreeSet<Player>,
    /// Players slashed by an audit, which leave next.
    pub caught: Vec<Player>,
    pub block: u64,
    /// Number of requests made: honest ones, and the attacker's.
    pub made: [u64; 2],
    pub asked: Vec<Asked>,
    pub skills: HashMap<usize, Skill>,
    pub flights: Vec<Flight>,
    /// Work left for a duty, in half duties.
    pub work: HashMap<(Player, RequestId), u32>,
    /// Work that a player can still do in this block, in half duties.
    pub time: HashMap<Player, u32>,
    /// Audits to reveal: block, request and salt.
    pub audits: VecDeque<(u64, RequestId, [u8; 32])>,
    pub purses: HashMap<Player, Purse>,
    pub bought: [Purchase; 2],
    pub prior: Mean,
    pub latest: HashMap<usize, f64>,
    pub error: Mean,
    pub errors: Vec<Mean>,
    /// Requests that are over, in the order of their ends; only in games that are about the ranking.
    pub closed: Vec<Closed>,
}

impl Game {
    pub fn new(cell: Cell, lineup: Lineup, world: World, rounds: u64) -> Self {
        let friends: BTreeSet<Player> =
            lineup.seats.iter().filter(|seat| seat.attacks).map(|seat| seat.player).collect();
        let count = lineup.nodes();
        let skill = |place| {
            let is_attacker = cell.role == Role::InferenceNode && !cell.is_idle;
            let is_attacker = is_attacker && friends.contains(&Player::Node(place));
            let attacked = if is_attacker { cell.attack.skill() } else { None };
            let bribing = cell.attack.bribing(place);
            let ranked = cell.attack.is_climbing().then(|| climb::skill(place));
            attacked.or(bribing).or(ranked).unwrap_or_else(|| Skill::honest(place, count))
        };
        Self {
            cell,
            world,
            rounds,
            money: chain::money(),
            wealth: lineup.seats.iter().map(|seat| (seat.player, seat.player.wealth())).collect(),
            wealth_of_askers: ASKERS.map(Asker::wealth),
            caught: Vec::new(),
            block: 0,
            made: [0; 2],
            asked: Vec::new(),
            skills: (0..count).map(|place| (place, skill(place))).collect(),
            flights: Vec::new(),
            work: HashMap::new(),
            time: HashMap::new(),
            audits: VecDeque::new(),
            purses: HashMap::new(),
            bought: [Purchase::default(); 2],
            prior: Mean::default(),
            latest: HashMap::new(),
            error: Mean::default(),
            errors: vec![Mean::default(); WINDOWS as usize],
            closed: Vec::new(),
            friends,
            lineup,
        }
    }

    /// Gives all operators the standing that they deserve. Games with an attacking requester are not about how standing is earned.
    pub fn make_known(&self) -> Result<()> {
        for seat in &self.lineup.seats {
            let quality = match seat.player {
                Player::Node(place) => self.skills.get(&place).map_or(0.0, |skill| skill.mean),
                Player::Validator(_) => 0.0,
            };
            let (one, most) = (Permill::one(), Permill::from_percent(90));
            let quality = Permill::from_parts((quality * 1e6) as u32);
            chain::make_known(
                seat.player,
                Standing { agreement: most, veracity: most, reliability: one, quality },
            )?;
        }
        Ok(())
    }

    pub fn is_over(&self) -> bool {
        self.is_asked_out() && self.flights.is_empty() && self.audits.is_empty()
    }

    fn is_asked_out(&self) -> bool {
        self.made(Asker::Honest) == self.rounds
    }

    pub fn made(&self, by: Asker) -> u64 {
        self.made.get(by as usize).copied().unwrap_or_default()
    }

    /// Plays a number of blocks with an honest request in each, so that about six are open at a time, until all are closed and
    /// audited.
    pub fn play(&mut self, blocks: u64) -> Result<()> {
        for _ in 0..blocks {
            if self.is_over() {
                break;
            }
            self.block += 1;
            self.time = self.lineup.seats.iter().map(|seat| (seat.player, seat.speed)).collect();
            chain::begin(self.block);
            for who in std::mem::take(&mut self.caught) {
                self.come_back(who)?;
            }
            if self.cell.attack == Attack::Squatter && self.block == NEWCOMERS_AT {
                self.bring_newcomers()?;
            }
            if !self.is_asked_out() {
                // The attacker asks first, which is no disadvantage.
                self.attack_by_asking()?;
                let is_climbing = self.cell.attack.is_climbing();
                let generators = |order| Order { generators: &climb::GENERATORS, ..order };
                self.ask(Asker::Honest, true, |order| if is_climbing { generators(order) } else { order })?;
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
                chain::reveal_audit(id, secret)?;
                self.audits.pop_front();
            }
            for event in chain::end(self.block) {
                self.book(event)?;
            }
        }
        Ok(())
    }

    /// Makes a request. Only honest ones are audits.
    pub fn ask(&mut self, by: Asker, is_answerable: bool, with: impl Fn(Order) -> Order) -> Result<()> {
        // Apart from the numbers of honest requests.
        let first = if by == Asker::Honest { 0 } else { 1 << 40 };
        let number = first + self.made(by);
        let (secret, is_audit) = self.world.request(number);
        let is_audit = is_audit && by == Asker::Honest;
        let id = chain::ask(with(Order { is_audit, ..Order::new(by, secret) }))?;
        let scores = HashMap::new();
        self.flights.push(Flight { id, by, number, secret, is_audit, is_answerable, scores });
        ensure!(id == self.asked.len() as u64, "request {id} was not asked here");
        self.asked.push(Asked { by, number, is_bribed: None });
        if let (Some(made), Some(bought)) = (self.made.get_mut(by as usize), self.bought.get_mut(by as usize))
        {
            *made += 1;
            bought.requests += 1;
        }
        Ok(())
    }

    /// Replaces a slashed account of the attackers by a fresh one.
    fn come_back(&mut self, who: Player) -> Result<()> {
        // An operator that has left may still be slashed for earlier scores.
        if who.record().is_none_or(|record| record.stake == 0) {
            return Ok(());
        }
        chain::leave(who)?;
        let fresh = Player::Validator(FRESH_FROM + self.lineup.seats.len());
        let stake = self.lineup.seats.first().map_or(0, |seat| seat.stake);
        chain::join(fresh, stake, chain::EVALUATOR)?;
        self.wealth.insert(fresh, fresh.wealth());
        self.friends.insert(fresh);
        self.lineup.add(fresh, stake, true);
        Ok(())
    }

    /// Has honest quality validators join, which may find no place.
    fn bring_newcomers(&mut self) -> Result<()> {
        for place in 0..NEWCOMERS {
            let fresh = Player::Validator(FRESH_FROM + place);
            let has_place = chain::join(fresh, STAKE, chain::EVALUATOR);
            ensure!(
                has_place.as_ref().err().is_none_or(|error| error.to_string().contains("RosterFull")),
                "{has_place:?}"
            );
            self.wealth.insert(fresh, fresh.wealth());
            self.lineup.add(fresh, STAKE, false);
        }
        Ok(())
    }

    /// Checks the books and measures.
    pub fn end(mut self) -> Result<Played> {
        chain::check(self.money)?;
        for (player, before) in &self.wealth {
            let purse = self.purse(*player);
            if player.wealth() + purse.slashed != before + purse.paid {
                bail!("the books of {player:?} do not agree with its account");
            }
        }
        for ((asker, before), bought) in ASKERS.into_iter().zip(self.wealth_of_askers).zip(&mut self.bought) {
            bought.spent = shares(before - asker.wealth());
        }
        Ok(self.measured())
    }

    /// Does all that is due for a request in this block; `false` when the request is over.
    pub fn act(&mut self, flight: &mut Flight) -> Result<bool> {
        let id = flight.id;
        let Some(request) = Requests::<Chain>::get(id) else { bail!("request {id} is gone") };
        match request.phase {
            Phase::Requested | Phase::Selecting => {}
            Phase::Answering { until } => {
                for (place, work) in responders(id) {
                    if work == Work::Pending {
                        self.answer_request(flight, place, until, false)?;
                    }
                }
            }
            Phase::RevealingAnswers { until } => {
                for (place, work) in responders(id) {
                    match work {
                        // A sole responder has nobody to hide its answer from.
                        Work::Pending => self.answer_request(flight, place, until, true)?,
                        Work::Committed(_) => self.open_answer(flight, &request, place)?,
                        _ => {}
                    }
                }
            }
            Phase::Scoring { until } => {
                for (place, work) in members(id, request.round) {
                    if work == Work::Pending {
                        self.score_request(flight, &request, place, until)?;
                    }
                }
            }
            Phase::RevealingScores { .. } => {
                for (place, work) in members(id, request.round) {
                    if matches!(work, Work::Committed(_)) {
                        self.reveal_scores(flight, &request, place)?;
                    }
                }
            }
            Phase::Settled { at, .. } | Phase::Refunded { at, .. } => {
                if matches!(request.phase, Phase::Settled { .. }) {
                    self.look(flight);
                }
                self.take_delivery(flight, &request);
                if flight.is_audit {
                    self.audits.push_back((at + AUDIT_DELAY, id, flight.secret));
                }
                return Ok(false);
            }
        }
        Ok(true)
    }
}

pub const ASKERS: [Asker; 2] = [Asker::Honest, Asker::Attacker];
