//! The Proof of Quality runtime: BABE, GRANDPA, balances, fees, sudo for test nets, a technical committee, and the pallet.

#![cfg_attr(not(feature = "std"), no_std)]
#![recursion_limit = "256"]

extern crate alloc;

/// The runtime as Wasm, made by the build script: `None` in a build without it (`SKIP_WASM_BUILD`).
#[cfg(feature = "std")]
mod wasm {
    #![allow(missing_docs, dead_code, reason = "generated")]
    include!(concat!(env!("OUT_DIR"), "/wasm_binary.rs"));
}

pub mod apis;
mod configs;
pub mod demo;
pub mod genesis_presets;
#[cfg(test)]
mod governance_tests;
mod migrations;
mod pallets;
pub mod randomness;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod view_tests;

use alloc::{borrow::Cow, vec::Vec};
use sp_runtime::{
    generic, impl_opaque_keys,
    traits::{BlakeTwo256, IdentifyAccount, Verify},
    MultiAddress, MultiSignature,
};
use sp_version::RuntimeVersion;

pub use apis::RuntimeApi;
pub use configs::{signed_extension, EpochConfiguration, RuntimeBlockLength, RuntimeBlockWeights};
pub use pallets::*;
#[cfg(feature = "std")]
pub use wasm::WASM_BINARY;

/// Number of a block.
pub type BlockNumber = u32;
/// An amount of the native token, in units of 10^-12.
pub type Balance = u128;
/// Number of transactions that an account has sent.
pub type Nonce = u32;
/// A hash of the chain: BLAKE2b-256.
pub type Hash = sp_core::H256;
/// A signature under a transaction.
pub type Signature = MultiSignature;
/// An account.
pub type AccountId = <<Signature as Verify>::Signer as IdentifyAccount>::AccountId;
/// Form in which transactions name accounts.
pub type Address = MultiAddress<AccountId, ()>;
/// A block's header.
pub type Header = generic::Header<BlockNumber, BlakeTwo256>;
/// A block.
pub type Block = generic::Block<Header, UncheckedExtrinsic>;

/// Types of the chain as a node needs them: transactions are opaque bytes, shown as hex.
pub mod opaque {
    use super::{generic, Header};

    /// A block with transactions as bytes.
    pub type Block = generic::Block<Header, sp_runtime::OpaqueExtrinsic>;
}

/// Extensions of every transaction.
///
/// `ReportTags` and `SkipCheckIfFeeless` are invisible from outside: clients see `ChargeTransactionPayment`. The one keeps
/// a second report of the same work out of the pool, the other lets a worker key without balance report work that is due.
///
/// `CheckMetadataHash` (RFC-78) lets a wallet put the hash of the metadata under its signature, so that a hardware wallet signs
/// only what it could decode. The Wasm runtime knows the hash from the file `metadata-hash`; `build.rs` says how.
pub type TxExtension = (
    frame_system::CheckNonZeroSender<Runtime>,
    frame_system::CheckSpecVersion<Runtime>,
    frame_system::CheckTxVersion<Runtime>,
    frame_system::CheckGenesis<Runtime>,
    frame_system::CheckEra<Runtime>,
    frame_system::CheckNonce<Runtime>,
    frame_system::CheckWeight<Runtime>,
    pallet_proof_of_quality::report_tags::ReportTags<
        Runtime,
        pallet_skip_feeless_payment::SkipCheckIfFeeless<
            Runtime,
            pallet_transaction_payment::ChargeTransactionPayment<Runtime>,
        >,
    >,
    frame_metadata_hash_extension::CheckMetadataHash<Runtime>,
    frame_system::WeightReclaim<Runtime>,
);

/// A transaction as it travels.
pub type UncheckedExtrinsic = generic::UncheckedExtrinsic<Address, RuntimeCall, Signature, TxExtension>;
/// The payload that a transaction's signature covers.
pub type SignedPayload = generic::SignedPayload<RuntimeCall, TxExtension>;

/// Runs blocks.
pub type Executive = frame_executive::Executive<
    Runtime,
    Block,
    frame_system::ChainContext<Runtime>,
    Runtime,
    AllPalletsWithSystem,
>;

/// The token.
pub mod currency {
    use crate::Balance;

    /// Symbol of the token, as wallets show it.
    pub const SYMBOL: &str = "POQ";
    /// Decimals of an amount in tokens.
    pub const DECIMALS: u8 = 12;
    /// One token.
    pub const POQ: Balance = 10_u128.pow(DECIMALS as u32);
    /// A thousandth of a token.
    pub const MILLI_POQ: Balance = POQ / 1_000;
    /// A millionth of a token.
    pub const MICRO_POQ: Balance = MILLI_POQ / 1_000;
    /// Prefix of addresses: the generic one of Substrate, with which they begin with 5.
    pub const SS58_PREFIX: u16 = 42;
    /// Least balance of an account; with less it is removed.
    pub const EXISTENTIAL_DEPOSIT: Balance = MILLI_POQ;
}

/// Durations.
pub mod time {
    use crate::BlockNumber;

    /// Length of a slot, in milliseconds. Cannot be changed once the chain runs.
    pub const SLOT_MILLIS: u64 = 2_000;
    /// Length of an epoch, in slots. Cannot be changed once the chain runs.
    pub const EPOCH_SLOTS: u64 = 10 * (MINUTE as u64);
    /// Blocks in a minute, if every slot has one.
    pub const MINUTE: BlockNumber = 60_000 / (SLOT_MILLIS as BlockNumber);
    /// Blocks in an hour.
    pub const HOUR: BlockNumber = 60 * MINUTE;
    /// Blocks in a day.
    pub const DAY: BlockNumber = 24 * HOUR;
}

impl_opaque_keys! {
    /// The keys of a block author.
    pub struct SessionKeys {
        /// Claims slots.
        pub babe: Babe,
        /// Votes on finality.
        pub grandpa: Grandpa,
    }
}

/// The version of this runtime.
#[sp_version::runtime_version]
pub const VERSION: RuntimeVersion = RuntimeVersion {
    spec_name: Cow::Borrowed("proof-of-quality"),
    impl_name: Cow::Borrowed("proof-of-quality"),
    authoring_version: 1,
    spec_version: 9,
    impl_version: 1,
    apis: apis::RUNTIME_API_VERSIONS,
    transaction_version: 4,
    system_version: 1,
};
