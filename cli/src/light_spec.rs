//! `poq light-spec`: the chain's specification for light clients.

use crate::{
    args::LightSpec,
    failure::{Failure, Outcome},
    render,
};
use poq_client::{Client, Error};
use serde_json::{json, Value};
use subxt::{
    rpcs::{client::RpcParams, rpc_params, RpcClient},
    utils::H256,
};

/// RPC that gives the specification with a finalized block to begin with.
const MAKE: &str = "sync_state_genSyncSpec";

/// RPC that gives the addresses at which the node listens.
const ADDRESSES: &str = "system_localListenAddresses";

/// Epoch from which on the finalized block is enough to begin with: light clients want the two epochs around it, and those that were fixed in the
/// genesis block do not count for them.
const SETTLED_EPOCH: u64 = 2;

/// `poq light-spec`.
pub async fn run(client: &Client, wanted: &LightSpec) -> Result<Outcome, Failure> {
    let is_young = epoch(client).await? < SETTLED_EPOCH;
    let mut spec: Value = ask(client.raw(), MAKE, rpc_params![true]).await?;
    let fields = spec
        .as_object_mut()
        .ok_or_else(|| Error::Undecodable(format!("the node's answer to {MAKE} is no specification")))?;
    if !is_young {
        // Most of a specification is the state of the genesis block, which is no longer needed.
        let header = client.rpc().chain_get_header(Some(H256(client.genesis()))).await.map_err(Error::of)?;
        let header =
            header.ok_or_else(|| Error::Undecodable("the node does not know its genesis block".into()))?;
        fields.insert("genesis".into(), json!({ "stateRootHash": header.state_root }));
    }
    let has_some = fields.get("bootNodes").and_then(Value::as_array).is_some_and(|nodes| !nodes.is_empty());
    let nodes = if !wanted.boot_nodes.is_empty() {
        Some(wanted.boot_nodes.clone())
    } else if has_some {
        None
    } else {
        Some(ask::<Vec<String>>(client.raw(), ADDRESSES, rpc_params![]).await?)
    };
    if let Some(nodes) = nodes {
        fields.insert("bootNodes".into(), json!(nodes));
    }
    render::json(&spec)?;
    Ok(Outcome::Done)
}

/// Number of the epoch of the newest finalized block.
async fn epoch(client: &Client) -> Result<u64, Failure> {
    let finalized = client.rpc().chain_get_finalized_head().await.map_err(Error::of)?;
    if finalized.0 == client.genesis() {
        return Err(Failure::Input(
            "no block of the chain is final yet, so a light client has none to begin with: try again in some seconds".into(),
        ));
    }
    let answer = client.rpc().state_call("BabeApi_current_epoch", None, Some(finalized)).await;
    let bytes = answer.map_err(Error::of)?;
    let index = bytes.first_chunk().copied().map(u64::from_le_bytes);
    Ok(index.ok_or_else(|| Error::Undecodable("the node's answer about its epoch is too short".into()))?)
}

async fn ask<Answer: serde::de::DeserializeOwned>(
    rpc: &RpcClient,
    method: &str,
    parameters: RpcParams,
) -> Result<Answer, Failure> {
    Ok(rpc.request(method, parameters).await.map_err(Error::of)?)
}
