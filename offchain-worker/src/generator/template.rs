//! Chat templates: from a conversation to the text that a model was trained to go on with.
//!
//! A GGUF carries its template as Jinja, `tokenizer.chat_template`, and it is run as Jinja (llama.cpp's built-in
//! matcher only knows some families). A model without one gets the plain form: a single question goes in as it is,
//! a longer conversation as `role: text` lines.

use super::disguise::{is_private, Disguise};
use crate::{
    json::Json,
    text::one_line,
    work::{Message, Role, Tool, ToolCall},
};
use minijinja::{
    syntax::SyntaxConfig,
    value::{Kwargs, Value},
    Environment, Error, ErrorKind,
};
use std::collections::BTreeSet;

/// Largest template, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 256 * 1024;

/// Steps after which a template is stopped; long conversations take some hundred per message.
const FUEL: u64 = 5_000_000;

const NAME: &str = "chat";

/// A model's chat template.
#[derive(Debug)]
pub struct Template {
    jinja: Option<Environment<'static>>,
    /// Texts that stand in the template in quotes: what it may look for in a message.
    literals: BTreeSet<String>,
    /// The template's private-use characters.
    private: String,
    /// Whether the template shows a model the functions that it may call.
    knows_tools: bool,
    /// Whether the model was taught to call functions within `<tool_call>`.
    tags_calls: bool,
    bos: String,
    eos: String,
}

/// Input of a template.
#[derive(Clone, Copy, Debug)]
pub struct Conversation<'a> {
    /// The messages.
    pub messages: &'a [Message],
    /// Functions that the model may call.
    pub tools: &'a [Tool],
}

impl<'a> From<&'a [Message]> for Conversation<'a> {
    fn from(messages: &'a [Message]) -> Self {
        Self { messages, tools: &[] }
    }
}

/// Disguises of the caller's texts in a template.
#[derive(Clone, Copy, Debug)]
pub struct Covers<'a> {
    /// Disguise of the messages' contents.
    pub contents: &'a Disguise,
    /// Disguise of functions, arguments and ids.
    pub rest: &'a Disguise,
}

impl Template {
    /// The plain form.
    pub fn plain() -> Self {
        Self {
            jinja: None,
            literals: BTreeSet::new(),
            private: String::new(),
            knows_tools: false,
            tags_calls: false,
            bos: String::new(),
            eos: String::new(),
        }
    }

    /// The Jinja template `source`. `bos` and `eos` are the texts of the model's tokens of these names. Tried on a
    /// question at once, so that a template that cannot work is an error here. Errors are one line for people.
    pub fn jinja(source: &str, bos: &str, eos: &str) -> Result<Self, String> {
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(format!(
                "chat template: {} bytes, and at most {MAX_TEMPLATE_BYTES} are read",
                source.len()
            ));
        }
        let mut jinja = Environment::new();
        // As the reference implementation of chat templates sets Jinja up.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(say)?;
        jinja.set_syntax(syntax);
        jinja.set_fuel(Some(FUEL));
        jinja.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        jinja.add_filter("tojson", to_json);
        jinja.add_function("raise_exception", |reason: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, reason))
        });
        jinja.add_function("strftime_now", |format: String| date_of_release(&format));
        jinja.add_template_owned(NAME, without_training_tags(source)).map_err(say)?;
        let template = Self {
            jinja: Some(jinja),
            literals: literals_of(source),
            private: source.chars().filter(|character| is_private(*character)).collect(),
            knows_tools: source.contains("tools"),
            tags_calls: source.contains(CALL_TAG),
            bos: bos.to_owned(),
            eos: eos.to_owned(),
        };
        template.apply([Message::new(Role::User, "probe")].as_slice().into())?;
        Ok(template)
    }

    /// Whether this is more than the plain form.
    pub fn is_jinja(&self) -> bool {
        self.jinja.is_some()
    }

    /// Whether it shows a model the functions that it may call.
    pub fn knows_tools(&self) -> bool {
        self.knows_tools
    }

    /// Whether the model was taught to call functions within [`CALL_TAG`].
    pub fn tags_calls(&self) -> bool {
        self.tags_calls
    }

    /// The private-use characters in it.
    pub fn private(&self) -> &str {
        &self.private
    }

    /// Texts that stand in the template in quotes.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.literals.iter().map(String::as_str)
    }

    /// The text that the model goes on with. Fails when the template refuses the conversation, for example one with
    /// a role that the model does not know.
    pub fn apply(&self, conversation: Conversation<'_>) -> Result<String, String> {
        let open = Disguise::default();
        self.apply_under(conversation, Covers { contents: &open, rest: &open })
    }

    /// As [`Self::apply`], with the caller's texts in disguise.
    pub fn apply_under(&self, conversation: Conversation<'_>, covers: Covers<'_>) -> Result<String, String> {
        let Some(jinja) = &self.jinja else { return Ok(plain(conversation.messages, covers.contents)) };
        let template = jinja.get_template(NAME).map_err(say)?;
        let messages = conversation.messages.iter().map(|message| message_value(message, covers));
        let messages: Vec<Value> = messages.collect();
        let tools = match conversation.tools {
            [] => Value::from(()),
            tools => tools.iter().map(|tool| tool_value(tool, covers.rest)).collect(),
        };
        template
            .render(Value::from_pairs([
                ("messages", Value::from(messages)),
                ("add_generation_prompt", Value::from(true)),
                ("bos_token", Value::from(self.bos.as_str())),
                ("eos_token", Value::from(self.eos.as_str())),
                ("tools", tools),
            ]))
            .map_err(say)
    }
}

/// Tag that many models put before a call.
pub const CALL_TAG: &str = "<tool_call>";

/// Tag that many models put after a call.
pub const CALL_END_TAG: &str = "</tool_call>";

/// A message as templates know it.
fn message_value(message: &Message, covers: Covers<'_>) -> Value {
    let mut fields = vec![
        ("role", Value::from(message.role.as_str())),
        ("content", Value::from(covers.contents.hide(&message.content))),
    ];
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| call_value(call, covers.rest));
        fields.push(("tool_calls", calls.collect()));
    }
    if let Some(id) = &message.tool_call_id {
        fields.push(("tool_call_id", Value::from(covers.rest.hide(id))));
    }
    Value::from_pairs(fields)
}

fn json_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::from(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(json_value).collect(),
        Json::Object(fields) => {
            Value::from_pairs(fields.iter().map(|(name, value)| (name.as_str(), json_value(value))))
        }
    }
}

/// Templates want the arguments as an object.
fn call_value(call: &ToolCall, cover: &Disguise) -> Value {
    let arguments = match serde_json::from_str::<Json>(&call.function.arguments) {
        Ok(arguments) => json_value(&arguments.map_texts(&|text| cover.hide(text))),
        Err(_) => Value::from(cover.hide(&call.function.arguments)),
    };
    let function =
        Value::from_pairs([("name", Value::from(cover.hide(&call.function.name))), ("arguments", arguments)]);
    Value::from_pairs([
        ("id", Value::from(cover.hide(&call.id))),
        ("type", Value::from("function")),
        ("function", function),
    ])
}

fn tool_value(tool: &Tool, cover: &Disguise) -> Value {
    let any_object = || Json::Object(vec![("type".to_owned(), Json::String("object".to_owned()))]);
    let parameters = tool.function.parameters.clone().unwrap_or_else(any_object);
    let function = Value::from_pairs([
        ("name", Value::from(cover.hide(&tool.function.name))),
        ("description", Value::from(cover.hide(tool.function.description.as_deref().unwrap_or_default()))),
        ("parameters", json_value(&parameters.map_texts(&|text| cover.hide(text)))),
    ]);
    Value::from_pairs([("type", Value::from("function")), ("function", function)])
}

fn plain(messages: &[Message], cover: &Disguise) -> String {
    if let [Message { role: Role::User, content, .. }] = messages {
        return cover.hide(content);
    }
    let line = |message: &Message| format!("{}: {}\n", message.role.as_str(), cover.hide(&message.content));
    messages.iter().map(line).collect::<String>() + "assistant:"
}

/// The template without the tags `generation` and `endgeneration`, which mark for the training what the assistant says.
/// In their place stands a condition that always holds, so that white space is trimmed as ever.
fn without_training_tags(source: &str) -> String {
    let (mut clean, mut rest) = (String::with_capacity(source.len()), source);
    while let Some((before, tag)) = rest.split_once("{%") {
        let Some((inside, after)) = tag.split_once("%}") else { break };
        let signs = |c: char| c == '-' || c == '+' || c.is_whitespace();
        let instead = match inside.trim_matches(signs) {
            "generation" => Some(inside.replace("generation", "if true")),
            "endgeneration" => Some(inside.replace("endgeneration", "endif")),
            _ => None,
        };
        clean.extend([before, "{%"]);
        match instead {
            Some(instead) => {
                clean.extend([instead.as_str(), "%}"]);
                rest = after;
            }
            None => rest = tag,
        }
    }
    clean.push_str(rest);
    clean
}

/// Texts between quotes in a template, escapes resolved. Text that only seems to be in quotes does no harm.
fn literals_of(source: &str) -> BTreeSet<String> {
    const LONGEST: usize = 64;
    let mut literals = BTreeSet::new();
    for quote in ['\'', '"'] {
        // Which quotes open and which close depends on what is a tag; here each pair of neighbours may be both.
        let parts: Vec<&str> = source.split(quote).collect();
        let inner = parts.iter().skip(1).filter(|part| !part.is_empty() && part.len() <= LONGEST);
        literals.extend(inner.map(|part| part.replace("\\n", "\n").replace("\\t", "\t")));
    }
    literals
}

/// JSON as the reference implementation writes it: that of the language's own filter is also safe in HTML, where
/// `<` is not.
fn to_json(value: Value, indent: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let escaped = minijinja::filters::tojson(&value, indent, options)?;
    let (mut json, mut rest) = (String::new(), escaped.as_str().unwrap_or_default());
    while let Some((before, escape)) = rest.split_once('\\') {
        json.push_str(before);
        let plain = [("u003c", "<"), ("u003e", ">"), ("u0026", "&"), ("u0027", "'")];
        let found = plain.iter().find_map(|(code, plain)| Some((escape.strip_prefix(code)?, *plain)));
        rest = match found {
            Some((after, plain)) => {
                json.push_str(plain);
                after
            }
            None => {
                // The character after the sign belongs to it, another such sign too.
                let length = escape.chars().next().map_or(0, char::len_utf8);
                json.push('\\');
                json.push_str(escape.get(..length).unwrap_or_default());
                escape.get(length..).unwrap_or_default()
            }
        };
    }
    json.push_str(rest);
    Ok(Value::from(json))
}

/// Some templates tell the model today's date. The same question has to give the same answer tomorrow, so they are
/// told a day that does not change.
fn date_of_release(format: &str) -> String {
    format
        .replace("%d", "01")
        .replace("%b", "Jan")
        .replace("%B", "January")
        .replace("%m", "01")
        .replace("%Y", "2025")
}

fn say(error: Error) -> String {
    let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    // What a template raises may have any number of lines.
    let reason = one_line(&reason);
    let line = error.line().map(|line| format!(" (line {line})")).unwrap_or_default();
    format!("chat template: {reason}{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say_all(turns: &[(Role, &str)]) -> Vec<Message> {
        turns.iter().map(|(role, content)| Message::new(*role, *content)).collect()
    }

    const NOTHING: Conversation<'static> = Conversation { messages: &[], tools: &[] };

    const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n\
        {{ message['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

    // In the manner of Llama 3: the begin token, trimmed content, python methods.
    const HEADERS: &str = "{{- bos_token }}{%- for message in messages %}\
        {{- '<|start|>' + message.role.upper() + '<|end|>\n\n' + message['content'] | trim + '<|eot|>' }}{%- endfor %}\
        {%- if add_generation_prompt %}{{- '<|start|>ASSISTANT<|end|>\n\n' }}{%- endif %}";

    // In the manner of Mistral: no system role, turns must alternate.
    const STRICT: &str = "{{ bos_token }}{% for message in messages %}\
        {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
        {{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}\
        {% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}\
        {% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}";

    #[test]
    fn templates_of_the_common_families_work() {
        let talk = say_all(&[(Role::User, " Hi? "), (Role::Assistant, "Ho."), (Role::User, "So?")]);
        let chatml = Template::jinja(CHATML, "<s>", "</s>").unwrap().apply(talk.as_slice().into()).unwrap();
        assert!(chatml.starts_with("<|im_start|>user\n Hi? <|im_end|>\n<|im_start|>assistant\nHo."));
        assert!(chatml.ends_with("<|im_start|>assistant\n"));
        let headers = Template::jinja(HEADERS, "<s>", "</s>").unwrap().apply((&talk[..1]).into()).unwrap();
        assert_eq!(headers, "<s><|start|>USER<|end|>\n\nHi?<|eot|><|start|>ASSISTANT<|end|>\n\n");
        let strict = Template::jinja(STRICT, "<s>", "</s>").unwrap();
        assert_eq!(
            strict.apply(talk.as_slice().into()).unwrap(),
            "<s>[INST]  Hi?  [/INST]Ho.</s>[INST] So? [/INST]"
        );
        let refused = strict
            .apply(say_all(&[(Role::System, "Be kind."), (Role::User, "Hi")]).as_slice().into())
            .unwrap_err();
        assert!(refused.contains("must alternate"), "{refused}");
    }

    #[test]
    fn what_cannot_work_is_said_at_once() {
        for bad in ["{% for %}", "{{ messages | nonsense }}", "{{ raise_exception('never') }}"] {
            let error = Template::jinja(bad, "", "").unwrap_err();
            assert!(error.starts_with("chat template: ") && !error.contains('\n'), "{error}");
        }
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}";
        assert!(Template::jinja(endless, "", "").is_err(), "a template has no right to all of the time");
        assert!(Template::jinja(&" ".repeat(MAX_TEMPLATE_BYTES + 1), "", "").is_err());
        assert!(Template::jinja(&" ".repeat(MAX_TEMPLATE_BYTES), "", "").is_ok());
    }

    #[test]
    fn the_plain_form_keeps_a_single_question_as_it_is() {
        let plain = Template::plain();
        assert_eq!(plain.apply(say_all(&[(Role::User, "Why?")]).as_slice().into()).unwrap(), "Why?");
        let talk = say_all(&[(Role::System, "Be kind."), (Role::User, "Hi")]);
        assert_eq!(plain.apply(talk.as_slice().into()).unwrap(), "system: Be kind.\nuser: Hi\nassistant:");
    }

    #[test]
    fn a_day_does_not_change_an_answer() {
        let dated = Template::jinja("{{ strftime_now('%d %b %Y') }}", "", "").unwrap();
        assert_eq!(dated.apply(NOTHING).unwrap(), "01 Jan 2025");
    }

    #[test]
    fn tags_for_the_training_are_passed_over() {
        let talk = say_all(&[(Role::User, "Hi"), (Role::Assistant, "Ho."), (Role::User, "So?")]);
        let tagged = "{% for m in messages %}<{{ m.role }}>\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }};\n\
            {% endgeneration %}{% else %}{{ m.content }};\n{% endif %}{% endfor %}{% set x = '{%' %}";
        let text = Template::jinja(tagged, "", "").unwrap().apply(talk.as_slice().into()).unwrap();
        assert_eq!(text, "<user>\nHi;\n<assistant>\nHo.;\n<user>\nSo?;\n");
        for (tag, shown) in [
            ("a {%- generation -%} b {%- endgeneration +%}\n c", "ab\n c"),
            ("a {% generation %}\n b {%  endgeneration%}\n c", "a  b  c"),
        ] {
            assert_eq!(Template::jinja(tag, "", "").unwrap().apply(NOTHING).unwrap(), shown);
        }
        assert!(Template::jinja("{% generations %}", "", "").is_err());
        assert!(Template::jinja("{% generation %}", "", "").is_err());
    }

    #[test]
    fn json_is_not_that_of_web_pages() {
        let json =
            Template::jinja(r#"{{ {'a': '<\'&\\u003c"', 'b': [1, true, none]} | tojson }}"#, "", "").unwrap();
        let text = json.apply(NOTHING).unwrap();
        assert_eq!(text, r#"{"a": "<'&\\u003c\"", "b": [1, true, null]}"#);
        let pretty = Template::jinja("{{ {'a': 1} | tojson(indent=2) }}", "", "").unwrap();
        assert_eq!(pretty.apply(NOTHING).unwrap(), "{\n  \"a\": 1\n}");
    }

    #[test]
    fn functions_and_calls_are_shown() {
        let shows = "{{ tools | tojson }}{% for m in messages %}{{ m.role }}{% for c in m.tool_calls %}\
            {{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}{{ m.content }};{% endfor %}";
        let template = Template::jinja(shows, "", "").unwrap();
        let parameters = serde_json::from_str(r#"{"type":"object","properties":{"z":{},"a":{}}}"#).unwrap();
        let tools = [Tool {
            kind: Default::default(),
            function: crate::work::Function {
                name: "f".into(),
                description: None,
                parameters: Some(parameters),
            },
        }];
        let call = ToolCall {
            id: "1".into(),
            kind: Default::default(),
            function: crate::work::CalledFunction { name: "f".into(), arguments: r#"{"z": 1}"#.into() },
        };
        let messages = [
            Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "") },
            Message::new(Role::Tool, "ok"),
        ];
        let text = template.apply(Conversation { messages: &messages, tools: &tools }).unwrap();
        assert_eq!(
            text,
            r#"[{"type": "function", "function": {"name": "f", "description": "", "parameters": {"type": "object", "properties": {"z": {}, "a": {}}}}}]assistantf{"z": 1};toolok;"#
        );
        assert!(template.knows_tools() && !template.tags_calls());
    }
}
