//! A network of nodes: created, started, awaited, stopped.

use crate::{
    asking::Heights,
    members::{self, Member},
    node::Node,
    wires::Wires,
};
use anyhow::{bail, ensure, Context as _, Result};
use harness::{ports, programs, Address, Setup, Signal};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Longest wait for a network. Far more than it takes, because machines are busy.
const PATIENCE: Duration = Duration::from_secs(420);

/// Time between two looks.
const POLL: Duration = Duration::from_millis(500);

/// Number of authors that each node is told of. One is not enough, because it may be down.
const BOOTNODES: usize = 4;

/// Addresses of the nodes of a network.
#[derive(Debug)]
pub enum Place {
    /// Pairs of ports on this machine's loopback: for RPC and for other nodes.
    Loopback(Vec<(u16, u16)>),
    /// A network namespace for each node.
    Wires(Wires),
}

impl Place {
    /// Consecutive ports from these on, one of each kind for each member.
    pub fn ports_from(rpc: u16, p2p: u16) -> Result<Self> {
        let count = u16::try_from(members::all().len())?;
        let ports = (0..count).map(|index| Some((rpc.checked_add(index)?, p2p.checked_add(index)?)));
        let ports = ports.collect::<Option<_>>().context("ports end at 65535")?;
        Ok(Self::Loopback(ports))
    }

    /// Any ports that are free now, one of each kind for each member.
    pub fn free_ports() -> Result<Self> {
        let count = members::all().len();
        let mut rpc = ports::free(count.saturating_mul(2))?;
        let p2p = rpc.split_off(count);
        Ok(Self::Loopback(rpc.into_iter().zip(p2p).collect()))
    }

    fn addresses(&self) -> Vec<Address> {
        match self {
            Self::Wires(wires) => wires.addresses(),
            Self::Loopback(ports) => ports.iter().map(|(rpc, p2p)| Address::loopback(*rpc, *p2p)).collect(),
        }
    }
}

/// The chain that a network runs.
#[derive(Clone, Debug)]
pub enum Spec {
    /// The name of a chain that comes with the node.
    BuiltIn(String),
    /// A file as `poq-node export-chain-spec` writes it, raw or not.
    File(PathBuf),
}

/// Options of a network.
#[derive(Debug)]
pub struct Options {
    /// Folder of everything that it writes.
    pub folder: PathBuf,
    /// Addresses of its nodes.
    pub place: Place,
    /// The chain that it runs.
    pub spec: Spec,
    /// The program of its nodes; `None` for the one beside this program.
    pub program: Option<PathBuf>,
    /// Folder with the demo models.
    pub models: PathBuf,
}

impl Options {
    /// A network of the chain `local` with the models of this repository.
    pub fn new(folder: impl Into<PathBuf>, place: Place) -> Self {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        Self { folder: folder.into(), place, spec: Spec::BuiltIn("local".into()), program: None, models }
    }
}

/// The nodes of a network. They end with this value, unless they were detached.
#[derive(Debug)]
pub struct Network {
    nodes: Vec<Node>,
    spec: PathBuf,
    // Removes the namespaces when it is dropped; after the nodes, which live in them.
    wires: Option<Wires>,
}

/// The facts that another run of this program needs to find the nodes of a network.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    program: PathBuf,
    ports: Vec<(u16, u16)>,
}

impl Network {
    /// Makes the network's folder and the chain's specification; starts nothing.
    pub async fn create(options: Options, members: Vec<Member>) -> Result<Self> {
        let Options { folder, place, spec, program, models } = options;
        let folder = std::path::absolute(folder)?;
        let program = program.map_or_else(|| programs::find("poq-node"), Ok)?;
        let models = programs::models(&models)?;
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let spec = write_spec(&program, &spec, &folder)?;
        let addresses = place.addresses();
        ensure!(addresses.len() >= members.len(), "there are more members than addresses");
        let nodes = members.into_iter().zip(addresses).map(|(member, address)| {
            let setup = setup(&program, &folder, &member, address);
            Node::new(member, setup, &spec, &models)
        });
        let nodes = nodes.collect();
        let wires = match place {
            Place::Wires(wires) => Some(wires),
            Place::Loopback(_) => None,
        };
        Ok(Self { nodes, spec, wires })
    }

    /// Makes and starts a network whose first node keeps the state of every block.
    ///
    /// # Errors
    /// As [`Network::create`], [`Network::equip`] and [`Network::start`].
    pub async fn launch(options: Options, members: Vec<Member>) -> Result<Self> {
        let mut network = Self::create(options, members).await?;
        if let Some(first) = network.nodes.first_mut() {
            first.setup.add(ARCHIVE);
        }
        network.equip()?;
        network.start().await?;
        Ok(network)
    }

    /// Gives every node its keys and the addresses of the authors. Disks can be mounted and options set before.
    pub fn equip(&mut self) -> Result<()> {
        let peers: Vec<String> = self.nodes.iter().map(Node::make_network_key).collect::<Result<_>>()?;
        let authors = self.nodes.iter().zip(&peers).filter(|(node, _)| node.member.is_author());
        let all: Vec<String> = authors.take(BOOTNODES).map(|(node, peer)| node.multiaddress(peer)).collect();
        for (node, peer) in self.nodes.iter_mut().zip(&peers) {
            node.insert_keys(&self.spec)?;
            let others = all.iter().filter(|address| !address.ends_with(peer));
            node.setup.add(others.flat_map(|address| ["--bootnodes", address]));
        }
        Ok(())
    }

    /// Starts all nodes and waits until the chain finalizes and every engine answers.
    ///
    /// # Errors
    /// As [`Network::wait_until_up`].
    pub async fn start(&self) -> Result<()> {
        self.nodes.iter().try_for_each(|node| node.start())?;
        self.wait_until_up(|_| {}).await
    }

    /// Waits until every node has a finalized block and every engine answers; `tell` hears how many nodes do.
    ///
    /// # Errors
    /// If a node ends meanwhile, or it takes more than 420 seconds.
    pub async fn wait_until_up(&self, tell: impl Fn(usize)) -> Result<()> {
        let deadline = Instant::now().checked_add(PATIENCE).context("a patience without end")?;
        loop {
            let mut waiting = Vec::new();
            for node in &self.nodes {
                ensure!(
                    node.is_running(),
                    "{} ended: {} (its log: {})",
                    node.name(),
                    node.last_words(),
                    node.log_file().display()
                );
                if !is_up(node).await {
                    waiting.push(node.name());
                }
            }
            tell(self.nodes.len().saturating_sub(waiting.len()));
            if waiting.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the network does not come up; waiting for {}", waiting.join(", "));
            }
            sleep(POLL).await;
        }
    }

    /// Its nodes: authors first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Its nodes, to set options before they are started.
    pub fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// The links between its nodes, if it has any of its own.
    pub fn wires(&self) -> Option<&Wires> {
        self.wires.as_ref()
    }

    /// Ends all nodes.
    pub fn stop(&self) -> Result<()> {
        // All get the signal before any is awaited.
        for node in &self.nodes {
            node.signal(Signal::TERM);
        }
        self.nodes.iter().try_for_each(|node| node.stop())
    }

    /// Lets the nodes run on when this value is gone.
    pub fn detach(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.detach());
    }

    /// Saves what [`Network::open`] reads.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let Some(first) = self.nodes.first() else { return Ok(()) };
        let addresses = self.nodes.iter().map(|node| &node.setup.address);
        let ports = addresses.map(|address| (address.rpc.port(), address.p2p.port())).collect();
        let saved = Saved { program: first.setup.program.clone(), ports };
        let path = folder.join(SAVED);
        let json = serde_json::to_vec_pretty(&saved)?;
        fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The network whose data lies in `folder`; `None` if there is none.
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(SAVED);
        if !path.exists() {
            return Ok(None);
        }
        let broken = || format!("{} is of another version: remove the folder", path.display());
        let saved: Saved = serde_json::from_slice(&fs::read(&path)?).with_context(broken)?;
        let addresses = Place::Loopback(saved.ports).addresses();
        let nodes = members::all().into_iter().zip(addresses).map(|(member, address)| {
            let setup = setup(&saved.program, folder, &member, address);
            Node::found(member, setup)
        });
        Ok(Some(Self { nodes: nodes.collect(), spec: folder.join(CHAIN), wires: None }))
    }
}

/// Setup of a member's node in the network's folder.
fn setup(program: &Path, folder: &Path, member: &Member, address: Address) -> Setup {
    Setup { address, ..Setup::new(program, folder.join("nodes").join(&member.name)) }
}

/// Options of a node that keeps the state of every block.
pub const ARCHIVE: [&str; 2] = ["--state-pruning", "archive"];

/// File with the facts that [`Network::open`] needs.
const SAVED: &str = "network.json";

/// File with the chain's specification.
const CHAIN: &str = "chain.json";

/// Writes the chain's specification, unless it is there; returns its path.
fn write_spec(program: &Path, spec: &Spec, folder: &Path) -> Result<PathBuf> {
    let file = folder.join(CHAIN);
    match spec {
        Spec::File(path) => {
            fs::copy(path, &file).with_context(|| format!("cannot copy {}", path.display()))?;
        }
        Spec::BuiltIn(_) if file.exists() => {}
        Spec::BuiltIn(name) => {
            let spec = programs::chain_spec(program, name, true)?;
            fs::write(&file, spec).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(file)
}

/// Whether a node has a finalized block, and an engine if it needs one.
async fn is_up(node: &Node) -> bool {
    let engine = !node.member.is_operator() || node.engine_that_answers().is_some();
    engine && Heights::of(&node.url()).await.is_ok_and(|heights| heights.finalized > 0)
}
