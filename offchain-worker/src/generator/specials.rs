//! Control tokens: which there are, and where a text has them.

use llama_cpp_2::{token::LlamaToken, token_type::LlamaTokenAttr, vocab::LlamaVocab};
use std::collections::{HashMap, HashSet};

/// A token that a tokenizer finds only where it is told to look for control tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Special {
    /// The token.
    pub token: LlamaToken,
    /// Its text.
    pub text: String,
    /// Whether it swallows the white space before it.
    pub strips_left: bool,
    /// Whether it swallows the white space after it.
    pub strips_right: bool,
}

/// The control tokens of a vocabulary.
#[derive(Clone, Debug, Default)]
pub struct Specials {
    /// Longest first: the order in which llama.cpp looks for them.
    specials: Vec<Special>,
    /// Indexes of those whose text begins with this byte.
    by_first: HashMap<u8, Vec<usize>>,
}

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment<'a> {
    /// A control token.
    Token(LlamaToken),
    /// Text between control tokens.
    Text(&'a str),
}

impl Specials {
    /// The control tokens of `vocab`.
    pub fn of(vocab: &LlamaVocab<'_>) -> Self {
        let special = |token: LlamaToken| {
            let attributes = vocab.attr(token);
            let hidden = attributes.intersects(LlamaTokenAttr::Control | LlamaTokenAttr::Unknown);
            let text = vocab.text(token).filter(|_| hidden)?.to_str().ok()?.to_owned();
            Some(Special {
                token,
                text,
                strips_left: attributes.contains(LlamaTokenAttr::LStrip),
                strips_right: attributes.contains(LlamaTokenAttr::RStrip),
            })
        };
        Self::new((0..vocab.n_tokens()).map(LlamaToken).filter_map(special).collect())
    }

    /// These control tokens.
    pub fn new(mut specials: Vec<Special>) -> Self {
        specials.retain(|special| !special.text.is_empty());
        specials.sort_by_key(|special| std::cmp::Reverse(special.text.len()));
        let mut by_first: HashMap<u8, Vec<usize>> = HashMap::new();
        for (index, special) in specials.iter().enumerate() {
            if let Some(first) = special.text.bytes().next() {
                by_first.entry(first).or_default().push(index);
            }
        }
        Self { specials, by_first }
    }

    /// The characters of their texts.
    pub fn characters(&self) -> HashSet<char> {
        self.specials.iter().flat_map(|special| special.text.chars()).collect()
    }

    /// Characters of which each of their texts has at least one: the signs, where there are signs. Without one of its
    /// signs a control token is none.
    pub fn signs(&self) -> HashSet<char> {
        let sign = |character: &char| !character.is_alphanumeric();
        let signs = |special: &Special| -> Vec<char> {
            let signs: Vec<char> = special.text.chars().filter(sign).collect();
            if signs.is_empty() {
                special.text.chars().collect()
            } else {
                signs
            }
        };
        self.specials.iter().flat_map(signs).collect()
    }

    /// Whether `text` could be a part of a control token, the whole of it, or hold one: alone or together with text
    /// beside it.
    pub fn overlap(&self, text: &str) -> bool {
        let ends_of = |text: &str, other: &str| {
            let cuts = text.char_indices().map(|(at, _)| at).skip(1);
            cuts.into_iter().any(|at| text.get(at..).is_some_and(|end| other.starts_with(end)))
        };
        self.specials.iter().any(|special| {
            let special = special.text.as_str();
            special.contains(text)
                || text.contains(special)
                || ends_of(special, text)
                || ends_of(text, special)
        })
    }

    /// The control tokens of `text` and what is between them, as llama.cpp's tokenizer splits it.
    pub fn split<'a>(&self, text: &'a str) -> Vec<Fragment<'a>> {
        let mut fragments = vec![Fragment::Text(text)];
        for index in self.present_in(text) {
            let Some(special) = self.specials.get(index) else { continue };
            fragments = fragments.into_iter().flat_map(|fragment| special.split(fragment)).collect();
        }
        fragments.retain(|fragment| *fragment != Fragment::Text(""));
        fragments
    }

    /// Indexes of the control tokens that the text holds, in order.
    fn present_in(&self, text: &str) -> Vec<usize> {
        let bytes = text.as_bytes();
        let mut present = HashSet::new();
        for (at, byte) in bytes.iter().enumerate() {
            let Some(candidates) = self.by_first.get(byte) else { continue };
            let rest = bytes.get(at..).unwrap_or_default();
            let here = candidates.iter().filter(|index| {
                self.specials.get(**index).is_some_and(|special| rest.starts_with(special.text.as_bytes()))
            });
            present.extend(here.copied());
        }
        let mut present: Vec<usize> = present.into_iter().collect();
        present.sort_unstable();
        present
    }
}

impl Special {
    fn split<'a>(&self, fragment: Fragment<'a>) -> Vec<Fragment<'a>> {
        let Fragment::Text(text) = fragment else { return vec![fragment] };
        let (mut fragments, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once(self.text.as_str()) {
            let before = if self.strips_left { before.trim_end_matches(is_space) } else { before };
            fragments.extend([Fragment::Text(before), Fragment::Token(self.token)]);
            rest = if self.strips_right { after.trim_start_matches(is_space) } else { after };
        }
        fragments.push(Fragment::Text(rest));
        fragments
    }
}

/// White space of C's `isspace`.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn special(token: i32, text: &str) -> Special {
        Special { token: LlamaToken(token), text: text.into(), strips_left: false, strips_right: false }
    }

    #[test]
    fn longer_tokens_come_first_and_white_space_is_swallowed() {
        let strip = Special { strips_left: true, strips_right: true, ..special(3, "[X]") };
        let specials = Specials::new(vec![special(1, "<a>"), special(2, "<a><a>"), strip, special(4, "")]);
        let token = |token| Fragment::Token(LlamaToken(token));
        assert_eq!(specials.split("<a><a><a>"), [token(2), token(1)]);
        assert_eq!(
            specials.split("é \n[X] \u{a0}a<a"),
            [Fragment::Text("é"), token(3), Fragment::Text("\u{a0}a<a")]
        );
        assert!(specials.split("").is_empty());
    }

    #[test]
    fn overlaps_are_found() {
        let specials = Specials::new(vec![special(1, "<|end|>"), special(2, "pad")]);
        for text in ["<", "|>", ">a", "a<|", "a<|end|>a", "end", "pa", "apa", "da"] {
            assert!(specials.overlap(text), "{text}");
        }
        for text in ["</think>x", "ö", "[tool", "x"] {
            assert!(!specials.overlap(text), "{text}");
        }
        assert_eq!(specials.signs(), "<|>pad".chars().collect());
    }
}
