//! The border between the HTTP side and the network.
//!
//! A [`Lane`] brings an order to the network and tells the [`Board`] how it goes. Today's lane is the [chain](crate::chain): a transaction,
//! then blocks. The express lane, which asks operators directly, is another implementation: it takes the same orders, and tells the
//! same news. Nothing in `api/` or `desk` knows which lane an order takes.

use crate::order::{Outcome, Progress};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// A way to ask the network.
pub trait Lane: Send + Sync {
    /// Takes an order that is in the store, by its id, and returns at once. From here on the lane alone moves it, and ends it with an
    /// outcome in the store and on the board, also over restarts.
    fn take(&self, id: &str);
}

/// News of open orders, for whoever waits.
#[derive(Debug, Default)]
pub struct Board {
    open: Mutex<HashMap<String, watch::Sender<Progress>>>,
}

impl Board {
    fn open(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Progress>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens an entry for an order.
    pub fn add(&self, id: &str) {
        self.open().entry(id.to_owned()).or_insert_with(|| watch::Sender::new(Progress::default()));
    }

    /// The news of an order; `None` if it is not open.
    pub fn follow(&self, id: &str) -> Option<watch::Receiver<Progress>> {
        self.open().get(id).map(watch::Sender::subscribe)
    }

    /// Removes the entry of an order that was not taken.
    pub fn withdraw(&self, id: &str) {
        self.open().remove(id);
    }

    /// Tells where an order stands.
    pub fn tell(&self, id: &str, request: Option<u64>, phase: Option<&'static str>) {
        if let Some(entry) = self.open().get(id) {
            entry.send_if_modified(|progress| {
                let changed = (progress.request, progress.phase) != (request, phase);
                (progress.request, progress.phase) = (request, phase);
                changed && progress.outcome.is_none()
            });
        }
    }

    /// Tells the end of an order. Who waits has it, and whoever comes later finds it in the store.
    pub fn end(&self, id: &str, outcome: &Outcome) {
        if let Some(entry) = self.open().remove(id) {
            entry.send_modify(|progress| progress.outcome = Some(Arc::new(outcome.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_hears_the_end_and_who_comes_later_asks_the_store() {
        let board = Board::default();
        board.add("a");
        let mut waiting = board.follow("a").unwrap();
        board.tell("a", Some(7), Some("scoring"));
        assert_eq!(waiting.borrow_and_update().request, Some(7));
        let outcome = Outcome::Forgotten { request: Some(7) };
        board.end("a", &outcome);
        waiting.changed().await.unwrap();
        assert_eq!(waiting.borrow().outcome.as_deref(), Some(&outcome));
        assert!(board.follow("a").is_none());
    }
}
