//! The runner's side: load one model, do what is ordered, end when stdin ends.

use super::protocol::{Facts, Load, Order, Report};
use crate::{
    evaluator::Evaluator,
    generator::{
        batcher::{Batcher, Event, Plan},
        Generator,
    },
    limits::{Cancel, Limits, Unfinished},
    logging,
    work::{Embedding, Generation, Scoring},
};
use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead as _, BufWriter, Write as _},
    path::Path,
    sync::{
        mpsc::{self, Receiver, Sender, TryRecvError},
        Arc, Mutex, PoisonError,
    },
    thread,
    time::{Duration, Instant},
};

/// Shortest interval between two pieces of a streamed answer. Each piece wakes the engine and the reader, on
/// cores that the model would use: token by token that costs a small model half of its speed, and thirty times a second
/// is as fluent to the eye.
const PIECE_INTERVAL: Duration = Duration::from_millis(30);

/// Kernel's out-of-memory score adjustment of this process, so that it is killed before the engine and the node.
const OOM_SCORE: &str = "500";

/// Runs a model until stdin ends. Call it from a `main` that did nothing else.
pub fn run() -> io::Result<()> {
    logging::init(logging::SERVER_FILTER);
    // Only Linux has this, and only a hint is lost where it cannot be written.
    let _hint = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let reports = Reports::start()?;
    let mut first = String::new();
    io::stdin().read_line(&mut first)?;
    let load: Load = serde_json::from_str(&first)?;
    let running = Running::default();
    // From here on: an engine that goes away while a large model is loaded takes this process with it.
    let orders = read_orders(&running)?;
    match load {
        Load::Generator { path, options } => match Generator::load(&path, &options) {
            Ok(generator) => match Batcher::new(&generator) {
                Ok(batcher) => {
                    reports.send(Report::Ready(Facts::Generator {
                        parameters: generator.parameters(),
                        context: generator.context(),
                        most_bytes: generator.most_bytes(),
                        chat_template: generator.has_template(),
                    }));
                    write_and_generate(&generator, batcher, orders, &running, &reports)?;
                }
                Err(error) => reports.send(Report::Broken(error)),
            },
            Err(error) => reports.send(Report::Broken(error)),
        },
        Load::Evaluator { folder, options } => match Evaluator::load(&folder, &options) {
            Ok(evaluator) => {
                reports.send(Report::Ready(Facts::Evaluator {
                    max_tokens: evaluator.manifest().max_tokens,
                    arithmetic: evaluator.arithmetic(),
                }));
                score(&evaluator, &orders, &running, &reports);
            }
            Err(error) => reports.send(Report::Broken(error)),
        },
    }
    reports.finish();
    Ok(())
}

/// Ordered work; cancellations are handled apart.
enum Task {
    Generate { key: u64, work: Generation, stream: bool, cancel: Cancel },
    Score { key: u64, work: Scoring, cancel: Cancel },
    Embed { key: u64, work: Embedding, cancel: Cancel },
}

/// An answer that was ordered, with its plan.
struct Prepared {
    key: u64,
    stream: bool,
    cancel: Cancel,
    outcome: Result<(Generation, Plan), Unfinished>,
}

impl Prepared {
    /// Plans the answer of `task`, unless nobody wants it any more.
    fn new(generator: &Generator, task: Task) -> Self {
        match task {
            Task::Generate { key, work, stream, cancel } => {
                let plan = match cancel.is_set() {
                    true => Err(Unfinished::Cancelled),
                    false => Plan::new(generator, &work),
                };
                Self { key, stream, cancel, outcome: plan.map(|plan| (work, plan)) }
            }
            Task::Score { key, cancel, .. } | Task::Embed { key, cancel, .. } => {
                let outcome = Err(Unfinished::unavailable("this is a generator, not an evaluator"));
                Self { key, stream: false, cancel, outcome }
            }
        }
    }
}

/// Cancellation flags of orders in hand, by key.
#[derive(Clone, Default)]
struct Running(Arc<Mutex<HashMap<u64, Cancel>>>);

impl Running {
    fn begin(&self, key: u64) -> Cancel {
        let cancel = Cancel::default();
        self.lock().insert(key, cancel.clone());
        cancel
    }

    fn cancel(&self, key: u64) {
        if let Some(cancel) = self.lock().get(&key) {
            cancel.set();
        }
    }

    fn end(&self, key: u64) {
        self.lock().remove(&key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Cancel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads orders on a thread of its own, so that a cancellation arrives while the model works. When stdin ends the
/// engine is gone or wants no more, and nothing that the model is doing matters: the process ends there and then.
fn read_orders(running: &Running) -> io::Result<Receiver<Task>> {
    let (tasks, received) = mpsc::channel();
    let running = running.clone();
    thread::Builder::new().name("poq-orders".to_owned()).spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let task = match serde_json::from_str(&line) {
                Ok(Order::Generate { key, work, stream }) => {
                    Task::Generate { key, work, stream, cancel: running.begin(key) }
                }
                Ok(Order::Score { key, work }) => Task::Score { key, work, cancel: running.begin(key) },
                Ok(Order::Embed { key, work }) => Task::Embed { key, work, cancel: running.begin(key) },
                Ok(Order::Cancel { key }) => {
                    running.cancel(key);
                    continue;
                }
                Err(error) => {
                    tracing::error!(%error, "an order that this runner does not understand");
                    continue;
                }
            };
            if tasks.send(task).is_err() {
                break;
            }
        }
        std::process::exit(0);
    })?;
    Ok(received)
}

/// Channel to the thread that writes the reports, so that the model never waits for the engine to read.
struct Reports {
    lines: Sender<Report>,
    writer: thread::JoinHandle<()>,
}

impl Reports {
    fn start() -> io::Result<Self> {
        // Native libraries print to stdout when they feel like it; only reports may go where reports go.
        let own = rustix::io::dup(rustix::stdio::stdout())?;
        rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
        let (lines, received) = mpsc::channel();
        let writer = thread::Builder::new()
            .name("poq-reports".to_owned())
            .spawn(move || write_reports(&received, BufWriter::new(File::from(own))))?;
        Ok(Self { lines, writer })
    }

    fn send(&self, report: Report) {
        // The writer ends only when the engine is gone, and then this process does, too.
        let _gone = self.lines.send(report);
    }

    fn finish(self) {
        drop(self.lines);
        let _ = self.writer.join();
    }
}

fn write_reports(reports: &Receiver<Report>, mut out: BufWriter<File>) {
    while let Ok(report) = reports.recv() {
        let mut next = Some(report);
        while let Some(report) = next {
            let written = serde_json::to_writer(&mut out, &report).map_err(io::Error::from);
            if written.and_then(|()| out.write_all(b"\n")).is_err() {
                return;
            }
            next = reports.try_recv().ok();
        }
        if out.flush().is_err() {
            return;
        }
    }
}

/// Writes prompts on a thread of its own: answers under way do not wait for the tokens of a long prompt, nor for the count of one
/// that is refused.
fn write_and_generate(
    generator: &Generator,
    batcher: Batcher<'_>,
    tasks: Receiver<Task>,
    running: &Running,
    reports: &Reports,
) -> io::Result<()> {
    thread::scope(|scope| {
        let (prepared, received) = mpsc::channel();
        let writer = thread::Builder::new().name("poq-prompts".to_owned());
        writer.spawn_scoped(scope, move || {
            for task in tasks {
                if prepared.send(Prepared::new(generator, task)).is_err() {
                    return;
                }
            }
        })?;
        generate(batcher, &received, running, reports);
        Ok(())
    })
}

fn generate(mut batcher: Batcher<'_>, tasks: &Receiver<Prepared>, running: &Running, reports: &Reports) {
    let mut streams: HashMap<u64, Stream> = HashMap::new();
    loop {
        let task = match batcher.is_idle() {
            true => tasks.recv().map_err(|_| TryRecvError::Disconnected),
            false => tasks.try_recv(),
        };
        match task {
            Ok(Prepared { key, stream, cancel, outcome }) => {
                match outcome {
                    Ok((work, plan)) => {
                        batcher.add_planned(key, &work, plan, cancel);
                        if stream {
                            streams.insert(key, Stream::default());
                        }
                    }
                    Err(unfinished) => fail(key, unfinished, running, reports),
                }
                continue;
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return,
        }
        batcher.step(&mut |key, event| match event {
            Event::Piece(text) => {
                if let Some(stream) = streams.get_mut(&key) {
                    stream.held.push_str(&text);
                }
            }
            Event::Done(outcome) => {
                if let Some(mut stream) = streams.remove(&key) {
                    stream.send(key, reports);
                }
                match outcome {
                    Ok(result) => {
                        running.end(key);
                        reports.send(Report::Generated { key, result });
                    }
                    Err(unfinished) => fail(key, unfinished, running, reports),
                }
            }
        });
        for (key, stream) in streams.iter_mut().filter(|(_, stream)| stream.is_due()) {
            stream.send(*key, reports);
        }
    }
}

/// A streamed answer's unsent text.
#[derive(Default)]
struct Stream {
    /// Text not yet sent.
    held: String,
    sent: Option<Instant>,
}

impl Stream {
    /// Whether a piece may be sent now. The first one always may.
    fn is_due(&self) -> bool {
        self.sent.is_none_or(|sent| sent.elapsed() >= PIECE_INTERVAL)
    }

    fn send(&mut self, key: u64, reports: &Reports) {
        if !self.held.is_empty() {
            reports.send(Report::Piece { key, text: std::mem::take(&mut self.held) });
            self.sent = Some(Instant::now());
        }
    }
}

fn score(evaluator: &Evaluator, tasks: &Receiver<Task>, running: &Running, reports: &Reports) {
    while let Ok(task) = tasks.recv() {
        match task {
            Task::Score { key, work, cancel } => match evaluator.score(&work, &Limits::until(cancel)) {
                Ok(result) => {
                    running.end(key);
                    reports.send(Report::Scored { key, result });
                }
                Err(unfinished) => fail(key, unfinished, running, reports),
            },
            Task::Embed { key, work, cancel } => match evaluator.embed(&work, &Limits::until(cancel)) {
                Ok(result) => {
                    running.end(key);
                    reports.send(Report::Embedded { key, result });
                }
                Err(unfinished) => fail(key, unfinished, running, reports),
            },
            Task::Generate { key, .. } => {
                fail(key, Unfinished::unavailable("this is an evaluator, not a generator"), running, reports);
            }
        }
    }
}

fn fail(key: u64, unfinished: Unfinished, running: &Running, reports: &Reports) {
    running.end(key);
    reports.send(Report::failed(key, unfinished));
}

/// The memory that a process holds, in bytes; `None` where `/proc` does not tell.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
