//! Order in which requests that wait for memory get it.
//!
//! A model in use never leaves the memory, so one that is always in use would keep all others out. Hence a request that waits
//! for memory lets later ones pass for [`PASSING`] and no longer: then none of them begins before it has its memory. A job that
//! waits lets no direct request pass at all.

use crate::work::Caller;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Time that a request which waits for memory lets later ones pass. It bounds the share of time that goes into loading when two
/// models are wanted that do not fit into memory together.
pub const PASSING: Duration = Duration::from_secs(2);

/// A request's place among all that want a model: jobs before direct requests, each in the order they came.
pub type Place = (Caller, u64);

/// The requests that wait for memory.
#[derive(Debug, Default)]
pub struct Room {
    /// Since when.
    waiting: BTreeMap<Place, Instant>,
    next: u64,
}

impl Room {
    /// The place of a request that has just come.
    pub fn place(&mut self, caller: Caller) -> Place {
        let place = (caller, self.next);
        self.next = self.next.wrapping_add(1);
        place
    }

    /// The request at `place` waits for memory as of `now`, if it does not already.
    pub fn wait(&mut self, place: Place, now: Instant) {
        self.waiting.entry(place).or_insert(now);
    }

    /// The request at `place` waits no more.
    pub fn leave(&mut self, place: Place) {
        self.waiting.remove(&place);
    }

    /// Whether the request at `place` has to let another one go first.
    pub fn is_barred(&self, place: Place, now: Instant) -> bool {
        let (caller, _) = place;
        self.waiting
            .range(..place)
            .any(|((before, _), since)| *before < caller || now.saturating_duration_since(*since) >= PASSING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_waited_longest_goes_first_once_it_has_let_others_pass() {
        let (mut room, now) = (Room::default(), Instant::now());
        let earlier = room.place(Caller::Direct);
        let waiting = room.place(Caller::Direct);
        let later = room.place(Caller::Direct);
        room.wait(waiting, now);
        for passed in [Duration::ZERO, PASSING - Duration::from_millis(1)] {
            assert!(!room.is_barred(later, now + passed));
        }
        let then = now + PASSING;
        room.wait(waiting, then);
        assert!(room.is_barred(later, then), "the wait began with the first word of it");
        assert!(!room.is_barred(waiting, then) && !room.is_barred(earlier, then));
        let job = room.place(Caller::Job);
        assert!(!room.is_barred(job, then), "jobs go first");
        room.leave(waiting);
        assert!(!room.is_barred(later, then));
    }

    #[test]
    fn a_job_lets_no_direct_request_pass_and_jobs_pass_for_a_while() {
        let (mut room, now) = (Room::default(), Instant::now());
        let asks = room.place(Caller::Direct);
        let (job, later) = (room.place(Caller::Job), room.place(Caller::Job));
        room.wait(job, now);
        assert!(room.is_barred(asks, now), "though it came before");
        assert!(!room.is_barred(later, now) && room.is_barred(later, now + PASSING));
    }
}
