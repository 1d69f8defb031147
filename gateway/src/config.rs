//! The command line.

use crate::amount;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  poq-gateway --dev                                   a development chain, asked with Alice's key
  poq-gateway --suri-file account --cap-a-day 50 --url wss://node.example --data /srv/gateway
  poq-gateway keys create --name shop --spend-a-day 5 --per-minute 60 --model poq-demo-strong
  curl http://127.0.0.1:8787/v1/chat/completions -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' \\
      -d '{\"model\": \"auto\", \"messages\": [{\"role\": \"user\", \"content\": \"What is the capital of Peru?\"}]}'

Money: before a request is sent, its whole budget is counted against the key's limit and the caps; after its end the real cost
is. The account needs balance for all open budgets.

The log goes to standard error; POQ_LOG filters it, with the syntax of RUST_LOG. TLS is for a reverse proxy.";

const KEYS_EXAMPLES: &str = "\
Examples:
  poq-gateway keys create --name shop --spend-a-day 5 --per-minute 60
  poq-gateway keys create --name prometheus --metrics
  poq-gateway keys list
  poq-gateway keys revoke shop

They work on the folder of --data while a gateway runs there. A revoked key is refused from then on; what it had asked is finished.";

/// An OpenAI-compatible server that asks a Proof of Quality network.
///
/// Clients of OpenAI's API change two lines: the base URL and the key. The gateway pays with an account of its own, and gives out API keys with
/// limits.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = false, subcommand_negates_reqs = true)]
pub struct Cli {
    /// A command to run instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Where the gateway keeps its data.
    #[command(flatten)]
    pub place: Place,

    /// Options of the server.
    #[command(flatten)]
    pub serve: Serve,
}

/// Folder of the data.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// Folder of the database [default: ~/.local/share/proof-of-quality/gateway; with --dev a temporary one]
    #[arg(long, value_name = "DIR", env = "POQ_GATEWAY_DATA", global = true)]
    pub data: Option<PathBuf>,
}

/// Commands besides serving.
#[derive(Subcommand)]
pub enum Command {
    /// Make, list and revoke API keys
    #[command(subcommand, after_help = KEYS_EXAMPLES)]
    Keys(Keys),
    /// Say whether the gateway that listens at --listen answers, with its node and its database; for health checks
    Health,
}

/// `poq-gateway keys`.
#[derive(Subcommand)]
pub enum Keys {
    /// Make a key and print it, once
    Create(NewKey),
    /// List the keys with their limits and today's spending
    List,
    /// Refuse a key from now on
    Revoke {
        /// The key's id or name, as `keys list` shows it
        key: String,
    },
}

/// Options of `poq-gateway keys create`.
#[derive(Args, Clone, Debug)]
pub struct NewKey {
    /// A name, to tell keys apart
    #[arg(long, value_name = "NAME")]
    pub name: String,

    /// Most that it may spend within a day (UTC), in POQ [default: no limit]
    #[arg(long, value_name = "POQ", value_parser = amount::parse)]
    pub spend_a_day: Option<u128>,

    /// Most requests within any 60 seconds [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub per_minute: Option<u32>,

    /// A model that it may ask, by name or id; may be repeated [default: all]
    #[arg(long = "model", value_name = "MODEL")]
    pub models: Vec<String>,

    /// A key for /metrics, which asks nothing
    #[arg(long, conflicts_with_all = ["spend_a_day", "per_minute", "models"])]
    pub metrics: bool,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Options of the server.
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// Address of the node
    #[arg(long, value_name = "URL", env = "POQ_URL", default_value = "ws://127.0.0.1:9944")]
    pub url: String,

    /// Address to serve at; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "POQ_GATEWAY_LISTEN",
        default_value = "127.0.0.1:8787",
        global = true
    )]
    pub listen: SocketAddr,

    /// Ask a chain of type Development with Alice's key, which everybody has, without caps; make a first API key and print it
    #[arg(long, conflicts_with = "suri_file")]
    pub dev: bool,

    /// File with the secret URI of the account that pays, mode 0600; `poq key new FILE` makes one
    #[arg(long, value_name = "FILE", env = "POQ_GATEWAY_SURI_FILE")]
    pub suri_file: Option<PathBuf>,

    /// Take no node of another chain than the one with this genesis hash [default: the chain of the first start]
    #[arg(long, value_name = "0x…", env = "POQ_GENESIS", value_parser = parse_hash)]
    pub genesis: Option<[u8; 32]>,

    /// Most that all keys together may spend within a day (UTC), in POQ
    #[arg(long, value_name = "POQ", value_parser = amount::parse, env = "POQ_GATEWAY_CAP_A_DAY")]
    pub cap_a_day: Option<u128>,

    /// Most that all keys together may ever spend, in POQ
    #[arg(long, value_name = "POQ", value_parser = amount::parse, env = "POQ_GATEWAY_CAP")]
    pub cap: Option<u128>,

    /// Most requests that are not over at a time; more get 429
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_open: u32,

    /// Longest wait for an answer, in seconds, if the client names none; the request goes on, and its answer can be fetched
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,

    /// Days that answers are kept for fetching
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub keep_days: u32,

    /// Web origin whose pages may use the API, such as https://app.example, or * for all; may be repeated
    #[arg(long = "cors-origin", value_name = "ORIGIN")]
    pub cors_origins: Vec<String>,

    /// Serve the page for browsers too; it asks the node at this address, as browsers see it [default: none; with --dev that of --url]
    #[arg(long, value_name = "URL", env = "POQ_GATEWAY_PAGE", value_parser = endpoint)]
    pub page: Option<String>,

    /// Form of log lines
    #[arg(long, value_enum, value_name = "FORM", default_value = "text")]
    pub log_format: LogFormat,

    /// Write prompts and answers to the log
    #[arg(long)]
    pub log_prompts: bool,
}

impl Serve {
    /// The node that the page asks, if there is a page.
    pub fn page(&self) -> Option<&str> {
        self.page.as_deref().or_else(|| self.dev.then_some(self.url.as_str()))
    }
}

/// An address of a node that browsers can ask.
fn endpoint(text: &str) -> Result<String, String> {
    if poq_web::is_for_browsers(text) {
        Ok(text.into())
    } else {
        Err("a browser can ask ws://HOST:PORT or wss://HOST:PORT".into())
    }
}

/// 32 bytes in hex.
pub(crate) fn parse_hash(text: &str) -> Result<[u8; 32], String> {
    let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| format!("`{text}` is no hash: 32 bytes in hex"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let cli =
            Cli::try_parse_from(["poq-gateway", "keys", "create", "--name", "a", "--data", "/x"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Keys(Keys::Create(_)))));
        assert_eq!(cli.place.data, Some("/x".into()));
        assert!(Cli::try_parse_from(["poq-gateway", "--dev", "--suri-file", "x"]).is_err());
        let page = |args: &[&str]| Some(Cli::try_parse_from(args).ok()?.serve.page()?.to_owned());
        assert_eq!(page(&["poq-gateway"]), None);
        assert_eq!(page(&["poq-gateway", "--dev", "--url", "ws://x"]).as_deref(), Some("ws://x"));
        assert_eq!(page(&["poq-gateway", "--dev", "--page", "wss://y"]).as_deref(), Some("wss://y"));
        assert!(Cli::try_parse_from(["poq-gateway", "--page", "https://y"]).is_err());
    }
}
