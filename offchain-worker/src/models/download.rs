//! Downloads from any web server: with a progress bar, and resumed where they broke off.
//!
//! What has come lies in `NAME.part`. Beside it `NAME.part.json` holds the server's mark of that version of the
//! file (its ETag, or else when it was changed), so that parts of two versions are never put together: a
//! further request asks for the rest only if the mark still holds (`If-Range`, RFC 9110).

use super::{digest::sha256_of_bytes, progress, source::shown};
use crate::files;
use indicatif::{HumanBytes, ProgressBar};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use ureq::{http::Response, Agent, Body};

/// Tries in a row that bring nothing new before a download is given up.
pub(super) const TRIES: u32 = 5;

/// Longest wait for a connection, for an answer, and for the next bytes of a file.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes that are read at once.
const CHUNK: usize = 1 << 18;

/// Why a download stops.
#[derive(Debug)]
enum Trouble {
    /// Another try may help.
    Passing(String),
    /// It will not.
    Lasting(String),
}

/// What is remembered of a download that is under way.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// SHA-256 of the address, which may hold secrets itself.
    address: String,
    /// The server's ETag or Last-Modified.
    version: String,
    /// Size of the whole file, if the server says it.
    bytes: Option<u64>,
}

/// One download.
struct Transfer<'a> {
    agent: Agent,
    url: &'a str,
    path: &'a Path,
    file: File,
    bar: ProgressBar,
}

/// Downloads `url` into the file `part`, and goes on with what is there already. When this returns `Ok` the
/// file is complete and on disk; whether it is the right one is the caller's business, as are its final name
/// and a call of [`forget`]. After an error it stays for the next try. Errors are one line.
pub fn fetch(url: &str, part: &Path) -> Result<(), String> {
    let open = File::options().create(true).append(true).open(part);
    let file = open.map_err(|error| format!("{}: {error}", part.display()))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Err("another poq-worker is fetching it right now".to_owned()),
        Ok(()) | Err(TryLockError::Error(_)) => {} // Some network file systems have no locks.
    }
    let bar = progress::bar(super::source::file_of_url(url).unwrap_or_default(), 0);
    let mut transfer = Transfer { agent: agent(), url, path: part, file, bar };
    let outcome = transfer.run();
    transfer.bar.finish_and_clear();
    outcome.map_err(|error| format!("{}: {error}", shown(url)))
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

/// How long to wait before try number `tries` (1, 2, …) after a failure.
pub(super) fn pause(tries: u32) -> Duration {
    Duration::from_millis(250).saturating_mul(1 << tries.min(6))
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        // A file is wanted as it is: what is packed on the way has another length and no ranges.
        .accept_encoding("identity")
        .user_agent(concat!("poq-worker/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

impl Transfer<'_> {
    fn run(&mut self) -> Result<(), String> {
        let (mut most, mut tries) = (self.have().unwrap_or_default(), 0);
        loop {
            let error = match self.attempt() {
                Ok(()) => return Ok(()),
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::Passing(error)) => error,
            };
            let have = self.have().unwrap_or_default();
            if have > most {
                (most, tries) = (have, 0);
            }
            tries += 1;
            if tries >= TRIES {
                return Err(format!("{error}; what has come is kept, and the same command goes on with it"));
            }
            tracing::debug!(error, "download broken, trying again");
            thread::sleep(pause(tries));
        }
    }

    /// One request, and all that it brings.
    fn attempt(&mut self) -> Result<(), Trouble> {
        let mark = self.mark();
        if mark.is_none() {
            self.start_over()?;
        }
        let have = self.have()?;
        let mut request = self.agent.get(self.url);
        if let (Some(mark), true) = (&mark, have > 0) {
            request = request.header("range", format!("bytes={have}-")).header("if-range", &mark.version);
        }
        let response = request.call().map_err(trouble)?;
        match (response.status().as_u16(), mark) {
            (200, _) => {
                self.start_over()?;
                let total = header(&response, "content-length").and_then(|length| length.parse().ok());
                self.remember(&response, total)?;
                self.take(response, total)
            }
            (206, Some(mark)) if have > 0 => {
                if !goes_on(&response, &mark, have) {
                    self.start_over()?;
                    return Err(Trouble::Passing("the file changed on the server".to_owned()));
                }
                self.take(response, mark.bytes)
            }
            // Nothing is left to send: all is there, or the file has become shorter.
            (416, Some(mark)) if have > 0 && mark.bytes == Some(have) => self.sync(),
            (416, Some(_)) => {
                self.start_over()?;
                Err(Trouble::Passing("the file changed on the server".to_owned()))
            }
            (status, _) => Err(refused(status)),
        }
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
        let mut body = response.into_body().into_reader();
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = body.read(&mut chunk).map_err(|error| broken(&error))?;
            let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            self.file.write_all(bytes).map_err(|error| self.unwritable(error))?;
            self.bar.inc(bytes.len() as u64);
        }
        let now = self.have()?;
        match total {
            Some(total) if now < total => Err(Trouble::Passing("the transfer broke off".to_owned())),
            Some(total) if now > total => {
                self.start_over()?;
                Err(Trouble::Passing(format!("{now} bytes came, and the server said {total}")))
            }
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

    /// What is remembered of this download, if it is of this address.
    fn mark(&self) -> Option<Mark> {
        let mark: Mark = serde_json::from_slice(&fs::read(mark_of(self.path)).ok()?).ok()?;
        (mark.address == sha256_of_bytes(self.url.as_bytes())).then_some(mark)
    }

    /// Remembers the version that comes now. Without one a broken transfer starts from the beginning.
    fn remember(&self, response: &Response<Body>, bytes: Option<u64>) -> Result<(), Trouble> {
        let Some(version) = version_of(response) else { return Ok(()) };
        let mark = Mark { address: sha256_of_bytes(self.url.as_bytes()), version, bytes };
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

/// Whether a 206 is the rest, from byte `have` on, of the file that `mark` remembers.
fn goes_on(response: &Response<Body>, mark: &Mark, have: u64) -> bool {
    let Some((start, total)) = header(response, "content-range").and_then(content_range) else {
        return false;
    };
    // A server that knows no `If-Range` sends the rest of another version; its marks give that away.
    let other = version_of(response).is_some_and(|version| version != mark.version);
    start == have && (total.is_none() || mark.bytes.is_none() || total == mark.bytes) && !other
}

/// First byte and size of the whole in `bytes FIRST-LAST/SIZE`; the size may be `*`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

/// What tells versions of a file apart: a strong ETag, or the time of the last change.
fn version_of(response: &Response<Body>) -> Option<String> {
    let strong = header(response, "etag").filter(|etag| !etag.starts_with("W/"));
    strong.or_else(|| header(response, "last-modified")).map(str::to_owned)
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn mark_of(part: &Path) -> PathBuf {
    let mut path = part.as_os_str().to_owned();
    path.push(".json");
    path.into()
}

fn broken(error: &io::Error) -> Trouble {
    Trouble::Passing(format!("the transfer broke off ({error})"))
}

fn refused(status: u16) -> Trouble {
    match status {
        408 | 425 | 429 | 500..=599 => {
            Trouble::Passing(format!("the server is busy or broken (status {status}); try again later"))
        }
        401 | 403 => {
            Trouble::Lasting(format!("the server does not hand it out without a login (status {status})"))
        }
        404 | 410 => {
            Trouble::Lasting(format!("the server does not have it (status {status}); check the address"))
        }
        _ => Trouble::Lasting(format!("the server answers with status {status}")),
    }
}

/// What a failed request means. The text of an error is shown only where it cannot hold the address.
fn trouble(error: ureq::Error) -> Trouble {
    use ureq::Error;
    match error {
        Error::BadUri(_) | Error::Http(_) => Trouble::Lasting("this is not a web address".to_owned()),
        Error::HostNotFound => Trouble::Lasting("no such host, or no network".to_owned()),
        Error::TooManyRedirects | Error::RedirectFailed => {
            Trouble::Lasting("the server sends from one address to the next without end".to_owned())
        }
        Error::Io(error) => Trouble::Passing(format!("no connection ({error})")),
        Error::Timeout(_) => Trouble::Passing("the server does not answer".to_owned()),
        error => Trouble::Passing(format!("no connection ({error})")),
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
        for status in [400, 401, 403, 404, 410, 600] {
            assert!(matches!(refused(status), Trouble::Lasting(_)), "{status}");
        }
        let secret = trouble(ureq::Error::BadUri("http://secret".to_owned()));
        assert!(!format!("{secret:?}").contains("secret"));
    }

    proptest! {
        #[test]
        fn noise_is_no_range(noise in "\\PC*") {
            let _ = content_range(&noise);
        }
    }
}
