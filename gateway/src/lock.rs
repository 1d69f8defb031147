//! Locks that keep two gateways apart: one per folder, one per file with a secret.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

/// A lock, held as long as this value and never longer than the process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock on `path`, a file that is made if there is none. `what` says what it protects.
    ///
    /// # Errors
    /// A text if another process holds it, or the file cannot be opened.
    pub fn take(path: &Path, what: &str) -> Result<Self, String> {
        let opened = File::options().create(true).truncate(false).write(true).open(path);
        Self::hold(opened, path, what)
    }

    /// Takes the lock on a file that is there and is only read.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn take_existing(path: &Path, what: &str) -> Result<Self, String> {
        Self::hold(File::open(path), path, what)
    }

    fn hold(opened: std::io::Result<File>, path: &Path, what: &str) -> Result<Self, String> {
        let file = opened.map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(format!(
                "another gateway uses {what} ({}): stop it, or give this one its own",
                path.display()
            )),
            Err(TryLockError::Error(error)) => Err(format!("cannot lock {}: {error}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_while_the_first_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.lock");
        let first = Lock::take(&path, "the folder").unwrap();
        let said = Lock::take(&path, "the folder").unwrap_err();
        assert!(said.contains("another gateway uses the folder"), "{said}");
        assert!(Lock::take_existing(&path, "the key").is_err());
        drop(first);
        Lock::take(&path, "the folder").unwrap();
    }
}
