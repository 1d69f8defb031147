//! A steady flow of requests.
//!
//! All are signed before the first fault. Each is sent to a random node when it is due, and to others until it is final. Its nonce
//! ensures that it is made once.

use super::world::World;
use crate::asking::{Models, Question, DEADLINE};
use anyhow::Result;
use poq_client::{keypair, types::chain::tx};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};
use subxt::utils::AccountId32;
use tokio::time::{sleep, timeout};

/// Secret URIs of the requesters, which are rich at genesis. The requests of each are in order of their nonces.
const REQUESTERS: [&str; 11] = [
    "//Bob",
    "//Charlie",
    "//Dave",
    "//Eve",
    "//Ferdie",
    "//Alice//stash",
    "//Bob//stash",
    "//Charlie//stash",
    "//Dave//stash",
    "//Eve//stash",
    "//Ferdie//stash",
];

/// Countries whose capitals are asked for.
const COUNTRIES: [&str; 8] = ["Peru", "Malaysia", "Norway", "Kenya", "Japan", "Chile", "Egypt", "Portugal"];

/// Time between two looks at the final requests.
const ROUND: Duration = Duration::from_secs(2);

/// Time after which a transaction that is not final is sent to another node.
const AGAIN: Duration = Duration::from_secs(10);

/// One signed request.
struct Letter {
    transaction: Vec<u8>,
    due: Duration,
    sent: Option<Instant>,
}

/// The requests of one requester, in the order of their nonces.
struct Sender {
    account: AccountId32,
    letters: Vec<Letter>,
    delivered: usize,
}

/// Signed requests, each with the time at which it is due.
pub struct Flow {
    senders: Vec<Sender>,
    rng: ChaCha8Rng,
    /// Number of final requests.
    delivered: AtomicUsize,
}

impl Flow {
    /// Signs `requests` requests, due evenly over `duration`.
    pub async fn sign(world: &World, seed: u64, requests: usize, duration: Duration) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x0f10_3f10);
        let client = world.anybody().await?;
        let at = client.best().await?;
        let models = Models::at(&at).await?;
        let mut senders = Vec::new();
        for uri in REQUESTERS {
            let account = keypair(uri)?.public_key().to_account_id();
            senders.push(Sender { account, letters: Vec::new(), delivered: 0 });
        }
        for number in 0..requests {
            let who = number % REQUESTERS.len();
            let (Some(sender), Some(uri)) = (senders.get_mut(who), REQUESTERS.get(who)) else { continue };
            let country = COUNTRIES.get(rng.random_range(0..COUNTRIES.len())).copied().unwrap_or("Peru");
            let question = Question {
                prompt: format!("What is the capital of {country}?"),
                responders: rng.random_range(1..=2),
                committee: rng.random_range(3..=5),
            };
            let terms = models.terms(&at, &question).await?;
            let call = tx().proof_of_quality().request_inference(question.prompt.into_bytes(), terms);
            let transaction = at.sign(call, &keypair(uri)?, sender.letters.len() as u64)?;
            let due = duration.mul_f64(number as f64 / requests.max(1) as f64);
            sender.letters.push(Letter { transaction, due, sent: None });
        }
        Ok(Self { senders, rng, delivered: AtomicUsize::new(0) })
    }

    /// Number of final requests.
    pub fn delivered(&self) -> usize {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Sends requests that are due until all are final.
    pub async fn run(&mut self, world: &World) {
        while self.senders.iter().any(|sender| sender.delivered < sender.letters.len()) {
            // On an error the next round asks another node.
            let _later = self.round(world).await;
            sleep(ROUND).await;
        }
    }

    async fn round(&mut self, world: &World) -> Result<()> {
        let at = timeout(DEADLINE, world.anybody().await?.finalized()).await??;
        for sender in &mut self.senders {
            let nonce = usize::try_from(timeout(DEADLINE, at.nonce(&sender.account)).await??)?;
            // A node that lags behind may report a lower nonce.
            sender.delivered = sender.delivered.max(nonce);
        }
        self.delivered.store(self.senders.iter().map(|sender| sender.delivered).sum(), Ordering::Relaxed);
        let now = world.elapsed();
        for sender in &mut self.senders {
            for letter in sender.letters.iter_mut().skip(sender.delivered) {
                let waits = letter.sent.is_some_and(|sent| sent.elapsed() < AGAIN);
                if letter.due > now || waits {
                    continue;
                }
                let node = self.rng.random_range(0..world.network.nodes().len());
                let Ok(client) = world.client(node).await else { continue };
                // An error is no loss: the request may be there already, or its nonce not be next yet.
                let _seen_later = timeout(DEADLINE, client.send(&letter.transaction)).await;
                letter.sent = Some(Instant::now());
            }
        }
        Ok(())
    }
}
