//! The command line.

use crate::{engine, settle, transport};
use clap::{Args, Parser, Subcommand};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

const EXAMPLES: &str = "\
Examples:
  poq-express endpoint --folder ~/express --key-file ~/express/key --address node.example:8443 --operator 5Grw…
      make key and certificate if they are missing, and print what the operator registers with `set_endpoint`
  poq-express serve --folder ~/express --key-file ~/express/key --account-file ~/express/account \\
      --engine-token-file ~/.local/share/proof-of-quality/engine/token --listen 0.0.0.0:8443 --address node.example:8443 --register

Keys: the express key signs all that this operator does on the lane; it is hot, and of no use for anything else. Never run two processes with
one express key: each would sign without knowing what the other has signed, and that costs stake. The same holds for a folder that is
restored from a backup: register a new key then.

The account of --account-file pays for transactions. Without one, certificates are carried to the chain by others.

Secrets are read from files with mode 0600 and never from arguments. The log goes to standard error; POQ_LOG filters it, with the
syntax of RUST_LOG.";

/// The express lane of an operator: takes orders from requesters directly, and settles them on chain.
///
/// It runs beside the operator's node and its engine, and needs nothing of the node but its RPC. Requesters and other operators reach it at
/// --address, over TLS with a certificate of its own whose fingerprint stands on chain.
#[derive(Parser)]
#[command(name = "poq-express", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Take orders until told to stop
    Serve(Box<Serve>),
    /// Print what the operator registers on chain: address, fingerprint, key and consent
    Endpoint(Endpoint),
}

/// Files of an operator.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// Folder of the TLS certificate, and of a database for each chain; made with mode 0700 if it is missing
    #[arg(long, value_name = "DIR", env = "POQ_EXPRESS_FOLDER")]
    pub folder: PathBuf,
    /// File with the seed of the express key, 64 hex digits, mode 0600; made with a random seed if it is missing
    #[arg(long, value_name = "FILE", env = "POQ_EXPRESS_KEY_FILE")]
    pub key_file: PathBuf,
    /// RPC address of a node of the chain
    #[arg(long, value_name = "URL", env = "POQ_EXPRESS_NODE", default_value = "ws://127.0.0.1:9944")]
    pub node: String,
}

/// `poq-express endpoint`.
#[derive(Args, Clone, Debug)]
pub struct Endpoint {
    /// Files and node.
    #[command(flatten)]
    pub place: Place,
    /// Host and port at which others reach this operator's process, such as node.example:8443
    #[arg(long, value_name = "HOST:PORT", env = "POQ_EXPRESS_ADDRESS", value_parser = address)]
    pub address: String,
    /// The operator's account, as an SS58 address: the one that signs `set_endpoint`
    #[arg(long, value_name = "ACCOUNT")]
    pub operator: String,
}

/// `poq-express serve`.
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// Files and node.
    #[command(flatten)]
    pub place: Place,
    /// Address of the engine
    #[arg(long, value_name = "URL", env = "POQ_EXPRESS_ENGINE", default_value = "http://127.0.0.1:9955")]
    pub engine: String,
    /// File with the engine's token, mode 0600; `poq-worker serve` names it when it starts
    #[arg(long, value_name = "FILE", env = "POQ_EXPRESS_ENGINE_TOKEN_FILE")]
    pub engine_token_file: PathBuf,
    /// File with the secret URI of the account that signs transactions, mode 0600
    #[arg(long, value_name = "FILE", env = "POQ_EXPRESS_ACCOUNT_FILE")]
    pub account_file: Option<PathBuf>,
    /// Register the endpoint at the start, unless it stands on chain; the account has to be the operator's
    #[arg(long, requires = "account_file")]
    pub register: bool,
    /// Address to listen at. Connections are encrypted and callers prove their keys, so 0.0.0.0 is what a public operator wants
    #[arg(long, value_name = "IP:PORT", env = "POQ_EXPRESS_LISTEN", default_value = "127.0.0.1:8443")]
    pub listen: SocketAddr,
    /// Host and port at which others reach this process, such as node.example:8443 [default: those of --listen]
    #[arg(long, value_name = "HOST:PORT", env = "POQ_EXPRESS_ADDRESS", value_parser = address)]
    pub address: Option<String>,
    /// Loopback address for Prometheus; off unless it is given
    #[arg(long, value_name = "IP:PORT", env = "POQ_EXPRESS_METRICS", value_parser = loopback)]
    pub metrics: Option<SocketAddr>,
    /// Limits.
    #[command(flatten)]
    pub limits: Limits,
}

/// Limits that operators may want to change.
#[derive(Args, Clone, Debug)]
pub struct Limits {
    /// Most orders worked on at a time; beyond, this operator says that it is busy
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub orders: u32,
    /// Longest time of a job at the engine, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub job_seconds: u64,
    /// Most connections
    #[arg(long, value_name = "N", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: u32,
    /// Most connections from one IPv4 address or one 64-bit prefix of IPv6
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections_per_address: u32,
    /// Most certificates in a transaction
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub batch: u32,
    /// Age in seconds at which a smaller batch is sent
    #[arg(long, value_name = "SECONDS", default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub batch_age: u64,
}

impl Limits {
    /// Timeouts and bounds of orders.
    pub fn of_orders(&self) -> poq_express::limits::Limits {
        poq_express::limits::Limits { open_orders: self.orders as usize, ..Default::default() }
    }

    /// Limits of connections.
    pub fn of_transport(&self) -> transport::Limits {
        transport::Limits {
            connections: self.connections as usize,
            connections_per_address: self.connections_per_address as usize,
            ..Default::default()
        }
    }

    /// Settings of the settler.
    pub fn of_settler(&self) -> settle::Settings {
        let age = Duration::from_secs(self.batch_age);
        settle::Settings { batch: self.batch as usize, age, ..Default::default() }
    }

    /// Limits of jobs.
    pub fn of_jobs(&self) -> engine::Settings {
        engine::Settings { time: Duration::from_secs(self.job_seconds), ..Default::default() }
    }
}

/// A host and a port, such as `node.example:8443`.
///
/// # Errors
/// The text is none; the error says what to write.
pub fn address(text: &str) -> Result<String, String> {
    let is_address = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && !host.contains(char::is_whitespace)
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    match is_address {
        true => Ok(text.to_owned()),
        false => Err("give a host and a port, such as node.example:8443".into()),
    }
}

/// An address of this machine alone.
///
/// # Errors
/// The text is none; the error says what to write.
pub fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "give an IP address and a port, such as 127.0.0.1:9615".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err(format!("{address} can be reached from other machines; give 127.0.0.1 or [::1]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn addresses_are_checked() {
        assert!(address("node.example:8443").is_ok() && address("[::1]:1").is_ok());
        for bad in ["node.example", ":8443", "node:0", "node:x", "a b:1", "node:70000"] {
            assert!(address(bad).is_err(), "{bad}");
        }
        assert!(loopback("127.0.0.1:9615").is_ok() && loopback("[::1]:9615").is_ok());
        assert!(loopback("0.0.0.0:9615").is_err() && loopback("9615").is_err());
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let cli = Cli::parse_from([
            "poq-express",
            "serve",
            "--folder",
            "f",
            "--key-file",
            "k",
            "--address",
            "h:1",
            "--engine-token-file",
            "t",
        ]);
        let Command::Serve(serve) = cli.command else { panic!("serve") };
        assert_eq!(serve.limits.of_orders(), poq_express::limits::Limits::default());
        assert_eq!(serve.limits.of_transport(), transport::Limits::default());
        assert_eq!(serve.limits.of_settler(), settle::Settings::default());
        assert_eq!(serve.limits.of_jobs(), engine::Settings::default());
        assert!(serve.listen.ip().is_loopback() && serve.metrics.is_none());
    }
}
