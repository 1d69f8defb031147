//! Texts that overflow the stack of llama.cpp's tokenizers, or take them for ever: an error of that request, and the
//! model's process lives.

use crate::common::{ask, folder_with_models, pool, shelf};
use poq_primitives::job::FailureReason;
use poq_worker::{
    config::Settings,
    generator::{
        batcher::Batcher,
        bounds::{LONGEST_NUMBER, LONGEST_RUN},
        Generator, GeneratorOptions,
    },
    limits::{Cancel, Unfinished},
    pool::Presence,
    work::Generation,
};
use std::fs;

/// Tokens that the models of these tests hold: far more than a test sends.
const CONTEXT: u32 = 65_536;

/// Ways of splitting a text: those of common models, and those with the strangest regular expressions.
const PRE_TOKENIZERS: [&str; 14] = [
    "gpt-4o",
    "deepseek-v3",
    "deepseek-llm",
    "deepseek-coder",
    "tekken",
    "falcon",
    "default",
    "bloom",
    "superbpe",
    "exaone-moe",
    "tiny_aya",
    "afmoe",
    "qwen2",
    "gpt-2",
];

/// Offset of the value of `key`, behind its type.
fn value_of(gguf: &[u8], key: &str) -> usize {
    let place = gguf.windows(key.len()).position(|window| window == key.as_bytes()).unwrap();
    place + key.len() + 4
}

fn set_text(gguf: &mut Vec<u8>, key: &str, text: &str) {
    let at = value_of(gguf, key);
    let length = u64::from_le_bytes(gguf[at..at + 8].try_into().unwrap()) as usize;
    let value = [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    gguf.splice(at..at + 8 + length, value);
}

/// The demo model with another pre-tokenizer and room for long prompts.
fn with_pre_tokenizer(gguf: &[u8], name: &str) -> Vec<u8> {
    let (mut changed, length) = (gguf.to_vec(), gguf.len());
    set_text(&mut changed, "tokenizer.ggml.pre", name);
    let at = value_of(&changed, "llama.context_length");
    changed[at..at + 4].copy_from_slice(&CONTEXT.to_le_bytes());
    // The weights lie at multiples of 32 bytes: another text gives back what this one took.
    set_text(&mut changed, "general.description", "");
    let missing = length - changed.len();
    set_text(&mut changed, "general.description", &"x".repeat(missing));
    assert_eq!(changed.len(), length);
    changed
}

/// Texts of one kind each, of `length` characters.
fn texts(length: usize) -> Vec<String> {
    let rows = ["a", "A", "é", "漢", "7", " ", "\n", "\t", "=", "'", "🦀", "\u{301}"];
    let mixed = ["a7", "a=", "aB", "a ", "é漢", " \n", "7 ", "e\u{301}", "a's", "=\n"];
    let of_rows = rows.iter().map(|row| row.repeat(length));
    of_rows.chain(mixed.iter().map(|mixed| mixed.repeat(length / mixed.chars().count()))).collect()
}

/// In this process and on a small stack: a text that overflows it fails the test.
#[test]
fn no_text_overflows_the_stack() {
    let folder = folder_with_models();
    let gguf = fs::read(folder.path().join("models/poq-demo-strong.gguf")).unwrap();
    let file = folder.path().join("changed.gguf");
    let options =
        GeneratorOptions { context: CONTEXT, parallel: 1, threads: 1, gpu_layers: None, chat_template: None };
    let mut read = 0;
    for name in PRE_TOKENIZERS {
        fs::write(&file, with_pre_tokenizer(&gguf, name)).unwrap();
        let generator = Generator::load(&file, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut batcher = Batcher::new(&generator).unwrap();
        for text in texts(27_000).into_iter().chain(texts(LONGEST_RUN)).chain(texts(LONGEST_NUMBER)) {
            let begins: String = text.chars().take(4).collect();
            match batcher.add(0, &ask("", &text), Cancel::default()) {
                Ok(()) => read += 1,
                Err(Unfinished::Failed(error)) => {
                    assert_eq!(
                        error.code,
                        FailureReason::InvalidJob,
                        "{name}, {begins:?}: {}",
                        error.message
                    );
                }
                Err(Unfinished::TooLong(_)) => {}
                Err(other) => panic!("{name}, {begins:?}: {other:?}"),
            }
        }
    }
    assert!(read > PRE_TOKENIZERS.len() * 20, "{read} texts were read, and the others refused");
}

/// The very request that was seen to kill models.
#[tokio::test]
async fn a_long_word_is_an_error_of_its_request_only() {
    let folder = folder_with_models();
    let models = folder.path().join("models");
    let gguf = fs::read(models.join("poq-demo-strong.gguf")).unwrap();
    for name in ["gpt-4o", "deepseek-v3", "tekken", "falcon", "default"] {
        fs::write(models.join(format!("{name}.gguf")), with_pre_tokenizer(&gguf, name)).unwrap();
        let settings = Settings { context: CONTEXT, parallel: 1, ..Settings::default() };
        let pool = pool(folder.path(), settings);
        let model = shelf(folder.path()).named(name).unwrap().id.clone().unwrap();
        let ask = |text: &str| Generation { max_tokens: 1, ..ask(&model, text) };
        pool.generate(&ask("Hello"), None).await.unwrap();
        let Presence::Loaded { pid, .. } = pool.presence(&model) else { panic!("{name} is loaded") };
        let refused = pool.generate(&ask(&"a".repeat(27_000)), None).await;
        let Err(Unfinished::Failed(error)) = refused else { panic!("{name}: {refused:?}") };
        assert_eq!(error.code, FailureReason::InvalidJob, "{name}: {}", error.message);
        assert!(error.message.contains("in a row"), "{name}: {}", error.message);
        pool.generate(&ask("Hello again"), None).await.unwrap();
        assert!(matches!(pool.presence(&model), Presence::Loaded { pid: same, .. } if same == pid), "{name}");
    }
}
