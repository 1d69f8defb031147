//! Messages between parties: HTTP/2 over TLS 1.3, bodies in SCALE.
//!
//! Operators serve. Callers are other operators, and requesters. A connection goes like this:
//!
//! | # | step | refused with |
//! |--:|---|---|
//! | 1 | TLS 1.3 with ALPN `h2`; the caller accepts the certificate with the fingerprint on chain and no other | the connection is closed |
//! | 2 | `POST /express/1/hello` with a [`hello::Hello`]: the caller proves its key, for this connection only | 403, and the connection is closed |
//! | 3 | `POST /express/1/message` with one [`poq_express::wire::Message`] each, up to [`Limits::requests_at_once`] at a time | 400, 401, 408, 413, 429, 503 |
//!
//! The answer to a requester's hello is a stream that lasts as long as the connection: messages for the requester, each after its length
//! (four bytes, little-endian). An operator has its messages brought to its own server.
//!
//! A message that is refused or lost is not sent again here: the machines ask again by themselves ([`poq_express::limits::Limits::retry`]).
//! All queues are bounded, see [`Limits`].

pub mod hello;
pub mod peers;
pub mod server;
pub mod tls;

use bytes::Bytes;
use codec::Encode as _;
use poq_express::{step::Peer, wire::Message};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Path of the call that proves the caller's key.
pub const HELLO: &str = "/express/1/hello";

/// Path of the call that brings a message.
pub const MESSAGE: &str = "/express/1/message";

/// Bytes of the length before each message of a stream.
pub(crate) const LENGTH_BYTES: usize = 4;

/// Limits of connections and queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections to the server. For one more, the oldest connection without a hello is closed; if all have one, the new one is.
    /// Default: 1024.
    pub connections: usize,
    /// Most connections from one address: an IPv4 address, or the 64-bit prefix of an IPv6 address. Default: 64.
    pub connections_per_address: usize,
    /// Most connections of one operator or one channel; for one more, its oldest one is closed. Default: 4.
    pub connections_per_caller: usize,
    /// Most bytes of a message. A message with a prompt and `n` outputs has up to `n + 1` MiB. Default: 8 MiB.
    pub message_bytes: usize,
    /// Most bytes of messages that have come in part, of one connection; one that would exceed them gets 429. At least `message_bytes`.
    /// Default: 16 MiB.
    pub partial_bytes_per_connection: usize,
    /// Most bytes of messages that have come in part, of all connections; one that would exceed them gets 429. Default: 256 MiB.
    pub partial_bytes: usize,
    /// Most messages of one connection that the machine has not taken yet; further ones get 429. Default: 64.
    pub waiting_per_connection: usize,
    /// Most messages of all connections that the machine has not taken yet; further ones get 429. Default: 4096.
    pub waiting: usize,
    /// Most messages that wait to be sent to one party. Further ones are dropped; a requester's connection is closed. Default: 256.
    pub outgoing: usize,
    /// Most bytes of messages that wait to be sent to one party. Default: 32 MiB.
    pub outgoing_bytes: usize,
    /// Most requests at a time on a connection, in both directions. Default: 32.
    pub requests_at_once: u32,
    /// Most bytes of a request's head. Default: 8 KiB.
    pub head_bytes: u32,
    /// Longest time of a TLS handshake, and of connecting. Default: 5 s.
    pub handshake: Duration,
    /// Longest time from the handshake to a valid hello. Default: 5 s.
    pub hello: Duration,
    /// Longest time for the body of a request to come. Default: 15 s.
    pub body: Duration,
    /// Longest time for the answer to a message that was sent. Default: 20 s.
    pub answer: Duration,
    /// Time after which a silent connection is asked for a sign of life, and time to give it. Default: 20 s.
    pub keep_alive: Duration,
    /// Age at which a message that could not be sent is dropped. Default: 10 s.
    pub stale: Duration,
    /// Pause after the first failure to connect; doubled at each further one. Default: 100 ms.
    pub least_back_off: Duration,
    /// Longest pause between two tries to connect. Default: 10 s.
    pub most_back_off: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_address: 64,
            connections_per_caller: 4,
            message_bytes: 8 << 20,
            partial_bytes_per_connection: 16 << 20,
            partial_bytes: 256 << 20,
            waiting_per_connection: 64,
            waiting: 4096,
            outgoing: 256,
            outgoing_bytes: 32 << 20,
            requests_at_once: 32,
            head_bytes: 8 << 10,
            handshake: Duration::from_secs(5),
            hello: Duration::from_secs(5),
            body: Duration::from_secs(15),
            answer: Duration::from_secs(20),
            keep_alive: Duration::from_secs(20),
            stale: Duration::from_secs(10),
            least_back_off: Duration::from_millis(100),
            most_back_off: Duration::from_secs(10),
        }
    }
}

/// A message that has come. Dropping it frees its place in the queue of its connection.
#[derive(Debug)]
pub struct Inbound {
    /// The sender, as its connection has proven.
    pub from: Peer,
    /// The message.
    pub message: Box<Message>,
    pub(crate) _place: OwnedSemaphorePermit,
}

/// A message as it goes over the wire. Clones share its bytes.
#[derive(Clone, Debug)]
pub struct Encoded(Bytes);

impl Encoded {
    /// Encodes a message, once for all its receivers.
    pub fn new(message: &Message) -> Self {
        Self(message.encode().into())
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Number of bytes, at most `u32::MAX`.
    pub fn length(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}
