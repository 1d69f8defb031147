//! Distance of a quality validator from the others.

use super::mean::rounded_down;
use sp_runtime::{PerThing, Permill};

/// Closeness of a quality validator's scores to the consensus of the others: the mean, over the responses, of
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

/// Distance of a quality validator's scores from the consensus of the others: the mean, over the responses, of
/// `|score - consensus|`, from 0 to 1 and rounded down to a millionth. Responses without others do not count, and where
/// none is left the deviation is zero. (Known statistic: a mean absolute deviation; that it is taken from the others:
/// ours.)
///
/// Unlike [`agreement`] it knows no tolerance, so what it says stays comparable where tolerances change.
pub fn deviation(scores: &[Permill], others: &[Option<Permill>]) -> Permill {
    let mut sum = 0u64;
    let mut count = 0usize;
    for (score, consensus) in scores.iter().zip(others) {
        if let Some(consensus) = consensus {
            let distance = score.deconstruct().abs_diff(consensus.deconstruct());
            sum = sum.saturating_add(distance.into());
            count = count.saturating_add(1);
        }
    }
    rounded_down(sum, count).unwrap_or_default()
}

/// Largest distance of a quality validator's scores from the truth: the greatest `|score - truth|` over the
/// responses, zero where there are none. (Construction: ours.)
///
/// The greatest and not the mean, because each response is paid for by itself: who lies about one of many must not be measured by
/// the honest rest.
pub fn worst_error(scores: &[Permill], truth: &[Permill]) -> Permill {
    let distance = |(score, truth): (&Permill, &Permill)| score.deconstruct().abs_diff(truth.deconstruct());
    Permill::from_parts(scores.iter().zip(truth).map(distance).max().unwrap_or(0))
}
