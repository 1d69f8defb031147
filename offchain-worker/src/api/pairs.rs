//! `POST /v1/score` in the shape of vLLM: scores of pairs of texts.

use super::{
    direct::{Direct, Place},
    error::ApiError,
    forms::{some_texts_schema, Texts},
    models::{choose, seconds},
    rerank::calibrated,
    ApiState,
};
use crate::{
    models::shelf::ModelKind,
    work::{Scored, Scoring},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{sync::Arc, time::SystemTime};
use utoipa::openapi::{RefOr, Schema};

/// Pairs to score, as vLLM has it: one text against each of several, or as many against as many. Fields that are not listed are
/// ignored; long texts are cut as the evaluator's manifest says.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
pub struct PairsRequest {
    /// An evaluator, as in `RerankRequest`.
    #[schema(example = "poq-demo-evaluator")]
    pub model: Option<String>,
    /// The question, or one for each answer; `queries` and `data_1` are other names of this field.
    #[serde(alias = "queries", alias = "data_1")]
    #[schema(schema_with = questions_schema)]
    pub text_1: Texts,
    /// The answers; `documents` and `data_2` are other names of this field.
    #[serde(alias = "documents", alias = "data_2")]
    #[schema(schema_with = answers_schema)]
    pub text_2: Texts,
    /// Whether scores are the network's own numbers (default: false, which gives 0 to 1).
    pub raw_scores: Option<bool>,
}

fn questions_schema() -> RefOr<Schema> {
    some_texts_schema(
        "The question, or one for each answer; `queries` and `data_1` are other names of this field.",
        json!("What is the capital of France?"),
    )
}

fn answers_schema() -> RefOr<Schema> {
    some_texts_schema(
        "The answers; `documents` and `data_2` are other names of this field.",
        json!(["Paris.", "The weather is fine."]),
    )
}

/// Scores in the order of the pairs, as vLLM has it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct PairScores {
    /// `score-` and random digits.
    pub id: String,
    /// Always `list`.
    #[schema(value_type = String)]
    pub object: &'static str,
    /// Seconds since 1970 (UTC).
    #[schema(minimum = 0)]
    pub created: u64,
    /// The model's name.
    pub model: String,
    /// One for each pair.
    pub data: Vec<PairScore>,
    /// Number of tokens.
    pub usage: PairUsage,
}

/// Score of a pair.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct PairScore {
    /// Which pair of the request this is, from 0.
    #[schema(minimum = 0)]
    pub index: usize,
    /// Always `score`.
    #[schema(value_type = String)]
    pub object: &'static str,
    /// 0 to 1, or the network's own number.
    pub score: f64,
}

/// Number of tokens.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct PairUsage {
    /// Tokens that went through the network.
    #[schema(minimum = 0)]
    pub prompt_tokens: u32,
    /// The same: nothing is generated.
    #[schema(minimum = 0)]
    pub total_tokens: u32,
    /// Always 0.
    #[schema(minimum = 0)]
    pub completion_tokens: u32,
}

/// Scores the pairs of `request`.
pub(super) async fn score(
    engine: &ApiState,
    place: Place,
    request: PairsRequest,
) -> Result<PairScores, ApiError> {
    let groups = groups_of(request.text_1.into_vec(), request.text_2.into_vec())?;
    let chosen = choose(engine, request.model.as_deref(), ModelKind::Evaluator).await?;
    let (backends, model) = (Arc::clone(&engine.backends), chosen.id);
    let work = Direct::start(engine, place, async move {
        let mut all = Scored::none();
        for (question, answers) in groups {
            let work = Scoring { model: model.clone(), question, answers, alone: false };
            all.append(backends.score(&work).await?);
        }
        Ok(all)
    });
    let scored = work.outcome().await?;
    let raw_wanted = request.raw_scores.unwrap_or(false);
    let pairs = scored.raw.iter().zip(&scored.scores).enumerate();
    let data = pairs.map(|(index, (raw, score))| PairScore {
        index,
        object: "score",
        score: if raw_wanted { *raw } else { calibrated(*score) },
    });
    let tokens = scored.tokens;
    Ok(PairScores {
        id: format!("score-{:032x}", rand::random::<u128>()),
        object: "list",
        created: seconds(SystemTime::now()),
        model: chosen.name,
        data: data.collect(),
        usage: PairUsage { prompt_tokens: tokens, total_tokens: tokens, completion_tokens: 0 },
    })
}

/// Questions with their answers, in the order of the pairs.
fn groups_of(questions: Vec<String>, answers: Vec<String>) -> Result<Vec<(String, Vec<String>)>, ApiError> {
    for (field, texts) in [("text_1", &questions), ("text_2", &answers)] {
        if texts.is_empty() {
            return Err(ApiError::invalid(format!("'{field}' is empty: send at least one text")).about(field));
        }
    }
    let (of_first, of_second) = (questions.len(), answers.len());
    match <[String; 1]>::try_from(questions) {
        Ok([question]) => Ok(vec![(question, answers)]),
        Err(questions) if of_first == of_second => {
            Ok(questions.into_iter().zip(answers.into_iter().map(|answer| vec![answer])).collect())
        }
        Err(_) => {
            let message =
                format!("'text_1' has {of_first} texts and 'text_2' {of_second}: send one and any number, or as many of each");
            Err(ApiError::invalid(message).about("text_1"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_with_all_and_many_go_two_by_two() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let groups = |questions: &[&str], answers: &[&str]| groups_of(texts(questions), texts(answers));
        assert_eq!(groups(&["q"], &["a", "b"]).unwrap(), [("q".to_owned(), texts(&["a", "b"]))]);
        assert_eq!(
            groups(&["p", "q"], &["a", "b"]).unwrap(),
            [("p".to_owned(), texts(&["a"])), ("q".to_owned(), texts(&["b"]))]
        );
        for (questions, answers, field) in
            [(&[][..], &["a"][..], "text_1"), (&["q"], &[], "text_2"), (&["p", "q"], &["a"], "text_1")]
        {
            let error = groups(questions, answers).unwrap_err().body().error;
            assert_eq!(error.param.as_deref(), Some(field), "{}", error.message);
        }
    }
}
