//! Offences: what a key signed that it may not have signed. Owns [`Offences`].
//!
//! Provable is a key that signed two statements of which it may sign one ([`Equivocation`]), or used a VRF output for which it has no proof
//! ([`crate::challenges`]). An operator loses a part of its stake for it; a channel is closed, and of what would go back the most that
//! one order can cost is lost. Both go to `SlashHandler`, so that nobody gains by making another sign twice. Silence, slowness and the question
//! which model ran are not provable.

use crate::{channels, endpoints, epochs, BalanceOf, Channels, Config, Error, Event, Offences, Pallet};
use codec::Encode;
use frame_support::ensure;
use pallet_proof_of_quality::lane;
use poq_primitives::express::{Epoch, Equivocation, Key, OrderName};
use sp_runtime::{traits::Get, DispatchResult};

/// Most bytes of a proof: two reveals of the largest committee have a third of it.
pub(crate) const MOST_PROOF: usize = 8 * 1024;

/// Punishes a key for what it signed, once for each order.
pub(crate) fn report<T: Config>(key: Key, proof: &Equivocation<BalanceOf<T>>) -> DispatchResult {
    ensure!(proof.encoded_size() <= MOST_PROOF, Error::<T>::TooLong);
    let name = proof.name();
    ensure!(epochs::is_kept::<T>(name.epoch), Error::<T>::TooOld);
    ensure!(!is_punished::<T>(&key, &name), Error::<T>::Punished);
    ensure!(proof.is_proof(&crate::genesis_hash::<T>(), &key, &crate::Host), Error::<T>::NotAProof);
    if matches!(proof, Equivocation::Orders(_)) {
        punish_channel::<T>(&key, &name)
    } else {
        punish_operator::<T>(&key, &name)
    }
}

/// Closes the channel of this name, which forfeits the most that an order can cost.
pub(crate) fn punish_channel<T: Config>(key: &Key, name: &OrderName) -> DispatchResult {
    let channel = Channels::<T>::get(name.channel).ok_or(Error::<T>::UnknownChannel)?;
    ensure!(channel.key == *key, Error::<T>::UnknownKey);
    if !is_punished::<T>(key, name) {
        let forfeited = channels::forfeit::<T>(name.channel);
        remember::<T>(key, name);
        Pallet::<T>::deposit_event(Event::RequesterPunished { name: *name, forfeited });
    }
    Ok(())
}

/// Takes a part of the stake of the operator with this key.
pub(crate) fn punish_operator<T: Config>(key: &Key, name: &OrderName) -> DispatchResult {
    let operator = endpoints::operator_of::<T>(key).ok_or(Error::<T>::UnknownKey)?;
    if !is_punished::<T>(key, name) {
        let slashed = lane::slash::<T>(&operator, T::EquivocationSlash::get());
        remember::<T>(key, name);
        Pallet::<T>::deposit_event(Event::OperatorPunished { operator, name: *name, slashed });
    }
    Ok(())
}

/// Later nobody is heard any more, so there is nothing to remember.
fn remember<T: Config>(key: &Key, name: &OrderName) {
    if epochs::is_kept::<T>(name.epoch) {
        Offences::<T>::insert(name.epoch, (key, name), ());
    }
}

/// Whether a key was punished for this order.
pub(crate) fn is_punished<T: Config>(key: &Key, name: &OrderName) -> bool {
    Offences::<T>::contains_key(name.epoch, (key, name))
}

/// Forgets the offences of an epoch; `false` if more are left than one step takes.
pub(crate) fn forget<T: Config>(epoch: Epoch, most: u32) -> bool {
    Offences::<T>::clear_prefix(epoch, most, None).maybe_cursor.is_none()
}
