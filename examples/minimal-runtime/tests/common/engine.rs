//! The real engine as a child process, with the demo models.

use serde_json::Value;
use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// The token of the tests' engine.
pub const TOKEN: &str = "the-token-of-this-test-only";

/// An engine that ends with this value.
pub struct Engine {
    process: Child,
    /// Where it listens.
    pub url: String,
    _folder: TempDir,
}

impl Engine {
    /// Starts an engine and waits until it listens.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        fs::write(&token, TOKEN).unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        let mut process = Command::new(program())
            .args(["engine-child", "--demo-models", "--listen", "127.0.0.1:0", "--token-file"])
            .arg(token)
            .arg("--models")
            .arg(folder.path().join("models"))
            .arg("--data")
            .arg(folder.path().join("data"))
            // It ends when its standard input does.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the engine starts");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next().expect("the engine says where it listens").unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        Self { process, url: format!("http://{}", said["listening"].as_str().unwrap()), _folder: folder }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ended = self.process.wait();
    }
}

/// The engine's program: it lies beside the folder of the tests' programs.
fn program() -> PathBuf {
    let tests = env::current_exe().expect("has a path");
    let program = tests.ancestors().nth(2).expect("target/release").join("poq-worker");
    assert!(program.exists(), "there is no {}: run `make build` first", program.display());
    program
}

/// The id of a demo model, as its manifest says.
pub fn model(name: &str) -> [u8; 32] {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/manifest.json");
    let manifest: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    let models = manifest["models"].as_array().unwrap();
    let model = models.iter().find(|model| model["name"] == name).expect("is a demo model");
    hex::decode(model["sha256"].as_str().unwrap()).unwrap().try_into().unwrap()
}
