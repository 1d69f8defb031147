//! The lineup of a game: the operators at its start, with stakes and sides.

use crate::adversaries::{
    attacks::{Attack, Role},
    cell::{Cell, Stakes},
    chain::{Balance, EVALUATOR, GENERATOR, MIN_STAKE, PARAMETERS, STAKE, THIN_EVALUATOR},
    climb,
    player::Player,
};
use pallet_proof_of_quality::ModelId;

/// Operators of each kind, where stakes are equal.
pub const OPERATORS: usize = 20;

/// One of this many operators is slow, in games whose attacker is a requester.
const SLOW: usize = 5;

/// Work that an operator does in a block, in half duties: more than it ever gets.
const AT_ONCE: u32 = 1_000;
/// The same where time is short: its whole capacity in the two blocks of a window.
const IN_TIME: u32 = 3;
/// The same for an operator that is slower than its capacity.
const TOO_SLOW: u32 = 2;

/// An operator at the start.
#[derive(Clone, Debug)]
pub struct Seat {
    pub player: Player,
    pub stake: Balance,
    /// Whether it belongs to the attackers.
    pub attacks: bool,
    /// The model that it serves.
    pub model: ModelId,
    /// Work that it does in a block, in half duties.
    pub speed: u32,
}

/// All operators at the start.
#[derive(Clone, Debug, Default)]
pub struct Lineup {
    pub seats: Vec<Seat>,
}

impl Lineup {
    /// The lineup of a cell.
    pub fn of(cell: Cell) -> Self {
        let seats = |player: fn(usize) -> Player, role| match (cell.role, cell.stakes) {
            (Role::Requester, _) => equal(player, cell.share, true),
            (own, Stakes::Few) if own == role => few(player, cell.share),
            (own, _) => equal(player, if own == role { cell.share } else { 0 }, false),
        };
        let mut seats: Vec<Seat> = seats(Player::Node, Role::InferenceNode)
            .into_iter()
            .chain(seats(Player::Validator, Role::QualityValidator))
            .collect();
        if cell.attack == Attack::Squatter {
            for seat in seats.iter_mut().filter(|seat| matches!(seat.player, Player::Validator(_))) {
                (seat.stake, seat.attacks) = (MIN_STAKE, true);
            }
        }
        if cell.attack == Attack::FreeCommittee {
            seats.extend(thin(Player::Validator));
        }
        if cell.attack.is_climbing() {
            for seat in &mut seats {
                if let Player::Node(place) = seat.player {
                    (seat.model, seat.attacks) = (climb::model(place), climb::is_owned(cell.attack, place));
                }
            }
        }
        Self { seats }
    }

    /// Operators of this kind.
    pub fn nodes(&self) -> usize {
        self.seats.iter().filter(|seat| matches!(seat.player, Player::Node(_))).count()
    }

    /// Adds an operator that joins during the game.
    pub fn add(&mut self, player: Player, stake: Balance, attacks: bool) {
        self.seats.push(Seat { player, stake, attacks, model: usual(player), speed: AT_ONCE });
    }
}

/// The model that a player serves in most games.
fn usual(player: Player) -> ModelId {
    match player {
        Player::Node(_) => GENERATOR,
        Player::Validator(_) => EVALUATOR,
    }
}

/// Operators with equal stakes, of which `percent` attack.
fn equal(player: fn(usize) -> Player, percent: u32, in_time: bool) -> Vec<Seat> {
    let seat = |place: usize| Seat {
        player: player(place),
        stake: STAKE,
        attacks: is_attacker(place, percent),
        model: usual(player(place)),
        speed: match in_time {
            false => AT_ONCE,
            true if place.is_multiple_of(SLOW) => TOO_SLOW,
            true => IN_TIME,
        },
    };
    (0..OPERATORS).map(seat).collect()
}

/// Attackers with `percent` of the stake in accounts at the stake cap, and honest operators with the least stake.
fn few(player: fn(usize) -> Player, percent: u32) -> Vec<Seat> {
    let cap = PARAMETERS.stake_cap;
    let (large, small) = ((percent / cap) as usize, 100u32.saturating_sub(percent) as usize);
    let seat = |place: usize| Seat {
        player: player(place),
        stake: if place < large { MIN_STAKE * Balance::from(cap) } else { MIN_STAKE },
        attacks: place < large,
        model: usual(player(place)),
        speed: AT_ONCE,
    };
    (0..large + small).map(seat).collect()
}

/// Three attacking and two honest quality validators of an evaluator that nobody else serves.
fn thin(player: fn(usize) -> Player) -> Vec<Seat> {
    let seat = |place: usize| Seat {
        player: player(OPERATORS + place),
        stake: STAKE,
        attacks: place < 3,
        model: THIN_EVALUATOR,
        speed: IN_TIME,
    };
    (0..5).map(seat).collect()
}

/// Whether the operator at `place` attacks, if `percent` do. Attackers stand between honest operators, so that inference
/// nodes of every quality are among them.
fn is_attacker(place: usize, percent: u32) -> bool {
    // A shuffle, because 7 and 20 have no common divisor.
    (place * 7) % OPERATORS * 100 < percent as usize * OPERATORS
}
