//! Evaluators: cross-encoders run by ONNX Runtime.

use crate::{
    limits::{Limits, Unfinished},
    onnx,
};
use ort::{
    session::{Session, SessionInputValue},
    value::{TensorElementType, TensorRef, ValueType},
};
use poq_primitives::job::ScoreJob;
use serde::Deserialize;
use std::{
    borrow::Cow,
    path::Path,
    sync::{Mutex, PoisonError},
};
use tokenizers::{tokenizer::PostProcessor as _, Encoding, Tokenizer, TruncationDirection};

/// The highest score, in parts per million.
pub const FULL_SCORE: u32 = 1_000_000;

/// Tokens of a pair when neither `poq.json` nor the tokenizer says otherwise: the size of BERT and its kin.
const DEFAULT_MAX_TOKENS: usize = 512;

/// A loaded evaluator.
#[derive(Debug)]
pub struct Evaluator {
    /// ONNX Runtime wants one run at a time per session.
    session: Mutex<Session>,
    tokenizer: Tokenizer,
    settings: Settings,
    /// Tokens of question and answer together, without the special ones.
    window: usize,
    inputs: Vec<Input>,
    output: String,
}

/// An evaluator's optional `poq.json`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
struct SettingsFile {
    max_tokens: Option<usize>,
    #[serde(default)]
    calibration: Calibration,
}

/// What can be set per evaluator, after defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Settings {
    max_tokens: usize,
    calibration: Calibration,
}

/// From a logit to a score: `sigmoid(a * logit + b)`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default)]
struct Calibration {
    a: f64,
    b: f64,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { a: 1.0, b: 0.0 }
    }
}

impl Calibration {
    /// The score in parts per million; `None` if the model's output is not a number.
    fn score(self, logit: f64) -> Option<u32> {
        let x = self.a * logit + self.b;
        if x.is_nan() {
            return None;
        }
        let score = 1.0 / (1.0 + (-x).exp());
        // In 0..=1 by construction, so the cast neither truncates nor wraps.
        Some((score * f64::from(FULL_SCORE)).round() as u32)
    }
}

/// The inputs that the engine can feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Ids,
    Mask,
    Types,
}

impl Input {
    fn by_name(name: &str) -> Option<Self> {
        match name {
            "input_ids" => Some(Self::Ids),
            "attention_mask" => Some(Self::Mask),
            "token_type_ids" => Some(Self::Types),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ids => "input_ids",
            Self::Mask => "attention_mask",
            Self::Types => "token_type_ids",
        }
    }

    fn values(self, pair: &Encoding) -> Vec<i64> {
        let values = match self {
            Self::Ids => pair.get_ids(),
            Self::Mask => pair.get_attention_mask(),
            Self::Types => pair.get_type_ids(),
        };
        values.iter().copied().map(i64::from).collect()
    }
}

impl Evaluator {
    /// Loads the model file `model` with `tokenizer.json` and, if it is there, `poq.json` from `folder`.
    /// Errors are one line for people.
    pub fn load(folder: &Path, model: &Path, threads: usize) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_file(folder.join("tokenizer.json"))
            .map_err(|error| format!("tokenizer.json: {error}"))?;
        let settings = read_settings(folder, &tokenizer)?;
        // Truncation is done here, so that it keeps the question; padding is not needed at all.
        tokenizer
            .with_truncation(None)
            .map_err(|error| format!("tokenizer.json: {error}"))?
            .with_padding(None);
        let special = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(true));
        let window = settings.max_tokens.saturating_sub(special);
        if window < 8 {
            return Err(format!("poq.json: max_tokens = {} leaves no room for text", settings.max_tokens));
        }
        let environment = onnx::environment().map_err(|error| error.to_string())?;
        let session = open_session(environment, model, threads)
            .map_err(|error| format!("ONNX Runtime does not load it: {error}"))?;
        let (inputs, output) = (inputs_of(&session)?, output_of(&session)?);
        Ok(Self { session: Mutex::new(session), tokenizer, settings, window, inputs, output })
    }

    /// Most tokens of question and answer together, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.settings.max_tokens
    }

    /// Does `job`: a score in parts per million for each response, in their order.
    ///
    /// Each pair runs through the model alone. A score therefore depends on nothing but the pair and the
    /// model: not on padding, nor on which other responses came along (in a batch they may move the last bits
    /// of a logit).
    pub fn score(&self, job: &ScoreJob, limits: &Limits) -> Result<Vec<u32>, Unfinished> {
        if job.responses.is_empty() {
            return Err(Unfinished::invalid("there is no response to score"));
        }
        let question = self.encode(&job.prompt, 0)?;
        let score_one = |response: &String| {
            limits.check()?;
            let pair = self.pair(question.clone(), self.encode(response, 1)?)?;
            let logit = self.logit(&pair).map_err(Unfinished::internal)?;
            let score = self.settings.calibration.score(logit);
            score.ok_or_else(|| Unfinished::internal("the evaluator's output is not a number"))
        };
        job.responses.iter().map(score_one).collect()
    }

    fn encode(&self, text: &str, kind: u32) -> Result<Encoding, Unfinished> {
        let mut encoding = self
            .tokenizer
            .encode(text, false)
            .map_err(|error| Unfinished::internal(format!("the tokenizer fails: {error}")))?;
        encoding.set_type_ids(vec![kind; encoding.len()]);
        Ok(encoding)
    }

    /// Question and answer cut to the window and joined with their special tokens.
    fn pair(&self, mut question: Encoding, mut answer: Encoding) -> Result<Encoding, Unfinished> {
        let (keep_question, keep_answer) = share_window(self.window, question.len(), answer.len());
        for (part, keep) in [(&mut question, keep_question), (&mut answer, keep_answer)] {
            part.truncate(keep, 0, TruncationDirection::Right);
            // The tokenizer keeps what was cut off and would pair each piece of one text with each piece of
            // the other.
            drop(part.take_overflowing());
        }
        self.tokenizer
            .post_process(question, Some(answer), true)
            .map_err(|error| Unfinished::internal(format!("the tokenizer fails: {error}")))
    }

    fn logit(&self, pair: &Encoding) -> Result<f64, String> {
        let shape = [1, pair.len()];
        let columns: Vec<(Input, Vec<i64>)> =
            self.inputs.iter().map(|input| (*input, input.values(pair))).collect();
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        run(&mut session, shape, &columns, &self.output)
            .map_err(|error| format!("ONNX Runtime: {error}"))
            .and_then(one_logit)
    }
}

/// How many tokens of question and answer fit into `window`: the answer is cut first, but keeps half of the
/// window when the question alone would take more.
fn share_window(window: usize, question: usize, answer: usize) -> (usize, usize) {
    let for_answer = answer.min(window.saturating_sub(question).max(window / 2));
    (question.min(window.saturating_sub(for_answer)), for_answer)
}

fn read_settings(folder: &Path, tokenizer: &Tokenizer) -> Result<Settings, String> {
    let path = folder.join("poq.json");
    let file: SettingsFile = match std::fs::read(&path) {
        Ok(json) => serde_json::from_slice(&json).map_err(|error| format!("poq.json: {error}"))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => SettingsFile::default(),
        Err(error) => return Err(format!("poq.json: {error}")),
    };
    let of_tokenizer = tokenizer.get_truncation().map(|truncation| truncation.max_length);
    let max_tokens = file.max_tokens.or(of_tokenizer).unwrap_or(DEFAULT_MAX_TOKENS);
    let Calibration { a, b } = file.calibration;
    if !a.is_finite() || !b.is_finite() {
        return Err("poq.json: the calibration is not finite".to_owned());
    }
    Ok(Settings { max_tokens, calibration: file.calibration })
}

fn open_session(
    environment: &ort::environment::Environment,
    model: &Path,
    threads: usize,
) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_intra_threads(threads)?
        .with_intra_op_spinning(false)?
        .with_deterministic_compute(true)?
        .commit_from_file(model)
}

fn inputs_of(session: &Session) -> Result<Vec<Input>, String> {
    let known = |outlet: &ort::value::Outlet| {
        let name = outlet.name();
        let input = Input::by_name(name).ok_or_else(|| {
            format!("wants the input '{name}'; a cross-encoder takes input_ids, attention_mask and token_type_ids")
        })?;
        match outlet.dtype() {
            ValueType::Tensor { ty: TensorElementType::Int64, .. } => Ok(input),
            other => Err(format!("wants '{name}' as {other:?}; the engine feeds 64-bit integers")),
        }
    };
    let inputs = session.inputs().iter().map(known).collect::<Result<Vec<_>, _>>()?;
    if inputs.contains(&Input::Ids) {
        Ok(inputs)
    } else {
        Err("has no input 'input_ids'".to_owned())
    }
}

/// The output that holds the logits: the one of that name, or else the first.
fn output_of(session: &Session) -> Result<String, String> {
    let names: Vec<&str> = session.outputs().iter().map(|outlet| outlet.name()).collect();
    let name = names.iter().find(|name| **name == "logits").or(names.first());
    name.map(|name| (*name).to_owned()).ok_or_else(|| "has no output".to_owned())
}

/// Runs the model over one pair; its output as a flat list.
fn run(
    session: &mut Session,
    shape: [usize; 2],
    columns: &[(Input, Vec<i64>)],
    output: &str,
) -> ort::Result<Vec<f32>> {
    let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(columns.len());
    for (input, values) in columns {
        let tensor = TensorRef::from_array_view((shape, values.as_slice()))?;
        inputs.push((Cow::Borrowed(input.name()), tensor.into()));
    }
    let outputs = session.run(inputs)?;
    let Some(output) = outputs.get(output) else { return Ok(Vec::new()) };
    Ok(output.try_extract_tensor::<f32>()?.1.to_vec())
}

/// One logit is taken as it is; of two classes (no, yes) the difference, which the sigmoid turns into their
/// softmax.
fn one_logit(output: Vec<f32>) -> Result<f64, String> {
    match output.as_slice() {
        [logit] => Ok(f64::from(*logit)),
        [no, yes] => Ok(f64::from(*yes) - f64::from(*no)),
        other => {
            Err(format!("the model gives {} numbers for a pair; an evaluator gives one or two", other.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_map_from_logit_to_score_is_total() {
        let plain = Calibration::default();
        assert_eq!(plain.score(0.0), Some(500_000));
        assert_eq!(plain.score(f64::INFINITY), Some(FULL_SCORE));
        assert_eq!(plain.score(f64::NEG_INFINITY), Some(0));
        assert_eq!(plain.score(f64::NAN), None);
        assert_eq!(Calibration { a: 0.0, b: 0.0 }.score(f64::INFINITY), None);
        assert_eq!(Calibration { a: 2.0, b: -1.0 }.score(0.5), Some(500_000));
    }

    #[test]
    fn one_or_two_numbers_make_a_logit() {
        assert_eq!(one_logit(vec![1.5]), Ok(1.5));
        assert_eq!(one_logit(vec![1.0, 3.0]), Ok(2.0));
        assert!(one_logit(vec![]).is_err());
        assert!(one_logit(vec![0.0; 3]).is_err());
    }

    proptest! {
        #[test]
        fn scores_stay_in_range(a: f64, b: f64, logit: f64) {
            if let Some(score) = (Calibration { a, b }).score(logit) {
                prop_assert!(score <= FULL_SCORE);
            }
        }

        #[test]
        fn the_window_is_shared_out_and_never_exceeded(
            window in 8_usize..600,
            question in 0_usize..2_000,
            answer in 0_usize..2_000,
        ) {
            let (q, a) = share_window(window, question, answer);
            prop_assert!(q <= question && a <= answer && q + a <= window);
            prop_assert!(q + a == window.min(question + answer), "nothing is cut without need");
            prop_assert!(a == answer || a >= window / 2);
            prop_assert!(q == question || q + 1 >= window / 2);
        }
    }
}
