//! Real nodes and engines for tests, benches and test networks.
//!
//! A [`Node`] is a `poq-node` in a folder of its own and on free ports; an [`Engine`] is a `poq-worker` with the demo models.
//! Both end with their value, also when a test panics, which then prints the end of their logs:
//!
//! ```no_run
//! # fn example() -> anyhow::Result<()> {
//! use harness::{programs, Node};
//!
//! let node = Node::temporary(programs::find("poq-node")?, ["--dev"])?;
//! node.start()?;
//! let address = node.wait_for_rpc()?;
//! let engine = node.wait_for_engine(None)?;
//! # let _ = (address, engine);
//! # Ok(())
//! # }
//! ```

pub mod engine;
mod logs;
pub mod node;
pub mod ports;
pub mod process;
pub mod programs;
mod turn;
mod wait;

pub use engine::Engine;
pub use node::{Address, Node, Setup};
pub use rustix::process::Signal;
pub use turn::Turn;
pub use wait::{wait_for, wait_until};
