//! Turns: a few networks at a time, whatever runs the tests and however many at once.

use anyhow::{Context as _, Result};
use std::{fs::File, path::Path, process};

/// Networks that run at a time. Mostly they wait for blocks.
const TURNS: usize = 3;

/// The turn of a test's network, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    // Unlocked when it is closed.
    _locked: File,
}

impl Turn {
    /// Waits until fewer networks run of those that take turns in this folder.
    pub fn take(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        if let Some(free) = Self::free(folder)? {
            return Ok(free);
        }
        // Not all for the same one.
        let file = open(folder, process::id() as usize % TURNS)?;
        file.lock().context("a turn")?;
        Ok(Self { _locked: file })
    }

    /// A turn that nobody has.
    fn free(folder: &Path) -> Result<Option<Self>> {
        for turn in 0..TURNS {
            let file = open(folder, turn)?;
            if file.try_lock().is_ok() {
                return Ok(Some(Self { _locked: file }));
            }
        }
        Ok(None)
    }
}

fn open(folder: &Path, turn: usize) -> Result<File> {
    let path = folder.join(format!("poq-node.turn.{turn}"));
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    file.with_context(|| format!("{}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_turns_and_one_that_ends_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let mut turns: Vec<_> = (0..TURNS).map(|_| Turn::take(folder.path()).unwrap()).collect();
        assert!(Turn::free(folder.path()).unwrap().is_none());
        drop(turns.pop());
        assert!(Turn::free(folder.path()).unwrap().is_some());
    }
}
