//! `POST /v1/embeddings`, as clients of OpenAI's API use it: vectors of texts, by bi-encoders. Each vector has a length of 1.

use super::{
    direct::{Direct, Place},
    error::{ApiError, ErrorBody},
    forms::{some_texts_schema, whole, Texts},
    models::choose_embedder,
    schemas::WorkErrors,
    ApiState, Body,
};
use crate::work::Embedding;
use axum::{extract::State, Json};
use base64::{engine::general_purpose::STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use utoipa::openapi::{RefOr, Schema};

/// Most texts of one request.
pub const MAX_TEXTS: usize = 2048;

/// Texts to make vectors of. Fields that are not listed are ignored.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
pub struct EmbeddingsRequest {
    /// A bi-encoder: its name, its id, or the first digits of its id. Without it, the only bi-encoder there is.
    pub model: Option<String>,
    /// A text, or 1 to 2048 texts. Lists of token ids are refused.
    #[schema(schema_with = input_schema)]
    pub input: Texts,
    /// Encoding of a vector (default: `float`).
    pub encoding_format: Option<EncodingFormat>,
    /// Numbers of a vector: only as many as the model gives.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 4294967295u32, format = "uint32")]
    pub dimensions: Option<u32>,
}

fn input_schema() -> RefOr<Schema> {
    some_texts_schema(
        "A text, or 1 to 2048 texts. Lists of token ids are refused.",
        json!(["What is the capital of France?"]),
    )
}

/// Encoding of a vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncodingFormat {
    /// A list of numbers.
    #[default]
    Float,
    /// 32-bit floats, the lowest byte of each first, in base64.
    Base64,
}

/// Vectors in the order of the texts.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Embeddings {
    /// Always `list`.
    #[schema(value_type = String)]
    pub object: &'static str,
    /// One for each text.
    pub data: Vec<EmbeddingItem>,
    /// The model's name.
    pub model: String,
    /// Number of tokens.
    pub usage: EmbeddingUsage,
}

/// The vector of a text.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct EmbeddingItem {
    /// Always `embedding`.
    #[schema(value_type = String)]
    pub object: &'static str,
    /// Which text of the request this is, from 0.
    #[schema(minimum = 0)]
    pub index: usize,
    /// The vector.
    pub embedding: Vector,
}

/// A vector as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Vector {
    /// As a list of numbers.
    Float(Vec<f32>),
    /// In base64.
    Base64(String),
}

/// Number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EmbeddingUsage {
    /// Tokens that went through the network.
    #[schema(minimum = 0)]
    pub prompt_tokens: u32,
    /// The same: nothing is generated.
    #[schema(minimum = 0)]
    pub total_tokens: u32,
}

impl Vector {
    fn written(numbers: Vec<f32>, format: EncodingFormat) -> Self {
        match format {
            EncodingFormat::Float => Self::Float(numbers),
            EncodingFormat::Base64 => {
                let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
                Self::Base64(STANDARD.encode(bytes))
            }
        }
    }
}

/// Makes vectors of texts.
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    tag = "scores",
    request_body = EmbeddingsRequest,
    responses(
        (status = 200, description = "The vectors, in the order of the texts.", body = Embeddings),
        (status = 404, description = "This engine does not hold the model, or it is no bi-encoder.", body = ErrorBody),
        WorkErrors,
    ),
)]
pub async fn embed(
    State(engine): State<ApiState>,
    place: Place,
    Body(request): Body<EmbeddingsRequest>,
) -> Result<Json<Embeddings>, ApiError> {
    let texts = request.input.into_vec();
    if texts.is_empty() || texts.len() > MAX_TEXTS {
        let message = format!("'input' has {} texts, and may have 1 to {MAX_TEXTS}", texts.len());
        return Err(ApiError::invalid(message).about("input"));
    }
    let chosen = choose_embedder(&engine, request.model.as_deref()).await?;
    let (backends, work) = (Arc::clone(&engine.backends), Embedding { model: chosen.id, texts });
    let embedded =
        Direct::start(&engine, place, async move { backends.embed(&work).await }).outcome().await?;
    let size = embedded.vectors.first().map_or(0, Vec::len);
    if let Some(dimensions) = request.dimensions.filter(|dimensions| *dimensions as usize != size) {
        let message = format!("'dimensions' is {dimensions}, and the vectors of {} have {size}", chosen.name);
        return Err(ApiError::invalid(message).about("dimensions"));
    }
    let format = request.encoding_format.unwrap_or_default();
    let item = |(index, numbers)| EmbeddingItem {
        object: "embedding",
        index,
        embedding: Vector::written(numbers, format),
    };
    Ok(Json(Embeddings {
        object: "list",
        data: embedded.vectors.into_iter().enumerate().map(item).collect(),
        model: chosen.name,
        usage: EmbeddingUsage { prompt_tokens: embedded.tokens, total_tokens: embedded.tokens },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_in_base64_is_its_floats_lowest_byte_first() {
        let numbers = vec![1.0_f32, -0.5];
        let Vector::Base64(text) = Vector::written(numbers.clone(), EncodingFormat::Base64) else {
            panic!("base64 was asked for")
        };
        assert_eq!(STANDARD.decode(text).unwrap(), [0, 0, 0x80, 0x3f, 0, 0, 0, 0xbf]);
        assert_eq!(Vector::written(numbers.clone(), EncodingFormat::Float), Vector::Float(numbers));
    }
}
