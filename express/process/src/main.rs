//! `poq-express`: the express lane of an operator.

use clap::Parser as _;
use poq_express_process::{
    config::{Cli, Command},
    program,
};
use std::{io::Write as _, process::ExitCode};
use tokio::signal::unix;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    program::init_log();
    let ended = match cli.command {
        Command::Serve(args) => match end_on_signal() {
            Ok(closing) => program::serve(*args, closing, |_| {}).await,
            Err(error) => Err(error.into()),
        },
        Command::Endpoint(args) => program::endpoint(args).await,
    };
    ended.map_or_else(
        |error| {
            // Where nobody reads it, the exit code has to do.
            let _unread = writeln!(std::io::stderr(), "poq-express: {error:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// Cancelled when somebody asks this program to end.
fn end_on_signal() -> std::io::Result<CancellationToken> {
    let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    let closing = CancellationToken::new();
    let ended = closing.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        ended.cancel();
    });
    Ok(closing)
}
