//! The prompt of a causal model: control tokens and text, and the places of question and answer.

use crate::models::manifest::{ANSWER, QUESTION};

/// A prompt cut at its control tokens. What lies between two of them is tokenized as one text, as it was in training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prompt<T> {
    spans: Vec<Span<T>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Span<T> {
    Control(T),
    Text(Vec<Part>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Plain(String),
    Question,
    Answer,
}

/// A piece of a prompt with the texts in their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filled<T> {
    /// A control token of the prompt itself.
    Control(T),
    /// Text, in which nothing is a control token.
    Text(String),
}

impl<T: Copy> Prompt<T> {
    /// The prompt that `template` spells. `control` are the texts of the model's control tokens, none of them empty; where
    /// two begin at the same place, the longer one is meant.
    pub fn parse(template: &str, control: &[(String, T)]) -> Self {
        let mut prompt = Self { spans: Vec::new() };
        let mut rest = template;
        while let Some((before, place, after)) = next_place(rest) {
            prompt.push_plain(before, control);
            prompt.push(place);
            rest = after;
        }
        prompt.push_plain(rest, control);
        prompt
    }

    /// The control token that the prompt begins with.
    pub fn first_control(&self) -> Option<T> {
        match self.spans.first() {
            Some(Span::Control(token)) => Some(*token),
            _ => None,
        }
    }

    /// The pieces, with these texts in their places.
    pub fn fill<'a>(&'a self, question: &'a str, answer: &'a str) -> impl Iterator<Item = Filled<T>> + 'a {
        self.spans.iter().map(move |span| match span {
            Span::Control(token) => Filled::Control(*token),
            Span::Text(parts) => {
                let text = |part: &'a Part| match part {
                    Part::Plain(text) => text.as_str(),
                    Part::Question => question,
                    Part::Answer => answer,
                };
                Filled::Text(parts.iter().map(text).collect())
            }
        })
    }

    fn push_plain(&mut self, mut text: &str, control: &[(String, T)]) {
        while let Some((before, token, after)) = next_control(text, control) {
            self.push(Part::Plain(before.to_owned()));
            self.spans.push(Span::Control(token));
            text = after;
        }
        self.push(Part::Plain(text.to_owned()));
    }

    fn push(&mut self, part: Part) {
        if part == Part::Plain(String::new()) {
            return;
        }
        match self.spans.last_mut() {
            Some(Span::Text(parts)) => parts.push(part),
            _ => self.spans.push(Span::Text(vec![part])),
        }
    }
}

/// The first place of a text in a template, and what is around it.
fn next_place(template: &str) -> Option<(&str, Part, &str)> {
    let places = [(QUESTION, Part::Question), (ANSWER, Part::Answer)];
    let found = places.into_iter().filter_map(|(name, part)| {
        let (before, after) = template.split_once(name)?;
        Some((before, part, after))
    });
    found.min_by_key(|(before, _, _)| before.len())
}

/// The first control token in a text, and what is around it.
fn next_control<'a, T: Copy>(text: &'a str, control: &[(String, T)]) -> Option<(&'a str, T, &'a str)> {
    let found = control.iter().filter_map(|(name, token)| {
        let (before, after) = text.split_once(name.as_str())?;
        Some((before, *token, after))
    });
    // Of two at the same place the one that leaves less is the longer one.
    found.min_by_key(|(before, _, after)| (before.len(), after.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn control() -> Vec<(String, u32)> {
        [("<|a|>", 1), ("<|a|><|b|>", 2), ("</s>", 3)].map(|(text, id)| (text.to_owned(), id)).into()
    }

    fn text(text: &str) -> Filled<u32> {
        Filled::Text(text.to_owned())
    }

    #[test]
    fn the_prompt_is_cut_at_its_own_control_tokens() {
        let prompt = Prompt::parse("<|a|>Is {answer} right\nfor {question}?</s><|a|>", &control());
        let filled: Vec<_> = prompt.fill("2+2", "<|a|>4</s>").collect();
        let expected = [
            Filled::Control(1),
            text("Is <|a|>4</s> right\nfor 2+2?"),
            Filled::Control(3),
            Filled::Control(1),
        ];
        assert_eq!(filled, expected);
        assert_eq!(prompt.first_control(), Some(1));
        let longer = Prompt::parse("x<|a|><|b|>{question}{answer}", &control());
        assert_eq!(longer.fill("", "").collect::<Vec<_>>(), [text("x"), Filled::Control(2), text("")]);
        assert_eq!(longer.first_control(), None);
    }

    #[test]
    fn a_text_that_spells_a_place_is_text() {
        let prompt = Prompt::parse("{question}|{answer}", &control());
        let filled: Vec<_> = prompt.fill("{answer}", "{question}{answer}").collect();
        assert_eq!(filled, [text("{answer}|{question}{answer}")]);
    }

    proptest! {
        #[test]
        fn whatever_the_texts_spell_the_control_tokens_are_the_prompts(
            question in "([a<|/s>b]|\\PC){0,20}",
            answer in "([a<|/s>b]|\\PC){0,20}",
        ) {
            let prompt = Prompt::parse("<|a|>q {question}</s>r {answer} t<|a|><|b|>", &control());
            let filled: Vec<_> = prompt.fill(&question, &answer).collect();
            let expected = [
                Filled::Control(1),
                text(&format!("q {question}")),
                Filled::Control(3),
                text(&format!("r {answer} t")),
                Filled::Control(2),
            ];
            prop_assert_eq!(filled, expected);
        }
    }
}
