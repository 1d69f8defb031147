//! The chain lane: one signer, which owns the nonce, and one watcher, which follows all orders block by block.
//!
//! ```text
//!   accepted ──sign, keep, send──> sent ──in a block──> placed ──over──> told ──finalized──> final
//!       ^                            │ │                   │
//!       └──────no block can have it──┘ └<──────reorg───────┘
//! ```
//!
//! Each arrow is in the database before its effect leaves the gateway. A transaction is good for 64 blocks, so "no block can have it" is a
//! fact: all finalized blocks that could are there and do not, or the pool of our own node refused it when it was first sent.

mod outcome;
mod sign;
mod watch;

use crate::{
    catalogue::Catalogue,
    lane::{Board, Lane},
    metrics::Metrics,
    order::{Order, Outcome, Record},
    store::{self, Store},
};
use poq_client::{
    types::{chain::tx, RequestView},
    Client, Error,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use subxt::utils::AccountId32;
use subxt_signer::sr25519::Keypair;
use tokio::sync::{mpsc, watch as channel};

/// Pause before what failed for want of node or disk is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// An order whose end is not final.
struct Open {
    record: Record,
    /// Whether the signer is done with the first offer of its transaction. Before, nobody else may offer it: the signer has to know that a
    /// refusal is the first word of the pool.
    is_offered: bool,
    /// Block at which the transaction was offered last.
    offered: u64,
    /// The request as it stood when it was over.
    view: Option<RequestView>,
    /// Whether the outcome needs no block to be final.
    is_ended: bool,
}

impl Open {
    fn new(record: Record, is_offered: bool) -> Self {
        Self { record, is_offered, offered: 0, view: None, is_ended: false }
    }
}

/// The chain lane.
pub struct Chain {
    link: channel::Sender<Client>,
    catalogue: channel::Sender<Option<Arc<Catalogue>>>,
    signer: Keypair,
    account: AccountId32,
    store: Arc<Store>,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    queue: mpsc::UnboundedSender<String>,
    open: Mutex<HashMap<String, Open>>,
}

impl Chain {
    /// Finds the open orders of the database again, and goes on with them. The tasks end with the program.
    pub fn start(
        client: Client,
        signer: Keypair,
        store: Arc<Store>,
        board: Arc<Board>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, store::Error> {
        let (queue, queued) = mpsc::unbounded_channel();
        let records = store.open_orders()?;
        let chain = Arc::new(Self {
            link: channel::Sender::new(client),
            catalogue: channel::Sender::new(None),
            account: signer.public_key().to_account_id(),
            signer,
            store,
            board,
            metrics,
            queue,
            open: Mutex::default(),
        });
        if !records.is_empty() {
            tracing::info!(orders = records.len(), "orders of an earlier run are taken up again");
        }
        for record in records {
            if record.outcome.is_none() {
                chain.board.add(&record.id);
            }
            if record.sent.is_none() && record.outcome.is_none() {
                chain.take(&record.id);
            } else {
                chain.open().insert(record.id.clone(), Open::new(record, true));
            }
        }
        tokio::spawn(sign::run(Arc::clone(&chain), queued));
        tokio::spawn(watch::run(Arc::clone(&chain)));
        Ok(chain)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account that pays.
    pub fn account(&self) -> AccountId32 {
        self.account
    }

    /// The connection of now.
    pub fn client(&self) -> Client {
        self.link.borrow().clone()
    }

    /// The catalogue at the best block; `None` while the node does not answer.
    pub fn catalogue(&self) -> Option<Arc<Catalogue>> {
        self.catalogue.borrow().clone()
    }

    /// Waits for the first look at the chain.
    pub async fn wait_for_catalogue(&self) {
        let mut news = self.catalogue.subscribe();
        // The sender lives as long as `self`.
        let _always = news.wait_for(Option::is_some).await;
    }

    /// Fee that the transaction of an order would cost at the best block, in units.
    pub async fn fee(&self, catalogue: &Catalogue, order: &Order) -> Result<u128, Error> {
        let call = tx()
            .proof_of_quality()
            .request_inference(order.prompt.as_bytes().to_vec(), order.terms.of_chain());
        catalogue.at.fee(&catalogue.at.sign(call, &self.signer, 0)?).await
    }

    /// Does something with the database, away from the threads that serve.
    async fn stored<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, store::Error> + Send + 'static,
    ) -> Result<T, String> {
        let store = Arc::clone(&self.store);
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// Tells the end of an order whose transaction is in no block that may change. If the disk does not take it, the watcher tries again.
    async fn end(&self, record: Record, outcome: Outcome) {
        let id = record.id.clone();
        self.tell(&record, &outcome);
        let mut open = Open::new(record, true);
        open.record.outcome = Some(outcome);
        open.is_ended = true;
        self.open().insert(id.clone(), open);
        self.close(&id).await;
    }

    /// Writes the final end of an order, and lets go of it once it is on the disk.
    async fn close(&self, id: &str) {
        let outcome = self.open().get(id).and_then(|open| open.record.outcome.clone());
        let Some(outcome) = outcome else { return };
        let key = id.to_owned();
        match self.stored(move |store| store.close(&key, &outcome, true)).await {
            Ok(()) => {
                self.open().remove(id);
            }
            Err(error) => tracing::error!(order = id, %error, "the end of an order is not on the disk yet"),
        }
    }

    /// Tells who waits, and counts.
    fn tell(&self, record: &Record, outcome: &Outcome) {
        self.board.end(&record.id, outcome);
        let name = outcome.name();
        self.metrics.orders.with_label_values(&[name]).inc();
        let seconds = now().saturating_sub(record.accepted).max(0) as f64 / 1000.0;
        self.metrics.order_seconds.with_label_values(&[name]).observe(seconds);
        let cost = outcome.cost().map(|units| units.to_string());
        tracing::info!(
            order = record.id,
            key = record.key,
            outcome = name,
            cost,
            seconds,
            "an order is over"
        );
    }
}

impl Lane for Chain {
    fn take(&self, id: &str) {
        self.board.add(id);
        if self.queue.send(id.to_owned()).is_err() {
            tracing::error!(order = id, "the signer is gone; the order is taken up at the next start");
        }
    }
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
