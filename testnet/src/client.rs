//! The chain as a requester, as sudo, and as an auditor sees it. Types are found by name in the node's metadata, so this goes
//! on working when the chain adds fields, and across upgrades.

use anyhow::{anyhow, bail, ensure, Context as _, Result};
use serde_json::Value as Json;
use std::{sync::Arc, time::Duration};
use subxt::{
    backend::LegacyBackend,
    config::{DefaultExtrinsicParamsBuilder, RpcConfigFor},
    dynamic::{self, Value},
    ext::{
        codec::{Decode as _, Encode as _},
        frame_decode::view_functions::{decode_view_function_response, IntoEncodableValues},
        scale_decode::DecodeAsType,
        scale_encode::EncodeAsFields,
        scale_value::{At as _, Composite, ValueDef},
    },
    rpcs::{client::RpcClient, methods::legacy::LegacyRpcMethods},
    transactions::TransactionStatus,
    OnlineClient, OnlineClientAtBlock, SubstrateConfig,
};
use subxt_signer::{sr25519::Keypair, SecretUri};
use tokio::time::{sleep, timeout};

/// The pallet's name in the runtime.
pub const PALLET: &str = "ProofOfQuality";

/// A call by its names.
pub type Call = subxt::tx::DynamicPayload<Composite<()>>;

/// The chain at one block.
pub type At = OnlineClientAtBlock<SubstrateConfig>;

/// How long a node may take for one answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long to wait for something that takes blocks.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often to look.
const POLL: Duration = Duration::from_millis(500);

/// Models on a page of the registry.
const MODELS: u32 = 64;

/// Length of a view function's id.
const VIEW_FUNCTION_ID_BYTES: usize = 32;

/// A connection to a node.
#[derive(Clone)]
pub struct Client {
    api: OnlineClient<SubstrateConfig>,
    rpc: LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>,
    raw: RpcClient,
}

/// How far a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heights {
    /// Its best block.
    pub best: u64,
    /// Its newest finalized block.
    pub finalized: u64,
    /// The nodes that it is connected to.
    pub peers: u64,
}

/// What a request says and what it asks for.
#[derive(Clone, Debug)]
pub struct Question {
    /// The prompt.
    pub prompt: String,
    /// Inference nodes wanted.
    pub responders: u32,
    /// Quality validators wanted.
    pub committee: u32,
}

/// The models of the chain that a question goes to, and what it costs at least.
#[derive(Clone, Debug)]
pub struct Terms {
    generators: Vec<[u8; 32]>,
    evaluator: [u8; 32],
}

/// A model, as far as asking needs it.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Model {
    id: [u8; 32],
    kind: ModelKind,
    retired: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
enum ModelKind {
    Generator,
    Evaluator,
}

#[derive(Clone, Copy, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Budget {
    inference: u128,
    scoring: u128,
    fee: u128,
}

/// How a request stands.
#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub struct Request {
    /// Its number.
    pub id: u64,
    /// The phase with its fields; [`Request::phase`] is its name.
    pub phase: Value,
}

impl Request {
    /// `Requested`, `Answering`, `RevealingAnswers`, `Selecting`, `Scoring`, `RevealingScores`, `Settled` or `Refunded`.
    pub fn phase(&self) -> &str {
        variant(&self.phase).unwrap_or_default()
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        ["Settled", "Refunded"].contains(&self.phase())
    }
}

/// An operator's open duty: which request, what part, and how the work stands.
#[derive(Clone, Debug)]
pub struct Duty {
    /// The request.
    pub request: u64,
    /// Whether it is to score; otherwise it is to answer.
    pub scores: bool,
    /// `Pending`, `Committed`, `Revealed` …
    pub work: String,
}

#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct OperatorDuties {
    duties: Vec<OpenDuty>,
}

#[derive(Clone, Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct OpenDuty {
    request: u64,
    role: Value,
    work: Value,
}

/// The name of an enum's variant.
pub fn variant(value: &Value) -> Option<&str> {
    match &value.value {
        ValueDef::Variant(variant) => Some(&variant.name),
        _ => None,
    }
}

/// The account of a secret URI.
///
/// # Errors
/// If it is none.
pub fn account(uri: &str) -> Result<Keypair> {
    let parsed: SecretUri = uri.parse().map_err(|error| anyhow!("`{uri}` is not a secret URI: {error}"))?;
    Keypair::from_uri(&parsed).with_context(|| format!("`{uri}` is not a secret URI"))
}

impl Client {
    /// Connects to the node at `url` (ws://…).
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::connect_with(url, SubstrateConfig::new()).await
    }

    /// Connects with a configuration that remembers what it has learnt of the chain from other connections.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn connect_with(url: &str, config: SubstrateConfig) -> Result<Self> {
        let connecting = async {
            let raw = RpcClient::from_insecure_url(url).await?;
            let backend = Arc::new(LegacyBackend::builder().build(raw.clone()));
            let api = OnlineClient::from_backend_with_config(config, backend).await?;
            anyhow::Ok(Self { api, rpc: LegacyRpcMethods::new(raw.clone()), raw })
        };
        timeout(DEADLINE, connecting).await.with_context(|| format!("the node at {url} does not answer"))?
    }

    /// How far the node at `url` is.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn heights(url: &str) -> Result<Heights> {
        let asking = async {
            let raw = RpcClient::from_insecure_url(url).await?;
            let finalized: Json = raw.request("chain_getFinalizedHead", Default::default()).await?;
            let best: Json = raw.request("chain_getHeader", Default::default()).await?;
            let mut params = subxt::rpcs::client::RpcParams::new();
            params.push(finalized)?;
            let finalized: Json = raw.request("chain_getHeader", params).await?;
            let health: Json = raw.request("system_health", Default::default()).await?;
            let peers = health.get("peers").and_then(Json::as_u64).unwrap_or(0);
            anyhow::Ok(Heights { best: number(&best)?, finalized: number(&finalized)?, peers })
        };
        timeout(DEADLINE, asking).await.with_context(|| format!("the node at {url} does not answer"))?
    }

    /// The library underneath.
    pub fn api(&self) -> &OnlineClient<SubstrateConfig> {
        &self.api
    }

    /// An RPC by its name, with parameters as a JSON array.
    ///
    /// # Errors
    /// What the node says.
    pub async fn call(&self, method: &str, params: Vec<Json>) -> Result<Json> {
        let mut list = subxt::rpcs::client::RpcParams::new();
        params.into_iter().try_for_each(|param| list.push(param))?;
        let asked = timeout(DEADLINE, self.raw.request(method, list)).await;
        asked.with_context(|| format!("no answer to {method}"))?.with_context(|| method.to_owned())
    }

    /// The chain at the node's best block.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn best(&self) -> Result<At> {
        let hash = self.rpc.chain_get_block_hash(None).await?.context("there is no block")?;
        Ok(self.api.at_block(hash).await?)
    }

    /// The chain at the node's newest finalized block.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn finalized(&self) -> Result<At> {
        Ok(self.api.at_current_block().await?)
    }

    /// The chain at the block with this number.
    ///
    /// # Errors
    /// If the node does not have it.
    pub async fn at_number(&self, number: u64) -> Result<At> {
        Ok(self.api.at_block(number).await?)
    }

    /// Waits until the node has finalized this block.
    ///
    /// # Errors
    /// If it does not.
    pub async fn wait_until_finalized(&self, number: u64) -> Result<()> {
        wait("finality", || async { Ok((self.finalized().await?.block_number() >= number).then_some(())) })
            .await
    }

    /// Signs a call, sends it and waits until it is in a finalized block.
    ///
    /// # Errors
    /// If the pool or the chain refuses it; the chain's reason is in the text.
    pub async fn submit<C: EncodeAsFields>(
        &self,
        pallet: &str,
        call: &str,
        data: C,
        from: &str,
    ) -> Result<Value> {
        let payload = dynamic::tx(pallet, call, data);
        let signer = account(from)?;
        // Good for ever, so any block will do to sign at; the best one has the runtime for which the pool checks.
        let at = self.best().await?;
        let nonce = self.rpc.system_account_next_index(&signer.public_key().to_account_id()).await?;
        let params = DefaultExtrinsicParamsBuilder::new().nonce(nonce).immortal().build();
        let signed = at.transactions().create_signed(&payload, &signer, params).await?;
        let mut progress = signed.submit_and_watch().await?;
        while let Some(status) = progress.next().await {
            match status? {
                TransactionStatus::InFinalizedBlock(block) => {
                    let events = block.wait_for_success().await?;
                    let events: Vec<(String, String, Composite<()>)> = events
                        .iter()
                        .filter_map(|event| {
                            let event = event.ok()?;
                            let fields = event.decode_fields_unchecked_as().ok()?;
                            Some((event.pallet_name().to_owned(), event.event_name().to_owned(), fields))
                        })
                        .collect();
                    return Ok(Value::unnamed_composite(events.into_iter().map(|(pallet, name, fields)| {
                        Value::named_composite([
                            ("pallet", Value::string(pallet)),
                            ("name", Value::string(name)),
                            ("fields", Value { value: ValueDef::Composite(fields), context: () }),
                        ])
                    })));
                }
                TransactionStatus::Error { message }
                | TransactionStatus::Invalid { message }
                | TransactionStatus::Dropped { message } => bail!("the pool gave it up: {message}"),
                _ => {}
            }
        }
        bail!("the node is gone")
    }

    /// Makes a call as root, by Alice's sudo key, and waits until it is final.
    ///
    /// # Errors
    /// If it is refused, or the call itself fails.
    pub async fn sudo(&self, pallet: &str, call: &str, data: Composite<()>) -> Result<()> {
        let call = dynamic::tx(pallet, call, data).into_value();
        self.sudo_value("sudo", (call,)).await
    }

    /// A call of the sudo pallet, such as `sudo_unchecked_weight` with a call and a weight.
    ///
    /// # Errors
    /// If it is refused, or the call itself fails.
    pub async fn sudo_value<C: EncodeAsFields>(&self, call: &str, data: C) -> Result<()> {
        let events = self.submit("Sudo", call, data, "//Alice").await?;
        let said =
            events_named(&events, "Sudo", "Sudid").next().context("sudo does not say what came of it")?;
        let result = said.at("sudo_result").context("sudo does not say what came of it")?;
        ensure!(variant(result) == Some("Ok"), "the call failed: {result}");
        Ok(())
    }

    /// What a view function of the pallet says at a block.
    ///
    /// The runtime API takes the function's id and its arguments as *bytes*, and answers with *bytes* in a result. The
    /// library leaves both wrappings out, so they are put on and taken off here.
    ///
    /// # Errors
    /// If the node does not answer, or knows no such function.
    pub async fn view<A: IntoEncodableValues, R: DecodeAsType>(at: &At, name: &str, args: A) -> Result<R> {
        let functions = at.view_functions();
        let plain = functions.encode_args(dynamic::view_function_call::<A, R>(PALLET, name, args))?;
        let (id, input) = plain
            .split_at_checked(VIEW_FUNCTION_ID_BYTES)
            .context("the call of a view function is too short")?;
        let mut call = id.to_vec();
        input.encode_to(&mut call);
        let answer = functions.call_raw(Some(&call)).await?;
        let answer = Result::<Vec<u8>, u8>::decode(&mut &answer[..])?;
        let value = answer.map_err(|_| anyhow!("the node has no view function `{name}`"))?;
        let metadata = at.metadata_ref();
        decode_view_function_response(
            PALLET,
            name,
            &mut &value[..],
            metadata,
            metadata.types(),
            R::into_visitor(),
        )
        .map_err(|error| anyhow!("the answer of `{name}` is not understood: {error}"))
    }

    /// A stored value that is not in a map; `None` if nothing is stored.
    ///
    /// # Errors
    /// If the node does not answer, or it is of another type.
    pub async fn value<V: DecodeAsType>(at: &At, pallet: &str, name: &str) -> Result<Option<V>> {
        let address = dynamic::storage::<(), V>(pallet, name);
        let value = at.storage().try_fetch(address, ()).await?;
        Ok(value.map(|value| value.decode()).transpose()?)
    }

    /// How a request stands in the best block; `None` if the chain does not know it.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn request(&self, id: u64) -> Result<Option<Request>> {
        Self::view(&self.best().await?, "request_info", (id,)).await
    }

    /// Waits until a request is over.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn wait_until_closed(&self, id: u64) -> Result<Request> {
        wait("the request's end", || async { Ok(self.request(id).await?.filter(Request::is_closed)) }).await
    }

    /// Why the chain's state is not as it must be; `Ok` if it is.
    ///
    /// # Errors
    /// What is wrong, or that the node does not answer.
    pub async fn check_invariants(at: &At) -> Result<()> {
        let checked: Result<(), String> = Self::view(at, "check_invariants", ()).await?;
        checked.map_err(|error| anyhow!("an invariant does not hold: {error}"))
    }

    /// The open duties of an operator.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn duties(at: &At, operator: [u8; 32]) -> Result<Vec<Duty>> {
        let view: Option<OperatorDuties> = Self::view(at, "operator_info", (operator,)).await?;
        let duties = view.map(|view| view.duties).unwrap_or_default();
        let named = |value: &Value| variant(value).unwrap_or_default().to_owned();
        Ok(duties
            .iter()
            .map(|duty| Duty {
                request: duty.request,
                scores: named(&duty.role) == "QualityValidator",
                work: named(&duty.work),
            })
            .collect())
    }

    /// All models of the chain at its best block, for questions to come. The best block is also where the pool checks the
    /// question, and in the middle of an upgrade the newest finalized one may have the new code and still the old state.
    ///
    /// # Errors
    /// If there are none.
    pub async fn terms(&self) -> Result<Terms> {
        let at = self.best().await?;
        // Version 6 of the runtime, with which the upgrade begins, knew no pages.
        let paged: Result<Vec<Model>> = Self::view(&at, "models", (None::<[u8; 32]>, MODELS)).await;
        let models: Vec<Model> = match paged {
            Ok(models) => models,
            Err(_) => Self::view(&at, "models", ()).await?,
        };
        let of = |kind| {
            models.iter().filter(move |model| model.kind == kind && !model.retired).map(|model| model.id)
        };
        let evaluator = of(ModelKind::Evaluator).next().context("the chain has no evaluator")?;
        Ok(Terms { generators: of(ModelKind::Generator).collect(), evaluator })
    }

    /// The call that asks a question, with the least budget.
    ///
    /// # Errors
    /// If the chain has not enough operators for it.
    pub async fn request_call(&self, question: &Question, terms: &Terms) -> Result<Call> {
        let at = self.best().await?;
        let max_tokens = 64u32;
        let wanted =
            (terms.generators.clone(), terms.evaluator, max_tokens, question.responders, question.committee);
        let estimate: Result<Budget, Value> = Self::view(&at, "estimate_budget", wanted).await?;
        let budget = estimate.map_err(|error| anyhow!("the chain cannot take this question: {error}"))?;
        let budget = budget.inference.saturating_add(budget.scoring).saturating_add(budget.fee);
        let id = |id: &[u8; 32]| Value::from_bytes(id);
        let number = |number: u32| Value::u128(number.into());
        let sampling =
            [("max_tokens", number(max_tokens)), ("temperature_milli", number(0)), ("seed", number(0))];
        let fields = [
            ("generators", Value::unnamed_composite(terms.generators.iter().map(id))),
            ("evaluator", id(&terms.evaluator)),
            ("sampling", Value::named_composite(sampling)),
            ("responders", number(question.responders)),
            ("committee", number(question.committee)),
            ("min_quality", number(0)),
            ("budget", Value::u128(budget)),
            ("audit", Value::from_bytes(rand::random::<[u8; 32]>())),
        ];
        let data = Composite::named([
            ("prompt", Value::from_bytes(question.prompt.as_bytes())),
            ("terms", Value::named_composite(fields)),
        ]);
        Ok(dynamic::tx(PALLET, "request_inference", data))
    }

    /// Signs a call with a nonce of one's choice, good for ever, without sending it.
    ///
    /// # Errors
    /// If the call does not fit the chain.
    pub fn sign<C: EncodeAsFields>(
        at: &At,
        payload: &subxt::tx::DynamicPayload<C>,
        signer: &Keypair,
        nonce: u64,
    ) -> Result<Vec<u8>> {
        let params = DefaultExtrinsicParamsBuilder::new().nonce(nonce).immortal().build();
        let signed = at.transactions().create_signable_offline(payload, params)?.sign(signer)?;
        Ok(signed.into_encoded())
    }

    /// Gives a signed transaction to the node's pool.
    ///
    /// # Errors
    /// If the node does not answer or the pool refuses it.
    pub async fn send(&self, transaction: &[u8]) -> Result<()> {
        timeout(DEADLINE, self.rpc.author_submit_extrinsic(transaction)).await.context("no answer")??;
        Ok(())
    }

    /// Asks a question with two answers and a committee of five, signed by `from`; returns the request's number once it is
    /// final.
    ///
    /// # Errors
    /// If the chain refuses it.
    pub async fn ask(&self, prompt: &str, from: &str) -> Result<u64> {
        let question = Question { prompt: prompt.to_owned(), responders: 2, committee: 5 };
        let call = self.request_call(&question, &self.terms().await?).await?;
        let (pallet, name) = (call.pallet_name().to_owned(), call.call_name().to_owned());
        let events = self.submit(&pallet, &name, call.call_data().clone(), from).await?;
        let event = events_named(&events, PALLET, "Requested").next().context("no request came of it")?;
        let id = event.at("request").and_then(Value::as_u128).context("the event names no request")?;
        Ok(u64::try_from(id)?)
    }

    /// How many transactions of an account are in the finalized chain.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn finalized_nonce(&self, account: [u8; 32]) -> Result<u64> {
        let head = self.call("chain_getFinalizedHead", Vec::new()).await?;
        self.nonce_at(account, head).await
    }

    async fn nonce_at(&self, account: [u8; 32], block: Json) -> Result<u64> {
        let params =
            vec!["AccountNonceApi_account_nonce".into(), format!("0x{}", hex::encode(account)).into(), block];
        let answer = self.call("state_call", params).await?;
        let bytes = hex::decode(answer.as_str().unwrap_or_default().trim_start_matches("0x"))?;
        Ok(u32::decode(&mut &bytes[..])?.into())
    }
}

/// The events `name` of a pallet among those that [`Client::submit`] returns.
pub fn events_named<'a>(
    events: &'a Value,
    pallet: &'a str,
    name: &'a str,
) -> impl Iterator<Item = &'a Value> {
    let list = match &events.value {
        ValueDef::Composite(Composite::Unnamed(list)) => list.as_slice(),
        _ => &[],
    };
    list.iter()
        .filter(move |event| {
            let is = |field, text| event.at(field).and_then(Value::as_str) == Some(text);
            is("pallet", pallet) && is("name", name)
        })
        .filter_map(|event| event.at("fields"))
}

/// Asks again and again until there is an answer. A node that does not answer is asked again, too.
///
/// # Errors
/// If there is none for ten minutes: the last error, if that is why.
pub async fn wait<T, F: std::future::Future<Output = Result<Option<T>>>>(
    what: &str,
    mut check: impl FnMut() -> F,
) -> Result<T> {
    let asking = async {
        let mut last = None;
        let deadline = tokio::time::Instant::now().checked_add(PATIENCE);
        while deadline.is_some_and(|deadline| tokio::time::Instant::now() < deadline) {
            match timeout(DEADLINE.saturating_mul(3), check()).await {
                Ok(Ok(Some(found))) => return Ok(found),
                Ok(Ok(None)) => last = None,
                Ok(Err(error)) => last = Some(error),
                Err(_) => last = Some(anyhow!("no answer")),
            }
            sleep(POLL).await;
        }
        Err(last.unwrap_or_else(|| anyhow!("it does not come")))
    };
    asking.await.with_context(|| format!("waited too long for {what}"))
}

/// The number in a header.
fn number(header: &Json) -> Result<u64> {
    let number =
        header.get("number").and_then(Json::as_str).context("the node answers without a block's number")?;
    Ok(u64::from_str_radix(number.trim_start_matches("0x"), 16)?)
}
