//! The control socket: what the operator's own tools are served, and that nobody else is.

use crate::common::{self, command, post_to, program, text, Node};
use harness::Signal;
use serde_json::json;
use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net::UnixStream,
    },
    path::Path,
    process::Command,
};

/// An operator that asked for an engine and inserted no worker key, so that its node has a problem.
const OPERATOR: [&str; 4] =
    ["--chain", "local", "--models", concat!(env!("CARGO_TARGET_TMPDIR"), "/no-models")];

/// The error of a node that does not start with these data.
fn refused(base: &Path, options: &[&str]) -> String {
    let usual = ["--chain", "local", "--rpc-port", "0", "--port", "0", "--no-mdns", "--no-prometheus"];
    let output = program().args(usual).args(options).arg("--base-path").arg(base).output().unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    said.lines().find(|line| line.starts_with("Error: ")).unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[test]
fn the_socket_serves_what_the_port_denies() {
    let node = Node::start(&OPERATOR);
    let socket = node.control();
    node.wait_for_line(&["All RPC methods", socket.to_str().unwrap()]);
    let file = fs::metadata(&socket).unwrap();
    assert!(file.file_type().is_socket() && file.permissions().mode() & 0o777 == 0o600, "{file:?}");

    // Problems are there as data, worded as the log words them.
    let line = node.wait_for_line(&["Mend this (no_worker_key)"]);
    let problems = node.command("poq_problems", json!([]));
    let problem = problems.as_array().unwrap().iter().find(|problem| problem["kind"] == "no_worker_key");
    let problem = problem.unwrap_or_else(|| panic!("{problems}"));
    assert_eq!((&problem["severity"], &problem["subject"]), (&"stops".into(), &"".into()));
    let text_of = |field: &str| problem[field].as_str().unwrap().to_owned();
    assert!(
        line.trim_end().ends_with(&format!("{}: {}", text_of("what"), text_of("remedy"))),
        "{line}\n{problem}"
    );
    for method in ["poq_problems", "author_rotateKeys"] {
        let denied = node.post(&[], method, json!([])).1;
        assert!(denied["error"]["message"].as_str().unwrap().contains("unsafe"), "{denied}");
        assert!(command(&socket, method, json!([])).get("result").is_some(), "{method}");
    }
    node.insert_key_by_rpc("poq!", "//PoQ//worker//0");
    // The answer is of now, not of the last look.
    let problems = node.command("poq_problems", json!([]));
    let mut kinds = problems.as_array().unwrap().iter().map(|problem| &problem["kind"]);
    assert!(kinds.all(|kind| kind != "no_worker_key"), "{problems}");
}

#[test]
fn no_page_comes_in_by_the_socket() {
    let node = Node::dev(&[]);
    let call = common::call("system_chain", json!([])).to_string();
    let head = |headers: &[(&str, &str)]| {
        post_to(UnixStream::connect(node.control()).unwrap(), "localhost", headers, &call).0
    };
    assert!(head(&[]).starts_with("HTTP/1.1 200"), "{}", head(&[]));
    // Of a port that somebody forwarded to it.
    for page in ["null", "http://localhost:9944", "https://polkadot.js.org"] {
        assert!(head(&[("origin", page)]).starts_with("HTTP/1.1 403"), "{page}");
    }
}

#[test]
fn another_user_does_not_come_in() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("not tried: only root can play another user");
        return;
    }
    let node = Node::start(&["--chain", "local"]);
    let socket = node.control();
    // Nothing on the way to the socket keeps others out, so that it is the socket that does.
    for folder in socket.ancestors().skip(1).take_while(|folder| *folder != std::env::temp_dir()) {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    // A copy, because the folder of the original may be closed to others.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("another-user");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let ask = |user: &str| {
        let output = Command::new("setpriv")
            .args(["--reuid", user, "--regid", user, "--clear-groups"])
            .arg(&program)
            .current_dir(folder.path())
            .args(["--exact", "control::play_another_user", "--ignored", "--nocapture"])
            .env(SOCKET, &socket)
            .output()
            .unwrap();
        text(&output.stdout) + &text(&output.stderr)
    };
    assert!(ask("0").contains("came in"), "{}", ask("0"));
    assert!(ask("65534").contains("kept out: permission denied"), "{}", ask("65534"));
    // Nor where permissions are not kept.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(ask("65534").contains("turned away"), "{}", ask("65534"));
    node.wait_for_line(&["Another user's program was turned away"]);
}

/// Environment variable with the socket that `play_another_user` tries.
const SOCKET: &str = "POQ_TEST_SOCKET";

/// The other user of the test above, in a process of its own.
#[test]
#[ignore = "a part of another_user_does_not_come_in"]
fn play_another_user() {
    use std::io::{ErrorKind, Read as _, Write as _};
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    match UnixStream::connect(socket) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => println!("kept out: permission denied"),
        Err(error) => println!("kept out: {error}"),
        Ok(mut stream) => {
            let _maybe_closed =
                stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            let mut answer = Vec::new();
            let _maybe_reset = stream.read_to_end(&mut answer);
            println!("{}", if answer.starts_with(b"HTTP/1.1 200") { "came in" } else { "turned away" });
        }
    }
}

#[test]
fn the_socket_goes_with_its_node_and_a_dead_ones_is_replaced() {
    let node = Node::start(&["--chain", "local"]);
    let socket = node.control();
    let base = node.base();
    let said = refused(&base, &[]);
    assert!(said.contains(&format!("another node answers at {}", socket.display())), "{said}");
    assert!(said.contains("--base-path"), "{said}");
    assert!(command(&socket, "system_chain", json!([])).get("result").is_some(), "the first lives on");
    node.end_by(Signal::KILL);
    assert!(socket.exists() && UnixStream::connect(&socket).is_err(), "left by a dead node");

    node.again();
    assert!(command(&socket, "system_chain", json!([])).get("result").is_some());
    assert!(node.end_by(Signal::TERM).success());
    assert!(!socket.exists(), "it goes with its node");

    // A file that is no socket stays.
    fs::write(&socket, "a letter").unwrap();
    let said = refused(&base, &[]);
    assert!(said.contains("is no socket"), "{said}");
    assert_eq!(fs::read(&socket).unwrap(), b"a letter");
}

#[test]
fn the_socket_is_where_it_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let chosen = folder.path().join("chosen");
    let node = Node::start(&["--chain", "local", "--control-socket", chosen.to_str().unwrap()]);
    assert!(command(&chosen, "poq_problems", json!([])).get("result").is_some());
    assert!(!node.control().exists());
    drop(node);
    let node = Node::start(&["--chain", "local", "--control-socket", "none"]);
    assert!(!node.control().exists());

    let long = folder.path().join("x".repeat(120));
    let said = refused(&node.base(), &["--control-socket", long.to_str().unwrap()]);
    assert!(said.contains("107 at most") && said.contains("--control-socket PATH"), "{said}");
    let nowhere = folder.path().join("no-such-folder/socket");
    let said = refused(folder.path(), &["--control-socket", nowhere.to_str().unwrap()]);
    assert!(said.contains("no control socket at") && said.contains("No such file"), "{said}");
}
