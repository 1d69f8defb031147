//! The map from an evaluator's number to a score that fits values best: `sigmoid(a * number + b)`.
//!
//! Platt's scaling (1999) by maximum likelihood: the map with the least cross-entropy against values in 0..=1, found by
//! Newton's method; the problem is convex.

use crate::models::manifest::Calibration;
use sha2::{Digest as _, Sha256};

/// Parts that the questions are dealt into by [`held_out`].
pub const FOLDS: usize = 5;

/// Penalty of a steep map, per pair: half of this times the square of the slope, with numbers in units of their
/// standard deviation. Values that numbers separate without fault would ask for an endless slope; where the two kinds
/// overlap, it moves the slope by a thousandth or less.
const RIDGE: f64 = 1e-5;

/// Most steps; Newton's method takes around ten.
const MAX_STEPS: usize = 100;

/// Why no map is fitted.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum FitError {
    /// The numbers do not vary, so they say nothing.
    #[error("the evaluator gives every pair the same number; it does not tell answers apart")]
    Constant,
    /// The higher the number, the lower the value.
    #[error(
        "the evaluator's numbers go against the data (the best slope is not above 0); no calibration helps, so look \
         whether the data's labels are turned round, or take another evaluator"
    )]
    Against,
}

/// The map that fits best, its slope above 0.
///
/// `numbers` are the evaluator's own, `values` what they should become, 0 to 1.
pub fn fit(numbers: &[f64], values: &[f64]) -> Result<Calibration, FitError> {
    let scale = Scale::of(numbers).ok_or(FitError::Constant)?;
    let map = solve(numbers, values, scale);
    let map = Calibration { a: rounded(map.a), b: rounded(map.b) };
    if map.a > 0.0 && map.a.is_finite() && map.b.is_finite() {
        Ok(map)
    } else {
        Err(FitError::Against)
    }
}

/// The score, 0 to 1, of each pair by the map that fits best the pairs of *other* questions.
///
/// Questions are dealt into [`FOLDS`] parts, and the pairs of each part get the map of the other four. Where no rising
/// map fits those, the score is their mean value.
pub fn held_out(questions: &[&str], numbers: &[f64], values: &[f64]) -> Vec<f64> {
    let folds = folds(questions);
    let pairs = || folds.iter().zip(numbers.iter().zip(values));
    let maps: Vec<Calibration> = (0..FOLDS)
        .map(|fold| {
            let others = pairs().filter(|(of, _)| **of != fold).map(|(_, (number, value))| (*number, *value));
            let (numbers, values): (Vec<f64>, Vec<f64>) = others.unzip();
            Scale::of(&numbers).map_or_else(|| flat(&values), |scale| solve(&numbers, &values, scale))
        })
        .collect();
    pairs()
        .map(|(fold, (number, _))| maps.get(*fold).and_then(|map| map.apply(*number)).unwrap_or(0.5))
        .collect()
}

/// The part of each pair. All pairs of a question are in one part, and the parts hold as many questions as each other,
/// or one more; which is which depends on the questions' hashes and not on their order.
fn folds(questions: &[&str]) -> Vec<usize> {
    let mut hashes: Vec<[u8; 32]> =
        questions.iter().map(|question| Sha256::digest(question).into()).collect();
    let of_pair = hashes.clone();
    hashes.sort_unstable();
    hashes.dedup();
    of_pair.iter().map(|hash| hashes.binary_search(hash).unwrap_or_else(|place| place) % FOLDS).collect()
}

/// Mean and standard deviation of the numbers.
#[derive(Clone, Copy)]
struct Scale {
    mean: f64,
    deviation: f64,
}

impl Scale {
    /// `None` if the numbers do not vary.
    fn of(numbers: &[f64]) -> Option<Self> {
        let mean = super::stats::mean(numbers)?;
        let variance = super::stats::mean(&numbers.iter().map(|x| (x - mean).powi(2)).collect::<Vec<_>>())?;
        let deviation = variance.sqrt();
        (deviation > 1e-12 * mean.abs().max(f64::MIN_POSITIVE) && deviation.is_finite())
            .then_some(Self { mean, deviation })
    }
}

/// The best map among those whose slope is not below 0.
fn solve(numbers: &[f64], values: &[f64], scale: Scale) -> Calibration {
    let standard: Vec<f64> = numbers.iter().map(|x| (x - scale.mean) / scale.deviation).collect();
    let mut at = flat(values);
    for _ in 0..MAX_STEPS {
        let next = step(&standard, values, at);
        let moved = (next.a - at.a).abs().max((next.b - at.b).abs());
        at = next;
        if moved < 1e-12 {
            break;
        }
    }
    if at.a <= 0.0 {
        // The problem is convex: if the best slope is below 0, the best of the others is 0.
        return flat(values);
    }
    // Back to the numbers as they are.
    let a = at.a / scale.deviation;
    Calibration { a, b: at.b - a * scale.mean }
}

/// The map that gives everything the mean value.
fn flat(values: &[f64]) -> Calibration {
    let mean = super::stats::mean(values).unwrap_or(0.5);
    // Half a pair away from certainty.
    let edge = 0.5 / (values.len() as f64 + 1.0);
    let mean = mean.clamp(edge, 1.0 - edge);
    Calibration { a: 0.0, b: (mean / (1.0 - mean)).ln() }
}

/// One step of Newton's method, halved until the loss does not rise.
fn step(x: &[f64], values: &[f64], at: Calibration) -> Calibration {
    let count = x.len() as f64;
    let (mut ga, mut gb) = (RIDGE * count * at.a, 0.0);
    // A trace of the ridge on the offset as well, so that the matrix can always be inverted.
    let (mut haa, mut hab, mut hbb) = (RIDGE * count, 0.0, 1e-12 * count);
    for (x, value) in x.iter().zip(values) {
        let score = sigmoid(at.a * x + at.b);
        let (off, weight) = (score - value, score * (1.0 - score));
        ga += off * x;
        gb += off;
        haa += weight * x * x;
        hab += weight * x;
        hbb += weight;
    }
    let determinant = haa * hbb - hab * hab;
    let (da, db) = ((hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant);
    if !(da.is_finite() && db.is_finite()) {
        return at;
    }
    let before = loss(x, values, at);
    let mut part = 1.0;
    while part > 1e-9 {
        let next = Calibration { a: at.a - part * da, b: at.b - part * db };
        if loss(x, values, next) <= before {
            return next;
        }
        part /= 2.0;
    }
    at
}

/// Cross-entropy and ridge.
fn loss(x: &[f64], values: &[f64], at: Calibration) -> f64 {
    // -v ln s - (1 - v) ln(1 - s), s = sigmoid(z), without the cancellations: ln(1 + e^z) - v z.
    let entropy = |(x, value): (&f64, &f64)| {
        let z = at.a * x + at.b;
        z.max(0.0) + (-z.abs()).exp().ln_1p() - value * z
    };
    let ridge = RIDGE * x.len() as f64 * at.a * at.a / 2.0;
    x.iter().zip(values).map(entropy).sum::<f64>() + ridge
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// To six digits: more mean nothing, and a manifest is read by people.
fn rounded(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers from -3 to 3 and what a map makes of them.
    fn mapped(map: Calibration) -> (Vec<f64>, Vec<f64>) {
        let numbers: Vec<f64> = (0..61).map(|n| f64::from(n) / 10.0 - 3.0).collect();
        let values = numbers.iter().map(|number| map.apply(*number).unwrap()).collect();
        (numbers, values)
    }

    #[test]
    fn a_map_is_found_again() {
        for map in [(1.0, 0.0), (2.0, -1.5), (0.3, 0.7)].map(|(a, b)| Calibration { a, b }) {
            let (numbers, values) = mapped(map);
            let found = fit(&numbers, &values).unwrap();
            assert!((found.a - map.a).abs() < 0.01 && (found.b - map.b).abs() < 0.01, "{map:?} {found:?}");
        }
    }

    #[test]
    fn two_values_give_their_log_odds() {
        // At 0 one of four is good, at 1 three of four: b = ln(1/3), a = 2 ln 3.
        let (numbers, values): (Vec<f64>, Vec<f64>) = (0..4)
            .flat_map(|n| [(0.0, f64::from(u8::from(n == 0))), (1.0, f64::from(u8::from(n > 0)))])
            .unzip();
        let found = fit(&numbers, &values).unwrap();
        assert!((found.b - (1.0_f64 / 3.0).ln()).abs() < 2e-3, "{found:?}");
        assert!((found.a - 2.0 * 3.0_f64.ln()).abs() < 4e-3, "{found:?}");
    }

    #[test]
    fn separable_data_have_a_map_and_useless_numbers_none() {
        let numbers = [-1.0, -2.0, 1.0, 2.0];
        let found = fit(&numbers, &[0.0, 0.0, 1.0, 1.0]).unwrap();
        assert!(found.a > 1.0 && found.a < 100.0 && found.b.abs() < 1.0, "{found:?}");
        assert_eq!(fit(&numbers, &[1.0, 1.0, 0.0, 0.0]), Err(FitError::Against));
        assert_eq!(fit(&[5.0; 4], &[0.0, 0.0, 1.0, 1.0]), Err(FitError::Constant));
        assert_eq!(fit(&[], &[]), Err(FitError::Constant));
    }

    #[test]
    fn what_is_held_out_does_not_take_part() {
        let questions: Vec<String> = (0..61).map(|n| format!("question {n}")).collect();
        let questions: Vec<&str> = questions.iter().map(String::as_str).collect();
        let (numbers, values) = mapped(Calibration { a: 1.0, b: 0.0 });
        let scores = held_out(&questions, &numbers, &values);
        assert!(scores.iter().zip(&values).all(|(score, value)| (score - value).abs() < 0.01));
        // The value of one question is turned round: the score of no pair of its fold changes.
        let folds = folds(&questions);
        let mut turned = values.clone();
        turned[7] = 1.0 - turned[7];
        for (place, (a, b)) in scores.iter().zip(held_out(&questions, &numbers, &turned)).enumerate() {
            assert_eq!(*a == b, folds[place] == folds[7], "{place}");
        }
        // Against the data nothing can be learned but the mean.
        let falling: Vec<f64> = numbers.iter().map(|number| -number).collect();
        assert!(held_out(&questions, &falling, &values).iter().all(|score| (score - 0.5).abs() < 0.1));
    }

    proptest! {
        #[test]
        fn folds_keep_questions_together_and_are_of_one_size(
            names in prop::collection::vec("[a-h]{1,2}", 1..80),
        ) {
            let questions: Vec<&str> = names.iter().map(String::as_str).collect();
            let folds = folds(&questions);
            let mut of = std::collections::BTreeMap::new();
            for (question, fold) in questions.iter().zip(&folds) {
                prop_assert_eq!(of.entry(question).or_insert(fold), &fold);
            }
            let size = |fold: usize| of.values().filter(|of| ***of == fold).count();
            let sizes: Vec<usize> = (0..FOLDS).map(size).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        }

        #[test]
        fn anything_has_a_finite_rising_map_or_none(
            pairs in prop::collection::vec((-1e6_f64..1e6, 0.0_f64..=1.0), 0..60),
        ) {
            let (numbers, values): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            if let Ok(map) = fit(&numbers, &values) {
                prop_assert!(map.a > 0.0 && map.a.is_finite() && map.b.is_finite());
            }
            let questions: Vec<String> = (0..numbers.len()).map(|n| n.to_string()).collect();
            let questions: Vec<&str> = questions.iter().map(String::as_str).collect();
            let scores = held_out(&questions, &numbers, &values);
            prop_assert!(scores.len() == numbers.len() && scores.iter().all(|score| (0.0..=1.0).contains(score)));
        }

        #[test]
        fn another_unit_of_the_numbers_changes_nothing(
            pairs in prop::collection::vec((-5.0_f64..5.0, 0.0_f64..=1.0), 20..60),
            unit in 0.01_f64..100.0,
            shift in -50.0_f64..50.0,
        ) {
            let (numbers, values): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let other: Vec<f64> = numbers.iter().map(|number| number * unit + shift).collect();
            if let (Ok(map), Ok(same)) = (fit(&numbers, &values), fit(&other, &values)) {
                for (number, other) in numbers.iter().zip(&other) {
                    let (a, b) = (map.apply(*number).unwrap(), same.apply(*other).unwrap());
                    prop_assert!((a - b).abs() < 0.01, "{} {}", a, b);
                }
            }
        }
    }
}
