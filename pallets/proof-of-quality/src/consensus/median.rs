//! The median, one head one vote.

use super::{heads::Heads, Aggregation, Weighted};
use alloc::vec::Vec;
use sp_runtime::Permill;

/// The lower median of the scores that have a voice, each counted once: the least score `s` such that at least half of
/// them are `s` or less. Of an even number it is the lower one of the two in the middle, so it is always somebody's score.
/// (Known statistic.)
///
/// Breakdown point 1/2 of the heads: as long as more than half of the heads are honest, the result lies between the least
/// and the greatest honest score, whatever the rest say.
pub struct Median;

impl Aggregation for Median {
    const NAME: &'static str = "median";

    fn consensus(scores: &[Weighted]) -> Option<Permill> {
        lower_median(scores.iter().filter(|(_, weight)| *weight > 0).map(|(score, _)| *score).collect())
    }

    fn leave_one_out(scores: &[Weighted]) -> Vec<Option<Permill>> {
        let heads = Heads::new(scores);
        let whole = heads.score(middle(heads.count()));
        let middle = middle(heads.count().saturating_sub(1));
        heads.leave_one_out(whole, |left_out| {
            // Those above the one left out move one place down.
            if left_out <= middle {
                heads.score(middle.saturating_add(1))
            } else {
                heads.score(middle)
            }
        })
    }
}

/// The lower median of `values`: the least of them such that at least half are not above it. `None` of no values. (Known
/// statistic.)
pub fn lower_median(mut values: Vec<Permill>) -> Option<Permill> {
    values.sort_unstable();
    values.get(middle(values.len())).copied()
}

/// Place of the lower median among `count` values in ascending order; nothing stands there if `count` is 0.
fn middle(count: usize) -> usize {
    count.saturating_sub(1) / 2
}
