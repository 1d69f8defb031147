//! `/v1/models`: the models, in the shape of OpenAI's list with what more is known of them; and how requests name a
//! model.

use super::{
    blocking,
    error::{ApiError, ErrorBody},
    schemas::TokenErrors,
    ApiState,
};
use crate::{
    backends::Backends,
    models::{
        manifest::EvaluatorKind,
        shelf::{Entry, ModelKind},
    },
    pool::{Presence, LOOK_PATIENCE},
    remote::{Health, Remote, RemoteKind},
    text,
};
use axum::{
    extract::{rejection::PathRejection, Path, State},
    http::StatusCode,
    Json,
};
use serde::{Deserialize, Serialize};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// A model and its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModelInfo {
    /// Its name, by which requests can ask for it: the file's or folder's, without the extension.
    pub id: String,
    /// Always `model`.
    pub object: String,
    /// When its file was last written, in seconds since 1970 (UTC); 0 of one that is elsewhere.
    #[schema(minimum = 0)]
    pub created: u64,
    /// Always `proof-of-quality`; clients expect it.
    pub owned_by: String,
    /// The id that jobs ask for it by, 64 lower-case hex digits; `null` if its files are not what they should be.
    #[schema(required)]
    pub sha256: Option<String>,
    /// Kind of the model.
    #[schema(value_type = ModelKindSchema)]
    pub kind: ModelKind,
    /// Whether it is usable.
    pub state: ModelState,
    /// Why it is not; otherwise left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<String>,
    /// Size of its files; 0 of one that is elsewhere.
    #[schema(minimum = 0)]
    pub bytes: u64,
    /// Whether a server elsewhere does its work.
    pub remote: bool,
}

/// Kind of a model.
#[derive(utoipa::ToSchema)]
#[schema(as = ModelKind)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code)] // Only its schema is wanted.
pub enum ModelKindSchema {
    /// Answers conversations.
    Generator,
    /// Scores answers.
    Evaluator,
}

/// Whether a model is usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// On disk; it is loaded when work wants it.
    Available,
    /// Being loaded.
    Loading,
    /// In memory; of one that is elsewhere: its server answers.
    Loaded,
    /// Cannot be read or loaded; of one that is elsewhere: its server does not work.
    Broken,
    /// Its process died too often; it is not tried for a while.
    SetAside,
}

impl ModelInfo {
    fn of(entry: &Entry, backends: &Backends) -> Self {
        let (state, error) = match entry.id.as_deref().map(|id| backends.pool().presence(id)) {
            Err(error) => (ModelState::Broken, Some(error.clone())),
            Ok(Presence::Available) => match backends.pool().fault(entry) {
                Some(fault) => (ModelState::Broken, Some(fault)),
                None => (ModelState::Available, None),
            },
            Ok(Presence::Loading) => (ModelState::Loading, None),
            Ok(Presence::Loaded { .. }) => (ModelState::Loaded, None),
            Ok(Presence::Broken(error)) => (ModelState::Broken, Some(error)),
            Ok(Presence::SetAside(error)) => (ModelState::SetAside, Some(error)),
        };
        Self {
            id: entry.name.clone(),
            object: "model".to_owned(),
            created: written_at(entry),
            owned_by: "proof-of-quality".to_owned(),
            sha256: entry.id.clone().ok(),
            kind: entry.kind,
            state,
            // It may repeat what the model's files say.
            error: error.map(|error| text::message(&error)),
            bytes: entry.bytes,
            remote: false,
        }
    }

    fn of_remote(remote: &Remote) -> Self {
        let (state, error) = match remote.health() {
            Health::Up => (ModelState::Loaded, None),
            Health::Unknown => (ModelState::Available, None),
            Health::Down { why, .. } => (ModelState::Broken, Some(why)),
        };
        Self {
            id: remote.config().name.clone(),
            object: "model".to_owned(),
            created: 0,
            owned_by: "proof-of-quality".to_owned(),
            sha256: Some(remote.config().model.clone()),
            kind: kind_of(remote),
            state,
            error: error.map(|error| text::message(&error)),
            bytes: 0,
            remote: true,
        }
    }
}

fn kind_of(remote: &Remote) -> ModelKind {
    match remote.config().kind {
        RemoteKind::Openai => ModelKind::Generator,
        RemoteKind::Rerank => ModelKind::Evaluator,
    }
}

/// A model, wherever its work is done.
#[derive(Clone, Debug)]
pub(super) enum Model {
    Here(Arc<Entry>),
    Elsewhere(Arc<Remote>),
}

/// Whether a model can be used, as far as is known.
#[derive(Clone, Debug)]
pub(super) enum Usability {
    /// It was loaded, or its server answers.
    Proven,
    /// Nothing is known yet. With what to try, if it is here.
    Untried(Option<Arc<Entry>>),
    /// It cannot be used, for this reason.
    No(String),
}

impl Model {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Here(entry) => &entry.name,
            Self::Elsewhere(remote) => &remote.config().name,
        }
    }

    fn kind(&self) -> ModelKind {
        match self {
            Self::Here(entry) => entry.kind,
            Self::Elsewhere(remote) => kind_of(remote),
        }
    }

    /// Whether it makes vectors of texts, one by one.
    fn embeds(&self) -> bool {
        match self {
            Self::Here(entry) => {
                entry.manifest.as_ref().is_some_and(|manifest| manifest.kind == EvaluatorKind::BiEncoder)
            }
            Self::Elsewhere(_) => false,
        }
    }

    fn id(&self) -> Result<String, String> {
        match self {
            Self::Here(entry) => entry.id.clone(),
            Self::Elsewhere(remote) => Ok(remote.config().model.clone()),
        }
    }

    /// Its description. The first call reads its files.
    pub(super) fn usability(&self, backends: &Backends) -> Usability {
        let entry = match self {
            Self::Here(entry) => entry,
            Self::Elsewhere(remote) => {
                return match remote.health() {
                    Health::Up => Usability::Proven,
                    Health::Unknown => Usability::Untried(None),
                    Health::Down { why, .. } => Usability::No(why),
                }
            }
        };
        let (id, pool) = match &entry.id {
            Ok(id) => (id, backends.pool()),
            Err(error) => return Usability::No(error.clone()),
        };
        match pool.presence(id) {
            Presence::Broken(why) | Presence::SetAside(why) => Usability::No(why),
            Presence::Loaded { .. } => Usability::Proven,
            Presence::Available | Presence::Loading => match pool.fault(entry) {
                Some(why) => Usability::No(why),
                None if pool.was_loaded(id) => Usability::Proven,
                None => Usability::Untried(Some(Arc::clone(entry))),
            },
        }
    }

    fn info(&self, backends: &Backends) -> ModelInfo {
        match self {
            Self::Here(entry) => ModelInfo::of(entry, backends),
            Self::Elsewhere(remote) => ModelInfo::of_remote(remote),
        }
    }
}

/// Everything that work can be asked of: what is elsewhere, by name, then what is here, by name.
pub(super) fn all(engine: &ApiState) -> Vec<Model> {
    let mut remotes: Vec<_> = engine.backends.remotes().cloned().collect();
    remotes.sort_by(|left, right| left.config().name.cmp(&right.config().name));
    let here = engine.shelf.list().into_iter().map(Model::Here);
    remotes.into_iter().map(Model::Elsewhere).chain(here).collect()
}

/// Seconds since 1970 at which the model's file was last written; 0 if the disk does not tell.
fn written_at(entry: &Entry) -> u64 {
    std::fs::metadata(&entry.path).and_then(|file| file.modified()).map_or(0, seconds)
}

/// Seconds since 1970, as clients of OpenAI's API have times.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Answer of `GET /v1/models`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModelList {
    /// Always `list`.
    pub object: String,
    /// The models: first those of servers elsewhere, then those in the models folder as of the last look at it.
    pub data: Vec<ModelInfo>,
}

/// The models.
#[utoipa::path(get, path = "/v1/models", tag = "models", responses(
    (status = 200, description = "The models.", body = ModelList),
    TokenErrors,
))]
pub async fn list(State(engine): State<ApiState>) -> Result<Json<ModelList>, ApiError> {
    let data = blocking(move || all(&engine).iter().map(|model| model.info(&engine.backends)).collect());
    Ok(Json(ModelList { object: "list".to_owned(), data: data.await? }))
}

/// One model.
#[utoipa::path(
    get,
    path = "/v1/models/{id}",
    tag = "models",
    params(("id" = String, Path, description = "Its name, its id, or the first digits of its id",
            example = "poq-demo-strong")),
    responses(
        (status = 200, description = "The model.", body = ModelInfo),
        (status = 400, description = "The name is no text.", body = ErrorBody),
        (status = 404, description = "There is no such model.", body = ErrorBody),
        TokenErrors,
    ),
)]
pub async fn one(
    State(engine): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelInfo>, ApiError> {
    let Path(id) = id?;
    let model = find(&engine, &id).await?;
    Ok(Json(blocking(move || model.info(&engine.backends)).await?))
}

/// A model that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The id that the work is given to.
    pub id: String,
    /// Its name, for the answer.
    pub name: String,
}

/// The model of this kind that is called `wanted`, or has that id. Without a name, the only one of the kind.
pub(super) async fn choose(
    engine: &ApiState,
    wanted: Option<&str>,
    kind: ModelKind,
) -> Result<Chosen, ApiError> {
    choose_what(engine, wanted, kind.as_str(), |model| model.kind() == kind).await
}

/// The bi-encoder that is called `wanted`, or has that id. Without a name, the only one.
pub(super) async fn choose_embedder(engine: &ApiState, wanted: Option<&str>) -> Result<Chosen, ApiError> {
    choose_what(engine, wanted, "bi-encoder", Model::embeds).await
}

async fn choose_what(
    engine: &ApiState,
    wanted: Option<&str>,
    what: &str,
    fits: impl Fn(&Model) -> bool,
) -> Result<Chosen, ApiError> {
    let model = match wanted {
        Some(wanted) => find(engine, wanted).await?,
        None => only(engine, what, &fits).await?,
    };
    let name = model.name().to_owned();
    if !fits(&model) {
        let message = format!("{name} is no {what}; GET /v1/models says what it is");
        return Err(ApiError::new(StatusCode::NOT_FOUND, "wrong_model_kind", message).about("model"));
    }
    let id = model.id().map_err(|error| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "model_unavailable", format!("{name} {error}"))
    })?;
    Ok(Chosen { id, name })
}

async fn find(engine: &ApiState, wanted: &str) -> Result<Model, ApiError> {
    let called = |remote: &&Arc<Remote>| remote.config().name == wanted || remote.config().model == wanted;
    if let Some(remote) = engine.backends.remotes().find(called) {
        return Ok(Model::Elsewhere(Arc::clone(remote)));
    }
    if let Some(entry) = engine.shelf.named(wanted) {
        return Ok(Model::Here(entry));
    }
    look_for(engine, wanted).await?.map(Model::Here).ok_or_else(|| {
        let message = format!("this engine holds no model '{wanted}'; GET /v1/models lists what it holds");
        ApiError::new(StatusCode::NOT_FOUND, "model_not_found", message).about("model")
    })
}

/// A model that may have been put into the folder since the last look at it. An error if that takes long to know.
async fn look_for(engine: &ApiState, wanted: &str) -> Result<Option<Arc<Entry>>, ApiError> {
    let (lookout, name) = (Arc::clone(engine.backends.pool().lookout()), wanted.to_owned());
    if !blocking(move || lookout.may_hold(&name)).await? {
        return Ok(None);
    }
    look(engine, &format!("'{wanted}'")).await?;
    Ok(engine.shelf.named(wanted))
}

/// Looks at the models folder anew. An error if that takes long, and `sought` may be there.
async fn look(engine: &ApiState, sought: &str) -> Result<(), ApiError> {
    tokio::time::timeout(LOOK_PATIENCE, engine.backends.pool().lookout().look()).await.map_err(|_| {
        let message = format!(
            "the models folder is still being read, and {sought} may be in it; ask again in a moment"
        );
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "models_being_read", message).about("model")
    })
}

/// The only model that fits. If none is known, it may have been put into the folder since the last look at it, or the first look
/// is not yet over.
async fn only(engine: &ApiState, what: &str, fits: impl Fn(&Model) -> bool) -> Result<Model, ApiError> {
    if !all(engine).iter().any(&fits) {
        look(engine, "a model that fits").await?;
    }
    let mut fitting = all(engine).into_iter().filter(|model| fits(model));
    match (fitting.next(), fitting.next()) {
        (Some(model), None) => Ok(model),
        (None, _) => {
            let message = format!("this engine holds no {what}");
            Err(ApiError::new(StatusCode::NOT_FOUND, "model_not_found", message).about("model"))
        }
        _ => Err(ApiError::invalid(format!("this engine holds more than one {what}: name one as 'model'"))
            .about("model")),
    }
}
