//! Errors of a client.

use std::fmt::Display;
use subxt::error::{DispatchError, TransactionEventsError};

/// A failure of a client. Each text is complete in itself and has no full stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The node does not answer, or the connection is lost. [`Client::reconnect`](crate::Client::reconnect) tries again.
    #[error("{0}")]
    Unreachable(String),
    /// The chain refuses.
    #[error("{name}: {}", .docs.trim())]
    Refused {
        /// Name of the error: a variant of a pallet's `Error`; or `Token`, `InsufficientBalance` (for a fee), `RequireSudo`,
        /// `InvalidTransaction`, `Refused`.
        name: String,
        /// Meaning: the docs of that variant in the node's metadata.
        docs: String,
    },
    /// The answer is not what this client expects: node and client are of releases too far apart.
    #[error("{0}")]
    Undecodable(String),
    /// The chain has no pallet `ProofOfQuality`.
    #[error("the chain at {url} has no Proof of Quality")]
    NoProofOfQuality {
        /// The node asked.
        url: String,
    },
    /// The node that answers follows another chain than before.
    #[error("another chain answers at {url} now")]
    OtherChain {
        /// The node asked.
        url: String,
    },
    /// The chain has no pallet `Sudo`.
    #[error("this chain has no sudo: its governance does that another way")]
    NoSudo,
    /// The nonce was taken each time the transaction was signed.
    #[error("other transactions of this account keep coming first ({reason}); try again")]
    NonceTaken {
        /// The pool's reason at the last attempt.
        reason: String,
    },
    /// The pool took the transaction and gave it up.
    #[error("the node dropped the transaction ({reason}); try again")]
    Dropped {
        /// The pool's reason.
        reason: String,
    },
    /// The best block has a newer runtime than the newest finalized one, and did so for a minute.
    #[error("the chain's upgrade to version {version} is not final yet; try again later")]
    UpgradeNotFinal {
        /// The version of the best block's runtime.
        version: u32,
    },
    /// The text given is not a secret URI. The error does not repeat it.
    #[error("not a secret URI")]
    NoSecret,
    /// The system gives no randomness.
    #[error("the system gives no randomness: {reason}")]
    NoRandomness {
        /// The system's reason.
        reason: String,
    },
}

impl Error {
    /// Meaning of an error of the RPC library: [`Error::Unreachable`] or [`Error::Undecodable`].
    pub fn of(error: impl Display) -> Self {
        let text = error.to_string();
        // The library has two dozen error types around the one that matters, and no way in; its texts are the only constant.
        let lost =
            ["RPC error: client error", "subscription dropped", "connection was lost", "connection closed"];
        if lost.iter().any(|mark| text.contains(mark)) {
            Self::Unreachable(format!("lost the node ({})", cause(&text)))
        } else {
            Self::Undecodable(format!("the node's answer is not understood ({})", cause(&text)))
        }
    }

    /// The chain refuses under the error `name`; `docs` says what that means.
    pub fn refused(name: impl Into<String>, docs: impl Into<String>) -> Self {
        Self::Refused { name: name.into(), docs: docs.into() }
    }

    /// No node answers at `url`.
    pub(crate) fn no_answer(url: &str, error: impl Display) -> Self {
        Self::Unreachable(format!("no node answers at {url} ({})", cause(&error.to_string())))
    }

    /// Error of a transaction that is in a block and failed.
    pub(crate) fn of_dispatch(error: &DispatchError) -> Self {
        match error {
            DispatchError::Module(module) => match module.details() {
                Ok(details) => Self::refused(&details.variant.name, details.variant.docs.join(" ")),
                Err(error) => Self::of(error),
            },
            DispatchError::Token(error) => Self::refused("Token", error.to_string()),
            other => Self::refused("Refused", other.to_string()),
        }
    }
}

impl From<TransactionEventsError> for Error {
    fn from(error: TransactionEventsError) -> Self {
        match error {
            TransactionEventsError::ExtrinsicFailed(error) => Self::of_dispatch(&error),
            other => Self::of(other),
        }
    }
}

/// The end of a nested error, which is where the cause stands.
fn cause(text: &str) -> String {
    let cause = text.rsplit("error: ").next().unwrap_or(text);
    cause.lines().next().unwrap_or(cause).trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_and_a_strange_answer_are_told_apart() {
        let lost = Error::of("Error at block 7: RPC error: client error: The background task closed.\nmore");
        assert_eq!(lost, Error::Unreachable("lost the node (The background task closed)".into()));
        let strange = Error::of("Cannot decode: error: no field `paid`");
        assert_eq!(
            strange,
            Error::Undecodable("the node's answer is not understood (no field `paid`)".into())
        );
    }
}
