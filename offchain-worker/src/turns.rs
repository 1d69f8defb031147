//! Turns at a model: so many pieces of work are given to it at a time. Jobs come before direct work, and each of them in
//! the order they came. Of the turns that are wanted by both, every fifth is for direct work: an unbroken row of jobs does not
//! keep it out.

use crate::{limits::Unfinished, work::Caller};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// Most jobs that go before direct work that waits.
pub const JOBS_IN_A_ROW: u32 = 4;

/// The turns of one model.
#[derive(Debug)]
pub struct Turns {
    all: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// In the order in which they get their turns.
    waiting: BTreeMap<Place, Waiting>,
    next: u64,
    /// Jobs that went before direct work since that has had its last turn.
    jobs_in_a_row: u32,
}

type Place = (Caller, u64);

#[derive(Debug)]
struct Waiting {
    wants: usize,
    granted: oneshot::Sender<Turn>,
}

/// A turn, or all of them; dropping it gives it to the next one.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    holds: usize,
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let mut state = self.turns.lock();
            state.taken = state.taken.saturating_sub(self.holds);
        }
        self.turns.hand_out();
    }
}

/// Leaves the queue when nobody waits at this place any more.
struct Leave<'a> {
    turns: &'a Arc<Turns>,
    place: Place,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let waited = self.turns.lock().waiting.remove(&self.place).is_some();
        if waited {
            // Those behind may want less.
            self.turns.hand_out();
        }
    }
}

impl Turns {
    /// `all` turns at a time, at least 1.
    pub fn new(all: usize) -> Arc<Self> {
        Arc::new(Self { all: all.max(1), state: Mutex::default() })
    }

    /// Whether a request that comes now gets a turn at once.
    pub fn is_free(&self) -> bool {
        let state = self.lock();
        state.taken < self.all && state.waiting.is_empty()
    }

    /// Waits for one turn.
    pub async fn one(self: &Arc<Self>, caller: Caller) -> Result<Turn, Unfinished> {
        self.wait(caller, 1).await
    }

    /// Waits for all turns: nobody else has one then.
    pub async fn all(self: &Arc<Self>, caller: Caller) -> Result<Turn, Unfinished> {
        self.wait(caller, self.all).await
    }

    async fn wait(self: &Arc<Self>, caller: Caller, wants: usize) -> Result<Turn, Unfinished> {
        let (granted, turn) = oneshot::channel();
        let place = {
            let mut state = self.lock();
            let place = (caller, state.next);
            state.next = state.next.wrapping_add(1);
            state.waiting.insert(place, Waiting { wants, granted });
            place
        };
        let _leave = Leave { turns: self, place };
        self.hand_out();
        // Whoever is in the queue is told.
        turn.await.map_err(|_| Unfinished::Cancelled)
    }

    fn hand_out(self: &Arc<Self>) {
        loop {
            // Not locked any more when a turn is given back at once.
            let next = self.lock().next(self.all);
            let Some(Waiting { wants, granted }) = next else { return };
            // Whoever went away meanwhile gives it back by not taking it.
            let _back = granted.send(Turn { turns: Arc::clone(self), holds: wants });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The one whose turn it is, if there are as many turns as it wants.
    fn next(&mut self, all: usize) -> Option<Waiting> {
        let (first, _) = self.waiting.first_key_value()?;
        let asks = self.waiting.range((Caller::Direct, 0)..).next().map(|(place, _)| *place);
        let place = match asks {
            Some(asks) if self.jobs_in_a_row >= JOBS_IN_A_ROW => asks,
            _ => *first,
        };
        let taken = self.taken.saturating_add(self.waiting.get(&place)?.wants);
        if taken > all {
            return None;
        }
        self.taken = taken;
        self.jobs_in_a_row = match (place, asks) {
            ((Caller::Job, _), Some(_)) => self.jobs_in_a_row.saturating_add(1),
            _ => 0,
        };
        self.waiting.remove(&place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use std::{future::Future, pin::Pin};

    type Waits<'a> = Pin<Box<dyn Future<Output = Result<Turn, Unfinished>> + 'a>>;

    /// Waits in the queue from now on.
    fn queued<'a>(waits: impl Future<Output = Result<Turn, Unfinished>> + 'a) -> (Waits<'a>, Option<Turn>) {
        let mut waits: Waits<'a> = Box::pin(waits);
        let now = (&mut waits).now_or_never().map(Result::unwrap);
        (waits, now)
    }

    fn now(waits: &mut Waits<'_>) -> Option<Turn> {
        waits.now_or_never().map(Result::unwrap)
    }

    #[test]
    fn jobs_come_first_and_each_in_the_order_they_came() {
        let turns = Turns::new(1);
        assert!(turns.is_free());
        let (_, held) = queued(turns.one(Caller::Direct));
        assert!(!turns.is_free());
        let (mut asks, none) = queued(turns.one(Caller::Direct));
        assert!(none.is_none());
        let (mut first, _) = queued(turns.one(Caller::Job));
        let (mut second, _) = queued(turns.one(Caller::Job));
        drop(held);
        assert!(now(&mut asks).is_none() && now(&mut second).is_none());
        drop(now(&mut first).unwrap());
        assert!(now(&mut asks).is_none());
        drop(now(&mut second).unwrap());
        assert!(now(&mut asks).is_some());
        assert!(turns.is_free());
    }

    #[test]
    fn an_unbroken_row_of_jobs_leaves_every_fifth_turn() {
        let turns = Turns::new(1);
        let (_, mut held) = queued(turns.one(Caller::Job));
        let mut jobs: Vec<_> = (0..20).map(|_| queued(turns.one(Caller::Job)).0).collect();
        let mut asks: Vec<_> = (0..3).map(|_| queued(turns.one(Caller::Direct)).0).collect();
        let mut order = String::new();
        while let Some(turn) = held.take() {
            drop(turn);
            for (waits, caller) in [(&mut jobs, 'j'), (&mut asks, 'd')] {
                let next = waits.iter_mut().enumerate().find_map(|(n, waits)| Some((n, now(waits)?)));
                if let Some((n, turn)) = next {
                    assert_eq!(n, 0, "in the order they came");
                    drop(waits.remove(n));
                    order.push(caller);
                    held = Some(turn);
                    break;
                }
            }
        }
        assert_eq!(order, "jjjjdjjjjdjjjjdjjjjjjjj");
    }

    #[test]
    fn jobs_that_nobody_waited_behind_do_not_count() {
        let turns = Turns::new(1);
        for _ in 0..9 {
            drop(queued(turns.one(Caller::Job)).1.unwrap());
        }
        let (_, held) = queued(turns.one(Caller::Job));
        let (mut asks, _) = queued(turns.one(Caller::Direct));
        let (mut job, _) = queued(turns.one(Caller::Job));
        drop(held);
        assert!(now(&mut asks).is_none() && now(&mut job).is_some());
    }

    #[test]
    fn whoever_wants_all_is_alone_and_does_not_starve() {
        let turns = Turns::new(2);
        let (_, one) = queued(turns.one(Caller::Direct));
        let (mut all, none) = queued(turns.all(Caller::Direct));
        assert!(none.is_none());
        let (mut behind, none) = queued(turns.one(Caller::Direct));
        assert!(none.is_none(), "though one is free");
        drop(one);
        let alone = now(&mut all).unwrap();
        assert!(now(&mut behind).is_none());
        drop(alone);
        assert!(now(&mut behind).is_some());
    }

    #[test]
    fn whoever_leaves_takes_nothing_along() {
        let turns = Turns::new(2);
        let (_, one) = queued(turns.one(Caller::Direct));
        let (all, _) = queued(turns.all(Caller::Direct));
        let (mut behind, none) = queued(turns.one(Caller::Direct));
        assert!(none.is_none());
        drop(all);
        let second = now(&mut behind).unwrap();
        // Granted, and not looked at any more.
        let (granted, none) = queued(turns.one(Caller::Job));
        assert!(none.is_none());
        drop(second);
        drop(granted);
        drop(one);
        let state = turns.lock();
        assert!(state.taken == 0 && state.waiting.is_empty());
    }
}
