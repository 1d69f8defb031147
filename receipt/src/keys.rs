//! Keys of the state. A test compares them with the runtime's.

use alloc::vec::Vec;
use codec::Encode;
use sp_crypto_hashing::{twox_128, twox_64};

const POQ: &str = "ProofOfQuality";

/// A value of its own.
fn value(pallet: &str, item: &str) -> Vec<u8> {
    [twox_128(pallet.as_bytes()), twox_128(item.as_bytes())].concat()
}

/// An entry of a map of the pallet. Each part of the key is hashed by Twox64Concat.
fn entry(item: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let hashed = parts.iter().map(|part| [&twox_64(part), &part[..]].concat());
    [value(POQ, item)].into_iter().chain(hashed).collect::<Vec<_>>().concat()
}

/// GRANDPA's voters.
pub(crate) fn voters() -> Vec<u8> {
    value("Grandpa", "Authorities")
}

/// Number of changes of the voters.
pub(crate) fn voters_set() -> Vec<u8> {
    value("Grandpa", "CurrentSetId")
}

/// Time of the block, milliseconds since 1970.
pub(crate) fn time() -> Vec<u8> {
    value("Timestamp", "Now")
}

/// Version of the pallet's storage.
pub(crate) fn storage_version() -> Vec<u8> {
    value(POQ, ":__STORAGE_VERSION__:")
}

pub(crate) fn request(id: u64) -> Vec<u8> {
    entry("Requests", &[id.encode()])
}

pub(crate) fn prompt(id: u64) -> Vec<u8> {
    entry("Prompts", &[id.encode()])
}

pub(crate) fn responses(id: u64) -> Vec<u8> {
    entry("Responses", &[id.encode()])
}

pub(crate) fn output(id: u64, index: u32) -> Vec<u8> {
    entry("Outputs", &[id.encode(), index.encode()])
}

pub(crate) fn committee(id: u64, round: u8) -> Vec<u8> {
    entry("Committees", &[id.encode(), round.encode()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use pallet_proof_of_quality::{Committees, Outputs, Pallet, Prompts, Requests, Responses};
    use poq_runtime::Runtime;

    #[test]
    fn the_keys_are_the_runtimes() {
        assert_eq!(voters(), pallet_grandpa::Authorities::<Runtime>::hashed_key());
        assert_eq!(voters_set(), pallet_grandpa::CurrentSetId::<Runtime>::hashed_key());
        assert_eq!(time(), pallet_timestamp::Now::<Runtime>::hashed_key());
        assert_eq!(request(7), Requests::<Runtime>::hashed_key_for(7));
        assert_eq!(prompt(7), Prompts::<Runtime>::hashed_key_for(7));
        assert_eq!(responses(7), Responses::<Runtime>::hashed_key_for(7));
        assert_eq!(output(7, 2), Outputs::<Runtime>::hashed_key_for(7, 2));
        assert_eq!(committee(7, 1), Committees::<Runtime>::hashed_key_for(7, 1));
        let version = frame_support::traits::StorageVersion::storage_key::<Pallet<Runtime>>();
        assert_eq!(storage_version(), version);
    }
}
