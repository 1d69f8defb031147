//! The figures of a ranking.

use super::{
    bootstrap::{interval, Interval},
    data::Outputs,
};
use crate::calibration::stats::{partial_spearman, spearman};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Fewest models that a correlation is worked out of.
pub const LEAST_MODELS: usize = 3;

/// A model and its place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// Its name.
    pub model: String,
    /// Its answers.
    pub answers: usize,
    /// Mean of the scores of its answers, 0 to 1.
    pub score: f64,
    /// 95% interval of that, with the questions drawn anew: those of another day.
    pub interval: Option<Interval>,
    /// Mean length of its answers, in characters.
    pub length: f64,
    /// Its value in the leaderboard.
    pub leaderboard: Option<f64>,
}

/// A correlation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Its value, -1 to 1; none if one of the lists does not vary.
    pub value: Option<f64>,
    /// 95% interval, with the models drawn anew: others of their kind.
    pub interval: Option<Interval>,
}

/// Agreement of the ranking with a leaderboard.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Number of models that have both a score and a value.
    pub models: usize,
    /// Spearman's correlation of mean scores and values.
    pub spearman: Estimate,
    /// The same given the mean length of answers (partial correlation).
    pub given_length: Estimate,
    /// Spearman's correlation of the mean length of answers and the values.
    pub length: Estimate,
}

/// What the answers of a model to one question come to.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    answers: usize,
    scores: f64,
    lengths: f64,
}

impl Sum {
    fn add(self, other: Self) -> Self {
        Self {
            answers: self.answers.saturating_add(other.answers),
            scores: self.scores + other.scores,
            lengths: self.lengths + other.lengths,
        }
    }
}

/// The models from the highest mean score to the lowest. `scores` are those of the answers, 0 to 1, in their order.
pub fn ranking(
    outputs: &Outputs,
    scores: &[f64],
    leaderboard: Option<&BTreeMap<String, f64>>,
    seed: u64,
) -> Vec<Ranked> {
    let mut sums: Vec<BTreeMap<usize, Sum>> = vec![BTreeMap::new(); outputs.models.len()];
    for (output, score) in outputs.outputs.iter().zip(scores) {
        let length = output.answer.chars().count() as f64;
        let one = Sum { answers: 1, scores: *score, lengths: length };
        if let Some(of_model) = sums.get_mut(output.model) {
            let of_question = of_model.entry(output.question).or_default();
            *of_question = of_question.add(one);
        }
    }
    let mut ranked: Vec<Ranked> = outputs
        .models
        .iter()
        .zip(&sums)
        .map(|(name, by_question)| {
            let units: Vec<Sum> = by_question.values().copied().collect();
            let total = units.iter().copied().fold(Sum::default(), Sum::add);
            let answers = total.answers.max(1) as f64;
            let mean_of = |drawn: &[&Sum]| {
                let sum = drawn.iter().map(|sum| **sum).fold(Sum::default(), Sum::add);
                (sum.answers > 0).then(|| sum.scores / sum.answers as f64)
            };
            Ranked {
                model: name.clone(),
                answers: total.answers,
                score: total.scores / answers,
                interval: interval(&units, seed, mean_of),
                length: total.lengths / answers,
                leaderboard: leaderboard.and_then(|values| values.get(name)).copied(),
            }
        })
        .collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.model.cmp(&b.model)));
    ranked
}

/// A correlation of scores with a leaderboard's values, given the answers' lengths. `None` where it is not defined.
type Correlation = fn(&[f64], &[f64], &[f64]) -> Option<f64>;

/// Agreement of the ranking with the leaderboard. An error, in one line, if too few models are in both.
pub fn agreement(ranked: &[Ranked], seed: u64) -> Result<Agreement, String> {
    let lines: Vec<[f64; 3]> = ranked
        .iter()
        .filter_map(|model| model.leaderboard.map(|value| [model.score, value, model.length]))
        .collect();
    if lines.len() < LEAST_MODELS {
        return Err(format!(
            "the leaderboard names {} of the models that answered, and at least {LEAST_MODELS} are needed; a name has to be \
             the same in both",
            lines.len()
        ));
    }
    let estimate = |correlation: Correlation| {
        let of = |drawn: &[&[f64; 3]]| {
            let column = |of: fn(&[f64; 3]) -> f64| drawn.iter().map(|line| of(line)).collect::<Vec<_>>();
            correlation(
                &column(|[score, _, _]| *score),
                &column(|[_, value, _]| *value),
                &column(|[_, _, length]| *length),
            )
        };
        Estimate { value: of(&lines.iter().collect::<Vec<_>>()), interval: interval(&lines, seed, of) }
    };
    Ok(Agreement {
        models: lines.len(),
        spearman: estimate(|score, value, _| spearman(score, value)),
        given_length: estimate(partial_spearman),
        length: estimate(|_, value, length| spearman(length, value)),
    })
}

/// Number of questions that every model answered.
pub fn questions_of_all(outputs: &Outputs) -> usize {
    let answered: BTreeSet<(usize, usize)> =
        outputs.outputs.iter().map(|output| (output.question, output.model)).collect();
    let mut models_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (question, _) in answered {
        let models = models_of.entry(question).or_default();
        *models = models.saturating_add(1);
    }
    models_of.values().filter(|models| **models == outputs.models.len()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranking::data::Output;
    use serde::Deserialize;
    use std::path::Path;

    /// What SciPy makes of drawn scores (scripts/judge/rank_reference.py).
    #[derive(Deserialize)]
    struct Reference {
        models: Vec<Model>,
        spearman: f64,
        spearman_interval: [f64; 2],
        given_length: f64,
        given_length_interval: [f64; 2],
        length: f64,
        length_interval: [f64; 2],
    }

    #[derive(Deserialize)]
    struct Model {
        value: f64,
        scores: Vec<f64>,
        lengths: Vec<usize>,
        mean: f64,
        interval: [f64; 2],
    }

    fn name(place: usize) -> String {
        format!("model {place:02}")
    }

    /// The reference with its models as answers, scores and leaderboard.
    fn reference() -> (Reference, Outputs, Vec<f64>, BTreeMap<String, f64>) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ranking.json");
        let reference: Reference = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let (mut outputs, mut scores) = (Outputs::default(), Vec::new());
        for (place, model) in reference.models.iter().enumerate() {
            outputs.models.push(name(place));
            for (question, (score, length)) in model.scores.iter().zip(&model.lengths).enumerate() {
                // Characters count and not bytes.
                outputs.outputs.push(Output { model: place, question, answer: "é".repeat(*length) });
                scores.push(*score);
            }
        }
        outputs.questions = (0..reference.models[0].scores.len()).map(|n| n.to_string()).collect();
        let values =
            reference.models.iter().enumerate().map(|(place, model)| (name(place), model.value)).collect();
        (reference, outputs, scores, values)
    }

    /// Whether the ends are where SciPy has them, but for what 2000 draws leave open: a tenth of the width.
    fn near(found: Option<Interval>, [low, high]: [f64; 2]) -> bool {
        let open = (high - low) / 10.0;
        found.is_some_and(|found| (found.low - low).abs() < open && (found.high - high).abs() < open)
    }

    #[test]
    fn the_figures_are_those_of_scipy() {
        let (reference, outputs, scores, values) = reference();
        let ranked = ranking(&outputs, &scores, Some(&values), 1);
        assert!(ranked.windows(2).all(|two| two[0].score >= two[1].score));
        for (place, model) in reference.models.iter().enumerate() {
            let found = ranked.iter().find(|ranked| ranked.model == name(place)).unwrap();
            assert!((found.score - model.mean).abs() < 1e-12, "{found:?}");
            assert!(near(found.interval, model.interval), "{found:?} {:?}", model.interval);
            assert_eq!((found.answers, found.leaderboard), (model.scores.len(), Some(model.value)));
        }
        let found = agreement(&ranked, 1).unwrap();
        for (estimate, value, interval) in [
            (found.spearman, reference.spearman, reference.spearman_interval),
            (found.given_length, reference.given_length, reference.given_length_interval),
            (found.length, reference.length, reference.length_interval),
        ] {
            assert!((estimate.value.unwrap() - value).abs() < 1e-9, "{estimate:?} {value}");
            assert!(near(estimate.interval, interval), "{estimate:?} {interval:?}");
        }
        assert_eq!(agreement(&ranked, 1).unwrap(), found, "the seed decides");
        assert_ne!(agreement(&ranked, 2).unwrap(), found);
        assert_eq!(questions_of_all(&outputs), outputs.questions.len());
    }

    #[test]
    fn the_order_of_answers_does_not_count() {
        let (_, mut outputs, mut scores, values) = reference();
        let ranked = ranking(&outputs, &scores, Some(&values), 1);
        outputs.outputs.reverse();
        scores.reverse();
        for (one, other) in ranking(&outputs, &scores, Some(&values), 1).iter().zip(&ranked) {
            assert!((one.score - other.score).abs() < 1e-12 && one.model == other.model);
        }
    }

    #[test]
    fn too_few_models_have_no_correlation() {
        let (_, outputs, scores, mut values) = reference();
        while values.len() > LEAST_MODELS {
            values.pop_first();
        }
        agreement(&ranking(&outputs, &scores, Some(&values), 1), 1).unwrap();
        values.pop_first();
        let error = agreement(&ranking(&outputs, &scores, Some(&values), 1), 1).unwrap_err();
        assert!(error.contains("names 2 of the models"), "{error}");
    }

    #[test]
    fn a_question_that_one_model_left_out_is_noticed() {
        let (_, mut outputs, mut scores, _) = reference();
        outputs.outputs.remove(3);
        scores.remove(3);
        assert_eq!(questions_of_all(&outputs), outputs.questions.len() - 1);
    }
}
