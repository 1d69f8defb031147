//! What the engine is asked to do and what comes of it: the same for every front (jobs, chat, rerank) and every
//! backend (llama.cpp and ONNX Runtime here, servers elsewhere).

use serde::{Deserialize, Serialize};

/// The highest score, in parts per million.
pub const FULL_SCORE: u32 = 1_000_000;

/// Who asks for work. What is paid for goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// A job: a chain pays for it.
    Job,
    /// Whoever asks and waits.
    Direct,
}

/// Who says a [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sets the scene.
    System,
    /// Asks.
    User,
    /// Answers.
    Assistant,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Ask a generator to go on with a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Id of the generator.
    pub model: String,
    /// The conversation so far, at least one message.
    pub messages: Vec<Message>,
    /// Most tokens to generate, at least 1.
    pub max_tokens: u32,
    /// Most bytes of UTF-8 text to generate, at least 1; the text is cut at a character boundary.
    pub max_bytes: u32,
    /// Sampling temperature, 0 or above; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Only the likeliest tokens that together have this probability are drawn from; above 0, at most 1.
    pub top_p: f32,
    /// Seed of the sampler.
    pub seed: u32,
    /// The text ends before the first of these that appears in it; none of them is empty.
    pub stop: Vec<String>,
}

/// What a generator wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    /// The text, without white space at its ends.
    pub text: String,
    /// Tokens of the conversation that was read.
    pub prompt_tokens: u32,
    /// Tokens generated, without the one that ended the text.
    pub tokens: u32,
    /// Why it ended.
    pub finish: Finish,
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model ended its text, or a stop sequence came.
    Stop,
    /// A limit was reached: tokens, bytes, or the context.
    Length,
}

/// Ask a bi-encoder for vectors of texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embedding {
    /// Id of the bi-encoder.
    pub model: String,
    /// The texts, at least one.
    pub texts: Vec<String>,
}

/// Vectors of texts, in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embedded {
    /// Each of length 1, or all zeros.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens that went through the network, padding not counted.
    pub tokens: u32,
}

/// Ask an evaluator how good answers are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scoring {
    /// Id of the evaluator.
    pub model: String,
    /// The question.
    pub question: String,
    /// The answers, at least one.
    pub answers: Vec<String>,
    /// Whether each pair goes through the network by itself. A score then depends on nothing but the pair and
    /// the model; in a batch, padding and company may move the last bits (and more than those with 8-bit
    /// weights). Scores that go on chain are made alone; throughput wants batches.
    pub alone: bool,
}

impl Scored {
    /// No scores.
    pub fn none() -> Self {
        Self { raw: Vec::new(), scores: Vec::new(), tokens: 0 }
    }

    /// Puts the scores of `more` behind these.
    pub fn append(&mut self, more: Self) {
        self.raw.extend(more.raw);
        self.scores.extend(more.scores);
        self.tokens = self.tokens.saturating_add(more.tokens);
    }
}

/// What an evaluator says of answers, in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The network's own numbers: logits, or cosines of a bi-encoder.
    pub raw: Vec<f64>,
    /// Calibrated scores in parts per million, 0 to [`FULL_SCORE`].
    pub scores: Vec<u32>,
    /// Tokens that went through the network, padding not counted.
    pub tokens: u32,
}
