//! Execution of the command line: the node or a sub-command.

use crate::{
    chain_spec,
    cli::{Cli, Command, EngineAt, ExpressAt},
    disk, engine, express, key_secrets, rpc, salt,
    service::{self, Options, Parts},
    types::{Backend, Client},
    watch::{Part, Place},
};
use anyhow::Context as _;
use clap::{
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
    CommandFactory as _,
};
use poq_runtime::opaque::Block;
use sc_cli::{KeySubcommand, RpcMethods, RpcParams, SubstrateCli};
use sc_network::{config::NetworkBackendType, Litep2pNetworkBackend, NetworkWorker};
use sc_service::{config::KeystoreConfig, ChainSpec, ChainType, Configuration, TaskManager};
use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

const EXAMPLES: &str = "\
Examples:
  poq-node --dev                                    a whole network in one process, forgotten when it ends
  poq-node --dev --base-path DIR                    the same, kept in DIR
  poq-node --chain local --alice                    one of the four authors of a local network
  poq-node key insert --chain local --base-path DIR --scheme sr25519 --key-type 'poq!' --suri FILE
                                                    give the node an operator's worker key
  poq-node --chain local --base-path DIR --models MODELS
                                                    run an operator's node with its engine
  poq why OPERATOR --node DIR/chains/poq_local/control.sock
                                                    ask that node what keeps its operator from its pay";

/// Version of the program, which the SDK asks of the type and not of a value.
static VERSION: OnceLock<&str> = OnceLock::new();

impl SubstrateCli for Cli {
    fn impl_name() -> String {
        "Proof of Quality node".into()
    }

    fn impl_version() -> String {
        VERSION.get().copied().unwrap_or_default().into()
    }

    fn description() -> String {
        env!("CARGO_PKG_DESCRIPTION").into()
    }

    fn author() -> String {
        env!("CARGO_PKG_AUTHORS").into()
    }

    fn support_url() -> String {
        "the issues of the repository that this node was built from".into()
    }

    fn copyright_start_year() -> i32 {
        2026
    }

    fn setup_command(command: clap::Command) -> clap::Command {
        command
            .name(Self::executable_name())
            .version(Self::impl_version())
            .author(Self::author())
            .about(Self::description())
            .after_help(EXAMPLES)
            .propagate_version(true)
            .args_conflicts_with_subcommands(true)
            .subcommand_negates_reqs(true)
            // Operators need not be block authors, and the driver costs next to nothing where there are no worker keys.
            .mut_arg("enabled", |argument| argument.default_value("always"))
            .mut_arg("rpc_methods", |argument| {
                argument
                    .help("RPC methods to serve at the RPC port")
                    .long_help(
                        "RPC methods to serve at the RPC port. The control socket serves all to the node's own user, and web pages are \
                         served safe ones at most, whatever is said here",
                    )
                    .default_value(SAFE)
                    .value_parser(method_sets())
            })
    }

    fn load_spec(&self, id: &str) -> Result<Box<dyn ChainSpec>, String> {
        Ok(Box::new(chain_spec::load(id)?))
    }
}

/// The methods that read the chain or submit a transaction.
const SAFE: &str = "safe";

/// All methods.
const UNSAFE: &str = "unsafe";

/// The values of `--rpc-methods`: without the SDK's `auto`, which serves all methods to whatever comes in at loopback.
fn method_sets() -> impl TypedValueParser<Value = RpcMethods> {
    let safe = PossibleValue::new(SAFE).help("Those that read the chain or submit a transaction");
    let all = PossibleValue::new(UNSAFE).help("All, also those that insert keys and read the engine's token");
    PossibleValuesParser::new([safe, all]).map(|chosen| match chosen.eq_ignore_ascii_case(UNSAFE) {
        true => RpcMethods::Unsafe,
        false => RpcMethods::Safe,
    })
}

/// Log filter of `--dev` without `--log`: leaves out four lines that come with each block.
const CHATTER: &str = "sc_basic_authorship=warn,babe=warn";

/// Runs the command line.
pub fn run(version: &'static str) -> anyhow::Result<()> {
    VERSION.get_or_init(|| version);
    let mut arguments: Vec<_> = std::env::args_os().collect();
    let parsed = Cli::setup_command(Cli::command()).get_matches_from(&arguments);
    let secret = key_secrets::of(&parsed)?.map(|(secret, further)| {
        arguments.extend(further);
        secret
    });
    let mut cli = Cli::from_iter(arguments);
    let shared = &mut cli.run.shared_params;
    if shared.dev && shared.log.is_empty() {
        shared.log.push(CHATTER.to_owned());
    }
    // Without this, the SDK refuses to start an author without a network key. A key file that was named must exist.
    let network_key = &mut cli.run.network_params.node_key_params;
    network_key.unsafe_force_node_key_generation |= network_key.node_key_file.is_none();
    match &cli.subcommand {
        None => {
            guard_rpc(&mut cli.run.rpc_params)?;
            run_node(&cli)
        }
        Some(command) => Ok(run_command(&cli, command, secret)?),
    }
}

/// Rate limit of a node that listens beyond loopback, in calls per minute and connection. A person's wallet makes tens, a busy explorer
/// hundreds.
const RPC_CALLS_A_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(2_999);

/// Limits the rate at ports beyond loopback. Errors: unsafe methods at such a port.
fn guard_rpc(rpc: &mut RpcParams) -> anyhow::Result<()> {
    for endpoint in &mut rpc.experimental_rpc_endpoint {
        let address = endpoint.listen_addr;
        if address.ip().is_loopback() {
            continue;
        }
        if endpoint.rpc_methods == RpcMethods::Unsafe {
            anyhow::bail!(
                "--experimental-rpc-endpoint with methods=unsafe at {address} lets anyone who reaches it {TAKE_OVER}: let it be \
                 methods=safe, or its listen-addr 127.0.0.1"
            );
        }
        endpoint.rate_limit.get_or_insert(RPC_CALLS_A_MINUTE);
    }
    if !rpc.rpc_external && !rpc.unsafe_rpc_external {
        return Ok(());
    }
    if rpc.rpc_methods == RpcMethods::Unsafe && !rpc.unsafe_rpc_external {
        anyhow::bail!(
            "--rpc-external with --rpc-methods unsafe lets anyone who reaches the port {TAKE_OVER}: leave --rpc-methods out, which \
             serves the safe methods (or say --unsafe-rpc-external if something in front of the node filters what comes in)"
        );
    }
    rpc.rpc_rate_limit.get_or_insert(RPC_CALLS_A_MINUTE);
    Ok(())
}

/// The power of a caller of unsafe methods.
const TAKE_OVER: &str = "insert keys, read the engine's token and stop the node";

fn run_node(cli: &Cli) -> anyhow::Result<()> {
    let (engine, express) = (engine_choice(cli)?, express_choice(cli)?);
    let mut runner = cli.create_runner(&cli.run)?;
    let rpc = &cli.run.rpc_params;
    let mut endpoints = runner.config_mut().rpc.addr.take().unwrap_or_default();
    if rpc.experimental_rpc_endpoint.is_empty() {
        // The SDK would take another port in silence, at which no program looks for this node.
        endpoints.iter_mut().for_each(|endpoint| endpoint.retry_random_port = false);
    }
    let control = rpc::ControlSocket::take(cli.control_socket.as_ref(), &runner.config().data_path)?;
    let engine_token = engine_token(cli, &runner.config().data_path);
    let part = part(cli, runner.config(), control.as_ref().map(|control| control.path().to_owned()));
    let places = rpc::Places { doors: rpc::Door::take_all(endpoints)?, control };
    disk::require(&runner.config().data_path)?;
    if rpc.unsafe_rpc_external && rpc.rpc_methods == RpcMethods::Unsafe {
        log::warn!(
            target: "poq::rpc",
            "Anyone who reaches the RPC port can {TAKE_OVER}: let something in front of it filter"
        );
    }
    let options = Options {
        engine,
        express,
        engine_token,
        dev: cli.run.shared_params.dev,
        part,
        spec_is_a_file: chain_spec::is_a_file(&cli.run.shared_params),
    };
    runner
        .run_node_until_exit(|config| async move { start(config, places, options) })
        .context("the node stopped")
}

/// The watch's view of the command line.
fn part(cli: &Cli, config: &Configuration, control: Option<PathBuf>) -> Part {
    let child = cli.engine.engine == EngineAt::Auto;
    let keystore = match &config.keystore {
        KeystoreConfig::Path { path, .. } => Some(path.clone()),
        KeystoreConfig::InMemory => None,
    };
    let token = engine_token(cli, &config.data_path);
    Part {
        author: config.role.is_authority(),
        offchain_workers: config.offchain_worker.enabled,
        wants_peers: config.chain_spec.chain_type() != ChainType::Development,
        wants_work: matches!(cli.engine.engine, EngineAt::Url(_)) || cli.engine.models.is_some(),
        child,
        data: config.data_path.clone(),
        secrets: keystore.into_iter().chain([token, salt::file(&config.data_path)]).collect(),
        place: Place {
            options: place(cli),
            models: engine::models(&cli.engine.models, &config.data_path),
            control,
        },
    }
}

/// The file with the engine's token.
fn engine_token(cli: &Cli, data: &Path) -> PathBuf {
    cli.engine.engine_token_file.clone().unwrap_or_else(|| engine::token_file(data))
}

/// Options with which other commands of `poq-node` find the data of this node.
fn place(cli: &Cli) -> String {
    let shared = &cli.run.shared_params;
    let path = |path: &Path| path.display().to_string();
    let chain = match (&shared.chain, shared.dev) {
        (Some(chain), _) => format!("--chain {chain}"),
        (None, true) => "--dev".to_owned(),
        (None, false) => "--chain local".to_owned(),
    };
    let base = shared.base_path.as_deref().map(|base| format!(" --base-path {}", path(base)));
    let keystore = cli.run.keystore_params.keystore_path.as_deref();
    let keystore = keystore.map(|keystore| format!(" --keystore-path {}", path(keystore)));
    chain + &base.unwrap_or_default() + &keystore.unwrap_or_default()
}

fn start(
    config: Configuration,
    places: rpc::Places,
    options: Options,
) -> Result<TaskManager, sc_service::Error> {
    match config.network.network_backend {
        NetworkBackendType::Libp2p => service::start::<NetworkWorker<_, _>>(config, places, options),
        NetworkBackendType::Litep2p => service::start::<Litep2pNetworkBackend>(config, places, options),
    }
}

fn engine_choice(cli: &Cli) -> anyhow::Result<engine::Choice> {
    let options = &cli.engine;
    Ok(match (&options.engine, &options.engine_token_file) {
        (EngineAt::Off, None) => engine::Choice::Off,
        (EngineAt::Auto, None) => engine::Choice::Child {
            models: options.models.clone(),
            config: options.engine_config.clone(),
            demo: cli.run.shared_params.dev,
            port: options.engine_port,
        },
        (EngineAt::Url(url), Some(token_file)) => {
            engine::Choice::running(url, token_file).context("--engine-token-file")?
        }
        (EngineAt::Url(_), None) => anyhow::bail!("--engine URL needs --engine-token-file FILE"),
        (_, Some(_)) => anyhow::bail!("--engine-token-file goes with --engine URL"),
    })
}

fn express_choice(cli: &Cli) -> anyhow::Result<express::Choice> {
    let (options, engine) = (&cli.express, &cli.engine.engine);
    Ok(match &options.express {
        ExpressAt::Auto if cli.run.shared_params.dev && *engine != EngineAt::Off => express::Choice::Demo,
        ExpressAt::Auto | ExpressAt::Off => express::Choice::Off,
        ExpressAt::Address(_) if *engine == EngineAt::Off => {
            anyhow::bail!("--express HOST:PORT needs an engine: --engine auto, or its URL")
        }
        ExpressAt::Address(address) => express::Choice::Operator {
            address: address.clone(),
            listen: options.express_listen,
            account: options.express_account_file.clone(),
            metrics: options.express_metrics,
        },
    })
}

/// Runs a sub-command. `secret` is the kind of the secret given to `poq-node key`.
fn run_command(cli: &Cli, command: &Command, secret: Option<key_secrets::Secret>) -> sc_cli::Result<()> {
    match command {
        Command::Engine(args) => poq_worker::child::run_child(args.clone())
            .map_err(|error| sc_cli::Error::Application(Box::new(error))),
        Command::Express(args) => {
            express::run_child(args.clone()).map_err(|error| sc_cli::Error::Application(error.into()))
        }
        Command::ModelRunner => {
            poq_worker::runner::child::run().map_err(|error| sc_cli::Error::Application(Box::new(error)))
        }
        Command::BuildSpec { .. } => Err(sc_cli::Error::Application(
            "`build-spec` is called `export-chain-spec` here: `poq-node export-chain-spec --chain local --raw --output FILE`".into(),
        )),
        Command::Key(command) => {
            if let (Some(secret), KeySubcommand::Insert(insert)) = (secret, command) {
                let chain = cli.load_spec(&insert.shared_params.chain_id(insert.shared_params.is_dev()))?;
                key_secrets::check_chain(secret, &*chain).map_err(|error| sc_cli::Error::Application(error.into()))?;
            }
            command.run(cli)
        }
        Command::ExportChainSpec(command) => command.run(cli.load_spec(&command.chain)?),
        Command::PurgeChain(command) => {
            cli.create_runner(command)?.sync_run(|config| command.run(config.database))
        }
        Command::ChainInfo(command) => {
            cli.create_runner(command)?.sync_run(|config| command.run::<Block>(&config))
        }
        Command::CheckBlock(command) => cli.create_runner(command)?.async_run(|config| {
            let Parts { client, import_queue, task_manager, .. } = service::parts(&config)?;
            Ok((command.run(client, import_queue), task_manager))
        }),
        Command::ExportBlocks(command) => cli.create_runner(command)?.async_run(|config| {
            let Parts { client, task_manager, .. } = service::parts(&config)?;
            Ok((command.run(client, config.database), task_manager))
        }),
        Command::ExportState(command) => cli.create_runner(command)?.async_run(|config| {
            let Parts { client, task_manager, .. } = service::parts(&config)?;
            Ok((command.run(client, config.chain_spec), task_manager))
        }),
        Command::ImportBlocks(command) => cli.create_runner(command)?.async_run(|config| {
            let Parts { client, import_queue, task_manager, .. } = service::parts(&config)?;
            Ok((command.run(client, import_queue), task_manager))
        }),
        Command::Revert(command) => cli.create_runner(command)?.async_run(|config| {
            let Parts { client, backend, task_manager, .. } = service::parts(&config)?;
            let consensus = Box::new(|client: Arc<Client>, backend: Arc<Backend>, blocks| {
                sc_consensus_babe::revert(client.clone(), backend, blocks)?;
                sc_consensus_grandpa::revert(client, blocks)?;
                Ok(())
            });
            Ok((command.run(client, backend, Some(consensus)), task_manager))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{FromArgMatches as _, Parser as _};

    fn rpc(options: &[&str]) -> anyhow::Result<RpcParams> {
        let mut rpc = Cli::try_parse_from([&["poq-node"], options].concat())?.run.rpc_params;
        guard_rpc(&mut rpc)?;
        Ok(rpc)
    }

    #[test]
    fn ports_serve_safe_methods_unless_told() {
        // As the program reads its command line: the SDK's own default is another.
        let methods = |options: &[&str]| {
            let command = Cli::setup_command(Cli::command());
            let matches = command.try_get_matches_from([&["poq-node"], options].concat())?;
            Ok::<_, clap::Error>(Cli::from_arg_matches(&matches)?.run.rpc_params.rpc_methods)
        };
        assert_eq!(methods(&[]).unwrap(), RpcMethods::Safe);
        assert_eq!(methods(&["--dev"]).unwrap(), RpcMethods::Safe);
        assert_eq!(methods(&["--rpc-methods", "SAFE"]).unwrap(), RpcMethods::Safe);
        assert_eq!(methods(&["--rpc-methods", "Unsafe"]).unwrap(), RpcMethods::Unsafe);
        let error = methods(&["--rpc-methods", "auto"]).unwrap_err().to_string();
        assert!(error.contains("[possible values: safe, unsafe]"), "{error}");
    }

    #[test]
    fn an_rpc_for_others_is_limited_and_safe() {
        assert_eq!(rpc(&[]).unwrap().rpc_rate_limit, None, "who is on the machine is not limited");
        let external = rpc(&["--rpc-external"]).unwrap();
        assert_eq!(external.rpc_rate_limit.map(NonZeroU32::get), Some(3_000));
        let chosen = rpc(&["--rpc-external", "--rpc-rate-limit", "7"]).unwrap();
        assert_eq!(chosen.rpc_rate_limit.map(NonZeroU32::get), Some(7));
        let refused = rpc(&["--rpc-external", "--rpc-methods", "unsafe"]).unwrap_err().to_string();
        assert!(refused.contains("insert keys") && refused.lines().count() == 1, "{refused}");
        assert!(rpc(&["--unsafe-rpc-external", "--rpc-methods", "unsafe"]).is_ok(), "who says so twice may");
        assert!(rpc(&["--rpc-methods", "unsafe"]).is_ok(), "on loopback");
        let endpoint = |said: &str| rpc(&["--experimental-rpc-endpoint", said]);
        let limit =
            |said: &str| endpoint(said).unwrap().experimental_rpc_endpoint[0].rate_limit.map(NonZeroU32::get);
        assert_eq!(limit("listen-addr=127.0.0.1:1,methods=unsafe"), None);
        assert_eq!(limit("listen-addr=[::]:1,methods=safe"), Some(3_000));
        assert!(endpoint("listen-addr=0.0.0.0:1,methods=unsafe")
            .unwrap_err()
            .to_string()
            .contains("insert keys"));
    }

    #[test]
    fn commands_are_called_with_what_the_node_was() {
        let place =
            |options: &[&str]| place(&Cli::try_parse_from([&["poq-node"], options].concat()).unwrap());
        assert_eq!(place(&[]), "--chain local");
        assert_eq!(place(&["--dev"]), "--dev");
        assert_eq!(place(&["--chain", "x.json", "--base-path", "d"]), "--chain x.json --base-path d");
        assert_eq!(place(&["--keystore-path", "k"]), "--chain local --keystore-path k");
    }
}
