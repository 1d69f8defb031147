//! `GET /v1/models`: the chain's registry, in OpenAI's form, with what the network knows of each model under `poq`.

use super::{App, Caller};
use crate::{
    catalogue::{name, Models},
    plan::{is, may, AUTO},
    refusal::{Kind, Refusal},
};
use axum::{
    extract::{Path, State},
    Json,
};
use poq_client::types::{ModelKind, ModelView};
use serde_json::{json, Value};

/// Owner that models are listed with.
const OWNER: &str = "proof-of-quality";

/// `GET /v1/models`.
pub async fn list(State(app): State<App>, Caller(key): Caller) -> Result<Json<Value>, Refusal> {
    let catalogue = app.desk.chain.catalogue().ok_or_else(Refusal::no_network)?;
    let models = &catalogue.models;
    let allowed = |model: &&ModelView| may(&key.limits.models, model);
    let of = |kind| models.all.iter().filter(move |model| model.kind == kind && !model.retired);
    let generators = of(ModelKind::Generator).filter(allowed).map(|model| to_json(model, models));
    let evaluators: Vec<Value> = of(ModelKind::Evaluator).map(|model| to_json(model, models)).collect();
    let data: Vec<Value> = generators.chain([auto()]).collect();
    Ok(Json(json!({ "object": "list", "data": data, "evaluators": evaluators })))
}

/// `GET /v1/models/{id}`.
pub async fn one(
    State(app): State<App>,
    Caller(key): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    if id == AUTO {
        return Ok(Json(auto()));
    }
    let catalogue = app.desk.chain.catalogue().ok_or_else(Refusal::no_network)?;
    let found = catalogue.models.all.iter().find(|model| is(model, &id) && may(&key.limits.models, model));
    found.map(|model| Json(to_json(model, &catalogue.models))).ok_or_else(|| {
        Refusal::new(
            Kind::NotFound,
            "model_not_found",
            format!("there is no model '{id}'; GET /v1/models lists all"),
        )
        .about("model")
    })
}

fn auto() -> Value {
    json!({
        "id": AUTO,
        "object": "model",
        "created": 0,
        "owned_by": OWNER,
        "poq": { "kind": "generator", "meaning": "the cheapest model within 0.05 of the best quality" },
    })
}

fn to_json(model: &ModelView, models: &Models) -> Value {
    let own = name(model);
    let is_alone = models.all.iter().filter(|other| other.name == model.name).count() == 1;
    let hash = hex::encode(model.id);
    let operators: Vec<String> =
        model.roster.iter().map(|candidate| candidate.operator.to_string()).collect();
    let fraction = |parts: u32| f64::from(parts) / 1e6;
    json!({
        "id": if is_alone && !own.is_empty() { &own } else { &hash },
        "object": "model",
        // The registry does not say when a model came.
        "created": 0,
        "owned_by": OWNER,
        "poq": {
            "id": hash,
            "name": own,
            "kind": match model.kind {
                ModelKind::Generator => "generator",
                ModelKind::Evaluator => "evaluator",
            },
            "price": { "base": model.price.base.to_string(), "per_unit": model.price.per_unit.to_string() },
            "surcharge": fraction(model.surcharge),
            "context": (model.context > 0).then_some(model.context),
            "windows": { "commit": model.windows.commit, "reveal": model.windows.reveal },
            "operators": operators,
            "quality": models.quality_of(model).map(fraction),
            "spread": model.spread.map(fraction),
            "retired": model.retired,
        },
    })
}
