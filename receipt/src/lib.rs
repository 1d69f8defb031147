//! Receipts: proofs of a request's outcome that anyone checks without a node.
//!
//! A [`Receipt`] is a JSON file. It holds, in the chain's own encoding,
//!
//! 1. the header of an *anchor*, a block that the reader trusts (the genesis block, or a later one), with a proof of the GRANDPA voters in its
//!    state;
//! 2. the headers in which the voters changed since, each with the justification of the voters before;
//! 3. the header of a finalized block, with a justification;
//! 4. a proof of the request in the state of that block: terms, phase, payments, scores, and digests of prompt and answers.
//!
//! [`verify`] takes the anchor's hash from the reader, and nothing else on trust. [`collect`] makes a receipt from what a node says. Texts are
//! not in a receipt; [`digest`] says whether a text is the one that was paid for.
//!
//! A receipt shows that two thirds of the voters called that block final. It does not show that the answer is right, nor which model ran.
//!
//! Without the feature `collect` (on by default) only the checking is left, for which `core` and `alloc` are enough: so it is compiled to
//! WebAssembly for other languages (`sdk/verifier`).

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "collect")]
mod collect;
mod finality;
mod invalid;
mod keys;
mod receipt;
mod report;
mod state;
pub mod stored;
mod verify;

#[cfg(feature = "collect")]
pub use collect::{collect, Anchor, Error};
pub use invalid::Invalid;
pub use receipt::{Bytes, Final, Known, Receipt};
pub use report::report;
pub use verify::{digest, verify, Answer, Verified};
