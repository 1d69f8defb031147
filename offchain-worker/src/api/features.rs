//! Options of a chat request beyond its text: form, functions, probabilities; and the refusal of unknown fields.

use super::{chat::ChatRequest, error::ApiError};
use crate::{
    generator::{grammar::Reader, schema},
    json::Json,
    work::{CalledFunction, Extras, Form, Function, Likely, TokenLogprob, Tool, ToolCall, ToolKind},
};
use serde::Serialize;
use serde_json::{json, Value};

/// Most functions of a request.
pub const MAX_TOOLS: usize = 128;

/// Highest `top_logprobs`.
pub const MAX_TOP_LOGPROBS: u8 = 20;

/// Longest name of a function, in characters.
const LONGEST_NAME: usize = 64;

/// Fields that change no answer: clients put notes there, and wishes about accounts and caches.
const IGNORED: [&str; 7] = [
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
];

/// Fields of a message that would change an answer.
const REFUSED_IN_MESSAGES: [&str; 4] = ["audio", "function_call", "partial", "prefix"];

/// Most characters of a caller's name that an error repeats.
const QUOTED: usize = 40;

/// Refuses fields that would change the answer if they were understood. One with the value that says "as ever" is fine.
pub(super) fn refuse_unknown(request: &ChatRequest) -> Result<(), ApiError> {
    let unknown = request.others.iter().find(|(name, value)| {
        !value.is_null() && !IGNORED.contains(&name.as_str()) && !is_neutral(name, value)
    });
    if let Some((name, _)) = unknown {
        return Err(refused(&quoted(name), "is not understood here; leave it out"));
    }
    for (number, message) in request.messages.iter().enumerate() {
        let changes_it = |(name, value): &(&String, &Value)| {
            REFUSED_IN_MESSAGES.contains(&name.as_str()) && !value.is_null() && **value != json!(false)
        };
        if let Some((name, _)) = message.others.iter().find(changes_it) {
            let field = format!("messages[{number}].{name}");
            return Err(refused(&field, "is not understood here; leave it out"));
        }
    }
    Ok(())
}

/// Whether the field says what happens without it, too.
fn is_neutral(name: &str, value: &Value) -> bool {
    let neutral = match name {
        "presence_penalty" | "frequency_penalty" | "min_p" | "top_k" => json!(0),
        "repeat_penalty" | "repetition_penalty" | "best_of" => json!(1),
        "logit_bias" => json!({}),
        "functions" => json!([]),
        "modalities" => json!(["text"]),
        "echo" | "ignore_eos" => json!(false),
        _ => return false,
    };
    // 0.0 is 0.
    neutral == *value || neutral.is_number() && neutral.as_f64() == value.as_f64()
}

/// The refusal of a field, for this reason.
fn refused(field: &str, why: &str) -> ApiError {
    ApiError::invalid(format!("'{field}' {why}")).about(field)
}

fn quoted(name: &str) -> String {
    crate::text::one_line(&name.chars().take(QUOTED).collect::<String>())
}

/// The request's options. A form that is not supported is refused here, before the request waits for a model.
pub(super) fn extras_of(request: &ChatRequest) -> Result<Extras, ApiError> {
    let tools = tools_of(request.tools.as_ref())?;
    let wanted = form_of(request.response_format.as_ref())?;
    let choice = choice_of(request.tool_choice.as_ref(), &tools)?;
    let form = match &choice {
        Choice::Call { only } if wanted.is_none() => Some(Form::Call { only: only.clone() }),
        Choice::Call { .. } => {
            let why = "and a 'tool_choice' that demands a call exclude each other";
            return Err(refused("response_format", why));
        }
        Choice::None | Choice::Auto => wanted,
    };
    let extras = Extras {
        tools: if matches!(choice, Choice::None) { Vec::new() } else { tools },
        form,
        logprobs: logprobs_of(request)?,
        prefill: prefill_of(request)?,
    };
    // How a call is tagged does not matter for whether there can be one.
    let grammar = schema::grammar_of(&extras, true).map_err(ApiError::invalid)?;
    if let Some(grammar) = grammar {
        Reader::new(grammar).map_err(|error| ApiError::invalid(format!("the schema: {error}")))?;
    }
    Ok(extras)
}

/// Meaning of `tool_choice`.
enum Choice {
    None,
    Auto,
    Call { only: Option<String> },
}

fn choice_of(choice: Option<&Json>, tools: &[Tool]) -> Result<Choice, ApiError> {
    let wrong = || {
        refused(
            "tool_choice",
            "has to be \"none\", \"auto\", \"required\" or {\"type\":\"function\",\"function\":{\"name\":…}}",
        )
    };
    let demanded = match choice {
        None | Some(Json::Null) => return Ok(Choice::Auto),
        Some(Json::String(word)) => match word.as_str() {
            "none" => return Ok(Choice::None),
            "auto" => return Ok(Choice::Auto),
            "required" => None,
            _ => return Err(wrong()),
        },
        Some(named) if named.get("type").and_then(Json::text) == Some("function") => {
            let name = named.get("function").and_then(|function| function.get("name")).and_then(Json::text);
            Some(name.ok_or_else(wrong)?.to_owned())
        }
        Some(_) => return Err(wrong()),
    };
    let known = |name: &String| tools.iter().any(|tool| tool.function.name == *name);
    if tools.is_empty() || !demanded.as_ref().is_none_or(known) {
        return Err(refused("tool_choice", "demands a call of a function that 'tools' does not have"));
    }
    Ok(Choice::Call { only: demanded })
}

fn tools_of(tools: Option<&Json>) -> Result<Vec<Tool>, ApiError> {
    let tools = match tools {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(tools) => tools.items().ok_or_else(|| refused("tools", "has to be a list"))?,
    };
    if tools.len() > MAX_TOOLS {
        let why = format!("has {} functions, and may have {MAX_TOOLS}", tools.len());
        return Err(refused("tools", &why));
    }
    tools.iter().enumerate().map(|(number, tool)| tool_of(number, tool)).collect()
}

fn tool_of(number: usize, tool: &Json) -> Result<Tool, ApiError> {
    let wrong = |field: &str, why: &str| refused(&format!("tools[{number}].{field}"), why);
    if tool.get("type").and_then(Json::text) != Some("function") {
        return Err(wrong("type", "has to be \"function\""));
    }
    let function = tool.get("function").filter(|function| function.fields().is_some());
    let function = function.ok_or_else(|| wrong("function", "has to be an object"))?;
    let fits = |name: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(plain)
    };
    let name = function.get("name").and_then(Json::text).filter(fits);
    let name =
        name.ok_or_else(|| wrong("function.name", "has to be 1 to 64 letters, digits, or signs of \"_-.\""))?;
    let description = match function.get("description") {
        None | Some(Json::Null) => None,
        Some(text) => {
            Some(text.text().ok_or_else(|| wrong("function.description", "has to be a text"))?.to_owned())
        }
    };
    let parameters = function.get("parameters").filter(|parameters| **parameters != Json::Null);
    if parameters.is_some_and(|parameters| parameters.fields().is_none()) {
        return Err(wrong("function.parameters", "has to be a JSON schema"));
    }
    if parameters
        .and_then(|parameters| parameters.get("type"))
        .is_some_and(|kind| kind.text() != Some("object"))
    {
        return Err(wrong("function.parameters.type", "has to be \"object\""));
    }
    let function = Function { name: name.to_owned(), description, parameters: parameters.cloned() };
    Ok(Tool { kind: ToolKind::Function, function })
}

fn form_of(format: Option<&Json>) -> Result<Option<Form>, ApiError> {
    let format = match format {
        None | Some(Json::Null) => return Ok(None),
        Some(format) => format,
    };
    match format.get("type").and_then(Json::text) {
        Some("text") => Ok(None),
        Some("json_object") => match format.get("schema") {
            // llama.cpp's server has it here.
            Some(schema) => Ok(Some(Form::Schema(schema.clone()))),
            None => Ok(Some(Form::Object)),
        },
        Some("json_schema") => {
            let schema = format.get("json_schema").and_then(|named| named.get("schema"));
            let missing = || refused("response_format.json_schema.schema", "is missing");
            Ok(Some(Form::Schema(schema.ok_or_else(missing)?.clone())))
        }
        _ => Err(refused("response_format.type", "has to be \"text\", \"json_object\" or \"json_schema\"")),
    }
}

fn logprobs_of(request: &ChatRequest) -> Result<Option<u8>, ApiError> {
    let (wanted, top) = (request.logprobs.unwrap_or(false), request.top_logprobs);
    if top.is_some_and(|top| top > MAX_TOP_LOGPROBS) {
        return Err(refused("top_logprobs", &format!("has to be 0 to {MAX_TOP_LOGPROBS}")));
    }
    if !wanted && top.is_some_and(|top| top > 0) {
        return Err(refused("top_logprobs", "goes with 'logprobs': true"));
    }
    Ok(wanted.then(|| top.unwrap_or(0)))
}

fn prefill_of(request: &ChatRequest) -> Result<bool, ApiError> {
    match (request.continue_final_message, request.add_generation_prompt) {
        (Some(true), Some(true)) => {
            Err(refused("continue_final_message", "and 'add_generation_prompt': true exclude each other"))
        }
        (Some(true), _) => Ok(true),
        (_, Some(false)) => {
            Err(refused("add_generation_prompt", "may be false only with 'continue_final_message': true"))
        }
        _ => Ok(false),
    }
}

/// A call with an id of its own.
pub(super) fn with_id(function: CalledFunction) -> ToolCall {
    ToolCall { id: format!("call_{:016x}", rand::random::<u64>()), kind: ToolKind::Function, function }
}

/// Probabilities of an answer's tokens.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Logprobs {
    /// Token by token, those included that a stop sequence cut off.
    pub content: Vec<LogprobOfToken>,
    /// Always `null`; clients expect it.
    #[schema(value_type = Option<String>, required)]
    pub refusal: (),
}

/// Probability of a token.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct LogprobOfToken {
    /// The token that was taken.
    #[serde(flatten)]
    pub token: Logprob,
    /// The likeliest tokens in its place, likeliest first.
    pub top_logprobs: Vec<Logprob>,
}

/// A token with its probability.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Logprob {
    /// Its text; half a character is shown as U+FFFD.
    pub token: String,
    /// Natural logarithm of its probability, -9999 if that is 0.
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Logprobs {
    /// Of these tokens.
    pub(super) fn of(tokens: &[TokenLogprob]) -> Self {
        let content = tokens.iter().map(|token| LogprobOfToken {
            token: Logprob::of(&token.token),
            top_logprobs: token.top.iter().map(Logprob::of).collect(),
        });
        Self { content: content.collect(), refusal: () }
    }
}

impl Logprob {
    fn of(likely: &Likely) -> Self {
        let token = String::from_utf8_lossy(&likely.bytes).into_owned();
        Self { token, logprob: likely.logprob, bytes: likely.bytes.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(more: &str) -> ChatRequest {
        serde_json::from_str(&format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}]{more}}}"#
        ))
        .unwrap()
    }

    fn extras(more: &str) -> Result<Extras, String> {
        let request = request(more);
        refuse_unknown(&request)
            .and_then(|()| extras_of(&request))
            .map_err(|error| error.body().error.message)
    }

    const TOOLS: &str = r#","tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"b":{},"a":{}}}}}]"#;

    #[test]
    fn what_changes_no_answer_is_ignored() {
        for fine in [
            "",
            r#","user":"u","metadata":{"a":"b"},"store":true,"service_tier":"auto""#,
            r#","presence_penalty":0,"frequency_penalty":0.0,"logit_bias":{},"functions":[],"modalities":["text"],"audio":null,"foo":null"#,
            r#","tools":[],"tool_choice":"none","logprobs":false,"top_logprobs":0,"response_format":{"type":"text"}"#,
            r#","tool_choice":"auto","parallel_tool_calls":true,"add_generation_prompt":true"#,
        ] {
            assert_eq!(extras(fine), Ok(Extras::default()), "{fine}");
        }
    }

    #[test]
    fn what_would_change_it_is_refused_by_name() {
        for (more, name) in [
            (r#","presence_penalty":0.5"#, "'presence_penalty'"),
            (r#","logit_bias":{"1":1}"#, "'logit_bias'"),
            (r#","audio":{"voice":"x"}"#, "'audio'"),
            (r#","modalities":["text","audio"]"#, "'modalities'"),
            (r#","functions":[{}]"#, "'functions'"),
            (r#","no such field":1"#, "'no such field'"),
            (r#","top_logprobs":2"#, "'top_logprobs'"),
            (r#","logprobs":true,"top_logprobs":21"#, "'top_logprobs'"),
            (r#","tools":{}"#, "'tools'"),
            (r#","tools":[{}]"#, "'tools[0].type'"),
            (r#","tools":[{"type":"function"}]"#, "'tools[0].function'"),
            (r#","tools":[{"type":"function","function":{"name":"a b"}}]"#, "'tools[0].function.name'"),
            (
                r#","tools":[{"type":"function","function":{"name":"f","description":1}}]"#,
                "'tools[0].function.description'",
            ),
            (
                r#","tools":[{"type":"function","function":{"name":"f","parameters":[]}}]"#,
                "'tools[0].function.parameters'",
            ),
            (
                r#","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"array"}}}]"#,
                "'tools[0].function.parameters.type'",
            ),
            (r#","tool_choice":"required""#, "'tool_choice'"),
            (r#","tool_choice":"sometimes""#, "'tool_choice'"),
            (r#","tool_choice":{"type":"function"}"#, "'tool_choice'"),
            (r#","response_format":{"type":"xml"}"#, "'response_format.type'"),
            (r#","response_format":{"type":"json_schema"}"#, "'response_format.json_schema.schema'"),
            (
                r#","response_format":{"type":"json_schema","json_schema":{"schema":{"not":{}}}}"#,
                "'response_format.json_schema.schema': 'not'",
            ),
            (r#","continue_final_message":true,"add_generation_prompt":true"#, "'continue_final_message'"),
            (r#","add_generation_prompt":false"#, "'add_generation_prompt'"),
        ] {
            let error = extras(more).unwrap_err();
            assert!(error.contains(name) && error.len() < 300, "{more}: {error}");
        }
        let named = format!(r#"{TOOLS},"tool_choice":{{"type":"function","function":{{"name":"g"}}}}"#);
        assert!(extras(&named).unwrap_err().contains("'tool_choice'"));
        let both = format!(r#"{TOOLS},"tool_choice":"required","response_format":{{"type":"json_object"}}"#);
        assert!(extras(&both).unwrap_err().contains("'response_format'"));
        let pattern = r#","tool_choice":"required","tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"x":{"pattern":"y"}}}}}]"#;
        assert!(extras(pattern)
            .unwrap_err()
            .contains("'tools[0].function.parameters.properties.x': 'pattern'"));
        let long: ChatRequest = request(&format!(r#","{}":1"#, "x".repeat(100_000)));
        assert!(refuse_unknown(&long).unwrap_err().body().error.message.len() < 200);
        let prefix = r#"{"model":"m","messages":[{"role":"assistant","content":"a","prefix":true}]}"#;
        let error = refuse_unknown(&serde_json::from_str(prefix).unwrap()).unwrap_err().body().error.message;
        assert!(error.contains("'messages[0].prefix'"), "{error}");
    }

    #[test]
    fn what_is_understood_is_asked_for() {
        let asked = extras(&format!(r#"{TOOLS},"tool_choice":"required","logprobs":true,"top_logprobs":20"#))
            .unwrap();
        assert_eq!((asked.form, asked.logprobs), (Some(Form::Call { only: None }), Some(20)));
        let parameters = asked.tools[0].function.parameters.as_ref().unwrap();
        assert_eq!(parameters.to_string(), r#"{"properties":{"b":{},"a":{}}}"#, "in the caller's order");
        assert!(extras(&format!(r#"{TOOLS},"tool_choice":"none""#)).unwrap().tools.is_empty());
        let object = extras(r#","response_format":{"type":"json_object"}"#).unwrap();
        assert_eq!(object.form, Some(Form::Object));
        assert!(extras(r#","continue_final_message":true"#).unwrap().prefill);
    }
}
