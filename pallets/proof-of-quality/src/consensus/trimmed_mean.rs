//! The mean of the middle.

use super::{heads::Heads, mean::rounded_down, Aggregation, Weighted};
use alloc::vec::Vec;
use sp_runtime::Permill;

/// The mean of the scores that have a voice, each counted once, without the least and the greatest of them: from either
/// end `floor(count * PERCENT / 100)` are dropped, and the mean of the rest is rounded down to a millionth. (Known
/// statistic.)
///
/// Breakdown point `PERCENT` % of the heads: as long as no more lie than are dropped from one end, the result lies between
/// the least and the greatest honest score, whatever the liars say. Mind the floor: 20 % of a committee of four is nobody.
///
/// `PERCENT` is less than 50, or nothing would be left; the compiler checks that:
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
        assert!(PERCENT < 50, "a mean that drops half of the scores from either end is a mean of nothing");
        PERCENT as u64
    };

    /// How many of `count` scores are dropped from either end: less than half of them.
    fn dropped(count: usize) -> usize {
        let count: u64 = count.try_into().unwrap_or(u64::MAX);
        (count.saturating_mul(Self::CHECKED_PERCENT) / 100).try_into().unwrap_or(usize::MAX)
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
