//! What an operator's own node says of itself over RPC: keys, peers, and what its log calls wrong.

use crate::failure::Failure;
use poq_client::Pulse;
use poq_primitives::{keys::PROBLEMS_KEY, problem::Problem};
use subxt::{
    config::RpcConfigFor,
    ext::codec::Decode,
    rpcs::{
        client::{rpc_params, RpcClient},
        methods::legacy::{LegacyRpcMethods, SystemHealth},
        Error as RpcError,
    },
    utils::AccountId32,
    SubstrateConfig,
};

/// The type of worker keys in a keystore.
const WORKER_KEY_TYPE: &str = "poq!";

/// A node that is the operator's.
pub struct OwnNode {
    client: RpcClient,
    rpc: LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>,
    url: String,
}

/// How the node is.
pub struct Condition {
    /// Peers, and whether it catches up.
    pub health: SystemHealth,
    /// Its newest blocks.
    pub pulse: Pulse,
    /// Whether its keystore holds the worker key; `None` if it does not say.
    pub has_key: Option<bool>,
    /// Problems that it has found; `None` if it does not say.
    pub problems: Option<Vec<Problem>>,
}

impl OwnNode {
    /// Connects to the node at `url`, which must be of the chain with this genesis.
    pub async fn connect(url: &str, genesis: [u8; 32]) -> Result<Self, Failure> {
        let unreachable = |error: &dyn std::fmt::Display| {
            Failure::Unreachable(format!("the operator's node does not answer at {url} ({error})"))
        };
        let client = RpcClient::from_insecure_url(url).await.map_err(|error| unreachable(&error))?;
        let rpc: LegacyRpcMethods<RpcConfigFor<SubstrateConfig>> = LegacyRpcMethods::new(client.clone());
        let own = rpc.genesis_hash().await.map_err(|error| unreachable(&error))?;
        if own.0 != genesis {
            return Err(Failure::Input(format!(
                "the node at {url} follows another chain than the one at --url: its genesis is {own:?}"
            )));
        }
        Ok(Self { client, rpc, url: url.to_owned() })
    }

    /// Asks it.
    pub async fn condition(&self, worker: Option<&AccountId32>) -> Result<Condition, Failure> {
        let lost = |error: RpcError| Failure::Unreachable(format!("lost the node at {} ({error})", self.url));
        let health = self.rpc.system_health().await.map_err(lost)?;
        let pulse = Pulse::of(&self.rpc).await?;
        let has_key = match worker {
            Some(worker) => allowed(self.rpc.author_has_key(worker.0.to_vec(), WORKER_KEY_TYPE.into()).await)
                .map_err(lost)?,
            None => None,
        };
        let params = rpc_params!["PERSISTENT", format!("0x{}", hex::encode(PROBLEMS_KEY))];
        let stored = self.client.request::<Option<String>>("offchain_localStorageGet", params).await;
        let problems = allowed(stored).map_err(lost)?.flatten().and_then(|text| {
            let bytes = hex::decode(text.trim_start_matches("0x")).ok()?;
            Vec::decode(&mut &bytes[..]).ok()
        });
        Ok(Condition { health, pulse, has_key, problems })
    }
}

/// The answer; `None` if the node lets nobody ask that from here.
fn allowed<T>(answer: Result<T, RpcError>) -> Result<Option<T>, RpcError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        // The node's own refusal, whatever its words; anything else is a broken connection.
        Err(RpcError::User(_)) => Ok(None),
        Err(other) => Err(other),
    }
}
