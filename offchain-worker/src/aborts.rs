//! Which models died, how often in a row, and which are set aside for it.
//!
//! One small file, so that a restart of the engine does not forget. A model that does something right in between
//! starts anew.

use crate::files;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// So many deaths in a row set a model aside.
pub const MOST_DEATHS: u32 = 3;

/// The deaths of one model since it last did something right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deaths {
    /// How many.
    pub count: u32,
    /// How it died last, one line.
    pub last: String,
}

impl Deaths {
    /// Whether the model is not tried any more.
    pub fn set_aside(&self) -> bool {
        self.count >= MOST_DEATHS
    }
}

/// The deaths of all models, by id.
#[derive(Debug)]
pub struct Aborts {
    path: PathBuf,
    deaths: Mutex<BTreeMap<String, Deaths>>,
}

impl Aborts {
    /// What `data` remembers. A file that cannot be read is an empty one.
    pub fn open(data: &Path) -> Self {
        let path = data.join("aborts.json");
        let deaths = Mutex::new(read(&path));
        Self { path, deaths }
    }

    /// Counts a death.
    pub fn died(&self, id: &str, how: &str) -> Deaths {
        let mut deaths = self.lock();
        let entry = deaths.entry(id.to_owned()).or_default();
        *entry = Deaths { count: entry.count.saturating_add(1), last: how.to_owned() };
        let now = entry.clone();
        self.save(&deaths);
        now
    }

    /// The model did something right.
    pub fn lives(&self, id: &str) {
        let mut deaths = self.lock();
        if deaths.remove(id).is_some() {
            self.save(&deaths);
        }
    }

    /// Why the model is not to be tried; `None` if it may be. A model that is set aside is looked up on disk, because
    /// `poq-worker models retry` forgives it there.
    pub fn set_aside(&self, id: &str) -> Option<Deaths> {
        let mut deaths = self.lock();
        if !deaths.get(id)?.set_aside() {
            return None;
        }
        *deaths = read(&self.path);
        deaths.get(id).filter(|deaths| deaths.set_aside()).cloned()
    }

    /// Forgets the deaths of a model; says whether there were any.
    pub fn forgive(&self, id: &str) -> io::Result<bool> {
        let mut deaths = self.lock();
        let known = deaths.remove(id).is_some();
        files::write_atomically(&self.path, &serde_json::to_vec_pretty(&*deaths)?)?;
        Ok(known)
    }

    fn save(&self, deaths: &BTreeMap<String, Deaths>) {
        let saved = serde_json::to_vec_pretty(deaths)
            .map_err(io::Error::from)
            .and_then(|json| files::write_atomically(&self.path, &json));
        if let Err(error) = saved {
            tracing::warn!(path = %self.path.display(), %error, "the deaths of models are not remembered");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Deaths>> {
        self.deaths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> BTreeMap<String, Deaths> {
    fs::read(path).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(aborts.set_aside("a"), Some(Deaths { count: 3, last: "signal 11".into() }));
        assert_eq!(aborts.set_aside("b"), None);
        assert!(Aborts::open(folder.path()).forgive("a").unwrap(), "by another process");
        assert_eq!(aborts.set_aside("a"), None, "and this one notices");
        assert!(!aborts.forgive("a").unwrap());
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
