//! Many callers at once, a third of them wrong: whether anything dies, who waits, and what stays in memory.

use anyhow::{ensure, Context as _};
use futures::future::try_join_all;
use harness::{process, Engine};
use poq_benches::report::{Figure, Report};
use poq_primitives::job::{JobState, JobStatus};
use rand::{seq::IndexedRandom as _, Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{json, Value};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};

const CONNECTIONS: u64 = 100;
const REQUESTS: usize = 100;
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Kinds of requests. The last four are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Chat,
    Stream,
    Rerank,
    Job,
    Models,
    NoToken,
    UnknownModel,
    Broken,
    HalfSent,
}

/// Two of three are right.
const KINDS: [Kind; 12] = [
    Kind::Chat,
    Kind::Stream,
    Kind::Rerank,
    Kind::Rerank,
    Kind::Job,
    Kind::Job,
    Kind::Models,
    Kind::Models,
    Kind::NoToken,
    Kind::UnknownModel,
    Kind::Broken,
    Kind::HalfSent,
];

impl Kind {
    /// The status that such a request must get; `None`: it gets none.
    fn wanted(self) -> Option<StatusCode> {
        match self {
            Self::Chat | Self::Stream | Self::Rerank | Self::Job | Self::Models => Some(StatusCode::OK),
            Self::NoToken => Some(StatusCode::UNAUTHORIZED),
            Self::UnknownModel => Some(StatusCode::NOT_FOUND),
            Self::Broken => Some(StatusCode::BAD_REQUEST),
            Self::HalfSent => None,
        }
    }
}

/// Seconds that requests took, by kind.
type Times = BTreeMap<Kind, Vec<f64>>;

/// Asks 10,000 times over 100 connections.
pub async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let engine = Engine::start(TOKEN)?;
    // Loads both models, and takes what the first requests take for good.
    let warm = Caller::new(&engine, CONNECTIONS)?.run(REQUESTS).await?;
    ensure!(!warm.is_empty(), "nothing was asked");
    let before = memory(&engine).await;
    let processes = process::children(engine.id()).len();

    let callers =
        (0..CONNECTIONS).map(|seed| Caller::new(&engine, seed)).collect::<anyhow::Result<Vec<_>>>()?;
    let begun = Instant::now();
    let times = try_join_all(callers.into_iter().map(|caller| caller.run(REQUESTS))).await?;
    let took = begun.elapsed().as_secs_f64();

    ensure!(process::children(engine.id()).len() == processes, "a model's process died");
    let grown = memory(&engine).await / before;
    let name = "engine/10,000 mixed requests from 100 connections";
    let asked = CONNECTIONS as f64 * REQUESTS as f64;
    report.add(Figure::new(format!("{name}, a third of them wrong"), asked / took, "requests/s"));
    report.add(Figure::new(format!("{name}, memory after over before"), grown, "x").at_most(1.05));
    report.add(
        Figure::new(format!("{name}, slowest caller over the mean"), unfairness(&times), "x").at_most(3.0),
    );
    Ok(())
}

/// Memory of the engine and of its models' processes, in bytes, once they have come to rest.
async fn memory(engine: &Engine) -> f64 {
    sleep(Duration::from_secs(3)).await;
    let children = process::children(engine.id()).into_iter().map(|child| process::memory(child.id));
    (process::memory(engine.id()) + children.sum::<u64>()) as f64
}

fn is_open(body: &str) -> anyhow::Result<bool> {
    let job: JobStatus = serde_json::from_str(body)?;
    Ok(matches!(job.state, JobState::Queued | JobState::Running))
}

/// Of all kinds that are right, the worst ratio of a caller's mean time to that of all callers.
fn unfairness(callers: &[Times]) -> f64 {
    let mean = |times: &[f64]| times.iter().sum::<f64>() / times.len().max(1) as f64;
    let right = KINDS.into_iter().filter(|kind| kind.wanted() == Some(StatusCode::OK));
    let worst = right.map(|kind| {
        let means: Vec<_> =
            callers.iter().filter_map(|times| times.get(&kind)).map(|times| mean(times)).collect();
        means.iter().copied().fold(0.0, f64::max) / mean(&means)
    });
    worst.fold(0.0, f64::max)
}

/// Someone with a connection of its own.
struct Caller {
    http: Client,
    url: String,
    random: ChaCha8Rng,
    /// A number that no other caller's jobs have.
    jobs: u64,
    models: Option<(String, String, String)>,
}

impl Caller {
    fn new(engine: &Engine, seed: u64) -> anyhow::Result<Self> {
        let http = Client::builder().no_proxy().pool_max_idle_per_host(1).build()?;
        let random = ChaCha8Rng::seed_from_u64(seed);
        Ok(Self { http, url: engine.url().to_owned(), random, jobs: seed << 32, models: None })
    }

    async fn run(mut self, requests: usize) -> anyhow::Result<Times> {
        self.models = Some(self.models().await?);
        let mut times = Times::new();
        for _ in 0..requests {
            let kind = *KINDS.choose(&mut self.random).context("there are kinds")?;
            let begun = Instant::now();
            if kind == Kind::HalfSent {
                self.send_half().await?;
                continue;
            }
            let (status, body) = self.ask(kind).await.with_context(|| format!("{kind:?}"))?;
            ensure!(Some(status) == kind.wanted(), "{kind:?} gets {status}: {body}");
            times.entry(kind).or_default().push(begun.elapsed().as_secs_f64());
        }
        Ok(times)
    }

    /// Status and body of the answer; of a job, once it is done.
    async fn ask(&mut self, kind: Kind) -> anyhow::Result<(StatusCode, String)> {
        let response = self.request(kind)?.send().await?;
        let (mut status, mut body) = (response.status(), response.text().await?);
        // A job that was not done within the second that its caller waits.
        while kind == Kind::Job && status.is_success() && is_open(&body)? {
            let url = format!("{}/v1/jobs/{:064x}?wait_ms=1000", self.url, self.jobs);
            let response = self.http.get(url).bearer_auth(TOKEN).send().await?;
            (status, body) = (response.status(), response.text().await?);
        }
        Ok((status, body))
    }

    /// Names of a generator and of an evaluator, and the evaluator's id.
    async fn models(&self) -> anyhow::Result<(String, String, String)> {
        let list = self.http.get(format!("{}/v1/models", self.url)).bearer_auth(TOKEN).send().await?;
        let list: Value = list.error_for_status()?.json().await?;
        let first = |kind: &str, field: &str| {
            let mut models = list.get("data")?.as_array()?.iter();
            let model = models.find(|model| model.get("kind").and_then(Value::as_str) == Some(kind))?;
            model.get(field)?.as_str().map(str::to_owned)
        };
        let names = (first("generator", "id"), first("evaluator", "id"), first("evaluator", "sha256"));
        match names {
            (Some(generator), Some(evaluator), Some(id)) => Ok((generator, evaluator, id)),
            _ => anyhow::bail!("the engine has no demo models: {list}"),
        }
    }

    fn request(&mut self, kind: Kind) -> anyhow::Result<RequestBuilder> {
        let (generator, evaluator, id) = self.models.clone().context("the models are known")?;
        let number: u32 = self.random.random_range(0..1_000);
        let question = format!("What is the capital of country number {number}?");
        let chat = |model: &str, stream: bool| json!({"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 8, "stream": stream});
        let post = |path: &str| self.http.post(format!("{}{path}", self.url));
        Ok(match kind {
            Kind::Chat => post("/v1/chat/completions").bearer_auth(TOKEN).json(&chat(&generator, false)),
            Kind::Stream => post("/v1/chat/completions").bearer_auth(TOKEN).json(&chat(&generator, true)),
            Kind::NoToken => post("/v1/chat/completions").json(&chat(&generator, false)),
            Kind::UnknownModel => post("/v1/chat/completions").bearer_auth(TOKEN).json(&chat("none", false)),
            Kind::Broken => post("/v1/chat/completions")
                .bearer_auth(TOKEN)
                .header("content-type", "application/json")
                .body(r#"{"model": "#),
            Kind::Rerank => post("/v1/rerank").bearer_auth(TOKEN).json(
                &json!({"model": evaluator, "query": question, "documents": ["Lima.", "It is Lima.", "No idea."]}),
            ),
            Kind::Job => {
                self.jobs += 1;
                let job = json!({"kind": "score", "model": id, "prompt": question, "responses": ["Lima.", "Paris."]});
                let url = format!("{}/v1/jobs/{:064x}?wait_ms=1000", self.url, self.jobs);
                self.http.put(url).bearer_auth(TOKEN).json(&job)
            }
            Kind::Models | Kind::HalfSent => self.http.get(format!("{}/v1/models", self.url)).bearer_auth(TOKEN),
        })
    }

    /// Begins a request and goes away.
    async fn send_half(&self) -> anyhow::Result<()> {
        let address = self.url.strip_prefix("http://").context("an address")?;
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: engine\r\ncontent-length: 900\r\n\r\n{")
            .await?;
        Ok(())
    }
}
