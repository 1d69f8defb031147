//! Types that pallet, node, engine and clients share: jobs, conversations, commitments, keys, problems, the express lane.
//!
//! `no_std`, small and free of chain types, so that an engine does not compile a chain and a chain does not compile an
//! engine.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod commitment;
pub mod conversation;
pub mod express;
pub mod job;
pub mod keys;
pub mod problem;
