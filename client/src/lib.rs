//! Client of a Proof of Quality chain.
//!
//! [`Client`] connects to a node, submits transactions and follows requests; [`At`] is the chain at one block, for questions;
//! [`types`] are the chain's types, generated from the runtime's metadata; every failure is an [`Error`] that can be matched.
//!
//! ```ignore
//! let mut client = Client::connect("ws://127.0.0.1:9944").await?;
//! let asked = client.ask("What is the capital of Peru?", terms, &signer).await?;
//! let request = client.follow(&asked, |news| println!("{news:?}")).await?;
//! ```
//!
//! The whole program is `examples/ask.rs`. Everything else is addressed with [`types::chain`], the generated
//! addresses of all calls, view functions, stored values, constants and events: `client.submit(tx().proof_of_quality().chill(), &signer)`.

mod at;
mod balance;
mod client;
mod error;
mod follow;
pub mod json;
mod submit;
pub mod types;

pub use at::{At, LANE, PALLET};
pub use balance::Balance;
pub use client::{Blocks, Client, Pulse, Rpc};
pub use error::Error;
pub use follow::{Asked, News};
pub use submit::{Included, Prepared, Until};

use rand::{rngs::OsRng, TryRngCore as _};
use subxt_signer::{sr25519::Keypair, SecretUri};

/// The key of a secret URI: a phrase of 12 words or more, or `0x` and 64 hex digits, each with a path behind if need be. A path alone
/// (`//Alice`) is a development account, whose secret everybody knows.
///
/// # Errors
/// [`Error::NoSecret`].
pub fn keypair(uri: &str) -> Result<Keypair, Error> {
    let uri: SecretUri = uri.parse().map_err(|_| Error::NoSecret)?;
    Keypair::from_uri(&uri).map_err(|_| Error::NoSecret)
}

/// 32 bytes that nobody can foresee: the value of [`Terms::audit`](types::Terms::audit) in a request that is no audit.
///
/// # Errors
/// [`Error::NoRandomness`].
pub fn random() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    match OsRng.try_fill_bytes(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(Error::NoRandomness { reason: error.to_string() }),
    }
}
