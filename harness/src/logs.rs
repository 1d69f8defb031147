//! Log files of the processes that the harness starts.

use anyhow::{Context as _, Result};
use std::{
    fs::{self, File},
    path::Path,
};

/// Lines of a log that a failed test prints.
pub(crate) const SHOWN: usize = 200;

/// Opens a log to be written on.
pub(crate) fn append(path: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(path);
    file.with_context(|| format!("cannot write {}", path.display()))
}

/// The last `lines` lines of a log, or why it cannot be read.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return format!("{}: {error}", path.display()),
    };
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

/// Prints the end of a log if this thread is panicking, i.e. if a test has failed.
pub(crate) fn show_on_panic(name: &str, path: &Path) {
    if std::thread::panicking() {
        eprintln!("--- the end of the log of {name} ---\n{}", tail(path, SHOWN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_has_the_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert!(tail(&path, 2).contains("No such file"));
        fs::write(&path, "one\ntwo\nthree\n").unwrap();
        assert_eq!(tail(&path, 2), "two\nthree");
        assert_eq!(tail(&path, 9), "one\ntwo\nthree");
    }
}
