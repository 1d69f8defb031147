//! Files of the model hub, through its own library and into its own cache (`HF_HOME`), where other programs
//! find them too. `HF_ENDPOINT`, `HF_TOKEN` and the token file of a login work as everywhere.
//!
//! The library resumes a broken download but does not check what came; this does. The hub's ETag of a large file
//! is the file's SHA-256.

use super::{
    digest::sha256_of,
    download::{pause, room_for, TRIES},
    manifest::is_sha256,
    progress,
    source::HubFile,
};
use hf_hub::{
    api::sync::{Api, ApiBuilder, ApiError, ApiRepo},
    Cache, CacheRepo, Repo, RepoType,
};
use indicatif::ProgressBar;
use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
};

/// Where the hub is unless `HF_ENDPOINT` says otherwise.
const ENDPOINT: &str = "https://huggingface.co";

/// Why a file does not come from the hub.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The repository does not have it.
    #[error("{0}")]
    Missing(String),
    /// Anything else, in one line.
    #[error("{0}")]
    Other(String),
}

/// The model hub.
#[derive(Debug)]
pub struct Hub {
    api: Api,
    cache: Cache,
    endpoint: String,
}

/// What the hub says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// SHA-256 of the file; the hub says it of large files only.
    pub sha256: Option<String>,
    /// Size in bytes.
    pub bytes: u64,
    etag: String,
}

/// A file that lies in the hub's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Where it lies; its name there is not its name.
    pub path: PathBuf,
    /// Its SHA-256, which has been checked; `None` of a small file, of which the hub does not say it.
    pub sha256: Option<String>,
}

/// One file on its way.
struct Fetching<'a> {
    hub: &'a Hub,
    file: &'a HubFile,
    remote: ApiRepo,
    local: CacheRepo,
}

/// What a failed request means.
enum Trouble {
    Passing(String),
    Lasting(HubError),
}

impl Hub {
    /// The hub that the environment names.
    pub fn from_env() -> Result<Self, String> {
        let endpoint = std::env::var("HF_ENDPOINT").unwrap_or_else(|_| ENDPOINT.to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !(endpoint.starts_with("http://") || endpoint.starts_with("https://")) {
            return Err("HF_ENDPOINT is not a web address; it looks like https://huggingface.co".to_owned());
        }
        let mut builder = ApiBuilder::from_env().with_endpoint(endpoint.clone());
        if let Some(token) = std::env::var("HF_TOKEN").ok().filter(|token| !token.trim().is_empty()) {
            builder = builder.with_token(Some(token.trim().to_owned()));
        }
        let api = builder.build().map_err(|error| format!("the hub's library does not start: {error}"))?;
        Ok(Self { api, cache: Cache::from_env(), endpoint })
    }

    /// What the hub says of `file`; nothing is fetched.
    pub fn about(&self, file: &HubFile) -> Result<About, HubError> {
        let fetching = self.fetching(file);
        fetching.patiently(|| fetching.about())
    }

    /// The file, from the cache or the hub. What is there of a broken download is gone on with, and what comes
    /// is checked.
    pub fn fetch(&self, file: &HubFile) -> Result<Fetched, HubError> {
        self.fetching(file).run()
    }

    /// The file, or `None` if the repository does not have it.
    pub fn fetch_optional(&self, file: &HubFile) -> Result<Option<Fetched>, HubError> {
        match self.fetch(file) {
            Ok(fetched) => Ok(Some(fetched)),
            Err(HubError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn fetching<'a>(&'a self, file: &'a HubFile) -> Fetching<'a> {
        let repo = Repo::with_revision(file.repo.clone(), RepoType::Model, file.revision.clone());
        Fetching { hub: self, file, remote: self.api.repo(repo.clone()), local: self.cache.repo(repo) }
    }
}

impl Fetching<'_> {
    fn run(&self) -> Result<Fetched, HubError> {
        // A file that was put together of two tries, or that lay in the cache, may be damaged and is fetched
        // once more; one that came in one piece is what the hub has.
        let mut may_be_damaged = true;
        loop {
            let about = self.patiently(|| self.about())?;
            let blob = self.local.blob_path(&about.etag);
            if !blob.is_file() {
                may_be_damaged = self.patiently(|| self.download(&about, &blob))?;
                if !blob.is_file() {
                    continue; // The file changed on the hub meanwhile.
                }
            }
            match check(&blob, &about, self.file) {
                Ok(()) => return Ok(Fetched { path: blob, sha256: about.sha256 }),
                Err(error) => {
                    fs::remove_file(&blob).map_err(|error| self.local_trouble(&error))?;
                    if !std::mem::take(&mut may_be_damaged) {
                        return Err(HubError::Other(error));
                    }
                }
            }
        }
    }

    fn about(&self) -> Result<About, Trouble> {
        let metadata =
            self.hub.api.metadata(&self.remote.url(&self.file.file)).map_err(|e| self.trouble(e))?;
        let etag = metadata.etag().to_owned();
        // The ETag becomes the name of a file.
        let name = etag.strip_prefix("W/").unwrap_or(&etag);
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        {
            let error = format!("{}: the hub's ETag is {etag:?}, which is none of a file", self.file);
            return Err(Trouble::Lasting(HubError::Other(error)));
        }
        let sha256 = is_sha256(&etag).then(|| etag.clone());
        Ok(About { sha256, bytes: metadata.size() as u64, etag })
    }

    /// Brings the file into the cache; whether a part of it was there before.
    fn download(&self, about: &About, blob: &Path) -> Result<bool, Trouble> {
        let lasting = |error: &io::Error| Trouble::Lasting(self.local_trouble(error));
        let part = blob.with_extension("part");
        let folder = blob.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|error| lasting(&error))?;
        let have = fs::metadata(&part).map_or(0, |metadata| metadata.len());
        if have > 0 && have == about.bytes {
            // The process died between the last byte and the name.
            fs::rename(&part, blob).map_err(|error| lasting(&error))?;
            return Ok(true);
        }
        if have > about.bytes {
            fs::remove_file(&part).map_err(|error| lasting(&error))?;
        }
        room_for(folder, about.bytes.saturating_sub(have))
            .map_err(|error| Trouble::Lasting(HubError::Other(format!("{}: {error}", self.file))))?;
        let name = self.file.file.rsplit('/').next().unwrap_or_default();
        let bar = progress::bar(name, about.bytes);
        let outcome = self.remote.download_with_progress(&self.file.file, Bar(bar.clone()));
        bar.finish_and_clear();
        match outcome {
            Ok(_) => Ok(have > 0),
            Err(error) => Err(self.trouble(error)),
        }
    }

    /// Tries `work` until it succeeds, or fails for good, or fails several times in a row without bringing
    /// anything new.
    fn patiently<T>(&self, work: impl Fn() -> Result<T, Trouble>) -> Result<T, HubError> {
        let (mut most, mut tries) = (self.have(), 0);
        loop {
            let error = match work() {
                Ok(outcome) => return Ok(outcome),
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::Passing(error)) => error,
            };
            let have = self.have();
            if have > most {
                (most, tries) = (have, 0);
            }
            tries += 1;
            if tries >= TRIES {
                let kept = "what has come is kept, and the same command goes on with it";
                return Err(HubError::Other(format!("{}: {error}; {kept}", self.file)));
            }
            thread::sleep(pause(tries));
        }
    }

    /// Bytes of all files of this repository that are under way.
    fn have(&self) -> u64 {
        let blob = self.local.blob_path("x");
        let Some(Ok(listed)) = blob.parent().map(fs::read_dir) else { return 0 };
        let parts =
            listed.filter_map(Result::ok).filter(|entry| entry.path().extension() == Some("part".as_ref()));
        parts.filter_map(|part| Some(part.metadata().ok()?.len())).fold(0, u64::saturating_add)
    }

    fn local_trouble(&self, error: &io::Error) -> HubError {
        let cache = self.hub.cache.path().display();
        HubError::Other(match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!(
                    "{}: the disk of the hub's cache {cache} is full; make room, or set HF_HOME",
                    self.file
                )
            }
            _ => format!("{}: the hub's cache {cache}: {error}; HF_HOME sets another", self.file),
        })
    }

    fn trouble(&self, error: ApiError) -> Trouble {
        let other = |text: String| Trouble::Lasting(HubError::Other(format!("{}: {text}", self.file)));
        match error {
            ApiError::RequestError(error) => match *error {
                ureq::Error::StatusCode(status) => self.refused(status),
                ureq::Error::HostNotFound => {
                    other(format!("there is no host {}, or no network", self.hub.endpoint))
                }
                ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                    other("HF_ENDPOINT is not a web address".to_owned())
                }
                error => Trouble::Passing(format!("no connection to {} ({error})", self.hub.endpoint)),
            },
            ApiError::IoError(error) => match error.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem => Trouble::Lasting(self.local_trouble(&error)),
                _ => Trouble::Passing(format!("the transfer broke off ({error})")),
            },
            ApiError::LockAcquisition(_) => other("another program is fetching it right now".to_owned()),
            ApiError::InvalidResume => Trouble::Passing("what had come is longer than the file".to_owned()),
            error
            @ (ApiError::MissingHeader(_) | ApiError::InvalidHeader(_) | ApiError::ParseIntError(_)) => {
                other(format!("{} does not answer as the hub does ({error})", self.hub.endpoint))
            }
            error => other(error.to_string()),
        }
    }

    fn refused(&self, status: u16) -> Trouble {
        let HubFile { repo, revision, file } = self.file;
        let endpoint = &self.hub.endpoint;
        match status {
            401 | 403 => Trouble::Lasting(HubError::Other(format!(
                "{}: the hub says {status}: {repo} is private, gated or not there; accept its terms at \
                 {endpoint}/{repo} and set HF_TOKEN, or log in with `hf auth login`",
                self.file
            ))),
            404 => Trouble::Lasting(HubError::Missing(format!(
                "{}: the hub has no {file} in {repo} at revision {revision}; see {endpoint}/{repo}/tree/{revision}",
                self.file
            ))),
            408 | 416 | 425 | 429 | 500..=599 => {
                Trouble::Passing(format!("the hub is busy or broken (status {status}); try again later"))
            }
            _ => Trouble::Lasting(HubError::Other(format!("{}: the hub answers with status {status}", self.file))),
        }
    }
}

/// Whether a file in the cache is what the hub says.
fn check(blob: &Path, about: &About, file: &HubFile) -> Result<(), String> {
    let readable = |error: io::Error| format!("{}: {error}", blob.display());
    let bytes = fs::metadata(blob).map_err(readable)?.len();
    if bytes != about.bytes {
        return Err(format!("{file}: {bytes} bytes came, and the hub says {}", about.bytes));
    }
    let Some(wanted) = &about.sha256 else { return Ok(()) };
    let bar = progress::bar("checking", bytes);
    let present = sha256_of(&[blob.to_owned()], &mut |step| bar.inc(step)).map_err(readable)?;
    bar.finish_and_clear();
    if present != *wanted {
        return Err(format!(
            "{file}: what came is not what the hub says: its SHA-256 is {present}, not {wanted}; it was removed"
        ));
    }
    Ok(())
}

/// The library's progress on our bar.
struct Bar(ProgressBar);

impl hf_hub::api::Progress for Bar {
    fn init(&mut self, size: usize, _filename: &str) {
        self.0.set_length(size as u64);
        self.0.set_position(0);
    }

    fn update(&mut self, size: usize) {
        self.0.inc(size as u64);
    }

    fn finish(&mut self) {}
}
