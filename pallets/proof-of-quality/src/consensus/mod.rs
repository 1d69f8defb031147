//! Rules that make one consensus score of a committee's scores. (Construction: ours; the published trust update is not used, because
//! it compares a score with a consensus that contains it.)
//!
//! | rule | weights count | holds against |
//! |---|---|---|
//! | [`WeightedMedian`] | yes | less than 1/2 of the weight |
//! | [`Median`] | no | less than 1/2 of the heads |
//! | [`TrimmedMean`] | no | `PERCENT` % of the heads, rounded up to whole heads, but less than 1/2 |
//! | [`Mean`] | no | nobody |
//!
//! A rule holds against liars if, whatever they say, the consensus lies between the least and the greatest honest score;
//! the share of liars at which that ends is its breakdown point. A rule that counts heads is only as safe as a head is
//! dear: who gets many heads for the price of one does not need weight.
//!
//! Fixed point throughout: scores are [`Permill`], weights are `u64`. There is no float near consensus.

mod agreement;
mod heads;
mod mean;
mod median;
#[cfg(test)]
mod tests;
mod trimmed_mean;
mod weighted_median;

pub use agreement::{agreement, deviation, worst_error};
pub use mean::Mean;
pub use median::{lower_median, Median};
pub use trimmed_mean::TrimmedMean;
pub use weighted_median::WeightedMedian;

use alloc::vec::Vec;
use sp_runtime::Permill;

/// A score with its weight. A score of weight 0 has no voice: under every rule it is as if it were not there.
pub type Weighted = (Permill, u64);

/// A rule that makes one score of many.
pub trait Aggregation {
    /// Name of the rule for people, in lower case and without spaces.
    const NAME: &'static str;

    /// The consensus of `scores`, or `None` if nobody has a voice.
    ///
    /// Must not depend on the order of `scores`, must lie between the least and the greatest score that has a voice, and
    /// must not fall when a score rises.
    fn consensus(scores: &[Weighted]) -> Option<Permill>;

    /// For each score the consensus of all *others*, so that nobody is measured against itself; `None` where no other has a
    /// voice. Exactly what [`Aggregation::consensus`] says of the others.
    ///
    /// This one is quadratic at least; a rule that knows a faster way should take it.
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
