//! The caller's text told apart from the template's in a rendered prompt.
//!
//! A template mixes its own text, control tokens among it, with what the caller wrote, and may trim, cut or drop the
//! latter. So that the two can be told apart afterwards, the caller's characters go into the template in disguise: each
//! that could be part of a control token is exchanged for a private-use character, drawn anew for every request and
//! found nowhere else in it. One character stays one character, so trimming, cutting and counting work as ever.

use std::collections::{HashMap, HashSet};

/// Characters without any meaning: Unicode's Supplementary Private Use Area-A.
const FIRST: u32 = 0xF_0000;
const LAST: u32 = 0xF_FFFD;

/// An exchange of characters, and back.
#[derive(Clone, Debug, Default)]
pub struct Disguise {
    hidden: HashMap<char, char>,
    shown: HashMap<char, char>,
    /// Texts that are left as they are.
    kept: Vec<String>,
}

impl Disguise {
    /// Exchanges each of `characters` for one that is in none of `texts`. Fails if the texts leave too few.
    pub fn fresh<'a>(
        characters: impl IntoIterator<Item = char>,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let private = texts.into_iter().flat_map(str::chars).filter(|character| is_private(*character));
        let taken: HashSet<char> = private.collect();
        let start = rand::random_range(FIRST..=LAST);
        let mut free = (start..=LAST)
            .chain(FIRST..start)
            .filter_map(char::from_u32)
            .filter(|character| !taken.contains(character));
        let mut disguise = Self::default();
        for character in characters {
            let stand_in = free.next().ok_or("the messages use up Unicode's private characters")?;
            disguise.hidden.insert(character, stand_in);
            disguise.shown.insert(stand_in, character);
        }
        Ok(disguise)
    }

    /// The same for `characters` only, and not within the texts `kept`.
    pub fn weaker(&self, characters: &HashSet<char>, kept: &[String]) -> Self {
        let hidden = self.hidden.iter().filter(|(character, _)| characters.contains(character));
        Self {
            hidden: hidden.map(|(character, stand_in)| (*character, *stand_in)).collect(),
            shown: self.shown.clone(),
            kept: kept.to_vec(),
        }
    }

    /// The caller's `text` in disguise.
    pub fn hide(&self, text: &str) -> String {
        let (mut hidden, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(character) = rest.chars().next() {
            let stand_in = self.hidden.get(&character);
            // Most characters are in no disguise, and then no text that is kept begins with them.
            let kept = stand_in.and_then(|_| self.kept.iter().find(|kept| rest.starts_with(kept.as_str())));
            let length = match kept {
                Some(kept) => {
                    hidden.push_str(kept);
                    kept.len()
                }
                None => {
                    hidden.push(*stand_in.unwrap_or(&character));
                    character.len_utf8()
                }
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        hidden
    }

    /// A rendered text without disguise.
    pub fn reveal(&self, text: &str) -> String {
        text.chars().map(|character| *self.shown.get(&character).unwrap_or(&character)).collect()
    }
}

/// Whether a caller's character could be taken for a disguise.
pub fn is_private(character: char) -> bool {
    (FIRST..=LAST).contains(&u32::from(character))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_kept_stays_and_the_rest_is_hidden() {
        let disguise = Disguise::fresh("<>|x".chars(), ["<a>"]).unwrap();
        let hidden = disguise.hide("<|x|> a");
        assert!(!hidden.contains(['<', '>', '|', 'x']) && hidden.ends_with(" a"), "{hidden}");
        assert_eq!(disguise.reveal(&hidden), "<|x|> a");
        let weaker = disguise.weaker(&"<>|".chars().collect(), &["</t>".to_owned()]);
        let hidden = weaker.hide("x</t><t>");
        assert!(hidden.starts_with("x</t>") && hidden.ends_with(|c: char| c != '>'), "{hidden}");
        assert_eq!(weaker.reveal(&hidden), "x</t><t>");
    }

    #[test]
    fn a_text_with_all_private_characters_leaves_none() {
        let all: String = (FIRST..=LAST).filter_map(char::from_u32).collect();
        assert!(Disguise::fresh("<".chars(), [all.as_str()]).unwrap_err().contains("private"));
        let all_but_one: String = all.chars().skip(1).collect();
        let disguise = Disguise::fresh("<".chars(), [all_but_one.as_str()]).unwrap();
        assert_eq!(disguise.reveal(&disguise.hide(&format!("<{all_but_one}"))), format!("<{all_but_one}"));
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text: String, characters in prop::collection::hash_set(any::<char>(), 0..20)) {
            let disguise = Disguise::fresh(characters.iter().copied(), [text.as_str()]).unwrap();
            let hidden = disguise.hide(&text);
            prop_assert_eq!(hidden.chars().count(), text.chars().count());
            prop_assert!(!hidden.contains(|c: char| characters.contains(&c) && !is_private(c)));
            prop_assert_eq!(disguise.reveal(&hidden), text);
        }
    }
}
