//! The engine's side of a runner.

use super::protocol::{Facts, Load, Order, Report, MAX_LINE};
use crate::{
    limits::Unfinished,
    suspects::Fingerprint,
    work::{Embedded, Embedding, Generated, Generation, Scored, Scoring},
};
use futures::StreamExt as _;
use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    io,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex, MutexGuard, PoisonError,
    },
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};
use tokio_util::{
    codec::{FramedRead, LinesCodec},
    sync::CancellationToken,
};

/// Most orders queued for a runner that does not read.
const ORDERS_AHEAD: usize = 256;

/// Interval of the check for a hanging runner.
const PULSE: Duration = Duration::from_secs(1);

/// The program that becomes a runner: this one, with its hidden subcommand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Arguments that make it a runner.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// This process's own executable with [`SUBCOMMAND`].
    pub fn this() -> io::Result<Self> {
        Ok(Self { path: own_executable()?, arguments: vec![SUBCOMMAND.into()] })
    }
}

/// The hidden subcommand that is a runner, in every program that holds an engine.
pub const SUBCOMMAND: &str = "model-runner";

/// This very program, even after a newer one has taken its place on disk: a child is of its parent's version.
pub fn own_executable() -> io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    match running.exists() {
        true => Ok(running),
        false => std::env::current_exe(),
    }
}

/// Error of starting a runner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The model cannot be used, for the reason that the runner gave.
    #[error("{0}")]
    Broken(String),
    /// The process ended before the model was loaded.
    #[error("its process ended while it was loaded: {0}")]
    Died(String),
    /// The process cannot be started.
    #[error("its process cannot be started: {0}")]
    Spawn(String),
}

/// A loaded model. Dropping it ends its process.
#[derive(Debug)]
pub struct Runner {
    /// Facts about the loaded model.
    pub facts: Facts,
    /// The process.
    pub pid: u32,
    orders: mpsc::Sender<Order>,
    waiting: Arc<Waiting>,
    keys: AtomicU64,
    /// Cancelled to end the process.
    stop: CancellationToken,
    ends: Mutex<Option<oneshot::Receiver<()>>>,
}

/// Unrequested end of a runner's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Description in one line.
    pub how: String,
    /// Whether it crashed: nobody ended it from outside.
    pub crashed: bool,
    /// The requests that it had in hand, those that nobody waited for any more included.
    pub under: Vec<Fingerprint>,
}

/// Listeners for reports, and the process's end once it has ended.
#[derive(Debug, Default)]
struct Waiting {
    state: Mutex<WaitingState>,
}

#[derive(Debug, Default)]
struct WaitingState {
    listeners: HashMap<u64, Listener>,
    /// Orders that were taken back, until the runner says that it stopped.
    taken_back: HashMap<u64, TakenBack>,
    ended: Option<Death>,
}

#[derive(Debug)]
struct TakenBack {
    print: Fingerprint,
    since: Instant,
}

#[derive(Debug)]
struct Listener {
    print: Fingerprint,
    pieces: Option<mpsc::Sender<String>>,
    done: oneshot::Sender<Outcome>,
}

type Outcome = Result<Done, Unfinished>;

#[derive(Debug)]
enum Done {
    Generated(Generated),
    Scored(Scored),
    Embedded(Embedded),
}

/// Variables of the environment that a model's process gets: what it, the loader, the C library and the libraries of
/// processors and GPUs read. Whatever else the engine has, its tokens among it, is no business of native code that reads
/// files of strangers.
const PASSED_ON: [&str; 16] = [
    "DYLD_LIBRARY_PATH",
    "GLIBC_TUNABLES",
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "MALLOC_ARENA_MAX",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_VISIBLE_DEVICES",
    "ORT_DYLIB_PATH",
    "PATH",
    "POQ_CACHE",
    "POQ_LOG",
    "RUST_BACKTRACE",
    "TMPDIR",
    "TZ",
    "XDG_CACHE_HOME",
];

/// Beginnings of further such names.
const FAMILIES_PASSED_ON: [&str; 9] =
    ["CUDA_", "GGML_", "GOMP_", "HIP_", "HSA_", "LC_", "OMP_", "ROCR_", "VK_"];

/// Whether a model's process gets the variable `name`.
fn is_passed_on(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    PASSED_ON.contains(&name) || FAMILIES_PASSED_ON.iter().any(|family| name.starts_with(family))
}

/// Time that threads of one model wait for each other awake, unless whoever runs the engine has said so: some tenths of a
/// millisecond. What OpenMP does by itself, several milliseconds, stalls all models once there are more threads than cores.
fn patience_of_threads() -> Option<(&'static str, &'static str)> {
    const SPINS: (&str, &str) = ("GOMP_SPINCOUNT", "10000");
    let said = [SPINS.0, "OMP_WAIT_POLICY"].into_iter().any(|name| std::env::var_os(name).is_some());
    (!said).then_some(SPINS)
}

impl Runner {
    /// Starts a process and loads the model in it. If the returned future is dropped, the process ends.
    ///
    /// A runner that works on something that was taken back, and for `patience` neither stops nor says anything else,
    /// hangs: it is ended. Who holds the runner learns of that, and of any other death, from [`Self::ends`].
    pub async fn start(program: &Program, load: &Load, patience: Duration) -> Result<Self, StartError> {
        let spawn = |error: io::Error| StartError::Spawn(error.to_string());
        let mut child = Command::new(&program.path)
            .args(&program.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            // A signal to the engine's group, such as Ctrl-C, is the engine's to handle.
            .process_group(0)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| is_passed_on(name)))
            .envs(patience_of_threads())
            .spawn()
            .map_err(spawn)?;
        let lost = || StartError::Spawn("the process has no pipes".to_owned());
        let mut stdin = child.stdin.take().ok_or_else(lost)?;
        let stdout = child.stdout.take().ok_or_else(lost)?;
        let pid = child.id().ok_or_else(lost)?;
        let mut reports = FramedRead::new(stdout, LinesCodec::new_with_max_length(MAX_LINE));

        let first = match write_line(&mut stdin, load).await {
            Ok(()) => reports.next().await.and_then(Result::ok),
            Err(_) => None,
        };
        let facts = match first.as_deref().map(serde_json::from_str) {
            Some(Ok(Report::Ready(facts))) => facts,
            Some(Ok(Report::Broken(error))) => return Err(StartError::Broken(error)),
            Some(_) => return Err(StartError::Died("it says what no runner says".to_owned())),
            None => return Err(StartError::Died(how_it_ended(child.wait().await))),
        };
        let (orders, ordered) = mpsc::channel(ORDERS_AHEAD);
        let (waiting, stop) = (Arc::new(Waiting::default()), CancellationToken::new());
        tokio::spawn(write_orders(stdin, ordered));
        let (died, ends) = oneshot::channel();
        let attendant = Attendant { child, reports, waiting: Arc::clone(&waiting), patience };
        tokio::spawn(attendant.attend(stop.clone(), died));
        let ends = Mutex::new(Some(ends));
        Ok(Self { facts, pid, orders, waiting, keys: AtomicU64::new(0), stop, ends })
    }

    /// Receiver that resolves when the process has died, closed if it was told to end. Only the first call gets it.
    pub fn ends(&self) -> Option<oneshot::Receiver<()>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The process's end, once it has ended.
    pub fn death(&self) -> Option<Death> {
        self.waiting.lock().ended.clone()
    }

    /// Makes an answer; `pieces` gets its text as it grows. If the returned future is dropped, the runner is told to
    /// stop working on it.
    pub async fn generate(
        &self,
        work: &Generation,
        pieces: Option<mpsc::Sender<String>>,
    ) -> Result<Generated, Unfinished> {
        let stream = pieces.is_some();
        let (print, work) = (Fingerprint::of(work), work.clone());
        match self.order(print, pieces, |key| Order::Generate { key, work, stream }).await? {
            Done::Generated(generated) => Ok(generated),
            _ => Err(Unfinished::internal("the runner gave something else than an answer")),
        }
    }

    /// Scores answers. If the returned future is dropped, the runner is told to stop working on it.
    pub async fn score(&self, work: &Scoring) -> Result<Scored, Unfinished> {
        let (print, work) = (Fingerprint::of(work), work.clone());
        match self.order(print, None, |key| Order::Score { key, work }).await? {
            Done::Scored(scored) => Ok(scored),
            _ => Err(Unfinished::internal("the runner gave something else than scores")),
        }
    }

    /// Makes vectors of texts. If the returned future is dropped, the runner is told to stop working on them.
    pub async fn embed(&self, work: &Embedding) -> Result<Embedded, Unfinished> {
        let (print, work) = (Fingerprint::of(work), work.clone());
        match self.order(print, None, |key| Order::Embed { key, work }).await? {
            Done::Embedded(embedded) => Ok(embedded),
            _ => Err(Unfinished::internal("the runner gave something else than vectors")),
        }
    }

    /// Whether the process has ended.
    pub fn is_dead(&self) -> bool {
        self.waiting.lock().ended.is_some()
    }

    async fn order(
        &self,
        print: Fingerprint,
        pieces: Option<mpsc::Sender<String>>,
        order: impl FnOnce(u64) -> Order,
    ) -> Result<Done, Unfinished> {
        let key = self.keys.fetch_add(1, Ordering::Relaxed);
        let (done, outcome) = oneshot::channel();
        self.waiting.listen(key, Listener { print, pieces, done })?;
        let mut unwanted = CancelOnDrop { key, runner: self, ordered: false };
        // A runner that ended does not read; how it ended is what the listener hears.
        let _ended = self.orders.send(order(key)).await;
        unwanted.ordered = true;
        let outcome =
            outcome.await.unwrap_or_else(|_| Err(Unfinished::internal("the runner was not heard out")));
        if outcome.is_ok() {
            std::mem::forget(unwanted);
        }
        outcome
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Cancels order `key` in the runner when dropped.
struct CancelOnDrop<'a> {
    key: u64,
    runner: &'a Runner,
    /// Whether the order was sent to the runner.
    ordered: bool,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.runner.waiting.take_back(self.key, self.ordered);
        if let Err(mpsc::error::TrySendError::Full(order)) =
            self.runner.orders.try_send(Order::Cancel { key: self.key })
        {
            let orders = self.runner.orders.clone();
            tokio::spawn(async move {
                let _ended = orders.send(order).await;
            });
        }
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, WaitingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, key: u64, listener: Listener) -> Result<(), Unfinished> {
        let mut state = self.lock();
        if let Some(death) = &state.ended {
            return Err(Unfinished::Died(death.how.clone()));
        }
        state.listeners.insert(key, listener);
        Ok(())
    }

    /// Nobody wants the order any more. Whether the runner is done with it is seen from its report.
    fn take_back(&self, key: u64, ordered: bool) {
        let mut state = self.lock();
        if let Some(Listener { print, .. }) = state.listeners.remove(&key).filter(|_| ordered) {
            state.taken_back.insert(key, TakenBack { print, since: Instant::now() });
        }
    }

    /// Since when the runner's oldest order is one that was taken back. A runner may keep later ones waiting for as
    /// long as an earlier one takes.
    fn overdue_since(&self) -> Option<Instant> {
        let state = self.lock();
        let (oldest, taken_back) = state.taken_back.iter().min_by_key(|(key, _)| **key)?;
        state.listeners.keys().all(|key| key > oldest).then_some(taken_back.since)
    }

    /// Hands a report to who waits for it. Who does not keep up with the pieces loses the answer: waiting for one
    /// reader would hold up all others of this model.
    fn hear(&self, report: Report) {
        let finished = |key: u64, outcome: Outcome| {
            let mut state = self.lock();
            state.taken_back.remove(&key);
            if let Some(listener) = state.listeners.remove(&key) {
                let _nobody = listener.done.send(outcome);
            }
        };
        match report {
            Report::Piece { key, text } => {
                let pieces = self.lock().listeners.get(&key).and_then(|listener| listener.pieces.clone());
                let sent = pieces.map_or(Ok(()), |pieces| pieces.try_send(text));
                if let Err(mpsc::error::TrySendError::Full(_)) = sent {
                    finished(key, Err(Unfinished::slow_reader()));
                }
            }
            Report::Generated { key, result } => finished(key, Ok(Done::Generated(result))),
            Report::Scored { key, result } => finished(key, Ok(Done::Scored(result))),
            Report::Embedded { key, result } => finished(key, Ok(Done::Embedded(result))),
            Report::TooLong { key, prompt } => finished(key, Err(Unfinished::TooLong(prompt))),
            Report::Failed { key, error } => {
                finished(key, Err(error.map_or(Unfinished::Cancelled, Unfinished::Failed)));
            }
            Report::Ready(_) | Report::Broken(_) => tracing::warn!("a runner repeats itself"),
        }
    }

    fn end(&self, how: &str, crashed: bool) {
        let listeners = {
            let mut state = self.lock();
            let (waited_for, taken_back) = (state.listeners.values(), state.taken_back.values());
            let under = waited_for.map(|listener| listener.print).chain(taken_back.map(|order| order.print));
            let under = under.collect();
            state.ended = Some(Death { how: how.to_owned(), crashed, under });
            std::mem::take(&mut state.listeners)
        };
        for listener in listeners.into_values() {
            let _nobody = listener.done.send(Err(Unfinished::Died(how.to_owned())));
        }
    }
}

async fn write_line(stdin: &mut ChildStdin, value: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stdin.write_all(&line).await
}

async fn write_orders(mut stdin: ChildStdin, mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        if write_line(&mut stdin, &order).await.is_err() {
            return;
        }
    }
}

/// Reads a runner's reports.
struct Attendant {
    child: Child,
    reports: FramedRead<ChildStdout, LinesCodec>,
    waiting: Arc<Waiting>,
    patience: Duration,
}

impl Attendant {
    /// Reads what the runner reports, until it ends, hangs, or is no longer wanted.
    async fn attend(mut self, stop: CancellationToken, died: oneshot::Sender<()>) {
        let (hung, wanted) = tokio::select! {
            hung = self.listen() => (hung, true),
            () = stop.cancelled() => {
                self.kill();
                (None, false)
            }
        };
        let status = self.child.wait().await;
        let crashed = hung.is_none() && status.as_ref().is_ok_and(is_crash);
        self.waiting.end(&hung.unwrap_or_else(|| how_it_ended(status)), crashed);
        if wanted {
            let _nobody = died.send(());
        }
    }

    /// Hears the runner out. If it hangs, says so.
    async fn listen(&mut self) -> Option<String> {
        let mut pulse = tokio::time::interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let line = tokio::select! {
                line = self.reports.next() => line,
                _ = pulse.tick() => {
                    let overdue = self.waiting.overdue_since().map(|since| since.max(heard).elapsed());
                    if overdue.is_some_and(|overdue| overdue >= self.patience) {
                        self.kill();
                        let seconds = self.patience.as_secs();
                        return Some(format!("it hung: no sign of life for {seconds} s after it was told to stop a job"));
                    }
                    continue;
                }
            };
            heard = Instant::now();
            match line? {
                Ok(line) => match serde_json::from_str(&line) {
                    Ok(report) => self.waiting.hear(report),
                    Err(error) => {
                        tracing::error!(%error, "a runner says what this engine does not understand")
                    }
                },
                Err(error) => {
                    tracing::error!(%error, "a runner cannot be heard; it is ended");
                    self.kill();
                    return None;
                }
            }
        }
    }

    fn kill(&mut self) {
        let _already_gone = self.child.start_kill();
    }
}

/// Whether a process that ended like this did so by itself, and not by a signal with which processes are ended.
fn is_crash(status: &ExitStatus) -> bool {
    const HANG_UP: i32 = 1;
    const INTERRUPT: i32 = 2;
    const KILL: i32 = 9;
    const TERMINATE: i32 = 15;
    !matches!(status.signal(), Some(HANG_UP | INTERRUPT | KILL | TERMINATE))
}

fn how_it_ended(status: io::Result<ExitStatus>) -> String {
    const OUT_OF_MEMORY: i32 = 9;
    match status {
        Ok(status) => match status.signal() {
            Some(OUT_OF_MEMORY) => "killed by signal 9; the kernel does that when memory runs out".to_owned(),
            Some(signal) => format!("ended by signal {signal}"),
            None => status.to_string(),
        },
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_passed_on() {
        let passed = |name: &str| is_passed_on(OsStr::new(name));
        for name in
            ["PATH", "LD_LIBRARY_PATH", "ORT_DYLIB_PATH", "LC_ALL", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"]
        {
            assert!(passed(name), "{name}");
        }
        for name in [
            "POQ_ENGINE_TOKEN",
            "HF_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "OPENAI_API_KEY",
            "NVIDIA_API_KEY",
            "LLAMA_API_KEY",
            "VLLM_TOKEN",
            "LD_PRELOAD",
            "path",
            "",
        ] {
            assert!(!passed(name), "{name}");
        }
    }

    #[test]
    fn a_crash_is_told_from_being_ended() {
        for (status, crash) in
            [(9, false), (15, false), (2, false), (6, true), (11, true), (4, true), (101 << 8, true)]
        {
            assert_eq!(is_crash(&ExitStatus::from_raw(status)), crash, "{status}");
        }
    }
}
