//! Several answers at a time from one model: continuous batching.
//!
//! All answers under way go through the network together, one token each per step; a new one joins as soon as there
//! is a free place, in the order they came, and its prompt is read in parts that fill up the steps. A step of four
//! answers costs little more than a step of one, because the time goes into moving the weights.

use super::{
    grammar::Reader,
    picker::{self, Picker},
    schema, Generator, Prompt,
};
use crate::{
    limits::{Cancel, Unfinished},
    text::{End, Text},
    work::{Finish, Generated, Generation, TokenLogprob},
};
use llama_cpp_2::{
    context::{params::LlamaContextParams, LlamaContext},
    llama_batch::LlamaBatch,
    token::LlamaToken,
};
use std::{collections::VecDeque, num::NonZeroU32};

/// Most tokens per step. Cancellations are checked between steps.
const STEP_TOKENS: usize = 512;

/// Progress of one answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// New text. All pieces together are the answer's text.
    Piece(String),
    /// The answer is complete, or has failed.
    Done(Result<Generated, Unfinished>),
}

/// The answers of one model, waiting and under way.
#[derive(Debug)]
pub struct Batcher<'a> {
    generator: &'a Generator,
    context: LlamaContext<'a>,
    batch: LlamaBatch<'static>,
    /// Numbers of unused contexts.
    free: Vec<u32>,
    waiting: VecDeque<Answer>,
    running: Vec<Running>,
}

/// An answer before it waits for its turn: its prompt, and the reader that holds it to its form.
#[derive(Debug)]
pub struct Plan {
    prompt: Prompt,
    reader: Option<Reader>,
}

impl Plan {
    /// The plan of `work`. An error means that it cannot be done at all.
    pub fn new(generator: &Generator, work: &Generation) -> Result<Self, Unfinished> {
        let tagged = generator.prompter.template().tags_calls();
        let grammar = schema::grammar_of(&work.extras, tagged).map_err(Unfinished::invalid)?;
        let reader = grammar.map(Reader::new).transpose().map_err(Unfinished::invalid)?;
        Ok(Self { prompt: generator.prompt_of(work)?, reader })
    }
}

/// Error of a network whose output is not a number.
const NO_NUMBERS: &str = "the network's output is not a number; the model is broken, get it anew";

/// A requested answer, waiting.
#[derive(Debug)]
struct Answer {
    key: u64,
    prompt: Vec<LlamaToken>,
    most_tokens: usize,
    picker: Picker,
    /// Number of alternatives to report per token; `None` reports no probabilities.
    logprobs: Option<u8>,
    text: Text,
    cancel: Cancel,
}

/// An answer being generated.
#[derive(Debug)]
struct Running {
    answer: Answer,
    place: u32,
    /// Number of tokens that the network has read.
    taken: usize,
    /// Next token to read after the prompt.
    next: Option<LlamaToken>,
    /// Index of the step's output from which the next token is drawn.
    output: Option<i32>,
    /// Tokens generated.
    tokens: u32,
    logprobs: Vec<TokenLogprob>,
}

impl<'a> Batcher<'a> {
    /// Allocates one context per parallel answer. Errors are one line.
    pub fn new(generator: &'a Generator) -> Result<Self, String> {
        let parallel = generator.parallel;
        let size = generator.context.checked_mul(parallel).and_then(NonZeroU32::new);
        let size =
            size.ok_or_else(|| format!("{parallel} contexts of {} tokens are too many", generator.context))?;
        let step = u32::try_from(STEP_TOKENS).unwrap_or(u32::MAX);
        let params = LlamaContextParams::default()
            .with_n_ctx(Some(size))
            .with_n_seq_max(parallel)
            .with_kv_unified(false)
            .with_n_batch(step)
            .with_n_ubatch(step)
            .with_n_threads(generator.threads)
            .with_n_threads_batch(generator.threads)
            .with_no_perf(true);
        let context = generator.model.new_context(generator.backend, params).map_err(|error| {
            format!(
                "llama.cpp makes no {parallel} contexts of {} tokens ({error}); fewer parallel answers or a \
                 smaller context need less memory",
                generator.context
            )
        })?;
        let mut batcher = Self {
            generator,
            context,
            batch: LlamaBatch::new(STEP_TOKENS, 1),
            free: (0..parallel).rev().collect(),
            waiting: VecDeque::new(),
            running: Vec::new(),
        };
        batcher.probe()?;
        Ok(batcher)
    }

    /// Runs one token, so that a network that gives no numbers is found when it is loaded.
    fn probe(&mut self) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| format!("llama.cpp does not run it: {error}");
        let begin = self.generator.model.vocab().bos();
        let token = if begin.0 >= 0 { begin } else { LlamaToken(0) };
        self.batch.clear();
        self.batch.add(token, 0, &[0], true).map_err(|error| text(&error))?;
        self.context.decode(&mut self.batch).map_err(|error| text(&error))?;
        let logits = self.context.get_logits_ith(0);
        if logits.is_empty() || logits.iter().any(|logit| logit.is_nan()) {
            return Err(NO_NUMBERS.to_owned());
        }
        let cleared = self.context.clear_kv_cache_seq(Some(0), None, None);
        cleared.map(drop).map_err(|error| text(&error))
    }

    /// Asks for an answer; `key` tells its events from those of others. It begins when the ones before it have, and a
    /// place is free. An error means that it cannot be done at all.
    pub fn add(&mut self, key: u64, work: &Generation, cancel: Cancel) -> Result<(), Unfinished> {
        let plan = Plan::new(self.generator, work)?;
        self.add_planned(key, work, plan, cancel);
        Ok(())
    }

    /// As [`Self::add`], with the plan of `work`.
    pub fn add_planned(&mut self, key: u64, work: &Generation, plan: Plan, cancel: Cancel) {
        let Plan { prompt: (prompt, most_tokens), reader } = plan;
        self.waiting.push_back(Answer {
            key,
            prompt,
            most_tokens,
            picker: Picker::new(work, reader),
            logprobs: work.extras.logprobs,
            text: Text::new(&work.stop, work.max_bytes as usize),
            cancel,
        });
    }

    /// Whether no answer is waiting or being generated.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Runs one step for all answers being generated and passes their progress to `emit`.
    pub fn step(&mut self, emit: &mut impl FnMut(u64, Event)) {
        self.drop_cancelled(emit);
        self.begin_waiting();
        if let Err(error) = self.decode() {
            self.fail_all(&error, emit);
            return;
        }
        for index in (0..self.running.len()).rev() {
            let Some(running) = self.running.get_mut(index) else { continue };
            match running.take_output(&self.context, self.generator, emit) {
                Ok(None) => {}
                Ok(Some(finish)) => self.end(index, |running| running.finish(finish), emit),
                Err(unfinished) => self.end(index, |_| Err(unfinished), emit),
            }
        }
    }

    fn drop_cancelled(&mut self, emit: &mut impl FnMut(u64, Event)) {
        let (gone, wanted) = self.waiting.drain(..).partition(|answer: &Answer| answer.cancel.is_set());
        self.waiting = wanted;
        gone.into_iter().for_each(|answer: Answer| emit(answer.key, Event::Done(Err(Unfinished::Cancelled))));
        for index in (0..self.running.len()).rev() {
            if self.running.get(index).is_some_and(|running| running.answer.cancel.is_set()) {
                self.end(index, |_| Err(Unfinished::Cancelled), emit);
            }
        }
    }

    fn begin_waiting(&mut self) {
        while !self.waiting.is_empty() {
            let Some(place) = self.free.pop() else { return };
            let Some(answer) = self.waiting.pop_front() else { return };
            self.running.push(Running {
                answer,
                place,
                taken: 0,
                next: None,
                output: None,
                tokens: 0,
                logprobs: Vec::new(),
            });
        }
    }

    /// Sends the next token of every answer, then prompt tokens up to the step's limit, through the network.
    fn decode(&mut self) -> Result<(), String> {
        self.batch.clear();
        for running in self.running.iter_mut().filter(|running| running.next.is_some()) {
            running.add_next(&mut self.batch)?;
        }
        for running in self.running.iter_mut().filter(|running| running.reads_prompt()) {
            running.add_prompt(&mut self.batch)?;
        }
        if self.batch.n_tokens() == 0 {
            return Ok(());
        }
        self.context.decode(&mut self.batch).map_err(|error| format!("llama.cpp does not decode: {error}"))
    }

    /// Fails all answers being generated: a failed step leaves no usable state.
    fn fail_all(&mut self, error: &str, emit: &mut impl FnMut(u64, Event)) {
        for index in (0..self.running.len()).rev() {
            self.end(index, |_| Err(Unfinished::internal(error)), emit);
        }
        self.context.clear_kv_cache();
    }

    fn end(
        &mut self,
        index: usize,
        outcome: impl FnOnce(&mut Running) -> Result<Generated, Unfinished>,
        emit: &mut impl FnMut(u64, Event),
    ) {
        let mut running = self.running.remove(index);
        let outcome = outcome(&mut running);
        if let Some(piece) = running.answer.text.piece().filter(|_| outcome.is_ok()) {
            emit(running.answer.key, Event::Piece(piece));
        }
        if let Err(error) = self.context.clear_kv_cache_seq(Some(running.place), None, None) {
            tracing::error!(%error, "llama.cpp does not clear a context");
        }
        self.free.push(running.place);
        emit(running.answer.key, Event::Done(outcome));
    }
}

impl Running {
    fn reads_prompt(&self) -> bool {
        self.taken < self.answer.prompt.len()
    }

    fn add_next(&mut self, batch: &mut LlamaBatch<'static>) -> Result<(), String> {
        if let Some(token) = self.next.take() {
            self.add(batch, token, true)?;
        }
        Ok(())
    }

    fn add_prompt(&mut self, batch: &mut LlamaBatch<'static>) -> Result<(), String> {
        let room = STEP_TOKENS.saturating_sub(usize::try_from(batch.n_tokens()).unwrap_or(STEP_TOKENS));
        for _ in 0..room {
            let Some(token) = self.answer.prompt.get(self.taken).copied() else { break };
            let last = self.taken.saturating_add(1) == self.answer.prompt.len();
            self.add(batch, token, last)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        batch: &mut LlamaBatch<'static>,
        token: LlamaToken,
        output: bool,
    ) -> Result<(), String> {
        let position = i32::try_from(self.taken).unwrap_or(i32::MAX);
        let place = i32::try_from(self.place).unwrap_or(i32::MAX);
        if output {
            self.output = Some(batch.n_tokens());
        }
        batch
            .add(token, position, &[place], output)
            .map_err(|error| format!("llama.cpp's batch: {error}"))?;
        self.taken = self.taken.saturating_add(1);
        Ok(())
    }

    /// Draws the next token, if this step gave one; says whether the answer ends with it.
    fn take_output(
        &mut self,
        context: &LlamaContext<'_>,
        generator: &Generator,
        emit: &mut impl FnMut(u64, Event),
    ) -> Result<Option<Finish>, Unfinished> {
        let Some(output) = self.output.take() else { return Ok(None) };
        let vocab = generator.model.vocab();
        let left = self.answer.most_tokens.saturating_sub(self.tokens as usize);
        let picked = self.answer.picker.pick(context, output, &vocab, left);
        let token = picked.map_err(Unfinished::invalid)?;
        // What is drawn from no numbers looks like a bad answer.
        if picker::is_nan(context, output, token) {
            return Err(Unfinished::unavailable(NO_NUMBERS));
        }
        if vocab.is_eog(token) {
            return Ok(Some(Finish::Stop));
        }
        if let Some(count) = self.answer.logprobs {
            self.logprobs.push(picker::logprob_of(context, output, &vocab, token, count));
        }
        let bytes = picker::bytes_of(&vocab, token);
        self.tokens = self.tokens.saturating_add(1);
        let finish = match self.answer.text.push(&bytes) {
            Some(End::Stop) => Some(Finish::Stop),
            Some(End::Full) => Some(Finish::Length),
            None if self.answer.picker.is_over() => Some(Finish::Stop),
            None if self.tokens as usize >= self.answer.most_tokens => Some(Finish::Length),
            None => None,
        };
        if finish.is_none() {
            self.next = Some(token);
            if let Some(piece) = self.answer.text.piece() {
                emit(self.answer.key, Event::Piece(piece));
            }
        }
        Ok(finish)
    }

    fn finish(&mut self, finish: Finish) -> Result<Generated, Unfinished> {
        self.answer.text.finish();
        Ok(Generated {
            text: self.answer.text.as_str().to_owned(),
            prompt_tokens: u32::try_from(self.answer.prompt.len()).unwrap_or(u32::MAX),
            tokens: self.tokens,
            finish,
            logprobs: std::mem::take(&mut self.logprobs),
        })
    }
}
