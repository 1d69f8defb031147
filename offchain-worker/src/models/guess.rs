//! Facts about an evaluator's network, from the files that its author put beside it.

use super::{
    manifest::{Classes, EvaluatorKind, Pooling, DEFAULT_MAX_TOKENS},
    weights::numbers_from_two,
};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

/// The network's own description.
pub const CONFIG: &str = "config.json";

/// The tokenizer's description.
pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// The steps of a network that makes vectors.
pub const MODULES: &str = "modules.json";

/// Pooling of such a network: how it makes one vector of many.
pub const POOLING: &str = "1_Pooling/config.json";

/// The label whose probability is the score unless another one is named.
const ENTAILMENT: &str = "entailment";

/// Longer inputs than this are no limit: authors write 10^30 for "none".
const LONGEST: usize = 1_000_000;

/// Contents of the files.
#[derive(Clone, Debug, Default)]
pub struct Guess {
    config: Option<Value>,
    tokenizer_config: Option<Value>,
    pooling: Option<Value>,
    makes_vectors: bool,
    /// Tokens at which the tokenizer cuts.
    truncation: Option<usize>,
}

impl Guess {
    /// Reads the descriptions, which are given by their path in the evaluator's folder, and the tokenizer. A file
    /// that is there but is no JSON is an error.
    pub fn read(descriptions: &BTreeMap<String, PathBuf>, tokenizer: Option<&Path>) -> Result<Self, String> {
        let described = |name: &str| descriptions.get(name).map(|path| json::<Value>(name, path)).transpose();
        let pooling = described(POOLING)?;
        Ok(Self {
            config: described(CONFIG)?,
            tokenizer_config: described(TOKENIZER_CONFIG)?,
            makes_vectors: pooling.is_some() || descriptions.contains_key(MODULES),
            pooling,
            truncation: tokenizer.map(truncation).transpose()?.flatten(),
        })
    }

    /// Kind of the network; an error if the files do not say it.
    pub fn kind(&self) -> Result<EvaluatorKind, String> {
        let architectures = self.config.as_ref().and_then(|config| config.get("architectures")?.as_array());
        let classifies =
            |name: &Value| name.as_str().is_some_and(|name| name.ends_with("ForSequenceClassification"));
        if architectures.is_some_and(|names| names.iter().any(classifies)) {
            return Ok(EvaluatorKind::CrossEncoder);
        }
        if self.makes_vectors {
            return Ok(EvaluatorKind::BiEncoder);
        }
        Err(format!(
            "neither {CONFIG} nor {MODULES} says what the network is; say --kind cross-encoder if it takes question \
             and answer together, or --kind bi-encoder if it makes a vector of a text"
        ))
    }

    /// The classes of a cross-encoder, if the score is the probability of one of them: of `score`, or else of the one that
    /// is called entailment. `None` where the network gives one logit, or two classes (no, yes). Fails where it has others
    /// and none is named.
    pub fn classes(&self, score: Option<&str>) -> Result<Option<Classes>, String> {
        let labels = self.labels();
        let named = |wanted: &str| labels.iter().find(|label| label.eq_ignore_ascii_case(wanted));
        let chosen = match score {
            Some(wanted) => Some(named(wanted).ok_or_else(|| {
                format!("{CONFIG} has no label {wanted:?}; its labels are: {}", listed(&labels))
            })?),
            None => named(ENTAILMENT),
        };
        match chosen {
            Some(score) if labels.len() > 1 => {
                Ok(Some(Classes { score: score.clone(), labels: labels.clone() }))
            }
            _ if labels.len() < 3 => Ok(None),
            _ => Err(format!(
                "the network has {} labels ({}); say with --score-label which one's probability is the score",
                labels.len(),
                listed(&labels)
            )),
        }
    }

    /// The names of the network's outputs, in their order; none if its description does not number them from 0 on.
    fn labels(&self) -> Vec<String> {
        let described = self.config.as_ref().and_then(|config| config.get("id2label")?.as_object());
        let Some(labels) = described else { return Vec::new() };
        let label = |number: usize| labels.get(&number.to_string())?.as_str().map(str::to_owned);
        (0..labels.len()).map(label).collect::<Option<_>>().unwrap_or_default()
    }

    /// Most tokens of one input: where the tokenizer cuts, else what its description says, else the network's
    /// positions; 512 if nothing is said. Never more than the network has positions.
    pub fn max_tokens(&self) -> usize {
        let described =
            self.tokenizer_config.as_ref().and_then(|config| count(config.get("model_max_length")?));
        let positions = self.positions();
        let said = self.truncation.or(described).or(positions).unwrap_or(DEFAULT_MAX_TOKENS);
        said.min(positions.unwrap_or(said))
    }

    /// Pooling of a bi-encoder: the mean unless the files say otherwise.
    pub fn pooling(&self) -> Result<Pooling, String> {
        let Some(Value::Object(fields)) = &self.pooling else { return Ok(Pooling::default()) };
        let modes: Vec<&str> = fields
            .iter()
            .filter(|(name, value)| name.starts_with("pooling_mode_") && value.as_bool() == Some(true))
            .map(|(name, _)| name.as_str())
            .collect();
        match modes.as_slice() {
            ["pooling_mode_mean_tokens"] | [] => Ok(Pooling::Mean),
            ["pooling_mode_cls_token"] => Ok(Pooling::Cls),
            other => Err(format!(
                "{POOLING} wants {}; the engine knows the mean and the first token",
                other.join(", ")
            )),
        }
    }

    /// Tokens for which the network has positions.
    pub fn positions(&self) -> Option<usize> {
        let config = self.config.as_ref()?;
        let positions = count(config.get("max_position_embeddings")?)?;
        let family = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
        Some(if numbers_from_two(family) { positions.saturating_sub(2) } else { positions })
    }
}

/// The first labels, for people.
fn listed(labels: &[String]) -> String {
    const MOST: usize = 10;
    let mut shown: Vec<&str> = labels.iter().take(MOST).map(String::as_str).collect();
    if labels.len() > MOST {
        shown.push("…");
    }
    crate::text::one_line(&shown.join(", "))
}

fn truncation(tokenizer: &Path) -> Result<Option<usize>, String> {
    #[derive(Deserialize)]
    struct Tokenizer {
        truncation: Option<Truncation>,
    }
    #[derive(Deserialize)]
    struct Truncation {
        max_length: usize,
    }
    let tokenizer: Tokenizer = json(super::manifest::TOKENIZER, tokenizer)?;
    Ok(tokenizer.truncation.map(|truncation| truncation.max_length))
}

fn count(value: &Value) -> Option<usize> {
    let count = usize::try_from(value.as_u64()?).ok()?;
    (1..=LONGEST).contains(&count).then_some(count)
}

fn json<T: serde::de::DeserializeOwned>(name: &str, path: &Path) -> Result<T, String> {
    let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
    serde_json::from_reader(BufReader::new(file)).map_err(|error| format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn guess(files: &[(&str, Value)]) -> Guess {
        let folder = tempfile::tempdir().unwrap();
        let mut descriptions = BTreeMap::new();
        for (number, (name, content)) in files.iter().enumerate() {
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, content.to_string()).unwrap();
            descriptions.insert((*name).to_owned(), path);
        }
        let tokenizer = descriptions.remove("tokenizer.json");
        Guess::read(&descriptions, tokenizer.as_deref()).unwrap()
    }

    #[test]
    fn the_kind_is_told_by_architecture_or_modules() {
        let classifier = json!({"architectures": ["BertForSequenceClassification"]});
        let plain = json!({"architectures": ["BertModel"]});
        assert_eq!(guess(&[(CONFIG, classifier.clone())]).kind(), Ok(EvaluatorKind::CrossEncoder));
        assert_eq!(
            guess(&[(CONFIG, classifier), (MODULES, json!([]))]).kind(),
            Ok(EvaluatorKind::CrossEncoder)
        );
        assert_eq!(
            guess(&[(CONFIG, plain.clone()), (MODULES, json!([]))]).kind(),
            Ok(EvaluatorKind::BiEncoder)
        );
        assert_eq!(guess(&[(POOLING, json!({}))]).kind(), Ok(EvaluatorKind::BiEncoder));
        for files in [vec![], vec![(CONFIG, plain)], vec![(CONFIG, json!({"architectures": "x"}))]] {
            assert!(guess(&files).kind().unwrap_err().contains("--kind"));
        }
    }

    #[test]
    fn the_length_is_the_first_that_is_said_and_fits_the_network() {
        let cut =
            |length: usize| ("tokenizer.json", json!({"truncation": {"max_length": length}, "model": {}}));
        let uncut = ("tokenizer.json", json!({"truncation": null}));
        let described = |length: f64| (TOKENIZER_CONFIG, json!({"model_max_length": length as u64}));
        let bert =
            |positions: usize| (CONFIG, json!({"max_position_embeddings": positions, "model_type": "bert"}));
        let roberta = (CONFIG, json!({"max_position_embeddings": 514, "model_type": "xlm-roberta"}));
        let endless = (TOKENIZER_CONFIG, json!({"model_max_length": 1e30}));
        assert_eq!(guess(&[]).max_tokens(), 512);
        assert_eq!(guess(&[cut(128), described(256.0), bert(512)]).max_tokens(), 128);
        assert_eq!(guess(&[uncut.clone(), described(256.0), bert(512)]).max_tokens(), 256);
        assert_eq!(guess(&[uncut.clone(), bert(1024)]).max_tokens(), 1024);
        assert_eq!(guess(std::slice::from_ref(&roberta)).max_tokens(), 512);
        assert_eq!(guess(&[described(8192.0), roberta]).max_tokens(), 512);
        assert_eq!(guess(&[uncut, endless]).max_tokens(), 512);
        assert_eq!(guess(&[described(1_000_000.0)]).max_tokens(), 1_000_000);
        assert_eq!(guess(&[described(1_000_001.0)]).max_tokens(), 512);
        assert_eq!(guess(&[described(0.0)]).max_tokens(), 512);
    }

    #[test]
    fn of_several_labels_the_one_that_counts_is_known_or_asked_for() {
        let with = |labels: &[&str], score: Option<&str>| {
            let ids = labels.iter().enumerate().map(|(id, label)| (id.to_string(), json!(label)));
            let config = json!({"id2label": ids.collect::<serde_json::Map<_, _>>()});
            guess(&[(CONFIG, config)]).classes(score)
        };
        let nli = ["CONTRADICTION", "ENTAILMENT", "NEUTRAL"];
        for score in [None, Some("entailment")] {
            let classes = with(&nli, score).unwrap().unwrap();
            assert_eq!((classes.place(), classes.labels.len()), (Some(1), 3));
        }
        assert_eq!(with(&nli, Some("neutral")).unwrap().unwrap().place(), Some(2));
        assert!(with(&nli, Some("good")).unwrap_err().contains("no label \"good\""));
        // Not as no and yes: here the first one is the yes.
        assert_eq!(with(&["entailment", "not_entailment"], None).unwrap().unwrap().place(), Some(0));
        for plain in [&[][..], &["LABEL_0"], &["LABEL_0", "LABEL_1"]] {
            assert_eq!(with(plain, None), Ok(None), "{plain:?}");
        }
        let stars = with(&["1 star", "2 stars", "3 stars"], None).unwrap_err();
        assert!(stars.contains("3 labels (1 star, 2 stars, 3 stars)") && stars.contains("--score-label"));
        let gap = json!({"id2label": {"0": "a", "2": "b", "3": "c"}});
        assert_eq!(guess(&[(CONFIG, gap)]).classes(None), Ok(None));
        assert_eq!(guess(&[]).classes(None), Ok(None));
    }

    #[test]
    fn pooling_is_read_and_what_the_engine_does_not_know_is_refused() {
        let mode =
            |name: &str| guess(&[(POOLING, json!({"word_embedding_dimension": 8, name: true}))]).pooling();
        assert_eq!(guess(&[]).pooling(), Ok(Pooling::Mean));
        assert_eq!(mode("pooling_mode_mean_tokens"), Ok(Pooling::Mean));
        assert_eq!(mode("pooling_mode_cls_token"), Ok(Pooling::Cls));
        assert!(mode("pooling_mode_max_tokens").unwrap_err().contains("max_tokens"));
    }

    #[test]
    fn a_file_that_is_no_json_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "<html>").unwrap();
        let error = Guess::read(&BTreeMap::from([(CONFIG.to_owned(), path.clone())]), None).unwrap_err();
        assert!(error.starts_with("config.json: "), "{error}");
        let error = Guess::read(&BTreeMap::new(), Some(&path)).unwrap_err();
        assert!(error.starts_with("tokenizer.json: "), "{error}");
    }
}
