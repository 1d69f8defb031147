//! Conversations: several messages with roles, and options of sampling, in the one text that is a prompt.
//!
//! ```text
//! prompt       = conversation | plain text
//! conversation = options messages                                              at least two records
//! options      = [ RS "p" top-p ] *4( RS "e" end )
//! messages     = [ RS "s" text ] *( RS "u" text RS "a" text ) RS "u" text
//! RS           = U+001E, RECORD SEPARATOR
//! top-p        = 1 to 999, in decimal digits, the first one not 0
//! end          = 1 to 64 bytes of any characters but RS
//! text         = any characters but RS, and not white space alone
//! ```
//!
//! `s` is a system message, which says how to answer, `u` one of the user, `a` one of the assistant. `p` samples from the likeliest
//! tokens that have so many thousandths of the probability together (top-p); `e` is a stop sequence: the answer ends before the first of
//! them. A prompt that does not follow the grammar is plain text: one message of the user. So every prompt has a meaning, every
//! conversation one encoding, and the chain, for which a prompt is text, need not know of any of this. (Encoding: ours.)
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

use alloc::{
    borrow::{Cow, ToOwned as _},
    string::{String, ToString as _},
    vec,
    vec::Vec,
};
use core::fmt;
use serde::{Deserialize, Serialize};

/// First character of a message in a prompt that is a conversation.
pub const SEPARATOR: char = '\u{1e}';

/// Most stop sequences of a prompt.
pub const MOST_STOPS: usize = 4;

/// Longest stop sequence, in bytes.
pub const LONGEST_STOP: usize = 64;

const TOP_P: char = 'p';
const STOP: char = 'e';

/// Options of sampling that stand in a prompt before its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Part of the probability that is sampled from, in thousandths, 1 to 999; all of it if `None`.
    pub top_p_milli: Option<u16>,
    /// Texts before the first of which the answer ends, at most [`MOST_STOPS`].
    pub stop: Vec<String>,
}

impl Options {
    fn check(&self) -> Result<(), Malformed> {
        if self.top_p_milli.is_some_and(|top_p| !(1..1_000).contains(&top_p)) {
            return Err(Malformed::TopP);
        }
        let is_proper = |stop: &String| (1..=LONGEST_STOP).contains(&stop.len()) && !stop.contains(SEPARATOR);
        if self.stop.len() > MOST_STOPS || !self.stop.iter().all(is_proper) {
            return Err(Malformed::Stop);
        }
        Ok(())
    }
}

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
    /// Top-p is out of range.
    TopP,
    /// There are too many stop sequences, or one is empty, too long or contains [`SEPARATOR`].
    Stop,
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
            Self::TopP => f.write_str("top_p has to be from 0.001 to 0.999; leave it out for 1"),
            Self::Stop => write!(
                f,
                "there may be up to {MOST_STOPS} stop sequences, each of 1 to {LONGEST_STOP} bytes and without the character U+001E"
            ),
        }
    }
}

impl core::error::Error for Malformed {}

/// The prompt that these messages are. A single message of the user is plain text.
pub fn encode(messages: &[Message]) -> Result<String, Malformed> {
    encode_with(messages, &Options::default())
}

/// The prompt that these messages are, to be answered with these options.
pub fn encode_with(messages: &[Message], options: &Options) -> Result<String, Malformed> {
    check(messages)?;
    options.check()?;
    if let ([question], true) = (messages, *options == Options::default()) {
        return Ok(question.content.clone());
    }
    let mut prompt = String::new();
    let mut record = |letter: char, text: &str| {
        prompt.push(SEPARATOR);
        prompt.push(letter);
        prompt.push_str(text);
    };
    if let Some(top_p) = options.top_p_milli {
        record(TOP_P, &top_p.to_string());
    }
    options.stop.iter().for_each(|stop| record(STOP, stop));
    messages.iter().for_each(|message| record(message.role.letter(), &message.content));
    Ok(prompt)
}

/// The messages of a prompt, at least one. The last one is the user's.
pub fn decode(prompt: &str) -> Vec<Message> {
    decode_with(prompt).0
}

/// The messages of a prompt, as [`decode`] has them, and its options.
pub fn decode_with(prompt: &str) -> (Vec<Message>, Options) {
    conversation(prompt).unwrap_or_else(|| (vec![Message::new(Role::User, prompt)], Options::default()))
}

/// The text that an evaluator judges answers by. Of a plain prompt the prompt itself. Of a conversation the last message of the
/// user, then the system message, then the turns before, the latest first, each with its role: an evaluator that takes a part only takes
/// the first one, and loses the oldest turns. (Ours.)
pub fn question(prompt: &str) -> Cow<'_, str> {
    let Some((messages, _)) = conversation(prompt) else { return Cow::Borrowed(prompt) };
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

/// The messages and options of a prompt that follows the grammar.
fn conversation(prompt: &str) -> Option<(Vec<Message>, Options)> {
    let (mut messages, mut options) = (Vec::new(), Options::default());
    for record in prompt.strip_prefix(SEPARATOR)?.split(SEPARATOR) {
        let mut characters = record.chars();
        let (letter, text) = (characters.next()?, characters.as_str());
        match letter {
            TOP_P if messages.is_empty() && options == Options::default() => {
                options.top_p_milli = Some(top_p(text)?);
            }
            STOP if messages.is_empty() => options.stop.push(text.to_owned()),
            letter => messages.push(Message::new(Role::of_letter(letter)?, text)),
        }
    }
    check(&messages).and(options.check()).ok()?;
    (messages.len() > 1 || options != Options::default()).then_some((messages, options))
}

fn top_p(digits: &str) -> Option<u16> {
    // Another way to write the same number would be another prompt with the same meaning.
    digits.parse().ok().filter(|number: &u16| number.to_string() == digits)
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
            "\u{1e}p0\u{1e}uWhy?",
            "\u{1e}p05\u{1e}uWhy?",
            "\u{1e}p1000\u{1e}uWhy?",
            "\u{1e}p500",
            "\u{1e}p500\u{1e}p500\u{1e}uWhy?",
            "\u{1e}e.\u{1e}p500\u{1e}uWhy?",
            "\u{1e}e\u{1e}uWhy?",
            "\u{1e}e1\u{1e}e2\u{1e}e3\u{1e}e4\u{1e}e5\u{1e}uWhy?",
            "\u{1e}uWhy?\u{1e}e.",
            "\u{1e}sA\u{1e}e.\u{1e}uHi",
            "x\u{1e}uHi\u{1e}aYes?\u{1e}uWhy?",
        ];
        for prompt in others {
            assert_eq!(decode(prompt), [say(Role::User, prompt)], "{prompt:?}");
            assert_eq!(question(prompt), prompt);
        }
    }

    #[test]
    fn options_stand_before_the_messages() {
        let options = |top_p_milli, stop: &[&str]| Options {
            top_p_milli,
            stop: stop.iter().map(|stop| (*stop).to_owned()).collect(),
        };
        let question = [say(Role::User, "Why?")];
        let cases = [
            (options(None, &[]), "Why?"),
            (options(Some(950), &[]), "\u{1e}p950\u{1e}uWhy?"),
            (options(None, &["\n", "END"]), "\u{1e}e\n\u{1e}eEND\u{1e}uWhy?"),
            (options(Some(1), &["."]), "\u{1e}p1\u{1e}e.\u{1e}uWhy?"),
        ];
        for (options, prompt) in cases {
            assert_eq!(encode_with(&question, &options).as_deref(), Ok(prompt));
            assert_eq!(decode_with(prompt), (question.to_vec(), options));
            assert_eq!(super::question(prompt), "Why?", "options are none of the evaluator's business");
        }
        let long = "x".repeat(LONGEST_STOP + 1);
        for wrong in [&[""][..], &["a\u{1e}b"], &[&long], &["1", "2", "3", "4", "5"]] {
            assert_eq!(encode_with(&question, &options(None, wrong)), Err(Malformed::Stop), "{wrong:?}");
        }
        assert!(encode_with(&question, &options(None, &[&long[1..]])).is_ok());
        for wrong in [0, 1_000] {
            assert_eq!(encode_with(&question, &options(Some(wrong), &[])), Err(Malformed::TopP));
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
        fn reading_and_writing_are_inverse(prompt in "(\u{1e}?[suape]?[a-z \u{1e}0-9]{0,3}){0,6}") {
            let (messages, options) = decode_with(&prompt);
            match encode_with(&messages, &options) {
                Ok(again) => prop_assert_eq!(again, prompt),
                Err(_) => prop_assert!(prompt.trim().is_empty() || prompt.contains(SEPARATOR)),
            }
        }

        #[test]
        fn writing_and_reading_are_inverse(
            top_p_milli in proptest::option::of(1u16..1_000),
            stop in proptest::collection::vec("[^\u{1e}]{1,9}", 0..=MOST_STOPS),
            system in proptest::option::of("[^\u{1e}]{1,9}"),
            turns in proptest::collection::vec(("[^\u{1e}]{1,9}", "[^\u{1e}]{1,9}"), 0..4),
            last in "[^\u{1e}]{1,9}",
        ) {
            let mut messages: Vec<_> = system.iter().map(|text| say(Role::System, text)).collect();
            for (user, assistant) in &turns {
                messages.extend([say(Role::User, user), say(Role::Assistant, assistant)]);
            }
            messages.push(say(Role::User, &last));
            let options = Options { top_p_milli, stop };
            if let Ok(prompt) = encode_with(&messages, &options) {
                prop_assert_eq!(decode_with(&prompt), (messages, options));
                prop_assert!(question(&prompt).starts_with(&last));
            }
        }
    }
}
