//! Networks of real nodes on one machine, for use and for tests of upgrades and faults.
//!
//! A network is four block authors and seven operators, each a process of its own with its own data, keys and engine, as they
//! would be on eleven machines. `poq-testnet` is the program around it; tests use the library:
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use poq_client::Client;
//! use testnet::{asking, members, network::{Network, Options, Place}};
//!
//! let options = Options::new("/tmp/some-folder", Place::free_ports()?);
//! let network = Network::launch(options, members::all()).await?;
//! let client = Client::connect(&network.nodes()[0].url()).await?;
//! let request = asking::ask(&client, "What is the capital of Peru?", "//Bob").await?;
//! let closed = asking::wait_until_closed(&client, request).await?;
//! # let _ = closed;
//! # Ok(())
//! # }
//! ```

pub mod asking;
pub mod chaos;
pub mod clock;
pub mod disk;
pub mod ending;
pub mod ledger;
pub mod members;
pub mod network;
pub mod node;
pub mod show;
pub mod terminal;
pub mod wires;
