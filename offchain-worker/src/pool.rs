//! The models in memory: loaded when they are wanted, within a budget, the one unused for longest leaves first.

use crate::{
    aborts::Aborts,
    config::Settings,
    evaluator::EvaluatorOptions,
    generator::GeneratorOptions,
    limits::Unfinished,
    metrics::Metrics,
    models::{
        needs::{estimate, Usage},
        shelf::{Entry, ModelKind, Shelf},
    },
    runner::{child::resident_bytes, protocol::Load, Program, Runner, StartError},
    suspects::{Fingerprint, Standing, Suspects},
    turns::{Turn, Turns},
    work::{Caller, Generated, Generation, Scored, Scoring},
};
use futures::{
    future::{BoxFuture, Shared},
    FutureExt as _,
};
use poq_primitives::job::FailureReason;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

/// Pieces of work that an evaluator is given at a time: the next one is at hand when it has done the last.
pub const SCORE_JOBS: usize = 2;

/// How long a model may take to stop what nobody wants any more: as long as a job may take, within these bounds. One
/// step of a large model on a slow machine takes many seconds.
const PATIENCE: std::ops::RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(60);

/// Time between two looks at whether a model that is set aside was forgiven.
const FORGIVEN_INTERVAL: Duration = Duration::from_secs(1);

/// The models of this machine that are in memory, each in its runner.
#[derive(Debug)]
pub struct Pool {
    shelf: Arc<Shelf>,
    settings: Settings,
    program: Program,
    aborts: Aborts,
    suspects: Suspects,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// Told whenever room may have been made.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    loaded: HashMap<String, Held>,
    loading: HashMap<String, Loading>,
    /// Why a model last did not load.
    broken: HashMap<String, String>,
    /// What a model took of the budget when it was last loaded.
    sizes: HashMap<String, u64>,
    /// Jobs that wait for room. Nothing else is begun meanwhile, or models in use would never leave.
    jobs_without_room: usize,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("loaded", &self.loaded.keys()).field("broken", &self.broken).finish()
    }
}

type LoadOutcome = Result<Arc<Loaded>, Unfinished>;

struct Loading {
    bytes: u64,
    outcome: Shared<BoxFuture<'static, LoadOutcome>>,
}

struct Held {
    model: Arc<Loaded>,
    users: usize,
    last_used: Instant,
}

/// A model in memory.
#[derive(Debug)]
struct Loaded {
    id: String,
    name: String,
    runner: Runner,
    /// What it takes of the budget.
    bytes: u64,
    turns: Arc<Turns>,
}

/// Whether a model is in memory, or why it cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// On disk; it is loaded when work wants it.
    Available,
    /// Being loaded.
    Loading,
    /// In memory.
    Loaded {
        /// What it takes of the budget.
        bytes: u64,
        /// Its process.
        pid: u32,
    },
    /// It did not load when it was last tried.
    Broken(String),
    /// It died too often and is not tried for a while. Why and for how long, in one line.
    SetAside(String),
}

/// A model that is in use; dropping it ends the use.
struct Lease {
    pool: Arc<Pool>,
    model: Arc<Loaded>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        // A model that died may have been loaded anew meanwhile; that one's users are others.
        let same = |held: &&mut Held| Arc::ptr_eq(&held.model, &self.model);
        if let Some(held) = state.loaded.get_mut(&self.model.id).filter(same) {
            held.users = held.users.saturating_sub(1);
            held.last_used = Instant::now();
        }
        drop(state);
        self.pool.tell();
    }
}

/// A job that waits for room; dropping it lets others begin again.
struct WaitsForRoom<'a>(&'a Pool);

impl<'a> WaitsForRoom<'a> {
    fn begin(pool: &'a Pool) -> Self {
        let mut state = pool.lock();
        state.jobs_without_room = state.jobs_without_room.saturating_add(1);
        Self(pool)
    }
}

impl Drop for WaitsForRoom<'_> {
    fn drop(&mut self) {
        {
            let mut state = self.0.lock();
            state.jobs_without_room = state.jobs_without_room.saturating_sub(1);
        }
        self.0.tell();
    }
}

impl Pool {
    /// An empty pool. Runners are made of `program`.
    pub fn new(
        shelf: Arc<Shelf>,
        settings: Settings,
        program: Program,
        aborts: Aborts,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let (changed, _) = watch::channel(());
        let (suspects, state) = (Suspects::default(), Mutex::default());
        Arc::new(Self { shelf, settings, program, aborts, suspects, metrics, state, changed })
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Makes an answer with the generator `work.model`, for whoever asks and waits; `pieces` gets its text as it grows.
    pub async fn generate(
        self: &Arc<Self>,
        work: &Generation,
        pieces: Option<mpsc::Sender<String>>,
    ) -> Result<Generated, Unfinished> {
        self.generate_for(Caller::Direct, work, pieces).await
    }

    /// As [`Self::generate`], for this caller.
    pub async fn generate_for(
        self: &Arc<Self>,
        caller: Caller,
        work: &Generation,
        pieces: Option<mpsc::Sender<String>>,
    ) -> Result<Generated, Unfinished> {
        let print = Fingerprint::of(work);
        let (lease, _turn) = self.begin(caller, &work.model, ModelKind::Generator, print).await?;
        let outcome = lease.model.runner.generate(work, pieces).await;
        self.note(&lease.model, print, outcome)
    }

    /// Scores answers with the evaluator `work.model`, for whoever asks and waits.
    pub async fn score(self: &Arc<Self>, work: &Scoring) -> Result<Scored, Unfinished> {
        self.score_for(Caller::Direct, work).await
    }

    /// As [`Self::score`], for this caller.
    pub async fn score_for(self: &Arc<Self>, caller: Caller, work: &Scoring) -> Result<Scored, Unfinished> {
        let print = Fingerprint::of(work);
        let (lease, _turn) = self.begin(caller, &work.model, ModelKind::Evaluator, print).await?;
        let outcome = lease.model.runner.score(work).await;
        self.note(&lease.model, print, outcome)
    }

    /// The model and a turn at it. A process that dies before it gets the work is replaced: that death is not the work's.
    async fn begin(
        self: &Arc<Self>,
        caller: Caller,
        id: &str,
        kind: ModelKind,
        print: Fingerprint,
    ) -> Result<(Lease, Turn), Unfinished> {
        loop {
            let standing = self.suspects.standing(print);
            if standing == Standing::Guilty {
                return Err(Unfinished::failed(
                    FailureReason::EngineAborted,
                    "the model's process died under this very request before; it is not run again, change it",
                ));
            }
            let lease = self.acquire(caller, id, kind).await?;
            let turn = match standing {
                Standing::Clear => lease.model.turns.one(caller).await?,
                Standing::Suspect | Standing::Guilty => lease.model.turns.all(caller).await?,
            };
            if !lease.model.runner.is_dead() && self.suspects.standing(print) == standing {
                return Ok((lease, turn));
            }
        }
    }

    /// Loads the model now, if it is not loaded; says what is known of it.
    pub async fn load(self: &Arc<Self>, entry: &Entry) -> Result<crate::runner::protocol::Facts, Unfinished> {
        let id = entry.id.as_deref().map_err(|error| Unfinished::unavailable(error.to_owned()))?;
        Ok(self.acquire(Caller::Direct, id, entry.kind).await?.model.runner.facts.clone())
    }

    /// Where the model stands.
    pub fn presence(&self, id: &str) -> Presence {
        if let Some(aside) = self.aborts.set_aside(id) {
            return Presence::SetAside(aside.in_words());
        }
        let state = self.lock();
        if let Some(held) = state.loaded.get(id) {
            return Presence::Loaded { bytes: held.model.bytes, pid: held.model.runner.pid };
        }
        if state.loading.contains_key(id) {
            return Presence::Loading;
        }
        state.broken.get(id).cloned().map_or(Presence::Available, Presence::Broken)
    }

    /// What is wrong with the chat template of a generator, if it is not replaced by the configuration.
    pub fn template_fault(&self, entry: &Entry) -> Option<String> {
        let replaced = matches!(self.settings.chat_template_of(&entry.name), Ok(Some(_)));
        entry.template_fault.clone().filter(|_| !replaced)
    }

    /// How many pieces of work use the model now.
    pub fn users(&self, id: &str) -> usize {
        self.lock().loaded.get(id).map_or(0, |held| held.users)
    }

    /// Bytes in use, models loaded or loading.
    pub fn used(&self) -> (u64, usize) {
        let state = self.lock();
        (state.used(), state.loaded.len().saturating_add(state.loading.len()))
    }

    /// Whoever wants the models in memory next has to load them.
    pub fn clear(&self) {
        self.lock().loaded.clear();
    }

    /// Counts what the model's process did, good or bad.
    fn note<T>(
        self: &Arc<Self>,
        model: &Loaded,
        print: Fingerprint,
        outcome: Result<T, Unfinished>,
    ) -> Result<T, Unfinished> {
        match &outcome {
            Ok(_) => {
                self.suspects.lived(print);
                self.aborts.lives(&model.id);
            }
            // The process has seen it and lives.
            Err(Unfinished::Failed(_)) => self.suspects.lived(print),
            Err(Unfinished::Died(_)) => self.bury(model),
            Err(Unfinished::Cancelled) => {}
        }
        outcome
    }

    /// A model died. Of all who learn of it, the first to come here counts.
    fn bury(&self, model: &Loaded) {
        let Some(death) = model.runner.death() else { return };
        let mut state = self.lock();
        let same = |held: &&Held| std::ptr::eq(Arc::as_ptr(&held.model), model);
        if state.loaded.get(&model.id).filter(same).is_none() {
            return;
        }
        state.loaded.remove(&model.id);
        // One that had nothing to do died of no request, and says nothing about the model.
        let busy = !death.under.is_empty();
        // Before anyone can ask again.
        let news = busy && self.suspects.died(&death.under, death.crashed);
        drop(state);
        if busy {
            let in_a_row = if news { self.aborts.died(&model.id, &death.how).count } else { 0 };
            self.metrics.died(&model.name);
            let (how, requests) = (death.how.as_str(), death.under.len());
            tracing::error!(model = model.name, how, requests, in_a_row, "a model's process died");
        }
        self.tell();
    }

    async fn acquire(
        self: &Arc<Self>,
        caller: Caller,
        id: &str,
        kind: ModelKind,
    ) -> Result<Lease, Unfinished> {
        let mut changed = self.changed.subscribe();
        let mut waits = None;
        loop {
            changed.borrow_and_update();
            match self.try_acquire(caller, id, kind).await? {
                Next::Use(lease) => return Ok(lease),
                Next::Load(outcome) => drop(outcome.await?),
                Next::Wait => {
                    if caller == Caller::Job && waits.is_none() {
                        waits = Some(WaitsForRoom::begin(self));
                    }
                    // The pool lives as long as this does, so the channel is open.
                    drop(changed.changed().await);
                }
                Next::Later(left) => tokio::time::sleep(left.min(FORGIVEN_INTERVAL)).await,
            }
        }
    }

    async fn try_acquire(
        self: &Arc<Self>,
        caller: Caller,
        id: &str,
        kind: ModelKind,
    ) -> Result<Next, Unfinished> {
        if let Some(next) = self.take_up(&mut self.lock(), caller, id) {
            return Ok(next);
        }
        let entry = self.entry(id, kind).await?;
        if let Some(aside) = self.aborts.set_aside(id) {
            // A job may wait: it is paid for, and would fail for good.
            if caller == Caller::Job && aside.left <= self.settings.job_time {
                return Ok(Next::Later(aside.left));
            }
            return Err(Unfinished::unavailable(format!(
                "{} is set aside: {}, or after `poq-worker models retry {}`",
                entry.name,
                aside.in_words(),
                entry.name
            )));
        }
        let known = self.lock().sizes.get(id).copied();
        let bytes = match known {
            Some(bytes) => bytes,
            None => self.estimate(&entry).await?,
        };
        self.check_fits(&entry.name, bytes)?;
        let mut state = self.lock();
        if let Some(next) = self.take_up(&mut state, caller, id) {
            return Ok(next);
        }
        if !state.make_room(bytes, self.settings.memory, &self.metrics) {
            return Ok(Next::Wait);
        }
        let loading = tokio::spawn(Arc::clone(self).load_entry(Arc::clone(&entry)));
        let outcome = async move {
            loading.await.unwrap_or_else(|_| Err(Unfinished::internal("a model's loading failed")))
        };
        let outcome = outcome.boxed().shared();
        state.loading.insert(id.to_owned(), Loading { bytes, outcome: outcome.clone() });
        Ok(Next::Load(outcome))
    }

    /// Expected size of a model that was not loaded before, in bytes.
    async fn estimate(&self, entry: &Arc<Entry>) -> Result<u64, Unfinished> {
        let (entry, usage) = (Arc::clone(entry), Usage::of(&self.settings));
        let estimated = tokio::task::spawn_blocking(move || estimate(&entry, &usage)).await;
        estimated.map_err(|_| Unfinished::internal("estimating a model's size failed"))
    }

    fn check_fits(&self, name: &str, bytes: u64) -> Result<(), Unfinished> {
        let most = self.settings.memory;
        if bytes <= most {
            return Ok(());
        }
        Err(Unfinished::unavailable(format!(
            "{name} takes {} MiB and the engine may use {} MiB; raise --memory-mib, lower --context or --parallel, or \
             serve a smaller model",
            mib(bytes),
            mib(most)
        )))
    }

    /// The model if it is there, or who loads it already. Whoever does not pay waits while a job waits for room.
    fn take_up(self: &Arc<Self>, state: &mut State, caller: Caller, id: &str) -> Option<Next> {
        if caller == Caller::Direct && state.jobs_without_room > 0 {
            return Some(Next::Wait);
        }
        if let Some(held) = state.loaded.get_mut(id) {
            if !held.model.runner.is_dead() {
                held.users = held.users.saturating_add(1);
                held.last_used = Instant::now();
                return Some(Next::Use(Lease { pool: Arc::clone(self), model: Arc::clone(&held.model) }));
            }
            // It is buried in a moment by whoever watches it.
            return Some(Next::Wait);
        }
        state.loading.get(id).map(|loading| Next::Load(loading.outcome.clone()))
    }

    async fn entry(&self, id: &str, kind: ModelKind) -> Result<Arc<Entry>, Unfinished> {
        let (shelf, wanted) = (Arc::clone(&self.shelf), id.to_owned());
        let found = tokio::task::spawn_blocking(move || shelf.find(&wanted)).await;
        let entry = found
            .map_err(|_| Unfinished::internal("looking for a model failed"))?
            .ok_or_else(|| Unfinished::unavailable("this engine does not hold the model"))?;
        if entry.kind == kind {
            return Ok(entry);
        }
        let (is, wanted) = match kind {
            ModelKind::Generator => ("an evaluator", "a generator"),
            ModelKind::Evaluator => ("a generator", "an evaluator"),
        };
        Err(Unfinished::unavailable(format!("{} is {is}, not {wanted}", entry.name)))
    }

    /// Loads the model, come what may of those who asked for it.
    async fn load_entry(self: Arc<Self>, entry: Arc<Entry>) -> LoadOutcome {
        let outcome = self.start(&entry).await;
        let id = entry.id.clone().unwrap_or_default();
        let mut state = self.lock();
        state.loading.remove(&id);
        let outcome = outcome.and_then(|model| {
            state.sizes.insert(id.clone(), model.bytes);
            self.check_fits(&model.name, model.bytes)?;
            Ok(model)
        });
        match &outcome {
            Ok(model) => {
                state.broken.remove(&id);
                // It may take more than was guessed. Who is in use stays, and then the budget is exceeded for as long.
                let _exceeded = !state.make_room(model.bytes, self.settings.memory, &self.metrics);
                let held = Held { model: Arc::clone(model), users: 0, last_used: Instant::now() };
                state.loaded.insert(id, held);
                self.watch(model);
            }
            Err(Unfinished::Failed(error)) => drop(state.broken.insert(id, error.message.clone())),
            Err(_) => {}
        }
        drop(state);
        self.tell();
        outcome
    }

    /// Buries the model when it dies, even if nobody waits for it any more.
    fn watch(self: &Arc<Self>, model: &Arc<Loaded>) {
        let Some(ends) = model.runner.ends() else { return };
        // Neither pool nor model lives longer for being watched.
        let (pool, model) = (Arc::downgrade(self), Arc::downgrade(model));
        tokio::spawn(async move {
            if ends.await.is_err() {
                return;
            }
            if let (Some(pool), Some(model)) = (pool.upgrade(), model.upgrade()) {
                pool.bury(&model);
            }
        });
    }

    async fn start(&self, entry: &Arc<Entry>) -> LoadOutcome {
        let id = entry.id.clone().map_err(Unfinished::unavailable)?;
        let (shelf, verified) = (Arc::clone(&self.shelf), Arc::clone(entry));
        let verified = tokio::task::spawn_blocking(move || shelf.verify(&verified)).await;
        verified
            .map_err(|_| Unfinished::internal("checking a model failed"))?
            .map_err(|error| Unfinished::unavailable(format!("{}: {error}", entry.name)))?;
        let load = self.order_for(entry).map_err(Unfinished::unavailable)?;
        let begun = Instant::now();
        let patience = self.settings.job_time.clamp(*PATIENCE.start(), *PATIENCE.end());
        match self.start_runner(&entry.name, &load, patience).await {
            Ok(runner) => {
                let bytes = resident_bytes(runner.pid).unwrap_or(entry.bytes).max(entry.bytes);
                tracing::info!(
                    model = entry.name,
                    pid = runner.pid,
                    mib = mib(bytes),
                    ms = begun.elapsed().as_millis(),
                    "loaded"
                );
                self.metrics.loaded(&entry.name);
                let turns = Turns::new(self.turns_of(entry));
                Ok(Arc::new(Loaded { id, name: entry.name.clone(), runner, bytes, turns }))
            }
            Err(StartError::Died(how)) => {
                let deaths = self.aborts.died(&id, &format!("while loading, {how}"));
                self.metrics.died(&entry.name);
                tracing::error!(
                    model = entry.name,
                    how,
                    in_a_row = deaths.count,
                    "a model's process died while loading"
                );
                Err(Unfinished::unavailable(format!(
                    "{} does not load: its process ended, {how}",
                    entry.name
                )))
            }
            Err(error) => {
                tracing::warn!(model = entry.name, %error, "the model does not load");
                Err(Unfinished::unavailable(format!("{} does not load: {error}", entry.name)))
            }
        }
    }

    /// Starts the model's process. If it dies while an evaluator tries bf16, the evaluator is loaded without.
    async fn start_runner(&self, name: &str, load: &Load, patience: Duration) -> Result<Runner, StartError> {
        let started = Runner::start(&self.program, load, patience).await;
        match (started, load.without_bf16()) {
            (Err(StartError::Died(how)), Some(load)) => {
                tracing::warn!(
                    model = name,
                    how,
                    "its process died while bf16 was tried; it is loaded without"
                );
                Runner::start(&self.program, &load, patience).await
            }
            (started, _) => started,
        }
    }

    /// How many orders the runner is given at a time. A generator works on as many as it has contexts.
    fn turns_of(&self, entry: &Entry) -> usize {
        match entry.kind {
            ModelKind::Generator => self.settings.parallel as usize,
            ModelKind::Evaluator => SCORE_JOBS,
        }
    }

    fn order_for(&self, entry: &Entry) -> Result<Load, String> {
        let settings = &self.settings;
        Ok(match entry.kind {
            ModelKind::Generator => {
                let options = GeneratorOptions {
                    context: settings.context,
                    parallel: settings.parallel,
                    threads: settings.threads,
                    gpu_layers: settings.gpu_layers,
                    chat_template: settings.chat_template_of(&entry.name)?,
                };
                Load::Generator { path: entry.path.clone(), options }
            }
            ModelKind::Evaluator => {
                let options = EvaluatorOptions {
                    threads: settings.score_threads,
                    batch_tokens: settings.batch_tokens,
                    precision: settings.score_precision,
                    causal_threads: settings.threads,
                    gpu_layers: settings.gpu_layers,
                };
                Load::Evaluator { folder: entry.path.clone(), options }
            }
        })
    }

    fn tell(&self) {
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to do to get a model.
enum Next {
    Use(Lease),
    /// It is being loaded.
    Load(Shared<BoxFuture<'static, LoadOutcome>>),
    /// There is no room until another model is no longer used, or this one is buried.
    Wait,
    /// It is set aside for so long.
    Later(Duration),
}

impl State {
    fn used(&self) -> u64 {
        let loaded = self.loaded.values().map(|held| held.model.bytes);
        loaded.chain(self.loading.values().map(|loading| loading.bytes)).fold(0, u64::saturating_add)
    }

    /// Lets models go that nobody uses, the one unused for longest first, until `bytes` more fit into `budget`; says
    /// whether they do.
    fn make_room(&mut self, bytes: u64, budget: u64, metrics: &Metrics) -> bool {
        while self.used().saturating_add(bytes) > budget {
            let unused = self.loaded.iter().filter(|(_, held)| held.users == 0);
            let Some(id) = unused.min_by_key(|(_, held)| held.last_used).map(|(id, _)| id.clone()) else {
                return false;
            };
            if let Some(held) = self.loaded.remove(&id) {
                tracing::info!(model = held.model.name, "leaves the memory to make room");
                metrics.evicted(&held.model.name);
            }
        }
        true
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1024 * 1024)
}
