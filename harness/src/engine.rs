//! One real engine with the demo models, beside no node.

use crate::{logs, process, programs};
use anyhow::{bail, Context as _, Result};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// Time that an engine has to end by itself.
const FAREWELL: Duration = Duration::from_secs(30);

/// A `poq-worker` that ends with this value.
#[derive(Debug)]
pub struct Engine {
    process: Child,
    url: String,
    folder: TempDir,
}

impl Engine {
    /// Starts an engine that takes work from whoever knows `token`, and waits until it listens.
    pub fn start(token: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("poq-engine-").tempdir()?;
        programs::write_secret(&token_file(&folder), token)?;
        let log = logs::append(&log_file(&folder))?;
        let process = Command::new(programs::find("poq-worker")?)
            .args(["engine-child", "--demo-models", "--listen", "127.0.0.1:0", "--token-file"])
            .arg(token_file(&folder))
            .arg("--models")
            .arg(folder.path().join("models"))
            .arg("--data")
            .arg(folder.path().join("data"))
            // The engine ends when its standard input does.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("cannot start poq-worker")?;
        let mut engine = Self { process, url: String::new(), folder };
        engine.url = engine.listening()?;
        Ok(engine)
    }

    /// Reads the one line of JSON that an engine prints when it listens.
    fn listening(&mut self) -> Result<String> {
        let output = self.process.stdout.take().context("the engine has no standard output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let said: Option<Value> = serde_json::from_str(&line).ok();
        match said.as_ref().and_then(|said| said.get("listening")?.as_str()) {
            Some(address) => Ok(format!("http://{address}")),
            None => bail!(
                "the engine says {line:?} instead of where it listens; its log:\n{}",
                logs::tail(&log_file(&self.folder), logs::SHOWN)
            ),
        }
    }

    /// URL of its API.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Id of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// File with its token, which only its owner can read.
    pub fn token_file(&self) -> PathBuf {
        token_file(&self.folder)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        if process::wait_for_end(self.process.id(), FAREWELL).is_err() {
            process::send(self.process.id(), Signal::KILL);
        }
        let _ended = self.process.wait();
        logs::show_on_panic("the engine", &log_file(&self.folder));
    }
}

fn token_file(folder: &TempDir) -> PathBuf {
    folder.path().join("token")
}

fn log_file(folder: &TempDir) -> PathBuf {
    folder.path().join("engine.log")
}
