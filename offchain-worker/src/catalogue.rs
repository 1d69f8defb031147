//! The models that this engine has.
//!
//! Every `*.gguf` file in the models folder is a generator; every folder in it that holds `tokenizer.json`
//! and `model.onnx` (or `onnx/model.onnx`, as model hubs lay it out) is an evaluator. A model's id is the
//! SHA-256 of its GGUF or ONNX file. Models are loaded when the first job wants them, and kept.

use crate::{
    config::Settings,
    evaluator::{Evaluator, EvaluatorOptions},
    files,
    generator::Generator,
    limits::Unfinished,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::UNIX_EPOCH,
};

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Answers prompts (GGUF).
    Generator,
    /// Scores answers (ONNX).
    Evaluator,
}

/// Whether a model is usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// On disk; it is loaded when a job wants it.
    Available,
    /// In memory.
    Loaded,
    /// Cannot be read or loaded.
    Broken,
}

/// What is known of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// SHA-256 of the model's file, 64 lower-case hex digits; `None` if the file cannot be read.
    pub id: Option<String>,
    /// File or folder name, without the extension.
    pub name: String,
    /// What it does.
    pub kind: ModelKind,
    /// Whether it is usable.
    pub state: ModelState,
    /// Why it is not, or `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The models of an engine.
#[derive(Debug)]
pub struct Catalogue {
    folder: PathBuf,
    settings: Settings,
    models: RwLock<Vec<Arc<Model>>>,
    /// Ids by file, so that large files are hashed once. Held during a scan: one scan at a time.
    ids: Mutex<IdCache>,
}

/// One model, in memory or not.
#[derive(Debug)]
struct Model {
    id: Result<String, String>,
    name: String,
    kind: ModelKind,
    file: PathBuf,
    slot: Mutex<Slot>,
}

#[derive(Debug)]
enum Slot {
    Empty,
    Loaded(Loaded),
    Broken(String),
}

#[derive(Clone, Debug)]
enum Loaded {
    Generator(Arc<Generator>),
    Evaluator(Arc<Evaluator>),
}

impl Catalogue {
    /// The models in `folder`; ids are remembered in `data`. Nothing is read until [`Self::scan`] or the
    /// first job.
    pub fn new(folder: PathBuf, data: &Path, settings: Settings) -> Self {
        let ids = Mutex::new(IdCache::open(data.join("models.json")));
        Self { folder, settings, models: RwLock::default(), ids }
    }

    /// Looks at the models folder anew. Models that are still there stay loaded; a large new file takes a
    /// while to hash.
    pub fn scan(&self) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.snapshot();
        let found = match find_models(&self.folder) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(folder = %self.folder.display(), %error, "the models folder cannot be read");
                return;
            }
        };
        let models = found.into_iter().map(|(kind, name, file)| {
            let id = ids.id_of(&file);
            let same = known.iter().find(|model| model.file == file && model.id == id);
            same.cloned()
                .unwrap_or_else(|| Arc::new(Model { id, name, kind, file, slot: Mutex::new(Slot::Empty) }))
        });
        let models: Vec<_> = models.collect();
        ids.save();
        *self.models.write().unwrap_or_else(PoisonError::into_inner) = models;
    }

    /// All models as of the last scan, by name.
    pub fn list(&self) -> Vec<ModelInfo> {
        self.snapshot().iter().map(|model| model.info()).collect()
    }

    /// The generator `id`, loaded.
    pub fn generator(&self, id: &str) -> Result<Arc<Generator>, Unfinished> {
        let model = self.find(id)?;
        match model.load(&self.settings)? {
            Loaded::Generator(generator) => Ok(generator),
            Loaded::Evaluator(_) => {
                Err(Unfinished::unavailable(format!("{} is an evaluator, not a generator", model.name)))
            }
        }
    }

    /// The evaluator `id`, loaded.
    pub fn evaluator(&self, id: &str) -> Result<Arc<Evaluator>, Unfinished> {
        let model = self.find(id)?;
        match model.load(&self.settings)? {
            Loaded::Evaluator(evaluator) => Ok(evaluator),
            Loaded::Generator(_) => {
                Err(Unfinished::unavailable(format!("{} is a generator, not an evaluator", model.name)))
            }
        }
    }

    /// The model `id`. One that is not known may have been put there since the last look.
    fn find(&self, id: &str) -> Result<Arc<Model>, Unfinished> {
        let known = || self.snapshot().into_iter().find(|model| model.id.as_deref() == Ok(id));
        if let Some(model) = known() {
            return Ok(model);
        }
        self.scan();
        known().ok_or_else(|| Unfinished::unavailable("this engine does not hold the model"))
    }

    fn snapshot(&self) -> Vec<Arc<Model>> {
        self.models.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Model {
    /// The model in memory. One that did not load is tried again: what it lacked may be there now.
    fn load(&self, settings: &Settings) -> Result<Loaded, Unfinished> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Slot::Loaded(loaded) = &*slot {
            return Ok(loaded.clone());
        }
        tracing::info!(model = self.name, "loading");
        match self.read(settings) {
            Ok(loaded) => {
                *slot = Slot::Loaded(loaded.clone());
                Ok(loaded)
            }
            Err(error) => {
                tracing::warn!(model = self.name, error, "the model does not load");
                let unfinished = Unfinished::unavailable(format!("{} does not load: {error}", self.name));
                *slot = Slot::Broken(error);
                Err(unfinished)
            }
        }
    }

    fn read(&self, settings: &Settings) -> Result<Loaded, String> {
        match self.kind {
            ModelKind::Generator => {
                let generator = Generator::load(&self.file, settings.context, settings.threads)?;
                Ok(Loaded::Generator(Arc::new(generator)))
            }
            ModelKind::Evaluator => {
                let options = EvaluatorOptions { threads: settings.threads, ..Default::default() };
                let folder = evaluator_folder(&self.file).ok_or("has no folder")?;
                let evaluator = Evaluator::load(folder, &options)?;
                Ok(Loaded::Evaluator(Arc::new(evaluator)))
            }
        }
    }

    fn info(&self) -> ModelInfo {
        // A model that is being loaded right now is not in memory yet; a list need not wait for it.
        let slot = self.slot.try_lock();
        let (state, error) = match (&self.id, slot.as_deref()) {
            (Err(error), _) => (ModelState::Broken, Some(error.clone())),
            (_, Ok(Slot::Broken(error))) => (ModelState::Broken, Some(error.clone())),
            (_, Ok(Slot::Loaded(_))) => (ModelState::Loaded, None),
            (_, Ok(Slot::Empty) | Err(_)) => (ModelState::Available, None),
        };
        ModelInfo { id: self.id.clone().ok(), name: self.name.clone(), kind: self.kind, state, error }
    }
}

/// Kind, name and file of each model in `folder`, by name.
fn find_models(folder: &Path) -> io::Result<Vec<(ModelKind, String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            if let Some(file) = onnx_file_in(&path) {
                found.push((ModelKind::Evaluator, name_of(path.file_name()), file));
            }
        } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")) {
            found.push((ModelKind::Generator, name_of(path.file_stem()), path));
        }
    }
    found.sort_by(|a, b| (&a.1, &a.2).cmp(&(&b.1, &b.2)));
    Ok(found)
}

fn onnx_file_in(folder: &Path) -> Option<PathBuf> {
    [folder.join("model.onnx"), folder.join("onnx/model.onnx")].into_iter().find(|path| path.is_file())
}

/// The folder that holds the tokenizer: the ONNX file's own, or the one above it.
fn evaluator_folder(file: &Path) -> Option<&Path> {
    let own = file.parent()?;
    if own.join("tokenizer.json").is_file() {
        return Some(own);
    }
    let above = own.parent().filter(|above| own.ends_with("onnx") && above.join("tokenizer.json").is_file());
    Some(above.unwrap_or(own))
}

fn name_of(name: Option<&std::ffi::OsStr>) -> String {
    name.unwrap_or_default().to_string_lossy().into_owned()
}

/// Ids of model files, kept on disk beside what shows that a file has not changed.
#[derive(Debug)]
struct IdCache {
    path: PathBuf,
    ids: BTreeMap<PathBuf, CachedId>,
    changed: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct CachedId {
    bytes: u64,
    modified_ns: u128,
    sha256: String,
}

impl IdCache {
    /// A cache that cannot be read is an empty one.
    fn open(path: PathBuf) -> Self {
        let ids =
            fs::read(&path).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
        Self { path, ids, changed: false }
    }

    fn id_of(&mut self, file: &Path) -> Result<String, String> {
        let readable = |error: io::Error| format!("cannot be read: {error}");
        let metadata = fs::metadata(file).map_err(readable)?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let (bytes, modified_ns) = (metadata.len(), modified.unwrap_or_default().as_nanos());
        if let Some(cached) = self.ids.get(file) {
            if (cached.bytes, cached.modified_ns) == (bytes, modified_ns) {
                return Ok(cached.sha256.clone());
            }
        }
        let sha256 = sha256_of(file).map_err(readable)?;
        self.ids.insert(file.to_owned(), CachedId { bytes, modified_ns, sha256: sha256.clone() });
        self.changed = true;
        Ok(sha256)
    }

    fn save(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        self.ids.retain(|file, _| file.exists());
        let saved = serde_json::to_vec_pretty(&self.ids)
            .map_err(io::Error::from)
            .and_then(|json| files::write_atomically(&self.path, &json));
        if let Err(error) = saved {
            tracing::warn!(path = %self.path.display(), %error, "model ids are not remembered");
        }
    }
}

fn sha256_of(file: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut fs::File::open(file)?, &mut hasher)?;
    Ok(hex::encode(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    use poq_primitives::job::FailureReason;

    fn catalogue(folder: &Path) -> Catalogue {
        Catalogue::new(folder.join("models"), folder, Settings::default())
    }

    #[test]
    fn broken_models_are_listed_and_the_rest_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let models = folder.path().join("models");
        fs::create_dir_all(models.join("half-an-evaluator")).unwrap();
        fs::create_dir_all(models.join("not-a-model")).unwrap();
        fs::write(models.join("half-an-evaluator/model.onnx"), "x").unwrap();
        fs::write(models.join("text.gguf"), "x").unwrap();
        fs::write(models.join("readme.md"), "x").unwrap();
        std::os::unix::fs::symlink("/nowhere", models.join("dangling.gguf")).unwrap();

        let catalogue = catalogue(folder.path());
        catalogue.scan();
        let list = catalogue.list();
        let names: Vec<_> = list.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["dangling", "half-an-evaluator", "text"]);
        assert!(list[0].id.is_none() && list[0].state == ModelState::Broken && list[0].error.is_some());

        let sha256_of_x = list[2].id.clone().unwrap();
        let error = catalogue.generator(&sha256_of_x).unwrap_err();
        assert!(matches!(error, Unfinished::Failed(ref e) if e.code == FailureReason::ModelUnavailable));
    }

    #[test]
    fn a_model_that_appears_later_is_found_and_a_changed_file_gets_its_own_id() {
        let folder = tempfile::tempdir().unwrap();
        let models = folder.path().join("models");
        fs::create_dir_all(&models).unwrap();
        let catalogue = catalogue(folder.path());
        catalogue.scan();
        assert!(catalogue.list().is_empty());
        fs::write(models.join("a.gguf"), "one").unwrap();
        let id = hex::encode(Sha256::digest("one"));
        assert!(catalogue.generator(&id).is_err(), "it is no model");
        assert_eq!(catalogue.list()[0].id.as_deref(), Some(id.as_str()), "but it was found");
        fs::write(models.join("a.gguf"), "longer").unwrap();
        catalogue.scan();
        assert_eq!(catalogue.list()[0].id, Some(hex::encode(Sha256::digest("longer"))));
    }

    #[test]
    fn ids_are_remembered_and_a_damaged_cache_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let (file, cache) = (folder.path().join("a.gguf"), folder.path().join("models.json"));
        fs::write(&file, "content").unwrap();
        let mut ids = IdCache::open(cache.clone());
        let id = ids.id_of(&file).unwrap();
        ids.save();
        assert_eq!(IdCache::open(cache.clone()).ids.len(), 1);
        fs::write(&cache, "{").unwrap();
        assert_eq!(IdCache::open(cache).id_of(&file).unwrap(), id);
    }
}
