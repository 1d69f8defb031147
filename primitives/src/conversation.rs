//! Conversations: several messages with roles in the one text that is a prompt.
//!
//! ```text
//! prompt       = conversation | plain text
//! conversation = [ RS "s" text ] *( RS "u" text RS "a" text ) RS "u" text      at least two messages
//! RS           = U+001E, RECORD SEPARATOR
//! text         = any characters but RS, and not white space alone
//! ```
//!
//! `s` is a system message, which says how to answer, `u` one of the user, `a` one of the assistant. A prompt that does not follow the
//! grammar is plain text: one message of the user. So every prompt has a meaning, every conversation one encoding, and the chain,
//! for which a prompt is text, need not know of any of this. (Encoding: ours.)
//!
//! ```
//! use poq_primitives::conversation::{decode, encode, Message, Role};
//!
//! let messages = [Message::new(Role::System, "Answer in one word."), Message::new(Role::User, "What is the capital of Peru?")];
//! let prompt = encode(&messages).unwrap();
//! assert_eq!(prompt, "\u{1e}sAnswer in one word.\u{1e}uWhat is the capital of Peru?");
//! assert_eq!(decode(&prompt), messages);
//! assert_eq!(decode("What is the capital of Peru?"), [Message::new(Role::User, "What is the capital of Peru?")]);
//! ```

use alloc::{borrow::Cow, string::String, vec, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};

/// First character of a message in a prompt that is a conversation.
pub const SEPARATOR: char = '\u{1e}';

/// The author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Whoever says how to answer.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
}

impl Role {
    fn letter(self) -> char {
        match self {
            Self::System => 's',
            Self::User => 'u',
            Self::Assistant => 'a',
        }
    }

    fn of_letter(letter: char) -> Option<Self> {
        [Self::System, Self::User, Self::Assistant].into_iter().find(|role| role.letter() == letter)
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its author.
    pub role: Role,
    /// Its text.
    pub content: String,
}

impl Message {
    /// A message of `role`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// Reason why messages cannot be a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// There is no message.
    Empty,
    /// The message at `index` has white space alone.
    Blank {
        /// Place of the message, from 0.
        index: usize,
    },
    /// The message at `index` contains [`SEPARATOR`].
    Separator {
        /// Place of the message, from 0.
        index: usize,
    },
    /// The message at `index` cannot stand there.
    Order {
        /// Place of the message, from 0.
        index: usize,
    },
    /// The last message is not the user's.
    NoQuestion,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is no message; ask with a message of the user"),
            Self::Blank { index } => write!(f, "message {index} is empty; leave it out or give it a text"),
            Self::Separator { index } => {
                write!(f, "message {index} contains the character U+001E, which separates messages; remove it")
            }
            Self::Order { index } => write!(
                f,
                "message {index} is out of order: a system message may come first, then user and assistant take turns, beginning \
                 with the user"
            ),
            Self::NoQuestion => f.write_str("the last message is not the user's; end with the question"),
        }
    }
}

impl core::error::Error for Malformed {}

/// The prompt that these messages are. A single message of the user is plain text.
pub fn encode(messages: &[Message]) -> Result<String, Malformed> {
    check(messages)?;
    if let [question] = messages {
        return Ok(question.content.clone());
    }
    let mut prompt = String::new();
    for message in messages {
        prompt.push(SEPARATOR);
        prompt.push(message.role.letter());
        prompt.push_str(&message.content);
    }
    Ok(prompt)
}

/// The messages of a prompt, at least one. The last one is the user's.
pub fn decode(prompt: &str) -> Vec<Message> {
    conversation(prompt).unwrap_or_else(|| vec![Message::new(Role::User, prompt)])
}

/// The text that an evaluator judges answers by. Of a plain prompt the prompt itself. Of a conversation the last message of the
/// user, then the system message, then the turns before, the latest first, each with its role: an evaluator that takes a part only takes
/// the first one, and loses the oldest turns. (Ours.)
pub fn question(prompt: &str) -> Cow<'_, str> {
    let Some(messages) = conversation(prompt) else { return Cow::Borrowed(prompt) };
    let (system, turns): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|message| message.role == Role::System);
    let mut turns = turns.into_iter().rev();
    let mut text = turns.next().map_or_else(String::new, |question| question.content);
    for message in system.into_iter().chain(turns) {
        text.push_str(match message.role {
            Role::System => "\n\nSystem: ",
            Role::User => "\n\nUser: ",
            Role::Assistant => "\n\nAssistant: ",
        });
        text.push_str(&message.content);
    }
    Cow::Owned(text)
}

/// The messages of a prompt that follows the grammar.
fn conversation(prompt: &str) -> Option<Vec<Message>> {
    let records = prompt.strip_prefix(SEPARATOR)?.split(SEPARATOR);
    let messages = records
        .map(|record| {
            let mut characters = record.chars();
            Some(Message::new(Role::of_letter(characters.next()?)?, characters.as_str()))
        })
        .collect::<Option<Vec<_>>>()?;
    (messages.len() > 1 && check(&messages).is_ok()).then_some(messages)
}

fn check(messages: &[Message]) -> Result<(), Malformed> {
    let mut before = None;
    for (index, message) in messages.iter().enumerate() {
        if message.content.trim().is_empty() {
            return Err(Malformed::Blank { index });
        }
        if message.content.contains(SEPARATOR) {
            return Err(Malformed::Separator { index });
        }
        let is_in_turn = match message.role {
            Role::System => before.is_none(),
            Role::User => before != Some(Role::User),
            Role::Assistant => before == Some(Role::User),
        };
        if !is_in_turn {
            return Err(Malformed::Order { index });
        }
        before = Some(message.role);
    }
    match before {
        None => Err(Malformed::Empty),
        Some(Role::User) => Ok(()),
        Some(_) => Err(Malformed::NoQuestion),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    fn say(role: Role, text: &str) -> Message {
        Message::new(role, text)
    }

    #[test]
    fn a_conversation_has_one_encoding() {
        let messages = [
            say(Role::System, "Be brief."),
            say(Role::User, "Hi"),
            say(Role::Assistant, "Yes?"),
            say(Role::User, "Why?"),
        ];
        let prompt = encode(&messages).expect("is well formed");
        assert_eq!(prompt, "\u{1e}sBe brief.\u{1e}uHi\u{1e}aYes?\u{1e}uWhy?");
        assert_eq!(decode(&prompt), messages);
        assert_eq!(question(&prompt), "Why?\n\nSystem: Be brief.\n\nAssistant: Yes?\n\nUser: Hi");
    }

    #[test]
    fn other_prompts_are_plain_text() {
        let others = [
            "Hi",
            "",
            " ",
            "\u{1e}",
            "\u{1e}uHi",
            "\u{1e}uHi\u{1e}",
            "\u{1e}uHi\u{1e}a \u{1e}uWhy?",
            "\u{1e}uHi\u{1e}aYes?",
            "\u{1e}uHi\u{1e}uWhy?",
            "\u{1e}aYes?\u{1e}uWhy?",
            "\u{1e}uHi\u{1e}sBe brief.",
            "\u{1e}sA\u{1e}sB\u{1e}uHi",
            "\u{1e}tHi\u{1e}uWhy?",
            "x\u{1e}uHi\u{1e}aYes?\u{1e}uWhy?",
        ];
        for prompt in others {
            assert_eq!(decode(prompt), [say(Role::User, prompt)], "{prompt:?}");
            assert_eq!(question(prompt), prompt);
        }
    }

    #[test]
    fn what_cannot_be_a_prompt_is_said() {
        let refused = |messages: &[Message]| encode(messages).expect_err("is refused");
        assert_eq!(refused(&[]), Malformed::Empty);
        assert_eq!(refused(&[say(Role::User, " \n")]), Malformed::Blank { index: 0 });
        assert_eq!(refused(&[say(Role::User, "a\u{1e}b")]), Malformed::Separator { index: 0 });
        assert_eq!(refused(&[say(Role::System, "a")]), Malformed::NoQuestion);
        assert_eq!(
            refused(&[say(Role::Assistant, "a"), say(Role::User, "b")]),
            Malformed::Order { index: 0 }
        );
        assert_eq!(refused(&[say(Role::User, "a"), say(Role::User, "b")]), Malformed::Order { index: 1 });
        assert_eq!(
            refused(&[say(Role::User, "a"), say(Role::System, "b"), say(Role::User, "c")]),
            Malformed::Order { index: 1 }
        );
        assert!(format!("{}", Malformed::Order { index: 1 }).starts_with("message 1 is out of order"));
    }

    proptest! {
        /// Whatever a prompt is, its messages are that prompt again.
        #[test]
        fn reading_and_writing_are_inverse(prompt in "(\u{1e}?[sua]?[a-z \u{1e}]{0,3}){0,6}") {
            let messages = decode(&prompt);
            match encode(&messages) {
                Ok(again) => prop_assert_eq!(again, prompt),
                Err(_) => prop_assert!(prompt.trim().is_empty() || prompt.contains(SEPARATOR)),
            }
        }

        #[test]
        fn writing_and_reading_are_inverse(
            system in proptest::option::of("[^\u{1e}]{1,9}"),
            turns in proptest::collection::vec(("[^\u{1e}]{1,9}", "[^\u{1e}]{1,9}"), 0..4),
            last in "[^\u{1e}]{1,9}",
        ) {
            let mut messages: Vec<_> = system.iter().map(|text| say(Role::System, text)).collect();
            for (user, assistant) in &turns {
                messages.extend([say(Role::User, user), say(Role::Assistant, assistant)]);
            }
            messages.push(say(Role::User, &last));
            if let Ok(prompt) = encode(&messages) {
                prop_assert_eq!(decode(&prompt), messages);
                prop_assert!(question(&prompt).starts_with(&last));
            }
        }
    }
}
