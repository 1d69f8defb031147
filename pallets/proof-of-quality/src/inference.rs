//! Other pallets of the runtime ask, and hear what came of it.

use crate::{
    asking,
    callbacks::{self, Callback, Ending, OnSettled},
    duties::RequestId,
    models::ModelId,
    money,
    requests::{Budget, Phase, Request, Response, Terms},
    BalanceOf, Callbacks, Config, DueCallbacks, Error, Event, Outputs, Pallet, Requests, Responses,
};
use alloc::vec::Vec;
use codec::MaxEncodedLen as _;
use frame_support::{
    ensure,
    storage::with_storage_layer,
    weights::{Weight, WeightMeter},
};
use sp_runtime::{traits::Get, DispatchError, DispatchResult};

/// Asking, for other pallets of the runtime. [`Pallet`] implements it.
///
/// ```
/// use pallet_proof_of_quality::{Inference, RequestId};
/// use sp_runtime::DispatchError;
///
/// /// Asks for a summary, at the cost of `who`. The answer comes to the runtime's `OnSettled`.
/// fn summarize<Asked: Inference>(
///     who: &Asked::AccountId,
///     text: &[u8],
///     terms: Asked::Terms,
/// ) -> Result<RequestId, DispatchError> {
///     Asked::request(who, [b"Summarize: ".as_slice(), text].concat(), terms)
/// }
/// ```
pub trait Inference {
    /// An account.
    type AccountId;
    /// An amount of the currency.
    type Balance;
    /// Terms of a request.
    type Terms;

    /// Budget with which a request goes before those that wait; as [`Pallet::estimate_budget`].
    ///
    /// # Errors
    /// As [`Self::request`] for the same models and numbers.
    fn estimate(
        generators: &[ModelId],
        evaluator: &ModelId,
        max_tokens: u32,
        responders: u32,
        committee: u32,
    ) -> Result<Budget<Self::Balance>, DispatchError>;

    /// Price of the callback, which a request costs beside its budget.
    fn callback_price() -> Self::Balance;

    /// Cancels a request of `requester` for which no inference nodes were drawn, as [`Pallet::cancel_request`], whose weight it has. The
    /// callback is made as for every refund.
    ///
    /// # Errors
    /// As `cancel_request`.
    fn cancel(requester: &Self::AccountId, request: RequestId) -> DispatchResult;

    /// Asks as `requester` does with [`Pallet::request_inference`], pays for the callback, and has it made once the request is over.
    /// The weight is that of `request_inference` and of a payment; whoever calls this charges it.
    ///
    /// # Errors
    /// As `request_inference`; the currency's, if the price of the callback cannot be paid. Nothing has changed then.
    fn request(
        requester: &Self::AccountId,
        prompt: Vec<u8>,
        terms: Self::Terms,
    ) -> Result<RequestId, DispatchError>;
}

impl<T: Config> Inference for Pallet<T> {
    type AccountId = T::AccountId;
    type Balance = BalanceOf<T>;
    type Terms = Terms<BalanceOf<T>, T::MaxModelsPerRequest>;

    fn estimate(
        generators: &[ModelId],
        evaluator: &ModelId,
        max_tokens: u32,
        responders: u32,
        committee: u32,
    ) -> Result<Budget<Self::Balance>, DispatchError> {
        asking::estimate::<T>(generators, evaluator, max_tokens, responders, committee)
    }

    fn callback_price() -> Self::Balance {
        T::CallbackPrice::get()
    }

    fn cancel(requester: &Self::AccountId, request: RequestId) -> DispatchResult {
        asking::cancel::<T>(requester, request)
    }

    fn request(
        requester: &Self::AccountId,
        prompt: Vec<u8>,
        terms: Self::Terms,
    ) -> Result<RequestId, DispatchError> {
        with_storage_layer(|| {
            let id = asking::request::<T>(requester.clone(), prompt, terms)?;
            callbacks::open::<T>(id);
            // Last: what the receiver of fees does with them need not be in this storage.
            money::pay_chain::<T>(requester, T::CallbackPrice::get())?;
            Ok(id)
        })
    }
}

/// Makes the callbacks that are due, as far as `meter` goes.
pub(crate) fn service<T: Config>(meter: &mut WeightMeter) {
    if !callbacks::are_heard::<T>() {
        return;
    }
    let look = T::DbWeight::get().reads(1);
    while meter.try_consume(look).is_ok() && meter.can_consume(callback_weight::<T>()) {
        let Some(id) = DueCallbacks::<T>::iter_keys().next() else { return };
        meter.consume(callback_weight::<T>());
        match with_storage_layer(|| call_back::<T>(id)) {
            Ok(()) => Pallet::<T>::deposit_event(Event::CalledBack { request: id }),
            Err(error) => {
                callbacks::failed::<T>(id, error);
                Pallet::<T>::deposit_event(Event::CallbackFailed { request: id, error });
            }
        }
    }
}

/// Makes a callback that failed or is due, on anyone's call.
pub(crate) fn retry<T: Config>(id: RequestId) -> DispatchResult {
    let callback = Callbacks::<T>::get(id);
    ensure!(matches!(callback, Some(Callback::Due | Callback::Failed(_))), Error::<T>::NoCallback);
    call_back::<T>(id)?;
    Pallet::<T>::deposit_event(Event::CalledBack { request: id });
    Ok(())
}

fn call_back<T: Config>(id: RequestId) -> DispatchResult {
    let request = Requests::<T>::get(id).ok_or(Error::<T>::NoCallback)?;
    let ending = ending_of::<T>(id, &request).ok_or(Error::<T>::NoCallback)?;
    T::OnSettled::on_settled(id, &request.requester, &ending)?;
    callbacks::done::<T>(id);
    Ok(())
}

fn ending_of<T: Config>(id: RequestId, request: &Request<T>) -> Option<Ending<T::AccountId>> {
    match request.phase {
        Phase::Settled { best, .. } => {
            let response = Responses::<T>::get(id).into_iter().nth(best as usize)?;
            let answer = Outputs::<T>::get(id, best).into_inner();
            let quality = response.quality.unwrap_or_default();
            Some(Ending::Settled { answer, quality, operator: response.operator })
        }
        Phase::Refunded { reason, .. } => Some(Ending::Refunded { reason }),
        _ => None,
    }
}

/// Weight of a callback: the handler's, and what is read for it and written after it.
pub(crate) fn callback_weight<T: Config>() -> Weight {
    let response = Response::<T>::max_encoded_len() as u64;
    let read = (Request::<T>::max_encoded_len() as u64)
        .saturating_add(response.saturating_mul(T::MaxResponders::get().into()))
        .saturating_add(T::MaxOutputLength::get().into())
        // The ways to the five values in the state.
        .saturating_add(5 * 4_096);
    T::OnSettled::weight()
        .unwrap_or_default()
        .saturating_add(T::DbWeight::get().reads_writes(5, 2))
        .saturating_add(Weight::from_parts(0, read))
}
