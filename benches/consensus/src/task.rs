//! Tasks that are measured, and their data.

use crate::yuma;
use alloc::vec::Vec;
use codec::{Decode, Encode};
use core::hint::black_box;
use pallet_proof_of_quality::{
    consensus::{agreement, deviation, lower_median, Weighted},
    Aggregation, Mean, Median, TrimmedMean, WeightedMedian,
};
use sp_runtime::Permill;

/// Scores and weights of quality validators.
#[derive(Clone, Debug, Encode, Decode)]
pub struct Case {
    /// Weight of each quality validator: stake times trust, in some unit.
    pub weights: Vec<u64>,
    /// Scores of each answer, in millionths and in the order of the weights.
    pub answers: Vec<Vec<u32>>,
}

/// The rules of the pallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub enum Rule {
    /// [`Mean`]
    Mean,
    /// [`Median`]
    Median,
    /// [`TrimmedMean`] of 20 %
    TrimmedMean,
    /// [`WeightedMedian`], the default
    WeightedMedian,
}

/// A task on a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Task {
    /// The consensus of the first answer's scores.
    Consensus(Rule),
    /// For each of the first answer's scores, the consensus of the others.
    LeaveOneOut(Rule),
    /// The consensus part of a settlement under the default rule: the consensus of each answer, the consensus of
    /// the others for everyone, everyone's agreement, and the median of their deviations.
    Settle,
    /// An epoch of Yuma, each answer in the place of a server.
    Yuma,
}

impl Rule {
    /// All of them, the default first.
    pub const ALL: [Self; 4] = [Self::WeightedMedian, Self::Median, Self::TrimmedMean, Self::Mean];

    /// Name in the pallet.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => Mean::NAME,
            Self::Median => Median::NAME,
            Self::TrimmedMean => TrimmedMean::<20>::NAME,
            Self::WeightedMedian => WeightedMedian::NAME,
        }
    }

    /// The rule's [`Aggregation::consensus`].
    pub fn consensus(self, scores: &[Weighted]) -> Option<Permill> {
        match self {
            Self::Mean => Mean::consensus(scores),
            Self::Median => Median::consensus(scores),
            Self::TrimmedMean => TrimmedMean::<20>::consensus(scores),
            Self::WeightedMedian => WeightedMedian::consensus(scores),
        }
    }

    /// The rule's [`Aggregation::leave_one_out`].
    pub fn leave_one_out(self, scores: &[Weighted]) -> Vec<Option<Permill>> {
        match self {
            Self::Mean => Mean::leave_one_out(scores),
            Self::Median => Median::leave_one_out(scores),
            Self::TrimmedMean => TrimmedMean::<20>::leave_one_out(scores),
            Self::WeightedMedian => WeightedMedian::leave_one_out(scores),
        }
    }
}

impl Case {
    /// Scores and weights from a small linear congruential generator: the same in every run.
    pub fn new(validators: usize, answers: usize) -> Self {
        let mut state = 1u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let weights = (0..validators).map(|_| 1_000 + next() % 9_000).collect();
        let score = |_| (next() % 1_000_001) as u32;
        let mut scores: Vec<u32> = (0..validators * answers).map(score).collect();
        let answers = (0..answers).map(|_| scores.split_off(scores.len().saturating_sub(validators)));
        Self { weights, answers: answers.collect() }
    }

    /// The case as its tasks take it, so that the rounds that are timed do not convert anything.
    pub fn prepared(&self) -> Prepared {
        let weighted = |scores: &Vec<u32>| {
            scores.iter().map(|score| Permill::from_parts(*score)).zip(self.weights.iter().copied()).collect()
        };
        let answers: Vec<Vec<Weighted>> = self.answers.iter().map(weighted).collect();
        let of = |validator: usize| {
            answers.iter().filter_map(move |scores| scores.get(validator)).map(|(score, _)| *score).collect()
        };
        let validators = (0..self.weights.len()).map(of).collect();
        let subnet = yuma::Subnet::new(&self.weights, &self.answers);
        Prepared { answers, validators, subnet }
    }
}

/// A case as its tasks take it.
pub struct Prepared {
    answers: Vec<Vec<Weighted>>,
    /// For each quality validator its scores, by answer.
    validators: Vec<Vec<Permill>>,
    subnet: yuma::Subnet,
}

/// Input of a settlement.
struct Settled {
    consensus: Vec<Option<Permill>>,
    /// Weight of each quality validator.
    agreement: Vec<Permill>,
    /// Spread of the evaluator's scores.
    spread: Option<Permill>,
}

impl Prepared {
    /// Runs a task a number of times; returns the last result, which is the same natively and in Wasm. Empty without rounds.
    pub fn run(&self, task: Task, rounds: u32) -> Vec<u64> {
        let first = self.answers.first().map(Vec::as_slice).unwrap_or_default();
        match task {
            Task::Consensus(rule) => {
                let last = repeat(rounds, || rule.consensus(black_box(first)));
                last.into_iter().map(parts).collect()
            }
            Task::LeaveOneOut(rule) => {
                let last = repeat(rounds, || rule.leave_one_out(black_box(first)));
                last.unwrap_or_default().into_iter().map(parts).collect()
            }
            Task::Settle => {
                let Some(last) = repeat(rounds, || black_box(self).settle()) else { return Vec::new() };
                let each = last.agreement.into_iter().map(Some);
                last.consensus.into_iter().chain(each).chain([last.spread]).map(parts).collect()
            }
            Task::Yuma => {
                let Some(last) = repeat(rounds, || black_box(&self.subnet).epoch()) else {
                    return Vec::new();
                };
                last.consensus.into_iter().chain(last.dividends).collect()
            }
        }
    }

    fn settle(&self) -> Settled {
        /// The largest recommended tolerance. Its value does not change the time.
        const TOLERANCE: Permill = Permill::from_percent(20);
        let consensus = self.answers.iter().map(|scores| WeightedMedian::consensus(scores)).collect();
        let others: Vec<_> =
            self.answers.iter().map(|scores| WeightedMedian::leave_one_out(scores)).collect();
        let (mut all_agreement, mut all_deviation) = (Vec::new(), Vec::new());
        for (validator, scores) in self.validators.iter().enumerate() {
            let others: Vec<_> = others.iter().map(|of| of.get(validator).copied().flatten()).collect();
            all_agreement.push(agreement(scores, &others, TOLERANCE));
            all_deviation.push(deviation(scores, &others));
        }
        Settled { consensus, agreement: all_agreement, spread: lower_median(all_deviation) }
    }
}

fn repeat<T>(rounds: u32, what: impl Fn() -> T) -> Option<T> {
    for _ in 1..rounds {
        black_box(what());
    }
    (rounds > 0).then(what)
}

/// Millionths; what is none is none of them.
fn parts(score: Option<Permill>) -> u64 {
    score.map_or(u64::MAX, |score| score.deconstruct().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_what_the_pallet_says() {
        let prepared = Case::new(100, 3).prepared();
        let first = prepared.answers.first().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(first.len(), 100);
        for rule in Rule::ALL {
            let said = prepared.run(Task::Consensus(rule), 2);
            assert_eq!(said, [parts(rule.consensus(first))]);
            let others = prepared.run(Task::LeaveOneOut(rule), 1);
            assert_eq!(others, rule.leave_one_out(first).into_iter().map(parts).collect::<Vec<_>>());
            assert!(prepared.run(Task::LeaveOneOut(rule), 0).is_empty());
        }
        // 3 answers' consensus, 100 agreements, and the spread.
        let settled = prepared.run(Task::Settle, 1);
        assert_eq!(settled.len(), 3 + 100 + 1);
        let others = WeightedMedian::leave_one_out(first);
        assert_eq!(settled.first().copied(), Some(parts(WeightedMedian::consensus(first))));
        assert!(others.iter().all(Option::is_some) && settled.iter().all(|value| *value <= 1_000_000));
        assert_eq!(prepared.run(Task::Yuma, 1).len(), 3 + 100);
    }
}
