//! Puts models into the store: from this machine, from the hub, from a web server.
//!
//! A model appears in one step: it is made in a hidden folder of the models folder, written to the disk, checked,
//! and renamed. An evaluator's manifest is written here, and the same files give the same manifest, so that two
//! operators who add the same network get the same id.

use super::{
    classifier,
    client::Client,
    digest::{sha256_of, sha256_of_bytes},
    download::{self, room_for},
    faults,
    gguf::Head,
    guess,
    hub::{Hub, HubError},
    manifest::{EvaluatorKind, Manifest, MANIFEST, MAX_MANIFEST_BYTES, TOKENIZER},
    progress,
    shelf::{
        has_extension, onnx_files_in, part_names, parts_of, read_at_most, read_manifest, split_name, Entry,
        ModelKind, Shelf,
    },
    source::{file_of_url, HubFile, Source},
    weights,
};
use crate::{
    evaluator,
    files::{self, TEMPORARY_PREFIX},
};
use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{symlink, PermissionsExt as _},
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

/// Files beside an evaluator's network that say what it is. They are kept with it but change no score.
const DESCRIPTIONS: [&str; 4] = [guess::CONFIG, guess::TOKENIZER_CONFIG, guess::MODULES, guess::POOLING];

/// Age at which something temporary in the store is no longer about to be used.
const ABOUT_TO_BE: Duration = Duration::from_secs(60);

/// Options of adding a model.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Name in the store; `None`: that of its file, folder or repository.
    pub name: Option<String>,
    /// Required id, 64 lower-case hex digits.
    pub sha256: Option<String>,
    /// Kind of an evaluator without a manifest; `None`: read from the files beside it.
    pub kind: Option<EvaluatorKind>,
    /// Most tokens per input of an evaluator without a manifest; `None`: read from the files beside it.
    pub max_tokens: Option<usize>,
    /// Of a cross-encoder without a manifest: the label whose probability is the score; else it is guessed.
    pub score_label: Option<String>,
    /// Link to the files instead of copying them.
    pub link: bool,
    /// Use unencrypted HTTP with other machines, too.
    pub allow_http: bool,
}

/// Result of [`add`].
#[derive(Clone, Debug)]
pub struct Added {
    /// The model as it is in the store now.
    pub entry: Arc<Entry>,
    /// Whether the model was in the store before; then nothing was done.
    pub already: bool,
}

/// Puts the model from `source` into the store of `shelf`. The error is one line.
pub fn add(shelf: &Shelf, source: &Source, options: &Options) -> Result<Added, String> {
    if let Some(name) = &options.name {
        check_name(name)?;
    }
    fs::create_dir_all(shelf.folder()).map_err(|error| said(shelf.folder(), &error))?;
    clear_away(shelf.folder());
    let adding = Adding { shelf, options };
    let (name, already) = match source {
        Source::Local(path) => adding.local(path),
        Source::Hub(file) => adding.hub(file),
        Source::Url(url) => adding.url(url),
    }?;
    shelf.scan();
    let entry = shelf.list().into_iter().find(|entry| entry.path == name);
    let entry = entry.ok_or_else(|| format!("{} is not in the store after all", name.display()))?;
    match &entry.id {
        Ok(_) => Ok(Added { entry, already }),
        Err(error) => Err(format!("{} {error}", entry.name)),
    }
}

/// Path of the model in the store, and whether it was there before.
type Placed = Result<(PathBuf, bool), String>;

/// A model being added.
struct Adding<'a> {
    shelf: &'a Shelf,
    options: &'a Options,
}

/// A GGUF whose files are complete and lie in the models folder under other names.
struct Ready {
    /// In order.
    files: Vec<PathBuf>,
    /// SHA-256 of all of them, if that is known.
    sha256: Option<String>,
}

/// The files of an evaluator, wherever they lie; by their path in its folder.
struct Pieces {
    /// Name unless the options say another.
    name: String,
    /// The network: one of `files`.
    model: String,
    /// The files on which a score depends.
    files: BTreeMap<String, PathBuf>,
    /// The others.
    descriptions: BTreeMap<String, PathBuf>,
    /// The manifest, if it comes with one.
    manifest: Option<Vec<u8>>,
}

/// A folder in which a model is made. It is locked: one that is not was left by a process that was ended.
struct Staging {
    folder: TempDir,
    _lock: File,
}

impl Staging {
    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Ways to put a file in its place.
#[derive(Clone, Copy)]
enum Means {
    Copy,
    /// A symbolic link.
    Link,
    /// A second name of the same file if the file system can, else a copy. Only for files that nobody writes.
    HardLink,
}

impl Adding<'_> {
    fn local(&self, path: &Path) -> Placed {
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                format!("{} is not there; a file of the hub is written hf:OWNER/REPO/FILE", path.display())
            }
            _ => said(path, &error),
        })?;
        if metadata.is_dir() {
            let model = the_onnx_file_in(path)?;
            self.local_evaluator(path, model.as_deref())
        } else if has_extension(path, "gguf") {
            self.local_generator(path)
        } else if has_extension(path, "onnx") {
            self.local_evaluator(&evaluator_folder_of(path)?, Some(path))
        } else {
            Err(format!(
                "{} is no model; a model is a .gguf file, an .onnx file or a folder with one",
                path.display()
            ))
        }
    }

    fn local_generator(&self, path: &Path) -> Placed {
        self.check_generator_options()?;
        let parts = parts_of(path);
        let targets = self.targets(&file_name(path)?)?;
        if targets == parts && parts.iter().all(|part| part.is_file()) {
            return self.present(&targets);
        }
        let staging = self.staging()?;
        let means = if self.options.link { Means::Link } else { Means::Copy };
        let files = self.stage_parts(staging.path(), &targets, &parts, means)?;
        self.place_generator(&Ready { files, sha256: None }, &targets)
    }

    fn hub(&self, file: &HubFile) -> Placed {
        let hub = Hub::from_env(self.options.allow_http)?;
        if file.file.to_ascii_lowercase().ends_with(".gguf") {
            self.hub_generator(&hub, file)
        } else {
            let with_manifest = file.file.rsplit('/').next() == Some(MANIFEST);
            let pieces = if with_manifest { hub_evaluator(&hub, file)? } else { hub_network(&hub, file)? };
            let means = if self.options.link { Means::Link } else { Means::HardLink };
            self.place_evaluator(&pieces, means)
        }
    }

    fn hub_generator(&self, hub: &Hub, file: &HubFile) -> Placed {
        self.check_generator_options()?;
        let (folder, name) = file.file.rsplit_once('/').unwrap_or(("", &file.file));
        let targets = self.targets(name)?;
        // The hub says what a file is before it comes.
        let mut said = None;
        if let [target] = targets.as_slice() {
            let about = hub.about(file).map_err(|error| error.to_string())?;
            if let Some(sha256) = &about.sha256 {
                self.check_id(sha256).map_err(|error| format!("{file}: {error}, nor fetched"))?;
                if self.is_there(target, sha256)? {
                    return Ok((target.clone(), true));
                }
            }
            said = Some(about);
        }
        let (mut parts, mut sha256) = (Vec::new(), None);
        for part in part_names(name) {
            let part = file.sibling(&joined(folder, &part));
            let fetched = said.as_ref().map_or_else(|| hub.fetch(&part), |about| hub.fetch_as(&part, about));
            let fetched = fetched.map_err(|error| error.to_string())?;
            parts.push(fetched.path);
            sha256 = fetched.sha256;
        }
        let sha256 = sha256.filter(|_| parts.len() == 1);
        let staging = self.staging()?;
        let means = if self.options.link { Means::Link } else { Means::HardLink };
        let files = self.stage_parts(staging.path(), &targets, &parts, means)?;
        self.place_generator(&Ready { files, sha256 }, &targets)
    }

    fn url(&self, url: &str) -> Placed {
        self.check_generator_options()?;
        if self.options.link {
            return Err("--link goes with files of this machine and of the hub".to_owned());
        }
        let name = file_of_url(url).ok_or("the address names no file")?;
        let targets = self.targets(name)?;
        if let (Some(wanted), [target]) = (&self.options.sha256, targets.as_slice()) {
            if self.is_there(target, wanted)? {
                return Ok((target.clone(), true));
            }
        }
        refuse_what_is_there(&targets)?;
        // What is compared with a known hash may come as it likes.
        let client = Client::new(self.options.allow_http || self.options.sha256.is_some());
        let (mut parts, mut complete) = (Vec::new(), Vec::new());
        for (target, name_there) in targets.iter().zip(part_names(name)) {
            let part = with_suffix(target, ".part");
            complete.push(download::from_web(&client, &sibling_of_url(url, name, &name_there), &part)?);
            parts.push(part);
        }
        let forget = || parts.iter().for_each(|part| download::forget(part));
        let ready = Ready { files: parts.clone(), sha256: None };
        // A wrong file is not gone on with; of a right one only the mark is left.
        let sha256 = self.check_generator(&ready).inspect_err(|_| forget())?;
        let placed = self.settle(&ready, &sha256, &targets)?;
        forget();
        drop(complete);
        Ok(placed)
    }

    fn local_evaluator(&self, folder: &Path, model: Option<&Path>) -> Placed {
        let pieces = if folder.join(MANIFEST).exists() {
            with_manifest(folder)?
        } else {
            let model = model.ok_or_else(|| format!("{} has no .onnx file", folder.display()))?;
            local_network(folder, model)?
        };
        if self.options.name.is_none() && self.is_in_store(folder) {
            return self.complete_in_place(folder, &pieces);
        }
        let means = if self.options.link { Means::Link } else { Means::Copy };
        self.place_evaluator(&pieces, means)
    }

    /// Writes the manifest of an evaluator whose folder is in the store already.
    fn complete_in_place(&self, folder: &Path, pieces: &Pieces) -> Placed {
        let folder = self.shelf.folder().join(folder_name(folder)?);
        check_weights(pieces)?;
        let hashes = self.hashes(&folder, pieces)?;
        let manifest = self.manifest(pieces, hashes)?;
        self.check_id(&sha256_of_bytes(&manifest))?;
        check_lengths(pieces, &manifest)?;
        if pieces.manifest.is_none() {
            files::write_atomically(&folder.join(MANIFEST), &manifest)
                .map_err(|error| said(&folder, &error))?;
        }
        Ok((folder, pieces.manifest.is_some()))
    }

    fn place_evaluator(&self, pieces: &Pieces, means: Means) -> Placed {
        let name = self.options.name.as_deref().unwrap_or(&pieces.name);
        check_name(name)?;
        let target = self.shelf.folder().join(name);
        check_weights(pieces)?;
        let staging = self.staging()?;
        for (name, from) in pieces.files.iter().chain(&pieces.descriptions) {
            place(from, &staging.path().join(name), means)?;
        }
        let hashes = self.hashes(staging.path(), pieces)?;
        let manifest = self.manifest(pieces, hashes.clone())?;
        self.check_id(&sha256_of_bytes(&manifest))?;
        check_lengths(pieces, &manifest)?;
        write_durably(&staging.path().join(MANIFEST), &manifest).map_err(|error| said(&target, &error))?;
        if fs::read(target.join(MANIFEST)).is_ok_and(|present| present == manifest) {
            return Ok((target, true));
        }
        refuse_what_is_there(std::slice::from_ref(&target))?;
        fs::rename(staging.path(), &target).map_err(|error| said(&target, &error))?;
        // The folder has moved: there is nothing left to remove.
        let _moved = staging.folder.keep();
        sync(self.shelf.folder())?;
        for (name, sha256) in &hashes {
            self.shelf.digests().remember(&[target.join(name)], sha256);
        }
        Ok((target, false))
    }

    /// SHA-256 of each file of an evaluator in `folder`, which have to be those of its manifest if it has one.
    fn hashes(&self, folder: &Path, pieces: &Pieces) -> Result<BTreeMap<String, String>, String> {
        let mut hashes = BTreeMap::new();
        for name in pieces.files.keys() {
            hashes.insert(name.clone(), hash(&[folder.join(name)])?);
        }
        if let Some(json) = &pieces.manifest {
            let manifest = Manifest::parse(json).map_err(|error| error.to_string())?;
            let wrong = manifest.files.iter().find(|(name, wanted)| hashes.get(*name) != Some(wanted));
            if let Some((name, wanted)) = wrong {
                let present = hashes.get(name).map_or("unknown", String::as_str);
                return Err(format!(
                    "{name} is not the file that {MANIFEST} names: SHA-256 {present}, not {wanted}"
                ));
            }
        }
        Ok(hashes)
    }

    /// The manifest that it comes with, or a new one.
    fn manifest(&self, pieces: &Pieces, hashes: BTreeMap<String, String>) -> Result<Vec<u8>, String> {
        let Options { kind, max_tokens, score_label, .. } = self.options;
        if let Some(json) = &pieces.manifest {
            if kind.is_some() || max_tokens.is_some() || score_label.is_some() {
                return Err(format!(
                    "it comes with a {MANIFEST}, which says what it is; --kind, --max-tokens and --score-label are for those without"
                ));
            }
            return Ok(json.clone());
        }
        let guess =
            guess::Guess::read(&pieces.descriptions, pieces.files.get(TOKENIZER).map(PathBuf::as_path))?;
        let kind = kind.map_or_else(|| guess.kind(), Ok)?;
        let mut manifest = Manifest::new(kind, pieces.model.clone(), hashes);
        manifest.max_tokens = max_tokens.unwrap_or_else(|| guess.max_tokens());
        match kind {
            EvaluatorKind::BiEncoder => manifest.pooling = guess.pooling()?,
            EvaluatorKind::CrossEncoder => manifest.classes = guess.classes(score_label.as_deref())?,
            EvaluatorKind::Causal | EvaluatorKind::Classifier => {}
        }
        let json = manifest.to_json().into_bytes();
        Manifest::parse(&json).map_err(|error| error.to_string())?;
        Ok(json)
    }

    fn stage_parts(
        &self,
        staging: &Path,
        targets: &[PathBuf],
        parts: &[PathBuf],
        means: Means,
    ) -> Result<Vec<PathBuf>, String> {
        let mut files = Vec::new();
        for (target, part) in targets.iter().zip(parts) {
            let file = staging.join(file_name(target)?);
            place(part, &file, means)?;
            files.push(file);
        }
        Ok(files)
    }

    /// Checks the files and gives them their final names.
    fn place_generator(&self, ready: &Ready, targets: &[PathBuf]) -> Placed {
        let sha256 = self.check_generator(ready)?;
        self.settle(ready, &sha256, targets)
    }

    /// Whether the files can be a generator, and are the wanted one; its id.
    fn check_generator(&self, ready: &Ready) -> Result<String, String> {
        for file in &ready.files {
            check_is_gguf(file)?;
        }
        if let Some(unfit) = ready.files.first().and_then(|first| faults::faults(first).unfit) {
            return Err(format!("it {unfit}; it was not added"));
        }
        let sha256 = ready.sha256.clone().map_or_else(|| hash(&ready.files), Ok)?;
        self.check_id(&sha256).map(|()| sha256)
    }

    /// Gives the files their final names.
    fn settle(&self, ready: &Ready, sha256: &str, targets: &[PathBuf]) -> Placed {
        let first = targets.first().cloned().unwrap_or_default();
        if self.is_there(&first, sha256)? {
            return Ok((first, true));
        }
        refuse_what_is_there(targets)?;
        for (file, target) in ready.files.iter().zip(targets) {
            fs::rename(file, target).map_err(|error| said(target, &error))?;
        }
        sync(self.shelf.folder())?;
        self.shelf.digests().remember(targets, sha256);
        Ok((first, false))
    }

    /// A GGUF that is in the store already.
    fn present(&self, targets: &[PathBuf]) -> Placed {
        self.check_id(&self.shelf.digests().of(targets)?)?;
        Ok((targets.first().cloned().unwrap_or_default(), true))
    }

    /// Whether the GGUF `target` is there with this content. Another one in its place is an error.
    fn is_there(&self, target: &Path, sha256: &str) -> Result<bool, String> {
        if !target.exists() {
            return Ok(false);
        }
        let present = self.shelf.digests().of(&parts_of(target))?;
        if present == sha256 {
            return Ok(true);
        }
        refuse_what_is_there(&[target.to_owned()]).map(|()| false)
    }

    /// The files in the store that a GGUF of the name `file` becomes.
    fn targets(&self, file: &str) -> Result<Vec<PathBuf>, String> {
        let stem = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
        let whole = split_name(&stem).map_or(stem.as_ref(), |(name, _, _)| name);
        let name = self.options.name.as_deref().unwrap_or(whole);
        check_name(name)?;
        let names = match split_name(&stem) {
            Some((_, part, total)) => part_names(&format!("{name}-{part:05}-of-{total:05}.gguf")),
            None => vec![format!("{name}.gguf")],
        };
        Ok(names.into_iter().map(|name| self.shelf.folder().join(name)).collect())
    }

    fn check_generator_options(&self) -> Result<(), String> {
        let Options { kind, max_tokens, score_label, .. } = self.options;
        if kind.is_some() || max_tokens.is_some() || score_label.is_some() {
            return Err(
                "--kind, --max-tokens and --score-label are for evaluators; a .gguf file is a generator"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn check_id(&self, id: &str) -> Result<(), String> {
        match &self.options.sha256 {
            Some(wanted) if wanted != id => {
                Err(format!("this is not the wanted model: its id is {id}, not {wanted}; it was not added"))
            }
            _ => Ok(()),
        }
    }

    fn is_in_store(&self, folder: &Path) -> bool {
        // A link in the store is in the store, wherever it leads.
        let named = folder.file_name().and_then(|_| folder.parent().map(Path::to_owned));
        let above = named.or_else(|| fs::canonicalize(folder).ok()?.parent().map(Path::to_owned));
        above.is_some_and(|above| same(&above, self.shelf.folder()))
    }

    /// A hidden folder in the store; it goes with what is in it unless it is renamed.
    fn staging(&self) -> Result<Staging, String> {
        let made = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .permissions(Permissions::from_mode(0o777)) // less what the user's mask takes away
            .tempdir_in(self.shelf.folder());
        let locked = made.and_then(|folder| {
            let lock = File::open(folder.path())?;
            // Some network file systems have no locks; then nobody clears it away either.
            let _none = lock.try_lock();
            Ok(Staging { folder, _lock: lock })
        });
        locked.map_err(|error| said(self.shelf.folder(), &error))
    }
}

/// Removes what earlier commands left in the store when they were ended, by Ctrl-C or otherwise.
fn clear_away(store: &Path) {
    let Ok(listed) = fs::read_dir(store) else { return };
    for entry in listed.filter_map(Result::ok) {
        if !entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            continue;
        }
        let (path, metadata) = (entry.path(), entry.metadata());
        // One that is a moment old may be about to be locked, or to be renamed.
        let written = metadata.as_ref().ok().and_then(|metadata| metadata.modified().ok());
        let old = written.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > ABOUT_TO_BE);
        let removed = match metadata {
            Ok(metadata) if old && metadata.is_dir() => {
                let free = File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok());
                if free {
                    fs::remove_dir_all(&path)
                } else {
                    Ok(())
                }
            }
            Ok(metadata) if old && metadata.is_file() => fs::remove_file(&path),
            _ => Ok(()),
        };
        if let Err(error) = removed {
            tracing::warn!(path = %path.display(), %error, "cannot be cleared away");
        }
    }
}

/// The only ONNX file of an evaluator's folder, or the one that is called as usual; none if it has a manifest.
fn the_onnx_file_in(folder: &Path) -> Result<Option<PathBuf>, String> {
    let usual = [folder.join("model.onnx"), folder.join("onnx/model.onnx")];
    if let Some(path) = usual.into_iter().find(|path| path.is_file()) {
        return Ok(Some(path));
    }
    let files = onnx_files_in(folder);
    match files.as_slice() {
        _ if folder.join(MANIFEST).exists() => Ok(None),
        [file] => Ok(Some(file.clone())),
        [] => Err(format!("{} has neither a {MANIFEST} nor an .onnx file", folder.display())),
        [first, ..] => Err(format!(
            "{} has {} .onnx files; name the one that is meant, such as {}",
            folder.display(),
            files.len(),
            first.display()
        )),
    }
}

/// The folder of an ONNX file that has the tokenizer: its own, or the one above.
fn evaluator_folder_of(file: &Path) -> Result<PathBuf, String> {
    let own = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let above = own.join("..");
    if own.join(TOKENIZER).is_file() || own.join(MANIFEST).is_file() {
        return Ok(own.to_owned());
    }
    match own.file_name() {
        Some(_) if above.join(TOKENIZER).is_file() => Ok(own
            .parent()
            .filter(|above| *above != Path::new(""))
            .map_or(PathBuf::from("."), Path::to_owned)),
        _ => Err(format!("{} has no {TOKENIZER} beside it, nor one folder above", file.display())),
    }
}

/// The pieces of an evaluator in `folder` that has a manifest.
fn with_manifest(folder: &Path) -> Result<Pieces, String> {
    let in_folder = |error: String| format!("{} {error}", folder.display());
    let (manifest, _) = read_manifest(folder).map_err(in_folder)?;
    let json =
        read_at_most(&folder.join(MANIFEST), MAX_MANIFEST_BYTES).map_err(|error| said(folder, &error))?;
    let files = manifest.files.keys().map(|name| (name.clone(), folder.join(name))).collect();
    Ok(Pieces {
        name: folder_name(folder)?,
        model: manifest.model,
        files,
        descriptions: BTreeMap::new(),
        manifest: Some(json),
    })
}

/// The pieces of the network `model` in `folder`.
fn local_network(folder: &Path, model: &Path) -> Result<Pieces, String> {
    let name = file_name(model)?;
    let own = model.parent().unwrap_or(folder);
    let subfolder = if same(own, folder) { String::new() } else { folder_name(own)? };
    let mut files = BTreeMap::from([(joined(&subfolder, &name), model.to_owned())]);
    if !folder.join(TOKENIZER).is_file() {
        return Err(format!("{} has no {TOKENIZER}", folder.display()));
    }
    files.insert(TOKENIZER.to_owned(), folder.join(TOKENIZER));
    for data in weights::files_of(model)? {
        files.insert(joined(&subfolder, &data), own.join(&data));
    }
    let present = DESCRIPTIONS.iter().map(|name| ((*name).to_owned(), folder.join(name)));
    let descriptions = present.filter(|(_, path)| path.is_file()).collect();
    Ok(Pieces {
        name: folder_name(folder)?,
        model: joined(&subfolder, &name),
        files,
        descriptions,
        manifest: None,
    })
}

/// The pieces of a network on the hub.
fn hub_network(hub: &Hub, file: &HubFile) -> Result<Pieces, String> {
    let text = |error: HubError| error.to_string();
    let own = file.file.rsplit_once('/').map_or("", |(own, _)| own);
    let above = own.rsplit_once('/').map_or("", |(above, _)| above);
    // The tokenizer's folder is the evaluator's; it is small and comes first.
    let mut base = own;
    let mut tokenizer = hub.fetch_optional(&file.sibling(&joined(own, TOKENIZER))).map_err(text)?;
    if tokenizer.is_none() && !own.is_empty() {
        base = above;
        tokenizer = hub.fetch_optional(&file.sibling(&joined(above, TOKENIZER))).map_err(text)?;
    }
    let tokenizer = tokenizer.ok_or_else(|| {
        format!("{file}: the repository has no {TOKENIZER} beside it, nor one folder above")
    })?;
    let within =
        |path: &str| path.strip_prefix(base).map_or(path, |rest| rest.trim_start_matches('/')).to_owned();
    let mut files = BTreeMap::from([(TOKENIZER.to_owned(), tokenizer.path)]);
    let mut descriptions = BTreeMap::new();
    for name in DESCRIPTIONS {
        if let Some(fetched) = hub.fetch_optional(&file.sibling(&joined(base, name))).map_err(text)? {
            descriptions.insert(name.to_owned(), fetched.path);
        }
    }
    let network = hub.fetch(file).map_err(text)?.path;
    for data in weights::files_of(&network)? {
        let source = file.sibling(&joined(own, &data));
        // The name goes into an address: it has to be one that a source may have.
        let fetched = hub.fetch(&source.checked()?).map_err(text)?;
        files.insert(within(&joined(own, &data)), fetched.path);
    }
    files.insert(within(&file.file), network);
    let name = file.repo_name().to_owned();
    Ok(Pieces { name, model: within(&file.file), files, descriptions, manifest: None })
}

/// The pieces of an evaluator that lies on the hub with its manifest.
fn hub_evaluator(hub: &Hub, file: &HubFile) -> Result<Pieces, String> {
    let text = |error: HubError| error.to_string();
    let folder = file.file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let fetched = hub.fetch(file).map_err(text)?;
    let json = read_at_most(&fetched.path, MAX_MANIFEST_BYTES).map_err(|error| format!("{file}: {error}"))?;
    let manifest = Manifest::parse(&json).map_err(|error| format!("{file}: {error}"))?;
    let mut files = BTreeMap::new();
    for name in manifest.files.keys() {
        let source = file.sibling(&joined(folder, name));
        // The name goes into an address: it has to be one that a source may have.
        let fetched = hub.fetch(&source.checked()?).map_err(text)?;
        files.insert(name.clone(), fetched.path);
    }
    let name = file.repo_name().to_owned();
    Ok(Pieces { name, model: manifest.model, files, descriptions: BTreeMap::new(), manifest: Some(json) })
}

/// Whether all files in which the network keeps weights come with it.
fn check_weights(pieces: &Pieces) -> Result<(), String> {
    let manifest = pieces.manifest.as_deref().and_then(|json| Manifest::parse(json).ok());
    if manifest.is_some_and(|manifest| manifest.kind.is_gguf()) {
        // Its manifest names all of its parts.
        return Ok(());
    }
    let Some(network) = pieces.files.get(&pieces.model) else { return Ok(()) };
    let folder = pieces.model.rsplit_once('/').map_or("", |(folder, _)| folder);
    for data in weights::files_of(network)? {
        let name = joined(folder, &data);
        match pieces.files.get(&name) {
            Some(path) if path.is_file() => {}
            Some(path) => {
                return Err(format!(
                    "{} keeps weights in {name}, and {} is not there; put it there",
                    pieces.model,
                    path.display()
                ));
            }
            None => {
                return Err(format!(
                    "{} keeps weights in {name}, which {MANIFEST} does not name",
                    pieces.model
                ))
            }
        }
    }
    Ok(())
}

/// Whether the network takes as many tokens as its manifest promises, as far as its files tell, and what is kept of texts that
/// are cut.
fn check_lengths(pieces: &Pieces, manifest: &[u8]) -> Result<(), String> {
    let manifest = Manifest::parse(manifest).map_err(|error| error.to_string())?;
    let Some(network) = pieces.files.get(&pieces.model) else { return Ok(()) };
    if manifest.kind.is_gguf() {
        if manifest.kind == EvaluatorKind::Classifier {
            classifier::check(network, manifest.classes.as_ref())?;
        }
        let trained = Head::read(network).ok().and_then(|head| head.number("context_length"));
        return manifest.check_positions(trained.and_then(|trained| usize::try_from(trained).ok()));
    }
    manifest.check_positions(weights::positions_of(network))?;
    let tokenizer = pieces.files.get(TOKENIZER).map(PathBuf::as_path);
    manifest.check_positions(guess::Guess::read(&pieces.descriptions, None)?.positions())?;
    tokenizer.map_or(Ok(()), |tokenizer| evaluator::check_cut(tokenizer, &manifest))
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        return name.to_owned();
    }
    format!("{folder}/{name}")
}

fn same(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(if path == Path::new("") { Path::new(".") } else { path }).ok();
    real(a).is_some() && real(a) == real(b)
}

/// Puts the file `from` at `to`, making the folders on the way.
fn place(from: &Path, to: &Path, means: Means) -> Result<(), String> {
    let source = fs::canonicalize(from).map_err(|error| said(from, &error))?;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(|error| said(folder, &error))?;
    }
    match means {
        Means::Link => symlink(&source, to).map_err(|error| said(to, &error)),
        Means::HardLink if fs::hard_link(&source, to).is_ok() => Ok(()),
        Means::HardLink | Means::Copy => copy(&source, to),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let metadata = fs::metadata(from).map_err(|error| said(from, &error))?;
    if !metadata.is_file() {
        return Err(format!("{} is not a file", from.display()));
    }
    room_for(to.parent().unwrap_or(Path::new(".")), metadata.len())?;
    let bar = progress::bar(&file_name(to)?, metadata.len());
    let copied = (|| {
        let mut target = File::create_new(to)?;
        io::copy(&mut bar.wrap_read(File::open(from)?), &mut target)?;
        target.sync_all()
    })();
    bar.finish_and_clear();
    copied.map_err(|error| said(from, &error))
}

fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync(folder: &Path) -> Result<(), String> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| said(folder, &error))
}

fn hash(files: &[PathBuf]) -> Result<String, String> {
    let size = |file: &PathBuf| fs::metadata(file).map_or(0, |metadata| metadata.len());
    let bar = progress::bar("checking", files.iter().map(size).fold(0, u64::saturating_add));
    let sha256 = sha256_of(files, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    sha256.map_err(|error| said(files.first().map_or(Path::new(""), PathBuf::as_path), &error))
}

fn check_is_gguf(file: &Path) -> Result<(), String> {
    let mut magic = [0; 4];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut magic));
    match read {
        Ok(()) if magic == *b"GGUF" => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(said(file, &error)),
        _ => Err(format!(
            "{} is not a GGUF file: it does not begin with the letters GGUF; a web page or the pointer of a large \
             file may have been saved in its place",
            file.display()
        )),
    }
}

fn refuse_what_is_there(targets: &[PathBuf]) -> Result<(), String> {
    match targets.iter().find(|target| fs::symlink_metadata(target).is_ok()) {
        None => Ok(()),
        Some(target) => Err(format!(
            "{} is there already and is another one; `poq-worker models remove` it, or choose another --name",
            target.display()
        )),
    }
}

/// Whether `name` can name a model: it becomes the name of a file.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = matches!(Path::new(name).components().collect::<Vec<_>>().as_slice(), [Component::Normal(_)]);
    let control = name.chars().any(char::is_control);
    if !plain
        || name.contains('/')
        || control
        || name.starts_with('.')
        || name.starts_with('-')
        || name.len() > 200
    {
        return Err(format!(
            "{name:?} cannot name a model; a name is of at most 200 bytes, has no slash, and begins with neither . nor -"
        ));
    }
    if name.ends_with(".gguf") || name.ends_with(".part") || split_name(name).is_some() {
        return Err(format!("{name:?} cannot name a model; leave the ending away"));
    }
    Ok(())
}

/// The address of the file `other`, which lies where the file `name` of `url` does.
fn sibling_of_url(url: &str, name: &str, other: &str) -> String {
    let (path, rest) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    format!("{}{other}{rest}", path.strip_suffix(name).unwrap_or(path))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn file_name(path: &Path) -> Result<String, String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| format!("{} has no name in UTF-8", path.display()))
}

/// The name of a folder, also of one that is written `.` or `..`.
fn folder_name(folder: &Path) -> Result<String, String> {
    match folder.file_name() {
        Some(_) => file_name(folder),
        None => file_name(&fs::canonicalize(folder).map_err(|error| said(folder, &error))?),
    }
}

fn said(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("{}: the disk is full; make room and try again", path.display())
        }
        _ => format!("{}: {error}", path.display()),
    }
}

/// Kind of a model in words.
pub fn kind_in_words(entry: &Entry) -> &'static str {
    match (entry.kind, entry.manifest.as_ref().map(|manifest| manifest.kind)) {
        (ModelKind::Generator, _) => "generator",
        (_, Some(EvaluatorKind::CrossEncoder)) => "evaluator (cross-encoder)",
        (_, Some(EvaluatorKind::BiEncoder)) => "evaluator (bi-encoder)",
        (_, Some(EvaluatorKind::Causal)) => "evaluator (causal)",
        (_, Some(EvaluatorKind::Classifier)) => "evaluator (classifier)",
        (_, None) => "evaluator",
    }
}
