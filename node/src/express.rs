//! The express lane of this node's operators, as a child process: what comes from everywhere must not be able to take the node with it.

use crate::engine::Address;
use anyhow::Context as _;
use clap::Parser as _;
use poq_express_process::{
    config::{Cli, Command as LaneCommand, Serve},
    files, program,
};
use poq_runtime::demo::{Operator, OPERATORS};
use poq_worker::{child, config::reachable, runner::own_executable};
use std::{
    env,
    ffi::{OsStr, OsString},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};
use tokio::{process::Command, sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

const LOG: &str = "poq::express";

/// The hidden subcommand that runs the child.
pub const SUBCOMMAND: &str = "express";

/// The folder of the lane's files, in the folder of the chain's data.
const FOLDER: &str = "express";

/// The variable with the filter of the child's log.
const LOG_VARIABLE: &str = "POQ_LOG";

/// The beginning of the names of `poq-express`'s variables.
const VARIABLES: &str = "POQ_EXPRESS_";

/// Log filter of the demo's operators, seven of whom would say the same.
const DEMO_LOG: &str = "warn";

/// Options of the hidden subcommand.
#[derive(Clone, Debug, clap::Args)]
pub struct ChildArgs {
    /// Options of `poq-express serve`, as a JSON array of texts; once for each operator
    #[arg(long = "serve", value_name = "JSON", required = true, value_parser = serve_options)]
    operators: Vec<Serve>,
}

fn serve_options(json: &str) -> Result<Serve, String> {
    let options: Vec<String> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let line = ["poq-express", "serve"].into_iter().map(str::to_owned).chain(options);
    match Cli::try_parse_from(line).map_err(|error| error.to_string())?.command {
        LaneCommand::Serve(serve) => Ok(*serve),
        LaneCommand::Endpoint(_) => Err("these are no options of serve".into()),
    }
}

/// The child's side: takes orders for all its operators until the parent is gone, lets it go, or one of them has to stop.
pub fn run_child(args: ChildArgs) -> anyhow::Result<()> {
    program::init_log();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve_all(args.operators))
}

async fn serve_all(operators: Vec<Serve>) -> anyhow::Result<()> {
    let (asked, closing) = (child::asked_to_end()?, CancellationToken::new());
    let (listening, mut listens) = mpsc::unbounded_channel();
    let mut wanted = operators.len();
    let mut running = JoinSet::new();
    for operator in operators {
        let listening = listening.clone();
        running.spawn(program::serve(operator, closing.clone(), move |at| {
            // Nobody hears it while the child ends.
            let _unheard = listening.send(at);
        }));
    }
    let mut asked = std::pin::pin!(asked);
    let mut ended = Ok(());
    loop {
        tokio::select! {
            () = &mut asked, if !closing.is_cancelled() => closing.cancel(),
            Some(at) = listens.recv(), if wanted > 0 => {
                wanted = wanted.saturating_sub(1);
                if wanted == 0 {
                    child::announce(at);
                }
            }
            Some(one) = running.join_next() => {
                // The first error is why the others end.
                ended = ended.and(one.context("an operator's task").and_then(|done| done));
                closing.cancel();
            }
            else => return ended,
        }
        if running.is_empty() {
            return ended;
        }
    }
}

/// The operators for which this node takes orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nobody's.
    Off,
    /// Those of the demo's operators, on this machine.
    Demo,
    /// Those of one operator.
    Operator {
        /// Host and port at which others reach it.
        address: String,
        /// Address to listen at.
        listen: SocketAddr,
        /// File with the secret URI of its account.
        account: Option<PathBuf>,
        /// Address for Prometheus.
        metrics: Option<SocketAddr>,
    },
}

/// The task that keeps the lane running.
pub struct ExpressTask {
    /// The operators for which it takes orders.
    pub choice: Choice,
    /// The folder of the chain's data; the lane's lies in it.
    pub data: PathBuf,
    /// Address of this node's RPC.
    pub rpc: SocketAddr,
    /// Addresses of the engine, as it gets them.
    pub engine: Address,
    /// The file with the engine's token.
    pub engine_token: PathBuf,
}

impl ExpressTask {
    /// Runs until it is dropped, which ends the child as well.
    pub async fn run(self) {
        if let Err(error) = self.supervise().await {
            log::error!(target: LOG, "No express lane, so this node's operators get no orders there: {error:#}");
        }
    }

    async fn supervise(mut self) -> anyhow::Result<()> {
        if self.choice == Choice::Off {
            return Ok(());
        }
        let program = own_executable().context("this program does not know where it is")?;
        let demo_log = self.choice == Choice::Demo && env::var_os(LOG_VARIABLE).is_none();
        // An engine that was started again is somewhere else: so is the child's then. Its orders go on from its disk.
        while let Ok(engine) = self.engine.wait_for(Option::is_some).await.map(|url| url.clone()) {
            let operators = self.operators(&engine.unwrap_or_default())?;
            let command = || {
                let mut command = Command::new(&program);
                command.arg(SUBCOMMAND);
                command.args(operators.iter().flat_map(|options| ["--serve", options]));
                // These variables are options of the program `poq-express`, not of this child.
                for variable in own_variables() {
                    command.env_remove(variable);
                }
                if demo_log {
                    command.env(LOG_VARIABLE, DEMO_LOG);
                }
                command
            };
            let on_ready = |address, process| {
                let count = operators.len();
                log::info!(target: LOG, "The express lane listens at {address} (process {process}, operators: {count})");
            };
            let mut engine = self.engine.clone();
            engine.mark_unchanged();
            let moved = async move {
                if engine.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            child::supervise("the express lane", command, on_ready, moved).await;
        }
        Ok(())
    }

    /// Options of each operator, as the child reads them.
    fn operators(&self, engine: &str) -> anyhow::Result<Vec<String>> {
        let folder = self.data.join(FOLDER);
        match &self.choice {
            Choice::Off => Ok(Vec::new()),
            Choice::Demo => (0..OPERATORS.len()).map(|index| self.demo_operator(index, engine)).collect(),
            Choice::Operator { address, listen, account, metrics } => {
                let mut options = self.options(&folder, engine, *listen)?;
                options.extend(["--address".to_owned(), address.clone()]);
                if let Some(account) = account {
                    options.extend(["--account-file".to_owned(), text(account)?, "--register".to_owned()]);
                }
                options.extend(metrics.iter().flat_map(|at| ["--metrics".to_owned(), at.to_string()]));
                Ok(vec![serde_json::to_string(&options)?])
            }
        }
    }

    fn demo_operator(&self, index: usize, engine: &str) -> anyhow::Result<String> {
        let folder = self.data.join(FOLDER).join(index.to_string());
        let account = folder.join("account");
        if !account.exists() {
            files::create_secret(&account, Operator::account_uri(index).as_bytes())?;
        }
        let mut options = self.options(&folder, engine, (Ipv4Addr::LOCALHOST, 0).into())?;
        options.extend(["--account-file".to_owned(), text(&account)?, "--register".to_owned()]);
        Ok(serde_json::to_string(&options)?)
    }

    /// Options that every operator has.
    fn options(&self, folder: &Path, engine: &str, listen: SocketAddr) -> anyhow::Result<Vec<String>> {
        let options = [
            ("--folder", text(folder)?),
            ("--key-file", text(folder.join("key"))?),
            ("--node", format!("ws://{}", reachable(self.rpc))),
            ("--engine", engine.to_owned()),
            ("--engine-token-file", text(&self.engine_token)?),
            ("--listen", listen.to_string()),
        ];
        Ok(options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect())
    }
}

/// Names of the variables that `poq-express` reads as options.
fn own_variables() -> impl Iterator<Item = OsString> {
    let names = env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.as_encoded_bytes().starts_with(VARIABLES.as_bytes()))
}

fn text(path: impl AsRef<OsStr>) -> anyhow::Result<String> {
    let path = path.as_ref();
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", Path::new(path).display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Addresses;

    fn task(choice: Choice, data: &Path) -> ExpressTask {
        let engine = Addresses::default().subscribe();
        let rpc = "0.0.0.0:9944".parse().unwrap();
        ExpressTask { choice, data: data.to_owned(), rpc, engine, engine_token: "token".into() }
    }

    #[test]
    fn the_child_reads_what_the_node_says() {
        let account = PathBuf::from("an account");
        let choice = Choice::Operator {
            address: "node.example:8443".into(),
            listen: "0.0.0.0:8443".parse().unwrap(),
            account: Some(account.clone()),
            metrics: Some("127.0.0.1:9616".parse().unwrap()),
        };
        let options = task(choice.clone(), Path::new("data")).operators("http://127.0.0.1:1").unwrap();
        let [options] = options.try_into().unwrap();
        let serve = serve_options(&options).unwrap();
        assert_eq!(serve.place.node, "ws://127.0.0.1:9944");
        assert_eq!(serve.place.key_file, Path::new("data/express/key"));
        assert_eq!((serve.engine.as_str(), serve.register), ("http://127.0.0.1:1", true));
        let (address, listen) = (serve.address.unwrap(), serve.listen);
        let read = Choice::Operator { address, listen, account: serve.account_file, metrics: serve.metrics };
        assert_eq!(read, choice);
        assert!(serve_options("[]").is_err() && serve_options("no JSON").is_err());
    }

    #[test]
    fn the_demos_operators_have_their_own_files() {
        let data = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let options = task(Choice::Demo, data.path()).operators("http://127.0.0.1:1").unwrap();
            let operators: Vec<_> = options.iter().map(|options| serve_options(options).unwrap()).collect();
            assert_eq!(operators.len(), OPERATORS.len());
            let last = operators.last().unwrap();
            let secret = files::read_secret_line(last.account_file.as_ref().unwrap()).unwrap();
            assert_eq!(secret, Operator::account_uri(OPERATORS.len() - 1));
            assert_ne!(operators[0].place.folder, last.place.folder);
        }
    }
}
