//! The mean of the middle.

use super::{heads::Heads, mean::rounded_down, Aggregation, Weighted};
use alloc::vec::Vec;
use sp_runtime::Permill;

/// The mean of the scores that have a voice, each counted once, without the least and the greatest of them: `PERCENT` % of
/// them, rounded up, are dropped from either end, but never so many that nothing is left:
/// `min(ceil(count * PERCENT / 100), (count - 1) / 2)`. The mean of the rest is rounded down to a millionth. (Known
/// statistic; rounding up is ours: a score of a committee of five is measured against four others, and 20 % of four,
/// rounded down, would drop nobody.)
///
/// Breakdown point `PERCENT` % of the heads at least, for every count from `100 / (50 - PERCENT)` on (with 20 %: from four
/// heads on): as long as no more lie than are dropped from one end, the result lies between the least and the greatest
/// honest score, whatever the liars say.
///
/// `PERCENT` is less than 50, or it would be a median in disguise; the compiler checks that:
///
/// ```
/// use pallet_proof_of_quality::{Aggregation, TrimmedMean};
/// assert_eq!(TrimmedMean::<49>::consensus(&[]), None);
/// ```
///
/// ```compile_fail
/// use pallet_proof_of_quality::{Aggregation, TrimmedMean};
/// assert_eq!(TrimmedMean::<50>::consensus(&[]), None);
/// ```
pub struct TrimmedMean<const PERCENT: u32>;

impl<const PERCENT: u32> TrimmedMean<PERCENT> {
    const CHECKED_PERCENT: u64 = {
        assert!(PERCENT < 50, "a mean that drops half of the scores from either end is a median");
        PERCENT as u64
    };

    /// Number of `count` scores that are dropped from either end: less than half of them.
    pub(super) fn dropped(count: usize) -> usize {
        let heads: u64 = count.try_into().unwrap_or(u64::MAX);
        let part = heads.saturating_mul(Self::CHECKED_PERCENT).div_ceil(100);
        part.try_into().unwrap_or(usize::MAX).min(count.saturating_sub(1) / 2)
    }
}

impl<const PERCENT: u32> Aggregation for TrimmedMean<PERCENT> {
    const NAME: &'static str = "trimmed-mean";

    fn consensus(scores: &[Weighted]) -> Option<Permill> {
        let heads = Heads::new(scores);
        Sums::new(&heads).mean(Self::dropped(heads.count()), None)
    }

    fn leave_one_out(scores: &[Weighted]) -> Vec<Option<Permill>> {
        let heads = Heads::new(scores);
        let sums = Sums::new(&heads);
        let dropped = Self::dropped(heads.count().saturating_sub(1));
        heads.leave_one_out(sums.mean(Self::dropped(heads.count()), None), |place| {
            sums.mean(dropped, Some(place))
        })
    }
}

/// Sums of the first 0, 1, ... scores in ascending order: a sum of any stretch of them is then a subtraction.
struct Sums(Vec<u64>);

impl Sums {
    fn new(heads: &Heads) -> Self {
        let mut sums = Vec::with_capacity(heads.count().saturating_add(1));
        let mut sum = 0u64;
        sums.push(sum);
        for score in heads.ascending() {
            sum = sum.saturating_add(score.deconstruct().into());
            sums.push(sum);
        }
        Self(sums)
    }

    /// Sum of the first `count` scores of those without the one at place `left_out`.
    fn first(&self, count: usize, left_out: Option<usize>) -> Option<u64> {
        let first = |count: usize| self.0.get(count).copied();
        match left_out {
            Some(place) if place < count => {
                let own = first(place.saturating_add(1))?.checked_sub(first(place)?)?;
                first(count.saturating_add(1))?.checked_sub(own)
            }
            _ => first(count),
        }
    }

    /// Mean of the scores without the one at place `left_out`, after dropping so many from either end.
    fn mean(&self, dropped: usize, left_out: Option<usize>) -> Option<Permill> {
        let count = self.0.len().checked_sub(1)?.checked_sub(left_out.is_some().into())?;
        let end = count.checked_sub(dropped)?;
        let sum = self.first(end, left_out)?.checked_sub(self.first(dropped, left_out)?)?;
        rounded_down(sum, end.checked_sub(dropped)?)
    }
}
