//! The signer: takes orders in turn, gives each the next nonce, keeps its transaction and sends it. Nobody else signs.

use super::{Chain, Open, PAUSE};
use crate::order::{Outcome, Record, Sent};
use poq_client::{types::chain::tx, Client, Error};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::sleep};

/// Pause before an order is signed anew whose nonce another program took.
const NONCE_PAUSE: Duration = Duration::from_millis(300);

/// Most refusals of an order by the pool before it is given up.
const MOST_REFUSALS: u32 = 200;

/// Name of the client's error for a transaction that the pool does not take.
const NOT_TAKEN: &str = "InvalidTransaction";

/// Reason why an order is not sent.
enum Trouble {
    /// The order is over: its transaction can never be sent.
    Over(Box<Record>, Outcome),
    /// The pool refused it; it is signed anew.
    Refused(String),
    /// Node or disk are not there.
    Away(String),
}

/// Signs what comes, for ever.
pub async fn run(chain: Arc<Chain>, mut queue: mpsc::UnboundedReceiver<String>) {
    while let Some(id) = queue.recv().await {
        let mut refusals = 0;
        let mut told = false;
        loop {
            match chain.send(&id).await {
                Ok(()) => break,
                Err(Trouble::Over(record, outcome)) => {
                    chain.end(*record, outcome).await;
                    break;
                }
                Err(Trouble::Refused(reason)) if refusals < MOST_REFUSALS => {
                    tracing::debug!(order = id, reason, "a transaction was refused; it is signed anew");
                    refusals += 1;
                    sleep(NONCE_PAUSE).await;
                }
                Err(Trouble::Refused(reason)) => {
                    chain.give_up(&id, reason).await;
                    break;
                }
                Err(Trouble::Away(reason)) => {
                    if !told {
                        tracing::warn!(order = id, reason, "an order waits to be sent");
                        told = true;
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Chain {
    /// Signs and sends an order. With `Ok` the watcher goes on with it.
    async fn send(&self, id: &str) -> Result<(), Trouble> {
        let key = id.to_owned();
        let record = self.stored(move |store| store.order(&key)).await.map_err(Trouble::Away)?;
        // An order that was sent before is the watcher's.
        let Some(mut record) = record.filter(|record| record.sent.is_none() && record.outcome.is_none())
        else {
            return Ok(());
        };
        let client = self.client();
        let order = &record.order;
        let call = tx()
            .proof_of_quality()
            .request_inference(order.prompt.as_bytes().to_vec(), order.terms.of_chain());
        let nonce = self.next_nonce(&client).await.map_err(away)?;
        let prepared = match client.prepare(call, &self.signer, nonce).await {
            Ok(prepared) => prepared,
            Err(Error::Refused { name, docs }) => {
                return Err(Trouble::Over(Box::new(record), refused(name, docs)));
            }
            Err(error) => return Err(away(error)),
        };
        let at = client.best().await.map_err(away)?;
        let fee = at.fee(&prepared.encoded).await.map_err(away)?;
        if order.terms.budget.saturating_add(fee) > record.counted {
            let meaning = "The fee of transactions rose above what was reserved for it; try again.";
            return Err(Trouble::Over(Box::new(record), refused("FeeRose".into(), meaning.into())));
        }
        let (key, kept) = (id.to_owned(), prepared.clone());
        self.stored(move |store| store.sign(&key, &kept)).await.map_err(Trouble::Away)?;
        record.sent =
            Some(Sent { transaction: prepared.encoded.clone(), nonce: prepared.nonce, born: prepared.born });
        let mut open = Open::new(record, false);
        open.offered = at.number();
        self.open().insert(id.to_owned(), open);
        match client.offer(&prepared.encoded).await {
            Ok(()) => {
                self.offered(id);
                self.board.tell(id, None, Some("sent"));
                Ok(())
            }
            // The pool's first word on this transaction, so it is nowhere.
            Err(Error::NonceTaken { reason }) => Err(self.take_back(id, Trouble::Refused(reason)).await),
            Err(Error::Refused { name, docs }) if name == NOT_TAKEN => {
                Err(self.take_back(id, Trouble::Refused(docs)).await)
            }
            Err(Error::Refused { name, docs }) => {
                let record = self.open().get(id).map(|open| Box::new(open.record.clone()));
                let trouble = match record {
                    Some(record) => Trouble::Over(record, refused(name, docs)),
                    None => Trouble::Refused(docs),
                };
                Err(self.take_back(id, trouble).await)
            }
            // Perhaps it arrived.
            Err(error) => {
                tracing::warn!(order = id, %error, "a transaction may not have arrived; it is sent again");
                self.offered(id);
                Ok(())
            }
        }
    }

    fn offered(&self, id: &str) {
        if let Some(open) = self.open().get_mut(id) {
            open.is_offered = true;
        }
    }

    /// Takes back a transaction that the pool refused at once. If the disk does not take that, the transaction stays: it then is as good as
    /// one that was lost.
    async fn take_back(&self, id: &str, trouble: Trouble) -> Trouble {
        let key = id.to_owned();
        match self.stored(move |store| store.unsign(&key)).await {
            Ok(()) => {
                self.open().remove(id);
                trouble
            }
            Err(error) => {
                self.offered(id);
                Trouble::Away(error)
            }
        }
    }

    /// Ends an order that the pool keeps refusing.
    async fn give_up(&self, id: &str, reason: String) {
        let key = id.to_owned();
        if let Ok(Some(record)) = self.stored(move |store| store.order(&key)).await {
            self.end(record, refused(NOT_TAKEN.into(), reason)).await;
        }
    }

    /// The lowest nonce that neither the node's pool nor an order of ours has.
    async fn next_nonce(&self, client: &Client) -> Result<u64, Error> {
        let next = client.rpc().system_account_next_index(&self.account).await.map_err(Error::of)?;
        let open = self.open();
        let waiting = open.values().filter(|open| open.record.place.is_none());
        let taken: HashSet<u64> =
            waiting.filter_map(|open| open.record.sent.as_ref()).map(|sent| sent.nonce).collect();
        Ok(lowest_free(next, &taken))
    }
}

fn lowest_free(next: u64, taken: &HashSet<u64>) -> u64 {
    (next..).find(|nonce| !taken.contains(nonce)).unwrap_or(next)
}

fn away(error: Error) -> Trouble {
    Trouble::Away(error.to_string())
}

fn refused(name: String, meaning: String) -> Outcome {
    Outcome::Refused { name, meaning: meaning.trim().to_owned(), transaction_fee: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_nobody_elses() {
        assert_eq!(lowest_free(5, &HashSet::new()), 5);
        // The node lost its pool: what is sent again keeps its nonces.
        assert_eq!(lowest_free(5, &[5, 6, 7].into()), 8);
        // One of them can be in no block any more: its gap is filled.
        assert_eq!(lowest_free(5, &[6, 7].into()), 5);
        assert_eq!(lowest_free(5, &[3, 4].into()), 5);
    }
}
