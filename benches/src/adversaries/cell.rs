//! One cell of the grid: one attack by one part of the operators under one rule, played and measured.

use crate::adversaries::{
    attacks::{Attack, Role},
    chain::{self, Rule},
    climb::Closed,
    game::Game,
    lineup::{Lineup, OPERATORS},
    player::Player,
    purse::Tally,
    world::World,
};
use anyhow::Result;
use sp_state_machine::BasicExternalities;

/// Number of windows of a game, each with an error of its own.
pub const WINDOWS: u64 = 20;

/// Blocks between two clean-ups of the state.
const BLOCKS_AT_A_TIME: u64 = 100;

/// Factor by which games with an attacking requester have fewer honest requests, because the attacker's come on top.
const SHORTER: u64 = 4;

/// A cell of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cell {
    pub role: Role,
    pub attack: Attack,
    /// Percent of the stake of that role that the attackers have; of a requester, percent of both roles that it owns.
    pub share: u32,
    pub stakes: Stakes,
    pub rule: Rule,
    /// Requests of a thousand that are known-answer audits.
    pub audits: u32,
    /// Whether the attackers are honest: what the attack is measured against.
    pub is_idle: bool,
}

/// Distribution of the stake in the attackers' role. The other role always has equal stakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stakes {
    /// Twenty operators with the same stake.
    Equal,
    /// The attackers' in accounts at the stake cap, the honest operators' in accounts with the least stake.
    Few,
}

impl Stakes {
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Few => "few",
        }
    }
}

impl Cell {
    /// The same without an attack.
    pub fn baseline(self) -> Self {
        if !self.attack.is_plain_without_attackers() {
            return Self { is_idle: true, ..self };
        }
        // With equal stakes the share of would-be attackers does not matter.
        let share = if self.stakes == Stakes::Equal { 0 } else { self.share };
        Self { attack: Attack::Honest, share, is_idle: true, ..self }
    }

    /// Whether both the attacked and all other duties are of interest.
    pub fn is_partial(self) -> bool {
        matches!(self.attack, Attack::Bribed | Attack::Sleeper)
    }

    /// Honest requests in its game, where one of the longest has `rounds`.
    pub fn rounds(self, rounds: u64) -> u64 {
        if self.role == Role::Requester {
            rounds / SHORTER
        } else {
            rounds
        }
    }
}

/// Result of one side. Money is in shares: 1 is the pay of a perfect duty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// All duties.
    pub all: Tally,
    /// The duties in which the attack was at work.
    pub attacked: Tally,
    /// All that an operator won or lost in the whole game, on average.
    pub won: f64,
    /// Trust at the end, of a quality validator on average.
    pub trust: f64,
    /// The part of the stake that is left, on average.
    pub stake: f64,
}

/// Expenses and deliveries of one requester, in shares.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Purchase {
    /// Requests.
    pub requests: u64,
    /// Those that were settled.
    pub settled: u64,
    /// Net amount that left its account.
    pub spent: f64,
    /// Answers revealed by operators that are not its own, each valued as a perfect one.
    pub answers: f64,
    /// Pay for those.
    pub answers_paid: f64,
    /// Scores revealed by operators that are not its own, each valued as a perfect one.
    pub scores: f64,
    /// Pay for those.
    pub scores_paid: f64,
    /// The chain's fees on requests for which anybody was drawn.
    pub fees: f64,
}

/// Result of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    pub cell: Cell,
    pub attackers: Side,
    pub honest: Side,
    /// Tally of each honest operator, over all its duties.
    pub honest_operators: Vec<(Player, Tally)>,
    /// Purchases of the attacking and the honest requester.
    pub bought: [Purchase; 2],
    /// Places in the evaluator's roster at the end: the attackers' and all others'.
    pub places: [u32; 2],
    /// Mean distance of the consensus from the truth, over all responses of ordinary honest requests.
    pub error: f64,
    /// The same in each window of the game.
    pub errors: Vec<f64>,
    /// Requests that are over, in the order of their ends; only in games that are about the ranking.
    pub closed: Vec<Closed>,
    /// Rank correlation of the quality of inference nodes and of what they won.
    pub rank: f64,
}

/// Plays a cell.
pub fn play(cell: Cell, seed: u64, rounds: u64) -> Result<Played> {
    let rounds = cell.rounds(rounds);
    let is_asking = cell.role == Role::Requester;
    chain::RuleInForce::set(cell.rule);
    chain::Seed::set(seed);
    chain::Handled::set(0);
    chain::Places::set(if cell.attack == Attack::Squatter { OPERATORS as u32 } else { chain::MOST_PLACES });
    chain::Capacity::set(if is_asking { chain::SHORT } else { chain::AMPLE });
    let world = World { seed, audits: f64::from(cell.audits) / 1_000.0 };
    let lineup = Lineup::of(cell);
    let mut state = chain::genesis(&lineup)?;
    let mut game = state.execute_with(|| Game::new(cell, lineup, world, rounds));
    if is_asking {
        state.execute_with(|| game.make_known())?;
    }
    while !game.is_over() {
        state.execute_with(|| game.play(BLOCKS_AT_A_TIME))?;
        // Removed keys slow down iteration until the state is made anew.
        state = BasicExternalities::new(state.into_storages());
    }
    state.execute_with(|| game.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversaries::grid;

    fn cell(attack: Attack, share: u32) -> Cell {
        grid::cell(Role::QualityValidator, attack, share)
    }

    /// `play` itself fails if money came or went, if an account is not what its purse says, if an invariant of the pallet is broken, or if a
    /// folder's failure is accepted.
    fn played(cell: Cell, rounds: u64) -> Played {
        play(cell, 1, rounds).unwrap()
    }

    #[test]
    fn honest_quality_validators_are_paid_more_than_lazy_ones() {
        for attack in Attack::LAZY {
            let played = played(cell(attack, 30), 300);
            assert!(played.attackers.all.duties > 20.0, "{played:?}");
            assert!(played.attackers.all.pay() < 0.7 * played.honest.all.pay(), "{played:?}");
        }
    }

    #[test]
    fn a_folder_earns_less_than_one_that_does_not_fold() {
        let pairs = [(Role::QualityValidator, Attack::LazyPrior), (Role::InferenceNode, Attack::CheapModel)];
        for (role, bold) in pairs {
            let income = |attack| played(grid::cell(role, attack, 30), 300).attackers.all.income();
            let (folder, other) = (income(Attack::Folder), income(bold));
            assert!(folder < other, "{role:?}: {folder} against {other}");
        }
    }

    #[test]
    fn a_requester_whom_nothing_is_good_enough_pays_as_much_as_an_honest_one() {
        let cell = grid::cell(Role::Requester, Attack::FreeAnswers, 0);
        let (with, without) = (played(cell, 1_200), played(cell.baseline(), 1_200));
        let row = crate::adversaries::row::Row { played: &with, baseline: &without };
        assert!(row.purchase().answers > 500.0, "{with:?}");
        let part = row.cost() / row.honest_price();
        assert!((0.95..1.05).contains(&part), "{part}");
    }

    #[test]
    fn the_same_seed_plays_the_same_game_and_another_does_not() {
        let asking = grid::cell(Role::Requester, Attack::FreeAnswers, 0);
        for (cell, rounds) in
            [(cell(Attack::Collusion, 40), 200), (cell(Attack::Whitewash, 30), 200), (asking, 600)]
        {
            let first = play(cell, 7, rounds).unwrap();
            let again = std::thread::spawn(move || play(cell, 7, rounds).unwrap()).join().unwrap();
            assert_eq!(first, again);
            assert_ne!(first.error, play(cell, 8, rounds).unwrap().error);
        }
    }

    #[test]
    fn an_inference_node_that_shows_nothing_pays_for_it() {
        let played = played(grid::cell(Role::InferenceNode, Attack::RefuseReveal, 30), 200);
        assert!(played.attackers.all.income() < 0.0 && played.honest.all.income() > 0.0, "{played:?}");
    }

    #[test]
    fn who_is_caught_comes_back_with_a_fresh_account() {
        let played = played(cell(Attack::Whitewash, 30), 1_000);
        assert!(played.attackers.all.slashed > 0.0, "{played:?}");
        // Slashed operators leave and as many join, so six places stay.
        assert_eq!(played.places, [6, 14], "{played:?}");
    }

    #[test]
    fn few_attackers_hold_their_share_of_the_stake() {
        let lineup = Lineup::of(Cell { stakes: Stakes::Few, ..cell(Attack::Collusion, 30) });
        let validators = lineup.seats.iter().filter(|seat| matches!(seat.player, Player::Validator(_)));
        let stake = |attacks: bool| -> u128 {
            validators.clone().filter(|seat| seat.attacks == attacks).map(|seat| seat.stake).sum()
        };
        assert_eq!(validators.clone().filter(|seat| seat.attacks).count(), 3);
        assert_eq!(stake(true) * 70, stake(false) * 30);
    }
}
