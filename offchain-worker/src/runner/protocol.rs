//! Messages between engine and runner.

use crate::{
    evaluator::{
        precision::{Arithmetic, Precision},
        EvaluatorOptions,
    },
    generator::GeneratorOptions,
    limits::{TooLong, Unfinished},
    work::{Embedded, Embedding, Generated, Generation, Scored, Scoring},
};
use poq_primitives::job::JobError;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Longest line, in bytes: room for the largest body that the API takes and what JSON adds to it.
pub const MAX_LINE: usize = 256 * 1024 * 1024;

/// First line to a runner: the model to load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Load {
    /// A generator.
    Generator {
        /// The GGUF file.
        path: PathBuf,
        /// Settings.
        options: GeneratorOptions,
    },
    /// An evaluator.
    Evaluator {
        /// The folder with its manifest.
        folder: PathBuf,
        /// Settings.
        options: EvaluatorOptions,
    },
}

impl Load {
    /// The same without trying bf16, if that may be tried.
    pub fn without_bf16(&self) -> Option<Self> {
        match self {
            Self::Evaluator { folder, options } if options.precision == Precision::Auto => {
                let options = EvaluatorOptions { precision: Precision::Fp32, ..*options };
                Some(Self::Evaluator { folder: folder.clone(), options })
            }
            Self::Evaluator { .. } | Self::Generator { .. } => None,
        }
    }
}

/// From the engine to the runner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Make an answer.
    Generate {
        /// Key of the order, repeated in its reports.
        key: u64,
        /// The work.
        work: Generation,
        /// Whether pieces of the text are reported as they are generated.
        stream: bool,
    },
    /// Score answers.
    Score {
        /// Key of the order, repeated in its reports.
        key: u64,
        /// The work.
        work: Scoring,
    },
    /// Make vectors of texts.
    Embed {
        /// Tells this order's reports from others'.
        key: u64,
        /// The work.
        work: Embedding,
    },
    /// The result of this order is no longer wanted.
    Cancel {
        /// Key of the order.
        key: u64,
    },
}

/// From the runner to the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The model is loaded: the first line, unless it is [`Self::Broken`].
    Ready(Facts),
    /// The model cannot be loaded, for this reason; the runner ends.
    Broken(String),
    /// More text of an answer.
    Piece {
        /// Key of the order.
        key: u64,
        /// The text.
        text: String,
    },
    /// An answer is complete.
    Generated {
        /// Key of the order.
        key: u64,
        /// The answer.
        result: Generated,
    },
    /// Answers are scored.
    Scored {
        /// Key of the order.
        key: u64,
        /// The scores.
        result: Scored,
    },
    /// Texts have their vectors.
    Embedded {
        /// Of which order.
        key: u64,
        /// The vectors.
        result: Embedded,
    },
    /// The order failed for good: its prompt is longer than the context.
    TooLong {
        /// Of which order.
        key: u64,
        /// The prompt's length.
        prompt: TooLong,
    },
    /// The order failed for good, or was cancelled.
    Failed {
        /// Key of the order.
        key: u64,
        /// The error; `None` if the order was cancelled.
        error: Option<JobError>,
    },
}

/// Facts about a loaded model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Facts {
    /// Facts about a generator.
    Generator {
        /// Number of parameters.
        parameters: u64,
        /// Most tokens of prompt and answer together.
        context: u32,
        /// Most bytes of a text of which so many tokens may be the whole.
        most_bytes: usize,
        /// Whether conversations go through a chat template.
        chat_template: bool,
    },
    /// Facts about an evaluator.
    Evaluator {
        /// Most tokens of one input.
        max_tokens: usize,
        /// The arithmetic that was chosen for it.
        arithmetic: Arithmetic,
    },
}

impl Report {
    /// The report of an order that gave no result.
    pub fn failed(key: u64, unfinished: Unfinished) -> Self {
        let error = match unfinished {
            Unfinished::TooLong(prompt) => return Self::TooLong { key, prompt },
            Unfinished::Failed(error) => Some(error),
            Unfinished::Cancelled | Unfinished::Died(_) => None,
        };
        Self::Failed { key, error }
    }
}
