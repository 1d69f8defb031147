//! The command line.

use crate::rpc::ControlAt;
use clap::{Args, Parser, Subcommand};
use poq_express_process::config::{address, loopback};
use std::{net::SocketAddr, path::PathBuf, str::FromStr};

/// `poq-node`.
#[derive(Debug, Parser)]
pub struct Cli {
    /// A command other than running a node.
    #[command(subcommand)]
    pub subcommand: Option<Command>,

    /// Options of every Substrate node.
    #[clap(flatten)]
    pub run: sc_cli::RunCmd,

    /// The engine of this node's operators.
    #[clap(flatten)]
    pub engine: EngineOptions,

    /// The express lane of this node's operator.
    #[clap(flatten)]
    pub express: ExpressOptions,

    /// Unix socket that serves all RPC methods, unsafe ones too, to programs of the node's own user and of root
    /// [default: control.sock, in the folder of the chain's data]
    ///
    /// `poq` takes its path as --node. `none` makes no socket.
    #[arg(long, value_name = "PATH|none")]
    pub control_socket: Option<ControlAt>,
}

/// The engine that generates and scores for the worker keys of this node.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineOptions {
    /// Engine of this node's operators: auto, off, or an address
    ///
    /// `auto` starts an engine as a child process once the keystore holds a worker key (type `poq!`), restarts it when it
    /// fails, and stops it with the node. `off` leaves the address in the off-chain database as it is. An address
    /// (http://…) is that of a `poq-worker serve`, here or elsewhere, and needs --engine-token-file.
    #[arg(long, value_name = "auto|off|URL", default_value = "auto", env = "POQ_ENGINE")]
    pub engine: EngineAt,

    /// File with the token of the engine at --engine URL
    #[arg(long, value_name = "FILE", env = "POQ_ENGINE_TOKEN_FILE")]
    pub engine_token_file: Option<PathBuf>,

    /// Folder with the models of the child engine: *.gguf files (generators) and folders that hold a poq.json
    /// (evaluators), as `poq-worker models add` puts them there [default: models, in the folder of the chain's data]; with
    /// --dev the demo's models are written there
    #[arg(long, value_name = "DIR", env = "POQ_MODELS")]
    pub models: Option<PathBuf>,

    /// Configuration file of the child engine: threads, memory, GPU, servers elsewhere [default: that of poq-worker,
    /// ~/.config/proof-of-quality/worker.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "POQ_CONFIG")]
    pub engine_config: Option<PathBuf>,

    /// Port of the child engine on loopback, to be fixed for other programs that ask it (Prometheus) [default: a free one]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub engine_port: u16,
}

/// The value of `--engine`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineAt {
    /// A child process.
    Auto,
    /// Unchanged: the address in the off-chain database stays as it is.
    Off,
    /// An engine at this address.
    Url(String),
}

impl FromStr for EngineAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            url if url.starts_with("http://") || url.starts_with("https://") => {
                Ok(Self::Url(url.trim_end_matches('/').to_owned()))
            }
            other => {
                Err(format!("`{other}` is not auto, off, or an address that begins with http:// or https://"))
            }
        }
    }
}

/// The express lane of this node's operator.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Express lane")]
pub struct ExpressOptions {
    /// Express lane of this node's operator: auto, off, or the host and port at which others reach it
    ///
    /// `auto` is off, but with --dev, where the demo's operators take orders. With HOST:PORT, a child process takes orders for one
    /// operator. It is started once the engine answers, started again when it fails, and stopped with the node; its key and its database
    /// are in express, in the folder of the chain's data. `poq-express serve` does the same beside any other node, with more settings.
    #[arg(long, value_name = "auto|off|HOST:PORT", default_value = "auto", env = "POQ_EXPRESS")]
    pub express: ExpressAt,

    /// Address to listen at for --express HOST:PORT. Connections are encrypted and callers prove their keys, so 0.0.0.0 is what a public
    /// operator wants
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8443")]
    pub express_listen: SocketAddr,

    /// File with the secret URI of the operator's account, mode 0600: it registers the address and settles orders. Without it, register
    /// what `poq-express endpoint` prints; others carry certificates to the chain
    #[arg(long, value_name = "FILE")]
    pub express_account_file: Option<PathBuf>,

    /// Loopback address at which the lane's process answers Prometheus [default: none]
    #[arg(long, value_name = "IP:PORT", value_parser = loopback)]
    pub express_metrics: Option<SocketAddr>,
}

/// The value of `--express`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpressAt {
    /// The demo's operators with `--dev`, nobody otherwise.
    Auto,
    /// Nobody.
    Off,
    /// One operator, which others reach at this host and port.
    Address(String),
}

impl FromStr for ExpressAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            other => match address(other) {
                Ok(address) => Ok(Self::Address(address)),
                Err(hint) => Err(format!("`{other}` is not auto or off, and no address: {hint}")),
            },
        }
    }
}

/// A command other than running a node.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, look at and insert keys
    #[command(subcommand)]
    Key(sc_cli::KeySubcommand),

    /// Write a chain's specification to a file
    ExportChainSpec(sc_cli::ExportChainSpecCmd),

    /// The name of `export-chain-spec` in other nodes
    #[command(hide = true, disable_help_flag = true)]
    BuildSpec {
        /// The options of other nodes.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },

    /// Check blocks again
    CheckBlock(sc_cli::CheckBlockCmd),

    /// Write blocks to a file
    ExportBlocks(sc_cli::ExportBlocksCmd),

    /// Write the state at a block into a chain specification
    ExportState(sc_cli::ExportStateCmd),

    /// Read blocks from a file
    ImportBlocks(sc_cli::ImportBlocksCmd),

    /// Remove all data of a chain
    PurgeChain(sc_cli::PurgeChainCmd),

    /// Revert the newest blocks
    Revert(sc_cli::RevertCmd),

    /// Print the heights of the chain in the database
    ChainInfo(sc_cli::ChainInfoCmd),

    /// Run the engine as a child of a node
    #[command(name = crate::engine::SUBCOMMAND, hide = true)]
    Engine(poq_worker::child::ChildArgs),

    /// Run operators of the express lane as a child of a node
    #[command(name = crate::express::SUBCOMMAND, hide = true)]
    Express(crate::express::ChildArgs),

    /// Run one model as a child of the engine
    #[command(name = poq_worker::runner::SUBCOMMAND, hide = true)]
    ModelRunner,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_engine_is_auto_off_or_an_address() {
        assert_eq!("auto".parse(), Ok(EngineAt::Auto));
        assert_eq!("off".parse(), Ok(EngineAt::Off));
        assert_eq!("http://10.0.0.2:9955/".parse(), Ok(EngineAt::Url("http://10.0.0.2:9955".into())));
        assert!("10.0.0.2:9955".parse::<EngineAt>().is_err());
    }

    #[test]
    fn a_lane_is_auto_off_or_an_address() {
        assert_eq!("auto".parse(), Ok(ExpressAt::Auto));
        assert_eq!("off".parse(), Ok(ExpressAt::Off));
        assert_eq!("node.example:8443".parse(), Ok(ExpressAt::Address("node.example:8443".into())));
        assert!("node.example".parse::<ExpressAt>().is_err());
    }
}
