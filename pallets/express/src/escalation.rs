//! Escalation: an order that does not come to an end off chain goes on as a request, in public, with what its responders have committed to.
//!
//! Whoever holds the order, its prompt and a commitment of a responder can escalate: the requester, or a responder of whom nothing was
//! heard any more. The name is used up, the budget goes from the channel to a request of its owner, and from then on all is as on the chain
//! path: who has committed shows its output in time or is slashed, the chain draws a committee, and answers are paid for by quality. A member
//! of the committee that did not come to an end is paid nothing: its work took milliseconds, and nobody should gain by stopping it.

use crate::{
    channels, epochs, money, orders, orders::Refusal, BalanceOf, Config, Epochs, Error, Event, Pallet,
    Snapshots,
};
use alloc::vec::Vec;
use frame_support::{ensure, BoundedVec};
use pallet_proof_of_quality::{lane, RequestId};
use poq_primitives::{
    commitment::Salt,
    express::{
        certificate::{check_order, check_responders},
        messages, prompt_hash, Context, Key, Order, OrderName, ResponderPart, Signature,
    },
};
use sp_runtime::{DispatchError, DispatchResult};

/// Goes on with an order on the chain path.
pub(crate) fn escalate<T: Config>(
    order: &Order<BalanceOf<T>>,
    signature: &Signature,
    prompt: Vec<u8>,
    salt: &Salt,
    parts: &[ResponderPart],
) -> DispatchResult {
    let (name, genesis) = (order.name, crate::genesis_hash::<T>());
    ensure!(epochs::settles::<T>(name.epoch), Error::<T>::TooOld);
    ensure!(prompt_hash(&genesis, &name, &prompt, salt) == order.prompt, Error::<T>::AnotherPrompt);
    let channel = channels::of_order::<T>(&name).map_err(refused::<T>)?;
    orders::check_deposit::<T>(order, &channel).map_err(refused::<T>)?;
    let info = Epochs::<T>::get(name.epoch).ok_or(Error::<T>::NoLane)?;
    let seed = info.seed.ok_or(Error::<T>::NoLane)?;
    let generators = Snapshots::<T>::get(name.epoch, order.generator).ok_or(Error::<T>::NoLane)?;
    let context = Context {
        genesis: &genesis,
        epoch_seed: &seed,
        channel_key: &channel.key,
        owner: &channel.owner,
        generators: &generators,
        evaluators: &[],
    };
    let digest = check_order(order, signature, &context, &crate::Host).map_err(|_| Error::<T>::NotOrdered)?;
    let responders = check_responders(order, parts, &context, &digest, &crate::Host)
        .map_err(|_| Error::<T>::NotTheResponders)?;
    let committed = |answer: Option<(messages::Commitment, bool)>| answer.map(|(commitment, _)| commitment);
    let responders: Vec<_> =
        responders.into_iter().map(|(seat, answer)| (seat.operator.clone(), committed(answer))).collect();
    ensure!(responders.iter().any(|(_, commitment)| commitment.is_some()), Error::<T>::NothingCommitted);

    let terms = orders::terms::<T>(order).ok_or(Error::<T>::NotOrdered)?;
    let request = lane::request::<T>(channel.owner.clone(), terms, info.parameters)?;
    channels::spend::<T>(&name, order.budget);
    money::pay_out::<T>(&channel.owner, order.budget)?;
    let request = lane::escalate::<T>(request, prompt, responders)?;
    Pallet::<T>::deposit_event(Event::Escalated { name, request });
    Ok(())
}

/// Shows the output to which a responder committed as to an order, in the request that the order became.
pub(crate) fn show<T: Config>(
    request: RequestId,
    name: &OrderName,
    key: &Key,
    output: BoundedVec<u8, T::MaxOutputLength>,
    salt: &Salt,
) -> DispatchResult {
    let operator = crate::endpoints::operator_of::<T>(key).ok_or(Error::<T>::UnknownKey)?;
    let genesis = crate::genesis_hash::<T>();
    // Name and key need no check of their own: they are in the hash.
    let commitment = messages::output_commitment(&genesis, name, key, &output, salt);
    lane::show::<T>(request, &operator, output, commitment)
}

fn refused<T: Config>(refusal: Refusal) -> DispatchError {
    let error = match refusal {
        Refusal::UnknownChannel => Error::<T>::UnknownChannel,
        Refusal::NameUsed => Error::<T>::NameUsed,
        Refusal::DepositTooSmall => Error::<T>::DepositTooSmall,
        _ => Error::<T>::NotOrdered,
    };
    error.into()
}
