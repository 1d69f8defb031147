//! Draws without a block: who answers an order and who scores it. (Construction: ours.)
//!
//! A *snapshot* of a model's roster is frozen before the seed of its epoch is known, so nobody's later move changes another's seat.
//! The VRFs are those of sr25519, which are unique: nobody can try several.
//!
//! 1. `v0 = VRF(channel key; name, "answer")`; [`responder_seed`] draws the responders from the generator's snapshot. The order has `v0`, and
//!    the hash of `v1`.
//! 2. Each responder commits to its output and adds `w = VRF(express key; name)`.
//! 3. `v1 = VRF(channel key; name, "score")`; [`committee_seed`] draws the committee from the evaluator's snapshot. Before the outputs
//!    are fixed the requester does not know any honest responder's `w`, and responders do not know `v1`.

use super::{Key, OrderName};
use crate::commitment::Hash32;
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_crypto_hashing::blake2_256;

/// Output of a VRF, as schnorrkel's `VRFPreOut`: a compressed point.
pub type VrfOutput = [u8; 32];

/// Picks beyond the number wanted that may take the places of the busy.
pub const SPARE_PICKS: usize = 8;

/// Numbers that a draw looks at for each pick that it may make, before it ends with fewer. A number is in vain if it meets somebody
/// who is picked already or takes no part, which is rare as long as nobody has most of the weight (`stake_cap`).
const LOOKS_PER_PICK: usize = 16;

const RESPONDERS_TAG: &[u8] = b"poq/express/responders/1";
const COMMITTEE_TAG: &[u8] = b"poq/express/committee/1";

/// Label of the transcripts that VRFs are evaluated on; the one message, `input`, is [`vrf_input`].
pub const VRF_LABEL: &[u8] = b"poq/express/vrf";

/// Domain of the VRF by which a channel draws responders: the input is this and the order's name.
pub const ANSWER_VRF: &[u8] = b"poq/express/vrf/answer/1";

/// Domain of the VRF by which a channel draws a committee: the input is this and the order's name.
pub const SCORE_VRF: &[u8] = b"poq/express/vrf/score/1";

/// Domain of a responder's VRF: the input is this and the order's name.
pub const RESPONDER_VRF: &[u8] = b"poq/express/vrf/responder/1";

/// An operator in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Seat<AccountId> {
    /// The operator.
    pub operator: AccountId,
    /// Its express key.
    pub key: Key,
    /// Sum of the weights in draws up to and including its own: above that of the seat before.
    pub until: u64,
    /// Weight of its scores in a consensus; 0 in the snapshot of a generator.
    pub vote: u64,
}

/// The bytes that a VRF of this domain is evaluated on.
pub fn vrf_input(domain: &[u8], genesis: &Hash32, name: &OrderName) -> Vec<u8> {
    (domain, genesis, name).encode()
}

/// The seed by which responders are drawn.
pub fn responder_seed(epoch: &Hash32, name: &OrderName, v0: &VrfOutput) -> Hash32 {
    (RESPONDERS_TAG, epoch, name, v0).using_encoded(blake2_256)
}

/// The seed by which the committee is drawn, after those of the responders who answered, in the order of the draw.
pub fn committee_seed(responders: &Hash32, v1: &VrfOutput, answered: &[VrfOutput]) -> Hash32 {
    (COMMITTEE_TAG, responders, v1, answered).using_encoded(blake2_256)
}

/// Up to `most` different operators, as indices of `seats`, each with a chance in proportion to its weight among those left; without
/// those who are `excluded`. One hash and one binary search for each number.
pub fn pick<AccountId>(
    seed: &Hash32,
    seats: &[Seat<AccountId>],
    most: usize,
    excluded: impl Fn(&AccountId) -> bool,
) -> Vec<usize> {
    let total = seats.last().map_or(0, |seat| seat.until);
    let mut picked = Vec::new();
    if total == 0 {
        return picked;
    }
    for number in 0..most.saturating_mul(LOOKS_PER_PICK) as u32 {
        if picked.len() >= most {
            break;
        }
        let hash = (seed, number).using_encoded(blake2_256);
        let luck = hash.iter().take(8).fold(0u64, |luck, byte| (luck << 8) | u64::from(*byte));
        let point = (u128::from(luck).saturating_mul(total.into()) >> 64) as u64;
        let index = seats.partition_point(|seat| seat.until <= point);
        let is_free = seats.get(index).is_some_and(|seat| !excluded(&seat.operator));
        if is_free && !picked.contains(&index) {
            picked.push(index);
        }
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seats(weights: &[u64]) -> Vec<Seat<u32>> {
        let mut until = 0u64;
        let seat = |(operator, weight): (u32, &u64)| {
            until = until.saturating_add(*weight);
            Seat { operator, key: [0; 32], until, vote: 0 }
        };
        (0u32..).zip(weights).map(seat).collect()
    }

    #[test]
    fn picks_are_different_and_none_is_excluded() {
        let seats = seats(&[1; 10]);
        for seed in 0..50u8 {
            let picked = pick(&[seed; 32], &seats, 4, |operator| *operator == 3);
            assert_eq!(picked.len(), 4);
            assert!(!picked.contains(&3));
            let mut unique = picked.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), 4);
        }
    }

    #[test]
    fn chances_follow_weights() {
        let seats = seats(&[1, 3]);
        let second = (0..4_000u32)
            .filter(|seed| {
                let seed = seed.using_encoded(blake2_256);
                pick(&seed, &seats, 1, |_| false) == [1]
            })
            .count();
        // Binomial(4000, 3/4): mean 3000, standard deviation 27; the seeds are fixed, so this cannot flake.
        assert!(second.abs_diff(3_000) < 140, "{second}");
    }

    #[test]
    fn a_draw_from_nobody_ends() {
        assert!(pick::<u32>(&[0; 32], &[], 3, |_| false).is_empty());
        assert!(pick(&[0; 32], &seats(&[5, 5]), 3, |_| true).is_empty());
    }

    proptest! {
        /// More picks are the same picks and others behind them: who is busy moves nobody who was picked before it.
        #[test]
        fn later_picks_move_no_earlier(seed: [u8; 32], weights in prop::collection::vec(1u64..1 << 40, 1..40), few in 1usize..6) {
            let seats = seats(&weights);
            let (short, long) = (pick(&seed, &seats, few, |_| false), pick(&seed, &seats, few + 8, |_| false));
            prop_assert_eq!(&short[..], &long[..short.len()]);
        }
    }
}
