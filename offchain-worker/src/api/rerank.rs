//! Scores: `POST /v1/rerank` in the shape that Jina, Cohere and vLLM have made common, `POST /rerank` in that shape or
//! in the one of Text Embeddings Inference (TEI), and `POST /v1/score`, which gives all that the evaluator says, or what vLLM
//! gives ([`super::pairs`]).
//!
//! Calibrated scores are between 0 and 1: how likely the evaluator holds the answer to be good. Raw ones are the
//! network's own numbers. Texts longer than the evaluator takes are cut, or scored in windows, as its manifest says.
//! Answers are scored in batches, which may move the last digits; jobs, and `alone` here, score each by itself.

use super::{
    direct::{Direct, Place},
    error::{ApiError, ErrorBody},
    forms::{whole, Document, DocumentText},
    models::{choose, Chosen},
    pairs::{self, PairScores, PairsRequest},
    schemas::WorkErrors,
    ApiState, Body,
};
use crate::{
    models::shelf::ModelKind,
    work::{Scored, Scoring, FULL_SCORE},
};
use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
    Json,
};
use serde::{de::DeserializeOwned, Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Documents to put in order.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
pub struct RerankRequest {
    /// An evaluator: its name, its id, or the first digits of its id. Without it, the only evaluator there is.
    #[schema(example = "poq-demo-evaluator")]
    pub model: Option<String>,
    /// The question.
    #[schema(example = "What is the capital of France?")]
    pub query: String,
    /// The texts to put in order, at least one.
    #[schema(min_items = 1, example = json!(["Paris.", "The weather is fine."]))]
    pub documents: Vec<Document>,
    /// Most results, the best first (default: all).
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 4294967295u32, format = "uint32")]
    pub top_n: Option<u32>,
    /// Whether results repeat their documents (default: false).
    pub return_documents: Option<bool>,
    /// Whether scores are the network's own numbers (default: false, which gives 0 to 1).
    pub raw_scores: Option<bool>,
}

/// Documents in their order.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Ranking {
    /// `rerank-` and random digits.
    pub id: String,
    /// The best first.
    pub results: Vec<RankedDocument>,
}

/// Documents in their order, and what that took.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Reranked {
    /// The documents.
    #[serde(flatten)]
    pub ranking: Ranking,
    /// The model's name.
    pub model: String,
    /// Number of tokens.
    pub usage: ScoreUsage,
}

/// A document's place.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RankedDocument {
    /// Which document of the request this is, from 0.
    #[schema(minimum = 0)]
    pub index: usize,
    /// Quality as an answer: 0 to 1, or the network's own number.
    pub relevance_score: f64,
    /// The document, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub document: Option<DocumentText>,
}

/// Number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ScoreUsage {
    /// Tokens that went through the network.
    #[schema(minimum = 0)]
    pub total_tokens: u32,
}

/// Texts to put in order, as TEI has it.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
pub struct TeiRequest {
    /// An evaluator, as in `RerankRequest`; TEI itself has one model only.
    pub model: Option<String>,
    /// The question.
    #[schema(example = "What is the capital of France?")]
    pub query: String,
    /// The texts to put in order, at least one.
    #[schema(min_items = 1, example = json!(["Paris.", "The weather is fine."]))]
    pub texts: Vec<String>,
    /// Whether scores are the network's own numbers (default: false, which gives 0 to 1).
    pub raw_scores: Option<bool>,
    /// Whether results repeat their texts (default: false).
    pub return_text: Option<bool>,
    /// Taken and not needed: long texts are never refused.
    pub truncate: Option<bool>,
}

/// A text's place, as TEI has it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RankedText {
    /// Which text of the request this is, from 0.
    #[schema(minimum = 0)]
    pub index: usize,
    /// Quality as an answer: 0 to 1, or the network's own number.
    pub score: f64,
    /// The text, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
}

/// Body of `POST /rerank`. A body with `texts` is TEI's.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // Only its schema is wanted.
pub(super) enum EitherRequest {
    Documents(RerankRequest),
    Texts(TeiRequest),
}

/// Answer of `POST /rerank`.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // Only its schema is wanted.
pub(super) enum EitherResponse {
    Documents(Reranked),
    Texts(Vec<RankedText>),
}

/// Answers to score.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
pub struct ScoreRequest {
    /// An evaluator, as in `RerankRequest`.
    #[schema(example = "poq-demo-evaluator")]
    pub model: Option<String>,
    /// The question.
    #[schema(example = "What is the capital of France?")]
    pub question: String,
    /// The answers.
    #[schema(min_items = 1, example = json!(["Paris.", "The weather is fine."]))]
    pub answers: Vec<String>,
    /// Whether each goes through the network by itself, as in jobs (default: false). Slower, and the score then depends
    /// on nothing but question, answer and model.
    pub alone: Option<bool>,
}

/// Scores in the order of the answers.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Scores {
    /// The model's name.
    pub model: String,
    /// One for each answer.
    pub scores: Vec<AnswerScore>,
    /// Number of tokens.
    pub usage: ScoreUsage,
}

/// Score of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AnswerScore {
    /// Which answer of the request this is, from 0.
    #[schema(minimum = 0)]
    pub index: usize,
    /// The network's own number.
    pub raw: f64,
    /// Calibrated: 0 to 1, in steps of a millionth.
    pub score: f64,
}

/// Body of `POST /v1/score`. A body with neither `question` nor `answers` is vLLM's.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // Only its schema is wanted.
pub(super) enum EitherScoreRequest {
    Answers(ScoreRequest),
    Pairs(PairsRequest),
}

/// Answer of `POST /v1/score`.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // Only its schema is wanted.
pub(super) enum EitherScores {
    Answers(Scores),
    Pairs(PairScores),
}

/// Puts documents in the order of their scores.
#[utoipa::path(
    post,
    path = "/v1/rerank",
    tag = "scores",
    request_body = RerankRequest,
    responses(
        (status = 200, description = "The documents in order.", body = Reranked),
        (status = 404, description = "This engine does not hold the model, or it is of another kind.", body = ErrorBody),
        WorkErrors,
    ),
)]
pub async fn rerank(
    State(engine): State<ApiState>,
    place: Place,
    Body(request): Body<RerankRequest>,
) -> Result<Json<Reranked>, ApiError> {
    ranked(&engine, place, request).await.map(Json)
}

/// Puts documents in the order of their scores; a body with `texts` gets the answer that TEI would give.
#[utoipa::path(
    post,
    path = "/rerank",
    tag = "scores",
    request_body = EitherRequest,
    responses(
        (status = 200, description = "The documents in order.", body = EitherResponse),
        (status = 404, description = "This engine does not hold the model, or it is of another kind.", body = ErrorBody),
        WorkErrors,
    ),
)]
pub async fn rerank_either(
    State(engine): State<ApiState>,
    place: Place,
    Body(request): Body<Value>,
) -> Result<Response, ApiError> {
    if request.get("texts").is_some() {
        return Ok(Json(do_rank(&engine, place, read(request)?).await?).into_response());
    }
    Ok(Json(ranked(&engine, place, read(request)?).await?).into_response())
}

/// Scores answers to a question.
#[utoipa::path(
    post,
    path = "/v1/score",
    tag = "scores",
    request_body = EitherScoreRequest,
    responses(
        (status = 200, description = "The scores, in the order of the answers.", body = EitherScores),
        (status = 404, description = "This engine does not hold the model, or it is of another kind.", body = ErrorBody),
        WorkErrors,
    ),
)]
pub async fn score(
    State(engine): State<ApiState>,
    place: Place,
    Body(request): Body<Value>,
) -> Result<Response, ApiError> {
    if ["question", "answers"].iter().all(|field| request.get(field).is_none()) {
        return Ok(Json(pairs::score(&engine, place, read(request)?).await?).into_response());
    }
    let ScoreRequest { model, question, answers, alone } = read(request)?;
    let alone = alone.unwrap_or(false);
    let (chosen, scored) = do_score(&engine, place, model.as_deref(), question, answers, alone).await?;
    let pairs = scored.raw.iter().zip(&scored.scores).enumerate();
    let scores = pairs.map(|(index, (&raw, &score))| AnswerScore { index, raw, score: calibrated(score) });
    let scores = Scores { model: chosen.name, scores: scores.collect(), usage: usage_of(&scored) };
    Ok(Json(scores).into_response())
}

fn read<T: DeserializeOwned>(request: Value) -> Result<T, ApiError> {
    Ok(serde_path_to_error::deserialize(request)?)
}

/// Puts the documents of `request` in order.
pub(super) async fn ranked(
    engine: &ApiState,
    place: Place,
    request: RerankRequest,
) -> Result<Reranked, ApiError> {
    if request.top_n == Some(0) {
        return Err(ApiError::invalid("'top_n' has to be at least 1").about("top_n"));
    }
    let texts: Vec<String> = request.documents.into_iter().map(Document::into_text).collect();
    let kept = request.return_documents.unwrap_or(false).then(|| texts.clone());
    let (chosen, scored) =
        do_score(engine, place, request.model.as_deref(), request.query, texts, false).await?;
    let mut ranks = ranks_of(&scored, request.raw_scores.unwrap_or(false));
    ranks.truncate(request.top_n.map_or(usize::MAX, |most| most as usize));
    let results = ranks.into_iter().map(|(index, relevance_score)| RankedDocument {
        index,
        relevance_score,
        document: text_at(kept.as_deref(), index).map(|text| DocumentText { text }),
    });
    let id = format!("rerank-{:032x}", rand::random::<u128>());
    let ranking = Ranking { id, results: results.collect() };
    Ok(Reranked { ranking, model: chosen.name, usage: usage_of(&scored) })
}

async fn do_rank(engine: &ApiState, place: Place, request: TeiRequest) -> Result<Vec<RankedText>, ApiError> {
    let kept = request.return_text.unwrap_or(false).then(|| request.texts.clone());
    let (_, scored) =
        do_score(engine, place, request.model.as_deref(), request.query, request.texts, false).await?;
    let ranks = ranks_of(&scored, request.raw_scores.unwrap_or(false)).into_iter();
    Ok(ranks
        .map(|(index, score)| RankedText { index, score, text: text_at(kept.as_deref(), index) })
        .collect())
}

async fn do_score(
    engine: &ApiState,
    place: Place,
    model: Option<&str>,
    question: String,
    answers: Vec<String>,
    alone: bool,
) -> Result<(Chosen, Scored), ApiError> {
    if answers.is_empty() {
        return Err(ApiError::invalid("there is nothing to score: send at least one text"));
    }
    let chosen = choose(engine, model, ModelKind::Evaluator).await?;
    let work = Scoring { model: chosen.id.clone(), question, answers, alone };
    let backends = Arc::clone(&engine.backends);
    let work = Direct::start(engine, place, async move { backends.score(&work).await });
    Ok((chosen, work.outcome().await?))
}

/// Index and score of each, the best first; among equals, the one with the higher raw number, then the first.
fn ranks_of(scored: &Scored, raw: bool) -> Vec<(usize, f64)> {
    let mut ranks: Vec<_> =
        scored.scores.iter().copied().zip(scored.raw.iter().copied()).enumerate().collect();
    ranks.sort_by(|(_, (left, left_raw)), (_, (right, right_raw))| {
        right.cmp(left).then_with(|| right_raw.total_cmp(left_raw))
    });
    let shown = |(index, (score, raw_score))| (index, if raw { raw_score } else { calibrated(score) });
    ranks.into_iter().map(shown).collect()
}

/// A score of parts per million as 0 to 1.
pub(super) fn calibrated(score: u32) -> f64 {
    f64::from(score) / f64::from(FULL_SCORE)
}

fn text_at(texts: Option<&[String]>, index: usize) -> Option<String> {
    texts?.get(index).cloned()
}

fn usage_of(scored: &Scored) -> ScoreUsage {
    ScoreUsage { total_tokens: scored.tokens }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_fall_and_ties_keep_their_order() {
        let scored =
            Scored { raw: vec![0.1, 2.0, 3.0, 0.1], scores: vec![5, 900_000, 900_000, 5], tokens: 9 };
        assert_eq!(ranks_of(&scored, false), [(2, 0.9), (1, 0.9), (0, 0.000_005), (3, 0.000_005)]);
        assert_eq!(ranks_of(&scored, true), [(2, 3.0), (1, 2.0), (0, 0.1), (3, 0.1)]);
    }
}
