//! A chain of this runtime in one process: blocks are made through the runtime's API as a node makes them, and after each
//! the off-chain worker runs with a keystore, a pool, and HTTP that goes out for real.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what fails here fails a test")]

pub mod engine;
pub mod http;

use codec::{Decode, Encode};
use frame_support::storage::{with_transaction, TransactionOutcome};
use parking_lot::RwLock;
use poq_minimal_runtime::{extension, Block, Runtime, RuntimeCall, RuntimeEvent, System, Transaction};
use serde_json::Value;
use sp_api::runtime_decl_for_core::CoreV5;
use sp_block_builder::runtime_decl_for_block_builder::BlockBuilderV6;
use sp_core::{
    offchain::{
        testing::{PoolState, TestOffchainExt, TestTransactionPoolExt},
        OffchainDbExt, OffchainWorkerExt, TransactionPoolExt,
    },
    sr25519, Pair, H256,
};
use sp_genesis_builder::runtime_decl_for_genesis_builder::GenesisBuilder;
use sp_inherents::InherentData;
use sp_io::TestExternalities;
use sp_keystore::{testing::MemoryKeystore, Keystore, KeystoreExt};
use sp_offchain::runtime_decl_for_offchain_worker_api::OffchainWorkerApiV2;
use sp_runtime::{
    generic::{Era, SignedPayload},
    traits::{Block as BlockT, Header as _},
    transaction_validity::{TransactionSource, TransactionValidity},
    AccountId32, DispatchError, KeyTypeId,
};
use sp_transaction_pool::runtime_api::runtime_decl_for_tagged_transaction_queue::TaggedTransactionQueueV3;
use std::sync::Arc;

type Header = <Block as BlockT>::Header;

/// A chain, and the one node on it.
pub struct Chain {
    state: TestExternalities,
    pool: Arc<RwLock<PoolState>>,
    head: Header,
}

impl Chain {
    /// A chain that begins with `genesis`, a patch of the runtime's genesis configuration. The node has the worker keys
    /// of these secret URIs, as the RPC `author_insertKey` puts them there.
    pub fn new(genesis: &Value, worker_keys: &[String]) -> Self {
        let keystore = MemoryKeystore::new();
        for uri in worker_keys {
            keystore.sr25519_generate_new(KeyTypeId(*b"poq!"), Some(uri)).unwrap();
        }
        let (pool, pool_state) = TestTransactionPoolExt::new();
        let (database, _) = TestOffchainExt::new();
        let mut state = TestExternalities::new_empty();
        state.register_extension(OffchainDbExt::new(database));
        state.register_extension(OffchainWorkerExt::new(http::RealHttp::default()));
        state.register_extension(TransactionPoolExt::new(pool));
        state.register_extension(KeystoreExt::new(keystore));
        let head = state.execute_with(|| {
            let mut config = serde_json::from_slice(&Runtime::get_preset(&None).unwrap()).unwrap();
            merge(&mut config, genesis.clone());
            Runtime::build_state(config.to_string().into_bytes()).expect("a genesis");
            let root = H256::decode(&mut &sp_io::storage::root(Default::default())[..]).unwrap();
            Header::new(0, Default::default(), root, Default::default(), Default::default())
        });
        let mut chain = Self { state, pool: pool_state, head };
        // The state knows the hash of genesis, over which everybody signs, only from the first block on.
        chain.make_block();
        chain
    }

    /// Does something in the state after the newest block.
    pub fn within<R>(&mut self, what: impl FnOnce() -> R) -> R {
        self.state.execute_with(what)
    }

    /// Writes into the node's off-chain database, as the RPC `offchain_localStorageSet` does.
    pub fn set_local_storage(&mut self, key: &[u8], value: &[u8]) {
        self.within(|| {
            sp_io::offchain::local_storage_set(sp_core::offchain::StorageKind::PERSISTENT, key, value)
        });
    }

    /// The pool's verdict on a transaction.
    pub fn validate(&mut self, transaction: &Transaction) -> TransactionValidity {
        let at = self.head.hash();
        self.dry(|| Runtime::validate_transaction(TransactionSource::External, transaction.clone(), at))
    }

    /// Puts a transaction into the pool, which must find it valid.
    pub fn submit(&mut self, transaction: &Transaction) {
        self.validate(transaction).expect("the pool takes it");
        self.pool.write().transactions.push(transaction.encode());
    }

    /// Makes a block of what is in the pool, and runs the off-chain worker on it. Returns the block's events.
    pub fn make_block(&mut self) -> Vec<RuntimeEvent> {
        let transactions: Vec<Transaction> = std::mem::take(&mut self.pool.write().transactions)
            .iter()
            .map(|bytes| {
                Transaction::decode(&mut &bytes[..]).expect("the node makes well-formed transactions")
            })
            .collect();
        for transaction in &transactions {
            self.validate(transaction).expect("the pool takes what the driver sends");
        }
        let (head, events) = self.state.execute_with(|| build(&self.head, transactions));
        self.head = head.clone();
        self.dry(|| Runtime::offchain_worker(&head));
        events
    }

    /// Nothing stays of what this does to the chain's state, as in a node's runtime calls.
    fn dry<R>(&mut self, what: impl FnOnce() -> R) -> R {
        self.state.execute_with(|| {
            with_transaction(|| TransactionOutcome::Rollback(Ok::<_, DispatchError>(what()))).unwrap()
        })
    }
}

/// Makes a block on `parent` as a node does.
fn build(parent: &Header, transactions: Vec<Transaction>) -> (Header, Vec<RuntimeEvent>) {
    let number = parent.number + 1;
    let header =
        Header::new(number, Default::default(), Default::default(), parent.hash(), Default::default());
    Runtime::initialize_block(&header);
    let mut data = InherentData::new();
    let now = sp_timestamp::Timestamp::new(u64::from(number) * 6_000);
    data.put_data(sp_timestamp::INHERENT_IDENTIFIER, &now).unwrap();
    for transaction in Runtime::inherent_extrinsics(data).into_iter().chain(transactions) {
        Runtime::apply_extrinsic(transaction).expect("is valid").expect("does what it says");
    }
    let header = Runtime::finalize_block();
    (header, System::events().into_iter().map(|record| record.event).collect())
}

/// Puts a patch into a configuration, as a node does with that of a chain specification (RFC 7386).
fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            patch.into_iter().for_each(|(key, value)| merge(target.entry(key).or_insert(Value::Null), value));
        }
        (target, patch) => *target = patch,
    }
}

/// The key of a secret URI.
pub fn pair(uri: &str) -> sr25519::Pair {
    sr25519::Pair::from_string(uri, None).unwrap()
}

/// The account of a secret URI.
pub fn account(uri: &str) -> AccountId32 {
    pair(uri).public().into()
}

/// A call signed by the key of a secret URI. Call it within the chain.
pub fn signed(uri: &str, call: impl Into<RuntimeCall>) -> Transaction {
    let nonce = System::account_nonce(account(uri));
    let payload = SignedPayload::new(call.into(), extension(Era::Immortal, nonce)).unwrap();
    let signature = payload.using_encoded(|bytes| pair(uri).sign(bytes));
    let (call, extension, _) = payload.deconstruct();
    Transaction::new_signed(call, account(uri).into(), signature.into(), extension)
}
