//! Drawing operators by weight, without replacement, so that nobody's weight moves another's seat.
//!
//! Weighted rendezvous: each candidate has a key of its own, made of the seed, its account and its weight, and the smallest
//! keys are drawn. With `u = blake2_256(seed, account)` taken as a number between 0 and 1, the key is `-log2(u) / weight`:
//! an exponential race, in which each candidate comes first with a chance in proportion to its weight among those that are
//! left (Efraimidis and Spirakis, 2006, "Weighted random sampling with a reservoir"; in fixed point: ours).
//!
//! A candidate that changes its weight, joins or leaves moves its own key and no other, so the order of all others stays as
//! it was: at most its own seat changes hands. That matters where somebody knows the seed before others do, as the author of a
//! block knows its VRF output.

use alloc::vec::Vec;
use codec::Encode;
use core::cmp::Ordering;
use sp_io::hashing::blake2_256;

/// Items in the order in which they are drawn. Items of weight 0 are never drawn.
pub struct Draw<Item> {
    /// The next one is the last.
    left: Vec<Candidate<Item>>,
}

struct Candidate<Item> {
    item: Item,
    weight: u64,
    /// `-log2(u)`, in units of 2^-32.
    luck: u64,
    /// Decides between equal keys.
    hash: u64,
}

impl<Item> Draw<Item> {
    /// A draw from `pool`, items with their weights; `account_of` says who an item stands for. No account may stand for two.
    pub fn new<Account: Encode>(
        seed: [u8; 32],
        pool: Vec<(Item, u64)>,
        account_of: impl Fn(&Item) -> &Account,
    ) -> Self {
        let mut left: Vec<_> = pool
            .into_iter()
            .filter(|(_, weight)| *weight > 0)
            .map(|(item, weight)| {
                let hash = number(&seed, account_of(&item));
                Candidate { item, weight, luck: minus_log2(hash), hash }
            })
            .collect();
        left.sort_unstable_by(|a, b| b.key_against(a));
        Self { left }
    }
}

impl<Item> Candidate<Item> {
    /// Order of this one's key and another's. Cross-multiplied, because a division would round: 39 bits times 64.
    fn key_against(&self, other: &Self) -> Ordering {
        let product = |luck: u64, weight: u64| u128::from(luck).saturating_mul(weight.into());
        let (own, theirs) = (product(self.luck, other.weight), product(other.luck, self.weight));
        own.cmp(&theirs).then(other.hash.cmp(&self.hash))
    }
}

impl<Item> Iterator for Draw<Item> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        self.left.pop().map(|candidate| candidate.item)
    }
}

fn number(seed: &[u8; 32], account: &impl Encode) -> u64 {
    let hash = (seed, account).using_encoded(blake2_256);
    hash.iter().take(8).fold(0u64, |number, byte| (number << 8) | u64::from(*byte))
}

/// Bits of a logarithm behind the point.
const FRACTION: u32 = 32;

/// `-log2(number / 2^64)` in units of 2^-32, rounded up, so never 0. A number of 0 counts as 1.
fn minus_log2(number: u64) -> u64 {
    let number = number.max(1);
    let zeros = number.leading_zeros();
    let whole = u64::from(63u32.saturating_sub(zeros));
    // From 1 to 2, with 63 bits behind the point. Squaring doubles its logarithm: the next bit of that is whether it has passed 2.
    let mut mantissa = number.wrapping_shl(zeros);
    let mut log = whole;
    for _ in 0..FRACTION {
        let square = u128::from(mantissa).saturating_mul(mantissa.into()) >> 63;
        let has_passed = square >> 64 != 0;
        mantissa = if has_passed { (square >> 1) as u64 } else { square as u64 };
        log = (log << 1) | u64::from(has_passed);
    }
    (64u64 << FRACTION).saturating_sub(log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn draw(seed: &[u8; 32], count: usize, pool: Vec<(u32, u64)>) -> Vec<u32> {
        Draw::new(*seed, pool, |item| item).take(count).collect()
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
        assert!(draw(&[0; 32], 3, vec![]).is_empty());
    }

    #[test]
    fn weight_zero_is_never_drawn() {
        for seed in 0..50u8 {
            assert_eq!(draw(&[seed; 32], 2, vec![(1, 0), (2, 5)]), vec![2]);
        }
    }

    #[test]
    fn the_logarithm_is_that_of_the_library() {
        for number in [1, 2, 3, 1 << 20, 12_345_678_901_234, 1 << 63, u64::MAX / 3, u64::MAX - 1, u64::MAX] {
            let exact = (64.0 - (number as f64).log2()) * 2f64.powi(32);
            let close = (minus_log2(number) as f64 - exact).abs();
            // A double has 53 bits, of which 6 stand before the point.
            assert!(close <= 2.0, "{number}: {} is not {exact}", minus_log2(number));
            assert!(minus_log2(number) > 0);
        }
        assert_eq!(minus_log2(0), 64 << 32);
    }

    #[test]
    fn chances_follow_weights() {
        let mut first = [0u32; 2];
        let mut second = [0u32; 3];
        for seed in 0..4_000u32 {
            let seed = blake2_256(&seed.encode());
            first[draw(&seed, 1, vec![(0, 1), (1, 3)])[0] as usize] += 1;
            second[draw(&seed, 2, vec![(0, 1), (1, 1), (2, 1_000_000)])[1] as usize] += 1;
        }
        // Binomial(4000, 3/4): mean 3000, standard deviation 27; the seeds are fixed, so this cannot flake.
        assert!(first[1].abs_diff(3_000) < 140, "{first:?}");
        // The heavy one comes first and the light ones share the second place.
        assert!(second[2] < 10 && second[0].abs_diff(2_000) < 160, "{second:?}");
    }

    proptest! {
        /// A candidate that changes, joins or leaves moves at most its own seat; the order of all others stays.
        #[test]
        fn nobody_moves_anothers_seat(
            seed: [u8; 32],
            weights in prop::collection::vec(1u64..1 << 40, 2..30),
            who: prop::sample::Index,
            weight in prop_oneof![Just(0u64), 1u64..1 << 40, Just(u64::MAX)],
            seats in 1usize..10,
        ) {
            let before: Vec<(u32, u64)> = (0u32..).zip(weights).collect();
            let who = who.index(before.len());
            let mut after = before.clone();
            after[who].1 = weight;
            let changed = before[who].0;
            let others = |pool: &Vec<(u32, u64)>| {
                let mut order = draw(&seed, pool.len(), pool.clone());
                order.retain(|item| *item != changed);
                order
            };
            prop_assert_eq!(others(&before), others(&after));
            let seated = |pool: &Vec<(u32, u64)>| -> BTreeSet<u32> {
                draw(&seed, seats, pool.clone()).into_iter().collect()
            };
            let (old, new) = (seated(&before), seated(&after));
            let moved: Vec<_> = old.symmetric_difference(&new).collect();
            prop_assert!(moved.is_empty() || (moved.len() <= 2 && moved.contains(&&changed)), "{:?}", moved);
        }
    }
}
