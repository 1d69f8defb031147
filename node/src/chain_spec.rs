//! The chains that come with the node.

use crate::types::Backend;
use poq_runtime::{
    currency::{DECIMALS, SS58_PREFIX, SYMBOL},
    opaque::Block,
    Hash, WASM_BINARY,
};
use sc_chain_spec::ChainSpecExtension;
use sc_client_api::{Backend as _, BlockImportOperation as _};
use sc_service::{construct_genesis_block, ChainType, GenericChainSpec, Properties};
use sc_sync_state_rpc::LightSyncStateExtension;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sp_genesis_builder::{DEV_RUNTIME_PRESET, LOCAL_TESTNET_RUNTIME_PRESET};
use sp_runtime::{traits::Block as _, StateVersion};
use std::path::PathBuf;

/// A chain specification. The runtime makes the genesis.
pub type ChainSpec = GenericChainSpec<Extensions>;

/// What a specification can hold beside the usual.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ChainSpecExtension)]
#[serde(rename_all = "camelCase")]
pub struct Extensions {
    /// A finalized block from which light clients begin, with its authorities: the answer of the RPC method `sync_state_genSyncSpec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub light_sync_state: LightSyncStateExtension,
}

/// The chain named `id`: `dev`, `local` (also for an empty `id`), or the path of a JSON file.
pub fn load(id: &str) -> Result<ChainSpec, String> {
    match id {
        "dev" => {
            built_in("Proof of Quality development", "poq_dev", ChainType::Development, DEV_RUNTIME_PRESET)
        }
        "" | "local" => {
            built_in("Proof of Quality local", "poq_local", ChainType::Local, LOCAL_TESTNET_RUNTIME_PRESET)
        }
        path => ChainSpec::from_json_file(PathBuf::from(path)),
    }
}

/// Whether the specification is a file, and not one of those that come with the node.
pub fn is_a_file(shared: &sc_cli::SharedParams) -> bool {
    !shared.dev && shared.chain.as_deref().is_some_and(|chain| !matches!(chain, "dev" | "local" | ""))
}

/// Errors: the data have another genesis than the specification, as when two chains have one id.
///
/// Not for the chains that come with the node: their genesis changes with each release, and an upgraded node keeps its chain.
pub fn check_genesis(spec: &dyn sc_service::ChainSpec, backend: &Backend, kept: Hash) -> Result<(), String> {
    let storage = spec.as_storage_builder().build_storage()?;
    let version = StateVersion::V1;
    let root = backend
        .begin_operation()
        .and_then(|mut operation| operation.set_genesis_state(storage, false, version))
        .map_err(|error| error.to_string())?;
    let made = construct_genesis_block::<Block>(root, version).header().hash();
    if made == kept {
        return Ok(());
    }
    Err(format!(
        "the data are of another chain: their genesis is {kept:?}, and that of \"{}\" is {made:?}. Give another --base-path, \
         or the specification that the data were made with",
        spec.name(),
    ))
}

fn built_in(name: &str, id: &str, kind: ChainType, preset: &str) -> Result<ChainSpec, String> {
    let wasm = WASM_BINARY.ok_or(
        "this node was built without a runtime (SKIP_WASM_BUILD): build it again, or give a chain specification with --chain",
    )?;
    Ok(ChainSpec::builder(wasm, Extensions::default())
        .with_name(name)
        .with_id(id)
        .with_chain_type(kind)
        .with_protocol_id("poq")
        .with_properties(token())
        .with_genesis_config_preset_name(preset)
        .build())
}

fn token() -> Properties {
    let mut properties = Properties::new();
    properties.insert("tokenSymbol".into(), json!(SYMBOL));
    properties.insert("tokenDecimals".into(), json!(DECIMALS));
    properties.insert("ss58Format".into(), json!(SS58_PREFIX));
    properties
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_runtime::BuildStorage;

    #[test]
    fn the_built_in_chains_build() {
        for id in ["dev", "local", ""] {
            let storage = load(id).unwrap().build_storage().unwrap();
            assert!(storage.top.contains_key(sp_core::storage::well_known_keys::CODE), "{id}");
        }
    }

    #[test]
    fn a_missing_file_is_an_error() {
        assert!(load("no/such/file.json").is_err());
    }
}
