//! What one caller does badly hurts nobody else; limits hold at their edges.

use crate::stub::{key, terms, until, within, RawClient, TestChain, TestEngine, TestOperator, World};
use bytes::Bytes;
use codec::Encode as _;
use futures::FutureExt as _;
use http_body_util::StreamBody;
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::SendRequest,
    Request, Response, StatusCode,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use poq_express::{crypto::Crypto as _, wire::Message};
use poq_express_process::{
    disk::Redb,
    transport::{
        hello::{self, Binding, Caller, Hello},
        tls, Limits, HELLO, MESSAGE,
    },
};
use poq_primitives::express::Digest;
use rustls::pki_types::ServerName;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

fn message() -> Vec<u8> {
    Message::Again { order: Digest([7; 32]) }.encode()
}

fn operator_2() -> Caller {
    Caller::Operator(key(2).key())
}

async fn greeted(operator: &TestOperator) -> RawClient {
    let mut client = RawClient::to(operator).await;
    let hello = client.signed(&key(2), operator_2());
    assert_eq!(client.post(HELLO, hello).await, Some(StatusCode::OK));
    client
}

/// One operator with these limits, alone on its chain but for the keys of others.
async fn alone(limits: Limits, folder: &tempfile::TempDir) -> (Arc<TestChain>, TestOperator) {
    let (chain, url) = (TestChain::new(4), TestEngine::default().start().await);
    let disk = Arc::new(Redb::open(folder.path()).unwrap());
    let operator = TestOperator::start_with(1, &chain, &url, folder.path(), disk, limits).await;
    (chain, operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_closes_its_own_connection_and_orders_go_on() {
    let world = World::new(5).await;
    for operator in world.operators.iter().flatten() {
        let mut client = greeted(operator).await;
        assert_eq!(client.post(MESSAGE, vec![255; 100]).await, Some(StatusCode::BAD_REQUEST));
        assert!(client.closes().await);
        // No TLS at all.
        let mut stream = TcpStream::connect(operator.address).await.unwrap();
        stream.write_all(&[b'x'; 4096]).await.unwrap();
        let mut rest = Vec::new();
        let _reset = within("an end", stream.read_to_end(&mut rest)).await;
    }
    let asker = world.asker().await;
    assert!(within("an answer", asker.ask(&terms(1, 3), b"why?".to_vec())).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_have_as_many_bytes_as_it_may_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let most = message().len();
    let (_chain, operator) = alone(Limits { message_bytes: most, ..Limits::default() }, &folder).await;
    let mut client = greeted(&operator).await;
    assert_eq!(client.post(MESSAGE, message()).await, Some(StatusCode::ACCEPTED));
    let longer = [message(), vec![0]].concat();
    assert_eq!(client.post(MESSAGE, longer).await, Some(StatusCode::PAYLOAD_TOO_LARGE));
    assert_eq!(client.post(MESSAGE, message()).await, Some(StatusCode::ACCEPTED), "the connection goes on");
    assert_eq!(operator.metrics.refusals("message_bytes"), 1);
}

type Streamed = StreamBody<futures::stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// A connection of operator 2 whose bodies have no length that is known before.
async fn streaming(operator: &TestOperator) -> SendRequest<Streamed> {
    let stream = TcpStream::connect(operator.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(tls::client(operator.fingerprint).unwrap());
    let name = ServerName::try_from("poq-express.invalid").unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    let session = hello::session(stream.get_ref().1).unwrap();
    let (certificate, server) = (operator.fingerprint, operator.key);
    let binding = Binding { genesis: crate::stub::GENESIS, certificate, session, server };
    let signature = key(2).sign(&binding.digest(&operator_2()));
    let hello = Hello { caller: operator_2(), signature }.encode();
    let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.unwrap();
    tokio::spawn(connection.map(drop));
    let answer = send(&mut sender, HELLO, futures::stream::iter([Bytes::from(hello)]).boxed_frames()).await;
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
    sender
}

trait BoxedFrames {
    fn boxed_frames(self) -> Streamed;
}

impl<S: futures::Stream<Item = Bytes> + Send + 'static> BoxedFrames for S {
    fn boxed_frames(self) -> Streamed {
        use futures::StreamExt as _;
        StreamBody::new(self.map(|bytes| Ok(Frame::data(bytes))).boxed())
    }
}

async fn send(
    sender: &mut SendRequest<Streamed>,
    path: &str,
    body: Streamed,
) -> Result<Response<Incoming>, hyper::Error> {
    let request = Request::post(format!("https://poq-express.invalid{path}")).body(body).unwrap();
    sender.ready().await?;
    within("an answer", sender.send_request(request)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_cut_off_where_it_is_too_long() {
    let folder = tempfile::tempdir().unwrap();
    let (_chain, operator) = alone(Limits { message_bytes: 100_000, ..Limits::default() }, &folder).await;
    let mut sender = streaming(&operator).await;
    let endless = futures::stream::repeat(Bytes::from(vec![0; 10_000])).boxed_frames();
    let refused = send(&mut sender, MESSAGE, endless).await;
    // The server may end the stream before its answer is read.
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status() == StatusCode::PAYLOAD_TOO_LARGE));
    until("it is refused", || operator.metrics.refusals("message_bytes") == 1).await;
    assert_eq!(operator.metrics.received.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_senders_are_refused_while_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let brief = Duration::from_secs(3);
    let limits = Limits { body: brief, handshake: brief, hello: brief, ..Limits::default() };
    let (_chain, operator) = alone(limits, &folder).await;
    // Nothing at all, no hello, and a body that does not end.
    let silent = TcpStream::connect(operator.address).await.unwrap();
    let nameless = RawClient::to(&operator).await;
    let mut slow = streaming(&operator).await;
    let halting = futures::StreamExt::chain(
        futures::stream::iter([Bytes::from(vec![0; 10])]),
        futures::stream::pending(),
    );
    let answer = send(&mut slow, MESSAGE, halting.boxed_frames());
    let other = async {
        let mut other = greeted(&operator).await;
        assert_eq!(other.post(MESSAGE, message()).await, Some(StatusCode::ACCEPTED));
    };
    let (answer, ()) = tokio::join!(answer, other);
    assert!(answer.is_ok_and(|answer| answer.status() == StatusCode::REQUEST_TIMEOUT));
    assert!(nameless.closes().await);
    let mut rest = Vec::new();
    let mut silent = silent;
    let _reset = within("an end", silent.read_to_end(&mut rest)).await;
    assert_eq!(operator.metrics.refusals("hello_time"), 1);
    assert_eq!(operator.metrics.refusals("handshake"), 1);
    assert_eq!(operator.metrics.refusals("body_time"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_not_taken_yet_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let (_chain, operator) = alone(Limits { waiting_per_connection: 2, ..Limits::default() }, &folder).await;
    let mut sender = streaming(&operator).await;
    // Two bodies that do not end take both places. One that comes while a message has its place is refused, and begun again.
    let mut open: Vec<tokio::task::JoinHandle<_>> = Vec::new();
    let mut tries = 0;
    let status = loop {
        open.retain(|call| !call.is_finished());
        while open.len() < 2 {
            let first = futures::stream::iter([Bytes::from_static(b"x")]);
            let body = futures::StreamExt::chain(first, futures::stream::pending()).boxed_frames();
            let request = Request::post(format!("https://poq-express.invalid{MESSAGE}")).body(body).unwrap();
            sender.ready().await.unwrap();
            open.push(tokio::spawn(sender.send_request(request)));
        }
        let body = futures::stream::iter([Bytes::from(message())]).boxed_frames();
        let answer = send(&mut sender, MESSAGE, body).await.unwrap();
        tries += 1;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS || tries > 10_000 {
            break answer.status();
        }
    };
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    // Another connection of the same caller has places of its own.
    let mut other = greeted(&operator).await;
    assert_eq!(other.post(MESSAGE, message()).await, Some(StatusCode::ACCEPTED));
    open.iter().for_each(|call| call.abort());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded_for_each_address_and_each_caller() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { connections_per_address: 3, connections_per_caller: 2, ..Limits::default() };
    let (_chain, operator) = alone(limits, &folder).await;
    let first = greeted(&operator).await;
    let _second = greeted(&operator).await;
    let _third = greeted(&operator).await;
    // The third connection of one caller closes its first.
    assert!(first.closes().await);
    let _fourth = RawClient::to(&operator).await;
    let refused = RawClient::connect(operator.address, operator.fingerprint, operator.key).await;
    assert!(refused.is_err(), "the address has three connections");
    assert_eq!(operator.metrics.refusals("connections"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_keep_callers_out() {
    let folder = tempfile::tempdir().unwrap();
    let (_chain, operator) = alone(Limits { connections: 3, ..Limits::default() }, &folder).await;
    let caller = greeted(&operator).await;
    let mut strangers = Vec::new();
    for _ in 0..10 {
        strangers.push(TcpStream::connect(operator.address).await.unwrap());
    }
    let mut another = greeted(&operator).await;
    assert_eq!(another.post(MESSAGE, message()).await, Some(StatusCode::ACCEPTED));
    assert!(!caller.closed.is_finished(), "who has said hello stays");
}

/// What one caller sends in part, however much and slowly, leaves room for others.
#[tokio::test(flavor = "multi_thread")]
async fn partial_messages_are_bounded_for_each_connection() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { partial_bytes_per_connection: 1_000, ..Limits::default() };
    let (_chain, operator) = alone(limits, &folder).await;
    let mut sender = streaming(&operator).await;
    let part = |bytes: usize| {
        let first = futures::stream::iter([Bytes::from(vec![0; bytes])]);
        futures::StreamExt::chain(first, futures::stream::pending()).boxed_frames()
    };
    let edge = Request::post(format!("https://poq-express.invalid{MESSAGE}")).body(part(1_000)).unwrap();
    sender.ready().await.unwrap();
    let open = tokio::spawn(sender.send_request(edge));
    let mut over = StatusCode::OK;
    for _ in 0..1_000 {
        let body = futures::stream::iter([Bytes::from(message())]).boxed_frames();
        over = send(&mut sender, MESSAGE, body).await.unwrap().status();
        // The one before may come a moment later.
        if over == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    assert_eq!(over, StatusCode::TOO_MANY_REQUESTS);
    assert!(operator.metrics.refusals("partial_bytes_per_connection") > 0);
    let mut other = greeted(&operator).await;
    assert_eq!(other.post(MESSAGE, message()).await, Some(StatusCode::ACCEPTED));
    open.abort();
}
