//! The tasks of every Substrate node: maintenance of the pool, propagation of transactions, informant, telemetry and metrics.
//!
//! The SDK starts them together with its RPC server ([`sc_service::spawn_tasks`]). This node has a server of its own ([`crate::rpc`]), so
//! it starts them here.

use crate::types::{Client, SyncService, TransactionPool};
use poq_runtime::{opaque::Block, Hash};
use sc_client_api::UsageProvider as _;
use sc_network::service::traits::NetworkService;
use sc_network_transactions::TransactionsHandlerController;
use sc_service::{
    config::PrometheusConfig, error::Error as ServiceError, Configuration, MetricsService, SpawnTaskHandle,
};
use sc_telemetry::{SysInfo, Telemetry, TelemetryHandle};
use sp_keystore::KeystorePtr;
use std::sync::Arc;

/// Inserts the session keys of a development account (`--alice`), if this node is to play one.
pub fn insert_session_keys(
    config: &Configuration,
    client: &Arc<Client>,
    keystore: KeystorePtr,
) -> Result<(), ServiceError> {
    let seeds = config.dev_key_seed.clone().into_iter().collect();
    let best = client.chain_info().best_hash;
    sp_session::generate_initial_session_keys(client.clone(), best, seeds, keystore)
        .map_err(|error| ServiceError::Application(error.into()))
}

/// Sources of the tasks.
pub struct Standard<'a> {
    /// The node's configuration.
    pub config: &'a Configuration,
    /// The chain.
    pub client: &'a Arc<Client>,
    /// The pool.
    pub pool: &'a Arc<TransactionPool>,
    /// The peers.
    pub network: &'a Arc<dyn NetworkService>,
    /// The service that keeps up with other nodes.
    pub sync: &'a SyncService,
    /// The handler that propagates transactions to peers.
    pub transactions: TransactionsHandlerController<Hash>,
    /// Spawner of the tasks.
    pub tasks: SpawnTaskHandle,
}

impl Standard<'_> {
    /// Starts the tasks. Errors: two metrics have one name; telemetry was started before.
    pub fn start(self, telemetry: Option<&mut Telemetry>) -> Result<(), ServiceError> {
        let machine = sc_sysinfo::gather_sysinfo();
        sc_sysinfo::print_sysinfo(&machine);
        let telemetry = telemetry.map(|telemetry| self.introduce(telemetry, machine)).transpose()?;
        log::info!("Highest known block at #{}", self.client.usage_info().chain.best_number);
        self.show(telemetry.clone())?;

        let Self { config, client, pool, network, sync, transactions, tasks } = self;
        let group = Some("transaction-pool");
        let every_block = config.transaction_pool.use_all_block_notifications();
        let news = sc_transaction_pool::notification_future(client.clone(), pool.clone(), every_block);
        tasks.spawn("txpool-notifications", group, news);
        let sent = sc_service::propagate_transaction_notifications(pool.clone(), transactions, telemetry);
        tasks.spawn("on-transaction-imported", group, sent);
        tasks.spawn("informant", None, sc_informant::build(client.clone(), network.clone(), sync.clone()));
        Ok(())
    }

    fn introduce(
        &self,
        telemetry: &mut Telemetry,
        machine: SysInfo,
    ) -> Result<TelemetryHandle, ServiceError> {
        let config = self.config;
        Ok(sc_service::init_telemetry::<Block, _, _>(
            config.network.node_name.clone(),
            config.impl_name.clone(),
            config.impl_version.clone(),
            config.chain_spec.name().to_owned(),
            config.role.is_authority(),
            self.network.clone(),
            self.client.clone(),
            telemetry,
            Some(machine),
        )?)
    }

    /// Starts the metrics for telemetry and Prometheus.
    fn show(&self, telemetry: Option<TelemetryHandle>) -> Result<(), ServiceError> {
        let config = self.config;
        let metrics = match config.prometheus_config.clone() {
            None => MetricsService::new(telemetry),
            Some(PrometheusConfig { port: address, registry }) => {
                let (name, version) = (&config.network.node_name, &config.impl_version);
                let metrics =
                    MetricsService::with_prometheus(telemetry, &registry, config.role, name, version)?;
                self.tasks.spawn("prometheus-endpoint", None, async move {
                    if let Err(error) = substrate_prometheus_endpoint::init_prometheus(address, registry).await {
                        log::warn!(target: "poq", "No metrics at {address} (--prometheus-port chooses another): {error}");
                    }
                });
                metrics
            }
        };
        let (client, pool) = (self.client.clone(), self.pool.clone());
        let run = metrics.run(client, pool, self.network.clone(), self.sync.clone());
        self.tasks.spawn("telemetry-periodic-send", None, run);
        Ok(())
    }
}
