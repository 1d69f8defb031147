//! Evaluators: how good an answer is, by networks that ONNX Runtime or llama.cpp runs.
//!
//! A cross-encoder reads question and answer together and gives a logit; a bi-encoder makes a vector of each
//! text, and the number is the cosine of the two; a causal model is asked whether the answer is good, and the number is
//! the logit of "yes" less that of "no"; a classifier is a GGUF whose head gives a logit. The manifest's calibration makes a score of the number.

mod batches;
mod causal;
mod embed;
mod encoder;
mod network;
mod numbers;
pub mod precision;
mod prompt;
mod texts;

use crate::{
    limits::{Limits, Unfinished},
    models::manifest::{EvaluatorKind, Manifest, MANIFEST, MAX_MANIFEST_BYTES},
    work::{Scored, Scoring},
};
pub use batches::batches;
use causal::Causal;
use encoder::Encoder;
pub use encoder::MAX_PROBE_TOKENS;
use precision::{Arithmetic, Precision};
use std::{fs::File, io, io::Read as _, path::Path};

pub use crate::work::FULL_SCORE;

/// Settings of an evaluator. Of these only the precision takes part in a score of a pair that is scored alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EvaluatorOptions {
    /// Threads of one run of an ONNX network, at least 1.
    pub threads: usize,
    /// Most tokens of one batch, padding counted; a batch holds at least one pair, however long.
    pub batch_tokens: usize,
    /// The arithmetic that an ONNX network may use.
    pub precision: Precision,
    /// Threads of a causal model, at least 1.
    pub causal_threads: usize,
    /// Layers of a causal model that go to the GPU; `None` takes all, if there is one that this build can use.
    pub gpu_layers: Option<u32>,
}

impl Default for EvaluatorOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        Self {
            threads,
            batch_tokens: 512,
            precision: Precision::Fp32,
            causal_threads: threads,
            gpu_layers: None,
        }
    }
}

/// A loaded evaluator.
#[derive(Debug)]
pub struct Evaluator {
    /// Name of its folder, for messages.
    name: String,
    manifest: Manifest,
    network: Kind,
}

#[derive(Debug)]
enum Kind {
    Encoder(Box<Encoder>),
    Causal(Causal),
}

impl Evaluator {
    /// Loads the evaluator in `folder`, as its `poq.json` describes it, and sees that it works: its network takes
    /// what its tokenizer makes of texts, up to the length that the manifest promises, and gives numbers.
    /// Whether the files have the hashes that the manifest names is not looked at here. Errors are one line for
    /// people.
    pub fn load(folder: &Path, options: &EvaluatorOptions) -> Result<Self, String> {
        let manifest = read_manifest(folder)?;
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        let network = match manifest.kind {
            EvaluatorKind::Causal | EvaluatorKind::Classifier => {
                Kind::Causal(Causal::load(folder, &name, &manifest, options)?)
            }
            EvaluatorKind::CrossEncoder | EvaluatorKind::BiEncoder => {
                Kind::Encoder(Box::new(Encoder::load(folder, name.clone(), &manifest, options)?))
            }
        };
        Ok(Self { name, manifest, network })
    }

    /// The files, the lengths and the calibration of the evaluator.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The arithmetic that its network runs in.
    pub fn arithmetic(&self) -> Arithmetic {
        match &self.network {
            Kind::Encoder(encoder) => encoder.arithmetic().clone(),
            Kind::Causal(_) => Arithmetic::Llama,
        }
    }

    /// Does `work`: a number and a score for each answer, in their order. Texts that are too long for the network are cut,
    /// as the manifest says or the answer first.
    pub fn score(&self, work: &Scoring, limits: &Limits) -> Result<Scored, Unfinished> {
        if work.answers.is_empty() {
            return Err(Unfinished::invalid("there is no answer to score"));
        }
        let (numbers, tokens) = match &self.network {
            Kind::Encoder(encoder) => encoder.numbers(work, limits)?,
            Kind::Causal(causal) => causal.numbers(work, limits)?,
        };
        self.scored(numbers, u32::try_from(tokens).unwrap_or(u32::MAX))
    }

    fn scored(&self, numbers: Vec<f64>, tokens: u32) -> Result<Scored, Unfinished> {
        let mut scored = Scored { raw: Vec::with_capacity(numbers.len()), scores: Vec::new(), tokens };
        for (place, number) in numbers.into_iter().enumerate() {
            // An infinite logit is the largest one that a network can give short of it; JSON has no infinity.
            let number = number.clamp(-f64::from(f32::MAX), f64::from(f32::MAX));
            let score = self.manifest.calibration.apply(number).ok_or_else(|| {
                let answer = place.saturating_add(1);
                Unfinished::internal(format!(
                    "{}: the network's output for answer {answer} is not a number",
                    self.name
                ))
            })?;
            scored.raw.push(number);
            // In 0..=1, so the cast neither truncates nor wraps.
            scored.scores.push((score.clamp(0.0, 1.0) * f64::from(FULL_SCORE)).round() as u32);
        }
        Ok(scored)
    }
}

/// Whether what the manifest's `cut` keeps goes into its network, as far as the tokenizer in the file `tokenizer` tells. The
/// error is one line.
pub fn check_cut(tokenizer: &Path, manifest: &Manifest) -> Result<(), String> {
    let Some(cut) = &manifest.cut else { return Ok(()) };
    texts::Texts::read(tokenizer, manifest.max_tokens)?.check_cut(manifest.kind, cut)
}

/// Reads `poq.json` and sees that the files which it names are there.
fn read_manifest(folder: &Path) -> Result<Manifest, String> {
    let mut json = Vec::new();
    let read = File::open(folder.join(MANIFEST))
        .and_then(|file| file.take(MAX_MANIFEST_BYTES.saturating_add(1)).read_to_end(&mut json));
    match read {
        Ok(bytes) if bytes as u64 > MAX_MANIFEST_BYTES => {
            return Err(format!("{MANIFEST}: larger than {MAX_MANIFEST_BYTES} bytes, so it is no manifest"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!("has no {MANIFEST}; `poq-worker models add FOLDER` writes one"));
        }
        Err(error) => return Err(format!("{MANIFEST}: {error}")),
    }
    let manifest = Manifest::parse(&json).map_err(|error| error.to_string())?;
    let missing = manifest.files.keys().find(|file| !folder.join(file).is_file());
    missing.map_or(Ok(manifest.clone()), |file| {
        Err(format!("{file} is not there, and {MANIFEST} names it; put it back, or get the evaluator anew"))
    })
}
