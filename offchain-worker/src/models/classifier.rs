//! Whether llama.cpp can judge with a GGUF's classification head.

use super::{
    gguf::Head,
    manifest::{Classes, MANIFEST},
};
use crate::text::shortened;
use std::path::Path;

/// Most characters of an architecture's name that are repeated.
const LONGEST_NAME: usize = 40;

/// The head's last matrix.
const OUTPUT: &str = "cls.output.weight";

/// Architectures whose heads llama.cpp runs.
const RUN: [&str; 5] = ["bert", "modern-bert", "neo-bert", "qwen3", "qwen3vl"];

/// Those of which it gives the probabilities of the classes, and not their logits.
const PROBABILITIES: [&str; 2] = ["qwen3", "qwen3vl"];

/// A classification head, as far as scores depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classifier {
    /// Number of its outputs, at least 1.
    pub outputs: usize,
    /// Whether they are probabilities and not logits.
    pub probabilities: bool,
}

/// The classification head of the GGUF file `path`. The error, in one line, says why it cannot judge, or why it does not go
/// with the `classes` of a manifest.
pub fn check(path: &Path, classes: Option<&Classes>) -> Result<Classifier, String> {
    let head = Head::read(path).map_err(|error| format!("it cannot be read as a GGUF: {error}"))?;
    let architecture = shortened(head.value("general.architecture").unwrap_or_default(), LONGEST_NAME, 1);
    if !RUN.contains(&architecture.as_str()) {
        return Err(format!(
            "llama.cpp runs the classification heads of {} and not of {architecture:?}; add the network's ONNX file as a \
             cross_encoder",
            RUN.join(", ")
        ));
    }
    // Of several files another one may have it.
    let whole = head.value("split.count").is_none_or(|parts| parts == "1");
    if whole && !head.has_classifier(OUTPUT) {
        return Err(format!(
            "it has no classification head ({OUTPUT}); take a file that was made of a reranker or reward model, or, if it \
             writes texts, say \"kind\": \"causal\" in {MANIFEST}"
        ));
    }
    let probabilities = PROBABILITIES.contains(&architecture.as_str());
    let outputs = usize::try_from(head.classifier_outputs()).unwrap_or(usize::MAX);
    match (outputs, classes.map(|classes| classes.labels.len())) {
        (1, _) if probabilities => Err(format!(
            "its head has one output, and of {architecture} llama.cpp gives the softmax, which is then 1 for everything; \
             add the network's ONNX file as a cross_encoder"
        )),
        (1, None) => Ok(Classifier { outputs, probabilities }),
        (outputs, Some(labels)) if labels == outputs => Ok(Classifier { outputs, probabilities }),
        (outputs, Some(labels)) => {
            Err(format!("its head has {outputs} outputs, and {MANIFEST} names {labels} labels"))
        }
        (outputs, None) => Err(format!(
            "its head has {outputs} outputs; name them in {MANIFEST}, in their order, and the one that counts (\"classes\")"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/shapes").join(name).join("model.gguf")
    }

    fn labels(count: usize) -> Classes {
        Classes { labels: (0..count).map(|n| n.to_string()).collect(), score: "1".to_owned() }
    }

    #[test]
    fn heads_are_told_from_what_is_none() {
        let one = Classifier { outputs: 1, probabilities: false };
        assert_eq!(check(&shape("bert-head"), None), Ok(one));
        assert!(check(&shape("bert-head"), Some(&labels(2))).unwrap_err().contains("names 2 labels"));
        let two = Classifier { outputs: 2, probabilities: true };
        assert_eq!(check(&shape("qwen3-head"), Some(&labels(2))), Ok(two));
        assert!(check(&shape("qwen3-head"), Some(&labels(3))).unwrap_err().contains("has 2 outputs"));
        assert!(check(&shape("qwen3-head"), None).unwrap_err().contains("\"classes\""));
        let none = check(&shape("qwen3-reranker"), None).unwrap_err();
        assert!(none.contains("no classification head") && none.contains("causal"), "{none}");
        let folder = tempfile::tempdir().unwrap();
        crate::demo::install_demo_models(folder.path()).unwrap();
        let demo = check(&folder.path().join("poq-demo-strong.gguf"), None).unwrap_err();
        assert!(demo.contains("and not of") && demo.lines().count() == 1, "{demo}");
        // A reward model of this architecture: its one output would be 1 for everything.
        let bytes = std::fs::read(shape("qwen3-head")).unwrap();
        let key = b"classifier.output_labels";
        let at = bytes.windows(key.len()).position(|window| window == key).unwrap();
        let mut reward = bytes;
        reward[at] = b'x';
        let path = folder.path().join("reward.gguf");
        std::fs::write(&path, reward).unwrap();
        assert!(check(&path, None).unwrap_err().contains("1 for everything"));
    }
}
