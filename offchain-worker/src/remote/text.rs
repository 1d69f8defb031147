//! The limits of a text while it comes in pieces: stop sequences, bytes, white space at its ends.
//!
//! A server may pass over a limit that it was told, and knows nothing of some (bytes). What comes from it
//! therefore goes through a [`Shaper`], whose pieces, joined, are the final text: nothing is shown that may have
//! to be taken back.

use crate::work::Finish;

/// Cuts a text while it grows.
#[derive(Clone, Debug)]
pub struct Shaper {
    stops: Vec<String>,
    most_bytes: usize,
    /// May be the beginning of a stop sequence, so it waits.
    held: String,
    /// White space that shows only if more text follows.
    space: String,
    /// What was given out.
    text: String,
    ended: Option<Finish>,
}

impl Shaper {
    /// A text that ends before the first of `stops` (none of them empty) and has at most `most_bytes` bytes. Of
    /// two stop sequences that overlap, the one that is complete first counts, and then the longer one.
    pub fn new(stops: Vec<String>, most_bytes: usize) -> Self {
        Self {
            stops,
            most_bytes,
            held: String::new(),
            space: String::new(),
            text: String::new(),
            ended: None,
        }
    }

    /// Takes in the next piece; what may be shown now, possibly nothing.
    pub fn push(&mut self, piece: &str) -> String {
        if self.ended.is_some() {
            return String::new();
        }
        self.held.push_str(piece);
        match self.first_stop() {
            Some(at) => {
                self.held.truncate(at);
                let shown = self.release(at);
                self.ended.get_or_insert(Finish::Stop);
                shown
            }
            None => {
                let safe = self.held.len().saturating_sub(self.possible_stop());
                self.release(safe)
            }
        }
    }

    /// No more pieces come: what was held back and belongs to the text after all.
    pub fn finish(&mut self) -> String {
        if self.ended.is_some() {
            return String::new();
        }
        self.release(self.held.len())
    }

    /// Why the text ended here, if it did.
    pub fn ended(&self) -> Option<Finish> {
        self.ended
    }

    /// All that was given out: the text without white space at its ends.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where in `held` the stop sequence begins that is complete first.
    fn first_stop(&self) -> Option<usize> {
        let found = self.stops.iter().filter_map(|stop| Some((self.held.find(stop)?, stop.len())));
        found.min_by_key(|(at, length)| (at.saturating_add(*length), *at)).map(|(at, _)| at)
    }

    /// Length of the longest end of `held` with which a stop sequence begins.
    fn possible_stop(&self) -> usize {
        let beginning = |stop: &String| {
            let longest = stop.len().saturating_sub(1).min(self.held.len());
            (1..=longest)
                .rev()
                .find(|length| stop.as_bytes().get(..*length).is_some_and(|begin| self.ends_with(begin)))
        };
        self.stops.iter().filter_map(beginning).max().unwrap_or(0)
    }

    fn ends_with(&self, bytes: &[u8]) -> bool {
        self.held.as_bytes().ends_with(bytes)
    }

    /// Gives out the first `length` bytes of `held`, as far as white space and the limit let them through.
    fn release(&mut self, length: usize) -> String {
        let rest = self.held.split_off(self.held.floor_char_boundary(length));
        let released = std::mem::replace(&mut self.held, rest);
        let begun = !self.text.is_empty();
        let released = if begun { released.as_str() } else { released.trim_start() };
        let room = self.most_bytes.saturating_sub(self.text.len()).saturating_sub(self.space.len());
        let taken = released.get(..released.floor_char_boundary(room)).unwrap_or_default();
        if taken.len() < released.len() {
            self.ended = Some(Finish::Length);
        }
        self.space.push_str(taken);
        let rest = self.space.split_off(self.space.trim_end().len());
        let shown = std::mem::replace(&mut self.space, rest);
        self.text.push_str(&shown);
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(pieces: &[&str], stops: &[&str], most: usize) -> (Vec<String>, Option<Finish>) {
        let mut shaper = Shaper::new(stops.iter().map(|stop| (*stop).to_owned()).collect(), most);
        let mut shown: Vec<String> = pieces.iter().map(|piece| shaper.push(piece)).collect();
        shown.push(shaper.finish());
        assert_eq!(shown.concat(), shaper.text());
        (shown, shaper.ended())
    }

    #[test]
    fn white_space_at_the_ends_never_shows() {
        assert_eq!(shape(&[" \n", " a", " ", "\n", "b ", "\n"], &[], 99).0.concat(), "a \nb");
        assert_eq!(shape(&[" a ", "b"], &[], 99).0, ["a", " b", ""]);
        assert_eq!(shape(&[" ", "\n"], &[], 99).0.concat(), "");
    }

    #[test]
    fn stop_sequences_end_the_text_even_in_parts() {
        let (shown, ended) = shape(&["one E", "N", "D two"], &["END"], 99);
        assert_eq!((shown.concat().as_str(), ended), ("one", Some(Finish::Stop)));
        let (shown, ended) = shape(&["one E", "N", "d two E"], &["END"], 99);
        assert_eq!((shown.concat().as_str(), ended), ("one ENd two E", None));
        assert_eq!(shape(&["\n\nHello"], &["\n"], 99), (vec![String::new(); 2], Some(Finish::Stop)));
        // Complete first, then longest.
        assert_eq!(shape(&["xabc"], &["abcd", "b"], 99).0.concat(), "xa");
        assert_eq!(shape(&["xab"], &["b", "ab"], 99).0.concat(), "x");
        assert_eq!(shape(&["ä東", "🦀!"], &["東🦀"], 99).0.concat(), "ä");
    }

    #[test]
    fn bytes_are_limited_between_characters() {
        assert_eq!(shape(&["äöü"], &[], 6), (vec!["äöü".into(), String::new()], None));
        assert_eq!(shape(&["äöü"], &[], 5), (vec!["äö".into(), String::new()], Some(Finish::Length)));
        assert_eq!(shape(&["  a", "b", "c"], &[], 2).0.concat(), "ab");
        assert_eq!(
            shape(&["a ", " b"], &[], 3),
            (vec!["a".into(); 1].into_iter().chain(vec![String::new(); 2]).collect(), Some(Finish::Length))
        );
        assert_eq!(shape(&["ä"], &[], 1), (vec![String::new(); 2], Some(Finish::Length)));
    }

    /// The same limits on a text that is there as a whole.
    fn at_once(text: &str, stops: &[String], most: usize) -> String {
        let stop = (0..=text.len()).filter(|end| text.is_char_boundary(*end)).find_map(|end| {
            stops.iter().filter(|stop| text[..end].ends_with(*stop)).map(|stop| end - stop.len()).min()
        });
        let text = text[..stop.unwrap_or(text.len())].trim_start();
        text[..text.floor_char_boundary(most)].trim_end().to_owned()
    }

    proptest! {
        #[test]
        fn pieces_joined_are_the_text(
            pieces in proptest::collection::vec("[ab \nä🦀]{0,4}", 0..8),
            stops in proptest::collection::vec("[ab \nä🦀]{1,4}", 0..3),
            most in 1_usize..24,
        ) {
            let mut shaper = Shaper::new(stops.clone(), most);
            let mut shown: String = pieces.iter().map(|piece| shaper.push(piece)).collect();
            shown += &shaper.finish();
            prop_assert_eq!(&shown, &at_once(&pieces.concat(), &stops, most));
            prop_assert_eq!(&shown, shaper.text());
            prop_assert!(shown.len() <= most);
        }
    }
}
