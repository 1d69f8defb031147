//! The engine as a supervised child process, and the protocol for other children of the node.
//!
//! The protocol between parent and child:
//! - the parent holds the child's stdin open; end of file there means "stop", so a parent that is killed takes the
//!   child with it;
//! - the child prints one line of JSON, `{"listening":"127.0.0.1:PORT"}`, when it answers requests, and nothing else;
//! - the token is in a file (mode 0600) that the parent names, never among the arguments;
//! - the child's log goes to stderr.
//!
//! A parent calls [`supervise`] with a command that leads to [`run_child`], or to another program that uses [`asked_to_end`] and
//! [`announce`].

use crate::{
    config::{loopback, ApiArgs, ConfigError, Configured, EngineArgs},
    demo, logging,
    runner::Program,
    server::{self, EngineError},
    token::{Token, TokenError},
};
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsString,
    future::Future,
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    pin::{pin, Pin},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    signal::unix::{signal, SignalKind},
    sync::oneshot,
    time::{sleep, timeout},
};

/// Longest start of a child: until it answers requests.
const READY_TIME: Duration = Duration::from_secs(60);

/// Longest stop of a child; then it is killed.
const STOP_TIME: Duration = Duration::from_secs(15);

/// A child that lived this long is healthy: the next restart is quick again.
const STEADY_TIME: Duration = Duration::from_secs(60);

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Options of the hidden subcommand that runs the engine as a child.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct ChildArgs {
    /// Address to listen at; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value_t = loopback(0))]
    pub listen: SocketAddr,

    /// File with the bearer token
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,

    /// Settings that `poq-worker serve` has, too
    #[command(flatten)]
    pub engine: EngineArgs,
}

impl ChildArgs {
    /// The options as an argument list that reads back as the same options: what a parent puts behind its
    /// hidden subcommand.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments = vec![
            "--listen".into(),
            self.listen.to_string().into(),
            "--token-file".into(),
            self.token_file.clone().into(),
        ];
        arguments.extend(self.engine.to_arguments());
        arguments
    }
}

/// Why a child does not run.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The demo models cannot be written.
    #[error("demo models: {0}")]
    Demo(io::Error),
    /// The engine does not run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The operating system refuses what a server needs.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// The child's side: runs the engine until stdin ends or SIGTERM comes. Call it from a `main` that did
/// nothing else; it sets up logging and its own runtime.
pub fn run_child(args: ChildArgs) -> Result<(), ChildError> {
    logging::init(logging::SERVER_FILTER);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(serve_child(args));
    // A job that does not stop must not keep the process.
    runtime.shutdown_background();
    outcome
}

async fn serve_child(args: ChildArgs) -> Result<(), ChildError> {
    let token = Token::load(&args.token_file)?;
    let configured = Configured::load(ApiArgs::default(), args.engine)?;
    if configured.engine.demo_models {
        demo::install_demo_models(&configured.engine.models()).map_err(ChildError::Demo)?;
    }
    let shutdown = asked_to_end()?;
    let (ready, listening) = oneshot::channel();
    tokio::spawn(async move {
        if let Ok(address) = listening.await {
            announce(address);
        }
    });
    let mut config = configured.into_config(args.listen, token, Program::this()?);
    // Whatever a file says: only the parent talks to this one.
    config.allow_remote = false;
    Ok(server::serve(config, shutdown, ready).await?)
}

/// The child's side: resolves when its parent is gone or lets it go, or SIGTERM comes. Call it once, in a runtime.
///
/// # Errors
/// The system gives no signals or no thread.
pub fn asked_to_end() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    // Ctrl-C reaches the whole process group. The parent decides when the child stops, so the child lets it
    // pass.
    let ctrl_c_is_ignored = signal(SignalKind::interrupt())?;
    let parent_gone = end_of_stdin()?;
    Ok(async move {
        let _until_the_end = ctrl_c_is_ignored;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = parent_gone => {}
        }
    })
}

/// The one line that the child prints.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    listening: SocketAddr,
}

/// The child's side: tells the parent where it answers. Once.
pub fn announce(listening: SocketAddr) {
    let printed = serde_json::to_string(&Ready { listening })
        .map_err(io::Error::from)
        .and_then(|line| writeln!(io::stdout(), "{line}"))
        .and_then(|()| io::stdout().flush());
    if let Err(error) = printed {
        tracing::error!(%error, "the parent does not listen");
    }
}

/// Resolves when stdin ends. A thread of its own, because a read from stdin cannot be cancelled.
fn end_of_stdin() -> io::Result<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new().name("poq-parent".to_owned()).spawn(move || {
        let mut scratch = [0; 64];
        while io::stdin().read(&mut scratch).is_ok_and(|read| read > 0) {}
        let _ = ended.send(());
    })?;
    Ok(end)
}

/// The parent's side: keeps one child, `name` in the log, running until `shutdown`, then stops it.
///
/// `command` makes the command for each start: program, arguments, environment; its stdin and stdout are used for the
/// protocol. `on_ready` hears address and process id each time a child answers requests. A child that ends is
/// started again, after a delay that doubles from 0.2 s to 30 s and is short again once a child has lived for
/// a minute. If the returned future is dropped, the child is killed.
pub async fn supervise(
    name: &'static str,
    mut command: impl FnMut() -> Command,
    mut on_ready: impl FnMut(SocketAddr, u32),
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let mut backoff = Backoff::default();
    loop {
        let begun = Instant::now();
        match run_once(name, command(), &mut on_ready, shutdown.as_mut()).await {
            Ended::Asked => return,
            Ended::Alone(reason) => {
                let delay = backoff.after(begun.elapsed());
                tracing::warn!(reason, ?delay, "{name} ended; it is started again");
                tokio::select! {
                    () = sleep(delay) => {}
                    () = shutdown.as_mut() => return,
                }
            }
        }
    }
}

/// Pause before the next start.
#[derive(Debug, Default)]
struct Backoff(Option<Duration>);

impl Backoff {
    fn after(&mut self, lived: Duration) -> Duration {
        let delay = match self.0 {
            Some(last) if lived < STEADY_TIME => last.saturating_mul(2).min(LONGEST_DELAY),
            _ => FIRST_DELAY,
        };
        self.0 = Some(delay);
        delay
    }
}

enum Ended {
    /// `shutdown` came and the child is gone.
    Asked,
    /// The child ended of itself, or never got ready.
    Alone(String),
}

async fn run_once(
    name: &'static str,
    command: Command,
    on_ready: &mut impl FnMut(SocketAddr, u32),
    mut shutdown: Pin<&mut impl Future<Output = ()>>,
) -> Ended {
    let mut process = match Process::spawn(name, command) {
        Ok(process) => process,
        Err(error) => return Ended::Alone(format!("it cannot be started: {error}")),
    };
    let started = tokio::select! {
        started = process.ready() => Some(started),
        () = shutdown.as_mut() => None,
    };
    match started {
        Some(Ok(address)) => on_ready(address, process.id),
        Some(Err(reason)) => {
            process.stop().await;
            return Ended::Alone(reason);
        }
        None => {
            process.stop().await;
            return Ended::Asked;
        }
    }
    let ended = tokio::select! {
        status = process.ended() => Some(status),
        () = shutdown => None,
    };
    match ended {
        Some(Ok(status)) => Ended::Alone(status.to_string()),
        Some(Err(error)) => Ended::Alone(error.to_string()),
        None => {
            process.stop().await;
            Ended::Asked
        }
    }
}

/// A running child and the two pipes to it.
struct Process {
    name: &'static str,
    child: Child,
    id: u32,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn spawn(name: &'static str, mut command: Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let lost = || io::Error::other("the child has no pipes");
        let stdin = child.stdin.take().ok_or_else(lost)?;
        let stdout = child.stdout.take().ok_or_else(lost)?;
        let id = child.id().ok_or_else(lost)?;
        Ok(Self { name, child, id, stdin, stdout: BufReader::new(stdout).lines() })
    }

    async fn ready(&mut self) -> Result<SocketAddr, String> {
        let line = timeout(READY_TIME, self.stdout.next_line())
            .await
            .map_err(|_| "it does not get ready".to_owned())?;
        let Ok(Some(line)) = line else { return Err("it ended before it was ready".to_owned()) };
        let ready: Result<Ready, _> = serde_json::from_str(&line);
        ready
            .map(|ready| ready.listening)
            .map_err(|_| format!("it said {line:?} instead of where it listens"))
    }

    /// Waits for the child's end and reads what it prints meanwhile, so that it never blocks on a full pipe.
    async fn ended(&mut self) -> io::Result<ExitStatus> {
        let drain = async {
            while let Ok(Some(line)) = self.stdout.next_line().await {
                tracing::debug!(line, "{} prints", self.name);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            status = self.child.wait() => status,
            () = drain => Err(io::Error::other("unreachable")),
        }
    }

    /// Asks the child to stop; kills it if it does not.
    async fn stop(mut self) {
        drop(self.stdin);
        if timeout(STOP_TIME, self.child.wait()).await.is_err() {
            tracing::warn!("{} does not stop; it is killed", self.name);
            let _already_gone = self.child.kill().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::sync::{
        atomic::{AtomicU32, Ordering},
        Arc,
    };

    #[derive(Parser)]
    struct Front {
        #[command(flatten)]
        args: ChildArgs,
    }

    #[test]
    fn arguments_read_back() {
        let mut engine = EngineArgs::new("some models".into(), "data".into());
        let mut args = ChildArgs { listen: loopback(0), token_file: "token".into(), engine: engine.clone() };
        for demo_models in [false, true] {
            engine.demo_models = demo_models;
            engine.threads = demo_models.then_some(1);
            args.engine = engine.clone();
            let line = std::iter::once("front".into()).chain(args.to_arguments());
            assert_eq!(Front::try_parse_from(line).unwrap().args, args);
        }
    }

    #[test]
    fn delays_double_up_to_a_limit_and_start_again_after_a_steady_life() {
        let mut backoff = Backoff::default();
        let short = Duration::from_secs(1);
        assert_eq!(backoff.after(short), FIRST_DELAY);
        assert_eq!(backoff.after(short), FIRST_DELAY * 2);
        for _ in 0..20 {
            assert!(backoff.after(short) <= LONGEST_DELAY);
        }
        assert_eq!(backoff.after(short), LONGEST_DELAY);
        assert_eq!(backoff.after(STEADY_TIME), FIRST_DELAY);
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        command
    }

    #[tokio::test]
    async fn a_child_that_never_gets_ready_is_tried_again_until_shutdown() {
        for script in ["exit 1", "echo nonsense; cat", "echo '{\"listening\":\"not an address\"}'; cat"] {
            let starts = Arc::new(AtomicU32::new(0));
            let (stop, stopped) = oneshot::channel::<()>();
            let mut stop = Some(stop);
            let counted = Arc::clone(&starts);
            let command = move || {
                if counted.fetch_add(1, Ordering::SeqCst) == 2 {
                    stop.take().unwrap().send(()).unwrap();
                }
                shell(script)
            };
            supervise("a child", command, |_, _| panic!("never ready"), async { stopped.await.unwrap() })
                .await;
            assert_eq!(starts.load(Ordering::SeqCst), 3, "{script}");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_no_panic() {
        let mut starts = 0;
        let (stop, stopped) = oneshot::channel::<()>();
        let mut stop = Some(stop);
        let command = || {
            starts += 1;
            if starts == 2 {
                stop.take().unwrap().send(()).unwrap();
            }
            Command::new("/nowhere/at/all")
        };
        supervise("a child", command, |_, _| {}, async { stopped.await.unwrap() }).await;
        assert!(starts >= 2);
    }
}
