//! `POST /v2/rerank`, as clients of Cohere's API in its second version use it. Errors under `/v2/` have that API's form, too.

use super::{
    direct::Place,
    error::ApiError,
    forms::{whole, Document},
    rerank::{ranked, Ranking, RerankRequest},
    schemas::CohereErrors,
    ApiState, Body,
};
use axum::{extract::State, Json};
use serde::{Deserialize, Serialize};

/// Documents to put in order. Fields that are not listed are ignored; long documents are cut as the evaluator's manifest says.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
pub struct CohereRerankRequest {
    /// An evaluator: its name, its id, or the first digits of its id. Without it, the only evaluator there is.
    #[schema(example = "poq-demo-evaluator")]
    pub model: Option<String>,
    /// The question.
    #[schema(example = "What is the capital of France?")]
    pub query: String,
    /// The documents, at least one.
    #[schema(min_items = 1, example = json!(["Paris.", "The weather is fine."]))]
    pub documents: Vec<Document>,
    /// Most results, the best first (default: all).
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 4294967295u32, format = "uint32")]
    pub top_n: Option<u32>,
}

/// Documents in their order.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CohereReranked {
    /// The documents.
    #[serde(flatten)]
    pub ranking: Ranking,
    /// About the answer.
    pub meta: CohereMeta,
}

/// About an answer.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CohereMeta {
    /// The version of the API.
    pub api_version: CohereVersion,
}

/// The version of an API.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CohereVersion {
    /// Always `2`.
    #[schema(value_type = String)]
    pub version: &'static str,
}

/// Puts documents in the order of their scores.
#[utoipa::path(
    post,
    path = "/v2/rerank",
    tag = "scores",
    request_body = CohereRerankRequest,
    responses(
        (status = 200, description = "The documents in order.", body = CohereReranked),
        CohereErrors,
    ),
)]
pub async fn rerank_v2(
    State(engine): State<ApiState>,
    place: Place,
    Body(request): Body<CohereRerankRequest>,
) -> Result<Json<CohereReranked>, ApiError> {
    let CohereRerankRequest { model, query, documents, top_n } = request;
    let request = RerankRequest { model, query, documents, top_n, return_documents: None, raw_scores: None };
    let ranking = ranked(&engine, place, request).await?.ranking;
    let meta = CohereMeta { api_version: CohereVersion { version: "2" } };
    Ok(Json(CohereReranked { ranking, meta }))
}
