//! Whether a server elsewhere works, as far as is known.

use std::{
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

/// Whether a server works, by the last probe or call that told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It answered.
    Up,
    /// It did not answer, or it said that it cannot do the work.
    Down {
        /// Since when.
        since: SystemTime,
        /// Why, in one line; the newest reason.
        why: String,
    },
    /// Nothing was asked of it yet.
    #[default]
    Unknown,
}

/// Record of one server's health.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<Health>);

impl Board {
    pub(super) fn read(&self) -> Health {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that the server `name` answered.
    pub(super) fn up(&self, name: &str) {
        let mut health = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *health, Health::Up) != Health::Up {
            tracing::info!(remote = name, "the server answers");
        }
    }

    /// Notes that the server `name` does not work. While it stays so, only the reason changes.
    pub(super) fn down(&self, name: &str, why: String) {
        let mut health = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match *health {
            Health::Down { since, .. } => since,
            Health::Up | Health::Unknown => {
                tracing::warn!(remote = name, why, "the server does not work");
                SystemTime::now()
            }
        };
        *health = Health::Down { since, why };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_down_since_its_first_fault() {
        let board = Board::default();
        assert_eq!(board.read(), Health::Unknown);
        board.down("x", "a".into());
        let Health::Down { since: first, .. } = board.read() else { panic!("it is down") };
        board.down("x", "b".into());
        assert_eq!(board.read(), Health::Down { since: first, why: "b".into() });
        board.up("x");
        assert_eq!(board.read(), Health::Up);
    }
}
