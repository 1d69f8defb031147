//! Reasons why a receipt proves nothing.

use alloc::string::String;

/// Reason for refusing a receipt. Each text is complete in itself and has no full stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The text is no receipt.
    #[error("not a receipt: {0}")]
    Form(String),
    /// The receipt is of a form that this program does not know.
    #[error("the receipt has form {0}, and this program knows form {known}; take a newer one", known = crate::receipt::FORM)]
    UnknownForm(u32),
    /// The receipt begins at another block than the reader's.
    #[error("the receipt begins at block 0x{}, not at the one that you trust, 0x{}", hex::encode(.found), hex::encode(.trusted))]
    OtherAnchor {
        /// Hash of the receipt's anchor.
        found: [u8; 32],
        /// Hash that the reader named.
        trusted: [u8; 32],
    },
    /// Bytes that cannot be decoded, or not as what they should be.
    #[error("{0} cannot be decoded")]
    Undecodable(&'static str),
    /// A justification that does not hold.
    #[error("block {block} is not final: {why}")]
    NotFinal {
        /// Number of the block.
        block: u32,
        /// Fault of its justification.
        why: &'static str,
    },
    /// The blocks of the receipt are not in ascending order.
    #[error("block {0} comes after a later block")]
    Order(u32),
    /// A header that should change the voters and does not.
    #[error("block {0} does not change the voters")]
    NoChange(u32),
    /// A header with a change of voters that does not take effect in its block.
    #[error("block {0} changes the voters in a way that this program does not follow")]
    UnknownChange(u32),
    /// A proof of state that does not lead from the header to the value.
    #[error("the proof of {0} is incomplete or wrong")]
    Unproven(&'static str),
    /// A proof of state with more in it than it proves.
    #[error("a proof has parts that prove nothing")]
    Surplus,
    /// The request is not in the state.
    #[error("request {0} is not in the state of that block")]
    NoRequest(u64),
    /// The request is still open.
    #[error("request {0} is neither settled nor refunded in that block")]
    Open(u64),
    /// The chain stores requests in a form that this program does not know.
    #[error("the chain's storage has version {found}, and this program knows {known}; take one of the chain's release")]
    OtherStorage {
        /// The chain's version.
        found: u16,
        /// The version that this program reads.
        known: u16,
    },
}
