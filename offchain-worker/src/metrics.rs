//! Metrics of the engine, for Prometheus. Every name is declared once, here.
//!
//! Rates come from counters: `rate(poq_generated_tokens_total[1m])` is tokens per second. Seconds and bytes are what
//! the names say. Labels take few values: routes, not paths; names of models that are on the disk; fixed words.

use crate::{
    limits::Unfinished,
    work::{Embedded, Generated, Scored},
};
use poq_primitives::job::FailureReason;
use prometheus::{
    core::Collector, Encoder as _, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

/// Seconds at which the histograms are cut: from a cached answer to the longest generation.
const SECONDS: &[f64] =
    &[0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// HTTP status that stands for "who asked went away before there was an answer"; nobody is sent it.
const WENT_AWAY: u16 = 499;

/// All that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    jobs: IntGaugeVec,
    jobs_finished: IntCounterVec,
    jobs_late: IntCounter,
    work: IntCounterVec,
    work_seconds: HistogramVec,
    prompt_tokens: IntCounter,
    generated_tokens: IntCounter,
    scored_pairs: IntCounter,
    scored_tokens: IntCounter,
    models: IntGauge,
    models_bytes: IntGauge,
    loads: IntCounterVec,
    evictions: IntCounterVec,
    deaths: IntCounterVec,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    in_flight: IntGauge,
    errors: IntCounterVec,
}

/// Kind of a piece of work, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkKind {
    /// An answer.
    Generate,
    /// Scores.
    Score,
    /// Vectors.
    Embed,
}

impl WorkKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Score => "score",
            Self::Embed => "embed",
        }
    }
}

impl Metrics {
    /// Everything at zero. Fails only if two metrics here have one name.
    pub fn new() -> prometheus::Result<Arc<Self>> {
        let registry = Registry::new();
        let r = &registry;
        let metrics = Self {
            jobs: gauges(r, "poq_jobs", "Unfinished jobs: waiting, or handed out.", &["state"])?,
            jobs_finished: counters(
                r,
                "poq_jobs_finished_total",
                "Jobs that were handed out and came back.",
                &["kind", "outcome"],
            )?,
            jobs_late: counter(
                r,
                "poq_jobs_late_total",
                "Jobs that failed because their deadline passed while they waited or ran.",
            )?,
            work: counters(
                r,
                "poq_work_total",
                "Generations, scorings and embeddings that ended, of jobs and of direct requests.",
                &["kind", "outcome"],
            )?,
            work_seconds: histograms(
                r,
                "poq_work_seconds",
                "Time of a piece of work that gave a result, waiting for its model included.",
                &["kind"],
            )?,
            prompt_tokens: counter(
                r,
                "poq_prompt_tokens_total",
                "Tokens of conversations that were answered.",
            )?,
            generated_tokens: counter(r, "poq_generated_tokens_total", "Tokens of finished answers.")?,
            scored_pairs: counter(
                r,
                "poq_scored_pairs_total",
                "Pairs of question and answer that were scored.",
            )?,
            scored_tokens: counter(r, "poq_scored_tokens_total", "Tokens that went through evaluators.")?,
            models: gauge(r, "poq_models_in_memory", "Models loaded or being loaded.")?,
            models_bytes: gauge(r, "poq_models_in_memory_bytes", "What they take of the memory budget.")?,
            loads: counters(r, "poq_model_loads_total", "Times that a model was loaded.", &["model"])?,
            evictions: counters(
                r,
                "poq_model_evictions_total",
                "Times that a model left the memory to make room.",
                &["model"],
            )?,
            deaths: counters(
                r,
                "poq_model_deaths_total",
                "Times that a model's process died at work.",
                &["model"],
            )?,
            requests: counters(
                r,
                "poq_http_requests_total",
                "Requests that ended.",
                &["method", "route", "status"],
            )?,
            request_seconds: histograms(
                r,
                "poq_http_request_seconds",
                "Time from a request's head to the end of its work; of a stream, to its last event.",
                &["route"],
            )?,
            in_flight: gauge(r, "poq_http_requests_in_flight", "Requests under way.")?,
            errors: counters(
                r,
                "poq_errors_total",
                "Errors that callers were told, by their code.",
                &["code"],
            )?,
            registry: Registry::clone(r),
        };
        let build =
            gauges(r, "poq_build_info", "Always 1; the label says which version this is.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Arc::new(metrics))
    }

    /// Everything in Prometheus's text format.
    pub fn text(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Numbers of jobs that wait and that are handed out, as of now.
    pub fn set_jobs(&self, (waiting, running): (usize, usize)) {
        self.jobs.with_label_values(&["waiting"]).set(signed(waiting as u64));
        self.jobs.with_label_values(&["running"]).set(signed(running as u64));
    }

    /// The bytes that models in memory take and their number, as of now.
    pub fn set_models(&self, (bytes, models): (u64, usize)) {
        self.models_bytes.set(signed(bytes));
        self.models.set(signed(models as u64));
    }

    /// A job came back from where it was handed out to.
    pub fn job_finished<T>(&self, kind: WorkKind, outcome: &Result<T, Unfinished>) {
        self.jobs_finished.with_label_values(&[kind.as_str(), outcome_of(outcome)]).inc();
    }

    /// Jobs failed because their deadline passed.
    pub fn jobs_late(&self, jobs: usize) {
        self.jobs_late.inc_by(jobs as u64);
    }

    /// Work begins; what it says when it ends is counted, and if it says nothing, that it was cancelled.
    pub fn begin(self: &Arc<Self>, kind: WorkKind) -> UnderWay {
        UnderWay { metrics: Arc::clone(self), kind, begun: Instant::now(), ended: false }
    }

    /// A model was loaded.
    pub fn loaded(&self, model: &str) {
        self.loads.with_label_values(&[model]).inc();
    }

    /// A model left the memory to make room.
    pub fn evicted(&self, model: &str) {
        self.evictions.with_label_values(&[model]).inc();
    }

    /// A model's process died.
    pub fn died(&self, model: &str) {
        self.deaths.with_label_values(&[model]).inc();
    }

    /// A caller was told of an error.
    pub fn error(&self, code: &str) {
        self.errors.with_label_values(&[code]).inc();
    }

    /// A request begins; it ends when the last copy of the returned value is dropped.
    pub fn request(self: &Arc<Self>, method: &'static str, route: &str) -> Arc<Passage> {
        self.in_flight.inc();
        Arc::new(Passage {
            metrics: Arc::clone(self),
            method,
            route: route.to_owned(),
            begun: Instant::now(),
            status: OnceLock::new(),
        })
    }
}

/// A piece of work under way.
#[derive(Debug)]
pub struct UnderWay {
    metrics: Arc<Metrics>,
    kind: WorkKind,
    begun: Instant,
    ended: bool,
}

impl UnderWay {
    /// The generation ended.
    pub fn generated(self, outcome: &Result<Generated, Unfinished>) {
        if let Ok(generated) = outcome {
            self.metrics.prompt_tokens.inc_by(generated.prompt_tokens.into());
            self.metrics.generated_tokens.inc_by(generated.tokens.into());
        }
        self.end(outcome);
    }

    /// The scoring ended.
    pub fn scored(self, outcome: &Result<Scored, Unfinished>) {
        if let Ok(scored) = outcome {
            self.metrics.scored_pairs.inc_by(scored.scores.len() as u64);
            self.metrics.scored_tokens.inc_by(scored.tokens.into());
        }
        self.end(outcome);
    }

    /// The vectors are made.
    pub fn embedded(self, outcome: &Result<Embedded, Unfinished>) {
        if let Ok(embedded) = outcome {
            self.metrics.scored_tokens.inc_by(embedded.tokens.into());
        }
        self.end(outcome);
    }

    fn end<T>(mut self, outcome: &Result<T, Unfinished>) {
        self.ended = true;
        let kind = self.kind.as_str();
        if outcome.is_ok() {
            self.metrics.work_seconds.with_label_values(&[kind]).observe(self.begun.elapsed().as_secs_f64());
        }
        self.metrics.work.with_label_values(&[kind, outcome_of(outcome)]).inc();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.ended {
            self.metrics.work.with_label_values(&[self.kind.as_str(), "cancelled"]).inc();
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub struct Passage {
    metrics: Arc<Metrics>,
    method: &'static str,
    route: String,
    begun: Instant,
    status: OnceLock<u16>,
}

impl Passage {
    /// The head of the answer is known.
    pub fn answered(&self, status: u16) {
        // Only the first head is sent.
        let _again = self.status.set(status);
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let status = self.status.get().copied().unwrap_or(WENT_AWAY).to_string();
        self.metrics.in_flight.dec();
        self.metrics.requests.with_label_values(&[self.method, &self.route, &status]).inc();
        let seconds = self.begun.elapsed().as_secs_f64();
        self.metrics.request_seconds.with_label_values(&[&self.route]).observe(seconds);
    }
}

/// The word for a failure: the one that the contract of jobs writes.
pub fn reason(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::ModelUnavailable => "model_unavailable",
        FailureReason::InvalidJob => "invalid_job",
        FailureReason::EngineAborted => "engine_aborted",
        FailureReason::DeadlineExceeded => "deadline_exceeded",
        FailureReason::Internal => "internal",
        FailureReason::EmptyOutput => "empty_output",
    }
}

fn outcome_of<T>(outcome: &Result<T, Unfinished>) -> &'static str {
    match outcome {
        Ok(_) => "done",
        Err(Unfinished::Failed(error)) => reason(error.code),
        Err(Unfinished::TooLong(_)) => reason(FailureReason::InvalidJob),
        Err(Unfinished::Cancelled) => "cancelled",
        Err(Unfinished::Died(_)) => "died",
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn registered<T: Collector + Clone + 'static>(registry: &Registry, metric: T) -> prometheus::Result<T> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    registered(registry, IntCounter::new(name, help)?)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    registered(registry, IntGauge::new(name, help)?)
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<HistogramVec> {
    let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
    registered(registry, HistogramVec::new(options, labels)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Finish;

    #[test]
    fn work_is_counted_once_however_it_ends() {
        let metrics = Metrics::new().unwrap();
        let generated = Ok(Generated {
            text: String::new(),
            prompt_tokens: 7,
            tokens: 5,
            finish: Finish::Stop,
            logprobs: vec![],
        });
        metrics.begin(WorkKind::Generate).generated(&generated);
        metrics.begin(WorkKind::Generate).generated(&Err(Unfinished::late()));
        drop(metrics.begin(WorkKind::Generate));
        let scored = Ok(Scored { raw: vec![0.0; 3], scores: vec![1; 3], tokens: 30 });
        metrics.begin(WorkKind::Score).scored(&scored);
        let text = metrics.text().unwrap();
        for line in [
            "poq_prompt_tokens_total 7",
            "poq_generated_tokens_total 5",
            "poq_scored_pairs_total 3",
            "poq_scored_tokens_total 30",
            r#"poq_work_total{kind="generate",outcome="done"} 1"#,
            r#"poq_work_total{kind="generate",outcome="deadline_exceeded"} 1"#,
            r#"poq_work_total{kind="generate",outcome="cancelled"} 1"#,
            r#"poq_work_seconds_count{kind="generate"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_request_ends_with_its_last_copy() {
        let metrics = Metrics::new().unwrap();
        let passage = metrics.request("GET", "/x");
        let copy = Arc::clone(&passage);
        passage.answered(200);
        drop(passage);
        assert!(metrics.text().unwrap().contains("poq_http_requests_in_flight 1"));
        drop(copy);
        drop(metrics.request("GET", "/x"));
        let text = metrics.text().unwrap();
        assert!(text.contains("poq_http_requests_in_flight 0"));
        assert!(
            text.contains(r#"poq_http_requests_total{method="GET",route="/x",status="200"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"poq_http_requests_total{method="GET",route="/x",status="499"} 1"#),
            "{text}"
        );
    }
}
