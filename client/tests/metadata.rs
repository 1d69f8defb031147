//! The stored metadata, from which the types are generated, is the runtime's, as far as a client needs it. And the stored hash of the
//! metadata, by which hardware wallets know what they sign, is that of the whole of it.
//!
//! After a change of the runtime's version, calls, extensions, events, errors, view functions, stored values or their types:
//! `POQ_BLESS=1 cargo test --release --locked --workspace --test metadata`, before the client's code is changed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests"
)]

use merkleized_metadata::{generate_metadata_digest, ExtraInfo};
use poq_runtime::{
    currency::{DECIMALS, SS58_PREFIX, SYMBOL},
    Runtime, VERSION,
};
use scale_info::TypeDef;
use std::{env, fs, path::Path};
use subxt::{
    ext::{
        codec::{Decode as _, Encode as _},
        frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed},
    },
    Metadata,
};
use subxt_utils_stripmetadata::StripMetadata as _;

/// The pallets that a client talks to.
const PALLETS: [&str; 8] = [
    "Balances",
    "BlockAuthors",
    "Express",
    "ProofOfQuality",
    "Session",
    "Sudo",
    "System",
    "TransactionPayment",
];

/// The first version of metadata with view functions.
const FORMAT: u32 = 16;

/// The version of metadata that RFC-78 hashes.
const HASHED_FORMAT: u32 = 15;

/// The command that a stale file needs.
const BLESS: &str = "POQ_BLESS=1 cargo test --release --locked --workspace --test metadata";

fn metadata_of_version(format: u32) -> RuntimeMetadata {
    let whole = Runtime::metadata_at_version(format).expect("the runtime has metadata of this version");
    RuntimeMetadataPrefixed::decode(&mut &whole[..]).unwrap().1
}

/// The runtime's metadata without the other pallets, runtime APIs, and the docs of pallets as a whole.
fn of_the_runtime() -> Vec<u8> {
    let RuntimeMetadata::V16(mut metadata) = metadata_of_version(FORMAT) else {
        panic!("not of version {FORMAT}")
    };
    let enums = &metadata.outer_enums;
    // They hold a variant, and so the types, of every pallet.
    for id in [enums.call_enum_ty.id, enums.event_enum_ty.id, enums.error_enum_ty.id] {
        if let TypeDef::Variant(outer) = &mut metadata.types.types[id as usize].ty.type_def {
            outer.variants.retain(|variant| PALLETS.contains(&variant.name.as_str()));
        }
    }
    metadata.pallets.iter_mut().for_each(|pallet| pallet.docs.clear());
    metadata.strip_metadata(|pallet| PALLETS.contains(&pallet), |_| false);
    RuntimeMetadataPrefixed::from(metadata).encode()
}

#[test]
fn the_stored_metadata_is_the_runtimes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("metadata.scale");
    let current = of_the_runtime();
    if env::var_os("POQ_BLESS").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let current = Metadata::decode_from(&current).unwrap();
    let stored = Metadata::decode_from(&fs::read(path).unwrap()).unwrap();
    // Names, types and arguments count; docs, indices and the values of constants do not.
    let hash = |metadata: &Metadata, name: &str| metadata.pallet_by_name(name).unwrap().hash();
    let stale: Vec<_> =
        PALLETS.into_iter().filter(|name| hash(&stored, name) != hash(&current, name)).collect();
    assert_eq!(stale, Vec::<&str>::new(), "client/metadata.scale is stale: {BLESS}");
    let extensions = |metadata: &Metadata| -> Vec<String> {
        let all = metadata.extrinsic().transaction_extensions_to_use_for_encoding();
        all.map(|extension| extension.identifier().to_owned()).collect()
    };
    assert_eq!(extensions(&stored), extensions(&current), "client/metadata.scale is stale: {BLESS}");
}

#[test]
fn the_stored_hash_is_that_of_the_runtimes_metadata() {
    let facts = ExtraInfo {
        spec_version: VERSION.spec_version,
        spec_name: VERSION.spec_name.to_string(),
        base58_prefix: SS58_PREFIX,
        decimals: DECIMALS,
        token_symbol: SYMBOL.to_owned(),
    };
    let digest = generate_metadata_digest(&metadata_of_version(HASHED_FORMAT), facts).unwrap();
    let hash = format!("0x{}", hex::encode(digest.hash()));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/metadata-hash");
    if env::var_os("POQ_BLESS").is_some() {
        fs::write(&path, format!("{hash}\n")).unwrap();
    }
    let stored = fs::read_to_string(path).unwrap();
    assert_eq!(stored.trim_end(), hash, "runtime/metadata-hash is stale: {BLESS}, and build again");
}
