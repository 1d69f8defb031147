//! From what a model writes, token by token, to text that can be shown at any time.

/// Why no more text is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A stop sequence appeared.
    Stop,
    /// The text is as long as it may be.
    Full,
}

/// Text as it grows.
///
/// Broken UTF-8 becomes U+FFFD; a character that is not complete yet waits for its other bytes. White space at the
/// start is dropped, and at the end as well. [`Self::piece`] gives only text that stays: what may turn out to be the
/// beginning of a stop sequence, or white space at the end, is held back. All pieces together are the text.
#[derive(Clone, Debug)]
pub struct Text {
    /// Bytes of a character that is not complete yet.
    pending: Vec<u8>,
    text: String,
    /// Bytes of `text` that were given out in pieces.
    shown: usize,
    stop: Vec<String>,
    most_bytes: usize,
    end: Option<End>,
    finished: bool,
}

impl Text {
    /// An empty text that ends before the first of `stop`, or at `most_bytes` bytes, whichever is reached first. Of stop
    /// sequences that overlap, the one that is complete first counts, and then the longer one; empty ones are ignored.
    pub fn new(stop: &[String], most_bytes: usize) -> Self {
        let stop = stop.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self {
            pending: Vec::new(),
            text: String::new(),
            shown: 0,
            stop,
            most_bytes,
            end: None,
            finished: false,
        }
    }

    /// Adds what a token stands for. Once this has said that the text ended, more bytes change nothing.
    pub fn push(&mut self, bytes: &[u8]) -> Option<End> {
        if self.end.is_some() || self.finished {
            return self.end;
        }
        let before = self.text.len();
        self.pending.extend_from_slice(bytes);
        self.take_whole_characters();
        if before == 0 {
            let white = self.text.len().saturating_sub(self.text.trim_start().len());
            self.text.drain(..white);
        }
        self.end = self.find_stop(before).or_else(|| self.find_limit());
        self.end
    }

    /// New text that will stay, or `None` if there is none yet.
    pub fn piece(&mut self) -> Option<String> {
        let settled = match self.finished || self.end.is_some() {
            true => self.text.len(),
            false => self.text.len().saturating_sub(self.start_of_a_stop()),
        };
        let settled = self.text.get(..settled).unwrap_or_default().trim_end().len();
        let piece = self.text.get(self.shown..settled).filter(|piece| !piece.is_empty())?.to_owned();
        self.shown = settled;
        Some(piece)
    }

    /// The text is complete: what [`Self::piece`] had held back is now given by it.
    pub fn finish(&mut self) {
        self.pending.clear();
        self.finished = true;
    }

    /// Why the text ended before [`Self::finish`], if it did.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The text so far, without white space at its ends.
    pub fn as_str(&self) -> &str {
        self.text.trim_end()
    }

    fn take_whole_characters(&mut self) {
        let mut incomplete = 0;
        let mut chunks = self.pending.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.text.push_str(chunk.valid());
            let broken = chunk.invalid();
            if broken.is_empty() {
                continue;
            }
            if chunks.peek().is_none() && may_be_completed(broken) {
                incomplete = broken.len();
            } else {
                self.text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        let whole = self.pending.len().saturating_sub(incomplete);
        self.pending.drain(..whole);
    }

    /// Cuts the text before the first stop sequence in it. Only what came after `before` can complete one, and one that
    /// is complete only beyond the limit came too late, in however many bytes it arrived.
    fn find_stop(&mut self, before: usize) -> Option<End> {
        let longest = self.stop.iter().map(String::len).max()?;
        let from = self.text.floor_char_boundary(before.saturating_sub(longest));
        let fresh = self.text.get(from..).unwrap_or_default();
        let found = self.stop.iter().filter_map(|stop| Some((fresh.find(stop.as_str())?, stop.len())));
        let (first, length) = found.min_by_key(|(at, length)| (at.saturating_add(*length), *at))?;
        let first = from.saturating_add(first);
        if first.saturating_add(length) > self.most_bytes {
            return None;
        }
        self.text.truncate(first);
        Some(End::Stop)
    }

    fn find_limit(&mut self) -> Option<End> {
        if self.text.len() < self.most_bytes {
            return None;
        }
        let within = self.text.floor_char_boundary(self.most_bytes);
        self.text.truncate(within);
        Some(End::Full)
    }

    /// Bytes at the end of the text that may become a stop sequence.
    fn start_of_a_stop(&self) -> usize {
        let overlap = |stop: &String| {
            let longest = stop.len().saturating_sub(1).min(self.text.len());
            (1..=longest)
                .rev()
                .find(|length| stop.get(..*length).is_some_and(|start| self.text.ends_with(start)))
        };
        self.stop.iter().filter_map(overlap).max().unwrap_or(0)
    }
}

/// Whether more bytes can make a character of `broken`, an invalid run at the very end.
fn may_be_completed(broken: &[u8]) -> bool {
    std::str::from_utf8(broken).is_err_and(|error| error.error_len().is_none())
}

/// A message about what others wrote, as one line: in place of line ends and other control characters stand spaces.
pub fn one_line(message: &str) -> String {
    message.replace(char::is_control, " ")
}

/// Most characters of an error's message. Of a longer one, which repeats something that others wrote, the middle is left out.
pub const LONGEST_MESSAGE: usize = 400;

/// Characters at the end of a shortened message: what to do stands there.
const LONGEST_TAIL: usize = 150;

/// An error's message as it is shown: one line of at most [`LONGEST_MESSAGE`] characters.
pub fn message(text: &str) -> String {
    shortened(text, LONGEST_MESSAGE, LONGEST_TAIL)
}

/// `text` in one line of at most `most` characters: of a longer one the middle is left out, and `tail` characters stay at its end.
pub fn shortened(text: &str, most: usize, tail: usize) -> String {
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    let length = text.chars().count();
    if length <= most {
        return text.chars().map(plain).collect();
    }
    let head = text.chars().take(most.saturating_sub(tail).saturating_sub(1));
    head.chain(['…']).chain(text.chars().skip(length.saturating_sub(tail))).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(bytes: &[u8], stop: &[&str], most: usize) -> String {
        let stop: Vec<String> = stop.iter().map(|stop| (*stop).to_owned()).collect();
        let mut text = Text::new(&stop, most);
        text.push(bytes);
        text.finish();
        text.as_str().to_owned()
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(written("  äöü ".as_bytes(), &[], 100), "äöü");
        assert_eq!(written("äöü".as_bytes(), &[], 3), "ä");
        assert_eq!(written(&"äöü".as_bytes()[..5], &[], 100), "äö", "half a character at the end goes");
        assert_eq!(written(b"a\xffb", &[], 100), "a\u{fffd}b", "a broken byte in the middle shows");
        assert_eq!(written(b"", &[], 1), "");
    }

    #[test]
    fn a_stop_sequence_ends_the_text_before_it() {
        assert_eq!(written(b"one\n\ntwo", &["\n\n"], 100), "one");
        assert_eq!(written(b"one two three", &["three", "two"], 100), "one", "the first that appears");
        assert_eq!(written(b"stop", &["stop"], 100), "");
        assert_eq!(written(b"all", &["", "x"], 100), "all", "an empty one is none");
        assert_eq!(written(b"abcd", &["bcd", "c"], 100), "ab", "the one complete first");
        assert_eq!(written(b"abcd", &["c", "bc"], 100), "a", "and then the longer one");
    }

    #[test]
    fn nothing_is_shown_that_may_have_to_be_taken_back() {
        let mut text = Text::new(&["END".to_owned()], 100);
        assert_eq!(text.push(b" well E"), None);
        assert_eq!(text.piece().as_deref(), Some("well"));
        assert_eq!(text.push(b"N"), None);
        assert_eq!(text.piece(), None);
        assert_eq!(text.push(b"ough \xc3"), None);
        assert_eq!(text.piece().as_deref(), Some(" ENough"));
        assert_eq!(text.push(b"\xa4E"), None);
        assert_eq!(text.piece().as_deref(), Some(" ä"));
        assert_eq!(text.push(b"ND more"), Some(End::Stop));
        assert_eq!(text.piece(), None);
        assert_eq!(text.as_str(), "well ENough ä");
    }

    #[test]
    fn a_stop_sequence_beyond_the_limit_came_too_late() {
        for (most, shown) in [(8, "a"), (7, "a stopp"), (6, "a stop"), (2, "a")] {
            assert_eq!(written(b"a stopped", &[" stoppe"], most), shown);
        }
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let long = format!("wants '{}'; export it anew", "n".repeat(900_000));
        let said = message(&long);
        assert_eq!(said.chars().count(), LONGEST_MESSAGE);
        assert!(said.starts_with("wants 'nnn") && said.ends_with("'; export it anew"));
        assert_eq!(message("a\nb\u{1b}c"), "a b c");
    }

    #[test]
    fn the_limit_is_inclusive() {
        for (most, end) in [(3, Some(End::Full)), (4, None)] {
            assert_eq!(Text::new(&[], most).push(b"abc"), end);
        }
    }

    proptest! {
        #[test]
        fn pieces_make_the_text_however_the_bytes_come(
            bytes in prop_oneof![
                any::<Vec<u8>>(),
                "[ aäb\u{20AC}.]{0,30}".prop_map(String::into_bytes),
            ],
            stop in prop::collection::vec("[ab.]{0,3}", 0..3),
            most in 1_usize..40,
            cuts in prop::collection::vec(1_usize..5, 1..40),
        ) {
            let mut whole = Text::new(&stop, most);
            // One byte at a time is how late a decision can be made at the latest.
            for byte in &bytes {
                if whole.push(&[*byte]).is_some() {
                    break;
                }
            }
            whole.finish();

            let (mut text, mut pieces, mut rest) = (Text::new(&stop, most), String::new(), &bytes[..]);
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                let end = text.push(now);
                pieces.extend(text.piece());
                rest = later;
                if end.is_some() || rest.is_empty() {
                    break;
                }
            }
            text.finish();
            pieces.extend(text.piece());
            prop_assert_eq!(&pieces, text.as_str());
            prop_assert!(pieces.len() <= most);
            prop_assert_eq!(pieces.trim(), &pieces);
            for stop in stop.iter().filter(|stop| !stop.is_empty()) {
                prop_assert!(!pieces.contains(stop.as_str()));
            }
            prop_assert_eq!(&pieces, whole.as_str());
        }
    }
}
