//! GGUF files that judge: llama.cpp reads a prompt with question and answer, and the two tokens that may come next are
//! compared, or the outputs of a classification head.

use super::{
    network::Output,
    numbers::logits,
    prompt::{Filled, Prompt},
    texts::{cut, share_window, Row, BYTES_PER_TOKEN},
    EvaluatorOptions,
};
use crate::{
    generator::{backend, bounds, check_magic},
    limits::{Limits, Unfinished},
    models::{
        classifier::{self, Classifier},
        manifest::{Classes, Manifest, MANIFEST},
    },
    work::Scoring,
};
use llama_cpp_2::{
    context::{
        params::{LlamaContextParams, LlamaPoolingType},
        LlamaContext,
    },
    llama_batch::LlamaBatch,
    model::{params::LlamaModelParams, LlamaModel},
    token::LlamaToken,
    vocab::LlamaVocab,
};
use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

/// Most tokens of one step, between two looks at the limits of a job.
const STEP_TOKENS: usize = 512;

/// Fewest tokens that a prompt leaves for question and answer.
const LEAST_ROOM: usize = 8;

/// Times that texts are cut until they fit. Texts that are tokenized together may have other tokens than alone, so the
/// first cut may be short by a few.
const CUTS: usize = 64;

/// A loaded causal model or classifier. It lives on a thread of its own, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Causal {
    asks: mpsc::Sender<Ask>,
}

/// Numbers of answers, and the tokens that were read for them.
type Outcome = Result<(Vec<f64>, usize), Unfinished>;

struct Ask {
    work: Scoring,
    limits: Limits,
    reply: mpsc::Sender<Outcome>,
}

/// The parts of a [`Causal`] that its thread is started with.
struct Start {
    name: String,
    path: PathBuf,
    prompt: String,
    reads: Wanted,
    max_tokens: usize,
    threads: i32,
    gpu_layers: Option<u32>,
}

/// What is read behind a prompt.
enum Wanted {
    /// The next token: the texts of those for yes and no.
    NextToken { yes: String, no: String },
    /// The outputs of the classification head.
    Head { classifier: Classifier, classes: Option<Classes> },
}

impl Wanted {
    /// The prompt of a manifest, and what is read behind it.
    fn of(manifest: &Manifest, path: &Path) -> Result<(String, Self), String> {
        match (&manifest.judge, &manifest.prompt) {
            (Some(judge), _) => {
                let reads = Self::NextToken { yes: judge.yes.clone(), no: judge.no.clone() };
                Ok((judge.prompt.clone(), reads))
            }
            (None, Some(prompt)) => {
                let classifier = classifier::check(path, manifest.classes.as_ref())?;
                Ok((prompt.clone(), Self::Head { classifier, classes: manifest.classes.clone() }))
            }
            (None, None) => Err(format!("{MANIFEST}: neither `judge` nor `prompt` is there")),
        }
    }
}

impl Causal {
    /// Loads the model that `manifest` names from `folder`, and asks it something. Errors are one line for people.
    pub fn load(
        folder: &Path,
        name: &str,
        manifest: &Manifest,
        options: &EvaluatorOptions,
    ) -> Result<Self, String> {
        let path = folder.join(&manifest.model);
        check_magic(&path)?;
        let (prompt, reads) = Wanted::of(manifest, &path)?;
        let start = Start {
            name: name.to_owned(),
            path,
            prompt,
            reads,
            max_tokens: manifest.max_tokens,
            threads: i32::try_from(options.causal_threads.max(1)).unwrap_or(i32::MAX),
            gpu_layers: options.gpu_layers,
        };
        let (asks, asked) = mpsc::channel();
        let (ready, outcome) = mpsc::channel();
        thread::Builder::new()
            .name("poq-judge".to_owned())
            .spawn(move || start.run(&ready, &asked))
            .map_err(|error| format!("the machine starts no thread: {error}"))?;
        let ended = "llama.cpp gives no next token for it: it is no causal model".to_owned();
        outcome.recv().unwrap_or(Err(ended)).map(|()| Self { asks })
    }

    /// A number for each answer, in their order, and the tokens that were read. Each pair is read by itself.
    pub fn numbers(&self, work: &Scoring, limits: &Limits) -> Outcome {
        let (reply, outcome) = mpsc::channel();
        let gone = || Unfinished::internal("the thread of a causal model has ended");
        let ask = Ask { work: work.clone(), limits: limits.clone(), reply };
        self.asks.send(ask).map_err(|_| gone())?;
        outcome.recv().map_err(|_| gone())?
    }
}

impl Start {
    /// Loads the model, says how that went, and answers until nobody can ask any more.
    fn run(&self, ready: &mpsc::Sender<Result<(), String>>, asked: &mpsc::Receiver<Ask>) {
        let model = match self.open() {
            Ok(model) => model,
            Err(error) => return drop(ready.send(Err(error))),
        };
        let mut reader = match Reader::new(self, &model) {
            Ok(reader) => reader,
            Err(error) => return drop(ready.send(Err(error))),
        };
        if let Err(error) = reader.probe() {
            return drop(ready.send(Err(error)));
        }
        drop(ready.send(Ok(())));
        while let Ok(Ask { work, limits, reply }) = asked.recv() {
            // Whoever does not wait any more needs no reply.
            drop(reply.send(reader.numbers(&work, &limits)));
        }
    }

    fn open(&self) -> Result<LlamaModel, String> {
        let params = self.gpu_layers.map_or_else(LlamaModelParams::default, |layers| {
            LlamaModelParams::default().with_n_gpu_layers(layers)
        });
        let model = LlamaModel::load_from_file(backend()?, &self.path, &params)
            .map_err(|error| format!("llama.cpp does not load it: {error}"))?;
        let trained = model.n_ctx_train() as usize;
        if trained > 0 && self.max_tokens > trained {
            return Err(format!(
                "{MANIFEST}: max_tokens is {}, and the model knows {trained} positions; lower max_tokens",
                self.max_tokens
            ));
        }
        Ok(model)
    }
}

/// From texts to the tokens of a prompt.
struct Asking<'a> {
    vocab: LlamaVocab<'a>,
    prompt: Prompt<LlamaToken>,
    /// The token that texts begin with, unless the prompt spells it.
    begin: Option<LlamaToken>,
    max_tokens: usize,
}

impl<'a> Asking<'a> {
    fn new(vocab: LlamaVocab<'a>, template: &str, max_tokens: usize) -> Result<Self, String> {
        let prompt = Prompt::parse(template, &control_tokens(&vocab));
        let begin = vocab.should_add_bos().then(|| vocab.bos());
        let begin = begin.filter(|token| prompt.first_control() != Some(*token));
        let asking = Self { vocab, prompt, begin, max_tokens };
        let frame = asking.tokens("", "").map_err(in_words)?.len();
        if max_tokens.saturating_sub(frame) < LEAST_ROOM {
            return Err(format!(
                "{MANIFEST}: max_tokens is {max_tokens}, and the prompt alone has {frame}; raise it"
            ));
        }
        Ok(asking)
    }

    /// The one token that `text` is.
    fn single(&self, field: &str, text: &str) -> Result<LlamaToken, String> {
        match self.vocab.tokenize(text.as_bytes(), false, true).as_slice() {
            [token] => Ok(*token),
            tokens => Err(format!(
                "{MANIFEST}: judge.{field} = {text:?} is {} tokens of this model; name a text that is one",
                tokens.len()
            )),
        }
    }

    /// The prompt with these texts, at most `max_tokens` long: the answer loses its end first, then the question.
    fn fit(&self, question: &str, answer: &str) -> Result<Vec<LlamaToken>, Unfinished> {
        let (question, answer) = (self.clean(question), self.clean(answer));
        let whole = self.tokens(&question, &answer)?;
        if whole.len() <= self.max_tokens {
            return Ok(whole);
        }
        let (q, a) = (self.text_tokens(&question)?, self.text_tokens(&answer)?);
        let mut window = self.max_tokens.saturating_sub(self.tokens("", "")?.len());
        for _ in 0..CUTS {
            let (of_question, of_answer) = share_window(window, q.len(), a.len());
            let question = cut(&question, self.bytes_of(q.iter().take(of_question)));
            let answer = cut(&answer, self.bytes_of(a.iter().take(of_answer)));
            let tokens = self.tokens(question, answer)?;
            if tokens.len() <= self.max_tokens {
                return Ok(tokens);
            }
            window = window.saturating_sub(tokens.len().saturating_sub(self.max_tokens));
        }
        Err(Unfinished::internal("texts cannot be cut to the model's length"))
    }

    /// `text` as far as it can matter and be tokenized. It is part of what a score is: the same for every operator.
    fn clean(&self, text: &str) -> String {
        let text = cut(text, self.max_tokens.saturating_mul(BYTES_PER_TOKEN));
        // The tokenizer works on C strings.
        bounds::prefix_within_bounds(text).replace('\0', "\u{fffd}")
    }

    fn tokens(&self, question: &str, answer: &str) -> Result<Vec<LlamaToken>, Unfinished> {
        let filled: Vec<Filled<LlamaToken>> = self.prompt.fill(question, answer).collect();
        let mut tokens: Vec<LlamaToken> = self.begin.into_iter().collect();
        for piece in filled {
            match piece {
                Filled::Control(token) => tokens.push(token),
                Filled::Text(text) => tokens.extend(self.text_tokens(&text)?),
            }
        }
        Ok(tokens)
    }

    /// The tokens of a text, in which nothing is a control token.
    fn text_tokens(&self, text: &str) -> Result<Vec<LlamaToken>, Unfinished> {
        let vocab = &self.vocab;
        bounds::with_stack_for(text.chars().count(), || vocab.tokenize(text.as_bytes(), false, false))
            .map_err(|error| Unfinished::internal(format!("a text cannot be tokenized: {error}")))
    }

    /// Bytes of the text that these tokens stand for.
    fn bytes_of<'t>(&self, tokens: impl Iterator<Item = &'t LlamaToken>) -> usize {
        let mut bytes = Vec::new();
        for token in tokens {
            self.vocab.token_to_piece_into(*token, &mut bytes, false, None);
        }
        bytes.len()
    }
}

/// The texts of the control tokens. A token without a text cannot be spelled.
fn control_tokens(vocab: &LlamaVocab<'_>) -> Vec<(String, LlamaToken)> {
    let control = (0..vocab.n_tokens()).map(LlamaToken).filter(|token| vocab.is_control(*token));
    let with_text = control.filter_map(|token| Some((vocab.text(token)?.to_str().ok()?.to_owned(), token)));
    with_text.filter(|(text, _)| !text.is_empty()).collect()
}

/// A model, its context, and what it is asked.
struct Reader<'a> {
    name: &'a str,
    asking: Asking<'a>,
    context: LlamaContext<'a>,
    batch: LlamaBatch<'static>,
    /// Most tokens of one step.
    step: usize,
    reads: Reads,
}

/// What is read behind a prompt, in the words of a model.
enum Reads {
    NextToken { yes: LlamaToken, no: LlamaToken },
    Head { classifier: Classifier, classes: Option<Classes> },
}

impl<'a> Reader<'a> {
    fn new(start: &'a Start, model: &'a LlamaModel) -> Result<Self, String> {
        let asking = Asking::new(model.vocab(), &start.prompt, start.max_tokens)?;
        let reads = match &start.reads {
            Wanted::NextToken { yes, no } => {
                Reads::NextToken { yes: asking.single("yes", yes)?, no: asking.single("no", no)? }
            }
            Wanted::Head { classifier, classes } => {
                if model.n_cls_out() as usize != classifier.outputs {
                    return Err(format!("its head has {} outputs for llama.cpp", model.n_cls_out()));
                }
                Reads::Head { classifier: *classifier, classes: classes.clone() }
            }
        };
        let (pools, tokens) = match reads {
            // Files of rerankers may ask for a pooled output, and then there is no next token.
            Reads::NextToken { .. } => (LlamaPoolingType::None, STEP_TOKENS),
            // A head looks at all tokens at once: attention goes both ways in some of these networks.
            Reads::Head { .. } => (LlamaPoolingType::Rank, start.max_tokens),
        };
        let step = u32::try_from(tokens).unwrap_or(u32::MAX);
        let size = u32::try_from(start.max_tokens).ok().and_then(NonZeroU32::new);
        let params = LlamaContextParams::default()
            .with_n_ctx(size)
            .with_n_seq_max(1)
            .with_n_batch(step)
            .with_n_ubatch(step)
            .with_pooling_type(pools)
            .with_embeddings(matches!(reads, Reads::Head { .. }))
            .with_n_threads(start.threads)
            .with_n_threads_batch(start.threads)
            .with_no_perf(true);
        let context = model.new_context(backend()?, params).map_err(|error| {
            format!(
                "llama.cpp makes no context of {} tokens ({error}); lower max_tokens in {MANIFEST}",
                start.max_tokens
            )
        })?;
        Ok(Self {
            name: &start.name,
            asking,
            context,
            batch: LlamaBatch::new(tokens, 1),
            step: tokens,
            reads,
        })
    }

    /// Asks a plain question, so that a model that cannot judge is found when it is loaded.
    fn probe(&mut self) -> Result<(), String> {
        let tokens = self.asking.fit("What is the capital of France?", "Paris.").map_err(in_words)?;
        let number = self.number(&tokens, &Limits::none()).map_err(in_words)?;
        if number.is_nan() {
            return Err(
                "its output for a plain question is not a number; it is broken, get it anew".to_owned()
            );
        }
        Ok(())
    }

    fn numbers(&mut self, work: &Scoring, limits: &Limits) -> Outcome {
        let (mut numbers, mut read) = (Vec::with_capacity(work.answers.len()), 0_usize);
        for answer in &work.answers {
            limits.check()?;
            let tokens = self.asking.fit(&work.question, answer)?;
            read = read.saturating_add(tokens.len());
            numbers.push(self.number(&tokens, limits)?);
        }
        Ok((numbers, read))
    }

    /// The number that is read behind `tokens`.
    fn number(&mut self, tokens: &[LlamaToken], limits: &Limits) -> Result<f64, Unfinished> {
        let fails = |name: &str, error: &dyn std::fmt::Display| {
            Unfinished::internal(format!("{name}: llama.cpp: {error}"))
        };
        // The marks of the last pair only: clearing the memory as well takes longer than a short pair.
        let cleared = self.context.clear_kv_cache_seq(Some(0), None, None);
        cleared.map_err(|error| fails(self.name, &error))?;
        let mut position: i32 = 0;
        for step in tokens.chunks(self.step) {
            limits.check()?;
            self.batch.clear();
            for token in step {
                let last = position.saturating_add(1) as usize == tokens.len();
                let wanted = last || matches!(self.reads, Reads::Head { .. });
                let added = self.batch.add(*token, position, &[0], wanted);
                added.map_err(|error| fails(self.name, &error))?;
                position = position.saturating_add(1);
            }
            self.context.decode(&mut self.batch).map_err(|error| fails(self.name, &error))?;
        }
        match &self.reads {
            Reads::NextToken { yes, no } => {
                let logits = self.context.get_logits_ith(self.batch.n_tokens().saturating_sub(1));
                let logit = |token: &LlamaToken| {
                    let logit = usize::try_from(token.0).ok().and_then(|place| logits.get(place));
                    logit.map_or(f64::NAN, |logit| f64::from(*logit))
                };
                Ok(logit(yes) - logit(no))
            }
            Reads::Head { classifier, classes } => {
                let outputs = self.context.embeddings_seq_ith(0).map_err(|error| fails(self.name, &error))?;
                of_head(outputs, *classifier, classes.as_ref())
                    .map_err(|error| Unfinished::internal(format!("{}: {error}", self.name)))
            }
        }
    }
}

/// The number that the outputs of a classification head make.
fn of_head(outputs: &[f32], classifier: Classifier, classes: Option<&Classes>) -> Result<f64, String> {
    let values: Vec<f32> = match classifier.probabilities {
        // Logits are these up to a number that they have in common and that takes no part.
        true => outputs.iter().map(|value| value.clamp(f32::MIN_POSITIVE, f32::MAX).ln()).collect(),
        false => outputs.to_vec(),
    };
    let row = Row { ids: Vec::new(), types: Vec::new() };
    let numbers = logits(Output { shape: &[1, values.len()], values: &values }, &[&row], classes)?;
    numbers.first().copied().ok_or_else(|| "its head gives no number".to_owned())
}

fn in_words(unfinished: Unfinished) -> String {
    match unfinished {
        Unfinished::Failed(error) => error.message,
        Unfinished::TooLong(long) => long.to_string(),
        Unfinished::Cancelled => "it was cancelled".to_owned(),
        Unfinished::Died(how) => how,
    }
}
