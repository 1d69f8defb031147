//! Keeps what a Proof of Quality chain forgets: closed requests, what operators earned and lost, and how models rank, in SQLite or PostgreSQL,
//! with an API.
//!
//! ```text
//! follow     from finalized block to finalized block, each of them once
//! block      one finalized block, as far as the history keeps it
//! store/     the database: one transaction a block, and the questions of the API
//! ranking    models by duels: Bradley-Terry with intervals
//! api/       HTTP: pages of requests, operators, models, a stream of ends, OpenAPI
//! made_up    requests for benches and tests, with the feature `made-up`
//! ```
//!
//! Everything in the database is a function of the finalized chain, so that two histories of one chain hold the same, and one that is made anew
//! is equal byte by byte (`poq-history digest`).

mod api;
pub mod block;
pub mod config;
mod follow;
#[cfg(any(test, feature = "made-up"))]
pub mod made_up;
mod metrics;
pub mod ranking;
mod server;
pub mod store;

use config::{Cli, Command};
use std::io::Write as _;
use store::Store;

/// Does what the command line says.
///
/// # Errors
/// A text that says what is wrong and what to do.
pub fn run(cli: Cli) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("cannot start: {error}"))?;
    let outcome = runtime.block_on(async {
        let open = || Store::open(&cli.database);
        match cli.command {
            None => server::run(cli.database, cli.serve).await,
            Some(Command::Health) => poq_web::health::run("history", cli.serve.listen),
            Some(Command::Reindex) => Ok(open().await?.forget().await?),
            Some(Command::Digest) => {
                for (table, digest) in open().await?.digests().await? {
                    writeln!(std::io::stdout(), "{digest}  {table}")
                        .map_err(|error| format!("cannot write: {error}"))?;
                }
                Ok(())
            }
        }
    });
    runtime.shutdown_background();
    outcome
}
