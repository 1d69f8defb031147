//! Evaluators: how good an answer is, by networks that ONNX Runtime runs.
//!
//! A cross-encoder reads question and answer together and gives a logit; a bi-encoder makes a vector of each
//! text, and the number is the cosine of the two. The manifest's calibration makes a score of the number.

mod batches;
mod embed;
mod network;
mod numbers;
mod texts;

use crate::{
    limits::{Limits, Unfinished},
    models::manifest::{EvaluatorKind, Manifest, MANIFEST, MAX_MANIFEST_BYTES, TOKENIZER},
    work::{Scored, Scoring},
};
pub use batches::batches;
use network::{Network, Output};
use numbers::{cosine, logits, vectors};
use std::{fs::File, io, io::Read as _, path::Path};
use texts::{Row, Texts};

pub use crate::work::FULL_SCORE;

/// Answers that are tokenized between two looks at the limits of a job.
const TOKENIZED_AT_ONCE: usize = 64;

/// Most tokens that the probe of a fresh evaluator takes: a longer one would cost seconds and gigabytes.
const MAX_PROBE_TOKENS: usize = 1024;

/// How an evaluator is run. Nothing here takes part in a score of a pair that is scored alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EvaluatorOptions {
    /// Threads of one run of the network, at least 1.
    pub threads: usize,
    /// Most tokens of one batch, padding counted; a batch holds at least one pair, however long.
    pub batch_tokens: usize,
}

impl Default for EvaluatorOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        Self { threads, batch_tokens: 512 }
    }
}

/// A loaded evaluator.
#[derive(Debug)]
pub struct Evaluator {
    /// Name of its folder, for messages.
    name: String,
    manifest: Manifest,
    options: EvaluatorOptions,
    texts: Texts,
    network: Network,
}

impl Evaluator {
    /// Loads the evaluator in `folder`, as its `poq.json` describes it, and sees that it works: its network takes
    /// what its tokenizer makes of texts, up to the length that the manifest promises, and gives numbers.
    /// Whether the files have the hashes that the manifest names is not looked at here. Errors are one line for
    /// people.
    pub fn load(folder: &Path, options: &EvaluatorOptions) -> Result<Self, String> {
        let manifest = read_manifest(folder)?;
        let texts = Texts::read(&folder.join(TOKENIZER), manifest.max_tokens)?;
        let network = Network::load(&folder.join(&manifest.model), manifest.kind, options.threads.max(1))?;
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        let evaluator = Self { name, manifest, options: *options, texts, network };
        evaluator.probe()?;
        Ok(evaluator)
    }

    /// What the evaluator is made of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Does `work`: a number and a score for each answer, in their order.
    ///
    /// A pair that is too long for the network loses the end of its answer first, then that of its question; a
    /// text of a bi-encoder loses its end. Alone, each pair (each text, of a bi-encoder) goes through the network
    /// by itself; otherwise those of like length go together.
    pub fn score(&self, work: &Scoring, limits: &Limits) -> Result<Scored, Unfinished> {
        if work.answers.is_empty() {
            return Err(Unfinished::invalid("there is no answer to score"));
        }
        let rows = self.rows(work, limits)?;
        let numbers = match self.manifest.kind {
            EvaluatorKind::CrossEncoder => self.run(&rows, work.alone, limits, logits)?,
            EvaluatorKind::BiEncoder => {
                let pooling = self.manifest.pooling;
                let read = |output: Output<'_>, rows: &[&Row]| vectors(output, rows, pooling);
                let embedded = self.run(&rows, work.alone, limits, read)?;
                let Some((question, answers)) = embedded.split_first() else {
                    return Err(Unfinished::internal("the question has no vector"));
                };
                answers.iter().map(|answer| cosine(question, answer)).collect()
            }
        };
        let tokens = rows.iter().map(|row| row.len()).sum::<usize>();
        self.scored(numbers, u32::try_from(tokens).unwrap_or(u32::MAX))
    }

    /// What goes through the network: a row per pair, or the question's row and then one per answer.
    fn rows(&self, work: &Scoring, limits: &Limits) -> Result<Vec<Row>, Unfinished> {
        limits.check()?;
        let tokenizer = |error: String| Unfinished::internal(format!("{}: {error}", self.name));
        let question = self.texts.tokens(&work.question).map_err(tokenizer)?;
        let mut rows = Vec::with_capacity(work.answers.len().saturating_add(1));
        if self.manifest.kind == EvaluatorKind::BiEncoder {
            rows.push(self.texts.single(question.clone()).map_err(tokenizer)?);
        }
        // One after the other: beside the network's work a tokenizer's is next to nothing, and its own threads
        // would not heed the options.
        for answers in work.answers.chunks(TOKENIZED_AT_ONCE) {
            limits.check()?;
            for answer in answers {
                let answer = self.texts.tokens(answer).map_err(tokenizer)?;
                rows.push(match self.manifest.kind {
                    EvaluatorKind::CrossEncoder => self.texts.pair(&question, &answer).map_err(tokenizer)?,
                    EvaluatorKind::BiEncoder => self.texts.single(answer).map_err(tokenizer)?,
                });
            }
        }
        Ok(rows)
    }

    /// Runs all rows through the network; what `read` makes of each, in their order.
    fn run<T>(
        &self,
        rows: &[Row],
        alone: bool,
        limits: &Limits,
        read: impl Fn(Output<'_>, &[&Row]) -> Result<Vec<T>, String>,
    ) -> Result<Vec<T>, Unfinished> {
        let lengths: Vec<usize> = rows.iter().map(Row::len).collect();
        let budget = if alone { 0 } else { self.options.batch_tokens };
        let mut done = Vec::with_capacity(rows.len());
        for batch in batches(&lengths, budget) {
            limits.check()?;
            let members: Vec<&Row> = batch.iter().filter_map(|place| rows.get(*place)).collect();
            let made = self
                .network
                .run(&members, self.texts.padding(), |output| read(output, &members))
                .map_err(|error| Unfinished::internal(format!("{}: {error}", self.name)))?;
            done.extend(batch.into_iter().zip(made));
        }
        done.sort_unstable_by_key(|(place, _)| *place);
        Ok(done.into_iter().map(|(_, made)| made).collect())
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

    /// Runs what shows most mistakes in an evaluator's folder, so that they are found when it is loaded and not
    /// by the jobs: two rows of different lengths, one of them with the highest id that the tokenizer can give, and
    /// one row of full length.
    fn probe(&self) -> Result<(), String> {
        let question = self.texts.tokens("What is the capital of France?")?;
        let answer = self.texts.tokens("Paris.")?;
        let row = |question: &[u32], answer: &[u32]| match self.manifest.kind {
            EvaluatorKind::CrossEncoder => self.texts.pair(question, answer),
            EvaluatorKind::BiEncoder => self.texts.single([question, answer].concat()),
        };
        let highest = self.texts.highest_id();
        let (plain, strange) = (row(&question, &answer)?, row(&[highest], &[])?);
        let numbers = self.probe_rows(&[&plain, &strange]).map_err(|error| {
            format!("the network does not take what the tokenizer makes of a text ({error}); {MANIFEST}'s model and {TOKENIZER} have to be of one and the same model")
        })?;
        if numbers.first().is_none_or(|number| number.is_nan()) {
            return Err(
                "the network's output for a plain question is not a number; it is broken, get it anew"
                    .to_owned(),
            );
        }
        let length = self.manifest.max_tokens.min(MAX_PROBE_TOKENS);
        let long = row(&vec![highest; length], &[])?;
        self.probe_rows(&[&long]).map(drop).map_err(|error| {
            format!(
                "the network does not take {} tokens at once ({error}); lower max_tokens in {MANIFEST}",
                long.len()
            )
        })
    }

    /// One number for each row: its logit, or the sum of its vector.
    fn probe_rows(&self, rows: &[&Row]) -> Result<Vec<f64>, String> {
        self.network.run(rows, self.texts.padding(), |output| match self.manifest.kind {
            EvaluatorKind::CrossEncoder => logits(output, rows),
            EvaluatorKind::BiEncoder => vectors(output, rows, self.manifest.pooling)
                .map(|vectors| vectors.iter().map(|vector| vector.iter().sum()).collect()),
        })
    }
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
