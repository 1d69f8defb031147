//! The operator's own node: what it answers to nobody else, at its control socket.
//!
//! A node of another make has no such socket; it answers at the port of its own machine, if it was started to.

use crate::failure::Failure;
use jsonrpsee_client_transport::ws::WsTransportClientBuilder;
use jsonrpsee_core::client::Client as JsonRpcClient;
use poq_client::Pulse;
use poq_primitives::problem::Problem;
use serde::de::DeserializeOwned;
use std::{
    convert::Infallible,
    env, fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};
use subxt::{
    config::RpcConfigFor,
    rpcs::{
        client::{rpc_params, RpcClient, RpcParams},
        methods::legacy::{LegacyRpcMethods, SystemHealth},
        Error as RpcError,
    },
    utils::AccountId32,
    SubstrateConfig,
};
use tokio::{net::UnixStream, time::timeout};
use url::Url;

/// The type of worker keys in a keystore.
const WORKER_KEY_TYPE: &str = "poq!";

/// Name of a control socket, in the folder of its chain's data.
const SOCKET: &str = "control.sock";

/// The method that answers with the node's problems.
const PROBLEMS: &str = "poq_problems";

/// Longest wait for a control socket in the usual place to say which node it belongs to. The node may be stopped.
const PATIENCE: Duration = Duration::from_secs(5);

/// Error code of a method that a node does not have, or has for others.
const NO_METHOD: i32 = -32_601;

/// The value of `--node`: where the operator's node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A control socket.
    Socket(PathBuf),
    /// An RPC port.
    Url(String),
}

impl FromStr for Place {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text.contains("://") { Self::Url(text.into()) } else { Self::Socket(text.into()) })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// A connection to the operator's node.
pub struct OwnNode {
    client: RpcClient,
    rpc: LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>,
    place: Place,
}

/// Health of the node.
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
    /// Connects to the node at `place`. At a URL, the control socket of that very node is taken instead, if it lies in the usual place
    /// on this machine and is this user's.
    pub async fn reach(place: &Place) -> Result<Self, Failure> {
        let silent = |error: &dyn fmt::Display| {
            Failure::Unreachable(format!("the operator's node does not answer at {place} ({error})"))
        };
        match place {
            Place::Socket(path) => Self::at_socket(path).await.map_err(|error| silent(&error)),
            Place::Url(url) => {
                let client = RpcClient::from_insecure_url(url).await.map_err(|error| silent(&error))?;
                let own = socket_of(&client).await;
                Ok(own.unwrap_or_else(|| Self::new(client, place.clone())))
            }
        }
    }

    /// Connects to the node at `place`, which must be of the chain with this genesis.
    pub async fn connect(place: &Place, genesis: [u8; 32]) -> Result<Self, Failure> {
        let node = Self::reach(place).await?;
        let own = node.rpc.genesis_hash().await.map_err(|error| node.lost(&error))?;
        if own.0 != genesis {
            return Err(Failure::Input(format!(
                "the node at {place} follows another chain than the one at --url: its genesis is {own:?}"
            )));
        }
        Ok(node)
    }

    async fn at_socket(path: &Path) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let stream = UnixStream::connect(path).await?;
        // A handshake names a host; a socket has none.
        let url = Url::parse("ws://localhost")?;
        let (sender, receiver) = WsTransportClientBuilder::default().build_with_stream(url, stream).await?;
        let client: JsonRpcClient = JsonRpcClient::builder().build_with_tokio(sender, receiver);
        Ok(Self::new(RpcClient::new(client), Place::Socket(path.to_owned())))
    }

    fn new(client: RpcClient, place: Place) -> Self {
        Self { rpc: LegacyRpcMethods::new(client.clone()), client, place }
    }

    /// Its address: a path of a socket, or a URL.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Calls a method that is for the operator only.
    pub async fn command<T: DeserializeOwned>(&self, method: &str, params: RpcParams) -> Result<T, Failure> {
        self.client.request(method, params).await.map_err(|error| self.refused(method, error))
    }

    /// Asks it how it is.
    pub async fn condition(&self, worker: Option<&AccountId32>) -> Result<Condition, Failure> {
        let health = self.rpc.system_health().await.map_err(|error| self.lost(&error))?;
        let pulse = Pulse::of(&self.rpc).await?;
        let has_key = match worker {
            Some(worker) => {
                let asked = self.rpc.author_has_key(worker.0.to_vec(), WORKER_KEY_TYPE.into()).await;
                allowed(asked).map_err(|error| self.lost(&error))?
            }
            None => None,
        };
        let problems = self.client.request(PROBLEMS, rpc_params![]).await;
        let problems = allowed(problems).map_err(|error| self.lost(&error))?;
        Ok(Condition { health, pulse, has_key, problems })
    }

    /// Problems that the node of `client` has found, if it is on this machine, started without `--base-path`, and this user's.
    pub async fn problems_of(client: &RpcClient) -> Option<Vec<Problem>> {
        socket_of(client).await?.client.request(PROBLEMS, rpc_params![]).await.ok()
    }

    fn lost(&self, error: &RpcError) -> Failure {
        Failure::Unreachable(format!("lost the node at {} ({error})", self.place))
    }

    fn refused(&self, method: &str, error: RpcError) -> Failure {
        let place = &self.place;
        match &error {
            RpcError::User(user) if user.message.contains("unsafe") => Failure::Input(format!(
                "the node at {place} takes no unsafe calls there: give its control socket, `--node FILE` ({SOCKET} in the folder of its \
                 chain's data; its log says where), on its machine, as its user or root. A node of another make: start it with \
                 `--rpc-methods unsafe`, and never on a port that others reach"
            )),
            RpcError::User(user) if user.code == NO_METHOD => {
                Failure::Input(format!("the node at {place} has no `{method}`: is it a Substrate node?"))
            }
            _ => poq_client::Error::of(error).into(),
        }
    }
}

/// The control socket of the node that `client` is connected to, among those in the usual place.
async fn socket_of(client: &RpcClient) -> Option<OwnNode> {
    let sockets = usual_sockets();
    if sockets.is_empty() {
        return None;
    }
    let id = peer_id(client).await?;
    for path in sockets {
        let asked = async {
            let node = OwnNode::at_socket(&path).await.ok()?;
            (peer_id(&node.client).await? == id).then_some(node)
        };
        if let Some(node) = timeout(PATIENCE, asked).await.ok().flatten() {
            return Some(node);
        }
    }
    None
}

/// Name of a node among its peers: no two nodes have the same.
async fn peer_id(client: &RpcClient) -> Option<String> {
    client.request("system_localPeerId", rpc_params![]).await.ok()
}

/// Control sockets of nodes that were started without `--base-path`.
fn usual_sockets() -> Vec<PathBuf> {
    let home = || env::var_os("HOME").map(PathBuf::from);
    let data = match cfg!(target_os = "macos") {
        true => home().map(|home| home.join("Library/Application Support")),
        false => env::var_os("XDG_DATA_HOME")
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute())
            .or_else(|| home().map(|home| home.join(".local/share"))),
    };
    let chains = data.and_then(|data| fs::read_dir(data.join("poq-node/chains")).ok());
    let sockets = chains.into_iter().flatten().flatten().map(|chain| chain.path().join(SOCKET));
    sockets.filter(|socket| socket.exists()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_path_has_none() {
        let socket = |path: &str| Ok(Place::Socket(path.into()));
        assert_eq!("/data/control.sock".parse(), socket("/data/control.sock"));
        assert_eq!("control.sock".parse(), socket("control.sock"));
        assert_eq!("wss://node.example".parse(), Ok(Place::Url("wss://node.example".into())));
    }
}
