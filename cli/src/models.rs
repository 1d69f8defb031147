//! `poq models`: prices, windows, and the operators that serve them.

use crate::{
    amount::{factor, percent, Amount},
    failure::{Failure, Outcome},
    names::Names,
    render::{self, text},
    table::{Column, Table},
};
use poq_client::{
    types::{ModelKind, ModelView, Reward},
    Client,
};
use serde_json::{json, Value};

/// `poq models`.
pub async fn run(client: &Client, as_json: bool) -> Result<Outcome, Failure> {
    let at = client.best().await?;
    if as_json {
        let models = at.models().await?;
        render::json(&models.iter().map(to_json).collect())?;
        return Ok(Outcome::Done);
    }
    let names = Names::load(client, &at).await?;
    let mut table = Table::new(&[
        Column::text("Model"),
        Column::text("Kind"),
        Column::number("Price"),
        Column::number("Windows").optional(),
        Column::number("Context").optional(),
        Column::text("Reward").optional(),
        Column::number("Spread").optional(),
        Column::words("Served by").optional(),
        Column::id("SHA-256").optional(),
    ]);
    for model in &names.models {
        table.row(row(model, &names));
    }
    table.print()?;
    render::prose("A generator's unit is a token, an evaluator's a response. Windows: blocks to do the work + to reveal it.")?;
    render::prose("now +: the estimate of a request is so much above the price while operators are busy; less is taken, and waits.")?;
    render::prose("Context: tokens that question and answer may take together; each byte of the question counts as one.")?;
    render::prose("Reward: the part of its price or share that work earns, by its quality or agreement q and its latency l, both 0 to 1.")?;
    render::prose("Spread: how far apart those who score with an evaluator usually are.")?;
    Ok(Outcome::Done)
}

fn row(model: &ModelView, names: &Names) -> [String; 9] {
    let kind = kind(model.kind);
    let mut price = format!("{} + {} a unit", Amount(model.price.base), Amount(model.price.per_unit));
    if model.surcharge > 0 {
        price.push_str(&format!(", now +{}", percent(model.surcharge)));
    }
    let roster: Vec<_> = model.roster.iter().map(|candidate| names.account(&candidate.operator)).collect();
    [
        render::printable(&text(&model.name)),
        if model.retired { format!("{kind}, retired") } else { kind.to_owned() },
        price,
        format!("{} + {}", model.windows.commit, model.windows.reveal),
        if model.context == 0 { String::new() } else { format!("{} tokens", model.context) },
        reward(&model.reward),
        model.spread.map(percent).unwrap_or_default(),
        if roster.is_empty() { "nobody".to_owned() } else { roster.join(", ") },
        hex::encode(model.id),
    ]
}

fn reward(reward: &Reward) -> String {
    let quality = match factor(reward.alpha).as_str() {
        "1" => "q".to_owned(),
        alpha => format!("{alpha} q"),
    };
    match factor(reward.beta).as_str() {
        "0" => quality,
        "1" => format!("{quality} - l"),
        beta => format!("{quality} - {beta} l"),
    }
}

fn kind(kind: ModelKind) -> &'static str {
    match kind {
        ModelKind::Generator => "generator",
        ModelKind::Evaluator => "evaluator",
    }
}

fn to_json(model: &ModelView) -> Value {
    let roster: Vec<_> = model
        .roster
        .iter()
        .map(|candidate| json!({ "operator": candidate.operator.to_string(), "weight": candidate.weight }))
        .collect();
    json!({
        "id": hex::encode(model.id),
        "name": text(&model.name),
        "kind": kind(model.kind),
        "price": { "base": model.price.base.to_string(), "per_unit": model.price.per_unit.to_string() },
        "surcharge": f64::from(model.surcharge) / 1e6,
        "windows": { "commit": model.windows.commit, "reveal": model.windows.reveal },
        "reward": { "alpha": model.reward.alpha as f64 / 1e9, "beta": model.reward.beta as f64 / 1e9 },
        "context": (model.context > 0).then_some(model.context),
        "spread": model.spread.map(|spread| f64::from(spread) / 1e6),
        "noise": f64::from(model.noise) / 1e6,
        "retired": model.retired,
        "roster": roster,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reward_reads_like_a_formula() {
        let text = |alpha, beta| reward(&Reward { alpha, beta });
        assert_eq!(text(1_000_000_000, 0), "q");
        assert_eq!(text(1_500_000_000, 250_000_000), "1.5 q - 0.25 l");
        assert_eq!(text(1_000_000_000, 1_000_000_000), "q - l");
    }
}
