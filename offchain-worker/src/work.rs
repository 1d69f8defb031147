//! Work of the engine and its results: the same for every front (jobs, chat, rerank) and every
//! backend (llama.cpp and ONNX Runtime here, servers elsewhere).

use crate::json::Json;
use poq_primitives::conversation;
use serde::{Deserialize, Serialize};

/// The highest score, in parts per million.
pub const FULL_SCORE: u32 = 1_000_000;

/// Origin of work. Paid work goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// A job: a chain pays for it.
    Job,
    /// A client that waits for the result.
    Direct,
}

/// Author of a [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// Result of a function that the assistant called.
    Tool,
}

impl Role {
    /// The name that chat templates and clients know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Message {
    /// Its author.
    pub role: Role,
    /// Its text.
    pub content: String,
    /// Functions that the assistant calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Id of the call, in a tool's result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl Message {
    /// A message without calls of functions.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), tool_calls: Vec::new(), tool_call_id: None }
    }
}

impl From<conversation::Message> for Message {
    fn from(message: conversation::Message) -> Self {
        let role = match message.role {
            conversation::Role::System => Role::System,
            conversation::Role::User => Role::User,
            conversation::Role::Assistant => Role::Assistant,
        };
        Self::new(role, message.content)
    }
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
    /// Options that most work does not use. Jobs of a chain have none.
    #[serde(default, skip_serializing_if = "Extras::is_empty")]
    pub extras: Extras,
}

/// Result of a generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// The text, without white space at its ends.
    pub text: String,
    /// Tokens of the conversation that was read.
    pub prompt_tokens: u32,
    /// Tokens generated, without the one that ended the text.
    pub tokens: u32,
    /// Reason of its end.
    pub finish: Finish,
    /// Probability of each token, if [`Extras::logprobs`] requests it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<TokenLogprob>,
}

/// Reason of a generation's end.
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

/// Scores of answers, in the answers' order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The network's own numbers: logits, or cosines of a bi-encoder.
    pub raw: Vec<f64>,
    /// Calibrated scores in parts per million, 0 to [`FULL_SCORE`].
    pub scores: Vec<u32>,
    /// Tokens that went through the network, padding not counted.
    pub tokens: u32,
}

/// A function that the assistant calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ToolCall {
    /// Names the call, so that its result can be told from others'.
    #[serde(default)]
    pub id: String,
    /// Always `function`.
    #[serde(rename = "type", default)]
    pub kind: ToolKind,
    /// The function and its arguments.
    pub function: CalledFunction,
}

/// Kind of a tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolKind {
    /// A function of the caller.
    #[default]
    Function,
}

/// A function with the arguments that it is called with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CalledFunction {
    /// The function's name.
    pub name: String,
    /// Its arguments: a JSON object, as text.
    pub arguments: String,
}

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tool {
    /// Always `function`.
    #[serde(rename = "type")]
    pub kind: ToolKind,
    /// The function.
    pub function: Function,
}

/// A function of the caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Function {
    /// 1 to 64 letters, digits, `_`, `-` or `.`.
    pub name: String,
    /// Description for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON schema of its arguments, an object; any object if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Json>,
}

/// Form that an answer has to have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A JSON object.
    Object,
    /// JSON that this schema describes.
    Schema(Json),
    /// A call of one of [`Extras::tools`]: `{"name": …, "arguments": {…}}`.
    Call {
        /// The only function that may be called.
        only: Option<String>,
    },
}

/// Options that most work does not use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extras {
    /// Functions that the model may call.
    pub tools: Vec<Tool>,
    /// Form that the answer has to have.
    pub form: Option<Form>,
    /// Whether each token comes with its probability, and with how many of the likeliest beside it.
    pub logprobs: Option<u8>,
    /// Whether the answer goes on with the last message, which is the assistant's.
    pub prefill: bool,
}

impl Extras {
    /// Whether all options have their defaults.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Probability of a token, and the likeliest tokens in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token that was taken.
    pub token: Likely,
    /// The likeliest tokens in its place, likeliest first.
    pub top: Vec<Likely>,
}

/// A token with its probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likely {
    /// Its bytes; half a character is possible.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability, before temperature and `top_p`.
    pub logprob: f32,
}
