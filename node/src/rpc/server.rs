//! The server: it lets a request in or not, and then answers as the SDK's server does.

use super::{
    callers::{address_behind_proxy, deny_unsafe},
    control::{self, ControlSocket, Removal},
    doors::Door,
    origins::Origins,
    LOG,
};
use http::{HeaderMap, StatusCode};
use jsonrpsee::{
    core::BoxError,
    server::{
        middleware::http::HostFilterLayer, serve_with_graceful_shutdown, stop_channel, ws, HttpBody,
        HttpResponse, PingConfig, RpcServiceBuilder, ServerBuilder, StopHandle, TowerServiceBuilder,
    },
    Methods, RpcModule,
};
use sc_rpc::SubscriptionTaskExecutor;
use sc_rpc_server::{
    Metrics, MiddlewareLayer, NodeHealthProxyLayer, RandomStringIdProvider, RpcEndpoint, RpcMetrics, Server,
};
use sc_service::{config::RpcConfiguration, error::Error as ServiceError, RpcMethods};
use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    os::unix::net::UnixListener as StdUnixListener,
    sync::Arc,
    time::{Duration, Instant},
};
use substrate_prometheus_endpoint::Registry;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    runtime::Handle,
};
use tower::{layer::util::Identity, Layer as _, Service as _};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// A request, before its body is read.
type Call = http::Request<hyper::body::Incoming>;

/// The transports, as the metrics call them.
const HTTP: &str = "http";
const WEBSOCKET: &str = "ws";

const MEBIBYTE: u32 = 1024 * 1024;

/// Length of the ids of subscriptions, in characters.
const SUBSCRIPTION_ID: usize = 16;

/// Time between two pings of a WebSocket; time without an answer after which it counts as silent; silences before it is closed.
const PING_EVERY: Duration = Duration::from_secs(30);
const SILENT_AT_MOST: Duration = Duration::from_secs(60);
const SILENCES: usize = 3;

/// Pause after a connection could not be accepted, as when too many files are open: the next attempt would fail as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The addresses at which the node answers.
#[derive(Debug)]
pub struct Places {
    /// The RPC ports, at least one.
    pub doors: Vec<Door>,
    /// The control socket.
    pub control: Option<ControlSocket>,
}

/// Serves the methods that `module` makes for the server's own threads.
///
/// The server and the file of the control socket last as long as the values returned. Errors: an address cannot be opened; the methods
/// cannot be made.
pub fn serve(
    places: Places,
    config: &RpcConfiguration,
    registry: Option<&Registry>,
    module: impl FnOnce(SubscriptionTaskExecutor) -> Result<RpcModule<()>, ServiceError>,
) -> Result<(Server, Option<Removal>), ServiceError> {
    let Places { doors, control } = places;
    let metrics = RpcMetrics::new(registry)?;
    // Calls may block, so they have threads of their own: as many as there may be connections.
    let runtime = sc_service::create_rpc_runtime(config.max_connections)?;
    let handle = runtime.handle().clone();
    let (stop, stopper) = stop_channel();
    // From here on the runtime is ended with the server; a runtime that is dropped in an async function panics.
    let server = Server::new(stopper, doors.iter().map(Door::address).collect(), runtime);
    let module = module(server.spawn_handle())?;
    let metrics = metrics.map(|metrics| metrics.with_known_methods(module.method_names()));
    let shared =
        Shared { methods: module.into(), metrics, stop, handle, logged_length: config.request_logger_limit };
    let refused = |error: anyhow::Error| ServiceError::Other(format!("{error:#}"));
    let limits = doors.first().map(|door| door.endpoint().clone());
    let control = control.map(ControlSocket::open).transpose().map_err(refused)?.flatten();
    let mut removal = None;
    if let (Some((listener, file)), Some(limits)) = (control, limits) {
        removal = Some(file);
        Entrance::open_control(listener, limits, shared.clone()).map_err(refused)?;
    }
    for door in doors {
        Entrance::open(door, shared.clone()).map_err(refused)?;
    }
    log::info!(target: LOG, "Running JSON-RPC server: addr={}", listed(server.listen_addrs()));
    Ok((server, removal))
}

/// `ADDRESS,` or `ADDRESS,ADDRESS`: the form of the SDK, which scripts read.
fn listed(addresses: &[SocketAddr]) -> String {
    let texts: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    match texts.as_slice() {
        [one] => format!("{one},"),
        several => several.join(","),
    }
}

/// State that all entrances share.
#[derive(Clone)]
struct Shared {
    methods: Methods,
    metrics: Option<RpcMetrics>,
    stop: StopHandle,
    handle: Handle,
    /// Most characters of a call or an answer that are logged.
    logged_length: u32,
}

/// An open address or socket.
struct Entrance {
    shared: Shared,
    endpoint: RpcEndpoint,
    origins: Origins,
    cors: CorsLayer,
    hosts: HostFilterLayer,
    services: TowerServiceBuilder<Identity, Identity>,
}

impl Entrance {
    fn new(endpoint: RpcEndpoint, origins: Origins, hosts: HostFilterLayer, shared: Shared) -> Arc<Self> {
        let allowed = origins.clone();
        Arc::new(Self {
            cors: CorsLayer::permissive()
                .allow_origin(AllowOrigin::predicate(move |page, _| allowed.allow(page))),
            hosts,
            services: services(&endpoint, shared.handle.clone()),
            endpoint,
            origins,
            shared,
        })
    }

    fn open(door: Door, shared: Shared) -> anyhow::Result<()> {
        let hosts = own_names(&door).map_or_else(|| Ok(HostFilterLayer::disable()), HostFilterLayer::new)?;
        let entrance = Self::new(door.endpoint().clone(), door.origins().clone(), hosts, shared);
        let handle = entrance.shared.handle.clone();
        // A socket is watched by the runtime in whose context it is made.
        let entered = handle.enter();
        let listener = TcpListener::from_std(door.open()?)?;
        drop(entered);
        let listener = Arc::new(listener);
        handle.spawn(entrance.accept(move || {
            let listener = listener.clone();
            async move {
                let (stream, caller) = listener.accept().await?;
                Ok((stream, caller.ip()))
            }
        }));
        Ok(())
    }

    /// Opens the control socket, with the limits of an open door except that of the rate. No page is let in: whoever forwards the
    /// socket to a port (`ssh -L`) opens it to browsers as well.
    fn open_control(listener: StdUnixListener, limits: RpcEndpoint, shared: Shared) -> anyhow::Result<()> {
        let origins = Origins::new(Some(&[]))?;
        let endpoint = RpcEndpoint { rpc_methods: RpcMethods::Unsafe, rate_limit: None, ..limits };
        let entrance = Self::new(endpoint, origins, HostFilterLayer::disable(), shared);
        let handle = entrance.shared.handle.clone();
        let entered = handle.enter();
        let listener = UnixListener::from_std(listener)?;
        drop(entered);
        let listener = Arc::new(listener);
        handle.spawn(entrance.accept(move || {
            let listener = listener.clone();
            async move {
                loop {
                    let (stream, _) = listener.accept().await?;
                    if control::is_own(&stream) {
                        return Ok((stream, IpAddr::from(Ipv4Addr::LOCALHOST)));
                    }
                    log::warn!(target: LOG, "Another user's program was turned away from the control socket");
                }
            }
        }));
        Ok(())
    }

    /// Answers the connections that `next` gives, each with its caller's address.
    async fn accept<S, N>(self: Arc<Self>, next: impl Fn() -> N)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        N: Future<Output = io::Result<(S, IpAddr)>>,
    {
        let Shared { stop, handle, .. } = &self.shared;
        loop {
            let accepted = tokio::select! {
                accepted = next() => accepted,
                _ = stop.clone().shutdown() => return,
            };
            match accepted {
                Ok((stream, caller)) => {
                    let connection = Arc::new(Connection::new(self.clone(), caller));
                    let service = tower::service_fn(move |call| connection.clone().answer(call));
                    handle.spawn(serve_with_graceful_shutdown(stream, service, stop.clone().shutdown()));
                }
                Err(error) => {
                    log::debug!(target: LOG, "A connection was not accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// The values of `Host` that are let in on loopback: a page can make a name of its own stand for 127.0.0.1. `None`, all values, at an
/// open port, whose names the node cannot know, and if pages of every origin are let in.
fn own_names(door: &Door) -> Option<[String; 3]> {
    let port = door.address().port();
    let guarded = *door.origins() != Origins::All && door.address().ip().is_loopback();
    guarded.then(|| ["localhost", "127.0.0.1", "[::1]"].map(|name| format!("{name}:{port}")))
}

fn services(endpoint: &RpcEndpoint, handle: Handle) -> TowerServiceBuilder<Identity, Identity> {
    let pings =
        PingConfig::new().ping_interval(PING_EVERY).inactive_limit(SILENT_AT_MOST).max_failures(SILENCES);
    ServerBuilder::new()
        .max_request_body_size(endpoint.max_payload_in_mb.saturating_mul(MEBIBYTE))
        .max_response_body_size(endpoint.max_payload_out_mb.saturating_mul(MEBIBYTE))
        .max_connections(endpoint.max_connections)
        .max_subscriptions_per_connection(endpoint.max_subscriptions_per_connection)
        .set_message_buffer_capacity(endpoint.max_buffer_capacity_per_connection)
        .set_batch_request_config(endpoint.batch_config)
        .set_id_provider(RandomStringIdProvider::new(SUBSCRIPTION_ID))
        .enable_ws_ping(pings)
        .custom_tokio_runtime(handle)
        .to_service_builder()
}

/// A connection of one caller.
struct Connection {
    entrance: Arc<Entrance>,
    caller: IpAddr,
    /// Counts and limits the calls over HTTP, all of them together.
    http: MiddlewareLayer,
}

impl Connection {
    fn new(entrance: Arc<Entrance>, caller: IpAddr) -> Self {
        let http = counted(entrance.shared.metrics.as_ref(), HTTP, entrance.endpoint.rate_limit);
        Self { entrance, caller, http }
    }

    async fn answer(self: Arc<Self>, mut call: Call) -> Result<HttpResponse, BoxError> {
        let Entrance { shared, endpoint, origins, cors, hosts, services } = &*self.entrance;
        if !origins.admit(call.headers()) {
            log::debug!(target: LOG, "A page of {:?} was not let in", call.headers().get(http::header::ORIGIN));
            return Ok(foreign());
        }
        let deny_unsafe = deny_unsafe(call.headers(), endpoint.rpc_methods);
        call.extensions_mut().insert(deny_unsafe);
        let is_websocket = ws::is_upgrade_request(&call);
        let calls = self.calls(call.headers(), is_websocket);
        let rpc = RpcServiceBuilder::new().rpc_logger(shared.logged_length).layer(calls.clone());
        let mut service =
            services.clone().set_rpc_middleware(rpc).build(shared.methods.clone(), shared.stop.clone());
        if is_websocket {
            let closed = service.on_session_closed();
            shared.handle.spawn(async move {
                let opened = Instant::now();
                calls.ws_connect();
                closed.await;
                calls.ws_disconnect(opened);
            });
        }
        hosts.layer(NodeHealthProxyLayer.layer(cors.layer(service))).call(call).await
    }

    /// Counter and limit for the calls of a request. A WebSocket is one request with many calls.
    fn calls(&self, headers: &HeaderMap, is_websocket: bool) -> MiddlewareLayer {
        let RpcEndpoint { rate_limit, rate_limit_trust_proxy_headers, rate_limit_whitelisted_ips, .. } =
            &self.entrance.endpoint;
        let behind = rate_limit_trust_proxy_headers.then(|| address_behind_proxy(headers)).flatten();
        let caller = behind.unwrap_or(self.caller);
        let unlimited = rate_limit_whitelisted_ips.iter().any(|network| network.contains(caller));
        let metrics = self.entrance.shared.metrics.as_ref();
        match (is_websocket, unlimited) {
            (false, false) => self.http.clone(),
            (false, true) => counted(metrics, HTTP, None),
            (true, _) => counted(metrics, WEBSOCKET, rate_limit.filter(|_| !unlimited)),
        }
    }
}

fn counted(
    metrics: Option<&RpcMetrics>,
    transport: &'static str,
    limit: Option<NonZeroU32>,
) -> MiddlewareLayer {
    let layer = MiddlewareLayer::new();
    let layer = match metrics {
        Some(metrics) => layer.with_metrics(Metrics::new(metrics.clone(), transport)),
        None => layer,
    };
    match limit {
        Some(limit) => layer.with_rate_limit_per_minute(limit),
        None => layer,
    }
}

/// The answer to a page whose origin is not let in.
fn foreign() -> HttpResponse {
    let mut answer =
        HttpResponse::new(HttpBody::from("The origin of this page is not among those of --rpc-cors.\n"));
    *answer.status_mut() = StatusCode::FORBIDDEN;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_door_for_this_machine_has_names_of_its_own() {
        let names = |endpoint: &str| {
            let endpoint: sc_cli::RpcEndpoint = endpoint.parse().unwrap();
            let doors = Door::take_all(vec![endpoint.into()]).unwrap();
            own_names(&doors[0]).map(|names| names.map(|name| name.split(':').next().unwrap().to_owned()))
        };
        let own = names("listen-addr=127.0.0.1:0,cors=https://app.example.org").unwrap();
        assert_eq!(own[..2], ["localhost".to_owned(), "127.0.0.1".to_owned()]);
        assert_eq!(names("listen-addr=0.0.0.0:0,cors=https://app.example.org"), None);
        assert_eq!(names("listen-addr=127.0.0.1:0"), None, "every page may come in");
    }

    #[test]
    fn scripts_find_the_address_before_a_comma() {
        let address: SocketAddr = "127.0.0.1:9944".parse().unwrap();
        assert_eq!(listed(&[address]), "127.0.0.1:9944,");
        assert_eq!(listed(&[address, "[::1]:9944".parse().unwrap()]), "127.0.0.1:9944,[::1]:9944");
    }
}
