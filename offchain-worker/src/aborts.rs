//! Which models died, how often in a row, and which are set aside for it, and for how long.
//!
//! One small file, so that a restart of the engine does not forget. It belongs to `poq-worker models retry` as well, so what
//! is on disk counts wherever it can be read. A model that does something right in between starts anew.

use crate::{files, store::now_ms};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// So many deaths in a row set a model aside.
pub const MOST_DEATHS: u32 = 3;

/// Pause of a model after its first death. Each further death doubles it.
pub const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// Longest pause of a model.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// The deaths of one model since it last did something right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deaths {
    /// Number of deaths in a row.
    pub count: u32,
    /// Cause of the last death, one line.
    pub last: String,
    /// When it died last, in milliseconds since 1970.
    #[serde(default)]
    pub at_ms: u64,
}

impl Deaths {
    /// Rest of the model's pause, from `now_ms`; `None` if it may be tried.
    pub fn set_aside(&self, now_ms: u64) -> Option<Duration> {
        let more = self.count.checked_sub(MOST_DEATHS)?;
        let pause = FIRST_PAUSE.saturating_mul(1 << more.min(16)).min(LONGEST_PAUSE);
        // A clock that was set back makes no pause longer.
        let since = Duration::from_millis(now_ms.saturating_sub(self.at_ms));
        pause.checked_sub(since).filter(|left| !left.is_zero())
    }
}

/// A model that is not tried for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Why.
    pub deaths: Deaths,
    /// For how long from now on.
    pub left: Duration,
}

impl SetAside {
    /// In words, without the model's name.
    pub fn in_words(&self) -> String {
        let Deaths { count, last, .. } = &self.deaths;
        let seconds = self.left.as_millis().div_ceil(1000);
        format!("its process died {count} times in a row (last: {last}); it is tried again in {seconds} s")
    }
}

/// The deaths of all models, by id.
#[derive(Debug)]
pub struct Aborts {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    deaths: BTreeMap<String, Deaths>,
    /// Whether the file says the same.
    saved: bool,
}

impl Aborts {
    /// The deaths that `data` records. A file that cannot be read counts as empty.
    pub fn open(data: &Path) -> Self {
        let path = data.join("aborts.json");
        let state = Mutex::new(State { deaths: read(&path), saved: true });
        Self { path, state }
    }

    /// Counts a death.
    pub fn died(&self, id: &str, how: &str) -> Deaths {
        let mut state = self.current();
        let entry = state.deaths.entry(id.to_owned()).or_default();
        *entry = Deaths { count: entry.count.saturating_add(1), last: how.to_owned(), at_ms: now_ms() };
        let now = entry.clone();
        self.save(&mut state);
        now
    }

    /// The model did something right.
    pub fn lives(&self, id: &str) {
        if !self.lock().deaths.contains_key(id) {
            return;
        }
        let mut state = self.current();
        if state.deaths.remove(id).is_some() {
            self.save(&mut state);
        }
    }

    /// Why the model is not to be tried now, and for how long; `None` if it may be.
    pub fn set_aside(&self, id: &str) -> Option<SetAside> {
        let aside = |state: &State| {
            let deaths = state.deaths.get(id)?;
            deaths.set_aside(now_ms()).map(|left| SetAside { deaths: deaths.clone(), left })
        };
        aside(&self.lock())?;
        aside(&self.current())
    }

    /// Forgets the deaths of a model; says whether there were any.
    pub fn forgive(&self, id: &str) -> io::Result<bool> {
        let mut state = self.current();
        let known = state.deaths.remove(id).is_some();
        files::write_atomically(&self.path, &serde_json::to_vec_pretty(&state.deaths)?)?;
        Ok(known)
    }

    /// The deaths known now: those of the file, or of memory if the file could not be written.
    fn current(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if state.saved {
            state.deaths = read(&self.path);
        }
        state
    }

    fn save(&self, state: &mut State) {
        let saved = serde_json::to_vec_pretty(&state.deaths)
            .map_err(io::Error::from)
            .and_then(|json| files::write_atomically(&self.path, &json));
        state.saved = saved.is_ok();
        if let Err(error) = saved {
            tracing::warn!(path = %self.path.display(), %error, "the deaths of models are not remembered");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> BTreeMap<String, Deaths> {
    files::read_regular(path).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn three_deaths_in_a_row_set_a_model_aside_until_it_is_forgiven() {
        let folder = tempfile::tempdir().unwrap();
        let aborts = Aborts::open(folder.path());
        aborts.died("a", "signal 6");
        aborts.died("a", "signal 6");
        assert_eq!(aborts.set_aside("a"), None);
        aborts.lives("a");
        for _ in 0..MOST_DEATHS {
            assert_eq!(aborts.set_aside("a"), None);
            aborts.died("a", "signal 11");
        }
        let aborts = Aborts::open(folder.path());
        let aside = aborts.set_aside("a").unwrap();
        assert_eq!((aside.deaths.count, aside.deaths.last.as_str()), (3, "signal 11"));
        assert!(aside.left <= FIRST_PAUSE && aside.in_words().contains("3 times"), "{aside:?}");
        assert_eq!(aborts.set_aside("b"), None);
        assert!(Aborts::open(folder.path()).forgive("a").unwrap(), "by another process");
        assert_eq!(aborts.set_aside("a"), None, "and this one notices");
        assert!(!aborts.forgive("a").unwrap());
    }

    #[test]
    fn a_pause_ends_and_the_next_one_is_longer() {
        let left = |count, since_ms| {
            let now = 1_700_000_000_000;
            Deaths { count, last: String::new(), at_ms: now - since_ms }.set_aside(now)
        };
        let seconds = Duration::from_secs;
        assert_eq!((left(2, 0), left(0, 0)), (None, None));
        assert_eq!(
            (left(3, 0), left(3, 29_999), left(3, 30_000)),
            (Some(seconds(30)), Some(Duration::from_millis(1)), None)
        );
        assert_eq!((left(4, 0), left(5, 0), left(4, 60_000)), (Some(seconds(60)), Some(seconds(120)), None));
        assert_eq!(
            (left(10, 0), left(u32::MAX, 0), left(u32::MAX, 3_600_000)),
            (Some(LONGEST_PAUSE), Some(LONGEST_PAUSE), None)
        );
        let future = Deaths { count: 3, last: String::new(), at_ms: u64::MAX };
        assert_eq!(future.set_aside(0), Some(FIRST_PAUSE), "the clock was set back");
    }

    #[test]
    fn forgiveness_is_not_undone_by_another_death() {
        let folder = tempfile::tempdir().unwrap();
        let aborts = Aborts::open(folder.path());
        for _ in 0..MOST_DEATHS {
            aborts.died("a", "signal 6");
        }
        assert!(Aborts::open(folder.path()).forgive("a").unwrap(), "by another process");
        aborts.died("b", "signal 6");
        assert_eq!(aborts.set_aside("a"), None);
        assert_eq!(Aborts::open(folder.path()).set_aside("a"), None);
        assert_eq!(aborts.died("b", "signal 6").count, 2);
    }

    #[test]
    fn deaths_that_cannot_be_written_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let aborts = Aborts::open(&data);
        for _ in 0..MOST_DEATHS {
            aborts.died("a", "signal 6");
        }
        assert!(aborts.set_aside("a").is_some());
        fs::create_dir(&data).unwrap();
        aborts.died("a", "signal 6");
        assert_eq!(Aborts::open(&data).set_aside("a").unwrap().deaths.count, 4);
    }

    #[test]
    fn what_an_older_engine_wrote_is_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("aborts.json"), r#"{"a":{"count":3,"last":"signal 6"}}"#).unwrap();
        let aborts = Aborts::open(folder.path());
        assert_eq!(aborts.set_aside("a"), None, "its pause is over");
        assert_eq!(aborts.died("a", "signal 6").count, 4);
    }

    #[test]
    fn a_damaged_file_forgets() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("aborts.json"), "{").unwrap();
        let aborts = Aborts::open(folder.path());
        assert_eq!(aborts.set_aside("a"), None);
        assert_eq!(aborts.died("a", "x").count, 1);
    }
}
