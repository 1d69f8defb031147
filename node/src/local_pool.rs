//! A pool that puts the transactions of off-chain workers into the views of all forks.
//!
//! The SDK's pool puts a transaction of an off-chain worker into one view only, the first of a hash map, and propagates the transactions
//! of the newest view. While two blocks of one height are known, with BABE every few slots, a report would often reach peers a block
//! late. Transactions that come by RPC go into all views, so reports are submitted like them.

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

    /// Blocks the thread, which is the off-chain worker's own.
    fn submit_local(
        &self,
        at: <P::Block as BlockT>::Hash,
        transaction: LocalTransactionFor<Self>,
    ) -> Result<Self::Hash, Self::Error> {
        futures::executor::block_on(self.0.submit_one(at, TransactionSource::Local, transaction))
    }
}
