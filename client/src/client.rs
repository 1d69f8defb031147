//! The connection to a node: blocks of the chain, facts about the node.

use crate::{types::Closed, At, Error, PALLET};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use subxt::{
    backend::LegacyBackend,
    client::Blocks as HeaderBlocks,
    config::{Header as _, RpcConfigFor},
    ext::codec::Decode as _,
    rpcs::{
        client::RpcClient,
        methods::legacy::{LegacyRpcMethods, SystemHealth},
        Error as RpcError,
    },
    utils::H256,
    OnlineClient, SubstrateConfig,
};
use tokio::{sync::Mutex, time::timeout};

/// Longest wait for a node to let a client in.
const PATIENCE: Duration = Duration::from_secs(60);

/// Storage key of the time of a block on every chain: `Timestamp.Now`, 8 bytes of milliseconds since 1970.
const TIMESTAMP_NOW: [u8; 32] = [
    0xf0, 0xc3, 0x65, 0xc3, 0xcf, 0x59, 0xd6, 0x71, 0xeb, 0x72, 0xda, 0x0e, 0x7a, 0x41, 0x13, 0xc4, 0x9f,
    0x1f, 0x05, 0x15, 0xf4, 0x62, 0xcd, 0xcf, 0x84, 0xe0, 0xf1, 0xd6, 0x04, 0x5d, 0xfc, 0xbb,
];

/// RPC methods of Substrate's nodes.
pub type Rpc = LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>;

/// A connection to a node. Clones share it, and the nonces of what they sign.
#[derive(Clone)]
pub struct Client {
    api: OnlineClient<SubstrateConfig>,
    rpc: Rpc,
    raw: RpcClient,
    url: Arc<str>,
    /// Held from the question for the next nonce until the pool has the transaction that takes it.
    pub(crate) signing: Arc<Mutex<()>>,
}

/// Blocks of the chain, as a node sees them.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    /// Number of the best block.
    pub best: u64,
    /// Number of the newest finalized block.
    pub finalized: u64,
    /// Time of the best block, by its author's clock; `None` for the genesis block, which has none.
    pub time: Option<SystemTime>,
}

impl Pulse {
    /// The pulse of the node behind `rpc`. Needs no metadata, so it costs the node next to nothing.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn of(rpc: &Rpc) -> Result<Self, Error> {
        let gone = || Error::Undecodable("the node does not know its own newest block".into());
        let best = rpc.chain_get_block_hash(None).await.map_err(Error::of)?.ok_or_else(gone)?;
        let finalized = rpc.chain_get_finalized_head().await.map_err(Error::of)?;
        let millis = millis(rpc, best).await?.ok_or_else(gone)?;
        Ok(Self {
            best: number(rpc, best).await?.ok_or_else(gone)?,
            finalized: number(rpc, finalized).await?.ok_or_else(gone)?,
            time: (millis > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_millis(millis)),
        })
    }

    /// Age of the best block at `now`: zero if its author's clock is ahead, `None` for the genesis block.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        self.time.map(|time| now.duration_since(time).unwrap_or_default())
    }
}

/// Time of a block by its author's clock, in milliseconds since 1970: 0 in the genesis block, before any is set. `None` if the node
/// has forgotten that block's state.
async fn millis(rpc: &Rpc, block: H256) -> Result<Option<u64>, Error> {
    match rpc.state_get_storage(&TIMESTAMP_NOW, Some(block)).await {
        Ok(now) => now.map_or(Ok(0), |bytes| u64::decode(&mut &bytes[..])).map(Some).map_err(Error::of),
        // The node's own refusal, whatever its words: the state of that block is pruned.
        Err(RpcError::User(_)) => Ok(None),
        Err(error) => Err(Error::of(error)),
    }
}

async fn number(rpc: &Rpc, block: H256) -> Result<Option<u64>, Error> {
    let header = rpc.chain_get_header(Some(block)).await.map_err(Error::of)?;
    Ok(header.map(|header| header.number()))
}

/// Blocks as they come.
pub struct Blocks(HeaderBlocks<SubstrateConfig>);

impl Blocks {
    /// The next block, when it is there.
    ///
    /// # Errors
    /// [`Error::Unreachable`] once the node is gone; [`Error::Undecodable`].
    pub async fn next(&mut self) -> Result<At, Error> {
        let block = self.0.next().await.ok_or_else(|| Error::Unreachable("lost the node".into()))?;
        block.map_err(Error::of)?.at().await.map(At::new).map_err(Error::of)
    }
}

impl Client {
    /// Connects to the node at `url` (`ws://…` or `wss://…`).
    ///
    /// # Errors
    /// [`Error::Unreachable`] if it does not answer within a minute.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_with(url, SubstrateConfig::new()).await
    }

    /// Connects with a configuration that remembers what it has learnt of the chain from other connections.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_with(url: &str, config: SubstrateConfig) -> Result<Self, Error> {
        let connecting = async {
            let raw =
                RpcClient::from_insecure_url(url).await.map_err(|error| Error::no_answer(url, error))?;
            let rpc = Rpc::new(raw.clone());
            let backend = Arc::new(LegacyBackend::builder().build(raw.clone()));
            let api = OnlineClient::from_backend_with_config(config, backend).await;
            let api = api.map_err(|error| Error::no_answer(url, error))?;
            Ok(Self { api, rpc, raw, url: url.into(), signing: Arc::default() })
        };
        let within = format!("nothing within {} s", PATIENCE.as_secs());
        timeout(PATIENCE, connecting).await.map_err(|_| Error::no_answer(url, within))?
    }

    /// Connects again to the same chain; nonces go on being shared.
    ///
    /// # Errors
    /// As [`Client::connect`]; [`Error::OtherChain`].
    pub async fn reconnect(&self) -> Result<Self, Error> {
        let client = Self::connect(&self.url).await?;
        if client.genesis() != self.genesis() {
            return Err(Error::OtherChain { url: self.url.to_string() });
        }
        Ok(Self { signing: self.signing.clone(), ..client })
    }

    /// The node's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// RPC methods of Substrate's nodes.
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// RPC by name.
    pub fn raw(&self) -> &RpcClient {
        &self.raw
    }

    /// Hash of the genesis block.
    pub fn genesis(&self) -> [u8; 32] {
        self.api.genesis_hash().0
    }

    /// The chain at its best block. What is asked here agrees with what the pool checks. A finalized block in the middle of an upgrade
    /// may have the new code and still the old state.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`]; [`Error::NoProofOfQuality`].
    pub async fn best(&self) -> Result<At, Error> {
        let hash = self.rpc.chain_get_block_hash(None).await.map_err(Error::of)?;
        self.at(hash.unwrap_or_else(|| self.api.genesis_hash())).await
    }

    /// The chain at its newest finalized block.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn finalized(&self) -> Result<At, Error> {
        self.api.at_current_block().await.map(At::new).map_err(Error::of)
    }

    /// The chain at the block of this number.
    ///
    /// # Errors
    /// [`Error::Unreachable`]; [`Error::Undecodable`] if the node does not have it.
    pub async fn at_number(&self, number: u64) -> Result<At, Error> {
        self.api.at_block(number).await.map(At::new).map_err(Error::of)
    }

    /// The chain at the block of this hash.
    ///
    /// # Errors
    /// [`Error::Unreachable`]; [`Error::Undecodable`] if the node does not have it; [`Error::NoProofOfQuality`].
    pub async fn at(&self, hash: H256) -> Result<At, Error> {
        let at = self.api.at_block(hash).await.map(At::new).map_err(Error::of)?;
        if at.has_pallet(PALLET) {
            Ok(at)
        } else {
            Err(Error::NoProofOfQuality { url: self.url.to_string() })
        }
    }

    /// Best blocks, as they come.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn best_blocks(&self) -> Result<Blocks, Error> {
        self.api.stream_best_blocks().await.map(Blocks).map_err(Error::of)
    }

    /// Finalized blocks, as they come.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn finalized_blocks(&self) -> Result<Blocks, Error> {
        self.api.stream_blocks().await.map(Blocks).map_err(Error::of)
    }

    /// Hash of the block of this number on the best chain; `None` if there is none yet.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn hash(&self, number: u64) -> Result<Option<H256>, Error> {
        self.rpc.chain_get_block_hash(Some(number.into())).await.map_err(Error::of)
    }

    /// Time of a block by its author's clock, in milliseconds since 1970; 0 of the genesis block. `None` if the node has forgotten that
    /// block's state.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn millis(&self, block: H256) -> Result<Option<u64>, Error> {
        millis(&self.rpc, block).await
    }

    /// Split of the budget of request `id`, by the event of its end in block `number`; `None` if the node has forgotten that block's
    /// state.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn closed(&self, id: u64, number: u64) -> Result<Option<Closed>, Error> {
        let all = self.all_closed(number).await?;
        Ok(all.and_then(|all| all.into_iter().find(|closed| closed.request == id)))
    }

    /// Splits of the budgets of all requests that ended in block `number`; `None` if the node has forgotten that block's state.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn all_closed(&self, number: u64) -> Result<Option<Vec<Closed>>, Error> {
        let Some(hash) = self.hash(number).await? else { return Ok(None) };
        if self.millis(hash).await?.is_none() {
            return Ok(None);
        }
        let events = self.at(hash).await?.events().await?;
        Ok(Some(Closed::all(&events).collect()))
    }

    /// Kind of chain: `Development`, `Local`, `Live` or `Custom`.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn kind(&self) -> Result<String, Error> {
        // Custom kinds are objects; only the names matter here.
        self.rpc.system_chain_type().await.or_else(|error| match error {
            RpcError::Deserialization(_) => Ok("Custom".into()),
            other => Err(Error::of(other)),
        })
    }

    /// The chain's name.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn name(&self) -> Result<String, Error> {
        self.rpc.system_chain().await.map_err(Error::of)
    }

    /// The node's name and version.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn node(&self) -> Result<String, Error> {
        let name = self.rpc.system_name().await.map_err(Error::of)?;
        let version = self.rpc.system_version().await.map_err(Error::of)?;
        Ok(format!("{name} {version}"))
    }

    /// Peers, and whether the node catches up.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn health(&self) -> Result<SystemHealth, Error> {
        self.rpc.system_health().await.map_err(Error::of)
    }

    /// The node's best and newest finalized block, and the time of the best, as [`Pulse::of`].
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn pulse(&self) -> Result<Pulse, Error> {
        Pulse::of(&self.rpc).await
    }
}
