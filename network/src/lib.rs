//! Networks of real nodes on one machine: to use, to upgrade, to hurt.
//!
//! A network is four block authors and seven operators, each a process of its own with its own data, keys and engine, as they
//! would be on eleven machines. `poq-network` is the program around it; tests use the library:
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use network::{client::Client, members, network::{Network, Options, Place}};
//!
//! let options = Options::new("/tmp/some-folder", Place::free_ports()?);
//! let mut network = Network::create(options, members::all()).await?;
//! network.equip()?;
//! network.start().await?;
//! let client = Client::connect(&network.nodes()[0].url()).await?;
//! let request = client.ask("What is the capital of Peru?", "//Bob").await?;
//! let closed = client.wait_until_closed(request).await?;
//! # let _ = closed;
//! # Ok(())
//! # }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`members`] | who is in the network |
//! | [`network`] | all nodes together: creating, starting, waiting, stopping |
//! | [`node`] | one node: its keys, its options, its processes |
//! | [`process`] | what Linux knows of a process |
//! | [`programs`] | where the programs are |
//! | [`wires`] | network namespaces and links between them, to cut and to heal |
//! | [`disk`] | small disks, to fill |
//! | [`clock`] | clocks, to put wrong |
//! | [`client`] | the chain as a requester, as sudo, and as an auditor sees it |
//! | [`ledger`] | what must hold when all is over, read from every block |
//! | [`chaos`] | faults from a seed, under a flow of requests |
//! | [`show`] | tables |

pub mod chaos;
pub mod client;
pub mod clock;
pub mod disk;
pub mod ledger;
pub mod members;
pub mod network;
pub mod node;
pub mod process;
pub mod programs;
pub mod show;
pub mod wires;
