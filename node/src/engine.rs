//! The child engine, and the address of the engine for the driver.
//!
//! The driver runs inside the runtime and sees of the node only the off-chain database. So the address and token of an engine are written
//! there as soon as it answers.

use anyhow::Context as _;
use codec::Encode as _;
use poq_primitives::keys::{EngineEndpoint, ENGINE_ENDPOINT_KEY, WORKER_KEY_TYPE};
use poq_worker::{
    child::{self, ChildArgs},
    config::{loopback, EngineArgs},
    runner::own_executable,
    token::Token,
};
use sp_core::{
    crypto::KeyTypeId,
    offchain::{OffchainStorage, STORAGE_PREFIX},
};
use sp_keystore::KeystorePtr;
use std::{
    future::pending,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{process::Command, sync::watch};

const LOG: &str = "poq::engine";

/// The hidden subcommand that runs the child.
pub const SUBCOMMAND: &str = "engine";

/// Time between two looks for the first worker key in the keystore.
const KEY_POLL: Duration = Duration::from_secs(2);

/// The child's folder, in the folder of the chain's data.
const FOLDER: &str = "engine";

/// The file with the child's token.
pub fn token_file(data: &Path) -> PathBuf {
    data.join(FOLDER).join("token")
}

/// The folder of the child's models.
pub fn models(chosen: &Option<PathBuf>, data: &Path) -> PathBuf {
    chosen.clone().unwrap_or_else(|| data.join("models"))
}

/// Tells others each address that the engine gets.
pub type Addresses = watch::Sender<Option<String>>;

/// The newest address of the engine; `None` until it answers.
pub type Address = watch::Receiver<Option<String>>;

/// The choice of the engine.
#[derive(Clone, Debug)]
pub enum Choice {
    /// A child process, started once there is a worker key.
    Child {
        /// Its folder of models; `None` for the usual one.
        models: Option<PathBuf>,
        /// Its configuration file; `None` for the usual one.
        config: Option<PathBuf>,
        /// Whether the demo's models are written into its folder of models.
        demo: bool,
        /// Its port on loopback; 0 is a free one.
        port: u16,
    },
    /// The address that the off-chain database holds already, if it holds one.
    Off,
    /// An engine that another program runs.
    Running(EngineEndpoint),
}

impl Choice {
    /// The engine at `url`, whose token is in a file.
    pub fn running(url: &str, token_file: &Path) -> anyhow::Result<Self> {
        let token = Token::load(token_file)?.expose().to_owned();
        Ok(Self::Running(EngineEndpoint { url: url.to_owned(), token }))
    }
}

/// The task that keeps the driver's engine running.
pub struct EngineTask<S> {
    /// The choice of the engine.
    pub choice: Choice,
    /// The off-chain database.
    pub storage: S,
    /// The node's keys.
    pub keystore: KeystorePtr,
    /// The folder of the chain's data; the engine's lies in it.
    pub data: PathBuf,
    /// Hears of each address of the engine.
    pub addresses: Addresses,
}

impl<S: OffchainStorage> EngineTask<S> {
    /// Runs until it is dropped, which ends the child as well.
    pub async fn run(mut self) {
        match self.choice.clone() {
            Choice::Off => {}
            Choice::Running(endpoint) => self.tell_driver(&endpoint),
            Choice::Child { models, config, demo, port } => {
                self.wait_for_worker_key().await;
                let listen = loopback(port);
                if let Err(error) = self.supervise(models, config, demo, listen).await {
                    log::error!(target: LOG, "No engine, so this node's operators cannot work: {error:#}");
                }
            }
        }
    }

    async fn supervise(
        &mut self,
        models: Option<PathBuf>,
        config: Option<PathBuf>,
        demo: bool,
        listen: SocketAddr,
    ) -> anyhow::Result<()> {
        let program = own_executable().context("this program does not know where it is")?;
        let folder = self.data.join(FOLDER);
        let args = ChildArgs { listen, ..self.child_args(&folder, models, config, demo) };
        let token = Token::load_or_create(&args.token_file)?;
        let command = || {
            let mut command = Command::new(&program);
            command.arg(SUBCOMMAND).args(args.to_arguments());
            command
        };
        let on_ready = |address, process| {
            log::info!(target: LOG, "The engine answers at {address} (process {process}); models: {}", args.engine.models().display());
            let endpoint =
                EngineEndpoint { url: format!("http://{address}"), token: token.expose().to_owned() };
            self.tell_driver(&endpoint);
        };
        child::supervise("the engine", command, on_ready, pending()).await;
        Ok(())
    }

    fn child_args(
        &self,
        folder: &Path,
        models: Option<PathBuf>,
        config: Option<PathBuf>,
        demo: bool,
    ) -> ChildArgs {
        let models = self::models(&models, &self.data);
        let engine = EngineArgs { demo_models: demo, config, ..EngineArgs::new(models, folder.to_owned()) };
        ChildArgs { listen: loopback(0), token_file: token_file(&self.data), engine }
    }

    async fn wait_for_worker_key(&self) {
        while self.keystore.sr25519_public_keys(KeyTypeId(WORKER_KEY_TYPE)).is_empty() {
            tokio::time::sleep(KEY_POLL).await;
        }
    }

    fn tell_driver(&mut self, endpoint: &EngineEndpoint) {
        self.storage.set(STORAGE_PREFIX, ENGINE_ENDPOINT_KEY, &endpoint.encode());
        log::debug!(target: LOG, "The driver was told of {endpoint:?}");
        self.addresses.send_replace(Some(endpoint.url.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::Decode as _;
    use futures::FutureExt as _;
    use sp_core::offchain::storage::InMemOffchainStorage;
    use sp_keystore::testing::MemoryKeystore;
    use std::sync::Arc;

    fn engine(choice: Choice) -> EngineTask<InMemOffchainStorage> {
        EngineTask {
            choice,
            storage: InMemOffchainStorage::default(),
            keystore: Arc::new(MemoryKeystore::new()),
            data: "data".into(),
            addresses: Addresses::default(),
        }
    }

    #[test]
    fn the_driver_reads_what_the_node_writes() {
        let endpoint = EngineEndpoint { url: "http://127.0.0.1:1".into(), token: "0123456789abcdef".into() };
        let mut engine = engine(Choice::Off);
        engine.tell_driver(&endpoint);
        let (storage, key) = (engine.storage, ENGINE_ENDPOINT_KEY);
        let written = storage.get(STORAGE_PREFIX, key).expect("is there");
        assert_eq!(EngineEndpoint::decode(&mut &written[..]), Ok(endpoint));
    }

    #[tokio::test]
    async fn a_child_waits_for_a_worker_key() {
        let engine = engine(Choice::Off);
        assert!(engine.wait_for_worker_key().now_or_never().is_none());
        engine.keystore.sr25519_generate_new(KeyTypeId(WORKER_KEY_TYPE), None).expect("inserts");
        assert!(engine.wait_for_worker_key().now_or_never().is_some());
    }

    #[test]
    fn the_childs_files_lie_with_the_chains() {
        let args = engine(Choice::Off).child_args(Path::new("data/engine"), None, None, true);
        assert_eq!(args.engine.models(), Path::new("data/models"));
        assert_eq!(args.token_file, Path::new("data/engine/token"));
        assert!(args.engine.demo_models);
    }
}
