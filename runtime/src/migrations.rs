//! Migrations of this runtime besides those of its pallets.

use crate::{AccountId, Babe, Runtime, SessionKeys};
use alloc::vec::Vec;
use codec::Encode;
use frame_support::{traits::OnRuntimeUpgrade, weights::Weight};
use pallet_session::{CurrentIndex, KeyOwner, NextKeys, QueuedKeys, Validators};
use sp_runtime::{traits::OpaqueKeys, SaturatedConversion};

/// Up to version 2 the authors at genesis authored for ever, with keys that no account owned. From version 3 on there are
/// sessions: the same authors go on with the same keys, each owned by the account of its BABE key, which is how every
/// chain of version 2 was made ([`crate::genesis_presets`]).
///
/// Does nothing on a chain that has sessions.
pub struct AdoptSessions;

impl OnRuntimeUpgrade for AdoptSessions {
    fn on_runtime_upgrade() -> Weight {
        let read = <Runtime as frame_system::Config>::DbWeight::get().reads(1);
        if !Validators::<Runtime>::get().is_empty() {
            return read;
        }
        let keys = keys_in_use();
        log::info!(target: "poq::runtime", "{} block author(s) go on as before, in sessions", keys.len());
        for (author, keys) in &keys {
            NextKeys::<Runtime>::insert(author, keys);
            for id in SessionKeys::key_ids() {
                KeyOwner::<Runtime>::insert((*id, keys.get_raw(*id).to_vec()), author);
            }
            // As at genesis: an account with keys in use is not reaped.
            frame_system::Pallet::<Runtime>::inc_providers(author);
        }
        let authors: Vec<AccountId> = keys.iter().map(|(author, _)| author.clone()).collect();
        let count = authors.len() as u64;
        // BABE takes an epoch and its session to have the same number.
        CurrentIndex::<Runtime>::put(Babe::epoch_index().saturated_into::<u32>());
        pallet_block_authors::Authors::<Runtime>::put(frame_support::BoundedVec::truncate_from(
            authors.clone(),
        ));
        Validators::<Runtime>::put(authors);
        QueuedKeys::<Runtime>::put(keys);
        let written = count.saturating_mul(4).saturating_add(5);
        read.saturating_add(<Runtime as frame_system::Config>::DbWeight::get().reads_writes(3, written))
    }

    #[cfg(feature = "try-runtime")]
    fn post_upgrade(_: Vec<u8>) -> Result<(), sp_runtime::TryRuntimeError> {
        pallet_block_authors::Pallet::<Runtime>::check_invariants().map_err(Into::into)
    }
}

/// The keys that BABE and GRANDPA work with. Both list the authors in the same order.
fn keys_in_use() -> Vec<(AccountId, SessionKeys)> {
    let babe = pallet_babe::Authorities::<Runtime>::get();
    let grandpa = pallet_grandpa::Pallet::<Runtime>::grandpa_authorities();
    let pairs = babe.into_iter().zip(grandpa);
    let account = |key: &[u8]| <[u8; 32]>::try_from(key).ok().map(AccountId::from);
    pairs
        .filter_map(|((babe, _), (grandpa, _))| {
            Some((account(&babe.encode())?, SessionKeys { babe, grandpa }))
        })
        .collect()
}
