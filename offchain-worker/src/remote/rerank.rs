//! Scoring by a rerank server: Text Embeddings Inference, and those that speak as Jina and Cohere do.

use super::{
    config::{RemoteConfig, RerankDialect, Scale},
    http::Fault,
    retry::retrying,
    Remote,
};
use crate::work::{Caller, Scored, Scoring, FULL_SCORE};
use futures::{stream, StreamExt as _, TryStreamExt as _};
use reqwest::{Response, Url};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Header in which Text Embeddings Inference gives the number of tokens that it read.
const TEI_TOKENS: &str = "x-compute-tokens";

/// A request as Jina's. Cohere, vLLM, SGLang, llama-server and Infinity take the same.
#[derive(Serialize)]
struct JinaRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    query: &'a str,
    documents: &'a [String],
    top_n: usize,
    return_documents: bool,
    /// Infinity's way to ask for logits; left out unless wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_scores: Option<bool>,
    /// vLLM's way.
    #[serde(skip_serializing_if = "Option::is_none")]
    use_activation: Option<bool>,
}

/// A request to Text Embeddings Inference.
#[derive(Serialize)]
struct TeiRequest<'a> {
    query: &'a str,
    texts: &'a [String],
    raw_scores: bool,
    return_text: bool,
    /// Cut what is too long for the network, as the engine's own evaluators do, rather than refuse it.
    truncate: bool,
}

/// An answer as Jina's. Text Embeddings Inference and SGLang give the bare list.
#[derive(Deserialize)]
struct Answer {
    results: Vec<Row>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Row {
    index: usize,
    #[serde(alias = "relevance_score")]
    score: f64,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    total_tokens: u64,
}

/// Answer of a server about one batch.
#[derive(Debug, PartialEq)]
struct Batch {
    raw: Vec<f64>,
    tokens: u64,
}

/// Fault of `work`, if it has one.
pub(super) fn check(work: &Scoring) -> Result<(), Fault> {
    if work.answers.is_empty() {
        return Err(Fault::invalid("there is no answer to score"));
    }
    Ok(())
}

/// Does `work` in batches, each of them again after a fault that may pass.
pub(super) async fn score(
    remote: &Remote,
    caller: Caller,
    deadline: Instant,
    work: &Scoring,
) -> Result<Scored, Fault> {
    let config = &remote.config;
    let size = if work.alone { 1 } else { config.batch.max(1) };
    let batches: Vec<_> = work
        .answers
        .chunks(size)
        .map(|texts| retrying(config, deadline, || true, move || once(remote, caller, &work.question, texts)))
        .collect();
    let batches: Vec<Batch> =
        stream::iter(batches).buffered(config.max_concurrent.max(1)).try_collect().await?;
    let tokens = batches.iter().fold(0_u64, |sum, batch| sum.saturating_add(batch.tokens));
    let raw: Vec<f64> = batches.into_iter().flat_map(|batch| batch.raw).collect();
    let scores = raw.iter().map(|number| score_of(config, *number)).collect::<Result<_, _>>()?;
    Ok(Scored { raw, scores, tokens: u32::try_from(tokens).unwrap_or(u32::MAX) })
}

async fn once(remote: &Remote, caller: Caller, question: &str, texts: &[String]) -> Result<Batch, Fault> {
    let _place = remote.http.place(caller).await?;
    let (http, config) = (&remote.http, &remote.config);
    let url = url(remote);
    match config.dialect.unwrap_or_default() {
        RerankDialect::Tei => {
            let raw_scores = config.raw_scores;
            let body = TeiRequest { query: question, texts, raw_scores, return_text: false, truncate: true };
            let response = http.send(http.post(url, &body)).await?;
            let tokens = header_number(&response, TEI_TOKENS);
            let (rows, _) = rows_of(http.json(response).await?)?;
            Ok(Batch { raw: in_order(rows, texts.len(), config)?, tokens })
        }
        RerankDialect::Jina => {
            let body = JinaRequest {
                model: config.remote_model.as_deref(),
                query: question,
                documents: texts,
                top_n: texts.len(),
                return_documents: false,
                raw_scores: config.raw_scores.then_some(true),
                use_activation: config.raw_scores.then_some(false),
            };
            let response = http.send(http.post(url, &body)).await?;
            let (rows, tokens) = rows_of(http.json(response).await?)?;
            Ok(Batch { raw: in_order(rows, texts.len(), config)?, tokens })
        }
    }
}

/// The rows of an answer of either shape, and the tokens if it says how many.
fn rows_of(answer: serde_json::Value) -> Result<(Vec<Row>, u64), Fault> {
    let wrong = |error| Fault::Garbage(format!("an answer that is not what the API says: {error}"));
    if answer.is_array() {
        return Ok((serde_json::from_value(answer).map_err(wrong)?, 0));
    }
    let answer: Answer = serde_json::from_value(answer).map_err(wrong)?;
    Ok((answer.results, answer.usage.map_or(0, |usage| usage.total_tokens)))
}

/// URL of requests.
fn url(remote: &Remote) -> Url {
    match (&remote.config.path, remote.config.dialect.unwrap_or_default()) {
        (Some(path), _) => remote.http.below(path),
        (None, RerankDialect::Tei) => remote.http.below("/rerank"),
        (None, RerankDialect::Jina) => remote.http.beside("/v1/rerank"),
    }
}

fn header_number(response: &Response, name: &str) -> u64 {
    let text = response.headers().get(name).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The numbers in the order of the texts. Each text has exactly one, or the answer is none.
fn in_order(rows: Vec<Row>, texts: usize, config: &RemoteConfig) -> Result<Vec<f64>, Fault> {
    if rows.len() != texts {
        return Err(Fault::Garbage(format!("{} scores for {texts} texts", rows.len())));
    }
    let mut raw = vec![None; texts];
    for Row { index, score } in rows {
        let place = raw
            .get_mut(index)
            .ok_or_else(|| Fault::Garbage(format!("a score for text {index} of {texts}, counted from 0")))?;
        if place.replace(score).is_some() {
            return Err(Fault::Garbage(format!("two scores for text {index}")));
        }
        score_of(config, score)?;
    }
    // As many rows as texts and no text twice: none is left out.
    Ok(raw.into_iter().flatten().collect())
}

/// The score of a server's number, in parts per million.
fn score_of(config: &RemoteConfig, number: f64) -> Result<u32, Fault> {
    let score = match config.scale() {
        Scale::Probability => Some(number).filter(|number| (0.0..=1.0).contains(number)),
        Scale::Logit => config.calibration.apply(number),
    };
    let score = score.ok_or_else(|| match config.scale() {
        Scale::Probability => Fault::Garbage(format!(
            "the score {number}, which is no probability; for a server that gives logits set scores = \"logit\""
        )),
        Scale::Logit => Fault::Garbage(format!("the score {number}, which is no number")),
    })?;
    // In range, so the cast is exact.
    Ok((score * f64::from(FULL_SCORE)).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::{super::RemoteKind, *};
    use crate::models::manifest::Calibration;
    use proptest::prelude::*;

    fn config(scale: Scale) -> RemoteConfig {
        let mut config = RemoteConfig::new("x", RemoteKind::Rerank, "http://h", &"a".repeat(64));
        config.scores = Some(scale);
        config
    }

    fn rows(rows: &[(usize, f64)]) -> Vec<Row> {
        rows.iter().map(|(index, score)| Row { index: *index, score: *score }).collect()
    }

    #[test]
    fn numbers_become_scores() {
        let of = |scale, number| score_of(&config(scale), number).ok();
        for (number, score) in [(0.0, Some(0)), (1.0, Some(FULL_SCORE)), (0.25, Some(250_000))] {
            assert_eq!(of(Scale::Probability, number), score);
        }
        for number in [-0.001, 1.001, f64::NAN, f64::INFINITY] {
            assert_eq!(of(Scale::Probability, number), None, "{number}");
        }
        assert_eq!(of(Scale::Logit, 0.0), Some(FULL_SCORE / 2));
        assert_eq!(of(Scale::Logit, 1e300), Some(FULL_SCORE));
        assert_eq!(of(Scale::Logit, -1e300), Some(0));
        assert_eq!(of(Scale::Logit, f64::NAN), None);
        let shifted = RemoteConfig { calibration: Calibration { a: 2.0, b: -1.0 }, ..config(Scale::Logit) };
        assert_eq!(score_of(&shifted, 0.5).unwrap(), FULL_SCORE / 2);
    }

    #[test]
    fn every_text_has_one_number() {
        let sort = |given: &[(usize, f64)], texts| in_order(rows(given), texts, &config(Scale::Logit));
        assert_eq!(sort(&[(2, 0.3), (0, 0.1), (1, 0.2)], 3).unwrap(), [0.1, 0.2, 0.3]);
        for (given, texts, said) in [
            (&[(0, 0.1)][..], 2, "1 scores for 2 texts"),
            (&[(0, 0.1), (1, 0.1)], 1, "2 scores for 1 texts"),
            (&[(0, 0.1), (0, 0.1)], 2, "two scores for text 0"),
            (&[(0, 0.1), (2, 0.1)], 2, "text 2 of 2"),
            (&[(0, f64::NAN)], 1, "no number"),
        ] {
            assert!(matches!(sort(given, texts), Err(Fault::Garbage(why)) if why.contains(said)), "{said}");
        }
    }

    proptest! {
        #[test]
        fn order_is_restored_or_refused(given: Vec<(u8, f64)>, texts in 0_usize..8) {
            let given: Vec<_> = given.iter().map(|(index, score)| (usize::from(*index % 8), *score)).collect();
            if let Ok(raw) = in_order(rows(&given), texts, &config(Scale::Logit)) {
                prop_assert_eq!(raw.len(), texts);
                for (index, score) in given {
                    prop_assert_eq!(raw[index], score);
                }
            }
        }
    }
}
