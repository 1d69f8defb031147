//! `poq.json`: what an evaluator is made of.
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

/// Tokens of a pair when the manifest does not say: the size of BERT and its kin.
pub const DEFAULT_MAX_TOKENS: usize = 512;

/// How an evaluator makes a number of a question and an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluatorKind {
    /// Question and answer go through the network together; it gives one logit, or two classes (no, yes).
    CrossEncoder,
    /// Each text goes through the network alone and becomes a vector; the number is their cosine, -1 to 1.
    BiEncoder,
}

/// How a bi-encoder makes one vector of its last layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean over all tokens that are not padding.
    #[default]
    Mean,
    /// The first token.
    Cls,
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

/// A manifest that holds what it must: see [`Manifest::parse`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// What the network is.
    pub kind: EvaluatorKind,
    /// The ONNX file, one of `files`.
    pub model: String,
    /// SHA-256, 64 lower-case hex digits, of every file that takes part: the ONNX file, the file with its
    /// weights if they lie apart, `tokenizer.json`. Paths are relative to the folder and stay in it.
    pub files: BTreeMap<String, String>,
    /// Most tokens of one input of the network, special tokens included.
    #[serde(default = "default_max_tokens")]
    pub max_tokens: usize,
    /// Of a bi-encoder.
    #[serde(default)]
    pub pooling: Pooling,
    /// From number to score.
    #[serde(default)]
    pub calibration: Calibration,
}

fn default_max_tokens() -> usize {
    DEFAULT_MAX_TOKENS
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not the JSON of a manifest.
    #[error("poq.json: {}; `poq-worker models add FOLDER` writes a new one", one_line(&.0.to_string()))]
    Json(#[from] serde_json::Error),
    /// It is of another version.
    #[error("poq.json: written in format {0}; this engine knows format {FORMAT}")]
    Format(u32),
    /// A value is out of range.
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
            calibration: Calibration::default(),
        }
    }

    /// Reads and checks a manifest: the format is known, `model` and `tokenizer.json` are among the files, every
    /// path stays in the folder, every hash is a hash, `max_tokens` leaves room for text, the calibration is
    /// finite and does not turn the order of answers round (`a > 0`).
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

    fn check(&self) -> Result<(), String> {
        for needed in [self.model.as_str(), TOKENIZER] {
            if !self.files.contains_key(needed) {
                return Err(format!("`files` does not name {needed}"));
            }
        }
        for (path, hash) in &self.files {
            if !stays_inside(Path::new(path)) {
                return Err(format!("the path {path:?} leaves the folder"));
            }
            if !is_sha256(hash) {
                return Err(format!("the hash of {path} is not 64 lower-case hex digits"));
            }
        }
        if !(16..=1_000_000).contains(&self.max_tokens) {
            return Err(format!("max_tokens is {}, and has to be 16 to 1,000,000", self.max_tokens));
        }
        let Calibration { a, b } = self.calibration;
        if !(a.is_finite() && b.is_finite() && a > 0.0) {
            return Err(format!("calibration: a = {a} and b = {b}; both are finite and a is above 0"));
        }
        Ok(())
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
