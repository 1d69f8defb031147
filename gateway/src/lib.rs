//! An OpenAI-compatible server that asks a Proof of Quality network.
//!
//! ```text
//! api/       HTTP: OpenAI's forms in and out, streams, errors
//! desk       takes orders: checks, reserves the money, hands them to a lane, waits for outcomes
//! lane       the border between the two: how the network is asked
//! chain/     the lane of today: signed transactions, followed to their finalized end
//! store      SQLite: API keys, reservations, every order with its transaction and its outcome
//! ```
//!
//! An order is on disk before its transaction is signed, and the transaction is before it is sent. A transaction is signed anew only if it is
//! certain that no block can ever contain the one before. So a gateway that is killed at any point finds its orders again, and none is paid
//! twice.

mod amount;
mod api;
mod catalogue;
mod chain;
mod commands;
pub mod config;
mod desk;
mod keys;
mod lane;
mod lock;
mod metrics;
mod order;
mod plan;
mod refusal;
mod server;
mod store;

use config::{Cli, Command};

/// Does what the command line says.
///
/// # Errors
/// A text that says what is wrong and what to do.
pub fn run(cli: Cli) -> Result<(), String> {
    match cli.command {
        None => server::run(cli.place, cli.serve),
        Some(Command::Keys(command)) => commands::keys(&cli.place, command),
        Some(Command::Health) => poq_web::health::run("gateway", cli.serve.listen),
    }
}
