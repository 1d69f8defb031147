//! Generators: GGUF models run by llama.cpp.
//!
//! [`Generator`] is a loaded model that knows how to turn a conversation into tokens; [`batcher::Batcher`] makes
//! several answers with it at a time.

pub mod batcher;
pub mod bounds;
pub mod count;
pub mod disguise;
pub mod fitness;
pub mod grammar;
mod integers;
mod picker;
pub mod prompt;
pub mod schema;
pub mod specials;
pub mod template;
pub mod tools;

use crate::{
    limits::{LengthUnit, TooLong, Unfinished},
    work::Generation,
};
use llama_cpp_2::{
    llama_backend::LlamaBackend,
    model::{params::LlamaModelParams, LlamaModel},
    token::LlamaToken,
    LogOptions, MetaValError,
};
use prompt::{Part, Prompter};
use serde::{Deserialize, Serialize};
use specials::Specials;
use std::{io::Read as _, path::Path, sync::OnceLock};
use template::Template;

/// Settings of a loaded generator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratorOptions {
    /// Most tokens of prompt and answer together; capped by the model's training context.
    pub context: u32,
    /// Answers generated at the same time, at least 1. Each has a context of its own.
    pub parallel: u32,
    /// Processor threads.
    pub threads: usize,
    /// Layers placed on the GPU; `None`: all, if this build can use a GPU.
    pub gpu_layers: Option<u32>,
    /// Jinja chat template that replaces the model's own.
    pub chat_template: Option<String>,
}

/// Tokens of a prompt, and the most tokens to generate.
pub type Prompt = (Vec<LlamaToken>, usize);

/// A loaded generator.
#[derive(Debug)]
pub struct Generator {
    backend: &'static LlamaBackend,
    model: LlamaModel,
    prompter: Prompter,
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
        fitness::check(&|key| metadata(&model, key))?;
        let trained = model.n_ctx_train();
        let context = if trained == 0 { options.context } else { options.context.min(trained) };
        let prompter = Prompter::new(template_of(&model, options)?, Specials::of(&model.vocab()));
        let most_bytes = bounds::most_bytes(context as usize, longest_token(&model));
        Ok(Self {
            backend,
            model,
            prompter,
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
        self.prompter.template().is_jinja()
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
        let check = |text: &str| {
            check_length(text.len(), false, self.most_bytes, LengthUnit::Bytes)?;
            bounds::check(text).map_err(Unfinished::invalid)
        };
        work.messages.iter().try_for_each(|message| check(&message.content))?;
        let parts = self.prompter.write(work).map_err(Unfinished::invalid)?;
        let text: String = parts.iter().map(Part::text).collect();
        check(&text)?;
        let tokens = bounds::with_stack_for(text.chars().count(), || self.tokens_of(&parts))
            .map_err(|error| Unfinished::internal(format!("the prompt cannot be tokenized: {error}")))??;
        if tokens.is_empty() {
            return Err(Unfinished::invalid("the prompt is empty"));
        }
        let room = (self.context as usize).saturating_sub(tokens.len());
        if room == 0 {
            // The context has to hold one token of the answer as well.
            let most = (self.context as usize).saturating_sub(1);
            check_length(tokens.len(), false, most, LengthUnit::Tokens)?;
        }
        Ok((tokens, room.min(work.max_tokens as usize)))
    }

    /// The tokens of a prompt. The one that begins a text is put first if the model wants it there and the template did
    /// not write it; the one that ends a text is not put last, even if the model asks for it: the answer comes there. A
    /// prompt that is far too long is counted only until that is certain.
    fn tokens_of(&self, parts: &[Part]) -> Result<Vec<LlamaToken>, Unfinished> {
        let vocab = self.model.vocab();
        let most = (self.context as usize).saturating_sub(1);
        let count = |slice: &str| vocab.tokenize(slice.as_bytes(), false, false).len();
        let begin = Some(vocab.bos()).filter(|bos| vocab.should_add_bos() && bos.0 >= 0);
        let begun =
            matches!((parts.first(), begin), (Some(Part::Token(first)), Some(begin)) if *first == begin);
        let mut tokens: Vec<LlamaToken> = begin.filter(|_| !begun).into_iter().collect();
        for part in parts {
            // Of many short messages no more is counted than of a long one.
            if tokens.len() > most.saturating_mul(2) {
                check_length(tokens.len(), true, most, LengthUnit::Tokens)?;
            }
            match part {
                Part::Token(token) => tokens.push(*token),
                Part::Text(text) => {
                    // The tokenizer works on C strings. A zero byte means nothing in a question, so it is not worth a refusal.
                    let text = text.replace('\0', "\u{fffd}");
                    let before = tokens.len();
                    if let Some(counted) = count::more_than(&text, most.saturating_sub(before), count) {
                        check_length(before.saturating_add(counted), true, most, LengthUnit::Tokens)?;
                    }
                    tokens.extend(vocab.tokenize(text.as_bytes(), false, false));
                }
            }
        }
        Ok(tokens)
    }
}

/// An error if a prompt of this length, or more, is longer than `most`.
fn check_length(length: usize, and_more: bool, most: usize, unit: LengthUnit) -> Result<(), Unfinished> {
    if length <= most {
        return Ok(());
    }
    Err(Unfinished::TooLong(TooLong { length: length as u64, and_more, most: most as u64, unit }))
}

/// The template given for the model, or its own, or the plain form if it has none. One that does not work is an error.
fn template_of(model: &LlamaModel, options: &GeneratorOptions) -> Result<Template, String> {
    let (bos, eos) = (token_text(model, model.vocab().bos()), token_text(model, model.vocab().eos()));
    if let Some(source) = &options.chat_template {
        return Template::jinja(source, &bos, &eos);
    }
    match model.meta_val_str(fitness::CHAT_TEMPLATE) {
        Ok(own) => Template::jinja(&own, &bos, &eos).map_err(fitness::template_fault),
        Err(MetaValError::NegativeReturn(_)) => Ok(Template::plain()),
        Err(error) => Err(fitness::template_fault(format!("chat template: {error}"))),
    }
}

/// Value of a metadata key of the model's file.
fn metadata(model: &LlamaModel, key: &str) -> Option<String> {
    model.meta_val_str(key).ok()
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
pub(crate) fn backend() -> Result<&'static LlamaBackend, String> {
    static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();
    let started = BACKEND.get_or_init(|| {
        llama_cpp_2::send_logs_to_tracing(LogOptions::default());
        LlamaBackend::init().map_err(|error| format!("llama.cpp does not start: {error}"))
    });
    started.as_ref().map_err(Clone::clone)
}

/// Whether the file begins as a GGUF does. The error is one line.
pub(crate) fn check_magic(path: &Path) -> Result<(), String> {
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
    use crate::work::{Extras, Message, Role};

    /// The least that can be asked with these messages.
    pub(super) fn asking(messages: Vec<Message>) -> Generation {
        Generation {
            model: String::new(),
            messages,
            max_tokens: 1,
            max_bytes: 1,
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
            stop: Vec::new(),
            extras: Extras::default(),
        }
    }

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

    #[test]
    fn a_prompt_without_quoted_control_tokens_is_read_as_llama_cpp_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        crate::demo::install_demo_models(folder.path()).unwrap();
        let generator = Generator::load(
            &folder.path().join("poq-demo-strong.gguf"),
            &GeneratorOptions { context: 512, ..options() },
        )
        .unwrap();
        for texts in
            [&["Why?"][..], &["  Hi \n", " there\n\nI am ", "x  "], &["é 1234 <think>a</think>", "", "<|im_"]]
        {
            let roles = [Role::User, Role::Assistant].into_iter().cycle();
            let messages: Vec<Message> =
                roles.zip(texts).map(|(role, text)| Message::new(role, *text)).collect();
            let text = generator.prompter.template().apply(messages.as_slice().into()).unwrap();
            let (tokens, _) = generator.prompt_of(&asking(messages)).unwrap();
            assert_eq!(tokens, generator.model.vocab().tokenize(text.as_bytes(), true, true), "{texts:?}");
        }
    }
}
