//! The pallets of the runtime and their indices, which are part of the encoding of every call and event.

#![allow(missing_docs, reason = "the macro makes public items that cannot be documented")]

use alloc::vec::Vec;

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
}
