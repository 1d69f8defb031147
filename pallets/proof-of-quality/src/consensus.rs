//! What a committee's scores amount to. (Construction: ours; the trust update that was published is not used, because it
//! compares a score with a consensus that contains it.)
//!
//! Fixed point throughout: scores are [`Permill`], weights are `u64`. There is no float near consensus.

use alloc::vec::Vec;
use sp_runtime::{PerThing, Permill};

/// A score with its weight.
pub type Weighted = (Permill, u64);

/// A rule that makes one score of many.
pub trait Aggregation {
    /// The consensus of `scores`, or `None` if there is none: no score, or no weight.
    ///
    /// Must not depend on the order of `scores` and must lie between their least and their greatest.
    fn consensus(scores: &[Weighted]) -> Option<Permill>;

    /// For each score the consensus of all *others*, so that nobody is measured against itself; `None` where there are no
    /// others.
    fn leave_one_out(scores: &[Weighted]) -> Vec<Option<Permill>> {
        (0..scores.len())
            .map(|left_out| {
                let others: Vec<Weighted> = scores
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| *index != left_out)
                    .map(|(_, score)| *score)
                    .collect();
                Self::consensus(&others)
            })
            .collect()
    }
}

/// The lower weighted median: the least score `s` such that scores up to `s` carry at least half of all weight.
///
/// Breakdown point 1/2 of the weight: as long as more than half of the weight stands on honest scores, the result lies
/// between the least and the greatest honest score, whatever the rest say.
pub struct WeightedMedian;

impl Aggregation for WeightedMedian {
    fn consensus(scores: &[Weighted]) -> Option<Permill> {
        let sorted = Sorted::new(scores);
        sorted.median_without(None)
    }

    fn leave_one_out(scores: &[Weighted]) -> Vec<Option<Permill>> {
        let sorted = Sorted::new(scores);
        let mut result = alloc::vec![None; scores.len()];
        for (position, entry) in sorted.entries.iter().enumerate() {
            if let Some(slot) = result.get_mut(entry.index) {
                *slot = sorted.median_without(Some(position));
            }
        }
        result
    }
}

/// Scores in ascending order with the running sum of their weights: a median without one of them is then a binary search.
struct Sorted {
    entries: Vec<Entry>,
    total: u128,
}

struct Entry {
    score: Permill,
    weight: u128,
    /// Weight up to and including this entry.
    upto: u128,
    /// Place in the caller's slice.
    index: usize,
}

impl Sorted {
    fn new(scores: &[Weighted]) -> Self {
        let mut entries: Vec<Entry> = scores
            .iter()
            .enumerate()
            .map(|(index, (score, weight))| Entry { score: *score, weight: (*weight).into(), upto: 0, index })
            .collect();
        entries.sort_unstable_by_key(|entry| (entry.score, entry.index));
        let mut total = 0u128;
        for entry in entries.iter_mut() {
            total = total.saturating_add(entry.weight);
            entry.upto = total;
        }
        Self { entries, total }
    }

    fn median_without(&self, left_out: Option<usize>) -> Option<Permill> {
        let missing =
            left_out.and_then(|position| self.entries.get(position)).map_or(0, |entry| entry.weight);
        let total = self.total.saturating_sub(missing);
        if total == 0 {
            return None;
        }
        // The entry left out keeps its place but adds nothing, so the least place that reaches half of the weight is never
        // its own: the place before it already carries the same sum, and an empty sum never reaches half.
        let place = {
            let mut low = 0usize;
            let mut high = self.entries.len();
            while low < high {
                let middle = low.midpoint(high);
                let upto = self.entries.get(middle).map_or(0, |entry| entry.upto);
                let upto = if left_out.is_some_and(|position| position <= middle) {
                    upto.saturating_sub(missing)
                } else {
                    upto
                };
                if upto.saturating_mul(2) >= total {
                    high = middle;
                } else {
                    low = middle.saturating_add(1);
                }
            }
            low
        };
        self.entries.get(place).map(|entry| entry.score)
    }
}

/// How close a quality validator's scores are to the consensus of the others: the mean, over the responses, of
/// `max(0, 1 - |score - consensus| / tolerance)`. Full where there are no others to compare with. (Formula: ours.)
pub fn agreement(scores: &[Permill], others: &[Option<Permill>], tolerance: Permill) -> Permill {
    let mut sum = 0u64;
    let mut count = 0u64;
    for (score, consensus) in scores.iter().zip(others) {
        let closeness = match consensus {
            None => Permill::one(),
            Some(consensus) => {
                let distance = score.deconstruct().abs_diff(consensus.deconstruct());
                if distance >= tolerance.deconstruct() {
                    Permill::zero()
                } else {
                    Permill::from_rational(distance, tolerance.deconstruct()).left_from_one()
                }
            }
        };
        sum = sum.saturating_add(closeness.deconstruct().into());
        count = count.saturating_add(1);
    }
    Permill::from_parts(sum.checked_div(count).unwrap_or(0).try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scores() -> impl Strategy<Value = Vec<Weighted>> {
        prop::collection::vec((0u32..=1_000_000, 1u64..=1_000_000), 1..40)
            .prop_map(|list| list.into_iter().map(|(s, w)| (Permill::from_parts(s), w)).collect())
    }

    /// The rule by its definition, as slow and plain as can be.
    fn by_definition(scores: &[Weighted]) -> Option<Permill> {
        let total: u128 = scores.iter().map(|(_, w)| u128::from(*w)).sum();
        scores
            .iter()
            .map(|(s, _)| *s)
            .filter(|s| {
                let upto: u128 = scores.iter().filter(|(t, _)| t <= s).map(|(_, w)| u128::from(*w)).sum();
                upto * 2 >= total
            })
            .min()
    }

    proptest! {
        #[test]
        fn is_what_the_definition_says(scores in scores()) {
            prop_assert_eq!(WeightedMedian::consensus(&scores), by_definition(&scores));
        }

        #[test]
        fn does_not_depend_on_the_order(scores in scores(), seed in any::<u64>()) {
            let mut shuffled = scores.clone();
            let length = shuffled.len();
            for i in 0..length {
                shuffled.swap(i, (seed as usize).wrapping_mul(i + 7) % length);
            }
            prop_assert_eq!(WeightedMedian::consensus(&scores), WeightedMedian::consensus(&shuffled));
        }

        #[test]
        fn lies_between_the_scores(scores in scores()) {
            let consensus = WeightedMedian::consensus(&scores).unwrap();
            prop_assert!(scores.iter().any(|(s, _)| *s == consensus));
        }

        #[test]
        fn rises_with_its_inputs(scores in scores(), which in any::<prop::sample::Index>(), by in 0u32..=1_000_000) {
            let mut raised = scores.clone();
            let entry = which.get(&scores).0;
            let index = which.index(scores.len());
            raised[index].0 = Permill::from_parts(entry.deconstruct().saturating_add(by).min(1_000_000));
            prop_assert!(WeightedMedian::consensus(&raised) >= WeightedMedian::consensus(&scores));
        }

        #[test]
        fn a_minority_of_the_weight_cannot_move_it_past_the_honest(honest in scores(), lie in 0u32..=1_000_000) {
            let weight: u64 = honest.iter().map(|(_, w)| *w).sum();
            let mut all = honest.clone();
            all.push((Permill::from_parts(lie), weight - 1));
            let consensus = WeightedMedian::consensus(&all).unwrap();
            let least = honest.iter().map(|(s, _)| *s).min().unwrap();
            let greatest = honest.iter().map(|(s, _)| *s).max().unwrap();
            prop_assert!(least <= consensus && consensus <= greatest);
        }

        #[test]
        fn leave_one_out_is_the_consensus_of_the_others(scores in scores()) {
            let fast = WeightedMedian::leave_one_out(&scores);
            for (index, result) in fast.iter().enumerate() {
                let mut others = scores.clone();
                others.remove(index);
                prop_assert_eq!(*result, WeightedMedian::consensus(&others));
            }
        }

        #[test]
        fn agreement_falls_with_distance(score in 0u32..=1_000_000, a in 0u32..=1_000_000, b in 0u32..=1_000_000) {
            let closeness = |other: u32| agreement(
                &[Permill::from_parts(score)],
                &[Some(Permill::from_parts(other))],
                Permill::from_percent(25),
            );
            if score.abs_diff(a) <= score.abs_diff(b) {
                prop_assert!(closeness(a) >= closeness(b));
            }
        }
    }

    #[test]
    fn edges() {
        assert_eq!(WeightedMedian::consensus(&[]), None);
        assert_eq!(WeightedMedian::consensus(&[(Permill::one(), 0)]), None);
        assert_eq!(WeightedMedian::leave_one_out(&[(Permill::one(), 5)]), vec![None]);
        let max = [(Permill::one(), u64::MAX), (Permill::zero(), u64::MAX), (Permill::one(), u64::MAX)];
        assert_eq!(WeightedMedian::consensus(&max), Some(Permill::one()));
        let tolerance = Permill::from_percent(25);
        let agree = |s: u32, c: u32| {
            agreement(&[Permill::from_percent(s)], &[Some(Permill::from_percent(c))], tolerance)
        };
        assert_eq!(agree(50, 50), Permill::one());
        assert_eq!(agree(50, 75), Permill::zero());
        assert_eq!(agree(60, 50), Permill::from_percent(60));
        assert_eq!(agreement(&[Permill::one()], &[None], tolerance), Permill::one());
        assert_eq!(agreement(&[], &[], tolerance), Permill::zero());
    }
}
