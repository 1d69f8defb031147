//! Shared by the tests: the demo models, and an engine that runs in this process.

pub mod gguf;

use poq_primitives::job::{GenerateJob, Job, JobState, JobStatus, ScoreJob};
use poq_worker::{
    aborts::Aborts,
    config::{loopback, EngineConfig, Settings},
    demo::install_demo_models,
    metrics::Metrics,
    models::shelf::{ModelKind, Shelf},
    pool::Pool,
    remote::RemoteConfig,
    runner::Program,
    server,
    token::Token,
    work::{Extras, Generation, Message, Role, Scoring},
};
use std::{net::SocketAddr, path::Path, sync::Arc};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

/// A folder with `models/`, the demo models in it, and room for an engine's data.
pub fn folder_with_models() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    install_demo_models(&folder.path().join("models")).unwrap();
    folder
}

/// The models in `folder`, looked at without an engine.
pub fn shelf(folder: &Path) -> Arc<Shelf> {
    let shelf = Shelf::new(folder.join("models"), folder.join("digests.json"));
    shelf.scan();
    Arc::new(shelf)
}

/// Id of a model of this kind; the test fails if there is none.
pub fn id_of(shelf: &Shelf, kind: ModelKind) -> String {
    shelf.list().iter().find(|model| model.kind == kind).unwrap().id.clone().unwrap()
}

/// Program that becomes the process of a model: the real one.
pub fn program() -> Program {
    Program { path: env!("CARGO_BIN_EXE_poq-worker").into(), arguments: vec!["model-runner".into()] }
}

/// The models in `folder`, ready to be loaded.
pub fn pool(folder: &Path, settings: Settings) -> Arc<Pool> {
    pool_of(folder, settings, program())
}

/// The same with processes of `program`.
pub fn pool_of(folder: &Path, settings: Settings, program: Program) -> Arc<Pool> {
    Pool::new(shelf(folder), settings, program, Aborts::open(folder), Metrics::new().unwrap())
}

pub fn generate(model: &str, prompt: &str) -> GenerateJob {
    GenerateJob {
        model: model.into(),
        prompt: prompt.into(),
        max_tokens: 64,
        max_bytes: 4096,
        temperature_milli: 0,
        seed: 0,
    }
}

/// A generation that goes on for long: nearly every token is as likely as the one that ends the text.
pub fn ramble(model: &str, seed: u32) -> GenerateJob {
    GenerateJob { temperature_milli: 100_000, seed, max_tokens: 400, ..generate(model, "Tell me a story.") }
}

pub fn score(model: &str, prompt: &str, responses: &[&str]) -> ScoreJob {
    let responses = responses.iter().map(|response| (*response).to_owned()).collect();
    ScoreJob { model: model.into(), prompt: prompt.into(), responses }
}

/// A greedy answer to one question.
pub fn ask(model: &str, prompt: &str) -> Generation {
    Generation {
        model: model.to_owned(),
        messages: vec![Message::new(Role::User, prompt.to_owned())],
        max_tokens: 64,
        max_bytes: 4096,
        temperature: 0.0,
        top_p: 1.0,
        seed: 0,
        stop: Vec::new(),
        extras: Extras::default(),
    }
}

/// A generation that goes on for very long.
pub fn long_story(model: &str, seed: u32) -> Generation {
    let (max_tokens, max_bytes) = (3000, 1 << 20);
    Generation { temperature: 100.0, seed, max_tokens, max_bytes, ..ask(model, "Tell me a story.") }
}

/// Pairs that are scored alone, as a chain wants them.
pub fn scoring(question: &str, answers: &[&str]) -> Scoring {
    let answers = answers.iter().map(|answer| (*answer).to_owned()).collect();
    Scoring { model: String::new(), question: question.into(), answers, alone: true }
}

/// The id of test job number `n`.
pub fn job_id(n: u32) -> String {
    format!("{n:064x}")
}

/// Talks to an engine as the driver does.
#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub base: String,
    pub token: Token,
}

impl Client {
    pub fn new(address: SocketAddr, token: Token) -> Self {
        // Whoever comes second is told so, and that is fine.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, base: format!("http://{address}"), token }
    }

    pub async fn put(&self, id: &str, job: &Job, wait_ms: u64) -> reqwest::Response {
        let request = self.http.put(format!("{}/v1/jobs/{id}?wait_ms={wait_ms}", self.base));
        request.bearer_auth(self.token.expose()).json(job).send().await.unwrap()
    }

    /// Puts the job with a deadline, in milliseconds from now.
    pub async fn put_until(&self, id: &str, job: &Job, deadline_ms: u64) -> reqwest::Response {
        let request = self.http.put(format!("{}/v1/jobs/{id}?deadline_ms={deadline_ms}", self.base));
        request.bearer_auth(self.token.expose()).json(job).send().await.unwrap()
    }

    pub async fn get(&self, id: &str, wait_ms: u64) -> reqwest::Response {
        let request = self.http.get(format!("{}/v1/jobs/{id}?wait_ms={wait_ms}", self.base));
        request.bearer_auth(self.token.expose()).send().await.unwrap()
    }

    pub async fn delete(&self, id: &str) -> reqwest::Response {
        let request = self.http.delete(format!("{}/v1/jobs/{id}", self.base));
        request.bearer_auth(self.token.expose()).send().await.unwrap()
    }

    pub async fn state(&self, id: &str) -> JobState {
        self.get(id, 0).await.json::<JobStatus>().await.unwrap().state
    }

    /// Waits, as long as it takes, until the job is finished.
    pub async fn finished(&self, id: &str) -> JobState {
        loop {
            let state = self.get(id, 1_000).await.json::<JobStatus>().await.unwrap().state;
            if matches!(state, JobState::Done { .. } | JobState::Failed { .. }) {
                return state;
            }
        }
    }
}

/// An engine in this process.
pub struct Engine {
    pub client: Client,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), server::EngineError>>,
}

impl Engine {
    pub async fn start(folder: &Path, settings: Settings) -> Self {
        Self::start_with(folder, settings, Vec::new()).await
    }

    /// With these servers elsewhere.
    pub async fn start_with(folder: &Path, settings: Settings, remotes: Vec<RemoteConfig>) -> Self {
        let config = EngineConfig {
            listen: loopback(0),
            allow_remote: false,
            token: Token::random(),
            models: folder.join("models"),
            data: folder.join("data"),
            program: program(),
            remotes,
            settings,
        };
        let token = config.token.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, address) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let served = tokio::spawn(server::serve(config, shutdown, ready));
        let Ok(address) = address.await else { panic!("the engine does not start: {:?}", served.await) };
        Self { client: Client::new(address, token), stop, served }
    }

    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
    }
}
