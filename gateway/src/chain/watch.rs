//! The watcher: at each new best block it finds transactions, follows requests, and tells their ends.

use super::{
    outcome::{self, Splits},
    Chain, Open, PAUSE,
};
use crate::{
    catalogue::{Catalogue, Models},
    lane::Lane as _,
    metrics::signed,
    order::{Outcome, Place, Sent},
};
use futures::future::join_all;
use poq_client::{
    types::{
        chain::{
            constants, proof_of_quality::events::Requested, storage, system::events::ExtrinsicFailed,
            transaction_payment::events::TransactionFeePaid,
        },
        Audit, RequestView,
    },
    At, Client, Error, Prepared,
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use subxt::{config::Header as _, events::Phase as EventPhase, utils::H256};
use tokio::time::{sleep, timeout};

/// Blocks after which a transaction that is in no block is offered again.
const OFFER_AGAIN: u64 = 5;

/// Requests that the node is asked about at a time.
const AT_A_TIME: usize = 16;

/// Longest wait for a block before the connection is made anew.
const SILENCE: Duration = Duration::from_secs(120);

/// Blocks whose transactions are remembered as looked at.
const LOOKED_AT: usize = 4096;

/// Place of a transaction in the chain.
struct Found {
    hash: H256,
    number: u64,
    index: u32,
}

/// Answer to the question where a transaction is.
enum Search {
    Found(Found),
    /// In no block that could have it.
    Nowhere,
    /// The node does not have all these blocks.
    Unknown,
}

/// Watches, for ever.
pub async fn run(chain: Arc<Chain>) {
    loop {
        let client = chain.client();
        let error = chain.watch(&client).await;
        chain.metrics.connected.set(0);
        chain.catalogue.send_replace(None);
        tracing::warn!(%error, "the node is gone; waiting for it");
        loop {
            sleep(PAUSE).await;
            match client.reconnect().await {
                Ok(again) => {
                    tracing::info!("the node is back");
                    chain.link.send_replace(again);
                    break;
                }
                Err(Error::Unreachable(_)) => {}
                Err(error) => tracing::error!(%error, "the node cannot be used"),
            }
        }
    }
}

impl Chain {
    /// Watches on one connection until it is lost.
    async fn watch(&self, client: &Client) -> Error {
        let mut blocks = match client.best_blocks().await {
            Ok(blocks) => blocks,
            Err(error) => return error,
        };
        let mut scanned = HashSet::new();
        let mut last = None;
        for open in self.open().values_mut() {
            // Another node, or the same with an empty pool, may not have it.
            open.offered = 0;
        }
        loop {
            // The newest block, however many have come meanwhile.
            let at = match client.best().await {
                Ok(at) => at,
                Err(error) => return error,
            };
            let hash = at.library().block_hash();
            if last != Some(hash) {
                if let Err(error) = self.block(client, at, &mut scanned).await {
                    return error;
                }
                last = Some(hash);
            }
            match timeout(SILENCE, blocks.next()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return error,
                Err(_) => return Error::Unreachable(format!("no block came for {} s", SILENCE.as_secs())),
            }
        }
    }

    async fn block(&self, client: &Client, at: At, scanned: &mut HashSet<H256>) -> Result<(), Error> {
        let finalized = client.finalized().await?;
        let before = self.catalogue();
        let catalogue = Arc::new(Catalogue::read(at.clone(), self.account, before.as_deref()).await?);
        self.catalogue.send_replace(Some(Arc::clone(&catalogue)));
        self.metrics.connected.set(1);
        self.metrics.best.set(signed(at.number()));
        self.metrics.finalized.set(signed(finalized.number()));
        self.metrics.set_balance(catalogue.spendable);

        self.scan(client, &at, finalized.number(), scanned).await?;
        self.resolve(client, &at, &finalized).await?;
        self.offer_again(client, at.number()).await?;
        let mut splits = Splits::new(client);
        self.follow(&mut splits, &at, &finalized, &catalogue.models).await?;
        self.finish(&mut splits, &finalized, &catalogue.models).await?;
        self.metrics.open.set(signed(self.open().len() as u64));
        Ok(())
    }

    /// The orders for which `wanted` says something.
    fn select<T>(&self, wanted: impl Fn(&str, &Open) -> Option<T>) -> Vec<T> {
        self.open().iter().filter_map(|(id, open)| wanted(id, open)).collect()
    }

    /// Looks for our transactions in the blocks that are new since the last look, down to the finalized one.
    async fn scan(
        &self,
        client: &Client,
        at: &At,
        finalized: u64,
        scanned: &mut HashSet<H256>,
    ) -> Result<(), Error> {
        if scanned.len() > LOOKED_AT {
            scanned.clear();
        }
        let mut hash = at.library().block_hash();
        while !self.open().is_empty() && !scanned.contains(&hash) {
            let Some(details) = client.rpc().chain_get_block(Some(hash)).await.map_err(Error::of)? else {
                break;
            };
            let number = details.block.header.number();
            let mut found = Vec::new();
            for (index, transaction) in (0..).zip(&details.block.extrinsics) {
                let is = |open: &Open| {
                    open.record.sent.as_ref().is_some_and(|sent| sent.transaction == transaction.0)
                };
                found.extend(self.select(|id, open| is(open).then(|| (id.to_owned(), index))));
            }
            for (id, index) in found {
                self.included(client, &id, &Found { hash, number, index }).await?;
            }
            scanned.insert(hash);
            if number <= finalized {
                break;
            }
            hash = details.block.header.parent_hash;
        }
        Ok(())
    }

    /// Notes which request a transaction made, if it made one. A failed one is looked at once its block is final.
    async fn included(&self, client: &Client, id: &str, found: &Found) -> Result<(), Error> {
        if let Read::Requested(place) = self.read(client, found).await? {
            self.place(id, Some(place)).await;
        }
        Ok(())
    }

    /// The effect of a transaction in a block.
    async fn read(&self, client: &Client, found: &Found) -> Result<Read, Error> {
        let at = client.at(found.hash).await?;
        let (mut request, mut fee, mut failed) = (None, 0, None);
        for event in at.events().await?.iter() {
            let event = event.map_err(Error::of)?;
            if event.phase() != EventPhase::ApplyExtrinsic(found.index) {
                continue;
            }
            if let Some(Ok(requested)) = event.decode_fields_as::<Requested>() {
                request = Some(requested.request);
            } else if let Some(Ok(paid)) = event.decode_fields_as::<TransactionFeePaid>() {
                fee = paid.actual_fee;
            } else if let Some(Ok(ExtrinsicFailed { dispatch_error, .. })) = event.decode_fields_as() {
                failed = Some(dispatch_error);
            }
        }
        Ok(match (request, failed) {
            (Some(request), _) => Read::Requested(Place { request, block: found.number, fee }),
            (None, Some(error)) => match at.explain(&error) {
                Error::Refused { name, docs } => Read::Failed(Outcome::Refused {
                    name,
                    meaning: docs.trim().to_owned(),
                    transaction_fee: fee,
                }),
                other => return Err(other),
            },
            (None, None) => Read::Nothing,
        })
    }

    async fn place(&self, id: &str, place: Option<Place>) {
        let key = id.to_owned();
        let changed = match self.open().get_mut(id) {
            Some(open) if open.record.place != place => {
                open.record.place = place;
                true
            }
            _ => false,
        };
        if changed {
            let phase = if place.is_some() { "in_a_block" } else { "sent" };
            self.board.tell(id, place.map(|place| place.request), Some(phase));
            if let Err(error) = self.stored(move |store| store.place(&key, place)).await {
                // It is found again by its transaction.
                tracing::warn!(order = id, error, "the place of an order is not on the disk");
            }
        }
    }

    /// Decides what became of transactions that are in no block we know, once that is certain.
    async fn resolve(&self, client: &Client, at: &At, finalized: &At) -> Result<(), Error> {
        let waiting = self.select(|id, open| {
            let is_waiting = open.is_offered && open.record.place.is_none() && open.record.outcome.is_none();
            let sent = open.record.sent.clone().filter(|_| is_waiting)?;
            Some((id.to_owned(), sent, open.record.order.terms.mark.0))
        });
        if waiting.is_empty() {
            return Ok(());
        }
        let next = finalized.nonce(&self.account).await?;
        for (id, sent, mark) in waiting {
            if next <= sent.nonce && finalized.number() < Prepared::last_block(sent.born) {
                continue;
            }
            let read = match search(client, &sent, finalized.number()).await? {
                Search::Nowhere => {
                    self.sign_anew(&id).await;
                    continue;
                }
                Search::Found(found) => match self.read(client, &found).await {
                    Ok(read) => read,
                    Err(Error::Unreachable(reason)) => return Err(Error::Unreachable(reason)),
                    // The node has forgotten the events of that block; the request itself it may still have.
                    Err(_) => by_mark(at, mark, found.number).await?.map_or(Read::Nothing, Read::Requested),
                },
                Search::Unknown => match by_mark(at, mark, sent.born).await? {
                    Some(place) => Read::Requested(place),
                    None => {
                        tracing::error!(
                            order = id,
                            "the node does not have the blocks that may contain a transaction; ask a node with all blocks"
                        );
                        continue;
                    }
                },
            };
            match read {
                Read::Requested(place) => self.place(&id, Some(place)).await,
                Read::Failed(outcome) => self.over(&id, outcome).await,
                Read::Nothing => self.over(&id, Outcome::Forgotten { request: None }).await,
            }
        }
        Ok(())
    }

    async fn over(&self, id: &str, outcome: Outcome) {
        let record = self.open().get(id).map(|open| open.record.clone());
        if let Some(record) = record {
            self.end(record, outcome).await;
        }
    }

    /// Gives an order back to the signer whose transaction no block can contain.
    async fn sign_anew(&self, id: &str) {
        let key = id.to_owned();
        match self.stored(move |store| store.unsign(&key)).await {
            Ok(()) => {
                tracing::info!(
                    order = id,
                    "no block can contain the transaction of an order; it is signed anew"
                );
                self.metrics.signed_anew.inc();
                self.open().remove(id);
                self.take(id);
            }
            Err(error) => tracing::error!(order = id, error, "an order cannot be signed anew yet"),
        }
    }

    /// Offers transactions again that are in no block: the node may have lost its pool.
    async fn offer_again(&self, client: &Client, number: u64) -> Result<(), Error> {
        let mut due = self.select(|id, open| {
            let is_due = open.is_offered
                && open.record.place.is_none()
                && open.record.outcome.is_none()
                && number >= open.offered.saturating_add(OFFER_AGAIN);
            let sent = open.record.sent.clone().filter(|_| is_due)?;
            Some((sent.nonce, id.to_owned(), sent.transaction))
        });
        due.sort();
        for (_, id, transaction) in due {
            match client.offer(&transaction).await {
                // The pool has it, or will never take it, which is found out when blocks are final.
                Ok(()) | Err(Error::NonceTaken { .. } | Error::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
            if let Some(open) = self.open().get_mut(&id) {
                open.offered = number;
            }
        }
        Ok(())
    }

    /// Looks how the requests stand.
    async fn follow(
        &self,
        splits: &mut Splits<'_>,
        at: &At,
        finalized: &At,
        models: &Models,
    ) -> Result<(), Error> {
        let placed = self.select(|id, open| {
            let place = open.record.place.filter(|_| open.record.outcome.is_none())?;
            Some((id.to_owned(), place))
        });
        for some in placed.chunks(AT_A_TIME) {
            let mut asked = Vec::new();
            for (_, place) in some {
                asked.push(at.request(place.request));
            }
            for ((id, place), view) in some.iter().zip(join_all(asked).await) {
                self.stands(splits, finalized, models, id, *place, view?).await?;
            }
        }
        Ok(())
    }

    /// Goes on with an order by how its request stands in the best block.
    async fn stands(
        &self,
        splits: &mut Splits<'_>,
        finalized: &At,
        models: &Models,
        id: &str,
        place: Place,
        view: Option<RequestView>,
    ) -> Result<(), Error> {
        match view.filter(|view| self.is(id, view)) {
            Some(view) => match outcome::of(splits, &view, models, place.fee).await? {
                Some(outcome) => self.told(id, view, outcome).await,
                None => self.board.tell(id, Some(place.request), Some(view.phase.name())),
            },
            // A re-organisation took it out of the chain.
            None if place.block > finalized.number() => self.place(id, None).await,
            None => {
                let known = finalized.request(place.request).await?;
                if known.is_some_and(|view| self.is(id, &view)) {
                    return Ok(());
                }
                if is_pruned(finalized, place.block)? {
                    self.over(id, Outcome::Forgotten { request: Some(place.request) }).await;
                } else {
                    // Finality went past the block at once, on another fork, as after a cut in the network.
                    self.place(id, None).await;
                }
            }
        }
        Ok(())
    }

    /// Whether a request on the chain is this order: after a re-organisation its number may be another's.
    fn is(&self, id: &str, view: &RequestView) -> bool {
        view.requester == self.account
            && self.open().get(id).is_some_and(|open| open.record.order.prompt.as_bytes() == view.prompt)
    }

    /// Tells an end that stands in a best block.
    async fn told(&self, id: &str, view: RequestView, outcome: Outcome) {
        let record = match self.open().get_mut(id) {
            Some(open) => {
                open.view = Some(view);
                open.record.outcome = Some(outcome.clone());
                open.record.clone()
            }
            None => return,
        };
        // First on the disk, so that what a client was told can be fetched. A full disk keeps no answer from who waits for it.
        let (key, kept) = (id.to_owned(), outcome.clone());
        if let Err(error) = self.stored(move |store| store.close(&key, &kept, false)).await {
            tracing::error!(order = id, error, "the end of an order is not on the disk yet");
        }
        self.tell(&record, &outcome);
    }

    /// Makes ends final whose blocks are.
    async fn finish(&self, splits: &mut Splits<'_>, finalized: &At, models: &Models) -> Result<(), Error> {
        let told = self.select(|id, open| {
            let block = match open.record.outcome.as_ref()? {
                _ if open.is_ended => 0,
                Outcome::Settled { block, .. } | Outcome::Refunded { block, .. } => *block,
                Outcome::Refused { .. } | Outcome::Forgotten { .. } => 0,
            };
            (block <= finalized.number())
                .then(|| (id.to_owned(), block, open.record.place.filter(|_| block > 0)))
        });
        for (id, block, place) in told {
            let Some(place) = place else {
                self.close(&id).await;
                continue;
            };
            let view = finalized.request(place.request).await?.filter(|view| self.is(&id, view));
            let Some(view) = view else {
                if is_pruned(finalized, block)? {
                    // Forgotten meanwhile: what was told is the last word.
                    self.close(&id).await;
                } else {
                    self.changed(&id, None).await;
                    self.place(&id, None).await;
                }
                continue;
            };
            let is_same = self.open().get(&id).is_some_and(|open| open.view.as_ref() == Some(&view));
            if !is_same {
                let outcome = outcome::of(splits, &view, models, place.fee).await?;
                let changed = self.open().get(&id).is_some_and(|open| open.record.outcome != outcome);
                if changed {
                    self.changed(&id, outcome.clone()).await;
                }
                if outcome.is_none() {
                    continue;
                }
            }
            self.close(&id).await;
        }
        Ok(())
    }

    /// Corrects an end that a re-organisation changed after it was told.
    async fn changed(&self, id: &str, outcome: Option<Outcome>) {
        tracing::warn!(
            order = id,
            "a re-organisation of the chain changed the end of an order after it was told"
        );
        self.metrics.changed.inc();
        let is_open = outcome.is_none();
        if let Some(open) = self.open().get_mut(id) {
            open.record.outcome = outcome;
            open.view = None;
        }
        if is_open {
            let key = id.to_owned();
            if let Err(error) = self.stored(move |store| store.reopen(&key)).await {
                tracing::error!(order = id, error, "an order that goes on is still over on the disk");
            }
        }
    }
}

/// Whether a request that was on the chain in `block` may be pruned by now. It is kept for `Retention` blocks after its end.
fn is_pruned(finalized: &At, block: u64) -> Result<bool, Error> {
    let retention: u32 = finalized.constant(constants().proof_of_quality().retention())?;
    Ok(finalized.number() >= block.saturating_add(retention.into()))
}

/// Effect of a transaction.
enum Read {
    Requested(Place),
    Failed(Outcome),
    Nothing,
}

/// Looks for a transaction in all finalized blocks that could contain it.
async fn search(client: &Client, sent: &Sent, finalized: u64) -> Result<Search, Error> {
    for number in sent.born.saturating_add(1)..=Prepared::last_block(sent.born).min(finalized) {
        let hash = client.rpc().chain_get_block_hash(Some(number.into())).await.map_err(Error::of)?;
        let Some(hash) = hash else { return Ok(Search::Unknown) };
        let block = client.rpc().chain_get_block(Some(hash)).await.map_err(Error::of)?;
        let Some(details) = block else { return Ok(Search::Unknown) };
        let found =
            (0..).zip(&details.block.extrinsics).find(|(_, transaction)| transaction.0 == sent.transaction);
        if let Some((index, _)) = found {
            return Ok(Search::Found(Found { hash, number, index }));
        }
    }
    Ok(Search::Nowhere)
}

/// Finds a request by the 32 bytes of its terms that are nobody else's.
async fn by_mark(at: &At, mark: [u8; 32], block: u64) -> Result<Option<Place>, Error> {
    let requests = storage().proof_of_quality().requests();
    let found = at.find(requests, |request| request.audit == Audit::Sealed(mark)).await?;
    Ok(found.map(|((request,), _)| Place { request, block, fee: 0 }))
}
