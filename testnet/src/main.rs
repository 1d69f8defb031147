//! `poq-testnet`: a network of eleven nodes on this machine, and another one for tests with faults.

use anyhow::{bail, ensure, Context as _, Result};
use clap::{Parser, Subcommand};
use harness::programs;
use indicatif::ProgressBar;
use std::{
    env,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use subxt_signer::DEV_PHRASE;
use testnet::{
    chaos,
    ending::Ending,
    members,
    network::{Network, Options, Place},
    show,
    terminal::{bar, folder_or_cached, say},
};

/// A network of real nodes on this machine: four block authors and seven operators, each with its own data, keys and engine.
#[derive(Debug, Parser)]
#[command(name = "poq-testnet", version, after_help = EXAMPLES)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  poq-testnet up                       start it, or go on where it was stopped
  poq --suri-file ~/.cache/proof-of-quality/network/bob ask \"What is the capital of Peru?\"
  poq-testnet status                   who runs, memory, blocks
  poq-testnet down                     stop it, keep its data
  poq-testnet down --forget            stop it, remove its data
  poq-testnet chaos --seed 7           another network, in namespaces of its own, and fifty faults (as root)";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the network in the background, or continue where it was stopped
    Up {
        #[command(flatten)]
        place: Folder,
        /// RPC port of the first node; the others have the ports after it
        #[arg(long, value_name = "PORT", default_value_t = 9944)]
        rpc_port: u16,
        /// Port of the first node for other nodes; the others have the ports after it
        #[arg(long, value_name = "PORT", default_value_t = 30333)]
        port: u16,
        /// Folder with the demo models
        #[arg(long, value_name = "DIR", env = "POQ_MODELS", default_value = "models")]
        models: PathBuf,
    },
    /// Stop the network
    Down {
        #[command(flatten)]
        place: Folder,
        /// Also remove its data
        #[arg(long)]
        forget: bool,
    },
    /// Show its nodes: processes, memory, blocks
    Status {
        #[command(flatten)]
        place: Folder,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Cause faults in a network of its own, at random moments from a seed, and check that nothing is lost (as root)
    Chaos(chaos::Args),
}

#[derive(Debug, clap::Args)]
struct Folder {
    /// Folder of the network's data [default: network, in the project's cache]
    #[arg(long, value_name = "DIR", env = "POQ_NETWORK")]
    folder: Option<PathBuf>,
}

impl Folder {
    /// The command line `poq-testnet COMMAND` for this folder, with the program's path as it was called, so that a hint can be copied.
    fn hint(&self, command: &str) -> String {
        let folder = self.folder.iter().map(|folder| format!(" --folder {}", quoted(folder)));
        format!("{} {command}{}", quoted(&called()), folder.collect::<String>())
    }

    fn path(&self) -> Result<PathBuf> {
        folder_or_cached(self.folder.as_deref(), "network")
    }
}

/// Path of this program, as it was called.
fn called() -> PathBuf {
    env::args_os().next().map_or_else(|| "poq-testnet".into(), PathBuf::from)
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    shlex::try_quote(&path).map_or_else(|_| path.to_string(), |quoted| quoted.to_string())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(code) => code,
        Err(error) => {
            let _nobody_reads = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Up { place, rpc_port, port, models } => up(&place, rpc_port, port, models).await?,
        Command::Down { place, forget } => down(&place, forget)?,
        Command::Status { place, json } => status(&place, json).await?,
        Command::Chaos(args) => return chaos::main(args).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// A lock that keeps out another `up` or `down` on the same folder.
fn take_turn(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("turn");
    let file = File::options().create(true).truncate(false).write(true).open(&path)?;
    ensure!(file.try_lock().is_ok(), "the network in {} is being started or stopped", folder.display());
    Ok(file)
}

async fn up(place: &Folder, rpc_port: u16, port: u16, models: PathBuf) -> Result<()> {
    let folder = &place.path()?;
    let _turn = take_turn(folder)?;
    refuse_if_it_runs(place)?;
    let fresh = !folder.join("chain.json").exists();
    let options = Options { models, ..Options::new(folder, Place::ports_from(rpc_port, port)?) };
    programs::find("poq")?;
    let mut network = Network::create(options, members::all()).await?;
    refuse_if_ports_are_taken(&network)?;
    network.equip()?;
    network.save(folder)?;
    // An account with funds to ask with: `poq` takes no development key by name on this chain, which is not of type Development.
    let bob = folder.join("bob");
    programs::write_secret(&bob, &format!("{DEV_PHRASE}//Bob"))?;
    say(&format!(
        "{} a network of {} nodes in {}",
        if fresh { "starting" } else { "going on with" },
        network.nodes().len(),
        folder.display()
    ))?;

    let mut ending = Ending::listen()?;
    let bar = bar(network.nodes().len(), "{bar:40} {pos} of {len} nodes are up, {elapsed}");
    bar.enable_steady_tick(Duration::from_millis(200));
    let started = tokio::select! {
        biased;
        () = ending.heard() => Err(anyhow::anyhow!("interrupted; nothing runs")),
        started = start(&network, &bar) => started,
    };
    bar.finish_and_clear();
    // On an error the nodes end with `network`.
    started?;
    network.detach();
    say(&show::table(&show::statuses(&network).await).trim_fmt())?;
    let first = network.nodes().first().context("there are no nodes")?;
    say(&format!(
        "\nIt runs. Next:\n  export POQ_URL={}    # or any other of these\n  {} --suri-file {} ask \"What is the capital of Peru?\"\n  {}\n  {}",
        first.url(),
        quoted(&called().with_file_name("poq")),
        quoted(&bob),
        place.hint("status"),
        place.hint("down")
    ))
}

async fn start(network: &Network, bar: &ProgressBar) -> Result<()> {
    network.nodes().iter().try_for_each(|node| node.start())?;
    network.wait_until_up(|up| bar.set_position(up as u64)).await
}

fn refuse_if_it_runs(place: &Folder) -> Result<()> {
    let folder = &place.path()?;
    let Some(network) = Network::open(folder)? else { return Ok(()) };
    let (all, running) =
        (network.nodes().len(), network.nodes().iter().filter(|node| node.is_running()).count());
    match running {
        0 => Ok(()),
        running if running == all => bail!(
            "the network in {} runs already: `{}` shows it, `{}` stops it",
            folder.display(),
            place.hint("status"),
            place.hint("down")
        ),
        running => bail!(
            "{running} of {all} nodes of the network in {} run: `{}` first",
            folder.display(),
            place.hint("down")
        ),
    }
}

fn refuse_if_ports_are_taken(network: &Network) -> Result<()> {
    for node in network.nodes() {
        for address in [node.setup.address.rpc, node.setup.address.p2p] {
            ensure!(
                std::net::TcpListener::bind(address).is_ok(),
                "port {} is taken: stop what listens there, or choose others with --rpc-port and --port",
                address.port()
            );
        }
    }
    Ok(())
}

fn down(place: &Folder, forget: bool) -> Result<()> {
    let folder = &place.path()?;
    if !folder.exists() {
        return say(&format!("there is no network in {}", folder.display()));
    }
    let turn = take_turn(folder)?;
    let stopped = match Network::open(folder)? {
        None => 0,
        Some(network) => {
            let running = network.nodes().iter().filter(|node| node.is_running()).count();
            network.stop()?;
            running
        }
    };
    drop(turn);
    if forget {
        ensure!(
            folder.join("chain.json").exists() || stopped == 0 && is_empty_but_for_the_turn(folder),
            "{} does not look like a network's: remove it yourself",
            folder.display()
        );
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    match (stopped, forget) {
        (0, false) => say("nothing runs"),
        (0, true) => say("nothing runs; its data is gone"),
        (_, false) => say(&format!(
            "stopped {stopped} nodes; `{}` goes on where they were, `{}` removes their data",
            place.hint("up"),
            place.hint("down --forget")
        )),
        (_, true) => say(&format!("stopped {stopped} nodes; their data is gone")),
    }
}

fn is_empty_but_for_the_turn(folder: &Path) -> bool {
    fs::read_dir(folder)
        .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == "turn")))
}

async fn status(place: &Folder, json: bool) -> Result<()> {
    let folder = &place.path()?;
    let Some(network) = Network::open(folder)? else {
        bail!("there is no network in {}: `{}` makes one", folder.display(), place.hint("up"));
    };
    let statuses = show::statuses(&network).await;
    if json {
        return say(&serde_json::to_string(&statuses)?);
    }
    say(&show::table(&statuses).trim_fmt())?;
    if statuses.iter().all(|status| status.process.is_none()) {
        say(&format!("\nNothing runs; `{}` goes on where it was.", place.hint("up")))?;
    }
    Ok(())
}
