//! The median by weight: the rule to take where weight costs something.

use super::{Aggregation, Weighted};
use alloc::vec::Vec;
use sp_runtime::Permill;

/// The lower weighted median: the least score `s` such that scores up to `s` carry at least half of all weight.
/// (Known statistic; that a weight is stake times trust is the caller's choice, and ours.)
///
/// Breakdown point 1/2 of the weight: as long as more than half of the weight stands on honest scores, the result lies
/// between the least and the greatest honest score, whatever the rest say.
pub struct WeightedMedian;

impl Aggregation for WeightedMedian {
    const NAME: &'static str = "weighted-median";

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
    weight: u64,
    /// Weight up to and including this entry.
    upto: u128,
    /// Place in the caller's slice.
    index: usize,
}

impl Sorted {
    fn new(scores: &[Weighted]) -> Self {
        // Score and place in one number, so that little is moved about.
        let mut order: Vec<u64> = (0u64..)
            .zip(scores)
            .map(|(index, (score, _))| u64::from(score.deconstruct()) << 32 | index & u64::from(u32::MAX))
            .collect();
        order.sort_unstable();
        let mut total = 0u128;
        let entries = order
            .into_iter()
            .filter_map(|key| {
                let index = usize::try_from(key & u64::from(u32::MAX)).ok()?;
                let (score, weight) = *scores.get(index)?;
                total = total.saturating_add(weight.into());
                Some(Entry { score, weight, upto: total, index })
            })
            .collect();
        Self { entries, total }
    }

    fn median_without(&self, left_out: Option<usize>) -> Option<Permill> {
        let missing = left_out
            .and_then(|position| self.entries.get(position))
            .map_or(0, |entry| u128::from(entry.weight));
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
