//! The models in memory: loaded when they are wanted, within a budget, the one unused for longest leaves first. Who waits for
//! memory gets it in the order of [`crate::room`].

use crate::{
    aborts::Aborts,
    config::Settings,
    evaluator::EvaluatorOptions,
    generator::GeneratorOptions,
    limits::{LengthUnit, TooLong, Unfinished},
    lookout::Lookout,
    metrics::Metrics,
    models::{
        needs::{estimate, Usage},
        shelf::{Entry, ModelKind, Shelf},
    },
    room::{Place, Room},
    runner::{
        child::resident_bytes,
        protocol::{Facts, Load},
        Program, Runner, StartError,
    },
    suspects::{Fingerprint, Standing, Suspects},
    turns::{Turn, Turns},
    work::{Caller, Embedded, Embedding, Generated, Generation, Scored, Scoring},
};
use futures::{
    future::{BoxFuture, Shared},
    FutureExt as _,
};
use poq_primitives::job::{FailureReason, JobError};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

/// Pieces of work that an evaluator is given at a time: the next one is at hand when it has done the last.
pub const SCORE_JOBS: usize = 2;

/// Texts that an evaluator takes from one direct request before others have their turn.
const TEXTS_AT_ONCE: usize = 64;

/// Longest time for a model to stop work that nobody wants any more: as long as a job may take, within these bounds. One
/// step of a large model on a slow machine takes many seconds.
const PATIENCE: std::ops::RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(60);

/// Time between two looks at whether a model that is set aside was forgiven.
const FORGIVEN_INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait of a direct request for a look at the models folder. A job waits as long as it may run: it is paid for, and
/// would fail for good.
pub const LOOK_PATIENCE: Duration = Duration::from_secs(2);

/// Pause before a model that did not load is tried again.
pub const BROKEN_PAUSE: Duration = Duration::from_secs(30);

/// Longest time that a model which was just loaded stays for those who waited for it, although nobody uses it.
const CLAIM_TIME: Duration = Duration::from_secs(2);

/// Longest time between two looks at whether a request may begin.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The models of this machine that are in memory, each in its runner.
#[derive(Debug)]
pub struct Pool {
    shelf: Arc<Shelf>,
    lookout: Arc<Lookout>,
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
    /// Models that did not load when they were last tried.
    broken: HashMap<String, Broken>,
    /// Bytes of the budget that a model took when it was last loaded.
    sizes: HashMap<String, u64>,
    /// Bytes that a model is expected to take.
    estimates: HashMap<String, u64>,
    /// Requests that wait for memory.
    room: Room,
}

/// Why a model did not load, and when that was.
#[derive(Debug)]
struct Broken {
    why: String,
    since: Instant,
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
    /// Whether anybody has used it since it was loaded.
    claimed: bool,
}

/// A model in memory.
#[derive(Debug)]
struct Loaded {
    id: String,
    name: String,
    runner: Runner,
    /// Bytes of the budget that it takes.
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
        /// Bytes of the budget that it takes.
        bytes: u64,
        /// Its process.
        pid: u32,
    },
    /// It did not load when it was last tried, for this reason.
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

/// A request's place among those that want a model; dropping it lets others begin.
struct InLine<'a> {
    pool: &'a Pool,
    place: Place,
}

impl<'a> InLine<'a> {
    fn join(pool: &'a Pool, caller: Caller) -> Self {
        let place = pool.lock().room.place(caller);
        Self { pool, place }
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.pool.lock().room.end(self.place);
        self.pool.tell();
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
        let lookout = Lookout::new(Arc::clone(&shelf));
        Arc::new(Self { shelf, lookout, settings, program, aborts, suspects, metrics, state, changed })
    }

    /// Looks at the models folder anew.
    pub fn lookout(&self) -> &Arc<Lookout> {
        &self.lookout
    }

    /// The counters.
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
        self.check_prompt(work)?;
        let (lease, _turn) = self.begin(caller, &work.model, ModelKind::Generator, print).await?;
        let outcome = lease.model.runner.generate(work, pieces).await;
        self.note(&lease.model, print, outcome)
    }

    /// Scores answers with the evaluator `work.model`, for whoever asks and waits.
    pub async fn score(self: &Arc<Self>, work: &Scoring) -> Result<Scored, Unfinished> {
        self.score_for(Caller::Direct, work).await
    }

    /// As [`Self::score`], for this caller. The evaluator takes the answers of a direct request in parts, with the work of
    /// others in between.
    pub async fn score_for(self: &Arc<Self>, caller: Caller, work: &Scoring) -> Result<Scored, Unfinished> {
        if caller == Caller::Job || work.answers.len() <= TEXTS_AT_ONCE {
            return self.score_part(caller, work).await;
        }
        let mut all = Scored::none();
        for answers in work.answers.chunks(TEXTS_AT_ONCE) {
            let (model, question) = (work.model.clone(), work.question.clone());
            let part = Scoring { model, question, answers: answers.to_vec(), alone: work.alone };
            all.append(self.score_part(caller, &part).await?);
        }
        Ok(all)
    }

    async fn score_part(self: &Arc<Self>, caller: Caller, work: &Scoring) -> Result<Scored, Unfinished> {
        let print = Fingerprint::of(work);
        let (lease, _turn) = self.begin(caller, &work.model, ModelKind::Evaluator, print).await?;
        let outcome = lease.model.runner.score(work).await;
        self.note(&lease.model, print, outcome)
    }

    /// Makes vectors of texts with the bi-encoder `work.model`, for whoever asks and waits; many texts in parts, with the work
    /// of others in between.
    pub async fn embed(self: &Arc<Self>, work: &Embedding) -> Result<Embedded, Unfinished> {
        let mut all = Embedded { vectors: Vec::with_capacity(work.texts.len()), tokens: 0 };
        for texts in work.texts.chunks(TEXTS_AT_ONCE) {
            let part = Embedding { model: work.model.clone(), texts: texts.to_vec() };
            let Embedded { vectors, tokens } = self.embed_part(&part).await?;
            all.vectors.extend(vectors);
            all.tokens = all.tokens.saturating_add(tokens);
        }
        Ok(all)
    }

    async fn embed_part(self: &Arc<Self>, work: &Embedding) -> Result<Embedded, Unfinished> {
        let print = Fingerprint::of(work);
        let (lease, _turn) = self.begin(Caller::Direct, &work.model, ModelKind::Evaluator, print).await?;
        let outcome = lease.model.runner.embed(work).await;
        self.note(&lease.model, print, outcome)
    }

    /// Whether the model can take `work`, as far as can be said without a turn at it; if it is not in memory, nothing is said.
    pub fn check_prompt(&self, work: &Generation) -> Result<(), Unfinished> {
        let most = match self.lock().loaded.get(&work.model).map(|held| &held.model.runner.facts) {
            Some(Facts::Generator { most_bytes, .. }) => *most_bytes,
            _ => return Ok(()),
        };
        let longest = work.messages.iter().map(|message| message.content.len()).max().unwrap_or(0);
        if longest <= most {
            return Ok(());
        }
        let (length, most) = (longest as u64, most as u64);
        Err(Unfinished::TooLong(TooLong { length, and_more: false, most, unit: LengthUnit::Bytes }))
    }

    /// Whether whoever wants the model now has to wait for others: for a turn at it, or for memory.
    pub fn is_busy(&self, id: &str) -> bool {
        let state = self.lock();
        match state.loaded.get(id) {
            Some(held) => !held.model.turns.is_free(),
            None if state.loading.contains_key(id) => false,
            None => {
                let on_disk = || self.shelf.find(id).map_or(0, |entry| entry.bytes);
                let bytes = state.bytes_of(id).unwrap_or_else(on_disk);
                state.in_use().saturating_add(bytes) > self.settings.memory
            }
        }
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
    pub async fn load(self: &Arc<Self>, entry: &Entry) -> Result<Facts, Unfinished> {
        let id = entry.id.as_deref().map_err(|error| Unfinished::unavailable(error.to_owned()))?;
        Ok(self.acquire(Caller::Direct, id, entry.kind).await?.model.runner.facts.clone())
    }

    /// State of the model.
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
        state.broken.get(id).map_or(Presence::Available, |broken| Presence::Broken(broken.why.clone()))
    }

    /// Whether the model was loaded at least once since the engine was started.
    pub fn was_loaded(&self, id: &str) -> bool {
        self.lock().sizes.contains_key(id)
    }

    /// Reason why the model cannot be used as the engine is set, as far as is known before it is loaded. The first time this
    /// reads its files.
    pub fn fault(&self, entry: &Entry) -> Option<String> {
        self.template_fault(entry).or_else(|| self.too_large(entry))
    }

    /// Fault of a generator's chat template, if the configuration does not replace the template.
    fn template_fault(&self, entry: &Entry) -> Option<String> {
        let replaced = matches!(self.settings.chat_template_of(&entry.name), Ok(Some(_)));
        entry.template_fault.clone().filter(|_| !replaced)
    }

    /// Why the model can never be loaded as the engine is set, if so. The first time this reads its files.
    fn too_large(&self, entry: &Entry) -> Option<String> {
        let error = self.check_fits(&entry.name, self.expected_bytes(entry)).err()?;
        Some(error.message)
    }

    /// Number of pieces of work that use the model now.
    pub fn users(&self, id: &str) -> usize {
        self.lock().loaded.get(id).map_or(0, |held| held.users)
    }

    /// Bytes in use, models loaded or loading.
    pub fn used(&self) -> (u64, usize) {
        let state = self.lock();
        (state.used(), state.loaded.len().saturating_add(state.loading.len()))
    }

    /// Takes all models out of memory.
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
            Err(Unfinished::Failed(_) | Unfinished::TooLong(_)) => self.suspects.lived(print),
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
        let line = InLine::join(self, caller);
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            match self.try_acquire(line.place, id, kind).await? {
                Next::Use(lease) => return Ok(lease),
                Next::Load(outcome) => {
                    // Its memory is set apart.
                    self.lock().room.leave(line.place);
                    self.tell();
                    outcome.await?;
                }
                // Some of what is waited for is only time.
                Next::Wait => drop(timeout(LOOK_INTERVAL, changed.changed()).await),
                Next::Later(left) => tokio::time::sleep(left.min(FORGIVEN_INTERVAL)).await,
            }
        }
    }

    async fn try_acquire(
        self: &Arc<Self>,
        place: Place,
        id: &str,
        kind: ModelKind,
    ) -> Result<Next, Unfinished> {
        if let Some(next) = self.take_up(&mut self.lock(), place, id) {
            return Ok(next);
        }
        let (caller, _) = place;
        let entry = self.entry(caller, id, kind).await?;
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
        let expected = self.expected_bytes_aside(&entry).await?;
        let mut state = self.lock();
        if let Some(next) = self.take_up(&mut state, place, id) {
            return Ok(next);
        }
        if caller == Caller::Direct {
            state.check_not_broken(id)?;
        }
        let bytes = state.bytes_of(id).unwrap_or(expected);
        self.check_fits(&entry.name, bytes).map_err(Unfinished::Failed)?;
        if !state.make_room(bytes, self.settings.memory, &self.metrics) {
            state.room.wait(place, Instant::now());
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

    /// Bytes of the budget that the model took when it was last loaded, or else is expected to take. The first time this
    /// reads its files.
    fn expected_bytes(&self, entry: &Entry) -> u64 {
        self.known_bytes(entry).unwrap_or_else(|| {
            let bytes = estimate(entry, &Usage::of(&self.settings));
            if let Ok(id) = &entry.id {
                self.lock().estimates.insert(id.clone(), bytes);
            }
            bytes
        })
    }

    fn known_bytes(&self, entry: &Entry) -> Option<u64> {
        entry.id.as_ref().ok().and_then(|id| self.lock().bytes_of(id))
    }

    /// As [`Self::expected_bytes`], away from the threads that serve requests.
    async fn expected_bytes_aside(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<u64, Unfinished> {
        if let Some(bytes) = self.known_bytes(entry) {
            return Ok(bytes);
        }
        let (pool, entry) = (Arc::clone(self), Arc::clone(entry));
        let estimated = tokio::task::spawn_blocking(move || pool.expected_bytes(&entry)).await;
        estimated.map_err(|_| Unfinished::internal("estimating a model's size failed"))
    }

    fn check_fits(&self, name: &str, bytes: u64) -> Result<(), JobError> {
        let most = self.settings.memory;
        if bytes <= most {
            return Ok(());
        }
        let message = format!(
            "{name} takes {} MiB and the engine may use {} MiB; raise --memory-mib, lower --context or --parallel, or \
             serve a smaller model",
            mib(bytes),
            mib(most)
        );
        Err(JobError { code: FailureReason::ModelUnavailable, message })
    }

    /// The model if it is there, or who loads it already. Nothing is begun before those who wait for memory and go first.
    fn take_up(self: &Arc<Self>, state: &mut State, place: Place, id: &str) -> Option<Next> {
        if state.room.is_held_up(place, Instant::now()) {
            return Some(Next::Wait);
        }
        if let Some(held) = state.loaded.get_mut(id) {
            if !held.model.runner.is_dead() {
                held.users = held.users.saturating_add(1);
                (held.last_used, held.claimed) = (Instant::now(), true);
                state.room.begin(place);
                return Some(Next::Use(Lease { pool: Arc::clone(self), model: Arc::clone(&held.model) }));
            }
            // It is buried in a moment by whoever watches it.
            return Some(Next::Wait);
        }
        state.loading.get(id).map(|loading| Next::Load(loading.outcome.clone()))
    }

    async fn entry(&self, caller: Caller, id: &str, kind: ModelKind) -> Result<Arc<Entry>, Unfinished> {
        let entry = match self.shelf.find(id) {
            Some(entry) => entry,
            None => {
                self.look_again(caller).await?;
                let found = self.shelf.find(id);
                found.ok_or_else(|| Unfinished::unavailable("this engine does not hold the model"))?
            }
        };
        if entry.kind == kind {
            return Ok(entry);
        }
        let (is, wanted) = match kind {
            ModelKind::Generator => ("an evaluator", "a generator"),
            ModelKind::Evaluator => ("a generator", "an evaluator"),
        };
        Err(Unfinished::unavailable(format!("{} is {is}, not {wanted}", entry.name)))
    }

    /// Looks at the models folder once more: a model may have been put there since.
    async fn look_again(&self, caller: Caller) -> Result<(), Unfinished> {
        let look = self.lookout.look();
        match caller {
            Caller::Job => look.await,
            Caller::Direct => timeout(LOOK_PATIENCE, look).await.map_err(|_| {
                Unfinished::unavailable(
                    "this engine does not hold the model, or is still reading it; ask again in a moment",
                )
            })?,
        }
        Ok(())
    }

    /// Loads the model, come what may of those who asked for it.
    async fn load_entry(self: Arc<Self>, entry: Arc<Entry>) -> LoadOutcome {
        let outcome = self.start(&entry).await;
        let id = entry.id.clone().unwrap_or_default();
        let mut state = self.lock();
        state.loading.remove(&id);
        let outcome = outcome.and_then(|model| {
            state.sizes.insert(id.clone(), model.bytes);
            self.check_fits(&model.name, model.bytes).map_err(Unfinished::Failed)?;
            Ok(model)
        });
        match &outcome {
            Ok(model) => {
                state.broken.remove(&id);
                // It may take more than was guessed. Who is in use stays, and then the budget is exceeded for as long.
                let _exceeded = !state.make_room(model.bytes, self.settings.memory, &self.metrics);
                let now = Instant::now();
                let held = Held { model: Arc::clone(model), users: 0, last_used: now, claimed: false };
                state.loaded.insert(id, held);
                self.watch(model);
            }
            Err(Unfinished::Failed(error)) => {
                let (why, since) = (error.message.clone(), Instant::now());
                state.broken.insert(id, Broken { why, since });
            }
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
        let time = self.settings.load_time;
        let verified = timeout(time, tokio::task::spawn_blocking(move || shelf.verify(&verified))).await;
        verified
            .map_err(|_| Unfinished::unavailable(too_slow(&entry.name, "was not read", time)))?
            .map_err(|_| Unfinished::internal("checking a model failed"))?
            .map_err(|error| Unfinished::unavailable(format!("{}: {error}", entry.name)))?;
        let load = self.order_for(entry).map_err(Unfinished::unavailable)?;
        let begun = Instant::now();
        let patience = self.settings.job_time.clamp(*PATIENCE.start(), *PATIENCE.end());
        // Its process ends with the future.
        let started = timeout(time, self.start_runner(&entry.name, &load, patience)).await;
        let Ok(started) = started else {
            let why = too_slow(&entry.name, "was not loaded", time);
            let deaths = self.aborts.died(&id, &why);
            self.metrics.died(&entry.name);
            tracing::error!(model = entry.name, why, in_a_row = deaths.count, "a model's process was ended");
            return Err(Unfinished::unavailable(why));
        };
        match started {
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

    /// Orders that the runner is given at a time. A generator works on as many as it has contexts.
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

/// Next step towards a model.
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
    /// An error for a model that did not load a short while ago.
    fn check_not_broken(&self, id: &str) -> Result<(), Unfinished> {
        let Some(Broken { why, since }) = self.broken.get(id) else { return Ok(()) };
        match BROKEN_PAUSE.checked_sub(since.elapsed()) {
            Some(left) => Err(Unfinished::unavailable(format!("{why}; tried again in {} s", left.as_secs()))),
            None => Ok(()),
        }
    }

    /// Bytes of the budget that the model took when it was last loaded, or is expected to take.
    fn bytes_of(&self, id: &str) -> Option<u64> {
        self.sizes.get(id).or_else(|| self.estimates.get(id)).copied()
    }

    /// Bytes of the models that cannot leave now.
    fn in_use(&self) -> u64 {
        let used = self.loaded.values().filter(|held| held.is_wanted()).map(|held| held.model.bytes);
        used.chain(self.loading.values().map(|loading| loading.bytes)).fold(0, u64::saturating_add)
    }

    fn used(&self) -> u64 {
        let loaded = self.loaded.values().map(|held| held.model.bytes);
        loaded.chain(self.loading.values().map(|loading| loading.bytes)).fold(0, u64::saturating_add)
    }

    /// Lets models go that nobody uses, the one unused for longest first, until `bytes` more fit into `budget`; says
    /// whether they do.
    fn make_room(&mut self, bytes: u64, budget: u64, metrics: &Metrics) -> bool {
        while self.used().saturating_add(bytes) > budget {
            let unused = self.loaded.iter().filter(|(_, held)| !held.is_wanted());
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

impl Held {
    /// Whether somebody uses it, or it was loaded only now for somebody.
    fn is_wanted(&self) -> bool {
        self.users > 0 || (!self.claimed && self.last_used.elapsed() < CLAIM_TIME)
    }
}

fn too_slow(name: &str, what: &str, time: Duration) -> String {
    format!(
        "{name} does not load: it {what} within {} s; if it only needs longer, raise --load-seconds",
        time.as_secs()
    )
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1024 * 1024)
}
