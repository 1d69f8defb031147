//! Seeds of draws: the VRF output of the parent block.
//!
//! Purpose. In block `n` the seed is made of the VRF output that the author of block `n - 1` showed; nobody
//! else could compute it before block `n - 1` was made, so it counts for whatever was committed before that block.
//!
//! Limits. The author of block `n - 1` could compute its own output since the epoch's randomness was
//! settled, and may drop its block (losing the slot) if it does not like the draw. One who is both a block author and a
//! party to a request has that much influence, and no more.

use core::marker::PhantomData;
use frame_support::traits::Randomness;
use frame_system::pallet_prelude::BlockNumberFor;
use sp_consensus_babe::AllowedSlots;

/// The VRF output of the parent block, mixed with a subject; `None` while there is none.
///
/// The block number beside it is the parent's: the block since which the seed is known. Call it while a block is being
/// executed: seen from outside, the state of block `n` holds the output of block `n` itself.
pub struct ParentVrf<T>(PhantomData<T>);

impl<T: pallet_babe::Config> Randomness<Option<T::Hash>, BlockNumberFor<T>> for ParentVrf<T> {
    fn random(subject: &[u8]) -> (Option<T::Hash>, BlockNumberFor<T>) {
        let (seed, known_since) = pallet_babe::ParentBlockRandomness::<T>::random(subject);
        // A block in a plain secondary slot has no VRF output, and pallet-babe then keeps the one of an older block.
        // This chain never allows such slots; should root ever do so, there are no draws rather than stale ones.
        let every_block_has_one = pallet_babe::EpochConfig::<T>::get()
            .is_some_and(|epoch| epoch.allowed_slots != AllowedSlots::PrimaryAndSecondaryPlainSlots);
        (seed.filter(|_| every_block_has_one), known_since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EpochConfiguration, Hash, Runtime, System};
    use sp_consensus_babe::BabeEpochConfiguration;

    type Seed = ParentVrf<Runtime>;

    fn at_block_nine(
        vrf: Option<[u8; 32]>,
        allowed_slots: AllowedSlots,
        check: impl FnOnce((Option<Hash>, u32)),
    ) {
        sp_io::TestExternalities::default().execute_with(|| {
            System::set_block_number(9);
            pallet_babe::AuthorVrfRandomness::<Runtime>::put(vrf);
            pallet_babe::EpochConfig::<Runtime>::put(BabeEpochConfiguration {
                allowed_slots,
                ..EpochConfiguration::GENESIS
            });
            check(Seed::random(b"subject"));
        });
    }

    #[test]
    fn the_seed_is_the_parents_and_known_since_the_parent() {
        at_block_nine(Some([7; 32]), AllowedSlots::PrimaryAndSecondaryVRFSlots, |(seed, known_since)| {
            let expected = sp_io::hashing::blake2_256(&[b"subject".as_slice(), &[7; 32]].concat());
            assert_eq!(seed, Some(Hash::from(expected)));
            assert_eq!(known_since, 8);
        });
    }

    #[test]
    fn no_vrf_no_seed() {
        at_block_nine(None, AllowedSlots::PrimaryAndSecondaryVRFSlots, |(seed, _)| assert_eq!(seed, None));
    }

    #[test]
    fn an_output_that_may_be_stale_is_not_used() {
        at_block_nine(Some([7; 32]), AllowedSlots::PrimaryAndSecondaryPlainSlots, |(seed, _)| {
            assert_eq!(seed, None)
        });
    }
}
