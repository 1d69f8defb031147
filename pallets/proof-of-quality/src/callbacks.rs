//! Callbacks: messages to other pallets of the runtime that a request of theirs is over. Owns [`Callbacks`] and [`DueCallbacks`].
//!
//! A request that another pallet made through [`Inference`](crate::Inference) has a callback. The end of the request only notes that it is
//! due, so no handler can hold a settlement. It is made in `on_idle`, as far as the block has room ([`crate::inference`]).
//!
//! Invariants: a callback belongs to a stored request; it is open exactly as long as that is; [`DueCallbacks`] lists those that are due.

use crate::{
    duties::{RefundReason, RequestId},
    Callbacks, Config, DueCallbacks, Requests,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{ensure, weights::Weight};
use scale_info::TypeInfo;
use sp_runtime::{traits::Get, DispatchError, DispatchResult, Permill};

/// End of a request, as a handler hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending<AccountId> {
    /// The request was settled.
    Settled {
        /// The best answer, UTF-8.
        answer: Vec<u8>,
        /// Its consensus score.
        quality: Permill,
        /// The inference node that gave it.
        operator: AccountId,
    },
    /// The request came to nothing, and the requester has back what it did not owe.
    Refunded {
        /// Why.
        reason: RefundReason,
    },
}

/// A handler of the ends of requests that pallets made through [`Inference`](crate::Inference).
///
/// Tuples are handlers too: each of their parts hears of every request, so a part leaves alone what it did not ask. If one part fails, the
/// whole callback fails, and none of them has changed anything.
pub trait OnSettled<AccountId> {
    /// Most weight that [`Self::on_settled`] takes; `None`: it need not hear. A block with less room makes no callback, and where nobody
    /// need hear there are none.
    fn weight() -> Option<Weight>;

    /// Hears that `request` is over. What it changes is undone if it returns an error; the callback can be tried again then
    /// ([`Pallet::retry_callback`](crate::Pallet::retry_callback)), as long as the request is kept.
    fn on_settled(request: RequestId, requester: &AccountId, ending: &Ending<AccountId>) -> DispatchResult;
}

impl<AccountId> OnSettled<AccountId> for () {
    fn weight() -> Option<Weight> {
        None
    }

    fn on_settled(_: RequestId, _: &AccountId, _: &Ending<AccountId>) -> DispatchResult {
        Ok(())
    }
}

macro_rules! tuple_of_handlers {
    ($($handler:ident)+) => {
        impl<AccountId, $($handler: OnSettled<AccountId>),+> OnSettled<AccountId> for ($($handler,)+) {
            fn weight() -> Option<Weight> {
                [$($handler::weight()),+].into_iter().flatten().reduce(|sum, weight| sum.saturating_add(weight))
            }

            fn on_settled(
                request: RequestId,
                requester: &AccountId,
                ending: &Ending<AccountId>,
            ) -> DispatchResult {
                $($handler::on_settled(request, requester, ending)?;)+
                Ok(())
            }
        }
    };
}

tuple_of_handlers!(A);
tuple_of_handlers!(A B);
tuple_of_handlers!(A B C);
tuple_of_handlers!(A B C D);

/// State of a callback.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Callback {
    /// The request is not over.
    Open,
    /// The request is over; the callback waits for room in a block.
    Due,
    /// The handler returned this error. The callback is not made again by itself.
    Failed(DispatchError),
}

/// Whether the runtime has a handler.
pub(crate) fn are_heard<T: Config>() -> bool {
    T::OnSettled::weight().is_some()
}

/// Weight of noting the end of a request, or of forgetting it.
pub(crate) fn note_weight<T: Config>() -> Weight {
    if are_heard::<T>() {
        T::DbWeight::get().reads_writes(1, 2)
    } else {
        Weight::zero()
    }
}

/// A new request has a callback.
pub(crate) fn open<T: Config>(id: RequestId) {
    if are_heard::<T>() {
        Callbacks::<T>::insert(id, Callback::Open);
    }
}

/// The request is over.
pub(crate) fn fall_due<T: Config>(id: RequestId) {
    if are_heard::<T>() && Callbacks::<T>::contains_key(id) {
        Callbacks::<T>::insert(id, Callback::Due);
        DueCallbacks::<T>::insert(id, ());
    }
}

/// The handler has heard.
pub(crate) fn done<T: Config>(id: RequestId) {
    Callbacks::<T>::remove(id);
    DueCallbacks::<T>::remove(id);
}

/// The handler returned an error.
pub(crate) fn failed<T: Config>(id: RequestId, error: DispatchError) {
    Callbacks::<T>::insert(id, Callback::Failed(error));
    DueCallbacks::<T>::remove(id);
}

/// The request is forgotten, heard of or not.
pub(crate) fn forget<T: Config>(id: RequestId) {
    if are_heard::<T>() {
        done::<T>(id);
    }
}

/// The invariants.
pub(crate) fn check<T: Config>() -> Result<(), &'static str> {
    for (id, callback) in Callbacks::<T>::iter() {
        let request = Requests::<T>::get(id).ok_or("a callback has no request")?;
        ensure!(
            (callback == Callback::Open) != request.phase.is_closed(),
            "a callback is not as its request"
        );
        ensure!(
            (callback == Callback::Due) == DueCallbacks::<T>::contains_key(id),
            "a callback is due and not listed, or the other way round"
        );
    }
    let all_known = DueCallbacks::<T>::iter_keys().all(Callbacks::<T>::contains_key);
    ensure!(all_known, "a callback is listed and not there");
    Ok(())
}
