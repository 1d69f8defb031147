//! Clocks, to put wrong: libfaketime between a node and the system's clock.

use anyhow::{Context as _, Result};
use std::{
    env::consts::ARCH,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// The clock of one node. Time goes on at its usual pace; only what the wall clock says is moved.
#[derive(Clone, Debug)]
pub struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// A right clock, whose offset is kept in `file`; `None` where libfaketime is not installed (Debian's package `faketime`).
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn new(file: &Path) -> Result<Option<Self>> {
        let folders = [
            format!("/usr/lib/{ARCH}-linux-gnu/faketime"),
            "/usr/lib/faketime".into(),
            "/usr/lib64/faketime".into(),
        ];
        let mut libraries = folders.iter().map(|folder| Path::new(folder).join("libfaketimeMT.so.1"));
        let Some(library) = libraries.find(|library| library.is_file()) else { return Ok(None) };
        let clock = Self { file: file.to_owned(), library };
        clock.put(0)?;
        Ok(Some(clock))
    }

    /// Puts the clock so many seconds ahead of the true time, or behind it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn put(&self, seconds: i64) -> Result<()> {
        // At once or not at all: a node reads the file whenever it likes.
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{seconds:+}\n"))
            .and_then(|()| fs::rename(&next, &self.file))
            .with_context(|| format!("cannot write {}", self.file.display()))
    }

    /// What a process needs in its environment to go by this clock.
    pub fn environment(&self) -> Vec<(String, OsString)> {
        let pairs: [(&str, OsString); 5] = [
            ("LD_PRELOAD", self.library.clone().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone().into()),
            // Look into the file at most once a second, and leave monotonic clocks and files alone.
            ("FAKETIME_CACHE_DURATION", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
