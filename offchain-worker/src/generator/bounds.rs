//! Limits on texts before they are tokenized.
//!
//! For many models llama.cpp splits a text by regular expressions of the C++ library. Those recurse once for every character
//! of a match, so a long word (or a long row of blanks, digits, dashes) overflows an ordinary stack and ends the process;
//! and where an expression looks ahead, the time grows with the square of such a row. Hence three bounds: on the whole
//! text, on a row of characters of one class, and a stack that is as large as the text may need.

use std::{io, thread};

/// Most bytes of a text, whatever the model's context.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Longest row of characters of one class: letters, blanks, or others.
pub const LONGEST_RUN: usize = 16 * 1024;

/// Longest row of digits. Expressions that group digits from the end look ahead at each of them.
pub const LONGEST_NUMBER: usize = 2 * 1024;

/// Least bytes that a token of the vocabulary is taken to hold at most: some tokenizers drop what they do not know.
const LONGEST_TOKEN_AT_LEAST: usize = 32;

/// Stack of a tokenizing thread besides what the text needs, in bytes.
const STACK: usize = 8 * 1024 * 1024;

/// Stack for each character of the text, in bytes: several times what the regular expressions were seen to take, which is
/// up to 440. Only what is used becomes memory.
const STACK_PER_CHARACTER: usize = 4 * 1024;

/// Most bytes of a text of which `context` tokens may be the whole, if no token holds more than `longest` bytes.
pub fn most_bytes(context: usize, longest: usize) -> usize {
    context.saturating_mul(longest.max(LONGEST_TOKEN_AT_LEAST)).min(MOST_BYTES)
}

/// Whether the tokenizer may be given `text`, which is not longer than [`most_bytes`]. The error is one line.
pub fn check(text: &str) -> Result<(), String> {
    match too_long_a_run(text) {
        None => Ok(()),
        Some(class) => Err(format!(
            "the prompt has more than {} {} in a row; break them up",
            class.longest(),
            class.in_words()
        )),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Blank,
    Digit,
    Letter,
    Other,
}

impl Class {
    fn of(character: char) -> Self {
        match character {
            c if c.is_whitespace() => Self::Blank,
            c if c.is_numeric() => Self::Digit,
            c if c.is_alphabetic() => Self::Letter,
            _ => Self::Other,
        }
    }

    /// Most characters in a row.
    fn longest(self) -> usize {
        match self {
            Self::Digit => LONGEST_NUMBER,
            Self::Blank | Self::Letter | Self::Other => LONGEST_RUN,
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Blank => "blanks",
            Self::Digit => "digits",
            Self::Letter => "letters",
            Self::Other => "characters that are neither letters nor digits",
        }
    }
}

/// The class of the first row that is too long.
fn too_long_a_run(text: &str) -> Option<Class> {
    let (mut run, mut last) = (0_usize, None);
    text.chars().map(Class::of).find(|class| {
        run = if last == Some(*class) { run.saturating_add(1) } else { 1 };
        last = Some(*class);
        run > class.longest()
    })
}

/// The beginning of `text` without a row that is too long: where a tokenizer has to be given something.
pub fn prefix_within_bounds(text: &str) -> &str {
    let (mut run, mut last) = (0_usize, None);
    let end = text.char_indices().find(|(_, character)| {
        let class = Class::of(*character);
        run = if last == Some(class) { run.saturating_add(1) } else { 1 };
        last = Some(class);
        run > class.longest()
    });
    end.and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Does `work` on a thread whose stack is large enough to tokenize a text of so many characters.
pub fn with_stack_for<T: Send>(characters: usize, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let stack = STACK.saturating_add(characters.saturating_mul(STACK_PER_CHARACTER));
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("poq-tokenizer".to_owned()).stack_size(stack);
        let working = thread.spawn_scoped(scope, work)?;
        working.join().map_err(|_| io::Error::other("the tokenizer panicked"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_bounded_at_the_character() {
        for (one, longest) in [
            ("a", LONGEST_RUN),
            ("é", LONGEST_RUN),
            ("漢", LONGEST_RUN),
            (" ", LONGEST_RUN),
            ("\n", LONGEST_RUN),
            ("=", LONGEST_RUN),
            ("🦀", LONGEST_RUN),
            ("7", LONGEST_NUMBER),
        ] {
            let text = |length: usize| format!("x.{}.x", one.repeat(length));
            assert_eq!(check(&text(longest - 2)), Ok(()), "{one}");
            let error = check(&text(longest + 1)).unwrap_err();
            assert!(error.contains(&format!("more than {longest}")), "{error}");
            assert_eq!(check(&one.repeat(longest)), Ok(()), "{one}");
        }
        assert_eq!(check(&"a1".repeat(LONGEST_RUN)), Ok(()));
        assert_eq!(check(""), Ok(()));
    }

    #[test]
    fn what_has_to_be_tokenized_is_cut_before_a_row_gets_too_long() {
        for (one, longest) in [("é", LONGEST_RUN), ("7", LONGEST_NUMBER)] {
            let most = format!("x.{}", one.repeat(longest));
            assert_eq!(prefix_within_bounds(&most), most);
            assert_eq!(prefix_within_bounds(&format!("{most}{one}.x")), most);
        }
        assert_eq!(prefix_within_bounds(""), "");
    }

    #[test]
    fn bytes_are_bounded_by_what_the_context_holds() {
        assert_eq!(most_bytes(100, 50), 5000);
        assert_eq!(most_bytes(100, 1), 3200);
        assert_eq!(most_bytes(usize::MAX, 50), MOST_BYTES);
    }

    #[test]
    fn a_deep_stack_is_there() {
        fn deep(levels: usize) -> usize {
            let frame = std::hint::black_box([levels; 100]);
            if levels == 0 {
                0
            } else {
                deep(levels - 1) + frame[99] / levels
            }
        }
        // More than the usual stack of a thread, and of a main thread.
        assert_eq!(with_stack_for(20_000, || deep(20_000)).unwrap(), 20_000);
        assert!(with_stack_for(1, || panic!("as a tokenizer might")).is_err());
    }

    proptest! {
        #[test]
        fn short_texts_have_no_long_row(text: String) {
            prop_assert_eq!(too_long_a_run(&text), None);
        }
    }
}
