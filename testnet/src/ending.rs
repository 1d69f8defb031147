//! Signals that ask this program to end.

use anyhow::Result;
use tokio::signal::unix::{signal, SignalKind};

/// Ctrl-C (SIGINT), and what `kill` and an init system send (SIGTERM). While this value lives they do not end the program by
/// themselves.
#[derive(Debug)]
pub struct Ending {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Ending {
    /// Begins to listen.
    pub fn listen() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for a signal.
    pub async fn heard(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
