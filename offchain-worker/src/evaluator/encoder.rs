//! Cross-encoders and bi-encoders: ONNX files and their tokenizers.

use super::{
    batches::batches,
    network::{Network, Output, Provider},
    numbers::{cosine, logits, vectors},
    precision::{worth_trying, Arithmetic, Measured, Why, MEASURED_LENGTHS, MEASURED_RUNS, MEASURING},
    texts::{Row, Texts},
    EvaluatorOptions,
};
use crate::{
    limits::{Limits, Unfinished},
    models::{
        manifest::{Cut, Ends, EvaluatorKind, Manifest, MANIFEST, TOKENIZER},
        weights,
    },
    onnx,
    work::{Scoring, FULL_SCORE},
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Answers that are tokenized between two looks at the limits of a job.
const TOKENIZED_AT_ONCE: usize = 64;

/// Most tokens that the probe of a fresh evaluator takes: a longer one would cost seconds and gigabytes.
pub const MAX_PROBE_TOKENS: usize = 1024;

/// Most that padding may change a score, and the part by which it may change the network's number. Weights of 8 bits that are
/// multiplied as such round by what else is in a batch.
const MOST_BY_PADDING: f64 = 0.05;

/// Texts that are measured, repeated up to the length.
const MEASURED_TEXTS: [(&str, &str); 2] = [
    (
        "Why does iron rust faster by the sea than it does inland?",
        "Because oxygen and water together take electrons from the metal, and salt in the air makes the water \
         conduct them better. ",
    ),
    (
        "What is the capital of Peru, and how many people live there?",
        "The committee met on Tuesday, discussed the proposal for 2 hours, and rejected it by 7 votes to 4. ",
    ),
];

/// A loaded network with its tokenizer.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Name of its folder, for messages.
    pub(super) name: String,
    pub(super) manifest: Manifest,
    batch_tokens: usize,
    pub(super) texts: Texts,
    network: Network,
    arithmetic: Arithmetic,
}

impl Encoder {
    /// Loads the evaluator that `manifest` describes from `folder`, sees that it works, and chooses its arithmetic. Errors
    /// are one line for people.
    pub fn load(
        folder: &Path,
        name: String,
        manifest: &Manifest,
        options: &EvaluatorOptions,
    ) -> Result<Self, String> {
        let texts = Texts::read(&folder.join(TOKENIZER), manifest.max_tokens)?;
        if let Some(cut) = &manifest.cut {
            texts.check_cut(manifest.kind, cut)?;
        }
        let (model, threads) = (folder.join(&manifest.model), options.threads.max(1));
        manifest.check_positions(weights::positions_of(&model))?;
        let worth_trying = worth_trying(options.precision, bytes_of(folder, manifest));
        let onnx = onnx::start(worth_trying.is_ok()).map_err(|error| error.to_string())?;
        let network = Network::load(&onnx.environment, &model, manifest, threads, Provider::Cpu)?;
        let arithmetic = Arithmetic::Reference(Why::Set);
        let (manifest, batch_tokens) = (manifest.clone(), options.batch_tokens);
        let mut encoder = Self { name, manifest, batch_tokens, texts, network, arithmetic };
        encoder.probe()?;
        encoder.arithmetic = match worth_trying {
            Err(why) => Arithmetic::Reference(why),
            Ok(()) if !onnx.openvino => Arithmetic::Reference(Why::NoOpenVino),
            Ok(()) => encoder.try_openvino(onnx, &model, threads),
        };
        Ok(encoder)
    }

    /// The arithmetic that was chosen.
    pub fn arithmetic(&self) -> &Arithmetic {
        &self.arithmetic
    }

    /// A number for each answer, in their order, and the tokens that went through the network.
    ///
    /// Texts are cut as the manifest says. Where it does not, a pair that is too long for the network loses the end of its
    /// answer first, then that of its question; a text of a bi-encoder loses its end. Alone, each pair (each text, of a bi-encoder) goes through the network
    /// by itself; otherwise those of like length go together.
    pub fn numbers(&self, work: &Scoring, limits: &Limits) -> Result<(Vec<f64>, usize), Unfinished> {
        let rows = self.rows(work, limits)?;
        let tokens = rows.iter().map(Row::len).fold(0, usize::saturating_add);
        let numbers = match self.manifest.kind {
            EvaluatorKind::BiEncoder => {
                let pooling = self.manifest.pooling;
                let read = |output: Output<'_>, rows: &[&Row]| vectors(output, rows, pooling);
                let embedded = self.run(&rows, work.alone, limits, read)?;
                let Some((question, answers)) = embedded.split_first() else {
                    return Err(Unfinished::internal("the question has no vector"));
                };
                answers.iter().map(|answer| cosine(question, answer)).collect()
            }
            EvaluatorKind::CrossEncoder | EvaluatorKind::Causal | EvaluatorKind::Classifier => {
                let classes = self.manifest.classes.as_ref();
                self.run(&rows, work.alone, limits, |output, rows| logits(output, rows, classes))?
            }
        };
        Ok((numbers, tokens))
    }

    /// The inputs of the network: a row for each pair, or the question's row and then one for each answer.
    fn rows(&self, work: &Scoring, limits: &Limits) -> Result<Vec<Row>, Unfinished> {
        limits.check()?;
        let tokenizer = |error: String| Unfinished::internal(format!("{}: {error}", self.name));
        let question = self.tokens(&work.question, |cut| cut.question).map_err(tokenizer)?;
        let mut rows = Vec::with_capacity(work.answers.len().saturating_add(1));
        if self.manifest.kind == EvaluatorKind::BiEncoder {
            rows.push(self.texts.single(question.clone()).map_err(tokenizer)?);
        }
        // One after the other: beside the network's work a tokenizer's is next to nothing, and its own threads
        // would not heed the options.
        for answers in work.answers.chunks(TOKENIZED_AT_ONCE) {
            limits.check()?;
            for answer in answers {
                let answer = self.tokens(answer, |cut| cut.answer).map_err(tokenizer)?;
                rows.push(self.row(&question, answer).map_err(tokenizer)?);
            }
        }
        Ok(rows)
    }

    /// The tokens of a question or an answer, as far as they are looked at.
    fn tokens(&self, text: &str, ends: fn(&Cut) -> Ends) -> Result<Vec<u32>, String> {
        match &self.manifest.cut {
            Some(cut) => self.texts.ends(text, ends(cut)),
            None => self.texts.tokens(text),
        }
    }

    /// The row of an answer: with its question, unless each text has a vector of its own.
    fn row(&self, question: &[u32], answer: Vec<u32>) -> Result<Row, String> {
        match self.manifest.kind {
            EvaluatorKind::BiEncoder => self.texts.single(answer),
            EvaluatorKind::CrossEncoder | EvaluatorKind::Causal | EvaluatorKind::Classifier => {
                self.texts.pair(question, &answer)
            }
        }
    }

    /// Runs all rows through the network and returns what `read` makes of each, in their order.
    pub(super) fn run<T>(
        &self,
        rows: &[Row],
        alone: bool,
        limits: &Limits,
        read: impl Fn(Output<'_>, &[&Row]) -> Result<Vec<T>, String>,
    ) -> Result<Vec<T>, Unfinished> {
        let lengths: Vec<usize> = rows.iter().map(Row::len).collect();
        let budget = if alone { 0 } else { self.batch_tokens };
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

    /// Runs what shows most mistakes in an evaluator's folder, so that they are found when it is loaded and not
    /// by the jobs: two rows of different lengths, one of them with the highest id that the tokenizer can give, and
    /// one row of full length.
    fn probe(&self) -> Result<(), String> {
        let question = self.texts.tokens("What is the capital of France?")?;
        let answer = self.texts.tokens("Paris.")?;
        let row = |question: &[u32], answer: &[u32]| match self.manifest.kind {
            EvaluatorKind::BiEncoder => self.texts.single([question, answer].concat()),
            EvaluatorKind::CrossEncoder | EvaluatorKind::Causal | EvaluatorKind::Classifier => {
                self.texts.pair(question, answer)
            }
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
        self.probe_padding(&strange, numbers.last().copied())?;
        let length = self.manifest.max_tokens.min(MAX_PROBE_TOKENS);
        let long = row(&vec![highest; length], &[])?;
        self.probe_rows(&[&long]).map(drop).map_err(|error| {
            format!(
                "the network does not take {} tokens at once ({error}); lower max_tokens in {MANIFEST}",
                long.len()
            )
        })
    }

    /// Sees that a row which was filled up to the length of another has its own score. Networks that judge by their last token look
    /// for it by the id of the padding.
    fn probe_padding(&self, row: &Row, padded: Option<f64>) -> Result<(), String> {
        if self.manifest.kind == EvaluatorKind::BiEncoder {
            return Ok(());
        }
        let alone = self.probe_rows(&[row])?.first().copied();
        let (Some(alone), Some(padded)) = (alone, padded) else { return Ok(()) };
        let score = |number: f64| self.manifest.calibration.apply(number).unwrap_or(f64::NAN);
        // Both: a steep calibration makes much of the last bits, and a flat one little of another number.
        let apart = (score(alone) - score(padded)).abs() > MOST_BY_PADDING
            && (alone - padded).abs() > MOST_BY_PADDING * alone.abs().max(1.0);
        if !apart {
            return Ok(());
        }
        Err(format!(
            "padding changes its numbers ({padded:.3} in the place of {alone:.3}): {TOKENIZER} has to name the token that the \
             network was trained with as padding (\"padding\": {{\"pad_id\": …}})"
        ))
    }

    /// One number for each row: its logit, or the sum of its vector.
    fn probe_rows(&self, rows: &[&Row]) -> Result<Vec<f64>, String> {
        self.network.run(rows, self.texts.padding(), |output| match self.manifest.kind {
            EvaluatorKind::BiEncoder => vectors(output, rows, self.manifest.pooling)
                .map(|vectors| vectors.iter().map(|vector| vector.iter().sum()).collect()),
            EvaluatorKind::CrossEncoder | EvaluatorKind::Causal | EvaluatorKind::Classifier => {
                logits(output, rows, self.manifest.classes.as_ref())
            }
        })
    }

    /// Loads the network with OpenVINO as well, measures both, and keeps the better one.
    fn try_openvino(&mut self, onnx: &onnx::Onnx, model: &Path, threads: usize) -> Arithmetic {
        let measured = Network::load(&onnx.environment, model, &self.manifest, threads, Provider::OpenVino)
            .and_then(|fast| Ok((self.measure(&fast)?, fast)));
        match measured {
            Ok((measured, fast)) => {
                let verdict = measured.verdict();
                if matches!(verdict, Arithmetic::Bf16(_)) {
                    self.network = fast;
                }
                verdict
            }
            Err(error) => Arithmetic::Reference(Why::Fails(error)),
        }
    }

    /// The time and the scores of `fast` beside those of the reference, over texts of several lengths.
    fn measure(&self, fast: &Network) -> Result<Measured, String> {
        let begun = Instant::now();
        let (mut reference_time, mut fast_time) = (Duration::ZERO, Duration::ZERO);
        let mut difference: u32 = 0;
        for length in MEASURED_LENGTHS {
            let rows = self.measured_rows(length)?;
            // These runs also build what a first run of this length builds.
            let (ours, theirs) = (self.scores_by(&self.network, &rows)?, self.scores_by(fast, &rows)?);
            for (ours, theirs) in ours.iter().zip(&theirs) {
                difference = difference.max(ours.abs_diff(*theirs));
            }
            let Some(row) = rows.first() else { continue };
            // Scores are compared at every length, however slow the machine is; only the time of the shortest is enough.
            let is_timed = reference_time.is_zero() || begun.elapsed() <= MEASURING;
            let (mut shortest, mut shortest_fast) = (Duration::MAX, Duration::MAX);
            for _ in (0..MEASURED_RUNS).take_while(|_| is_timed) {
                shortest = shortest.min(self.time_of(&self.network, row)?);
                shortest_fast = shortest_fast.min(self.time_of(fast, row)?);
            }
            if is_timed {
                reference_time = reference_time.saturating_add(shortest);
                fast_time = fast_time.saturating_add(shortest_fast);
            }
            if length >= self.manifest.max_tokens {
                break;
            }
        }
        let thousandths = 1000.0 * fast_time.as_secs_f64() / reference_time.as_secs_f64().max(1e-9);
        // A cast of a float saturates.
        Ok(Measured { time_permille: thousandths.round() as u32, difference_ppm: difference })
    }

    /// Rows of about `length` tokens. Of a bi-encoder the first two are a text and its question.
    fn measured_rows(&self, length: usize) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        for (question, answer) in MEASURED_TEXTS {
            let question = self.texts.tokens(question)?;
            let answer = self.texts.tokens(&answer.repeat(length))?;
            let room = length.saturating_sub(question.len()).saturating_sub(3);
            rows.push(self.row(&question, answer.into_iter().take(room).collect())?);
            if self.manifest.kind == EvaluatorKind::BiEncoder {
                rows.push(self.texts.single(question)?);
            }
        }
        Ok(rows)
    }

    /// The scores of the rows by `network`, each run alone, in parts per million. Those of a bi-encoder are of each row
    /// with the first.
    fn scores_by(&self, network: &Network, rows: &[Row]) -> Result<Vec<u32>, String> {
        let mut numbers = Vec::with_capacity(rows.len());
        let mut first: Option<Vec<f64>> = None;
        for row in rows {
            let number = network.run(&[row], self.texts.padding(), |output| match self.manifest.kind {
                EvaluatorKind::BiEncoder => {
                    let vector = vectors(output, &[row], self.manifest.pooling)?.pop().unwrap_or_default();
                    let number = cosine(first.as_ref().unwrap_or(&vector), &vector);
                    first.get_or_insert(vector);
                    Ok(number)
                }
                EvaluatorKind::CrossEncoder | EvaluatorKind::Causal | EvaluatorKind::Classifier => {
                    let number = logits(output, &[row], self.manifest.classes.as_ref())?.pop();
                    number.ok_or_else(|| "the network gives no number".to_owned())
                }
            })?;
            numbers.push(number);
        }
        let score = |number: f64| {
            let score = self.manifest.calibration.apply(number);
            // Below 2^32: a score is at most 1.
            score.map(|score| (score.clamp(0.0, 1.0) * f64::from(FULL_SCORE)).round() as u32)
        };
        let scores = numbers.into_iter().map(score).collect::<Option<Vec<u32>>>();
        scores.ok_or_else(|| "its output is not a number".to_owned())
    }

    fn time_of(&self, network: &Network, row: &Row) -> Result<Duration, String> {
        let begun = Instant::now();
        network.run(&[row], self.texts.padding(), |_| Ok(()))?;
        Ok(begun.elapsed())
    }
}

/// Size of the files of an evaluator in `folder`, in bytes.
fn bytes_of(folder: &Path, manifest: &Manifest) -> u64 {
    let size = |name: &String| std::fs::metadata(folder.join(name)).map_or(0, |file| file.len());
    manifest.files.keys().map(size).fold(0, u64::saturating_add)
}
