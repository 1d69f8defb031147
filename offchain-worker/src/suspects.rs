//! Requests under which a model's process died.
//!
//! A process that dies has up to a handful of requests in hand, and one of them may be what kills it: a fault of a native
//! library that this very text brings out. All of them are *suspects*. A suspect that comes again, as a job does by itself
//! and as clients do, has the process for itself, so that what happens then tells: if it is answered it is cleared, and
//! if the process dies again it is *guilty* and not run any more. A request that was alone when the process crashed is
//! guilty at once.

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Time that a request is remembered: long enough for every retry, and not for ever, because models and engines change.
const MEMORY: Duration = Duration::from_secs(3600);

/// Most requests that are remembered; the oldest are forgotten first.
const MOST: usize = 4096;

/// Tells requests apart: SHA-256 of all that they ask for, the model included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of `work`.
    pub fn of(work: &impl Serialize) -> Self {
        // What a process is asked for is JSON; what could not be written could not be asked for.
        Self(Sha256::digest(serde_json::to_vec(work).unwrap_or_default()).into())
    }
}

/// Suspicion against a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Clear,
    /// A process died with it and others in hand. It is run again, alone.
    Suspect,
    /// It kills processes, and is not run again.
    Guilty,
}

/// The requests under which processes died.
#[derive(Debug, Default)]
pub struct Suspects(Mutex<HashMap<Fingerprint, Suspect>>);

#[derive(Debug)]
struct Suspect {
    guilty: bool,
    since: Instant,
}

impl Suspects {
    /// Suspicion against the request.
    pub fn standing(&self, print: Fingerprint) -> Standing {
        match self.lock().get(&print).filter(|suspect| suspect.since.elapsed() < MEMORY) {
            None => Standing::Clear,
            Some(suspect) if suspect.guilty => Standing::Guilty,
            Some(_) => Standing::Suspect,
        }
    }

    /// A process died with these requests in hand; `crashed`: of itself, and not because somebody ended it. Returns whether
    /// this says something about the model: a request that has cost it a process before does not count again.
    pub fn died(&self, under: &[Fingerprint], crashed: bool) -> bool {
        let under: HashSet<Fingerprint> = under.iter().copied().collect();
        let alone = under.len() == 1;
        let mut known = self.lock();
        known.retain(|_, suspect| suspect.since.elapsed() < MEMORY);
        let mut news = false;
        for print in under {
            let before = known.remove(&print);
            news |= before.is_none();
            let guilty = before.as_ref().is_some_and(|before| before.guilty)
                || (alone && (crashed || before.is_some()));
            known.insert(print, Suspect { guilty, since: Instant::now() });
        }
        while known.len() > MOST {
            let oldest = known.iter().min_by_key(|(_, suspect)| suspect.since).map(|(print, _)| *print);
            let Some(oldest) = oldest else { break };
            known.remove(&oldest);
        }
        news
    }

    /// The request was answered.
    pub fn lived(&self, print: Fingerprint) {
        self.lock().remove(&print);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Fingerprint, Suspect>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(text: &str) -> Fingerprint {
        Fingerprint::of(&text)
    }

    #[test]
    fn whoever_was_alone_in_a_crash_is_guilty_and_counts_once() {
        let suspects = Suspects::default();
        assert_eq!(suspects.standing(print("a")), Standing::Clear);
        assert!(suspects.died(&[print("a"), print("a")], true), "the same request twice is one");
        assert_eq!(suspects.standing(print("a")), Standing::Guilty);
        assert!(!suspects.died(&[print("a")], true));
        assert!(suspects.died(&[print("b")], true), "another one counts");
    }

    #[test]
    fn whoever_was_in_company_is_tried_alone() {
        let suspects = Suspects::default();
        assert!(suspects.died(&[print("a"), print("b")], true));
        assert_eq!(suspects.standing(print("a")), Standing::Suspect);
        suspects.lived(print("a"));
        assert_eq!(suspects.standing(print("a")), Standing::Clear);
        assert!(!suspects.died(&[print("b")], false), "it has cost a process before");
        assert_eq!(suspects.standing(print("b")), Standing::Guilty, "twice, and alone");
    }

    #[test]
    fn a_process_that_somebody_ended_may_have_been_innocent_work() {
        let suspects = Suspects::default();
        assert!(suspects.died(&[print("a")], false));
        assert_eq!(suspects.standing(print("a")), Standing::Suspect);
        assert!(!suspects.died(&[], false), "nothing was in hand");
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let suspects = Suspects::default();
        for number in 0..MOST + 3 {
            suspects.died(&[print(&number.to_string())], true);
        }
        assert_eq!(suspects.lock().len(), MOST);
        assert_eq!(suspects.standing(print("0")), Standing::Clear);
        assert_eq!(suspects.standing(print(&(MOST + 2).to_string())), Standing::Guilty);
    }
}
