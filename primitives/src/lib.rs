//! Types that the pallet and the engine share: jobs, commitments, keys.
//!
//! `no_std`, small and free of chain types, so that an engine does not compile a chain and a chain does not compile an
//! engine.
//!
//! | module | holds |
//! |---|---|
//! | [`job`] | what the driver asks of the engine and what the engine answers, as JSON over HTTP |
//! | [`commitment`] | hashes that fix an output or a vector of scores before it is shown |
//! | [`keys`] | the worker key type, and where the driver finds its engine |

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod commitment;
pub mod job;
pub mod keys;
