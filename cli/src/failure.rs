//! What can go wrong, and the exit codes.

use poq_client::Error;
use std::{fmt, io, process::ExitCode};

/// How a command ended that did what it could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; a request was settled.
    Done,
    /// The request was refunded.
    Refunded,
    /// The request was not over in time.
    TimedOut,
}

impl Outcome {
    /// The code that scripts see.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::Refunded => ExitCode::from(4),
            Self::TimedOut => ExitCode::from(5),
        }
    }
}

/// Why a command could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The chain refuses, under the name of an error.
    Refused {
        /// The error's name, as in the pallet.
        name: String,
        /// What it means.
        meaning: String,
    },
    /// What was given makes no sense here.
    Input(String),
    /// The node cannot be reached, or is gone.
    Unreachable(String),
    /// What should not happen: the node and this program do not understand each other.
    Unexpected(String),
    /// Nobody reads the output any more. Not worth a word.
    OutputClosed,
}

impl Failure {
    /// The code that scripts see.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Refused { .. } | Self::Input(_) | Self::Unexpected(_) => ExitCode::from(1),
            Self::Unreachable(_) => ExitCode::from(3),
            Self::OutputClosed => ExitCode::SUCCESS,
        }
    }

    /// The chain refuses under the error `name`; `meaning` is its documentation.
    pub fn refused(name: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self::Refused { name: name.into(), meaning: meaning.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { name, meaning } => {
                write!(f, "{name}: {}", meaning.trim())?;
                advice(name).map_or(Ok(()), |advice| write!(f, " {advice}"))
            }
            Self::Input(text) => f.write_str(text),
            Self::Unreachable(text) => {
                write!(
                    f,
                    "{text}. Is a node running there? `poq-node --dev` starts one; --url URL names another."
                )
            }
            Self::Unexpected(text) => {
                write!(f, "{text}. Do the node and this program come from the same release?")
            }
            Self::OutputClosed => Ok(()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused { name, docs } => Self::Refused { name, meaning: docs },
            Error::Unreachable(text) => Self::Unreachable(text),
            Error::Undecodable(text) => Self::Unexpected(text),
            Error::NoProofOfQuality { .. } => {
                Self::Input(format!("{error}; --url URL names a node of one that has"))
            }
            other => Self::Input(other.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Input(format!("cannot write the output: {error}")),
        }
    }
}

/// What to do about an error of the chain, where that is not plain from what it means.
fn advice(name: &str) -> Option<&'static str> {
    Some(match name {
        "EmptyPrompt" => "Say what you want to know.",
        "PromptTooLong" => "Shorten it.",
        "UnknownModel" | "WrongModelKind" | "ModelRetired" => "`poq models` lists the models.",
        "InvalidSampling" => "Change --max-tokens or --temperature (0 to 2).",
        "InvalidResponders" => "Change --responders.",
        "InvalidCommittee" => "Change --committee; `poq parameters` shows min_committee.",
        "ContextTooSmall" => "`poq models` shows each generator's context.",
        "NotEnoughInferenceNodes" => "Ask for fewer --responders, or allow more generators; `poq models` shows who serves them.",
        "NotEnoughQualityValidators" => "Ask for a smaller --committee; `poq models` shows who serves the evaluator.",
        "BudgetTooSmall" => "Raise --budget, or leave it out to take the estimate.",
        "InsufficientBalance" => "Fund the account (`poq send ADDRESS AMOUNT` from another), or lower --budget, --responders, --committee or --max-tokens.",
        "NotAnOperator" => "`poq operator bond AMOUNT` makes the account an operator.",
        "StakeTooSmall" => "Bond more, or serve fewer models.",
        "RosterFull" => "Bond more (a stake counts up to a cap, see `poq parameters`), or serve another model.",
        "InvalidConsent" => "Give the worker key's secret with --worker-suri-file FILE; or, where that is on another machine, run `poq operator consent --worker-suri-file FILE --operator ADDRESS` there and pass what it prints with --consent.",
        "InvalidCapacity" => "`poq operator chill` takes no work.",
        "NotRegistered" => "`poq operator register` does that.",
        "OpenDuties" => "`poq operators` shows them; they are over in a few minutes. `poq operator chill` keeps new ones away.",
        "InvalidParameters" => "Nothing was changed.",
        "RequireSudo" => "Sign with the sudo key: --suri-file FILE, or --from NAME on a test net.",
        "NoSessionKeys" => "The author's account sets them with `poq author keys`.",
        "NotSettled" => "Try again when `poq request N` shows it as settled or refunded.",
        "BadOrigin" => "An auditor signs with --suri-file FILE, or --from NAME on a test net; the chain's sudo key sets who that is: `poq audit auditors set ADDRESS…`.",
        "AlreadyAudited" => "Nothing is left to do.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_its_name_its_meaning_and_what_to_do() {
        let failure =
            Failure::refused("BudgetTooSmall", "The budget is less than the price of the work and the fee.");
        assert_eq!(
            failure.to_string(),
            "BudgetTooSmall: The budget is less than the price of the work and the fee. Raise --budget, or leave it out to take the estimate."
        );
    }

    #[test]
    fn a_closed_pipe_is_not_an_error() {
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)), Failure::OutputClosed);
    }
}
