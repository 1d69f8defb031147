//! The express lane's process: sockets, a disk, an engine and the chain for the state machines of `poq-express`, which have none of these.
//!
//! An operator runs the program `poq-express` beside its node, or has `poq-node` run it as a child; a requester uses [`ask`] as a library.
//!
//! | module | content |
//! |---|---|
//! | [`transport`] | HTTP/2 over TLS 1.3 between operators and requesters, with authenticated callers and limits |
//! | [`disk`] | records that are on disk before anything is said that depends on them |
//! | [`driver`] | one task that owns a state machine and carries out its actions in order |
//! | [`operator`] | an operator: its state machine, and what its actions do |
//! | [`engine`] | jobs of the engine over its HTTP API |
//! | [`chain`] | finalized state, and transactions |
//! | [`settle`] | certificates until they are settled in a finalized block |
//! | [`ask`] | a requester: asks, and returns outputs, scores and the certificate |
//! | [`config`], [`program`] | the command line, and what its commands do |
//! | [`metrics`], [`files`], [`keys`] | Prometheus, files with secrets, keys with salts |

pub mod ask;
pub mod chain;
pub mod config;
pub mod disk;
pub mod driver;
pub mod engine;
pub mod files;
pub mod keys;
pub mod metrics;
pub mod operator;
pub mod program;
pub mod serve;
pub mod settle;
pub mod transport;
