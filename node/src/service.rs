//! Assembly of a node.
//!
//! [`parts`] makes the components that read and write the chain, which are enough for the sub-commands; [`start`] adds the network and
//! the tasks.

use crate::{
    chain_spec, dev, engine, equivocations, express,
    local_pool::EveryFork,
    pool_tasks::PoolTasks,
    rpc, salt,
    standard::{self, Standard},
    types::{Backend, BlockImport, Client, GrandpaLink, SelectChain, SyncService, TransactionPool},
    watch::{self, Inquiry, Part, Questions, Recorded, Sent, Watch},
};
use futures::FutureExt as _;
use poq_runtime::{opaque::Block, Hash, RuntimeApi};
use sc_client_api::Backend as _;
use sc_consensus_babe::{BabeLink, BabeWorkerHandle, SlotProportion};
use sc_consensus_grandpa::{FinalityProofProvider, SharedVoterState};
use sc_consensus_slots::BackoffAuthoringOnFinalizedHeadLagging;
use sc_network::{
    config::Role, service::traits::NetworkService, NetworkBackend, NotificationService, ProtocolName,
};
use sc_service::{
    build_network, error::Error as ServiceError, BuildNetworkParams, Configuration, PartialComponents,
    TaskManager, WarpSyncConfig,
};
use sc_telemetry::{Telemetry, TelemetryHandle, TelemetryWorker};
use sc_transaction_pool_api::{OffchainTransactionPoolFactory, RejectAllTxPool};
use sp_consensus_babe::inherents::{BabeCreateInherentDataProviders, InherentDataProvider as SlotProvider};
use sp_consensus_babe::SlotDuration;
use sp_keystore::KeystorePtr;
use sp_timestamp::InherentDataProvider as TimestampProvider;
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

/// The components that read and write the chain.
pub type Parts = PartialComponents<
    Client,
    Backend,
    SelectChain,
    sc_consensus::DefaultImportQueue<Block>,
    TransactionPool,
    Consensus,
>;

/// Longest distance between two kept justifications, in blocks.
const JUSTIFICATION_PERIOD: u32 = 512;

/// The parts of BABE and GRANDPA.
pub struct Consensus {
    /// Imports the blocks that this node authors.
    block_import: BlockImport,
    babe_link: BabeLink<Block>,
    babe_worker: BabeWorkerHandle<Block>,
    grandpa_link: GrandpaLink,
    telemetry: Option<Telemetry>,
}

/// Options of a node beyond the SDK's configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// The choice of the engine.
    pub engine: engine::Choice,
    /// The operators for which this node takes orders on the express lane.
    pub express: express::Choice,
    /// The file with the engine's token.
    pub engine_token: PathBuf,
    /// Whether the node gets the worker keys of the demo's operators.
    pub dev: bool,
    /// The watch's view of the command line.
    pub part: Part,
    /// Whether the chain's specification is a file.
    pub spec_is_a_file: bool,
}

/// Makes the components that read and write the chain.
pub fn parts(config: &Configuration) -> Result<Parts, ServiceError> {
    let (telemetry_worker, telemetry) = telemetry(config)?.unzip();
    let telemetry_handle = telemetry.as_ref().map(Telemetry::handle);
    let (client, backend, keystore_container, task_manager) =
        sc_service::new_full_parts::<Block, RuntimeApi, _>(
            config,
            telemetry_handle.clone(),
            sc_service::new_wasm_executor(&config.executor),
            Vec::new(),
        )?;
    let client = Arc::new(client);
    if let Some(worker) = telemetry_worker {
        task_manager.spawn_handle().spawn("telemetry", None, worker.run());
    }
    let select_chain = SelectChain::new(backend.clone());
    let transaction_pool = Arc::new(
        sc_transaction_pool::Builder::new(
            PoolTasks::new(&task_manager),
            client.clone(),
            config.role.is_authority().into(),
        )
        .with_options(config.transaction_pool.clone())
        .with_prometheus(config.prometheus_registry())
        .build(),
    );

    let (grandpa_import, grandpa_link) = sc_consensus_grandpa::block_import(
        client.clone(),
        JUSTIFICATION_PERIOD,
        &client,
        select_chain.clone(),
        telemetry_handle.clone(),
    )?;
    let babe_config = sc_consensus_babe::configuration(&*client)?;
    let slot_duration = babe_config.slot_duration();
    let (block_import, babe_link) = sc_consensus_babe::block_import(
        babe_config,
        grandpa_import.clone(),
        client.clone(),
        inherents(slot_duration),
        select_chain.clone(),
        // Its reports would prove nothing: see `equivocations`.
        OffchainTransactionPoolFactory::new(RejectAllTxPool::default()),
    )?;
    let (import_queue, babe_worker) =
        sc_consensus_babe::import_queue(sc_consensus_babe::ImportQueueParams {
            link: babe_link.clone(),
            block_import: block_import.clone(),
            justification_import: Some(Box::new(grandpa_import)),
            client: client.clone(),
            slot_duration,
            spawner: &task_manager.spawn_essential_handle(),
            registry: config.prometheus_registry(),
            telemetry: telemetry_handle,
        })?;

    Ok(PartialComponents {
        client,
        backend,
        task_manager,
        keystore_container,
        select_chain,
        import_queue,
        transaction_pool,
        other: Consensus { block_import, babe_link, babe_worker, grandpa_link, telemetry },
    })
}

fn telemetry(config: &Configuration) -> Result<Option<(TelemetryWorker, Telemetry)>, ServiceError> {
    let Some(endpoints) = config.telemetry_endpoints.clone().filter(|endpoints| !endpoints.is_empty()) else {
        return Ok(None);
    };
    let worker = TelemetryWorker::new(16)?;
    let telemetry = worker.handle().new_telemetry(endpoints);
    Ok(Some((worker, telemetry)))
}

/// The inherents of a block: its slot and its time.
fn inherents(slot: SlotDuration) -> BabeCreateInherentDataProviders<Block> {
    Arc::new(move |_, ()| async move {
        let time = TimestampProvider::from_system_time();
        Ok((SlotProvider::from_timestamp_and_slot_duration(*time, slot), time))
    })
}

/// Starts a node that answers RPC at `places`.
pub fn start<N: NetworkBackend<Block, Hash>>(
    config: Configuration,
    places: rpc::Places,
    options: Options,
) -> Result<TaskManager, ServiceError> {
    let (plan, dev) = (Plan::new(&config), options.dev);
    let PartialComponents {
        client,
        backend,
        mut task_manager,
        import_queue,
        keystore_container,
        select_chain,
        transaction_pool,
        other: Consensus { block_import, babe_link, babe_worker, grandpa_link, mut telemetry },
    } = parts(&config)?;
    if options.spec_is_a_file {
        let kept = client.chain_info().genesis_hash;
        chain_spec::check_genesis(&*config.chain_spec, &backend, kept).map_err(ServiceError::Other)?;
    }
    let keystore = keystore_container.keystore();
    let votes = SharedVoterState::empty();
    let network = connect::<N>(
        &config,
        &client,
        &backend,
        &transaction_pool,
        &task_manager,
        import_queue,
        &grandpa_link,
    )?;
    let node = Tasks {
        plan,
        client,
        backend,
        keystore,
        select_chain,
        transaction_pool,
        network: network.service,
        sync: network.sync,
        telemetry: telemetry.as_ref().map(Telemetry::handle),
        sent: Arc::default(),
        task_manager: &task_manager,
    };
    standard::insert_session_keys(&config, &node.client, node.keystore.clone())?;
    node.standard(&config, network.transactions).start(telemetry.as_mut())?;
    let (inquiry, questions) = watch::inquiry();
    let sources = node.rpc_sources(network.requests, babe_worker, &grandpa_link, &votes, inquiry);
    let (server, control) = rpc::serve(places, &config.rpc, config.prometheus_registry(), |executor| {
        sources.module(&config, executor)
    })?;
    let rpc = server.listen_addrs().first().copied();
    node.run(options, rpc, questions, block_import, babe_link)?;
    node.vote_on_finality(grandpa_link, network.finality, votes)?;
    if dev {
        dev::greet(rpc.as_ref());
    }
    // These end when they are dropped, one after the other; last a temporary base folder.
    task_manager.keep_alive((telemetry, server, control, config.base_path));
    Ok(task_manager)
}

/// The network and its handles.
struct Network {
    service: Arc<dyn NetworkService>,
    sync: SyncService,
    /// Sender of the requests of RPC methods to the network.
    requests: sc_utils::mpsc::TracingUnboundedSender<sc_rpc::system::Request<Block>>,
    /// The handler that propagates transactions to peers.
    transactions: sc_network_transactions::TransactionsHandlerController<Hash>,
    finality: FinalityProtocol,
}

/// GRANDPA's protocol between peers.
struct FinalityProtocol {
    name: ProtocolName,
    notifications: Box<dyn NotificationService>,
}

fn connect<N: NetworkBackend<Block, Hash>>(
    config: &Configuration,
    client: &Arc<Client>,
    backend: &Arc<Backend>,
    transaction_pool: &Arc<TransactionPool>,
    task_manager: &TaskManager,
    import_queue: sc_consensus::DefaultImportQueue<Block>,
    grandpa_link: &GrandpaLink,
) -> Result<Network, ServiceError> {
    let metrics = N::register_notification_metrics(config.prometheus_registry());
    let mut net_config = sc_network::config::FullNetworkConfiguration::<_, _, N>::new(
        &config.network,
        config.prometheus_registry().cloned(),
    );
    let name =
        sc_consensus_grandpa::protocol_standard_name(&client.chain_info().genesis_hash, &config.chain_spec);
    let (grandpa_config, notifications) = sc_consensus_grandpa::grandpa_peers_set_config::<_, N>(
        name.clone(),
        metrics.clone(),
        net_config.peer_store_handle(),
    );
    net_config.add_notification_protocol(grandpa_config);
    let warp_sync = sc_consensus_grandpa::warp_proof::NetworkProvider::new(
        backend.clone(),
        grandpa_link.shared_authority_set().clone(),
        Vec::new(),
    );
    let (service, requests, transactions, sync, _) = build_network(BuildNetworkParams {
        config,
        net_config,
        client: client.clone(),
        transaction_pool: transaction_pool.clone(),
        spawn_handle: task_manager.spawn_handle(),
        spawn_essential_handle: task_manager.spawn_essential_handle(),
        import_queue,
        block_announce_validator_builder: None,
        warp_sync_config: Some(WarpSyncConfig::WithProvider(Arc::new(warp_sync))),
        block_relay: None,
        metrics,
        gap_sync_body_policy: None,
    })?;
    let finality = FinalityProtocol { name, notifications };
    Ok(Network { service, sync, requests, transactions, finality })
}

/// The configuration, as far as the tasks need it.
struct Plan {
    role: Role,
    name: String,
    force_authoring: bool,
    vote: bool,
    offchain_workers: bool,
    data: PathBuf,
    prometheus: Option<substrate_prometheus_endpoint::Registry>,
}

impl Plan {
    fn new(config: &Configuration) -> Self {
        Self {
            role: config.role,
            name: config.network.node_name.clone(),
            force_authoring: config.force_authoring,
            vote: !config.disable_grandpa,
            offchain_workers: config.offchain_worker.enabled,
            data: config.data_path.clone(),
            prometheus: config.prometheus_registry().cloned(),
        }
    }
}

/// Handles that the tasks of a node share.
struct Tasks<'a> {
    plan: Plan,
    client: Arc<Client>,
    backend: Arc<Backend>,
    keystore: KeystorePtr,
    select_chain: SelectChain,
    transaction_pool: Arc<TransactionPool>,
    network: Arc<dyn NetworkService>,
    sync: SyncService,
    telemetry: Option<TelemetryHandle>,
    /// The reports that the driver sends.
    sent: Arc<Sent>,
    task_manager: &'a TaskManager,
}

impl Tasks<'_> {
    /// The tasks that every node has.
    fn standard<'a>(
        &'a self,
        config: &'a Configuration,
        transactions: sc_network_transactions::TransactionsHandlerController<Hash>,
    ) -> Standard<'a> {
        Standard {
            config,
            client: &self.client,
            pool: &self.transaction_pool,
            network: &self.network,
            sync: &self.sync,
            transactions,
            tasks: self.task_manager.spawn_handle(),
        }
    }

    /// The sources of RPC methods.
    fn rpc_sources(
        &self,
        network: sc_utils::mpsc::TracingUnboundedSender<sc_rpc::system::Request<Block>>,
        babe_worker: BabeWorkerHandle<Block>,
        grandpa: &GrandpaLink,
        votes: &SharedVoterState,
        watch: Inquiry,
    ) -> rpc::Sources {
        let authorities = grandpa.shared_authority_set();
        rpc::Sources {
            client: self.client.clone(),
            backend: self.backend.clone(),
            pool: self.transaction_pool.clone(),
            select_chain: self.select_chain.clone(),
            keystore: self.keystore.clone(),
            sync: self.sync.clone(),
            network,
            babe_worker,
            grandpa_authorities: authorities.clone(),
            grandpa_votes: votes.clone(),
            grandpa_justifications: grandpa.justification_stream(),
            finality_proofs: FinalityProofProvider::new_for_service(
                self.backend.clone(),
                Some(authorities.clone()),
            ),
            watch,
        }
    }

    /// Starts the operators' tasks and the author's.
    fn run(
        &self,
        options: Options,
        rpc: Option<SocketAddr>,
        questions: Questions,
        block_import: BlockImport,
        babe_link: BabeLink<Block>,
    ) -> Result<(), ServiceError> {
        if options.dev {
            dev::insert_worker_keys(&self.keystore)?;
        }
        self.run_offchain_workers()?;
        let engine = self.run_engine(options.engine);
        self.run_express(options.express, options.engine_token, rpc, engine);
        self.keep_watch(options.part, questions);
        self.report_equivocations();
        self.author_blocks(block_import, babe_link)
    }

    /// Runs the driver at each new best block.
    fn run_offchain_workers(&self) -> Result<(), ServiceError> {
        if !self.plan.offchain_workers {
            return Ok(());
        }
        if let Some(mut storage) = self.backend.offchain_storage() {
            salt::keep(&mut storage, &self.plan.data)
                .map_err(|error| ServiceError::Other(format!("the salt secret: {error:#}")))?;
        }
        let workers = sc_offchain::OffchainWorkers::new(sc_offchain::OffchainWorkerOptions {
            runtime_api_provider: self.client.clone(),
            keystore: Some(self.keystore.clone()),
            offchain_db: self.backend.offchain_storage(),
            transaction_pool: Some(OffchainTransactionPoolFactory::new(Recorded::new(
                EveryFork(self.transaction_pool.clone()),
                self.sent.clone(),
            ))),
            network_provider: Arc::new(self.network.clone()),
            is_validator: self.plan.role.is_authority(),
            enable_http_requests: true,
            custom_extensions: |_| Vec::new(),
        })
        .map_err(|error| {
            ServiceError::Other(format!(
                "off-chain workers cannot start: {error} (are CA certificates installed?)"
            ))
        })?;
        self.task_manager.spawn_handle().spawn(
            "offchain-workers-runner",
            "offchain-worker",
            workers.run(self.client.clone(), self.task_manager.spawn_handle()).boxed(),
        );
        Ok(())
    }

    /// Starts the task that gives the driver an engine. Returns the addresses that the engine gets.
    fn run_engine(&self, choice: engine::Choice) -> engine::Address {
        let addresses = engine::Addresses::default();
        let engine = addresses.subscribe();
        let Some(storage) = self.backend.offchain_storage().filter(|_| self.plan.offchain_workers) else {
            return engine;
        };
        let task = engine::EngineTask {
            choice,
            storage,
            keystore: self.keystore.clone(),
            data: self.plan.data.clone(),
            addresses,
        };
        // Not essential: a node whose engine fails still follows the chain, and the driver reports what it cannot do.
        self.task_manager.spawn_handle().spawn("engine", "engine", task.run());
        engine
    }

    /// Starts the task that keeps the express lane running.
    fn run_express(
        &self,
        choice: express::Choice,
        engine_token: PathBuf,
        rpc: Option<SocketAddr>,
        engine: engine::Address,
    ) {
        let Some(rpc) = rpc else { return };
        let task = express::ExpressTask { choice, data: self.plan.data.clone(), rpc, engine, engine_token };
        // Not essential, as the engine.
        self.task_manager.spawn_handle().spawn("express", "express", task.run());
    }

    /// Starts the watch.
    fn keep_watch(&self, part: Part, questions: Questions) {
        let Some(storage) = self.backend.offchain_storage() else { return };
        let watch = Watch {
            client: self.client.clone(),
            storage,
            keystore: self.keystore.clone(),
            sync: self.sync.clone(),
            sent: self.sent.clone(),
            part,
        };
        let watching = watch.run(questions, self.plan.prometheus.clone());
        self.task_manager.spawn_handle().spawn("watch", None, watching);
    }

    /// Starts the task that reports authors of two blocks for one slot.
    fn report_equivocations(&self) {
        let (client, select_chain) = (self.client.clone(), self.select_chain.clone());
        let reporter = equivocations::Reporter::new(client, select_chain, self.transaction_pool.clone());
        self.task_manager.spawn_handle().spawn("equivocations", None, reporter.run());
    }

    /// Authors blocks with BABE, if this node is an author.
    fn author_blocks(&self, block_import: BlockImport, link: BabeLink<Block>) -> Result<(), ServiceError> {
        if !self.plan.role.is_authority() {
            return Ok(());
        }
        let proposer = sc_basic_authorship::ProposerFactory::new(
            self.task_manager.spawn_handle(),
            self.client.clone(),
            self.transaction_pool.clone(),
            self.plan.prometheus.as_ref(),
            self.telemetry.clone(),
        );
        let babe = sc_consensus_babe::start_babe(sc_consensus_babe::BabeParams {
            keystore: self.keystore.clone(),
            client: self.client.clone(),
            select_chain: self.select_chain.clone(),
            env: proposer,
            block_import,
            sync_oracle: self.sync.clone(),
            justification_sync_link: self.sync.clone(),
            create_inherent_data_providers: inherents(link.config().slot_duration()),
            force_authoring: self.plan.force_authoring,
            backoff_authoring_blocks: Some(BackoffAuthoringOnFinalizedHeadLagging::default()),
            babe_link: link,
            block_proposal_slot_portion: SlotProportion::new(0.5),
            max_block_proposal_slot_portion: None,
            telemetry: self.telemetry.clone(),
        })?;
        self.task_manager.spawn_essential_handle().spawn_blocking(
            "babe-proposer",
            Some("block-authoring"),
            babe,
        );
        Ok(())
    }

    /// Votes with GRANDPA, or follows the votes of others.
    fn vote_on_finality(
        &self,
        link: GrandpaLink,
        protocol: FinalityProtocol,
        shared_voter_state: SharedVoterState,
    ) -> Result<(), ServiceError> {
        if !self.plan.vote {
            return Ok(());
        }
        let voter = sc_consensus_grandpa::run_grandpa_voter(sc_consensus_grandpa::GrandpaParams {
            config: sc_consensus_grandpa::Config {
                gossip_duration: Duration::from_millis(333),
                justification_generation_period: JUSTIFICATION_PERIOD,
                observer_enabled: false,
                local_role: self.plan.role,
                name: Some(self.plan.name.clone()),
                keystore: self.plan.role.is_authority().then(|| self.keystore.clone()),
                telemetry: self.telemetry.clone(),
                protocol_name: protocol.name,
            },
            link,
            network: self.network.clone(),
            sync: self.sync.clone(),
            notification_service: protocol.notifications,
            voting_rule: sc_consensus_grandpa::VotingRulesBuilder::default().build(),
            prometheus_registry: self.plan.prometheus.clone(),
            shared_voter_state,
            telemetry: self.telemetry.clone(),
            offchain_tx_pool_factory: OffchainTransactionPoolFactory::new(self.transaction_pool.clone()),
        })?;
        self.task_manager.spawn_essential_handle().spawn_blocking("grandpa-voter", None, voter);
        Ok(())
    }
}
