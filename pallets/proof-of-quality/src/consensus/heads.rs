//! Scores that have a voice, one head one vote: what the rules that do not weigh have in common.

use super::Weighted;
use alloc::vec::Vec;
use sp_runtime::Permill;

/// The scores that have a voice, in ascending order.
pub(super) struct Heads {
    /// Score and its place in the caller's slice.
    entries: Vec<(Permill, usize)>,
    /// Length of the caller's slice.
    all: usize,
}

impl Heads {
    pub(super) fn new(scores: &[Weighted]) -> Self {
        let mut entries: Vec<(Permill, usize)> = scores
            .iter()
            .enumerate()
            .filter(|(_, (_, weight))| *weight > 0)
            .map(|(index, (score, _))| (*score, index))
            .collect();
        entries.sort_unstable();
        Self { entries, all: scores.len() }
    }

    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn score(&self, place: usize) -> Option<Permill> {
        self.entries.get(place).map(|(score, _)| *score)
    }

    /// The scores in ascending order.
    pub(super) fn ascending(&self) -> impl Iterator<Item = Permill> + '_ {
        self.entries.iter().map(|(score, _)| *score)
    }

    /// In the caller's order: `without(place)` for a score that has a voice, and `whole` for one that has none, because
    /// without it nothing changes.
    pub(super) fn leave_one_out(
        &self,
        whole: Option<Permill>,
        without: impl Fn(usize) -> Option<Permill>,
    ) -> Vec<Option<Permill>> {
        let mut result = alloc::vec![whole; self.all];
        for (place, (_, index)) in self.entries.iter().enumerate() {
            if let Some(slot) = result.get_mut(*index) {
                *slot = without(place);
            }
        }
        result
    }
}
