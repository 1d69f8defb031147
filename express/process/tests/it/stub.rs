//! What stands around the process in a test: chain, engine, operators, a raw client.

use axum::{
    extract::{Path, State as Shared},
    routing::put,
    Json, Router,
};
use bytes::Bytes;
use codec::Encode as _;
use futures::{future::BoxFuture, FutureExt as _};
use http_body_util::Full;
use hyper::{client::conn::http2::SendRequest, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use poq_express::{
    crypto::{Crypto, Sr25519},
    view::{Channel, EpochView, Snapshot, View},
    wire::{Certificate, Equivocation},
};
use poq_express_process::{
    ask::{Asker, Setup as AskSetup, Terms},
    chain::{Chain, ChainError, Challenge, Endpoint, Registration, Shown, Stalled, State, States, Verdict},
    disk::{Disk, Redb},
    engine::{Engine, Settings as EngineSettings},
    metrics::Metrics,
    operator::is_valid,
    serve::{operate, ServeError, Setup},
    settle,
    transport::{
        hello::{self, Binding, Caller, Hello},
        tls::{self, Identity},
        Limits,
    },
};
use poq_primitives::{
    express::{Key, OrderName, Seat},
    job::{Job, JobResult, JobState, JobStatus},
};
use rustls::pki_types::ServerName;
use sp_arithmetic::Permill;
use sp_core::{sr25519, Pair as _};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path as FilePath,
    sync::{
        atomic::{AtomicBool, AtomicU32, Ordering},
        Arc, Mutex,
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub const GENESIS: [u8; 32] = [3; 32];
pub const CHANNEL: u64 = 1;
pub const EPOCH: u32 = 5;
pub const TOKEN: &str = "0123456789abcdef";

/// Long enough for whatever comes at all, so that a test that fails says so.
const PATIENCE: Duration = Duration::from_secs(60);

/// Limits of parties on a busy machine: without optimization a signature takes 50 ms and more, and members that stop waiting for each other's
/// outputs come to no quorum.
fn patient() -> poq_express::limits::Limits {
    let long = Duration::from_secs(30);
    poq_express::limits::Limits {
        outputs: long,
        forward: Duration::from_secs(5),
        missing_outputs: long,
        propose: Duration::from_secs(10),
        retry: Duration::from_secs(2),
        ..Default::default()
    }
}

pub fn key(number: u8) -> Sr25519 {
    Sr25519::new(sr25519::Pair::from_seed(&[number; 32]), [number; 32])
}

pub fn terms(responders: u8, committee: u8) -> Terms {
    Terms {
        generator: [1; 32],
        evaluator: [2; 32],
        responders,
        committee,
        max_tokens: 10,
        temperature_milli: 0,
        seed: 7,
        min_quality: Permill::zero(),
        budget: 10,
        audit: None,
    }
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub async fn within<T>(what: &str, future: impl std::future::Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// Simulated chain: every batch is finalized at once.
pub struct TestChain {
    sender: watch::Sender<Arc<State>>,
    pub batches: Mutex<Vec<Vec<OrderName>>>,
    pub escalated: Mutex<Vec<Stalled>>,
    pub shown: Mutex<Vec<Shown>>,
    pub proofs: Mutex<Vec<(Challenge, [u8; 64])>>,
    pub is_away: AtomicBool,
}

impl TestChain {
    /// One channel, and `operators` in the snapshots of both models.
    pub fn new(operators: u8) -> Arc<Self> {
        let mut until = 0;
        let seats = (1..=operators).map(|number| {
            until += 10;
            let key = key(number).key();
            Seat { operator: key, key, until, vote: 1 }
        });
        let seats: Snapshot = seats.collect();
        let snapshots = BTreeMap::from([([1; 32], seats.clone()), ([2; 32], seats)]);
        let channel = Channel {
            owner: [99; 32],
            key: key(0).key(),
            balance: 10_000,
            most_per_order: 10,
            orders_per_epoch: 100,
            used: BTreeMap::new(),
            from: 0,
            closing: false,
        };
        let view = View {
            genesis: GENESIS,
            epoch: EPOCH,
            epochs: BTreeMap::from([(EPOCH, EpochView { seed: [4; 32], snapshots })]),
            channels: BTreeMap::from([(CHANNEL, channel)]),
        };
        let state = State { view, ..State::default() };
        Arc::new(Self {
            sender: watch::channel(Arc::new(state)).0,
            batches: Mutex::default(),
            escalated: Mutex::default(),
            shown: Mutex::default(),
            proofs: Mutex::default(),
            is_away: AtomicBool::new(false),
        })
    }

    pub fn change(&self, change: impl FnOnce(&mut State)) {
        self.sender.send_modify(|state| change(Arc::make_mut(state)));
    }

    pub fn state(&self) -> Arc<State> {
        self.sender.borrow().clone()
    }

    pub fn set_endpoint_of(&self, key: Key, endpoint: Endpoint) {
        self.change(|state| drop(state.endpoints.insert(key, endpoint)));
    }

    pub fn use_name(&self, name: &OrderName) {
        self.change(|state| {
            let channel = state.view.channels.get_mut(&name.channel).unwrap();
            channel.used.entry(name.epoch).or_default().insert(name.index);
        });
    }

    pub fn used(&self) -> BTreeSet<u32> {
        let state = self.state();
        state.view.channels[&CHANNEL].used.get(&EPOCH).cloned().unwrap_or_default()
    }

    fn settle(&self, certificates: &[Certificate]) -> Result<Vec<Verdict>, ChainError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(ChainError::Try("the node is away".into()));
        }
        let names = certificates.iter().map(|certificate| certificate.order.name).collect();
        self.batches.lock().unwrap().push(names);
        let mut verdicts = Vec::new();
        for certificate in certificates {
            let holds = is_valid(&key(0), &self.state(), certificate);
            verdicts.push(if holds { Verdict::Settled } else { Verdict::Never("invalid".into()) });
            if holds {
                self.use_name(&certificate.order.name);
            }
        }
        Ok(verdicts)
    }
}

impl Chain for TestChain {
    fn states(&self) -> States {
        self.sender.subscribe()
    }

    fn can_submit(&self) -> bool {
        true
    }

    fn settle_batch<'a>(
        &'a self,
        certificates: &'a [Certificate],
    ) -> BoxFuture<'a, Result<Vec<Verdict>, ChainError>> {
        async move { self.settle(certificates) }.boxed()
    }

    fn escalate<'a>(&'a self, stalled: &'a Stalled) -> BoxFuture<'a, Result<(), ChainError>> {
        self.escalated.lock().unwrap().push(stalled.clone());
        let name = stalled.escalation.offer.order.name;
        self.use_name(&name);
        self.change(|state| state.escalated.extend([(name, 77)]));
        async { Ok(()) }.boxed()
    }

    fn report_equivocation<'a>(
        &'a self,
        _: Key,
        _: &'a Equivocation,
    ) -> BoxFuture<'a, Result<(), ChainError>> {
        async { Ok(()) }.boxed()
    }

    fn show_output<'a>(&'a self, shown: &'a Shown) -> BoxFuture<'a, Result<(), ChainError>> {
        self.shown.lock().unwrap().push(shown.clone());
        async { Ok(()) }.boxed()
    }

    fn answer_challenge<'a>(
        &'a self,
        challenge: &'a Challenge,
        proof: &'a [u8; 64],
    ) -> BoxFuture<'a, Result<(), ChainError>> {
        self.proofs.lock().unwrap().push((*challenge, *proof));
        async { Ok(()) }.boxed()
    }

    fn set_endpoint<'a>(&'a self, registration: &'a Registration) -> BoxFuture<'a, Result<(), ChainError>> {
        self.set_endpoint_of(registration.key, registration.endpoint.clone());
        async { Ok(()) }.boxed()
    }
}

/// Simulated engine: the HTTP of the job contract, with texts and scores that are made up. No model is at work.
#[derive(Clone, Default)]
pub struct TestEngine {
    /// While set, score jobs stay in the queue.
    pub holds_scores: Arc<AtomicBool>,
    /// While set, generate jobs stay in the queue.
    pub holds_answers: Arc<AtomicBool>,
    /// Jobs by id, each with how often it was asked for.
    pub asked: Arc<Mutex<BTreeMap<String, u32>>>,
    pub done: Arc<AtomicU32>,
}

impl TestEngine {
    pub async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/v1/jobs/{id}", put(do_job)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}")
    }
}

async fn do_job(
    Shared(engine): Shared<TestEngine>,
    Path(id): Path<String>,
    headers: axum::http::HeaderMap,
    Json(job): Json<Job>,
) -> (StatusCode, Json<JobStatus>) {
    assert_eq!(headers["authorization"], format!("Bearer {TOKEN}"));
    *engine.asked.lock().unwrap().entry(id.clone()).or_default() += 1;
    let hold = match job {
        Job::Generate(_) => &engine.holds_answers,
        Job::Score(_) => &engine.holds_scores,
    };
    if hold.load(Ordering::SeqCst) {
        // As the engine does with `wait_ms`.
        sleep(Duration::from_millis(100)).await;
        return (StatusCode::ACCEPTED, Json(JobStatus { id, state: JobState::Running }));
    }
    engine.done.fetch_add(1, Ordering::SeqCst);
    let result = match job {
        Job::Generate(job) => JobResult::Generate { text: format!("an answer to {}", job.prompt), tokens: 3 },
        Job::Score(job) => JobResult::Score { scores: job.responses.iter().map(|_| 700_000).collect() },
    };
    (StatusCode::OK, Json(JobStatus { id, state: JobState::Done { result } }))
}

/// Settings under which tests need not wait.
pub fn eager() -> settle::Settings {
    let brief = Duration::from_millis(50);
    settle::Settings { age: brief, turn: Duration::from_secs(5), pause: brief, ..Default::default() }
}

/// An operator's process in this process.
pub struct TestOperator {
    pub key: Key,
    pub address: SocketAddr,
    pub fingerprint: [u8; 32],
    pub metrics: Metrics,
    closing: CancellationToken,
    running: JoinHandle<Result<(), ServeError>>,
}

impl TestOperator {
    /// Starts an operator with the folder's database and certificate, and says its address on chain.
    pub async fn start(number: u8, chain: &Arc<TestChain>, engine: &str, folder: &FilePath) -> Self {
        let disk = Arc::new(Redb::open(folder).unwrap());
        Self::start_with(number, chain, engine, folder, disk, Limits::default()).await
    }

    pub async fn start_with(
        number: u8,
        chain: &Arc<TestChain>,
        engine: &str,
        folder: &FilePath,
        disk: Arc<dyn Disk>,
        transport: Limits,
    ) -> Self {
        let crypto = key(number);
        let identity = Identity::load_or_create(&folder.join("tls.pem")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, fingerprint) = (listener.local_addr().unwrap(), identity.fingerprint());
        let (closing, metrics) = (CancellationToken::new(), Metrics::new().unwrap());
        let token = TOKEN.to_owned();
        let settings = EngineSettings::default();
        let engine = Engine::new(engine, token, GENESIS, crypto.key(), settings, metrics.clone()).unwrap();
        let key = crypto.key();
        let setup = Setup {
            crypto,
            identity,
            listener,
            limits: patient(),
            transport,
            settle: eager(),
            engine,
            chain: chain.clone(),
            disk,
            metrics: metrics.clone(),
            closing: closing.clone(),
        };
        let running = tokio::spawn(operate(setup));
        chain.set_endpoint_of(key, Endpoint { address: address.to_string(), tls: fingerprint });
        Self { key, address, fingerprint, metrics, closing, running }
    }

    /// Ends the process as a signal does; what is in memory is gone.
    pub async fn stop(self) {
        self.closing.cancel();
        within("the operator ends", self.running).await.unwrap().unwrap();
    }

    pub fn is_finished(&self) -> bool {
        self.running.is_finished()
    }

    /// Waits for an end that nobody asked for.
    pub async fn failure(self) -> ServeError {
        within("the operator fails", self.running).await.unwrap().unwrap_err()
    }
}

/// Operators 1 to `count`, each with a folder of its own.
pub struct World {
    pub chain: Arc<TestChain>,
    pub engine: TestEngine,
    pub url: String,
    pub operators: Vec<Option<TestOperator>>,
    pub folder: tempfile::TempDir,
}

impl World {
    pub async fn new(count: u8) -> Self {
        let (chain, engine) = (TestChain::new(count), TestEngine::default());
        let (url, folder) = (engine.start().await, tempfile::tempdir().unwrap());
        let mut operators = Vec::new();
        for number in 1..=count {
            let folder = folder.path().join(number.to_string());
            operators.push(Some(TestOperator::start(number, &chain, &url, &folder).await));
        }
        Self { chain, engine, url, operators, folder }
    }

    pub async fn asker(&self) -> Asker<Sr25519> {
        let disk = Arc::new(Redb::open(&self.folder.path().join("requester")).unwrap());
        asker(&self.chain, disk).await
    }

    /// Stops an operator and starts it again on its folder.
    pub async fn restart(&mut self, index: usize) {
        self.operators[index].take().unwrap().stop().await;
        let number = u8::try_from(index + 1).unwrap();
        let folder = self.folder.path().join(number.to_string());
        let again = TestOperator::start(number, &self.chain, &self.url, &folder).await;
        self.operators[index] = Some(again);
    }
}

pub async fn asker(chain: &Arc<TestChain>, disk: Arc<dyn Disk>) -> Asker<Sr25519> {
    let setup = AskSetup {
        crypto: key(0),
        channel: CHANNEL,
        chain: chain.clone() as Arc<dyn Chain>,
        disk,
        limits: patient(),
        transport: Limits::default(),
        metrics: Metrics::new().unwrap(),
    };
    Asker::start(setup).await.unwrap()
}

/// A client that a test drives by hand: it may do wrong what `Peers` does right.
pub struct RawClient {
    pub sender: SendRequest<Full<Bytes>>,
    pub binding: Binding,
    pub closed: JoinHandle<()>,
}

impl RawClient {
    pub async fn connect(address: SocketAddr, fingerprint: [u8; 32], server: Key) -> Result<Self, String> {
        let config = tls::client(fingerprint).map_err(|error| error.to_string())?;
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let name = ServerName::try_from("poq-express.invalid").unwrap();
        let connector = tokio_rustls::TlsConnector::from(config);
        let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
        let session = hello::session(stream.get_ref().1).unwrap();
        let binding = Binding { genesis: GENESIS, certificate: fingerprint, session, server };
        let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| error.to_string())?;
        let closed = tokio::spawn(connection.map(drop));
        Ok(Self { sender, binding, closed })
    }

    pub async fn to(operator: &TestOperator) -> Self {
        Self::connect(operator.address, operator.fingerprint, operator.key).await.unwrap()
    }

    /// Status of the answer; `None` if the connection is lost.
    pub async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Option<StatusCode> {
        let request = Request::post(format!("https://poq-express.invalid{path}"));
        let request = request.body(Full::new(body.into())).unwrap();
        self.sender.ready().await.ok()?;
        let answer = within("an answer", self.sender.send_request(request)).await;
        answer.ok().map(|answer| answer.status())
    }

    pub fn signed(&self, crypto: &impl Crypto, caller: Caller) -> Vec<u8> {
        Hello { caller, signature: crypto.sign(&self.binding.digest(&caller)) }.encode()
    }

    /// Whether the server has closed the connection.
    pub async fn closes(self) -> bool {
        timeout(PATIENCE, self.closed).await.is_ok()
    }
}
