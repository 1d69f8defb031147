//! What a party knows of the chain, from finalized blocks. The driver fills it in.

use poq_primitives::{
    commitment::Hash32,
    express::{ChannelId, Epoch, Key, Seat},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Account of an operator or of a channel's owner.
pub type AccountId = [u8; 32];

/// Amount of money, in the chain's smallest unit.
pub type Balance = u128;

/// Seats of one model in one epoch.
pub type Snapshot = Arc<[Seat<AccountId>]>;

/// The chain as a party sees it.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Hash of the genesis block.
    pub genesis: Hash32,
    /// The epoch of the newest finalized block.
    pub epoch: Epoch,
    /// Epochs whose seed and snapshots are finalized and still kept.
    pub epochs: BTreeMap<Epoch, EpochView>,
    /// Channels.
    pub channels: BTreeMap<ChannelId, Channel>,
}

/// What draws in an epoch use.
#[derive(Clone, Debug, Default)]
pub struct EpochView {
    /// The seed.
    pub seed: Hash32,
    /// The snapshot of each model that has a lane in this epoch.
    pub snapshots: BTreeMap<Hash32, Snapshot>,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its owner.
    pub owner: AccountId,
    /// The key that signs its orders.
    pub key: Key,
    /// Its balance, after all that is settled.
    pub balance: Balance,
    /// Highest budget of an order.
    pub most_per_order: Balance,
    /// Indices of an epoch that may be used: those below.
    pub orders_per_epoch: u32,
    /// The first epoch with orders.
    pub from: Epoch,
    /// Indices that are settled or escalated, of each epoch that is still kept.
    pub used: BTreeMap<Epoch, BTreeSet<u32>>,
    /// Whether its owner has begun to close it.
    pub closing: bool,
}
