//! Requests of callers, in OpenAI's forms, and the network's own options under `poq`.

use crate::{amount, refusal::Refusal};
use poq_primitives::conversation::{self, Malformed, Message, Role};
use serde::{de::DeserializeOwned, Deserialize, Deserializer};
use serde_json::Value;

/// Highest temperature.
const HIGHEST_TEMPERATURE: f64 = 2.0;

/// Longest wait that a caller can ask for, in seconds.
const LONGEST_WAIT: u64 = 86_400;

/// Parses a body. Errors name the field.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut json)?;
    json.end().map_err(|error| {
        Refusal::new(crate::refusal::Kind::Invalid, "invalid_json", format!("the body is not JSON: {error}"))
    })?;
    Ok(parsed)
}

/// One text or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
pub enum Texts {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Texts {
    /// All of them.
    pub fn list(&self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text.clone()],
            Self::Many(texts) => texts.clone(),
        }
    }

    /// The models that are named: a list, or one text with commas, which clients that know one model only can send.
    pub fn models(&self) -> Vec<String> {
        let split = |text: &String| text.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>();
        self.list().iter().flat_map(split).filter(|name| !name.is_empty()).collect()
    }
}

/// Fields that both forms have.
#[derive(Clone, Debug, Deserialize)]
pub struct Common {
    /// Models.
    pub model: Texts,
    /// Most tokens of the answer.
    #[serde(default, deserialize_with = "tokens")]
    pub max_completion_tokens: Option<u32>,
    /// Its older name.
    #[serde(default, deserialize_with = "tokens")]
    pub max_tokens: Option<u32>,
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// Part of the probability that is sampled from, above 0 and up to 1.
    pub top_p: Option<f64>,
    /// Seed of the sampler.
    pub seed: Option<i64>,
    /// The answer ends before the first of these.
    pub stop: Option<Texts>,
    /// Whether the answer comes as a stream.
    pub stream: Option<bool>,
    /// Options of the stream.
    pub stream_options: Option<StreamOptions>,
    /// The network's options.
    pub poq: Option<Options>,
}

/// Options of a stream.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct StreamOptions {
    /// Whether an event of its own says how many tokens there were.
    pub include_usage: Option<bool>,
}

/// The network's options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Inference nodes that answer.
    pub responders: Option<u32>,
    /// Quality validators that score.
    pub committee: Option<u32>,
    /// Quality, 0 to 1, below which an answer earns its base pay only.
    pub min_quality: Option<f64>,
    /// Most that the request may cost, in POQ.
    pub budget: Option<Value>,
    /// Longest wait for the answer, in seconds.
    pub timeout: Option<u64>,
    /// The evaluator, by name or id.
    pub evaluator: Option<String>,
}

/// `POST /v1/chat/completions`, besides [`Common`].
#[derive(Clone, Debug, Deserialize)]
pub struct ChatRequest {
    /// The conversation.
    pub messages: Vec<ChatMessage>,
}

/// A message.
#[derive(Clone, Debug, Deserialize)]
pub struct ChatMessage {
    /// Its author.
    pub role: String,
    /// Its text.
    #[serde(default)]
    pub content: Option<Content>,
    /// Functions that the assistant called.
    pub tool_calls: Option<Value>,
}

/// Content of a message.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a text or a list of parts")]
pub enum Content {
    /// A text.
    Text(String),
    /// Parts.
    Parts(Vec<Part>),
}

/// Part of a content.
#[derive(Clone, Debug, Deserialize)]
pub struct Part {
    /// `text`, or something that the network does not know.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text.
    pub text: Option<String>,
}

/// `POST /v1/completions`, besides [`Common`].
#[derive(Clone, Debug, Deserialize)]
pub struct TextRequest {
    /// The prompt.
    pub prompt: Texts,
}

/// A number of tokens, which some clients send as a float, or as -1 for as many as there may be.
fn tokens<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    use serde::de::Error as _;
    let Some(number) = Option::<f64>::deserialize(from)? else { return Ok(None) };
    match number {
        -1.0 => Ok(Some(u32::MAX)),
        number if number >= 1.0 && number.fract() == 0.0 && number <= f64::from(u32::MAX) => {
            Ok(Some(number as u32))
        }
        other => Err(D::Error::custom(format!(
            "{other} is no number of tokens: send 1 or more, or -1 for as many as there may be"
        ))),
    }
}

/// The prompt that messages are. Messages of one author that follow each other are one, with an empty line between.
pub fn prompt_of(messages: &[ChatMessage], options: &conversation::Options) -> Result<String, Refusal> {
    let mut merged: Vec<(usize, Message)> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let field = |name: &str| format!("messages[{index}].{name}");
        let role = match message.role.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            other => {
                let message = format!(
                    "'{}' is '{other}'; the network knows system, developer, user and assistant",
                    field("role")
                );
                return Err(Refusal::invalid(message).about(field("role")));
            }
        };
        if message
            .tool_calls
            .as_ref()
            .is_some_and(|calls| !calls.is_null() && *calls != Value::Array(Vec::new()))
        {
            let message =
                format!("'{}' is not understood here: the network calls no functions", field("tool_calls"));
            return Err(Refusal::invalid(message).about(field("tool_calls")));
        }
        let text = text_of(message.content.as_ref(), &field("content"))?;
        match merged.last_mut() {
            Some((_, last)) if last.role == role => {
                last.content.push_str("\n\n");
                last.content.push_str(&text);
            }
            _ => merged.push((index, Message::new(role, text))),
        }
    }
    let (indices, messages): (Vec<_>, Vec<_>) = merged.into_iter().unzip();
    conversation::encode_with(&messages, options).map_err(|malformed| {
        let original = |index: usize| indices.get(index).copied().unwrap_or(index);
        let (malformed, param) = match malformed {
            Malformed::Blank { index } => (
                Malformed::Blank { index: original(index) },
                format!("messages[{}].content", original(index)),
            ),
            Malformed::Separator { index } => (
                Malformed::Separator { index: original(index) },
                format!("messages[{}].content", original(index)),
            ),
            Malformed::Order { index } => {
                (Malformed::Order { index: original(index) }, format!("messages[{}].role", original(index)))
            }
            Malformed::TopP | Malformed::Stop => return of_option(malformed),
            Malformed::Empty | Malformed::NoQuestion => (malformed, "messages".to_owned()),
        };
        Refusal::invalid(malformed.to_string()).about(param)
    })
}

fn text_of(content: Option<&Content>, field: &str) -> Result<String, Refusal> {
    match content {
        None => Ok(String::new()),
        Some(Content::Text(text)) => Ok(text.clone()),
        Some(Content::Parts(parts)) => {
            let mut all = String::new();
            for (index, part) in parts.iter().enumerate() {
                match (part.kind.as_str(), &part.text) {
                    ("text", Some(text)) => all.push_str(text),
                    (kind, _) => {
                        let field = format!("{field}[{index}]");
                        return Err(Refusal::invalid(format!(
                            "'{field}' is of type '{kind}'; the network takes text"
                        ))
                        .about(field));
                    }
                }
            }
            Ok(all)
        }
    }
}

/// Refusal of an option that a prompt carries.
fn of_option(malformed: Malformed) -> Refusal {
    let field = if malformed == Malformed::TopP { "top_p" } else { "stop" };
    Refusal::invalid(malformed.to_string()).about(field)
}

/// The prompt of a text request: a single one.
pub fn single_prompt(prompt: &Texts, options: &conversation::Options) -> Result<String, Refusal> {
    match prompt.list().as_slice() {
        [one] => {
            let message = Message::new(Role::User, one.as_str());
            conversation::encode_with(&[message], options).map_err(|malformed| match malformed {
                Malformed::TopP | Malformed::Stop => of_option(malformed),
                _ => Refusal::invalid(malformed.to_string().replace("message 0", "'prompt'")).about("prompt"),
            })
        }
        several => {
            Err(Refusal::invalid(format!("'prompt' has {} texts; send one", several.len())).about("prompt"))
        }
    }
}

impl Common {
    /// Temperature in thousandths; 0 if none is given, as with `poq ask`.
    pub fn temperature_milli(&self) -> Result<u32, Refusal> {
        let temperature = self.temperature.unwrap_or(0.0);
        if !(0.0..=HIGHEST_TEMPERATURE).contains(&temperature) {
            return Err(Refusal::invalid(format!(
                "'temperature' is {temperature}; send 0 to {HIGHEST_TEMPERATURE}"
            ))
            .about("temperature"));
        }
        Ok((temperature * 1000.0).round() as u32)
    }

    /// The seed, folded into 32 bits; 0 if none is given, as with `poq ask`.
    pub fn seed(&self) -> u32 {
        let bits = self.seed.unwrap_or(0).cast_unsigned();
        (bits ^ (bits >> 32)) as u32
    }

    /// Options that the prompt carries. Empty stop sequences do not count.
    pub fn options(&self) -> Result<conversation::Options, Refusal> {
        let top_p = self.top_p.unwrap_or(1.0);
        if !(top_p > 0.0 && top_p <= 1.0) {
            let message = format!("'top_p' is {top_p}; send a number above 0 and up to 1");
            return Err(Refusal::invalid(message).about("top_p"));
        }
        let milli = (top_p * 1000.0).round().max(1.0) as u16;
        let stop = self.stop.iter().flat_map(Texts::list).filter(|stop| !stop.is_empty()).collect();
        Ok(conversation::Options { top_p_milli: (milli < 1_000).then_some(milli), stop })
    }
}

impl Options {
    /// Quality in parts per million.
    pub fn min_quality(&self) -> Result<u32, Refusal> {
        let quality = self.min_quality.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&quality) {
            return Err(Refusal::invalid(format!("'poq.min_quality' is {quality}; send 0 to 1"))
                .about("poq.min_quality"));
        }
        Ok((quality * 1e6).round() as u32)
    }

    /// Most that the request may cost, in units.
    pub fn cap(&self) -> Result<Option<u128>, Refusal> {
        let text = match &self.budget {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            // Not as JSON has it, which may be with an exponent.
            Some(Value::Number(number)) => number.as_u64().map_or_else(
                || format!("{:.12}", number.as_f64().unwrap_or(-1.0)),
                |whole| whole.to_string(),
            ),
            Some(_) => String::new(),
        };
        let parsed = amount::parse(&text).map(Some);
        parsed.map_err(|error| Refusal::invalid(format!("'poq.budget': {error}")).about("poq.budget"))
    }

    /// Longest wait, in seconds.
    pub fn wait(&self) -> Result<Option<u64>, Refusal> {
        match self.timeout {
            Some(seconds) if !(1..=LONGEST_WAIT).contains(&seconds) => {
                let message = format!("'poq.timeout' is {seconds}; send 1 to {LONGEST_WAIT} seconds");
                Err(Refusal::invalid(message).about("poq.timeout"))
            }
            seconds => Ok(seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn messages(json: Value) -> Vec<ChatMessage> {
        serde_json::from_value(json).unwrap()
    }

    fn none() -> conversation::Options {
        conversation::Options::default()
    }

    #[test]
    fn messages_become_the_prompt_of_the_chain() {
        let prompt = prompt_of(
            &messages(json!([
                {"role": "system", "content": "Be brief."},
                {"role": "developer", "content": "Be kind."},
                {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
                {"role": "assistant", "content": "Yes?", "tool_calls": []},
                {"role": "user", "content": "Why?"}
            ])),
            &none(),
        );
        assert_eq!(prompt.unwrap(), "\u{1e}sBe brief.\n\nBe kind.\u{1e}uHi\u{1e}aYes?\u{1e}uWhy?");
        assert_eq!(prompt_of(&messages(json!([{"role": "user", "content": "Hi"}])), &none()).unwrap(), "Hi");
        let options = conversation::Options { top_p_milli: Some(900), stop: vec!["\n".into()] };
        let prompt = prompt_of(&messages(json!([{"role": "user", "content": "Hi"}])), &options);
        assert_eq!(prompt.unwrap(), "\u{1e}p900\u{1e}e\n\u{1e}uHi");
    }

    #[test]
    fn messages_that_are_no_conversation_are_refused_by_their_place() {
        for (json, param) in [
            (json!([]), "messages"),
            (json!([{"role": "user", "content": "  "}]), "messages[0].content"),
            (json!([{"role": "tool", "content": "x"}]), "messages[0].role"),
            (json!([{"role": "system", "content": "x"}]), "messages"),
            (
                json!([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "system", "content": "c"}, {"role": "user", "content": "d"}]),
                "messages[2].role",
            ),
            (json!([{"role": "user", "content": "a\u{1e}b"}]), "messages[0].content"),
            (
                json!([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
                "messages[0].content[0]",
            ),
            (json!([{"role": "assistant", "tool_calls": [{}]}]), "messages[0].tool_calls"),
        ] {
            let refusal = prompt_of(&messages(json.clone()), &none()).unwrap_err();
            assert_eq!(refusal.param.as_deref(), Some(param), "{json}: {}", refusal.message);
        }
    }

    fn common(json: Value) -> Result<Common, Refusal> {
        parse(json.to_string().as_bytes())
    }

    #[test]
    fn numbers_are_read_as_clients_send_them() {
        let read = common(
            json!({"model": "a, b", "max_tokens": 7.0, "seed": -1, "stop": ["", "x"], "temperature": 0.25, "top_p": 0.9,
            "poq": {"budget": 0.5, "min_quality": 0.75, "timeout": 9}}),
        )
        .unwrap();
        assert_eq!((read.model.models(), read.max_tokens), (vec!["a".to_owned(), "b".to_owned()], Some(7)));
        assert_eq!(
            (read.seed(), read.options().unwrap(), read.temperature_milli()),
            (0, conversation::Options { top_p_milli: Some(900), stop: vec!["x".to_owned()] }, Ok(250))
        );
        let all = common(json!({"model": "a", "top_p": 1})).unwrap().options().unwrap();
        assert_eq!(all, conversation::Options::default());
        assert_eq!(
            common(json!({"model": "a", "top_p": 1e-9})).unwrap().options().unwrap().top_p_milli,
            Some(1)
        );
        for wrong in [0.0, -1.0, 1.1] {
            let refusal = common(json!({"model": "a", "top_p": wrong})).unwrap().options().unwrap_err();
            assert_eq!(refusal.param.as_deref(), Some("top_p"));
        }
        for wrong in [json!(["1", "2", "3", "4", "5"]), json!("x".repeat(65)), json!("a\u{1e}b")] {
            let options = common(json!({"model": "a", "stop": wrong})).unwrap().options().unwrap();
            let asked = messages(json!([{"role": "user", "content": "Hi"}]));
            assert_eq!(prompt_of(&asked, &options).unwrap_err().param.as_deref(), Some("stop"));
            assert_eq!(
                single_prompt(&Texts::One("Hi".into()), &options).unwrap_err().param.as_deref(),
                Some("stop")
            );
        }
        let options = read.poq.unwrap();
        assert_eq!(
            (options.cap(), options.min_quality(), options.wait()),
            (Ok(Some(500_000_000_000)), Ok(750_000), Ok(Some(9)))
        );
        assert_eq!(common(json!({"model": ["a"], "max_tokens": -1})).unwrap().max_tokens, Some(u32::MAX));
        for wrong in [
            json!({}),
            json!({"model": 7}),
            json!({"model": "a", "max_tokens": 0}),
            json!({"model": "a", "poq": {"bugdet": 1}}),
        ] {
            assert!(common(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(common(json!({"model": "a", "temperature": 3})).unwrap().temperature_milli().is_err());
        let cap = |budget: Value| {
            common(json!({"model": "a", "poq": {"budget": budget}})).unwrap().poq.unwrap().cap()
        };
        assert_eq!((cap(json!(0.000001)), cap(json!(2))), (Ok(Some(1_000_000)), Ok(Some(2_000_000_000_000))));
        for wrong in [json!("x"), json!(-1), json!([])] {
            assert!(cap(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
