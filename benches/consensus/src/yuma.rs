//! Bittensor's Yuma consensus: one epoch, to compare with. Written by us from its published description, the definitions (3)
//! to (7) and the order of steps in `docs/consensus.md` of github.com/opentensor/subtensor (commit 039804a1); none of its
//! code is in here. What stands there is done as it stands there, in 32 bits before and 32 after the point.
//!
//! Where the description leaves a choice, the cheaper one is taken: only validators have rows and only servers columns (there
//! every member of a subnet has both), the bonds penalty is 1 (weights of bonds are the clipped ones), the bond's moving
//! average has one rate for all, and what comes before and after on their chain (activity, permits, reading and writing
//! storage) is left out. So their epoch is not faster than this one for lack of our trying.

use alloc::vec::Vec;

/// 32 bits after the point; nothing here is negative.
type Fixed = u64;

const ONE: Fixed = 1 << 32;

/// The share of stake that has to support a weight: the description's typical one half.
const KAPPA: Fixed = ONE / 2;

/// Share of a new bond in its moving average: the description's typical 10 %.
const ALPHA: Fixed = ONE / 10;

/// Input of an epoch.
pub struct Subnet {
    /// Stake of each validator; the sum is one.
    stake: Vec<Fixed>,
    /// For each server the weights that validators set on it. (By server, because each step but one goes by server.)
    weights: Vec<Vec<Fixed>>,
    /// Bonds of the epoch before, likewise.
    bonds: Vec<Vec<Fixed>>,
}

/// Result of an epoch.
pub struct Epoch {
    /// For each server the greatest weight that half of the stake supports.
    pub consensus: Vec<Fixed>,
    /// For each server what is left of its weight.
    pub trust: Vec<Fixed>,
    /// For each validator what is left of its weights.
    pub validator_trust: Vec<Fixed>,
    /// For each server its share of the reward.
    pub incentive: Vec<Fixed>,
    /// The moving average, by server.
    pub bonds: Vec<Vec<Fixed>>,
    /// For each validator its share of the reward.
    pub dividends: Vec<Fixed>,
}

impl Subnet {
    /// Scores, in millionths by server, in the place of weights, each validator's scaled to a sum of one; but scores on a
    /// single server are its weights, because scaled they would all be one.
    pub fn new(stake: &[u64], scores: &[Vec<u32>]) -> Self {
        let total = stake.iter().sum();
        let stake: Vec<Fixed> = stake.iter().map(|stake| ratio(*stake, total)).collect();
        let sum_of = |validator: usize| -> u64 {
            scores.iter().filter_map(|of| of.get(validator)).map(|score| u64::from(*score)).sum()
        };
        let whole: Vec<u64> = match scores {
            [_] => alloc::vec![1_000_000; stake.len()],
            _ => (0..stake.len()).map(sum_of).collect(),
        };
        let weights: Vec<Vec<Fixed>> = scores
            .iter()
            .map(|of| of.iter().zip(&whole).map(|(score, whole)| ratio((*score).into(), *whole)).collect())
            .collect();
        // As after an epoch in which all agreed.
        let bonds = weights.iter().map(|_| stake.clone()).collect();
        Self { stake, weights, bonds }
    }

    /// Computes one epoch.
    pub fn epoch(&self) -> Epoch {
        let preranks: Vec<Fixed> = self.weights.iter().map(|weights| dot(weights, &self.stake)).collect();
        let consensus: Vec<Fixed> = self.weights.iter().map(|weights| self.supported(weights)).collect();
        let clipped: Vec<Vec<Fixed>> = self
            .weights
            .iter()
            .zip(&consensus)
            .map(|(weights, most)| weights.iter().map(|weight| *weight.min(most)).collect())
            .collect();
        let ranks: Vec<Fixed> = clipped.iter().map(|weights| dot(weights, &self.stake)).collect();
        let trust = ranks.iter().zip(&preranks).map(|(rank, before)| ratio(*rank, *before)).collect();
        let mut validator_trust = alloc::vec![0; self.stake.len()];
        for weights in &clipped {
            add(&mut validator_trust, weights.iter().copied());
        }
        let incentive = normalized(ranks);

        let bonds: Vec<Vec<Fixed>> =
            clipped.iter().zip(&self.bonds).map(|(weights, before)| self.bonds(weights, before)).collect();
        let mut dividends = alloc::vec![0; self.stake.len()];
        for (bonds, incentive) in bonds.iter().zip(&incentive) {
            add(&mut dividends, bonds.iter().map(|bond| product(*bond, *incentive)));
        }
        Epoch { consensus, trust, validator_trust, incentive, bonds, dividends: normalized(dividends) }
    }

    /// Equation 3: the greatest weight on a server such that validators with at least kappa of the stake set it or more.
    fn supported(&self, weights: &[Fixed]) -> Fixed {
        let mut order: Vec<(Fixed, Fixed)> =
            weights.iter().copied().zip(self.stake.iter().copied()).collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        let mut support = 0;
        let enough = order.into_iter().find(|(_, stake)| {
            support += stake;
            support >= KAPPA
        });
        enough.map_or(0, |(weight, _)| weight)
    }

    /// Equations 5 and 6 for one server.
    fn bonds(&self, clipped: &[Fixed], before: &[Fixed]) -> Vec<Fixed> {
        let mut now: Vec<Fixed> =
            clipped.iter().zip(&self.stake).map(|(weight, stake)| product(*weight, *stake)).collect();
        now = normalized(now);
        for (bond, before) in now.iter_mut().zip(before) {
            *bond = product(ALPHA, *bond) + product(ONE - ALPHA, *before);
        }
        now
    }
}

fn add(sums: &mut [Fixed], more: impl Iterator<Item = Fixed>) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

fn dot(a: &[Fixed], b: &[Fixed]) -> Fixed {
    a.iter().zip(b).map(|(a, b)| product(*a, *b)).sum()
}

fn normalized(mut values: Vec<Fixed>) -> Vec<Fixed> {
    let sum = values.iter().sum();
    for value in &mut values {
        *value = ratio(*value, sum);
    }
    values
}

/// Values below one, which are nearly all, need no arithmetic of 128 bits: in Wasm that is dear.
fn product(a: Fixed, b: Fixed) -> Fixed {
    if (a | b) < ONE {
        return (a * b) >> 32;
    }
    ((u128::from(a) * u128::from(b)) >> 32) as Fixed
}

/// `a / b`, 0 if `b` is.
fn ratio(a: u64, b: u64) -> Fixed {
    if a < ONE {
        return (a << 32).checked_div(b).unwrap_or(0);
    }
    (u128::from(a) << 32).checked_div(b.into()).unwrap_or(0) as Fixed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use super::*;
    use crate::Case;
    use alloc::vec;

    fn float(value: Fixed) -> f64 {
        value as f64 / ONE as f64
    }

    /// Of the description's definitions, as plain as can be: stake, weights by validator and server, bonds likewise.
    fn by_definition(
        stake: &[f64],
        weights: &[Vec<f64>],
        before: &[Vec<f64>],
    ) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (validators, servers) = (stake.len(), weights[0].len());
        let support = |j: usize, w: f64| -> f64 {
            (0..validators).filter(|i| weights[*i][j] >= w).map(|i| stake[i]).sum()
        };
        let consensus: Vec<f64> = (0..servers)
            .map(|j| {
                let supported = (0..validators).map(|i| weights[i][j]).filter(|w| support(j, *w) >= 0.5);
                supported.fold(0.0, f64::max)
            })
            .collect();
        let clipped = |i: usize, j: usize| weights[i][j].min(consensus[j]);
        let rank: Vec<f64> =
            (0..servers).map(|j| (0..validators).map(|i| stake[i] * clipped(i, j)).sum()).collect();
        let incentive: Vec<f64> = rank.iter().map(|r| r / rank.iter().sum::<f64>()).collect();
        let bond = |i: usize, j: usize| 0.1 * stake[i] * clipped(i, j) / rank[j] + 0.9 * before[i][j];
        let reward: Vec<f64> =
            (0..validators).map(|i| (0..servers).map(|j| bond(i, j) * incentive[j]).sum()).collect();
        let dividends = reward.iter().map(|d| d / reward.iter().sum::<f64>()).collect();
        (consensus, incentive, dividends)
    }

    #[test]
    fn an_epoch_is_what_the_definitions_say() {
        let case = Case::new(60, 16);
        let subnet = Subnet::new(&case.weights, &case.answers);
        let by_validator = |columns: &[Vec<Fixed>]| -> Vec<Vec<f64>> {
            (0..60).map(|i| columns.iter().map(|column| float(column[i])).collect()).collect()
        };
        let stake: Vec<f64> = subnet.stake.iter().copied().map(float).collect();
        let expected = by_definition(&stake, &by_validator(&subnet.weights), &by_validator(&subnet.bonds));
        let epoch = subnet.epoch();
        let found = [epoch.consensus, epoch.incentive, epoch.dividends];
        for (found, expected) in found.iter().zip([expected.0, expected.1, expected.2]) {
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert!((float(*found) - expected).abs() < 1e-6, "{} is not {expected}", float(*found));
            }
        }
    }

    #[test]
    fn a_minority_that_praises_its_own_server_gets_nothing_for_it() {
        let honest = vec![1_000_000, 1_000_000, 0];
        let theirs = vec![0, 0, 1_000_000];
        let epoch = Subnet::new(&[30, 30, 40], &[honest, theirs]).epoch();
        assert_eq!(epoch.consensus, [ONE, 0]);
        assert_eq!(epoch.incentive, [ONE, 0]);
        assert_eq!(epoch.trust[1], 0);
        assert_eq!(epoch.validator_trust[2], 0);
        // Only what its old bonds give.
        assert!(float(epoch.dividends[2]) < 0.4 && epoch.bonds[0][2] < epoch.bonds[0][0] * 4 / 3);
    }
}
