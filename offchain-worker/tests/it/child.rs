//! The engine as a child process: the real program, really killed.

use crate::common::{folder_with_models, id_of, job_id, ramble, shelf, Client};
use poq_primitives::job::{Job, JobState};
use poq_worker::{
    child::{supervise, ChildArgs},
    config::{loopback, EngineArgs},
    models::shelf::ModelKind,
    token::Token,
};
use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::Stdio,
};
use tokio::sync::{mpsc, oneshot};

const PROGRAM: &str = env!("CARGO_BIN_EXE_poq-worker");

fn child_args(folder: &Path) -> (ChildArgs, Token) {
    let token_file = folder.join("token");
    let token = Token::load_or_create(&token_file).unwrap();
    let engine = EngineArgs::new(folder.join("models"), folder.join("data"));
    (ChildArgs { listen: loopback(0), token_file, engine }, token)
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn a_killed_engine_comes_back_and_finishes_its_jobs() {
    let folder = folder_with_models();
    let generator = id_of(&shelf(folder.path()), ModelKind::Generator);
    let (args, token) = child_args(folder.path());
    let (ready, mut readies) = mpsc::unbounded_channel::<(SocketAddr, u32)>();
    let (stop, stopped) = oneshot::channel::<()>();
    let supervisor = tokio::spawn(supervise(
        "the engine",
        move || {
            let mut command = tokio::process::Command::new(PROGRAM);
            command.arg("engine-child").args(args.to_arguments());
            command
        },
        move |address, pid| ready.send((address, pid)).unwrap(),
        async move {
            let _ = stopped.await;
        },
    ));

    let (address, first) = readies.recv().await.unwrap();
    let client = Client::new(address, token.clone());
    const JOBS: u32 = 60;
    for n in 0..JOBS {
        client.put(&job_id(n), &Job::Generate(ramble(&generator, n)), 0).await.error_for_status().unwrap();
    }
    // One of them is being generated now; nothing but the kill ends that wait.
    let mut n = 0;
    while client.state(&job_id(n)).await != JobState::Running {
        n = (n + 1) % JOBS;
    }
    let killed = std::process::Command::new("kill").args(["-9", &first.to_string()]).status().unwrap();
    assert!(killed.success());

    let (address, second) = readies.recv().await.unwrap();
    assert_ne!(first, second);
    let client = Client::new(address, token);
    for n in 0..JOBS {
        let state = client.finished(&job_id(n)).await;
        assert!(matches!(state, JobState::Done { .. }), "job {n}: {state:?}");
    }

    stop.send(()).unwrap();
    supervisor.await.unwrap();
    assert!(!is_alive(second), "the child goes with its parent");
}

#[test]
fn the_child_says_where_it_listens_and_stops_when_its_stdin_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (args, _) = child_args(folder.path());
    let mut child = std::process::Command::new(PROGRAM)
        .arg("engine-child")
        .args(args.to_arguments())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let address: SocketAddr = line["listening"].as_str().unwrap().parse().unwrap();
    assert!(address.ip().is_loopback() && address.port() != 0);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(lines.next().is_none(), "one line and nothing else");
}

#[test]
fn the_child_refuses_to_start_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let (mut args, _) = child_args(folder.path());
    args.token_file = folder.path().join("missing");
    let output = std::process::Command::new(PROGRAM)
        .arg("engine-child")
        .args(args.to_arguments())
        .stdin(Stdio::piped())
        .output()
        .unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("missing"));
}
