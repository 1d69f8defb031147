//! The chain at its best block: models, those who serve them, limits, the account's balance.

use poq_client::{
    types::{chain::constants, ModelKind, ModelView, Parts, Standing},
    At, Error,
};
use std::collections::{HashMap, HashSet};
use subxt::utils::AccountId32;

/// Blocks after which the standing of operators is read anew.
const STANDING_BLOCKS: u64 = 30;

/// Limits of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest prompt, in bytes.
    pub prompt: u32,
    /// Most tokens of an answer.
    pub tokens: u32,
    /// Most generators of a request.
    pub models: u32,
    /// Most inference nodes of a request.
    pub responders: u32,
    /// Fewest quality validators of a request.
    pub least_committee: u32,
    /// Most quality validators of a request.
    pub committee: u32,
}

/// The chain at one block, as far as orders need it.
#[derive(Clone)]
pub struct Catalogue {
    /// The block; for questions such as the estimate of a budget.
    pub at: At,
    /// The models.
    pub models: Models,
    /// Limits.
    pub limits: Limits,
    /// Balance of the gateway's account that is on no hold, in units.
    pub spendable: u128,
}

/// The models of the registry.
#[derive(Clone, Debug, Default)]
pub struct Models {
    /// The models, by name.
    pub all: Vec<ModelView>,
    /// Average consensus score of each operator's answers, as the chain remembers it; of those alone that have answered.
    pub quality: HashMap<[u8; 32], Parts>,
    /// The gateway's account, which the chain never draws for its own requests.
    pub own: Option<AccountId32>,
    /// Block at which the qualities were read.
    pub read_at: u64,
}

impl Catalogue {
    /// Reads the chain at `at`. What changes seldom is taken from `before`.
    pub async fn read(at: At, account: AccountId32, before: Option<&Self>) -> Result<Self, Error> {
        let all = at.models().await?;
        let parameters = at.parameters().await?;
        let spendable = at.balance(account).await?.spendable;
        let address = constants().proof_of_quality();
        let limits = Limits {
            prompt: at.constant(address.max_prompt_length())?,
            tokens: at.constant(address.max_tokens())?,
            models: at.constant(address.max_models_per_request())?,
            responders: at.constant(address.max_responders())?,
            least_committee: parameters.min_committee,
            committee: at.constant(address.max_committee())?,
        };
        let known = before.map(|before| &before.models);
        let is_fresh = |known: &&Models| {
            at.number() >= known.read_at && at.number() < known.read_at.saturating_add(STANDING_BLOCKS)
        };
        let (quality, read_at) = match known.filter(is_fresh) {
            Some(known) => (known.quality.clone(), known.read_at),
            None => (qualities(&at, &all, &parameters.floor).await?, at.number()),
        };
        let models = Models { all, quality, own: Some(account), read_at };
        Ok(Self { at, models, limits, spendable })
    }
}

/// Quality of the operators that serve a generator.
async fn qualities(
    at: &At,
    models: &[ModelView],
    floor: &Standing,
) -> Result<HashMap<[u8; 32], Parts>, Error> {
    let generators = models.iter().filter(|model| model.kind == ModelKind::Generator);
    let operators: HashSet<[u8; 32]> =
        generators.flat_map(|model| &model.roster).map(|candidate| candidate.operator.0).collect();
    let mut found = HashMap::new();
    for operator in operators {
        let Some(view) = at.operator(AccountId32(operator)).await? else { continue };
        // An operator without an answer yet has the standing that all begin with.
        if view.completed > 0 && view.standing.quality != floor.quality {
            found.insert(operator, view.standing.quality);
        }
    }
    Ok(found)
}

impl Models {
    /// Name of a model, or its id if it has none.
    pub fn name(&self, id: &[u8; 32]) -> String {
        self.all.iter().find(|model| model.id == *id).map_or_else(|| hex::encode(id), name)
    }

    /// The models of a kind that can be asked now.
    pub fn available(&self, kind: ModelKind) -> impl Iterator<Item = &ModelView> {
        self.all.iter().filter(move |model| model.kind == kind && !model.retired && !model.roster.is_empty())
    }

    /// Operators that can be drawn for these models.
    pub fn serving(&self, ids: &[[u8; 32]]) -> HashSet<[u8; 32]> {
        let models = self.all.iter().filter(|model| ids.contains(&model.id));
        let operators = models.flat_map(|model| &model.roster).map(|candidate| candidate.operator);
        operators.filter(|operator| Some(operator) != self.own.as_ref()).map(|operator| operator.0).collect()
    }

    /// Average quality of the operators that serve a generator, in parts per million; `None` if none of them has answered yet.
    pub fn quality_of(&self, model: &ModelView) -> Option<Parts> {
        let known: Vec<u64> = model
            .roster
            .iter()
            .filter_map(|candidate| self.quality.get(&candidate.operator.0))
            .map(|quality| u64::from(*quality))
            .collect();
        let count = u64::try_from(known.len()).ok().filter(|count| *count > 0)?;
        Parts::try_from(known.iter().sum::<u64>() / count).ok()
    }
}

/// Name of a model.
pub fn name(model: &ModelView) -> String {
    String::from_utf8_lossy(&model.name).into_owned()
}
