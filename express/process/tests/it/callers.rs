//! Who may call: hellos, certificates, keys.

use crate::stub::{key, RawClient, World, CHANNEL};
use codec::Encode as _;
use hyper::StatusCode;
use poq_express::{crypto::Crypto as _, wire::Message};
use poq_express_process::transport::{
    hello::{Binding, Caller, Hello},
    HELLO, MESSAGE,
};
use poq_primitives::express::Digest;

fn message() -> Vec<u8> {
    Message::Again { order: Digest([7; 32]) }.encode()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_and_a_requester_with_their_keys_are_let_in() {
    let world = World::new(4).await;
    let operator = world.operators[0].as_ref().unwrap();
    for (number, caller) in [(2, Caller::Operator(key(2).key())), (0, Caller::Requester(CHANNEL))] {
        let mut client = RawClient::to(operator).await;
        let hello = client.signed(&key(number), caller);
        assert_eq!(client.post(HELLO, hello).await, Some(StatusCode::OK), "{caller:?}");
        assert_eq!(client.post(MESSAGE, message()).await, Some(StatusCode::ACCEPTED), "{caller:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_than_the_one_on_chain_is_refused_by_the_client() {
    let world = World::new(4).await;
    let operator = world.operators[0].as_ref().unwrap();
    let other = world.operators[1].as_ref().unwrap();
    let refused = RawClient::connect(operator.address, other.fingerprint, operator.key).await;
    assert!(refused.is_err_and(|reason| reason.contains("certificate")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_no_hello_is_sent_away() {
    let world = World::new(4).await;
    let operator = world.operators[0].as_ref().unwrap();
    let mut client = RawClient::to(operator).await;
    assert_eq!(client.post(MESSAGE, message()).await, Some(StatusCode::UNAUTHORIZED));
    assert!(client.closes().await);
    assert_eq!(operator.metrics.refusals("no_hello"), 1);
    assert_eq!(operator.metrics.received.get(), 0);
}

/// Each wrong hello is refused, and its connection closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_hello_proves_one_key_on_one_connection_to_one_server() {
    let world = World::new(4).await;
    let operator = world.operators[0].as_ref().unwrap();
    let caller = Caller::Operator(key(2).key());
    let elsewhere = RawClient::to(world.operators[2].as_ref().unwrap()).await;
    let before = RawClient::to(operator).await;
    type Make<'a> = Box<dyn Fn(&Binding) -> Vec<u8> + 'a>;
    let sign = |number: u8, caller: Caller, binding: &Binding| {
        Hello { caller, signature: key(number).sign(&binding.digest(&caller)) }.encode()
    };
    let wrong: Vec<(&str, Make<'_>)> = vec![
        ("another's key", Box::new(|binding| sign(3, caller, binding))),
        ("a key that is not on chain", Box::new(|binding| sign(9, Caller::Operator(key(9).key()), binding))),
        ("a channel that is not on chain", Box::new(|binding| sign(0, Caller::Requester(99), binding))),
        ("an operator's key for a channel", Box::new(|binding| sign(2, Caller::Requester(CHANNEL), binding))),
        ("of another connection", Box::new(|_| sign(2, caller, &before.binding))),
        ("for another server", Box::new(|_| sign(2, caller, &elsewhere.binding))),
        (
            "of another chain",
            Box::new(|binding| sign(2, caller, &Binding { genesis: [0; 32], ..binding.clone() })),
        ),
        ("garbage", Box::new(|_| vec![1, 2, 3])),
        ("too long", Box::new(|binding| [sign(2, caller, binding), vec![0]].concat())),
    ];
    for (what, make) in &wrong {
        let mut client = RawClient::to(operator).await;
        let hello = make(&client.binding);
        assert_eq!(client.post(HELLO, hello).await, Some(StatusCode::FORBIDDEN), "{what}");
        assert!(client.closes().await, "{what}");
    }
    assert_eq!(operator.metrics.refusals("hello"), wrong.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_hello_on_a_connection_is_refused() {
    let world = World::new(4).await;
    let operator = world.operators[0].as_ref().unwrap();
    let mut client = RawClient::to(operator).await;
    let first = client.signed(&key(2), Caller::Operator(key(2).key()));
    let second = client.signed(&key(3), Caller::Operator(key(3).key()));
    assert_eq!(client.post(HELLO, first).await, Some(StatusCode::OK));
    assert_eq!(client.post(HELLO, second).await, Some(StatusCode::FORBIDDEN));
}
