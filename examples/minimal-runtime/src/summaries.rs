//! A pallet that asks: proposals that get a summary. Several inference nodes write one each, a committee scores them, and the best is kept.
//!
//! An example for pallets that use [`Inference`] and [`OnSettled`]: what it asks, what it hears, and that each of its states has an exit. A
//! real one would take a deposit for what it stores.

pub use pallet::*;

use codec::{Decode, Encode, MaxEncodedLen};
use frame_support::pallet_prelude::*;
use pallet_proof_of_quality as poq;
use poq::{Ending, Inference, OnSettled, RefundReason, RequestId};
use scale_info::TypeInfo;
use sp_io::hashing::blake2_256;
use sp_runtime::{traits::Get, Permill, Vec};

/// The task: the first part of the prompt, before the text of a proposal.
pub const TASK: &[u8] = b"Summarize this proposal in one sentence: ";

/// State of a proposal's summary.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub enum Summary<Text, AccountId> {
    /// This request for it is not over.
    Asked(RequestId),
    /// The best of those that were written, with its quality and who wrote it.
    Known { text: Text, quality: Permill, by: AccountId },
    /// There is none. Its proposer may ask again.
    Missing(RefundReason),
}

// The macros' own code expects what they have checked.
#[allow(clippy::expect_used, reason = "the macros' own code, and a genesis that must not start a chain")]
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use frame_system::pallet_prelude::*;
    use poq::{ModelId, Sampling, Terms, WeightInfo as _};

    #[pallet::pallet]
    pub struct Pallet<T>(_);

    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> + poq::Config {
        /// Most bytes of a proposal. [`TASK`] and it must fit into `MaxPromptLength`.
        type MaxText: Get<u32>;
        /// Most proposals at a time.
        type MaxProposals: Get<u32>;
        /// Summaries to choose from.
        type Summaries: Get<u32>;
    }

    pub type SummaryOf<T> =
        Summary<BoundedVec<u8, <T as poq::Config>::MaxOutputLength>, <T as frame_system::Config>::AccountId>;

    /// A proposal.
    #[derive(Encode, Decode, MaxEncodedLen, TypeInfo)]
    #[scale_info(skip_type_params(T))]
    pub struct Proposal<T: Config> {
        /// The proposer, who pays for the summary.
        pub proposer: T::AccountId,
        /// The text, UTF-8.
        pub text: BoundedVec<u8, T::MaxText>,
        /// Its summary.
        pub summary: SummaryOf<T>,
    }

    /// The models that write summaries, and the one that scores them.
    #[pallet::storage]
    pub type Panel<T: Config> =
        StorageValue<_, (BoundedVec<ModelId, T::MaxModelsPerRequest>, ModelId), ValueQuery>;

    /// The proposals.
    #[pallet::storage]
    pub type Proposals<T: Config> = CountedStorageMap<_, Twox64Concat, u32, Proposal<T>>;

    /// The number of the next proposal.
    #[pallet::storage]
    pub type NextProposal<T: Config> = StorageValue<_, u32, ValueQuery>;

    /// For each request that was made, the proposal that it is for.
    #[pallet::storage]
    pub type Requested<T: Config> = StorageMap<_, Twox64Concat, RequestId, u32>;

    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T> {
        /// See [`Panel`].
        pub generators: Vec<ModelId>,
        /// See [`Panel`].
        pub evaluator: ModelId,
        #[serde(skip)]
        pub runtime: core::marker::PhantomData<T>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            let generators = BoundedVec::try_from(self.generators.clone());
            Panel::<T>::put((generators.expect("as many models as a request may name"), self.evaluator));
        }
    }

    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A summary was asked for.
        Asked { proposal: u32, request: RequestId },
        /// A proposal has its summary, or has none.
        Answered { proposal: u32 },
        /// A proposal is gone.
        Withdrawn { proposal: u32 },
    }

    #[pallet::error]
    pub enum Error<T> {
        /// There are as many proposals as there may be.
        TooManyProposals,
        /// There is no such proposal.
        UnknownProposal,
        /// Only the proposer may do that.
        NotProposer,
        /// The summary is there, or was asked for and is still to come.
        NotMissing,
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Makes a proposal, and asks for its summary at the cost of who proposes it.
        #[pallet::call_index(0)]
        #[pallet::weight(asking_weight::<T>(text.len() as u32))]
        pub fn propose(origin: OriginFor<T>, text: BoundedVec<u8, T::MaxText>) -> DispatchResult {
            let proposer = ensure_signed(origin)?;
            ensure!(Proposals::<T>::count() < T::MaxProposals::get(), Error::<T>::TooManyProposals);
            let id = NextProposal::<T>::mutate(|next| core::mem::replace(next, next.wrapping_add(1)));
            let summary = Summary::Asked(ask::<T>(id, &proposer, &text)?);
            Proposals::<T>::insert(id, Proposal { proposer, text, summary });
            Ok(())
        }

        /// Asks again for a summary that did not come.
        #[pallet::call_index(1)]
        #[pallet::weight(asking_weight::<T>(T::MaxText::get()))]
        pub fn ask_again(origin: OriginFor<T>, id: u32) -> DispatchResult {
            let (who, mut proposal) = own::<T>(origin, id)?;
            let is_missing = match &proposal.summary {
                Summary::Missing(_) => true,
                // Forgotten before its callback was made: nothing more comes of it.
                Summary::Asked(request) => {
                    let is_lost = poq::Pallet::<T>::callback(*request).is_none();
                    if is_lost {
                        Requested::<T>::remove(request);
                    }
                    is_lost
                }
                Summary::Known { .. } => false,
            };
            ensure!(is_missing, Error::<T>::NotMissing);
            proposal.summary = Summary::Asked(ask::<T>(id, &who, &proposal.text)?);
            Proposals::<T>::insert(id, proposal);
            Ok(())
        }

        /// Takes a proposal back. What was asked for it is cancelled, if nobody was drawn to answer it.
        #[pallet::call_index(2)]
        #[pallet::weight(T::DbWeight::get().reads_writes(3, 3).saturating_add(<T as poq::Config>::WeightInfo::refund(0, 0)))]
        pub fn withdraw(origin: OriginFor<T>, id: u32) -> DispatchResult {
            let (who, proposal) = own::<T>(origin, id)?;
            if let Summary::Asked(request) = proposal.summary {
                // A request that operators were drawn for ends by itself.
                let _ = poq::Pallet::<T>::cancel(&who, request);
                Requested::<T>::remove(request);
            }
            Proposals::<T>::remove(id);
            Pallet::<T>::deposit_event(Event::Withdrawn { proposal: id });
            Ok(())
        }
    }

    fn own<T: Config>(origin: OriginFor<T>, id: u32) -> Result<(T::AccountId, Proposal<T>), DispatchError> {
        let who = ensure_signed(origin)?;
        let proposal = Proposals::<T>::get(id).ok_or(Error::<T>::UnknownProposal)?;
        ensure!(proposal.proposer == who, Error::<T>::NotProposer);
        Ok((who, proposal))
    }

    fn asking_weight<T: Config>(text: u32) -> Weight {
        let prompt = text.saturating_add(TASK.len() as u32);
        let models = T::MaxModelsPerRequest::get();
        <T as poq::Config>::WeightInfo::request_inference(prompt, models)
            .saturating_add(T::DbWeight::get().reads_writes(5, 6))
    }

    // [ask]
    /// Asks for the summary of a proposal.
    fn ask<T: Config>(id: u32, who: &T::AccountId, text: &[u8]) -> Result<RequestId, DispatchError> {
        let (generators, evaluator) = Panel::<T>::get();
        let (max_tokens, responders, committee) = (64, T::Summaries::get(), 3);
        let budget = poq::Pallet::<T>::estimate(&generators, &evaluator, max_tokens, responders, committee)?;
        let terms = Terms {
            generators,
            evaluator,
            sampling: Sampling { max_tokens, temperature_milli: 0, seed: id },
            responders,
            committee,
            min_quality: Permill::from_percent(50),
            budget: budget.total(),
            // No audit; a pallet has no secret by which it could be one.
            audit: (id, text).using_encoded(blake2_256),
        };
        let request = poq::Pallet::<T>::request(who, [TASK, text].concat(), terms)?;
        Requested::<T>::insert(request, id);
        Pallet::<T>::deposit_event(Event::Asked { proposal: id, request });
        Ok(request)
    }
    // [end]
}

// [hears]
impl<T: Config> OnSettled<T::AccountId> for Pallet<T> {
    fn weight() -> Option<Weight> {
        Some(T::DbWeight::get().reads_writes(2, 2))
    }

    fn on_settled(request: RequestId, _: &T::AccountId, ending: &Ending<T::AccountId>) -> DispatchResult {
        // Another pallet's, or of a proposal that was taken back.
        let Some(id) = Requested::<T>::take(request) else { return Ok(()) };
        let summary = match ending.clone() {
            Ending::Settled { answer, quality, operator } => {
                Summary::Known { text: BoundedVec::truncate_from(answer), quality, by: operator }
            }
            Ending::Refunded { reason } => Summary::Missing(reason),
        };
        Proposals::<T>::mutate_exists(id, |proposal| {
            if let Some(proposal) = proposal {
                proposal.summary = summary;
            }
        });
        Self::deposit_event(Event::Answered { proposal: id });
        Ok(())
    }
}
// [end]
