//! The chain without `poq`: what the tests check it against, and what it cannot do.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what fails here fails a test")]

use std::sync::Arc;
use subxt::{
    backend::LegacyBackend,
    config::RpcConfigFor,
    dynamic::{self, Value},
    ext::{scale_decode::DecodeAsType, scale_encode::EncodeAsFields},
    rpcs::{client::RpcClient, methods::legacy::LegacyRpcMethods},
    transactions::TransactionStatus,
    OnlineClient, SubstrateConfig,
};
use subxt_signer::{sr25519::Keypair, SecretUri};

/// A connection of its own.
pub struct Chain {
    api: OnlineClient<SubstrateConfig>,
    rpc: LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Account {
    data: Balance,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Balance {
    free: u128,
    reserved: u128,
}

/// The account of a secret URI.
pub fn account(uri: &str) -> Keypair {
    let uri: SecretUri = uri.parse().expect("is a secret URI");
    Keypair::from_uri(&uri).expect("is a secret URI")
}

impl Chain {
    /// Connects.
    pub async fn connect(url: &str) -> Self {
        let client = RpcClient::from_insecure_url(url).await.expect("the node answers");
        let backend = Arc::new(LegacyBackend::builder().build(client.clone()));
        let api = OnlineClient::from_backend(backend).await.expect("the node answers");
        Self { api, rpc: LegacyRpcMethods::new(client) }
    }

    /// All that an account has, on hold or not, in the best block.
    pub async fn total(&self, uri: &str) -> u128 {
        let account = account(uri).public_key().0;
        let best = self.rpc.chain_get_block_hash(None).await.expect("answers").expect("there is a block");
        let at = self.api.at_block(best).await.expect("is there");
        let address = dynamic::storage::<([u8; 32],), Account>("System", "Account");
        let value = at.storage().try_fetch(address, (account,)).await.expect("can be asked");
        value.map_or(0, |value| {
            let Balance { free, reserved } = value.decode().expect("decodes").data;
            free + reserved
        })
    }

    /// Sends a transaction and waits until it is in a block; returns the name of the error it failed with.
    pub async fn submit<C: EncodeAsFields>(
        &self,
        pallet: &str,
        call: &str,
        data: C,
        from: &str,
    ) -> Result<(), String> {
        let payload = dynamic::tx(pallet, call, data);
        let mut transactions = self.api.transactions().await.expect("there is a block");
        let sent = transactions.sign_and_submit_then_watch_default(&payload, &account(from)).await;
        let mut progress = sent.expect("the pool takes it");
        while let Some(status) = progress.next().await {
            match status.expect("can be followed") {
                TransactionStatus::InFinalizedBlock(block) => {
                    return block.wait_for_success().await.map(|_| ()).map_err(|error| error.to_string());
                }
                TransactionStatus::Error { message }
                | TransactionStatus::Invalid { message }
                | TransactionStatus::Dropped { message } => panic!("{message}"),
                _ => {}
            }
        }
        panic!("the node is gone")
    }

    /// Registers a generator whose operators have almost no time, as sudo.
    pub async fn register_hasty_generator(&self, name: &str) {
        let number = Value::u128;
        let call = dynamic::tx(
            "ProofOfQuality",
            "register_model",
            subxt::ext::scale_value::Composite::named([
                ("id", Value::from_bytes([7; 32])),
                ("kind", Value::unnamed_variant("Generator", [])),
                ("name", Value::from_bytes(name)),
                ("price", Value::named_composite([("base", number(1)), ("per_unit", number(1))])),
                ("windows", Value::named_composite([("commit", number(2)), ("reveal", number(2))])),
                ("reward", Value::named_composite([("alpha", number(1_000_000_000)), ("beta", number(0))])),
                ("context", number(512)),
            ]),
        );
        self.submit("Sudo", "sudo", (call.into_value(),), "//Alice").await.expect("sudo registers a model");
    }
}
