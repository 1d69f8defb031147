//! The cells that are played.

use crate::adversaries::{
    attacks::{Attack, Role},
    cell::{Cell, Stakes},
    chain::Rule,
};

/// The default rule.
pub const DEFAULT_RULE: Rule = Rule::WeightedMedian;
/// Audits by default, per thousand requests.
pub const DEFAULT_AUDITS: u32 = 20;
/// Share of the stake up to which the protocol has to hold, in per cent.
pub const MINORITY: u32 = 30;
/// Share of the stake of a majority, in per cent.
pub const MAJORITY: u32 = 60;

const SHARES: [u32; 6] = [10, 20, MINORITY, 40, 50, MAJORITY];
/// Shares where the attackers have few large accounts.
const SHARES_OF_FEW: [u32; 2] = [20, MINORITY];

/// Shares under the rules that are not the default.
const SHARES_OF_OTHERS: [u32; 2] = [MINORITY, 40];

/// Every attack and share under the default rule, with and without audits, and some under the other rules; inference nodes,
/// few attackers with large stakes, requesters and squatters under the defaults.
pub fn full() -> Vec<Cell> {
    let mut cells = of_validators(DEFAULT_RULE, DEFAULT_AUDITS, &SHARES);
    cells.extend(of_validators(DEFAULT_RULE, 0, &SHARES));
    for rule in Rule::ALL.into_iter().filter(|rule| *rule != DEFAULT_RULE) {
        cells.extend(of_validators(rule, DEFAULT_AUDITS, &SHARES_OF_OTHERS));
    }
    cells.extend(of_nodes(&SHARES));
    cells.extend(of_few(&SHARES_OF_FEW));
    cells.extend(of_requesters());
    cells.extend(of_climbers());
    cells.push(squatter());
    with_baselines(cells)
}

/// The defaults at two shares, and a majority without audits.
pub fn quick() -> Vec<Cell> {
    let shares = [MINORITY, MAJORITY];
    let mut cells = of_validators(DEFAULT_RULE, DEFAULT_AUDITS, &shares);
    cells.push(majority(0));
    cells.extend(of_nodes(&shares));
    cells.extend(of_few(&[MINORITY]));
    cells.extend(of_requesters());
    cells.extend(of_climbers());
    cells.push(squatter());
    with_baselines(cells)
}

/// A cell under the defaults.
pub fn cell(role: Role, attack: Attack, share: u32) -> Cell {
    Cell {
        role,
        attack,
        share,
        stakes: Stakes::Equal,
        rule: DEFAULT_RULE,
        audits: DEFAULT_AUDITS,
        is_idle: false,
    }
}

/// A majority that colludes.
pub fn majority(audits: u32) -> Cell {
    Cell { audits, ..cell(Role::QualityValidator, Attack::Collusion, MAJORITY) }
}

/// A minority of conditional liars. Their losses depend on few audits, so one world says little.
pub fn liars() -> Cell {
    cell(Role::QualityValidator, Attack::ConditionalLiar, MINORITY)
}

/// Squatters that own the whole roster.
pub fn squatter() -> Cell {
    cell(Role::QualityValidator, Attack::Squatter, 100)
}

/// Attacks by requesters. A self-dealing one owns a minority of the operators.
pub fn of_requesters() -> Vec<Cell> {
    let share = |attack| if attack == Attack::SelfDealing { MINORITY } else { 0 };
    Attack::OF_REQUESTERS.into_iter().map(|attack| cell(Role::Requester, attack, share(attack))).collect()
}

/// Climbers, who own a part of the quality validators: nobody, a minority, or all.
pub fn of_climbers() -> Vec<Cell> {
    let shares = [0, MINORITY, 100];
    all(Role::Requester, &Attack::OF_CLIMBERS, &shares).collect()
}

fn of_validators(rule: Rule, audits: u32, shares: &[u32]) -> Vec<Cell> {
    all(Role::QualityValidator, &Attack::OF_VALIDATORS, shares)
        .map(|cell| Cell { rule, audits, ..cell })
        .collect()
}

fn of_nodes(shares: &[u32]) -> Vec<Cell> {
    all(Role::InferenceNode, &Attack::OF_NODES, shares).collect()
}

fn of_few(shares: &[u32]) -> Vec<Cell> {
    all(Role::QualityValidator, &Attack::OF_FEW, shares)
        .map(|cell| Cell { stakes: Stakes::Few, ..cell })
        .collect()
}

fn all<'a>(role: Role, attacks: &'a [Attack], shares: &'a [u32]) -> impl Iterator<Item = Cell> + 'a {
    attacks.iter().flat_map(move |attack| shares.iter().map(move |share| cell(role, *attack, *share)))
}

/// The cells and their baselines, each once.
fn with_baselines(cells: Vec<Cell>) -> Vec<Cell> {
    let mut all: Vec<Cell> = Vec::new();
    for cell in cells {
        for cell in [cell.baseline(), cell] {
            if !all.contains(&cell) {
                all.push(cell);
            }
        }
    }
    all
}
