//! Contents of the models folder. Nothing is loaded here.
//!
//! - Every `*.gguf` file is a generator; its id is the SHA-256 of the file. A GGUF in several files
//!   (`x-00001-of-00003.gguf`, as llama.cpp splits them) is one generator, `x`; its id is the SHA-256 of all of
//!   them one after another, which `cat x-*-of-00003.gguf | sha256sum` prints.
//! - Every folder with a `poq.json` is an evaluator; its id is the SHA-256 of that [`manifest`](super::manifest),
//!   and the files that it names have to be the ones that it says.
//!
//! Symbolic links are followed. Names that begin with a full stop, and `*.part` (a download under way), are
//! skipped.

use super::{
    digest::{sha256_of_bytes, Digests},
    faults,
    manifest::{Manifest, MANIFEST, MAX_MANIFEST_BYTES, TOKENIZER},
};
use crate::files;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// Name of the file that remembers digests, in the engine's data folder.
pub const CACHE: &str = "digests.json";

/// Fewest digits of an id that name a model.
const FEWEST_DIGITS: usize = 6;

/// Task of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Answers prompts (GGUF).
    Generator,
    /// Scores answers (ONNX).
    Evaluator,
}

impl ModelKind {
    /// The kind in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generator => "generator",
            Self::Evaluator => "evaluator",
        }
    }
}

/// A model in the folder, usable or not.
#[derive(Clone, Debug)]
pub struct Entry {
    /// 64 lower-case hex digits, or in one line why the model cannot be used.
    pub id: Result<String, String>,
    /// File or folder name, without the extension.
    pub name: String,
    /// Its task.
    pub kind: ModelKind,
    /// The GGUF file (of several the first), or the evaluator's folder.
    pub path: PathBuf,
    /// Size of all its files together; of a broken one, of those that are there.
    pub bytes: u64,
    /// Manifest of an evaluator, if it is valid.
    pub manifest: Option<Manifest>,
    /// Fault of a generator's own chat template, with the remedy, in one line. Such a model works with
    /// another template.
    pub template_fault: Option<String>,
}

/// Result of [`Shelf::check`] for one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The model's name.
    pub name: String,
    /// Its task.
    pub kind: ModelKind,
    /// Its id, or what is wrong in one line.
    pub outcome: Result<String, String>,
}

/// The models in a folder.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    digests: Digests,
    headers: faults::Known,
    entries: RwLock<Vec<Arc<Entry>>>,
    /// Held during a scan: one scan at a time.
    scanning: Mutex<()>,
}

/// A model that was found, not yet looked into.
#[derive(Debug)]
struct Found {
    kind: ModelKind,
    name: String,
    path: PathBuf,
    /// Files of a generator, in order.
    parts: Vec<PathBuf>,
    /// Files that an evaluator, or a generator in parts, lacks, in words.
    lacks: Option<String>,
}

/// Source of a digest: cache or file.
type Hash<'a> = dyn FnMut(&[PathBuf]) -> Result<String, String> + 'a;

impl Shelf {
    /// The models in `folder`; digests are remembered in the file `cache`. Nothing is read yet.
    pub fn new(folder: PathBuf, cache: PathBuf) -> Self {
        Self {
            folder,
            digests: Digests::new(cache),
            headers: faults::Known::default(),
            entries: RwLock::default(),
            scanning: Mutex::default(),
        }
    }

    /// The models folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Looks at the folder anew. Files whose size and time have not changed are not hashed again; a large new
    /// file takes a while. A folder that cannot be read leaves the list as it was.
    pub fn scan(&self) {
        let _one_at_a_time = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match find_models(&self.folder) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(folder = %self.folder.display(), %error, "the models folder cannot be read");
                return;
            }
        };
        self.digests.refresh();
        let entry = |found| Arc::new(self.examine(found, &mut |files| self.digests.of(files)));
        let entries: Vec<_> = found.into_iter().map(entry).collect();
        self.digests.save();
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
    }

    /// All models, by name, as of the last scan.
    pub fn list(&self) -> Vec<Arc<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The model `id`, as of the last scan.
    pub fn find(&self, id: &str) -> Option<Arc<Entry>> {
        self.list().into_iter().find(|entry| entry.id.as_deref() == Ok(id))
    }

    /// The model that is called `wanted`, or whose id begins with it (at least 6 digits), as of the last scan;
    /// `None` if there is none or more than one.
    pub fn named(&self, wanted: &str) -> Option<Arc<Entry>> {
        let entries = self.list();
        let called: Vec<_> = entries.iter().filter(|entry| entry.name == wanted).collect();
        match called.as_slice() {
            [] => by_id(&entries, wanted),
            [entry] => Some(Arc::clone(entry)),
            _ => None,
        }
    }

    /// Whether the files of `entry` still are what its id says. What has changed in size or time since it was
    /// hashed is hashed again. The error is one line.
    pub fn verify(&self, entry: &Entry) -> Result<(), String> {
        let id = entry.id.as_ref().map_err(|error| format!("{} {error}", entry.name))?;
        let found = Found::at(entry).map_err(|error| format!("{} cannot be read: {error}", entry.name))?;
        let now = self.examine(found, &mut |files| self.digests.of(files));
        self.digests.save();
        match now.id {
            Ok(now) if now == *id => Ok(()),
            Ok(now) => Err(format!("{} has changed on disk: it is {now} now, not {id}", entry.name)),
            Err(error) => Err(format!("{} has changed on disk: it {error}", entry.name)),
        }
    }

    /// Hashes the models whose names are `chosen` from scratch, whatever is remembered of them. A generator
    /// whose content is not what it was, and an evaluator whose files are not what its manifest says, are
    /// wrong. `progress` is told how many bytes are done, and of how many.
    pub fn check(
        &self,
        chosen: &dyn Fn(&str) -> bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> io::Result<Vec<Checked>> {
        let _one_at_a_time = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = find_models(&self.folder)?;
        found.retain(|found| chosen(&found.name));
        self.digests.refresh();
        let total = found.iter().map(Found::bytes).fold(0, u64::saturating_add);
        let mut done: u64 = 0;
        let mut step = |bytes| {
            done = done.saturating_add(bytes);
            progress(done, total);
        };
        let checked = found.into_iter().map(|found| self.check_one(found, &mut step)).collect();
        self.digests.save();
        Ok(checked)
    }

    /// Takes the model out of the folder. Of one that is linked the link goes, and not what it leads to. The
    /// error is one line.
    pub fn remove(&self, entry: &Entry) -> Result<(), String> {
        let gone = match entry.kind {
            ModelKind::Generator => {
                parts_of(&entry.path).iter().try_for_each(|part| files::remove_durably(part))
            }
            ModelKind::Evaluator => remove_folder(&entry.path),
        };
        self.scan();
        gone.map_err(|error| format!("{} cannot be removed: {error}", entry.path.display()))
    }

    fn check_one(&self, found: Found, step: &mut dyn FnMut(u64)) -> Checked {
        let (name, kind, before) = (found.name.clone(), found.kind, self.digests.before(&found.parts));
        let id = self.examine(found, &mut |files| self.digests.afresh(files, step)).id;
        let outcome = id.and_then(|now| match before {
            // Of an evaluator the manifest says what the files have to be.
            Some(before) if kind == ModelKind::Generator && before != now => Err(format!(
                "is not the file that it was: its SHA-256 was {before} and is {now}; \
                 `poq-worker models remove` it and add it again"
            )),
            _ => Ok(now),
        });
        Checked { name, kind, outcome }
    }

    /// Examines a model; `hash` gives the digest of files.
    fn examine(&self, found: Found, hash: &mut Hash<'_>) -> Entry {
        let mut entry = examine(found, hash);
        if entry.kind == ModelKind::Generator {
            let faults = self.headers.faults(&entry.path);
            entry.template_fault = faults.template;
            // A file that is broken is no other kind of model.
            entry.id = entry.id.and_then(|id| faults.unfit.map_or(Ok(id), Err));
        }
        entry
    }

    /// The digest of files, remembered or computed.
    pub(super) fn digests(&self) -> &Digests {
        &self.digests
    }
}

fn by_id(entries: &[Arc<Entry>], wanted: &str) -> Option<Arc<Entry>> {
    let digits = wanted.strip_prefix("0x").unwrap_or(wanted).to_ascii_lowercase();
    if digits.len() < FEWEST_DIGITS {
        return None;
    }
    let begins = |entry: &&Arc<Entry>| entry.id.as_ref().is_ok_and(|id| id.starts_with(&digits));
    let mut found = entries.iter().filter(begins);
    let first = found.next()?;
    // The same model under two names is no ambiguity.
    found.all(|other| other.id == first.id).then(|| Arc::clone(first))
}

impl Found {
    /// The model of `entry` as it is on disk now.
    fn at(entry: &Entry) -> io::Result<Self> {
        match entry.kind {
            ModelKind::Evaluator => Ok(Self {
                kind: entry.kind,
                name: entry.name.clone(),
                path: entry.path.clone(),
                parts: Vec::new(),
                lacks: None,
            }),
            ModelKind::Generator => Ok(Self::generator(entry.name.clone(), parts_of(&entry.path))),
        }
    }

    fn generator(name: String, parts: Vec<PathBuf>) -> Self {
        let missing = parts.iter().find(|part| parts.len() > 1 && !part.is_file());
        let lacks = missing
            .map(|part| format!("lacks one of its {} files: {}", parts.len(), name_of(part.file_name())));
        let path = parts.first().cloned().unwrap_or_default();
        Self { kind: ModelKind::Generator, name, path, parts, lacks }
    }

    /// The evaluator in `path`, unless the folder has nothing to do with evaluators.
    fn evaluator(path: PathBuf) -> Option<Self> {
        let lacks = if path.join(MANIFEST).exists() {
            None
        } else if onnx_files_in(&path).is_empty() {
            return None;
        } else if path.join(TOKENIZER).is_file() {
            Some("has no poq.json; `poq-worker models add FOLDER` writes one".to_owned())
        } else {
            Some("has no tokenizer.json; put the one of its network there".to_owned())
        };
        let name = name_of(path.file_name());
        Some(Self { kind: ModelKind::Evaluator, name, path, parts: Vec::new(), lacks })
    }

    /// Bytes that a full look hashes.
    fn bytes(&self) -> u64 {
        match self.kind {
            ModelKind::Generator => size_of(&self.parts),
            ModelKind::Evaluator => read_manifest(&self.path)
                .map(|(manifest, _)| size_of(&files_of(&self.path, &manifest)))
                .unwrap_or_default(),
        }
    }
}

/// Removes an evaluator's folder: in one step from the list, then from the disk.
fn remove_folder(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_symlink() {
        return files::remove_durably(path);
    }
    let folder = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let hidden = tempfile::Builder::new().prefix(files::TEMPORARY_PREFIX).tempdir_in(folder)?;
    fs::rename(path, hidden.path().join("removed"))?;
    hidden.close()
}

/// Examines the files of a model.
fn examine(found: Found, hash: &mut Hash<'_>) -> Entry {
    let (id, bytes, manifest) = match (found.kind, found.lacks) {
        (ModelKind::Generator, Some(lacks)) => (Err(lacks), size_of(&found.parts), None),
        (ModelKind::Generator, None) => (hash(&found.parts), size_of(&found.parts), None),
        (ModelKind::Evaluator, Some(lacks)) => (Err(lacks), size_without_manifest(&found.path), None),
        (ModelKind::Evaluator, None) => match read_manifest(&found.path) {
            Err(error) => (Err(error), size_without_manifest(&found.path), None),
            Ok((manifest, id)) => {
                let mut files = files_of(&found.path, &manifest);
                files.push(found.path.join(MANIFEST));
                (check_files(&found.path, &manifest, hash).map(|()| id), size_of(&files), Some(manifest))
            }
        },
    };
    Entry { id, name: found.name, kind: found.kind, path: found.path, bytes, manifest, template_fault: None }
}

/// The manifest in `folder` and its SHA-256.
pub(super) fn read_manifest(folder: &Path) -> Result<(Manifest, String), String> {
    let json = read_at_most(&folder.join(MANIFEST), MAX_MANIFEST_BYTES)
        .map_err(|error| format!("{MANIFEST} cannot be read: {error}"))?;
    let manifest = Manifest::parse(&json).map_err(|error| one_line(&format!("has a bad {error}")))?;
    Ok((manifest, sha256_of_bytes(&json)))
}

/// A file's content, if it is not larger than `most` bytes.
pub(super) fn read_at_most(file: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut limited = io::Read::take(fs::File::open(file)?, most.saturating_add(1));
    io::Read::read_to_end(&mut limited, &mut content)?;
    if content.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {most} bytes")));
    }
    Ok(content)
}

/// Whether the files of an evaluator are the ones that its manifest names.
fn check_files(folder: &Path, manifest: &Manifest, hash: &mut Hash<'_>) -> Result<(), String> {
    for (name, wanted) in &manifest.files {
        let path = folder.join(name);
        if !path.exists() {
            return Err(format!("lacks {name}, which its {MANIFEST} names"));
        }
        let present = hash(&[path]).map_err(|error| format!("has a file {name} that {error}"))?;
        if present != *wanted {
            return Err(format!(
                "has another {name} than its {MANIFEST} says: SHA-256 {present}, not {wanted}"
            ));
        }
    }
    Ok(())
}

fn files_of(folder: &Path, manifest: &Manifest) -> Vec<PathBuf> {
    manifest.files.keys().map(|name| folder.join(name)).collect()
}

fn size_without_manifest(folder: &Path) -> u64 {
    let mut files = onnx_files_in(folder);
    files.extend([folder.join(TOKENIZER), folder.join(MANIFEST)]);
    size_of(&files)
}

fn size_of(files: &[PathBuf]) -> u64 {
    let size = |file: &PathBuf| fs::metadata(file).map_or(0, |metadata| metadata.len());
    files.iter().map(size).fold(0, u64::saturating_add)
}

/// The models in `folder`, by name.
fn find_models(folder: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    // Path of the first part, by name and number of parts: any part that is there shows the model.
    let mut in_parts: BTreeMap<(String, u32), PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if name_of(path.file_name()).starts_with('.') {
            continue;
        }
        if path.is_dir() {
            found.extend(Found::evaluator(path));
        } else if has_extension(&path, "gguf") {
            let stem = name_of(path.file_stem());
            match split_name(&stem) {
                Some((name, _, total)) => {
                    in_parts.entry((name.to_owned(), total)).or_insert(path);
                }
                None => found.push(Found::generator(stem, vec![path])),
            }
        }
    }
    found.extend(in_parts.into_iter().map(|((name, _), path)| Found::generator(name, parts_of(&path))));
    found.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    Ok(found)
}

/// The ONNX files in an evaluator's folder, and in its folder `onnx`, as model hubs lay it out; by path.
pub(super) fn onnx_files_in(folder: &Path) -> Vec<PathBuf> {
    let listed =
        [folder.to_owned(), folder.join("onnx")].into_iter().filter_map(|folder| fs::read_dir(folder).ok());
    let paths = listed.flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<_> = paths
        .filter(|path| has_extension(path, "onnx") && !name_of(path.file_name()).starts_with('.'))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// All files of the GGUF of which `path` is one, in order.
pub(super) fn parts_of(path: &Path) -> Vec<PathBuf> {
    let name = name_of(path.file_name());
    part_names(&name).into_iter().map(|name| path.with_file_name(name)).collect()
}

/// File names of all parts of the GGUF of which `file` is one, in order; `file` alone if it is whole.
pub(super) fn part_names(file: &str) -> Vec<String> {
    let whole = vec![file.to_owned()];
    let Some((stem, extension)) = file.rsplit_once('.') else { return whole };
    let Some((name, _, total)) = split_name(stem) else { return whole };
    (1..=total).map(|part| format!("{name}-{part:05}-of-{total:05}.{extension}")).collect()
}

/// Name, number and count of `NAME-00001-of-00003`; `None` if it is not of this form.
pub(super) fn split_name(stem: &str) -> Option<(&str, u32, u32)> {
    let number = |digits: &str| {
        let five = digits.len() == 5 && digits.bytes().all(|digit| digit.is_ascii_digit());
        five.then(|| digits.parse::<u32>().ok()).flatten()
    };
    let (rest, total) = stem.rsplit_once("-of-")?;
    let (name, part) = rest.rsplit_once('-')?;
    let (part, total) = (number(part)?, number(total)?);
    (!name.is_empty() && (1..=total).contains(&part)).then_some((name, part, total))
}

pub(super) fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
}

fn name_of(name: Option<&OsStr>) -> String {
    name.unwrap_or_default().to_string_lossy().into_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::manifest::EvaluatorKind;
    use proptest::prelude::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn shelf() -> (TempDir, PathBuf, Shelf) {
        let folder = tempfile::tempdir().unwrap();
        let models = folder.path().join("models");
        fs::create_dir(&models).unwrap();
        let shelf = Shelf::new(models.clone(), folder.path().join(CACHE));
        (folder, models, shelf)
    }

    fn names(shelf: &Shelf) -> Vec<String> {
        shelf.list().iter().map(|entry| entry.name.clone()).collect()
    }

    fn trouble(shelf: &Shelf, name: &str) -> String {
        shelf.scan();
        shelf.named(name).unwrap().id.clone().unwrap_err()
    }

    /// An evaluator in `folder`; its id.
    fn put_evaluator(folder: &Path) -> String {
        fs::create_dir_all(folder).unwrap();
        let files = [("model.onnx", "network"), (TOKENIZER, "words")].map(|(name, content)| {
            fs::write(folder.join(name), content).unwrap();
            (name.to_owned(), sha256_of_bytes(content.as_bytes()))
        });
        let manifest = Manifest::new(EvaluatorKind::CrossEncoder, "model.onnx".to_owned(), files.into());
        fs::write(folder.join(MANIFEST), manifest.to_json()).unwrap();
        sha256_of_bytes(manifest.to_json().as_bytes())
    }

    fn touch(file: &Path, content: &str, like: &Path) {
        let time = fs::metadata(like).unwrap().modified().unwrap();
        fs::write(file, content).unwrap();
        fs::File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn models_are_found_and_the_rest_is_not() {
        let (folder, models, shelf) = shelf();
        assert!(shelf.list().is_empty(), "nothing is read yet");
        let id = put_evaluator(&models.join("judge"));
        fs::write(models.join("text.GGUF"), "x").unwrap();
        fs::write(models.join("readme.md"), "x").unwrap();
        fs::write(models.join("half.gguf.part"), "x").unwrap();
        fs::write(models.join(".hidden.gguf"), "x").unwrap();
        fs::create_dir(models.join("not-a-model")).unwrap();
        put_evaluator(&models.join(".hidden"));
        fs::write(folder.path().join("elsewhere"), "far").unwrap();
        symlink(folder.path().join("elsewhere"), models.join("linked.gguf")).unwrap();
        symlink(folder.path().join("nowhere"), models.join("dangling.gguf")).unwrap();

        shelf.scan();
        assert_eq!(names(&shelf), ["dangling", "judge", "linked", "text"]);
        let list = shelf.list();
        assert!(list[0].id.as_ref().unwrap_err().contains("cannot be read"));
        assert_eq!((list[1].id.clone(), list[1].kind), (Ok(id), ModelKind::Evaluator));
        assert!(list[1].manifest.is_some() && list[1].path == models.join("judge"));
        let manifest = fs::metadata(models.join("judge/poq.json")).unwrap().len();
        assert_eq!(list[1].bytes, manifest + "network".len() as u64 + "words".len() as u64);
        assert_eq!(list[2].id, Ok(sha256_of_bytes(b"far")));
        assert_eq!((list[3].bytes, list[3].kind), (1, ModelKind::Generator));
    }

    #[test]
    fn what_is_wrong_with_an_evaluator_is_said() {
        let (_folder, models, shelf) = shelf();
        let judge = models.join("judge");
        put_evaluator(&judge);
        fs::write(judge.join("model.onnx"), "other").unwrap();
        assert!(trouble(&shelf, "judge").contains("another model.onnx"));
        fs::remove_file(judge.join("model.onnx")).unwrap();
        assert!(trouble(&shelf, "judge").contains("lacks model.onnx"));
        fs::create_dir(judge.join("model.onnx")).unwrap();
        assert!(trouble(&shelf, "judge").contains("not a file"));
        fs::write(judge.join(MANIFEST), "{\n \"format\": 9}").unwrap();
        assert!(trouble(&shelf, "judge").contains("format 9"));
        fs::write(judge.join(MANIFEST), "\n{").unwrap();
        let error = trouble(&shelf, "judge");
        assert!(error.contains("poq.json") && !error.contains('\n'), "{error}");
        fs::write(judge.join(MANIFEST), vec![b' '; MAX_MANIFEST_BYTES as usize + 1]).unwrap();
        assert!(trouble(&shelf, "judge").contains("larger than"));
        fs::remove_file(judge.join(MANIFEST)).unwrap();
        fs::remove_dir(judge.join("model.onnx")).unwrap();
        shelf.scan();
        assert!(names(&shelf).is_empty(), "a folder without manifest and network is none");
        fs::create_dir(judge.join("onnx")).unwrap();
        fs::write(judge.join("onnx/model.onnx"), "network").unwrap();
        assert_eq!(trouble(&shelf, "judge"), "has no poq.json; `poq-worker models add FOLDER` writes one");
        fs::remove_file(judge.join(TOKENIZER)).unwrap();
        assert!(trouble(&shelf, "judge").contains("has no tokenizer.json"));
    }

    #[test]
    fn parts_are_one_generator() {
        let (_folder, models, shelf) = shelf();
        for (part, content) in [(1, "one"), (3, "three")] {
            fs::write(models.join(format!("big-{part:05}-of-00003.gguf")), content).unwrap();
        }
        assert!(trouble(&shelf, "big").contains("big-00002-of-00003.gguf"));
        fs::write(models.join("big-00002-of-00003.gguf"), "two").unwrap();
        fs::write(models.join("small-1-of-2.gguf"), "x").unwrap();
        fs::write(models.join("big.gguf"), "x").unwrap();
        shelf.scan();
        assert_eq!(names(&shelf), ["big", "big", "small-1-of-2"]);
        let id = sha256_of_bytes(b"onetwothree");
        let entry = shelf.find(&id).unwrap();
        assert_eq!((entry.path.clone(), entry.bytes), (models.join("big-00001-of-00003.gguf"), 11));
        assert!(shelf.named("big").is_none(), "two are called so");
        assert!(shelf.verify(&entry).is_ok());
        fs::write(models.join("big-00003-of-00003.gguf"), "other").unwrap();
        assert!(shelf.verify(&entry).unwrap_err().contains("has changed on disk"));
        fs::remove_file(models.join("big-00003-of-00003.gguf")).unwrap();
        assert!(shelf.verify(&entry).unwrap_err().contains("lacks"));
    }

    #[test]
    fn models_that_come_later_are_found_and_changed_ones_are_not_served() {
        let (_folder, models, shelf) = shelf();
        fs::write(models.join("a.gguf"), "one").unwrap();
        let id = sha256_of_bytes(b"one");
        assert!(shelf.find(&id).is_none(), "before a scan");
        shelf.scan();
        let entry = shelf.find(&id).unwrap();
        assert_eq!(shelf.verify(&entry), Ok(()));
        fs::write(models.join("a.gguf"), "longer").unwrap();
        assert!(shelf.verify(&entry).unwrap_err().contains("has changed on disk"));
        shelf.scan();
        assert!(shelf.find(&id).is_none());
        assert_eq!(shelf.list()[0].id, Ok(sha256_of_bytes(b"longer")));
        fs::remove_file(models.join("a.gguf")).unwrap();
        assert!(shelf.verify(&entry).is_err());

        let id = put_evaluator(&models.join("judge"));
        shelf.scan();
        let judge = shelf.find(&id).unwrap();
        assert_eq!(shelf.verify(&judge), Ok(()));
        fs::write(models.join("judge/tokenizer.json"), "other words").unwrap();
        assert!(shelf.verify(&judge).unwrap_err().contains("tokenizer.json"));
        fs::remove_dir_all(models.join("judge")).unwrap();
        assert!(shelf.verify(&judge).is_err());
    }

    #[test]
    fn a_model_is_named_by_the_beginning_of_its_id() {
        let (_folder, models, shelf) = shelf();
        fs::write(models.join("a.gguf"), "one").unwrap();
        fs::write(models.join("b.gguf"), "two").unwrap();
        shelf.scan();
        let id = sha256_of_bytes(b"two");
        assert!(shelf.named(&id[..5]).is_none());
        for wanted in
            [id[..6].to_owned(), id.clone(), format!("0x{}", &id[..8]), id.to_uppercase(), "b".into()]
        {
            assert_eq!(shelf.named(&wanted).unwrap().name, "b", "{wanted}");
        }
        assert!(shelf.named("").is_none() && shelf.named("c").is_none());
        fs::write(models.join("copy.gguf"), "two").unwrap();
        shelf.scan();
        assert_eq!(shelf.named(&id).unwrap().name, "b", "one model under two names");
        // Two ids with the same beginning cannot be made here; entries can.
        let like = |tail: &str| {
            let mut entry = (*shelf.list()[0]).clone();
            entry.id = Ok(format!("abcdef{tail}"));
            Arc::new(entry)
        };
        assert!(by_id(&[like("0"), like("1")], "abcdef").is_none());
        assert!(by_id(&[like("0"), like("1")], "abcdef1").is_some());
    }

    #[test]
    fn a_check_finds_what_neither_size_nor_time_shows() {
        let (_folder, models, shelf) = shelf();
        let file = models.join("a.gguf");
        fs::write(&file, "one").unwrap();
        fs::write(models.join("b.gguf"), "two").unwrap();
        put_evaluator(&models.join("judge"));
        shelf.scan();
        touch(&file, "ONE", &file);
        touch(&models.join("judge/model.onnx"), "NETWORK", &models.join("judge/model.onnx"));
        shelf.scan();
        assert!(shelf.list().iter().all(|entry| entry.id.is_ok()), "a scan trusts size and time");

        let mut seen = Vec::new();
        let checked = shelf.check(&|_| true, &mut |done, of| seen.push((done, of))).unwrap();
        let wrong: Vec<_> =
            checked.iter().filter(|checked| checked.outcome.is_err()).map(|c| &c.name).collect();
        assert_eq!(wrong, ["a", "judge"]);
        assert!(checked[0].outcome.as_ref().unwrap_err().contains("is not the file that it was"));
        let of = seen[0].1;
        assert!(seen.is_sorted() && seen.iter().all(|(done, total)| *done <= of && *total == of), "{seen:?}");

        shelf.scan();
        assert_eq!(shelf.named("a").unwrap().id, Ok(sha256_of_bytes(b"ONE")), "and now the truth is known");
        assert!(shelf.named("judge").unwrap().id.is_err());
        seen.clear();
        let checked = shelf.check(&|name| name == "b", &mut |done, of| seen.push((done, of))).unwrap();
        assert_eq!((checked.len(), seen), (1, vec![(3, 3)]));
        assert!(checked[0].outcome.is_ok());
    }

    #[test]
    fn a_folder_that_is_gone_leaves_the_list_as_it_was() {
        let (folder, models, shelf) = shelf();
        fs::write(models.join("a.gguf"), "one").unwrap();
        shelf.scan();
        fs::rename(&models, folder.path().join("moved")).unwrap();
        shelf.scan();
        assert_eq!(names(&shelf), ["a"]);
        assert!(shelf.verify(&shelf.list()[0]).is_err(), "but nothing is served from it");
    }

    #[test]
    fn names_of_parts() {
        assert_eq!(split_name("x-00001-of-00003"), Some(("x", 1, 3)));
        assert_eq!(split_name("a-of-b-00003-of-00003"), Some(("a-of-b", 3, 3)));
        for whole in
            ["x", "x-0001-of-0003", "x-00000-of-00003", "x-00004-of-00003", "-00001-of-00001", "-of-"]
        {
            assert_eq!(split_name(whole), None, "{whole}");
        }
        assert_eq!(part_names("x-00002-of-00002.gguf"), ["x-00001-of-00002.gguf", "x-00002-of-00002.gguf"]);
        assert_eq!(part_names("x.gguf"), ["x.gguf"]);
    }

    proptest! {
        #[test]
        fn noise_is_no_part(noise in "\\PC*") {
            if let Some((name, part, total)) = split_name(&noise) {
                prop_assert_eq!(format!("{name}-{part:05}-of-{total:05}"), noise);
            }
        }
    }
}
