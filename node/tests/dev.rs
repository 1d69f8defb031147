//! A `--dev` node as a user starts it.

mod common;

use common::{wait_for, Node};
use std::net::TcpStream;

#[test]
fn it_finalizes_blocks_and_its_engine_ends_with_it() {
    for signal in ["-TERM", "-KILL"] {
        let mut node = Node::dev(&[]);
        let (engine, _) = wait_for("the engine", || node.engine());
        wait_for("its answer", || TcpStream::connect(engine).ok());
        wait_for("a finalized block", || (node.finalized() >= 2).then_some(()));
        node.end(signal);
        wait_for("the engine's end", || TcpStream::connect(engine).is_err().then_some(()));
    }
}
