//! Conversations: from what was said on the command line, and for people to read.

use crate::failure::Failure;
use poq_primitives::conversation::{self, Message, Options, Role};
use serde::Deserialize;
use std::{fs, path::Path};

/// A file with a conversation: a list of messages, or what goes to a chat API.
#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    List(Vec<Message>),
    Request { messages: Vec<Message> },
}

/// The prompt that is this question, after what `chat` and `system` say, to be answered with these options.
pub fn prompt(
    question: Option<String>,
    system: Option<&str>,
    chat: Option<&Path>,
    options: &Options,
) -> Result<String, Failure> {
    let mut messages = chat.map(read).transpose()?.unwrap_or_default();
    if let Some(system) = system {
        messages.insert(0, Message::new(Role::System, system));
    }
    match question {
        // A question alone goes as it is: the chain says what is wrong with it.
        Some(question) if messages.is_empty() && *options == Options::default() => return Ok(question),
        Some(question) => messages.push(Message::new(Role::User, question)),
        None => {}
    }
    conversation::encode_with(&messages, options)
        .map_err(|error| Failure::Input(format!("the conversation is not well formed: {error}")))
}

fn read(file: &Path) -> Result<Vec<Message>, Failure> {
    let fails = |error: String| {
        Failure::Input(format!("cannot read a conversation from {}: {error}", file.display()))
    };
    let text = fs::read_to_string(file).map_err(|error| fails(error.to_string()))?;
    let read = serde_json::from_str(&text);
    let read = read.map_err(|_| {
        fails(r#"it must be JSON like [{"role": "user", "content": "Hi"}], with the roles system, user and assistant"#.into())
    })?;
    Ok(match read {
        File::List(messages) | File::Request { messages } => messages,
    })
}

/// A prompt on a line of a list: of a conversation its last question, and how many messages came before.
pub fn title(prompt: &str) -> String {
    let messages = conversation::decode(prompt);
    match messages.as_slice() {
        [before @ .., last] if !before.is_empty() => format!("[+{}] {}", before.len(), last.content),
        [last] => last.content.clone(),
        [..] => prompt.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_comes_from_a_file_and_ends_with_the_question() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chat.json");
        let list = r#"[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]"#;
        for text in [list.to_owned(), format!(r#"{{"model": "any", "messages": {list}}}"#)] {
            fs::write(&file, text).unwrap();
            let made = prompt(Some("Why?".into()), Some("Be brief."), Some(&file), &Options::default());
            assert_eq!(made, Ok("\u{1e}sBe brief.\u{1e}uHi\u{1e}aYes?\u{1e}uWhy?".into()));
            assert_eq!(title(&made.unwrap()), "[+3] Why?");
        }
        let open = prompt(None, None, Some(&file), &Options::default()).unwrap_err();
        assert!(open.to_string().contains("end with the question"), "{open}");
        fs::write(&file, "[1]").unwrap();
        let wrong = prompt(None, None, Some(&file), &Options::default()).unwrap_err();
        assert!(wrong.to_string().contains("it must be JSON like"), "{wrong}");
        assert!(prompt(None, None, Some(&folder.path().join("none.json")), &Options::default()).is_err());
    }

    #[test]
    fn a_question_alone_goes_as_it_is() {
        let none = Options::default();
        assert_eq!(prompt(Some(" Hi ".into()), None, None, &none), Ok(" Hi ".into()));
        assert_eq!(title("Hi"), "Hi");
        assert!(prompt(None, Some("Be brief."), None, &none).is_err());
    }

    #[test]
    fn options_go_with_the_question() {
        let options = Options { top_p_milli: Some(900), stop: vec!["END".into()] };
        let made = prompt(Some("Hi".into()), None, None, &options).unwrap();
        assert_eq!(made, "\u{1e}p900\u{1e}eEND\u{1e}uHi");
        assert_eq!(title(&made), "Hi");
        let wrong = Options { stop: vec![String::new()], ..Options::default() };
        let error = prompt(Some("Hi".into()), None, None, &wrong).unwrap_err();
        assert!(error.to_string().contains("stop sequences"), "{error}");
    }
}
