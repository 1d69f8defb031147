//! The watch: a task that looks for problems of this node and its operators.
//!
//! Every few seconds it reads the best block, the keystore and the state of the engine. It logs a problem once, with its remedy, and once
//! more when it is mended; metrics show all problems and the fares of the operators. The RPC `poq_problems` asks it for the problems that
//! hold at that moment.

mod faults;
mod history;
mod inquiry;
mod metrics;
mod sent;
mod state;

pub use faults::Place;
pub use inquiry::{inquiry, Inquiry, Questions};
pub use sent::{Recorded, Sent};

use crate::types::Client;
use codec::Decode as _;
use faults::{Board, Fault, SessionKey, LITTLE_DISK};
use futures::StreamExt as _;
use history::History;
use metrics::Metrics;
use pallet_proof_of_quality::{Model, Operator};
use poq_primitives::{
    keys::{in_flight_key, EngineEndpoint, InFlight, ENGINE_ENDPOINT_KEY, WORKER_KEY_TYPE},
    problem::Problem,
};
use poq_runtime::{opaque::Block, AccountId, BlockNumber, Nonce, Runtime, VERSION};
use poq_worker::{
    api::models::{ModelInfo, ModelState},
    probe::{Probe, Silence},
};
use sc_client_api::{BlockchainEvents as _, FinalityNotification, HeaderBackend as _};
use sp_api::{CallApiAt as _, ProvideRuntimeApi as _};
use sp_consensus_babe::BabeApi as _;
use sp_consensus_grandpa::GrandpaApi as _;
use sp_core::{
    crypto::{key_types, KeyTypeId},
    offchain::{OffchainStorage, STORAGE_PREFIX},
};
use sp_keystore::KeystorePtr;
use state::{State, Unreadable};
use std::{
    collections::BTreeSet, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc, time::Duration,
};
use substrate_prometheus_endpoint::Registry;

/// Log target of the watch.
const LOG: &str = "poq::watch";

/// Time from look to look.
const LOOK: Duration = Duration::from_secs(5);

/// Blocks after which the driver sends a report again.
const RESEND_AFTER: u32 = pallet_proof_of_quality::driver::RESEND_AFTER;

/// The command line, as far as the watch needs it.
#[derive(Clone, Debug)]
pub struct Part {
    /// Whether the node is to author blocks.
    pub author: bool,
    /// Whether off-chain workers run.
    pub offchain_workers: bool,
    /// Whether the chain has other nodes.
    pub wants_peers: bool,
    /// Whether an engine was asked for. A node with an engine and without a worker key has a problem.
    pub wants_work: bool,
    /// Whether the engine is this node's child.
    pub child: bool,
    /// The folder of the chain's data.
    pub data: PathBuf,
    /// Files and folders with secrets.
    pub secrets: Vec<PathBuf>,
    /// Options of the commands that mend something on this node.
    pub place: Place,
}

/// The task and its sources.
pub struct Watch<S> {
    /// The chain.
    pub client: Arc<Client>,
    /// The off-chain database.
    pub storage: S,
    /// The node's keys.
    pub keystore: KeystorePtr,
    /// The network. While the node catches up, its state is old.
    pub sync: Arc<sc_network_sync::SyncingService<Block>>,
    /// The reports that this process has sent.
    pub sent: Arc<Sent>,
    /// The command line.
    pub part: Part,
}

/// An operator of this node.
struct Own {
    worker: AccountId,
    account: AccountId,
    operator: Operator<Runtime>,
    models: Vec<OwnModel>,
}

/// A model that an operator of this node serves.
struct OwnModel {
    id: String,
    model: Model<Runtime>,
    enlisted: bool,
    roster: usize,
}

impl OwnModel {
    fn name(&self) -> String {
        String::from_utf8_lossy(&self.model.name)
            .chars()
            .filter(|character| !character.is_control())
            .collect()
    }
}

/// State kept from look to look.
struct Memory {
    board: Board,
    history: History,
    metrics: Option<Metrics>,
    operators: BTreeSet<AccountId>,
    probe: Option<Probe>,
}

impl<S: OffchainStorage> Watch<S> {
    /// Runs as long as the node.
    pub async fn run(self, mut questions: Questions, registry: Option<Registry>) {
        let metrics = registry.and_then(|registry| {
            Metrics::new(&registry)
                .inspect_err(|error| log::warn!(target: LOG, "no metrics of the protocol: {error}"))
                .ok()
        });
        let history = History::new(Arc::clone(&self.client), Arc::clone(&self.sent), metrics.clone());
        let probe = Probe::new()
            .inspect_err(|error| log::warn!(target: LOG, "the engine cannot be asked how it is: {error}"))
            .ok();
        let mut memory =
            Memory { board: Board::default(), history, metrics, operators: BTreeSet::new(), probe };
        let mut finality = self.client.finality_notification_stream();
        let mut clock = tokio::time::interval(LOOK);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(notification) = finality.next() => self.finalized(&notification, &mut memory).await,
                _ = clock.tick() => {
                    let found = self.find(&mut memory).await;
                    self.say(found, &mut memory);
                }
                Some(answer) = questions.next() => {
                    let _gone = answer.send(self.problems(&mut memory).await);
                }
            }
        }
    }

    async fn finalized(&self, notification: &FinalityNotification<Block>, memory: &mut Memory) {
        if !self.catches_up().await {
            memory.history.finalized(notification, &self.worker_keys(), &memory.operators);
        }
    }

    /// Whether the node is far behind the others.
    async fn catches_up(&self) -> bool {
        self.sync.status().await.is_ok_and(|status| status.state.is_major_syncing())
    }

    /// Finds the faults of now, and updates the metrics.
    async fn find(&self, memory: &mut Memory) -> Vec<Fault> {
        let mut found = self.open_files();
        found.extend(self.little_disk());
        if self.part.wants_peers && self.sync.num_connected_peers() == 0 {
            found.push(Fault::NoPeers);
        }
        if self.catches_up().await {
            // The state is old: problems found in it before stay as they are.
            let of_chain = |fault: &&Fault| !fault.is_of_machine();
            found.extend(memory.board.said().filter(of_chain).cloned());
            return found;
        }
        let best = self.client.info().best_hash;
        let spec_version = self.client.runtime_version_at(best, sp_core::traits::CallContext::Offchain);
        let spec_version = spec_version.map_or(VERSION.spec_version, |version| version.spec_version);
        if spec_version > VERSION.spec_version {
            found.push(Fault::OldNode { chain: spec_version, node: VERSION.spec_version });
        }
        found.extend(self.author_faults());
        let (owned, faults) = self.operators_at(best).unwrap_or_else(|error| {
            log::debug!(target: LOG, "nothing is known of this node's operators: {error}");
            (Vec::new(), Vec::new())
        });
        found.extend(faults);
        found.extend(memory.history.strangers().map(|worker| Fault::TwoProcesses { worker: worker.clone() }));
        let engine = self.engine_faults(memory.probe.as_ref(), &owned).await;
        memory.operators = owned.iter().map(|own| own.account.clone()).collect();
        if let Some(metrics) = memory.metrics.clone() {
            let up = engine.as_ref().is_ok_and(|(up, _)| *up);
            if let Err(error) = self.count(&metrics, &owned, best, spec_version, up) {
                log::debug!(target: LOG, "some metrics are old: {error}");
            }
        }
        found.extend(engine.map_or_else(|fault| vec![fault], |(_, faults)| faults));
        found
    }

    /// The problems that were logged and hold now. One that this look finds first waits for the next look, and so for its patience.
    async fn problems(&self, memory: &mut Memory) -> Vec<Problem> {
        let found = self.find(memory).await;
        let holds = |fault: &&Fault| found.contains(fault);
        memory.board.said().filter(holds).map(|fault| fault.problem(&self.part.place)).collect()
    }

    /// Logs new and mended problems.
    fn say(&self, found: Vec<Fault>, memory: &mut Memory) {
        let change = memory.board.look(found);
        for fault in &change.mended {
            log::info!(target: LOG, "Mended ({}), no more: {}", fault.kind(), fault.what());
        }
        for fault in &change.new {
            log::warn!(target: LOG, "Mend this ({}): {}", fault.kind(), fault.problem(&self.part.place));
        }
        if let Some(metrics) = &memory.metrics {
            metrics.set_problems(memory.board.said());
        }
    }

    fn worker_keys(&self) -> Vec<AccountId> {
        let keys = self.keystore.sr25519_public_keys(KeyTypeId(WORKER_KEY_TYPE));
        keys.into_iter().map(AccountId::from).collect()
    }

    fn open_files(&self) -> Vec<Fault> {
        let open =
            |path: &PathBuf| std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
        let holds_open = |path: &PathBuf| match std::fs::read_dir(path) {
            // A readable folder shows names only: its files count.
            Ok(files) => files.filter_map(Result::ok).any(|file| open(&file.path())),
            Err(_) => open(path),
        };
        let paths = self.part.secrets.iter().filter(|path| holds_open(path));
        paths.map(|path| Fault::OpenFile { path: path.clone() }).collect()
    }

    fn little_disk(&self) -> Option<Fault> {
        let disk = rustix::fs::statvfs(&self.part.data).ok()?;
        (disk.f_bavail.saturating_mul(disk.f_frsize) < LITTLE_DISK)
            .then(|| Fault::LittleDisk { data: self.part.data.clone() })
    }

    /// Faults of the session keys of a node that is to author blocks.
    fn author_faults(&self) -> Vec<Fault> {
        if !self.part.author {
            return Vec::new();
        }
        let (best, api) = (self.client.info().best_hash, self.client.runtime_api());
        let babe: Vec<Vec<u8>> =
            self.keystore.sr25519_public_keys(key_types::BABE).iter().map(|key| key.to_vec()).collect();
        let grandpa: Vec<Vec<u8>> =
            self.keystore.ed25519_public_keys(key_types::GRANDPA).iter().map(|key| key.to_vec()).collect();
        let epoch = api.current_epoch(best).map(|epoch| {
            epoch.authorities.into_iter().map(|(key, _)| sp_core::ByteArray::to_raw_vec(&key)).collect()
        });
        let voters = api
            .grandpa_authorities(best)
            .map(|voters| voters.into_iter().map(|(key, _)| sp_core::ByteArray::to_raw_vec(&key)).collect());
        [
            session_fault(SessionKey::Babe, &babe, epoch.ok()),
            session_fault(SessionKey::Grandpa, &grandpa, voters.ok()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The operators of this node's worker keys, and the faults of keys and operators.
    fn operators_at(&self, best: poq_runtime::Hash) -> Result<(Vec<Own>, Vec<Fault>), Unreadable> {
        let state = State::new(&self.client, best);
        let keys = self.worker_keys();
        let (mut owned, mut faults) = (Vec::new(), Vec::new());
        if keys.is_empty() && self.part.wants_work {
            faults.push(Fault::NoWorkerKey);
        }
        if !keys.is_empty() && !self.part.offchain_workers {
            faults.push(Fault::NoOffchainWorkers);
        }
        let least = state.parameters()?.min_stake;
        for worker in keys {
            let Some(account) = state.operator_of(&worker)? else {
                faults.push(Fault::UnknownWorker { worker });
                continue;
            };
            let Some(operator) = state.operator(&account)? else { continue };
            let models = own_models(&state, &account, &operator)?;
            let own = Own { worker, account, operator, models };
            faults.extend(operator_fault(&own, least));
            owned.push(own);
        }
        Ok((owned, faults))
    }

    /// Whether the engine is up, and its faults; or the fault for which it is of no use.
    async fn engine_faults(&self, probe: Option<&Probe>, owned: &[Own]) -> Result<(bool, Vec<Fault>), Fault> {
        let (Some(probe), true) = (probe, self.part.offchain_workers) else { return Ok((false, Vec::new())) };
        let stored = self.storage.get(STORAGE_PREFIX, ENGINE_ENDPOINT_KEY);
        let endpoint = stored.and_then(|bytes| EngineEndpoint::decode(&mut &bytes[..]).ok());
        if self.worker_keys().is_empty() {
            return Ok((false, Vec::new()));
        }
        let Some(EngineEndpoint { url, token }) = endpoint else { return Err(Fault::NoEngine) };
        let silent = |silence| match silence {
            Silence::Refused => Fault::EngineRefuses { url: url.clone() },
            Silence::Down(why) => Fault::EngineDown { url: (!self.part.child).then(|| url.clone()), why },
        };
        let mut faults = Vec::new();
        let engine = probe.health(&url).await.map_err(silent)?.version;
        if engine != env!("CARGO_PKG_VERSION") {
            faults.push(Fault::EngineVersion { engine, node: env!("CARGO_PKG_VERSION") });
        }
        for own in owned {
            for model in own.models.iter().filter(|model| !model.model.retired) {
                let info = probe.model(&url, &token, &model.id).await.map_err(silent)?;
                faults.extend(model_fault(own, model, info));
            }
        }
        Ok((true, faults))
    }

    /// Updates the metrics.
    fn count(
        &self,
        metrics: &Metrics,
        owned: &[Own],
        best: poq_runtime::Hash,
        spec_version: u32,
        engine_up: bool,
    ) -> Result<(), Unreadable> {
        let state = State::new(&self.client, best);
        metrics.set_engine(engine_up);
        metrics.set_sent(self.sent.taken(), self.sent.refused());
        metrics.set_chain(state.open_requests()?, spec_version);
        metrics.show_operators(owned.iter().map(|own| own.account.clone()).collect());
        let mut in_flight = 0usize;
        for own in owned {
            let drawable = own.models.iter().any(|model| model.enlisted);
            metrics.set_operator(&own.account, &own.operator, drawable);
            for model in &own.models {
                metrics.set_roster(&model.name(), model.roster);
            }
            in_flight = in_flight.saturating_add(usize::from(self.is_in_flight(&state, &own.worker)?));
        }
        metrics.set_keys(self.worker_keys().len(), in_flight);
        Ok(())
    }

    /// Whether the worker key's last report is in flight, by the driver's rule.
    fn is_in_flight(&self, state: &State<'_>, worker: &AccountId) -> Result<bool, Unreadable> {
        let stored = self.storage.get(STORAGE_PREFIX, &in_flight_key(worker));
        let report = stored.and_then(|bytes| InFlight::<Nonce, BlockNumber>::decode(&mut &bytes[..]).ok());
        let Some(report) = report else { return Ok(false) };
        let recent = self.client.info().best_number.saturating_sub(report.sent) < RESEND_AFTER;
        Ok(recent && state.nonce(worker)? == report.nonce)
    }
}

/// The fault of one kind of session key. `known` are the keys of the chain's authors, if they could be read.
fn session_fault(kind: SessionKey, own: &[Vec<u8>], known: Option<Vec<Vec<u8>>>) -> Option<Fault> {
    if own.is_empty() {
        return Some(Fault::NoSessionKey(kind));
    }
    let known = known?;
    (!own.iter().any(|key| known.contains(key))).then_some(Fault::NotAnAuthor(kind))
}

fn own_models(
    state: &State<'_>,
    account: &AccountId,
    operator: &Operator<Runtime>,
) -> Result<Vec<OwnModel>, Unreadable> {
    let mut models = Vec::new();
    for id in &operator.models {
        let Some(model) = state.model(id)? else { continue };
        let roster = state.roster(id)?;
        let enlisted = roster.contains(account);
        models.push(OwnModel {
            id: sp_core::hexdisplay::HexDisplay::from(id).to_string(),
            model,
            enlisted,
            roster: roster.len(),
        });
    }
    Ok(models)
}

/// The first reason for which an operator cannot be drawn, if there is one.
fn operator_fault(own: &Own, least: poq_runtime::Balance) -> Option<Fault> {
    let operator = own.account.clone();
    let stake = own.operator.stake;
    let least = least.saturating_mul(own.operator.models.len().max(1) as poq_runtime::Balance);
    if stake < least {
        return Some(Fault::StakeTooSmall { operator, stake, least });
    }
    if own.operator.chilled {
        return Some(Fault::Chilled { operator });
    }
    if own.models.iter().all(|model| model.model.retired) {
        return Some(Fault::NoModels { operator });
    }
    let enlisted = own.models.iter().any(|model| model.enlisted);
    (!enlisted).then_some(Fault::NotOnARoster { operator })
}

/// The fault of a model that an operator serves. `info` is the engine's answer about it.
fn model_fault(own: &Own, model: &OwnModel, info: Option<ModelInfo>) -> Option<Fault> {
    let broken = match info {
        None => None,
        Some(info) => match info.state {
            ModelState::Available | ModelState::Loading | ModelState::Loaded => return None,
            ModelState::Broken | ModelState::SetAside => {
                Some(info.error.unwrap_or_else(|| "it does not say why".to_owned()))
            }
        },
    };
    Some(Fault::ModelMissing {
        model: model.name(),
        id: model.id.clone(),
        operator: own.account.clone(),
        broken,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_needs_keys_that_the_chain_knows() {
        let kind = SessionKey::Babe;
        let (mine, other) = (vec![1u8; 32], vec![2u8; 32]);
        assert_eq!(session_fault(kind, &[], Some(vec![mine.clone()])), Some(Fault::NoSessionKey(kind)));
        assert_eq!(
            session_fault(kind, std::slice::from_ref(&mine), Some(vec![other.clone()])),
            Some(Fault::NotAnAuthor(kind))
        );
        assert_eq!(session_fault(kind, &[mine.clone(), other], Some(vec![mine.clone()])), None);
        assert_eq!(session_fault(kind, &[mine], None), None, "what is not known is not said");
    }
}
