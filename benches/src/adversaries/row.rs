//! A row: a cell beside its run without the attack.

use crate::adversaries::{
    cell::{Played, Purchase},
    player::Player,
};

/// Limit of the error under an attack, as a ratio to the error without it.
pub const MOST_ERROR: f64 = 1.5;

/// A cell beside its run without the attack.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    pub played: &'a Played,
    pub baseline: &'a Played,
}

impl Row<'_> {
    /// Ratio of an attacker's income per duty to an honest operator's, over all duties; `None` where nobody attacks.
    pub fn income(&self) -> Option<f64> {
        self.of_honest(|side| side.all.income())
    }

    /// [`Row::income`] before slashes.
    pub fn pay(&self) -> Option<f64> {
        self.of_honest(|side| side.all.pay())
    }

    /// [`Row::income`] over the duties in which the attack was at work.
    pub fn attacked_income(&self) -> Option<f64> {
        self.of_honest(|side| side.attacked.income())
    }

    fn of_honest(&self, value: impl Fn(&crate::adversaries::cell::Side) -> f64) -> Option<f64> {
        let Played { attackers, honest, cell, .. } = self.played;
        (!cell.is_idle && attackers.all.duties > 0.0).then(|| value(attackers) / value(honest))
    }

    /// Ratio of the error to that without the attack.
    pub fn error(&self) -> f64 {
        self.played.error / self.baseline.error
    }

    /// The last window whose error was too large, counted from 1; 0 if there was none.
    pub fn last_bad_window(&self) -> u64 {
        let is_bad = |error: &f64| *error > MOST_ERROR * self.baseline.error;
        self.played.errors.iter().rposition(is_bad).map_or(0, |place| place as u64 + 1)
    }

    /// Ratio of the error in the last window to that without the attack.
    pub fn last_error(&self) -> f64 {
        self.played.errors.last().copied().unwrap_or(f64::NAN) / self.baseline.error
    }

    /// Income per duty of honest inference nodes and of honest quality validators, of that without the attack: of each operator against
    /// itself, weighted by its duties without the attack, so that it does not matter which operators more work goes to.
    pub fn honest_income(&self) -> [f64; 2] {
        let ratio = |is_of_kind: fn(&Player) -> bool| {
            let (mut with, mut without) = (0.0, 0.0);
            let operators = self.played.honest_operators.iter().zip(&self.baseline.honest_operators);
            for ((_, now), (_, before)) in operators.filter(|((player, _), _)| is_of_kind(player)) {
                if now.duties > 0.0 {
                    with += now.income() * before.duties;
                    without += before.net();
                }
            }
            with / without
        };
        [
            ratio(|player| matches!(player, Player::Node(_))),
            ratio(|player| matches!(player, Player::Validator(_))),
        ]
    }

    /// Cost of a requester's attack: the amount that left its account, less the additional income of its own operators.
    pub fn cost(&self) -> f64 {
        let own = self.played.attackers.all.net() - self.baseline.attackers.all.net();
        self.purchase().spent - own
    }

    /// Honest price of the same answers and scores, at the rates of the run without the attack.
    pub fn honest_price(&self) -> f64 {
        let [rates, _] = self.baseline.bought;
        let got = self.purchase();
        got.answers * rates.answers_paid / rates.answers
            + got.scores * rates.scores_paid / rates.scores
            + got.fees
    }

    /// Purchases of the attacker.
    pub fn purchase(&self) -> Purchase {
        let [_, attacker] = self.played.bought;
        attacker
    }

    /// The part of honest requests that was settled: with the attack and without.
    pub fn served(&self) -> [f64; 2] {
        [self.played, self.baseline].map(|played| {
            let [honest, _] = played.bought;
            honest.settled as f64 / honest.requests.max(1) as f64
        })
    }
}
