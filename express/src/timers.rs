//! Deadlines of a machine.

use crate::step::Now;
use std::collections::BTreeMap;

/// Deadlines by kind; at most one of each.
#[derive(Clone, Debug)]
pub(crate) struct Timers<T> {
    at: BTreeMap<T, Now>,
}

impl<T: Ord + Copy> Timers<T> {
    pub fn new() -> Self {
        Self { at: BTreeMap::new() }
    }

    /// Sets a deadline, whatever there was before.
    pub fn set(&mut self, timer: T, at: Now) {
        self.at.insert(timer, at);
    }

    pub fn cancel(&mut self, timer: T) {
        self.at.remove(&timer);
    }

    pub fn clear(&mut self) {
        self.at.clear();
    }

    /// Takes those that are due.
    pub fn due(&mut self, now: Now) -> Vec<T> {
        let due: Vec<T> = self.at.iter().filter(|(_, at)| **at <= now).map(|(timer, _)| *timer).collect();
        for timer in &due {
            self.at.remove(timer);
        }
        due
    }

    pub fn next(&self) -> Option<Now> {
        self.at.values().min().copied()
    }
}
