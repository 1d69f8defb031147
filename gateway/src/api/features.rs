//! Fields that the network does not know. Those that change no answer are ignored; the others are refused by their name, so that nobody pays
//! for something else than was asked for.

use crate::refusal::Refusal;
use serde_json::{json, Value};
use std::collections::BTreeMap;

/// Fields that are read elsewhere, or that change no answer: clients put notes there, and wishes about accounts and caches.
const FINE: [&str; 20] = [
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "parallel_tool_calls",
    "poq",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "user",
];

/// Most characters of a caller's name that an error repeats.
const QUOTED: usize = 40;

/// Refuses fields that would change the answer if they were understood.
pub fn check(fields: &BTreeMap<String, Value>) -> Result<(), Refusal> {
    let unknown = fields
        .iter()
        .find(|(name, value)| !value.is_null() && !FINE.contains(&name.as_str()) && !is_neutral(name, value));
    let Some((name, _)) = unknown else { return Ok(()) };
    let name: String = name.chars().take(QUOTED).collect();
    Err(Refusal::invalid(format!("'{name}' is not something that the network does; leave it out"))
        .about(name))
}

/// Whether the field says what happens without it, too.
fn is_neutral(name: &str, value: &Value) -> bool {
    let neutral = match name {
        "presence_penalty" | "frequency_penalty" | "min_p" | "top_k" | "top_logprobs" => json!(0),
        "repeat_penalty" | "repetition_penalty" | "best_of" | "n" => json!(1),
        "logit_bias" => json!({}),
        "functions" | "tools" => json!([]),
        "tool_choice" => return *value == json!("none") || *value == json!("auto"),
        "modalities" => json!(["text"]),
        "response_format" => json!({ "type": "text" }),
        "echo" | "logprobs" => json!(false),
        "suffix" => json!(""),
        _ => return false,
    };
    // 1.0 is 1.
    neutral == *value || neutral.is_number() && neutral.as_f64() == value.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(json: Value) -> Result<(), Refusal> {
        check(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn what_changes_an_answer_is_refused_unless_it_changes_nothing() {
        for fine in [
            json!({"top_p": 1.0, "n": 1, "tools": [], "tool_choice": "auto", "user": "x", "logprobs": false}),
            json!({"response_format": {"type": "text"}, "presence_penalty": 0.0, "functions": null}),
        ] {
            assert_eq!(check_one(fine.clone()), Ok(()), "{fine}");
        }
        for field in ["n", "tools", "response_format", "logprobs", "made_up"] {
            let refusal = check_one(json!({ field: 7 })).unwrap_err();
            assert_eq!(refusal.param.as_deref(), Some(field));
        }
    }
}
