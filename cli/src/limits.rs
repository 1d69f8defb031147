//! Numbers in the chain's refusals: the texts of its errors name limits, and this says what they are on this chain.

use crate::{amount::factor, failure::Failure, parameters};
use poq_client::{types::Parameters, At, Client, LANE, PALLET};
use subxt::{
    ext::scale_value::{Composite, Primitive, Value, ValueDef},
    metadata::Metadata,
};

/// The type of constants that are factors in units of 10^-9.
const FACTOR: &str = "FixedU64";

/// A refusal with the value behind each constant and economic parameter that its text names.
pub async fn complete(client: &Client, failure: Failure) -> Failure {
    let Failure::Refused { name, meaning } = &failure else { return failure };
    if !meaning.contains('`') {
        return failure;
    }
    let Ok(at) = client.best().await else { return failure };
    let parameters = at.parameters().await.ok();
    Failure::refused(name, with_values(meaning, |name| value(&at, parameters.as_ref(), name)))
}

/// `text`, with ` = VALUE` after each name in backticks that has a value.
fn with_values(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut parts = text.split('`');
    let mut shown = parts.next().unwrap_or_default().to_owned();
    while let Some(name) = parts.next() {
        shown.push_str(&format!("`{name}"));
        // A backtick without a partner: the text goes on as it is.
        let Some(rest) = parts.next() else { break };
        shown.push('`');
        if let Some(value) = value(name) {
            shown.push_str(&format!(" = {value}"));
        }
        shown.push_str(rest);
    }
    shown
}

fn value(at: &At, parameters: Option<&Parameters>, name: &str) -> Option<String> {
    let shown = parameters.and_then(|parameters| parameters::shown(parameters, name));
    // The texts of errors have the noun after the name.
    let shown = shown.map(|value| value.trim_end_matches(" members").to_owned());
    shown.or_else(|| constant(at, name))
}

/// The constant `name` of one of the pallets, if it is a number.
pub fn constant(at: &At, name: &str) -> Option<String> {
    let constants = at.library().constants();
    let value = [PALLET, LANE].iter().find_map(|pallet| constants.entry((*pallet, name)).ok())?;
    let number = number(&value)?;
    Some(if is_factor(at.metadata(), name) { factor(number) } else { number.to_string() })
}

/// Whether a constant is a factor.
fn is_factor(metadata: &Metadata, name: &str) -> bool {
    let constant = metadata.pallet_by_name(PALLET).and_then(|pallet| pallet.constant_by_name(name));
    let kind = constant.and_then(|constant| metadata.types().resolve(constant.ty()));
    kind.is_some_and(|kind| kind.path.ident().is_some_and(|ident| ident == FACTOR))
}

/// A number, alone or wrapped.
fn number(value: &Value) -> Option<u64> {
    match &value.value {
        ValueDef::Primitive(Primitive::U128(number)) => u64::try_from(*number).ok(),
        ValueDef::Composite(Composite::Unnamed(fields)) => match fields.as_slice() {
            [field] => number(field),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(name: &str) -> Option<String> {
        (name == "MaxTokens").then(|| "4096".to_owned())
    }

    #[test]
    fn a_limit_is_said_with_its_value() {
        let said =
            with_values("`max_tokens` must be 1 to `MaxTokens`, `temperature_milli` at most 2,000.", limit);
        assert_eq!(said, "`max_tokens` must be 1 to `MaxTokens` = 4096, `temperature_milli` at most 2,000.");
    }

    #[test]
    fn no_text_is_lost() {
        for text in ["", "`", "a `b", "a `b` c", "``", "`MaxTokens", "` `MaxTokens`", "a``b```"] {
            let same = with_values(text, |_| None);
            assert_eq!(same, text);
        }
    }
}
