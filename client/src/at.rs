//! Questions to the chain at one block: view functions, storage, constants, the registry of errors.
//!
//! Everything is addressed and decoded by the names in the node's metadata, not by the layout that this crate was built with: a chain
//! that has added fields, variants, calls or pallets is read all the same.

use crate::{
    types::{
        chain::{constants, storage, view_functions},
        Budget, DispatchError, ModelView, OperatorView, Parameters, RequestView, Terms,
    },
    Error,
};
use std::future::Future;
use subxt::{
    client::OnlineClientAtBlockImpl,
    config::DefaultExtrinsicParamsBuilder,
    events::Events,
    ext::{
        codec::{Decode, Encode},
        frame_decode::{
            storage::{IntoDecodableValues, IntoEncodableValues},
            view_functions::decode_view_function_response,
        },
        scale_decode::{DecodeAsType, IntoVisitor},
        scale_encode::EncodeAsFields,
    },
    metadata::Metadata,
    storage::PrefixOf,
    tx::{StaticPayload, SubmittableTransaction},
    utils::{AccountId32, YesMaybe},
    view_functions::Payload,
    OnlineClientAtBlock, SubstrateConfig,
};
use subxt_signer::sr25519::Keypair;

/// The main pallet's name in the runtime.
pub const PALLET: &str = "ProofOfQuality";

/// The name of the express lane's pallet in the runtime.
pub const LANE: &str = "Express";

/// Entries asked of a paged view function at a time: the most that it gives.
const PAGE: u32 = 64;

/// Length of a view function's id, in bytes.
const VIEW_FUNCTION_ID_BYTES: usize = 32;

/// A transaction is good for this many blocks.
pub(crate) const MORTALITY: u64 = 64;

/// A signed transaction.
pub(crate) type Signed = SubmittableTransaction<SubstrateConfig, OnlineClientAtBlockImpl<SubstrateConfig>>;

/// The chain at one block.
#[derive(Clone)]
pub struct At(OnlineClientAtBlock<SubstrateConfig>);

impl At {
    pub(crate) fn new(at: OnlineClientAtBlock<SubstrateConfig>) -> Self {
        Self(at)
    }

    /// The block's number.
    pub fn number(&self) -> u64 {
        self.0.block_number()
    }

    /// Version of the runtime at this block.
    pub fn spec_version(&self) -> u32 {
        self.0.spec_version()
    }

    /// The node's metadata at this block.
    pub fn metadata(&self) -> &Metadata {
        self.0.metadata_ref()
    }

    /// The library underneath, for everything outside this crate.
    pub fn library(&self) -> &OnlineClientAtBlock<SubstrateConfig> {
        &self.0
    }

    /// Whether the runtime has a pallet of this name.
    pub fn has_pallet(&self, name: &str) -> bool {
        self.metadata().pallet_by_name(name).is_some()
    }

    /// Answer of a view function.
    ///
    /// # Errors
    /// [`Error::Unreachable`]; [`Error::Undecodable`] if the runtime has no such function, or another one of that name.
    pub async fn view<P: Payload>(&self, question: P) -> Result<P::ReturnType, Error> {
        let functions = self.0.view_functions();
        let plain = functions.encode_args(&question).map_err(Error::of)?;
        let answer = functions.call_raw(Some(&wrap(&plain)?)).await.map_err(Error::of)?;
        decode_answer(&question, &answer, self.metadata())
    }

    /// A stored value that is not in a map; where none is stored, the default.
    ///
    /// # Errors
    /// [`Error::Unreachable`]; [`Error::Undecodable`], also if there is neither a value nor a default.
    pub async fn value<V: DecodeAsType, P: YesMaybe>(
        &self,
        address: subxt::storage::StaticAddress<(), V, P>,
    ) -> Result<V, Error> {
        let value = self.0.storage().fetch(address.unvalidated(), ()).await.map_err(Error::of)?;
        value.decode().map_err(Error::of)
    }

    /// A stored value of a map (`()` is the key of one that is not in a map); `None` if there is none and no default.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn entry<K, V, P>(
        &self,
        address: subxt::storage::StaticAddress<K, V, P>,
        key: K,
    ) -> Result<Option<V>, Error>
    where
        K: IntoEncodableValues + IntoDecodableValues,
        V: DecodeAsType,
        P: YesMaybe,
    {
        let value = self.0.storage().try_fetch(address.unvalidated(), key).await.map_err(Error::of)?;
        value.map(|value| value.decode().map_err(Error::of)).transpose()
    }

    /// The first entry of a map, in the order of the storage, whose value is `wanted`.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn find<K, V, P>(
        &self,
        address: subxt::storage::StaticAddress<K, V, P>,
        wanted: impl Fn(&V) -> bool,
    ) -> Result<Option<(K, V)>, Error>
    where
        K: IntoEncodableValues + IntoDecodableValues,
        V: DecodeAsType,
        P: YesMaybe,
        (): PrefixOf<K>,
    {
        Ok(self.scan(address, wanted, 1).await?.pop())
    }

    /// All entries of a map whose value is `wanted`, in the order of the storage. Reads the whole map.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn all<K, V, P>(
        &self,
        address: subxt::storage::StaticAddress<K, V, P>,
        wanted: impl Fn(&V) -> bool,
    ) -> Result<Vec<(K, V)>, Error>
    where
        K: IntoEncodableValues + IntoDecodableValues,
        V: DecodeAsType,
        P: YesMaybe,
        (): PrefixOf<K>,
    {
        self.scan(address, wanted, usize::MAX).await
    }

    /// At most `most` entries of a map whose value is `wanted`.
    async fn scan<K, V, P>(
        &self,
        address: subxt::storage::StaticAddress<K, V, P>,
        wanted: impl Fn(&V) -> bool,
        most: usize,
    ) -> Result<Vec<(K, V)>, Error>
    where
        K: IntoEncodableValues + IntoDecodableValues,
        V: DecodeAsType,
        P: YesMaybe,
        (): PrefixOf<K>,
    {
        let mut entries = self.0.storage().iter(address.unvalidated(), ()).await.map_err(Error::of)?;
        let mut found = Vec::new();
        while found.len() < most {
            let Some(entry) = entries.next().await else { break };
            let entry = entry.map_err(Error::of)?;
            let value = entry.value().decode().map_err(Error::of)?;
            if wanted(&value) {
                found.push((entry.key().map_err(Error::of)?.decode().map_err(Error::of)?, value));
            }
        }
        Ok(found)
    }

    /// A constant of the runtime.
    ///
    /// # Errors
    /// [`Error::Undecodable`] if the runtime has none of that name.
    pub fn constant<C: DecodeAsType>(&self, address: subxt::constants::StaticAddress<C>) -> Result<C, Error> {
        self.0.constants().entry(address.unvalidated()).map_err(Error::of)
    }

    /// The events of this block.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn events(&self) -> Result<Events<SubstrateConfig>, Error> {
        self.0.events().fetch().await.map_err(Error::of)
    }

    /// A request as it stands in this block; `None` if it was never made, or is forgotten.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn request(&self, id: u64) -> Result<Option<RequestView>, Error> {
        self.view(view_functions().proof_of_quality().request_info(id)).await
    }

    /// An operator as it stands in this block; `None` if the account is none.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn operator(&self, account: AccountId32) -> Result<Option<OperatorView>, Error> {
        self.view(view_functions().proof_of_quality().operator_info(account)).await
    }

    /// The accounts of all operators, in the order of the storage.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn operators(&self) -> Result<Vec<AccountId32>, Error> {
        let page = |after| self.view(view_functions().proof_of_quality().operators(after, PAGE));
        walk(PAGE as usize, page, |account: &AccountId32| *account).await
    }

    /// The models of the registry, by name.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn models(&self) -> Result<Vec<ModelView>, Error> {
        let page = |after| self.view(view_functions().proof_of_quality().models(after, PAGE));
        let mut models = walk(PAGE as usize, page, |model: &ModelView| model.id).await?;
        models.sort_by(|a, b| a.name.cmp(&b.name).then(a.id.cmp(&b.id)));
        Ok(models)
    }

    /// The economic parameters in force.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn parameters(&self) -> Result<Parameters, Error> {
        self.value(storage().proof_of_quality().economic_parameters()).await
    }

    /// Number of requests that are not closed.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn open_requests(&self) -> Result<u32, Error> {
        self.value(storage().proof_of_quality().open_requests()).await
    }

    /// Budget with which a request of these terms goes before those that wait; [`Terms::budget`], [`Terms::min_quality`] and
    /// [`Terms::audit`] do not matter.
    ///
    /// # Errors
    /// [`Error::Refused`] as the request would be for the same models and numbers; [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn estimate_budget(&self, terms: &Terms) -> Result<Budget, Error> {
        let Terms { generators, evaluator, sampling, responders, committee, .. } = terms;
        let question = view_functions().proof_of_quality().estimate_budget(
            generators.clone(),
            *evaluator,
            sampling.max_tokens,
            *responders,
            *committee,
        );
        self.view(question).await?.map_err(|error| self.explain(&error))
    }

    /// Whether the invariants between the pallet's stored values hold: `Err` names the one that is broken, or says that there is too much
    /// state to check in one call.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn check_invariants(&self) -> Result<Result<(), String>, Error> {
        self.view(view_functions().proof_of_quality().check_invariants()).await
    }

    /// Reason for which the chain would refuse these parameters, as `Err`.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn check_parameters(&self, parameters: Parameters) -> Result<Result<(), String>, Error> {
        self.view(view_functions().proof_of_quality().check_parameters(parameters)).await
    }

    /// Longest reference and decoy of an answer key, in bytes, and most decoys.
    ///
    /// # Errors
    /// [`Error::Undecodable`].
    pub fn answer_key_limits(&self) -> Result<(u32, u32), Error> {
        let constants = constants().proof_of_quality();
        Ok((self.constant(constants.max_reference_length())?, self.constant(constants.max_decoys())?))
    }

    /// The main pallet's error `name`, found by the caller rather than by the chain; `detail` goes before the docs.
    pub fn refuse(&self, name: &str, detail: &str) -> Error {
        self.refuse_of(PALLET, name, detail)
    }

    /// The same of another pallet.
    pub fn refuse_of(&self, pallet: &str, name: &str, detail: &str) -> Error {
        let pallet = self.metadata().pallet_by_name(pallet);
        let variants = pallet.and_then(|pallet| pallet.error_variants()).unwrap_or_default();
        let docs = variants.iter().find(|variant| variant.name == name).map(|variant| variant.docs.join(" "));
        Error::refused(name, format!("{detail} {}", docs.unwrap_or_default()))
    }

    /// An error that the runtime returned as a value, by the name and the docs of the pallet's error.
    pub fn explain(&self, error: &DispatchError) -> Error {
        let variant = match error {
            DispatchError::Module(module) => module.error.first().and_then(|index| {
                self.metadata().pallet_by_error_index(module.index)?.error_variant_by_index(*index)
            }),
            _ => None,
        };
        match variant {
            Some(variant) => Error::refused(&variant.name, variant.docs.join(" ")),
            None => Error::refused("Refused", format!("The chain says {error:?}.")),
        }
    }

    /// Number of the account's transactions in this block and before: the next nonce, if none waits in the pool.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Undecodable`].
    pub async fn nonce(&self, account: &AccountId32) -> Result<u64, Error> {
        self.0.transactions().account_nonce(account).await.map_err(Error::of)
    }

    /// A transaction with a nonce of the caller's choice that is good for ever, encoded and not sent;
    /// [`Client::send`](crate::Client::send) sends it.
    ///
    /// # Errors
    /// [`Error::Undecodable`] if the runtime at this block has no such call.
    pub fn sign<C: EncodeAsFields>(
        &self,
        call: StaticPayload<C>,
        signer: &Keypair,
        nonce: u64,
    ) -> Result<Vec<u8>, Error> {
        let params = DefaultExtrinsicParamsBuilder::new().nonce(nonce).immortal().build();
        let call = call.unvalidated();
        let mut signable = self.0.transactions().create_signable_offline(&call, params).map_err(Error::of)?;
        Ok(signable.sign(signer).map_err(Error::of)?.into_encoded())
    }

    /// Fee that an encoded transaction would cost in this block, in units.
    ///
    /// # Errors
    /// [`Error::Unreachable`]; [`Error::Undecodable`] if the runtime does not say.
    pub async fn fee(&self, transaction: &[u8]) -> Result<u128, Error> {
        let transaction = self.0.transactions().from_bytes(transaction.to_vec());
        transaction.partial_fee_estimate().await.map_err(Error::of)
    }

    /// A transaction that is good for 64 blocks from this one on.
    pub(crate) async fn sign_mortal<C: EncodeAsFields>(
        &self,
        call: &StaticPayload<C>,
        signer: &Keypair,
        nonce: u64,
    ) -> Result<Signed, Error> {
        let params = DefaultExtrinsicParamsBuilder::new().nonce(nonce).mortal(MORTALITY).build();
        self.0.transactions().create_signed(call, signer, params).await.map_err(Error::of)
    }
}

/// A view function's id and arguments as the runtime API takes them: the arguments as *bytes*, which the library leaves out.
fn wrap(plain: &[u8]) -> Result<Vec<u8>, Error> {
    let (id, input) = plain
        .split_at_checked(VIEW_FUNCTION_ID_BYTES)
        .ok_or_else(|| Error::Undecodable("the call of a view function is too short".into()))?;
    let mut call = id.to_vec();
    input.encode_to(&mut call);
    Ok(call)
}

/// The answer of a view function. The runtime API gives it as *bytes* in a result, which the library leaves out.
fn decode_answer<P: Payload>(
    question: &P,
    answer: &[u8],
    metadata: &Metadata,
) -> Result<P::ReturnType, Error> {
    let name = question.function_name();
    let answer = Result::<Vec<u8>, u8>::decode(&mut &*answer).map_err(Error::of)?;
    let value = answer.map_err(|_| {
        Error::Undecodable(format!("the node has no view function `{name}`: is it of another version?"))
    })?;
    decode_view_function_response(
        question.pallet_name(),
        name,
        &mut &value[..],
        metadata,
        metadata.types(),
        P::ReturnType::into_visitor(),
    )
    .map_err(Error::of)
}

/// All entries of a paged view function. A page begins after the `key` of an entry; one of less than `size` entries is the last.
async fn walk<Key, Entry, Page: Future<Output = Result<Vec<Entry>, Error>>>(
    size: usize,
    // No `AsyncFn`: the compiler cannot tell whether its futures can be sent to other threads.
    page: impl Fn(Option<Key>) -> Page,
    key: impl Fn(&Entry) -> Key,
) -> Result<Vec<Entry>, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{MemberView, Phase, ResponseView, Sampling, Work};
    use scale_info::TypeDef;
    use std::cell::Cell;
    use subxt::ext::{
        scale_encode::EncodeAsType as _,
        scale_value::{scale, Composite, Value, ValueDef},
    };

    fn stored() -> Metadata {
        Metadata::decode_from(include_bytes!("../metadata.scale")).unwrap()
    }

    /// The metadata of a chain with a field more in all views, and a variant more, by other numbers, in the phases.
    fn newer() -> Metadata {
        let mut metadata = stored();
        for known in &mut metadata.types_mut().types {
            let name = known.ty.path.ident().unwrap_or_default();
            match &mut known.ty.type_def {
                TypeDef::Composite(view) if name.ends_with("View") => {
                    let mut added = view.fields[0].clone();
                    added.name = Some("added".into());
                    view.fields.insert(1, added);
                }
                TypeDef::Variant(phase) if name == "Phase" => {
                    let mut added = phase.variants[0].clone();
                    added.name = "Pondering".into();
                    phase.variants.iter_mut().for_each(|variant| variant.index += 1);
                    phase.variants.insert(0, added);
                }
                _ => {}
            }
        }
        metadata
    }

    /// Gives every record the field that [`newer`] has.
    fn add(value: &mut Value, added: &Value) {
        let fields = match &mut value.value {
            ValueDef::Composite(fields) => fields,
            ValueDef::Variant(variant) => &mut variant.values,
            _ => return,
        };
        match fields {
            Composite::Unnamed(fields) => fields.iter_mut().for_each(|field| add(field, added)),
            Composite::Named(fields) => {
                fields.iter_mut().for_each(|(_, field)| add(field, added));
                // The added field is of the type of the first: an account in some views, a number in others.
                let added = if fields[0].0 == "operator" { fields[0].1.clone() } else { added.clone() };
                fields.push(("added".into(), added));
            }
        }
    }

    fn request() -> RequestView {
        let response = ResponseView {
            operator: AccountId32([1; 32]),
            model: [2; 32],
            work: Work::Revealed,
            output: b"Lima.".to_vec(),
            latency: 100_000,
            quality: Some(900_000),
            paid: 40,
        };
        let member = MemberView {
            operator: AccountId32([3; 32]),
            weight: 1,
            work: Work::Committed([4; 32]),
            scores: vec![900_000],
            latency: 1,
            agreement: None,
            paid: 20,
        };
        RequestView {
            id: 7,
            requester: AccountId32([4; 32]),
            prompt: b"?".to_vec(),
            generators: vec![[2; 32]],
            evaluator: [5; 32],
            sampling: Sampling { max_tokens: 1, temperature_milli: 2, seed: 3 },
            responders: 2,
            committee_size: 1,
            min_quality: 250_000,
            budget: Budget { inference: 100, scoring: 50, fee: 3 },
            bonus: 8,
            tries: 1,
            created: 1,
            phase: Phase::Settled { at: 9, best: 0 },
            since: 9,
            round: 0,
            audited: true,
            responses: vec![response],
            committees: vec![vec![member]],
        }
    }

    #[test]
    fn a_chain_that_has_added_fields_and_variants_is_read() {
        let (old, new) = (stored(), newer());
        let function = old.pallet_by_name(PALLET).unwrap().view_function_by_name("request_info").unwrap();
        let type_id = function.output_ty();
        let known = Some(request());
        let plain = known.encode_as_type(type_id, old.types()).unwrap();
        let mut value =
            scale::decode_as_type(&mut &plain[..], type_id, old.types()).unwrap().remove_context();
        add(&mut value, &Value::u128(77));
        let mut more = Vec::new();
        scale::encode_as_type(&value, type_id, new.types(), &mut more).unwrap();
        assert!(more.len() > plain.len(), "the newer chain says more");

        let question = view_functions().proof_of_quality().request_info(7);
        let answer = |bytes: &[u8]| Ok::<_, u8>(bytes.to_vec()).encode();
        assert_eq!(decode_answer(&question, &answer(&more), &new), Ok(known.clone()));
        assert_eq!(decode_answer(&question, &answer(&plain), &old), Ok(known));
        let mixed = decode_answer(&question, &answer(&more), &old);
        assert!(!matches!(mixed, Ok(Some(read)) if read == request()), "the layout does differ");
    }

    #[test]
    fn scores_belong_to_the_responses_that_were_shown() {
        let mut two = request();
        two.responses.insert(0, ResponseView { work: Work::NotRevealed, ..two.responses[0].clone() });
        two.committees.insert(0, vec![]);
        two.phase = Phase::Settled { at: 9, best: 1 };
        assert!(two.scores_of(0).is_empty() && two.scores_of(2).is_empty());
        let scores: Vec<_> = two.scores_of(1).into_iter().map(|(_, score)| score).collect();
        assert_eq!((scores, two.quality(), two.paid()), (vec![900_000], Some(900_000), 100));
        assert_eq!(RequestView { phase: Phase::Selecting, ..two }.best(), None);
    }

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
        let gone = || Error::Unreachable("gone".into());
        let page = async |after: Option<u32>| match after {
            None => Ok(vec![0, 1]),
            Some(_) => Err(gone()),
        };
        assert_eq!(walk(2, page, |entry| *entry).await, Err(gone()));
    }
}
