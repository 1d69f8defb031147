//! Statistics of agreement between numbers and values.
//!
//! Slices that belong together are of one length; what goes beyond the shorter one is not looked at.

/// Bins of equal width over 0..=1 that [`expected_calibration_error`] and [`reliability`] use.
pub const BINS: usize = 10;

/// Pearson's correlation of two lists, -1 to 1; `None` if one of them does not vary, or for fewer than two pairs.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let (mean_x, mean_y) = (mean(x)?, mean(y)?);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    // Roots before the product: that of the squares overflows sooner.
    let correlation = xy / (xx.sqrt() * yy.sqrt());
    (xx > 0.0 && yy > 0.0 && correlation.is_finite()).then(|| correlation.clamp(-1.0, 1.0))
}

/// Spearman's rank correlation, -1 to 1: Pearson's of the ranks. `None` as for [`pearson`].
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    pearson(&ranks(x), &ranks(y))
}

/// Partial correlation of ranks, -1 to 1: Spearman's of `x` and `y` without the part that goes with `given`,
/// `(xy - xg yg) / sqrt((1 - xg^2) (1 - yg^2))` with Spearman's correlations of the pairs (G. U. Yule, 1907). `None` as for
/// [`pearson`], and if `x` or `y` goes wholly with `given`.
pub fn partial_spearman(x: &[f64], y: &[f64], given: &[f64]) -> Option<f64> {
    let (xy, xg, yg) = (spearman(x, y)?, spearman(x, given)?, spearman(y, given)?);
    let rest = ((1.0 - xg * xg) * (1.0 - yg * yg)).sqrt();
    // Roundings of a rest that is nothing are below this.
    (rest > 1e-9).then(|| ((xy - xg * yg) / rest).clamp(-1.0, 1.0))
}

/// The rank of each value, from 1; equal values share the mean of their ranks.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut ranked: Vec<(usize, f64)> = Vec::with_capacity(order.len());
    for equal in order.chunk_by(|a, b| a.1 == b.1) {
        let before = ranked.len() as f64;
        // The mean of before + 1 ..= before + n.
        let rank = before + (equal.len() as f64 + 1.0) / 2.0;
        ranked.extend(equal.iter().map(|(place, _)| (*place, rank)));
    }
    ranked.sort_unstable_by_key(|(place, _)| *place);
    ranked.into_iter().map(|(_, rank)| rank).collect()
}

/// Area under the ROC curve, 0 to 1: how often a good answer has the higher number, ties counted half (the statistic
/// of Mann and Whitney over the number of pairs). `None` unless there are answers of both kinds.
pub fn auc(numbers: &[f64], good: &[bool]) -> Option<f64> {
    let ranks = ranks(numbers);
    let of_good: Vec<f64> =
        ranks.iter().zip(good).filter(|(_, good)| **good).map(|(rank, _)| *rank).collect();
    let (goods, bads) = (of_good.len() as f64, ranks.len().saturating_sub(of_good.len()) as f64);
    let above = of_good.iter().sum::<f64>() - goods * (goods + 1.0) / 2.0;
    (goods > 0.0 && bads > 0.0).then(|| above / (goods * bads))
}

/// Brier's score, 0 (best) to 1: the mean square of what scores in 0..=1 are off from values in 0..=1.
pub fn brier(scores: &[f64], values: &[f64]) -> Option<f64> {
    let squares: Vec<f64> = scores.iter().zip(values).map(|(score, value)| (score - value).powi(2)).collect();
    mean(&squares)
}

/// One bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Pairs in it.
    pub count: usize,
    /// Mean of their scores, 0 to 1.
    pub score: f64,
    /// Mean of their values, 0 to 1.
    pub value: f64,
}

/// The bins of scores in 0..=1 that hold any, from low to high. A score on the border of two bins is in the upper one,
/// 1 in the last.
pub fn reliability(scores: &[f64], values: &[f64]) -> Vec<Bin> {
    let mut bins = [Bin { count: 0, score: 0.0, value: 0.0 }; BINS];
    for (score, value) in scores.iter().zip(values) {
        // Below 0 and not a number are 0.
        let place = (score * BINS as f64) as usize;
        if let Some(bin) = bins.get_mut(place.min(BINS - 1)) {
            bin.count = bin.count.saturating_add(1);
            bin.score += score;
            bin.value += value;
        }
    }
    let means = |bin: Bin| {
        let count = bin.count as f64;
        Bin { score: bin.score / count, value: bin.value / count, ..bin }
    };
    bins.into_iter().filter(|bin| bin.count > 0).map(means).collect()
}

/// Expected calibration error, 0 (best) to 1: how far mean score and mean value of a bin are apart, the mean over all
/// pairs.
pub fn expected_calibration_error(scores: &[f64], values: &[f64]) -> Option<f64> {
    let bins = reliability(scores, values);
    let count: usize = bins.iter().map(|bin| bin.count).sum();
    let apart: f64 = bins.iter().map(|bin| bin.count as f64 * (bin.score - bin.value).abs()).sum();
    (count > 0).then(|| apart / count as f64)
}

/// The mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(a: Option<f64>, b: f64) -> bool {
        a.is_some_and(|a| (a - b).abs() < 1e-12)
    }

    #[test]
    fn correlations_worked_out_by_hand() {
        // Deviations (-1.5, -0.5, 0.5, 1.5) and (-1, -1, 0, 2): 5 / sqrt(5 * 6).
        assert!(near(pearson(&[1.0, 2.0, 3.0, 4.0], &[1.0, 1.0, 2.0, 4.0]), 5.0 / 30.0_f64.sqrt()));
        assert!(near(pearson(&[1.0, 2.0], &[5.0, 3.0]), -1.0));
        assert_eq!(pearson(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(pearson(&[1.0], &[1.0]), None);
        assert_eq!(pearson(&[], &[]), None);
        // Ranks (1, 2, 3, 4) and (1.5, 1.5, 3, 4): 4.5 / sqrt(5 * 4.5).
        assert!(near(spearman(&[1.0, 2.0, 3.0, 4.0], &[0.0, 0.0, 9.0, 99.0]), 4.5 / 22.5_f64.sqrt()));
    }

    #[test]
    fn what_goes_with_a_third_is_taken_out() {
        let (x, y, given) =
            ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2.0, 1.0, 4.0, 3.0, 6.0, 5.0], [1.0, 3.0, 2.0, 5.0, 4.0, 6.0]);
        let (xy, xg, yg) =
            (spearman(&x, &y).unwrap(), spearman(&x, &given).unwrap(), spearman(&y, &given).unwrap());
        let expected = (xy - xg * yg) / ((1.0 - xg * xg) * (1.0 - yg * yg)).sqrt();
        assert!(near(partial_spearman(&x, &y, &given), expected));
        assert_eq!(partial_spearman(&x, &y, &x), None, "nothing is left");
        assert_eq!(partial_spearman(&x, &y, &[1.0; 6]), None);
        assert_eq!(partial_spearman(&[], &[], &[]), None);
    }

    #[test]
    fn ranks_of_equals_are_shared() {
        assert_eq!(ranks(&[10.0, -1.0, 10.0, 3.0, 10.0]), [4.0, 1.0, 4.0, 2.0, 4.0]);
        assert_eq!(ranks(&[0.0, -0.0].map(|zero: f64| zero + 0.0)), [1.5, 1.5]);
        assert!(ranks(&[]).is_empty());
    }

    #[test]
    fn areas_worked_out_by_hand() {
        let good = [true, false, true, false];
        assert!(near(auc(&[4.0, 3.0, 2.0, 1.0], &good), 0.75));
        assert!(near(auc(&[2.0, 1.0, 3.0, 0.0], &good), 1.0));
        assert!(near(auc(&[0.0, 1.0, 0.0, 2.0], &good), 0.0));
        // (4 against 4: half) + (4 against 1) + (2 against 4: none) + (2 against 1) = 2.5 of 4.
        assert!(near(auc(&[4.0, 4.0, 2.0, 1.0], &good), 0.625));
        assert!(near(auc(&[7.0; 4], &good), 0.5));
        assert_eq!(auc(&[1.0, 2.0], &[true, true]), None);
        assert_eq!(auc(&[], &[]), None);
    }

    #[test]
    fn errors_worked_out_by_hand() {
        assert!(near(brier(&[0.8, 0.4], &[1.0, 0.0]), 0.1));
        // Two bins: |0.85 - 0.5| for two pairs, |0.05 - 0| for one.
        let (scores, values) = ([0.82, 0.88, 0.05], [1.0, 0.0, 0.0]);
        assert!(near(expected_calibration_error(&scores, &values), (0.35 * 2.0 + 0.05) / 3.0));
        assert_eq!((brier(&[], &[]), expected_calibration_error(&[], &[])), (None, None));
        let bins = reliability(&[0.0, 1.0, 0.1, 0.0999], &[0.0; 4]);
        assert_eq!(bins.iter().map(|bin| bin.count).collect::<Vec<_>>(), [2, 1, 1]);
        assert_eq!(expected_calibration_error(&[1.0, 0.0], &[1.0, 0.0]), Some(0.0));
    }

    fn pairs() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
        let pair = (-20_i32..20, -20_i32..20).prop_map(|(x, y)| (f64::from(x) / 4.0, f64::from(y) / 4.0));
        prop::collection::vec(pair, 0..60).prop_map(|pairs| pairs.into_iter().unzip())
    }

    proptest! {
        #[test]
        fn correlations_are_symmetric_and_in_range((x, y) in pairs()) {
            for correlation in [pearson, spearman] {
                let is = correlation(&x, &y);
                prop_assert!(is.is_none_or(|is| (-1.0..=1.0).contains(&is)));
                let same = match (is, correlation(&y, &x)) {
                    (Some(a), Some(b)) => (a - b).abs() < 1e-9,
                    (a, b) => a == b,
                };
                prop_assert!(same);
            }
        }

        #[test]
        fn what_looks_at_ranks_is_the_same_under_monotone_maps((x, y) in pairs()) {
            let (mapped, good): (Vec<f64>, Vec<bool>) = (x.iter().map(|x| x.exp() * 3.0 - 7.0).collect(), y.iter().map(|y| *y > 0.0).collect());
            prop_assert_eq!(ranks(&x), ranks(&mapped));
            prop_assert_eq!(spearman(&x, &y), spearman(&mapped, &y));
            prop_assert_eq!(auc(&x, &good), auc(&mapped, &good));
            // Turned round, it is the rest.
            let turned: Vec<f64> = x.iter().map(|x| -x).collect();
            match (auc(&x, &good), auc(&turned, &good)) {
                (Some(up), Some(down)) => prop_assert!((up + down - 1.0).abs() < 1e-9 && (0.0..=1.0).contains(&up)),
                (up, down) => prop_assert_eq!(up, down),
            }
        }

        #[test]
        fn the_area_counts_pairs((x, y) in pairs()) {
            let good: Vec<bool> = y.iter().map(|y| *y > 0.0).collect();
            let of = |kind: bool| x.iter().zip(&good).filter(move |(_, good)| **good == kind).map(|(x, _)| *x);
            let wins: f64 = of(true).flat_map(|a| of(false).map(move |b| if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 })).sum();
            let count = of(true).count() * of(false).count();
            let same = match auc(&x, &good) {
                Some(area) => (area - wins / count as f64).abs() < 1e-9,
                None => count == 0,
            };
            prop_assert!(same);
        }

        #[test]
        fn errors_are_in_range(pairs in prop::collection::vec((0.0_f64..=1.0, 0.0_f64..=1.0), 1..60)) {
            let (scores, values): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let (ece, brier) = (expected_calibration_error(&scores, &values).unwrap(), brier(&scores, &values).unwrap());
            prop_assert!((0.0..=1.0).contains(&ece) && (0.0..=1.0).contains(&brier));
            // The bins' own distances are no more than those of their pairs (Jensen).
            prop_assert!(ece * ece <= brier + 1e-9);
            prop_assert_eq!(reliability(&scores, &values).iter().map(|bin| bin.count).sum::<usize>(), scores.len());
        }
    }
}
