//! `poq`: the client of the Proof of Quality chain, for people and scripts.

mod account;
mod address;
mod amount;
mod args;
mod ask;
mod audit;
mod author;
mod cancel;
mod channel;
mod chat;
mod diagnosis;
mod engine;
mod express;
mod failure;
mod health;
mod key;
mod light_spec;
mod limits;
mod models;
mod names;
mod operator;
mod operators;
mod own_node;
mod parameters;
mod pin;
mod progress;
mod receipt;
mod render;
mod request;
mod requests;
mod status;
mod sync;
mod table;
mod wallet;
mod watch;
mod web;
mod why;

use args::{Args, AuditCommand, Command, Operator, Shared};
use clap::Parser;
use failure::{Failure, Outcome};
use poq_client::Client;
use std::process::ExitCode;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = Runtime::new()
        .map_err(|error| Failure::Input(format!("cannot start threads: {error}")))
        .and_then(|runtime| {
            let done = runtime.block_on(run(args));
            // A thread that still looks up a name, or reads standard input, must not hold up the end.
            runtime.shutdown_background();
            done
        });
    match done {
        Ok(outcome) => outcome.exit_code(),
        Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(failure) => {
            render::error_line(&failure.to_string());
            failure.exit_code()
        }
    }
}

async fn run(args: Args) -> Result<Outcome, Failure> {
    let Args { command, shared } = args;
    match &command {
        // Set at a node, whatever its chain.
        Command::Operator(Operator::Engine(engine)) => return engine::run(engine, &shared).await,
        Command::Key(key) => return key::run(key, shared.json),
        // Made where the worker key is, which may be without a node.
        Command::Operator(Operator::Consent(consent)) => return operator::consent(consent, &shared).await,
        Command::Verify(wanted) => return receipt::check(wanted, &shared).await,
        // The page asks the node, from the browser.
        Command::Web(wanted) => return web::run(wanted, &shared).await,
        // Within its own deadline.
        Command::Health(limits) => return health::run(limits, &shared).await,
        _ => {}
    }
    let client = pin::connect(&shared).await?;
    match on_chain(&client, command, &shared).await {
        Err(failure) => Err(limits::complete(&client, failure).await),
        done => done,
    }
}

/// The commands that work with a chain.
async fn on_chain(client: &Client, command: Command, shared: &Shared) -> Result<Outcome, Failure> {
    match command {
        Command::Ask(ask) => ask::run(client.clone(), *ask, shared).await,
        Command::Request { id } => request::run(client, id, shared.json).await,
        Command::Cancel { id } => cancel::run(client, id, shared).await,
        Command::Receipt(wanted) => receipt::make(client, &wanted).await,
        Command::Verify(wanted) => receipt::check(&wanted, shared).await,
        Command::LightSpec(wanted) => light_spec::run(client, &wanted).await,
        Command::Requests(wanted) => requests::run(client, wanted, shared.json).await,
        Command::Balance { who } => wallet::balance(client, who.as_deref(), shared).await,
        Command::Send { to, amount } => wallet::send(client, &to, amount, shared).await,
        Command::Key(key) => key::run(&key, shared.json),
        Command::Health(limits) => health::run(&limits, shared).await,
        Command::Status => status::run(client, shared.json).await,
        Command::Models => models::run(client, shared.json).await,
        Command::Operators { who: None } => operators::list(client, shared.json).await,
        Command::Operators { who: Some(who) } => operators::detail(client, &who, shared.json).await,
        Command::Why(why) => why::run(client, why, shared.json).await,
        Command::Watch => watch::run(client, shared.json).await,
        Command::Web(wanted) => web::run(&wanted, shared).await,
        Command::Channel { command } => channel::run(client, command, shared).await,
        Command::Operator(Operator::Call(call)) => operator::run(client, call, shared).await,
        Command::Operator(Operator::Engine(engine)) => engine::run(&engine, shared).await,
        Command::Operator(Operator::Consent(consent)) => operator::consent(&consent, shared).await,
        Command::Author { command } => author::run(client, command, shared).await,
        Command::Audit(AuditCommand::Reveal { file }) => audit::reveal(client, &file, shared).await,
        Command::Audit(AuditCommand::Auditors { command }) => audit::auditors(client, command, shared).await,
        Command::Parameters { command } => parameters::run(client, command, shared).await,
    }
}
