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
        let open = |turn: usize| {
            let path = folder.as_ref().join(format!("poq-node.turn.{turn}"));
            let file = File::options().create(true).truncate(false).write(true).open(&path);
            file.with_context(|| format!("{}", path.display()))
        };
        for turn in 0..TURNS {
            let file = open(turn)?;
            if file.try_lock().is_ok() {
                return Ok(Self { _locked: file });
            }
        }
        // Not all for the same one.
        let file = open(process::id() as usize % TURNS)?;
        file.lock().context("a turn")?;
        Ok(Self { _locked: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread};

    #[test]
    fn who_comes_late_waits_for_a_turn() {
        let folder = tempfile::tempdir().unwrap();
        let mut turns: Vec<_> = (0..TURNS).map(|_| Turn::take(folder.path()).unwrap()).collect();
        let (taken, waiting) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _turn = Turn::take(folder.path()).unwrap();
                taken.send(()).unwrap();
            });
            // While all are out, nothing comes; the end of all makes room.
            thread::yield_now();
            assert!(waiting.try_recv().is_err());
            turns.clear();
            waiting.recv().unwrap();
        });
    }
}
