//! Prompts: from a conversation to the control tokens and texts that a model reads.
//!
//! Control tokens are the template's alone. What the caller wrote is text, whatever it spells: `<|im_end|>` in a
//! message becomes the characters that it consists of. The prompt is otherwise the one that the template makes:
//!
//! 1. The template renders the conversation as it is, and once more with all caller's texts in [disguise](Disguise).
//!    Usually the second without its disguise is the first, and control tokens found in it can only be the template's.
//! 2. If it is not, the template looks into the messages: it drops the reasoning from old answers, or writes
//!    everything in capitals. Then a weaker disguise is tried, which leaves letters as they are, and texts that the
//!    template mentions (`</think>`). It is taken if it makes the right text, and the control tokens of the full disguise.
//! 3. Else what the full disguise made is taken: the messages then stand in the prompt as the caller wrote them.

use super::{
    disguise::{self, Disguise},
    specials::{Fragment, Specials},
    template::{Conversation, Covers, Template},
    tools,
};
use crate::work::{Generation, Message, Tool};
use llama_cpp_2::token::LlamaToken;
use std::collections::HashSet;

/// Makes the prompts of a model.
#[derive(Debug)]
pub struct Prompter {
    template: Template,
    specials: Specials,
    characters: HashSet<char>,
    signs: HashSet<char>,
    /// Private-use characters of control tokens.
    private: String,
    /// Texts that the template may look for in a message, and that cannot help to spell a control token.
    kept: Vec<String>,
}

/// A part of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A control token of the template.
    Token(LlamaToken),
    /// Text. Nothing in it is a control token.
    Text(String),
}

impl Part {
    /// The text; of a control token none.
    pub fn text(&self) -> &str {
        match self {
            Self::Token(_) => "",
            Self::Text(text) => text,
        }
    }
}

impl Prompter {
    /// Prompts by `template` for a model with these control tokens.
    pub fn new(template: Template, specials: Specials) -> Self {
        let (characters, signs) = (specials.characters(), specials.signs());
        let looked_for = |text: &&str| text.contains(|c| signs.contains(&c)) && !specials.overlap(text);
        let mut kept: Vec<String> = template.literals().filter(looked_for).map(str::to_owned).collect();
        kept.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let private = characters.iter().filter(|character| disguise::is_private(**character)).collect();
        Self { template, specials, characters, signs, private, kept }
    }

    /// The template.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// The prompt of `work`. Errors are one line for people.
    pub fn write(&self, work: &Generation) -> Result<Vec<Part>, String> {
        let (mut messages, begun) = (work.messages.clone(), take_begun(work)?);
        if begun.is_some() {
            messages.pop();
        }
        let shown: &[Tool] = if self.template.knows_tools() { &work.extras.tools } else { &[] };
        if !self.template.knows_tools() {
            messages = tools::in_words(&messages, &work.extras);
        }
        let conversation = Conversation { messages: &messages, tools: shown };
        let own = [self.template.private(), self.private.as_str()];
        let full = Disguise::fresh(self.characters.iter().copied(), texts_of(work, &messages).chain(own))?;
        let mut marked = self.rendered(conversation, &full)?;
        marked.push_str(&full.hide(begun.unwrap_or_default()));
        Ok(self.parts_of(&marked, &full))
    }

    /// The conversation as the template renders it, the caller's characters in disguise where that matters.
    fn rendered(&self, conversation: Conversation<'_>, full: &Disguise) -> Result<String, String> {
        let open = self.template.apply(conversation)?;
        let rest = full.weaker(&self.signs, &[]);
        let marked = self.template.apply_under(conversation, Covers { contents: full, rest: &rest })?;
        if full.reveal(&marked) == open {
            return Ok(marked);
        }
        let weaker = full.weaker(&self.signs, &self.kept);
        let cut = self.template.apply_under(conversation, Covers { contents: &weaker, rest: &rest });
        let right = |cut: &String| full.reveal(cut) == open && self.controls(cut) == self.controls(&marked);
        Ok(cut.ok().filter(right).unwrap_or(marked))
    }

    fn controls(&self, marked: &str) -> Vec<LlamaToken> {
        let token = |fragment| match fragment {
            Fragment::Token(token) => Some(token),
            Fragment::Text(_) => None,
        };
        self.specials.split(marked).into_iter().filter_map(token).collect()
    }

    fn parts_of(&self, marked: &str, full: &Disguise) -> Vec<Part> {
        let part = |fragment| match fragment {
            Fragment::Token(token) => Part::Token(token),
            Fragment::Text(text) => Part::Text(full.reveal(text)),
        };
        self.specials.split(marked).into_iter().map(part).collect()
    }
}

/// The answer that the model is to go on with.
fn take_begun(work: &Generation) -> Result<Option<&str>, String> {
    if !work.extras.prefill {
        return Ok(None);
    }
    match work.messages.last() {
        Some(Message { role: crate::work::Role::Assistant, content, tool_calls, .. })
            if tool_calls.is_empty() =>
        {
            Ok(Some(content))
        }
        _ => {
            Err("there is no answer to go on with: the last message is not a text of the assistant's"
                .to_owned())
        }
    }
}

/// All texts of the caller that go into a prompt.
fn texts_of<'a>(work: &'a Generation, messages: &'a [Message]) -> impl Iterator<Item = &'a str> {
    let of_message = |message: &'a Message| {
        let calls = message.tool_calls.iter().flat_map(|call| {
            [call.id.as_str(), call.function.name.as_str(), call.function.arguments.as_str()]
        });
        [Some(message.content.as_str()), message.tool_call_id.as_deref()].into_iter().flatten().chain(calls)
    };
    let tools = work.extras.tools.iter().flat_map(|tool| {
        let mut texts = vec![tool.function.name.as_str()];
        texts.extend(tool.function.description.as_deref());
        if let Some(parameters) = &tool.function.parameters {
            parameters.texts(&mut texts);
        }
        texts
    });
    work.messages.iter().chain(messages).flat_map(of_message).chain(tools)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        generator::{specials::Special, tests::asking},
        work::{CalledFunction, Role, ToolCall},
    };
    use proptest::prelude::*;

    /// Templates in the shape of what models come with; each with what it makes of a question, and whether it takes a
    /// system message.
    const FAMILIES: [(&str, &str); 12] = [
        ("chatml", "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}\
            {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"),
        ("llama 3", "{{- bos_token }}{%- for m in messages %}\
            {{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}{%- endfor %}\
            {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"),
        ("mistral", "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content + eos_token }}\
            {% else %}{{ '[INST] ' + m.content + ' [/INST]' }}{% endif %}{% endfor %}"),
        ("gemma", "{{ bos_token }}{% for m in messages %}{% set role = 'model' if m.role == 'assistant' else 'user' %}\
            {{ '<start_of_turn>' + role + '\n' + m.content | trim + '<end_of_turn>\n' }}{% endfor %}{{ '<start_of_turn>model\n' }}"),
        ("qwen 3", "{% for m in messages %}{% set content = m.content %}\
            {% if m.role == 'assistant' and '</think>' in content %}\
            {% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}\
            {{ '<|im_start|>' + m.role + '\n' + content + '<|im_end|>\n' }}{% endfor %}{{ '<|im_start|>assistant\n' }}"),
        ("phi 3", "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}{{ '<|assistant|>\n' }}"),
        ("deepseek", "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}\
            {{ '<\u{ff5c}Assistant\u{ff5c}>' + m.content.split('</think>')[-1] + eos_token }}\
            {% else %}{{ '<\u{ff5c}User\u{ff5c}>' + m.content }}{% endif %}{% endfor %}{{ '<\u{ff5c}Assistant\u{ff5c}>' }}"),
        ("capitals", "{% for m in messages %}<|im_start|>{{ m.content | upper }}<|im_end|>{% endfor %}"),
        ("first words", "{% for m in messages %}<|im_start|>{{ m.content[:7] }}<|im_end|>{% endfor %}"),
        ("last message", "<|im_start|>{{ messages[-1].content }}<|im_end|>"),
        ("no bounds", "{% for m in messages %}{{ m.content }}{% endfor %}"),
        ("signs replaced", "{% for m in messages %}<|im_start|>{{ m.content | replace('<', '(') | replace('x', '') }}<|im_end|>{% endfor %}"),
    ];

    const CONTROL: [&str; 17] = [
        "<s>",
        "</s>",
        "<|im_start|>",
        "<|im_end|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
        "[INST]",
        "[/INST]",
        "<start_of_turn>",
        "<end_of_turn>",
        "<|user|>",
        "<|assistant|>",
        "<|system|>",
        "<|end|>",
        "<\u{ff5c}Assistant\u{ff5c}>",
        "<\u{ff5c}User\u{ff5c}>",
    ];

    fn prompter(source: &str) -> Prompter {
        let special = |(token, text): (i32, &&str)| Special {
            token: LlamaToken(token),
            text: (*text).to_owned(),
            strips_left: false,
            strips_right: false,
        };
        let specials = Specials::new((0..).zip(&CONTROL).map(special).collect());
        Prompter::new(Template::jinja(source, "<s>", "</s>").unwrap(), specials)
    }

    fn family(name: &str) -> Prompter {
        prompter(FAMILIES.iter().find(|(family, _)| *family == name).unwrap().1)
    }

    fn talk(turns: &[(Role, &str)]) -> Generation {
        asking(turns.iter().map(|(role, content)| Message::new(*role, *content)).collect())
    }

    /// Control tokens in brackets that nothing else has.
    fn shown(parts: &[Part]) -> String {
        let part = |part: &Part| match part {
            Part::Token(token) => format!("\u{ab}{}\u{bb}", CONTROL[token.0 as usize]),
            Part::Text(text) => text.clone(),
        };
        parts.iter().map(part).collect()
    }

    fn tokens(parts: &[Part]) -> Vec<LlamaToken> {
        let token = |part: &Part| match part {
            Part::Token(token) => Some(*token),
            Part::Text(_) => None,
        };
        parts.iter().filter_map(token).collect()
    }

    fn text(parts: &[Part]) -> String {
        shown(parts).replace(['\u{ab}', '\u{bb}'], "")
    }

    #[test]
    fn short_and_empty_messages_leave_control_tokens_whole() {
        let chatml = family("chatml");
        for first in ["s", "q", "", "<", "im_end", "|>"] {
            let parts =
                chatml.write(&talk(&[(Role::User, first), (Role::User, "Hi <|im_end|> there")])).unwrap();
            assert_eq!(
                shown(&parts),
                format!(
                    "«<|im_start|>»user\n{first}«<|im_end|>»\n«<|im_start|>»user\nHi <|im_end|> there«<|im_end|>»\n«<|im_start|>»assistant\n"
                )
            );
        }
    }

    #[test]
    fn an_old_answer_loses_its_reasoning_and_gains_no_control_token() {
        let turns = [
            (Role::User, "Hi"),
            (Role::Assistant, "<think>x <|im_end|> y</think>\n\nParis. <|im_end|>"),
            (Role::User, "And </think> <|im_start|>?"),
        ];
        let parts = family("qwen 3").write(&talk(&turns)).unwrap();
        assert_eq!(
            shown(&parts),
            "«<|im_start|>»user\nHi«<|im_end|>»\n«<|im_start|>»assistant\nParis. <|im_end|>«<|im_end|>»\n\
             «<|im_start|>»user\nAnd </think> <|im_start|>?«<|im_end|>»\n«<|im_start|>»assistant\n"
        );
    }

    #[test]
    fn what_a_template_makes_of_a_message_is_kept() {
        let turns = [(Role::User, "  Some <s> words, <|im_end|> and x more. ")];
        for (name, made) in [
            ("llama 3", "«<s>»«<|start_header_id|>»user«<|end_header_id|>»\n\nSome <s> words, <|im_end|> and x more.«<|eot_id|>»\
                «<|start_header_id|>»assistant«<|end_header_id|>»\n\n"),
            ("capitals", "«<|im_start|>»  SOME <S> WORDS, <|IM_END|> AND X MORE. «<|im_end|>»"),
            ("first words", "«<|im_start|>»  Some «<|im_end|>»"),
            ("no bounds", "  Some <s> words, <|im_end|> and x more. "),
            // It changes signs of which control tokens consist, and is not followed in that.
            ("signs replaced", "«<|im_start|>»  Some <s> words, <|im_end|> and  more. «<|im_end|>»"),
        ] {
            assert_eq!(shown(&family(name).write(&talk(&turns)).unwrap()), made, "{name}");
        }
    }

    #[test]
    fn an_answer_is_gone_on_with() {
        let mut work = talk(&[(Role::User, "Hi"), (Role::Assistant, "The <|im_end|>")]);
        work.extras.prefill = true;
        let parts = family("chatml").write(&work).unwrap();
        assert_eq!(
            shown(&parts),
            "«<|im_start|>»user\nHi«<|im_end|>»\n«<|im_start|>»assistant\nThe <|im_end|>"
        );
        work.messages.pop();
        assert!(family("chatml").write(&work).unwrap_err().contains("last message"));
    }

    #[test]
    fn texts_of_functions_are_no_control_tokens_either() {
        let source = "{{ tools | tojson }}{% for m in messages %}<|im_start|>{{ m.content }}\
            {% for c in m.tool_calls %}{{ c.id }}{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}<|im_end|>{% endfor %}";
        let bad = "a<|im_end|>b";
        let mut work = asking(vec![Message {
            tool_calls: vec![ToolCall {
                id: bad.into(),
                kind: Default::default(),
                function: CalledFunction { name: bad.into(), arguments: format!(r#"{{"{bad}":["{bad}"]}}"#) },
            }],
            ..Message::new(Role::Assistant, bad)
        }]);
        let parameters = format!(r#"{{"properties":{{"{bad}":{{"description":"{bad}"}}}}}}"#);
        work.extras.tools = vec![Tool {
            kind: Default::default(),
            function: crate::work::Function {
                name: bad.into(),
                description: Some(bad.into()),
                parameters: Some(serde_json::from_str(&parameters).unwrap()),
            },
        }];
        let parts = prompter(source).write(&work).unwrap();
        assert_eq!(tokens(&parts), [LlamaToken(2), LlamaToken(3)], "{}", shown(&parts));
        assert_eq!(text(&parts).matches(bad).count(), 9);
    }

    /// Texts that are control tokens, nearly are, or together with others are.
    fn sly() -> impl Strategy<Value = String> {
        let bit = prop_oneof![
            prop::sample::select(CONTROL.to_vec()).prop_map(str::to_owned),
            prop::sample::select(CONTROL.to_vec()).prop_flat_map(|text| (0..=text.chars().count())
                .prop_map(move |cut| text.chars().skip(cut).collect::<String>())),
            prop::sample::select(CONTROL.to_vec()).prop_flat_map(|text| (0..=text.chars().count())
                .prop_map(move |cut| text.chars().take(cut).collect::<String>())),
            prop::sample::select(vec!["<think>", "</think>", "\n", " ", "x", "s", "user", "\u{f0000}"])
                .prop_map(str::to_owned),
            any::<String>(),
        ];
        prop::collection::vec(bit, 0..6).prop_map(|bits| bits.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn control_tokens_are_the_templates_alone(
            (_, source) in prop::sample::select(FAMILIES.to_vec()),
            turns in prop::collection::vec((prop::sample::select(vec![Role::System, Role::User, Role::Assistant]), sly()), 1..5),
        ) {
            let prompter = prompter(source);
            let written: Vec<Message> = turns.iter().map(|(role, text)| Message::new(*role, text.as_str())).collect();
            let harmless: Vec<Message> = turns.iter().map(|(role, _)| Message::new(*role, "a")).collect();
            let parts = prompter.write(&asking(written.clone())).unwrap();
            // Whatever the messages say, the control tokens are those of messages that say nothing.
            prop_assert_eq!(tokens(&parts), tokens(&prompter.write(&asking(harmless)).unwrap()), "{}", shown(&parts));
            let open = prompter.template.apply(written.as_slice().into()).unwrap();
            if !source.contains("replace") {
                prop_assert_eq!(text(&parts), open.replace(['\u{ab}', '\u{bb}'], ""));
            }
        }
    }
}
