//! The arithmetic mean.

use super::{Aggregation, Weighted};
use alloc::vec::Vec;
use sp_runtime::Permill;

/// The arithmetic mean of the scores that have a voice, each counted once: `sum / count`, rounded down to a millionth.
/// (Known statistic.)
///
/// Breakdown point 0: a single score moves it. For comparison, and for committees that are trusted anyway.
pub struct Mean;

impl Aggregation for Mean {
    const NAME: &'static str = "mean";

    fn consensus(scores: &[Weighted]) -> Option<Permill> {
        let (sum, count) = voices(scores);
        rounded_down(sum, count)
    }

    fn leave_one_out(scores: &[Weighted]) -> Vec<Option<Permill>> {
        let (sum, count) = voices(scores);
        scores
            .iter()
            .map(|(score, weight)| match weight {
                0 => rounded_down(sum, count),
                _ => rounded_down(sum.saturating_sub(score.deconstruct().into()), count.saturating_sub(1)),
            })
            .collect()
    }
}

/// Sum, in millionths, and number of the scores that have a voice.
fn voices(scores: &[Weighted]) -> (u64, usize) {
    scores.iter().filter(|(_, weight)| *weight > 0).fold((0u64, 0usize), |(sum, count), (score, _)| {
        (sum.saturating_add(score.deconstruct().into()), count.saturating_add(1))
    })
}

/// The mean of `count` scores that sum up to `sum` millionths; `None` of no scores.
///
/// Down and nothing cleverer: it keeps the mean of equal scores what they are, and every bound and order as well.
pub(super) fn rounded_down(sum: u64, count: usize) -> Option<Permill> {
    let mean = sum.checked_div(count.try_into().ok()?)?;
    Some(Permill::from_parts(mean.try_into().ok()?))
}
