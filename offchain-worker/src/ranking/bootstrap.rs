//! Intervals by drawing the data anew (B. Efron, 1979): the percentile interval.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// Number of times that the data are drawn anew.
pub const RESAMPLES: usize = 2000;

/// The part of the outcomes that is left out at each end: a 95% interval is between.
const TAIL: f64 = 0.025;

/// An interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// 95% interval of `estimate` over `units`: units are drawn with replacement, as many as there are, [`RESAMPLES`] times, and the
/// interval is from the 2.5th to the 97.5th percentile of the outcomes. The same seed gives the same interval. `None` for fewer
/// than two units, or if more than half of the draws have no estimate.
pub fn interval<T>(units: &[T], seed: u64, estimate: impl Fn(&[&T]) -> Option<f64>) -> Option<Interval> {
    if units.len() < 2 {
        return None;
    }
    // Of this generator it is specified what it gives.
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn: Vec<&T> = Vec::with_capacity(units.len());
    let mut outcomes = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        drawn.clear();
        drawn.extend(units.iter().filter_map(|_| units.get(random.random_range(0..units.len()))));
        outcomes.extend(estimate(&drawn).filter(|outcome| outcome.is_finite()));
    }
    if outcomes.len() < RESAMPLES / 2 {
        return None;
    }
    outcomes.sort_unstable_by(f64::total_cmp);
    Some(Interval { low: quantile(&outcomes, TAIL)?, high: quantile(&outcomes, 1.0 - TAIL)? })
}

/// Quantile of sorted values, linear between them (type 7 of Hyndman and Fan, 1996). `None` of nothing.
fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let place = part * (sorted.len().checked_sub(1)? as f64);
    // Within the values: the part is 0 to 1.
    let below = *sorted.get(place.floor() as usize)?;
    let above = *sorted.get(place.ceil() as usize)?;
    Some(below + (above - below) * (place - place.floor()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::stats::mean;
    use proptest::prelude::*;

    fn of_mean(values: &[f64], seed: u64) -> Option<Interval> {
        interval(values, seed, |drawn| mean(&drawn.iter().map(|value| **value).collect::<Vec<_>>()))
    }

    #[test]
    fn quantiles_worked_out_by_hand() {
        let values = [1.0, 2.0, 4.0, 8.0];
        for (part, expected) in [(0.0, 1.0), (1.0, 8.0), (0.5, 3.0), (0.25, 1.75), (0.9, 6.8)] {
            assert!((quantile(&values, part).unwrap() - expected).abs() < 1e-12, "{part}");
        }
        assert_eq!(quantile(&[3.0], 0.7), Some(3.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn a_seed_decides_and_little_data_say_nothing() {
        let values: Vec<f64> = (0..50).map(f64::from).collect();
        assert_eq!(of_mean(&values, 7), of_mean(&values, 7));
        assert_ne!(of_mean(&values, 7), of_mean(&values, 8));
        assert_eq!((of_mean(&[], 7), of_mean(&[1.0], 7)), (None, None));
        assert_eq!(interval(&values, 7, |_| None), None);
        assert_eq!(of_mean(&[2.0; 9], 7), Some(Interval { low: 2.0, high: 2.0 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn an_interval_lies_within_the_data(values in prop::collection::vec(-1e6_f64..1e6, 2..30), seed: u64) {
            let Interval { low, high } = of_mean(&values, seed).unwrap();
            let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
            prop_assert!(least - 1e-6 <= low && low <= high && high <= most + 1e-6);
        }
    }
}
