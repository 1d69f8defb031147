//! Files of the model hub, in the cache that other programs use as well (`HF_HOME`). `HF_ENDPOINT`, `HF_TOKEN` and the
//! token file of a login work as everywhere.
//!
//! The hub is not trusted with this machine's files. One answer of it decides what a file is: its ETag, its commit, its
//! size. Both names are checked before they become part of a path, the content comes from that very commit, and if the
//! ETag is a SHA-256 (it is of large files) the content is compared with it.
//!
//! ```text
//! HF_HOME/hub/models--OWNER--REPO/blobs/ETAG                 the content
//! HF_HOME/hub/models--OWNER--REPO/snapshots/COMMIT/FILE      a link to it
//! HF_HOME/hub/models--OWNER--REPO/refs/REVISION              the commit
//! ```

use super::{
    client::{header, Client, Request, Trouble},
    digest::sha256_of,
    download::{self, patiently, Order},
    manifest::is_sha256,
    progress,
    source::HubFile,
};
use crate::{files, web};
use reqwest::Url;
use std::{
    env, fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use ureq::{http::Response, Body};

/// Address of the hub unless `HF_ENDPOINT` is set.
const ENDPOINT: &str = "https://huggingface.co";

/// Most bytes of a file of which the hub does not say the size. It says the size of all large ones.
const MOST_UNSAID: u64 = 256 * 1024 * 1024;

/// Error of fetching a file from the hub.
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
pub struct Hub {
    client: Client,
    endpoint: Url,
    token: Option<String>,
    /// `HF_HOME/hub`.
    cache: PathBuf,
}

/// A file's description by the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// SHA-256 of the file; the hub says it of large files only.
    pub sha256: Option<String>,
    /// Size in bytes, if the hub says it.
    pub bytes: Option<u64>,
    etag: String,
    commit: String,
}

/// A file that lies in the hub's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its path in the cache, under another name than its own.
    pub path: PathBuf,
    /// Its SHA-256, which has been checked; `None` of a small file, of which the hub does not say it.
    pub sha256: Option<String>,
}

/// A file being fetched.
struct Fetching<'a> {
    hub: &'a Hub,
    file: &'a HubFile,
    /// The repository's folder in the cache.
    folder: PathBuf,
}

impl Hub {
    /// The hub that the environment names. `allow_http`: whether unencrypted HTTP may be used with other machines.
    pub fn from_env(allow_http: bool) -> Result<Self, String> {
        let endpoint = env::var("HF_ENDPOINT").unwrap_or_else(|_| ENDPOINT.to_owned());
        let endpoint = web::parse(&endpoint).filter(|url| url.query().is_none() && url.fragment().is_none());
        let endpoint =
            endpoint.ok_or("HF_ENDPOINT is not a web address; it looks like https://huggingface.co")?;
        let home = env::var_os("HF_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let home = home
            .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/huggingface")))
            .ok_or(
                "the environment names neither HF_HOME nor HOME, so there is no place for the hub's cache",
            )?;
        let token = token_of(&home)?;
        Ok(Self { client: Client::new(allow_http), endpoint, token, cache: home.join("hub") })
    }

    /// The hub's description of `file`; nothing is fetched.
    pub fn about(&self, file: &HubFile) -> Result<About, HubError> {
        self.fetching(file).about()
    }

    /// The file, from the cache or the hub. What is there of a broken download is gone on with, and what comes
    /// is checked.
    pub fn fetch(&self, file: &HubFile) -> Result<Fetched, HubError> {
        self.fetch_as(file, &self.about(file)?)
    }

    /// As [`Self::fetch`], the file of which the hub has said this.
    pub fn fetch_as(&self, file: &HubFile, about: &About) -> Result<Fetched, HubError> {
        self.fetching(file).run(about)
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
        let folder = self.cache.join(format!("models--{}", file.repo.replace('/', "--")));
        Fetching { hub: self, file, folder }
    }

    fn endpoint(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }
}

/// `HF_TOKEN`, or what a login left in `home`.
fn token_of(home: &Path) -> Result<Option<String>, String> {
    let given = env::var("HF_TOKEN").ok().filter(|token| !token.trim().is_empty());
    let token = given.or_else(|| fs::read_to_string(home.join("token")).ok()).unwrap_or_default();
    let token = token.trim();
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("HF_TOKEN, or the token file of the login, has characters that no token has".to_owned());
    }
    Ok((!token.is_empty()).then(|| token.to_owned()))
}

impl Fetching<'_> {
    fn run(&self, about: &About) -> Result<Fetched, HubError> {
        let blob = self.folder.join("blobs").join(&about.etag);
        // A file that was put together of two tries, or that lay in the cache, may be damaged and is fetched
        // once more; one that came in one piece is what the hub has.
        let mut may_be_damaged = true;
        loop {
            if !blob.is_file() {
                may_be_damaged = self.download(about, &blob)?;
            }
            match check(&blob, about, self.file) {
                Ok(()) => {
                    self.show_to_others(about);
                    return Ok(Fetched { path: blob, sha256: about.sha256.clone() });
                }
                Err(error) => {
                    fs::remove_file(&blob).map_err(|error| self.local_trouble(&error))?;
                    if !std::mem::take(&mut may_be_damaged) {
                        return Err(HubError::Other(error));
                    }
                }
            }
        }
    }

    /// The address of the file at this branch, tag or commit.
    fn url(&self, revision: &str) -> Result<Url, HubError> {
        let HubFile { repo, file, .. } = self.file;
        let revision = revision.replace('/', "%2F");
        let text = format!("{}/{repo}/resolve/{revision}/{file}", self.hub.endpoint());
        web::parse(&text)
            .ok_or_else(|| HubError::Other(format!("{}: {text} is not a web address", self.file)))
    }

    fn about(&self) -> Result<About, HubError> {
        let url = self.url(&self.file.revision)?;
        let request = Request { url: &url, token: self.hub.token.as_deref(), headers: &[] };
        let asked = patiently(
            &mut (),
            |()| 0,
            |()| {
                // The hub's own words stand in the answer that sends elsewhere for the content.
                let decides = |answer: &Response<Body>| header(answer, "x-linked-etag").is_some();
                let response = self.hub.client.head(request, decides)?;
                match response.status().as_u16() {
                    200..=399 => Ok(response),
                    status => Err(download::refused(status)),
                }
            },
        );
        let answer = asked.map_err(|trouble| self.said(trouble))?;
        let etag = header(&answer, "x-linked-etag").or_else(|| header(&answer, "etag")).unwrap_or_default();
        let etag = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
        let commit = header(&answer, "x-repo-commit").unwrap_or_default();
        // Both become names of files.
        if !(is_sha256(etag) || is_sha1(etag)) {
            return Err(self.strange(format!("the ETag is {etag:?}, and no SHA-256 or SHA-1 in hex digits")));
        }
        if !is_sha1(commit) {
            return Err(
                self.strange(format!("the commit (x-repo-commit) is {commit:?}, and not 40 hex digits"))
            );
        }
        let size = header(&answer, "x-linked-size");
        let size =
            size.or_else(|| header(&answer, "content-length").filter(|_| answer.status().is_success()));
        Ok(About {
            sha256: is_sha256(etag).then(|| etag.to_owned()),
            bytes: size.and_then(|size| size.parse().ok()),
            etag: etag.to_owned(),
            commit: commit.to_owned(),
        })
    }

    /// Brings the file into the cache; whether a part of it was there before.
    fn download(&self, about: &About, blob: &Path) -> Result<bool, HubError> {
        let part = blob.with_extension("part");
        let folder = blob.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|error| self.local_trouble(&error))?;
        let had = fs::metadata(&part).is_ok_and(|metadata| metadata.len() > 0);
        let order = Order {
            url: &self.url(&about.commit)?,
            token: self.hub.token.as_deref(),
            name: self.file.file.rsplit('/').next().unwrap_or_default(),
            bytes: about.bytes,
            most: MOST_UNSAID,
            pinned: about.sha256.is_some(),
        };
        let complete = download::fetch(&self.hub.client, &order, &part).map_err(|error| self.said(error))?;
        fs::rename(&part, blob).map_err(|error| self.local_trouble(&error))?;
        download::forget(&part);
        drop(complete);
        Ok(had)
    }

    /// Makes the links by which other programs find the file. Nothing here needs them.
    fn show_to_others(&self, about: &About) {
        let snapshot = self.folder.join("snapshots").join(&about.commit).join(&self.file.file);
        let revision = self.folder.join("refs").join(&self.file.revision);
        let up = "../".repeat(self.file.file.split('/').count().saturating_add(1));
        let made = folder_for(&snapshot)
            .and_then(|()| match fs::symlink_metadata(&snapshot) {
                Ok(_) => Ok(()),
                Err(_) => symlink(format!("{up}blobs/{}", about.etag), &snapshot),
            })
            .and_then(|()| folder_for(&revision))
            .and_then(|()| files::write_unflushed(&revision, about.commit.as_bytes()));
        if let Err(error) = made {
            tracing::warn!(file = %self.file, %error, "other programs do not find it in the hub's cache");
        }
    }

    fn local_trouble(&self, error: &io::Error) -> HubError {
        let cache = self.hub.cache.display();
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

    fn strange(&self, what: String) -> HubError {
        HubError::Other(format!(
            "{}: {} does not answer as the hub does: {what}",
            self.file,
            self.hub.endpoint()
        ))
    }

    fn said(&self, trouble: Trouble) -> HubError {
        let HubFile { repo, revision, file } = self.file;
        let endpoint = super::source::shown(self.hub.endpoint());
        let status = match trouble {
            Trouble::Passing(error) | Trouble::Lasting(error) => {
                return HubError::Other(format!("{}: {endpoint}: {error}", self.file));
            }
            Trouble::Refused(status) => status,
        };
        match status {
            401 | 403 => HubError::Other(format!(
                "{}: the hub says {status}: {repo} is private, gated or not there; accept its terms at \
                 {endpoint}/{repo} and set HF_TOKEN, or log in with `hf auth login`",
                self.file
            )),
            404 => HubError::Missing(format!(
                "{}: the hub has no {file} in {repo} at revision {revision}; see {endpoint}/{repo}/tree/{revision}",
                self.file
            )),
            _ => HubError::Other(format!("{}: the hub answers with status {status}", self.file)),
        }
    }
}

fn folder_for(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Whether `text` is a SHA-1 in lower-case hex digits, as git names commits and files.
fn is_sha1(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a file in the cache is what the hub says.
fn check(blob: &Path, about: &About, file: &HubFile) -> Result<(), String> {
    let readable = |error: io::Error| format!("{}: {error}", blob.display());
    let bytes = fs::metadata(blob).map_err(readable)?.len();
    if let Some(wanted) = about.bytes.filter(|wanted| *wanted != bytes) {
        return Err(format!("{file}: {bytes} bytes came, and the hub says {wanted}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_hashes_are_of_one_form() {
        assert!(is_sha1(&"0a".repeat(20)));
        for no in ["", "c0ffee", &"0A".repeat(20), &"0a".repeat(21), &"0g".repeat(20), &"/a".repeat(20)] {
            assert!(!is_sha1(no), "{no}");
        }
    }
}
