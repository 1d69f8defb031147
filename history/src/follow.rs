//! From finalized block to finalized block.
//!
//! Only finalized blocks are read: they are never undone, so nothing that was counted is ever taken back.

use crate::{
    block::{self, Block},
    metrics::Metrics,
    store::{
        self, hash,
        write::{models_of, named},
        Cursor, Names, Store,
    },
};
use futures::{stream, StreamExt as _};
use poq_client::{Client, Error as ClientError};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};

/// Blocks that are read at a time while there are many to read.
const AHEAD: usize = 8;

/// Pause before the node is looked for again.
const PAUSE: Duration = Duration::from_secs(1);

/// Blocks between two lines in the log while there are many to read.
const REPORTED: u64 = 1_000;

/// A reason to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database, or a chain that is another one.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A block that cannot be read, now or later.
    #[error(transparent)]
    Block(#[from] block::Error),
}

/// A node that is gone, or a reason to stop.
enum End {
    Lost(ClientError),
    Stop(Error),
}

impl From<ClientError> for End {
    fn from(error: ClientError) -> Self {
        Self::Lost(error)
    }
}

impl From<block::Error> for End {
    fn from(error: block::Error) -> Self {
        match error {
            block::Error::Client(error) => Self::Lost(error),
            error => Self::Stop(error.into()),
        }
    }
}

impl From<store::Error> for End {
    fn from(error: store::Error) -> Self {
        Self::Stop(error.into())
    }
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The newest block that the database holds.
    pub cursor: Option<Cursor>,
    /// The newest finalized block of the node.
    pub finalized: u64,
    /// Whether the node answers.
    pub connected: bool,
}

impl Progress {
    /// Finalized blocks that are not read yet.
    pub fn behind(&self) -> u64 {
        self.finalized.saturating_sub(self.cursor.as_ref().map_or(0, |cursor| cursor.number))
    }
}

/// Follows the chain of the node at `url`.
pub struct Follower {
    /// Address of the node.
    pub url: String,
    /// First block of a new database.
    pub from: Option<u32>,
    /// The database.
    pub store: Store,
    /// Told after each block.
    pub progress: watch::Sender<Progress>,
    /// Told too.
    pub metrics: Arc<Metrics>,
}

impl Follower {
    /// Follows until there is a reason to stop; a node that is gone is none.
    pub async fn run(self) -> Error {
        let mut is_first = true;
        loop {
            let end = match Client::connect(&self.url).await {
                Ok(client) => {
                    is_first = true;
                    self.follow(&client).await
                }
                Err(error) => Err(End::Lost(error)),
            };
            match end {
                Ok(never) => match never {},
                Err(End::Stop(error)) => return error,
                Err(End::Lost(error)) => {
                    if std::mem::take(&mut is_first) {
                        tracing::warn!("{error}; trying again every {} s", PAUSE.as_secs());
                    }
                }
            }
            self.metrics.connected.set(0);
            self.progress.send_modify(|progress| progress.connected = false);
            sleep(PAUSE).await;
        }
    }

    async fn follow(&self, client: &Client) -> Result<std::convert::Infallible, End> {
        let mut cursor = self.store.begin(&hash(&client.genesis()), self.from).await?;
        let known = client.hash(cursor.number).await?;
        if known.is_some_and(|known| !cursor.hash.is_empty() && hash(&known.0) != cursor.hash) {
            return Err(store::Error::OtherBlock(cursor.number).into());
        }
        let mut names = self.store.names().await?;
        tracing::info!("following {}; the database holds blocks up to {}", client.url(), cursor.number);
        let mut blocks = client.finalized_blocks().await?;
        loop {
            let finalized = client.pulse().await?.finalized;
            self.tell(&cursor, finalized);
            let next = cursor.number.saturating_add(1);
            let mut read =
                stream::iter(next..=finalized).map(|number| Block::read(client, number)).buffered(AHEAD);
            while let Some(block) = read.next().await {
                let block = block?;
                self.name(client, &block, &mut names).await?;
                cursor = self.store.write(&cursor, &block, &names).await?;
                let ended = block.requests.iter().filter(|seen| seen.end.is_some()).count();
                self.metrics.requests.inc_by(u64::try_from(ended).unwrap_or(u64::MAX));
                self.tell(&cursor, finalized);
                if cursor.number.is_multiple_of(REPORTED) {
                    tracing::info!("at block {} of {finalized}", cursor.number);
                }
            }
            blocks.next().await?;
        }
    }

    /// Learns the names of models that a block is the first to name.
    async fn name(&self, client: &Client, block: &Block, names: &mut Names) -> Result<(), End> {
        if models_of(&block.requests).any(|model| !names.contains_key(&model)) {
            let registry = client.at(block.hash.into()).await?.models().await?;
            let learnt = named(registry);
            self.store.learn(&learnt).await?;
            names.extend(learnt);
        }
        Ok(())
    }

    fn tell(&self, cursor: &Cursor, finalized: u64) {
        let progress = Progress { cursor: Some(cursor.clone()), finalized, connected: true };
        self.metrics.connected.set(1);
        self.metrics.block.set(i64::try_from(cursor.number).unwrap_or(i64::MAX));
        self.metrics.behind.set(i64::try_from(progress.behind()).unwrap_or(i64::MAX));
        self.progress.send_replace(progress);
    }
}
