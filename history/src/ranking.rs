//! Models by duels: the Bradley-Terry model with intervals.
//!
//! A duel is two answers to one question, of different generators, judged by one committee. The model says that generator `i` wins against `j`
//! with probability `1 / (1 + exp(s_j - s_i))`, and the strengths `s` are those that make what happened likeliest, with a penalty of [`PENALTY`]
//! times the sum of their squares: without it, who has won all has no strength (Bradley and Terry 1952; the penalty is the usual one of
//! ridge regression).
//!
//! A duel counts by what the chain kept of its request (ours): who pays itself for duels that it decides gets all back but that, so it is what a
//! bought duel costs, and it is the same for one account as for a thousand. Weights are scaled so that they sum up to the number of equally
//! weighed duels that would say as much (Kish's effective size, `(sum w)^2 / sum w^2`).
//!
//! Intervals are 95%, from the curvature at the optimum (Laplace). They hold what chance does, not what whoever pays for duels does, and not how
//! well the evaluator judges.

/// Weight of the squares of the strengths.
pub const PENALTY: f64 = 0.01;

/// Half of an interval, in standard deviations.
const SPAN: f64 = 1.959_963_984_540_054;

/// Steps of Newton's method; it needs about six.
const STEPS: usize = 100;

/// Change of a strength below which it is found.
const SMALL: f64 = 1e-10;

/// Duels of two generators, as they count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Duels {
    /// One of them, as an index.
    pub one: usize,
    /// The other.
    pub other: usize,
    /// Sum of the weights of duels that `one` won; half of those of equal answers.
    pub won: f64,
    /// The same of `other`.
    pub lost: f64,
    /// Sum of the squares of the weights.
    pub squares: f64,
}

/// The duels among the answers to one question, given by generator and consensus score: the places of two answers, and the part that the first
/// won: 1, 0.5 where scores are equal, or 0. Answers of one generator fight no duel.
pub fn fought<Model: PartialEq, Score: Ord>(
    answers: &[(Model, Score)],
) -> impl Iterator<Item = (usize, usize, f64)> + use<'_, Model, Score> {
    answers.iter().enumerate().flat_map(move |(place, (model, score))| {
        let later = answers.iter().enumerate().skip(place.saturating_add(1));
        later.filter(move |(_, (other, _))| other != model).map(move |(other, (_, other_score))| {
            let won = match score.cmp(other_score) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
            (place, other, won)
        })
    })
}

impl Duels {
    /// One duel of this weight, of which `one` won the part `won`.
    pub fn once(one: usize, other: usize, won: f64, weight: f64) -> Self {
        Self { one, other, won: weight * won, lost: weight * (1.0 - won), squares: weight * weight }
    }
}

/// How strong a generator is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strength {
    /// On the scale of logarithms of odds; the mean of all is 0.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Strength {
    /// Probability that it wins against another one.
    pub fn beats(&self, other: &Self) -> f64 {
        chance(self.value - other.value)
    }
}

/// The number of equally weighed duels that would say as much.
pub fn effective(duels: &[Duels]) -> f64 {
    let sum: f64 = duels.iter().map(|duels| duels.won + duels.lost).sum();
    let squares: f64 = duels.iter().map(|duels| duels.squares).sum();
    if squares > 0.0 {
        sum * sum / squares
    } else {
        0.0
    }
}

/// Strengths of `models` generators.
pub fn rank(models: usize, duels: &[Duels]) -> Vec<Strength> {
    let sum: f64 = duels.iter().map(|duels| duels.won + duels.lost).sum();
    let scale = if sum > 0.0 { effective(duels) / sum } else { 0.0 };
    let mut values = vec![0.0; models];
    for _ in 0..STEPS {
        let (slope, curvature) = derivatives(&values, duels, scale);
        let Some(step) = curvature.inverse().map(|inverse| inverse.times(&slope)) else { break };
        for (value, step) in values.iter_mut().zip(&step) {
            // Far from the optimum a whole step can lead away from it.
            *value += step.clamp(-2.0, 2.0);
        }
        if step.iter().all(|step| step.abs() < SMALL) {
            break;
        }
    }
    let (_, curvature) = derivatives(&values, duels, scale);
    let variances = curvature.inverse().map(|inverse| inverse.diagonal()).unwrap_or_default();
    // Without that of their mean, which only the penalty holds and which says nothing.
    let of_mean = 1.0 / (2.0 * PENALTY * models as f64);
    let deviations = variances.into_iter().map(|variance| (variance - of_mean).max(0.0).sqrt());
    values
        .iter()
        .zip(deviations.chain(std::iter::repeat(f64::INFINITY)))
        .map(|(&value, deviation)| Strength {
            value,
            low: value - SPAN * deviation,
            high: value + SPAN * deviation,
        })
        .collect()
}

fn chance(advantage: f64) -> f64 {
    1.0 / (1.0 + (-advantage).exp())
}

/// Slope of the logarithm of the likelihood, and the negative of its curvature.
fn derivatives(values: &[f64], duels: &[Duels], scale: f64) -> (Vec<f64>, Square) {
    let mut slope: Vec<f64> = values.iter().map(|value| -2.0 * PENALTY * value).collect();
    let mut curvature = Square::new(values.len());
    for model in 0..values.len() {
        curvature.add(model, model, 2.0 * PENALTY);
    }
    for &Duels { one, other, won, lost, .. } in duels {
        let (Some(&mine), Some(&theirs)) = (values.get(one), values.get(other)) else { continue };
        let chance = chance(mine - theirs);
        let (won, all) = (won * scale, (won + lost) * scale);
        let surprise = won - all * chance;
        for (model, part) in [(one, surprise), (other, -surprise)] {
            if let Some(slope) = slope.get_mut(model) {
                *slope += part;
            }
        }
        let bend = all * chance * (1.0 - chance);
        for (row, column, part) in
            [(one, one, bend), (other, other, bend), (one, other, -bend), (other, one, -bend)]
        {
            curvature.add(row, column, part);
        }
    }
    (slope, curvature)
}

/// A symmetric positive definite matrix.
struct Square {
    size: usize,
    rows: Vec<Vec<f64>>,
}

impl Square {
    fn new(size: usize) -> Self {
        Self { size, rows: vec![vec![0.0; size]; size] }
    }

    fn add(&mut self, row: usize, column: usize, part: f64) {
        if let Some(cell) = self.rows.get_mut(row).and_then(|cells| cells.get_mut(column)) {
            *cell += part;
        }
    }

    fn times(&self, vector: &[f64]) -> Vec<f64> {
        self.rows
            .iter()
            .map(|cells| cells.iter().zip(vector).map(|(cell, value)| cell * value).sum())
            .collect()
    }

    fn diagonal(&self) -> Vec<f64> {
        self.rows.iter().enumerate().filter_map(|(place, cells)| cells.get(place).copied()).collect()
    }

    /// By Gauss and Jordan; without a search for pivots, which a positive definite matrix does not need. `None` if it is none.
    fn inverse(&self) -> Option<Self> {
        let mut left = self.rows.clone();
        let mut right = Self::new(self.size);
        for place in 0..self.size {
            right.add(place, place, 1.0);
        }
        for pivot in 0..self.size {
            let factor = 1.0 / left.get(pivot)?.get(pivot).copied().filter(|value| *value > 0.0)?;
            for rows in [&mut left, &mut right.rows] {
                rows.get_mut(pivot)?.iter_mut().for_each(|cell| *cell *= factor);
            }
            let (left_pivot, right_pivot) = (left.get(pivot)?.clone(), right.rows.get(pivot)?.clone());
            for row in (0..self.size).filter(|row| *row != pivot) {
                let factor = left.get(row)?.get(pivot).copied()?;
                for (rows, pivots) in [(&mut left, &left_pivot), (&mut right.rows, &right_pivot)] {
                    for (cell, of_pivot) in rows.get_mut(row)?.iter_mut().zip(pivots) {
                        *cell -= factor * of_pivot;
                    }
                }
            }
        }
        Some(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duels(one: usize, other: usize, won: u32, lost: u32) -> Duels {
        let [won, lost] = [won, lost].map(f64::from);
        Duels { one, other, won, lost, squares: won + lost }
    }

    fn all() -> Vec<Duels> {
        vec![duels(0, 1, 7, 3), duels(0, 2, 9, 1), duels(1, 2, 6, 4), duels(2, 3, 5, 5), duels(0, 3, 4, 0)]
    }

    #[track_caller]
    fn close(found: f64, known: f64) {
        assert!((found - known).abs() < 1e-4, "{found} is not {known}");
    }

    /// Strengths by choix 0.4 (`opt_pairwise`, alpha 0.01), deviations by the numerical curvature of the same function in SciPy.
    #[test]
    fn strengths_are_those_of_other_packages() {
        let known = [1.302_384, 0.094_274, -0.612_896, -0.783_762];
        let deviations = [0.431_44, 0.403_91, 0.318_04, 0.486_92];
        for (found, (known, deviation)) in rank(4, &all()).into_iter().zip(known.into_iter().zip(deviations))
        {
            close(found.value, known);
            assert!((found.high - found.value - SPAN * deviation).abs() < 5e-3, "{found:?} {deviation}");
            close(found.high + found.low, 2.0 * found.value);
        }
    }

    #[test]
    fn answers_of_other_generators_fight() {
        let answers = [("a", 5), ("b", 7), ("a", 9), ("c", 7)];
        let all: Vec<_> = fought(&answers).collect();
        assert_eq!(all, [(0, 1, 0.0), (0, 3, 0.0), (1, 2, 0.0), (1, 3, 0.5), (2, 3, 1.0)]);
        assert_eq!(
            Duels::once(0, 1, 1.0, 4.0),
            Duels { one: 0, other: 1, won: 4.0, lost: 0.0, squares: 16.0 }
        );
    }

    #[test]
    fn what_counts_is_the_share_of_the_weight() {
        let dearer = |duels: Duels| Duels {
            won: duels.won * 1e6,
            lost: duels.lost * 1e6,
            squares: duels.squares * 1e12,
            ..duels
        };
        let dear: Vec<_> = all().into_iter().map(dearer).collect();
        for (one, other) in rank(4, &all()).iter().zip(rank(4, &dear)) {
            close(one.value, other.value);
            close(one.low, other.low);
        }
        // Ten duels that cost as much as one count as one.
        let cheap = |won: f64| Duels { one: 3, other: 0, won, lost: 0.0, squares: won * won / 10.0 };
        let bought: Vec<_> = all().into_iter().chain([cheap(1.0)]).collect();
        let paid: Vec<_> = all().into_iter().chain([duels(3, 0, 1, 0)]).collect();
        let [bought, paid] = [bought, paid].map(|duels| rank(4, &duels)[3].value);
        assert!((bought - paid).abs() < 0.05, "{bought} {paid}");
    }

    /// What the duels of three generators, a thousand each, cost in fees, and what whoever owns the weakest must add to make it the first: in
    /// however many duels, against whomever.
    #[test]
    fn a_first_place_is_bought_for_a_good_part_of_all_fees() {
        let honest = |one: usize, other: usize| {
            let won = 1_000.0 * chance(other as f64 - one as f64);
            Duels { one, other, won, lost: 1_000.0 - won, squares: 1_000.0 }
        };
        let honest = [honest(0, 1), honest(0, 2), honest(1, 2)];
        let is_first = |bought: &[Duels]| {
            let found = rank(3, &[&honest[..], bought].concat());
            found[2].value > found[0].value && found[2].value > found[1].value
        };
        let price = |pieces: f64, rivals: &[usize]| {
            let (mut low, mut high) = (0.0, 100_000.0);
            while high - low > 1.0 {
                let fees: f64 = (low + high) / 2.0;
                let each = fees / rivals.len() as f64;
                let bought = rivals.iter().map(|&other| Duels {
                    one: 2,
                    other,
                    won: each,
                    lost: 0.0,
                    squares: each * each / (pieces / rivals.len() as f64),
                });
                if is_first(&bought.collect::<Vec<_>>()) {
                    high = fees;
                } else {
                    low = fees;
                }
            }
            high
        };
        let all = 3_000.0;
        for rivals in [&[0][..], &[0, 1]] {
            let prices = [10.0, 1e3, 1e6].map(|pieces| price(pieces, rivals));
            for price in prices {
                assert!(price > 0.4 * all, "{rivals:?}: {prices:?}");
                assert!((price / prices[0] - 1.0).abs() < 0.05, "{rivals:?}: {prices:?}");
            }
        }
    }

    #[test]
    fn who_has_won_all_or_nothing_has_a_strength() {
        let found = rank(3, &[duels(0, 1, 1000, 0)]);
        assert!(found[0].value > found[2].value && found[2].value > found[1].value, "{found:?}");
        assert!(found.iter().all(|one| one.value.is_finite() && one.low < one.value), "{found:?}");
        close(found.iter().map(|one| one.value).sum(), 0.0);
        assert!(found[0].beats(&found[1]) > 0.95);
        assert_eq!(rank(0, &[]), []);
        assert_eq!(effective(&[]), 0.0);
        // Nobody has fought: nothing is known.
        let unknown = rank(2, &[]);
        assert!(unknown.iter().all(|one| one.value == 0.0 && one.high > 4.0), "{unknown:?}");
    }
}
