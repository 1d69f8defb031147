//! `GET /v1/models` and `GET /v1/models.csv`: generators ranked by duels.

use super::{App, Refusal};
use crate::store::{Ranked, Ranking};
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    Json,
};
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The limits of the rankings; in every answer, because they are copied without their handbook.
const CAVEAT: &str = "Strengths are of answers as this evaluator scores them, on the questions that were asked here. A duel counts by what the \
                      chain kept of its request, so a rank can be bought for that. The intervals hold chance alone.";

/// The rankings at a block: they are the same until the next.
#[derive(Clone, Default)]
pub struct Cache(Arc<Mutex<Option<Known>>>);

/// A block, and the rankings at it.
type Known = (u64, Arc<Vec<Ranking>>);

/// Rankings, one for each evaluator.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Rankings {
    /// The limits of these rankings, for people.
    caveat: &'static str,
    /// By evaluator.
    evaluators: Vec<ByEvaluator>,
}

/// Generators as an evaluator's duels rank them.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ByEvaluator {
    /// SHA-256 of the evaluator's file, in hex.
    evaluator: String,
    /// Its name.
    name: Option<String>,
    /// Duels: two answers of different generators to one question, judged by one committee.
    duels: u64,
    /// The number of equally weighed duels that would say as much.
    effective_duels: f64,
    /// The generators, the strongest first.
    models: Vec<Model>,
}

/// A generator.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Model {
    /// Its place, from 1.
    rank: usize,
    /// SHA-256 of its file, in hex.
    model: String,
    /// Its name.
    name: Option<String>,
    /// Strength by Bradley and Terry, in logarithms of odds; the mean of all is 0.
    strength: f64,
    /// Lower end of the 95% interval.
    low: f64,
    /// Upper end.
    high: f64,
    /// Duels that it fought.
    duels: u64,
    /// Mean quality of its answers, 0 to 1.
    quality: Option<f64>,
    /// Times that an operator was drawn to answer with it.
    drawn: u64,
    /// Answers that were shown.
    answered: u64,
    /// Part of the draws in which the operator said that it cannot answer, 0 to 1.
    refusals: f64,
    /// Mean part of the time there was that its answers took, 0 to 1.
    latency: Option<f64>,
    /// Mean pay for an answer, in units.
    pay: String,
}

impl Model {
    fn new(rank: usize, of: &Ranked) -> Self {
        let mean = |sum: u64, number: u64| (number > 0).then(|| sum as f64 / number as f64 / 1e6);
        Self {
            rank,
            model: of.model.clone(),
            name: of.name.clone(),
            strength: of.strength.value,
            low: of.strength.low,
            high: of.strength.high,
            duels: of.duels,
            quality: mean(of.quality, of.scored),
            drawn: of.drawn,
            answered: of.answered,
            refusals: of.failed as f64 / of.drawn.max(1) as f64,
            latency: mean(of.latency, of.answered),
            pay: (of.paid / u128::from(of.answered.max(1))).to_string(),
        }
    }
}

impl ByEvaluator {
    fn of(ranking: &Ranking) -> Self {
        Self {
            evaluator: ranking.evaluator.clone(),
            name: ranking.name.clone(),
            duels: ranking.duels,
            effective_duels: ranking.effective,
            models: (1..).zip(&ranking.models).map(|(rank, model)| Model::new(rank, model)).collect(),
        }
    }
}

async fn rankings(app: &App) -> Result<Arc<Vec<Ranking>>, Refusal> {
    let block = app.progress.borrow().cursor.as_ref().map_or(0, |cursor| cursor.number);
    let mut cache = app.rankings.0.lock().await;
    if let Some((_, known)) = cache.as_ref().filter(|(at, _)| *at == block) {
        return Ok(Arc::clone(known));
    }
    let new = Arc::new(app.store.rankings().await?);
    *cache = Some((block, Arc::clone(&new)));
    Ok(new)
}

/// Generators ranked by duels, by evaluator.
#[utoipa::path(get, path = "/v1/models", tag = "history", responses((status = 200, body = Rankings)))]
pub async fn list(State(app): State<App>) -> Result<Json<Rankings>, Refusal> {
    let rankings = rankings(&app).await?;
    Ok(Json(Rankings { caveat: CAVEAT, evaluators: rankings.iter().map(ByEvaluator::of).collect() }))
}

/// The same as a table, with a line for each evaluator and generator.
#[utoipa::path(get, path = "/v1/models.csv", tag = "history", responses((status = 200, content_type = "text/csv", body = String)))]
pub async fn csv(State(app): State<App>) -> Result<Response, Refusal> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let columns = [
        "evaluator",
        "evaluator_name",
        "rank",
        "model",
        "name",
        "strength",
        "low",
        "high",
        "duels",
        "quality",
        "drawn",
        "answered",
        "refusals",
        "latency",
        "pay",
    ];
    table.write_record(columns).map_err(Refusal::internal)?;
    for ranking in rankings(&app).await?.iter() {
        let evaluator = ByEvaluator::of(ranking);
        for model in evaluator.models {
            let some = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
            table
                .write_record([
                    evaluator.evaluator.clone(),
                    cell(evaluator.name.as_deref()),
                    model.rank.to_string(),
                    model.model,
                    cell(model.name.as_deref()),
                    model.strength.to_string(),
                    model.low.to_string(),
                    model.high.to_string(),
                    model.duels.to_string(),
                    some(model.quality),
                    model.drawn.to_string(),
                    model.answered.to_string(),
                    model.refusals.to_string(),
                    some(model.latency),
                    model.pay,
                ])
                .map_err(Refusal::internal)?;
        }
    }
    let bytes = table.into_inner().map_err(Refusal::internal)?;
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], bytes).into_response())
}

/// A name as a cell: spreadsheets take a text that begins so for a formula, and names are what anyone registers.
fn cell(name: Option<&str>) -> String {
    let name = name.unwrap_or_default();
    if name.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{name}")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_formula() {
        assert_eq!(cell(Some("=HYPERLINK(1)")), "'=HYPERLINK(1)");
        assert_eq!(cell(Some("poq-demo-strong")), "poq-demo-strong");
        assert_eq!(cell(None), "");
    }
}
