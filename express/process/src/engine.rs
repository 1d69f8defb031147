//! Jobs of the engine, over its HTTP API: see [`poq_primitives::job`]. The engine knows no chain and no lane.
//!
//! A job's id comes from the order and the express key. After a restart the same job is asked for again, and the engine does it once.

use crate::metrics::Metrics;
use poq_express::{step::Event, wire::Order};
use poq_primitives::{
    commitment::Hash32,
    express::Key,
    job::{GenerateJob, Job, JobResult, JobState, JobStatus, ScoreJob, MAX_WAIT_MS},
};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use sp_arithmetic::Permill;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout, Instant},
};

/// Pause before asking again an engine that is busy or away.
const PAUSE: Duration = Duration::from_millis(200);

/// Longest time for the engine's answer beyond that for which it may hold it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Highest score, in parts per million.
const MOST_SCORE: u32 = 1_000_000;

/// An engine that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The address is none.
    #[error("{0:?} is no address of an engine; give one such as http://127.0.0.1:9955")]
    Address(String),
    /// The address is of another machine and the way there is not encrypted.
    #[error("{0} is on another machine and not encrypted: the token could be read on the way; use https, or an engine on this machine")]
    Exposed(String),
    /// The HTTP library does not work.
    #[error("no HTTP: {0}")]
    Http(String),
    /// The engine does not do the job.
    #[error("the engine failed: {0}")]
    Failed(String),
}

/// A client of an engine. Clones share it.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    http: Client,
    url: Url,
    token: String,
    genesis: Hash32,
    key: Key,
    settings: Settings,
    metrics: Metrics,
}

/// Limits of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Longest time of a job, after which it is given up. Default: 60 s.
    pub time: Duration,
    /// Most bytes of an output. Default: 1 MiB.
    pub output_bytes: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { time: Duration::from_secs(60), output_bytes: 1 << 20 }
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Engine {
    /// A client of the engine at `url`, with its bearer token.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn new(
        url: &str,
        token: String,
        genesis: Hash32,
        key: Key,
        settings: Settings,
        metrics: Metrics,
    ) -> Result<Self, EngineError> {
        let address = || EngineError::Address(url.to_owned());
        let parsed = Url::parse(url).map_err(|_| address())?;
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
            return Err(address());
        }
        if parsed.scheme() == "http" && !is_loopback(&parsed) {
            return Err(EngineError::Exposed(url.to_owned()));
        }
        // The library asks for a provider of the whole process; a second one changes nothing.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let http =
            Client::builder().no_proxy().build().map_err(|error| EngineError::Http(error.to_string()))?;
        Ok(Self(Arc::new(Shared { http, url: parsed, token, genesis, key, settings, metrics })))
    }

    /// Has a prompt answered, and sends the result as an event.
    pub fn generate(&self, order: Box<Order>, prompt: Vec<u8>, results: mpsc::Sender<Event>) {
        let this = self.clone();
        tokio::spawn(async move {
            let name = order.name;
            let event = match this.answer(&order, prompt).await {
                Ok(output) => Event::Generated { name, output },
                Err(error) => this.failed(&order, &error),
            };
            let _stopped = results.send(event).await;
        });
    }

    /// Has outputs scored, and sends the result as an event.
    pub fn score(
        &self,
        order: Box<Order>,
        prompt: Vec<u8>,
        outputs: Vec<Vec<u8>>,
        results: mpsc::Sender<Event>,
    ) {
        let this = self.clone();
        tokio::spawn(async move {
            let name = order.name;
            let event = match this.scores(&order, prompt, outputs).await {
                Ok(scores) => Event::Scored { name, scores },
                Err(error) => this.failed(&order, &error),
            };
            let _stopped = results.send(event).await;
        });
    }

    fn failed(&self, order: &Order, error: &EngineError) -> Event {
        tracing::warn!(order = ?order.name, %error, "no work on an order");
        self.0.metrics.failed_jobs.inc();
        Event::Failed { name: order.name }
    }

    async fn answer(&self, order: &Order, prompt: Vec<u8>) -> Result<Vec<u8>, EngineError> {
        let fault = |fault: &str| EngineError::Failed(fault.to_owned());
        let job = Job::Generate(GenerateJob {
            model: hex::encode(order.generator),
            prompt: String::from_utf8(prompt).map_err(|_| fault("the prompt is not UTF-8"))?,
            max_tokens: order.max_tokens,
            max_bytes: self.0.settings.output_bytes,
            temperature_milli: order.temperature_milli,
            seed: order.seed,
        });
        match self.work(order, &job).await? {
            JobResult::Generate { text, .. } if text.is_empty() => Err(fault("the output is empty")),
            JobResult::Generate { text, .. } => Ok(text.into_bytes()),
            JobResult::Score { .. } => Err(fault("it answered a prompt with scores")),
        }
    }

    async fn scores(
        &self,
        order: &Order,
        prompt: Vec<u8>,
        outputs: Vec<Vec<u8>>,
    ) -> Result<Vec<Permill>, EngineError> {
        // Texts that are not UTF-8 are scored all the same, so that nobody can stop a committee with one.
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let responses: Vec<String> = outputs.iter().map(text).collect();
        let count = responses.len();
        let job =
            Job::Score(ScoreJob { model: hex::encode(order.evaluator), prompt: text(&prompt), responses });
        let JobResult::Score { scores } = self.work(order, &job).await? else {
            return Err(EngineError::Failed("it answered with a text where scores were asked for".into()));
        };
        if scores.len() != count || scores.iter().any(|score| *score > MOST_SCORE) {
            return Err(EngineError::Failed(format!("its {} scores make no sense", scores.len())));
        }
        Ok(scores.into_iter().map(Permill::from_parts).collect())
    }

    /// Has a job done, within the time that jobs have.
    async fn work(&self, order: &Order, job: &Job) -> Result<JobResult, EngineError> {
        self.0.metrics.jobs.inc();
        let done = timeout(self.0.settings.time, self.ask_until_done(order, job)).await;
        self.0.metrics.jobs.dec();
        done.unwrap_or_else(|_| Err(EngineError::Failed("the job takes too long".into())))
    }

    async fn ask_until_done(&self, order: &Order, job: &Job) -> Result<JobResult, EngineError> {
        let deadline = Instant::now().checked_add(self.0.settings.time);
        // An id of a request on the chain path is below 2^63 for ages, and the worker's key differs.
        let request = order.digest(&self.0.genesis).0.first_chunk::<8>().copied().unwrap_or_default();
        let id = hex::encode(job.id(&self.0.genesis, u64::from_le_bytes(request), &self.0.key));
        loop {
            let left = deadline
                .map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()));
            if let Some(state) = self.ask(&id, job, left).await? {
                match state {
                    JobState::Done { result } => return Ok(result),
                    JobState::Failed { error } => return Err(EngineError::Failed(error.message)),
                    JobState::Queued | JobState::Running => continue,
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks for a job, for the first time or again; `None` if the engine is busy or away. It holds its answer for a second, unless the job is
    /// finished before.
    async fn ask(&self, id: &str, job: &Job, left: Duration) -> Result<Option<JobState>, EngineError> {
        let deadline = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        let path = format!("v1/jobs/{id}?wait_ms={MAX_WAIT_MS}&deadline_ms={deadline}");
        let url = self.0.url.join(&path).map_err(|error| EngineError::Http(error.to_string()))?;
        let hold = Duration::from_millis(MAX_WAIT_MS).saturating_add(PATIENCE);
        let request: RequestBuilder = self.0.http.put(url).bearer_auth(&self.0.token).json(job).timeout(hold);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(%error, "the engine does not answer");
                return Ok(None);
            }
        };
        self.status(id, response).await
    }

    async fn status(&self, id: &str, response: Response) -> Result<Option<JobState>, EngineError> {
        let refused = |what: &str| Err(EngineError::Failed(what.to_owned()));
        match response.status() {
            StatusCode::OK | StatusCode::ACCEPTED => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return refused("it refuses the token; give the right --engine-token-file");
            }
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                return refused("it refuses the job");
            }
            _ => return Ok(None),
        }
        let bytes = read(response, self.most_bytes()).await;
        let status = bytes.and_then(|bytes| serde_json::from_slice::<JobStatus>(&bytes).ok());
        match status.filter(|status| status.id == id) {
            Some(status) => Ok(Some(status.state)),
            None => refused("its answer makes no sense"),
        }
    }

    /// Longest answer that is read: JSON may write a byte of the output as six, and a little stands around it.
    fn most_bytes(&self) -> usize {
        (self.0.settings.output_bytes as usize).saturating_mul(6).saturating_add(1 << 16)
    }
}

/// The body, if it is no longer than `most` bytes.
async fn read(mut response: Response, most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if bytes.len().saturating_add(chunk.len()) > most {
            return None;
        }
        bytes.extend_from_slice(&chunk);
    }
    Some(bytes)
}
