//! The stored metadata, from which the types are generated, is the runtime's, as far as a client needs it.
//!
//! After a change of the runtime's calls, events, errors, view functions, stored values or their types:
//! `POQ_BLESS=1 cargo test --release --locked --workspace --test metadata`, before the client's code is changed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests"
)]

use poq_runtime::Runtime;
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
const PALLETS: [&str; 7] =
    ["Balances", "BlockAuthors", "ProofOfQuality", "Session", "Sudo", "System", "TransactionPayment"];

/// The first version of metadata with view functions.
const VERSION: u32 = 16;

/// The runtime's metadata without the other pallets, runtime APIs, and the docs of pallets as a whole.
fn of_the_runtime() -> Vec<u8> {
    let whole = Runtime::metadata_at_version(VERSION).expect("the runtime has metadata of this version");
    let RuntimeMetadataPrefixed(_, RuntimeMetadata::V16(mut metadata)) =
        RuntimeMetadataPrefixed::decode(&mut &whole[..]).unwrap()
    else {
        panic!("not of version {VERSION}")
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
    assert_eq!(
        stale,
        Vec::<&str>::new(),
        "client/metadata.scale is stale: POQ_BLESS=1 cargo test --release --locked --workspace --test metadata"
    );
}
