//! Showing the models: prices, windows, who serves them.

use crate::{
    amount::Amount,
    chain::{self, Chain},
    failure::{Failure, Outcome},
    names::Names,
    render,
    types::{text, ModelKind, ModelView},
};
use serde_json::{json, Value};

/// `poq models`.
pub async fn run(chain: &Chain, as_json: bool) -> Result<Outcome, Failure> {
    let at = chain.best().await?;
    if as_json {
        let models = chain::models(&at).await?;
        render::json(&models.iter().map(to_json).collect())?;
        return Ok(Outcome::Done);
    }
    let names = Names::load(chain, &at).await?;
    let mut table = render::table(&["Model", "Kind", ">Price", ">Windows", "Served by", "SHA-256"]);
    for model in &names.models {
        table.add_row(row(model, &names));
    }
    render::line(table.to_string())?;
    render::line("A generator's unit is a token, an evaluator's a response. Windows: blocks to do the work + to show it.")?;
    Ok(Outcome::Done)
}

fn row(model: &ModelView, names: &Names) -> [String; 6] {
    let kind = kind(model.kind);
    let price = format!("{} + {} a unit", Amount(model.price.base), Amount(model.price.per_unit));
    let roster: Vec<_> = model.roster.iter().map(|candidate| names.account(&candidate.operator)).collect();
    [
        render::printable(&text(&model.name)),
        if model.retired { format!("{kind}, retired") } else { kind.to_owned() },
        price,
        format!("{} + {}", model.windows.commit, model.windows.reveal),
        if roster.is_empty() { "nobody".to_owned() } else { roster.join(", ") },
        hex::encode(model.id),
    ]
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
        "windows": { "commit": model.windows.commit, "reveal": model.windows.reveal },
        "retired": model.retired,
        "roster": roster,
    })
}
