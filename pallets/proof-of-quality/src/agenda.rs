//! The agenda: under which block each request takes its next step. Owns [`Agenda`] and [`AgendaCursor`].
//!
//! Invariant: every stored request stands here exactly once, under its `due`, which is not before the cursor.

use crate::{duties::RequestId, Agenda, AgendaCursor, Config};
use frame_system::pallet_prelude::BlockNumberFor;

/// Puts a new request on the agenda for block `due`.
pub(crate) fn list<T: Config>(id: RequestId, due: BlockNumberFor<T>) {
    if !AgendaCursor::<T>::exists() {
        AgendaCursor::<T>::put(frame_system::Pallet::<T>::block_number());
    }
    Agenda::<T>::insert(due, id, ());
}

/// Moves a request.
pub(crate) fn reschedule<T: Config>(id: RequestId, from: BlockNumberFor<T>, to: BlockNumberFor<T>) {
    debug_assert!(Agenda::<T>::contains_key(from, id), "request {id} is not where it is taken from");
    debug_assert!(
        AgendaCursor::<T>::get().is_some_and(|cursor| cursor <= to),
        "request {id} would never be found"
    );
    Agenda::<T>::remove(from, id);
    Agenda::<T>::insert(to, id, ());
}

/// Takes a request off.
pub(crate) fn unlist<T: Config>(id: RequestId, due: BlockNumberFor<T>) {
    Agenda::<T>::remove(due, id);
}

/// Says that nothing is left under the blocks before this one.
pub(crate) fn pass_to<T: Config>(block: BlockNumberFor<T>) {
    AgendaCursor::<T>::put(block);
}
