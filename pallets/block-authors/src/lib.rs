//! The list of block authors, for a chain that has no staking of block authors yet.
//!
//! A list that an origin of the chain's choice (sudo, a council, a vote) keeps. An account enters it with session keys
//! already set (`session.set_keys`), so that no seat is ever empty; a change takes effect after the session that follows
//! the current one, as everything in `pallet-session` does.
//!
//! An author who is proven to have equivocated (two blocks for one slot, two votes in one round) is disabled at once and
//! leaves the list: nobody has to be awake for that. The last author never leaves, because a chain without one stops for
//! good. Equivocation costs the seat and no money: authors have no stake here.
//!
//! An author earns a part of the fees in its blocks, which the same origin sets; the rest is burnt ([`fees::ShareFees`]).
//!
//! | what | where |
//! |---|---|
//! | the list, its calls, genesis, invariants | this file |
//! | what `pallet-session` asks at each session | [`session`] |
//! | what `pallet-offences` tells of an offence | [`offences`] |
//! | the part of fees that authors earn | [`fees`] |

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod fees;
pub mod offences;
pub mod session;

pub use pallet::*;

/// Log target of the pallet.
pub const LOG_TARGET: &str = "poq::authors";

// The macros' own code expects what they have checked.
#[allow(clippy::expect_used, reason = "the macros' own code")]
#[frame_support::pallet]
pub mod pallet {
    use alloc::{collections::BTreeSet, vec::Vec};
    use frame_support::pallet_prelude::*;
    use frame_system::pallet_prelude::*;
    use sp_runtime::Permill;
    use sp_staking::SessionIndex;

    /// The pallet.
    #[pallet::pallet]
    pub struct Pallet<T>(_);

    /// Types chosen by the runtime.
    #[pallet::config]
    pub trait Config:
        frame_system::Config<RuntimeEvent: From<Event<Self>>>
        + pallet_session::Config<ValidatorId = <Self as frame_system::Config>::AccountId>
        + pallet_session::historical::Config<FullIdentification = ()>
    {
        /// The origin that adds and removes authors.
        type AuthorOrigin: EnsureOrigin<Self::RuntimeOrigin>;

        /// Most authors. Not more than BABE and GRANDPA take.
        #[pallet::constant]
        type MaxAuthors: Get<u32>;

        /// Sessions for which an equivocation can still be proven, counted from their end.
        #[pallet::constant]
        type ProvableSessions: Get<SessionIndex>;
    }

    /// The authors of the sessions to come, in the order in which they were added.
    #[pallet::storage]
    pub type Authors<T: Config> =
        StorageValue<_, BoundedVec<<T as frame_system::Config>::AccountId, T::MaxAuthors>, ValueQuery>;

    /// The part of fees that a block's author earns, at most [`MOST_FEE_SHARE`]. The rest is burnt.
    #[pallet::storage]
    pub type FeeShare<T: Config> = StorageValue<_, Permill, ValueQuery>;

    /// Most of a fee that its block's author earns. What an author does in its own blocks must cost it something: to fill them, or to ask and
    /// cancel until it likes a draw.
    pub const MOST_FEE_SHARE: Permill = Permill::from_percent(50);

    /// The authors at genesis.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// Their accounts; `session.keys` has the keys of each.
        pub authors: Vec<T::AccountId>,
        /// The part of fees that they earn.
        #[serde(default)]
        pub fee_share: Permill,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        // A genesis that breaks its own limits must not start a chain.
        fn build(&self) {
            let authors =
                BoundedVec::try_from(self.authors.clone()).expect("no more authors than MaxAuthors");
            Authors::<T>::put(authors);
            assert!(self.fee_share <= MOST_FEE_SHARE, "authors earn no more than MOST_FEE_SHARE");
            FeeShare::<T>::put(self.fee_share);
        }
    }

    /// Events of the pallet.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// An author joined the list.
        AuthorAdded {
            /// Its account.
            author: T::AccountId,
        },
        /// An author left the list.
        AuthorRemoved {
            /// Its account.
            author: T::AccountId,
            /// Whether it was for a proven equivocation.
            offence: bool,
        },
        /// Authors earn another part of fees from now on.
        FeeShareSet {
            /// The part.
            share: Permill,
        },
    }

    /// Why a call fails.
    #[pallet::error]
    pub enum Error<T> {
        /// The account is on the list already.
        AlreadyAuthor,
        /// The account is not on the list.
        NotAuthor,
        /// The account has no session keys: it calls `session.set_keys` first.
        NoSessionKeys,
        /// The list is full.
        TooManyAuthors,
        /// A chain without authors stops for good.
        LastAuthor,
        /// The part of fees that authors earn is at most [`MOST_FEE_SHARE`], 50%.
        ShareTooLarge,
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::check_invariants().map_err(Into::into)
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Adds `author` to the list. It authors blocks from the session after the next one on.
        ///
        /// Origin: [`Config::AuthorOrigin`]. Event: [`Event::AuthorAdded`]. Errors: [`Error::AlreadyAuthor`],
        /// [`Error::NoSessionKeys`], [`Error::TooManyAuthors`].
        #[pallet::call_index(0)]
        #[pallet::weight(T::DbWeight::get().reads_writes(2, 1))]
        pub fn add_author(origin: OriginFor<T>, author: T::AccountId) -> DispatchResult {
            T::AuthorOrigin::ensure_origin(origin)?;
            ensure!(pallet_session::NextKeys::<T>::contains_key(&author), Error::<T>::NoSessionKeys);
            Authors::<T>::try_mutate(|authors| {
                ensure!(!authors.contains(&author), Error::<T>::AlreadyAuthor);
                authors.try_push(author.clone()).map_err(|_| Error::<T>::TooManyAuthors)
            })?;
            Self::deposit_event(Event::AuthorAdded { author });
            Ok(())
        }

        /// Removes `author` from the list. It stops authoring with the session after the next one.
        ///
        /// Origin: [`Config::AuthorOrigin`]. Event: [`Event::AuthorRemoved`]. Errors: [`Error::NotAuthor`],
        /// [`Error::LastAuthor`].
        #[pallet::call_index(1)]
        #[pallet::weight(T::DbWeight::get().reads_writes(1, 1))]
        pub fn remove_author(origin: OriginFor<T>, author: T::AccountId) -> DispatchResult {
            T::AuthorOrigin::ensure_origin(origin)?;
            Self::remove(&author, false)?;
            Ok(())
        }

        /// Sets the part of fees that the author of a block earns; the rest is burnt.
        ///
        /// Origin: [`Config::AuthorOrigin`]. Event: [`Event::FeeShareSet`]. Error: [`Error::ShareTooLarge`].
        #[pallet::call_index(2)]
        #[pallet::weight(T::DbWeight::get().writes(1))]
        pub fn set_fee_share(origin: OriginFor<T>, share: Permill) -> DispatchResult {
            T::AuthorOrigin::ensure_origin(origin)?;
            ensure!(share <= MOST_FEE_SHARE, Error::<T>::ShareTooLarge);
            FeeShare::<T>::put(share);
            Self::deposit_event(Event::FeeShareSet { share });
            Ok(())
        }
    }

    impl<T: Config> Pallet<T> {
        pub(super) fn remove(author: &T::AccountId, offence: bool) -> Result<(), Error<T>> {
            Authors::<T>::try_mutate(|authors| {
                let place = authors.iter().position(|known| known == author).ok_or(Error::<T>::NotAuthor)?;
                ensure!(authors.len() > 1, Error::<T>::LastAuthor);
                authors.remove(place);
                Ok(())
            })?;
            Self::deposit_event(Event::AuthorRemoved { author: author.clone(), offence });
            Ok(())
        }

        /// Sees that the list holds somebody, nobody twice, and nobody without keys.
        pub fn check_invariants() -> Result<(), &'static str> {
            let authors = Authors::<T>::get();
            ensure!(!authors.is_empty(), "there is no block author");
            let different: BTreeSet<_> = authors.iter().map(codec::Encode::encode).collect();
            ensure!(different.len() == authors.len(), "a block author is listed twice");
            let keys = |author| pallet_session::NextKeys::<T>::contains_key(author);
            ensure!(authors.iter().all(keys), "a block author has no session keys");
            ensure!(FeeShare::<T>::get() <= MOST_FEE_SHARE, "authors earn too much of fees");
            Ok(())
        }
    }
}
