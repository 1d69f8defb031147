//! Calls of functions: told to models whose template knows none, and found in what a model writes.

use super::template::{CALL_END_TAG, CALL_TAG};
use crate::{
    json::Json,
    work::{CalledFunction, Extras, Message, Role, Tool},
};

/// The conversation for a template that knows no functions: what they are and what they gave stands in the messages.
pub fn in_words(messages: &[Message], extras: &Extras) -> Vec<Message> {
    let mut told: Vec<Message> = messages.iter().map(message_in_words).collect();
    if extras.tools.is_empty() {
        return told;
    }
    let note = note_of(&extras.tools);
    // A system message that is there is taken; not every template takes one.
    let first = told.iter_mut().find(|message| matches!(message.role, Role::System | Role::User));
    match first {
        Some(message) if message.role == Role::System => {
            message.content = format!("{}\n\n{note}", message.content)
        }
        Some(message) => message.content = format!("{note}\n\n{}", message.content),
        None => told.insert(0, Message::new(Role::User, note)),
    }
    told
}

fn message_in_words(message: &Message) -> Message {
    let calls = message.tool_calls.iter().map(|call| {
        let name = Json::String(call.function.name.clone());
        format!("{{\"name\": {name}, \"arguments\": {}}}", call.function.arguments)
    });
    let said = (!message.content.is_empty()).then(|| message.content.clone());
    let content = said.into_iter().chain(calls).collect::<Vec<_>>().join("\n");
    match message.role {
        Role::Tool => Message::new(Role::User, content),
        role => Message::new(role, content),
    }
}

fn note_of(tools: &[Tool]) -> String {
    let lines = tools.iter().filter_map(|tool| serde_json::to_string(&tool.function).ok());
    let lines: Vec<String> = lines.collect();
    format!(
        "You can call these functions:\n{}\nTo call one, answer with JSON of this form and nothing else: \
         {{\"name\": \"function\", \"arguments\": {{}}}}",
        lines.join("\n")
    )
}

/// The calls that an answer consists of, with what is said before them. `None` if it is an ordinary answer.
pub fn calls_in(answer: &str, tools: &[Tool]) -> Option<(String, Vec<CalledFunction>)> {
    let (said, calls) = match answer.split_once(CALL_TAG) {
        Some((said, tagged)) => {
            let bodies = tagged.split(CALL_TAG).map(|body| body.split(CALL_END_TAG).next().unwrap_or(body));
            (said.trim(), bodies.map(|body| call_in(body, tools)).collect::<Option<Vec<_>>>()?)
        }
        None => ("", vec![call_in(answer, tools)?]),
    };
    Some((said.to_owned(), calls.into_iter().flatten().collect()))
}

/// The calls in a JSON text: one, or a list of them.
fn call_in(text: &str, tools: &[Tool]) -> Option<Vec<CalledFunction>> {
    match serde_json::from_str(text.trim()).ok()? {
        Json::Array(calls) if !calls.is_empty() => calls.iter().map(|call| call_of(call, tools)).collect(),
        call => Some(vec![call_of(&call, tools)?]),
    }
}

fn call_of(call: &Json, tools: &[Tool]) -> Option<CalledFunction> {
    let name = call.get("name")?.text()?;
    tools.iter().find(|tool| tool.function.name == name)?;
    let arguments = call.get("arguments").or_else(|| call.get("parameters"))?;
    arguments.fields()?;
    Some(CalledFunction { name: name.to_owned(), arguments: arguments.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::{Function, ToolCall};

    fn tools() -> Vec<Tool> {
        ["f", "g"]
            .map(|name| Tool {
                kind: Default::default(),
                function: Function { name: name.into(), description: None, parameters: None },
            })
            .to_vec()
    }

    #[test]
    fn calls_are_found_and_nothing_else_is_one() {
        let names = |answer: &str| {
            let (said, calls) = calls_in(answer, &tools())?;
            let calls: Vec<_> =
                calls.into_iter().map(|call| format!("{}{}", call.name, call.arguments)).collect();
            Some((said, calls.join(" ")))
        };
        let found = |said: &str, calls: &str| Some((said.to_owned(), calls.to_owned()));
        assert_eq!(names(r#"{"name": "f", "arguments": {"b": 1, "a": 2}}"#), found("", r#"f{"b":1,"a":2}"#));
        assert_eq!(
            names(r#"[{"name":"g","parameters":{}},{"name":"f","arguments":{}}]"#),
            found("", "g{} f{}")
        );
        assert_eq!(
            names("Well.\n<tool_call>\n{\"name\":\"f\",\"arguments\":{}}\n</tool_call>\n<tool_call>{\"name\":\"g\",\"arguments\":{}}"),
            found("Well.", "f{} g{}")
        );
        for none in [
            "",
            "f",
            "{}",
            "[]",
            r#"{"name":"h","arguments":{}}"#,
            r#"{"name":"f","arguments":1}"#,
            "<tool_call>f",
        ] {
            assert_eq!(names(none), None, "{none}");
        }
    }

    #[test]
    fn a_template_without_functions_is_told_in_words() {
        let extras = Extras { tools: tools(), ..Extras::default() };
        let call = ToolCall {
            id: "1".into(),
            kind: Default::default(),
            function: CalledFunction { name: "f".into(), arguments: "{}".into() },
        };
        let talk = [
            Message::new(Role::User, "Hi"),
            Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "") },
            Message::new(Role::Tool, "Paris"),
        ];
        let told = in_words(&talk, &extras);
        assert!(
            told[0].content.starts_with("You can call") && told[0].content.ends_with("\n\nHi"),
            "{told:?}"
        );
        assert_eq!(told[1], Message::new(Role::Assistant, r#"{"name": "f", "arguments": {}}"#));
        assert_eq!(told[2], Message::new(Role::User, "Paris"));
        let with_system = in_words(&[Message::new(Role::System, "Be kind."), talk[0].clone()], &extras);
        assert!(with_system[0].content.starts_with("Be kind.\n\nYou can"), "{with_system:?}");
        assert_eq!(in_words(&talk[..1], &Extras::default()), talk[..1]);
    }
}
