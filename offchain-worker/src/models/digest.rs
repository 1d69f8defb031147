//! SHA-256 of files, remembered on disk beside what shows that a file has not changed: size and time of change.

use super::manifest::is_sha256;
use crate::files;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::UNIX_EPOCH,
};

/// Bytes that are read at once.
const CHUNK: usize = 1 << 18;

/// Digests of files, remembered in a JSON file. Nothing is read until the first question.
#[derive(Debug)]
pub struct Digests {
    path: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By the (first) file's path.
    digests: BTreeMap<String, Digest>,
    changed: bool,
}

/// The digest of one file, or of several one after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Digest {
    stamps: Vec<Stamp>,
    sha256: String,
}

/// Marks of an unchanged file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    /// Nanoseconds since 1970.
    modified_ns: u64,
}

impl Stamp {
    fn of(file: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(file)?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            bytes: metadata.len(),
            modified_ns: u64::try_from(modified.as_nanos()).unwrap_or(u64::MAX),
        })
    }
}

impl Digests {
    /// The digests remembered in the file `path`. A file that cannot be read or is damaged is an empty one.
    pub fn new(path: PathBuf) -> Self {
        Self { path, kept: Mutex::default() }
    }

    /// Reads what is on disk now: another process may have added to it.
    pub fn refresh(&self) {
        let read: Option<BTreeMap<String, Digest>> =
            files::read_regular(&self.path).ok().and_then(|json| serde_json::from_slice(&json).ok());
        let valid = read.unwrap_or_default().into_iter().filter(|(_, digest)| is_sha256(&digest.sha256));
        self.kept().digests.extend(valid);
    }

    /// SHA-256 of `files` one after another, as 64 lower-case hex digits: the remembered one if no file has
    /// changed in size or time since, else it is computed. Errors are one line for people.
    pub fn of(&self, files: &[PathBuf]) -> Result<String, String> {
        let stamps = stamps_of(files)?;
        match self.remembered(files) {
            Some(digest) if digest.stamps == stamps => Ok(digest.sha256),
            _ => self.afresh(files, &mut |_| {}),
        }
    }

    /// Computes the digest from the files' content, whatever is remembered, and remembers it. `progress` is
    /// told the number of bytes of each step.
    pub fn afresh(&self, files: &[PathBuf], progress: &mut dyn FnMut(u64)) -> Result<String, String> {
        let stamps = stamps_of(files)?;
        let sha256 = sha256_of(files, progress).map_err(unreadable)?;
        if stamps_of(files)? != stamps {
            return Err("is being written right now; look again when that is done".to_owned());
        }
        self.put(files, Digest { stamps, sha256: sha256.clone() });
        Ok(sha256)
    }

    /// The digest that is remembered of these files, whether or not they have changed since.
    pub fn before(&self, files: &[PathBuf]) -> Option<String> {
        self.remembered(files).map(|digest| digest.sha256)
    }

    /// Remembers a digest that is known from elsewhere: the files were hashed under another name.
    pub fn remember(&self, files: &[PathBuf], sha256: &str) {
        if let Ok(stamps) = stamps_of(files) {
            self.put(files, Digest { stamps, sha256: sha256.to_owned() });
        }
    }

    /// Writes to disk what is new, without the files that are gone.
    pub fn save(&self) {
        let mut kept = self.kept();
        if !std::mem::take(&mut kept.changed) {
            return;
        }
        kept.digests.retain(|file, _| Path::new(file).exists());
        let saved = serde_json::to_vec_pretty(&kept.digests)
            .map_err(io::Error::from)
            .and_then(|json| files::write_atomically(&self.path, &json));
        if let Err(error) = saved {
            tracing::warn!(path = %self.path.display(), %error, "digests of models are not remembered");
        }
    }

    fn remembered(&self, files: &[PathBuf]) -> Option<Digest> {
        self.kept().digests.get(key_of(files)?).cloned()
    }

    fn put(&self, files: &[PathBuf], digest: Digest) {
        // A name that is not UTF-8 is not remembered: JSON cannot hold it.
        if let Some(key) = key_of(files) {
            let mut kept = self.kept();
            kept.digests.insert(key.to_owned(), digest);
            kept.changed = true;
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(files: &[PathBuf]) -> Option<&str> {
    files.first()?.to_str()
}

fn stamps_of(files: &[PathBuf]) -> Result<Vec<Stamp>, String> {
    files.iter().map(|file| Stamp::of(file)).collect::<io::Result<_>>().map_err(unreadable)
}

fn unreadable(error: io::Error) -> String {
    format!("cannot be read: {error}")
}

/// SHA-256 of `files` one after another, as 64 lower-case hex digits. `progress` is told the number of bytes of
/// each step.
pub fn sha256_of(files: &[PathBuf], progress: &mut dyn FnMut(u64)) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    for file in files {
        let mut file = File::open(file)?;
        loop {
            let read = match file.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                outcome => outcome?,
            };
            let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            hasher.update(bytes);
            progress(bytes.len() as u64);
        }
    }
    Ok(hex::encode(hasher.finalize()))
}

/// SHA-256 of `bytes`, as 64 lower-case hex digits.
pub fn sha256_of_bytes(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn set_time(file: &Path, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn digests_are_remembered_and_a_damaged_memory_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let (file, memory) = (folder.path().join("a"), folder.path().join("digests.json"));
        fs::write(&file, "content").unwrap();
        let files = [file.clone()];
        let digests = Digests::new(memory.clone());
        let sha256 = digests.of(&files).unwrap();
        assert_eq!(sha256, sha256_of_bytes(b"content"));
        digests.save();

        // What is remembered is not computed again: same size, same time, other content.
        let time = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, "CONTENT").unwrap();
        File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        let again = Digests::new(memory.clone());
        again.refresh();
        assert_eq!(again.of(&files).unwrap(), sha256);
        assert_eq!(again.afresh(&files, &mut |_| {}).unwrap(), sha256_of_bytes(b"CONTENT"));

        for damage in ["{", "[]", r#"{"a": 1}"#, ""] {
            fs::write(&memory, damage).unwrap();
            let digests = Digests::new(memory.clone());
            digests.refresh();
            assert_eq!(digests.of(&files).unwrap(), sha256_of_bytes(b"CONTENT"));
        }
    }

    #[test]
    fn another_size_or_time_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let files = [file.clone()];
        let digests = Digests::new(folder.path().join("digests.json"));
        fs::write(&file, "one").unwrap();
        set_time(&file, 1_000);
        digests.of(&files).unwrap();
        fs::write(&file, "two").unwrap();
        set_time(&file, 1_001);
        assert_eq!(digests.of(&files).unwrap(), sha256_of_bytes(b"two"));
        fs::write(&file, "three").unwrap();
        set_time(&file, 1_001);
        assert_eq!(digests.of(&files).unwrap(), sha256_of_bytes(b"three"));
        fs::remove_file(&file).unwrap();
        assert!(digests.of(&files).unwrap_err().starts_with("cannot be read"));
        assert!(digests.of(&[folder.path().to_owned()]).unwrap_err().contains("not a file"));
    }

    #[test]
    fn several_files_are_hashed_one_after_another() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| folder.path().join(name));
        fs::write(&files[0], "x".repeat(CHUNK)).unwrap();
        fs::write(&files[1], "end").unwrap();
        let mut seen = 0;
        let sha256 = sha256_of(&files, &mut |bytes| seen += bytes).unwrap();
        assert_eq!(sha256, sha256_of_bytes(("x".repeat(CHUNK) + "end").as_bytes()));
        assert_eq!(seen, CHUNK as u64 + 3);
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (file, memory) = (folder.path().join("a"), folder.path().join("digests.json"));
        fs::write(&file, "content").unwrap();
        let digests = Digests::new(memory.clone());
        digests.of(std::slice::from_ref(&file)).unwrap();
        fs::remove_file(&file).unwrap();
        digests.save();
        assert_eq!(fs::read(&memory).unwrap(), b"{}");
    }
}
