//! Counting the tokens of a text that may be far too long, without tokenizing all of it.

/// Bytes of a text that are counted at once.
const SLICE: usize = 8 * 1024;

/// Tokens by which a slice may count more than it does within the whole text: tokens may reach over its ends.
const SLACK: usize = 16;

/// Bytes of a token up to which a text is not counted but tokenized at once: it probably fits.
const USUAL_BYTES: usize = 4;

/// The number of tokens that were counted, if `text` certainly has more than `most`. `count` gives those of a slice.
pub fn more_than(text: &str, most: usize, mut count: impl FnMut(&str) -> usize) -> Option<usize> {
    if text.len() <= most.saturating_mul(USUAL_BYTES) {
        return None;
    }
    let (mut rest, mut counted) = (text, 0_usize);
    while !rest.is_empty() {
        let (slice, behind) = rest.split_at(end_of_slice(rest));
        counted = counted.saturating_add(count(slice).saturating_sub(SLACK));
        if counted > most {
            return Some(counted);
        }
        rest = behind;
    }
    None
}

/// End of the first slice of `text`: before a blank if there is one, else at a character.
fn end_of_slice(text: &str) -> usize {
    if text.len() <= SLICE {
        return text.len();
    }
    let end = text.floor_char_boundary(SLICE);
    let slice = text.get(..end).unwrap_or(text);
    slice.rfind(char::is_whitespace).filter(|blank| *blank > 0).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(slice: &str) -> usize {
        slice.split_whitespace().count()
    }

    #[test]
    fn counting_stops_when_it_is_enough() {
        let text = "word ".repeat(200_000);
        let mut looked_at = 0;
        let counted = more_than(&text, 4096, |slice| {
            looked_at += slice.len();
            words(slice)
        });
        assert!(counted.unwrap() > 4096);
        assert!(looked_at < 40_000, "{looked_at}");
        assert_eq!(more_than(&text, 200_000, words), None, "it fits");
        assert_eq!(more_than("", 0, words), None);
    }

    proptest! {
        #[test]
        fn nothing_that_fits_is_refused(text in "(\\PC{0,40}[ \n]?){0,800}", most in 0_usize..3000) {
            if more_than(&text, most, words).is_some() {
                prop_assert!(words(&text) > most);
            }
        }

        #[test]
        fn slices_are_the_text(text in "(\\PC{0,400}){0,100}") {
            let mut all = String::new();
            let _ = more_than(&text, 0, |slice| {
                all.push_str(slice);
                0
            });
            prop_assert_eq!(all, text);
        }
    }
}
