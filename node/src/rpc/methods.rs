//! The RPC methods: those of every Substrate node, and nonces, fees, the state of consensus, and problems.

use super::problems;
use crate::{
    types::{Backend, Client, SelectChain, SyncService, TransactionPool},
    watch::Inquiry,
};
use jsonrpsee::{Methods, RpcModule};
use pallet_transaction_payment_rpc::{TransactionPayment, TransactionPaymentApiServer};
use poq_runtime::{opaque::Block, BlockNumber, Hash};
use sc_client_api::Backend as _;
use sc_consensus_babe::BabeWorkerHandle;
use sc_consensus_babe_rpc::{Babe, BabeApiServer};
use sc_consensus_grandpa::{
    FinalityProofProvider, GrandpaJustificationStream, SharedAuthoritySet, SharedVoterState,
};
use sc_consensus_grandpa_rpc::{Grandpa, GrandpaApiServer};
use sc_rpc::{
    author::{Author, AuthorApiServer},
    chain::ChainApiServer,
    offchain::{Offchain, OffchainApiServer},
    state::{ChildStateApiServer, StateApiServer},
    system::{Request, System, SystemApiServer, SystemInfo},
    SubscriptionTaskExecutor,
};
use sc_rpc_spec_v2::{
    archive::{Archive, ArchiveApiServer},
    bitswap::{Bitswap, BitswapApiServer},
    chain_head::{ChainHead, ChainHeadApiServer, ChainHeadConfig},
    chain_spec::{ChainSpec, ChainSpecApiServer},
    transaction::{
        Transaction, TransactionApiServer, TransactionBroadcast, TransactionBroadcastApiServer,
        TransactionMetrics,
    },
};
use sc_service::{error::Error as ServiceError, Configuration};
use sc_sync_state_rpc::{SyncState, SyncStateApiServer};
use sc_utils::mpsc::TracingUnboundedSender;
use serde_json::json;
use sp_keystore::KeystorePtr;
use std::sync::Arc;
use substrate_frame_rpc_system::{System as Nonces, SystemApiServer as _};

/// Most transactions that the node broadcasts at a time for one connection (`transaction_v1_broadcast`).
const BROADCASTS: usize = 16;

/// The method that lists all methods.
const LIST: &str = "rpc_methods";

/// Sources of the methods.
pub struct Sources {
    /// The chain.
    pub client: Arc<Client>,
    /// Its database.
    pub backend: Arc<Backend>,
    /// The pool.
    pub pool: Arc<TransactionPool>,
    /// The rule of which fork is best.
    pub select_chain: SelectChain,
    /// The node's keys.
    pub keystore: KeystorePtr,
    /// The service that keeps up with other nodes.
    pub sync: SyncService,
    /// Sender of requests to the network.
    pub network: TracingUnboundedSender<Request<Block>>,
    /// Source of BABE's epochs.
    pub babe_worker: BabeWorkerHandle<Block>,
    /// GRANDPA's voters.
    pub grandpa_authorities: SharedAuthoritySet<Hash, BlockNumber>,
    /// State of GRANDPA's votes.
    pub grandpa_votes: SharedVoterState,
    /// New justifications.
    pub grandpa_justifications: GrandpaJustificationStream<Block>,
    /// Proofs that a block is final.
    pub finality_proofs: Arc<FinalityProofProvider<Backend, Block>>,
    /// The watch, which knows the node's problems.
    pub watch: Inquiry,
}

impl Sources {
    /// The methods, whose subscriptions run on `executor`.
    ///
    /// Errors: two methods or two metrics have one name.
    pub fn module(
        self,
        config: &Configuration,
        executor: SubscriptionTaskExecutor,
    ) -> Result<RpcModule<()>, ServiceError> {
        let metrics = config.prometheus_registry().map(TransactionMetrics::new).transpose()?;
        let mut module = RpcModule::new(());
        let problems = problems::methods(self.watch.clone()).map_err(unusable)?;
        let light = SyncState::new(
            config.chain_spec.cloned_box(),
            self.client.clone(),
            self.grandpa_authorities.clone(),
            self.babe_worker.clone(),
        );
        // Fails for specifications without the extension that it fills: this node makes none.
        let light = light.map_err(|error| ServiceError::Application(error.into()))?;
        let groups = [
            vec![light.into_rpc().into()],
            self.classic(config, &executor),
            self.of_specification(config, metrics, &executor),
            self.of_this_chain(executor),
        ];
        for group in groups.into_iter().flatten().chain([problems]) {
            module.merge(group).map_err(unusable)?;
        }
        let mut names: Vec<_> = module.method_names().chain([LIST]).collect();
        names.sort_unstable();
        module.register_method(LIST, move |_, _, _| json!({ "methods": names })).map_err(unusable)?;
        Ok(module)
    }

    /// The methods of the first Substrate nodes.
    fn classic(&self, config: &Configuration, executor: &SubscriptionTaskExecutor) -> Vec<Methods> {
        let Self { client, backend, pool, keystore, network, .. } = self;
        let about = SystemInfo {
            impl_name: config.impl_name.clone(),
            impl_version: config.impl_version.clone(),
            chain_name: config.chain_spec.name().to_owned(),
            properties: config.chain_spec.properties(),
            chain_type: config.chain_spec.chain_type(),
        };
        let (state, child_state) =
            sc_rpc::state::new_full::<Backend, _, _>(client.clone(), executor.clone(), None);
        let author = Author::new(client.clone(), pool.clone(), keystore.clone(), executor.clone());
        let mut groups: Vec<Methods> = vec![
            sc_rpc::chain::new_full(client.clone(), executor.clone()).into_rpc().into(),
            state.into_rpc().into(),
            child_state.into_rpc().into(),
            author.into_rpc().into(),
            System::new(about, network.clone()).into_rpc().into(),
        ];
        groups.extend(backend.offchain_storage().map(|storage| Offchain::new(storage).into_rpc().into()));
        groups
    }

    /// The methods of the JSON-RPC interface specification, which current clients use.
    fn of_specification(
        &self,
        config: &Configuration,
        metrics: Option<TransactionMetrics>,
        executor: &SubscriptionTaskExecutor,
    ) -> Vec<Methods> {
        let Self { client, backend, pool, sync, .. } = self;
        let genesis = client.chain_info().genesis_hash;
        let (name, properties) = (config.chain_spec.name().to_owned(), config.chain_spec.properties());
        let head =
            ChainHead::new(client.clone(), backend.clone(), executor.clone(), ChainHeadConfig::default());
        let broadcast = TransactionBroadcast::new(client.clone(), pool.clone(), executor.clone(), BROADCASTS);
        let mut groups: Vec<Methods> = vec![
            head.into_rpc().into(),
            Transaction::new(client.clone(), pool.clone(), executor.clone(), metrics).into_rpc().into(),
            broadcast.into_rpc().into(),
            ChainSpec::new(name, genesis, properties).into_rpc().into(),
            Bitswap::<Block, Client>::new(client.clone(), sync.clone()).into_rpc().into(),
        ];
        let keeps_all_states = config.state_pruning.as_ref().is_some_and(|pruning| pruning.is_archive());
        if keeps_all_states && config.blocks_pruning.is_archive() {
            let archive = Archive::new(client.clone(), backend.clone(), genesis, executor.clone());
            groups.push(archive.into_rpc().into());
        }
        groups
    }

    /// Nonces, fees, BABE and GRANDPA.
    fn of_this_chain(self, executor: SubscriptionTaskExecutor) -> Vec<Methods> {
        let Self { client, pool, select_chain, keystore, babe_worker, .. } = self;
        vec![
            Nonces::new(client.clone(), pool).into_rpc().into(),
            TransactionPayment::new(client.clone()).into_rpc().into(),
            Babe::new(client, babe_worker, keystore, select_chain).into_rpc().into(),
            Grandpa::new(
                executor,
                self.grandpa_authorities,
                self.grandpa_votes,
                self.grandpa_justifications,
                self.finality_proofs,
            )
            .into_rpc()
            .into(),
        ]
    }
}

fn unusable(error: jsonrpsee::core::RegisterMethodError) -> ServiceError {
    ServiceError::Application(error.into())
}
