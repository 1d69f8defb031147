//! `poq watch`: the events of the pallet as they come.

use crate::{
    amount::Amount,
    failure::{Failure, Outcome},
    names::Names,
    parameters, render, sync,
};
use poq_client::{types::chain::proof_of_quality::events::ParametersSet, Client, Error, PALLET};
use serde_json::{json, Map, Value as Json};
use std::fmt::Debug;
use subxt::{
    ext::scale_value::{Composite, Primitive, Value, ValueDef},
    utils::AccountId32,
};

/// Fields of events that hold accounts.
const ACCOUNTS: [&str; 6] = ["operator", "operators", "requester", "who", "worker", "auditors"];

/// Fields of events that hold money.
const AMOUNTS: [&str; 7] = ["amount", "budget", "paid", "fee", "refund", "min_stake", "absence_slash"];

/// Fields of events that hold parts per million.
const PARTS: [&str; 4] = ["quality", "error", "truth", "outcome"];

/// Fields of events that hold text.
const TEXTS: [&str; 1] = ["reference"];

/// Fields of events that hold lists, also if there is only one item.
const LISTS: [&str; 4] = ["operators", "models", "truth", "auditors"];

/// Characters of a hash shown to people.
const HASH_CHARACTERS: usize = 12;

/// `poq watch`.
pub async fn run(client: &Client, as_json: bool) -> Result<Outcome, Failure> {
    let names = Names::load(client, &client.best().await?).await?;
    sync::warn(client, "events come late, or from blocks of long ago").await;
    let mut blocks = client.best_blocks().await?;
    loop {
        let at = blocks.next().await?;
        for event in at.events().await?.iter() {
            let event = event.map_err(Error::of)?;
            if event.pallet_name() != PALLET {
                continue;
            }
            let name = event.event_name();
            let fields = if name == "ParametersSet" {
                // Its fields have names that mean something else in other events.
                let event: ParametersSet = event.decode_fields_unchecked_as().map_err(Error::of)?;
                json!({ "parameters": parameters::Record(event.parameters) })
            } else {
                let fields: Composite<()> = event.decode_fields_unchecked_as().map_err(Error::of)?;
                composite(&fields, "")
            };
            if as_json {
                let line = json!({ "block": at.number(), "event": name, "fields": fields });
                render::line(line.to_string())?;
            } else {
                render::line(format!("{:>6} {name:20} {}", at.number(), plain(&fields, &names)))?;
            }
        }
    }
}

/// Fields as JSON; `name` is that of the whole field, because the type of an account is lost.
fn composite<T: Debug>(fields: &Composite<T>, name: &str) -> Json {
    match fields {
        Composite::Named(fields) => Json::Object(
            fields.iter().map(|(name, field)| (name.clone(), named(field, name))).collect::<Map<_, _>>(),
        ),
        Composite::Unnamed(fields) => {
            if let Some(text) = bytes(fields).filter(|_| TEXTS.contains(&name)) {
                return Json::String(String::from_utf8_lossy(&text).into_owned());
            }
            // At least 32 of them: shorter lists of small numbers are just that.
            if let Some(bytes) = bytes(fields).filter(|bytes| bytes.len() >= 32) {
                return match <[u8; 32]>::try_from(bytes.as_slice()) {
                    Ok(account) if ACCOUNTS.contains(&name) => Json::String(AccountId32(account).to_string()),
                    _ => Json::String(format!("0x{}", hex::encode(bytes))),
                };
            }
            match fields.as_slice() {
                // A wrapper adds nothing.
                [one] => value(one, name),
                many => many.iter().map(|field| value(field, name)).collect(),
            }
        }
    }
}

fn named<T: Debug>(field: &Value<T>, name: &str) -> Json {
    match value(field, name) {
        list @ Json::Array(_) => list,
        one if LISTS.contains(&name) => Json::Array(vec![one]),
        other => other,
    }
}

fn bytes<T>(fields: &[Value<T>]) -> Option<Vec<u8>> {
    fields
        .iter()
        .map(|field| match field.value {
            ValueDef::Primitive(Primitive::U128(byte)) => u8::try_from(byte).ok(),
            _ => None,
        })
        .collect()
}

fn value<T: Debug>(field: &Value<T>, name: &str) -> Json {
    match &field.value {
        ValueDef::Composite(fields) => composite(fields, name),
        ValueDef::Variant(variant) if variant.values.is_empty() => Json::String(variant.name.clone()),
        ValueDef::Variant(variant) => json!({ (variant.name.as_str()): composite(&variant.values, name) }),
        ValueDef::Primitive(Primitive::U128(amount)) if AMOUNTS.contains(&name) => {
            Json::String(amount.to_string())
        }
        ValueDef::Primitive(Primitive::U128(parts)) if PARTS.contains(&name) => {
            Json::from(u32::try_from(*parts).map_or(f64::NAN, |parts| f64::from(parts) / 1e6))
        }
        ValueDef::Primitive(Primitive::U128(number)) => {
            u64::try_from(*number).map_or_else(|_| Json::String(number.to_string()), Json::from)
        }
        ValueDef::Primitive(Primitive::Bool(flag)) => Json::Bool(*flag),
        ValueDef::Primitive(Primitive::String(text)) => Json::String(text.clone()),
        other => Json::String(format!("{other:?}")),
    }
}

/// Fields on one line, the request first: `request 3, operator operator-1, paid 0.1 POQ`.
fn plain(fields: &Json, names: &Names) -> String {
    let Json::Object(map) = fields else { return plain_field("", fields, names) };
    let (request, others): (Vec<_>, Vec<_>) = map.iter().partition(|(name, _)| *name == "request");
    let words = request
        .iter()
        .chain(&others)
        .map(|(name, value)| format!("{name} {}", plain_field(name, value, names)));
    words.collect::<Vec<_>>().join(", ")
}

fn plain_field(name: &str, value: &Json, names: &Names) -> String {
    match value {
        Json::String(text) if AMOUNTS.contains(&name) => {
            text.parse().map_or_else(|_| text.clone(), |units| Amount(units).to_string())
        }
        Json::String(text) if ACCOUNTS.contains(&name) => {
            text.parse().map_or_else(|_| text.clone(), |account| names.account(&account))
        }
        Json::Number(number) if PARTS.contains(&name) => {
            number.as_f64().map_or_else(|| number.to_string(), |number| format!("{number:.3}"))
        }
        Json::String(text) if TEXTS.contains(&name) => format!("\"{}\"", render::excerpt(text, 60)),
        Json::String(text) if text.starts_with("0x") => render::excerpt(text, HASH_CHARACTERS),
        Json::String(text) => render::printable(text),
        Json::Array(items) => {
            items.iter().map(|item| plain_field(name, item, names)).collect::<Vec<_>>().join(" ")
        }
        Json::Object(map) => match map.iter().next().filter(|(key, _)| is_variant(map, key)) {
            Some((variant, inner)) => format!("{variant} {}", plain_field(name, inner, names)),
            None => format!("({})", plain(value, names)),
        },
        other => other.to_string(),
    }
}

/// Variants are called in capitals, fields are not.
fn is_variant(map: &Map<String, Json>, key: &str) -> bool {
    map.len() == 1 && key.starts_with(char::is_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_hashes_and_money_are_told_apart_by_name() {
        let account =
            || Value::unnamed_composite([Value::unnamed_composite((0..32).map(|_| Value::u128(1)))]);
        let fields = Composite::named([
            ("request".to_owned(), Value::u128(3)),
            ("operator".to_owned(), account()),
            ("model".to_owned(), account()),
            ("paid".to_owned(), Value::u128(1_500_000_000_000)),
            ("operators".to_owned(), Value::unnamed_composite([account()])),
            ("work".to_owned(), Value::unnamed_variant("Revealed", [])),
            ("phase".to_owned(), Value::named_variant("Scoring", [("until", Value::u128(9))])),
        ]);
        let json = composite(&fields, "");
        assert_eq!(json["request"], 3);
        assert_eq!(json["operator"], AccountId32([1; 32]).to_string());
        assert_eq!(json["operators"], json!([AccountId32([1; 32]).to_string()]));
        assert_eq!(json["model"], format!("0x{}", "01".repeat(32)));
        assert_eq!(json["paid"], "1500000000000");
        assert_eq!(json["work"], "Revealed");
        let line = plain(&json, &Names::default());
        assert!(line.starts_with("request 3, "), "{line}");
        assert!(line.contains("paid 1.5 POQ, phase Scoring (until 9), work Revealed"), "{line}");
    }

    #[test]
    fn a_capacity_and_a_list_of_auditors_read_as_what_they_are() {
        let workload = [("tokens", Value::u128(4_096)), ("pairs", Value::u128(64))];
        let fields = Composite::named([("capacity".to_owned(), Value::named_composite(workload))]);
        let json = composite(&fields, "");
        assert_eq!(json, json!({ "capacity": { "tokens": 4096, "pairs": 64 } }));
        assert_eq!(plain(&json, &Names::default()), "capacity (pairs 64, tokens 4096)");

        let account = Value::unnamed_composite([Value::unnamed_composite((0..32).map(|_| Value::u128(1)))]);
        let list = Value::unnamed_composite([Value::unnamed_composite([account])]);
        let json = composite(&Composite::named([("auditors".to_owned(), list)]), "");
        assert_eq!(json, json!({ "auditors": [AccountId32([1; 32]).to_string()] }));
    }

    #[test]
    fn an_audit_reads_as_text_and_parts() {
        let wrapped = |parts| Value::unnamed_composite([Value::u128(parts)]);
        let list = |items: Vec<Value<()>>| Value::unnamed_composite([Value::unnamed_composite(items)]);
        let opened = Composite::named([
            ("request".to_owned(), Value::u128(3)),
            ("reference".to_owned(), list(b"4".map(|byte| Value::u128(byte.into())).to_vec())),
            ("truth".to_owned(), list(vec![wrapped(900_000)])),
        ]);
        let json = composite(&opened, "");
        assert_eq!(json, json!({ "request": 3, "reference": "4", "truth": [0.9] }));
        assert_eq!(plain(&json, &Names::default()), "request 3, reference \"4\", truth 0.900");
        let slashed = Composite::named([(
            "reason".to_owned(),
            Value::named_variant("GrossError", [("error", wrapped(470_000))]),
        )]);
        let json = composite(&slashed, "");
        assert_eq!(json, json!({ "reason": { "GrossError": { "error": 0.47 } } }));
        assert_eq!(plain(&json, &Names::default()), "reason GrossError (error 0.470)");
    }
}
