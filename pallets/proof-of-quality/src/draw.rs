//! Drawing operators by weight, without replacement. (Construction: ours.)

use alloc::vec::Vec;
use codec::Encode;
use sp_io::hashing::blake2_256;

/// Draws items from a pool one after the other, each with a chance in proportion to its weight among those that are left.
/// Items of weight 0 are never drawn. The same seed and pool give the same items.
///
/// The `i`-th pick is `blake2_256(seed, i)` taken modulo the weight that is left; 128 bits against at most
/// 2^64 * |pool| make the bias of the modulo negligible.
pub struct Draw<Item> {
    seed: [u8; 32],
    pick: u32,
    pool: Vec<(Item, u64)>,
    /// The weight that is left.
    total: u128,
}

impl<Item> Draw<Item> {
    /// A draw from `pool`, items with their weights.
    pub fn new(seed: [u8; 32], pool: Vec<(Item, u64)>) -> Self {
        let total = pool.iter().fold(0u128, |sum, (_, weight)| sum.saturating_add((*weight).into()));
        Self { seed, pick: 0, pool, total }
    }
}

impl<Item> Iterator for Draw<Item> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let mut left = number(&self.seed, self.pick).checked_rem(self.total)?;
        let place = self.pool.iter().position(|(_, weight)| {
            let weight = u128::from(*weight);
            if left < weight {
                true
            } else {
                left = left.saturating_sub(weight);
                false
            }
        })?;
        self.pick = self.pick.saturating_add(1);
        let (item, weight) = self.pool.swap_remove(place);
        self.total = self.total.saturating_sub(weight.into());
        Some(item)
    }
}

fn number(seed: &[u8; 32], pick: u32) -> u128 {
    let hash = (seed, pick).using_encoded(blake2_256);
    hash.iter().take(16).fold(0u128, |number, byte| (number << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn draw<Item>(seed: &[u8; 32], count: usize, pool: Vec<(Item, u64)>) -> Vec<Item> {
        Draw::new(*seed, pool).take(count).collect()
    }

    #[test]
    fn draws_distinct_items_and_no_more_than_there_are() {
        let pool: Vec<_> = (0..10u32).map(|i| (i, 1u64)).collect();
        for seed in 0..50u8 {
            let drawn = draw(&[seed; 32], 4, pool.clone());
            assert_eq!(drawn.len(), 4);
            assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 4);
            assert_eq!(drawn, draw(&[seed; 32], 4, pool.clone()));
        }
        assert_eq!(draw(&[0; 32], 20, pool).len(), 10);
        assert!(draw::<u32>(&[0; 32], 3, vec![]).is_empty());
    }

    #[test]
    fn weight_zero_is_never_drawn() {
        for seed in 0..50u8 {
            assert_eq!(draw(&[seed; 32], 2, vec![(1u8, 0), (2, 5)]), vec![2]);
        }
    }

    #[test]
    fn chances_follow_weights() {
        let mut first = [0u32; 2];
        for seed in 0..4_000u32 {
            let seed = blake2_256(&seed.encode());
            first[draw(&seed, 1, vec![(0usize, 1), (1, 3)])[0]] += 1;
        }
        // Binomial(4000, 3/4): mean 3000, standard deviation 27; the seeds are fixed, so this cannot flake.
        assert!(first[1].abs_diff(3_000) < 140, "{first:?}");
    }
}
