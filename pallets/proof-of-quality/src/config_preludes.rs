//! Values of [`Config`](crate::Config) to begin with:
//! `#[derive_impl(pallet_proof_of_quality::config_preludes::SolochainDefaultConfig)]` above a runtime's own.
//!
//! Without a default, because only the runtime can decide them: the currency, the three origins, the parameters in units of the
//! currency, and the source of seeds.

use crate::{driver::crypto::WorkerCrypto, DefaultConfig, WeightedMedian, Workload};
use frame_support::{
    derive_impl,
    pallet_prelude::inject_runtime_type,
    parameter_types,
    traits::{ConstU32, ConstU64, ConstUint},
    weights::{constants::WEIGHT_REF_TIME_PER_MILLIS, Weight},
};
use sp_runtime::FixedU64;

parameter_types! {
    /// A model may ask for its share in full from a quality of a half on.
    pub const MaxAlpha: FixedU64 = FixedU64::from_u32(2);
    /// Latency costs at most the whole share.
    pub const MaxBeta: FixedU64 = FixedU64::from_u32(1);
    /// Work that a laptop does within a minute or two: a long answer or many short ones, by a small model without a GPU.
    pub const DefaultCapacity: Workload = Workload { tokens: 4_096, pairs: 64 };
    /// A quarter of what most chains let a block take: 2 seconds and a proof of 5 MiB.
    pub const AgendaWeight: Weight = Weight::from_parts(500 * WEIGHT_REF_TIME_PER_MILLIS, 5 * 1024 * 1024 / 4);
}

/// For chains with a block every 6 seconds that takes up to 2 seconds of work; with other blocks, say otherwise for what is
/// counted in blocks (`SeedPatience`, `Retention`, `MaxWindow`) and for `AgendaWeight`.
pub struct SolochainDefaultConfig;

#[derive_impl(frame_system::config_preludes::SolochainDefaultConfig, no_aggregated_types)]
impl frame_system::DefaultConfig for SolochainDefaultConfig {}

#[frame_support::register_default_impl(SolochainDefaultConfig)]
impl DefaultConfig for SolochainDefaultConfig {
    #[inject_runtime_type]
    type RuntimeHoldReason = ();
    type Aggregation = WeightedMedian;
    type WorkerCrypto = WorkerCrypto;
    // Both are burnt: nobody should gain by another's slash.
    type FeeHandler = ();
    type SlashHandler = ();
    // No other pallet asks.
    type OnSettled = ();
    type CallbackPrice = ();
    type MaxPromptLength = ConstU32<{ 8 * 1024 }>;
    type MaxOutputLength = ConstU32<{ 16 * 1024 }>;
    type MaxTokens = ConstU32<4_096>;
    type MaxNameLength = ConstU32<64>;
    type MaxResponders = ConstU32<8>;
    type MaxCommittee = ConstU32<15>;
    type MaxModelsPerRequest = ConstU32<8>;
    type MaxModelsPerOperator = ConstU32<16>;
    type MaxOperatorsPerModel = ConstU32<256>;
    type MaxDuties = ConstU32<256>;
    type DefaultCapacity = DefaultCapacity;
    type MaxAuditors = ConstU32<16>;
    type MaxDecoys = ConstU32<8>;
    // An hour: a planned stop.
    type ChillPatience = ConstUint<600>;
    type BlockMillis = ConstU64<6_000>;
    type MaxReports = ConstU32<16>;
    type RecentDuties = ConstU32<16>;
    type MaxReferenceLength = ConstU32<256>;
    type MaxAlpha = MaxAlpha;
    type MaxBeta = MaxBeta;
    // Two minutes; a day; an hour.
    type SeedPatience = ConstUint<20>;
    type Retention = ConstUint<14_400>;
    type MaxWindow = ConstUint<600>;
    type AgendaWeight = AgendaWeight;
    type DriverDepth = ConstUint<0>;
    // Measured for this pallet, with the database that is dearer.
    type WeightInfo = ();
}
