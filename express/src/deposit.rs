//! Whether a channel's deposit covers an order. Arithmetic on finalized state, so every operator comes to the same result.

use crate::view::{Balance, Channel};
use codec::{Decode, Encode};
use poq_primitives::express::{Epoch, OrderName};

/// Why an order is not covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Uncovered {
    /// The owner is closing the channel.
    #[error("the channel is being closed")]
    Closing,
    /// The order is of an epoch that is over or has not begun, or that is before the channel's first.
    #[error(
        "the order's epoch is neither the current one nor the one before, or the channel has no orders in it"
    )]
    Epoch,
    /// The index is too high.
    #[error("the index is beyond the channel's orders per epoch")]
    Index,
    /// The name is used up.
    #[error("an order of this name is settled or escalated")]
    Used,
    /// The budget is too high.
    #[error("the budget is above the channel's most per order")]
    Budget,
    /// The balance is too low.
    #[error("the channel's balance does not cover all orders that may be open")]
    Balance,
}

/// Whether the channel's balance covers the order `name` with this budget in epoch `now`: that is, the most that all indices up to its
/// own and all of the epoch before can cost, without those already used, whose cost the balance no longer contains. The chain settles by
/// the same rule, so what is covered can be paid.
pub fn covers(channel: &Channel, now: Epoch, name: &OrderName, budget: Balance) -> Result<(), Uncovered> {
    let ensure = |holds: bool, fault| if holds { Ok(()) } else { Err(fault) };
    ensure(!channel.closing, Uncovered::Closing)?;
    let is_timely = name.epoch == now || name.epoch.checked_add(1) == Some(now);
    ensure(is_timely && name.epoch >= channel.from, Uncovered::Epoch)?;
    ensure(name.index < channel.orders_per_epoch, Uncovered::Index)?;
    let is_used = |epoch, index| channel.used.get(&epoch).is_some_and(|used| used.contains(&index));
    ensure(!is_used(name.epoch, name.index), Uncovered::Used)?;
    ensure(budget <= channel.most_per_order, Uncovered::Budget)?;
    let used_below =
        |epoch, bound: u32| channel.used.get(&epoch).map_or(0, |used| used.range(..bound).count() as u128);
    // In this epoch, indices up to this one; of an epoch that is over, anyone may still bring all.
    let open = |epoch, bound| u128::from(bound).saturating_sub(used_below(epoch, bound));
    let bound = name.index.saturating_add(1);
    let before = name.epoch.checked_sub(1).filter(|before| *before >= channel.from);
    let before = before.map_or(0, |before| open(before, channel.orders_per_epoch));
    let orders = open(name.epoch, bound).saturating_add(before);
    let most = orders.checked_mul(channel.most_per_order).ok_or(Uncovered::Balance)?;
    ensure(channel.balance >= most, Uncovered::Balance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn channel(balance: Balance) -> Channel {
        Channel {
            owner: [1; 32],
            key: [2; 32],
            balance,
            most_per_order: 10,
            orders_per_epoch: 4,
            from: 0,
            used: BTreeMap::new(),
            closing: false,
        }
    }

    fn name(epoch: Epoch, index: u32) -> OrderName {
        OrderName { channel: 0, epoch, index }
    }

    #[test]
    fn the_first_epoch_has_none_before() {
        assert_eq!(covers(&channel(20), 0, &name(0, 1), 10), Ok(()));
        assert_eq!(covers(&channel(19), 0, &name(0, 1), 10), Err(Uncovered::Balance));
        let channel = Channel { from: 5, ..channel(20) };
        assert_eq!(covers(&channel, 5, &name(5, 1), 10), Ok(()));
        assert_eq!(covers(&channel, 6, &name(6, 0), 10), Err(Uncovered::Balance));
        assert_eq!(covers(&channel, 5, &name(4, 0), 10), Err(Uncovered::Epoch));
    }

    #[test]
    fn the_epoch_before_counts_until_it_is_settled() {
        assert_eq!(covers(&channel(50), 5, &name(5, 0), 10), Ok(()));
        assert_eq!(covers(&channel(49), 5, &name(5, 0), 10), Err(Uncovered::Balance));
        let used = BTreeMap::from([(4, BTreeSet::from([0, 3])), (5, BTreeSet::from([0]))]);
        let channel = Channel { used, ..channel(30) };
        assert_eq!(covers(&channel, 5, &name(5, 1), 10), Ok(()));
        assert_eq!(covers(&channel, 5, &name(5, 2), 10), Err(Uncovered::Balance));
        assert_eq!(covers(&channel, 5, &name(5, 0), 10), Err(Uncovered::Used));
    }

    #[test]
    fn each_reason_stands_alone() {
        let rich = channel(1_000);
        assert_eq!(
            covers(&Channel { closing: true, ..rich.clone() }, 5, &name(5, 0), 1),
            Err(Uncovered::Closing)
        );
        assert_eq!(covers(&rich, 5, &name(4, 0), 1), Ok(()), "an order that runs over the border of epochs");
        assert_eq!(covers(&rich, 5, &name(3, 0), 1), Err(Uncovered::Epoch));
        assert_eq!(covers(&rich, 5, &name(6, 0), 1), Err(Uncovered::Epoch));
        assert_eq!(covers(&rich, 5, &name(5, 4), 1), Err(Uncovered::Index));
        assert_eq!(covers(&rich, 5, &name(5, 3), 11), Err(Uncovered::Budget));
        let most = Channel { most_per_order: Balance::MAX, balance: Balance::MAX, ..rich };
        assert_eq!(covers(&most, 5, &name(5, 0), 1), Err(Uncovered::Balance), "no overflow");
    }

    proptest! {
        /// Whatever is served in an epoch, in any order, can be paid even if everything of the epoch before comes as well.
        #[test]
        fn all_that_is_served_can_be_paid(
            balance in 0u128..120,
            used_before in prop::collection::btree_set(0u32..4, 0..4),
            indices in prop::collection::btree_set(0u32..4, 0..4),
        ) {
            let channel = Channel { used: BTreeMap::from([(4, used_before.clone())]), ..channel(balance) };
            let served = indices.iter().filter(|index| covers(&channel, 5, &name(5, **index), 10).is_ok()).count();
            if served > 0 {
                let most = (served + 4 - used_before.len()) as u128 * 10;
                prop_assert!(balance >= most);
            }
        }
    }
}
