//! Offences: what a key signed that it may not have signed. Owns [`Offences`].
//!
//! Provable is a key that signed two statements of which it may sign one ([`Equivocation`]). An operator loses a part of its stake for it, a
//! channel the most that one order can cost; both go to `SlashHandler`, so that nobody gains by making another sign twice. Silence, slowness
//! and the question which model ran are not provable here.

use crate::{
    channels, endpoints, epochs, money, BalanceOf, Channels, Config, Error, Event, Offences, Pallet,
};
use frame_support::ensure;
use pallet_proof_of_quality::lane;
use poq_primitives::express::{Epoch, Equivocation, Key};
use sp_runtime::{
    traits::{Get, Zero},
    DispatchResult,
};

/// Punishes a key, once for each order.
pub(crate) fn report<T: Config>(key: Key, proof: &Equivocation<BalanceOf<T>>) -> DispatchResult {
    let name = proof.name();
    ensure!(epochs::is_kept::<T>(name.epoch), Error::<T>::TooOld);
    ensure!(!Offences::<T>::contains_key(name.epoch, (key, name)), Error::<T>::Punished);
    ensure!(proof.is_proof(&crate::genesis_hash::<T>(), &key, &crate::Host), Error::<T>::NotAProof);
    if matches!(proof, Equivocation::Orders(_)) {
        let channel = Channels::<T>::get(name.channel).ok_or(Error::<T>::UnknownChannel)?;
        ensure!(channel.key == key, Error::<T>::UnknownKey);
        let forfeited = channels::spend::<T>(&name, channel.most_per_order);
        money::pay_chain::<T>(Zero::zero(), forfeited)?;
        Pallet::<T>::deposit_event(Event::RequesterEquivocated { name, forfeited });
    } else {
        let operator = endpoints::operator_of::<T>(&key).ok_or(Error::<T>::UnknownKey)?;
        let slashed = lane::slash::<T>(&operator, T::EquivocationSlash::get());
        Pallet::<T>::deposit_event(Event::OperatorEquivocated { operator, name, slashed });
    }
    Offences::<T>::insert(name.epoch, (key, name), ());
    Ok(())
}

/// Forgets the offences of an epoch; `false` if more are left than one step takes.
pub(crate) fn forget<T: Config>(epoch: Epoch, most: u32) -> bool {
    Offences::<T>::clear_prefix(epoch, most, None).maybe_cursor.is_none()
}
