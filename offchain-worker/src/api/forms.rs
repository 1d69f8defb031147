//! Values that a request may give in more than one form. They are read by hand: of such a value serde only says that it
//! "did not match any variant", and names neither the field nor what to send.

use serde::{
    de::{value::MapAccessDeserializer, value::SeqAccessDeserializer, Error, MapAccess, SeqAccess, Visitor},
    Deserialize, Deserializer, Serialize,
};
use serde_json::json;
use std::fmt;
use utoipa::openapi::{
    schema::{ArrayBuilder, OneOfBuilder, SchemaFormat, SchemaType, Type},
    ObjectBuilder, RefOr, Schema,
};

/// The number of tokens that stands for no limit but the model's.
const NO_LIMIT: i64 = -1;

/// One text, or several.
#[derive(Clone, Debug, PartialEq, Eq, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Texts {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Texts {
    /// All of them.
    pub fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// The schema of [`Texts`] of which there has to be one at least.
pub fn some_texts_schema(description: &str, example: serde_json::Value) -> RefOr<Schema> {
    let several = ArrayBuilder::new().items(string()).min_items(Some(1));
    OneOfBuilder::new().item(string()).item(several).description(Some(description)).examples([example]).into()
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String))
}

/// Content of a message: a text, or parts that are put together as lines.
#[derive(Clone, Debug, PartialEq, Eq, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Content {
    /// A text.
    Text(String),
    /// Texts.
    Parts(Vec<Part>),
}

impl Content {
    /// The text, or the parts as lines.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join("\n"),
        }
    }
}

/// A part of a message's content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
pub struct Part {
    /// Only texts are understood.
    #[serde(rename = "type")]
    pub kind: PartKind,
    /// The text.
    pub text: String,
}

/// Kind of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// Text.
    Text,
}

/// A text, plain or in an object.
#[derive(Clone, Debug, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Document {
    /// Plain.
    Plain(String),
    /// In an object.
    Object(DocumentText),
}

impl Document {
    /// The text.
    pub fn into_text(self) -> String {
        match self {
            Self::Plain(text) | Self::Object(DocumentText { text }) => text,
        }
    }
}

/// A text in an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DocumentText {
    /// The text.
    pub text: String,
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, texts: A) -> Result<Texts, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(texts)).map(Texts::Many)
            }
        }
        value.deserialize_any(Forms)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of parts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Content, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(parts)).map(Content::Parts)
            }
        }
        value.deserialize_any(Forms)
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or an object with a 'text'")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Document, E> {
                Ok(Document::Plain(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Document, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(object)).map(Document::Object)
            }
        }
        value.deserialize_any(Forms)
    }
}

impl<'de> Deserialize<'de> for PartKind {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        match String::deserialize(value)?.as_str() {
            "text" => Ok(Self::Text),
            image if image.contains("image") => {
                Err(D::Error::custom("this model takes no images; send parts of type 'text'"))
            }
            other => Err(D::Error::custom(format!(
                "this model takes no parts of type '{other}'; send parts of type 'text'"
            ))),
        }
    }
}

/// A whole number that a request may leave out. JSON knows no integers: to some clients 5.0 is one.
pub fn whole<'de, D: Deserializer<'de>, T: TryFrom<i64>>(field: D) -> Result<Option<T>, D::Error> {
    let refused = || D::Error::custom("expected a whole number in the range of this field");
    // Beyond this, numbers of this type are no longer exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let Some(number) = Option::<serde_json::Number>::deserialize(field).map_err(|_| refused())? else {
        return Ok(None);
    };
    let real = || number.as_f64().filter(|real| real.fract() == 0.0 && real.abs() <= EXACT);
    let number = number.as_i64().or_else(|| real().map(|real| real as i64)).ok_or_else(refused)?;
    T::try_from(number).map(Some).map_err(|_| refused())
}

/// The most tokens to generate: 1 to 4294967295, or -1, which to clients of llama.cpp's and Ollama's servers means no limit but
/// the model's.
pub fn most_tokens<'de, D: Deserializer<'de>>(field: D) -> Result<Option<u32>, D::Error> {
    let refused = || {
        D::Error::custom("expected a whole number, 1 to 4294967295, or -1 for as many as the context holds")
    };
    let number: Option<i64> = whole(field).map_err(|_: D::Error| refused())?;
    number
        .map(|number| match number {
            NO_LIMIT => Ok(u32::MAX),
            number => u32::try_from(number).ok().filter(|number| *number > 0).ok_or_else(refused),
        })
        .transpose()
}

/// The schema of what [`most_tokens`] reads.
pub fn most_tokens_schema() -> RefOr<Schema> {
    let whole = || ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer));
    let limit = whole()
        .format(Some(SchemaFormat::Custom("uint32".to_owned())))
        .minimum(Some(1))
        .maximum(Some(u32::MAX));
    let none = whole().enum_values(Some([NO_LIMIT]));
    let absent = ObjectBuilder::new().schema_type(SchemaType::new(Type::Null));
    OneOfBuilder::new()
        .item(limit)
        .item(none)
        .item(absent)
        .description(Some(
            "Most tokens to generate (default: 1024), or -1 for as many as the model's context holds, which may end any \
             answer earlier. `max_completion_tokens` is the newer name of `max_tokens` and wins if both are there.",
        ))
        .examples([json!(16)])
        .into()
}

/// The schema of `response_format`.
pub fn response_format_schema() -> RefOr<Schema> {
    let of_type = |names: &[&str]| {
        ObjectBuilder::new().property("type", string().enum_values(Some(names.to_vec()))).required("type")
    };
    let object = || ObjectBuilder::new().schema_type(SchemaType::new(Type::Object));
    let schema = object().property("schema", object()).required("schema");
    OneOfBuilder::new()
        .item(of_type(&["text", "json_object"]))
        .item(of_type(&["json_schema"]).property("json_schema", schema).required("json_schema"))
        .item(ObjectBuilder::new().schema_type(SchemaType::new(Type::Null)))
        .description(Some(
            "Form of the answer. An answer that is cut at its longest may be half of it: then `finish_reason` is `length`.",
        ))
        .into()
}

/// The schema of `tool_choice`.
pub fn tool_choice_schema() -> RefOr<Schema> {
    let function = ObjectBuilder::new().property("name", string()).required("name");
    let named = ObjectBuilder::new()
        .property("type", string().enum_values(Some(["function"])))
        .required("type")
        .property("function", function)
        .required("function");
    OneOfBuilder::new()
        .item(string().enum_values(Some(["none", "auto", "required"])))
        .item(named)
        .item(ObjectBuilder::new().schema_type(SchemaType::new(Type::Null)))
        .description(Some("Whether a function is called, or which one of `tools`. Default: `auto`."))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;

    fn read<T: DeserializeOwned>(json: &str) -> Result<T, (String, String)> {
        let mut json = serde_json::Deserializer::from_str(json);
        serde_path_to_error::deserialize(&mut json)
            .map_err(|error| (error.path().to_string(), error.inner().to_string()))
    }

    #[test]
    fn each_form_is_read_and_each_other_named() {
        assert_eq!(read(r#""a""#), Ok(Texts::One("a".into())));
        assert_eq!(read(r#"["a", "b"]"#), Ok(Texts::Many(vec!["a".into(), "b".into()])));
        assert_eq!(read::<Content>(r#""a""#).unwrap().text(), "a");
        let parts = r#"[{"type": "text", "text": "a"}, {"text": "b", "type": "text"}]"#;
        assert_eq!(read::<Content>(parts).unwrap().text(), "a\nb");
        assert_eq!(read::<Document>(r#"{"text": "a"}"#).unwrap().into_text(), "a");
        assert_eq!(read::<Document>(r#""a""#).unwrap().into_text(), "a");

        let (path, words) = read::<Texts>(r#"["a", 1]"#).unwrap_err();
        assert_eq!(path, "[1]");
        assert!(words.contains("expected a string"), "{words}");
        for (words, wanted) in [
            (read::<Texts>("7").unwrap_err().1, "a text or a list of texts"),
            (read::<Content>("7").unwrap_err().1, "a text or a list of parts"),
            (read::<Document>("[]").unwrap_err().1, "an object with a 'text'"),
        ] {
            assert!(words.contains(wanted), "{words}");
        }
    }

    #[test]
    fn an_image_is_refused_by_name() {
        let image = r#"[{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}]"#;
        let (path, words) = read::<Content>(image).unwrap_err();
        assert_eq!(path, "[1].type");
        assert!(words.contains("takes no images"), "{words}");
        let (_, words) = read::<Content>(r#"[{"type": "input_audio"}]"#).unwrap_err();
        assert!(words.contains("'input_audio'"), "{words}");
    }

    #[test]
    fn no_limit_is_minus_one_and_nothing_else() {
        let most = |json: &str| most_tokens(&mut serde_json::Deserializer::from_str(json));
        assert_eq!(
            [most("null"), most("1"), most("-1"), most("-1.0")].map(Result::unwrap),
            [None, Some(1), Some(u32::MAX), Some(u32::MAX)]
        );
        assert_eq!(most("4294967295").unwrap(), Some(u32::MAX));
        for bad in ["0", "-2", "1.5", "4294967296", "\"1\"", "[]", "1e300"] {
            assert!(most(bad).unwrap_err().to_string().contains("-1 for as many"), "{bad}");
        }
    }
}
