//! The pallets of the runtime and their indices, which are part of the encoding of every call and event.

#![allow(missing_docs, reason = "the macro makes public items that cannot be documented")]

use crate::{Block, UncheckedExtrinsic};
use alloc::vec::Vec;
use sp_inherents::{CheckInherentsResult, InherentData};
use sp_runtime::traits::Block as BlockT;

#[frame_support::runtime]
mod runtime {
    /// The runtime.
    #[runtime::runtime]
    #[runtime::derive(
        RuntimeCall,
        RuntimeEvent,
        RuntimeError,
        RuntimeOrigin,
        RuntimeFreezeReason,
        RuntimeHoldReason,
        RuntimeSlashReason,
        RuntimeLockId,
        RuntimeTask,
        RuntimeViewFunction
    )]
    pub struct Runtime;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;
    #[runtime::pallet_index(1)]
    pub type Timestamp = pallet_timestamp;
    #[runtime::pallet_index(2)]
    pub type Babe = pallet_babe;
    #[runtime::pallet_index(3)]
    pub type Grandpa = pallet_grandpa;
    #[runtime::pallet_index(4)]
    pub type Balances = pallet_balances;
    #[runtime::pallet_index(5)]
    pub type TransactionPayment = pallet_transaction_payment;
    #[runtime::pallet_index(6)]
    pub type SkipFeelessPayment = pallet_skip_feeless_payment;
    #[runtime::pallet_index(7)]
    pub type Sudo = pallet_sudo;
    #[runtime::pallet_index(8)]
    pub type Utility = pallet_utility;
    #[runtime::pallet_index(9)]
    pub type ProofOfQuality = pallet_proof_of_quality;
    // Before the sessions, whose genesis asks who the authors are.
    #[runtime::pallet_index(10)]
    pub type BlockAuthors = pallet_block_authors;
    #[runtime::pallet_index(11)]
    pub type Session = pallet_session;
    #[runtime::pallet_index(12)]
    pub type Historical = pallet_session::historical;
    #[runtime::pallet_index(13)]
    pub type Offences = pallet_offences;
    #[runtime::pallet_index(14)]
    pub type Authorship = pallet_authorship;
    #[runtime::pallet_index(15)]
    pub type TechnicalCommittee = pallet_collective<Instance1>;
    #[runtime::pallet_index(16)]
    pub type Whitelist = pallet_whitelist;
    // After the pallet whose models and operators it uses.
    #[runtime::pallet_index(17)]
    pub type Express = pallet_proof_of_quality_express;
}

// The trait behind these two is made by the macro and seen in this module only.

/// The transactions that the author of a block must put in, of its `data`.
pub fn create_inherents(data: InherentData) -> Vec<UncheckedExtrinsic> {
    data.create_extrinsics()
}

/// Whether a block holds what `data` says it must.
pub fn check_inherents(block: &<Block as BlockT>::LazyBlock, data: InherentData) -> CheckInherentsResult {
    data.check_extrinsics(block)
}
