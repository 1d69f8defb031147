//! Settings of each pallet.

use crate::{
    currency::{EXISTENTIAL_DEPOSIT, MICRO_POQ, MILLI_POQ, POQ, SS58_PREFIX},
    migrations,
    randomness::ParentVrf,
    time::{DAY, EPOCH_SLOTS, HOUR, MINUTE, SLOT_MILLIS},
    AccountId, Babe, Balance, Balances, Block, BlockAuthors, BlockNumber, Hash, Historical, Nonce, Offences,
    OriginCaller, PalletInfo, Runtime, RuntimeCall, RuntimeEvent, RuntimeFreezeReason, RuntimeHoldReason,
    RuntimeOrigin, RuntimeTask, Session, SessionKeys, System, TxExtension, UncheckedExtrinsic, VERSION,
};
use frame_support::{
    derive_impl,
    dispatch::DispatchClass,
    parameter_types,
    traits::{
        ConstU128, ConstU16, ConstU32, ConstU64, ConstU8, EitherOfDiverse, KeyOwnerProofSystem,
        VariantCountOf,
    },
    weights::{
        constants::{ParityDbWeight, WEIGHT_REF_TIME_PER_SECOND},
        ConstantMultiplier, IdentityFee, Weight,
    },
    PalletId,
};
use frame_system::{
    limits::{BlockLength, BlockWeights},
    offchain::{CreateBare, CreateTransaction},
    EnsureRoot,
};
use pallet_block_authors::fees::ShareFees;
use pallet_grandpa::AuthorityId as GrandpaId;
use pallet_proof_of_quality::{report_tags::ReportTags, EnsureAuditor, Parameters, Workload};
use pallet_session::disabling::UpToLimitWithReEnablingDisablingStrategy;
use pallet_transaction_payment::{FungibleAdapter, Multiplier, TargetedFeeAdjustment};
use sp_consensus_babe::{AllowedSlots, AuthorityId as BabeId, BabeEpochConfiguration};
use sp_core::crypto::KeyTypeId;
use sp_runtime::{
    generic::Era,
    traits::{Bounded, ConvertInto, OpaqueKeys},
    FixedPointNumber, FixedU64, Perbill, Permill, Perquintill,
};
use sp_version::RuntimeVersion;

// ---------------------------------------------------------------- what a block may hold

/// Share of a block that ordinary transactions may fill; the rest is for operational ones.
const NORMAL_SHARE: Perbill = Perbill::from_percent(75);

/// Half of a slot: the other half is for authoring, importing and spreading the block.
const MAX_BLOCK_WEIGHT: Weight = Weight::from_parts(WEIGHT_REF_TIME_PER_SECOND, u64::MAX);

/// Most bytes in a block.
const MAX_BLOCK_BYTES: u32 = 5 * 1024 * 1024;

parameter_types! {
    /// Hashes of this many blocks are kept: transactions that live longer cannot be made.
    pub const BlockHashCount: BlockNumber = 2_400;
    /// The version of the runtime.
    pub const Version: RuntimeVersion = VERSION;
    /// Weight limits of a block.
    pub RuntimeBlockWeights: BlockWeights =
        BlockWeights::with_sensible_defaults(MAX_BLOCK_WEIGHT, NORMAL_SHARE);
    /// Length limits of a block.
    pub RuntimeBlockLength: BlockLength = BlockLength::builder()
        .max_length(MAX_BLOCK_BYTES)
        .modify_max_length_for_class(DispatchClass::Normal, |bytes| *bytes = NORMAL_SHARE * MAX_BLOCK_BYTES)
        .build();
}

#[derive_impl(frame_system::config_preludes::SolochainDefaultConfig)]
impl frame_system::Config for Runtime {
    type Block = Block;
    type BlockWeights = RuntimeBlockWeights;
    type BlockLength = RuntimeBlockLength;
    type AccountId = AccountId;
    type AccountData = pallet_balances::AccountData<Balance>;
    type Nonce = Nonce;
    type Hash = Hash;
    type BlockHashCount = BlockHashCount;
    type DbWeight = ParityDbWeight;
    type Version = Version;
    type SystemWeightInfo = frame_system::weights::SubstrateWeight<Runtime>;
    type ExtensionsWeightInfo = frame_system::SubstrateExtensionsWeight<Runtime>;
    type SS58Prefix = ConstU16<SS58_PREFIX>;
    type MaxConsumers = ConstU32<16>;
    type SingleBlockMigrations = Migrations;
}

/// Migrations that an upgrade to this version runs.
type Migrations = (
    pallet_proof_of_quality::migrations::MigrateV0ToV1<Runtime>,
    pallet_proof_of_quality::migrations::MigrateV1ToV2<Runtime>,
    pallet_proof_of_quality::migrations::MigrateV2ToV3<Runtime>,
    migrations::AdoptSessions,
);

// ---------------------------------------------------------------- consensus

/// Every block carries a VRF output, because draws need one from each block: slots that no author wins are filled
/// round-robin, by authors that still have to show a VRF.
pub struct EpochConfiguration;

impl EpochConfiguration {
    /// The value at genesis: a slot has a primary author with a chance of one in four.
    pub const GENESIS: BabeEpochConfiguration =
        BabeEpochConfiguration { c: (1, 4), allowed_slots: AllowedSlots::PrimaryAndSecondaryVRFSlots };
}

/// Most block authors.
type MaxAuthorities = ConstU32<128>;

impl pallet_timestamp::Config for Runtime {
    type Moment = u64;
    type OnTimestampSet = Babe;
    type MinimumPeriod = ConstU64<{ SLOT_MILLIS / 2 }>;
    type WeightInfo = pallet_timestamp::weights::SubstrateWeight<Runtime>;
}

impl pallet_babe::Config for Runtime {
    type EpochDuration = ConstU64<EPOCH_SLOTS>;
    type ExpectedBlockTime = ConstU64<SLOT_MILLIS>;
    // An epoch is a session.
    type EpochChangeTrigger = pallet_babe::ExternalTrigger;
    type DisabledValidators = Session;
    type WeightInfo = ();
    type MaxAuthorities = MaxAuthorities;
    type MaxNominators = ConstU32<0>;
    type KeyOwnerProof = <Historical as KeyOwnerProofSystem<(KeyTypeId, BabeId)>>::Proof;
    type EquivocationReportSystem =
        pallet_babe::EquivocationReportSystem<Self, Offences, Historical, ProvableSlots>;
}

impl pallet_grandpa::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = ();
    type MaxAuthorities = MaxAuthorities;
    type MaxNominators = ConstU32<0>;
    type MaxSetIdSessionEntries = ConstU64<{ PROVABLE_SESSIONS as u64 }>;
    type KeyOwnerProof = <Historical as KeyOwnerProofSystem<(KeyTypeId, GrandpaId)>>::Proof;
    type EquivocationReportSystem =
        pallet_grandpa::EquivocationReportSystem<Self, Offences, Historical, ProvableSlots>;
}

// ---------------------------------------------------------------- block authors

/// Sessions of a day: so long an equivocation can be proven. Nodes report what they see within a block or two.
const PROVABLE_SESSIONS: u32 = DAY / (EPOCH_SLOTS as u32);

/// The same in slots.
type ProvableSlots = ConstU64<{ DAY as u64 }>;

impl pallet_block_authors::Config for Runtime {
    type AuthorOrigin = Governance;
    type MaxAuthors = MaxAuthorities;
    type ProvableSessions = ConstU32<PROVABLE_SESSIONS>;
}

impl pallet_session::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type ValidatorId = AccountId;
    // Anybody may set keys, which costs the deposit; who of them authors is for `BlockAuthors`.
    type ValidatorIdOf = ConvertInto;
    type ShouldEndSession = Babe;
    type NextSessionRotation = Babe;
    type SessionManager = pallet_session::historical::NoteHistoricalRoot<Self, BlockAuthors>;
    type SessionHandler = <SessionKeys as OpaqueKeys>::KeyTypeIdProviders;
    type Keys = SessionKeys;
    // Never more than a third of the authors at once: the others could not finalize.
    type DisablingStrategy = UpToLimitWithReEnablingDisablingStrategy;
    type WeightInfo = pallet_session::weights::SubstrateWeight<Runtime>;
    type Currency = Balances;
    type KeyDeposit = ConstU128<POQ>;
}

impl pallet_session::historical::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type FullIdentification = ();
    type FullIdentificationOf = pallet_block_authors::session::NoDetails;
}

// Names the author of a block, who counts as the reporter of what it proves.
impl pallet_authorship::Config for Runtime {
    type FindAuthor = pallet_session::FindAccountFromAuthorIndex<Self, Babe>;
    type EventHandler = ();
}

impl pallet_offences::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type IdentificationTuple = pallet_block_authors::offences::Offender<Self>;
    type OnOffenceHandler = BlockAuthors;
}

// ---------------------------------------------------------------- money

impl pallet_balances::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeHoldReason = RuntimeHoldReason;
    type RuntimeFreezeReason = RuntimeFreezeReason;
    type WeightInfo = pallet_balances::weights::SubstrateWeight<Runtime>;
    type Balance = Balance;
    type DustRemoval = ();
    type ExistentialDeposit = ConstU128<EXISTENTIAL_DEPOSIT>;
    type AccountStore = System;
    type ReserveIdentifier = [u8; 8];
    type FreezeIdentifier = RuntimeFreezeReason;
    type MaxLocks = ConstU32<50>;
    type MaxReserves = ConstU32<0>;
    type MaxFreezes = VariantCountOf<RuntimeFreezeReason>;
    type DoneSlashHandler = ();
}

parameter_types! {
    /// Fees neither rise nor fall at this fullness of blocks.
    pub const TargetBlockFullness: Perquintill = Perquintill::from_percent(25);
    /// Speed at which fees follow the fullness.
    pub AdjustmentVariable: Multiplier = Multiplier::saturating_from_rational(75, 1_000_000);
    /// Fees never fall below their base.
    pub MinimumMultiplier: Multiplier = Multiplier::saturating_from_integer(1);
    /// Nor rise without bound.
    pub MaximumMultiplier: Multiplier = Bounded::max_value();
}

impl pallet_transaction_payment::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type OnChargeTransaction = FungibleAdapter<Balances, ShareFees<Runtime, Balances>>;
    // One unit for a picosecond of work and a millionth of a token for a byte: a transfer costs about 0.0005 tokens.
    type WeightToFee = IdentityFee<Balance>;
    type LengthToFee = ConstantMultiplier<Balance, ConstU128<MICRO_POQ>>;
    type FeeMultiplierUpdate = TargetedFeeAdjustment<
        Self,
        TargetBlockFullness,
        AdjustmentVariable,
        MinimumMultiplier,
        MaximumMultiplier,
    >;
    type OperationalFeeMultiplier = ConstU8<5>;
    type WeightInfo = pallet_transaction_payment::weights::SubstrateWeight<Runtime>;
}

impl pallet_skip_feeless_payment::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
}

// ---------------------------------------------------------------- the protocol

parameter_types! {
    /// The economic parameters until governance sets others.
    pub const DefaultParameters: Parameters<Balance, BlockNumber> = Parameters::recommended(
        1_000 * POQ,
        10 * POQ,
        // Fee of a millisecond of weight: more than most draws weigh.
        MILLI_POQ,
        // Of some fifteen operators of the demo's stake.
        50_000 * POQ,
        7 * DAY,
        DAY,
    );
    /// Work that a laptop does within a minute: a long answer or many short ones, by a small model without a GPU.
    pub const DefaultCapacity: Workload = Workload { tokens: 4_096, pairs: 64 };
    /// A model may ask for its share in full from a quality of a half on.
    pub const MaxAlpha: FixedU64 = FixedU64::from_u32(2);
    /// Latency costs at most the whole share.
    pub const MaxBeta: FixedU64 = FixedU64::from_u32(1);
    /// Three fifths of a block for the requests that are due, in `on_poll`; and again in `on_idle`, as far as there is room: of what a
    /// request comes to, more than half is done here.
    pub AgendaWeight: Weight = MAX_BLOCK_WEIGHT / 5 * 3;
}

impl pallet_proof_of_quality::Config for Runtime {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type ModelOrigin = Governance;
    type ParameterOrigin = Governance;
    type AuditOrigin = EnsureAuditor<Runtime>;
    type DefaultParameters = DefaultParameters;
    type Randomness = ParentVrf<Runtime>;
    type Aggregation = pallet_proof_of_quality::WeightedMedian;
    type WorkerCrypto = pallet_proof_of_quality::driver::crypto::WorkerCrypto;
    type FeeHandler = ShareFees<Runtime, Balances>;
    // Burnt: nobody should gain by another's slash.
    type SlashHandler = ();
    // No other pallet of this chain asks.
    type OnSettled = ();
    type CallbackPrice = ();
    type MaxPromptLength = ConstU32<{ 8 * 1024 }>;
    type MaxOutputLength = ConstU32<{ 16 * 1024 }>;
    type MaxTokens = ConstU32<4_096>;
    type MaxNameLength = ConstU32<64>;
    type MaxResponders = ConstU32<8>;
    type MaxCommittee = ConstU32<63>;
    type MaxModelsPerRequest = ConstU32<8>;
    type MaxModelsPerOperator = ConstU32<16>;
    type MaxOperatorsPerModel = ConstU32<256>;
    // An owner of more machines registers more operators.
    type MaxDuties = ConstU32<1_024>;
    type DefaultCapacity = DefaultCapacity;
    type MaxAuditors = ConstU32<16>;
    type MaxDecoys = ConstU32<8>;
    // A planned stop.
    type ChillPatience = ConstU32<HOUR>;
    type BlockMillis = ConstU64<SLOT_MILLIS>;
    type MaxReports = ConstU32<16>;
    type RecentDuties = ConstU32<16>;
    type MaxReferenceLength = ConstU32<256>;
    type MaxAlpha = MaxAlpha;
    type MaxBeta = MaxBeta;
    type SeedPatience = ConstU32<{ 5 * MINUTE }>;
    type Retention = ConstU32<DAY>;
    type MaxWindow = ConstU32<HOUR>;
    type AgendaWeight = AgendaWeight;
    // A re-org costs an operator some work at worst; who has dear work chooses more, see `poq_primitives::keys`.
    type DriverDepth = ConstU32<0>;
    type WeightInfo = pallet_proof_of_quality::weights::SubstrateWeight<Runtime>;
}

// ---------------------------------------------------------------- the express lane

parameter_types! {
    /// Names the account that holds deposits and earnings of the lane.
    pub const LanePot: PalletId = PalletId(*b"poq/lane");
    /// As gross errors in an audit.
    pub const EquivocationSlash: Permill = Permill::from_percent(30);
}

impl pallet_proof_of_quality_express::Config for Runtime {
    type PalletId = LanePot;
    type LaneOrigin = Governance;
    type EpochBlocks = ConstU32<{ 10 * MINUTE }>;
    type MaxLaneModels = ConstU32<64>;
    // One node can serve a generator; a committee needs three quality validators anyway.
    type MinEndpoints = ConstU32<1>;
    type MaxOrdersPerEpoch = ConstU32<4_096>;
    type MaxBatch = ConstU32<256>;
    // The longest name of a host has 253 bytes.
    type MaxAddress = ConstU32<259>;
    type MinDeposit = ConstU128<POQ>;
    type EquivocationSlash = EquivocationSlash;
    type ChallengeBlocks = ConstU32<{ 10 * MINUTE }>;
    // A hundred times the fee for showing a proof.
    type ChallengeBond = ConstU128<POQ>;
    type WeightInfo = pallet_proof_of_quality_express::weights::SubstrateWeight<Runtime>;
}

// ---------------------------------------------------------------- governance

/// The technical committee, among the collectives that a chain may have.
pub type TechnicalCollective = pallet_collective::Instance1;

/// A motion for which two thirds of the technical committee voted.
type TwoThirds = pallet_collective::EnsureProportionAtLeast<AccountId, TechnicalCollective, 2, 3>;

/// Root, which is sudo as long as there is a sudo key, or two thirds of the committee.
type Governance = EitherOfDiverse<EnsureRoot<AccountId>, TwoThirds>;

/// An abstention is a no: whoever leads the committee does not vote for those who are away.
pub struct Abstain;

impl pallet_collective::DefaultVote for Abstain {
    fn default_vote(_: Option<bool>, _: u32, _: u32, _: u32) -> bool {
        false
    }
}

parameter_types! {
    /// Most weight of a motion's call.
    pub MaxMotionWeight: Weight = NORMAL_SHARE * MAX_BLOCK_WEIGHT;
}

impl pallet_collective::Config<TechnicalCollective> for Runtime {
    type RuntimeOrigin = RuntimeOrigin;
    type Proposal = RuntimeCall;
    type RuntimeEvent = RuntimeEvent;
    type MotionDuration = ConstU32<{ 3 * DAY }>;
    type MaxProposals = ConstU32<16>;
    type MaxMembers = ConstU32<32>;
    type DefaultVote = Abstain;
    type WeightInfo = pallet_collective::weights::SubstrateWeight<Runtime>;
    type SetMembersOrigin = Governance;
    type MaxProposalWeight = MaxMotionWeight;
    type DisapproveOrigin = Governance;
    type KillOrigin = Governance;
    // Only members propose, and few proposals are open at a time.
    type Consideration = ();
}

// Makes a call as root that two thirds of the committee let through: by a batch of `whitelist_call` and
// `dispatch_whitelisted_call_with_preimage` in one motion. So the committee can do what sudo can.
impl pallet_whitelist::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeCall = RuntimeCall;
    type WhitelistOrigin = Governance;
    type DispatchWhitelistedOrigin = Governance;
    // The call comes with the motion.
    type Preimages = ();
    // No dispatch waits for its call to be let through: both are in one motion.
    type DeferredDispatchExpiration = ConstU32<0>;
    type BlockNumberProvider = System;
    type WeightInfo = pallet_whitelist::weights::SubstrateWeight<Runtime>;
}

// ---------------------------------------------------------------- tools

impl pallet_sudo::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeCall = RuntimeCall;
    type WeightInfo = pallet_sudo::weights::SubstrateWeight<Runtime>;
}

impl pallet_utility::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeCall = RuntimeCall;
    type PalletsOrigin = OriginCaller;
    type WeightInfo = pallet_utility::weights::SubstrateWeight<Runtime>;
}

// ---------------------------------------------------------------- transactions that a node signs

pallet_proof_of_quality::impl_create_signed_transaction!(
    Runtime,
    RuntimeCall,
    UncheckedExtrinsic,
    signed_extension
);

impl<LocalCall> CreateTransaction<LocalCall> for Runtime
where
    RuntimeCall: From<LocalCall>,
{
    type Extension = TxExtension;

    fn create_transaction(call: RuntimeCall, extension: TxExtension) -> UncheckedExtrinsic {
        UncheckedExtrinsic::new_transaction(call, extension)
    }
}

impl<LocalCall> CreateBare<LocalCall> for Runtime
where
    RuntimeCall: From<LocalCall>,
{
    fn create_bare(call: RuntimeCall) -> UncheckedExtrinsic {
        UncheckedExtrinsic::new_bare(call)
    }
}

/// The extension of an ordinary transaction without a tip and without a metadata hash.
pub fn signed_extension(era: Era, nonce: Nonce) -> TxExtension {
    (
        frame_system::CheckNonZeroSender::new(),
        frame_system::CheckSpecVersion::new(),
        frame_system::CheckTxVersion::new(),
        frame_system::CheckGenesis::new(),
        frame_system::CheckEra::from(era),
        frame_system::CheckNonce::from(nonce),
        frame_system::CheckWeight::new(),
        ReportTags::from(pallet_skip_feeless_payment::SkipCheckIfFeeless::from(
            pallet_transaction_payment::ChargeTransactionPayment::from(0),
        )),
        frame_metadata_hash_extension::CheckMetadataHash::new(false),
        frame_system::WeightReclaim::new(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        demo::{self, OPERATORS},
        genesis_presets::tests::state_of,
        Executive, ProofOfQuality, SignedPayload,
    };
    use codec::Encode;
    use frame_support::{dispatch::GetDispatchInfo, traits::OnPoll, weights::WeightMeter};
    use pallet_proof_of_quality::{
        report_tags::PRIORITY, Operators, Report, ReportKind, ReportOf, Role, Sampling, Terms,
    };
    use sp_core::{sr25519, Pair};
    use sp_keyring::Sr25519Keyring;
    use sp_runtime::{
        traits::{DispatchTransaction, TransactionExtension},
        transaction_validity::{
            InvalidTransaction, TransactionSource, TransactionValidity, TransactionValidityError,
            ValidTransaction,
        },
        DispatchError, DispatchResult,
    };

    /// The pool's verdict on a report by operator `index`'s worker key, which has no balance.
    fn pool_says(index: usize, request: u64) -> TransactionValidity {
        pool_says_of(index, request, [7; 32])
    }

    fn report(request: u64, commitment: [u8; 32]) -> RuntimeCall {
        let report: ReportOf<Runtime> = Report { request, kind: ReportKind::CommitOutput { commitment } };
        let reports = vec![report].try_into().unwrap();
        pallet_proof_of_quality::Call::<Runtime>::report_work { reports }.into()
    }

    fn pool_says_of(index: usize, request: u64, commitment: [u8; 32]) -> TransactionValidity {
        let call = report(request, commitment);
        let pair = sr25519::Pair::from_string(&demo::Operator::worker_uri(index), None).unwrap();
        let payload = SignedPayload::new(call, signed_extension(Era::Immortal, 0)).unwrap();
        let signature = payload.using_encoded(|bytes| pair.sign(bytes));
        let (call, extension, _) = payload.deconstruct();
        let account = AccountId::from(pair.public());
        assert_eq!(Balances::free_balance(&account), 0);
        let transaction = UncheckedExtrinsic::new_signed(call, account.into(), signature.into(), extension);
        Executive::validate_transaction(TransactionSource::External, transaction, Hash::default())
    }

    fn ask() {
        let models = ProofOfQuality::models(None, 64);
        let model = |name: &str| models.iter().find(|model| model.name == name.as_bytes()).unwrap().id;
        let terms = Terms {
            generators: vec![model("poq-demo-strong"), model("poq-demo-weak")].try_into().unwrap(),
            evaluator: model("poq-demo-evaluator"),
            sampling: Sampling { max_tokens: 8, temperature_milli: 0, seed: 0 },
            responders: 2,
            committee: 5,
            min_quality: Permill::zero(),
            budget: crate::currency::POQ,
            audit: [7; 32],
        };
        let asker = RuntimeOrigin::signed(Sr25519Keyring::Alice.to_account_id());
        ProofOfQuality::request_inference(asker, b"What is the capital of Peru?".to_vec(), terms).unwrap();
    }

    /// Draws two inference nodes, the first two operators of the preset.
    fn draw() {
        // The author of block 2 showed a VRF output; block 3 draws by it.
        System::set_block_number(3);
        pallet_babe::AuthorVrfRandomness::<Runtime>::put(Some([7; 32]));
        ProofOfQuality::on_poll(3, &mut WeightMeter::new());
        let duty = Operators::<Runtime>::get(OPERATORS[0].account_id()).unwrap().duties.role_in(0);
        assert_eq!(duty, Some(Role::InferenceNode));
    }

    #[test]
    fn a_worker_key_needs_no_balance_and_cannot_be_used_to_spam() {
        let unpaid = Err(TransactionValidityError::Invalid(InvalidTransaction::Payment));
        state_of(&sp_genesis_builder::DEV_RUNTIME_PRESET.into()).execute_with(|| {
            System::set_block_number(1);
            assert_eq!(pool_says(0, 0), unpaid, "there is no such request");
            System::set_block_number(1);
            ask();
            assert_eq!(pool_says(0, 0), unpaid, "nobody is drawn yet");

            draw();
            let first = pool_says(0, 0).expect("a due and valid report is free");
            assert!(first.priority > PRIORITY, "and goes before what is paid for");
            let (second, other) = (pool_says_of(0, 0, [8; 32]).unwrap(), pool_says(1, 0).unwrap());
            System::set_block_number(4);
            let again = pool_says_of(0, 0, [7; 32]).unwrap();
            assert!(again.priority > first.priority, "sent again it takes the place of the first copy");
            System::set_block_number(3);
            let shared = |other: &ValidTransaction| {
                first.provides.iter().filter(|tag| other.provides.contains(tag)).count()
            };
            // Each also provides its sender's nonce, which differs in life.
            assert_eq!(shared(&second), 2, "the pool keeps one report of a duty");
            assert_eq!(shared(&other), 0, "and those of others");
            assert_eq!(pool_says(2, 0), unpaid, "a quality validator was not drawn");
            assert_eq!(pool_says(0, 1), unpaid, "another request");

            let weight_of = |index: usize| {
                let report = Report { request: 0, kind: ReportKind::CommitOutput { commitment: [7; 32] } };
                let worker = RuntimeOrigin::signed(OPERATORS[index].worker.into());
                let info = ProofOfQuality::report_work(worker, vec![report].try_into().unwrap()).unwrap();
                info.actual_weight.expect("the call says what it weighed").ref_time()
            };
            assert!(weight_of(0) < weight_of(1), "only the last report of a phase moves its request");
        });
    }

    #[test]
    fn what_charging_a_fee_weighs_is_given_back_for_a_report_and_for_nothing_else() {
        type Fees = ReportTags<
            Runtime,
            pallet_skip_feeless_payment::SkipCheckIfFeeless<
                Runtime,
                pallet_transaction_payment::ChargeTransactionPayment<Runtime>,
            >,
        >;
        // Its weight before the call, and the part returned after it.
        let fee = |call: RuntimeCall, signer: AccountId, result: DispatchResult| {
            let (_, _, _, _, _, _, _, extension, _, _) = signed_extension(Era::Immortal, 0);
            let (weight, info) = (extension.weight(&call), call.get_dispatch_info());
            let signer = RuntimeOrigin::signed(signer);
            let (pre, _) = extension.validate_and_prepare(signer, &call, &info, 100, 0).unwrap();
            let post = frame_support::dispatch::PostDispatchInfo::default();
            let unspent = Fees::post_dispatch_details(pre, &info, &post, 100, &result).unwrap();
            (weight, unspent)
        };
        state_of(&sp_genesis_builder::DEV_RUNTIME_PRESET.into()).execute_with(|| {
            System::set_block_number(1);
            ask();
            draw();
            let worker = || AccountId::from(OPERATORS[0].worker);
            let (weight, unspent) = fee(report(0, [7; 32]), worker(), Ok(()));
            assert!(weight != Weight::zero() && unspent == weight);
            // Between its check and the call the report was overtaken.
            let late = Err(DispatchError::Other("too late"));
            assert_eq!(fee(report(0, [7; 32]), worker(), late).1, Weight::zero());
            let remark = frame_system::Call::remark { remark: vec![] }.into();
            let alice = Sr25519Keyring::Alice.to_account_id();
            assert_eq!(fee(remark, alice, Ok(())).1, Weight::zero());
        });
    }
}
