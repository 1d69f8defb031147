//! The express lane's parties as state machines without I/O: virtual time and events in, messages, records and jobs out.
//!
//! | module | content |
//! |---|---|
//! | [`requester`], [`operator`] | the two kinds of processes; an operator has its [`responder`]s and [`member`]s |
//! | [`step`] | events, actions, records: what a driver must do |
//! | [`wire`] | messages |
//! | [`view`], [`deposit`] | what is known of the chain, and whether a deposit covers an order |
//! | [`scene`] | an order that was checked against the chain |
//! | [`merge`] | certificates of one order put together |
//! | [`crypto`] | keys |
//! | [`limits`] | timeouts and bounds |
//! | [`simulator`] | many parties, good and bad, on a bad network, in virtual time |

pub mod crypto;
pub mod deposit;
pub mod limits;
pub mod member;
pub mod merge;
pub mod operator;
pub mod requester;
pub mod responder;
pub mod scene;
pub mod simulator;
pub mod step;
mod tally;
mod timers;
pub mod view;
pub mod wire;
