//! Files with secrets: mode 0600, or refused.

use rand::{rngs::OsRng, TryRngCore as _};
use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Longest secret file that is read, in bytes.
const MOST_BYTES: u64 = 64 * 1024;

/// A secret file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// Other users have access to the file.
    #[error("{} can be read or written by other users (mode {mode:03o}); run `chmod 600` on it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The content is not what the file should hold. The content itself is not repeated.
    #[error("{} {fault}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The fault and its remedy.
        fault: &'static str,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

impl FileError {
    /// An error of the system about this file.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |error| Self::Io { path: path.to_owned(), error }
    }
}

/// Reads a secret file, at most 64 KiB of it.
///
/// # Errors
/// [`FileError::Exposed`] if other users have any access to it; [`FileError::Io`].
pub fn read_secret(path: &Path) -> Result<Vec<u8>, FileError> {
    let file = fs::File::open(path).map_err(FileError::io(path))?;
    // Of the opened file, so that nobody can swap it in between.
    let mode = file.metadata().map_err(FileError::io(path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(FileError::io(path))?;
    Ok(bytes)
}

/// Reads a secret file of one line of text, without the white space around it.
///
/// # Errors
/// As [`read_secret`]; [`FileError::Content`] if it is not UTF-8 or empty.
pub fn read_secret_line(path: &Path) -> Result<String, FileError> {
    let fault = |fault| FileError::Content { path: path.to_owned(), fault };
    let text = String::from_utf8(read_secret(path)?).map_err(|_| fault("is not UTF-8"))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(fault("is empty"));
    }
    Ok(text.to_owned())
}

/// Makes a secret file with mode 0600, on disk when this returns.
///
/// # Errors
/// [`FileError::Io`], with [`io::ErrorKind::AlreadyExists`] if the file is there.
pub fn create_secret(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_folder(folder)?;
    }
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(path).map_err(FileError::io(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(FileError::io(path))
}

/// Makes a folder that only its user can enter, unless it is there.
///
/// # Errors
/// [`FileError::Io`].
pub fn make_folder(folder: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(FileError::io(folder))
}

/// The 32-byte seed in a file of 64 hex digits, with `0x` before them or not. A file that is not there is made, with a random seed.
///
/// # Errors
/// As [`read_secret_line`] and [`create_secret`].
pub fn seed(path: &Path) -> Result<[u8; 32], FileError> {
    if !path.exists() {
        let seed = random()?;
        create_secret(path, format!("0x{}\n", hex::encode(seed)).as_bytes())?;
        return Ok(seed);
    }
    let text = read_secret_line(path)?;
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    let mut seed = [0; 32];
    let fault = "does not hold a seed of 64 hex digits; remove it to get a new key";
    hex::decode_to_slice(digits, &mut seed)
        .map_err(|_| FileError::Content { path: path.to_owned(), fault })?;
    Ok(seed)
}

/// 32 random bytes of the system.
///
/// # Errors
/// [`FileError::NoRandomness`].
pub fn random() -> Result<[u8; 32], FileError> {
    let mut bytes = [0; 32];
    OsRng.try_fill_bytes(&mut bytes).map_err(|_| FileError::NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/express");
        let made = seed(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(seed(&path).unwrap(), made);
    }

    #[test]
    fn an_exposed_or_broken_file_is_refused_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create_secret(&path, b"0123-no-hex").unwrap();
        let error = seed(&path).unwrap_err().to_string();
        assert!(error.contains("64 hex digits") && !error.contains("0123"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(seed(&path), Err(FileError::Exposed { mode: 0o640, .. })));
    }
}
