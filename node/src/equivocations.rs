//! Reports of authors that make two blocks for one slot.
//!
//! BABE's own block import (sc-consensus-babe 0.60) looks for this too, but compares headers from which the seal was taken
//! already, and a proof without seals proves nothing: the runtime refuses it. So its reports go nowhere
//! ([`OffchainTransactionPoolFactory`] with a pool that takes none), and this task makes them from headers as they were signed.

use crate::types::{Client, SelectChain, TransactionPool};
use futures::StreamExt as _;
use poq_runtime::{opaque::Block, Header};
use sc_client_api::{BlockImportNotification, BlockchainEvents as _};
use sc_transaction_pool_api::OffchainTransactionPoolFactory;
use sp_api::{ApiExt as _, ProvideRuntimeApi as _};
use sp_consensus::{BlockOrigin, SelectChain as _};
use sp_consensus_babe::{AuthorityId, BabeApi as _, EquivocationProof, Slot};
use sp_runtime::traits::Header as _;
use std::{collections::BTreeMap, sync::Arc};

const LOG_TARGET: &str = "poq::equivocations";

/// Slots whose blocks are remembered: half an hour.
const REMEMBERED: u64 = 900;

/// The task, which reads every imported block.
pub struct Reporter {
    client: Arc<Client>,
    select_chain: SelectChain,
    pool: OffchainTransactionPoolFactory<Block>,
    seen: BTreeMap<Slot, Vec<(AuthorityId, Header)>>,
}

impl Reporter {
    /// A reporter that has seen no block yet.
    pub fn new(client: Arc<Client>, select_chain: SelectChain, pool: Arc<TransactionPool>) -> Self {
        let pool = OffchainTransactionPoolFactory::new(pool);
        Self { client, select_chain, pool, seen: BTreeMap::new() }
    }

    /// Runs for as long as the node.
    pub async fn run(mut self) {
        let mut imported = self.client.every_import_notification_stream();
        while let Some(block) = imported.next().await {
            if let Err(error) = self.look_at(block).await {
                log::warn!(target: LOG_TARGET, "a block cannot be compared with others of its slot: {error}");
            }
        }
    }

    async fn look_at(&mut self, block: BlockImportNotification<Block>) -> Result<(), String> {
        if block.origin == BlockOrigin::NetworkInitialSync {
            // Slots so long ago are over.
            return Ok(());
        }
        let digest = sc_consensus_babe::find_pre_digest::<Block>(&block.header).map_err(said)?;
        let slot = digest.slot();
        let epoch = self.client.runtime_api().current_epoch(block.hash).map_err(said)?;
        let author = usize::try_from(digest.authority_index()).ok();
        let author =
            author.and_then(|index| epoch.authorities.into_iter().nth(index)).map(|(author, _)| author);
        let author = author.ok_or("its author is no authority")?;
        match self.remember(slot, author.clone(), &block.header) {
            Some(first) => self.report(slot, author, first, block.header).await,
            None => Ok(()),
        }
    }

    /// Remembers a block; returns another that its author made for the same slot.
    fn remember(&mut self, slot: Slot, author: AuthorityId, header: &Header) -> Option<Header> {
        let oldest = slot.saturating_sub(REMEMBERED);
        self.seen = self.seen.split_off(&oldest);
        let of_slot = self.seen.entry(slot).or_default();
        match of_slot.iter().find(|(other, _)| *other == author) {
            Some((_, first)) => (first.hash() != header.hash()).then(|| first.clone()),
            None => {
                of_slot.push((author, header.clone()));
                None
            }
        }
    }

    async fn report(
        &self,
        slot: Slot,
        offender: AuthorityId,
        first_header: Header,
        second_header: Header,
    ) -> Result<(), String> {
        log::warn!(target: LOG_TARGET, "{offender:?} made two blocks for slot {slot}: reporting it");
        let parent = *second_header.parent_hash();
        let best = self.select_chain.best_chain().await.map_err(said)?.hash();
        // At the session's first block its parent does not know the key yet, but the best block does.
        let mut key_proof = None;
        for at in [parent, best] {
            let api = self.client.runtime_api();
            key_proof = api.generate_key_ownership_proof(at, slot, offender.clone()).map_err(said)?;
            if key_proof.is_some() {
                break;
            }
        }
        let key_proof = key_proof.ok_or("its author's key is not of this session")?;
        let proof = EquivocationProof { offender, slot, first_header, second_header };
        let mut api = self.client.runtime_api();
        api.register_extension(self.pool.offchain_transaction_pool(best));
        api.submit_report_equivocation_unsigned_extrinsic(best, proof, key_proof).map_err(said)?;
        Ok(())
    }
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
