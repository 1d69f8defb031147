//! Which cells are played.

use crate::{
    attacks::{Attack, Role},
    cell::Cell,
    chain::Rule,
};

/// The rule and the audits that a chain has if it knows no better.
pub const DEFAULT_RULE: Rule = Rule::WeightedMedian;
/// Audits of a thousand requests.
pub const DEFAULT_AUDITS: u32 = 20;
/// Percent of the stake up to which the protocol has to hold.
pub const MINORITY: u32 = 30;
/// Percent of the stake of a majority.
pub const MAJORITY: u32 = 60;

const SHARES: [u32; 6] = [10, 20, MINORITY, 40, 50, MAJORITY];

/// Every attack, share and rule; the weighted median without audits too; inference nodes under the defaults.
pub fn full() -> Vec<Cell> {
    let mut cells: Vec<Cell> =
        Rule::ALL.iter().flat_map(|rule| of_validators(*rule, DEFAULT_AUDITS, &SHARES)).collect();
    cells.extend(of_validators(DEFAULT_RULE, 0, &SHARES));
    cells.extend(of_nodes(&SHARES));
    cells
}

/// The defaults at two shares, and what a majority does without audits.
pub fn quick() -> Vec<Cell> {
    let shares = [MINORITY, MAJORITY];
    let mut cells = of_validators(DEFAULT_RULE, DEFAULT_AUDITS, &shares);
    let majority = majority(0);
    cells.extend([majority.baseline(), majority]);
    cells.extend(of_nodes(&shares));
    cells
}

/// A majority that colludes.
pub fn majority(audits: u32) -> Cell {
    Cell {
        role: Role::QualityValidator,
        attack: Attack::Collusion,
        share: MAJORITY,
        rule: DEFAULT_RULE,
        audits,
    }
}

fn of_validators(rule: Rule, audits: u32, shares: &[u32]) -> Vec<Cell> {
    let cell = |attack, share| Cell { role: Role::QualityValidator, attack, share, rule, audits };
    // What is divided by: a world without attackers, and one in which bribes are offered and nobody takes them.
    let mut cells = vec![cell(Attack::Honest, 0), cell(Attack::Bribed, 0)];
    for attack in Attack::OF_VALIDATORS {
        cells.extend(shares.iter().map(|share| cell(attack, *share)));
    }
    cells
}

fn of_nodes(shares: &[u32]) -> Vec<Cell> {
    let cell = |attack, share| Cell {
        role: Role::InferenceNode,
        attack,
        share,
        rule: DEFAULT_RULE,
        audits: DEFAULT_AUDITS,
    };
    let mut cells = vec![cell(Attack::Honest, 0)];
    for attack in Attack::OF_NODES {
        cells.extend(shares.iter().map(|share| cell(attack, *share)));
    }
    cells
}
