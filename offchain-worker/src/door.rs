//! The engine's front door: accepts connections and serves requests on them, within limits that hold before any token is
//! looked at.
//!
//! - A request's head has to come whole within a time, and so long may a connection be open without one.
//! - A caller who does not read an answer for as long is left.
//! - There are so many connections in all, and so many of one peer: of an IPv4 address, or of the 64-bit prefix of an
//!   IPv6 address, which one machine usually has for itself. For one more, the oldest one that asks for nothing is closed;
//!   if all of them ask, the new one is told to come back.
//!
//! The time limit of a body is set where it is read (see [`crate::api`]).

use axum::{body::Body, extract::Request, Router};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    collections::BTreeMap,
    future::Future,
    io::{self, Write as _},
    net::{IpAddr, Ipv6Addr},
    pin::{pin, Pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{ready, Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, Sleep},
};
use tokio_util::sync::CancellationToken;
use tower::Service as _;

/// Files that a connection may need at once: its socket, and one of the job store or of a model's process.
const FILES_PER_CONNECTION: u64 = 2;

/// Wait after the operating system refused a connection: it has no files or no memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Body of the answer to a caller for whom there is no room.
const NO_ROOM: &str = r#"{"error":{"message":"too many connections; close some, or try again later","type":"server_error","code":"too_many_connections","param":null}}"#;

/// Limits on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorLimits {
    /// Most connections.
    pub connections: usize,
    /// Most connections of one peer.
    pub of_one_peer: usize,
    /// Longest time for a request's head to come, and for a connection on which nothing is asked or read.
    pub patience: Duration,
}

/// Raises the number of files that this process may open to the most that it may have; returns what it is then.
pub fn raise_file_limit() -> u64 {
    use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is no limit.
    let most = maximum.unwrap_or(u64::MAX);
    if current.is_some_and(|current| current < most) {
        match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            Ok(()) => return most,
            Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
        }
    }
    current.unwrap_or(u64::MAX)
}

impl DoorLimits {
    /// These, and no more connections than `files` open files allow.
    pub fn within(self, files: u64) -> Self {
        let room = usize::try_from(files / FILES_PER_CONNECTION).unwrap_or(usize::MAX).max(1);
        if room < self.connections {
            tracing::warn!(
                files,
                connections = room,
                "few files may be open, and so fewer connections; raise `ulimit -n`"
            );
        }
        let connections = self.connections.min(room);
        Self { connections, of_one_peer: self.of_one_peer.min(connections), ..self }
    }
}

/// Serves `app` until `shutdown`, and then until the requests under way have been answered. Dropping the future closes all
/// connections.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: DoorLimits,
    shutdown: impl Future<Output = ()>,
) {
    let (door, closing) = (Arc::new(Door { limits, state: Mutex::default() }), CancellationToken::new());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = shutdown.as_mut() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match door.admit(peer.ip()) {
                    Some(entry) => drop(connections.spawn(connection(stream, app.clone(), entry, closing.clone()))),
                    None => turn_away(stream),
                },
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
    drop(listener);
    closing.cancel();
    while connections.join_next().await.is_some() {}
}

/// Says that there is no room. A caller that does not take it at once does without.
fn turn_away(stream: TcpStream) {
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 5\r\nconnection: close\r\n\r\n{NO_ROOM}",
        NO_ROOM.len()
    );
    let _heard = stream.into_std().and_then(|mut stream| stream.write_all(answer.as_bytes()));
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

async fn connection(stream: TcpStream, app: Router, entry: Entry, closing: CancellationToken) {
    // Pieces of an answer are small and wanted at once.
    let _without = stream.set_nodelay(true);
    let patience = entry.door.limits.patience;
    let io = TokioIo::new(Patient { stream, patience, stuck: None });
    let asking = Arc::clone(&entry.asking);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (asks, mut app) = (asking.begin(), app.clone());
        async move {
            let request: Request = request.map(Body::new);
            let answer = app.call(request).await;
            answer.map(|answer| answer.map(|body| Answer { body, _asks: asks }))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience);
    let mut serving = pin!(http.serve_connection(io, service));
    let mut closing = pin!(closing.cancelled());
    let mut told = false;
    loop {
        tokio::select! {
            // Callers go away as they like; what came of their requests was counted already.
            _ended = serving.as_mut() => return,
            () = entry.unwanted.cancelled() => return,
            () = closing.as_mut(), if !told => {
                told = true;
                if !entry.asking.any() {
                    return;
                }
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

/// All connections.
#[derive(Debug)]
struct Door {
    limits: DoorLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By number: the oldest is the first.
    connections: BTreeMap<u64, Known>,
    next: u64,
}

#[derive(Debug)]
struct Known {
    peer: IpAddr,
    asking: Arc<Asking>,
    unwanted: CancellationToken,
}

/// A connection's place; dropping it frees it.
struct Entry {
    door: Arc<Door>,
    number: u64,
    asking: Arc<Asking>,
    /// Set when the place is given to another one.
    unwanted: CancellationToken,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.door.lock().connections.remove(&self.number);
    }
}

impl Door {
    /// A place for a connection of `peer`; `None` if all are taken by connections with requests.
    fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Entry> {
        let peer = whose(peer);
        let mut state = self.lock();
        let of_peer = state.connections.values().filter(|known| known.peer == peer).count();
        if of_peer >= self.limits.of_one_peer {
            state.make_room(|known| known.peer == peer)?;
        } else if state.connections.len() >= self.limits.connections {
            state.make_room(|_| true)?;
        }
        let number = state.next;
        state.next = state.next.wrapping_add(1);
        let (asking, unwanted) = (Arc::new(Asking::default()), CancellationToken::new());
        let known = Known { peer, asking: Arc::clone(&asking), unwanted: unwanted.clone() };
        state.connections.insert(number, known);
        Some(Entry { door: Arc::clone(self), number, asking, unwanted })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Closes the oldest of these connections that asks for nothing.
    fn make_room(&mut self, of_these: impl Fn(&Known) -> bool) -> Option<()> {
        let idle = |known: &Known| of_these(known) && !known.asking.any();
        let (number, _) = self.connections.iter().find(|(_, known)| idle(known))?;
        let number = *number;
        let known = self.connections.remove(&number)?;
        known.unwanted.cancel();
        Some(())
    }
}

/// The peer that connections from `address` count for.
fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) >> 64 << 64;
            Ipv6Addr::from(prefix).into()
        }
    }
}

/// The requests of a connection that came whole and are not answered to the end.
#[derive(Debug, Default)]
struct Asking(Mutex<usize>);

/// A request under way; dropping this ends it.
struct Asks(Arc<Asking>);

impl Asking {
    fn begin(self: &Arc<Self>) -> Asks {
        let mut count = self.lock();
        *count = count.saturating_add(1);
        Asks(Arc::clone(self))
    }

    fn any(&self) -> bool {
        *self.lock() > 0
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Asks {
    fn drop(&mut self) {
        let mut count = self.0.lock();
        *count = count.saturating_sub(1);
    }
}

/// A body that knows when it has been sent.
struct Answer {
    body: Body,
    _asks: Asks,
}

impl hyper::body::Body for Answer {
    type Data = <Body as hyper::body::Body>::Data;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection on which nothing waits for ever to be written.
struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// While a write waits for the peer to read.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    /// The outcome of a write, or an error if it has waited for too long.
    fn within<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let patience = self.patience;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stuck.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.within(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::net::{Ipv4Addr, SocketAddr};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        sync::{oneshot, Semaphore},
        task::JoinHandle,
    };

    const LONG: Duration = Duration::from_secs(600);

    fn limits(connections: usize, of_one_peer: usize, patience: Duration) -> DoorLimits {
        DoorLimits { connections, of_one_peer, patience }
    }

    fn door(connections: usize, of_one_peer: usize) -> Arc<Door> {
        let limits = limits(connections, of_one_peer, LONG);
        Arc::new(Door { limits, state: Mutex::default() })
    }

    fn v4(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    #[test]
    fn the_oldest_that_asks_for_nothing_makes_room() {
        let door = door(4, 2);
        let first = door.admit(v4(1)).unwrap();
        let second = door.admit(v4(1)).unwrap();
        let third = door.admit(v4(1)).unwrap();
        assert!(first.unwanted.is_cancelled() && !second.unwanted.is_cancelled(), "two of one peer");
        let asks = [second.asking.begin(), third.asking.begin()];
        assert!(door.admit(v4(1)).is_none(), "all of this peer ask");
        let (other, another) = (door.admit(v4(2)).unwrap(), door.admit(v4(3)).unwrap());
        let last = door.admit(v4(4)).unwrap();
        assert!(other.unwanted.is_cancelled() && !another.unwanted.is_cancelled(), "four in all");
        let more = [another.asking.begin(), last.asking.begin()];
        assert!(door.admit(v4(5)).is_none(), "all ask");
        drop(more);
        drop(door.admit(v4(5)).unwrap());
        drop((second, asks));
        assert!(door.admit(v4(1)).is_some(), "a place that was left is free");
        assert_eq!(door.lock().connections.len(), 2, "third and last");
    }

    #[test]
    fn a_peer_is_an_address_or_a_prefix() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:0:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(whose(address(one)) == whose(address(other)), same, "{one} {other}");
        }
    }

    #[test]
    fn there_are_no_more_connections_than_files() {
        assert_eq!(limits(10, 5, LONG).within(20), limits(10, 5, LONG));
        assert_eq!(limits(10, 5, LONG).within(19), limits(9, 5, LONG));
        assert_eq!(limits(10, 5, LONG).within(0), limits(1, 1, LONG));
        assert_eq!(limits(10, 5, LONG).within(u64::MAX), limits(10, 5, LONG));
    }

    #[test]
    fn the_file_limit_is_the_highest() {
        use rustix::process::{getrlimit, Resource};
        let raised = raise_file_limit();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current, now.maximum);
        assert_eq!(raised, now.current.unwrap_or(u64::MAX));
    }

    /// A door in front of `/quick`, and of `/slow`, which answers once it gets a permit.
    struct Served {
        address: SocketAddr,
        /// One for each request of `/slow` that came.
        asked: Arc<Semaphore>,
        permits: Arc<Semaphore>,
        stop: oneshot::Sender<()>,
        serving: JoinHandle<()>,
    }

    impl Served {
        async fn start(limits: DoorLimits) -> Self {
            let (asked, permits) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
            let (asking, waiting) = (Arc::clone(&asked), Arc::clone(&permits));
            let slow = move || async move {
                asking.add_permits(1);
                waiting.acquire().await.unwrap().forget();
                "slow"
            };
            let large = || async { "x".repeat(1 << 26) };
            let app = Router::new()
                .route("/quick", get(|| async { "quick" }))
                .route("/slow", get(slow))
                .route("/large", get(large));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (stop, stopped) = oneshot::channel::<()>();
            let serving = tokio::spawn(async move {
                serve(listener, app, limits, async { drop(stopped.await) }).await;
            });
            Self { address, asked, permits, stop, serving }
        }

        /// A connection on which this was sent.
        async fn send(&self, text: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            stream
        }

        async fn stop(self) {
            self.stop.send(()).unwrap();
            self.serving.await.unwrap();
        }
    }

    fn head(path: &str, more: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n")
    }

    /// All that comes until the connection is closed, however it is.
    async fn rest(mut stream: TcpStream) -> String {
        let mut all = Vec::new();
        let _reset = stream.read_to_end(&mut all).await;
        String::from_utf8_lossy(&all).into_owned()
    }

    #[tokio::test]
    async fn what_does_not_come_whole_is_not_waited_for() {
        let served = Served::start(limits(64, 64, Duration::from_millis(100))).await;
        for (sent, answer) in [
            ("", ""),
            ("GET /quick HT", ""),
            ("GET /quick HTTP/1.1\r\nhost: x\r\nx-half:", ""),
            (&head("/quick", ""), "quick"),
            (&head("/quick", "content-length: 1000\r\n"), "quick"),
            (&format!("{}GET /quick HT", head("/quick", "")), "quick"),
        ] {
            let all = rest(served.send(sent).await).await;
            assert!(all.ends_with(answer) && all.is_empty() == answer.is_empty(), "{sent:?}: {all:?}");
        }
        // What takes long to answer is not held against the one who asks.
        let slow = served.send(&head("/slow", "connection: close\r\n")).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        served.permits.add_permits(1);
        assert!(rest(slow).await.ends_with("slow"));
        served.stop().await;
    }

    #[tokio::test]
    async fn who_does_not_read_is_left() {
        let served = Served::start(limits(64, 64, Duration::from_millis(100))).await;
        let stream = served.send(&head("/large", "")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        // It ends although nothing was read, and so does the request.
        served.stop().await;
        assert!(rest(stream).await.len() < 1 << 26);
    }

    #[tokio::test]
    async fn half_sent_requests_lock_nobody_out() {
        let served = Served::start(limits(8, 4, LONG)).await;
        let mut half = Vec::new();
        for _ in 0..40 {
            half.push(served.send("GET /quick HT").await);
            let well = rest(served.send(&head("/quick", "connection: close\r\n")).await).await;
            assert!(well.ends_with("quick"), "{well}");
        }
        // Whoever has asked is not closed for one more.
        let mut asking = Vec::new();
        for _ in 0..4 {
            asking.push(served.send(&head("/slow", "")).await);
        }
        served.asked.acquire_many(4).await.unwrap().forget();
        let refused = rest(served.send("").await).await;
        assert!(refused.starts_with("HTTP/1.1 503 ") && refused.ends_with(NO_ROOM), "{refused}");
        served.permits.add_permits(4);
        for mut stream in asking {
            let mut answer = [0; 512];
            let length = stream.read(&mut answer).await.unwrap();
            assert!(String::from_utf8_lossy(&answer[..length]).ends_with("slow"));
        }
        served.stop().await;
    }

    #[tokio::test]
    async fn a_stop_waits_for_those_who_asked_and_for_no_others() {
        let served = Served::start(limits(64, 64, LONG)).await;
        let (idle, half) = (served.send("").await, served.send("GET /quick HT").await);
        let slow = served.send(&head("/slow", "")).await;
        let quick = rest(served.send(&head("/quick", "connection: close\r\n")).await).await;
        assert!(quick.ends_with("quick"));
        served.asked.acquire().await.unwrap().forget();
        let permits = Arc::clone(&served.permits);
        let stopping = tokio::spawn(served.stop());
        assert_eq!((rest(idle).await, rest(half).await), (String::new(), String::new()));
        permits.add_permits(1);
        assert!(rest(slow).await.ends_with("slow"));
        stopping.await.unwrap();
    }
}
