//! Median and quartiles of repeated measurements.

/// The median; of an even number of samples the lower of the two in the middle. NaN without samples.
pub fn median(samples: &[f64]) -> f64 {
    ranked(samples, samples.len().saturating_sub(1) / 2)
}

/// The lower and the upper quartile. Both are samples, chosen outwards: of up to four samples the least and the greatest.
pub fn quartiles(samples: &[f64]) -> [f64; 2] {
    let last = samples.len().saturating_sub(1);
    [ranked(samples, last / 4), ranked(samples, (3 * last).div_ceil(4))]
}

fn ranked(samples: &[f64], rank: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(rank).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_middle_and_what_is_around_it() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.0);
        assert!(median(&[]).is_nan());
        assert_eq!(quartiles(&[7.0]), [7.0, 7.0]);
        assert_eq!(quartiles(&[4.0, 1.0, 3.0, 2.0]), [1.0, 4.0]);
        assert_eq!(quartiles(&[5.0, 1.0, 3.0, 2.0, 4.0]), [2.0, 4.0]);
        assert_eq!(quartiles(&(0..101).map(f64::from).collect::<Vec<_>>()), [25.0, 75.0]);
    }
}
