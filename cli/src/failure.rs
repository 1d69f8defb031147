//! Failures of commands, and the exit codes.

use poq_client::Error;
use std::{fmt, io, process::ExitCode};

/// End of a command that has done its work.
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

/// Reason for which a command could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The chain refuses, under the name of an error.
    Refused {
        /// The error's name, as in the pallet.
        name: String,
        /// Its documentation, after what was refused.
        meaning: String,
    },
    /// The input makes no sense here.
    Input(String),
    /// The node cannot be reached, or is gone.
    Unreachable(String),
    /// An answer that should not come: the node and this program do not understand each other.
    Unexpected(String),
    /// Nobody reads the output any more: no error for the user.
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

    /// The same refusal with the value refused before its meaning, if one of `values` is for an error of this name.
    pub fn with(self, values: &[(&str, String)]) -> Self {
        match self {
            Self::Refused { name, meaning } => {
                let value = values.iter().find(|(known, value)| *known == name && !value.is_empty());
                let meaning =
                    value.map_or_else(|| meaning.clone(), |(_, value)| format!("{value} {}", meaning.trim()));
                Self::Refused { name, meaning }
            }
            other => other,
        }
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

/// The step that mends an error of the chain. Errors are those that a command of `poq` can meet.
fn advice(name: &str) -> Option<&'static str> {
    let advice = ADVICE.iter().find(|(names, _)| names.contains(&name));
    advice.map(|(_, step)| *step)
}

/// Names of errors, and the step that mends them.
const ADVICE: [(&[&str], &str); 57] = [
    // Asking.
    (&["EmptyPrompt"], "Write the question between quotes."),
    (&["PromptTooLong"], "Shorten the question."),
    (&["UnknownModel", "WrongModelKind", "ModelRetired"], "`poq models` lists the models."),
    (&["InvalidModelList"], "Name each model once."),
    (&["InvalidSampling"], "Change --max-tokens or --temperature (0 to 2)."),
    (&["InvalidResponders"], "Change --responders."),
    (&["InvalidCommittee"], "Change --committee."),
    (&["ContextTooSmall"], "`poq models` shows each generator's context."),
    (&["NotEnoughInferenceNodes"], "Ask for fewer --responders, or allow more generators; `poq models` shows which operators serve them."),
    (&["NotEnoughQualityValidators"], "Ask for a smaller --committee; `poq models` shows which operators serve the evaluator."),
    (&["BudgetTooSmall"], "Raise --budget, or leave it out to take the estimate."),
    (&["Overflow"], "Use smaller numbers."),
    (&["UnknownRequest"], "`poq requests` lists the newest requests."),
    (&["NotRequester"], "Sign with the account that asked: --suri-file FILE, or --from NAME on a development chain."),
    (&["NotWaiting"], "Nothing is left to do: the request ends by itself; `poq request N` shows how."),
    // Paying.
    (&["InsufficientBalance"], "Fund the account (`poq send ADDRESS AMOUNT` from another), or lower --budget, --responders, --committee or --max-tokens."),
    (&["Token"], "`poq balance` shows what the account can spend; `poq send ADDRESS AMOUNT` from another account funds it."),
    (&["ZeroAmount"], "Name an amount above 0."),
    // Channels of the express lane.
    (&["UnknownChannel"], "`poq channel list ADDRESS` lists an account's channels."),
    (&["NotYours"], "Sign with the account that opened it: --suri-file FILE, or --from NAME on a development chain."),
    (&["ChannelClosing"], "Open another: `poq channel open AMOUNT --key FILE`."),
    (&["ChannelOpen"], "`poq channel close N` closes it; `poq channel show N` says when it can be released."),
    (&["InvalidOrdersPerEpoch"], "Change --orders."),
    (&["InvalidMostPerOrder"], "Change --most."),
    (&["DepositTooSmall"], "Raise the deposit, or lower --most."),
    (&["PotNotPayable"], "`poq balance` shows what the account can spend; name a smaller amount."),
    (&["NothingEarned"], "`poq operators ADDRESS` shows what an operator does and earns."),
    (&["NotPayable"], "The account is below the least balance: `poq send ADDRESS AMOUNT` from another funds it."),
    // Being an operator.
    (&["NotAnOperator"], "`poq operator bond AMOUNT` makes the account an operator."),
    (&["StakeTooSmall"], "Bond more, or serve fewer models."),
    (&["NotEnoughStake"], "Name a smaller amount; `poq operators ADDRESS` shows the stake."),
    (&["RemainderTooSmall"], "Unbond less, or all of it."),
    (&["WorkerInUse"], "Make a worker key for this operator alone: `poq key new FILE`."),
    (&["WorkerIsOperator"], "Make a worker key that is no account of an operator: `poq key new FILE`."),
    (&["RosterFull"], "Bond more (a stake counts up to a cap, see `poq parameters`), or serve another model."),
    (&["InvalidConsent"], "Give the worker key's secret with --worker-suri-file FILE; or, where that is on another machine, run `poq operator consent --worker-suri-file FILE --operator ADDRESS` there and pass its output with --consent."),
    (&["InvalidCapacity"], "`poq operator chill` takes no work."),
    (&["NotRegistered"], "`poq operator register` does that."),
    (&["AlreadyChilled"], "Nothing is left to do; `poq operator resume` ends it."),
    (&["NotChilled"], "Nothing is left to do."),
    (&["NothingToWithdraw"], "`poq operator unbond AMOUNT` sends stake on its way; `poq operators ADDRESS` shows from which block on it can be withdrawn."),
    (&["OpenDuties"], "`poq operators` shows them; they are over in a few minutes. `poq operator chill` keeps new ones away."),
    // Auditing.
    (&["NotSettled"], "Try again when `poq request N` shows it as settled or refunded."),
    (&["AlreadyAudited"], "Nothing is left to do."),
    (&["AuditTooLate"], "Reveal the next audit sooner."),
    (&["AuditMismatch"], "Use the file that `poq ask --reference` wrote for this request, on the chain where it was asked."),
    (&["EmptyReference"], "Name the words of a right answer with --reference, and of a wrong one with --decoy."),
    (&["BadOrigin"], "An auditor signs with --suri-file FILE, or --from NAME on a development chain; the chain's sudo key sets the auditors: `poq audit auditors set ADDRESS…`."),
    // Governing.
    (&["InvalidParameters"], "Nothing was changed."),
    (&["RequireSudo"], "Sign with the sudo key: --suri-file FILE, or --from NAME on a development chain."),
    (&["AlreadyAuthor"], "Nothing is left to do; `poq author` lists the authors."),
    (&["NotAuthor"], "`poq author` lists the authors."),
    (&["NoSessionKeys"], "The author's account sets them with `poq author keys`."),
    (&["TooManyAuthors"], "`poq author remove ADDRESS` makes room."),
    (&["ShareTooLarge"], "Name a part of 50% or less."),
    (&["LastAuthor"], "Add another author first: `poq author add ADDRESS`."),
    // A node's pool.
    (&["InvalidTransaction"], "See with `poq status` whether the node is up to date, and try again."),
];

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
    fn the_value_refused_comes_before_the_meaning() {
        let refused = || Failure::refused("PromptTooLong", " The prompt is too long.");
        let values =
            [("BudgetTooSmall", "x".to_owned()), ("PromptTooLong", "The question has 9 bytes.".to_owned())];
        let said = refused().with(&values).to_string();
        assert_eq!(
            said,
            "PromptTooLong: The question has 9 bytes. The prompt is too long. Shorten the question."
        );
        assert_eq!(refused().with(&[("PromptTooLong", String::new())]), refused());
        assert_eq!(Failure::Input("x".into()).with(&values), Failure::Input("x".into()));
    }

    /// Errors of the pallets that no command of `poq` can meet: those of reports, of registering
    /// models, and of the programs of the express lane.
    const OF_OTHERS: [&str; 47] = [
        "ModelExists",
        "InvalidName",
        "InvalidWindows",
        "InvalidReward",
        "InvalidContext",
        "NotUtf8",
        "NotDue",
        "UnknownWorker",
        "NoReports",
        "UnorderedReports",
        "NotYourDuty",
        "TooEarly",
        "TooLate",
        "AlreadyCommitted",
        "AlreadyDone",
        "NotCommitted",
        "RevealMismatch",
        "EmptyOutput",
        "WrongNumberOfScores",
        "InvalidNoise",
        "NoCallback",
        "ModelOnLane",
        "ModelNotOnLane",
        "TooManyModels",
        "InvalidAddress",
        "KeyInUse",
        "KeyChangedTwice",
        "NoEndpoint",
        "StillAnswerable",
        "EmptyBatch",
        "TooOld",
        "Punished",
        "NotAProof",
        "UnknownKey",
        "AnotherPrompt",
        "NoLane",
        "NameUsed",
        "NotOrdered",
        "NotTheResponders",
        "NothingCommitted",
        "UnknownBatch",
        "NotInBatch",
        "AnotherKey",
        "AnotherOutput",
        "TooLong",
        "AlreadyChallenged",
        "NoChallenge",
    ];

    #[test]
    fn every_error_of_the_pallets_says_what_to_do_and_the_constants_in_it_exist() {
        let metadata = include_bytes!("../../client/metadata.scale");
        let metadata = subxt::Metadata::decode_from(metadata).unwrap();
        for pallet in ["ProofOfQuality", "BlockAuthors", "Express"] {
            let pallet = metadata.pallet_by_name(pallet).unwrap();
            for error in pallet.error_variants().unwrap() {
                let name = error.name.as_str();
                let (is_ours, is_others) = (advice(name).is_some(), OF_OTHERS.contains(&name));
                assert!(is_ours != is_others, "{name}: advice {is_ours}, of others {is_others}");
                let docs = error.docs.join(" ");
                let constants = docs.split('`').skip(1).step_by(2).filter(|name| name.starts_with("Max"));
                for constant in constants {
                    assert!(pallet.constant_by_name(constant).is_some(), "{name} names {constant}");
                }
            }
        }
    }

    #[test]
    fn a_closed_pipe_is_not_an_error() {
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)), Failure::OutputClosed);
    }
}
