//! Which rows go through a network together.

/// Groups rows of these `lengths` (in tokens): each row is in one group, named by its place, and a group of more than
/// one takes at most `budget` tokens when all its rows are padded to the longest. Rows of like length are together,
/// so that little is padded.
pub fn batches(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<(usize, usize)> = lengths.iter().copied().enumerate().collect();
    // The longest first: ONNX Runtime then takes its memory once.
    order.sort_by_key(|(_, length)| std::cmp::Reverse(*length));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    // Room left in the last batch, in rows.
    let mut room: usize = 0;
    for (place, length) in order {
        match batches.last_mut() {
            Some(batch) if room > 0 => batch.push(place),
            _ => {
                batches.push(vec![place]);
                room = (budget / length.max(1)).max(1);
            }
        }
        room = room.saturating_sub(1);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_budget_is_kept_to_the_token() {
        assert_eq!(batches(&[4, 4, 4], 12), [[0, 1, 2]]);
        assert_eq!(batches(&[4, 4, 4], 11), [vec![0, 1], vec![2]]);
        assert_eq!(batches(&[4, 4], 3), [[0], [1]], "one pair is always taken");
        assert_eq!(batches(&[1, 5, 2], 0), [[1], [2], [0]]);
        assert_eq!(batches(&[0, 0], 1), [vec![0], vec![1]]);
        assert!(batches(&[], 9).is_empty());
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_batch_and_no_batch_is_too_large(
            lengths in prop::collection::vec(0_usize..600, 0..80),
            budget in 0_usize..5_000,
        ) {
            let batches = batches(&lengths, budget);
            for batch in &batches {
                let longest = batch.iter().map(|place| lengths[*place]).max().unwrap();
                prop_assert!(batch.len() == 1 || batch.len() * longest <= budget);
            }
            for (left, right) in batches.iter().zip(batches.iter().skip(1)) {
                let shortest = left.iter().map(|place| lengths[*place]).min();
                prop_assert!(shortest >= right.iter().map(|place| lengths[*place]).max());
                // The next row would not have fitted in.
                let longest = left.iter().map(|place| lengths[*place]).max().unwrap().max(1);
                prop_assert!((left.len() + 1) * longest > budget);
            }
            let mut places: Vec<usize> = batches.concat();
            places.sort_unstable();
            prop_assert_eq!(places, (0..lengths.len()).collect::<Vec<_>>());
        }
    }
}
