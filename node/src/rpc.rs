//! What the node answers over RPC beyond what every Substrate node does: nonces, fees, and the state of consensus.
//!
//! There is no RPC of this project's own: everything about requests is asked through the runtime's view functions.

use crate::types::{Backend, Client, SelectChain, TransactionPool};
use jsonrpsee::RpcModule;
use pallet_transaction_payment_rpc::{TransactionPayment, TransactionPaymentApiServer};
use poq_runtime::{opaque::Block, BlockNumber, Hash};
use sc_consensus_babe::BabeWorkerHandle;
use sc_consensus_babe_rpc::{Babe, BabeApiServer};
use sc_consensus_grandpa::{
    FinalityProofProvider, GrandpaJustificationStream, SharedAuthoritySet, SharedVoterState,
};
use sc_consensus_grandpa_rpc::{Grandpa, GrandpaApiServer};
use sc_rpc::SubscriptionTaskExecutor;
use sp_keystore::KeystorePtr;
use std::sync::Arc;
use substrate_frame_rpc_system::{System, SystemApiServer};

/// What the answers are made from.
pub struct Sources {
    /// The chain.
    pub client: Arc<Client>,
    /// The pool.
    pub pool: Arc<TransactionPool>,
    /// Which fork is best.
    pub select_chain: SelectChain,
    /// The node's keys.
    pub keystore: KeystorePtr,
    /// Answers for BABE's epochs.
    pub babe_worker: BabeWorkerHandle<Block>,
    /// GRANDPA's voters.
    pub grandpa_authorities: SharedAuthoritySet<Hash, BlockNumber>,
    /// Where the vote stands.
    pub grandpa_votes: SharedVoterState,
    /// New justifications.
    pub grandpa_justifications: GrandpaJustificationStream<Block>,
    /// Proofs that a block is final.
    pub finality_proofs: Arc<FinalityProofProvider<Backend, Block>>,
}

/// The methods.
pub fn module(
    sources: &Sources,
    executor: SubscriptionTaskExecutor,
) -> Result<RpcModule<()>, sc_service::Error> {
    let Sources { client, pool, select_chain, keystore, babe_worker, .. } = sources;
    let mut module = RpcModule::new(());
    let merged = [
        module.merge(System::new(client.clone(), pool.clone()).into_rpc()),
        module.merge(TransactionPayment::new(client.clone()).into_rpc()),
        module.merge(
            Babe::new(client.clone(), babe_worker.clone(), keystore.clone(), select_chain.clone()).into_rpc(),
        ),
        module.merge(
            Grandpa::new(
                executor,
                sources.grandpa_authorities.clone(),
                sources.grandpa_votes.clone(),
                sources.grandpa_justifications.clone(),
                sources.finality_proofs.clone(),
            )
            .into_rpc(),
        ),
    ];
    merged
        .into_iter()
        .collect::<Result<(), _>>()
        .map_err(|error| sc_service::Error::Application(error.into()))?;
    Ok(module)
}
