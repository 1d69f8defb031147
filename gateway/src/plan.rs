//! From a caller's wish to the terms of a request: models, numbers, tokens.

use crate::{
    catalogue::{name, Limits, Models},
    order::{Hash, Terms},
    refusal::{Kind, Refusal},
};
use poq_client::types::{ModelKind, ModelView};

/// Inference nodes if nothing is said.
const RESPONDERS: usize = 2;

/// Quality validators if nothing is said, where the chain does not want more.
const COMMITTEE: usize = 5;

/// Tokens of an answer if nothing is said.
const TOKENS: u32 = 256;

/// Name of the model that the gateway picks.
pub const AUTO: &str = "auto";

/// Distance in quality, in parts per million, within which `auto` goes by the price.
const CLOSE: u32 = 50_000;

/// Wishes of a caller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wish {
    /// Models by name or id; `auto` alone lets the gateway pick.
    pub models: Vec<String>,
    /// An evaluator by name or id.
    pub evaluator: Option<String>,
    /// Length of the prompt, in bytes.
    pub prompt: usize,
    /// Most tokens of the answer.
    pub max_tokens: Option<u32>,
    /// Temperature in thousandths.
    pub temperature_milli: u32,
    /// Seed.
    pub seed: u32,
    /// Inference nodes.
    pub responders: Option<u32>,
    /// Quality validators.
    pub committee: Option<u32>,
    /// In parts per million.
    pub min_quality: u32,
}

/// The terms of a wish, without their budget.
pub fn terms(
    wish: &Wish,
    models: &Models,
    limits: &Limits,
    allowed: &[String],
    mark: [u8; 32],
) -> Result<Terms, Refusal> {
    if wish.prompt > limits.prompt as usize {
        return Err(Refusal::too_long(format!(
            "the prompt is too long: it has {} bytes, and the chain takes {}; shorten the conversation",
            wish.prompt, limits.prompt
        )));
    }
    let generators = generators(wish, models, limits, allowed)?;
    let max_tokens = tokens(wish, &generators, limits)?;
    let ids: Vec<[u8; 32]> = generators.iter().map(|model| model.id).collect();
    let evaluator = evaluator(wish, models)?;
    let (nodes, scorers) = (models.serving(&ids), models.serving(&[evaluator]));
    let responders = match wish.responders {
        Some(wanted) => within(wanted, 1, limits.responders, "poq.responders")?,
        None => u32::try_from(nodes.len().clamp(1, RESPONDERS)).unwrap_or(1),
    };
    if nodes.len() < responders as usize {
        return Err(unserved(format!(
            "{responders} operators should answer, and {} can be drawn now; ask fewer with poq.responders, or another model",
            nodes.len()
        )));
    }
    // Operators that serve both may be drawn to answer and are then missing in the committee.
    let both = nodes.intersection(&scorers).count().min(responders as usize);
    let eligible = scorers.len().saturating_sub(both);
    let committee = match wish.committee {
        Some(wanted) => within(wanted, limits.least_committee, limits.committee, "poq.committee")?,
        None => u32::try_from(eligible.min(COMMITTEE)).unwrap_or(1).max(limits.least_committee),
    };
    if eligible < committee as usize {
        return Err(unserved(format!(
            "{committee} quality validators should score, and {eligible} can be drawn now; ask fewer with poq.committee, or try again"
        )));
    }
    Ok(Terms {
        generators: ids.into_iter().map(Hash).collect(),
        evaluator: Hash(evaluator),
        max_tokens,
        temperature_milli: wish.temperature_milli,
        seed: wish.seed,
        responders,
        committee,
        min_quality: wish.min_quality,
        budget: 0,
        mark: Hash(mark),
    })
}

fn within(wanted: u32, least: u32, most: u32, field: &str) -> Result<u32, Refusal> {
    if (least..=most).contains(&wanted) {
        return Ok(wanted);
    }
    Err(Refusal::invalid(format!("'{field}' is {wanted}; the chain takes {least} to {most}")).about(field))
}

fn unserved(message: String) -> Refusal {
    Refusal::new(Kind::Unavailable, "not_enough_operators", message).after(30)
}

/// Whether a key with these models may ask this one.
pub fn may(allowed: &[String], model: &ModelView) -> bool {
    allowed.is_empty() || allowed.iter().any(|wanted| is(model, wanted))
}

/// Whether `wanted` names this model, by name or id.
pub fn is(model: &ModelView, wanted: &str) -> bool {
    model.name == wanted.as_bytes() || hex::encode(model.id) == wanted.strip_prefix("0x").unwrap_or(wanted)
}

fn generators<'a>(
    wish: &Wish,
    models: &'a Models,
    limits: &Limits,
    allowed: &[String],
) -> Result<Vec<&'a ModelView>, Refusal> {
    if wish.models.iter().any(|model| model == AUTO) {
        return pick(wish, models, limits, allowed);
    }
    let mut found: Vec<&ModelView> = Vec::new();
    for wanted in &wish.models {
        let model = one(wanted, ModelKind::Generator, models).map_err(|refusal| refusal.about("model"))?;
        if !may(allowed, model) {
            return Err(Refusal::new(
                Kind::Forbidden,
                "model_not_allowed",
                format!("this key may not ask '{wanted}'; it may ask {}", allowed.join(", ")),
            )
            .about("model"));
        }
        if !found.iter().any(|known| known.id == model.id) {
            found.push(model);
        }
    }
    if found.is_empty() || found.len() > limits.models as usize {
        return Err(Refusal::invalid(format!(
            "'model' names {} models; name one, up to {}, or '{AUTO}'",
            found.len(),
            limits.models
        ))
        .about("model"));
    }
    Ok(found)
}

/// The model of a kind that `wanted` names.
fn one<'a>(wanted: &str, kind: ModelKind, models: &'a Models) -> Result<&'a ModelView, Refusal> {
    let named: Vec<_> = models.all.iter().filter(|model| is(model, wanted) && model.kind == kind).collect();
    let usable: Vec<_> = named.iter().filter(|model| !model.retired).collect();
    match (usable.as_slice(), named.as_slice()) {
        ([model], _) if model.roster.is_empty() => {
            Err(unserved(format!("no operator serves '{wanted}' now; ask another model, or try again")))
        }
        ([model], _) => Ok(model),
        ([_, _, ..], _) => {
            Err(Refusal::invalid(format!("more than one model is called '{wanted}'; name it by its id")))
        }
        ([], [_, ..]) => Err(unknown(format!("'{wanted}' is retired"), kind, models)),
        ([], []) => Err(unknown(format!("there is no model '{wanted}'"), kind, models)),
    }
}

fn unknown(what: String, kind: ModelKind, models: &Models) -> Refusal {
    let others: Vec<String> = models.available(kind).take(8).map(name).collect();
    let others = if others.is_empty() {
        "none is served now".to_owned()
    } else {
        format!("there are {}", others.join(", "))
    };
    let auto = if kind == ModelKind::Generator { format!(", and '{AUTO}'") } else { String::new() };
    Refusal::new(Kind::NotFound, "model_not_found", format!("{what}; {others}{auto}"))
}

/// The model that is picked: of those whose quality is within 0.05 of the best, the cheapest. Where no quality is known, all are asked, and
/// the best answer shows.
fn pick<'a>(
    wish: &Wish,
    models: &'a Models,
    limits: &Limits,
    allowed: &[String],
) -> Result<Vec<&'a ModelView>, Refusal> {
    let all: Vec<&ModelView> =
        models.available(ModelKind::Generator).filter(|model| may(allowed, model)).collect();
    if all.is_empty() {
        return Err(unserved("no operator serves a model that this key may ask; try again later".into()));
    }
    let wanted = wish.max_tokens.unwrap_or(TOKENS).clamp(1, limits.tokens);
    let fitting: Vec<&ModelView> = all.iter().copied().filter(|model| room(wish, model) > 0).collect();
    if fitting.is_empty() {
        let most = all.iter().map(|model| model.context).max().unwrap_or(0);
        return Err(no_room(wish, most));
    }
    // A model that has less room than the answer may need is asked only if none has more.
    let roomy: Vec<&ModelView> =
        fitting.iter().copied().filter(|model| room(wish, model) >= wanted).collect();
    let fitting = if roomy.is_empty() { fitting } else { roomy };
    let best = fitting.iter().filter_map(|model| models.quality_of(model)).max();
    let Some(best) = best else { return Ok(fitting.into_iter().take(limits.models as usize).collect()) };
    let price = |model: &ModelView| {
        let units = u128::from(wanted.min(room(wish, model)));
        let price = model.price.base.saturating_add(model.price.per_unit.saturating_mul(units));
        price.saturating_add(price.saturating_mul(model.surcharge.into()) / 1_000_000)
    };
    let close = fitting.into_iter().filter(|model| {
        models.quality_of(model).is_some_and(|quality| quality.saturating_add(CLOSE) >= best)
    });
    Ok(close
        .min_by_key(|model| (price(model), std::cmp::Reverse(models.quality_of(model)), model.name.clone()))
        .into_iter()
        .collect())
}

/// Tokens that a model's context leaves for the answer: none of the prompt is shorter than a byte.
fn room(wish: &Wish, model: &ModelView) -> u32 {
    model.context.saturating_sub(u32::try_from(wish.prompt).unwrap_or(u32::MAX))
}

fn no_room(wish: &Wish, context: u32) -> Refusal {
    Refusal::too_long(format!(
        "This model's maximum context length is {context} tokens, of which each byte counts as one, and the conversation has {} bytes; shorten it",
        wish.prompt
    ))
}

/// Most tokens of the answer: as many as are wanted, and as the contexts of all models leave.
fn tokens(wish: &Wish, generators: &[&ModelView], limits: &Limits) -> Result<u32, Refusal> {
    let context = generators.iter().map(|model| model.context).min().unwrap_or(0);
    let room = generators.iter().map(|model| room(wish, model)).min().unwrap_or(0);
    if room == 0 {
        return Err(no_room(wish, context));
    }
    Ok(wish.max_tokens.unwrap_or(TOKENS).max(1).min(room).min(limits.tokens))
}

fn evaluator(wish: &Wish, models: &Models) -> Result<[u8; 32], Refusal> {
    match &wish.evaluator {
        Some(wanted) => Ok(one(wanted, ModelKind::Evaluator, models)
            .map_err(|refusal| refusal.about("poq.evaluator"))?
            .id),
        None => models
            .available(ModelKind::Evaluator)
            .map(|model| model.id)
            .next()
            .ok_or_else(|| unserved("no operator serves an evaluator now; try again later".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poq_client::types::{CandidateView, Price, Reward, Windows};
    use subxt::utils::AccountId32;

    const LIMITS: Limits =
        Limits { prompt: 8192, tokens: 4096, models: 8, responders: 8, least_committee: 3, committee: 15 };

    fn model(id: u8, kind: ModelKind, name: &str, price: u128, operators: &[u8]) -> ModelView {
        ModelView {
            id: [id; 32],
            kind,
            name: name.into(),
            price: Price { base: price, per_unit: 0 },
            surcharge: 0,
            windows: Windows { commit: 1, reveal: 1 },
            reward: Reward { alpha: 1_000_000_000, beta: 0 },
            context: 512,
            spread: None,
            noise: 0,
            retired: false,
            roster: operators
                .iter()
                .map(|operator| CandidateView { operator: AccountId32([*operator; 32]), weight: 1 })
                .collect(),
        }
    }

    fn models() -> Models {
        let all = vec![
            model(1, ModelKind::Generator, "cheap", 10, &[1]),
            model(2, ModelKind::Generator, "dear", 20, &[2]),
            model(3, ModelKind::Generator, "dearest", 30, &[3]),
            model(4, ModelKind::Evaluator, "judge", 1, &[4, 5, 6, 7, 8, 9]),
            model(5, ModelKind::Generator, "idle", 1, &[]),
        ];
        Models { all, ..Models::default() }
    }

    fn wish(names: &[&str]) -> Wish {
        Wish { models: names.iter().map(|name| (*name).to_owned()).collect(), prompt: 12, ..Wish::default() }
    }

    fn picked(wish: &Wish, models: &Models, allowed: &[String]) -> Vec<u8> {
        let terms = terms(wish, models, &LIMITS, allowed, [0; 32]).unwrap();
        terms.generators.iter().map(|id| id.0[0]).collect()
    }

    fn refused(wish: &Wish, allowed: &[String]) -> Refusal {
        terms(wish, &models(), &LIMITS, allowed, [0; 32]).unwrap_err()
    }

    #[test]
    fn a_model_is_named_by_name_or_id_and_several_are_asked_together() {
        let models = models();
        assert_eq!(picked(&wish(&["dear"]), &models, &[]), [2]);
        assert_eq!(picked(&wish(&[&"02".repeat(32)]), &models, &[]), [2]);
        assert_eq!(picked(&wish(&["dear", "cheap", "dear"]), &models, &[]), [2, 1]);
        let terms = terms(&wish(&["dear", "cheap"]), &models, &LIMITS, &[], [0; 32]).unwrap();
        assert_eq!(
            (terms.responders, terms.committee, terms.max_tokens, terms.evaluator.0[0]),
            (2, 5, 256, 4)
        );
    }

    #[test]
    fn auto_goes_by_quality_and_then_by_price() {
        let mut models = models();
        assert_eq!(picked(&wish(&["auto"]), &models, &[]), [1, 2, 3], "nothing is known: all are asked");
        models.quality = [([1; 32], 500_000), ([2; 32], 900_000), ([3; 32], 940_000)].into();
        assert_eq!(picked(&wish(&["auto"]), &models, &[]), [2], "good enough, and cheaper");
        models.quality.insert([3; 32], 960_000);
        assert_eq!(picked(&wish(&["auto"]), &models, &[]), [3], "better by more than 0.05");
        assert_eq!(picked(&wish(&["auto"]), &models, &["cheap".into()]), [1], "of those the key may ask");
        models.all[2].context = 12;
        assert_eq!(picked(&wish(&["auto"]), &models, &[]), [2], "the best has no room");
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let unknown = refused(&wish(&["gpt"]), &[]);
        assert_eq!(
            (unknown.kind, unknown.code, unknown.param.as_deref()),
            (Kind::NotFound, "model_not_found", Some("model"))
        );
        assert!(unknown.message.contains("cheap, dear, dearest, and 'auto'"), "{}", unknown.message);
        assert_eq!(refused(&wish(&["judge"]), &[]).code, "model_not_found", "an evaluator answers nothing");
        assert_eq!(refused(&wish(&["idle"]), &[]).code, "not_enough_operators");
        assert_eq!(refused(&wish(&["dear"]), &["cheap".into()]).code, "model_not_allowed");
        assert_eq!(refused(&Wish { prompt: 9000, ..wish(&["dear"]) }, &[]).code, "context_length_exceeded");
        assert_eq!(refused(&Wish { prompt: 512, ..wish(&["dear"]) }, &[]).code, "context_length_exceeded");
        assert_eq!(refused(&Wish { prompt: 512, ..wish(&["auto"]) }, &[]).code, "context_length_exceeded");
        let many = refused(&Wish { responders: Some(99), ..wish(&["dear"]) }, &[]);
        assert_eq!((many.code, many.param.as_deref()), ("invalid_request", Some("poq.responders")));
        assert_eq!(
            refused(&Wish { responders: Some(2), ..wish(&["dear"]) }, &[]).code,
            "not_enough_operators"
        );
        assert_eq!(
            refused(&Wish { committee: Some(7), ..wish(&["dear"]) }, &[]).code,
            "not_enough_operators"
        );
        assert_eq!(refused(&Wish { committee: Some(1), ..wish(&["dear"]) }, &[]).code, "invalid_request");
    }

    #[test]
    fn an_answer_is_as_long_as_the_context_leaves() {
        let tokens = |wanted| {
            let wish = Wish { max_tokens: wanted, prompt: 500, ..wish(&["dear"]) };
            terms(&wish, &models(), &LIMITS, &[], [0; 32]).unwrap().max_tokens
        };
        assert_eq!((tokens(None), tokens(Some(5)), tokens(Some(9999)), tokens(Some(0))), (12, 5, 12, 1));
    }
}
