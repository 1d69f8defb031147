//! The chains that come with the runtime, as patches to its genesis configuration.

use crate::{
    currency::POQ, demo, AccountId, BabeConfig, Balance, BalancesConfig, BlockAuthorsConfig,
    EpochConfiguration, RuntimeGenesisConfig, SessionConfig, SessionKeys, SudoConfig,
    TechnicalCommitteeConfig,
};
use alloc::{vec, vec::Vec};
use frame_support::build_struct_json_patch;
use serde_json::Value;
use sp_consensus_grandpa::AuthorityId as GrandpaId;
use sp_core::crypto::UncheckedFrom;
use sp_genesis_builder::{PresetId, DEV_RUNTIME_PRESET, LOCAL_TESTNET_RUNTIME_PRESET};
use sp_keyring::{Ed25519Keyring, Sr25519Keyring};

/// Balance of each well-known account and each demo operator at genesis.
const ENDOWMENT: Balance = 1_000_000 * POQ;

/// One author, Alice, who is also sudo: `poq-node --dev`.
fn development() -> Option<Value> {
    genesis(&[(Sr25519Keyring::Alice, Ed25519Keyring::Alice)])
}

/// Four authors, Alice to Dave: a network on one machine or on a few.
fn local_testnet() -> Option<Value> {
    genesis(&[
        (Sr25519Keyring::Alice, Ed25519Keyring::Alice),
        (Sr25519Keyring::Bob, Ed25519Keyring::Bob),
        (Sr25519Keyring::Charlie, Ed25519Keyring::Charlie),
        (Sr25519Keyring::Dave, Ed25519Keyring::Dave),
    ])
}

fn genesis(authors: &[(Sr25519Keyring, Ed25519Keyring)]) -> Option<Value> {
    let proof_of_quality = demo::genesis()?;
    let express = demo::lane()?;
    Some(build_struct_json_patch!(RuntimeGenesisConfig {
        babe: BabeConfig { epoch_config: EpochConfiguration::GENESIS },
        block_authors: BlockAuthorsConfig {
            authors: authors.iter().map(|(account, _)| account.to_account_id()).collect(),
        },
        session: SessionConfig { keys: authors.iter().map(session_keys).collect() },
        balances: BalancesConfig {
            balances: endowed().into_iter().map(|account| (account, ENDOWMENT)).collect(),
        },
        // The authors, besides sudo: three of four on `local` may do what sudo may, and remove it.
        technical_committee: TechnicalCommitteeConfig {
            members: authors.iter().map(|(account, _)| account.to_account_id()).collect(),
        },
        sudo: SudoConfig { key: Some(Sr25519Keyring::Alice.to_account_id()) },
        proof_of_quality,
        express,
    }))
}

/// The keys of an author at genesis: BABE's is that of its account.
fn session_keys(
    (account, grandpa): &(Sr25519Keyring, Ed25519Keyring),
) -> (AccountId, AccountId, SessionKeys) {
    let babe = UncheckedFrom::unchecked_from(account.to_raw_public());
    let keys = SessionKeys { babe, grandpa: GrandpaId::from(grandpa.public()) };
    (account.to_account_id(), account.to_account_id(), keys)
}

fn endowed() -> Vec<AccountId> {
    let well_known = Sr25519Keyring::iter().map(Sr25519Keyring::to_account_id);
    well_known.chain(demo::OPERATORS.iter().map(demo::Operator::account_id)).collect()
}

/// The preset called `id`, as JSON.
pub fn get_preset(id: &PresetId) -> Option<Vec<u8>> {
    let patch = match id.as_ref() {
        DEV_RUNTIME_PRESET => development(),
        LOCAL_TESTNET_RUNTIME_PRESET => local_testnet(),
        _ => return None,
    };
    serde_json::to_vec(&patch?).ok()
}

/// The names of all presets.
pub fn preset_names() -> Vec<PresetId> {
    vec![PresetId::from(DEV_RUNTIME_PRESET), PresetId::from(LOCAL_TESTNET_RUNTIME_PRESET)]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Balances, Express, ProofOfQuality, Runtime};
    use frame_support::traits::Currency as _;
    use pallet_proof_of_quality_express::LaneModels;
    use sp_runtime::BuildStorage;

    /// The genesis that a node would build of a preset.
    pub(crate) fn state_of(id: &PresetId) -> sp_io::TestExternalities {
        let mut config = serde_json::to_value(RuntimeGenesisConfig::default()).expect("serialises");
        let patch = serde_json::from_slice(&get_preset(id).expect("is a preset")).expect("parses");
        merge(&mut config, patch);
        let config: RuntimeGenesisConfig =
            serde_json::from_value(config).expect("is a genesis configuration");
        config.build_storage().expect("builds").into()
    }

    /// RFC 7386, as a node merges a preset into the default configuration.
    fn merge(target: &mut Value, patch: Value) {
        match (target, patch) {
            (Value::Object(target), Value::Object(patch)) => patch.into_iter().for_each(|(key, value)| {
                merge(target.entry(key).or_insert(Value::Null), value);
            }),
            (target, patch) => *target = patch,
        }
    }

    #[test]
    fn every_preset_builds_a_chain() {
        for id in preset_names() {
            state_of(&id).execute_with(|| {
                let expected = if id == DEV_RUNTIME_PRESET { 1 } else { 4 };
                assert_eq!(pallet_babe::Authorities::<Runtime>::get().len(), expected, "{id}");
                assert_eq!(crate::Grandpa::grandpa_authorities().len(), expected, "{id}");
                assert_eq!(pallet_sudo::Key::<Runtime>::get(), Some(Sr25519Keyring::Alice.to_account_id()));
                for account in endowed() {
                    assert_eq!(Balances::total_balance(&account), ENDOWMENT);
                }
                assert_eq!(ProofOfQuality::models(None, 64).len(), 4);
                assert_eq!(ProofOfQuality::operators(None, 64).len(), demo::OPERATORS.len());
                assert_eq!(ProofOfQuality::check_invariants(), Ok(()));
                assert_eq!(LaneModels::<Runtime>::get().len(), 4);
                assert_eq!(Express::do_check(), Ok(()));
            });
        }
        assert!(get_preset(&PresetId::from("no such chain")).is_none());
    }
}
