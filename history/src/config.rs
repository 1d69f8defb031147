//! The command line.

use clap::{Args, Parser, Subcommand};
use std::{net::SocketAddr, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  poq-history                                      a node on this machine, a database in the home folder
  poq-history --url wss://archive.example --database postgres://poq@db.example/history
  poq-history --page ws://127.0.0.1:9944           with the page, which then shows what the node has forgotten
  poq-history digest --database sqlite:///srv/history.db
  curl 'http://127.0.0.1:8788/v1/requests?state=settled&limit=3'
  curl http://127.0.0.1:8788/v1/models.csv

A new history reads the chain from its first block, so it needs a node that keeps the state of all blocks: `poq-node --state-pruning
archive`. One that is behind needs the state of the blocks that it has not read yet; a node without that option keeps 256.

Everything that is served is public on the chain, and any page may read it. The log goes to standard error; POQ_LOG filters it, with the
syntax of RUST_LOG. TLS and limits by caller are for a reverse proxy.";

/// Keeps what a Proof of Quality chain forgets, in a database, with an API.
///
/// The chain forgets a request some days after its end. This program follows finalized blocks and keeps requests with their answers,
/// scores and pay, what operators earned and lost day by day, and how models rank.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, subcommand_negates_reqs = true)]
pub struct Cli {
    /// A command to run instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Database: sqlite://FILE, or postgres://USER@HOST/NAME [default: ~/.local/share/proof-of-quality/history.db]
    #[arg(
        long,
        value_name = "URL",
        env = "POQ_HISTORY_DATABASE",
        global = true,
        hide_env_values = true,
        default_value_t,
        hide_default_value = true
    )]
    pub database: Database,

    /// Options of the server.
    #[command(flatten)]
    pub serve: Serve,
}

/// Commands besides serving.
#[derive(Subcommand)]
pub enum Command {
    /// Empty the database, so that the next start reads the chain anew
    Reindex,
    /// Print the SHA-256 of each table: equal for equal histories, whatever the database
    Digest,
    /// Say whether the history that listens at --listen answers, with its node and its database; for health checks
    Health,
}

/// Options of the server.
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// Address of the node
    #[arg(long, value_name = "URL", env = "POQ_URL", default_value = "ws://127.0.0.1:9944")]
    pub url: String,

    /// Address to serve at; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "POQ_HISTORY_LISTEN", default_value = "127.0.0.1:8788")]
    pub listen: SocketAddr,

    /// Serve the page for browsers too; it asks the node at this address, as browsers see it [default: none]
    #[arg(long, value_name = "URL", env = "POQ_HISTORY_PAGE", value_parser = endpoint)]
    pub page: Option<String>,

    /// Begin a new database with this block; requests that ended before are not in it [default: the first]
    #[arg(long, value_name = "BLOCK", value_parser = clap::value_parser!(u32).range(1..))]
    pub from: Option<u32>,
}

/// An address of a node that browsers can ask.
fn endpoint(text: &str) -> Result<String, String> {
    if poq_web::is_for_browsers(text) {
        Ok(text.into())
    } else {
        Err("a browser can ask ws://HOST:PORT or wss://HOST:PORT".into())
    }
}

/// Where the history is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file.
    Sqlite(PathBuf),
    /// A server, by its URL, which may hold a password.
    Postgres(String),
}

impl Default for Database {
    fn default() -> Self {
        let absolute = |path: &PathBuf| path.is_absolute();
        let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(absolute);
        let home = || std::env::home_dir().filter(absolute).map(|home| home.join(".local/share"));
        Self::Sqlite(data.or_else(home).unwrap_or_default().join("proof-of-quality/history.db"))
    }
}

/// Without a password.
impl std::fmt::Display for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(file) => write!(f, "sqlite://{}", file.display()),
            Self::Postgres(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
                let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
                write!(f, "{scheme}://{}", place.split('?').next().unwrap_or_default())
            }
        }
    }
}

impl std::str::FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            Some(("sqlite", file)) if !file.is_empty() => Ok(Self::Sqlite(file.into())),
            Some(("postgres" | "postgresql", rest)) if !rest.is_empty() => Ok(Self::Postgres(text.into())),
            _ => Err("name a database as sqlite://FILE or postgres://USER@HOST/NAME".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let cli = |args: &[&str]| Cli::try_parse_from(args);
        assert_eq!(cli(&["poq-history"]).unwrap().database, Database::default());
        let digest = cli(&["poq-history", "digest", "--database", "sqlite:///a/b.db"]).unwrap();
        assert_eq!(digest.database, Database::Sqlite("/a/b.db".into()));
        for bad in ["", "mysql://x", "sqlite://", "/a/b.db", "postgres://"] {
            assert!(cli(&["poq-history", "--database", bad]).is_err(), "{bad}");
        }
        assert!(cli(&["poq-history", "--from", "0"]).is_err());
        assert!(cli(&["poq-history", "--page", "https://node.example"]).is_err());
    }

    #[test]
    fn no_password_is_shown() {
        let shown = |text: &str| text.parse::<Database>().unwrap().to_string();
        assert_eq!(
            shown("postgres://poq:secret@db.example:5432/h?password=secret"),
            "postgres://db.example:5432/h"
        );
        assert_eq!(shown("postgresql://db.example/h"), "postgresql://db.example/h");
        assert_eq!(shown("sqlite://relative.db"), "sqlite://relative.db");
    }
}
