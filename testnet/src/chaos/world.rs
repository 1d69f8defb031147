//! A network with small disks, clocks of its own, and a supervisor that restarts nodes as an init system would.

use super::{
    plan::{Fault, Kind, ARCHIVE},
    Tell,
};
use crate::{
    clock::Clock,
    disk::Disk,
    members,
    network::{Network, Options, Place, ARCHIVE as ARCHIVE_OPTIONS},
    node::Node,
    wires::Wires,
};
use anyhow::{Context as _, Result};
use poq_client::Client;
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use subxt::SubstrateConfig;
use tokio::{task::block_in_place, time::sleep};

/// Size of a node's disk, in mebibytes.
const DISK: u32 = 384;

/// Time between two looks for nodes that have ended.
const ROUND: Duration = Duration::from_secs(2);

/// Number of ends by itself after which a node gets a new database, because the old one must be broken.
const PATIENCE: u32 = 3;

/// Time that a node has to answer before another is asked.
const QUICK: Duration = Duration::from_secs(3);

/// A network, with its disks, clocks and links.
pub struct World {
    /// The nodes.
    pub network: Network,
    disks: Vec<Disk>,
    clocks: Vec<Option<Clock>>,
    /// A lock for each node, held by the fault that hits it.
    pub busy: Vec<tokio::sync::Mutex<()>>,
    /// A lock that is held by a partition.
    pub cut: tokio::sync::Mutex<()>,
    /// Options that faults have added, by node.
    options: Vec<Mutex<Vec<String>>>,
    /// Number of ends that no fault caused, by node.
    deaths: Vec<Mutex<u32>>,
    events: Mutex<Vec<Happened>>,
    config: SubstrateConfig,
    began: Instant,
    tell: Tell,
}

/// An event, for the report.
#[derive(Clone, Debug, Serialize)]
pub struct Happened {
    /// Seconds since the first request.
    pub seconds: f64,
    /// Number of the fault that caused it, if any.
    pub fault: Option<usize>,
    /// Description.
    pub what: String,
}

impl World {
    /// Makes and starts the network for `plan`, with `wires` between its nodes; `tell` receives progress messages.
    ///
    /// # Errors
    /// If this user may not mount disks, programs are missing, or the network does not come up.
    pub async fn start(
        folder: &Path,
        wires: Wires,
        models: PathBuf,
        plan: &[Fault],
        tell: Tell,
    ) -> Result<Self> {
        let members = members::all();
        let options = Options { models, ..Options::new(folder, Place::Wires(wires)) };
        let mut network = Network::create(options, members).await?;
        let mut disks = Vec::new();
        let mut clocks = Vec::new();
        for (index, node) in network.nodes_mut().iter_mut().enumerate() {
            if index == ARCHIVE {
                node.setup.add(ARCHIVE_OPTIONS);
            }
            disks.push(Disk::mount(&node.base(), DISK)?);
            let jumps = |fault: &Fault| fault.kind == Kind::JumpClock && fault.nodes.contains(&index);
            let clock = match plan.iter().any(jumps) {
                true => Clock::new(&node.setup.folder.join("clock"))?,
                false => None,
            };
            node.setup.environment = clock.iter().flat_map(Clock::environment).collect();
            clocks.push(clock);
        }
        network.equip()?;
        network.start().await?;
        let each = 0..network.nodes().len();
        Ok(Self {
            disks,
            clocks,
            busy: each.clone().map(|_| tokio::sync::Mutex::default()).collect(),
            cut: tokio::sync::Mutex::default(),
            options: each.clone().map(|_| Mutex::default()).collect(),
            deaths: each.map(|_| Mutex::default()).collect(),
            events: Mutex::default(),
            config: SubstrateConfig::new(),
            began: Instant::now(),
            network,
            tell,
        })
    }

    /// The node with this index.
    pub fn node(&self, index: usize) -> Result<&Node> {
        self.network.nodes().get(index).context("no such node")
    }

    /// The disk of a node.
    pub fn disk(&self, index: usize) -> Result<&Disk> {
        self.disks.get(index).context("no such node")
    }

    /// The clock of a node, if it has one of its own.
    pub fn clock(&self, index: usize) -> Option<&Clock> {
        self.clocks.get(index)?.as_ref()
    }

    /// Time since the first request.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Records an event and tells it.
    pub fn happened(&self, fault: Option<usize>, what: String) {
        let seconds = self.elapsed().as_secs_f64();
        let mark = fault.map_or("      ".into(), |number| format!("#{number:<5}"));
        (self.tell)(&format!("{seconds:7.1} s  {mark} {what}"));
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(Happened { seconds, fault, what });
    }

    /// All events.
    pub fn events(&self) -> Vec<Happened> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a node with the options that faults have added.
    pub fn start_node(&self, index: usize) -> Result<()> {
        let options = self.options.get(index).context("no such node")?;
        let options = options.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.node(index)?.start_with(&options.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Sets the options that are added at the next starts of a node.
    pub fn set_options(&self, index: usize, options: &[&str]) {
        if let Some(place) = self.options.get(index) {
            let options = options.iter().map(|option| (*option).to_owned()).collect();
            *place.lock().unwrap_or_else(PoisonError::into_inner) = options;
        }
    }

    /// A connection to one node.
    ///
    /// # Errors
    /// If it does not answer within 3 seconds.
    pub async fn client(&self, index: usize) -> Result<Client> {
        let url = self.node(index)?.url();
        let connecting = Client::connect_with(&url, self.config.clone());
        Ok(tokio::time::timeout(QUICK, connecting).await.context("no answer")??)
    }

    /// A connection to the first node that answers.
    pub async fn anybody(&self) -> Result<Client> {
        let mut last = None;
        for index in 0..self.network.nodes().len() {
            match self.client(index).await {
                Ok(client) => return Ok(client),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("there are no nodes")?.context("no node answers"))
    }

    /// Restarts nodes that have ended, for ever, except those that a fault holds.
    pub async fn supervise(&self) {
        loop {
            for index in 0..self.network.nodes().len() {
                if let Err(error) = self.look_after(index).await {
                    self.happened(None, format!("{}: {error:#}", super::plan::name(index)));
                }
            }
            sleep(ROUND).await;
        }
    }

    async fn look_after(&self, index: usize) -> Result<()> {
        let (Some(busy), Some(deaths)) = (self.busy.get(index), self.deaths.get(index)) else {
            return Ok(());
        };
        let Ok(_mine) = busy.try_lock() else { return Ok(()) };
        let node = self.node(index)?;
        if block_in_place(|| node.is_running()) {
            return Ok(());
        }
        let times = {
            let mut deaths = deaths.lock().unwrap_or_else(PoisonError::into_inner);
            *deaths = deaths.saturating_add(1);
            *deaths
        };
        self.happened(
            None,
            format!("{} ended by itself ({}), starting it again", node.name(), node.last_words()),
        );
        if times.is_multiple_of(PATIENCE) {
            self.happened(
                None,
                format!("{} does not stay up, starting it without its database", node.name()),
            );
            block_in_place(|| node.wipe_database())?;
        }
        block_in_place(|| self.start_node(index))
    }
}
