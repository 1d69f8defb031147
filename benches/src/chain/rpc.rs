//! Transactions to a node, and its blocks with events, in the runtime's own types.

use anyhow::{ensure, Context as _, Result};
use codec::{DecodeAll, Encode as _};
use frame_support::{dispatch::PerDispatchClass, storage::storage_prefix, weights::Weight};
use frame_system::{
    Event::{ExtrinsicFailed, ExtrinsicSuccess},
    EventRecord,
};
use poq_client::{At, Client, Error};
use poq_runtime::{Hash, RuntimeEvent, UncheckedExtrinsic, VERSION};

/// Weight of a block, by class of extrinsic.
pub type BlockWeight = PerDispatchClass<Weight>;

/// A connection to the node at `url`, whose runtime must be the one that this program was built with.
pub async fn connect(url: &str) -> Result<Client> {
    let client = Client::connect(url).await?;
    let spec = client.best().await?.spec_version();
    ensure!(
        spec == VERSION.spec_version,
        "the node runs version {spec} of the runtime, and this program was built with {}: build both of one commit",
        VERSION.spec_version
    );
    Ok(client)
}

/// Gives a transaction to the pool.
pub async fn submit(client: &Client, transaction: &UncheckedExtrinsic) -> Result<(), Error> {
    client.send(&transaction.encode()).await
}

/// A block and its events.
pub struct Block {
    /// Its number.
    pub number: u32,
    /// Its time by its author's clock, in milliseconds since 1970.
    pub millis: u64,
    /// Number of extrinsics.
    pub extrinsics: usize,
    /// Weight of extrinsics and hooks.
    pub weight: BlockWeight,
    /// Events.
    pub events: Vec<RuntimeEvent>,
}

impl Block {
    async fn read(at: &At) -> Result<Self> {
        let events: Vec<Box<EventRecord<RuntimeEvent, Hash>>> = value(at, "System", "Events").await?;
        let extrinsics = events.iter().filter(|record| {
            matches!(record.event, RuntimeEvent::System(ExtrinsicSuccess { .. } | ExtrinsicFailed { .. }))
        });
        Ok(Self {
            number: u32::try_from(at.number())?,
            millis: value(at, "Timestamp", "Now").await?,
            extrinsics: extrinsics.count(),
            weight: value(at, "System", "BlockWeight").await?,
            events: events.into_iter().map(|record| record.event).collect(),
        })
    }
}

async fn value<T: DecodeAll>(at: &At, pallet: &str, item: &str) -> Result<T> {
    let key = storage_prefix(pallet.as_bytes(), item.as_bytes());
    let bytes = at.library().storage().fetch_raw(key.to_vec()).await?;
    Ok(T::decode_all(&mut &bytes[..])?)
}

/// A stream of blocks: each once, without gaps.
pub struct Blocks {
    heads: poq_client::Blocks,
    client: Client,
    next: Option<u64>,
    last: u64,
}

impl Blocks {
    /// The best blocks from now on: for a chain with one author, which has no forks.
    pub async fn best(client: &Client) -> Result<Self> {
        Ok(Self { heads: client.best_blocks().await?, client: client.clone(), next: None, last: 0 })
    }

    /// The finalized blocks from now on, for any chain.
    pub async fn finalized(client: &Client) -> Result<Self> {
        Ok(Self { heads: client.finalized_blocks().await?, client: client.clone(), next: None, last: 0 })
    }

    /// Waits for the next block.
    pub async fn next(&mut self) -> Result<Block> {
        let number = match self.next {
            Some(number) => number,
            None => {
                self.last = self.heads.next().await?.number();
                self.last
            }
        };
        while self.last < number {
            self.last = self.last.max(self.heads.next().await?.number());
        }
        self.next = number.checked_add(1);
        let at = self.client.at_number(number).await?;
        Block::read(&at).await.with_context(|| format!("block {number}"))
    }
}
