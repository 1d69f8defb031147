//! The connection to a node: view functions, transactions, typed errors.

use crate::{
    failure::Failure,
    types::{Closed, ModelView, RootCall, Sudid, TransactionFeePaid},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use subxt::ext::codec::{Decode, Encode};
use subxt::{
    backend::LegacyBackend,
    client::{Blocks, OnlineClientAtBlockImpl},
    config::{DefaultExtrinsicParamsBuilder, Header as _, RpcConfigFor},
    dynamic::{self, At as _, Value},
    error::{DispatchError, TransactionEventsError},
    events::Events,
    ext::{
        frame_decode::view_functions::{decode_view_function_response, IntoEncodableValues},
        scale_decode::DecodeAsType,
        scale_encode::EncodeAsFields,
        scale_value::ValueDef,
    },
    extrinsics::ExtrinsicEvents,
    rpcs::{
        client::RpcClient,
        methods::legacy::{DryRunResult, LegacyRpcMethods, SystemHealth},
        Error as RpcError,
    },
    tx::{SubmittableTransaction, TransactionStatus},
    utils::{AccountId32, H256},
    Metadata, OnlineClient, OnlineClientAtBlock, SubstrateConfig,
};
use subxt_signer::sr25519::Keypair;

/// The pallet's name in the runtime.
pub const PALLET: &str = "ProofOfQuality";

/// The pallet that makes calls as root.
const SUDO: &str = "Sudo";

/// Entries asked of a paged view function at a time: the most that it gives.
const PAGE: u32 = 64;

/// Length of a view function's id.
const VIEW_FUNCTION_ID_BYTES: usize = 32;

/// Where every chain keeps the time of a block: `Timestamp.Now`, 8 bytes of milliseconds since 1970.
const TIMESTAMP_NOW: [u8; 32] = [
    0xf0, 0xc3, 0x65, 0xc3, 0xcf, 0x59, 0xd6, 0x71, 0xeb, 0x72, 0xda, 0x0e, 0x7a, 0x41, 0x13, 0xc4, 0x9f,
    0x1f, 0x05, 0x15, 0xf4, 0x62, 0xcd, 0xcf, 0x84, 0xe0, 0xf1, 0xd6, 0x04, 0x5d, 0xfc, 0xbb,
];

/// A transaction is good for this many blocks.
const MORTALITY: u64 = 64;

/// How often a transaction is signed anew because another one of the same account took its nonce.
const NONCE_ATTEMPTS: u32 = 20;

/// How long to wait before that.
const NONCE_PAUSE: Duration = Duration::from_millis(300);

/// How often to look whether an upgrade of the chain is final: for a minute.
const UPGRADE_ATTEMPTS: u32 = 60;

/// How long to wait before that.
const UPGRADE_PAUSE: Duration = Duration::from_secs(1);

/// The chain at one block.
pub type At = OnlineClientAtBlock<SubstrateConfig>;

type Transaction = SubmittableTransaction<SubstrateConfig, OnlineClientAtBlockImpl<SubstrateConfig>>;

/// A connection to a node.
pub struct Chain {
    api: OnlineClient<SubstrateConfig>,
    rpc: LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>,
    url: String,
}

/// Where the chain stands, as a node sees it.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    /// Number of the best block.
    pub best: u64,
    /// Number of the newest finalized block.
    pub finalized: u64,
    /// When the best block was made.
    pub time: SystemTime,
}

impl Pulse {
    /// How old the best block is at `now`; nothing, if its author's clock is ahead.
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.time).unwrap_or_default()
    }
}

/// A transaction in a block, and what came of it.
pub struct Included {
    events: ExtrinsicEvents<SubstrateConfig>,
    /// What it cost.
    pub fee: u128,
}

impl Included {
    /// The pallet's event `name`.
    pub fn event<E: DecodeAsType + subxt::ext::scale_decode::DecodeAsFields>(&self, name: &str) -> Option<E> {
        find_event(&self.events, PALLET, name)
    }

    /// All of the pallet's events `name`.
    pub fn events<E: DecodeAsType + subxt::ext::scale_decode::DecodeAsFields>(&self, name: &str) -> Vec<E> {
        find_events(&self.events, PALLET, name).collect()
    }
}

/// Why a transaction is not in a block.
enum Rejection {
    /// Its nonce is taken: sign anew.
    NonceTaken(String),
    /// For good.
    Final(Failure),
}

impl Chain {
    /// Connects to the node at `url`.
    pub async fn connect(url: &str) -> Result<Self, Failure> {
        let unreachable = |error: &dyn std::fmt::Display| {
            Failure::Unreachable(format!("no node answers at {url} ({})", brief(&error.to_string())))
        };
        let client = RpcClient::from_insecure_url(url).await.map_err(|error| unreachable(&error))?;
        let rpc = LegacyRpcMethods::new(client.clone());
        let backend = LegacyBackend::builder().build(client);
        let api = OnlineClient::from_backend_with_config(SubstrateConfig::new(), Arc::new(backend))
            .await
            .map_err(|error| unreachable(&error))?;
        Ok(Self { api, rpc, url: url.to_owned() })
    }

    /// Connects again to the same chain.
    pub async fn reconnect(&self) -> Result<Self, Failure> {
        let chain = Self::connect(&self.url).await?;
        if chain.api.genesis_hash() != self.api.genesis_hash() {
            return Err(Failure::Input(format!("another chain answers at {} now", self.url)));
        }
        Ok(chain)
    }

    /// Hash of the genesis block.
    pub fn genesis(&self) -> [u8; 32] {
        self.api.genesis_hash().0
    }

    /// The chain at its best block.
    pub async fn best(&self) -> Result<At, Failure> {
        let hash = self.rpc.chain_get_block_hash(None).await.map_err(failure)?;
        self.at(hash.unwrap_or_else(|| self.api.genesis_hash())).await
    }

    /// The chain at its newest finalized block.
    pub async fn finalized(&self) -> Result<At, Failure> {
        self.api.at_current_block().await.map_err(failure)
    }

    async fn at(&self, hash: H256) -> Result<At, Failure> {
        let at = self.api.at_block(hash).await.map_err(failure)?;
        if at.metadata_ref().pallet_by_name(PALLET).is_none() {
            return Err(Failure::Input(format!(
                "the chain at {} has no Proof of Quality; --url URL names a node of one that has",
                self.url
            )));
        }
        Ok(at)
    }

    /// Where the budget of request `id` went, by the event of its end in block `number`; `None` if the node has forgotten that block's
    /// state.
    pub async fn closed(&self, id: u64, number: u64) -> Result<Option<Closed>, Failure> {
        let hash = self.rpc.chain_get_block_hash(Some(number.into())).await.map_err(failure)?;
        let Some(hash) = hash else { return Ok(None) };
        match self.rpc.state_get_storage(&TIMESTAMP_NOW, Some(hash)).await {
            Ok(_) => {}
            // The node's own refusal, whatever its words: the state of that block is pruned.
            Err(RpcError::User(_)) => return Ok(None),
            Err(error) => return Err(failure(error)),
        }
        let events = self.at(hash).await?.events().fetch().await.map_err(failure)?;
        let closed = closings(&events).find(|closed| closed.request == id);
        Ok(closed)
    }

    /// Best blocks, as they come.
    pub async fn best_blocks(&self) -> Result<Blocks<SubstrateConfig>, Failure> {
        self.api.stream_best_blocks().await.map_err(failure)
    }

    /// Whether it is a chain on which nothing is worth anything.
    pub async fn is_development(&self) -> Result<bool, Failure> {
        Ok(self.kind().await? == "Development")
    }

    /// `Development`, `Local` or `Live`.
    pub async fn kind(&self) -> Result<String, Failure> {
        // Custom kinds are objects; only the names matter here.
        self.rpc.system_chain_type().await.or_else(|error| match error {
            RpcError::Deserialization(_) => Ok("Custom".into()),
            other => Err(failure(other)),
        })
    }

    /// The chain's name.
    pub async fn name(&self) -> Result<String, Failure> {
        self.rpc.system_chain().await.map_err(failure)
    }

    /// The node's name and version.
    pub async fn node(&self) -> Result<String, Failure> {
        let name = self.rpc.system_name().await.map_err(failure)?;
        let version = self.rpc.system_version().await.map_err(failure)?;
        Ok(format!("{name} {version}"))
    }

    /// Peers, and whether the node catches up.
    pub async fn health(&self) -> Result<SystemHealth, Failure> {
        self.rpc.system_health().await.map_err(failure)
    }

    /// Where the chain stands. Needs no metadata, so it costs the node next to nothing.
    pub async fn pulse(&self) -> Result<Pulse, Failure> {
        let gone = || Failure::Unexpected("the node does not know its own newest block".into());
        let best = self.rpc.chain_get_block_hash(None).await.map_err(failure)?.ok_or_else(gone)?;
        let finalized = self.rpc.chain_get_finalized_head().await.map_err(failure)?;
        let now = self.rpc.state_get_storage(&TIMESTAMP_NOW, Some(best)).await.map_err(failure)?;
        // No time is set before the first block.
        let millis = now.map_or(Ok(0), |bytes| u64::decode(&mut &bytes[..])).map_err(failure)?;
        Ok(Pulse {
            best: self.number(best).await?.ok_or_else(gone)?,
            finalized: self.number(finalized).await?.ok_or_else(gone)?,
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(millis),
        })
    }

    async fn number(&self, block: H256) -> Result<Option<u64>, Failure> {
        let header = self.rpc.chain_get_header(Some(block)).await.map_err(failure)?;
        Ok(header.map(|header| header.number()))
    }

    /// Signs `call` of the pallet with `signer`, sends it, and waits until it is in a best block.
    ///
    /// Where the node lets it, the call is tried out first: what the chain would refuse then costs nothing.
    pub async fn submit<C: EncodeAsFields>(
        &self,
        call: &str,
        data: C,
        signer: &Keypair,
    ) -> Result<Included, Failure> {
        self.submit_to(PALLET, call, data, signer).await
    }

    /// Makes `call` as root, by the sudo key `signer`, and waits until it is in a best block.
    ///
    /// Sudo succeeds whatever becomes of the call, which therefore cannot be tried out first; an error of the call is an
    /// error here.
    pub async fn sudo(&self, call: impl Into<RootCall>, signer: &Keypair) -> Result<Included, Failure> {
        self.check_sudo(signer).await?;
        let data = (call.into(),);
        let included = self.submit_to(SUDO, "sudo", data, signer).await?;
        let sudid: Sudid = find_event(&included.events, SUDO, "Sudid")
            .ok_or_else(|| Failure::Unexpected("sudo does not say what came of its call".into()))?;
        match sudid.sudo_result {
            Ok(()) => Ok(included),
            Err(error) => Err(explain(&error, self.best().await?.metadata_ref())),
        }
    }

    /// Refuses a signer that is not sudo before anything is sent: even a refused transaction shows to all what it holds.
    async fn check_sudo(&self, signer: &Keypair) -> Result<(), Failure> {
        let at = self.best().await?;
        if at.metadata_ref().pallet_by_name(SUDO).is_none() {
            return Err(Failure::Input(
                "this chain has no sudo: its governance does that another way".into(),
            ));
        }
        let key = dynamic::storage::<(), AccountId32>(SUDO, "Key");
        let key = at.storage().try_fetch(key, ()).await.map_err(failure)?;
        let key = key.map(|key| key.decode().map_err(failure)).transpose()?;
        let account = signer.public_key().to_account_id();
        match key {
            Some(key) if key == account => Ok(()),
            _ => Err(Failure::refused("RequireSudo", format!("{account} is not the chain's sudo key."))),
        }
    }

    /// The same for a call of another pallet.
    pub async fn submit_to<C: EncodeAsFields>(
        &self,
        pallet: &str,
        call: &str,
        data: C,
        signer: &Keypair,
    ) -> Result<Included, Failure> {
        let payload = dynamic::tx(pallet, call, data);
        let mut last = String::new();
        for _ in 0..NONCE_ATTEMPTS {
            let transaction = self.sign(&payload, signer).await?;
            self.try_out(&transaction).await?;
            match self.send(transaction).await {
                Ok(included) => return Ok(included),
                Err(Rejection::Final(failure)) => return Err(failure),
                Err(Rejection::NonceTaken(reason)) => last = reason,
            }
            tokio::time::sleep(NONCE_PAUSE).await;
        }
        Err(Failure::Input(format!(
            "other transactions of this account keep coming first ({last}); try again"
        )))
    }

    async fn sign<C: EncodeAsFields>(
        &self,
        payload: &subxt::tx::DynamicPayload<C>,
        signer: &Keypair,
    ) -> Result<Transaction, Failure> {
        // Born at the finalized block, which no re-organisation takes away; but the nonce counts what waits in the pool.
        let at = self.finalized_with_the_best_runtime().await?;
        let account = signer.public_key().to_account_id();
        let nonce = self.rpc.system_account_next_index(&account).await.map_err(failure)?;
        let params = DefaultExtrinsicParamsBuilder::new().nonce(nonce).mortal(MORTALITY).build();
        at.transactions().create_signed(payload, signer, params).await.map_err(failure)
    }

    /// The newest finalized block, once it has the runtime of the best block. An upgrade is final some blocks after it
    /// applies, and the pool refuses what is signed for the version before.
    async fn finalized_with_the_best_runtime(&self) -> Result<At, Failure> {
        let mut version = 0;
        for _ in 0..UPGRADE_ATTEMPTS {
            let at = self.finalized().await?;
            version = self.best().await?.spec_version();
            if at.spec_version() == version {
                return Ok(at);
            }
            tokio::time::sleep(UPGRADE_PAUSE).await;
        }
        Err(Failure::Input(format!(
            "the chain's upgrade to version {version} is not final yet; try again later"
        )))
    }

    /// Runs the transaction on the best block without sending it. Says nothing if the node does not do that for us.
    async fn try_out(&self, transaction: &Transaction) -> Result<(), Failure> {
        let Ok(bytes) = self.rpc.dry_run(transaction.encoded(), None).await else { return Ok(()) };
        match bytes.into_dry_run_result() {
            Ok(DryRunResult::DispatchError(error)) => {
                let metadata = self.best().await?.metadata();
                let error = DispatchError::decode_from(error, metadata).map_err(failure)?;
                Err(refusal(&error))
            }
            // Validity depends on the nonce, which may be ahead of the best block; the pool knows better.
            _ => Ok(()),
        }
    }

    async fn send(&self, transaction: Transaction) -> Result<Included, Rejection> {
        let mut progress = transaction.submit_and_watch().await.map_err(|error| rejection(&error))?;
        while let Some(status) = progress.next().await {
            match status.map_err(|error| Rejection::Final(failure(error)))? {
                TransactionStatus::InBestBlock(block) | TransactionStatus::InFinalizedBlock(block) => {
                    let events = block.wait_for_success().await.map_err(|error| {
                        Rejection::Final(match error {
                            TransactionEventsError::ExtrinsicFailed(error) => refusal(&error),
                            other => failure(other),
                        })
                    })?;
                    let fee =
                        find_event::<TransactionFeePaid>(&events, "TransactionPayment", "TransactionFeePaid")
                            .map_or(0, |event| event.actual_fee);
                    return Ok(Included { events, fee });
                }
                TransactionStatus::Invalid { message } => return Err(invalid(&message)),
                TransactionStatus::Error { message } | TransactionStatus::Dropped { message } => {
                    return Err(Rejection::Final(Failure::Input(format!(
                        "the node dropped the transaction ({message}); try again"
                    ))))
                }
                _ => {}
            }
        }
        Err(Rejection::Final(Failure::Unreachable(format!("lost the node at {}", self.url))))
    }
}

/// Asks the pallet's view function `name`.
///
/// The runtime API takes the function's id and its arguments as *bytes*, and answers with *bytes* in a result. The library
/// leaves both wrappings out, so they are put on and taken off here.
pub async fn view<A: IntoEncodableValues, R: DecodeAsType>(
    at: &At,
    name: &str,
    args: A,
) -> Result<R, Failure> {
    let functions = at.view_functions();
    let plain =
        functions.encode_args(dynamic::view_function_call::<A, R>(PALLET, name, args)).map_err(failure)?;
    let (id, input) = plain
        .split_at_checked(VIEW_FUNCTION_ID_BYTES)
        .ok_or_else(|| Failure::Unexpected("the call of a view function is too short".to_owned()))?;
    let mut call = id.to_vec();
    input.encode_to(&mut call);
    let answer = functions.call_raw(Some(&call)).await.map_err(failure)?;
    let answer = Result::<Vec<u8>, u8>::decode(&mut &answer[..]).map_err(failure)?;
    let value = answer.map_err(|_| {
        Failure::Unexpected(format!("the node has no view function `{name}`: is it of another version?"))
    })?;
    let metadata = at.metadata_ref();
    decode_view_function_response(
        PALLET,
        name,
        &mut &value[..],
        metadata,
        metadata.types(),
        R::into_visitor(),
    )
    .map_err(failure)
}

/// A stored value that is not in a map.
pub async fn value<V: DecodeAsType>(at: &At, pallet: &str, name: &str) -> Result<V, Failure> {
    let address = dynamic::storage::<(), V>(pallet, name);
    at.storage().fetch(address, ()).await.map_err(failure)?.decode().map_err(failure)
}

/// A constant of the pallet.
pub fn constant(at: &At, name: &str) -> Result<u32, Failure> {
    at.constants().entry(dynamic::constant::<u32>(PALLET, name)).map_err(failure)
}

/// All entries of the paged view function `name`, in the order of the storage. A page begins after the `key` of an entry.
async fn pages<Key, Entry>(at: &At, name: &str, key: impl Fn(&Entry) -> Key) -> Result<Vec<Entry>, Failure>
where
    (Option<Key>, u32): IntoEncodableValues,
    Entry: DecodeAsType,
{
    walk(PAGE as usize, async |after| view(at, name, (after, PAGE)).await, key).await
}

/// All entries, page by page. A page of less than `size` entries is the last.
async fn walk<Key, Entry>(
    size: usize,
    page: impl AsyncFn(Option<Key>) -> Result<Vec<Entry>, Failure>,
    key: impl Fn(&Entry) -> Key,
) -> Result<Vec<Entry>, Failure> {
    let mut all = Vec::new();
    loop {
        let next = page(all.last().map(&key)).await?;
        let is_last = next.len() < size;
        all.extend(next);
        if is_last {
            return Ok(all);
        }
    }
}

/// The accounts of all operators, in the order of the storage.
pub async fn operators(at: &At) -> Result<Vec<AccountId32>, Failure> {
    pages(at, "operators", |account: &AccountId32| *account).await
}

/// The models of the registry, by name.
pub async fn models(at: &At) -> Result<Vec<ModelView>, Failure> {
    let mut models = pages(at, "models", |model: &ModelView| model.id).await?;
    models.sort_by(|a, b| a.name.cmp(&b.name).then(a.id.cmp(&b.id)));
    Ok(models)
}

/// A `DispatchError` that a view function returned, by the name and the documentation of the pallet's error.
pub fn explain(error: &Value, metadata: &Metadata) -> Failure {
    pallet_error(error, metadata)
        .unwrap_or_else(|| Failure::refused("Refused", format!("The chain says {error}.")))
}

fn pallet_error(error: &Value, metadata: &Metadata) -> Option<Failure> {
    let error = match &error.value {
        ValueDef::Variant(variant) if variant.name == "Module" => variant.values.at(0)?,
        _ => return None,
    };
    let number = |value: &Value| u8::try_from(value.as_u128()?).ok();
    let (pallet, index) = (number(error.at("index")?)?, number(error.at("error")?.at(0)?)?);
    let variant = metadata.pallet_by_error_index(pallet)?.error_variant_by_index(index)?;
    Some(Failure::refused(&variant.name, variant.docs.join(" ")))
}

/// The pallet's error `name`, found here rather than by the chain; `detail` says more.
pub fn refuse_as(at: &At, name: &str, detail: &str) -> Failure {
    let docs = at
        .metadata_ref()
        .pallet_by_name(PALLET)
        .and_then(|pallet| pallet.error_variants())
        .and_then(|variants| variants.iter().find(|variant| variant.name == name))
        .map(|variant| variant.docs.join(" "))
        .unwrap_or_default();
    Failure::refused(name, format!("{detail} {docs}"))
}

fn refusal(error: &DispatchError) -> Failure {
    match error {
        DispatchError::Module(module) => match module.details() {
            Ok(details) => Failure::refused(&details.variant.name, details.variant.docs.join(" ")),
            Err(error) => failure(error),
        },
        DispatchError::Token(error) => Failure::refused("Token", error.to_string()),
        other => Failure::refused("Refused", other.to_string()),
    }
}

/// What the pool says of a transaction. The codes are those of `author_submitExtrinsic`.
fn rejection(error: &subxt::error::ExtrinsicError) -> Rejection {
    use subxt::error::{BackendError, ExtrinsicError, RpcError as BackendRpcError};
    let ExtrinsicError::ErrorSubmittingTransaction(BackendError::Rpc(BackendRpcError::ClientError(
        RpcError::User(user),
    ))) = error
    else {
        return Rejection::Final(failure(error));
    };
    let detail = user.data.as_ref().map(|data| data.get().trim_matches('"').to_owned()).unwrap_or_default();
    let text = format!("{}: {detail}", user.message);
    match user.code {
        1010 => invalid(&text),
        // Banned, known already, or not worth more than another one with the same nonce.
        1012..=1014 => Rejection::NonceTaken(text),
        _ => Rejection::Final(Failure::refused(
            "InvalidTransaction",
            format!("The node does not take the transaction ({text})."),
        )),
    }
}

/// A transaction that is not valid, and why.
fn invalid(text: &str) -> Rejection {
    if text.contains("pay some fees") {
        let meaning = "The account cannot pay the transaction's fee.";
        return Rejection::Final(Failure::refused("InsufficientBalance", meaning));
    }
    Rejection::NonceTaken(text.to_owned())
}

fn find_event<E: DecodeAsType + subxt::ext::scale_decode::DecodeAsFields>(
    events: &ExtrinsicEvents<SubstrateConfig>,
    pallet: &str,
    name: &str,
) -> Option<E> {
    find_events(events, pallet, name).next()
}

fn find_events<'a, E: DecodeAsType + subxt::ext::scale_decode::DecodeAsFields>(
    events: &'a ExtrinsicEvents<SubstrateConfig>,
    pallet: &'a str,
    name: &'a str,
) -> impl Iterator<Item = E> + use<'a, E> {
    events
        .iter()
        .filter_map(Result::ok)
        .filter(move |event| event.pallet_name() == pallet && event.event_name() == name)
        .filter_map(|event| event.decode_fields_unchecked_as::<E>().ok())
}

/// The ends of requests in a block.
fn closings(events: &Events<SubstrateConfig>) -> impl Iterator<Item = Closed> + use<'_> {
    events
        .iter()
        .filter_map(Result::ok)
        .filter(|event| {
            event.pallet_name() == PALLET && ["Settled", "Refunded"].contains(&event.event_name())
        })
        .filter_map(|event| event.decode_fields_unchecked_as().ok())
}

/// What an error of the client library means for a person.
pub fn failure(error: impl std::fmt::Display) -> Failure {
    let text = error.to_string();
    // The library has two dozen error types around the one that matters, and no way in; its texts are the only constant.
    let lost =
        ["RPC error: client error", "subscription dropped", "connection was lost", "connection closed"];
    if lost.iter().any(|mark| text.contains(mark)) {
        Failure::Unreachable(format!("lost the node ({})", brief(&text)))
    } else {
        Failure::Unexpected(format!("the node's answer is not understood ({})", brief(&text)))
    }
}

/// The end of a nested error, which is where the cause stands.
fn brief(text: &str) -> String {
    let cause = text.rsplit("error: ").next().unwrap_or(text);
    cause.lines().next().unwrap_or(cause).trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Entries as a paged view function gives them.
    async fn walked(entries: u32) -> (Vec<u32>, usize) {
        let calls = Cell::new(0);
        let page = async |after: Option<u32>| {
            calls.set(calls.get() + 1);
            let first = after.map_or(0, |after| after + 1);
            Ok((first..entries).take(4).collect())
        };
        let all = walk(4, page, |entry| *entry).await.unwrap();
        (all, calls.get())
    }

    #[tokio::test]
    async fn all_pages_are_walked_and_none_twice() {
        for (entries, calls) in [(0, 1), (3, 1), (4, 2), (5, 2), (8, 3), (9, 3)] {
            assert_eq!(walked(entries).await, ((0..entries).collect(), calls), "{entries} entries");
        }
    }

    #[tokio::test]
    async fn a_page_that_fails_ends_the_walk() {
        let page = async |after: Option<u32>| match after {
            None => Ok(vec![0, 1]),
            Some(_) => Err(Failure::Unreachable("gone".into())),
        };
        assert_eq!(walk(2, page, |entry| *entry).await, Err(Failure::Unreachable("gone".into())));
    }
}
