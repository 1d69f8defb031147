//! A hardware wallet signs for the chain (RFC-78). It knows nothing of the chain: it decodes a transaction by types that come with a proof,
//! shows it, and signs only if the metadata's hash, which the proof leads to, is under the signature. The chain compares that hash with its
//! own.

use crate::common::{amount, wait_for, Node};
use merkleized_metadata::{
    generate_proof_for_extrinsic_parts,
    types::{ExtrinsicMetadata, Field, Hash, MetadataDigest, Type, TypeDef, TypeRef},
    FrameMetadataPrepared, Proof, SignedExtrinsicData,
};
use poq_client::{
    keypair,
    types::chain::{storage, tx},
    At, Client, Error,
};
use subxt::ext::{
    codec::{Compact, Decode, Encode},
    frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed},
};
use subxt_signer::sr25519::Keypair;

/// The hash in the sources of the runtime, from which the node was built.
const HASH: &str = include_str!("../../../runtime/metadata-hash");

const AMOUNT: u128 = 3_000_000_000_000;

/// A format-4 extrinsic with a signature.
const SIGNED: u8 = 0x84;

/// Longer payloads are hashed before they are signed.
const MOST_BYTES: usize = 256;

// ---------------------------------------------------------------- the program that asks for a signature

/// What goes to the device: a transaction without its signature, and the types that it takes to read it.
#[derive(Clone)]
struct Offer {
    call: Vec<u8>,
    /// The part of the extensions that is in the transaction.
    explicit: Vec<u8>,
    /// The part that is under the signature only.
    implicit: Vec<u8>,
    proof: Proof,
    extrinsic: ExtrinsicMetadata,
    spec_version: u32,
}

impl Offer {
    /// The bytes that are signed.
    fn payload(&self) -> Vec<u8> {
        let payload = [&self.call[..], &self.explicit, &self.implicit].concat();
        assert!(payload.len() <= MOST_BYTES, "else their hash is signed");
        payload
    }

    /// Gives a variant in the proof another name.
    fn rename(&mut self, from: &str, to: &str) {
        let mut types = self.proof.leaves.iter_mut().map(|leaf| &mut leaf.type_def);
        let renamed = types.any(|of| match of {
            TypeDef::Enumeration(variant) if variant.name == from => {
                variant.name = to.into();
                true
            }
            _ => false,
        });
        assert!(renamed, "the proof has no {from}");
    }
}

/// Metadata of the version that RFC-78 hashes, of the node's Wasm.
async fn metadata(client: &Client) -> RuntimeMetadata {
    let version = 15_u32.encode();
    let answer = client.rpc().state_call("Metadata_metadata_at_version", Some(&version), None).await.unwrap();
    let whole = Option::<Vec<u8>>::decode(&mut &answer[..]).unwrap().expect("there is this version");
    RuntimeMetadataPrefixed::decode(&mut &whole[..]).unwrap().1
}

/// Both parts of the extensions, in the chain's order, with `hash` under the signature if there is one.
fn extensions(order: &ExtrinsicMetadata, at: &At, nonce: u32, hash: Option<Hash>) -> [Vec<u8>; 2] {
    let genesis = at.library().genesis_hash().expect("a node names it").0;
    let none = Vec::new;
    let parts = order.signed_extensions.iter().map(|extension| match extension.identifier.as_str() {
        "CheckSpecVersion" => (none(), at.spec_version().encode()),
        "CheckTxVersion" => (none(), at.library().transaction_version().encode()),
        "CheckGenesis" => (none(), genesis.encode()),
        // Valid for ever, so since the genesis.
        "CheckMortality" => (vec![0], genesis.encode()),
        "CheckNonce" => (Compact(nonce).encode(), none()),
        "ChargeTransactionPayment" => (Compact(0_u128).encode(), none()),
        "CheckMetadataHash" => (vec![hash.is_some().into()], hash.encode()),
        "CheckNonZeroSender" | "CheckWeight" | "WeightReclaim" => (none(), none()),
        other => panic!("the chain has the extension {other}"),
    });
    let (explicit, implicit): (Vec<_>, Vec<_>) = parts.unzip();
    [explicit.concat(), implicit.concat()]
}

/// Bob gives `to` an amount, with `hash` under the signature.
async fn offer(client: &Client, to: &Keypair, hash: Option<Hash>) -> Offer {
    let metadata = metadata(client).await;
    let at = client.best().await.unwrap();
    let types = FrameMetadataPrepared::prepare(&metadata).unwrap();
    let extrinsic = types.as_type_information().unwrap().extrinsic_metadata;
    let bob = keypair("//Bob").unwrap().public_key().to_account_id();
    let account = at.entry(storage().system().account(), (bob,)).await.unwrap().expect("exists");
    let [explicit, implicit] = extensions(&extrinsic, &at, account.nonce, hash);
    let to = to.public_key().to_account_id();
    let call = tx().balances().transfer_keep_alive(to.into(), AMOUNT);
    let call = at.library().transactions().call_data(&call).unwrap();
    let parts = SignedExtrinsicData { included_in_extrinsic: &explicit, included_in_signed_data: &implicit };
    let proof = generate_proof_for_extrinsic_parts(&call, Some(parts), &metadata).unwrap();
    let spec_version = at.spec_version();
    Offer { call, explicit, implicit, proof, extrinsic, spec_version }
}

/// The transaction of an offer, with a signature of Bob.
fn transaction(offer: &Offer, signature: [u8; 64]) -> Vec<u8> {
    let bob = keypair("//Bob").unwrap().public_key().0;
    // An account by its id, a signature of sr25519.
    let bytes = [&[SIGNED, 0][..], &bob, &[1], &signature, &offer.explicit, &offer.call].concat();
    bytes.encode()
}

// ---------------------------------------------------------------- the device

/// Bob's key, on a device.
struct Device(Keypair);

impl Device {
    /// What the device shows of an offer, and its signature.
    ///
    /// # Errors
    /// The reason why it does not sign.
    fn sign(&self, offer: &Offer) -> Result<(String, [u8; 64]), String> {
        let hash = self.hash(offer)?;
        let payload = offer.payload();
        let mut reader = Reader { bytes: &payload, types: &offer.proof.leaves };
        let shown = reader.value(offer.extrinsic.call_ty)?;
        let extensions = &offer.extrinsic.signed_extensions;
        for extension in extensions {
            reader.value(extension.included_in_extrinsic)?;
        }
        let mut signed = None;
        for extension in extensions {
            let value = reader.value(extension.included_in_signed_data)?;
            if extension.identifier == "CheckMetadataHash" {
                signed = Some(value);
            }
        }
        if !reader.bytes.is_empty() {
            return Err(format!("{} bytes are left over", reader.bytes.len()));
        }
        let expected = format!("Some(0x{})", hex::encode(hash));
        if signed.as_ref() != Some(&expected) {
            return Err(format!("under the signature is {signed:?}, and the proof says {expected}"));
        }
        Ok((shown, self.0.sign(&payload).0))
    }

    /// The metadata's hash, by the proof.
    fn hash(&self, offer: &Offer) -> Result<Hash, String> {
        let mut nodes = offer.proof.nodes.iter();
        let types_tree_root = root(0, &offer.proof, &mut nodes)?;
        if nodes.next().is_some() {
            return Err("the proof has more than belongs to it".into());
        }
        // What the device shows of amounts and addresses is in the hash too.
        let digest = MetadataDigest::V1 {
            types_tree_root,
            extrinsic_metadata_hash: offer.extrinsic.hash(),
            spec_version: offer.spec_version,
            spec_name: "proof-of-quality".into(),
            base58_prefix: 42,
            decimals: 12,
            token_symbol: "POQ".into(),
        };
        Ok(digest.hash())
    }
}

/// Hash of node `index` of the tree, whose leaves are types. The two below node `i` are `2i + 1` and `2i + 2`.
fn root<'a>(index: u32, proof: &Proof, nodes: &mut impl Iterator<Item = &'a Hash>) -> Result<Hash, String> {
    if let Some(leaf) = proof.leaf_indices.iter().position(|leaf| *leaf == index) {
        return Ok(proof.leaves[leaf].hash());
    }
    let above = |mut leaf: u32| {
        while leaf > index {
            leaf = (leaf - 1) / 2;
        }
        leaf == index
    };
    if !proof.leaf_indices.iter().any(|leaf| above(*leaf)) {
        return nodes.next().copied().ok_or_else(|| "the proof lacks a node".into());
    }
    let left = root(2 * index + 1, proof, nodes)?;
    let right = root(2 * index + 2, proof, nodes)?;
    Ok(blake3::hash(&[left, right].concat()).into())
}

/// Bytes, and the only types that are known.
struct Reader<'a> {
    bytes: &'a [u8],
    types: &'a [Type],
}

impl Reader<'_> {
    fn read<T: Decode>(&mut self) -> Result<T, String> {
        T::decode(&mut self.bytes).map_err(|error| error.to_string())
    }

    /// The next value, as text.
    fn value(&mut self, of: TypeRef) -> Result<String, String> {
        Ok(match of {
            TypeRef::Void => String::new(),
            TypeRef::U8 => self.read::<u8>()?.to_string(),
            TypeRef::U32 => self.read::<u32>()?.to_string(),
            TypeRef::U64 => self.read::<u64>()?.to_string(),
            TypeRef::U128 => self.read::<u128>()?.to_string(),
            TypeRef::CompactU32 | TypeRef::CompactU64 | TypeRef::CompactU128 => {
                self.read::<Compact<u128>>()?.0.to_string()
            }
            TypeRef::ById(id) => self.described(id.0)?,
            other => return Err(format!("this device cannot read {other:?}")),
        })
    }

    /// The next value, of a type that the proof describes.
    fn described(&mut self, id: u32) -> Result<String, String> {
        let mut found = self.types.iter().filter(|known| known.type_id.0 == id);
        let first = found.next().ok_or_else(|| format!("the proof has no type {id}"))?;
        match &first.type_def {
            TypeDef::Composite(fields) => self.fields(fields),
            TypeDef::Tuple(parts) => {
                let parts = parts.iter().map(|part| self.value(*part));
                Ok(parts.collect::<Result<Vec<_>, _>>()?.join(", "))
            }
            TypeDef::Array(array) if array.type_param == TypeRef::U8 => {
                let bytes = self.bytes.split_off(..array.len as usize).ok_or("too few bytes")?;
                Ok(format!("0x{}", hex::encode(bytes)))
            }
            TypeDef::Enumeration(_) => {
                let index = self.read::<u8>()?;
                let variants = self.types.iter().filter(|known| known.type_id.0 == id);
                let mut variants = variants.filter_map(|known| known.type_def.as_enumeration());
                let variant = variants.find(|variant| variant.index.0 == u32::from(index));
                let variant = variant.ok_or_else(|| format!("the proof has no variant {index} of {id}"))?;
                Ok(format!("{}({})", variant.name, self.fields(&variant.fields)?))
            }
            other => Err(format!("this device cannot read {other:?}")),
        }
    }

    fn fields(&mut self, fields: &[Field]) -> Result<String, String> {
        let named = fields.iter().map(|field| {
            let value = self.value(field.ty)?;
            Ok(field.name.as_ref().map_or(value.clone(), |name| format!("{name}: {value}")))
        });
        Ok(named.collect::<Result<Vec<_>, String>>()?.join(", "))
    }
}

// ---------------------------------------------------------------- the tests

/// The node's reason for which it does not take a transaction.
async fn refusal(client: &Client, transaction: &[u8]) -> String {
    match client.send(transaction).await {
        Err(Error::Refused { docs, .. }) => docs,
        other => panic!("it is refused, and not {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hardware_wallet_signs_what_it_can_read_and_the_chain_takes_nothing_else() {
    let node = Node::start_with(&["--engine", "off"]);
    let client = node.client().await;
    let device = Device(keypair("//Bob").unwrap());
    let to = keypair("//Somebody new").unwrap();
    let own: Hash = hex::decode(HASH.trim_end().trim_start_matches("0x")).unwrap().try_into().unwrap();

    let honest = offer(&client, &to, Some(own)).await;
    assert_eq!(device.hash(&honest).unwrap(), own, "the node's metadata have the hash of the sources");
    let (shown, signature) = device.sign(&honest).unwrap();
    let account = hex::encode(to.public_key().0);
    assert_eq!(shown, format!("Balances(transfer_keep_alive(dest: Id(0x{account}), value: {AMOUNT}))"));

    // A program that shows another transaction than it sends: the device finds another hash under the signature.
    let mut lying = honest.clone();
    lying.rename("transfer_keep_alive", "remark");
    let reason = device.sign(&lying).unwrap_err();
    assert!(reason.starts_with("under the signature is "), "{reason}");

    // It puts that hash under the signature: the device signs, and the chain has another hash.
    let wrong = device.hash(&lying).unwrap();
    assert_ne!(wrong, own);
    let lying = Offer { proof: lying.proof, ..offer(&client, &to, Some(wrong)).await };
    let (shown, signature_of_lie) = device.sign(&lying).unwrap();
    assert!(shown.starts_with("Balances(remark("), "{shown}");
    let reason = refusal(&client, &transaction(&lying, signature_of_lie)).await;
    assert!(reason.contains("bad signature"), "{reason}");

    // Nobody takes the hash away from under a signature, or says that there is one.
    let without = offer(&client, &to, None).await;
    let unhashed = device.0.sign(&without.payload()).0;
    let reason = device.sign(&without).unwrap_err();
    assert!(reason.contains("Some(\"None()\")"), "{reason}");
    let reason = refusal(&client, &transaction(&without, signature)).await;
    assert!(reason.contains("bad signature"), "{reason}");
    let reason = refusal(&client, &transaction(&honest, unhashed)).await;
    assert!(reason.contains("bad signature"), "{reason}");

    client.send(&transaction(&honest, signature)).await.expect("the chain knows its metadata's hash");
    let has = |expected| {
        let balance = node.json(&["balance", &to.public_key().to_account_id().to_string()]);
        (amount(&balance["total"]) == expected).then_some(())
    };
    wait_for("the transfer", || has(AMOUNT));
    // Without a device, no hash is needed.
    let plain = offer(&client, &to, None).await;
    client.send(&transaction(&plain, device.0.sign(&plain.payload()).0)).await.expect("is valid");
    wait_for("the second transfer", || has(2 * AMOUNT));
    node.assert_invariants();
}
