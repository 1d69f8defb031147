//! Channels: requesters' deposits for orders, each with a key that signs them. Owns [`Channels`], [`NextChannel`] and [`UsedNames`].
//!
//! An operator serves the order `index` of an epoch only if the finalized balance covers the most that all indices up to it, and all of the
//! epoch before that are not settled, can cost. That is arithmetic on what is stored here, the same for everybody.
//!
//! Invariant: a name that was used is below `orders_per_epoch` of its channel.

use crate::{
    epochs, money, orders::Refusal, BalanceOf, Channels, Config, Error, Event, NextChannel, Pallet, UsedNames,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{ensure, BoundedVec, CloneNoBound, DebugNoBound, EqNoBound, PartialEqNoBound};
use poq_primitives::express::{ChannelId, Epoch, Key, OrderName};
use scale_info::TypeInfo;
use sp_runtime::{
    traits::{CheckedAdd, CheckedMul, Get, Saturating, Zero},
    DispatchResult,
};

/// A requester's deposit for orders.
#[derive(
    CloneNoBound,
    DebugNoBound,
    PartialEqNoBound,
    EqNoBound,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
#[scale_info(skip_type_params(T))]
#[codec(mel_bound(T: Config))]
pub struct Channel<T: Config> {
    /// Who gets back what is left.
    pub owner: T::AccountId,
    /// The key that signs orders.
    pub key: Key,
    /// What is left, in the pot.
    pub balance: BalanceOf<T>,
    /// Highest budget of an order.
    pub most_per_order: BalanceOf<T>,
    /// Orders in an epoch: their indices are below this.
    pub orders_per_epoch: u32,
    /// The first epoch with orders: one whose seed was not known when the key was chosen.
    pub from: Epoch,
    /// The last epoch with orders, if it is closing.
    pub last: Option<Epoch>,
    /// What it has forfeited: taken when it is released, so that what others have earned by then is not taken from them.
    pub forfeited: BalanceOf<T>,
}

/// Which names of a channel are used in an epoch: bit `index % 8` of byte `index / 8`.
pub type NamesOf<T> = BoundedVec<u8, <T as Config>::MaxOrdersPerEpoch>;

/// Opens a channel and pays its deposit in.
pub(crate) fn open<T: Config>(
    owner: T::AccountId,
    key: Key,
    deposit: BalanceOf<T>,
    most_per_order: BalanceOf<T>,
    orders_per_epoch: u32,
) -> DispatchResult {
    let indices = 1..=T::MaxOrdersPerEpoch::get();
    ensure!(indices.contains(&orders_per_epoch), Error::<T>::InvalidOrdersPerEpoch);
    ensure!(!most_per_order.is_zero(), Error::<T>::InvalidMostPerOrder);
    ensure!(deposit >= T::MinDeposit::get().max(most_per_order), Error::<T>::DepositTooSmall);
    let id = NextChannel::<T>::get();
    NextChannel::<T>::put(id.checked_add(1).ok_or(Error::<T>::Overflow)?);
    money::pay_in::<T>(&owner, deposit)?;
    let from = epochs::current::<T>().saturating_add(1);
    let event = Event::ChannelOpened { channel: id, owner: owner.clone(), deposit, from };
    Channels::<T>::insert(
        id,
        Channel {
            owner,
            key,
            balance: deposit,
            most_per_order,
            orders_per_epoch,
            from,
            last: None,
            forfeited: Zero::zero(),
        },
    );
    Pallet::<T>::deposit_event(event);
    Ok(())
}

/// Adds to a channel's balance.
pub(crate) fn top_up<T: Config>(who: &T::AccountId, id: ChannelId, amount: BalanceOf<T>) -> DispatchResult {
    ensure!(!amount.is_zero(), Error::<T>::ZeroAmount);
    Channels::<T>::try_mutate(id, |channel| {
        let channel = channel.as_mut().ok_or(Error::<T>::UnknownChannel)?;
        ensure!(channel.last.is_none(), Error::<T>::ChannelClosing);
        channel.balance = channel.balance.checked_add(&amount).ok_or(Error::<T>::Overflow)?;
        money::pay_in::<T>(who, amount)
    })?;
    Pallet::<T>::deposit_event(Event::ChannelToppedUp { channel: id, amount });
    Ok(())
}

/// Has the current epoch be the last with orders.
pub(crate) fn close<T: Config>(who: &T::AccountId, id: ChannelId) -> DispatchResult {
    let last = epochs::current::<T>();
    Channels::<T>::try_mutate(id, |channel| {
        let channel = channel.as_mut().ok_or(Error::<T>::UnknownChannel)?;
        ensure!(channel.owner == *who, Error::<T>::NotYours);
        ensure!(channel.last.is_none(), Error::<T>::ChannelClosing);
        channel.last = Some(last);
        Ok::<_, Error<T>>(())
    })?;
    Pallet::<T>::deposit_event(Event::ChannelClosing { channel: id, last });
    Ok(())
}

/// Pays what is left of a channel, of whose orders none can settle any more, back to its owner.
pub(crate) fn release<T: Config>(id: ChannelId) -> DispatchResult {
    let channel = Channels::<T>::get(id).ok_or(Error::<T>::UnknownChannel)?;
    let is_over = channel.last.is_some_and(|last| epochs::current::<T>() >= last.saturating_add(2));
    ensure!(is_over, Error::<T>::ChannelOpen);
    Channels::<T>::remove(id);
    let forfeited = channel.forfeited.min(channel.balance);
    let (owner, refund) = (channel.owner, channel.balance.saturating_sub(forfeited));
    money::pay_chain::<T>(Zero::zero(), forfeited)?;
    money::pay_out::<T>(&owner, refund)?;
    Pallet::<T>::deposit_event(Event::ChannelReleased { channel: id, owner, refund, forfeited });
    Ok(())
}

/// The channel of an order whose name may be used now, once.
pub(crate) fn of_order<T: Config>(name: &OrderName) -> Result<Channel<T>, Refusal> {
    let channel = Channels::<T>::get(name.channel).ok_or(Refusal::UnknownChannel)?;
    let is_open = name.epoch >= channel.from && channel.last.is_none_or(|last| name.epoch <= last);
    if !is_open {
        return Err(Refusal::ChannelClosed);
    }
    if name.index >= channel.orders_per_epoch {
        return Err(Refusal::IndexTooHigh);
    }
    if is_used::<T>(name) {
        return Err(Refusal::NameUsed);
    }
    Ok(channel)
}

/// Whether there was an order of this name.
pub(crate) fn is_used<T: Config>(name: &OrderName) -> bool {
    let (byte, bit) = place(name);
    let names = UsedNames::<T>::get(name.epoch, name.channel);
    names.get(byte).is_some_and(|names| names & bit != 0)
}

/// Whether the balance covers an order: the most that it can cost, all orders of lower indices of its epoch, and all of the epoch before as
/// long as they can settle, without those that have. Operators serve by the same rule, on finalized state (`poq_express::deposit`). So
/// whatever settles leaves enough for all that were served: each order that is served is among those that a later one must leave covered.
pub(crate) fn covers<T: Config>(channel: &Channel<T>, name: &OrderName) -> bool {
    let open = |epoch, bound| {
        let used = used_below(&UsedNames::<T>::get(epoch, name.channel), bound);
        bound.saturating_sub(used)
    };
    let before = name.epoch.saturating_sub(1);
    let may_settle = before >= channel.from && epochs::settles::<T>(before);
    let before = if may_settle { open(before, channel.orders_per_epoch) } else { 0 };
    let orders = open(name.epoch, name.index.saturating_add(1)).saturating_add(before);
    let most = channel.most_per_order.checked_mul(&orders.into());
    most.is_some_and(|most| channel.balance >= most)
}

/// How many names below `bound` are used.
fn used_below(names: &[u8], bound: u32) -> u32 {
    let whole = (bound / 8) as usize;
    let low = 1u8.checked_shl(bound % 8).unwrap_or_default().saturating_sub(1);
    let last = names.get(whole).map_or(0, |names| (names & low).count_ones());
    names.iter().take(whole).map(|names| names.count_ones()).fold(last, u32::saturating_add)
}

/// Uses a name up and takes what its order cost from the channel: at most `most_per_order`, which is what operators count with.
pub(crate) fn spend<T: Config>(name: &OrderName, amount: BalanceOf<T>) {
    let (byte, bit) = place(name);
    UsedNames::<T>::mutate(name.epoch, name.channel, |names| {
        if names.len() <= byte {
            // Below the bound, as the index is below `orders_per_epoch`.
            names.bounded_resize(byte.saturating_add(1), 0);
        }
        if let Some(names) = names.get_mut(byte) {
            *names |= bit;
        }
    });
    Channels::<T>::mutate_extant(name.channel, |channel| {
        debug_assert!(amount <= channel.most_per_order && amount <= channel.balance);
        channel.balance = channel.balance.saturating_sub(amount);
    });
}

/// Closes a channel for a fault of its key: it forfeits the most that an order can cost. What operators count with is untouched, and an
/// order of the name that they have served can still settle: what is forfeited is what would go back.
pub(crate) fn forfeit<T: Config>(id: ChannelId) -> BalanceOf<T> {
    let mut amount = Zero::zero();
    Channels::<T>::mutate_extant(id, |channel| {
        amount = channel.most_per_order;
        channel.forfeited = channel.forfeited.saturating_add(amount);
        channel.last = Some(channel.last.unwrap_or_else(epochs::current::<T>));
    });
    amount
}

/// Adds to the balance of a channel that is there.
pub(crate) fn credit<T: Config>(id: ChannelId, amount: BalanceOf<T>) {
    Channels::<T>::mutate_extant(id, |channel| channel.balance = channel.balance.saturating_add(amount));
}

/// Forgets the names of an epoch; `false` if more are left than one step takes.
pub(crate) fn forget<T: Config>(epoch: Epoch, most: u32) -> bool {
    UsedNames::<T>::clear_prefix(epoch, most, None).maybe_cursor.is_none()
}

/// What all channels have in the pot.
pub(crate) fn total<T: Config>() -> BalanceOf<T> {
    let balances = Channels::<T>::iter_values().map(|channel| channel.balance);
    balances.fold(Zero::zero(), |sum: BalanceOf<T>, balance| sum.saturating_add(balance))
}

/// The invariant.
pub(crate) fn check<T: Config>() -> Result<(), &'static str> {
    for (id, channel) in Channels::<T>::iter() {
        ensure!(id < NextChannel::<T>::get(), "a channel has a number from the future");
        ensure!(channel.orders_per_epoch <= T::MaxOrdersPerEpoch::get(), "a channel has too many orders");
    }
    for (_, id, names) in UsedNames::<T>::iter() {
        let Some(channel) = Channels::<T>::get(id) else { continue };
        ensure!(names.len() as u32 <= channel.orders_per_epoch.div_ceil(8), "a name is too high");
    }
    Ok(())
}

fn place(name: &OrderName) -> (usize, u8) {
    ((name.index / 8) as usize, 1u8.checked_shl(name.index % 8).unwrap_or_default())
}
