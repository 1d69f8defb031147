//! `poq-worker` as people meet it.

use crate::common::folder_with_models;
use std::{
    path::Path,
    process::{Command, Output},
};

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poq-worker"));
    command
        .args(arguments)
        .env("POQ_MODELS", folder.join("models"))
        .env("POQ_ENGINE_DATA", folder.join("data"))
        // Whoever runs the tests may have a configuration of their own.
        .env("XDG_CONFIG_HOME", folder);
    command
}

fn poq_worker(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn check_shows_every_model_and_fails_if_one_is_broken() {
    let folder = folder_with_models();
    let output = poq_worker(folder.path(), &["check"]);
    let table = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for name in ["poq-demo-strong", "poq-demo-weak", "poq-demo-evaluator"] {
        assert!(table.contains(name), "{table}");
    }
    std::fs::write(folder.path().join("models/bad.gguf"), "bad").unwrap();
    let output = poq_worker(folder.path(), &["check"]);
    assert!(!output.status.success());
    assert!(text(&output.stdout).contains("BROKEN: bad does not load: is not a GGUF file"));
    assert!(text(&output.stderr).contains("1 of"));
}

#[test]
fn check_without_models_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = poq_worker(folder.path(), &["check"]);
    assert!(!output.status.success() && text(&output.stderr).contains("--demo-models"));
    assert!(poq_worker(folder.path(), &["check", "--demo-models"]).status.success());
}

#[test]
fn run_answers_and_scores() {
    let folder = folder_with_models();
    let question = "What is the capital of France?";
    let output = poq_worker(folder.path(), &["run", "-m", "poq-demo-strong", "-p", question]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = poq_worker(
        folder.path(),
        &["run", "-m", "poq-demo-evaluator", "-p", question, "-r", "Paris.", "-r", "x"],
    );
    assert!(output.status.success() && text(&output.stdout).lines().count() == 2, "{}", text(&output.stderr));
    let output = poq_worker(folder.path(), &["run", "-m", "poq-demo-evaluator", "-p", question]);
    assert!(!output.status.success() && text(&output.stderr).contains("--response"));
    let output = poq_worker(folder.path(), &["run", "-m", "nobody", "-p", question]);
    assert!(!output.status.success() && text(&output.stderr).contains("models list"));
}

/// `poq-worker models list | head -1`: whoever reads has enough, and that is no fault of the program.
#[test]
fn nobody_has_to_read_the_output() {
    let folder = folder_with_models();
    let question = "What is the capital of France?";
    for arguments in [
        &["models", "list"][..],
        &["models", "list", "--json"],
        &["models", "check"],
        &["models", "retry", "poq-demo-weak"],
        &["check"],
        &["run", "-m", "poq-demo-strong", "-p", question],
        &["run", "-m", "poq-demo-evaluator", "-p", question, "-r", "Paris."],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(folder.path(), arguments).stdout(writer).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output =
        command(folder.path(), &["models", "remove", "nobody", "--yes"]).stderr(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "an error that nobody reads is one");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command(folder.path(), &["models", "list"]).stdout(full).output().unwrap();
    assert!(output.status.code() == Some(1) && text(&output.stderr).contains("standard output"));
}

/// Whoever may write into the folder could have put a link there that leads to a file of the user.
#[test]
fn check_writes_through_no_link() {
    let folder = folder_with_models();
    let victim = folder.path().join("diary.txt");
    std::fs::write(&victim, "dear diary").unwrap();
    std::fs::create_dir_all(folder.path().join("data")).unwrap();
    for place in ["models", "data"] {
        std::os::unix::fs::symlink(&victim, folder.path().join(place).join(".check")).unwrap();
    }
    assert!(poq_worker(folder.path(), &["check"]).status.success());
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "dear diary");
}

#[test]
fn serve_keeps_to_loopback_and_the_token_out_of_sight() {
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    let arguments = ["serve", "--listen", "0.0.0.0:0", "--token-file", token_file.to_str().unwrap()];
    let output = poq_worker(folder.path(), &arguments);
    assert!(!output.status.success() && text(&output.stderr).contains("--allow-remote"));
    let token = std::fs::read_to_string(&token_file).unwrap();
    assert!(!text(&output.stderr).contains(token.trim()) && !text(&output.stdout).contains(token.trim()));
}

#[test]
fn a_missing_onnx_runtime_is_explained() {
    let folder = folder_with_models();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_poq-worker"))
        .arg("check")
        .env("POQ_MODELS", folder.path().join("models"))
        .env("POQ_ENGINE_DATA", folder.path().join("data"))
        .env("XDG_CONFIG_HOME", folder.path())
        .env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so")
        .output()
        .unwrap();
    assert!(
        !output.status.success() && text(&output.stdout).contains("scripts/setup.sh"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn health_says_whether_an_engine_answers() {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (token, address) = (folder.path().join("token"), format!("127.0.0.1:{port}"));
    let output = poq_worker(folder.path(), &["health", "--listen", &address]);
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("is not well") && said.lines().count() == 1, "{said}");

    let mut engine = std::process::Command::new(env!("CARGO_BIN_EXE_poq-worker"))
        .args(["serve", "--listen", &address, "--token-file", token.to_str().unwrap()])
        .env("POQ_MODELS", folder.path().join("models"))
        .env("POQ_ENGINE_DATA", folder.path().join("data"))
        .env("XDG_CONFIG_HOME", folder.path())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let everywhere = format!("0.0.0.0:{port}");
    let well = (0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let output = poq_worker(folder.path(), &["health", "--listen", &everywhere]);
        output.status.success() && text(&output.stdout).starts_with("ok: version ")
    });
    engine.kill().unwrap();
    engine.wait().unwrap();
    assert!(well);
}
