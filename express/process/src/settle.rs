//! Certificates on their way to the chain: kept on disk, sent in batches, and dropped when a finalized block has settled them.
//!
//! - Whose turn it is: the epoch's settlers ([`State::settlers`]) come first, one after the other; whoever else holds a certificate comes
//!   after them, each at its own time. So usually one transaction settles an order, and no order depends on anybody's goodwill.
//! - A certificate that is in a transaction is not sent again until [`Settings::finality`] is over, or the chain has said that it may be
//!   settled later.
//! - Of two certificates of one order, the one with more scores is kept: a member is paid only if its scores are in it.

use crate::{
    chain::{Chain, ChainError, State, Verdict},
    disk::{Change, Disk, DiskError},
    driver::write,
    metrics::Metrics,
};
use codec::Encode as _;
use poq_express::wire::Certificate;
use poq_primitives::express::{Key, OrderName, ResponderPart, ScorerPart};
use sp_crypto_hashing::blake2_256;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

/// Turns among those who are no settlers of an epoch.
const LATE_TURNS: u64 = 8;

/// Settings of a settler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most certificates in a transaction, 1 to the chain's `MaxBatch` of 256. Default: 64.
    pub batch: usize,
    /// Age of the oldest certificate at which a smaller batch is sent. Default: 6 s.
    pub age: Duration,
    /// Time from the turn of one settler to that of the next. Default: 30 s.
    pub turn: Duration,
    /// Time after which a certificate that was sent and is not seen settled is sent again. Default: 120 s.
    pub finality: Duration,
    /// Pause after a transaction that failed; doubled at each further failure, up to [`Settings::finality`]. Default: 3 s.
    pub pause: Duration,
    /// Most certificates held. Further ones are refused; those of the operator's own orders are in its records still. Default: 100,000.
    pub most: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: 64,
            age: Duration::from_secs(6),
            turn: Duration::from_secs(30),
            finality: Duration::from_secs(120),
            pause: Duration::from_secs(3),
            most: 100_000,
        }
    }
}

/// A certificate that is not seen settled.
#[derive(Debug)]
struct Held {
    certificate: Certificate,
    /// When it may be sent.
    due: Instant,
    /// Pause after the next answer that it may be settled later.
    pause: Duration,
}

/// The inbox of a settler's task. Clones share it.
#[derive(Clone)]
pub struct Settle(mpsc::Sender<Certificate>);

impl Settle {
    /// Gives a certificate, which the caller has checked, to the settler. Returns `false` if it has no room.
    pub fn hold(&self, certificate: Certificate) -> bool {
        self.0.try_send(certificate).is_ok()
    }
}

/// A settler: the task that owns all certificates.
pub struct Settler {
    chain: Arc<dyn Chain>,
    disk: Arc<dyn Disk>,
    key: Key,
    settings: Settings,
    metrics: Metrics,
    inbox: mpsc::Receiver<Certificate>,
    held: BTreeMap<OrderName, Held>,
    /// Orders whose certificate the chain never settles, of epochs that are not over: sent once, whoever brings it again.
    given_up: BTreeSet<OrderName>,
    /// When the next transaction may be sent: later after failures.
    ready: Instant,
    pause: Duration,
}

/// Members whose scores a certificate has.
fn scores(certificate: &Certificate) -> usize {
    let has_scores = |part: &&ScorerPart| matches!(part, ScorerPart::Revealed(_) | ScorerPart::Opened(_));
    certificate.members.iter().filter(has_scores).count()
}

/// Number of the turn at which the operator with this key sends a certificate of this order.
pub fn turn(state: &State, name: &OrderName, key: &Key) -> u64 {
    let settlers = state.settlers(name.epoch);
    if let Some(place) = settlers.iter().position(|settler| settler == key) {
        return place as u64;
    }
    let luck = blake2_256(&(name, key).encode()).first().copied().unwrap_or_default();
    (settlers.len() as u64).saturating_add(u64::from(luck) % LATE_TURNS)
}

fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}

impl Settler {
    /// A settler with the certificates on disk, and its inbox.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn new(
        chain: Arc<dyn Chain>,
        disk: Arc<dyn Disk>,
        key: Key,
        settings: Settings,
        metrics: Metrics,
    ) -> Result<(Self, Settle), DiskError> {
        let (sender, inbox) = mpsc::channel(settings.batch.max(1).saturating_mul(16));
        let (now, held, given_up) = (Instant::now(), BTreeMap::new(), BTreeSet::new());
        let (pause, kept) = (settings.pause, disk.certificates()?);
        let mut this = Self { chain, disk, key, settings, metrics, inbox, held, given_up, ready: now, pause };
        let state = this.chain.states().borrow().clone();
        for certificate in kept {
            this.take(&state, now, certificate);
        }
        Ok((this, Settle(sender)))
    }

    /// Takes a certificate of the operator's own records, where it stays until its order is forgotten.
    pub fn take_back(&mut self, state: &State, certificate: &Certificate) {
        self.take(state, Instant::now(), certificate.clone());
    }

    /// Runs until `closing` is cancelled.
    ///
    /// # Errors
    /// [`DiskError`]: a certificate could not be kept.
    pub async fn run(mut self, closing: CancellationToken) -> Result<(), DiskError> {
        let mut states = self.chain.states();
        loop {
            let state = states.borrow_and_update().clone();
            self.drop_ended(&state).await?;
            if closing.run_until_cancelled(self.send_due(&state)).await.is_none() {
                return Ok(());
            }
            self.metrics.unsettled.set(i64::try_from(self.held.len()).unwrap_or(i64::MAX));
            let wait = self.until_due();
            tokio::select! {
                () = closing.cancelled() => return Ok(()),
                changed = states.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                Some(certificate) = self.inbox.recv() => self.keep(&state, certificate).await?,
                () = sleep(wait) => {}
            }
        }
    }

    /// Keeps what has come, in one write.
    async fn keep(&mut self, state: &State, first: Certificate) -> Result<(), DiskError> {
        let mut changes = Vec::new();
        let mut next = Some(first);
        while let Some(certificate) = next {
            if self.take(state, Instant::now(), certificate.clone()) {
                changes.push(Change::Keep(Box::new(certificate)));
            }
            next = self.inbox.try_recv().ok();
        }
        match changes.is_empty() {
            true => Ok(()),
            false => write(&self.disk, &self.metrics, changes).await,
        }
    }

    /// Takes a certificate; returns whether it is new or better than the one held.
    fn take(&mut self, state: &State, now: Instant, certificate: Certificate) -> bool {
        let name = certificate.order.name;
        if state.is_used(&name) || !state.settles(name.epoch) || self.given_up.contains(&name) {
            return false;
        }
        if let Some(held) = self.held.get_mut(&name) {
            let is_better = scores(&certificate) > scores(&held.certificate);
            if is_better {
                held.certificate = certificate;
            }
            return is_better;
        }
        if self.held.len() >= self.settings.most {
            self.metrics.given_up.inc();
            return false;
        }
        let turn = u32::try_from(turn(state, &name, &self.key)).unwrap_or(u32::MAX);
        let wait = self.settings.turn.saturating_mul(turn).saturating_add(self.settings.age);
        let due = after(now, wait);
        self.held.insert(name, Held { certificate, due, pause: self.settings.pause });
        true
    }

    /// Drops certificates that are settled, or too old ever to be.
    async fn drop_ended(&mut self, state: &State) -> Result<(), DiskError> {
        let is_over =
            |name: &OrderName| state.is_used(name) || name.epoch < state.view.epoch.saturating_sub(1);
        let over: Vec<OrderName> = self.held.keys().filter(|name| is_over(name)).copied().collect();
        for name in &over {
            self.held.remove(name);
            if !state.is_used(name) {
                tracing::warn!(order = ?name, "its time is over and it is not settled");
                self.metrics.given_up.inc();
            }
        }
        self.given_up.retain(|name| state.settles(name.epoch));
        self.drop_from_disk(over).await
    }

    async fn drop_from_disk(&self, names: Vec<OrderName>) -> Result<(), DiskError> {
        if names.is_empty() {
            return Ok(());
        }
        let changes = names.into_iter().map(|name| Change::Drop { name }).collect();
        write(&self.disk, &self.metrics, changes).await
    }

    /// Time until the first certificate is due; an hour if there is none.
    fn until_due(&self) -> Duration {
        let first = self.held.values().map(|held| held.due).min();
        let first = first.map(|first| first.max(self.ready));
        first.map_or(Duration::from_secs(3600), |first| first.saturating_duration_since(Instant::now()))
    }

    /// Sends what is due. What is almost due goes with it.
    async fn send_due(&mut self, state: &State) {
        let now = Instant::now();
        if !self.chain.can_submit() || now < self.ready {
            return;
        }
        let mut waiting: Vec<(Instant, OrderName)> =
            self.held.iter().map(|(name, held)| (held.due, *name)).collect();
        waiting.sort_unstable();
        let soon = after(now, self.settings.age);
        let is_full = waiting.iter().filter(|(due, _)| *due <= soon).count() >= self.settings.batch;
        if !is_full && waiting.first().is_none_or(|(due, _)| *due > now) {
            return;
        }
        let due = waiting.into_iter().filter(|(due, _)| *due <= soon).take(self.settings.batch.max(1));
        let names: Vec<OrderName> = due.map(|(_, name)| name).collect();
        self.send(state, &names).await;
    }

    async fn send(&mut self, state: &State, names: &[OrderName]) {
        let held = names.iter().filter_map(|name| self.held.get(name));
        // Somebody may be left out: before the next epoch the chain would not settle it, and each try costs a fee.
        let is_ready = |certificate: &&Certificate| {
            let has_reveals =
                !certificate.members.iter().any(|part| matches!(part, ScorerPart::Committed(_)));
            let has_answers =
                !certificate.responders.iter().any(|part| matches!(part, ResponderPart::Absent));
            (has_reveals && has_answers) || state.view.epoch > certificate.order.name.epoch
        };
        let certificates = held.map(|held| &held.certificate).filter(is_ready).cloned();
        let certificates: Vec<Certificate> = certificates.collect();
        self.put_off(names, self.settings.finality);
        if certificates.is_empty() {
            return;
        }
        match self.chain.settle_batch(&certificates).await {
            Ok(verdicts) => {
                self.pause = self.settings.pause;
                for (certificate, verdict) in certificates.iter().zip(verdicts) {
                    self.judge(certificate.order.name, verdict);
                }
            }
            Err(error) => self.failed(names, &error),
        }
    }

    fn put_off(&mut self, names: &[OrderName], wait: Duration) {
        let due = after(Instant::now(), wait);
        for name in names {
            if let Some(held) = self.held.get_mut(name) {
                held.due = due;
            }
        }
    }

    fn judge(&mut self, name: OrderName, verdict: Verdict) {
        let Some(held) = self.held.get_mut(&name) else { return };
        match verdict {
            // Until a finalized block says so it is held: a re-organisation may undo it.
            Verdict::Settled => self.metrics.settled.inc(),
            Verdict::Later(reason) => {
                tracing::debug!(order = ?name, %reason, "not settled yet");
                held.due = after(Instant::now(), held.pause);
                held.pause = held.pause.saturating_mul(2).min(self.settings.finality);
            }
            // On disk it stays until its epoch is over, so that a restart with a mended program tries again.
            Verdict::Never(reason) => {
                tracing::warn!(order = ?name, %reason, "the chain never settles this certificate");
                self.metrics.given_up.inc();
                self.held.remove(&name);
                self.given_up.insert(name);
            }
        }
    }

    fn failed(&mut self, names: &[OrderName], error: &ChainError) {
        tracing::warn!(%error, "no batch is settled for the moment");
        self.ready = after(Instant::now(), self.pause);
        self.put_off(names, self.pause);
        self.pause = self.pause.saturating_mul(2).min(self.settings.finality);
    }
}
