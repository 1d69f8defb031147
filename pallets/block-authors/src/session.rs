//! The authors of each session, for `pallet-session`.

use crate::{Authors, Config, Pallet};
use alloc::vec::Vec;
use pallet_session::historical;
use sp_runtime::traits::{Convert, Get};
use sp_staking::SessionIndex;

/// Of an author nothing needs to be remembered but its account and its keys.
pub struct NoDetails;

impl<AccountId> Convert<AccountId, Option<()>> for NoDetails {
    fn convert(_: AccountId) -> Option<()> {
        Some(())
    }
}

impl<T: Config> pallet_session::SessionManager<T::AccountId> for Pallet<T> {
    /// `None` if authors and keys stay as they are, because GRANDPA begins a new set of voters with each change. Also if
    /// there should be nobody: the chain goes on with whom it has.
    fn new_session(index: SessionIndex) -> Option<Vec<T::AccountId>> {
        let authors = Authors::<T>::get().into_inner();
        let with_keys =
            |author: &T::AccountId| Some((author.clone(), pallet_session::NextKeys::<T>::get(author)?));
        let next: Vec<_> = authors.iter().filter_map(with_keys).collect();
        // After an upgrade from a chain without sessions, no session has been noted yet.
        let noted = historical::HistoricalSessions::<T>::contains_key(index.saturating_sub(1));
        let same = noted && next == pallet_session::QueuedKeys::<T>::get();
        (!next.is_empty() && !same).then_some(authors)
    }

    fn start_session(_: SessionIndex) {}

    fn end_session(ended: SessionIndex) {
        let forgotten = ended.saturating_sub(T::ProvableSessions::get());
        historical::Pallet::<T>::prune_up_to(forgotten);
    }
}

impl<T: Config> historical::SessionManager<T::AccountId, ()> for Pallet<T> {
    fn new_session(index: SessionIndex) -> Option<Vec<(T::AccountId, ())>> {
        let authors = <Self as pallet_session::SessionManager<_>>::new_session(index)?;
        Some(authors.into_iter().map(|author| (author, ())).collect())
    }

    fn start_session(index: SessionIndex) {
        <Self as pallet_session::SessionManager<_>>::start_session(index);
    }

    fn end_session(index: SessionIndex) {
        <Self as pallet_session::SessionManager<_>>::end_session(index);
    }
}
