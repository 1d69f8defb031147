//! `poq`: the client of the Proof of Quality chain, for people and scripts.

mod account;
mod amount;
mod args;
mod ask;
mod audit;
mod author;
mod chain;
mod diagnosis;
mod engine;
mod failure;
mod health;
mod models;
mod names;
mod operator;
mod operators;
mod own_node;
mod parameters;
mod progress;
mod render;
mod request;
mod status;
mod types;
mod watch;
mod why;

use args::{Args, AuditCommand, Command, Operator};
use chain::Chain;
use clap::Parser;
use failure::{Failure, Outcome};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
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
        // Told to a node, whatever its chain.
        Command::Operator(Operator::Engine(engine)) => return engine::run(engine, &shared).await,
        // Made where the worker key is, which may be without a node.
        Command::Operator(Operator::Consent(consent)) => return operator::consent(consent, &shared).await,
        _ => {}
    }
    let chain = Chain::connect(&shared.url).await?;
    match command {
        Command::Ask(ask) => ask::run(chain, ask, &shared).await,
        Command::Request { id } => request::run(&chain, id, shared.json).await,
        Command::Health(limits) => health::run(&chain, &limits, shared.json).await,
        Command::Status => status::run(&chain, shared.json).await,
        Command::Models => models::run(&chain, shared.json).await,
        Command::Operators { who: None } => operators::list(&chain, shared.json).await,
        Command::Operators { who: Some(who) } => operators::detail(&chain, &who, shared.json).await,
        Command::Why(why) => why::run(&chain, why, shared.json).await,
        Command::Watch => watch::run(&chain, shared.json).await,
        Command::Operator(Operator::Call(call)) => operator::run(&chain, call, &shared).await,
        Command::Operator(Operator::Engine(engine)) => engine::run(&engine, &shared).await,
        Command::Operator(Operator::Consent(consent)) => operator::consent(&consent, &shared).await,
        Command::Author { command } => author::run(&chain, command, &shared).await,
        Command::Audit(AuditCommand::Reveal { file }) => audit::reveal(&chain, &file, &shared).await,
        Command::Audit(AuditCommand::Auditors { command }) => audit::auditors(&chain, command, &shared).await,
        Command::Parameters { command } => parameters::run(&chain, command, &shared).await,
    }
}
