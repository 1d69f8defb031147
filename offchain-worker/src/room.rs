//! Order in which requests that wait for memory get it.
//!
//! A model in use never leaves the memory, so one that is always in use would keep all others out. Hence a request that waits
//! for memory lets later ones pass for [`PASSING`] and no longer: then none of them begins before it has its memory. A job that
//! waits lets no direct request pass, unless [`JOBS_IN_A_ROW`] jobs have begun before one that is held up: then that one is next.

use crate::{turns::JOBS_IN_A_ROW, work::Caller};
use std::{
    collections::{BTreeMap, BTreeSet},
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
    /// Direct requests that could not begin when they tried, until they do or go away.
    held_up: BTreeSet<Place>,
    /// Jobs that began since the last of these did.
    jobs_in_a_row: u32,
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

    /// The request at `place` has its memory, or waits for it no more.
    pub fn leave(&mut self, place: Place) {
        self.waiting.remove(&place);
    }

    /// The request at `place` begins.
    pub fn begin(&mut self, place: Place) {
        let (caller, _) = place;
        if self.held_up.remove(&place) {
            self.jobs_in_a_row = 0;
        } else if caller == Caller::Job && !self.held_up.is_empty() {
            self.jobs_in_a_row = self.jobs_in_a_row.saturating_add(1);
        }
    }

    /// The request at `place` is over, or was given up.
    pub fn end(&mut self, place: Place) {
        self.leave(place);
        self.held_up.remove(&place);
        if self.held_up.is_empty() {
            self.jobs_in_a_row = 0;
        }
    }

    /// Whether the request at `place`, which wants to begin now, has to let another one go first.
    pub fn is_held_up(&mut self, place: Place, now: Instant) -> bool {
        let barred = self.is_barred(place, now);
        let (caller, _) = place;
        if barred && caller == Caller::Direct {
            self.held_up.insert(place);
        }
        barred
    }

    fn is_barred(&self, place: Place, now: Instant) -> bool {
        if let Some(next) = self.next_in_spite_of_jobs() {
            if next == place || self.waiting.contains_key(&next) {
                return next != place;
            }
        }
        let (caller, _) = place;
        self.waiting
            .range(..place)
            .any(|((before, _), since)| *before < caller || now.saturating_duration_since(*since) >= PASSING)
    }

    /// The direct request that enough jobs went before.
    fn next_in_spite_of_jobs(&self) -> Option<Place> {
        self.held_up.first().copied().filter(|_| self.jobs_in_a_row >= JOBS_IN_A_ROW)
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
    fn after_so_many_jobs_a_direct_request_is_next() {
        let (mut room, now) = (Room::default(), Instant::now());
        let (asks, other) = (room.place(Caller::Direct), room.place(Caller::Direct));
        let waits = room.place(Caller::Job);
        room.wait(waits, now);
        for _ in 0..JOBS_IN_A_ROW {
            assert!(room.is_held_up(asks, now) && room.is_held_up(other, now));
            let job = room.place(Caller::Job);
            assert!(!room.is_held_up(job, now));
            room.begin(job);
            room.end(job);
        }
        assert!(!room.is_held_up(asks, now) && room.is_held_up(other, now), "one of them");
        let job = room.place(Caller::Job);
        assert!(!room.is_held_up(job, now), "it holds nobody up before it is known to need memory");
        room.wait(asks, now);
        assert!(room.is_held_up(job, now) && room.is_held_up(waits, now) && !room.is_held_up(asks, now));
        // Its model is being loaded: its memory is set apart, and others may begin. It is still next.
        room.leave(asks);
        assert!(!room.is_held_up(job, now) && !room.is_held_up(asks, now));
        room.begin(asks);
        room.end(asks);
        assert!(room.is_held_up(other, now), "it is the jobs' turn again");
        room.end(other);
        let later = room.place(Caller::Direct);
        assert!(room.is_held_up(later, now));
        room.leave(waits);
        assert!(!room.is_held_up(later, now));
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
