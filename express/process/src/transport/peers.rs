//! Connections to operators' servers: one for each, opened when there is something to send, kept, and opened again when it is lost.

use super::{
    hello::{self, Binding, Caller, Hello},
    tls, Encoded, Inbound, Limits, HELLO, LENGTH_BYTES, MESSAGE,
};
use crate::{
    chain::{Endpoint, States},
    metrics::Metrics,
};
use bytes::{Buf as _, Bytes, BytesMut};
use codec::Encode as _;
use futures::{stream::FuturesUnordered, FutureExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http2, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use poq_express::{crypto::Crypto, step::Peer, wire::decode};
use poq_primitives::express::{ChannelId, Key, Signature};
use rand::Rng as _;
use rustls::pki_types::ServerName;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::TcpStream,
    sync::{mpsc, OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// A server that cannot be reached. Its messages wait, and are dropped when they are stale.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// The operator has no endpoint on chain.
    #[error("the operator has no endpoint on chain")]
    NoEndpoint,
    /// There is no connection, or the certificate is not the one on chain.
    #[error("no connection to {address}: {reason}")]
    NoConnection {
        /// The address on chain.
        address: String,
        /// The reason.
        reason: String,
    },
    /// The server does not take the hello.
    #[error("the server at {address} refuses the hello with HTTP {status}: does it know this chain's newest blocks?")]
    NoHello {
        /// The address on chain.
        address: String,
        /// The status.
        status: StatusCode,
    },
}

/// Signs hellos of a caller.
trait Sign: Send + Sync {
    fn sign(&self, binding: &Binding) -> Signature;
}

struct Signer<C> {
    crypto: C,
    caller: Caller,
}

impl<C: Crypto + Send + Sync> Sign for Signer<C> {
    fn sign(&self, binding: &Binding) -> Signature {
        self.crypto.sign(&binding.digest(&self.caller))
    }
}

/// Connections to operators. Clones share them; they are closed with the last clone.
#[derive(Clone)]
pub struct Peers(Arc<Shared>);

struct Shared {
    caller: Caller,
    signer: Box<dyn Sign>,
    limits: Limits,
    states: States,
    inbox: mpsc::Sender<Inbound>,
    metrics: Metrics,
    closing: CancellationToken,
    queues: Mutex<BTreeMap<Key, Queue>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

#[derive(Clone)]
struct Queue {
    messages: mpsc::Sender<Outgoing>,
    bytes: Arc<Semaphore>,
}

struct Outgoing {
    message: Encoded,
    since: Instant,
    _room: OwnedSemaphorePermit,
}

/// What a connection's task needs; without the queues, whose end is the task's.
struct Context {
    caller: Caller,
    limits: Limits,
    states: States,
    inbox: mpsc::Sender<Inbound>,
    metrics: Metrics,
    closing: CancellationToken,
}

impl Peers {
    /// No connections yet. `inbox` takes messages for a requester; an operator has its own server for these.
    pub fn new<C: Crypto + Send + Sync + 'static>(
        crypto: C,
        channel: Option<ChannelId>,
        limits: Limits,
        states: States,
        inbox: mpsc::Sender<Inbound>,
        metrics: Metrics,
    ) -> Self {
        let caller = channel.map_or(Caller::Operator(crypto.key()), Caller::Requester);
        let signer = Box::new(Signer { crypto, caller });
        let (closing, queues) = (CancellationToken::new(), Mutex::default());
        Self(Arc::new(Shared { caller, signer, limits, states, inbox, metrics, closing, queues }))
    }

    /// Sends a message to an operator, when there is a connection. A message for which there is no room is dropped and counted.
    pub fn send(&self, to: Key, message: &Encoded) {
        let queue = self.queue(to);
        let sent = queue.bytes.clone().try_acquire_many_owned(message.length()).is_ok_and(|room| {
            let outgoing = Outgoing { message: message.clone(), since: Instant::now(), _room: room };
            queue.messages.try_send(outgoing).is_ok()
        });
        if !sent {
            self.0.metrics.dropped.inc();
        }
    }

    fn queue(&self, to: Key) -> Queue {
        let mut queues = self.0.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(&to).filter(|queue| !queue.messages.is_closed()) {
            return queue.clone();
        }
        let limits = &self.0.limits;
        let (messages, receiver) = mpsc::channel(limits.outgoing.max(1));
        let queue = Queue { messages, bytes: Arc::new(Semaphore::new(limits.outgoing_bytes)) };
        queues.insert(to, queue.clone());
        let context = Context {
            caller: self.0.caller,
            limits: limits.clone(),
            states: self.0.states.clone(),
            inbox: self.0.inbox.clone(),
            metrics: self.0.metrics.clone(),
            closing: self.0.closing.clone(),
        };
        // Weak: a task that waits for messages must not keep the connections of a caller that is gone.
        let owner = Arc::downgrade(&self.0);
        let sign = move |binding: &Binding| owner.upgrade().map(|owner| owner.signer.sign(binding));
        tokio::spawn(run(to, context, sign, receiver));
        queue
    }
}

/// Sends what comes to the queue of one operator.
async fn run(
    to: Key,
    context: Context,
    sign: impl Fn(&Binding) -> Option<Signature> + Send + Sync + 'static,
    mut queue: mpsc::Receiver<Outgoing>,
) {
    let closing = context.closing.clone();
    let work = async {
        let mut back_off = context.limits.least_back_off;
        while let Some(first) = queue.recv().await {
            if first.since.elapsed() > context.limits.stale {
                context.metrics.dropped.inc();
                continue;
            }
            match context.connect(to, &sign).await {
                Ok(link) => {
                    back_off = context.limits.least_back_off;
                    context.serve(link, first, &mut queue).await;
                }
                Err(error) => {
                    tracing::debug!(operator = %hex::encode(to), %error, "a message waits");
                    context.metrics.dropped.inc();
                    sleep(jittered(back_off)).await;
                    back_off = back_off.saturating_mul(2).min(context.limits.most_back_off);
                }
            }
        }
    };
    tokio::select! {
        () = closing.cancelled() => {}
        () = work => {}
    }
}

/// Half of `pause` to the whole of it, so that parties which lost a server at the same time do not come back at the same time.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// An open connection. Dropping it closes it.
struct Link {
    sender: http2::SendRequest<Full<Bytes>>,
    serving: JoinHandle<()>,
    /// Reads a requester's stream; it ends with the connection.
    reading: Option<JoinHandle<()>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.serving.abort();
        self.reading.iter().for_each(JoinHandle::abort);
    }
}

impl Context {
    async fn connect(
        &self,
        to: Key,
        sign: &(impl Fn(&Binding) -> Option<Signature> + Sync),
    ) -> Result<Link, Unreachable> {
        let (endpoint, genesis) = {
            let state = self.states.borrow();
            (state.endpoints.get(&to).cloned(), state.view.genesis)
        };
        let endpoint = endpoint.ok_or(Unreachable::NoEndpoint)?;
        let address = endpoint.address.clone();
        let failed = |reason: String| Unreachable::NoConnection { address: address.clone(), reason };
        let opening = timeout(self.limits.handshake, open(&endpoint)).await;
        let (stream, session) = opening.map_err(|_| failed("it takes too long".into()))?.map_err(failed)?;
        let binding = Binding { genesis, certificate: endpoint.tls, session, server: to };
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(self.limits.keep_alive)
            .keep_alive_timeout(self.limits.keep_alive)
            .keep_alive_while_idle(true)
            .max_header_list_size(self.limits.head_bytes);
        let shaken = builder.handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| failed(error.to_string()))?;
        let serving = tokio::spawn(connection.map(drop));
        let mut link = Link { sender: sender.clone(), serving, reading: None };
        let signature = sign(&binding).ok_or_else(|| failed("it is not wanted any more".into()))?;
        let hello = Hello { caller: self.caller, signature }.encode();
        let answer = async {
            sender.ready().await?;
            sender.send_request(post(HELLO, hello.into())).await
        };
        let answer = timeout(self.limits.hello, answer).await;
        let answer = answer.map_err(|_| failed("it takes too long".into()))?;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        if answer.status() != StatusCode::OK {
            return Err(Unreachable::NoHello { address, status: answer.status() });
        }
        if let Caller::Requester(_) = self.caller {
            link.reading = Some(self.read(to, answer.into_body()));
        }
        Ok(link)
    }

    /// Reads the messages of a stream into the inbox, as fast as the machine takes them.
    fn read(&self, from: Key, body: Incoming) -> JoinHandle<()> {
        let (inbox, most) = (self.inbox.clone(), self.limits.message_bytes);
        let waiting = Arc::new(Semaphore::new(self.limits.waiting_per_connection));
        let metrics = self.metrics.clone();
        tokio::spawn(async move {
            if read_stream(from, body, most, waiting, inbox).await.is_none() {
                metrics.refused("stream");
            }
        })
    }

    /// Sends messages until the connection is lost or there are none any more.
    async fn serve(&self, link: Link, first: Outgoing, queue: &mut mpsc::Receiver<Outgoing>) {
        let most = self.limits.requests_at_once.max(1) as usize;
        let mut posts = FuturesUnordered::new();
        posts.push(self.post(link.sender.clone(), first));
        loop {
            tokio::select! {
                Some(is_open) = posts.next(), if !posts.is_empty() => {
                    if !is_open {
                        return;
                    }
                }
                message = queue.recv(), if posts.len() < most => match message {
                    Some(message) => posts.push(self.post(link.sender.clone(), message)),
                    None => {
                        while posts.next().await.is_some() {}
                        return;
                    }
                },
                () = link.lost() => return,
            }
        }
    }

    /// Sends one message; returns whether the connection is still of use.
    async fn post(&self, mut sender: http2::SendRequest<Full<Bytes>>, outgoing: Outgoing) -> bool {
        if outgoing.since.elapsed() > self.limits.stale {
            self.metrics.dropped.inc();
            return true;
        }
        let sending = async {
            sender.ready().await?;
            sender.send_request(post(MESSAGE, outgoing.message.bytes().clone())).await
        };
        match timeout(self.limits.answer, sending).await {
            Ok(Ok(answer)) if answer.status().is_success() => self.metrics.sent.inc(),
            Ok(Ok(answer)) => {
                tracing::debug!(status = %answer.status(), "a message is refused");
                self.metrics.dropped.inc();
                return answer.status() != StatusCode::UNAUTHORIZED;
            }
            Ok(Err(_)) | Err(_) => {
                self.metrics.dropped.inc();
                return false;
            }
        }
        true
    }
}

impl Link {
    /// Returns when the connection, or the stream of it, has ended.
    async fn lost(&self) {
        while !self.is_lost() {
            sleep(LOOK).await;
        }
    }

    fn is_lost(&self) -> bool {
        self.serving.is_finished() || self.reading.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

/// Pause between two looks whether a connection is still there.
const LOOK: Duration = Duration::from_millis(200);

fn post(path: &str, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = hyper::Method::POST;
    // The name is not checked: the certificate's fingerprint is.
    let uri = format!("https://{}{path}", tls::NAME);
    *request.uri_mut() = uri.parse().unwrap_or_default();
    request
}

type Tls = tokio_rustls::client::TlsStream<TcpStream>;

/// A connection to the server that has the endpoint's certificate, and the value of its session.
async fn open(endpoint: &Endpoint) -> Result<(Tls, [u8; 32]), String> {
    let config = tls::client(endpoint.tls).map_err(|error| error.to_string())?;
    let stream = TcpStream::connect(&endpoint.address).await.map_err(|error| error.to_string())?;
    let _without = stream.set_nodelay(true);
    let name = ServerName::try_from(tls::NAME).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(config);
    let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
    let session = hello::session(stream.get_ref().1).map_err(|error| error.to_string())?;
    Ok((stream, session))
}

/// Reads a stream to its end; `None` if it is no stream of messages.
async fn read_stream(
    from: Key,
    mut body: Incoming,
    most: usize,
    waiting: Arc<Semaphore>,
    inbox: mpsc::Sender<Inbound>,
) -> Option<()> {
    let mut buffer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        buffer.extend_from_slice(&data);
        while let Some(message) = cut(&mut buffer, most)? {
            let message = Box::new(decode(&message, most).ok()?);
            let place = waiting.clone().acquire_owned().await.ok()?;
            let inbound = Inbound { from: Peer::Operator(from), message, _place: place };
            if inbox.send(inbound).await.is_err() {
                return Some(());
            }
        }
    }
    buffer.is_empty().then_some(())
}

/// The next message of a stream: `Some(None)` if it is not whole yet, `None` if it is longer than `most` bytes.
fn cut(buffer: &mut BytesMut, most: usize) -> Option<Option<BytesMut>> {
    let Some(length) = buffer.first_chunk::<LENGTH_BYTES>() else { return Some(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length > most {
        return None;
    }
    if buffer.len() < length.saturating_add(LENGTH_BYTES) {
        return Some(None);
    }
    buffer.advance(LENGTH_BYTES);
    Some(Some(buffer.split_to(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_cut_at_its_lengths() {
        let mut buffer = BytesMut::from(&[2, 0, 0, 0, 7, 8, 1, 0, 0][..]);
        assert_eq!(cut(&mut buffer, 2).unwrap().unwrap(), &[7, 8][..]);
        assert_eq!(cut(&mut buffer, 2), Some(None));
        buffer.extend_from_slice(&[0]);
        assert_eq!(cut(&mut buffer, 2), Some(None));
        buffer.extend_from_slice(&[9]);
        assert_eq!(cut(&mut buffer, 2).unwrap().unwrap(), &[9][..]);
        assert!(buffer.is_empty());
        buffer.extend_from_slice(&[3, 0, 0, 0]);
        assert_eq!(cut(&mut buffer, 2), None, "too long, and refused before it comes");
    }
}
