//! `poq.json`: the manifest of an evaluator.
//!
//! ```json
//! {
//!   "format": 1,
//!   "kind": "cross_encoder",
//!   "model": "model.onnx",
//!   "files": { "model.onnx": "<sha256>", "tokenizer.json": "<sha256>" },
//!   "max_tokens": 512,
//!   "calibration": { "a": 1.0, "b": 0.0 }
//! }
//! ```
//!
//! The SHA-256 of these bytes is the evaluator's id, so whatever changes a score changes the id.
//!
//! A cross-encoder with more than two classes names them and the one whose probability is the score:
//! `"classes": { "labels": ["contradiction", "entailment", "neutral"], "score": "entailment" }`. A causal model says what
//! it is asked and which of two tokens means what:
//! `"judge": { "prompt": "… {question} … {answer} …", "yes": "yes", "no": "no" }`. An encoder may say how texts are cut:
//! `"cut": { "question": { "first": 32, "last": 16 }, "answer": { "first": 100, "last": 40 } }`.

use crate::text::one_line;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Component, Path},
};

/// Name of the manifest in an evaluator's folder.
pub const MANIFEST: &str = "poq.json";

/// Name of the tokenizer in an evaluator's folder.
pub const TOKENIZER: &str = "tokenizer.json";

/// Version of the manifest's format.
const FORMAT: u32 = 1;

/// Largest manifest that is read, in bytes.
pub const MAX_MANIFEST_BYTES: u64 = 1024 * 1024;

/// Most labels of a cross-encoder.
const MAX_LABELS: usize = 1000;

/// Largest prompt of a causal model, in bytes, without the texts.
const MAX_PROMPT_BYTES: usize = 64 * 1024;

/// Most tokens of one input.
const MAX_TOKENS: usize = 1_000_000;

/// Default of `max_tokens`: the number of positions of BERT.
pub const DEFAULT_MAX_TOKENS: usize = 512;

/// Kind of an evaluator: the way from question and answer to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluatorKind {
    /// Question and answer go through the network together; it gives one logit, or two classes (no, yes).
    CrossEncoder,
    /// Each text goes through the network alone and becomes a vector; the number is their cosine, -1 to 1.
    BiEncoder,
    /// A GGUF that llama.cpp runs: question and answer are put into a prompt, and the number is the logit of the token for
    /// yes less that of the token for no, as the next token.
    Causal,
    /// A GGUF with a classification head that llama.cpp runs: question and answer are put into a prompt, and the head gives one
    /// logit, or one for each class that the manifest names. Rerankers and reward models are such.
    Classifier,
}

impl EvaluatorKind {
    /// Whether the network is a GGUF, which has its tokenizer in it, and not an ONNX file.
    pub fn is_gguf(self) -> bool {
        matches!(self, Self::Causal | Self::Classifier)
    }
}

/// Pooling: the way from the last layer of a bi-encoder to one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean over all tokens that are not padding.
    #[default]
    Mean,
    /// The first token.
    Cls,
}

/// The classes of a cross-encoder that has others than "no" and "yes".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    /// Names of the network's outputs, in their order, `2..=1000`; no two are the same.
    pub labels: Vec<String>,
    /// The label whose probability is the score; the network's number is the logarithm of its odds.
    pub score: String,
}

impl Classes {
    /// Index of the label that counts.
    pub fn place(&self) -> Option<usize> {
        self.labels.iter().position(|label| *label == self.score)
    }

    fn check(&self) -> Result<(), String> {
        let labels = &self.labels;
        if !(2..=MAX_LABELS).contains(&labels.len()) {
            return Err(format!("classes: {} labels; there are 2 to {MAX_LABELS}", labels.len()));
        }
        let twice = labels.iter().enumerate().find(|(n, label)| labels.iter().take(*n).any(|l| l == *label));
        if let Some((_, label)) = twice {
            return Err(format!("classes: the label {label:?} stands there twice"));
        }
        if self.place().is_none() {
            return Err(format!("classes: {:?} is none of the labels {labels:?}", self.score));
        }
        Ok(())
    }
}

/// The tokens that are kept of a text: the first and the last. A text with no more than both together is kept whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ends {
    /// Number of tokens kept at the beginning, at least 1.
    pub first: usize,
    /// Number of tokens kept at the end.
    pub last: usize,
}

impl Ends {
    /// Most tokens that are kept.
    pub fn most(self) -> usize {
        self.first.saturating_add(self.last)
    }
}

/// The way in which question and answer are cut before they go through an encoder. Without it a text loses its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Of the question.
    pub question: Ends,
    /// Of the answer.
    pub answer: Ends,
}

impl Cut {
    /// Most tokens, without the special ones, of one input of a network of this kind.
    pub fn most(&self, kind: EvaluatorKind) -> usize {
        let (question, answer) = (self.question.most(), self.answer.most());
        match kind {
            EvaluatorKind::BiEncoder => question.max(answer),
            EvaluatorKind::CrossEncoder | EvaluatorKind::Causal | EvaluatorKind::Classifier => {
                question.saturating_add(answer)
            }
        }
    }

    /// One line for people.
    pub fn in_words(&self) -> String {
        let Self { question, answer } = self;
        format!(
            "question {} first and {} last tokens, answer {} and {}",
            question.first, question.last, answer.first, answer.last
        )
    }

    fn check(&self, kind: EvaluatorKind, max_tokens: usize) -> Result<(), String> {
        for (text, ends) in [("question", self.question), ("answer", self.answer)] {
            if ends.first == 0 {
                return Err(format!("cut: {text}.first is 0, and has to be at least 1"));
            }
        }
        let most = self.most(kind);
        if most >= max_tokens {
            return Err(format!(
                "cut: {most} tokens are kept, which with the special ones is more than max_tokens, {max_tokens}; keep \
                 fewer, or raise max_tokens"
            ));
        }
        Ok(())
    }
}

/// Prompt of a causal model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judge {
    /// The prompt, with `{question}` and `{answer}` once each in the place of the texts. Control tokens that it spells
    /// are control tokens; those that a text spells are the characters that they are.
    pub prompt: String,
    /// The text of the one token that means that the answer is good.
    pub yes: String,
    /// The text of the one token that means that it is not.
    pub no: String,
}

/// Place of the question in a prompt.
pub const QUESTION: &str = "{question}";

/// Place of the answer in a prompt.
pub const ANSWER: &str = "{answer}";

/// Checks the length of a prompt, and whether it has both places once. Errors begin with `what`.
fn check_prompt(what: &str, prompt: &str) -> Result<(), String> {
    if prompt.len() > MAX_PROMPT_BYTES {
        return Err(format!("{what} has {} bytes, and may have {MAX_PROMPT_BYTES}", prompt.len()));
    }
    for place in [QUESTION, ANSWER] {
        let times = prompt.matches(place).count();
        if times != 1 {
            return Err(format!("{what} has {place} {times} times, and has to have it once"));
        }
    }
    Ok(())
}

impl Judge {
    fn check(&self) -> Result<(), String> {
        check_prompt("judge: the prompt", &self.prompt)?;
        if self.yes.is_empty() || self.no.is_empty() || self.yes == self.no {
            return Err(format!("judge: yes = {:?} and no = {:?}; name two tokens", self.yes, self.no));
        }
        Ok(())
    }
}

/// From the network's number (a logit, or a cosine) to a score in 0..=1: `sigmoid(a * number + b)`. Ours; the
/// form is Platt scaling.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Slope.
    pub a: f64,
    /// Offset.
    pub b: f64,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { a: 1.0, b: 0.0 }
    }
}

impl Calibration {
    /// The score, 0 to 1; `None` if `number` or the outcome is not a number.
    pub fn apply(self, number: f64) -> Option<f64> {
        let x = self.a * number + self.b;
        (!x.is_nan()).then(|| 1.0 / (1.0 + (-x).exp()))
    }
}

/// A valid manifest; [`Manifest::parse`] lists the rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// Kind of the network.
    pub kind: EvaluatorKind,
    /// The ONNX file, or the GGUF of a causal model or a classifier (of several the first); one of `files`.
    pub model: String,
    /// SHA-256, 64 lower-case hex digits, of every file that takes part: the ONNX file, the file with its
    /// weights if they lie apart, `tokenizer.json`; of a causal model or a classifier the GGUF. Paths are relative to the folder and stay
    /// in it.
    pub files: BTreeMap<String, String>,
    /// Most tokens of one input of the network, special tokens included.
    #[serde(default = "default_max_tokens")]
    pub max_tokens: usize,
    /// Pooling of a bi-encoder; other kinds ignore it.
    #[serde(default)]
    pub pooling: Pooling,
    /// Of a cross-encoder with other classes than no and yes, and of a classifier with more than one output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Classes>,
    /// Of a causal model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Judge>,
    /// Of a classifier: what it reads, with `{question}` and `{answer}` once each. Control tokens are as in [`Judge::prompt`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Of an encoder that reads both ends of long texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Calibration of numbers to scores.
    #[serde(default)]
    pub calibration: Calibration,
}

fn default_max_tokens() -> usize {
    DEFAULT_MAX_TOKENS
}

/// Reason why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file is not the JSON of a manifest.
    #[error("poq.json: {}; `poq-worker models add FOLDER` writes a new one", one_line(&.0.to_string()))]
    Json(#[from] serde_json::Error),
    /// The format is of another version.
    #[error("poq.json: written in format {0}; this engine knows format {FORMAT}")]
    Format(u32),
    /// A value is out of range; the text names it.
    #[error("poq.json: {}", one_line(.0))]
    Value(String),
}

impl Manifest {
    /// A manifest of these files, with defaults for the rest.
    pub fn new(kind: EvaluatorKind, model: String, files: BTreeMap<String, String>) -> Self {
        Self {
            format: FORMAT,
            kind,
            model,
            files,
            max_tokens: DEFAULT_MAX_TOKENS,
            pooling: Pooling::default(),
            classes: None,
            judge: None,
            prompt: None,
            cut: None,
            calibration: Calibration::default(),
        }
    }

    /// Reads and checks a manifest: the format is known, `model` and `tokenizer.json` (which a GGUF has in
    /// it) are among the files, every path stays in the folder, every hash is a hash, `max_tokens` leaves room for text,
    /// `classes`, `judge`, `prompt` and `cut` go with the kind, what `cut` keeps is less than `max_tokens`, the calibration is finite and does not turn the order of answers round
    /// (`a > 0`).
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let Version { format } = serde_json::from_slice(json)?;
        if format != FORMAT {
            return Err(ManifestError::Format(format));
        }
        let manifest: Self = serde_json::from_slice(json)?;
        manifest.check().map_err(ManifestError::Value)?;
        Ok(manifest)
    }

    /// The manifest as it is written to disk.
    pub fn to_json(&self) -> String {
        // A manifest has string keys and finite numbers only, which JSON can always hold.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Whether a network with so many positions takes `max_tokens` at once. The error is one line. Where the number is not
    /// known, running it tells.
    pub fn check_positions(&self, positions: Option<usize>) -> Result<(), String> {
        match positions.filter(|positions| *positions < self.max_tokens) {
            None => Ok(()),
            Some(positions) => Err(format!(
                "{MANIFEST}: max_tokens is {}, and the network knows {positions} positions; lower max_tokens",
                self.max_tokens
            )),
        }
    }

    fn check(&self) -> Result<(), String> {
        let tokenizer = (!self.kind.is_gguf()).then_some(TOKENIZER);
        for needed in [Some(self.model.as_str()), tokenizer].into_iter().flatten() {
            if !self.files.contains_key(needed) {
                return Err(format!("`files` does not name {needed}"));
            }
        }
        self.check_kind()?;
        for (path, hash) in &self.files {
            if !stays_inside(Path::new(path)) {
                return Err(format!("the path {path:?} leaves the folder"));
            }
            if !is_sha256(hash) {
                return Err(format!("the hash of {path} is not 64 lower-case hex digits"));
            }
        }
        if !(16..=MAX_TOKENS).contains(&self.max_tokens) {
            return Err(format!("max_tokens is {}, and has to be 16 to {MAX_TOKENS}", self.max_tokens));
        }
        if let Some(cut) = &self.cut {
            cut.check(self.kind, self.max_tokens)?;
        }
        let Calibration { a, b } = self.calibration;
        if !(a.is_finite() && b.is_finite() && a > 0.0) {
            return Err(format!("calibration: a = {a} and b = {b}; both are finite and a is above 0"));
        }
        Ok(())
    }

    /// Whether what only some kinds have goes with the kind.
    fn check_kind(&self) -> Result<(), String> {
        match (&self.judge, self.kind) {
            (Some(judge), EvaluatorKind::Causal) => judge.check()?,
            (None, EvaluatorKind::Causal) => {
                return Err(
                    "a causal model needs `judge`: its prompt, and the tokens for yes and no".to_owned()
                );
            }
            (Some(_), _) => return Err("`judge` goes with the kind causal only".to_owned()),
            (None, _) => {}
        }
        match (&self.prompt, self.kind) {
            (Some(prompt), EvaluatorKind::Classifier) => check_prompt("the prompt", prompt)?,
            (None, EvaluatorKind::Classifier) => {
                return Err(
                    "a classifier needs `prompt`: what it reads, with {question} and {answer}".to_owned()
                );
            }
            (Some(_), _) => return Err("`prompt` goes with the kind classifier only".to_owned()),
            (None, _) => {}
        }
        if self.cut.is_some() && self.kind.is_gguf() {
            return Err("`cut` goes with the kinds cross_encoder and bi_encoder only: the texts of a GGUF are tokenized \
                        together with its prompt, so their own tokens cannot be counted; leave it out"
                .to_owned());
        }
        match &self.classes {
            Some(classes) if matches!(self.kind, EvaluatorKind::CrossEncoder | EvaluatorKind::Classifier) => {
                classes.check()
            }
            Some(_) => Err("`classes` goes with the kinds cross_encoder and classifier only".to_owned()),
            None => Ok(()),
        }
    }
}

/// Whether `text` is a SHA-256 as ids spell it: 64 lower-case hex digits.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn stays_inside(path: &Path) -> bool {
    path.components().next().is_some()
        && path.components().all(|component| matches!(component, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn manifest() -> Manifest {
        let files = [("onnx/model.onnx", "a"), (TOKENIZER, "b")];
        let files = files.map(|(path, digit)| (path.to_owned(), digit.repeat(64)));
        Manifest::new(EvaluatorKind::CrossEncoder, "onnx/model.onnx".to_owned(), files.into())
    }

    #[test]
    fn a_manifest_reads_back() {
        let manifest = manifest();
        assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap(), manifest);
    }

    #[test]
    fn what_is_wrong_is_said() {
        type Change = fn(&mut Manifest);
        let cases: [(Change, &str); 9] = [
            (|m| m.format = 2, "format 2"),
            (|m| m.model = "other.onnx".into(), "does not name other.onnx"),
            (|m| drop(m.files.remove(TOKENIZER)), "does not name tokenizer.json"),
            (|m| drop(m.files.insert("../up".into(), "a".repeat(64))), "leaves the folder"),
            (|m| drop(m.files.insert("/abs".into(), "a".repeat(64))), "leaves the folder"),
            (|m| drop(m.files.insert(TOKENIZER.into(), "A".repeat(64))), "hex digits"),
            (|m| m.max_tokens = 15, "max_tokens is 15"),
            (|m| m.max_tokens = 1_000_001, "max_tokens is 1000001"),
            (|m| m.calibration.a = -1.0, "a is above 0"),
        ];
        for (change, said) in cases {
            let mut manifest = manifest();
            change(&mut manifest);
            let error = Manifest::parse(manifest.to_json().as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("poq.json") && error.contains(said), "{error}");
        }
        let unknown = manifest().to_json().replacen("\"kind\"", "\"colour\": 1, \"kind\"", 1);
        assert!(Manifest::parse(unknown.as_bytes()).unwrap_err().to_string().contains("colour"));
        for edge in [16, 1_000_000] {
            let manifest = Manifest { max_tokens: edge, ..manifest() };
            assert!(Manifest::parse(manifest.to_json().as_bytes()).is_ok());
        }
    }

    fn judge() -> Judge {
        let prompt = "<|user|>{question}<|says|>{answer}<|good?|>".to_owned();
        Judge { prompt, yes: "yes".to_owned(), no: "no".to_owned() }
    }

    #[test]
    fn a_causal_model_says_what_it_is_asked_and_needs_no_tokenizer() {
        let mut causal = Manifest { kind: EvaluatorKind::Causal, judge: Some(judge()), ..manifest() };
        causal.files.remove(TOKENIZER);
        assert_eq!(Manifest::parse(causal.to_json().as_bytes()).unwrap(), causal);
        type Change = fn(&mut Manifest);
        let cases: [(Change, &str); 8] = [
            (|m| m.judge = None, "needs `judge`"),
            (|m| m.judge.as_mut().unwrap().prompt = "{question}".into(), "{answer} 0 times"),
            (|m| m.judge.as_mut().unwrap().prompt.push_str("{question}"), "{question} 2 times"),
            (|m| m.judge.as_mut().unwrap().prompt.push_str(&"x".repeat(MAX_PROMPT_BYTES)), "bytes"),
            (|m| m.judge.as_mut().unwrap().no = "yes".into(), "two tokens"),
            (|m| m.judge.as_mut().unwrap().yes.clear(), "two tokens"),
            (|m| m.kind = EvaluatorKind::CrossEncoder, "does not name tokenizer.json"),
            (|m| m.classes = Some(labels(3)), "cross_encoder and classifier only"),
        ];
        for (change, said) in cases {
            let mut changed = causal.clone();
            change(&mut changed);
            let error = Manifest::parse(changed.to_json().as_bytes()).unwrap_err().to_string();
            assert!(error.contains(said) && error.lines().count() == 1, "{error}");
        }
        let room = MAX_PROMPT_BYTES - judge().prompt.len();
        causal.judge.as_mut().unwrap().prompt.push_str(&"x".repeat(room));
        assert!(Manifest::parse(causal.to_json().as_bytes()).is_ok());
        let odd = Manifest { judge: Some(judge()), ..manifest() };
        assert!(Manifest::parse(odd.to_json().as_bytes()).unwrap_err().to_string().contains("causal only"));
    }

    #[test]
    fn a_classifier_says_what_it_reads() {
        let mut classifier = Manifest {
            kind: EvaluatorKind::Classifier,
            prompt: Some("[CLS]{question}[SEP]{answer}[SEP]".to_owned()),
            ..manifest()
        };
        classifier.files.remove(TOKENIZER);
        for classes in [None, Some(labels(3))] {
            let manifest = Manifest { classes, ..classifier.clone() };
            assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap(), manifest);
        }
        type Change = fn(&mut Manifest);
        let cases: [(Change, &str); 5] = [
            (|m| m.prompt = None, "needs `prompt`"),
            (|m| m.prompt = Some("{question}".into()), "the prompt has {answer} 0 times"),
            (|m| m.prompt = Some("x".repeat(MAX_PROMPT_BYTES + 1)), "bytes"),
            (|m| m.judge = Some(judge()), "causal only"),
            (|m| m.cut = Some(cut([1, 1, 1, 1])), "cross_encoder and bi_encoder only"),
        ];
        for (change, said) in cases {
            let mut changed = classifier.clone();
            change(&mut changed);
            let error = Manifest::parse(changed.to_json().as_bytes()).unwrap_err().to_string();
            assert!(error.contains(said) && error.lines().count() == 1, "{error}");
        }
        let odd = Manifest { prompt: classifier.prompt, ..manifest() };
        assert!(Manifest::parse(odd.to_json().as_bytes())
            .unwrap_err()
            .to_string()
            .contains("classifier only"));
    }

    fn cut(numbers: [usize; 4]) -> Cut {
        let [a, b, c, d] = numbers;
        Cut { question: Ends { first: a, last: b }, answer: Ends { first: c, last: d } }
    }

    #[test]
    fn a_cut_goes_with_encoders_and_fits_their_inputs() {
        use EvaluatorKind::{BiEncoder, CrossEncoder};
        let parse = |kind: EvaluatorKind, max_tokens: usize, numbers: [usize; 4]| {
            let manifest = Manifest { kind, max_tokens, cut: Some(cut(numbers)), ..manifest() };
            Manifest::parse(manifest.to_json().as_bytes()).map_err(|error| error.to_string())
        };
        let numbers = [32, 16, 100, 40];
        let read = parse(CrossEncoder, 191, numbers).unwrap();
        assert_eq!((read.cut, cut(numbers).most(CrossEncoder)), (Some(cut(numbers)), 188));
        assert!(
            parse(CrossEncoder, 189, numbers).is_ok(),
            "the special tokens are counted with the tokenizer"
        );
        assert!(parse(CrossEncoder, 188, numbers).unwrap_err().contains("188 tokens are kept"));
        // A bi-encoder takes one text at a time.
        assert!(parse(BiEncoder, 141, numbers).is_ok());
        assert!(parse(BiEncoder, 140, numbers).unwrap_err().contains("140 tokens are kept"));
        assert!(parse(CrossEncoder, 191, [1, 0, 1, 0]).is_ok());
        assert!(parse(CrossEncoder, 191, [0, 16, 100, 40]).unwrap_err().contains("question.first is 0"));
        assert!(parse(CrossEncoder, 191, [32, 16, 0, 40]).unwrap_err().contains("answer.first is 0"));
        assert!(parse(CrossEncoder, 191, [usize::MAX; 4]).unwrap_err().contains("raise max_tokens"));
        let causal = Manifest {
            kind: EvaluatorKind::Causal,
            judge: Some(judge()),
            cut: Some(cut(numbers)),
            ..manifest()
        };
        let error = Manifest::parse(causal.to_json().as_bytes()).unwrap_err().to_string();
        assert!(error.contains("`cut` goes with") && error.lines().count() == 1, "{error}");
        let json = parse(CrossEncoder, 191, numbers).unwrap().to_json();
        for (from, to) in [
            ("\"last\": 40", "\"last\": -1"),
            ("\"last\": 40", "\"lost\": 40"),
            ("\"first\": 100", "\"first\": 1.5"),
        ] {
            assert!(json.contains(from));
            assert!(Manifest::parse(json.replace(from, to).as_bytes()).is_err(), "{to}");
        }
    }

    fn labels(count: usize) -> Classes {
        Classes { labels: (0..count).map(|n| format!("label {n}")).collect(), score: "label 1".to_owned() }
    }

    #[test]
    fn labels_are_named_once_and_one_of_them_counts() {
        let parse = |classes: Classes| {
            let manifest = Manifest { classes: Some(classes), ..manifest() };
            Manifest::parse(manifest.to_json().as_bytes()).map_err(|error| error.to_string())
        };
        for count in [2, 3, MAX_LABELS] {
            assert_eq!(parse(labels(count)).unwrap().classes.unwrap().place(), Some(1));
        }
        for count in [0, 1, MAX_LABELS + 1] {
            assert!(parse(labels(count)).unwrap_err().contains(&format!("{count} labels")));
        }
        assert!(parse(Classes { score: "other".into(), ..labels(3) })
            .unwrap_err()
            .contains("none of the labels"));
        let mut twice = labels(3);
        twice.labels[2] = "label 1".into();
        assert!(parse(twice).unwrap_err().contains("twice"));
    }

    #[test]
    fn what_a_kind_does_not_have_is_not_written() {
        let json = manifest().to_json();
        assert!(
            !json.contains("classes")
                && !json.contains("judge")
                && !json.contains("cut")
                && !json.contains("prompt"),
            "the ids of older evaluators stay: {json}"
        );
    }

    #[test]
    fn the_map_from_number_to_score_is_total() {
        let plain = Calibration::default();
        assert_eq!(plain.apply(0.0), Some(0.5));
        assert_eq!(plain.apply(f64::INFINITY), Some(1.0));
        assert_eq!(plain.apply(f64::NEG_INFINITY), Some(0.0));
        assert_eq!(plain.apply(f64::NAN), None);
        assert_eq!(Calibration { a: 2.0, b: -1.0 }.apply(0.5), Some(0.5));
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise: Vec<u8>) {
            let _ = Manifest::parse(&noise);
        }

        #[test]
        fn scores_stay_in_range(a: f64, b: f64, number: f64) {
            if let Some(score) = (Calibration { a, b }).apply(number) {
                prop_assert!((0.0..=1.0).contains(&score));
            }
        }
    }
}
