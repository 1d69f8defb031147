//! `poq health` tells a node that is well from one that is not by its exit code.

use crate::common::{text, Node};
use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Output},
    thread,
};

/// An address at which `answer` gets each connection.
fn listen(answer: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, answer) = (stream.unwrap(), answer.clone());
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn health_at(address: SocketAddr) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poq"));
    command.args(["health", "--url", &format!("ws://{address}")]).output().unwrap()
}

#[test]
fn a_node_that_accepts_and_then_says_nothing_does_not_answer() {
    // No handshake.
    let mute = listen(|stream| {
        let mut sink = Vec::new();
        let _ = std::io::Read::read_to_end(&mut &stream, &mut sink);
    });
    // A handshake, and nothing after it.
    let polite = listen(|stream| {
        let mut socket = tungstenite::accept(stream).unwrap();
        while socket.read().is_ok() {}
    });
    let asked = [mute, polite].map(|address| thread::spawn(move || health_at(address)));
    for asked in asked {
        let output = asked.join().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        // Not the minute that other commands wait for a connection.
        assert!(said.contains("does not answer within 10 s"), "{said}");
    }
}

#[test]
fn health_is_an_exit_code_and_one_line() {
    let node = Node::start_with(&["--engine", "off"]);
    let health = node.json(&["health", "--block-age", "300"]);
    assert_eq!(health["healthy"], true, "{health}");
    assert!(
        health["best_block"].as_u64().unwrap() > 0 && health["block_age_seconds"].as_u64().unwrap() <= 300
    );

    // The newest block is not final at once.
    let output = crate::common::wait_for("a best block that is not final", || {
        let output = node.poq(&["health", "--finality-lag", "0"]);
        (!output.status.success()).then_some(output)
    });
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: Unhealthy: finality is "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    node.kill().unwrap();
    let output = node.poq(&["health"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
}
