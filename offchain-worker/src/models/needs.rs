//! The memory that a model is expected to take, before it was ever loaded.
//!
//! Afterwards the size of its process is known and counts instead. The estimate is the files, which are mapped or read
//! whole, and what the network works with, as far as its own files say how large it is: of a GGUF the key-value cache of
//! all contexts and the activations of a step, of an ONNX file the activations of a batch. It leaves out what a library
//! needs for itself, so it is rather too low than too high: a model is not refused that would have fitted.

use super::{
    gguf::Head,
    guess::CONFIG,
    manifest::{EvaluatorKind, Manifest},
    shelf::{read_at_most, Entry, ModelKind},
};
use crate::{
    config::Settings,
    evaluator::{precision, MAX_PROBE_TOKENS},
};
use serde::Deserialize;
use std::path::Path;

/// Bytes of a float of 32 bits, and of one of 16 bits.
const FLOAT: u64 = 4;
const HALF: u64 = 2;

/// Tokens of one step of llama.cpp.
const STEP_TOKENS: u64 = 512;

/// Largest `config.json` that is read, in bytes.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

/// The settings that decide how much memory a model takes.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Most tokens of prompt and answer of a generator.
    pub context: u32,
    /// Contexts of a generator.
    pub parallel: u32,
    /// Most tokens of a batch of an evaluator.
    pub batch_tokens: usize,
    /// The arithmetic that an evaluator may use.
    pub precision: precision::Precision,
}

impl Usage {
    /// The usage that these settings make.
    pub fn of(settings: &Settings) -> Self {
        Self {
            context: settings.context,
            parallel: settings.parallel,
            batch_tokens: settings.batch_tokens,
            precision: settings.score_precision,
        }
    }
}

/// Expected size of the model in memory, in bytes; at least that of its files.
pub fn estimate(entry: &Entry, usage: &Usage) -> u64 {
    let more = match (entry.kind, &entry.manifest) {
        (ModelKind::Generator, _) => {
            let size = |head| llama(&head, u64::from(usage.context), usage.parallel, STEP_TOKENS);
            Head::read(&entry.path).map_or(0, size)
        }
        (ModelKind::Evaluator, Some(manifest)) if manifest.kind.is_gguf() => {
            let (head, tokens) = (Head::read(&entry.path.join(&manifest.model)), manifest.max_tokens as u64);
            // A classifier reads all of its prompt in one step.
            let step = if manifest.kind == EvaluatorKind::Classifier { tokens } else { STEP_TOKENS };
            head.map_or(0, |head| llama(&head, tokens, 1, step))
        }
        (ModelKind::Evaluator, Some(manifest)) => encoder(&entry.path, entry.bytes, manifest, usage),
        (ModelKind::Evaluator, None) => 0,
    };
    entry.bytes.saturating_add(more)
}

/// Key-value cache, activations of a step of at most `step` tokens, and logits, as llama.cpp makes them for a GGUF of the usual kind.
fn llama(head: &Head, context: u64, parallel: u32, step: u64) -> u64 {
    let parallel = u64::from(parallel.max(1));
    let number = |name: &str| head.number(name).unwrap_or(0);
    let context = head.number("context_length").map_or(context, |trained| context.min(trained.max(1)));
    let (embedding, heads) = (number("embedding_length"), number("attention.head_count"));
    let head_size = embedding.checked_div(heads).unwrap_or(0);
    let key = head.number("attention.key_length").unwrap_or(head_size);
    let value = head.number("attention.value_length").unwrap_or(head_size);
    let kv_heads = head.number("attention.head_count_kv").unwrap_or(heads);
    let per_token = product(&[number("block_count"), kv_heads, key.saturating_add(value), HALF]);
    let cache = product(&[context, parallel, per_token]);
    let widths = product(&[4, embedding]).saturating_add(product(&[2, number("feed_forward_length")]));
    let activations = product(&[context.min(step), widths, FLOAT]);
    let logits = product(&[parallel, head.vocabulary(), FLOAT]);
    cache.saturating_add(activations).saturating_add(logits)
}

/// Activations of the largest input that is run when an evaluator is loaded, or of a batch, and the weights once more
/// where OpenVINO is measured beside ONNX Runtime.
fn encoder(folder: &Path, bytes: u64, manifest: &Manifest, usage: &Usage) -> u64 {
    let twice = precision::is_tried(usage.precision, bytes);
    let weights = if twice { bytes } else { 0 };
    let row = manifest.max_tokens.min(MAX_PROBE_TOKENS) as u64;
    let tokens = row.max(usage.batch_tokens.min(MAX_PROBE_TOKENS) as u64);
    let sizes = Sizes::read(folder).unwrap_or_default();
    let widths = product(&[4, sizes.hidden_size]).saturating_add(product(&[2, sizes.intermediate_size]));
    let activations = product(&[tokens, widths, FLOAT]);
    let attention = product(&[sizes.num_attention_heads, row, row, FLOAT]);
    weights.saturating_add(activations).saturating_add(attention)
}

/// Sizes of a network, as its `config.json` has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sizes {
    hidden_size: u64,
    intermediate_size: u64,
    num_attention_heads: u64,
}

impl Sizes {
    fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&read_at_most(&folder.join(CONFIG), MAX_CONFIG_BYTES).ok()?).ok()
    }
}

fn product(factors: &[u64]) -> u64 {
    factors.iter().fold(1, |product, factor| product.saturating_mul(*factor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::shelf::Shelf;
    use std::fs;

    fn usage() -> Usage {
        Usage { context: 4096, parallel: 4, batch_tokens: 512, precision: precision::Precision::Fp32 }
    }

    fn demo(name: &str) -> Entry {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        let cache = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(models, cache.path().join("digests.json"));
        shelf.scan();
        Entry::clone(&shelf.named(name).unwrap())
    }

    #[test]
    fn a_generator_takes_its_contexts_besides_its_weights() {
        let entry = demo("poq-demo-strong");
        let head = Head::read(&entry.path).unwrap();
        let trained = u32::try_from(head.number("context_length").unwrap()).unwrap();
        let with = |context, parallel| estimate(&entry, &Usage { context, parallel, ..usage() });
        assert!(with(64, 1) > entry.bytes);
        // A context more is the cache of its tokens more, and a row of logits.
        let layers = head.number("block_count").unwrap();
        let width = head.number("embedding_length").unwrap() / head.number("attention.head_count").unwrap();
        let kv_heads = head.number("attention.head_count_kv").unwrap();
        let cache = 64 * layers * kv_heads * 2 * width * HALF;
        assert_eq!(with(64, 3) - with(64, 2), cache + head.vocabulary() * FLOAT);
        assert_eq!(with(trained, 4), with(trained + 1, 4), "no more tokens than it was trained on");
        assert!(with(trained, 4) > with(trained - 1, 4));
    }

    #[test]
    fn an_evaluator_takes_what_its_config_says() {
        let folder = tempfile::tempdir().unwrap();
        let mut entry = demo("poq-demo-evaluator");
        assert_eq!(estimate(&entry, &usage()), entry.bytes, "nothing is known of its sizes");
        entry.path = folder.path().to_owned();
        let config = r#"{"hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 12}"#;
        fs::write(folder.path().join(CONFIG), config).unwrap();
        entry.manifest.as_mut().unwrap().max_tokens = 512;
        let work = 512 * (4 * 384 + 2 * 1536) * FLOAT + 12 * 512 * 512 * FLOAT;
        assert_eq!(estimate(&entry, &usage()), entry.bytes + work);
        for odd in ["{}", "[]", "no json", r#"{"hidden_size": -1}"#] {
            fs::write(folder.path().join(CONFIG), odd).unwrap();
            assert_eq!(estimate(&entry, &usage()), entry.bytes, "{odd}");
        }
        entry.bytes = precision::LEAST_BYTES;
        let auto = Usage { precision: precision::Precision::Auto, ..usage() };
        let times = if precision::has_bf16() { 2 } else { 1 };
        let least = estimate(&entry, &auto);
        // Without a library nothing is tried.
        assert!(least == times * entry.bytes || least == entry.bytes);
    }

    #[test]
    fn what_cannot_be_read_counts_as_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.gguf");
        fs::write(&path, "GGUF and nonsense").unwrap();
        let entry = Entry { path, bytes: 17, ..demo("poq-demo-weak") };
        assert_eq!(estimate(&entry, &usage()), 17);
    }
}
