//! The types of the node: the SDK's, for this chain's blocks and runtime.

use poq_runtime::{opaque::Block, RuntimeApi};
use sc_consensus_babe::BabeBlockImport;
use sc_consensus_grandpa::GrandpaBlockImport;
use sc_transaction_pool::TransactionPoolHandle;
use sp_consensus_babe::inherents::BabeCreateInherentDataProviders;
use std::sync::Arc;

/// The chain's state and blocks.
pub type Client = sc_service::TFullClient<Block, RuntimeApi, Executor>;

/// The database of state and blocks.
pub type Backend = sc_service::TFullBackend<Block>;

/// The rule of which fork is best: the longest.
pub type SelectChain = sc_consensus::LongestChain<Backend, Block>;

/// Transactions that wait for a block.
pub type TransactionPool = TransactionPoolHandle<Block, Client>;

/// The importer of the blocks that this node authors.
pub type BlockImport = BabeBlockImport<
    Block,
    Client,
    GrandpaBlockImport<Backend, Block, Client, SelectChain>,
    BabeCreateInherentDataProviders<Block>,
    SelectChain,
>;

/// The link from GRANDPA's block import to its voter.
pub type GrandpaLink = sc_consensus_grandpa::LinkHalf<Block, Client, SelectChain>;

/// The service that keeps up with other nodes.
pub type SyncService = Arc<sc_network_sync::SyncingService<Block>>;

type Executor = sc_executor::WasmExecutor<sp_io::SubstrateHostFunctions>;
