//! Generators: GGUF models run by llama.cpp.
//!
//! [`Generator`] is a loaded model that knows how to turn a conversation into tokens; [`batcher::Batcher`] makes
//! several answers with it at a time.

pub mod batcher;
pub mod bounds;
pub mod count;
pub mod template;

use crate::{
    limits::{LengthUnit, TooLong, Unfinished},
    work::{Generation, Message},
};
use llama_cpp_2::{
    llama_backend::LlamaBackend,
    model::{params::LlamaModelParams, LlamaModel},
    token::LlamaToken,
    LogOptions,
};
use serde::{Deserialize, Serialize};
use std::{io::Read as _, path::Path, sync::OnceLock};
use template::Template;

/// How a generator is loaded and run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratorOptions {
    /// Most tokens of prompt and answer together; a model trained on fewer keeps its own limit.
    pub context: u32,
    /// Answers made at the same time, at least 1. Each has a context of its own.
    pub parallel: u32,
    /// Threads of the processor.
    pub threads: usize,
    /// Layers that go to the GPU; `None` takes all, if there is one that this build can use.
    pub gpu_layers: Option<u32>,
    /// A Jinja chat template that is used instead of the model's own.
    pub chat_template: Option<String>,
}

/// Tokens of a prompt, and the most tokens to generate.
pub type Prompt = (Vec<LlamaToken>, usize);

/// A loaded generator.
#[derive(Debug)]
pub struct Generator {
    backend: &'static LlamaBackend,
    model: LlamaModel,
    template: Template,
    /// Text that a template may begin with although the tokenizer puts the token there as well.
    begin: Option<String>,
    /// Most bytes of a prompt.
    most_bytes: usize,
    context: u32,
    parallel: u32,
    threads: i32,
}

impl Generator {
    /// Loads the GGUF file `path`. Errors are one line for people.
    pub fn load(path: &Path, options: &GeneratorOptions) -> Result<Self, String> {
        check_magic(path)?;
        let backend = backend()?;
        let params = options.gpu_layers.map_or_else(LlamaModelParams::default, |layers| {
            LlamaModelParams::default().with_n_gpu_layers(layers)
        });
        let model = LlamaModel::load_from_file(backend, path, &params)
            .map_err(|error| format!("llama.cpp does not load it: {error}"))?;
        let trained = model.n_ctx_train();
        let context = if trained == 0 { options.context } else { options.context.min(trained) };
        let template = template_of(&model, options, path)?;
        let begin = model.vocab().should_add_bos().then(|| token_text(&model, model.vocab().bos()));
        let most_bytes = bounds::most_bytes(context as usize, longest_token(&model));
        Ok(Self {
            backend,
            model,
            template,
            begin: begin.filter(|text| !text.is_empty()),
            most_bytes,
            context,
            parallel: options.parallel.max(1),
            threads: i32::try_from(options.threads).unwrap_or(i32::MAX),
        })
    }

    /// Most tokens of prompt and answer together.
    pub fn context(&self) -> u32 {
        self.context
    }

    /// Most bytes of a prompt: no longer one has few enough tokens.
    pub fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    /// Number of parameters.
    pub fn parameters(&self) -> u64 {
        self.model.n_params()
    }

    /// Whether conversations go through a chat template (otherwise they go in plain).
    pub fn has_template(&self) -> bool {
        self.template.is_jinja()
    }

    /// The prompt of `work`.
    ///
    /// Texts of control tokens inside a message (`<|im_end|>` and the like) are taken as the characters that they
    /// are: who asks cannot speak for the model.
    pub fn prompt_of(&self, work: &Generation) -> Result<Prompt, Unfinished> {
        if work.max_tokens == 0 || work.max_bytes == 0 {
            return Err(Unfinished::invalid("max_tokens and max_bytes are at least 1"));
        }
        if !(work.temperature >= 0.0 && work.temperature.is_finite() && work.top_p > 0.0 && work.top_p <= 1.0)
        {
            return Err(Unfinished::invalid("temperature is at least 0; top_p is above 0 and at most 1"));
        }
        // The tokenizer works on C strings. A zero byte means nothing in a question, so it is not worth a refusal.
        let clean = |message: &Message| Message {
            role: message.role,
            content: message.content.replace('\0', "\u{fffd}"),
        };
        let messages: Vec<Message> = work.messages.iter().map(clean).collect();
        let check = |text: &str| {
            self.check_length(text.len(), false, self.most_bytes, LengthUnit::Bytes)?;
            bounds::check(text).map_err(Unfinished::invalid)
        };
        messages.iter().try_for_each(|message| check(&message.content))?;
        let text = self.template.apply(&messages).map_err(Unfinished::invalid)?;
        let text = self.begin.as_deref().and_then(|begin| text.strip_prefix(begin)).unwrap_or(&text);
        check(text)?;
        let tokens = bounds::with_stack_for(text.chars().count(), || self.tokens_of(text, &messages))
            .map_err(|error| Unfinished::internal(format!("the prompt cannot be tokenized: {error}")))??;
        if tokens.is_empty() {
            return Err(Unfinished::invalid("the prompt is empty"));
        }
        let room = (self.context as usize).saturating_sub(tokens.len());
        if room == 0 {
            // The context has to hold one token of the answer as well.
            let most = (self.context as usize).saturating_sub(1);
            self.check_length(tokens.len(), false, most, LengthUnit::Tokens)?;
        }
        Ok((tokens, room.min(work.max_tokens as usize)))
    }

    /// An error if a prompt of this length, or more, is longer than `most`.
    fn check_length(
        &self,
        length: usize,
        and_more: bool,
        most: usize,
        unit: LengthUnit,
    ) -> Result<(), Unfinished> {
        if length <= most {
            return Ok(());
        }
        Err(Unfinished::TooLong(TooLong { length: length as u64, and_more, most: most as u64, unit }))
    }

    /// `text` as tokens, with the control tokens that the template wrote and without those that a message spells.
    fn tokens_of(&self, text: &str, messages: &[Message]) -> Result<Vec<LlamaToken>, Unfinished> {
        let vocab = self.model.vocab();
        let most = (self.context as usize).saturating_sub(1);
        let count = |slice: &str| vocab.tokenize(slice.as_bytes(), false, false).len();
        if let Some(counted) = count::more_than(text, most, count) {
            self.check_length(counted, true, most, LengthUnit::Tokens)?;
        }
        let spells_control = |content: &str| {
            vocab.tokenize(content.as_bytes(), false, true)
                != vocab.tokenize(content.as_bytes(), false, false)
        };
        if !messages.iter().any(|message| spells_control(&message.content)) {
            return Ok(vocab.tokenize(text.as_bytes(), true, true));
        }
        let mut tokens = Vec::new();
        let (mut rest, mut first) = (text, true);
        let mut add = |part: &str, parse: bool| {
            if !part.is_empty() {
                tokens.extend(vocab.tokenize(part.as_bytes(), std::mem::take(&mut first), parse));
            }
        };
        for message in messages {
            let content = message.content.trim();
            let (before, after) = rest.split_once(content).ok_or_else(|| {
                Unfinished::invalid("a message spells one of the model's control tokens, and its chat template does not keep messages as they are")
            })?;
            add(before, true);
            add(content, false);
            rest = after;
        }
        add(rest, true);
        Ok(tokens)
    }
}

/// The template given for the model, or its own, or the plain form. A template of its own that does not work is
/// logged and left; one that was given is an error.
fn template_of(model: &LlamaModel, options: &GeneratorOptions, path: &Path) -> Result<Template, String> {
    let (bos, eos) = (token_text(model, model.vocab().bos()), token_text(model, model.vocab().eos()));
    if let Some(source) = &options.chat_template {
        return Template::jinja(source, &bos, &eos);
    }
    let Ok(own) = model.meta_val_str("tokenizer.chat_template") else { return Ok(Template::plain()) };
    Ok(Template::jinja(&own, &bos, &eos).unwrap_or_else(|error| {
        tracing::warn!(model = %path.display(), error, "the chat template does not work; prompts go in plain");
        Template::plain()
    }))
}

fn token_text(model: &LlamaModel, token: LlamaToken) -> String {
    if token.0 < 0 {
        return String::new();
    }
    model.vocab().text(token).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Bytes of the longest token of the vocabulary, as it is written there: no less than the bytes of text that it stands for.
fn longest_token(model: &LlamaModel) -> usize {
    let vocab = model.vocab();
    let texts = (0..vocab.n_tokens()).filter_map(|token| vocab.text(LlamaToken(token)));
    texts.map(|text| text.to_bytes().len()).max().unwrap_or(0)
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

    fn options() -> GeneratorOptions {
        GeneratorOptions { context: 64, parallel: 1, threads: 1, gpu_layers: None, chat_template: None }
    }

    #[test]
    fn a_file_that_is_no_model_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.gguf");
        for content in ["not a model", "", "GG"] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(Generator::load(&path, &options()).unwrap_err(), "is not a GGUF file");
        }
        std::fs::write(&path, b"GGUF\x03\0\0\0 and nothing that follows the format").unwrap();
        assert!(Generator::load(&path, &options()).unwrap_err().starts_with("llama.cpp does not load it"));
    }
}
