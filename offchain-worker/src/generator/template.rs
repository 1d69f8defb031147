//! Chat templates: from a conversation to the text that a model was trained to go on with.
//!
//! A GGUF carries its template as Jinja, `tokenizer.chat_template`, and it is run as Jinja (llama.cpp's built-in
//! matcher only knows some families). A model without one gets the plain form: a single question goes in as it is,
//! a longer conversation as `role: text` lines.

use crate::{
    text::one_line,
    work::{Message, Role},
};
use minijinja::{context, syntax::SyntaxConfig, Environment, Error, ErrorKind, Value};

/// Largest template, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 256 * 1024;

/// Steps after which a template is stopped; long conversations take some hundred per message.
const FUEL: u64 = 5_000_000;

const NAME: &str = "chat";

/// How a model wants conversations.
#[derive(Debug)]
pub struct Template {
    jinja: Option<Environment<'static>>,
    bos: String,
    eos: String,
}

impl Template {
    /// The plain form.
    pub fn plain() -> Self {
        Self { jinja: None, bos: String::new(), eos: String::new() }
    }

    /// The Jinja template `source`. `bos` and `eos` are the texts of the model's tokens of these names. Tried on a
    /// question at once, so that a template that cannot work is an error here. Errors are one line for people.
    pub fn jinja(source: &str, bos: &str, eos: &str) -> Result<Self, String> {
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(format!("the template has {} bytes, more than {MAX_TEMPLATE_BYTES}", source.len()));
        }
        let mut jinja = Environment::new();
        // As the reference implementation of chat templates sets Jinja up.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(say)?;
        jinja.set_syntax(syntax);
        jinja.set_fuel(Some(FUEL));
        jinja.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        jinja.add_function("raise_exception", |reason: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, reason))
        });
        jinja.add_function("strftime_now", |format: String| date_of_release(&format));
        jinja.add_template_owned(NAME, source.to_owned()).map_err(say)?;
        let template = Self { jinja: Some(jinja), bos: bos.to_owned(), eos: eos.to_owned() };
        template.apply(&[Message { role: Role::User, content: "probe".to_owned() }])?;
        Ok(template)
    }

    /// Whether this is more than the plain form.
    pub fn is_jinja(&self) -> bool {
        self.jinja.is_some()
    }

    /// The text that the model goes on with. Fails when the template refuses the conversation, for example one with
    /// a role that the model does not know.
    pub fn apply(&self, messages: &[Message]) -> Result<String, String> {
        let Some(jinja) = &self.jinja else { return Ok(plain(messages)) };
        let template = jinja.get_template(NAME).map_err(say)?;
        template
            .render(context! {
                messages => messages.iter().map(as_value).collect::<Vec<_>>(),
                add_generation_prompt => true,
                bos_token => self.bos.as_str(),
                eos_token => self.eos.as_str(),
                tools => Value::from(()),
            })
            .map_err(say)
    }
}

/// A message as templates know it.
fn as_value(message: &Message) -> Value {
    context! { role => name_of(message.role), content => message.content.as_str() }
}

fn name_of(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn plain(messages: &[Message]) -> String {
    if let [Message { role: Role::User, content }] = messages {
        return content.clone();
    }
    let line = |message: &Message| format!("{}: {}\n", name_of(message.role), message.content);
    messages.iter().map(line).collect::<String>() + "assistant:"
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
        turns.iter().map(|(role, content)| Message { role: *role, content: (*content).to_owned() }).collect()
    }

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
        let chatml = Template::jinja(CHATML, "<s>", "</s>").unwrap().apply(&talk).unwrap();
        assert!(chatml.starts_with("<|im_start|>user\n Hi? <|im_end|>\n<|im_start|>assistant\nHo."));
        assert!(chatml.ends_with("<|im_start|>assistant\n"));
        let headers = Template::jinja(HEADERS, "<s>", "</s>").unwrap().apply(&talk[..1]).unwrap();
        assert_eq!(headers, "<s><|start|>USER<|end|>\n\nHi?<|eot|><|start|>ASSISTANT<|end|>\n\n");
        let strict = Template::jinja(STRICT, "<s>", "</s>").unwrap();
        assert_eq!(strict.apply(&talk).unwrap(), "<s>[INST]  Hi?  [/INST]Ho.</s>[INST] So? [/INST]");
        let refused = strict.apply(&say_all(&[(Role::System, "Be kind."), (Role::User, "Hi")])).unwrap_err();
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
        assert_eq!(plain.apply(&say_all(&[(Role::User, "Why?")])).unwrap(), "Why?");
        let talk = say_all(&[(Role::System, "Be kind."), (Role::User, "Hi")]);
        assert_eq!(plain.apply(&talk).unwrap(), "system: Be kind.\nuser: Hi\nassistant:");
    }

    #[test]
    fn a_day_does_not_change_an_answer() {
        let dated = Template::jinja("{{ strftime_now('%d %b %Y') }}", "", "").unwrap();
        assert_eq!(dated.apply(&[]).unwrap(), "01 Jan 2025");
    }
}
