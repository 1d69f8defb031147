//! What can be said on the command line.

use crate::amount::{parse_milli, parse_part, Amount};
use clap::{Parser, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  poq ask \"What is the capital of Peru?\"
  poq ask \"What is 2 plus 3?\" --responders 1 --committee 3 --min-quality 0.5 --budget 2.5
  poq ask \"Name a colour.\" --json | jq -r .answer
  poq request 0                      how request 0 was answered, scored and paid
  poq operators operator-1           why an operator was paid or not
  poq --from //Bob operator bond 1000

Who signs:
  --from NAME or //PATH takes a development account, whose secret everybody knows. A real account's
  secret is read from a file (--suri-file FILE) or from the variable POQ_SURI, never from the
  command line.

Exit codes:
  0  done; the request was settled
  1  refused by the chain, or bad input: the error's name says which, and what to do
  2  the command line is wrong
  3  the node cannot be reached
  4  the request was refunded
  5  the request was not over in time; `poq request N` shows how it goes on";

const ASK_EXAMPLES: &str = "\
Examples:
  poq ask \"What is the capital of Peru?\"
  poq ask \"What colour is the sky?\" --generator poq-demo-strong --responders 1
  poq ask \"What colour is the sky?\" --json | jq -r '.answer, .refund'

With --json it prints one object. Amounts are strings in units of 10^-12 POQ; qualities, scores and
agreements are numbers from 0 to 1; what is not known (yet) is null:
  request, state (settled, refunded, or an open phase), refund_reason, requester, prompt,
  answer, best (index of the response), quality, generators[{id, name}], evaluator{id, name},
  sampling{max_tokens, temperature, seed}, responders, committee_size, min_quality,
  responses[{operator, operator_name, model, model_name, work, output, quality,
             scores[{operator, score}], paid}],
  committee[{operator, operator_name, round, weight, work, scores[], agreement, paid}],
  budget, budget_parts{inference, scoring, fee}, paid, fee, refund, transaction_fee,
  blocks{created, since, closed}";

/// Ask language models on a Proof of Quality chain, and pay by how good the answers are.
///
/// The chain never runs a model: inference nodes answer, a random committee of quality validators scores the answers, and
/// what the scores do not earn goes back to who asked.
#[derive(Debug, Parser)]
#[command(name = "poq", version, after_help = EXAMPLES)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// What all commands take.
    #[command(flatten)]
    pub shared: Shared,
}

/// What all commands take.
#[derive(Debug, clap::Args)]
pub struct Shared {
    /// Address of a node
    #[arg(long, global = true, value_name = "URL", env = "POQ_URL", default_value = "ws://127.0.0.1:9944")]
    pub url: String,

    /// Print JSON, for scripts
    #[arg(long, global = true)]
    pub json: bool,

    /// Who signs: a development account (alice, operator-0, //Alice) [default on development chains: alice]
    #[arg(long, global = true, value_name = "NAME|//PATH", conflicts_with = "suri_file")]
    pub from: Option<String>,

    /// Who signs: a file with a secret URI (phrase or seed, with a path if need be) [or the variable POQ_SURI]
    #[arg(long, global = true, value_name = "FILE")]
    pub suri_file: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask a question, wait for the answer, say who was paid what
    Ask(Ask),
    /// Show a request: answers, scores, pay
    Request {
        /// Its number
        id: u64,
    },
    /// Show the chain: version, blocks, peers, open requests, invariants
    Status,
    /// Show the models: prices, windows, who serves them
    Models,
    /// Show the operators, or one of them in detail: latest duties and why each was paid or not
    Operators {
        /// An address, or the name that `poq operators` shows
        #[arg(value_name = "ADDRESS|NAME")]
        who: Option<String>,
    },
    /// Print what happens on the chain, as it happens
    Watch,
    /// Be an operator: stake, name a worker key and models, pause, leave
    #[command(subcommand)]
    Operator(Operator),
}

/// Ask a question, wait for the answer, say who was paid what
#[derive(Debug, clap::Args)]
#[command(after_help = ASK_EXAMPLES)]
pub struct Ask {
    /// The question; it becomes public
    pub prompt: String,

    /// A generator that may answer; may be given more than once [default: all that somebody serves]
    #[arg(long = "generator", value_name = "NAME|HASH")]
    pub generators: Vec<String>,

    /// The evaluator that scores [default: the first that somebody serves]
    #[arg(long, value_name = "NAME|HASH")]
    pub evaluator: Option<String>,

    /// Answers wanted, each from another inference node [default: 2, or fewer if fewer can be drawn]
    #[arg(long, value_name = "N")]
    pub responders: Option<u32>,

    /// Quality validators wanted [default: 5, or fewer if fewer can be drawn]
    #[arg(long, value_name = "K")]
    pub committee: Option<u32>,

    /// An answer with a lower quality earns nothing, 0.0 to 1.0
    #[arg(long, value_name = "Q", default_value = "0", value_parser = parse_part)]
    pub min_quality: u32,

    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub max_tokens: u32,

    /// Sampling temperature; 0 always takes the likeliest token
    #[arg(long, value_name = "T", default_value = "0", value_parser = parse_milli)]
    pub temperature: u32,

    /// Seed of the sampler
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u32,

    /// What to spend at most, in POQ [default: the chain's estimate]; more goes to the inference nodes, by quality
    #[arg(long, value_name = "POQ")]
    pub budget: Option<Amount>,

    /// Give up waiting after this many seconds; the request goes on
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,

    /// Do not ask before spending (nobody is asked on development chains nor in scripts)
    #[arg(long, short)]
    pub yes: bool,
}

/// What an operator does.
#[derive(Debug, Subcommand)]
pub enum Operator {
    /// Put balance on hold as stake
    Bond {
        /// How much, in POQ
        amount: Amount,
    },
    /// Name the worker key and the models to serve, in place of those named before
    Register {
        /// The worker key (sr25519, key type `poq!`): an address or 32 bytes in hex
        #[arg(long, value_name = "PUBKEY")]
        worker: String,
        /// A model to serve; may be given more than once
        #[arg(long = "model", value_name = "NAME|HASH", required = true)]
        models: Vec<String>,
    },
    /// Be drawn no more; open duties go on
    Chill,
    /// Be drawn again
    Resume,
    /// Send stake on its way out
    Unbond {
        /// How much, in POQ
        amount: Amount,
    },
    /// Take out the stake whose time has come
    Withdraw,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_quality_above_one_is_a_wrong_command_line() {
        assert!(Args::try_parse_from(["poq", "ask", "x", "--min-quality", "1.1"]).is_err());
        assert!(Args::try_parse_from(["poq", "ask", "x", "--min-quality", "0.5"]).is_ok());
    }

    #[test]
    fn an_account_comes_from_one_place() {
        assert!(Args::try_parse_from(["poq", "--from", "alice", "--suri-file", "f", "status"]).is_err());
    }
}
