//! A `--dev` node as a user starts it.

use crate::common::{wait_for, Node};
use harness::{process, Signal};
use std::{net::TcpStream, sync::mpsc, thread};

#[test]
fn it_finalizes_blocks_and_its_engine_ends_with_it() {
    for signal in [Signal::TERM, Signal::KILL] {
        let node = Node::dev(&[]);
        let (engine, _) = wait_for("the engine", || node.engine_endpoint());
        wait_for("its answer", || TcpStream::connect(engine).ok());
        wait_for("a finalized block", || (node.finalized() >= 2).then_some(()));
        node.end_by(signal);
        assert!(TcpStream::connect(engine).is_err());
    }
}

#[test]
fn it_ends_with_a_test_that_panics() {
    let (tell, told) = mpsc::channel();
    let failed = thread::spawn(move || {
        let node = Node::dev(&[]);
        let engine = node.wait_for_engine(None).unwrap();
        tell.send([node.process().unwrap(), engine]).unwrap();
        panic!("a test that fails, on purpose");
    });
    let processes = told.recv().unwrap();
    assert!(failed.join().is_err());
    assert!(processes.into_iter().all(|id| !process::runs(id)));
}
