//! Whether a GGUF can answer conversations at all.
//!
//! llama.cpp also loads networks that make vectors of texts, score pairs of texts, or fill gaps. They have logits like any
//! other, and what is drawn from them looks like a bad answer.

/// Key of a model's chat template.
pub const CHAT_TEMPLATE: &str = "tokenizer.chat_template";

/// Key of a model's architecture.
pub const ARCHITECTURE: &str = "general.architecture";

/// Architectures whose networks do not write a text token by token, or need more than a text to do it.
const OTHERS: [&str; 17] = [
    "bert",
    "clip",
    "dream",
    "eurobert",
    "gemma-embedding",
    "jina-bert-v2",
    "jina-bert-v3",
    "llada",
    "llada-moe",
    "modern-bert",
    "neo-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "rnd1",
    "t5",
    "t5encoder",
    "wavtokenizer-dec",
];

/// Checks what the file says of the network: `value` gives what stands under a key, numbers and truth values as text.
/// The error is one line, and says what to do.
pub fn check(value: &dyn Fn(&str) -> Option<String>) -> Result<(), String> {
    let architecture = value(ARCHITECTURE).unwrap_or_default();
    let of_network = |key: &str| value(&format!("{architecture}.{key}"));
    let why = if OTHERS.contains(&architecture.as_str()) {
        format!("its architecture is {architecture}")
    } else if of_network("attention.causal").as_deref() == Some("false") {
        "its attention is not causal".to_owned()
    } else if of_network("pooling_type").is_some_and(|pooling| !matches!(pooling.as_str(), "0" | "-1")) {
        "it pools its outputs".to_owned()
    } else {
        return Ok(());
    };
    Err(format!(
        "is no generator: {why}, as of a network that makes vectors or scores of texts and does not answer; take a model \
         made for chat, or, to score answers, add the network's ONNX file as an evaluator, or a folder with this file and a \
         poq.json of the kind classifier"
    ))
}

/// Error of a model whose own template does not work: `error` and the remedy.
pub fn template_fault(error: String) -> String {
    format!(
        "{error}; the model's own template does not work here: give it another with chat_template_file in \
         [generator.\"NAME\"] of the configuration"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_writes_texts_is_a_generator() {
        let checked = |pairs: &[(&str, &str)]| {
            check(&|key| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned()))
        };
        let llama = (ARCHITECTURE, "llama");
        for good in [
            &[llama][..],
            &[],
            &[llama, ("llama.attention.causal", "true")],
            &[llama, ("llama.pooling_type", "0")],
            &[llama, ("bert.pooling_type", "1")],
        ] {
            assert_eq!(checked(good), Ok(()), "{good:?}");
        }
        for bad in [
            &[(ARCHITECTURE, "nomic-bert")][..],
            &[(ARCHITECTURE, "t5")],
            &[llama, ("llama.attention.causal", "false")],
            &[llama, ("llama.pooling_type", "3")],
        ] {
            let error = checked(bad).unwrap_err();
            assert!(error.starts_with("is no generator") && !error.contains('\n'), "{error}");
        }
    }
}
