//! Looks at the models folder anew: one look at a time, however many ask for it. A look may hash a large new file, which takes
//! minutes, and nobody who asks for something else waits for that.

use crate::models::shelf::Shelf;
use std::{
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Fewest digits that may be the beginning of a model's id.
const FEWEST_DIGITS: usize = 6;

/// Looks at the models folder.
#[derive(Debug)]
pub struct Lookout {
    shelf: Arc<Shelf>,
    state: Mutex<State>,
    /// Number of the last look that has ended.
    ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the last look that has begun.
    begun: u64,
    running: bool,
    /// Whether another look is wanted after the running one.
    again: bool,
}

impl Lookout {
    /// Looks at the folder of `shelf`.
    pub fn new(shelf: Arc<Shelf>) -> Arc<Self> {
        let (ended, _) = watch::channel(0);
        Arc::new(Self { shelf, state: Mutex::default(), ended })
    }

    /// Waits until a look that began after this call has ended. The look goes on if this is dropped.
    pub async fn look(self: &Arc<Self>) {
        let mut ended = self.ended.subscribe();
        let wanted = self.want();
        // The sender lives in `self`, so this ends only with news.
        let _news = ended.wait_for(|ended| *ended >= wanted).await;
    }

    /// Sees to it that a look begins after this call; its number.
    fn want(self: &Arc<Self>) -> u64 {
        let mut state = self.lock();
        if state.running {
            state.again = true;
            return state.begun.saturating_add(1);
        }
        state.running = true;
        state.begun = state.begun.saturating_add(1);
        tokio::spawn(Arc::clone(self).run());
        state.begun
    }

    async fn run(self: Arc<Self>) {
        loop {
            let shelf = Arc::clone(&self.shelf);
            if let Err(error) = tokio::task::spawn_blocking(move || shelf.scan()).await {
                tracing::error!(%error, "a look at the models folder failed");
            }
            let mut state = self.lock();
            self.ended.send_replace(state.begun);
            if !std::mem::take(&mut state.again) {
                state.running = false;
                return;
            }
            state.begun = state.begun.saturating_add(1);
        }
    }

    /// Whether a model that is called `wanted` may be in the folder although no look has found it: a file or folder of such a
    /// name is there, or `wanted` may be an id, which is known only when all files are hashed.
    pub fn may_hold(&self, wanted: &str) -> bool {
        let digits = wanted.strip_prefix("0x").unwrap_or(wanted);
        if digits.len() >= FEWEST_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return true;
        }
        match fs::read_dir(self.shelf.folder()) {
            Ok(entries) => {
                entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(wanted))
            }
            // What cannot be read is the look's to say.
            Err(_) => true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;

    #[tokio::test]
    async fn many_who_want_a_look_share_one_and_none_gets_an_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let models = folder.path().join("models");
        fs::create_dir(&models).unwrap();
        let shelf = Arc::new(Shelf::new(models.clone(), folder.path().join("digests.json")));
        let lookout = Lookout::new(Arc::clone(&shelf));
        join_all((0..600).map(|_| lookout.look())).await;
        let looks = lookout.lock().begun;
        assert!(looks <= 2, "{looks}");
        fs::write(models.join("late.gguf"), "x").unwrap();
        lookout.look().await;
        assert!(shelf.named("late").is_some());
    }

    #[test]
    fn only_what_may_be_there_is_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("big-00001-of-00002.gguf"), "x").unwrap();
        let shelf = Shelf::new(folder.path().to_owned(), folder.path().join("digests.json"));
        let lookout = Lookout::new(Arc::new(shelf));
        for (wanted, may) in [
            ("big", true),
            ("small", false),
            ("abcdef", true),
            ("0xABCDEF", true),
            ("abcde", false),
            ("../x", false),
        ] {
            assert_eq!(lookout.may_hold(wanted), may, "{wanted}");
        }
        fs::remove_dir_all(folder.path()).unwrap();
        assert!(lookout.may_hold("small"));
    }
}
