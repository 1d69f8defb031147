//! Where the transactions of the off-chain worker go: to every fork.
//!
//! The SDK's pool puts a transaction that an off-chain worker submits into one of its views only, whichever comes first in a
//! hash map, and tells its peers of what is in the newest. While two blocks of the same height are known, which with BABE is
//! every few slots, a report was therefore often told to nobody until a block later, and missed the block that it was made
//! for. What comes in by RPC goes to all views; so this takes that way.

use sc_transaction_pool_api::{
    LocalTransactionFor, LocalTransactionPool, TransactionPool, TransactionSource,
};
use sp_runtime::traits::Block as BlockT;
use std::sync::Arc;

/// A pool in which local transactions go to every view.
pub struct EveryFork<P>(pub Arc<P>);

impl<P: TransactionPool> LocalTransactionPool for EveryFork<P> {
    type Block = P::Block;
    type Hash = P::Hash;
    type Error = P::Error;

    /// Blocks: an off-chain worker calls from a thread of its own.
    fn submit_local(
        &self,
        at: <P::Block as BlockT>::Hash,
        transaction: LocalTransactionFor<Self>,
    ) -> Result<Self::Hash, Self::Error> {
        futures::executor::block_on(self.0.submit_one(at, TransactionSource::Local, transaction))
    }
}
