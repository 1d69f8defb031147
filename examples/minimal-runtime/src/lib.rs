//! The smallest runtime with the Proof of Quality pallet in it: accounts, balances, fees, a clock, the pallet, and one that asks.
//!
//! Everything that the pallet needs of a runtime stands in this file; `docs/embed.md` goes through it step by step. Which
//! node runs it, and who makes its blocks, is not decided here: `apis.rs` has what every node asks of a runtime.

#![cfg_attr(not(feature = "std"), no_std)]
#![allow(missing_docs, reason = "construct_runtime! makes public items that cannot be documented")]

pub mod apis;
pub mod summaries;

use codec::Encode;
use frame_support::traits::{ConstU128, ConstU32, Randomness};
use frame_support::{derive_impl, parameter_types, weights::IdentityFee};
use frame_system::{CheckEra, CheckGenesis, CheckNonce, CheckSpecVersion, CheckTxVersion, CheckWeight};
use pallet_proof_of_quality::{report_tags::ReportTags, Parameters};
use pallet_skip_feeless_payment::SkipCheckIfFeeless;
use pallet_transaction_payment::{ChargeTransactionPayment, FungibleAdapter};
use sp_io::hashing::blake2_256;
use sp_runtime::{generic, traits::BlakeTwo256, AccountId32, MultiAddress, MultiSignature, Vec};

/// One token, in the smallest units.
pub const TOKEN: u128 = 1_000_000_000_000;
/// Blocks in a day, one every 6 seconds.
pub const DAY: u32 = 14_400;

// [types]
/// Fees, except for reports that are due and valid: worker keys have no balance. One report of each duty in the pool.
type Fees = ReportTags<Runtime, SkipCheckIfFeeless<Runtime, ChargeTransactionPayment<Runtime>>>;
/// Hash of the metadata, which hardware wallets put under their signature.
type Digest = frame_metadata_hash_extension::CheckMetadataHash<Runtime>;
type Versions = (CheckSpecVersion<Runtime>, CheckTxVersion<Runtime>, CheckGenesis<Runtime>, Digest);
pub type TxExtension = (Versions, CheckEra<Runtime>, CheckNonce<Runtime>, CheckWeight<Runtime>, Fees);
pub type Address = MultiAddress<AccountId32, ()>;
pub type Transaction = generic::UncheckedExtrinsic<Address, RuntimeCall, MultiSignature, TxExtension>;
pub type Block = generic::Block<generic::Header<u32, BlakeTwo256>, Transaction>;
// [end]

// [pallets]
frame_support::construct_runtime!(
    pub enum Runtime {
        System: frame_system,
        Timestamp: pallet_timestamp,
        Balances: pallet_balances,
        TransactionPayment: pallet_transaction_payment,
        SkipFeelessPayment: pallet_skip_feeless_payment,
        ProofOfQuality: pallet_proof_of_quality,
        // A pallet of this chain that asks. Leave it out if none does.
        Summaries: summaries,
    }
);
// [end]

#[derive_impl(frame_system::config_preludes::SolochainDefaultConfig)]
impl frame_system::Config for Runtime {
    type Block = Block;
    type AccountData = pallet_balances::AccountData<u128>;
    type Version = apis::Version;
}

#[derive_impl(pallet_timestamp::config_preludes::TestDefaultConfig)]
impl pallet_timestamp::Config for Runtime {}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Runtime {
    type Balance = u128;
    type ExistentialDeposit = ConstU128<{ TOKEN / 1_000 }>;
    type AccountStore = System;
}

#[derive_impl(pallet_transaction_payment::config_preludes::TestDefaultConfig)]
impl pallet_transaction_payment::Config for Runtime {
    type OnChargeTransaction = FungibleAdapter<Balances, ()>;
    type WeightToFee = IdentityFee<u128>;
    type LengthToFee = IdentityFee<u128>;
}

// [fees]
impl pallet_skip_feeless_payment::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
}
// [end]

// [config]
parameter_types! {
    /// Least stake, what absence and waiting cost, what audits may slash a day; blocks to unbond, and to reveal an audit.
    pub const Economics: Parameters<u128, u32> = Parameters::recommended(1_000 * TOKEN, 10 * TOKEN, TOKEN / 1_000, 50_000 * TOKEN, 7 * DAY, DAY);
}

#[derive_impl(pallet_proof_of_quality::config_preludes::SolochainDefaultConfig)]
impl pallet_proof_of_quality::Config for Runtime {
    type Currency = Balances;
    type ModelOrigin = frame_system::EnsureRoot<AccountId32>;
    type ParameterOrigin = frame_system::EnsureRoot<AccountId32>;
    type AuditOrigin = pallet_proof_of_quality::EnsureAuditor<Runtime>;
    type DefaultParameters = Economics;
    type Randomness = ParentHash;
    type OnSettled = Summaries;
    type CallbackPrice = ConstU128<{ TOKEN / 1_000 }>;
}
// [end]

// [asking]
impl summaries::Config for Runtime {
    type MaxText = ConstU32<1_024>;
    type MaxProposals = ConstU32<100>;
    type Summaries = ConstU32<2>;
}
// [end]

// [randomness]
/// The hash of the parent block, known since that block. Only for chains that trust their block authors: the author of the
/// parent could try many blocks until it liked the draw.
pub struct ParentHash;

impl Randomness<Option<sp_core::H256>, u32> for ParentHash {
    fn random(subject: &[u8]) -> (Option<sp_core::H256>, u32) {
        let seed = (subject, System::parent_hash()).using_encoded(blake2_256);
        (Some(seed.into()), System::block_number().saturating_sub(1))
    }
}
// [end]

// [transactions]
pallet_proof_of_quality::impl_create_signed_transaction!(Runtime, RuntimeCall, Transaction, extension);

/// The extensions of a transaction: what it carries besides its call, without a tip.
pub fn extension(era: generic::Era, nonce: u32) -> TxExtension {
    let versions = (CheckSpecVersion::new(), CheckTxVersion::new(), CheckGenesis::new(), Digest::new(false));
    let fees = ReportTags::from(SkipCheckIfFeeless::from(ChargeTransactionPayment::from(0)));
    (versions, CheckEra::from(era), CheckNonce::from(nonce), CheckWeight::new(), fees)
}
// [end]
