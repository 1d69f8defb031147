//! JSON that keeps the order of an object's fields.
//!
//! A schema's properties come in the order in which its author wants them written, and a template shows a function's
//! fields as the caller wrote them. `serde_json::Value` sorts them.

use serde::{
    de::{Error as _, MapAccess, SeqAccess, Visitor},
    ser::SerializeMap as _,
    Deserialize, Deserializer, Serialize, Serializer,
};
use std::fmt;

/// A JSON value. No object has a field twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A text.
    String(String),
    /// A list.
    Array(Vec<Json>),
    /// Fields in their order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The field `name` of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.fields()?.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// The fields of an object.
    pub fn fields(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn items(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Puts all texts and field names to `texts`.
    pub fn texts<'a>(&'a self, texts: &mut Vec<&'a str>) {
        match self {
            Self::String(text) => texts.push(text),
            Self::Array(items) => items.iter().for_each(|item| item.texts(texts)),
            Self::Object(fields) => fields.iter().for_each(|(name, value)| {
                texts.push(name);
                value.texts(texts);
            }),
            Self::Null | Self::Bool(_) | Self::Number(_) => {}
        }
    }

    /// A copy in which `change` was applied to every text and every field name.
    pub fn map_texts(&self, change: &impl Fn(&str) -> String) -> Self {
        match self {
            Self::String(text) => Self::String(change(text)),
            Self::Array(items) => Self::Array(items.iter().map(|item| item.map_texts(change)).collect()),
            Self::Object(fields) => Self::Object(
                fields.iter().map(|(name, value)| (change(name), value.map_texts(change))).collect(),
            ),
            Self::Null | Self::Bool(_) | Self::Number(_) => self.clone(),
        }
    }
}

/// Compact JSON, without white space.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

/// Name of the only field as which `serde_json` hands over a fraction, if any crate of the program has turned on its feature
/// `arbitrary_precision`, as the node's crates do where all is built together.
const NUMBER: &str = "$serde_json::private::Number";

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let (mut fields, mut names) = (Vec::new(), std::collections::HashSet::new());
        while let Some((name, value)) = map.next_entry::<String, Json>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom("a field is there twice"));
            }
            fields.push((name, value));
        }
        match fields.as_slice() {
            [(name, Json::String(text))] if name == NUMBER => {
                text.parse().map(Json::Number).map_err(A::Error::custom)
            }
            _ => Ok(Json::Object(fields)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_fields_stays() {
        for text in [r#"{"b":1,"a":[true,null,{"z":"\"","y":-1.5}]}"#, "[]", "{}", "18446744073709551615"] {
            assert_eq!(serde_json::from_str::<Json>(text).unwrap().to_string(), text);
        }
        assert!(serde_json::from_str::<Json>(r#"{"a":1,"a":2}"#).is_err());
        let deep = "[".repeat(100_000);
        assert!(serde_json::from_str::<Json>(&deep).is_err());
    }

    #[test]
    fn every_text_can_be_changed() {
        let json: Json = serde_json::from_str(r#"{"a":["b",{"c":"d"}],"e":1}"#).unwrap();
        assert_eq!(json.map_texts(&|text| text.to_uppercase()).to_string(), r#"{"A":["B",{"C":"D"}],"E":1}"#);
    }
}
