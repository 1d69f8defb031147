//! Reader of the chain's state. It makes no call into the runtime, and reads nothing that grows with the number of requests.

use crate::types::Client;
use codec::Decode;
use frame_support::storage::storage_prefix;
use frame_system::EventRecord;
use pallet_proof_of_quality::{
    EconomicParameters, Model, ModelId, Models, OpenRequests, Operator, Operators, ParametersOf, Rosters,
    Workers,
};
use poq_runtime::{AccountId, Hash, Nonce, Runtime, RuntimeEvent};
use sc_client_api::{StorageKey, StorageProvider as _};

/// An event with its phase and topics.
pub type Event = EventRecord<RuntimeEvent, Hash>;

/// The state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The state of the block is not in the database, or the database fails.
    #[error("the state of block {0:?} cannot be read: {1}")]
    Missing(Hash, String),
    /// The value is not of the type that this node knows.
    #[error("the runtime stores something that this node does not understand: is the node too old?")]
    Undecodable,
}

/// The state after one block.
pub struct State<'a> {
    client: &'a Client,
    at: Hash,
}

impl<'a> State<'a> {
    /// The state after the block `at`.
    pub fn new(client: &'a Client, at: Hash) -> Self {
        Self { client, at }
    }

    fn value<V: Decode>(&self, key: impl Into<Vec<u8>>) -> Result<Option<V>, Unreadable> {
        let stored = self
            .client
            .storage(self.at, &StorageKey(key.into()))
            .map_err(|error| Unreadable::Missing(self.at, error.to_string()))?;
        stored.map(|data| V::decode(&mut &data.0[..]).map_err(|_| Unreadable::Undecodable)).transpose()
    }

    /// Time of the block, in milliseconds since 1970.
    pub fn time(&self) -> Result<u64, Unreadable> {
        Ok(self.value(storage_prefix(b"Timestamp", b"Now"))?.unwrap_or_default())
    }

    /// The events of the block.
    pub fn events(&self) -> Result<Vec<Event>, Unreadable> {
        // The storage item is private to the pallet; its key is part of every Substrate chain.
        Ok(self.value(storage_prefix(b"System", b"Events"))?.unwrap_or_default())
    }

    /// Number of transactions that the account has signed.
    pub fn nonce(&self, account: &AccountId) -> Result<Nonce, Unreadable> {
        // An account's record begins with its nonce; the rest is not decoded.
        Ok(self.value(frame_system::Account::<Runtime>::hashed_key_for(account))?.unwrap_or_default())
    }

    /// The operator of a worker key.
    pub fn operator_of(&self, worker: &AccountId) -> Result<Option<AccountId>, Unreadable> {
        self.value(Workers::<Runtime>::hashed_key_for(worker))
    }

    /// An operator's record.
    pub fn operator(&self, account: &AccountId) -> Result<Option<Operator<Runtime>>, Unreadable> {
        self.value(Operators::<Runtime>::hashed_key_for(account))
    }

    /// Operators that can be drawn for a model.
    pub fn roster(&self, model: &ModelId) -> Result<Vec<AccountId>, Unreadable> {
        let roster: Option<pallet_proof_of_quality::RosterOf<Runtime>> =
            self.value(Rosters::<Runtime>::hashed_key_for(model))?;
        let roster = roster.into_iter().flatten().filter(|candidate| candidate.away.is_none());
        Ok(roster.map(|candidate| candidate.operator).collect())
    }

    /// A model of the registry.
    pub fn model(&self, id: &ModelId) -> Result<Option<Model<Runtime>>, Unreadable> {
        self.value(Models::<Runtime>::hashed_key_for(id))
    }

    /// The economic parameters.
    pub fn parameters(&self) -> Result<ParametersOf<Runtime>, Unreadable> {
        let set = self.value(EconomicParameters::<Runtime>::hashed_key())?;
        Ok(set.unwrap_or_else(<Runtime as pallet_proof_of_quality::Config>::DefaultParameters::get))
    }

    /// Number of open requests.
    pub fn open_requests(&self) -> Result<u32, Unreadable> {
        Ok(self.value(OpenRequests::<Runtime>::hashed_key())?.unwrap_or_default())
    }
}
