//! Downloads, from any web server and from the hub: with a progress bar, and resumed where they broke off.
//!
//! The part that has arrived lies in `NAME.part`. Beside it `NAME.part.json` holds the server's mark of that version of the
//! file (its ETag, or else when it was changed), so that parts of two versions are never put together: a
//! further request asks for the rest only if the mark still holds (`If-Range`, RFC 9110). A file that is known by its
//! hash beforehand needs no mark.

use super::{
    client::{header, Client, Request, Trouble},
    digest::sha256_of_bytes,
    progress,
    source::{file_of_url, shown},
};
use crate::{files, web};
use indicatif::{HumanBytes, ProgressBar};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use ureq::{http::Response, Body};

/// Tries in a row that bring nothing new before a download is given up.
const TRIES: u32 = 5;

/// Bytes that are read at once.
const CHUNK: usize = 1 << 18;

/// A file to download.
pub(super) struct Order<'a> {
    pub url: &'a Url,
    /// A bearer token for the origin of `url`.
    pub token: Option<&'a str>,
    /// Label of its progress bar.
    pub name: &'a str,
    /// Size in bytes, where it is known beforehand.
    pub bytes: Option<u64>,
    /// Most bytes that are taken where nobody says the size.
    pub most: u64,
    /// Whether the caller knows the hash of the whole and compares it. What came before is then gone on with, whatever
    /// the server calls the version.
    pub pinned: bool,
}

/// Record of an unfinished download.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// SHA-256 of the address, which may hold secrets itself.
    address: String,
    /// The server's ETag or Last-Modified.
    version: String,
    /// Size of the whole file, if the server says it.
    bytes: Option<u64>,
}

/// Record of the file that came in part.
struct Known {
    /// The server's ETag or Last-Modified; none of a file that is known by its hash.
    version: Option<String>,
    /// Size of the whole file.
    bytes: Option<u64>,
}

/// A download in progress.
struct Transfer<'a> {
    client: &'a Client,
    order: &'a Order<'a>,
    path: &'a Path,
    file: File,
    bar: ProgressBar,
}

/// Downloads the file at the web address `url` into the file `part`, as [`fetch`] does. Errors are one line.
pub(super) fn from_web(client: &Client, url: &str, part: &Path) -> Result<File, String> {
    let said = |error: String| format!("{}: {error}", shown(url));
    let address = web::parse(url).ok_or_else(|| said("this is not a web address".to_owned()))?;
    let name = file_of_url(url).unwrap_or_default();
    let order = Order { url: &address, token: None, name, bytes: None, most: u64::MAX, pinned: false };
    fetch(client, &order, part).map_err(|trouble| said(in_words(trouble)))
}

/// Downloads into the file `part`, and goes on with what is there already. When this returns `Ok` the file is complete and
/// on disk; whether it is the right one is the caller's business, as are its final name and a call of [`forget`]. What is
/// returned keeps others from the file until it is dropped. After an error the file stays for the next try.
pub(super) fn fetch(client: &Client, order: &Order<'_>, part: &Path) -> Result<File, Trouble> {
    let open = File::options().create(true).append(true).open(part);
    let file = open.map_err(|error| Trouble::Lasting(format!("{}: {error}", part.display())))?;
    let busy = || Trouble::Lasting("another poq-worker is fetching it right now; try again later".to_owned());
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Err(busy()),
        Ok(()) | Err(TryLockError::Error(_)) => {} // Some network file systems have no locks.
    }
    // Between opening and locking, another one may have finished it and given it its final name.
    if !is_same_file(&file, part) {
        return Err(busy());
    }
    let bar = progress::bar(order.name, order.bytes.unwrap_or(0));
    let mut transfer = Transfer { client, order, path: part, file, bar };
    let have = |transfer: &Transfer<'_>| transfer.have().unwrap_or_default();
    let outcome = patiently(&mut transfer, have, Transfer::attempt);
    transfer.bar.finish_and_clear();
    outcome.map(|()| transfer.file)
}

/// Tries `work` until it succeeds, or fails for good, or fails several times in a row without what it `has` growing.
pub(super) fn patiently<State, T>(
    state: &mut State,
    has: impl Fn(&State) -> u64,
    work: impl Fn(&mut State) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let (mut most, mut tries) = (has(state), 0);
    loop {
        let error = match work(state) {
            Err(Trouble::Passing(error)) => error,
            outcome => return outcome,
        };
        let have = has(state);
        if have > most {
            (most, tries) = (have, 0);
        }
        tries += 1;
        if tries >= TRIES {
            let kept = "what has come is kept, and the same command goes on with it";
            return Err(Trouble::Lasting(format!("{error}; {kept}")));
        }
        tracing::debug!(error, "download broken, trying again");
        thread::sleep(pause(tries));
    }
}

/// Whether `path` still names `file`.
fn is_same_file(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (Ok(open), Ok(named)) = (file.metadata(), fs::metadata(path)) else { return false };
    identity(open) == identity(named)
}

/// Removes the file `part` and what is remembered of it.
pub fn forget(part: &Path) {
    for path in [part, &mark_of(part)] {
        if let Err(error) = files::remove_durably(path) {
            tracing::warn!(path = %path.display(), %error, "cannot be removed");
        }
    }
}

/// Whether the disk of `folder` has room for `bytes` more bytes.
pub fn room_for(folder: &Path, bytes: u64) -> Result<(), String> {
    let disk = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk,
        // Not every file system says; then writing will tell.
        Err(_) => return Ok(()),
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if bytes > free {
        return Err(format!(
            "the disk of {} has no room: {} are needed and {} are free",
            folder.display(),
            HumanBytes(bytes),
            HumanBytes(free)
        ));
    }
    Ok(())
}

/// Delay before retry number `tries` (1, 2, …).
fn pause(tries: u32) -> Duration {
    Duration::from_millis(250).saturating_mul(1 << tries.min(6))
}

impl Transfer<'_> {
    /// One request, and all that it brings.
    fn attempt(&mut self) -> Result<(), Trouble> {
        let known = self.known();
        if known.is_none() {
            self.start_over()?;
        }
        let have = self.have()?;
        if self.order.pinned && have > 0 && self.order.bytes == Some(have) {
            // The process died between the last byte and the name.
            return self.sync();
        }
        let response = self.request(known.as_ref().filter(|_| have > 0), have)?;
        match (response.status().as_u16(), known) {
            (200, _) => {
                self.start_over()?;
                let length = header(&response, "content-length").and_then(|length| length.parse().ok());
                let total = self.order.bytes.or(length);
                self.remember(&response, total)?;
                self.take(response, total)
            }
            (206, Some(known)) if have > 0 => {
                let Some(total) = goes_on(&response, &known, have) else {
                    self.start_over()?;
                    return Err(Trouble::Passing("the file changed on the server".to_owned()));
                };
                self.take(response, total)
            }
            // Nothing is left to send: all is there, or the file has become shorter.
            (416, Some(known)) if have > 0 && known.bytes == Some(have) => self.sync(),
            (416, Some(_)) => {
                self.start_over()?;
                Err(Trouble::Passing("the file changed on the server".to_owned()))
            }
            (status, _) => Err(refused(status)),
        }
    }

    /// Asks for the file, or for what comes after the first `have` bytes of what is `known`.
    fn request(&self, known: Option<&Known>, have: u64) -> Result<Response<Body>, Trouble> {
        let mut headers = Vec::new();
        if let Some(known) = known {
            headers.push(("range", format!("bytes={have}-")));
            headers.extend(known.version.clone().map(|version| ("if-range", version)));
        }
        self.client.get(Request { url: self.order.url, token: self.order.token, headers: &headers })
    }

    /// Appends the answer to the file; `total` is what the file has to become.
    fn take(&mut self, response: Response<Body>, total: Option<u64>) -> Result<(), Trouble> {
        let have = self.have()?;
        if let Some(total) = total {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            room_for(folder, total.saturating_sub(have)).map_err(Trouble::Lasting)?;
            self.bar.set_length(total);
        }
        self.bar.set_position(have);
        let most = total.unwrap_or(self.order.most);
        let mut now = have;
        let mut body = response.into_body().into_reader();
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = body.read(&mut chunk).map_err(|error| broken(&error))?;
            let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            now = now.saturating_add(bytes.len() as u64);
            if now > most {
                // Whoever sends more than was said may never stop.
                self.start_over()?;
                return Err(Trouble::Lasting(format!(
                    "the server sends more than the {most} bytes that it should"
                )));
            }
            self.file.write_all(bytes).map_err(|error| self.unwritable(error))?;
            self.bar.inc(bytes.len() as u64);
        }
        match total {
            Some(total) if now < total => Err(Trouble::Passing("the transfer broke off".to_owned())),
            _ => self.sync(),
        }
    }

    fn sync(&self) -> Result<(), Trouble> {
        self.file.sync_all().map_err(|error| self.unwritable(error))
    }

    fn have(&self) -> Result<u64, Trouble> {
        let metadata = self.file.metadata().map_err(|error| self.unwritable(error))?;
        Ok(metadata.len())
    }

    fn start_over(&mut self) -> Result<(), Trouble> {
        if self.have()? > 0 {
            self.file.set_len(0).map_err(|error| self.unwritable(error))?;
        }
        files::remove_durably(&mark_of(self.path)).map_err(|error| self.unwritable(error))
    }

    /// Record of the file that came in part; `None` if nothing shows which version it was.
    fn known(&self) -> Option<Known> {
        if self.order.pinned {
            return Some(Known { version: None, bytes: self.order.bytes });
        }
        let mark: Mark = serde_json::from_slice(&fs::read(mark_of(self.path)).ok()?).ok()?;
        let here = mark.address == self.address();
        here.then_some(Known { version: Some(mark.version), bytes: mark.bytes })
    }

    fn address(&self) -> String {
        sha256_of_bytes(self.order.url.as_str().as_bytes())
    }

    /// Remembers the version that comes now. Without one a broken transfer starts from the beginning.
    fn remember(&self, response: &Response<Body>, bytes: Option<u64>) -> Result<(), Trouble> {
        let Some(version) = version_of(response).filter(|_| !self.order.pinned) else { return Ok(()) };
        let mark = Mark { address: self.address(), version, bytes };
        let written = serde_json::to_vec(&mark)
            .map_err(io::Error::from)
            .and_then(|json| files::write_atomically(&mark_of(self.path), &json));
        written.map_err(|error| self.unwritable(error))
    }

    fn unwritable(&self, error: io::Error) -> Trouble {
        let kept = "what has come is kept, and the same command goes on with it";
        Trouble::Lasting(match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("the disk of {} is full; make room: {kept}", self.path.display())
            }
            _ => format!("{} cannot be written: {error}", self.path.display()),
        })
    }
}

/// The size of the whole, as far as it is known, if a 206 is the rest of the file from byte `have` on.
fn goes_on(response: &Response<Body>, known: &Known, have: u64) -> Option<Option<u64>> {
    let (start, total) = content_range(header(response, "content-range")?)?;
    // A server that knows no `If-Range` sends the rest of another version; its marks give that away.
    let wanted = known.version.as_ref();
    let other = wanted.is_some() && version_of(response).is_some_and(|version| Some(&version) != wanted);
    let sizes_differ = matches!((total, known.bytes), (Some(total), Some(bytes)) if total != bytes);
    (start == have && !sizes_differ && !other).then_some(known.bytes.or(total))
}

/// First byte and size of the whole in `bytes FIRST-LAST/SIZE`; the size may be `*`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

/// Mark of a file's version: a strong ETag, or the time of the last change.
fn version_of(response: &Response<Body>) -> Option<String> {
    let strong = header(response, "etag").filter(|etag| !etag.starts_with("W/"));
    strong.or_else(|| header(response, "last-modified")).map(str::to_owned)
}

fn mark_of(part: &Path) -> PathBuf {
    let mut path = part.as_os_str().to_owned();
    path.push(".json");
    path.into()
}

fn broken(error: &io::Error) -> Trouble {
    Trouble::Passing(format!("the transfer broke off ({error})"))
}

/// Fault of a status other than success.
pub(super) fn refused(status: u16) -> Trouble {
    match status {
        408 | 416 | 425 | 429 | 500..=599 => {
            Trouble::Passing(format!("the server is busy or broken (status {status}); try again later"))
        }
        status => Trouble::Refused(status),
    }
}

/// Fault of a plain web server.
fn in_words(trouble: Trouble) -> String {
    match trouble {
        Trouble::Passing(error) | Trouble::Lasting(error) => error,
        Trouble::Refused(status @ (401 | 403)) => {
            format!("the server does not hand it out without a login (status {status})")
        }
        Trouble::Refused(status @ (404 | 410)) => {
            format!("the server does not have it (status {status}); check the address")
        }
        Trouble::Refused(status) => format!("the server answers with status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for bad in ["", "bytes */10", "5-9/10", "bytes x-9/10", "bytes 99999999999999999999-9/10"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn room_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(room_for(folder.path(), 0), Ok(()));
        let error = room_for(folder.path(), u64::MAX).unwrap_err();
        assert!(error.contains("has no room") && error.contains("16.00 EiB"), "{error}");
    }

    #[test]
    fn pauses_grow_and_end_growing() {
        assert_eq!(pause(1), Duration::from_millis(500));
        assert_eq!(pause(6), pause(u32::MAX));
    }

    #[test]
    fn what_may_pass_is_told_from_what_lasts() {
        for status in [408, 429, 500, 503, 599] {
            assert!(matches!(refused(status), Trouble::Passing(_)), "{status}");
        }
        for status in [304, 400, 401, 403, 404, 410, 600] {
            assert!(matches!(refused(status), Trouble::Refused(_)), "{status}");
        }
    }

    #[test]
    fn a_part_that_got_its_name_meanwhile_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (part, whole) = (folder.path().join("m.part"), folder.path().join("m"));
        let open = File::create(&part).unwrap();
        assert!(is_same_file(&open, &part));
        fs::rename(&part, &whole).unwrap();
        assert!(!is_same_file(&open, &part));
        File::create(&part).unwrap();
        assert!(!is_same_file(&open, &part) && is_same_file(&open, &whole));
    }

    proptest! {
        #[test]
        fn noise_is_no_range(noise in "\\PC*") {
            let _ = content_range(&noise);
        }
    }
}
