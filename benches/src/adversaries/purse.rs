//! Purses: income and losses of each operator.

use crate::adversaries::chain::SHARE;
use pallet_proof_of_quality::ClosedDuty;

/// Duties and their income. Money is in shares: 1 is the pay of a perfect duty.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Duties, each valued as perfect work. Duties that all operators refused do not count, because there was no work.
    pub duties: f64,
    /// Payments, compensation included.
    pub paid: f64,
    /// Slashes.
    pub slashed: f64,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.duties += other.duties;
        self.paid += other.paid;
        self.slashed += other.slashed;
    }

    /// Income per duty.
    pub fn income(&self) -> f64 {
        self.net() / self.duties.max(1.0)
    }

    /// The same before slashes.
    pub fn pay(&self) -> f64 {
        self.paid / self.duties.max(1.0)
    }

    /// Income in all.
    pub fn net(&self) -> f64 {
        self.paid - self.slashed
    }
}

/// Income and losses of one operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct Purse {
    /// In all its duties.
    pub all: Tally,
    /// In those in which the attack was at work.
    pub attacked: Tally,
    /// Payments in the smallest unit, to check the books.
    pub paid: u128,
    /// Slashes in the smallest unit.
    pub slashed: u128,
}

impl Purse {
    /// Books a payment, a slash or the end of a duty.
    pub fn book(&mut self, entry: Entry, is_attacked: bool) {
        let tally =
            Tally { duties: shares(entry.offered), paid: shares(entry.paid), slashed: shares(entry.slashed) };
        self.paid += entry.paid;
        self.slashed += entry.slashed;
        self.all.add(tally);
        if is_attacked {
            self.attacked.add(tally);
        }
    }
}

/// An entry, in the smallest unit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry {
    /// Pay of perfect work in the duty.
    pub offered: u128,
    pub paid: u128,
    pub slashed: u128,
}

impl Entry {
    /// The end of a duty in which perfect work would have earned this much.
    pub fn duty(duty: &ClosedDuty<u128>, offered: u128) -> Self {
        let refused = matches!(
            duty.outcome,
            pallet_proof_of_quality::Outcome::Failed(reason) if reason.is_refusal()
        );
        Self { offered: if refused { 0 } else { offered }, paid: duty.paid, slashed: 0 }
    }
}

pub fn shares(amount: u128) -> f64 {
    amount as f64 / SHARE as f64
}
