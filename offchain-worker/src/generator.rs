//! Generators: GGUF models run by llama.cpp.

use crate::limits::{Limits, Unfinished};
use llama_cpp_2::{
    context::params::LlamaContextParams,
    llama_backend::LlamaBackend,
    llama_batch::LlamaBatch,
    model::{params::LlamaModelParams, LlamaChatMessage, LlamaChatTemplate, LlamaModel},
    sampling::LlamaSampler,
    token::LlamaToken,
    LogOptions,
};
use poq_primitives::job::GenerateJob;
use std::{
    io::Read as _,
    num::NonZeroU32,
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
};

/// Prompt tokens that are worked on in one step, between two looks at the limits.
const BATCH_TOKENS: usize = 512;

/// A loaded generator.
#[derive(Debug)]
pub struct Generator {
    backend: &'static LlamaBackend,
    model: LlamaModel,
    template: Option<LlamaChatTemplate>,
    context: u32,
    threads: i32,
    /// Making a context writes into the model, so only one may be made at a time.
    making_context: Mutex<()>,
}

/// What a generator wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The text, without white space at its ends.
    pub text: String,
    /// Tokens generated, without the one that ended the text.
    pub tokens: u32,
}

impl Generator {
    /// Loads the GGUF file `path`. `context` is the most tokens of prompt and answer together; the model's
    /// own limit is kept if it is lower. Errors are one line for people.
    pub fn load(path: &Path, context: u32, threads: usize) -> Result<Self, String> {
        check_magic(path)?;
        let backend = backend()?;
        let model = LlamaModel::load_from_file(backend, path, &LlamaModelParams::default())
            .map_err(|error| format!("llama.cpp does not load it: {error}"))?;
        let trained = model.n_ctx_train();
        let context = if trained == 0 { context } else { context.min(trained) };
        let template = usable_template(&model, path);
        let threads = i32::try_from(threads).unwrap_or(i32::MAX);
        Ok(Self { backend, model, template, context, threads, making_context: Mutex::new(()) })
    }

    /// Most tokens of prompt and answer together.
    pub fn context(&self) -> u32 {
        self.context
    }

    /// Number of parameters.
    pub fn parameters(&self) -> u64 {
        self.model.n_params()
    }

    /// Whether prompts go through the model's own chat template (otherwise they go in as they are).
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// Does `job`. The same file, prompt, settings and seed give the same text.
    ///
    /// The answer ends where the model ends it, or after `max_tokens`, `max_bytes`, or at the end of the
    /// context.
    pub fn generate(&self, job: &GenerateJob, limits: &Limits) -> Result<Generated, Unfinished> {
        if job.max_tokens == 0 || job.max_bytes == 0 {
            return Err(Unfinished::invalid("max_tokens and max_bytes are at least 1"));
        }
        let prompt = self.tokens_of(&job.prompt)?;
        let room = (self.context as usize).saturating_sub(prompt.len());
        if room == 0 {
            return Err(Unfinished::invalid(format!(
                "the prompt has {} tokens and the model's context {}",
                prompt.len(),
                self.context
            )));
        }
        let most_tokens = (job.max_tokens as usize).min(room);
        let mut run = Run::start(self, prompt.len().saturating_add(most_tokens))?;
        run.read(&prompt, limits)?;
        run.write(&mut sampler(job), most_tokens, job.max_bytes as usize, limits)
    }

    /// The prompt in its chat template, as tokens.
    fn tokens_of(&self, prompt: &str) -> Result<Vec<LlamaToken>, Unfinished> {
        // The template engine works on C strings. A zero byte means nothing in a question, so it is not worth
        // a refusal.
        let prompt = prompt.replace('\0', "\u{fffd}");
        let text = match &self.template {
            Some(template) => apply(&self.model, template, prompt).map_err(Unfinished::internal)?,
            None => prompt,
        };
        let tokens = self.model.vocab().tokenize(text.as_bytes(), true, true);
        if tokens.is_empty() {
            return Err(Unfinished::invalid("the prompt is empty"));
        }
        Ok(tokens)
    }
}

/// One generation under way: a context and where it stands.
struct Run<'a> {
    generator: &'a Generator,
    context: llama_cpp_2::context::LlamaContext<'a>,
    batch: LlamaBatch<'static>,
    position: i32,
}

impl<'a> Run<'a> {
    fn start(generator: &'a Generator, tokens: usize) -> Result<Self, Unfinished> {
        let size = u32::try_from(tokens).ok().and_then(NonZeroU32::new);
        let batch = u32::try_from(BATCH_TOKENS).unwrap_or(u32::MAX);
        let params = LlamaContextParams::default()
            .with_n_ctx(size)
            .with_n_batch(batch)
            .with_n_ubatch(batch)
            .with_n_threads(generator.threads)
            .with_n_threads_batch(generator.threads)
            .with_no_perf(true);
        let context = {
            let _one_at_a_time = generator.making_context.lock().unwrap_or_else(PoisonError::into_inner);
            generator.model.new_context(generator.backend, params)
        }
        .map_err(|error| {
            Unfinished::internal(format!("llama.cpp makes no context of {tokens} tokens: {error}"))
        })?;
        Ok(Self { generator, context, batch: LlamaBatch::new(BATCH_TOKENS, 1), position: 0 })
    }

    /// Takes in the prompt.
    fn read(&mut self, prompt: &[LlamaToken], limits: &Limits) -> Result<(), Unfinished> {
        for part in prompt.chunks(BATCH_TOKENS) {
            limits.check()?;
            self.decode(part)?;
        }
        Ok(())
    }

    /// Writes the answer, token by token.
    fn write(
        mut self,
        sampler: &mut LlamaSampler,
        most_tokens: usize,
        most_bytes: usize,
        limits: &Limits,
    ) -> Result<Generated, Unfinished> {
        let vocab = self.generator.model.vocab();
        let (mut bytes, mut tokens) = (Vec::new(), 0_u32);
        loop {
            let token = sampler.sample(&self.context, self.batch.n_tokens().saturating_sub(1));
            if vocab.is_eog(token) {
                break;
            }
            vocab.token_to_piece_into(token, &mut bytes, false, None);
            tokens = tokens.saturating_add(1);
            if tokens as usize >= most_tokens || bytes.trim_ascii_start().len() >= most_bytes {
                break;
            }
            limits.check()?;
            self.decode(&[token])?;
        }
        Ok(Generated { text: finish_text(&bytes, most_bytes), tokens })
    }

    /// One step of the model over `tokens`; the logits of the last one are then there to sample from.
    fn decode(&mut self, tokens: &[LlamaToken]) -> Result<(), Unfinished> {
        self.batch.clear();
        for (index, token) in tokens.iter().enumerate() {
            let last = index.saturating_add(1) == tokens.len();
            self.batch
                .add(*token, self.position, &[0], last)
                .map_err(|error| Unfinished::internal(format!("llama.cpp's batch: {error}")))?;
            self.position = self.position.saturating_add(1);
        }
        self.context
            .decode(&mut self.batch)
            .map_err(|error| Unfinished::internal(format!("llama.cpp does not decode: {error}")))
    }
}

/// Greedy at temperature 0, otherwise drawn from the whole distribution with the job's seed.
fn sampler(job: &GenerateJob) -> LlamaSampler {
    if job.temperature_milli == 0 {
        return LlamaSampler::greedy();
    }
    // llama.cpp reads the highest seed as "choose one at random", and results must repeat.
    let seed = if job.seed == u32::MAX { 0 } else { job.seed };
    let temperature = job.temperature_milli as f32 / 1000.0;
    LlamaSampler::chain_simple([LlamaSampler::temp(temperature), LlamaSampler::dist(seed)])
}

/// The bytes as text: broken UTF-8 replaced, an unfinished character at the end dropped, at most `most_bytes`
/// long, without white space at its ends.
fn finish_text(bytes: &[u8], most_bytes: usize) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        text.push_str(chunk.valid());
        let at_the_end = chunks.peek().is_none();
        if !chunk.invalid().is_empty() && !at_the_end {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    let text = text.trim_start();
    let text = text.get(..text.floor_char_boundary(most_bytes)).unwrap_or_default();
    text.trim_end().to_owned()
}

/// The model's chat template, if it has one that llama.cpp can apply.
fn usable_template(model: &LlamaModel, path: &Path) -> Option<LlamaChatTemplate> {
    let template = model.chat_template(None).ok()?;
    match apply(model, &template, "probe".to_owned()) {
        Ok(_) => Some(template),
        Err(error) => {
            tracing::warn!(model = %path.display(), error, "llama.cpp cannot use the chat template; prompts go in plain");
            None
        }
    }
}

fn apply(model: &LlamaModel, template: &LlamaChatTemplate, prompt: String) -> Result<String, String> {
    let message = LlamaChatMessage::new("user".to_owned(), prompt).map_err(|error| error.to_string())?;
    model.apply_chat_template(template, &[message], true).map_err(|error| format!("chat template: {error}"))
}

/// llama.cpp, started once per process, its log sent to `tracing`.
fn backend() -> Result<&'static LlamaBackend, String> {
    static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();
    let started = BACKEND.get_or_init(|| {
        llama_cpp_2::send_logs_to_tracing(LogOptions::default());
        LlamaBackend::init().map_err(|error| format!("llama.cpp does not start: {error}"))
    });
    started.as_ref().map_err(Clone::clone)
}

fn check_magic(path: &Path) -> Result<(), String> {
    let mut magic = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(4).read_to_end(&mut magic))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if magic == b"GGUF" {
        Ok(())
    } else {
        Err("is not a GGUF file".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(finish_text("  äöü ".as_bytes(), 100), "äöü");
        assert_eq!(finish_text("äöü".as_bytes(), 3), "ä");
        assert_eq!(finish_text(&"äöü".as_bytes()[..5], 100), "äö", "half a character at the end goes");
        assert_eq!(finish_text(b"a\xffb", 100), "a\u{fffd}b", "a broken byte in the middle shows");
        assert_eq!(finish_text(b"", 1), "");
    }

    proptest! {
        #[test]
        fn text_never_exceeds_its_limit(bytes: Vec<u8>, most in 0_usize..64) {
            let text = finish_text(&bytes, most);
            prop_assert!(text.len() <= most);
            prop_assert_eq!(text.trim(), &text);
        }
    }

    #[test]
    fn a_file_that_is_no_model_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.gguf");
        for content in ["not a model", "", "GG"] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(Generator::load(&path, 64, 1).unwrap_err(), "is not a GGUF file");
        }
        std::fs::write(&path, b"GGUF\x03\0\0\0 and nothing that follows the format").unwrap();
        assert!(Generator::load(&path, 64, 1).unwrap_err().starts_with("llama.cpp does not load it"));
    }
}
