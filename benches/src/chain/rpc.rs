//! A node as a load generator sees it: transactions in, blocks and their events out, all in the runtime's own types.

use anyhow::{anyhow, ensure, Context as _, Result};
use codec::{Decode, DecodeAll as _};
use frame_support::dispatch::PerDispatchClass;
use frame_support::weights::Weight;
use frame_system::EventRecord;
use poq_runtime::{Hash, RuntimeEvent, UncheckedExtrinsic, VERSION};
use serde::Deserialize;
use serde_json::Value as Json;
use std::time::{Duration, Instant};
use subxt::rpcs::{
    client::{rpc_params, RpcClient, RpcSubscription},
    Error, UserError,
};
use tokio::time::sleep;

/// How long a node may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a block consumed, by class of extrinsic.
pub type BlockWeight = PerDispatchClass<Weight>;

/// A connection to a node.
#[derive(Clone)]
pub struct Rpc {
    client: RpcClient,
    /// Hash of the genesis block.
    pub genesis: Hash,
}

/// A block's header, as far as it is needed.
#[derive(Clone, Debug, Deserialize)]
struct Header {
    number: String,
}

/// What a block did.
pub struct Block {
    /// Its number.
    pub number: u32,
    /// Its time by its author's clock, in milliseconds since 1970.
    pub millis: u64,
    /// How many extrinsics are in it.
    pub extrinsics: usize,
    /// What they and the hooks weighed.
    pub weight: BlockWeight,
    /// What happened.
    pub events: Vec<RuntimeEvent>,
}

impl Rpc {
    /// Connects to the node on this loopback port, once it answers.
    pub async fn connect(url: &str) -> Result<Self> {
        let deadline = Instant::now().checked_add(PATIENCE).context("a patience without end")?;
        let client = loop {
            match RpcClient::from_insecure_url(url).await {
                Ok(client) => break client,
                Err(error) if Instant::now() > deadline => {
                    return Err(error).with_context(|| format!("the node at {url} does not answer"));
                }
                Err(_) => sleep(Duration::from_millis(200)).await,
            }
        };
        let version: Json = client.request("state_getRuntimeVersion", rpc_params![]).await?;
        let spec = version.get("specVersion").and_then(Json::as_u64);
        ensure!(
            spec == Some(VERSION.spec_version.into()),
            "the node runs version {spec:?} of the runtime, and this program was built with {}: build both of one commit",
            VERSION.spec_version
        );
        let genesis = client.request("chain_getBlockHash", rpc_params![0]).await?;
        Ok(Self { client, genesis })
    }

    /// Gives a transaction to the pool.
    pub async fn submit(&self, transaction: &UncheckedExtrinsic) -> Result<Hash> {
        let bytes = codec::Encode::encode(transaction);
        let params = rpc_params![format!("0x{}", hex::encode(bytes))];
        self.client.request("author_submitExtrinsic", params).await.map_err(|error| match error {
            // The reason stands in the data, which the error does not print.
            Error::User(UserError { message, data: Some(data), .. }) => anyhow!("{message}: {data}"),
            error => error.into(),
        })
    }

    /// The best blocks from now on, one after another, each once: for a chain with one author, which has no forks.
    pub async fn blocks(&self) -> Result<Blocks> {
        self.follow("chain_subscribeNewHeads", "chain_unsubscribeNewHeads").await
    }

    /// The same with finalized blocks, for any chain.
    pub async fn finalized_blocks(&self) -> Result<Blocks> {
        self.follow("chain_subscribeFinalizedHeads", "chain_unsubscribeFinalizedHeads").await
    }

    async fn follow(&self, subscribe: &str, unsubscribe: &str) -> Result<Blocks> {
        let heads = self.client.subscribe(subscribe, rpc_params![], unsubscribe).await?;
        Ok(Blocks { heads, rpc: self.clone(), next: None, last: 0 })
    }

    async fn hash_of(&self, number: u32) -> Result<Hash> {
        Ok(self.client.request("chain_getBlockHash", rpc_params![number]).await?)
    }

    async fn value<T: Decode>(&self, key: &[u8], at: Hash) -> Result<Option<T>> {
        let params = rpc_params![format!("0x{}", hex::encode(key)), at];
        let value: Option<String> = self.client.request("state_getStorage", params).await?;
        value
            .map(|hex| {
                let bytes = hex::decode(hex.trim_start_matches("0x"))?;
                Ok(T::decode_all(&mut &bytes[..])?)
            })
            .transpose()
    }

    async fn block(&self, number: u32) -> Result<Block> {
        let hash = self.hash_of(number).await?;
        let plain = |pallet: &str, item: &str| {
            frame_support::storage::storage_prefix(pallet.as_bytes(), item.as_bytes())
        };
        let events: Option<Vec<Box<EventRecord<RuntimeEvent, Hash>>>> =
            self.value(&plain("System", "Events"), hash).await?;
        let events = events.unwrap_or_default();
        let extrinsics = events
            .iter()
            .filter(|record| {
                use frame_system::Event::{ExtrinsicFailed, ExtrinsicSuccess};
                matches!(record.event, RuntimeEvent::System(ExtrinsicSuccess { .. } | ExtrinsicFailed { .. }))
            })
            .count();
        Ok(Block {
            number,
            millis: self.value(&plain("Timestamp", "Now"), hash).await?.unwrap_or_default(),
            extrinsics,
            weight: self.value(&plain("System", "BlockWeight"), hash).await?.unwrap_or_default(),
            events: events.into_iter().map(|record| record.event).collect(),
        })
    }
}

/// Blocks as they come.
pub struct Blocks {
    heads: RpcSubscription<Header>,
    rpc: Rpc,
    next: Option<u32>,
    last: u32,
}

impl Blocks {
    /// The next block, when it is there.
    pub async fn next(&mut self) -> Result<Block> {
        let number = match self.next {
            Some(number) => number,
            None => {
                let number = self.head().await?;
                self.last = number;
                number
            }
        };
        while self.last < number {
            self.last = self.last.max(self.head().await?);
        }
        self.next = number.checked_add(1);
        self.rpc.block(number).await
    }

    async fn head(&mut self) -> Result<u32> {
        let header = self.heads.next().await.context("the node is gone")??;
        Ok(u32::from_str_radix(header.number.trim_start_matches("0x"), 16)?)
    }
}
