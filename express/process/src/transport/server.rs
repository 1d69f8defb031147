//! The server of an operator: accepts connections, checks hellos, takes messages, and sends messages to requesters on their streams.
//!
//! What one caller does badly costs its own connection only: before the hello by the limits on connections and time, after it by the limits on
//! what it may have under way. Limits: [`super::Limits`].

use super::{
    hello::{self, Binding, Caller, Hello},
    tls::{Identity, TlsError},
    Encoded, Inbound, Limits, HELLO, LENGTH_BYTES, MESSAGE,
};
use crate::{chain::States, metrics::Metrics};
use bytes::{BufMut as _, Bytes, BytesMut};
use codec::DecodeAll as _;
use futures::stream::unfold;
use http_body_util::{combinators::UnsyncBoxBody, BodyExt as _, Empty, StreamBody};
use hyper::{
    body::{Body as _, Frame, Incoming},
    server::conn::http2,
    service::service_fn,
    Method, Request, Response, StatusCode,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use poq_express::wire::decode;
use poq_primitives::{
    commitment::Hash32,
    express::{ChannelId, Key, Verify},
};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{
        mpsc::{self, error::TrySendError},
        OwnedSemaphorePermit, Semaphore,
    },
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Pause after the operating system refused a connection: it has no files or no memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What a server needs.
pub struct Setup<V> {
    /// Certificate and key.
    pub identity: Identity,
    /// The operator's express key, which callers must mean.
    pub key: Key,
    /// Checks signatures.
    pub verify: V,
    /// Limits.
    pub limits: Limits,
    /// Finalized state: who may call.
    pub states: States,
    /// Takes messages.
    pub inbox: mpsc::Sender<Inbound>,
    /// Counters.
    pub metrics: Metrics,
    /// Ends the server and its connections.
    pub closing: CancellationToken,
}

/// A running server. Clones share it.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

/// What all connections share.
struct Shared {
    key: Key,
    certificate: Hash32,
    verify: Box<dyn Verify + Send + Sync>,
    limits: Limits,
    states: States,
    inbox: mpsc::Sender<Inbound>,
    metrics: Metrics,
    closing: CancellationToken,
    /// Bytes of partial messages for which there is room.
    bytes: Arc<Semaphore>,
    door: Mutex<Door>,
}

/// The open connections, by number: the oldest is the first.
#[derive(Default)]
struct Door {
    next: u64,
    known: BTreeMap<u64, Known>,
}

struct Known {
    address: IpAddr,
    close: CancellationToken,
    caller: Option<Caller>,
    /// Of a requester: takes what is to be sent to it.
    stream: Option<Stream>,
}

/// The sending side of a requester's stream.
#[derive(Clone)]
struct Stream {
    frames: mpsc::Sender<(Encoded, OwnedSemaphorePermit)>,
    bytes: Arc<Semaphore>,
}

/// A connection's place at the door; dropping it frees the place.
struct Entry {
    shared: Arc<Shared>,
    number: u64,
    close: CancellationToken,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.door().known.remove(&self.number);
    }
}

/// A connection after its handshake.
struct Connection {
    entry: Entry,
    binding: Binding,
    caller: OnceLock<Caller>,
    waiting: Arc<Semaphore>,
    /// Bytes of partial messages for which this connection has room.
    bytes: Arc<Semaphore>,
}

/// The address that connections count for: an IPv4 address, or the 64-bit prefix of an IPv6 address.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
    }
}

impl Door {
    /// A place for a connection from `address`; `None` if there is none.
    fn admit(&mut self, address: IpAddr, limits: &Limits) -> Option<(u64, CancellationToken)> {
        let address = counted(address);
        if self.known.values().filter(|known| known.address == address).count()
            >= limits.connections_per_address
        {
            return None;
        }
        if self.known.len() >= limits.connections {
            let (oldest, _) = self.known.iter().find(|(_, known)| known.caller.is_none())?;
            let oldest = *oldest;
            self.known.remove(&oldest)?.close.cancel();
        }
        let (number, close) = (self.next, CancellationToken::new());
        self.next = self.next.wrapping_add(1);
        self.known.insert(number, Known { address, close: close.clone(), caller: None, stream: None });
        Some((number, close))
    }

    /// Notes who calls on a connection, and closes the caller's oldest connections beyond `most`.
    fn introduce(&mut self, number: u64, caller: Caller, stream: Option<Stream>, most: usize) {
        let others: Vec<u64> = self
            .known
            .iter()
            .filter(|(other, known)| **other != number && known.caller == Some(caller))
            .map(|(other, _)| *other)
            .collect();
        let surplus = others.len().saturating_add(1).saturating_sub(most.max(1));
        for other in others.iter().take(surplus) {
            if let Some(known) = self.known.remove(other) {
                known.close.cancel();
            }
        }
        if let Some(known) = self.known.get_mut(&number) {
            known.caller = Some(caller);
            known.stream = stream;
        }
    }

    fn streams_of(&self, channel: ChannelId) -> Vec<(CancellationToken, Stream)> {
        let of_channel = |known: &&Known| known.caller == Some(Caller::Requester(channel));
        let known = self.known.values().filter(of_channel);
        known.filter_map(|known| Some((known.close.clone(), known.stream.clone()?))).collect()
    }
}

impl Shared {
    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Serves on `listener` until [`Setup::closing`] is cancelled.
    ///
    /// # Errors
    /// [`TlsError::Use`].
    pub fn start<V: Verify + Send + Sync + 'static>(
        listener: TcpListener,
        setup: Setup<V>,
    ) -> Result<Self, TlsError> {
        let acceptor = TlsAcceptor::from(setup.identity.server()?);
        let shared = Arc::new(Shared {
            key: setup.key,
            certificate: setup.identity.fingerprint(),
            verify: Box::new(setup.verify),
            bytes: Arc::new(Semaphore::new(setup.limits.partial_bytes)),
            limits: setup.limits,
            states: setup.states,
            inbox: setup.inbox,
            metrics: setup.metrics,
            closing: setup.closing,
            door: Mutex::default(),
        });
        tokio::spawn(accept(listener, acceptor, shared.clone()));
        Ok(Self(shared))
    }

    /// Number of open connections.
    pub fn connections(&self) -> usize {
        self.0.door().known.len()
    }

    /// Sends a message to a requester, on all connections that it holds open. Returns whether there was one.
    ///
    /// A requester that does not read as fast as messages come loses its connection.
    pub fn send(&self, channel: ChannelId, message: &Encoded) -> bool {
        let streams = self.0.door().streams_of(channel);
        let is_there = !streams.is_empty();
        for (close, stream) in streams {
            let room = stream.bytes.clone().try_acquire_many_owned(message.length());
            let sent = room.is_ok_and(|room| stream.frames.try_send((message.clone(), room)).is_ok());
            if !sent {
                self.0.metrics.dropped.inc();
                close.cancel();
            }
        }
        is_there
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            () = shared.closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => admit(stream, address, &acceptor, &shared),
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(stream: TcpStream, address: SocketAddr, acceptor: &TlsAcceptor, shared: &Arc<Shared>) {
    let Some((number, close)) = shared.door().admit(address.ip(), &shared.limits) else {
        shared.metrics.refused("connections");
        return;
    };
    let entry = Entry { shared: shared.clone(), number, close };
    tokio::spawn(connection(stream, acceptor.clone(), entry));
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, entry: Entry) {
    let (shared, close) = (entry.shared.clone(), entry.close.clone());
    let limits = &shared.limits;
    let _without = stream.set_nodelay(true);
    let handshake = timeout(limits.handshake, acceptor.accept(stream));
    let shaken = tokio::select! {
        () = close.cancelled() => return,
        () = shared.closing.cancelled() => return,
        shaken = handshake => shaken,
    };
    let Ok(Ok(stream)) = shaken else { return shared.metrics.refused("handshake") };
    let Ok(session) = hello::session(stream.get_ref().1) else { return };
    let genesis = shared.states.borrow().view.genesis;
    let binding = Binding { genesis, certificate: shared.certificate, session, server: shared.key };
    let waiting = Arc::new(Semaphore::new(limits.waiting_per_connection));
    let bytes = Arc::new(Semaphore::new(limits.partial_bytes_per_connection));
    let connection = Arc::new(Connection { entry, binding, caller: OnceLock::new(), waiting, bytes });
    let of_service = connection.clone();
    let service = service_fn(move |request| {
        let connection = of_service.clone();
        async move { Ok::<_, Infallible>(connection.answer(request).await) }
    });
    let serving = http(limits).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let hello = sleep(limits.hello);
    tokio::pin!(hello);
    loop {
        tokio::select! {
            _ended = &mut serving => return,
            () = close.cancelled() => return,
            () = shared.closing.cancelled() => return,
            () = &mut hello, if !hello.is_elapsed() => {
                if connection.caller.get().is_none() {
                    return shared.metrics.refused("hello_time");
                }
            }
        }
    }
}

fn http(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.requests_at_once)
        .max_header_list_size(limits.head_bytes)
        .keep_alive_interval(limits.keep_alive)
        .keep_alive_timeout(limits.keep_alive);
    builder
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().boxed_unsync());
    *response.status_mut() = status;
    response
}

impl Connection {
    fn shared(&self) -> &Arc<Shared> {
        &self.entry.shared
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let result = match (request.method(), request.uri().path()) {
            (&Method::POST, MESSAGE) => self.take(request).await,
            (&Method::POST, HELLO) => self.greet(request).await,
            _ => Err((StatusCode::NOT_FOUND, "path")),
        };
        result.unwrap_or_else(|(status, why)| {
            self.shared().metrics.refused(why);
            empty(status)
        })
    }

    /// Closes the connection a moment from now, so that the answer is still sent.
    fn close_soon(&self) {
        let (close, wait) = (self.entry.close.clone(), self.shared().limits.least_back_off);
        tokio::spawn(async move {
            sleep(wait).await;
            close.cancel();
        });
    }

    /// The body, of at most `most` bytes. Only what has come takes room, so whoever sends slowly takes little.
    async fn read(&self, request: Request<Incoming>, most: usize) -> Result<Bytes, Refused> {
        let mut body = request.into_body();
        if body.size_hint().lower() > most as u64 {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "message_bytes"));
        }
        let reading = async {
            let (mut bytes, mut rooms) = (BytesMut::new(), Vec::new());
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|_| (StatusCode::BAD_REQUEST, "body"))?;
                let Ok(data) = frame.into_data() else { continue };
                if bytes.len().saturating_add(data.len()) > most {
                    return Err((StatusCode::PAYLOAD_TOO_LARGE, "message_bytes"));
                }
                rooms.push(self.room_for(data.len())?);
                bytes.extend_from_slice(&data);
            }
            Ok(bytes.freeze())
        };
        let read = timeout(self.shared().limits.body, reading).await;
        read.unwrap_or(Err((StatusCode::REQUEST_TIMEOUT, "body_time")))
    }

    /// Room for bytes of a partial message, of this connection and of all.
    fn room_for(&self, bytes: usize) -> Result<[OwnedSemaphorePermit; 2], Refused> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = |of: &Arc<Semaphore>, name| {
            let room = of.clone().try_acquire_many_owned(bytes);
            room.map_err(|_| (StatusCode::TOO_MANY_REQUESTS, name))
        };
        Ok([room(&self.bytes, "partial_bytes_per_connection")?, room(&self.shared().bytes, "partial_bytes")?])
    }

    /// Checks a hello.
    async fn greet(&self, request: Request<Incoming>) -> Result<Response<Body>, Refused> {
        let body = self.read(request, hello::MOST_BYTES).await?;
        let hello = Hello::decode_all(&mut &*body).ok().filter(|hello| self.is_proven(hello));
        let Some(hello) = hello.filter(|hello| self.caller.set(hello.caller).is_ok()) else {
            self.close_soon();
            return Err((StatusCode::FORBIDDEN, "hello"));
        };
        let limits = &self.shared().limits;
        let most = limits.connections_per_caller;
        let number = self.entry.number;
        match hello.caller {
            Caller::Operator(_) => {
                self.shared().door().introduce(number, hello.caller, None, most);
                Ok(empty(StatusCode::OK))
            }
            Caller::Requester(_) => {
                let (frames, queue) = mpsc::channel(limits.outgoing.max(1));
                let bytes = Arc::new(Semaphore::new(limits.outgoing_bytes));
                let stream = Stream { frames, bytes };
                self.shared().door().introduce(number, hello.caller, Some(stream), most);
                Ok(Response::new(stream_body(queue)))
            }
        }
    }

    /// Whether the caller is known on chain and has signed for this connection.
    fn is_proven(&self, hello: &Hello) -> bool {
        let state = self.shared().states.borrow().clone();
        let key = match hello.caller {
            Caller::Operator(key) => state.knows(&key).then_some(key),
            Caller::Requester(channel) => state.view.channels.get(&channel).map(|channel| channel.key),
        };
        let digest = self.binding.digest(&hello.caller);
        key.is_some_and(|key| self.shared().verify.verify(&key, &digest, &hello.signature))
    }

    /// Takes a message.
    async fn take(&self, request: Request<Incoming>) -> Result<Response<Body>, Refused> {
        let shared = self.shared();
        let Some(caller) = self.caller.get() else {
            self.close_soon();
            return Err((StatusCode::UNAUTHORIZED, "no_hello"));
        };
        let full = |_| (StatusCode::TOO_MANY_REQUESTS, "waiting");
        let place = self.waiting.clone().try_acquire_owned().map_err(full)?;
        let most = shared.limits.message_bytes;
        let body = self.read(request, most).await?;
        let Ok(message) = decode(&body, most) else {
            self.close_soon();
            return Err((StatusCode::BAD_REQUEST, "garbage"));
        };
        let inbound = Inbound { from: (*caller).into(), message: Box::new(message), _place: place };
        match shared.inbox.try_send(inbound) {
            Ok(()) => Ok(empty(StatusCode::ACCEPTED)),
            Err(TrySendError::Full(_)) => Err((StatusCode::TOO_MANY_REQUESTS, "waiting")),
            Err(TrySendError::Closed(_)) => Err((StatusCode::SERVICE_UNAVAILABLE, "closing")),
        }
    }
}

/// Status of the answer, and the reason's label in the metrics.
type Refused = (StatusCode, &'static str);

/// The body of a requester's stream: each message after its length.
fn stream_body(queue: mpsc::Receiver<(Encoded, OwnedSemaphorePermit)>) -> Body {
    let frames = unfold((queue, None), |(mut queue, sent)| async move {
        // The room of a message is free when the next one is asked for: then it has left this process.
        drop(sent);
        let (message, room) = queue.recv().await?;
        let mut frame = BytesMut::with_capacity(LENGTH_BYTES.saturating_add(message.bytes().len()));
        frame.put_u32_le(message.length());
        frame.extend_from_slice(message.bytes());
        Some((Ok(Frame::data(frame.freeze())), (queue, Some(room))))
    });
    StreamBody::new(frames).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { connections: 3, connections_per_address: 2, connections_per_caller: 2, ..Limits::default() }
    }

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn one_address_takes_no_more_than_its_part() {
        let (mut door, limits) = (Door::default(), limits());
        assert!(door.admit(ip(1), &limits).is_some() && door.admit(ip(1), &limits).is_some());
        assert!(door.admit(ip(1), &limits).is_none());
        assert!(door.admit(ip(2), &limits).is_some());
        let [a, b] = ["2001:db8::1", "2001:db8::2"].map(|text| counted(text.parse().unwrap()));
        assert_eq!(a, b, "one prefix counts as one address");
    }

    #[test]
    fn a_full_house_closes_strangers_and_never_callers() {
        let (mut door, limits) = (Door::default(), limits());
        let (first, of_first) = door.admit(ip(1), &limits).unwrap();
        let (second, of_second) = door.admit(ip(2), &limits).unwrap();
        let (third, of_third) = door.admit(ip(3), &limits).unwrap();
        door.introduce(first, Caller::Requester(1), None, 2);
        let (fourth, _) = door.admit(ip(4), &limits).unwrap();
        assert!(!of_first.is_cancelled() && of_second.is_cancelled() && !of_third.is_cancelled());
        assert!(!door.known.contains_key(&second));
        door.introduce(third, Caller::Requester(2), None, 2);
        door.introduce(fourth, Caller::Requester(3), None, 2);
        assert!(door.admit(ip(5), &limits).is_none());
    }

    #[test]
    fn a_callers_newest_connections_stay() {
        let (mut door, limits) = (Door::default(), limits());
        let all: Vec<_> = (1..=3).map(|last| door.admit(ip(last), &limits).unwrap()).collect();
        for (number, _) in &all {
            door.introduce(*number, Caller::Operator([1; 32]), None, 2);
        }
        let closed: Vec<bool> = all.iter().map(|(_, close)| close.is_cancelled()).collect();
        assert_eq!(closed, [true, false, false]);
    }
}
