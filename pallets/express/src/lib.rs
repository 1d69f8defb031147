//! # The express lane of Proof of Quality
//!
//! Settles orders that were answered and scored off chain, in batches. Text never comes here; agreement takes milliseconds between the
//! parties, and this pallet is their bank and their court.
//!
//! - [Overview](#overview) · [Terminology](#terminology) · [Epochs](#epochs) · [Money](#money) · [Standing](#standing)
//! - [What is proven, and what not](#what-is-proven-and-what-not) · [What is missing](#what-is-missing)
//!
//! ## Overview
//!
//! On the path of `pallet-proof-of-quality` each prompt, output, commitment and reveal is a transaction. Here the parties exchange them
//! among themselves, signed, and the result is a certificate ([`poq_primitives::express::Certificate`]) that anybody can have settled. The
//! chain then checks draws and signatures, and computes consensus, agreement and pay by the functions of the other path.
//!
//! ## Terminology
//!
//! | word | meaning |
//! |---|---|
//! | channel | a requester's deposit for orders, with a key that signs them; [`Channels`] |
//! | order | a request off chain, named by channel, epoch and index; [`poq_primitives::express::Order`] |
//! | endpoint | where an operator takes orders, and the *express key* with which it signs; [`Endpoints`] |
//! | snapshot | the operators that can be drawn for a model in an epoch, frozen before the epoch's seed is known; [`Snapshots`] |
//! | certificate | an order with what its parties signed: enough to settle it |
//! | settler | whoever sends certificates here, and pays the fee for it |
//! | pot | the account that holds deposits and earnings |
//!
//! ## Epochs
//!
//! | time | what |
//! |---|---|
//! | start of epoch `e` | rosters of the models on the lane are frozen, without operators that have no endpoint |
//! | some blocks later | the seed of `e` is taken, once one is there that nobody knew when the last roster was frozen |
//! | until the end of `e + 1` | orders of `e` settle |
//! | start of `e + 2` | standings learn from `e`; channels that were closed in `e` are released |
//! | until the end of `e + 2` | proofs against parties of `e` are heard |
//!
//! A channel has orders from the epoch after the one in which it was opened: its key was chosen before that epoch's seed was known.
//!
//! ## Money
//!
//! A deposit goes into the pot. A settled order takes `paid + fee + withheld` from its channel, at most its budget: the pay is credited to
//! operators ([`Earnings`]), who claim it; the fee goes to `FeeHandler`; what is withheld goes to `SlashHandler`, among it what absent parties
//! could have earned, so that nobody saves by leaving somebody out. The pot never holds less than
//! `deposits + earnings` ([`Pallet::do_check`]).
//!
//! Latency is not paid for here: no clock of a party proves anything.
//!
//! ## Standing
//!
//! An operator's standing learns once per epoch, from the mean of what it did, in at most [`pallet_proof_of_quality::lane::MOST_STEPS`]
//! steps: hundreds of orders in a second must not make a newcomer trusted within a second.
//!
//! ## What is proven, and what not
//!
//! - The committee is drawn by VRFs of the channel and of all responders, which nobody can choose ([`poq_primitives::express::draw`]). The
//!   chain sees the outputs of the VRFs only; the parties check their proofs. If *all* parties of an order collude, they can fake it, which
//!   costs nobody else anything.
//! - A key that signs two statements of which it may sign one is punished by whoever reports it ([`Pallet::report_equivocation`]).
//! - A requester chooses the index of an order, so it can choose among the responders of its indices; never the committee, as long as one
//!   responder is honest and answers. It can call responders absent, one by one, and look which committee that gives: each costs it what the
//!   absent could have earned, and those who have committed can escalate.
//! - Who owns operators can find indices whose parties are all its own, and praise itself at the price of the fees: up to the quality of 1,
//!   by as many steps as there are orders, at most 16 in an epoch. Its trust as a quality validator rises by agreement, with the recommended
//!   parameters to at most twice that of a newcomer; more needs audits. If it made up draws, whoever sees one of its orders in a block can
//!   ask for the proofs, and each that is missing costs the most that an order of the channel can cost, or a part of a stake.
//! - Which model ran is not proven, nor that a silent party was reached.
//!
//! ## What stalls
//!
//! - An order that nobody goes on with costs nothing: what is not settled is not paid for.
//! - A responder that has committed can always go on ([`Pallet::escalate`]): the order becomes a request with its commitments. The prompt is
//!   public then.
//! - A committee that has not come to a quorum is not paid, and the order goes the same way.
//! - A certificate that calls a responder absent, or lacks a reveal of its set, settles half an epoch later than a whole one: a responder that
//!   was left out has the time to escalate, and a member to have the whole settled.
//! - An order settles, or escalates, only while the balance also covers all that operators may have served before it: what a requester's
//!   friends bring takes nothing from others.
//!
//! ## What is missing
//!
//! Its weights are bounds and not measured. The processes that carry orders out are in `express/process/`.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

extern crate alloc;

// Owners: each is the only writer of its storage; `money` of the pot.
mod channels;
mod earnings;
mod endpoints;
mod epochs;
mod money;
// What acts on an order, and what the lane does by itself.
mod audits;
mod challenges;
mod escalation;
mod offences;
mod orders;
mod steps;
// What calls and steps weigh.
mod charges;
pub mod weights;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

pub use audits::{Place, Texts};
pub use challenges::{Challenge, ChallengeOf, Doubt, Draw, Use};
pub use channels::{Channel, NamesOf};
pub use earnings::{Count, Tally};
pub use endpoints::Endpoint;
pub use epochs::{EpochInfo, SnapshotOf, KEPT};
pub use orders::{Batch, CertificateOf, Refusal};
pub use pallet::*;
pub use weights::WeightInfo;

pub use pallet_proof_of_quality::BalanceOf;
use poq_primitives::{
    commitment::Hash32,
    express::{Digest, Key, Signature, Verify},
};
use sp_core::sr25519;

/// Checks signatures by the host's function, as every node has it.
pub(crate) struct Host;

impl Verify for Host {
    fn verify(&self, key: &Key, digest: &Digest, signature: &Signature) -> bool {
        let (signature, key) = (sr25519::Signature::from_raw(*signature), sr25519::Public::from_raw(*key));
        sp_io::crypto::sr25519_verify(&signature, &digest.0, &key)
    }
}

/// Hash of the genesis block: binds what is signed to this chain.
pub(crate) fn genesis_hash<T: Config>() -> Hash32 {
    pallet_proof_of_quality::lane::genesis_hash::<T>()
}

// The macros of FRAME expand to `expect`; this module only declares, the work stands in the others.
#[allow(clippy::expect_used)]
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use alloc::vec::Vec;
    #[cfg(feature = "std")]
    use frame_support::traits::fungible::Inspect;
    use frame_support::{pallet_prelude::*, weights::WeightMeter, PalletId};
    use frame_system::pallet_prelude::*;
    use pallet_proof_of_quality::{AnswerKeyOf, ModelId, RequestId};
    use poq_primitives::{
        commitment::Salt,
        express::{ChannelId, Epoch, Equivocation, Order, OrderName, ResponderPart},
    };
    use sp_runtime::{traits::Saturating, Permill};

    /// Types and limits chosen by the runtime.
    #[pallet::config]
    pub trait Config:
        frame_system::Config<RuntimeEvent: From<Event<Self>>> + pallet_proof_of_quality::Config
    {
        /// Names the pot.
        #[pallet::constant]
        type PalletId: Get<PalletId>;

        /// The origin that puts models on the lane and takes them off.
        type LaneOrigin: EnsureOrigin<Self::RuntimeOrigin>;

        /// Blocks of an epoch, unless the genesis of a test chain says fewer. Three of them and `audit_window` together must be less than
        /// `unbonding_period`, so that nobody is gone while it answers for orders.
        #[pallet::constant]
        type EpochBlocks: Get<BlockNumberFor<Self>>;

        /// Most models on the lane.
        #[pallet::constant]
        type MaxLaneModels: Get<u32>;

        /// Fewest operators with endpoints for a model to have a lane. At least 1.
        #[pallet::constant]
        type MinEndpoints: Get<u32>;

        /// Most orders of a channel in an epoch. At least 1.
        #[pallet::constant]
        type MaxOrdersPerEpoch: Get<u32>;

        /// Most certificates in a batch. At least 1.
        #[pallet::constant]
        type MaxBatch: Get<u32>;

        /// Longest address of an endpoint, in bytes.
        #[pallet::constant]
        type MaxAddress: Get<u32>;

        /// Least deposit of a new channel.
        #[pallet::constant]
        type MinDeposit: Get<BalanceOf<Self>>;

        /// The part of its stake that an equivocation, or a VRF output without proof, costs an operator.
        #[pallet::constant]
        type EquivocationSlash: Get<Permill>;

        /// Blocks in which a challenged key shows the proof of its VRF; an epoch, if that is shorter. Less than two epochs, so that it is
        /// punished in time.
        #[pallet::constant]
        type ChallengeBlocks: Get<BlockNumberFor<Self>>;

        /// Bond of a challenge, which the challenged has if it shows the proof: more than the fee for showing it, and at least the existential
        /// deposit.
        #[pallet::constant]
        type ChallengeBond: Get<BalanceOf<Self>>;

        /// Weights of the calls and of the hook's steps.
        type WeightInfo: WeightInfo;
    }

    /// The version of the pallet's storage.
    const STORAGE_VERSION: StorageVersion = StorageVersion::new(0);

    /// The pallet.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// The models on the lane.
    #[pallet::storage]
    pub type LaneModels<T: Config> = StorageValue<_, BoundedBTreeSet<ModelId, T::MaxLaneModels>, ValueQuery>;

    /// Number of the current epoch; 0 before the first.
    #[pallet::storage]
    pub type CurrentEpoch<T: Config> = StorageValue<_, Epoch, ValueQuery>;

    /// Blocks of an epoch.
    #[pallet::storage]
    pub type EpochLength<T: Config> = StorageValue<_, BlockNumberFor<T>, ValueQuery, T::EpochBlocks>;

    /// The current epoch and the two before it.
    #[pallet::storage]
    pub type Epochs<T: Config> = StorageMap<_, Twox64Concat, Epoch, EpochInfo<T>>;

    /// Models whose rosters are still to be frozen for the current epoch.
    #[pallet::storage]
    pub type Freezing<T: Config> = StorageValue<_, BoundedVec<ModelId, T::MaxLaneModels>, ValueQuery>;

    /// The operators that can be drawn for a model in an epoch. None for a model with fewer than `MinEndpoints`.
    #[pallet::storage]
    pub type Snapshots<T: Config> =
        StorageDoubleMap<_, Twox64Concat, Epoch, Identity, ModelId, SnapshotOf<T>>;

    /// Where operators take orders.
    #[pallet::storage]
    pub type Endpoints<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, Endpoint<T>>;

    /// The operator of each express key.
    #[pallet::storage]
    pub type ExpressKeys<T: Config> = StorageMap<_, Blake2_128Concat, Key, T::AccountId>;

    /// Number of the next channel.
    #[pallet::storage]
    pub type NextChannel<T: Config> = StorageValue<_, ChannelId, ValueQuery>;

    /// Requesters' deposits.
    #[pallet::storage]
    pub type Channels<T: Config> = StorageMap<_, Twox64Concat, ChannelId, Channel<T>>;

    /// Names of orders that are used, by epoch and channel.
    #[pallet::storage]
    pub type UsedNames<T: Config> =
        StorageDoubleMap<_, Twox64Concat, Epoch, Twox64Concat, ChannelId, NamesOf<T>, ValueQuery>;

    /// What operators have earned on the lane and not claimed.
    #[pallet::storage]
    pub type Earnings<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, BalanceOf<T>, ValueQuery>;

    /// What operators did in each epoch from which no standing has learned yet.
    #[pallet::storage]
    pub type Tallies<T: Config> = StorageDoubleMap<
        _,
        Twox64Concat,
        Epoch,
        Blake2_128Concat,
        T::AccountId,
        Tally<BalanceOf<T>>,
        ValueQuery,
    >;

    /// Number of the next batch.
    #[pallet::storage]
    pub type NextBatch<T: Config> = StorageValue<_, u64, ValueQuery>;

    /// The batches that were settled, by the epoch in which they were.
    #[pallet::storage]
    pub type Batches<T: Config> =
        StorageDoubleMap<_, Twox64Concat, Epoch, Twox64Concat, u64, Batch<T::AccountId>>;

    /// Keys that were punished, each with the order that it was for.
    #[pallet::storage]
    pub type Offences<T: Config> =
        StorageDoubleMap<_, Twox64Concat, Epoch, Blake2_128Concat, (Key, OrderName), ()>;

    /// Orders whose answer key was revealed.
    #[pallet::storage]
    pub type AuditedOrders<T: Config> =
        StorageDoubleMap<_, Twox64Concat, Epoch, Blake2_128Concat, OrderName, ()>;

    /// VRF outputs whose proof was asked for.
    #[pallet::storage]
    pub type Challenges<T: Config> = StorageMap<_, Blake2_128Concat, Doubt, ChallengeOf<T>>;

    /// The first epoch from which standings have not learned.
    #[pallet::storage]
    pub type NextToLearn<T: Config> = StorageValue<_, Epoch, ValueQuery>;

    /// The first epoch that is not forgotten.
    #[pallet::storage]
    pub type NextToForget<T: Config> = StorageValue<_, Epoch, ValueQuery>;

    /// The lane at genesis.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// Models on the lane from the first epoch on. `pallet-proof-of-quality` must know them.
        pub models: Vec<ModelId>,
        /// Blocks of an epoch, 3 to `EpochBlocks`; `EpochBlocks` if not given. Fewer are for test chains, where nobody wants to wait.
        pub epoch_blocks: Option<BlockNumberFor<T>>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            epochs::build::<T>(&self.models, self.epoch_blocks);
        }
    }

    /// Events of the pallet.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A model is on the lane from the next epoch on.
        ModelOpened {
            /// SHA-256 of its file.
            model: ModelId,
        },
        /// A model has no lane from the next epoch on.
        ModelClosed {
            /// SHA-256 of its file.
            model: ModelId,
        },
        /// An epoch began.
        EpochBegan {
            /// Its number.
            epoch: Epoch,
        },
        /// The draws of an epoch can be made.
        EpochSeeded {
            /// Its number.
            epoch: Epoch,
            /// Its seed.
            seed: Hash32,
        },
        /// An operator takes orders, from the next epoch on.
        EndpointSet {
            /// The operator.
            operator: T::AccountId,
            /// Its express key.
            key: Key,
        },
        /// An operator takes no more orders, from the next epoch on.
        EndpointClosed {
            /// The operator.
            operator: T::AccountId,
        },
        /// A closed endpoint was forgotten.
        EndpointForgotten {
            /// The operator.
            operator: T::AccountId,
        },
        /// A requester opened a channel.
        ChannelOpened {
            /// Its number.
            channel: ChannelId,
            /// The requester.
            owner: T::AccountId,
            /// Its deposit.
            deposit: BalanceOf<T>,
            /// The first epoch with orders.
            from: Epoch,
        },
        /// A channel's balance grew.
        ChannelToppedUp {
            /// Its number.
            channel: ChannelId,
            /// By how much.
            amount: BalanceOf<T>,
        },
        /// A channel takes no orders after an epoch.
        ChannelClosing {
            /// Its number.
            channel: ChannelId,
            /// The last epoch with orders.
            last: Epoch,
        },
        /// What was left of a channel went back.
        ChannelReleased {
            /// Its number.
            channel: ChannelId,
            /// Who was paid.
            owner: T::AccountId,
            /// How much.
            refund: BalanceOf<T>,
            /// What it had forfeited, for `SlashHandler`.
            forfeited: BalanceOf<T>,
        },
        /// An order was settled.
        OrderSettled {
            /// Its name.
            name: OrderName,
            /// Index of the best response among the responders.
            best: u32,
            /// Its consensus score.
            quality: Permill,
            /// Sum of all pay.
            paid: BalanceOf<T>,
            /// What the chain took: fee, and what was withheld.
            fee: BalanceOf<T>,
        },
        /// An order of a batch was not settled.
        OrderRefused {
            /// Its name.
            name: OrderName,
            /// Why.
            refusal: Refusal,
        },
        /// A batch was settled, as far as its orders could be.
        BatchSettled {
            /// Its number.
            batch: u64,
            /// Root of the settled certificates' hashes.
            root: Hash32,
            /// How many were settled.
            count: u32,
        },
        /// An operator was paid what it has earned.
        Claimed {
            /// The operator.
            operator: T::AccountId,
            /// The sum.
            amount: BalanceOf<T>,
        },
        /// The answer key of an order was revealed.
        OrderAudited {
            /// Its name.
            name: OrderName,
            /// What each output that was shown deserves, in the order of the draw.
            truth: BoundedVec<Permill, T::MaxResponders>,
        },
        /// A quality validator was held to the truth.
        ScoresAudited {
            /// The order.
            name: OrderName,
            /// The quality validator.
            operator: T::AccountId,
            /// Distance of its worst score from the truth.
            error: Permill,
            /// What that cost of its stake.
            slashed: BalanceOf<T>,
        },
        /// An order goes on as a request.
        Escalated {
            /// Its name.
            name: OrderName,
            /// The request.
            request: RequestId,
        },
        /// A key was asked for the proof of a VRF output.
        Challenged {
            /// The key.
            key: Key,
            /// The order in which it used it.
            name: OrderName,
            /// For which draw.
            draw: Draw,
            /// Last block in which the proof counts.
            until: BlockNumberFor<T>,
        },
        /// The proof was shown.
        ChallengeAnswered {
            /// The key.
            key: Key,
            /// The order.
            name: OrderName,
            /// The draw.
            draw: Draw,
        },
        /// An operator signed two statements of which it may sign one, or has no proof of its VRF.
        OperatorPunished {
            /// The operator.
            operator: T::AccountId,
            /// The order that they are about.
            name: OrderName,
            /// What it lost of its stake.
            slashed: BalanceOf<T>,
        },
        /// A requester signed two orders under one name, or has no proof of its VRF.
        RequesterPunished {
            /// The name.
            name: OrderName,
            /// What its channel loses of what would go back.
            forfeited: BalanceOf<T>,
        },
    }

    /// Errors of the pallet.
    #[pallet::error]
    pub enum Error<T> {
        /// No such model, or it is retired.
        UnknownModel,
        /// The model is on the lane already.
        ModelOnLane,
        /// The model is not on the lane.
        ModelNotOnLane,
        /// The lane has as many models as it takes.
        TooManyModels,
        /// Only an operator with a worker key has an endpoint.
        NotAnOperator,
        /// An address is a host and a port, in UTF-8.
        InvalidAddress,
        /// The express key has not signed that it acts for the signer.
        InvalidConsent,
        /// Another operator has this express key, or the signer had it before.
        KeyInUse,
        /// The express key was changed lately; wait until no proof against the one before can come.
        KeyChangedTwice,
        /// The operator has no endpoint.
        NoEndpoint,
        /// The endpoint answers for orders of the latest epochs; wait until they are forgotten.
        StillAnswerable,
        /// Only the owner can do this.
        NotYours,
        /// No such channel.
        UnknownChannel,
        /// The channel is closing.
        ChannelClosing,
        /// Orders of the channel can still settle: close it, and wait for two epochs.
        ChannelOpen,
        /// A channel has 1 to `MaxOrdersPerEpoch` orders in an epoch.
        InvalidOrdersPerEpoch,
        /// The most that an order may cost is above zero.
        InvalidMostPerOrder,
        /// The deposit is below `MinDeposit`, or below what one order can cost; of an order, it covers no more than those before it.
        DepositTooSmall,
        /// An amount of nothing.
        ZeroAmount,
        /// A number is too large.
        Overflow,
        /// A batch has at least one certificate.
        EmptyBatch,
        /// There is nothing to claim.
        NothingEarned,
        /// The account cannot take this payment.
        NotPayable,
        /// The pot cannot take or give this sum.
        PotNotPayable,
        /// The order of the proof is of an epoch that is forgotten, or has not begun.
        TooOld,
        /// The key was punished for this order.
        Punished,
        /// The statements do not exclude each other, or the key did not sign them.
        NotAProof,
        /// No operator and not the channel of the orders has this key.
        UnknownKey,
        /// The prompt and its salt are not those of the order.
        AnotherPrompt,
        /// The epoch has no seed, or the generator no snapshot in it.
        NoLane,
        /// The name was used: the order was settled or has escalated.
        NameUsed,
        /// The channel's key did not sign this order, or the order cannot be one of the channel.
        NotOrdered,
        /// The first draw picks others, or they did not sign this.
        NotTheResponders,
        /// No responder has committed: let the order be, and ask anew.
        NothingCommitted,
        /// There is no such batch, or it is forgotten.
        UnknownBatch,
        /// The certificate does not stand in the batch.
        NotInBatch,
        /// The order does not carry a commitment to this answer key.
        AnotherKey,
        /// The outputs are not those to which the responders committed, or not as many as were shown.
        AnotherOutput,
        /// The answer key was revealed already.
        AlreadyAudited,
        /// Texts or a proof are longer than those of an order can be.
        TooLong,
        /// The proof was asked for already.
        AlreadyChallenged,
        /// No proof was asked for, or it was shown.
        NoChallenge,
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_poll(now: BlockNumberFor<T>, meter: &mut WeightMeter) {
            steps::service::<T>(now, meter);
        }

        #[cfg(feature = "std")]
        fn integrity_test() {
            assert!(T::MinEndpoints::get() >= 1, "MinEndpoints must be at least 1");
            assert!(T::MaxOrdersPerEpoch::get() >= 1, "MaxOrdersPerEpoch must be at least 1");
            assert!(T::MaxBatch::get() >= 1, "MaxBatch must be at least 1");
            assert!(
                T::ChallengeBlocks::get() < T::EpochBlocks::get().saturating_add(T::EpochBlocks::get()),
                "ChallengeBlocks must be less than two epochs"
            );
            let least =
                <<T as pallet_proof_of_quality::Config>::Currency as Inspect<T::AccountId>>::minimum_balance(
                );
            assert!(
                T::ChallengeBond::get() >= least,
                "ChallengeBond must not be below the existential deposit, or it could not go back"
            );
            let rules = <T as pallet_proof_of_quality::Config>::DefaultParameters::get();
            let answerable =
                T::EpochBlocks::get().saturating_mul(KEPT.into()).saturating_add(rules.audit_window);
            assert!(
                answerable < rules.unbonding_period,
                "three epochs and audit_window must be less than unbonding_period"
            );
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_check().map_err(sp_runtime::TryRuntimeError::Other)
        }
    }

    impl<T: Config> Pallet<T> {
        /// Checks what must always hold. Reads the whole state of the lane: for tests and try-runtime.
        pub fn do_check() -> Result<(), &'static str> {
            epochs::check::<T>()?;
            endpoints::check::<T>()?;
            channels::check::<T>()?;
            earnings::check::<T>()?;
            let owed = channels::total::<T>().saturating_add(earnings::total::<T>());
            let owed = owed.saturating_add(challenges::total::<T>());
            // More, if somebody has sent it something.
            ensure!(owed <= money::in_pot::<T>(), "the pot does not hold deposits and earnings");
            Ok(())
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Puts a model on the lane, from the next epoch on.
        ///
        /// Origin: `LaneOrigin`.
        /// Errors: [`Error::UnknownModel`], [`Error::ModelOnLane`], [`Error::TooManyModels`].
        /// Events: [`Event::ModelOpened`].
        #[pallet::call_index(0)]
        #[pallet::weight(<T as Config>::WeightInfo::open_model())]
        pub fn open_model(origin: OriginFor<T>, model: ModelId) -> DispatchResult {
            T::LaneOrigin::ensure_origin(origin)?;
            epochs::open_model::<T>(model)
        }

        /// Takes a model off the lane, from the next epoch on. Orders of epochs that have begun go on.
        ///
        /// Origin: `LaneOrigin`.
        /// Errors: [`Error::ModelNotOnLane`].
        /// Events: [`Event::ModelClosed`].
        #[pallet::call_index(1)]
        #[pallet::weight(<T as Config>::WeightInfo::close_model())]
        pub fn close_model(origin: OriginFor<T>, model: ModelId) -> DispatchResult {
            T::LaneOrigin::ensure_origin(origin)?;
            epochs::close_model::<T>(model)
        }

        /// Says where the signer takes orders, from the next epoch on, in place of what it said before.
        ///
        /// Origin: signed, an operator with a worker key.
        /// Details: `address` is a host and a port; `tls` the SHA-256 of the certificate that it shows; `key` an sr25519 key of its own
        /// for the lane, and `consent` that key's signature of [`poq_primitives::express::messages::endpoint_consent`]. The key before
        /// answers for the orders of its epochs, so another change must wait until they are forgotten.
        /// Errors: [`Error::NotAnOperator`], [`Error::InvalidAddress`], [`Error::InvalidConsent`], [`Error::KeyInUse`],
        /// [`Error::KeyChangedTwice`].
        /// Events: [`Event::EndpointSet`].
        #[pallet::call_index(2)]
        #[pallet::weight(<T as Config>::WeightInfo::set_endpoint())]
        pub fn set_endpoint(
            origin: OriginFor<T>,
            address: BoundedVec<u8, T::MaxAddress>,
            tls: Hash32,
            key: Key,
            consent: Signature,
        ) -> DispatchResult {
            endpoints::set::<T>(ensure_signed(origin)?, address, tls, key, consent)
        }

        /// Has an operator take no more orders, from the next epoch on; called once more, after [`KEPT`] epochs, forgets its endpoint.
        ///
        /// Origin: signed, by the operator; by anybody to forget it, or if the operator is none any more.
        /// Errors: [`Error::NoEndpoint`], [`Error::NotYours`], [`Error::StillAnswerable`].
        /// Events: [`Event::EndpointClosed`] or [`Event::EndpointForgotten`].
        #[pallet::call_index(3)]
        #[pallet::weight(<T as Config>::WeightInfo::remove_endpoint())]
        pub fn remove_endpoint(origin: OriginFor<T>, operator: T::AccountId) -> DispatchResult {
            endpoints::remove::<T>(ensure_signed(origin)?, operator)
        }

        /// Opens a channel and pays its deposit.
        ///
        /// Origin: signed.
        /// Details: `key` is the sr25519 key that signs its orders. An order costs at most `most_per_order`; operators serve index `i` of an
        /// epoch only while the balance covers `i + 1` of them and those of the epoch before that are not settled. Orders begin with the next
        /// epoch. Who opens the first channel of the chain also pays the existential deposit of the pot.
        /// Errors: [`Error::InvalidOrdersPerEpoch`], [`Error::InvalidMostPerOrder`], [`Error::DepositTooSmall`], [`Error::Overflow`], or what
        /// the currency says.
        /// Events: [`Event::ChannelOpened`].
        #[pallet::call_index(4)]
        #[pallet::weight(<T as Config>::WeightInfo::open_channel())]
        pub fn open_channel(
            origin: OriginFor<T>,
            key: Key,
            #[pallet::compact] deposit: BalanceOf<T>,
            #[pallet::compact] most_per_order: BalanceOf<T>,
            orders_per_epoch: u32,
        ) -> DispatchResult {
            channels::open::<T>(ensure_signed(origin)?, key, deposit, most_per_order, orders_per_epoch)
        }

        /// Adds to a channel's deposit.
        ///
        /// Origin: signed, by anybody. What is left goes to the channel's owner in the end.
        /// Errors: [`Error::ZeroAmount`], [`Error::UnknownChannel`], [`Error::ChannelClosing`], [`Error::Overflow`], or what the currency says.
        /// Events: [`Event::ChannelToppedUp`].
        #[pallet::call_index(5)]
        #[pallet::weight(<T as Config>::WeightInfo::top_up())]
        pub fn top_up(
            origin: OriginFor<T>,
            channel: ChannelId,
            #[pallet::compact] amount: BalanceOf<T>,
        ) -> DispatchResult {
            channels::top_up::<T>(&ensure_signed(origin)?, channel, amount)
        }

        /// Has a channel take no orders after the current epoch. What is left can be released two epochs later.
        ///
        /// Origin: signed, by its owner.
        /// Errors: [`Error::UnknownChannel`], [`Error::NotYours`], [`Error::ChannelClosing`].
        /// Events: [`Event::ChannelClosing`].
        #[pallet::call_index(6)]
        #[pallet::weight(<T as Config>::WeightInfo::close_channel())]
        pub fn close_channel(origin: OriginFor<T>, channel: ChannelId) -> DispatchResult {
            channels::close::<T>(&ensure_signed(origin)?, channel)
        }

        /// Pays what is left of a closed channel back to its owner.
        ///
        /// Origin: signed, by anybody.
        /// Errors: [`Error::UnknownChannel`], [`Error::ChannelOpen`], [`Error::NotPayable`].
        /// Events: [`Event::ChannelReleased`].
        #[pallet::call_index(7)]
        #[pallet::weight(<T as Config>::WeightInfo::release_channel())]
        pub fn release_channel(origin: OriginFor<T>, channel: ChannelId) -> DispatchResult {
            ensure_signed(origin)?;
            channels::release::<T>(channel)
        }

        /// Settles orders.
        ///
        /// Origin: signed, by anybody, who pays the fee of the transaction.
        /// Details: each order is checked by itself. One that does not hold is refused with an event and changes nothing; the others are
        /// settled.
        /// Errors: [`Error::EmptyBatch`].
        /// Events: [`Event::OrderSettled`] or [`Event::OrderRefused`] for each, [`Event::BatchSettled`] if any was settled.
        #[pallet::call_index(8)]
        #[pallet::weight(charges::settle_batch::<T>(certificates))]
        pub fn settle_batch(
            origin: OriginFor<T>,
            certificates: BoundedVec<CertificateOf<T>, T::MaxBatch>,
        ) -> DispatchResult {
            let settler = ensure_signed(origin)?;
            ensure!(!certificates.is_empty(), Error::<T>::EmptyBatch);
            orders::settle_batch::<T>(settler, &certificates)
        }

        /// Pays the signer what it has earned on the lane.
        ///
        /// Origin: signed, by an operator that has earned something; also one that is none any more.
        /// Errors: [`Error::NothingEarned`], [`Error::NotPayable`].
        /// Events: [`Event::Claimed`].
        #[pallet::call_index(9)]
        #[pallet::weight(<T as Config>::WeightInfo::claim())]
        pub fn claim(origin: OriginFor<T>) -> DispatchResult {
            earnings::claim::<T>(ensure_signed(origin)?)
        }

        /// Punishes a key that signed two statements of which it may sign one.
        ///
        /// Origin: signed, by anybody. Nobody earns by it.
        /// Details: of an operator, `EquivocationSlash` of its stake goes to `SlashHandler`. A channel is closed, and forfeits
        /// `most_per_order` of what would go back; what was served is paid. Once for each key and order.
        /// Errors: [`Error::TooLong`], [`Error::TooOld`], [`Error::Punished`], [`Error::NotAProof`], [`Error::UnknownKey`], [`Error::UnknownChannel`].
        /// Events: [`Event::OperatorPunished`] or [`Event::RequesterPunished`].
        #[pallet::call_index(10)]
        #[pallet::weight(<T as Config>::WeightInfo::report_equivocation())]
        pub fn report_equivocation(
            origin: OriginFor<T>,
            key: Key,
            proof: Equivocation<BalanceOf<T>>,
        ) -> DispatchResult {
            ensure_signed(origin)?;
            offences::report::<T>(key, &proof)
        }

        /// Goes on with an order on the chain path: as a request of the channel's owner, with what its responders have committed to.
        ///
        /// Origin: signed, by anybody who has the order.
        /// Details: `responders` are what the picked inference nodes did, in the order of the draw, at least one with a commitment. The name
        /// is used up, the budget goes from the channel on hold, and the prompt is public. Who has committed must show its output in the
        /// generator's reveal window ([`Pallet::show_output`]) or is slashed for its absence; the others of the draw are asked as for any
        /// request, if they have room. An order whose prompt is longer than `MaxPromptLength` cannot go this way.
        /// Errors: [`Error::TooOld`], [`Error::AnotherPrompt`], [`Error::UnknownChannel`], [`Error::NameUsed`], [`Error::DepositTooSmall`],
        /// [`Error::NoLane`], [`Error::NotOrdered`], [`Error::NotTheResponders`], [`Error::NothingCommitted`], or those of a request.
        /// Events: [`Event::Escalated`], and those of a request.
        #[pallet::call_index(11)]
        #[pallet::weight(<T as Config>::WeightInfo::escalate(prompt.len() as u32, responders.len() as u32))]
        pub fn escalate(
            origin: OriginFor<T>,
            order: Order<BalanceOf<T>>,
            signature: Signature,
            prompt: BoundedVec<u8, T::MaxPromptLength>,
            salt: Salt,
            responders: BoundedVec<ResponderPart, ConstU32<64>>,
        ) -> DispatchResult {
            ensure_signed(origin)?;
            escalation::escalate::<T>(&order, &signature, prompt.into_inner(), &salt, &responders)
        }

        /// Shows the output to which a responder committed as to an order, in the request that the order became.
        ///
        /// Origin: signed, by anybody: the output proves itself.
        /// Errors: [`Error::UnknownKey`], and those of a report.
        /// Events: `WorkReported` of `pallet-proof-of-quality`.
        #[pallet::call_index(12)]
        #[pallet::weight(<T as Config>::WeightInfo::show_output(output.len() as u32))]
        pub fn show_output(
            origin: OriginFor<T>,
            request: RequestId,
            name: OrderName,
            key: Key,
            output: BoundedVec<u8, T::MaxOutputLength>,
            salt: Salt,
        ) -> DispatchResult {
            ensure_signed(origin)?;
            escalation::show::<T>(request, &name, &key, output, &salt)
        }

        /// Asks a key for the proof of a VRF output that it used in an order, against a bond.
        ///
        /// Origin: signed.
        /// Errors: [`Error::TooOld`], [`Error::NotAProof`] if the key did not use this output, [`Error::UnknownChannel`],
        /// [`Error::UnknownKey`], [`Error::AlreadyChallenged`], [`Error::Punished`], or what the currency says.
        /// Events: [`Event::Challenged`].
        #[pallet::call_index(13)]
        #[pallet::weight(<T as Config>::WeightInfo::challenge_vrf())]
        pub fn challenge_vrf(
            origin: OriginFor<T>,
            key: Key,
            order: Order<BalanceOf<T>>,
            usage: Use,
        ) -> DispatchResult {
            challenges::challenge::<T>(ensure_signed(origin)?, key, &order, &usage)
        }

        /// Shows the proof that was asked for. The bond goes to the operator's earnings, or into the channel.
        ///
        /// Origin: signed, by anybody, as long as nobody had the key punished.
        /// Errors: [`Error::NoChallenge`], [`Error::NotAProof`].
        /// Events: [`Event::ChallengeAnswered`].
        #[pallet::call_index(14)]
        #[pallet::weight(<T as Config>::WeightInfo::answer_challenge())]
        pub fn answer_challenge(
            origin: OriginFor<T>,
            key: Key,
            name: OrderName,
            draw: Draw,
            proof: [u8; 64],
        ) -> DispatchResult {
            ensure_signed(origin)?;
            challenges::answer::<T>((key, name, draw), &proof)
        }

        /// Punishes a key that has shown no proof in time, as for an equivocation; the bond goes back.
        ///
        /// Origin: signed, by anybody.
        /// Errors: [`Error::NoChallenge`], [`Error::StillAnswerable`], [`Error::NotPayable`].
        /// Events: [`Event::OperatorPunished`] or [`Event::RequesterPunished`]; none if who is to be punished is gone.
        #[pallet::call_index(15)]
        #[pallet::weight(<T as Config>::WeightInfo::punish_unproven())]
        pub fn punish_unproven(
            origin: OriginFor<T>,
            key: Key,
            name: OrderName,
            draw: Draw,
        ) -> DispatchResult {
            ensure_signed(origin)?;
            challenges::punish::<T>((key, name, draw))
        }

        /// Reveals the answer key of an order, and holds its parties to the truth.
        ///
        /// Origin: `AuditOrigin` of `pallet-proof-of-quality`.
        /// Details: as long as order and batch are kept, so at least a whole epoch after the batch. Standing moves at once; gross errors cost
        /// stake within `audit_allowance`, all of which goes to `SlashHandler`.
        /// Errors: [`Error::AlreadyAudited`], [`Error::UnknownBatch`], [`Error::NotInBatch`], [`Error::UnknownChannel`], [`Error::TooOld`],
        /// [`Error::NoLane`], [`Error::AnotherPrompt`], [`Error::AnotherKey`], [`Error::AnotherOutput`], [`Error::TooLong`].
        /// Events: [`Event::OrderAudited`], [`Event::ScoresAudited`] for each member.
        #[pallet::call_index(16)]
        #[pallet::weight(charges::audit_order::<T>(certificate))]
        pub fn audit_order(
            origin: OriginFor<T>,
            certificate: CertificateOf<T>,
            place: Place,
            texts: Texts,
            key: AnswerKeyOf<T>,
            salt: Salt,
        ) -> DispatchResult {
            T::AuditOrigin::ensure_origin(origin)?;
            ensure!(audits::is_small::<T>(&place, &texts), Error::<T>::TooLong);
            audits::audit::<T>(&certificate, &place, &texts, &key, &salt)
        }
    }
}
