//! Clocks that can be set wrong: libfaketime between a node and the system's clock.

use anyhow::{Context as _, Result};
use std::{
    env::consts::ARCH,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// The wall clock of one node. It runs at the usual pace, with an offset.
#[derive(Clone, Debug)]
pub struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// A clock with offset 0, which is stored in `file`; `None` if libfaketime is not installed (Debian's package `faketime`).
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

    /// Sets the offset from the true time, in seconds; a negative one sets the clock back.
    pub fn put(&self, seconds: i64) -> Result<()> {
        // Renamed, not written in place: the node may read the file at any time.
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{seconds:+}\n"))
            .and_then(|()| fs::rename(&next, &self.file))
            .with_context(|| format!("cannot write {}", self.file.display()))
    }

    /// Environment variables that make a process use this clock.
    pub fn environment(&self) -> Vec<(String, OsString)> {
        let pairs: [(&str, OsString); 5] = [
            ("LD_PRELOAD", self.library.clone().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone().into()),
            // Reads the file at most once a second; leaves monotonic clocks and times of files alone.
            ("FAKETIME_CACHE_DURATION", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
